package logentry

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/x448/float16"
)

// The functions here write what the library's encoder would (TestAppend compares them), without making an interface of
// each value: a commit is encoded while its bucket waits.

// The major types of CBOR.
const (
	majorUint  = 0 << 5
	majorInt   = 1 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5
	majorTag   = 6 << 5
)

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// AppendArray begins an array of n elements, and AppendMap a map of n pairs.
func AppendArray(b []byte, n int) []byte { return appendHead(b, majorArray, uint64(n)) }

// AppendMap begins a map; its pairs come sorted by their encoded keys.
func AppendMap(b []byte, n int) []byte { return appendHead(b, majorMap, uint64(n)) }

// AppendUint appends a number.
func AppendUint(b []byte, n uint64) []byte { return appendHead(b, majorUint, n) }

// AppendInt appends an integer.
func AppendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majorInt, uint64(-1-n))
	}
	return appendHead(b, majorUint, uint64(n))
}

// AppendText appends a string, which is valid UTF-8.
func AppendText(b []byte, s string) []byte {
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

// AppendBytes appends a byte string.
func AppendBytes(b, s []byte) []byte {
	return append(appendHead(b, majorBytes, uint64(len(s))), s...)
}

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xf5)
	}
	return append(b, 0xf4)
}

// AppendNull appends null.
func AppendNull(b []byte) []byte { return append(b, 0xf6) }

// AppendFloat appends a float, which is no NaN, in the shortest form that is exact.
func AppendFloat(b []byte, f float64) []byte {
	g := float32(f)
	if float64(g) != f {
		return binary.BigEndian.AppendUint64(append(b, 0xfb), math.Float64bits(f))
	}
	if h := float16.Fromfloat32(g); h.Float32() == g {
		return binary.BigEndian.AppendUint16(append(b, 0xf9), h.Bits())
	}
	return binary.BigEndian.AppendUint32(append(b, 0xfa), math.Float32bits(g))
}

// AppendTime appends a time in UTC.
func AppendTime(b []byte, t time.Time) []byte {
	if t.Nanosecond() == 0 {
		return AppendInt(append(b, majorTag|1), t.Unix())
	}
	var text [len(time.RFC3339Nano)]byte
	s := t.UTC().AppendFormat(text[:0], time.RFC3339Nano)
	return append(appendHead(append(b, majorTag), majorText, uint64(len(s))), s...)
}

// AppendValue appends a canonical value of the store.
func AppendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return AppendNull(b), nil
	case string:
		return AppendText(b, v), nil
	case int64:
		return AppendInt(b, v), nil
	case float64:
		return AppendFloat(b, v), nil
	case bool:
		return AppendBool(b, v), nil
	case time.Time:
		return AppendTime(b, v), nil
	case []byte:
		return AppendBytes(b, v), nil
	case []any:
		b = AppendArray(b, len(v))
		for _, x := range v {
			var err error
			if b, err = AppendValue(b, x); err != nil {
				return nil, err
			}
		}
		return b, nil
	case map[string]any:
		b = AppendMap(b, len(v))
		for _, name := range sortedNames(v) {
			var err error
			if b, err = AppendValue(AppendText(b, name), v[name]); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	return nil, fmt.Errorf("logentry: a value of type %T", v)
}

// sortedNames returns the names of a map in the order of their encodings: shorter ones first.
func sortedNames[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
}

// AppendMarks appends the marks of a block.
func AppendMarks(b []byte, marks map[string]int64) []byte {
	b = AppendMap(b, len(marks))
	for _, name := range sortedNames(marks) {
		b = AppendInt(AppendText(b, name), marks[name])
	}
	return b
}
