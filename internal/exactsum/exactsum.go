// Package exactsum adds up float64 and int64 values exactly. The sum is rounded once, when it is read, so that it does not
// depend on the order of the values, on how they were grouped into batches and partial sums, or on values that were added and
// taken back: a sum that is kept up to date is bit for bit the sum from scratch.
//
// # How
//
// Every finite float64 and every int64 is a multiple of 2^-1074, the smallest positive float64, and so is every sum. A Sum is
// three numbers in fixed point, and its value is what they add up to. Which of them a value went into depends on the order;
// what they add up to does not.
//
//   - The ints: 128 bits in units of 1. They hold 2^63 values, and never carry into anything else.
//   - The window: 128 bits in units that are chosen by the first value. A float64 is its mantissa of 53 bits shifted by 0 to
//     63 bits, at most 116 bits, so that 2^10 values fit above a window below 2^126. After as many the window is looked at
//     again, and emptied into the far part if it has grown beyond that: values of similar magnitude never need more.
//   - The far part: chunks of 32 bits in int64, for all exponents there are. It takes what is outside the window, and is
//     allocated when there is such a value. This is the small superaccumulator of Radford M. Neal, "Fast Exact Summation Using
//     Small and Large Superaccumulators", 2015, arXiv:1505.05571: the bits that chunks have in common put off the carries for
//     2^11 additions. Infinities and NaNs are counted in it.
//
// A window that 256 values have missed is emptied and moves to the last of them: a first value out of the ordinary does not
// make every other slow.
//
// Within a batch, values whose exponents differ by less than 32 are added in pairs of floating-point accumulators that cannot
// round, see window.addGrid, and from there into the window. The idea of an accumulator with a fixed last place is that of
// James Demmel and Hong Diep Nguyen, "Fast Reproducible Floating-Point Summation", 2013.
//
// # Limits
//
// A Sum takes 2^63 additions and subtractions; a merged Sum counts with all of its own.
//
// # Cost
//
// A Sum has 56 bytes, and 576 more once there is a far part. The costs below are those of the benchmarks in parentheses; a
// plain loop is BenchmarkNaive, which adds and rounds.
//
//   - AddFloats takes about twice as long per value as a plain loop (AddFloats/prices), twice as long as that where zeros
//     or outliers are mixed in (AddFloats/sparse, /outlier), and three times as long where most values are outside the window
//     (AddFloats/wild). Subnormal numbers cost as much as an Add each (AddFloats/subnormal).
//   - AddInts is as fast as a plain loop (AddInts).
//   - Add and Sub take some nanoseconds (AddSub).
//   - Reading takes 10 to 30 ns, and 100 to 200 ns where there is a far part, or both ints and floats (Read).
//   - AddSum takes 10 to 30 ns, and 100 to 200 ns with a far part (AddSum).
package exactsum

import "math"

// Sum is an exact sum of float64 and int64 values. The zero value is the empty sum.
//
// The methods that only read (Clone, Float64, Int64, Mean, Sign, and AddSum its argument) change nothing and may run at the
// same time as each other; everything else needs the Sum for itself. A Sum must not be copied by assignment once it is in
// use: the copies would share memory. Use Clone.
type Sum struct {
	win     window // most of the floats
	ints    int128 // all of the ints: 2^63 values of 2^63 each fit
	far     *far   // floats outside the window, infinities and NaNs; nil until there are any
	spilled bool   // far holds, or held since the last Reset, something
}

// Add adds f, in a few nanoseconds; it allocates the first time that f is far from the values before it. Infinities and NaNs
// are counted, so that they can be taken back, and the finite sum remains behind them. -0 is 0.
func (s *Sum) Add(f float64) {
	if b := math.Float64bits(f); !s.win.add(b) {
		s.addSlow(b, 1)
	}
}

// Sub takes back one Add(f), at the cost of Add. It may come before that Add, also in a Sum that is merged later: a Sum of
// which an infinity was taken back, but not yet added, has the opposite infinity as its value.
func (s *Sum) Sub(f float64) {
	if b := math.Float64bits(f) ^ signBit; !s.win.add(b) {
		s.addSlow(b, -1)
	}
}

// AddInt adds i, as an integer: no precision is lost above 2^53.
func (s *Sum) AddInt(i int64) { s.ints = s.ints.add(int128From(i)) }

// SubInt takes back one AddInt(i).
func (s *Sum) SubInt(i int64) { s.ints = s.ints.sub(int128From(i)) }

// AddFloats adds all of fs, at a fraction of the cost of Add for each.
func (s *Sum) AddFloats(fs []float64) {
	for paused := false; len(fs) > 0; paused = true {
		n := s.win.addRun(fs, paused)
		n += s.addOutside(fs[n:])
		if n == 0 {
			s.addSlow(math.Float64bits(fs[0]), 1)
			n = 1
		}
		fs = fs[n:]
	}
}

// AddInts adds all of is, at a fraction of the cost of AddInt for each.
func (s *Sum) AddInts(is []int64) {
	for len(is) > 0 {
		n := min(len(is), maxIntRun)
		s.ints = s.ints.add(sumInts(is[:n]))
		is = is[n:]
	}
}

// AddSum adds what o holds; o stays as it is, unless it is s itself, which is doubled.
func (s *Sum) AddSum(o *Sum) {
	s.ints = s.ints.add(o.ints)
	if o.spilled {
		s.spill().merge(o.far)
	}
	if o.win.v.isZero() || s.win.merge(o.win) {
		return
	}
	s.spill().addWide(o.win.v, o.win.shift())
}

// Reset empties s and keeps its memory for what comes next.
func (s *Sum) Reset() {
	if s.spilled {
		s.far.reset()
	}
	*s = Sum{far: s.far}
}

// Clone returns a copy that shares nothing with s.
func (s *Sum) Clone() Sum {
	c := *s
	c.far = nil
	if s.spilled {
		f := *s.far
		c.far = &f
	}
	return c
}

// addSlow adds the float64 with the bits b wherever it belongs. By is 1 when it was added and -1 when its negative was
// taken back: the difference matters only for what is not finite, which is counted.
func (s *Sum) addSlow(b uint64, by int64) {
	m, k, finite := split(b)
	switch {
	case !finite:
		if by < 0 {
			b ^= signBit
		}
		s.spill().count(b, by)
		return
	case m == 0:
		return
	case s.win.v.isZero():
		s.win.center(k)
	case !s.win.covers(k):
		if s.win.misses++; s.win.misses < maxMisses {
			s.spill().add(m, k, b&signBit != 0)
			return
		}
		s.flush()
		s.win.center(k)
	}
	if s.win.room == 0 && !s.win.renew() {
		s.flush()
	}
	s.win.addSplit(m, k, b&signBit != 0)
}

// addOutside adds the values of fs up to the first that the window covers, that is not finite, or that might be the reason
// to move the window, and returns how many these are. A window that is zero moves at once, which is for addSlow to do.
func (s *Sum) addOutside(fs []float64) int {
	if !s.spilled || s.win.v.isZero() {
		return 0
	}
	fs = fs[:min(len(fs), maxMisses-1-int(s.win.misses))]
	n := s.far.addRun(fs, uint64(s.win.base))
	s.win.misses += uint16(n)
	return n
}

// flush moves what the window holds to far.
func (s *Sum) flush() {
	s.spill().addWide(s.win.v, s.win.shift())
	s.win.v = int128{}
	s.win.renew()
}

// spill returns far for writing.
func (s *Sum) spill() *far {
	if s.far == nil {
		s.far = newFar()
	}
	s.spilled = true
	return s.far
}
