package bench

import (
	"errors"
	"fmt"
	"testing"

	"github.com/noex-go/store"
)

// customer is the record of the queries program of the npm original, which
// BenchmarkQueries repeats line by line on 1,000 of them: three tiers with an
// index, fifty ages without one.
type customer struct {
	ID   string `store:"id,key,generated=uuid"`
	Name string `store:"name,required"`
	Tier string `store:"tier,default=basic,index"`
	Age  int    `store:"age,default=25"`
	store.Meta
}

const customers = 1000

var errWrongResult = errors.New("the wrong number of records")

// fillCustomers returns the bucket and a key from its middle.
func fillCustomers(b testing.TB) (typed *store.TypedBucket[customer], key string) {
	typed, err := store.Define[customer](ctx, open(b), "customers")
	check(b, err)
	tiers := [...]string{"vip", "silver", "basic"}
	for i := range customers {
		c, err := typed.Insert(ctx, customer{Name: fmt.Sprintf("customer-%d", i), Tier: tiers[i%3], Age: 20 + i%50})
		check(b, err)
		if i == customers/2 {
			key = c.ID
		}
	}
	return typed, key
}

// queried is what both kinds of handles have.
type queried[R any] interface {
	Get(key any) (R, bool)
	Where(filters ...store.Filter) *store.Query[R]
	FindOne(filters ...store.Filter) (R, bool, error)
	Count(filters ...store.Filter) (int, error)
	First(n int) ([]R, error)
	Last(n int) ([]R, error)
}

// query is a line of the program: it returns how many records it found.
type query struct {
	name string
	want int
	run  func() (int, error)
}

// queries are the lines on a handle. As in the original each makes its query anew.
func queries[R any](h queried[R], key string) []query {
	vip := func() store.Filter { return store.Eq("tier", "vip") }
	silver := func() store.Filter { return store.Eq("tier", "silver") }
	thirty := func() store.Filter { return store.Eq("age", 30) }
	return []query{
		{"where-indexed", 334, func() (int, error) { return length(h.Where(vip()).All()) }},
		{"findone-indexed", 1, func() (int, error) { return one(h.FindOne(vip())) }},
		{"count-indexed", 333, func() (int, error) { return h.Count(silver()) }},
		{"where-unindexed", 20, func() (int, error) { return length(h.Where(thirty()).All()) }},
		{"findone-unindexed", 1, func() (int, error) { return one(h.FindOne(thirty())) }},
		{"count-unindexed", 20, func() (int, error) { return h.Count(thirty()) }},
		{"all", customers, func() (int, error) { return length(h.Where().All()) }},
		{"get", 1, func() (int, error) { r, ok := h.Get(key); return one(r, ok, nil) }},
		{"first-10", 10, func() (int, error) { return length(h.First(10)) }},
		{"last-10", 10, func() (int, error) { return length(h.Last(10)) }},
		{"count", customers, func() (int, error) { return h.Count() }},
	}
}

func length[R any](rs []R, err error) (int, error) { return len(rs), err }

func one[R any](_ R, ok bool, err error) (int, error) {
	if ok {
		return 1, err
	}
	return 0, err
}

func BenchmarkQueries(b *testing.B) {
	typed, key := fillCustomers(b)
	dynamicLines, typedLines := queries(typed.Dynamic(), key), queries(typed, key)
	for i := range typedLines {
		b.Run(dynamicLines[i].name+"/dynamic", dynamicLines[i].bench)
		b.Run(typedLines[i].name+"/typed", typedLines[i].bench)
	}
}

func (q query) bench(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if n, err := q.run(); err != nil || n != q.want {
			b.Fatal(n, errors.Join(err, errWrongResult))
		}
	}
}
