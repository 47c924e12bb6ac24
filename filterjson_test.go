package store_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type object = map[string]any

// TestParseFilter: the JSON form finds what the Go form finds.
func TestParseFilter(t *testing.T) {
	at := time.UnixMilli(1700000000000)
	b := someKinds(t)
	for text, want := range map[string]store.Filter{
		`{}`:                                     store.And(),
		`{"int": 1}`:                             store.Eq("int", 1),
		`{"int": null}`:                          store.Eq("int", nil),
		`{"int": {"$eq": 2}}`:                    store.Eq("int", 2),
		`{"int": {"$ne": 2}}`:                    store.Ne("int", 2),
		`{"int": {"$neq": 2}}`:                   store.Ne("int", 2),
		`{"int": {"$gt": 1}}`:                    store.Gt("int", 1),
		`{"int": {"$gte": 1.5}}`:                 store.Gte("int", 1.5),
		`{"int": {"$lt": 2}}`:                    store.Lt("int", 2),
		`{"int": {"$lte": 2}}`:                   store.Lte("int", 2),
		`{"int": {"$gt": 0, "$lt": 2}}`:          store.And(store.Gt("int", 0), store.Lt("int", 2)),
		`{"int": {"$in": [2, 3, null]}}`:         store.In("int", 2, 3, nil),
		`{"int": {"$in": []}}`:                   store.In("int"),
		`{"int": {"$nin": [2, 3]}}`:              store.NotIn("int", 2, 3),
		`{"int": {"$between": [2, 3]}}`:          store.Between("int", 2, 3),
		`{"string": {"$contains": "X"}}`:         store.Contains("string", "X"),
		`{"array": {"$contains": 1.0}}`:          store.Contains("array", 1),
		`{"array": {"$contains": null}}`:         store.Contains("array", nil),
		`{"string": {"$startsWith": "x"}}`:       store.HasPrefix("string", "x"),
		`{"string": {"$endsWith": "y"}}`:         store.HasSuffix("string", "y"),
		`{"int": {"$exists": true}}`:             store.Exists("int"),
		`{"int": {"$exists": false}}`:            store.Not(store.Exists("int")),
		`{"int": {"$not": {"$gt": 1}}}`:          store.Not(store.Gt("int", 1)),
		`{"int": {"$not": {"$not": {"$eq":1}}}}`: store.Eq("int", 1),
		`{"int": {"$not": {"$gt":0,"$lt":2}}}`:   store.Not(store.Between("int", 1, 1)),
		`{"int": 1, "string": "x"}`:              store.And(store.Eq("int", 1), store.Eq("string", "x")),
		`{"int": 1, "string": "y"}`:              store.Or(),
		`{"object": {"k": 1}}`:                   store.Eq("object", object{"k": 1}),
		`{"object": {}}`:                         store.Eq("object", object{}),
		`{"array": [1, "x"]}`:                    store.Eq("array", []any{1, "x"}),
		`{"object.k": "v", "array.0": null}`:     store.And(store.Eq("object.k", "v"), store.Eq("array.0", nil)),
		`{"date": 1700000000000}`:                store.Eq("date", at),
		`{"date": {"$gt": "2023-11-14"}}`:        store.Gt("date", time.Date(2023, 11, 14, 0, 0, 0, 0, time.UTC)),
		`{"bytes": "Yg=="}`:                      store.Eq("bytes", []byte("b")),
		`{"bool": {"$lt": true}}`:                store.Eq("bool", false),
		`{"float": {"$lt": "Infinity"}}`:         store.Exists("float"),
		`{"_version": {"$gte": 1}}`:              store.Gte("_version", 1),
		`{"$and": []}`:                           store.And(),
		`{"$or": []}`:                            store.Or(),
		`{"$not": {}}`:                           store.Or(),
		`{"$or": [{"int": 1}, {"int": 2}]}`:      store.In("int", 1, 2),
		`{"$and": [{"int": 1}, {}]}`:             store.Eq("int", 1),
		`{"$not": {"$or": [{"int": 1}, {"$and": [{"string": "y"}, {"bool": false}]}]}}`:                             store.Eq("id", "c"),
		`{"$or": [{"int": 2}, {"$not": {"$and": [{"any": "x"}]}}], "$and": [{"bool": false}], "float": {"$gt": 1}}`: store.Eq("id", "b"),
	} {
		for _, useNumber := range []bool{false, true} {
			dec := json.NewDecoder(strings.NewReader(text))
			if useNumber {
				dec.UseNumber()
			}
			var m object
			require.NoError(t, dec.Decode(&m))
			got, err := store.ParseFilter(m)
			require.NoError(t, err, text)
			require.Equal(t, foundBy(t, b, want), foundBy(t, b, got), text)
			require.Equal(t, foundBy(t, b, store.Not(want)), foundBy(t, b, store.Not(got)), text)
		}
	}
	all, err := store.ParseFilter(nil)
	require.NoError(t, err)
	require.Equal(t, "a b c", foundBy(t, b, all))
}

