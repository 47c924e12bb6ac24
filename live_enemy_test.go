package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Queries as an enemy writes them. What runs in a bubble of synctest leaks no
// goroutine: the bubble would fail.

type foe struct {
	ID   string `store:"id,key"`
	Kind string `store:"kind,index"`
	N    int    `store:"n,index"`
}

type none = struct{}

var bg = context.Background()

// openFoe opens a store with a bucket "foes"; it is closed when the test ends.
func openFoe(t *testing.T, opt store.Options) (*store.Store, *store.TypedBucket[foe]) {
	t.Helper()
	st, err := store.Open(bg, opt)
	require.NoError(t, err)
	t.Cleanup(func() { closeFoe(t, st) })
	foes, err := store.Define[foe](bg, st, "foes")
	require.NoError(t, err)
	return st, foes
}

func closeFoe(t *testing.T, st *store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 10*time.Second)
	defer cancel()
	require.NoError(t, st.Close(ctx))
}

func defineFoe[P, R any](t *testing.T, st *store.Store, name string, fn func(*store.QueryCtx, P) (R, error)) *store.ReactiveQuery[P, R] {
	t.Helper()
	q, err := store.DefineQuery(st, name, fn)
	require.NoError(t, err)
	return q
}

// nextOf is the next event, which must come soon.
func nextOf[R any](t *testing.T, s *store.Subscription[R]) store.QueryEvent[R] {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 5*time.Second)
	defer cancel()
	ev, err := s.Next(ctx)
	require.NoError(t, err, "no event came")
	return ev
}

// quiet fails if there is an event that has not been delivered.
func quiet[R any](t *testing.T, st *store.Store, s *store.Subscription[R]) {
	t.Helper()
	settleFoe(t, st)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	ev, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled, "an event came: %+v", ev)
}

func settleFoe(t *testing.T, st *store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 5*time.Second)
	defer cancel()
	require.NoError(t, st.Settle(ctx))
}

func putFoe(t *testing.T, foes *store.TypedBucket[foe], id string, n int) {
	t.Helper()
	_, err := foes.Upsert(bg, foe{ID: id, Kind: "k", N: n})
	require.NoError(t, err)
}

func subscribeFoe[P, R any](t *testing.T, q *store.ReactiveQuery[P, R], p P) *store.Subscription[R] {
	t.Helper()
	s, err := q.Subscribe(bg, p)
	require.NoError(t, err)
	return s
}

// --- What was found. Each of these shows a defect. ---

// A query that another one asks is told of a dropped bucket, its parent is not:
// the child comes out otherwise at the same sequence.
func TestEnemyParentHearsOfDroppedBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		putFoe(t, foes, "a", 1)
		child := defineFoe(t, st, "child", func(q *store.QueryCtx, _ none) (int, error) {
			b, err := q.Bucket("foes")
			if err != nil {
				return -1, nil
			}
			return b.Count()
		})
		parent := defineFoe(t, st, "parent", func(q *store.QueryCtx, _ none) (int, error) { return child.RunIn(q, none{}) })
		sub := subscribeFoe(t, parent, none{})
		require.Equal(t, 1, nextOf(t, sub).Result)
		require.NoError(t, st.DropBucket(bg, "foes"))
		settleFoe(t, st)
		fresh, err := child.Run(bg, none{})
		require.NoError(t, err)
		require.Equal(t, -1, fresh)
		require.Equal(t, fresh, sub.Current().Result, "the parent was not told")
	})
}

// The node at the end of a chain that is too deep keeps that failure for
// subscribers to whom it is not too deep.
func TestEnemyTooDeepIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		var down *store.ReactiveQuery[int, int]
		down = defineFoe(t, st, "down", func(q *store.QueryCtx, n int) (int, error) {
			if n == 0 {
				return 0, nil
			}
			v, err := down.RunIn(q, n-1)
			return v + 1, err
		})
		deep := subscribeFoe(t, down, 100)
		require.Error(t, nextOf(t, deep).Err)
		fresh, err := down.Run(bg, 40)
		require.NoError(t, err)
		require.Equal(t, 40, fresh)
		ev := nextOf(t, subscribeFoe(t, down, 40))
		require.NoError(t, ev.Err, "a subscriber gets what was too deep for another one")
		require.Equal(t, 40, ev.Result)
	})
}

