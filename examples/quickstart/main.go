// Command quickstart shows every part of the store in one run:
//
//	go run ./examples/quickstart
//
// It reads the people of people.json, three of whose nine records are bad, into
// a bucket that is defined at run time, gives some of them tasks in a bucket
// that is defined by a struct, and prints what happens. Its output is the same in every run:
// the clock is its own, and generated ids are not printed.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/noex-go/store"
)

//go:embed people.json
var peopleJSON []byte

// Task defines a bucket by its tags.
type Task struct {
	ID         int    `store:"id,key,generated=autoincrement"`
	Title      string `store:"title,required,maxLength=60"`
	Owner      string `store:"owner,required,ref=people,index"`
	Priority   int    `store:"priority,min=1,max=5,default=3,index"`
	Done       bool   `store:"done"`
	store.Meta        // Version, CreatedAt, UpdatedAt: filled in by the store
}

// Person is a typed view of a bucket that is defined without it. It need not
// have all the fields.
type Person struct {
	ID    string `store:"id"`
	Name  string `store:"name"`
	Email string `store:"email"`
	Team  string `store:"team"`
	Role  string `store:"role"`
	Age   int    `store:"age"`
	store.Meta
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	s, err := store.Open(ctx, store.Options{Name: "quickstart", Clock: clock()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()

	// Handlers run in goroutines of their own. This one only notes what it hears;
	// Settle, below, waits until it has heard everything.
	var heard []string
	stop, err := s.On("bucket.*.*", func(e store.Event) { heard = append(heard, describe(e)) })
	if err != nil {
		return err
	}
	defer stop()

	d := demo{ctx: ctx, s: s, out: out}
	for _, step := range []func() error{d.define, d.load, d.lookUp, d.update, d.snapshot, d.views} {
		if err := step(); err != nil {
			return err
		}
	}

	if err := s.Settle(ctx); err != nil {
		return err
	}
	d.title("events, in the order of the commits")
	for _, line := range heard {
		d.print("%s", line)
	}
	d.stats()
	return nil
}

type demo struct {
	ctx    context.Context
	s      *store.Store
	out    io.Writer
	people *store.Bucket            // records as store.Record, schema at run time
	tasks  *store.TypedBucket[Task] // records as Task, schema from its tags
}

func (d *demo) title(text string)               { fmt.Fprintf(d.out, "\n== %s\n", text) }
func (d *demo) print(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

// define makes the two buckets.
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
		d.print("%-6s  %d fields, key %s, indexes %v", name, len(def.Schema), def.Key, def.Indexes)
	}

	// A definition with mistakes is refused with all of them.
	_, err = d.s.DefineBucket(d.ctx, "drafts", store.Definition{
		Key:     "number",
		Schema:  store.Schema{"id": {Type: store.Int, Pattern: "^[0-9]+$"}},
		Indexes: []store.Index{{"author"}},
	})
	var wrong *store.DefinitionError
	if !errors.As(err, &wrong) {
		return fmt.Errorf("a bad definition gave %v", err)
	}
	d.print("drafts  refused:")
	d.issues(wrong.Issues)
	return nil
}

// load inserts the people one by one and shows what is wrong with the bad ones.
func (d *demo) load() error {
	d.title("insert: people.json, good and bad")
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
			d.print("%d  ok: %s, %v, version %d", i+1, r.Get("name"), r.Get("role"), r.Version())
		case errors.As(err, &invalid):
			d.print("%d  refused, %d issues:", i+1, len(invalid.Issues))
			d.issues(invalid.Issues)
		case errors.As(err, &taken):
			d.print("%d  refused: another record has this %s", i+1, taken.Field)
		default:
			return err
		}
	}
	return nil
}

func (d *demo) issues(issues []store.Issue) {
	for _, is := range issues {
		d.print("        %-8s %s (%s)", is.Field, is.Message, is.Code)
	}
}

