package store

import (
	"math"
	"time"

	"github.com/noex-go/store/internal/keyenc"
)

// interval is what a condRange asks: in the form that the field's memory can be
// compared with at once, and in the form of values.
type interval struct {
	iLo, iHi         int64   // integer fields: closed
	fLo, fHi         float64 // float fields: closed
	sLo, sHi         string  // strings: closed, open
	sEnd             bool    // strings: sHi holds
	lo, hi           any     // canonical; nil: no bound
	loOpen, hiOpen   bool
	empty            bool
	kind             valueKind // of lo and hi
	loNumber, hiNumb number
}

func (r *interval) hasNumber(n number) bool {
	if r.lo != nil {
		if d := n.compare(r.loNumber); d < 0 || d == 0 && r.loOpen {
			return false
		}
	}
	if r.hi != nil {
		if d := n.compare(r.hiNumb); d > 0 || d == 0 && r.hiOpen {
			return false
		}
	}
	return true
}

func (r *interval) hasTime(t time.Time) bool {
	if r.lo != nil {
		if d := t.Compare(r.lo.(time.Time)); d < 0 || d == 0 && r.loOpen {
			return false
		}
	}
	if r.hi != nil {
		if d := t.Compare(r.hi.(time.Time)); d > 0 || d == 0 && r.hiOpen {
			return false
		}
	}
	return true
}

// has compares a value of any kind; one of another kind is never within.
func (r *interval) has(x any) bool {
	if kindOf(x) != r.kind {
		return false
	}
	if r.lo != nil {
		if d := compareValues(x, r.lo); d < 0 || d == 0 && r.loOpen {
			return false
		}
	}
	if r.hi != nil {
		if d := compareValues(x, r.hi); d > 0 || d == 0 && r.hiOpen {
			return false
		}
	}
	return true
}

// prefixInterval is the strings that start with text.
func prefixInterval(text string) interval {
	r := interval{kind: kindString, lo: text, sLo: text}
	if end := keyenc.Successor([]byte(text)); end != nil {
		r.sHi, r.sEnd = string(end), true
		r.hi, r.hiOpen = r.sHi, true
	}
	return r
}

// settle fills in the forms of the bounds that a field's memory is compared with.
func (r *interval) settle() {
	r.iLo, r.iHi, r.fLo, r.fHi = math.MinInt64, math.MaxInt64, math.Inf(-1), math.Inf(1)
	switch r.kind {
	case kindNumber:
		if r.lo != nil {
			r.loNumber = numberIn(r.lo)
			r.floor(r.loNumber, r.loOpen)
		}
		if r.hi != nil {
			r.hiNumb = numberIn(r.hi)
			r.ceil(r.hiNumb, r.hiOpen)
		}
	case kindString:
		if r.lo != nil {
			if r.sLo = r.lo.(string); r.loOpen {
				r.sLo += "\x00"
			}
		}
		if r.hi != nil {
			r.sEnd = true
			if r.sHi = r.hi.(string); !r.hiOpen {
				r.sHi += "\x00"
			}
		}
	}
}

// floor makes closed lower bounds, of integers and of floats, of a number.
func (r *interval) floor(n number, open bool) {
	f := n.float()
	if n.isFloat {
		switch up := math.Ceil(f); {
		case up >= 1<<63:
			r.iLo, r.iHi = 1, 0
		case up >= -1<<63:
			if r.iLo = int64(up); open && up == f {
				if r.iLo == math.MaxInt64 {
					r.iHi, r.iLo = 0, 1
				} else {
					r.iLo++
				}
			}
		}
	} else {
		i := int64(n.bits)
		if r.iLo = i; open {
			if i == math.MaxInt64 {
				r.iLo, r.iHi = 1, 0
			} else {
				r.iLo++
			}
		}
		f = float64(i)
		switch floatNumber(f).compare(n) {
		case -1:
			open = true // the float next to it is below
		case 1:
			open = false
		}
	}
	r.fLo = f
	if open {
		r.fLo = math.Nextafter(f, math.Inf(1))
		r.empty = r.empty || math.IsInf(f, 1)
	}
}

// ceil makes closed upper bounds of a number.
func (r *interval) ceil(n number, open bool) {
	f := n.float()
	if n.isFloat {
		switch down := math.Floor(f); {
		case down < -1<<63:
			r.iLo, r.iHi = 1, 0
		case down < 1<<63:
			hi := int64(down)
			if open && down == f {
				if hi == math.MinInt64 {
					r.iLo, r.iHi = 1, 0
					break
				}
				hi--
			}
			r.iHi = min(r.iHi, hi)
		}
	} else {
		i := int64(n.bits)
		switch {
		case !open:
			r.iHi = min(r.iHi, i)
		case i == math.MinInt64:
			r.iLo, r.iHi = 1, 0
		default:
			r.iHi = min(r.iHi, i-1)
		}
		f = float64(i)
		switch floatNumber(f).compare(n) {
		case -1:
			open = false
		case 1:
			open = true
		}
	}
	r.fHi = f
	if open {
		r.fHi = math.Nextafter(f, math.Inf(-1))
		r.empty = r.empty || math.IsInf(f, -1)
	}
}
