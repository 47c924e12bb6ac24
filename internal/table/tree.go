package table

import (
	"cmp"
	"strings"
	"sync/atomic"
	"unsafe"
)

// tree is an ordered map from K to a 64-bit payload: a B+tree with one writer
// and any number of readers that take no lock.
//
//	inner (≤ 24 children, keys never change, children swapped atomically)
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
// S is what nodes keep of a key for the search beside it, see abbrev.go; V is the
// size of a payload.
//
// Find, put, remove: O(log n); about 2 allocations per 7 keys added in random
// order, 1 per 15 in ascending order.
type tree[K cmp.Ordered, S abbr, V payload] struct {
	root unsafe.Pointer // atomic; *leaf[K, S, V] or *inner[K, S, V] by its height; nil: empty
}

const (
	leafSlots = 15
	leafGone  = 100 // in nodeHead.n of a leaf that was replaced
	innerKids = 24
	maxHeight = 16
)

// payload is what a leaf holds for a key: a row number, or a word of a set of them.
type payload interface{ uint32 | uint64 }

// nodeHead starts both kinds of node.
type nodeHead struct {
	height int16  // 0: leaf
	n      int16  // inner: children; leaf: slots written so far (writer only)
	skip   uint16 // leading bytes that all keys share, and abbreviations leave out
}

// The fields that a search reads come first: a line or two.
type leaf[K cmp.Ordered, S abbr, V payload] struct {
	nodeHead
	perm       atomic.Uint64
	lead       prefix[S]
	short      [leafSlots]S
	vals       [leafSlots]V             // atomic
	sets       atomic.Pointer[setArray] // row sets of entries that are manyRows
	prev, next atomic.Pointer[leaf[K, S, V]]
	keys       [leafSlots]K
}

type setArray [leafSlots]atomic.Pointer[rowset]

type inner[K cmp.Ordered, S abbr, V payload] struct {
	nodeHead
	lead  prefix[S]
	short [innerKids - 1]S
	keys  [innerKids - 1]K          // keys[i] is the lower bound of kids[i+1]
	kids  [innerKids]unsafe.Pointer // atomic
}

// perm words

func permLen(p uint64) int       { return int(p & 15) }
func permAt(p uint64, i int) int { return int(p >> ((4 + 4*uint(i)) & 63) & 15) } // &63 for the compiler
func permPut(p uint64, i, slot int) uint64 {
	s := (4 + 4*uint(i)) & 63
	low := p & (1<<s - 1)
	return (low | (p-low)<<4 | uint64(slot)<<s) + 1
}

func permCut(p uint64, i int) uint64 {
	s := (4 + 4*uint(i)) & 63
	low := p & (1<<s - 1)
	return (low | p>>4>>s<<s) - 1
}

// search returns the position of the first key >= k, and whether it is k.
func (l *leaf[K, S, V]) search(p uint64, k K) (int, bool) {
	if isText(&k) {
		return l.searchText(p, textOf(&k))
	}
	lo, n := 0, permLen(p)
	if n == 0 {
		return 0, false
	}
	for n > 1 { // without branches that depend on keys
		half := n >> 1
		if l.keys[permAt(p, lo+half-1)] < k {
			lo += half
		}
		n -= half
	}
	switch at := l.keys[permAt(p, lo)]; {
	case at == k:
		return lo, true
	case at < k:
		lo++
	}
	return lo, false
}

func (l *leaf[K, S, V]) searchText(p uint64, k string) (int, bool) {
	lo, hi := 0, permLen(p)
	if hi == 0 {
		return 0, false
	}
	keys := (*[leafSlots]string)(unsafe.Pointer(&l.keys))
	if l.skip > 0 {
		if c := l.lead.side(k, int(l.skip), &keys[0]); c < 0 {
			return 0, false
		} else if c > 0 {
			return hi, false
		}
	}
	w, short := abbreviate(k, int(l.skip)), (*[leafSlots]uint32)(unsafe.Pointer(&l.short))
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		slot := permAt(p, m)
		switch s := short[slot]; {
		case s < w:
			lo = m + 1
		case s > w:
			hi = m
		default:
			c := strings.Compare(keys[slot], k)
			if c == 0 {
				return m, true
			}
			if c < 0 {
				lo = m + 1
			} else {
				hi = m
			}
		}
	}
	return lo, false
}

// fits reports whether k has the prefix that all keys of the leaf share.
func (l *leaf[K, S, V]) fits(k K) bool {
	return !isText(&k) || l.skip == 0 || l.lead.side(textOf(&k), int(l.skip), (*string)(unsafe.Pointer(&l.keys[0]))) == 0
}

func (l *leaf[K, S, V]) val(slot int) uint64 {
	p := unsafe.Pointer(&l.vals[slot])
	if unsafe.Sizeof(l.vals[0]) == 4 {
		return uint64(atomic.LoadUint32((*uint32)(p)))
	}
	return atomic.LoadUint64((*uint64)(p))
}

func (l *leaf[K, S, V]) setVal(slot int, v uint64) {
	p := unsafe.Pointer(&l.vals[slot])
	if unsafe.Sizeof(l.vals[0]) == 4 {
		atomic.StoreUint32((*uint32)(p), uint32(v))
	} else {
		atomic.StoreUint64((*uint64)(p), v)
	}
}

func (l *leaf[K, S, V]) set(slot int) *rowset {
	if a := l.sets.Load(); a != nil {
		return a[slot].Load()
	}
	return nil
}

