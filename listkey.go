package store

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/noex-go/store/internal/keyenc"
)

// listKey is the key of the node of a live list: the same for queries that ask for the
// same, whatever a bucket may be altered to. So it is made of what was asked, in
// canonical form, and not of what that was compiled to: where a field is an Int, two
// queries for different fractions are the same, and are not when it is a Float.
func (r *reactor) listKey(b *bucket, s *querySpec) string {
	key := binary.AppendUvarint([]byte("\x00list"), b.serial) // no key of Together begins so
	conds := make([]string, len(s.filters))
	for i := range s.filters {
		c, ok := appendFilter(nil, b.shape.lim, &s.filters[i])
		if !ok {
			return "\x00list of its own " + strconv.FormatInt(r.joints.Add(1), 10)
		}
		conds[i] = string(c)
	}
	slices.Sort(conds)
	key = appendStrings(key, slices.Compact(conds))
	key = binary.AppendUvarint(key, uint64(len(s.order)))
	for _, o := range s.order {
		key = keyenc.AppendBool(keyenc.AppendString(key, o.field), o.desc)
	}
	key = binary.AppendVarint(key, int64(s.limit))
	key = binary.AppendVarint(key, int64(s.offset))
	key = keyenc.AppendBool(key, s.selecting)
	return string(appendStrings(key, slices.Compact(slices.Sorted(slices.Values(s.fields)))))
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = keyenc.AppendString(b, s)
	}
	return b
}

// appendFilter writes a filter so that different ones have different bytes; false
// if it has a value without a canonical form.
func appendFilter(b []byte, lim limits, f *Filter) ([]byte, bool) {
	b = keyenc.AppendString(append(b, byte(f.op)), f.field)
	switch v := f.value.(type) {
	case []Filter:
		b = binary.AppendUvarint(b, uint64(len(v)))
		for i := range v {
			var ok bool
			if b, ok = appendFilter(b, lim, &v[i]); !ok {
				return nil, false
			}
		}
		return b, true
	case [2]any:
		return appendFree(b, lim, v[:])
	default:
		return appendFree(b, lim, v)
	}
}

// appendFree appends a value that is not canonical yet.
func appendFree(b []byte, lim limits, v any) ([]byte, bool) {
	own, wrong := lim.normalize(v)
	if wrong != nil {
		return nil, false
	}
	return appendValue(b, own), true
}
