package store_test

import (
	"context"
	"errors"
	"fmt"
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

var errFoe = errors.New("foe")

var _ sync.Mutex
var _ = errFoe
