package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func specStore(t testing.TB) *store.Store {
	t.Helper()
	s := schemaStore(t)
	def := kindsDefinition()
	def.Indexes = kindsIndexes()
	b, err := s.DefineBucket(t.Context(), "kinds", def)
	require.NoError(t, err)
	_, err = b.InsertMany(t.Context(), kindsRows())
	require.NoError(t, err)
	return s
}

// runSpec defines a specification of its own name, runs it and forgets it.
func runSpec(t testing.TB, s *store.Store, text string, params any) (any, error) {
	t.Helper()
	spec, err := store.ParseQuerySpec([]byte(text))
	require.NoError(t, err, text)
	require.NoError(t, s.DefineSpec("q", spec), text)
	defer func() { require.NoError(t, s.UndefineQuery("q")) }()
	return s.RunQuery(t.Context(), "q", params)
}

// specKeys is the answer of a specification as the keys of its records.
func specKeys(t testing.TB, s *store.Store, text string, params any) string {
	t.Helper()
	got, err := runSpec(t, s, text, params)
	require.NoError(t, err, text)
	var keys []string
	for _, r := range got.([]store.Record) {
		keys = append(keys, r.Key().String())
	}
	return strings.Join(keys, " ")
}

func TestParseQuerySpec(t *testing.T) {
	spec, err := store.ParseQuerySpec([]byte(` {"bucket": "b", "filter": {"n": 9007199254740993}, "sort": ["-a", "b"], "limit": 5, "offset": "{{ params.o }}",
		"fields": ["a"], "aggregate": {"op": "sum", "field": "n"}, "groupBy": ["a"]} `))
	require.NoError(t, err)
	require.Equal(t, store.QuerySpec{
		Bucket: "b", Filter: object{"n": json.Number("9007199254740993")}, Sort: []string{"-a", "b"}, Limit: json.Number("5"), Offset: "{{ params.o }}",
		Fields: []string{"a"}, Aggregate: &store.Aggregate{Op: "sum", Field: "n"}, GroupBy: []string{"a"},
	}, spec)
	for _, text := range []string{
		``, `x`, `[]`, `"x"`, `1`, `{`, `{"bucket": 1}`, `{"nope": 1}`, `{"filter": []}`, `{"sort": "a"}`, `{"aggregate": {"op": "sum", "fields": "x"}}`, `{}{}`, `{} x`, `{}}`, `{}]`,
		`{"limit": }`, strings.Repeat(`{"filter":`, 20000),
	} {
		_, err := store.ParseQuerySpec([]byte(text))
		refused(t, err, "", "", text)
	}
}

// TestSpecAnswers: every part of a specification does what the query's method
// does.
func TestSpecAnswers(t *testing.T) {
	s := specStore(t)
	for text, want := range map[string]any{
		`"aggregate": {"op": "count"}`:                                                  3,
		`"filter": {"int": {"$gt": 1}}, "aggregate": {"op": "count"}`:                   1,
		`"aggregate": {"op": "sum", "field": "float"}`:                                  4.0,
		`"aggregate": {"op": "avg", "field": "float"}`:                                  2.0,
		`"aggregate": {"op": "min", "field": "int"}`:                                    int64(1),
		`"aggregate": {"op": "max", "field": "string"}`:                                 "y",
		`"aggregate": {"op": "min", "field": "any"}, "filter": {"id": "c"}`:             nil,
		`"aggregate": {"op": "countDistinct", "field": "bool"}`:                         2,
		`"aggregate": {"op": "sum", "field": "int"}, "sort": ["-int"], "limit": 1`:      2.0,
		`"aggregate": {"op": "count"}, "offset": 2`:                                     1,
		`"aggregate": {"op": "count"}, "groupBy": ["bool"]`:                             []store.Group[int]{{Key: []any{nil}, Value: 1}, {Key: []any{false}, Value: 1}, {Key: []any{true}, Value: 1}},
		`"aggregate": {"op": "sum", "field": "int"}, "groupBy": ["_version"]`:           []store.Group[float64]{{Key: []any{int64(1)}, Value: 3}},
		`"aggregate": {"op": "avg", "field": "int"}, "groupBy": ["_version"]`:           []store.Group[float64]{{Key: []any{int64(1)}, Value: 1.5}},
		`"aggregate": {"op": "min", "field": "string"}, "groupBy": ["_version"]`:        []store.Group[any]{{Key: []any{int64(1)}, Value: "x"}},
		`"aggregate": {"op": "max", "field": "float"}, "groupBy": ["_version"]`:         []store.Group[any]{{Key: []any{int64(1)}, Value: 2.5}},
		`"aggregate": {"op": "countDistinct", "field": "int"}, "groupBy": ["_version"]`: []store.Group[int]{{Key: []any{int64(1)}, Value: 2}},
	} {
		got, err := runSpec(t, s, `{"bucket": "kinds", `+text+`}`, nil)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		``:                               "a b c",
		`, "sort": ["-int"]`:             "b a c",
		`, "sort": ["bool", "-id"]`:      "c b a",
		`, "limit": 2, "offset": 1`:      "b c",
		`, "limit": 0`:                   "",
		`, "limit": null, "offset": 1.0`: "b c",
		`, "filter": {"string": "y"}`:    "b",
		`, "filter": {}`:                 "a b c",
		`, "filter": null`:               "a b c",
	} {
		require.Equal(t, want, specKeys(t, s, `{"bucket": "kinds"`+text+`}`, nil), text)
	}
	got, err := runSpec(t, s, `{"bucket": "kinds", "fields": ["int"], "limit": 1}`, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"id": "a", "int": int64(1)}, map[string]any(got.([]store.Record)[0].Map()))
}

