package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store/internal/feed"
	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// Options configures a store. The zero value works.
type Options struct {
	// Name appears in Stats and log lines. Default: store-1, store-2, ...
	Name string
	// Logger hears what happens apart from any call: a panicking handler, a
	// restarted server. Default: slog.Default().
	Logger *slog.Logger
	// OnError hears the same as errors. It may be called from several goroutines
	// and must not block.
	OnError func(error)
	// MaxDepth bounds how deep objects and arrays nest in one field. Default 64;
	// negative: no bound but Go's stack.
	MaxDepth int
	// MaxValueBytes bounds the estimated bytes of one field. Default 16 MiB;
	// negative: no bound.
	MaxValueBytes int
	// EventBuffer is how many commits a subscriber may lag behind before it is
	// told ErrLagged; one buffer serves all subscribers. Default 4096.
	EventBuffer int
	// EventBufferChanges bounds the same buffer by the changes in those commits,
	// but for the newest commit. Default 1,048,576.
	EventBufferChanges int
	// TxRecords bounds the records that one transaction writes. Default 100,000;
	// negative: no bound.
	TxRecords int
	// TxBytes bounds their estimated bytes. Default 256 MiB; negative: no bound.
	TxBytes int
	// RecentCommits bounds the commits that are kept to check the transactions
	// under way against; one that is older than they reach is in conflict. Default
	// 16,384.
	RecentCommits int
	// RecentBytes bounds the same by the estimated bytes of their records. Default
	// 64 MiB.
	RecentBytes int
	// TTLInterval is how often expired records are deleted. Default 1 s; negative:
	// only by PurgeTTL.
	TTLInterval time.Duration
	// Clock is the source of time. Default: time.Now.
	Clock func() time.Time
	// Persistence keeps the commits beyond the process. Default: nothing does.
	Persistence Persistence
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = fmt.Sprintf("store-%d", storeCount.Add(1))
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.TTLInterval == 0 {
		o.TTLInterval = time.Second
	}
	o.MaxDepth = orDefault(o.MaxDepth, 64, math.MaxInt32)
	if p := &o.Persistence; p.Adapter != nil {
		o.MaxDepth = min(o.MaxDepth, logentry.MaxDepth)
		if p.Durability.every == 0 {
			p.Durability = Interval(100 * time.Millisecond)
		}
	}
	o.MaxValueBytes = orDefault(o.MaxValueBytes, 16<<20, math.MaxInt)
	o.TxRecords = orDefault(o.TxRecords, 100_000, math.MaxInt)
	o.TxBytes = orDefault(o.TxBytes, 256<<20, math.MaxInt)
	o.RecentCommits = orDefault(o.RecentCommits, 16_384, 1<<20)
	o.RecentBytes = orDefault(o.RecentBytes, 64<<20, math.MaxInt)
	o.EventBuffer = orDefault(o.EventBuffer, 4096, 1<<20)
	o.EventBufferChanges = orDefault(o.EventBufferChanges, 1<<20, math.MaxInt)
	return o
}

func orDefault(n, zero, negative int) int {
	switch {
	case n == 0:
		return zero
	case n < 0:
		return negative
	}
	return n
}

// turns is a lock that can be waited for until a context ends.
type turns chan struct{}

func (t turns) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turns) unlock() { <-t }

// storeCount numbers the stores without a name. It is package state because the
// names are to be distinct within a process, as the original has them.
var storeCount atomic.Int64

