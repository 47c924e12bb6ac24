package store_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// kindsDefinition has a field of every type, named after it.
func kindsDefinition() store.Definition {
	return store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "string": {Type: store.String}, "int": {Type: store.Int}, "float": {Type: store.Float},
		"number": {Type: store.Number}, "bool": {Type: store.Bool}, "date": {Type: store.Date}, "bytes": {Type: store.Bytes},
		"object": {Type: store.Object}, "array": {Type: store.Array}, "any": {Type: store.Any},
	}}
}

// kindsIndexes has an index on every field that can have one, and compound ones.
func kindsIndexes() []store.Index {
	return []store.Index{
		{"string"},
		{"int"},
		{"float"},
		{"number"},
		{"bool"},
		{"date"},
		{"bytes"},
		{"int", "string"},
		{"string", "float"},
		{"bool", "date", "number"},
		{"bytes", "int"},
	}
}

func kindsBucket(t testing.TB, def store.Definition, rows ...store.Fields) *store.Bucket {
	t.Helper()
	b, err := schemaStore(t).DefineBucket(t.Context(), "kinds", def)
	require.NoError(t, err)
	_, err = b.InsertMany(t.Context(), rows)
	require.NoError(t, err)
	return b
}

// kindsBoth is the same records without and with indexes.
func kindsBoth(t testing.TB, rows ...store.Fields) map[string]*store.Bucket {
	t.Helper()
	indexed := kindsDefinition()
	indexed.Indexes = kindsIndexes()
	return map[string]*store.Bucket{"scan": kindsBucket(t, kindsDefinition(), rows...), "index": kindsBucket(t, indexed, rows...)}
}

// foundBy returns the keys of the records that match, in the bucket's order.
func foundBy(t testing.TB, b *store.Bucket, filters ...store.Filter) string {
	t.Helper()
	list, err := b.Where(filters...).All()
	require.NoError(t, err)
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.Key().String()
	}
	require.Equal(t, len(list), count(t, b, filters...), "Count and All")
	return strings.Join(names, " ")
}

// inTurn are three values of each type that has an order, the least first.
var inTurn = map[store.Type][3]any{
	store.String: {"", "Mid", "mid"},
	store.Int:    {math.MinInt64, 0, math.MaxInt64},
	store.Float:  {math.Inf(-1), -0.5, math.Inf(1)},
	store.Number: {math.Inf(-1), 1<<53 + 1, 1e300},
	store.Date:   {time.Time{}, time.UnixMilli(-1), time.UnixMilli(0)},
	store.Bytes:  {[]byte{}, []byte{0}, []byte{0, 0}},
}

// absenceRules is the answer of every operator over the records none, null, low,
// mid and high of one field.
func absenceRules(f string, low, mid, high any) map[string][]store.Filter {
	return map[string][]store.Filter{
		"":                       {store.In(f), store.Gt(f, high), store.Lt(f, low), store.And(store.Eq(f, nil), store.Exists(f)), store.And(store.Eq(f, low), store.Eq(f, high))},
		"none null":              {store.Eq(f, nil), store.In(f, nil), store.Not(store.Exists(f)), store.Not(store.Gte(f, low)), store.Not(store.Between(f, low, high)), store.Not(store.Ne(f, nil)), store.NotIn(f, low, mid, high)},
		"low mid high":           {store.Ne(f, nil), store.NotIn(f, nil), store.Exists(f), store.Gte(f, low), store.Lte(f, high), store.Between(f, low, high), store.In(f, high, low, mid, low)},
		"mid":                    {store.Eq(f, mid), store.In(f, mid), store.Between(f, mid, mid), store.And(store.Gt(f, low), store.Lt(f, high)), store.Not(store.Ne(f, mid)), store.Not(store.NotIn(f, mid))},
		"none null low high":     {store.Ne(f, mid), store.NotIn(f, mid), store.Not(store.Eq(f, mid)), store.Not(store.In(f, mid)), store.Not(store.Between(f, mid, mid))},
		"none null mid":          {store.In(f, mid, nil), store.Or(store.Eq(f, mid), store.Eq(f, nil)), store.Not(store.NotIn(f, nil, mid)), store.Not(store.Or(store.Eq(f, low), store.Eq(f, high)))},
		"low high":               {store.NotIn(f, mid, nil), store.Or(store.Lt(f, mid), store.Gt(f, mid)), store.And(store.Ne(f, mid), store.Ne(f, nil)), store.In(f, low, high)},
		"high":                   {store.Gt(f, mid), store.Gte(f, high), store.And(store.Exists(f), store.Not(store.Lte(f, mid)))},
		"mid high":               {store.Gte(f, mid), store.Gt(f, low), store.Between(f, mid, high)},
		"low":                    {store.Lt(f, mid), store.Lte(f, low)},
		"low mid":                {store.Lte(f, mid), store.Lt(f, high), store.Between(f, low, mid)},
		"none null low mid":      {store.Not(store.Gt(f, mid)), store.Not(store.Gte(f, high)), store.Or(store.Not(store.Exists(f)), store.Lt(f, high))},
		"none null mid high":     {store.Not(store.Lt(f, mid)), store.Not(store.Lte(f, low))},
		"none null low mid high": {store.NotIn(f), store.And(), store.Not(store.In(f)), store.Not(store.Or()), store.Or(store.Eq(f, nil), store.Ne(f, nil)), store.Not(store.And(store.Exists(f), store.Eq(f, nil)))},
	}
}

