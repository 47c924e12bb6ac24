package store

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// Query is a question to a bucket: which records, in which order, how many of
// them, with which fields. It is immutable; each method that narrows it returns
// another one. It is compiled when it is first asked, and an error in it comes
// out of the method that answers. Each of those reads one committed state: that
// of the time of the call, or of the handle's snapshot. It is safe for
// concurrent use.
//
// Without OrderBy, records come in the bucket's order: of insertion, or of keys
// if the bucket is defined so. That order also decides among records that are
// equal in the fields of OrderBy.
type Query[R any] struct {
	b    *bucket
	at   *scope
	dec  *decoder[R]
	spec querySpec

	plan  atomic.Pointer[plan]     // nil until it is asked for the second time
	moved atomic.Pointer[Query[R]] // the same over another bucket of that home

	mu    sync.Mutex  // protects those below until they are set, by the first who asks
	err   error       // that it has
	sel   *selection  // of Select, nil without one
	shown *decoder[R] // dec, or what Select made of it; nil: it was not asked yet
}

// querySpec is what the methods of a query have said.
type querySpec struct {
	filters   []Filter
	order     []Order
	fields    []string // of Select
	selecting bool
	offset    int
	limit     int // -1: none
	limited   bool
}

// one is the limit of an answer of one record.
func (s *querySpec) one() int {
	if s.limit == 0 {
		return 0
	}
	return 1
}

// decoder makes results of versions.
type decoder[R any] struct {
	make func(*table.Version) R
	// plain: an R lies at off, and copying it is all.
	plain bool
	off   uintptr
	// records: R is Record, and the version is all of it.
	records bool
	// views, unless nil: R is Record, of a view with this Ext.
	views *table.Ext
	// writes: the records are to be written, and are not read for LeastRead.
	writes bool
	// project returns the decoder that shows some fields only.
	project func(sel *selection) decoder[R]
	// over returns the decoder for another bucket of the same home; nil: it is this
	// one.
	over func(b *bucket) *decoder[R]
}

// look makes the views of a batch, nil where the results need none. Who keeps one
// keeps the batch: one object for all costs less than an object for each.
func (d *decoder[R]) look(batch []*table.Version) []table.Version {
	if d.views == nil {
		return nil
	}
	return table.Views(batch, d.views)
}

// seen is the result that shows a view.
func (d *decoder[R]) seen(view *table.Version) R { return *(*R)(unsafe.Pointer(&view)) }

// add appends the results of a batch.
func (d *decoder[R]) add(out []R, batch []*table.Version) []R {
	n := len(out)
	out = slices.Grow(out, len(batch))[:n+len(batch)]
	fresh := out[n:]
	switch {
	case d.records:
		copy(versions(fresh), batch)
	case d.views != nil:
		views, to := d.look(batch), versions(fresh)
		for i := range views {
			to[i] = &views[i]
		}
	case d.plain:
		for i, v := range batch {
			fresh[i] = *(*R)(at(v, d.off))
		}
	default:
		for i, v := range batch {
			fresh[i] = d.make(v)
		}
	}
	return out
}

func newQuery[R any](b *bucket, at *scope, dec *decoder[R], filters []Filter) *Query[R] {
	return &Query[R]{b: b, at: at, dec: dec, spec: querySpec{filters: filters, limit: -1}}
}

func (q *Query[R]) with(change func(s *querySpec)) *Query[R] {
	n := &Query[R]{b: q.b, at: q.at, dec: q.dec, spec: q.spec}
	change(&n.spec)
	return n
}

// Where returns the query narrowed by further filters.
func (q *Query[R]) Where(filters ...Filter) *Query[R] {
	return q.with(func(s *querySpec) { s.filters = slices.Concat(s.filters, filters) })
}

// OrderBy returns the query in the order of the given fields, the first one
// first, instead of any order given before.
func (q *Query[R]) OrderBy(order ...Order) *Query[R] {
	return q.with(func(s *querySpec) { s.order = slices.Clone(order) })
}

// Limit returns the query for at most n records; a negative n is an error.
func (q *Query[R]) Limit(n int) *Query[R] {
	return q.with(func(s *querySpec) { s.limit, s.limited = n, true })
}

// Offset returns the query without its first n records; a negative n is an
// error. Page goes on where it was without reading them again.
func (q *Query[R]) Offset(n int) *Query[R] {
	return q.with(func(s *querySpec) { s.offset = n })
}

// Select returns the query for records that show only the given fields and the
// key; of the metadata, what is named too (_version and so on). The other fields
// of a [Record] are absent; those of a struct, an embedded Meta included, have
// their zero value.
func (q *Query[R]) Select(fields ...string) *Query[R] {
	return q.with(func(s *querySpec) { s.fields, s.selecting = slices.Clone(fields), true })
}