// Store is a set of buckets with one sequence of commits. All its methods are
// safe for concurrent use.
//
// Its goroutines, each named in the error of a Close that runs out of time:
//
//   - "bucket server NAME": one per bucket; it takes the writes that find the
//     bucket busy, and cuts what closed snapshots had kept.
//   - "events PATTERN": one per On; it calls the handler.
//   - "live queries": from the first live query on; they match commits and call
//     query functions and callbacks. One or two wait; there is one more for each
//     function that is being called, as many at a time as Go has processors, those
//     that do not return left out, and for each callback.
//   - "callback of query NAME": one of the former, while it calls a callback.
//   - "ttl": one, from the first deadline on; it deletes what expired.
//   - "log sync": one, where the log is synced in intervals.
//   - "log compaction": one, where the log needs it.
//   - "close", "log close": while Close waits.
//   - "load": as many as processors, while a bucket of the log is defined.
//   - "log failure": one that reports it.
//   - "alteration of NAME": one, where an alteration calls functions while writers
//     wait.
//
// Locks: a writer holds its bucket's (a transaction that commits, those of its
// buckets in the order of definition), then waits for its turn at the log, if there is one, and takes the commit lock; nothing is locked under
// the commit lock but the feed and the inbox of the live queries, which are
// leaves. The reactor's lock is taken before the commit lock and after a
// definition's, by no commit. Definitions have a lock of their own, which no read
// or write takes.
type Store struct {
	opt     Options
	pins    *table.Pins
	workers *feed.Group
	feed    *feed.Feed[*commitEvent]
	clock   func() time.Time
	born    time.Time // by the process's own clock

	commitMu sync.Mutex // orders publications: see commit.go
	recent   recent     // under commitMu
	tx       txCounts

	defMu    turns // one definition at a time; who starts a goroutine holds it
	topicMu  sync.Mutex
	topicIDs map[string]uint32 // under topicMu: ids of bucket names, for ever

	buckets   atomic.Pointer[map[string]*bucket] // copied on change, under defMu
	closed    atomic.Bool
	done      chan struct{} // closed when Close begins
	closing   chan struct{} // closed when a Close ran out of time
	cutOff    sync.Once     // closes closing
	ticking   atomic.Bool   // the ttl goroutine runs
	defined   uint64        // under defMu: buckets so far
	snapshots atomic.Int64
	holds     holds
	works     sync.Pool   // of *txWork
	altered   atomic.Bool // there was a bucket that another one took the place of

	taps   taps
	log    *logWriter                          // nil: no persistence
	asleep atomic.Pointer[map[string]*dormant] // of the log, not defined; copied on change, in a turn at the log
	lastID uint64                              // of a bucket in the log; changed in a turn at it, under defMu
	opened uint64                              // the sequence that the log had

	queries namedQueries
	runs    runs
	live    *reactor
	calls   atomic.Int64 // of handlers and callbacks: when they begin, and when they end

	fault func(*request) // tests plant a panic here; nil otherwise
	bug   plantedBug     // tests plant defects here, to see that other tests find them
}

// Open returns an empty store, or, with persistence, one with what its log has:
// each bucket is there again, with its records, when it is defined. The context
// bounds the opening, not the store's life. Close it when done. Errors: those of
// the log's adapter, ErrLocked and ErrCorrupt among them.
func Open(ctx context.Context, opt Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "open", Err: err}
	}
	st := &Store{opt: opt.withDefaults(), topicIDs: map[string]uint32{}, defMu: make(turns, 1), done: make(chan struct{}), closing: make(chan struct{})}
	st.clock, st.born = st.opt.Clock, time.Now()
	log, found, err := st.openLog(ctx)
	if err != nil {
		return nil, &Error{Op: "open", Err: err}
	}
	st.pins = table.NewPins(found.seq)
	st.lastID, st.opened = found.lastID, max(found.seq, 1)
	st.asleep.Store(&found.byName)
	st.recent.maxCommits, st.recent.maxBytes = st.opt.RecentCommits, st.opt.RecentBytes
	st.feed = feed.New[*commitEvent](st.opt.EventBuffer, st.opt.EventBufferChanges)
	st.workers = feed.NewGroup(func(name string, p any, stack []byte) {
		st.report(name, &PanicError{Value: p, Stack: stack})
	})
	st.buckets.Store(&map[string]*bucket{})
	st.live = newReactor(st)
	st.workers.Describe(st.live.describe)
	if log != nil {
		st.startLog(log)
	}
	return st, nil
}

