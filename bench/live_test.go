package bench

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/noex-go/store"
)

type cell struct {
	ID    int    `store:"id,key"`
	Room  int    `store:"room,index"`
	Score int    `store:"score,index"`
	Text  string `store:"text"`
}

func cells(b testing.TB, s *store.Store, n int) *store.TypedBucket[cell] {
	b.Helper()
	bucket, err := store.Define[cell](ctx, s, "cells")
	check(b, err)
	all := make([]cell, n)
	for i := range all {
		all[i] = cell{ID: i + 1, Room: i, Score: i}
	}
	_, err = bucket.InsertMany(ctx, all)
	check(b, err)
	return bucket
}

// BenchmarkLiveLatency is the time from a write to the callback of a query that
// reads one record, from one goroutine that waits for it.
func BenchmarkLiveLatency(b *testing.B) {
	s := open(b)
	bucket := cells(b, s, 1)
	called := make(chan struct{}, 1)
	q, err := store.DefineQuery(s, "one", func(q *store.QueryCtx, id int) (cell, error) {
		c, _ := bucket.In(q).Get(id)
		return c, nil
	})
	check(b, err)
	_, err = q.OnChange(ctx, 1, func(cell) { called <- struct{}{} })
	check(b, err)
	l := newLatencies()
	i := 0
	for b.Loop() {
		i++
		l.measure(func() {
			_, err := bucket.Update(ctx, 1, func(c *cell) error { c.Score = i; return nil })
			check(b, err)
			<-called
		})
	}
	l.report(b)
}

// subscribed writes to n records in turn, with a live query about each of them,
// whose parameters are all different, and without.
func subscribed(b *testing.B, query func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error), write func(bucket *store.TypedBucket[cell], i, n int)) {
	for _, n := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("records=%d/alone", n), func(b *testing.B) { subscribedTo(b, n, 0, query, write) })
		b.Run(fmt.Sprintf("records=%d/live", n), func(b *testing.B) { subscribedTo(b, n, n, query, write) })
	}
}

func subscribedTo(b *testing.B, n, subs int, query func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error), write func(bucket *store.TypedBucket[cell], i, n int)) {
	if testing.Short() && n > 10_000 {
		b.Skip("short")
	}
	s := open(b)
	bucket := cells(b, s, n)
	live, err := store.DefineQuery(s, "live", func(q *store.QueryCtx, p int) ([]cell, error) { return query(bucket, q, p) })
	check(b, err)
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	for i := range subs {
		_, err := live.Subscribe(ctx, i)
		check(b, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&m1)
	before := s.Stats().Queries
	i := 0
	for b.Loop() {
		write(bucket, i, n)
		i++
		if i%64 == 0 {
			check(b, s.Settle(ctx))
		}
	}
	check(b, s.Settle(ctx))
	if subs == 0 {
		return
	}
	after := s.Stats().Queries
	b.ReportMetric(float64(after.Visited-before.Visited)/float64(i), "visited/op")
	b.ReportMetric(float64(after.Evaluations-before.Evaluations)/float64(i), "evaluations/op")
	b.ReportMetric(float64(m1.HeapAlloc-m0.HeapAlloc)/float64(subs), "B/subscription")
}

func touch(b *testing.B) func(bucket *store.TypedBucket[cell], i, n int) {
	return func(bucket *store.TypedBucket[cell], i, n int) {
		_, err := bucket.Update(ctx, i*7919%n+1, func(c *cell) error { c.Text = texts[i&1]; return nil })
		check(b, err)
	}
}

var texts = [2]string{"even", "odd"}

// BenchmarkLiveEqualities is a write with n live queries, one of which it concerns.
func BenchmarkLiveEqualities(b *testing.B) {
	subscribed(b, func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error) {
		return bucket.In(q).Where(store.Eq("room", p)).All()
	}, touch(b))
}

// BenchmarkLiveRanges is the same with queries of disjoint intervals.
func BenchmarkLiveRanges(b *testing.B) {
	subscribed(b, func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error) {
		return bucket.In(q).Where(store.Gte("score", p), store.Lt("score", p+1)).All()
	}, touch(b))
}

// BenchmarkLiveFanOut is the latency of a commit whose consequence n subscribers
// of one query are told, a tenth of whom are stalled.
func BenchmarkLiveFanOut(b *testing.B) {
	for _, n := range []int{0, 1, 10_000} {
		b.Run(fmt.Sprintf("subs=%d", n), func(b *testing.B) {
			s := open(b)
			bucket := cells(b, s, 1)
			stall := make(chan struct{})
			defer close(stall)
			one, err := store.DefineQuery(s, "one", func(q *store.QueryCtx, id int) (cell, error) {
				c, _ := bucket.In(q).Get(id)
				return c, nil
			})
			check(b, err)
			for i := range n {
				_, err := one.OnChange(ctx, 1, func(cell) {
					if i%10 == 0 {
						<-stall
					}
				})
				check(b, err)
			}
			l := newLatencies()
			i := 0
			for b.Loop() {
				i++
				l.measure(func() {
					_, err := bucket.Update(ctx, 1, func(c *cell) error { c.Score = i; return nil })
					check(b, err)
				})
				b.StopTimer()
				for end := time.Now().Add(100 * time.Microsecond); time.Now().Before(end); {
				}
				b.StartTimer()
			}
			l.report(b)
		})
	}
}

// BenchmarkLiveDelivery is the time from a write until the last of n subscribers
// of one query has been called.
func BenchmarkLiveDelivery(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("subs=%d", n), func(b *testing.B) {
			s := open(b)
			bucket := cells(b, s, 1)
			one, err := store.DefineQuery(s, "one", func(q *store.QueryCtx, id int) (cell, error) {
				c, _ := bucket.In(q).Get(id)
				return c, nil
			})
			check(b, err)
			var left atomic.Int64
			all := make(chan struct{}, 1)
			for range n {
				_, err := one.OnChange(ctx, 1, func(cell) {
					if left.Add(-1) == 0 {
						all <- struct{}{}
					}
				})
				check(b, err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				left.Store(int64(n))
				_, err := bucket.Update(ctx, 1, func(c *cell) error { c.Score = i; return nil })
				check(b, err)
				<-all
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/subscriber")
		})
	}
}
