package store

import (
	"container/heap"
	"time"
)

// linger is how long a node is kept that nobody needs any more, and lingerMost
// how many such nodes.
const (
	linger     = time.Second
	lingerMost = 4096
)

// dueHeap is the nodes that time makes dirty, the next one first.
type dueHeap []*node

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool { return h[i].rare.due.Before(h[j].rare.due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].rare.duePlace, h[j].rare.duePlace = i+1, j+1
}

func (h *dueHeap) Push(x any) {
	*h = append(*h, x.(*node))
	x.(*node).rare.duePlace = len(*h)
}

func (h *dueHeap) Pop() any {
	n := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	n.rare.duePlace = 0
	return n
}

// setDueLocked enters when time makes a node dirty.
func (r *reactor) setDueLocked(n *node) {
	if n.rare == nil && n.good.rest == nil {
		return
	}
	x, due := n.seldom(), n.good.due()
	if f := x.failed.due(); due.IsZero() || !f.IsZero() && f.Before(due) {
		due = f
	}
	if due.Equal(x.due) && (x.duePlace > 0) != due.IsZero() {
		return
	}
	if x.duePlace > 0 {
		heap.Remove(&r.dues, x.duePlace-1)
	}
	if x.due = due; due.IsZero() {
		return
	}
	heap.Push(&r.dues, n)
	r.timed.Store(int64(len(r.dues)))
	r.armLocked(r.realTime(due))
}

// look reads the store's clock, which may be the user's, for those who hold the
// lock later; unless time concerns nobody.
func (r *reactor) look() {
	if r.timed.Load() == 0 {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.st.report("clock", panicked(p))
		}
	}()
	r.saw(r.st.clock())
}

// saw notes what the clock has shown.
func (r *reactor) saw(now time.Time) { r.shown.Store(&now) }

// realTime is when, by the process's clock, the store's clock will show a time,
// as far as it was looked at.
func (r *reactor) realTime(due time.Time) time.Time {
	return time.Now().Add(max(due.Sub(*r.shown.Load()), time.Millisecond))
}

// expireLocked makes the nodes dirty whose time has come, and drops those that
// nobody has needed for a while.
func (r *reactor) expireLocked() {
	if !r.timerAt.IsZero() && !r.timerAt.After(time.Now()) {
		r.timerAt = time.Time{}
	}
	if len(r.dues) == 0 && len(r.lingering) == 0 {
		return
	}
	if len(r.dues) > 0 {
		for now := *r.shown.Load(); len(r.dues) > 0 && !r.dues[0].rare.due.After(now); {
			n := r.dues[0]
			heap.Pop(&r.dues)
			for reg := range n.registrations {
				if reg.rest != nil && !reg.rest.due.After(now) {
					reg.rest.due = time.Time{}
				}
			}
			r.dirtyLocked(n, 0)
		}
	}
	for now := time.Now(); len(r.lingering) > 0 && !r.lingering[0].rare.lingers.After(now); {
		n := r.lingering[0]
		r.lingering[0] = nil
		r.lingering = r.lingering[1:]
		n.rare.lingers = time.Time{}
		switch {
		case n.needed():
		case n.rare.expires.After(now):
			r.lingerLocked(n)
		default:
			r.dropLocked(n)
		}
	}
	r.timed.Store(int64(len(r.dues)))
	if len(r.dues) > 0 {
		r.armLocked(r.realTime(r.dues[0].rare.due))
	}
	if len(r.lingering) > 0 {
		r.armLocked(r.lingering[0].rare.lingers)
	}
}

// lingerLocked has a node looked at when it expires.
func (r *reactor) lingerLocked(n *node) {
	n.rare.lingers = n.rare.expires
	r.lingering = append(r.lingering, n)
	r.armLocked(r.lingering[0].rare.lingers)
}

// armLocked has a worker look around at a time.
func (r *reactor) armLocked(at time.Time) {
	if r.closed || !r.timerAt.IsZero() && !at.Before(r.timerAt) {
		return
	}
	r.timerAt = at
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(at), r.signal)
	} else {
		r.timer.Reset(time.Until(at))
	}
}
