package store

import (
	"cmp"
	"slices"
	"strings"

	"github.com/noex-go/store/internal/table"
)

// txTree has a transaction's new versions of a bucket in the order of an index,
// and within a key in the order of insertion: a B+tree that counts what is below
// each node.
//
// freeze makes what is there now immutable: a write after it copies the nodes on
// its way, once. So an iterator goes on over the state of its begin without a
// lock, and a transaction that keeps no iterator open copies nothing.
//
// Nodes are not joined when they get small, only dropped when they are empty: a
// tree lives no longer than its transaction.
type txTree struct {
	root  *txNode
	epoch uint64
}

// txEntry is a version and its place in a tree.
type txEntry struct {
	class   txClass
	key     table.Key
	ordinal uint64
	v       *table.Version
}

// txClass sorts before the key. Versions without a value in the index's first
// field come first, as they do in an order.
type txClass uint8

const (
	txNull txClass = iota
	txValue
	txEnd // a bound behind all entries
)

func (a *txEntry) compare(b *txEntry) int {
	if a.class != b.class {
		return int(a.class) - int(b.class)
	}
	if a.key.Word != b.key.Word {
		return cmp.Compare(a.key.Word, b.key.Word)
	}
	if c := strings.Compare(a.key.Text, b.key.Text); c != 0 {
		return c
	}
	return cmp.Compare(a.ordinal, b.ordinal)
}

// txNode is a leaf, with entries, or an inner node, with kids: the list then has
// an entry for each kid that sorts before none of the kid before it and behind
// none of its own. That of the first kid is not looked at.
type txNode struct {
	epoch uint64
	n     int // entries below
	list  []txEntry
	kids  []*txNode
}

// txNodeMax bounds a node: short searches against large copies.
const txNodeMax = 32

// newTxTree makes a tree of entries, which it sorts.
func newTxTree(all []txEntry) *txTree {
	slices.SortFunc(all, func(a, b txEntry) int { return a.compare(&b) })
	const fill = txNodeMax * 3 / 4
	var level []*txNode
	for part := range slices.Chunk(all, fill) {
		level = append(level, &txNode{n: len(part), list: append(make([]txEntry, 0, txNodeMax+1), part...)})
	}
	for len(level) > 1 {
		var above []*txNode
		for part := range slices.Chunk(level, fill) {
			n := &txNode{kids: append(make([]*txNode, 0, txNodeMax+1), part...), list: make([]txEntry, 0, txNodeMax+1)}
			for _, kid := range part {
				n.list = append(n.list, kid.list[0])
				n.n += kid.n
			}
			above = append(above, n)
		}
		level = above
	}
	t := &txTree{}
	if len(level) == 1 {
		t.root = level[0]
	}
	return t
}

// freeze leaves the nodes that there are as they are, for good.
func (t *txTree) freeze() { t.epoch++ }

// add enters a version, instead of one at the same place.
func (t *txTree) add(e *txEntry) {
	if t.root == nil {
		t.root = &txNode{epoch: t.epoch, list: make([]txEntry, 0, txNodeMax+1)}
	}
	left, right := t.insert(t.root, e)
	if right != nil {
		left = &txNode{
			epoch: t.epoch,
			n:     left.n + right.n,
			list:  append(make([]txEntry, 0, txNodeMax+1), left.list[0], right.list[0]),
			kids:  append(make([]*txNode, 0, txNodeMax+1), left, right),
		}
	}
	t.root = left
}

// remove takes out what is at a place.
func (t *txTree) remove(e *txEntry) {
	if t.root != nil {
		t.root = t.cut(t.root, e)
	}
	for t.root != nil && len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
}

func (t *txTree) writable(n *txNode) *txNode {
	if n.epoch == t.epoch {
		return n
	}
	c := &txNode{epoch: t.epoch, n: n.n, list: append(make([]txEntry, 0, txNodeMax+1), n.list...)}
	if n.kids != nil {
		c.kids = append(make([]*txNode, 0, txNodeMax+1), n.kids...)
	}
	return c
}

// insert returns the node, and the one behind it if it was split.
func (t *txTree) insert(n *txNode, e *txEntry) (left, right *txNode) {
	n = t.writable(n)
	if n.kids == nil {
		i := n.find(e)
		if i < len(n.list) && n.list[i].compare(e) == 0 {
			n.list[i] = *e
			return n, nil
		}
		n.list = slices.Insert(n.list, i, *e)
		n.n++
	} else {
		i := n.kid(e)
		n.n -= n.kids[i].n
		kid, next := t.insert(n.kids[i], e)
		n.kids[i] = kid
		n.n += kid.n
		if next != nil {
			n.n += next.n
			n.kids = slices.Insert(n.kids, i+1, next)
			n.list = slices.Insert(n.list, i+1, next.list[0])
		}
	}
	if len(n.list) <= txNodeMax {
		return n, nil
	}
	return n, t.split(n)
}

