package store_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The query model asks random queries of random buckets and compares each answer
// with what a loop over a slice of maps says, by the semantics that Filter,
// Order, Query and Cursor document. A twin with the same records and no index
// must say the same, and so must every path that a query could take.
//
//	STORE_SEED=123 STORE_STEPS=500 go test -run TestQueryModel .

// qrow is a version of a record; it is never changed.
type qrow struct {
	key              any
	vals             values
	ord              int // place in the order of insertion
	version          int64
	created, updated time.Time
}

type qstate []*qrow // in the bucket's order

type qmodel struct {
	t        *testing.T
	r        *rand.Rand
	ctx      context.Context
	s        *store.Store
	b, twin  *store.Bucket
	def      store.Definition
	typed    func(at *store.Snapshot, q *qspec) ([]any, []values, error)
	now      time.Time
	rows     map[any]*qrow
	cached   qstate
	ord      int
	unique   int64
	nextKey  int
	pools    map[string][]any
	gone     []any
	held     []qheld
	textKeys bool
	asked    string
}

type qheld struct {
	snap *store.Snapshot
	rows qstate
}

func TestQueryModel(t *testing.T) {
	steps := modelSteps(t, 30)
	seeds := 6
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		seeds = 2 // each takes as long as six
	}
	for _, seed := range modelSeeds(t, seeds) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			m := newQmodel(t, r)
			defer func() {
				if t.Failed() {
					t.Logf("definition: %+v", m.def)
					t.Logf("last query: %s", m.asked)
				}
			}()
			for range steps {
				m.step()
			}
			for _, h := range m.held {
				h.snap.Close()
			}
			require.NoError(t, store.CheckTables(m.s))
			require.NoError(t, m.s.Close(m.ctx))
		})
	}
}

// ---- the oracle: values

var qkinds = map[string]int{"bool": 1, "int64": 2, "float64": 2, "time.Time": 3, "string": 4, "[]uint8": 5, "[]interface {}": 6, "map[string]interface {}": 7}

func qkind(v any) int {
	if v == nil {
		return 0
	}
	return qkinds[fmt.Sprintf("%T", v)]
}

func qnumber(v any) *big.Float {
	if i, ok := v.(int64); ok {
		return new(big.Float).SetInt64(i)
	}
	return new(big.Float).SetFloat64(v.(float64))
}

// qcompare orders values: kinds as documented, numbers by their exact value.
func qcompare(a, b any) int {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	}
	if d := cmp.Compare(qkind(a), qkind(b)); d != 0 || a == nil {
		return d
	}
	switch x := a.(type) {
	case bool:
		return cmp.Compare(fmt.Sprint(x), fmt.Sprint(b)) // "false" < "true"
	case int64, float64:
		return qnumber(a).Cmp(qnumber(b))
	case time.Time:
		return x.Compare(b.(time.Time))
	case []byte:
		return bytes.Compare(x, b.([]byte))
	case []any:
		return slices.CompareFunc(x, b.([]any), qcompare)
	}
	return slices.CompareFunc(qentries(a), qentries(b), qcompare)
}

// qentries is an object as the list of its names and values, by name.
func qentries(v any) (list []any) {
	m := v.(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k, m[k])
	}
	return list
}

// find is what a name stands for: its type, and whether there is such a thing.
func (m *qmodel) find(name string) (typ store.Type, head string, path []string, ok bool) {
	if f, ok := m.def.Schema[name]; ok {
		return f.Type, name, nil, true
	}
	switch name {
	case "_version":
		return store.Int, "", nil, true
	case "_createdAt", "_updatedAt", "_expiresAt":
		return store.Date, "", nil, true
	}
	parts := strings.Split(name, ".")
	for n := len(parts) - 1; n > 0; n-- {
		head := strings.Join(parts[:n], ".")
		if f, ok := m.def.Schema[head]; ok {
			inside := f.Type == store.Object || f.Type == store.Array || f.Type == store.Any
			return store.Any, head, parts[n:], inside
		}
	}
	return store.Any, "", parts, m.def.Extra
}

// get is a record's value under a name, nil for none.
func (m *qmodel) get(r *qrow, name string) any {
	switch name {
	case "_version":
		return r.version
	case "_createdAt":
		return r.created
	case "_updatedAt":
		return r.updated
	case "_expiresAt":
		return nil
	}
	if v, ok := r.vals[name]; ok {
		return v
	}
	_, head, path, _ := m.find(name)
	var v any = map[string]any(r.vals)
	if head != "" {
		v = r.vals[head]
	}
	for _, part := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if v = nil; err == nil && i >= 0 && i < len(x) {
				v = x[i]
			}
		default:
			return nil
		}
	}
	return v
}

// ---- the oracle: filters

type qfilter struct {
	op    string
	field string
	vals  []any
	subs  []*qfilter
}

func (f *qfilter) String() string {
	if f.subs != nil || f.op == "and" || f.op == "or" {
		return fmt.Sprintf("%s%v", f.op, f.subs)
	}
	return fmt.Sprintf("%s(%s, %#v)", f.op, f.field, f.vals)
}

func (f *qfilter) text() string { s, _ := f.vals[0].(string); return s }

func (f *qfilter) filter() store.Filter {
	subs := make([]store.Filter, len(f.subs))
	for i, s := range f.subs {
		subs[i] = s.filter()
	}
	switch f.op {
	case "eq":
		return store.Eq(f.field, f.vals[0])
	case "ne":
		return store.Ne(f.field, f.vals[0])
	case "gt":
		return store.Gt(f.field, f.vals[0])
	case "gte":
		return store.Gte(f.field, f.vals[0])
	case "lt":
		return store.Lt(f.field, f.vals[0])
	case "lte":
		return store.Lte(f.field, f.vals[0])
	case "between":
		return store.Between(f.field, f.vals[0], f.vals[1])
	case "in":
		return store.In(f.field, f.vals...)
	case "nin":
		return store.NotIn(f.field, f.vals...)
	case "contains":
		return store.Contains(f.field, f.vals[0])
	case "prefix":
		return store.HasPrefix(f.field, f.text())
	case "suffix":
		return store.HasSuffix(f.field, f.text())
	case "exists":
		return store.Exists(f.field)
	case "and":
		return store.And(subs...)
	case "or":
		return store.Or(subs...)
	}
	return store.Not(subs[0])
}

// fits reports whether a field of the type can be equal to the value.
func qfits(typ store.Type, v any, ranged bool) bool {
	switch x := v.(type) {
	case nil:
		return true
	case int64:
		switch typ {
		case store.Float:
			return ranged || qcompare(x, float64(x)) == 0
		case store.Int, store.Number, store.Any:
			return true
		}
	case float64:
		switch typ {
		case store.Int:
			return ranged || x == math.Trunc(x) && x >= -(1<<63) && x < 1<<63
		case store.Float, store.Number, store.Any:
			return true
		}
	case string:
		return typ == store.String || typ == store.Any
	case bool:
		return typ == store.Bool || typ == store.Any
	case time.Time:
		return typ == store.Date || typ == store.Any
	case []byte:
		return typ == store.Bytes || typ == store.Any
	case []any:
		return typ == store.Array || typ == store.Any
	case map[string]any:
		return typ == store.Object || typ == store.Any
	}
	return false
}

