package exprrules_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
	"github.com/noex-go/store/bridge/exprrules"
)

// stock opens a store with products and orders.
func stock() (*store.Store, *store.Bucket, *store.Bucket) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	products, err := s.DefineBucket(ctx, "products", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "stock": {Type: store.Int}, "minimum": {Type: store.Int},
	}})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := s.DefineBucket(ctx, "orders", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "product": {Type: store.String}, "amount": {Type: store.Int, Required: true},
	}})
	if err != nil {
		log.Fatal(err)
	}
	return s, products, orders
}

// load makes an engine with rules.
func load(s *store.Store, opt exprrules.Options, rules ...exprrules.Rule) *exprrules.Engine {
	engine, err := exprrules.New(s, opt)
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.Load(rules); err != nil {
		log.Fatal(err)
	}
	return engine
}

// forward runs fn with the engine at the end of a bridge, and waits until it has
// judged what fn wrote.
func forward(s *store.Store, engine *exprrules.Engine, fn func()) {
	b, err := bridge.Forward(s, engine, bridge.Options{OnError: func(err error) { fmt.Println(err) }})
	if err != nil {
		log.Fatal(err)
	}
	fn()
	if err := b.Stop(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func ExampleEngine() {
	ctx := context.Background()
	s, products, orders := stock()
	defer s.Close(ctx)

	rules, err := exprrules.Parse([]byte(`
rules:
  - name: reorder
    when: bucket.products.updated
    if: |
      new.stock < new.minimum and not exists("orders", {product: new.id})
    then:
      - insert: orders
        set: {product: new.id, amount: 2 * new.minimum - new.stock}
`))
	if err != nil {
		log.Fatal(err)
	}
	engine := load(s, exprrules.Options{}, rules...)
	forward(s, engine, func() {
		_, _ = products.Insert(ctx, store.Fields{"id": "nail", "stock": 30, "minimum": 10})
		for _, n := range []int{12, 8, 5} {
			_, _ = products.Patch(ctx, "nail", store.Fields{"stock": n})
		}
	})
	for order := range orders.All() {
		fmt.Println("ordered", order.Get("amount"), order.Get("product"))
	}
	fmt.Println(engine.Rules(), engine.Stats().Fired)
	// Output:
	// ordered 12 nail
	// [reorder] 1
}

// A rule that is made in Go: strings are expressions.
func ExampleRule() {
	ctx := context.Background()
	s, products, orders := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{}, exprrules.Rule{
		Name: "clean",
		When: "bucket.products.deleted",
		Then: []exprrules.Step{{Delete: "orders", Where: map[string]any{"product": "old.id"}}},
	})
	forward(s, engine, func() {
		_, _ = products.Insert(ctx, store.Fields{"id": "nail"})
		_, _ = orders.Insert(ctx, store.Fields{"product": "nail", "amount": 5})
		_ = products.Delete(ctx, "nail")
	})
	n, _ := orders.Count()
	fmt.Println(n, "orders left")
	// Output: 0 orders left
}

func ExampleStep() {
	steps := []exprrules.Step{
		{Insert: "orders", Set: map[string]any{"product": "new.id", "amount": 5}},
		{Upsert: "products", Set: map[string]any{"id": `"nail"`, "stock": "new.stock + 1"}},
		{Update: "products", Key: "new.id", Set: map[string]any{"minimum": nil}},
		{Delete: "orders", Where: map[string]any{"amount": map[string]any{"$lt": "new.minimum"}}},
		{Do: "mail", With: map[string]any{"text": `"low on " + new.id`}},
	}
	fmt.Println(len(steps), "steps, one transaction")
	// Output: 5 steps, one transaction
}

// An action reads and writes through the transaction of its firing.
func ExampleAction() {
	ctx := context.Background()
	s, products, orders := stock()
	defer s.Close(ctx)
	order := exprrules.Action(func(ctx context.Context, f *exprrules.Firing) error {
		fmt.Println(f.Rule, "on", f.Topic, f.Key, f.Args["reason"])
		_, err := orders.In(f.Tx).Insert(ctx, store.Fields{"product": f.Key, "amount": 100 - f.New["stock"].(int64)})
		return err
	})
	engine := load(s, exprrules.Options{Actions: map[string]exprrules.Action{"order": order}}, exprrules.Rule{
		Name: "fill", When: "bucket.products.inserted", If: "new.stock < 100",
		Then: []exprrules.Step{{Do: "order", With: map[string]any{"reason": `"only " + string(new.stock)`}}},
	})
	forward(s, engine, func() { _, _ = products.Insert(ctx, store.Fields{"id": "nail", "stock": 40}) })
	o, _ := orders.Get(1)
	fmt.Println(o.Get("amount"))
	// Output:
	// fill on bucket.products.inserted nail only 40
	// 60
}

// What an action gets.
func ExampleFiring() {
	ctx := context.Background()
	s, products, _ := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{}, exprrules.Rule{
		Name: "show", When: "bucket.products.updated",
		Then: []exprrules.Step{{Run: func(_ context.Context, f *exprrules.Firing) error {
			fmt.Println(f.Key, f.Old["stock"], "→", f.New["stock"], "at commit", f.Seq)
			return nil
		}}},
	})
	forward(s, engine, func() {
		_, _ = products.Insert(ctx, store.Fields{"id": "nail", "stock": 40})
		_, _ = products.Patch(ctx, "nail", store.Fields{"stock": 39})
	})
	// Output: nail 40 → 39 at commit 2
}

