package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/noex-go/store"
)

// A Schema is a map: what several buckets have in common can be written once.
func ExampleSchema() {
	common := store.Schema{
		"id":   {Type: store.Int, Generated: store.Autoincrement},
		"name": {Type: store.String, Required: true, MaxLength: 200},
	}
	with := func(more store.Schema) store.Schema {
		all := maps.Clone(common)
		maps.Copy(all, more)
		return all
	}
	s := open(store.Options{})
	defer s.Close(ctx)

	teams, err := s.DefineBucket(ctx, "teams", store.Definition{Key: "id", Schema: with(nil)})
	check(err)
	people, err := s.DefineBucket(ctx, "people", store.Definition{Key: "id", Schema: with(store.Schema{
		"team": {Type: store.Int, Required: true, Ref: "teams"},
	})})
	check(err)

	red, err := teams.Insert(ctx, store.Fields{"name": "Red"})
	check(err)
	ada, err := people.Insert(ctx, store.Fields{"name": "Ada", "team": red.Key().Value()})
	check(err)
	fmt.Println(ada.Get("id"), ada.Get("name"), ada.Get("team"))
	_, err = people.Insert(ctx, store.Fields{"name": "Bob"})
	fmt.Println(err)

	// Output:
	// 1 Ada 1
	// store: invalid record in bucket "people": team: is required
}

// A field takes any Go value that fits its type, and always gives the same Go type
// back.
func ExampleType() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "things", store.Definition{Key: "key", Schema: store.Schema{
		"key":   {Type: store.String},
		"count": {Type: store.Int},
		"ratio": {Type: store.Float},
		"id64":  {Type: store.Number},
		"since": {Type: store.Date},
		"image": {Type: store.Bytes},
		"list":  {Type: store.Array},
	}})
	check(err)

	r, err := b.Insert(ctx, store.Fields{
		"key":   "a",
		"count": 3.0,                 // a whole float
		"ratio": 2,                   // an integer that a float can hold exactly
		"id64":  uint64(1)<<60 + 1,   // no float could
		"since": "2026-03-02",        // as JSON has it
		"image": "aGVsbG8=",          // base64, likewise
		"list":  []string{"x", "yz"}, // any slice
	})
	check(err)
	for _, field := range []string{"count", "ratio", "id64", "since", "image", "list"} {
		fmt.Printf("%-5s %T %v\n", field, r.Get(field), r.Get(field))
	}
	_, err = b.Insert(ctx, store.Fields{"key": "b", "count": 3.5})
	fmt.Println(err)

	// Output:
	// count int64 3
	// ratio float64 2
	// id64  int64 1152921504606846977
	// since time.Time 2026-03-02 00:00:00 +0000 UTC
	// image []uint8 [104 101 108 108 111]
	// list  []interface {} [x yz]
	// store: invalid record in bucket "things": count: must be an integer, got a number with a fraction
}

// A Format is a check of a string; a date that the calendar does not have is none.
func ExampleFormat() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "people", store.Definition{Key: "email", Schema: store.Schema{
		"email": {Type: store.String, Format: store.Email},
		"home":  {Type: store.String, Format: store.URL},
		"born":  {Type: store.String, Format: store.ISODate},
	}})
	check(err)

	for _, in := range []store.Fields{
		{"email": "ada@example.com", "home": "https://example.com/ada", "born": "1815-12-10"},
		{"email": "ada at example", "home": "example.com", "born": "1815-02-30"},
	} {
		_, err := b.Insert(ctx, in)
		fmt.Println(err)
	}

	// Output:
	// <nil>
	// store: invalid record in bucket "people": born: is not a valid ISO 8601 date; email: is not a valid email address; home: is not a valid URL
}

// A Generator fills a field in that an insert leaves out. What it made stays.
func ExampleGenerator() {
	start := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	s := open(store.Options{Clock: func() time.Time { return start }})
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "notes", store.Definition{Key: "id", Schema: store.Schema{
		"id":    {Type: store.Int, Generated: store.Autoincrement},
		"token": {Type: store.String, Generated: store.UUID},
		"at":    {Type: store.Date, Generated: store.Timestamp},
		"text":  {Type: store.String},
	}})
	check(err)

	first, err := b.Insert(ctx, store.Fields{"text": "one"})
	check(err)
	fmt.Println(first.Get("id"), len(first.Get("token").(string)), first.Get("at"))
	tenth, err := b.Insert(ctx, store.Fields{"id": 10}) // one of your own
	check(err)
	next, err := b.Insert(ctx, store.Fields{})
	check(err)
	fmt.Println(tenth.Key(), next.Key())
	later, err := b.Update(ctx, 1, store.Fields{"text": "two", "token": "mine"}) // ignored
	check(err)
	fmt.Println(later.Get("token") == first.Get("token"))

	// Output:
	// 1 36 2026-03-02 09:00:00 +0000 UTC
	// 10 11
	// true
}