// bad reports whether a filter is an error.
func (m *qmodel) bad(f *qfilter) bool {
	if f.field == "" {
		return slices.ContainsFunc(f.subs, m.bad)
	}
	typ, _, _, ok := m.find(f.field)
	container := typ == store.Object || typ == store.Array
	switch {
	case !ok:
		return true
	case f.op == "exists":
		return false
	case f.op == "prefix", f.op == "suffix":
		return typ != store.String && typ != store.Any
	case f.op == "contains":
		_, text := f.vals[0].(string)
		return typ != store.Array && typ != store.Any && (typ != store.String || !text)
	case f.op == "eq", f.op == "ne", f.op == "in", f.op == "nin":
		return slices.ContainsFunc(f.vals, func(v any) bool { return !qfits(typ, v, false) })
	}
	for _, v := range f.vals {
		if container || v == nil || qkind(v) >= 6 || !qfits(typ, v, true) {
			return true
		}
	}
	return f.op == "between" && (qkind(f.vals[0]) != qkind(f.vals[1]) || qcompare(f.vals[0], f.vals[1]) > 0)
}

func (m *qmodel) match(r *qrow, f *qfilter) bool {
	switch f.op {
	case "and":
		return !slices.ContainsFunc(f.subs, func(s *qfilter) bool { return !m.match(r, s) })
	case "or":
		return slices.ContainsFunc(f.subs, func(s *qfilter) bool { return m.match(r, s) })
	case "not":
		return !m.match(r, f.subs[0])
	}
	x := m.get(r, f.field)
	equal := func(v any) bool { return qcompare(x, v) == 0 }
	switch f.op {
	case "eq", "in":
		return slices.ContainsFunc(f.vals, equal)
	case "ne", "nin":
		return !slices.ContainsFunc(f.vals, equal)
	case "exists":
		return x != nil
	case "contains":
		return qcontains(x, f.vals[0])
	case "prefix":
		s, ok := x.(string)
		return ok && strings.HasPrefix(s, f.text())
	case "suffix":
		s, ok := x.(string)
		return ok && strings.HasSuffix(s, f.text())
	}
	if qkind(x) != qkind(f.vals[0]) {
		return false
	}
	d := qcompare(x, f.vals[0])
	switch f.op {
	case "gt":
		return d > 0
	case "gte":
		return d >= 0
	case "lt":
		return d < 0
	case "lte":
		return d <= 0
	}
	return d >= 0 && qcompare(x, f.vals[1]) <= 0
}

// qcontains looks at every window of runes: EqualFold is simple folding.
func qcontains(x, want any) bool {
	if list, ok := x.([]any); ok {
		return slices.ContainsFunc(list, func(e any) bool { return qcompare(e, want) == 0 })
	}
	s, ok := x.(string)
	text, is := want.(string)
	if !ok || !is {
		return false
	}
	runes, n := []rune(s), len([]rune(text))
	for i := 0; i+n <= len(runes); i++ {
		if strings.EqualFold(string(runes[i:i+n]), text) {
			return true
		}
	}
	return false
}

// ---- the oracle: queries

type qorder struct {
	field string
	desc  bool
}

type qspec struct {
	filters       []*qfilter
	order         []qorder
	offset, limit int // -1: none
	sel           []string
	selecting     bool
}

func (q *qspec) String() string {
	return fmt.Sprintf("where %v order %v offset %d limit %d select %v %q", q.filters, q.order, q.offset, q.limit, q.selecting, q.sel)
}

func qbuild[R any](base *store.Query[R], q *qspec) *store.Query[R] {
	for _, f := range q.filters {
		base = base.Where(f.filter())
	}
	var order []store.Order
	for _, o := range q.order {
		if o.desc {
			order = append(order, store.Desc(o.field))
		} else {
			order = append(order, store.Asc(o.field))
		}
	}
	if order != nil {
		base = base.OrderBy(order...)
	}
	if q.offset > 0 {
		base = base.Offset(q.offset)
	}
	if q.limit >= 0 {
		base = base.Limit(q.limit)
	}
	if q.selecting {
		base = base.Select(q.sel...)
	}
	return base
}

func (m *qmodel) badQuery(q *qspec) bool {
	for _, o := range q.order {
		if typ, _, _, ok := m.find(o.field); !ok || typ == store.Object || typ == store.Array {
			return true
		}
	}
	for _, name := range q.sel {
		_, inSchema := m.def.Schema[name]
		if _, _, path, ok := m.find(name); !ok || !inSchema && len(path) > 1 || !inSchema && path != nil && strings.Contains(name, ".") {
			return true
		}
	}
	return slices.ContainsFunc(q.filters, m.bad)
}

// less is the whole order of a query: its fields, then the bucket's.
func (m *qmodel) order(q *qspec, a, b *qrow) int {
	for _, o := range q.order {
		d := qcompare(m.get(a, o.field), m.get(b, o.field))
		if o.desc {
			d = -d
		}
		if d != 0 {
			return d
		}
	}
	if m.def.Ordered {
		return qcompare(a.key, b.key)
	}
	return cmp.Compare(a.ord, b.ord)
}

// matches are all records of a query in its order, without offset and limit.
func (m *qmodel) matches(st qstate, q *qspec) (out qstate) {
	for _, r := range st {
		if !slices.ContainsFunc(q.filters, func(f *qfilter) bool { return !m.match(r, f) }) {
			out = append(out, r)
		}
	}
	if len(q.order) > 0 {
		slices.SortStableFunc(out, func(a, b *qrow) int { return m.order(q, a, b) })
	}
	return out
}

func (q *qspec) cut(rows qstate) qstate {
	rows = rows[min(q.offset, len(rows)):]
	if q.limit >= 0 {
		rows = rows[:min(q.limit, len(rows))]
	}
	return rows
}

// ---- random buckets and records

var qday = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

var qpool = map[store.Type][]any{
	store.String: {
		"", "a", "A", "b", "ab", "aB", "a\x00", "a\x00b", "\x00", "ſ", "s", "S", "\u212a", "k", "K", "ß", "É", "é", "Straße", "zz",
		"\x7f", "\U0010ffff", "longer than eight bytes A", "longer than eight bytes B", "longer t",
	},
	store.Int: {int64(0), int64(1), int64(-1), int64(3), int64(5), int64(math.MinInt64), int64(math.MaxInt64), int64(1 << 53), int64(1<<53 + 1), int64(-1<<53 - 1)},
	store.Float: {
		0.0, math.Copysign(0, -1), 1.0, 3.0, 3.5, -1.5, math.Inf(1), math.Inf(-1), float64(1 << 53), float64(1<<53 + 2),
		float64(1 << 63), -float64(1 << 63), 1e300, 5e-324, math.MaxFloat64, -1e300,
	},
	store.Bool: {true, false},
	store.Date: {
		qday, qday.Add(1), qday.Add(2), qday.Add(time.Second), time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 1, time.UTC),
	},
	store.Bytes: {[]byte{}, []byte{0}, []byte{0, 0}, []byte{0xff}, []byte{0xff, 0xff}, []byte("a"), []byte{0, 1}},
	store.Object: {
		map[string]any{},
		map[string]any{"p": int64(3)},
		map[string]any{"p": 3.0},
		map[string]any{"p": nil},
		map[string]any{"p": "a", "q": []any{int64(1)}},
		map[string]any{"p": map[string]any{"q": "s"}},
		map[string]any{"q": true, "": "x"},
		map[string]any{"p": map[string]any{"q": 2.5}},
	},
	store.Array: {
		[]any{}, []any{int64(3)}, []any{3.0, "a"}, []any{nil}, []any{"A", map[string]any{"p": "s"}}, []any{[]any{}, []byte{0}, qday}, []any{"a", true},
	},
}

