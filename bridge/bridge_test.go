package bridge_test

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
)

func TestForward(t *testing.T) {
	ctx := t.Context()
	s, buckets := newStore(t, store.Options{}, "a", "b")
	var got []map[string]any
	b := forward(t, s, bridge.ReceiverFunc(func(_ context.Context, topic string, data map[string]any) error {
		require.Equal(t, fmt.Sprintf("bucket.%s.%s", data["bucket"], data["type"]), topic)
		got = append(got, data)
		return nil
	}), bridge.Options{})
	a, err := buckets["a"].Insert(ctx, store.Fields{"id": 1, "n": 2})
	require.NoError(t, err)
	a2, err := buckets["a"].Patch(ctx, 1, store.Fields{"n": 3})
	require.NoError(t, err)
	require.NoError(t, buckets["a"].Delete(ctx, 1))
	insert(t, buckets["b"], 7)
	require.NoError(t, b.Stop(ctx))

	last, _ := buckets["b"].Get(7)
	require.Equal(t, []map[string]any{
		{"type": "inserted", "bucket": "a", "key": int64(1), "seq": int64(1), "record": a.Map()},
		{"type": "updated", "bucket": "a", "key": int64(1), "seq": int64(2), "oldRecord": a.Map(), "newRecord": a2.Map()},
		{"type": "deleted", "bucket": "a", "key": int64(1), "seq": int64(3), "record": a2.Map(), "reason": "user"},
		{"type": "inserted", "bucket": "b", "key": int64(7), "seq": int64(4), "record": last.Map()},
	}, got)
	require.Equal(t, bridge.Stats{Forwarded: 4}, b.Stats())
}

func TestOptionsAreUsed(t *testing.T) {
	s, buckets := newStore(t, store.Options{}, "a", "b")
	var got []string
	b := forward(t, s, bridge.ReceiverFunc(func(ctx context.Context, topic string, data map[string]any) error {
		_, bounded := ctx.Deadline()
		got = append(got, fmt.Sprint(topic, data, bounded))
		return nil
	}), bridge.Options{
		Pattern:  "bucket.a.*",
		Filter:   func(e store.Event) bool { return e.Key != store.IntKey(2) },
		MapTopic: func(topic string, e store.Event) string { return topic + "/" + e.Key.String() },
		MapData:  func(e store.Event) map[string]any { return map[string]any{"k": e.Key} },
		Timeout:  time.Minute,
	})
	insert(t, buckets["a"], 1, 2, 3)
	insert(t, buckets["b"], 4)
	require.NoError(t, b.Stop(t.Context()))
	require.Equal(t, []string{"bucket.a.inserted/1map[k:1] true", "bucket.a.inserted/3map[k:3] true"}, got)
	require.Equal(t, bridge.Stats{Forwarded: 2, Filtered: 1}, b.Stats())
}

// directReceiver takes events as they are.
type directReceiver struct {
	collector
	events []string
}

func (r *directReceiver) EmitEvent(_ context.Context, topic string, e store.Event) error {
	r.events = append(r.events, topic+" "+e.Key.String())
	return nil
}

func TestEventReceiver(t *testing.T) {
	s, buckets := newStore(t, store.Options{}, "a")
	var plain, mapped directReceiver
	b1 := forward(t, s, &plain, bridge.Options{})
	b2 := forward(t, s, &mapped, bridge.Options{MapData: bridge.Data})
	insert(t, buckets["a"], 1)
	require.NoError(t, b1.Stop(t.Context()))
	require.NoError(t, b2.Stop(t.Context()))
	require.Equal(t, []string{"bucket.a.inserted 1"}, plain.events)
	require.Empty(t, plain.got)
	require.Equal(t, []string{"1 bucket.a.inserted 1"}, mapped.got)
	require.Empty(t, mapped.events)
}

