package store_test

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type ownDoc struct {
	ID int    `store:"id,key"`
	N  int    `store:"n,index,omitzero"`
	S  string `store:"s,index,omitzero"`
	U  string `store:"u,unique,omitzero"`
	M  int    `store:"m"`
}

func ownDocs(t *testing.T) (*store.Store, *store.TypedBucket[ownDoc]) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(ctx)) })
	b, err := store.Define[ownDoc](ctx, s, "docs", func(d *store.Definition) {
		d.Indexes = append(d.Indexes, store.Index{"n", "s"}, store.Index{"s", "m"})
	})
	require.NoError(t, err)
	return s, b
}

// TestOwnWritesLookedAt: a query looks at the own writes that it is about, however
// many there are.
func TestOwnWritesLookedAt(t *testing.T) {
	const n = 20_000
	doc := func(i int) ownDoc {
		return ownDoc{ID: i, N: i, S: fmt.Sprintf("s%06d", i), U: fmt.Sprintf("u%06d", i), M: 1 + (i+n)%7}
	}
	for _, stored := range []int{0, 20, n} { // records of the snapshot
		t.Run(fmt.Sprint(stored), func(t *testing.T) {
			ctx := context.Background()
			s, b := ownDocs(t)
			var list []ownDoc
			for i := 1; i <= stored; i++ {
				list = append(list, doc(-i))
			}
			_, err := b.InsertMany(ctx, list)
			require.NoError(t, err)
			require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
				h := b.In(tx)
				list = nil
				for _, i := range rand.Perm(n) {
					list = append(list, doc(i+1))
				}
				if _, err := h.InsertMany(ctx, list); err != nil {
					return err
				}
				all := h.Where()
				mine := h.Where(store.Gt("n", 0))
				for name, q := range map[string]*store.Query[ownDoc]{
					"interval":         h.Where(store.Gte("n", 100), store.Lt("n", 110)),
					"interval by m":    h.Where(store.Gte("n", 100), store.Lt("n", 110)).OrderBy(store.Asc("m")),
					"interval by n":    h.Where(store.Gte("n", 100), store.Lt("n", 110)).OrderBy(store.Desc("n")),
					"prefix":           h.Where(store.HasPrefix("s", "s00010"), store.Gt("n", 0)),
					"compound":         h.Where(store.Eq("n", 100), store.HasPrefix("s", "s")),
					"values":           h.Where(store.In("n", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)),
					"unique interval":  h.Where(store.Between("u", "u000100", "u000109"), store.Gt("n", 0)),
					"keys":             h.Where(store.In("id", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)),
					"either":           h.Where(store.Or(store.Between("n", 1, 5), store.Between("s", "s000003", "s000007"))),
					"first":            mine.OrderBy(store.Asc("n")).Limit(1),
					"last":             mine.OrderBy(store.Desc("n")).Limit(1),
					"10 ascending":     mine.OrderBy(store.Asc("n")).Limit(10),
					"10 descending":    all.OrderBy(store.Desc("n")).Limit(10),
					"10 of a text":     all.OrderBy(store.Asc("s")).Limit(10),
					"10 of unique":     all.OrderBy(store.Desc("u"), store.Asc("m")).Limit(10),
					"10 in groups":     all.OrderBy(store.Desc("n"), store.Asc("m")).Limit(10),
					"10 as inserted":   all.Limit(10),
					"10 and condition": all.Where(store.Gt("m", 0)).OrderBy(store.Asc("s")).Limit(10),
				} {
					e, err := q.Explain()
					require.NoError(t, err)
					require.Positive(t, e.Returned, name)
					most := 64 // 10 of each side, and a batch that was begun
					if name == "10 in groups" {
						most += 128 // which the sorter reads of the snapshot
					}
					if e.TouchedRows > most {
						t.Errorf("%s: %d touched, %d returned", name, e.TouchedRows, e.Returned)
					}
				}
				seen := 0
				for r, err := range all.OrderBy(store.Asc("s")).Seq() {
					require.NoError(t, err)
					if seen++; seen == 5 {
						break
					}
					r.M++ // a write while it is open
					if _, err := h.Patch(ctx, r.ID, store.Fields{"s": r.S + "x"}); err != nil {
						return err
					}
				}
				require.Equal(t, 5, seen)
				return nil
			}))
		})
	}
}

