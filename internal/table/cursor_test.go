package table

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// drain calls yield with what a cursor walks over, in batches of random size,
// until it returns false.
func drain(c *Cursor, yield func(u *Version, row uint32) bool) {
	buf, rows := make([]*Version, 80), make([]uint32, 80)
	for {
		k := 1 + rand.IntN(80)
		n := c.Next(buf[:k], rows[:k])
		for i := range n {
			if !yield(buf[i], rows[i]) {
				return
			}
		}
		if n == 0 {
			return
		}
	}
}

func (v View) scan(yield func(*Version) bool) {
	var c Cursor
	c.Scan(v, false)
	drain(&c, func(u *Version, _ uint32) bool { return yield(u) })
}

func (v View) scanBack(yield func(*Version) bool) {
	var c Cursor
	c.Scan(v, true)
	drain(&c, func(u *Version, _ uint32) bool { return yield(u) })
}

func (v View) lookup(i int, k Key, yield func(*Version) bool) {
	var c Cursor
	c.Lookup(v, i, k)
	drain(&c, func(u *Version, _ uint32) bool { return yield(u) })
}

func (v View) between(i int, g Range, back bool, yield func(*Version) bool) {
	var c Cursor
	c.Range(v, i, g, back)
	drain(&c, func(u *Version, _ uint32) bool { return yield(u) })
}

// compareCursors reads by rows, ordinals, entries and intersections.
func compareCursors(t *testing.T, v View, m *model, rnd *rand.Rand) {
	t.Helper()
	var c Cursor
	var ords []uint64
	var all []plain
	c.Scan(v, false)
	drain(&c, func(u *Version, row uint32) bool {
		got, at := v.GetText(of(u).id)
		require.Same(t, u, got)
		require.Equal(t, row, at)
		ords = append(ords, v.Ordinal(row))
		all = append(all, of(u).plain())
		return true
	})
	require.True(t, slices.IsSorted(ords))
	if len(ords) > 0 {
		i := rnd.IntN(len(ords))
		var got []plain
		c.ScanAfter(v, ords[i])
		drain(&c, func(u *Version, _ uint32) bool { got = append(got, of(u).plain()); return true })
		require.ElementsMatch(t, all[i+1:], got)
	}
	c.ScanAfter(v, 1<<40)
	require.Zero(t, c.Next(make([]*Version, 1), nil))

	lo, hi := rnd.Int64N(10), rnd.Int64N(12)
	g := Range{Lo: Key{Word: uint64(lo)}, Hi: Key{Word: uint64(hi)}, NoLo: rnd.IntN(3) == 0, NoHi: rnd.IntN(3) == 0}
	in := func(p plain) bool { return p.age >= 0 && (g.NoLo || p.age >= lo) && (g.NoHi || p.age < hi) }
	require.Equal(t, len(m.where(in)), v.CountRange(byAge, g))
	back := rnd.IntN(2) == 0
	counts := map[int64]int{}
	ages := []int64{}
	v.Entries(byAge, g, back, func(u *Version, n int) bool {
		counts[of(u).age] = n
		ages = append(ages, of(u).age)
		return true
	})
	want := map[int64]int{}
	for _, p := range m.where(in) {
		want[p.age]++
	}
	require.Equal(t, want, counts)
	if back {
		slices.Reverse(ages)
	}
	require.True(t, slices.IsSorted(ages))
	if n, ok := v.Indexed(byEmail); ok {
		require.Equal(t, len(m.where(func(p plain) bool { return p.email != "" })), n)
	}

	role, age := []string{"a", "b", "c"}[rnd.IntN(3)], rnd.Int64N(10)
	first, second := byRole, byAge
	key := func(i int) Key {
		if i == byRole {
			return Key{Text: role}
		}
		return Key{Word: uint64(age)}
	}
	if rnd.IntN(2) == 0 {
		first, second = second, first
	}
	var got []plain
	c.Lookup(v, first, key(first))
	touched, narrowed := 0, c.And(second, key(second))
	drain(&c, func(u *Version, _ uint32) bool {
		touched++
		if p := of(u).plain(); p.role == role && p.age == age {
			got = append(got, p)
		}
		return true
	})
	both := m.where(func(p plain) bool { return p.role == role && p.age == age })
	require.Equal(t, both, got)
	if !narrowed {
		require.LessOrEqual(t, len(m.where(func(p plain) bool { return key(second) == Key{Text: p.role} || key(second) == Key{Word: uint64(p.age)} })), 1)
	}
}

