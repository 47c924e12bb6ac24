package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// The log model runs random programs over several buckets, one write at a time,
// and remembers the records of all of them at every position of the log. When the
// store is closed and opened, or has crashed, it must be what it was at the
// position that the log has, as far as its buckets are defined again.
//
//	STORE_SEED=123 STORE_STEPS=500 go test -run TestLogModel .

// logRec is a record as it is remembered.
type logRec struct {
	fields map[string]any
	meta   store.Meta
}

// logState is what is remembered of a bucket.
type logState struct {
	def  store.Definition
	rows []logRec
	auto int64 // the largest number that the log knows to be given out
}

// logMoment is the store at a position of the log.
type logMoment struct {
	buckets map[string]*logState
	seq     store.Seq // of the newest commit that is in the log
}

type logModel struct {
	t       *testing.T
	r       *rand.Rand
	log     *testLog
	s       *store.Store
	mode    store.Durability
	now     time.Time
	defs    map[string]store.Definition // of buckets that exist, or may be made
	handles map[string]*store.Bucket
	state   logMoment
	moments map[store.Position]logMoment
	fresh   int
	trace   []string
	count   map[string]int
}

func TestLogModel(t *testing.T) {
	steps, seeds := modelSteps(t, 150), 8
	if testing.Short() {
		seeds = 2
	}
	total := map[string]int{}
	for _, seed := range modelSeeds(t, seeds) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			m := newLogModel(t, rand.New(rand.NewPCG(seed, 6)))
			defer func() {
				if t.Failed() {
					t.Log("the last steps:\n  " + strings.Join(m.trace[max(len(m.trace)-60, 0):], "\n  "))
				}
			}()
			for range steps {
				m.step()
			}
			m.restart()
			for what, n := range m.count {
				total[what] += n
			}
		})
	}
	t.Log(total)
}

func newLogModel(t *testing.T, r *rand.Rand) *logModel {
	m := &logModel{
		t: t, r: r, log: &testLog{}, now: time.UnixMilli(1_700_000_000_000), handles: map[string]*store.Bucket{},
		mode: one(r, store.Sync, store.OS, store.Interval(time.Hour)), moments: map[store.Position]logMoment{}, count: map[string]int{},
	}
	m.state.buckets = map[string]*logState{}
	every := everyType
	every.Ordered = m.chance(2)
	m.defs = map[string]store.Definition{
		"every": every,
		"a/x é ": {
			Key: "id", Ordered: true, Schema: store.Schema{
				"id": {Type: store.String, Generated: store.UUID}, "s": {Type: store.String, Default: "s"}, "n": {Type: store.Number},
			}, Indexes: []store.Index{{"s", "n"}},
		},
		"deadlines": {
			Key: "id", TTL: 40 * time.Millisecond, Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "b": {Type: store.Bool}},
		},
		"bounded": {
			Key: "id", MaxSize: 1 + r.IntN(8), MaxBytes: 3000, Evict: one(r, evictions...),
			Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "n": {Type: store.Int}, "u": {Type: store.String, Unique: true}},
		},
		"volatile": {Key: "id", Volatile: true, Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "f": {Type: store.Float}}},
		"morph":    {Key: "id", Extra: true, Schema: store.Schema{"id": {Type: store.Int}, "a": {Type: store.Int}, "b": {Type: store.String}}},
		"wide":     wideDefinition(),
	}
	m.open()
	return m
}

// wideDefinition has more fields than fit into one word of a record.
func wideDefinition() store.Definition {
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}}, Indexes: []store.Index{{"i070"}}}
	for i := range 66 {
		def.Schema[fmt.Sprintf("i%03d", i+10)] = store.Field{Type: store.Int}
		def.Schema[fmt.Sprintf("s%03d", i)] = store.Field{Type: store.String}
		def.Schema[fmt.Sprintf("x%03d", i)] = store.Field{Type: store.Any}
	}
	return def
}

