package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/noex-go/store"
)

// A Cursor is text: it can travel in a URL and come back. One of another query is
// refused.
func ExampleCursor() {
	s := open(store.Options{})
	defer s.Close(ctx)
	byHours := tasks(s).OrderBy(store.Desc("hours"))

	page, err := byHours.Page(3, "")
	check(err)
	link := url.Values{"after": {string(page.Next)}}.Encode()

	asked, err := url.ParseQuery(link) // of the next request
	check(err)
	page, err = byHours.Page(3, store.Cursor(asked.Get("after")))
	check(err)
	fmt.Println(titles(page.Records), page.HasMore, page.Next == "")

	_, err = byHours.Page(3, "made up")
	fmt.Println(errors.Is(err, store.ErrCursor))

	// Output:
	// [Buy coffee] false true
	// true
}

// The records of an Order that are equal in its first field are in that of the next
// one. Those without the field come first, or, descending, last.
func ExampleOrder() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	for _, order := range [][]store.Order{
		{store.Asc("owner"), store.Asc("title")},
		{store.Desc("owner"), store.Asc("hours")},
	} {
		list, err := b.OrderBy(order...).All()
		check(err)
		fmt.Println(titles(list))
	}

	// Output:
	// [Fix the login Fix the logout Buy coffee Write the manual]
	// [Buy coffee Write the manual Fix the login Fix the logout]
}

// A Page can be asked for in a loop, whatever happens to the records meanwhile.
func ExamplePage() {
	s := open(store.Options{})
	defer s.Close(ctx)
	q := tasks(s).Where(store.Eq("state", "open")).OrderBy(store.Asc("hours"))

	var page store.Page[Task]
	for more := true; more; more = page.HasMore {
		var err error
		page, err = q.Page(2, page.Next)
		check(err)
		fmt.Println(titles(page.Records))
	}

	// Output:
	// [Buy coffee Fix the login]
	// [Write the manual]
}

// PageOptions go on behind a record, or behind an earlier page.
func ExamplePageOptions() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	page, err := b.Paginate(store.PageOptions{Limit: 2})
	check(err)
	fmt.Println(titles(page.Records))
	check(b.Delete(ctx, page.Records[1].ID)) // where it ended

	page, err = b.Paginate(store.PageOptions{Limit: 2, After: page.Next})
	check(err)
	fmt.Println(titles(page.Records))
	page, err = b.Paginate(store.PageOptions{Limit: 2, After: 3}) // a key
	check(err)
	fmt.Println(titles(page.Records))

	// Output:
	// [Write the manual Fix the login]
	// [Fix the logout Buy coffee]
	// [Buy coffee]
}

// A test can hold a query to its index.
func ExampleExplanation() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	for i := range 100 {
		_, err := b.Insert(ctx, Task{Title: fmt.Sprint("Task ", i), Hours: float64(i)})
		check(err)
	}

	for _, f := range []store.Filter{
		store.Eq("state", "done"),
		store.Between("hours", 1, 5),
		store.HasSuffix("title", "manual"), // no index has it
	} {
		e, err := b.Where(f).Explain()
		check(err)
		fmt.Println(e.Path, e.Index, e.Filters, e.TouchedRows, e.Returned)
	}

	// Output:
	// index [state] [] 1 1
	// index [hours] [] 7 7
	// scan [] [title ends with "manual"] 104 1
}

// One Grouping can be asked for several things.
func ExampleGrouping() {
	s := open(store.Options{})
	defer s.Close(ctx)

	byOwner := tasks(s).Where(store.Eq("state", "open")).GroupBy("owner")
	count, err := byOwner.Count()
	check(err)
	longest, err := byOwner.Max("hours")
	check(err)
	for i, g := range count { // both are in the order of the keys
		fmt.Println(g.Key[0], g.Value, longest[i].Value)
	}

	// Output:
	// <nil> 1 2.5
	// Eve 2 8
}

// A Group has the values of all fields that it is a group of.
func ExampleGroup() {
	s := open(store.Options{})
	defer s.Close(ctx)

	groups, err := tasks(s).GroupBy("state", "owner").Sum("hours")
	check(err)
	for _, g := range groups {
		fmt.Println(g.Key, g.Value)
	}
	text, err := json.Marshal(groups[0])
	check(err)
	fmt.Println(string(text))

	// Output:
	// [done <nil>] 2.5
	// [open <nil>] 2.5
	// [open Eve] 8.5
	// {"key":["done",null],"value":2.5}
}

// A QuerySpec is a query without Go code. What no parameter stands in for is checked
// when it is defined.
func ExampleQuerySpec() {
	s := open(store.Options{})
	defer s.Close(ctx)
	tasks(s)

	check(s.DefineSpec("longest", store.QuerySpec{
		Bucket: "tasks",
		Filter: map[string]any{"state": "{{ params.state }}"},
		Sort:   []string{"-hours", "title"},
		Limit:  "{{ params.n }}",
		Fields: []string{"title"},
	}))
	result, err := s.RunQuery(ctx, "longest", map[string]any{"state": "open", "n": 2})
	check(err)
	for _, r := range result.([]store.Record) {
		fmt.Println(r.Key(), r.Map())
	}

	err = s.DefineSpec("wrong", store.QuerySpec{Bucket: "tasks", Sort: []string{"-length"}})
	fmt.Println(err)

	// Output:
	// 1 map[id:1 title:Write the manual]
	// 2 map[id:2 title:Fix the login]
	// store: query on bucket "tasks": field "length" is not in the schema
}

// An Aggregate makes one value of the records of a QuerySpec, or one of each group.
func ExampleAggregate() {
	s := open(store.Options{})
	defer s.Close(ctx)
	tasks(s)

	sum := &store.Aggregate{Op: "sum", Field: "hours"}
	check(s.DefineSpec("hours", store.QuerySpec{Bucket: "tasks", Aggregate: sum}))
	check(s.DefineSpec("hours-by-state", store.QuerySpec{Bucket: "tasks", Aggregate: sum, GroupBy: []string{"state"}}))

	all, err := s.RunQuery(ctx, "hours", nil)
	check(err)
	fmt.Println(all.(float64))
	byState, err := s.RunQuery(ctx, "hours-by-state", nil)
	check(err)
	for _, g := range byState.([]store.Group[float64]) {
		fmt.Println(g.Key[0], g.Value)
	}

	// Output:
	// 13.5
	// done 2.5
	// open 11
}

// taskFields are made once, beside the struct that they belong to.
var taskFields = struct {
	State store.TypedField[Task, string]
	Hours store.TypedField[Task, float64]
}{
	State: store.FieldOf[Task, string]("state"),
	Hours: store.FieldOf[Task, float64]("hours"),
}

// With typed fields, a value of the wrong type does not compile. They go with other
// filters.
func ExampleTypedField() {
	s := open(store.Options{})
	defer s.Close(ctx)

	f := taskFields
	list, err := tasks(s).
		Where(f.State.In("open", "done"), store.Or(f.Hours.Lt(1), store.Contains("tags", "docs"))).
		OrderBy(f.Hours.Desc()).All()
	check(err)
	fmt.Println(f.Hours.Name(), titles(list))

	// Output:
	// hours [Write the manual Buy coffee]
}
