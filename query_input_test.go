package store_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// refused requires a *QueryError that names the bucket and the field.
func refused(t testing.TB, err error, bucket, field string, what ...any) {
	t.Helper()
	var qe *store.QueryError
	require.ErrorAs(t, err, &qe, what...)
	require.Equal(t, bucket, qe.Bucket, what...)
	require.Equal(t, field, qe.Field, what...)
	require.NotEmpty(t, qe.Message, what...)
}

func refusedFilter(t testing.TB, b *store.Bucket, field string, f store.Filter, what ...any) {
	t.Helper()
	_, err := b.Where(f).All()
	refused(t, err, b.Name(), field, what...)
	_, err = b.Count(f)
	refused(t, err, b.Name(), field, what...)
}

// answers asks a query in every way that there is.
func answers[R any](q *store.Query[R], number string) map[string]error {
	errs := map[string]error{}
	_, errs["All"] = q.All()
	for _, err := range q.Seq() {
		errs["Seq"] = err
		break
	}
	errs["Each"] = q.Each(func(*R) bool { return false })
	_, _, errs["First"] = q.First()
	_, errs["Exists"] = q.Exists()
	_, errs["Count"] = q.Count()
	_, errs["Page"] = q.Page(1, "")
	_, errs["Sum"] = q.Sum(number)
	_, errs["SumInt"] = q.SumInt(number)
	_, errs["Avg"] = q.Avg(number)
	_, _, errs["Min"] = q.Min(number)
	_, _, errs["Max"] = q.Max(number)
	_, errs["CountDistinct"] = q.CountDistinct(number)
	_, errs["Explain"] = q.Explain()
	g := q.GroupBy(number)
	_, errs["groups: Count"] = g.Count()
	_, errs["groups: Sum"] = g.Sum(number)
	_, errs["groups: Avg"] = g.Avg(number)
	_, errs["groups: Min"] = g.Min(number)
	_, errs["groups: Max"] = g.Max(number)
	_, errs["groups: CountDistinct"] = g.CountDistinct(number)
	return errs
}

// someKinds is a bucket of three records, with every type and many indexes.
func someKinds(t testing.TB) *store.Bucket {
	def := kindsDefinition()
	def.Indexes = kindsIndexes()
	return kindsBucket(t, def, kindsRows()...)
}

func kindsRows() []store.Fields {
	at := time.UnixMilli(1700000000000)
	return []store.Fields{
		{"id": "a", "string": "x", "int": 1, "float": 1.5, "number": 1, "bool": true, "date": at, "bytes": []byte("b"), "object": map[string]any{"k": 1}, "array": []any{1, "x"}, "any": "x"},
		{"id": "b", "string": "y", "int": 2, "float": 2.5, "number": 2.5, "bool": false, "date": at.Add(1), "bytes": []byte("c"), "object": map[string]any{"k": "v"}, "array": []any{nil}, "any": 5},
		{"id": "c"},
	}
}

func TestUnknownFields(t *testing.T) {
	b := someKinds(t)
	for _, name := range []string{"", "nope", "ID", "nope.x", "_id", "_Version", "\xff", ".", "string ", strings.Repeat("x", 1<<16)} {
		for i, f := range []store.Filter{
			store.Eq(name, 1),
			store.Eq(name, nil),
			store.Ne(name, 1),
			store.Gt(name, 1),
			store.Between(name, 1, 2),
			store.In(name),
			store.NotIn(name),
			store.Contains(name, "x"),
			store.HasPrefix(name, "x"),
			store.HasSuffix(name, "x"),
			store.Exists(name),
			store.Or(store.Eq("int", 1), store.And(store.Not(store.Exists(name)))),
		} {
			refusedFilter(t, b, name, f, "%q %d", name, i)
		}
		for how, err := range answers(b.OrderBy(store.Asc(name)), "int") {
			refused(t, err, "kinds", name, how)
		}
		for how, err := range answers(b.Where().Select(name), "int") {
			refused(t, err, "kinds", name, how)
		}
		q := b.Where()
		for _, err := range []error{second(q.Sum(name)), second(q.SumInt(name)), second(q.Avg(name)), second(q.CountDistinct(name)), third(q.Min(name)), third(q.Max(name))} {
			refused(t, err, "kinds", name)
		}
		for _, g := range []*store.Grouping[store.Record]{q.GroupBy(name), q.GroupBy("int", name)} {
			refused(t, second(g.Count()), "kinds", name)
			refused(t, second(g.Sum("int")), "kinds", name)
		}
		refused(t, second(q.GroupBy("int").Sum(name)), "kinds", name)
		refused(t, second(q.GroupBy("int").Min(name)), "kinds", name)
		refused(t, second(q.GroupBy("int").CountDistinct(name)), "kinds", name)
	}
}

