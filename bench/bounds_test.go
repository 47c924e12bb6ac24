package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/noex-go/store"
)

// bounded defines a bucket of the crud program's records with other options.
func bounded(b testing.TB, opt store.Options, def func(*store.Definition)) (*store.Store, *store.TypedBucket[item]) {
	opt.TTLInterval = -1
	s, err := store.Open(ctx, opt)
	check(b, err)
	b.Cleanup(func() { check(b, s.Close(ctx)) })
	h, err := store.Define[item](ctx, s, "items", def)
	check(b, err)
	return s, h
}

// BenchmarkTTLWrite is what a deadline adds to writes: an insert, and an update
// that does not move it.
func BenchmarkTTLWrite(b *testing.B) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		name := "without"
		if ttl > 0 {
			name = "with"
		}
		set := func(d *store.Definition) { d.TTL = ttl }
		b.Run("insert/"+name, func(b *testing.B) {
			_, h := bounded(b, store.Options{}, set)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, err := h.Insert(ctx, item{Name: "n", Value: float64(i)})
				check(b, err)
			}
		})
		b.Run("update/"+name, func(b *testing.B) {
			_, h := bounded(b, store.Options{}, set)
			ids := fillBounded(b, h, items)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, err := h.Update(ctx, ids[i%items], func(t *item) error { t.Value++; return nil })
				check(b, err)
			}
		})
	}
}

func fillBounded(b testing.TB, h *store.TypedBucket[item], n int) []string {
	ids := make([]string, 0, n)
	for from := 0; from < n; from += 1000 {
		batch := make([]item, min(1000, n-from))
		for i := range batch {
			batch[i] = item{Name: fmt.Sprint("n", from+i), Value: float64(i)}
		}
		out, err := h.InsertMany(ctx, batch)
		check(b, err)
		for i := range out {
			ids = append(ids, out[i].ID)
		}
	}
	return ids
}

// BenchmarkPurge is one record of those that expire together.
func BenchmarkPurge(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if testing.Short() && n > 100_000 {
				b.Skip("long")
			}
			now := time.Now()
			s, h := bounded(b, store.Options{Clock: func() time.Time { return now }}, func(d *store.Definition) { d.TTL = time.Hour })
			for b.Loop() {
				b.StopTimer()
				fillBounded(b, h, n)
				now = now.Add(2 * time.Hour)
				b.StartTimer()
				gone, err := s.PurgeTTL(ctx)
				check(b, err)
				if gone != n {
					b.Fatalf("%d of %d expired", gone, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
		})
	}
}

// weight is what MaxBytes counts for a record of fillBounded.
func weight(b *testing.B) int64 {
	s, h := bounded(b, store.Options{}, func(d *store.Definition) { d.MaxBytes = 1 << 30 })
	fillBounded(b, h, 1)
	return s.Stats().Bytes.Total
}

// BenchmarkEvict is an insert into a bucket of a size: without a bound, where what
// was inserted goes now and then, beside the clock; and at its bound, where each
// insert evicts one.
func BenchmarkEvict(b *testing.B) {
	for _, size := range []int{1000, 100_000, 1_000_000} {
		insert := func(b *testing.B, h *store.TypedBucket[item], tidy func()) {
			if testing.Short() && size > 1000 {
				b.Skip("long")
			}
			fillBounded(b, h, size)
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				_, err := h.Insert(ctx, item{Name: "x", Value: float64(i)})
				check(b, err)
				if i%(size/8) == 0 {
					b.StopTimer()
					tidy()
					b.StartTimer()
				}
			}
		}
		b.Run(fmt.Sprintf("%d/none", size), func(b *testing.B) {
			_, h := bounded(b, store.Options{}, func(*store.Definition) {})
			insert(b, h, func() {
				_, err := h.DeleteMany(ctx, store.Eq("name", "x"))
				check(b, err)
			})
		})
		for _, evict := range []store.Eviction{store.OldestCreated, store.OldestUpdated, store.LeastRead} {
			b.Run(fmt.Sprintf("%d/%v", size, evict), func(b *testing.B) {
				_, h := bounded(b, store.Options{}, func(d *store.Definition) { d.MaxSize, d.Evict = size, evict })
				insert(b, h, func() {})
			})
		}
		b.Run(fmt.Sprintf("%d/bytes", size), func(b *testing.B) {
			most := int64(size) * weight(b)
			_, h := bounded(b, store.Options{}, func(d *store.Definition) { d.MaxBytes = most })
			insert(b, h, func() {})
		})
	}
}
