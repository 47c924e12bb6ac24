package reactive

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// at collects what is found.
func at[W any](r *Regions[W], point, coordinate string) (found []W, visited int) {
	visited = r.At([]byte(point), []byte(coordinate), func(w W) { found = append(found, w) })
	return found, visited
}

// spotOf is what is watched at a point.
func spotOf[W any](r *Regions[W], point string) *spot[W] {
	return r.points.find(maphash.String(r.points.seed, point), point)
}

// treeHeight is the most that an AVL tree of n nodes has (Knuth, TAOCP vol. 3, 6.2.3, theorem A).
func treeHeight(n int) int { return int(1.4405*math.Log2(float64(n)+2) - 0.3277) }

func TestZero(t *testing.T) {
	var r Regions[string]
	found, visited := at(&r, "", "")
	require.Empty(t, found)
	require.Equal(t, 1, visited)
	r.All(func(string) { t.Fatal("found in an empty set") })
	require.Zero(t, r.Len())
}

func TestBounds(t *testing.T) {
	var r Regions[string]
	r.Add("p", Interval{NoHi: true}, "all")
	r.Add("p", Interval{Hi: "ignored", NoHi: true}, "all too")
	r.Add("p", Interval{Lo: "b"}, "empty: Hi is no bound only with NoHi")
	r.Add("p", Interval{Lo: "c", Hi: "b"}, "empty")
	r.Add("p", Interval{Lo: "b", Hi: "b"}, "empty too")
	r.Add("p", Interval{}, "empty as well")
	r.Add("p", Interval{Hi: "b"}, "<b")
	r.Add("p", Interval{Lo: "b", NoHi: true}, ">=b")
	r.Add("p", Interval{Lo: "\xff", NoHi: true}, ">=ff")
	check(t, &r)
	require.Equal(t, 9, r.Len())
	for coordinate, want := range map[string][]string{
		"":         {"<b"},
		"a\xff":    {"<b"},
		"b":        {">=b"},
		"b\x00":    {">=b"},
		"\xff":     {">=b", ">=ff"},
		"\xff\xff": {">=b", ">=ff"},
	} {
		found, _ := at(&r, "p", coordinate)
		require.ElementsMatch(t, append(want, "all", "all too"), found, "at %q", coordinate)
		found, _ = at(&r, "", coordinate)
		require.Empty(t, found)
	}
}

// TestOneForm has intervals of equal values in different words: they are one node.
func TestOneForm(t *testing.T) {
	for _, ivs := range [][]Interval{
		{{}, {Lo: "b"}, {Lo: "b", Hi: "b"}, {Lo: "c", Hi: "b"}},
		{{Lo: "b", NoHi: true}, {Lo: "b", Hi: "a", NoHi: true}, {Lo: "b", Hi: "c", NoHi: true}},
	} {
		var r Regions[int]
		for i, iv := range ivs {
			r.Add("p", iv, i)
		}
		check(t, &r)
		require.EqualValues(t, 1, spotOf(&r, "p").root.height)
		require.Equal(t, len(ivs), r.Len())
	}
}

func TestRemoveTwice(t *testing.T) {
	var r Regions[int]
	for _, iv := range []Interval{everything, span(1, 2), {}} {
		p := r.Add("p", iv, 1)
		r.Add("p", iv, 2)
		n := r.Len()
		r.Remove(p)
		r.Remove(p)
		require.Equal(t, n-1, r.Len())
		require.Equal(t, &Place[int]{Watcher: 1}, p, "a removed place holds on to the set")
		check(t, &r)
	}
}

func TestEmptied(t *testing.T) {
	var r Regions[int]
	a, b, c := r.Add("p", everything, 1), r.Add("p", span(1, 3), 2), r.Add("p", span(1, 2), 3)
	r.Remove(b)
	require.Nil(t, spotOf(&r, "p").root.find(span(1, 3)), "an interval that nobody watches is kept")
	require.Equal(t, key(2), spotOf(&r, "p").root.max)
	r.Remove(c)
	require.Nil(t, spotOf(&r, "p").root)
	r.Remove(a)
	require.Zero(t, r.points.taken)
	require.Zero(t, r.Len())
}

// TestShared has many watchers of one region: they are one node, and one string of a long point.
func TestShared(t *testing.T) {
	const n, point = 10_000, "a point that is not short"
	for _, iv := range []Interval{everything, span(1, 2)} {
		var r Regions[int]
		places := make([]*Place[int], n)
		for i := range places {
			places[i] = r.Add(point, iv, i)
		}
		check(t, &r)
		if root := spotOf(&r, point).root; root != nil {
			require.EqualValues(t, 1, root.height)
		}
		for _, p := range places {
			require.True(t, unsafe.StringData(p.point) == unsafe.StringData(places[0].point))
		}
		found, visited := at(&r, point, key(1))
		require.Len(t, found, n)
		require.LessOrEqual(t, visited, n+2)
		rand.Shuffle(n, func(i, j int) { places[i], places[j] = places[j], places[i] })
		for _, p := range places[1:] {
			r.Remove(p)
		}
		check(t, &r)
		found, _ = at(&r, point, key(1))
		require.Equal(t, []int{places[0].Watcher}, found)
	}
}