// The outcome that a member of a cycle has when it is asked by another member is
// kept as its own.
func TestEnemyCycleIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		defineFoe(t, st, "a", func(q *store.QueryCtx, _ none) (string, error) {
			v, err := q.Run("b", nil)
			if err != nil {
				v = "-"
			}
			return fmt.Sprint("a", v), nil
		})
		b := defineFoe(t, st, "b", func(q *store.QueryCtx, _ none) (string, error) {
			v, err := q.Run("a", nil)
			if err != nil {
				v = "-"
			}
			return fmt.Sprint("b", v), nil
		})
		_, err := st.Subscribe(bg, "a", nil, func(any) {})
		require.NoError(t, err)
		sub := subscribeFoe(t, b, none{})
		require.Equal(t, "ba-", nextOf(t, sub).Result, "what a query run from scratch returns")
	})
}

// Asking a query through a QueryCtx whose function has returned must fail, and
// must not leave its failure behind as the query's value.
func TestEnemyAskAfterReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		putFoe(t, foes, "a", 1)
		inner := defineFoe(t, st, "inner", func(q *store.QueryCtx, _ none) (int, error) {
			list, err := foes.In(q).Where().All()
			return len(list), err
		})
		var kept *store.QueryCtx
		outer := defineFoe(t, st, "outer", func(q *store.QueryCtx, _ none) (int, error) {
			kept = q
			return 1, nil
		})
		subscribeFoe(t, outer, none{})
		_, err := inner.RunIn(kept, none{})
		require.ErrorIs(t, err, store.ErrQueryDone)
		_, err = kept.Run("inner", nil)
		require.ErrorIs(t, err, store.ErrQueryDone)
		ev := nextOf(t, subscribeFoe(t, inner, none{}))
		require.NoError(t, ev.Err, "the failure of a late caller is everybody's")
		require.Equal(t, 1, ev.Result)
	})
}

// A query that was undefined and is defined again under its name is another one:
// an older handle must not answer with its results, nor with their zero.
func TestEnemyOldHandleAfterRedefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		old := defineFoe(t, st, "x", func(*store.QueryCtx, none) (int, error) { return 7, nil })
		require.NoError(t, st.UndefineQuery("x"))
		now := defineFoe(t, st, "x", func(*store.QueryCtx, none) (string, error) { return "now", nil })
		require.Equal(t, "now", nextOf(t, subscribeFoe(t, now, none{})).Result)
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
		st, _ := openFoe(t, store.Options{})
		old := defineFoe(t, st, "x", func(*store.QueryCtx, none) (int, error) { return 7, nil })
		outer := defineFoe(t, st, "outer", func(q *store.QueryCtx, _ none) (int, error) {
			v, err := old.RunIn(q, none{})
			if err != nil {
				return -1, nil
			}
			return v, nil
		})
		require.NoError(t, st.UndefineQuery("x"))
		subscribeFoe(t, outer, none{})
		now := defineFoe(t, st, "x", func(*store.QueryCtx, none) (string, error) { return "now", nil })
		require.Equal(t, "now", nextOf(t, subscribeFoe(t, now, none{})).Result)
	})
}

// The key of a node is the name, a zero byte and the parameters; a name may
// contain a zero byte.
func TestEnemyNodeKeysDoNotCollide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		one := defineFoe(t, st, "a", func(*store.QueryCtx, [2]byte) (string, error) { return "one", nil })
		two, err := store.DefineQuery(st, "a\x00b", func(*store.QueryCtx, none) (string, error) { return "two", nil })
		if err != nil {
			return // such a name is refused
		}
		require.Equal(t, "one", nextOf(t, subscribeFoe(t, one, [2]byte{'b', 0})).Result)
		require.Equal(t, "two", nextOf(t, subscribeFoe(t, two, none{})).Result)
	})
}

// A query that asks for another one by name recovers when that is defined, as it
// does when a bucket is.
func TestEnemyQueryDefinedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		outer := defineFoe(t, st, "outer", func(q *store.QueryCtx, _ none) (any, error) { return q.Run("inner", nil) })
		sub := subscribeFoe(t, outer, none{})
		require.ErrorIs(t, nextOf(t, sub).Err, store.ErrQueryNotDefined)
		defineFoe(t, st, "inner", func(*store.QueryCtx, none) (int, error) { return 1, nil })
		settleFoe(t, st)
		fresh, err := st.RunQuery(bg, "outer", nil)
		require.NoError(t, err)
		require.Equal(t, 1, fresh)
		require.Equal(t, any(1), sub.Current().Result)
	})
}