// TestParseFilterOfGo: maps that a Go program makes may have typed lists.
func TestParseFilterOfGo(t *testing.T) {
	b := someKinds(t)
	for want, list := range map[string][]object{
		"a":   {{"int": object{"$in": []int{1, 7}}}, {"string": object{"$in": []string{"x"}}}, {"int": object{"$between": []float64{0.5, 1.5}}}, {"$and": []object{{"int": 1}}}, {"int": int8(1)}, {"int": of(1)}, {"bytes": []byte("b")}},
		"b c": {{"int": object{"$nin": []uint16{1}}}, {"$not": object{"string": text("x")}}, {"$or": []map[string]any{{"int": 2}, {"int": nil}}}},
		"":    {{"int": object{"$in": []string(nil)}}, {"any": []string{"x"}}},
	} {
		for _, m := range list {
			f, err := store.ParseFilter(m)
			require.NoError(t, err, m)
			require.Equal(t, want, foundBy(t, b, f), m)
		}
	}
	f, err := store.ParseFilter(object{"int": json.Number("9007199254740993")})
	require.NoError(t, err)
	big := kindsBucket(t, kindsDefinition(), store.Fields{"id": "even", "int": 1 << 53}, store.Fields{"id": "odd", "int": 1<<53 + 1})
	require.Equal(t, "odd", foundBy(t, big, f))
}

// TestParseFilterRefuses: a mistake is an error that names the field.
func TestParseFilterRefuses(t *testing.T) {
	for _, c := range []struct {
		field string
		m     object
	}{
		{"", object{"$gt": 1}},
		{"", object{"$where": "x"}},
		{"", object{"$": 1}},
		{"", object{"$AND": []any{}}},
		{"", object{"$and": object{"a": 1}}},
		{"", object{"$and": []any{1}}},
		{"", object{"$and": []any{object{}, nil}}},
		{"", object{"$or": "x"}},
		{"", object{"$or": nil}},
		{"", object{"$or": []byte("x")}},
		{"", object{"$or": []any{[]any{}}}},
		{"", object{"$not": []any{object{}}}},
		{"", object{"$not": nil}},
		{"", object{"$not": 1}},
		{"", object{"$or": []any{object{"$nor": []any{}}}}},
		{"a", object{"a": object{"$foo": 1}}},
		{"a", object{"a": object{"$and": []any{}}}},
		{"a", object{"a": object{"$GT": 1}}},
		{"a", object{"a": object{"$gt": 1, "b": 2}}},
		{"a", object{"a": object{"$in": 1}}},
		{"a", object{"a": object{"$in": "abc"}}},
		{"a", object{"a": object{"$in": nil}}},
		{"a", object{"a": object{"$nin": object{"0": 1}}}},
		{"a", object{"a": object{"$nin": []byte("x")}}},
		{"a", object{"a": object{"$between": []any{1}}}},
		{"a", object{"a": object{"$between": []any{1, 2, 3}}}},
		{"a", object{"a": object{"$between": 1}}},
		{"a", object{"a": object{"$exists": 1}}},
		{"a", object{"a": object{"$exists": "true"}}},
		{"a", object{"a": object{"$exists": nil}}},
		{"a", object{"a": object{"$exists": []any{}}}},
		{"a", object{"a": object{"$not": 1}}},
		{"a", object{"a": object{"$not": object{}}}},
		{"a", object{"a": object{"$not": object{"b": 1}}}},
		{"a", object{"a": object{"$not": object{"$gt": 1, "b": 1}}}},
		{"a.b", object{"$or": []any{object{"x": 1}, object{"$not": object{"a.b": object{"$like": "x"}}}}}},
	} {
		_, err := store.ParseFilter(c.m)
		refused(t, err, "", c.field, "%v", c.m)
	}
	// What is wrong with a value is known when a bucket is asked.
	b := someKinds(t)
	for field, m := range map[string]object{
		"string":   {"string": object{"$startsWith": 1}},
		"int":      {"int": object{"$gt": nil}},
		"float":    {"float": object{"$between": []any{2, 1}}},
		"array":    {"array": object{"$endsWith": "x"}},
		"nope":     {"nope": object{"$exists": false}},
		"any":      {"any": math.NaN()},
		"string.x": {"string.x": nil},
	} {
		f, err := store.ParseFilter(m)
		require.NoError(t, err)
		refusedFilter(t, b, field, f)
	}
}

