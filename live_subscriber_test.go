package store_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Subscriptions and callbacks: what comes, when it ends, and what is kept.

// A context that has ended: by name as by handle.
func TestEnemySubscribeWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		calls := 0
		q := defineLive(t, st, "q", func(*store.QueryCtx, none) (int, error) { calls++; return 0, nil })
		ctx, cancel := context.WithCancel(bg)
		cancel()
		_, err := q.Subscribe(ctx, none{})
		require.ErrorIs(t, err, context.Canceled)
		_, err = q.OnChange(ctx, none{}, func(int) {})
		require.ErrorIs(t, err, context.Canceled)
		_, err = q.Run(ctx, none{})
		require.ErrorIs(t, err, context.Canceled)
		_, err = st.RunQuery(ctx, "q", nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, calls)
		_, err = st.Subscribe(ctx, "q", nil, func(any) {})
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, calls)
	})
}

// Every way in which a subscription ends; several goroutines wait for it.
func TestEnemySubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(*store.QueryCtx, none) (int, error) { return 1, nil })
		ctx, cancel := context.WithCancelCause(bg)
		byCtx, err := q.Subscribe(ctx, none{})
		require.NoError(t, err)
		byClose, byUndefine := subscribeLive(t, q, none{}), subscribeLive(t, q, none{})
		ends := map[*store.Subscription[int]]error{byCtx: errFoe, byClose: store.ErrUnsubscribed, byUndefine: store.ErrQueryNotDefined}
		var wg sync.WaitGroup
		for sub, why := range ends {
			nextOf(t, sub)
			for range 3 {
				wg.Go(func() {
					_, err := sub.Next(bg)
					require.ErrorIs(t, err, why)
				})
				wg.Go(func() {
					for range sub.Events() {
						t.Error("an event")
					}
				})
			}
		}
		synctest.Wait()
		cancel(errFoe)
		synctest.Wait()
		byClose.Close()
		byClose.Close()
		require.NoError(t, st.UndefineQuery("q"))
		wg.Wait()
		require.Equal(t, 1, byClose.Current().Result)
	})
}

// What is equal is not delivered.
func TestEnemyEqualResults(t *testing.T) {
	utc := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, make := range map[string]func(i int) any{
		"NaN":     func(int) any { return []float64{math.NaN()} },
		"nil":     func(i int) any { return [][]int{nil, {}}[i%2] },
		"zone":    func(i int) any { return utc.In(time.FixedZone("x", 3600*i)) },
		"map":     func(int) any { return map[string]any{"a": 1, "b": []int{1}} },
		"pointer": func(int) any { return &foe{ID: "a"} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, foes := openFoes(t, store.Options{})
				runs := 0
				q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (any, error) {
					_, err := foes.In(q).Where().All()
					runs++
					return make(runs), err
				})
				sub := subscribeLive(t, q, none{})
				nextOf(t, sub)
				for i := range 3 {
					putFoe(t, foes, fmt.Sprint(i), 1)
					quiet(t, st, sub)
				}
				require.Equal(t, 4, runs)
			})
		})
	}
	t.Run("records", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			st, foes := openFoes(t, store.Options{})
			q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) ([]store.Record, error) {
				if _, err := foes.In(q).Where().All(); err != nil {
					return nil, err
				}
				return foes.Dynamic().In(q).Where(store.Eq("kind", "k")).Select("kind").All()
			})
			putFoe(t, foes, "a", 1)
			sub := subscribeLive(t, q, none{})
			require.Len(t, nextOf(t, sub).Result, 1)
			putFoe(t, foes, "a", 2)
			quiet(t, st, sub)
		})
	})
}

