package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/noex-go/store"
)

var ctx = context.Background()

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// open returns a store for an example.
func open(opt store.Options) *store.Store {
	s, err := store.Open(ctx, opt)
	check(err)
	return s
}

// Define a bucket by a struct, write to it and read from it.
func Example() {
	type User struct {
		ID         string `store:"id,key,generated=uuid"`
		Name       string `store:"name,required"`
		Email      string `store:"email,format=email,unique"`
		Role       string `store:"role,enum=admin|user,default=user,index"`
		store.Meta        // filled in: Version, CreatedAt, UpdatedAt
	}

	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)

	users, err := store.Define[User](ctx, s, "users")
	if err != nil {
		log.Fatal(err)
	}
	alice, err := users.Insert(ctx, User{Name: "Alice", Email: "alice@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	alice, err = users.Update(ctx, alice.ID, func(u *User) error {
		u.Role = "admin"
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	admins, err := users.Where(store.Eq("role", "admin")).All()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(admins), admins[0].Name, alice.Version)

	_, err = users.Insert(ctx, User{Email: "not an address", Role: "owner"})
	fmt.Println(err)

	// Output:
	// 1 Alice 2
	// store: invalid record in bucket "users": name: is required; email: is not a valid email address; role: must be one of admin, user
}

// A store is a set of named buckets with one sequence of commits.
func ExampleStore() {
	s := open(store.Options{Name: "shop"})
	defer s.Close(ctx)

	for _, name := range []string{"products", "orders"} {
		_, err := s.DefineBucket(ctx, name, store.Definition{
			Key:    "id",
			Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "note": {Type: store.String}},
		})
		check(err)
	}
	orders, err := s.Bucket("orders")
	check(err)
	_, err = orders.Insert(ctx, store.Fields{"note": "first"})
	check(err)

	st := s.Stats()
	fmt.Println(st.Name, st.Buckets.Names, st.Records.PerBucket["orders"], st.Commits)

	check(s.DropBucket(ctx, "orders"))
	_, err = s.Bucket("orders")
	fmt.Println(s.HasBucket("orders"), errors.Is(err, store.ErrBucketNotDefined))

	// Output:
	// shop [orders products] 1 1
	// false true
}

// A dynamic bucket has its schema at run time and takes and returns fields by
// name.
func ExampleStore_DefineBucket() {
	s := open(store.Options{})
	defer s.Close(ctx)

	users, err := s.DefineBucket(ctx, "users", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id":    {Type: store.String, Generated: store.UUID},
			"name":  {Type: store.String, Required: true},
			"email": {Type: store.String, Format: store.Email, Unique: true},
			"role":  {Type: store.String, Enum: []any{"admin", "user"}, Default: "user"},
		},
		Indexes: []store.Index{{"role"}},
	})
	check(err)
	alice, err := users.Insert(ctx, store.Fields{"name": "Alice", "email": "alice@example.com"})
	check(err)
	fmt.Println(len(alice.Key().String()), alice.Get("name"), alice.Get("role"), alice.Version())

	// Output: 36 Alice user 1
}

// A definition is refused with everything that is wrong with it.
func ExampleDefinition() {
	s := open(store.Options{})
	defer s.Close(ctx)

	_, err := s.DefineBucket(ctx, "people", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"name":  {Type: store.String, Min: store.Bound(1)},
			"email": {Type: store.String, Pattern: "("},
		},
		Indexes: []store.Index{{"team"}},
	})
	var wrong *store.DefinitionError
	if errors.As(err, &wrong) {
		for _, is := range wrong.Issues {
			fmt.Println(is)
		}
	}

	// Output:
	// id: the key is not a field of the schema
	// email: bad pattern: error parsing regexp: missing closing ): `(`
	// name: min and max need a number, not string
	// team: an index names a field that the schema does not have
}