// A rule that triggers itself ends at the limit; the error has the chain.
func ExampleDepthError() {
	ctx := context.Background()
	s, _, orders := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{MaxDepth: 3, OnError: func(err error) {
		fmt.Println(err)
		if de := (*exprrules.DepthError)(nil); errors.As(err, &de) {
			fmt.Println("from commit", de.Chain[0].Seq)
		}
	}}, exprrules.Rule{
		Name: "again", When: "bucket.orders.inserted",
		Then: []exprrules.Step{{Insert: "orders", Set: map[string]any{"amount": "new.amount + 1"}}},
	})
	b, err := bridge.Forward(s, engine, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	stopped := func() bool { return engine.Stats().Stopped == 1 }
	_, _ = orders.Insert(ctx, store.Fields{"amount": 1})
	for !stopped() {
		_ = s.Settle(ctx)
	}
	_ = b.Stop(ctx)
	// Output:
	// exprrules: rule "again" on "bucket.orders.inserted" at commit 4: not fired: 3 rules have led to this event: again → again → again
	// from commit 1
}

func ExampleLoadError() {
	s, _, _ := stock()
	defer s.Close(context.Background())
	engine := load(s, exprrules.Options{})
	rules, err := exprrules.Parse([]byte(`
rules:
  - name: reorder
    when: bucket.products.updated
    if: new.stock < new.minimun
    then:
      - insert: orders
        set: {product: new.id, amount: new.id}
`))
	if err != nil {
		log.Fatal(err)
	}
	err = engine.Load(rules)
	if le := (*exprrules.LoadError)(nil); errors.As(err, &le) {
		for _, problem := range le.Problems {
			fmt.Println(problem)
		}
	}
	// Output:
	// 5:25: rule "reorder": if: unknown field minimun
	// 8:40: rule "reorder": then[0].set.amount: field "amount" is of type int, not string
}

// A problem has its place in the file.
func ExampleProblem() {
	p := exprrules.Problem{Rule: "reorder", Part: "then[0].insert", Line: 7, Column: 17, Message: `bucket "order" is not defined`}
	fmt.Println(p)
	// Output: 7:17: rule "reorder": then[0].insert: bucket "order" is not defined
}

func ExampleRuleError() {
	ctx := context.Background()
	s, products, _ := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{OnError: func(err error) {
		if re := (*exprrules.RuleError)(nil); errors.As(err, &re) {
			fmt.Println(re.Rule, re.Part, re.Seq, errors.Is(err, store.ErrNotFound))
		}
	}}, exprrules.Rule{
		Name: "wrong", When: "bucket.products.inserted",
		Then: []exprrules.Step{{Update: "orders", Key: 7, Set: map[string]any{"amount": 1}}},
	})
	forward(s, engine, func() { _, _ = products.Insert(ctx, store.Fields{"id": "nail"}) })
	// Output: wrong then[0] 1 true
}

