package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/noex-go/store"
)

// BenchmarkListWrite is one write to a bucket of which lists are live, and the delta of the
// list that it concerns, replayed. alone is the write without them.
func BenchmarkListWrite(b *testing.B) {
	const records = 100_000
	rescore := func(bucket *store.TypedBucket[cell], i int) {
		_, err := bucket.Update(ctx, i*7919%records+1, func(c *cell) error { c.Score = i * 104_729 % (2 * records); return nil })
		check(b, err)
	}
	top := func(bucket *store.TypedBucket[cell], i int) { // a record of the first ten changes its place there
		_, err := bucket.Update(ctx, records-i%10, func(c *cell) error { c.Score = 2*records + i; return nil })
		check(b, err)
	}
	inOrder := func(bucket *store.TypedBucket[cell]) *store.Query[cell] { return bucket.OrderBy(store.Desc("score")) }
	for _, c := range []struct {
		name  string
		query func(bucket *store.TypedBucket[cell]) *store.Query[cell]
		write func(bucket *store.TypedBucket[cell], i int)
	}{
		{"alone", nil, rescore},
		{"all", inOrder, rescore},
		{"top-10/anywhere", func(bucket *store.TypedBucket[cell]) *store.Query[cell] { return inOrder(bucket).Limit(10) }, rescore},
		{"top-10/inside", func(bucket *store.TypedBucket[cell]) *store.Query[cell] { return inOrder(bucket).Limit(10) }, top},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b)
			bucket := cells(b, s, records)
			follow := func() {}
			if c.query != nil {
				follow = follower(b, c.query(bucket))
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				c.write(bucket, i)
				if c.query != nil {
					check(b, s.Settle(ctx))
					follow()
				}
			}
		})
	}
}

// follower begins a list, and returns what takes the deltas that are there.
func follower[R any](b *testing.B, q *store.Query[R]) func() {
	l, err := q.Live(ctx)
	check(b, err)
	b.Cleanup(l.Close)
	done, cancel := context.WithCancel(ctx)
	cancel()
	take := func() {
		for {
			d, err := l.Next(done)
			if err != nil {
				return
			}
			taken += len(d.Added) + len(d.Updated) + len(d.Removed) + len(d.Moved)
		}
	}
	take()
	return take
}

var taken int // so that nothing is left out

// BenchmarkListEqualities is a write with n live lists, one of which it concerns; see
// BenchmarkLiveEqualities.
func BenchmarkListEqualities(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("lists=%d", n), func(b *testing.B) {
			s := open(b)
			bucket := cells(b, s, n)
			lists := make([]*store.LiveList[cell], n)
			for i := range lists {
				var err error
				lists[i], err = bucket.Where(store.Eq("room", i)).OrderBy(store.Asc("score")).Limit(10).Live(ctx)
				check(b, err)
			}
			write, i := touch(b), 0
			before := s.Stats().Queries
			b.ReportAllocs()
			for b.Loop() {
				write(bucket, i, n)
				if i++; i%64 == 0 {
					check(b, s.Settle(ctx))
				}
			}
			check(b, s.Settle(ctx))
			after := s.Stats().Queries
			b.ReportMetric(float64(after.Visited-before.Visited)/float64(i), "visited/op")
			b.ReportMetric(float64(after.Evaluations-before.Evaluations)/float64(i), "evaluations/op")
		})
	}
}

// BenchmarkListReactive is the program of BenchmarkReactive with live lists of all records
// in place of queries by a function: insert, and the delta at each subscriber.
func BenchmarkListReactive(b *testing.B) {
	for _, subs := range []int{1, 10} {
		b.Run(fmt.Sprintf("insert-and-settle-%d/typed", subs), func(b *testing.B) {
			b.ReportAllocs()
			var takes []func()
			n := 0
			var s *store.Store
			var notes *store.TypedBucket[note]
			for b.Loop() {
				if n%inserts == 0 {
					b.StopTimer()
					s = open(b)
					var err error
					notes, err = store.Define[note](ctx, s, "notes")
					check(b, err)
					takes = takes[:0]
					for range subs {
						takes = append(takes, follower(b, notes.Where()))
					}
					b.StartTimer()
				}
				_, err := notes.Insert(ctx, note{Name: names[n%inserts]})
				check(b, err)
				check(b, s.Settle(ctx))
				for _, take := range takes {
					take()
				}
				n++
			}
		})
	}
}
