package keyenc_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/stretchr/testify/require"
)

// TestLayout holds the table of doc.go: these bytes are on disk.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "10"},
		{false, "2000"},
		{true, "2001"},
		{int64(0), "30 8000000000000000 8000"},
		{math.Copysign(0, -1), "30 8000000000000000 8000"},
		{int64(1), "30 bff0000000000000 8000"},
		{1.5, "30 bff8000000000000 8000"},
		{int64(-1), "30 400fffffffffffff 8000"},
		{int64(1<<53 + 1), "30 c340000000000000 8001"},
		{int64(math.MaxInt64), "30 c3e0000000000000 7fff"},
		{int64(math.MaxInt64 - 511), "30 c3e0000000000000 7e00"},
		{int64(math.MinInt64), "30 3c1fffffffffffff 8000"},
		{math.Inf(1), "30 fff0000000000000 8000"},
		{math.Inf(-1), "30 000fffffffffffff 8000"},
		{math.NaN(), "30 fff8000000000000 8000"},
		{time.Time{}, "40 8000000000000000 00000000"},
		{time.Unix(0, 5), "40 8000000e7791f700 00000005"},
		{"", "50 0001"},
		{"a\x00b", "50 6100ff62 0001"},
		{[]byte("\xff\x00"), "60 ff00ff 0001"},
	} {
		want, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.want), []byte(" "), nil)))
		require.NoError(t, err)
		require.Equal(t, want, encode(c.v), "%#v", c.v)
	}
}

// TestOrderTable lists tuples in strictly ascending order; tuples in one row are equal.
func TestOrderTable(t *testing.T) {
	type tuple = []any
	rows := [][]tuple{
		{{}},
		{{nil}},
		{{nil, nil}},
		{{nil, "a"}},
		{{false}},
		{{true}},
		{{math.Inf(-1)}},
		{{-math.MaxFloat64}},
		{{int64(math.MinInt64)}, {-0x1p63}},
		{{int64(math.MinInt64 + 1)}},
		{{int64(-1<<53 - 1)}},
		{{int64(-1 << 53)}, {-0x1p53}},
		{{int64(-1)}, {-1.0}},
		{{-math.SmallestNonzeroFloat64}},
		{{int64(0)}, {0.0}, {math.Copysign(0, -1)}},
		{{math.SmallestNonzeroFloat64}},
		{{0.5}},
		{{int64(3)}, {3.0}},
		{{int64(3), nil}, {3.0, nil}},
		{{3.5}},
		{{int64(1 << 53)}, {0x1p53}},
		{{int64(1<<53 + 1)}},
		{{int64(1<<53 + 2)}, {0x1p53 + 2}},
		{{int64(math.MaxInt64 - 1)}},
		{{int64(math.MaxInt64)}},
		{{0x1p63}},
		{{math.Inf(1)}},
		{{math.NaN()}, {math.Float64frombits(0xFFF0_0000_0000_0001)}},
		{{time.Time{}}},
		{{time.Unix(-1, 999_999_999)}},
		{{time.Unix(0, 0)}, {time.Unix(0, 0).In(time.FixedZone("east", 3600))}},
		{{time.Unix(0, 1)}},
		{{""}},
		{{"", ""}},
		{{"", "a"}},
		{{"\x00"}},
		{{"a"}},
		{{"a", nil}},
		{{"a", "z"}},
		{{"a", []byte("z")}},
		{{"a\x00"}},
		{{"a\x00", nil}},
		{{"a\x00\x00"}},
		{{"a\x01"}},
		{{"ab"}},
		{{"ab", "c"}},
		{{"abc"}},
		{{"b"}},
		{{"\xff"}},
		{{"\xff\xff"}},
		{{[]byte(nil)}, {[]byte{}}},
		{{[]byte{0}}},
		{{[]byte{0xFF}}},
	}
	for i, row := range rows {
		for _, a := range row {
			for j, other := range rows {
				for _, b := range other {
					require.Equal(t, cmp.Compare(i, j), bytes.Compare(encode(a...), encode(b...)), "%#v against %#v", a, b)
				}
			}
		}
	}
}

