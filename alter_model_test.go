package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The model of a bucket that is altered: a map of records and a map of rules. It
// knows what each write and each alteration must come to, what snapshots from
// before show, and what queries and live queries, made before, must answer.

// alterRow is a record of the model.
type alterRow struct {
	fields           map[string]any // int64 or string; the key too
	created, expires int64          // Unix ms
	updated          int64
	place            int
}

func (r *alterRow) clone() *alterRow {
	c := *r
	c.fields = maps.Clone(r.fields)
	return &c
}

// alterState is what the bucket is at a commit.
type alterState struct {
	rules   map[string]store.Field
	indexes []store.Index
	ttl     time.Duration
	most    int
	evict   store.Eviction
	rows    map[int64]*alterRow
}

func (s *alterState) clone() *alterState {
	c := *s
	c.rules, c.indexes, c.rows = maps.Clone(s.rules), slices.Clone(s.indexes), map[int64]*alterRow{}
	for k, r := range s.rows {
		c.rows[k] = r.clone()
	}
	return &c
}

func (s *alterState) list() []*alterRow {
	return slices.SortedFunc(maps.Values(s.rows), func(a, b *alterRow) int { return cmp.Compare(a.place, b.place) })
}

// ids are the keys of the records that have n, in the order of insertion.
func (s *alterState) ids(n int64) []int64 {
	ids := []int64{}
	for _, r := range s.list() {
		if r.fields["n"] == n {
			ids = append(ids, r.fields["id"].(int64))
		}
	}
	return ids
}

// breaks is the rules that a value breaks, nil for an absent one.
func breaks(f store.Field, x any) (codes []store.Code) {
	if x == nil {
		if f.Required {
			codes = append(codes, store.CodeRequired)
		}
		return codes
	}
	if f.Enum != nil && !slices.Contains(f.Enum, x) {
		codes = append(codes, store.CodeEnum)
	}
	if n, ok := x.(int64); ok && f.Max != nil && n > alterMax {
		codes = append(codes, store.CodeMax)
	}
	return codes
}

const alterMax = 5 // of every field that has a Max

type alterNative struct {
	ID int    `store:"id,key"`
	N  int    `store:"n,omitzero"`
	S  string `store:"s,omitzero"`
}

// alterView is another struct over the same bucket.
type alterView struct {
	ID int64  `store:"id,key"`
	N  *int64 `store:"n"`
}

// alterSnap is a snapshot, what it must show, and a query from its time.
type alterSnap struct {
	snap  *store.Snapshot
	was   *alterState
	query *store.Query[store.Record]
}

type alterModel struct {
	t     *testing.T
	r     *rand.Rand
	s     *store.Store
	b     *store.Bucket
	typed *store.TypedBucket[alterNative]
	view  *store.TypedBucket[alterView]
	now   atomic.Int64 // Unix ms
	calls atomic.Int64 // of default functions

	is      *alterState
	places  int
	numbers int64 // the last one that a generator gave
	snaps   []alterSnap
	queries []*store.Query[store.Record]
	structs []*store.Query[alterNative]
	count   *store.ReactiveQuery[int64, int]
	live    []*store.Subscription[[]int64]
	counts  []*store.Subscription[int]
	spec    atomic.Pointer[any]
	altered map[string]int // by outcome
}

func newAlterModel(t *testing.T, r *rand.Rand) *alterModel {
	m := &alterModel{t: t, r: r, altered: map[string]int{}}
	m.now.Store(1_700_000_000_000)
	m.s = openStore(t, store.Options{TTLInterval: -1, Clock: func() time.Time { return time.UnixMilli(m.now.Load()) }})
	m.is = &alterState{rows: map[int64]*alterRow{}, rules: map[string]store.Field{"id": {Type: store.Int}, "n": {Type: store.Int}, "s": {Type: store.String}}}
	var err error
	if r.IntN(2) == 0 {
		m.typed, err = store.Define[alterNative](bg, m.s, "b")
	} else if m.b, err = m.s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: maps.Clone(m.is.rules)}); err == nil {
		m.typed, err = store.Typed[alterNative](m.s, "b")
	}
	require.NoError(t, err)
	m.b = m.typed.Dynamic()
	m.view, err = store.Typed[alterView](m.s, "b")
	require.NoError(t, err)
	m.watch()
	return m
}