func second[A any](_ A, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

// TestPathsIntoScalars: there is nothing inside a string, a number or a date.
func TestPathsIntoScalars(t *testing.T) {
	b := someKinds(t)
	for _, name := range []string{"id.x", "string.0", "int.x", "float.x", "number.x", "bool.x", "date.year", "bytes.0", "string.", "_version.x"} {
		refusedFilter(t, b, name, store.Eq(name, nil), name)
		refused(t, second(b.OrderBy(store.Desc(name)).All()), "kinds", name)
		refused(t, second(b.GroupBy(name).Count()), "kinds", name)
		refused(t, second(b.Sum(name)), "kinds", name)
	}
}

// wrongValues are those that a field of a type can be compared with in no way.
func wrongValues() map[store.Type][]any {
	at, list, object := time.UnixMilli(1), []any{1}, map[string]any{"k": 1}
	cycle := map[string]any{}
	cycle["k"] = cycle
	unfit := []any{make(chan int), func() {}, struct{ x int }{1}, map[int]int{1: 1}, complex(1, 1)}
	year := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	return map[store.Type][]any{
		store.String: append(unfit, 1, 1.5, true, at, []byte("x"), list, object, "\xff", "a\xc0", json.Number("1"), text("\xff")),
		store.Int:    append(unfit, "1", "", true, at, []byte("1"), list, object, math.NaN(), uint64(math.MaxUint64), json.Number("x")),
		store.Float:  append(unfit, "1", true, at, []byte("1"), list, object, math.NaN(), float32(math.NaN()), json.Number("1e999"), "NaN"),
		store.Number: append(unfit, "1", true, at, []byte("1"), list, object, math.NaN(), json.Number("0x1"), json.Number("")),
		store.Bool:   append(unfit, 1, 0, "true", at, []byte{1}, list, object, math.NaN()),
		store.Date:   append(unfit, "yesterday", "", "2024-02-30", true, 1.5, list, object, math.NaN(), year, int64(math.MaxInt64), []byte("2024-02-29")),
		store.Bytes:  append(unfit, 1, true, at, "not base64!", "AQI", list, object, math.NaN()),
		store.Object: append(unfit, 1, "x", true, at, []byte("x"), list, math.NaN(), cycle, map[string]any{"\xff": 1}, map[string]any{"k": "\xff"}, nestObject(65)),
		store.Array:  append(unfit, 1, "x", true, at, []byte("x"), object, math.NaN(), []any{math.NaN()}, []string{"\xff"}, []any{nestObject(64)}),
		store.Any:    append(unfit[:3], math.NaN(), "\xff", cycle, []any{"\xff"}, json.Number("-"), year, nestObject(65), uint64(math.MaxUint64)),
	}
}

// nestObject is an object that is n deep.
func nestObject(n int) any {
	v := map[string]any{}
	for range n - 1 {
		v = map[string]any{"k": v}
	}
	return v
}

func TestWrongValues(t *testing.T) {
	b := someKinds(t)
	for typ, values := range wrongValues() {
		f := typ.String()
		good := []any{nil}
		for i, v := range values {
			for op, filter := range map[string]store.Filter{
				"Eq": store.Eq(f, v), "Ne": store.Ne(f, v), "Gt": store.Gt(f, v), "Gte": store.Gte(f, v), "Lt": store.Lt(f, v), "Lte": store.Lte(f, v),
				"In": store.In(f, append(good, v)...), "NotIn": store.NotIn(f, v), "Between": store.Between(f, v, v), "Not": store.Not(store.Eq(f, v)),
				"Or": store.Or(store.Exists(f), store.Eq("string", "x"), store.Eq(f, v)),
			} {
				refusedFilter(t, b, f, filter, "%s %s %d (%T)", op, f, i, v)
			}
		}
	}
	// An integer that is none, or a float that no float64 is, cannot be equal;
	// but there are numbers below and above.
	for f, v := range map[string]any{"int": 18.5, "float": int64(1<<53 + 1)} {
		refusedFilter(t, b, f, store.Eq(f, v))
		refusedFilter(t, b, f, store.In(f, 1, v))
		require.Equal(t, "a b", foundBy(t, b, store.Lt(f, v)))
	}
}

// TestOperatorsThatDoNotFit: what has no order is not compared, what is no text
// is not searched.
func TestOperatorsThatDoNotFit(t *testing.T) {
	b := someKinds(t)
	for typ := store.String; typ <= store.Any; typ++ {
		f := typ.String()
		for _, filter := range []store.Filter{
			store.Gt(f, nil), store.Gte(f, nil), store.Lt(f, nil), store.Lte(f, (*int)(nil)), store.Between(f, nil, nil), store.Between(f, nil, 1),
			store.Between(f, 1, nil), store.Between(f, (*string)(nil), "x"), store.Gt(f, []any{1}), store.Lt(f, map[string]any{}), store.Between(f, []any{}, []any{}),
		} {
			refusedFilter(t, b, f, filter, f)
		}
		if typ == store.String || typ == store.Any {
			refusedFilter(t, b, f, store.HasPrefix(f, "\xff"))
			refusedFilter(t, b, f, store.HasSuffix(f, "\xff"))
			refusedFilter(t, b, f, store.Contains(f, "\xff"))
			continue
		}
		refusedFilter(t, b, f, store.HasPrefix(f, "x"), f)
		refusedFilter(t, b, f, store.HasSuffix(f, ""), f)
		if typ != store.Array {
			refusedFilter(t, b, f, store.Contains(f, "x"), f)
		}
	}
	refusedFilter(t, b, "string", store.Contains("string", 5))
	refusedFilter(t, b, "string", store.Contains("string", nil))
	refusedFilter(t, b, "array", store.Contains("array", math.NaN()))
	refusedFilter(t, b, "any", store.Contains("any", func() {}))
	for _, f := range []store.Filter{
		store.Between("int", 2, 1),
		store.Between("int", 1.5, 1.25),
		store.Between("int", math.Inf(1), math.Inf(-1)),
	} {
		refusedFilter(t, b, "int", f)
	}
	refusedFilter(t, b, "string", store.Between("string", "b", "a"))
	refusedFilter(t, b, "bool", store.Between("bool", true, false))
	refusedFilter(t, b, "date", store.Between("date", 1, 0))
	refusedFilter(t, b, "bytes", store.Between("bytes", []byte("b"), []byte("a")))
	refusedFilter(t, b, "any", store.Between("any", 1, "2"), "mixed kinds")
	refusedFilter(t, b, "object.k", store.Between("object.k", true, 1), "mixed kinds")
	refusedFilter(t, b, "any", store.Between("any", "b", "a"))
}

// TestEmptyFilters: the zero Filter is a mistake, junctions without arguments
// are not.
func TestEmptyFilters(t *testing.T) {
	b := someKinds(t)
	for _, f := range []store.Filter{{}, store.Not(store.Filter{}), store.And(store.Filter{}), store.Or(store.Eq("int", 1), store.Filter{}), store.Not(store.Or(store.Filter{}))} {
		refusedFilter(t, b, "", f)
	}
	for _, f := range []store.Filter{
		store.And(), store.Not(store.Or()), store.Not(store.In("int")), store.NotIn("int"), store.And(store.And(), store.And()), store.Or(store.And()), store.Not(store.Not(store.And())),
		store.Or(store.Or(), store.And()), store.Not(store.And(store.Or(), store.Eq("int", 1))), store.Or(store.NotIn("int"), store.Eq("int", 1)),
	} {
		require.Equal(t, "a b c", foundBy(t, b, f))
		require.Equal(t, "a", foundBy(t, b, f, store.Eq("int", 1)))
		require.Equal(t, "b", foundBy(t, b, store.Not(store.Not(f)), store.Eq("string", "y")))
	}
	for _, f := range []store.Filter{
		store.Or(), store.Not(store.And()), store.In("int"), store.Not(store.NotIn("int")), store.And(store.Or()), store.Or(store.Or(), store.Or()), store.And(store.And(), store.Or()),
		store.Or(store.In("int"), store.In("string")), store.And(store.Or(store.In("int"), store.In("string")), store.Eq("int", 1)), store.Or(store.And(store.Or())),
	} {
		require.Empty(t, foundBy(t, b, f))
		require.Empty(t, foundBy(t, b, f, store.Eq("int", 1)))
		for how, err := range answers(b.Where(f), "int") {
			require.NoError(t, err, how)
		}
		page, err := b.Where(f).OrderBy(store.Asc("int")).Page(5, "")
		require.NoError(t, err)
		require.Empty(t, page.Records)
		require.False(t, page.HasMore)
		require.Empty(t, page.Next)
	}
}

// TestDeepFilters: a filter nests up to a thousand levels; more is an error, and
// not a stack that is too deep.
func TestDeepFilters(t *testing.T) {
	b := someKinds(t)
	for op, wrap := range map[string]func(store.Filter) store.Filter{
		"not":        store.Not,
		"and":        func(f store.Filter) store.Filter { return store.And(f) },
		"or":         func(f store.Filter) store.Filter { return store.Or(f) },
		"and of two": func(f store.Filter) store.Filter { return store.And(store.Exists("id"), f) },
		"or of two":  func(f store.Filter) store.Filter { return store.Or(f, store.In("id")) },
		"all three":  func(f store.Filter) store.Filter { return store.Not(store.And(store.Or(f))) },
	} {
		t.Run(op, func(t *testing.T) {
			f, levels, per := store.Eq("int", 1), 0, 1
			if op == "all three" {
				per = 3
			}
			for _, depth := range []int{999, 1_001, 10_000, 1_000_000} {
				if depth == 1_000_000 && len(op) > 3 {
					return // one of each kind is enough
				}
				for ; levels < depth; levels += per {
					f = wrap(f)
				}
				if depth > 1000 {
					refusedFilter(t, b, "", f, "%d levels", levels)
					continue
				}
				want := "a"
				if levels/per%2 == 1 && (op == "not" || op == "all three") {
					want = "b c"
				}
				require.Equal(t, want, foundBy(t, b, f))
			}
		})
	}
}

// TestDeepParsedFilters: the same for the JSON form, of which a Go program can
// make one without an end.
func TestDeepParsedFilters(t *testing.T) {
	b := someKinds(t)
	for op, wrap := range map[string]func(any) map[string]any{
		"$not": func(m any) map[string]any { return map[string]any{"$not": m} },
		"$and": func(m any) map[string]any { return map[string]any{"$and": []any{m}} },
		"$or":  func(m any) map[string]any { return map[string]any{"$or": []any{m}} },
	} {
		m, levels := map[string]any{"int": 1}, 0
		for _, depth := range []int{999, 1_001, 10_000, 100_000} {
			for ; levels < depth; levels++ {
				m = wrap(m)
			}
			f, err := store.ParseFilter(m)
			if depth < 1000 {
				require.NoError(t, err)
				require.NotEmpty(t, foundBy(t, b, f))
				continue
			}
			refused(t, err, "", "", "%s, %d levels", op, depth)
		}
	}
	cycle := map[string]any{}
	cycle["$not"] = cycle
	_, err := store.ParseFilter(cycle)
	refused(t, err, "", "")
	cycle = map[string]any{}
	cycle["$not"] = cycle
	_, err = store.ParseFilter(map[string]any{"int": cycle})
	require.Error(t, err)
	value := map[string]any{}
	value["k"] = value
	f, err := store.ParseFilter(map[string]any{"any": value})
	require.NoError(t, err)
	refusedFilter(t, b, "any", f)
}

// TestMillionValues: an In of a million values is sorted and hashed, not
// compared one by one.
func TestMillionValues(t *testing.T) {
	const n = 1_000_000
	texts, ints := make([]any, n), make([]any, n)
	for i := range n {
		texts[i], ints[i] = "k"+strconv.Itoa(10*n-i), n-i
	}
	def := store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "s": {Type: store.String}, "si": {Type: store.String}, "n": {Type: store.Int}, "ni": {Type: store.Int}, "any": {Type: store.Any},
	}, Indexes: []store.Index{{"si"}, {"ni"}}}
	var rows []store.Fields
	for i := range 200 {
		k := "k" + strconv.Itoa(9*n+2*n/200*i+1)
		rows = append(rows, store.Fields{"id": k, "s": k, "si": k, "n": 2*n/200*i + 1, "ni": 2*n/200*i + 1, "any": k})
	}
	b := kindsBucket(t, def, rows...)
	for _, c := range []struct {
		field  string
		values []any
		want   int
	}{{"id", texts, 100}, {"ni", ints, 100}, {"n", ints[:n/10], 10}, {"si", texts[:n/10], 10}, {"s", texts[:n/10], 10}} {
		got, err := b.Where(store.In(c.field, c.values...)).Count()
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.field)
	}
	got, err := b.Where(store.NotIn("any", texts[:n/100]...)).Count()
	require.NoError(t, err)
	require.Equal(t, 199, got)
}

