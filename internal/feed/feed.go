// Package feed is the bounded, shared queue between the commit pipeline and
// its subscribers, and the one place where the library starts goroutines.
//
//	Append ──► ring   [ 7 | 8 | 9 |10 ]    one for all: entries and weight bounded
//	             │      │       │
//	             │   audience A: 7, 9       who asked for the same thing shares an
//	             │   audience B: 8, 9, 10   audience: which items concern it, how
//	             │                          many came, how many were overwritten
//	             └─► asleep members of the audiences that the new item concerns
//
//	Sub ──► its audience and a count of items taken; no queue of its own
//
// Reading order: feed.go (what the producer and the store call), sub.go (what
// a subscriber's goroutine calls), audience.go, ring.go; worker.go stands alone.
//
// Guarantees, each with the test that holds it:
//
//  1. A subscriber gets the items that concern it in the order of Append, each
//     once (TestOrderAndExactlyOnce), and is told the exact number of those
//     that it lost (TestAgainstModel, TestOvertakenByEntries, ...ByWeight).
//  2. Append costs the touched buckets and the sleepers that it wakes; nobody
//     else, awake or asleep, and it waits for nobody (BenchmarkAppend).
//  3. Memory follows the limits, never the number of subscribers, and is let
//     go as soon as nobody is behind (TestRingIsEmptied).
//  4. No wake-up is lost and no subscription ends unasked (TestAgainstModel,
//     TestWakeUpBeforeSleep).
package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrClosed indicates that the feed takes no more subscribers.
var ErrClosed = errors.New("feed: closed")

// Touch is one bucket that an item touches and the set of event types, one bit
// each, that it has for it.
type Touch struct {
	Bucket uint32
	Types  uint8
}

// Interest says which items concern a subscriber: those that touch Bucket, or
// with Any whatever bucket, with at least one of Types. The empty set of types
// is concerned by nothing, hence the zero Interest too.
type Interest struct {
	Any    bool
	Bucket uint32 // ignored with Any
	Types  uint8
}

// Feed is a bounded queue with one producer and any number of subscribers, each
// at its own pace. All methods are safe for concurrent use, except that calls
// of Append follow one another. Use New; the zero Feed is not usable.
//
// The feed holds an item only while a subscriber that it concerns may be
// behind: one that concerns nobody is not stored, and when all are asleep
// nothing is.
//
// Lock order: mu is a leaf. Callers may hold locks of their own (the producer
// holds the store's commit lock); nothing is locked, sent to with blocking, or
// called back under it.
type Feed[T any] struct {
	// active is len(subscribers) > 0 && !closed: written under mu, read without.
	active atomic.Bool

	mu       sync.Mutex
	ring     ring[T]
	byBucket map[uint32][]*audience[T] // one audience per set of types
	anywhere []*audience[T]            // the same for Interest.Any
	awake    roster[T]                 // subscribers that are not in their audience's asleep
	count    int                       // subscribers, awake and asleep
	closed   bool
	concerns []*audience[T] // Append's scratch: the audiences of the new item
}

// New returns a feed that holds at most entries items, and as many as have
// together at most the given weight, but always the newest. The unit of weight
// is the caller's (estimated bytes). Entries below one count as one.
//
// What is held beside the items: a slot per entry, allocated at the first
// Subscribe, and about 16 bytes per item and audience that it concerns.
func New[T any](entries, weight int) *Feed[T] {
	return &Feed[T]{
		ring:     ring[T]{entries: max(entries, 1), limit: max(weight, 0)},
		byBucket: make(map[uint32][]*audience[T]),
	}
}

// Active reports whether anybody subscribes: one atomic load. When it is false
// the producer need not build the item.
func (f *Feed[T]) Active() bool { return f.active.Load() }

// Append adds an item for the subscribers that it concerns, overwriting the
// oldest ones where the limits ask for it. A negative weight counts as zero;
// touched is not retained, and may name a bucket twice. One call at a time.
// After Close it does nothing.
//
// It costs the touched buckets and the sleepers that it wakes, and blocks on
// nobody; waking is a send to a channel with room.
func (f *Feed[T]) Append(item T, weight int, touched []Touch) {
	if !f.active.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	seq := f.ring.next
	var types uint8
	for _, t := range touched {
		types |= t.Types
		f.offerLocked(f.byBucket[t.Bucket], t.Types, seq)
	}
	f.offerLocked(f.anywhere, types, seq)
	if len(f.concerns) == 0 {
		return
	}
	for _, a := range f.concerns {
		f.wakeLocked(a)
	}
	f.ring.push(item, max(weight, 0), f.concerns)
	f.concerns = recycle(f.concerns)
}

// offerLocked notes the item in those audiences that it concerns.
func (f *Feed[T]) offerLocked(as []*audience[T], types uint8, seq uint64) {
	for _, a := range as {
		if a.interest.Types&types != 0 && a.add(seq) {
			f.concerns = append(f.concerns, a)
		}
	}
}