// watch defines live queries of each kind, and subscribes.
func (m *alterModel) watch() {
	t := m.t
	m.count = defineLive(t, m.s, "count", func(q *store.QueryCtx, n int64) (int, error) { return m.b.In(q).Count(store.Eq("n", n)) })
	ids := defineLive(t, m.s, "ids", func(q *store.QueryCtx, n int64) ([]int64, error) {
		ids := []int64{}
		for r := range m.typed.In(q).Where(store.Eq("n", n)).Seq() {
			ids = append(ids, int64(r.ID))
		}
		return ids, nil
	})
	named := defineLive(t, m.s, "named", func(q *store.QueryCtx, n int64) ([]int64, error) {
		b, err := q.Bucket("b")
		if err != nil {
			return nil, err
		}
		ids := []int64{}
		for r := range b.All() {
			if r.Get("n") == n {
				ids = append(ids, r.Get("id").(int64))
			}
		}
		return ids, nil
	})
	// In error as long as there is no such field.
	later := defineLive(t, m.s, "later", func(q *store.QueryCtx, n int64) ([]int64, error) {
		_, err := m.b.In(q).Where(store.Eq("a", n)).Count()
		if err != nil {
			return []int64{-1}, nil
		}
		return []int64{}, nil
	})
	require.NoError(t, m.s.DefineSpec("spec", store.QuerySpec{Bucket: "b", Filter: map[string]any{"n": 1}, Aggregate: &store.Aggregate{Op: "count"}}))
	_, err := m.s.Subscribe(bg, "spec", nil, func(x any) { m.spec.Store(&x) })
	require.NoError(t, err)
	for n := range int64(3) {
		m.counts = append(m.counts, subscribeLive(t, m.count, n))
		m.live = append(m.live, subscribeLive(t, ids, n), subscribeLive(t, named, n))
	}
	m.live = append(m.live, subscribeLive(t, later, 1))
}

// value is a value for a field.
func (m *alterModel) value(f store.Field) any {
	if f.Type == store.Int {
		return int64(m.r.IntN(8))
	}
	return string(rune('a' + m.r.IntN(5)))
}

// fields is a random input: some of the fields, and nil for some.
func (m *alterModel) fields() store.Fields {
	in := store.Fields{}
	for _, name := range slices.Sorted(maps.Keys(m.is.rules)) {
		switch m.r.IntN(4) {
		case 0:
			in[name] = nil
		case 1:
		default:
			in[name] = m.value(m.is.rules[name])
		}
	}
	return in
}

// clash is the unique field in which a record has another one's value, or "".
func (s *alterState) clash(r *alterRow) string {
	for _, name := range slices.Sorted(maps.Keys(s.rules)) {
		if !s.rules[name].Unique || r.fields[name] == nil {
			continue
		}
		for k, o := range s.rows {
			if k != r.fields["id"] && o.fields[name] == r.fields[name] {
				return name
			}
		}
	}
	return ""
}

// expect is what a write must come to.
type expect int

const (
	fine expect = iota
	invalid
	taken
	missing
)

func (m *alterModel) outcome(err error) expect {
	var ve *store.ValidationError
	var ue *store.UniqueError
	switch {
	case err == nil:
		return fine
	case errors.As(err, &ve):
		return invalid
	case errors.As(err, &ue):
		return taken
	case errors.Is(err, store.ErrNotFound):
		return missing
	}
	require.NoError(m.t, err)
	return fine
}

// insert does to a state what an insert does. What is generated is learned from
// the record, unless that is zero. places are those of what the commit inserts.
func (m *alterModel) insert(s *alterState, in store.Fields, got store.Record, places map[int64]int) expect {
	now := m.now.Load()
	r := &alterRow{fields: map[string]any{}, created: now, updated: now}
	for name, f := range s.rules {
		x := in[name]
		if x == nil && (f.Generated != 0 || f.Default != nil) {
			if x = f.Default; f.Generated != 0 || isFunc(x) {
				x = m.learn(f, got.Get(name))
			}
		}
		if breaks(f, x) != nil || name == "id" && x == nil {
			return invalid
		}
		if x != nil {
			r.fields[name] = x
		}
		if n, ok := x.(int64); ok && f.Generated != 0 {
			m.numbers = max(m.numbers, n)
		}
	}
	id := r.fields["id"].(int64)
	if s.rows[id] != nil || s.clash(r) != "" {
		return taken
	}
	if s.ttl > 0 {
		r.expires = now + s.ttl.Milliseconds()
	}
	switch base, own := m.is.rows[id], places[id]; {
	case base != nil: // the transaction has deleted it: it is one update
		r.place = base.place
	case own != 0:
		r.place = own
	default:
		m.places++
		r.place = m.places
		places[id] = r.place
	}
	s.rows[id] = r
	return fine
}

