package reactive

// Regions is a set of watched regions, each with its watcher. The zero value is an empty set. It is not safe for
// concurrent use.
type Regions[W any] struct {
	// points has no empty spot. Like every map it keeps its room when points leave.
	points map[string]spot[W]
	n      int
}

// spot is what is watched at one point. A map value rather than an allocation of its own: most points have one watcher.
type spot[W any] struct {
	everywhere *Place[W] // those whose interval has no bounds
	root       *node[W]  // all others
}

// Place is one region of one watcher: what [Regions.Add] returns and [Regions.Remove] takes.
type Place[W any] struct {
	// Watcher is as given to Add. It stays after Remove.
	Watcher W

	point      string
	in         *node[W]  // nil if the interval has no bounds
	prev, next *Place[W] // the ring of those with the same region; nil once removed
}

// Add adds a region: point is the encoded values of the fields fixed by equality, "" if there are none. The strings are
// kept, not copied. A watcher may have several regions, equal ones too, and is then found once for each.
func (r *Regions[W]) Add(point string, iv Interval, w W) *Place[W] {
	if r.points == nil {
		r.points = make(map[string]spot[W])
	}
	p := &Place[W]{Watcher: w, point: point}
	was := r.points[point]
	s := was
	s.add(p, iv.canonical())
	if s != was {
		r.points[p.point] = s
	}
	r.n++
	return p
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

// Remove takes out what Add of this set returned. A second call does nothing.
func (r *Regions[W]) Remove(p *Place[W]) {
	if p.next == nil {
		return
	}
	was := r.points[p.point]
	s := was
	s.remove(p)
	switch {
	case s == spot[W]{}:
		delete(r.points, p.point)
	case s != was:
		r.points[p.point] = s
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
// order. found must not change the set. visited is the work done: look-ups in the map, nodes of the tree and places.
// Both slices are only read, and not kept.
func (r *Regions[W]) At(point, at []byte, found func(W)) (visited int) {
	s := r.points[string(point)]
	return 1 + s.everywhere.each(found) + s.root.stab(at, found)
}

// All calls found for each place, in no particular order. found must not change the set.
func (r *Regions[W]) All(found func(W)) {
	for _, s := range r.points {
		s.everywhere.each(found)
		s.root.each(found)
	}
}

// Len is the number of places.
func (r *Regions[W]) Len() int { return r.n }

// with adds p at the end of the ring that starts at head, and returns the start. The start stays if there was one, so that
// a region that is watched already costs no write to the map. The ring shares one point string.
func (head *Place[W]) with(p *Place[W]) *Place[W] {
	if head == nil {
		p.prev, p.next = p, p
		return p
	}
	p.point = head.point
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
