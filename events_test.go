package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// recorder is a handler that keeps what it gets.
type recorder struct {
	mu  sync.Mutex
	got []store.Event
}

func (r *recorder) handle(e store.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, e)
}

// take returns what came so far and forgets it.
func (r *recorder) take() []store.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func topics(events []store.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Topic()+" "+e.Key.String())
	}
	return out
}

func TestEventPatterns(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	const a, b = "a", "b b-ž"
	all := []string{
		"bucket.a.inserted 1", "bucket.b b-ž.inserted 1", "bucket.a.updated 1", "bucket.b b-ž.updated 1",
		"bucket.a.deleted 1", "bucket.b b-ž.deleted 1",
	}
	pick := func(at ...int) (out []string) {
		for _, i := range at {
			out = append(out, all[i])
		}
		return out
	}
	tests := map[string][]string{
		"bucket.*.*":            all,
		"*.*.*":                 all,
		"*.a.*":                 pick(0, 2, 4),
		"bucket.a.*":            pick(0, 2, 4),
		"bucket.b b-ž.*":        pick(1, 3, 5),
		"bucket.*.inserted":     pick(0, 1),
		"bucket.*.updated":      pick(2, 3),
		"bucket.a.deleted":      pick(4),
		"bucket.b b-ž.inserted": pick(1),
		"bucket.later.*":        nil,
		"bucket.A.*":            nil,
	}
	recs := map[string]*recorder{}
	for pattern := range tests {
		recs[pattern] = &recorder{}
		_, err := s.On(pattern, recs[pattern].handle) // the buckets are not defined yet
		require.NoError(t, err, pattern)
	}
	ba, bb := counters(t, s, a), counters(t, s, b)
	for _, c := range []*store.TypedBucket[counter]{ba, bb} {
		_, err := c.Insert(ctx, counter{ID: "1"})
		require.NoError(t, err)
	}
	for _, c := range []*store.TypedBucket[counter]{ba, bb} {
		_, err := c.Patch(ctx, "1", store.Fields{"n": 1})
		require.NoError(t, err)
	}
	for _, c := range []*store.TypedBucket[counter]{ba, bb} {
		require.NoError(t, c.Delete(ctx, "1"))
	}
	require.NoError(t, s.Settle(ctx))
	for pattern, rec := range recs {
		require.Equal(t, tests[pattern], topics(rec.take()), pattern)
	}
	for _, bad := range []string{
		"", "bucket", "bucket.a", "bucket.a.inserted.x", "a.b.c", "bucket..inserted", "bucket.a.", ".a.inserted", "bucket.a.insert",
		"bucket.a.Inserted", "bucket.a*.inserted", "bucket.**.inserted", "bucket.a.**", "store.a.inserted", "bucket.a\x00.inserted", "bucket.\xff.*",
	} {
		stop, err := s.On(bad, func(store.Event) {})
		require.ErrorIs(t, err, store.ErrPattern, "%q", bad)
		require.Nil(t, stop)
	}
}

