// Command quickstart uses every part of the store once and prints what happens:
//
//	go run ./examples/quickstart
//
// The people of people.json, good records and bad ones, go into a bucket that
// is defined at run time; their tasks into one that is defined by a struct. The
// output is the same in every run: time stands still unless the program moves
// it, and generated ids are not printed.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/noex-go/store"
)

//go:embed people.json
var peopleJSON []byte

// Task is a record of the bucket "tasks", which its tags define.
type Task struct {
	ID         int    `store:"id,key,generated=autoincrement"`
	Title      string `store:"title,required,maxLength=60"`
	Owner      string `store:"owner,required,format=email,index"`
	Priority   int    `store:"priority,min=1,max=5,default=3"`
	Done       bool   `store:"done,index"`
	store.Meta        // Version, CreatedAt, UpdatedAt: filled in by the store
}

// Person is a typed view of the bucket "people", which has no struct of its own.
// It may leave out what an insert does not need.
type Person struct {
	ID    string `store:"id"`
	Name  string `store:"name"`
	Email string `store:"email"`
	Team  string `store:"team"`
	Role  string `store:"role"`
	Age   int    `store:"age"`
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// demo is the state of one run.
type demo struct {
	ctx    context.Context
	out    io.Writer
	now    time.Time // what the store's clock says
	s      *store.Store
	people *store.Bucket            // schema at run time, records are store.Record
	tasks  *store.TypedBucket[Task] // schema from tags, records are Task
}

func run(ctx context.Context, out io.Writer) (err error) {
	d := &demo{ctx: ctx, out: out, now: time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)}
	d.s, err = store.Open(ctx, store.Options{Name: "quickstart", Clock: func() time.Time { return d.now }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.s.Close(ctx)) }()

	// The handler runs on a goroutine of its own. It only takes notes here;
	// Settle waits until it has heard of every commit.
	var heard []string
	stop, err := d.s.On("bucket.*.*", func(e store.Event) { heard = append(heard, describe(e)) })
	if err != nil {
		return err
	}
	defer stop()

	for _, step := range []func() error{d.define, d.load, d.lookUp, d.query, d.write, d.transact, d.views, d.snapshot, d.live, d.follow} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := d.s.Settle(ctx); err != nil {
		return err
	}
	d.title("events: what a subscriber of bucket.*.* heard")
	for _, line := range heard {
		d.print("%s", line)
	}
	d.stats()
	return nil
}

func (d *demo) title(text string) { fmt.Fprintf(d.out, "\n%s\n", text) }

func (d *demo) print(format string, args ...any) { fmt.Fprintf(d.out, "  "+format+"\n", args...) }

func (d *demo) issues(issues []store.Issue) {
	for _, is := range issues {
		d.print("     %-9s %-8s %s", is.Code, is.Field, is.Message)
	}
}

// define makes two buckets, and fails to make a third.
func (d *demo) define() (err error) {
	d.title("define: one bucket at run time, one by a struct")
	d.people, err = d.s.DefineBucket(d.ctx, "people", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id":     {Type: store.String, Generated: store.UUID},
			"name":   {Type: store.String, Required: true, MinLength: 1},
			"email":  {Type: store.String, Required: true, Format: store.Email, Unique: true},
			"team":   {Type: store.String, Required: true},
			"role":   {Type: store.String, Enum: []any{"admin", "user"}, Default: "user"},
			"age":    {Type: store.Int, Min: store.Bound(0)},
			"skills": {Type: store.Array, Default: []any{}},
		},
		Indexes: []store.Index{{"role"}, {"team", "age"}},
	})
	if err != nil {
		return err
	}
	d.tasks, err = store.Define[Task](d.ctx, d.s, "tasks")
	if err != nil {
		return err
	}
	for _, name := range d.s.Stats().Buckets.Names {
		def, err := d.s.Definition(name)
		if err != nil {
			return err
		}
		d.print("%s: %d fields, key %s, indexes %v", name, len(def.Schema), def.Key, def.Indexes)
	}

	// A definition is refused with everything that is wrong with it.
	_, err = d.s.DefineBucket(d.ctx, "notes", store.Definition{
		Key:     "id",
		Schema:  store.Schema{"id": {Type: store.Int, Pattern: "^[0-9]+$"}, "text": {Type: store.String}},
		Indexes: []store.Index{{"author"}},
	})
	var wrong *store.DefinitionError
	if !errors.As(err, &wrong) {
		return fmt.Errorf("expected a DefinitionError, got %w", err)
	}
	d.print("notes: refused")
	d.issues(wrong.Issues)
	return nil
}

