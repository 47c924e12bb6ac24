package table

import "slices"

// waitList is what waits for one pinned sequence to go.
type waitList struct {
	seq   uint64
	items []waitItem
}

type waitItem struct {
	row uint32
	seq uint64 // of the version that waits to be cut
}

// settleBudget bounds the waiting versions that one commit looks at, beyond as
// many as it leaves itself.
const settleBudget = 64

// Sight is the pinned sequences as a commit sees them once it is published. It
// looks at most once, for all tables that are settled: who pins a sequence later
// pins that of the commit or a newer one, and sees nothing of what it superseded.
type Sight struct {
	pinned []uint64
	looked bool
}

// Begin says that a commit was published.
func (s *Sight) Begin() { s.looked = false }

func (s *Sight) of(p *Pins) []uint64 {
	if !s.looked {
		s.pinned, s.looked = p.Pinned(s.pinned), true
	}
	return s.pinned
}

// Settle forgets the published changes: it cuts each version that they
// superseded unless a pinned sequence sees it.
func (t *Table) Settle() {
	t.sight.Begin()
	t.SettleBy(&t.sight)
}

// SettleBy is Settle with a sight that began when the changes were published.
func (t *Table) SettleBy(s *Sight) {
	if len(t.changes) == 0 {
		return
	}
	budget := settleBudget
	if superseded := t.cutChanges(s); superseded || len(t.waits) > 0 {
		budget += len(t.changes)
		t.sweep(budget, s)
	}
	clear(t.changes)
	clear(t.places)
	t.places = t.places[:0]
	if cap(t.changes) > 1<<16 {
		t.changes, t.places = nil, nil
	}
	t.changes = t.changes[:0]
	r := t.root.Load()
	if r.rows.alloc > 4*chunkRows && r.rows.used < r.rows.alloc/4 {
		t.rebuild()
	}
}

func (t *Table) cutChanges(s *Sight) (superseded bool) {
	r := t.root.Load()
	for i := range t.changes {
		c := &t.changes[i]
		if c.Old == nil {
			continue
		}
		superseded = true
		if pinned := s.of(t.cfg.Pins); len(pinned) > 0 {
			if pin, yes := needs(pinned, c.Old.Seq(), c.New.Seq()); yes {
				t.wait(pin, waitItem{c.row, c.Old.Seq()})
				continue
			}
		}
		t.cut(r, c.row, c.New, c.Old, c.touched, t.places[c.places:])
	}
	return superseded
}

// cut takes v out of its row's chain; newer is the version in front of it, and
// touched has the indexes in which the two may differ: in the others newer
// carries the same value, so that the entry stays.
//
// places, if given, has for each of them where v's key was.
func (t *Table) cut(r *root, row uint32, newer, v *Version, touched uint64, places []place) {
	newer.prev.Store(v.prev.Load())
	dir := r.rows.dir.Load()
	if touched != 0 {
		k := 0
		for i, x := range r.indexes {
			if touched>>i&1 == 0 {
				continue
			}
			// With nothing behind newer, and newer in front, no other version of
			// the chain can carry v's key.
			var at place
			if k < len(places) {
				at = places[k]
			}
			if at.set != nil && at.set.size > 2 && newer.prev.Load() == nil && dir.head(row) == newer {
				at.set.remove(row)
			} else {
				x.unlink(dir, v, row, at)
			}
			k++
		}
	}
	if newer.dead() && newer.prev.Load() == nil && dir.head(row) == newer {
		r.keys.remove(t.sumOf(newer), row)
		r.rows.bury(row, t.cfg.Pins.Published())
	}
}

func (t *Table) wait(pin uint64, item waitItem) {
	if t.held.Add(1) == 1 {
		t.cfg.Pins.waiting.Add(1)
	}
	for i := range t.waits {
		if t.waits[i].seq == pin {
			t.waits[i].items = append(t.waits[i].items, item)
			return
		}
	}
	var items []waitItem
	if n := len(t.rooms); n > 0 {
		items, t.rooms = t.rooms[n-1], t.rooms[:n-1]
	}
	t.waits = append(t.waits, waitList{pin, append(items, item)})
}

// Of the lists of what waits for a pin that is gone so many are kept, of those that
// are short, for others to come.
const (
	waitRooms = 32
	waitRoom  = 64
)

// Sweep looks at up to budget versions whose pin is gone and cuts those that no
// other pin sees. It reports whether there is more to do. The writer calls it,
// between commits.
func (t *Table) Sweep(budget int) (more bool) {
	t.sight.Begin()
	return t.sweep(budget, &t.sight)
}

func (t *Table) sweep(budget int, s *Sight) (more bool) {
	if len(t.waits) == 0 {
		return false
	}
	pinned := s.of(t.cfg.Pins)
	r := t.root.Load()
	for i := 0; i < len(t.waits); i++ {
		seq := t.waits[i].seq
		if _, still := needs(pinned, seq, seq+1); still {
			continue
		}
		for budget > 0 && len(t.waits[i].items) > 0 {
			items := t.waits[i].items
			item := items[len(items)-1]
			t.waits[i].items = items[:len(items)-1]
			if t.held.Add(-1) == 0 {
				t.cfg.Pins.waiting.Add(-1)
			}
			budget--
			t.revisit(r, item, pinned)
		}
		if len(t.waits[i].items) > 0 {
			return true
		}
		if items := t.waits[i].items; cap(items) <= waitRoom && len(t.rooms) < waitRooms {
			t.rooms = append(t.rooms, items)
		}
		t.waits = slices.Delete(t.waits, i, i+1)
		i--
	}
	return false
}

// revisit cuts a version whose pin is gone, or lets it wait for another.
func (t *Table) revisit(r *root, item waitItem, pinned []uint64) {
	newer := r.rows.dir.Load().head(item.row)
	for newer != nil {
		v := newer.prev.Load()
		if v == nil {
			return
		}
		if v.Seq() == item.seq {
			to := newer.Seq()
			if to == 0 { // pending: every later sequence may still see v
				to = 1<<64 - 1
			}
			if pin, yes := needs(pinned, item.seq, to); yes {
				t.wait(pin, item)
				return
			}
			if newer.Seq() != 0 {
				t.cut(r, item.row, newer, v, 1<<len(r.indexes)-1, nil)
			}
			return
		}
		newer = v
	}
}

// Held is the number of superseded versions that wait for a pin to go.
func (t *Table) Held() int { return int(t.held.Load()) }

// Pending reports whether there are changes that are not settled.
func (t *Table) Pending() bool { return len(t.changes) > 0 }