func TestForwardRefuses(t *testing.T) {
	s, _ := newStore(t, store.Options{})
	nothing := &collector{}
	_, err := bridge.Forward(nil, nil, bridge.Options{Buffer: -1, Timeout: -1, Overflow: 9})
	require.Error(t, err)
	joined := errors.Unwrap(err).(interface{ Unwrap() []error }).Unwrap()
	require.Len(t, joined, 5, "all that is wrong, at once")
	_, err = bridge.Forward(s, bridge.ReceiverFunc(nil), bridge.Options{})
	require.Error(t, err)
	_, err = bridge.Forward(s, nothing, bridge.Options{Pattern: "bucket"})
	require.ErrorIs(t, err, store.ErrPattern)
	require.Zero(t, s.Stats().Subscriptions)
	require.NoError(t, s.Close(t.Context()))
	_, err = bridge.Forward(s, nothing, bridge.Options{})
	require.ErrorIs(t, err, store.ErrClosed)
}

// TestHugeBuffer: the queue takes the memory of what is in it.
func TestHugeBuffer(t *testing.T) {
	s, buckets := newStore(t, store.Options{}, "a")
	var c collector
	b := forward(t, s, &c, bridge.Options{Buffer: math.MaxInt})
	insert(t, buckets["a"], 1, 2, 3)
	require.NoError(t, b.Stop(t.Context()))
	require.Len(t, c.got, 3)
}

// TestUserFunctionsAreContained: an error, a panic and the end of the goroutine in
// every function of the user is counted and reported, and the next event comes.
func TestUserFunctionsAreContained(t *testing.T) {
	failure := errors.New("no")
	ways := map[string]func(){
		"panic": func() { panic(failure) },
		"exit":  runtime.Goexit,
	}
	for way, fail := range ways {
		for _, op := range []string{"filter", "topic", "data", "emit", "event"} {
			t.Run(op+"/"+way, func(t *testing.T) {
				s, buckets := newStore(t, store.Options{}, "a")
				var heard reports
				opt := bridge.Options{OnError: heard.add}
				failing := func(e store.Event) {
					if e.Key == store.IntKey(2) {
						fail()
					}
				}
				var r bridge.Receiver = &collector{}
				wantOp := "map"
				switch op {
				case "filter":
					wantOp = op
					opt.Filter = func(e store.Event) bool { failing(e); return true }
				case "topic":
					opt.MapTopic = func(topic string, e store.Event) string { failing(e); return topic }
				case "data":
					opt.MapData = func(e store.Event) map[string]any { failing(e); return bridge.Data(e) }
				case "emit":
					wantOp = op
					r = &collector{act: func(_ context.Context, n int) error {
						failing(store.Event{Key: store.IntKey(int64(n + 1))})
						return nil
					}}
				case "event":
					wantOp = "emit"
					r = eventFunc(func(_ context.Context, _ string, e store.Event) error { failing(e); return nil })
				}
				b := forward(t, s, r, opt)
				insert(t, buckets["a"], 1, 2, 3)
				require.NoError(t, b.Stop(t.Context()))
				require.Equal(t, bridge.Stats{Forwarded: 2, Panicked: 1}, b.Stats())
				errs := heard.list()
				require.Len(t, errs, 1)
				var e *bridge.Error
				require.ErrorAs(t, errs[0], &e)
				require.Equal(t, bridge.Error{Op: wantOp, Topic: "bucket.a.inserted", Bucket: "a", Key: store.IntKey(2), Seq: 2, Err: e.Err}, *e)
				var p *store.PanicError
				require.ErrorAs(t, e, &p)
				require.Equal(t, way == "panic", errors.Is(e, failure))
			})
		}
	}
}

type eventFunc func(ctx context.Context, topic string, e store.Event) error

func (f eventFunc) Emit(context.Context, string, map[string]any) error {
	return errors.New("the event itself was to come")
}

func (f eventFunc) EmitEvent(ctx context.Context, topic string, e store.Event) error {
	return f(ctx, topic, e)
}

