package store

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// QueryEvent is the value of a live query at a commit.
type QueryEvent[R any] struct {
	// Result is what the query returned at Seq. All subscribers of the query with
	// these parameters share it: it must not be changed.
	Result R
	Seq    Seq
	// Err is set where the query has failed; Result is then the last good one.
	// The subscription goes on: the next event comes when what the query read
	// has changed.
	Err error
}

// Subscription brings the values of a live query: the current one first, then
// each new one as far as the subscriber keeps up. It holds one value, the newest:
// who is slow misses those in between, and delays nobody. The sequence never falls
// from event to event; it stays where no commit but the time, or the definition of
// a bucket or a query, has changed the result. An event equal to the one before
// does not come.
//
// Its methods may be called from any goroutine. It ends with its context, with
// Close, with the query's definition, or with the store.
type Subscription[R any] struct{ s *subscriber }

// Next waits for the next event. Errors: the context's; and, when the subscription
// has ended, why: ErrUnsubscribed, ErrQueryNotDefined, the error of its own
// context, or, after the last event, ErrClosed.
func (s *Subscription[R]) Next(ctx context.Context) (QueryEvent[R], error) {
	o, err := s.s.next(ctx)
	if err != nil {
		return QueryEvent[R]{}, err
	}
	return eventOf[R](o), nil
}

// Err returns why the subscription has ended, nil as long as it has not; see Next.
func (s *Subscription[R]) Err() error {
	if why := s.s.ended.Load(); why != nil {
		return *why
	}
	return nil
}

// Events iterates over the events until the subscription ends; Err then says why.
func (s *Subscription[R]) Events() iter.Seq[QueryEvent[R]] {
	return func(yield func(QueryEvent[R]) bool) {
		for {
			ev, err := s.Next(context.Background())
			if err != nil || !yield(ev) {
				return
			}
		}
	}
}

// Current returns the newest value that is known, whether Next has brought it or
// not.
func (s *Subscription[R]) Current() QueryEvent[R] { return eventOf[R](s.s.n.latest.Load()) }

// Close ends the subscription. It is idempotent.
func (s *Subscription[R]) Close() { s.s.stop(ErrUnsubscribed) }

func eventOf[R any](o *outcome) QueryEvent[R] {
	v, _ := o.value.(R)
	return QueryEvent[R]{v, Seq(o.seq), o.err}
}

// subscriber is who is told of a node's outcomes: by a call, or when it asks.
type subscriber struct {
	n    *node
	call func(o *outcome) // nil: it asks

	mu    sync.Mutex           // protects seen where it asks
	seen  *outcome             // delivered last
	good  *outcome             // called: the last that was no failure
	bell  atomic.Pointer[bell] // nil: nobody has waited yet; set under mu
	ended atomic.Pointer[error]
	leave func() bool // from its context

	// Under the reactor's lock.
	place int    // in the node's list, from 1; 0: not in it
	turn  int    // among those that are called, from 1; 0: it is not
	begun bool   // a worker is at it
	since uint64 // called: the commit that the call is the consequence of
}

// bell wakes who waits for a subscriber's next event. It is made by the first who
// does: of a great many subscribers, most are only looked at.
type bell struct {
	news chan struct{}
	over chan struct{} // closed when the subscription has ended
}