func checkAbsence(t *testing.T, b *store.Bucket, field string, v [3]any) {
	t.Helper()
	for want, filters := range absenceRules(field, v[0], v[1], v[2]) {
		for i, f := range filters {
			require.Equal(t, want, foundBy(t, b, f), "%s: filter %d of %q", field, i, want)
		}
	}
}

// TestAbsentFields: an absent field equals nil and nothing else, whatever the
// field's type, and whether an index answers or a scan.
func TestAbsentFields(t *testing.T) {
	for typ, v := range inTurn {
		f := typ.String()
		rows := []store.Fields{{"id": "none"}, {"id": "null", f: nil}, {"id": "low", f: v[0]}, {"id": "mid", f: v[1]}, {"id": "high", f: v[2]}}
		for path, b := range kindsBoth(t, rows...) {
			t.Run(f+" "+path, func(t *testing.T) { checkAbsence(t, b, f, v) })
		}
	}
}

// TestAbsentValues: the same in a field of type Any, behind paths, and outside
// the schema.
func TestAbsentValues(t *testing.T) {
	def := kindsDefinition()
	def.Extra = true
	for typ, v := range inTurn {
		rows := []store.Fields{{"id": "none"}, {"id": "null", "any": nil, "extra": nil, "object": map[string]any{"k": nil}, "array": []any{nil}}}
		for i, id := range []string{"low", "mid", "high"} {
			rows = append(rows, store.Fields{
				"id": id, "any": v[i], "extra": v[i], "object": map[string]any{"k": v[i], "in": map[string]any{"k": v[i]}}, "array": []any{v[i], []any{v[i]}},
			})
		}
		b := kindsBucket(t, def, rows...)
		for _, field := range []string{"any", "extra", "object.k", "object.in.k", "array.0", "array.1.0"} {
			t.Run(typ.String()+" "+field, func(t *testing.T) { checkAbsence(t, b, field, v) })
		}
	}
}

// TestBoolsHaveAnOrder: false is before true.
func TestBoolsHaveAnOrder(t *testing.T) {
	rows := []store.Fields{{"id": "none"}, {"id": "no", "bool": false, "any": false}, {"id": "yes", "bool": true, "any": true}}
	for path, b := range kindsBoth(t, rows...) {
		for _, f := range []string{"bool", "any"} {
			for want, filters := range map[string][]store.Filter{
				"":            {store.Lt(f, false), store.Gt(f, true)},
				"no":          {store.Eq(f, false), store.Lt(f, true), store.Lte(f, false), store.Between(f, false, false)},
				"yes":         {store.Eq(f, true), store.Gt(f, false), store.Gte(f, true), store.In(f, true, true)},
				"no yes":      {store.Gte(f, false), store.Lte(f, true), store.Between(f, false, true), store.In(f, true, false), store.Ne(f, nil)},
				"none no":     {store.Ne(f, true), store.Not(store.Gt(f, false)), store.In(f, nil, false)},
				"none no yes": {store.Not(store.Gt(f, true))},
			} {
				for i, filter := range filters {
					require.Equal(t, want, foundBy(t, b, filter), "%s, %s: filter %d of %q", path, f, i, want)
				}
			}
		}
	}
}

