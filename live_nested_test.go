package store_test

import (
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

// Queries that ask for one another.

// A value that a function has read of another one and that changes without a
// commit, because a bucket is dropped or defined, or because time has passed, is
// read again, although both were evaluated at the same commit.
func TestLiveChildChangesWithoutCommit(t *testing.T) {
	s := openStore(t, store.Options{})
	defineNumbers(t, s, "b")
	child := defineLive(t, s, "child", func(q *store.QueryCtx, _ none) (string, error) {
		if _, err := q.Bucket("b"); err != nil {
			return "dropped", nil
		}
		return "there", nil
	})
	parent := defineLive(t, s, "parent", func(q *store.QueryCtx, _ none) (string, error) { return child.RunIn(q, none{}) })
	sub := subscribeLive(t, parent, none{})
	require.Equal(t, "there", sub.Current().Result)
	require.NoError(t, s.DropBucket(bg, "b"))
	settleLive(t, s)
	require.Equal(t, "dropped", sub.Current().Result)
}

// The same with the time.
func TestLiveChildReadsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, store.Options{TTLInterval: -1})
		child := defineLive(t, s, "child", func(q *store.QueryCtx, _ none) (int64, error) { return q.Now(time.Minute).Unix(), nil })
		parent := defineLive(t, s, "parent", func(q *store.QueryCtx, _ none) (int64, error) { return child.RunIn(q, none{}) })
		sub := subscribeLive(t, parent, none{})
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		settleLive(t, s)
		require.Equal(t, time.Now().Truncate(time.Minute).Unix(), sub.Current().Result)
	})
}

// A query that another one asks is told of a dropped bucket, its parent is not:
// the child comes out otherwise at the same sequence.
func TestEnemyParentHearsOfDroppedBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		putFoe(t, foes, "a", 1)
		child := defineLive(t, st, "child", func(q *store.QueryCtx, _ none) (int, error) {
			b, err := q.Bucket("foes")
			if err != nil {
				return -1, nil
			}
			return b.Count()
		})
		parent := defineLive(t, st, "parent", func(q *store.QueryCtx, _ none) (int, error) { return child.RunIn(q, none{}) })
		sub := subscribeLive(t, parent, none{})
		require.Equal(t, 1, nextOf(t, sub).Result)
		require.NoError(t, st.DropBucket(bg, "foes"))
		settleLive(t, st)
		fresh, err := child.Run(bg, none{})
		require.NoError(t, err)
		require.Equal(t, -1, fresh)
		require.Equal(t, fresh, sub.Current().Result, "the parent was not told")
	})
}

// A nested query that was overtaken while it was evaluated for the first time, so
// that nobody wanted it yet, is evaluated again once it is read.
func TestLiveChildOvertakenBeforeItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, store.Options{TTLInterval: -1})
		b := defineNumbers(t, s, "b")
		gate := make(chan none)
		child := defineLive(t, s, "child", func(q *store.QueryCtx, _ none) (bool, error) {
			_, ok := b.In(q).Get(2)
			<-gate
			return ok, nil
		})
		parent := defineLive(t, s, "parent", func(q *store.QueryCtx, _ none) (bool, error) {
			if _, ok := b.In(q).Get(1); !ok {
				return false, nil
			}
			return child.RunIn(q, none{})
		})
		sub := subscribeLive(t, parent, none{})
		putNumber(t, b, 1, 0)
		synctest.Wait() // the child has read, and waits
		putNumber(t, b, 2, 0)
		synctest.Wait() // the commit is matched
		close(gate)
		settleLive(t, s)
		require.True(t, sub.Current().Result)
	})
}

// A function that asks another one gets its answer at the function's own commit,
// although what that answer was made of has changed twice since, and is as it was.
func TestLiveChildAtOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, store.Options{TTLInterval: -1})
		b := defineNumbers(t, s, "b")
		block, gate := make(chan none), make(chan none)
		blocker := defineLive(t, s, "blocker", func(q *store.QueryCtx, n int) (bool, error) {
			_, ok := b.In(q).Get(100)
			if ok {
				<-block
			}
			return ok, nil
		})
		count := defineLive(t, s, "count", func(q *store.QueryCtx, _ none) (int, error) { return b.In(q).Count(store.Eq("id", 7)) })
		type both struct {
			There bool
			Count int
		}
		results := make(chan both, 8)
		torn := defineLive(t, s, "both", func(q *store.QueryCtx, _ none) (both, error) {
			_, ok := b.In(q).Get(7)
			<-gate
			n, err := count.RunIn(q, none{})
			results <- both{ok, n} // the first is overtaken, and may be before anybody looks at it
			return both{ok, n}, err
		})
		subscribeLive(t, count, none{})
		for n := range runtime.GOMAXPROCS(0) { // so that no worker is left for a while
			subscribeLive(t, blocker, n)
		}
		putNumber(t, b, 100, 0)
		synctest.Wait()
		putNumber(t, b, 7, 0) // the count waits for a worker
		done := make(chan none)
		go func() {
			defer close(done)
			if _, err := torn.Subscribe(bg, none{}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait() // that has read number 7
		require.NoError(t, b.Delete(bg, 7))
		time.Sleep(time.Second) // the count is evaluated, and is 0 as before
		close(gate)
		<-done
		close(block)
		require.Equal(t, both{true, 1}, <-results)
	})
}

