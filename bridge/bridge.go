// Package bridge forwards the events of a store to something else: a rule engine, a
// queue, a webhook. It is fire and forget: what the other end does, or does not do,
// changes nothing for those who write to the store.
//
//	b, err := bridge.Forward(s, receiver, bridge.Options{Pattern: "bucket.orders.*"})
//	defer b.Stop(ctx)
//
// # How an event gets across
//
//	commit ─► Store.Listen ─► Filter ─► queue ─► MapTopic, MapData ─► Receiver.Emit
//	          the store's goroutine     bounded  the bridge's goroutine
//
// Two goroutines serve a bridge: the store's, "events PATTERN", filters and fills the
// queue, and the bridge's own empties it. So the receiver may be slow, hang, call
// back into the store, or close it; the queue fills up meanwhile, and beyond
// [Options.Buffer] events are dropped as [Options.Overflow] says. A writer waits for
// neither goroutine.
//
// # Guarantees
//
//  1. The receiver gets events in the order of commits, those of one commit one after
//     the other, one at a time, each at most once.
//  2. Each event that the pattern matches is counted once in [Stats]: forwarded,
//     filtered, failed, panicked, dropped or queued. Nothing is lost unsaid.
//  3. Errors of the receiver, and panics and the end of the goroutine
//     (runtime.Goexit) in any function of the user, are counted and reported to
//     [Options.OnError]; the next event is forwarded as if nothing had happened.
//  4. [Bridge.Stop] forwards all that was committed before it, as far as its context
//     lets it. When the store closes, what it has committed is forwarded, and the
//     bridge ends by itself. No goroutine is left, unless the receiver does not
//     return.
//
// An event whose receiver failed is not forwarded again: who needs that keeps the
// events in a bucket, and deletes those that were received.
//
// # Cost
//
// A writer does for a bridge what it does for any handler of events: it hands the
// commit over and wakes who sleeps. With all that the bridge and the default data
// cost on one processor, a write took 0.7 µs more than the 0.4 µs that it took alone;
// 0.5 µs more where the receiver takes events as they are (BenchmarkWrite with
// -cpu 1; BenchmarkAdded shows the difference within one run).
package bridge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/feed"
)

// Receiver is the other end of a bridge. Emit is called for one event at a time, in
// the order of commits, on the bridge's goroutine. Its context ends when the bridge
// is stopped and out of time, or after [Options.Timeout]; an Emit that does not heed
// it holds up its own bridge only. data is the receiver's own.
type Receiver interface {
	Emit(ctx context.Context, topic string, data map[string]any) error
}

// ReceiverFunc is a function as a [Receiver]. Forward refuses a nil one.
type ReceiverFunc func(ctx context.Context, topic string, data map[string]any) error

// Emit calls the function.
func (f ReceiverFunc) Emit(ctx context.Context, topic string, data map[string]any) error {
	return f(ctx, topic, data)
}

// EventReceiver is a [Receiver] within the process, which takes events as they are:
// its EmitEvent is called in place of Emit, as that would be, and no data is built,
// unless [Options.MapData] is set. The records of the event are immutable and may be
// kept.
type EventReceiver interface {
	Receiver
	EmitEvent(ctx context.Context, topic string, e store.Event) error
}

// Overflow says what happens to events while the queue is full; the zero value is
// DropNewest. There is no way to block the store, and none to merge the changes of a
// record: who wants its newest state alone, whatever came in between, has it in a live
// query.
type Overflow uint8

// The policies.
const (
	DropNewest Overflow = iota // what comes is not taken: the receiver sees what happened first
	DropOldest                 // what has waited longest is dropped: the receiver sees what happened last
)

var overflowNames = [...]string{"drop newest", "drop oldest"}

func (o Overflow) String() string {
	if int(o) < len(overflowNames) {
		return overflowNames[o]
	}
	return fmt.Sprintf("Overflow(%d)", uint8(o))
}

// DefaultBuffer is how many events wait at most, unless [Options.Buffer] says
// something else.
const DefaultBuffer = 4096

// Options configures a bridge. The zero value forwards every event.
type Options struct {
	// Pattern is of topics, as [store.Store.On] takes it. Default: "bucket.*.*".
	Pattern string
	// Filter reports whether an event is forwarded. It runs before the queue, on a
	// goroutine of the store; while it does not return, events are lost as in any
	// handler (see [Stats.Missed]). Default: all are.
	Filter func(e store.Event) bool
	// MapTopic makes the topic that the receiver gets. Default: it is the event's. It
	// runs on the bridge's goroutine, as MapData does; an event of which either panics
	// is not forwarded.
	MapTopic func(topic string, e store.Event) string
	// MapData makes the data that the receiver gets, which is then the receiver's.
	// Default: [Data].
	MapData func(e store.Event) map[string]any
	// Buffer is how many events wait for the receiver at most. Default:
	// DefaultBuffer; negative is refused.
	Buffer int
	// Overflow is what happens beyond. Default: DropNewest.
	Overflow Overflow
	// Timeout bounds the context of each Emit. Default: no bound; negative is
	// refused.
	Timeout time.Duration
	// OnError hears of *Error, for each event that could not be forwarded, and of
	// *OverflowError. It may be called from two goroutines and must not block: while
	// it does, the bridge waits. Its panics are dropped. Default: errors are only
	// counted.
	OnError func(error)
}