func TestOrderPairwise(t *testing.T) {
	vs := nasty()
	for _, a := range vs {
		ka := encode(a)
		for _, b := range vs {
			got, want := bytes.Compare(ka, encode(b)), compareAny(a, b)
			if got != want { // require on each of 10^5 pairs takes seconds
				require.Equal(t, want, got, "%#v against %#v", a, b)
			}
		}
	}
}

func TestPrefixFree(t *testing.T) {
	vs := nasty()
	for _, a := range vs {
		ka := encode(a)
		for _, b := range vs {
			kb := encode(b)
			if len(ka) < len(kb) && bytes.HasPrefix(kb, ka) {
				require.Fail(t, "an encoding is a prefix of another", "%#v of %#v", a, b)
			}
		}
	}
}

// TestOrderRandomTuples draws tuples of up to four values, most of them alike, so that later values decide.
func TestOrderRandomTuples(t *testing.T) {
	rng := newRand(t)
	pool := nasty()
	for range 20_000 {
		a := randomTuple(rng, pool)
		b := randomTuple(rng, pool)
		if rng.IntN(2) == 0 {
			copy(b, a[:rng.IntN(len(a)+1)])
		}
		ka, kb := encode(a...), encode(b...)
		if want, got := compareTuples(a, b), bytes.Compare(ka, kb); got != want {
			require.Equal(t, want, got, "%#v against %#v", a, b)
		}

		var back []any
		for rest := ka; len(rest) > 0; {
			v, tail, err := keyenc.Next(rest)
			require.NoError(t, err)
			back, rest = append(back, v.Any()), tail
		}
		require.Len(t, back, len(a))
		require.Equal(t, 0, compareTuples(a, back), "%#v came back as %#v", a, back)
	}
}

func randomTuple(rng *rand.Rand, pool []any) []any {
	tuple := make([]any, rng.IntN(5))
	for i := range tuple {
		tuple[i] = randomValue(rng, pool)
	}
	return tuple
}

func randomValue(rng *rand.Rand, pool []any) any {
	switch rng.IntN(6) {
	case 0:
		return int64(rng.Uint64()) >> rng.IntN(64)
	case 1:
		if f := math.Float64frombits(rng.Uint64()); f == f {
			return f
		}
		return math.Inf(1)
	case 2: // a float within reach of an int
		return float64(int64(rng.Uint64()) >> rng.IntN(12))
	case 3:
		return time.Unix(int64(rng.Uint64())>>rng.IntN(64), rng.Int64N(1e9))
	case 4:
		s := make([]byte, rng.IntN(6))
		for i := range s {
			s[i] = "\x00\x01\x02a\xfe\xff"[rng.IntN(6)]
		}
		if rng.IntN(2) == 0 {
			return string(s)
		}
		return s
	default:
		return pool[rng.IntN(len(pool))]
	}
}

// newRand returns a source whose seed is logged; KEYENC_SEED replays one.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("KEYENC_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("KEYENC_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestRoundTrip(t *testing.T) {
	for _, v := range nasty() {
		k := encode(v)
		tail := []byte("tail")
		got, rest, err := keyenc.Next(append(slices.Clone(k), tail...))
		require.NoError(t, err, "%#v", v)
		require.Equal(t, tail, rest, "%#v", v)
		require.Equal(t, decoded(v), got.Any(), "%#v", v)
		require.Equal(t, k, encode(got.Any()), "%#v", v)
		require.Equal(t, k[0], byte(got.Kind), "%#v", v)
	}

	nan, _, err := keyenc.Next(encode(math.NaN()))
	require.NoError(t, err)
	require.True(t, math.IsNaN(nan.Any().(float64)))
}

