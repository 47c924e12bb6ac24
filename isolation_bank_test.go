package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// bank is accounts in two buckets; transfers keep the total.
type bank struct {
	s       *store.Store
	buckets [2]*store.TypedBucket[txAccount]
	findings

	// Of the subscriber's goroutine, until it has stopped.
	last  store.Seq
	delta int64
}

const (
	bankAccounts = 4 // per bucket
	bankTotal    = 2 * bankAccounts * 100
)

func newBank(t *testing.T, plant func(*store.Store)) *bank {
	t.Helper()
	ctx := context.Background()
	w := &bank{s: isolationStore(t, plant)}
	for i := range w.buckets {
		b, err := store.Define[txAccount](ctx, w.s, fmt.Sprint("bank", i))
		require.NoError(t, err)
		for k := range bankAccounts {
			_, err := b.Insert(ctx, txAccount{ID: fmt.Sprint(k), Region: "north", Balance: 100})
			require.NoError(t, err)
		}
		w.buckets[i] = b
	}
	return w
}

// move adds to a balance, by one of several ways.
func (w *bank) move(ctx context.Context, r *rand.Rand, tx *store.Tx, bucket, account, amount int) error {
	b, id := w.buckets[bucket].In(tx), fmt.Sprint(account)
	switch r.IntN(4) {
	case 0:
		_, err := b.Update(ctx, id, func(a *txAccount) error { a.Balance += amount; return nil })
		return err
	case 1:
		rec, _ := b.Dynamic().Get(id)
		yield(r)
		_, err := b.Dynamic().Update(ctx, id, store.Fields{"balance": rec.Get("balance").(int64) + int64(amount)})
		return err
	case 2:
		rec, _, err := b.Where(store.Eq("id", id)).First()
		if err != nil {
			return err
		}
		rec.Balance += amount
		_, err = b.Upsert(ctx, rec)
		return err
	default: // the account moves out and in again
		rec, _ := b.Get(id)
		if err := b.Delete(ctx, id); err != nil {
			return err
		}
		yield(r)
		_, err := b.Insert(ctx, txAccount{ID: id, Region: "south", Balance: rec.Balance + amount})
		return err
	}
}

func (w *bank) transfer(ctx context.Context, r *rand.Rand) {
	var opts []store.TxOption
	if r.IntN(2) == 0 {
		opts = append(opts, store.Retry(r.IntN(5)))
	}
	if r.IntN(3) == 0 {
		opts = append(opts, store.SnapshotIsolation)
	}
	amount := r.IntN(20) + 1
	from, to := r.IntN(2*bankAccounts), r.IntN(2*bankAccounts)
	w.unexpected(w.s.Transaction(ctx, func(tx *store.Tx) error {
		if err := w.move(ctx, r, tx, from/bankAccounts, from%bankAccounts, -amount); err != nil {
			return err
		}
		yield(r)
		return w.move(ctx, r, tx, to/bankAccounts, to%bankAccounts, amount)
	}, opts...))
}

// audit adds everything up through one reader.
func (w *bank) audit(r *rand.Rand, at store.Reader, what string) {
	total := 0
	form := r.IntN(4)
	for _, b := range w.buckets {
		yield(r)
		switch b := b.In(at); form {
		case 0:
			sum, err := b.Sum("balance")
			w.unexpected(err)
			total += int(sum)
		case 1:
			for a := range b.All() {
				total += a.Balance
			}
		case 2:
			for k := range bankAccounts {
				a, _ := b.Get(fmt.Sprint(k))
				total += a.Balance
				yield(r)
			}
		default:
			groups, err := b.GroupBy("region").Sum("balance")
			w.unexpected(err)
			for _, g := range groups {
				total += int(g.Value)
			}
		}
		if n, err := b.Count(); err != nil || n != bankAccounts {
			w.add("%s: %d accounts (%v)", what, n, err)
		}
	}
	if total != bankTotal {
		w.add("%s, form %d: total %d", what, form, total)
	}
}

// event checks that the events of a commit come together and keep the total.
func (w *bank) event(e store.Event) {
	if e.Err != nil {
		w.add("event: %v", e.Err)
		return
	}
	switch {
	case e.Seq < w.last:
		w.add("events of %d after those of %d", e.Seq, w.last)
	case e.Seq > w.last && w.delta != 0:
		w.add("the events of %d change the total by %d", w.last, w.delta)
	}
	if e.Seq != w.last {
		w.last, w.delta = e.Seq, 0
	}
	if !e.New.IsZero() {
		w.delta += e.New.Get("balance").(int64)
	}
	if !e.Old.IsZero() {
		w.delta -= e.Old.Get("balance").(int64)
	}
}