// load inserts the people one by one and says what is wrong with the bad ones.
func (d *demo) load() error {
	d.title("insert: the nine records of people.json")
	var people []store.Fields
	if err := json.Unmarshal(peopleJSON, &people); err != nil {
		return err
	}
	for i, fields := range people {
		r, err := d.people.Insert(d.ctx, fields)
		var invalid *store.ValidationError
		var taken *store.UniqueError
		switch {
		case err == nil:
			d.print("%d. %s: role %s, version %d", i+1, r.Get("name"), r.Get("role"), r.Version())
		case errors.As(err, &invalid):
			d.print("%d. refused, %d issues", i+1, len(invalid.Issues))
			d.issues(invalid.Issues)
		case errors.As(err, &taken):
			d.print("%d. refused, another record has this %s", i+1, taken.Field)
		default:
			return err
		}
	}
	return nil
}

// lookUp reads through indexes.
func (d *demo) lookUp() error {
	d.title("look up: by an index, a compound index, a unique field")
	admins, err := d.people.Where(store.Eq("role", "admin")).All()
	if err != nil {
		return err
	}
	for _, r := range admins {
		d.print("admin: %s <%s>", r.Get("name"), r.Get("email"))
	}
	n, err := d.people.Count(store.Eq("team", "research"), store.Eq("age", 34))
	if err != nil {
		return err
	}
	d.print("%d in research are 34", n)
	r, ok, err := d.people.FindOne(store.Eq("email", "emeka.okafor@example.net"))
	if err != nil || !ok {
		return errors.Join(err, errors.New("no such person"))
	}
	d.print("%s knows %v", r.Get("name"), r.Get("skills"))

	// What the schema cannot answer is an error, never an empty answer.
	_, err = d.people.Count(store.Eq("rank", "admin"))
	d.print("error: %v", err)
	return nil
}

// query asks for an order, a page, a sum, groups, and how it was answered.
func (d *demo) query() error {
	d.title("query: filters, order, pages, aggregates, and the plan")
	adults := d.people.Where(store.Or(store.Gte("age", 35), store.In("team", "research"))).OrderBy(store.Desc("age"))
	for cursor, n := store.Cursor(""), 1; ; n++ {
		page, err := adults.Page(2, cursor)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			d.print("page %d: %s, %d", n, r.Get("name"), r.Get("age"))
		}
		if cursor = page.Next; !page.HasMore {
			break
		}
	}
	groups, err := d.people.GroupBy("team").Avg("age")
	if err != nil {
		return err
	}
	for _, g := range groups {
		d.print("mean age in %v: %.1f", g.Key[0], g.Value)
	}
	filter, err := store.ParseFilter(map[string]any{"team": "research", "age": map[string]any{"$lt": 40}})
	if err != nil {
		return err
	}
	how, err := d.people.Where(filter).OrderBy(store.Asc("age")).Explain()
	if err != nil {
		return err
	}
	d.print("research below 40: %s %v, order by %s, %d rows touched", how.Path, how.Index, how.Order, how.TouchedRows)
	return nil
}

// write inserts several records in one commit and changes them.
func (d *demo) write() error {
	d.title("write: all or none, read-modify-write, many at once")
	const owner = "chiara.ferrari@example.org"
	tasks, err := d.tasks.InsertMany(d.ctx, []Task{
		{Title: "Answer the mail of February", Owner: owner},
		{Title: "Restock the first-aid boxes", Owner: owner, Priority: 1},
		{Title: "Hand over the night shift", Owner: owner, Priority: 2},
	})
	if err != nil {
		return err
	}
	d.print("task %d: priority %d by default", tasks[0].ID, tasks[0].Priority)

	// The function gets the newest record, and runs again if another writer was
	// faster. Its error would leave everything as it is.
	d.now = d.now.Add(25 * time.Minute)
	first, err := d.tasks.Update(d.ctx, tasks[0].ID, func(t *Task) error {
		t.Done = true
		t.Priority++
		return nil
	})
	if err != nil {
		return err
	}
	took := first.UpdatedAt.Time().Sub(first.CreatedAt.Time())
	d.print("task %d: priority %d, done after %v, version %d", first.ID, first.Priority, took, first.Version)

	n, err := d.tasks.UpdateMany(d.ctx, store.Fields{"priority": 5}, store.Eq("owner", owner), store.Eq("done", false))
	if err != nil {
		return err
	}
	d.print("%d open tasks have priority 5 now", n)

	_, err = d.tasks.Update(d.ctx, first.ID, func(t *Task) error { t.Priority = 9; return nil })
	d.print("error: %v", err)
	_, err = d.tasks.Patch(d.ctx, 99, store.Fields{"done": true})
	d.print("error: %v (is ErrNotFound: %v)", err, errors.Is(err, store.ErrNotFound))
	return nil
}

