package ranked

// Window is a part of a list: the entries at the positions from From on, up to but without To.
type Window[E any] struct {
	Tree     Tree[E]
	From, To int
}

// Len returns the number of entries.
func (w Window[E]) Len() int { return max(min(w.To, w.Tree.Len())-max(w.From, 0), 0) }

// Runs calls fn for the entries, a few at a time.
func (w Window[E]) Runs(fn func(run []E)) { w.Tree.Runs(w.From, w.To, fn) }

// Differ hears of what differs between two windows, in order. Positions count from the windows' beginnings. The
// entries must not be changed.
type Differ[E any] struct {
	Cmp     func(a, b *E) int
	Removed func(at int, x *E) // in the first only
	Added   func(at int, x *E) // in the second only
	Both    func(at int, a, b *E)
	// Looked counts the nodes and entries that were compared.
	Looked int
}

// Diff tells d what differs between two windows. Both is called for entries that are equal in the order, and not in a
// node that the trees share.
func (d *Differ[E]) Diff(a, b Window[E]) {
	x, y := walk[E]{}, walk[E]{}
	x.begin(a)
	y.begin(b)
	for x.left > 0 || y.left > 0 {
		d.Looked++
		d.step(&x, &y)
	}
}

func (d *Differ[E]) step(x, y *walk[E]) {
	switch {
	case y.left == 0:
		d.removed(x)
	case x.left == 0:
		d.added(y)
	default:
		p, q := x.kid(), y.kid()
		if p != nil && q != nil && p.node == q.node && p.n <= x.left && q.n <= y.left {
			x.skip(p.n)
			y.skip(q.n)
			return
		}
		switch c := d.Cmp(x.first(), y.first()); {
		case c < 0:
			d.removed(x)
		case c > 0:
			d.added(y)
		case p == nil && q == nil:
			d.Both(y.at(), x.first(), y.first())
			x.skip(1)
			y.skip(1)
		default:
			// The taller one may begin with the other one.
			h := max(height(p), height(q))
			if height(p) == h {
				x.descend()
			}
			if height(q) == h {
				y.descend()
			}
		}
	}
}

// removed goes on in the first window, whose next entry is not in the second.
func (d *Differ[E]) removed(x *walk[E]) {
	if x.kid() != nil {
		x.descend()
		return
	}
	d.Removed(x.at(), x.first())
	x.skip(1)
}

func (d *Differ[E]) added(y *walk[E]) {
	if y.kid() != nil {
		y.descend()
		return
	}
	d.Added(y.at(), y.first())
	y.skip(1)
}

// height is that of a kid, -1 for an entry.
func height[E any](k *kid[E]) int {
	if k == nil {
		return -1
	}
	return k.node.height
}

// walk is a way through a window, subtree by subtree. It stands before a kid, or, in a leaf, before an entry.
type walk[E any] struct {
	size, left int // entries of the window, and how many of them are still to come
	stack      []level[E]
}

type level[E any] struct {
	n *node[E]
	i int
}

func (w *walk[E]) begin(win Window[E]) {
	w.size = win.Len()
	if w.left = w.size; w.size == 0 {
		return
	}
	root := &node[E]{height: win.Tree.root.height + 1, kids: []kid[E]{win.Tree.root.kid()}}
	w.stack = append(make([]level[E], 0, 8), level[E]{root, 0})
	for skip := max(win.From, 0); skip > 0; {
		top := &w.stack[len(w.stack)-1]
		if top.n.height == 0 {
			top.i = skip
			return
		}
		for skip > 0 && skip >= top.n.kids[top.i].n {
			skip -= top.n.kids[top.i].n
			top.i++
		}
		if skip > 0 {
			w.stack = append(w.stack, level[E]{top.n.kids[top.i].node, 0})
		}
	}
}

// at is the position in the window.
func (w *walk[E]) at() int { return w.size - w.left }

// kid is the subtree that is next, nil if it is an entry.
func (w *walk[E]) kid() *kid[E] {
	if top := &w.stack[len(w.stack)-1]; top.n.height > 0 {
		return &top.n.kids[top.i]
	}
	return nil
}

// first is the next entry.
func (w *walk[E]) first() *E {
	top := &w.stack[len(w.stack)-1]
	if top.n.height > 0 {
		return &top.n.kids[top.i].first
	}
	return &top.n.leaf[top.i]
}

// descend goes into the subtree that is next.
func (w *walk[E]) descend() {
	top := &w.stack[len(w.stack)-1]
	w.stack = append(w.stack, level[E]{top.n.kids[top.i].node, 0})
}

// skip passes over what is next, which has n entries.
func (w *walk[E]) skip(n int) {
	w.left -= n
	for len(w.stack) > 0 {
		top := &w.stack[len(w.stack)-1]
		if top.i++; top.i < top.n.size() {
			return
		}
		w.stack = w.stack[:len(w.stack)-1]
	}
}
