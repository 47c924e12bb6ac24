package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/noex-go/store/internal/table"
)

// A bucket with MaxSize or MaxBytes makes room in the commit that overflows it:
// after the commit's own changes are pending, records leave until the bucket is
// within its bounds, each as a deletion in the same commit. So no reader sees the
// bucket above a bound, and the log, the indexes, live queries and transactions
// see an ordinary delete.
//
// Only what the commit inserted is spared: a record that it updated may go, and is
// then deleted in one change. Of its own inserts that go at once there is no event,
// and Stats counts them. A unique value is taken until its holder is gone: no insert
// gets in by evicting who is in its way.
//
// Finding the next one to go is O(1) for OldestCreated (the rows are in that
// order) and amortized for LeastRead, O(log n) for OldestUpdated (an index).
// Bytes are counted by the writer as it applies changes: a look at each record
// that comes, and that goes.

// Eviction is which record leaves a bucket that is full.
type Eviction uint8

// The orders of eviction; 0 is OldestCreated. What the commit itself inserted goes
// last.
const (
	// OldestCreated evicts in the order of insertion. Exact.
	OldestCreated Eviction = 1 + iota
	// OldestUpdated evicts the record that was not written for the longest time.
	// Exact to the millisecond of UpdatedAt; within one, in the order of insertion.
	OldestUpdated
	// LeastRead spares what was read or updated of late: of the records that
	// nobody got since eviction last came by, the one inserted first goes.
	// Reading is Get, and every query that brings records; counting and
	// aggregates are not. It approximates the least recently read with one bit a
	// record, by the algorithm SIEVE. Restarts forget the bits.
	LeastRead
)

var evictionNames = [...]string{"default", "oldest created", "oldest updated", "least read"}

func (e Eviction) String() string {
	if int(e) < len(evictionNames) {
		return evictionNames[e]
	}
	return fmt.Sprintf("Eviction(%d)", uint8(e))
}

// evictBatch bounds the records that one commit evicts where a bound came down
// below what was there, beyond those for which it needs the room itself.
const evictBatch = 1000

// room is how much of its bounds a bucket takes.
type room struct {
	bytes   atomic.Int64 // estimated, of the published records; only with MaxBytes
	evicted atomic.Int64
	expired atomic.Int64

	// Of the pending commits; the writer's.
	added   int64
	leaving int // by eviction
	lapsed  int // by expiry
}

// total is the bytes of the published records and of the pending commits.
func (m *room) total() int64 { return m.bytes.Load() + m.added }

// settle ends the pending commits, which are published or taken back.
func (m *room) settle(published bool) {
	if published && (m.added != 0 || m.leaving != 0 || m.lapsed != 0) {
		m.bytes.Add(m.added)
		m.evicted.Add(int64(m.leaving))
		m.expired.Add(int64(m.lapsed))
	}
	m.added, m.leaving, m.lapsed = 0, 0, 0
}

func (d *Definition) bounded() bool { return d.MaxSize > 0 || d.MaxBytes > 0 }

// weigh estimates the bytes of a record, indexes included, as Stats does.
func (b *bucket) weigh(v *table.Version) int64 {
	return int64(b.sizeOf(v) + 16 + 24*len(b.shape.indexes))
}

// eviction makes room for one commit. It is the writer's, and kept from commit to
// commit, so that an eviction allocates nothing but its tombstone.
type eviction struct {
	b     *bucket
	mark  int   // where its pending changes begin
	added int64 // bytes, so far
	// What the commit must come down to: the bounds, or what was there before it if
	// that was more; and how many it evicts beyond.
	size   int
	bytes  int64
	budget int

	own     map[*table.Version]bool // what it has written, and whether it inserted that
	victims []*table.Version        // of others
	gone    map[*table.Version]bool // new versions of the commit itself

	spare, any func(at table.Ref) bool // spareOwn and take
}

// newEviction is nil for a bucket without bounds.
func newEviction(b *bucket) *eviction {
	if !b.def.bounded() {
		return nil
	}
	e := &eviction{b: b}
	e.spare, e.any = e.spareOwn, e.take
	return e
}

// begin forgets the commit before.
func (e *eviction) begin(mark int) {
	if cap(e.victims) > evictBatch {
		e.victims = nil
	}
	e.mark, e.added, e.budget, e.own, e.gone, e.victims = mark, 0, evictBatch, nil, nil, e.victims[:0]
}

