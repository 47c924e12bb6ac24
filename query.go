package store

import (
	"fmt"
	"iter"
	"slices"

	"github.com/noex-go/store/internal/table"
)

// Query is a question to a bucket: filters, and the handle's state to read. It
// is immutable and compiled when it is made; an error in it comes out of the
// method that answers. Each of those reads one committed state, that of the time
// of the call or of the handle's snapshot. It is safe for concurrent use.
type Query[R any] struct {
	b       *bucket
	at      *Snapshot
	dec     decoder[R]
	filters []Filter
	plan    plan
	err     error
}

// decoder makes results of versions.
type decoder[R any] struct {
	make func(*table.Version) R
	// plain: an R lies at off, and copying it is all.
	plain bool
	off   uintptr
}

func newQuery[R any](b *bucket, at *Snapshot, dec decoder[R], filters []Filter) *Query[R] {
	q := &Query[R]{b: b, at: at, dec: dec, filters: filters}
	q.err = b.compile(&q.plan, filters)
	return q
}

// begin begins a read of the state that a handle is bound to.
func (b *bucket) begin(at *Snapshot) (table.View, lease, error) {
	if b.dropped.Load() {
		return table.View{}, lease{}, b.fail("query", Key{}, ErrBucketNotDefined)
	}
	if at == nil {
		l := b.acquire()
		return b.table.At(l.pin.Seq), l, nil
	}
	if at.store != b.store {
		return table.View{}, lease{}, b.fail("query", Key{}, errOtherStore)
	}
	if !at.enter() {
		return table.View{}, lease{}, b.fail("query", Key{}, ErrSnapshotClosed)
	}
	return b.table.At(at.pin.Seq), lease{snap: at.hold}, nil
}

func (q *Query[R]) open() (table.View, lease, error) {
	if q.err != nil {
		return table.View{}, lease{}, q.err
	}
	return q.b.begin(q.at)
}

// Where returns the query narrowed by further filters.
func (q *Query[R]) Where(filters ...Filter) *Query[R] {
	return newQuery(q.b, q.at, q.dec, slices.Concat(q.filters, filters))
}

// All returns the matching records in the bucket's order: of insertion, or of
// keys if the bucket is defined so.
func (q *Query[R]) All() ([]R, error) {
	view, l, err := q.open()
	if err != nil {
		return nil, err
	}
	defer q.b.release(l)
	out := make([]R, 0, q.plan.hint(view))
	q.plan.each(view, func(v *table.Version) bool {
		if q.dec.plain {
			out = append(out, *(*R)(at(v, q.dec.off)))
		} else {
			out = append(out, q.dec.make(v))
		}
		return true
	})
	return out, nil
}

// Seq iterates over the records that All returns, without making a list of
// them. An error is the only pair that comes.
func (q *Query[R]) Seq() iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		view, l, err := q.open()
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		defer q.b.release(l)
		if q.dec.plain {
			off := q.dec.off
			q.plan.each(view, func(v *table.Version) bool { return yield(*(*R)(at(v, off)), nil) })
			return
		}
		q.plan.each(view, func(v *table.Version) bool { return yield(q.dec.make(v), nil) })
	}
}

// Each calls fn with each of the records that All returns, until it returns
// false. It is the fastest way through many records: fn gets the same R each
// time, overwritten with the next record, where ranging over Seq copies each
// twice.
func (q *Query[R]) Each(fn func(r *R) bool) error {
	view, l, err := q.open()
	if err != nil {
		return err
	}
	defer q.b.release(l)
	r := new(R)
	if q.dec.plain {
		off := q.dec.off
		q.plan.each(view, func(v *table.Version) bool {
			*r = *(*R)(at(v, off))
			return fn(r)
		})
		return nil
	}
	q.plan.each(view, func(v *table.Version) bool {
		*r = q.dec.make(v)
		return fn(r)
	})
	return nil
}

// all is Seq for a whole bucket, where nothing can fail but the handle.
func (q *Query[R]) all() iter.Seq[R] {
	return func(yield func(R) bool) {
		if q.at != nil {
			q.at.use(q.b.store)
			defer q.at.leave()
		}
		view, l, err := q.open()
		if err != nil {
			return // the bucket was dropped: it has no records
		}
		defer q.b.release(l)
		if q.dec.plain {
			off := q.dec.off
			q.plan.each(view, func(v *table.Version) bool { return yield(*(*R)(at(v, off))) })
			return
		}
		q.plan.each(view, func(v *table.Version) bool { return yield(q.dec.make(v)) })
	}
}

// First returns the first of the records that All returns.
func (q *Query[R]) First() (r R, ok bool, err error) {
	view, l, err := q.open()
	if err != nil {
		return r, false, err
	}
	defer q.b.release(l)
	q.plan.each(view, func(v *table.Version) bool {
		r, ok = q.dec.make(v), true
		return false
	})
	return r, ok, nil
}

// Count returns the number of matching records: from a counter where there is
// no filter, or one index answers it and the state is the newest.
func (q *Query[R]) Count() (int, error) {
	view, l, err := q.open()
	if err != nil {
		return 0, err
	}
	defer q.b.release(l)
	return q.plan.count(view), nil
}

// count is Query.Count without making a query.
func (b *bucket) count(at *Snapshot, filters []Filter) (int, error) {
	var p plan
	if err := b.compile(&p, filters); err != nil {
		return 0, err
	}
	view, l, err := b.begin(at)
	if err != nil {
		return 0, err
	}
	defer b.release(l)
	return p.count(view), nil
}

// some returns the first or the last n records of the bucket, in its order.
func (q *Query[R]) some(n int, last bool) ([]R, error) {
	if n < 0 {
		return nil, q.b.fail("query", Key{}, fmt.Errorf("a negative number of records: %d", n))
	}
	view, l, err := q.open()
	if err != nil || n == 0 {
		return nil, err
	}
	defer q.b.release(l)
	out := make([]R, 0, min(n, q.plan.hint(view)))
	take := func(v *table.Version) bool {
		out = append(out, q.dec.make(v))
		return len(out) < n
	}
	if last {
		q.plan.back(view, take)
		slices.Reverse(out)
	} else {
		q.plan.each(view, take)
	}
	return out, nil
}