// A function that is run in a transaction must not write to it.
func TestEnemyFunctionInTransactionIsReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
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
			st, foes := openFoe(t, store.Options{})
			var kept *store.QueryCtx
			q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
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

// A context that has ended: by name as by handle.
func TestEnemySubscribeWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		calls := 0
		q := defineFoe(t, st, "q", func(*store.QueryCtx, none) (int, error) { calls++; return 0, nil })
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

// oneWorker leaves one place for evaluations, so that it is known who evaluates.
func oneWorker(t *testing.T) {
	was := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}

// An evaluation on a caller's goroutine that ends after Close: its result must
// not be delivered to a callback any more. Either Close waits for it, or it is
// cut off.
func TestEnemyNoCallbackAfterClose(t *testing.T) {
	oneWorker(t)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		busy, gate := make(chan none), make(chan none)
		var runs atomic.Int32
		block := defineFoe(t, st, "block", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-busy
			}
			return n, err
		})
		slow := defineFoe(t, st, "slow", func(q *store.QueryCtx, _ none) (int, error) {
			_, ok := foes.In(q).Get("b")
			if runs.Add(1); ok {
				<-gate
				return 1, nil
			}
			return 0, nil
		})
		subscribeFoe(t, block, none{})
		var closed, late atomic.Bool
		_, err := slow.OnChange(bg, none{}, func(int) { late.Store(closed.Load()) })
		require.NoError(t, err)
		putFoe(t, foes, "a", 1)
		synctest.Wait() // the worker is busy now
		putFoe(t, foes, "b", 1)
		go func() { _, _ = slow.Run(bg, none{}) }() // so this goroutine evaluates
		for runs.Load() < 2 {
			runtime.Gosched()
		}
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

// A Close that ran out of time cuts the subscribers off: also those who wait in
// Next while a function does not return.
func TestEnemyFailedCloseEndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		gate := make(chan none)
		q := defineFoe(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-gate
			}
			return n, err
		})
		other := defineFoe(t, st, "other", func(*store.QueryCtx, none) (int, error) { return 0, nil })
		defer close(gate)
		sub, idle := subscribeFoe(t, q, none{}), subscribeFoe(t, other, none{})
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

// A subscription that ends with its definition must not be kept by the context
// that it was made with, nor by the store.
func TestEnemyContextKeepsNothing(t *testing.T) {
	type big struct{ p *[1 << 16]byte }
	for _, how := range []string{"close", "undefine"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, foes := openFoe(t, store.Options{})
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				var freed atomic.Bool
				func() {
					q := defineFoe(t, st, "big", func(*store.QueryCtx, none) (*big, error) {
						b := &big{new([1 << 16]byte)}
						runtime.AddCleanup(b, func(to *atomic.Bool) { to.Store(true) }, &freed)
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
				for i := 0; i < 50 && !freed.Load(); i++ {
					runtime.GC()
					runtime.Gosched()
				}
				require.True(t, freed.Load(), "the result of an ended subscription is kept")
			})
		})
	}
}

// Run after DropBucket has returned must not answer with what was before, also if
// it waits for an evaluation that began before.
func TestEnemyRunSeesDroppedBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		gate := make(chan none)
		putFoe(t, foes, "a", 1)
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
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
		subscribeFoe(t, q, none{})
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

// --- What held. ---

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
				st, foes := openFoe(t, store.Options{OnError: func(error) { reports.Add(1) }})
				q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
					n, err := foes.In(q).Count(store.Eq("kind", "k"))
					if r, _ := foes.In(q).Get("bad"); r.N > 0 {
						return 99, fail()
					}
					return n, err
				})
				sub := subscribeFoe(t, q, none{})
				var calls atomic.Int64
				_, err := q.OnChange(bg, none{}, func(int) { calls.Add(1) })
				require.NoError(t, err)
				require.Equal(t, 0, nextOf(t, sub).Result)
				putFoe(t, foes, "bad", 0)
				require.Equal(t, 1, nextOf(t, sub).Result)
				settleFoe(t, st)
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
				settleFoe(t, st)
				require.EqualValues(t, 2, calls.Load())
			})
		})
	}
}

