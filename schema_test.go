package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type (
	text    string
	small   int8
	numeric float32
	moment  time.Time
	blob    []byte
	place   struct {
		City string `json:"city"`
		Zip  int    `json:"zip"`
	}
)

func of[T any](v T) *T { return &v }

func schemaStore(t testing.TB, opts ...store.Options) *store.Store {
	t.Helper()
	opt := store.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if len(opts) > 0 {
		opt = opts[0]
	}
	s, err := store.Open(context.Background(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// soon is a context for calls that a defect could keep busy for ever.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// issues returns what a ValidationError or DefinitionError lists, as "field code".
func issues(t testing.TB, err error) []string {
	t.Helper()
	var list []store.Issue
	var ve *store.ValidationError
	var de *store.DefinitionError
	switch {
	case errors.As(err, &ve):
		list = ve.Issues
	case errors.As(err, &de):
		list = de.Issues
	default:
		require.Failf(t, "no list of issues", "%v", err)
	}
	out := make([]string, len(list))
	for i, is := range list {
		require.NotEmpty(t, is.Message)
		out[i] = is.Field + " " + string(is.Code)
	}
	return out
}

// fieldBucket has a key that nobody needs to give, and the field f.
func fieldBucket(t testing.TB, s *store.Store, name string, f store.Field) *store.Bucket {
	t.Helper()
	b, err := s.DefineBucket(context.Background(), name, store.Definition{
		Key: "id", Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "f": f},
	})
	require.NoError(t, err)
	return b
}

func count(t testing.TB, b *store.Bucket, filters ...store.Filter) int {
	t.Helper()
	n, err := b.Count(filters...)
	require.NoError(t, err)
	return n
}

func TestTypesAccept(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	prague := time.FixedZone("CET", 3600)
	noon := time.Date(2024, 2, 29, 11, 0, 0, 123456789, time.UTC)
	var nilMap map[string]any
	var nilList []string
	type row struct{ in, want any }
	for typ, rows := range map[store.Type][]row{
		store.String: {
			{"x", "x"}, {"", ""}, {"a\x00b", "a\x00b"}, {"žluťoučký", "žluťoučký"}, {text("n"), "n"}, {of("p"), "p"}, {of(text("pn")), "pn"},
		},
		store.Int: {
			{1, int64(1)},
			{int8(-1), int64(-1)},
			{int16(2), int64(2)},
			{int32(3), int64(3)},
			{int64(math.MinInt64), int64(math.MinInt64)},
			{uint(4), int64(4)},
			{uint8(255), int64(255)},
			{uint16(5), int64(5)},
			{uint32(6), int64(6)},
			{uint64(math.MaxInt64), int64(math.MaxInt64)},
			{3.0, int64(3)},
			{float32(3), int64(3)},
			{math.Copysign(0, -1), int64(0)},
			{-9223372036854775808.0, int64(math.MinInt64)},
			{json.Number("9007199254740993"), int64(9007199254740993)},
			{json.Number("1e3"), int64(1000)},
			{json.Number("9007199254740993.0"), int64(9007199254740993)},
			{small(7), int64(7)},
			{of(8), int64(8)},
			{time.Second, int64(time.Second)},
		},
		store.Float: {
			{1.5, 1.5},
			{1, 1.0},
			{int64(1 << 53), float64(1 << 53)},
			{math.Inf(1), math.Inf(1)},
			{math.Inf(-1), math.Inf(-1)},
			{float32(0.5), 0.5},
			{json.Number("0.1"), 0.1},
			{numeric(2), 2.0},
			{of(1.25), 1.25},
			{uint8(3), 3.0},
			{math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64},
		},
		store.Number: {
			{1, int64(1)},
			{1.0, 1.0},
			{1.5, 1.5},
			{int64(1<<53 + 1), int64(1<<53 + 1)},
			{math.Inf(1), math.Inf(1)},
			{json.Number("9007199254740993"), int64(9007199254740993)},
			{json.Number("1.0"), 1.0},
			{json.Number("1e400"[:4]), 1e40},
			{uint64(math.MaxInt64), int64(math.MaxInt64)},
			{float32(0.5), 0.5},
			{small(3), int64(3)},
			{json.Number("-9223372036854775808"), int64(math.MinInt64)},
		},
		store.Bool: {{true, true}, {false, false}, {of(true), true}},
		store.Object: {
			{map[string]any{"a": 1, "b": nil}, map[string]any{"a": int64(1), "b": nil}},
			{map[string]int{"a": 1}, map[string]any{"a": int64(1)}},
			{nilMap, map[string]any{}},
			{place{"Brno", 60200}, map[string]any{"city": "Brno", "zip": int64(60200)}},
			{of(place{"Brno", 1}), map[string]any{"city": "Brno", "zip": int64(1)}},
			{map[text]any{"k": []int{1}}, map[string]any{"k": []any{int64(1)}}},
		},
		store.Array: {
			{[]any{1, "a", nil}, []any{int64(1), "a", nil}},
			{[]string{"x"}, []any{"x"}},
			{nilList, []any{}},
			{[2]int{1, 2}, []any{int64(1), int64(2)}},
			{[]place{{"Brno", 1}}, []any{map[string]any{"city": "Brno", "zip": int64(1)}}},
			{[][]int{{1}, nil}, []any{[]any{int64(1)}, []any{}}},
		},
		store.Date: {
			{noon, noon},
			{noon.In(prague), noon},
			{"2024-02-29T11:00:00.123456789Z", noon},
			{"2024-02-29T12:00:00.123456789+01:00", noon},
			{"2024-02-29", noon.Truncate(24 * time.Hour)},
			{int64(1709204400123), noon.Truncate(time.Millisecond)},
			{1709204400123.0, noon.Truncate(time.Millisecond)},
			{json.Number("1709204400123"), noon.Truncate(time.Millisecond)},
			{of(noon), noon},
			{moment(noon), noon},
			{int64(-1), time.UnixMilli(-1).UTC()},
			{"0001-01-01", time.Time{}},
			{"9999-12-31T23:59:59.999999999Z", time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		},
		store.Bytes: {
			{[]byte{1, 2, 3}, []byte{1, 2, 3}},
			{"AQID", []byte{1, 2, 3}},
			{"", []byte{}},
			{[]byte(nil), []byte{}},
			{blob{1}, []byte{1}},
			{[3]byte{1, 2, 3}, []byte{1, 2, 3}},
			{json.RawMessage(`1`), []byte("1")},
		},
		store.Any: {
			{"x", "x"},
			{1, int64(1)},
			{1.5, 1.5},
			{true, true},
			{noon.In(prague), noon},
			{[]byte{1}, []byte{1}},
			{[]int{1}, []any{int64(1)}},
			{map[string]int{"a": 1}, map[string]any{"a": int64(1)}},
			{json.Number("9007199254740993"), int64(9007199254740993)},
			{math.Inf(-1), math.Inf(-1)},
		},
	} {
		b := fieldBucket(t, s, typ.String(), store.Field{Type: typ})
		for _, r := range rows {
			name := fmt.Sprintf("%s from %T %v", typ, r.in, r.in)
			rec, err := b.Insert(ctx, store.Fields{"f": r.in})
			require.NoError(t, err, name)
			require.Equal(t, r.want, rec.Get("f"), name)
			require.True(t, rec.Has("f"), name)
			// What comes out goes in again, by insert, by update and in a filter.
			again, err := b.Update(ctx, rec.Key(), rec.Map())
			require.NoError(t, err, name)
			require.Equal(t, r.want, again.Get("f"), name)
			again, err = b.Update(ctx, rec.Key(), store.Fields{"f": r.in})
			require.NoError(t, err, name)
			require.Equal(t, r.want, again.Get("f"), name)
			if typ != store.Any {
				require.Positive(t, count(t, b, store.Eq("f", r.in)), name)
			}
			stored, ok := b.Get(rec.Key())
			require.True(t, ok)
			require.Equal(t, again, stored)
		}
	}
}

func TestTypesRefuse(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	cycle := map[string]any{}
	cycle["again"] = cycle
	type row struct {
		in   any
		code store.Code
	}
	for typ, rows := range map[store.Type][]row{
		store.String: {{1, "type"}, {true, "type"}, {[]byte("x"), "type"}, {"\xff", "format"}, {json.Number("1"), "type"}, {time.Now(), "type"}, {map[string]any{}, "type"}, {make(chan int), "type"}},
		store.Int: {
			{1.5, "type"},
			{"1", "type"},
			{math.NaN(), "type"},
			{math.Inf(1), "max"},
			{uint64(math.MaxInt64 + 1), "max"},
			{9.3e18, "max"},
			{json.Number("9223372036854775808"), "max"},
			{json.Number("0.5"), "type"},
			{json.Number("x"), "format"},
			{true, "type"},
			{func() {}, "type"},
			{1i, "type"},
		},
		store.Float:  {{math.NaN(), "type"}, {float32(math.NaN()), "type"}, {int64(1<<53 + 1), "type"}, {json.Number("1e400"), "max"}, {json.Number("NaN"), "format"}, {"1.5", "type"}, {nilOf[func()](), "type"}},
		store.Number: {{math.NaN(), "type"}, {json.Number("1e400"), "max"}, {json.Number(""), "format"}, {uint64(math.MaxUint64), "max"}, {"1", "type"}, {[]int{1}, "type"}},
		store.Bool:   {{1, "type"}, {"true", "type"}, {0.0, "type"}},
		store.Object: {{[]any{}, "type"}, {"{}", "type"}, {1, "type"}, {map[int]string{}, "type"}, {map[string]any{"\xff": 1}, "format"}, {map[string]any{"a": "\xff"}, "format"}, {map[string]any{"a": math.NaN()}, "type"}, {cycle, "max"}, {map[string]any{"c": make(chan int)}, "type"}},
		store.Array:  {{map[string]any{}, "type"}, {"[]", "type"}, {[]any{[]any{math.NaN()}}, "type"}, {[]byte{1}, "type"}, {[]func(){nil}, "type"}},
		store.Date: {
			{"2024-02-30", "format"},
			{"2023-02-29", "format"},
			{"2024-13-01", "format"},
			{"2024-1-1", "format"},
			{"", "format"},
			{"yesterday", "format"},
			{"2024-02-29T25:00:00Z", "format"},
			{"2024-02-29T11:00:00", "format"},
			{1.5, "type"},
			{true, "type"},
			{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "format"},
			{time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "format"},
			{int64(math.MaxInt64), "format"},
			{"0000-01-01", "format"},
			{math.Inf(1), "format"},
			{math.NaN(), "type"},
		},
		store.Bytes: {{"not base64!", "format"}, {"AQI", "format"}, {"AQI=\n", "format"}, {1, "type"}, {[]int{1}, "type"}},
		store.Any:   {{math.NaN(), "type"}, {"\xff", "format"}, {make(chan int), "type"}, {cycle, "max"}, {uint64(math.MaxUint64), "max"}, {[]any{math.NaN()}, "type"}, {func() {}, "type"}, {1i, "type"}},
	} {
		b := fieldBucket(t, s, typ.String(), store.Field{Type: typ})
		keep, err := b.Insert(ctx, nil)
		require.NoError(t, err)
		for _, r := range rows {
			name := fmt.Sprintf("%s from %T", typ, r.in)
			_, err := b.Insert(ctx, store.Fields{"f": r.in})
			require.Equal(t, []string{"f " + string(r.code)}, issues(t, err), name)
			_, err = b.Update(ctx, keep.Key(), store.Fields{"f": r.in})
			require.Equal(t, []string{"f " + string(r.code)}, issues(t, err), name)
		}
		require.Equal(t, 1, count(t, b))
		now, _ := b.Get(keep.Key())
		require.Equal(t, keep, now)
	}
}

func nilOf[T any]() (none T) { return none }

// A nil pointer is null in an Any field; it was a type error everywhere else.
func TestNilPointerIsAbsent(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	for typ := store.String; typ <= store.Any; typ++ {
		b := fieldBucket(t, s, typ.String(), store.Field{Type: typ})
		for _, in := range []any{nil, (*string)(nil), (*int)(nil), (*time.Time)(nil), (*map[string]any)(nil)} {
			r, err := b.Insert(ctx, store.Fields{"f": in})
			require.NoError(t, err, "%s from %T", typ, in)
			require.False(t, r.Has("f"), "%s from %T", typ, in)
			require.Nil(t, r.Get("f"))
		}
	}
}

func TestRules(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	day := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		name  string
		field store.Field
		good  []any
		bad   map[store.Code][]any
	}{
		{"enum of strings", store.Field{Type: store.String, Enum: []any{"a", text("b")}}, []any{"a", "b", nil}, map[store.Code][]any{"enum": {"", "A", "c"}}},
		{"enum of ints", store.Field{Type: store.Int, Enum: []any{1, 2.0, json.Number("9007199254740993")}}, []any{1, 2, 1.0, int64(9007199254740993)}, map[store.Code][]any{"enum": {0, 3, int64(9007199254740992)}}},
		{"enum of floats", store.Field{Type: store.Float, Enum: []any{0.5, 1}}, []any{0.5, 1.0, 1}, map[store.Code][]any{"enum": {0.25, 2}}},
		{"enum of numbers", store.Field{Type: store.Number, Enum: []any{1, 2.5}}, []any{1, 1.0, 2.5}, map[store.Code][]any{"enum": {2, 1.5}}},
		{"enum of dates", store.Field{Type: store.Date, Enum: []any{"2024-05-01", day.AddDate(0, 1, 0)}}, []any{day, "2024-06-01T02:00:00+02:00"}, map[store.Code][]any{"enum": {"2024-05-02"}}},
		{"enum of bools", store.Field{Type: store.Bool, Enum: []any{true}}, []any{true}, map[store.Code][]any{"enum": {false}}},
		{"enum of bytes", store.Field{Type: store.Bytes, Enum: []any{[]byte{1}, "Ag=="}}, []any{[]byte{1}, []byte{2}, "AQ=="}, map[store.Code][]any{"enum": {[]byte{3}, []byte{}}}},
		{"enum of arrays", store.Field{Type: store.Array, Enum: []any{[]int{1, 2}}}, []any{[]any{1.0, 2}}, map[store.Code][]any{"enum": {[]int{1}, []int{2, 1}}}},
		{"enum of objects", store.Field{Type: store.Object, Enum: []any{map[string]int{"a": 1}}}, []any{map[string]any{"a": 1}}, map[store.Code][]any{"enum": {map[string]any{}, map[string]any{"a": 1, "b": nil}}}},
		{"enum of any", store.Field{Type: store.Any, Enum: []any{1, "a"}}, []any{1, 1.0, "a"}, map[store.Code][]any{"enum": {"1", true, []any{1}}}},
		{"int bounds", store.Field{Type: store.Int, Min: store.Bound(-1), Max: store.Bound(2.5)}, []any{-1, 2, 0}, map[store.Code][]any{"min": {-2, int64(math.MinInt64)}, "max": {3, int64(math.MaxInt64)}}},
		{"exact bounds", store.Field{Type: store.Number, Min: store.Bound(int64(1<<53 + 1)), Max: store.Bound(int64(math.MaxInt64))}, []any{int64(1<<53 + 1), float64(1<<53 + 2)}, map[store.Code][]any{"min": {int64(1 << 53), float64(1 << 53)}, "max": {math.Inf(1), float64(1 << 63)}}},
		{"float bounds", store.Field{Type: store.Float, Min: store.Bound(0), Max: store.Bound(math.Inf(1))}, []any{0, math.Copysign(0, -1), math.Inf(1)}, map[store.Code][]any{"min": {-math.SmallestNonzeroFloat64, math.Inf(-1)}}},
		{"runes", store.Field{Type: store.String, MinLength: 2, MaxLength: 3}, []any{"žž", "ab", "日本語", "👩👩👩"}, map[store.Code][]any{"minLength": {"", "ž", "👩"}, "maxLength": {"abcd", "žžžž", "👩👩👩👩"}}},
		{"bytes length", store.Field{Type: store.Bytes, MinLength: 1, MaxLength: 2}, []any{[]byte{0}, "AQI="}, map[store.Code][]any{"minLength": {[]byte{}, ""}, "maxLength": {[]byte{1, 2, 3}}}},
		{"array length", store.Field{Type: store.Array, MinLength: 1, MaxLength: 2}, []any{[]any{nil}, []int{1, 2}}, map[store.Code][]any{"minLength": {[]any{}, []string(nil)}, "maxLength": {[]int{1, 2, 3}}}},
		{"pattern", store.Field{Type: store.String, Pattern: "b+"}, []any{"abc"}, map[store.Code][]any{"pattern": {"", "ac"}}},
		{"anchored", store.Field{Type: store.String, Pattern: `^\p{L}{2}$`}, []any{"žé"}, map[store.Code][]any{"pattern": {"a", "abc", "ab\n"}}},
		{"email", store.Field{Type: store.String, Format: store.Email}, []any{"a@example.com"}, map[store.Code][]any{"format": {"", "a@", "@b.c", "a b@example.com"}}},
		{"url", store.Field{Type: store.String, Format: store.URL}, []any{"https://example.com/x?y"}, map[store.Code][]any{"format": {"", "example.com", "/x"}}},
		{"iso date", store.Field{Type: store.String, Format: store.ISODate}, []any{"2024-02-29", "2024-02-29T10:00:00Z"}, map[store.Code][]any{"format": {"", "2023-02-29", "2024-02-30"}}},
		{"required", store.Field{Type: store.String, Required: true}, []any{"", "x"}, map[store.Code][]any{"required": {nil}}},
	} {
		b := fieldBucket(t, s, fmt.Sprint("b", i), c.field)
		for _, in := range c.good {
			r, err := b.Insert(ctx, store.Fields{"f": in})
			require.NoError(t, err, "%s: %v", c.name, in)
			_, err = b.Update(ctx, r.Key(), store.Fields{"f": in})
			require.NoError(t, err, "%s: %v", c.name, in)
		}
		n := count(t, b)
		last, err := b.Last(1)
		require.NoError(t, err)
		for code, list := range c.bad {
			for _, in := range list {
				_, err := b.Insert(ctx, store.Fields{"f": in})
				require.Equal(t, []string{"f " + string(code)}, issues(t, err), "%s: %v", c.name, in)
				_, err = b.Update(ctx, last[0].Key(), store.Fields{"f": in})
				require.Equal(t, []string{"f " + string(code)}, issues(t, err), "%s: %v", c.name, in)
				_, err = b.UpdateMany(ctx, store.Fields{"f": in})
				require.Equal(t, []string{"f " + string(code)}, issues(t, err), "%s: %v", c.name, in)
			}
		}
		require.Equal(t, n, count(t, b))
		now, _ := b.Get(last[0].Key())
		require.Equal(t, last[0], now)
	}
}

// "ValidationError lists everything that is wrong with a record": a value that
// broke two rules of its field was reported for the first one only.
func TestEveryRuleOfAFieldIsReported(t *testing.T) {
	b := fieldBucket(t, schemaStore(t), "b", store.Field{Type: store.String, MinLength: 8, Pattern: `\d`, Format: store.Email})
	_, err := b.Insert(context.Background(), store.Fields{"f": "short"})
	got := issues(t, err)
	slices.Sort(got)
	require.Equal(t, []string{"f format", "f minLength", "f pattern"}, got)
}

func TestIssuesComeInFieldOrderAllAtOnce(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "m", Schema: store.Schema{
		"m": {Type: store.String}, "a": {Type: store.Int, Min: store.Bound(0)}, "z": {Type: store.String, Required: true},
		"c": {Type: store.String, Pattern: "x"}, "y": {Type: store.Date}, "b": {Type: store.Int, Max: store.Bound(0)},
		"d": {Type: store.Array, MaxLength: 1}, "e": {Type: store.String, Enum: []any{"q"}}, "f": {Type: store.String, Format: store.URL}, "g": {Type: store.Bytes, MinLength: 2},
	}})
	require.NoError(t, err)
	in := store.Fields{"zz": 1, "aa": 2, "a": -1, "b": 1, "c": "", "d": []int{1, 2}, "e": "w", "f": "/", "g": "", "y": true, "_version": "ignored", "_createdAt": make(chan int)}
	want := []string{"a min", "b max", "c pattern", "d maxLength", "e enum", "f format", "g minLength", "m required", "y type", "z required", "aa unknown", "zz unknown"}
	for range 20 { // maps iterate at random
		_, err = b.Insert(ctx, in)
		require.Equal(t, want, issues(t, err))
	}
	_, err = b.Insert(ctx, store.Fields{"m": "k", "z": "z"})
	require.NoError(t, err)
	in["z"], in["m"] = nil, 17
	want = slices.DeleteFunc(want, func(s string) bool { return s == "m required" }) // the key is ignored
	for range 20 {
		_, err = b.Update(ctx, "k", in)
		require.Equal(t, want, issues(t, err))
		_, err = b.UpdateMany(ctx, in)
		require.Equal(t, want, issues(t, err))
	}
	var ve *store.ValidationError
	require.ErrorAs(t, err, &ve)
	require.Equal(t, "b", ve.Bucket)
	for _, is := range ve.Issues {
		require.Contains(t, err.Error(), is.Field+": "+is.Message)
	}
}