// ownModel is one transaction with many writes, beside a map.
type ownModel struct {
	t     *testing.T
	r     *rand.Rand
	ctx   context.Context
	h     *store.TypedBucket[ownDoc]
	rows  map[int]ownDoc
	place map[int]int // in the order of insertion
	next  int
	open  []*ownLoop
}

// ownLoop is an iterator that is held open over later writes.
type ownLoop struct {
	name string
	next func() (ownDoc, error, bool)
	stop func()
	want []ownDoc
}

// TestOwnWritesModel compares queries through many own writes with loops over a
// map.
//
//	STORE_SEED=123 STORE_STEPS=1000 go test -run TestOwnWritesModel .
func TestOwnWritesModel(t *testing.T) {
	steps := modelSteps(t, 250)
	for _, seed := range modelSeeds(t, 4) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			s, b := ownDocs(t)
			m := &ownModel{t: t, r: rand.New(rand.NewPCG(seed, 5)), ctx: context.Background(), h: b, rows: map[int]ownDoc{}, place: map[int]int{}}
			for range []int{0, 10, 800}[m.r.IntN(3)] {
				m.insert(1)
			}
			require.NoError(t, s.Transaction(m.ctx, func(tx *store.Tx) error {
				m.h = b.In(tx)
				m.insert(500)
				for range steps {
					m.write()
					m.ask()
					m.goOn(10)
				}
				m.goOn(1 << 20)
				return nil
			}))
			m.h = b
			for range 20 {
				m.ask()
			}
			m.goOn(1 << 20)
			require.NoError(t, store.CheckTables(s))
		})
	}
}

func (m *ownModel) fresh(id int) ownDoc {
	d := ownDoc{ID: id, N: m.r.IntN(40), M: m.r.IntN(5)}
	if m.r.IntN(5) > 0 {
		d.S = strings.Repeat("a", m.r.IntN(3)) + string(rune('a'+m.r.IntN(8)))
	}
	if m.r.IntN(3) > 0 {
		d.U = fmt.Sprint("u", m.r.IntN(100_000))
	}
	return d
}

// taken reports whether a unique value belongs to another record.
func (m *ownModel) taken(d ownDoc) bool {
	for _, other := range m.rows {
		if d.U != "" && other.U == d.U && other.ID != d.ID {
			return true
		}
	}
	return false
}

func (m *ownModel) put(d ownDoc) {
	if _, ok := m.place[d.ID]; !ok {
		m.place[d.ID] = m.next
		m.next++
	}
	m.rows[d.ID] = d
}

func (m *ownModel) insert(n int) {
	var list []ownDoc
	for range n {
		d := m.fresh(1 + m.r.IntN(2000))
		if _, ok := m.rows[d.ID]; ok || m.taken(d) {
			continue
		}
		list = append(list, d)
		m.put(d)
	}
	_, err := m.h.InsertMany(m.ctx, list)
	require.NoError(m.t, err)
}

func (m *ownModel) some() (d ownDoc, ok bool) {
	if len(m.rows) == 0 {
		return d, false
	}
	keys := slices.Sorted(maps.Keys(m.rows))
	return m.rows[keys[m.r.IntN(len(keys))]], true
}

