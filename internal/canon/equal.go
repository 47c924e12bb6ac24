package canon

import (
	"math"
	"reflect"
	"time"
	"unsafe"
)

// rememberAfter is how many indirections a comparison follows before it remembers results. It then costs memory, and takes
// exponential time off values that share parts.
const rememberAfter = 1 << 20

// walk is the state of one comparison. It stays on the stack.
type walk struct {
	depth  int
	visits int
	over   bool // MaxDepth was reached: everything is unequal, and no alternative is tried any more
	known  map[visit]bool
}

// visit is a comparison of n elements behind two pointers; of two maps, with their words and n -1.
type visit struct {
	node *node
	a, b unsafe.Pointer
	n    int
}

func (w *walk) equal(n *node, a, b unsafe.Pointer) bool {
	switch n.cmp {
	case kRaw:
		return sameBytes(a, b, n.width)
	case kFloat32:
		return sameFloat(float64(*(*float32)(a)), float64(*(*float32)(b)))
	case kFloat64:
		return sameFloat(*(*float64)(a), *(*float64)(b))
	case kComplex64:
		return sameComplex(complex128(*(*complex64)(a)), complex128(*(*complex64)(b)))
	case kComplex128:
		return sameComplex(*(*complex128)(a), *(*complex128)(b))
	case kString:
		return *(*string)(a) == *(*string)(b)
	case kTime:
		return sameTime((*time.Time)(a), (*time.Time)(b))
	case kFunc:
		return *(*unsafe.Pointer)(a) == nil && *(*unsafe.Pointer)(b) == nil
	case kArray:
		return w.elements(n.elem, a, b, n.count)
	case kStruct:
		return w.parts(n, a, b)
	case kPointer:
		return w.follow(n.elem, *(*unsafe.Pointer)(a), *(*unsafe.Pointer)(b), 1)
	case kSlice:
		return w.slices(n, (*sliceHeader)(a), (*sliceHeader)(b))
	case kMap:
		return w.maps(n, *(*unsafe.Pointer)(a), *(*unsafe.Pointer)(b))
	case kInterface:
		return w.interfaces(n, a, b)
	default:
		return n.override(a, b)
	}
}

func (w *walk) parts(n *node, a, b unsafe.Pointer) bool {
	for i := range n.parts {
		p := &n.parts[i]
		x, y := unsafe.Add(a, p.off), unsafe.Add(b, p.off)
		same := false
		switch {
		case p.node == nil:
			same = sameBytes(x, y, p.width)
		case p.node.cmp == kString: // spares the most frequent part a call
			same = *(*string)(x) == *(*string)(y)
		default:
			same = w.equal(p.node, x, y)
		}
		if !same {
			return false
		}
	}
	return true
}

func (w *walk) elements(elem *node, a, b unsafe.Pointer, n int) bool {
	if elem.cmp == kRaw {
		return sameBytes(a, b, elem.width*uintptr(n))
	}
	for i := range uintptr(n) {
		if !w.equal(elem, unsafe.Add(a, i*elem.size), unsafe.Add(b, i*elem.size)) {
			return false
		}
	}
	return true
}

func (w *walk) slices(n *node, a, b *sliceHeader) bool {
	switch {
	case a.len != b.len:
		return false
	case a.len == 0:
		return true
	}
	return w.follow(n.elem, a.data, b.data, a.len)
}

func (w *walk) interfaces(n *node, a, b unsafe.Pointer) bool {
	t := dynamicType(n, a)
	if t != dynamicType(n, b) {
		return false
	}
	if t == nil {
		return true
	}
	dyn := n.cache.node(t)
	x, y := inside(dyn, a), inside(dyn, b)
	if dyn.direct {
		// x and y are in the interfaces themselves: that they are the same says nothing, and what they hold is a
		// pointer that counts for itself.
		return w.equal(dyn, x, y)
	}
	return w.follow(dyn, x, y, 1)
}