// Errors name bucket, field and rule, never a stored value.
func TestErrorsDoNotQuoteValues(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "s": {Type: store.String, Pattern: "x", Unique: true}, "n": {Type: store.Int, Max: store.Bound(1)}, "d": {Type: store.Date}, "y": {Type: store.Bytes}, "f": {Type: store.Float},
	}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": "secret", "s": "secret", "n": 87654, "d": "secret", "y": "secret!", "f": json.Number("secret")})
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "87654")
	_, err = b.Insert(ctx, store.Fields{"id": "secret", "s": "x-secret"})
	require.NoError(t, err)
	for _, f := range []store.Fields{{"id": "secret"}, {"id": "2", "s": "x-secret"}} {
		_, err = b.Insert(ctx, f)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err = b.Update(ctx, "secret-key", nil)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NotContains(t, err.Error(), "secret")
}

func TestJSONInput(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{
		"id": {Type: store.Int}, "n": {Type: store.Number}, "f": {Type: store.Float}, "s": {Type: store.String}, "ok": {Type: store.Bool},
		"o": {Type: store.Object}, "l": {Type: store.Array}, "d": {Type: store.Date}, "y": {Type: store.Bytes}, "x": {Type: store.Any},
	}})
	require.NoError(t, err)
	const input = `{"id": 7, "n": 9007199254740993, "f": 0.1, "s": "ž", "ok": false, "o": {"deep": [1, 2.5, null]}, "l": [9007199254740993], "d": "2024-02-29", "y": "AQID", "x": 1, "more": {"kept": 9007199254740993}}`
	for _, useNumber := range []bool{true, false} {
		dec := json.NewDecoder(strings.NewReader(input))
		if useNumber {
			dec.UseNumber()
		}
		var in store.Fields
		require.NoError(t, dec.Decode(&in))
		r, err := b.Insert(ctx, in)
		require.NoError(t, err)
		big, one := any(int64(9007199254740993)), any(int64(1))
		if !useNumber {
			big, one = 9007199254740992.0, 1.0
		}
		require.Equal(t, int64(7), r.Get("id"))
		require.Equal(t, store.IntKey(7), r.Key())
		require.Equal(t, big, r.Get("n"))
		require.Equal(t, 0.1, r.Get("f"))
		require.Equal(t, map[string]any{"deep": []any{one, 2.5, nil}}, r.Get("o"))
		require.Equal(t, []any{big}, r.Get("l"))
		require.Equal(t, []byte{1, 2, 3}, r.Get("y"))
		require.Equal(t, one, r.Get("x"))
		require.Equal(t, map[string]any{"kept": big}, r.Get("more"))
		// The record's own JSON goes in again.
		out, err := json.Marshal(r)
		require.NoError(t, err)
		dec = json.NewDecoder(bytes.NewReader(out))
		dec.UseNumber()
		var back store.Fields
		require.NoError(t, dec.Decode(&back))
		require.Contains(t, back, "_version")
		require.NoError(t, b.Delete(ctx, 7))
		again, err := b.Insert(ctx, back)
		require.NoError(t, err)
		again2, err := json.Marshal(again)
		require.NoError(t, err)
		var m1, m2 map[string]any
		require.NoError(t, json.Unmarshal(out, &m1))
		require.NoError(t, json.Unmarshal(again2, &m2))
		for _, k := range []string{"_createdAt", "_updatedAt"} {
			require.Contains(t, m2, k)
			delete(m1, k)
			delete(m2, k)
		}
		require.Equal(t, m1, m2)
		require.NoError(t, b.Clear(ctx))
	}
}

