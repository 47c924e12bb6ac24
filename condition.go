package store

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/noex-go/store/internal/table"
)

// cond is a filter as compiled against a bucket. Negation is pushed down to the
// leaves, so that not is never set on an and or an or.
type cond struct {
	op   condOp
	not  bool
	slot *slot     // the field, if it is no more than that
	far  *fieldRef // anything else
	want any       // condEq: canonical, nil for absent
	span *interval // condRange
	more *condMore // all others
}

type condOp uint8

const (
	condEq      condOp = iota
	condIn             // one of more.set
	condRange          // within span
	condText           // a string that contains more.text, or an array that has want
	condSuffix         // a string that ends with more.text
	condPresent        // not absent
	condAnd            // of more.subs
	condOr             // of more.subs
	condConst          // true; with not, false
)

// condMore is what conditions other than an equality or a range need.
type condMore struct {
	set  valueSet
	text string
	fold foldedText
	subs []cond
}

// value returns the field's value, shared with the store.
func (c *cond) value(v *table.Version) any {
	if c.slot != nil {
		return c.slot.peek(v)
	}
	return c.far.peek(v)
}

// test reports whether a version meets the condition.
func (c *cond) test(v *table.Version) bool { return c.match(v) != c.not }

func (c *cond) match(v *table.Version) bool {
	switch c.op {
	case condEq:
		return c.equals(v)
	case condConst:
		return true
	case condAnd:
		for i := range c.more.subs {
			if !c.more.subs[i].test(v) {
				return false
			}
		}
		return true
	case condOr:
		for i := range c.more.subs {
			if c.more.subs[i].test(v) {
				return true
			}
		}
		return false
	}
	if s := c.slot; s != nil && s.absent(v) {
		return c.op == condIn && c.more.set.null
	}
	switch c.op {
	case condRange:
		return c.inRange(v)
	case condIn:
		return c.more.set.has(c, v)
	case condText:
		return c.contains(v)
	case condSuffix:
		s, ok := c.string(v)
		return ok && strings.HasSuffix(s, c.more.text)
	}
	return c.slot != nil || c.far.peek(v) != nil // condPresent
}

func (c *cond) equals(v *table.Version) bool {
	s := c.slot
	if s == nil {
		return equalValues(c.far.peek(v), c.want)
	}
	if s.absent(v) {
		return c.want == nil
	}
	if c.want == nil {
		return false
	}
	p := s.mem(v)
	switch s.kind {
	case memString:
		w, ok := c.want.(string)
		return ok && *(*string)(p) == w
	case memInt, memUint, memFloat, memNumber:
		switch w := c.want.(type) {
		case int64:
			if s.kind == memInt {
				return loadInt(p, s.size) == w
			}
			return s.num(v).compare(intNumber(w)) == 0
		case float64:
			return s.num(v).compare(floatNumber(w)) == 0
		}
		return false
	case memBool:
		w, ok := c.want.(bool)
		return ok && *(*bool)(p) == w
	case memTime:
		w, ok := c.want.(time.Time)
		return ok && (*time.Time)(p).Equal(w)
	}
	return equalValues(s.peek(v), c.want)
}

// string returns the field's value if it is a string.
func (c *cond) string(v *table.Version) (string, bool) {
	if s := c.slot; s != nil && s.kind == memString {
		return *(*string)(s.mem(v)), true
	}
	text, ok := c.value(v).(string)
	return text, ok
}

func (c *cond) inRange(v *table.Version) bool {
	r := c.span
	if r.empty {
		return false
	}
	if s := c.slot; s != nil {
		p := s.mem(v)
		switch s.kind {
		case memInt:
			n := loadInt(p, s.size)
			return n >= r.iLo && n <= r.iHi
		case memUint:
			n := int64(loadUint(p, s.size))
			return n >= r.iLo && n <= r.iHi
		case memFloat:
			f := loadFloat(p, s.size)
			return f >= r.fLo && f <= r.fHi
		case memString:
			text := *(*string)(p)
			return text >= r.sLo && (!r.sEnd || text < r.sHi)
		case memTime:
			return r.hasTime(*(*time.Time)(p))
		case memNumber:
			return r.hasNumber(s.num(v))
		}
	}
	return r.has(c.value(v))
}

func (c *cond) contains(v *table.Version) bool {
	if s, ok := c.string(v); ok {
		return c.more.fold.in(s)
	}
	list, ok := c.value(v).([]any)
	return ok && slices.ContainsFunc(list, func(e any) bool { return equalValues(e, c.want) })
}

// valueSet is the values of an In.
type valueSet struct {
	list  []any // without nil, sorted, each once
	null  bool  // nil is one of them
	texts map[string]struct{}
	words map[int64]struct{}
	other map[string]struct{} // by appendValue
}

// fewValues is how many values are compared one by one rather than hashed.
const fewValues = 4

// newValueSet takes over the list.
func newValueSet(s *slot, list []any) valueSet {
	slices.SortFunc(list, compareValues)
	list = slices.CompactFunc(list, func(a, b any) bool { return compareValues(a, b) == 0 })
	set := valueSet{list: list}
	if len(list) > 0 && list[0] == nil {
		set.list, set.null = list[1:], true
	}
	switch {
	case s != nil && s.kind == memString:
		if len(list) > fewValues {
			set.texts = make(map[string]struct{}, len(list))
			for _, v := range set.list {
				set.texts[v.(string)] = struct{}{}
			}
		}
	case s != nil && (s.kind == memInt || s.kind == memUint):
		set.words = make(map[int64]struct{}, len(list))
		for _, v := range set.list {
			set.words[v.(int64)] = struct{}{}
		}
	default:
		set.other = make(map[string]struct{}, len(list))
		for _, v := range set.list {
			set.other[string(appendValue(nil, v))] = struct{}{}
		}
	}
	return set
}

// has reports whether a field that is present has a value of the set.
func (set *valueSet) has(c *cond, v *table.Version) (ok bool) {
	switch {
	case set.texts != nil:
		_, ok = set.texts[*(*string)(c.slot.mem(v))]
		return ok
	case set.words != nil:
		_, ok = set.words[int64(c.slot.num(v).bits)]
		return ok
	case set.other == nil:
		text := *(*string)(c.slot.mem(v))
		return slices.ContainsFunc(set.list, func(w any) bool { return w.(string) == text })
	}
	var buf [64]byte
	if s := c.slot; s != nil && s.kind < memAny {
		_, ok = set.other[string(s.keyBytes(buf[:0], v))]
		return ok
	}
	x := c.value(v)
	if x == nil {
		return set.null
	}
	_, ok = set.other[string(appendValue(buf[:0], x))]
	return ok
}

// foldedText is a text to find, upper and lower case alike.
type foldedText struct {
	text  []byte // folded
	never bool
}

func newFoldedText(s string) foldedText { return foldedText{text: appendFolded(nil, s)} }

// in reports whether s contains the text. It is linear: both are folded, and
// then searched as bytes.
func (f *foldedText) in(s string) bool {
	if f.never {
		return false
	}
	var buf [256]byte
	return bytes.Contains(appendFolded(buf[:0], s), f.text)
}

// appendFolded appends s with each rune replaced by the least of those that
// Unicode folds with it: for a letter of ASCII, its capital.
func appendFolded(b []byte, s string) []byte {
	for i, r := range s {
		switch {
		case 'a' <= r && r <= 'z':
			b = append(b, byte(r)-('a'-'A'))
		case r < utf8.RuneSelf:
			b = append(b, s[i])
		default:
			least := r
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				least = min(least, f)
			}
			b = utf8.AppendRune(b, least)
		}
	}
	return b
}
