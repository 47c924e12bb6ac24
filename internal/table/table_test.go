package table

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

type rec struct {
	Version
	id    string
	email string // unique
	role  string
	age   int64
	value float64
}

func of(v *Version) *rec { return (*rec)(unsafe.Pointer(v)) }

const (
	byEmail = iota
	byRole
	byAge
	byBoth // role and age, borrowed
)

func testConfig(p *Pins) Config {
	return Config{
		Key:  KeySpec{Text: true, Off: unsafe.Offsetof(rec{}.id)},
		Pins: p,
		Indexes: []IndexSpec{
			{Unique: true, Text: func(v *Version, _ []byte) (string, bool) { r := of(v); return r.email, r.email != "" }},
			{Text: func(v *Version, _ []byte) (string, bool) { return of(v).role, true }},
			{Word: func(v *Version) (uint64, bool) { a := of(v).age; return uint64(a), a >= 0 }},
			{Borrowed: true, Text: func(v *Version, buf []byte) (string, bool) {
				r := of(v)
				buf = append(append(append(buf, r.role...), 0), byte(r.age))
				return unsafe.String(unsafe.SliceData(buf), len(buf)), true
			}},
		},
	}
}

// store drives tables the way the commit pipeline does.
type store struct {
	pins *Pins
	t    *Table
}

func (s *store) commit() {
	seq := s.pins.Published() + 1
	s.t.Stamp(0, s.t.Mark(), seq)
	s.t.BeginPublish()
	s.pins.Publish(seq)
	s.t.EndPublish(seq)
	s.t.Settle()
}

func newStore() *store {
	p := NewPins(0)
	return &store{p, New(testConfig(p))}
}

func touched(a, b *rec) (m uint64) {
	if a.email != b.email {
		m |= 1 << byEmail
	}
	if a.role != b.role {
		m |= 1<<byRole | 1<<byBoth
	}
	if a.age != b.age {
		m |= 1<<byAge | 1<<byBoth
	}
	return m
}