// TestWideOr: an Or of 100,000 branches, over one field or over several, in the
// midst of others.
func TestWideOr(t *testing.T) {
	const n = 100_000
	b := someKinds(t)
	one, two, pairs := make([]store.Filter, n), make([]store.Filter, n), make([]store.Filter, n)
	for i := range n {
		one[i] = store.Eq("int", i+2)
		two[i] = store.Eq("int", i+2)
		if i%2 == 0 {
			two[i] = store.Eq("string", fmt.Sprint(i))
		}
		pairs[i] = store.And(store.Gt("float", i+1), store.Lt("float", i+2), store.Ne("string", "x"))
	}
	for i, c := range []struct {
		filter store.Filter
		want   int
	}{{store.Or(one...), 1}, {store.Or(two...), 0}, {store.Not(store.Or(two[:n/10]...)), 3}, {store.And(one[:n/10]...), 0}} {
		n, err := b.Where(c.filter).Count()
		require.NoError(t, err)
		require.Equal(t, c.want, n, i)
	}
	e, err := b.Where(store.Or(pairs[:n/10]...)).Explain()
	require.NoError(t, err)
	require.Equal(t, 1, e.Returned)
	require.NotEmpty(t, e.String())
}

// TestLongTexts: to search a long text for a long one is linear.
func TestLongTexts(t *testing.T) {
	const n = 1 << 20
	a := strings.Repeat("a", n)
	def := kindsDefinition()
	def.Indexes = kindsIndexes()
	b := kindsBucket(t, def, store.Fields{"id": "a", "string": a, "any": a}, store.Fields{"id": "b", "string": a + "b", "any": a + "b"})
	begin := time.Now()
	for _, field := range []string{"string", "any"} {
		for i, c := range []struct {
			want   int
			filter store.Filter
		}{
			{2, store.Contains(field, strings.ToUpper(a))},
			{1, store.Contains(field, a[:n/2]+"B")},
			{0, store.Contains(field, a[:n/2]+"b"+a[:n/4])},
			{0, store.Contains(field, a+a)},
			{2, store.HasPrefix(field, a)},
			{1, store.HasPrefix(field, a+"b")},
			{1, store.HasSuffix(field, a)},
			{1, store.Gt(field, a)},
		} {
			require.Equal(t, c.want, count(t, b, c.filter), "%s %d", field, i)
		}
	}
	require.Less(t, time.Since(begin), 10*time.Second, "quadratic it would take minutes")
}

