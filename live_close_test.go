package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The end of a store with live queries.

// Close delivers what there is; after it everything says ErrClosed.
func TestEnemyClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
		sub := subscribeLive(t, q, none{})
		nextOf(t, sub)
		var got atomic.Int64
		_, err := q.OnChange(bg, none{}, func(n int) { got.Store(int64(n)) })
		require.NoError(t, err)
		for i := range 10 {
			putFoe(t, foes, fmt.Sprint(i), 1)
		}
		require.NoError(t, st.Close(bg))
		require.NoError(t, st.Close(bg))
		require.EqualValues(t, 10, got.Load())
		require.Equal(t, 10, nextOf(t, sub).Result)
		_, err = sub.Next(bg)
		require.ErrorIs(t, err, store.ErrClosed)
		_, err = q.Subscribe(bg, none{})
		require.ErrorIs(t, err, store.ErrClosed)
		_, err = st.Subscribe(bg, "q", nil, func(any) {})
		require.ErrorIs(t, err, store.ErrClosed)
		_, err = store.DefineQuery(st, "r", func(*store.QueryCtx, none) (int, error) { return 0, nil })
		require.ErrorIs(t, err, store.ErrClosed)
		settleLive(t, st)
		sub.Close()
	})
}

// A Close that ran out of time cuts the subscribers off: also those who wait in
// Next while a function does not return.
func TestEnemyFailedCloseEndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		gate := make(chan none)
		q := defineLive(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-gate
			}
			return n, err
		})
		other := defineLive(t, st, "other", func(*store.QueryCtx, none) (int, error) { return 0, nil })
		defer close(gate)
		sub, idle := subscribeLive(t, q, none{}), subscribeLive(t, other, none{})
		nextOf(t, sub)
		nextOf(t, idle)
		putFoe(t, foes, "a", 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		err := st.Close(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "stuck")
		wait, stop := context.WithTimeout(bg, time.Second)
		defer stop()
		_, err = idle.Next(wait)
		require.ErrorIs(t, err, store.ErrClosed, "of a query that has nothing to do with it")
		_, err = sub.Next(wait)
		require.ErrorIs(t, err, store.ErrClosed)
	})
}

// An evaluation on a caller's goroutine that ends after Close: its result must
// not be delivered to a callback any more. Either Close waits for it, or it is
// cut off.
func TestEnemyNoCallbackAfterClose(t *testing.T) {
	oneWorker(t)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		busy, gate := make(chan none), make(chan none)
		var runs atomic.Int32
		block := defineLive(t, st, "block", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-busy
			}
			return n, err
		})
		slow := defineLive(t, st, "slow", func(q *store.QueryCtx, _ none) (int, error) {
			_, ok := foes.In(q).Get("b")
			if runs.Add(1); ok {
				<-gate
				return 1, nil
			}
			return 0, nil
		})
		subscribeLive(t, block, none{})
		var closed, late atomic.Bool
		_, err := slow.OnChange(bg, none{}, func(int) { late.Store(closed.Load()) })
		require.NoError(t, err)
		putFoe(t, foes, "a", 1)
		synctest.Wait() // the worker is busy now
		putFoe(t, foes, "b", 1)
		go func() { _, _ = slow.Run(bg, none{}) }() // so this goroutine evaluates
		synctest.Wait()
		require.EqualValues(t, 2, runs.Load(), "evaluations: this one waits at the gate")
		close(busy)
		ended := make(chan error)
		go func() {
			err := st.Close(bg)
			closed.Store(true)
			ended <- err
		}()
		synctest.Wait()
		close(gate)
		require.NoError(t, <-ended)
		synctest.Wait()
		require.False(t, late.Load(), "a callback ran after Close had returned")
	})
}
