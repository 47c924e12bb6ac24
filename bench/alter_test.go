package bench

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/noex-go/store"
)

// BenchmarkAlter alters a bucket of 100,000 records: an index, a field with a value
// for each record, and a rule that all have to be checked by. commits/op is what
// a writer beside it commits meanwhile, and max-wait-ms the longest that one of its
// writes took.
func BenchmarkAlter(b *testing.B) {
	const count = 100_000
	for name, change := range map[string]func(i int) store.Change{
		"index": func(i int) store.Change {
			if i%2 == 0 {
				return store.Change{AddIndexes: []store.Index{{"value"}}}
			}
			return store.Change{DropIndexes: []store.Index{{"value"}}}
		},
		"field": func(i int) store.Change {
			return store.Change{Fields: store.Schema{fmt.Sprint("f", i%8): {Type: store.Int, Default: i}}}
		},
		"rule": func(i int) store.Change {
			return store.Change{Fields: store.Schema{"name": {Type: store.String, MaxLength: 100 + i}}}
		},
	} {
		for _, writer := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/writer=%v", name, writer), func(b *testing.B) {
				s, h := bounded(b, store.Options{}, func(*store.Definition) {})
				ids := fillBounded(b, h, count)
				var stop atomic.Bool
				var longest atomic.Int64
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for i := 0; writer && !stop.Load(); i++ {
						began := time.Now()
						_, err := h.Patch(ctx, ids[i%count], store.Fields{"value": i})
						check(b, err)
						longest.Store(max(longest.Load(), int64(time.Since(began))))
					}
				}()
				before := s.Stats().Commits
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					check(b, s.AlterBucket(ctx, "items", change(i)))
					i++
				}
				commits := int(s.Stats().Commits-before) - i
				stop.Store(true)
				<-ended
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i*count), "ns/record")
				if writer {
					b.ReportMetric(float64(commits)/float64(i), "commits/op")
					b.ReportMetric(float64(longest.Load())/1e6, "max-wait-ms")
				}
			})
		}
	}
}
