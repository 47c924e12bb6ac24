package store

import (
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// codec turns the versions of a bucket into values of T and back.
type codec[T any] struct {
	sh     *shape
	native bool   // the body is a T
	ops    []move // otherwise: field by field
	mine   *shape // otherwise: T's own layout
	slow   bool   // otherwise: not all fields are scalars that can be copied in place
	dec    decoder[T]
}

// ready completes a codec that stays where it is.
func (c *codec[T]) ready() *codec[T] {
	c.dec = decoder[T]{make: c.value, plain: c.plain(), off: c.sh.bodyOff, project: c.project}
	c.dec.over = func(b *bucket) *decoder[T] { return &codecOf[T](b).dec }
	return c
}

// codecOf is how a bucket that took the place of another holds a T that the other
// could hold.
func codecOf[T any](b *bucket) *codec[T] {
	t := reflect.TypeFor[T]()
	if c, ok := b.codecs.Load(t); ok {
		return c.(*codec[T])
	}
	c, _, _ := newCodec[T](b.shape, &b.def) // AlterBucket has seen that it fits
	known, _ := b.codecs.LoadOrStore(t, c.ready())
	return known.(*codec[T])
}

// move is one field of a struct beside the bucket's field of the same name.
type move struct {
	src  *slot // in the bucket's shape
	dst  *slot // in T's own shape
	fast bool  // same kind and size: copy the memory
}

// newCodec matches T against a bucket; the issues name each mismatch, and missing
// what an insert needs that T does not have.
func newCodec[T any](sh *shape, d *Definition) (c codec[T], issues, missing []Issue) {
	t := reflect.TypeFor[T]()
	if sh.body == t {
		return codec[T]{sh: sh, native: true}, nil, nil
	}
	info, wrong := inspect(t)
	if issues = wrong; len(issues) > 0 {
		return codec[T]{}, issues, nil
	}
	c.sh = sh
	compiled := make([]rules, len(info.fields))
	for i, f := range info.fields {
		bad := func(format string, args ...any) {
			issues = append(issues, Issue{f.name, CodeType, fmt.Sprintf(format, args...)})
		}
		pos, ok := sh.byName[f.name]
		if !ok {
			bad("the bucket has no such field")
			continue
		}
		got, want := info.def.Schema[f.name].Type, sh.slots[pos].typ
		if !want.into(got) {
			bad("is a %s in the bucket, and %s in %s", want, f.typ, t)
		} else if !sh.slots[pos].fits(f.typ) {
			bad("has values in the bucket that %s in %s cannot hold: bound it by min and max", f.typ, t)
		} else {
			issues = append(issues, sh.slots[pos].unfit(f.typ, f.name)...)
		}
		compiled[i] = sh.slots[pos].rules
	}
	for i := range sh.slots {
		s := &sh.slots[i]
		if _, ok := info.def.Schema[s.name]; ok {
			continue
		}
		if i == sh.key {
			issues = append(issues, Issue{s.name, CodeRequired, fmt.Sprintf("the bucket's key is missing in %s", t)})
		} else if s.required && !s.hasDefault && s.gen == 0 {
			missing = append(missing, Issue{s.name, CodeRequired, fmt.Sprintf("a required field of the bucket is missing in %s", t)})
		}
	}
	if len(issues) > 0 {
		return c, issues, missing
	}
	own := info.def
	own.Key, own.Indexes = d.Key, nil
	c.mine = newShape(sh.bucket, &own, compiled, t, &info, nil, sh.lim)
	for i := range c.mine.slots {
		dst := &c.mine.slots[i]
		src := &sh.slots[sh.byName[dst.name]]
		c.ops = append(c.ops, move{src, dst, src.kind == dst.kind && src.size == dst.size})
		if dst.ptr || src.kind >= memBytes && src.kind != memNumber || dst.kind >= memBytes && dst.kind != memNumber {
			c.slow = true
		}
	}
	return c, nil, missing
}

// plain reports whether a copy of the body is all that a read takes.
func (c *codec[T]) plain() bool { return c.native && !c.sh.refs }

// value returns what a version holds, as the caller's own. Without pointers,
// slices and maps in T nothing here moves t to the heap.
func (c *codec[T]) value(v *table.Version) T {
	switch {
	case c.plain():
		return *(*T)(at(v, c.sh.bodyOff))
	case c.native:
		t := new(T)
		*t = *(*T)(at(v, c.sh.bodyOff))
		c.own(t)
		return *t
	case c.slow:
		tmp := c.view(v)
		*c.mine.meta(tmp) = *c.sh.meta(v)
		return *(*T)(at(tmp, c.mine.bodyOff))
	}
	var t T
	c.translate(v, &t)
	return t
}

// own makes deep copies of what t shares with the store.
func (c *codec[T]) own(t *T) {
	for i := range c.sh.slots {
		s := &c.sh.slots[i]
		p := unsafe.Add(unsafe.Pointer(t), s.off-c.sh.bodyOff)
		switch {
		case s.ptr:
			if q := *(*unsafe.Pointer)(p); q != nil {
				n := reflect.New(s.goType)
				n.Elem().Set(cloneReflect(reflect.NewAt(s.goType, q).Elem(), false))
				*(*unsafe.Pointer)(p) = n.UnsafePointer()
			}
		case s.kind == memBytes:
			if b := (*[]byte)(p); *b != nil {
				*b = cloneBytes(*b)
			}
		case s.kind == memAny:
			*(*any)(p) = cloneValue(*(*any)(p))
		case s.kind == memRef:
			rv := reflect.NewAt(s.goType, p).Elem()
			rv.Set(cloneReflect(rv, false))
		}
	}
}

// view builds a version of T's layout from a bucket of another, with the
// conversions that writes use. What T cannot hold of an object or an array is
// left out: bring keeps it.
func (c *codec[T]) view(v *table.Version) *table.Version {
	tmp := c.mine.alloc()
	for i := range c.ops {
		op := &c.ops[i]
		if x := op.src.get(v); x != nil {
			if n, ok := x.(int64); ok && op.dst.kind == memFloat {
				x = float64(n)
			}
			if op.dst.kind == memRef {
				x = within(op.dst.goType, x)
			}
			_ = op.dst.put(tmp, x, c.mine.lim)
		}
	}
	return tmp
}

// within is a canonical value without the properties that a Go type does not have.
func within(t reflect.Type, c any) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch x := c.(type) {
	case map[string]any:
		if t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
			return c
		}
		out := make(map[string]any, len(x))
		if t.Kind() == reflect.Map {
			for name, e := range x {
				out[name] = within(t.Elem(), e)
			}
			return out
		}
		for _, f := range planOf(t).fields {
			if e, ok := x[f.name]; ok {
				out[f.name] = within(t.FieldByIndex(f.index).Type, e)
			}
		}
		return out
	case []any:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return c
		}
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = within(t.Elem(), e)
		}
		return out
	}
	return c
}

