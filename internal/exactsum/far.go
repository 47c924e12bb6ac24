package exactsum

import "math"

const (
	chunkBits = 32
	chunkMask = 1<<chunkBits - 1
	topChunk  = 67        // the highest chunk: its 2^(67*32-1074) is 2^1070
	farRoom   = 1<<11 - 1 // how many additions are safe after a carry
)

// chunks is an integer, in units of the smallest positive float64: the sum of c[i]*2^(32*i), with chunks that overlap.
type chunks [topChunk + 1]int64

// far is a small superaccumulator and the counts of what is not finite.
//
// Its invariant: |c[i]| <= 2^32 + (farRoom-room)*2^52 for every chunk but the top one, which fits as long as the limit of
// 2^63 values holds. An addition changes a chunk by less than 2^52, so that room of them, and the carries after them, fit
// in an int64.
type far struct {
	c    chunks
	room int

	posInf, negInf, nan int64 // a count is negative where more was taken back than added
}

func newFar() *far { return &far{room: farRoom} }

func (f *far) reset() { *f = far{room: farRoom} }

// add adds a number as split returns it.
func (f *far) add(m uint64, k uint, negative bool) {
	f.use(1)
	f.c.add(m, k, negative)
}

// addRun adds the values of fs, at most farRoom, up to the first that is zero or not finite, or whose exponent is one of a
// window at base, and returns how many these are.
func (f *far) addRun(fs []float64, base uint64) int {
	f.use(len(fs))
	for i, x := range fs {
		b := math.Float64bits(x)
		m, k, finite := split(b)
		if m == 0 || !finite || b>>fracBits&expMask-base < winWidth {
			f.room += len(fs) - i
			return i
		}
		f.c.add(m, k, b&signBit != 0)
	}
	return len(fs)
}

// addWide adds v*2^k.
func (f *far) addWide(v int128, k uint) {
	f.use(1)
	f.c.addWide(v, k)
}

// use takes n additions from the room.
func (f *far) use(n int) {
	if f.room < n {
		f.c.carry()
		f.room = farRoom
	}
	f.room -= n
}

// merge adds what o holds; o may be f.
func (f *far) merge(o *far) {
	f.posInf += o.posInf
	f.negInf += o.negInf
	f.nan += o.nan
	f.c.carry() // what o may hold at most and 2^32 still fit
	for i := range f.c {
		f.c[i] += o.c[i]
	}
	f.c.carry()
	f.room = farRoom
}

// count counts the infinity or NaN with the bits b.
func (f *far) count(b uint64, by int64) {
	switch v := math.Float64frombits(b); {
	case v > 0:
		f.posInf += by
	case v < 0:
		f.negInf += by
	default:
		f.nan += by
	}
}

// special returns what infinities and NaNs make of the sum; it is false when there are none. An infinity that was taken
// back but never added counts as its opposite.
func (f *far) special() (float64, bool) {
	up := f.posInf > 0 || f.negInf < 0
	down := f.negInf > 0 || f.posInf < 0
	switch {
	case f.nan != 0 || up && down:
		return math.NaN(), true
	case up:
		return math.Inf(1), true
	case down:
		return math.Inf(-1), true
	}
	return 0, false
}

// add adds a number as split returns it. A mantissa shifted by up to 31 bits has its lowest 32 bits in one chunk and the
// rest, at most 52 bits, in the next.
func (c *chunks) add(m uint64, k uint, negative bool) {
	i, j := k/chunkBits, k%chunkBits
	low, high := int64(m<<j&chunkMask), int64(m>>(chunkBits-j))
	if negative {
		low, high = -low, -high
	}
	c[i] += low
	c[i+1] += high
}

// addWide adds v*2^k. It changes no chunk by 2^33 or more.
func (c *chunks) addWide(v int128, k uint) {
	sign := int64(1)
	if v.negative() {
		sign = -1
	}
	v = v.abs()
	i, j := k/chunkBits, k%chunkBits
	for _, word := range [4]uint64{v.lo & chunkMask, v.lo >> chunkBits, v.hi & chunkMask, v.hi >> chunkBits} {
		c[i] += sign * int64(word<<j&chunkMask)
		c[i+1] += sign * int64(word<<j>>chunkBits)
		i++
	}
}

// carry makes every chunk but the top one a number of 32 bits that is not negative, so that the sign is that of the top
// one. The value stays.
func (c *chunks) carry() {
	over := int64(0)
	for i := range c[:topChunk] {
		v := c[i] + over
		c[i], over = v&chunkMask, v>>chunkBits
	}
	c[topChunk] += over
}

// abs makes c, which must be carried, its magnitude and tells whether it was negative.
func (c *chunks) abs() (negative bool) {
	if c[topChunk] >= 0 {
		return false
	}
	for i := range c {
		c[i] = -c[i]
	}
	c.carry()
	return true
}

// at returns chunk i, which is zero below the lowest.
func (c *chunks) at(i int) uint64 {
	if i < 0 {
		return 0
	}
	return uint64(c[i])
}