// TestKindsAreApart: where a field can hold any kind, a value is compared with
// those of its own kind only.
func TestKindsAreApart(t *testing.T) {
	at := time.UnixMilli(5).UTC()
	kinds := []struct {
		id             string
		value, smaller any
	}{
		{"bool", true, false},
		{"int", 5, 4},
		{"float", 5.5, -1.0},
		{"date", at, at.Add(-1)},
		{"string", "5", "4"},
		{"bytes", []byte("5"), []byte("4")},
		{"array", []any{5}, nil},
		{"object", map[string]any{"k": 5}, nil},
	}
	rows := []store.Fields{{"id": "none"}}
	all := []string{"none"}
	for _, k := range kinds {
		rows = append(rows, store.Fields{"id": k.id, "any": k.value, "object": map[string]any{"k": k.value}})
		all = append(all, k.id)
	}
	b := kindsBucket(t, kindsDefinition(), rows...)
	for _, field := range []string{"any", "object.k"} {
		for _, k := range kinds {
			require.Equal(t, k.id, foundBy(t, b, store.Eq(field, k.value)), k.id)
			rest := strings.ReplaceAll(strings.Join(all, " ")+" ", k.id+" ", "")
			require.Equal(t, strings.TrimSpace(rest), foundBy(t, b, store.Ne(field, k.value)), k.id)
			if k.smaller == nil {
				continue
			}
			want := k.id
			if k.id == "int" || k.id == "float" {
				want = "int float"
			}
			require.Equal(t, want, foundBy(t, b, store.Gt(field, k.smaller)), k.id)
			require.Empty(t, foundBy(t, b, store.Lte(field, k.smaller)), k.id)
		}
		require.Equal(t, strings.Join(all[1:], " "), foundBy(t, b, store.Exists(field)))
		require.Equal(t, "none int bytes", foundBy(t, b, store.In(field, []byte("5"), nil, 5.0)))
	}
	require.Equal(t, "array", foundBy(t, b, store.Eq("any", []int{5})), "5 and 5.0 are equal inside too")
	require.Equal(t, "array", foundBy(t, b, store.Eq("any", []any{5.0})))
	require.Equal(t, "object", foundBy(t, b, store.Eq("any", map[string]float64{"k": 5})))
	require.Empty(t, foundBy(t, b, store.Eq("any", map[string]any{"k": 5, "l": nil})))
}

// TestMissingPaths: a path that leads nowhere is absent.
func TestMissingPaths(t *testing.T) {
	b := kindsBucket(t, kindsDefinition(),
		store.Fields{"id": "a", "object": map[string]any{"k": map[string]any{"l": 1}, "": 2, "0": 3}, "array": []any{[]any{1}, "x"}, "any": "text"})
	for _, path := range []string{
		"object.x", "object.k.x", "object.k.l.m", "object.k.", "object..", "array.2", "array.-1", "array.x", "array.1.0", "array.", "array.00x",
		"array.99999999999999999999", "any.x", "any.0", "any.length", "object.K",
	} {
		require.Equal(t, "a", foundBy(t, b, store.Eq(path, nil)), path)
		require.Equal(t, "a", foundBy(t, b, store.Ne(path, 1)), path)
		require.Empty(t, foundBy(t, b, store.Exists(path)), path)
		require.Empty(t, foundBy(t, b, store.Or(store.Gte(path, 0), store.HasPrefix(path, ""), store.HasSuffix(path, ""), store.Contains(path, ""))), path)
	}
	for path, v := range map[string]any{"object.k.l": 1, "object.": 2, "object.0": 3, "array.0.0": 1, "array.1": "x"} {
		require.Equal(t, "a", foundBy(t, b, store.Eq(path, v)), path)
	}
}

