package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// A query that fails after the time has come which its last good run had waited
// for: it is evaluated once, not for ever.
func TestEnemyTimeFailedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		var runs atomic.Int64
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (time.Time, error) {
			now := q.Now(time.Minute)
			if n := runs.Add(1); n > 1 && n < 1000 {
				return now, errors.New("no")
			}
			return now, nil
		})
		sub := subscribeFoe(t, q, none{})
		require.NoError(t, nextOf(t, sub).Err)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, runs.Load(), "evaluations")
	})
}

// A parent is told of what time does to its child.
func TestEnemyTimeNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		child := defineFoe(t, st, "child", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(time.Minute), nil })
		parent := defineFoe(t, st, "parent", func(q *store.QueryCtx, _ none) (time.Time, error) { return child.RunIn(q, none{}) })
		sub := subscribeFoe(t, parent, none{})
		first := nextOf(t, sub).Result
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, first.Add(time.Minute), sub.Current().Result)
	})
}

// A grandchild that time has changed while nobody subscribed: whoever subscribes
// then gets the new value, and the function is not called for ever.
func TestEnemyTimeGrandchildWhileLingering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		c := defineFoe(t, st, "c", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(100 * time.Millisecond), nil })
		b := defineFoe(t, st, "b", func(q *store.QueryCtx, _ none) (time.Time, error) { return c.RunIn(q, none{}) })
		var runs atomic.Int64
		release := make(chan none)
		a := defineFoe(t, st, "a", func(q *store.QueryCtx, _ none) (time.Time, error) {
			if runs.Add(1) > 1000 {
				<-release
				return time.Time{}, errors.New("called again and again")
			}
			return b.RunIn(q, none{})
		})
		defer close(release)
		sub := subscribeFoe(t, a, none{})
		first := nextOf(t, sub).Result
		sub.Close()
		time.Sleep(250 * time.Millisecond)
		sub = subscribeFoe(t, a, none{})
		require.Equal(t, first.Add(200*time.Millisecond), nextOf(t, sub).Result)
		synctest.Wait()
		require.Less(t, runs.Load(), int64(10), "evaluations")
	})
}

// The timer goes on after all that it had been set for is gone.
func TestEnemyTimeAfterIdleTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		now := func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(time.Minute), nil }
		subscribeFoe(t, defineFoe(t, st, "gone", now), none{})
		require.NoError(t, st.UndefineQuery("gone"))
		time.Sleep(2 * time.Minute) // the timer fires, and there is nothing to do
		sub := subscribeFoe(t, defineFoe(t, st, "q", now), none{})
		first := nextOf(t, sub).Result
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, first.Add(5*time.Minute), sub.Current().Result)
	})
}

// Run after Close finds that the time has changed: no callback is called any more.
func TestEnemyTimeNoCallbackAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(time.Minute), nil })
		var calls atomic.Int64
		_, err := q.OnChange(bg, none{}, func(time.Time) { calls.Add(1) })
		require.NoError(t, err)
		closeFoe(t, st)
		time.Sleep(2 * time.Minute)
		_, _ = q.Run(bg, none{})
		synctest.Wait()
		require.Zero(t, calls.Load(), "a callback ran after Close had returned")
	})
}

// Evaluations on other goroutines do not hide that all workers are stuck.
func TestEnemyTimeStuckWhileOthersSubscribe(t *testing.T) {
	oneWorker(t)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		release := make(chan none)
		stuck := defineFoe(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-release
			}
			return n, err
		})
		defer close(release)
		count := defineFoe(t, st, "count", func(q *store.QueryCtx, _ int) (int, error) {
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		subscribeFoe(t, stuck, none{})
		putFoe(t, foes, "a", 1)
		synctest.Wait()
		sub := subscribeFoe(t, count, 0)
		require.Equal(t, 1, nextOf(t, sub).Result)
		putFoe(t, foes, "b", 1)
		for i := range 200 { // each first evaluation is made by the one who subscribes
			subscribeFoe(t, count, i+1).Close()
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		require.Equal(t, 2, sub.Current().Result, "a second after the commit")
	})
}

// One function that is stuck for ever does not slow down all others.
func TestEnemyTimeStuckDoesNotSlowOthers(t *testing.T) {
	oneWorker(t)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		release := make(chan none)
		stuck := defineFoe(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-release
			}
			return n, err
		})
		defer close(release)
		subscribeFoe(t, stuck, none{})
		putFoe(t, foes, "a", 1)
		synctest.Wait()
		var runs atomic.Int64
		count := defineFoe(t, st, "count", func(q *store.QueryCtx, _ int) (int, error) {
			runs.Add(1)
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		const nodes = 500
		for i := range nodes {
			subscribeFoe(t, count, i)
		}
		runs.Store(0)
		putFoe(t, foes, "b", 1)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, nodes, runs.Load(), "evaluations within a second, of functions that take no time")
	})
}

var _ context.Context