func isFunc(x any) bool { _, ok := x.(func() any); return ok }

// learn checks a generated value: a number that was never there.
func (m *alterModel) learn(f store.Field, x any) any {
	if x == nil { // of a record that was refused
		return nil
	}
	n := x.(int64)
	if isFunc(f.Default) {
		require.GreaterOrEqual(m.t, n, int64(1_000_000))
	} else {
		require.Greater(m.t, n, m.numbers, "a number was used twice")
	}
	return n
}

func (m *alterModel) update(s *alterState, id int64, in store.Fields) expect {
	old := s.rows[id]
	if old == nil {
		return missing
	}
	r := old.clone()
	for name, x := range in {
		if f := s.rules[name]; name == "id" || f.Generated != 0 {
			continue
		} else if breaks(f, x) != nil {
			return invalid
		}
		if delete(r.fields, name); x != nil {
			r.fields[name] = x
		}
	}
	if s.clash(r) != "" {
		return taken
	}
	r.updated = m.now.Load()
	s.rows[id] = r
	return fine
}

// makeRoom evicts, at the end of a commit that has inserted records.
func (s *alterState) makeRoom(own map[int64]int) {
	if s.most == 0 || len(s.rows) <= s.most {
		return
	}
	list := slices.SortedFunc(maps.Values(s.rows), func(a, b *alterRow) int {
		switch x, y := own[a.fields["id"].(int64)] > 0, own[b.fields["id"].(int64)] > 0; {
		case x && !y:
			return 1
		case y && !x:
			return -1
		}
		if s.evict == store.OldestUpdated {
			return cmp.Or(cmp.Compare(a.updated, b.updated), cmp.Compare(a.place, b.place))
		}
		return cmp.Compare(a.place, b.place)
	})
	for _, r := range list[:len(list)-s.most] {
		delete(s.rows, r.fields["id"].(int64))
	}
}

// write does one random write, through a transaction or not.
func (m *alterModel) write(b *store.Bucket, s *alterState, own map[int64]int) (expect, expect) {
	id := int64(m.r.IntN(25))
	switch k := m.r.IntN(10); {
	case k < 5:
		in := m.fields()
		in["id"] = id
		rec, err := b.Insert(bg, in)
		return m.outcome(err), m.insert(s, in, rec, own)
	case k < 8:
		in := m.fields()
		delete(in, "id")
		_, err := b.Update(bg, id, in)
		return m.outcome(err), m.update(s, id, in)
	}
	delete(s.rows, id)
	return m.outcome(b.Delete(bg, id)), fine
}

// commit makes what a write has done to a copy the state, if it must succeed.
func (m *alterModel) commit(next *alterState, own map[int64]int, want expect) {
	if want == fine {
		next.makeRoom(own)
		m.is = next
	}
}

func (m *alterModel) step() {
	m.now.Add(1)
	next, own := m.is.clone(), map[int64]int{}
	switch k := m.r.IntN(20); {
	case k < 8:
		got, want := m.write(m.b, next, own)
		require.Equal(m.t, want, got)
		m.commit(next, own, want)
	case k < 11:
		failed := errors.New("failed")
		err := m.s.Transaction(bg, func(tx *store.Tx) error {
			for range 1 + m.r.IntN(6) {
				got, want := m.write(m.b.In(tx), next, own)
				require.Equal(m.t, want, got)
				if want != fine && want != missing {
					return failed
				}
			}
			return nil
		})
		if err == nil {
			m.commit(next, own, fine)
		} else {
			require.ErrorIs(m.t, err, failed)
		}
	case k == 11:
		m.many(next)
	case k == 12:
		m.now.Add(int64(m.r.IntN(400)))
		_, err := m.s.PurgeTTL(bg)
		require.NoError(m.t, err)
		m.is.purge(m.now.Load())
	case k == 13 && len(m.snaps) < 4:
		m.snaps = append(m.snaps, alterSnap{m.s.Snapshot(), m.is.clone(), m.b.Where(store.Eq("n", 1))})
	case k == 14 && len(m.snaps) > 0:
		i := m.r.IntN(len(m.snaps))
		m.snaps[i].snap.Close()
		m.snaps = slices.Delete(m.snaps, i, i+1)
	case k == 15:
		m.queries = append(m.queries, m.b.Where(store.Eq("n", 1)))
		m.structs = append(m.structs, m.typed.Where(store.Eq("n", 1)))
	case k == 16:
		m.typedWrite(next)
	default:
		m.alter()
	}
}

