package exprrules_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
	"github.com/noex-go/store/bridge/exprrules"
)

const shopRules = `
# What a shop does by itself.
rules:
  - name: reorder
    when: bucket.products.updated
    if: |
      new.stock < new.minimum
        and not exists("orders", {product: new.id, state: "open"})
    then:
      - insert: orders
        set: {product: new.id, amount: 2 * new.minimum - new.stock}
      - do: tell
        with: {text: '"low on " + (new.name ?? "?")', urgent: true, level: 2}

  - name: total
    when: bucket.orders.inserted
    then:
      - upsert: totals
        set:
          product: new.product
          amount: new.amount + (get("totals", new.product)?.amount ?? 0)

  - name: receive
    when: bucket.orders.updated
    if: old.state == "open" and new.state == "done"
    then:
      - update: products
        key: new.product
        set:
          stock: |
            get("products", new.product).stock
              + new.amount

  - name: clean
    when: bucket.products.deleted
    then:
      - delete: orders
        where: {product: old.id, state: {$in: ['"open"', '"done"']}}
      - delete: totals
        key: old.id
`

func TestShop(t *testing.T) {
	ctx := t.Context()
	s := newShop(t)
	var told []map[string]any
	e, err := exprrules.New(s, exprrules.Options{Actions: map[string]exprrules.Action{
		"tell": func(_ context.Context, f *exprrules.Firing) error { told = append(told, f.Args); return nil },
	}})
	require.NoError(t, err)
	rules, err := exprrules.Parse([]byte(shopRules))
	require.NoError(t, err)
	require.NoError(t, e.Load(rules))
	require.Equal(t, []string{"reorder", "total", "receive", "clean"}, e.Rules())
	b, err := bridge.Forward(s, e, bridge.Options{OnError: func(err error) { t.Errorf("reported: %v", err) }})
	require.NoError(t, err)

	products, orders := bucket(t, s, "products"), bucket(t, s, "orders")
	insert(t, s, "products", store.Fields{"id": "p", "name": "nail", "stock": 30})
	for _, stock := range []int{8, 7, 6} { // the first one orders, the others find the order
		_, err := products.Patch(ctx, "p", store.Fields{"stock": stock})
		require.NoError(t, err)
	}
	settle(t, s, b)
	order, ok := orders.Get(1)
	require.True(t, ok)
	require.EqualValues(t, 12, order.Get("amount"))
	n, err := orders.Count()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []map[string]any{{"text": "low on nail", "urgent": true, "level": 2}}, told)

	_, err = orders.Patch(ctx, 1, store.Fields{"state": "done"})
	require.NoError(t, err)
	insert(t, s, "orders", store.Fields{"product": "p", "amount": 5})
	settle(t, s, b)
	p, _ := products.Get("p")
	require.EqualValues(t, 18, p.Get("stock"))
	total, _ := bucket(t, s, "totals").Get("p")
	require.EqualValues(t, 17, total.Get("amount"))

	require.NoError(t, products.Delete(ctx, "p"))
	settle(t, s, b)
	require.Zero(t, s.Stats().Records.Total)
	require.NoError(t, b.Stop(ctx))
	require.EqualValues(t, 0, e.Stats().Failed)
}

