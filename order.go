package store

import (
	"bytes"
	"strings"
	"time"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// Order is one field of an OrderBy, with its direction. Absent fields come
// first in ascending order, and last in descending.
type Order struct {
	field string
	desc  bool
	err   error
}

// Asc orders by a field, named as in a Filter, from the least value to the greatest.
func Asc(field string) Order { return Order{field: field} }

// Desc orders by a field from the greatest value to the least.
func Desc(field string) Order { return Order{field: field, desc: true} }

// orderKey is an Order as compiled.
type orderKey struct {
	ref  fieldRef
	desc bool
}

// compileOrder leaves out what cannot decide: a field that an equality fixes, or
// that is there already. Records that are equal in all fields keep the bucket's
// order: where that is the keys', the key comes last; else the rows decide.
func (p *plan) compileOrder(k compiler, order []Order) error {
	sh := p.b.shape
	for _, o := range order {
		if o.err != nil {
			return k.own(o.err)
		}
		ref, wrong := sh.field(o.field)
		if wrong != "" {
			return k.err(o.field, "%s", wrong)
		}
		if ref.typ == Object || ref.typ == Array {
			return k.err(o.field, "has type %s, which has no order", ref.typ)
		}
		p.orderBy(ref, o.desc)
	}
	if p.b.def.Ordered {
		s := &sh.slots[sh.key]
		p.orderBy(fieldRef{name: s.name, typ: s.typ, slot: s}, false)
	}
	return nil
}

func (p *plan) orderBy(ref fieldRef, desc bool) {
	for i := range p.order {
		if p.order[i].ref.name == ref.name {
			return
		}
	}
	if ref.plain() {
		if eq, _, _ := p.on(ref.slot.pos); eq >= 0 {
			return
		}
	}
	p.order = append(p.order, orderKey{ref, desc})
}

// compare orders two versions by the key alone.
func (k *orderKey) compare(a, b *table.Version) int {
	c := 0
	if k.ref.plain() {
		c = k.ref.slot.compare(a, b)
	} else {
		c = compareValues(k.ref.peek(a), k.ref.peek(b))
	}
	if k.desc {
		return -c
	}
	return c
}

// compareTo orders a version and a value that one had.
func (k *orderKey) compareTo(v *table.Version, want any) int {
	c, ok := 0, false
	if s := k.ref.slot; k.ref.plain() && !s.absent(v) {
		c, ok = s.compareTo(v, want)
	}
	if !ok {
		c = compareValues(k.ref.peek(v), want)
	}
	if k.desc {
		return -c
	}
	return c
}

// compareTo orders a field that is present and a value of its own type, if it is
// of those that would cost an allocation to take out.
func (s *slot) compareTo(v *table.Version, want any) (c int, ok bool) {
	p := s.mem(v)
	switch want := want.(type) {
	case string:
		if s.kind == memString {
			return strings.Compare(*(*string)(p), want), true
		}
	case int64:
		if s.kind == memInt {
			return compareOrdered(loadInt(p, s.size), want), true
		}
	case float64:
		if s.kind == memFloat {
			return compareOrdered(loadFloat(p, s.size), want), true
		}
	}
	return 0, false
}

// compare orders two records by a field.
func (s *slot) compare(a, b *table.Version) int {
	if x, y := s.absent(a), s.absent(b); x || y {
		return int(keyenc.Bool(y)) - int(keyenc.Bool(x))
	}
	p, q := s.mem(a), s.mem(b)
	switch s.kind {
	case memString:
		return strings.Compare(*(*string)(p), *(*string)(q))
	case memInt:
		return compareOrdered(loadInt(p, s.size), loadInt(q, s.size))
	case memUint:
		return compareOrdered(int64(loadUint(p, s.size)), int64(loadUint(q, s.size)))
	case memFloat:
		return compareOrdered(loadFloat(p, s.size), loadFloat(q, s.size))
	case memBool:
		return int(keyenc.Bool(*(*bool)(p))) - int(keyenc.Bool(*(*bool)(q)))
	case memTime:
		return (*time.Time)(p).Compare(*(*time.Time)(q))
	case memNumber:
		return (*number)(p).compare(*(*number)(q))
	case memBytes:
		return bytes.Compare(*(*[]byte)(p), *(*[]byte)(q))
	}
	return compareValues(s.peek(a), s.peek(b))
}

// abbreviate returns a word that orders as the key does, as far as it goes: where
// two words are equal, the versions must be compared.
func (k *orderKey) abbreviate(v *table.Version) uint64 {
	w := uint64(0)
	if s := k.ref.slot; k.ref.plain() && !s.absent(v) {
		p := s.mem(v)
		switch s.kind {
		case memString:
			w = abbreviateText(*(*string)(p))
		case memInt:
			w = keyenc.Int64(loadInt(p, s.size))
		case memUint:
			w = keyenc.Int64(int64(loadUint(p, s.size)))
		case memFloat:
			w = keyenc.Float64(loadFloat(p, s.size))
		case memNumber:
			if n := s.num(v); n.isFloat {
				w = keyenc.Float64(n.float())
			} else {
				w = keyenc.Float64(float64(int64(n.bits)))
			}
		case memTime:
			w = keyenc.Int64((*time.Time)(p).Unix())
		case memBool:
			w = 1 + keyenc.Bool(*(*bool)(p))
		}
	}
	if k.desc {
		return ^w
	}
	return w
}

func abbreviateText(s string) (w uint64) {
	for i := range min(len(s), 8) {
		w |= uint64(s[i]) << (56 - 8*i)
	}
	return w
}
