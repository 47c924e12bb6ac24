package store

import (
	"sync/atomic"

	"github.com/noex-go/store/internal/table"
)

// recent is the ring of recent commits: what was published since the oldest
// transaction under way began, so that a transaction can be checked against what
// others did meanwhile. Commits are recorded only while there are transactions.
//
// A transaction counts itself in (enter) before it pins its snapshot, and a
// commit looks at the count after it has published. Either the transaction pins
// what the commit published, or the commit sees the count and is recorded.
//
// It holds at most maxCommits commits and about maxBytes of records. What is
// overwritten moves floor up: a transaction that began before it cannot be
// checked any more, and is in conflict.
type recent struct {
	active atomic.Int64 // transactions under way
	any    atomic.Bool  // there are commits, or were and are gone

	// Under the store's commit lock.
	commits    []*commitEvent // in order; those before first are gone
	first      int
	bytes      int
	look       int    // when there are so many, to see which are needed
	floor      uint64 // sequence of the newest commit that was recorded and dropped
	maxCommits int
	maxBytes   int
}

// minLook is how many commits gather before it is worth a look at the pins.
const minLook = 32

func (r *recent) enter() { r.active.Add(1) }

// record keeps a published commit, and lets go of those that every transaction
// sees.
func (r *recent) record(ev *commitEvent, pins *table.Pins) {
	if len(r.commits)-r.first >= r.look {
		for seen := pins.Oldest(); r.first < len(r.commits) && r.commits[r.first].seq <= seen; {
			r.dropFirst()
		}
		r.look = max(2*(len(r.commits)-r.first), minLook)
	}
	r.commits = append(r.commits, ev)
	r.any.Store(true)
	r.bytes += ev.bytes()
	for len(r.commits)-r.first > r.maxCommits || r.bytes > r.maxBytes {
		r.dropFirst()
		if r.first == len(r.commits) {
			break
		}
	}
	if r.first > 64 && r.first > len(r.commits)/2 {
		n := copy(r.commits, r.commits[r.first:])
		clear(r.commits[n:])
		r.commits, r.first = r.commits[:n], 0
	}
}

func (r *recent) dropFirst() {
	ev := r.commits[r.first]
	r.bytes -= ev.bytes()
	r.floor = ev.seq
	r.commits[r.first] = nil
	r.first++
}

// leave counts a transaction out. The last one empties the ring, and has what waited
// for it and others swept.
func (st *Store) leaveTx() {
	r := &st.recent
	if r.active.Add(-1) > 0 {
		return
	}
	if st.pins.Waiting() {
		st.tidy(1)
	}
	if !r.any.Load() {
		return
	}
	st.commitMu.Lock()
	defer st.commitMu.Unlock()
	if r.active.Load() == 0 {
		clear(r.commits)
		r.commits, r.first, r.bytes = r.commits[:0], 0, 0
		r.any.Store(false)
	}
}

// since returns the commits after a sequence; false if some are gone.
func (r *recent) since(seq uint64) ([]*commitEvent, bool) {
	if seq < r.floor {
		return nil, false
	}
	i := len(r.commits)
	for i > r.first && r.commits[i-1].seq > seq {
		i--
	}
	return r.commits[i:], true
}

// bytes estimates what a commit keeps alive.
func (ev *commitEvent) bytes() int {
	n := 0
	for i := range ev.changes {
		n += 64 + 2*int(ev.changes[i].b.shape.typ.Size())
	}
	return n
}
