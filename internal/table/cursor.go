package table

import (
	"cmp"
	"sync/atomic"
)

// Cursor walks the records that a view sees along one path, a batch at a time:
// rows in the order of insertion, or the entries of an index in the order of
// keys. It is filled by one of its begin methods and is a value without locks or
// a finish; the caller keeps the view's sequence pinned. One goroutine at a time.
//
// Batches, instead of a call for each record, let the loads of several versions
// wait for memory at the same time, and let the caller loop over them without an
// indirect call: about 2 ns a record in cache.
type Cursor struct {
	v    View
	dir  *rowDir
	kind cursorKind
	back bool
	// scan: the next cell
	chunk, cell int
	// index: whichever the index has
	words walk[uint64, none]
	texts walk[string, uint32]
}

type cursorKind uint8

const (
	cursorDone cursorKind = iota
	cursorScan
	cursorWords
	cursorTexts
)

// Reset lets go of what the walk has led to, and of its table.
func (c *Cursor) Reset() {
	if c.words.x != nil {
		c.words = walk[uint64, none]{}
	}
	if c.texts.x != nil {
		c.texts = walk[string, uint32]{}
	}
	c.v, c.dir, c.kind = View{}, nil, cursorDone
}

// Scan begins a walk over all rows, from the first or from the last.
func (c *Cursor) Scan(v View, back bool) {
	c.v, c.dir, c.kind, c.back = v, v.r.rows.dir.Load(), cursorScan, back
	c.chunk, c.cell = 0, 0
	if back {
		c.chunk, c.cell = len(c.dir.chunks)-1, chunkRows-1
	}
}

// ScanAfter begins a walk over the rows behind an ordinal (see View.Ordinal).
func (c *Cursor) ScanAfter(v View, ord uint64) {
	c.Scan(v, false)
	row, ok := v.r.rowAfter(ord)
	if !ok {
		c.kind = cursorDone
		return
	}
	if i := int64(row>>chunkBits) - int64(c.dir.base); i >= 0 {
		c.chunk, c.cell = int(i), int(row&(chunkRows-1))
	}
}

// Lookup begins a walk over the rows whose key in index i is k, in the order of
// insertion.
func (c *Cursor) Lookup(v View, i int, k Key) {
	c.v, c.dir, c.back = v, v.r.rows.dir.Load(), false
	switch x := v.r.indexes[i].(type) {
	case *textIndex:
		c.kind = cursorTexts
		c.texts.lookup(x, k.Text)
	case *wordIndex:
		c.kind = cursorWords
		c.words.lookup(x, k.Word)
	}
}

// Range begins a walk over the rows whose key in index i lies in g, in the order
// of keys (descending if back), equal keys in the order of insertion.
func (c *Cursor) Range(v View, i int, g Range, back bool) {
	c.v, c.dir, c.back = v, v.r.rows.dir.Load(), back
	switch x := v.r.indexes[i].(type) {
	case *textIndex:
		c.kind = cursorTexts
		c.texts.between(x, bounds[string]{g.Lo.Text, g.Hi.Text, g.NoLo, g.NoHi}, back)
	case *wordIndex:
		c.kind = cursorWords
		c.words.between(x, bounds[uint64]{g.Lo.Word, g.Hi.Word, g.NoLo, g.NoHi}, back)
	}
}

// SkipTo lets a walk begun by Lookup start behind an ordinal.
func (c *Cursor) SkipTo(ord uint64) {
	row, ok := c.v.r.rowAfter(ord)
	switch {
	case !ok:
		c.kind = cursorDone
	case c.kind == cursorTexts:
		c.texts.from = row
	case c.kind == cursorWords:
		c.words.from = row
	}
}

// And narrows a walk begun by Lookup to rows that a second index may have under
// a key: the sets of rows are intersected word by word, before any record is
// looked at. The caller still compares the second field. It reports false, and
// does nothing, where the second key has no set.
func (c *Cursor) And(i int, k Key) bool {
	s := c.v.r.indexes[i].set(k)
	if s == nil {
		return false
	}
	also := &setProbe{tree: &s.words}
	switch c.kind {
	case cursorTexts:
		also.next, c.texts.also = c.texts.also, also
	case cursorWords:
		also.next, c.words.also = c.words.also, also
	}
	return true
}

// Next fills buf with the next records and, unless rows is nil, rows with their
// row numbers, and returns how many. It fills less than it could only at the
// end, and returns 0 from then on.
func (c *Cursor) Next(buf []*Version, rows []uint32) int {
	switch c.kind {
	case cursorScan:
		if c.back {
			return c.scanBack(buf, rows)
		}
		return c.scan(buf, rows)
	case cursorTexts:
		return c.texts.next(c, buf, rows)
	case cursorWords:
		return c.words.next(c, buf, rows)
	}
	return 0
}