func TestLimitsAndOffsets(t *testing.T) {
	b := someKinds(t)
	for _, q := range []*store.Query[store.Record]{b.Where().Limit(-1), b.Where().Offset(-1), b.Where().Limit(math.MinInt), b.Where().Offset(math.MinInt).Limit(1)} {
		for how, err := range answers(q, "int") {
			refused(t, err, "kinds", "", how)
		}
	}
	for _, order := range [][]store.Order{nil, {store.Asc("int")}, {store.Desc("string")}, {store.Asc("any"), store.Desc("int")}} {
		for _, filters := range [][]store.Filter{nil, {store.Gte("int", 0)}, {store.In("id", "a", "b")}, {store.Or(store.Eq("int", 1), store.Eq("string", "y"))}} {
			q := b.Where(filters...).OrderBy(order...)
			all, err := q.All()
			require.NoError(t, err)
			for _, offset := range []int{0, 1, len(all), math.MaxInt - 1, math.MaxInt} {
				for _, limit := range []int{0, 1, len(all), math.MaxInt - 1, math.MaxInt} {
					want := all[min(offset, len(all)):]
					want = want[:min(limit, len(want))]
					part := q.Offset(offset).Limit(limit)
					got, err := part.All()
					require.NoError(t, err)
					require.Equal(t, want, append(got[:0:0], got...), "%d %d", offset, limit)
					n, err := part.Count()
					require.NoError(t, err)
					require.Equal(t, len(want), n)
					_, ok, err := part.First()
					require.NoError(t, err)
					require.Equal(t, len(want) > 0, ok)
					e, err := part.Explain()
					require.NoError(t, err)
					require.Equal(t, len(want), e.Returned)
				}
			}
		}
	}
	_, err := b.First(-1)
	require.Error(t, err)
	_, err = b.Last(-1)
	require.Error(t, err)
	last, err := b.Last(math.MaxInt)
	require.NoError(t, err)
	require.Len(t, last, 3)
}

