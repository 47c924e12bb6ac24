package store

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// Filter is a condition on a record. Filters are compiled against the bucket's
// schema when the query runs; an unknown field, or a value that the field could
// never have, is a *QueryError that names both.
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
	index  int        // accessIndex, accessPrefix
	key    table.Key  // accessIndex: the key; accessPrefix: the first key
	next   *table.Key // accessPrefix: the first key after those with the prefix
	text   string     // accessKey
	word   int64
	conds  []cond // what is left to test
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
// scan. The order of the result is the bucket's, except with accessPrefix.
func (b *bucket) compile(filters []Filter) (plan, error) {
	p := plan{b: b}
	if b.dropped.Load() {
		return p, b.fail("query", Key{}, ErrBucketNotDefined)
	}
	sh := b.shape
	for _, f := range filters {
		pos, ok := sh.byName[f.field]
		if !ok {
			return p, &QueryError{b.name, f.field, "is not in the schema"}
		}
		s := &sh.slots[pos]
		want, err := sh.lim.convert(s.typ, f.value)
		if err != nil {
			return p, &QueryError{b.name, f.field, fmt.Sprintf("has type %s: the value to compare with %s", s.typ, err.msg)}
		}
		p.conds = append(p.conds, cond{s, want})
	}
	if len(p.conds) > 0 {
		p.choose()
	}
	return p, nil
}

// eq returns the value that the conditions ask of a field.
func (p *plan) eq(pos int) (any, bool) {
	for i := range p.conds {
		if p.conds[i].slot.pos == pos {
			return p.conds[i].want, p.conds[i].want != nil
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
	values := make([]any, 0, len(ix.fields))
	for _, f := range ix.fields {
		want, ok := p.eq(f)
		if !ok {
			break
		}
		values = append(values, want)
	}
	p.index, p.key = best, ix.key(values)
	p.access = accessIndex
	if len(values) < len(ix.fields) {
		p.access = accessPrefix
		p.next = prefixEnd(p.key)
	}
	// What the index answers need not be tested again, unless two conditions
	// name one field.
	rest := p.conds[:0]
	seen := map[int]bool{}
	for _, c := range p.conds {
		used := false
		for _, f := range ix.fields[:len(values)] {
			used = used || f == c.slot.pos
		}
		if !used || seen[c.slot.pos] {
			rest = append(rest, c)
		}
		seen[c.slot.pos] = true
	}
	p.conds = rest
}

// each calls yield with the matching records that a view sees.
func (p *plan) each(v table.View, yield func(*table.Version) bool) {
	if len(p.conds) > 0 {
		inner := yield
		yield = func(u *table.Version) bool {
			for i := range p.conds {
				if !p.conds[i].test(u) {
					return true
				}
			}
			return inner(u)
		}
	}
	switch p.access {
	case accessAll:
		if p.b.def.Ordered {
			v.Range(0, table.Range{NoLo: true, NoHi: true}, false, yield)
		} else {
			v.Scan(yield)
		}
	case accessKey:
		u := v.GetWord(p.word)
		if p.b.shape.textKey() {
			u = v.GetText(p.text)
		}
		if u != nil {
			yield(u)
		}
	case accessIndex:
		v.Lookup(p.index, p.key, yield)
	case accessPrefix:
		g := table.Range{Lo: p.key, NoHi: p.next == nil}
		if p.next != nil {
			g.Hi = *p.next
		}
		v.Range(p.index, g, false, yield)
	}
}

// back is each for a plan that scans, from the last record to the first.
func (p *plan) back(v table.View, yield func(*table.Version) bool) {
	if p.b.def.Ordered {
		v.Range(0, table.Range{NoLo: true, NoHi: true}, true, yield)
	} else {
		v.ScanBack(yield)
	}
}

// count returns the number of matching records, from counters where they have
// the answer.
func (p *plan) count(v table.View) int {
	if len(p.conds) == 0 {
		switch p.access {
		case accessAll:
			return v.Count()
		case accessIndex:
			return v.CountKey(p.index, p.key)
		}
	}
	n := 0
	p.each(v, func(*table.Version) bool { n++; return true })
	return n
}

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
