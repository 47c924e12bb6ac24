package store

import (
	"fmt"
	"iter"
	"slices"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// Query is a question to a bucket: filters, and the handle's state to read. It
// is immutable; each method that answers reads one committed state, at the time
// of the call or that of the handle's snapshot. It is safe for concurrent use.
type Query[R any] struct {
	b       *bucket
	at      *Snapshot
	decode  func(*table.Version) R
	filters []Filter
}

// open compiles the query and pins the state that it reads.
func (q *Query[R]) open() (plan, table.View, table.Pin, error) {
	p, err := q.b.compile(q.filters)
	if err != nil {
		return p, table.View{}, table.Pin{}, err
	}
	var pin table.Pin
	if q.at == nil {
		pin = q.b.store.pins.Acquire()
	} else {
		if q.at.closed.Load() {
			return p, table.View{}, pin, q.b.fail("query", Key{}, ErrSnapshotClosed)
		}
		pin = q.b.store.pins.Hold(q.at.pin) // the snapshot may be closed meanwhile
	}
	return p, q.b.table.At(pin.Seq), pin, nil
}

// Where returns the query narrowed by further filters.
func (q *Query[R]) Where(filters ...Filter) *Query[R] {
	n := *q
	n.filters = slices.Concat(q.filters, filters)
	return &n
}

// All returns the matching records in the bucket's order.
func (q *Query[R]) All() ([]R, error) {
	p, view, pin, err := q.open()
	if err != nil {
		return nil, err
	}
	defer q.b.release(pin)
	var out []R
	if len(p.conds) == 0 && (p.access == accessAll || p.access == accessIndex) {
		out = make([]R, 0, p.count(view))
	}
	p.each(view, func(v *table.Version) bool {
		out = append(out, q.decode(v))
		return true
	})
	return out, nil
}

// Seq iterates over the matching records in the bucket's order, without making
// a list of them. An error is the only pair that comes.
func (q *Query[R]) Seq() iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		p, view, pin, err := q.open()
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		defer q.b.release(pin)
		p.each(view, func(v *table.Version) bool { return yield(q.decode(v), nil) })
	}
}

// seq is Seq where nothing can fail but the handle: no filter, no error.
func (q *Query[R]) seq() iter.Seq[R] {
	return func(yield func(R) bool) {
		if q.at != nil {
			q.at.use()
		}
		p, view, pin, err := q.open()
		if err != nil {
			return // the bucket was dropped: it has no records
		}
		defer q.b.release(pin)
		p.each(view, func(v *table.Version) bool { return yield(q.decode(v)) })
	}
}

// First returns the first matching record.
func (q *Query[R]) First() (r R, ok bool, err error) {
	p, view, pin, err := q.open()
	if err != nil {
		return r, false, err
	}
	defer q.b.release(pin)
	p.each(view, func(v *table.Version) bool {
		r, ok = q.decode(v), true
		return false
	})
	return r, ok, nil
}

// Count returns the number of matching records: from a counter where there is
// no filter, or one index answers it and the state is the newest.
func (q *Query[R]) Count() (int, error) {
	p, view, pin, err := q.open()
	if err != nil {
		return 0, err
	}
	defer q.b.release(pin)
	return p.count(view), nil
}

// head returns the first n records of the bucket.
func (q *Query[R]) head(n int) ([]R, error) {
	return q.some(n, func(p *plan, view table.View, yield func(*table.Version) bool) { p.each(view, yield) })
}

// tail returns the last n records of the bucket, in its order.
func (q *Query[R]) tail(n int) ([]R, error) {
	out, err := q.some(n, func(p *plan, view table.View, yield func(*table.Version) bool) { p.back(view, yield) })
	slices.Reverse(out)
	return out, err
}

func (q *Query[R]) some(n int, walk func(*plan, table.View, func(*table.Version) bool)) ([]R, error) {
	if n < 0 {
		return nil, q.b.fail("query", Key{}, fmt.Errorf("a negative number of records: %d", n))
	}
	p, view, pin, err := q.open()
	if err != nil {
		return nil, err
	}
	defer q.b.release(pin)
	if n == 0 {
		return nil, nil
	}
	out := make([]R, 0, min(n, p.count(view)))
	walk(&p, view, func(v *table.Version) bool {
		out = append(out, q.decode(v))
		return len(out) < n
	})
	return out, nil
}

// prefixEnd is the first key after all those that start with k.
func prefixEnd(k table.Key) *table.Key {
	end := keyenc.Successor(bytesOf(k.Text))
	if end == nil {
		return nil
	}
	return &table.Key{Text: string(end)}
}