func (m *logModel) chance(n int) bool { return m.r.IntN(n) == 0 }

func (m *logModel) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
	m.count[strings.Fields(format)[0]]++
}

func (m *logModel) open() {
	var err error
	m.s, err = store.Open(bg, store.Options{
		Clock: func() time.Time { return m.now }, TTLInterval: -1,
		Persistence: store.Persistence{Adapter: m.log, Durability: m.mode},
	})
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = m.s.Close(bg) })
	clear(m.handles)
	require.Equal(m.t, slices.Sorted(maps.Keys(m.state.buckets)), slices.Sorted(slices.Values(m.s.Stats().Persistence.Undefined)))
	require.GreaterOrEqual(m.t, m.s.Stats().Commits, m.state.seq)
	m.remember()
}

// remember notes what the store is at the position of its log.
func (m *logModel) remember() {
	if n := len(m.log.entries); n > 0 {
		e, err := logentry.Parse(m.log.entries[n-1])
		require.NoError(m.t, err)
		require.GreaterOrEqual(m.t, store.Seq(e.Seq), m.state.seq)
		m.state.seq = store.Seq(e.Seq)
	}
	now := logMoment{buckets: maps.Clone(m.state.buckets), seq: m.state.seq}
	m.moments[m.s.Stats().Persistence.Position] = now
}

// look brings what is remembered of a bucket up to date.
func (m *logModel) look(name string) {
	b, ok := m.handles[name]
	if !ok {
		delete(m.state.buckets, name)
		return
	}
	def := m.defs[name]
	st := &logState{def: def, rows: m.rows(b)}
	if old := m.state.buckets[name]; old != nil {
		st.auto = old.auto
	}
	for _, r := range st.rows {
		if id, ok := r.fields["id"].(int64); ok {
			st.auto = max(st.auto, id)
		}
	}
	if !def.Volatile {
		m.state.buckets[name] = st
	}
}

func (m *logModel) rows(b *store.Bucket) (rows []logRec) {
	list, err := b.Where().All()
	require.NoError(m.t, err)
	return records(list)
}

func records(list []store.Record) (rows []logRec) {
	for _, r := range list {
		rows = append(rows, logRec{r.Map(), r.Meta()})
	}
	return rows
}

// alive leaves out what expired meanwhile, which goes when the bucket is defined.
func (m *logModel) alive(rows []logRec) []logRec {
	return slices.DeleteFunc(slices.Clone(rows), func(r logRec) bool {
		return r.meta.ExpiresAt != 0 && int64(r.meta.ExpiresAt) <= m.now.UnixMilli()
	})
}

func showRows(rows []logRec) (out []string) {
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s %+v", exactly(r.fields), r.meta))
	}
	return out
}

// step does one thing at random.
func (m *logModel) step() {
	m.now = m.now.Add(time.Duration(m.r.IntN(4)) * time.Millisecond)
	var touched []string
	switch n := m.r.IntN(60); {
	case n < 3:
		m.restart()
		return
	case n < 6:
		m.crash()
		return
	case n < 9:
		m.note("compact")
		require.NoError(m.t, m.s.Compact(bg))
	case n == 9:
		touched = m.drop()
	case n < 16:
		m.define(m.anyName())
		return
	case n < 24:
		touched = m.transaction()
	case n < 26:
		m.note("purge")
		_, err := m.s.PurgeTTL(bg)
		require.NoError(m.t, err)
		touched = []string{"deadlines"}
	default:
		if name, b := m.anyHandle(); b != nil {
			m.write(name, b)
			touched = []string{name}
		}
	}
	for _, name := range touched {
		if _, ok := m.handles[name]; ok || m.state.buckets[name] == nil {
			m.look(name)
		}
	}
	m.remember()
	if m.chance(4) && m.log.synced < m.log.last() { // the system writes when it likes
		m.log.synced = max(m.log.synced, m.log.at) + store.Position(m.r.IntN(int(m.log.last()-max(m.log.synced, m.log.at))+1))
	}
}

