package store_test

import (
	"fmt"

	"github.com/noex-go/store"
)

// A live list begins with what there is, and then brings what each commit has changed
// of it. Apply replays that.
func ExampleLiveList() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	live, err := b.Where(store.Eq("state", "open")).OrderBy(store.Desc("hours")).Limit(2).Live(ctx)
	check(err)
	go func() {
		_, err := b.Insert(ctx, Task{Title: "Move house", Hours: 90})
		check(err)
	}()
	var list []Task
	for d := range live.Deltas() {
		list = d.Apply(list)
		fmt.Println(d.Reset, len(d.Added), len(d.Removed), titles(list))
		if !d.Reset {
			live.Close()
		}
	}
	fmt.Println(live.Err())
	// Output:
	// true 2 0 [Write the manual Fix the login]
	// false 1 1 [Move house Write the manual]
	// subscription is closed
}

// A record that passes others has moved; one that stays between its neighbours was
// updated. Positions are those of the old list and of the new one.
func ExampleDelta() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	live, err := b.OrderBy(store.Asc("hours")).Live(ctx)
	check(err)
	defer live.Close()
	first, err := live.Next(ctx)
	check(err)
	list := first.Apply(nil)
	fmt.Println(titles(list))

	_, err = b.Update(ctx, list[0].ID, func(t *Task) error { t.Hours = 100; return nil })
	check(err)
	d, err := live.Next(ctx)
	check(err)
	for _, m := range d.Moved {
		fmt.Println(m.Record.Title, "from", m.From, "to", m.To)
	}
	_, err = b.Update(ctx, list[0].ID, func(t *Task) error { t.Title += "!"; return nil })
	check(err)
	d, err = live.Next(ctx)
	check(err)
	for _, u := range d.Updated {
		fmt.Println(u.Record.Title, "at", u.Index)
	}
	// Output:
	// [Buy coffee Fix the login Fix the logout Write the manual]
	// Buy coffee from 0 to 3
	// Buy coffee! at 3
}

// Placed is a record and where it is in the list; of what was removed, where it was.
func ExamplePlaced() {
	d := store.Delta[string]{
		Removed: []store.Placed[string]{{Index: 0, Record: "a"}},
		Added:   []store.Placed[string]{{Index: 1, Record: "c"}, {Index: 3, Record: "e"}},
	}
	fmt.Println(d.Apply([]string{"a", "b", "d"}))
	// Output: [b c d e]
}

// Move takes a record out of one place and puts it into another one.
func ExampleMove() {
	d := store.Delta[string]{Moved: []store.Move[string]{{From: 2, To: 0, Record: "C"}}}
	fmt.Println(d.Apply([]string{"a", "b", "c"}))
	// Output: [C a b]
}
