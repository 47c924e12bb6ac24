package exprrules_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge/exprrules"
)

// TestRuleTriggersItself: it ends at the limit, with an error that has the chain.
func TestRuleTriggersItself(t *testing.T) {
	for _, c := range []struct{ depth, fired int }{{0, 16}, {1, 1}, {3, 3}} {
		t.Run(fmt.Sprint(c.depth), func(t *testing.T) {
			s := newShop(t)
			var heard reports
			e, b := start(t, s, exprrules.Options{MaxDepth: c.depth, OnError: heard.add},
				rule("again", "bucket.log.inserted", "", logs(`new.text + "."`)))
			insert(t, s, "log", store.Fields{"text": ""})
			settle(t, s, b)
			require.Len(t, texts(t, s), c.fired+1)
			require.Len(t, heard.list(), 1)
			var de *exprrules.DepthError
			require.ErrorAs(t, heard.list()[0], &de)
			require.Equal(t, "again", de.Rule)
			require.Len(t, de.Chain, c.fired)
			for i, cause := range de.Chain {
				require.Equal(t, exprrules.Cause{Rule: "again", Seq: store.Seq(i + 1)}, cause)
			}
			require.Equal(t, exprrules.Stats{Rules: 1, Loads: 1, Events: int64(c.fired + 1), Fired: int64(c.fired), Stopped: 1}, e.Stats())
			last := e.Trace()[len(e.Trace())-1]
			require.Equal(t, exprrules.Stopped, last.Outcome)
			require.Zero(t, last.Commit)

			// It ends the chain, not the rule.
			insert(t, s, "log", store.Fields{"text": "new"})
			settle(t, s, b)
			require.Len(t, heard.list(), 2)
		})
	}
}

// TestNoLimit: who asks for none gets none.
func TestNoLimit(t *testing.T) {
	s := newShop(t)
	e, b := start(t, s, exprrules.Options{MaxDepth: -1}, rule("again", "bucket.log.inserted", "len(new.text) < 100", logs(`new.text + "."`)))
	insert(t, s, "log", store.Fields{"text": ""})
	settle(t, s, b)
	require.Len(t, texts(t, s), 101)
	require.Zero(t, e.Stats().Stopped)
}

// TestCycle of rules, through an update, a lookup in the condition, and an action in
// Go; a rule beside it, whose condition does not hold, is not stopped.
func TestCycle(t *testing.T) {
	s := newShop(t)
	var heard reports
	var chains [][]exprrules.Cause
	e, b := start(t, s, exprrules.Options{MaxDepth: 5, OnError: heard.add},
		rule("there", "bucket.products.*", `new != nil and exists("products")`, exprrules.Step{Upsert: "totals", Set: map[string]any{"product": "new.id", "amount": "new.stock"}}),
		rule("back", "bucket.totals.*", "", exprrules.Step{Run: func(ctx context.Context, f *exprrules.Firing) error {
			chains = append(chains, f.Chain)
			_, err := bucket(t, s, "products").In(f.Tx).Update(ctx, f.Key, store.Fields{"stock": f.New["amount"].(int64) + 1})
			return err
		}}),
		rule("never", "bucket.*.*", "new?.stock == -1", logs(`"never"`)),
		rule("no look", "bucket.products.*", `exists("orders")`, logs(`"never"`)),
	)
	insert(t, s, "products", store.Fields{"id": "p", "stock": 0})
	settle(t, s, b)
	require.Len(t, heard.list(), 1)
	require.ErrorContains(t, heard.list()[0], `there → back → there → back → there`)
	require.Len(t, chains, 2)
	require.Equal(t, []exprrules.Cause{{Rule: "there", Seq: 1}, {Rule: "back", Seq: 2}, {Rule: "there", Seq: 3}}, chains[1])
	require.EqualValues(t, 5, e.Stats().Fired)
	require.Empty(t, texts(t, s))
	for i, tr := range e.Trace() {
		require.Len(t, tr.Chain, i)
		require.Equal(t, store.Seq(i+1), tr.Seq)
		if tr.Outcome == exprrules.Fired {
			require.Equal(t, store.Seq(i+2), tr.Commit)
		}
	}
}

// TestOthersAreNoConsequence: what others write at the same time is not taken for the
// consequence of a rule: every chain has the length that the record tells.
func TestOthersAreNoConsequence(t *testing.T) {
	s := newShop(t)
	const depth, writers, each = 4, 4, 100
	e, b := start(t, s, exprrules.Options{MaxDepth: depth, TraceSize: -1, OnTrace: func(tr exprrules.Trace) {
		if de := (*exprrules.DepthError)(nil); tr.Err != nil && !errors.As(tr.Err, &de) {
			t.Errorf("%v", tr.Err)
		}
	}},
		rule("again", "bucket.log.inserted", "", exprrules.Step{Run: func(ctx context.Context, f *exprrules.Firing) error {
			text := f.New["text"].(string)
			if len(f.Chain) != len(text) {
				return fmt.Errorf("chain of %d for %q", len(f.Chain), text)
			}
			_, err := bucket(t, s, "log").In(f.Tx).Insert(ctx, store.Fields{"text": text + "x"})
			return err
		}}))
	done := make(chan error, writers)
	for range writers {
		go func() {
			for range each {
				if _, err := s.Bucket("log"); err != nil {
					done <- err
					return
				}
				log, _ := s.Bucket("log")
				if _, err := log.Insert(context.Background(), store.Fields{"text": ""}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		require.NoError(t, <-done)
	}
	settle(t, s, b)
	stats := e.Stats()
	require.EqualValues(t, writers*each*depth, stats.Fired)
	require.EqualValues(t, writers*each, stats.Stopped)
	require.Zero(t, stats.Failed)
	require.Empty(t, e.Trace())
}

// TestTrace: the ring keeps the last ones, and a callback that panics changes
// nothing.
func TestTrace(t *testing.T) {
	s := newShop(t)
	calls := 0
	e, b := start(t, s, exprrules.Options{TraceSize: 3, OnTrace: func(exprrules.Trace) { calls++; panic("no") }},
		rule("r", "bucket.products.inserted", "new.stock != 2", logs("new.id")))
	for i := range 6 {
		insert(t, s, "products", store.Fields{"id": fmt.Sprint("p", i), "stock": i})
	}
	settle(t, s, b)
	require.Equal(t, 5, calls)
	var keys []any
	for _, tr := range e.Trace() {
		require.Equal(t, "r bucket.products.inserted products fired", fmt.Sprint(tr.Rule, " ", tr.Topic, " ", tr.Bucket, " ", tr.Outcome))
		require.NoError(t, tr.Err)
		require.Empty(t, tr.Chain)
		require.NotZero(t, tr.Commit)
		require.False(t, tr.Start.IsZero())
		require.GreaterOrEqual(t, tr.Duration, 0*tr.Duration)
		keys = append(keys, tr.Key)
	}
	require.Equal(t, []any{"p3", "p4", "p5"}, keys)
	require.Equal(t, exprrules.Stats{Rules: 1, Loads: 1, Events: 11, Evaluated: 6, Fired: 5}, e.Stats())
}
