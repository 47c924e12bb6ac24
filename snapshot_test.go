package store_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// retained is the number of superseded versions in all buckets.
func retained(s *store.Store) int {
	n := 0
	for _, r := range s.Stats().Retained {
		n += r
	}
	return n
}

// TestSnapshotHeldForLong overwrites everything many times under a snapshot over
// several buckets, which costs one version of each record.
func TestSnapshotHeldForLong(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	const n, rounds = 1500, 30
	var bs []*store.TypedBucket[counter]
	for i := range 2 {
		b := counters(t, s, fmt.Sprint("b", i))
		recs := make([]counter, n)
		for k := range recs {
			recs[k] = counter{ID: fmt.Sprint(k), Group: fmt.Sprint(k % 7), N: k % 50}
		}
		_, err := b.InsertMany(ctx, recs)
		require.NoError(t, err)
		bs = append(bs, b)
	}
	snap := s.Snapshot()
	same := func() {
		for _, b := range bs {
			at := b.In(snap)
			k := 0
			for c := range at.All() {
				require.Equal(t, fmt.Sprint(k), c.ID)
				require.Equal(t, store.Version(1), c.Version)
				require.Equal(t, k%50, c.N)
				k++
			}
			require.Equal(t, n, k)
			count, err := at.Count()
			require.NoError(t, err)
			require.Equal(t, n, count)
			for value, want := range map[any]int{49: n / 50, 50: 0, -1: 0} {
				count, err = at.Count(store.Eq("n", value))
				require.NoError(t, err)
				require.Equal(t, want, count)
			}
			group, err := at.Where(store.Eq("group", "3")).All()
			require.NoError(t, err)
			require.Len(t, group, (n+3)/7)
		}
	}
	var after int64
	for round := range rounds {
		for _, b := range bs {
			switch {
			case round%10 == 9: // everything anew
				require.NoError(t, b.Clear(ctx))
				recs := make([]counter, n)
				for k := range recs {
					recs[k] = counter{ID: fmt.Sprint(n - k - 1), Group: "other", N: -1}
				}
				_, err := b.InsertMany(ctx, recs)
				require.NoError(t, err)
			case round%3 == 0:
				for k := 0; k < n; k += 3 {
					_, err := b.Update(ctx, fmt.Sprint(k), func(c *counter) error { c.N = -round; c.Group = "moved"; return nil })
					require.NoError(t, err)
				}
			default:
				got, err := b.UpdateMany(ctx, store.Fields{"n": -round, "flag": round})
				require.NoError(t, err)
				require.Equal(t, n, got)
			}
		}
		require.LessOrEqual(t, retained(s), 2*n)
		if round == 2 {
			after = heap()
		}
	}
	same()
	require.Less(t, heap()-after, int64(3<<20), "memory must not grow with the number of overwrites")
	require.NoError(t, store.CheckTables(s))
	require.Equal(t, 1, s.Stats().Snapshots)

	snap.Close()
	snap.Close()
	require.Zero(t, s.Stats().Snapshots)
	until(t, "nothing is retained", func() bool { return retained(s) == 0 })
	require.Empty(t, s.Stats().Retained)
	require.NoError(t, store.CheckTables(s))
}

// TestSnapshotsOverlap closes several snapshots in every order: what is retained
// is never more than they can see.
func TestSnapshotsOverlap(t *testing.T) {
	ctx := context.Background()
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {0, 2, 1}, {2, 0, 1}} {
		s := openStore(t, store.Options{})
		b := counters(t, s, "c")
		const n = 100
		for k := range n {
			_, err := b.Insert(ctx, counter{ID: fmt.Sprint(k)})
			require.NoError(t, err)
		}
		var snaps []*store.Snapshot
		for i := range 3 {
			snaps = append(snaps, s.Snapshot())
			for range 4 {
				_, err := b.UpdateMany(ctx, store.Fields{"n": i + 1})
				require.NoError(t, err)
			}
		}
		open := 3
		for _, i := range order {
			for k, snap := range snaps {
				if snap == nil {
					continue
				}
				count, err := b.In(snap).Count(store.Eq("n", k))
				require.NoError(t, err)
				require.Equal(t, n, count)
			}
			snaps[i].Close()
			snaps[i] = nil
			open--
			until(t, "its versions are cut", func() bool { return retained(s) == open*n })
			require.NoError(t, store.CheckTables(s))
		}
	}
}