func (m *qmodel) chance(n int) bool { return m.r.IntN(n) == 0 }

// any is a value of a type, from all that there are.
func (m *qmodel) any(typ store.Type) any {
	switch typ {
	case store.Number:
		typ = one(m.r, store.Int, store.Float)
	case store.Any:
		typ = one(m.r, store.String, store.Int, store.Float, store.Bool, store.Date, store.Bytes, store.Object, store.Array)
	case store.Int:
		if m.chance(3) {
			return int64(m.r.IntN(60) - 20)
		}
	}
	return one(m.r, qpool[typ]...)
}

var qindexable = []string{"s", "s2", "i", "i2", "f", "n", "b", "d", "y", "u", "o.p", "id"}

func newQmodel(t *testing.T, r *rand.Rand) *qmodel {
	m := &qmodel{t: t, r: r, ctx: context.Background(), now: time.UnixMilli(1_700_000_000_000).UTC(), rows: map[any]*qrow{}, pools: map[string][]any{}}
	var err error
	m.s, err = store.Open(m.ctx, store.Options{Clock: func() time.Time { return m.now }})
	require.NoError(t, err)
	m.textKeys = m.chance(2)
	d := store.Definition{Key: "id", Ordered: m.chance(3), Extra: m.chance(2), Schema: store.Schema{"id": {Type: store.Int}}}
	if m.textKeys {
		d.Schema["id"] = store.Field{Type: store.String}
	}
	native := m.chance(4)
	for name, typ := range modelTypes {
		d.Schema[name] = store.Field{Type: typ, Required: m.chance(4) && name != "u"}
	}
	d.Schema["u"] = store.Field{Type: one(r, store.String, store.String, store.String)}
	if !native {
		for name, typ := range map[string]store.Type{"s2": store.String, "i2": store.Int, "o.p": store.String} {
			d.Schema[name] = store.Field{Type: typ}
		}
	} else {
		d.Schema["n"] = store.Field{Type: store.Any}
	}
	twin := d
	m.twin, err = m.s.DefineBucket(m.ctx, "twin", twin)
	require.NoError(t, err)
	m.index(&d)
	m.def = d
	if m.textKeys {
		qdefine[string](m, native)
	} else {
		qdefine[int64](m, native)
	}
	for name, f := range m.def.Schema {
		for range 1 + r.IntN(12) {
			m.pools[name] = append(m.pools[name], m.any(f.Type))
		}
	}
	m.insert(one(r, 0, 1, 5, 30, 100, 100, 200, 200, 400, 400, 800, 1500, 3000))
	return m
}

// index adds random indexes.
func (m *qmodel) index(d *store.Definition) {
	d.Schema = maps.Clone(d.Schema)
	names := slices.DeleteFunc(slices.Clone(qindexable), func(n string) bool {
		f, ok := d.Schema[n]
		return !ok || f.Type == store.Any
	})
	f := d.Schema["u"]
	f.Unique = m.chance(2)
	d.Schema["u"] = f
	seen := map[string]bool{"u": f.Unique}
	for range m.r.IntN(8) {
		var ix store.Index
		for _, at := range m.r.Perm(len(names))[:one(m.r, 1, 1, 1, 2, 2, 3, 4)] {
			ix = append(ix, names[at])
		}
		if id := strings.Join(ix, ","); !seen[id] {
			seen[id] = true
			d.Indexes = append(d.Indexes, ix)
		}
	}
}

// qdefine makes the bucket, by the struct or not, and its typed handle.
func qdefine[K string | int64](m *qmodel, native bool) {
	var typed *store.TypedBucket[doc[K]]
	var err error
	if native {
		typed, err = store.Define[doc[K]](m.ctx, m.s, "docs", func(d *store.Definition) {
			d.Ordered, d.Extra, d.Indexes = m.def.Ordered, m.def.Extra, m.def.Indexes
			for name, f := range d.Schema {
				f.Required, f.Unique = m.def.Schema[name].Required, m.def.Schema[name].Unique
				d.Schema[name] = f
			}
		})
		require.NoError(m.t, err)
		m.b, err = m.s.Bucket("docs")
		require.NoError(m.t, err)
	} else {
		m.b, err = m.s.DefineBucket(m.ctx, "docs", m.def)
		require.NoError(m.t, err)
		typed, err = store.Typed[doc[K]](m.s, "docs")
		require.NoError(m.t, err)
	}
	m.typed = func(at *store.Snapshot, q *qspec) (keys []any, vals []values, err error) {
		h := typed
		if at != nil {
			h = h.In(at)
		}
		list, err := qbuild(h.Where(), q).All()
		for _, d := range list {
			keys = append(keys, d.ID)
			vals = append(vals, docValues(d))
		}
		return keys, vals, err
	}
}

func docValues[K string | int64](d doc[K]) values {
	v := values{"id": d.ID, "n": d.N, "x": d.X}
	put := func(name string, p any, ok bool) {
		if ok {
			v[name] = p
		}
	}
	deref := func(ok bool, f func() any) any {
		if ok {
			return f()
		}
		return nil
	}
	put("s", deref(d.S != nil, func() any { return *d.S }), true)
	put("u", deref(d.U != nil, func() any { return *d.U }), true)
	put("i", deref(d.I != nil, func() any { return *d.I }), true)
	put("f", deref(d.F != nil, func() any { return *d.F }), true)
	put("b", deref(d.B != nil, func() any { return *d.B }), true)
	put("d", deref(d.D != nil, func() any { return *d.D }), true)
	put("y", d.Y, d.Y != nil)
	put("o", d.O, d.O != nil)
	put("a", d.A, d.A != nil)
	return v
}

func (m *qmodel) newKey() any {
	if len(m.gone) > 0 && m.chance(3) {
		i := m.r.IntN(len(m.gone))
		key := m.gone[i]
		m.gone = slices.Delete(m.gone, i, i+1)
		return key
	}
	m.nextKey++
	n := int64(m.nextKey*7919%100_003) - 50_000
	if m.textKeys {
		return one(m.r, "k", "K\x00", "ž", "") + strconv.FormatInt(n, 10)
	}
	return n
}

// value is a new value for a field; nil where it shall be absent.
func (m *qmodel) value(name string) any {
	f := m.def.Schema[name]
	switch {
	case name == "u" && (m.chance(4) && !f.Required):
		return nil
	case name == "u":
		m.unique++
		return one(m.r, "a", "b\x00", "É", "") + strconv.FormatInt(m.unique*31%10_007+m.unique*10_007, 10)
	case !f.Required && m.chance(6):
		return nil
	case m.chance(60):
		return m.any(f.Type)
	}
	return one(m.r, m.pools[name]...)
}

func (m *qmodel) extra(vals values) {
	if m.def.Extra && m.chance(2) {
		vals["zz"] = m.any(store.Any)
	}
	if m.def.Extra && m.chance(4) {
		vals["e.f"] = m.any(store.Any)
	}
	if m.def.Extra && m.chance(4) {
		vals["e"] = map[string]any{"f": m.any(store.Any), "g": m.any(store.Int)}
	}
}