// The tags of a struct say what a Definition says. What they cannot say, a
// function can.
func ExampleDefine() {
	type Reading struct {
		Sensor string    `store:"sensor,index=sensor-at"`
		At     time.Time `store:"at,index=sensor-at"` // one compound index: sensor, at
		Value  float64   `store:"value,min=-90,max=60"`
		ID     int       `store:"id,key,generated=autoincrement"`
		Note   *string   `store:"note,maxLength=200"` // nil: absent
		store.Meta
	}
	s := open(store.Options{})
	defer s.Close(ctx)

	readings, err := store.Define[Reading](ctx, s, "readings", func(d *store.Definition) { d.Ordered = true })
	check(err)
	noon := time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)
	for i, v := range []float64{21.5, 22, 21} {
		_, err := readings.Insert(ctx, Reading{Sensor: "roof", At: noon.Add(time.Duration(i) * time.Hour), Value: v})
		check(err)
	}
	last, err := readings.Last(1)
	check(err)
	n, err := readings.Count(store.Eq("sensor", "roof"), store.Eq("at", noon))
	check(err)
	fmt.Println(last[0].ID, last[0].Value, last[0].Note == nil, n)

	// Output: 3 21 true 1
}

// Any struct whose fields are fields of the bucket can be a view of it; one that
// does not fit is refused.
func ExampleTyped() {
	s := open(store.Options{})
	defer s.Close(ctx)
	users, err := s.DefineBucket(ctx, "users", store.Definition{
		Key:    "id",
		Schema: store.Schema{"id": {Type: store.String}, "name": {Type: store.String}, "age": {Type: store.Int}},
	})
	check(err)
	_, err = users.Insert(ctx, store.Fields{"id": "a", "name": "Alice", "age": 30})
	check(err)

	type Name struct {
		ID   string `store:"id"`
		Name string `store:"name"`
	}
	names, err := store.Typed[Name](s, "users")
	check(err)
	alice, ok := names.Get("a")
	fmt.Println(alice, ok)

	type Wrong struct {
		ID    string `store:"id"`
		Name  int    `store:"name"`
		Phone string `store:"phone"`
	}
	_, err = store.Typed[Wrong](s, "users")
	fmt.Println(err)

	// Output:
	// {a Alice} true
	// store: definition of bucket "users": name: is a string in the bucket, and int in store_test.Wrong; phone: the bucket has no such field
}

// products defines the bucket of the examples below.
func products(s *store.Store) *store.Bucket {
	b, err := s.DefineBucket(ctx, "products", store.Definition{
		Key: "sku",
		Schema: store.Schema{
			"sku":   {Type: store.String},
			"name":  {Type: store.String, Required: true},
			"shelf": {Type: store.String, Default: "new"},
			"price": {Type: store.Number, Required: true, Min: store.Bound(0)},
			"tags":  {Type: store.Array, Default: []any{}},
		},
		Indexes: []store.Index{{"shelf"}},
	})
	check(err)
	return b
}

// Insert returns the complete record. A key that exists is refused, never
// overwritten.
func ExampleBucket_Insert() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	lamp, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 19.9})
	check(err)
	fmt.Println(lamp.Key(), lamp.Get("shelf"), lamp.Get("tags"), lamp.Version())

	_, err = b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lantern", "price": 25})
	fmt.Println(err)

	// Output:
	// L1 new [] 1
	// store: bucket "products" has a record with this sku already: the field is unique
}

// InsertMany adds all records in one commit, or none.
func ExampleBucket_InsertMany() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	_, err := b.InsertMany(ctx, []store.Fields{
		{"sku": "L1", "name": "Lamp", "price": 19.9},
		{"sku": "L2", "price": -1},
	})
	fmt.Println(err)
	n, err := b.Count()
	check(err)
	fmt.Println(n)

	// Output:
	// store: invalid record in bucket "products": [1].name: is required; [1].price: is less than 0
	// 0
}

// Update merges fields; nil takes one away. The key, generated fields and
// metadata are not changed by it.
func ExampleBucket_Update() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 19.9})
	check(err)

	lamp, err := b.Update(ctx, "L1", store.Fields{"sku": "X", "price": 15, "shelf": nil})
	check(err)
	fmt.Println(lamp.Key(), lamp.Get("price"), lamp.Has("shelf"), lamp.Version())

	_, err = b.Update(ctx, "L2", store.Fields{"price": 15})
	fmt.Println(errors.Is(err, store.ErrNotFound))

	// Output:
	// L1 15 false 2
	// true
}

