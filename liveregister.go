package store

import (
	"container/heap"
	"slices"
	"time"
)

// nodeLocked finds or makes the node of a query for some parameters.
func (r *reactor) nodeLocked(def *queryDef, params any, key string) *node {
	if n := r.nodes[key]; n != nil {
		return n
	}
	n := &node{r: r, def: def, key: key, params: params}
	r.nodes[key] = n
	r.inbox.active.Add(1) // before its first snapshot is pinned: see recent.enter
	if len(r.nodes) == 1 && r.idle == 0 && len(r.working) == 0 && !r.closing {
		r.workLocked()
	}
	return n
}

// installLocked watches what an evaluation has read instead of what another one
// had. As far as both have read the same, the watches stay where they are.
func (r *reactor) installLocked(n *node, at *registration, seen *reads) {
	was := *at
	x := replacing{r: r, n: n, old: was.watches}
	buckets := was.buckets[:0]
	for _, part := range seen.parts {
		if !slices.Contains(buckets, part.b) {
			buckets = append(buckets, part.b)
		}
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
			at := &c.n.good
			if c.o.err != nil {
				at = &c.n.failed
			}
			r.installLocked(c.n, at, c.n.first)
			c.n.first = nil
		}
	}
	clear(buckets[len(buckets):cap(buckets)])
	*at = registration{buckets: buckets, watches: was.watches, children: seen.children, names: seen.names, due: seen.due}
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
		x.kept++ // with its own dependency: the new one is garbage
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
			r.uninstallLocked(c.n, &c.n.failed)
		} else {
			r.releaseLocked(c.n)
		}
	}
}

func (n *node) hasChild(c *node) bool {
	is := func(x childRead) bool { return x.n == c }
	return slices.ContainsFunc(n.good.children, is) || slices.ContainsFunc(n.failed.children, is)
}

// needed reports whether a node must stay.
func (n *node) needed() bool {
	return n.gone || n.def == nil || n.asks > 0 || n.running || len(n.subs) > 0 || len(n.parents) > 0
}

// releaseLocked lets a node linger that nobody needs any more.
func (r *reactor) releaseLocked(n *node) {
	if n.needed() {
		return
	}
	if r.closing || n.latest.Load() == nil || len(r.lingering) >= lingerMost && n.lingers.IsZero() {
		r.dropLocked(n)
		return
	}
	if n.expires = time.Now().Add(linger); n.lingers.IsZero() {
		r.lingerLocked(n)
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
	r.renamedLocked(name)
	r.signal()
}

// alteredLocked makes the nodes dirty that have read, or looked up, a bucket in
// the place of which there is another one since a commit.
func (r *reactor) alteredLocked(b *bucket, seq uint64) {
	for _, n := range r.nodes {
		if n.seq >= seq {
			continue
		}
		last := n.last()
		hit := slices.Contains(last.buckets, b) || slices.ContainsFunc(last.names, func(m nameRead) bool { return m.b == b })
		for _, c := range last.children {
			if c.n.def == nil && slices.Contains(c.n.last().buckets, b) {
				r.dirtyLocked(c.n, seq)
			}
		}
		if hit {
			r.dirtyLocked(n, seq)
		}
	}
}

// renamed makes the nodes dirty that have looked up a name, of a query or of a
// bucket, that means another one now.
func (r *reactor) renamed(name string) {
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
		for _, m := range n.last().names {
			if m.name == name {
				r.dirtyLocked(n, 0)
			}
		}
	}
}
