package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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

type counter struct {
	ID    string `store:"id,key"`
	Group string `store:"group,index"`
	N     int    `store:"n,index"`
	Flag  int    `store:"flag"`
	store.Meta
}

func counters(t *testing.T, s *store.Store, name string) *store.TypedBucket[counter] {
	t.Helper()
	b, err := store.Define[counter](context.Background(), s, name)
	require.NoError(t, err)
	return b
}

// together runs n goroutines and waits for them.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

// until polls a condition that other goroutines bring about. It fails after ten
// seconds, which no passing run comes near.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.FailNow(t, "it did not come to this: "+what)
		}
	}
}

// gate blocks one bucket writer, inside its write, until it is opened.
type gate struct {
	armed   atomic.Bool
	reached chan struct{}
	open    chan struct{}
}

func newGate(s *store.Store) *gate {
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	store.PlantFault(s, func() {
		if g.armed.CompareAndSwap(true, false) {
			close(g.reached)
			<-g.open
		}
	})
	return g
}

func TestNoLostUpdate(t *testing.T) {
	ctx := context.Background()
	for _, workers := range []int{1, 8, 64} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			s := openStore(t, store.Options{})
			b := counters(t, s, "c")
			_, err := b.Insert(ctx, counter{ID: "k"})
			require.NoError(t, err)
			each := 2000 / workers
			together(workers, func(int) {
				for range each {
					_, err := b.Update(ctx, "k", func(c *counter) error { c.N++; return nil })
					assert.NoError(t, err)
				}
			})
			c, ok := b.Get("k")
			require.True(t, ok)
			require.Equal(t, workers*each, c.N)
			require.Equal(t, store.Version(workers*each+1), c.Version)
			require.Equal(t, store.Seq(workers*each+1), s.Stats().Commits)
			n, err := b.Count(store.Eq("n", c.N))
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.NoError(t, store.CheckTables(s))
		})
	}
}

// TestManyBuckets has writers and readers on several buckets at once, and
// snapshots that see each pair of them at one commit.
func TestManyBuckets(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	const buckets, keys, rounds = 3, 20, 300
	bs := make([]*store.TypedBucket[counter], buckets)
	for i := range bs {
		bs[i] = counters(t, s, fmt.Sprint("b", i))
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				snap := s.Snapshot()
				b := bs[rand.IntN(buckets)]
				all, err := b.In(snap).Where().All()
				assert.NoError(t, err)
				n, err := b.In(snap).Count()
				assert.NoError(t, err)
				assert.Len(t, all, n)
				for _, c := range all {
					again, ok := b.In(snap).Get(c.ID)
					assert.True(t, ok)
					assert.Equal(t, c, again)
				}
				red, err := b.In(snap).Where(store.Eq("group", "red")).All()
				assert.NoError(t, err)
				blue, err := b.In(snap).Count(store.Eq("group", "blue"))
				assert.NoError(t, err)
				assert.Equal(t, n, len(red)+blue)
				snap.Close()
			}
		})
	}
	together(2*buckets, func(i int) {
		b := bs[i%buckets]
		r := rand.New(rand.NewPCG(uint64(i), 3))
		for round := range rounds {
			id := fmt.Sprint(r.IntN(keys))
			switch r.IntN(4) {
			case 0:
				assert.NoError(t, b.Delete(ctx, id))
			case 1:
				_, err := b.Update(ctx, id, func(c *counter) error { c.N = round; c.Group = "blue"; return nil })
				if !errors.Is(err, store.ErrNotFound) {
					assert.NoError(t, err)
				}
			default:
				_, err := b.Upsert(ctx, counter{ID: id, Group: "red", N: round})
				assert.NoError(t, err)
			}
		}
	})
	done.Store(true)
	readers.Wait()
	require.NoError(t, store.CheckTables(s))
}