// TestDataInPlaceOfEvents: an event as data is judged as the event itself, also after
// a way through JSON's numbers.
func TestDataInPlaceOfEvents(t *testing.T) {
	ctx := t.Context()
	s := newShop(t)
	e, err := exprrules.New(s, exprrules.Options{})
	require.NoError(t, err)
	require.NoError(t, e.Load([]exprrules.Rule{
		rule("in", "bucket.products.inserted", `new.stock > 3`, logs(`"in " + event.key + string(new._version)`)),
		rule("up", "bucket.products.updated", `old.stock != new.stock`, logs(`"up " + string(old.stock) + string(new.stock)`)),
		rule("out", "bucket.products.deleted", `event.reason == "user"`, logs(`"out " + string(len(keys(old))) + event.type + string(event.seq)`)),
	}))
	var events []store.Event
	_, err = s.On("bucket.products.*", func(e store.Event) { events = append(events, e) })
	require.NoError(t, err)
	insert(t, s, "products", store.Fields{"id": "p", "stock": 4})
	_, err = bucket(t, s, "products").Patch(ctx, "p", store.Fields{"stock": 5})
	require.NoError(t, err)
	require.NoError(t, bucket(t, s, "products").Delete(ctx, "p"))
	require.NoError(t, s.Settle(ctx))
	for _, ev := range events {
		require.NoError(t, e.EmitEvent(ctx, ev.Topic(), ev))
	}
	want := []string{"in p1", "up 45", "out 6deleted3"}
	require.Equal(t, want, texts(t, s))
	for _, ev := range events {
		data := bridge.Data(ev)
		data["seq"] = float64(ev.Seq)
		require.NoError(t, e.Emit(ctx, ev.Topic(), data))
	}
	require.Equal(t, append(want, want...), texts(t, s))

	for _, data := range []map[string]any{
		nil,
		{"type": "born"},
		{"type": "inserted"},
		{"type": "inserted", "bucket": "products"},
		{"type": "inserted", "bucket": "products", "key": "p"},
		{"type": "inserted", "bucket": "products", "key": "p", "seq": math.NaN()},
		{"type": "inserted", "bucket": "products", "key": "p", "seq": -1},
		{"type": "inserted", "bucket": "products", "key": 1.5, "seq": 1},
		{"type": "inserted", "bucket": "products", "key": "p", "seq": 1},
		{"type": "updated", "bucket": "products", "key": "p", "seq": 1, "newRecord": map[string]any{}},
		{"type": "deleted", "bucket": "products", "key": "p", "seq": 1, "record": map[string]any(nil)},
	} {
		require.Error(t, e.Emit(ctx, "t", data), "%v", data)
	}
}

// TestPatternOfEveryBucket: its rules judge every bucket in their own place, records
// have no types.
func TestPatternOfEveryBucket(t *testing.T) {
	s := newShop(t)
	_, b := start(t, s, exprrules.Options{},
		rule("before", "bucket.*.inserted", `event.bucket != "log"`, logs(`"before " + event.bucket`)),
		rule("one", "bucket.products.inserted", "", logs(`"one"`)),
		rule("after", "*.*.*", `event.bucket != "log" and new?.stock == 1`, logs(`"after " + event.topic`)),
	)
	insert(t, s, "products", store.Fields{"id": "p", "stock": 1})
	insert(t, s, "totals", store.Fields{"product": "p"})
	settle(t, s, b)
	require.Equal(t, []string{"before products", "one", "after bucket.products.inserted", "before totals"}, texts(t, s))
}

