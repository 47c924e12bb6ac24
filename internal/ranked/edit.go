package ranked

import "slices"

// Edit makes a tree from another one. It is used by one goroutine.
type Edit[E any] struct {
	t   Tree[E]
	cmp func(a, b *E) int
	// Copied counts the nodes that were made.
	Copied int
}

// Edit begins an edit. cmp is the order of the tree: 0 for what takes the same place.
func (t Tree[E]) Edit(cmp func(a, b *E) int) *Edit[E] {
	t.id++
	return &Edit[E]{t: t, cmp: cmp}
}

// Tree returns the list as it is now, and ends the edit: another one begins from the result.
func (e *Edit[E]) Tree() Tree[E] { return e.t }

// Len returns the number of entries.
func (e *Edit[E]) Len() int { return e.t.Len() }

// Put enters x, in the place of an entry that is equal if there is one. It returns its position, and whether it was added.
func (e *Edit[E]) Put(x *E) (at int, added bool) {
	if e.t.root == nil {
		e.t.root = e.make(&node[E]{leaf: []E{*x}})
		return 0, true
	}
	n, split, at, added := e.put(e.t.root, x, true)
	if split != nil {
		n = e.make(&node[E]{height: n.height + 1, kids: []kid[E]{n.kid(), split.kid()}})
	}
	e.t.root = n
	return at, added
}

// put returns what takes the place of n, and its right half if it was split. last says that nothing is behind n.
func (e *Edit[E]) put(n *node[E], x *E, last bool) (m, split *node[E], at int, added bool) {
	if n.height == 0 {
		i, found := e.search(n.leaf, x)
		if m = e.own(n); found {
			m.leaf[i] = *x
			return m, nil, i, false
		}
		m.leaf = slices.Insert(m.leaf, i, *x)
		return m, e.split(m, last && i == len(n.leaf)), i, true
	}
	i := e.under(n.kids, x)
	for k := range i {
		at += n.kids[k].n
	}
	last = last && i == len(n.kids)-1
	below, half, pos, added := e.put(n.kids[i].node, x, last)
	m = e.own(n)
	if m.kids[i] = below.kid(); half != nil {
		m.kids = slices.Insert(m.kids, i+1, half.kid())
	}
	return m, e.split(m, last), at + pos, added
}

// split cuts a node that is too large. Where the list grows at its end, the left half stays full.
func (e *Edit[E]) split(n *node[E], end bool) *node[E] {
	size := n.size()
	if size <= most {
		return nil
	}
	at := size / 2
	if end {
		at = most
	}
	half := &node[E]{height: n.height}
	if n.height == 0 {
		half.leaf = append(make([]E, 0, max(size-at, most/2)), n.leaf[at:]...)
		clear(n.leaf[at:])
		n.leaf = n.leaf[:at]
	} else {
		half.kids = append(make([]kid[E], 0, max(size-at, most/2)), n.kids[at:]...)
		clear(n.kids[at:])
		n.kids = n.kids[:at]
	}
	return e.make(half)
}

// Remove takes out the entry that is equal to x. It returns the position that it had; false if there is none.
func (e *Edit[E]) Remove(x *E) (at int, ok bool) {
	if e.t.root == nil {
		return 0, false
	}
	n, at, ok := e.remove(e.t.root, x)
	if !ok {
		return 0, false
	}
	for n.height > 0 && len(n.kids) == 1 {
		n = n.kids[0].node
	}
	if e.t.root = n; n.size() == 0 {
		e.t.root = nil
	}
	return at, true
}

func (e *Edit[E]) remove(n *node[E], x *E) (m *node[E], at int, ok bool) {
	if n.height == 0 {
		i, found := e.search(n.leaf, x)
		if !found {
			return n, 0, false
		}
		m = e.own(n)
		m.leaf = slices.Delete(m.leaf, i, i+1)
		return m, i, true
	}
	i := e.under(n.kids, x)
	for k := range i {
		at += n.kids[k].n
	}
	below, pos, ok := e.remove(n.kids[i].node, x)
	if !ok {
		return n, 0, false
	}
	m = e.own(n)
	e.replace(m, i, below)
	return m, at + pos, true
}

// replace puts a node that has become smaller into its place, joined with a neighbour if it is too small.
func (e *Edit[E]) replace(m *node[E], i int, below *node[E]) {
	switch {
	case below.size() == 0:
		m.kids = slices.Delete(m.kids, i, i+1)
		return
	case below.size() >= least || len(m.kids) == 1:
		m.kids[i] = below.kid()
		return
	case i > 0:
		i--
		below = e.join(m.kids[i].node, below)
	default:
		below = e.join(below, m.kids[1].node)
	}
	m.kids = slices.Delete(m.kids, i+1, i+2)
	half := e.split(below, false)
	if m.kids[i] = below.kid(); half != nil {
		m.kids = slices.Insert(m.kids, i+1, half.kid())
	}
}

// join returns a node of what two neighbours have, in the place of the first.
func (e *Edit[E]) join(a, b *node[E]) *node[E] {
	a = e.own(a)
	a.leaf, a.kids = append(a.leaf, b.leaf...), append(a.kids, b.kids...)
	return a
}

// Truncate takes out all entries from position n on.
func (e *Edit[E]) Truncate(n int) {
	switch {
	case n <= 0:
		e.t.root = nil
	case n < e.Len():
		m := e.cut(e.t.root, n)
		for m.height > 0 && len(m.kids) == 1 {
			m = m.kids[0].node
		}
		e.t.root = m
	}
}

func (e *Edit[E]) cut(n *node[E], left int) *node[E] {
	m := e.own(n)
	if m.height == 0 {
		clear(m.leaf[left:])
		m.leaf = m.leaf[:left]
		return m
	}
	for i := range m.kids {
		if k := &m.kids[i]; left <= k.n {
			if left < k.n {
				*k = e.cut(k.node, left).kid()
			}
			clear(m.kids[i+1:])
			m.kids = m.kids[:i+1]
			break
		}
		left -= m.kids[i].n
	}
	return m
}

// own returns the edit's own copy of a node, with room for one more.
func (e *Edit[E]) own(n *node[E]) *node[E] {
	if n.id == e.t.id {
		return n
	}
	m := &node[E]{height: n.height}
	if n.height == 0 {
		m.leaf = append(make([]E, 0, len(n.leaf)+1), n.leaf...)
	} else {
		m.kids = append(make([]kid[E], 0, len(n.kids)+1), n.kids...)
	}
	return e.make(m)
}

func (e *Edit[E]) make(n *node[E]) *node[E] {
	e.Copied++
	n.id = e.t.id
	return n
}

// search finds the place of x in a leaf.
func (e *Edit[E]) search(leaf []E, x *E) (int, bool) {
	lo, hi := 0, len(leaf)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch c := e.cmp(&leaf[mid], x); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// under finds the kid that x belongs to.
func (e *Edit[E]) under(kids []kid[E], x *E) int {
	lo, hi := 1, len(kids) // what is before all belongs to the first
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); e.cmp(&kids[mid].first, x) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}