// Bound makes a Limit of a number of any type: both ends are included.
func ExampleLimit() {
	s := open(store.Options{})
	defer s.Close(ctx)
	percent := store.Field{Type: store.Float, Min: store.Bound(0), Max: store.Bound(99.5)}
	b, err := s.DefineBucket(ctx, "discounts", store.Definition{Key: "code", Schema: store.Schema{
		"code": {Type: store.String}, "percent": percent,
	}})
	check(err)

	for _, p := range []float64{0, 99.5, 99.6} {
		_, err := b.Upsert(ctx, store.Fields{"code": "MAY", "percent": p})
		fmt.Println(p, err)
	}
	fmt.Println(percent.Min, percent.Max)

	// Output:
	// 0 <nil>
	// 99.5 <nil>
	// 99.6 store: invalid record in bucket "discounts": percent: is greater than 99.5
	// 0 99.5
}

// An Index of several fields serves equality in the first ones, and then a range or an
// order.
func ExampleIndex() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "people", store.Definition{
		Key: "name",
		Schema: store.Schema{
			"name": {Type: store.String}, "city": {Type: store.String}, "age": {Type: store.Int},
		},
		Indexes: []store.Index{{"city", "age"}},
	})
	check(err)
	for i := range 100 {
		_, err := b.Insert(ctx, store.Fields{"name": fmt.Sprint("p", i), "city": []string{"Brno", "Graz"}[i%2], "age": i})
		check(err)
	}

	e, err := b.Where(store.Eq("city", "Graz"), store.Gte("age", 90)).OrderBy(store.Asc("age")).Explain()
	check(err)
	fmt.Println(e.Index, e.Span, "order by", e.Order)
	fmt.Println(e.TouchedRows, "touched,", e.Returned, "returned")

	// Output:
	// [city age] an interval order by index
	// 5 touched, 5 returned
}

// Fields can be decoded from JSON as they are: the schema says what each value is.
func ExampleFields() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	var in store.Fields
	check(json.Unmarshal([]byte(`{"sku": "L1", "name": "Lamp", "price": 20, "tags": ["light"]}`), &in))
	lamp, err := b.Insert(ctx, in)
	check(err)
	in["name"] = "Lantern" // the store has a copy
	fmt.Println(lamp.Get("name"), lamp.Get("price"), lamp.Get("tags"))

	lamp, err = b.Update(ctx, "L1", store.Fields{"price": 15, "shelf": nil}) // nil takes a field away
	check(err)
	fmt.Println(lamp.Get("price"), lamp.Has("shelf"), lamp.Has("name"))

	// Output:
	// Lamp 20 [light]
	// 15 false true
}

// A Key is a string or an integer, and can be compared and used as a map's key.
func ExampleKey() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s).Dynamic()

	seen := map[store.Key]bool{}
	for r := range b.All() {
		seen[r.Key()] = true
	}
	fmt.Println(len(seen), seen[store.IntKey(2)], seen[store.StringKey("2")])

	t, ok := b.Get(store.IntKey(2)) // or b.Get(2)
	fmt.Println(t.Get("title"), ok, t.Key() == store.IntKey(2))
	fmt.Printf("%v %T\n", t.Key(), t.Key().Value())
	fmt.Println(store.Key{}.IsZero())

	// Output:
	// 4 true false
	// Fix the login true true
	// 2 int64
	// true
}

// Versions tell a form that it was filled in from an older state of its record.
func ExampleVersion() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	errStale := errors.New("somebody else was faster")
	save := func(id int, title string, seen store.Version) error {
		_, err := b.Update(ctx, id, func(t *Task) error {
			if t.Version != seen {
				return errStale
			}
			t.Title = title
			return nil
		})
		return err
	}

	t, _ := b.Get(1)
	fmt.Println(save(1, "Write a manual", t.Version))
	fmt.Println(errors.Is(save(1, "Write two manuals", t.Version), errStale))
	t, _ = b.Get(1)
	fmt.Println(t.Title, t.Version)

	// Output:
	// <nil>
	// true
	// Write a manual 2
}

// A struct that embeds Meta is told what the store knows of its record. An ExpiresAt
// at insert is the record's own deadline.
func ExampleMeta() {
	now := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	s := open(store.Options{Clock: func() time.Time { return now }, TTLInterval: -1}) // only by PurgeTTL
	defer s.Close(ctx)
	type Session struct {
		Token string `store:"token,key"`
		store.Meta
	}
	sessions, err := store.Define[Session](ctx, s, "sessions")
	check(err)

	in := Session{Token: "t"}
	in.ExpiresAt = store.Millis(now.Add(time.Hour).UnixMilli())
	a, err := sessions.Insert(ctx, in)
	check(err)
	fmt.Println(a.Version, a.CreatedAt, a.UpdatedAt, a.ExpiresAt)

	now = now.Add(time.Hour + time.Minute)
	fmt.Println(s.PurgeTTL(ctx))
	_, ok := sessions.Get("t")
	fmt.Println(ok)

	// Output:
	// 1 2026-03-02T09:00:00.000Z 2026-03-02T09:00:00.000Z 2026-03-02T10:00:00.000Z
	// 1 <nil>
	// false
}

// Millis is a moment that takes eight bytes; 0 is none.
func ExampleMillis() {
	var never store.Millis
	fmt.Println(never.IsZero(), never.Time().IsZero())

	m := store.Millis(time.Date(2026, time.March, 2, 9, 0, 0, 5e6, time.UTC).UnixMilli())
	fmt.Println(int64(m), m)
	fmt.Println(m.Time().Add(time.Hour).Format(time.DateTime))

	// Output:
	// true true
	// 1772442000005 2026-03-02T09:00:00.005Z
	// 2026-03-02 10:00:00
}
