package feed

// Sub is one subscriber. Next belongs to one goroutine, Close to any.
type Sub[T any] struct {
	feed     *Feed[T]
	audience *audience[T]
	wake     chan struct{} // capacity one: a token that is there wakes as well as a new one

	// Under feed.mu. Items are counted as in the audience:
	//	done ≤ taken ≤ audience.added; all three equal while asleep
	taken  uint64 // handed out, or reported as missed
	done   uint64 // taken, and asked for the next since
	asleep bool   // in audience.asleep instead of feed.awake
	closed bool   // in neither
	last   bool   // takes nothing beyond until
	until  uint64
	at     int    // index there
	waits  []wait // rising until; only while awake
}

// Next blocks for the next item that concerns the subscriber. Asking for it
// says that the one before is finished.
//
// When items were overwritten before the subscriber came to them, one call
// returns their exact number as missed and the zero item; the call after goes
// on at the oldest item still there. The loss has a call to itself because it
// must be told at once, and there may be no item left to tell it with: those
// that overwrote the lost ones may all concern others.
//
// ok is false when the subscriber is closed, or all has been read and the feed is
// closed or the subscriber to end there; from then on always.
func (s *Sub[T]) Next() (item T, missed int, ok bool) {
	f, a := s.feed, s.audience
	f.mu.Lock()
	defer f.mu.Unlock()
	s.finishLocked()
	for {
		added, dropped := a.added, a.dropped
		if s.last {
			added, dropped = s.until, min(dropped, s.until)
		}
		switch {
		case s.closed:
			return item, 0, false
		case s.taken < dropped:
			missed = int(dropped - s.taken)
			s.taken = dropped
			return item, missed, true
		case s.taken < added:
			item = f.ring.slot(a.seq(s.taken)).item
			s.taken++
			return item, 0, true
		case f.closed || s.last:
			f.leaveLocked(s)
			return item, 0, false
		}
		if !s.asleep {
			f.sleepLocked(s)
		}
		f.mu.Unlock()
		<-s.wake
		f.mu.Lock()
	}
}

// Close ends the subscription: Next returns ok=false at once, even where it
// blocks now. From any goroutine, also while an item is handled; idempotent. It
// does not wait for the handling to end.
func (s *Sub[T]) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.leaveLocked(s)
}

// End lets Next bring what was appended before the call, and then end. From any
// goroutine; idempotent. It waits for nothing.
func (s *Sub[T]) End() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.last || s.closed {
		return
	}
	s.last, s.until = true, s.audience.added
	s.signal()
}

// finishLocked notes that all that was taken is finished.
func (s *Sub[T]) finishLocked() {
	s.done = s.taken
	n := 0
	for n < len(s.waits) && s.waits[n].until <= s.done {
		s.waits[n].waiter.settle()
		n++
	}
	if n == len(s.waits) {
		s.waits = nil
		return
	}
	s.waits = s.waits[n:]
}

// signal leaves a token for Next, which re-checks everything when it finds one.
// The state that it is about was changed before, under the same lock.
func (s *Sub[T]) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// waiter is one call of Feed.Wait, under the feed's lock.
type waiter struct {
	pending int // subscribers that have not finished, plus one while they are counted
	done    chan struct{}
}

// wait is a waiter's entry with one subscriber.
type wait struct {
	waiter *waiter
	until  uint64 // settled when Sub.done is there
}

func (w *waiter) settle() {
	w.pending--
	if w.pending == 0 {
		close(w.done)
	}
}

// roster is a set of subscribers; each is in one at a time and knows its index.
type roster[T any] []*Sub[T]

func (r *roster[T]) add(s *Sub[T]) {
	s.at = len(*r)
	*r = append(*r, s)
}

func (r *roster[T]) remove(s *Sub[T]) {
	last := len(*r) - 1
	moved := (*r)[last]
	(*r)[s.at], moved.at = moved, s.at
	(*r)[last] = nil
	*r = (*r)[:last]
}
