package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
)

// A bridge ends with its store, once all that was committed is forwarded.
func ExampleBridge() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	got := 0
	b, err := bridge.Forward(s, bridge.ReceiverFunc(func(context.Context, string, map[string]any) error {
		got++
		return nil
	}), bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"o1", "o2", "o3"} {
		_, _ = orders.Insert(ctx, store.Fields{"id": id})
	}
	_ = s.Close(ctx)
	<-b.Done()
	fmt.Println(got, b.Stats().Forwarded)
	// Output:
	// 3 3
}

// webhook posts events to an address, as JSON.
type webhook struct{ url string }

func (w webhook) Emit(ctx context.Context, topic string, data map[string]any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/"+topic, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return errors.New(resp.Status)
	}
	return nil
}

// A Receiver that heeds its context does not hold up Stop, nor is it waited for longer
// than Options.Timeout.
func ExampleReceiver() {
	ctx := context.Background()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var data map[string]any
		_ = json.NewDecoder(r.Body).Decode(&data)
		fmt.Println(r.URL.Path, data["key"], data["type"])
	}))
	defer srv.Close()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	b, err := bridge.Forward(s, webhook{srv.URL}, bridge.Options{Pattern: "bucket.orders.inserted"})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o1", "total": 12})
	_ = b.Stop(ctx)
	fmt.Println(b.Stats().Forwarded)
	// Output:
	// /bucket.orders.inserted o1 inserted
	// 1
}

// A function is enough of a receiver.
func ExampleReceiverFunc() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	type message struct {
		topic string
		data  map[string]any
	}
	queue := make(chan message, 10)
	send := bridge.ReceiverFunc(func(ctx context.Context, topic string, data map[string]any) error {
		select {
		case queue <- message{topic, data}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	b, err := bridge.Forward(s, send, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o1", "total": 12})
	m := <-queue
	fmt.Println(m.topic, m.data["record"].(map[string]any)["total"], b.Stop(ctx))
	// Output:
	// bucket.orders.inserted 12 <nil>
}

// An *Error names the event that was not forwarded: its record can be looked up, and
// sent in another way.
func ExampleError() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	down := errors.New("the other end is down")
	b, err := bridge.Forward(s, bridge.ReceiverFunc(func(context.Context, string, map[string]any) error { return down }),
		bridge.Options{OnError: func(err error) {
			var failed *bridge.Error
			if errors.As(err, &failed) {
				fmt.Println(failed.Op, failed.Topic, failed.Key, failed.Seq, errors.Is(err, down))
			}
		}})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o1"})
	_ = b.Stop(ctx)
	// Output:
	// emit bucket.orders.inserted o1 1 true
}

// An *OverflowError comes with the first event that is dropped, and with the number of
// the others when the receiver has caught up.
func ExampleOverflowError() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	busy, gate := make(chan struct{}, 100), make(chan struct{})
	slow := bridge.ReceiverFunc(func(context.Context, string, map[string]any) error {
		busy <- struct{}{}
		<-gate
		return nil
	})
	b, err := bridge.Forward(s, slow, bridge.Options{Buffer: 2, OnError: func(err error) {
		var lost *bridge.OverflowError
		if errors.As(err, &lost) {
			fmt.Println("dropped", lost.Dropped)
		}
	}})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = orders.Insert(ctx, store.Fields{"id": "o0"})
	<-busy // with the first one
	for _, id := range []string{"o1", "o2", "o3", "o4", "o5"} {
		_, _ = orders.Insert(ctx, store.Fields{"id": id})
	}
	_ = s.Settle(ctx) // until the queue is full
	close(gate)
	_ = b.Stop(ctx)
	fmt.Println("forwarded", b.Stats().Forwarded, "dropped", b.Stats().Dropped)
	// Output:
	// dropped 1
	// dropped 2
	// forwarded 3 dropped 3
}

// In Stats each event is counted once, whatever became of it.
func ExampleStats() {
	ctx := context.Background()
	s, orders := openOrders(ctx)
	defer s.Close(ctx)

	b, err := bridge.Forward(s, bridge.ReceiverFunc(func(_ context.Context, _ string, data map[string]any) error {
		if data["key"] == "o2" {
			return errors.New("not this one")
		}
		return nil
	}), bridge.Options{Filter: func(e store.Event) bool { return e.Key != store.StringKey("o3") }})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"o1", "o2", "o3"} {
		_, _ = orders.Insert(ctx, store.Fields{"id": id})
	}
	_ = b.Stop(ctx)
	st := b.Stats()
	fmt.Println(st.Forwarded, st.Failed, st.Filtered, st.Dropped, st.Queued)
	// Output:
	// 1 1 1 0 0
}