func (o *Options) check() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Buffer < 0 {
		bad("Options.Buffer is negative")
	}
	if o.Timeout < 0 {
		bad("Options.Timeout is negative")
	}
	if int(o.Overflow) >= len(overflowNames) {
		bad("Options.Overflow is none of the policies")
	}
	if o.Pattern == "" {
		o.Pattern = "bucket.*.*"
	}
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	return errs
}

// Bridge is a connection from a store to a [Receiver]. Its methods may be called
// from any goroutine, inside the functions of [Options] and the receiver too.
type Bridge struct {
	opt    Options
	r      Receiver
	direct EventReceiver // r, if it gets events as they are
	l      *store.Listener
	group  *feed.Group
	ctx    context.Context // of every Emit; see insideOf
	cancel context.CancelFunc
	wake   chan struct{} // capacity one: there is something in the queue
	done   chan struct{} // closed when the bridge has ended

	listening, working atomic.Uint64 // the numbers of the two goroutines; 0: not known

	mu    sync.Mutex // protects what follows; a leaf
	queue queue
	over  bool  // takes nothing more: Stop ran out of time
	lost  int64 // dropped since the queue is full, and not reported
	full  bool  // it was full, and is more than half full since
	stats Stats
}

// Stats is what a bridge has done so far. Every event that the pattern matches is
// counted in one of the figures but Missed.
type Stats struct {
	Forwarded int64 // Emit returned nil
	Filtered  int64 // Filter said no
	Failed    int64 // Emit returned an error
	Panicked  int64 // Filter, MapTopic, MapData or Emit panicked, or ended the goroutine
	Dropped   int64 // the queue was full, or Stop ran out of time
	Missed    int64 // commits that Filter or OnError were too slow for: see store.ErrLagged
	Queued    int   // taken and not done with, the one included that the receiver has
}

