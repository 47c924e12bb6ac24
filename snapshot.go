package store

import (
	"runtime"
	"sync/atomic"

	"github.com/noex-go/store/internal/table"
)

// Snapshot is one committed state of all buckets: the one that was the newest
// when it was taken. Handles read it through In. It is safe for concurrent use.
//
// A snapshot costs nothing to take. While it is open it keeps, of each record
// that is changed or deleted, the one version that it sees, however often the
// record is changed: at most as much as the store held when it was taken.
type Snapshot struct {
	store   *Store
	pin     table.Pin
	closed  *atomic.Bool
	cleanup runtime.Cleanup
}

// Snapshot takes a snapshot of the newest committed state. Close it when done.
func (st *Store) Snapshot() *Snapshot {
	s := &Snapshot{store: st, pin: st.pins.AcquireLong(), closed: new(atomic.Bool)}
	st.snapshots.Add(1)
	// A snapshot that is forgotten does not hold on to old versions for ever.
	type open struct {
		store  *Store
		pin    table.Pin
		closed *atomic.Bool
	}
	s.cleanup = runtime.AddCleanup(s, func(o open) { o.store.unpin(o.pin, o.closed) }, open{st, s.pin, s.closed})
	return s
}

// Seq is the commit that the snapshot shows, 0 if there was none yet.
func (s *Snapshot) Seq() Seq { return Seq(s.pin.Seq) }

// Close releases the snapshot. It is idempotent.
func (s *Snapshot) Close() {
	s.cleanup.Stop()
	s.store.unpin(s.pin, s.closed)
}

func (st *Store) unpin(pin table.Pin, closed *atomic.Bool) {
	if closed.Swap(true) {
		return
	}
	st.pins.Release(pin)
	st.snapshots.Add(-1)
	for _, b := range *st.buckets.Load() {
		if b.table.Held() > 0 {
			b.server.nudge()
		}
	}
}

// use panics if the snapshot is closed, or of another store than the bucket's:
// a read without an error result cannot say so otherwise.
func (s *Snapshot) use(of *Store) {
	if s.closed.Load() {
		panic("store: read through a closed Snapshot")
	}
	if s.store != of {
		panic("store: read through a Snapshot of another store")
	}
}

// sweepAt is how many superseded versions may wait in a bucket until a reader
// that leaves wakes the bucket's goroutine to cut them; below that the next
// commit does it.
const sweepAt = 4096

// release gives back the pin of a query.
func (b *bucket) release(pin table.Pin) {
	b.store.pins.Release(pin)
	if b.table.Held() >= sweepAt {
		b.server.nudge()
	}
}