func (m *ownModel) write() {
	for range m.r.IntN(8) {
		d, ok := m.some()
		switch k := m.r.IntN(10); {
		case k < 2 || !ok:
			m.insert(1 + m.r.IntN(20))
		case k < 6: // to another place, or back, or to its own
			next := m.fresh(d.ID)
			if m.r.IntN(3) == 0 {
				next.N, next.S = 39-d.N, d.S
			}
			_, err := m.h.Update(m.ctx, d.ID, func(x *ownDoc) error { *x = next; return nil })
			if m.taken(next) {
				require.Error(m.t, err)
			} else {
				require.NoError(m.t, err)
				m.rows[d.ID] = next
			}
		case k < 7:
			require.NoError(m.t, m.h.Delete(m.ctx, d.ID))
			delete(m.rows, d.ID)
		case k < 8: // many at once
			if d.N == 0 {
				continue // absent
			}
			n := 1 + m.r.IntN(39)
			_, err := m.h.UpdateMany(m.ctx, store.Fields{"n": n, "m": 3}, store.Eq("n", d.N))
			require.NoError(m.t, err)
			for id, x := range m.rows {
				if x.N == d.N {
					x.N, x.M = n, 3
					m.rows[id] = x
				}
			}
		default:
			m.refused(d)
		}
	}
}

// refused runs operations that write some records and then fail.
func (m *ownModel) refused(d ownDoc) {
	if d.U != "" {
		_, err := m.h.UpdateMany(m.ctx, store.Fields{"n": 1, "u": d.U}, store.Gte("n", 0))
		if len(m.rows) > 1 && m.count(func(x ownDoc) bool { return x.N > 0 && x.ID != d.ID }) > 0 {
			require.Error(m.t, err)
		} else {
			require.NoError(m.t, err)
			for id, x := range m.rows {
				if x.N > 0 {
					x.N, x.U = 1, d.U
					m.rows[id] = x
				}
			}
		}
	}
	var list []ownDoc
	for id := 3000; id < 3010; id++ {
		list = append(list, ownDoc{ID: id, N: m.r.IntN(40), S: "z"})
	}
	_, err := m.h.InsertMany(m.ctx, append(list, ownDoc{ID: d.ID}))
	require.Error(m.t, err)
}

func (m *ownModel) count(match func(ownDoc) bool) (n int) {
	for _, d := range m.rows {
		if match(d) {
			n++
		}
	}
	return n
}

// condition returns a random filter and what it means.
func (m *ownModel) condition() (store.Filter, func(ownDoc) bool) {
	n, text := 1+m.r.IntN(39), strings.Repeat("a", m.r.IntN(3))+string(rune('a'+m.r.IntN(8)))
	to := n + m.r.IntN(12)
	switch m.r.IntN(9) {
	case 0:
		return store.Eq("n", max(n, 1)), func(d ownDoc) bool { return d.N == max(n, 1) }
	case 1:
		return store.Between("n", n, to), func(d ownDoc) bool { return d.N > 0 && d.N >= n && d.N <= to }
	case 2:
		return store.Lt("n", n), func(d ownDoc) bool { return d.N > 0 && d.N < n }
	case 3:
		return store.HasPrefix("s", text), func(d ownDoc) bool { return strings.HasPrefix(d.S, text) }
	case 4:
		return store.Gt("s", text), func(d ownDoc) bool { return d.S > text }
	case 5:
		return store.In("n", n+1, to+2, 7), func(d ownDoc) bool { return d.N == n+1 || d.N == to+2 || d.N == 7 }
	case 6:
		return store.Gte("m", n%5), func(d ownDoc) bool { return d.M >= n%5 }
	case 7:
		return store.Or(store.Between("n", max(n, 1), to), store.Eq("s", text), store.Eq("u", "u1")),
			func(d ownDoc) bool { return d.N >= max(n, 1) && d.N <= to || d.S == text || d.U == "u1" }
	}
	return store.Between("u", "u2", "u6"), func(d ownDoc) bool { return d.U >= "u2" && d.U <= "u6" }
}

