package table

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"
)

// View reads a table at one sequence, which the caller keeps pinned while it
// uses the view. It is a value; any goroutine may use it.
type View struct {
	t   *Table
	r   *root
	seq uint64
}

// reader is the reading half of an index.
type reader interface {
	gather(v View, g Range) []foundRow
	rows(v View, k Key) (n int, exact bool)
}

// Range is an interval of index keys, from Lo on, up to but without Hi.
type Range struct {
	Lo, Hi     Key
	NoLo, NoHi bool
}

// At returns the view at a pinned sequence.
func (t *Table) At(seq uint64) View { return View{t: t, r: t.root.Load(), seq: seq} }

// GetText returns the newest published version of a key, nil if there is none.
// It pins nothing, waits for nobody, and is linearizable with commits.
func (t *Table) GetText(key string) *Version { return t.get(t.sumText(key), key, 0) }

// GetWord is GetText for integer keys.
func (t *Table) GetWord(key int64) *Version { return t.get(t.sumWord(key), "", key) }

func (t *Table) get(sum uint32, text string, word int64) *Version {
	for {
		before := t.cfg.Pins.Published()
		_, v, seen := t.find(t.root.Load(), sum, text, word, pickNow, 0)
		if v != nil || !seen || t.cfg.Pins.Published() == before {
			return v
		}
		// The key was there, but deleted, and a commit came in between: it may
		// have inserted the key anew in a row that the probe had passed.
	}
}

// current is the version of a chain that was the newest published one at some
// moment since head was loaded.
func (t *Table) current(head *Version) *Version {
	p := t.cfg.Pins
	v := head
	if s := head.Seq(); s-1 >= p.Published() { // pending or not yet published
		// While head is not published nothing behind it is cut, so what is found
		// there holds if head is still not published afterwards. If it is, head
		// itself was the newest version at that moment.
		for seq := p.Published(); v != nil && v.Seq()-1 >= seq; {
			v = v.prev.Load()
		}
		if s := head.Seq(); s-1 < p.Published() {
			v = head
		}
	}
	if v == nil || v.dead() {
		return nil
	}
	return v
}

// GetText returns the version of a key that the view sees.
func (v View) GetText(key string) *Version {
	_, u, _ := v.t.find(v.r, v.t.sumText(key), key, 0, pickAt, v.seq)
	return u
}

// GetWord is GetText for integer keys.
func (v View) GetWord(key int64) *Version {
	_, u, _ := v.t.find(v.r, v.t.sumWord(key), "", key, pickAt, v.seq)
	return u
}

// Scan calls yield with every record in the order of insertion, until it
// returns false.
func (v View) Scan(yield func(*Version) bool) bool {
	for _, c := range v.r.rows.dir.Load().chunks {
		if c == nil {
			continue
		}
		for i := range c {
			if u := c[i].Load().at(v.seq); u != nil && !yield(u) {
				return false
			}
		}
	}
	return true
}

// ScanBack is Scan from the newest record to the oldest.
func (v View) ScanBack(yield func(*Version) bool) bool {
	chunks := v.r.rows.dir.Load().chunks
	for j := len(chunks) - 1; j >= 0; j-- {
		c := chunks[j]
		if c == nil {
			continue
		}
		for i := chunkRows - 1; i >= 0; i-- {
			if u := c[i].Load().at(v.seq); u != nil && !yield(u) {
				return false
			}
		}
	}
	return true
}

// counts runs f, which reads counters, and reports whether what it read is
// exact for the view: no commit touched the table since, and none was changing
// the counters meanwhile.
func (v View) counts(f func() int) (int, bool) {
	for range 4 {
		e := v.t.epoch.Load()
		if e&1 != 0 {
			continue
		}
		if v.t.last.Load() > v.seq {
			return 0, false
		}
		if n := f(); v.t.epoch.Load() == e {
			return n, true
		}
	}
	return 0, false
}

// Counted is Count where the counter has the answer.
func (v View) Counted() (int, bool) {
	return v.counts(func() int { return int(v.t.n.Load()) })
}

// CountedKey is CountKey where the counter has the answer.
func (v View) CountedKey(i int, k Key) (int, bool) { return v.r.indexes[i].rows(v, k) }

// Count returns the number of records: from the counter where the view is the
// newest state, by a scan otherwise.
func (v View) Count() int {
	if n, ok := v.Counted(); ok {
		return n
	}
	n := 0
	v.Scan(func(*Version) bool { n++; return true })
	return n
}

// Lookup and Range name the two kinds of index, so that the compiler sees that
// yield is not kept: a caller's closure stays off the heap.