// makeRoom brings the bucket within its bounds, as the writer: the pending
// changes from mark on are one commit. again applies them once more, without the
// versions in gone, where some of those have to leave at once: what a commit does
// to a record is one change.
func (b *bucket) makeRoom(mark int, again func(gone map[*table.Version]bool) error) error {
	e := b.eviction
	if e == nil {
		return nil
	}
	e.begin(mark)
	if err := e.measure(); err != nil {
		return err
	}
	if e.over() {
		e.evict()
	}
	if len(e.gone) > 0 {
		b.table.Undo(mark)
		if err := again(e.gone); err != nil {
			return err
		}
		for _, v := range e.victims {
			b.table.Delete(b.table.HeadOf(v), uint8(ByEviction))
		}
	}
	b.room.added += e.added
	b.room.leaving += len(e.victims) + len(e.gone)
	clear(e.victims)
	e.own, e.gone = nil, nil
	return nil
}

// measure finds what the commit changes of the bucket's size.
func (e *eviction) measure() error {
	b, d := e.b, &e.b.def
	e.size = b.table.Live()
	for _, c := range b.table.Since(e.mark) {
		switch {
		case c.Old == nil:
			e.size--
		case c.Deleted():
			e.size++
		}
		if d.MaxBytes == 0 {
			continue
		}
		if c.Old != nil {
			e.added -= b.weigh(c.Old)
		}
		if !c.Deleted() {
			n := b.weigh(c.New)
			if n > d.MaxBytes {
				return ErrRecordTooLarge
			}
			e.added += n
		}
	}
	e.size, e.bytes = max(e.size, d.MaxSize), max(b.room.total(), d.MaxBytes)
	return nil
}

// over reports whether one more has to leave.
func (e *eviction) over() bool {
	d := &e.b.def
	size, bytes := e.b.table.Live(), e.b.room.total()+e.added
	above := func(most int, mostBytes int64) bool {
		return d.MaxSize > 0 && size > most || d.MaxBytes > 0 && bytes > mostBytes
	}
	if above(e.size, e.bytes) {
		return true
	}
	if e.budget == 0 || !above(d.MaxSize, d.MaxBytes) {
		return false
	}
	e.budget--
	return true
}

// evict has records leave in the order of the bucket, until it is within its
// bounds: what the commit inserted after everything else.
func (e *eviction) evict() {
	if e.walk(e.spare) {
		e.walk(e.any)
	}
}

// spareOwn is take, but for what the commit inserted.
func (e *eviction) spareOwn(at table.Ref) bool {
	if inserted, _ := e.ownChange(at.V); inserted {
		return true
	}
	return e.take(at)
}

// walk visits the records in the bucket's order of eviction, and reports whether
// that has come to its end.
func (e *eviction) walk(visit func(at table.Ref) bool) bool {
	switch t := e.b.table; e.b.def.Evict {
	case OldestUpdated:
		return t.Least(e.b.shape.updates, visit)
	case LeastRead:
		return t.LeastRead(visit)
	default:
		return t.Oldest(visit)
	}
}

// take has a record leave, and reports whether another one has to.
func (e *eviction) take(at table.Ref) bool {
	b := e.b
	if b.def.MaxBytes > 0 {
		e.added -= b.weigh(at.V)
	}
	if _, own := e.ownChange(at.V); own {
		if e.gone == nil {
			e.gone = map[*table.Version]bool{}
		}
		e.gone[at.V] = true
	} else {
		e.victims = append(e.victims, at.V)
	}
	b.table.Delete(at, uint8(ByEviction))
	return e.over()
}

// ownChange reports whether the commit itself has written a version, and whether
// it inserted it.
func (e *eviction) ownChange(v *table.Version) (inserted, own bool) {
	if v.Seq() != 0 {
		return false, false
	}
	if e.own == nil {
		e.own = map[*table.Version]bool{}
		for _, c := range e.b.table.Since(e.mark) {
			e.own[c.New] = c.Old == nil
		}
	}
	inserted, own = e.own[v]
	return inserted, own
}

// trim brings a bucket within its bounds where a bound has come down below what
// is there, a batch in each commit.
func (b *bucket) trim(ctx context.Context) error {
	for b.def.bounded() {
		r := b.server.newRequest()
		r.op = opTrim
		n, err := b.submit(ctx, r)
		switch {
		case errors.Is(err, errMoved):
			b = b.home.now.Load()
		case errors.Is(err, ErrBucketNotDefined):
			return nil
		case n == 0 || err != nil:
			return err
		}
	}
	return nil
}

// markRead notes that records were handed out.
func markRead(batch []*table.Version) {
	for _, v := range batch {
		v.MarkRead()
	}
}