// Update of a typed bucket is an atomic read-modify-write: the function gets the
// newest record, and runs again if another writer was faster.
func ExampleTypedBucket_Update() {
	type Account struct {
		ID      string `store:"id,key"`
		Balance int    `store:"balance,min=0"`
	}
	s := open(store.Options{})
	defer s.Close(ctx)
	accounts, err := store.Define[Account](ctx, s, "accounts")
	check(err)
	_, err = accounts.Insert(ctx, Account{ID: "a", Balance: 100})
	check(err)

	errPoor := errors.New("not enough money")
	withdraw := func(amount int) (Account, error) {
		return accounts.Update(ctx, "a", func(a *Account) error {
			if a.Balance < amount {
				return errPoor
			}
			a.Balance -= amount
			return nil
		})
	}
	a, err := withdraw(70)
	fmt.Println(a.Balance, err)
	_, err = withdraw(70)
	fmt.Println(errors.Is(err, errPoor))

	// Output:
	// 30 <nil>
	// true
}

// Upsert inserts a record, or merges the fields into the one with its key.
func ExampleBucket_Upsert() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	for _, price := range []int{20, 18} {
		lamp, err := b.Upsert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": price})
		check(err)
		fmt.Println(lamp.Get("price"), lamp.Version())
	}

	// Output:
	// 20 1
	// 18 2
}

// UpdateMany changes all records that match in one commit: whoever reads sees
// all of the changes or none.
func ExampleBucket_UpdateMany() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.InsertMany(ctx, []store.Fields{
		{"sku": "L1", "name": "Lamp", "price": 20},
		{"sku": "L2", "name": "Lantern", "price": 25},
		{"sku": "C1", "name": "Chair", "price": 60, "shelf": "sale"},
	})
	check(err)

	n, err := b.UpdateMany(ctx, store.Fields{"shelf": "sale"}, store.Eq("shelf", "new"))
	check(err)
	onSale, err := b.Count(store.Eq("shelf", "sale"))
	check(err)
	fmt.Println(n, onSale, s.Stats().Commits)

	// Output: 2 3 2
}

// Where finds records through an index where there is one. A filter that does
// not fit the schema is an error.
func ExampleBucket_Where() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.InsertMany(ctx, []store.Fields{
		{"sku": "L1", "name": "Lamp", "price": 20},
		{"sku": "L2", "name": "Lantern", "price": 25},
		{"sku": "C1", "name": "Chair", "price": 60, "shelf": "sale"},
	})
	check(err)

	fresh := b.Where(store.Eq("shelf", "new"))
	n, err := fresh.Count()
	check(err)
	fmt.Println(n)
	for r, err := range fresh.Seq() {
		check(err)
		fmt.Println(r.Get("name"))
	}
	r, ok, err := fresh.Where(store.Eq("price", 25)).First()
	check(err)
	fmt.Println(r.Key(), ok)

	_, err = b.Where(store.Eq("price", "25")).All()
	fmt.Println(err)

	// Output:
	// 2
	// Lamp
	// Lantern
	// L2 true
	// store: query on bucket "products": field "price" has type number: the value to compare with must be a number, got string
}

// A snapshot is one committed state of all buckets.
func ExampleStore_Snapshot() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)

	snap := s.Snapshot()
	defer snap.Close()
	_, err = b.Update(ctx, "L1", store.Fields{"price": 15})
	check(err)

	then, _ := b.In(snap).Get("L1")
	now, _ := b.Get("L1")
	fmt.Println(then.Get("price"), now.Get("price"))

	_, err = b.In(snap).Update(ctx, "L1", store.Fields{"price": 10})
	fmt.Println(errors.Is(err, store.ErrReadOnly))

	// Output:
	// 20 15
	// true
}