func TestReceiverErrors(t *testing.T) {
	s, buckets := newStore(t, store.Options{}, "a")
	failure := errors.New("no")
	var heard reports
	r := &collector{act: func(_ context.Context, n int) error {
		if n%2 == 0 {
			return failure
		}
		return nil
	}}
	b := forward(t, s, r, bridge.Options{OnError: heard.add})
	insert(t, buckets["a"], 1, 2, 3)
	require.NoError(t, b.Stop(t.Context()))
	require.Equal(t, bridge.Stats{Forwarded: 1, Failed: 2}, b.Stats())
	require.Len(t, heard.list(), 2)
	for _, err := range heard.list() {
		require.ErrorIs(t, err, failure)
	}
}

// TestOnErrorIsContained: what OnError itself does wrong changes nothing.
func TestOnErrorIsContained(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("no") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, buckets := newStore(t, store.Options{}, "a")
				gate, calls := make(chan struct{}), 0
				r := &collector{act: func(context.Context, int) error { <-gate; return errors.New("no") }}
				b := forward(t, s, r, bridge.Options{Buffer: 2, OnError: func(error) { calls++; fail() }})
				for i := range 8 {
					insert(t, buckets["a"], i)
					synctest.Wait()
				}
				close(gate)
				require.NoError(t, b.Stop(t.Context()))
				require.Equal(t, bridge.Stats{Failed: 3, Dropped: 5}, b.Stats())
				require.Equal(t, 5, calls, "one for each failure, and of the overflow the first and the rest")
			})
		})
	}
}

// TestHangingReceiver: writers and the store's Close do not wait for it.
func TestHangingReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, buckets := newStore(t, store.Options{}, "a")
		gate := make(chan struct{})
		b := forward(t, s, &collector{act: func(context.Context, int) error { <-gate; return nil }}, bridge.Options{Buffer: 10})
		for i := range 100 {
			insert(t, buckets["a"], i)
			synctest.Wait()
		}
		require.NoError(t, s.Settle(t.Context()), "its queue is not the store's business")
		require.Equal(t, bridge.Stats{Queued: 11, Dropped: 89}, b.Stats())
		require.NoError(t, s.Close(t.Context()))
		synctest.Wait()
		select {
		case <-b.Done():
			t.Error("the bridge has ended before its receiver")
		default:
		}

		// Out of time, again and again.
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorIs(t, b.Stop(ctx), context.DeadlineExceeded)
			cancel()
		}
		require.Equal(t, bridge.Stats{Queued: 1, Dropped: 99}, b.Stats())
		close(gate)
		require.NoError(t, b.Stop(t.Context()))
		require.Equal(t, bridge.Stats{Forwarded: 1, Dropped: 99}, b.Stats())
	})
}

// TestContextOfReceiver: it ends with the timeout, or with a Stop out of time.
func TestContextOfReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, buckets := newStore(t, store.Options{}, "a")
		wait := &collector{act: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		var heard reports
		bounded := forward(t, s, wait, bridge.Options{Timeout: time.Minute, OnError: heard.add})
		unbounded := forward(t, s, wait, bridge.Options{OnError: heard.add})
		insert(t, buckets["a"], 1)
		require.NoError(t, bounded.Stop(t.Context()))
		require.ErrorIs(t, heard.list()[0], context.DeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.Error(t, unbounded.Stop(ctx))
		require.NoError(t, unbounded.Stop(t.Context()))
		require.ErrorIs(t, heard.list()[1], context.Canceled)
		require.Equal(t, bridge.Stats{Failed: 1}, unbounded.Stats())
	})
}

// TestReceiverCallsBack: it writes to the store, and gets the events of what it
// wrote; it stops the bridge; it closes the store.
func TestReceiverCallsBack(t *testing.T) {
	s, buckets := newStore(t, store.Options{}, "a", "b")
	r := &collector{act: func(ctx context.Context, n int) error {
		if n >= 5 {
			return nil
		}
		_, err := buckets["b"].Insert(ctx, store.Fields{"id": n})
		return err
	}}
	b := forward(t, s, r, bridge.Options{})
	insert(t, buckets["a"], 1)
	for b.Stats().Forwarded < 6 {
		runtime.Gosched()
	}
	require.NoError(t, b.Stop(t.Context()))
	require.Len(t, r.list(), 6)
}