func (s *alterState) purge(now int64) {
	for id, r := range s.rows {
		if r.expires != 0 && r.expires <= now {
			delete(s.rows, id)
		}
	}
}

// many updates or deletes all records of an n.
func (m *alterModel) many(next *alterState) {
	n := int64(m.r.IntN(4))
	ids := next.ids(n)
	if m.r.IntN(2) == 0 {
		got, err := m.b.DeleteMany(bg, store.Eq("n", n))
		require.NoError(m.t, err)
		require.Equal(m.t, len(ids), got)
		for _, id := range ids {
			delete(m.is.rows, id)
		}
		return
	}
	in := store.Fields{"n": int64(m.r.IntN(8))}
	got, err := m.b.UpdateMany(bg, in, store.Eq("n", n))
	want := fine
	for _, id := range ids {
		want = max(want, m.update(next, id, in))
	}
	require.Equal(m.t, want, m.outcome(err))
	if want == fine {
		require.Equal(m.t, len(ids), got)
		m.is = next
	}
}

// typedWrite updates a record through a struct that was defined before.
func (m *alterModel) typedWrite(next *alterState) {
	id, n := int64(m.r.IntN(25)), int64(m.r.IntN(8))
	_, err := m.view.Update(bg, id, func(v *alterView) error { v.N = &n; return nil })
	want := m.update(next, id, store.Fields{"n": n})
	require.Equal(m.t, want, m.outcome(err))
	m.commit(next, nil, want)
}

// alter alters the bucket, and checks what comes of it.
func (m *alterModel) alter() {
	c, next := m.change()
	want := next.migrate(m)
	err := m.s.AlterBucket(bg, "b", c)
	var ve *store.ValidationError
	var de *store.DefinitionError
	switch {
	case errors.As(err, &de):
		m.altered["definition"]++
		require.True(m.t, next == nil, "%v", err)
	case errors.As(err, &ve):
		m.altered["records"]++
		got := map[string]int{}
		for _, is := range ve.Issues {
			got[fmt.Sprint(is.Field, " ", is.Code)]++
		}
		require.Equal(m.t, want, got)
	default:
		require.NoError(m.t, err)
		require.NotNil(m.t, next, "%+v", c)
		require.Empty(m.t, want)
		m.altered["fine"]++
		next.learn(m)
		next.purge(m.now.Load())
		next.makeRoom(nil)
		m.is = next
	}
}

// change makes a change, and the definition that comes of it; nil if there is
// something wrong with that.
func (m *alterModel) change() (c store.Change, next *alterState) {
	next = m.is.clone()
	field := func(name string, change func(f *store.Field)) {
		f := next.rules[name]
		change(&f)
		c.Fields = store.Schema{name: f}
		next.rules[name] = f
	}
	switch m.r.IntN(10) {
	case 0, 1:
		name := string(rune('a' + m.r.IntN(5)))
		if _, ok := next.rules[name]; ok {
			break
		}
		switch m.r.IntN(6) {
		case 0:
			field(name, func(f *store.Field) { f.Type, f.Default = store.Int, int64(3) })
		case 1:
			field(name, func(f *store.Field) {
				f.Type, f.Default = store.Int, func() any { return 1_000_000 + m.calls.Add(1) }
			})
		case 2:
			field(name, func(f *store.Field) { f.Type, f.Generated = store.Int, store.Autoincrement })
		case 3:
			field(name, func(f *store.Field) { f.Type, f.Required = store.String, true })
		case 4:
			field(name, func(f *store.Field) { f.Type, f.Default, f.Unique = store.Int, int64(1), true })
		default:
			field(name, func(f *store.Field) { f.Type = store.String })
		}
		if next.rules[name].Generated != 0 { // one counter is enough for the model
			for other, f := range m.is.rules {
				if other != name && f.Generated != 0 {
					return store.Change{AddIndexes: []store.Index{{}}}, nil
				}
			}
		}
	case 2:
		field("s", func(f *store.Field) { f.Required = !f.Required })
	case 3:
		field("s", func(f *store.Field) {
			if f.Enum = nil; m.r.IntN(3) > 0 {
				f.Enum = []any{"a", "b", "c"}
			}
		})
	case 4:
		field("n", func(f *store.Field) {
			if f.Max = nil; m.r.IntN(2) == 0 {
				f.Max = store.Bound(alterMax)
			}
		})
	case 5:
		field([]string{"n", "s"}[m.r.IntN(2)], func(f *store.Field) { f.Unique = !f.Unique })
	case 6:
		ix := []store.Index{{"n"}, {"s"}, {"n", "s"}}[m.r.IntN(3)]
		at := slices.IndexFunc(next.indexes, func(x store.Index) bool { return slices.Equal(x, ix) })
		if at < 0 {
			c.AddIndexes, next.indexes = []store.Index{ix}, append(next.indexes, ix)
		} else {
			c.DropIndexes, next.indexes = []store.Index{ix}, slices.Delete(next.indexes, at, at+1)
		}
		if m.r.IntN(5) == 0 { // in the wrong direction
			c.AddIndexes, c.DropIndexes, next = c.DropIndexes, c.AddIndexes, nil
		}
	case 7:
		c.TTL = []time.Duration{-1, 300 * time.Millisecond, 2 * time.Second}[m.r.IntN(3)]
		next.ttl = max(c.TTL, 0)
	case 8:
		c.MaxSize = []int{-1, 5, 12, 20}[m.r.IntN(4)]
		if next.most = max(c.MaxSize, 0); next.most == 0 {
			next.evict = 0
		} else if m.r.IntN(2) == 0 {
			c.Evict = []store.Eviction{store.OldestCreated, store.OldestUpdated}[m.r.IntN(2)]
			next.evict = c.Evict
		}
	case 9:
		c.Fields = store.Schema{"n": {Type: store.String}}
		next = nil
	}
	return c, next
}

