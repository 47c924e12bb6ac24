package reactive

import "strings"

// Interval is the encoded values from Lo on, up to but without Hi, in the order of their bytes. Lo "" is no lower bound;
// NoHi is no upper bound, and Hi is then ignored. The zero value is empty, as is every interval with Lo >= Hi: it may be
// added and is never found.
type Interval struct {
	Lo, Hi string
	NoHi   bool
}

var everything = Interval{NoHi: true}

// canonical has one form for each set of values, so that intervals of equal values share a node, the empty ones too.
func (iv Interval) canonical() Interval {
	switch {
	case iv.NoHi:
		iv.Hi = ""
	case iv.Lo >= iv.Hi:
		return Interval{}
	}
	return iv
}

// node is one interval, with everyone who watches it. A nil node is an empty tree. The order is that of compare, no two
// nodes are equal, and the heights of two siblings differ by 1 at most.
type node[W any] struct {
	lo, hi      string // canonical
	max         string // the greatest hi of the subtree, unless noMax
	left, right *node[W]
	places      *Place[W] // a ring, never nil between calls
	height      int8      // of the subtree; 1 for a leaf
	noHi        bool
	noMax       bool // some interval of the subtree has no upper bound
}

// compare orders intervals by their lower bounds, those of one lower bound by their upper ones.
func (n *node[W]) compare(iv Interval) int {
	if c := strings.Compare(n.lo, iv.Lo); c != 0 {
		return c
	}
	return compareHi(n.hi, n.noHi, iv.Hi, iv.NoHi)
}

// compareHi orders upper bounds, none after all others. Of two that are none, both strings are "".
func compareHi(a string, noA bool, b string, noB bool) int {
	if noA == noB {
		return strings.Compare(a, b)
	}
	if noA {
		return 1
	}
	return -1
}

func (n *node[W]) find(iv Interval) *node[W] {
	for n != nil {
		switch c := n.compare(iv); {
		case c > 0:
			n = n.left
		case c < 0:
			n = n.right
		default:
			return n
		}
	}
	return nil
}

// stab calls found for the intervals that hold at, and returns how many nodes and places it looked at. A subtree is left
// at its root if all of it ends by then. Where all of a subtree starts by then, one that does not end has a hit: hence
// the bound in the package's comment.
func (n *node[W]) stab(at []byte, found func(W)) (visited int) {
	for n != nil {
		visited++
		if !n.noMax && n.max <= string(at) {
			return visited
		}
		visited += n.left.stab(at, found)
		if n.lo > string(at) {
			return visited
		}
		if n.noHi || n.hi > string(at) {
			visited += n.places.each(found)
		}
		n = n.right
	}
	return visited
}

func (n *node[W]) each(found func(W)) {
	for ; n != nil; n = n.right {
		n.left.each(found)
		n.places.each(found)
	}
}

// insert adds a node whose interval the tree does not have, and returns the new root.
func (n *node[W]) insert(fresh *node[W]) *node[W] {
	if n == nil {
		fresh.update()
		return fresh
	}
	if n.compare(fresh.interval()) > 0 {
		n.left = n.left.insert(fresh)
	} else {
		n.right = n.right.insert(fresh)
	}
	return n.balance()
}

// remove takes out a node of the tree and returns the new root. Nodes are linked anew, never copied over: places point
// to theirs.
func (n *node[W]) remove(gone *node[W]) *node[W] {
	switch c := n.compare(gone.interval()); {
	case c > 0:
		n.left = n.left.remove(gone)
	case c < 0:
		n.right = n.right.remove(gone)
	case n.right == nil:
		return n.left
	default:
		right, next := n.right.takeFirst()
		next.left, next.right = n.left, right
		return next.balance()
	}
	return n.balance()
}

// takeFirst returns the tree without its first node, and that node.
func (n *node[W]) takeFirst() (rest, first *node[W]) {
	if n.left == nil {
		return n.right, n
	}
	n.left, first = n.left.takeFirst()
	return n.balance(), first
}

func (n *node[W]) interval() Interval { return Interval{Lo: n.lo, Hi: n.hi, NoHi: n.noHi} }

// balance settles a node of which one subtree has become higher or lower by 1, and returns the root in its place.
func (n *node[W]) balance() *node[W] {
	switch d := n.left.high() - n.right.high(); {
	case d > 1:
		if n.left.left.high() < n.left.right.high() {
			n.left = n.left.rotateLeft()
		}
		return n.rotateRight()
	case d < -1:
		if n.right.right.high() < n.right.left.high() {
			n.right = n.right.rotateRight()
		}
		return n.rotateLeft()
	}
	n.update()
	return n
}

func (n *node[W]) rotateLeft() *node[W] {
	up := n.right
	n.right, up.left = up.left, n
	n.update()
	up.update()
	return up
}

func (n *node[W]) rotateRight() *node[W] {
	up := n.left
	n.left, up.right = up.right, n
	n.update()
	up.update()
	return up
}

func (n *node[W]) high() int8 {
	if n == nil {
		return 0
	}
	return n.height
}

// update sets what a node knows of its subtree, from the node and its children.
func (n *node[W]) update() {
	n.height = 1 + max(n.left.high(), n.right.high())
	n.max, n.noMax = n.hi, n.noHi
	for _, child := range [...]*node[W]{n.left, n.right} {
		if child != nil && compareHi(child.max, child.noMax, n.max, n.noMax) > 0 {
			n.max, n.noMax = child.max, child.noMax
		}
	}
}