func seedOf(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TABLE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("TABLE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// plain is a record as the oracle keeps it.
type plain struct {
	id, email, role string
	age             int64
	value           float64
}

func (r *rec) plain() plain { return plain{r.id, r.email, r.role, r.age, r.value} }

// model is the oracle: a map and the order of insertion.
type model struct {
	recs  map[string]plain
	order []string
}

func (m *model) clone() *model { return &model{maps.Clone(m.recs), slices.Clone(m.order)} }

func (m *model) put(p plain) {
	if _, ok := m.recs[p.id]; !ok {
		m.order = append(m.order, p.id)
	}
	m.recs[p.id] = p
}

func (m *model) del(id string) {
	delete(m.recs, id)
	m.order = slices.DeleteFunc(m.order, func(o string) bool { return o == id })
}

func (m *model) emailTaken(p plain) bool {
	for _, q := range m.recs {
		if p.email != "" && q.email == p.email && q.id != p.id {
			return true
		}
	}
	return false
}

func (m *model) where(ok func(plain) bool) (out []plain) {
	for _, id := range m.order {
		if p := m.recs[id]; ok(p) {
			out = append(out, p)
		}
	}
	return out
}

// compare reads everything through every access path and compares.
func compare(t *testing.T, v View, m *model, rnd *rand.Rand) {
	t.Helper()
	var got []plain
	v.scan(func(u *Version) bool { got = append(got, of(u).plain()); return true })
	require.Equal(t, m.where(func(plain) bool { return true }), got)
	got = got[:0]
	v.scanBack(func(u *Version) bool { got = append(got, of(u).plain()); return true })
	slices.Reverse(got)
	require.Equal(t, len(m.recs), len(got))
	require.Equal(t, len(m.recs), v.Count())
	for id, p := range m.recs {
		u, _ := v.GetText(id)
		require.NotNil(t, u, id)
		require.Equal(t, p, of(u).plain())
		got = got[:0]
		if p.email != "" {
			v.lookup(byEmail, Key{Text: p.email}, func(u *Version) bool { got = append(got, of(u).plain()); return true })
			require.Equal(t, []plain{p}, got)
			require.Equal(t, 1, v.CountKey(byEmail, Key{Text: p.email}))
		}
	}
	for _, role := range []string{"a", "b", "c", "none"} {
		want := m.where(func(p plain) bool { return p.role == role })
		got = nil
		v.lookup(byRole, Key{Text: role}, func(u *Version) bool { got = append(got, of(u).plain()); return true })
		require.Equal(t, want, got, "role %s", role)
		require.Equal(t, len(want), v.CountKey(byRole, Key{Text: role}))
		age := rnd.Int64N(10)
		both := m.where(func(p plain) bool { return p.role == role && p.age == age })
		got = nil
		v.lookup(byBoth, Key{Text: role + "\x00" + string(byte(age))}, func(u *Version) bool { got = append(got, of(u).plain()); return true })
		require.Equal(t, both, got)
	}
	lo, hi := rnd.Int64N(10), rnd.Int64N(10)
	back := rnd.IntN(2) == 0
	want := m.where(func(p plain) bool { return p.age >= lo && p.age < hi })
	slices.SortStableFunc(want, func(a, b plain) int {
		if back {
			return int(b.age - a.age)
		}
		return int(a.age - b.age)
	})
	got = nil
	v.between(byAge, Range{Lo: Key{Word: uint64(lo)}, Hi: Key{Word: uint64(hi)}}, back, func(u *Version) bool { got = append(got, of(u).plain()); return true })
	require.Equal(t, want, got)
	got = nil
	v.between(byEmail, Range{NoLo: true, NoHi: true}, back, func(u *Version) bool { got = append(got, of(u).plain()); return true })
	want = m.where(func(p plain) bool { return p.email != "" })
	slices.SortFunc(want, func(a, b plain) int {
		if back {
			a, b = b, a
		}
		return cmpString(a.email, b.email)
	})
	require.Equal(t, want, got)
	compareCursors(t, v, m, rnd)
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// apply does a random operation on table and model, as one request: it fails as
// a whole or is kept as a whole.
func apply(t *testing.T, s *store, m *model, rnd *rand.Rand, keys int) {
	mark := s.t.Mark()
	next := m.clone()
	failed := false
	for n := 1 + rnd.IntN(4); n > 0 && !failed; n-- {
		id := fmt.Sprint("k", rnd.IntN(keys))
		p := plain{id: id, role: string(rune('a' + rnd.IntN(3))), age: rnd.Int64N(11) - 1, value: rnd.Float64()}
		if e := rnd.IntN(2 * keys); e > 0 {
			p.email = fmt.Sprint("e", e)
		}
		at := s.t.HeadText(id)
		old, exists := next.recs[id]
		require.Equal(t, exists, at.V != nil)
		switch op := rnd.IntN(10); {
		case op < 4:
			c := s.t.Insert(&(&rec{id: p.id, email: p.email, role: p.role, age: p.age, value: p.value}).Version)
			switch {
			case exists:
				require.Equal(t, KeyConflict, c)
			case next.emailTaken(p):
				require.Equal(t, Conflict(byEmail), c)
			default:
				require.Equal(t, NoConflict, c)
				next.put(p)
			}
			failed = c != NoConflict
		case op < 7 && exists:
			if op == 5 { // no index touched
				p = old
				p.value = rnd.Float64()
			}
			r := &rec{id: p.id, email: p.email, role: p.role, age: p.age, value: p.value}
			c := s.t.Update(at, &r.Version, touched(of(at.V), r))
			if next.emailTaken(p) {
				require.Equal(t, Conflict(byEmail), c)
				failed = true
			} else {
				require.Equal(t, NoConflict, c)
				next.put(p)
			}
		case exists:
			s.t.Delete(at, 0)
			next.del(id)
		}
	}
	if failed || rnd.IntN(8) == 0 {
		s.t.Undo(mark)
		return
	}
	*m = *next
}

func TestModel(t *testing.T) {
	rnd := seedOf(t)
	for range 30 {
		s, m := newStore(), &model{recs: map[string]plain{}}
		keys := 2 + rnd.IntN(120)
		type held struct {
			pin Pin
			m   *model
		}
		var snaps []held
		for step := range 300 {
			for range 1 + rnd.IntN(3) { // a group of requests, one publication
				apply(t, s, m, rnd, keys)
			}
			if rnd.IntN(20) == 0 {
				for id := range m.recs { // most of it goes: chunks, renumbering
					if rnd.IntN(4) > 0 {
						s.t.Delete(s.t.HeadText(id), 0)
						m.del(id)
					}
				}
			}
			s.commit()
			switch {
			case rnd.IntN(8) == 0 && len(snaps) < 20:
				pin := s.pins.Acquire()
				if rnd.IntN(2) == 0 {
					s.pins.Release(pin)
					pin = s.pins.AcquireLong()
				}
				snaps = append(snaps, held{pin, m.clone()})
			case rnd.IntN(8) == 0 && len(snaps) > 0:
				i := rnd.IntN(len(snaps))
				compare(t, s.t.At(snaps[i].pin.Seq), snaps[i].m, rnd)
				s.pins.Release(snaps[i].pin)
				snaps = slices.Delete(snaps, i, i+1)
			case rnd.IntN(40) == 0:
				s.t.rebuild()
			case rnd.IntN(40) == 0: // a writer that dies half-way
				was := m.clone()
				apply(t, s, m, rnd, keys)
				s.t.Recover()
				m = was
			}
			if rnd.IntN(10) == 0 {
				s.t.Sweep(rnd.IntN(100))
			}
			if step%7 == 0 {
				require.NoError(t, s.t.Check())
				pin := s.pins.Acquire()
				compare(t, s.t.At(pin.Seq), m, rnd)
				s.pins.Release(pin)
			}
		}
		for _, h := range snaps {
			compare(t, s.t.At(h.pin.Seq), h.m, rnd)
			s.pins.Release(h.pin)
		}
		for s.t.Sweep(1 << 20) {
		}
		require.Zero(t, s.t.Held())
		require.NoError(t, s.t.Check())
	}
}

// TestReadersBesideWriter runs readers against a writer that keeps an invariant
// in every commit, for the race detector and the visibility rules.
func TestReadersBesideWriter(t *testing.T) {
	rnd := seedOf(t)
	s := newStore()
	const n = 400
	ids := make([]string, n)
	for i := range n {
		ids[i] = fmt.Sprint("k", i)
		s.t.Insert(&(&rec{id: ids[i], email: fmt.Sprint("e", i), role: "a", age: int64(i % 10)}).Version)
	}
	s.commit()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for !stop.Load() {
				pin := s.pins.Acquire()
				v := s.t.At(pin.Seq)
				count, sum, ages := 0, 0.0, 0
				v.scan(func(u *Version) bool { count++; sum += of(u).value; return true })
				for _, role := range []string{"a", "b", "c"} {
					k := 0
					v.lookup(byRole, Key{Text: role}, func(u *Version) bool { k++; return of(u).role == role })
					if k != v.CountKey(byRole, Key{Text: role}) {
						t.Errorf("count of %s differs", role)
					}
					ages += k
				}
				seen := 0
				last := int64(-1)
				v.between(byAge, Range{NoLo: true, NoHi: true}, false, func(u *Version) bool {
					if of(u).age < last {
						t.Error("out of order")
					}
					last = of(u).age
					seen++
					return true
				})
				emails := 0
				v.between(byEmail, Range{NoLo: true, NoHi: true}, r.IntN(2) == 0, func(u *Version) bool { emails++; return true })
				if count != n || sum != 0 || ages != n || seen != n || emails != n || v.Count() != n {
					t.Errorf("at %d: %d records, sum %v, by role %d, by age %d, by email %d, counted %d", pin.Seq, count, sum, ages, seen, emails, v.Count())
					stop.Store(true)
				}
				s.pins.Release(pin)
				if u := s.t.GetText(ids[r.IntN(n)]); u == nil {
					t.Error("a record is missing")
				}
			}
		})
	}
	// Every commit moves value from one record to another and keeps the number of
	// records: a delete goes with an insert of the same key.
	for range 6000 {
		a, b := ids[rnd.IntN(n)], ids[rnd.IntN(n)]
		if a == b {
			continue
		}
		ra, rb := s.t.HeadText(a), s.t.HeadText(b)
		na, nb := copyRec(of(ra.V)), copyRec(of(rb.V))
		na.value--
		nb.value++
		na.role = string(rune('a' + rnd.IntN(3)))
		nb.age = rnd.Int64N(10)
		if rnd.IntN(4) == 0 {
			na.email, nb.email = nb.email+"x", na.email+"y"
		}
		mark := s.t.Mark()
		if rnd.IntN(5) == 0 {
			s.t.Delete(ra, 0)
			require.Equal(t, NoConflict, s.t.Insert(&na.Version))
		} else {
			require.Equal(t, NoConflict, s.t.Update(ra, &na.Version, touched(of(ra.V), na)))
		}
		require.Equal(t, NoConflict, s.t.Update(rb, &nb.Version, touched(of(rb.V), nb)))
		if rnd.IntN(10) == 0 {
			s.t.Undo(mark)
			continue
		}
		s.commit()
		if rnd.IntN(1000) == 0 {
			s.t.rebuild()
		}
	}
	stop.Store(true)
	wg.Wait()
	for s.t.Sweep(1 << 20) {
	}
	require.NoError(t, s.t.Check())
}

