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

// signal wakes a worker, if one waits, else the next one that is about to. What
// there is to do is known before: so where a worker is being woken already, that one
// sees it.
func (r *reactor) signal() {
	if !r.roused.Load() && r.roused.CompareAndSwap(false, true) {
		r.wake <- struct{}{} // there is room: who takes one says so afterwards
	}
}

// helpLocked wakes a worker for what waits, unless one looks for it anyway.
func (r *reactor) helpLocked() {
	if r.awake == 0 && (r.calls.len() > 0 || r.queue.len() > 0) {
		r.signal()
	}
}

// worker is what a worker has of its own.
type worker struct {
	e     evaluation // used again and again
	calls bool       // it is the callbacks' turn
	row   int        // how many in a row of the same
}

// work is a worker: it matches commits, evaluates nodes, calls callbacks, and waits
// for more.
func (r *reactor) work() {
	clean, w := false, new(worker)
	defer func() {
		if r.awake--; !clean { // user code has ended the goroutine, with mu held again
			r.workLocked()
		}
		r.mu.Unlock()
	}()
	r.mu.Lock()
	for {
		if r.queue.len() < warmMost || r.inbox.waiting.Load() >= matchMost {
			r.catchUpLocked()
		}
		if r.stepLocked(w) {
			continue
		}
		if r.endLocked() || r.idle >= idleMost {
			break
		}
		r.waitLocked()
	}
	clean = true
}

// waitLocked waits until there may be something to do.
func (r *reactor) waitLocked() {
	r.awake--
	r.idle++
	r.mu.Unlock()
	<-r.wake
	r.roused.Store(false)
	r.look()
	r.mu.Lock()
	r.idle--
	r.awake++
}

// stepLocked evaluates a node, or calls a callback. It reports false if there is
// neither. A few of the one and a few of the other take turns, so that the one does
// not wait for all of the other.
func (r *reactor) stepLocked(w *worker) bool {
	if w.row == warmMost {
		w.calls, w.row = !w.calls, 0
	}
	for range 2 {
		if w.calls && r.calls.len() > 0 {
			w.row++
			r.callOn(r.calls.pop())
			return true
		}
		if !w.calls {
			if n := r.nextLocked(); n != nil {
				w.row++
				r.workOn(&w.e, n)
				return true
			}
		}
		w.calls, w.row = !w.calls, 0
	}
	return false
}

// awayLocked has the lock released while user code runs. Another worker waits for
// commits meanwhile, and looks for what else there is to do: it is in the line of
// Go's scheduler by then, and has its turn also if that code does not return.
func (r *reactor) awayLocked() {
	r.awake--
	switch {
	case r.awake > 0:
	case r.idle == 0:
		r.workLocked()
	case r.calls.len() > 0 || r.queue.len() > 0 && r.working < r.limit():
		r.signal()
	}
	r.mu.Unlock()
}

// back locks again after user code.
func (r *reactor) back() {
	r.mu.Lock()
	r.awake++
}

// workOn evaluates a node, with the lock released meanwhile.
func (r *reactor) workOn(e *evaluation, n *node) {
	e.n, e.works = n, true
	r.beginLocked(e)
	e.round = r.round
	r.working++
	r.stallLocked()
	r.awayLocked()
	defer func() {
		r.back()
		if r.working--; e.stuck {
			r.stuck--
		}
		*e = evaluation{}
	}()
	r.evaluate(e)
}

// callOn calls a callback, with the lock released meanwhile.
func (r *reactor) callOn(s *subscriber) {
	s.begun = true
	r.awayLocked()
	defer func() { // also where the callback ends the goroutine
		r.back()
		r.calledLocked(s)
	}()
	s.work()
}

// limit is how many workers may evaluate at the same time. Those that are stuck
// count twice, so that where most functions wait, for a network say, the limit
// doubles until it is enough.
func (r *reactor) limit() int { return runtime.GOMAXPROCS(0) + 2*r.stuck }