func TestLimits(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t, store.Options{MaxDepth: 3, MaxValueBytes: 1000})
	nest := func(n int) any {
		var v any = 1
		for i := range n {
			if i%2 == 0 {
				v = []any{v}
			} else {
				v = map[string]any{"k": v}
			}
		}
		return v
	}
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "s": {Type: store.String}, "y": {Type: store.Bytes}, "o": {Type: store.Object}, "l": {Type: store.Array}, "x": {Type: store.Any},
	}})
	require.NoError(t, err)
	long := strings.Repeat("x", 2000)
	list := make([]int, 100000)
	_, err = b.Insert(ctx, store.Fields{"l": nest(3), "x": nest(3), "extra": nest(3), "s": long[:900], "y": []byte(long[:900])})
	require.NoError(t, err)
	for _, in := range []store.Fields{
		{"l": nest(5)},
		{"x": nest(4)},
		{"extra": nest(4)},
		{"o": nest(4)},
		{"l": nest(100001)},
		{"x": nest(100000)},
		{"l": list},
		{"x": list},
		{"extra": list},
		{"x": long},
		{"extra": long},
		{"o": map[string]any{long: 1}},
		{"y": []byte(long)},
		{"s": long},
	} {
		for name := range in {
			_, err := b.Insert(ctx, in)
			require.Error(t, err, "%s of %T", name, in[name])
			require.Equal(t, []string{name + " max"}, issues(t, err), "%s of %T", name, in[name])
			require.Less(t, len(err.Error()), 300)
			_, err = b.Update(ctx, 1, in)
			require.Equal(t, []string{name + " max"}, issues(t, err))
		}
	}
	require.Equal(t, 1, count(t, b))
	// A string is bounded in a typed bucket as in a dynamic one.
	type doc struct {
		ID string `store:"id,key,generated=uuid"`
		S  string
		Y  []byte
		L  []int
		X  any
	}
	docs, err := store.Define[doc](ctx, s, "docs")
	require.NoError(t, err)
	for name, d := range map[string]doc{"S": {S: long}, "Y": {Y: []byte(long)}, "L": {L: list}, "X": {X: nest(4)}} {
		_, err := docs.Insert(ctx, d)
		require.Equal(t, []string{name + " max"}, issues(t, err))
	}
}