// TestAnyIsACopy: what Any returned must survive a change of the input, with and without escapes in it.
func TestAnyIsACopy(t *testing.T) {
	for _, v := range []any{"abc", "a\x00c", []byte("abc"), []byte("a\x00c")} {
		k := encode(v)
		got, _, err := keyenc.Next(k)
		require.NoError(t, err)
		held := got.Any()
		clear(k)
		require.Equal(t, v, held)
	}
}

func TestZeroValue(t *testing.T) {
	require.Nil(t, keyenc.Value{}.Any())
	require.Equal(t, "kind(0x00)", keyenc.Value{}.Kind.String())
	require.Equal(t, "date", keyenc.KindDate.String())
}

func TestNextMalformed(t *testing.T) {
	for name, in := range map[string]string{
		"empty":                    "",
		"tag zero":                 "\x00",
		"tag unknown":              "\x11",
		"bool cut":                 "\x20",
		"bool two":                 "\x20\x02",
		"number odd NaN":           "\x30\xff\xf8\x00\x00\x00\x00\x00\x01\x80\x00",
		"number negative NaN":      "\x30\x00\x07\xff\xff\xff\xff\xff\xff\x80\x00",
		"number -0":                "\x30\x7f\xff\xff\xff\xff\xff\xff\xff\x80\x00",
		"residual on 0":            "\x30\x80\x00\x00\x00\x00\x00\x00\x00\x80\x01",
		"residual on 1.5":          "\x30\xbf\xf8\x00\x00\x00\x00\x00\x00\x80\x01",
		"residual on Inf":          "\x30\xff\xf0\x00\x00\x00\x00\x00\x00\x80\x01",
		"residual on -Inf":         "\x30\x00\x0f\xff\xff\xff\xff\xff\xff\x80\x01",
		"residual on NaN":          "\x30\xff\xf8\x00\x00\x00\x00\x00\x00\x80\x01",
		"residual over 2^63":       "\x30\xc3\xe0\x00\x00\x00\x00\x00\x00\x80\x01",
		"residual too far of 2^63": "\x30\xc3\xe0\x00\x00\x00\x00\x00\x00\x7d\xff",
		"residual under -2^63":     "\x30\x3c\x1f\xff\xff\xff\xff\xff\xff\x7f\xff",
		"residual of 2^53 too far": "\x30\xc3\x40\x00\x00\x00\x00\x00\x00\x80\x02",
		"residual below 2^53":      "\x30\xc3\x40\x00\x00\x00\x00\x00\x00\x7f\xff",
		"date full nanoseconds":    "\x40\x80\x00\x00\x00\x00\x00\x00\x00\x3b\x9a\xca\x00",
		"string unterminated":      "\x50abc",
		"string ends in escape":    "\x50abc\x00",
		"string escape unknown":    "\x50abc\x00\x02\x00\x01",
		"string escape doubled":    "\x50abc\x00\x00\x01",
		"bytes unterminated":       "\x60\x00\xff",
	} {
		v, rest, err := keyenc.Next([]byte(in))
		require.ErrorIs(t, err, keyenc.ErrMalformed, name)
		require.Zero(t, v, name)
		require.Nil(t, rest, name)
	}

	for _, v := range nasty() {
		k := encode(v)
		for cut := range k {
			_, _, err := keyenc.Next(k[:cut])
			require.ErrorIs(t, err, keyenc.ErrMalformed, "%#v cut to %d bytes", v, cut)
		}
	}
}

