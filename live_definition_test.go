package store_test

import (
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Names, definitions and parameters: which node is meant.

// A query that was undefined and is defined again under its name is another one:
// an older handle must not answer with its results, nor with their zero.
func TestEnemyOldHandleAfterRedefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		old := defineLive(t, st, "x", func(*store.QueryCtx, none) (int, error) { return 7, nil })
		require.NoError(t, st.UndefineQuery("x"))
		now := defineLive(t, st, "x", func(*store.QueryCtx, none) (string, error) { return "now", nil })
		require.Equal(t, "now", nextOf(t, subscribeLive(t, now, none{})).Result)
		v, err := old.Run(bg, none{})
		if err == nil {
			require.Equal(t, 7, v, "the result of another query")
		} else {
			require.ErrorIs(t, err, store.ErrQueryNotDefined)
		}
	})
}

// The same the other way round: a node that an older handle has made is taken for
// that of the new definition.
func TestEnemyOldNodeAfterRedefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		old := defineLive(t, st, "x", func(*store.QueryCtx, none) (int, error) { return 7, nil })
		outer := defineLive(t, st, "outer", func(q *store.QueryCtx, _ none) (int, error) {
			v, err := old.RunIn(q, none{})
			if err != nil {
				return -1, nil
			}
			return v, nil
		})
		require.NoError(t, st.UndefineQuery("x"))
		subscribeLive(t, outer, none{})
		now := defineLive(t, st, "x", func(*store.QueryCtx, none) (string, error) { return "now", nil })
		require.Equal(t, "now", nextOf(t, subscribeLive(t, now, none{})).Result)
	})
}

// A query that asks for another one by name recovers when that is defined, as it
// does when a bucket is.
func TestEnemyQueryDefinedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		outer := defineLive(t, st, "outer", func(q *store.QueryCtx, _ none) (any, error) { return q.Run("inner", nil) })
		sub := subscribeLive(t, outer, none{})
		require.ErrorIs(t, nextOf(t, sub).Err, store.ErrQueryNotDefined)
		defineLive(t, st, "inner", func(*store.QueryCtx, none) (int, error) { return 1, nil })
		settleLive(t, st)
		fresh, err := st.RunQuery(bg, "outer", nil)
		require.NoError(t, err)
		require.Equal(t, 1, fresh)
		require.Equal(t, any(1), sub.Current().Result)
	})
}

// A bucket that is dropped and defined again: by name a query finds it, with a
// handle it does not, and does not try for ever.
func TestEnemyBucketDefinedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		putFoe(t, foes, "a", 1)
		var runs atomic.Int64
		deaf := defineLive(t, st, "deaf", func(q *store.QueryCtx, _ none) (int, error) {
			runs.Add(1)
			list, _ := foes.In(q).Where().All()
			n, _ := foes.In(q).Count()
			return len(list) + n, nil
		})
		named := defineLive(t, st, "named", func(q *store.QueryCtx, _ none) (int, error) {
			b, err := q.Bucket("foes")
			if err != nil {
				return 0, err
			}
			return b.Count()
		})
		require.NoError(t, st.DefineSpec("spec", store.QuerySpec{Bucket: "foes", Aggregate: &store.Aggregate{Op: "count"}}))
		var spec atomic.Value
		_, err := st.Subscribe(bg, "spec", nil, func(v any) { spec.Store(v) })
		require.NoError(t, err)
		a, b := subscribeLive(t, deaf, none{}), subscribeLive(t, named, none{})
		require.Equal(t, 2, nextOf(t, a).Result)
		require.Equal(t, 1, nextOf(t, b).Result)
		require.NoError(t, st.DropBucket(bg, "foes"))
		require.Equal(t, 0, nextOf(t, a).Result)
		ev := nextOf(t, b)
		require.ErrorIs(t, ev.Err, store.ErrBucketNotDefined)
		require.Equal(t, 1, ev.Result)
		again, err := store.Define[foe](bg, st, "foes")
		require.NoError(t, err)
		putFoe(t, again, "b", 1)
		putFoe(t, again, "c", 1)
		settleLive(t, st)
		require.Equal(t, 2, b.Current().Result)
		require.NoError(t, b.Current().Err)
		require.Equal(t, 2, spec.Load())
		require.LessOrEqual(t, runs.Load(), int64(3))
		quiet(t, st, a)
	})
}

