package keyenc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Value is one decoded value. The zero Value is of no kind, and its Any is nil.
//
// A Value of KindString or KindBytes refers to the input of [Next]: it holds as long as that input is not changed. What Any
// returned is a copy and holds for ever.
type Value struct {
	Kind Kind

	isFloat bool   // KindNumber: bits are those of a float64, else of an int64
	nanos   uint32 // KindDate
	bits    uint64 // KindBool, KindNumber; KindDate: Unix seconds
	escaped []byte // KindString, KindBytes: the payload without its terminator
}

// Any returns the value as nil, bool, int64, float64, time.Time, string or []byte.
//
// A number is an int64 if it is whole and in the int64 range, else a float64. The encoding does not tell Float 3.0 from
// Int 3, so both come back as int64(3); a caller that knows its field to hold floats converts. A time is in UTC; bytes are
// never nil.
func (v Value) Any() any {
	switch v.Kind {
	case KindBool:
		return ToBool(v.bits)
	case KindNumber:
		if v.isFloat {
			return math.Float64frombits(v.bits)
		}
		return int64(v.bits)
	case KindDate:
		return time.Unix(int64(v.bits), int64(v.nanos)).UTC()
	case KindString:
		return string(unescape(v.escaped))
	case KindBytes:
		return append([]byte{}, unescape(v.escaped)...)
	default:
		return nil
	}
}

// unescape returns p itself if nothing in it is escaped.
func unescape(p []byte) []byte {
	if bytes.IndexByte(p, escape) < 0 {
		return p
	}
	return bytes.ReplaceAll(p, []byte{escape, escapedNUL}, []byte{0})
}

// Next decodes the first value of b and returns it with the bytes after it. It never panics. Any input that does not start
// with a value as the Append functions write it, the empty one included, is refused with an error that wraps
// [ErrMalformed]; rest is then nil.
func Next(b []byte) (v Value, rest []byte, err error) {
	if len(b) == 0 {
		return Value{}, nil, fmt.Errorf("%w: no value", ErrMalformed)
	}
	kind, payload := Kind(b[0]), b[1:]
	switch kind {
	case KindNull:
		return Value{Kind: KindNull}, payload, nil
	case KindBool:
		return nextBool(payload)
	case KindNumber:
		return nextNumber(payload)
	case KindDate:
		return nextDate(payload)
	case KindString, KindBytes:
		return nextEscaped(kind, payload)
	default:
		return Value{}, nil, fmt.Errorf("%w: unknown tag %#02x", ErrMalformed, b[0])
	}
}

func nextBool(b []byte) (Value, []byte, error) {
	if len(b) < 1 {
		return truncated(KindBool)
	}
	if b[0] > 1 {
		return Value{}, nil, fmt.Errorf("%w: bool is neither 0 nor 1", ErrMalformed)
	}
	return Value{Kind: KindBool, bits: uint64(b[0])}, b[1:], nil
}

func nextNumber(b []byte) (Value, []byte, error) {
	if len(b) < 10 {
		return truncated(KindNumber)
	}
	key, rest := binary.BigEndian.Uint64(b), b[10:]
	residual := int64(binary.BigEndian.Uint16(b[8:])) - residualBias
	f := ToFloat64(key)

	if Float64(f) != key {
		return Value{}, nil, fmt.Errorf("%w: number is -0 or an odd NaN", ErrMalformed)
	}
	whole := f >= -two63 && f <= two63 && f == math.Trunc(f)
	if residual == 0 && (!whole || f == two63) {
		return Value{Kind: KindNumber, isFloat: true, bits: math.Float64bits(f)}, rest, nil
	}
	if whole {
		// The sum wraps where the residual leads out of the int64 range, to an int at the other end that is not near f.
		if i := wrapInt64(f) + residual; float64(i) == f {
			return Value{Kind: KindNumber, bits: uint64(i)}, rest, nil
		}
	}
	return Value{}, nil, fmt.Errorf("%w: number's residual leads to no int", ErrMalformed)
}

func nextDate(b []byte) (Value, []byte, error) {
	if len(b) < 12 {
		return truncated(KindDate)
	}
	seconds := ToInt64(binary.BigEndian.Uint64(b)) - unixToYear1
	nanos := binary.BigEndian.Uint32(b[8:])
	if nanos >= 1e9 {
		return Value{}, nil, fmt.Errorf("%w: date has a full second of nanoseconds", ErrMalformed)
	}
	return Value{Kind: KindDate, bits: uint64(seconds), nanos: nanos}, b[12:], nil
}

func nextEscaped(kind Kind, b []byte) (Value, []byte, error) {
	for end := 0; ; {
		i := bytes.IndexByte(b[end:], escape)
		if i < 0 || end+i+1 == len(b) {
			return truncated(kind)
		}
		end += i
		switch b[end+1] {
		case terminator:
			return Value{Kind: kind, escaped: b[:end]}, b[end+2:], nil
		case escapedNUL:
			end += 2
		default:
			return Value{}, nil, fmt.Errorf("%w: unknown escape in %v", ErrMalformed, kind)
		}
	}
}

func truncated(kind Kind) (Value, []byte, error) {
	return Value{}, nil, fmt.Errorf("%w: %v cut short", ErrMalformed, kind)
}