// compile returns the plan of the query, for the reading. Most queries are asked
// once: the first who asks has a plan that the bucket lends.
func (q *Query[R]) compile(rd *reading) error {
	if rd.plan = q.plan.Load(); rd.plan != nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		return q.err
	case q.shown == nil:
		rd.plan, rd.lent = q.b.lend(), true
		q.err = q.check(rd.plan)
	case q.plan.Load() == nil:
		p := new(plan)
		if q.err = q.b.compile(p, q.spec.filters, q.spec.order); q.err == nil {
			q.plan.Store(p)
		}
	}
	if !rd.lent {
		rd.plan = q.plan.Load()
	}
	return q.err
}

// check finds what is wrong with the query, and compiles it into a plan.
func (q *Query[R]) check(p *plan) error {
	s := &q.spec
	switch {
	case s.limited && s.limit < 0:
		return &QueryError{Bucket: q.b.name, Message: fmt.Sprintf("the limit is negative: %d", s.limit)}
	case s.offset < 0:
		return &QueryError{Bucket: q.b.name, Message: fmt.Sprintf("the offset is negative: %d", s.offset)}
	}
	q.shown = q.dec
	if s.selecting {
		sel, err := q.b.shape.selection(s.fields)
		if err != nil {
			return err
		}
		shown := q.dec.project(sel)
		q.sel, q.shown = sel, &shown
	}
	return q.b.compile(p, s.filters, s.order)
}

// reading is a read under way: the state that it sees, pinned, and, in a
// transaction, what it reads through and notes.
type reading struct {
	b     *bucket
	plan  *plan // of a query's answer
	lent  bool  // the plan is the bucket's
	view  table.View
	lease lease
	tb    *txBucket // nil outside of a transaction
	reads *readSet  // where it is noted; nil where it need not be
}

// begin begins a read of the state that a handle is bound to. Error errMoved: of
// another bucket.
func (b *bucket) begin(at *scope) (reading, error) {
	switch {
	case at == nil && !b.current():
		return reading{}, errMoved
	case b.dropped.Load():
		return reading{}, b.fail("query", Key{}, ErrBucketNotDefined)
	}
	if at == nil {
		l := b.acquire()
		if !b.current() {
			b.release(l)
			return reading{}, errMoved
		}
		return reading{b: b, view: b.table.At(l.pin.Seq), lease: l}, nil
	}
	if at.store != b.store {
		return reading{}, b.fail("query", Key{}, errOtherStore)
	}
	if !at.enter() {
		return reading{}, b.fail("query", Key{}, at.over())
	}
	r := reading{b: b, view: b.table.At(at.pin.Seq), lease: lease{snap: at.hold}}
	switch {
	case at.qc != nil:
		r.reads = at.qc.reads(b)
	case at.tx != nil:
		r.tb = at.tx.in(b)
		if at.tx.iso != SnapshotIsolation {
			r.reads = &r.tb.reads
		}
	}
	return r, nil
}

func (r *reading) end() {
	r.b.release(r.lease)
	r.giveBack()
}

// giveBack returns a plan that was lent. What an answer has noted that it depends
// on has conditions of its own.
func (r *reading) giveBack() {
	if r.lent {
		*r.plan = plan{}
		r.b.plans.Put(r.plan)
	}
}

// lend returns a zero plan, for one answer.
func (b *bucket) lend() *plan {
	if p, ok := b.plans.Get().(*plan); ok {
		return p
	}
	return new(plan)
}

// start compiles the query and begins its read, of what at shows; the query that
// it returns is the one to go on with.
func (q *Query[R]) start(at *scope) (*Query[R], reading, error) {
	for {
		if b := q.b.home.of(at); b != q.b {
			q = q.over(b)
		}
		of := reading{b: q.b}
		if err := q.compile(&of); err != nil {
			of.giveBack()
			q.b.asked(at)
			return q, reading{}, err
		}
		if rd, err := of.begin(at); err != errMoved {
			return q, rd, err
		}
	}
}

// asked notes that a query function has asked what the bucket, as it is, has no
// answer to. One that is dropped will never have one.
func (b *bucket) asked(at *scope) {
	if at != nil && at.qc != nil && !b.dropped.Load() {
		at.qc.reads(b)
	}
}

