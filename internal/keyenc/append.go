package keyenc

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
)

const (
	// residualBias makes the signed residual of a number sort as an unsigned one.
	residualBias = 1 << 15

	// two63 is the nearest float64 of the largest ints, one past the int64 range.
	two63 = float64(1 << 63)

	// unixToYear1 is added to Unix seconds to count from 0001-01-01 UTC, as package time does inside. Counting from 1970
	// would order alike for every year that can be printed, but wraps for the earliest instants that a time.Time can hold.
	unixToYear1 = (1969*365 + 1969/4 - 1969/100 + 1969/400) * 86400

	escape     = 0x00 // starts a two-byte sequence in the payload of strings and bytes
	escapedNUL = 0xFF // after escape: one 0x00
	terminator = 0x01 // after escape: the end; below escapedNUL, so that "a" < "a\x00"
)

// AppendNull appends null, which sorts before every other value.
func AppendNull(b []byte) []byte { return append(b, byte(KindNull)) }

// AppendBool appends v; false sorts before true.
func AppendBool(b []byte, v bool) []byte {
	return append(b, byte(KindBool), byte(Bool(v)))
}

// AppendInt appends v exactly. It sorts among floats by value.
func AppendInt(b []byte, v int64) []byte {
	f := float64(v)
	return appendNumber(b, f, int16(v-wrapInt64(f)))
}

// AppendFloat appends v, which sorts among ints by value: a whole v in the int64 range has the bytes of that int, and -0
// those of 0. The caller has refused NaN already; should one get here, every NaN is one number that sorts after +Inf.
func AppendFloat(b []byte, v float64) []byte { return appendNumber(b, v, 0) }

func appendNumber(b []byte, nearest float64, residual int16) []byte {
	b = append(b, byte(KindNumber))
	b = binary.BigEndian.AppendUint64(b, Float64(nearest))
	return binary.BigEndian.AppendUint16(b, uint16(residual)+residualBias)
}

// wrapInt64 returns f modulo 2^64 as an int64: the plain conversion, but for 2^63, whose conversion the language leaves to
// the platform. f is whole and within [-2^63, 2^63].
func wrapInt64(f float64) int64 {
	if f == two63 {
		return -1 << 63
	}
	return int64(f)
}

// AppendTime appends the instant of v, to the nanosecond. Location and monotonic reading are not kept.
func AppendTime(b []byte, v time.Time) []byte {
	b = append(b, byte(KindDate))
	b = binary.BigEndian.AppendUint64(b, Int64(v.Unix()+unixToYear1))
	return binary.BigEndian.AppendUint32(b, uint32(v.Nanosecond()))
}

// AppendString appends v, which sorts by its bytes and need not be valid UTF-8.
func AppendString(b []byte, v string) []byte {
	b = append(b, byte(KindString))
	for {
		i := strings.IndexByte(v, escape)
		if i < 0 {
			break
		}
		b = append(b, v[:i]...)
		b = append(b, escape, escapedNUL)
		v = v[i+1:]
	}
	b = append(b, v...)
	return append(b, escape, terminator)
}

// AppendBytes appends v. Nil and empty are the same value.
func AppendBytes(b, v []byte) []byte {
	b = append(b, byte(KindBytes))
	for {
		i := bytes.IndexByte(v, escape)
		if i < 0 {
			break
		}
		b = append(b, v[:i]...)
		b = append(b, escape, escapedNUL)
		v = v[i+1:]
	}
	b = append(b, v...)
	return append(b, escape, terminator)
}

// Successor returns the smallest key that is greater than every key that starts with prefix, as a fresh slice. It returns
// nil if there is none: prefix is empty or all 0xFF, which no tuple is.
//
// With the encoding of leading values as prefix, [prefix, Successor(prefix)) holds the tuples that start with them. With an
// encoded string cut by its last two bytes, the terminator, it holds the strings that start with that string.
func Successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			next := bytes.Clone(prefix[:i+1])
			next[i]++
			return next
		}
	}
	return nil
}