// nextLocked takes a node from the queue, unless enough are being evaluated.
func (r *reactor) nextLocked() *node {
	for r.queue.len() > 0 && r.working < r.limit() {
		if r.warm == 0 {
			r.warmNodesLocked()
		}
		r.warm--
		n := r.queue.pop()
		n.queued = false
		if n.dirty && !n.running && !n.gone && n.wantedLocked() {
			return n
		}
		r.progressLocked()
	}
	r.stallLocked()
	return nil
}

// workLocked starts a worker.
func (r *reactor) workLocked() {
	r.awake++
	r.st.workers.Go(workerName, r.work)
}

// workerName is the name of the workers' goroutines.
const workerName = "live queries"

// stallLocked watches, while nodes wait and as many are evaluated as may be, that
// those evaluations end. Those that were under way all the time until it looks
// count no more, so that as many others may be.
func (r *reactor) stallLocked() {
	if r.stall != nil || r.queue.len() == 0 || r.working < r.limit() || r.closed {
		return
	}
	r.round++
	r.stall = time.AfterFunc(stallTime, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stall = nil
		for _, e := range r.evals {
			if e.works && !e.stuck && e.round < r.round {
				e.stuck = true
				r.stuck++
			}
		}
		r.stallLocked()
		if r.idle+r.awake == 0 && !r.closed {
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
	moved chan struct{} // has room for the news that it may be over
}

// settlingLocked returns one that nobody uses.
func (r *reactor) settlingLocked(seq uint64) *settling {
	last := len(r.waits) - 1
	if last < 0 {
		return &settling{seq: seq, moved: make(chan struct{}, 1)}
	}
	w := r.waits[last]
	r.waits = r.waits[:last]
	w.seq = seq
	return w
}

// freeLocked takes one back.
func (r *reactor) freeLocked(w *settling) {
	select {
	case <-w.moved:
	default:
	}
	w.node, w.call = nil, nil
	if len(r.waits) < waitsMost {
		r.waits = append(r.waits, w)
	}
}

// waitsMost is how many of those who wait are kept for others.
const waitsMost = 8

// progressLocked wakes those who wait for something that has ended.
func (r *reactor) progressLocked() {
	for i := 0; i < len(r.settling); {
		w := r.settling[i]
		if w.waitsLocked() {
			i++
			continue
		}
		r.settling = slices.Delete(r.settling, i, i+1)
		w.moved <- struct{}{}
	}
}

// waitsLocked reports whether what is remembered is still to come.
func (w *settling) waitsLocked() bool {
	return w.node != nil && w.node.waitsLocked(w.seq) || w.call != nil && w.call.waitsLocked(w.seq)
}

// pendingLocked reports whether a consequence has not been delivered, and
// remembers it: that of a node that waits, if it is one, of the last in the queue.
func (w *settling) pendingLocked(r *reactor) bool {
	w.node, w.call = nil, nil
	for _, n := range slices.Backward(r.queue.waiting()) {
		if n.waitsLocked(w.seq) {
			w.node = n
			return true
		}
	}
	for _, e := range r.evals { // which is not remembered: it may be used again
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
	r.helpLocked()
	w := r.settlingLocked(seq)
	defer r.freeLocked(w)
	for w.pendingLocked(r) {
		r.settling = append(r.settling, w)
		r.mu.Unlock()
		select {
		case <-w.moved:
			r.mu.Lock()
		case <-ctx.Done():
			r.mu.Lock()
			if i := slices.Index(r.settling, w); i >= 0 {
				r.settling = slices.Delete(r.settling, i, i+1)
			}
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
	if r.idle+r.awake == 0 {
		r.workLocked()
	}
	r.signal()
}

// endLocked reports whether the workers may end. The first one to know ends the
// subscriptions, and wakes another one.
func (r *reactor) endLocked() bool {
	if !r.closing || r.queue.len() > 0 || r.working > 0 {
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

// describe tells of the workers that call callbacks which ones they are.
func (r *reactor) describe(running map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.calling {
		if s.begun && running[workerName] > 0 {
			running[workerName]--
			running[s.name()]++
		}
	}
	if running[workerName] == 0 {
		delete(running, workerName)
	}
}

// evaluating returns the names of the queries that are being evaluated.
func (r *reactor) evaluating() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.evals {
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
