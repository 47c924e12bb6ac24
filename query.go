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

// pinFor pins the state that a handle reads.
func (b *bucket) pinFor(at *Snapshot) (table.View, table.Pin, error) {
	var pin table.Pin
	switch {
	case b.dropped.Load():
		return table.View{}, pin, b.fail("query", Key{}, ErrBucketNotDefined)
	case at == nil:
		pin = b.store.pins.Acquire()
	case at.closed.Load():
		return table.View{}, pin, b.fail("query", Key{}, ErrSnapshotClosed)
	case at.store != b.store:
		return table.View{}, pin, b.fail("query", Key{}, errOtherStore)
	default:
		pin = b.store.pins.Hold(at.pin) // the snapshot may be closed meanwhile
	}
	return b.table.At(pin.Seq), pin, nil
}

func (q *Query[R]) open() (table.View, table.Pin, error) {
	if q.err != nil {
		return table.View{}, table.Pin{}, q.err
	}
	return q.b.pinFor(q.at)
}

// Where returns the query narrowed by further filters.
func (q *Query[R]) Where(filters ...Filter) *Query[R] {
	return newQuery(q.b, q.at, q.dec, slices.Concat(q.filters, filters))
}

// All returns the matching records in the bucket's order: of insertion, or of
// keys if the bucket is defined so.
func (q *Query[R]) All() ([]R, error) {
	view, pin, err := q.open()
	if err != nil {
		return nil, err
	}
	defer q.b.release(pin)
	var out []R
	if q.plan.n == 0 && (q.plan.access == accessAll || q.plan.access == accessIndex) {
		out = make([]R, 0, q.plan.count(view))
	}
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
		view, pin, err := q.open()
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		defer q.b.release(pin)
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
	view, pin, err := q.open()
	if err != nil {
		return err
	}
	defer q.b.release(pin)
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
		}
		view, pin, err := q.open()
		if err != nil {
			return // the bucket was dropped: it has no records
		}
		defer q.b.release(pin)
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
	view, pin, err := q.open()
	if err != nil {
		return r, false, err
	}
	defer q.b.release(pin)
	q.plan.each(view, func(v *table.Version) bool {
		r, ok = q.dec.make(v), true
		return false
	})
	return r, ok, nil
}

// Count returns the number of matching records: from a counter where there is
// no filter, or one index answers it and the state is the newest.
func (q *Query[R]) Count() (int, error) {
	view, pin, err := q.open()
	if err != nil {
		return 0, err
	}
	defer q.b.release(pin)
	return q.plan.count(view), nil
}

// count is Query.Count without making a query.
func (b *bucket) count(at *Snapshot, filters []Filter) (int, error) {
	var p plan
	if err := b.compile(&p, filters); err != nil {
		return 0, err
	}
	view, pin, err := b.pinFor(at)
	if err != nil {
		return 0, err
	}
	defer b.release(pin)
	return p.count(view), nil
}

// some returns the first or the last n records of the bucket, in its order.
func (q *Query[R]) some(n int, last bool) ([]R, error) {
	if n < 0 {
		return nil, q.b.fail("query", Key{}, fmt.Errorf("a negative number of records: %d", n))
	}
	view, pin, err := q.open()
	if err != nil || n == 0 {
		return nil, err
	}
	defer q.b.release(pin)
	out := make([]R, 0, min(n, q.plan.count(view)))
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
