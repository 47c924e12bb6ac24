package store_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Callbacks share the workers: what one of them does to its goroutine is its own
// affair.

// countingQuery is a query that each insert changes.
func countingQuery(t *testing.T, opt store.Options) (*store.Store, *store.TypedBucket[foe], *store.ReactiveQuery[none, int]) {
	st, foes := openFoes(t, opt)
	return st, foes, defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
}

// All of many subscribers are called for each outcome, whatever the number of
// processors, whether somebody settles or not; and nothing is left of the workers.
func TestLiveCallbacksOfMany(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			synctest.Test(t, func(t *testing.T) {
				st, foes, q := countingQuery(t, store.Options{})
				const subs = 100
				var calls [subs]atomic.Int64
				for i := range subs {
					_, err := q.OnChange(bg, none{}, func(int) { calls[i].Add(1) })
					require.NoError(t, err)
				}
				for n := range 20 {
					putFoe(t, foes, fmt.Sprint(n), 1)
					if n%2 == 0 {
						settleLive(t, st)
					} else {
						synctest.Wait()
					}
					for i := range subs {
						require.EqualValues(t, n+1, calls[i].Load(), "subscriber %d", i)
					}
				}
			})
		})
	}
}

// Callbacks that do not return, panic, or end their goroutine: no other one, no
// evaluation and no Settle of others' consequences waits for them, on one processor
// as on several. Close names those that are left, and then waits for them.
func TestLiveCallbacksThatMisbehave(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			synctest.Test(t, func(t *testing.T) {
				var reports, good atomic.Int64
				st, foes, q := countingQuery(t, store.Options{OnError: func(error) { reports.Add(1) }})
				gate := make(chan none)
				on := func(fn func(int)) {
					_, err := q.OnChange(bg, none{}, fn)
					require.NoError(t, err)
				}
				const each = 20
				for range each {
					on(func(int) { <-gate })
					on(func(int) { panic("!") })
					on(func(int) { runtime.Goexit() })
					on(func(int) { good.Add(1) })
				}
				for n := range 5 {
					putFoe(t, foes, fmt.Sprint(n), 1)
					synctest.Wait()
					require.EqualValues(t, (n+1)*each, good.Load(), "others are called")
					require.EqualValues(t, (n+1)*each, reports.Load(), "panics are reported")
				}
				ctx, cancel := context.WithTimeout(bg, time.Second)
				defer cancel()
				require.ErrorIs(t, st.Settle(ctx), context.DeadlineExceeded)
				err := st.Close(ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, fmt.Sprintf("callback of query q (%d)", each)) // the text is the point of it
				close(gate)
				closeLive(t, st)
				require.EqualValues(t, 5*each, good.Load(), "nobody is called after a Close that ran out of time")
			})
		})
	}
}

// A callback that computes and never blocks delays no other one for longer than Go's
// scheduler lets it.
func TestLiveCallbackThatSpins(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	st, foes, q := countingQuery(t, store.Options{})
	var stop atomic.Bool
	called := make(chan none, 1)
	for range 3 {
		_, err := q.OnChange(bg, none{}, func(int) {
			for !stop.Load() {
			}
		})
		require.NoError(t, err)
	}
	_, err := q.OnChange(bg, none{}, func(int) { called <- none{} })
	require.NoError(t, err)
	putFoe(t, foes, "a", 1)
	<-called
	sub := subscribeLive(t, q, none{})
	nextOf(t, sub)
	putFoe(t, foes, "b", 1)
	require.Equal(t, 2, nextOf(t, sub).Result, "evaluations go on")
	stop.Store(true)
	settleLive(t, st)
	closeLive(t, st)
}

// A Close while callbacks are called delivers what there is, the newest result to who
// is slow, and waits.
func TestLiveCloseDuringCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes, q := countingQuery(t, store.Options{})
		const subs = 10
		var last [subs]atomic.Int64
		for i := range subs {
			_, err := q.OnChange(bg, none{}, func(n int) {
				time.Sleep(time.Second)
				last[i].Store(int64(n))
			})
			require.NoError(t, err)
		}
		putFoe(t, foes, "a", 1)
		synctest.Wait() // all are called
		putFoe(t, foes, "b", 1)
		require.NoError(t, st.Close(bg))
		for i := range subs {
			require.EqualValues(t, 2, last[i].Load())
		}
	})
}

// The same where workers wait already: one that is to call a callback wakes the next.
func TestLiveCallbacksWakeWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes, q := countingQuery(t, store.Options{})
		const subs = 5
		var calls atomic.Int64
		for range subs {
			_, err := q.OnChange(bg, none{}, func(int) {
				calls.Add(1)
				time.Sleep(time.Second)
			})
			require.NoError(t, err)
		}
		for n := range 3 {
			putFoe(t, foes, fmt.Sprint(n), 1)
			synctest.Wait()
			require.EqualValues(t, subs*(n+1), calls.Load(), "all are under way at once")
			time.Sleep(2 * time.Second) // of the bubble: all have returned
			synctest.Wait()
		}
		closeLive(t, st)
	})
}
