package store

import (
	"errors"
	"sync"
	"sync/atomic"
)

// home is what a handle holds of a bucket: the place that AlterBucket puts
// another one into. A bucket's shape and table never change; an altered bucket is
// a new one, with the records of the old.
//
//	handle ──→ home ──→ bucket, the one that is written
//	                      │ before
//	                      ▼
//	                    bucket, as snapshots from before the alteration show it
type home struct {
	now atomic.Pointer[bucket]
	// views are the struct types of typed handles, each with a function that says
	// why it cannot hold the records of a shape.
	views sync.Map
}

// errMoved tells a writer that the bucket was altered since it looked.
var errMoved = errors.New("the bucket was altered meanwhile")

// of is the bucket as a handle that is bound to s sees it.
func (h *home) of(s *scope) *bucket {
	b := h.now.Load()
	if s == nil || b.since == 0 {
		return b
	}
	return b.as(s)
}

// as is the bucket that it was at a snapshot.
func (b *bucket) as(s *scope) *bucket {
	for b.since > s.pin.Seq {
		was := b.before.Load()
		if was == nil {
			break // the snapshot is closed
		}
		b = was
	}
	return b
}

// forget lets go of what the bucket was, once no snapshot shows it.
func (b *bucket) forget() {
	if b.before.Load() == nil {
		return
	}
	if pinned := b.store.pins.Pinned(nil); len(pinned) == 0 || pinned[0] >= b.since {
		b.before.Store(nil)
	}
}

// writeTo has something written to the bucket, once more if that was altered
// meanwhile: a prepared record has the shape of one bucket.
func writeTo[R any](h *home, at *scope, op string, fn func(b *bucket) (R, error)) (R, error) {
	for {
		b := h.of(at)
		if err := b.writable(op, at); err != nil {
			var none R
			return none, err
		}
		r, err := fn(b)
		if err == nil || !errors.Is(err, errMoved) {
			return r, err
		}
	}
}
