package store

import (
	"container/heap"
	"math"
	"slices"
	"time"
)

// nodeLocked finds or makes the node of a query for some parameters.
func (r *reactor) nodeLocked(def *queryDef, params any, key string) *node {
	if n := r.nodes[key]; n != nil {
		return n
	}
	n := &node{r: r, def: def, key: key, params: params}
	n.list, _ = params.(*list)
	n.subs = n.few[:0]
	r.nodes[key] = n
	r.inbox.active.Add(1) // before its first snapshot is pinned: see recent.enter
	if len(r.nodes) == 1 && r.idle+r.awake == 0 && !r.closing {
		r.workLocked()
	}
	return n
}

// installLocked watches what an evaluation has read instead of what another one
// had. As far as both have read the same, the watches stay where they are.
func (r *reactor) installLocked(n *node, at *registration, seen *reads) {
	was := *at
	x := replacing{r: r, n: n, old: was.watches}
	var unwatched []*bucket
	for _, part := range seen.parts {
		if len(part.keys) == 0 && len(part.answers) == 0 {
			unwatched = append(unwatched, part.b)
		}
		for _, k := range part.keys {
			x.read(part.b, k, nil)
		}
		for _, d := range part.answers {
			x.read(part.b, Key{}, d)
		}
	}
	for _, c := range seen.children {
		child := c.n.seldom()
		if child.parents == nil {
			child.parents = map[*node]*outcome{}
		}
		child.parents[n] = c.o
		if child.first != nil {
			at := &c.n.good
			if c.o.err != nil {
				at = &child.failed
			}
			r.installLocked(c.n, at, child.first)
			child.first = nil
		}
	}
	at.rest = nil
	if seen.children != nil || seen.names != nil || !seen.due.IsZero() || unwatched != nil {
		rest := seen.restRead
		rest.buckets = unwatched
		at.rest = &rest
	}
	if x.kept < len(was.watches) || x.fresh != nil {
		at.watches = slices.Concat(was.watches[:x.kept], x.fresh)
		if len(at.watches) == 1 { // in the watch's own memory
			w := at.watches[0]
			w.self[0] = w
			at.watches = w.self[:]
		}
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
	if x.fresh == nil && x.kept < len(x.old) && x.old[x.kept].covers(b, key, dep, &x.r.probe) {
		x.kept++ // with its own dependency: the new one is garbage
		return
	}
	ws := x.r.watched[b]
	if ws == nil {
		ws = &watchers{spaces: map[string]*space{}}
		x.r.watched[b] = ws
	}
	w := &x.n.own
	if w.n != nil {
		w = new(watch)
	}
	w.n, w.b, w.key, w.dep, w.listed = x.n, b, key, dep, x.n.list != nil
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
		ws.remove(w)
		if len(ws.spaces) == 0 {
			delete(r.watched, w.b)
		}
		*w = watch{} // n.own may be used again
	}
	for _, c := range was.children() {
		if n.hasChild(c.n) {
			continue
		}
		delete(c.n.rare.parents, n)
		if c.n.def == nil {
			c.n.gone = true
			for reg := range c.n.registrations {
				r.uninstallLocked(c.n, reg)
			}
		} else {
			r.releaseLocked(c.n)
		}
	}
}

func (n *node) hasChild(c *node) bool {
	is := func(x childRead) bool { return x.n == c }
	for reg := range n.registrations {
		if slices.ContainsFunc(reg.children(), is) {
			return true
		}
	}
	return false
}

// needed reports whether a node must stay.
func (n *node) needed() bool {
	return n.gone || n.def == nil || n.asks > 0 || n.running || len(n.subs) > 0 || len(n.parents()) > 0
}

// releaseLocked lets a node linger that nobody needs any more.
func (r *reactor) releaseLocked(n *node) {
	if n.needed() {
		return
	}
	if r.closing || n.latest.Load() == nil || len(r.lingering) >= lingerMost && (n.rare == nil || n.rare.lingers.IsZero()) {
		r.dropLocked(n)
		return
	}
	x := n.seldom()
	if x.expires = time.Now().Add(linger); x.lingers.IsZero() {
		r.lingerLocked(n)
	}
}

// dropLocked forgets a node.
func (r *reactor) dropLocked(n *node) {
	n.gone, n.dirty = true, false
	if r.nodes[n.key] == n {
		delete(r.nodes, n.key)
	}
	if x := n.rare; x != nil {
		x.due = time.Time{}
		if x.duePlace > 0 {
			heap.Remove(&r.dues, x.duePlace-1)
		}
	}
	r.uninstallLocked(n, &n.good)
	if n.rare != nil {
		r.uninstallLocked(n, &n.rare.failed)
	}
	r.inbox.active.Add(-1)
}

// rebind makes the nodes dirty that have read a bucket which is gone, or
// looked one up by a name that now means another.
func (r *reactor) rebind(name string, gone *bucket) {
	r.st.runs.part()
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone != nil {
		r.goneLocked(gone, math.MaxUint64, 0)
	}
	r.renamedLocked(name)
	r.signal()
}

// goneLocked makes the nodes dirty that have read, or looked up, before a commit, a
// bucket that is there no more, or in the place of which there is another one.
// Not all of them watch it: the answer may have been an error.
func (r *reactor) goneLocked(b *bucket, before, since uint64) {
	for _, n := range r.nodes {
		if n.seq >= before {
			continue
		}
		last := n.last()
		hit := last.reads(b) || slices.ContainsFunc(last.names(), func(m nameRead) bool { return m.b == b })
		for _, c := range last.children() {
			if c.n.def == nil && c.n.last().reads(b) {
				r.dirtyLocked(c.n, since)
			}
		}
		if hit {
			r.dirtyLocked(n, since)
		}
	}
}

// renamed makes the nodes dirty that have looked up a name, of a query or of a
// bucket, that means another one now.
func (r *reactor) renamed(name string) {
	r.st.runs.part()
	if r.inbox.active.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renamedLocked(name)
	r.signal()
}

func (r *reactor) renamedLocked(name string) {
	for _, n := range r.nodes {
		for _, m := range n.last().names() {
			if m.name == name {
				r.dirtyLocked(n, 0)
			}
		}
	}
}