func TestOrdersRefused(t *testing.T) {
	b := someKinds(t)
	for _, f := range []string{"object", "array", "nope", ""} {
		refused(t, second(b.OrderBy(store.Asc("int"), store.Desc(f)).All()), "kinds", f)
		refused(t, third(b.Min(f)), "kinds", f)
		refused(t, third(b.Max(f)), "kinds", f)
		refused(t, second(b.GroupBy("int").Max(f)), "kinds", f)
	}
	refused(t, second(b.OrderBy(store.Order{}).All()), "kinds", "")
	once, err := b.OrderBy(store.Desc("int")).All()
	require.NoError(t, err)
	twice, err := b.OrderBy(store.Desc("int"), store.Asc("int"), store.Desc("int")).All()
	require.NoError(t, err)
	require.Equal(t, once, twice)
	require.Equal(t, "b", twice[0].Key().String())
}

func TestSelections(t *testing.T) {
	b := someKinds(t)
	for _, f := range []string{"object.k", "array.0", "any.x", "nope", "", "string.x"} {
		refused(t, second(b.Where().Select("int", f).All()), "kinds", f)
	}
	r, ok, err := b.Where(store.Eq("int", 1)).Select("string", "_version", "string").OrderBy(store.Desc("float")).First()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, store.Fields{"id": "a", "string": "x", "_version": int64(1)}, store.Fields(r.Map()))
	require.False(t, r.Has("int"))
	require.Nil(t, r.Get("int"))
	r, _, err = b.Where().Select().First()
	require.NoError(t, err)
	require.Equal(t, store.Fields{"id": "a"}, store.Fields(r.Map()))
	require.Zero(t, r.Version())
	require.Zero(t, r.CreatedAt())
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}}, Extra: true}
	extra := kindsBucket(t, def, store.Fields{"id": "x", "a": map[string]any{"b": 1}, "c": 2})
	r, _, err = extra.Where().Select("a", "missing").First()
	require.NoError(t, err)
	require.Equal(t, store.Fields{"id": "x", "a": map[string]any{"b": int64(1)}}, store.Fields(r.Map()))
	refused(t, second(extra.Where().Select("a.b").All()), "kinds", "a.b")
}

func TestAggregatesRefused(t *testing.T) {
	b := someKinds(t)
	for _, f := range []string{"string", "bool", "date", "bytes", "object", "array", "id", "_createdAt"} {
		for _, err := range []error{second(b.Sum(f)), second(b.Avg(f)), second(b.Where().SumInt(f)), second(b.GroupBy("int").Sum(f)), second(b.GroupBy("int").Avg(f))} {
			refused(t, err, "kinds", f)
		}
	}
	for _, g := range []*store.Grouping[store.Record]{b.GroupBy(), b.Where(store.Eq("int", 1)).GroupBy()} {
		refused(t, second(g.Count()), "kinds", "")
		refused(t, second(g.Sum("int")), "kinds", "")
		refused(t, second(g.Max("int")), "kinds", "")
	}
	none := b.Where(store.Eq("int", 77))
	for _, f := range []string{"int", "float", "number", "any", "object.k", "_version"} {
		sum, err := none.Sum(f)
		require.NoError(t, err)
		avg, err := none.Avg(f)
		require.NoError(t, err)
		n, err := none.SumInt(f)
		require.NoError(t, err)
		_, ok, err := none.Min(f)
		require.NoError(t, err)
		require.Equal(t, []any{0.0, 0.0, int64(0), false}, []any{sum, avg, n, ok}, f)
	}
	groups, err := none.GroupBy("int").Avg("float")
	require.NoError(t, err)
	require.Empty(t, groups)
	groups, err = b.Where(store.Eq("id", "c")).GroupBy("int", "object").Avg("float")
	require.NoError(t, err)
	require.Equal(t, []store.Group[float64]{{Key: []any{nil, nil}, Value: 0}}, groups)
	four, err := b.Where().SumInt("float")
	require.NoError(t, err, "the sum is one, though its parts are none")
	require.Equal(t, int64(4), four)
	refused(t, second(b.Where(store.Eq("int", 1)).SumInt("float")), "kinds", "float")
}

