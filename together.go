package store

import (
	"context"
	"errors"
	"iter"
	"strconv"
)

// Member is a [Subscription] of any type, as Together takes it.
type Member interface {
	subscriber() *subscriber
}

func (s *Subscription[R]) subscriber() *subscriber { return s.s }

// Joint brings the values of several live queries together: each event has all of
// them, at one commit. Otherwise it is as a [Subscription].
type Joint struct {
	s     *subscriber
	nodes []*node
}

// JointEvent is the values of several live queries at one commit; see
// [Subscription.At].
type JointEvent struct {
	Seq     Seq
	results []jointResult
	nodes   []*node
}

type jointResult struct {
	value any
	err   error
}

// Together delivers the values of several subscriptions at one commit: first the
// current ones, then all of them whenever one has become another. The
// subscriptions go on by themselves, and may be closed. Errors: those of
// [ReactiveQuery.Subscribe].
func Together(ctx context.Context, subs ...Member) (*Joint, error) {
	if len(subs) == 0 {
		return nil, &Error{Op: "subscribe", Err: errors.New("there is nothing to bring together")}
	}
	j := &Joint{}
	r := subs[0].subscriber().n.r
	for _, m := range subs {
		n := m.subscriber().n
		if n.r != r {
			return nil, &Error{Op: "subscribe", Err: errOtherStore}
		}
		j.nodes = append(j.nodes, n)
	}
	def := &queryDef{name: "together", source: called(func(q *QueryCtx, _ any) (any, error) {
		out := make([]jointResult, len(j.nodes))
		for i, n := range j.nodes {
			o := r.ask(q, n.def, n.params, n.key)
			out[i] = jointResult{o.value, o.err}
		}
		return out, nil
	})}
	// A name in it would make it the key of a query: names are not empty.
	key := "\x00" + strconv.FormatInt(r.joints.Add(1), 10)
	s, err := r.subscribe(ctx, def, nil, key, nil)
	if err != nil {
		return nil, &Error{Op: "subscribe", Err: err}
	}
	j.s = s
	return j, nil
}

// Next waits for the next event. Errors: as [Subscription.Next].
func (j *Joint) Next(ctx context.Context) (JointEvent, error) {
	o, err := j.s.next(ctx)
	if err != nil {
		return JointEvent{}, err
	}
	results, _ := o.value.([]jointResult)
	return JointEvent{Seq(o.seq), results, j.nodes}, nil
}

// Events iterates over the events until the subscription ends.
func (j *Joint) Events() iter.Seq[JointEvent] {
	return func(yield func(JointEvent) bool) {
		for {
			ev, err := j.Next(context.Background())
			if err != nil || !yield(ev) {
				return
			}
		}
	}
}

// Close ends the subscription. It is idempotent.
func (j *Joint) Close() { j.s.stop(ErrUnsubscribed) }

// At returns the subscription's own value in an event of several. It panics if
// the subscription is none of them.
func (s *Subscription[R]) At(ev JointEvent) QueryEvent[R] {
	for i, n := range ev.nodes {
		if n == s.s.n {
			v, _ := ev.results[i].value.(R)
			return QueryEvent[R]{v, ev.Seq, ev.results[i].err}
		}
	}
	panic("store: a Subscription that is not in this JointEvent")
}
