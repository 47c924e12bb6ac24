package exactsum

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// ledger is a Sum, its model, and the values that may be taken back.
type ledger struct {
	sum    Sum
	model  model
	floats []float64
	ints   []int64
}

func (l *ledger) addFloats(fs []float64, batch bool) {
	if batch {
		l.sum.AddFloats(fs)
	}
	for _, f := range fs {
		if !batch {
			l.sum.Add(f)
		}
		l.model.add(f, 1)
	}
	l.floats = append(l.floats, fs...)
}

func (l *ledger) addInts(is []int64, batch bool) {
	if batch {
		l.sum.AddInts(is)
	}
	for _, i := range is {
		if !batch {
			l.sum.AddInt(i)
		}
		l.model.addInt(i, 1)
	}
	l.ints = append(l.ints, is...)
}

// takeBack takes back up to n values of each sort.
func (l *ledger) takeBack(r *rand.Rand, n int) {
	for ; n > 0 && len(l.floats) > 0; n-- {
		i, last := r.IntN(len(l.floats)), len(l.floats)-1
		f := l.floats[i]
		l.floats[i] = l.floats[last]
		l.floats = l.floats[:last]
		l.sum.Sub(f)
		l.model.add(f, -1)
	}
	for ; n > 0 && len(l.ints) > 0; n-- {
		last := len(l.ints) - 1
		l.sum.SubInt(l.ints[last])
		l.model.addInt(l.ints[last], -1)
		l.ints = l.ints[:last]
	}
}

// step does one random thing.
func (l *ledger) step(r *rand.Rand) {
	switch r.IntN(9) {
	case 0, 1:
		l.addFloats(draw(r, r.IntN(40)), true)
	case 2, 3:
		l.addFloats(draw(r, r.IntN(40)), false)
	case 4:
		l.addInts(drawInts(r, r.IntN(20)), r.IntN(2) == 0)
	case 5:
		l.takeBack(r, r.IntN(100))
	case 6: // merge, also of what is to be taken back from elsewhere
		other := ledger{}
		other.addFloats(draw(r, r.IntN(20)), true)
		for _, f := range l.floats[:min(len(l.floats), r.IntN(20))] {
			other.sum.Sub(f)
			other.model.add(f, -1)
		}
		l.sum.AddSum(&other.sum)
		l.model.addModel(&other.model)
		l.floats = append(l.floats[min(len(l.floats), 20):], other.floats...)
	case 7:
		l.special(r)
	default:
		l.replace(r)
	}
}

// special adds or takes back something that is not finite.
func (l *ledger) special(r *rand.Rand) {
	f := []float64{math.Inf(1), math.Inf(-1), math.NaN()}[r.IntN(3)]
	switch r.IntN(3) {
	case 0:
		l.addFloats([]float64{f, 1}, true)
	case 1:
		l.sum.Sub(f)
		l.model.add(f, -1)
	default: // all of them, so that the finite values show again
		for _, f := range []struct {
			f  float64
			by int
		}{{math.Inf(1), l.model.posInf}, {math.Inf(-1), l.model.negInf}, {math.NaN(), l.model.nan}} {
			for ; f.by > 0; f.by-- {
				l.sum.Sub(f.f)
				l.model.add(f.f, -1)
			}
			for ; f.by < 0; f.by++ {
				l.sum.Add(f.f)
				l.model.add(f.f, 1)
			}
		}
	}
}

// replace puts a copy, an empty Sum or the double in the place of the sum.
func (l *ledger) replace(r *rand.Rand) {
	switch r.IntN(4) {
	case 0:
		l.sum.Reset()
		*l = ledger{sum: l.sum}
	case 1:
		double := l.model
		double.sum.Set(&l.model.sum) // a big.Int must not be copied by assignment
		l.model.addModel(&double)
		l.sum.AddSum(&l.sum)
	default:
		old := l.sum
		l.sum = old.Clone()
		old.AddFloats([]float64{1, 1e300, math.Inf(1)}) // must not show in the copy
	}
}

// TestModel compares random histories with the model after every step.
func TestModel(t *testing.T) {
	r := newRand(t)
	for range 100 {
		var l ledger
		for range 40 {
			l.step(r)
			agree(t, &l.model, &l.sum)
		}
	}
}

// TestOrder adds the same values in random orders and groups, with detours that are taken back: every result has to be the
// same, bit for bit.
func TestOrder(t *testing.T) {
	r := newRand(t)
	for range 200 {
		fs, is := draw(r, 1+r.IntN(60)), drawInts(r, r.IntN(4))
		var want ledger
		want.addFloats(fs, false)
		want.addInts(is, false)
		for range 10 {
			r.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
			s := scattered(r, fs, 3)
			s.AddInts(is)
			agree(t, &want.model, &s)
		}
	}
}