// TestSumsOutOfRange: SumInt has the sum or an error, never another number.
func TestSumsOutOfRange(t *testing.T) {
	b := kindsBucket(
		t, kindsDefinition(), store.Fields{"id": "a", "int": math.MaxInt64, "float": math.Inf(1), "number": 0.5},
		store.Fields{"id": "b", "int": 1, "float": math.Inf(-1), "number": 0.5}, store.Fields{"id": "c", "int": math.MinInt64, "number": math.MaxInt64},
	)
	n, err := b.Where().SumInt("int")
	require.NoError(t, err, "the sum fits, though the one of the first two does not")
	require.Zero(t, n)
	refused(t, second(b.Where(store.Gt("int", 0)).SumInt("int")), "kinds", "int")
	refused(t, second(b.Where().SumInt("float")), "kinds", "float")
	refused(t, second(b.Where(store.Eq("id", "a")).SumInt("float")), "kinds", "float")
	refused(t, second(b.Where(store.Eq("id", "a")).SumInt("number")), "kinds", "number")
	refused(t, second(b.Where().SumInt("number")), "kinds", "number")
	n, err = b.Where(store.Lt("number", 1)).SumInt("number")
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	sum, err := b.Sum("float")
	require.NoError(t, err)
	require.True(t, math.IsNaN(sum), "of both infinities")
	sum, err = b.Sum("int")
	require.NoError(t, err)
	require.Zero(t, sum)
}

func TestPagesRefused(t *testing.T) {
	b := someKinds(t)
	for _, limit := range []int{0, -1, math.MinInt} {
		refused(t, second(b.Where().Page(limit, "")), "kinds", "")
		refused(t, second(b.Paginate(store.PageOptions{Limit: limit})), "kinds", "")
		refused(t, second(b.Paginate(store.PageOptions{After: "a", Limit: limit})), "kinds", "")
	}
	for _, q := range []*store.Query[store.Record]{b.Where().Limit(5), b.Where().Offset(1), b.Where().Limit(0)} {
		refused(t, second(q.Page(1, "")), "kinds", "")
	}
	page, err := b.Where().Page(math.MaxInt, "")
	require.NoError(t, err)
	require.Len(t, page.Records, 3)
	require.False(t, page.HasMore)
	require.Empty(t, page.Next)
}

// cursors has queries and the cursor behind the first record of each.
func cursors(t testing.TB, b *store.Bucket) (queries []*store.Query[store.Record], next []store.Cursor) {
	for _, q := range []*store.Query[store.Record]{
		b.Where(),
		b.Where(store.Ne("int", 77)),
		b.Where(store.Or(store.Eq("int", 1), store.Eq("string", "y"))),
		b.OrderBy(store.Asc("int")),
		b.OrderBy(store.Desc("int")),
		b.OrderBy(store.Asc("any"), store.Desc("date")),
		b.OrderBy(store.Desc("object.k"), store.Asc("bytes"), store.Asc("bool"), store.Asc("float")),
		b.Where(store.Gt("_version", 0)).OrderBy(store.Asc("string")),
		b.Where(store.Exists("id")).OrderBy(store.Desc("_createdAt"), store.Asc("number"), store.Asc("id")),
	} {
		page, err := q.Page(1, "")
		require.NoError(t, err)
		require.NotEmpty(t, page.Next)
		queries, next = append(queries, q), append(next, page.Next)
	}
	return queries, next
}

// TestCursorsOfOthers: a cursor is good for its own query only.
func TestCursorsOfOthers(t *testing.T) {
	b := someKinds(t)
	queries, next := cursors(t, b)
	for i, q := range queries {
		for j, c := range next {
			_, err := q.Page(1, c)
			if i == j {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, store.ErrCursor, "query %d, cursor of %d", i, j)
		}
	}
	for _, c := range next {
		_, err := b.Paginate(store.PageOptions{After: c, Limit: 1})
		if c == next[0] {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, store.ErrCursor)
		}
	}
	// Another bucket, and another store with the same bucket: there the record
	// with that key stands for the place, if there is one.
	other, err := schemaStore(t).DefineBucket(t.Context(), "others", kindsDefinition())
	require.NoError(t, err)
	_, err = other.Where().Page(1, next[0])
	require.ErrorIs(t, err, store.ErrCursor)
	twin := someKinds(t)
	page, err := twin.Where().Page(5, next[0])
	require.NoError(t, err)
	require.Len(t, page.Records, 2)
	require.NoError(t, twin.Delete(t.Context(), "a"))
	_, err = twin.Where().Page(5, next[0])
	require.ErrorIs(t, err, store.ErrCursor)
	require.NoError(t, b.Delete(t.Context(), "a"))
	page, err = b.Where().Page(5, next[0])
	require.NoError(t, err, "in its own store a cursor needs no record")
	require.Len(t, page.Records, 2)
}

