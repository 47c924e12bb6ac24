package store_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type snapDoc struct {
	ID   int64  `store:"id,key"`
	Name string `store:"name,unique"`
	N    int    `store:"n,index"`
	store.Meta
}

func snapStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, store.CheckTables(s))
		require.NoError(t, s.Close(context.Background()))
	})
	return s
}

func snapBucket(t *testing.T, s *store.Store, name string, n int) *store.TypedBucket[snapDoc] {
	t.Helper()
	b, err := store.Define[snapDoc](context.Background(), s, name)
	require.NoError(t, err)
	docs := make([]snapDoc, n)
	for i := range docs {
		docs[i] = snapDoc{ID: int64(i + 1), Name: fmt.Sprint("name", i+1), N: (i + 1) % 10}
	}
	_, err = b.InsertMany(context.Background(), docs)
	require.NoError(t, err)
	return b
}

// snapUntil polls a condition that the store's goroutines bring about.
func snapUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.FailNow(t, "it did not come to this: "+what)
		}
	}
}

func nothingRetained(t *testing.T, s *store.Store) {
	t.Helper()
	snapUntil(t, "nothing is retained", func() bool { return len(s.Stats().Retained) == 0 })
	require.NoError(t, store.CheckTables(s))
}

func snapPull(b *store.TypedBucket[snapDoc]) (func() (snapDoc, bool), func()) {
	return iter.Pull(b.All())
}

// contents reads a bucket in every way and has them agree.
func contents(t *testing.T, b *store.TypedBucket[snapDoc]) map[int64]snapDoc {
	t.Helper()
	out := map[int64]snapDoc{}
	var order []int64
	for d := range b.All() {
		_, twice := out[d.ID]
		require.False(t, twice, "%d twice", d.ID)
		out[d.ID] = d
		order = append(order, d.ID)
	}
	dyn := b.Dynamic()
	i := 0
	for r := range dyn.All() {
		require.Equal(t, store.IntKey(order[i]), r.Key())
		require.Equal(t, out[order[i]].Version, r.Version())
		require.Equal(t, out[order[i]].Name, r.Get("name"))
		i++
	}
	require.Equal(t, len(out), i)
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, len(out), n)
	last, err := b.Last(len(out) + 1)
	require.NoError(t, err)
	perN := map[int]int{}
	for i, d := range last {
		require.Equal(t, order[i], d.ID)
		perN[d.N]++
	}
	for n, want := range perN {
		got, err := b.Count(store.Eq("n", n))
		require.NoError(t, err)
		require.Equal(t, want, got)
		list, err := b.Where(store.Eq("n", n)).All()
		require.NoError(t, err)
		require.Len(t, list, want)
	}
	for id, d := range out {
		got, ok := b.Get(id)
		require.True(t, ok)
		require.Equal(t, d, got)
	}
	return out
}