func (m *logModel) anyName() string { return one(m.r, slices.Sorted(maps.Keys(m.defs))...) }

func (m *logModel) anyHandle() (string, *store.Bucket) {
	if len(m.handles) == 0 {
		return "", nil
	}
	name := one(m.r, slices.Sorted(maps.Keys(m.handles))...)
	return name, m.handles[name]
}

// define defines a bucket, in one way or another, and compares it.
func (m *logModel) define(name string) {
	if m.handles[name] != nil {
		_, err := m.s.DefineBucket(bg, name, m.defs[name])
		require.ErrorIs(m.t, err, store.ErrBucketExists)
		return
	}
	old := m.state.buckets[name]
	def, want, why := m.defs[name], []logRec(nil), ""
	if old != nil {
		def, want = old.def, old.rows
		if name == "morph" && m.chance(2) {
			def, want, why = m.change(old)
		}
	}
	m.note("define %q, %s", name, cmp.Or(why, "as it was"))
	b, err := m.s.DefineBucket(bg, name, def)
	if want == nil && old != nil && len(old.rows) > 0 {
		require.Error(m.t, err, why)
		require.NotErrorIs(m.t, err, store.ErrCorrupt, why)
		require.Contains(m.t, m.s.Stats().Persistence.Undefined, name)
		def, want = old.def, old.rows
		b, err = m.s.DefineBucket(bg, name, def)
	}
	require.NoError(m.t, err, why)
	m.defs[name], m.handles[name] = def, b
	want = m.alive(want)
	require.Equal(m.t, showRows(want), showRows(m.rows(b)), why)
	require.NoError(m.t, store.CheckTables(m.s))
	m.queries(b, def, want)
	m.look(name)
	m.remember()
}

// change returns another definition, and what the records are under it; no
// records if they do not fit it.
func (m *logModel) change(old *logState) (def store.Definition, want []logRec, why string) {
	def = old.def
	def.Schema, def.Indexes = maps.Clone(def.Schema), slices.Clone(def.Indexes)
	for _, r := range old.rows {
		want = append(want, logRec{maps.Clone(r.fields), r.meta})
	}
	_, hasB := def.Schema["b"]
	seen, twice, lacks, other := map[any]bool{}, false, false, false
	has, exact := false, true
	for _, r := range old.rows {
		a, ok := r.fields["a"]
		twice = twice || ok && seen[a]
		seen[a] = true
		_, ok = r.fields["b"]
		lacks, has = lacks || !ok, has || ok
		for name := range r.fields {
			_, ok := def.Schema[name]
			other = other || !ok && !strings.HasPrefix(name, "_")
		}
	}
	switch m.r.IntN(7) {
	case 0:
		name := fmt.Sprint("x", m.r.IntN(1000))
		if _, ok := def.Schema[name]; ok {
			return def, want, ""
		}
		def.Schema[name] = store.Field{Type: store.Int, Default: 5}
		for _, r := range want {
			if _, ok := r.fields[name]; !ok {
				r.fields[name] = int64(5)
			}
		}
		return def, want, "an added field with a default"
	case 1:
		def.Indexes = []store.Index{{"a"}, {"id", "a"}}[:1+m.r.IntN(2)]
		return def, want, "other indexes"
	case 2:
		def.Schema["a"] = store.Field{Type: store.Float}
		for _, r := range want {
			if a, ok := r.fields["a"].(int64); ok {
				r.fields["a"] = float64(a)
				exact = exact && int64(float64(a)) == a
			}
		}
		if !exact {
			want = nil
		}
		return def, want, "floats"
	case 3:
		if hasB {
			delete(def.Schema, "b")
			if has && !def.Extra {
				want = nil
			}
			return def, want, "a removed field"
		}
		def.Schema["b"] = store.Field{Type: store.String}
		return def, want, "a field that was extra"
	case 4:
		def.Extra = false
		if other {
			want = nil
		}
		return def, want, "no extra fields"
	case 5:
		f := def.Schema["a"]
		f.Unique = true
		def.Schema["a"] = f
		if twice {
			want = nil
		}
		return def, want, "unique"
	default:
		if hasB {
			def.Schema["b"] = store.Field{Type: store.String, Required: true}
			if lacks {
				want = nil
			}
		}
		return def, want, "required"
	}
}

