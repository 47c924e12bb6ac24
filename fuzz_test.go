package store_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func fuzzSchema() store.Schema {
	return store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "str": {Type: store.String, Unique: true}, "short": {Type: store.String, MinLength: 2, MaxLength: 4, Default: "dflt"},
		"pat": {Type: store.String, Pattern: `^a.*z$`}, "enum": {Type: store.String, Enum: []any{"a", "b", ""}}, "email": {Type: store.String, Format: store.Email}, "url": {Type: store.String, Format: store.URL},
		"iso": {Type: store.String, Format: store.ISODate}, "int": {Type: store.Int, Min: store.Bound(-10), Max: store.Bound(10.5)}, "big": {Type: store.Int}, "flo": {Type: store.Float, Min: store.Bound(-1.5)}, "flo2": {Type: store.Float},
		"num": {Type: store.Number}, "numEnum": {Type: store.Number, Enum: []any{1, 2.5}}, "bool": {Type: store.Bool}, "obj": {Type: store.Object}, "arr": {Type: store.Array, MinLength: 1, MaxLength: 3},
		"date": {Type: store.Date}, "bytes": {Type: store.Bytes, MaxLength: 4}, "any": {Type: store.Any}, "req": {Type: store.Bool, Required: true},
	}
}

var fuzzPattern = regexp.MustCompile(fuzzSchema()["pat"].Pattern)

// unsure is what the model answers where it has no opinion.
const unsure = store.Code("unsure")

// modelField says what a field makes of a value from JSON: the canonical value,
// or the code of the first rule that it breaks.
func modelField(f store.Field, v any) (any, store.Code) {
	if v == nil {
		return nil, ""
	}
	if depthOf(v) > 64 {
		return nil, unsure
	}
	str, isStr := v.(string)
	if f.Type == store.Float || f.Type == store.Number { // JSON has no number for these
		switch {
		case str == "Infinity" && f.Enum == nil:
			return math.Inf(1), ""
		case str == "-Infinity" && f.Enum == nil && f.Min == nil:
			return math.Inf(-1), ""
		case strings.HasSuffix(str, "Infinity"):
			return nil, unsure
		}
	}
	switch f.Type {
	case store.String:
		if !isStr {
			return nil, store.CodeType
		}
		n := utf8.RuneCountInString(str)
		switch {
		case n < f.MinLength:
			return nil, store.CodeMinLength
		case f.MaxLength > 0 && n > f.MaxLength:
			return nil, store.CodeMaxLength
		case f.Enum != nil && !slices.Contains(f.Enum, any(str)):
			return nil, store.CodeEnum
		case f.Format != 0:
			return str, unsure
		case f.Pattern != "" && !fuzzPattern.MatchString(str):
			return nil, store.CodePattern
		}
		return str, ""
	case store.Bool:
		if b, ok := v.(bool); ok {
			return b, ""
		}
		return nil, store.CodeType
	case store.Object:
		if _, ok := v.(map[string]any); !ok {
			return nil, store.CodeType
		}
	case store.Array:
		list, ok := v.([]any)
		switch {
		case !ok:
			return nil, store.CodeType
		case len(list) < f.MinLength:
			return nil, store.CodeMinLength
		case len(list) > f.MaxLength:
			return nil, store.CodeMaxLength
		}
	case store.Bytes:
		if !isStr {
			return nil, store.CodeType
		}
		b, err := base64.StdEncoding.Strict().DecodeString(str)
		switch {
		case err != nil || strings.ContainsAny(str, "\r\n"):
			return nil, store.CodeFormat
		case len(b) > f.MaxLength:
			return nil, store.CodeMaxLength
		}
		return b, ""
	case store.Date:
		switch {
		case isStr:
			for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
				if at, err := time.Parse(layout, str); err == nil && at.UTC().Year() >= 1 && at.UTC().Year() <= 9999 && !strings.Contains(str, ",") {
					return at.UTC(), ""
				}
			}
			return nil, unsure // refused, or with parts that time.Parse does not take
		case numberLike(v):
			n, code := modelInt(v)
			if code == "" {
				if at := time.UnixMilli(n).UTC(); n >= -62135596800000 && n <= 253402300799999 {
					return at, ""
				}
				return nil, store.CodeFormat
			}
			if code == store.CodeMax {
				code = store.CodeFormat
			}
			return nil, code
		}
		return nil, store.CodeType
	case store.Int:
		if !numberLike(v) {
			return nil, store.CodeType
		}
		n, code := modelInt(v)
		switch {
		case code != "":
			return nil, code
		case f.Min != nil && n < -10:
			return nil, store.CodeMin
		case f.Max != nil && n > 10:
			return nil, store.CodeMax
		}
		return n, ""
	case store.Float:
		if !numberLike(v) {
			return nil, store.CodeType
		}
		x, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		if err != nil {
			return nil, store.CodeMax
		}
		if f.Min != nil && x < -1.5 {
			return nil, store.CodeMin
		}
		return x, ""
	case store.Number:
		if !numberLike(v) {
			return nil, store.CodeType
		}
		n, code := modelAny(v)
		if code == "" && f.Enum != nil && n != int64(1) && n != 1.0 && n != 2.5 {
			return nil, store.CodeEnum
		}
		return n, code
	}
	return modelAny(v)
}

