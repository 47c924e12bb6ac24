package bench

import (
	"testing"

	"github.com/noex-go/store"
)

// BenchmarkAggregates repeats the aggregates of the npm original's queries
// program: over the ages of 1,000 customers, 20 to 69, without an index.
func BenchmarkAggregates(b *testing.B) {
	typed, _ := fillCustomers(b)
	lines := func(sum, avg func(string) (float64, error), least, most func(string) (any, bool, error)) []aggregate {
		return []aggregate{
			{"sum", 44.5 * customers, func() (any, error) { return sum("age") }},
			{"avg", 44.5, func() (any, error) { return avg("age") }},
			{"min", int64(20), func() (any, error) { v, _, err := least("age"); return v, err }},
			{"max", int64(69), func() (any, error) { v, _, err := most("age"); return v, err }},
		}
	}
	d := typed.Dynamic()
	dynamicLines := lines(d.Sum, d.Avg, d.Min, d.Max)
	typedLines := lines(typed.Sum, typed.Avg, typed.Min, typed.Max)
	for i := range typedLines {
		b.Run(dynamicLines[i].name+"/dynamic", dynamicLines[i].bench)
		b.Run(typedLines[i].name+"/typed", typedLines[i].bench)
	}
}

// BenchmarkSumWhere is a sum over the third of the records that an index gives.
func BenchmarkSumWhere(b *testing.B) {
	typed, _ := fillCustomers(b)
	b.ReportAllocs()
	for b.Loop() {
		if v, err := typed.Where(store.Eq("tier", "vip")).Sum("age"); v == 0 || err != nil {
			b.Fatal(v, err)
		}
	}
}

type aggregate struct {
	name string
	want any
	run  func() (any, error)
}

func (a aggregate) bench(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if v, err := a.run(); err != nil || v != a.want {
			b.Fatal(v, err)
		}
	}
}