// TestTamperedCursors: a cursor that was changed, cut or is none is ErrCursor.
func TestTamperedCursors(t *testing.T) {
	b := someKinds(t)
	queries, next := cursors(t, b)
	for i, q := range queries {
		c := []byte(next[i])
		for at := range c {
			for _, bits := range []byte{1, 0xff} {
				bad := append([]byte(nil), c...)
				if bad[at] ^= bits; bad[at] == '\n' || bad[at] == '\r' {
					continue
				}
				_, err := q.Page(1, store.Cursor(bad))
				require.ErrorIs(t, err, store.ErrCursor)
			}
			if at > 0 {
				_, err := q.Page(1, store.Cursor(c[:at]))
				require.ErrorIs(t, err, store.ErrCursor)
			}
			_, err := q.Page(1, store.Cursor(c[at:])+"A")
			require.ErrorIs(t, err, store.ErrCursor)
		}
		if i == 0 {
			_, err := q.Page(1, store.Cursor(strings.Repeat("A", 1<<24)))
			require.ErrorIs(t, err, store.ErrCursor)
		}
		for _, c := range []string{" ", "=", "AA", "a", "null", "\xff\xfe", strings.Repeat("A", 100), strings.Repeat("A", 1<<20), strings.Repeat("\n", 1<<10)} {
			_, err := q.Page(1, store.Cursor(c))
			require.ErrorIs(t, err, store.ErrCursor)
		}
	}
}

// forge puts another body behind the head of a cursor, with the right checksum.
func forge(c store.Cursor, change func(body []byte) []byte) store.Cursor {
	b, _ := base64.RawURLEncoding.DecodeString(string(c))
	b = change(append([]byte(nil), b[:len(b)-4]...))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return store.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// TestForgedCursors: a checksum is no secret. Whatever is behind it, the answer
// is ErrCursor or an end of the whole answer.
func TestForgedCursors(t *testing.T) {
	b := someKinds(t)
	queries, next := cursors(t, b)
	for i, q := range queries {
		all, err := q.All()
		require.NoError(t, err)
		require.Equal(t, next[i], forge(next[i], func(b []byte) []byte { return b }))
		try := func(c store.Cursor) {
			page, err := q.Page(10, c)
			if err != nil {
				require.ErrorIs(t, err, store.ErrCursor)
				return
			}
			require.Equal(t, all[len(all)-len(page.Records):], append(all[:0:0], page.Records...))
		}
		length := len(forge(next[i], func(b []byte) []byte { return b })) * 3 / 4
		for at := range length - 4 {
			for _, v := range []byte{0, 1, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x7f, 0x80, 0xfe, 0xff} {
				try(forge(next[i], func(b []byte) []byte { b[at] = v; return b }))
				try(forge(next[i], func(b []byte) []byte { return append(b[:at:at], append([]byte{v}, b[at:]...)...) }))
			}
			try(forge(next[i], func(b []byte) []byte { return b[:at] }))
		}
		head := func(b []byte) []byte { return b[:17:17] }
		try(forge(next[i], func(b []byte) []byte { return binary.AppendUvarint(head(b), math.MaxUint64) }))
		for _, tail := range []string{strings.Repeat("\x70\x01", 1<<18), strings.Repeat("\x80\x01", 1<<10), strings.Repeat("\x70\x01", 900) + strings.Repeat("\x00", 901), strings.Repeat("\xff", 20)} {
			try(forge(next[i], func(b []byte) []byte { return append(append(head(b), 1), tail...) }))
		}
	}
}

// TestCursorOfLongValues: a page that ends at a record with a long value has a
// cursor like any other.
func TestCursorOfLongValues(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "s": {Type: store.String}}}
	b := kindsBucket(t, def, store.Fields{"id": "a", "s": long}, store.Fields{"id": "b", "s": long + "y"})
	q := b.OrderBy(store.Asc("s"))
	page, err := q.Page(1, "")
	require.NoError(t, err)
	require.True(t, page.HasMore)
	page, err = q.Page(1, page.Next)
	require.NoError(t, err)
	require.Len(t, page.Records, 1)
	require.Equal(t, "b", page.Records[0].Key().String())
}

