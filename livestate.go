package store

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/noex-go/store/internal/ranked"
	"github.com/noex-go/store/internal/table"
)

// list is what is maintained for the live lists of equal queries: it belongs to a
// node, and is told of commits where the functions of other nodes are called again.
//
//	commit ──→ match: a watch of the list ──→ pending ──→ apply, at the end of the commit:
//	                                                      removes, then inserts, into the tree
//	                                                        │ enough for the window?
//	                                             yes ───────┴─────── no, or too many changes
//	                                              ▼                   ▼
//	                                       state ──→ subscribers   dirty: a worker reads it anew
//
// The tree has the records that match, in the query's order, as immutable nodes that
// count (internal/ranked): all of them, or, if there is a limit, those up to a
// horizon, which lies some records behind the window (slack). Invariant, between commits, of
// a node that is neither dirty nor running: the tree is exactly the matching records
// up to the horizon, at the last commit that concerned it.
//
// What comes behind the horizon is not looked at. When too many records have left,
// so that the window is not full, one read of the window and its slack brings
// the next; when too many have come, the tree is cut and the horizon with it. Either
// takes about as many changes as it costs, so that a change costs O(log n) in the
// mean: n is the length of the list, or the window.
//
// Reading the list anew is an evaluation like that of a function, outside of any
// lock. Commits that it has not seen are applied to it when it ends (follow). It is
// also what happens where a commit has more changes than the list would have
// records, and after a panic in here.
//
// A state is what subscribers see. They hold the last one that they have seen, and
// compare it with the newest on their own goroutines: the trees share what has not
// changed, so that this costs what has.
type list struct {
	def      *queryDef
	query    *Query[*table.Version] // without offset and limit
	from, to int                    // the window: positions; to is math.MaxInt without a limit
	reads    int                    // records that an evaluation reads: the window and its slack; -1: all

	// Under the reactor's lock.
	now     *listState
	last    int64        // the change that was looked at last, by reactorCounts.changes
	pending []listChange // of the commit under way
	touched bool         // it is in reactor.touched

	mu   sync.Mutex   // protects what follows, and tree and refs of states; a leaf
	held []*listState // those that subscribers were told of last, oldest first; and the newest
}

// listEntry is a record in a list. word abbreviates the first value of the order,
// so that a search reads few records.
type listEntry struct {
	word    uint64
	ordinal uint64
	v       *table.Version
}

// listState is a list at a commit.
type listState struct {
	outcome
	l    *list
	b    *bucket
	dep  *dependency // conditions, order, and in until the horizon; nil: the window is empty
	sel  *selection
	sum  uint64 // changes until now, in this state and all before
	tree ranked.Tree[listEntry]
	refs int  // subscribers that were told of it last
	gone bool // the tree was let go
}

// listChange is a change that concerns a list.
type listChange struct {
	c       *change
	was, is bool // in the tree, before and after
	stays   bool // at its place
}

const (
	listSlack   = 16      // records behind a window, at least; else half as many as it has
	listLag     = 1024    // changes, beside the length, that a subscriber may be behind before it gets a Reset
	listMost    = 1 << 30 // records of a window; a larger one is as none
	listFew     = 16      // changes that are no reason for a Reset, however short the list is
	listScratch = 64      // nor for reading the list anew
)

// newList makes what is to be maintained for a query; nothing is read yet.
func newList(b *bucket, spec querySpec) *list {
	l := &list{to: math.MaxInt, reads: -1, from: spec.offset}
	if spec.limit >= 0 {
		if l.to = spec.offset + spec.limit; l.to < 0 {
			l.to = math.MaxInt
		}
		if l.to <= listMost {
			l.reads = l.to + max(l.to/2, listSlack)
		}
	}
	spec.limit, spec.limited, spec.offset = -1, false, 0
	l.query = &Query[*table.Version]{b: b, dec: &listDecoder, spec: spec}
	l.def = &queryDef{name: "list of " + b.name, source: listSource{}}
	return l
}

// listDecoder leaves versions as they are.
var listDecoder = decoder[*table.Version]{
	make:    func(v *table.Version) *table.Version { return v },
	project: func(*selection) decoder[*table.Version] { return versionDecoder },
}

// listSource reads a list from scratch, at the state of an evaluation.
type listSource struct{}

