package bench

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

// durabilities are the modes of a log in files; none is no log.
var durabilities = []struct {
	name string
	mode store.Durability
	none bool
}{
	{name: "none", none: true},
	{name: "os", mode: store.OS},
	{name: "interval", mode: store.Interval(100 * time.Millisecond)},
	{name: "sync", mode: store.Sync},
}

// BenchmarkDurability is an insert in each mode, by one goroutine and by 64.
func BenchmarkDurability(b *testing.B) {
	for _, d := range durabilities {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", d.name, writers), func(b *testing.B) {
				opt := store.Options{Persistence: store.Persistence{Adapter: file.New(b.TempDir()), Durability: d.mode}}
				if d.none {
					opt = store.Options{}
				}
				s, err := store.Open(ctx, opt)
				check(b, err)
				defer s.Close(ctx)
				users, err := store.Define[user](ctx, s, "users")
				check(b, err)
				b.ReportAllocs()
				b.SetParallelism(max(1, writers/2))
				var n atomic.Int64
				if writers == 1 {
					for b.Loop() {
						_, err := users.Insert(ctx, newUser(int(n.Add(1))))
						check(b, err)
					}
				} else {
					b.RunParallel(func(p *testing.PB) {
						for p.Next() {
							if _, err := users.Insert(ctx, newUser(int(n.Add(1)))); err != nil {
								b.Error(err)
							}
						}
					})
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			})
		}
	}
}
