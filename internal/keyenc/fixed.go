package keyenc

import "math"

const signBit = 1 << 63

// canonicalNaN is the one NaN that is encoded; its key is above that of +Inf.
const canonicalNaN = 0x7FF8_0000_0000_0000

// Int64 returns a key whose unsigned order is the order of v. It serves an index over one int field and does not compare
// with the keys of [Float64].
func Int64(v int64) uint64 { return uint64(v) ^ signBit }

// ToInt64 is the inverse of [Int64].
func ToInt64(key uint64) int64 { return int64(key ^ signBit) }

// Float64 returns a key whose unsigned order is the order of v. -0 has the key of +0. The caller has refused NaN already;
// should one get here, every NaN has one key, above that of +Inf.
func Float64(v float64) uint64 {
	bits := math.Float64bits(v)
	switch {
	case v == 0:
		bits = 0
	case v != v:
		bits = canonicalNaN
	}
	if bits&signBit != 0 {
		return ^bits
	}
	return bits | signBit
}

// ToFloat64 is the inverse of [Float64]. It is defined for the keys that Float64 returns and does not check that key is one.
func ToFloat64(key uint64) float64 {
	if key&signBit != 0 {
		return math.Float64frombits(key &^ signBit)
	}
	return math.Float64frombits(^key)
}

// Bool returns 0 for false and 1 for true.
func Bool(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// ToBool is the inverse of [Bool]. Any key but 0 is true.
func ToBool(key uint64) bool { return key != 0 }
