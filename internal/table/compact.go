package table

// rebuild numbers the rows anew, in their order, and builds a new root from
// them beside the old one, which readers that hold it go on using: what they
// can see in it does not change any more. It is how a table that lost most of
// its records gives their memory back, how row numbers start again before they
// overflow, and how indexes come back after a panic in the writer. O(records),
// writer only, about 150 ns a record and index.
func (t *Table) rebuild() *root {
	old := t.root.Load()
	dir := old.rows.dir.Load()
	r := newRoot(&t.cfg, old.rows.used)
	r.ords = make([]uint64, 0, old.rows.used)
	place := make(map[uint32]uint32)
	pending := make(map[uint32][]int)
	for i := range t.changes {
		pending[t.changes[i].row] = append(pending[t.changes[i].row], i)
	}
	waiting := make(map[uint32]bool)
	for _, w := range t.waits {
		for _, item := range w.items {
			waiting[item.row] = true
		}
	}
	for i, c := range dir.chunks {
		if c == nil {
			continue
		}
		for j := range c.cells {
			v := c.cells[j].Load()
			if v == nil {
				continue
			}
			was := (dir.base+uint32(i))<<chunkBits + uint32(j)
			row := r.rows.add(v)
			r.rows.adopt(row, v)
			r.ords = append(r.ords, old.ordinal(was))
			r.keys.add(t.sumOf(v), row)
			for _, x := range r.indexes {
				x.load(v, row)
			}
			if waiting[was] {
				place[was] = row
			}
			for _, k := range pending[was] {
				t.changes[k].row = row
			}
		}
	}
	for _, w := range t.waits {
		for k := range w.items {
			w.items[k].row = place[w.items[k].row]
		}
	}
	clear(t.places) // of the indexes before
	for _, s := range t.dirty {
		s.delta, s.dirty = 0, false
	}
	t.dirty = t.dirty[:0]
	r.shift = old.ordinal(old.rows.next) - uint64(len(r.ords))
	for i := range t.live {
		t.live[i].delta = 0
	}
	for _, x := range r.indexes {
		x.recount(t, r.rows.dir.Load())
	}
	if len(t.changes) == 0 {
		r.rows.settle(t.cfg.Pins.Published())
	}
	t.epoch.Add(1)
	t.root.Store(r)
	t.epoch.Add(1)
	return r
}

// Recover drops every pending change and rebuilds the indexes from the rows: the
// table is what the last published sequence made it. The writer calls it after
// a panic in the midst of a write, when nothing that is pending can be trusted.
func (t *Table) Recover() {
	r := t.root.Load()
	n := int64(0)
	dir := r.rows.dir.Load()
	for i, c := range dir.chunks {
		if c == nil {
			continue
		}
		for j := range c.cells {
			v := c.cells[j].Load()
			head := v
			for v != nil && (v.Seq() == 0 || v.Seq() > t.cfg.Pins.Published()) {
				v = v.prev.Load()
			}
			if v != head {
				if v != nil {
					v.bits.Or(movedAll)
					c.cells[j].Store(v)
				} else {
					r.rows.free((dir.base+uint32(i))<<chunkBits + uint32(j))
				}
			}
			if v != nil && !v.dead() {
				n++
			}
		}
	}
	clear(t.changes)
	clear(t.places)
	t.changes, t.places = t.changes[:0], t.places[:0]
	t.delta = 0
	t.epoch.Add(1)
	t.n.Store(n)
	t.epoch.Add(1)
	t.rebuild()
}
