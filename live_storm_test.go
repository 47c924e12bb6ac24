package store_test

import (
	"context"
	"errors"
	"fmt"
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

// Whether live queries keep up while much happens at once.

// overtaking holds one evaluation until a commit has overtaken it.
type overtaking struct{ read, release chan none }

// liveStorm has writers change records that slow functions read, and reports
// whether a result was stale when all had settled. However the goroutines run, each
// round ends with an evaluation that a commit overtakes.
func liveStorm(t *testing.T, bug, rounds int) (stale bool) {
	s := openStore(t, store.Options{})
	plantLive(s, bug)
	b := defineNumbers(t, s, "b", store.Index{"n"})
	var held atomic.Pointer[overtaking]
	q := defineLive(t, s, "q", func(q *store.QueryCtx, n int) ([]store.Record, error) {
		list, err := b.In(q).Where(store.Gte("n", n)).All()
		for range 20 {
			runtime.Gosched() // others commit before this is over
		}
		if n == 0 {
			if o := held.Swap(nil); o != nil {
				close(o.read)
				<-o.release
			}
		}
		if rec, ok := b.In(q).Get(n); ok {
			list = append(list, rec)
		}
		return list, err
	})
	var subs []*store.Subscription[[]store.Record]
	for n := range 4 {
		subs = append(subs, subscribeLive(t, q, n))
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() {
				for i := range 20 {
					_, _ = b.Upsert(bg, store.Fields{"id": w*3 + i%3, "n": round + i})
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
		settleLive(t, s)
		o := &overtaking{make(chan none), make(chan none)}
		held.Store(o)
		putNumber(t, b, 6, 2*round+1)
		<-o.read
		putNumber(t, b, 6, 2*round+2)
		_, err := q.Run(bg, 1) // so the second commit is matched
		require.NoError(t, err)
		close(o.release)
		settleLive(t, s)
		for n, sub := range subs {
			stale = stale || liveShow(fromScratch(t, s, q, n)) != liveShow(sub.Current().Result)
		}
		if stale {
			return true
		}
	}
	return false
}

func TestLiveStorm(t *testing.T) {
	require.False(t, liveStorm(t, 0, 40))
	require.True(t, liveStorm(t, plantLostUpdate, 1), "the lost update was not found")
}

// Whatever an event shows of two buckets is of one commit: transfers between them
// leave the total as it is.
func TestLiveTransfers(t *testing.T) {
	s := openStore(t, store.Options{})
	const accounts, balance, transfers = 8, 100, 150
	var bs [2]*store.Bucket
	for i := range bs {
		bs[i] = defineNumbers(t, s, fmt.Sprint("b", i), store.Index{"n"})
		for id := range accounts {
			putNumber(t, bs[i], id, balance)
		}
	}
	ways := map[string]func(q *store.QueryCtx, b *store.Bucket) (int64, error){
		"sums": func(q *store.QueryCtx, b *store.Bucket) (int64, error) { return b.In(q).Where().SumInt("n") },
		"keys": func(q *store.QueryCtx, b *store.Bucket) (sum int64, err error) {
			for id := range accounts {
				rec, _ := b.In(q).Get(id)
				sum += rec.Get("n").(int64)
			}
			return sum, nil
		},
		"records": func(q *store.QueryCtx, b *store.Bucket) (sum int64, err error) {
			for rec := range b.In(q).All() {
				sum += rec.Get("n").(int64)
				runtime.Gosched()
			}
			return sum, nil
		},
		"order": func(q *store.QueryCtx, b *store.Bucket) (sum int64, err error) {
			list, err := b.In(q).OrderBy(store.Desc("n")).Limit(accounts).All()
			for _, rec := range list {
				sum += rec.Get("n").(int64)
			}
			return sum, err
		},
		"nested": func(q *store.QueryCtx, b *store.Bucket) (int64, error) {
			v, err := q.Run("half", b.Name())
			sum, _ := v.(int64)
			return sum, err
		},
	}
	defineLive(t, s, "half", func(q *store.QueryCtx, name string) (int64, error) {
		b, err := q.Bucket(name)
		if err != nil {
			return 0, err
		}
		return b.Where().SumInt("n")
	})
	// The halves are there so that each transfer is news.
	type halves struct{ A, B int64 }
	q := defineLive(t, s, "total", func(q *store.QueryCtx, way string) (h halves, err error) {
		if h.A, err = ways[way](q, bs[0]); err == nil {
			h.B, err = ways[way](q, bs[1])
		}
		return h, err
	})
	transfer := func(from, a, b int, n int64) error {
		return s.Transaction(bg, func(tx *store.Tx) error {
			return liveTransfer(bg, bs[from].In(tx), bs[1-from].In(tx), a, b, n)
		})
	}
	var events atomic.Int64
	next := func(ctx context.Context, way string, sub *store.Subscription[halves]) error {
		ev, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		events.Add(1)
		if sum := ev.Result.A + ev.Result.B; ev.Err != nil || sum != 2*accounts*balance {
			t.Errorf("%s: the total at %d is %d (%v)", way, ev.Seq, sum, ev.Err)
		}
		return nil
	}
	subs := map[string]*store.Subscription[halves]{}
	for way := range ways {
		subs[way] = subscribeLive(t, q, way)
		require.NoError(t, next(bg, way, subs[way]))
	}
	require.NoError(t, transfer(0, 0, 0, 1)) // alone: everybody must hear of it
	wait, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	for way, sub := range subs {
		require.NoError(t, next(wait, way, sub))
	}
	reading, stop := context.WithCancel(bg)
	defer stop()
	var readers, writers sync.WaitGroup
	for way, sub := range subs {
		readers.Go(func() {
			for next(reading, way, sub) == nil {
			}
		})
	}
	for w := range 3 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 6))
			for range transfers {
				err := transfer(r.IntN(2), r.IntN(accounts), r.IntN(accounts), r.Int64N(9)+1)
				var ce *store.ConflictError
				if err != nil && !errors.As(err, &ce) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	settleLive(t, s)
	stop()
	readers.Wait()
	require.Greater(t, events.Load(), int64(len(ways)))
	for way := range ways {
		h, err := q.Run(bg, way)
		require.NoError(t, err)
		require.Equal(t, int64(2*accounts*balance), h.A+h.B)
	}
}

func liveTransfer(ctx context.Context, from, to *store.Bucket, a, b int, n int64) error {
	for i, x := range []struct {
		h  *store.Bucket
		id int
	}{{from, a}, {to, b}} {
		rec, _ := x.h.Get(x.id)
		if _, err := x.h.Update(ctx, x.id, store.Fields{"n": rec.Get("n").(int64) + n*int64(2*i-1)}); err != nil {
			return err
		}
	}
	return nil
}

// Everything at once, from a seed; then every subscription has the value that a
// fresh run returns.
func TestEnemyStorm(t *testing.T) {
	seed := modelSeeds(t, 1)[0]
	t.Logf("STORE_SEED=%d", seed)
	synctest.Test(t, func(t *testing.T) {
		st, foes := openFoes(t, store.Options{})
		q := defineLive(t, st, "q", func(q *store.QueryCtx, kind string) (string, error) {
			list, err := foes.In(q).Where(store.Eq("kind", kind)).All()
			n, _ := foes.In(q).Where(store.Gt("n", 50)).Count()
			return fmt.Sprint(list, n), err
		})
		nested := defineLive(t, st, "nested", func(q2 *store.QueryCtx, kind string) (string, error) {
			a, err := q.RunIn(q2, kind)
			if err != nil {
				return "", err
			}
			v, err := q2.Run("comes and goes", nil)
			return fmt.Sprint(a, v, err == nil), nil
		})
		other := defineLive(t, st, "other", func(q *store.QueryCtx, kind string) (string, error) {
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
				rng := rand.New(rand.NewPCG(seed, uint64(g)))
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
		settleLive(t, st)
		open.Range(func(k, run any) bool {
			sub := k.(*store.Subscription[string])
			want, err := run.(func() (string, error))()
			require.NoError(t, err)
			require.Equal(t, want, sub.Current().Result, "seed %d", seed)
			return true
		})
		for _, q := range queries { // from scratch, past all nodes
			for i := range 3 {
				kind := fmt.Sprint("k", i)
				got, err := q.Run(bg, kind)
				require.NoError(t, err)
				require.Equal(t, fromScratch(t, st, q, kind), got, "seed %d, query %s", seed, q.Name())
			}
		}
	})
}
