package table

import (
	"fmt"
	"unsafe"
)

// Check compares everything that the table keeps twice: keys with rows, indexes
// with version chains, counters with records. It is for tests and diagnosis,
// writer only, O(records × indexes), with no change pending.
func (t *Table) Check() error {
	r := t.root.Load()
	dir := r.rows.dir.Load()
	used, live := 0, 0
	pinned := t.cfg.Pins.Pinned(nil)
	for i, c := range dir.chunks {
		inChunk, dead := 0, 0
		for j := 0; c != nil && c.settled.Load() != unsettled && j < int(c.solid.Load()); j++ {
			if c.cells[j].Load() == nil {
				return fmt.Errorf("row %d: empty in a chunk that is solid up to %d", row(dir, i, j), c.solid.Load())
			}
		}
		for j := 0; c != nil && j < chunkRows; j++ {
			head := c.cells[j].Load()
			if head == nil {
				continue
			}
			if s := c.settled.Load(); s != unsettled && (head.dead() || head.Seq()-1 >= s) {
				return fmt.Errorf("row %d: sequence %d, dead %v, in a chunk settled at %d", row(dir, i, j), head.Seq(), head.dead(), s)
			}
			if head.dead() {
				dead++
			} else if m := head.bits.Load() & movedAll; m&^c.moved.Load() != 0 {
				return fmt.Errorf("row %d: moved bits %b, its chunk has %b", row(dir, i, j), m, c.moved.Load())
			}
			row := row(dir, i, j)
			if j >= int(c.used.Load()) {
				return fmt.Errorf("row %d: in a chunk that is used up to %d", row, c.used.Load())
			}
			inChunk++
			if !head.dead() {
				live++
			}
			if at, v := t.headOf(r, t.sumOf(head), head); !head.dead() && (v != head || at != row) {
				return fmt.Errorf("row %d: its key leads to row %d", row, at)
			}
			n, last := 0, uint64(1<<64-1)
			for v := head; v != nil; v = v.prev.Load() {
				if v.Seq() == 0 || v.Seq() > last {
					return fmt.Errorf("row %d: sequence %d behind %d", row, v.Seq(), last)
				}
				last = v.Seq()
				n++
			}
			if n > 1 && t.held.Load() == 0 {
				return fmt.Errorf("row %d: a chain of %d, and nothing waits", row, n)
			}
			if t.held.Load() == 0 && len(pinned) == 0 && head.dead() {
				return fmt.Errorf("row %d: a tombstone that nobody needs", row)
			}
		}
		if c != nil && dead != c.dead {
			return fmt.Errorf("chunk %d: %d tombstones, counted %d", i, dead, c.dead)
		}
		if inChunk != int(r.rows.counts[i]) {
			return fmt.Errorf("chunk %d: %d cells in use, counted %d", i, inChunk, r.rows.counts[i])
		}
		used += inChunk
	}
	if used != r.rows.used || used != r.keys.live {
		return fmt.Errorf("%d cells in use, counted %d, %d keys", used, r.rows.used, r.keys.live)
	}
	if live != int(t.n.Load()) {
		return fmt.Errorf("%d live records, counted %d", live, t.n.Load())
	}
	for i, x := range r.indexes {
		if err := x.check(t, dir); err != nil {
			return fmt.Errorf("index %d: %w", i, err)
		}
	}
	return nil
}

// row is the number of a cell.
func row(d *rowDir, chunk, cell int) uint32 {
	return (d.base+uint32(chunk))<<chunkBits + uint32(cell)
}

func (x *keyIndex[K, S]) check(t *Table, d *rowDir) error {
	type entry struct {
		k   K
		row uint32
	}
	want := map[entry]bool{}
	counts := map[K]int64{}
	for i, c := range d.chunks {
		for j := 0; c != nil && j < chunkRows; j++ {
			head := c.cells[j].Load()
			for v := head; v != nil; v = v.prev.Load() {
				if v.dead() {
					continue
				}
				if k, ok := x.key(v, nil); ok {
					want[entry{x.keep(k), (d.base+uint32(i))<<chunkBits + uint32(j)}] = true
					if v == head {
						counts[x.keep(k)]++
					}
				}
			}
		}
	}
	all := int64(0)
	for _, n := range counts {
		all += n
	}
	if live := &t.live[x.pos]; live.n.Load() != all || live.delta != 0 {
		return fmt.Errorf("%d live records, counted %d, delta %d", all, live.n.Load(), live.delta)
	}
	if err := x.tree.check(); err != nil {
		return err
	}
	first := true
	var before K
	var back []K
	for c := x.tree.first(); c.ok(); c.next() {
		k := c.key()
		if !first && k <= before {
			return fmt.Errorf("keys out of order")
		}
		first, before = false, k
		back = append(back, k)
		take := func(row uint32) bool {
			ok := want[entry{k, row}]
			delete(want, entry{k, row})
			return ok
		}
		if w := c.l.val(c.slot()); w != manyRows {
			if !take(uint32(w)) {
				return fmt.Errorf("an entry for row %d that no version has", w)
			}
			continue
		}
		s := c.l.set(c.slot())
		ok := s.each(take)
		if !ok {
			return fmt.Errorf("a row in a set that no version has")
		}
		if s.n.Load() != counts[k] || s.delta != 0 {
			return fmt.Errorf("a set counts %d live rows of %d, delta %d", s.n.Load(), counts[k], s.delta)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("%d entries are missing", len(want))
	}
	for c := x.tree.last(); c.ok(); c.back() {
		if k := c.key(); len(back) == 0 || k != back[len(back)-1] {
			return fmt.Errorf("backward order differs")
		}
		back = back[:len(back)-1]
	}
	if len(back) > 0 {
		return fmt.Errorf("%d keys are not reached backward", len(back))
	}
	return nil
}

// check looks at what nodes keep of their keys beside them, and at the bounds
// between them.
func (t *tree[K, S, V]) check() error {
	var lo, hi *K
	return t.checkNode(t.root, lo, hi)
}

// checkNode checks the node at p, whose keys lie from lo on, up to but without hi,
// and those under it.
func (t *tree[K, S, V]) checkNode(p unsafe.Pointer, lo, hi *K) error {
	within := func(k *K) bool { return (lo == nil || *k >= *lo) && (hi == nil || *k < *hi) }
	if p == nil {
		return nil
	}
	if (*nodeHead)(p).height == 0 {
		l := (*leaf[K, S, V])(p)
		if l.n < 1 || l.n > leafSlots {
			return fmt.Errorf("a leaf in the tree with %d slots written", l.n)
		}
		for slot := range l.n {
			k := l.keys[slot]
			if !within(&k) || !l.fits(k) || l.short[slot] != abbreviated[K, S](&k, int(l.skip)) {
				return fmt.Errorf("a key in the wrong leaf, or its abbreviation is wrong")
			}
		}
		return nil
	}
	in := (*inner[K, S, V])(p)
	for i := range int(in.n) {
		from, to := lo, hi
		if i > 0 {
			if from = &in.keys[i-1]; !within(from) || !in.fits(*from) || in.short[i-1] != abbreviated[K, S](from, int(in.skip)) {
				return fmt.Errorf("a separator in the wrong node, or its abbreviation is wrong")
			}
		}
		if i < int(in.n)-1 {
			to = &in.keys[i]
		}
		if (*nodeHead)(in.kids[i]).height != in.height-1 {
			return fmt.Errorf("a node of height %d under one of %d", (*nodeHead)(in.kids[i]).height, in.height)
		}
		if err := t.checkNode(in.kids[i], from, to); err != nil {
			return err
		}
	}
	return nil
}
