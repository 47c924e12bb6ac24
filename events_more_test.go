package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// eventStore is a store with buckets of the given names, each with an integer
// key, a unique field u and a field n. It is closed at the end of the test, within
// a time that a handler that is stuck does not prolong.
func eventStore(t *testing.T, opt store.Options, names ...string) (*store.Store, map[string]*store.Bucket) {
	t.Helper()
	if opt.OnError == nil {
		opt.OnError = func(err error) { t.Errorf("reported: %v", err) }
	}
	opt.Logger = slog.New(slog.DiscardHandler)
	s, err := store.Open(context.Background(), opt)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Close(ctx))
	})
	buckets := map[string]*store.Bucket{}
	for _, name := range names {
		buckets[name] = eventBucket(t, s, name)
	}
	return s, buckets
}

func eventBucket(t *testing.T, s *store.Store, name string) *store.Bucket {
	t.Helper()
	b, err := s.DefineBucket(context.Background(), name, store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "u": {Type: store.String, Unique: true}, "n": {Type: store.Int},
	}})
	require.NoError(t, err)
	return b
}

// eventLog collects what a handler gets, as text.
type eventLog struct {
	mu  sync.Mutex
	got []string
}

func (l *eventLog) add(e store.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, eventText(e))
}

func (l *eventLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.got...)
}

func eventText(e store.Event) string {
	if e.Err != nil {
		return fmt.Sprintf("%v missed %d", errors.Is(e.Err, store.ErrLagged), e.Missed)
	}
	side := func(r store.Record) string {
		if r.IsZero() {
			return "-"
		}
		return fmt.Sprintf("n%v v%d", r.Get("n"), r.Version())
	}
	return fmt.Sprintf("%d %s %s: %s > %s", e.Seq, e.Topic(), e.Key, side(e.Old), side(e.New))
}

func listen(t *testing.T, s *store.Store, topics string) *eventLog {
	t.Helper()
	l := &eventLog{}
	_, err := s.On(topics, l.add)
	require.NoError(t, err)
	return l
}

func settle(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.Settle(ctx))
}

func put(t *testing.T, b *store.Bucket, id, n int) {
	t.Helper()
	_, err := b.Upsert(context.Background(), store.Fields{"id": id, "n": n})
	require.NoError(t, err)
}

func TestTopicPatterns(t *testing.T) {
	s, bs := eventStore(t, store.Options{}, "a", "b", "bucket", "a b/č")
	for _, bad := range []string{
		"", "*", "bucket", "bucket.a", "a.inserted", "bucket.a.inserted.x", "bucket..inserted", "Bucket.a.inserted",
		"bucket.a.", ".a.inserted", "bucket.a.Inserted", "bucket.a.insert", "bucket.a*.inserted", "bucket.a.*d",
		"bucket.a.inserted ", "**.a.inserted", "bucket.**.inserted", "bucket.\xff.inserted", "bucket.a\n.inserted",
	} {
		stop, err := s.On(bad, func(store.Event) { t.Error("called") })
		require.ErrorIs(t, err, store.ErrPattern, "%q", bad)
		require.Nil(t, stop)
		var e *store.Error
		require.ErrorAs(t, err, &e)
	}
	_, err := s.On("bucket.a.*", nil)
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrPattern)
	require.Zero(t, s.Stats().Subscriptions)

	logs := map[string]*eventLog{}
	for _, p := range []string{
		"*.*.*", "bucket.*.*", "bucket.a.*", "*.a.inserted", "bucket.a.updated", "bucket.a.deleted", "bucket.*.deleted",
		"bucket.bucket.inserted", "bucket.a b/č.*", "bucket.undefined.*",
	} {
		logs[p] = listen(t, s, p)
	}
	require.Equal(t, len(logs), s.Stats().Subscriptions)
	want := map[string][]string{}
	seq := 0
	for _, name := range []string{"a", "b", "bucket", "a b/č"} {
		put(t, bs[name], 1, 0)
		put(t, bs[name], 1, 1)
		require.NoError(t, bs[name].Delete(context.Background(), 1))
		for i, typ := range []string{"inserted", "updated", "deleted"} {
			seq++
			text := fmt.Sprintf("%d bucket.%s.%s 1: %s", seq, name, typ, []string{"- > n0 v1", "n0 v1 > n1 v2", "n1 v2 > -"}[i])
			for _, p := range []string{
				"*.*.*", "bucket.*.*", "bucket." + name + ".*", "*." + name + "." + typ, "bucket." + name + "." + typ,
				"bucket.*." + typ,
			} {
				want[p] = append(want[p], text)
			}
		}
	}
	settle(t, s)
	for p, l := range logs {
		require.ElementsMatch(t, want[p], l.all(), p)
		require.Equal(t, append([]string{}, want[p]...), l.all(), p)
	}
	require.Equal(t, "bucket.x.deleted", store.Event{Bucket: "x", Type: store.Deleted}.Topic())
	require.Equal(t, "EventType(9)", store.EventType(9).String())
}