// TestStopInside: in every function that the bridge waits for, Stop returns at once,
// whatever its context; what was committed before is still forwarded.
func TestStopInside(t *testing.T) {
	for _, where := range []string{"emit", "emit, its context in another goroutine", "filter", "map", "error"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, buckets := newStore(t, store.Options{}, "a")
				var b *bridge.Bridge
				stop := func(ctx context.Context) {
					if err := b.Stop(ctx); err != nil {
						t.Errorf("stop: %v", err)
					}
				}
				background := context.Background()
				gate := make(chan struct{})
				r := &collector{act: func(ctx context.Context, _ int) error {
					<-gate
					switch where {
					case "emit":
						stop(background)
					case "emit, its context in another goroutine":
						done := make(chan struct{})
						go func() { defer close(done); stop(context.WithoutCancel(ctx)) }()
						<-done
					case "error":
						return errors.New("no")
					}
					return nil
				}}
				opt := bridge.Options{}
				switch where {
				case "filter":
					opt.Filter = func(store.Event) bool { stop(background); return true }
				case "map":
					opt.MapTopic = func(topic string, _ store.Event) string { stop(background); return topic }
				case "error":
					opt.OnError = func(error) { stop(background) }
				}
				b = forward(t, s, r, opt)
				_, err := buckets["a"].InsertMany(t.Context(), []store.Fields{{"id": 1}, {"id": 2}, {"id": 3}})
				require.NoError(t, err)
				close(gate)
				<-b.Done()
				insert(t, buckets["a"], 4)
				require.Len(t, r.list(), 3)
				require.NoError(t, b.Stop(background))
			})
		})
	}
}

// TestStopForwardsWhatWasCommitted, nothing more, from many goroutines at once.
func TestStopForwardsWhatWasCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, buckets := newStore(t, store.Options{}, "a")
		r := &collector{act: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
		b := forward(t, s, r, bridge.Options{})
		for i := range 50 {
			insert(t, buckets["a"], i)
		}
		for range 4 {
			go func() {
				if err := b.Stop(context.Background()); err != nil {
					t.Errorf("stop: %v", err)
				}
			}()
		}
		synctest.Wait()
		insert(t, buckets["a"], 99)
		require.NoError(t, b.Stop(t.Context()))
		require.Equal(t, bridge.Stats{Forwarded: 50}, b.Stats())
		require.Zero(t, s.Stats().Subscriptions)
	})
}

// TestStoreCloses: what it has committed is forwarded, and the bridge ends by
// itself; synctest fails if a goroutine is left.
func TestStoreCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, buckets := newStore(t, store.Options{}, "a")
		r := &collector{act: func(ctx context.Context, n int) error {
			time.Sleep(time.Second)
			if n == 9 {
				return s.Close(ctx) // once more, from inside
			}
			return nil
		}}
		b := forward(t, s, r, bridge.Options{})
		for i := range 10 {
			insert(t, buckets["a"], i)
		}
		require.NoError(t, s.Close(t.Context()))
		<-b.Done()
		require.Len(t, r.list(), 10)
		require.Equal(t, bridge.Stats{Forwarded: 10}, b.Stats())
		require.NoError(t, b.Stop(t.Context()))
	})
}

// TestSlowFilter: the store's own limit holds for it, and what is missed is said.
func TestSlowFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, buckets := newStore(t, store.Options{EventBuffer: 4}, "a")
		var heard reports
		gate := make(chan struct{})
		b := forward(t, s, &collector{}, bridge.Options{OnError: heard.add, Filter: func(store.Event) bool { <-gate; return true }})
		for i := range 10 {
			insert(t, buckets["a"], i)
			synctest.Wait()
		}
		close(gate)
		require.NoError(t, b.Stop(t.Context()))
		require.Equal(t, bridge.Stats{Forwarded: 5, Missed: 5}, b.Stats())
		require.Len(t, heard.list(), 1)
		require.ErrorIs(t, heard.list()[0], store.ErrLagged)
		var o *bridge.OverflowError
		require.ErrorAs(t, heard.list()[0], &o)
		require.Equal(t, bridge.OverflowError{Missed: 5}, *o)
	})
}
