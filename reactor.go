package store

import (
	"context"
	"reflect"
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
// commits while others run user code, so that a function or a callback that does not
// return delays its own node or subscriber only; see away and stall.
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
	wake   chan struct{}             // at most one token: see signal
	roused atomic.Bool               // a token is on its way to a worker
	joints atomic.Int64              // numbers those of Together
	timed  atomic.Int64              // nodes that time will make dirty, or more
	shown  atomic.Pointer[time.Time] // by the store's clock, when it was looked at; set before timed

	mu          sync.Mutex // protects what follows, and the nodes
	nodes       map[string]*node
	watched     map[*bucket]*watchers
	queue       line[*node] // dirty, wanted, first come first served
	warm        int         // how many of them were read ahead; see warmNodesLocked
	warmth      uintptr     // means nothing
	evals       evaluations
	kept        []*commitEvent // matched since the oldest of evals began
	keptFrom    uint64         // number of the first
	keptSize    int            // changes in them
	matched     uint64         // every commit up to this one was matched
	probe       prober
	event       *commitEvent // that is being matched
	change      *change
	idle        int // workers that wait
	awake       int // workers that look for something to do: neither wait nor run user code
	working     int // of evals, how many are a worker's
	stuck       int // of those, how many did not end for a while
	round       int // of looking for such
	stall       *time.Timer
	dues        dueHeap
	lingering   []*node // in the order of their end
	timer       *time.Timer
	timerAt     time.Time
	calling     []*subscriber     // whose callbacks run, or are about to
	calls       line[*subscriber] // of those, whose have not begun
	settling    []*settling       // those who wait
	waits       []*settling       // to be used again
	subscribers int
	closing     bool
	closed      bool
	counts      reactorCounts
	touched     []*node // lists that the commit under way concerns
	lists       listCounts
}

// reactorCounts is what Stats tells.
type reactorCounts struct {
	evaluations, unchanged, changes int64
}

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
	waiting atomic.Int64 // of commits, how many

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
	in.waiting.Store(int64(len(in.commits)))
}

// take returns what has come in, valid until the next call.
func (in *inbox) take() (commits []*commitEvent, lost bool) {
	if in.waiting.Load() == 0 {
		return nil, false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	commits, lost = in.commits, in.lost
	in.commits, in.spare = in.spare[:0], commits
	in.changes, in.lost = 0, false
	in.waiting.Store(0)
	return commits, lost
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
		clear(commits) // which the inbox keeps for the next ones
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
	for i, ev := range commits {
		if i%warmMost == 0 && len(commits)-i > 1 && len(r.nodes) >= warmFrom {
			r.warmWatchesLocked(commits[i:])
		}
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
	if ev.altered != nil {
		r.goneLocked(ev.altered, ev.seq, ev.seq)
	}
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
	if len(r.touched) > 0 {
		r.applyTouchedLocked(ev.seq)
	}
	r.matched = max(r.matched, ev.seq)
	if len(r.evals) > 0 {
		r.keepLocked(ev)
	}
}

// hitLocked looks at a watch that the change under way may concern.
func (r *reactor) hitLocked(w *watch) {
	if w.listed {
		r.listedLocked(w)
		return
	}
	n := w.n
	if n.running || n.dirty || n.seq >= r.event.seq {
		return
	}
	if w.dep != nil && !w.sure && !w.dep.overlaps(r.change) {
		n.misses.near++
		return
	}
	r.dirtyLocked(n, r.event.seq)
}

// dirtyLocked has a node evaluated, if anybody waits for its changes: else when
// somebody asks.
func (r *reactor) dirtyLocked(n *node, since uint64) {
	if n.def == nil {
		for p := range n.parents() { // there is one
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
		r.queue.push(n)
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
	if len(r.kept) == 0 {
		return
	}
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
	e.since, e.dirty = n.since, n.dirty
	if !n.dirty {
		e.since = 0
	}
	n.running, n.dirty, n.since = true, false, e.since
	e.from = r.keptFrom + uint64(len(r.kept))
	r.evals.add(e)
}

func (r *reactor) stats(s *Stats) {
	q := &s.Queries
	q.Defined = len(r.st.Queries())
	r.mu.Lock()
	defer r.mu.Unlock()
	q.ActiveSubscriptions, q.Nodes, q.Pending = r.subscribers, len(r.nodes), r.queue.len()
	q.Evaluations, q.Unchanged = r.counts.evaluations, r.counts.unchanged
	q.Changes, q.Visited = r.counts.changes, r.probe.visited
}