// Forward begins to forward the events of all commits from now on. Errors: those of
// the options, all at once; [store.ErrPattern]; [store.ErrClosed].
func Forward(s *store.Store, r Receiver, opt Options) (*Bridge, error) {
	errs := opt.check()
	if s == nil {
		errs = append(errs, errors.New("there is no store"))
	}
	if fn, ok := r.(ReceiverFunc); r == nil || ok && fn == nil {
		errs = append(errs, errors.New("there is no receiver"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("bridge: %w", errors.Join(errs...))
	}
	b := &Bridge{opt: opt, r: r, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if direct, ok := r.(EventReceiver); ok && opt.MapData == nil {
		b.direct = direct
	}
	b.queue.most = opt.Buffer
	b.group = feed.NewGroup(func(_ string, p any, stack []byte) {
		b.report(&Error{Op: "forward", Err: &store.PanicError{Value: p, Stack: stack}})
	})
	b.ctx, b.cancel = context.WithCancel(context.WithValue(context.Background(), insideOf{b}, true))
	l, err := s.Listen(opt.Pattern, b.take)
	if err != nil {
		b.cancel()
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b.l = l
	b.group.Go("bridge "+opt.Pattern, b.work)
	return b, nil
}

// Stop takes the events of what was committed before the call, and no more, and
// waits until the receiver has got all of them. If ctx ends before, it drops what
// is left, cancels the context of the Emit under way, and returns an error that
// wraps the context's and says how many were dropped; a later Stop waits again, for
// that Emit. It is idempotent. Where the bridge would wait for itself (inside Emit
// and the functions of Options) it does not wait, and returns nil: the rest is
// forwarded behind it.
func (b *Bridge) Stop(ctx context.Context) error {
	b.l.Drain()
	select {
	case <-b.done:
		return nil
	default:
	}
	if b.inside(ctx) {
		return nil
	}
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
	}
	left := b.abandon()
	return fmt.Errorf("bridge: stop: %d events were dropped, the receiver has not returned: %w", left, ctx.Err())
}

// abandon drops what waits.
func (b *Bridge) abandon() (left int) {
	b.l.Stop()
	b.mu.Lock()
	left = b.queue.len()
	b.queue.clear()
	b.over = true
	b.stats.Dropped += int64(left)
	b.stats.Queued -= left
	b.mu.Unlock()
	b.cancel()
	return left
}

// Done is closed when the bridge has ended: stopped, or with its store, and all
// that it had taken is forwarded.
func (b *Bridge) Done() <-chan struct{} { return b.done }

// Stats returns the figures, which belong together.
func (b *Bridge) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

// count changes the figures.
func (b *Bridge) count(change func(s *Stats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.stats)
}

// take is the handler of the store's events.
func (b *Bridge) take(e store.Event) {
	if b.listening.Load() == 0 {
		b.listening.Store(goroutineNumber())
	}
	through := false
	defer func() {
		if !through { // the goroutine ends, and the listener gets another
			b.listening.Store(0)
		}
	}()
	switch {
	case e.Err != nil:
		b.count(func(s *Stats) { s.Missed += int64(e.Missed) })
		b.report(&OverflowError{Missed: int64(e.Missed)})
	case b.wants(e):
		b.push(e)
	}
	through = true
}

// wants runs the filter.
func (b *Bridge) wants(e store.Event) (ok bool) {
	if b.opt.Filter == nil {
		return true
	}
	through := false
	defer func() {
		if !through {
			ok = false
			b.caught("filter", e.Topic(), e, recover())
		}
	}()
	ok = b.opt.Filter(e)
	if through = true; !ok {
		b.count(func(s *Stats) { s.Filtered++ })
	}
	return ok
}

// push puts an event into the queue, or drops one.
func (b *Bridge) push(e store.Event) {
	b.mu.Lock()
	dropped, first := b.pushLocked(e), false
	if dropped {
		b.stats.Dropped++
		if first = !b.full && !b.over; first {
			b.full = true
		} else {
			b.lost++
		}
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	if first {
		b.report(&OverflowError{Dropped: 1})
	}
}

// pushLocked reports whether an event was dropped for it.
func (b *Bridge) pushLocked(e store.Event) (dropped bool) {
	switch {
	case b.over:
		return true
	case b.queue.push(e):
		b.stats.Queued++
		return false
	case b.opt.Overflow == DropOldest:
		b.queue.pop()
		b.queue.push(e)
	}
	return true
}

// pop takes the next event out of the queue. If events were dropped while it was
// full, and there is room again, it brings their number first, in a call of its own.
func (b *Bridge) pop() (e store.Event, lost int64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.len() <= b.opt.Buffer/2 {
		lost, b.lost, b.full = b.lost, 0, false
	}
	if lost == 0 {
		e, ok = b.queue.pop()
	}
	return e, lost, ok
}

// work empties the queue until the listener has ended.
func (b *Bridge) work() {
	through := false
	defer func() {
		if !through { // Emit has ended the goroutine: another one goes on behind it
			b.group.Go("bridge "+b.opt.Pattern, b.work)
		}
	}()
	b.working.Store(goroutineNumber())
	for ended := false; ; {
		e, lost, ok := b.pop()
		switch {
		case lost > 0:
			b.report(&OverflowError{Dropped: lost})
		case ok:
			b.forward(e)
		case ended:
			through = true
			b.cancel()
			close(b.done)
			return
		default:
			select {
			case <-b.wake:
			case <-b.l.Done():
				ended = true // nothing is put in any more: what is there is all
			}
		}
	}
}

// forward hands an event to the receiver.
func (b *Bridge) forward(e store.Event) {
	topic, op := e.Topic(), "map"
	through := false
	defer func() {
		if !through {
			b.count(func(s *Stats) { s.Queued-- })
			b.caught(op, topic, e, recover())
		}
	}()
	out := topic
	if b.opt.MapTopic != nil {
		out = b.opt.MapTopic(topic, e)
	}
	ctx := b.ctx
	if b.opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.opt.Timeout)
		defer cancel()
	}
	var err error
	if b.direct != nil {
		op = "emit"
		err = b.direct.EmitEvent(ctx, out, e)
	} else {
		data := b.data(e)
		op = "emit"
		err = b.r.Emit(ctx, out, data)
	}
	through = true
	b.count(func(s *Stats) {
		s.Queued--
		if err != nil {
			s.Failed++
		} else {
			s.Forwarded++
		}
	})
	if err != nil {
		b.report(newError(op, topic, e, err))
	}
}

func (b *Bridge) data(e store.Event) map[string]any {
	if b.opt.MapData != nil {
		return b.opt.MapData(e)
	}
	return Data(e)
}

// caught counts and reports a function of the user that did not return: p is what
// it panicked with, nil if it has ended the goroutine.
func (b *Bridge) caught(op, topic string, e store.Event, p any) {
	b.count(func(s *Stats) { s.Panicked++ })
	if p == nil {
		p = "the goroutine ended"
	}
	b.report(newError(op, topic, e, &store.PanicError{Value: p, Stack: debug.Stack()}))
}

// report tells OnError, whose own panic there is nobody left to tell of.
func (b *Bridge) report(err error) {
	if b.opt.OnError == nil {
		return
	}
	defer func() { _ = recover() }()
	b.opt.OnError(err)
}