// TestVisitedPoints: what is watched at other points costs nothing.
func TestVisitedPoints(t *testing.T) {
	for _, iv := range []Interval{everything, span(1, 9)} {
		var r Regions[int]
		first := 0
		for _, n := range []int{100, 10_000, 100_000} {
			for i := r.Len(); i < n; i++ {
				r.Add(name(i), iv, i)
			}
			found, visited := at(&r, name(n/2), key(5))
			require.Equal(t, []int{n / 2}, found)
			if first == 0 {
				first = visited
			}
			require.Equal(t, first, visited)
			require.LessOrEqual(t, visited, 3)
		}
		found, visited := at(&r, "", key(5))
		require.Empty(t, found)
		require.Equal(t, 1, visited)
	}
}

// mostVisited probes each coordinate, wants so many hits for each, and returns the most that one probe looked at.
func mostVisited(t *testing.T, r *Regions[int], hits, from, to, step int) (most int) {
	t.Helper()
	for i := from; i < to; i += step {
		n := 0
		visited := r.At(nil, []byte(key(i)), func(int) { n++ })
		if n != hits {
			t.Fatalf("%d hits at %d", n, i)
		}
		most = max(most, visited)
	}
	return most
}

// probeBound is the most that a probe looks at for one hit: two nodes on each level of the way to the coordinate, as many
// on the way to the hit, the map and the hit.
func probeBound(n int) int { return 4*treeHeight(n) + 2 }

// TestVisitedDisjoint probes inside disjoint intervals and in the gaps between them.
func TestVisitedDisjoint(t *testing.T) {
	r := random(t)
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		var set Regions[int]
		for _, i := range r.Perm(n) {
			set.Add("", span(4*i, 4*i+2), i)
		}
		require.LessOrEqual(t, int(spotOf(&set, "").root.height), treeHeight(n))
		hit, miss := mostVisited(t, &set, 1, 1, 4*n, 4), mostVisited(t, &set, 0, 3, 4*n, 4)
		t.Logf("%d intervals: at most %d visited for a hit, %d for a miss", n, hit, miss)
		require.LessOrEqual(t, hit, probeBound(n))
		require.LessOrEqual(t, miss, probeBound(n))
	}
}

// TestVisitedNested probes where only the outermost of nested intervals is: at its start, and at its end, where all have
// started.
func TestVisitedNested(t *testing.T) {
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		var set Regions[int]
		for i := range n {
			set.Add("", span(2*i, 4*n-2*i), i)
		}
		most := max(mostVisited(t, &set, 1, 0, 2, 1), mostVisited(t, &set, 1, 4*n-2, 4*n, 1))
		t.Logf("%d intervals: at most %d visited", n, most)
		require.LessOrEqual(t, most, probeBound(n))
		require.LessOrEqual(t, mostVisited(t, &set, 0, 4*n, 4*n+1, 1), 2)
	}
}

// TestVisitedAll: where everything is found, no node is looked at more than once.
func TestVisitedAll(t *testing.T) {
	const n = 10_000
	var set Regions[int]
	for i := range n {
		set.Add("", span(i, 3*n-i), i)
	}
	require.Equal(t, 1+2*n, mostVisited(t, &set, n, n, n+1, 1))
}

// TestVisitedScattered holds the bound between one hit and all of them: every 64th interval reaches far.
func TestVisitedScattered(t *testing.T) {
	const n, every = 1 << 16, 64
	var set Regions[int]
	for i := range n {
		hi := i + 1
		if i%every == 0 {
			hi = 2 * n
		}
		set.Add("", span(i, hi), i)
	}
	hits := n / every
	most := mostVisited(t, &set, hits, n, n+1, 1)
	t.Logf("%d hits of %d: %d visited, %.1f for each", hits, n, most, float64(most)/float64(hits))
	require.LessOrEqual(t, most, 2+hits*(2*treeHeight(every)+4))
}

func TestAtDoesNotAllocate(t *testing.T) {
	var r Regions[*int]
	for i := range 1000 {
		r.Add(name(i%10), span(i, 2*i), new(int))
		r.Add(name(i%10), everything, new(int))
	}
	point, coordinate, found := []byte(name(3)), []byte(key(700)), 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.At(point, coordinate, func(*int) { found++ })
	}))
	require.Greater(t, found, 100*100)
}

// TestNear: nearly all points are at their home, where what At finds is found ahead.
func TestNear(t *testing.T) {
	var r Regions[int]
	require.Nil(t, r.Near([]byte("p")))
	const n = 10_000
	for i := range n {
		r.Add(name(i), everything, i)
	}
	near := 0
	for i := range n {
		if p := r.Near([]byte(name(i))); p != nil && p.Watcher == i {
			near++
		}
	}
	require.Greater(t, near, n/2)
}
