package store_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/noex-go/store"
)

// nestedSource makes schemas, and values that are more or less right for them.
type nestedSource struct{ *rand.Rand }

func (r nestedSource) one(in int) bool { return r.IntN(in) == 0 }

var (
	nestedTexts   = []string{"", "a", "ab", "abc", "žluť", "a@b.cz", "https://x.y", "2024-02-29", "2024-02-29T10:00:00+02:00", "2024-02-30", "AQID", "Infinity", "seven letters"}
	nestedNumbers = []any{0, 1, -1, 2, 3, 10, 2.5, 3.0, -0.5, int64(1<<53 + 1), 1e300, int64(math.MaxInt64), 1e18, math.Inf(1)}
	nestedNames   = []string{"a", "b", "c", "d.e", "ž"}
)

// schema makes the rules of a field, deep levels at most deep.
func (r nestedSource) field(deep int) store.Field {
	f := store.Field{Type: store.Type(1 + r.IntN(10))}
	if deep > 0 && r.one(2) {
		f.Type = []store.Type{store.Object, store.Array}[r.IntN(2)]
	}
	f.Required = r.one(4)
	switch f.Type {
	case store.String:
		r.text(&f)
	case store.Bytes, store.Array:
		r.lengths(&f)
	case store.Int, store.Float, store.Number:
		r.number(&f)
	case store.Date:
		if r.one(6) {
			f.Generated = store.Timestamp
		}
	}
	if deep > 0 && f.Type == store.Object && !r.one(5) {
		f.Extra = r.one(3)
		f.Properties = store.Schema{}
		for range r.IntN(4) {
			f.Properties[nestedNames[r.IntN(len(nestedNames))]] = r.field(deep - 1)
		}
	}
	if deep > 0 && f.Type == store.Array && !r.one(5) {
		item := r.field(deep - 1)
		item.Default, item.Generated = nil, 0
		f.Items = &item
	}
	if f.Generated == 0 && r.one(6) {
		f.Validate = func(v any, rec store.Record) error {
			if refuses(v) {
				return fmt.Errorf("is of a size that is refused")
			}
			return nil
		}
	}
	if f.Generated == 0 && r.one(4) {
		r.fallback(&f)
	}
	return f
}

func (r nestedSource) text(f *store.Field) {
	switch r.IntN(7) {
	case 0:
		r.lengths(f)
	case 1:
		f.Pattern = "^a?"
		if r.one(2) {
			f.Pattern = "a.*b"
		}
	case 2:
		f.Enum = []any{"a", "ab", "abc"}
	case 3:
		f.Format = store.Format(1 + r.IntN(3))
	case 4:
		f.Generated = []store.Generator{store.UUID, store.CUID, store.Timestamp}[r.IntN(3)]
	}
}

func (r nestedSource) lengths(f *store.Field) {
	f.MinLength = r.IntN(3)
	if r.one(2) {
		f.MaxLength = f.MinLength + 1 + r.IntN(3)
	}
}

func (r nestedSource) number(f *store.Field) {
	switch r.IntN(4) {
	case 0:
		f.Enum = []any{1, 2, 3.0}
	case 1:
		f.Min = store.Bound(r.IntN(4) - 2)
		f.Max = store.Bound(3.5)
	case 2:
		f.Max = store.Bound(float64(r.IntN(4)))
	}
}

// fallback gives a field a default: a valid one, or a function of a moody kind.
func (r nestedSource) fallback(f *store.Field) {
	v := r.valid(f)
	if r.one(3) {
		v = r.nearly(f)
	}
	c, ok := canonical(v)
	if !ok {
		return
	}
	o := nestedOracle{dry: true}
	if o.field(f, c, "", true); len(o.broken) == 0 {
		f.Default = c
	}
	if r.one(3) {
		f.Default = func() any { return c }
	}
}

