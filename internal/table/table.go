// Package table is the storage of one bucket: rows of version chains, a hash
// index over the key, and ordered indexes over fields.
//
//	root ─┬─ hash      key → row number      (no keys stored: 11-20 bytes a record)
//	      ├─ rows      row number → cell → newest version → older → …
//	      └─ indexes   value → row numbers   (B+tree of values, bit trees of rows)
//
// # One writer, readers without locks
//
// Every method of [Table] but At and Get belongs to the writer: the caller
// makes sure that there is one at a time. Readers never wait for it. A write
// links a new version in front of the row's chain, pending (sequence 0) and so
// invisible; Stamp gives all versions of a commit their sequence, and the
// store's single [Pins.Publish] makes them visible in all tables at once. Up to
// then Undo takes everything back.
//
// # Invariants
//
//   - An index entry (value, row) exists exactly while some version in the row's
//     chain, pending ones included, carries the value. Entries are linked after
//     the version is, and unlinked before a restored version can be taken for
//     it (moved bits), so a reader who compares the record never errs, and one
//     whose row never moved need not compare.
//   - A version that a pinned sequence sees stays in its chain. All others are
//     cut by the commit that supersedes them, or when the pin that they waited
//     for is gone: a chain is never longer than the distinct pinned sequences
//     plus one (and what is pending).
//   - A row number is not reused while anybody may hold it: numbers only rise,
//     and renumbering (compact.go) builds a new root beside the old one.
//   - Counters of rows are exact for the published sequence; a reader takes one
//     only between two equal, even values of epoch.
//
// # Cost
//
// Get: one hash probe and one cell, no allocation. Insert: hash and row O(1),
// each index O(log distinct values). An update touches only the indexes whose
// fields changed. Cutting is O(1) per superseded version.
//
// The design follows PostgreSQL's heap and the version chains of Hekaton
// (Diaconu et al., SIGMOD 2013), with a single writer in place of latches.
package table

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"unsafe"
)

// KeySpec says where a version keeps its key: a string, or a 64-bit integer, at
// the offset from the version's start.
type KeySpec struct {
	Text bool
	Off  uintptr
}

// Config describes a table.
type Config struct {
	Key     KeySpec
	Indexes []IndexSpec // at most 64
	Pins    *Pins
}

// Table is the storage of one bucket; see the package comment.
type Table struct {
	root  atomic.Pointer[root]
	epoch atomic.Uint64 // odd while counters and the published sequence change
	last  atomic.Uint64 // sequence of the newest commit that touched the table
	n     atomic.Int64  // live records at the published sequence
	held  atomic.Int64  // versions that wait for a pin to go
	live  []liveCount   // by index
	id    uint64        // random, see ID

	// Writer only.
	cfg     Config
	seed    maphash.Seed
	changes []Change // of the pending commits, in order
	delta   int64    // what they change of n
	dirty   []*rowset
	stirred uint64  // indexes whose live count has a delta
	places  []place // of superseded keys, so that cutting needs no second search
	sight   Sight   // scratch
	waits   []waitList
	rooms   [][]waitItem // for them, empty
	hand    uint64       // ordinal at which LeastRead goes on
}

// liveCount is how many live records are in an index.
type liveCount struct {
	n     atomic.Int64 // at the published sequence
	delta int64        // writer: what the pending commits change of it
}

// root is the storage under one numbering of the rows.
type root struct {
	keys    hash
	rows    rows
	indexes []index
	ords    []uint64 // ordinals of the rows that the table was rebuilt with
	shift   uint64   // what makes ordinals of the others' numbers
	front   uint32   // writer: no row before it has a live head
}

// ordinal is the place of a row in the order of insertion, for ever.
func (r *root) ordinal(row uint32) uint64 {
	if int(row) < len(r.ords) {
		return r.ords[row]
	}
	return uint64(row) + r.shift
}

// rowAfter is the first row number whose ordinal is above ord.
func (r *root) rowAfter(ord uint64) (row uint32, ok bool) {
	n := uint64(len(r.ords))
	if n > 0 && r.ords[n-1] > ord {
		i, found := slices.BinarySearch(r.ords, ord)
		if found {
			i++
		}
		return uint32(i), true
	}
	if ord < n+r.shift {
		return uint32(n), true
	}
	after := ord - r.shift + 1
	return uint32(after), after <= maxRow
}

