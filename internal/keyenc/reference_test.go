package keyenc_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/noex-go/store/internal/keyenc"
)

// appendAny encodes v with the Append function of its type.
func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return keyenc.AppendNull(b)
	case bool:
		return keyenc.AppendBool(b, v)
	case int64:
		return keyenc.AppendInt(b, v)
	case float64:
		return keyenc.AppendFloat(b, v)
	case time.Time:
		return keyenc.AppendTime(b, v)
	case string:
		return keyenc.AppendString(b, v)
	case []byte:
		return keyenc.AppendBytes(b, v)
	default:
		panic(fmt.Sprintf("no encoding for %T", v))
	}
}

func encode(tuple ...any) []byte {
	var b []byte
	for _, v := range tuple {
		b = appendAny(b, v)
	}
	return b
}

// compareAny is the reference order of two values. It shares no arithmetic with the package: numbers compare as big.Float,
// which holds every int64 and every float64 exactly.
func compareAny(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case bool:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) // "false" < "true"
	case int64, float64:
		return compareNumbers(a, b)
	case time.Time:
		return a.Compare(b.(time.Time))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	default:
		return 0
	}
}

func rank(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int64, float64:
		return 2
	case time.Time:
		return 3
	case string:
		return 4
	default:
		return 5
	}
}

func compareNumbers(a, b any) int {
	x, xNaN := exact(a)
	y, yNaN := exact(b)
	if xNaN || yNaN {
		return cmp.Compare(fmt.Sprint(xNaN), fmt.Sprint(yNaN))
	}
	return x.Cmp(y)
}

func exact(v any) (f *big.Float, isNaN bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Float).SetInt64(v), false
	case float64:
		if math.IsNaN(v) {
			return nil, true
		}
		return new(big.Float).SetFloat64(v), false
	}
	panic("not a number")
}

// compareTuples is lexicographic; a tuple sorts before its extensions.
func compareTuples(a, b []any) int {
	for i := range min(len(a), len(b)) {
		if c := compareAny(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// decoded is what Any documents for v once encoded.
func decoded(v any) any {
	switch v := v.(type) {
	case float64:
		f, isNaN := exact(v)
		if !isNaN && f.IsInt() {
			if i, accuracy := f.Int64(); accuracy == big.Exact {
				return i
			}
		}
	case time.Time:
		return v.UTC().Round(0)
	case []byte:
		return append([]byte{}, v...)
	}
	return v
}

// nasty returns values at every edge of the encoding.
func nasty() []any {
	vs := []any{nil, false, true}

	for _, center := range []int64{0, 255, 256, 1 << 31, 1<<53 - 1, 1 << 53, 1 << 54, 1 << 60, 1 << 62} {
		for _, d := range []int64{-513, -512, -511, -257, -256, -3, -2, -1, 0, 1, 2, 3, 255, 256, 257, 511, 512, 513} {
			vs = append(vs, center+d, -center+d)
		}
	}
	for _, d := range []int64{0, 1, 2, 255, 510, 511, 512, 513, 514, 1023, 1024, 1025, 1535, 1536, 1537, 2048} {
		vs = append(vs, math.MaxInt64-d, math.MinInt64+d)
	}

	for _, f := range []float64{
		0, math.SmallestNonzeroFloat64, 0x1p-1022, 0.1, 0.5, 1, 1.5, 2, 3, 255, 256, 1 << 31, 1<<53 - 1, 1 << 53, 1 << 54,
		1 << 60, 1 << 62, 1 << 63, 1 << 64, 1e300, math.MaxFloat64, math.Inf(1),
	} {
		for _, g := range []float64{math.Nextafter(f, math.Inf(-1)), f, math.Nextafter(f, math.Inf(1))} {
			vs = append(vs, g, -g)
		}
	}
	vs = append(vs, math.Copysign(0, -1))

	for _, s := range []string{
		"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x00\xff\x00", "\x01", "\x01\x00", "\xff", "\xff\x00", "\xff\xff",
		"\xfe", "a", "a\x00", "a\x00\x00", "a\x00\x01", "a\x00b", "a\x00\xff", "a\x01", "a\xff", "aa", "ab", "b", "é", "z\x00",
		"\x10", "\x20", "\x30", "\x50", "\x60", "\x00\x01\x50", "\x00\x01\x60",
	} {
		vs = append(vs, s, []byte(s))
	}
	vs = append(vs, []byte(nil))

	east := time.FixedZone("east", 5*3600)
	for _, t := range []time.Time{
		{},
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC),
		time.Date(0, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1600, 2, 29, 12, 0, 0, 0, time.UTC),
		time.Unix(-1, 0), time.Unix(-1, 1), time.Unix(-1, 999_999_999), time.Unix(0, 0), time.Unix(0, 1), time.Unix(1, 0),
		time.Unix(0, 0).In(east),
		time.Date(2024, 2, 29, 0, 0, 0, 0, east),
		time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0), time.Unix(math.MaxInt64, 999_999_999),
		time.Unix(math.MaxInt64-62135596800, 0), time.Unix(math.MaxInt64-62135596800+1, 0), // the last and first time.Time
	} {
		vs = append(vs, t)
	}
	return vs
}
