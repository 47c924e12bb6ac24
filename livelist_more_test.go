package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What is wrong with a query comes out of Live.
func TestListErrors(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	var qe *store.QueryError
	for name, q := range map[string]*store.Query[foe]{
		"filter": foes.Where(store.Eq("nothing", 1)), "order": foes.OrderBy(store.Asc("nothing")), "select": foes.Where().Select("nothing"),
		"limit": foes.Where().Limit(-1), "offset": foes.Where().Offset(-1), "value": foes.Where(store.Eq("n", "x")),
	} {
		_, err := q.Live(bg)
		require.ErrorAs(t, err, &qe, name)
		require.Equal(t, "foes", qe.Bucket, name)
	}
	snap := st.Snapshot()
	defer snap.Close()
	_, err := foes.In(snap).Where().Live(bg)
	require.ErrorAs(t, err, &qe)
	require.NoError(t, st.Transaction(bg, func(tx *store.Tx) error {
		_, err := foes.In(tx).Where().Live(bg)
		require.ErrorAs(t, err, &qe)
		return nil
	}))
	q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
		_, err := foes.In(q).Where().Live(bg)
		require.ErrorAs(t, err, &qe)
		return 0, nil
	})
	_, err = q.Run(bg, none{})
	require.NoError(t, err)
	gone, cancel := context.WithCancel(bg)
	cancel()
	_, err = foes.Where().Live(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, st.DropBucket(bg, "foes"))
	_, err = foes.Where().Live(bg)
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	require.NoError(t, st.Close(bg))
	_, err = foes.Where().Live(bg)
	require.Error(t, err)
}

// A list ends with its context, with Close, with the bucket, and with the store; then it
// says why, and nobody waits for it any more.
func TestListEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		other, err := store.Define[foe](bg, st, "other")
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(bg)
		byContext, err := foes.Where().Live(ctx)
		require.NoError(t, err)
		byClose, byBucket, byStore := openList(t, foes.Where()), openList(t, foes.Where()), openList(t, other.Where())
		var ended atomic.Int64
		for _, l := range []*store.LiveList[foe]{byContext, byClose.l, byBucket.l, byStore.l} {
			go func() {
				for range l.Deltas() {
				}
				ended.Add(1)
			}()
		}
		synctest.Wait()
		require.EqualValues(t, 4, st.Stats().Queries.ActiveSubscriptions)
		require.EqualValues(t, 2, st.Stats().Queries.Nodes)
		cancel(errFoe)
		byClose.l.Close()
		byClose.l.Close()
		synctest.Wait()
		require.EqualValues(t, 2, ended.Load())
		require.NoError(t, st.DropBucket(bg, "foes"))
		settleLive(t, st)
		synctest.Wait()
		require.EqualValues(t, 3, ended.Load())
		insertLive(t, other, foe{ID: "last"})
		require.NoError(t, st.Close(bg))
		synctest.Wait()
		require.EqualValues(t, 4, ended.Load())
		require.ErrorIs(t, byContext.Err(), errFoe)
		require.ErrorIs(t, byClose.l.Err(), store.ErrUnsubscribed)
		require.ErrorIs(t, byBucket.l.Err(), store.ErrBucketNotDefined)
		var e *store.Error
		require.ErrorAs(t, byBucket.l.Err(), &e)
		require.Equal(t, "foes", e.Bucket)
		require.ErrorIs(t, byStore.l.Err(), store.ErrClosed)
		all, _ := byStore.l.All()
		require.Len(t, all, 1)
	})
}

// What was committed before Close comes after it.
func TestListAfterClose(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	l := openList(t, foes.Where())
	putFoe(t, foes, "a", 1)
	require.NoError(t, st.Close(bg))
	l.list = nil
	d, err := l.l.Next(bg)
	require.NoError(t, err)
	require.Len(t, d.Apply(nil), 1)
	for range 2 {
		_, err = l.l.Next(bg)
		require.ErrorIs(t, err, store.ErrClosed)
	}
}

