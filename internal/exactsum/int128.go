package exactsum

import "math/bits"

// maxIntRun is how many values sumInts takes: their low halves have to fit in 64 bits together.
const maxIntRun = 1 << 30

// int128 is a two's complement integer. Its operations wrap around.
type int128 struct{ hi, lo uint64 }

func int128From(i int64) int128 { return int128{hi: uint64(i >> 63), lo: uint64(i)} }

func (x int128) isZero() bool { return x.hi|x.lo == 0 }

func (x int128) negative() bool { return int64(x.hi) < 0 }

func (x int128) add(y int128) int128 {
	lo, carry := bits.Add64(x.lo, y.lo, 0)
	hi, _ := bits.Add64(x.hi, y.hi, carry)
	return int128{hi, lo}
}

func (x int128) sub(y int128) int128 {
	lo, borrow := bits.Sub64(x.lo, y.lo, 0)
	hi, _ := bits.Sub64(x.hi, y.hi, borrow)
	return int128{hi, lo}
}

// abs returns the magnitude of x, as an unsigned number.
func (x int128) abs() int128 {
	if x.negative() {
		return int128{}.sub(x)
	}
	return x
}

// bitLen returns the length of x as an unsigned number.
func (x int128) bitLen() int {
	if x.hi != 0 {
		return 64 + bits.Len64(x.hi)
	}
	return bits.Len64(x.lo)
}

// shl returns x << n, for any n.
func (x int128) shl(n uint) int128 {
	return int128{hi: x.hi<<n | x.lo>>(64-n) | x.lo<<(n-64), lo: x.lo << n}
}

// shr returns x >> n of x as an unsigned number, for any n, and whether a bit that was set is lost.
func (x int128) shr(n uint) (y int128, lost bool) {
	y = int128{hi: x.hi >> n, lo: x.lo>>n | x.hi<<(64-n) | x.hi>>(n-64)}
	return y, y.shl(n) != x
}

// sumInts returns the sum of up to maxIntRun values. It adds the values modulo 2^64 and, apart, their high halves: two
// additions without a carry between them for each value. What the low halves add up to is the difference.
func sumInts(is []int64) int128 {
	var sum, high int64
	for ; len(is) >= 4; is = is[4:] {
		a, b, c, d := is[0], is[1], is[2], is[3]
		sum += a + b + c + d
		high += a>>32 + b>>32 + c>>32 + d>>32
	}
	for _, i := range is {
		sum += i
		high += i >> 32
	}
	low := uint64(sum) - uint64(high)<<32
	return int128{hi: uint64(high >> 32), lo: uint64(high) << 32}.add(int128{lo: low})
}
