package feed

// ring holds the newest items, numbered without gaps, under the feed's lock:
//
//	next-first ≤ entries
//	weight ≤ limit, or next-first == 1
type ring[T any] struct {
	entries int
	limit   int
	slots   []slot[T] // entries of them, item seq at seq%entries; nil before allocate
	first   uint64    // the oldest item
	next    uint64    // the one that comes next
	weight  int       // of all items
}

// slot is one item. A free one is zero but for the capacity of audiences.
type slot[T any] struct {
	item      T
	weight    int
	audiences []*audience[T] // whom the item concerns, and who count it
}

// allocate makes the slots. Subscribe calls it and not push, for the producer's
// sake.
func (r *ring[T]) allocate() {
	if r.slots == nil {
		r.slots = make([]slot[T], r.entries)
	}
}

func (r *ring[T]) slot(seq uint64) *slot[T] {
	return &r.slots[seq%uint64(len(r.slots))]
}

// push makes room for an item and stores it; audiences is copied. They have
// counted the item already.
func (r *ring[T]) push(item T, weight int, audiences []*audience[T]) {
	for r.first < r.next && (r.next-r.first == uint64(r.entries) || r.weight > r.limit-weight) {
		r.drop()
	}
	s := r.slot(r.next)
	s.item, s.weight = item, weight
	s.audiences = append(s.audiences, audiences...)
	r.next++
	r.weight += weight
}

// drop takes the oldest item out and clears its slot, for the collector.
func (r *ring[T]) drop() {
	s := r.slot(r.first)
	for _, a := range s.audiences {
		a.drop()
	}
	r.first++
	r.weight -= s.weight
	*s = slot[T]{audiences: recycle(s.audiences)}
}

func (r *ring[T]) empty() {
	for r.first < r.next {
		r.drop()
	}
}

// keep is the largest capacity that an empty slice holds on to: enough for
// what comes all the time, too little to matter where there are thousands.
const keep = 32

// recycle returns the slice cleared and empty, without its memory if it is large.
func recycle[E any](s []E) []E {
	if cap(s) > keep {
		return nil
	}
	clear(s)
	return s[:0]
}
