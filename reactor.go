package store

import (
	"container/heap"
	"context"
	"math"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/canon"
)

// reactor keeps the nodes of live queries up to date.
//
//	commit ──→ inbox ──→ match: spaces of the bucket ──→ dirty nodes ──→ queue ──→ evaluate ──→ subscribers
//	           (a list)   (under mu, no user code)                      (workers)   (user code, no lock)
//
// The commit only appends to the inbox, and only while there are nodes; it wakes a
// worker afterwards. Whoever holds mu next matches what is in the inbox: a worker,
// or a caller who must know what is current. One worker at least waits for
// commits while others run user code, so that a function that does not return
// delays its own node only; see spare and stall.
//
// An evaluation pins a snapshot of its own, after it has been counted (evals).
// From then on matched commits are kept, so that what the evaluation has read can
// be checked against those that it did not see. If more are kept than may be, it
// counts as overtaken: its outcome, which holds at its own commit, is delivered,
// and it begins again.
//
// Cost per commit: an append and a wake-up, no matter how many nodes there are.
// Per change: a look into each space of its bucket, which are as many as there
// are different shapes of reads, then those that the change concerns.
type reactor struct {
	st     *Store
	life   context.Context // of evaluations; ends when a Close ran out of time
	cancel context.CancelFunc
	canon  canon.Cache
	equal  canon.EqualFunc // of two results, boxed
	inbox  inbox
	wake   chan struct{}
	joints atomic.Int64 // numbers those of Together

	mu          sync.Mutex // protects what follows, and the nodes
	nodes       map[string]*node
	watched     map[*bucket]*watchers
	queue       []*node // dirty, wanted, first come first served
	evals       []*evaluation
	kept        []*commitEvent // matched since the oldest of evals began
	keptFrom    uint64         // number of the first
	keptSize    int            // changes in them
	matched     uint64         // every commit up to this one was matched
	probe       prober
	event       *commitEvent // that is being matched
	change      *change
	idle        int // workers that wait
	working     int // workers that evaluate
	stuck       int // of those, how many did not end for a while
	stall       *time.Timer
	dues        dueHeap
	lingering   []*node // in the order of their end
	timer       *time.Timer
	timerAt     time.Time
	calling     []*subscriber // whose callbacks run, or are about to
	moved       chan struct{} // closed when anything has ended; nil: nobody waits
	subscribers int
	closing     bool
	closed      bool
	counts      reactorCounts
}

// reactorCounts is what Stats tells.
type reactorCounts struct {
	evaluations, unchanged, changes int64
}

// linger is how long a node is kept that nobody needs any more, and lingerMost
// how many such nodes.
const (
	linger     = time.Second
	lingerMost = 4096
)

// idleMost is how many workers wait for commits.
const idleMost = 2

// stallTime is after how long evaluations that all workers are at count as stuck,
// so that others take their place.
const stallTime = 10 * time.Millisecond

func newReactor(st *Store) *reactor {
	r := &reactor{st: st, wake: make(chan struct{}, 1), nodes: map[string]*node{}, watched: map[*bucket]*watchers{}}
	r.life, r.cancel = context.WithCancel(context.Background())
	r.canon.Override(reflect.TypeFor[Record](), func(a, b unsafe.Pointer) bool { return sameRecord(*(*Record)(a), *(*Record)(b)) })
	r.equal = r.canon.Equal(reflect.TypeFor[any]())
	r.probe.found = r.hitLocked
	return r
}

// inbox is the commits that are to be matched.
type inbox struct {
	active  atomic.Int64 // nodes; commits come in only while there are any
	waiting atomic.Bool

	mu      sync.Mutex // a leaf, also under the commit lock
	commits []*commitEvent
	spare   []*commitEvent
	changes int
	lost    bool // there were more than are kept
}

// inboxMost bounds the commits that wait, and inboxChanges the changes in them.
// With more, all nodes are evaluated anew.
const (
	inboxMost    = 1 << 16
	inboxChanges = 1 << 20
)

// add takes a commit in, under the commit lock.
func (in *inbox) add(ev *commitEvent) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.commits) == inboxMost || in.changes > inboxChanges {
		clear(in.commits)
		in.commits, in.changes, in.lost = in.commits[:0], 0, true
	}
	in.commits = append(in.commits, ev)
	in.changes += len(ev.changes)
	in.waiting.Store(true)
}

