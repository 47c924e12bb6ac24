package table

import (
	"cmp"
	"sync/atomic"
	"unsafe"
)

// tree is an ordered map from K to a 64-bit payload: a B+tree with one writer
// and any number of readers that take no lock.
//
//	inner (≤ 32 children, keys never change, children swapped atomically)
//	  └─ leaf ⇄ leaf ⇄ leaf   (15 slots each, doubly linked)
//
// A leaf's order lives in one word, perm: 4 bits of count, then the slot
// numbers in key order. Adding a key writes a slot that no published perm names
// and then stores perm; removing one stores perm. A slot is not written again
// while its leaf lives, so readers of any perm read settled keys. This is the
// border node of Masstree (Mao, Kohler, Morris: Cache Craftiness for Fast
// Multicore Key-Value Storage, EuroSys 2012) without its version counters: a
// leaf whose slots are used up is replaced, split or merged by new leaves.
//
// A reader may stand on a leaf that has been replaced. What such a leaf holds,
// and what its links lead to, was current at some moment after the reader
// pinned its sequence, and the table removes no entry that a pinned sequence
// needs: the reader sees a superset of what it is looking for, never less, and
// each key at most once.
//
// Find, put, remove: O(log n); about 2 allocations per 7 keys added in random
// order, 1 per 15 in ascending order.
type tree[K cmp.Ordered] struct {
	root unsafe.Pointer // atomic; *leaf[K] or *inner[K] by its height; nil: empty
}

const (
	leafSlots = 15
	leafGone  = 100 // in nodeHead.n of a leaf that was replaced
	innerKids = 32
	maxHeight = 16
)

// nodeHead starts both kinds of node.
type nodeHead struct {
	height int32 // 0: leaf
	n      int32 // inner: children; leaf: slots written so far (writer only)
}

type leaf[K cmp.Ordered] struct {
	nodeHead
	perm       atomic.Uint64
	prev, next atomic.Pointer[leaf[K]]
	sets       atomic.Pointer[setArray] // row sets of entries that are manyRows
	vals       [leafSlots]uint64        // atomic
	keys       [leafSlots]K
}

type setArray [leafSlots]atomic.Pointer[rowset]

type inner[K cmp.Ordered] struct {
	nodeHead
	keys [innerKids - 1]K          // keys[i] is the lower bound of kids[i+1]
	kids [innerKids]unsafe.Pointer // atomic
}

// perm words

func permLen(p uint64) int       { return int(p & 15) }
func permAt(p uint64, i int) int { return int(p >> (4 + 4*uint(i)) & 15) }
func permPut(p uint64, i, slot int) uint64 {
	s := 4 + 4*uint(i)
	low := p & (1<<s - 1)
	return (low | p>>s<<(s+4) | uint64(slot)<<s) + 1
}

func permCut(p uint64, i int) uint64 {
	s := 4 + 4*uint(i)
	low := p & (1<<s - 1)
	return (low | p>>(s+4)<<s) - 1
}

// search returns the position of the first key >= k, and whether it is k.
func (l *leaf[K]) search(p uint64, k K) (int, bool) {
	lo, hi := 0, permLen(p)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if l.keys[permAt(p, m)] < k {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo, lo < permLen(p) && l.keys[permAt(p, lo)] == k
}

func (l *leaf[K]) val(slot int) uint64       { return atomic.LoadUint64(&l.vals[slot]) }
func (l *leaf[K]) setVal(slot int, v uint64) { atomic.StoreUint64(&l.vals[slot], v) }

func (l *leaf[K]) set(slot int) *rowset {
	if a := l.sets.Load(); a != nil {
		return a[slot].Load()
	}
	return nil
}

func (l *leaf[K]) storeSet(slot int, s *rowset) {
	a := l.sets.Load()
	if a == nil {
		if s == nil {
			return
		}
		a = new(setArray)
		l.sets.Store(a)
	}
	a[slot].Store(s)
}

// child is the position of the child that covers k.
func (in *inner[K]) child(k K) int {
	lo, hi := 0, int(in.n)-1
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if in.keys[m] <= k {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

func (in *inner[K]) kid(i int) unsafe.Pointer { return atomic.LoadPointer(&in.kids[i]) }

// find returns the leaf that covers k; nil if the tree is empty.
func (t *tree[K]) find(k K) *leaf[K] {
	p := atomic.LoadPointer(&t.root)
	if p == nil {
		return nil
	}
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K])(p)
		p = in.kid(in.child(k))
	}
	return (*leaf[K])(p)
}

