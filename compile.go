package store

import (
	"fmt"
	"math"
)

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
	if want != nil && (c.slot != nil && c.slot.kind == memFloat && c.slot.size == 4 || c.far != nil && c.far.single) {
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
		span := prefixInterval(text)
		c.span, c.more = &span, nil
	}
	return nil
}

// comparison compiles Gt, Gte, Lt, Lte and Between.
func (k compiler) comparison(c *cond, f *Filter, typ Type) error {
	c.op, c.span = condRange, new(interval)
	if err := k.applies(f, typ); err != nil {
		return err
	}
	own := typ
	if typ == Int || typ == Float {
		typ = Number // 18.5 lies between integers, 2^53+1 between floats
	}
	r := c.span
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