func exactNumber(v any) *big.Float {
	if i, ok := v.(int64); ok {
		return new(big.Float).SetInt64(i)
	}
	return big.NewFloat(v.(float64))
}

// TestNumbersExactly: numbers are compared by their exact value, whatever their
// types are.
func TestNumbersExactly(t *testing.T) {
	const exact = 1 << 53
	ints := []int64{math.MinInt64, -1, 0, 18, 19, exact, exact + 1, math.MaxInt64}
	floats := []float64{math.Inf(-1), -1 << 63, -18.5, math.Copysign(0, -1), 0, 18.5, exact, exact + 2, 1 << 63, math.Inf(1)}
	var rows []store.Fields
	for _, n := range ints {
		rows = append(rows, store.Fields{"id": fmt.Sprint(n), "int": n, "number": n})
	}
	for _, f := range floats {
		rows = append(rows, store.Fields{"id": fmt.Sprintf("%gf", f), "float": f, "number": f})
	}
	// compare tells the order of a record's number and a bound, exactly.
	compare := func(v, bound any) int { return exactNumber(v).Cmp(exactNumber(bound)) }
	bounds := []any{
		int64(math.MinInt64), int64(-1), int64(0), int64(18), int64(19), int64(exact - 1), int64(exact), int64(exact + 1), int64(exact + 2),
		int64(math.MaxInt64 - 1), int64(math.MaxInt64), math.Inf(-1), -math.MaxFloat64, -float64(1 << 63), -18.5, -0.25, math.Copysign(0, -1), 0.0, 5e-324,
		17.5, 18.0, 18.5, 19.0, float64(exact), float64(exact + 2), float64(1<<63 - 1024), float64(1 << 63), math.MaxFloat64, math.Inf(1),
	}
	for path, b := range kindsBoth(t, rows...) {
		for _, field := range []string{"int", "float", "number"} {
			for _, bound := range bounds {
				ops := map[string]func(c int) bool{
					"gt": func(c int) bool { return c > 0 }, "gte": func(c int) bool { return c >= 0 }, "lt": func(c int) bool { return c < 0 },
					"lte": func(c int) bool { return c <= 0 }, "between": func(c int) bool { return c == 0 },
				}
				for op, holds := range ops {
					filter := map[string]store.Filter{
						"gt": store.Gt(field, bound), "gte": store.Gte(field, bound), "lt": store.Lt(field, bound), "lte": store.Lte(field, bound),
						"between": store.Between(field, bound, bound),
					}[op]
					var want []string
					for _, row := range rows {
						if v := row[field]; v != nil && holds(compare(v, bound)) {
							want = append(want, row["id"].(string))
						}
					}
					require.Equal(t, strings.Join(want, " "), foundBy(t, b, filter), "%s: %s %s %v (%T)", path, field, op, bound, bound)
				}
			}
		}
		require.Equal(t, "0 -0f 0f", foundBy(t, b, store.Eq("number", math.Copysign(0, -1))))
		require.Equal(t, "-0f 0f", foundBy(t, b, store.In("float", 0)))
		require.Equal(t, "9007199254740992", foundBy(t, b, store.Eq("int", float64(exact))))
		require.Equal(t, "9007199254740993", foundBy(t, b, store.Eq("number", int64(exact+1))))
		require.Equal(t, "9007199254740992 9.007199254740992e+15f", foundBy(t, b, store.Eq("number", float64(exact))))
		require.Equal(t, "18", foundBy(t, b, store.Between("int", 17.5, 18.5)))
		require.Empty(t, foundBy(t, b, store.Between("int", 18.1, 18.9)))
	}
}