// After an alteration that makes a field of what was one outside of the schema, a
// query may ask for what cannot be: its list ends, and others go on.
func TestListAlter(t *testing.T) {
	st, err := store.Open(bg, store.Options{})
	require.NoError(t, err)
	defer closeLive(t, st)
	b, err := st.DefineBucket(bg, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{"id": {Type: store.Int}}})
	require.NoError(t, err)
	for i := range 3 {
		_, err = b.Insert(bg, store.Fields{"id": i, "x": i})
		require.NoError(t, err)
	}
	bad, good := openList(t, b.Where(store.Eq("x", "one"))), openList(t, b.OrderBy(store.Desc("x")))
	bad.next(t)
	good.next(t)
	require.NoError(t, st.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int}, "y": {Type: store.Int, Default: 7}}}))
	settleLive(t, st)
	_, err = bad.l.Next(bg)
	var qe *store.QueryError
	require.ErrorAs(t, err, &qe)
	require.Equal(t, "x", qe.Field)
	require.True(t, good.next(t).Reset)
	require.EqualValues(t, 7, good.list[0].Get("y"))
	_, err = b.Insert(bg, store.Fields{"id": 9, "x": 1})
	require.NoError(t, err)
	settleLive(t, st)
	require.Equal(t, 2, good.next(t).Added[0].Index)
}

// Equal queries share a node, also through handles of other types; others do not.
func TestListShared(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	dyn, err := st.Bucket("foes")
	require.NoError(t, err)
	nodes := func() int { return st.Stats().Queries.Nodes }
	openList(t, foes.Where(store.Eq("n", 5), store.Eq("kind", "k")).OrderBy(store.Asc("n")).Limit(3))
	openList(t, foes.Where(store.Eq("kind", "k")).Where(store.Eq("n", int8(5))).OrderBy(store.Asc("n")).Limit(3))
	openList(t, dyn.Where(store.Eq("kind", "k"), store.Eq("n", 5.0)).OrderBy(store.Asc("n")).Limit(3))
	require.Equal(t, 1, nodes())
	for i, q := range []*store.Query[foe]{
		foes.Where(store.Eq("n", 5), store.Eq("kind", "k")).OrderBy(store.Asc("n")).Limit(4),
		foes.Where(store.Eq("n", 5), store.Eq("kind", "k")).OrderBy(store.Asc("n")).Limit(3).Offset(1),
		foes.Where(store.Eq("n", 5), store.Eq("kind", "k")).OrderBy(store.Desc("n")).Limit(3),
		foes.Where(store.Eq("n", 5), store.Eq("kind", "l")).OrderBy(store.Asc("n")).Limit(3),
		foes.Where(store.Eq("n", 5), store.Eq("kind", "k")).OrderBy(store.Asc("n")).Limit(3).Select("n"),
		foes.Where(store.In("n", 5, 6)), foes.Where(store.Between("n", 5, 6)), foes.Where(store.Not(store.In("n", 5, 6))), foes.Where(store.Or(store.Eq("n", 5), store.Eq("n", 6))),
	} {
		openList(t, q)
		require.Equal(t, i+2, nodes())
	}
}

// A change of what Select leaves out is none.
func TestListSelect(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	putFoe(t, foes, "a", 1)
	putFoe(t, foes, "b", 2)
	l := openList(t, foes.OrderBy(store.Asc("n")).Select("kind"))
	l.next(t)
	putFoe(t, foes, "a", 0)
	l.quiet(t, st)
	_, err := foes.UpdateMany(bg, store.Fields{"kind": "x"}, store.Eq("id", "a"))
	require.NoError(t, err)
	settleLive(t, st)
	require.Equal(t, []store.Placed[foe]{{Index: 0, Record: foe{ID: "a", Kind: "x"}}}, l.next(t).Updated)
	putFoe(t, foes, "a", 3)
	settleLive(t, st)
	require.Len(t, l.next(t).Moved, 1)
	require.Equal(t, []string{"b", "a"}, foeIDs(l.list))
}

