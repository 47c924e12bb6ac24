package table

// View reads a table at one sequence, which the caller keeps pinned while it
// uses the view. It is a value; any goroutine may use it.
type View struct {
	t   *Table
	r   *root
	seq uint64
}

// reader is the reading half of an index; a Cursor does the rest.
type reader interface {
	// rows is the number of records under a key, if a counter has it.
	rows(v View, k Key) (n int, exact bool)
	// set is the set of rows that may have the key, nil if there is none.
	set(k Key) *rowset
	// guess is about how many records a key, or an interval of them, has.
	guess(k Key) int
	guessRange(g Range, live int) int
	// entries calls fn with one record of each key in g and their number.
	entries(v View, g Range, back bool, fn func(u *Version, n int) bool) bool
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

// GetText returns the version of a key that the view sees, and its row.
func (v View) GetText(key string) (*Version, uint32) {
	row, u, _ := v.t.find(v.r, v.t.sumText(key), key, 0, pickAt, v.seq)
	return u, row
}

// GetWord is GetText for integer keys.
func (v View) GetWord(key int64) (*Version, uint32) {
	row, u, _ := v.t.find(v.r, v.t.sumWord(key), "", key, pickAt, v.seq)
	return u, row
}

// Ordinal numbers rows in the order of insertion. Unlike a row's number it stays
// what it is when the table numbers its rows anew.
func (v View) Ordinal(row uint32) uint64 { return v.r.ordinal(row) }

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

// Count returns the number of records: from the counter where the view is the
// newest state, by a scan otherwise.
func (v View) Count() int {
	if n, ok := v.Counted(); ok {
		return n
	}
	var c Cursor
	c.Scan(v, false)
	return c.count()
}

// CountedKey is CountKey where the counter has the answer.
func (v View) CountedKey(i int, k Key) (int, bool) { return v.r.indexes[i].rows(v, k) }

// CountKey returns the number of records whose key in index i is k: from the
// counter where the view is the newest state, by a scan of the entry otherwise.
func (v View) CountKey(i int, k Key) int {
	if n, ok := v.CountedKey(i, k); ok {
		return n
	}
	var c Cursor
	c.Lookup(v, i, k)
	return c.count()
}

// CountRange is CountKey for an interval: a counter, or one record, is read for
// each of its keys.
func (v View) CountRange(i int, g Range) (n int) {
	v.r.indexes[i].entries(v, g, false, func(_ *Version, k int) bool { n += k; return true })
	return n
}

// Indexed returns how many records are in index i, if a counter has it. The
// others have no value there.
func (v View) Indexed(i int) (int, bool) {
	return v.counts(func() int { return int(v.t.live[i].n.Load()) })
}

// Guess returns about how many records index i has under k.
func (v View) Guess(i int, k Key) int { return v.r.indexes[i].guess(k) }

// GuessRange returns about how many records index i has in g: exact if they have
// few keys, else from the shape of the tree.
func (v View) GuessRange(i int, g Range) int {
	return v.r.indexes[i].guessRange(g, max(int(v.t.live[i].n.Load()), 0))
}

// GuessAll returns about how many records there are.
func (v View) GuessAll() int { return max(int(v.t.n.Load()), 0) }

// Entries calls fn with one record of each key that index i has in g, and how
// many records have the key, in the order of keys (descending if back), until fn
// returns false.
func (v View) Entries(i int, g Range, back bool, fn func(u *Version, n int) bool) {
	v.r.indexes[i].entries(v, g, back, fn)
}

func (c *Cursor) count() (n int) {
	var buf [128]*Version
	for {
		k := c.Next(buf[:], nil)
		if k == 0 {
			return n
		}
		n += k
	}
}

// entry finds the place of a key.
func (x *keyIndex[K, S]) entry(k K) (*rowLeaf[K, S], int, bool) {
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

// resolve returns what an entry holds: its set, or its only row.
func (l *leaf[K, S, V]) resolve(slot int) (uint32, *rowset) {
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

func (x *keyIndex[K, S]) rows(v View, key Key) (int, bool) {
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

func (x *keyIndex[K, S]) set(key Key) *rowset {
	l, slot, ok := x.entry(x.of(key))
	if !ok {
		return nil
	}
	_, s := l.resolve(slot)
	return s
}

func (x *keyIndex[K, S]) guess(key Key) int {
	l, slot, ok := x.entry(x.of(key))
	if !ok {
		return 0
	}
	return l.guess(slot)
}

func (l *leaf[K, S, V]) guess(slot int) int {
	if _, s := l.resolve(slot); s != nil {
		return max(int(s.n.Load()), 0)
	}
	return 1
}

// guessLeaves is how many leaves guessRange reads before it estimates the rest
// from the inner nodes, as InnoDB's records_in_range does.
const guessLeaves = 4

func (x *keyIndex[K, S]) guessRange(g Range, live int) (n int) {
	var w walk[K, S]
	w.between(x, bounds[K]{x.of(g.Lo), x.of(g.Hi), g.NoLo, g.NoHi}, false)
	for leaves := 0; w.at.l != nil; leaves++ {
		if leaves == guessLeaves {
			lo, hi := 0.0, 1.0
			if !g.NoLo {
				lo = x.tree.rank(x.of(g.Lo))
			}
			if !g.NoHi {
				hi = x.tree.rank(x.of(g.Hi))
			}
			return max(n, int((hi-lo)*float64(live)))
		}
		for ; w.at.i < w.end; w.at.i++ {
			n += w.at.l.guess(permAt(w.at.p, w.at.i))
		}
		w.leave()
	}
	return n
}

// entries looks at the first record of each entry that has any.
func (x *keyIndex[K, S]) entries(v View, g Range, back bool, fn func(u *Version, n int) bool) bool {
	var w walk[K, S]
	w.between(x, bounds[K]{x.of(g.Lo), x.of(g.Hi), g.NoLo, g.NoHi}, back)
	c := Cursor{v: v, dir: v.r.rows.dir.Load()}
	for w.at.l != nil {
		for ; (w.end-w.at.i)*w.step > 0; w.at.i += w.step {
			if u, n := w.entry(&c); n > 0 && !fn(u, n) {
				return false
			}
		}
		w.leave()
	}
	return true
}

// entry returns a record of the entry that the walk stands on, and the number of
// all.
func (w *walk[K, S]) entry(c *Cursor) (*Version, int) {
	l, slot := w.at.l, permAt(w.at.p, w.at.i)
	one := walk[K, S]{x: w.x, step: 1, last: true, at: rowCursor[K, S]{l: l, p: permPut(0, 0, slot)}, end: 1}
	n, exact := 0, false
	if _, s := l.resolve(slot); s != nil {
		n, exact = c.v.counts(func() int { return int(s.n.Load()) })
	}
	var buf [64]*Version
	if exact {
		if n <= 0 || one.next(c, buf[:1], nil) == 0 {
			return nil, 0
		}
		return buf[0], n
	}
	n = one.next(c, buf[:], nil)
	u := buf[0]
	for k := n; k == len(buf); {
		k = one.next(c, buf[:], nil)
		n += k
	}
	return u, n
}