// valid makes a value that is probably right.
func (r nestedSource) valid(f *store.Field) any {
	if f.Enum != nil {
		return f.Enum[r.IntN(len(f.Enum))]
	}
	switch f.Type {
	case store.String:
		if f.Format != 0 {
			return formatted[f.Format][0]
		}
		return nestedTexts[1:5][r.IntN(4)]
	case store.Int:
		return r.IntN(4)
	case store.Float:
		return float64(r.IntN(7)-2) / 2
	case store.Number:
		return nestedNumbers[r.IntN(5)]
	case store.Bool:
		return r.one(2)
	case store.Date:
		return []any{time.Unix(r.Int64N(1e9), 0).In(time.FixedZone("", 3600)), "2024-02-29", 1e12, 5}[r.IntN(4)]
	case store.Bytes:
		return []byte("bytes")[:min(5, f.MinLength+r.IntN(2))]
	case store.Array:
		list := []any{}
		for range f.MinLength + r.IntN(2) {
			if f.Items != nil {
				list = append(list, r.valid(f.Items))
			} else {
				list = append(list, r.any(1))
			}
		}
		return list
	case store.Object:
		m := map[string]any{}
		for name, p := range sorted(f.Properties) {
			if !r.one(5) {
				m[name] = r.valid(&p)
			}
		}
		if f.Extra || f.Properties == nil {
			m["extra"] = r.any(1)
		}
		return m
	}
	return r.any(2)
}

// sorted iterates in the order of names, so that a seed says everything.
func sorted(s store.Schema) func(func(string, store.Field) bool) {
	return func(yield func(string, store.Field) bool) {
		for _, name := range slices.Sorted(maps.Keys(s)) {
			if !yield(name, s[name]) {
				return
			}
		}
	}
}

// nearly makes a valid value with something else in one or two places.
func (r nestedSource) nearly(f *store.Field) any {
	v := r.valid(f)
	for range 1 + r.IntN(2) {
		v = r.spoiled(v)
	}
	return v
}

func (r nestedSource) spoiled(v any) any {
	if r.one(6) {
		return r.any(1)
	}
	switch x := v.(type) {
	case map[string]any:
		names := append(slices.Sorted(maps.Keys(x)), nestedNames...)
		if name := names[r.IntN(len(names))]; r.one(6) {
			delete(x, name)
		} else {
			x[name] = r.spoiled(x[name])
		}
		return x
	case []any:
		if len(x) == 0 || r.one(4) {
			return append(x, r.any(1))
		}
		i := r.IntN(len(x))
		x[i] = r.spoiled(x[i])
		return x
	}
	return r.any(1)
}

// any makes any value, and now and then what is none.
func (r nestedSource) any(deep int) any {
	switch n := r.IntN(12); {
	case n < 3:
		return nestedTexts[r.IntN(len(nestedTexts))]
	case n < 6:
		return nestedNumbers[r.IntN(len(nestedNumbers))]
	case n == 6:
		return r.one(2)
	case n == 7:
		return time.Unix(r.Int64N(1e9), 0)
	case n == 8:
		return []byte{1, 2, 3}[:r.IntN(4)]
	case n == 9 && deep > 0:
		m := map[string]any{}
		for range r.IntN(4) {
			m[nestedNames[r.IntN(len(nestedNames))]] = r.any(deep - 1)
		}
		return m
	case n == 10 && deep > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, r.any(deep-1))
		}
		return list
	case n == 11 && r.one(4):
		return garbage{[]any{math.NaN(), "\xff", make(chan int), uint64(math.MaxUint64), map[string]any{"\xff": 1}}[r.IntN(5)]}
	}
	return nil
}

// outside is a value as a caller may pass it: with garbage as it is, and now and then
// in Go types of its own.
func (r nestedSource) outside(v any) any {
	type text string
	switch x := v.(type) {
	case garbage:
		return x.v
	case map[string]any:
		m := map[string]any{}
		maps.Copy(m, x)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			m[k] = r.outside(m[k])
		}
		if r.one(6) {
			named := map[text]any{}
			for k, e := range m {
				named[text(k)] = e
			}
			return named
		}
		return m
	case []any:
		list := make([]any, len(x), len(x)+1)
		for i, e := range x {
			list[i] = r.outside(e)
		}
		return list
	case string:
		if r.one(8) && x != "Infinity" { // which is a number as a plain string alone
			return of(text(x))
		}
	case int:
		if x < 100 && x > -100 && r.one(4) {
			return int8(x)
		}
	}
	return v
}
