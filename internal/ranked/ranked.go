// Package ranked is a list of entries in order that knows the position of each: an immutable B+tree whose inner nodes
// count.
//
//	Tree ─▶ inner: kid, kid, kid …      kid: a node, how many entries are under it, and the first of them
//	               │
//	               └─▶ leaf: entry, entry, entry …
//
// An [Edit] copies the nodes on the way to what it changes, once each, and shares all others with the tree that it began
// from. So two trees of which one came from the other by few edits differ in few nodes, and [Diff] passes over the
// subtrees that they share without a look inside.
//
// With n entries:
//
//  1. Put, Remove and At take O(log n), and copy O(log n) nodes, each once in an edit. (TestCost)
//  2. A tree never changes, whatever is done with an edit that began from it. (TestModel)
//  3. Diff tells what is in one window and not in the other, and at which positions; it looks at the nodes that the trees
//     do not share, and at O(log n) more. (TestModel, TestCost)
//
// Edits that begin from the same tree may go on at the same time, and trees be read by any goroutine.
package ranked

import "slices"

// The most entries of a leaf and kids of an inner node. Half of that would cost a tenth less memory for each edit
// and a level more.
const (
	most  = 16
	least = most / 4 // below that a node is joined with its neighbour
)

// Tree is an immutable list. The zero value is empty.
type Tree[E any] struct {
	root *node[E] // nil: empty
	id   uint64   // of the edit that made it; those of its nodes are not greater
}

// node is a leaf or an inner node. All leaves are equally deep; none is empty.
type node[E any] struct {
	id     uint64 // of the edit that made it, and may change it
	height int    // 0: a leaf
	leaf   []E
	kids   []kid[E]
}

type kid[E any] struct {
	node  *node[E]
	n     int
	first E
}

func (n *node[E]) count() (sum int) {
	if n.height == 0 {
		return len(n.leaf)
	}
	for i := range n.kids {
		sum += n.kids[i].n
	}
	return sum
}

func (n *node[E]) size() int { return len(n.leaf) + len(n.kids) }

func (n *node[E]) kid() kid[E] {
	k := kid[E]{node: n, n: n.count()}
	if n.height == 0 {
		k.first = n.leaf[0]
	} else {
		k.first = n.kids[0].first
	}
	return k
}

// Build returns a tree of entries that are in order.
func Build[E any](sorted []E) Tree[E] {
	if len(sorted) == 0 {
		return Tree[E]{}
	}
	var level []kid[E]
	for part := range even(sorted) {
		level = append(level, (&node[E]{leaf: part}).kid())
	}
	for height := 1; len(level) > 1; height++ {
		var up []kid[E]
		for part := range even(level) {
			up = append(up, (&node[E]{height: height, kids: part}).kid())
		}
		level = up
	}
	return Tree[E]{root: level[0].node}
}

// even cuts a list into parts of about the same length, three quarters full, each in memory of its own: one that is
// kept does not keep the others.
func even[X any](list []X) func(yield func(part []X) bool) {
	parts := (len(list) + most*3/4 - 1) / (most * 3 / 4)
	return func(yield func([]X) bool) {
		for i := range parts {
			from, to := len(list)*i/parts, len(list)*(i+1)/parts
			if !yield(slices.Clone(list[from:to])) {
				return
			}
		}
	}
}

// Len returns the number of entries.
func (t Tree[E]) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.count()
}

// At returns the entry at a position, which must be one of the list's.
func (t Tree[E]) At(i int) E {
	n := t.root
	for n.height > 0 {
		for k := range n.kids {
			if i < n.kids[k].n {
				n = n.kids[k].node
				break
			}
			i -= n.kids[k].n
		}
	}
	return n.leaf[i]
}

// Runs calls fn for the entries at the positions from on, up to but without to, a few at a time.
func (t Tree[E]) Runs(from, to int, fn func(run []E)) {
	if t.root != nil {
		t.root.runs(max(from, 0), to, fn)
	}
}

func (n *node[E]) runs(from, to int, fn func(run []E)) {
	if n.height == 0 {
		if to = min(to, len(n.leaf)); from < to {
			fn(n.leaf[from:to])
		}
		return
	}
	for i := range n.kids {
		if to <= 0 {
			return
		}
		k := &n.kids[i]
		if from < k.n {
			k.node.runs(from, to, fn)
		}
		from, to = max(from-k.n, 0), to-k.n
	}
}
