package store

import (
	"cmp"
	"slices"

	"github.com/noex-go/store/internal/table"
)

// ownWrites is how an answer in a transaction reads through the transaction's own
// writes: those up to the moment when it began, so that what the loop around an
// iterator writes does not change what the iterator brings. Records that were
// written are hidden where the snapshot has them, and their new versions are
// merged in at their place in the query's order.
//
// When it begins, the answer looks at the writes that a path of the query leads to:
// the one with the fewest of them, whichever the snapshot's is (txindex.go). Where
// an index brings them in the query's order, it looks at a first chunk, and at the
// others when the merge comes to them. A record of the snapshot costs a look into
// a map.
type ownWrites struct {
	tb        *txBucket
	op        uint64 // the last operation that counts
	unordered bool
	items     []ownItem // new versions that match, in order
	base      int       // records of the exec's buffer that were taken
	end       int       // records in it
	ended     bool
	room      int // of the next batch
	buf       []*table.Version

	// Those still to be looked at. None comes before reached.
	more    bool
	walk    txWalk
	exact   bool      // the walk brings the query's order; else its first keys
	served  int       // not exact: how many
	nulls   bool      // not exact: the walk brings records without a value in the first of them
	chunk   []txEntry // looked at last
	ahead   []ownItem // not exact: of a group whose end has not been seen
	reached ownItem
}

type ownItem struct {
	v       *table.Version
	ordinal uint64
}

// beginTx begins to gather the writes that an answer reads through.
func (x *exec) beginTx(n need) {
	tb := x.rd.tb
	tb.tx.mu.Lock()
	defer tb.tx.mu.Unlock()
	if len(tb.list) == 0 {
		return
	}
	o := &ownWrites{tb: tb, op: tb.tx.ops, unordered: n.unordered}
	x.own = o
	x.rows = x.rows || !n.unordered
	if x.p.never || x.path().access == accessNone {
		return
	}
	var c txChoice
	if tb.index != nil {
		if c = o.choose(x, n); c.walk {
			o.begin(x, n, &c)
			return
		}
	}
	take := func(v *table.Version, ordinal uint64) bool {
		if o.take(x, ownItem{v, ordinal}); n.unordered && len(o.items) == n.want {
			return c.path != nil && c.path.access == accessUnion // where some come twice
		}
		return true
	}
	if c.path != nil {
		o.find(c.path, take)
	} else {
		for _, w := range tb.list {
			if w.new != nil && !take(w.new, w.ordinal) {
				break
			}
		}
	}
	if union := c.path != nil && c.path.access == accessUnion; union {
		slices.SortFunc(o.items, func(a, b ownItem) int { return cmp.Compare(a.ordinal, b.ordinal) })
		o.items = slices.Compact(o.items)
	}
	if !n.unordered {
		o.sort(x, o.items)
	}
}

// take keeps a write that matches.
func (o *ownWrites) take(x *exec, it ownItem) {
	x.touched++
	if x.p.test(it.v, 0) && (x.after == nil || x.after.compare(&x.p.conditions, it.v, it.ordinal) < 0) {
		o.items = append(o.items, it)
	}
}

func (o *ownWrites) sort(x *exec, items []ownItem) {
	slices.SortFunc(items, func(a, b ownItem) int { return x.comparePlaces(a.v, a.ordinal, b.v, b.ordinal) })
}

// begin looks at the first of the writes that a tree brings in order. Where there
// are more, the tree is frozen: later writes are not of this answer.
func (o *ownWrites) begin(x *exec, n need, c *txChoice) {
	o.walk, o.exact, o.served = o.walkOf(x, c), c.exact, c.served
	o.nulls = c.path != nil && c.path.ordering
	o.chunk = make([]txEntry, 0, min(x.size, c.rows+1))
	o.more = true
	o.pull(x)
	if n.want >= 0 && len(o.items) >= n.want {
		o.more = false // the answer has no place for another
	}
	if o.more {
		o.tb.index.tree(c.tree).freeze()
	}
}

// pull looks at the next writes in order. The last chunk is not full, so that a
// walk that ends with the first one freezes nothing.
func (o *ownWrites) pull(x *exec) {
	room := cap(o.chunk)
	o.chunk = o.walk.next(o.chunk[:0])
	o.more = len(o.chunk) == room
	if o.exact {
		for i := range o.chunk {
			it := ownItem{o.chunk[i].v, o.chunk[i].ordinal}
			o.take(x, it)
			o.reached = it
		}
	} else {
		o.groups(x)
	}
	if o.more && room < batchRows {
		o.chunk = make([]txEntry, 0, min(2*room, batchRows))
	}
}