func bankRound(t *testing.T, seed uint64, plant func(*store.Store), each int) []string {
	t.Helper()
	ctx := context.Background()
	w := newBank(t, plant)
	_, err := w.s.On("bucket.*.*", w.event)
	require.NoError(t, err)
	together(6, func(i int) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for range each {
			switch {
			case i < 4:
				w.transfer(ctx, r)
			case r.IntN(2) == 0:
				snap := w.s.Snapshot()
				w.audit(r, snap, "snapshot")
				snap.Close()
			default:
				w.unexpected(w.s.Transaction(ctx, func(tx *store.Tx) error {
					w.audit(r, tx, "read-only transaction")
					return nil
				}))
			}
		}
	})
	require.NoError(t, w.s.Settle(ctx))
	if plant == nil {
		require.NoError(t, store.CheckTables(w.s))
	}
	snap := w.s.Snapshot()
	w.audit(rand.New(rand.NewPCG(seed, 100)), snap, "end")
	snap.Close()
	require.NoError(t, w.s.Close(ctx))
	if w.delta != 0 {
		w.add("the last events change the total by %d", w.delta)
	}
	return w.list
}

func TestIsolationBank(t *testing.T) {
	seed := isolationSeed(t)
	for i := range isolationRounds(40) {
		require.Empty(t, bankRound(t, seed+uint64(i), nil, 150), "STORE_SEED=%d, round %d", seed, i)
	}
}

// TestIsolationRealTime: a transaction that begins after another one's call has
// returned sees its writes, in whichever bucket they are.
func TestIsolationRealTime(t *testing.T) {
	ctx := context.Background()
	seed := isolationSeed(t)
	s := openStore(t, store.Options{})
	bs := []*store.TypedBucket[counter]{counters(t, s, "a"), counters(t, s, "b")}
	const workers = 8
	var done [workers]atomic.Int64
	var f findings
	together(workers, func(i int) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for n := range isolationRounds(3000) {
			var floor [workers]int64
			for j := range done {
				floor[j] = done[j].Load()
			}
			err := s.Transaction(ctx, func(tx *store.Tx) error {
				j := r.IntN(workers)
				for _, b := range bs {
					if c, _ := b.In(tx).Get(fmt.Sprint(j)); int64(c.N) < floor[j] {
						f.add("%d began after %d of %d was done and saw %d", i, floor[j], j, c.N)
					}
				}
				if r.IntN(4) == 0 {
					return nil
				}
				for _, b := range bs {
					if _, err := b.In(tx).Upsert(ctx, counter{ID: fmt.Sprint(i), N: n + 1}); err != nil {
						return err
					}
				}
				return nil
			})
			f.unexpected(err)
			if c, _ := bs[0].Get(fmt.Sprint(i)); err == nil && c.N == n+1 {
				done[i].Store(int64(n + 1))
			}
			yield(r)
		}
	})
	require.Empty(t, f.list)
}

// plantedFor bounds the search for a planted defect.
const plantedFor = 5 * time.Second

// TestIsolationFindsPlanted holds that the workloads find the defects that they
// are there for, also where nothing runs at the same time.
func TestIsolationFindsPlanted(t *testing.T) {
	bugs := map[string]func(*store.Store){
		"keys only": func(s *store.Store) { store.PlantBug(s, store.BugKeysOnly) },
		"early":     func(s *store.Store) { store.PlantBug(s, store.BugEarly) },
		"half":      func(s *store.Store) { store.PlantBug(s, store.BugHalf) },
	}
	workloads := map[string]func(t *testing.T, seed uint64, plant func(*store.Store)) []string{
		"lists": func(t *testing.T, seed uint64, plant func(*store.Store)) []string {
			return listRound(t, seed, plant, 80)
		},
		"predicates": func(t *testing.T, seed uint64, plant func(*store.Store)) []string {
			return skewRound(t, seed, plant, "index", 100)
		},
		"bank": func(t *testing.T, seed uint64, plant func(*store.Store)) []string {
			return bankRound(t, seed, plant, 150)
		},
	}
	finds := map[string][]string{
		"keys only": {"lists", "predicates"}, "early": {"lists", "bank"}, "half": {"lists", "bank"},
	}
	for _, procs := range []int{1, runtime.GOMAXPROCS(0)} {
		for bug, plant := range bugs {
			for _, name := range finds[bug] {
				t.Run(fmt.Sprintf("%s by %s on %d", bug, name, procs), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					findPlanted(t, func(seed uint64) []string { return workloads[name](t, seed, plant) })
				})
			}
		}
	}
}

func findPlanted(t *testing.T, round func(seed uint64) []string) {
	t.Helper()
	seed := isolationSeed(t)
	for start, n := time.Now(), uint64(0); ; n++ {
		if found := round(seed + n); len(found) > 0 {
			t.Logf("round %d, after %v: %.300s", n, time.Since(start), found[0])
			return
		}
		if time.Since(start) > plantedFor {
			require.FailNow(t, "nothing found", "STORE_SEED=%d, %d rounds", seed, n+1)
		}
	}
}
