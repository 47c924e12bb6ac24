package store

import (
	"maps"
	"slices"
	"time"

	"github.com/noex-go/store/internal/table"
)

// Stats is a look at a store. The figures of one bucket belong together; those
// of different buckets may be a few commits apart.
type Stats struct {
	Name    string
	Buckets struct {
		Count int
		Names []string // sorted
	}
	Records struct {
		Total     int
		PerBucket map[string]int
	}
	Indexes struct { // the key's hash index is not counted
		Total     int
		PerBucket map[string]int
	}
	Bytes struct { // estimated: with MaxBytes from all records, else from a sample
		Total     int64
		PerBucket map[string]int64
	}
	QueueDepth struct { // writes that wait for their bucket
		Total     int
		PerBucket map[string]int
	}
	Restarts map[string]int64 // bucket servers that died and were replaced; only those that did
	Retained map[string]int   // superseded versions that open snapshots keep; only where there are any
	Commits  Seq              // the sequence of the newest commit
	// Transactions that committed, those that were in conflict, and those of them
	// that were run again; and how many are under way.
	Transactions struct {
		Commits, Conflicts, Retries int64
		Active                      int
	}
	// OldestSnapshot is how long ago the oldest state was taken that a snapshot or
	// a transaction still reads.
	OldestSnapshot time.Duration
	// Snapshots is the number of open snapshots, Subscriptions that of event
	// handlers, and Lag how many commits the slowest of them is behind.
	Snapshots     int
	Subscriptions int
	Lag           int
	// Queries are those defined by name; the subscriptions to their results; the
	// Nodes that these share, one for a query with its parameters; the Evaluations
	// so far, and how many of them came to what was known; the changes that were
	// matched, and the entries of the index that they led to; and the nodes that
	// wait to be evaluated.
	Queries struct {
		Defined, ActiveSubscriptions, Nodes, Pending int
		Evaluations, Unchanged                       int64
		Changes, Visited                             int64
	}
	// Persistence is the log: the position of its newest entry, what was appended
	// and synced since Open, the bytes that a start would read, why it takes nothing
	// more, the buckets in it that are not defined, and what opening it found.
	Persistence struct {
		Enabled        bool
		Position       Position
		Appends, Syncs int64
		Bytes          int64
		Failed         error
		Undefined      []string
		Recovery       Recovery
	}
	// TTL is about deadlines: whether any record has one, or will; and the next of
	// each bucket where there is one.
	TTL struct {
		Enabled       bool
		CheckInterval time.Duration
		Next          map[string]time.Time
	}
	// Expired and Evicted are the records that were deleted since Open because their
	// time, or the bucket's room, was over; only where there were any.
	Expired, Evicted struct {
		Total     int64
		PerBucket map[string]int64
	}
}

// Stats returns the store's figures.
func (st *Store) Stats() Stats {
	var s Stats
	s.Name = st.opt.Name
	s.Records.PerBucket = map[string]int{}
	s.Indexes.PerBucket = map[string]int{}
	s.Bytes.PerBucket = map[string]int64{}
	s.QueueDepth.PerBucket = map[string]int{}
	s.Restarts = map[string]int64{}
	s.Retained = map[string]int{}
	s.TTL.Next = map[string]time.Time{}
	s.Expired.PerBucket, s.Evicted.PerBucket = map[string]int64{}, map[string]int64{}
	all := *st.buckets.Load()
	s.Buckets.Count = len(all)
	s.Buckets.Names = slices.Sorted(maps.Keys(all))
	for name, b := range all {
		l := b.acquire()
		b = b.home.now.Load()
		view := b.table.At(l.pin.Seq)
		n := view.Count()
		bytes := b.estimate(view, n)
		next := b.nextDeadline(view)
		b.release(l)
		if next != 0 {
			s.TTL.Next[name] = next.Time()
		}
		s.TTL.Enabled = s.TTL.Enabled || next != 0 || b.def.TTL > 0
		if n := b.room.expired.Load(); n > 0 {
			s.Expired.PerBucket[name] = n
			s.Expired.Total += n
		}
		if n := b.room.evicted.Load(); n > 0 {
			s.Evicted.PerBucket[name] = n
			s.Evicted.Total += n
		}
		queued := max(int(b.server.queued.Load()), 0)
		s.Records.PerBucket[name] = n
		s.Records.Total += n
		indexes := b.shape.asked
		s.Indexes.PerBucket[name] = indexes
		s.Indexes.Total += indexes
		s.Bytes.PerBucket[name] = bytes
		s.Bytes.Total += bytes
		s.QueueDepth.PerBucket[name] = queued
		s.QueueDepth.Total += queued
		if r := b.server.restarts.Load(); r > 0 {
			s.Restarts[name] = r
		}
		if h := b.table.Held(); h > 0 {
			s.Retained[name] = h
		}
	}
	st.live.stats(&s)
	if st.log != nil {
		st.log.stats(&s)
	}
	s.TTL.CheckInterval = max(st.opt.TTLInterval, 0)
	s.Commits = Seq(st.pins.Published())
	s.Snapshots = int(st.snapshots.Load())
	s.OldestSnapshot = st.oldestHeld()
	s.Transactions.Commits, s.Transactions.Conflicts = st.tx.commits.Load(), st.tx.conflicts.Load()
	s.Transactions.Retries, s.Transactions.Active = st.tx.retries.Load(), int(st.recent.active.Load())
	s.Subscriptions, s.Lag = st.feed.Lag()
	return s
}

// sampleRecords is how many records Stats looks at to estimate the bytes of all.
const sampleRecords = 64

// estimate returns the bytes of n records, from the first ones that a view has:
// their allocations, and 16 bytes in the key index and 24 in each other one.
func (b *bucket) estimate(view table.View, n int) int64 {
	if n == 0 {
		return 0
	}
	if b.def.MaxBytes > 0 {
		return b.room.bytes.Load()
	}
	var c table.Cursor
	var buf [sampleRecords]*table.Version
	c.Scan(view, false)
	seen, sum := c.Next(buf[:], nil), 0
	for _, v := range buf[:seen] {
		sum += b.sizeOf(v)
	}
	if seen == 0 {
		return 0
	}
	return int64(n) * int64(sum/seen+16+24*len(b.shape.indexes))
}

// sizeOf estimates the bytes of a record, without what indexes take.
func (b *bucket) sizeOf(v *table.Version) int {
	sum := int(b.shape.typ.Size()) + 8
	for i := range b.shape.slots {
		s := &b.shape.slots[i]
		if s.absent(v) {
			continue
		}
		switch s.kind {
		case memString:
			sum += (len(*(*string)(s.mem(v))) + 7) &^ 7
		case memBytes, memAny, memRef:
			sum += sizeOf(s.peek(v))
		}
	}
	for k, x := range v.Ext.Extra {
		sum += len(k) + 24 + sizeOf(x)
	}
	return sum
}
