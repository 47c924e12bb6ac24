package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// QueryCtx is what a query function reads through: handles are bound to it by
// In, and other queries asked by Run and RunIn. All of it shows one committed
// state, of all buckets. Where the query is live, what is read is noted, and
// the function is called again when a commit changes any of it; what is read
// past the QueryCtx is not noted. Its handles refuse writes.
//
// It may be used by several goroutines of the function. When that has returned,
// reads are refused.
type QueryCtx struct {
	scope
	st   *Store
	ctx  context.Context
	up   *QueryCtx // of the query that asked for this one
	key  string    // of the query and its parameters, to find cycles
	deep int
	from uint64 // number of the first commit that was matched since the state was pinned
	// isPart: of a value that a function reads, and that reads no values.
	isPart bool

	mu    sync.Mutex // protects what follows, if it is noted
	parts []*partRead
	few   [1]*partRead // where they begin
	first partRead
	more  *moreRead // nil: as if all of it were zero

	done    atomic.Bool // the function has returned; set under mu
	tainted atomic.Bool // its outcome depends on who has asked
}

// moreRead is what few functions do but read buckets.
type moreRead struct {
	restRead
	others []*partRead // read by other evaluations for this one
	now    time.Time   // of the clock, once the function has asked
}

// moreLocked makes room for it, under mu.
func (q *QueryCtx) moreLocked() *moreRead {
	if q.more == nil {
		q.more = new(moreRead)
	}
	return q.more
}

// reads is what an evaluation has read.
type reads struct {
	parts []*partRead
	restRead
}

type partRead struct {
	b *bucket
	readSet
}

type nameRead struct {
	name  string
	query bool      // the name of a query
	b     *bucket   // nil: not defined
	def   *queryDef // likewise
}

// changed reports whether the name means something else now.
func (m *nameRead) changed(st *Store) bool {
	if m.query {
		def, _ := st.queries.find(m.name)
		return def != m.def
	}
	b, _ := st.find("", m.name)
	return b != m.b
}

// childRead is the value of another node that was used.
type childRead struct {
	n *node
	o *outcome
}

// maxQueryDepth is how deep queries may ask for one another.
const maxQueryDepth = 64

// newQueryCtx makes the context of an evaluation at the state that s shows.
// tracked: what is read is noted.
func newQueryCtx(ctx context.Context, s scope, up *QueryCtx, key string, tracked bool) *QueryCtx {
	q := &QueryCtx{}
	q.begin(ctx, s, up, key, tracked)
	return q
}

func (q *QueryCtx) begin(ctx context.Context, s scope, up *QueryCtx, key string, tracked bool) {
	q.scope, q.st, q.ctx, q.up, q.key = s, s.store, ctx, up, key
	if up != nil {
		q.deep, q.from = up.deep+1, up.from
	}
	q.fn, q.qc = q, nil
	if tracked {
		q.qc = q
	}
}

// Context is the caller's under Run and RunQuery. Under RunIn, in a snapshot or a
// transaction, it never ends; in a live query it ends when a Close of the store
// has run out of time. A function that waits for anything should heed it.
func (q *QueryCtx) Context() context.Context { return q.ctx }

// Seq is the commit whose state the function reads.
func (q *QueryCtx) Seq() Seq { return Seq(q.pin.Seq) }

// Bucket returns a dynamic handle to a bucket by name, bound to the state that
// the function reads. A live query is evaluated again when a bucket of that name
// is defined or dropped. Error: ErrBucketNotDefined.
func (q *QueryCtx) Bucket(name string) (*Bucket, error) {
	b, err := q.st.find("bucket", name)
	if over := q.name(nameRead{name: name, b: b}); over != nil {
		return nil, &Error{Op: "bucket", Bucket: name, Err: over}
	}
	if err != nil {
		return nil, err
	}
	return &Bucket{b.home, &q.scope}, nil
}