// wakeLocked wakes every sleeping member of an audience.
func (f *Feed[T]) wakeLocked(a *audience[T]) {
	for _, s := range a.asleep {
		s.asleep = false
		f.awake.add(s)
		s.signal()
	}
	clear(a.asleep)
	a.asleep = a.asleep[:0]
}

// sleepLocked lets a subscriber that has nothing left to take sleep.
func (f *Feed[T]) sleepLocked(s *Sub[T]) {
	f.awake.remove(s)
	s.asleep = true
	s.audience.asleep.add(s)
	f.tidyLocked()
}

// tidyLocked empties the ring when nobody can be behind. Each item is dropped
// once, here or by push, so that this too is constant per Append.
func (f *Feed[T]) tidyLocked() {
	if len(f.awake) == 0 {
		f.ring.empty()
	}
}

// Subscribe returns a subscriber that starts after the newest item; to know
// which that is, call it where no Append can run. It must be closed, or read
// until it ends. Returns ErrClosed after Close.
func (f *Feed[T]) Subscribe(in Interest) (*Sub[T], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	f.ring.allocate()
	a := f.audienceLocked(in)
	a.members++
	// It sleeps from the start: before the first Next it is as little behind
	// as any other for which nothing came.
	s := &Sub[T]{
		feed: f, audience: a, wake: make(chan struct{}, 1),
		asleep: true, taken: a.added, done: a.added,
	}
	a.asleep.add(s)
	f.count++
	f.active.Store(true)
	return s, nil
}

// audienceLocked finds or makes the audience of an interest.
func (f *Feed[T]) audienceLocked(in Interest) *audience[T] {
	as := &f.anywhere
	if in.Any {
		in.Bucket = 0
	} else {
		group := f.byBucket[in.Bucket]
		as = &group
	}
	for _, a := range *as {
		if a.interest == in {
			return a
		}
	}
	a := &audience[T]{interest: in}
	*as = append(*as, a)
	if !in.Any {
		f.byBucket[in.Bucket] = *as
	}
	return a
}

// leaveLocked ends a subscription; no-op when it has ended.
func (f *Feed[T]) leaveLocked(s *Sub[T]) {
	if s.closed {
		return
	}
	s.closed = true
	a := s.audience
	if s.asleep {
		a.asleep.remove(s)
	} else {
		f.awake.remove(s)
	}
	a.members--
	if a.members == 0 {
		f.dismissLocked(a)
	}
	f.count--
	f.active.Store(f.count > 0 && !f.closed)
	for _, w := range s.waits {
		w.waiter.settle()
	}
	s.waits = nil
	s.signal()
	f.tidyLocked()
}

// dismissLocked forgets an audience without members. Items in the ring may
// still point to it; that ends when they are dropped.
func (f *Feed[T]) dismissLocked(a *audience[T]) {
	gone := func(b *audience[T]) bool { return b == a }
	if a.interest.Any {
		f.anywhere = slices.DeleteFunc(f.anywhere, gone)
		return
	}
	rest := slices.DeleteFunc(f.byBucket[a.interest.Bucket], gone)
	if len(rest) == 0 {
		delete(f.byBucket, a.interest.Bucket)
		return
	}
	f.byBucket[a.interest.Bucket] = rest
}

// Close ends the feed: no more items and subscribers. Those that exist read
// what is there and then end. Idempotent; it waits for nobody.
func (f *Feed[T]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	f.active.Store(false)
	for _, as := range f.byBucket {
		for _, a := range as {
			f.wakeLocked(a)
		}
	}
	for _, a := range f.anywhere {
		f.wakeLocked(a)
	}
}

// Wait returns nil when every subscriber that exists at the call has finished
// all items that concern it and were appended before the call, which it says
// by asking for the next, or has closed. When the context ends first, the error
// wraps its error. A subscriber that waits while it handles an item waits for
// itself.
func (f *Feed[T]) Wait(ctx context.Context) error {
	w := f.register()
	select {
	case <-w.done:
		return nil
	default:
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	if behind := f.unregister(w); behind > 0 {
		return fmt.Errorf("feed: %d subscribers not finished: %w", behind, ctx.Err())
	}
	return nil
}

// register enters a new waiter with every subscriber that is behind. A sleeping
// one never is.
func (f *Feed[T]) register() *waiter {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &waiter{pending: 1, done: make(chan struct{})}
	for _, s := range f.awake {
		if s.done < s.audience.added {
			w.pending++
			s.waits = append(s.waits, wait{waiter: w, until: s.audience.added})
		}
	}
	w.settle()
	return w
}

// unregister withdraws a waiter and returns how many it still waited for.
func (f *Feed[T]) unregister(w *waiter) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.pending == 0 {
		return 0
	}
	for _, s := range f.awake {
		s.waits = slices.DeleteFunc(s.waits, func(x wait) bool { return x.waiter == w })
	}
	return w.pending
}

// Lag returns, for statistics, the number of subscribers and how many items the
// one furthest behind has yet to take, those that it lost included.
func (f *Feed[T]) Lag() (subscribers, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.awake {
		most = max(most, int(s.audience.added-s.taken))
	}
	return f.count, most
}
