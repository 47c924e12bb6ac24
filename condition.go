package store

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/noex-go/store/internal/keyenc"
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
	more *condMore // all others
}

type condOp uint8

const (
	condEq      condOp = iota
	condIn             // one of more.set
	condRange          // within more
	condText           // a string that contains more.text, or an array that has want
	condSuffix         // a string that ends with more.text
	condPresent        // not absent
	condAnd            // of more.subs
	condOr             // of more.subs
	condConst          // true; with not, false
)

// condMore is what conditions other than equality need.
type condMore struct {
	set  valueSet
	text string
	fold foldedText
	subs []cond
	span interval
}

// interval is what a condRange asks: in the form that the field's memory can be
// compared with at once, and in the form of values.
type interval struct {
	iLo, iHi         int64   // integer fields: closed
	fLo, fHi         float64 // float fields: closed
	sLo, sHi         string  // strings: closed, open
	sEnd             bool    // strings: sHi holds
	lo, hi           any     // canonical; nil: no bound
	loOpen, hiOpen   bool
	empty            bool
	kind             valueKind // of lo and hi
	loNumber, hiNumb number
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
	r := &c.more.span
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

func (r *interval) hasNumber(n number) bool {
	if r.lo != nil {
		if d := n.compare(r.loNumber); d < 0 || d == 0 && r.loOpen {
			return false
		}
	}
	if r.hi != nil {
		if d := n.compare(r.hiNumb); d > 0 || d == 0 && r.hiOpen {
			return false
		}
	}
	return true
}

func (r *interval) hasTime(t time.Time) bool {
	if r.lo != nil {
		if d := t.Compare(r.lo.(time.Time)); d < 0 || d == 0 && r.loOpen {
			return false
		}
	}
	if r.hi != nil {
		if d := t.Compare(r.hi.(time.Time)); d > 0 || d == 0 && r.hiOpen {
			return false
		}
	}
	return true
}

// has compares a value of any kind; one of another kind is never within.
func (r *interval) has(x any) bool {
	if kindOf(x) != r.kind {
		return false
	}
	if r.lo != nil {
		if d := compareValues(x, r.lo); d < 0 || d == 0 && r.loOpen {
			return false
		}
	}
	if r.hi != nil {
		if d := compareValues(x, r.hi); d > 0 || d == 0 && r.hiOpen {
			return false
		}
	}
	return true
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

// ---- compilation

// compiler turns the filters of one query into conditions.
type compiler struct {
	b *bucket
	// dry accepts placeholders of a QuerySpec where values are expected.
	dry bool
}

func (k compiler) err(field, format string, args ...any) error {
	return &QueryError{k.b.name, field, fmt.Sprintf(format, args...)}
}

// own adds the bucket to an error that was made before there was one.
func (k compiler) own(err error) error {
	if q, ok := err.(*QueryError); ok && q.Bucket == "" {
		return &QueryError{k.b.name, q.Field, q.Message}
	}
	return err
}

// conjunction appends the conditions of a filter, of which all must hold, to a
// plan.
func (k compiler) conjunction(p *plan, f *Filter, not bool, depth int) error {
	if depth > maxFilterDepth {
		return errFilterDepth(k.b.name)
	}
	switch {
	case f.op == opNot:
		return k.conjunction(p, &f.value.([]Filter)[0], !not, depth+1)
	case f.op == opAnd && !not, f.op == opOr && not:
		subs := f.value.([]Filter)
		for i := range subs {
			if err := k.conjunction(p, &subs[i], not, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	c := p.add()
	if err := k.condition(c, f, not, depth); err != nil {
		return err
	}
	p.reduce()
	return nil
}

// condition compiles one filter into c, which is zero.
func (k compiler) condition(c *cond, f *Filter, not bool, depth int) error {
	if depth > maxFilterDepth {
		return errFilterDepth(k.b.name)
	}
	switch f.op {
	case opNot, opAnd, opOr:
		return k.junction(c, f, not, depth)
	case opInvalid:
		return k.own(f.value.(error))
	case 0:
		return k.err("", "a filter is empty")
	}
	sh := k.b.shape
	typ := Any
	if pos, ok := sh.byName[f.field]; ok {
		c.slot = &sh.slots[pos]
		typ = c.slot.typ
	} else {
		ref, wrong := sh.field(f.field)
		if wrong != "" {
			return k.err(f.field, "%s", wrong)
		}
		c.far, typ = &ref, ref.typ
	}
	c.not = not
	if k.dry && f.hasPlaceholder() {
		c.op = condConst
		return k.applies(f, typ)
	}
	switch f.op {
	case opNe:
		c.not = !not
		fallthrough
	case opEq:
		return k.equality(c, f.field, typ, f.value)
	case opNotIn:
		c.not = !not
		fallthrough
	case opIn:
		return k.membership(c, f, typ)
	case opExists:
		c.op = condPresent
		return nil
	case opContains, opHasPrefix, opHasSuffix:
		return k.text(c, f, typ)
	}
	return k.comparison(c, f, typ)
}

// applies reports that an operator cannot be used on a field, whatever the value.
func (k compiler) applies(f *Filter, typ Type) error {
	switch f.op {
	case opGt, opGte, opLt, opLte, opBetween:
		if typ == Object || typ == Array {
			return k.err(f.field, "has type %s, which has no order", typ)
		}
	case opContains, opHasPrefix, opHasSuffix:
		if typ != String && typ != Any && (typ != Array || f.op != opContains) {
			return k.err(f.field, "has type %s: %q needs a string", typ, opNames[f.op])
		}
	}
	return nil
}

// junction compiles And, Or and Not below the top.
func (k compiler) junction(c *cond, f *Filter, not bool, depth int) error {
	subs := f.value.([]Filter)
	if f.op == opNot {
		return k.condition(c, &subs[0], !not, depth+1)
	}
	c.op = condAnd
	if (f.op == opOr) != not {
		c.op = condOr
	}
	c.more = &condMore{subs: make([]cond, len(subs))}
	for i := range subs {
		if err := k.condition(&c.more.subs[i], &subs[i], not, depth+1); err != nil {
			return err
		}
		c.more.subs[i].simplify()
	}
	k.mergeEqualities(c)
	return nil
}

// mergeEqualities turns an Or of equalities on one field into an In.
func (k compiler) mergeEqualities(c *cond) {
	subs := c.more.subs
	if c.op != condOr || len(subs) < 2 || subs[0].slot == nil {
		return
	}
	var list []any
	for i := range subs {
		s := &subs[i]
		switch {
		case s.slot != subs[0].slot || s.not:
			return
		case s.op == condEq:
			list = append(list, s.want)
		case s.op == condIn:
			list = append(list, s.more.set.list...)
			if s.more.set.null {
				list = append(list, nil)
			}
		default:
			return
		}
	}
	*c = cond{op: condIn, slot: subs[0].slot, more: &condMore{set: newValueSet(subs[0].slot, list)}}
}

// operand converts a value to compare a field with. A value of nil has no order.
func (k compiler) operand(c *cond, field string, typ Type, v any) (any, error) {
	want, err := k.b.shape.lim.convert(typ, v)
	if err != nil {
		return nil, k.err(field, "has type %s: the value to compare with %s", typ, err.msg)
	}
	if want != nil && c.slot != nil && c.slot.kind == memFloat && c.slot.size == 4 {
		n := numberIn(want)
		f := float32(float64(int64(n.bits)))
		if n.isFloat {
			f = float32(n.float())
		}
		if !math.IsInf(float64(f), 0) {
			want = float64(f) // as the field holds it
		}
	}
	return want, nil
}

func (k compiler) equality(c *cond, field string, typ Type, v any) (err error) {
	c.op = condEq
	c.want, err = k.operand(c, field, typ, v)
	return err
}

func (k compiler) membership(c *cond, f *Filter, typ Type) error {
	c.op = condIn
	values := f.value.([]any)
	list := make([]any, len(values))
	for i, v := range values {
		var err error
		if list[i], err = k.operand(c, f.field, typ, v); err != nil {
			return err
		}
	}
	c.more = &condMore{set: newValueSet(c.slot, list)}
	return nil
}

func (k compiler) text(c *cond, f *Filter, typ Type) error {
	c.more = &condMore{}
	c.op = condText
	if f.op == opContains && (typ == Array || typ == Any) {
		want, err := k.b.shape.lim.convert(Any, f.value)
		if err != nil {
			return k.err(f.field, "has type %s: the value to look for %s", typ, err.msg)
		}
		if c.want = want; typ == Array {
			return nil
		}
		if text, ok := want.(string); ok {
			c.more.fold = newFoldedText(text)
		} else {
			c.more.fold.never = true
		}
		return nil
	}
	if err := k.applies(f, typ); err != nil {
		return err
	}
	text, err := toString(f.value)
	if err != nil {
		return k.err(f.field, "cannot be searched: the text %s", err.msg)
	}
	c.more.text = text
	switch f.op {
	case opContains:
		c.more.fold = newFoldedText(text)
	case opHasSuffix:
		c.op = condSuffix
	case opHasPrefix:
		c.op = condRange
		c.more.span = prefixInterval(text)
	}
	return nil
}

// prefixInterval is the strings that start with text.
func prefixInterval(text string) interval {
	r := interval{kind: kindString, lo: text, sLo: text}
	if end := keyenc.Successor([]byte(text)); end != nil {
		r.sHi, r.sEnd = string(end), true
		r.hi, r.hiOpen = r.sHi, true
	}
	return r
}

// comparison compiles Gt, Gte, Lt, Lte and Between.
func (k compiler) comparison(c *cond, f *Filter, typ Type) error {
	c.op, c.more = condRange, &condMore{}
	if err := k.applies(f, typ); err != nil {
		return err
	}
	own := typ
	if typ == Int || typ == Float {
		typ = Number // 18.5 lies between integers, 2^53+1 between floats
	}
	r := &c.more.span
	var lo, hi any
	switch f.op {
	case opGt, opGte:
		lo, r.loOpen = f.value, f.op == opGt
	case opLt, opLte:
		hi, r.hiOpen = f.value, f.op == opLt
	case opBetween:
		both := f.value.([2]any)
		lo, hi = both[0], both[1]
		if lo == nil || hi == nil {
			return k.err(f.field, "cannot be between: a bound is nil")
		}
	}
	if lo == nil && hi == nil {
		return k.err(f.field, "cannot be compared with nil: it has no order")
	}
	for _, b := range [2]struct {
		from any
		to   *any
	}{{lo, &r.lo}, {hi, &r.hi}} {
		if b.from == nil {
			continue
		}
		want, err := k.operand(c, f.field, typ, b.from)
		if err != nil {
			if _, err := k.operand(c, f.field, own, b.from); err != nil {
				return err // which names the field's own type
			}
			return err
		}
		*b.to = want
		switch r.kind = kindOf(want); r.kind {
		case kindAbsent:
			return k.err(f.field, "cannot be compared with nil: it has no order")
		case kindArray, kindObject:
			return k.err(f.field, "cannot be compared with an %s: it has no order", typeName(want))
		}
	}
	if r.lo != nil && r.hi != nil {
		if kindOf(r.lo) != kindOf(r.hi) {
			return k.err(f.field, "cannot be between: the bounds are of different types")
		}
		if compareValues(r.lo, r.hi) > 0 {
			return k.err(f.field, "cannot be between: the lower bound is above the upper one")
		}
	}
	r.settle()
	return nil
}

// settle fills in the forms of the bounds that a field's memory is compared with.
func (r *interval) settle() {
	r.iLo, r.iHi, r.fLo, r.fHi = math.MinInt64, math.MaxInt64, math.Inf(-1), math.Inf(1)
	switch r.kind {
	case kindNumber:
		if r.lo != nil {
			r.loNumber = numberIn(r.lo)
			r.floor(r.loNumber, r.loOpen)
		}
		if r.hi != nil {
			r.hiNumb = numberIn(r.hi)
			r.ceil(r.hiNumb, r.hiOpen)
		}
	case kindString:
		if r.lo != nil {
			if r.sLo = r.lo.(string); r.loOpen {
				r.sLo += "\x00"
			}
		}
		if r.hi != nil {
			r.sEnd = true
			if r.sHi = r.hi.(string); !r.hiOpen {
				r.sHi += "\x00"
			}
		}
	}
}

// floor makes closed lower bounds, of integers and of floats, of a number.
func (r *interval) floor(n number, open bool) {
	f := n.float()
	if n.isFloat {
		switch up := math.Ceil(f); {
		case up >= 1<<63:
			r.iLo, r.iHi = 1, 0
		case up >= -1<<63:
			if r.iLo = int64(up); open && up == f {
				if r.iLo == math.MaxInt64 {
					r.iHi, r.iLo = 0, 1
				} else {
					r.iLo++
				}
			}
		}
	} else {
		i := int64(n.bits)
		if r.iLo = i; open {
			if i == math.MaxInt64 {
				r.iLo, r.iHi = 1, 0
			} else {
				r.iLo++
			}
		}
		f = float64(i)
		switch floatNumber(f).compare(n) {
		case -1:
			open = true // the float next to it is below
		case 1:
			open = false
		}
	}
	r.fLo = f
	if open {
		r.fLo = math.Nextafter(f, math.Inf(1))
		r.empty = r.empty || math.IsInf(f, 1)
	}
}

// ceil makes closed upper bounds of a number.
func (r *interval) ceil(n number, open bool) {
	f := n.float()
	if n.isFloat {
		switch down := math.Floor(f); {
		case down < -1<<63:
			r.iLo, r.iHi = 1, 0
		case down < 1<<63:
			hi := int64(down)
			if open && down == f {
				if hi == math.MinInt64 {
					r.iLo, r.iHi = 1, 0
					break
				}
				hi--
			}
			r.iHi = min(r.iHi, hi)
		}
	} else {
		i := int64(n.bits)
		switch {
		case !open:
			r.iHi = min(r.iHi, i)
		case i == math.MinInt64:
			r.iLo, r.iHi = 1, 0
		default:
			r.iHi = min(r.iHi, i-1)
		}
		f = float64(i)
		switch floatNumber(f).compare(n) {
		case -1:
			open = false
		case 1:
			open = true
		}
	}
	r.fHi = f
	if open {
		r.fHi = math.Nextafter(f, math.Inf(-1))
		r.empty = r.empty || math.IsInf(f, -1)
	}
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
