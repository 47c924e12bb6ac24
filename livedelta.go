package store

import (
	"fmt"
	"slices"
)

// Delta is what has become of a list, from the delta before up to a commit. It is
// replayed in this order, which is what Apply does:
//
//	Reset    the list was anything; it is empty now, and Added has all of it
//	Removed  and the From of Moved: taken out of the old list; positions are the old list's
//	Added    and the To of Moved: put in, so that they are there in the new list
//	Updated  replaced in the new list; these have kept their places among the others
//
// Each is sorted by position (Moved by From). A record, by its key, is in one of
// them at most. A record whose values in the query's order have changed is Moved only
// if it has passed others that stay; else it is Updated.
//
// A record that leaves the list since a limit, or an offset, cuts it off is in Removed
// like one that was deleted.
type Delta[R any] struct {
	Seq     Seq  // the list is that of the query at this commit
	Reset   bool // Added is the whole list
	Added   []Placed[R]
	Updated []Placed[R]
	Removed []Placed[R] // with the records as they were
	Moved   []Move[R]
}

// Placed is a record and its position in a list: of Removed in the old one, else in
// the new one.
type Placed[R any] struct {
	Index  int
	Record R
}

// Move is a record that has passed others: From is its position in the old list, To
// in the new one. Record is as it is now.
type Move[R any] struct {
	From, To int
	Record   R
}

// Apply returns the list after the delta; list is that before it, whose memory may
// be used for the result. It costs what the delta has, and moving what is behind the first
// position where something comes or goes. It panics if the delta is none of this list: a
// position is not in it.
func (d *Delta[R]) Apply(list []R) []R {
	if d.Reset {
		clear(list)
		list = list[:0]
	}
	if gone := d.gone(); len(gone) > 0 {
		list = closeGaps(list, gone)
	}
	list = d.fill(list)
	for _, u := range d.Updated {
		if u.Index < 0 || u.Index >= len(list) {
			misfit(u.Index, len(list))
		}
		list[u.Index] = u.Record
	}
	return list
}

// gone returns the positions that are left, sorted.
func (d *Delta[R]) gone() []int {
	gone := make([]int, 0, len(d.Removed)+len(d.Moved))
	for _, p := range d.Removed {
		gone = append(gone, p.Index)
	}
	for _, m := range d.Moved {
		gone = append(gone, m.From)
	}
	slices.Sort(gone)
	return gone
}

// closeGaps closes the gaps that some positions leave.
func closeGaps[R any](list []R, gone []int) []R {
	if gone[0] < 0 || gone[len(gone)-1] >= len(list) {
		misfit(gone[len(gone)-1], len(list))
	}
	n := gone[0]
	for i, at := range gone {
		end := len(list)
		if i+1 < len(gone) {
			end = gone[i+1]
		}
		n += copy(list[n:], list[at+1:end])
	}
	clear(list[n:])
	return list[:n]
}

// fill puts in what was added, and what has moved, from the end on: each record
// behind is moved once.
func (d *Delta[R]) fill(list []R) []R {
	moved := slices.Clone(d.Moved)
	slices.SortFunc(moved, func(a, b Move[R]) int { return a.To - b.To })
	added, old := d.Added, len(list)
	n := old + len(added) + len(moved)
	list = slices.Grow(list, n-old)[:n]
	for left := n; len(added)+len(moved) > 0; {
		var next Placed[R]
		if k := len(moved) - 1; k >= 0 && (len(added) == 0 || moved[k].To > added[len(added)-1].Index) {
			next, moved = Placed[R]{moved[k].To, moved[k].Record}, moved[:k]
		} else {
			next, added = added[len(added)-1], added[:len(added)-1]
		}
		behind := left - next.Index - 1 // old records that end up behind it
		if next.Index < 0 || behind < 0 || behind > old {
			misfit(next.Index, n)
		}
		copy(list[next.Index+1:left], list[old-behind:old])
		list[next.Index] = next.Record
		old, left = old-behind, next.Index
	}
	return list
}

func misfit(at, n int) {
	panic(fmt.Sprintf("store: a Delta that does not belong to the list: position %d of %d", at, n))
}

// resetOf is the delta that has all of a list.
func resetOf[R any](all []R, s *listState) Delta[R] {
	d := Delta[R]{Seq: Seq(s.seq), Reset: true, Added: make([]Placed[R], len(all))}
	for i := range all {
		d.Added[i] = Placed[R]{i, all[i]}
	}
	return d
}

// deltaOf makes a delta of what differs.
func deltaOf[R any](diff *listDiff, s *listState, dec *decoder[R]) Delta[R] {
	d := Delta[R]{
		Seq: Seq(s.seq), Added: placed(diff.added, dec), Updated: placed(diff.updated, dec), Removed: placed(diff.removed, dec),
	}
	if len(diff.moved) > 0 {
		d.Moved = make([]Move[R], 0, len(diff.moved))
		for i, p := range placed(diff.moved, dec) {
			d.Moved = append(d.Moved, Move[R]{diff.from[i], p.Index, p.Record})
		}
	}
	return d
}

func placed[R any](spots []listSpot, dec *decoder[R]) []Placed[R] {
	if len(spots) == 0 {
		return nil
	}
	versions := versionsOf(spots)
	out := make([]Placed[R], len(spots))
	for i, r := range dec.add(nil, versions) {
		out[i] = Placed[R]{spots[i].at, r}
	}
	return out
}