// A first evaluation that fails is the first event; one that ends the goroutine
// ends that of the subscriber, and nothing else.
func TestEnemyFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, how string) (int, error) {
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
		failed, panicked := subscribeFoe(t, q, "error"), subscribeFoe(t, q, "panic")
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
		st, foes := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if err == nil && n == 1 {
				var nothing *store.Error
				return 0, nothing
			}
			return n, err
		})
		sub := subscribeFoe(t, q, none{})
		require.NoError(t, nextOf(t, sub).Err)
		putFoe(t, foes, "a", 1)
		require.Error(t, nextOf(t, sub).Err)
		putFoe(t, foes, "b", 1)
		require.Equal(t, 2, nextOf(t, sub).Result)
	})
}

// A function that does not return keeps others from nothing; Close names it, and
// works when it is let go.
func TestEnemyStuckFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		gate := make(chan none)
		stuck := defineFoe(t, st, "stuck", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := foes.In(q).Count()
			if n > 0 {
				<-gate
			}
			return n, err
		})
		other := defineFoe(t, st, "other", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
		a, b := subscribeFoe(t, stuck, none{}), subscribeFoe(t, other, none{})
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
		closeFoe(t, st)
		require.Equal(t, 2, nextOf(t, a).Result, "what was not delivered")
		_, err := a.Next(bg)
		require.ErrorIs(t, err, store.ErrClosed)
	})
}

// Callbacks that panic, end their goroutine, stop themselves, write, and subscribe.
func TestEnemyCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports atomic.Int64
		st, foes := openFoe(t, store.Options{OnError: func(error) { reports.Add(1) }})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, kind string) (int, error) {
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
			settleFoe(t, st)
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
		st, foes := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
		gate, errs := make(chan none), make(chan error, 2)
		_, err := q.OnChange(bg, none{}, func(int) {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			errs <- st.Settle(ctx)
			errs <- st.Close(ctx)
			<-gate
		})
		require.NoError(t, err)
		sub := subscribeFoe(t, q, none{})
		nextOf(t, sub)
		putFoe(t, foes, "a", 1)
		require.Equal(t, 1, nextOf(t, sub).Result, "others are told")
		require.ErrorIs(t, <-errs, context.DeadlineExceeded)
		require.ErrorIs(t, <-errs, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		require.ErrorContains(t, st.Close(ctx), "q")
		close(gate)
		closeFoe(t, st)
	})
}

// Handles bound to a query refuse writes; those of another store, reads.
func TestEnemyHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		_, others := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
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
		ev := nextOf(t, subscribeFoe(t, q, none{}))
		require.NoError(t, ev.Err)
		_, err := q.Run(bg, none{})
		require.NoError(t, err)
	})
}

// An iterator that was begun in the function is pulled after it has returned: it
// goes on in its state, and what the function had read counts.
func TestEnemyPullLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		for i := range 300 {
			putFoe(t, foes, fmt.Sprintf("%03d", i), i)
		}
		var next func() (foe, bool)
		var stops []func()
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) {
			var stop func()
			next, stop = iter.Pull(foes.In(q).All())
			stops = append(stops, stop)
			f, _ := next()
			return f.N, nil
		})
		sub := subscribeFoe(t, q, none{})
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

// Several goroutines of one function read and ask at the same time.
func TestEnemyParallelFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		one := defineFoe(t, st, "one", func(q *store.QueryCtx, id string) (int, error) {
			f, _ := foes.In(q).Get(id)
			return f.N, nil
		})
		sum := defineFoe(t, st, "sum", func(q *store.QueryCtx, _ none) (int, error) {
			var wg sync.WaitGroup
			var total atomic.Int64
			for i := range 32 {
				wg.Go(func() {
					n, err := one.RunIn(q, fmt.Sprint(i%4))
					if err == nil {
						total.Add(int64(n))
					}
					_, _ = foes.In(q).Where(store.Eq("n", i)).All()
					_, _ = foes.In(q).Count()
					q.Now(time.Hour)
				})
			}
			wg.Wait()
			return int(total.Load()), nil
		})
		sub := subscribeFoe(t, sum, none{})
		require.Equal(t, 0, nextOf(t, sub).Result)
		for i := range 4 {
			putFoe(t, foes, fmt.Sprint(i), 1)
			settleFoe(t, st)
			require.Equal(t, 8*(i+1), sub.Current().Result)
		}
	})
}

