package exactsum

import (
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// model is the oracle: the sum as a big integer in units of 2^-1074, and what is not finite counted apart.
type model struct {
	sum                 big.Int
	posInf, negInf, nan int
}

// units returns a finite f in units of 2^-1074, by way of big.Float.
func units(f float64) *big.Int {
	x := big.NewFloat(f)
	x.SetMantExp(x, 1074)
	i, _ := x.Int(nil)
	return i
}

func intUnits(i int64) *big.Int { return new(big.Int).Lsh(big.NewInt(i), 1074) }

// add adds f by times.
func (m *model) add(f float64, by int) {
	switch {
	case math.IsNaN(f):
		m.nan += by
	case math.IsInf(f, 1):
		m.posInf += by
	case math.IsInf(f, -1):
		m.negInf += by
	default:
		m.sum.Add(&m.sum, new(big.Int).Mul(units(f), big.NewInt(int64(by))))
	}
}

func (m *model) addInt(i int64, by int) {
	m.sum.Add(&m.sum, new(big.Int).Mul(intUnits(i), big.NewInt(int64(by))))
}

func (m *model) addModel(o *model) {
	m.sum.Add(&m.sum, &o.sum)
	m.posInf += o.posInf
	m.negInf += o.negInf
	m.nan += o.nan
}

// special returns the result if it is not the sum of finite values.
func (m *model) special() (float64, bool) {
	// Taken back without having been added, an infinity stands for its opposite.
	f := 0.0
	if m.posInf != 0 {
		f += math.Inf(m.posInf)
	}
	if m.negInf != 0 {
		f += math.Inf(-m.negInf)
	}
	if m.nan != 0 {
		f = math.NaN()
	}
	return f, m.posInf != 0 || m.negInf != 0 || m.nan != 0
}

func (m *model) float64() float64 {
	if f, ok := m.special(); ok {
		return f
	}
	x := new(big.Float).SetInt(&m.sum) // as precise as the integer is long
	f, _ := x.SetMantExp(x, -1074).Float64()
	return f
}

func (m *model) mean(n int64) float64 {
	if f, ok := m.special(); ok {
		return f
	}
	f, _ := new(big.Rat).SetFrac(&m.sum, intUnits(n)).Float64()
	if f == 0 && m.sum.Sign() < 0 {
		return math.Copysign(0, -1) // a big.Rat has no -0
	}
	return f
}

func (m *model) int64() (int64, bool) {
	if _, ok := m.special(); ok {
		return 0, false
	}
	i, rest := new(big.Int).QuoRem(&m.sum, intUnits(1), new(big.Int))
	if rest.Sign() != 0 || !i.IsInt64() {
		return 0, false
	}
	return i.Int64(), true
}

func (m *model) sign() int {
	if f, ok := m.special(); ok {
		if math.IsNaN(f) {
			return 0
		}
		return int(math.Copysign(1, f))
	}
	return m.sum.Sign()
}

// sameFloat compares bit for bit, but for the payload of a NaN.
func sameFloat(t *testing.T, want, got float64, msg string, args ...any) {
	t.Helper()
	if math.Float64bits(want) != math.Float64bits(got) && !(math.IsNaN(want) && math.IsNaN(got)) {
		require.Failf(t, "different floats", "want %v (%#x), got %v (%#x): "+msg,
			append([]any{want, math.Float64bits(want), got, math.Float64bits(got)}, args...)...)
	}
}

// exact returns the finite sum that s holds, without rounding.
func exact(s *Sum) *big.Int {
	sum := new(big.Int).Lsh(wide(s.ints), intScale)
	if s.win.base != 0 {
		sum.Add(sum, new(big.Int).Lsh(wide(s.win.v), s.win.shift()))
	}
	if s.far != nil {
		for i, c := range s.far.c {
			sum.Add(sum, new(big.Int).Lsh(big.NewInt(c), uint(i)*chunkBits))
		}
	}
	return sum
}

func wide(x int128) *big.Int {
	i := new(big.Int).Lsh(big.NewInt(int64(x.hi)), 64)
	return i.Add(i, new(big.Int).SetUint64(x.lo))
}

// agree checks everything that s tells against m, what s holds below the precision of that, and the invariants of s.
func agree(t *testing.T, m *model, s *Sum) {
	t.Helper()
	require.Zero(t, exact(s).Cmp(&m.sum), "the sums differ, which Float64 may not show: %v", m.float64())
	sameFloat(t, m.float64(), s.Float64(), "Float64")
	for _, n := range []int64{1, 2, 3, 1000, math.MaxInt64} {
		sameFloat(t, m.mean(n), s.Mean(n), "Mean(%d)", n)
	}
	wantInt, wantOK := m.int64()
	gotInt, gotOK := s.Int64()
	require.Equal(t, wantOK, gotOK, "Int64 of %v", m.float64())
	require.Equal(t, wantInt, gotInt)
	require.Equal(t, m.sign(), s.Sign())
	checkInvariants(t, s)
}

// checkInvariants checks what the comments of window and far promise.
func checkInvariants(t *testing.T, s *Sum) {
	t.Helper()
	bound := new(big.Int).Lsh(big.NewInt(1), 127)
	size := wide(s.win.v)
	size.Abs(size).Add(size, new(big.Int).Lsh(big.NewInt(int64(s.win.room)), 116))
	require.LessOrEqual(t, size.Cmp(bound), 0, "the window may overflow: %x with room %d", s.win.v, s.win.room)
	require.LessOrEqual(t, int(s.win.base), winTop)
	require.Less(t, int(s.win.misses), maxMisses)
	if s.win.base != 0 {
		require.GreaterOrEqual(t, s.win.grid, s.win.base)
		require.LessOrEqual(t, int(s.win.grid), min(int(s.win.base)+winWidth-gridWidth, gridTop))
	}
	if s.far == nil {
		require.False(t, s.spilled)
		return
	}
	limit := int64(1)<<32 + int64(farRoom-s.far.room)<<52
	for i, c := range s.far.c[:topChunk] {
		require.True(t, -limit <= c && c <= limit, "chunk %d is %d with room %d", i, c, s.far.room)
	}
	require.True(t, s.spilled || *s.far == *newFar(), "far holds something unnoticed")
}

// newRand is seeded by EXACTSUM_SEED, or anew; the seed is logged.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("EXACTSUM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("EXACTSUM_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// kinds are the sorts of floats that a random test draws from.
var kinds = []func(r *rand.Rand) float64{
	price,
	wild,
	func(r *rand.Rand) float64 { return float64(r.Int64()) * sign(r) },
	func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64N(1<<54)) * sign(r) }, // around the least normal
	func(r *rand.Rand) float64 { return math.Float64frombits(0x7fe<<52|r.Uint64N(1<<52)) * sign(r) },
	func(r *rand.Rand) float64 { return math.Ldexp(1, r.IntN(2098)-1074) * sign(r) },
	func(r *rand.Rand) float64 { return math.Ldexp(1<<53-1, r.IntN(64)-40) * sign(r) }, // a window, all bits set
	func(r *rand.Rand) float64 { return math.MaxFloat64 * sign(r) },
	func(*rand.Rand) float64 { return math.Copysign(0, -1) },
}

