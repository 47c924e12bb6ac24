package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/noex-go/store"
)

// inState is the parameters of the queries below.
type inState struct{ State string }

// tasksInState defines a query for the tasks in a state, by their hours.
func tasksInState(s *store.Store, b *store.TypedBucket[Task]) *store.ReactiveQuery[inState, []Task] {
	q, err := store.DefineQuery(s, "in-state", func(q *store.QueryCtx, p inState) ([]Task, error) {
		return b.In(q).Where(store.Eq("state", p.State)).OrderBy(store.Asc("hours")).All()
	})
	check(err)
	return q
}

// hoursInState defines a query for the hours of the tasks in a state.
func hoursInState(s *store.Store, b *store.TypedBucket[Task]) *store.ReactiveQuery[inState, float64] {
	q, err := store.DefineQuery(s, "hours", func(q *store.QueryCtx, p inState) (float64, error) {
		return b.In(q).Where(store.Eq("state", p.State)).Sum("hours")
	})
	check(err)
	return q
}

// titles is what the examples print of tasks.
func titles(list []Task) []string {
	var out []string
	for _, t := range list {
		out = append(out, t.Title)
	}
	return out
}

// A query is a function that reads through its QueryCtx. It can be run once, by
// its handle or by its name.
func ExampleDefineQuery() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	type atLeast struct{ Hours float64 }
	long, err := store.DefineQuery(s, "long", func(q *store.QueryCtx, p atLeast) (int, error) {
		return b.In(q).Count(store.Gte("hours", p.Hours))
	})
	check(err)

	n, err := long.Run(ctx, atLeast{2})
	fmt.Println(n, err)
	result, err := s.RunQuery(ctx, "long", atLeast{5})
	fmt.Println(result, err)
	_, err = s.RunQuery(ctx, "long", 5)
	fmt.Println(errors.Is(err, store.ErrQueryType))

	// Output:
	// 3 <nil>
	// 1 <nil>
	// true
}

// The first event is the current result. A write that does not concern the query
// brings none.
func ExampleReactiveQuery_Subscribe() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	sub, err := tasksInState(s, b).Subscribe(ctx, inState{"done"})
	check(err)
	for ev := range sub.Events() {
		check(ev.Err)
		fmt.Println(ev.Seq, titles(ev.Result))
		if len(ev.Result) == 2 {
			sub.Close() // ends the loop
			continue
		}
		_, err := b.Insert(ctx, Task{Title: "Water the plants"}) // open
		check(err)
		_, err = b.Patch(ctx, 4, store.Fields{"state": "done"})
		check(err)
	}

	// Output:
	// 1 [Fix the logout]
	// 3 [Buy coffee Fix the logout]
}

// A subscription holds the newest result. Who is slow misses those in between.
func ExampleSubscription() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	sub, err := hoursInState(s, b).Subscribe(ctx, inState{"open"})
	check(err)
	defer sub.Close()
	for _, hours := range []float64{1, 2, 3} {
		_, err := b.Patch(ctx, 4, store.Fields{"hours": hours})
		check(err)
	}
	check(s.Settle(ctx)) // until the query is evaluated

	ev, err := sub.Next(ctx)
	fmt.Println(ev.Seq, ev.Result, err)
	fmt.Println(sub.Current().Result)

	// Output:
	// 4 13.5 <nil>
	// 13.5
}

// A failure of the function is an event, with the last good result. The
// subscription goes on.
func ExampleQueryEvent() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	owner, err := store.DefineQuery(s, "owner", func(q *store.QueryCtx, id int) (string, error) {
		t, ok := b.In(q).Get(id)
		if !ok || t.Owner == nil {
			return "", errors.New("the task has no owner")
		}
		return *t.Owner, nil
	})
	check(err)
	sub, err := owner.Subscribe(ctx, 1)
	check(err)
	defer sub.Close()

	for _, next := range []any{nil, "Ada"} {
		ev, err := sub.Next(ctx)
		check(err)
		fmt.Println(ev.Seq, ev.Result, ev.Err)
		_, err = b.Patch(ctx, 1, store.Fields{"owner": next})
		check(err)
	}
	ev, err := sub.Next(ctx)
	check(err)
	fmt.Println(ev.Seq, ev.Result, ev.Err)

	// Output:
	// 1 Eve <nil>
	// 2 Eve query "owner": the task has no owner
	// 3 Ada <nil>
}

// OnChange calls a function with each later result. It may write to the store:
// Settle waits for what follows from that too.
func ExampleReactiveQuery_OnChange() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	stop, err := hoursInState(s, b).OnChange(ctx, inState{"open"}, func(hours float64) {
		fmt.Println(hours, "hours are open")
		if hours > 15 {
			_, err := b.Patch(ctx, 1, store.Fields{"state": "done"})
			check(err)
		}
	})
	check(err)
	defer stop()

	_, err = b.Insert(ctx, Task{Title: "Paint the fence", Hours: 6})
	check(err)
	check(s.Settle(ctx))

	// Output:
	// 17 hours are open
	// 9 hours are open
}