// Who is slow gets the newest, and the store keeps no more than that and what was
// delivered last.
func TestEnemySlowSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		var mu sync.Mutex // protects made
		var made []weak.Pointer[[1024]int]
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (*[1024]int, error) {
			f, _ := foes.In(q).Get("a")
			r := &[1024]int{f.N}
			mu.Lock()
			defer mu.Unlock()
			made = append(made, weak.Make(r))
			return r, nil
		})
		sub := subscribeLive(t, q, none{})
		ev := nextOf(t, sub)
		for round := range 5 {
			for i := range 100 {
				putFoe(t, foes, "a", 100*round+i+1)
				settleLive(t, st)
			}
			was := ev.Seq
			ev = nextOf(t, sub)
			require.Equal(t, 100*round+100, ev.Result[0])
			require.Greater(t, ev.Seq, was)
			quiet(t, st, sub)
		}
		synctest.Wait()
		runtime.GC()
		require.Len(t, made, 501)
		made = slices.DeleteFunc(made, func(p weak.Pointer[[1024]int]) bool { return p.Value() == nil })
		require.LessOrEqual(t, len(made), 3)
		runtime.KeepAlive(sub)
	})
}

// A subscription that ends with its definition must not be kept by the context
// that it was made with, nor by the store.
func TestEnemyContextKeepsNothing(t *testing.T) {
	type big struct{ p *[1 << 16]byte }
	for _, how := range []string{"close", "undefine"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, foes := openFoes(t, store.Options{})
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				var result weak.Pointer[big]
				func() {
					q := defineLive(t, st, "big", func(*store.QueryCtx, none) (*big, error) {
						b := &big{new([1 << 16]byte)}
						result = weak.Make(b)
						return b, nil
					})
					sub, err := q.Subscribe(ctx, none{})
					require.NoError(t, err)
					nextOf(t, sub)
					if how == "close" {
						sub.Close()
					} else {
						require.NoError(t, st.UndefineQuery("big"))
					}
				}()
				time.Sleep(2 * time.Second)
				putFoe(t, foes, "a", 1)
				synctest.Wait()
				runtime.GC()
				require.Nil(t, result.Value(), "the result of an ended subscription is kept")
			})
		})
	}
}

// Callbacks that panic, end their goroutine, stop themselves, write, and subscribe.
func TestEnemyCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports atomic.Int64
		st, foes := openFoes(t, store.Options{OnError: func(error) { reports.Add(1) }})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, kind string) (int, error) {
			return foes.In(q).Count(store.Eq("kind", kind))
		})
		on := func(kind string, fn func(int)) func() {
			stop, err := q.OnChange(bg, kind, fn)
			require.NoError(t, err)
			return stop
		}
		var panics, exits, once, last atomic.Int64
		on("k", func(int) { panics.Add(1); panic("!") })
		on("k", func(int) { exits.Add(1); runtime.Goexit() })
		var stop func()
		stop = on("k", func(int) { once.Add(1); stop(); stop() })
		for i := range 5 { // each writes what the next one hears of
			on(fmt.Sprint("k", i), func(n int) {
				if i == 4 {
					last.Store(int64(n))
					return
				}
				_, err := foes.Insert(bg, foe{ID: fmt.Sprint("chain", i, n), Kind: fmt.Sprint("k", i+1)})
				require.NoError(t, err)
			})
		}
		for i := range 3 {
			putFoe(t, foes, fmt.Sprint("x", i), 1)
			_, err := foes.Insert(bg, foe{ID: fmt.Sprint("begin", i), Kind: "k0"})
			require.NoError(t, err)
			settleLive(t, st)
			require.EqualValues(t, i+1, last.Load(), "Settle waits for all of a chain")
		}
		require.EqualValues(t, 3, panics.Load())
		require.EqualValues(t, 3, exits.Load())
		require.EqualValues(t, 1, once.Load())
		require.EqualValues(t, 3, reports.Load())
	})
}

// A callback that does not return, settles, or closes the store waits for itself.
func TestEnemyCallbackWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
		gate, errs := make(chan none), make(chan error, 2)
		_, err := q.OnChange(bg, none{}, func(int) {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			errs <- st.Settle(ctx)
			errs <- st.Close(ctx)
			<-gate
		})
		require.NoError(t, err)
		sub := subscribeLive(t, q, none{})
		nextOf(t, sub)
		putFoe(t, foes, "a", 1)
		require.Equal(t, 1, nextOf(t, sub).Result, "others are told")
		require.ErrorIs(t, <-errs, context.DeadlineExceeded)
		require.ErrorIs(t, <-errs, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		require.ErrorContains(t, st.Close(ctx), "q")
		close(gate)
		closeLive(t, st)
	})
}