// rank estimates which fraction of the keys lies before k, as if the nodes of a
// level were all alike.
func (t *tree[K]) rank(k K) float64 {
	p := atomic.LoadPointer(&t.root)
	if p == nil {
		return 0
	}
	before, width := 0.0, 1.0
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K])(p)
		i := in.child(k)
		width /= float64(in.n)
		before += width * float64(i)
		p = in.kid(i)
	}
	l := (*leaf[K])(p)
	perm := l.perm.Load()
	i, _ := l.search(perm, k)
	return before + width*float64(i)/float64(max(permLen(perm), 1))
}

// edge returns the first or the last leaf.
func (t *tree[K]) edge(last bool) *leaf[K] {
	p := atomic.LoadPointer(&t.root)
	if p == nil {
		return nil
	}
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K])(p)
		if last {
			p = in.kid(int(in.n) - 1)
		} else {
			p = in.kid(0)
		}
	}
	return (*leaf[K])(p)
}

// ---- writer side

// path is the way from the root to a leaf: inner nodes and the child taken.
type path[K cmp.Ordered] struct {
	in [maxHeight]*inner[K]
	i  [maxHeight]int
	n  int
}

func (t *tree[K]) descend(k K, pa *path[K]) *leaf[K] {
	p := t.root
	pa.n = 0
	if p == nil {
		return nil
	}
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K])(p)
		i := in.child(k)
		pa.in[pa.n], pa.i[pa.n] = in, i
		pa.n++
		p = in.kids[i]
	}
	return (*leaf[K])(p)
}

// put adds k with payload val. If k exists it is left as it is, and its place
// returned.
func (t *tree[K]) put(k K, val uint64) (l *leaf[K], slot int, added bool) {
	var pa path[K]
	l = t.descend(k, &pa)
	if l == nil {
		l = &leaf[K]{}
		l.push(k, val, nil)
		atomic.StorePointer(&t.root, unsafe.Pointer(l))
		return l, 0, true
	}
	p := l.perm.Load()
	i, ok := l.search(p, k)
	if ok {
		return l, permAt(p, i), false
	}
	if l.n < leafSlots {
		return l, l.insert(p, i, k, val), true
	}
	n := permLen(p)
	if n <= leafSlots-4 { // slots were removed: one new leaf has room
		c := &leaf[K]{}
		c.pull(l, p, 0, i)
		slot = c.push(k, val, nil)
		c.pull(l, p, i, n)
		t.replaceLeaf(&pa, l, l, c, c)
		return c, slot, true
	}
	// Split: in the middle, or, where keys arrive in ascending order, so that
	// the left leaf stays full.
	cut := (n + 1) / 2
	if i == n {
		cut = n
	}
	a, b := &leaf[K]{}, &leaf[K]{}
	var at *leaf[K]
	if i < cut || i == cut && i != n {
		a.pull(l, p, 0, i)
		slot, at = a.push(k, val, nil), a
		a.pull(l, p, i, cut)
		b.pull(l, p, cut, n)
	} else {
		a.pull(l, p, 0, cut)
		b.pull(l, p, cut, i)
		slot, at = b.push(k, val, nil), b
		b.pull(l, p, i, n)
	}
	a.next.Store(b)
	b.prev.Store(a)
	t.replaceLeaf(&pa, l, l, a, b)
	return at, slot, true
}