// take returns what has come in, valid until the next call.
func (in *inbox) take() (commits []*commitEvent, lost bool) {
	if !in.waiting.Load() {
		return nil, false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(in.spare)
	commits, lost = in.commits, in.lost
	in.commits, in.spare = in.spare[:0], commits
	in.changes, in.lost = 0, false
	in.waiting.Store(false)
	return commits, lost
}

// commit wakes a worker for a commit that was taken in.
func (r *reactor) commit() {
	if r.inbox.waiting.Load() {
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

// catchUpLocked matches what is in the inbox, and makes dirty what time has.
func (r *reactor) catchUpLocked() {
	for {
		commits, lost := r.inbox.take()
		if lost {
			r.loseLocked()
		}
		if len(commits) == 0 {
			break
		}
		r.matchAllLocked(commits)
	}
	r.expireLocked()
}

// matchAllLocked matches commits. If that panics, which would be a defect of this
// library, every node is evaluated anew.
func (r *reactor) matchAllLocked(commits []*commitEvent) {
	defer func() {
		if p := recover(); p != nil {
			r.loseLocked()
			err := panicked(p)
			r.st.workers.Go("live queries", func() { r.st.report("live queries", err) })
		}
	}()
	for _, ev := range commits {
		r.matchLocked(ev)
	}
}

// syncLocked makes sure that every commit up to seq is matched. A commit is in
// the inbox when the commit lock is free again.
func (r *reactor) syncLocked(seq uint64) {
	if r.catchUpLocked(); r.matched >= seq {
		return
	}
	r.st.commitMu.Lock()
	seq = r.st.pins.Published()
	r.st.commitMu.Unlock()
	r.catchUpLocked()
	r.matched = max(r.matched, seq)
}

// matchLocked finds the nodes that a commit concerns.
func (r *reactor) matchLocked(ev *commitEvent) {
	r.event = ev
	for i := range ev.changes {
		c := &ev.changes[i]
		if ws := r.watched[c.b]; ws != nil {
			r.change = c
			r.counts.changes++
			for _, sp := range ws.list {
				if r.st.bug == bugMissedRange && sp.axis != nil {
					continue
				}
				sp.probe(c, &r.probe)
			}
		}
	}
	r.matched = max(r.matched, ev.seq)
	if len(r.evals) > 0 {
		r.keepLocked(ev)
	}
}

// hitLocked looks at a watch that the change under way may concern.
func (r *reactor) hitLocked(w *watch) {
	n := w.n
	if n.running || n.dirty || n.seq >= r.event.seq {
		return
	}
	if w.dep != nil && !w.dep.overlaps(r.change) {
		n.counts.near++
		return
	}
	r.dirtyLocked(n, r.event.seq)
}

// dirtyLocked has a node evaluated, if anybody waits for its changes: else when
// somebody asks.
func (r *reactor) dirtyLocked(n *node, since uint64) {
	if n.def == nil {
		for p := range n.parents { // there is one
			if o := p.latest.Load(); o != nil && o.err != nil {
				n = p // which failed: whatever it has read may mend it
			}
		}
	}
	if n.running || n.gone || n.dirty && n.queued {
		return
	}
	if !n.dirty {
		n.dirty, n.since = true, since
	}
	if n.wantedLocked() {
		n.queued = true
		r.queue = append(r.queue, n)
		r.stallLocked()
	}
}

// loseLocked gives up on commits that were too many: everything is dirty.
func (r *reactor) loseLocked() {
	r.keptFrom += uint64(len(r.kept)) + 1 // no evaluation under way reaches back
	clear(r.kept)
	r.kept, r.keptSize = r.kept[:0], 0
	for _, ws := range r.watched {
		ws.each(func(w *watch) { r.dirtyLocked(w.n, 0) })
	}
}

// keepLocked keeps a commit for the evaluations under way.
func (r *reactor) keepLocked(ev *commitEvent) {
	r.kept = append(r.kept, ev)
	r.keptSize += len(ev.changes)
	if len(r.kept) > r.st.opt.RecentCommits || r.keptSize > inboxChanges {
		r.dropKeptLocked(max(len(r.kept)/2, 1))
	}
}

func (r *reactor) dropKeptLocked(n int) {
	for _, ev := range r.kept[:n] {
		r.keptSize -= len(ev.changes)
	}
	r.kept = slices.Delete(r.kept, 0, n)
	r.keptFrom += uint64(n)
}

// trimLocked drops the commits that no evaluation under way needs.
func (r *reactor) trimLocked() {
	from := r.keptFrom + uint64(len(r.kept))
	for _, e := range r.evals {
		from = min(from, e.from)
	}
	if from > r.keptFrom {
		r.dropKeptLocked(int(from - r.keptFrom))
	}
}

// beginLocked claims a node for an evaluation.
func (r *reactor) beginLocked(e *evaluation) {
	n := e.n
	e.since = n.since
	if !n.dirty {
		e.since = 0
	}
	n.running, n.dirty, n.since = true, false, e.since
	e.from = r.keptFrom + uint64(len(r.kept))
	r.evals = append(r.evals, e)
}

// work is a worker: it matches commits, evaluates nodes, and waits for more.
func (r *reactor) work() {
	clean := false
	defer func() {
		if !clean { // a query function has ended the goroutine, with mu held again
			r.workLocked()
			r.mu.Unlock()
		}
	}()
	r.mu.Lock()
	for {
		r.catchUpLocked()
		if n := r.nextLocked(); n != nil {
			r.spareLocked()
			r.workOn(n)
			continue
		}
		if r.endLocked() || r.idle >= idleMost {
			break
		}
		r.idle++
		r.mu.Unlock()
		<-r.wake
		r.mu.Lock()
		r.idle--
	}
	clean = true
	r.mu.Unlock()
}

// workOn evaluates a node, with the lock released meanwhile.
func (r *reactor) workOn(n *node) {
	e := &evaluation{n: n}
	r.beginLocked(e)
	r.working++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.working--
		r.stuck = max(r.stuck-1, 0)
	}()
	r.evaluate(e)
}

// limit is how many workers may evaluate at the same time.
func (r *reactor) limit() int { return runtime.GOMAXPROCS(0) + r.stuck }

// nextLocked takes a node from the queue, unless enough are being evaluated.
func (r *reactor) nextLocked() *node {
	for len(r.queue) > 0 && r.working < r.limit() {
		n := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		n.queued = false
		if n.dirty && !n.running && !n.gone && n.wantedLocked() {
			return n
		}
		r.progressLocked()
	}
	return nil
}

// spareLocked sees to it that a worker waits for commits while the caller runs
// user code, and that another one helps with the queue.
func (r *reactor) spareLocked() {
	switch {
	case r.idle == 0:
		r.workLocked()
	case len(r.queue) > 0 && r.working+1 < r.limit():
		r.signal()
	}
}

// workLocked starts a worker.
func (r *reactor) workLocked() { r.st.workers.Go("live queries", r.work) }

// stallLocked watches, while nodes wait and all workers evaluate, that one of
// them ends before long.
func (r *reactor) stallLocked() {
	if r.stall != nil || len(r.queue) == 0 || r.working < r.limit() || r.closed {
		return
	}
	seen := r.counts.evaluations
	r.stall = time.AfterFunc(stallTime, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stall = nil
		if r.counts.evaluations == seen {
			r.stuck = r.working
		}
		r.stallLocked()
		if r.idle == 0 && !r.closed {
			r.workLocked()
		}
		r.signal()
	})
}

// nodeLocked finds or makes the node of a query for some parameters.
func (r *reactor) nodeLocked(def *queryDef, params any, key string) *node {
	if n := r.nodes[key]; n != nil {
		return n
	}
	n := &node{r: r, def: def, key: key, params: params}
	n.eval = func(q *QueryCtx) (any, error) { return def.call(q, n.params) }
	r.nodes[key] = n
	r.inbox.active.Add(1) // before its first snapshot is pinned: see recent.enter
	if len(r.nodes) == 1 && r.idle == 0 && r.working == 0 && !r.closing {
		r.workLocked()
	}
	return n
}

// current returns a node's outcome at the newest commit, or at a later one than
// was the newest at the call. If it is not known, and nobody is about to find
// out, the caller's goroutine does.
func (r *reactor) current(ctx context.Context, n *node) (*outcome, error) {
	target := r.st.pins.Published()
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
			if n.ended == nil {
				n.ended = make(chan struct{})
			}
			ended := n.ended
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
		if o := n.latest.Load(); n.seq >= target {
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

// installLocked watches what an evaluation has read instead of what another one
// had. As far as both have read the same, the watches stay where they are.
func (r *reactor) installLocked(n *node, at *registration, seen *reads) {
	was := *at
	x := replacing{r: r, n: n, old: was.watches}
	for _, part := range seen.parts {
		for _, k := range part.keys {
			x.read(part.b, k, nil)
		}
		for _, d := range part.answers {
			x.read(part.b, Key{}, d)
		}
	}
	for _, c := range seen.children {
		if c.n.parents == nil {
			c.n.parents = map[*node]*outcome{}
		}
		c.n.parents[n] = c.o
		if c.n.first != nil {
			r.installLocked(c.n, &c.n.good, c.n.first)
			c.n.first = nil
		}
	}
	*at = registration{watches: was.watches, children: seen.children, names: seen.names, due: seen.due}
	if x.kept < len(was.watches) || x.fresh != nil {
		at.watches = slices.Concat(was.watches[:x.kept], x.fresh)
	}
	r.forgetLocked(n, &was, x.kept)
}

// replacing is the watches of one evaluation taking the place of another's.
type replacing struct {
	r     *reactor
	n     *node
	old   []*watch
	kept  int // the first of old that stay
	fresh []*watch
}

func (x *replacing) read(b *bucket, key Key, dep *dependency) {
	if x.fresh == nil && x.kept < len(x.old) && x.old[x.kept].covers(b, key, dep) {
		x.old[x.kept].dep = dep
		x.kept++
		return
	}
	ws := x.r.watched[b]
	if ws == nil {
		ws = &watchers{spaces: map[string]*space{}}
		x.r.watched[b] = ws
	}
	w := &watch{n: x.n, b: b, key: key, dep: dep}
	ws.locate(w)
	x.fresh = append(x.fresh, w)
}

// uninstallLocked watches no more what an evaluation had read.
func (r *reactor) uninstallLocked(n *node, at *registration) {
	was := *at
	*at = registration{}
	r.forgetLocked(n, &was, 0)
}

// forgetLocked takes watches out, from the given one on, and lets go of children
// that the node does not have any more.
func (r *reactor) forgetLocked(n *node, was *registration, from int) {
	for _, w := range was.watches[from:] {
		ws := r.watched[w.b]
		for i := range w.at {
			ws.remove(&w.at[i])
		}
		if ws.count == 0 {
			delete(r.watched, w.b)
		}
	}
	for _, c := range was.children {
		if n.hasChild(c.n) {
			continue
		}
		delete(c.n.parents, n)
		if c.n.def == nil {
			c.n.gone = true
			r.uninstallLocked(c.n, &c.n.good)
		} else {
			r.releaseLocked(c.n)
		}
	}
}

func (n *node) hasChild(c *node) bool {
	is := func(x childRead) bool { return x.n == c }
	return slices.ContainsFunc(n.good.children, is) || slices.ContainsFunc(n.failed.children, is)
}

// releaseLocked lets a node linger that nobody needs any more.
func (r *reactor) releaseLocked(n *node) {
	if n.def == nil || n.gone || n.asks > 0 || n.running || len(n.subs) > 0 || len(n.parents) > 0 {
		return
	}
	if r.closing || n.latest.Load() == nil {
		r.dropLocked(n)
		return
	}
	n.expires = time.Now().Add(linger)
	r.lingering = append(r.lingering, n)
	if len(r.lingering) > lingerMost {
		n := r.lingering[0]
		r.lingering = slices.Delete(r.lingering, 0, 1)
		r.dropUnneededLocked(n)
	}
	r.armLocked(r.lingering[0].expires)
}

func (r *reactor) dropUnneededLocked(n *node) {
	if !n.gone && n.asks == 0 && !n.running && len(n.subs) == 0 && len(n.parents) == 0 {
		r.dropLocked(n)
	}
}

// dropLocked forgets a node.
func (r *reactor) dropLocked(n *node) {
	n.gone, n.dirty = true, false
	if r.nodes[n.key] == n {
		delete(r.nodes, n.key)
	}
	n.due = time.Time{}
	if n.duePlace > 0 {
		heap.Remove(&r.dues, n.duePlace-1)
	}
	r.uninstallLocked(n, &n.good)
	r.uninstallLocked(n, &n.failed)
	r.inbox.active.Add(-1)
}

// rebind makes the nodes dirty that have read a bucket which is gone, or
// looked one up by a name that now means another.
func (r *reactor) rebind(name string, gone *bucket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ws := r.watched[gone]; gone != nil && ws != nil {
		ws.each(func(w *watch) { r.dirtyLocked(w.n, 0) })
	}
	for _, n := range r.nodes {
		for _, reg := range [2]*registration{&n.good, &n.failed} {
			for _, m := range reg.names {
				if m.name == name {
					r.dirtyLocked(n, 0)
				}
			}
		}
	}
	r.signal()
}

// dueHeap is the nodes that time makes dirty, the next one first.
type dueHeap []*node

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].duePlace, h[j].duePlace = i+1, j+1
}

func (h *dueHeap) Push(x any) {
	*h = append(*h, x.(*node))
	x.(*node).duePlace = len(*h)
}

func (h *dueHeap) Pop() any {
	n := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	n.duePlace = 0
	return n
}

// setDueLocked enters when time makes a node dirty.
func (r *reactor) setDueLocked(n *node) {
	due := n.good.due
	if f := n.failed.due; due.IsZero() || !f.IsZero() && f.Before(due) {
		due = f
	}
	if due.Equal(n.due) && (n.duePlace > 0) != due.IsZero() {
		return
	}
	if n.duePlace > 0 {
		heap.Remove(&r.dues, n.duePlace-1)
	}
	if n.due = due; due.IsZero() {
		return
	}
	heap.Push(&r.dues, n)
	r.armLocked(r.realTime(due))
}

// realTime is when, by the process's clock, the store's clock will show a time.
func (r *reactor) realTime(due time.Time) time.Time {
	return time.Now().Add(max(due.Sub(r.st.clock()), time.Millisecond))
}

// expireLocked makes the nodes dirty whose time has come, and drops those that
// nobody has needed for a while.
func (r *reactor) expireLocked() {
	if len(r.dues) == 0 && len(r.lingering) == 0 {
		return
	}
	if len(r.dues) > 0 {
		for now := r.st.clock(); len(r.dues) > 0 && !r.dues[0].due.After(now); {
			n := r.dues[0]
			heap.Pop(&r.dues)
			r.dirtyLocked(n, 0)
		}
	}
	for now := time.Now(); len(r.lingering) > 0 && !r.lingering[0].expires.After(now); {
		n := r.lingering[0]
		r.lingering = slices.Delete(r.lingering, 0, 1)
		if !n.expires.After(now) {
			r.dropUnneededLocked(n)
		}
	}
	if !r.timerAt.After(time.Now()) {
		r.timerAt = time.Time{}
	}
	if len(r.dues) > 0 {
		r.armLocked(r.realTime(r.dues[0].due))
	}
	if len(r.lingering) > 0 {
		r.armLocked(r.lingering[0].expires)
	}
}

// armLocked has a worker look around at a time.
func (r *reactor) armLocked(at time.Time) {
	if r.closed || !r.timerAt.IsZero() && !at.Before(r.timerAt) {
		return
	}
	r.timerAt = at
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(at), r.signal)
	} else {
		r.timer.Reset(time.Until(at))
	}
}

