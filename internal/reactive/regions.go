package reactive

import (
	"hash/maphash"
	"strings"
	"unsafe"
)

// Regions is a set of watched regions, each with its watcher. The zero value is an empty set. It is not safe for
// concurrent use.
type Regions[W any] struct {
	points pointTable[W]
	n      int
}

// Place is one region of one watcher, for [Regions.Enter] and [Regions.Remove]. It is made to be a part of its watcher,
// so that who comes to one has come to the other. The zero value is of no region, and may be entered. A place that is
// entered must not be copied.
type Place[W any] struct {
	// Watcher is as given to Enter. It stays after Remove.
	Watcher W

	point      string
	in         *node[W]  // nil if the interval has no bounds
	prev, next *Place[W] // the ring of those with the same region; nil unless entered
	own        [16]byte  // a short point, so that to compare it is no other cache line
}

// Point is the point of the place's region.
func (p *Place[W]) Point() string { return strings.Clone(p.point) }

// Is reports whether the place's region has a point.
func (p *Place[W]) Is(point []byte) bool { return p.point == string(point) }

// Interval is the interval of the place's region, in one form for each set of values.
func (p *Place[W]) Interval() Interval {
	if p.in == nil {
		return everything
	}
	return p.in.interval()
}

// Add is Enter with a new place.
func (r *Regions[W]) Add(point string, iv Interval, w W) *Place[W] {
	p := new(Place[W])
	r.Enter(p, point, iv, w)
	return p
}

// Enter adds a region, whose place is then p: point is the encoded values of the fields fixed by equality, "" if there are
// none. Long strings are kept, not copied. A watcher may have several regions, equal ones too, and is then found once for each.
func (r *Regions[W]) Enter(p *Place[W], point string, iv Interval, w W) {
	p.Watcher, p.point = w, point
	if len(point) > 0 && len(point) <= len(p.own) {
		copy(p.own[:], point)
		p.point = unsafe.String(&p.own[0], len(point))
	}
	r.points.take(point).add(p, iv.canonical())
	r.n++
}

func (s *spot[W]) add(p *Place[W], iv Interval) {
	if iv == everything {
		s.everywhere = s.everywhere.with(p)
		return
	}
	n := s.root.find(iv)
	if n == nil {
		n = &node[W]{lo: iv.Lo, hi: iv.Hi, noHi: iv.NoHi}
		s.root = s.root.insert(n)
	}
	p.in = n
	n.places = n.places.with(p)
}

// Remove takes out a place that was entered in this set. A second call does nothing.
func (r *Regions[W]) Remove(p *Place[W]) {
	if p.next == nil {
		return
	}
	s := r.points.find(maphash.String(r.points.seed, p.point), p.point)
	hash := s.hash
	if s.remove(p); s.empty() {
		r.points.leave(hash)
	}
	r.n--
	*p = Place[W]{Watcher: p.Watcher}
}

func (s *spot[W]) remove(p *Place[W]) {
	n := p.in
	if n == nil {
		s.everywhere = s.everywhere.without(p)
		return
	}
	n.places = n.places.without(p)
	if n.places == nil {
		s.root = s.root.remove(n)
	}
}

// At calls found for each place whose region has this point and, on the other axis, this coordinate, in no particular
// order. found must not change the set. visited is the work done: look-ups of a point, nodes of the tree and places.
// Both slices are only read, and not kept.
func (r *Regions[W]) At(point, at []byte, found func(W)) (visited int) {
	if r.n == 0 {
		return 1
	}
	s := r.points.find(maphash.Bytes(r.points.seed, point), unsafe.String(unsafe.SliceData(point), len(point)))
	if s == nil {
		return 1
	}
	return 1 + s.everywhere.each(found) + s.root.stab(at, found)
}

// Near returns a place that At will probably call found for, or nil. It reads one cache line, of the table, and compares
// no point: who is to call At for several points calls this for all of them first, and then reads the watchers, so that
// the memory is fetched for all of them at the same time.
func (r *Regions[W]) Near(point []byte) *Place[W] {
	if r.n == 0 {
		return nil
	}
	return r.points.spots[maphash.Bytes(r.points.seed, point)>>r.points.shift].everywhere
}

// All calls found for each place, in no particular order. found must not change the set.
func (r *Regions[W]) All(found func(W)) {
	for i := range r.points.spots {
		s := &r.points.spots[i]
		s.everywhere.each(found)
		s.root.each(found)
	}
}

// Len is the number of places.
func (r *Regions[W]) Len() int { return r.n }

// with adds p at the end of the ring that starts at head, and returns the start. The start stays if there was one, so that
// a region that is watched already costs no write to the table. The ring shares one string of a long point.
func (head *Place[W]) with(p *Place[W]) *Place[W] {
	if head == nil {
		p.prev, p.next = p, p
		return p
	}
	if len(p.point) > len(p.own) {
		p.point = head.point
	}
	p.prev, p.next = head.prev, head
	p.prev.next, head.prev = p, p
	return head
}

// without takes p out of its ring, and returns the start of what is left, nil if nothing is.
func (head *Place[W]) without(p *Place[W]) *Place[W] {
	if p.next == p {
		return nil
	}
	p.prev.next, p.next.prev = p.next, p.prev
	if p == head {
		return p.next
	}
	return head
}

// each calls found for the ring that starts at head, and returns its length.
func (head *Place[W]) each(found func(W)) (n int) {
	if head == nil {
		return 0
	}
	for p := head; ; p = p.next {
		found(p.Watcher)
		n++
		if p.next == head {
			return n
		}
	}
}