// TestLookups of every kind, in a transaction: they see what the rule itself has
// written.
func TestLookups(t *testing.T) {
	s := newShop(t)
	for i := range 5 {
		insert(t, s, "orders", store.Fields{"product": fmt.Sprint("p", i%2), "amount": i})
	}
	e, b := start(t, s, exprrules.Options{MaxFind: 10, Clock: func() time.Time { return time.Unix(5, 0) }},
		rule("look", "bucket.products.inserted", `get("products", new.id) != nil`,
			logs(`string(count("orders")) + " " + string(count("orders", {product: "p0"})) + " " + string(count("orders", {amount: {"$gte": new.stock}}))`),
			logs(`string(exists("orders", {product: new.name})) + " " + string(exists("totals"))`),
			logs(`string(first("orders", {amount: {"$gt": 1}}).id) + " " + string(first("totals") == nil)`),
			logs(`join(map(find("orders", {product: "p1"}), string(.amount)), ",") + " " + string(sum(find("orders"), .amount))`),
			logs(`get("totals", "none")?.amount ?? 7 | string()`),
			exprrules.Step{Insert: "totals", Set: map[string]any{"product": `"own"`, "amount": 9}},
			logs(`string(get("totals", "own").amount) + " " + string(now().Unix())`),
			logs(`string(len(find("log")))`),
		),
		rule("too many", "bucket.totals.inserted", `len(find("orders")) > 0`, logs(`"never"`)),
	)
	insert(t, s, "products", store.Fields{"id": "p", "stock": 3, "name": "p0"})
	settle(t, s, b)
	require.Equal(t, []string{"5 3 2", "true false", "3 true", "1,3 10", "7", "9 5", "6"}, texts(t, s)[:7])
	require.Equal(t, "never", texts(t, s)[7])
	for range 6 {
		insert(t, s, "orders", store.Fields{"product": "x", "amount": 1})
	}
	insert(t, s, "totals", store.Fields{"product": "again"})
	settle(t, s, b)
	require.ErrorIs(t, e.Trace()[len(e.Trace())-1].Err, exprrules.ErrFind)
	require.ErrorIs(t, b.Stop(t.Context()), nil)
	require.EqualValues(t, 1, b.Stats().Failed, "without OnError, the bridge hears of it")
}

// TestWhatGoesWrong in one rule is told, takes that firing back, and leaves the
// others alone.
func TestWhatGoesWrong(t *testing.T) {
	failure := errors.New("no")
	run := func(a exprrules.Action) exprrules.Step { return exprrules.Step{Run: a} }
	for name, c := range map[string]struct {
		rule  exprrules.Rule
		part  string
		check func(t *testing.T, err error)
	}{
		"nil in a condition":  {rule("bad", "bucket.products.inserted", `new.stock > 1`, logs(`"x"`)), "if", nil},
		"no condition at all": {rule("bad", "bucket.products.inserted", `new.more.really`, logs(`"x"`)), "if", nil},
		"an expression":       {rule("bad", "bucket.products.inserted", ``, logs(`"x" + new.tags[3]`)), "then[0].set.text", nil},
		"a lookup": {rule("bad", "bucket.products.inserted", `exists("totals", {amount: {"$in": new.tags}})`, logs(`"x"`)), "if", func(t *testing.T, err error) {
			var q *store.QueryError
			require.ErrorAs(t, err, &q)
		}},
		"a key that is nil": {rule("bad", "bucket.products.inserted", ``, exprrules.Step{Update: "products", Key: `new.name`, Set: map[string]any{"stock": 1}}), "then[0].key", nil},
		"no such record": {rule("bad", "bucket.products.inserted", ``, exprrules.Step{Update: "products", Key: `"none"`, Set: map[string]any{"stock": 1}}), "then[0]", func(t *testing.T, err error) {
			require.ErrorIs(t, err, store.ErrNotFound)
		}},
		"an invalid record": {rule("bad", "bucket.products.inserted", ``, logs(`"first"`), exprrules.Step{Insert: "orders", Set: map[string]any{"product": `"p"`, "amount": `new.more?.amount`}}), "then[1]", func(t *testing.T, err error) {
			var v *store.ValidationError
			require.ErrorAs(t, err, &v)
		}},
		"an action's error": {rule("bad", "bucket.products.inserted", ``, logs(`"first"`), run(func(context.Context, *exprrules.Firing) error { return failure })), "then[1]", func(t *testing.T, err error) {
			require.ErrorIs(t, err, failure)
		}},
		"a panic": {rule("bad", "bucket.products.inserted", ``, logs(`"first"`), run(func(context.Context, *exprrules.Firing) error { panic(failure) })), "", func(t *testing.T, err error) {
			var p *store.PanicError
			require.ErrorAs(t, err, &p)
			require.ErrorIs(t, err, failure)
		}},
		"a hanging action": {rule("bad", "bucket.products.inserted", ``, run(func(ctx context.Context, _ *exprrules.Firing) error { <-ctx.Done(); return ctx.Err() })), "then[0]", func(t *testing.T, err error) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}},
		"endless loops":  {rule("bad", "bucket.products.inserted", `any(1..900, any(1..900, any(1..900, # < 0)))`, logs(`"x"`)), "if", nil},
		"endless memory": {rule("bad", "bucket.products.inserted", `len(map(1..9000000, #)) > 0`, logs(`"x"`)), "if", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t)
				var heard reports
				e, b := start(t, s, exprrules.Options{OnError: heard.add, Timeout: time.Millisecond},
					c.rule, rule("good", "bucket.products.inserted", `event.key == "p"`, logs(`"good"`)))
				insert(t, s, "products", store.Fields{"id": "p"})
				time.Sleep(time.Second)
				synctest.Wait()
				require.Equal(t, []string{"good"}, texts(t, s))
				require.Len(t, heard.list(), 1)
				var re *exprrules.RuleError
				require.ErrorAs(t, heard.list()[0], &re)
				require.Equal(t, exprrules.RuleError{Rule: "bad", Part: c.part, Topic: "bucket.products.inserted", Seq: 1, Err: re.Err}, *re)
				if c.check != nil {
					c.check(t, re)
				}
				require.EqualValues(t, 1, e.Stats().Failed)
				require.EqualValues(t, 1, e.Stats().Fired)
				require.Equal(t, exprrules.Failed, e.Trace()[0].Outcome)
				require.Equal(t, re, e.Trace()[0].Err)
				require.Zero(t, b.Stats().Failed, "OnError has heard of it")
			})
		})
	}
}

