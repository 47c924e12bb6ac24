package store_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The oracle of nested schemas interprets a schema over plain values, as slowly as it
// is written down: what a field makes of a value, and each rule that it breaks, as
// "path code".

// generated stands for a value that a generator makes.
type generated store.Generator

// garbage is what cannot be kept at all.
type garbage struct{ v any }

// nestedOracle is one judgement.
type nestedOracle struct {
	broken []string
	dry    bool // of a default: nothing is filled in
}

func (o *nestedOracle) wrong(path string, code store.Code) {
	o.broken = append(o.broken, path+" "+string(code))
}

// canonical is a value in the form of the store, false if there is garbage in it.
func canonical(v any) (any, bool) {
	ok := true
	switch x := v.(type) {
	case garbage:
		return nil, false
	case map[string]any:
		m := map[string]any{}
		for k, e := range x {
			c, good := canonical(e)
			m[k], ok = c, ok && good
		}
		return m, ok
	case []any:
		list := []any{}
		for _, e := range x {
			c, good := canonical(e)
			list, ok = append(list, c), ok && good
		}
		return list, ok
	case []byte:
		return append([]byte{}, x...), true
	case time.Time:
		return x.UTC(), true
	case int:
		return int64(x), true
	}
	return v, true
}

// field is what becomes of a field of the bucket. Nothing is filled in at an update.
func (o *nestedOracle) field(f *store.Field, in any, path string, insert bool) any {
	v, ok := canonical(in)
	switch {
	case !ok: // of which the code does not matter
		o.wrong(path, "type|format|max")
	case v != nil:
		return o.value(f, v, path)
	case insert:
		return o.fill(f, path)
	case f.Required:
		o.wrong(path, store.CodeRequired)
	}
	return nil
}

// fill is what an absent value becomes.
func (o *nestedOracle) fill(f *store.Field, path string) any {
	def := f.Default
	if fn, ok := def.(func() any); ok {
		def = nil
		if o.dry {
			return nil
		}
		def = fn()
	}
	switch {
	case f.Generated != 0:
		if o.dry {
			return nil
		}
		return generated(f.Generated)
	case def != nil:
		if o.dry {
			return nil
		}
		c, _ := canonical(def)
		return o.value(f, c, path)
	case f.Required:
		o.wrong(path, store.CodeRequired)
	}
	return nil
}

// value is a canonical value that is there, converted and completed.
func (o *nestedOracle) value(f *store.Field, v any, path string) any {
	c, code := convertedBy(f.Type, v)
	if code != "" {
		o.wrong(path, code)
		return nil
	}
	o.rules(f, c, path)
	switch x := c.(type) {
	case map[string]any:
		if f.Type == store.Object && f.Properties != nil {
			return o.object(f, x, path)
		}
	case []any:
		if f.Type == store.Array && f.Items != nil {
			return o.array(f.Items, x, path)
		}
	}
	return c
}

func (o *nestedOracle) object(f *store.Field, m map[string]any, path string) any {
	out := maps.Clone(m)
	for name := range m {
		if _, ok := f.Properties[name]; !ok && !f.Extra {
			o.wrong(path+"."+name, store.CodeUnknown)
		}
	}
	for name, p := range f.Properties {
		at := path + "." + name
		if m[name] != nil {
			out[name] = o.value(&p, m[name], at)
		} else if x := o.fill(&p, at); x != nil {
			out[name] = x
		}
	}
	return out
}

func (o *nestedOracle) array(f *store.Field, list []any, path string) any {
	out := slices.Clone(list)
	for i, x := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if x != nil {
			out[i] = o.value(f, x, at)
		} else if f.Required {
			o.wrong(at, store.CodeRequired)
		}
	}
	return out
}

// convertedBy is a canonical value in the form of a type.
func convertedBy(t store.Type, v any) (any, store.Code) {
	text, isText := v.(string)
	switch t {
	case store.Any:
		return v, ""
	case store.Int:
		if x, ok := v.(float64); ok {
			if x != math.Trunc(x) {
				return nil, store.CodeType
			}
			if x >= 1<<63 || x < -(1<<63) {
				return nil, store.CodeMax
			}
			return int64(x), ""
		}
	case store.Float, store.Number:
		if text == "Infinity" || text == "-Infinity" {
			return math.Inf(1 - strings.Count(text, "-")*2), ""
		}
		if i, ok := v.(int64); ok && t == store.Float && int64(float64(i)) == i {
			return float64(i), ""
		} else if ok && t == store.Float {
			return nil, store.CodeType
		}
	case store.Date:
		if isText {
			for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
				if at, err := time.Parse(layout, text); err == nil {
					return at.UTC(), ""
				}
			}
			return nil, store.CodeFormat
		}
		if x, ok := v.(float64); ok && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			v = int64(x)
		} else if ok && x == math.Trunc(x) {
			return nil, store.CodeFormat
		}
		if i, ok := v.(int64); ok {
			if at := time.UnixMilli(i).UTC(); at.Year() >= 1 && at.Year() <= 9999 {
				return at, ""
			}
			return nil, store.CodeFormat
		}
	case store.Bytes:
		if isText {
			b, err := base64.StdEncoding.Strict().DecodeString(text)
			if err != nil || strings.ContainsAny(text, "\r\n") {
				return nil, store.CodeFormat
			}
			return b, ""
		}
	}
	ok := false
	switch v.(type) {
	case string:
		ok = t == store.String
	case bool:
		ok = t == store.Bool
	case int64:
		ok = t == store.Int || t == store.Number
	case float64:
		ok = t == store.Float || t == store.Number
	case time.Time:
		ok = t == store.Date
	case []byte:
		ok = t == store.Bytes
	case map[string]any:
		ok = t == store.Object
	case []any:
		ok = t == store.Array
	}
	if !ok {
		return nil, store.CodeType
	}
	return v, ""
}

