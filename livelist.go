package store

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// LiveList is the list of records that a query has, kept up to date. It brings the
// current list first, as a Reset, and then what each commit has changed of it: see
// [Delta]. Replaying the deltas with [Delta.Apply] gives the list of [Query.All] at the
// commit that each names; sequences only rise, a commit (or a transaction) is in one
// delta, and what changes nothing that the list shows brings none.
//
// The store maintains the list: no function is called for it. A change costs
// O(log n) where it concerns the list, and nothing where it does not; equal queries
// share one list, however many subscribe.
//
// A subscriber holds no queue, only the state that it was told of last. Who is
// slow delays nobody, and what it has missed comes as one delta from there to the
// newest state, composed of all that happened in between: a record that came and
// went is not in it. Where such a delta would have more changes than the list has
// records (and more than 16), the list itself is smaller, and comes as a Reset; so it
// does where the subscriber is further behind than that allows for (the length of the
// list and 1,024 changes), since the store then lets go of the state from which the
// delta would begin: that bounds the memory that slow subscribers cost.
//
// Its methods may be called from any goroutine. It ends with its context, with
// Close, with the bucket, with an alteration after which the query asks for a field
// that is no more, or with the store.
type LiveList[R any] struct {
	s *subscriber
	q *Query[R]

	turn sync.Mutex // of those who wait for the next delta; protects what follows
	at   *listState // that was told of last; nil: none yet
	left bool       // it has ended, and at was let go
	view listView[R]
}

// listView shows the versions of a bucket to a subscriber.
type listView[R any] struct {
	b   *bucket
	dec *decoder[R]
}

// Live keeps the query's list up to date until ctx ends or the list is closed. The
// query must be one of a handle to the store itself. Errors: those of the query,
// ErrBucketNotDefined, ErrClosed, the context's.
func (q *Query[R]) Live(ctx context.Context) (*LiveList[R], error) {
	if q.at != nil {
		return nil, &QueryError{Bucket: q.b.name, Message: "a list is live in the store itself, not in a snapshot, a transaction or a query function"}
	}
	q, x, err := q.start(nil)
	if err != nil {
		return nil, err
	}
	x.end()
	r := q.b.store.live
	l := newList(q.b, q.spec)
	s, err := r.subscribe(ctx, l.def, l, r.listKey(q.b, &q.spec), nil)
	if err != nil {
		return nil, q.b.fail("live list", Key{}, err)
	}
	if o := s.n.latest.Load(); o.err != nil { // the bucket was dropped, or altered, meanwhile
		s.stop(ErrUnsubscribed)
		return nil, q.b.fail("live list", Key{}, errors.Unwrap(o.err))
	}
	return &LiveList[R]{s: s, q: q}, nil
}

// Next waits for the next delta. Errors: the context's; and, when the list has
// ended, why: ErrUnsubscribed, ErrBucketNotDefined, *QueryError, the error of its own
// context, or, after the last delta, ErrClosed.
func (l *LiveList[R]) Next(ctx context.Context) (Delta[R], error) {
	for b := l.s.bell.Load(); ; b = l.s.await() {
		why := l.s.ended.Load()
		if why != nil && *why != ErrClosed {
			return Delta[R]{}, l.leave(*why)
		}
		if d, ok := l.take(); ok {
			return d, nil
		}
		switch {
		case why != nil:
			return Delta[R]{}, l.leave(*why)
		case b == nil: // look once more when the bell is there
			continue
		}
		select {
		case <-b.news:
		case <-ctx.Done():
			return Delta[R]{}, ctx.Err()
		case <-b.over:
		}
	}
}

// Deltas iterates over the deltas until the list ends; Err then says why.
func (l *LiveList[R]) Deltas() iter.Seq[Delta[R]] {
	return func(yield func(Delta[R]) bool) {
		for {
			d, err := l.Next(context.Background())
			if err != nil || !yield(d) {
				return
			}
		}
	}
}

// All returns the newest list that is known, whether its delta has come or not, and
// the commit at which it became so.
func (l *LiveList[R]) All() ([]R, Seq) {
	s, win := l.s.n.list.newest()
	l.turn.Lock()
	dec := l.decoder(s.b)
	l.turn.Unlock()
	return dec.add([]R{}, s.all(win)), Seq(s.seq)
}

// Err returns why the list has ended, nil as long as it has not; see Next.
func (l *LiveList[R]) Err() error {
	if why := l.s.ended.Load(); why != nil {
		return *why
	}
	return nil
}

// Close ends the list. It is idempotent.
func (l *LiveList[R]) Close() {
	l.s.stop(ErrUnsubscribed)
	_ = l.leave(nil)
}

// leave lets go of the state that the subscriber was told of.
func (l *LiveList[R]) leave(why error) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	l.s.n.list.leave(l.at)
	l.at, l.left = nil, true
	return why
}

// take returns the delta to the newest state, if there is any.
func (l *LiveList[R]) take() (Delta[R], bool) {
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.left {
		return Delta[R]{}, false
	}
	st := l.s.n.list.step(l.at)
	from := l.at
	if l.at = st.to; st.to == from {
		return Delta[R]{}, false
	}
	dec := l.decoder(st.to.b)
	if from != nil && st.intact && from.b == st.to.b {
		if diff, ok := st.to.diff(st.was, st.is); ok {
			return deltaOf(diff, st.to, dec), !diff.empty()
		}
	}
	return resetOf(dec.add(nil, st.to.all(st.is)), st.to), true
}

// decoder returns what makes results of a bucket's versions, under turn.
func (l *LiveList[R]) decoder(b *bucket) *decoder[R] {
	if l.view.b == b {
		return l.view.dec
	}
	q := l.q
	if q.b != b {
		q = q.over(b)
	}
	dec := q.dec
	if q.spec.selecting {
		if sel, err := b.shape.selection(q.spec.fields); err == nil { // the list could not be made with another
			shown := q.dec.project(sel)
			dec = &shown
		}
	}
	l.view = listView[R]{b, dec}
	return dec
}
