package store_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Queries as an enemy writes them. What runs in a bubble of synctest leaks no
// goroutine: the bubble would fail.

// Asking a query through a QueryCtx whose function has returned must fail, and
// must not leave its failure behind as the query's value.
func TestEnemyAskAfterReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		putFoe(t, foes, "a", 1)
		inner := defineLive(t, st, "inner", func(q *store.QueryCtx, _ none) (int, error) {
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		var kept *store.QueryCtx
		outer := defineLive(t, st, "outer", func(q *store.QueryCtx, _ none) (int, error) {
			kept = q
			return 1, nil
		})
		subscribeLive(t, outer, none{})
		_, err := inner.RunIn(kept, none{})
		require.ErrorIs(t, err, store.ErrQueryDone)
		_, err = kept.Run("inner", nil)
		require.ErrorIs(t, err, store.ErrQueryDone)
		ev := nextOf(t, subscribeLive(t, inner, none{}))
		require.NoError(t, ev.Err, "the failure of a late caller is everybody's")
		require.Equal(t, 1, ev.Result)
	})
}

// Reads through the QueryCtx of a query that was run once, after it returned.
func TestEnemyReadAfterReturn(t *testing.T) {
	for name, run := range map[string]func(*store.Store, *store.ReactiveQuery[none, int]) error{
		"subscribed": func(_ *store.Store, q *store.ReactiveQuery[none, int]) error {
			_, err := q.Subscribe(bg, none{})
			return err
		},
		"run": func(_ *store.Store, q *store.ReactiveQuery[none, int]) error {
			_, err := q.Run(bg, none{})
			return err
		},
		"in a snapshot that is still open": func(st *store.Store, q *store.ReactiveQuery[none, int]) error {
			_, err := q.RunIn(st.Snapshot(), none{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			st, foes := openFoes(t, store.Options{})
			var kept *store.QueryCtx
			q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
				kept = q
				return 0, nil
			})
			require.NoError(t, run(st, q))
			_, err := foes.In(kept).Where().All()
			require.ErrorIs(t, err, store.ErrQueryDone)
			require.PanicsWithValue(t, "store: read through a closed query", func() { foes.In(kept).Get("a") })
		})
	}
}

// An iterator that was begun in the function is pulled after it has returned: it
// goes on in its state, and what the function had read counts.
func TestEnemyPullLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		for i := range 300 {
			putFoe(t, foes, fmt.Sprintf("%03d", i), i)
		}
		var next func() (foe, bool)
		var stops []func()
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			var stop func()
			next, stop = iter.Pull(foes.In(q).All())
			stops = append(stops, stop)
			f, _ := next()
			return f.N, nil
		})
		sub := subscribeLive(t, q, none{})
		require.Equal(t, 0, nextOf(t, sub).Result)
		old := next
		putFoe(t, foes, "000", 1000)
		require.Equal(t, 1000, nextOf(t, sub).Result)
		n := 1
		for _, ok := old(); ok; _, ok = old() {
			n++
		}
		require.Equal(t, 300, n)
		for _, stop := range stops {
			stop()
		}
	})
}

// A function that is run in a transaction must not write to it.
func TestEnemyFunctionInTransactionIsReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			_, err := foes.In(q).Insert(bg, foe{ID: "x", Kind: "k"})
			return 0, err
		})
		err := st.Transaction(bg, func(tx *store.Tx) error {
			_, err := q.RunIn(tx, none{})
			require.ErrorIs(t, err, store.ErrReadOnly)
			return nil
		})
		require.NoError(t, err)
		_, ok := foes.Get("x")
		require.False(t, ok, "a query function wrote to the transaction")
	})
}

// Handles bound to a query refuse writes; those of another store, reads.
func TestEnemyHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		_, others := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			h := foes.In(q)
			_, err := h.Insert(bg, foe{ID: "x"})
			require.ErrorIs(t, err, store.ErrReadOnly)
			require.ErrorIs(t, h.Clear(bg), store.ErrReadOnly)
			require.ErrorIs(t, h.Delete(bg, "x"), store.ErrReadOnly)
			_, err = h.Dynamic().UpdateMany(bg, store.Fields{"n": 1})
			require.ErrorIs(t, err, store.ErrReadOnly)
			_, err = others.In(q).Where().All()
			require.Error(t, err)
			_, err = others.In(q).Count()
			require.Error(t, err)
			require.Panics(t, func() { others.In(q).Get("a") })
			return 1, nil
		})
		ev := nextOf(t, subscribeLive(t, q, none{}))
		require.NoError(t, ev.Err)
		_, err := q.Run(bg, none{})
		require.NoError(t, err)
	})
}

// A function that does not return keeps others from nothing; Close names it, and
// works when it is let go.
func TestEnemyStuckFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		gate := make(chan none)
		stuck := defineLive(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-gate
			}
			return n, err
		})
		other := defineLive(t, st, "other", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
		a, b := subscribeLive(t, stuck, none{}), subscribeLive(t, other, none{})
		nextOf(t, a)
		nextOf(t, b)
		putFoe(t, foes, "a", 1)
		require.Equal(t, 1, nextOf(t, b).Result)
		putFoe(t, foes, "b", 1)
		require.Equal(t, 2, nextOf(t, b).Result)
		for _, wait := range []func(context.Context) error{
			st.Settle,
			func(ctx context.Context) error { _, err := stuck.Run(ctx, none{}); return err },
			func(ctx context.Context) error { _, err := a.Next(ctx); return err },
		} {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			require.ErrorIs(t, wait(ctx), context.DeadlineExceeded)
			cancel()
		}
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		require.ErrorContains(t, st.Close(ctx), "stuck")
		close(gate)
		closeLive(t, st)
		require.Equal(t, 2, nextOf(t, a).Result, "what was not delivered")
		_, err := a.Next(bg)
		require.ErrorIs(t, err, store.ErrClosed)
	})
}
