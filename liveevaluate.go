package store

import (
	"runtime/debug"
)

// evaluation is a call of a node's function under way. A worker uses one again and
// again; what the function has come to see of it, it does not.
type evaluation struct {
	n     *node
	q     *QueryCtx
	from  uint64 // number of the first commit that was matched after it began
	since uint64
	dirty bool // the node was, when it began
	place int  // among those under way, from 1
	works bool // a worker's, who looks for more when it ends
	round int  // of the reactor's, when a worker began it
	stuck bool // it did not end for a while

	value any
	err   error
	ok    bool    // the function has returned
	out   outcome // what it came to
}

// glimpse is what the function sees of an evaluation with a state of its own. It
// may keep it: that it is over, it is told by done.
type glimpse struct {
	QueryCtx
	hold hold
}

// evaluate evaluates a node at the newest state. The caller has claimed it. It
// runs the user's function: on a worker's goroutine, or on a subscriber's.
func (r *reactor) evaluate(e *evaluation) {
	st := r.st
	g := new(glimpse)
	st.hold(&g.hold, st.pins.Acquire())
	e.q = &g.QueryCtx
	e.q.begin(r.life, scope{hold: &g.hold}, nil, e.n.key, true)
	e.q.isPart, e.q.from = e.n.def == nil, e.from
	defer e.end() // also where the function ends the goroutine
	e.value, e.err = e.n.evaluate(e.q)
	e.ok = true
}

// end contains a panic, and completes the evaluation.
func (e *evaluation) end() {
	if !e.ok {
		e.err = panicked(recover())
	}
	e.q.hold.close()
	e.n.r.complete(e, e.q.take())
}

func panicked(p any) error {
	if p == nil {
		p = "the goroutine ended"
	}
	return &PanicError{Value: p, Stack: debug.Stack()}
}

// outcome makes what the evaluation came to, after what the node had before. It is
// valid as long as the evaluation is.
func (e *evaluation) outcome(prev *outcome) *outcome {
	o := &e.out
	*o = outcome{value: e.value, err: e.err, seq: e.q.pin.Seq, since: e.since, tainted: e.q.tainted.Load()}
	if o.err != nil && e.n.def != nil {
		o.err = queryError(e.n.def.name, o.err)
	}
	if prev != nil {
		if o.gen = prev.gen + 1; o.err != nil {
			o.value = prev.value
		}
	}
	return o
}

