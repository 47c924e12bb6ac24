package keyenc_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/stretchr/testify/require"
)

// fuzzValue makes a value of any kind from what the fuzzer can vary.
func fuzzValue(kind uint8, bits uint64, data []byte) any {
	switch kind % 9 {
	case 0:
		return nil
	case 1:
		return bits&1 == 1
	case 2:
		return int64(bits)
	case 3:
		return math.Float64frombits(bits)
	case 4: // the float nearest to an int, so that ints and floats meet
		return float64(int64(bits))
	case 5:
		return time.Unix(int64(bits), int64(len(data)))
	case 6:
		return time.Unix(0, int64(bits))
	case 7:
		return string(data)
	default:
		return data
	}
}

// FuzzOrder checks two values against the reference order, alone and before a second value of a tuple.
func FuzzOrder(f *testing.F) {
	f.Add(uint8(2), uint64(1<<53+1), []byte(nil), uint8(4), uint64(1<<53+1), []byte(nil))
	f.Add(uint8(2), uint64(math.MaxInt64), []byte(nil), uint8(4), uint64(math.MaxInt64), []byte(nil))
	f.Add(uint8(3), uint64(1<<63), []byte(nil), uint8(2), uint64(0), []byte(nil)) // -0 and 0
	f.Add(uint8(5), uint64(math.MaxInt64), []byte("a"), uint8(6), uint64(1<<63), []byte(nil))
	f.Add(uint8(7), uint64(0), []byte("a\x00"), uint8(7), uint64(0), []byte("a"))
	f.Add(uint8(8), uint64(0), []byte("a\x00\xff"), uint8(8), uint64(0), []byte("a\x00\x01"))
	f.Fuzz(func(t *testing.T, kindA uint8, bitsA uint64, dataA []byte, kindB uint8, bitsB uint64, dataB []byte) {
		a, b := fuzzValue(kindA, bitsA, dataA), fuzzValue(kindB, bitsB, dataB)
		require.Equal(t, compareAny(a, b), bytes.Compare(encode(a), encode(b)), "%#v against %#v", a, b)

		ab, ba := []any{a, b}, []any{b, a}
		require.Equal(t, compareTuples(ab, ba), bytes.Compare(encode(ab...), encode(ba...)), "%#v against %#v", ab, ba)

		v, rest, err := keyenc.Next(encode(a))
		require.NoError(t, err, "%#v", a)
		require.Empty(t, rest)
		require.Zero(t, compareAny(a, v.Any()), "%#v came back as %#v", a, v.Any())
	})
}

// FuzzNext checks that no input panics and that an accepted one is the encoding of what it decoded to.
func FuzzNext(f *testing.F) {
	for _, v := range nasty() {
		f.Add(encode(v))
	}
	f.Add(encode("a\x00", int64(1<<53+1), 1.5, true, nil, time.Unix(0, 1), []byte{0}))
	f.Fuzz(func(t *testing.T, in []byte) {
		for b := in; ; {
			v, rest, err := keyenc.Next(b)
			if err != nil {
				require.ErrorIs(t, err, keyenc.ErrMalformed)
				return
			}
			require.Equal(t, b[:len(b)-len(rest)], encode(v.Any()))
			b = rest
		}
	})
}
