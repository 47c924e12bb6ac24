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
// When it begins, the answer looks at the writes that the keys of its path lead
// to; where it takes a path without keys, an interval or a scan, at each write of
// the bucket. A record of the snapshot costs a look into a map.
type ownWrites struct {
	tb        *txBucket
	op        uint64 // the last operation that counts
	unordered bool
	items     []ownItem // new versions that match, in order
	base      int       // records of the exec's buffer that were taken
	end       int       // records in it
	ended     bool
	buf       []*table.Version
}

type ownItem struct {
	v       *table.Version
	ordinal uint64
}

// beginTx notes what an answer reads, and gathers the writes that it reads
// through.
func (x *exec) beginTx(unordered bool) {
	tb := x.rd.tb
	tb.tx.mu.Lock()
	defer tb.tx.mu.Unlock()
	x.unordered = unordered
	x.dep = tb.dependLocked(x.p, x.after, !unordered)
	if len(tb.list) == 0 {
		return
	}
	o := &ownWrites{tb: tb, op: tb.tx.ops, unordered: unordered}
	for _, w := range tb.candidates(x.path()) {
		v, _ := w.at(o.op)
		if v != nil && !x.p.never && x.p.test(v, 0) && (x.after == nil || x.after.compare(x.p, v, w.ordinal) < 0) {
			o.items = append(o.items, ownItem{v, w.ordinal})
		}
	}
	if !unordered {
		slices.SortFunc(o.items, func(a, b ownItem) int { return x.comparePlaces(a.v, a.ordinal, b.v, b.ordinal) })
		x.rows = true
	}
	x.own = o
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
	for len(o.buf) < batchRows {
		if o.base == o.end && !o.ended {
			o.base, o.end = 0, len(x.stream())
			o.ended = o.end == 0
		}
		switch {
		case o.base == o.end && len(o.items) == 0:
			return o.buf
		case o.base == o.end, len(o.items) > 0 && x.comparePlaces(o.items[0].v, o.items[0].ordinal, x.buf[o.base], x.view.Ordinal(x.nums[o.base])) < 0:
			o.buf = append(o.buf, o.items[0].v)
			o.items = o.items[1:]
		default:
			o.buf = append(o.buf, x.buf[o.base])
			o.base++
		}
	}
	return o.buf
}

// dependLocked notes that an answer to a query is read, as widely as it may be.
func (tb *txBucket) dependLocked(p *plan, after *position, ordered bool) *dependency {
	if tb.tx.iso == SnapshotIsolation {
		return nil
	}
	d := &dependency{plan: p, ordered: ordered, values: true}
	if after != nil {
		d.after = &place{values: after}
	}
	tb.reads.answers = append(tb.reads.answers, d)
	return d
}

// depend is dependLocked for an answer that counters give; it reads which records
// there are, and of their fields the given ones.
func (r *reading) depend(p *plan, fields ...*fieldRef) {
	if r.tb == nil {
		return
	}
	r.tb.tx.mu.Lock()
	defer r.tb.tx.mu.Unlock()
	if d := r.tb.dependLocked(p, nil, false); d != nil {
		d.read(fields)
	}
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

// selects narrows an answer to the fields of the query's Select.
func (x *exec) selects(sel *selection) {
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
	if x.dep == nil {
		return
	}
	x.rd.tb.tx.mu.Lock()
	defer x.rd.tb.tx.mu.Unlock()
	x.dep.read(fields)
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
	if x.dep == nil || x.unordered || x.reversed {
		return
	}
	k := x.p.b.shape.keyOf(v)
	ordinal, _ := x.rd.ordinal(k.text, k.word)
	x.rd.tb.tx.mu.Lock()
	defer x.rd.tb.tx.mu.Unlock()
	x.dep.until = &place{v: v, ordinal: ordinal}
}