// Change is one pending or just published change of a row.
type Change struct {
	row     uint32
	Why     uint8    // of a delete: what the caller said
	Old     *Version // nil: the record is new
	New     *Version // a tombstone: the record is gone
	touched uint64   // indexes whose key differs between Old and New
	places  int      // where the places of Old's keys in those begin in Table.places
}

// New returns an empty table.
func New(cfg Config) *Table {
	t := &Table{cfg: cfg, seed: maphash.MakeSeed(), live: make([]liveCount, len(cfg.Indexes)), id: rand.Uint64()}
	t.root.Store(newRoot(&cfg, 0))
	return t
}

func newRoot(cfg *Config, n int) *root {
	r := &root{}
	r.keys.init(n)
	r.rows.init()
	for i, spec := range cfg.Indexes {
		r.indexes = append(r.indexes, newIndex(spec, i))
	}
	return r
}

// ---- keys

func (t *Table) sumText(key string) uint32 { return uint32(maphash.String(t.seed, key) >> 32) }

func (t *Table) sumWord(key int64) uint32 {
	// The finalizer of splitmix64 (Steele, Lea, Flood 2014), salted by the
	// offset of nothing but the key: integers need no protection by a seed to
	// be spread, and rows of one hash are told apart by their keys.
	x := uint64(key) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32((x ^ x>>31) >> 32)
}

func (k KeySpec) text(v *Version) string {
	if v.dead() {
		return (*tombstone)(unsafe.Pointer(v)).text
	}
	return *(*string)(ptr(v, k.Off))
}

func (k KeySpec) word(v *Version) int64 {
	if v.dead() {
		return (*tombstone)(unsafe.Pointer(v)).word
	}
	return *(*int64)(ptr(v, k.Off))
}

func (t *Table) sumOf(v *Version) uint32 {
	if t.cfg.Key.Text {
		return t.sumText(t.cfg.Key.text(v))
	}
	return t.sumWord(t.cfg.Key.word(v))
}

// pick says which of the rows that share a key a search is after. There are
// several while deleted ones wait for a pin to go: a record that is inserted
// again gets a new row, at the end of the bucket's order.
type pick uint8

const (
	pickHead pick = iota // the newest version, pending ones included, if live
	pickAt               // what the sequence sees
	pickNow              // what the published sequence sees, unpinned
)

// find probes for a key, text or word, and returns the row and the version that
// is picked. With pickNow, seen reports that there was such a key even though
// nothing is picked.
func (t *Table) find(r *root, sum uint32, text string, word int64, p pick, seq uint64) (row uint32, v *Version, seen bool) {
	words := *r.keys.words.Load()
	dir := r.rows.dir.Load()
	mask := uint64(len(words) - 1)
	for i := uint64(sum) & mask; ; i = (i + 1) & mask {
		w := words[i].Load()
		if w == hashEmpty {
			return 0, nil, seen
		}
		if uint32(w>>32) != sum || w <= hashRemoved {
			continue
		}
		row = uint32(w) - 2
		if row>>chunkBits-dir.base >= uint32(len(dir.chunks)) {
			dir = r.rows.dir.Load() // the row is newer than the directory
		}
		v = dir.head(row)
		if v == nil {
			// The row was freed after this array of words was loaded. It may have
			// been the key's, and the key may have a new row that only a newer array
			// has.
			seen = seen || p == pickNow
			continue
		}
		if t.cfg.Key.Text {
			if t.cfg.Key.text(v) != text {
				continue
			}
		} else if t.cfg.Key.word(v) != word {
			continue
		}
		switch p {
		case pickHead:
			if v.dead() {
				v = nil
			}
		case pickAt:
			v = v.at(seq)
		case pickNow:
			v = t.current(v)
			seen = true
		}
		if v != nil {
			return row, v, true
		}
	}
}

func (t *Table) headOf(r *root, sum uint32, v *Version) (row uint32, head *Version) {
	if t.cfg.Key.Text {
		row, head, _ = t.find(r, sum, t.cfg.Key.text(v), 0, pickHead, 0)
	} else {
		row, head, _ = t.find(r, sum, "", t.cfg.Key.word(v), pickHead, 0)
	}
	return row, head
}

// ---- writer

// Ref is a live record as the writer sees it, pending changes included.
type Ref struct {
	V   *Version // nil: there is none
	row uint32
}

// Row is the number of the record's row.
func (r Ref) Row() uint32 { return r.row }

// Ordinal is the place of a changed record in the order of insertion.
func (t *Table) Ordinal(c *Change) uint64 { return t.root.Load().ordinal(c.row) }