// await returns the bell: what happens from now on rings it.
func (s *subscriber) await() *bell {
	if b := s.bell.Load(); b != nil {
		return b
	}
	s.n.r.tell(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bell.Load()
	if b == nil {
		b = &bell{make(chan struct{}, 1), make(chan struct{})}
		s.bell.Store(b)
		if s.ended.Load() != nil {
			close(b.over)
		}
	}
	return b
}

// ring wakes who waits, if anybody does.
func (s *subscriber) ring() {
	if b := s.bell.Load(); b != nil {
		offer(b.news)
	}
}

// subscribe enters a subscriber, with the node's outcome at a commit that is the
// newest at the call, or later.
func (r *reactor) subscribe(ctx context.Context, def *queryDef, params any, key string, call func(o *outcome)) (*subscriber, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		return nil, ErrClosed
	}
	if def.gone.Load() {
		r.mu.Unlock()
		return nil, ErrQueryNotDefined
	}
	n := r.nodeLocked(def, params, key)
	n.asks++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		n.asks--
		r.releaseLocked(n)
	}()
	if _, err := r.current(ctx, n); err != nil {
		return nil, err
	}
	s := &subscriber{n: n, call: call}
	if err := r.enter(s); err != nil {
		return nil, err
	}
	if ctx.Done() != nil {
		leave := context.AfterFunc(ctx, func() { s.stop(context.Cause(ctx)) })
		r.mu.Lock()
		if s.leave = leave; s.ended.Load() != nil {
			s.leaveLocked()
		}
		r.mu.Unlock()
	}
	return s, nil
}

func (r *reactor) enter(s *subscriber) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := s.n
	switch {
	case r.closing:
		return ErrClosed
	case n.gone:
		return ErrQueryNotDefined
	}
	if s.call != nil {
		if s.seen = n.latest.Load(); s.seen.err == nil {
			s.good = s.seen
		}
	}
	n.subs = append(n.subs, s)
	if s.place = len(n.subs); s.call != nil {
		n.tellLocked(s)
	}
	r.subscribers++
	r.wantLocked(n)
	r.helpLocked()
	return nil
}

// wantLocked has those evaluated, of a node and what it reads, that are dirty
// since nobody was waiting for them.
func (r *reactor) wantLocked(n *node) {
	if n.dirty {
		r.dirtyLocked(n, n.since)
	}
	for reg := range n.registrations {
		for _, c := range reg.children() {
			r.wantLocked(c.n)
		}
	}
}

// stop ends a subscription, for a reason.
func (s *subscriber) stop(why error) {
	if !s.finish(why) {
		return
	}
	r := s.n.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaveLocked(s)
}

// finish makes known why a subscription ends. It reports false if it has ended.
func (s *subscriber) finish(why error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended.CompareAndSwap(nil, &why) {
		return false
	}
	if b := s.bell.Load(); b != nil {
		close(b.over)
	}
	return true
}

// leaveLocked takes a subscriber out.
func (r *reactor) leaveLocked(s *subscriber) {
	n := s.n
	s.leaveLocked()
	if s.place == 0 {
		return
	}
	if s.place <= n.told {
		n.swapLocked(s.place, n.told)
		n.told--
	}
	last := len(n.subs)
	n.swapLocked(s.place, last)
	n.subs[last-1] = nil
	n.subs = n.subs[:last-1]
	s.place = 0
	r.subscribers--
	r.releaseLocked(n)
	r.progressLocked()
}

// tell has a subscriber told of outcomes, for whom somebody begins to wait. Until
// then it costs an evaluation nothing.
func (r *reactor) tell(s *subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.n.tellLocked(s)
}

func (n *node) tellLocked(s *subscriber) {
	if s.place > n.told {
		n.told++
		n.swapLocked(s.place, n.told)
	}
}

// swapLocked swaps two places in the list, from 1.
func (n *node) swapLocked(i, j int) {
	a, b := n.subs[i-1], n.subs[j-1]
	n.subs[i-1], n.subs[j-1] = b, a
	a.place, b.place = j, i
}

// leaveLocked lets the context of an ended subscription go.
func (s *subscriber) leaveLocked() {
	if s.leave != nil {
		s.leave()
		s.leave = nil
	}
}

// next is Subscription.Next.
func (s *subscriber) next(ctx context.Context) (*outcome, error) {
	for b := s.bell.Load(); ; b = s.await() {
		if o := s.news(); o != nil {
			return o, nil
		}
		if b == nil { // look once more when the bell is there
			continue
		}
		select {
		case <-b.news:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.over:
			why := *s.ended.Load()
			if o := s.news(); o != nil && why == ErrClosed {
				return o, nil
			}
			return nil, why
		}
	}
}