// TestSpecParameters: a placeholder stands for a value with its type.
func TestSpecParameters(t *testing.T) {
	type inner struct {
		City string `json:"city"`
		List []int  `json:"list"`
	}
	type params struct {
		Text  string    `json:"text"`
		N     int8      `json:"n"`
		F     *float64  `json:"f"`
		At    time.Time `json:"at"`
		Yes   bool      `json:"yes"`
		Raw   []byte    `json:"raw"`
		Names []string  `json:"names"`
		In    inner     `json:"in"`
		Null  *int      `json:"null"`
		Obj   object    `json:"obj"`
	}
	at := time.UnixMilli(1700000000000)
	p := params{"x", 1, of(1.25), at.In(time.FixedZone("", 3600)), true, []byte("b"), []string{"a", "zz"}, inner{"y", []int{1, 2}}, nil, object{"k": 1}}
	m := object{
		"text": text("x"), "n": json.Number("1"), "f": float32(1.25), "at": at, "yes": of(true), "raw": []byte("b"), "names": []any{"a", "zz"}, "in": object{"city": "y", "list": []any{1, 2.0}},
		"null": nil, "obj": object{"k": 1.0}, "not needed": 5,
	}
	s := specStore(t)
	for filter, want := range map[string]string{
		`{"string": "{{ params.text }}"}`:                                                                "a",
		`{"string": "{{params.text}}"}`:                                                                  "a",
		`{"string": "  {{  params.in.city  }} "}`:                                                        "b",
		`{"int": "{{ params.n }}"}`:                                                                      "a",
		`{"float": {"$gt": "{{ params.f }}", "$lt": 2}}`:                                                 "a",
		`{"date": {"$gt": "{{ params.at }}"}}`:                                                           "b",
		`{"bool": {"$ne": "{{ params.yes }}"}}`:                                                          "b c",
		`{"bytes": "{{ params.raw }}"}`:                                                                  "a",
		`{"id": {"$in": "{{ params.names }}"}}`:                                                          "a",
		`{"id": {"$nin": ["{{ params.names.0 }}", "c"]}}`:                                                "b",
		`{"int": {"$between": "{{ params.in.list }}"}}`:                                                  "a b",
		`{"int": {"$between": ["{{ params.in.list.1 }}", 9]}}`:                                           "b",
		`{"int": "{{ params.null }}"}`:                                                                   "c",
		`{"int": {"$exists": "{{ params.yes }}"}}`:                                                       "a b",
		`{"object": "{{ params.obj }}"}`:                                                                 "a",
		`{"object": {"k": "{{ params.n }}"}}`:                                                            "a",
		`{"array": [1, "{{ params.text }}"]}`:                                                            "a",
		`{"string": {"$startsWith": "{{ params.text }}"}}`:                                               "a",
		`{"string": {"$contains": "{{ params.text }}"}}`:                                                 "a",
		`{"string": {"$not": {"$endsWith": "{{ params.in.city }}"}}}`:                                    "a c",
		`{"$or": [{"int": "{{ params.n }}"}, {"$not": {"id": {"$in": ["b", "{{ params.names.0 }}"]}}}]}`: "a c",
	} {
		for _, params := range []any{p, &p, m} {
			require.Equal(t, want, specKeys(t, s, `{"bucket": "kinds", "filter": `+filter+`}`, params), "%s %T", filter, params)
		}
	}
	require.Equal(t, "b", specKeys(t, s, `{"bucket": "kinds", "limit": "{{ params.n }}", "offset": "{{ params.in.list.0 }}"}`, p))
	require.Equal(t, "a", specKeys(t, s, `{"bucket": "kinds", "filter": {"string": "{{ params.text }}"}}`, map[string]string{"text": "x"}))
	require.Empty(t, specKeys(t, s, `{"bucket": "kinds", "filter": {"string": "{{ params.text }}"}}`, object{"text": "{{ params.text }}"}), "a parameter is no template")
}

