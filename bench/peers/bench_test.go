package peers

import (
	"fmt"
	"testing"
)

// Benchmark has the names Benchmark/<line>/<engine>/n=<records>. For a table,
// and for 1,000,000 records, cmd/table is the better way: it loads each engine
// once for all lines.
func Benchmark(b *testing.B) {
	for i := range Lines {
		b.Run(Lines[i].Name, func(b *testing.B) { benchmarkLine(b, &Lines[i]) })
	}
}

func benchmarkLine(b *testing.B, l *Line) {
	for i := range Peers {
		open := l.Open(&Peers[i])
		if open == nil {
			continue
		}
		b.Run(Peers[i].Name, func(b *testing.B) {
			for _, n := range []int{10_000, 1_000_000} {
				if l.OnDisk && n > 10_000 {
					continue
				}
				benchmarkEngine(b, l, open, n)
			}
		})
	}
}

func benchmarkEngine(b *testing.B, l *Line, open func(string) (Engine, error), n int) {
	var f *Fixture // the benchmark may run several times, on the same records
	b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
		if testing.Short() && n > 10_000 {
			b.Skip("short")
		}
		if f == nil {
			var err error
			f, err = Open(open, n)
			must(b, err)
		}
		if !l.Can(f.Engine) {
			b.Skip("the engine cannot do this")
		}
		b.ReportAllocs()
		b.ResetTimer()
		l.Run(b, f)
	})
	if f != nil {
		must(b, f.Close())
	}
}
