package lincheck

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/noex-go/store"
)

type row struct {
	ID  int64 `store:"id,key"`
	Val int   `store:"val,index"`
	store.Meta
}

// run makes random calls from several goroutines and returns their history, with
// one counter as its clock.
type run struct {
	s     *store.Store
	b     *store.TypedBucket[row]
	clock atomic.Int64
	value atomic.Int64

	mu      sync.Mutex
	history []porcupine.Operation
	errs    []error
}

func (h *run) call(ctx context.Context, r *rand.Rand, client, keys int) {
	in := Input{Op: Op(r.IntN(len(opNames))), Key: 1 + r.IntN(keys)} // 0 counts as absent
	if in.Op >= Insert && in.Op != Delete {
		in.Val = int(h.value.Add(1))
	}
	begin := h.clock.Add(1)
	out, err := h.do(ctx, in)
	end := h.clock.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, porcupine.Operation{ClientId: client, Input: in, Call: begin, Output: out, Return: end})
	if err != nil {
		h.errs = append(h.errs, err)
	}
}

func (h *run) do(ctx context.Context, in Input) (out Output, err error) {
	key := int64(in.Key)
	switch in.Op {
	case Get:
		rec, ok := h.b.Get(key)
		return found(rec, ok), nil
	case TxGet:
		return store.InTransaction(ctx, h.s, func(tx *store.Tx) (Output, error) {
			runtime.Gosched()
			rec, ok := h.b.In(tx).Get(key)
			return found(rec, ok), nil
		})
	case Insert:
		rec, err := h.b.Insert(ctx, row{ID: key, Val: in.Val})
		if dup := new(store.UniqueError); errors.As(err, &dup) {
			return out, nil
		}
		return found(rec, err == nil), err
	case Update:
		old := 0
		rec, err := h.b.Update(ctx, key, func(rec *row) error { old, rec.Val = rec.Val, in.Val; return nil })
		if errors.Is(err, store.ErrNotFound) {
			return out, nil
		}
		out = found(rec, err == nil)
		out.Old = old
		return out, err
	case Upsert:
		rec, err := h.b.Upsert(ctx, row{ID: key, Val: in.Val})
		return found(rec, err == nil), err
	}
	return out, h.b.Delete(ctx, key)
}

func found(rec row, ok bool) Output {
	if !ok {
		return Output{}
	}
	return Output{Ok: true, Val: rec.Val, Version: uint64(rec.Version)}
}

func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64() >> 16
	if s := os.Getenv("STORE_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("STORE_SEED=%d", n)
	return n
}

func history(t *testing.T, seed uint64, clients, keys, each int) []porcupine.Operation {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := store.Define[row](ctx, s, "rows")
	if err != nil {
		t.Fatal(err)
	}
	h := &run{s: s, b: b}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			for range each {
				h.call(ctx, r, c, keys)
				if r.IntN(3) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(h.errs, s.Close(ctx))...); err != nil {
		t.Fatal(err)
	}
	return h.history
}

// TestLinearizable: every operation on a key takes effect at one moment between
// its call and its return.
func TestLinearizable(t *testing.T) {
	base := seed(t)
	for i := range uint64(10) {
		h := history(t, base+i, 4+int(i%5), 3, 250)
		switch porcupine.CheckOperationsTimeout(Model, h, 20*time.Second) {
		case porcupine.Illegal:
			t.Fatalf("round %d: the history is not linearizable", i)
		case porcupine.Unknown:
			t.Logf("round %d: the checker ran out of time", i)
		}
	}
}

// TestWrongHistory: a history in which one call tells something else is refused.
func TestWrongHistory(t *testing.T) {
	op := func(client int, call, ret int64, in Input, out Output) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: ret}
	}
	one, two := Output{Ok: true, Val: 1, Version: 1}, Output{Ok: true, Val: 2, Old: 1, Version: 2}
	insert := op(0, 1, 2, Input{Op: Insert, Val: 1}, one)
	update := op(0, 3, 6, Input{Op: Update, Val: 2}, two)
	stale, fresh := one, Output{Ok: true, Val: 2, Version: 2}
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		want bool
	}{
		"beside the update": {[]porcupine.Operation{insert, update, op(1, 4, 5, Input{Op: TxGet}, stale)}, true},
		"after the update":  {[]porcupine.Operation{insert, update, op(1, 7, 8, Input{Op: Get}, stale)}, false},
		"back in time": {[]porcupine.Operation{
			insert, op(0, 3, 9, Input{Op: Update, Val: 2}, two),
			op(1, 4, 5, Input{Op: Get}, fresh), op(1, 6, 7, Input{Op: TxGet}, stale),
		}, false},
		"lost update": {[]porcupine.Operation{insert, update, op(1, 4, 5, Input{Op: Update, Val: 3}, Output{Ok: true, Val: 3, Old: 1, Version: 2})}, false},
		"two inserts": {[]porcupine.Operation{insert, op(1, 1, 2, Input{Op: Insert, Val: 2}, Output{Ok: true, Val: 2, Version: 1})}, false},
	} {
		if got := porcupine.CheckOperations(Model, c.ops); got != c.want {
			t.Errorf("%s: linearizable is %v", name, got)
		}
	}
}

// TestWrongRead: of a history that was recorded, one read is made stale.
func TestWrongRead(t *testing.T) {
	h := history(t, seed(t), 4, 1, 200)
	for i, op := range h {
		in, out := op.Input.(Input), op.Output.(Output)
		if (in.Op == Get || in.Op == TxGet) && out.Ok {
			out.Val = -1
			h[i].Output = out
			break
		}
	}
	if porcupine.CheckOperations(Model, h) {
		t.Error("a wrong history passed")
	}
}
