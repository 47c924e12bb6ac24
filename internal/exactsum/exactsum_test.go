package exactsum

import (
	"math"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

const (
	tiny  = math.SmallestNonzeroFloat64
	large = math.MaxFloat64
)

func TestFloat64(t *testing.T) {
	halfTop := math.Ldexp(1, 970) // half a unit in the last place of MaxFloat64
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"nothing":                   {nil, 0},
		"negative zero":             {[]float64{math.Copysign(0, -1)}, 0},
		"cancelled":                 {[]float64{-1e300, 1, 1e300, -1}, 0},
		"decimals":                  {[]float64{0.1, 0.2, 0.3}, 0.6},
		"hidden by large values":    {[]float64{1e300, 1, -1e300, 1e-300}, 1},
		"tie to even below":         {[]float64{1, 0x1p-53}, 1},
		"tie to even above":         {[]float64{1 + 0x1p-52, 0x1p-53}, 1 + 0x1p-51},
		"tie and the smallest bit":  {[]float64{1, 0x1p-53, tiny}, 1 + 0x1p-52},
		"tie less the smallest bit": {[]float64{1 + 0x1p-52, 0x1p-53, -tiny}, 1 + 0x1p-52},
		"negative tie":              {[]float64{-1 - 0x1p-52, -0x1p-53}, -1 - 0x1p-51},
		"carry into the exponent":   {[]float64{2 - 0x1p-52, 0x1p-53}, 2},
		"subnormal":                 {[]float64{tiny, tiny, tiny}, 3 * tiny},
		"least normal":              {[]float64{0x1p-1022 - tiny, tiny}, 0x1p-1022},
		"overflow and back":         {[]float64{large, large, -large}, large},
		"overflow":                  {[]float64{large, large}, inf},
		"at the threshold":          {[]float64{large, halfTop}, inf},
		"below the threshold":       {[]float64{large, halfTop, -tiny}, large},
		"negative threshold":        {[]float64{-large, -halfTop}, -inf},
		"infinity":                  {[]float64{inf, -large, inf}, inf},
		"negative infinity":         {[]float64{1, -inf}, -inf},
		"both infinities":           {[]float64{inf, 1, -inf}, math.NaN()},
		"NaN":                       {[]float64{1, math.NaN(), inf}, math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			l.addFloats(c.values, true)
			sameFloat(t, c.want, l.sum.Float64(), "Float64")
			agree(t, &l.model, &l.sum)

			var single ledger
			single.addFloats(c.values, false)
			agree(t, &single.model, &single.sum)
			for _, f := range c.values {
				single.sum.Sub(f)
			}
			agree(t, &model{}, &single.sum)
		})
	}
}

func TestInt64(t *testing.T) {
	for name, c := range map[string]struct {
		ints   []int64
		floats []float64
		want   int64
		ok     bool
	}{
		"nothing":            {nil, nil, 0, true},
		"largest":            {[]int64{math.MaxInt64, 1, -1}, nil, math.MaxInt64, true},
		"smallest":           {[]int64{math.MinInt64, -1, 1}, nil, math.MinInt64, true},
		"too large":          {[]int64{math.MaxInt64, 1}, nil, 0, false},
		"too small":          {[]int64{math.MinInt64, -1}, nil, 0, false},
		"float 2^63":         {nil, []float64{0x1p63}, 0, false},
		"float -2^63":        {nil, []float64{-0x1p63}, math.MinInt64, true},
		"float 2^63 less 1":  {[]int64{-1}, []float64{0x1p63}, math.MaxInt64, true},
		"above 2^53":         {[]int64{1 << 53, 1}, nil, 1<<53 + 1, true},
		"a fraction":         {[]int64{1}, []float64{0.5}, 0, false},
		"a far fraction":     {[]int64{1}, []float64{tiny}, 0, false},
		"only a fraction":    {nil, []float64{tiny}, 0, false},
		"fractions that fit": {[]int64{1}, []float64{0.5, -1.5}, 0, true},
		"huge and back":      {[]int64{7}, []float64{large, -large}, 7, true},
		"huge":               {[]int64{7}, []float64{large}, 0, false},
		"infinity":           {[]int64{7}, []float64{math.Inf(1)}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			l.addInts(c.ints, false)
			l.addFloats(c.floats, true)
			got, ok := l.sum.Int64()
			require.Equal(t, c.ok, ok)
			require.Equal(t, c.want, got)
			agree(t, &l.model, &l.sum)
		})
	}
}