// TestForgottenSnapshot: one that is garbage is closed.
func TestForgottenSnapshot(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	for i := range 10 {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	func() {
		snap := s.Snapshot()
		_, ok := b.In(snap).Get("1")
		require.True(t, ok)
	}()
	require.NoError(t, b.Clear(ctx))
	until(t, "it is found", func() bool {
		runtime.GC()
		return s.Stats().Snapshots == 0 && retained(s) == 0
	})
	require.NoError(t, store.CheckTables(s))
}

// TestForgottenSnapshotInUse: a handle, a query and an iterator keep theirs.
func TestForgottenSnapshotInUse(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const n = 50
	for i := range n {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i), Group: "g"})
		require.NoError(t, err)
	}
	handle := b.In(s.Snapshot())
	query := b.In(s.Snapshot()).Where(store.Eq("group", "g"))
	seen := 0
	for range b.In(s.Snapshot()).All() {
		if seen++; seen == 10 {
			require.NoError(t, b.Clear(ctx))
		}
		if seen%10 == 0 {
			runtime.GC()
		}
	}
	require.Equal(t, n, seen)
	for range 3 {
		runtime.GC()
		_, ok := handle.Get("7")
		require.True(t, ok)
		count, err := query.Count()
		require.NoError(t, err)
		require.Equal(t, n, count)
	}
}

func TestClosedSnapshot(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	_, err := b.Insert(ctx, counter{ID: "k"})
	require.NoError(t, err)
	snap := s.Snapshot()
	at, dyn := b.In(snap), b.Dynamic().In(snap)

	// An iterator that runs goes on.
	seen := 0
	for range at.All() {
		snap.Close()
		require.NoError(t, b.Clear(ctx))
		seen++
	}
	require.Equal(t, 1, seen)
	require.Panics(t, func() { at.Get("k") })
	require.Panics(t, func() { dyn.Get("k") })
	require.Panics(t, func() {
		for range at.All() {
			t.Error("a record")
		}
	})
	_, err = at.Count()
	require.ErrorIs(t, err, store.ErrSnapshotClosed)
	_, err = at.Where().All()
	require.ErrorIs(t, err, store.ErrSnapshotClosed)
	_, _, err = dyn.FindOne(store.Eq("n", 1))
	require.ErrorIs(t, err, store.ErrSnapshotClosed)
	_, err = at.First(1)
	require.ErrorIs(t, err, store.ErrSnapshotClosed)
	_, err = at.Last(1)
	require.ErrorIs(t, err, store.ErrSnapshotClosed)
	for _, err := range at.Where().Seq() {
		require.ErrorIs(t, err, store.ErrSnapshotClosed)
	}
	require.Equal(t, store.Seq(1), snap.Seq())
}

// TestCloseSnapshotBesideReads: a read beside Close answers rightly or says that
// the snapshot is closed, but never without records.
func TestCloseSnapshotBesideReads(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	const n = 8
	for i := range n {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint(i), Group: "g"})
		require.NoError(t, err)
	}
	var done atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; !done.Load(); i++ {
			_, err := b.UpdateMany(ctx, store.Fields{"n": i})
			assert.NoError(t, err)
		}
	})
	for range 100 {
		snap := s.Snapshot()
		at := b.In(snap)
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				for {
					if i == 0 {
						list, err := at.Where(store.Eq("group", "g")).All()
						if err != nil {
							assert.ErrorIs(t, err, store.ErrSnapshotClosed)
							return
						}
						if !assert.Len(t, list, n) {
							return
						}
						continue
					}
					closed := func() (closed bool) {
						defer func() { closed = recover() != nil }()
						_, ok := at.Get("3")
						assert.True(t, ok, "a record of the snapshot is gone")
						return false
					}()
					if closed || t.Failed() {
						return
					}
				}
			})
		}
		runtime.Gosched()
		snap.Close()
		wg.Wait()
		if t.Failed() {
			break
		}
	}
	done.Store(true)
	writer.Wait()
}

