package store_test

import (
	"fmt"

	"github.com/noex-go/store"
)

// A Joint waits for the next event of several queries: their values at one commit.
func ExampleJoint() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	open, err := hoursInState(s, b).Subscribe(ctx, inState{"open"})
	check(err)
	done, err := tasksInState(s, b).Subscribe(ctx, inState{"done"})
	check(err)
	both, err := store.Together(ctx, open, done)
	check(err)
	defer both.Close()

	ev, err := both.Next(ctx) // the current values, at once
	check(err)
	fmt.Println(open.At(ev).Result, titles(done.At(ev).Result))
	_, err = b.Patch(ctx, 1, store.Fields{"state": "done"})
	check(err)
	ev, err = both.Next(ctx)
	check(err)
	fmt.Println(open.At(ev).Result, titles(done.At(ev).Result))

	// Output:
	// 11 [Fix the logout]
	// 3 [Fix the logout Write the manual]
}

// Members are subscriptions, also of different types: as many as there are things to
// be seen at one commit.
func ExampleMember() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	hours := hoursInState(s, b)

	var subs []*store.Subscription[float64]
	var members []store.Member
	for _, state := range []string{"open", "done"} {
		sub, err := hours.Subscribe(ctx, inState{state})
		check(err)
		subs, members = append(subs, sub), append(members, sub)
	}
	all, err := store.Together(ctx, members...)
	check(err)
	defer all.Close()

	ev, err := all.Next(ctx)
	check(err)
	sum := 0.0
	for _, sub := range subs {
		sum += sub.At(ev).Result
	}
	fmt.Println(sum)

	// Output:
	// 13.5
}

// What a JointEvent has is taken from it by each subscription. An error is one of a
// query, not of the event.
func ExampleJointEvent() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	title, err := store.DefineQuery(s, "title", func(q *store.QueryCtx, id int) (string, error) {
		t, ok := b.In(q).Get(id)
		if !ok {
			return "", store.ErrNotFound
		}
		return t.Title, nil
	})
	check(err)
	first, err := title.Subscribe(ctx, 1)
	check(err)
	last, err := title.Subscribe(ctx, 4)
	check(err)
	both, err := store.Together(ctx, first, last)
	check(err)

	for ev := range both.Events() {
		fmt.Println(ev.Seq, first.At(ev).Result, first.At(ev).Err)
		fmt.Println(ev.Seq, last.At(ev).Result, last.At(ev).Err)
		if last.At(ev).Err != nil {
			both.Close()
			continue
		}
		check(b.Delete(ctx, 4))
	}

	// Output:
	// 1 Write the manual <nil>
	// 1 Buy coffee <nil>
	// 2 Write the manual <nil>
	// 2 Buy coffee query "title": record not found
}

// A LiveState shows whether a query is evaluated more often than it need be: here, once
// in vain, since the longest task has stayed the same.
func ExampleLiveState() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	longest, err := store.DefineQuery(s, "longest", func(q *store.QueryCtx, _ struct{}) (string, error) {
		t, _, err := b.In(q).OrderBy(store.Desc("hours")).First()
		return t.Title, err
	})
	check(err)
	state, err := longest.Explain(struct{}{})
	check(err)
	fmt.Println(state.Live)

	sub, err := longest.Subscribe(ctx, struct{}{})
	check(err)
	defer sub.Close()
	_, err = b.Patch(ctx, 1, store.Fields{"hours": 9}) // still the longest
	check(err)
	check(s.Settle(ctx))
	_, err = b.Patch(ctx, 2, store.Fields{"hours": 3}) // was not read
	check(err)
	check(s.Settle(ctx))

	state, err = longest.Explain(struct{}{})
	check(err)
	fmt.Println(state.Query, state.Live, state.Subscribers)
	fmt.Println(state.Evaluations, state.Unchanged, state.Failures)

	// Output:
	// false
	// longest true 1
	// 2 1 0
}