func TestMean(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		n      int64
		want   float64
	}{
		"nothing":             {nil, 5, 0},
		"largest":             {[]float64{large, large}, 2, large},
		"thirds":              {[]float64{1}, 3, 1.0 / 3},
		"tie to zero":         {[]float64{tiny}, 2, 0},
		"negative tie":        {[]float64{-tiny}, 2, math.Copysign(0, -1)},
		"tie to two":          {[]float64{3 * tiny}, 2, 2 * tiny},
		"tie down to two":     {[]float64{5 * tiny}, 2, 2 * tiny},
		"above a tie":         {[]float64{2 * tiny}, 3, tiny},
		"below a tie":         {[]float64{tiny}, 3, 0},
		"far below":           {[]float64{tiny}, math.MaxInt64, 0},
		"to the least normal": {[]float64{0x1p-1021 - tiny, 0}, 2, 0x1p-1022},
		"overflow":            {[]float64{large, large, large}, 2, math.Inf(1)},
		"infinity":            {[]float64{math.Inf(-1), 1}, 2, math.Inf(-1)},
		"no values":           {[]float64{1}, 0, math.NaN()},
		"negative count":      {[]float64{1}, -1, math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			var s Sum
			s.AddFloats(c.values)
			sameFloat(t, c.want, s.Mean(c.n), "Mean")
		})
	}
}

// TestMeanRandom goes through divisors of every length; ties come from dividing by two what is odd.
func TestMeanRandom(t *testing.T) {
	r := newRand(t)
	for range 5000 {
		var l ledger
		l.addFloats(draw(r, r.IntN(4)), true)
		l.addInts(drawInts(r, r.IntN(2)), false)
		n := r.Int64()>>r.IntN(63) | 1
		if r.IntN(4) == 0 {
			n = 1 << r.IntN(63)
		}
		sameFloat(t, l.model.mean(n), l.sum.Mean(n), "Mean(%d)", n)
	}
}

// TestWindowStays: values of similar magnitude never allocate, whatever is added, taken back and merged.
func TestWindowStays(t *testing.T) {
	r := newRand(t)
	prices := make([]float64, 5000)
	for i := range prices {
		prices[i] = price(r)
	}
	var s, part Sum
	require.Zero(t, testing.AllocsPerRun(5, func() {
		s.Reset()
		part.Reset()
		s.AddFloats(prices[:2000])
		part.AddFloats(prices[2000:])
		s.AddSum(&part)
		for _, f := range prices {
			s.Sub(f)
		}
		s.AddInts([]int64{1, 2, 3})
	}))
	require.Nil(t, s.far)
	i, ok := s.Int64()
	require.True(t, ok)
	require.EqualValues(t, 6, i)
}

// TestResetKeepsMemory: a Sum that went wide once does not allocate again.
func TestResetKeepsMemory(t *testing.T) {
	var s Sum
	fs := []float64{1, 1e300, 1e-300, math.Inf(1)}
	s.AddFloats(fs)
	require.Zero(t, testing.AllocsPerRun(5, func() {
		s.Reset()
		s.AddFloats(fs)
		s.Float64()
	}))
	s.Reset()
	agree(t, &model{}, &s)
}

// TestSize holds the package comment to its word.
func TestSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Sum{}), uintptr(56))
	require.LessOrEqual(t, unsafe.Sizeof(far{}), uintptr(576))
}

// TestReadersShare is for the race detector: reading changes nothing, also where carries are due.
func TestReadersShare(t *testing.T) {
	var s Sum
	s.AddFloats([]float64{1, -1e300, 1e-300, 0.1})
	s.AddInt(1)
	want := s.Float64()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var other Sum
			other.AddSum(&s)
			c := s.Clone()
			_, _ = s.Int64()
			if other.Float64() != want || c.Mean(1) != want || s.Sign() != -1 {
				t.Error("a reader saw another sum")
			}
		})
	}
	wg.Wait()
}

// TestWindowMoves: a window that the first value put in the wrong place does not stay there.
func TestWindowMoves(t *testing.T) {
	var s Sum
	s.Add(1e300)
	for range maxMisses {
		s.Add(1)
	}
	require.True(t, s.win.covers(1022))
	require.Zero(t, s.win.misses)

	// A window that is zero moves at once, also where there is a far part.
	s = Sum{}
	s.AddFloats([]float64{math.Inf(1), 1, 2, 3})
	require.True(t, s.win.covers(1022))
	require.Equal(t, chunks{}, s.far.c)
}