func copyRec(r *rec) *rec {
	return &rec{id: r.id, email: r.email, role: r.role, age: r.age, value: r.value}
}

// TestHeldSnapshotIsBounded overwrites everything many times under a snapshot:
// chains stay at two versions.
func TestHeldSnapshotIsBounded(t *testing.T) {
	s := newStore()
	const n = 500
	for i := range n {
		s.t.Insert(&(&rec{id: fmt.Sprint(i), email: fmt.Sprint("e", i), role: "a"}).Version)
	}
	s.commit()
	pin := s.pins.AcquireLong()
	for round := range 20 {
		for i := range n {
			at := s.t.HeadText(fmt.Sprint(i))
			r := copyRec(of(at.V))
			r.value++
			r.email = fmt.Sprint("e", i, "-", round)
			require.Equal(t, NoConflict, s.t.Update(at, &r.Version, 1<<byEmail))
			s.commit()
		}
		require.Equal(t, n, s.t.Held())
	}
	longest := 0
	dir := s.t.root.Load().rows.dir.Load()
	for row := range uint32(n) {
		k := 0
		for v := dir.head(row); v != nil; v = v.prev.Load() {
			k++
		}
		longest = max(longest, k)
	}
	require.Equal(t, 2, longest)
	require.NoError(t, s.t.Check())
	s.pins.Release(pin)
	for s.t.Sweep(64) {
	}
	require.Zero(t, s.t.Held())
	require.NoError(t, s.t.Check())
}