// TestActionEndsTheGoroutine: the firing has failed, the bridge goes on with the next
// event, and the engine has let its turn go.
func TestActionEndsTheGoroutine(t *testing.T) {
	s := newShop(t)
	var heard reports
	e, b := start(t, s, exprrules.Options{OnError: heard.add}, rule("bad", "bucket.products.inserted", ``, logs(`"x"`), exprrules.Step{Run: func(_ context.Context, f *exprrules.Firing) error {
		if f.Key == "p" {
			runtime.Goexit()
		}
		return nil
	}}))
	insert(t, s, "products", store.Fields{"id": "p"})
	insert(t, s, "products", store.Fields{"id": "q"})
	settle(t, s, b)
	require.Equal(t, []string{"x"}, texts(t, s))
	var p *store.PanicError
	require.Len(t, heard.list(), 1)
	require.ErrorAs(t, heard.list()[0], &p)
	require.EqualValues(t, 1, e.Stats().Failed)
}

// TestActionCallsBack: into the store, by the transaction and beside it, and into the
// engine.
func TestActionCallsBack(t *testing.T) {
	s := newShop(t)
	var e *exprrules.Engine
	var emitted error
	first := exprrules.Action(func(ctx context.Context, f *exprrules.Firing) error {
		log := bucket(t, s, "log")
		if _, err := log.In(f.Tx).Insert(ctx, store.Fields{"text": "inside"}); err != nil {
			return err
		}
		if _, err := bucket(t, s, "totals").Insert(ctx, store.Fields{"product": "beside"}); err != nil {
			return err
		}
		emitted = e.Emit(ctx, f.Topic, map[string]any{"type": "inserted", "bucket": "products", "key": "p", "seq": 1, "record": f.New})
		f.New["stock"], f.Args["list"].([]any)[0] = 99, 99 // its own
		return e.Load([]exprrules.Rule{rule("second", "bucket.products.inserted", "", logs(`"second"`))})
	})
	e, b := start(t, s, exprrules.Options{}, rule("first", "bucket.products.inserted", "",
		exprrules.Step{Run: first, With: map[string]any{"list": []any{"new.stock", 2}, "event": "event", "all": "new"}},
		logs(`string(new.stock)`)))
	insert(t, s, "products", store.Fields{"id": "p", "stock": 5})
	settle(t, s, b)
	insert(t, s, "products", store.Fields{"id": "q"})
	settle(t, s, b)
	require.Equal(t, []string{"inside", "5", "second"}, texts(t, s))
	require.ErrorIs(t, emitted, exprrules.ErrReentered)
	require.EqualValues(t, 1, s.Stats().Records.PerBucket["totals"])
}