// HeadText finds the newest version of a key, pending ones included.
func (t *Table) HeadText(key string) Ref {
	row, v, _ := t.find(t.root.Load(), t.sumText(key), key, 0, pickHead, 0)
	return Ref{v, row}
}

// HeadWord is HeadText for integer keys.
func (t *Table) HeadWord(key int64) Ref {
	row, v, _ := t.find(t.root.Load(), t.sumWord(key), "", key, pickHead, 0)
	return Ref{v, row}
}

// Newest reports whether v is the newest version in a row, pending ones included,
// without a search. It may be that v has another row now, and it says no.
func (t *Table) Newest(row uint32, v *Version) (Ref, bool) {
	if t.root.Load().rows.dir.Load().head(row) != v || v.dead() {
		return Ref{}, false
	}
	return Ref{v, row}, true
}

// HeadOf finds the newest version of v's key.
func (t *Table) HeadOf(v *Version) Ref {
	row, head := t.headOf(t.root.Load(), t.sumOf(v), v)
	return Ref{head, row}
}

// Conflict tells which unique key a write would break: an index, KeyConflict or
// NoConflict.
type Conflict int

// Conflicts that are not an index.
const (
	NoConflict  Conflict = -1
	KeyConflict Conflict = -2
	Full        Conflict = -3 // 2^32 rows
)

// Insert adds v, pending. Nothing has changed unless it returns NoConflict.
func (t *Table) Insert(v *Version) Conflict {
	r := t.root.Load()
	sum := t.sumOf(v)
	if _, head := t.headOf(r, sum, v); head != nil {
		return KeyConflict
	}
	if r.rows.full() {
		if r = t.rebuild(); r.rows.full() {
			return Full
		}
	}
	dir := r.rows.dir.Load()
	for i, x := range r.indexes {
		if t.cfg.Indexes[i].Unique && x.taken(dir, v, -1, nil) {
			return Conflict(i)
		}
	}
	t.add(r, sum, v)
	return NoConflict
}

// InsertChecked is Insert for a record that breaks no unique index, as Taken has
// said for all changes of a transaction together.
func (t *Table) InsertChecked(v *Version) Conflict {
	r := t.root.Load()
	if r.rows.full() {
		if r = t.rebuild(); r.rows.full() {
			return Full
		}
	}
	t.add(r, t.sumOf(v), v)
	return NoConflict
}

func (t *Table) add(r *root, sum uint32, v *Version) {
	v.bits.Store(0)
	row := r.rows.add(v)
	r.keys.add(sum, row)
	dir := r.rows.dir.Load()
	t.changes = append(t.changes, Change{row: row, New: v, touched: 1<<len(r.indexes) - 1})
	t.delta++
	for _, x := range r.indexes {
		x.link(t, dir, v, row)
	}
}

// Taken returns a unique index of those in touched in which a live row has v's
// key, other than self (-1: v is new) and those that skip has; NoConflict if
// there is none.
func (t *Table) Taken(v *Version, self int64, touched uint64, skip map[uint32]bool) Conflict {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	for i, x := range r.indexes {
		if touched>>i&1 == 0 || !t.cfg.Indexes[i].Unique {
			continue
		}
		taken := x.taken(dir, v, self, skip)
		x.forget()
		if taken {
			return Conflict(i)
		}
	}
	return NoConflict
}

// Update puts v, pending, before the version at. touched has a bit per index
// whose key may differ between the two. v has the same key as at.
func (t *Table) Update(at Ref, v *Version, touched uint64) Conflict {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	if touched != 0 {
		for i, x := range r.indexes {
			if touched>>i&1 != 0 && t.cfg.Indexes[i].Unique && x.taken(dir, v, int64(at.row), nil) {
				return Conflict(i)
			}
		}
	}
	t.UpdateChecked(at, v, touched)
	return NoConflict
}

// UpdateChecked is Update for a version that breaks no unique index.
func (t *Table) UpdateChecked(at Ref, v *Version, touched uint64) {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	v.prev.Store(at.V)
	v.bits.Store(at.V.bits.Load()&movedAll | movedBits(touched) | flagRead)
	r.rows.set(at.row, v)
	t.changes = append(t.changes, Change{row: at.row, Old: at.V, New: v, touched: touched, places: len(t.places)})
	if touched != 0 {
		for i, x := range r.indexes {
			if touched>>i&1 != 0 {
				x.link(t, dir, v, at.row)
				t.places = append(t.places, x.count(t, at.V, -1))
			}
		}
	}
}

