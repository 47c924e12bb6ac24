package exactsum

import "math"

const (
	gridWidth = 32                          // how many exponents a grid covers: a power of two, for one comparison of four
	gridSplit = 42                          // how many bits the two accumulators of a grid are apart
	gridBlock = 1 << 9                      // how many values a grid takes at a time, half of what it could
	gridMin   = 16                          // below that many values a grid costs more than it saves
	gridPause = 64                          // how many values are added without it once a value was not covered
	gridTop   = expMask - 1 - gridSplit     // the highest grid: its high accumulator is finite
	halfBit   = 1 << (fracBits - 1)         // of 1.5
	gridSpan  = gridWidth << (fracBits + 1) // gridWidth as above has it
)

// addGrid adds some of the first values of fs in floating point, and returns how many: a multiple of four.
//
// The values are multiples of one unit, the last place of a float64 with the exponent grid, and below 2^84 units. An
// accumulator starts as 1.5*2^52 times what it counts in: adding to it rounds to a multiple of that, exactly as long as it
// stays between 2^52 and 2^53. High counts in 2^42 units, so that its 256 values take it at most 2^50 from where it started.
// What it rounded off, x-(t-high), is exact, at most 2^41 units, and counted by low in units: at most 2^49. There are no
// products that a compiler might fuse. Two pairs of accumulators let the processor add to both at a time.
func (w *window) addGrid(fs []float64) int {
	fs = fs[:min(len(fs), gridBlock)]
	grid := uint64(w.grid)
	highZero, lowZero := (grid+gridSplit)<<fracBits|halfBit, grid<<fracBits|halfBit
	high, low := math.Float64frombits(highZero), math.Float64frombits(lowZero)
	high2, low2 := high, low
	n, shift := 0, uint(w.grid-w.base) // of this grid, which aim may move
	for ; n+4 <= len(fs); n += 4 {
		x := fs[n : n+4 : n+4]
		if above(x[0], grid)|above(x[1], grid)|above(x[2], grid)|above(x[3], grid) >= gridSpan {
			w.aim(x)
			break
		}
		t, t2 := high+x[0], high2+x[1]
		low += x[0] - (t - high)
		low2 += x[1] - (t2 - high2)
		high, high2 = t+x[2], t2+x[3]
		low += x[2] - (high - t)
		low2 += x[3] - (high2 - t2)
	}
	w.addUnits(math.Float64bits(high)+math.Float64bits(high2)-2*highZero, shift+gridSplit)
	w.addUnits(math.Float64bits(low)+math.Float64bits(low2)-2*lowZero, shift)
	w.room -= uint16(n)
	return n
}

// above returns by how much the exponent of f is above that of the grid, in the high bits; it wraps around to a large number
// if it is below. What follows is the fraction of f.
func above(f float64, grid uint64) uint64 { return math.Float64bits(f)<<1 - grid<<(fracBits+1) }

// addUnits adds n*2^shift, where n is signed.
func (w *window) addUnits(n uint64, shift uint) {
	w.v = w.v.add(int128From(int64(n)).shl(shift))
}

// aim moves the grid so that it covers those of fs that the window covers, as far as it is wide enough.
func (w *window) aim(fs []float64) {
	for _, f := range fs {
		e := uint16(math.Float64bits(f) >> fracBits & expMask)
		switch {
		case e-w.base >= winWidth:
		case e < w.grid:
			w.grid = e
		case e >= w.grid+gridWidth:
			w.grid = min(e-gridWidth+1, gridTop)
		}
	}
}