// migrate makes the records what a changed definition makes of them, and returns
// what is wrong with them. Values that are not known yet are left out.
func (s *alterState) migrate(m *alterModel) map[string]int {
	wrong := map[string]int{}
	if s == nil {
		return wrong
	}
	seen := map[string]map[any]bool{}
	for _, r := range s.list() {
		for name, f := range s.rules {
			_, was := m.is.rules[name]
			if !was && f.Default != nil && !isFunc(f.Default) {
				r.fields[name] = f.Default
			}
			x := r.fields[name]
			for _, code := range breaks(f, x) {
				wrong[fmt.Sprintf("[%d].%s %s", r.fields["id"], name, code)]++
			}
			if f.Unique && x != nil {
				if seen[name] == nil {
					seen[name] = map[any]bool{}
				}
				if seen[name][x] {
					wrong[fmt.Sprintf("[%d].%s %s", r.fields["id"], name, store.CodeUnique)]++
				}
				seen[name][x] = true
			}
		}
		if r.expires == 0 && s.ttl > 0 && s.ttl != m.is.ttl {
			r.expires = r.created + s.ttl.Milliseconds()
		}
	}
	return wrong
}

// learn takes over the values that an alteration has generated.
func (s *alterState) learn(m *alterModel) {
	for name, f := range s.rules {
		if _, was := m.is.rules[name]; was || f.Generated == 0 && !isFunc(f.Default) {
			continue
		}
		seen := map[any]bool{}
		for r := range m.b.All() {
			x := m.learn(f, r.Get(name))
			require.False(m.t, seen[x], "a value twice")
			seen[x] = true
			s.rows[r.Get("id").(int64)].fields[name] = x
		}
		for x := range seen {
			if n := x.(int64); f.Generated != 0 {
				m.numbers = max(m.numbers, n)
			}
		}
	}
}

