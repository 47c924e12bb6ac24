package exactsum

import (
	"math"
	"math/bits"
)

// maxBase is the scale of the largest float64: MaxFloat64 is (2^53-1)*2^maxBase times the smallest positive float64.
const maxBase = expMask - 2

// intScale is the scale of an int64: 1 is 2^intScale times the smallest positive float64.
const intScale = 1074

// number is a finite sum to be rounded: (v + rest)*2^k times the smallest positive float64, with the sign apart, and
// 0 <= rest < 1. Unless it is zero the highest of the 128 bits of v is set.
type number struct {
	v        int128
	k        int
	rest     bool // rest is not zero
	negative bool
}

// Float64 returns the sum, rounded once to the nearest float64, ties to even. It is an infinity from half a unit in the last
// place above MaxFloat64 on, and if infinities of one sign were added; it is NaN if infinities of both signs or a NaN were
// added. An exact zero is +0.
func (s *Sum) Float64() float64 {
	if f, ok := s.special(); ok {
		return f
	}
	return s.number().round()
}

// Mean returns the sum divided by n, rounded once to the nearest float64, ties to even. The sum itself may be beyond
// MaxFloat64. A negative sum whose mean is rounded to zero gives -0. With n < 1 there is no mean: it is NaN.
func (s *Sum) Mean(n int64) float64 {
	if n < 1 {
		return math.NaN()
	}
	if f, ok := s.special(); ok {
		return f
	}
	return s.number().divide(uint64(n)).round()
}

// Int64 returns the sum if it is an integer that an int64 holds.
func (s *Sum) Int64() (i int64, ok bool) {
	if _, special := s.special(); special {
		return 0, false
	}
	if !s.spilled && s.win.v.isZero() {
		if i = int64(s.ints.lo); s.ints == int128From(i) {
			return i, true
		}
		return 0, false
	}
	return s.number().integer()
}

// Sign returns -1, 0 or 1: the sign of the exact sum, also where Float64 would overflow. It is 0 where Float64 is NaN.
func (s *Sum) Sign() int {
	if f, ok := s.special(); ok {
		switch {
		case f > 0:
			return 1
		case f < 0:
			return -1
		}
		return 0
	}
	x := s.number()
	switch {
	case x.v.isZero():
		return 0
	case x.negative:
		return -1
	}
	return 1
}

// special is special of far.
func (s *Sum) special() (float64, bool) {
	if !s.spilled {
		return 0, false
	}
	return s.far.special()
}

// number returns the sum of the finite values. Where only the ints or only the window hold something, which is the common
// case, the chunks are left out.
func (s *Sum) number() number {
	switch {
	case s.spilled:
	case s.ints.isZero():
		return normalize(s.win.v, int(s.win.base)-1)
	case s.win.v.isZero():
		return normalize(s.ints, intScale)
	}
	var c chunks
	if s.spilled {
		c = s.far.c
		c.carry()
	}
	c.addWide(s.ints, intScale)
	if !s.win.v.isZero() {
		c.addWide(s.win.v, s.win.shift())
	}
	c.carry()
	return c.number()
}

// normalize returns v*2^k.
func normalize(v int128, k int) number {
	if v.isZero() {
		return number{}
	}
	x := number{v: v.abs(), negative: v.negative()}
	up := 128 - x.v.bitLen()
	x.v, x.k = x.v.shl(uint(up)), k-up
	return x
}

// number returns c, which must be carried and is changed.
func (c *chunks) number() number {
	negative := c.abs()
	i := topChunk
	for i > 0 && c[i] == 0 {
		i--
	}
	if c[i] == 0 {
		return number{}
	}
	// The top chunk has up to 32 bits, so that four chunks have more than 96 and the fifth has what is missing to 128.
	up := uint(bits.LeadingZeros32(uint32(c[i])))
	v := int128{hi: c.at(i)<<chunkBits | c.at(i-1), lo: c.at(i-2)<<chunkBits | c.at(i-3)}.shl(up)
	fifth := c.at(i-4) << up
	v.lo |= fifth >> chunkBits
	rest := fifth&chunkMask != 0
	for j := i - 5; j >= 0 && !rest; j-- {
		rest = c[j] != 0
	}
	return number{v: v, k: (i-3)*chunkBits - int(up), rest: rest, negative: negative}
}

// divide returns x/n. The quotient keeps at least 65 bits, enough to round: all that is lost is in rest.
func (x number) divide(n uint64) number {
	hi, r := x.v.hi/n, x.v.hi%n
	lo, r := bits.Div64(r, x.v.lo, n)
	x.v = int128{hi, lo}
	x.rest = x.rest || r != 0
	return x
}

// round returns the nearest float64, ties to even.
//
// The bits that stay are those from base upwards: the 53 highest, but none below the smallest positive float64. A carry out
// of the mantissa moves into the exponent by itself, because the two are added.
func (x number) round() float64 {
	base := max(x.k+x.v.bitLen()-fracBits-1, 0)
	if base > maxBase {
		return x.signed(math.Float64bits(math.Inf(1)))
	}
	drop := uint(base - x.k)
	kept, _ := x.v.shr(drop)
	half, lost := x.v.shr(drop - 1)
	mantissa := kept.lo
	if half.lo&1 != 0 && (lost || x.rest || mantissa&1 != 0) {
		mantissa++
	}
	return x.signed(uint64(base)<<fracBits + mantissa)
}

// signed returns the float64 with the bits b and the sign of x.
func (x number) signed(b uint64) float64 {
	if x.negative {
		b |= signBit
	}
	return math.Float64frombits(b)
}

// integer returns x if it is an integer that an int64 holds. A number with a rest spans more than 128 bits: it is too large
// or has a fraction.
func (x number) integer() (int64, bool) {
	if x.v.isZero() {
		return 0, true
	}
	if x.rest || x.k >= intScale {
		return 0, false
	}
	v, fraction := x.v.shr(uint(intScale - x.k))
	switch {
	case fraction || v.hi != 0:
		return 0, false
	case x.negative && v.lo <= signBit:
		return -int64(v.lo), true
	case !x.negative && v.lo < signBit:
		return int64(v.lo), true
	}
	return 0, false
}
