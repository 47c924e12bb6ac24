package store_test

import (
	"errors"
	"sync"
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
		st, _ := openFoes(t, store.Options{})
		var runs atomic.Int64
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (time.Time, error) {
			now := q.Now(time.Minute)
			if n := runs.Add(1); n > 1 && n < 1000 {
				return now, errors.New("no")
			}
			return now, nil
		})
		sub := subscribeLive(t, q, none{})
		require.NoError(t, nextOf(t, sub).Err)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, runs.Load(), "evaluations")
	})
}

// A parent is told of what time does to its child.
func TestEnemyTimeNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		child := defineLive(t, st, "child", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(time.Minute), nil })
		parent := defineLive(t, st, "parent", func(q *store.QueryCtx, _ none) (time.Time, error) { return child.RunIn(q, none{}) })
		sub := subscribeLive(t, parent, none{})
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
		st, _ := openFoes(t, store.Options{})
		c := defineLive(t, st, "c", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(100 * time.Millisecond), nil })
		b := defineLive(t, st, "b", func(q *store.QueryCtx, _ none) (time.Time, error) { return c.RunIn(q, none{}) })
		var runs atomic.Int64
		release := make(chan none)
		a := defineLive(t, st, "a", func(q *store.QueryCtx, _ none) (time.Time, error) {
			if runs.Add(1) > 1000 {
				<-release
				return time.Time{}, errors.New("called again and again")
			}
			return b.RunIn(q, none{})
		})
		defer close(release)
		sub := subscribeLive(t, a, none{})
		first := nextOf(t, sub).Result
		sub.Close()
		time.Sleep(250 * time.Millisecond)
		sub = subscribeLive(t, a, none{})
		require.Equal(t, first.Add(200*time.Millisecond), nextOf(t, sub).Result)
		synctest.Wait()
		require.Less(t, runs.Load(), int64(10), "evaluations")
	})
}

// The timer goes on after it has fired with nothing left to do: the only query
// that had waited for it does not ask for the time any more.
func TestEnemyTimeAfterIdleTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		putFoe(t, foes, "a", 1)
		subscribeLive(t, defineLive(t, st, "at first", func(q *store.QueryCtx, _ none) (time.Time, error) {
			if _, ok := foes.In(q).Get("a"); ok {
				return q.Now(time.Minute), nil
			}
			return time.Time{}, nil
		}), none{})
		require.NoError(t, foes.Delete(bg, "a"))
		time.Sleep(2 * time.Minute) // the timer fires, and there is nothing to do
		sub := subscribeLive(t, defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(time.Minute), nil }), none{})
		first := nextOf(t, sub).Result
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, first.Add(5*time.Minute), sub.Current().Result)
	})
}

// Run after Close finds that the time has changed: no callback is called any more.
func TestEnemyTimeNoCallbackAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (time.Time, error) { return q.Now(time.Minute), nil })
		var calls atomic.Int64
		_, err := q.OnChange(bg, none{}, func(time.Time) { calls.Add(1) })
		require.NoError(t, err)
		closeLive(t, st)
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
		st, foes := openFoes(t, store.Options{})
		release := make(chan none)
		stuck := defineLive(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-release
			}
			return n, err
		})
		defer close(release)
		count := defineLive(t, st, "count", func(q *store.QueryCtx, _ int) (int, error) {
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		subscribeLive(t, stuck, none{})
		putFoe(t, foes, "a", 1)
		synctest.Wait()
		sub := subscribeLive(t, count, 0)
		require.Equal(t, 1, nextOf(t, sub).Result)
		putFoe(t, foes, "b", 1)
		for i := range 200 { // each first evaluation is made by the one who subscribes
			subscribeLive(t, count, i+1).Close()
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		require.Equal(t, 2, sub.Current().Result, "a second after the commit")
	})
}

// One function that is stuck for ever does not slow down all others, nor stop
// them: after it was found to be stuck, one other is evaluated, and then none.
func TestEnemyTimeStuckDoesNotSlowOthers(t *testing.T) {
	oneWorker(t)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		release := make(chan none)
		stuck := defineLive(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-release
			}
			return n, err
		})
		defer close(release)
		subscribeLive(t, stuck, none{})
		putFoe(t, foes, "a", 1)
		synctest.Wait()
		var runs atomic.Int64
		count := defineLive(t, st, "count", func(q *store.QueryCtx, _ int) (int, error) {
			runs.Add(1)
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		const nodes = 500
		for i := range nodes {
			subscribeLive(t, count, i)
		}
		runs.Store(0)
		putFoe(t, foes, "b", 1)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, nodes, runs.Load(), "evaluations within a second, of functions that take no time")
	})
}