// The events of a random sequence of writes, over two buckets, are those that its
// writes bring: in commit order, each once, with both contents.
func TestEventsAreTheWrites(t *testing.T) {
	for range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			ctx := context.Background()
			s, bs := eventStore(t, store.Options{EventBuffer: 1 << 16}, "a", "b")
			all, onlyA := listen(t, s, "bucket.*.*"), listen(t, s, "bucket.a.*")
			type row struct{ n, v int }
			state := map[string]map[int]row{"a": {}, "b": {}}
			order := map[string][]int{}
			var want, wantA []string
			seq := 0
			note := func(b, typ string, id int, rest string) {
				text := fmt.Sprintf("%d bucket.%s.%s %d: %s", seq, b, typ, id, rest)
				want = append(want, text)
				if b == "a" {
					wantA = append(wantA, text)
				}
			}
			for range 400 {
				name := []string{"a", "b"}[r.IntN(2)]
				b, st := bs[name], state[name]
				id, n := r.IntN(8), r.IntN(5)
				old, exists := st[id]
				insert := func(id, n int) {
					st[id] = row{n, 1}
					order[name] = append(order[name], id)
					note(name, "inserted", id, fmt.Sprintf("- > n%d v1", n))
				}
				update := func(id, n int) {
					old := st[id]
					st[id] = row{n, old.v + 1}
					note(name, "updated", id, fmt.Sprintf("n%d v%d > n%d v%d", old.n, old.v, n, old.v+1))
				}
				remove := func(id int) {
					note(name, "deleted", id, fmt.Sprintf("n%d v%d > -", st[id].n, st[id].v))
					delete(st, id)
				}
				// In the bucket's order: an id that comes again comes last.
				matching := func(f func(id int)) (count int) {
					seen := map[int]bool{}
					var ids []int
					for i := len(order[name]) - 1; i >= 0; i-- {
						if id := order[name][i]; !seen[id] {
							seen[id] = true
							ids = append([]int{id}, ids...)
						}
					}
					var hits []int
					for _, id := range ids {
						if row, ok := st[id]; ok && row.n == n {
							hits = append(hits, id)
						}
					}
					if len(hits) > 0 {
						seq++
					}
					for _, id := range hits {
						f(id)
					}
					return len(hits)
				}
				switch r.IntN(9) {
				case 0, 1:
					_, err := b.Insert(ctx, store.Fields{"id": id, "n": n})
					require.Equal(t, !exists, err == nil)
					if !exists {
						seq++
						insert(id, n)
					}
				case 2:
					_, err := b.Update(ctx, id, store.Fields{"n": n})
					require.Equal(t, exists, err == nil)
					if exists {
						seq++
						update(id, n)
					}
				case 3:
					_, err := b.Upsert(ctx, store.Fields{"id": id, "n": n})
					require.NoError(t, err)
					seq++
					if exists {
						update(id, n)
					} else {
						insert(id, n)
					}
				case 4:
					require.NoError(t, b.Delete(ctx, id))
					if exists {
						seq++
						remove(id)
					}
				case 5:
					var batch []store.Fields
					free := true
					for j := range 3 {
						_, taken := st[id+j]
						free = free && !taken
						batch = append(batch, store.Fields{"id": id + j, "n": n})
					}
					_, err := b.InsertMany(ctx, batch)
					require.Equal(t, free, err == nil)
					if free {
						seq++
						for j := range 3 {
							insert(id+j, n)
						}
					}
				case 6:
					got, err := b.UpdateMany(ctx, store.Fields{"n": n + 1}, store.Eq("n", n))
					require.NoError(t, err)
					require.Equal(t, matching(func(id int) { update(id, n+1) }), got)
				case 7:
					got, err := b.DeleteMany(ctx, store.Eq("n", n))
					require.NoError(t, err)
					require.Equal(t, matching(remove), got)
				case 8:
					// A write that fails brings nothing.
					_, err := b.Insert(ctx, store.Fields{"id": "x"})
					require.Error(t, err)
					if old.n == 3 && r.IntN(3) == 0 {
						before := len(st)
						if before > 0 {
							seq++
						}
						require.NoError(t, b.Clear(ctx))
						seen := map[int]bool{}
						var ids []int
						for i := len(order[name]) - 1; i >= 0; i-- {
							if id := order[name][i]; !seen[id] {
								seen[id] = true
								ids = append([]int{id}, ids...)
							}
						}
						for _, id := range ids {
							if _, ok := st[id]; ok {
								remove(id)
							}
						}
					}
				}
			}
			settle(t, s)
			require.Equal(t, want, all.all())
			require.Equal(t, wantA, onlyA.all())
			require.Equal(t, store.Seq(seq), s.Stats().Commits)
			require.Zero(t, s.Stats().Lag)
			require.NoError(t, store.CheckTables(s))
		})
	}
}

