package store

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/noex-go/store/internal/keyenc"
)

// The order of canonical values, which indexes, OrderBy, Min, Max and the keys of
// groups share: absent, bool, number, date, string, bytes, array, object. Only
// fields of type Any, and paths, ever compare values of different kinds.

// valueKind is a value's place among the kinds, 0 for absent.
type valueKind uint8

const (
	kindAbsent valueKind = iota
	kindBool
	kindNumber
	kindDate
	kindString
	kindBytes
	kindArray
	kindObject
)

func kindOf(v any) valueKind {
	switch v.(type) {
	case bool:
		return kindBool
	case int64, float64:
		return kindNumber
	case time.Time:
		return kindDate
	case string:
		return kindString
	case []byte:
		return kindBytes
	case []any:
		return kindArray
	case map[string]any:
		return kindObject
	}
	return kindAbsent
}

func numberIn(v any) number {
	if f, ok := v.(float64); ok {
		return floatNumber(f)
	}
	return intNumber(v.(int64))
}

// compareValues orders canonical values.
func compareValues(a, b any) int {
	k := kindOf(a)
	if c := int(k) - int(kindOf(b)); c != 0 {
		return c
	}
	switch k {
	case kindBool:
		return int(keyenc.Bool(a.(bool))) - int(keyenc.Bool(b.(bool)))
	case kindNumber:
		return numberIn(a).compare(numberIn(b))
	case kindDate:
		return a.(time.Time).Compare(b.(time.Time))
	case kindString:
		return strings.Compare(a.(string), b.(string))
	case kindBytes:
		return bytes.Compare(a.([]byte), b.([]byte))
	case kindArray:
		return slices.CompareFunc(a.([]any), b.([]any), compareValues)
	case kindObject:
		return compareObjects(a.(map[string]any), b.(map[string]any))
	}
	return 0
}

// compareObjects orders objects as lists of their entries, sorted by name.
func compareObjects(a, b map[string]any) int {
	as, bs := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))
	for i := range min(len(as), len(bs)) {
		if c := strings.Compare(as[i], bs[i]); c != 0 {
			return c
		}
		if c := compareValues(a[as[i]], b[bs[i]]); c != 0 {
			return c
		}
	}
	return len(as) - len(bs)
}

// Tags that follow those of package keyenc, for values that no index key has.
const (
	tagArray  = 0x70
	tagObject = 0x80
	tagMore   = 0x01 // before each element
	tagEnd    = 0x00
)

// appendValue appends a canonical value so that equal values, and only they,
// have equal bytes. Scalars are as in index keys; all sort as compareValues has it.
func appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case []any:
		b = append(b, tagArray)
		for _, e := range x {
			b = appendValue(append(b, tagMore), e)
		}
		return append(b, tagEnd)
	case map[string]any:
		b = append(b, tagObject)
		for _, k := range slices.Sorted(maps.Keys(x)) {
			b = keyenc.AppendString(append(b, tagMore), k)
			b = appendValue(b, x[k])
		}
		return append(b, tagEnd)
	}
	return appendCanonical(b, v)
}