// transact changes two buckets in one commit, and meets a conflict.
func (d *demo) transact() error {
	d.title("transaction: two buckets in one commit, or nothing")
	hire := func(tx *store.Tx) error {
		r, ok, err := d.people.In(tx).FindOne(store.Eq("email", "hanna.lindqvist@example.org"))
		if err != nil || !ok {
			return errors.Join(err, errors.New("no such person"))
		}
		if _, err := d.people.In(tx).Update(d.ctx, r.Key(), store.Fields{"role": "admin"}); err != nil {
			return err
		}
		_, err = d.tasks.In(tx).Insert(d.ctx, Task{Title: "Hand out the keys", Owner: r.Get("email").(string), Priority: 5})
		return err
	}
	err := d.s.Transaction(d.ctx, func(tx *store.Tx) error {
		if err := hire(tx); err != nil {
			return err
		}
		n, err := d.tasks.In(tx).Count()
		d.print("inside: %d tasks", n)
		return errors.Join(err, errors.New("changed my mind"))
	})
	n, _ := d.tasks.Count()
	d.print("error: %v; %d tasks", err, n)

	// Another commit changes what was read: the transaction runs again.
	tries := 0
	err = d.s.Transaction(d.ctx, func(tx *store.Tx) error {
		if err := hire(tx); err != nil {
			return err
		}
		if tries++; tries == 1 {
			_, err := d.people.UpdateMany(d.ctx, store.Fields{"age": 35}, store.Eq("email", "hanna.lindqvist@example.org"))
			return err
		}
		return nil
	}, store.Retry(3))
	if err != nil {
		return err
	}
	n, err = d.tasks.Count()
	d.print("committed at try %d; %d tasks", tries, n)
	return err
}

// views reads a typed bucket dynamically, and a dynamic one as a struct.
func (d *demo) views() error {
	d.title("views: every bucket is both dynamic and typed")
	tasks, err := d.s.Bucket("tasks")
	if err != nil {
		return err
	}
	r, _ := tasks.Get(1)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	d.print("%s", text)

	people, err := store.Typed[Person](d.s, "people")
	if err != nil {
		return err
	}
	for p := range people.All() {
		if p.Team == "platform" {
			d.print("%s, %s, %d", p.Name, p.Role, p.Age)
		}
	}

	_, err = store.Typed[Task](d.s, "people")
	var wrong *store.DefinitionError
	if !errors.As(err, &wrong) {
		return fmt.Errorf("expected a DefinitionError, got %w", err)
	}
	d.print("people as Task: refused, %d mismatches", len(wrong.Issues))
	return nil
}

// snapshot reads two buckets at one commit while they change.
func (d *demo) snapshot() error {
	d.title("snapshot: one state of all buckets, for as long as it is open")
	snap := d.s.Snapshot()
	defer snap.Close()

	if err := d.tasks.Clear(d.ctx); err != nil {
		return err
	}
	alice, ok, err := d.people.FindOne(store.Eq("email", "alice.novak@example.com"))
	if err != nil || !ok {
		return errors.Join(err, errors.New("no such person"))
	}
	if _, err := d.people.Update(d.ctx, alice.Key(), store.Fields{"team": "platform"}); err != nil {
		return err
	}

	show := func(when string, people *store.Bucket, tasks *store.TypedBucket[Task]) error {
		r, _ := people.Get(alice.Key())
		n, err := tasks.Count()
		d.print("%s: %d tasks, Alice in %s", when, n, r.Get("team"))
		return err
	}
	return errors.Join(
		show("in the snapshot", d.people.In(snap), d.tasks.In(snap)),
		show("now", d.people, d.tasks),
	)
}