func TestDefaults(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	calls := 0
	shared := map[string]any{"n": 1}
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "s": {Type: store.String, Default: "x", Required: true}, "i": {Type: store.Int, Default: 3.0},
		"o": {Type: store.Object, Default: shared}, "l": {Type: store.Array, Default: []string{"a"}}, "y": {Type: store.Bytes, Default: "AQ=="}, "d": {Type: store.Date, Default: "2024-02-29"},
		"fn": {Type: store.Any, Default: func() any { calls++; return shared }}, "nothing": {Type: store.Int, Default: func() any { return nil }}, "ok": {Type: store.Bool, Default: false},
	}})
	require.NoError(t, err)
	shared["n"] = 2
	r, err := b.Insert(ctx, store.Fields{"i": nil})
	require.NoError(t, err)
	want := map[string]any{
		"id": int64(1), "s": "x", "i": int64(3), "o": map[string]any{"n": int64(1)}, "l": []any{"a"}, "y": []byte{1}, "d": time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"fn": map[string]any{"n": int64(2)}, "ok": false,
	}
	strip := func(m map[string]any) map[string]any {
		for _, k := range []string{"_version", "_createdAt", "_updatedAt"} {
			require.Contains(t, m, k)
			delete(m, k)
		}
		return m
	}
	require.Equal(t, want, strip(r.Map()))
	r.Get("o").(map[string]any)["n"] = 7
	r.Get("y").([]byte)[0] = 7
	r, err = b.Insert(ctx, store.Fields{"ok": true, "s": ""})
	require.NoError(t, err)
	want["id"], want["ok"], want["s"] = int64(2), true, ""
	require.Equal(t, want, strip(r.Map()))
	require.Equal(t, 2, calls)
	// Defaults are for inserts; an update may clear the field.
	r, err = b.Update(ctx, 2, store.Fields{"l": nil, "fn": nil})
	require.NoError(t, err)
	require.False(t, r.Has("l"))
	require.Equal(t, 2, calls)
	_, err = b.Update(ctx, 2, store.Fields{"s": nil})
	require.Equal(t, []string{"s required"}, issues(t, err))
}

func TestDefaultFunctionsThatFail(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		field store.Field
		want  string // issue; empty: a panic
	}{
		"panics":   {store.Field{Type: store.String, Default: func() any { panic(boom) }}, ""},
		"type":     {store.Field{Type: store.String, Default: func() any { return 1 }}, "f type"},
		"rule":     {store.Field{Type: store.Int, Max: store.Bound(1), Default: func() any { return 2 }}, "f max"},
		"required": {store.Field{Type: store.Int, Required: true, Default: func() any { return nil }}, "f required"},
		"utf8":     {store.Field{Type: store.String, Default: func() any { return "\xff" }}, "f format"},
		"function": {store.Field{Type: store.Object, Default: func() any { return func() {} }}, "f type"},
	} {
		b := fieldBucket(t, s, name, c.field)
		_, err := b.Insert(ctx, nil)
		require.Error(t, err, name)
		if c.want == "" {
			var pe *store.PanicError
			require.ErrorAs(t, err, &pe)
			require.ErrorIs(t, err, boom)
		} else {
			require.Equal(t, []string{c.want}, issues(t, err), name)
		}
		_, err = b.InsertMany(ctx, []store.Fields{{"f": nil}, nil})
		require.Error(t, err, name)
		require.Zero(t, count(t, b))
	}
}

// A nil func() any was taken as a default and panicked out of Insert.
func TestNilDefaultFunction(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "f": {Type: store.String, Default: (func() any)(nil)}}})
	if err != nil {
		require.Equal(t, []string{"f type"}, issues(t, err))
		return
	}
	require.NotPanics(t, func() { _, err = b.Insert(ctx, store.Fields{"id": "a"}) })
	require.NoError(t, err)
}