func TestInsertManyAtomicToReaders(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const batch = 7
	var done atomic.Bool
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			for !done.Load() {
				n := 0
				switch i {
				case 0:
					n, _ = b.Count()
				case 1:
					n, _ = b.Count(store.Eq("group", "g"))
				case 2:
					for range b.All() {
						n++
					}
				}
				if n%batch != 0 {
					assert.Fail(t, "a part of a batch", "reader %d sees %d records", i, n)
					return
				}
			}
		})
	}
	for round := range 300 {
		recs := make([]counter, batch)
		for i := range recs {
			recs[i] = counter{ID: fmt.Sprint(round, " ", i), Group: "g", N: i}
		}
		_, err := b.InsertMany(ctx, recs)
		require.NoError(t, err)
		for i := range batch - 1 { // all but the last could be inserted
			recs[i].ID = fmt.Sprint("failed ", i)
		}
		_, err = b.InsertMany(ctx, recs)
		var ue *store.UniqueError
		require.ErrorAs(t, err, &ue)
		if round%50 == 49 {
			n, err := b.DeleteMany(ctx, store.Eq("group", "g"))
			require.NoError(t, err)
			require.Equal(t, 50*batch, n)
		}
	}
	done.Store(true)
	readers.Wait()
	require.NoError(t, store.CheckTables(s))
}

func TestIteratorIsStable(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const n = 500
	recs := make([]counter, n)
	for i := range recs {
		recs[i] = counter{ID: fmt.Sprintf("%04d", i), Group: "g"}
	}
	_, err := b.InsertMany(ctx, recs)
	require.NoError(t, err)

	// Its own loop deletes, updates and inserts.
	seen := 0
	for c := range b.All() {
		require.Equal(t, recs[seen].ID, c.ID)
		require.Zero(t, c.N)
		seen++
		require.NoError(t, b.Delete(ctx, c.ID))
		require.NoError(t, b.Delete(ctx, fmt.Sprintf("%04d", seen)))
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint("new", seen), Group: "g", N: 1})
		require.NoError(t, err)
		if seen == n/2 {
			require.NoError(t, b.Clear(ctx))
		}
	}
	require.Equal(t, n, seen)

	// Others write.
	require.NoError(t, b.Clear(ctx))
	_, err = b.InsertMany(ctx, recs)
	require.NoError(t, err)
	var done atomic.Bool
	var writers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			for round := 1; !done.Load(); round++ {
				_, err := b.UpdateMany(ctx, store.Fields{"n": round}, store.Eq("group", "g"))
				assert.NoError(t, err)
				if i == 0 {
					assert.NoError(t, b.Delete(ctx, recs[round%n].ID))
					_, err = b.Upsert(ctx, counter{ID: recs[round%n].ID, Group: "g", N: round})
					assert.NoError(t, err)
				}
			}
		})
	}
	for range 10 {
		snap := s.Snapshot()
		var first []counter
		for c := range b.In(snap).All() {
			first = append(first, c)
		}
		i := 0
		for c, err := range b.In(snap).Where(store.Eq("group", "g")).Seq() {
			require.NoError(t, err)
			require.Equal(t, first[i], c)
			i++
			runtime.Gosched()
		}
		require.Len(t, first, i)
		snap.Close()
	}
	done.Store(true)
	writers.Wait()
	require.NoError(t, store.CheckTables(s))
}