func (m *qmodel) put(key any, vals values, old *qrow) {
	m.cached = nil
	maps.DeleteFunc(vals, func(_ string, v any) bool { return v == nil })
	r := &qrow{key: key, vals: vals, version: 1, created: m.now, updated: m.now}
	if old != nil {
		r.ord, r.version, r.created = old.ord, old.version+1, old.created
	} else {
		m.ord++
		r.ord = m.ord
	}
	m.rows[key] = r
}

func (m *qmodel) insert(n int) {
	for n > 0 {
		k := min(n, 1+m.r.IntN(800))
		n -= k
		m.now = m.now.Add(time.Duration(m.r.IntN(3)) * time.Millisecond)
		var list []store.Fields
		for range k {
			vals := values{"id": m.newKey()}
			for name := range m.def.Schema {
				if name != "id" {
					vals[name] = m.value(name)
				}
			}
			m.extra(vals)
			m.put(vals["id"], vals, nil)
			list = append(list, store.Fields(vals))
		}
		_, err := m.b.InsertMany(m.ctx, list)
		require.NoError(m.t, err)
		_, err = m.twin.InsertMany(m.ctx, list)
		require.NoError(m.t, err)
	}
}

func (m *qmodel) update(n int) {
	st := m.state()
	for range min(n, len(st)) {
		old := m.rows[one(m.r, st...).key]
		in, vals := store.Fields{}, maps.Clone(old.vals)
		for name := range m.def.Schema {
			if name != "id" && m.chance(4) {
				in[name] = m.value(name)
				vals[name] = in[name]
			}
		}
		_, err := m.b.Update(m.ctx, old.key, in)
		require.NoError(m.t, err)
		_, err = m.twin.Update(m.ctx, old.key, in)
		require.NoError(m.t, err)
		rec, _ := m.b.Get(old.key)
		if int64(rec.Version()) != old.version { // a merge that changes nothing is no write
			m.put(old.key, vals, old)
		}
	}
}

func (m *qmodel) remove(n int) {
	st := m.state()
	var keys []any
	for _, i := range m.r.Perm(len(st))[:min(n, len(st))] {
		keys = append(keys, st[i].key)
	}
	m.removeKeys(keys)
}

func (m *qmodel) removeKeys(keys []any) {
	for _, key := range keys {
		delete(m.rows, key)
		m.gone = append(m.gone, key)
	}
	m.cached = nil
	for _, b := range []*store.Bucket{m.b, m.twin} {
		n, err := b.DeleteMany(m.ctx, store.In("id", keys...))
		require.NoError(m.t, err)
		require.Equal(m.t, len(keys), n)
	}
}

// state is the records in the bucket's order.
func (m *qmodel) state() qstate {
	if m.cached == nil {
		m.cached = slices.SortedFunc(maps.Values(m.rows), func(a, b *qrow) int { return m.order(&qspec{}, a, b) })
	}
	return m.cached
}

func (m *qmodel) write() {
	switch n := len(m.rows); m.r.IntN(12) {
	case 0, 1:
		m.insert(m.r.IntN(40))
	case 2:
		m.insert(m.r.IntN(400))
	case 3, 4, 5, 6:
		m.update(1 + m.r.IntN(30))
	case 7, 8:
		m.remove(m.r.IntN(10))
	case 9:
		m.remove(n / 3)
	case 10:
		if m.chance(3) { // enough for the table to number its rows anew
			m.remove(n * 9 / 10)
			m.update(5)
		}
	}
}

// ---- random questions

func (m *qmodel) field() string {
	if m.chance(2) && len(m.def.Indexes) > 0 {
		return one(m.r, one(m.r, m.def.Indexes...)...)
	}
	if m.chance(3) {
		names := []string{"o.p", "o.p.q", "o.q", "o.q.0", "a.0", "a.1", "a.1.p", "x.p", "x.0", "_version", "_createdAt", "_updatedAt", "_expiresAt"}
		if m.def.Extra {
			names = append(names, "zz", "zz.p", "e.f", "e.g", "e", "none")
		}
		return one(m.r, names...)
	}
	if m.chance(150) {
		return one(m.r, "nothing", "s.x", "i.0")
	}
	return one(m.r, slices.Sorted(maps.Keys(m.def.Schema))...)
}

// operand is a value to compare a field with.
func (m *qmodel) operand(st qstate, name string) any {
	typ, _, _, _ := m.find(name)
	if len(st) > 0 && !m.chance(4) {
		v := m.get(one(m.r, st...), name)
		if f, ok := v.(float64); ok && m.chance(4) && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f)
		}
		if i, ok := v.(int64); ok && m.chance(4) {
			return float64(i)
		}
		return v
	}
	if typ == store.Date && m.chance(60) { // which takes numbers for milliseconds
		return true
	}
	if typ != store.Date && m.chance(60) || typ == store.Int && m.chance(6) {
		return m.any(store.Number)
	}
	return m.any(typ)
}

func (m *qmodel) leaf(st qstate) *qfilter {
	f := &qfilter{field: m.field()}
	typ, _, _, _ := m.find(f.field)
	ops := []string{"eq", "eq", "eq", "eq", "in", "in", "gt", "gte", "lt", "lte", "between", "ne", "nin", "exists"}
	if typ == store.String || typ == store.Any {
		ops = append(ops, "contains", "prefix", "suffix", "prefix")
	}
	if typ == store.Array {
		ops = append(ops, "contains")
	}
	if typ == store.Object || typ == store.Array {
		ops = slices.DeleteFunc(ops, func(o string) bool { return o[0] == 'g' || o[0] == 'l' || o == "between" })
	}
	f.op = one(m.r, ops...)
	n := 1
	switch f.op {
	case "in", "nin":
		n = one(m.r, 0, 1, 2, 3, 5, 9)
	case "between":
		n = 2
	}
	for range n {
		f.vals = append(f.vals, m.operand(st, f.field))
	}
	switch f.op {
	case "contains", "prefix", "suffix":
		f.vals[0] = m.part(f.vals[0], f.op)
	case "between":
		if qcompare(f.vals[0], f.vals[1]) > 0 && !m.chance(30) {
			slices.Reverse(f.vals)
		}
	}
	// Most operands that are errors become harmless: errors have their own share.
	if m.bad(f) && !m.chance(10) {
		return &qfilter{op: "exists", field: one(m.r, "s", "i", "x")}
	}
	return f
}

// part is a part of a text, or of an array, to look for.
func (m *qmodel) part(v any, op string) any {
	if list, ok := v.([]any); ok && len(list) > 0 && op == "contains" {
		return one(m.r, list...)
	}
	s, ok := v.(string)
	if !ok {
		return one(m.r, qpool[store.String]...)
	}
	runes := []rune(s)
	from := m.r.IntN(len(runes) + 1)
	runes = runes[from : from+m.r.IntN(len(runes)-from+1)]
	if op == "prefix" && m.chance(2) {
		runes = []rune(s)[:from]
	}
	s = string(runes)
	if m.chance(2) && op == "contains" {
		return one(m.r, strings.ToUpper(s), strings.ToLower(s))
	}
	return s
}

func (m *qmodel) tree(st qstate, depth int) *qfilter {
	if depth == 0 || m.chance(3) {
		return m.leaf(st)
	}
	f := &qfilter{op: one(m.r, "and", "or", "or", "not")}
	n := one(m.r, 0, 1, 2, 2, 2, 3, 3)
	if f.op == "not" {
		n = 1
	}
	for range n {
		f.subs = append(f.subs, m.tree(st, depth-1))
	}
	return f
}

