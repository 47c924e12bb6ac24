package reactive

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	points = []string{"", "p", "p\x00", "q"}

	// bounds are few, so that intervals are equal, nested, empty, and end where others start.
	bounds = []string{"", "\x00", "\x00\x00", "a", "a\x00", "a\xff", "b", "ba", "c", "\xfe", "\xff", "\xff\x00", "\xff\xff"}
)

// watched is what the model knows of a place. Its place's watcher is the number that it was added with.
type watched struct {
	point string
	iv    Interval
	id    int
	place *Place[int]
}

// holds is the definition of a region.
func (w watched) holds(point, at string) bool {
	return w.point == point && w.iv.Lo <= at && (w.iv.NoHi || at < w.iv.Hi)
}

// twin is a set and a plain list of the same places.
type twin struct {
	set  Regions[int]
	list []watched
	gone []*Place[int]
	ids  int
}

// run does what ops say, one byte after another, and ends with them.
func (m *twin) run(t testing.TB, ops []byte) {
	take := func() int {
		if len(ops) == 0 {
			return 0
		}
		b := ops[0]
		ops = ops[1:]
		return int(b)
	}
	pick := func(from []string) string { return from[take()%len(from)] }
	for len(ops) > 0 {
		switch op := take(); op % 8 {
		case 0, 1, 2:
			m.add(pick(points), Interval{Lo: pick(bounds), Hi: pick(bounds), NoHi: op&0x30 == 0})
		case 3:
			m.add(pick(points), Interval{NoHi: true})
		case 4, 5:
			m.remove(take() | take()<<8)
		case 6:
			if len(m.gone) > 0 {
				m.set.Remove(m.gone[take()%len(m.gone)])
			}
		case 7:
			m.probe(t, pick(points), pick(bounds))
		}
		check(t, &m.set)
	}
	for _, point := range points {
		for _, at := range bounds {
			m.probe(t, point, at)
		}
	}
	m.all(t)
}

func (m *twin) add(point string, iv Interval) {
	m.list = append(m.list, watched{point, iv, m.ids, m.set.Add(point, iv, m.ids)})
	m.ids++
}

func (m *twin) remove(i int) {
	if len(m.list) == 0 {
		return
	}
	i %= len(m.list)
	m.set.Remove(m.list[i].place)
	m.gone = append(m.gone, m.list[i].place)
	m.list[i] = m.list[len(m.list)-1]
	m.list = m.list[:len(m.list)-1]
}

func (m *twin) probe(t testing.TB, point, at string) {
	t.Helper()
	var want, got []int
	for _, w := range m.list {
		if w.holds(point, at) {
			want = append(want, w.id)
		}
	}
	visited := m.set.At([]byte(point), []byte(at), func(id int) { got = append(got, id) })
	same(t, want, got)
	if visited <= len(got) {
		t.Fatalf("%d visited, %d found", visited, len(got))
	}
}

// same sorts both. It is the inner loop of these tests, hence no require where they are equal.
func same(t testing.TB, want, got []int) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		require.Equal(t, want, got)
	}
}

func (m *twin) all(t testing.TB) {
	t.Helper()
	var want, got []int
	for _, w := range m.list {
		want = append(want, w.id)
	}
	m.set.All(func(id int) { got = append(got, id) })
	same(t, want, got)
	require.Equal(t, len(want), m.set.Len())
}

// TestModel compares random histories with the list, in which about as much is removed as added, and empties the set.
func TestModel(t *testing.T) {
	r := random(t)
	for range 60 {
		ops := make([]byte, 1+r.IntN(2000))
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		var m twin
		m.run(t, ops)
		for len(m.list) > 0 {
			m.remove(r.IntN(len(m.list)))
			check(t, &m.set)
		}
		m.all(t)
		require.Zero(t, m.set.points.taken)
	}
}

// TestModelDeep does the same at one point with many distinct intervals, so that the tree is high.
func TestModelDeep(t *testing.T) {
	r := random(t)
	var m twin
	for _, growing := range []bool{true, false, true, false} {
		for i := range 3000 {
			if growing == (r.IntN(4) > 0) {
				lo := r.IntN(1000)
				m.add("p", Interval{Lo: key(lo), Hi: key(lo + r.IntN(50)), NoHi: r.IntN(100) == 0})
			} else {
				m.remove(r.IntN(1 << 30))
			}
			m.probe(t, "p", key(r.IntN(1100)))
			if i%64 == 0 {
				check(t, &m.set)
			}
		}
		m.all(t)
	}
}

// FuzzRegions reads its input as operations on the set and the list.
func FuzzRegions(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x10, 1, 3, 6, 0x10, 1, 3, 6, 0, 1, 3, 0, 3, 1, 7, 1, 4, 4, 0, 0, 6, 0, 7, 1, 4}) // equal intervals, one removed twice
	f.Add([]byte{0x10, 1, 0, 12, 0x10, 1, 1, 11, 0x10, 1, 2, 10, 0x10, 1, 3, 9, 4, 0, 0, 7, 1, 8}) // nested, the outermost removed
	f.Add([]byte{0x10, 1, 6, 3, 0x10, 1, 3, 3, 0x10, 1, 0, 0, 7, 1, 0, 7, 1, 3, 4, 1, 0, 4, 0, 0}) // empty
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 4096 {
			t.Skip("each operation is followed by a check of the whole set")
		}
		var m twin
		m.run(t, ops)
	})
}