// fuzzRows are records for queries by chance: every type, absent values, equal
// ones and limits.
func fuzzRows() []store.Fields {
	rows := kindsRows()
	for i, f := range []float64{math.Inf(-1), -0.5, 0, 1, 18.5, 1 << 53, math.Inf(1)} {
		id := string(rune('d' + i))
		rows = append(rows, store.Fields{
			"id": id, "string": id[:i%2], "int": int(min(max(f, -9e18), 9e18)), "float": f, "number": f, "bool": i%3 == 0, "date": i * 1e9,
			"bytes": []byte{byte(i / 2)}, "object": object{"k": i % 3, "l": []any{f}}, "array": []any{i % 2, id}, "any": []any{nil, f, id, i > 2, []byte(id), []any{i}, object{"k": i}}[i],
		})
	}
	return rows
}

// FuzzParseFilter: any JSON is a *QueryError or a filter that has one answer,
// with indexes and without, of which Not has the rest.
func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		`{"int":{"$gt":1,"$lte":9007199254740993},"string":"x"}`, `{"$or":[{"int":1},{"bool":true},{"$not":{"date":{"$gte":"2001-01-01"}}}]}`,
		`{"float":{"$between":[-0.5,"Infinity"]},"any":{"$ne":null}}`, `{"string":{"$startsWith":"d"},"id":{"$in":["d","e",null]}}`, `{"array":{"$contains":1},"array.1":{"$contains":"D"}}`,
		`{"object.k":{"$lt":2},"object.l.0":{"$exists":true}}`, `{"bytes":{"$gt":"AQ=="},"bool":{"$nin":[true]}}`, `{"number":{"$not":{"$in":[1,18.5]}},"_version":1}`, `{"$and":[{"nope":1}]}`, `{"int":{"$in":[]}}`,
		`{"id":{"$gte":"d","$lt":"g"},"int":{"$gte":-1e18}}`, `{"string":"","float":{"$lt":1e400}}`, `{"bool":false,"date":{"$lt":3000000000},"number":0}`, `{"any":{"$contains":"D"}}`, `{"any":[[]]}`,
	} {
		f.Add([]byte(seed))
	}
	both := kindsBoth(f, fuzzRows()...)
	f.Fuzz(func(t *testing.T, data []byte) {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var m object
		if dec.Decode(&m) != nil {
			return
		}
		var qe *store.QueryError
		filter, err := store.ParseFilter(m)
		if err != nil {
			require.ErrorAs(t, err, &qe)
			return
		}
		_, err = both["scan"].Where(filter).All()
		if err != nil {
			require.ErrorAs(t, err, &qe)
			require.Equal(t, "kinds", qe.Bucket)
			_, again := both["index"].Where(filter).All()
			require.Equal(t, err, again)
			return
		}
		found := foundBy(t, both["scan"], filter)
		require.Equal(t, found, foundBy(t, both["index"], filter))
		require.Equal(t, found, foundBy(t, both["index"], store.And(filter)))
		rest := foundBy(t, both["index"], store.Not(filter))
		require.Equal(t, rest, foundBy(t, both["scan"], store.Not(filter)))
		require.Len(t, strings.Fields(found+" "+rest), len(fuzzRows()))
	})
}

// FuzzCursor: any text is ErrCursor, or the place before an end of the whole
// answer. With a whole number it is the body of a cursor with the right head and
// checksum, which the fuzzing engine would not find.
func FuzzCursor(f *testing.F) {
	def := kindsDefinition()
	def.Indexes = kindsIndexes()
	rows := fuzzRows()
	b := kindsBucket(f, def, rows...)
	def.Ordered = true
	ordered := kindsBucket(f, def, rows...)
	queries, next := cursors(f, b)
	more, follow := cursors(f, ordered)
	queries, next = append(queries, more...), append(next, follow...)
	for i, c := range next {
		f.Add(byte(i), false, []byte(c))
		f.Add(byte(i), true, []byte("\x01\x20\x61\x00\x00\x30\x80\x00"))
		forge(c, func(body []byte) []byte { f.Add(byte(i), true, body[17:]); return body })
	}
	f.Fuzz(func(t *testing.T, which byte, whole bool, data []byte) {
		i := int(which) % len(queries)
		c := store.Cursor(data)
		if whole {
			c = forge(next[i], func(body []byte) []byte { return append(body[:17:17], data...) })
		}
		all, err := queries[i].All()
		require.NoError(t, err)
		page, err := queries[i].Page(len(all), c)
		if err != nil {
			require.ErrorIs(t, err, store.ErrCursor)
			return
		}
		require.False(t, page.HasMore)
		require.Equal(t, all[len(all)-len(page.Records):], append(all[:0:0], page.Records...))
		// In steps of two it is the same.
		var steps []store.Record
		for n := 0; n <= len(all); n++ {
			step, err := queries[i].Page(2, c)
			require.NoError(t, err)
			steps = append(steps, step.Records...)
			if c = step.Next; c == "" {
				break
			}
		}
		require.Equal(t, append(all[:0:0], page.Records...), append(all[:0:0], steps...))
	})
}