// on is a filter on a field that an index may answer.
func (m *qmodel) on(st qstate, name string, ops ...string) *qfilter {
	f := &qfilter{op: one(m.r, ops...), field: name}
	for range map[string]int{"in": 3, "between": 2}[f.op] {
		f.vals = append(f.vals, m.operand(st, name))
	}
	if f.vals == nil {
		f.vals = []any{m.operand(st, name)}
	}
	if f.op == "contains" {
		f.vals[0] = m.part(f.vals[0], f.op)
	}
	if f.op == "between" && qcompare(f.vals[0], f.vals[1]) > 0 {
		slices.Reverse(f.vals)
	}
	if m.bad(f) {
		return &qfilter{op: "exists", field: name}
	}
	return f
}

// served adds filters that indexes are made for: equalities and then a range on
// the fields of one, or an Or of what several answer.
func (m *qmodel) served(st qstate, filters []*qfilter) []*qfilter {
	if len(filters) > 1 {
		filters = filters[:1]
	}
	switch m.r.IntN(6) {
	case 0:
		filters = nil
	case 1:
		return append(filters, m.on(st, one(m.r, "s", "s", "x", "u"), "contains"))
	case 2, 3:
		or := &qfilter{op: "or"}
		name := m.field()
		for range 2 + m.r.IntN(2) {
			if m.chance(2) {
				name = one(m.r, one(m.r, m.def.Indexes...)...)
			}
			or.subs = append(or.subs, m.on(st, name, "eq", "eq", "in", "gt", "between"))
		}
		return append(filters[:min(len(filters), m.r.IntN(2))], or)
	}
	for _, name := range one(m.r, m.def.Indexes...) {
		f := m.on(st, name, "eq", "eq", "eq", "in", "gt", "lt", "lte", "between")
		filters = append(filters, f)
		if f.op != "eq" && f.op != "in" || m.chance(4) {
			break
		}
	}
	return filters
}

func (m *qmodel) query(st qstate) *qspec {
	q := &qspec{limit: -1}
	for range one(m.r, 0, 1, 1, 1, 2, 2, 3, 5) {
		if m.chance(3) {
			q.filters = append(q.filters, m.tree(st, 1+m.r.IntN(5)))
		} else {
			q.filters = append(q.filters, m.leaf(st))
		}
	}
	if len(m.def.Indexes) > 0 && m.chance(2) {
		q.filters = m.served(st, q.filters)
	}
	for range one(m.r, 0, 0, 1, 1, 2, 3) {
		name := m.field()
		if len(q.filters) > 0 && q.filters[0].field != "" && m.chance(3) {
			name = q.filters[0].field
		}
		q.order = append(q.order, qorder{name, m.chance(2)})
	}
	if len(m.def.Indexes) > 0 && m.chance(3) { // an index as it is, one way or the other
		q.order = nil
		desc := m.chance(2)
		for _, name := range one(m.r, m.def.Indexes...) {
			q.order = append(q.order, qorder{name, desc != m.chance(10)})
		}
		q.order = q.order[:1+m.r.IntN(len(q.order))]
	}
	if m.chance(2) {
		q.limit = one(m.r, 0, 1, 1, 2, 7, 40, 200, math.MaxInt)
	}
	if m.chance(4) {
		q.offset = one(m.r, 1, 3, 50, 300, math.MaxInt)
	}
	if m.chance(6) {
		q.selecting = true
		for range m.r.IntN(4) {
			q.sel = append(q.sel, m.field())
		}
	}
	return q
}

// ---- comparison

func (m *qmodel) step() {
	m.write()
	if m.chance(4) {
		m.held = append(m.held, qheld{m.s.Snapshot(), m.state()})
	}
	if len(m.held) > 2 || len(m.held) > 0 && m.chance(8) {
		m.held[0].snap.Close()
		m.held = m.held[1:]
	}
	for range 3 {
		at, st := m.pick(2)
		q := m.query(st)
		m.asked = q.String()
		m.ask(at, st, q)
		if len(m.rows) < 500 || m.chance(4) {
			q = m.query(st)
			q.offset, q.limit, m.asked = 0, -1, q.String()
			m.walk(q)
		}
	}
	m.paginate(m.pick(3))
}

// pick is the newest state, or, one time of n, one that is held.
func (m *qmodel) pick(n int) (*store.Snapshot, qstate) {
	if len(m.held) > 0 && m.chance(n) {
		h := one(m.r, m.held...)
		return h.snap, h.rows
	}
	return nil, m.state()
}

func (m *qmodel) at(b *store.Bucket, at *store.Snapshot) *store.Bucket {
	if at != nil {
		return b.In(at)
	}
	return b
}

func qkeys(rows qstate) []any {
	keys := make([]any, 0, len(rows))
	for _, r := range rows {
		keys = append(keys, fmt.Sprint(r.key, " v", r.version))
	}
	return keys
}

func recordKeys(list []store.Record) []any {
	keys := make([]any, 0, len(list))
	for _, r := range list {
		keys = append(keys, fmt.Sprint(r.Key().Value(), " v", r.Version()))
	}
	return keys
}

func (m *qmodel) same(want qstate, got []store.Record, what string) {
	m.t.Helper()
	w, g := qkeys(want), recordKeys(got)
	if len(got) > 0 && got[0].Version() == 0 { // Select hides it
		for _, keys := range [][]any{w, g} {
			for i, k := range keys {
				keys[i], _, _ = strings.Cut(k.(string), " v")
			}
		}
	}
	if !slices.Equal(w, g) {
		require.Equal(m.t, w, g, "%s of %s", what, m.asked)
	}
}

func (m *qmodel) ask(at *store.Snapshot, st qstate, q *qspec) {
	t := m.t
	b, twin := qbuild(m.at(m.b, at).Where(), q), qbuild(m.at(m.twin, at).Where(), q)
	if m.badQuery(q) {
		var qe *store.QueryError
		for _, x := range []*store.Query[store.Record]{b, twin} {
			_, err := x.All()
			require.ErrorAs(t, err, &qe, m.asked)
			_, err = x.Count()
			require.ErrorAs(t, err, &qe, m.asked)
		}
		return
	}
	all := m.matches(st, q)
	want := q.cut(all)
	got, err := b.All()
	require.NoError(t, err, m.asked)
	m.same(want, got, "All")
	m.shown(q, want, got)
	other, err := twin.All()
	require.NoError(t, err, m.asked)
	m.same(want, other, "twin")
	m.iterate(b, want)
	for _, x := range []*store.Query[store.Record]{b, twin} {
		n, err := x.Count()
		require.NoError(t, err)
		require.Equal(t, len(want), n, "Count of %s", m.asked)
		first, ok, err := x.First()
		require.NoError(t, err)
		require.Equal(t, len(want) > 0, ok, "First of %s", m.asked)
		if ok {
			m.same(want[:1], []store.Record{first}, "First")
		}
		ok, err = x.Exists()
		require.NoError(t, err)
		require.Equal(t, len(want) > 0, ok, "Exists of %s", m.asked)
		m.aggregates(x, want)
		m.groups(x, want)
	}
	m.typedAnswer(at, q, want)
	m.eachPath(b, q, want, "", q.limit)
}