// What a change costs does not grow with the list, nor with the number of lists.
func TestListCost(t *testing.T) {
	fill := func(n int) (*store.Store, *store.TypedBucket[foe]) {
		st, foes := openFoes(t, store.Options{})
		list := make([]foe, n)
		for i := range list {
			list[i] = foe{ID: fmt.Sprint(i), Kind: fmt.Sprint("k", i), N: 10 * i}
		}
		_, err := foes.InsertMany(bg, list)
		require.NoError(t, err)
		return st, foes
	}
	r := rand.New(rand.NewPCG(1, 2))
	write := func(st *store.Store, foes *store.TypedBucket[foe], n int) (counts store.ListCounts, visited int64) {
		before, was := store.ListCountsOf(st), st.Stats().Queries
		for range 100 {
			i := r.IntN(n)
			_, err := foes.Upsert(bg, foe{ID: fmt.Sprint(i), Kind: fmt.Sprint("k", i), N: r.IntN(10 * n)})
			require.NoError(t, err)
		}
		settleLive(t, st)
		is := st.Stats().Queries
		require.Equal(t, was.Evaluations, is.Evaluations)
		counts = store.ListCountsOf(st)
		return store.ListCounts{Changes: counts.Changes - before.Changes, Applied: counts.Applied - before.Applied, Nodes: counts.Nodes - before.Nodes}, is.Visited - was.Visited
	}
	for _, n := range []int{1_000, 50_000} {
		st, foes := fill(n)
		openList(t, foes.OrderBy(store.Desc("n")))
		c, visited := write(st, foes, n)
		require.EqualValues(t, 100, c.Applied)
		require.LessOrEqual(t, c.Nodes, int64(100*14))
		require.LessOrEqual(t, visited, int64(200))
	}
	for _, n := range []int{100, 5_000} {
		st, foes := fill(n)
		for i := range n {
			openList(t, foes.Where(store.Eq("kind", fmt.Sprint("k", i))).OrderBy(store.Asc("n")))
		}
		c, visited := write(st, foes, n)
		require.EqualValues(t, 100, c.Applied)
		require.EqualValues(t, 100, c.Changes)
		require.LessOrEqual(t, visited, int64(200))
	}
}

// A window is read anew once for as many records as lie behind it.
func TestListRefills(t *testing.T) {
	const n = 4000
	st, foes := openFoes(t, store.Options{})
	list := make([]foe, n)
	for i := range list {
		list[i] = foe{ID: fmt.Sprint(i), N: i}
	}
	_, err := foes.InsertMany(bg, list)
	require.NoError(t, err)
	l := openList(t, foes.OrderBy(store.Desc("n")).Limit(10))
	l.next(t)
	before := st.Stats().Queries.Evaluations
	for i := range 1600 { // from the top
		require.NoError(t, foes.Delete(bg, fmt.Sprint(n-1-i)))
		if i%100 == 0 {
			settleLive(t, st)
			l.next(t)
			require.Equal(t, n-2-i, l.list[0].N)
		}
	}
	settleLive(t, st)
	for l.list[0].N != n-1-1600 {
		l.next(t)
	}
	require.LessOrEqual(t, st.Stats().Queries.Evaluations-before, int64(1600/16+1))
	before = st.Stats().Queries.Evaluations
	for i := range 1000 { // at the top: the list is cut, and not read
		putFoe(t, foes, fmt.Sprint("new", i), n+i)
	}
	settleLive(t, st)
	l.next(t)
	require.Equal(t, n+999, l.list[0].N)
	require.Equal(t, before, st.Stats().Queries.Evaluations)
	require.LessOrEqual(t, store.ListLength(l.l), 10+2*16)
}

// A commit that changes more than the list has is read, not replayed; so is a Clear.
func TestListLargeCommits(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	list := make([]foe, 3000)
	for i := range list {
		list[i] = foe{ID: fmt.Sprint(i), N: i}
	}
	l := openList(t, foes.OrderBy(store.Asc("n")).Limit(20))
	l.next(t)
	before := store.ListCountsOf(st)
	_, err := foes.InsertMany(bg, list)
	require.NoError(t, err)
	settleLive(t, st)
	l.next(t)
	require.Len(t, l.list, 20)
	require.Equal(t, before.Nodes, store.ListCountsOf(st).Nodes)
	whole := openList(t, foes.OrderBy(store.Desc("n")))
	whole.next(t)
	require.NoError(t, foes.Clear(bg))
	settleLive(t, st)
	for _, x := range []*listed[foe]{l, whole} {
		x.next(t)
		require.Empty(t, x.list)
	}
}

// Subscribers that stopped reading, each at another commit, do not keep more states than the
// bound, and come to the same list as one who reads.
func TestListLaggards(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	for i := range 50 {
		putFoe(t, foes, fmt.Sprint(i), i)
	}
	var slow []*listed[foe]
	quick := openList(t, foes.OrderBy(store.Asc("n")))
	quick.next(t)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 4000 {
		if i%20 == 0 {
			l := openList(t, foes.OrderBy(store.Asc("n")))
			l.next(t)
			slow = append(slow, l)
		}
		putFoe(t, foes, fmt.Sprint(r.IntN(60)), r.IntN(1000))
		settleLive(t, st)
		quick.next(t)
	}
	require.LessOrEqual(t, store.ListHeld(quick.l), (60+1024)/20+2)
	resets := 0
	for _, l := range slow {
		if l.next(t).Reset {
			resets++
		}
		require.Equal(t, quick.list, l.list)
		l.quiet(t, st)
	}
	require.Greater(t, resets, 100)
	require.Less(t, resets, 195)
	require.Equal(t, 1, store.ListHeld(quick.l))
}