// Writers of several buckets at once: every handler gets one and the same order,
// dense sequences, and in it each record's versions one after the other.
func TestEventOrderBesideWriters(t *testing.T) {
	names := []string{"a", "b", "c"}
	s, bs := eventStore(t, store.Options{EventBuffer: 1 << 16}, names...)
	type seen struct {
		seqs []store.Seq
		bad  []string
	}
	var logs [3]seen
	for i := range logs {
		l := &logs[i]
		versions := map[string]store.Version{}
		_, err := s.On("bucket.*.*", func(e store.Event) {
			l.seqs = append(l.seqs, e.Seq)
			key := e.Bucket + e.Key.String()
			if e.New.Version() != versions[key]+1 || e.Old.Version() != versions[key] {
				l.bad = append(l.bad, eventText(e))
			}
			versions[key] = e.New.Version()
			// After the commit is visible.
			if now, ok := bs[e.Bucket].Get(e.Key); !ok || now.Version() < e.New.Version() {
				l.bad = append(l.bad, "not visible: "+eventText(e))
			}
			n := 0
			for r := range bs[e.Bucket].All() {
				if r.Key() == e.Key && r.Version() >= e.New.Version() {
					n++
				}
			}
			if n != 1 {
				l.bad = append(l.bad, "not in a scan: "+eventText(e))
			}
		})
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	const writers, each = 6, 150
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				_, err := bs[names[w%3]].Upsert(context.Background(), store.Fields{"id": i % 4, "n": w})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	settle(t, s)
	for _, l := range logs {
		require.Empty(t, l.bad)
		require.Len(t, l.seqs, writers*each)
		for i, seq := range l.seqs {
			require.Equal(t, store.Seq(i+1), seq)
		}
	}
}

func TestEventsOfOneCommitComeTogether(t *testing.T) {
	s, bs := eventStore(t, store.Options{}, "a")
	ctx := context.Background()
	var got []string
	_, err := s.On("bucket.a.*", func(e store.Event) {
		// All of the commit is visible at its first event already.
		n, err := bs["a"].Count()
		got = append(got, fmt.Sprintf("%d %s %s of %d %v", e.Seq, e.Type, e.Key, n, err))
	})
	require.NoError(t, err)
	step := func(f func() error) {
		t.Helper()
		require.NoError(t, f())
		settle(t, s)
	}
	step(func() error {
		_, err := bs["a"].InsertMany(ctx, []store.Fields{{"id": 3, "n": 7}, {"id": 1}, {"id": 2, "n": 7}})
		return err
	})
	step(func() error { _, err := bs["a"].UpdateMany(ctx, store.Fields{"n": 1}, store.Eq("n", 7)); return err })
	step(func() error { _, err := bs["a"].DeleteMany(ctx, store.Eq("id", 1)); return err })
	step(func() error { return bs["a"].Clear(ctx) })
	step(func() error { return bs["a"].Clear(ctx) })
	step(func() error { _, err := bs["a"].InsertMany(ctx, nil); return err })
	step(func() error { _, err := bs["a"].DeleteMany(ctx); return err })
	require.Equal(t, []string{
		"1 inserted 3 of 3 <nil>", "1 inserted 1 of 3 <nil>", "1 inserted 2 of 3 <nil>",
		"2 updated 3 of 3 <nil>", "2 updated 2 of 3 <nil>",
		"3 deleted 1 of 2 <nil>",
		"4 deleted 3 of 0 <nil>", "4 deleted 2 of 0 <nil>",
	}, got)
}

func TestPanickingHandlerBesideAnother(t *testing.T) {
	var mu sync.Mutex
	var heard []error
	s, bs := eventStore(t, store.Options{OnError: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, err)
	}}, "a")
	beside := listen(t, s, "bucket.a.*")
	cause := errors.New("cause")
	calls := 0
	_, err := s.On("bucket.a.inserted", func(e store.Event) {
		if calls++; calls%2 == 1 {
			panic(cause)
		}
	})
	require.NoError(t, err)
	_, err = bs["a"].InsertMany(context.Background(), []store.Fields{{"id": 1}, {"id": 2}, {"id": 3}})
	require.NoError(t, err)
	put(t, bs["a"], 4, 0)
	settle(t, s)
	require.Equal(t, 4, calls)
	require.Len(t, beside.all(), 4)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, heard, 2)
	for _, err := range heard {
		var pe *store.PanicError
		require.ErrorAs(t, err, &pe)
		require.ErrorIs(t, err, cause)
		require.Contains(t, string(pe.Stack), "TestPanickingHandlerBesideAnother")
	}
}