// translate fills a T of scalars field by field from a bucket of another layout.
func (c *codec[T]) translate(v *table.Version, t *T) {
	for i := range c.ops {
		op := &c.ops[i]
		if op.src.absent(v) {
			continue
		}
		from, to := op.src.mem(v), unsafe.Add(unsafe.Pointer(t), op.dst.off-c.mine.bodyOff)
		if op.fast {
			copyScalar(op.src.kind, op.src.size, from, to)
		} else {
			storeNumber(op.dst.kind, op.dst.size, op.src.num(v), to)
		}
	}
	if c.mine.metaOff >= c.mine.bodyOff {
		*(*Meta)(unsafe.Add(unsafe.Pointer(t), c.mine.metaOff-c.mine.bodyOff)) = *c.sh.meta(v)
	}
}

func copyScalar(kind memKind, size uintptr, from, to unsafe.Pointer) {
	switch kind {
	case memString:
		*(*string)(to) = *(*string)(from)
	case memTime:
		*(*time.Time)(to) = *(*time.Time)(from)
	case memNumber:
		*(*number)(to) = *(*number)(from)
	default:
		switch size {
		case 1:
			*(*uint8)(to) = *(*uint8)(from)
		case 2:
			*(*uint16)(to) = *(*uint16)(from)
		case 4:
			*(*uint32)(to) = *(*uint32)(from)
		default:
			*(*uint64)(to) = *(*uint64)(from)
		}
	}
}

// fits reports whether every number that the field may hold fits a Go type.
func (s *slot) fits(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	zero := reflect.Zero(t)
	var lo, hi int64
	switch s.kind {
	case memInt:
		lo = -1 << (s.size*8 - 1)
		hi = -(lo + 1)
	case memUint:
		hi = math.MaxInt64 >> (64 - min(s.size*8, 64))
		if s.size < 8 {
			hi = 1<<(s.size*8) - 1
		}
	case memFloat:
		return s.size == 4 || t.Kind() != reflect.Float32
	default:
		return t.Kind() != reflect.Float32
	}
	if s.min != nil && !s.min.n.isFloat {
		lo = max(lo, int64(s.min.n.bits))
	}
	if s.max != nil && !s.max.n.isFloat {
		hi = min(hi, int64(s.max.n.bits))
	}
	switch memOf(t) {
	case memInt:
		return !zero.OverflowInt(lo) && !zero.OverflowInt(hi)
	case memUint:
		return lo >= 0 && !zero.OverflowUint(uint64(hi))
	}
	return true
}