// news returns the newest outcome if it is not what was delivered last.
func (s *subscriber) news() *outcome {
	if why := s.ended.Load(); why != nil && *why != ErrClosed {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.n.latest.Load()
	if s.seen == o {
		return nil
	}
	was := s.seen
	s.seen = o
	if was != nil && o.gen != was.gen+1 && s.n.same(was, o) {
		return nil
	}
	return o
}

// notifyLocked tells a node's subscribers of its new outcome.
func (r *reactor) notifyLocked(n *node) {
	for _, s := range n.subs[:n.told] {
		if s.call == nil {
			s.ring()
			continue
		}
		if s.turn == 0 && !r.closed {
			r.callLocked(s, n.latest.Load().since)
		}
	}
}

// callLocked has a callback called by a worker.
func (r *reactor) callLocked(s *subscriber, since uint64) {
	r.calling = append(r.calling, s)
	s.turn, s.since = len(r.calling), since
	r.calls.push(s)
}

// calledLocked ends a call. If there is a newer outcome by now, another one follows.
func (r *reactor) calledLocked(s *subscriber) {
	last := len(r.calling)
	r.calling[s.turn-1] = r.calling[last-1]
	r.calling[s.turn-1].turn = s.turn
	r.calling[last-1] = nil
	r.calling = r.calling[:last-1]
	s.turn, s.begun = 0, false
	if o := s.n.latest.Load(); o != s.seen && !s.cut() {
		r.callLocked(s, o.since)
	}
	r.progressLocked()
}

// work calls the callback for the newest outcome, until there is none newer.
func (s *subscriber) work() {
	r := s.n.r
	for o := s.n.latest.Load(); o != s.seen && !s.cut(); o = s.n.latest.Load() {
		if o.since > s.since {
			r.mu.Lock()
			s.since = o.since
			r.progressLocked()
			r.mu.Unlock()
		}
		was := s.seen
		if s.seen = o; s.n.same(was, o) || o.err == nil && s.n.same(s.good, o) {
			continue
		}
		if o.err == nil {
			s.good = o
		}
		s.deliver(o)
	}
}

// cut reports whether a callback is not to be called any more.
func (s *subscriber) cut() bool {
	if why := s.ended.Load(); why != nil && *why != ErrClosed {
		return true
	}
	select {
	case <-s.n.r.st.closing: // Close ran out of time
		return true
	default:
		return false
	}
}

// name is that of a callback in errors.
func (s *subscriber) name() string { return "callback of query " + s.n.def.name }

// deliver calls the callback, and reports its panic.
func (s *subscriber) deliver(o *outcome) {
	st := s.n.r.st
	st.calls.Add(1)
	defer func() {
		st.calls.Add(1)
		if p := recover(); p != nil {
			st.report(s.name(), panicked(p))
		}
	}()
	s.call(o)
}

// callback makes a subscriber's callback of a user's, which hears of good results
// only; failures are reported.
func callback[R any](st *Store, name string, fn func(R)) func(o *outcome) {
	return func(o *outcome) {
		if o.err != nil {
			st.report("query "+name, o.err)
			return
		}
		v, _ := o.value.(R)
		fn(v)
	}
}

var errNoCallback = errors.New("there is no callback")

// undefine ends every subscription to a definition, and forgets its nodes.
func (r *reactor) undefine(def *queryDef) {
	def.gone.Store(true)
	r.st.runs.part()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.nodes {
		if n.def != def {
			continue
		}
		for _, s := range slices.Clone(n.subs) {
			s.finish(ErrQueryNotDefined)
			r.leaveLocked(s)
		}
		for p := range n.parents() {
			r.dirtyLocked(p, 0)
		}
		if !n.gone {
			r.dropLocked(n)
		}
	}
	r.renamedLocked(def.name)
	r.signal()
}