// over is the query over what the bucket was altered to since it was made, or had
// been before.
func (q *Query[R]) over(b *bucket) *Query[R] {
	if n := q.moved.Load(); n != nil && n.b == b {
		return n
	}
	n := &Query[R]{b: b, at: q.at, dec: q.dec, spec: q.spec}
	if q.dec.over != nil {
		n.dec = q.dec.over(b)
	}
	q.moved.Store(n)
	return n
}

// begin begins the read that a plan is for.
func (r reading) begin(at *scope) (reading, error) {
	rd, err := r.b.begin(at)
	if err != nil {
		r.giveBack()
		return reading{}, err
	}
	rd.plan, rd.lent = r.plan, r.lent
	return rd, nil
}

// All returns the records.
func (q *Query[R]) All() ([]R, error) {
	q, rd, err := q.start(q.at)
	if err != nil {
		return nil, err
	}
	defer rd.end()
	var x exec
	x.of(rd.plan, rd)
	x.begin(false, q.spec.offset, q.spec.limit)
	x.shows(q.sel)
	x.marks = x.marks && !q.dec.writes
	return collect(&x, q.shown, q.hint(&x)), nil
}

// hint is how many records to make room for: their number where a counter has
// it, else a small guess.
func (q *Query[R]) hint(x *exec) int {
	n, exact := 0, false
	switch path := x.path(); {
	case len(x.p.conds) > 0 && (path.access != accessIndex || !path.inRows() || !x.p.answers(path.answered)):
	case path.access == accessAll || path.ordering:
		n, exact = x.view.Counted()
	case path.access == accessIndex:
		n, exact = x.view.CountedKey(path.index, path.span.Lo)
	}
	if !exact {
		n = min(x.c.matches, batchRows)
	}
	if n = max(n-q.spec.offset, 0); q.spec.limit >= 0 {
		n = min(n, q.spec.limit)
	}
	return n
}

// collect reads an answer to its end.
func collect[R any](x *exec, dec *decoder[R], hint int) []R {
	out := make([]R, 0, hint)
	if dec.records {
		out = out[:x.into(versions(out[:hint]))]
	}
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		out = dec.add(out, batch)
	}
	return out
}

// Seq iterates over the records that All returns, without making a list of
// them. An error is the only pair that comes.
func (q *Query[R]) Seq() iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		q, rd, err := q.start(q.at)
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		defer rd.end()
		var x exec
		x.of(rd.plan, rd)
		x.begin(false, q.spec.offset, q.spec.limit)
		x.shows(q.sel)
		x.early()
		for batch := x.next(); len(batch) > 0; batch = x.next() {
			views := q.shown.look(batch)
			for i, v := range batch {
				if q.shown.plain {
					if !yield(*(*R)(at(v, q.shown.off)), nil) {
						x.stop(v)
						return
					}
				} else if views != nil {
					if !yield(q.shown.seen(&views[i]), nil) {
						x.stop(v)
						return
					}
				} else if !yield(q.shown.make(v), nil) {
					x.stop(v)
					return
				}
			}
		}
	}
}

// Each calls fn with each of the records that All returns, until it returns
// false. It is the fastest way through many records: fn gets the same R each
// time, overwritten with the next record, where ranging over Seq copies each
// twice.
func (q *Query[R]) Each(fn func(r *R) bool) error {
	q, rd, err := q.start(q.at)
	if err != nil {
		return err
	}
	defer rd.end()
	var x exec
	x.of(rd.plan, rd)
	x.begin(false, q.spec.offset, q.spec.limit)
	x.shows(q.sel)
	x.early()
	r := new(R)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		views := q.shown.look(batch)
		for i, v := range batch {
			switch {
			case q.shown.plain:
				*r = *(*R)(at(v, q.shown.off))
			case views != nil:
				*r = q.shown.seen(&views[i])
			default:
				*r = q.shown.make(v)
			}
			if !fn(r) {
				x.stop(v)
				return nil
			}
		}
	}
	return nil
}

// all is Seq for a whole bucket, where nothing can fail but the handle.
func (q *Query[R]) all() iter.Seq[R] {
	return func(yield func(R) bool) {
		if q.at != nil {
			q.at.use(q.b.store)
			defer q.at.leave()
		}
		for r, err := range q.Seq() {
			if err != nil {
				return // the bucket was dropped: it has no records
			}
			if !yield(r) {
				return
			}
		}
	}
}

// First returns the first of the records that All returns.
func (q *Query[R]) First() (r R, ok bool, err error) {
	q, rd, err := q.start(q.at)
	if err != nil {
		return r, false, err
	}
	defer rd.end()
	var x exec
	x.of(rd.plan, rd)
	x.begin(false, q.spec.offset, q.spec.one())
	x.shows(q.sel)
	for _, v := range x.next() {
		return q.shown.make(v), true, nil
	}
	return r, false, nil
}