func (c *Cursor) scan(buf []*Version, rows []uint32) (n int) {
	seq := c.v.seq
	for ; c.chunk < len(c.dir.chunks); c.chunk, c.cell = c.chunk+1, 0 {
		ch := c.dir.chunks[c.chunk]
		if ch == nil {
			continue
		}
		for used := int(ch.used.Load()); c.cell < used; {
			room := len(buf) - n
			if room == 0 {
				return n
			}
			cells := ch.cells[c.cell:min(c.cell+room, used)]
			first := (c.dir.base+uint32(c.chunk))<<chunkBits + uint32(c.cell)
			s, m := ch.settled.Load(), 0
			switch {
			case s > seq:
			case rows == nil && c.cell+len(cells) <= int(ch.solid.Load()):
				m = takeSolid(cells, buf[n:])
			default:
				m = takeHeads(cells, buf[n:], rows, n, first)
			}
			if s > seq || ch.settled.Load() != s {
				m = takeSeen(cells, buf[n:], rows, n, first, seq)
			}
			n += m
			c.cell += len(cells)
		}
	}
	return n
}

// takeSolid takes the newest versions of cells, of which none is empty.
func takeSolid(cells []atomic.Pointer[Version], buf []*Version) int {
	n := len(cells)
	for buf = buf[:n]; len(cells) >= 8 && len(buf) >= 8; cells, buf = cells[8:], buf[8:] {
		from, to := (*[8]atomic.Pointer[Version])(cells), (*[8]*Version)(buf)
		a, b, c, d := from[0].Load(), from[1].Load(), from[2].Load(), from[3].Load()
		to[0], to[1], to[2], to[3] = a, b, c, d
		a, b, c, d = from[4].Load(), from[5].Load(), from[6].Load(), from[7].Load()
		to[4], to[5], to[6], to[7] = a, b, c, d
	}
	for i := range cells {
		buf[i] = cells[i].Load()
	}
	return n
}

// takeHeads takes the newest versions of cells, whatever they are, and their row
// numbers from rows[at] on.
func takeHeads(cells []atomic.Pointer[Version], buf []*Version, rows []uint32, at int, first uint32) (n int) {
	buf = buf[:len(cells)]
	for j := range cells {
		if u := cells[j].Load(); u != nil {
			if buf[n] = u; rows != nil {
				rows[at+n] = first + uint32(j)
			}
			n++
		}
	}
	return n
}

// takeSeen takes the versions that seq sees in cells.
func takeSeen(cells []atomic.Pointer[Version], buf []*Version, rows []uint32, at int, first uint32, seq uint64) (n int) {
	for j := range cells {
		u := cells[j].Load()
		if !u.plainly(seq, 0) {
			if u = u.at(seq); u == nil {
				continue
			}
		}
		buf[n] = u
		if rows != nil {
			rows[at+n] = first + uint32(j)
		}
		n++
	}
	return n
}

func (c *Cursor) scanBack(buf []*Version, rows []uint32) (n int) {
	for ; c.chunk >= 0; c.chunk, c.cell = c.chunk-1, chunkRows-1 {
		ch := c.dir.chunks[c.chunk]
		if ch == nil {
			continue
		}
		for c.cell = min(c.cell, int(ch.used.Load())-1); c.cell >= 0; c.cell-- {
			if n == len(buf) {
				return n
			}
			if u := ch.cells[c.cell].Load().at(c.v.seq); u != nil {
				buf[n] = u
				if rows != nil {
					rows[n] = (c.dir.base+uint32(c.chunk))<<chunkBits + uint32(c.cell)
				}
				n++
			}
		}
	}
	return n
}

// head is the newest version of a row, which may be newer than the directory.
func (c *Cursor) head(row uint32) *Version {
	if row>>chunkBits-c.dir.base >= uint32(len(c.dir.chunks)) {
		c.dir = c.v.r.rows.dir.Load()
	}
	return c.dir.head(row)
}

// bounds is an interval of keys, from lo on, up to but without hi.
type bounds[K cmp.Ordered] struct {
	lo, hi     K
	noLo, noHi bool
}

// walk is the part of a Cursor that stands in an index: on an entry of a leaf,
// and within the set of rows of the entry before, if that has one.
type walk[K cmp.Ordered, S abbr] struct {
	x    *keyIndex[K, S]
	at   rowCursor[K, S]
	b    bounds[K]
	step int  // +1, or -1 for descending keys
	end  int  // position in the leaf where the walk leaves it
	last bool // the walk ends with this leaf

	inSet bool
	key   K // of the set
	setWalk
	buf []byte // scratch for comparing keys
}