// shown compares what the records show.
func (m *qmodel) shown(q *qspec, want qstate, got []store.Record) {
	for i, r := range want {
		if i >= 20 {
			return
		}
		vals := maps.Clone(r.vals)
		vals["_version"], vals["_createdAt"], vals["_updatedAt"] = r.version, r.created.UnixMilli(), r.updated.UnixMilli()
		if q.selecting {
			maps.DeleteFunc(vals, func(name string, _ any) bool { return name != "id" && !slices.Contains(q.sel, name) })
		}
		require.Equal(m.t, identity(map[string]any(vals)), identity(got[i].Map()), m.asked)
	}
}

func (m *qmodel) iterate(b *store.Query[store.Record], want qstate) {
	stop := m.r.IntN(len(want) + 1)
	var got []store.Record
	for r, err := range b.Seq() {
		require.NoError(m.t, err)
		got = append(got, r)
		if len(got) == stop {
			break
		}
	}
	if stop == 0 {
		stop = len(want)
	}
	m.same(want[:stop], got, "Seq")
	got = nil
	require.NoError(m.t, b.Each(func(r *store.Record) bool {
		got = append(got, *r)
		return len(got) != stop
	}))
	m.same(want[:stop], got, "Each")
}

// qsum is the exact sum: NaN for infinities of both signs.
func qsum(list []any) (sum *big.Float, n int, inf float64) {
	sum = new(big.Float).SetPrec(2300)
	for _, v := range list {
		if qkind(v) != 2 {
			continue
		}
		n++
		if f, ok := v.(float64); ok && math.IsInf(f, 0) {
			inf += f
			continue
		}
		sum.Add(sum, qnumber(v))
	}
	return sum, n, inf
}

func qsame(want, got float64) bool { return want == got || math.IsNaN(want) && math.IsNaN(got) }

func qfloat(sum *big.Float, n int, inf float64) float64 {
	if inf != 0 {
		return inf
	}
	rat, _ := sum.Rat(nil)
	if rat == nil {
		rat = new(big.Rat)
	}
	f, _ := rat.Quo(rat, big.NewRat(int64(max(n, 1)), 1)).Float64()
	return f
}

func (m *qmodel) column(rows qstate, name string) []any {
	out := make([]any, len(rows))
	for i, r := range rows {
		out[i] = m.get(r, name)
	}
	return out
}

func qextreme(list []any, sign int) (best any) {
	for _, v := range list {
		if v != nil && (best == nil || sign*qcompare(v, best) < 0) {
			best = v
		}
	}
	return best
}

func qdistinct(list []any) int {
	seen := map[string]bool{}
	for _, v := range list {
		if v != nil {
			seen[identity(v)] = true
		}
	}
	return len(seen)
}

func (m *qmodel) aggregates(b *store.Query[store.Record], want qstate) {
	t, name := m.t, m.field()
	typ, _, _, ok := m.find(name)
	list := m.column(want, name)
	why := fmt.Sprintf("%s of %s", name, m.asked)
	numeric := ok && (typ == store.Int || typ == store.Float || typ == store.Number || typ == store.Any)
	sum, n, inf := qsum(list)
	got, err := b.Sum(name)
	require.Equal(t, numeric, err == nil, why)
	avg, _ := b.Avg(name)
	whole, err := b.SumInt(name)
	if numeric {
		require.True(t, qsame(qfloat(sum, 1, inf), got), "sum %v, not %v, %s", got, qfloat(sum, 1, inf), why)
		require.True(t, qsame(qfloat(sum, n, inf), avg), "avg %v, not %v, %s", avg, qfloat(sum, n, inf), why)
		i, acc := sum.Int64()
		isInt := acc == big.Exact && sum.IsInt() && inf == 0
		require.Equal(t, isInt, err == nil, "SumInt %s: %v, of %v", why, err, sum)
		if isInt {
			require.Equal(t, i, whole, why)
		}
	}
	for sign, f := range map[int]func(string) (any, bool, error){1: b.Min, -1: b.Max} {
		v, any, err := f(name)
		require.Equal(t, ok && typ != store.Object && typ != store.Array, err == nil, why)
		if err == nil {
			best := qextreme(list, sign)
			require.Equal(t, best != nil, any, "extreme of %s", why)
			require.Zero(t, qcompare(best, v), "extreme %v, not %v, of %s", v, best, why)
			require.True(t, typ != store.Float || v == nil || fmt.Sprintf("%T", v) == "float64", why)
		}
	}
	d, err := b.CountDistinct(name)
	require.Equal(t, ok, err == nil, why)
	if ok {
		require.Equal(t, qdistinct(list), d, "distinct %s", why)
	}
}

// qgroup is a group as the oracle has it.
type qgroup struct {
	key  []any
	rows qstate
}

func (m *qmodel) groupsOf(want qstate, names []string) []*qgroup {
	groups := map[string]*qgroup{}
	for _, r := range want {
		var key []any
		for _, name := range names {
			key = append(key, m.get(r, name))
		}
		id := identity(key)
		if groups[id] == nil {
			groups[id] = &qgroup{key: key}
		}
		groups[id].rows = append(groups[id].rows, r)
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b *qgroup) int { return slices.CompareFunc(a.key, b.key, qcompare) })
}

func sameGroups[V any](m *qmodel, want []*qgroup, got []store.Group[V], err error, what string, value func(g *qgroup) V, same func(a, b V) bool) {
	require.NoError(m.t, err, m.asked)
	require.Len(m.t, got, len(want), "%s of %s", what, m.asked)
	for i, g := range want {
		require.Zero(m.t, slices.CompareFunc(g.key, got[i].Key, qcompare), "%s: group %d is %v, not %v: %s", what, i, got[i].Key, g.key, m.asked)
		v := value(g)
		require.True(m.t, same(v, got[i].Value), "%s: group %v has %v, not %v: %s", what, g.key, got[i].Value, v, m.asked)
	}
}

func (m *qmodel) groups(b *store.Query[store.Record], want qstate) {
	names := []string{m.field()}
	if m.chance(3) {
		names = append(names, m.field())
	}
	for _, name := range names {
		if _, _, _, ok := m.find(name); !ok {
			return
		}
	}
	groups := m.groupsOf(want, names)
	g := b.GroupBy(names...)
	count, err := g.Count()
	sameGroups(m, groups, count, err, "count", func(g *qgroup) int { return len(g.rows) }, func(a, b int) bool { return a == b })
	name := m.field()
	typ, _, _, ok := m.find(name)
	if !ok {
		return
	}
	col := func(g *qgroup) []any { return m.column(g.rows, name) }
	distinct, err := g.CountDistinct(name)
	sameGroups(m, groups, distinct, err, "distinct "+name, func(g *qgroup) int { return qdistinct(col(g)) }, func(a, b int) bool { return a == b })
	if typ == store.Int || typ == store.Float || typ == store.Number || typ == store.Any {
		sums, err := g.Sum(name)
		sameGroups(m, groups, sums, err, "sum "+name, func(g *qgroup) float64 { s, _, inf := qsum(col(g)); return qfloat(s, 1, inf) }, qsame)
		avgs, err := g.Avg(name)
		sameGroups(m, groups, avgs, err, "avg "+name, func(g *qgroup) float64 { return qfloat(qsum(col(g))) }, qsame)
	}
	if typ != store.Object && typ != store.Array {
		equal := func(a, b any) bool { return qcompare(a, b) == 0 }
		least, err := g.Min(name)
		sameGroups(m, groups, least, err, "min "+name, func(g *qgroup) any { return qextreme(col(g), 1) }, equal)
		most, err := g.Max(name)
		sameGroups(m, groups, most, err, "max "+name, func(g *qgroup) any { return qextreme(col(g), -1) }, equal)
	}
}