// Now returns the store's time, cut to a multiple of the granularity, which is at
// least a millisecond. It stays the same throughout an evaluation. A live query
// is evaluated again when it changes. With an Options.Clock that does not go with
// real time, that is seen at the next commit or Settle, or after the granularity
// in real time.
func (q *QueryCtx) Now(granularity time.Duration) time.Time {
	granularity = max(granularity, time.Millisecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.moreLocked()
	if m.now.IsZero() {
		m.now = q.st.clock().UTC()
		q.st.live.saw(m.now)
	}
	t := m.now.Truncate(granularity)
	if next := t.Add(granularity); m.due.IsZero() || next.Before(m.due) {
		m.due = next
	}
	return t
}

// Run asks another query, by name, at the state that the function reads; with its
// types, [ReactiveQuery.RunIn] does. A live query is evaluated again only if the
// answer changes. Errors: as [Store.RunQuery]; ErrQueryCycle.
func (q *QueryCtx) Run(name string, params any) (any, error) {
	def, err := q.st.queries.find(name)
	if over := q.name(nameRead{name: name, query: true, def: def}); over != nil {
		return nil, &Error{Op: "run query", Err: over}
	}
	if err != nil {
		return nil, &Error{Op: "run query", Err: err}
	}
	return q.run(def, params)
}

// until is when Now would have told the function something else; zero: never.
func (q *QueryCtx) until() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.more == nil {
		return time.Time{}
	}
	return q.more.due
}

// sooner notes such a time of a query that this one has asked.
func (q *QueryCtx) sooner(due time.Time) {
	if due.IsZero() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if m := q.moreLocked(); m.due.IsZero() || due.Before(m.due) {
		m.due = due
	}
}

// name notes that a name was looked up.
func (q *QueryCtx) name(m nameRead) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done.Load() {
		return ErrQueryDone
	}
	if q.qc != nil {
		x := q.moreLocked()
		x.names = append(x.names, m)
	}
	return nil
}

func (q *QueryCtx) run(def *queryDef, params any) (any, error) {
	p, key, err := def.encode(params)
	if err != nil {
		return nil, err
	}
	if !q.enter() {
		return nil, queryError(def.name, ErrQueryDone)
	}
	defer q.leave()
	for up := q; up != nil; up = up.up {
		if up.key == key {
			q.taint()
			return nil, queryError(def.name, ErrQueryCycle)
		}
	}
	if q.deep >= maxQueryDepth {
		q.taint()
		return nil, &QueryError{Message: "queries ask for one another too deeply"}
	}
	if q.qc == nil {
		sub := newQueryCtx(q.ctx, q.scope, q, key, false)
		v, err := def.once(sub, p)
		q.sooner(sub.until())
		return v, err
	}
	o := q.st.live.ask(q, def, p, key)
	return o.value, o.err
}

// reads returns where reads of a bucket are noted.
func (q *QueryCtx) reads(b *bucket) *readSet {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.parts {
		if p.b == b {
			return &p.readSet
		}
	}
	p := &q.first
	if len(q.parts) == 0 {
		q.parts = q.few[:0]
	} else {
		p = &partRead{}
	}
	p.b, p.readSet = b, readSet{mu: &q.mu, done: q.done.Load()}
	q.parts = append(q.parts, p)
	return &p.readSet
}

// used notes that the value of another node was used. It reports false if it is
// too late for that.
func (q *QueryCtx) used(n *node, o *outcome) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done.Load() {
		return false
	}
	m := q.moreLocked()
	m.children = append(m.children, childRead{n, o})
	return true
}

// absorb notes what another evaluation has read as read by this one.
func (q *QueryCtx) absorb(seen *reads) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done.Load() {
		return false
	}
	m := q.moreLocked()
	m.others = append(m.others, seen.parts...)
	m.names = append(m.names, seen.names...)
	m.children = append(m.children, seen.children...)
	if due := seen.due; m.due.IsZero() || !due.IsZero() && due.Before(m.due) {
		m.due = due
	}
	return true
}

// taint says that the outcome depends on who has asked, up to the first one.
func (q *QueryCtx) taint() {
	for ; q != nil; q = q.up {
		q.tainted.Store(true)
	}
}

// take ends the noting and returns what was read.
func (q *QueryCtx) take() reads {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done.Store(true)
	for _, p := range q.parts {
		p.done = true
	}
	if q.more == nil {
		return reads{parts: q.parts}
	}
	return reads{append(q.parts, q.more.others...), q.more.restRead}
}

// valued answers what depends on a value only: in the function of a live query
// the value is a node of its own, so that the function is called again only when
// the value is another one.
func valued[V any](at *scope, run func(at *scope) (V, error)) (V, error) {
	if at == nil || at.qc == nil || at.qc.isPart {
		return run(at)
	}
	q := at.qc
	n := &node{r: q.st.live, rare: &rareNode{part: func(sub *QueryCtx) (any, error) { return result(run(&sub.scope)) }}}
	o := q.st.live.evaluatePart(q, n)
	v, _ := o.value.(V)
	return v, o.err
}