// Run after DropBucket has returned must not answer with what was before, also if
// it waits for an evaluation that began before.
func TestEnemyRunSeesDroppedBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		gate := make(chan none)
		putFoe(t, foes, "a", 1)
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			b, err := q.Bucket("foes")
			if err != nil {
				return -1, nil
			}
			n, err := b.Count()
			if n == 2 {
				<-gate
			}
			return n, err
		})
		subscribeLive(t, q, none{})
		putFoe(t, foes, "b", 1)
		synctest.Wait() // the worker has read both, and waits
		require.NoError(t, st.DropBucket(bg, "foes"))
		got := make(chan int)
		go func() {
			n, _ := q.Run(bg, none{})
			got <- n
		}()
		synctest.Wait()
		close(gate)
		require.Equal(t, -1, <-got, "the bucket was gone when Run was called")
	})
}

// The key of a node is the name, a zero byte and the parameters; a name may
// contain a zero byte.
func TestEnemyNodeKeysDoNotCollide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		one := defineLive(t, st, "a", func(*store.QueryCtx, [2]byte) (string, error) { return "one", nil })
		two, err := store.DefineQuery(st, "a\x00b", func(*store.QueryCtx, none) (string, error) { return "two", nil })
		if err != nil {
			return // such a name is refused
		}
		require.Equal(t, "one", nextOf(t, subscribeLive(t, one, [2]byte{'b', 0})).Result)
		require.Equal(t, "two", nextOf(t, subscribeLive(t, two, none{})).Result)
	})
}

// Parameters that are equal share a node, whatever they are made of.
func TestEnemyParameters(t *testing.T) {
	type params struct {
		M map[string]int
		S []float64
		P *int
		A any
		T time.Time
	}
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		runs := 0
		q := defineLive(t, st, "q", func(*store.QueryCtx, params) (int, error) { runs++; return 0, nil })
		one, uno := 1, 1
		for i, same := range [][]params{
			{{}, {M: map[string]int{}, S: []float64{}}},
			{{M: map[string]int{"a": 1, "b": 2, "c": 3}}, {M: map[string]int{"c": 3, "b": 2, "a": 1}}},
			{{S: []float64{math.NaN()}}, {S: []float64{math.Float64frombits(0x7FF8000000000123)}}},
			{{S: []float64{0}}, {S: []float64{math.Copysign(0, -1)}}},
			{{P: &one}, {P: &uno}},
			{{A: []int{1}}, {A: []int{1}}},
			{{A: 1}},
			{{A: int64(1)}},
			{{A: params{}}},
			{{A: &params{}}},
		} {
			runs = 0
			for _, p := range same {
				subscribeLive(t, q, p)
			}
			require.Equal(t, 1, runs, "case %d", i)
		}
		_, err := q.Subscribe(bg, params{A: func() {}})
		require.ErrorIs(t, err, store.ErrQueryType)
		_, err = q.Subscribe(bg, params{S: make([]float64, 1<<20)})
		require.ErrorIs(t, err, store.ErrQueryType)
		_, err = store.DefineQuery(st, "f", func(*store.QueryCtx, func()) (int, error) { return 0, nil })
		require.ErrorIs(t, err, store.ErrQueryType)
		_, err = st.RunQuery(bg, "q", 1)
		require.ErrorIs(t, err, store.ErrQueryType)
		_, err = st.RunQuery(bg, "q", nil)
		require.ErrorIs(t, err, store.ErrQueryType)
		_, err = st.RunQuery(bg, "q", &params{})
		require.NoError(t, err)
		_, err = st.RunQuery(bg, "q", (*params)(nil))
		require.ErrorIs(t, err, store.ErrQueryType)
	})
}
