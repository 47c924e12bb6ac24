package store_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// answer is what a Run came to.
type answer struct {
	n   int
	err error
}

// slow is a query whose function waits at each call until it is let go on, and
// how often it was called.
type slow struct {
	*store.ReactiveQuery[string, int]
	calls atomic.Int64
	gate  chan none
}

// defineSlow defines a query that reads a foe, at the start of a call, and then
// waits; what makes the rest of the answer.
func defineSlow(t *testing.T, st *store.Store, foes *store.TypedBucket[foe], then func(q *store.QueryCtx, n int) (int, error)) *slow {
	t.Helper()
	s := &slow{gate: make(chan none)}
	s.ReactiveQuery = defineLive(t, st, "slow", func(q *store.QueryCtx, id string) (int, error) {
		s.calls.Add(1)
		f, _ := foes.In(q).Get(id)
		select {
		case <-s.gate:
		case <-q.Context().Done():
			return 0, q.Context().Err()
		}
		if then == nil {
			return f.N, nil
		}
		return then(q, f.N)
	})
	return s
}

// run runs the query on another goroutine, and returns when all goroutines wait.
func (s *slow) run(ctx context.Context) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		ended := true
		defer func() {
			if ended {
				close(out)
			}
		}()
		n, err := s.Run(ctx, "a")
		ended = false
		out <- answer{n, err}
	}()
	synctest.Wait()
	return out
}

func inBubble(t *testing.T, opt store.Options, fn func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, opt)
		putFoe(t, foes, "a", 1)
		fn(t, st, foes)
	})
}

// Those who ask the same at the same time share one call.
func TestRunShared(t *testing.T) {
	inBubble(t, store.Options{}, func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe]) {
		q := defineSlow(t, st, foes, nil)
		var outs []<-chan answer
		for range 10 {
			outs = append(outs, q.run(bg))
		}
		close(q.gate)
		for _, out := range outs {
			require.Equal(t, answer{n: 1}, <-out)
		}
		require.EqualValues(t, 1, q.calls.Load())
		require.Equal(t, answer{n: 1}, <-q.run(bg))
		require.EqualValues(t, 2, q.calls.Load(), "an answer that was given before the call")
	})
}

// Nobody gets an answer from a state that is older than the call.
func TestRunAfterCommit(t *testing.T) {
	inBubble(t, store.Options{}, func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe]) {
		q := defineSlow(t, st, foes, nil)
		first := q.run(bg)
		putFoe(t, foes, "a", 2)
		second, third := q.run(bg), q.run(bg)
		require.EqualValues(t, 2, q.calls.Load())
		close(q.gate)
		require.Equal(t, answer{n: 1}, <-first)
		require.Equal(t, answer{n: 2}, <-second)
		require.Equal(t, answer{n: 2}, <-third)
		require.EqualValues(t, 2, q.calls.Load())
	})
}

// Nor from before a bucket was dropped, which is no commit.
func TestRunAfterDrop(t *testing.T) {
	inBubble(t, store.Options{}, func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe]) {
		q := defineSlow(t, st, foes, nil)
		first := q.run(bg)
		require.NoError(t, st.DropBucket(bg, "foes"))
		second := q.run(bg)
		require.EqualValues(t, 2, q.calls.Load())
		close(q.gate)
		require.Equal(t, answer{n: 1}, <-first)
		require.Equal(t, answer{}, <-second)
	})
}

// Who waits for another's call keeps to the own context; that of who called
// concerns no other.
func TestRunContexts(t *testing.T) {
	inBubble(t, store.Options{}, func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe]) {
		q := defineSlow(t, st, foes, nil)
		ctx1, cancel1 := context.WithCancel(bg)
		ctx2, cancel2 := context.WithCancel(bg)
		first, second, third, fourth := q.run(ctx1), q.run(ctx2), q.run(bg), q.run(bg)
		cancel2()
		require.ErrorIs(t, (<-second).err, context.Canceled)
		require.EqualValues(t, 1, q.calls.Load())
		cancel1()
		require.ErrorIs(t, (<-first).err, context.Canceled)
		synctest.Wait()
		require.EqualValues(t, 2, q.calls.Load(), "one of those who are left calls, for both")
		close(q.gate)
		require.Equal(t, answer{n: 1}, <-third)
		require.Equal(t, answer{n: 1}, <-fourth)
	})
}

// A panic, an error and the end of the goroutine reach all.
func TestRunFailures(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errFoe },
		"panic": func() error { panic(errFoe) },
		"end":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, store.Options{}, func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe]) {
				q := defineSlow(t, st, foes, func(*store.QueryCtx, int) (int, error) { return 0, fail() })
				first, second := q.run(bg), q.run(bg)
				q.gate <- none{}
				for _, out := range []<-chan answer{first, second} {
					a, ok := <-out
					if !ok && name == "end" && out == first {
						continue // it was that goroutine
					}
					if name == "error" {
						require.ErrorIs(t, a.err, errFoe)
						continue
					}
					var p *store.PanicError
					require.ErrorAs(t, a.err, &p)
				}
				require.EqualValues(t, 1, q.calls.Load())
				go func() { q.gate <- none{} }()
				third := q.run(bg)
				<-third
				require.EqualValues(t, 2, q.calls.Load(), "a run that is over is joined")
			})
		})
	}
}

// A time that has passed meanwhile is an old state too, also that of a query asked
// by the function.
func TestRunAfterTime(t *testing.T) {
	inBubble(t, store.Options{}, func(t *testing.T, st *store.Store, foes *store.TypedBucket[foe]) {
		clock := defineLive(t, st, "clock", func(q *store.QueryCtx, _ none) (int, error) { return int(q.Now(time.Second).Unix()), nil })
		q := &slow{gate: make(chan none)}
		q.ReactiveQuery = defineLive(t, st, "slow", func(c *store.QueryCtx, _ string) (int, error) {
			q.calls.Add(1)
			n, err := clock.RunIn(c, none{})
			<-q.gate
			return n, err
		})
		first := q.run(bg)
		time.Sleep(time.Minute)
		second := q.run(bg)
		q.gate <- none{}
		was := <-first
		synctest.Wait()
		require.EqualValues(t, 2, q.calls.Load())
		q.gate <- none{}
		require.Equal(t, answer{n: was.n + 60}, <-second)
	})
}

// TestRunStorm runs a query from several goroutines while another one writes: each
// answer is at least what was written before the call.
func TestRunStorm(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	putFoe(t, foes, "a", 0)
	q := defineLive(t, st, "n", func(q *store.QueryCtx, id string) (int, error) {
		f, _ := foes.In(q).Get(id)
		runtime.Gosched()
		return f.N, nil
	})
	const last = 2000
	var written atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for written.Load() < last {
				least := written.Load()
				ctx, cancel := context.WithCancel(bg)
				if least%7 == 0 {
					go cancel()
				}
				n, err := q.Run(ctx, "a")
				cancel()
				if err != nil && ctx.Err() == nil || err == nil && int64(n) < least {
					t.Errorf("%d, %v after %d", n, err, least)
					return
				}
			}
		})
	}
	for i := 1; i <= last; i++ {
		putFoe(t, foes, "a", i)
		written.Store(int64(i))
	}
	wg.Wait()
}