// Handlers hear of every commit that matches, in order, each on a goroutine of
// its own.
func ExampleStore_On() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	stop, err := s.On("bucket.products.*", func(e store.Event) {
		if e.Err != nil { // ErrLagged: this handler was too slow
			fmt.Println(e.Err, e.Missed)
			return
		}
		fmt.Println(e.Seq, e.Topic(), e.Key, e.Old.Get("price"), e.New.Get("price"))
	})
	check(err)
	defer stop()

	_, err = b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)
	_, err = b.Update(ctx, "L1", store.Fields{"price": 15})
	check(err)
	check(b.Delete(ctx, "L1"))
	check(s.Settle(ctx)) // until the handler has heard of all this

	// Output:
	// 1 bucket.products.inserted L1 <nil> 20
	// 2 bucket.products.updated L1 20 15
	// 3 bucket.products.deleted L1 15 <nil>
}

// A *ValidationError lists every rule that a record breaks, ready for a form or
// a JSON answer.
func ExampleValidationError() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "price": "cheap", "colour": "red"})
	var invalid *store.ValidationError
	if errors.As(err, &invalid) {
		text, err := json.MarshalIndent(invalid.Issues, "", " ")
		check(err)
		fmt.Println(string(text))
	}

	// Output:
	// [
	//  {
	//   "field": "name",
	//   "code": "required",
	//   "message": "is required"
	//  },
	//  {
	//   "field": "price",
	//   "code": "type",
	//   "message": "must be a number, got string"
	//  },
	//  {
	//   "field": "colour",
	//   "code": "unknown",
	//   "message": "is not a field of the schema"
	//  }
	// ]
}

// A *UniqueError names the field that has to be unique. Its text does not
// contain the value, so that it can be logged.
func ExampleUniqueError() {
	type User struct {
		ID    int    `store:"id,key,generated=autoincrement"`
		Email string `store:"email,unique"`
	}
	s := open(store.Options{})
	defer s.Close(ctx)
	users, err := store.Define[User](ctx, s, "users")
	check(err)
	_, err = users.Insert(ctx, User{Email: "alice@example.com"})
	check(err)

	_, err = users.Insert(ctx, User{Email: "alice@example.com"})
	var taken *store.UniqueError
	if errors.As(err, &taken) {
		fmt.Println(taken.Bucket, taken.Field, taken.Value)
		fmt.Println(taken)
	}

	// Output:
	// users email alice@example.com
	// store: bucket "users" has a record with this email already: the field is unique
}

// A Record never changes: it can be kept, shared and compared with later ones.
func ExampleRecord() {
	start := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	s := open(store.Options{Clock: func() time.Time { return start }})
	defer s.Close(ctx)
	b := products(s)

	lamp, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20, "tags": []string{"light"}})
	check(err)
	lamp.Get("tags").([]any)[0] = "heavy" // a copy: the record stays as it is
	fmt.Println(lamp.Key(), lamp.Get("tags"), lamp.Has("weight"), lamp.CreatedAt().Format(time.DateTime))

	text, err := json.Marshal(lamp)
	check(err)
	fmt.Println(string(text))

	// Output:
	// L1 [light] false 2026-03-02 09:00:00
	// {"_createdAt":1772442000000,"_updatedAt":1772442000000,"_version":1,"name":"Lamp","price":20,"shelf":"new","sku":"L1","tags":["light"]}
}

// An iterator sees one state from beginning to end; the loop may write.
func ExampleBucket_All() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.InsertMany(ctx, []store.Fields{
		{"sku": "L1", "name": "Lamp", "price": 20},
		{"sku": "L2", "name": "Lantern", "price": 25},
	})
	check(err)

	for r := range b.All() {
		fmt.Println(r.Get("name"))
		check(b.Clear(ctx))
	}
	n, err := b.Count()
	check(err)
	fmt.Println(n)

	// Output:
	// Lamp
	// Lantern
	// 0
}

// A Task is what the examples of queries ask for.
type Task struct {
	ID    int      `store:"id,key,generated=autoincrement"`
	Title string   `store:"title,required"`
	State string   `store:"state,enum=open|done,default=open,index"`
	Hours float64  `store:"hours,index"`
	Tags  []string `store:"tags"`
	Owner *string  `store:"owner"` // nil: nobody
	store.Meta
}