// split moves the second half of a node to a new one.
func (t *txTree) split(n *txNode) *txNode {
	half := len(n.list) / 2
	next := &txNode{epoch: t.epoch, list: append(make([]txEntry, 0, txNodeMax+1), n.list[half:]...)}
	clear(n.list[half:])
	n.list = n.list[:half]
	if n.kids == nil {
		next.n = len(next.list)
	} else {
		next.kids = append(make([]*txNode, 0, txNodeMax+1), n.kids[half:]...)
		clear(n.kids[half:])
		n.kids = n.kids[:half]
		for _, kid := range next.kids {
			next.n += kid.n
		}
	}
	n.n -= next.n
	return next
}

// cut returns the node without an entry, nil if nothing is left of it.
func (t *txTree) cut(n *txNode, e *txEntry) *txNode {
	if n.kids == nil {
		i := n.find(e)
		if i == len(n.list) || n.list[i].compare(e) != 0 {
			return n
		}
		n = t.writable(n)
		n.list = slices.Delete(n.list, i, i+1)
		if n.n--; n.n == 0 {
			return nil
		}
		return n
	}
	i := n.kid(e)
	before := n.kids[i].n
	kid := t.cut(n.kids[i], e)
	if kid != nil && kid.n == before {
		return n
	}
	n = t.writable(n)
	if n.n--; n.n == 0 {
		return nil
	}
	if kid != nil {
		n.kids[i] = kid
	} else {
		n.kids, n.list = slices.Delete(n.kids, i, i+1), slices.Delete(n.list, i, i+1)
	}
	return n
}

// find returns the first of a leaf's entries that is not before e.
func (n *txNode) find(e *txEntry) int {
	lo, hi := 0, len(n.list)
	for lo < hi {
		if mid := (lo + hi) / 2; n.list[mid].compare(e) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// kid returns the last kid that may have e, or what comes before it.
func (n *txNode) kid(e *txEntry) int {
	lo, hi := 1, len(n.list)
	for lo < hi {
		if mid := (lo + hi) / 2; n.list[mid].compare(e) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// rank is the number of entries before e.
func (n *txNode) rank(e *txEntry) (r int) {
	if n == nil {
		return 0
	}
	for n.kids != nil {
		i := n.kid(e)
		for _, kid := range n.kids[:i] {
			r += kid.n
		}
		n = n.kids[i]
	}
	return r + n.find(e)
}

// ascend appends the entries from lo on that are before hi, as many as there is
// room for. It returns false where there are no more, or no room.
func (n *txNode) ascend(buf []txEntry, lo, hi *txEntry) ([]txEntry, bool) {
	if n.kids == nil {
		for i := n.find(lo); i < len(n.list); i++ {
			if len(buf) == cap(buf) || n.list[i].compare(hi) >= 0 {
				return buf, false
			}
			buf = append(buf, n.list[i])
		}
		return buf, true
	}
	for i := n.kid(lo); i < len(n.kids); i++ {
		more := false
		if buf, more = n.kids[i].ascend(buf, lo, hi); !more {
			return buf, false
		}
	}
	return buf, true
}

// last returns the last entry before hi.
func (n *txNode) last(hi *txEntry) (txEntry, bool) {
	if n.kids == nil {
		if i := n.find(hi); i > 0 {
			return n.list[i-1], true
		}
		return txEntry{}, false
	}
	for i := n.kid(hi); i >= 0; i-- {
		if e, ok := n.kids[i].last(hi); ok {
			return e, true
		}
	}
	return txEntry{}, false
}

// txSpan is an interval of a tree: from lo on, before hi.
type txSpan struct{ lo, hi txEntry }

func (t *txTree) count(s *txSpan) int { return max(t.root.rank(&s.hi)-t.root.rank(&s.lo), 0) }

// txWalk reads intervals of a tree, in the order of a query: backward, the keys
// fall while the entries of one key still come in the order of insertion. Each
// call searches its place anew, so that a walk holds nothing but bounds.
type txWalk struct {
	root  *txNode
	spans []txSpan // those still to be read, in the order in which they come
	back  bool
	flat  bool    // backward through the entries of a key, too
	open  bool    // backward: within a key
	group txEntry // where that key begins
	at    txEntry // how far it has been read
}

// next fills buf, as far as its capacity goes.
func (w *txWalk) next(buf []txEntry) []txEntry {
	for len(buf) < cap(buf) && len(w.spans) > 0 && w.root != nil {
		s := &w.spans[0]
		if !w.back {
			buf, _ = w.root.ascend(buf, &s.lo, &s.hi)
			if len(buf) == cap(buf) {
				s.lo = buf[len(buf)-1]
				s.lo.ordinal++
			} else {
				w.spans = w.spans[1:]
			}
			continue
		}
		if !w.open {
			e, ok := w.root.last(&s.hi)
			if !ok || e.compare(&s.lo) < 0 {
				w.spans = w.spans[1:]
				continue
			}
			if !w.flat {
				e.ordinal = 0
			}
			w.open, w.group, w.at = true, e, e
		}
		buf, _ = w.root.ascend(buf, &w.at, &s.hi)
		if len(buf) == cap(buf) {
			w.at = buf[len(buf)-1]
			w.at.ordinal++
		} else {
			w.open, s.hi = false, w.group
		}
	}
	return buf
}