// TestEventOrder has several writers and subscribers: each subscriber gets every
// event once, in commit order, those of one commit together, and a Get inside the
// handler shows the event's state or a later one.
func TestEventOrder(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const writers, rounds, batch = 4, 60, 3
	var recs [3]recorder
	for i := range recs {
		_, err := s.On("bucket.c.*", func(e store.Event) {
			if !assert.NoError(t, e.Err) {
				return
			}
			now, ok := b.Get(e.Key)
			switch e.Type {
			case store.Deleted: // nobody inserts it again
				assert.False(t, ok, "deleted and still there")
			default:
				if ok { // else it was deleted meanwhile
					assert.GreaterOrEqual(t, now.Version, e.New.Version())
				}
				assert.GreaterOrEqual(t, s.Stats().Commits, e.Seq)
			}
			recs[i].handle(e)
		})
		require.NoError(t, err)
	}
	together(writers, func(w int) {
		for n := range rounds {
			var batchOf []counter
			for k := range batch {
				batchOf = append(batchOf, counter{ID: fmt.Sprint(w, "-", n, "-", k), Group: fmt.Sprint(w)})
			}
			_, err := b.InsertMany(ctx, batchOf)
			assert.NoError(t, err)
			_, err = b.Update(ctx, batchOf[0].ID, func(c *counter) error { c.N = 1; return nil })
			assert.NoError(t, err)
			if n%4 == 3 {
				_, err = b.DeleteMany(ctx, store.Eq("group", fmt.Sprint(w)))
				assert.NoError(t, err)
			}
			_, err = b.InsertMany(ctx, append(batchOf[1:2], batchOf[0], batchOf[0])) // fails, brings nothing
			assert.Error(t, err)
		}
	})
	require.NoError(t, s.Settle(ctx))
	first := recs[0].take()
	for i := range recs[1:] {
		require.Equal(t, first, recs[1+i].take())
	}
	versions := map[store.Key]store.Version{}
	seqs := map[store.Seq]int{}
	last := store.Seq(0)
	for _, e := range first {
		require.GreaterOrEqual(t, e.Seq, last)
		if e.Seq > last {
			require.Equal(t, last+1, e.Seq, "every commit has its events")
		}
		last = e.Seq
		seqs[e.Seq]++
		switch e.Type {
		case store.Inserted:
			require.Zero(t, versions[e.Key])
			require.True(t, e.Old.IsZero())
			require.Equal(t, store.Version(1), e.New.Version())
			versions[e.Key] = 1
		case store.Updated:
			require.Equal(t, versions[e.Key], e.Old.Version())
			require.Equal(t, versions[e.Key]+1, e.New.Version())
			require.Equal(t, int64(0), e.Old.Get("n"))
			require.Equal(t, int64(1), e.New.Get("n"))
			versions[e.Key]++
		case store.Deleted:
			require.Equal(t, versions[e.Key], e.Old.Version())
			require.True(t, e.New.IsZero())
			delete(versions, e.Key)
		}
	}
	require.Equal(t, s.Stats().Commits, last)
	count, err := b.Count()
	require.NoError(t, err)
	require.Len(t, versions, count)
}

// TestEventAfterVisibility: what a handler is told of, it can read.
func TestEventAfterVisibility(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{EventBuffer: 1 << 16})
	b := counters(t, s, "c")
	for range 2 {
		_, err := s.On("bucket.c.*", func(e store.Event) {
			now, ok := b.Get(e.Key)
			if !ok || now.Version < e.New.Version() {
				assert.Fail(t, "an event before its commit", "version %d told, %d there", e.New.Version(), now.Version)
			}
		})
		require.NoError(t, err)
	}
	together(3, func(w int) {
		for i := range 4000 {
			_, err := b.Upsert(ctx, counter{ID: fmt.Sprint(w, " ", i/20), N: i})
			assert.NoError(t, err)
		}
	})
	require.NoError(t, s.Settle(ctx))
}

func TestClearIsOneCommit(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const n = 50
	for i := range n {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i), N: i})
		require.NoError(t, err)
	}
	var rec recorder
	_, err := s.On("bucket.c.deleted", rec.handle)
	require.NoError(t, err)
	require.NoError(t, b.Clear(ctx))
	require.NoError(t, b.Clear(ctx)) // of nothing: no commit
	require.NoError(t, s.Settle(ctx))
	got := rec.take()
	require.Len(t, got, n)
	for i, e := range got {
		require.Equal(t, store.Seq(n+1), e.Seq)
		require.Equal(t, fmt.Sprint(i), e.Key.String())
		require.Equal(t, int64(i), e.Old.Get("n"))
	}
	require.Equal(t, store.Seq(n+1), s.Stats().Commits)
}

