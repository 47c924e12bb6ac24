package table

import (
	"math/bits"
	"sync/atomic"
)

// rowset is a set of row numbers in ascending order: a tree from row/64 to a
// word of 64 bits, so that it costs about 17 bytes a row where rows are rare
// and a quarter of a byte where they are dense. One writer, any number of
// readers. It also keeps the number of its rows that the published sequence
// sees with the value that the set stands for.
type rowset struct {
	n     atomic.Int64 // live rows at the published sequence
	delta int64        // writer: what the pending commit changes of n
	dirty bool         // writer: in the table's list of sets with a delta
	size  int          // writer: rows in the set
	words setTree
}

type (
	setTree   = tree[uint32, none, uint64]
	setCursor = cursor[uint32, none, uint64]
)

// An index entry is the row itself while there is one, else manyRows, and the
// rows are in the set beside it.
const manyRows = 1<<32 - 1

func (s *rowset) add(row uint32) {
	bit := uint64(1) << (row & 63)
	l, slot, added := s.words.put(row>>6, bit)
	if !added {
		w := l.val(slot)
		if w&bit != 0 {
			return
		}
		l.setVal(slot, w|bit)
	}
	s.size++
}

func (s *rowset) remove(row uint32) {
	l := s.words.find(row >> 6)
	if l == nil {
		return
	}
	p := l.perm.Load()
	i, ok := l.search(p, row>>6)
	if !ok {
		return
	}
	slot := permAt(p, i)
	was := l.val(slot)
	w := was &^ (1 << (row & 63))
	if w == was {
		return
	}
	s.size--
	l.setVal(slot, w)
	if w == 0 {
		s.words.remove(row >> 6)
	}
}

// only returns the row of a set that has exactly one.
func (s *rowset) only() uint32 {
	c := s.words.first()
	return c.key()<<6 | uint32(bits.TrailingZeros64(c.l.val(c.slot())))
}

// each calls fn with the rows in ascending order, for tests and the writer.
func (s *rowset) each(fn func(row uint32) bool) bool {
	for c := s.words.first(); c.ok(); c.next() {
		for w := c.l.val(c.slot()); w != 0; w &= w - 1 {
			if !fn(c.key()<<6 | uint32(bits.TrailingZeros64(w))) {
				return false
			}
		}
	}
	return true
}
