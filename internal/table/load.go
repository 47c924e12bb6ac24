package table

// Next is the place that the next record gets in the order of insertion.
func (t *Table) Next() uint64 {
	r := t.root.Load()
	return r.ordinal(r.rows.next)
}

// SkipTo leaves places free, so that the next record gets the given one, or a
// later one if that is taken.
func (t *Table) SkipTo(place uint64) {
	r := t.root.Load()
	for r.ordinal(r.rows.next) < place && !r.rows.full() {
		r.rows.free(r.rows.add(&Version{}))
	}
}

// Load fills an empty table that nobody reads yet with records as they were at a
// sequence: their versions, and their places in the order of insertion, which
// rise; next is the place of the record that comes after them. It checks nothing
// that Insert does; KeyConflict is two records with one key, Full too many. About
// 150 ns a record and index.
func (t *Table) Load(versions []*Version, places []uint64, next, seq uint64) Conflict {
	if uint64(len(versions)) > maxRow {
		return Full
	}
	r := newRoot(&t.cfg, len(versions))
	dense := true
	for i, v := range versions {
		v.seq.Store(seq)
		v.bits.Store(0)
		sum := t.sumOf(v)
		if _, head := t.headOf(r, sum, v); head != nil {
			return KeyConflict
		}
		r.keys.add(sum, r.rows.add(v))
		dense = dense && places[i] == places[0]+uint64(i)
	}
	for _, x := range r.indexes {
		for row, v := range versions {
			x.load(v, uint32(row))
		}
	}
	switch {
	case len(versions) == 0:
		r.shift = next
	case dense && places[0]+uint64(len(places)) == next:
		r.shift = places[0]
	default:
		r.ords = places
		r.shift = next - uint64(len(places))
	}
	for _, x := range r.indexes {
		x.recount(t, r.rows.dir.Load())
	}
	r.rows.settle(seq)
	t.n.Store(int64(len(versions)))
	t.epoch.Add(1)
	t.root.Store(r)
	t.last.Store(seq)
	t.epoch.Add(1)
	return NoConflict
}

// Release lets go of the records of a table that nobody reads or writes any more.
// A reader that is late finds nothing.
func (t *Table) Release() {
	t.root.Store(newRoot(&t.cfg, 0))
	t.n.Store(0)
	t.Retire()
}

// Retire says that the table's bucket is gone, and its writer with it: versions that
// wait for a pin stay as long as the table does, and nobody need look for them.
func (t *Table) Retire() {
	if t.held.Swap(0) > 0 {
		t.cfg.Pins.waiting.Add(-1)
	}
}
