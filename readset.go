package store

import (
	"cmp"
	"slices"
	"sync"

	"github.com/noex-go/store/internal/table"
)

// readSet is what a transaction or a query function has read of one bucket, as
// narrowly as it was read: keys, and what the answers to queries depended on. A
// change overlaps it if it could have made one of those reads come out otherwise.
type readSet struct {
	mu      *sync.Mutex      // the reader's; protects what follows, dependencies included
	done    bool             // nothing more is noted
	keys    []Key            // each once
	many    map[Key]struct{} // the same, once they are many
	answers []*dependency
}

// manyKeys is from how many keys on they are found by a map.
const manyKeys = 16

// note is keyLocked for a caller who does not hold the lock.
func (s *readSet) note(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyLocked(k)
}

func (s *readSet) keyLocked(k Key) {
	if s.done {
		return
	}
	if s.hasKey(k) {
		return
	}
	s.keys = append(s.keys, k)
	switch {
	case s.many != nil:
		s.many[k] = struct{}{}
	case len(s.keys) == manyKeys:
		s.many = make(map[Key]struct{}, 2*manyKeys)
		for _, k := range s.keys {
			s.many[k] = struct{}{}
		}
	}
}

func (s *readSet) hasKey(k Key) bool {
	if s.many == nil {
		return slices.Contains(s.keys, k)
	}
	_, ok := s.many[k]
	return ok
}

// overlaps reports whether a change concerns anything that was read. It costs
// the answers read, not the bucket.
func (s *readSet) overlaps(c *change, answers bool) bool {
	if s.hasKey(c.key()) {
		return true
	}
	if !answers {
		return false
	}
	for _, d := range s.answers {
		if d.overlaps(c) {
			return true
		}
	}
	return false
}

// dependency is what the answer to a query depended on: which records match,
// within the part of the order that was read, and the values of some of their
// fields. It begins as wide as the query and is narrowed as the answer ends.
type dependency struct {
	conditions
	ordered bool   // the order of the records
	values  bool   // the fields of the records, not only which they are
	fields  []int  // with values: positions of those that were read; nil: all
	after   *place // the part that was read begins behind this one
	from    *place // or with this one
	until   *place // and ends with this one; nil: it has no end
}

// place is a position in the order of a query, of a record at its time.
type place struct {
	v       *table.Version
	ordinal uint64
	values  *position // instead of v: of a page
}

// compare orders a place and a record.
func (a *place) compare(p *conditions, v *table.Version, ordinal uint64) int {
	if a.values != nil {
		return a.values.compare(p, v, ordinal)
	}
	for i := range p.order {
		if c := p.order[i].compare(a.v, v); c != 0 {
			return c
		}
	}
	if p.b.def.Ordered {
		return 0
	}
	return cmp.Compare(a.ordinal, ordinal)
}

// reads reports whether a record was, or would have been, among those read.
func (d *dependency) reads(v *table.Version, ordinal uint64) bool {
	return v != nil && !d.never && d.test(v, 0) &&
		(d.after == nil || d.after.compare(&d.conditions, v, ordinal) < 0) &&
		(d.from == nil || d.from.compare(&d.conditions, v, ordinal) <= 0) &&
		(d.until == nil || d.until.compare(&d.conditions, v, ordinal) >= 0)
}

func (d *dependency) overlaps(c *change) bool {
	was, is := d.reads(c.old, c.ordinal), d.reads(c.new, c.ordinal)
	if was != is {
		return true
	}
	if !was {
		return false
	}
	if d.ordered {
		for i := range d.order { // it may have changed its place
			if d.order[i].compare(c.old, c.new) != 0 {
				return true
			}
		}
	}
	if !d.values {
		return false
	}
	if d.fields == nil {
		return true
	}
	for _, pos := range d.fields {
		if !c.b.shape.slots[pos].identical(c.old, c.new) {
			return true
		}
	}
	return false
}