// typedAnswer compares what the struct shows.
func (m *qmodel) typedAnswer(at *store.Snapshot, q *qspec, want qstate) {
	keys, vals, err := m.typed(at, q)
	require.NoError(m.t, err)
	require.Len(m.t, keys, len(want))
	for i, r := range want {
		require.Equal(m.t, r.key, keys[i], "typed answer to %s", m.asked)
		if i >= 20 {
			continue
		}
		for name, got := range vals[i] {
			want := r.vals[name]
			if q.selecting && name != "id" && !slices.Contains(q.sel, name) {
				want = nil
			}
			require.Equal(m.t, identity(want), identity(got), "%s, typed, of %s", name, m.asked)
		}
	}
}

func (m *qmodel) eachPath(b *store.Query[store.Record], q *qspec, want qstate, cursor store.Cursor, limit int) {
	answers, err := store.AnswerByEachPath(b, cursor, limit)
	require.NoError(m.t, err)
	for _, a := range answers {
		if !a.Unordered {
			m.same(want, a.Records, a.Path)
			continue
		}
		w, g := qkeys(want), recordKeys(a.Records)
		slices.SortFunc(w, qcompare)
		slices.SortFunc(g, qcompare)
		if !slices.Equal(w, g) {
			require.Equal(m.t, w, g, "%s of %s", a.Path, m.asked)
		}
	}
}

// ---- pages

// behind is what lies behind a record as it was when the page ended.
func (m *qmodel) behind(q *qspec, rows qstate, last *qrow) qstate {
	if last == nil {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r *qrow) bool { return m.order(q, r, last) <= 0 })
}

// walk goes through the pages of a query while the bucket changes.
func (m *qmodel) walk(q *qspec) {
	if m.badQuery(q) {
		return
	}
	t := m.t
	var last, lastTwin *qrow
	var cursor, cursorTwin store.Cursor
	for range 6 {
		at, st := m.pick(4)
		limit := one(m.r, 1, 2, 5, 30, 130, math.MaxInt)
		all := m.matches(st, q)
		b, twin := qbuild(m.at(m.b, at).Where(), q), qbuild(m.at(m.twin, at).Where(), q)
		want := m.behind(q, all, last)
		page, err := b.Page(limit, cursor)
		require.NoError(t, err, m.asked)
		k := min(limit, len(want))
		m.same(want[:k], page.Records, "page")
		require.Equal(t, len(want) > limit, page.HasMore, m.asked)
		require.Equal(t, page.HasMore, page.Next != "", m.asked)
		m.eachPath(b, q, want[:min(len(want), 40)], cursor, 40)
		wantTwin := m.behind(q, all, lastTwin)
		pageTwin, err := twin.Page(limit, cursorTwin)
		require.NoError(t, err, m.asked)
		m.same(wantTwin[:min(limit, len(wantTwin))], pageTwin.Records, "twin's page")
		if !page.HasMore || !pageTwin.HasMore {
			return
		}
		_, err = twin.Page(limit, page.Next)
		require.ErrorIs(t, err, store.ErrCursor)
		last, cursor, lastTwin, cursorTwin = want[k-1], page.Next, wantTwin[k-1], pageTwin.Next
		if m.rows[last.key] != nil && m.chance(4) {
			m.removeKeys([]any{last.key})
		} else if m.chance(2) {
			m.write()
		}
	}
}

func (m *qmodel) paginate(at *store.Snapshot, st qstate) {
	if len(st) == 0 {
		return
	}
	i, limit := m.r.IntN(len(st)), one(m.r, 1, 3, 70)
	rest := st[i+1:]
	b := m.at(m.b, at)
	page, err := b.Paginate(store.PageOptions{After: st[i].key, Limit: limit})
	require.NoError(m.t, err)
	m.same(rest[:min(limit, len(rest))], page.Records, "Paginate")
	require.Equal(m.t, len(rest) > limit, page.HasMore)
	if page.HasMore {
		rest = rest[limit:]
		page, err = b.Paginate(store.PageOptions{After: page.Next, Limit: limit})
		require.NoError(m.t, err)
		m.same(rest[:min(limit, len(rest))], page.Records, "Paginate on")
	}
	last, err := b.Last(limit)
	require.NoError(m.t, err)
	m.same(st[max(len(st)-limit, 0):], last, "Last")
	first, err := b.First(limit)
	require.NoError(m.t, err)
	m.same(st[:min(limit, len(st))], first, "First")
	if len(m.gone) == 0 {
		return
	}
	key := one(m.r, m.gone...)
	if slices.ContainsFunc(st, func(r *qrow) bool { return r.key == key }) {
		return
	}
	page, err = b.Paginate(store.PageOptions{After: key, Limit: limit})
	if !m.def.Ordered {
		require.ErrorIs(m.t, err, store.ErrNotFound)
		return
	}
	require.NoError(m.t, err)
	rest = m.behind(&qspec{}, st, &qrow{key: key})
	m.same(rest[:min(limit, len(rest))], page.Records, "Paginate behind a key that is gone")
}

// ---- what was found

func foundBucket(t *testing.T, rows ...store.Fields) *store.Bucket {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(ctx)) })
	b, err := s.DefineBucket(ctx, "b", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int}, "s": {Type: store.String}, "f": {Type: store.Float}, "i": {Type: store.Int},
			"b": {Type: store.Bool}, "n": {Type: store.Number},
		},
		Indexes: []store.Index{{"s"}, {"f"}, {"i"}, {"b"}, {"n"}},
	})
	require.NoError(t, err)
	for i, r := range rows {
		r["id"] = i
	}
	_, err = b.InsertMany(ctx, rows)
	require.NoError(t, err)
	return b
}

// In with no value matches nothing, in a branch of an Or too, where a path could
// look for the zero key instead.
func TestEmptyInWithinOr(t *testing.T) {
	many := []store.Fields{{"s": ""}, {"i": math.MinInt64}, {"b": false}, {"f": 1}}
	for i := range 500 {
		many = append(many, store.Fields{"s": strconv.Itoa(i), "i": i, "b": true, "f": float64(i) + 0.5})
	}
	b := foundBucket(t, many...)
	for _, name := range []string{"s", "i", "b"} {
		f := store.Or(store.In(name), store.Eq("f", 1))
		n, err := b.Count(f)
		require.NoError(t, err)
		require.Equal(t, 1, n, name)
	}
}

// Nothing is above +Inf, in a branch of an Or too.
func TestAboveInfinityWithinOr(t *testing.T) {
	many := []store.Fields{{"f": math.Inf(1), "n": math.Inf(1)}, {"f": math.Inf(-1), "n": math.Inf(-1)}, {"i": 7}}
	for i := range 500 {
		many = append(many, store.Fields{"s": strconv.Itoa(i), "i": 1000 + i, "f": float64(i), "n": i})
	}
	b := foundBucket(t, many...)
	for _, name := range []string{"f", "n"} {
		for _, f := range []store.Filter{store.Gt(name, math.Inf(1)), store.Lt(name, math.Inf(-1))} {
			n, err := b.Count(store.Or(f, store.Eq("i", 7)))
			require.NoError(t, err)
			require.Equal(t, 1, n, name)
		}
	}
}