func TestGenerators(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2024, 2, 29, 23, 59, 59, 987654321, time.FixedZone("CET", 3600))
	s := schemaStore(t, store.Options{Clock: func() time.Time { return now }})
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String, Generated: store.UUID, Default: "never"}, "c": {Type: store.String, Generated: store.CUID, Unique: true},
		"i": {Type: store.Int, Generated: store.Autoincrement}, "n": {Type: store.Number, Generated: store.Autoincrement, Min: store.Bound(1)},
		"td": {Type: store.Date, Generated: store.Timestamp}, "ti": {Type: store.Int, Generated: store.Timestamp}, "tn": {Type: store.Number, Generated: store.Timestamp},
		"ts": {Type: store.String, Generated: store.Timestamp, Format: store.ISODate},
	}})
	require.NoError(t, err)
	ids := map[any]bool{}
	for i := range 100 {
		r, err := b.Insert(ctx, store.Fields{"id": nil})
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, r.Get("id"))
		require.Regexp(t, `^c[0-9a-z]{24}$`, r.Get("c"))
		require.False(t, ids[r.Get("id")] || ids[r.Get("c")])
		ids[r.Get("id")], ids[r.Get("c")] = true, true
		require.Equal(t, int64(i+1), r.Get("i"))
		require.Equal(t, int64(i+1), r.Get("n"))
		require.Equal(t, now.UTC(), r.Get("td"))
		require.Equal(t, now.UnixMilli(), r.Get("ti"))
		require.Equal(t, now.UnixMilli(), r.Get("tn"))
		parsed, err := time.Parse(time.RFC3339, r.Get("ts").(string))
		require.NoError(t, err)
		require.True(t, parsed.Equal(now))
	}
	// What is given is kept, and no update changes it.
	r, err := b.Insert(ctx, store.Fields{"id": "mine", "c": "c", "i": 500, "ti": 1, "td": "2020-01-01"})
	require.NoError(t, err)
	before := r.Map()
	r, err = b.Update(ctx, "mine", store.Fields{"id": 1, "c": "d", "i": "wrong type", "ti": nil, "td": nil, "ts": "x", "n": -1})
	require.NoError(t, err)
	after := r.Map()
	require.Equal(t, int64(2), after["_version"])
	delete(before, "_version")
	delete(after, "_version")
	require.Equal(t, before, after)
}

func TestAutoincrementNeverReuses(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "u": {Type: store.Int, Unique: true}, "s": {Type: store.String, Required: true}}})
	require.NoError(t, err)
	seen := map[int64]bool{}
	insert := func(f store.Fields) int64 {
		f["s"] = ""
		r, err := b.Insert(ctx, f)
		require.NoError(t, err)
		id := r.Get("id").(int64)
		require.False(t, seen[id], "%d was used before", id)
		seen[id] = true
		return id
	}
	require.Equal(t, int64(1), insert(store.Fields{}))
	insert(store.Fields{"u": 1})
	_, err = b.Insert(ctx, store.Fields{"s": "", "u": 1})
	require.Error(t, err)
	_, err = b.Insert(ctx, store.Fields{})
	require.Error(t, err)
	last := insert(store.Fields{})
	require.NoError(t, b.Delete(ctx, last))
	insert(store.Fields{})
	require.Equal(t, int64(100), insert(store.Fields{"id": 100}))
	require.Equal(t, int64(101), insert(store.Fields{"id": nil}))
	insert(store.Fields{"id": -5})
	insert(store.Fields{"id": 150.0}) // as JSON brings it
	require.Equal(t, int64(151), insert(store.Fields{}))
	require.NoError(t, b.Clear(ctx))
	require.Greater(t, insert(store.Fields{}), int64(151))
	rs, err := b.InsertMany(ctx, []store.Fields{{"s": ""}, {"s": "", "id": 300}, {"s": ""}})
	require.NoError(t, err)
	require.Equal(t, int64(301), rs[2].Get("id"))
	_, err = b.Upsert(ctx, store.Fields{"id": 400, "s": ""})
	require.NoError(t, err)
	require.Equal(t, int64(401), insert(store.Fields{}))
}

// A Number that JSON brought as a float64 did not raise the counter, which then
// gave the same number again.
func TestAutoincrementOfNumbersGivenAsFloats(t *testing.T) {
	ctx := context.Background()
	b := fieldBucket(t, schemaStore(t), "b", store.Field{Type: store.Number, Generated: store.Autoincrement, Unique: true})
	_, err := b.Insert(ctx, store.Fields{"f": 2.0})
	require.NoError(t, err)
	for range 3 {
		_, err := b.Insert(ctx, nil)
		require.NoError(t, err)
	}
}

// The largest number, even in an insert that was refused, made the counter wrap
// to negative numbers for ever.
func TestAutoincrementDoesNotWrap(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	define := func(name string) *store.Bucket {
		b, err := s.DefineBucket(ctx, name, store.Definition{Key: "id", Schema: store.Schema{
			"id": {Type: store.Int, Generated: store.Autoincrement}, "s": {Type: store.String},
		}})
		require.NoError(t, err)
		return b
	}
	t.Run("refused insert", func(t *testing.T) {
		b := define("refused")
		_, err := b.Insert(ctx, store.Fields{"id": int64(math.MaxInt64), "s": 17})
		require.Error(t, err)
		r, err := b.Insert(ctx, nil)
		require.NoError(t, err)
		require.Positive(t, r.Get("id"))
	})
	t.Run("exhausted", func(t *testing.T) {
		b := define("exhausted")
		_, err := b.Insert(ctx, store.Fields{"id": int64(math.MaxInt64)})
		require.NoError(t, err)
		for range 3 {
			r, err := b.Insert(ctx, nil)
			require.Error(t, err, "got the number %v", r.Get("id"))
		}
	})
}

func TestGenerateThenDefaultThenValidate(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	var order []string
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement, Max: store.Bound(2), Default: func() any { order = append(order, "id"); return 9 }},
		"a":  {Type: store.String, Required: true, MinLength: 3, Default: func() any { order = append(order, "a"); return "abc" }},
		"u":  {Type: store.String, Generated: store.UUID, Required: true, MaxLength: 36, MinLength: 36},
	}})
	require.NoError(t, err)
	for range 2 {
		_, err = b.Insert(ctx, nil)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a", "a"}, order)
	_, err = b.Insert(ctx, store.Fields{"a": "x"})
	require.Equal(t, []string{"a minLength", "id max"}, issues(t, err))
	require.Equal(t, []string{"a", "a"}, order)
}

func TestDefinitionErrorsAllAtOnce(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	_, err := s.DefineBucket(ctx, "bad.name", store.Definition{
		Key: "nokey",
		Schema: store.Schema{
			"": {Type: store.String}, "_version": {Type: store.Int}, "\xff": {Type: store.Int}, "none": {}, "odd": {Type: 99},
			"pat": {Type: store.String, Pattern: "("}, "pat2": {Type: store.Int, Pattern: "x"}, "mm": {Type: store.Int, Min: store.Bound(2), Max: store.Bound(1.5)},
			"mm2": {Type: store.String, Min: store.Bound(2)}, "nan": {Type: store.Float, Max: store.Bound(math.NaN())}, "len": {Type: store.String, MinLength: 3, MaxLength: 2},
			"len2": {Type: store.Int, MinLength: 1}, "len3": {Type: store.String, MaxLength: -1}, "enum": {Type: store.Int, Enum: []any{1, "2"}}, "enum2": {Type: store.String, Enum: []any{nil}},
			"def": {Type: store.Int, Default: "x"}, "def2": {Type: store.Int, Max: store.Bound(1), Default: 2}, "def3": {Type: store.String, Enum: []any{"a"}, Default: "b"},
			"gen": {Type: store.Int, Generated: store.UUID}, "gen2": {Type: store.String, Generated: store.Autoincrement}, "gen3": {Type: store.Bool, Generated: store.Timestamp}, "gen4": {Type: store.String, Generated: 77},
			"fmt": {Type: store.Int, Format: store.Email}, "fmt2": {Type: store.String, Format: 9}, "uniq": {Type: store.Object, Unique: true}, "obj": {Type: store.Object}, "ok": {Type: store.String},
		},
		Indexes: []store.Index{{}, {"missing"}, {"obj"}, {"ok", "ok"}, {"ok"}, {"ok"}},
	})
	got := issues(t, err)
	for _, field := range []string{
		"", "_version", "\xff", "none", "odd", "pat", "pat2", "mm", "mm2", "nan", "len", "len2", "len3", "enum", "enum2", "def", "def2", "def3", "gen", "gen2", "gen3", "gen4",
		"fmt", "fmt2", "uniq", "obj", "ok", "missing", "nokey",
	} {
		require.True(t, slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, field+" ") }), "%q is missing in %q", field, got)
	}
	require.Contains(t, err.Error(), "bad.name")
	require.False(t, s.HasBucket("bad.name"))
	require.GreaterOrEqual(t, strings.Count(strings.Join(got, "\n")+"\n", "ok type\n"), 2)
}

