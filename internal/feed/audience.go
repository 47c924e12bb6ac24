package feed

// audience is all subscribers of one interest, under the feed's lock. It counts
// the items that concern them from its own beginning:
//
//	0 ........ dropped ........ added
//	overwritten   in the ring
//
// so that a subscriber needs no more than the number of items that it has taken
// to know what it lost (dropped - taken) and where it goes on (seq(taken)),
// without a look at the items in between that concern others.
//
// Rejected: a position in the ring per subscriber and a filter in Next. A slow
// subscriber of a quiet bucket then walks over everything that a busy one left,
// under the lock that Append needs, and can state its losses only as "at most".
type audience[T any] struct {
	interest Interest
	members  int
	asleep   roster[T] // of its members, those that wait for the next item
	added    uint64
	dropped  uint64
	seqs     []uint64 // seqs[front:] are the ring's numbers of items dropped to added-1
	front    int
}

// add notes a new item and reports whether that was news.
func (a *audience[T]) add(seq uint64) bool {
	if n := len(a.seqs); n > a.front && a.seqs[n-1] == seq {
		return false
	}
	if a.front > len(a.seqs)/2 { // at most as many moves as drops since the last time
		a.seqs = a.seqs[:copy(a.seqs, a.seqs[a.front:])]
		a.front = 0
	}
	a.seqs = append(a.seqs, seq)
	a.added++
	return true
}

// drop notes that the oldest item has left the ring.
func (a *audience[T]) drop() {
	a.dropped++
	a.front++
	if a.dropped == a.added {
		a.seqs, a.front = recycle(a.seqs), 0
	}
}

// seq returns the ring's number of item n, which is in the ring.
func (a *audience[T]) seq(n uint64) uint64 {
	return a.seqs[a.front+int(n-a.dropped)]
}
