package table

import (
	"cmp"
	"strings"
	"unsafe"
)

// IndexSpec says how an index reads its key from a version. Exactly one of Word
// and Text is set. Both are called with live versions only, by the writer and
// by readers at the same time, and report false where the record is not in the
// index.
type IndexSpec struct {
	// Unique refuses a second live record with the same key.
	Unique bool
	// Word reads a key whose order is that of an unsigned integer.
	Word func(v *Version) (uint64, bool)
	// Text reads a key that is ordered as a string. It may build it in buf.
	Text func(v *Version, buf []byte) (string, bool)
	// Borrowed says that Text returns memory of buf, to be copied where kept.
	Borrowed bool
}

// Key is a key of an index: Word or Text, whichever the index has.
type Key struct {
	Word uint64
	Text string
}

// index is what the table needs of an index, whatever the type of its keys.
type index interface {
	// taken reports whether a live row other than self, and than those in skip,
	// holds v's key. It remembers where it looked, for the link that follows.
	taken(d *rowDir, v *Version, self int64, skip map[uint32]bool) bool
	// forget drops what taken remembers: no link of that key follows.
	forget()
	// link enters v's row and adds one to the count of v's key.
	link(t *Table, d *rowDir, v *Version, row uint32)
	// count adds by to the count of v's key, and returns where that is.
	count(t *Table, v *Version, by int64) place
	// unlink takes the row from v's key, which was at the given place, unless a
	// version in its chain has the key.
	unlink(d *rowDir, v *Version, row uint32, at place)
	// lower says that v is live again, and least visits the live records: see
	// evict.go.
	lower(v *Version, row uint32)
	least(d *rowDir, visit func(Ref) bool) bool
	// load enters a row of a table that nobody reads yet, for all its versions.
	load(head *Version, row uint32)
	// recount sets the counters after load.
	recount(t *Table, d *rowDir)
	// check compares the index with the rows, for tests.
	check(t *Table, d *rowDir) error
	reader
}

// place is where an index found a key: a hint that saves a second search, if
// the leaf has not been replaced since. The zero place is none.
type place struct {
	set  *rowset        // the set of the key's rows, nil if there was one
	leaf unsafe.Pointer // *rowLeaf[K, S]
	slot int            // the key's, as long as the leaf lives and some version of the row has the key
}

// keyIndex is an ordered index: key → rows. An entry (key, row) exists exactly
// while a version in the row's chain, pending ones included, has that key.
type keyIndex[K cmp.Ordered, S abbr] struct {
	spec       IndexSpec
	pos        int // among the table's indexes
	tree       tree[K, S, uint32]
	key        func(v *Version, buf []byte) (K, bool)
	of         func(Key) K
	keep       func(K) K      // a copy that may stay in the tree
	buf, other [128]byte      // writer's scratch
	hint       *rowLeaf[K, S] // writer: where taken looked for the key that link comes with next
	floor      floor[K]       // writer
}

type (
	textIndex = keyIndex[string, uint32]
	wordIndex = keyIndex[uint64, none]

	rowLeaf[K cmp.Ordered, S abbr]   = leaf[K, S, uint32]
	rowCursor[K cmp.Ordered, S abbr] = cursor[K, S, uint32]
)

func newIndex(spec IndexSpec, pos int) index {
	if spec.Word != nil {
		return &wordIndex{
			spec: spec, pos: pos,
			key:  func(v *Version, _ []byte) (uint64, bool) { return spec.Word(v) },
			of:   func(k Key) uint64 { return k.Word },
			keep: func(k uint64) uint64 { return k },
		}
	}
	ix := &textIndex{
		spec: spec, pos: pos,
		key:  spec.Text,
		of:   func(k Key) string { return k.Text },
		keep: func(k string) string { return k },
	}
	if spec.Borrowed {
		ix.keep = strings.Clone
	}
	return ix
}

// has reports whether v is live and has key k.
func (x *keyIndex[K, S]) has(v *Version, k K, buf []byte) bool {
	if v == nil || v.dead() {
		return false
	}
	vk, ok := x.key(v, buf)
	return ok && vk == k
}

func (x *keyIndex[K, S]) forget() { x.hint = nil }

func (x *keyIndex[K, S]) taken(d *rowDir, v *Version, self int64, skip map[uint32]bool) bool {
	x.hint = nil
	k, ok := x.key(v, x.buf[:0])
	if !ok {
		return false
	}
	l := x.tree.find(k)
	if l == nil {
		return false
	}
	p := l.perm.Load()
	i, ok := l.search(p, k)
	if !ok {
		x.hint = l
		return false
	}
	slot := permAt(p, i)
	live := func(row uint32) bool {
		return int64(row) != self && !skip[row] && x.has(d.head(row), k, x.other[:0])
	}
	if w := l.val(slot); w != manyRows {
		return live(uint32(w))
	}
	return !l.set(slot).each(func(row uint32) bool { return !live(row) })
}