func TestStopInsideTheHandlerAndTwice(t *testing.T) {
	s, bs := eventStore(t, store.Options{}, "a")
	var stop func()
	calls := 0
	ready := make(chan struct{})
	stop, err := s.On("bucket.a.inserted", func(store.Event) {
		<-ready
		if calls++; calls == 2 {
			stop()
			stop()
		}
	})
	require.NoError(t, err)
	close(ready)
	_, err = bs["a"].InsertMany(context.Background(), []store.Fields{{"id": 1}, {"id": 2}, {"id": 3}})
	require.NoError(t, err)
	put(t, bs["a"], 4, 0)
	settle(t, s)
	stop()
	require.Zero(t, s.Stats().Subscriptions)
	put(t, bs["a"], 5, 0)
	require.NoError(t, s.Close(context.Background()))
	require.Equal(t, 2, calls, "not called again, not even for the same commit")
	stop()
}

// A handler that hangs: writers go on, and when it is back it gets one event that
// says how many matching commits it missed, then the rest in order. The oracle is
// the buffer's rule: the last commits that concern anybody, by number or weight.
func TestLaggingHandlers(t *testing.T) {
	for range 8 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			opt := store.Options{EventBuffer: 1 + r.IntN(20), EventBufferChanges: 1 + r.IntN(60)}
			s, bs := eventStore(t, opt, "a", "b", "unheard")
			ctx := context.Background()
			topics := map[string]func(b string) bool{
				"bucket.a.*":        func(b string) bool { return b == "a" },
				"bucket.b.inserted": func(b string) bool { return b == "b" },
			}
			gate := make(chan struct{})
			open := sync.OnceFunc(func() { close(gate) })
			defer open()
			logs := map[string]*eventLog{}
			stuck := make(chan struct{}, 2)
			for topic := range topics {
				l := &eventLog{}
				logs[topic] = l
				first := sync.OnceFunc(func() { stuck <- struct{}{}; <-gate })
				_, err := s.On(topic, func(e store.Event) { l.add(e); first() })
				require.NoError(t, err)
			}
			type commit struct {
				b      string
				events []string
			}
			var commits []commit
			next := 0
			write := func(b string, size int) {
				c := commit{b: b}
				var batch []store.Fields
				for range size {
					next++
					batch = append(batch, store.Fields{"id": next, "n": 0})
					c.events = append(c.events, fmt.Sprintf("%d bucket.%s.inserted %d: - > n0 v1", s.Stats().Commits+1, b, next))
				}
				_, err := bs[b].InsertMany(ctx, batch)
				require.NoError(t, err)
				commits = append(commits, c)
			}
			for _, b := range []string{"a", "b"} {
				write(b, 1)
				<-stuck
			}
			for range r.IntN(60) {
				b := []string{"a", "b", "unheard"}[r.IntN(3)]
				write(b, 1+r.IntN(6))
			}
			// What the buffer still holds: those that concern anybody.
			from, entries, weight := len(commits), 0, 0
			for i := len(commits) - 1; i >= 0; i-- {
				if commits[i].b == "unheard" {
					continue
				}
				entries++
				weight += len(commits[i].events)
				if entries > opt.EventBuffer || entries > 1 && weight > opt.EventBufferChanges {
					break
				}
				from = i
			}
			open()
			settle(t, s)
			for topic, match := range topics {
				var want []string
				missed, first := 0, true
				for i, c := range commits {
					if !match(c.b) {
						continue
					}
					switch {
					case first: // it was in the handler's hand
						first = false
						want = append(want, c.events...)
					case i < from:
						missed++
					default:
						if missed > 0 {
							want = append(want, fmt.Sprintf("true missed %d", missed))
							missed = 0
						}
						want = append(want, c.events...)
					}
				}
				if missed > 0 {
					want = append(want, fmt.Sprintf("true missed %d", missed))
				}
				require.Equal(t, want, logs[topic].all(), topic)
			}
			require.Zero(t, s.Stats().Lag)
			// From here on it is a subscriber like any other.
			write("a", 2)
			settle(t, s)
			got := logs["bucket.a.*"].all()
			require.Equal(t, commits[len(commits)-1].events, got[len(got)-2:])
		})
	}
}