// TestNumbersOfEveryGoType: what a number is written as does not matter.
func TestNumbersOfEveryGoType(t *testing.T) {
	row := store.Fields{"id": "a", "int": 18, "float": 18, "number": 18, "any": 18, "object": map[string]any{"k": 18.0}}
	for path, b := range kindsBoth(t, row, store.Fields{"id": "b", "int": 19, "float": 19, "number": 19, "any": 19, "object": map[string]any{"k": 19}}) {
		for _, field := range []string{"int", "float", "number", "any", "object.k"} {
			for _, v := range []any{18, int8(18), uint64(18), 18.0, float32(18), json.Number("18"), json.Number("1.8e1"), small(18), numeric(18), of(18), of(of(18.0))} {
				require.Equal(t, "a", foundBy(t, b, store.Eq(field, v)), "%s %s %T", path, field, v)
				require.Equal(t, "b", foundBy(t, b, store.Gt(field, v)), "%s %s %T", path, field, v)
				require.Equal(t, "a", foundBy(t, b, store.In(field, v, -1)), "%s %s %T", path, field, v)
			}
			require.Equal(t, "a", foundBy(t, b, store.Lt(field, json.Number("18.5"))), field)
		}
	}
}

// TestFloat32Filters: in a float32 field, a number means what the field makes of
// it, so that what was written is found.
func TestFloat32Filters(t *testing.T) {
	type plain struct {
		ID string  `store:"id,key"`
		F  float32 `store:"f"`
	}
	type indexed struct {
		ID string  `store:"id,key"`
		F  float32 `store:"f,index"`
	}
	s := schemaStore(t)
	p, err := store.Define[plain](t.Context(), s, "plain")
	require.NoError(t, err)
	x, err := store.Define[indexed](t.Context(), s, "indexed")
	require.NoError(t, err)
	for id, f := range map[string]float32{"a": 0.1, "b": 16777216, "c": math.MaxFloat32, "d": float32(math.Inf(1))} {
		_, err := p.Insert(t.Context(), plain{id, f})
		require.NoError(t, err)
		_, err = x.Insert(t.Context(), indexed{id, f})
		require.NoError(t, err)
	}
	for _, b := range []*store.Bucket{p.Dynamic(), x.Dynamic()} {
		for i, c := range []struct {
			want   string
			filter store.Filter
		}{
			{"a", store.Eq("f", 0.1)},
			{"a", store.Eq("f", float32(0.1))},
			{"a", store.In("f", 0.1, 5)},
			{"a", store.Lte("f", 0.1)},
			{"a", store.Between("f", 0.1, 0.1)},
			{"b", store.Eq("f", 16777216)},
			{"c", store.Eq("f", math.MaxFloat32)},
			{"d", store.Gt("f", math.MaxFloat64)},
			{"d", store.Eq("f", math.Inf(1))},
			{"", store.Eq("f", 1e300)},
			{"", store.Lt("f", 0.1)},
		} {
			require.Equal(t, c.want, foundBy(t, b, c.filter), "%s %d", b.Name(), i)
		}
		require.Equal(t, 3, count(t, b, store.Gt("f", 0.1)))
		require.Equal(t, 3, count(t, b, store.Lt("f", 1e300)))
		require.Equal(t, 3, count(t, b, store.Ne("f", 0.1)))
	}
}

// TestDatesAreInstants: a date can be given in every form that a field takes.
func TestDatesAreInstants(t *testing.T) {
	at := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	forms := []any{
		at, at.In(time.FixedZone("CET", 3600)), "2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29T01:00:00+01:00", at.UnixMilli(), float64(at.UnixMilli()),
		json.Number(fmt.Sprint(at.UnixMilli())), moment(at), of(at), of("2024-02-29T00:00:00.000Z"),
	}
	rows := []store.Fields{{"id": "before", "date": at.Add(-1)}, {"id": "at", "date": at.In(time.FixedZone("", -7200))}, {"id": "after", "date": at.Add(1)}}
	for path, b := range kindsBoth(t, rows...) {
		for _, form := range forms {
			require.Equal(t, "at", foundBy(t, b, store.Eq("date", form)), "%s %T", path, form)
			require.Equal(t, "at", foundBy(t, b, store.In("date", form, 0)), "%s %T", path, form)
			require.Equal(t, "before", foundBy(t, b, store.Lt("date", form)), "%s %T", path, form)
			require.Equal(t, "at after", foundBy(t, b, store.Gte("date", form)), "%s %T", path, form)
			require.Equal(t, "at", foundBy(t, b, store.Between("date", form, at)), "%s %T", path, form)
		}
	}
	// Where nothing says that it is a date, a text is a text.
	b := kindsBucket(t, kindsDefinition(), store.Fields{"id": "date", "any": at}, store.Fields{"id": "text", "any": "2024-02-29"})
	require.Equal(t, "date", foundBy(t, b, store.Eq("any", at.In(time.Local))))
	require.Equal(t, "text", foundBy(t, b, store.Eq("any", "2024-02-29")))
	require.Empty(t, foundBy(t, b, store.Eq("any", at.UnixMilli())))
}