// tasks returns a bucket of four of them.
func tasks(s *store.Store) *store.TypedBucket[Task] {
	b, err := store.Define[Task](ctx, s, "tasks")
	check(err)
	eve := "Eve"
	_, err = b.InsertMany(ctx, []Task{
		{Title: "Write the manual", Hours: 8, Tags: []string{"docs"}, Owner: &eve},
		{Title: "Fix the login", Hours: 2.5, Tags: []string{"bug", "web"}},
		{Title: "Fix the logout", Hours: 2.5, Tags: []string{"bug"}, State: "done"},
		{Title: "Buy coffee", Hours: 0.5, Owner: &eve},
	})
	check(err)
	return b
}

// Filters are combined by And, Or and Not. A field that is absent is equal to
// nil, and not greater or less than anything.
func ExampleFilter() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	for _, f := range []store.Filter{
		store.And(store.Eq("state", "open"), store.Lt("hours", 5)),
		store.Or(store.Contains("tags", "bug"), store.Contains("title", "COFFEE")),
		store.Not(store.HasPrefix("title", "Fix")),
		store.Eq("owner", nil),
		store.Ne("owner", "Eve"), // as Not(Eq): those without an owner too
	} {
		found, err := b.Where(f).All()
		check(err)
		var ids []int
		for _, t := range found {
			ids = append(ids, t.ID)
		}
		fmt.Println(ids)
	}

	// Output:
	// [2 4]
	// [2 3 4]
	// [1 4]
	// [2 3]
	// [2 3]
}

// Records that are equal in all fields of the order stay in that of insertion.
func ExampleQuery_OrderBy() {
	s := open(store.Options{})
	defer s.Close(ctx)

	longest, err := tasks(s).OrderBy(store.Desc("hours"), store.Asc("title")).Limit(3).All()
	check(err)
	for _, t := range longest {
		fmt.Println(t.Hours, t.Title)
	}

	// Output:
	// 8 Write the manual
	// 2.5 Fix the login
	// 2.5 Fix the logout
}

// A page goes on where the one before ended, whatever is inserted or deleted
// meanwhile.
func ExampleQuery_Page() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	byHours := b.OrderBy(store.Asc("hours"))
	var cursor store.Cursor // "" is before the first page
	for {
		page, err := byHours.Page(2, cursor)
		check(err)
		for _, t := range page.Records {
			fmt.Println(t.Hours, t.Title)
			check(b.Delete(ctx, t.ID))
		}
		if !page.HasMore {
			break
		}
		cursor = page.Next
		fmt.Println("--")
	}

	// Output:
	// 0.5 Buy coffee
	// 2.5 Fix the login
	// --
	// 2.5 Fix the logout
	// 8 Write the manual
}

// Groups come in the order of their keys.
func ExampleQuery_GroupBy() {
	s := open(store.Options{})
	defer s.Close(ctx)

	groups, err := tasks(s).GroupBy("state").Sum("hours")
	check(err)
	for _, g := range groups {
		fmt.Println(g.Key[0], g.Value)
	}

	// Output:
	// done 2.5
	// open 11
}

// A TypedField takes values of the field's Go type only: the compiler checks
// them.
func ExampleFieldOf() {
	var (
		hours = store.FieldOf[Task, float64]("hours")
		owner = store.FieldOf[Task, string]("owner") // a *string is one too
	)
	s := open(store.Options{})
	defer s.Close(ctx)

	found, err := tasks(s).Where(hours.Between(1, 5), owner.Absent()).OrderBy(hours.Desc()).All()
	check(err)
	for _, t := range found {
		fmt.Println(t.Title)
	}

	// Output:
	// Fix the login
	// Fix the logout
}

// A filter can come as JSON, from an HTTP request for example.
func ExampleParseFilter() {
	s := open(store.Options{})
	defer s.Close(ctx)

	var m map[string]any
	check(json.Unmarshal([]byte(`{"state": "open", "hours": {"$gte": 1, "$lt": 10}, "$not": {"tags": {"$contains": "bug"}}}`), &m))
	f, err := store.ParseFilter(m)
	check(err)
	t, ok, err := tasks(s).FindOne(f)
	check(err)
	fmt.Println(t.Title, ok)

	_, err = store.ParseFilter(map[string]any{"hours": map[string]any{"$like": 1}})
	fmt.Println(err)

	// Output:
	// Write the manual true
	// store: query: field "hours" cannot be filtered: unknown operator "$like"
}

