package bench

import (
	"testing"

	"github.com/noex-go/store"
)

// each reads a query to its end and returns how many records came.
func each(b *testing.B, q *store.Query[user]) (n int) {
	sum := 0.0
	if err := q.Each(func(u *user) bool { n++; sum += u.Value; return true }); err != nil {
		b.Fatal(err) // b.Helper would take a tenth of a small query's time
	}
	return n
}

// BenchmarkRange100 reads the first hundred records of a range in order.
func BenchmarkRange100(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		q := users.Where(store.Gte("age", 40)).OrderBy(store.Asc("age")).Limit(100)
		for b.Loop() {
			if each(b, q) != 100 {
				b.Fatal("records")
			}
		}
	})
}

// BenchmarkTop10 finds the ten greatest values without an index.
func BenchmarkTop10(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		q := users.OrderBy(store.Desc("value")).Limit(10)
		for b.Loop() {
			if each(b, q) != 10 {
				b.Fatal("records")
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
	})
}

// BenchmarkUnindexed reads the records that a filter without an index lets
// through: one in a hundred.
func BenchmarkUnindexed(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		for name, f := range map[string]store.Filter{
			"range":    store.Between("value", 0, n/100-1),
			"contains": store.Contains("name", "99"),
		} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				q := users.Where(f)
				for b.Loop() {
					each(b, q)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
			})
		}
	})
}

// BenchmarkIntersection reads what two indexes have in common.
func BenchmarkIntersection(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		q := users.Where(store.Eq("role", "user"), store.Eq("age", 40))
		for b.Loop() {
			each(b, q)
		}
	})
}

// BenchmarkPage reads a page of twenty from the middle of an order.
func BenchmarkPage(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		for name, q := range map[string]*store.Query[user]{
			"insertion": users.Where(),
			"index":     users.OrderBy(store.Asc("email")),
			"equality":  users.Where(store.Eq("role", "user")),
		} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				page, err := q.Page(n/6, "")
				check(b, err)
				for b.Loop() {
					if _, err := q.Page(20, page.Next); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// BenchmarkGroupBy counts and sums by a field.
func BenchmarkGroupBy(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		b.Run("count", func(b *testing.B) {
			for b.Loop() {
				_, err := users.GroupBy("role").Count()
				check(b, err)
			}
		})
		b.Run("sum", func(b *testing.B) {
			for b.Loop() {
				_, err := users.GroupBy("role").Sum("value")
				check(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
		})
	})
}