func TestSnapshotOverBuckets(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	empty := s.Snapshot()
	defer empty.Close()
	require.Equal(t, store.Seq(0), empty.Seq())
	a, b := snapBucket(t, s, "a", 20), snapBucket(t, s, "b", 30)
	snap := s.Snapshot()
	defer snap.Close()
	require.Equal(t, store.Seq(2), snap.Seq())
	require.Equal(t, 2, s.Stats().Snapshots)
	wantA, wantB := contents(t, a), contents(t, b)

	_, err := a.UpdateMany(ctx, store.Fields{"n": 100})
	require.NoError(t, err)
	require.NoError(t, b.Clear(ctx))
	_, err = b.Insert(ctx, snapDoc{ID: 1, Name: "name2", N: 5}) // a key and a name that the snapshot has
	require.NoError(t, err)

	require.Equal(t, wantA, contents(t, a.In(snap)))
	require.Equal(t, wantB, contents(t, b.In(snap)))
	require.Empty(t, contents(t, a.In(empty)))
	require.Empty(t, contents(t, b.In(empty)))
	require.Len(t, contents(t, b), 1)
	d, ok, err := b.In(snap).FindOne(store.Eq("name", "name2"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, wantB[2], d)
	d, ok, err = b.FindOne(store.Eq("name", "name2"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, int64(1), d.ID)
	_, ok = b.In(empty).Get(1)
	require.False(t, ok)
	r, ok := b.Dynamic().In(snap).Get(7)
	require.True(t, ok)
	require.Equal(t, wantB[7].Name, r.Get("name"))
	// A handle bound again reads the other snapshot.
	require.Empty(t, contents(t, b.In(snap).In(empty)))
}

func TestSnapshotHeldWhileEverythingChanges(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	const size = 4000
	b := snapBucket(t, s, "a", size)
	want := contents(t, b)
	snap := s.Snapshot()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var after5 uint64
	for round := 1; round <= 20; round++ {
		n, err := b.UpdateMany(ctx, store.Fields{"n": 1000 + round})
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.Equal(t, map[string]int{"a": size}, s.Stats().Retained, "one version of each, however often it changes")
		if round == 5 {
			after5 = heap()
		}
	}
	after20 := heap()
	require.Less(t, float64(after20), 1.25*float64(after5), "the heap grows with the number of writes")
	for id := int64(2); id <= size; id += 2 {
		require.NoError(t, b.Delete(ctx, id))
	}
	require.LessOrEqual(t, s.Stats().Retained["a"], size+size/2, "and a tombstone's predecessor at most")
	require.Equal(t, want, contents(t, b.In(snap)))
	require.NoError(t, store.CheckTables(s))
	snap.Close()
	nothingRetained(t, s)
	require.Len(t, contents(t, b), size/2)
	require.Zero(t, s.Stats().Snapshots)
}

// Snapshots of different moments, closed in a random order, each compared with
// the copy that was made with it.
func TestSnapshotsAtManySequences(t *testing.T) {
	for range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 4))
			ctx := context.Background()
			s := snapStore(t)
			buckets := []*store.TypedBucket[snapDoc]{snapBucket(t, s, "a", 15), snapBucket(t, s, "b", 0)}
			type held struct {
				snap *store.Snapshot
				want [2]map[int64]snapDoc
			}
			var open []held
			state := [2]map[int64]snapDoc{contents(t, buckets[0]), {}}
			for step := range 600 {
				i := r.IntN(2)
				b, st, id := buckets[i], state[i], 1+r.Int64N(20)
				switch r.IntN(12) {
				case 0, 1, 2, 3:
					d, err := b.Upsert(ctx, snapDoc{ID: id, Name: fmt.Sprint("s", step), N: r.IntN(4)})
					require.NoError(t, err)
					st[id] = d
				case 4, 5:
					require.NoError(t, b.Delete(ctx, id))
					delete(st, id)
				case 6:
					n := r.IntN(4)
					_, err := b.UpdateMany(ctx, store.Fields{"n": n + 1}, store.Eq("n", n))
					require.NoError(t, err)
					for id, d := range st {
						if d.N == n {
							st[id], _ = b.Get(id)
							require.Equal(t, d.Version+1, st[id].Version)
							require.Equal(t, n+1, st[id].N)
						}
					}
				case 7:
					if r.IntN(10) == 0 {
						require.NoError(t, b.Clear(ctx))
						clear(st)
					}
				case 8, 9:
					if len(open) < 8 {
						open = append(open, held{s.Snapshot(), [2]map[int64]snapDoc{maps.Clone(state[0]), maps.Clone(state[1])}})
					}
				case 10:
					if len(open) > 0 {
						j := r.IntN(len(open))
						open[j].snap.Close()
						open[j].snap.Close()
						open = slices.Delete(open, j, j+1)
					}
				case 11:
					for j := range open {
						for k := range buckets {
							require.Equal(t, open[j].want[k], contents(t, buckets[k].In(open[j].snap)))
						}
					}
					require.NoError(t, store.CheckTables(s))
				}
				require.Equal(t, len(open), s.Stats().Snapshots)
			}
			r.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
			for len(open) > 0 {
				for j := range open {
					for k := range buckets {
						require.Equal(t, open[j].want[k], contents(t, buckets[k].In(open[j].snap)))
					}
				}
				open[0].snap.Close()
				open = open[1:]
			}
			nothingRetained(t, s)
			for k := range buckets {
				require.Equal(t, state[k], contents(t, buckets[k]))
			}
		})
	}
}

func TestForgottenSnapshotIsReleased(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	b := snapBucket(t, s, "a", 100)
	func() {
		snap := s.Snapshot()
		in := b.In(snap)
		_, err := b.UpdateMany(ctx, store.Fields{"n": 50})
		require.NoError(t, err)
		runtime.GC()
		runtime.GC()
		n, err := in.Count(store.Eq("n", 1))
		require.NoError(t, err)
		require.Equal(t, 10, n, "the handle keeps it alive")
		require.Equal(t, 1, s.Stats().Snapshots)
	}()
	require.Equal(t, 100, s.Stats().Retained["a"])
	snapUntil(t, "the snapshot is released", func() bool {
		runtime.GC()
		return s.Stats().Snapshots == 0
	})
	nothingRetained(t, s)
}