// TestLinearizableKey checks the history of one key. The writers number their
// writes; a reader must never see an older number than one that was acknowledged
// before its read began, than one that it or anybody saw before, nor one that
// had not been begun.
func TestLinearizableKey(t *testing.T) {
	ctx := context.Background()
	for _, how := range []string{"Get", "index", "scan", "snapshot"} {
		t.Run(how, func(t *testing.T) {
			s := openStore(t, store.Options{})
			b := counters(t, s, "c")
			_, err := b.Insert(ctx, counter{ID: "k", Group: "g"})
			require.NoError(t, err)
			var acked, seen, begun atomic.Int64
			raise := func(to *atomic.Int64, n int64) {
				for old := to.Load(); n > old && !to.CompareAndSwap(old, n); old = to.Load() {
				}
			}
			read := func() int64 {
				switch how {
				case "index":
					c, ok, err := b.FindOne(store.Eq("group", "g"))
					assert.NoError(t, err)
					assert.True(t, ok)
					return int64(c.N)
				case "scan":
					c, ok, err := b.FindOne(store.Eq("flag", 0))
					assert.NoError(t, err)
					assert.True(t, ok)
					return int64(c.N)
				case "snapshot":
					snap := s.Snapshot()
					defer snap.Close()
					c, ok := b.In(snap).Get("k")
					assert.True(t, ok)
					return int64(c.N)
				}
				c, ok := b.Get("k")
				assert.True(t, ok)
				return int64(c.N)
			}
			var done atomic.Bool
			var readers sync.WaitGroup
			for range 3 {
				readers.Go(func() {
					for !done.Load() {
						low := max(acked.Load(), seen.Load())
						got := read()
						if got < low || got > begun.Load() {
							assert.Fail(t, "not linearizable", "%d read, %d was there before, %d begun", got, low, begun.Load())
							return
						}
						raise(&seen, got)
					}
				})
			}
			together(3, func(int) {
				for range 400 {
					c, err := b.Update(ctx, "k", func(c *counter) error {
						c.N++
						raise(&begun, int64(c.N))
						return nil
					})
					assert.NoError(t, err)
					raise(&acked, int64(c.N))
					assert.GreaterOrEqual(t, read(), int64(c.N), "a writer must read its write")
				}
			})
			done.Store(true)
			readers.Wait()
		})
	}
}

// TestKeyThatComesAndGoes: a record that is replaced in one commit by a group of
// requests, or only updated, is never absent; deleted, it is never there.
func TestKeyThatComesAndGoes(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	_, err := b.Insert(ctx, counter{ID: "stays"})
	require.NoError(t, err)
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				if _, ok := b.Get("stays"); !ok {
					assert.Fail(t, "a record that was only updated was not found")
					return
				}
			}
		})
	}
	together(3, func(i int) {
		for n := range 300 {
			mine := fmt.Sprint(i, " ", n%20)
			_, err := b.Insert(ctx, counter{ID: mine, N: n})
			assert.NoError(t, err)
			c, ok := b.Get(mine)
			assert.True(t, ok)
			assert.Equal(t, n, c.N)
			_, err = b.Update(ctx, "stays", func(c *counter) error { c.N++; return nil })
			assert.NoError(t, err)
			assert.NoError(t, b.Delete(ctx, mine))
			_, ok = b.Get(mine)
			assert.False(t, ok)
		}
	})
	done.Store(true)
	readers.Wait()
	require.NoError(t, store.CheckTables(s))
}

// TestUpdateManyAsIfAtOneMoment: all records always have the same flag.
func TestUpdateManyAsIfAtOneMoment(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const n = 40
	for i := range n {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i), Group: "g"})
		require.NoError(t, err)
	}
	var done atomic.Bool
	var background sync.WaitGroup
	for i := range 2 { // beside it, writers that keep the flag
		background.Go(func() {
			for round := 0; !done.Load(); round++ {
				_, err := b.Update(ctx, fmt.Sprint((round*7+i)%n), func(c *counter) error { c.N++; return nil })
				assert.NoError(t, err)
			}
		})
	}
	background.Go(func() {
		for !done.Load() {
			flags := map[int]int{}
			for c := range b.All() {
				flags[c.Flag]++
			}
			if len(flags) != 1 {
				assert.Fail(t, "half an UpdateMany", "%v", flags)
				return
			}
		}
	})
	together(2, func(i int) {
		for round := range 60 {
			got, err := b.UpdateMany(ctx, store.Fields{"flag": 1 + i + 2*round}, store.Eq("group", "g"))
			assert.NoError(t, err)
			assert.Equal(t, n, got)
		}
	})
	done.Store(true)
	background.Wait()
	require.NoError(t, store.CheckTables(s))
}