// progressLocked wakes those who wait for something to end.
func (r *reactor) progressLocked() {
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// pendingLocked reports whether a consequence of the commits up to seq has not
// been delivered.
func (r *reactor) pendingLocked(seq uint64) bool {
	for _, n := range r.queue {
		if n.dirty && n.since <= seq && n.wantedLocked() {
			return true
		}
	}
	for _, e := range r.evals {
		if e.since <= seq {
			return true
		}
	}
	for _, c := range r.calling {
		if c.since <= seq {
			return true
		}
	}
	return false
}

// settle waits until the consequences of every commit up to seq are delivered.
func (r *reactor) settle(ctx context.Context, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncLocked(seq)
	r.signal()
	for r.pendingLocked(seq) {
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved := r.moved
		r.mu.Unlock()
		select {
		case <-moved:
			r.mu.Lock()
		case <-ctx.Done():
			r.mu.Lock()
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
	if r.idle == 0 && r.working == 0 {
		r.workLocked()
	}
	r.signal()
}

// endLocked reports whether the workers may end. The first one to know ends the
// subscriptions, and wakes another one.
func (r *reactor) endLocked() bool {
	if !r.closing || len(r.queue) > 0 || r.working > 0 {
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
		for _, n := range r.nodes {
			for _, s := range n.subs {
				s.finish(ErrClosed)
			}
		}
	}
	r.signal()
	return true
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

func (r *reactor) stats(s *Stats) {
	q := &s.Queries
	q.Defined = len(r.st.Queries())
	r.mu.Lock()
	defer r.mu.Unlock()
	q.ActiveSubscriptions, q.Nodes, q.Pending = r.subscribers, len(r.nodes), len(r.queue)
	q.Evaluations, q.Unchanged = r.counts.evaluations, r.counts.unchanged
	q.Changes, q.Visited = r.counts.changes, r.probe.visited
}
