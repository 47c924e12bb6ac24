package store

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// Filter is a condition on a record. Filters are compiled against the bucket's
// schema when the query is made; an unknown field, or a value of another type than
// the field's, is a *QueryError that names both.
type Filter struct {
	op    filterOp
	field string
	value any
}

type filterOp uint8

const opEq filterOp = iota + 1

// Eq matches records whose field has the value; nil matches those without it.
// Numbers are compared as numbers, dates as instants.
func Eq(field string, value any) Filter { return Filter{opEq, field, value} }

// cond is a compiled condition.
type cond struct {
	slot *slot
	want any // canonical; nil: absent
}

// test reports whether a version meets the condition.
func (c *cond) test(v *table.Version) bool {
	s := c.slot
	if s.absent(v) {
		return c.want == nil
	}
	if c.want == nil {
		return false
	}
	p := s.mem(v)
	switch s.kind {
	case memString:
		w, ok := c.want.(string)
		return ok && *(*string)(p) == w
	case memInt, memUint, memFloat, memNumber:
		switch w := c.want.(type) {
		case int64:
			return s.num(v).compare(intNumber(w)) == 0
		case float64:
			return s.num(v).compare(floatNumber(w)) == 0
		}
		return false
	case memBool:
		w, ok := c.want.(bool)
		return ok && *(*bool)(p) == w
	case memTime:
		w, ok := c.want.(time.Time)
		return ok && (*time.Time)(p).Equal(w)
	}
	return equalValues(s.peek(v), c.want)
}

// plan is how a query finds its records.
type plan struct {
	b      *bucket
	access access
	n      int       // conditions left to test, in few or more
	index  int       // accessIndex, accessPrefix
	key    table.Key // accessIndex: the key; accessPrefix: the first key
	end    table.Key // accessPrefix: the first key after those with the prefix
	noEnd  bool      // accessPrefix: there is none
	text   string    // accessKey
	word   int64
	few    [4]cond
	more   []cond
}

func (p *plan) cond(i int) *cond {
	if p.more != nil {
		return &p.more[i]
	}
	return &p.few[i]
}

type access uint8

const (
	accessAll    access = iota // every record, in the bucket's order
	accessNone                 // no record can match
	accessKey                  // the record with a key
	accessIndex                // the records with a key of an index
	accessPrefix               // the records whose first index fields have given values
)

// compile checks the filters and chooses how to find the records: by the key, by
// the index that covers most of the equalities (a unique one first), else by a
// scan.
func (b *bucket) compile(p *plan, filters []Filter) error {
	p.b = b
	if b.dropped.Load() {
		return b.fail("query", Key{}, ErrBucketNotDefined)
	}
	sh := b.shape
	if len(filters) > len(p.few) {
		p.more = make([]cond, len(filters))
	}
	for i := range filters {
		f := &filters[i]
		pos, ok := sh.byName[f.field]
		if !ok {
			return &QueryError{b.name, f.field, "is not in the schema"}
		}
		s := &sh.slots[pos]
		want, err := sh.lim.convert(s.typ, f.value)
		if err != nil {
			return &QueryError{b.name, f.field, fmt.Sprintf("has type %s: the value to compare with %s", s.typ, err.msg)}
		}
		if f32, ok := want.(float64); ok && s.kind == memFloat && s.size == 4 {
			want = float64(float32(f32)) // as the field holds it
		}
		*p.cond(i) = cond{s, want}
	}
	if p.n = len(filters); p.n > 0 {
		p.choose()
	}
	return nil
}

// eq returns the value that the conditions ask of a field.
func (p *plan) eq(pos int) (any, bool) {
	for i := range p.n {
		if c := p.cond(i); c.slot.pos == pos {
			return c.want, c.want != nil
		}
	}
	return nil, false
}

func (p *plan) choose() {
	sh := p.b.shape
	if want, ok := p.eq(sh.key); ok {
		p.access = accessKey
		if sh.textKey() {
			p.text = want.(string)
		} else {
			p.word = want.(int64)
		}
		p.answered([]int{sh.key})
		return
	}
	best, covered := -1, 0
	for i := range sh.indexes {
		ix := &sh.indexes[i]
		n := 0
		for n < len(ix.fields) {
			if _, ok := p.eq(ix.fields[n]); !ok {
				break
			}
			n++
		}
		if ix.unique && n > 0 {
			n = maxIndexes // at most one record
		}
		if n > covered {
			best, covered = i, n
		}
	}
	if best < 0 {
		return
	}
	ix := &sh.indexes[best]
	p.index, p.access = best, accessIndex
	if len(ix.fields) == 1 {
		want, _ := p.eq(ix.fields[0])
		p.key = ix.single(want)
		p.answered(ix.fields[:1])
		return
	}
	var values []any
	for _, f := range ix.fields {
		want, ok := p.eq(f)
		if !ok {
			break
		}
		values = append(values, want)
	}
	p.key = ix.prefix(values)
	if len(values) < len(ix.fields) {
		p.access = accessPrefix
		end := keyenc.Successor([]byte(p.key.Text))
		p.end, p.noEnd = table.Key{Text: string(end)}, end == nil
	}
	p.answered(ix.fields[:len(values)])
}