// TestSpecParametersAreValues: a parameter takes the place of a value and never
// becomes an operator, whoever may choose it.
func TestSpecParametersAreValues(t *testing.T) {
	s := specStore(t)
	for _, filter := range []string{`{"string": "{{ params.p }}"}`, `{"string": {"$eq": "{{ params.p }}"}}`} {
		for _, p := range []object{{"$ne": "secret"}, {"$exists": true}, {"$not": object{"$eq": 1}}} {
			_, err := runSpec(t, s, `{"bucket": "kinds", "filter": `+filter+`}`, object{"p": p})
			refused(t, err, "kinds", "string", "%s %v", filter, p)
		}
	}
	for _, field := range []string{"any", "object"} {
		require.Empty(t, specKeys(t, s, `{"bucket": "kinds", "filter": {"`+field+`": "{{ params.p }}"}}`, object{"p": object{"$ne": nil}}), field)
	}
}

func TestSpecParametersRefused(t *testing.T) {
	s := specStore(t)
	for _, c := range []struct {
		field, text string
		params      any
	}{
		{"int", `"filter": {"int": "{{ params.p }}"}`, object{"p": "x"}},
		{"int", `"filter": {"int": {"$gt": "{{ params.p }}"}}`, object{"p": nil}},
		{"int", `"filter": {"int": {"$in": "{{ params.p }}"}}`, object{"p": 1}},
		{"int", `"filter": {"int": {"$in": "{{ params.p }}"}}`, object{"p": []string{"x"}}},
		{"int", `"filter": {"int": {"$between": "{{ params.p }}"}}`, object{"p": []int{1}}},
		{"int", `"filter": {"int": {"$between": ["{{ params.p }}", 0]}}`, object{"p": 1}},
		{"int", `"filter": {"int": {"$exists": "{{ params.p }}"}}`, object{"p": "yes"}},
		{"string", `"filter": {"string": {"$startsWith": "{{ params.p }}"}}`, object{"p": 1}},
		{"", `"filter": {"int": "{{ params.p }}"}`, nil},
		{"", `"filter": {"int": "{{ params.p }}"}`, object{"q": 1}},
		{"", `"filter": {"int": "{{ params.p }}"}`, 5},
		{"", `"filter": {"int": "{{ params.p }}"}`, []any{1}},
		{"", `"filter": {"int": "{{ params.p }}"}`, "p"},
		{"", `"filter": {"int": "{{ params.p }}"}`, object{"p": func() {}}},
		{"", `"filter": {"int": "{{ params.p }}"}`, object{"p": "\xff"}},
		{"", `"filter": {"int": "{{ params.p }}"}`, object{"p": nestObject(70)}},
		{"", `"limit": "{{ params.p }}"`, object{"p": "1"}},
		{"", `"limit": "{{ params.p }}"`, object{"p": -1}},
		{"", `"offset": "{{ params.p }}"`, object{"p": 1.5}},
		{"", `"offset": "{{ params.p }}"`, object{"p": -1}},
		{"", `"offset": "{{ params.p }}"`, object{}},
	} {
		_, err := runSpec(t, s, `{"bucket": "kinds", `+c.text+`}`, c.params)
		refused(t, err, "kinds", c.field, "%s %v", c.text, c.params)
	}
	cycle := object{}
	cycle["p"] = cycle
	_, err := runSpec(t, s, `{"bucket": "kinds", "filter": {"int": "{{ params.p }}"}}`, cycle)
	refused(t, err, "kinds", "")
}

// TestSpecParameterMissingInside: a name that leads nowhere inside a parameter
// is missing too; it does not stand for an absent value.
func TestSpecParameterMissingInside(t *testing.T) {
	s := specStore(t)
	for _, p := range []object{{"user": object{}}, {"user": object{"ID": "x"}}, {"user": "x"}, {"user": nil}, {"user": []any{1}}} {
		_, err := runSpec(t, s, `{"bucket": "kinds", "filter": {"string": "{{ params.user.id }}"}}`, p)
		refused(t, err, "kinds", "", "%v", p)
	}
}