// A panic while a commit is applied has the list read anew.
func TestListPanic(t *testing.T) {
	var reported atomic.Int64
	st, foes := openFoes(t, store.Options{OnError: func(error) { reported.Add(1) }, Logger: slog.New(slog.DiscardHandler)})
	store.PlantBug(st, store.BugListPanic)
	for i := range 20 {
		putFoe(t, foes, fmt.Sprint(i), i)
	}
	l, top := openList(t, foes.OrderBy(store.Asc("n"))), openList(t, foes.OrderBy(store.Desc("n")).Limit(3))
	l.next(t)
	top.next(t)
	for i := range 20 {
		putFoe(t, foes, fmt.Sprint(i), 100-i)
		settleLive(t, st)
		l.next(t)
		want, err := foes.OrderBy(store.Asc("n")).All()
		require.NoError(t, err)
		require.Equal(t, want, l.list)
	}
	require.NoError(t, st.Close(bg))
	require.Positive(t, reported.Load())
}

// Several goroutines may wait for the deltas of one list: each comes once.
func TestListManyReaders(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	l, err := foes.Where().Live(bg)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for range 4 {
		wg.Go(func() {
			for d := range l.Deltas() {
				mu.Lock()
				for _, p := range d.Added {
					seen[p.Record.ID]++
				}
				mu.Unlock()
			}
		})
	}
	for i := range 300 {
		putFoe(t, foes, fmt.Sprint(i), i)
	}
	require.NoError(t, st.Close(bg))
	wg.Wait()
	require.ErrorIs(t, l.Err(), store.ErrClosed)
	for id, n := range seen {
		if n != 1 {
			t.Fatalf("%s came %d times", id, n) // unless a reset brought it again
		}
	}
	require.Len(t, seen, 300)
}

// TestListStorm subscribes, closes, drops and writes at random, on several goroutines. When
// all has settled each list that is left is right.
func TestListStorm(t *testing.T) {
	st, err := store.Open(bg, store.Options{})
	require.NoError(t, err)
	defer closeLive(t, st)
	define := func() *store.TypedBucket[foe] {
		b, err := store.Define[foe](bg, st, "foes")
		require.NoError(t, err)
		return b
	}
	var foes atomic.Pointer[store.TypedBucket[foe]]
	foes.Store(define())
	queries := func(b *store.TypedBucket[foe], i int) *store.Query[foe] {
		switch i % 5 {
		case 0:
			return b.OrderBy(store.Asc("n"))
		case 1:
			return b.OrderBy(store.Desc("n")).Limit(5)
		case 2:
			return b.Where(store.Eq("kind", "a")).Offset(2).Limit(7)
		case 3:
			return b.Where(store.Gt("n", 50), store.In("kind", "a", "b")).OrderBy(store.Asc("kind"), store.Desc("n"))
		}
		return b.Where().Select("kind")
	}
	var kept []*listed[foe]
	for i := range 5 {
		kept = append(kept, openList(t, queries(foes.Load(), i)))
	}
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range 3000 {
				b := foes.Load()
				id, f := fmt.Sprint(r.IntN(80)), foe{Kind: string(rune('a' + r.IntN(3))), N: r.IntN(100)}
				f.ID = id
				switch r.IntN(12) {
				case 0, 1, 2:
					_ = b.Delete(bg, id)
				case 3:
					_, _ = b.UpdateMany(bg, store.Fields{"n": r.IntN(100)}, store.Eq("kind", f.Kind))
				case 4:
					_ = st.Transaction(bg, func(tx *store.Tx) error {
						_ = b.In(tx).Delete(bg, id)
						_, err := b.In(tx).Upsert(bg, foe{ID: fmt.Sprint(r.IntN(80)), Kind: "a", N: r.IntN(100)})
						return err
					})
				default:
					_, _ = b.Upsert(bg, f)
				}
				if w == 0 && i%700 == 699 {
					_ = st.DropBucket(bg, "foes")
					foes.Store(define())
				}
				if w == 0 && i%500 == 499 {
					_ = b.Clear(bg)
				}
			}
		})
	}
	for w := range 4 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(bg, time.Duration(r.IntN(3000))*time.Microsecond)
				b := foes.Load()
				l, err := queries(b, r.IntN(5)).Live(ctx)
				if err != nil {
					cancel()
					continue
				}
				var list []foe
				seq := store.Seq(0)
				for d := range l.Deltas() {
					list = d.Apply(list)
					require.True(t, d.Reset || d.Seq > seq)
					if seq = d.Seq; r.IntN(20) == 0 {
						break
					}
				}
				l.Close()
				cancel()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	for _, l := range kept {
		l.l.Close()
	}
	b := foes.Load()
	for i := range 5 {
		l := openList(t, queries(b, i))
		l.next(t)
		kept = append(kept, l)
	}
	for i := range 200 {
		putFoe(t, b, fmt.Sprint(i%90), i)
	}
	settleLive(t, st)
	for i, l := range kept[5:] {
		for done := false; !done; {
			want, err := queries(b, i).All()
			require.NoError(t, err)
			if done = slices.Equal(want, l.list); !done {
				l.next(t)
			}
		}
	}
	require.NoError(t, store.CheckTables(st))
}