func numberLike(v any) bool {
	switch v.(type) {
	case json.Number, float64:
		return true
	}
	return false
}

func depthOf(v any) int {
	d := 0
	switch x := v.(type) {
	case map[string]any:
		for _, e := range x {
			d = max(d, depthOf(e))
		}
		return d + 1
	case []any:
		for _, e := range x {
			d = max(d, depthOf(e))
		}
		return d + 1
	}
	return 0
}

func modelInt(v any) (int64, store.Code) {
	var r big.Rat
	switch x := v.(type) {
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return 0, unsure
		}
		r.SetFloat64(x)
	case json.Number:
		if _, exp, ok := strings.Cut(strings.ToLower(string(x)), "e"); ok && len(exp) > 4 {
			return 0, unsure
		}
		if _, ok := r.SetString(string(x)); !ok {
			return 0, unsure
		}
	}
	switch {
	case !r.IsInt():
		return 0, store.CodeType
	case !r.Num().IsInt64():
		return 0, store.CodeMax
	}
	return r.Num().Int64(), ""
}

func modelAny(v any) (any, store.Code) {
	switch x := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(string(x), 10, 64); err == nil {
			return i, ""
		}
		f, err := strconv.ParseFloat(string(x), 64)
		if err != nil {
			return nil, store.CodeMax
		}
		return f, ""
	case map[string]any:
		out := map[string]any{}
		var bad store.Code
		for k, e := range x {
			c, code := modelAny(e)
			if code != "" {
				bad = code
			}
			out[k] = c
		}
		return out, bad
	case []any:
		out := make([]any, len(x))
		var bad store.Code
		for i, e := range x {
			c, code := modelAny(e)
			if code != "" {
				bad = code
			}
			out[i] = c
		}
		return out, bad
	}
	return v, ""
}