// report tells of an error that belongs to no call.
func (st *Store) report(what string, err error) {
	defer func() { _ = recover() }() // of the logger or OnError: there is nobody left to tell
	st.opt.Logger.Error("store: "+what, "store", st.opt.Name, "error", err)
	st.opt.OnError(&Error{Op: what, Err: err})
}

// Name returns the store's name.
func (st *Store) Name() string { return st.opt.Name }

// Close refuses further writes, lets those under way complete, delivers the
// events of all commits, and waits for every goroutine. If ctx ends before, it
// cuts the subscribers off and returns an error that names what still runs; a
// later Close waits again. It is idempotent. A handler that closes its own store
// waits for itself, until ctx ends.
func (st *Store) Close(ctx context.Context) error {
	if !st.closed.Swap(true) {
		close(st.done)
		st.workers.Go("close", st.end) // a writer, or a definition, may wait for a log that hangs
	}
	err := st.workers.Wait(ctx)
	if err == nil && st.log != nil {
		st.log.closing.Do(func() { st.workers.Go("log close", st.log.close) })
		err = st.workers.Wait(ctx)
	}
	if err != nil {
		if names := st.live.evaluating(); len(names) > 0 {
			err = fmt.Errorf("%w; queries under way: %s", err, strings.Join(names, ", "))
		}
		st.cutOff.Do(func() { close(st.closing) })
		st.live.cutOff()
		return &Error{Op: "close", Err: err}
	}
	st.live.cancel()
	if st.log != nil && st.log.closeErr != nil {
		return &Error{Op: "close", Err: st.log.closeErr}
	}
	return nil
}

// end refuses further writes, once those under way are through, and ends the
// deliveries behind them.
func (st *Store) end() {
	_ = st.defMu.lock(context.Background())
	for _, b := range *st.buckets.Load() {
		b.server.stop()
	}
	st.defMu.unlock()
	st.feed.Close()
	st.live.close()
}

// DefineBucket makes a new bucket. Errors: *DefinitionError with everything that
// is wrong, ErrBucketExists, ErrClosed.
func (st *Store) DefineBucket(ctx context.Context, name string, def Definition) (*Bucket, error) {
	b, err := st.define(ctx, name, def, nil, nil)
	if err != nil {
		return nil, err
	}
	return &Bucket{home: b.home}, nil
}

func (st *Store) define(ctx context.Context, name string, def Definition, t reflect.Type, info *structInfo) (*bucket, error) {
	lim := limits{st.opt.MaxDepth, st.opt.MaxValueBytes}
	def = def.clone()
	compiled, issues := def.check(name, lim)
	if info != nil && def.Key != "" {
		for _, f := range info.fields {
			if f.name == def.Key && memOf(f.typ) != memString && (memOf(f.typ) != memInt || f.typ.Size() != 8) {
				issues = append(issues, Issue{f.name, CodeType, fmt.Sprintf("a key must be a string or an int of 64 bits, not %s", f.typ)})
			}
		}
	}
	if len(issues) > 0 {
		return nil, &DefinitionError{Bucket: name, Issues: issues}
	}
	sh := newShape(name, &def, compiled, t, info, nil, lim)
	if issues = append(sh.unfitting(), sh.checkDefaults()...); len(issues) > 0 {
		return nil, &DefinitionError{Bucket: name, Issues: issues}
	}
	b, err := st.add(ctx, name, def, sh, info)
	if err != nil {
		return nil, err
	}
	b.catchUp(ctx)
	return b, nil
}