// scattered adds fs in one of the ways there are, down to depth merges.
func scattered(r *rand.Rand, fs []float64, depth int) Sum {
	var s Sum
	detour := draw(r, r.IntN(10))
	s.AddFloats(detour)
	for len(fs) > 0 {
		n := 1 + r.IntN(len(fs))
		switch {
		case depth > 0 && r.IntN(2) == 0:
			part := scattered(r, fs[:n], depth-1)
			s.AddSum(&part)
		case r.IntN(2) == 0:
			s.AddFloats(fs[:n])
		default:
			for _, f := range fs[:n] {
				s.Sub(-f)
			}
		}
		fs = fs[n:]
	}
	for _, f := range detour {
		s.Sub(f)
	}
	return s
}

// TestTies looks at sums exactly half way between two floats, and at the smallest distance to either side.
func TestTies(t *testing.T) {
	r := newRand(t)
	for range 3000 {
		f := wild(r)
		half := (math.Nextafter(math.Abs(f), math.Inf(1)) - math.Abs(f)) / 2
		if math.IsInf(half, 0) || half == 0 {
			continue
		}
		for _, bit := range []float64{0, tiny, -tiny, half / 2, half * 0x1p-80} {
			var l ledger
			l.addFloats([]float64{f, half * sign(r), bit}, r.IntN(2) == 0)
			agree(t, &l.model, &l.sum)
		}
	}
}

// TestLong adds the same value so often that every carry, renewal and flush there is comes to pass.
func TestLong(t *testing.T) {
	const n = 1 << 20
	top := math.Ldexp(1<<53-1, 31-52) // the largest of a window centered on 1
	for _, pair := range [][2]float64{
		{1, top},
		{1, large},
		{-0.1, -0.1},
		{tiny, tiny},
		{-tiny, -math.Ldexp(1<<53-1, -1074)},
		{large, math.Ldexp(1<<53-1, 40)},
	} {
		var s, single Sum
		batch := make([]float64, 0, 1024)
		for range 512 {
			batch = append(batch, pair[0], pair[1])
		}
		for range n / 512 {
			s.AddFloats(batch)
		}
		for range n {
			single.Add(pair[0])
		}
		for range n {
			single.Add(pair[1])
		}
		var m model
		m.add(pair[0], n)
		m.add(pair[1], n)
		agree(t, &m, &s)
		agree(t, &m, &single)
		for range n {
			single.Sub(pair[0])
			single.Sub(pair[1])
		}
		agree(t, &model{}, &single)
	}
}

// TestLongFar does the same to the chunks alone, which a window would keep most values from. The worst mantissa is one of
// ones that is shifted by 31 bits.
func TestLongFar(t *testing.T) {
	const m = 1<<53 - 1
	for _, k := range []uint{0, 1, 31, 32, 63, 2045} {
		for _, negative := range []bool{false, true} {
			s := Sum{far: newFar(), spilled: true}
			for range 10 * farRoom {
				s.far.add(m, k, negative)
			}
			var want model
			f := math.Ldexp(m, int(k)-1074)
			if negative {
				f = -f
			}
			want.add(f, 40*farRoom)
			require.Zero(t, s.far.room, "the chunks have to be full for what follows")
			c := s.Clone()
			s.AddSum(&c)
			s.AddSum(&s)
			agree(t, &want, &s)
		}
	}
}

// TestGrid adds long batches that stay within the exponents of a grid for a while and then go elsewhere in the window, or out
// of it: with all bits set, halves that are ties, zeros.
func TestGrid(t *testing.T) {
	r := newRand(t)
	for range 60 {
		var l ledger
		center := r.IntN(2000) - 1010
		for range 3 {
			l.addFloats(drift(r, center, r.IntN(3000)), true)
		}
		agree(t, &l.model, &l.sum)
	}
}

// drift returns n values in runs of similar ones, most of them in a window around 2^center.
func drift(r *rand.Rand, center, n int) []float64 {
	fs := make([]float64, 0, n)
	for len(fs) < n {
		low, sort := center-winBelow+r.IntN(winWidth), r.IntN(6)
		width := 1 + r.IntN(20)
		f := math.Ldexp(1<<53-1, low-fracBits)
		for range 1 + r.IntN(1<<r.IntN(12)) {
			switch sort {
			case 0, 1: // always the same
			case 2:
				f = math.Ldexp(1+float64(r.IntN(4))/4, low+r.IntN(width)) * sign(r)
			case 3:
				f = price(r) * math.Ldexp(1, center) * float64(r.IntN(20))
			default:
				f = math.Ldexp(1+r.Float64(), low+r.IntN(width)) * sign(r)
			}
			if math.IsInf(f, 0) {
				f = large
			}
			fs = append(fs, f)
		}
		if r.IntN(8) == 0 {
			fs = append(fs, wild(r), 0, -f)
		}
	}
	return fs
}

// TestLongInts covers long batches and their remainders.
func TestLongInts(t *testing.T) {
	for _, i := range []int64{math.MinInt64, math.MaxInt64, -1, 1 << 32, -1 << 31} {
		is := make([]int64, 1000003)
		for j := range is {
			is[j] = i
		}
		var s Sum
		s.AddInts(is)
		var m model
		m.addInt(i, len(is))
		agree(t, &m, &s)
		for range is {
			s.SubInt(i)
		}
		got, ok := s.Int64()
		require.True(t, ok)
		require.Zero(t, got)
	}
}
