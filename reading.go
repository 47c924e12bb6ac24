package store

import "github.com/noex-go/store/internal/table"

// reading is a read under way: the state that it sees, pinned, and, in a
// transaction, what it reads through and notes.
type reading struct {
	b     *bucket
	view  table.View
	lease lease
	tb    *txBucket // nil outside of a transaction
	reads *readSet  // where it is noted; nil where it need not be
}

// begin begins a read of the state that a handle is bound to. Error errMoved: of
// another bucket.
func (r *reading) begin(b *bucket, at *scope) error {
	switch {
	case at == nil && !b.current():
		return errMoved
	case b.dropped.Load():
		return b.fail("query", Key{}, ErrBucketNotDefined)
	}
	if at == nil {
		l := b.acquire()
		if !b.current() {
			b.release(l)
			return errMoved
		}
		r.b, r.view, r.lease = b, b.table.At(l.pin.Seq), l
		return nil
	}
	if at.store != b.store {
		return b.fail("query", Key{}, errOtherStore)
	}
	if !at.enter() {
		return b.fail("query", Key{}, at.over())
	}
	r.b, r.view, r.lease = b, b.table.At(at.pin.Seq), lease{snap: at.hold}
	switch {
	case at.qc != nil:
		r.reads = at.qc.reads(b)
	case at.tx != nil:
		r.tb = at.tx.in(b)
		if at.tx.iso != SnapshotIsolation {
			r.reads = &r.tb.reads
		}
	}
	return nil
}