func TestSnapshotIsReadOnly(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b := counters(t, s, "c")
	_, err := b.Insert(ctx, counter{ID: "k"})
	require.NoError(t, err)
	snap := s.Snapshot()
	defer snap.Close()
	at, dyn := b.In(snap), b.In(snap).Dynamic()
	fields := store.Fields{"id": "k", "n": 1}
	for name, write := range map[string]func() error{
		"Insert":     func() error { _, err := at.Insert(ctx, counter{ID: "x"}); return err },
		"InsertMany": func() error { _, err := at.InsertMany(ctx, []counter{{ID: "x"}}); return err },
		"Update": func() error {
			_, err := at.Update(ctx, "k", func(*counter) error { t.Error("called"); return nil })
			return err
		},
		"Patch":              func() error { _, err := at.Patch(ctx, "k", fields); return err },
		"Upsert":             func() error { _, err := at.Upsert(ctx, counter{ID: "k"}); return err },
		"UpdateMany":         func() error { _, err := at.UpdateMany(ctx, fields); return err },
		"Delete":             func() error { return at.Delete(ctx, "k") },
		"DeleteMany":         func() error { _, err := at.DeleteMany(ctx); return err },
		"Clear":              func() error { return at.Clear(ctx) },
		"dynamic Insert":     func() error { _, err := dyn.Insert(ctx, fields); return err },
		"dynamic InsertMany": func() error { _, err := dyn.InsertMany(ctx, []store.Fields{fields}); return err },
		"dynamic Update":     func() error { _, err := dyn.Update(ctx, "k", fields); return err },
		"dynamic Patch":      func() error { _, err := dyn.Patch(ctx, "k", fields); return err },
		"dynamic Upsert":     func() error { _, err := dyn.Upsert(ctx, fields); return err },
		"dynamic UpdateMany": func() error { _, err := dyn.UpdateMany(ctx, fields); return err },
		"dynamic Delete":     func() error { return dyn.Delete(ctx, "k") },
		"dynamic DeleteMany": func() error { _, err := dyn.DeleteMany(ctx); return err },
		"dynamic Clear":      func() error { return dyn.Clear(ctx) },
	} {
		require.ErrorIs(t, write(), store.ErrReadOnly, name)
	}
	require.Equal(t, store.Seq(1), s.Stats().Commits)
}

// TestDroppedBucketUnderSnapshot: all ways to read a dropped bucket, bound to a
// snapshot or not, agree, and the others go on.
func TestDroppedBucketUnderSnapshot(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	b, other := counters(t, s, "c"), counters(t, s, "other")
	for _, h := range []*store.TypedBucket[counter]{b, other} {
		_, err := h.Insert(ctx, counter{ID: "k"})
		require.NoError(t, err)
	}
	snap := s.Snapshot()
	require.NoError(t, b.Clear(ctx))
	require.NoError(t, s.DropBucket(ctx, "c"))
	fresh := counters(t, s, "c")
	_, err := fresh.Insert(ctx, counter{ID: "fresh"})
	require.NoError(t, err)

	for _, at := range []*store.TypedBucket[counter]{b.In(snap), b} {
		_, ok := at.Get("k")
		all, err := at.Where().All()
		n := 0
		for range at.All() {
			n++
		}
		require.Equal(t, ok, err == nil && len(all) == 1)
		require.Equal(t, ok, n == 1)
		if err != nil {
			require.ErrorIs(t, err, store.ErrBucketNotDefined)
		}
	}
	n, err := fresh.In(snap).Count() // it did not exist then
	require.NoError(t, err)
	require.Zero(t, n)
	_, ok := other.In(snap).Get("k")
	require.True(t, ok)
	snap.Close()
	require.Zero(t, s.Stats().Snapshots)
	require.NoError(t, store.CheckTables(s))
}

// TestSnapshotSeesAllBucketsAtOneCommit: two buckets, written one after the other,
// are never seen in the wrong order.
func TestSnapshotSeesAllBucketsAtOneCommit(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	a, b := counters(t, s, "a"), counters(t, s, "b")
	for _, h := range []*store.TypedBucket[counter]{a, b} {
		_, err := h.Insert(ctx, counter{ID: "k"})
		require.NoError(t, err)
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			last := store.Seq(0)
			for !done.Load() {
				snap := s.Snapshot()
				assert.GreaterOrEqual(t, snap.Seq(), last)
				last = snap.Seq()
				y, _ := b.In(snap).Get("k")
				runtime.Gosched()
				x, _ := a.In(snap).Get("k")
				if x.N != y.N && x.N != y.N+1 {
					assert.Fail(t, "torn", "%d in a, %d in b", x.N, y.N)
				}
				snap.Close()
			}
		})
	}
	for i := range 2000 {
		for _, h := range []*store.TypedBucket[counter]{a, b} {
			_, err := h.Update(ctx, "k", func(c *counter) error { c.N = i; return nil })
			require.NoError(t, err)
		}
	}
	done.Store(true)
	readers.Wait()
	require.LessOrEqual(t, retained(s), 4)
}