// insert writes a free slot and gives it position i.
func (l *leaf[K]) insert(p uint64, i int, k K, val uint64) (slot int) {
	slot = int(l.n)
	l.n++
	l.keys[slot] = k
	l.vals[slot] = val
	l.perm.Store(permPut(p, i, slot))
	return slot
}

// push appends to a leaf that no reader knows yet.
func (l *leaf[K]) push(k K, val uint64, s *rowset) int {
	slot := int(l.n)
	l.n++
	l.keys[slot], l.vals[slot] = k, val
	if s != nil {
		l.storeSet(slot, s)
	}
	l.perm.Store(permPut(l.perm.Load(), slot, slot))
	return slot
}

// pull appends the entries [from, to) of src.
func (l *leaf[K]) pull(src *leaf[K], p uint64, from, to int) {
	for i := from; i < to; i++ {
		s := permAt(p, i)
		l.push(src.keys[s], src.vals[s], src.set(s))
	}
}

// replaceLeaf puts the new leaves first..last (one or two, already linked with
// each other) where the old ones were (one, or two neighbours being merged).
// pa leads to oldFirst.
func (t *tree[K]) replaceLeaf(pa *path[K], oldFirst, oldLast, first, last *leaf[K]) {
	before, after := oldFirst.prev.Load(), oldLast.next.Load()
	oldFirst.n, oldLast.n = leafGone, leafGone
	first.prev.Store(before)
	last.next.Store(after)
	switch {
	case oldFirst != oldLast: // merge
		t.join(pa, pa.n-1, pa.i[pa.n-1], unsafe.Pointer(first))
	case first != last:
		t.grow(pa, pa.n-1, unsafe.Pointer(first), last.keys[permAt(last.perm.Load(), 0)], unsafe.Pointer(last))
	default:
		t.swap(pa, pa.n-1, unsafe.Pointer(first))
	}
	if before != nil {
		before.next.Store(first)
	}
	if after != nil {
		after.prev.Store(last)
	}
}

// swap puts p where the path's level d points to.
func (t *tree[K]) swap(pa *path[K], d int, p unsafe.Pointer) {
	if d < 0 {
		atomic.StorePointer(&t.root, p)
		return
	}
	atomic.StorePointer(&pa.in[d].kids[pa.i[d]], p)
}

// grow puts two nodes where the path's level d points to one.
func (t *tree[K]) grow(pa *path[K], d int, left unsafe.Pointer, sep K, right unsafe.Pointer) {
	if d < 0 {
		in := &inner[K]{nodeHead: nodeHead{height: (*nodeHead)(left).height + 1, n: 2}}
		in.keys[0], in.kids[0], in.kids[1] = sep, left, right
		atomic.StorePointer(&t.root, unsafe.Pointer(in))
		return
	}
	in, i := pa.in[d], pa.i[d]
	n := int(in.n)
	var keys [innerKids]K
	var kids [innerKids + 1]unsafe.Pointer
	copy(keys[:], in.keys[:i])
	copy(kids[:], in.kids[:i])
	keys[i], kids[i], kids[i+1] = sep, left, right
	copy(keys[i+1:], in.keys[i:n-1])
	copy(kids[i+2:], in.kids[i+1:n])
	n++
	if n <= innerKids {
		t.swap(pa, d-1, unsafe.Pointer(newInner(in.height, keys[:n-1], kids[:n])))
		return
	}
	cut := n / 2
	if i == n-2 { // ascending keys: the left node stays nearly full
		cut = n - 2
	}
	t.grow(pa, d-1,
		unsafe.Pointer(newInner(in.height, keys[:cut-1], kids[:cut])),
		keys[cut-1],
		unsafe.Pointer(newInner(in.height, keys[cut:n-1], kids[cut:n])))
}