// TestGuess: a guess is exact for few keys, and near for many, when all changes
// are published.
func TestGuess(t *testing.T) {
	s := newStore()
	rnd := seedOf(t)
	const n = 5000
	for i := range n {
		require.Equal(t, NoConflict, s.t.Insert(&(&rec{id: benchEmail(i), email: benchEmail(i), role: "abc"[i%3 : i%3+1], age: int64(i % 7), value: 1}).Version))
	}
	s.commit()
	v := s.t.At(s.pins.Published())
	require.Equal(t, n, v.GuessAll())
	require.Equal(t, n/3, v.Guess(byRole, Key{Text: "c"}))
	require.Equal(t, 0, v.Guess(byRole, Key{Text: "d"}))
	require.Equal(t, 1, v.Guess(byEmail, Key{Text: benchEmail(17)}))
	require.Equal(t, n-(n+6)/7, v.GuessRange(byAge, Range{Lo: Key{Word: 1}, NoHi: true}))
	for range 100 {
		lo, hi := rnd.IntN(n), rnd.IntN(n)
		lo, hi = min(lo, hi), max(lo, hi)
		g := v.GuessRange(byEmail, Range{Lo: Key{Text: benchEmail(lo)}, Hi: Key{Text: benchEmail(hi)}})
		require.InDelta(t, hi-lo, g, n/20)
	}
}

// TestSettledChunks: the loops that do not look at headers (chunk.settled) show
// no version that is pending, taken back, deleted, or newer than the view.
func TestSettledChunks(t *testing.T) {
	s := newStore()
	const n = 200
	id := func(i int) string { return benchEmail(i) }
	for i := range n {
		require.Equal(t, NoConflict, s.t.Insert(&(&rec{id: id(i), role: "a", value: 1}).Version))
	}
	s.commit()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var buf [300]*Version
			for !stop.Load() {
				pin := s.pins.Acquire()
				v := s.t.At(pin.Seq)
				for _, begin := range []func(c *Cursor){
					func(c *Cursor) { c.Scan(v, false) },
					func(c *Cursor) { c.Lookup(v, byRole, Key{Text: "a"}) },
				} {
					var c Cursor
					begin(&c)
					k := c.Next(buf[:], nil)
					sum := 0.0
					for _, u := range buf[:k] {
						if sum += of(u).value; u.Seq()-1 >= pin.Seq || u.dead() {
							t.Errorf("at %d: a version of %d, dead %v", pin.Seq, u.Seq(), u.dead())
							stop.Store(true)
						}
					}
					if k != n || sum != n {
						t.Errorf("at %d: %d records, sum %v", pin.Seq, k, sum)
						stop.Store(true)
					}
				}
				s.pins.Release(pin)
			}
		})
	}
	r := seedOf(t)
	for round := 0; round < 20000 && !stop.Load(); round++ {
		a, b := s.t.HeadText(id(r.IntN(n))), s.t.HeadText(id(r.IntN(n)))
		if a.V == b.V {
			continue
		}
		change := func(at Ref, by float64) {
			next := of(at.V).copy()
			next.value += by
			require.Equal(t, NoConflict, s.t.Update(at, &next.Version, 0))
		}
		switch r.IntN(4) {
		case 0: // taken back
			change(a, 5)
			s.t.Undo(0)
		case 1: // a record goes and comes back, as another row
			old := of(a.V).copy()
			s.t.Delete(a, 0)
			require.Equal(t, NoConflict, s.t.Insert(&old.Version))
			s.commit()
		default:
			change(a, 1)
			change(b, -1)
			s.commit()
		}
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, s.t.Check())
}

func (r *rec) copy() *rec {
	return &rec{id: r.id, email: r.email, role: r.role, age: r.age, value: r.value}
}
