package bridge

import "github.com/noex-go/store"

// queue is a ring of events. It grows by doubling up to most, so that a large bound
// costs nothing until it is used, and is let go when it has grown and is empty
// again.
type queue struct {
	most  int
	ring  []store.Event
	first int // of the oldest
	count int
}

// Rings of this many events, and smaller ones, are kept.
const keptRing = 256

func (q *queue) len() int { return q.count }

// push adds an event. It reports false if there are as many as may be.
func (q *queue) push(e store.Event) bool {
	if q.count == q.most {
		return false
	}
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.first+q.count)%len(q.ring)] = e
	q.count++
	return true
}

func (q *queue) grow() {
	size := max(2*len(q.ring), 16)
	if size > q.most || size < 0 {
		size = q.most
	}
	ring := make([]store.Event, size)
	n := copy(ring, q.ring[q.first:])
	copy(ring[n:], q.ring[:q.first])
	q.ring, q.first = ring, 0
}

// pop takes the oldest event, and leaves nothing of it behind.
func (q *queue) pop() (e store.Event, ok bool) {
	if q.count == 0 {
		return e, false
	}
	e, q.ring[q.first] = q.ring[q.first], store.Event{}
	q.count--
	if q.first++; q.first == len(q.ring) {
		q.first = 0
	}
	if q.count == 0 && len(q.ring) > keptRing {
		q.clear()
	}
	return e, true
}

func (q *queue) clear() { q.ring, q.first, q.count = nil, 0, 0 }