func (x *keyIndex[K, S]) link(t *Table, d *rowDir, v *Version, row uint32) {
	k, ok := x.key(v, x.buf[:0])
	if !ok {
		return
	}
	t.addLive(x.pos, 1)
	x.lowerTo(k, row)
	l, slot, added := x.put(k, row)
	if added {
		return
	}
	s := l.set(slot)
	if w := l.val(slot); w != manyRows {
		if uint32(w) == row {
			return
		}
		// The first row's share of the count moves from "look at the record" to
		// the counter, the published part and the pending part apart.
		first := uint32(w)
		s = &rowset{}
		s.add(first)
		head := d.head(first)
		if x.has(published(head), k, x.other[:0]) {
			s.n.Store(1)
			t.addDelta(s, -1)
		}
		if x.has(head, k, x.other[:0]) {
			t.addDelta(s, 1)
		}
		s.add(row)
		l.storeSet(slot, s)
		l.setVal(slot, manyRows)
	} else {
		s.add(row)
	}
	t.addDelta(s, 1)
}

// put is tree.put with a key that may be borrowed.
func (x *keyIndex[K, S]) put(k K, row uint32) (*rowLeaf[K, S], int, bool) {
	if l := x.hint; l != nil {
		x.hint = nil
		if l.n < leafSlots && l.fits(k) {
			p := l.perm.Load()
			i, _ := l.search(p, k) // it was not there
			return l, l.insert(p, i, x.keep(k), uint64(row)), true
		}
	}
	if x.spec.Borrowed {
		if l, slot, ok := x.entry(k); ok {
			return l, slot, false
		}
		k = x.keep(k)
	}
	return x.tree.put(k, uint64(row))
}

func (x *keyIndex[K, S]) count(t *Table, v *Version, by int64) place {
	k, ok := x.key(v, x.buf[:0])
	if !ok {
		return place{}
	}
	t.addLive(x.pos, by)
	l, slot, ok := x.entry(k)
	if !ok {
		return place{}
	}
	at := place{leaf: unsafe.Pointer(l), slot: slot}
	if l.val(slot) == manyRows {
		at.set = l.set(slot)
		t.addDelta(at.set, by)
	}
	return at
}

func (x *keyIndex[K, S]) unlink(d *rowDir, v *Version, row uint32, at place) {
	k, ok := x.key(v, x.buf[:0])
	if !ok {
		return
	}
	for u := d.head(row); u != nil; u = u.prev.Load() {
		if x.has(u, k, x.other[:0]) {
			return
		}
	}
	l, slot := (*rowLeaf[K, S])(at.leaf), at.slot
	if l == nil || l.n == leafGone {
		if l, slot, ok = x.entry(k); !ok {
			return
		}
	}
	if l.val(slot) != manyRows {
		if uint32(l.val(slot)) == row {
			x.tree.removeAt(l, slot, k)
		}
		return
	}
	s := l.set(slot)
	s.remove(row)
	if s.size == 1 {
		// Back to the row itself. Its count needs no counter: the entry is
		// counted by looking at the record.
		l.setVal(slot, uint64(s.only()))
		l.storeSet(slot, nil)
	}
}

func (x *keyIndex[K, S]) load(head *Version, row uint32) {
	for v := head; v != nil; v = v.prev.Load() {
		if v.dead() {
			continue
		}
		k, ok := x.key(v, x.buf[:0])
		if !ok {
			continue
		}
		l, slot, added := x.put(k, row)
		if added {
			continue
		}
		s := l.set(slot)
		if w := l.val(slot); w != manyRows {
			if uint32(w) == row {
				continue
			}
			s = &rowset{}
			s.add(uint32(w))
			l.storeSet(slot, s)
			l.setVal(slot, manyRows)
		}
		s.add(row)
	}
}

// recount sets the counters of a freshly loaded index: what the published
// sequence sees, and what is pending beside it.
func (x *keyIndex[K, S]) recount(t *Table, d *rowDir) {
	var all, pending int64
	for c := x.tree.first(); c.ok(); c.next() {
		var now, then int64
		take := func(row uint32) bool {
			head := d.head(row)
			if x.has(head, c.key(), x.other[:0]) {
				then++
			}
			if x.has(published(head), c.key(), x.other[:0]) {
				now++
			}
			return true
		}
		if s := c.l.set(c.slot()); s != nil {
			s.each(take)
			s.n.Store(now)
			if then != now {
				t.addDelta(s, then-now)
			}
		} else {
			take(uint32(c.l.val(c.slot())))
		}
		all += now
		pending += then - now
	}
	t.live[x.pos].n.Store(all)
	t.addLive(x.pos, pending)
}

// published is the newest version of a chain that is not pending.
func published(v *Version) *Version {
	for v != nil && v.Seq() == 0 {
		v = v.prev.Load()
	}
	return v
}
