package exactsum

import (
	"math"
	"math/rand/v2"
	"testing"
)

var sinkFloat float64

// benchRand is not seeded anew: runs are to be compared.
func benchRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func fill(n int, next func(r *rand.Rand) float64) []float64 {
	r := benchRand()
	fs := make([]float64, n)
	for i := range fs {
		fs[i] = next(r)
	}
	return fs
}

func perValue(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
}

// batches are the shapes of 128 values that a batch may have.
var batches = []struct {
	name string
	next func(r *rand.Rand) float64
}{
	{"prices", price},
	{"signed", func(r *rand.Rand) float64 { return price(r) * sign(r) }},
	{"normal", func(r *rand.Rand) float64 { return r.NormFloat64() }},
	{"sparse", func(r *rand.Rand) float64 { return price(r) * float64(r.IntN(2)) }},
	{"outlier", func(r *rand.Rand) float64 {
		if r.IntN(16) == 0 {
			return 1e100
		}
		return price(r)
	}},
	{"wild", wild},
	{"subnormal", func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64N(1 << 52)) }},
}

func BenchmarkAddFloats(b *testing.B) {
	for _, c := range batches {
		b.Run(c.name, func(b *testing.B) {
			fs := fill(128, c.next)
			var s Sum
			s.AddFloats(fs)
			b.ReportAllocs()
			for b.Loop() {
				s.AddFloats(fs)
			}
			perValue(b, len(fs))
		})
	}
}

// BenchmarkNaive is the sum in a loop that depends on the order: what exactness is to be compared with.
func BenchmarkNaive(b *testing.B) {
	fs := fill(128, price)
	for b.Loop() {
		sinkFloat = naive(fs)
	}
	perValue(b, len(fs))
}

func naive(fs []float64) float64 {
	sum := 0.0
	for _, f := range fs {
		sum += f
	}
	return sum
}

func BenchmarkAddInts(b *testing.B) {
	is := drawInts(benchRand(), 128)
	var s Sum
	b.ReportAllocs()
	for b.Loop() {
		s.AddInts(is)
	}
	perValue(b, len(is))
}

// BenchmarkAddSub is the step of a live query: one value comes and one goes.
func BenchmarkAddSub(b *testing.B) {
	for _, c := range batches {
		b.Run(c.name, func(b *testing.B) {
			fs := fill(128, c.next)
			var s Sum
			s.AddFloats(fs)
			b.ReportAllocs()
			for b.Loop() {
				for i, f := range fs {
					s.Add(f)
					s.Sub(fs[len(fs)-1-i])
				}
			}
			perValue(b, 2*len(fs))
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name string
		ints []int64
		next func(r *rand.Rand) float64
	}{
		{"window", nil, price},
		{"ints", []int64{1}, func(*rand.Rand) float64 { return 0 }},
		{"mixed", []int64{1}, price},
		{"wild", nil, wild},
	} {
		var s Sum
		s.AddFloats(fill(128, c.next))
		s.AddInts(c.ints)
		b.Run(c.name+"/Float64", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sinkFloat = s.Float64()
			}
		})
		b.Run(c.name+"/Mean", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sinkFloat = s.Mean(129)
			}
		})
	}
}

// BenchmarkAddSum merges the sums of two groups, as a total of totals does.
func BenchmarkAddSum(b *testing.B) {
	for _, c := range batches[:6] {
		b.Run(c.name, func(b *testing.B) {
			var s, part Sum
			part.AddFloats(fill(128, c.next))
			b.ReportAllocs()
			for b.Loop() {
				s.AddSum(&part)
			}
		})
	}
}

// BenchmarkReset is what a Sum costs that is used again for a batch.
func BenchmarkReset(b *testing.B) {
	for _, c := range batches[:6] {
		b.Run(c.name, func(b *testing.B) {
			fs := fill(128, c.next)
			var s Sum
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				s.AddFloats(fs)
				sinkFloat = s.Float64()
			}
			perValue(b, len(fs))
		})
	}
}