// queries compares the answers of indexes with scans.
func (m *logModel) queries(b *store.Bucket, def store.Definition, rows []logRec) {
	for _, ix := range def.Indexes {
		for range min(3, len(rows)) {
			v, ok := one(m.r, rows...).fields[ix[0]]
			if !ok {
				continue
			}
			list, err := b.Where(store.Eq(ix[0], v)).All()
			require.NoError(m.t, err)
			var got, want []string
			for _, r := range list {
				got = append(got, exactly(r.Get("id")))
			}
			for _, r := range rows {
				if x, ok := r.fields[ix[0]]; ok && sameInLog(x, v) {
					want = append(want, exactly(r.fields["id"]))
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			require.Equal(m.t, want, got, "%v = %v", ix, v)
		}
	}
}

// sameInLog is equality as filters have it.
func sameInLog(a, b any) bool {
	if x, ok := a.(time.Time); ok {
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	}
	number := func(v any) (float64, bool) {
		switch v := v.(type) {
		case int64:
			return float64(v), true
		case float64:
			return v, true
		}
		return 0, false
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x == y
		}
	}
	return exactly(a) == exactly(b)
}

func (m *logModel) drop() []string {
	name := m.anyName()
	m.note("drop %q", name)
	err := m.s.DropBucket(bg, name)
	if m.handles[name] == nil && m.state.buckets[name] == nil {
		require.ErrorIs(m.t, err, store.ErrBucketNotDefined)
		return nil
	}
	require.NoError(m.t, err)
	delete(m.handles, name)
	delete(m.state.buckets, name)
	return nil
}

// restart closes the store and opens it again.
func (m *logModel) restart() {
	m.note("restart")
	type taken struct {
		next store.Cursor
		last logRec // of the page
		rest []logRec
	}
	pages := map[string]taken{}
	for name, b := range m.handles {
		if page, err := b.Where().Page(2, ""); err == nil && page.Next != "" && name != "volatile" {
			rest, err := b.Where().Page(1000, page.Next)
			require.NoError(m.t, err)
			pages[name] = taken{page.Next, records(page.Records)[1], records(rest.Records)}
		}
	}
	require.NoError(m.t, m.s.Close(bg))
	m.log.synced = m.log.last()
	m.open()
	for name, want := range pages {
		if m.chance(3) {
			continue
		}
		b, err := m.s.DefineBucket(bg, name, m.defs[name])
		require.NoError(m.t, err)
		m.handles[name] = b
		require.Equal(m.t, showRows(m.alive(m.state.buckets[name].rows)), showRows(m.rows(b)))
		m.look(name)
		rest, err := b.Where().Page(1000, want.next)
		if len(m.alive([]logRec{want.last})) == 0 {
			require.ErrorIs(m.t, err, store.ErrCursor)
			continue
		}
		require.NoError(m.t, err)
		require.Equal(m.t, showRows(m.alive(want.rest)), showRows(records(rest.Records)))
	}
	m.remember()
}

// crash goes back to what the log has.
func (m *logModel) crash() {
	power := m.chance(2)
	log := m.log.crash(power)
	m.note("crash %v", power)
	at := log.last()
	if !power || m.mode == store.Sync {
		require.Equal(m.t, m.s.Stats().Persistence.Position, at)
	}
	was, ok := m.moments[at]
	require.True(m.t, ok, "position %d", at)
	_ = m.s.Close(bg)
	m.log = log
	m.log.synced = at
	m.state = logMoment{buckets: maps.Clone(was.buckets), seq: was.seq}
	for p := range m.moments {
		if p > at {
			delete(m.moments, p)
		}
	}
	m.open()
}

// key returns the key of a record that may be there.
func (m *logModel) key(name string) any {
	if rows := m.state.buckets[name]; rows != nil && len(rows.rows) > 0 && !m.chance(8) {
		return one(m.r, rows.rows...).fields["id"]
	}
	if m.defs[name].Schema["id"].Type == store.String {
		return one(m.r, "k1", "", "é", "..")
	}
	return m.r.IntN(20)
}

// write makes a random write of one commit.
func (m *logModel) write(name string, b *store.Bucket) {
	def := m.defs[name]
	var err error
	switch n := m.r.IntN(22); {
	case n >= 20 && name == "deadlines": // of the others' records none expires: a purge is one commit
		key, at := m.key(name), m.now.Add(time.Duration(m.r.IntN(80))*time.Millisecond)
		m.note("touch in %q", name)
		switch m.r.IntN(3) {
		case 0:
			_, err = b.Touch(bg, key)
		case 1:
			_, err = b.ExpireAt(bg, key, at)
		default:
			_, err = b.ExpireAt(bg, key, time.Time{})
		}
	case n < 7:
		var r store.Record
		m.note("insert into %q", name)
		in := m.fields(def, true)
		if r, err = b.Insert(bg, in); err == nil && in["id"] == nil {
			m.given(name, r)
		}
	case n < 9:
		m.note("insertMany into %q", name)
		var list []store.Fields
		for range 1 + m.r.IntN(12) {
			list = append(list, m.fields(def, true))
		}
		_, err = b.InsertMany(bg, list)
	case n < 13:
		m.note("update of %q", name)
		_, err = b.Update(bg, m.key(name), m.fields(def, false))
	case n < 14:
		m.note("upsert into %q", name)
		in := m.fields(def, true)
		in["id"] = m.key(name)
		_, err = b.Upsert(bg, in)
	case n < 16:
		m.note("updateMany of %q", name)
		in := m.fields(def, false)
		delete(in, "u")
		_, err = b.UpdateMany(bg, in, m.filter(name))
	case n < 18:
		m.note("delete from %q", name)
		err = b.Delete(bg, m.key(name))
	case n < 19:
		m.note("deleteMany from %q", name)
		_, err = b.DeleteMany(bg, m.filter(name))
	case m.chance(3):
		m.note("clear %q", name)
		err = b.Clear(bg)
	}
	m.fine(err)
}

// given checks that a number which was drawn is a new one.
func (m *logModel) given(name string, r store.Record) {
	if st := m.state.buckets[name]; st != nil && m.defs[name].Schema["id"].Generated == store.Autoincrement {
		require.Greater(m.t, r.Get("id"), st.auto)
	}
}

// fine accepts what random writes may be refused for.
func (m *logModel) fine(err error) {
	var taken *store.UniqueError
	var invalid *store.ValidationError
	var conflict *store.ConflictError
	if err != nil && !errors.As(err, &taken) && !errors.As(err, &invalid) && !errors.As(err, &conflict) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrRecordTooLarge) && !errors.Is(err, errFoe) {
		require.NoError(m.t, err)
	}
}