func (w *walk[K, S]) lookup(x *keyIndex[K, S], k K) {
	if w.x != nil {
		*w = walk[K, S]{}
	}
	w.x, w.step, w.last = x, 1, true
	if l, slot, ok := x.entry(k); ok {
		w.at = rowCursor[K, S]{l: l, p: permPut(0, 0, slot)} // the entry alone
		w.end = 1
	}
}

func (w *walk[K, S]) between(x *keyIndex[K, S], b bounds[K], back bool) {
	if w.x != nil {
		*w = walk[K, S]{}
	}
	w.x, w.b, w.step = x, b, 1
	switch {
	case !b.noLo && !b.noHi && b.lo >= b.hi:
		return
	case back && b.noHi:
		w.at = x.tree.last()
	case back:
		w.at = x.tree.seekBack(b.hi)
	case b.noLo:
		w.at = x.tree.first()
	default:
		w.at = x.tree.seek(b.lo)
	}
	if back {
		w.step = -1
	}
	w.enter()
}

// enter finds where the walk leaves the leaf that it has come to.
func (w *walk[K, S]) enter() {
	l, p := w.at.l, w.at.p
	if l == nil {
		return
	}
	if w.step > 0 {
		w.end = permLen(p)
		if !w.b.noHi && l.keys[permAt(p, w.end-1)] >= w.b.hi {
			w.end, _ = l.search(p, w.b.hi)
			w.last = true
		}
		return
	}
	w.end = -1
	if !w.b.noLo && l.keys[permAt(p, 0)] < w.b.lo {
		w.end, _ = l.search(p, w.b.lo)
		w.end--
		w.last = true
	}
}

// leave goes on to the next leaf.
func (w *walk[K, S]) leave() {
	switch {
	case w.last:
		w.at.l = nil
		return
	case w.step > 0:
		w.at.nextLeaf()
	default:
		w.at.prevLeaf()
	}
	w.enter()
}

func (w *walk[K, S]) next(c *Cursor, buf []*Version, rows []uint32) (n int) {
	for n < len(buf) {
		switch {
		case w.inSet:
			n = w.rows(c, buf, rows, n)
		case w.at.l == nil:
			return n
		case (w.end-w.at.i)*w.step <= 0:
			w.leave()
		default:
			n = w.entries(c, buf, rows, n)
		}
	}
	return n
}

// entries takes entries of one row each, up to one with a set.
func (w *walk[K, S]) entries(c *Cursor, buf []*Version, rows []uint32, n int) int {
	l, p := w.at.l, w.at.p
	var slots [leafSlots]uint8
	k := 0
	for ; (w.end-w.at.i)*w.step > 0 && n+k < len(buf); w.at.i += w.step {
		slot := permAt(p, w.at.i)
		row, s := l.resolve(slot)
		if s != nil {
			if k == 0 {
				w.key, w.inSet = l.keys[slot], true
				w.enterSet(s)
				w.at.i += w.step
			}
			break
		}
		buf[n+k] = c.head(row)
		if rows != nil {
			rows[n+k] = row
		}
		slots[k] = uint8(slot)
		k++
	}
	bit, seq := movedBit(w.x.pos), c.v.seq
	m := n
	for j := range k {
		head := buf[n+j]
		if !head.plainly(seq, bit) {
			if head = w.look(head, seq, l.keys[slots[j]]); head == nil {
				continue
			}
		}
		buf[m] = head
		if rows != nil {
			rows[m] = rows[n+j]
		}
		m++
	}
	return m
}

// rows takes rows of a set, 64 at a time.
func (w *walk[K, S]) rows(c *Cursor, buf []*Version, rows []uint32, n int) int {
	seq := c.v.seq
	for n < len(buf) {
		heads := buf[n:min(len(buf), n+64)]
		k, plain := w.heads(c, movedBit(w.x.pos), heads, rows, n)
		if k == 0 {
			w.inSet = false
			return n
		}
		if plain {
			n += k
			continue
		}
		bit := movedBit(w.x.pos)
		from := n
		for j, head := range heads[:k] { // which are moved up where some are left out
			if !head.plainly(seq, bit) {
				if head = w.look(head, seq, w.key); head == nil {
					continue
				}
			}
			buf[n] = head
			if rows != nil {
				rows[n] = rows[from+j]
			}
			n++
		}
	}
	return n
}

// look finds what seq sees in a row that was found under k, if it has that key.
func (w *walk[K, S]) look(head *Version, seq uint64, k K) *Version {
	if w.buf == nil && w.x.spec.Borrowed {
		w.buf = make([]byte, 0, 128)
	}
	u := head.at(seq)
	if u == nil || head.bits.Load()&movedBit(w.x.pos) != 0 && !w.x.has(u, k, w.buf) {
		return nil
	}
	return u
}
