package store

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// CheckTables runs every table's self-check, as its writer.
func CheckTables(st *Store) error {
	var errs []error
	for name, b := range *st.buckets.Load() {
		if err := b.check(); err != nil {
			errs = append(errs, fmt.Errorf("bucket %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (b *bucket) check() error {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	if ext := b.shape.ext; ext.Owner != unsafe.Pointer(b.shape) || ext.Nulls != nil || ext.Extra != nil {
		return errors.New("the records' common Ext was written")
	}
	return b.table.Check()
}

// The defects that PlantBug plants.
const (
	BugKeysOnly = bugKeysOnly
	BugEarly    = bugEarly
	BugHalf     = bugHalf
)

// PlantBug gives the commit of transactions a defect. Call it before the first
// write.
func PlantBug(st *Store, bug plantedBug) { st.bug = bug }

// PlantFault has f run wherever a bucket's writer applies a request. Call it
// before the first write; f must let tests that are done pass.
func PlantFault(st *Store, f func()) { st.fault = func(*request) { f() } }

// The same, of live queries.
const (
	BugLostUpdate  = bugLostUpdate
	BugMissedRange = bugMissedRange
	BugListLost    = bugListLost
	BugListShort   = bugListShort
	BugListPanic   = bugListPanic
)

// ListCounts is what live lists have cost.
type ListCounts struct{ Changes, Applied, Nodes int64 }

// ListCountsOf returns what the live lists of a store have cost.
func ListCountsOf(st *Store) ListCounts {
	st.live.mu.Lock()
	defer st.live.mu.Unlock()
	c := st.live.lists
	return ListCounts{c.changes, c.applied, c.nodes}
}

// ListHeld is how many states are kept for the subscribers of a list.
func ListHeld[R any](l *LiveList[R]) int {
	x := l.s.n.list
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.held)
}

// ListLength is how many records are kept for a list.
func ListLength[R any](l *LiveList[R]) int {
	x := l.s.n.list
	l.s.n.r.mu.Lock()
	defer l.s.n.r.mu.Unlock()
	return x.now.tree.Len()
}

// Peek returns what a handle sees, in the order of insertion, and leaves no mark
// on it: for LeastRead nobody has read it.
func Peek(h *Bucket) (out []Record) {
	b := h.use()
	var view table.View
	if h.at != nil {
		h.at.use(b.store)
		defer h.at.leave()
		view = b.table.At(h.at.pin.Seq)
	} else {
		l := b.acquire()
		defer b.release(l)
		view = b.table.At(l.pin.Seq)
	}
	var c table.Cursor
	var buf [batchRows]*table.Version
	c.Scan(view, false)
	for n := c.Next(buf[:], nil); n > 0; n = c.Next(buf[:], nil) {
		for _, v := range buf[:n] {
			out = append(out, Record{v})
		}
	}
	return out
}
