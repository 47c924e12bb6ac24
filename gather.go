package store

import (
	"math"

	"github.com/noex-go/store/internal/table"
)

// Columns: one numeric field of a batch of records as a list of numbers. The
// usual case, a field among the first 32 that is no pointer, has a loop without
// calls: about 1 ns a record.

// direct reports whether the field of a version is at its offset, and its absence
// in the version's first word of bits.
func (s *slot) direct() bool { return !s.ptr && s.pos < 32 }

// floats copies a float field into out, without the absent ones.
func (s *slot) floats(out *[batchRows]float64, batch []*table.Version) (n int) {
	if s.direct() && s.size == 8 {
		mask, off := uint32(1)<<s.pos, s.off
		for _, v := range batch {
			if v.Nulls&mask == 0 {
				out[n&(batchRows-1)] = *(*float64)(at(v, off))
				n++
			}
		}
		return n
	}
	for _, v := range batch {
		if !s.absent(v) {
			out[n] = loadFloat(s.mem(v), s.size)
			n++
		}
	}
	return n
}

// ints copies an integer field into out, without the absent ones.
func (s *slot) ints(out *[batchRows]int64, batch []*table.Version) (n int) {
	if s.direct() && s.size == 8 {
		mask, off := uint32(1)<<s.pos, s.off
		for _, v := range batch {
			if v.Nulls&mask == 0 {
				out[n&(batchRows-1)] = *(*int64)(at(v, off))
				n++
			}
		}
		return n
	}
	for _, v := range batch {
		if !s.absent(v) {
			out[n] = int64(s.num(v).bits)
			n++
		}
	}
	return n
}

// extreme is the least number seen so far, or the greatest.
type extreme struct {
	seen     bool
	greatest bool
	i        int64
	f        float64
}

func (e *extreme) ints(list []int64) {
	if len(list) == 0 {
		return
	}
	if !e.seen {
		e.seen, e.i = true, list[0]
	}
	e.i = extremeOf(list, e.i, e.greatest)
}

func (e *extreme) floats(list []float64) {
	if !e.seen {
		if len(list) == 0 {
			return
		}
		e.seen, e.f = true, list[0]
	}
	e.f = extremeOf(list, e.f, e.greatest)
}

// extremeOf is the least of best and the numbers, or the greatest. Of two candidates
// none waits for the other's comparison.
func extremeOf[N int64 | float64](list []N, best N, greatest bool) N {
	other := best
	if greatest {
		for ; len(list) > 1; list = list[2:] {
			if list[0] > best {
				best = list[0]
			}
			if list[1] > other {
				other = list[1]
			}
		}
		for _, n := range list {
			best = max(best, n)
		}
		return max(best, other)
	}
	for ; len(list) > 1; list = list[2:] {
		if list[0] < best {
			best = list[0]
		}
		if list[1] < other {
			other = list[1]
		}
	}
	for _, n := range list {
		best = min(best, n)
	}
	return min(best, other)
}

// value returns the number in canonical form, 0 for -0.
func (e *extreme) value(k memKind) (any, bool) {
	switch {
	case !e.seen:
		return nil, false
	case k != memFloat:
		return e.i, true
	case e.f == 0:
		return 0.0, true
	}
	return e.f, !math.IsNaN(e.f)
}