func TestEveryReadOfAClosedSnapshot(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	b := snapBucket(t, s, "a", 10)
	snap := s.Snapshot()
	in, dyn := b.In(snap), b.Dynamic().In(snap)
	query := in.Where(store.Eq("n", 1))
	all := in.All()
	snap.Close()
	snap.Close()
	require.Zero(t, s.Stats().Snapshots)
	require.Equal(t, store.Seq(1), snap.Seq())
	const message = "store: read through a closed Snapshot"
	require.PanicsWithValue(t, message, func() { in.Get(1) })
	require.PanicsWithValue(t, message, func() { dyn.Get(1) })
	require.PanicsWithValue(t, message, func() { _ = slices.Collect(all) })
	require.PanicsWithValue(t, message, func() { _ = slices.Collect(dyn.All()) })
	for name, f := range map[string]func() error{
		"All":     func() error { _, err := query.All(); return err },
		"First":   func() error { _, _, err := query.First(); return err },
		"Count":   func() error { _, err := query.Count(); return err },
		"Each":    func() error { return query.Each(func(*snapDoc) bool { return true }) },
		"FindOne": func() error { _, _, err := dyn.FindOne(); return err },
		"count":   func() error { _, err := dyn.Count(); return err },
		"first":   func() error { _, err := in.First(1); return err },
		"last":    func() error { _, err := in.Last(1); return err },
		"Seq": func() error {
			for _, err := range query.Seq() {
				return err
			}
			return nil
		},
	} {
		require.ErrorIs(t, f(), store.ErrSnapshotClosed, name)
	}
	_, err := in.Insert(ctx, snapDoc{ID: 50})
	require.ErrorIs(t, err, store.ErrReadOnly)
	nothingRetained(t, s)
}

func TestEveryWriteThroughASnapshot(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	b := snapBucket(t, s, "a", 10)
	snap := s.Snapshot()
	defer snap.Close()
	in, dyn := b.In(snap), b.Dynamic().In(snap)
	for name, f := range map[string]func() error{
		"Insert":     func() error { _, err := in.Insert(ctx, snapDoc{ID: 50}); return err },
		"InsertMany": func() error { _, err := in.InsertMany(ctx, []snapDoc{{ID: 50}}); return err },
		"Update":     func() error { _, err := in.Update(ctx, 1, func(*snapDoc) error { return nil }); return err },
		"Patch":      func() error { _, err := in.Patch(ctx, 1, store.Fields{"n": 1}); return err },
		"Upsert":     func() error { _, err := in.Upsert(ctx, snapDoc{ID: 1}); return err },
		"UpdateMany": func() error { _, err := in.UpdateMany(ctx, store.Fields{"n": 1}); return err },
		"Delete":     func() error { return in.Delete(ctx, 1) },
		"DeleteMany": func() error { _, err := in.DeleteMany(ctx); return err },
		"Clear":      func() error { return in.Clear(ctx) },
		"insert":     func() error { _, err := dyn.Insert(ctx, store.Fields{"id": 50}); return err },
		"insertMany": func() error { _, err := dyn.InsertMany(ctx, []store.Fields{{"id": 50}}); return err },
		"update":     func() error { _, err := dyn.Update(ctx, 1, store.Fields{"n": 1}); return err },
		"upsert":     func() error { _, err := dyn.Upsert(ctx, store.Fields{"id": 1}); return err },
		"updateMany": func() error { _, err := dyn.UpdateMany(ctx, store.Fields{"n": 1}); return err },
		"delete":     func() error { return dyn.Delete(ctx, 1) },
		"deleteMany": func() error { _, err := dyn.DeleteMany(ctx); return err },
		"clear":      func() error { return dyn.Clear(ctx) },
	} {
		require.ErrorIs(t, f(), store.ErrReadOnly, name)
	}
	require.Equal(t, store.Seq(1), s.Stats().Commits)
}

func TestSnapshotOfAnotherStore(t *testing.T) {
	s, other := snapStore(t), snapStore(t)
	b := snapBucket(t, s, "a", 10)
	snapBucket(t, other, "a", 3)
	snap := other.Snapshot()
	defer snap.Close()
	in := b.In(snap)
	require.PanicsWithValue(t, "store: read through a Snapshot of another store", func() { in.Get(1) })
	require.PanicsWithValue(t, "store: read through a Snapshot of another store", func() { _ = slices.Collect(in.All()) })
	_, err := in.Count()
	require.ErrorContains(t, err, "another store")
	_, err = in.Where().All()
	require.Error(t, err)
}