// TestSuccessor tries every prefix and every key of up to four bytes over an alphabet of edges.
func TestSuccessor(t *testing.T) {
	universe := [][]byte{{}}
	for start, length := 0, 1; length <= 4; length++ {
		end := len(universe)
		for _, k := range universe[start:end] {
			for _, c := range []byte{0, 1, 0xFE, 0xFF} {
				universe = append(universe, append(slices.Clone(k), c))
			}
		}
		start = end
	}
	for _, prefix := range universe {
		succ := keyenc.Successor(prefix)
		for _, k := range universe {
			if bytes.Compare(k, prefix) < 0 {
				continue
			}
			below := succ == nil || bytes.Compare(k, succ) < 0
			if below != bytes.HasPrefix(k, prefix) {
				require.Fail(t, "wrong successor", "% x of % x, tried with % x", succ, prefix, k)
			}
		}
	}

	require.Nil(t, keyenc.Successor(nil))
	require.Nil(t, keyenc.Successor([]byte{0xFF, 0xFF}))
	require.Equal(t, []byte{2}, keyenc.Successor([]byte{1, 0xFF}))

	prefix := encode("a", int64(-1))
	before := slices.Clone(prefix)
	succ := keyenc.Successor(prefix)
	succ[0] = 0xEE
	require.Equal(t, before, prefix, "the successor shares memory with the prefix")
}

// TestSuccessorOfStringPrefix holds the recipe in Successor's comment.
func TestSuccessorOfStringPrefix(t *testing.T) {
	for _, p := range nasty() {
		p, ok := p.(string)
		if !ok {
			continue
		}
		low := encode(p)
		low = low[:len(low)-2]
		high := keyenc.Successor(low)
		for _, v := range nasty() {
			k := encode(v)
			s, isString := v.(string)
			want := isString && len(s) >= len(p) && s[:len(p)] == p
			got := bytes.Compare(low, k) <= 0 && bytes.Compare(k, high) < 0
			require.Equal(t, want, got, "%#v starts with %q", v, p)
		}
	}
}

func TestFixed(t *testing.T) {
	for _, a := range nasty() {
		for _, b := range nasty() {
			switch a := a.(type) {
			case int64:
				if b, ok := b.(int64); ok && cmp.Compare(keyenc.Int64(a), keyenc.Int64(b)) != cmp.Compare(a, b) {
					require.Fail(t, "wrong order", "%d against %d", a, b)
				}
			case float64:
				if b, ok := b.(float64); ok && cmp.Compare(keyenc.Float64(a), keyenc.Float64(b)) != cmp.Compare(a, b) {
					require.Fail(t, "wrong order", "%g against %g", a, b)
				}
			}
		}
		switch a := a.(type) {
		case int64:
			require.Equal(t, a, keyenc.ToInt64(keyenc.Int64(a)))
		case float64:
			back := keyenc.ToFloat64(keyenc.Float64(a))
			require.Equal(t, math.Float64bits(a+0), math.Float64bits(back)) // -0 + 0 is +0
		}
	}
	require.Less(t, keyenc.Bool(false), keyenc.Bool(true))
	require.False(t, keyenc.ToBool(keyenc.Bool(false)))
	require.True(t, keyenc.ToBool(keyenc.Bool(true)))
	require.Greater(t, keyenc.Float64(math.NaN()), keyenc.Float64(math.Inf(1)))
	require.Equal(t, keyenc.Float64(math.NaN()), keyenc.Float64(-math.NaN()))
	require.True(t, math.IsNaN(keyenc.ToFloat64(keyenc.Float64(math.NaN()))))
}

func TestNoAllocations(t *testing.T) {
	buf := make([]byte, 0, 256)
	now, blob := time.Now(), []byte("x\x00y")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b := keyenc.AppendNull(buf)
		b = keyenc.AppendBool(b, true)
		b = keyenc.AppendInt(b, math.MaxInt64)
		b = keyenc.AppendFloat(b, 1.5)
		b = keyenc.AppendTime(b, now)
		b = keyenc.AppendString(b, "a\x00b")
		b = keyenc.AppendBytes(b, blob)
		for len(b) > 0 {
			_, rest, err := keyenc.Next(b)
			if err != nil {
				panic(err)
			}
			b = rest
		}
	}))
}
