package store

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store/internal/table"
)

// Snapshot is one committed state of all buckets: the one that was the newest
// when it was taken. Handles read it through In. It is safe for concurrent use.
// A bucket that is dropped is gone from snapshots too.
//
// A snapshot costs nothing to take. While it is open it keeps, of each record
// that is changed or deleted, the one version that it sees, however often the
// record is changed: at most as much as the store held when it was taken.
type Snapshot struct {
	scope
	cleanup runtime.Cleanup
}

// Reader is what a handle can be bound to by In: a [Snapshot], a [Tx] or a
// [QueryCtx].
type Reader interface {
	bound() *scope
}

// scope is the state that a bound handle reads, and for a transaction the writes
// that it reads through.
type scope struct {
	*hold
	tx *Tx       // of a transaction
	fn *QueryCtx // of a query function
	qc *QueryCtx // the same, if its reads are noted
}

// enter begins a read; false if what is read is closed.
func (s *scope) enter() bool { return (s.fn == nil || !s.fn.done.Load()) && s.hold.enter() }

func (s *scope) bound() *scope { return s }

// hold is a pinned sequence and those who read at it: the snapshot itself, until
// it is closed, and the reads that began before. The last one lets it go.
type hold struct {
	store  *Store
	pin    table.Pin
	closed atomic.Bool
	brief  bool // of a transaction: what waited for it can wait for the next commit
	refs   atomic.Int64

	timed      bool  // the pin knows when it began, and the list does not have it
	began      int64 // nanoseconds since the store began, by the process's own clock
	prev, next *hold // among those that are open, under Store.holds.mu
}

// holds is the states that are held, the oldest first, but for those of pins that
// know their time: most transactions.
type holds struct {
	mu          sync.Mutex // protects the list
	first, last *hold
}

func (l *holds) add(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.prev = l.last
	if l.last != nil {
		l.last.next = h
	} else {
		l.first = h
	}
	l.last = h
}

func (l *holds) remove(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		l.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		l.last = h.prev
	}
}

// since is when the oldest began; false if there is none.
func (l *holds) since() (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		return 0, false
	}
	return l.first.began, true
}

// oldestHeld is how long the oldest state that is held has been.
func (st *Store) oldestHeld() time.Duration {
	began, some := st.holds.since()
	if at, ok := st.pins.Since(); ok && (!some || at < began) {
		began, some = at, true
	}
	if !some {
		return 0
	}
	return max(time.Since(st.born)-time.Duration(began), 0)
}

// hold begins to hold the state that a pin shows.
func (st *Store) hold(h *hold, pin table.Pin) {
	h.store, h.pin = st, pin
	h.refs.Store(1)
	h.began = int64(time.Since(st.born))
	if h.timed = h.pin.Time(h.began); !h.timed {
		st.holds.add(h)
	}
}

// Snapshot takes a snapshot of the newest committed state. Close it when done.
func (st *Store) Snapshot() *Snapshot {
	h := &hold{}
	st.hold(h, st.pins.AcquireLong())
	st.snapshots.Add(1)
	s := &Snapshot{scope: scope{hold: h}}
	// A snapshot that is forgotten does not hold on to old versions for ever.
	s.cleanup = runtime.AddCleanup(s, (*hold).closeSnapshot, h)
	return s
}

// Seq is the commit that the snapshot shows, 0 if there was none yet.
func (s *Snapshot) Seq() Seq { return Seq(s.pin.Seq) }

// Close releases the snapshot, once the reads that go on in it are through. It
// is idempotent.
func (s *Snapshot) Close() {
	s.cleanup.Stop()
	s.closeSnapshot()
}

func (h *hold) closeSnapshot() {
	if h.close() {
		h.store.snapshots.Add(-1)
	}
}

// close refuses further reads. It reports false if that was done already.
func (h *hold) close() bool {
	if h.closed.Swap(true) {
		return false
	}
	if !h.timed {
		h.store.holds.remove(h)
	}
	h.leave()
	return true
}

// idle reports that nobody reads, nor can begin to.
func (h *hold) idle() bool { return h.refs.Load() == 0 }

// enter begins a read; false if the snapshot is closed.
func (h *hold) enter() bool {
	if h.closed.Load() {
		return false
	}
	for n := h.refs.Load(); n > 0; n = h.refs.Load() {
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

// leave ends a read.
func (h *hold) leave() {
	if h.refs.Add(-1) > 0 {
		return
	}
	st := h.store
	st.pins.Release(h.pin)
	if h.brief {
		st.tidy(sweepAt)
	} else {
		st.tidy(1)
	}
}

// tidy is what there is to do when a pin is gone: buckets in which so many versions
// wait are swept.
func (st *Store) tidy(most int) {
	waiting, altered := st.pins.Waiting(), st.altered.Load()
	if !waiting && !altered {
		return
	}
	for _, b := range *st.buckets.Load() {
		if waiting && b.table.Held() >= most {
			b.server.nudge()
		}
		if altered {
			b.forget()
		}
	}
}

// use is enter for reads without an error result: it panics if the snapshot is
// closed or the transaction over, or of another store than the bucket's.
func (s *scope) use(of *Store) {
	what := "Snapshot"
	switch {
	case s.fn != nil:
		what = "query"
	case s.tx != nil:
		what = "transaction"
	}
	if s.store != of {
		panic("store: read through a " + what + " of another store")
	}
	if !s.enter() {
		panic("store: read through a closed " + what)
	}
}

// over says why reads are refused.
func (s *scope) over() error {
	switch {
	case s.fn != nil:
		return ErrQueryDone
	case s.tx != nil:
		return ErrTxDone
	}
	return ErrSnapshotClosed
}

// lease is the state that a read sees: a pin of its own, or a snapshot's.
type lease struct {
	pin  table.Pin
	snap *hold
}

// sweepAt is how many superseded versions may wait in a bucket until a reader
// that leaves wakes the bucket's goroutine to cut them; below that the next
// commit does it.
const sweepAt = 4096

// release ends a read.
func (b *bucket) release(l lease) {
	if l.snap != nil {
		l.snap.leave()
		return
	}
	b.store.pins.Release(l.pin)
	if b.table.Held() >= sweepAt {
		b.server.nudge()
	}
	if b.altering.Load() { // it may be the last who reads what the bucket was
		b.home.now.Load().forget()
	}
}

// acquire begins a read of the newest state.
func (b *bucket) acquire() lease { return lease{pin: b.store.pins.Acquire()} }