func TestPanickingHandler(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	var reported []error
	s := openStore(t, store.Options{
		Logger: slog.New(slog.DiscardHandler),
		OnError: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			reported = append(reported, err)
		},
	})
	b := counters(t, s, "c")
	var bad, good recorder
	_, err := s.On("bucket.c.*", func(e store.Event) {
		bad.handle(e)
		if e.Key.String() == "1" || e.Key.String() == "2" {
			panic(errClosure)
		}
	})
	require.NoError(t, err)
	_, err = s.On("bucket.c.*", good.handle)
	require.NoError(t, err)
	_, err = b.InsertMany(ctx, []counter{{ID: "1"}, {ID: "2"}, {ID: "3"}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, counter{ID: "4"})
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.Len(t, bad.take(), 4)
	require.Len(t, good.take(), 4)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, reported, 2)
	for _, err := range reported {
		var pe *store.PanicError
		require.ErrorAs(t, err, &pe)
		require.NotEmpty(t, pe.Stack)
		require.ErrorIs(t, err, errClosure)
		require.ErrorContains(t, err, "bucket.c.*")
	}
}

// TestPanickingOnError: what the user's reporter does reaches nobody else either.
func TestPanickingOnError(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{
		Logger:  slog.New(slog.DiscardHandler),
		OnError: func(error) { panic("the reporter panics too") },
	})
	b := counters(t, s, "c")
	var rec recorder
	_, err := s.On("bucket.c.*", func(e store.Event) {
		rec.handle(e)
		panic("handler")
	})
	require.NoError(t, err)
	for i := range 3 {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	require.NoError(t, s.Settle(ctx))
	require.Len(t, rec.take(), 3, "a handler that panics is called again for the next event")
}

func TestStopInsideHandler(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	var stop func()
	ready := make(chan struct{})
	var rec recorder
	stop, err := s.On("bucket.c.*", func(e store.Event) {
		<-ready
		rec.handle(e)
		stop()
		stop()
	})
	require.NoError(t, err)
	close(ready)
	_, err = b.InsertMany(ctx, []counter{{ID: "1"}, {ID: "2"}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, counter{ID: "3"})
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	stop()
	until(t, "unsubscribed", func() bool { return s.Stats().Subscriptions == 0 })
	require.Len(t, rec.take(), 1)
	// Nobody is told of what comes after stop has returned.
	stop, err = s.On("bucket.c.*", rec.handle)
	require.NoError(t, err)
	stop()
	_, err = b.Insert(ctx, counter{ID: "4"})
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.Empty(t, rec.take())
}

func TestHandlerWrites(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	log := counters(t, s, "log")
	_, err := s.On("bucket.c.*", func(e store.Event) {
		_, err := log.Insert(ctx, counter{ID: fmt.Sprint(e.Seq)})
		assert.NoError(t, err)
		if e.Type == store.Inserted {
			_, err = b.Update(ctx, e.Key, func(c *counter) error { c.N++; return nil })
			assert.NoError(t, err)
		}
	})
	require.NoError(t, err)
	together(4, func(w int) {
		for i := range 25 {
			_, err := b.Insert(ctx, counter{ID: fmt.Sprint(w, " ", i)})
			assert.NoError(t, err)
		}
	})
	until(t, "all handled", func() bool {
		n, err := log.Count()
		return err == nil && n == 200
	})
	n, err := b.Count(store.Eq("n", 1))
	require.NoError(t, err)
	require.Equal(t, 100, n)
}

// TestLagged blocks a handler: writers go on, it is told exactly what it missed,
// and goes on with the oldest commit that is still there.
func TestLagged(t *testing.T) {
	for _, test := range []struct {
		name    string
		opt     store.Options
		batch   int // records per commit
		commits int // after the one that it is blocked in
		keeps   int
	}{
		{"within the buffer", store.Options{EventBuffer: 16}, 1, 16, 16},
		{"one too many", store.Options{EventBuffer: 16}, 1, 17, 16},
		{"many", store.Options{EventBuffer: 16}, 3, 500, 16},
		{"by changes", store.Options{EventBuffer: 1000, EventBufferChanges: 20}, 5, 50, 4},
		{"a commit larger than the buffer", store.Options{EventBuffer: 1000, EventBufferChanges: 2}, 5, 50, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := context.Background()
			s := openStore(t, test.opt)
			b := counters(t, s, "c")
			quiet := counters(t, s, "quiet")
			entered, open := make(chan struct{}), make(chan struct{})
			var once sync.Once
			var slow recorder
			_, err := s.On("bucket.c.*", func(e store.Event) {
				once.Do(func() { close(entered); <-open })
				slow.handle(e)
			})
			require.NoError(t, err)
			var other recorder
			_, err = s.On("bucket.quiet.*", other.handle)
			require.NoError(t, err)
			_, err = b.Insert(ctx, counter{ID: "blocks"})
			require.NoError(t, err)
			<-entered
			_, err = quiet.Insert(ctx, counter{ID: "q"}) // concerns the other one only
			require.NoError(t, err)
			until(t, "the other one has it", func() bool { return len(other.take()) == 1 })
			for i := range test.commits {
				var recs []counter
				for k := range test.batch {
					recs = append(recs, counter{ID: fmt.Sprint(i, "-", k)})
				}
				_, err := b.InsertMany(ctx, recs)
				require.NoError(t, err)
			}
			require.Equal(t, test.commits, s.Stats().Lag)
			close(open)
			require.NoError(t, s.Settle(ctx))
			got := slow.take()
			require.Equal(t, "blocks", got[0].Key.String())
			got = got[1:]
			if missed := test.commits - test.keeps; missed > 0 {
				require.ErrorIs(t, got[0].Err, store.ErrLagged)
				require.Equal(t, store.Event{Err: store.ErrLagged, Missed: missed}, got[0])
				got = got[1:]
			}
			require.Len(t, got, test.keeps*test.batch)
			for i, e := range got {
				at := test.commits - test.keeps + i/test.batch
				require.NoError(t, e.Err)
				require.Equal(t, store.Seq(3+at), e.Seq)
				require.Equal(t, fmt.Sprint(at, "-", i%test.batch), e.Key.String())
			}
			require.Zero(t, s.Stats().Lag)
		})
	}
}