// lookUp reads through indexes.
func (d *demo) lookUp() error {
	d.title("look up")
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
	d.print("research, 34 years old: %d", n)
	r, ok, err := d.people.FindOne(store.Eq("email", "emeka.okafor@example.net"))
	if err != nil {
		return err
	}
	d.print("by email: %v %s, skills %v", ok, r.Get("name"), r.Get("skills"))

	// A question that the schema cannot answer is an error, not an empty answer.
	_, err = d.people.Count(store.Eq("rôle", "admin"))
	d.print("error: %v", err)
	return nil
}

// update gives out tasks and changes them.
func (d *demo) update() error {
	d.title("tasks: insert, read-modify-write, many at once")
	chiara, ok, err := d.people.FindOne(store.Eq("name", "Chiara Ferrari"))
	if err != nil || !ok {
		return fmt.Errorf("no Chiara: %w", err)
	}
	owner := chiara.Key().String()
	// One commit: all of them or none.
	tasks, err := d.tasks.InsertMany(d.ctx, []Task{
		{Title: "Answer the mail of March", Owner: owner},
		{Title: "Restock the first-aid boxes", Owner: owner, Priority: 1},
		{Title: "Write the handover", Owner: owner, Priority: 3},
	})
	if err != nil {
		return err
	}
	first := tasks[0]
	d.print("task %d has priority %d by default", first.ID, first.Priority)

	// The function gets the newest record, and runs again if another writer was
	// faster. An error from it changes nothing.
	first, err = d.tasks.Update(d.ctx, first.ID, func(t *Task) error {
		t.Done = true
		t.Priority++
		return nil
	})
	if err != nil {
		return err
	}
	d.print("task %d: priority %d, version %d, open for %s", first.ID, first.Priority, first.Version,
		first.UpdatedAt.Time().Sub(first.CreatedAt.Time()))

	n, err := d.tasks.UpdateMany(d.ctx, store.Fields{"priority": 5}, store.Eq("owner", owner), store.Eq("done", false))
	if err != nil {
		return err
	}
	d.print("%d open tasks now have priority 5", n)

	_, err = d.tasks.Update(d.ctx, first.ID, func(t *Task) error { t.Priority = 9; return nil })
	d.print("error: %v", err)
	_, err = d.tasks.Update(d.ctx, 99, func(t *Task) error { return nil })
	d.print("error: %v (ErrNotFound: %v)", err, errors.Is(err, store.ErrNotFound))
	return nil
}

// snapshot reads two buckets at one commit while they change.
func (d *demo) snapshot() error {
	d.title("snapshot: one state of all buckets")
	snap := d.s.Snapshot()
	defer snap.Close()
	if err := d.tasks.Clear(d.ctx); err != nil {
		return err
	}
	alice, _, err := d.people.FindOne(store.Eq("email", "alice.novak@example.com"))
	if err != nil {
		return err
	}
	if _, err := d.people.Update(d.ctx, alice.Key(), store.Fields{"team": "platform"}); err != nil {
		return err
	}
	for _, view := range []struct {
		name   string
		people *store.Bucket
		tasks  *store.TypedBucket[Task]
	}{
		{"snapshot", d.people.In(snap), d.tasks.In(snap)},
		{"now", d.people, d.tasks},
	} {
		n, err := view.tasks.Count()
		if err != nil {
			return err
		}
		r, _ := view.people.Get(alice.Key())
		d.print("%-8s  %d tasks, Alice in %s", view.name, n, r.Get("team"))
	}
	return nil
}

// views shows one record as a Record, as JSON and as a struct.
func (d *demo) views() error {
	d.title("one bucket, dynamic and typed")
	people, err := store.Typed[Person](d.s, "people")
	if err != nil {
		return err
	}
	for p := range people.Where(store.Eq("team", "platform")).each() {
		d.print("%-15s %-6s %d", p.Name, p.Role, p.Age)
	}
	return nil
}