// order returns a random order and what it means.
func (m *ownModel) order() (order []store.Order, less func(a, b ownDoc) int) {
	fields := map[string]func(a, b ownDoc) int{
		"n": func(a, b ownDoc) int { return cmp.Compare(a.N, b.N) },
		"s": func(a, b ownDoc) int { return cmp.Compare(a.S, b.S) },
		"u": func(a, b ownDoc) int { return cmp.Compare(a.U, b.U) },
		"m": func(a, b ownDoc) int { return cmp.Compare(a.M, b.M) },
	}
	by := [][]string{{}, {"n"}, {"n"}, {"s"}, {"n", "s"}, {"s", "m"}, {"s", "n"}, {"u"}, {"u", "m"}, {"n", "m"}, {"m"}}[m.r.IntN(11)]
	desc := m.r.IntN(2) == 0
	var parts []func(a, b ownDoc) int
	for _, name := range by {
		if desc = desc != (m.r.IntN(5) == 0); desc {
			order = append(order, store.Desc(name))
			parts = append(parts, func(a, b ownDoc) int { return fields[name](b, a) })
		} else {
			order = append(order, store.Asc(name))
			parts = append(parts, fields[name])
		}
	}
	return order, func(a, b ownDoc) int {
		for _, part := range parts {
			if c := part(a, b); c != 0 {
				return c
			}
		}
		return cmp.Compare(m.place[a.ID], m.place[b.ID])
	}
}

// ask asks a random query in one of the ways there are.
func (m *ownModel) ask() {
	var filters []store.Filter
	var tests []func(ownDoc) bool
	for range m.r.IntN(3) {
		f, test := m.condition()
		filters, tests = append(filters, f), append(tests, test)
	}
	order, less := m.order()
	q := m.h.Where(filters...).OrderBy(order...)
	name := fmt.Sprint(filters, order)
	want := []ownDoc{}
	for _, d := range m.rows {
		if !slices.ContainsFunc(tests, func(test func(ownDoc) bool) bool { return !test(d) }) {
			want = append(want, d)
		}
	}
	slices.SortFunc(want, less)
	switch m.r.IntN(6) {
	case 0:
		got, err := q.All()
		require.NoError(m.t, err)
		require.Equal(m.t, want, got, name)
	case 1:
		n, err := q.Count()
		require.NoError(m.t, err)
		require.Equal(m.t, len(want), n, name)
		ok, err := q.Offset(5).Exists()
		require.NoError(m.t, err)
		require.Equal(m.t, len(want) > 5, ok, name)
	case 2:
		from, k := m.r.IntN(4), m.r.IntN(20)
		got, err := q.Offset(from).Limit(k).All()
		require.NoError(m.t, err)
		want = want[min(from, len(want)):]
		require.Equal(m.t, want[:min(k, len(want))], got, name)
	case 3:
		k, cursor := 1+m.r.IntN(60), store.Cursor("")
		got := []ownDoc{}
		for more := true; more; {
			page, err := q.Page(k, cursor)
			require.NoError(m.t, err)
			got, more, cursor = append(got, page.Records...), page.HasMore, page.Next
		}
		require.Equal(m.t, want, got, name)
	case 4:
		got, err := m.h.Last(3)
		require.NoError(m.t, err)
		if len(filters) == 0 && len(order) == 0 {
			require.Equal(m.t, want[max(len(want)-3, 0):], got)
		}
	default:
		next, stop := iter.Pull2(q.Seq())
		l := &ownLoop{name: name, next: next, stop: stop, want: want}
		m.open = append(m.open, l)
		m.advance(l, m.r.IntN(3)+1)
	}
}

// goOn takes some steps of the iterators that are open.
func (m *ownModel) goOn(n int) {
	for _, l := range slices.Clone(m.open) {
		m.advance(l, m.r.IntN(n))
	}
	for n > 1000 && len(m.open) > 0 {
		m.advance(m.open[0], n)
	}
}

func (m *ownModel) advance(l *ownLoop, n int) {
	for range n {
		d, err, ok := l.next()
		require.NoError(m.t, err)
		require.Equal(m.t, len(l.want) > 0, ok, l.name)
		if !ok {
			l.stop()
			m.open = slices.DeleteFunc(m.open, func(o *ownLoop) bool { return o == l })
			return
		}
		require.Equal(m.t, l.want[0], d, l.name)
		l.want = l.want[1:]
	}
}