// Which texts have a format, of those that the tests use.
var formatted = map[store.Format][]string{
	store.Email: {"a@b.cz"}, store.URL: {"https://x.y"}, store.ISODate: {"2024-02-29", "2024-02-29T10:00:00+02:00"},
}

// rules judges a value by the rules of its own.
func (o *nestedOracle) rules(f *store.Field, v any, path string) {
	n := -1
	switch x := v.(type) {
	case string:
		if f.Type != store.String {
			break
		}
		n = utf8.RuneCountInString(x)
		if f.Pattern != "" && !regexp.MustCompile(f.Pattern).MatchString(x) {
			o.wrong(path, store.CodePattern)
		}
		if f.Format != 0 && !slices.Contains(formatted[f.Format], x) {
			o.wrong(path, store.CodeFormat)
		}
	case []byte:
		n = len(x)
	case []any:
		n = len(x)
	case int64, float64:
		if f.Min != nil && compareNumber(x, f.Min) < 0 {
			o.wrong(path, store.CodeMin)
		}
		if f.Max != nil && compareNumber(x, f.Max) > 0 {
			o.wrong(path, store.CodeMax)
		}
	}
	if n >= 0 && n < f.MinLength {
		o.wrong(path, store.CodeMinLength)
	}
	if n >= 0 && f.MaxLength > 0 && n > f.MaxLength {
		o.wrong(path, store.CodeMaxLength)
	}
	if f.Enum != nil && !slices.ContainsFunc(f.Enum, func(e any) bool {
		c, _ := canonical(e)
		c, _ = convertedBy(f.Type, c)
		return identity(c) == identity(v)
	}) {
		o.wrong(path, store.CodeEnum)
	}
}

// compareNumber compares with a bound, which the tests make of small numbers.
func compareNumber(v any, l *store.Limit) int {
	var bound float64
	if _, err := fmt.Sscan(l.String(), &bound); err != nil {
		panic(err)
	}
	if i, ok := v.(int64); ok {
		return cmp.Compare(float64(i), bound)
	}
	return cmp.Compare(v.(float64), bound)
}

// refuses is what the validators of the tests refuse: a matter of size alone.
func refuses(v any) bool {
	switch x := v.(type) {
	case string:
		return len(x)%5 == 4
	case int64:
		return x%7 == 3
	case []any:
		return len(x) == 3
	case map[string]any:
		return len(x) == 4
	}
	return false
}

// judge runs the validators of a stored value.
func (o *nestedOracle) judge(f *store.Field, v any, path string) {
	if v == nil {
		return
	}
	if f.Validate != nil && refuses(v) {
		o.wrong(path, store.CodeValidate)
	}
	switch x := v.(type) {
	case map[string]any:
		for name, p := range f.Properties {
			o.judge(&p, x[name], path+"."+name)
		}
	case []any:
		for i, e := range x {
			if f.Items != nil {
				o.judge(f.Items, e, fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
}

// sameIssues compares issues with those of the oracle: a code may be one of several.
func sameIssues(t testing.TB, want []string, err error) {
	t.Helper()
	if len(want) == 0 {
		require.NoError(t, err)
		return
	}
	require.Error(t, err, "%v", want)
	got := issues(t, err)
	slices.Sort(got)
	want = slices.Clone(want)
	slices.Sort(want)
	require.Len(t, got, len(want), "%v\n%v", want, got)
	for i := range want {
		path, codes, _ := strings.Cut(want[i], " ")
		at, code, _ := strings.Cut(got[i], " ")
		require.Equal(t, path, at, "%v\n%v", want, got)
		require.Contains(t, strings.Split(codes, "|"), code, "%v\n%v", want, got)
	}
}

// sameStored compares a stored value with the oracle's.
func sameStored(t testing.TB, want, got any, path string) {
	t.Helper()
	switch w := want.(type) {
	case generated:
		require.NotNil(t, got, path)
		if g := store.Generator(w); g == store.UUID {
			require.Len(t, got, 36, path)
		} else if g == store.CUID {
			require.NotEmpty(t, got, path)
		}
	case map[string]any:
		require.IsType(t, want, got, path)
		g := got.(map[string]any)
		require.ElementsMatch(t, slices.Collect(maps.Keys(w)), slices.Collect(maps.Keys(g)), path)
		for k := range w {
			sameStored(t, w[k], g[k], path+"."+k)
		}
	case []any:
		require.IsType(t, want, got, path)
		g := got.([]any)
		require.Len(t, g, len(w), path)
		for i := range w {
			sameStored(t, w[i], g[i], fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		require.True(t, reflect.DeepEqual(want, got), "%s: %#v, not %#v", path, got, want)
	}
}