// live keeps the results of two queries up to date, one that lists people and one
// that counts with the help of the first.
func (d *demo) live() error {
	d.title("live: results that follow the records")
	type inTeam struct{ Team string }
	names, err := store.DefineQuery(d.s, "names", func(q *store.QueryCtx, p inTeam) ([]string, error) {
		var list []string
		for r, err := range d.people.In(q).Where(store.Eq("team", p.Team)).Select("name").OrderBy(store.Asc("name")).Seq() {
			if err != nil {
				return nil, err
			}
			list = append(list, r.Get("name").(string))
		}
		return list, nil
	})
	if err != nil {
		return err
	}
	load, err := store.DefineQuery(d.s, "load", func(q *store.QueryCtx, p inTeam) (float64, error) {
		team, err := names.RunIn(q, p)
		if err != nil {
			return 0, err
		}
		open, err := d.tasks.In(q).Count(store.Eq("done", false))
		return float64(open) / float64(max(len(team), 1)), err
	})
	if err != nil {
		return err
	}

	// A subscription holds the newest result; OnChange calls a function with each
	// later one, on a goroutine of the store's. Settle waits for both.
	team := inTeam{"platform"}
	sub, err := names.Subscribe(d.ctx, team)
	if err != nil {
		return err
	}
	defer sub.Close()
	stop, err := load.OnChange(d.ctx, team, func(load float64) { d.print("   %.2f open tasks for each of them", load) })
	if err != nil {
		return err
	}
	defer stop()

	// What happened, and whether there is a new list: the function is called again
	// only for a commit that changes what it has read.
	show := func(what string, err error) error {
		if err = errors.Join(err, d.s.Settle(d.ctx)); err != nil {
			return err
		}
		state, err := names.Explain(team)
		d.print("%s: %s, evaluated %d times", what, strings.Join(sub.Current().Result, ", "), state.Evaluations)
		return err
	}
	first, err := sub.Next(d.ctx)
	if err != nil {
		return err
	}
	d.print("at commit %d: %s", first.Seq, strings.Join(first.Result, ", "))
	_, err = d.people.UpdateMany(d.ctx, store.Fields{"team": "platform"}, store.Eq("email", "hanna.lindqvist@example.org"))
	if err := show("Hanna joins", err); err != nil {
		return err
	}
	_, err = d.tasks.InsertMany(d.ctx, []Task{
		{Title: "Move the servers", Owner: "hanna.lindqvist@example.org"},
		{Title: "Renew the certificates", Owner: "alice.novak@example.com"},
	})
	if err := show("two tasks", err); err != nil {
		return err
	}
	_, err = d.people.UpdateMany(d.ctx, store.Fields{"age": 46}, store.Eq("email", "goran.petrovic@example.com"))
	return show("a birthday", err)
}

// follow keeps a list in order, by what each commit has changed of it.
func (d *demo) follow() error {
	d.title("live list: the three oldest, change by change")
	live, err := d.people.Where(store.Exists("age")).Select("name", "age").OrderBy(store.Desc("age")).Limit(3).Live(d.ctx)
	if err != nil {
		return err
	}
	defer live.Close()
	var oldest []store.Record
	next := func() error {
		delta, err := live.Next(d.ctx)
		if err != nil {
			return err
		}
		oldest = delta.Apply(oldest)
		names := make([]string, len(oldest))
		for i, r := range oldest {
			names[i] = fmt.Sprintf("%s %d", r.Get("name"), r.Get("age"))
		}
		d.print("commit %d: +%d -%d, %d moved, %d updated: %s", delta.Seq,
			len(delta.Added), len(delta.Removed), len(delta.Moved), len(delta.Updated), strings.Join(names, ", "))
		return nil
	}
	if err := next(); err != nil {
		return err
	}
	for _, age := range []int{35, 71} { // the first leaves the three as they are, and brings nothing
		if _, err := d.people.UpdateMany(d.ctx, store.Fields{"age": age}, store.Eq("email", "chiara.ferrari@example.org")); err != nil {
			return err
		}
	}
	return next()
}

// describe says in a line what an event is about.
func describe(e store.Event) string {
	if e.Err != nil { // ErrLagged: the handler was too slow
		return fmt.Sprintf("%v: %d", e.Err, e.Missed)
	}
	is, was := label(e.New), label(e.Old)
	switch e.Type {
	case store.Inserted:
		return fmt.Sprintf("%2d  %s: %s", e.Seq, e.Topic(), is)
	case store.Deleted:
		return fmt.Sprintf("%2d  %s: %s", e.Seq, e.Topic(), was)
	}
	if is == was {
		return fmt.Sprintf("%2d  %s: %s, version %d", e.Seq, e.Topic(), is, e.New.Version())
	}
	return fmt.Sprintf("%2d  %s: %s, was %s", e.Seq, e.Topic(), is, was)
}

// label names a record of either bucket.
func label(r store.Record) string {
	switch {
	case r.IsZero():
		return ""
	case r.Has("title"):
		return fmt.Sprintf("%s (priority %d)", r.Get("title"), r.Get("priority"))
	}
	return fmt.Sprintf("%s (%s)", r.Get("name"), r.Get("team"))
}

func (d *demo) stats() {
	d.title("stats")
	st := d.s.Stats()
	d.print("store %s: buckets %s", st.Name, strings.Join(st.Buckets.Names, ", "))
	d.print("%d records, %d indexes, %d commits", st.Records.Total, st.Indexes.Total, st.Commits)
	d.print("%d subscription, %d commits behind", st.Subscriptions, st.Lag)
	d.print("%d live queries defined, %d subscribed to", st.Queries.Defined, st.Queries.ActiveSubscriptions)
}
