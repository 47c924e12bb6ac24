package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
)

func openOrders(ctx context.Context) (*store.Store, *store.Bucket) {
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := s.DefineBucket(ctx, "orders", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "total": {Type: store.Int},
	}})
	if err != nil {
		log.Fatal(err)
	}
	return s, orders
}

func ExampleForward() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	webhook := bridge.ReceiverFunc(func(_ context.Context, topic string, data map[string]any) error {
		fmt.Println(topic, data["key"])
		return nil
	})
	b, err := bridge.Forward(s, webhook, bridge.Options{
		Pattern:  "bucket.orders.*",
		Filter:   func(e store.Event) bool { return e.Type != store.Deleted },
		MapTopic: func(topic string, _ store.Event) string { return "shop." + topic },
	})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o1", "total": 12})
	_, _ = orders.Patch(ctx, "o1", store.Fields{"total": 15})
	_ = orders.Delete(ctx, "o1")

	fmt.Println(b.Stop(ctx)) // behind what was committed
	fmt.Printf("%+v\n", b.Stats())
	// Output:
	// shop.bucket.orders.inserted o1
	// shop.bucket.orders.updated o1
	// <nil>
	// {Forwarded:2 Filtered:1 Failed:0 Panicked:0 Dropped:0 Missed:0 Queued:0}
}

// The errors and panics of a receiver are reported; the next event comes.
func ExampleOptions() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	calls := 0
	flaky := bridge.ReceiverFunc(func(context.Context, string, map[string]any) error {
		if calls++; calls == 1 {
			panic("not yet")
		}
		return errors.New("still not")
	})
	b, err := bridge.Forward(s, flaky, bridge.Options{OnError: func(err error) { fmt.Println(err) }})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.InsertMany(ctx, []store.Fields{{"id": "o1"}, {"id": "o2"}})
	_ = b.Stop(ctx)
	// Output:
	// bridge: emit of "bucket.orders.inserted" at commit 1: panic: not yet
	// bridge: emit of "bucket.orders.inserted" at commit 1: still not
}

// A full queue drops, and says so; which end it drops is the user's choice.
func ExampleOverflow() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	got, gate := make(chan string, 100), make(chan struct{})
	slow := bridge.ReceiverFunc(func(_ context.Context, _ string, data map[string]any) error {
		got <- data["key"].(string)
		<-gate
		return nil
	})
	b, err := bridge.Forward(s, slow, bridge.Options{Buffer: 2, Overflow: bridge.DropOldest})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o0"})
	fmt.Println("the receiver has", <-got)
	for _, id := range []string{"o1", "o2", "o3", "o4"} {
		_, _ = orders.Insert(ctx, store.Fields{"id": id})
	}
	_ = s.Settle(ctx) // until the queue has them
	fmt.Println("queued", b.Stats().Queued, "dropped", b.Stats().Dropped)
	close(gate)
	_ = b.Stop(ctx)
	fmt.Println("then it got", <-got, <-got)
	// Output:
	// the receiver has o0
	// queued 3 dropped 2
	// then it got o3 o4
}

// printer takes the events as they are.
type printer struct{}

func (printer) Emit(context.Context, string, map[string]any) error { return nil }

func (printer) EmitEvent(_ context.Context, topic string, e store.Event) error {
	fmt.Println(topic, e.New.Get("total"))
	return nil
}

func ExampleEventReceiver() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)
	b, err := bridge.Forward(s, printer{}, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o1", "total": 12})
	_ = b.Stop(ctx)
	// Output: bucket.orders.inserted 12
}

func ExampleData() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)
	done := make(chan struct{})
	_, err := s.On("bucket.*.*", func(e store.Event) {
		data := bridge.Data(e)
		fmt.Println(data["type"], data["bucket"], data["key"], data["seq"], data["record"].(map[string]any)["total"])
		close(done)
	})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o1", "total": 12})
	<-done
	// Output: inserted orders o1 1 12
}