// TestManyWithoutPhantoms replays the history: each UpdateMany and DeleteMany hit
// exactly the records that matched when it was committed, those included that were
// inserted, or changed to match, while it looked for them.
func TestManyWithoutPhantoms(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{EventBuffer: 1 << 16})
	b := counters(t, s, "c")
	var rec recorder
	_, err := s.On("bucket.c.*", rec.handle)
	require.NoError(t, err)
	together(4, func(w int) {
		for i := range 150 {
			var err error
			switch {
			case w == 0:
				_, err = b.UpdateMany(ctx, store.Fields{"flag": i + 1}, store.Eq("group", "g"))
			case w == 1 && i%10 == 9:
				_, err = b.DeleteMany(ctx, store.Eq("group", "g"))
			default:
				_, err = b.Insert(ctx, counter{ID: fmt.Sprint(w, " ", i), Group: "g"})
				assert.NoError(t, err)
				_, err = b.Insert(ctx, counter{ID: fmt.Sprint(w, "later", i), Group: "other"})
				assert.NoError(t, err)
				_, err = b.Patch(ctx, fmt.Sprint(w, "later", i), store.Fields{"group": "g"})
			}
			assert.NoError(t, err)
		}
	})
	require.NoError(t, s.Settle(ctx))
	matching := map[store.Key]bool{}
	events := rec.take()
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Seq == events[0].Seq {
			n++
		}
		commit := events[0]
		switch {
		case commit.Type == store.Deleted,
			commit.Type == store.Updated && commit.New.Get("flag") != commit.Old.Get("flag"):
			require.Equal(t, len(matching), n, "commit %d hit too few", commit.Seq)
			for _, e := range events[:n] {
				require.True(t, matching[e.Key])
			}
		default:
			require.Equal(t, 1, n)
		}
		for _, e := range events[:n] {
			delete(matching, e.Key)
			if !e.New.IsZero() && e.New.Get("group") == "g" {
				matching[e.Key] = true
			}
		}
		events = events[n:]
	}
	count, err := b.Count(store.Eq("group", "g"))
	require.NoError(t, err)
	require.Len(t, matching, count)
}

// TestDeleteManyAsIfAtOneMoment: inserts come in pairs, so that what a DeleteMany
// removes is even.
func TestDeleteManyAsIfAtOneMoment(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	var inserted, deleted atomic.Int64
	var done atomic.Bool
	var background sync.WaitGroup
	background.Go(func() {
		for !done.Load() {
			n, err := b.DeleteMany(ctx, store.Eq("group", "pair"))
			assert.NoError(t, err)
			assert.Zero(t, n%2)
			deleted.Add(int64(n))
		}
	})
	together(3, func(i int) {
		for n := range 150 {
			id := fmt.Sprint(i, " ", n)
			_, err := b.InsertMany(ctx, []counter{{ID: id + "a", Group: "pair"}, {ID: id + "b", Group: "pair"}})
			assert.NoError(t, err)
			inserted.Add(2)
		}
	})
	done.Store(true)
	background.Wait()
	n, err := b.DeleteMany(ctx, store.Eq("group", "pair"))
	require.NoError(t, err)
	require.Equal(t, inserted.Load(), deleted.Load()+int64(n))
	require.NoError(t, store.CheckTables(s))
}

