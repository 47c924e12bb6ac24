package exactsum

import (
	"math"
	"math/bits"
)

const (
	signBit  = 1 << 63
	fracBits = 52            // of a float64, without the leading one
	leading  = 1 << fracBits // the leading one of a normal float64
	expMask  = 0x7ff         // of the biased exponent

	winWidth  = 64                     // how many exponents a window covers
	winBelow  = 32                     // how many of them lie below the value that it was centered on
	winTop    = expMask - winWidth     // the highest base: the exponent of infinities stays outside
	winRoom   = 1 << 10                // how many additions are safe from a value below winSafe
	winSafe   = 126                    // in bits
	mergeSafe = winSafe - 1            // so that the sum of two is below winSafe
	gridBelow = winBelow - gridWidth/2 // where the grid starts: in the middle
	maxMisses = 256                    // how many values may miss a window before it moves
)

// window is the sum of values of similar magnitude.
//
// Its invariant: |v| + room*2^116 <= 2^127, so that room more values of up to 53+63 bits cannot overflow v.
type window struct {
	v      int128 // in units of 2^shift times the smallest positive float64
	base   uint16 // the biased exponent whose mantissas are not shifted; 0 while there is no window, else at least 1
	room   uint16 // how many values may be added before renew; 0 while there is no window
	misses uint16 // how many values were outside since the window moved, below maxMisses
	grid   uint16 // the lowest biased exponent that addGrid takes: base <= grid <= base+winWidth-gridWidth
}

// split takes a float64 apart: it is m*2^k times the smallest positive float64 (the sign apart), with m below 2^53. It is
// false for an infinity and a NaN.
func split(b uint64) (m uint64, k uint, finite bool) {
	e := uint(b >> fracBits & expMask)
	m = b & (leading - 1)
	if e == 0 {
		return m, 0, true
	}
	return m | leading, e - 1, e != expMask
}

// shift returns the power of two that v is scaled by.
func (w *window) shift() uint { return uint(w.base) - 1 }

// covers tells whether a mantissa scaled by 2^k belongs into the window.
func (w *window) covers(k uint) bool { return k-w.shift() < winWidth }

// center puts the window, which must be zero, around values scaled by 2^k.
func (w *window) center(k uint) {
	base := min(max(int(k)-winBelow, 0)+1, winTop)
	*w = window{base: uint16(base), room: winRoom, grid: uint16(base) + gridBelow}
}

// renew makes room for more values; it is false when v is too large for that.
func (w *window) renew() bool {
	if w.v.abs().bitLen() > winSafe {
		return false
	}
	w.room = winRoom
	return true
}

// add adds the float64 with the bits b if it is a normal number that the window covers and has room for.
func (w *window) add(b uint64) bool {
	shift := b>>fracBits&expMask - uint64(w.base)
	if shift >= winWidth || w.room == 0 {
		return false
	}
	w.room--
	w.v = w.v.add(shifted(b, shift))
	return true
}

// addSplit adds a number as split returns it; the window must cover it and have room.
func (w *window) addSplit(m uint64, k uint, negative bool) {
	v := int128{lo: m}.shl(k - w.shift())
	w.room--
	if negative {
		w.v = w.v.sub(v)
	} else {
		w.v = w.v.add(v)
	}
}

// addRun adds the values of fs up to the first that add would refuse, and returns how many these are. After such a value
// there may soon be another: paused leaves the grid out for a while.
func (w *window) addRun(fs []float64, paused bool) int {
	fs = fs[:min(len(fs), int(w.room))]
	n := 0
	for n < len(fs) {
		if !paused && len(fs)-n >= gridMin {
			n += w.addGrid(fs[n:])
		}
		next := min(n+gridPause, len(fs))
		if n += w.addExact(fs[n:next]); n < next {
			break
		}
		paused = false
	}
	return n
}

// addExact does what addRun does, in integers and for any value that the window covers, at twice the cost of addGrid.
func (w *window) addExact(fs []float64) int {
	v, base, n := w.v, uint64(w.base), len(fs)
	for i, f := range fs {
		b := math.Float64bits(f)
		shift := b>>fracBits&expMask - base
		if shift >= winWidth {
			if b<<1 == 0 {
				continue
			}
			n = i
			break
		}
		v = v.add(shifted(b, shift))
	}
	w.v = v
	w.room -= uint16(n)
	return n
}

// shifted returns the mantissa of a normal float64 with its sign, times 2^shift, which is below 2^64. The product of the
// mantissas in two's complement is unsigned: a negative one is 2^64 too large, which is taken back in the high word.
func shifted(b, shift uint64) int128 {
	sign := uint64(int64(b) >> 63)
	m := (b&(leading-1) | leading) ^ sign - sign
	scale := uint64(1) << (shift % winWidth)
	hi, lo := bits.Mul64(m, scale)
	return int128{hi: hi - scale&sign, lo: lo}
}

// merge adds what o holds, if that fits: it is false when it does not, and w is as it was.
func (w *window) merge(o window) bool {
	if w.v.isZero() {
		*w = o
		return true
	}
	base := min(w.base, o.base)
	a, ok := w.v.scale(uint(w.base - base))
	b, ok2 := o.v.scale(uint(o.base - base))
	if !ok || !ok2 {
		return false
	}
	if base < w.base {
		w.base, w.grid = base, o.grid
	}
	w.v, w.room = a.add(b), winRoom
	return true
}

// scale returns x << n, if that leaves it below mergeSafe bits.
func (x int128) scale(n uint) (int128, bool) {
	if x.abs().bitLen()+int(n) > mergeSafe {
		return x, false
	}
	return x.shl(n), true
}