func TestDefinitionRefused(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	id := store.Schema{"id": {Type: store.String}, "o": {Type: store.Object}, "x": {Type: store.Any}, "f": {Type: store.Float}}
	for i, d := range []store.Definition{
		{},
		{Key: "id"},
		{Schema: id},
		{Key: "o", Schema: id},
		{Key: "x", Schema: id},
		{Key: "f", Schema: id},
		{Key: "id", Schema: id, Indexes: []store.Index{{"x"}}},
		{Key: "id", Schema: id, Indexes: []store.Index{{"f", "o"}}},
		{Key: "id", Schema: id, Indexes: []store.Index{nil}},
	} {
		_, err := s.DefineBucket(ctx, fmt.Sprint("b", i), d)
		require.NotEmpty(t, issues(t, err), "%+v", d)
	}
	good := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}}}
	for _, name := range []string{"", "a.b", "*", "a*", "a\nb", "a\x00", "\xff", strings.Repeat("x", 201)} {
		_, err := s.DefineBucket(ctx, name, good)
		require.Equal(t, []string{" type"}, issues(t, err), "%q", name)
	}
	for _, name := range []string{"a", "a b", "ž", "日本", "$", "a/b", strings.Repeat("x", 200)} {
		_, err := s.DefineBucket(ctx, name, good)
		require.NoError(t, err, "%q", name)
	}
}

func TestManyFieldsAndIndexes(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	for _, n := range []int{31, 32, 33, 63, 64, 65, 130} {
		def := store.Definition{Key: "k", Extra: true, Schema: store.Schema{"k": {Type: store.Int}}}
		name := func(i int) string { return fmt.Sprintf("f%03d", i) }
		for i := range n {
			def.Schema[name(i)] = store.Field{Type: store.Int}
			if i < 60 {
				def.Indexes = append(def.Indexes, store.Index{name(n - 1 - i)})
			}
		}
		b, err := s.DefineBucket(ctx, fmt.Sprint("b", n), def)
		require.NoError(t, err)
		in := store.Fields{"k": 1, "extra": "e"}
		for i := 0; i < n; i += 2 {
			in[name(i)] = i
		}
		check := func(odd bool) {
			r, ok := b.Get(1)
			require.True(t, ok)
			require.Equal(t, "e", r.Get("extra"))
			for i := range n {
				require.Equal(t, (i%2 == 1) == odd, r.Has(name(i)), "%d of %d", i, n)
				want := 0
				if r.Has(name(i)) {
					want = 1
					require.Equal(t, int64(i), r.Get(name(i)))
				}
				require.Equal(t, want, count(t, b, store.Eq(name(i), i)), "%d of %d", i, n)
				require.Equal(t, 1-want, count(t, b, store.Eq(name(i), nil)), "%d of %d", i, n)
			}
		}
		old, err := b.Insert(ctx, in)
		require.NoError(t, err)
		check(false)
		snapshot := old.Map()
		swap := store.Fields{}
		for i := range n {
			swap[name(i)] = nil
			if i%2 == 1 {
				swap[name(i)] = i
			}
		}
		_, err = b.Update(ctx, 1, swap)
		require.NoError(t, err)
		check(true)
		require.Equal(t, snapshot, old.Map(), "the old version changed")
	}
	def := store.Definition{Key: "k", Ordered: true, Schema: store.Schema{"k": {Type: store.Int}}}
	for i := range 70 {
		f := fmt.Sprintf("f%02d", i)
		def.Schema[f] = store.Field{Type: store.Int, Unique: i%2 == 0}
		if i%2 == 1 {
			def.Indexes = append(def.Indexes, store.Index{f})
		}
	}
	_, err := s.DefineBucket(ctx, "many", def)
	require.Equal(t, []string{" type"}, issues(t, err))
	for i := range 8 {
		delete(def.Schema, fmt.Sprintf("f%02d", i*2))
	}
	b, err := s.DefineBucket(ctx, "many", def)
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"k": 1, "f69": 1, "f68": 1})
	require.NoError(t, err)
	_, err = b.Update(ctx, 1, store.Fields{"f69": 2, "f68": 2})
	require.NoError(t, err)
	require.Equal(t, 1, count(t, b, store.Eq("f69", 2)))
	require.Zero(t, count(t, b, store.Eq("f69", 1)))
	_, err = b.Insert(ctx, store.Fields{"k": 2, "f68": 1})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"k": 3, "f68": 2})
	var dup *store.UniqueError
	require.ErrorAs(t, err, &dup)
	require.Equal(t, "f68", dup.Field)
	require.Equal(t, int64(2), dup.Value)
}

func TestDefineTwiceDropAndStaleHandles(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "n": {Type: store.Int}}, Indexes: []store.Index{{"n"}}}
	b, err := s.DefineBucket(ctx, "b", def)
	require.NoError(t, err)
	_, err = s.DefineBucket(ctx, "b", def)
	require.ErrorIs(t, err, store.ErrBucketExists)
	old, err := b.Insert(ctx, store.Fields{"id": "a", "n": 1})
	require.NoError(t, err)
	require.NoError(t, s.DropBucket(ctx, "b"))
	require.ErrorIs(t, s.DropBucket(ctx, "b"), store.ErrBucketNotDefined)
	_, err = s.Bucket("b")
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	_, err = s.Definition("b")
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	_, err = store.Typed[struct{}](s, "b")
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	def.Schema["n"] = store.Field{Type: store.String}
	fresh, err := s.DefineBucket(ctx, "b", def)
	require.NoError(t, err)
	stale := map[string]func() error{
		"insert":     func() error { _, err := b.Insert(ctx, store.Fields{"id": "x"}); return err },
		"insertMany": func() error { _, err := b.InsertMany(ctx, []store.Fields{{"id": "x"}}); return err },
		"update":     func() error { _, err := b.Update(ctx, "a", nil); return err },
		"upsert":     func() error { _, err := b.Upsert(ctx, store.Fields{"id": "a"}); return err },
		"updateMany": func() error { _, err := b.UpdateMany(ctx, nil); return err },
		"delete":     func() error { return b.Delete(ctx, "a") },
		"deleteMany": func() error { _, err := b.DeleteMany(ctx); return err },
		"clear":      func() error { return b.Clear(ctx) },
		"count":      func() error { _, err := b.Count(); return err },
		"all":        func() error { _, err := b.Where().All(); return err },
	}
	for name, call := range stale {
		require.ErrorIs(t, call(), store.ErrBucketNotDefined, name)
	}
	_, ok := b.Get("a")
	require.False(t, ok, "a dropped bucket has no records")
	require.Equal(t, int64(1), old.Get("n"), "a record outlives its bucket")
	require.Zero(t, count(t, fresh))
	_, err = fresh.Insert(ctx, store.Fields{"id": "a", "n": "text"})
	require.NoError(t, err)
}

