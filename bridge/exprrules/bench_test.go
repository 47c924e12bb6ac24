package exprrules_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge/exprrules"
)

// event returns an event of an update of a product, as a bridge would bring it.
func event(tb testing.TB, s *store.Store) store.Event {
	tb.Helper()
	var last store.Event
	stop, err := s.On("bucket.products.updated", func(e store.Event) { last = e })
	require.NoError(tb, err)
	defer stop()
	insert(tb, s, "products", store.Fields{"id": "p", "name": "nail", "stock": 7, "price": 1.5, "tags": []any{"a", "b"}})
	_, err = bucket(tb, s, "products").Patch(context.Background(), "p", store.Fields{"stock": 20})
	require.NoError(tb, err)
	require.NoError(tb, s.Settle(context.Background()))
	require.Equal(tb, store.Updated, last.Type)
	return last
}

// BenchmarkJudge is what one event costs in the engine's worker: with rules about
// other buckets only, with rules whose conditions do not hold, with one that looks
// into the store, and with one that fires.
func BenchmarkJudge(b *testing.B) {
	var others, conditions []exprrules.Rule
	for i := range 1000 {
		others = append(others, rule(fmt.Sprint("other", i), "bucket.orders.*", "new?.amount == 3", logs(`"x"`)))
	}
	for i := range 10 {
		conditions = append(conditions, rule(fmt.Sprint("c", i), "bucket.products.updated", fmt.Sprintf("new.stock < new.minimum and old.stock > %d", i), logs(`"x"`)))
	}
	for _, c := range []struct {
		name  string
		rules []exprrules.Rule
	}{
		{"no-rules", nil},
		{"1000-rules-elsewhere", others},
		{"1-condition-false", conditions[:1]},
		{"10-conditions-false", conditions},
		{"1-lookup-false", []exprrules.Rule{rule("r", "bucket.products.updated", `exists("orders", {product: new.id})`, logs(`"x"`))}},
		{"1-lookup-guarded", []exprrules.Rule{rule("r", "bucket.products.updated", `new.stock < new.minimum and exists("orders", {product: new.id})`, logs(`"x"`))}},
		{"1-fires", []exprrules.Rule{rule("r", "bucket.products.updated", `new.stock > 3`, exprrules.Step{Upsert: "totals", Set: map[string]any{"product": "new.id", "amount": "new.stock"}})}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newShop(b)
			ev := event(b, s)
			e, err := exprrules.New(s, exprrules.Options{})
			require.NoError(b, err)
			require.NoError(b, e.Load(c.rules))
			ctx, topic := context.Background(), ev.Topic()
			b.ReportAllocs()
			for b.Loop() {
				ev.Seq++
				if err := e.EmitEvent(ctx, topic, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoad is a thousand rules, compiled and checked.
func BenchmarkLoad(b *testing.B) {
	s := newShop(b)
	e, err := exprrules.New(s, exprrules.Options{})
	require.NoError(b, err)
	var rules []exprrules.Rule
	for i := range 1000 {
		rules = append(rules, rule(fmt.Sprint("r", i), "bucket.products.updated", `new.stock < new.minimum and not exists("orders", {product: new.id})`, logs(`"low on " + new.name`)))
	}
	for b.Loop() {
		require.NoError(b, e.Load(rules))
	}
}
