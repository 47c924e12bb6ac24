package store

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// node is a value that is kept up to date: that of a query for some parameters,
// however many subscribe to it, or a part of one (a count, a sum) that the
// function has read as a value.
//
// It is evaluated at a snapshot and then stands until a commit, or another node,
// changes what that evaluation has read:
//
//	clean ── a commit concerns it ──→ dirty ── a worker takes it ──→ running ──→ clean, or dirty
//	                                                                              again if it was
//	                                                                              overtaken
//
// While it is running, commits are not matched against it. When it ends, the
// commits since its snapshot are: so none is lost, and what an evaluation has
// seen already does not wake it.
//
// Of a great many nodes, none that a commit concerns is in a cache, so that what
// they cost is the cache lines that are touched from the match to the delivery.
// What each evaluation needs is therefore one piece of memory, the place in the
// index with it; what few nodes have, or few evaluations need, is in rare.
//
// A node has 384 bytes, which is a size of the allocator's, so that it begins with
// a cache line. The comments on the right say what is on which.
type node struct {
	// All but latest is under the reactor's lock, or does not change.
	own     watch  // 0, 1; one of those in good or in failed; n is nil if it is in neither
	key     string // 2
	params  any
	r       *reactor
	latest  atomic.Pointer[outcome] // 3; nil until the first evaluation has ended
	seq     uint64                  // of the last evaluation's snapshot
	since   uint64                  // dirty, running: the first commit that made it so; 0: no commit did
	dirty   bool
	running bool
	queued  bool
	gone    bool
	asks    int32     // calls under way that need it
	def     *queryDef // nil of a part
	rare    *rareNode // nil: as if all of it were zero
	counts  nodeCounts
	good    registration   // 4; of the last evaluation that succeeded
	told    int            // how many of subs, the first ones, are told of outcomes
	subs    []*subscriber  // each knows its place in the list
	few     [1]*subscriber // 5; where subs begins
	misses  nodeMisses
	list    *list // that params are; nil: it is no list
	_       [16]byte
}

// rareNode is what few nodes have.
type rareNode struct {
	part     func(q *QueryCtx) (any, error) // of a part
	first    *reads                         // of a part that is not registered yet
	parents  map[*node]*outcome             // nodes that have read its value, and which one
	failed   registration                   // of the last evaluation, if it failed
	ended    chan struct{}                  // closed when the running evaluation ends; nil: nobody waits
	expires  time.Time                      // nobody needs it: when it is dropped
	lingers  time.Time                      // when that is looked at; zero: not at all
	due      time.Time                      // when it is dirty by the passing of time
	duePlace int                            // in the reactor's heap, from 1; 0: not in it
}

// seldom makes room for what few nodes have.
func (n *node) seldom() *rareNode {
	if n.rare == nil {
		n.rare = new(rareNode)
	}
	return n.rare
}

// parents are the nodes that have read its value, and which one; not to be
// changed.
func (n *node) parents() map[*node]*outcome {
	if n.rare == nil {
		return nil
	}
	return n.rare.parents
}

// registrations is good and failed.
func (n *node) registrations(yield func(*registration) bool) {
	if yield(&n.good) && n.rare != nil {
		yield(&n.rare.failed)
	}
}

func (n *node) evaluate(q *QueryCtx) (any, error) {
	if n.def == nil {
		return n.rare.part(q)
	}
	return n.def.source.evaluate(q, n.params)
}

// nodeCounts is what Explain tells of a node.
type nodeCounts struct{ evaluations, unchanged int64 }

// nodeMisses is the same, of what is rare.
type nodeMisses struct {
	failures int64
	near     int64 // changes that its index led to and that did not concern it
}

// outcome is what an evaluation came to: immutable. The value is the last good
// one if the evaluation failed.
type outcome struct {
	value any
	err   error
	seq   uint64
	since uint64 // the commit that it is the consequence of
	gen   uint64 // counts the outcomes of the node
	// tainted: it depends on the node's having been asked first, as where queries
	// ask for one another in a circle. Another query does not get it.
	tainted bool
}

// registration is what an evaluation has read, as the reactor watches it.
type registration struct {
	watches []*watch
	rest    *restRead // nil: as if all of it were zero
}

// restRead is what else a function may read than buckets.
type restRead struct {
	children []childRead
	names    []nameRead // buckets and queries looked up by name
	due      time.Time  // when Now will say something else; zero: never
	// buckets are those that nothing watches, since the answer was an error.
	buckets []*bucket
}

// buckets is each bucket that was read, some of them several times.
func (s *registration) buckets(yield func(*bucket) bool) {
	for _, w := range s.watches {
		if !yield(w.b) {
			return
		}
	}
	if s.rest != nil {
		for _, b := range s.rest.buckets {
			if !yield(b) {
				return
			}
		}
	}
}

func (s *registration) reads(b *bucket) bool {
	for x := range s.buckets {
		if x == b {
			return true
		}
	}
	return false
}

func (s *registration) children() []childRead {
	if s.rest == nil {
		return nil
	}
	return s.rest.children
}

func (s *registration) names() []nameRead {
	if s.rest == nil {
		return nil
	}
	return s.rest.names
}

func (s *registration) due() time.Time {
	if s.rest == nil {
		return time.Time{}
	}
	return s.rest.due
}

// same reports whether an outcome is no news after another one.
func (n *node) same(a, b *outcome) bool {
	switch {
	case a == b:
		return true
	case a == nil || b == nil:
		return false
	case a.err != nil || b.err != nil:
		return a.err != nil && b.err != nil && a.err.Error() == b.err.Error()
	}
	if n.list != nil {
		return sameLists(a, b)
	}
	return n.r.equal(unsafe.Pointer(&a.value), unsafe.Pointer(&b.value))
}

// holdsLocked reports whether the node's outcome holds at a commit that has been
// matched, as far as that is known.
func (n *node) holdsLocked(seq uint64) bool {
	if n.latest.Load() == nil || n.gone || (n.dirty || n.running) && n.since <= seq {
		return false
	}
	for _, c := range n.last().children() {
		if !c.n.holdsLocked(seq) {
			return false
		}
	}
	return true
}

// evaluatedByLocked reports whether the outcome, and what it is made of, was found
// at a commit or before. Else it may have been another one at that commit, and
// have come back.
func (n *node) evaluatedByLocked(seq uint64) bool {
	if n.seq > seq {
		return false
	}
	for _, c := range n.last().children() {
		if !c.n.evaluatedByLocked(seq) {
			return false
		}
	}
	return true
}

// last is what the last evaluation has read; after a failure, what a good one had
// read before need not be there any more.
func (n *node) last() *registration {
	if o := n.latest.Load(); o != nil && o.err != nil {
		return &n.seldom().failed
	}
	return &n.good
}

// wanted reports whether anybody waits for the node's changes.
func (n *node) wantedLocked() bool {
	if len(n.subs) > 0 {
		return true
	}
	for p := range n.parents() {
		if n.def == nil && (p.dirty || p.running) {
			continue // which is about to read another part in its place
		}
		if p.wantedLocked() {
			return true
		}
	}
	return false
}
