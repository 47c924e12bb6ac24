package store

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

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

// compile finds the plan of the query, for an answer. Most queries are asked once:
// the first who asks has it in the answer's own room.
func (q *Query[R]) compile(x *exec) error {
	if x.p = q.plan.Load(); x.p != nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		return q.err
	case q.shown == nil:
		q.err = q.check(x.newPlan())
	case q.plan.Load() == nil:
		p := new(plan)
		if q.err = q.b.compile(p, q.spec.filters, q.spec.order); q.err == nil {
			q.plan.Store(p)
		}
	}
	if x.p == nil {
		x.p = q.plan.Load()
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

// start compiles the query and begins its answer, of what at shows, which the
// caller ends; the query that it returns is the one to go on with.
func (q *Query[R]) start(at *scope) (*Query[R], *exec, error) {
	for {
		if b := q.b.home.of(at); b != q.b {
			q = q.over(b)
		}
		x := q.b.lend()
		err := q.compile(x)
		if err != nil {
			q.b.asked(at)
		} else if err = x.pin(at); err == nil {
			return q, x, nil
		}
		x.end()
		if err != errMoved {
			return q, nil, err
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

// All returns the records.
func (q *Query[R]) All() ([]R, error) {
	q, x, err := q.start(q.at)
	if err != nil {
		return nil, err
	}
	defer x.end()
	x.begin(false, q.spec.offset, q.spec.limit)
	x.shows(q.sel)
	x.marks = x.marks && !q.dec.writes
	return collect(x, q.shown, q.hint(x)), nil
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

// Seq iterates over the records that All returns, without making a list of
// them. An error is the only pair that comes.
func (q *Query[R]) Seq() iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		q, x, err := q.start(q.at)
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		defer x.end()
		x.begin(false, q.spec.offset, q.spec.limit)
		x.shows(q.sel)
		x.early()
		for batch := x.next(); len(batch) > 0; batch = x.next() {
			q.shown.warm(x, batch)
			if last := q.shown.give(batch, yield); last != nil {
				x.stop(last)
				return
			}
		}
	}
}

// Each calls fn with each of the records that All returns, until it returns
// false. It is the fastest way through many records: fn gets the same R each
// time, overwritten with the next record, where ranging over Seq copies each
// twice.
func (q *Query[R]) Each(fn func(r *R) bool) error {
	q, x, err := q.start(q.at)
	if err != nil {
		return err
	}
	defer x.end()
	x.begin(false, q.spec.offset, q.spec.limit)
	x.shows(q.sel)
	x.early()
	r := new(R)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		q.shown.warm(x, batch)
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
		q, x, err := q.start(q.at)
		if err != nil {
			return // the bucket was dropped: it has no records
		}
		defer x.end()
		x.begin(false, 0, -1)
		x.shows(nil)
		x.early()
		plain, off := q.shown.plain, q.shown.off
		for batch := x.next(); len(batch) > 0; batch = x.next() {
			q.shown.warm(x, batch)
			for _, v := range batch {
				if plain {
					if !yield(*(*R)(at(v, off))) {
						x.stop(v)
						return
					}
				} else if !yield(q.shown.make(v)) {
					x.stop(v)
					return
				}
			}
		}
	}
}

// First returns the first of the records that All returns.
func (q *Query[R]) First() (r R, ok bool, err error) {
	q, x, err := q.start(q.at)
	if err != nil {
		return r, false, err
	}
	defer x.end()
	x.begin(false, q.spec.offset, q.spec.one())
	x.shows(q.sel)
	for _, v := range x.next() {
		return q.shown.make(v), true, nil
	}
	return r, false, nil
}

// findOne is Query.First without making a query, and the bucket of the answer.
func (h *home) findOne(at *scope, filters []Filter) (*bucket, *table.Version, error) {
	x, err := h.ask(at, filters)
	if err != nil {
		return nil, nil, err
	}
	defer x.end()
	x.begin(false, 0, 1)
	x.shows(nil)
	for _, v := range x.next() {
		return x.rd.b, v, nil
	}
	return nil, nil, nil
}

// ask begins the answer to what filters ask for.
func (h *home) ask(at *scope, filters []Filter) (*exec, error) {
	for {
		b := h.of(at)
		x := b.lend()
		err := b.compile(x.newPlan(), filters, nil)
		if err != nil {
			b.asked(at)
		} else if err = x.pin(at); err == nil {
			return x, nil
		}
		x.end()
		if err != errMoved {
			return nil, err
		}
	}
}

// Exists reports whether there is any record.
func (q *Query[R]) Exists() (bool, error) { return valued(q.at, q.exists) }

func (q *Query[R]) exists(at *scope) (bool, error) {
	q, x, err := q.start(at)
	if err != nil {
		return false, err
	}
	defer x.end()
	x.begin(true, q.spec.offset, q.spec.one())
	x.only()
	return len(x.next()) > 0, nil
}

// Count returns the number of records that All would return: from a counter
// where there is no filter, or one index answers it and the state is the newest.
func (q *Query[R]) Count() (int, error) { return valued(q.at, q.count) }

func (q *Query[R]) count(at *scope) (int, error) {
	q, x, err := q.start(at)
	if err != nil {
		return 0, err
	}
	defer x.end()
	n := x.count()
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
	x, err := h.ask(at, filters)
	if err != nil {
		return 0, err
	}
	defer x.end()
	return x.count(), nil
}

// count returns the number of matching records, without reading them where the
// counters of the path's index have the answer.
func (x *exec) count() (n int) {
	if x.rd.written() {
		x.begin(true, 0, -1)
		x.only()
		return x.countEach()
	}
	x.rd.depend(x.p)
	c := x.p.pick(x.view, need{unordered: true, want: -1})
	path := x.p.path(c.path)
	if x.p.answers(path.answered) {
		switch path.access {
		case accessAll:
			return x.view.Count()
		case accessIndex:
			if len(path.spans) == 0 {
				return countSpan(x.view, path, path.span)
			}
			for _, span := range path.spans {
				n += countSpan(x.view, path, span)
			}
			return n
		}
	}
	x.rd.reads, x.rd.tb = nil, nil // it is noted, and there are no writes to read through
	x.begin(true, 0, -1)
	return x.countEach()
}

// countEach reads the records.
func (x *exec) countEach() (n int) {
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		n += len(batch)
	}
	return n
}

func countSpan(v table.View, path *path, span table.Range) int {
	if path.point {
		return v.CountKey(path.index, span.Lo)
	}
	return v.CountRange(path.index, span)
}

// some returns the first or the last n records of the bucket, in its order.
func (q *Query[R]) some(n int, last bool) ([]R, error) {
	if n < 0 {
		return nil, q.b.fail("query", Key{}, fmt.Errorf("a negative number of records: %d", n))
	}
	if last && q.b.def.Ordered {
		q = q.OrderBy(Desc(q.b.def.Key))
	}
	q, x, err := q.start(q.at)
	if err != nil {
		return nil, err
	}
	defer x.end()
	if n == 0 {
		return nil, nil
	}
	x.reversed = last && !q.b.def.Ordered
	x.begin(false, 0, n)
	x.shows(nil)
	count, ok := x.view.Counted()
	if !ok {
		count = batchRows
	}
	out := collect(x, q.shown, min(n, count))
	if last {
		slices.Reverse(out)
	}
	return out, nil
}