func TestPaginateKeys(t *testing.T) {
	b := someKinds(t)
	page, err := b.Paginate(store.PageOptions{After: "a", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "b", page.Records[0].Key().String())
	for _, after := range []any{"gone", 5, 1.5, true, []byte("a"), []any{"a"}, map[string]any{}, func() {}, math.NaN(), store.Key{}, "\xff", of("a"), struct{}{}} {
		_, err := b.Paginate(store.PageOptions{After: after, Limit: 1})
		require.ErrorIs(t, err, store.ErrNotFound, "%T", after)
	}
	for _, after := range []any{nil, "", store.Cursor(""), text("a"), page.Records[0].Key(), page.Next} {
		_, err := b.Paginate(store.PageOptions{After: after, Limit: 1})
		require.NoError(t, err, "%T", after)
	}
	_, err = b.Paginate(store.PageOptions{After: store.Cursor("a"), Limit: 1})
	require.ErrorIs(t, err, store.ErrCursor)
	// In the order of keys, the place is there without its record.
	def := store.Definition{Key: "id", Ordered: true, Schema: store.Schema{"id": {Type: store.Int}}}
	ordered := kindsBucket(t, def, store.Fields{"id": 30}, store.Fields{"id": -10}, store.Fields{"id": 20})
	for after, want := range map[any]int{-11: 3, int8(-10): 2, 0: 2, 20.0: 1, 25: 1, uint(30): 0, int64(math.MaxInt64): 0, int64(math.MinInt64): 3, page.Next: -1, "20": -2, 1.5: -2, true: -2, uint64(math.MaxUint64): -2} {
		page, err := ordered.Paginate(store.PageOptions{After: after, Limit: 5})
		switch want {
		case -1:
			require.ErrorIs(t, err, store.ErrCursor)
		case -2:
			require.ErrorIs(t, err, store.ErrNotFound, "%v", after)
		default:
			require.NoError(t, err)
			require.Len(t, page.Records, want, "%v", after)
		}
	}
}

// TestQueriesOfWhatIsGone: a dropped bucket, a closed snapshot and one of
// another store are errors; a closed store can still be read.
func TestQueriesOfWhatIsGone(t *testing.T) {
	s, other := schemaStore(t), schemaStore(t)
	b, err := s.DefineBucket(t.Context(), "kinds", kindsDefinition())
	require.NoError(t, err)
	_, err = b.InsertMany(t.Context(), kindsRows())
	require.NoError(t, err)
	snap, foreign := s.Snapshot(), other.Snapshot()
	defer foreign.Close()
	used := b.Where(store.Gt("int", 0)).OrderBy(store.Asc("int"))
	bound := b.In(snap).Where(store.Gt("int", 0)).OrderBy(store.Asc("int"))
	for _, q := range []*store.Query[store.Record]{used, bound} {
		for how, err := range answers(q, "int") {
			require.NoError(t, err, how)
		}
	}
	for how, err := range answers(b.In(foreign).Where(), "int") {
		var e *store.Error
		require.ErrorAs(t, err, &e, how)
		require.Equal(t, "kinds", e.Bucket, how)
	}
	snap.Close()
	for how, err := range answers(bound, "int") {
		require.ErrorIs(t, err, store.ErrSnapshotClosed, how)
	}
	_, err = b.In(snap).Paginate(store.PageOptions{After: "a", Limit: 1})
	require.ErrorIs(t, err, store.ErrSnapshotClosed)
	require.NoError(t, s.Close(t.Context()))
	for how, err := range answers(used, "int") {
		require.NoError(t, err, how)
	}
	require.Equal(t, "a b c", foundBy(t, b))
}

func TestQueriesOfADroppedBucket(t *testing.T) {
	s := schemaStore(t)
	b, err := s.DefineBucket(t.Context(), "kinds", kindsDefinition())
	require.NoError(t, err)
	_, err = b.InsertMany(t.Context(), kindsRows())
	require.NoError(t, err)
	snap := s.Snapshot()
	defer snap.Close()
	used, fresh, wrong := b.Where(store.Gt("int", 0)), b.Where(store.Gt("int", 1)), b.Where(store.Eq("nope", 1))
	require.NoError(t, answers(used, "int")["All"])
	_, err = wrong.All()
	refused(t, err, "kinds", "nope")
	require.NoError(t, s.DropBucket(t.Context(), "kinds"))
	for _, q := range []*store.Query[store.Record]{used, fresh, b.In(snap).Where(), b.OrderBy(store.Asc("int"))} {
		for how, err := range answers(q, "int") {
			require.ErrorIs(t, err, store.ErrBucketNotDefined, how)
		}
	}
	_, err = b.Paginate(store.PageOptions{Limit: 1})
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	_, err = b.Count(store.Eq("int", 1))
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
}

// TestQueriesLeaveNothing: neither errors nor iterators left early, nor panics
// in a caller's loop, leave a goroutine or a pinned state.
func TestQueriesLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{})
		require.NoError(t, err)
		b, err := s.DefineBucket(t.Context(), "kinds", kindsDefinition())
		require.NoError(t, err)
		_, err = b.InsertMany(t.Context(), kindsRows())
		require.NoError(t, err)
		snap := s.Snapshot()
		for _, h := range []*store.Bucket{b, b.In(snap)} {
			answers(h.Where(), "int")
			answers(h.Where(store.Eq("nope", 1)), "int")
			answers(h.Where(), "string")
			_, err = h.Where().Page(1, "bad")
			require.ErrorIs(t, err, store.ErrCursor)
			require.Panics(t, func() { _ = h.Where().Each(func(*store.Record) bool { panic("the caller") }) })
			require.Panics(t, func() {
				for range h.OrderBy(store.Asc("int")).Seq() {
					panic("the caller")
				}
			})
		}
		snap.Close()
		for i := range 100 {
			_, err = b.Update(t.Context(), "a", store.Fields{"int": i})
			require.NoError(t, err)
		}
		require.Empty(t, s.Stats().Retained)
		require.NoError(t, s.Close(t.Context()))
	})
}

// TestCyclicValues: a value that contains itself, twice at each level, is refused
// in no time wherever a filter takes one.
func TestCyclicValues(t *testing.T) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "x": {Type: store.Any}}})
	require.NoError(t, err)
	m := map[string]any{}
	m["a"], m["b"] = m, m
	for _, f := range []store.Filter{
		store.Eq("x", m), store.In("x", m, 1), store.Contains("x", m), store.Not(store.Ne("x", []any{m})), store.Gt("x", m),
	} {
		_, err := b.Where(f).All()
		var wrong *store.QueryError
		require.ErrorAs(t, err, &wrong)
	}
	require.Error(t, s.DefineSpec("q", store.QuerySpec{Bucket: "b", Filter: map[string]any{"x": m}}))
}
