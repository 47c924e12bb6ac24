package store

import (
	"github.com/noex-go/store/internal/table"
)

// Sifting: a condition tested on a batch of records at once. What an unindexed
// query spends its time on, integers, floats, strings and bools that lie at their
// place in the record, have a loop without calls: about 1 ns a record, where a
// test of each costs 5 to 10.

// sift keeps the records of a batch, and their row numbers unless rows is nil, that
// meet all conditions but those in a set. It returns how many they are.
func (p *conditions) sift(batch []*table.Version, rows []uint32, answered uint64) int {
	for i := range p.conds {
		if answered>>i&1 == 0 && len(batch) > 0 {
			batch = batch[:p.conds[i].sift(batch, rows)]
		}
	}
	return len(batch)
}

func (c *cond) sift(batch []*table.Version, rows []uint32) int {
	if s := c.slot; s != nil && s.direct() {
		switch c.op {
		case condEq:
			if n, ok := c.siftEqual(s, batch, rows); ok {
				return n
			}
		case condRange:
			r := c.span
			switch {
			case r.empty || s.size != 8:
			case s.kind == memInt:
				return siftRange(batch, rows, s, r.iLo, r.iHi, c.not)
			case s.kind == memFloat:
				return siftRange(batch, rows, s, r.fLo, r.fHi, c.not)
			}
		}
	}
	n := 0
	for i, v := range batch {
		if c.test(v) {
			keep(batch, rows, n, i)
			n++
		}
	}
	return n
}

// keep moves a record forward.
func keep(batch []*table.Version, rows []uint32, to, from int) {
	if batch[to] = batch[from]; rows != nil {
		rows[to] = rows[from]
	}
}

func (c *cond) siftEqual(s *slot, batch []*table.Version, rows []uint32) (n int, ok bool) {
	switch want := c.want.(type) {
	case int64:
		if s.kind == memInt && s.size == 8 {
			return siftRange(batch, rows, s, want, want, c.not), true
		}
	case float64:
		if s.kind == memFloat && s.size == 8 {
			return siftRange(batch, rows, s, want, want, c.not), true
		}
	case string:
		if s.kind == memString {
			return siftValue(batch, rows, s, want, c.not), true
		}
	case bool:
		if s.kind == memBool {
			return siftValue(batch, rows, s, want, c.not), true
		}
	}
	return 0, false
}

// siftRange keeps the records whose number lies within, or with not the others,
// among which are those without one.
func siftRange[T int64 | float64](batch []*table.Version, rows []uint32, s *slot, lo, hi T, not bool) (n int) {
	mask, off := uint32(1)<<s.pos, s.off
	for i, v := range batch {
		x := *(*T)(at(v, off))
		if (x >= lo && x <= hi && v.Nulls&mask == 0) != not {
			keep(batch, rows, n, i)
			n++
		}
	}
	return n
}

// siftValue keeps the records with a value, or with not the others.
func siftValue[T string | bool](batch []*table.Version, rows []uint32, s *slot, want T, not bool) (n int) {
	mask, off := uint32(1)<<s.pos, s.off
	for i, v := range batch {
		if (*(*T)(at(v, off)) == want && v.Nulls&mask == 0) != not {
			keep(batch, rows, n, i)
			n++
		}
	}
	return n
}