// groups sorts and takes the groups, equal in what the walk brings, whose end was
// seen.
func (o *ownWrites) groups(x *exec) {
	begun := len(o.ahead) // of one group
	for i := range o.chunk {
		o.ahead = append(o.ahead, ownItem{o.chunk[i].v, o.chunk[i].ordinal})
	}
	whole := len(o.ahead)
	for o.more && whole > 0 && !o.apart(x, o.ahead[whole-1].v, o.ahead[len(o.ahead)-1].v) {
		if whole--; whole < begun {
			whole = 0
		}
	}
	if whole == 0 {
		return
	}
	o.reached = o.ahead[whole-1]
	first := len(o.items)
	for _, it := range o.ahead[:whole] {
		o.take(x, it)
	}
	o.sort(x, o.items[first:])
	o.ahead = o.ahead[whole:]
}

// apart reports whether two writes, one brought after the other, belong to
// different groups. Those that an index does not have are one group.
func (o *ownWrites) apart(x *exec, a, b *table.Version) bool {
	for i := range o.served {
		if x.p.order[i].compare(a, b) != 0 {
			return true
		}
		if i == 0 && o.nulls && x.p.order[0].ref.slot.absent(a) {
			return false
		}
	}
	return false
}

// comparePlaces is the order of the answer.
func (x *exec) comparePlaces(a *table.Version, aOrd uint64, b *table.Version, bOrd uint64) int {
	for i := range x.p.order {
		if c := x.p.order[i].compare(a, b); c != 0 {
			return c
		}
	}
	if x.reversed {
		aOrd, bOrd = bOrd, aOrd
	}
	return cmp.Compare(aOrd, bOrd)
}

// hide leaves the records out that the transaction has written.
func (o *ownWrites) hide(buf []*table.Version, rows []uint32) (n int) {
	o.tb.tx.mu.Lock()
	defer o.tb.tx.mu.Unlock()
	for i, v := range buf {
		if w := o.tb.replaced(v); w != nil {
			if _, written := w.at(o.op); written {
				continue
			}
		}
		buf[n] = v
		if rows != nil {
			rows[n] = rows[i]
		}
		n++
	}
	return n
}

// next merges the records of the snapshot with the transaction's own.
func (o *ownWrites) next(x *exec) []*table.Version {
	if o.unordered {
		if batch := x.stream(); len(batch) > 0 {
			return batch
		}
		o.buf = o.buf[:0]
		for len(o.items) > 0 && len(o.buf) < batchRows {
			o.buf = append(o.buf, o.items[0].v)
			o.items = o.items[1:]
		}
		return o.buf
	}
	o.buf = o.buf[:0]
	for room := o.batch(x); len(o.buf) < room; {
		if o.base == o.end && !o.ended {
			o.base, o.end = 0, len(x.stream())
			o.ended = o.end == 0
		}
		for len(o.items) == 0 && o.more && (o.base == o.end || o.reached.v == nil || o.before(x, &o.reached)) {
			o.pull(x)
		}
		switch {
		case o.base == o.end && len(o.items) == 0:
			return o.buf
		case o.base == o.end, len(o.items) > 0 && o.before(x, &o.items[0]):
			o.buf = append(o.buf, o.items[0].v)
			o.items = o.items[1:]
		default:
			o.buf = append(o.buf, x.buf[o.base])
			o.base++
		}
	}
	return o.buf
}

// batch is how many records to merge at a time: not more than the answer has a
// place for, and few at first.
func (o *ownWrites) batch(x *exec) int {
	o.room = min(max(2*o.room, x.size), batchRows)
	if x.left >= 0 && x.skip+x.left > 0 {
		return min(o.room, x.skip+x.left)
	}
	return o.room
}

// before reports whether a write comes before the next record of the snapshot.
func (o *ownWrites) before(x *exec, it *ownItem) bool {
	return x.comparePlaces(it.v, it.ordinal, x.buf[o.base], x.view.Ordinal(x.nums[o.base])) < 0
}

// written reports whether the transaction has written in the bucket, so that
// counters do not answer for it.
func (r *reading) written() bool {
	if r.tb == nil {
		return false
	}
	r.tb.tx.mu.Lock()
	defer r.tb.tx.mu.Unlock()
	return len(r.tb.list) > 0
}
