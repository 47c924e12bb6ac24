package store

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// indexPlan is one index of a bucket as compiled.
type indexPlan struct {
	fields []int // positions of its fields
	unique bool
	word   bool // single field, ordered as a uint64; else text
	spec   table.IndexSpec
}

// keyBytes appends a field's part of a text index key.
func (s *slot) keyBytes(b []byte, v *table.Version) []byte {
	if s.absent(v) {
		return keyenc.AppendNull(b)
	}
	p := s.mem(v)
	switch s.kind {
	case memString:
		return keyenc.AppendString(b, *(*string)(p))
	case memBool:
		return keyenc.AppendBool(b, *(*bool)(p))
	case memTime:
		return keyenc.AppendTime(b, *(*time.Time)(p))
	case memBytes:
		return keyenc.AppendBytes(b, *(*[]byte)(p))
	}
	return appendNumber(b, s.num(v))
}

func appendNumber(b []byte, n number) []byte {
	if n.isFloat {
		return keyenc.AppendFloat(b, n.float())
	}
	return keyenc.AppendInt(b, int64(n.bits))
}

// appendCanonical appends a canonical scalar as keyBytes would.
func appendCanonical(b []byte, c any) []byte {
	switch c := c.(type) {
	case nil:
		return keyenc.AppendNull(b)
	case string:
		return keyenc.AppendString(b, c)
	case bool:
		return keyenc.AppendBool(b, c)
	case time.Time:
		return keyenc.AppendTime(b, c)
	case []byte:
		return keyenc.AppendBytes(b, c)
	case float64:
		return keyenc.AppendFloat(b, c)
	case int64:
		return keyenc.AppendInt(b, c)
	}
	panic(fmt.Sprintf("store: %T in an index key", c))
}

// planIndex compiles an index over the fields at the given positions. Strings
// are indexed as they are, integers, floats and bools as words, all else and
// every combination in the encoding of package keyenc.
func (sh *shape) planIndex(fields []int, unique bool) indexPlan {
	plan := indexPlan{fields: fields, unique: unique}
	plan.spec.Unique = unique
	s := &sh.slots[fields[0]]
	if len(fields) == 1 {
		switch s.kind {
		case memString:
			plan.spec.Text = func(v *table.Version, _ []byte) (string, bool) {
				if s.absent(v) {
					return "", false
				}
				return *(*string)(s.mem(v)), true
			}
			return plan
		case memInt, memUint, memFloat, memBool:
			plan.word = true
			plan.spec.Word = func(v *table.Version) (uint64, bool) {
				if s.absent(v) {
					return 0, false
				}
				switch s.kind {
				case memFloat:
					return keyenc.Float64(loadFloat(s.mem(v), s.size)), true
				case memBool:
					return keyenc.Bool(*(*bool)(s.mem(v))), true
				}
				return keyenc.Int64(int64(s.num(v).bits)), true
			}
			return plan
		}
	}
	plan.spec.Borrowed = true
	plan.spec.Text = func(v *table.Version, buf []byte) (string, bool) {
		if s.absent(v) {
			return "", false
		}
		for _, i := range fields {
			buf = sh.slots[i].keyBytes(buf, v)
		}
		return unsafe.String(unsafe.SliceData(buf), len(buf)), true
	}
	return plan
}

// single returns the key that a canonical value has in an index of one field.
func (p *indexPlan) single(c any) table.Key {
	switch c := c.(type) {
	case string:
		return table.Key{Text: c}
	case bool:
		return table.Key{Word: keyenc.Bool(c)}
	case int64:
		if p.word {
			return table.Key{Word: keyenc.Int64(c)}
		}
	case float64:
		if p.word {
			return table.Key{Word: keyenc.Float64(c)}
		}
	}
	return table.Key{Text: string(appendCanonical(nil, c))}
}

// addTimes adds an index of the store's own: over a time in the metadata, of the
// records that have one.
func (sh *shape) addTimes(of func(m *Meta) (ms Millis, has bool)) (pos int) {
	plan := indexPlan{word: true}
	plan.spec.Word = func(v *table.Version) (uint64, bool) {
		ms, has := of(sh.meta(v))
		return keyenc.Int64(int64(ms)), has
	}
	sh.indexes = append(sh.indexes, plan)
	return len(sh.indexes) - 1
}

// keyOf returns the key that a version has in the index; false if it has none.
func (p *indexPlan) keyOf(v *table.Version) (table.Key, bool) {
	if p.spec.Word != nil {
		w, ok := p.spec.Word(v)
		return table.Key{Word: w}, ok
	}
	text, ok := p.spec.Text(v, nil)
	return table.Key{Text: text}, ok // built in memory of its own, if at all
}

// touched returns a bit per index whose key differs between two versions.
func (sh *shape) touched(old, v *table.Version) (m uint64) {
	was, is := sh.meta(old), sh.meta(v)
	if was.ExpiresAt != is.ExpiresAt {
		m |= 1 << sh.expiry
	}
	if sh.updates > 0 && was.UpdatedAt != is.UpdatedAt {
		m |= 1 << sh.updates
	}
	for i := range sh.asked {
		for _, f := range sh.indexes[i].fields {
			if !sh.slots[f].equal(old, v) {
				m |= 1 << i
				break
			}
		}
	}
	return m
}
