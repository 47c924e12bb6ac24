package reactive

import (
	"hash/maphash"
	"math/bits"
)

// pointTable is a hash table of points: open addressing with linear probing (Knuth, TAOCP vol. 3, 6.4, Algorithm L), and
// deletion that leaves no gap (Algorithm R). It is not Go's map because of what a look-up touches: here one cache line of
// the table and that of the first place, which has the point; there a line of control bytes, one of the entry, and one of
// the string besides. And only here can the line be read ahead of the look-up; see [Regions.Near].
//
// The table doubles at once: 1,000,000 points take some 20 ms. It keeps its room when points leave. Hashes have a seed of
// the set's own, so that nobody can choose points that collide.
type pointTable[W any] struct {
	spots []spot[W] // a power of two of them, at least a quarter of them empty
	shift uint8     // 64 less the logarithm: the home of a hash is in its high bits
	taken int
	seed  maphash.Seed
}

// spot is what is watched at one point; empty if nothing is.
type spot[W any] struct {
	hash       uint64
	everywhere *Place[W] // those whose interval has no bounds
	root       *node[W]  // all others
}

func (s *spot[W]) empty() bool { return s.everywhere == nil && s.root == nil }

func (s *spot[W]) point() string {
	if s.everywhere != nil {
		return s.everywhere.point
	}
	return s.root.places.point
}

// fewestSpots is where a table begins.
const fewestSpots = 8

// find returns the spot of a point, nil if there is none.
func (t *pointTable[W]) find(hash uint64, point string) *spot[W] {
	if len(t.spots) == 0 {
		return nil
	}
	for i := hash >> t.shift; ; i = t.next(i) {
		s := &t.spots[i]
		if s.empty() {
			return nil
		}
		if s.hash == hash && s.point() == point {
			return s
		}
	}
}

func (t *pointTable[W]) next(i uint64) uint64 { return (i + 1) & uint64(len(t.spots)-1) }

// take returns the spot of a point, an empty one for a new point: the caller fills it before the next call.
func (t *pointTable[W]) take(point string) *spot[W] {
	if len(t.spots) == 0 {
		t.seed = maphash.MakeSeed()
	}
	hash := maphash.String(t.seed, point)
	if s := t.find(hash, point); s != nil {
		return s
	}
	if t.taken++; 4*t.taken > 3*len(t.spots) {
		t.grow()
	}
	s := t.gap(hash)
	s.hash = hash
	return s
}

// gap returns the empty spot for a hash that is not in the table.
func (t *pointTable[W]) gap(hash uint64) *spot[W] {
	i := hash >> t.shift
	for !t.spots[i].empty() {
		i = t.next(i)
	}
	return &t.spots[i]
}

func (t *pointTable[W]) grow() {
	was := t.spots
	n := max(2*len(was), fewestSpots)
	t.spots, t.shift = make([]spot[W], n), uint8(64-bits.TrailingZeros(uint(n)))
	for i := range was {
		if s := &was[i]; !s.empty() {
			*t.gap(s.hash) = *s
		}
	}
}

// leave closes the gap of a spot that has become empty.
func (t *pointTable[W]) leave(hash uint64) {
	t.taken--
	gap := hash >> t.shift
	for !t.spots[gap].empty() { // those before it have other points
		gap = t.next(gap)
	}
	for i := t.next(gap); !t.spots[i].empty(); i = t.next(i) {
		home := t.spots[i].hash >> t.shift
		if mask := uint64(len(t.spots) - 1); (i-home)&mask >= (i-gap)&mask { // it may stand in the gap
			t.spots[gap], t.spots[i] = t.spots[i], spot[W]{}
			gap = i
		}
	}
	t.spots[gap] = spot[W]{}
}