func (listSource) evaluate(q *QueryCtx, p any) (any, error) {
	l := p.(*list)
	query, x, err := l.query.start(&q.scope)
	if err != nil {
		return nil, err
	}
	defer x.end()
	s := &listState{l: l, b: query.b, sel: query.sel}
	if l.from == l.to {
		return s, nil // the read is noted, so that the end of the bucket is
	}
	x.begin(false, 0, l.reads)
	x.rows = true
	x.shows(query.sel)
	x.marks = false // nobody has asked for a record
	room := query.hint(x)
	if l.reads >= 0 {
		room = min(room, l.reads)
	}
	entries := make([]listEntry, 0, room)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		for i, v := range batch {
			entries = append(entries, x.p.entry(v, x.view.Ordinal(x.nums[i])))
		}
	}
	s.dep, s.tree = x.dep, ranked.Build(entries)
	return s, nil
}

func (p *conditions) entry(v *table.Version, ordinal uint64) listEntry {
	e := listEntry{ordinal: ordinal, v: v}
	if len(p.order) > 0 {
		e.word = p.order[0].abbreviate(v)
	}
	return e
}

// compareEntries is the query's order.
func (p *conditions) compareEntries(a, b *listEntry) int {
	if a.v == b.v {
		return 0
	}
	if a.word != b.word {
		return cmp.Compare(a.word, b.word)
	}
	for i := range p.order {
		if c := p.order[i].compare(a.v, b.v); c != 0 {
			return c
		}
	}
	if p.b.def.Ordered {
		return 0
	}
	return cmp.Compare(a.ordinal, b.ordinal)
}

// concerns reports what a change is to a list.
func (s *listState) concerns(c *change) (ch listChange, ok bool) {
	d := s.dep
	ch = listChange{c: c, was: d.reads(c.old, c.ordinal), is: d.reads(c.new, c.ordinal)}
	if ch.was && ch.is {
		ch.stays = true
		for i := range d.order {
			ch.stays = ch.stays && d.order[i].compare(c.old, c.new) == 0
		}
		if ch.stays && s.sel.same(s.b, c.old, c.new) {
			return ch, false
		}
	}
	return ch, ch.was || ch.is
}

// same reports whether two versions of a record show the same.
func (sel *selection) same(b *bucket, v, w *table.Version) bool {
	if v == w {
		return true
	}
	if sel == nil {
		return false
	}
	sh := b.shape
	for i := range sel.shape.slots {
		if !sel.shape.slots[i].identical(v, w) {
			return false
		}
	}
	for name := range sel.extra {
		if ref, _ := sh.field(name); !identicalValues(ref.peek(v), ref.peek(w)) {
			return false
		}
	}
	return len(sel.meta) == 0 || sel.metaOf(*sh.meta(v)) == sel.metaOf(*sh.meta(w))
}

// window is what the state shows.
func (s *listState) window() ranked.Window[listEntry] {
	return ranked.Window[listEntry]{Tree: s.tree, From: s.l.from, To: s.l.to}
}

// same reports whether a state shows what another one does.
func (s *listState) same(o *listState) bool {
	if s.b != o.b {
		return false
	}
	diff, ok := s.diff(o.window(), s.window())
	return ok && diff.empty()
}

// newest returns the newest state, and what it shows.
func (l *list) newest() (*listState, ranked.Window[listEntry]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.held[len(l.held)-1]
	return s, s.window()
}

// listStep is a subscriber's way from one state to the newest.
type listStep struct {
	to      *listState
	was, is ranked.Window[listEntry]
	intact  bool // the first is still there
}

// step takes a subscriber to the newest state.
func (l *list) step(from *listState) (st listStep) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.to = l.held[len(l.held)-1]
	if st.to == from {
		return st
	}
	st.is = st.to.window()
	st.to.refs++
	if from != nil {
		st.was, st.intact = from.window(), !from.gone
		l.leaveLocked(from)
	}
	return st
}

func (l *list) leave(s *listState) {
	if s != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leaveLocked(s)
	}
}

func (l *list) leaveLocked(s *listState) {
	if s.refs--; s.refs > 0 || s.gone || s == l.held[len(l.held)-1] {
		return
	}
	if i, ok := slices.BinarySearchFunc(l.held, s, func(a, b *listState) int { return cmp.Compare(a.sum, b.sum) }); ok {
		l.held = slices.Delete(l.held, i, i+1)
	}
}

// hold makes a state the newest, and lets go of those too far behind.
func (l *list) hold(s *listState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.held); n > 0 && l.held[n-1].refs == 0 {
		l.held = l.held[:n-1]
	}
	lag := uint64(s.tree.Len() + listLag)
	for len(l.held) > 0 && l.held[0].sum+lag < s.sum {
		l.held[0].tree, l.held[0].gone = ranked.Tree[listEntry]{}, true
		l.held[0] = nil
		l.held = l.held[1:]
	}
	l.held = append(l.held, s)
}