// TestLaggedMemory: a blocked handler holds no more than the buffer.
func TestLaggedMemory(t *testing.T) {
	type big struct {
		ID   string `store:"id,key"`
		Data []byte `store:"data"`
	}
	ctx := context.Background()
	s := openStore(t, store.Options{EventBuffer: 8})
	b, err := store.Define[big](ctx, s, "b")
	require.NoError(t, err)
	open := make(chan struct{})
	_, err = s.On("bucket.*.*", func(store.Event) { <-open })
	require.NoError(t, err)
	defer close(open)
	const size = 64 << 10
	_, err = b.Insert(ctx, big{ID: "k", Data: make([]byte, size)})
	require.NoError(t, err)
	before := heap()
	for i := range 500 { // 32 MB in all
		_, err := b.Patch(ctx, "k", store.Fields{"data": make([]byte, size+i)})
		require.NoError(t, err)
	}
	require.Less(t, heap()-before, int64(8<<20))
}

// TestUnsubscribeInStorm: subscriptions come and go while everybody writes; each
// sees a part of the history without a gap.
func TestUnsubscribeInStorm(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	var done atomic.Bool
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := 0; !done.Load(); i++ {
				_, err := b.Upsert(ctx, counter{ID: fmt.Sprint(w), N: i})
				assert.NoError(t, err)
			}
		})
	}
	together(6, func(i int) {
		for range 40 {
			var rec recorder
			now := s.Stats().Commits
			stop, err := s.On("bucket.c.*", func(e store.Event) { rec.handle(e) })
			if !assert.NoError(t, err) {
				return
			}
			for n := 0; n < 20 && len(rec.snapshot()) < i; n++ {
				runtime.Gosched()
			}
			stop()
			next := store.Seq(0)
			for _, e := range rec.snapshot() {
				if e.Err != nil { // on a busy machine
					assert.ErrorIs(t, e.Err, store.ErrLagged)
					if next != 0 {
						next += store.Seq(e.Missed)
					}
					continue
				}
				assert.Greater(t, e.Seq, now)
				if next != 0 {
					assert.Equal(t, next, e.Seq)
				}
				next = e.Seq + 1
			}
		}
	})
	done.Store(true)
	writers.Wait()
	until(t, "no subscription is left", func() bool { return s.Stats().Subscriptions == 0 })
}