// answered drops the conditions that the index answers: one for each of its
// fields, the first; a second one on the same field is still to be tested.
func (p *plan) answered(fields []int) {
	n := 0
	for i := range p.n {
		c := *p.cond(i)
		first := slices.Contains(fields, c.slot.pos)
		for j := range i {
			first = first && p.cond(j).slot.pos != c.slot.pos
		}
		if !first {
			*p.cond(n) = c
			n++
		}
	}
	p.n = n
}

// passes reports whether a version meets the conditions that are left.
func (p *plan) passes(v *table.Version) bool {
	for i := range p.n {
		if !p.cond(i).test(v) {
			return false
		}
	}
	return true
}

// each calls yield with the matching records that a view sees, in the bucket's
// order.
func (p *plan) each(v table.View, yield func(*table.Version) bool) {
	if p.n > 0 {
		inner := yield
		p.find(v, func(u *table.Version) bool { return !p.passes(u) || inner(u) })
		return
	}
	p.find(v, yield)
}

// find is each before the conditions that are left.
func (p *plan) find(v table.View, yield func(*table.Version) bool) {
	if p.unsorted() {
		p.eachSorted(v, yield)
		return
	}
	switch p.access {
	case accessAll:
		if p.b.def.Ordered {
			v.Range(0, table.Range{NoLo: true, NoHi: true}, false, yield)
		} else {
			v.Scan(yield)
		}
	case accessKey:
		if u := p.byKey(v); u != nil {
			yield(u)
		}
	case accessIndex:
		v.Lookup(p.index, p.key, yield)
	}
}

// unsorted reports whether the index finds the records in another order than
// the bucket's.
func (p *plan) unsorted() bool {
	return p.access == accessPrefix || p.access == accessIndex && p.b.def.Ordered
}

// eachSorted finds all records and sorts them before it yields the first.
func (p *plan) eachSorted(v table.View, yield func(*table.Version) bool) {
	found := v.Gather(p.index, p.span())
	if p.b.def.Ordered {
		key := &p.b.shape.slots[p.b.shape.key]
		slices.SortFunc(found, func(a, b *table.Version) int { return key.compare(a, b) })
	}
	for _, u := range found {
		if !yield(u) {
			return
		}
	}
}

// span is the interval of the index that the plan reads.
func (p *plan) span() table.Range {
	if p.access == accessPrefix {
		return table.Range{Lo: p.key, Hi: p.end, NoHi: p.noEnd}
	}
	if p.b.shape.indexes[p.index].word {
		return table.Range{Lo: p.key, Hi: table.Key{Word: p.key.Word + 1}, NoHi: p.key.Word == math.MaxUint64}
	}
	return table.Range{Lo: p.key, Hi: table.Key{Text: p.key.Text + "\x00"}}
}

func (p *plan) byKey(v table.View) *table.Version {
	if p.b.shape.textKey() {
		return v.GetText(p.text)
	}
	return v.GetWord(p.word)
}

// back is each for a plan that scans, from the last record to the first.
func (p *plan) back(v table.View, yield func(*table.Version) bool) {
	if p.b.def.Ordered {
		v.Range(0, table.Range{NoLo: true, NoHi: true}, true, yield)
	} else {
		v.ScanBack(yield)
	}
}

// hint returns how many records to make room for: their number where a counter
// has it, else 0. It never scans.
func (p *plan) hint(v table.View) (n int) {
	switch {
	case p.n > 0:
	case p.access == accessAll:
		n, _ = v.Counted()
	case p.access == accessIndex:
		n, _ = v.CountedKey(p.index, p.key)
	}
	return n
}

// count returns the number of matching records, from counters where they have
// the answer.
func (p *plan) count(v table.View) int {
	if p.n == 0 {
		switch p.access {
		case accessAll:
			return v.Count()
		case accessIndex:
			return v.CountKey(p.index, p.key)
		}
	}
	return p.countEach(v)
}

// countEach works on a copy, so that a plan whose count a counter has need not
// be on the heap.
func (p plan) countEach(v table.View) int {
	n := 0
	p.each(v, func(*table.Version) bool { n++; return true })
	return n
}