// Who comes and goes often is no reason to forget a query within the second.
func TestEnemyTimeLingerChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		var runs atomic.Int64
		q := defineLive(t, st, "q", func(*store.QueryCtx, none) (int, error) { return int(runs.Add(1)), nil })
		for range 10_000 {
			subscribeLive(t, q, none{}).Close()
		}
		require.EqualValues(t, 1, runs.Load(), "evaluations, within one instant")
	})
}

// Many functions that wait for something slow at the same time all make progress.
// The watch over stuck workers begins only if a commit comes when all of them are
// at work.
func TestEnemyTimeTenThousandSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		gate := make(chan none)
		var waiting atomic.Int64
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ int) (int, error) {
			r, ok := foes.In(q).Get("a")
			if ok {
				waiting.Add(1)
				<-gate
			}
			return r.N, nil
		})
		const nodes = 10_000
		release := sync.OnceFunc(func() { close(gate) })
		defer release()
		subs := make([]*store.Subscription[int], nodes)
		for i := range subs {
			subs[i] = subscribeLive(t, q, i)
			nextOf(t, subs[i])
		}
		putFoe(t, foes, "a", 7)
		began := time.Now()
		for waiting.Load() < nodes && time.Since(began) < 10*time.Second {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		require.EqualValues(t, nodes, waiting.Load(), "under way at the same time")
		require.Less(t, time.Since(began), time.Second)
		release()
		settleLive(t, st)
		for _, s := range subs {
			require.Equal(t, 7, s.Current().Result)
		}
	})
}

// The time is cut for each granularity, and an evaluation comes exactly when the
// finest of them changes; equal results are not delivered.
func TestEnemyTimeGranularities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		var runs atomic.Int64
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (time.Time, error) {
			runs.Add(1)
			q.Now(10 * time.Second)
			return q.Now(time.Minute), nil
		})
		sub := subscribeLive(t, q, none{})
		first := nextOf(t, sub).Result
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, 1, runs.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, 2, runs.Load())
		quiet(t, st, sub)
		time.Sleep(49 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 6, runs.Load())
		quiet(t, st, sub)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 7, runs.Load())
		require.Equal(t, first.Add(time.Minute), nextOf(t, sub).Result)
		sub.Close()
		time.Sleep(time.Hour)
		require.EqualValues(t, 7, runs.Load(), "nobody subscribes")
	})
}

// A clock that jumps, stands still, or has nothing to do with the process's own.
func TestEnemyTimeJumpingClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock atomic.Int64
		clock.Store(time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
		st, foes := openFoes(t, store.Options{TTLInterval: -1, Clock: func() time.Time { return time.Unix(clock.Load(), 0) }})
		var runs atomic.Int64
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int64, error) {
			runs.Add(1)
			return q.Now(time.Minute).Unix(), nil
		})
		start := clock.Load()
		sub := subscribeLive(t, q, none{})
		require.Equal(t, start, nextOf(t, sub).Result)
		time.Sleep(time.Hour) // the clock stands still
		synctest.Wait()
		require.EqualValues(t, 1, runs.Load())
		clock.Add(3600) // a worker looks around when something is committed
		putFoe(t, foes, "a", 1)
		settleLive(t, st)
		require.Equal(t, start+3600, nextOf(t, sub).Result)
		require.EqualValues(t, 2, runs.Load())
		clock.Add(-7200)
		time.Sleep(time.Hour)
		putFoe(t, foes, "b", 1)
		settleLive(t, st)
		require.LessOrEqual(t, runs.Load(), int64(3))
		clock.Add(10 * 3600)
		fresh, err := q.Run(bg, none{})
		require.NoError(t, err)
		require.Equal(t, start+9*3600, fresh)
	})
}

// After the last subscriber has left, a query lingers for a second: who comes
// back finds it, and later it is gone. A write meanwhile counts.
func TestEnemyTimeLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		var runs atomic.Int64
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			runs.Add(1)
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		visit := func(want, wantRuns int) {
			t.Helper()
			sub := subscribeLive(t, q, none{})
			defer sub.Close()
			require.Equal(t, want, nextOf(t, sub).Result)
			require.EqualValues(t, wantRuns, runs.Load())
		}
		visit(0, 1)
		time.Sleep(900 * time.Millisecond)
		visit(0, 1)
		time.Sleep(900 * time.Millisecond)
		visit(0, 1)
		putFoe(t, foes, "a", 1)
		visit(1, 2)
		putFoe(t, foes, "b", 1)
		settleLive(t, st)
		require.EqualValues(t, 2, runs.Load(), "nobody waits for it")
		visit(2, 3)
		time.Sleep(1100 * time.Millisecond)
		visit(2, 4)
	})
}