func (l *leaf[K, S, V]) storeSet(slot int, s *rowset) {
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
func (in *inner[K, S, V]) child(k K) int {
	if isText(&k) {
		return in.childText(textOf(&k))
	}
	lo, n := 0, int(in.n)-1
	if n == 0 {
		return 0
	}
	for n > 1 { // without branches that depend on keys
		half := n >> 1
		if in.keys[lo+half-1] <= k {
			lo += half
		}
		n -= half
	}
	if in.keys[lo] <= k {
		lo++
	}
	return lo
}

func (in *inner[K, S, V]) childText(k string) int {
	lo, hi := 0, int(in.n)-1
	if hi == 0 {
		return 0
	}
	keys := (*[innerKids - 1]string)(unsafe.Pointer(&in.keys))
	if in.skip > 0 {
		if c := in.lead.side(k, int(in.skip), &keys[0]); c < 0 {
			return 0
		} else if c > 0 {
			return hi
		}
	}
	w, short := abbreviate(k, int(in.skip)), (*[innerKids - 1]uint32)(unsafe.Pointer(&in.short))
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		switch s := short[m]; {
		case s < w:
			lo = m + 1
		case s > w || keys[m] > k:
			hi = m
		default:
			lo = m + 1
		}
	}
	return lo
}

// fits reports whether k has the prefix that all separators share.
func (in *inner[K, S, V]) fits(k K) bool {
	return !isText(&k) || in.skip == 0 || in.n < 2 || in.lead.side(textOf(&k), int(in.skip), (*string)(unsafe.Pointer(&in.keys[0]))) == 0
}

func (in *inner[K, S, V]) kid(i int) unsafe.Pointer { return atomic.LoadPointer(&in.kids[i]) }

// find returns the leaf that covers k; nil if the tree is empty.
func (t *tree[K, S, V]) find(k K) *leaf[K, S, V] {
	p := atomic.LoadPointer(&t.root)
	if p == nil {
		return nil
	}
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K, S, V])(p)
		p = in.kid(in.child(k))
	}
	return (*leaf[K, S, V])(p)
}

// rank estimates which fraction of the keys lies before k, as if the nodes of a
// level were all alike.
func (t *tree[K, S, V]) rank(k K) float64 {
	p := atomic.LoadPointer(&t.root)
	if p == nil {
		return 0
	}
	before, width := 0.0, 1.0
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K, S, V])(p)
		i := in.child(k)
		width /= float64(in.n)
		before += width * float64(i)
		p = in.kid(i)
	}
	l := (*leaf[K, S, V])(p)
	perm := l.perm.Load()
	i, _ := l.search(perm, k)
	return before + width*float64(i)/float64(max(permLen(perm), 1))
}

// edge returns the first or the last leaf.
func (t *tree[K, S, V]) edge(last bool) *leaf[K, S, V] {
	p := atomic.LoadPointer(&t.root)
	if p == nil {
		return nil
	}
	for (*nodeHead)(p).height > 0 {
		in := (*inner[K, S, V])(p)
		if last {
			p = in.kid(int(in.n) - 1)
		} else {
			p = in.kid(0)
		}
	}
	return (*leaf[K, S, V])(p)
}

// cursor stands on an entry of a tree, or past an end (l == nil). It walks the
// perm that it loaded when it entered a leaf.
type cursor[K cmp.Ordered, S abbr, V payload] struct {
	l *leaf[K, S, V]
	p uint64
	i int
}

// seek stands on the first key >= k.
func (t *tree[K, S, V]) seek(k K) cursor[K, S, V] {
	c := cursor[K, S, V]{l: t.find(k)}
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
func (t *tree[K, S, V]) seekBack(k K) cursor[K, S, V] {
	c := cursor[K, S, V]{l: t.find(k)}
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

func (t *tree[K, S, V]) first() cursor[K, S, V] {
	c := cursor[K, S, V]{l: t.edge(false)}
	if c.l != nil {
		if c.p = c.l.perm.Load(); permLen(c.p) == 0 {
			c.nextLeaf()
		}
	}
	return c
}

func (t *tree[K, S, V]) last() cursor[K, S, V] {
	c := cursor[K, S, V]{l: t.edge(true)}
	if c.l != nil {
		c.p = c.l.perm.Load()
		if c.i = permLen(c.p) - 1; c.i < 0 {
			c.prevLeaf()
		}
	}
	return c
}

func (c *cursor[K, S, V]) ok() bool  { return c.l != nil }
func (c *cursor[K, S, V]) slot() int { return permAt(c.p, c.i) }
func (c *cursor[K, S, V]) key() K    { return c.l.keys[c.slot()] }

func (c *cursor[K, S, V]) next() {
	if c.i++; c.i >= permLen(c.p) {
		c.nextLeaf()
	}
}

func (c *cursor[K, S, V]) back() {
	if c.i--; c.i < 0 {
		c.prevLeaf()
	}
}

func (c *cursor[K, S, V]) nextLeaf() {
	for c.l = c.l.next.Load(); c.l != nil; c.l = c.l.next.Load() {
		if c.p = c.l.perm.Load(); permLen(c.p) > 0 {
			c.i = 0
			return
		}
	}
}

func (c *cursor[K, S, V]) prevLeaf() {
	for c.l = c.l.prev.Load(); c.l != nil; c.l = c.l.prev.Load() {
		c.p = c.l.perm.Load()
		if c.i = permLen(c.p) - 1; c.i >= 0 {
			return
		}
	}
}