// TestDroppedBucket: a rule that looks into it, or writes to it, fails; one whose
// bucket is defined again works again.
func TestDroppedBucket(t *testing.T) {
	ctx := t.Context()
	s := newShop(t)
	var heard reports
	_, b := start(t, s, exprrules.Options{OnError: heard.add},
		rule("look", "bucket.products.inserted", `count("orders") == 0`, logs(`"look"`)),
		rule("write", "bucket.products.inserted", "", exprrules.Step{Insert: "totals", Set: map[string]any{"product": "new.id"}}))
	def, err := s.Definition("orders")
	require.NoError(t, err)
	require.NoError(t, s.DropBucket(ctx, "orders"))
	require.NoError(t, s.DropBucket(ctx, "totals"))
	insert(t, s, "products", store.Fields{"id": "p"})
	settle(t, s, b)
	require.Len(t, heard.list(), 2)
	for _, err := range heard.list() {
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
	}
	_, err = s.DefineBucket(ctx, "orders", def)
	require.NoError(t, err)
	insert(t, s, "products", store.Fields{"id": "q"})
	settle(t, s, b)
	require.Equal(t, []string{"look"}, texts(t, s))
}

// TestConditionHoldsInTransaction: a condition with lookups is judged where the rule
// takes effect. The action brings the transaction into conflict, once; run again, the
// condition holds no more.
func TestConditionHoldsInTransaction(t *testing.T) {
	s := newShop(t)
	calls := 0
	e, b := start(t, s, exprrules.Options{}, rule("once", "bucket.products.inserted", `not exists("totals", {product: new.id})`,
		exprrules.Step{Run: func(ctx context.Context, f *exprrules.Firing) error {
			calls++
			_, err := bucket(t, s, "totals").Insert(ctx, store.Fields{"product": f.Key})
			return err
		}},
		logs(`"fired"`)))
	insert(t, s, "products", store.Fields{"id": "p"})
	settle(t, s, b)
	require.Equal(t, 1, calls)
	require.Empty(t, texts(t, s))
	require.Empty(t, e.Trace(), "it has not fired")
	require.EqualValues(t, 1, s.Stats().Transactions.Retries)
}

func TestEmitWaitsForItsTurn(t *testing.T) {
	s := newShop(t)
	gate, began := make(chan struct{}), make(chan struct{})
	e, err := exprrules.New(s, exprrules.Options{})
	require.NoError(t, err)
	require.NoError(t, e.Load([]exprrules.Rule{rule("wait", "bucket.products.inserted", "", exprrules.Step{Run: func(context.Context, *exprrules.Firing) error {
		close(began)
		<-gate
		return nil
	}})}))
	done := make(chan error, 1)
	go func() {
		done <- e.EmitEvent(context.Background(), "t", store.Event{Type: store.Inserted, Bucket: "products"})
	}()
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, e.EmitEvent(ctx, "t", store.Event{Type: store.Inserted, Bucket: "products"}), context.Canceled)
	close(gate)
	require.NoError(t, <-done)
	require.EqualValues(t, 1, e.Stats().Events)
}

func TestNewRefuses(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		s   *store.Store
		opt exprrules.Options
	}{{nil, exprrules.Options{}}, {s, exprrules.Options{Timeout: -1}}, {s, exprrules.Options{Actions: map[string]exprrules.Action{"x": nil}}}} {
		_, err := exprrules.New(c.s, c.opt)
		require.Error(t, err)
	}
}