// TestTextFilters: Contains folds upper and lower case, as Unicode's simple
// folding has it; HasPrefix and HasSuffix do not.
func TestTextFilters(t *testing.T) {
	for _, c := range []struct {
		text, part                     string
		contains, hasPrefix, hasSuffix bool
	}{
		{"Straße", "STRASSE", false, false, false}, // ß folds with ẞ, not with ss
		{"Straße", "ẞe", true, false, false},
		{"STRAẞE", "straße", true, false, false},
		{"ſee", "SEE", true, false, false}, // long s
		{"see", "ſ", true, false, false},
		{"273 K", "k", true, false, false}, // the sign for kelvin
		{"273 k", "K", true, false, false},
		{"École", "éCOLE", true, false, false},
		{"école", "É", true, false, false},
		{"École", "Éc", true, true, false},
		{"ecole", "é", false, false, false},
		{"Åre", "åRE", true, false, false},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true, false, false}, // three sigmas
		{"İstanbul", "istanbul", false, false, false},
		{"Abc", "", true, true, true},
		{"", "", true, true, true},
		{"", "a", false, false, false},
		{"Abc", "Abc", true, true, true},
		{"Abc", "abc", true, false, false},
		{"Abc", "Ab", true, true, false},
		{"Abc", "bc", true, false, true},
		{"Abc", "BC", true, false, false},
		{"Abc", "Abcd", false, false, false},
		{"a\x00b", "\x00", true, false, false},
		{"a\x00b", "A\x00", true, false, false},
		{"\U0010ffff!", "\U0010ffff", true, true, false},
		{"a\U0010ffff", "a\U0010ffff", true, true, true},
		{"žluťoučký kůň", "KŮŇ", true, false, false},
	} {
		for path, b := range kindsBoth(t, store.Fields{"id": "x", "string": c.text, "any": c.text, "object": map[string]any{"k": c.text}}) {
			for _, field := range []string{"string", "any", "object.k"} {
				for op, got := range map[string][2]bool{
					"Contains":  {c.contains, foundBy(t, b, store.Contains(field, c.part)) != ""},
					"HasPrefix": {c.hasPrefix, foundBy(t, b, store.HasPrefix(field, c.part)) != ""},
					"HasSuffix": {c.hasSuffix, foundBy(t, b, store.HasSuffix(field, c.part)) != ""},
					"Not":       {!c.hasPrefix, foundBy(t, b, store.Not(store.HasPrefix(field, c.part))) != ""},
				} {
					require.Equal(t, got[0], got[1], "%s %s: %s of %q in %q", path, field, op, c.part, c.text)
				}
			}
		}
	}
}

// TestArrayMembership: Contains asks an array for an element, by equality.
func TestArrayMembership(t *testing.T) {
	rows := []store.Fields{
		{"id": "none"},
		{"id": "empty", "array": []any{}, "any": []any{}},
		{"id": "words", "array": []string{"Go", "go lang"}, "any": []string{"Go", "go lang"}},
		{"id": "mixed", "array": []any{nil, 5, true, []any{1}, map[string]any{"k": 2}}, "any": []any{nil, 5, true, []any{1}, map[string]any{"k": 2}}},
		{"id": "text", "any": "Go and 5"},
	}
	b := kindsBucket(t, kindsDefinition(), rows...)
	for i, c := range []struct {
		value      any
		array, any string
	}{
		{"Go", "words", "words text"},
		{"go", "", "text"}, // an element is compared, a text is searched
		{"lang", "", ""},
		{5.0, "mixed", "mixed"},
		{"5", "", "text"},
		{true, "mixed", "mixed"},
		{[]int{1}, "mixed", "mixed"},
		{map[string]any{"k": 2.0}, "mixed", "mixed"},
		{nil, "mixed", "mixed"},
	} {
		require.Equal(t, c.array, foundBy(t, b, store.Contains("array", c.value)), i)
		require.Equal(t, c.any, foundBy(t, b, store.Contains("any", c.value)), i)
	}
	require.Equal(t, "none empty mixed text", foundBy(t, b, store.Not(store.Contains("array", "Go"))))
	require.Equal(t, "empty", foundBy(t, b, store.Eq("array", []any{})))
	require.Equal(t, "words", foundBy(t, b, store.Eq("array.1", "go lang")))
}