func (m *logModel) filter(name string) store.Filter {
	key := m.key(name)
	if m.chance(2) {
		return store.Eq("id", key)
	}
	return store.Gte("id", key)
}

// transaction writes several buckets, or comes to nothing.
func (m *logModel) transaction() (touched []string) {
	if len(m.handles) == 0 {
		return nil
	}
	m.note("transaction")
	end := one(m.r, "commit", "commit", "commit", "fail", "conflict")
	before := m.s.Stats().Commits
	err := m.s.Transaction(bg, func(tx *store.Tx) error {
		for range 1 + m.r.IntN(6) {
			name, b := m.anyHandle()
			touched = append(touched, name)
			if end == "conflict" {
				_, _ = b.In(tx).Count()
			}
			m.write(name, b.In(tx))
		}
		switch end {
		case "fail":
			return errFoe
		case "conflict":
			name, b := m.anyHandle()
			touched = append(touched, name)
			_, err := b.Insert(bg, m.fields(m.defs[name], true))
			m.fine(err)
			before = m.s.Stats().Commits
			m.between(name)
		}
		return nil
	})
	m.fine(err)
	if err != nil {
		require.Equal(m.t, before, m.s.Stats().Commits)
	}
	return touched
}

// between remembers a commit in the midst of a transaction.
func (m *logModel) between(name string) {
	m.look(name)
	m.remember()
}