func (r *recorder) snapshot() []store.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]store.Event(nil), r.got...)
}

// TestCloseDeliversEvents: a slow handler gets all that was committed before
// Close returns.
func TestCloseDeliversEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		b := counters(t, s, "c")
		var rec recorder
		_, err = s.On("bucket.c.*", func(e store.Event) {
			time.Sleep(time.Second)
			rec.handle(e)
		})
		require.NoError(t, err)
		for i := range 20 {
			_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i)})
			require.NoError(t, err)
		}
		require.NoError(t, s.Close(ctx))
		require.Len(t, rec.take(), 20)
		_, err = s.On("bucket.c.*", rec.handle)
		require.ErrorIs(t, err, store.ErrClosed)
	})
}

// TestCloseWithStuckHandler: Close keeps its deadline and names who is stuck; the
// handler is not called again, and a later Close waits for it.
func TestCloseWithStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		b := counters(t, s, "c")
		open := make(chan struct{})
		var calls atomic.Int32
		_, err = s.On("bucket.c.updated", func(store.Event) {
			calls.Add(1)
			<-open
		})
		require.NoError(t, err)
		_, err = b.Insert(ctx, counter{ID: "k"})
		require.NoError(t, err)
		for i := range 3 {
			_, err = b.Patch(ctx, "k", store.Fields{"n": i})
			require.NoError(t, err)
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		begun := time.Now()
		err = s.Close(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "events bucket.c.updated")
		require.Equal(t, time.Minute, time.Since(begun))
		_, err = b.Insert(ctx, counter{ID: "late"})
		require.ErrorIs(t, err, store.ErrClosed)
		again, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorIs(t, s.Close(again), context.DeadlineExceeded)
		close(open)
		require.NoError(t, s.Close(ctx))
		require.Equal(t, int32(1), calls.Load())
	})
}

// TestSecondCloseCutsOff: whichever Close runs out of time cuts the subscribers
// off, not only the first that was called.
func TestSecondCloseCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		b := counters(t, s, "c")
		open := make(chan struct{})
		var calls atomic.Int32
		_, err = s.On("bucket.c.*", func(store.Event) {
			calls.Add(1)
			<-open
		})
		require.NoError(t, err)
		_, err = b.InsertMany(ctx, []counter{{ID: "1"}, {ID: "2"}, {ID: "3"}})
		require.NoError(t, err)
		first := make(chan error)
		go func() { first <- s.Close(ctx) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorIs(t, s.Close(short), context.DeadlineExceeded)
		close(open)
		require.NoError(t, <-first)
		require.Equal(t, int32(1), calls.Load())
	})
}

// TestSettle waits for handlers, not for those that come later, and keeps its
// deadline.
func TestSettleKeepsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		b := counters(t, s, "c")
		require.NoError(t, s.Settle(ctx)) // nobody listens
		var handled atomic.Int32
		_, err = s.On("bucket.c.*", func(store.Event) { time.Sleep(time.Hour); handled.Add(1) })
		require.NoError(t, err)
		_, err = b.Insert(ctx, counter{ID: "k"})
		require.NoError(t, err)
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		err = s.Settle(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var e *store.Error
		require.True(t, errors.As(err, &e))
		require.NoError(t, s.Settle(ctx))
		require.Equal(t, int32(1), handled.Load())
		require.NoError(t, s.Close(ctx))
		require.NoError(t, s.Settle(ctx))
	})
}