// TestMetadataFilters: the names of the metadata are fields like any other.
func TestMetadataFilters(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := schemaStore(t, store.Options{Clock: func() time.Time { return now }})
	def := kindsDefinition()
	plain, err := s.DefineBucket(t.Context(), "plain", def)
	require.NoError(t, err)
	def.TTL = time.Hour
	expiring, err := s.DefineBucket(t.Context(), "expiring", def)
	require.NoError(t, err)
	for _, b := range []*store.Bucket{plain, expiring} {
		_, err = b.InsertMany(t.Context(), []store.Fields{{"id": "a"}, {"id": "b"}})
		require.NoError(t, err)
	}
	now = now.Add(time.Minute)
	_, err = plain.Update(t.Context(), "b", store.Fields{"int": 1})
	require.NoError(t, err)
	for want, filters := range map[string][]store.Filter{
		"a":   {store.Eq("_version", 1), store.Lt("_version", 1.5), store.Lt("_updatedAt", now), store.In("_version", 1, 3)},
		"b":   {store.Eq("_version", 2), store.Eq("_updatedAt", now), store.Gt("_updatedAt", "2026-03-02T09:00:30Z"), store.Ne("_version", 1)},
		"a b": {store.Lt("_createdAt", now), store.Exists("_createdAt"), store.Eq("_expiresAt", nil), store.Not(store.Exists("_expiresAt"))},
		"":    {store.Exists("_expiresAt"), store.Gt("_expiresAt", 0), store.Eq("_version", nil)},
	} {
		for _, f := range filters {
			require.Equal(t, want, foundBy(t, plain, f))
		}
	}
	require.Equal(t, "a b", foundBy(t, expiring, store.Eq("_expiresAt", now.Add(59*time.Minute))))
	require.Empty(t, foundBy(t, expiring, store.Lt("_expiresAt", now)))
}

// TestNamesWithDots: a field of that name goes before a path, and the longest
// field before a shorter one.
func TestNamesWithDots(t *testing.T) {
	def := store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "a": {Type: store.Object}, "a.b": {Type: store.Object}, "a.b.c": {Type: store.Int}, "s": {Type: store.String}, "s.t": {Type: store.Int},
	}, Indexes: []store.Index{{"a.b.c"}, {"s.t", "s"}}}
	b := kindsBucket(t, def, store.Fields{
		"id": "x", "a": map[string]any{"b": map[string]any{"c": 1, "d": 1}, "z": 1}, "a.b": map[string]any{"c": 2, "d": 2}, "a.b.c": 3, "s": "text", "s.t": 4,
	})
	for name, v := range map[string]int{"a.b.c": 3, "a.b.d": 2, "a.z": 1, "s.t": 4} {
		require.Equal(t, "x", foundBy(t, b, store.Eq(name, v)), name)
		require.Equal(t, "x", foundBy(t, b, store.Between(name, v, v+1)), name)
	}
	def.Extra, def.Schema, def.Indexes = true, store.Schema{"id": {Type: store.String}}, nil
	b = kindsBucket(t, def, store.Fields{"id": "x", "e": map[string]any{"f": 1, "g": 1}, "e.f": 2, "list": []any{"l"}})
	for name, v := range map[string]any{"e.f": 2, "e.g": 1, "list.0": "l", "e": map[string]any{"f": 1, "g": 1}, "nothing": nil, "e.x": nil, "nothing.at.all": nil} {
		require.Equal(t, "x", foundBy(t, b, store.Eq(name, v)), name)
	}
}