func TestSpecsRefused(t *testing.T) {
	s := specStore(t)
	for _, c := range []struct {
		field string
		spec  store.QuerySpec
	}{
		{"nope", store.QuerySpec{Filter: object{"nope": 1}}},
		{"nope", store.QuerySpec{Filter: object{"nope": "{{ params.p }}"}}},
		{"nope", store.QuerySpec{Sort: []string{"int", "-nope"}}},
		{"", store.QuerySpec{Sort: []string{"-"}}},
		{"object", store.QuerySpec{Sort: []string{"object"}}},
		{"nope", store.QuerySpec{Fields: []string{"nope"}}},
		{"object.k", store.QuerySpec{Fields: []string{"object.k"}}},
		{"nope", store.QuerySpec{GroupBy: []string{"nope"}, Aggregate: &store.Aggregate{Op: "count"}}},
		{"", store.QuerySpec{GroupBy: []string{"int"}}},
		{"", store.QuerySpec{Aggregate: &store.Aggregate{}}},
		{"", store.QuerySpec{Aggregate: &store.Aggregate{Op: "median", Field: "int"}}},
		{"", store.QuerySpec{Aggregate: &store.Aggregate{Op: "Sum", Field: "int"}}},
		{"int", store.QuerySpec{Aggregate: &store.Aggregate{Op: "count", Field: "int"}}},
		{"", store.QuerySpec{Aggregate: &store.Aggregate{Op: "sum"}}},
		{"string", store.QuerySpec{Aggregate: &store.Aggregate{Op: "avg", Field: "string"}}},
		{"array", store.QuerySpec{Aggregate: &store.Aggregate{Op: "min", Field: "array"}}},
		{"nope", store.QuerySpec{Aggregate: &store.Aggregate{Op: "countDistinct", Field: "nope"}}},
		{"int", store.QuerySpec{Filter: object{"int": "one"}}},
		{"int", store.QuerySpec{Filter: object{"int": object{"$like": "{{ params.p }}"}}}},
		{"int", store.QuerySpec{Filter: object{"int": object{"$not": "{{ params.p }}"}}}},
		{"", store.QuerySpec{Filter: object{"$or": "{{ params.p }}"}}},
		{"", store.QuerySpec{Filter: object{"string": "x {{ params.p }}"}}},
		{"", store.QuerySpec{Filter: object{"string": "{{ params.p }} x"}}},
		{"", store.QuerySpec{Filter: object{"string": "{{ params.p }}{{ params.p }}"}}},
		{"", store.QuerySpec{Filter: object{"string": "{{ p }}"}}},
		{"", store.QuerySpec{Filter: object{"string": "{{ params. }}"}}},
		{"", store.QuerySpec{Filter: object{"string": "{{ params.a b }}"}}},
		{"", store.QuerySpec{Filter: object{"string": "{{"}}},
		{"", store.QuerySpec{Filter: object{"id": object{"$in": []string{"a", "b{{"}}}}},
		{"", store.QuerySpec{Filter: object{"int": func() {}}}},
		{"", store.QuerySpec{Limit: -1}},
		{"", store.QuerySpec{Limit: "5"}},
		{"", store.QuerySpec{Limit: 1.5}},
		{"", store.QuerySpec{Offset: -1}},
		{"", store.QuerySpec{Offset: []any{1}}},
		{"", store.QuerySpec{Offset: "x{{ params.p }}"}},
	} {
		c.spec.Bucket = "kinds"
		refused(t, s.DefineSpec("q", c.spec), "kinds", c.field, "%+v", c.spec)
	}
	cycle := object{}
	cycle["$not"] = cycle
	refused(t, s.DefineSpec("q", store.QuerySpec{Bucket: "kinds", Filter: cycle}), "kinds", "")
	deep := object{"int": 1}
	for range 5000 {
		deep = object{"$and": []any{deep}}
	}
	refused(t, s.DefineSpec("q", store.QuerySpec{Bucket: "kinds", Filter: deep}), "kinds", "")
	refused(t, s.DefineSpec("", store.QuerySpec{Bucket: "kinds"}), "", "")
	require.ErrorIs(t, s.DefineSpec("q", store.QuerySpec{Bucket: "none"}), store.ErrBucketNotDefined)
	require.ErrorIs(t, s.DefineSpec("q", store.QuerySpec{}), store.ErrBucketNotDefined)
	require.Empty(t, s.Queries())
}