func TestUniqueRace(t *testing.T) {
	type user struct {
		ID    string `store:"id,key,generated=uuid"`
		Email string `store:"email,unique"`
	}
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b, err := store.Define[user](ctx, s, "users")
	require.NoError(t, err)
	for round := range 40 {
		var won atomic.Int32
		email := fmt.Sprint(round, "@example.com")
		together(8, func(i int) {
			_, err := b.Insert(ctx, user{Email: email})
			var ue *store.UniqueError
			if err == nil {
				won.Add(1)
			} else if assert.ErrorAs(t, err, &ue) {
				assert.Equal(t, "email", ue.Field)
			}
		})
		require.Equal(t, int32(1), won.Load())
		n, err := b.Count(store.Eq("email", email))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	// A value that moves from record to record has one owner at every moment.
	_, err = b.Insert(ctx, user{ID: "x", Email: "token"})
	require.NoError(t, err)
	_, err = b.Insert(ctx, user{ID: "y", Email: "free"})
	require.NoError(t, err)
	together(6, func(i int) {
		for range 100 {
			for _, id := range []string{"x", "y"} {
				_, err := b.Update(ctx, id, func(u *user) error {
					if u.Email == "token" {
						u.Email = "free " + id
					} else {
						u.Email = "token"
					}
					return nil
				})
				var ue *store.UniqueError
				if err != nil {
					assert.ErrorAs(t, err, &ue)
				}
				n, err := b.Count(store.Eq("email", "token"))
				assert.NoError(t, err)
				assert.LessOrEqual(t, n, 1)
			}
		}
	})
	require.NoError(t, store.CheckTables(s))
}

// TestCancelWhileWaiting: a write that waits for its bucket and is cancelled
// leaves nothing; one that was taken completes.
func TestCancelWhileWaiting(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	g := newGate(s)
	b := counters(t, s, "c")

	g.armed.Store(true)
	takenCtx, cancelTaken := context.WithCancel(ctx)
	taken := make(chan error)
	go func() {
		_, err := b.Insert(takenCtx, counter{ID: "taken"})
		taken <- err
	}()
	<-g.reached

	const waiting = 20
	waitCtx, cancelWaiting := context.WithCancel(ctx)
	errs := make(chan error)
	for i := range waiting {
		go func() {
			var err error
			switch i % 4 {
			case 0:
				_, err = b.Insert(waitCtx, counter{ID: fmt.Sprint("waits", i)})
			case 1:
				_, err = b.InsertMany(waitCtx, []counter{{ID: fmt.Sprint("many", i)}})
			case 2:
				err = b.Clear(waitCtx)
			case 3:
				err = b.Delete(waitCtx, "taken")
			}
			errs <- err
		}()
	}
	stays := make(chan error)
	go func() {
		_, err := b.Insert(ctx, counter{ID: "patient"})
		stays <- err
	}()
	until(t, "all wait", func() bool { return s.Stats().QueueDepth.PerBucket["c"] == waiting+1 })
	cancelWaiting()
	cancelTaken()
	for range waiting { // they return although the bucket is still blocked
		require.ErrorIs(t, <-errs, context.Canceled)
	}
	close(g.open)
	require.NoError(t, <-taken)
	require.NoError(t, <-stays)
	var ids []string
	for c := range b.All() {
		ids = append(ids, c.ID)
	}
	require.Equal(t, []string{"taken", "patient"}, ids)
	require.Equal(t, store.Seq(2), s.Stats().Commits)
	until(t, "nobody waits", func() bool { return s.Stats().QueueDepth.Total == 0 })
	// A context that has ended before is honoured by an idle bucket too.
	_, err := b.Insert(waitCtx, counter{ID: "late"})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, store.CheckTables(s))
}