// A plan remembers 64 conditions that its path answers: those from the 65th on
// must be tested.
func TestMoreConditionsThanBits(t *testing.T) {
	many := []store.Fields{{"i": 2000, "s": "a"}, {"i": 2001, "s": "b"}, {"i": 2002, "s": "a"}}
	for i := range 500 { // so that the index is worth taking
		many = append(many, store.Fields{"i": i, "s": "b"})
	}
	b := foundBucket(t, many...)
	for _, n := range []int{62, 63, 64, 65, 130} {
		var filters []store.Filter
		for range n {
			filters = append(filters, store.Gte("i", 2000))
		}
		filters = append(filters, store.HasSuffix("s", "b"))
		list, err := b.Where(filters...).All()
		require.NoError(t, err)
		require.Len(t, list, 1, "%d conditions and one", n)
		count, err := b.Count(filters...)
		require.NoError(t, err)
		require.Equal(t, 1, count, "%d conditions and one", n)
	}
}

// A cursor of a table that is gone finds its place by the key of its record, as
// long as there is one.
func TestCursorOfAnotherTable(t *testing.T) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "g": {Type: store.Int}}, Indexes: []store.Index{{"g"}}}
	fill := func(ids ...int) *store.Bucket {
		b, err := s.DefineBucket(ctx, "b", def)
		require.NoError(t, err)
		for _, id := range ids {
			_, err := b.Insert(ctx, store.Fields{"id": id, "g": 1})
			require.NoError(t, err)
		}
		return b
	}
	page, err := fill(1, 2, 3, 4).OrderBy(store.Desc("g")).Page(2, "")
	require.NoError(t, err)
	require.NoError(t, s.DropBucket(ctx, "b"))
	b := fill(4, 3, 2, 1)
	next, err := b.OrderBy(store.Desc("g")).Page(5, page.Next)
	require.NoError(t, err)
	require.Equal(t, []any{"1 v1"}, recordKeys(next.Records))
	require.NoError(t, b.Delete(ctx, 2))
	_, err = b.OrderBy(store.Desc("g")).Page(5, page.Next)
	require.ErrorIs(t, err, store.ErrCursor)
}

// Every answer beside a writer is one committed state: commits move amounts from
// account to account, and add and remove accounts whose sum is zero.
func TestQueriesBesideWriter(t *testing.T) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	b, err := s.DefineBucket(ctx, "accounts", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int}, "pair": {Type: store.Int, Required: true}, "side": {Type: store.String, Required: true},
			"amount": {Type: store.Int, Required: true}, "even": {Type: store.Bool},
		},
		Indexes: []store.Index{{"pair"}, {"side"}, {"amount"}, {"even"}, {"side", "amount"}},
	})
	require.NoError(t, err)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- transfers(ctx, b, stop) }()
	for i := range 150 {
		checkBalanced(t, b, i)
	}
	close(stop)
	require.NoError(t, <-done)
	require.NoError(t, store.CheckTables(s))
}

// transfers adds and removes pairs of accounts, and gives both sides of a pair
// other amounts: left and right are always as many, and end up as opposites.
func transfers(ctx context.Context, b *store.Bucket, stop chan struct{}) error {
	r := rand.New(rand.NewPCG(1, 1))
	pairs, next := []int{}, 0
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		var err error
		switch {
		case len(pairs) < 300 || len(pairs) < 600 && r.IntN(2) == 0:
			n := r.IntN(9)
			_, err = b.InsertMany(ctx, []store.Fields{
				{"id": 2 * next, "pair": next, "side": "left", "amount": n, "even": n%2 == 0},
				{"id": 2*next + 1, "pair": next, "side": "right", "amount": n, "even": n%2 == 0},
			})
			pairs = append(pairs, next)
			next++
		case r.IntN(3) == 0:
			i := r.IntN(len(pairs))
			_, err = b.DeleteMany(ctx, store.Eq("pair", pairs[i]))
			pairs = slices.Delete(pairs, i, i+1)
		case r.IntN(200) == 0:
			_, err = b.DeleteMany(ctx, store.Exists("pair"))
			pairs = pairs[:0]
		default:
			n := r.IntN(9)
			_, err = b.UpdateMany(ctx, store.Fields{"amount": n, "even": n%2 == 0}, store.Eq("pair", pairs[r.IntN(len(pairs))]))
		}
		if err != nil {
			return err
		}
	}
}

// checkBalanced asks along many paths, each of whose answers has both sides of a
// pair or none.
func checkBalanced(t *testing.T, b *store.Bucket, i int) {
	filters := [][]store.Filter{
		{},
		{store.Eq("amount", i%9)},
		{store.Between("amount", 2, 6)},
		{store.In("amount", 1, 4, 7)},
		{store.Eq("even", true)},
		{store.Or(store.Eq("amount", 3), store.Eq("even", false))},
		{store.Eq("even", true), store.Eq("amount", 4)},
	}
	f := filters[i%len(filters)]
	balance := func(list []store.Record) {
		sum := int64(0)
		for _, r := range list {
			if r.Get("side") == "left" {
				sum += 1000 + r.Get("amount").(int64)
			} else {
				sum -= 1000 + r.Get("amount").(int64)
			}
		}
		require.Zero(t, sum, "query %d", i)
	}
	for _, q := range []*store.Query[store.Record]{b.Where(f...), b.Where(f...).OrderBy(store.Asc("amount")), b.Where(f...).OrderBy(store.Desc("side"), store.Desc("amount"))} {
		list, err := q.All()
		require.NoError(t, err)
		balance(list)
		groups, err := q.GroupBy("side").Sum("amount")
		require.NoError(t, err)
		require.True(t, len(groups) == 0 || len(groups) == 2 && groups[0].Value == groups[1].Value, "query %d: %v", i, groups)
		n, err := q.Count()
		require.NoError(t, err)
		require.Zero(t, n%2, "query %d", i)
	}
	counts, err := b.Where(f...).GroupBy("amount").Count()
	require.NoError(t, err)
	for _, g := range counts {
		require.Zero(t, g.Value%2, "query %d: %v", i, counts)
	}
	page, err := b.Where(f...).OrderBy(store.Asc("amount")).Page(1<<20, "")
	require.NoError(t, err)
	balance(page.Records)
}

// nil among the values of one In is nil among those of the Or around it.
func TestOrOfInWithNil(t *testing.T) {
	b := foundBucket(t, store.Fields{"s": "a"}, store.Fields{"s": "b"}, store.Fields{"i": 1}, store.Fields{"s": "c"})
	n, err := b.Count(store.Or(store.In("s", nil, "a"), store.Eq("s", "b")))
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

// Pages of an equality, in the order of insertion, leave no record out.
func TestPagesOfEquality(t *testing.T) {
	var many []store.Fields
	for i := range 400 {
		many = append(many, store.Fields{"i": i % 2, "s": strconv.Itoa(i % 2)})
	}
	b := foundBucket(t, many...)
	for _, q := range []*store.Query[store.Record]{b.Where(store.Eq("i", 1)), b.Where(store.Eq("s", "1"))} {
		var cursor store.Cursor
		for want := int64(1); want < 400; want += 2 {
			page, err := q.Page(1, cursor)
			require.NoError(t, err)
			require.Len(t, page.Records, 1)
			require.Equal(t, want, page.Records[0].Get("id"))
			cursor = page.Next
		}
		require.Empty(t, cursor)
	}
}
