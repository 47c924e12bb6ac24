package bridge_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
)

// BenchmarkWrite is an update of a record, alone and with what hears of it; the
// difference of two lines is what that adds to a write. The update is the same in
// all of them, so that the lines of one run compare.
func BenchmarkWrite(b *testing.B) {
	none := func(testing.TB, *store.Store) func() { return func() {} }
	forward := func(r bridge.Receiver, opt bridge.Options) func(testing.TB, *store.Store) func() {
		return func(tb testing.TB, s *store.Store) func() {
			br, err := bridge.Forward(s, r, opt)
			if err != nil {
				tb.Fatal(err)
			}
			return func() {
				if err := br.Stop(context.Background()); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	data := bridge.ReceiverFunc(func(context.Context, string, map[string]any) error { return nil })
	events := eventFunc(func(context.Context, string, store.Event) error { return nil })
	stuck := bridge.ReceiverFunc(func(ctx context.Context, _ string, _ map[string]any) error {
		<-ctx.Done()
		return nil
	})
	for _, c := range []struct {
		name string
		hear func(tb testing.TB, s *store.Store) func()
	}{
		{"alone", none},
		{"handler", func(tb testing.TB, s *store.Store) func() {
			stop, err := s.On("bucket.*.*", func(store.Event) {})
			if err != nil {
				tb.Fatal(err)
			}
			return stop
		}},
		{"bridge-filtered", forward(events, bridge.Options{Filter: func(store.Event) bool { return false }})},
		{"bridge-events", forward(events, bridge.Options{})},
		{"bridge-data", forward(data, bridge.Options{})},
		{"bridge-hanging", func(tb testing.TB, s *store.Store) func() {
			br, err := bridge.Forward(s, stuck, bridge.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			return func() {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = br.Stop(ctx)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, buckets := newStore(b, store.Options{}, "a")
			ctx, a := context.Background(), buckets["a"]
			insert(b, a, 1)
			stop := c.hear(b, s)
			defer stop()
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				if _, err := a.Patch(ctx, 1, store.Fields{"n": n}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAdded measures what a bridge adds to a write as a difference within one
// run: bursts of writes without one and with one in turn, the bridge at rest in
// between. An operation is a burst of each.
func BenchmarkAdded(b *testing.B) {
	for _, c := range []struct {
		name string
		r    bridge.Receiver
	}{
		{"events", eventFunc(func(context.Context, string, store.Event) error { return nil })},
		{"data", bridge.ReceiverFunc(func(context.Context, string, map[string]any) error { return nil })},
	} {
		b.Run(c.name, func(b *testing.B) {
			const burst = 512
			ctx := context.Background()
			var took [2]time.Duration
			_, plain := newStore(b, store.Options{}, "a")
			s, bridged := newStore(b, store.Options{}, "a")
			buckets := [2]*store.Bucket{plain["a"], bridged["a"]}
			for _, bucket := range buckets {
				insert(b, bucket, 1)
			}
			br := forward(b, s, c.r, bridge.Options{})
			n, bursts := 0, 0
			for b.Loop() {
				bursts++
				for i, bucket := range buckets {
					start := time.Now()
					for range burst {
						n++
						if _, err := bucket.Patch(ctx, 1, store.Fields{"n": n}); err != nil {
							b.Fatal(err)
						}
					}
					took[i] += time.Since(start)
				}
				if err := s.Settle(ctx); err != nil {
					b.Fatal(err)
				}
				for br.Stats().Queued > 0 {
					runtime.Gosched()
				}
			}
			if err := br.Stop(ctx); err != nil {
				b.Fatal(err)
			}
			per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(bursts*burst) }
			b.ReportMetric(per(took[0]), "alone-ns/write")
			b.ReportMetric(per(took[1]), "bridged-ns/write")
			b.ReportMetric(per(took[1]-took[0]), "added-ns/write")
			b.ReportMetric(0, "ns/op")
		})
	}
}