// Queries that ask for themselves, and for one another from both ends.
func TestEnemyCycles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		self := defineFoe(t, st, "self", func(q *store.QueryCtx, _ none) (any, error) { return q.Run("self", nil) })
		require.ErrorIs(t, nextOf(t, subscribeFoe(t, self, none{})).Err, store.ErrQueryCycle)
		_, err := self.Run(bg, none{})
		require.ErrorIs(t, err, store.ErrQueryCycle)
		var on *store.ReactiveQuery[int, int]
		on = defineFoe(t, st, "on", func(q *store.QueryCtx, n int) (int, error) { return on.RunIn(q, n+1) })
		require.Error(t, nextOf(t, subscribeFoe(t, on, 0)).Err)
		_, err = on.Run(bg, 0)
		require.Error(t, err)
		both := func(other string) func(q *store.QueryCtx, _ none) (any, error) {
			return func(q *store.QueryCtx, _ none) (any, error) {
				if _, err := foes.In(q).Count(); err != nil {
					return nil, err
				}
				return q.Run(other, nil)
			}
		}
		ping, pong := defineFoe(t, st, "ping", both("pong")), defineFoe(t, st, "pong", both("ping"))
		for i := range 20 {
			var wg sync.WaitGroup
			for _, q := range []*store.ReactiveQuery[none, any]{ping, pong} {
				wg.Go(func() {
					sub, err := q.Subscribe(bg, none{})
					require.NoError(t, err)
					require.ErrorIs(t, sub.Current().Err, store.ErrQueryCycle)
				})
			}
			putFoe(t, foes, fmt.Sprint(i), 1)
			wg.Wait()
		}
		settleFoe(t, st)
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
		st, _ := openFoe(t, store.Options{})
		runs := 0
		q := defineFoe(t, st, "q", func(*store.QueryCtx, params) (int, error) { runs++; return 0, nil })
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
				subscribeFoe(t, q, p)
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
				st, foes := openFoe(t, store.Options{})
				runs := 0
				q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (any, error) {
					_, err := foes.In(q).Where().All()
					runs++
					return make(runs), err
				})
				sub := subscribeFoe(t, q, none{})
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
			st, foes := openFoe(t, store.Options{})
			q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) ([]store.Record, error) {
				if _, err := foes.In(q).Where().All(); err != nil {
					return nil, err
				}
				return foes.Dynamic().In(q).Where(store.Eq("kind", "k")).Select("kind").All()
			})
			putFoe(t, foes, "a", 1)
			sub := subscribeFoe(t, q, none{})
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
		st, foes := openFoe(t, store.Options{})
		var live atomic.Int64
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (*[1024]int, error) {
			f, _ := foes.In(q).Get("a")
			r := &[1024]int{f.N}
			live.Add(1)
			runtime.AddCleanup(r, func(n *atomic.Int64) { n.Add(-1) }, &live)
			return r, nil
		})
		sub := subscribeFoe(t, q, none{})
		ev := nextOf(t, sub)
		for round := range 5 {
			for i := range 100 {
				putFoe(t, foes, "a", 100*round+i+1)
				settleFoe(t, st)
			}
			was := ev.Seq
			ev = nextOf(t, sub)
			require.Equal(t, 100*round+100, ev.Result[0])
			require.Greater(t, ev.Seq, was)
			quiet(t, st, sub)
		}
		for i := 0; i < 50 && live.Load() > 3; i++ {
			runtime.GC()
			runtime.Gosched()
		}
		require.LessOrEqual(t, live.Load(), int64(3))
	})
}

// Every way in which a subscription ends; several goroutines wait for it.
func TestEnemySubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(*store.QueryCtx, none) (int, error) { return 1, nil })
		ctx, cancel := context.WithCancelCause(bg)
		byCtx, err := q.Subscribe(ctx, none{})
		require.NoError(t, err)
		byClose, byUndefine := subscribeFoe(t, q, none{}), subscribeFoe(t, q, none{})
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

// A bucket that is dropped and defined again: by name a query finds it, with a
// handle it does not, and does not try for ever.
func TestEnemyBucketDefinedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		putFoe(t, foes, "a", 1)
		var runs atomic.Int64
		deaf := defineFoe(t, st, "deaf", func(q *store.QueryCtx, _ none) (int, error) {
			runs.Add(1)
			list, _ := foes.In(q).Where().All()
			n, _ := foes.In(q).Count()
			return len(list) + n, nil
		})
		named := defineFoe(t, st, "named", func(q *store.QueryCtx, _ none) (int, error) {
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
		a, b := subscribeFoe(t, deaf, none{}), subscribeFoe(t, named, none{})
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
		settleFoe(t, st)
		require.Equal(t, 2, b.Current().Result)
		require.NoError(t, b.Current().Err)
		require.Equal(t, 2, spec.Load())
		require.LessOrEqual(t, runs.Load(), int64(3))
		quiet(t, st, a)
	})
}