// Lookup calls yield with the records whose key in index i is k, in the order
// of insertion.
func (v View) Lookup(i int, k Key, yield func(*Version) bool) bool {
	if x, ok := v.r.indexes[i].(*keyIndex[string]); ok {
		return x.lookup(v, k, yield)
	}
	return v.r.indexes[i].(*keyIndex[uint64]).lookup(v, k, yield)
}

// Range calls yield with the records whose key in index i lies in g, in the
// order of keys (descending if back), equal keys in the order of insertion.
func (v View) Range(i int, g Range, back bool, yield func(*Version) bool) bool {
	if x, ok := v.r.indexes[i].(*keyIndex[string]); ok {
		return x.scan(v, g, back, yield)
	}
	return v.r.indexes[i].(*keyIndex[uint64]).scan(v, g, back, yield)
}

// Gather returns the records whose key in index i lies in g, in the order of
// insertion.
func (v View) Gather(i int, g Range) []*Version {
	found := v.r.indexes[i].gather(v, g)
	slices.SortFunc(found, func(a, b foundRow) int { return cmp.Compare(a.row, b.row) })
	out := make([]*Version, len(found))
	for i, f := range found {
		out[i] = f.v
	}
	return out
}

// foundRow is a record that a view sees, and its row.
type foundRow struct {
	row uint32
	v   *Version
}

// CountKey returns the number of records whose key in index i is k: from the
// counter where the view is the newest state, by a scan of the entry otherwise.
func (v View) CountKey(i int, k Key) int {
	if n, ok := v.CountedKey(i, k); ok {
		return n
	}
	n := 0
	v.Lookup(i, k, func(*Version) bool { n++; return true })
	return n
}

// entry finds the place of a key.
func (x *keyIndex[K]) entry(k K) (*leaf[K], int, bool) {
	l := x.tree.find(k)
	if l == nil {
		return nil, 0, false
	}
	p := l.perm.Load()
	i, ok := l.search(p, k)
	if !ok {
		return nil, 0, false
	}
	return l, permAt(p, i), true
}

// readBuf is the scratch that a reader of x needs.
func (x *keyIndex[K]) readBuf() []byte {
	if x.spec.Borrowed {
		return make([]byte, 0, 128)
	}
	return nil
}

// see returns what the view sees of a row found under k: its version, if that
// carries k. Only a row that ever carried another value needs the comparison.
func (x *keyIndex[K]) see(v View, head *Version, k K, buf []byte) *Version {
	u := head.at(v.seq)
	if u == nil || head.bits.Load()&movedBit(x.pos) != 0 && !x.has(u, k, buf) {
		return nil
	}
	return u
}

func (x *keyIndex[K]) lookup(v View, key Key, yield func(*Version) bool) bool {
	k := x.of(key)
	l, slot, ok := x.entry(k)
	if !ok {
		return true
	}
	return x.yieldEntry(v, v.r.rows.dir.Load(), l, slot, k, x.readBuf(), yield)
}

// resolve returns what an entry holds: its set, or its only row.
func (l *leaf[K]) resolve(slot int) (uint32, *rowset) {
	for {
		if w := l.val(slot); w != manyRows {
			return uint32(w), nil
		}
		if s := l.set(slot); s != nil {
			return 0, s
		}
		// The entry went back to one row between the two loads.
	}
}

func (x *keyIndex[K]) yieldEntry(v View, d *rowDir, l *leaf[K], slot int, k K, buf []byte, yield func(*Version) bool) bool {
	row, s := l.resolve(slot)
	if s != nil {
		return x.yieldSet(v, d, s, k, buf, yield)
	}
	if u := x.see(v, v.head(d, row), k, buf); u != nil {
		return yield(u)
	}
	return true
}

// head is rowDir.head for a row that may be newer than the directory d.
func (v View) head(d *rowDir, row uint32) *Version {
	if row>>chunkBits-d.base >= uint32(len(d.chunks)) {
		d = v.r.rows.dir.Load()
	}
	return d.head(row)
}

