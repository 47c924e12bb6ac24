package table

import (
	"math/bits"
)

// What a bounded bucket asks of its table, and expiry: which records go next. All
// of it belongs to the writer and sees pending changes. A walk begins where the one
// before has found the first live record, so that it costs what it visits, however
// many dead rows an old snapshot keeps in front.

// flagRead says that a version was handed out, or took the place of another.
const flagRead = 1 << 17

// MarkRead notes that a reader was given v, unless that is known. Any goroutine.
func (v *Version) MarkRead() {
	if v.bits.Load()&flagRead == 0 {
		v.bits.Or(flagRead)
	}
}

// Live is the number of live records.
func (t *Table) Live() int { return int(t.n.Load() + t.delta) }

// Oldest calls visit with the live records in the order of insertion, until it
// returns false, and reports whether it never did. visit may delete the record
// that it is given.
func (t *Table) Oldest(visit func(Ref) bool) bool {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	at, ok := nextLive(dir, r.front)
	if r.front = at.row; !ok {
		r.front = r.rows.next
	}
	for ok {
		if !visit(at) {
			return false
		}
		at, ok = nextLive(dir, at.row+1)
	}
	return true
}

// nextLive is the first live record in a row from row on; false if there is none.
func nextLive(dir *rowDir, row uint32) (Ref, bool) {
	if from := dir.base << chunkBits; row < from {
		row = from
	}
	for i := row>>chunkBits - dir.base; i < uint32(len(dir.chunks)); i++ {
		c := dir.chunks[i]
		for j := row & (chunkRows - 1); c != nil && j < chunkRows; j++ {
			if v := c.cells[j].Load(); v != nil && !v.dead() {
				return Ref{v, (dir.base+i)<<chunkBits + j}, true
			}
		}
		row = 0
	}
	return Ref{}, false
}

// LeastRead calls visit with live records that nobody was given since the hand
// passed them last, and then with the others, as Oldest does. The
// hand goes round in the order of insertion, and takes the marks of those it
// passes: O(1) a record, spread over the reads that made the marks.
//
// The algorithm is SIEVE (Zhang et al., NSDI 2024), with rows for its queue.
func (t *Table) LeastRead(visit func(Ref) bool) bool {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	for turn := 0; turn < 3; { // from the hand on, everything, everything without marks
		at, ok := nextLive(dir, r.rowFrom(t.hand))
		if !ok {
			t.hand = 0
			turn++
			continue
		}
		t.hand = r.ordinal(at.row) + 1
		if at.V.bits.Load()&flagRead != 0 {
			at.V.bits.And(^uint32(flagRead))
			continue
		}
		if !visit(at) {
			return false
		}
	}
	return t.Oldest(visit) // readers were faster
}

// rowFrom is the first row number whose ordinal is at least ord.
func (r *root) rowFrom(ord uint64) uint32 {
	if ord == 0 {
		return 0
	}
	row, ok := r.rowAfter(ord - 1)
	if !ok {
		return r.rows.next
	}
	return row
}

// Least calls visit with the live records that are in index i, in the order of its
// keys, equal ones in the order of insertion, as Oldest does.
func (t *Table) Least(i int, visit func(Ref) bool) bool {
	r := t.root.Load()
	return r.indexes[i].least(r.rows.dir.Load(), visit)
}

// floor is a place in an index before which there is no live record.
type floor[K any] struct {
	key K
	row uint32
	set bool
}

// lower brings the floor down to the entry of a version that has become live.
func (x *keyIndex[K, S]) lower(v *Version, row uint32) {
	if k, ok := x.key(v, x.buf[:0]); ok {
		x.lowerTo(k, row)
	}
}

func (x *keyIndex[K, S]) lowerTo(k K, row uint32) {
	if f := &x.floor; f.set && (k < f.key || k == f.key && row < f.row) {
		f.key, f.row = x.keep(k), row
	}
}

func (x *keyIndex[K, S]) least(d *rowDir, visit func(Ref) bool) bool {
	c := x.tree.first()
	if x.floor.set {
		c = x.tree.seek(x.floor.key)
	}
	first := true
	for ; c.ok(); c.next() {
		k := c.key()
		look := func(row uint32) (on bool) {
			at := Ref{d.head(row), row}
			if !x.has(at.V, k, x.other[:0]) {
				return true
			}
			if first {
				x.floor, first = floor[K]{k, row, true}, false
			}
			return visit(at)
		}
		s := c.l.set(c.slot())
		if s == nil {
			if !look(uint32(c.l.val(c.slot()))) {
				return false
			}
			continue
		}
		from := uint32(0)
		if first && x.floor.set && k == x.floor.key {
			from = x.floor.row
		}
		if !s.eachFrom(from, look) {
			return false
		}
	}
	return true
}

// eachFrom is each, from a row on.
func (s *rowset) eachFrom(row uint32, fn func(row uint32) bool) bool {
	skip := uint64(1)<<(row&63) - 1
	for c := s.words.seek(row >> 6); c.ok(); c.next() {
		w := c.l.val(c.slot())
		if c.key() == row>>6 {
			w &^= skip
		}
		for ; w != 0; w &= w - 1 {
			if !fn(c.key()<<6 | uint32(bits.TrailingZeros64(w))) {
				return false
			}
		}
	}
	return true
}
