package peers

import (
	"math/bits"
	"testing"
	"time"
)

// latencies is a histogram of durations: 16 buckets to each power of two.
type latencies struct {
	counts [64 * 16]int
	total  int
}

func (l *latencies) add(d time.Duration) {
	n := uint64(max(d, 1))
	e := bits.Len64(n) - 1
	l.counts[e*16+int(n<<(63-e)>>59&15)]++
	l.total++
}

// quantile returns the duration in ns that a share of the measurements stays below.
func (l *latencies) quantile(q float64) float64 {
	left := int(q * float64(l.total))
	for i, n := range l.counts {
		if left -= n; left < 0 {
			return float64(uint64(1)<<(i/16)) * (1 + float64(i%16)/16)
		}
	}
	return 0
}

func (l *latencies) report(b *testing.B) {
	b.ReportMetric(l.quantile(0.5), "p50-ns")
	b.ReportMetric(l.quantile(0.99), "p99-ns")
	b.ReportMetric(l.quantile(0.999), "p999-ns")
}
