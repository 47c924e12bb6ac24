package store

import (
	"context"
	"math"
	"runtime"
	"slices"
	"time"
)

// idleMost is how many workers wait for commits.
const idleMost = 2

// stallTime is after how long evaluations that all workers are at count as stuck,
// so that others take their place.
const stallTime = 10 * time.Millisecond

// commit wakes a worker for a commit that was taken in.
func (r *reactor) commit() {
	if r.inbox.waiting.Load() > 0 {
		r.signal()
	}
}

// signal wakes a worker, if one waits.
func (r *reactor) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// work is a worker: it matches commits, evaluates nodes, and waits for more.
func (r *reactor) work() {
	clean, e := false, new(evaluation)
	defer func() {
		if !clean { // a query function has ended the goroutine, with mu held again
			r.workLocked()
			r.mu.Unlock()
		}
	}()
	r.mu.Lock()
	for {
		if len(r.queue) < warmMost || r.inbox.waiting.Load() >= matchMost {
			r.catchUpLocked()
		}
		if n := r.nextLocked(); n != nil {
			r.spareLocked()
			r.workOn(e, n)
			continue
		}
		if r.endLocked() || r.idle >= idleMost {
			break
		}
		r.idle++
		r.mu.Unlock()
		<-r.wake
		r.look()
		r.mu.Lock()
		r.idle--
	}
	clean = true
	r.mu.Unlock()
}

// workOn evaluates a node, with the lock released meanwhile.
func (r *reactor) workOn(e *evaluation, n *node) {
	e.n = n
	r.beginLocked(e)
	e.round = r.round
	r.working.add(e)
	r.stallLocked()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.working, e)
		if e.stuck {
			r.stuck--
		}
		*e = evaluation{}
	}()
	r.evaluate(e)
}

// limit is how many workers may evaluate at the same time. Those that are stuck
// count twice, so that where most functions wait, for a network say, the limit
// doubles until it is enough.
func (r *reactor) limit() int { return runtime.GOMAXPROCS(0) + 2*r.stuck }

// nextLocked takes a node from the queue, unless enough are being evaluated.
func (r *reactor) nextLocked() *node {
	for len(r.queue) > 0 && len(r.working) < r.limit() {
		if r.warm == 0 {
			r.warmNodesLocked()
		}
		r.warm--
		n := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		n.queued = false
		if n.dirty && !n.running && !n.gone && n.wantedLocked() {
			return n
		}
		r.progressLocked()
	}
	r.stallLocked()
	return nil
}

// spareLocked sees to it that a worker waits for commits while the caller runs
// user code, and that another one helps with the queue.
func (r *reactor) spareLocked() {
	switch {
	case r.idle == 0:
		r.workLocked()
	case len(r.queue) > 0 && len(r.working)+1 < r.limit():
		r.signal()
	}
}

// workLocked starts a worker.
func (r *reactor) workLocked() { r.st.workers.Go("live queries", r.work) }

// stallLocked watches, while nodes wait and as many are evaluated as may be, that
// those evaluations end. Those that were under way all the time until it looks
// count no more, so that as many others may be.
func (r *reactor) stallLocked() {
	if r.stall != nil || len(r.queue) == 0 || len(r.working) < r.limit() || r.closed {
		return
	}
	r.round++
	r.stall = time.AfterFunc(stallTime, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stall = nil
		for e := range r.working {
			if !e.stuck && e.round < r.round {
				e.stuck = true
				r.stuck++
			}
		}
		r.stallLocked()
		if r.idle == 0 && !r.closed {
			r.workLocked()
		}
		r.signal()
	})
}

// current returns a node's outcome at the newest commit, or at a later one than
// was the newest at the call. If it is not known, and nobody is about to find
// out, the caller's goroutine does.
func (r *reactor) current(ctx context.Context, n *node) (*outcome, error) {
	target := r.st.pins.Published()
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if n.gone {
			return nil, ErrQueryNotDefined
		}
		r.syncLocked(target)
		if n.holdsLocked(math.MaxUint64) {
			return n.latest.Load(), nil
		}
		if n.running {
			x := n.seldom()
			if x.ended == nil {
				x.ended = make(chan struct{})
			}
			ended := x.ended
			r.mu.Unlock()
			select {
			case <-ended:
				r.mu.Lock()
			case <-ctx.Done():
				r.mu.Lock()
				return nil, ctx.Err()
			}
		} else {
			e := &evaluation{n: n}
			r.beginLocked(e)
			r.mu.Unlock()
			r.evaluateHere(e)
		}
		if o := n.latest.Load(); n.seq >= target && !((n.dirty || n.running) && n.since <= target) {
			return o, nil
		}
	}
}