func newInner[K cmp.Ordered](height int32, keys []K, kids []unsafe.Pointer) *inner[K] {
	in := &inner[K]{nodeHead: nodeHead{height: height, n: int32(len(kids))}}
	copy(in.keys[:], keys)
	copy(in.kids[:], kids)
	return in
}

// remove takes k out.
func (t *tree[K]) remove(k K) {
	var pa path[K]
	l := t.descend(k, &pa)
	if l == nil {
		return
	}
	p := l.perm.Load()
	i, ok := l.search(p, k)
	if !ok {
		return
	}
	p = permCut(p, i)
	l.perm.Store(p)
	n := permLen(p)
	switch {
	case n == 0:
		t.unlink(&pa, l)
	case n <= 4 && pa.n > 0:
		t.mergeLeaf(&pa, l, p)
	}
}

// removeAt is remove for a caller who knows a leaf that covered k: while that is
// still the case, and the leaf stays well filled, there is no need to descend.
func (t *tree[K]) removeAt(l *leaf[K], k K) {
	if l != nil && l.n != leafGone {
		p := l.perm.Load()
		if i, ok := l.search(p, k); ok && permLen(p) > 5 {
			l.perm.Store(permCut(p, i))
			return
		}
	}
	t.remove(k)
}

// unlink drops an empty leaf.
func (t *tree[K]) unlink(pa *path[K], l *leaf[K]) {
	l.n = leafGone
	before, after := l.prev.Load(), l.next.Load()
	t.shrink(pa, pa.n-1)
	if before != nil {
		before.next.Store(after)
	}
	if after != nil {
		after.prev.Store(before)
	}
}

// mergeLeaf joins a leaf that has become small with a neighbour under the same
// parent, if both fit one leaf with room to spare.
func (t *tree[K]) mergeLeaf(pa *path[K], l *leaf[K], p uint64) {
	d := pa.n - 1
	in, i := pa.in[d], pa.i[d]
	for _, at := range [2]int{i, i - 1} { // with the right one, else the left
		if at < 0 || at+1 >= int(in.n) {
			continue
		}
		a, b := (*leaf[K])(in.kids[at]), (*leaf[K])(in.kids[at+1])
		pp, pb := a.perm.Load(), b.perm.Load()
		if permLen(pp)+permLen(pb) > leafSlots-5 {
			continue
		}
		c := &leaf[K]{}
		c.pull(a, pp, 0, permLen(pp))
		c.pull(b, pb, 0, permLen(pb))
		pa.i[d] = at
		t.replaceLeaf(pa, a, b, c, c)
		return
	}
}

// join puts one node where level d has two, at positions at and at+1.
func (t *tree[K]) join(pa *path[K], d, at int, p unsafe.Pointer) {
	in := pa.in[d]
	n := int(in.n)
	c := &inner[K]{nodeHead: nodeHead{height: in.height, n: in.n - 1}}
	copy(c.keys[:], in.keys[:at])
	copy(c.keys[at:], in.keys[at+1:n-1])
	copy(c.kids[:], in.kids[:at])
	c.kids[at] = p
	copy(c.kids[at+1:], in.kids[at+2:n])
	t.settle(pa, d, c)
}

// shrink drops the child that the path takes at level d.
func (t *tree[K]) shrink(pa *path[K], d int) {
	if d < 0 {
		atomic.StorePointer(&t.root, nil)
		return
	}
	in, i := pa.in[d], pa.i[d]
	n := int(in.n)
	if n == 1 {
		t.shrink(pa, d-1)
		return
	}
	c := &inner[K]{nodeHead: nodeHead{height: in.height, n: in.n - 1}}
	k := max(i-1, 0) // the separator that goes
	copy(c.keys[:], in.keys[:k])
	copy(c.keys[k:], in.keys[k+1:n-1])
	copy(c.kids[:], in.kids[:i])
	copy(c.kids[i:], in.kids[i+1:n])
	t.settle(pa, d, c)
}