// answer notes that an answer to a query is read, as widely as it may be.
func (s *readSet) answer(p *plan, after *position, ordered bool) *dependency {
	d := p.depend()
	d.ordered, d.values = ordered, true
	if after != nil {
		d.after = &place{values: after}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.answers = append(s.answers, d)
	}
	return d
}

// depend notes an answer that counters give; it reads which records there are,
// and of their fields the given ones.
func (r *reading) depend(p *plan, fields ...*fieldRef) {
	if r.reads == nil {
		return
	}
	d := r.reads.answer(p, nil, false)
	r.reads.narrow(func() { d.read(fields) })
}

// narrow changes a dependency.
func (s *readSet) narrow(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		change()
	}
}

// shows says that the answer brings records to the caller, with the fields of the
// query's Select, if it has one.
func (x *exec) shows(sel *selection) {
	x.marks = x.p.b.marks
	if x.dep == nil || sel == nil || len(sel.extra) > 0 || len(sel.meta) > 0 {
		return
	}
	var fields []*fieldRef
	sh := x.p.b.shape
	for pos, shown := range sel.slots {
		if shown && pos != sh.key {
			fields = append(fields, &fieldRef{slot: &sh.slots[pos]})
		}
	}
	x.only(fields...)
}

// only says that the answer reads which records there are, and no more of them
// than the given fields.
func (x *exec) only(fields ...*fieldRef) {
	if x.dep != nil {
		x.rd.reads.narrow(func() { x.dep.read(fields) })
	}
}

// read narrows a dependency to some fields; metadata and paths count as all.
func (d *dependency) read(fields []*fieldRef) {
	d.values, d.fields = len(fields) > 0, []int{}
	for _, f := range fields {
		if f.slot == nil {
			d.fields = nil
			return
		}
		d.fields = append(d.fields, f.slot.pos)
	}
}

// stop says that nothing behind v was read.
func (x *exec) stop(v *table.Version) {
	if x.dep == nil || x.unordered {
		return
	}
	k := x.p.b.shape.keyOf(v)
	ordinal, _ := x.rd.ordinal(k.text, k.word)
	end := &place{v: v, ordinal: ordinal}
	x.rd.reads.narrow(func() {
		if x.reversed {
			x.dep.from = end
		} else {
			x.dep.until = end
		}
	})
}

// same reports whether the same changes overlap a dependency and another one: they
// have the same conditions, bounds and fields. It may say no where that is so.
func (d *dependency) same(o *dependency) bool {
	return d.ordered == o.ordered && d.values == o.values && (d.fields == nil) == (o.fields == nil) &&
		slices.Equal(d.fields, o.fields) && d.asks(&o.conditions) && samePlace(d.after, o.after) && samePlace(d.from, o.from) && samePlace(d.until, o.until)
}

func samePlace(a, b *place) bool {
	return a == b || a != nil && b != nil && a.values == nil && b.values == nil && a.v == b.v && a.ordinal == b.ordinal
}

// asks reports whether conditions are others of the same bucket, and in the same
// order. It may say no where they are.
func (p *conditions) asks(o *conditions) bool {
	if len(p.conds) != len(o.conds) || p.never != o.never || len(p.order) != len(o.order) {
		return false
	}
	for i := range p.conds {
		if !p.conds[i].is(&o.conds[i]) {
			return false
		}
	}
	for i := range p.order {
		if p.order[i].ref.name != o.order[i].ref.name || p.order[i].desc != o.order[i].desc {
			return false
		}
	}
	return true
}

// is reports whether a condition is another one, of those that are compared fast.
func (c *cond) is(o *cond) bool {
	if c.op != o.op || c.not != o.not || c.slot != o.slot || (c.far == nil) != (o.far == nil) || c.far != nil && c.far.name != o.far.name {
		return false
	}
	switch c.op {
	case condEq:
		return equalValues(c.want, o.want)
	case condRange:
		r, s := c.span, o.span
		return r.loOpen == s.loOpen && r.hiOpen == s.hiOpen && equalValues(r.lo, s.lo) && equalValues(r.hi, s.hi)
	}
	return false
}