// storeNumber writes a number into memory of another numeric type, which
// newCodec found able to hold it.
func storeNumber(kind memKind, size uintptr, n number, to unsafe.Pointer) {
	i, f := int64(n.bits), float64(int64(n.bits))
	if n.isFloat {
		i, f = int64(n.float()), n.float()
	}
	switch {
	case kind == memFloat && size == 4:
		*(*float32)(to) = float32(f)
	case kind == memFloat:
		*(*float64)(to) = f
	case size == 1:
		*(*int8)(to) = int8(i)
	case size == 2:
		*(*int16)(to) = int16(i)
	case size == 4:
		*(*int32)(to) = int32(i)
	default:
		*(*int64)(to) = i
	}
}

// bring fills a new version of the bucket's shape from t; insertStruct or
// updateStruct follow for a native T, complete or follow, with the problems, for
// another one.
func (c *codec[T]) bring(t *T, old *table.Version) (*table.Version, problems, error) {
	v := c.sh.alloc()
	if c.native {
		*(*T)(at(v, c.sh.bodyOff)) = *t
		return v, nil, nil
	}
	var was *table.Version
	if old != nil {
		v, was = c.sh.copyOf(old), c.view(old)
	} else {
		for i := range c.sh.slots {
			c.sh.slots[i].setAbsent(v, true)
		}
	}
	tmp := c.mine.alloc()
	*(*T)(at(tmp, c.mine.bodyOff)) = *t
	if old == nil {
		c.sh.meta(v).ExpiresAt = c.mine.meta(tmp).ExpiresAt
	}
	var wrong problems
	for i := range c.ops {
		op := &c.ops[i]
		zero := op.dst.zero(tmp)
		if !zero { // first, because it finds what cannot be looked at: cycles, say
			if err := op.dst.settle(tmp, c.sh.lim); err != nil {
				wrong.add(op.dst.name, err)
				continue
			}
		}
		if old != nil && zero == op.dst.zero(was) && (zero || equalValues(op.dst.peek(tmp), op.dst.peek(was))) {
			continue // not changed: even what T cannot show of it stays
		}
		if zero && (op.dst.zeroNull || op.dst.nilable() || old == nil && op.dst.zeroAbsent) {
			op.src.clear(v)
			continue
		}
		if err := c.pass(v, tmp, op); err != nil {
			if err := wrong.note(op.dst.name, err); err != nil {
				return nil, nil, c.sh.of.prep.failed(op.src, err)
			}
		}
	}
	return v, wrong, nil
}

// pass brings a field over from T's layout.
func (c *codec[T]) pass(v, tmp *table.Version, op *move) error {
	x := op.dst.peek(tmp)
	if op.src.inner == nil {
		if err := op.src.put(v, x, c.sh.lim); err != nil {
			return err
		}
		return nil
	}
	if op.dst.kind == memRef {
		op.dst.prune(reflect.NewAt(op.dst.goType, op.dst.mem(tmp)).Elem(), x)
	}
	p := &c.sh.of.prep
	return p.take(op.src, v, x, p.clock())
}

// prune takes out of the canonical value x of rv what counts as absent in there.
func (r *rules) prune(rv reflect.Value, x any) {
	rv, ok := indirect(rv)
	if r.inner == nil || !ok || !rv.IsValid() {
		return
	}
	switch x := x.(type) {
	case map[string]any:
		for i := range r.inner.props {
			p := &r.inner.props[i]
			if rv.Kind() == reflect.Map { // where a zero is there
				p.prune(rv.MapIndex(reflect.ValueOf(p.name).Convert(rv.Type().Key())), x[p.name])
			} else if fv, ok := fieldByIndex(rv, p.index); ok && p.isAbsent(fv) {
				delete(x, p.name)
			} else if ok {
				p.prune(fv, x[p.name])
			}
		}
	case []any:
		for i, e := range x {
			if r.inner.item != nil {
				r.inner.item.prune(rv.Index(i), e)
			}
		}
	}
}

// isAbsent reports whether the memory of a property counts as absent: nil, or zero
// where something must or will be there.
func (p *property) isAbsent(fv reflect.Value) bool {
	return p.zeroAbsent && (isNil(fv) || !p.ptr && fv.IsZero())
}

// key returns the key in a struct, nil if it is zero and so absent.
func (c *codec[T]) key(t *T) any {
	sh := c.sh
	if !c.native {
		sh = c.mine
	}
	s := &sh.slots[sh.key]
	p := unsafe.Add(unsafe.Pointer(t), s.off-sh.bodyOff)
	if s.ptr {
		if p = *(*unsafe.Pointer)(p); p == nil {
			return nil
		}
	}
	if s.kind == memString {
		if k := *(*string)(p); k != "" || !s.zeroAbsent {
			return k
		}
		return nil
	}
	k := loadInt(p, s.size)
	if s.kind == memUint {
		k = int64(loadUint(p, s.size))
	}
	if k != 0 || !s.zeroAbsent {
		return k
	}
	return nil
}