// fields are of a new record, or what is to change.
func (m *logModel) fields(def store.Definition, whole bool) store.Fields {
	in := store.Fields{}
	for _, name := range slices.Sorted(maps.Keys(def.Schema)) {
		f := def.Schema[name]
		if name == "id" {
			if whole && (f.Generated == 0 || m.chance(10)) {
				m.fresh++
				in[name] = m.fresh
				if f.Type == store.String {
					in[name] = fmt.Sprint("key ", m.fresh)
				}
			}
			continue
		}
		if len(def.Schema) > 50 && !m.chance(20) || m.chance(3) {
			continue
		}
		if !whole && f.Default == nil && m.chance(4) {
			in[name] = nil
			continue
		}
		in[name] = m.value(f.Type, 0)
	}
	if def.Extra && m.chance(2) {
		in[one(m.r, "extra", "e é", "e.x")] = m.value(store.Any, 0)
	}
	return in
}

// value is one of a type, of few: so that some are equal.
func (m *logModel) value(typ store.Type, depth int) any {
	switch typ {
	case store.String:
		return one(m.r, "", "a", "b", "é\x00\n", strings.Repeat("long ", 60), fmt.Sprint("u", m.r.IntN(50)))
	case store.Int:
		return one[any](m.r, 0, 1, -1, 23, 24, 255, 256, math.MaxInt32+1, int64(math.MaxInt64), int64(math.MinInt64), m.r.IntN(9))
	case store.Float:
		return one(m.r, 0, math.Copysign(0, -1), 1.5, 3, math.Inf(1), math.Inf(-1), 1e300, math.SmallestNonzeroFloat64, float64(float32(0.1)), 0.1, 65504, 65505, math.Pi)
	case store.Number:
		return m.value(one(m.r, store.Int, store.Float), depth)
	case store.Bool:
		return m.chance(2)
	case store.Date:
		return one(
			m.r, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Unix(0, 0), time.Unix(-1, 5),
			m.now.Add(time.Duration(m.r.IntN(5))), time.Date(2024, 3, 31, 2, 30, 0, 0, time.FixedZone("", -3600)),
		)
	case store.Bytes:
		return one(m.r, []byte{}, []byte{0, 255}, []byte(strings.Repeat("x", 300)))
	case store.Object:
		out := map[string]any{}
		for range m.r.IntN(4) {
			out[one(m.r, "", "k", "kk", "é", "a")] = m.value(store.Any, depth+1)
		}
		return out
	case store.Array:
		out := []any{}
		for range m.r.IntN(4) {
			out = append(out, m.value(store.Any, depth+1))
		}
		return out
	}
	if depth > 0 && m.chance(5) {
		return nil
	}
	kinds := []store.Type{store.String, store.Int, store.Float, store.Bool, store.Date, store.Bytes, store.Object, store.Array}
	if depth > 3 {
		kinds = kinds[:6]
	}
	return m.value(one(m.r, kinds...), depth)
}
