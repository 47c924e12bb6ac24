package canon

import (
	"reflect"
	"time"
	"unsafe"
)

// kind is what a node does with memory.
type kind uint8

const (
	kRaw kind = iota // width bytes of memory say it all
	kFloat32
	kFloat64
	kComplex64
	kComplex128
	kString
	kTime
	kFunc
	kArray
	kStruct
	kPointer
	kSlice
	kMap
	kInterface
	kOverride // for equality only
)

// node is a compiled type. It never changes once the Cache has published it.
type node struct {
	typ   reflect.Type
	id    uint64  // the number of the type in the Cache, from 1
	size  uintptr // distance of two elements
	width uintptr // of kRaw: size, or 0 if all values are equal (nothing but blank fields)
	kind  kind    // how it is encoded
	cmp   kind    // how it is compared: kind or kOverride

	exact   bool // Go's == is our equality
	direct  bool // an interface holds the value itself, not a pointer to it
	methods bool // of kInterface: its first word is not a type but a method table

	count    int    // of kArray
	parts    []part // of kStruct
	key      *node  // of kMap
	elem     *node  // of kArray, kPointer, kSlice and kMap
	override EqualFunc
	equal    EqualFunc
	refused  error  // why there is no encoding
	cache    *Cache // of kInterface: knows the dynamic types
}

// part is a piece of a struct. Neighbours that are compared as memory are one part; structs in structs are dissolved.
type part struct {
	off   uintptr
	width uintptr // of a part without a node
	node  *node   // nil: the memory
}

// builder compiles a batch of types. By value, types nest without cycles, and a node is complete when builder.node returns
// it. What is behind a pointer, slice or map may refer back, and waits in open until nothing is half done.
type builder struct {
	cache *Cache
	fresh map[reflect.Type]*node
	open  []*node
}

func (b *builder) node(t reflect.Type) *node {
	if n, ok := b.cache.nodes.Load(t); ok {
		return n.(*node)
	}
	if n := b.fresh[t]; n != nil {
		return n
	}
	n := &node{typ: t, size: t.Size(), direct: isDirect(t), refused: refusal(t)}
	b.cache.last++
	n.id = b.cache.last
	b.fill(n)
	n.cmp = n.kind
	if eq := b.cache.overrides[t]; eq != nil {
		n.cmp, n.override, n.exact = kOverride, eq, false
	}
	n.equal = func(x, y unsafe.Pointer) bool {
		var w walk
		return w.equal(n, x, y)
	}
	b.fresh[t] = n
	return n
}

func (b *builder) fill(n *node) {
	if isTime(n.typ) {
		n.kind = kTime
		return
	}
	switch n.typ.Kind() {
	case reflect.Float32:
		n.kind = kFloat32
	case reflect.Float64:
		n.kind = kFloat64
	case reflect.Complex64:
		n.kind = kComplex64
	case reflect.Complex128:
		n.kind = kComplex128
	case reflect.String:
		n.kind, n.exact = kString, true
	case reflect.Func:
		n.kind = kFunc
	case reflect.Interface:
		n.kind, n.methods, n.cache = kInterface, n.typ.NumMethod() > 0, b.cache
	case reflect.Array:
		b.fillArray(n)
	case reflect.Struct:
		b.fillStruct(n)
	case reflect.Pointer:
		n.kind = kPointer
		b.open = append(b.open, n)
	case reflect.Slice:
		n.kind = kSlice
		b.open = append(b.open, n)
	case reflect.Map:
		n.kind = kMap
		b.open = append(b.open, n)
	default: // bool, integers, chan, unsafe.Pointer; the last two are refused where encoders are given out
		n.kind, n.width, n.exact = kRaw, n.size, true
	}
}

func (b *builder) fillArray(n *node) {
	n.elem, n.count = b.node(n.typ.Elem()), n.typ.Len()
	n.exact = n.count == 0 || n.elem.exact
	switch {
	case n.count == 0:
		n.kind = kRaw
	case n.elem.cmp == kRaw:
		n.kind, n.width = kRaw, n.elem.width*uintptr(n.count)
	default:
		n.kind = kArray
	}
}

func (b *builder) fillStruct(n *node) {
	n.kind, n.exact = kStruct, true
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		if f.Name == "_" {
			n.exact = false // maps of a type from reflect.StructOf tell blank fields apart
			continue
		}
		child := b.node(f.Type)
		n.exact = n.exact && child.exact
		switch child.cmp {
		case kRaw:
			n.add(part{f.Offset, child.width, nil})
		case kStruct:
			for _, p := range child.parts {
				p.off += f.Offset
				n.add(p)
			}
		default:
			n.add(part{f.Offset, 0, child})
		}
	}
	switch {
	case len(n.parts) == 0:
		n.kind = kRaw
	case len(n.parts) == 1 && n.parts[0] == part{0, n.size, nil}:
		n.kind, n.width = kRaw, n.size
	}
}

// add appends a part. Memory joins memory only where no gap is between: padding has no meaning.
func (n *node) add(p part) {
	if p.node == nil {
		if p.width == 0 {
			return
		}
		if i := len(n.parts) - 1; i >= 0 && n.parts[i].node == nil && n.parts[i].off+n.parts[i].width == p.off {
			n.parts[i].width += p.width
			return
		}
	}
	n.parts = append(n.parts, p)
}

var timeType = reflect.TypeFor[time.Time]()

// isTime is also true for types that are defined as time.Time. Part by part they would compare clock readings and
// locations that mean the same.
func isTime(t reflect.Type) bool {
	return t == timeType || t.Kind() == reflect.Struct && t.ConvertibleTo(timeType)
}