// Explain says which way an answer took. Its form may change.
func ExampleQuery_Explain() {
	s := open(store.Options{})
	defer s.Close(ctx)

	e, err := tasks(s).Where(store.Eq("state", "open"), store.Contains("tags", "bug")).Explain()
	check(err)
	fmt.Println(e.Path, e.Index, e.Span)
	fmt.Println(e.Filters)
	fmt.Println(e.TouchedRows, "touched,", e.Returned, "returned")

	// Output:
	// index [state] one key
	// [tags contains]
	// 3 touched, 1 returned
}

// A query can be data: defined by name, and run with parameters.
func ExampleStore_DefineSpec() {
	s := open(store.Options{})
	defer s.Close(ctx)
	tasks(s)

	spec, err := store.ParseQuerySpec([]byte(`{
		"bucket": "tasks",
		"filter": {"state": "{{ params.state }}", "hours": {"$gte": "{{ params.least }}"}},
		"aggregate": {"op": "count"}
	}`))
	check(err)
	check(s.DefineSpec("long", spec))

	n, err := s.RunQuery(ctx, "long", map[string]any{"state": "open", "least": 2})
	check(err)
	fmt.Println(n, s.Queries())

	// Output: 2 [long]
}

// Paginate walks through a bucket by the key of the last record that was seen.
func ExampleBucket_Paginate() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s).Dynamic()

	page, err := b.Paginate(store.PageOptions{Limit: 3})
	check(err)
	last := page.Records[len(page.Records)-1]
	fmt.Println(len(page.Records), page.HasMore, last.Key())

	page, err = b.Paginate(store.PageOptions{After: last.Key(), Limit: 3})
	check(err)
	fmt.Println(len(page.Records), page.HasMore, page.Records[0].Get("title"))

	// Output:
	// 3 true 3
	// 1 false Buy coffee
}

func ExampleStore_Transaction() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		panic(err)
	}
	defer s.Close(ctx)
	type Account struct {
		ID      string `store:"id,key"`
		Balance int    `store:"balance"`
	}
	accounts, err := store.Define[Account](ctx, s, "accounts")
	if err != nil {
		panic(err)
	}
	_, _ = accounts.InsertMany(ctx, []Account{{"ann", 100}, {"ben", 0}})
	transfer := func(from, to string, amount int) error {
		return s.Transaction(ctx, func(tx *store.Tx) error {
			in := accounts.In(tx)
			a, err := in.Update(ctx, from, func(a *Account) error { a.Balance -= amount; return nil })
			if err != nil {
				return err
			}
			if a.Balance < 0 {
				return fmt.Errorf("%s has not enough", from) // nothing has happened
			}
			_, err = in.Update(ctx, to, func(a *Account) error { a.Balance += amount; return nil })
			return err
		}, store.Retry(10))
	}
	fmt.Println(transfer("ann", "ben", 30))
	fmt.Println(transfer("ann", "ben", 300))
	for a := range accounts.All() {
		fmt.Println(a.ID, a.Balance)
	}
	// Output:
	// <nil>
	// ann has not enough
	// ann 70
	// ben 30
}

func ExampleInTransaction() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		panic(err)
	}
	defer s.Close(ctx)
	tickets, err := s.DefineBucket(ctx, "tickets", store.Definition{
		Key:    "id",
		Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "event": {Type: store.String, Required: true}},
	})
	if err != nil {
		panic(err)
	}
	// No more than two tickets, however many ask at the same time: the count is
	// part of what the transaction has read.
	for range 3 {
		ticket, err := store.InTransaction(ctx, s, func(tx *store.Tx) (store.Record, error) {
			sold, err := tickets.In(tx).Count(store.Eq("event", "concert"))
			if err != nil || sold >= 2 {
				return store.Record{}, errors.Join(err, errors.New("sold out"))
			}
			return tickets.In(tx).Insert(ctx, store.Fields{"event": "concert"})
		}, store.Retry(10))
		fmt.Println(ticket.Get("id"), err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// <nil> sold out
}