func TestDefinitionIsCopied(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	def := store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.String}, "n": {Type: store.Int, Min: store.Bound(0), Enum: []any{1, 2}}, "o": {Type: store.Object, Default: map[string]any{"l": []any{1}}},
			"y": {Type: store.Bytes, Default: []byte{1}, Enum: []any{[]byte{1}}},
		},
		Indexes: []store.Index{{"n"}},
	}
	b, err := s.DefineBucket(ctx, "b", def)
	require.NoError(t, err)
	spoil := func(d store.Definition) {
		d.Schema["n"].Enum[0] = 99
		*d.Schema["n"].Min = *store.Bound(50)
		d.Schema["o"].Default.(map[string]any)["l"].([]any)[0] = "spoiled"
		d.Schema["y"].Default.([]byte)[0] = 99
		d.Schema["y"].Enum[0].([]byte)[0] = 99
		d.Indexes[0][0] = "y"
		d.Indexes[0] = nil
		delete(d.Schema, "id")
		d.Schema["new"] = store.Field{Type: store.Int}
	}
	check := func() {
		t.Helper()
		require.NoError(t, b.Clear(ctx))
		r, err := b.Insert(ctx, store.Fields{"id": "a", "n": 1})
		require.NoError(t, err)
		require.Equal(t, map[string]any{"l": []any{int64(1)}}, r.Get("o"))
		require.Equal(t, []byte{1}, r.Get("y"))
		_, err = b.Insert(ctx, store.Fields{"id": "b", "n": 99})
		require.Equal(t, []string{"n enum"}, issues(t, err))
		d, err := s.Definition("b")
		require.NoError(t, err)
		require.Equal(t, "id", d.Key)
		require.Len(t, d.Schema, 4)
		require.Equal(t, []store.Index{{"n"}}, d.Indexes)
		require.Equal(t, []any{[]byte{1}}, d.Schema["y"].Enum)
		require.Equal(t, []byte{1}, d.Schema["y"].Default)
		require.Equal(t, "0", d.Schema["n"].Min.String())
	}
	spoil(def)
	check()
	d, err := s.Definition("b")
	require.NoError(t, err)
	spoil(d)
	check()
}