// add makes a bucket of a checked definition, and fills it from the log.
func (st *Store) add(ctx context.Context, name string, def Definition, sh *shape, info *structInfo) (*bucket, error) {
	if err := st.defMu.lock(ctx); err != nil {
		return nil, &Error{Op: "define", Bucket: name, Err: err}
	}
	defer st.defMu.unlock()
	if st.closed.Load() {
		return nil, &Error{Op: "define", Bucket: name, Err: ErrClosed}
	}
	old := *st.buckets.Load()
	if _, ok := old[name]; ok {
		return nil, &Error{Op: "define", Bucket: name, Err: ErrBucketExists}
	}
	b := newBucket(st, st.topicID(name), name, def, sh)
	b.home, b.info = &home{}, info
	b.home.now.Store(b)
	st.defined++
	b.serial = st.defined
	all := maps.Clone(old)
	all[name] = b
	if err := st.logDefinition(b, all); err != nil {
		return nil, b.fail("define", Key{}, err)
	}
	st.workers.Go("bucket server "+name, b.server.serve)
	st.live.rebind(name, nil)
	return b, nil
}

// topicID is the number of a bucket's name in topics. It outlives the bucket.
func (st *Store) topicID(name string) uint32 {
	st.topicMu.Lock()
	defer st.topicMu.Unlock()
	id, ok := st.topicIDs[name]
	if !ok {
		id = uint32(len(st.topicIDs))
		st.topicIDs[name] = id
	}
	return id
}

func (st *Store) find(op, name string) (*bucket, error) {
	if b, ok := (*st.buckets.Load())[name]; ok {
		return b, nil
	}
	return nil, &Error{Op: op, Bucket: name, Err: ErrBucketNotDefined}
}

// Bucket returns a dynamic handle to a bucket, also to one that a struct
// defined. Error: ErrBucketNotDefined.
func (st *Store) Bucket(name string) (*Bucket, error) {
	b, err := st.find("bucket", name)
	if err != nil {
		return nil, err
	}
	return &Bucket{home: b.home}, nil
}

// HasBucket reports whether the bucket is defined.
func (st *Store) HasBucket(name string) bool {
	_, ok := (*st.buckets.Load())[name]
	return ok
}

// Definition returns a copy of a bucket's definition. Error: ErrBucketNotDefined.
func (st *Store) Definition(name string) (Definition, error) {
	b, err := st.find("definition", name)
	if err != nil {
		return Definition{}, err
	}
	return b.def.clone(), nil
}

// DropBucket removes a bucket and its records, without events; also one that is
// only in the log, and not defined. Writes that were
// taken complete first. Handles to it answer ErrBucketNotDefined from then on,
// also when a bucket of the name is defined again. Error: ErrBucketNotDefined.
func (st *Store) DropBucket(ctx context.Context, name string) error {
	if err := st.defMu.lock(ctx); err != nil {
		return &Error{Op: "drop", Bucket: name, Err: err}
	}
	defer st.defMu.unlock()
	if st.closed.Load() {
		return &Error{Op: "drop", Bucket: name, Err: ErrClosed}
	}
	b, err := st.find("drop", name)
	if err != nil {
		if d := (*st.asleep.Load())[name]; d != nil {
			return st.dropAsleep(d)
		}
		return err
	}
	b.ending.Store(true)
	b.server.stop()
	if err := st.logDrop(b); err != nil {
		return b.fail("drop", Key{}, err)
	}
	b.table.Retire()
	st.live.rebind(name, b)
	return nil
}

// Settle waits until every consequence of every commit before the call has been
// delivered: the handlers of events have handled them, the live queries that they
// concern are evaluated, and their callbacks called; and likewise for what those
// handlers and callbacks have committed, and for queries whose time has come by
// the store's clock. Where others go on writing what handlers
// and callbacks react to, it may wait until ctx ends. A handler or a callback
// that calls it waits for itself.
func (st *Store) Settle(ctx context.Context) error {
	for {
		seq, calls := st.pins.Published(), st.calls.Load()
		if err := st.feed.Wait(ctx); err != nil && !errors.Is(err, feed.ErrClosed) {
			return &Error{Op: "settle", Err: err}
		}
		if err := st.live.settle(ctx, seq); err != nil {
			return &Error{Op: "settle", Err: err}
		}
		if calls == st.calls.Load() {
			return nil
		}
	}
}