// settle puts c, which lost a child, in the place of level d's node, merged
// with a neighbour if both have become small.
func (t *tree[K]) settle(pa *path[K], d int, c *inner[K]) {
	if d == 0 {
		if c.n == 1 {
			atomic.StorePointer(&t.root, c.kids[0])
		} else {
			atomic.StorePointer(&t.root, unsafe.Pointer(c))
		}
		return
	}
	up, i := pa.in[d-1], pa.i[d-1]
	if c.n <= innerKids/4 {
		for _, at := range [2]int{i, i - 1} {
			if at < 0 || at+1 >= int(up.n) {
				continue
			}
			a, b := (*inner[K])(up.kids[at]), (*inner[K])(up.kids[at+1])
			if at == i {
				a = c
			} else {
				b = c
			}
			if a.n+b.n > innerKids*3/4 {
				continue
			}
			m := &inner[K]{nodeHead: nodeHead{height: c.height, n: a.n + b.n}}
			copy(m.keys[:], a.keys[:a.n-1])
			m.keys[a.n-1] = up.keys[at]
			copy(m.keys[a.n:], b.keys[:b.n-1])
			copy(m.kids[:], a.kids[:a.n])
			copy(m.kids[a.n:], b.kids[:b.n])
			t.join(pa, d-1, at, unsafe.Pointer(m))
			return
		}
	}
	t.swap(pa, d-1, unsafe.Pointer(c))
}

// ---- reader side

// cursor stands on an entry of a tree, or past an end (l == nil). It walks the
// perm that it loaded when it entered a leaf.
type cursor[K cmp.Ordered] struct {
	l *leaf[K]
	p uint64
	i int
}

// seek stands on the first key >= k.
func (t *tree[K]) seek(k K) cursor[K] {
	c := cursor[K]{l: t.find(k)}
	if c.l == nil {
		return c
	}
	c.p = c.l.perm.Load()
	c.i, _ = c.l.search(c.p, k)
	if c.i == permLen(c.p) {
		c.nextLeaf()
	}
	return c
}

// seekBack stands on the last key < k.
func (t *tree[K]) seekBack(k K) cursor[K] {
	c := cursor[K]{l: t.find(k)}
	if c.l == nil {
		return c
	}
	c.p = c.l.perm.Load()
	c.i, _ = c.l.search(c.p, k)
	if c.i--; c.i < 0 {
		c.prevLeaf()
	}
	return c
}

func (t *tree[K]) first() cursor[K] {
	c := cursor[K]{l: t.edge(false)}
	if c.l != nil {
		if c.p = c.l.perm.Load(); permLen(c.p) == 0 {
			c.nextLeaf()
		}
	}
	return c
}

func (t *tree[K]) last() cursor[K] {
	c := cursor[K]{l: t.edge(true)}
	if c.l != nil {
		c.p = c.l.perm.Load()
		if c.i = permLen(c.p) - 1; c.i < 0 {
			c.prevLeaf()
		}
	}
	return c
}

func (c *cursor[K]) ok() bool  { return c.l != nil }
func (c *cursor[K]) slot() int { return permAt(c.p, c.i) }
func (c *cursor[K]) key() K    { return c.l.keys[c.slot()] }

func (c *cursor[K]) next() {
	if c.i++; c.i >= permLen(c.p) {
		c.nextLeaf()
	}
}

func (c *cursor[K]) back() {
	if c.i--; c.i < 0 {
		c.prevLeaf()
	}
}

func (c *cursor[K]) nextLeaf() {
	for c.l = c.l.next.Load(); c.l != nil; c.l = c.l.next.Load() {
		if c.p = c.l.perm.Load(); permLen(c.p) > 0 {
			c.i = 0
			return
		}
	}
}

func (c *cursor[K]) prevLeaf() {
	for c.l = c.l.prev.Load(); c.l != nil; c.l = c.l.prev.Load() {
		c.p = c.l.perm.Load()
		if c.i = permLen(c.p) - 1; c.i >= 0 {
			return
		}
	}
}
