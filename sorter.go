package store

import (
	"cmp"
	"slices"

	"github.com/noex-go/store/internal/table"
)

// sorter puts records into the query's order: all at once, or, where the path
// brings the first keys of the order already, group by group. Where only the
// first k are asked for, it keeps no more than those: a heap with the last of
// them on top. Ties are broken by the row, which is the order of insertion; in a
// bucket that is ordered by keys there are none.
//
// n records cost O(n log n), with a limit O(n log k) and memory for k.
type sorter struct {
	items []sortItem // of the group
	out   int        // of them, given out
	batch []sortItem // the records read last
	ahead int        // those of the batch from here on belong to the next group
	ended bool
}

// sortItem is a record to be sorted: word abbreviates the first key.
type sortItem struct {
	word uint64
	v    *table.Version
	row  uint32
}

func byRow(a, b sortItem) int { return cmp.Compare(a.row, b.row) }

// next returns the next records in order.
func (s *sorter) next(x *exec) []*table.Version {
	if s.out == len(s.items) {
		s.items, s.out = s.items[:0], 0
		s.group(x)
	}
	n := min(len(x.buf), len(s.items)-s.out)
	for i := range n {
		x.buf[i], x.nums[i] = s.items[s.out+i].v, s.items[s.out+i].row
	}
	s.out += n
	return x.buf[:n]
}

// group reads and sorts the next group.
func (s *sorter) group(x *exec) {
	keep := -1 // how many of the group can matter
	if x.left >= 0 {
		keep = x.skip + x.left
	}
	var first sortItem
	for {
		for ; s.ahead < len(s.batch); s.ahead++ {
			it := s.batch[s.ahead]
			if first.v == nil {
				first = it
			} else if x.c.served > 0 && s.apart(x, first.v, it.v) {
				s.finish(x)
				return
			}
			s.offer(x, it, keep)
		}
		if s.ended {
			s.finish(x)
			return
		}
		s.read(x, keep)
	}
}

// read fills the batch. What comes behind all that is kept is left out at once,
// unless it may begin another group.
func (s *sorter) read(x *exec, keep int) {
	n := x.matching(x.buf[:], x.nums[:])
	s.batch, s.ahead, s.ended = s.batch[:0], 0, n == 0
	full := keep > 0 && len(s.items) == keep && x.c.served == 0
	for i, v := range x.buf[:n] {
		it := sortItem{v: v, row: x.nums[i]}
		if len(x.p.order) > 0 {
			if it.word = x.p.order[0].abbreviate(v); full && it.word > s.items[0].word {
				continue
			}
		}
		s.batch = append(s.batch, it)
	}
}

// apart reports whether two records, one read after the other, belong to
// different groups. The records beside an index are one group.
func (s *sorter) apart(x *exec, a, b *table.Version) bool {
	for i := range x.c.served {
		if x.p.order[i].compare(a, b) != 0 {
			return true
		}
		if i == 0 && x.c.nulls != noNulls && x.p.order[0].ref.slot.absent(a) {
			return false
		}
	}
	return false
}

// offer takes a record into the group, or leaves it out because keep others come
// before it.
func (s *sorter) offer(x *exec, it sortItem, keep int) {
	switch {
	case keep < 0 || len(s.items) < keep:
		s.items = append(s.items, it)
		if len(s.items) == keep {
			for i := keep/2 - 1; i >= 0; i-- {
				s.sink(x, i)
			}
		}
	case x.p.compareItems(&it, &s.items[0]) < 0:
		s.items[0] = it
		s.sink(x, 0)
	}
}

// sink restores the heap below i: an item comes after those under it.
func (s *sorter) sink(x *exec, i int) {
	for {
		child := 2*i + 1
		if child >= len(s.items) {
			return
		}
		if r := child + 1; r < len(s.items) && x.p.compareItems(&s.items[r], &s.items[child]) > 0 {
			child = r
		}
		if x.p.compareItems(&s.items[i], &s.items[child]) >= 0 {
			return
		}
		s.items[i], s.items[child] = s.items[child], s.items[i]
		i = child
	}
}

func (s *sorter) finish(x *exec) {
	p := x.p
	slices.SortFunc(s.items, func(a, b sortItem) int { return p.compareItems(&a, &b) })
}

// compareItems is the query's order.
func (p *plan) compareItems(a, b *sortItem) int {
	if a.word != b.word {
		return cmp.Compare(a.word, b.word)
	}
	for i := range p.order {
		if c := p.order[i].compare(a.v, b.v); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.row, b.row)
}