// FuzzSchemaInput: any JSON is an error or a record that is what the model makes
// of it; a failed write leaves nothing.
func FuzzSchemaInput(f *testing.F) {
	for _, seed := range []string{
		`{"req":true}`, `{"req":true,"str":"ž","short":"abcd","pat":"abz","enum":"","int":-10,"big":9007199254740993,"flo":-1.5,"num":1e3,"numEnum":2.5,"bool":false,"obj":{"a":[null,1.0]},"arr":[{}],"date":"2024-02-29","bytes":"AQID","any":{"x":1e400}}`,
		`{"req":null,"id":9223372036854775807,"int":11,"big":1e19,"flo":-1e309,"date":1.5,"arr":[],"bytes":"AQIDBAU=","unknown":1,"_version":"x"}`,
		`{"req":true,"email":"a@b.cz","url":"https://x.y","iso":"2024-02-30","date":"2024-02-30T00:00:00Z","short":"\ud800","big":-0.0,"int":1e-400}`,
		`{"req":false,"id":2.0,"date":-62135596800000,"num":-0,"any":[[[[[[]]]]]],"str":""}`, `[]`, `{"req":true,"date":253402300799999,"id":"x"}`, `{"req":true,"date":1e999,"flo2":123456789012345678901}`,
		`{"req":true,"flo":"-Infinity","flo2":"-Infinity","num":"Infinity","numEnum":"Infinity","any":"Infinity"}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	schema := fuzzSchema()
	order := make([]string, 0, len(schema))
	for name := range schema {
		order = append(order, name)
	}
	slices.Sort(order)
	f.Fuzz(func(t *testing.T, data []byte, useNumber bool) {
		var in store.Fields
		dec := json.NewDecoder(bytes.NewReader(data))
		if useNumber {
			dec.UseNumber()
		}
		if dec.Decode(&in) != nil {
			return
		}
		ctx := context.Background()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		defer s.Close(ctx)
		b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: schema, Indexes: []store.Index{{"date", "num"}, {"bytes"}, {"flo", "bool"}}})
		require.NoError(t, err)
		fresh, err := b.Insert(ctx, in)
		checkFuzzed(t, schema, order, in, fresh, err, true)
		n := 0
		if err == nil {
			n = 1
			checkIndexes(t, b, schema, fresh)
		}
		require.Equal(t, n, count(t, b))
		old, err := b.Insert(ctx, store.Fields{"req": true, "id": nil})
		require.NoError(t, err, "the input must not spoil the bucket")
		changed, err := b.Update(ctx, old.Key(), in)
		var dup *store.UniqueError
		if errors.As(err, &dup) {
			require.Equal(t, "str", dup.Field)
			require.NotZero(t, n)
			require.NoError(t, b.Delete(ctx, fresh.Key()))
			changed, err = b.Update(ctx, old.Key(), in)
		}
		checkFuzzed(t, schema, order, in, changed, err, false)
		now, ok := b.Get(old.Key())
		require.True(t, ok)
		if err != nil {
			require.Equal(t, old, now)
			require.Equal(t, 1, count(t, b, store.Eq("id", old.Get("id")), store.Eq("date", nil), store.Eq("num", nil)))
			return
		}
		require.Equal(t, changed, now)
		checkIndexes(t, b, schema, now)
		// The record's own fields are a valid input that means the same.
		again, err := b.Update(ctx, old.Key(), now.Map())
		require.NoError(t, err)
		want, got := now.Map(), again.Map()
		for _, m := range []map[string]any{want, got} {
			delete(m, "_version")
			delete(m, "_updatedAt")
		}
		require.Equal(t, want, got)
	})
}

func checkFuzzed(t *testing.T, schema store.Schema, order []string, in store.Fields, r store.Record, err error, insert bool) {
	t.Helper()
	codes := map[string]store.Code{}
	if err != nil {
		var ve *store.ValidationError
		require.ErrorAs(t, err, &ve)
		require.NotEmpty(t, ve.Issues)
		last := -1
		for _, is := range ve.Issues {
			require.NotContains(t, codes, is.Field)
			codes[is.Field] = is.Code
			pos := slices.Index(order, is.Field)
			if pos < 0 {
				pos = len(order)
				require.Equal(t, store.CodeUnknown, is.Code)
				require.Contains(t, in, is.Field)
			}
			require.GreaterOrEqual(t, pos, last, "issues in field order")
			last = pos
		}
	}
	for name, v := range in {
		if _, ok := schema[name]; !ok && !strings.HasPrefix(name, "_") {
			require.Equal(t, store.CodeUnknown, codes[name])
		}
		_ = v
	}
	for _, name := range order {
		f := schema[name]
		v, given := in[name]
		if !insert && (name == "id" || !given) {
			require.Empty(t, codes[name])
			continue
		}
		want, code := modelField(f, v)
		switch {
		case v == nil && f.Required:
			code = store.CodeRequired
		case v == nil && insert && f.Default != nil:
			want = f.Default
		case v == nil && name == "id":
			code = unsure
		}
		if code == unsure {
			if r.IsZero() || !r.Has(name) {
				continue
			}
			checkOwnRules(t, f, r.Get(name))
			continue
		}
		require.Equal(t, code, codes[name], "%s from %v", name, v)
		if err == nil && name != "id" {
			require.Equal(t, want, r.Get(name), "%s from %v", name, v)
			require.Equal(t, want != nil, r.Has(name))
		}
	}
}

// checkOwnRules looks at formats with the eyes of the standard library, which is
// more generous.
func checkOwnRules(t *testing.T, f store.Field, v any) {
	t.Helper()
	switch f.Format {
	case store.Email:
		_, err := mail.ParseAddress(v.(string))
		require.NoError(t, err)
	case store.URL:
		u, err := url.Parse(v.(string))
		require.NoError(t, err)
		require.NotEmpty(t, u.Scheme)
	case store.ISODate:
		_, err := time.Parse(time.DateOnly, v.(string)[:10])
		require.NoError(t, err)
	}
	if at, ok := v.(time.Time); ok {
		require.Equal(t, time.UTC, at.Location())
		require.GreaterOrEqual(t, at.Year(), 1)
		require.LessOrEqual(t, at.Year(), 9999)
	}
}

// checkIndexes finds the record by each of its fields, through the index where
// there is one.
func checkIndexes(t *testing.T, b *store.Bucket, schema store.Schema, r store.Record) {
	t.Helper()
	all := []store.Filter{}
	for name := range schema {
		eq := store.Eq(name, r.Get(name))
		all = append(all, eq)
		found, err := b.Where(eq).All()
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(found, func(o store.Record) bool { return o.Key() == r.Key() }), name)
	}
	for _, few := range [][]store.Filter{all, {store.Eq("date", r.Get("date")), store.Eq("num", r.Get("num"))}, {store.Eq("flo", r.Get("flo")), store.Eq("bool", r.Get("bool"))}} {
		require.Positive(t, count(t, b, few...))
	}
}

// source turns fuzz bytes into decisions; when they end, all are zero.
type source struct{ data []byte }

func (s *source) n(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

func (s *source) text() string {
	n := min(s.n(8), len(s.data))
	out := string(s.data[:n])
	s.data = s.data[n:]
	return out
}

func (s *source) value() any {
	switch s.n(16) {
	case 1:
		return s.text()
	case 2:
		return s.n(5) - 2
	case 3:
		return float64(s.n(9)-4) / 2
	case 4:
		return s.n(2) == 0
	case 5:
		return time.Unix(int64(s.n(100))*1e7, 0)
	case 6:
		return []byte(s.text())
	case 7:
		return []any{s.n(3)}
	case 8:
		return map[string]any{s.text(): s.n(3)}
	case 9:
		return math.NaN()
	case 10:
		return json.Number(s.text())
	case 11:
		return "2024-02-2" + strconv.Itoa(s.n(12))
	case 12:
		x := s.value()
		return func() any { return x }
	case 13:
		return int64(math.MaxInt64)
	case 14:
		return math.Inf(1)
	case 15:
		return of(s.n(3))
	}
	return nil
}

// fits makes a value that the type at least knows.
func (s *source) fits(t store.Type) any {
	switch t {
	case store.String:
		return s.text()
	case store.Int, store.Number:
		return s.n(5) - 2
	case store.Float:
		return float64(s.n(9)-4) / 2
	case store.Bool:
		return s.n(2) == 0
	case store.Date:
		return time.Unix(int64(s.n(100))*1e7, 0)
	case store.Bytes:
		return []byte(s.text())
	case store.Array:
		return []any{s.n(3)}
	case store.Object:
		return map[string]any{"k": s.n(3)}
	}
	return s.value()
}

func (s *source) field(wild bool, deep int) store.Field {
	f := store.Field{Type: store.Type(1 + s.n(10))}
	if wild {
		f.Type = store.Type(s.n(13))
	}
	bits := s.n(256)
	has := func(i int) bool { return bits>>i&1 != 0 && s.n(3) == 0 }
	value := func() any {
		if wild {
			return s.value()
		}
		return s.fits(f.Type)
	}
	f.Required, f.Unique = has(0), has(1)
	if has(2) {
		f.Default = value()
	}
	if has(3) {
		f.Generated = store.Generator(s.n(6))
	}
	for has(4) && len(f.Enum) < 3 {
		f.Enum = append(f.Enum, value())
	}
	if has(5) {
		f.Min = store.Bound(float64(s.n(9)-4) / 2)
	}
	if has(5) {
		f.Max = store.Bound(s.n(9) - 4)
	}
	if has(6) {
		f.MinLength, f.MaxLength = s.n(5)-1, s.n(6)-1
	}
	if has(7) {
		f.Pattern = s.text()
	}
	if has(7) {
		f.Format = store.Format(s.n(5))
	}
	if deep > 0 && (f.Type == store.Object || wild && s.n(9) == 1) {
		f.Properties, f.Extra = store.Schema{}, s.n(3) == 1
		for range s.n(4) {
			f.Properties[nestedNames[s.n(len(nestedNames))]] = s.inside(wild, deep)
		}
	}
	if deep > 0 && (f.Type == store.Array || wild && s.n(9) == 1) && s.n(4) > 0 {
		item := s.inside(wild, deep)
		f.Items = &item
	}
	return f
}

// inside makes the rules of what is inside of a field.
func (s *source) inside(wild bool, deep int) store.Field {
	f := s.field(wild, deep-1)
	if !wild {
		f.Unique, f.Generated, f.Default = false, 0, nil
	}
	return f
}

// fitsField makes a value that the field may have, at least in form.
func (s *source) fitsField(f *store.Field) any {
	switch {
	case f.Type == store.Object && f.Properties != nil:
		m := map[string]any{}
		for name, p := range sorted(f.Properties) {
			if s.n(8) > 0 {
				m[name] = s.fitsField(&p)
			}
		}
		return m
	case f.Type == store.Array && f.Items != nil:
		list := make([]any, max(0, f.MinLength)+s.n(2))
		for i := range list {
			list[i] = s.fitsField(f.Items)
		}
		return list
	}
	return s.fits(f.Type)
}

// checkNested looks at what was stored with the eyes of the oracle, which knows only
// some formats.
func checkNested(t *testing.T, schema store.Schema, r store.Record) {
	t.Helper()
	var o nestedOracle
	for name, f := range schema {
		f = unformatted(f)
		v := r.Get(name)
		sameStored(t, v, o.field(&f, v, name, false), name)
	}
	require.Empty(t, o.broken)
}

func unformatted(f store.Field) store.Field {
	f.Format = 0
	if f.Items != nil {
		item := unformatted(*f.Items)
		f.Items = &item
	}
	if f.Properties != nil {
		inner := store.Schema{}
		for name, p := range f.Properties {
			inner[name] = unformatted(p)
		}
		f.Properties = inner
	}
	return f
}

// FuzzDefinition: any definition is an error that says why, or a bucket that
// works.
func FuzzDefinition(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte("\x03\x01\x02\x00\x05\x01\x00\x03\x01\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"))
	f.Add(bytes.Repeat([]byte{1, 7, 3, 250, 0, 2}, 60))
	f.Add(bytes.Repeat([]byte{0, 4, 6, 9, 12, 33, 66, 3}, 90))
	f.Fuzz(func(t *testing.T, data []byte) {
		src := &source{data}
		wild := src.n(4) == 0
		def := store.Definition{Key: "id", Ordered: src.n(3) == 0, Extra: src.n(3) == 0, Schema: store.Schema{"id": {Type: store.Type(1 + src.n(2))}}}
		names := []string{"id"}
		for i := range src.n(40) {
			name := fmt.Sprintf("f%d", i)
			if wild && src.n(5) == 0 {
				name = src.text()
			}
			names = append(names, name)
			def.Schema[name] = src.field(wild, 3)
		}
		for range src.n(8) {
			var ix store.Index
			for range src.n(4) {
				ix = append(ix, names[src.n(len(names))])
			}
			def.Indexes = append(def.Indexes, ix)
		}
		ctx := context.Background()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		defer s.Close(ctx)
		b, err := s.DefineBucket(ctx, "b", def)
		if err != nil {
			require.NotEmpty(t, issues(t, err))
			require.False(t, s.HasBucket("b"))
			return
		}
		back, err := s.Definition("b")
		require.NoError(t, err)
		_, err = s.DefineBucket(ctx, "again", back)
		require.NoError(t, err, "its own definition")
		kept := map[store.Key]map[string]any{}
		for range 6 {
			in := store.Fields{}
			for _, name := range names {
				switch src.n(8) {
				case 0:
				case 1:
					in[name] = src.value()
				default:
					f := def.Schema[name]
					in[name] = src.fitsField(&f)
				}
				if _, fn := in[name].(func() any); fn {
					delete(in, name)
				}
			}
			r, err := b.Insert(ctx, in)
			if err == nil {
				require.NotContains(t, kept, r.Key())
				kept[r.Key()] = r.Map()
				checkNested(t, def.Schema, r)
				continue
			}
			var dup *store.UniqueError
			if !errors.As(err, &dup) {
				require.NotEmpty(t, issues(t, err))
			}
			delete(in, "id")
			for key, old := range kept {
				r, err := b.Update(ctx, key, in)
				now, ok := b.Get(key)
				require.True(t, ok)
				if err == nil {
					require.Equal(t, store.Version(old["_version"].(int64)+1), r.Version())
					kept[key] = r.Map()
					checkNested(t, def.Schema, r)
				}
				require.Equal(t, kept[key], now.Map())
				break
			}
		}
		require.Equal(t, len(kept), count(t, b))
		scan, err := b.Where().All()
		require.NoError(t, err)
		for _, r := range scan {
			require.Equal(t, kept[r.Key()], r.Map())
		}
		for _, ix := range append(def.Indexes, store.Index(names)) {
			for _, r := range scan {
				var filters []store.Filter
				want := 0
				for _, name := range ix {
					if typ := def.Schema[name].Type; typ != store.Object && typ != store.Array && typ != store.Any {
						filters = append(filters, store.Eq(name, r.Get(name)))
					}
				}
				for _, o := range scan {
					same := true
					for _, name := range ix {
						if typ := def.Schema[name].Type; typ != store.Object && typ != store.Array && typ != store.Any {
							same = same && sameValue(o.Get(name), r.Get(name))
						}
					}
					if same {
						want++
					}
				}
				require.Equal(t, want, count(t, b, filters...), "%v", ix)
			}
		}
		require.NoError(t, b.Clear(ctx))
		require.Zero(t, count(t, b))
	})
}

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case []byte:
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	case int64:
		if y, ok := b.(float64); ok {
			return float64(x) == y && int64(y) == x
		}
	case float64:
		if _, ok := b.(int64); ok {
			return sameValue(b, a)
		}
	}
	return a == b
}