// follow compares n elements behind two pointers. All ways that can be cyclic or shared lead through it, or through maps.
func (w *walk) follow(elem *node, a, b unsafe.Pointer, n int) bool {
	switch {
	case a == b:
		return true
	case a == nil || b == nil:
		return false
	case elem.cmp == kRaw:
		return sameBytes(a, b, elem.width*uintptr(n))
	}
	v := visit{elem, a, b, n}
	if done, result := w.enter(v); done {
		return result
	}
	return w.leave(v, w.elements(elem, a, b, n))
}

// enter reports whether the result of v is already certain. Otherwise leave must follow.
func (w *walk) enter(v visit) (done, result bool) {
	if w.depth == MaxDepth {
		w.over = true
		return true, false
	}
	w.visits++
	if w.known != nil {
		if result, done = w.known[v]; done {
			return true, result
		}
	}
	w.depth++
	return false, false
}

// leave remembers the result of v, if it is a result and not the end of the walk.
func (w *walk) leave(v visit, result bool) bool {
	w.depth--
	if w.visits > rememberAfter && !w.over {
		if w.known == nil {
			w.known = map[visit]bool{}
		}
		w.known[v] = result
	}
	return result
}

func (w *walk) maps(n *node, a, b unsafe.Pointer) bool {
	if a == b {
		return true
	}
	x, y := mapValue(n.typ, a), mapValue(n.typ, b)
	if x.Len() != y.Len() {
		return false
	}
	if x.Len() == 0 {
		return true
	}
	v := visit{n, a, b, -1}
	if done, result := w.enter(v); done {
		return result
	}
	return w.leave(v, w.entries(n, x, y))
}

// entry is a copy of an entry of a map, as pointers.
type entry struct{ key, value reflect.Value }

// entries compares two maps of the same length.
func (w *walk) entries(n *node, x, y reflect.Value) bool {
	restX := w.unmatched(n, x, y)
	if len(restX) == 0 {
		return true
	}
	if n.key.exact || w.over {
		return false
	}
	restY := w.unmatched(n, y, x)
	for _, e := range restX {
		i := w.find(n, e, restY)
		if i < 0 {
			return false
		}
		restY[i] = restY[len(restY)-1]
		restY = restY[:len(restY)-1]
	}
	return !w.over
}

// find returns the place of an entry equal to e. Any will do: equal entries are interchangeable.
func (w *walk) find(n *node, e entry, list []entry) int {
	for i, f := range list {
		if w.over {
			break
		}
		if w.equal(n.key, e.key.UnsafePointer(), f.key.UnsafePointer()) &&
			w.equal(n.elem, e.value.UnsafePointer(), f.value.UnsafePointer()) {
			return i
		}
	}
	return -1
}

// unmatched returns the entries of x that have no equal value in y under the key that is the same for Go. One is enough if
// the key is exact.
func (w *walk) unmatched(n *node, x, y reflect.Value) (rest []entry) {
	key, value, other := reflect.New(n.key.typ), reflect.New(n.elem.typ), reflect.New(n.elem.typ)
	for it := x.MapRange(); it.Next() && !w.over; {
		key.Elem().SetIterKey(it)
		value.Elem().SetIterValue(it)
		if v := y.MapIndex(key.Elem()); v.IsValid() {
			other.Elem().Set(v)
			if w.equal(n.elem, value.UnsafePointer(), other.UnsafePointer()) {
				continue
			}
		}
		rest = append(rest, entry{key, value})
		if n.key.exact {
			break
		}
		key, value = reflect.New(n.key.typ), reflect.New(n.elem.typ)
	}
	return rest
}

func sameFloat(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func sameComplex(a, b complex128) bool {
	return sameFloat(real(a), real(b)) && sameFloat(imag(a), imag(b))
}

// sameTime leaves the monotonic clock out, which [time.Time.Equal] prefers: it is not encoded either, and two readings of
// it do not show that the wall clock was set between them.
func sameTime(a, b *time.Time) bool {
	return a.Unix() == b.Unix() && a.Nanosecond() == b.Nanosecond()
}