func ExampleTrace() {
	ctx := context.Background()
	s, products, _ := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{OnTrace: func(t exprrules.Trace) { fmt.Println("live:", t.Rule, t.Outcome) }}, exprrules.Rule{
		Name: "order", When: "bucket.products.inserted", If: "new.stock == 0",
		Then: []exprrules.Step{{Insert: "orders", Set: map[string]any{"product": "new.id", "amount": 1}}},
	})
	forward(s, engine, func() {
		_, _ = products.InsertMany(ctx, []store.Fields{{"id": "nail", "stock": 0}, {"id": "screw", "stock": 1}})
	})
	for _, t := range engine.Trace() {
		fmt.Println(t.Rule, t.Outcome, "on", t.Topic, t.Key, "of commit", t.Seq, "→ commit", t.Commit)
	}
	// Output:
	// live: order fired
	// order fired on bucket.products.inserted nail of commit 1 → commit 2
}

func ExampleOutcome() {
	fmt.Println(exprrules.Fired, exprrules.Failed, exprrules.Stopped)
	// Output: fired failed stopped
}

func ExampleCause() {
	fmt.Println(exprrules.Cause{Rule: "reorder", Seq: 17})
	// Output: reorder (on commit 17)
}

func ExampleStats() {
	ctx := context.Background()
	s, products, _ := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{}, exprrules.Rule{
		Name: "never", When: "bucket.products.*", If: `event.reason == "expired"`,
		Then: []exprrules.Step{{Insert: "orders", Set: map[string]any{"amount": 1}}},
	})
	forward(s, engine, func() { _, _ = products.Insert(ctx, store.Fields{"id": "nail"}) })
	fmt.Printf("%+v\n", engine.Stats())
	// Output: {Rules:1 Loads:1 Refused:0 Events:1 Evaluated:1 Fired:0 Failed:0 Stopped:0}
}

// Rules that change while the program runs: one that is wrong changes nothing.
func ExampleEngine_Watch() {
	s, _, _ := stock()
	defer s.Close(context.Background())
	dir, err := os.MkdirTemp("", "rules")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rules.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	told := make(chan error, 1)
	engine, err := exprrules.New(s, exprrules.Options{OnError: func(err error) { told <- err }})
	if err != nil {
		log.Fatal(err)
	}
	write("rules: [{name: a, when: bucket.orders.deleted, then: [{delete: orders, key: 1}]}]")
	stop, err := engine.Watch(path, time.Millisecond)
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	write("rules: [{name: b, when: bucket.orders.deleted, then: [{delete: order, key: 1}]}]")
	var le *exprrules.LoadError
	for !errors.As(<-told, &le) || len(le.Problems) == 0 || le.Problems[0].Rule != "b" { // it may also see the file half written
	}
	fmt.Println(le.Problems[0], engine.Rules())
	// Output: 1:64: rule "b": then[0].delete: bucket "order" is not defined [a]
}

// What an engine has in common with every receiver of a bridge: events as data.
func ExampleEngine_Emit() {
	ctx := context.Background()
	s, _, orders := stock()
	defer s.Close(ctx)
	engine := load(s, exprrules.Options{}, exprrules.Rule{
		Name: "order", When: "bucket.products.inserted",
		Then: []exprrules.Step{{Insert: "orders", Set: map[string]any{"product": "event.key", "amount": "new.stock"}}},
	})
	err := engine.Emit(ctx, "bucket.products.inserted", map[string]any{
		"type": "inserted", "bucket": "products", "key": "nail", "seq": 1, "record": map[string]any{"stock": 3},
	})
	o, _ := orders.Get(1)
	fmt.Println(err, o.Get("product"), o.Get("amount"))
	// Output: <nil> nail 3
}

func ExampleOptions() {
	s, _, _ := stock()
	defer s.Close(context.Background())
	_, err := exprrules.New(s, exprrules.Options{
		Actions:   map[string]exprrules.Action{"mail": func(context.Context, *exprrules.Firing) error { return nil }},
		MaxDepth:  8,
		Timeout:   time.Second,
		TraceSize: 1000,
		OnError:   func(err error) { log.Print(err) },
	})
	fmt.Println(err)
	// Output: <nil>
}
