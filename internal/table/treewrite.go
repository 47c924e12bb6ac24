package table

import (
	"cmp"
	"slices"
	"sync/atomic"
	"unsafe"
)

// path is the way from the root to a leaf: inner nodes and the child taken.
type path[K cmp.Ordered, S abbr, V payload] struct {
	in [maxHeight]*inner[K, S, V]
	i  [maxHeight]int
	n  int
}

func (t *tree[K, S, V]) descend(k K, pa *path[K, S, V]) *leaf[K, S, V] {
	p := t.root
	pa.n = 0
	if p == nil {
		return nil
	}
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K, S, V])(p)
		i := in.child(k)
		pa.in[pa.n], pa.i[pa.n] = in, i
		pa.n++
		p = in.kids[i]
	}
	return (*leaf[K, S, V])(p)
}

// put adds k with payload val. If k exists it is left as it is, and its place
// returned.
func (t *tree[K, S, V]) put(k K, val uint64) (l *leaf[K, S, V], slot int, added bool) {
	var pa path[K, S, V]
	l = t.descend(k, &pa)
	if l == nil {
		l = newLeaf[K, S, V](&k, 0)
		l.push(k, val, nil)
		atomic.StorePointer(&t.root, unsafe.Pointer(l))
		return l, 0, true
	}
	p := l.perm.Load()
	i, ok := l.search(p, k)
	if ok {
		return l, permAt(p, i), false
	}
	if l.n < leafSlots && l.fits(k) {
		return l, l.insert(p, i, k, val), true
	}
	n := permLen(p)
	if n <= leafSlots-4 { // slots were removed, or k has another prefix: one new leaf has room
		first, last := l.keys[permAt(p, 0)], l.keys[permAt(p, n-1)]
		c := l.heir(min(first, k), max(last, k))
		c.pull(l, p, 0, i)
		slot = c.push(k, val, nil)
		c.pull(l, p, i, n)
		t.replaceLeaf(&pa, l, l, c, c)
		return c, slot, true
	}
	l, slot = t.split(&pa, l, p, i, k, val)
	return l, slot, true
}