// A definition that came from a struct kept the struct's list of fields: one
// that was added to it was silently not there.
func TestDefinitionOfAStructCanBeExtended(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		N  int    `store:"n"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	_, err := store.Define[item](ctx, s, "items")
	require.NoError(t, err)
	d, err := s.Definition("items")
	require.NoError(t, err)
	d.Schema["added"] = store.Field{Type: store.Int}
	d.Indexes = append(d.Indexes, store.Index{"added"})
	b, err := s.DefineBucket(ctx, "more", d)
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": "a", "n": 1, "added": 7})
	require.NoError(t, err)
	require.Equal(t, 1, count(t, b, store.Eq("added", 7)))
	delete(d.Schema, "n")
	_, err = s.DefineBucket(ctx, "less", d)
	require.NoError(t, err)
}

func TestUpdateSemantics(t *testing.T) {
	ctx := context.Background()
	now := time.UnixMilli(1_000_000)
	s := schemaStore(t, store.Options{Clock: func() time.Time { return now }})
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{
		"id": {Type: store.String}, "s": {Type: store.String, Required: true}, "n": {Type: store.Int}, "g": {Type: store.Int, Generated: store.Autoincrement},
	}, Indexes: []store.Index{{"n"}}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": "a", "s": "x", "n": 1, "more": 1, "gone": 2})
	require.NoError(t, err)
	created := now.UTC()
	for i, step := range []struct {
		clock  int64
		fields store.Fields
		want   store.Fields
		upd    int64
	}{
		{2_000_000, store.Fields{"n": 2, "id": "other", "g": 99, "_version": 77, "_createdAt": 0, "_updatedAt": 0}, store.Fields{"s": "x", "n": int64(2), "more": int64(1), "gone": int64(2)}, 2_000_000},
		{500_000, store.Fields{"n": nil}, store.Fields{"s": "x", "more": int64(1), "gone": int64(2)}, 2_000_000},
		{2_000_001, store.Fields{"more": map[string]any{"x": 1}, "gone": nil, "new": "y"}, store.Fields{"s": "x", "more": map[string]any{"x": int64(1)}, "new": "y"}, 2_000_001},
		{-5_000_000, nil, store.Fields{"s": "x", "more": map[string]any{"x": int64(1)}, "new": "y"}, 2_000_001},
		{3_000_000, store.Fields{"s": "", "n": 5.0}, store.Fields{"s": "", "n": int64(5), "more": map[string]any{"x": int64(1)}, "new": "y"}, 3_000_000},
	} {
		now = time.UnixMilli(step.clock)
		r, err := b.Update(ctx, "a", step.fields)
		require.NoError(t, err)
		require.Equal(t, store.Version(i+2), r.Version())
		require.Equal(t, created, r.CreatedAt())
		require.Equal(t, time.UnixMilli(step.upd).UTC(), r.UpdatedAt())
		m := r.Map()
		for k, v := range map[string]any{"id": "a", "g": int64(1), "_version": int64(i + 2), "_createdAt": created.UnixMilli(), "_updatedAt": step.upd} {
			require.Equal(t, v, m[k])
			delete(m, k)
		}
		require.Equal(t, map[string]any(step.want), m)
	}
	_, err = b.Update(ctx, "a", store.Fields{"s": nil, "n": "x"})
	require.Equal(t, []string{"n type", "s required"}, issues(t, err))
	_, err = b.Update(ctx, "missing", store.Fields{"n": 1})
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = b.Patch(ctx, 17, store.Fields{"n": 1})
	require.ErrorIs(t, err, store.ErrNotFound)
	require.Equal(t, 1, count(t, b, store.Eq("n", 5)))
	r, _ := b.Get("a")
	require.Equal(t, store.Version(6), r.Version())
	strict := fieldBucket(t, s, "strict", store.Field{Type: store.Int})
	_, err = strict.Insert(ctx, nil)
	require.NoError(t, err)
	for name, call := range map[string]func() error{
		"update":     func() error { _, err := strict.Update(ctx, 1, store.Fields{"f": 1, "x": nil}); return err },
		"upsert":     func() error { _, err := strict.Upsert(ctx, store.Fields{"id": 1, "x": 1}); return err },
		"updateMany": func() error { _, err := strict.UpdateMany(ctx, store.Fields{"x": 1}); return err },
		"insert":     func() error { _, err := strict.Insert(ctx, store.Fields{"x": nil}); return err },
	} {
		require.Equal(t, []string{"x unknown"}, issues(t, call()), name)
	}
	require.Zero(t, count(t, strict, store.Eq("f", 1)))
}

// The name of an extra field is kept and written to JSON: it must be text.
func TestExtraFieldNames(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{"id": {Type: store.String}}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": "a", "\xff": 1})
	require.Error(t, err, "a name that is not UTF-8")
	r, err := b.Insert(ctx, store.Fields{"id": "b", "ž.$": 1, "_mine": 2, "nothing": nil})
	require.NoError(t, err)
	require.Equal(t, int64(1), r.Get("ž.$"))
	require.Equal(t, int64(2), r.Get("_mine"))
	require.False(t, r.Has("nothing"))
	require.NotContains(t, r.Map(), "nothing")
	_, err = b.Insert(ctx, store.Fields{"id": "c", "bad": math.NaN(), "worse": "\xff"})
	require.Equal(t, []string{"bad type", "worse format"}, issues(t, err))
}

func TestUpsert(t *testing.T) {
	ctx := soon(t)
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "n": {Type: store.Int, Default: 5}, "s": {Type: store.String}}})
	require.NoError(t, err)
	r, err := b.Upsert(ctx, store.Fields{"s": "new"})
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), int64(5), "new", store.Version(1)}, []any{r.Get("id"), r.Get("n"), r.Get("s"), r.Version()})
	r, err = b.Upsert(ctx, store.Fields{"id": 1, "n": 6})
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), int64(6), "new", store.Version(2)}, []any{r.Get("id"), r.Get("n"), r.Get("s"), r.Version()})
	r, err = b.Upsert(ctx, store.Fields{"id": 9, "s": "y"})
	require.NoError(t, err)
	require.Equal(t, []any{int64(9), int64(5), store.Version(1)}, []any{r.Get("id"), r.Get("n"), r.Version()})
	_, err = b.Upsert(ctx, store.Fields{"id": 9, "n": "x"})
	require.Equal(t, []string{"n type"}, issues(t, err))
	_, err = b.Upsert(ctx, store.Fields{"id": true})
	require.Equal(t, []string{"id type"}, issues(t, err))
	require.Equal(t, 2, count(t, b))
}

// A key in a form that Insert takes and Get does not made Upsert go round for
// ever: it was not found, inserted, refused as a duplicate, and so on.
func TestUpsertTakesEveryFormOfAKey(t *testing.T) {
	s := schemaStore(t)
	ints, err := s.DefineBucket(soon(t), "ints", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}})
	require.NoError(t, err)
	texts, err := s.DefineBucket(soon(t), "texts", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "n": {Type: store.Int}}})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		b   *store.Bucket
		key any
	}{
		"json.Number": {ints, json.Number("5")}, "pointer": {ints, of(6)}, "float": {ints, 7.0}, "named": {ints, small(8)}, "float32": {ints, float32(9)},
		"large float": {ints, 1e18}, "1e1": {ints, json.Number("1e1")}, "uint8": {ints, uint8(200)},
		"text": {texts, "a"}, "named text": {texts, text("b")}, "text pointer": {texts, of("c")},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 2 {
				r, err := c.b.Upsert(soon(t), store.Fields{"id": c.key, "n": i})
				require.NoError(t, err)
				require.Equal(t, store.Version(i+1), r.Version())
			}
		})
	}
}

func TestInsertManyIsAtomic(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "u": {Type: store.String, Unique: true}, "n": {Type: store.Int, Min: store.Bound(0)}, "m": {Type: store.Int},
	}, Indexes: []store.Index{{"n"}, {"n", "m"}}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": 1, "u": "taken", "n": 1})
	require.NoError(t, err)
	clean := func() {
		t.Helper()
		require.Equal(t, 1, count(t, b))
		for _, f := range []store.Filter{store.Eq("n", 7), store.Eq("u", "fresh"), store.Eq("id", 2), store.Eq("m", 8)} {
			require.Zero(t, count(t, b, f))
		}
		require.Zero(t, count(t, b, store.Eq("n", 7), store.Eq("m", 8)))
		_, ok := b.Get(2)
		require.False(t, ok)
		r, _ := b.Get(1)
		require.Equal(t, store.Version(1), r.Version())
	}
	_, err = b.InsertMany(ctx, []store.Fields{{"id": 2, "n": 7, "m": 8, "u": "fresh"}, {"n": -1}, {"id": 3, "u": 5, "z": 1}})
	require.Equal(t, []string{"[1].id required", "[1].n min", "[2].u type", "[2].z unknown"}, issues(t, err))
	clean()
	for _, second := range []store.Fields{{"id": 1}, {"id": 2}, {"id": 3, "u": "taken"}, {"id": 3, "u": "fresh"}} {
		_, err = b.InsertMany(ctx, []store.Fields{{"id": 2, "n": 7, "m": 8, "u": "fresh"}, second})
		var dup *store.UniqueError
		require.ErrorAs(t, err, &dup)
		clean()
	}
	out, err := b.InsertMany(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = b.InsertMany(ctx, []store.Fields{{"id": 2, "n": 7, "m": 8, "u": "fresh"}, {"id": 3, "u": nil}, {"id": 4}})
	require.NoError(t, err)
	require.Len(t, out, 3)
	require.Equal(t, 1, count(t, b, store.Eq("n", 7), store.Eq("m", 8)))
	require.Equal(t, 2, count(t, b, store.Eq("u", nil)))
}

func TestFailedWritesLeaveNothing(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "a": {Type: store.String, Unique: true}, "z": {Type: store.Date, Unique: true}, "n": {Type: store.Int, Max: store.Bound(10)},
	}, Indexes: []store.Index{{"n"}, {"n", "a"}}})
	require.NoError(t, err)
	_, err = b.InsertMany(ctx, []store.Fields{{"id": 1, "a": "one", "z": "2024-01-01", "n": 1}, {"id": 2, "a": "two", "z": "2024-01-02", "n": 1}})
	require.NoError(t, err)
	before, err := b.Where().All()
	require.NoError(t, err)
	var dup *store.UniqueError
	_, err = b.Update(ctx, 2, store.Fields{"n": 5, "a": "new", "z": "2024-01-01T00:00:00Z"})
	require.ErrorAs(t, err, &dup)
	require.Equal(t, "z", dup.Field)
	_, err = b.Insert(ctx, store.Fields{"id": 3, "n": 5, "a": "new", "z": "2024-01-01"})
	require.ErrorAs(t, err, &dup)
	_, err = b.UpdateMany(ctx, store.Fields{"a": "new", "n": 5})
	require.ErrorAs(t, err, &dup)
	_, err = b.UpdateMany(ctx, store.Fields{"n": 11, "a": "new"}, store.Eq("id", 1))
	require.Equal(t, []string{"n max"}, issues(t, err))
	_, err = b.Upsert(ctx, store.Fields{"id": 2, "n": 5, "a": "one"})
	require.ErrorAs(t, err, &dup)
	_, err = b.Upsert(ctx, store.Fields{"id": 7, "n": 5, "a": "one"})
	require.ErrorAs(t, err, &dup)
	_, err = b.UpdateMany(ctx, store.Fields{"n": 5}, store.Eq("nope", 1))
	var qe *store.QueryError
	require.ErrorAs(t, err, &qe)
	_, err = b.DeleteMany(ctx, store.Eq("n", "x"))
	require.ErrorAs(t, err, &qe)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = b.Insert(cancelled, store.Fields{"id": 5, "n": 5})
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.Update(cancelled, 1, store.Fields{"n": 5})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, b.Delete(cancelled, 1), context.Canceled)
	require.Zero(t, count(t, b, store.Eq("n", 5)))
	require.Zero(t, count(t, b, store.Eq("a", "new")))
	require.Zero(t, count(t, b, store.Eq("n", 5), store.Eq("a", "new")))
	require.Equal(t, 2, count(t, b, store.Eq("n", 1)))
	require.Equal(t, 1, count(t, b, store.Eq("a", "two")))
	after, err := b.Where().All()
	require.NoError(t, err)
	require.Equal(t, before, after)
	// A value that a failed write held for a moment is free.
	_, err = b.Insert(ctx, store.Fields{"id": 3, "a": "new"})
	require.NoError(t, err)
	n, err := b.UpdateMany(ctx, store.Fields{"n": 9, "id": 100}, store.Eq("n", 1))
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, 2, count(t, b, store.Eq("n", 9)))
	require.Zero(t, count(t, b, store.Eq("n", 1)))
	require.Zero(t, count(t, b, store.Eq("id", 100)))
}

// ±Inf is a value of Float and Number, so a record that holds it must have a
// JSON form.
func TestInfinityHasJSON(t *testing.T) {
	b := fieldBucket(t, schemaStore(t), "b", store.Field{Type: store.Float})
	r, err := b.Insert(context.Background(), store.Fields{"f": math.Inf(1)})
	require.NoError(t, err)
	_, err = json.Marshal(r)
	require.NoError(t, err)
}