// TestNamedQueries: names, counts and what becomes of a query whose bucket or
// store is gone.
func TestNamedQueries(t *testing.T) {
	s := specStore(t)
	spec := store.QuerySpec{Bucket: "kinds", Sort: []string{"-id"}}
	require.Empty(t, s.Queries())
	for i, name := range []string{"b", "a", "ž"} {
		require.NoError(t, s.DefineSpec(name, spec))
		require.Equal(t, i+1, s.Stats().Queries.Defined)
	}
	require.Equal(t, []string{"a", "b", "ž"}, s.Queries())
	require.ErrorIs(t, s.DefineSpec("a", spec), store.ErrQueryExists)
	require.ErrorIs(t, s.UndefineQuery("none"), store.ErrQueryNotDefined)
	require.NoError(t, s.UndefineQuery("a"))
	require.ErrorIs(t, s.UndefineQuery("a"), store.ErrQueryNotDefined)
	require.ErrorIs(t, second(s.RunQuery(t.Context(), "a", nil)), store.ErrQueryNotDefined)
	require.Equal(t, []string{"b", "ž"}, s.Queries())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, second(s.RunQuery(gone, "b", nil)), context.Canceled)

	require.NoError(t, s.DropBucket(t.Context(), "kinds"))
	require.ErrorIs(t, second(s.RunQuery(t.Context(), "b", nil)), store.ErrBucketNotDefined)
	_, err := s.DefineBucket(t.Context(), "kinds", store.Definition{Key: "key", Schema: store.Schema{"key": {Type: store.Int}}})
	require.NoError(t, err)
	refused(t, second(s.RunQuery(t.Context(), "b", nil)), "kinds", "id", "the bucket has other fields now")
	require.NoError(t, s.Close(t.Context()))
	require.ErrorIs(t, s.DefineSpec("c", spec), store.ErrClosed)
	refused(t, second(s.RunQuery(t.Context(), "b", nil)), "kinds", "id")
}

// TestSpecIsCopied: what the caller does with a specification later changes
// nothing.
func TestSpecIsCopied(t *testing.T) {
	s := specStore(t)
	list, raw := []string{"a", "b"}, []byte("b")
	spec := store.QuerySpec{
		Bucket: "kinds", Sort: []string{"-id"}, Fields: []string{"int"}, Limit: 1, GroupBy: []string{"bool"}, Aggregate: &store.Aggregate{Op: "sum", Field: "int"},
		Filter: object{"id": object{"$in": list}, "bytes": raw, "$or": []any{object{"int": "{{ params.p }}"}}},
	}
	require.NoError(t, s.DefineSpec("q", spec))
	want, err := s.RunQuery(t.Context(), "q", object{"p": 1})
	require.NoError(t, err)
	require.Equal(t, []store.Group[float64]{{Key: []any{true}, Value: 1}}, want)
	list[0], raw[0] = "c", 'x'
	spec.Filter["$or"].([]any)[0].(object)["int"] = 7
	spec.Filter["nope"] = 1
	spec.Sort[0], spec.Fields[0], spec.GroupBy[0], spec.Aggregate.Op = "nope", "nope", "nope", "nope"
	got, err := s.RunQuery(t.Context(), "q", object{"p": 1})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestSpecLimitIsCopied: a limit behind a pointer is copied too.
func TestSpecLimitIsCopied(t *testing.T) {
	s := specStore(t)
	limit, offset := 1, 1
	require.NoError(t, s.DefineSpec("q", store.QuerySpec{Bucket: "kinds", Limit: &limit, Offset: &offset, Aggregate: &store.Aggregate{Op: "count"}}))
	limit, offset = 3, 0
	got, err := s.RunQuery(t.Context(), "q", nil)
	require.NoError(t, err)
	require.Equal(t, 1, got)
}

// TestSpecsBesideEachOther: queries by name are defined, run and forgotten
// concurrently.
func TestSpecsBesideEachOther(t *testing.T) {
	s := specStore(t)
	shared := store.QuerySpec{Bucket: "kinds", Filter: object{"id": object{"$in": []any{"{{ params.p }}", "c"}}}, Aggregate: &store.Aggregate{Op: "count"}}
	require.NoError(t, s.DefineSpec("shared", shared))
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			name := fmt.Sprint("own", w)
			for i := range 50 {
				assert.NoError(t, s.DefineSpec(name, shared))
				for _, q := range []string{"shared", name} {
					n, err := s.RunQuery(t.Context(), q, object{"p": []string{"a", "zz"}[i%2]})
					assert.NoError(t, err)
					assert.Equal(t, 2-i%2, n)
				}
				assert.Contains(t, s.Queries(), name)
				assert.Positive(t, s.Stats().Queries.Defined)
				assert.NoError(t, s.UndefineQuery(name))
			}
		})
	}
	workers.Wait()
	require.Equal(t, []string{"shared"}, s.Queries())
}