// split puts two leaves, with k at position i, where the full leaf l was: cut in
// the middle, or, where keys arrive in ascending order, so that the left one stays
// full.
func (t *tree[K, S, V]) split(pa *path[K, S, V], l *leaf[K, S, V], p uint64, i int, k K, val uint64) (at *leaf[K, S, V], slot int) {
	n := permLen(p)
	cut := (n + 1) / 2
	if i == n {
		cut = n
	}
	key := func(i int) K { return l.keys[permAt(p, i)] }
	left := i < cut || i == cut && i != n
	first, before, behind, last := key(0), key(cut-1), k, key(n-1)
	if cut < n {
		behind = key(cut)
	}
	if left {
		first, before = min(first, k), max(before, k)
	} else {
		behind, last = min(behind, k), max(last, k)
	}
	a := l.heir(first, before)
	if cut == n { // k alone: the others will be like those before it
		first = before
	} else {
		first = behind
	}
	b := newLeaf[K, S, V](&last, goodSkip(shared(&first, &last), int(l.skip)))
	if left {
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
	t.replaceLeaf(pa, l, l, a, b)
	return at, slot
}

// newLeaf returns an empty leaf for keys with the first skip bytes of k.
func newLeaf[K cmp.Ordered, S abbr, V payload](k *K, skip int) *leaf[K, S, V] {
	return &leaf[K, S, V]{nodeHead: nodeHead{skip: uint16(skip)}, lead: newPrefix[K, S](k, skip)}
}

// heir returns an empty leaf for keys from first to last, which l had, or its
// neighbour.
func (l *leaf[K, S, V]) heir(first, last K) *leaf[K, S, V] {
	return newLeaf[K, S, V](&first, goodSkip(shared(&first, &last), int(l.skip)))
}

// insert writes a free slot and gives it position i.
func (l *leaf[K, S, V]) insert(p uint64, i int, k K, val uint64) (slot int) {
	slot = int(l.n)
	l.n++
	l.fill(slot, k, val)
	l.perm.Store(permPut(p, i, slot))
	return slot
}

func (l *leaf[K, S, V]) fill(slot int, k K, val uint64) {
	l.keys[slot], l.vals[slot] = k, V(val)
	l.short[slot] = abbreviated[K, S](&k, int(l.skip))
}

// push appends to a leaf that no reader knows yet.
func (l *leaf[K, S, V]) push(k K, val uint64, s *rowset) int {
	slot := int(l.n)
	l.n++
	l.fill(slot, k, val)
	if s != nil {
		l.storeSet(slot, s)
	}
	l.perm.Store(permPut(l.perm.Load(), slot, slot))
	return slot
}

// pull appends the entries [from, to) of src.
func (l *leaf[K, S, V]) pull(src *leaf[K, S, V], p uint64, from, to int) {
	for i := from; i < to; i++ {
		s, slot := permAt(p, i), int(l.n)
		l.n++
		l.keys[slot], l.vals[slot] = src.keys[s], src.vals[s]
		if l.short[slot] = src.short[s]; l.skip != src.skip {
			l.short[slot] = abbreviated[K, S](&src.keys[s], int(l.skip))
		}
		if set := src.set(s); set != nil {
			l.storeSet(slot, set)
		}
	}
	perm := l.perm.Load()
	for i := from; i < to; i++ {
		at := permLen(perm)
		perm = permPut(perm, at, at)
	}
	l.perm.Store(perm)
}

// replaceLeaf puts the new leaves first..last (one or two, already linked with
// each other) where the old ones were (one, or two neighbours being merged).
// pa leads to oldFirst.
func (t *tree[K, S, V]) replaceLeaf(pa *path[K, S, V], oldFirst, oldLast, first, last *leaf[K, S, V]) {
	before, after := oldFirst.prev.Load(), oldLast.next.Load()
	oldFirst.n, oldLast.n = leafGone, leafGone
	first.prev.Store(before)
	last.next.Store(after)
	switch {
	case oldFirst != oldLast: // merge
		t.join(pa, pa.n-1, pa.i[pa.n-1], unsafe.Pointer(first))
	case first != last:
		p := first.perm.Load() // both are filled in order
		sep := separator(&first.keys[permLen(p)-1], &last.keys[0])
		t.grow(pa, pa.n-1, unsafe.Pointer(first), sep, unsafe.Pointer(last))
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
func (t *tree[K, S, V]) swap(pa *path[K, S, V], d int, p unsafe.Pointer) {
	if d < 0 {
		atomic.StorePointer(&t.root, p)
		return
	}
	atomic.StorePointer(&pa.in[d].kids[pa.i[d]], p)
}

// grow puts two nodes where the path's level d points to one.
func (t *tree[K, S, V]) grow(pa *path[K, S, V], d int, left unsafe.Pointer, sep K, right unsafe.Pointer) {
	var m seps[K, S]
	if d < 0 {
		m.add(sep)
		in := newInner[K, S, V]((*nodeHead)(left).height+1, &m, 0, []unsafe.Pointer{left, right})
		atomic.StorePointer(&t.root, unsafe.Pointer(in))
		return
	}
	in, i := pa.in[d], pa.i[d]
	n := int(in.n)
	m.take(in.nodeHead, in.keys[:i], in.short[:i])
	m.add(sep)
	m.mixed = !in.fits(sep)
	m.take(in.nodeHead, in.keys[i:n-1], in.short[i:])
	var kids [innerKids + 1]unsafe.Pointer
	copy(kids[:], in.kids[:i])
	kids[i], kids[i+1] = left, right
	copy(kids[i+2:], in.kids[i+1:n])
	n++
	if n <= innerKids {
		t.swap(pa, d-1, unsafe.Pointer(newInner[K, S, V](in.height, &m, 0, kids[:n])))
		return
	}
	cut := n / 2
	if i == n-2 { // ascending keys: the left node stays nearly full
		cut = n - 2
	}
	m.mixed = true // both halves may share more
	t.grow(pa, d-1,
		unsafe.Pointer(newInner[K, S, V](in.height, &m, 0, kids[:cut])),
		m.keys[cut-1],
		unsafe.Pointer(newInner[K, S, V](in.height, &m, cut, kids[cut:n])))
}

// seps are the separators of an inner node to come, or of two, and their four
// bytes behind skip.
type seps[K cmp.Ordered, S abbr] struct {
	keys  [innerKids]K
	short [innerKids]S
	n     int
	skip  int
	mixed bool // skip must be looked at: the keys may share less than that, or much more
}

func (m *seps[K, S]) add(k K) {
	m.keys[m.n], m.short[m.n] = k, abbreviated[K, S](&k, m.skip)
	m.n++
}

// take adds separators of a node.
func (m *seps[K, S]) take(from nodeHead, keys []K, short []S) {
	switch {
	case m.n == 0:
		m.skip = int(from.skip)
	case m.skip != int(from.skip):
		m.mixed = true
		for _, k := range keys {
			m.add(k)
		}
		return
	}
	copy(m.keys[m.n:], keys)
	m.n += copy(m.short[m.n:], short[:len(keys)])
}

// newInner returns a node over kids, with the separators from a position on.
func newInner[K cmp.Ordered, S abbr, V payload](height int16, m *seps[K, S], from int, kids []unsafe.Pointer) *inner[K, S, V] {
	in := &inner[K, S, V]{nodeHead: nodeHead{height: height, n: int16(len(kids)), skip: uint16(m.skip)}}
	copy(in.kids[:], kids)
	n := len(kids) - 1
	if n == 0 {
		in.skip = 0
		return in
	}
	copy(in.keys[:], m.keys[from:from+n])
	copy(in.short[:], m.short[from:from+n])
	if m.mixed {
		skip := goodSkip(shared(&in.keys[0], &in.keys[n-1]), m.skip)
		if in.skip = uint16(skip); skip != m.skip {
			for i := range n {
				in.short[i] = abbreviated[K, S](&in.keys[i], skip)
			}
		}
	}
	in.lead = newPrefix[K, S](&in.keys[0], int(in.skip))
	return in
}

// remove takes k out.
func (t *tree[K, S, V]) remove(k K) {
	var pa path[K, S, V]
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

// removeAt is remove for a caller who knows the leaf and the slot that k is in: as
// long as the leaf stays well filled, there is no need to descend.
func (t *tree[K, S, V]) removeAt(l *leaf[K, S, V], slot int, k K) {
	p := l.perm.Load()
	if n := permLen(p); n > 5 {
		for i := range n {
			if permAt(p, i) == slot {
				l.perm.Store(permCut(p, i))
				return
			}
		}
	}
	t.remove(k)
}

// unlink drops an empty leaf.
func (t *tree[K, S, V]) unlink(pa *path[K, S, V], l *leaf[K, S, V]) {
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
func (t *tree[K, S, V]) mergeLeaf(pa *path[K, S, V], l *leaf[K, S, V], p uint64) {
	d := pa.n - 1
	in, i := pa.in[d], pa.i[d]
	for _, at := range [2]int{i, i - 1} { // with the right one, else the left
		if at < 0 || at+1 >= int(in.n) {
			continue
		}
		a, b := (*leaf[K, S, V])(in.kids[at]), (*leaf[K, S, V])(in.kids[at+1])
		pp, pb := a.perm.Load(), b.perm.Load()
		if permLen(pp)+permLen(pb) > leafSlots-5 {
			continue
		}
		c := a.heir(a.keys[permAt(pp, 0)], b.keys[permAt(pb, permLen(pb)-1)])
		c.pull(a, pp, 0, permLen(pp))
		c.pull(b, pb, 0, permLen(pb))
		pa.i[d] = at
		t.replaceLeaf(pa, a, b, c, c)
		return
	}
}

// join puts one node where level d has two, at positions at and at+1.
func (t *tree[K, S, V]) join(pa *path[K, S, V], d, at int, p unsafe.Pointer) {
	in := pa.in[d]
	n := int(in.n)
	kids := make([]unsafe.Pointer, 0, innerKids)
	kids = append(append(append(kids, in.kids[:at]...), p), in.kids[at+2:n]...)
	t.settle(pa, d, in.without(at, kids))
}

// shrink drops the child that the path takes at level d.
func (t *tree[K, S, V]) shrink(pa *path[K, S, V], d int) {
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
	kids := make([]unsafe.Pointer, 0, innerKids)
	kids = append(append(kids, in.kids[:i]...), in.kids[i+1:n]...)
	t.settle(pa, d, in.without(max(i-1, 0), kids))
}

// without returns the node over kids with the separators but one.
func (in *inner[K, S, V]) without(sep int, kids []unsafe.Pointer) *inner[K, S, V] {
	var m seps[K, S]
	n := int(in.n) - 1
	m.take(in.nodeHead, in.keys[:sep], in.short[:])
	m.take(in.nodeHead, in.keys[sep+1:n], in.short[sep+1:])
	return newInner[K, S, V](in.height, &m, 0, kids)
}

// settle puts c, which lost a child, in the place of level d's node, merged
// with a neighbour if both have become small.
func (t *tree[K, S, V]) settle(pa *path[K, S, V], d int, c *inner[K, S, V]) {
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
			a, b := (*inner[K, S, V])(up.kids[at]), (*inner[K, S, V])(up.kids[at+1])
			if at == i {
				a = c
			} else {
				b = c
			}
			if a.n+b.n > innerKids*3/4 {
				continue
			}
			t.join(pa, d-1, at, unsafe.Pointer(a.with(up.keys[at], b)))
			return
		}
	}
	t.swap(pa, d-1, unsafe.Pointer(c))
}

// with returns a and its neighbour b, which sep lies between, in one node.
func (a *inner[K, S, V]) with(sep K, b *inner[K, S, V]) *inner[K, S, V] {
	var m seps[K, S]
	m.take(a.nodeHead, a.keys[:a.n-1], a.short[:])
	m.add(sep)
	m.take(b.nodeHead, b.keys[:b.n-1], b.short[:])
	m.mixed = true
	return newInner[K, S, V](a.height, &m, 0, slices.Concat(a.kids[:a.n], b.kids[:b.n]))
}