// findOne is Query.First without making a query, and the bucket of the answer.
func (h *home) findOne(at *scope, filters []Filter) (*bucket, *table.Version, error) {
	rd, err := h.ask(at, filters)
	if err != nil {
		return nil, nil, err
	}
	defer rd.end()
	var x exec
	x.of(rd.plan, rd)
	x.begin(false, 0, 1)
	x.shows(nil)
	for _, v := range x.next() {
		return rd.b, v, nil
	}
	return nil, nil, nil
}

// ask begins the read of what filters ask for.
func (h *home) ask(at *scope, filters []Filter) (reading, error) {
	for {
		b := h.of(at)
		of := reading{b: b, plan: b.lend(), lent: true}
		if err := b.compile(of.plan, filters, nil); err != nil {
			of.giveBack()
			b.asked(at)
			return reading{}, err
		}
		if rd, err := of.begin(at); err != errMoved {
			return rd, err
		}
	}
}

// Exists reports whether there is any record.
func (q *Query[R]) Exists() (bool, error) { return valued(q.at, q.exists) }

func (q *Query[R]) exists(at *scope) (bool, error) {
	q, rd, err := q.start(at)
	if err != nil {
		return false, err
	}
	defer rd.end()
	var x exec
	x.of(rd.plan, rd)
	x.begin(true, q.spec.offset, q.spec.one())
	x.only()
	return len(x.next()) > 0, nil
}

// Count returns the number of records that All would return: from a counter
// where there is no filter, or one index answers it and the state is the newest.
func (q *Query[R]) Count() (int, error) { return valued(q.at, q.count) }

func (q *Query[R]) count(at *scope) (int, error) {
	q, rd, err := q.start(at)
	if err != nil {
		return 0, err
	}
	defer rd.end()
	n := rd.count(rd.plan)
	n = max(n-q.spec.offset, 0)
	if q.spec.limit >= 0 {
		n = min(n, q.spec.limit)
	}
	return n, nil
}

// count is Query.Count without making a query.
func (h *home) count(at *scope, filters []Filter) (int, error) {
	if at != nil && at.qc != nil { // where it is a value of its own
		return newQuery(h.of(at), at, &versionDecoder, slices.Clone(filters)).Count()
	}
	rd, err := h.ask(at, filters)
	if err != nil {
		return 0, err
	}
	defer rd.end()
	return rd.count(rd.plan), nil
}

// count is plan.count, through the writes of a transaction.
func (r *reading) count(p *plan) (n int) {
	if !r.written() {
		r.depend(p)
		return p.count(r.view)
	}
	x := exec{p: p, rd: *r, view: r.view}
	x.begin(true, 0, -1)
	x.only()
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		n += len(batch)
	}
	return n
}

// count returns the number of matching records, without reading them where the
// counters of the path's index have the answer.
func (p *plan) count(v table.View) (n int) {
	c := p.pick(v, need{unordered: true, want: -1})
	path := p.path(c.path)
	if p.answers(path.answered) {
		switch path.access {
		case accessAll:
			return v.Count()
		case accessIndex:
			if len(path.spans) == 0 {
				return countSpan(v, path, path.span)
			}
			for _, span := range path.spans {
				n += countSpan(v, path, span)
			}
			return n
		}
	}
	return p.countEach(v)
}

func countSpan(v table.View, path *path, span table.Range) int {
	if path.point {
		return v.CountKey(path.index, span.Lo)
	}
	return v.CountRange(path.index, span)
}

// countEach reads the records.
func (p *plan) countEach(v table.View) (n int) {
	x := exec{p: p, view: v}
	x.begin(true, 0, -1)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		n += len(batch)
	}
	return n
}

// some returns the first or the last n records of the bucket, in its order.
func (q *Query[R]) some(n int, last bool) ([]R, error) {
	if n < 0 {
		return nil, q.b.fail("query", Key{}, fmt.Errorf("a negative number of records: %d", n))
	}
	if last && q.b.def.Ordered {
		q = q.OrderBy(Desc(q.b.def.Key))
	}
	q, rd, err := q.start(q.at)
	if err != nil || n == 0 {
		return nil, err
	}
	defer rd.end()
	x := exec{p: rd.plan, rd: rd, view: rd.view, reversed: last && !q.b.def.Ordered}
	x.begin(false, 0, n)
	x.shows(nil)
	count, ok := rd.view.Counted()
	if !ok {
		count = batchRows
	}
	out := collect(&x, q.shown, min(n, count))
	if last {
		slices.Reverse(out)
	}
	return out, nil
}
