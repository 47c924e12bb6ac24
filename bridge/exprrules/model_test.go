package exprrules_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge/exprrules"
)

// TestTotalsAgainstModel: rules keep the total of the orders of each product, while
// writers insert, change and delete orders, and others touch the totals, which brings
// the rules' transactions into conflict. At rest the totals are those that are counted
// from scratch.
func TestTotalsAgainstModel(t *testing.T) {
	r := random(t)
	s := newShop(t)
	add := func(product, amount string) exprrules.Step {
		return exprrules.Step{Upsert: "totals", Set: map[string]any{
			"product": product, "amount": fmt.Sprintf(`(get("totals", %s)?.amount ?? 0) + (%s)`, product, amount),
		}}
	}
	e, b := start(t, s, exprrules.Options{Retries: 1000, OnError: func(err error) { t.Errorf("%v", err) }},
		rule("in", "bucket.orders.inserted", "", add("new.product", "new.amount")),
		rule("out", "bucket.orders.deleted", "", add("old.product", "-old.amount")),
		rule("moved", "bucket.orders.updated", "old.product != new.product", add("old.product", "-old.amount"), add("new.product", "new.amount")),
		rule("changed", "bucket.orders.updated", "old.product == new.product and old.amount != new.amount", add("new.product", "new.amount - old.amount")),
	)
	orders, totals := bucket(t, s, "orders"), bucket(t, s, "totals")
	done := make(chan error, 4)
	for w := range 3 {
		rnd := rand.New(rand.NewPCG(r.Uint64(), 0))
		go func() { done <- trade(orders, rnd, w*1000) }()
	}
	rnd := rand.New(rand.NewPCG(r.Uint64(), 0))
	go func() { // in the way
		for range 300 {
			err := s.Transaction(context.Background(), func(tx *store.Tx) error {
				key := fmt.Sprint("p", rnd.IntN(4))
				if rec, ok := totals.In(tx).Get(key); ok {
					_, err := totals.In(tx).Update(context.Background(), key, store.Fields{"amount": rec.Get("amount").(int64) + 0})
					return err
				}
				return nil
			}, store.Retry(1000))
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 4 {
		require.NoError(t, <-done)
	}
	settle(t, s, b)
	want, got := map[string]int64{}, map[string]int64{}
	for rec := range orders.All() {
		want[rec.Get("product").(string)] += rec.Get("amount").(int64)
	}
	for rec := range totals.All() {
		if n := rec.Get("amount").(int64); n != 0 {
			got[rec.Get("product").(string)] = n
		}
	}
	for product, n := range want {
		if n == 0 {
			delete(want, product)
		}
	}
	require.Equal(t, want, got)
	require.Zero(t, e.Stats().Failed)
	require.Positive(t, e.Stats().Fired)
}

// trade writes orders at random.
func trade(orders *store.Bucket, r *rand.Rand, from int) error {
	ctx := context.Background()
	for i := range 200 {
		id := from + 1 + r.IntN(40)
		fields := store.Fields{"id": id, "product": fmt.Sprint("p", r.IntN(4)), "amount": r.IntN(100)}
		var err error
		switch r.IntN(4) {
		case 0:
			err = orders.Delete(ctx, id)
		case 1:
			_, err = orders.Update(ctx, id, fields)
			if errors.Is(err, store.ErrNotFound) {
				err = nil
			}
		default:
			_, err = orders.Upsert(ctx, fields)
		}
		if err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
	}
	return nil
}

// FuzzParse: whatever a file has in it, it comes to rules or to a *LoadError whose
// problems have a place, and rules come to be loaded or to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(shopRules))
	f.Add([]byte(`{"rules": [{"name": "a", "when": "bucket.log.*", "if": "count(\"log\", {n: {\"$in\": [1]}}) > 0", "then": [{"do": "x"}]}]}`))
	f.Add([]byte("rules:\n- name: &a b\n  then: *a"))
	f.Add([]byte("rules: [{name: a, when: bucket.log.inserted, then: [{insert: log, set: {text: |\n x}}]}]"))
	s := newShop(f)
	e, err := exprrules.New(s, exprrules.Options{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := exprrules.Parse(data)
		if err == nil {
			err = e.Load(rules)
		}
		if err == nil {
			return
		}
		var le *exprrules.LoadError
		require.ErrorAs(t, err, &le)
		require.NotEmpty(t, le.Error())
		require.True(t, le.Err != nil || len(le.Problems) > 0)
		for _, p := range le.Problems {
			require.Positive(t, p.Line)
			require.Positive(t, p.Column)
			require.NotEmpty(t, p.Message)
		}
	})
}

// FuzzCondition: an expression is refused, or judges an event, or fails to: it never
// gets past the engine.
func FuzzCondition(f *testing.F) {
	for _, src := range []string{
		`new.stock < new.minimum and not exists("orders", {product: new.id})`,
		`any(find("orders", {amount: {"$in": new.tags}}), .amount > 1) or get("totals", new.id)?.amount == nil`,
		`let x = old ?? {}; keys(x)[0] == "a" ? new.since < now() : count("log") > len(new)`,
		`new.name matches "a+" and new.tags[1:] == [1.5] and event.key in new.more`,
	} {
		f.Add(src)
	}
	s := newShop(f)
	e, err := exprrules.New(s, exprrules.Options{TraceSize: -1})
	require.NoError(f, err)
	data := map[string]any{
		"type": "updated", "bucket": "products", "key": "p", "seq": 1, "oldRecord": map[string]any{},
		"newRecord": map[string]any{"id": "p", "stock": int64(2), "tags": []any{int64(1)}, "more": map[string]any{"a": 1.5}},
	}
	f.Fuzz(func(t *testing.T, cond string) {
		r := rule("r", "bucket.products.updated", cond, exprrules.Step{Run: nothing})
		if err := e.Load([]exprrules.Rule{r}); err != nil {
			var le *exprrules.LoadError
			require.ErrorAs(t, err, &le)
			return
		}
		if err := e.Emit(t.Context(), "t", data); err != nil {
			var re *exprrules.RuleError
			require.ErrorAs(t, err, &re)
			require.Equal(t, "if", re.Part)
		}
	})
}