func TestSnapshotOfADroppedBucket(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	b, kept := snapBucket(t, s, "a", 10), snapBucket(t, s, "kept", 5)
	snap := s.Snapshot()
	_, err := b.UpdateMany(ctx, store.Fields{"n": 100})
	require.NoError(t, err)
	_, err = kept.UpdateMany(ctx, store.Fields{"n": 100})
	require.NoError(t, err)
	next, stop := snapPull(b.In(snap))
	first, ok := next()
	require.True(t, ok)
	require.NoError(t, s.DropBucket(ctx, "a"))

	// An iterator under way sees its state to the end; nothing begins any more.
	for n := 2; ; n++ {
		d, ok := next()
		if !ok {
			require.Equal(t, 11, n)
			break
		}
		require.Equal(t, int64(n), d.ID)
		require.Equal(t, n%10, d.N)
	}
	stop()
	require.Equal(t, int64(1), first.ID)
	_, err = b.In(snap).Count()
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	_, ok = b.In(snap).Get(1)
	require.False(t, ok)
	require.Empty(t, slices.Collect(b.In(snap).All()))
	require.Equal(t, 1, contents(t, kept.In(snap))[1].N)

	again := snapBucket(t, s, "a", 7)
	require.Len(t, contents(t, again), 7)
	require.Empty(t, contents(t, again.In(snap)), "it came after the snapshot")
	_, err = b.In(snap).Count()
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	snap.Close()
	nothingRetained(t, s)
}

// Iterators see one state while the loop's body changes everything.
func TestIteratorsBesideTheirOwnWrites(t *testing.T) {
	ctx := context.Background()
	const size = 5000 // enough for the table to number its rows anew
	for name, iterate := range map[string]func(b *store.TypedBucket[snapDoc], body func(id int64)){
		"All": func(b *store.TypedBucket[snapDoc], body func(int64)) {
			for d := range b.All() {
				body(d.ID)
			}
		},
		"dynamic": func(b *store.TypedBucket[snapDoc], body func(int64)) {
			for r := range b.Dynamic().All() {
				body(r.Key().Value().(int64))
			}
		},
		"Seq": func(b *store.TypedBucket[snapDoc], body func(int64)) {
			for d, err := range b.Where().Seq() {
				require.NoError(t, err)
				body(d.ID)
			}
		},
		"Each": func(b *store.TypedBucket[snapDoc], body func(int64)) {
			require.NoError(t, b.Where().Each(func(d *snapDoc) bool { body(d.ID); return true }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapStore(t)
			b := snapBucket(t, s, "a", size)
			i := int64(1)
			iterate(b, func(id int64) {
				require.Equal(t, i, id)
				switch {
				case i == size/2:
					require.NoError(t, b.Clear(ctx)) // all of it, and what comes next
				case i > size/2:
					_, err := b.Insert(ctx, snapDoc{ID: i, Name: fmt.Sprint("again", i)})
					require.NoError(t, err)
				default:
					require.NoError(t, b.Delete(ctx, i))
					_, err := b.Insert(ctx, snapDoc{ID: i + size, Name: fmt.Sprint("new", i)})
					require.NoError(t, err)
					_, err = b.Patch(ctx, i+1, store.Fields{"n": 77})
					require.NoError(t, err)
				}
				i++
			})
			require.Equal(t, int64(size+1), i)
			nothingRetained(t, s)
			require.Len(t, contents(t, b), size/2)
		})
	}
}

// A loop that is left early, by break, by a panic or because a pulled sequence is
// stopped, holds nothing any more.
func TestIteratorsLeftEarly(t *testing.T) {
	ctx := context.Background()
	const size = 5000 // more than wait for the next commit
	for name, leave := range map[string]func(b *store.TypedBucket[snapDoc], body func()){
		"break": func(b *store.TypedBucket[snapDoc], body func()) {
			for range b.All() {
				body()
				break
			}
		},
		"panic": func(b *store.TypedBucket[snapDoc], body func()) {
			defer func() { _ = recover() }()
			for range b.Dynamic().All() {
				body()
				panic("left")
			}
		},
		"pull": func(b *store.TypedBucket[snapDoc], body func()) {
			next, stop := snapPull(b)
			next()
			body()
			stop()
		},
		"Seq": func(b *store.TypedBucket[snapDoc], body func()) {
			for range b.Where(store.Eq("n", 3)).Seq() {
				body()
				break
			}
		},
		"Each": func(b *store.TypedBucket[snapDoc], body func()) {
			_ = b.Where().Each(func(*snapDoc) bool { body(); return false })
		},
		"Goexit": func(b *store.TypedBucket[snapDoc], body func()) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range b.All() {
					body()
					runtime.Goexit()
				}
			}()
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapStore(t)
			b := snapBucket(t, s, "a", size)
			ran := false
			leave(b, func() {
				ran = true
				_, err := b.UpdateMany(ctx, store.Fields{"n": 5})
				if err != nil || s.Stats().Retained["a"] != size {
					t.Errorf("%v, retained %v", err, s.Stats().Retained)
				}
			})
			require.True(t, ran)
			nothingRetained(t, s)
		})
	}
	t.Run("few", func(t *testing.T) { // those the next commit cuts
		s := snapStore(t)
		b := snapBucket(t, s, "a", 30)
		for range b.All() {
			_, err := b.UpdateMany(ctx, store.Fields{"n": 5})
			require.NoError(t, err)
			require.Equal(t, 30, s.Stats().Retained["a"])
			break
		}
		require.NoError(t, b.Delete(ctx, 1))
		require.Empty(t, s.Stats().Retained)
	})
}

