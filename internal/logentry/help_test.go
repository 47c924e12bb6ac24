package logentry

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seeded returns a source of chance, from LOGENTRY_SEED or new, and logs its seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("LOGENTRY_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("LOGENTRY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

var specialFloats = []float64{
	0, math.Copysign(0, -1), 1, -1.5, math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
	math.SmallestNonzeroFloat32, math.MaxFloat64, math.MaxFloat32, 65504, 65505, 6.103515625e-05, 5.960464477539063e-08,
	2.98e-08, 1 << 53, 1<<53 + 2, 0x1p-1022, 0x1p-1023, 0.1, float64(float32(0.1)),
}

var specialInts = []int64{
	0, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, -1, -24, -25, -256, -257, -65536,
	-65537, math.MinInt64, math.MinInt64 + 1, 1<<53 + 1,
}

// randomFlat makes a value that holds no others.
func randomFlat(r *rand.Rand) any {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return randomInt(r)
	case 3:
		return randomFloat(r)
	case 4:
		return randomText(r)
	case 5:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 6:
		return randomTime(r).Truncate(time.Second)
	default:
		return randomTime(r)
	}
}

func randomInt(r *rand.Rand) int64 {
	if r.IntN(3) == 0 {
		return specialInts[r.IntN(len(specialInts))]
	}
	return r.Int64() >> r.IntN(64) * int64(1-2*r.IntN(2))
}

func randomFloat(r *rand.Rand) float64 {
	for {
		f := specialFloats[r.IntN(len(specialFloats))]
		switch r.IntN(5) {
		case 0:
			f = math.Float64frombits(r.Uint64())
		case 1:
			f = float64(math.Float32frombits(r.Uint32()))
		case 2:
			f = r.NormFloat64()
		}
		if !math.IsNaN(f) {
			return f
		}
	}
}

func randomText(r *rand.Rand) string {
	words := []string{"", "a", "id", "name", "\x00", "é", "世界", "\U0001F600", "\ufffd", "quite a long piece of text", `"\`, "\n"}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(words[r.IntN(len(words))])
	}
	if r.IntN(30) == 0 {
		b.WriteString(strings.Repeat("x", r.IntN(70_000)))
	}
	return b.String()
}

var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

func randomTime(r *rand.Rand) time.Time {
	switch r.IntN(12) {
	case 0:
		return firstTime
	case 1:
		return lastTime
	case 2:
		return firstTime.Add(1)
	}
	return time.Unix(firstTime.Unix()+r.Int64N(lastTime.Unix()-firstTime.Unix()), r.Int64N(1e9)).UTC()
}

func randomValue(r *rand.Rand, depth int) any {
	if depth > 0 {
		switch r.IntN(4) {
		case 0:
			list := make([]any, r.IntN(5))
			for i := range list {
				list[i] = randomValue(r, depth-1)
			}
			return list
		case 1:
			return randomMap(r, depth-1)
		}
	}
	return randomFlat(r)
}

func randomMap(r *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range r.IntN(5) {
		m[randomText(r)] = randomValue(r, depth)
	}
	return m
}

// requireSame fails unless two canonical values are the same: of one type, floats by their bits, times by instant and zone.
func requireSame(t *testing.T, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case float64:
		require.IsType(t, w, got)
		require.Equal(t, math.Float64bits(w), math.Float64bits(got.(float64)))
	case time.Time:
		require.IsType(t, w, got)
		g := got.(time.Time)
		require.True(t, w.Equal(g), "%v is not %v", g, w)
		require.Equal(t, time.UTC, g.Location())
	case []any:
		require.IsType(t, w, got)
		require.Len(t, got, len(w))
		for i := range w {
			requireSame(t, w[i], got.([]any)[i])
		}
	case map[string]any:
		require.IsType(t, w, got)
		require.Len(t, got, len(w))
		for name := range w {
			requireSame(t, w[name], got.(map[string]any)[name])
		}
	default:
		require.Equal(t, want, got)
	}
}