// Close delivers what there is; after it everything says ErrClosed.
func TestEnemyClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
		sub := subscribeFoe(t, q, none{})
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
		require.NoError(t, st.Settle(bg))
		sub.Close()
	})
}

// Everything at once, from a seed; then every subscription has the value that a
// fresh run returns.
func TestEnemyStorm(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoe(t, store.Options{})
		q := defineFoe(t, st, "q", func(q *store.QueryCtx, kind string) (string, error) {
			list, err := foes.In(q).Where(store.Eq("kind", kind)).All()
			n, _ := foes.In(q).Where(store.Gt("n", 50)).Count()
			return fmt.Sprint(list, n), err
		})
		nested := defineFoe(t, st, "nested", func(q2 *store.QueryCtx, kind string) (string, error) {
			a, err := q.RunIn(q2, kind)
			if err != nil {
				return "", err
			}
			v, err := q2.Run("comes and goes", nil)
			return fmt.Sprint(a, v, err == nil), nil
		})
		other := defineFoe(t, st, "other", func(q *store.QueryCtx, kind string) (string, error) {
			b, err := q.Bucket("other")
			if err != nil {
				return "none", nil
			}
			list, err := b.Where(store.Eq("kind", kind)).All()
			return fmt.Sprint(list), err
		})
		queries := []*store.ReactiveQuery[string, string]{q, nested, other}
		var open sync.Map // *Subscription → func() (string, error)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(seed), uint64(g)))
				for range 250 {
					q, kind := queries[rng.IntN(3)], fmt.Sprint("k", rng.IntN(3))
					switch rng.IntN(12) {
					case 0, 1:
						if sub, err := q.Subscribe(bg, kind); err == nil {
							open.Store(sub, func() (string, error) { return q.Run(bg, kind) })
						}
					case 2:
						open.Range(func(k, _ any) bool { k.(*store.Subscription[string]).Close(); open.Delete(k); return false })
					case 3:
						stop, err := q.OnChange(bg, kind, func(string) { _, _ = foes.Get("0") })
						if err == nil {
							defer stop()
						}
					case 4:
						_, _ = q.Run(bg, kind)
					case 5:
						_, _ = store.Define[foe](bg, st, "other")
						if b, err := st.Bucket("other"); err == nil {
							_, _ = b.Upsert(bg, store.Fields{"id": fmt.Sprint(rng.IntN(5)), "kind": kind, "n": 1})
						}
					case 6:
						_ = st.DropBucket(bg, "other")
					case 7:
						_, _ = store.DefineQuery(st, "comes and goes", func(q *store.QueryCtx, _ none) (int, error) { return foes.In(q).Count() })
					case 8:
						_ = st.UndefineQuery("comes and goes")
					case 9:
						if rng.IntN(4) == 0 {
							ctx, cancel := context.WithTimeout(bg, 10*time.Second)
							_ = st.Settle(ctx)
							cancel()
						}
					default:
						_, _ = foes.Upsert(bg, foe{ID: fmt.Sprint(rng.IntN(20)), Kind: kind, N: rng.IntN(100)})
					}
				}
			})
		}
		wg.Wait()
		settleFoe(t, st)
		open.Range(func(k, run any) bool {
			sub := k.(*store.Subscription[string])
			want, err := run.(func() (string, error))()
			require.NoError(t, err)
			require.Equal(t, want, sub.Current().Result, "seed %d", seed)
			return true
		})
		for _, q := range queries { // from scratch, past all nodes
			snap := st.Snapshot()
			for i := range 3 {
				kind := fmt.Sprint("k", i)
				want, err := q.RunIn(snap, kind)
				require.NoError(t, err)
				got, err := q.Run(bg, kind)
				require.NoError(t, err)
				require.Equal(t, want, got, "seed %d, query %s", seed, q.Name())
			}
			snap.Close()
		}
	})
}

var errFoe = errors.New("foe")