// yieldSet walks a row set word by word. It gathers the heads of a word before
// it looks at any of them: those loads do not wait for each other, so that
// their cache misses overlap.
func (x *keyIndex[K]) yieldSet(v View, d *rowDir, s *rowset, k K, buf []byte, yield func(*Version) bool) bool {
	var heads [64]*Version
	bit := movedBit(x.pos)
	for c := s.words.first(); c.ok(); c.next() {
		w := atomic.LoadUint64(&c.l.vals[c.slot()])
		base := c.key() << 6
		i := base>>chunkBits - d.base
		if i >= uint32(len(d.chunks)) {
			d = v.r.rows.dir.Load()
			if i = base>>chunkBits - d.base; i >= uint32(len(d.chunks)) {
				continue
			}
		}
		ch := d.chunks[i]
		if ch == nil {
			continue
		}
		cells := ch[base&(chunkRows-1):][:64]
		n := 0
		for ; w != 0; w &= w - 1 {
			heads[n&63] = cells[bits.TrailingZeros64(w)&63].Load()
			n++
		}
		for _, head := range heads[:n] {
			u := head.at(v.seq)
			if u == nil || head.bits.Load()&bit != 0 && !x.has(u, k, buf) {
				continue
			}
			if !yield(u) {
				return false
			}
		}
	}
	return true
}

func (x *keyIndex[K]) scan(v View, g Range, back bool, yield func(*Version) bool) bool {
	s := leafScan[K]{x: x, v: v, d: v.r.rows.dir.Load(), buf: x.readBuf()}
	lo, hi := x.of(g.Lo), x.of(g.Hi)
	if back {
		c := x.tree.last()
		if !g.NoHi {
			c = x.tree.seekBack(hi)
		}
		for c.ok() {
			from := 0
			if !g.NoLo && c.l.keys[permAt(c.p, 0)] < lo {
				from, _ = c.l.search(c.p, lo)
			}
			if !s.run(c.l, c.p, c.i, from-1, -1, yield) {
				return false
			}
			if from > 0 {
				break
			}
			c.prevLeaf()
		}
		return true
	}
	c := x.tree.first()
	if !g.NoLo {
		c = x.tree.seek(lo)
	}
	for c.ok() {
		n := permLen(c.p)
		end := n
		if !g.NoHi && c.l.keys[permAt(c.p, n-1)] >= hi {
			end, _ = c.l.search(c.p, hi)
		}
		if !s.run(c.l, c.p, c.i, end, 1, yield) {
			return false
		}
		if end < n {
			break
		}
		c.nextLeaf()
	}
	return true
}

// leafScan yields what a view sees of the entries of leaves.
type leafScan[K cmp.Ordered] struct {
	x   *keyIndex[K]
	v   View
	d   *rowDir
	buf []byte
}

// run takes the entries from position i on, by step, up to but without end. It
// loads the heads of all rows before it looks at any, as yieldSet does.
func (s *leafScan[K]) run(l *leaf[K], p uint64, i, end, step int, yield func(*Version) bool) bool {
	var heads [leafSlots]*Version
	for j := i; j != end && (end-j)*step > 0; j += step {
		if w := l.val(permAt(p, j)); w != manyRows {
			heads[j] = s.v.head(s.d, uint32(w))
		}
	}
	bit := movedBit(s.x.pos)
	for j := i; j != end && (end-j)*step > 0; j += step {
		head := heads[j]
		if head == nil { // several rows, or a row that is gone
			slot := permAt(p, j)
			if !s.x.yieldEntry(s.v, s.d, l, slot, l.keys[slot], s.buf, yield) {
				return false
			}
			continue
		}
		u := head.at(s.v.seq)
		if u == nil || head.bits.Load()&bit != 0 && !s.x.has(u, l.keys[permAt(p, j)], s.buf) {
			continue
		}
		if !yield(u) {
			return false
		}
	}
	return true
}

func (x *keyIndex[K]) gather(v View, g Range) (out []foundRow) {
	d := v.r.rows.dir.Load()
	buf := x.readBuf()
	hi := x.of(g.Hi)
	c := x.tree.first()
	if !g.NoLo {
		c = x.tree.seek(x.of(g.Lo))
	}
	for ; c.ok() && (g.NoHi || c.key() < hi); c.next() {
		k := c.key()
		take := func(row uint32) bool {
			if u := x.see(v, v.head(d, row), k, buf); u != nil {
				out = append(out, foundRow{row, u})
			}
			return true
		}
		if row, s := c.l.resolve(c.slot()); s != nil {
			s.each(take)
		} else {
			take(row)
		}
	}
	return out
}

func (x *keyIndex[K]) rows(v View, key Key) (int, bool) {
	k := x.of(key)
	for range 4 {
		e := v.t.epoch.Load()
		if e&1 != 0 {
			continue
		}
		if v.t.last.Load() > v.seq {
			return 0, false
		}
		n := 0
		if l, slot, ok := x.entry(k); ok {
			_, s := l.resolve(slot)
			if s == nil {
				return 0, false // one row: looking at it is the count
			}
			n = int(s.n.Load())
		}
		if v.t.epoch.Load() == e {
			return n, true
		}
	}
	return 0, false
}
