package store

import (
	"slices"

	"github.com/noex-go/store/internal/ranked"
	"github.com/noex-go/store/internal/table"
)

// listDiff is what differs between two states of a list, in the terms of a [Delta]:
// each sorted by position, moved as from is.
type listDiff struct {
	removed, added, updated, moved []listSpot
	from                           []int // of moved, in the old list
}

// listSpot is an entry and its position in a window.
type listSpot struct {
	at int
	e  *listEntry
}

func (d *listDiff) empty() bool { return d.size() == 0 }

func (d *listDiff) size() int {
	return len(d.removed) + len(d.added) + len(d.updated) + len(d.moved)
}

func versionsOf(spots []listSpot) []*table.Version {
	vs := make([]*table.Version, len(spots))
	for i, p := range spots {
		vs[i] = p.e.v
	}
	return vs
}

// all returns the results of what a state shows.
func (s *listState) all(win ranked.Window[listEntry]) []*table.Version {
	vs := make([]*table.Version, 0, win.Len())
	win.Runs(func(run []listEntry) {
		for i := range run {
			vs = append(vs, run[i].v)
		}
	})
	return vs
}

// diff compares what this state shows with what another one did; false if there are
// more changes than a delta may have. How many there are is known at the end only: where
// the values of the order have changed, a record is found twice, and may be none.
func (s *listState) diff(was, is ranked.Window[listEntry]) (*listDiff, bool) {
	d := new(listDiff)
	if s.dep == nil {
		return d, true
	}
	x := ranked.Differ[listEntry]{
		Cmp:     s.dep.compareEntries,
		Removed: func(at int, e *listEntry) { d.removed = append(d.removed, listSpot{at, e}) },
		Added:   func(at int, e *listEntry) { d.added = append(d.added, listSpot{at, e}) },
		Both: func(at int, a, b *listEntry) {
			if !s.sel.same(s.b, a.v, b.v) {
				d.updated = append(d.updated, listSpot{at, b})
			}
		},
	}
	x.Diff(was, is)
	d.pair(s)
	return d, d.size() <= max(is.Len(), listFew)
}

// pair finds the records that were taken out at one place and put in at another. One that
// is still between the same records that stay, and in the same order with others of
// its kind there, was updated in place.
func (d *listDiff) pair(s *listState) {
	if len(d.removed) == 0 || len(d.added) == 0 {
		return
	}
	fresh := make(map[Key]int, len(d.added))
	for j, p := range d.added {
		fresh[s.b.shape.keyOf(p.e.v)] = j
	}
	last, updated := -1, len(d.updated)
	removed, added := d.removed[:0:0], d.added
	for i, p := range d.removed {
		j, ok := fresh[s.b.shape.keyOf(p.e.v)]
		if !ok {
			removed = append(removed, p)
			continue
		}
		to := added[j]
		if p.at-i == to.at-j && j > last {
			if last = j; !s.sel.same(s.b, p.e.v, to.e.v) {
				d.updated = append(d.updated, to)
			}
		} else {
			d.moved, d.from = append(d.moved, to), append(d.from, p.at)
		}
		delete(fresh, s.b.shape.keyOf(p.e.v))
	}
	d.removed, d.added = removed, nil
	for j, p := range added {
		if at, ok := fresh[s.b.shape.keyOf(p.e.v)]; ok && at == j {
			d.added = append(d.added, p)
		}
	}
	if len(d.updated) > updated {
		slices.SortFunc(d.updated, func(a, b listSpot) int { return a.at - b.at })
	}
}