// TestCloseDuringEverything: every write returns nil or ErrClosed, what was
// acknowledged is there, no goroutine stays.
func TestCloseDuringEverything(t *testing.T) {
	ctx := context.Background()
	before := runtime.NumGoroutine()
	for round := range 15 {
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		b := counters(t, s, "c")
		other := counters(t, s, "other")
		var events atomic.Int64
		_, err = s.On("bucket.c.inserted", func(e store.Event) {
			if e.Err != nil { // on a busy machine: it is told what it missed
				events.Add(int64(e.Missed))
				return
			}
			events.Add(1)
		})
		require.NoError(t, err)
		var acked sync.Map
		var n atomic.Int64
		var workers sync.WaitGroup
		for i := range 6 {
			workers.Go(func() {
				for k := 0; ; k++ {
					id := fmt.Sprint(i, " ", k)
					_, err := b.Insert(ctx, counter{ID: id})
					if err != nil {
						assert.ErrorIs(t, err, store.ErrClosed)
						return
					}
					acked.Store(id, true)
					n.Add(1)
					if _, err = other.Upsert(ctx, counter{ID: "k", N: k}); err == nil {
						_, err = other.UpdateMany(ctx, store.Fields{"flag": k})
					}
					if err != nil {
						assert.ErrorIs(t, err, store.ErrClosed)
						return
					}
				}
			})
		}
		workers.Go(func() {
			for {
				stop, err := s.On("bucket.*.*", func(store.Event) {})
				if err != nil {
					assert.ErrorIs(t, err, store.ErrClosed)
					return
				}
				stop()
				runtime.Gosched()
			}
		})
		until(t, "some writes", func() bool { return n.Load() > int64(10*round) })
		together(3, func(int) { assert.NoError(t, s.Close(ctx)) })
		workers.Wait()
		require.NoError(t, s.Close(ctx))
		acked.Range(func(id, _ any) bool {
			_, ok := b.Get(id)
			return assert.True(t, ok, "acknowledged and gone: %v", id)
		})
		count, err := b.Count()
		require.NoError(t, err)
		require.Equal(t, int(n.Load()), count)
		require.Equal(t, n.Load(), events.Load(), "Close delivers every event, or says how many were lost")
		_, err = s.DefineBucket(ctx, "late", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}}})
		require.ErrorIs(t, err, store.ErrClosed)
		require.ErrorIs(t, s.DropBucket(ctx, "c"), store.ErrClosed)
		require.NoError(t, store.CheckTables(s))
	}
	until(t, "all goroutines gone", func() bool { return runtime.NumGoroutine() <= before })
}

// TestNoGoroutineLeak: synctest fails if one of the bubble's goroutines is left.
func TestNoGoroutineLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		for i := range 5 {
			b := counters(t, s, fmt.Sprint("b", i))
			_, err := b.Insert(ctx, counter{ID: "k"})
			require.NoError(t, err)
			_, err = s.On("bucket.*.*", func(store.Event) {})
			require.NoError(t, err)
		}
		require.NoError(t, s.DropBucket(ctx, "b0"))
		snap := s.Snapshot()
		defer snap.Close()
		require.NoError(t, s.Close(ctx))
		require.NoError(t, s.Close(ctx))
	})
}

func TestDropBucketDuringWrites(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	for range 15 {
		b := counters(t, s, "c")
		var n atomic.Int64
		var workers sync.WaitGroup
		for i := range 4 {
			workers.Go(func() {
				for k := 0; ; k++ {
					if _, err := b.Insert(ctx, counter{ID: fmt.Sprint(i, " ", k)}); err != nil {
						assert.ErrorIs(t, err, store.ErrBucketNotDefined)
						return
					}
					n.Add(1)
				}
			})
		}
		until(t, "some writes", func() bool { return n.Load() > 10 })
		require.NoError(t, s.DropBucket(ctx, "c"))
		require.ErrorIs(t, s.DropBucket(ctx, "c"), store.ErrBucketNotDefined)
		fresh := counters(t, s, "c") // of the same name, at once
		workers.Wait()
		count, err := fresh.Count()
		require.NoError(t, err)
		require.Zero(t, count)
		_, err = b.Count()
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
		_, err = b.Insert(ctx, counter{ID: "late"})
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
		_, ok := b.Get("0 0")
		require.False(t, ok, "a handle to a dropped bucket has no records")
		require.NoError(t, s.DropBucket(ctx, "c"))
	}
}

// TestBubbles holds that stores in different synctest bubbles share no channel:
// once, pooled requests carried theirs from one test of a user to the next, which
// is a fatal error. Hence the process of its own.
func TestBubbles(t *testing.T) {
	if os.Getenv("STORE_BUBBLES") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBubbles$")
		cmd.Env = append(os.Environ(), "STORE_BUBBLES=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%.400s", out)
		return
	}
	for range 4 {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			s, err := store.Open(ctx, store.Options{})
			require.NoError(t, err)
			g := newGate(s)
			g.armed.Store(true)
			b := counters(t, s, "c")
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i)})
					assert.NoError(t, err)
				})
			}
			<-g.reached
			for s.Stats().QueueDepth.Total < 19 {
				runtime.Gosched()
			}
			close(g.open)
			wg.Wait()
			require.NoError(t, s.Close(ctx))
		})
	}
}