// evaluateHere evaluates on the caller's goroutine, and locks again even if the
// function ends it.
func (r *reactor) evaluateHere(e *evaluation) {
	defer r.mu.Lock()
	r.evaluate(e)
}

// settling is one who waits for the consequences of the commits up to seq. It
// remembers one of them that is to come, so that it is not woken, and does not look
// for one, each time that anything ends.
type settling struct {
	seq   uint64
	node  *node         // in the queue
	call  *subscriber   // whose callback is called
	moved chan struct{} // closed when it may be over
}

// progressLocked wakes those who wait for something that has ended.
func (r *reactor) progressLocked() {
	r.settling = slices.DeleteFunc(r.settling, func(w *settling) bool {
		over := !w.waitsLocked()
		if over {
			close(w.moved)
		}
		return over
	})
}

// waitsLocked reports whether what is remembered is still to come.
func (w *settling) waitsLocked() bool {
	return w.node != nil && w.node.waitsLocked(w.seq) || w.call != nil && w.call.waitsLocked(w.seq)
}

// pendingLocked reports whether a consequence has not been delivered, and
// remembers it: that of a node that waits, if it is one, of the last in the queue.
func (w *settling) pendingLocked(r *reactor) bool {
	w.node, w.call = nil, nil
	for _, n := range slices.Backward(r.queue) {
		if n.waitsLocked(w.seq) {
			w.node = n
			return true
		}
	}
	for e := range r.evals { // which is not remembered: it may be used again
		if e.since <= w.seq && e.n.latest.Load() != nil { // the first is no consequence of a commit
			return true
		}
	}
	for _, s := range slices.Backward(r.calling) {
		if s.waitsLocked(w.seq) {
			w.call = s
			return true
		}
	}
	return false
}

// waitsLocked reports whether a callback is called, or about to be, for a
// consequence of the commits up to seq.
func (s *subscriber) waitsLocked(seq uint64) bool { return s.turn > 0 && s.since <= seq }

// waitsLocked reports whether a node in the queue is a consequence of the commits
// up to seq.
func (n *node) waitsLocked(seq uint64) bool {
	return n.queued && n.dirty && n.since <= seq && n.wantedLocked()
}

// settle waits until the consequences of every commit up to seq are delivered.
func (r *reactor) settle(ctx context.Context, seq uint64) error {
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncLocked(seq)
	r.signal()
	for w := (settling{seq: seq}); w.pendingLocked(r); {
		w.moved = make(chan struct{})
		r.settling = append(r.settling, &w)
		r.mu.Unlock()
		select {
		case <-w.moved:
			r.mu.Lock()
		case <-ctx.Done():
			r.mu.Lock()
			r.settling = slices.DeleteFunc(r.settling, func(x *settling) bool { return x == &w })
			return ctx.Err()
		}
	}
	return nil
}

// close lets the workers complete what there is, and then end.
func (r *reactor) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
	if r.idle == 0 && len(r.working) == 0 {
		r.workLocked()
	}
	r.signal()
}

// endLocked reports whether the workers may end. The first one to know ends the
// subscriptions, and wakes another one.
func (r *reactor) endLocked() bool {
	if !r.closing || len(r.queue) > 0 || len(r.working) > 0 {
		return false
	}
	if !r.closed {
		r.closed = true
		if r.timer != nil {
			r.timer.Stop()
		}
		if r.stall != nil {
			r.stall.Stop()
		}
		r.finishLocked()
	}
	r.signal()
	return true
}

// evaluating returns the names of the queries that are being evaluated.
func (r *reactor) evaluating() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := range r.evals {
		if e.n.def != nil {
			names = append(names, e.n.def.name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// shared returns the outcome of a live query's node at the newest commit; nil if
// there is no such node.
func (r *reactor) shared(ctx context.Context, key string) (*outcome, error) {
	if r.inbox.active.Load() == 0 {
		return nil, nil
	}
	r.mu.Lock()
	n := r.nodes[key]
	if n == nil || !n.wantedLocked() {
		r.mu.Unlock()
		return nil, nil
	}
	n.asks++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		n.asks--
		r.releaseLocked(n)
	}()
	return r.current(ctx, n)
}

// finishLocked ends all subscriptions, as the store is closed.
func (r *reactor) finishLocked() {
	for _, n := range r.nodes {
		for _, s := range n.subs {
			s.finish(ErrClosed)
			s.leaveLocked()
		}
	}
}

// cutOff ends what a Close that ran out of time does not wait for.
func (r *reactor) cutOff() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finishLocked()
}
