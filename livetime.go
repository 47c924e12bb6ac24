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

func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].duePlace, h[j].duePlace = i+1, j+1
}

func (h *dueHeap) Push(x any) {
	*h = append(*h, x.(*node))
	x.(*node).duePlace = len(*h)
}

func (h *dueHeap) Pop() any {
	n := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	n.duePlace = 0
	return n
}

// setDueLocked enters when time makes a node dirty.
func (r *reactor) setDueLocked(n *node) {
	due := n.good.due
	if f := n.failed.due; due.IsZero() || !f.IsZero() && f.Before(due) {
		due = f
	}
	if due.Equal(n.due) && (n.duePlace > 0) != due.IsZero() {
		return
	}
	if n.duePlace > 0 {
		heap.Remove(&r.dues, n.duePlace-1)
	}
	if n.due = due; due.IsZero() {
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
		for now := *r.shown.Load(); len(r.dues) > 0 && !r.dues[0].due.After(now); {
			n := r.dues[0]
			heap.Pop(&r.dues)
			for _, reg := range [2]*registration{&n.good, &n.failed} {
				if !reg.due.After(now) {
					reg.due = time.Time{}
				}
			}
			r.dirtyLocked(n, 0)
		}
	}
	for now := time.Now(); len(r.lingering) > 0 && !r.lingering[0].lingers.After(now); {
		n := r.lingering[0]
		r.lingering[0] = nil
		r.lingering = r.lingering[1:]
		n.lingers = time.Time{}
		switch {
		case n.needed():
		case n.expires.After(now):
			r.lingerLocked(n)
		default:
			r.dropLocked(n)
		}
	}
	r.timed.Store(int64(len(r.dues)))
	if len(r.dues) > 0 {
		r.armLocked(r.realTime(r.dues[0].due))
	}
	if len(r.lingering) > 0 {
		r.armLocked(r.lingering[0].lingers)
	}
}

// lingerLocked has a node looked at when it expires.
func (r *reactor) lingerLocked(n *node) {
	n.lingers = n.expires
	r.lingering = append(r.lingering, n)
	r.armLocked(r.lingering[0].lingers)
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