// The lag event carries nothing but the loss.
func TestLagEventIsBare(t *testing.T) {
	s, bs := eventStore(t, store.Options{EventBuffer: 2}, "a")
	entered, gate := make(chan struct{}, 1), make(chan struct{})
	var got []store.Event
	_, err := s.On("bucket.a.*", func(e store.Event) {
		if got = append(got, e); len(got) == 1 {
			entered <- struct{}{}
			<-gate
		}
	})
	require.NoError(t, err)
	put(t, bs["a"], 0, 0)
	<-entered
	for i := range 10 {
		put(t, bs["a"], i+1, 0)
	}
	require.Equal(t, 10, s.Stats().Lag)
	close(gate)
	settle(t, s)
	require.Len(t, got, 4)
	require.Equal(t, store.Event{Err: store.ErrLagged, Missed: 8}, got[1])
	require.Equal(t, []store.Seq{10, 11}, []store.Seq{got[2].Seq, got[3].Seq})
}

func TestOnBeforeDefineAndAfterDrop(t *testing.T) {
	s, _ := eventStore(t, store.Options{})
	ctx := context.Background()
	l, all := listen(t, s, "bucket.later.*"), listen(t, s, "bucket.*.inserted")
	var want, wantAll []string
	for round := range 3 {
		seq := 3 * round
		b := eventBucket(t, s, "later")
		put(t, b, 1, round)
		put(t, b, 1, round)
		put(t, b, 2, round)
		require.NoError(t, s.DropBucket(ctx, "later"))
		want = append(want,
			fmt.Sprintf("%d bucket.later.inserted 1: - > n%d v1", seq+1, round),
			fmt.Sprintf("%d bucket.later.updated 1: n%d v1 > n%d v2", seq+2, round, round),
			fmt.Sprintf("%d bucket.later.inserted 2: - > n%d v1", seq+3, round))
		wantAll = append(wantAll, want[len(want)-3], want[len(want)-1])
	}
	settle(t, s)
	require.Equal(t, want, l.all(), "a drop brings no events")
	require.Equal(t, wantAll, all.all())
}

func TestCloseDeliversWhatWasCommitted(t *testing.T) {
	s, bs := eventStore(t, store.Options{}, "a")
	l := listen(t, s, "bucket.a.*")
	for i := range 1000 {
		put(t, bs["a"], i, i)
	}
	require.NoError(t, s.Close(context.Background()))
	require.Len(t, l.all(), 1000)
	_, err := s.On("bucket.a.*", func(store.Event) { t.Error("called") })
	require.ErrorIs(t, err, store.ErrClosed)
	_, err = s.On("bad", func(store.Event) {})
	require.ErrorIs(t, err, store.ErrPattern)
	require.NoError(t, s.Settle(context.Background()))
	require.NoError(t, s.Close(context.Background()))
	_, ok := bs["a"].Get(1)
	require.True(t, ok, "reads go on after Close")
}

func TestCloseWithAStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{})
		require.NoError(t, err)
		b := eventBucket(t, s, "a")
		gate := make(chan struct{})
		calls := 0
		_, err = s.On("bucket.a.inserted", func(store.Event) { calls++; <-gate })
		require.NoError(t, err)
		other := listen(t, s, "bucket.a.*")
		for i := range 5 {
			put(t, b, i, i)
		}
		for range 2 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			begin := time.Now()
			err = s.Close(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "events bucket.a.inserted")
			require.NotContains(t, err.Error(), "events bucket.a.*", "that one is through")
			require.NotContains(t, err.Error(), "bucket server")
			require.Equal(t, time.Minute, time.Since(begin))
		}
		require.Len(t, other.all(), 5)
		_, err = b.Insert(context.Background(), store.Fields{"id": 99})
		require.ErrorIs(t, err, store.ErrClosed)
		close(gate)
		require.NoError(t, s.Close(context.Background()))
		require.Equal(t, 1, calls, "the first Close cut it off")
	}) // which fails if a goroutine is left
}