func price(r *rand.Rand) float64 { return float64(1+r.IntN(999999)) / 100 }

func sign(r *rand.Rand) float64 { return float64(1 - 2*r.IntN(2)) }

// wild returns a finite float64 of any exponent.
func wild(r *rand.Rand) float64 {
	for {
		if f := math.Float64frombits(r.Uint64()); !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
	}
}

// draw returns n finite values of some kinds.
func draw(r *rand.Rand, n int) []float64 {
	some := kinds
	if r.IntN(2) == 0 {
		k := r.IntN(len(kinds))
		some = kinds[k : k+1]
	}
	fs := make([]float64, n)
	for i := range fs {
		fs[i] = some[r.IntN(len(some))](r)
		if i > 0 && r.IntN(8) == 0 {
			fs[i] = -fs[r.IntN(i)]
		}
	}
	return fs
}

// drawInts returns n ints, many of them near the limits and near zero.
func drawInts(r *rand.Rand, n int) []int64 {
	is := make([]int64, n)
	for i := range is {
		switch r.IntN(4) {
		case 0:
			is[i] = math.MaxInt64 - r.Int64N(3)
		case 1:
			is[i] = math.MinInt64 + r.Int64N(3)
		case 2:
			is[i] = r.Int64N(2001) - 1000
		default:
			is[i] = int64(r.Uint64())
		}
	}
	return is
}