// Delete puts a tombstone, pending, before the version at; why is the caller's
// own, for Change.
func (t *Table) Delete(at Ref, why uint8) {
	r := t.root.Load()
	d := &tombstone{}
	if t.cfg.Key.Text {
		d.text = t.cfg.Key.text(at.V)
	} else {
		d.word = t.cfg.Key.word(at.V)
	}
	v := &d.Version
	v.prev.Store(at.V)
	v.bits.Store(flagDead | movedAll)
	r.rows.set(at.row, v)
	t.changes = append(t.changes, Change{row: at.row, Old: at.V, New: v, Why: why, touched: 1<<len(r.indexes) - 1, places: len(t.places)})
	t.delta--
	for _, x := range r.indexes {
		t.places = append(t.places, x.count(t, at.V, -1))
	}
}

// ID tells this table from every other one, also of earlier processes.
func (t *Table) ID() uint64 { return t.id }

func (t *Table) addLive(i int, by int64) {
	t.live[i].delta += by
	t.stirred |= 1 << i
}

func (t *Table) addDelta(s *rowset, by int64) {
	s.delta += by
	if !s.dirty {
		s.dirty = true
		t.dirty = append(t.dirty, s)
	}
}

// Mark is a place in the pending changes to undo to.
func (t *Table) Mark() int { return len(t.changes) }

// Since returns the pending changes from a mark on. They are valid until
// Settle or Undo.
func (t *Table) Since(mark int) []Change { return t.changes[mark:] }

// Undo takes back all pending changes from a mark on.
func (t *Table) Undo(mark int) {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	for i := len(t.changes) - 1; i >= mark; i-- {
		c := t.changes[i]
		t.changes[i] = Change{}
		for j, x := range r.indexes {
			if c.touched>>j&1 == 0 {
				continue
			}
			if !c.New.dead() {
				x.count(t, c.New, -1)
			}
			if c.Old != nil {
				x.count(t, c.Old, 1)
				x.lower(c.Old, c.row)
			}
		}
		if c.New.dead() {
			t.delta++
		} else if c.Old == nil {
			t.delta--
		}
		if c.Old != nil {
			// A reader may have come through an entry of c.New: the version that
			// comes back must be compared from now on.
			c.Old.bits.Or(movedBits(c.touched))
			r.rows.restore(c.row, c.Old)
			r.front = min(r.front, c.row)
		} else {
			r.keys.remove(t.sumOf(c.New), c.row)
			r.rows.free(c.row)
			dir = r.rows.dir.Load()
		}
		if !c.New.dead() {
			for j, x := range r.indexes {
				if c.touched>>j&1 != 0 {
					x.unlink(dir, c.New, c.row, place{})
				}
			}
		}
	}
	t.changes = t.changes[:mark]
}

// Stamp gives the pending changes [from, to) their sequence. Nothing is visible
// yet.
func (t *Table) Stamp(from, to int, seq uint64) {
	for i := from; i < to; i++ {
		t.changes[i].New.seq.Store(seq)
	}
}

// BeginPublish brings the counters to the state of the stamped changes. The
// caller publishes the sequence and then calls EndPublish, at once.
func (t *Table) BeginPublish() {
	t.epoch.Add(1)
	if t.delta != 0 {
		t.n.Add(t.delta)
		t.delta = 0
	}
	for i, s := range t.dirty {
		s.n.Add(s.delta)
		s.delta, s.dirty = 0, false
		t.dirty[i] = nil
	}
	t.dirty = t.dirty[:0]
	for m := t.stirred; m != 0; m &= m - 1 {
		c := &t.live[bits.TrailingZeros64(m)]
		if c.delta != 0 {
			c.n.Add(c.delta)
			c.delta = 0
		}
	}
	t.stirred = 0
}

// EndPublish ends what BeginPublish began; seq is the published sequence.
func (t *Table) EndPublish(seq uint64) {
	t.last.Store(seq)
	t.epoch.Add(1)
	t.root.Load().rows.settle(seq)
}

// Last is the sequence of the newest commit that touched the table.
func (t *Table) Last() uint64 { return t.last.Load() }

// Deleted reports whether the change removed the record.
func (c *Change) Deleted() bool { return c.New.dead() }

// Clear puts a tombstone, pending, on every record.
func (t *Table) Clear() {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	for i, c := range dir.chunks {
		for j := 0; c != nil && j < chunkRows; j++ {
			if v := c.cells[j].Load(); v != nil && !v.dead() {
				t.Delete(Ref{v, (dir.base+uint32(i))<<chunkBits + uint32(j)}, 0)
			}
		}
	}
}