// A handler that closes its own store waits for itself until its context ends.
func TestCloseInsideAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{})
		require.NoError(t, err)
		b := eventBucket(t, s, "a")
		var inside error
		_, err = s.On("bucket.a.*", func(store.Event) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			inside = s.Close(ctx)
		})
		require.NoError(t, err)
		put(t, b, 1, 1)
		synctest.Wait()
		require.NoError(t, s.Close(context.Background()))
		require.ErrorIs(t, inside, context.DeadlineExceeded)
	})
}

// Settle waits for the events of the commits before the call, and for those that
// handlers make in turn.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close(context.Background())) }()
		a, audit := eventBucket(t, s, "a"), eventBucket(t, s, "audit")
		gateA, gateAudit := make(chan struct{}, 10), make(chan struct{}, 10)
		handled := 0
		_, err = s.On("bucket.a.inserted", func(e store.Event) {
			<-gateA
			put(t, audit, int(e.Seq), 0)
		})
		require.NoError(t, err)
		_, err = s.On("bucket.audit.inserted", func(store.Event) {
			<-gateAudit
			handled++
		})
		require.NoError(t, err)
		require.NoError(t, s.Settle(context.Background()), "nothing to wait for")
		settling := func() chan error {
			done := make(chan error, 1)
			go func() { done <- s.Settle(context.Background()) }()
			synctest.Wait()
			return done
		}
		put(t, a, 1, 0)
		first := settling()
		require.Empty(t, first, "the handler of a has not returned")
		gateA <- struct{}{}
		synctest.Wait()
		require.Empty(t, first, "what the handler of a has written is a consequence")
		second := settling()
		require.Empty(t, second, "now it is before the call")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		require.ErrorIs(t, s.Settle(ctx), context.DeadlineExceeded)
		cancel()
		gateAudit <- struct{}{}
		synctest.Wait()
		require.NoError(t, <-first)
		require.NoError(t, <-second)
		require.Equal(t, 1, handled)

		// Inside a handler it waits for itself.
		var inside error
		stop, err := s.On("bucket.a.updated", func(store.Event) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			inside = s.Settle(ctx)
		})
		require.NoError(t, err)
		put(t, a, 1, 1)
		require.NoError(t, s.Settle(context.Background()))
		require.ErrorIs(t, inside, context.DeadlineExceeded)

		// A subscriber that is stopped while it is behind is not waited for.
		put(t, a, 2, 0)
		third := settling()
		require.Empty(t, third)
		gateA <- struct{}{}
		gateAudit <- struct{}{}
		require.NoError(t, <-third)
		stop()
	})
}

func TestHandlersLeaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{})
		require.NoError(t, err)
		a := eventBucket(t, s, "a")
		var stops []func()
		for i := range 50 {
			stop, err := s.On("bucket.a.*", func(store.Event) {})
			require.NoError(t, err)
			if i%2 == 0 {
				stops = append(stops, stop)
			}
			put(t, a, i, i)
		}
		synctest.Wait()
		before := runtime.NumGoroutine()
		for _, stop := range stops {
			stop()
		}
		synctest.Wait()
		require.LessOrEqual(t, runtime.NumGoroutine(), before-len(stops)+2, "stop ends the goroutine")
		require.Equal(t, 25, s.Stats().Subscriptions)
		require.NoError(t, s.Close(context.Background()))
		require.Zero(t, s.Stats().Subscriptions)
	})
}

// What a handler writes in the bucket whose event it handles.
func TestHandlerWritesToItsOwnBucket(t *testing.T) {
	s, bs := eventStore(t, store.Options{}, "a")
	done := make(chan struct{})
	_, err := s.On("bucket.a.*", func(e store.Event) {
		n := e.New.Get("n").(int64)
		if n == 100 {
			close(done)
			return
		}
		put(t, bs["a"], 1, int(n)+1)
	})
	require.NoError(t, err)
	put(t, bs["a"], 1, 0)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the chain of events breaks off")
	}
	r, _ := bs["a"].Get(1)
	require.Equal(t, store.Version(101), r.Version())
}