// Huge limits and offsets are numbers like others.
func TestListBounds(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	for i := range 5 {
		putFoe(t, foes, fmt.Sprint(i), i)
	}
	for i, q := range []*store.Query[foe]{
		foes.Where().Limit(0), foes.Where().Limit(0).Offset(3), foes.Where().Limit(math.MaxInt), foes.Where().Offset(math.MaxInt),
		foes.Where().Limit(math.MaxInt).Offset(math.MaxInt), foes.Where().Limit(math.MaxInt - 1).Offset(2), foes.Where().Limit(math.MaxInt / 2), foes.Where().Limit(1 << 30), foes.Where(store.In("n")),
	} {
		l := openList(t, q)
		l.next(t)
		putFoe(t, foes, fmt.Sprint("new", i), i)
		settleLive(t, st)
		want, err := q.All()
		require.NoError(t, err)
		all, _ := l.l.All()
		require.Equal(t, want, all)
		if len(want) != len(l.list) {
			l.next(t)
		}
		require.Equal(t, len(want), len(l.list))
		l.quiet(t, st)
	}
}

// A delta that belongs to another list is the caller's mistake.
func TestDeltaMisfit(t *testing.T) {
	for _, d := range []store.Delta[int]{
		{Removed: []store.Placed[int]{{Index: 3}}},
		{Removed: []store.Placed[int]{{Index: -1}}},
		{Added: []store.Placed[int]{{Index: 5}}},
		{Updated: []store.Placed[int]{{Index: 3}}},
		{Moved: []store.Move[int]{{From: 1, To: 7}}},
		{Added: []store.Placed[int]{{Index: -2}}},
	} {
		require.Panics(t, func() { d.Apply([]int{1, 2, 3}) }, "%+v", d)
	}
}

// A list that can have no record ends with its bucket as well.
func TestListEmptyEnds(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	nothing, never := openList(t, foes.Where().Limit(0)), openList(t, foes.Where(store.In("n")))
	for _, l := range []*listed[foe]{nothing, never} {
		require.Equal(t, store.Delta[foe]{Reset: true, Added: []store.Placed[foe]{}}, l.next(t))
	}
	require.NoError(t, st.DropBucket(bg, "foes"))
	settleLive(t, st)
	for _, l := range []*listed[foe]{nothing, never} {
		_, err := l.l.Next(bg)
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
	}
}

// Lists that nobody follows any more are forgotten, also those whose context has ended.
func TestListForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		ctx, cancel := context.WithCancel(bg)
		for i := range 100 {
			l, err := foes.Where(store.Eq("n", i)).OrderBy(store.Asc("kind")).Live(ctx)
			require.NoError(t, err)
			if i%2 == 0 {
				l.Close()
			}
		}
		require.Equal(t, 50, st.Stats().Queries.ActiveSubscriptions)
		cancel()
		synctest.Wait()
		time.Sleep(3 * time.Second) // of the bubble: nodes linger
		putFoe(t, foes, "a", 1)
		settleLive(t, st)
		require.Zero(t, st.Stats().Queries.Nodes)
		require.Zero(t, st.Stats().Queries.ActiveSubscriptions)
	})
}