// A function gets the same error, or panic, of a nested one whether it is live or
// called at a snapshot.
func TestLiveNestedFailureIsTheSame(t *testing.T) {
	s := openStore(t, store.Options{})
	child := defineLive(t, s, "child", func(_ *store.QueryCtx, panics bool) (string, error) {
		if panics {
			panic("no")
		}
		return "", errors.New("no")
	})
	parent := defineLive(t, s, "parent", func(q *store.QueryCtx, panics bool) (string, error) {
		_, err := child.RunIn(q, panics)
		var pe *store.PanicError
		if errors.As(err, &pe) {
			return "it panicked", nil
		}
		return err.Error(), nil
	})
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprintf("panics=%v", panics), func(t *testing.T) {
			sub := subscribeLive(t, parent, panics)
			require.Equal(t, sub.Current().Result, fromScratch(t, s, parent, panics))
		})
	}
}

// The node at the end of a chain that is too deep keeps that failure for
// subscribers to whom it is not too deep.
func TestEnemyTooDeepIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		var down *store.ReactiveQuery[int, int]
		down = defineLive(t, st, "down", func(q *store.QueryCtx, n int) (int, error) {
			if n == 0 {
				return 0, nil
			}
			v, err := down.RunIn(q, n-1)
			return v + 1, err
		})
		deep := subscribeLive(t, down, 100)
		require.Error(t, nextOf(t, deep).Err)
		fresh, err := down.Run(bg, 40)
		require.NoError(t, err)
		require.Equal(t, 40, fresh)
		ev := nextOf(t, subscribeLive(t, down, 40))
		require.NoError(t, ev.Err, "a subscriber gets what was too deep for another one")
		require.Equal(t, 40, ev.Result)
	})
}

// The outcome that a member of a cycle has when it is asked by another member is
// kept as its own.
func TestEnemyCycleIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := openFoes(t, store.Options{})
		defineLive(t, st, "a", func(q *store.QueryCtx, _ none) (string, error) {
			v, err := q.Run("b", nil)
			if err != nil {
				v = "-"
			}
			return fmt.Sprint("a", v), nil
		})
		b := defineLive(t, st, "b", func(q *store.QueryCtx, _ none) (string, error) {
			v, err := q.Run("a", nil)
			if err != nil {
				v = "-"
			}
			return fmt.Sprint("b", v), nil
		})
		_, err := st.Subscribe(bg, "a", nil, func(any) {})
		require.NoError(t, err)
		sub := subscribeLive(t, b, none{})
		require.Equal(t, "ba-", nextOf(t, sub).Result, "what a query run from scratch returns")
	})
}

// Queries that ask for themselves, and for one another from both ends.
func TestEnemyCycles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		self := defineLive(t, st, "self", func(q *store.QueryCtx, _ none) (any, error) { return q.Run("self", nil) })
		require.ErrorIs(t, nextOf(t, subscribeLive(t, self, none{})).Err, store.ErrQueryCycle)
		_, err := self.Run(bg, none{})
		require.ErrorIs(t, err, store.ErrQueryCycle)
		var on *store.ReactiveQuery[int, int]
		on = defineLive(t, st, "on", func(q *store.QueryCtx, n int) (int, error) { return on.RunIn(q, n+1) })
		require.Error(t, nextOf(t, subscribeLive(t, on, 0)).Err)
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
		ping, pong := defineLive(t, st, "ping", both("pong")), defineLive(t, st, "pong", both("ping"))
		for i := range 20 {
			var wg sync.WaitGroup
			for _, q := range []*store.ReactiveQuery[none, any]{ping, pong} {
				wg.Go(func() {
					sub := subscribeLive(t, q, none{})
					require.ErrorIs(t, sub.Current().Err, store.ErrQueryCycle)
				})
			}
			putFoe(t, foes, fmt.Sprint(i), 1)
			wg.Wait()
		}
		settleLive(t, st)
	})
}

// Several goroutines of one function read and ask at the same time.
func TestEnemyParallelFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		one := defineLive(t, st, "one", func(q *store.QueryCtx, id string) (int, error) {
			f, _ := foes.In(q).Get(id)
			return f.N, nil
		})
		sum := defineLive(t, st, "sum", func(q *store.QueryCtx, _ none) (int, error) {
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
		sub := subscribeLive(t, sum, none{})
		require.Equal(t, 0, nextOf(t, sub).Result)
		for i := range 4 {
			putFoe(t, foes, fmt.Sprint(i), 1)
			settleLive(t, st)
			require.Equal(t, 8*(i+1), sub.Current().Result)
		}
	})
}