// check compares everything that can be read with the model.
func (m *alterModel) check() {
	t := m.t
	m.same(m.b, m.is)
	m.ofStructs(m.typed, m.is)
	for _, q := range append(m.queries, m.b.Where(store.Eq("n", 1))) {
		m.finds(q, m.is)
	}
	for _, q := range m.structs {
		list, err := q.All()
		require.NoError(t, err)
		require.Len(t, list, len(m.is.ids(1)))
	}
	for _, sn := range m.snaps {
		m.same(m.b.In(sn.snap), sn.was)
		m.ofStructs(m.typed.In(sn.snap), sn.was)
		m.finds(m.b.In(sn.snap).Where(store.Eq("n", 1)), sn.was)
		for _, name := range []string{"a", "b"} {
			_, was := sn.was.rules[name]
			_, err := m.b.In(sn.snap).Count(store.Eq(name, nil))
			require.Equal(t, was, err == nil, "the snapshot has its own fields: %v", err)
		}
		n, err := m.count.RunIn(sn.snap, 1)
		require.NoError(t, err)
		require.Len(t, sn.was.ids(1), n)
	}
	settleLive(t, m.s)
	for i, sub := range m.live {
		want := m.is.ids(int64(i / 2))
		if i == 6 {
			if _, ok := m.is.rules["a"]; ok && m.is.rules["a"].Type == store.Int {
				want = []int64{}
			} else {
				want = []int64{-1}
			}
		}
		require.NoError(t, sub.Current().Err)
		require.Equal(t, want, sub.Current().Result, "live query %d", i)
	}
	for n, sub := range m.counts {
		require.NoError(t, sub.Current().Err)
		require.Len(t, m.is.ids(int64(n)), sub.Current().Result)
		now, err := m.count.Run(bg, int64(n))
		require.NoError(t, err)
		require.Len(t, m.is.ids(int64(n)), now)
	}
	n, err := m.s.RunQuery(bg, "spec", nil)
	require.NoError(t, err)
	require.EqualValues(t, len(m.is.ids(1)), n)
	if told := m.spec.Load(); told != nil {
		require.Equal(t, n, *told)
	}
	require.NoError(t, store.CheckTables(m.s))
}

// same compares all records, their order and their metadata.
func (m *alterModel) same(b *store.Bucket, s *alterState) {
	t := m.t
	list := s.list()
	i := 0
	for r := range b.All() {
		require.Less(t, i, len(list))
		want := list[i]
		require.Equal(t, want.fields["id"], r.Get("id"), "place %d", i)
		got := r.Map()
		for _, name := range []string{"_version", "_createdAt", "_updatedAt", "_expiresAt"} {
			delete(got, name)
		}
		require.Equal(t, want.fields, got)
		require.Equal(t, want.created, r.CreatedAt().UnixMilli())
		require.Equal(t, want.updated, r.UpdatedAt().UnixMilli())
		if want.expires == 0 {
			require.True(t, r.ExpiresAt().IsZero())
		} else {
			require.Equal(t, want.expires, r.ExpiresAt().UnixMilli())
		}
		i++
	}
	require.Equal(t, len(list), i)
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, len(list), n)
	for id := range int64(25) {
		r, ok := b.Get(id)
		require.Equal(t, s.rows[id] != nil, ok)
		if ok {
			require.Equal(t, id, r.Get("id"))
		}
	}
}

func (m *alterModel) ofStructs(b *store.TypedBucket[alterNative], s *alterState) {
	i, list := 0, s.list()
	for v := range b.All() {
		want := list[i].fields
		n, _ := want["n"].(int64)
		text, _ := want["s"].(string)
		require.Equal(m.t, alterNative{ID: int(want["id"].(int64)), N: int(n), S: text}, v)
		i++
	}
	require.Equal(m.t, len(list), i)
}

// finds compares the answer of a query for n = 1, by whatever path.
func (m *alterModel) finds(q *store.Query[store.Record], s *alterState) {
	list, err := q.All()
	require.NoError(m.t, err)
	ids := []int64{}
	for _, r := range list {
		ids = append(ids, r.Get("id").(int64))
	}
	require.Equal(m.t, s.ids(1), ids)
	n, err := q.Count()
	require.NoError(m.t, err)
	require.Len(m.t, ids, n)
	sorted, err := q.OrderBy(store.Desc("s"), store.Asc("n")).All()
	require.NoError(m.t, err)
	require.Len(m.t, sorted, n)
	e, err := q.Explain()
	require.NoError(m.t, err)
	indexed := s.rules["n"].Unique || slices.ContainsFunc(s.indexes, func(ix store.Index) bool { return ix[0] == "n" })
	if len(s.rows) > 0 && !indexed {
		require.NotEqual(m.t, "index", e.Path)
	}
}

// TestAlterModel alters a bucket at random between random writes.
func TestAlterModel(t *testing.T) {
	steps := modelSteps(t, 150)
	outcomes := map[string]int{}
	for _, seed := range modelSeeds(t, 4) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			m := newAlterModel(t, rand.New(rand.NewPCG(seed, 0)))
			for range steps {
				m.step()
				m.check()
			}
			for _, sn := range m.snaps {
				sn.snap.Close()
			}
			for what, n := range m.altered {
				outcomes[what] += n
			}
		})
	}
	t.Log(outcomes)
	for _, what := range []string{"fine", "records", "definition"} {
		require.Positive(t, outcomes[what], what)
	}
}