// What another query says is one value: the function that asks for it is called
// again only if that is another one.
func ExampleReactiveQuery_RunIn() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	hours := hoursInState(s, b)

	busy, err := store.DefineQuery(s, "busy", func(q *store.QueryCtx, limit float64) (bool, error) {
		open, err := hours.RunIn(q, inState{"open"})
		return open > limit, err
	})
	check(err)
	sub, err := busy.Subscribe(ctx, 10)
	check(err)
	defer sub.Close()

	snap := s.Snapshot()
	defer snap.Close()
	for _, change := range []store.Fields{{"title": "Write a manual"}, {"hours": 9}, {"hours": 2}} {
		_, err := b.Patch(ctx, 1, change)
		check(err)
		check(s.Settle(ctx))
		state, err := busy.Explain(10)
		check(err)
		fmt.Println(sub.Current().Result, state.Evaluations)
	}
	then, err := busy.RunIn(snap, 10) // a snapshot or a transaction can be asked too
	fmt.Println(then, err)

	// Output:
	// true 1
	// true 2
	// false 3
	// true <nil>
}

// Now makes a query live in time: here, it is evaluated again every hour.
func ExampleQueryCtx_Now() {
	var now atomic.Int64 // in hours
	start := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	s := open(store.Options{Clock: func() time.Time { return start.Add(time.Duration(now.Load()) * time.Hour) }})
	defer s.Close(ctx)

	type Reminder struct {
		Text string    `store:"text,key"`
		At   time.Time `store:"at,index"`
	}
	reminders, err := store.Define[Reminder](ctx, s, "reminders")
	check(err)
	_, err = reminders.InsertMany(ctx, []Reminder{{"stand-up", start}, {"lunch", start.Add(3 * time.Hour)}})
	check(err)
	due, err := store.DefineQuery(s, "due", func(q *store.QueryCtx, _ struct{}) (int, error) {
		return reminders.In(q).Count(store.Lte("at", q.Now(time.Hour)))
	})
	check(err)
	sub, err := due.Subscribe(ctx, struct{}{})
	check(err)
	defer sub.Close()

	for _, hour := range []int64{0, 2, 3} {
		now.Store(hour)
		check(s.Settle(ctx)) // looks at the clock, which is set by hand here
		fmt.Println(hour, sub.Current().Result)
	}

	// Output:
	// 0 1
	// 2 1
	// 3 2
}

// Each event of Together has the results of all its queries at one commit.
func ExampleTogether() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	hours := hoursInState(s, b)

	open, err := hours.Subscribe(ctx, inState{"open"})
	check(err)
	done, err := tasksInState(s, b).Subscribe(ctx, inState{"done"})
	check(err)
	both, err := store.Together(ctx, open, done)
	check(err)

	for ev := range both.Events() {
		fmt.Println(ev.Seq, open.At(ev).Result, titles(done.At(ev).Result))
		if ev.Seq == 2 {
			break
		}
		_, err := b.Patch(ctx, 2, store.Fields{"state": "done"})
		check(err)
	}
	both.Close()

	// Output:
	// 1 11 [Fix the logout]
	// 2 8.5 [Fix the login Fix the logout]
}

// A query that is data can be live too. Its result is what RunQuery returns.
func ExampleStore_Subscribe() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	check(s.DefineSpec("open-tasks", store.QuerySpec{
		Bucket: "tasks",
		Filter: map[string]any{"state": "open", "hours": map[string]any{"$gte": "{{ params.least }}"}},
		Sort:   []string{"hours"},
		Limit:  1,
	}))

	stop, err := s.Subscribe(ctx, "open-tasks", map[string]any{"least": 1}, func(result any) {
		for _, r := range result.([]store.Record) {
			fmt.Println(r.Get("title"), r.Get("hours"))
		}
	})
	check(err)
	defer stop()

	_, err = b.Insert(ctx, Task{Title: "Call the bank", Hours: 1})
	check(err)
	_, err = b.Insert(ctx, Task{Title: "Move house", Hours: 40}) // not the first one
	check(err)
	check(s.Settle(ctx))

	// Output:
	// Call the bank 1
}

// Explain says what a live query depends on, and how often it was evaluated. Its
// form may change.
func ExampleReactiveQuery_Explain() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	hours := hoursInState(s, b)
	sub, err := hours.Subscribe(ctx, inState{"open"})
	check(err)
	defer sub.Close()

	_, err = b.Patch(ctx, 3, store.Fields{"hours": 4}) // done
	check(err)
	_, err = b.Patch(ctx, 1, store.Fields{"title": "Write a manual"})
	check(err)
	_, err = b.Patch(ctx, 1, store.Fields{"hours": 5})
	check(err)
	check(s.Settle(ctx))

	state, err := hours.Explain(inState{"open"})
	check(err)
	fmt.Println(state.Evaluations, state.Subscribers, state.Pending)
	fmt.Println(state.Reads)

	// Output:
	// 2 1 false
	// [a value of bucket "tasks": records with state = "open"; fields hours]
}