// complete registers what an evaluation has read, and makes its outcome known, or
// returns the one before if it is no news.
func (r *reactor) complete(e *evaluation, seen reads) *outcome {
	n, prev := e.n, e.n.latest.Load() // which only a claimed evaluation changes
	o := e.outcome(prev)
	same := prev != nil && n.same(prev, o)
	if !same || o.err != nil {
		kept := *o
		o = &kept
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.afterLocked(e)
	if n.gone { // its query is defined no more
		r.unaskLocked(seen.children)
		kept := *o
		return &kept
	}
	if o.err == nil {
		r.installLocked(n, &n.good, &seen)
		if n.rare != nil {
			r.uninstallLocked(n, &n.rare.failed)
		}
	} else {
		r.installLocked(n, &n.seldom().failed, &seen)
		n.misses.failures++
		for _, c := range n.good.children() { // from now on any change of a part counts: see dirtyLocked
			c.n.dirty = c.n.dirty && c.n.def != nil
		}
	}
	r.unaskLocked(seen.children)
	n.running, n.dirty, n.seq = false, false, o.seq
	n.counts.evaluations++
	r.counts.evaluations++
	if same {
		n.counts.unchanged++
		r.counts.unchanged++
	} else {
		n.latest.Store(o)
	}
	if n.list != nil {
		r.adoptLocked(n, o, same)
	}
	r.setDueLocked(n)
	if since, ok := r.overtakenLocked(e.from, o.seq, n); ok && !r.followLocked(n, e.from, o.seq) {
		r.dirtyLocked(n, since)
	}
	r.wantLocked(n) // what it reads may have become dirty while nobody wanted it
	r.tellParentsLocked(n, o.since)
	r.releaseLocked(n)
	if !same {
		r.notifyLocked(n)
	}
	if n.list != nil && o.err != nil {
		r.failLocked(n, o)
	}
	if o == &e.out {
		return prev
	}
	return o
}

// afterLocked ends an evaluation for those who wait for it.
func (r *reactor) afterLocked(e *evaluation) {
	if x := e.n.rare; x != nil && x.ended != nil {
		close(x.ended)
		x.ended = nil
	}
	r.evals.remove(e)
	r.trimLocked()
	r.progressLocked()
	if !e.works {
		r.helpLocked()
	}
}

// tellParentsLocked makes those dirty that have read another value.
func (r *reactor) tellParentsLocked(n *node, since uint64) {
	latest := n.latest.Load()
	for p, used := range n.parents() {
		switch {
		case p.running || used == latest || p.seq > n.seq:
			// Its own evaluation compares when it ends, or has read a later value.
		case n.same(used, latest):
			p.uses(n, latest)
		default:
			r.dirtyLocked(p, since)
		}
	}
}

// uses notes that a node would read the same of a child as it did.
func (n *node) uses(c *node, o *outcome) {
	c.rare.parents[n] = o
	for reg := range n.registrations {
		for i, child := range reg.children() {
			if child.n == c {
				reg.rest.children[i].o = o
			}
		}
	}
}

// overtakenLocked reports whether anything that a node has read at a commit was
// changed since, by a commit from the given number on or by anything else; and
// by which commit first, 0 if by none.
func (r *reactor) overtakenLocked(from, seq uint64, n *node) (since uint64, ok bool) {
	if from < r.keptFrom {
		return seq + 1, true
	}
	now := n.last()
	for b := range now.buckets {
		if b.dropped.Load() || !b.current() {
			return 0, true
		}
	}
	for _, m := range now.names() {
		if m.changed(r.st) {
			return 0, true
		}
	}
	for _, c := range now.children() {
		if c.n.gone || !c.n.running && !c.n.dirty && !c.n.same(c.o, c.n.latest.Load()) {
			return 0, true
		}
		if c.n.def != nil {
			continue
		}
		if s, ok := r.overtakenLocked(from, seq, c.n); ok {
			r.dirtyLocked(c.n, s)
		}
	}
	if r.st.bug == bugLostUpdate {
		return 0, false
	}
	for _, ev := range r.kept[from-r.keptFrom:] {
		if ev.seq > seq && n.concernedBy(ev) {
			return ev.seq, true
		}
	}
	return 0, false
}

func (n *node) concernedBy(ev *commitEvent) bool {
	for i := range ev.changes {
		c := &ev.changes[i]
		for reg := range n.registrations {
			for _, w := range reg.watches {
				if w.b == c.b && w.concerns(c) {
					return true
				}
			}
		}
	}
	return false
}

// ask returns the value of another query for an evaluation under way, at its
// state: that of its node, if it is known to hold, else it is evaluated here and
// now. It waits for nobody, so that queries cannot wait for one another.
func (r *reactor) ask(q *QueryCtx, def *queryDef, params any, key string) *outcome {
	seq := q.pin.Seq
	r.mu.Lock()
	r.syncLocked(seq)
	if def.gone.Load() {
		r.mu.Unlock()
		return &outcome{err: queryError(def.name, ErrQueryNotDefined)}
	}
	n := r.nodeLocked(def, params, key)
	n.asks++
	if o := n.latest.Load(); n.evaluatedByLocked(seq) && n.holdsLocked(seq) && !o.tainted {
		r.mu.Unlock()
		r.usedBy(q, n, o)
		return o
	}
	e := &evaluation{n: n}
	claimed := !n.running && (n.latest.Load() == nil || n.seq <= seq)
	if claimed {
		r.beginLocked(e)
		e.from = q.from // of the evaluation whose state this is
	}
	r.mu.Unlock()
	e.q = newQueryCtx(q.ctx, q.scope, q, key, true)
	return r.nested(e, q, claimed)
}

// nested evaluates a node within the evaluation of another one. Its outcome is
// not kept if it is not claimed, as another evaluation of it is under way, nor if
// it depends on who has asked; then what it has read counts as read by who has.
func (r *reactor) nested(e *evaluation, q *QueryCtx, claimed bool) (o *outcome) {
	defer func() {
		if !e.ok {
			e.err = panicked(recover())
		}
		seen := e.q.take()
		if claimed && !e.q.tainted.Load() && !q.done.Load() {
			o = r.complete(e, seen)
			r.usedBy(q, e.n, o)
			return
		}
		o = e.outcome(e.n.latest.Load())
		late := !q.absorb(&seen)
		r.mu.Lock()
		defer r.mu.Unlock()
		if claimed {
			r.abandonLocked(e)
		}
		if late {
			r.unaskLocked(seen.children)
		}
		e.n.asks--
		r.releaseLocked(e.n)
	}()
	e.value, e.err = e.n.evaluate(e.q)
	e.ok = true
	return nil
}

// usedBy notes that an evaluation has used a node's outcome, and lets the node go
// if that is over.
func (r *reactor) usedBy(q *QueryCtx, n *node, o *outcome) {
	if !q.used(n, o) {
		r.mu.Lock()
		defer r.mu.Unlock()
		n.asks--
		r.releaseLocked(n)
	}
}

// abandonLocked ends an evaluation whose outcome is not kept.
func (r *reactor) abandonLocked(e *evaluation) {
	n := e.n
	n.running = false
	if since, ok := r.overtakenLocked(e.from, n.seq, n); ok && n.latest.Load() != nil {
		r.dirtyLocked(n, min(since, e.since))
	} else if e.dirty {
		r.dirtyLocked(n, e.since)
	}
	r.afterLocked(e)
}

// evaluatePart evaluates a value that a function reads, for the first time. The
// node is registered together with the function's.
func (r *reactor) evaluatePart(q *QueryCtx, n *node) *outcome {
	sub := newQueryCtx(q.ctx, q.scope, q, "", true)
	sub.isPart = true
	value, err := n.evaluate(sub)
	o := &outcome{value: value, err: err, seq: q.pin.Seq}
	seen := sub.take()
	n.seq, n.rare.first = o.seq, &seen
	n.latest.Store(o)
	q.used(n, o)
	return o
}

// unaskLocked lets go of nodes that an evaluation has used.
func (r *reactor) unaskLocked(children []childRead) {
	for _, c := range children {
		if c.n.def != nil {
			c.n.asks--
			r.releaseLocked(c.n)
		}
	}
}

// evaluations is a set, in no order. Each knows its place.
type evaluations []*evaluation

func (s *evaluations) add(e *evaluation) {
	*s = append(*s, e)
	e.place = len(*s)
}

func (s *evaluations) remove(e *evaluation) {
	list := *s
	last := len(list)
	list[e.place-1] = list[last-1]
	list[e.place-1].place = e.place
	list[last-1] = nil
	*s, e.place = list[:last-1], 0
}
