package store_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Functions that fail.

// Functions that panic, end their goroutine or fail: an event with the error,
// once, with the last good result; the query recovers when what it has read
// changes. Fail and recover with the same value is news for who asks, not for who
// is called.
func TestEnemyFailures(t *testing.T) {
	self := t.Name()
	for name, fail := range map[string]func() error{
		"error":  func() error { return errFoe },
		"panic":  func() error { panic(errFoe) },
		"goexit": func() error { runtime.Goexit(); return nil },
		"index":  func() error { return []error{}[len(self)] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var reports atomic.Int64
				st, foes := openFoes(t, store.Options{OnError: func(error) { reports.Add(1) }})
				q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
					n, err := foes.In(q).Count(store.Eq("kind", "k"))
					if r, _ := foes.In(q).Get("bad"); r.N > 0 {
						return 99, fail()
					}
					return n, err
				})
				sub := subscribeLive(t, q, none{})
				var calls atomic.Int64
				_, err := q.OnChange(bg, none{}, func(int) { calls.Add(1) })
				require.NoError(t, err)
				require.Equal(t, 0, nextOf(t, sub).Result)
				putFoe(t, foes, "bad", 0)
				require.Equal(t, 1, nextOf(t, sub).Result)
				settleLive(t, st)
				require.EqualValues(t, 1, calls.Load())
				putFoe(t, foes, "bad", 1)
				ev := nextOf(t, sub)
				require.Error(t, ev.Err)
				require.Equal(t, 1, ev.Result, "the last good one")
				if name == "error" || name == "panic" {
					require.ErrorIs(t, ev.Err, errFoe)
				}
				putFoe(t, foes, "bad", 2)
				quiet(t, st, sub)
				require.EqualValues(t, 1, reports.Load(), "the same failure again")
				putFoe(t, foes, "bad", 0)
				ev = nextOf(t, sub)
				require.NoError(t, ev.Err)
				require.Equal(t, 1, ev.Result)
				quiet(t, st, sub)
				require.EqualValues(t, 1, calls.Load())
				putFoe(t, foes, "more", 0)
				require.Equal(t, 2, nextOf(t, sub).Result)
				settleLive(t, st)
				require.EqualValues(t, 2, calls.Load())
			})
		})
	}
}

// A first evaluation that fails is the first event; one that ends the goroutine
// ends that of the subscriber, and nothing else.
func TestEnemyFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, how string) (int, error) {
			if r, ok := foes.In(q).Get("a"); ok {
				return r.N, nil
			}
			switch how {
			case "panic":
				panic("!")
			case "goexit":
				runtime.Goexit()
			}
			return 0, errFoe
		})
		failed, panicked := subscribeLive(t, q, "error"), subscribeLive(t, q, "panic")
		require.ErrorIs(t, nextOf(t, failed).Err, errFoe)
		var p *store.PanicError
		require.ErrorAs(t, nextOf(t, panicked).Err, &p)
		ended := make(chan none)
		go func() {
			defer close(ended)
			_, _ = q.Subscribe(bg, "goexit")
		}()
		<-ended
		putFoe(t, foes, "a", 5)
		require.Equal(t, 5, nextOf(t, failed).Result)
		require.Equal(t, 5, nextOf(t, panicked).Result)
	})
}

// A typed nil error is one whose Error method panics.
func TestEnemyErrorThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if err == nil && n == 1 {
				var nothing *store.Error
				return 0, nothing
			}
			return n, err
		})
		sub := subscribeLive(t, q, none{})
		require.NoError(t, nextOf(t, sub).Err)
		putFoe(t, foes, "a", 1)
		require.Error(t, nextOf(t, sub).Err)
		putFoe(t, foes, "b", 1)
		require.Equal(t, 2, nextOf(t, sub).Result)
	})
}