// Every scan beside a writer sees each record once, and all of them alike: what a
// scan has pinned is not cut, however short the time in which it pins.
func TestScansBesideAWriter(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	b := snapBucket(t, s, "a", 2)
	_, err := b.UpdateMany(ctx, store.Fields{"n": 0})
	require.NoError(t, err)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; !stop.Load(); n++ {
			if _, err := b.UpdateMany(ctx, store.Fields{"n": n}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			q := b.Where()
			for i := 0; i < 10_000 && !t.Failed(); i++ {
				seen, first := 0, 0
				err := q.Each(func(d *snapDoc) bool {
					if seen++; seen == 1 {
						first = d.N
					} else if d.N != first {
						t.Errorf("scan %d: n is %d and %d", i, first, d.N)
					}
					return true
				})
				if err != nil || seen != 2 {
					t.Errorf("scan %d: %d records, %v", i, seen, err)
				}
			}
		})
	}
	readers.Wait()
	stop.Store(true)
	wg.Wait()
}

// A read that begins while its snapshot is open and ends after it was closed is
// right, or says that the snapshot is closed.
func TestReadsBesideTheCloseOfTheirSnapshot(t *testing.T) {
	ctx := context.Background()
	s := snapStore(t)
	const size = 50
	b := snapBucket(t, s, "a", size)
	var stop atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; !stop.Load(); n++ {
			id := 1 + n%size
			if err := b.Delete(ctx, id); err != nil {
				t.Error(err)
			}
			if _, err := b.Insert(ctx, snapDoc{ID: int64(id), Name: fmt.Sprint("name", id), N: n}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := 0; i < 60 && !t.Failed(); i++ {
		snap := s.Snapshot()
		in := b.In(snap)
		n, err := in.Count()
		require.NoError(t, err)
		present := int64(-1)
		for d := range in.All() {
			present = d.ID
		}
		var readers sync.WaitGroup
		readers.Go(func() {
			for {
				list, err := in.Where().All()
				if err != nil {
					return
				}
				if len(list) != n {
					t.Errorf("a query found %d of %d records, and no error", len(list), n)
					return
				}
			}
		})
		readers.Go(func() {
			defer func() { _ = recover() }() // closed
			for {
				if _, ok := in.Get(present); !ok {
					t.Error("a Get did not find what the snapshot has")
					return
				}
			}
		})
		for range i % 3 {
			runtime.Gosched()
		}
		snap.Close()
		readers.Wait()
	}
	stop.Store(true)
	writer.Wait()
}

// With nearly all slots for pins taken, a reader looks long for a free one, and
// commits come between its look at the sequence and the pin. It must notice: the
// version that it would see is cut already.
func TestPinBesideCommitsWithSlotsTaken(t *testing.T) {
	ctx := context.Background()
	procs := runtime.GOMAXPROCS(64) // the number of slots follows it
	s := snapStore(t)
	runtime.GOMAXPROCS(procs)
	b := snapBucket(t, s, "a", 1)
	for range 250 {
		next, stop := snapPull(b)
		next()
		defer stop()
	}
	var done atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; !done.Load(); n++ {
			if _, err := b.Patch(ctx, 1, store.Fields{"n": n + 1}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	q := b.Where()
	for i := 0; i < 20_000 && !t.Failed(); i++ {
		before, ok := b.Get(1)
		if !ok {
			t.Error("a Get found nothing")
		}
		seen := 0
		if err := q.Each(func(d *snapDoc) bool {
			seen++
			if d.Version < before.Version {
				t.Errorf("scan %d: version %d after a Get of version %d", i, d.Version, before.Version)
			}
			return true
		}); err != nil || seen != 1 {
			t.Errorf("scan %d: %d records, %v", i, seen, err)
		}
	}
	done.Store(true)
	writer.Wait()
}
