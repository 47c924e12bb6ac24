package store

import (
	"math"
	"math/bits"
	"slices"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// plan is a query as compiled: the conditions, of which all must hold, the
// order, and the paths that could find the records. Which path is taken is
// decided anew for each answer, by the counts that the indexes keep (pick). A
// plan never changes once it is compiled.
type plan struct {
	conditions
	few    [2]cond // where they begin, so that a small plan needs no memory of its own
	dry    bool    // placeholders stand for values: the plan is only to be checked
	prints uint64  // atomic: the fingerprint for cursors, 0 until it is asked for
	first  path    // the first candidate
	paths  []path  // the others
	cands  int
}

// conditions is what a query asks for: which records, in which order.
type conditions struct {
	b     *bucket
	conds []cond // all must hold
	never bool   // no record can match
	order []orderKey
}

// depend returns a dependency on the conditions, in memory of its own: one piece,
// if there is one condition.
func (p *conditions) depend() *dependency {
	if len(p.conds) != 1 {
		return &dependency{conditions: conditions{p.b, slices.Clone(p.conds), p.never, p.order}}
	}
	d := &struct {
		dependency
		one [1]cond
	}{one: [1]cond{p.conds[0]}}
	d.conditions = conditions{p.b, d.one[:], p.never, p.order}
	return &d.dependency
}

// path is a way to candidates for the conditions: a superset of the matches.
type path struct {
	access   access
	index    int
	point    bool        // the spans are single keys, their Lo
	span     table.Range // accessIndex: the interval, unless there are several
	spans    []table.Range
	eq       int     // leading fields of the index that are fixed to one value
	answered uint64  // conditions that the path itself answers
	text     string  // accessKey
	word     int64   // accessKey
	keys     []any   // accessKeys: sorted
	branches []*plan // accessUnion
	ordering bool    // serves only the order, not a condition
}

type access uint8

const (
	accessAll   access = iota // every record, in the order of insertion
	accessNone                // nothing
	accessKey                 // the record with a key
	accessKeys                // the records with some keys
	accessIndex               // intervals of an index
	accessUnion               // what any of the branches finds
)

// compile checks filters and order, and collects the paths.
func (b *bucket) compile(p *plan, filters []Filter, order []Order) error {
	p.b = b
	if b.dropped.Load() {
		return b.fail("query", Key{}, ErrBucketNotDefined)
	}
	k := compiler{b: b, dry: p.dry}
	for i := range filters {
		if err := k.conjunction(p, &filters[i], false, 0); err != nil {
			return err
		}
	}
	if len(order) > 0 || b.def.Ordered {
		if err := p.compileOrder(k, order); err != nil {
			return err
		}
	}
	if len(p.conds) > 0 || len(p.order) > 0 {
		p.collect()
	}
	return nil
}

// add makes room for a condition.
func (p *plan) add() *cond {
	if p.conds == nil {
		p.conds = p.few[:0]
	}
	p.conds = append(p.conds, cond{})
	return &p.conds[len(p.conds)-1]
}

func (p *plan) drop() {
	p.conds[len(p.conds)-1] = cond{}
	p.conds = p.conds[:len(p.conds)-1]
}

// reduce simplifies the condition that was added last, and drops it if it says
// nothing.
func (p *plan) reduce() {
	c := &p.conds[len(p.conds)-1]
	c.simplify()
	if c.op == condConst {
		p.never = p.never || c.not
		p.drop()
	}
}

// simplify replaces a condition by a simpler one that says the same.
func (c *cond) simplify() {
	switch c.op {
	case condIn:
		set := &c.more.set
		switch {
		case len(set.list) == 0 && !set.null:
			*c = cond{op: condConst, not: !c.not}
		case len(set.list) == 0:
			*c = cond{op: condEq, not: c.not, slot: c.slot, far: c.far}
		case len(set.list) == 1 && !set.null:
			*c = cond{op: condEq, not: c.not, slot: c.slot, far: c.far, want: set.list[0]}
		}
	case condRange:
		r := c.span
		ints := c.slot != nil && (c.slot.kind == memInt || c.slot.kind == memUint)
		if r.kind == kindNumber && (r.empty || ints && r.iLo > r.iHi) {
			*c = cond{op: condConst, not: !c.not}
		}
	case condOr, condAnd:
		if len(c.more.subs) == 0 {
			*c = cond{op: condConst, not: c.op == condOr}
		} else if len(c.more.subs) == 1 {
			*c = c.more.subs[0]
		}
	}
}

// test reports whether a version meets all conditions but those in a set.
func (p *conditions) test(v *table.Version, answered uint64) bool {
	for i := range p.conds {
		if answered>>i&1 == 0 && !p.conds[i].test(v) {
			return false
		}
	}
	return true
}

// answers reports whether a set has all conditions.
func (p *plan) answers(set uint64) bool { return len(p.conds) < 64 && set == 1<<uint(len(p.conds))-1 }

// answered is the set of one condition; those from the 64th on are always tested.
func answered(i int) uint64 { return 1 << uint(i) }

func (p *plan) candidate(x path) {
	if p.cands++; p.cands == 1 {
		p.first = x
	} else {
		p.paths = append(p.paths, x)
	}
}

// path returns a candidate, or one of the paths that need none.
func (p *plan) path(i int) *path {
	switch i {
	case pathScan:
		return &scanPath
	case pathNothing:
		return &nothingPath
	case 0:
		return &p.first
	}
	return &p.paths[i-1]
}

// collect finds the paths that the conditions allow, and those that serve the
// order.
func (p *plan) collect() {
	sh := p.b.shape
	for i := range p.conds {
		c := &p.conds[i]
		switch {
		case c.not:
		case c.op == condOr:
			p.collectUnion(c)
		case c.slot == nil || c.slot.pos != sh.key:
		case c.op == condEq && c.want != nil:
			x := path{access: accessKey, answered: answered(i)}
			if sh.textKey() {
				x.text = c.want.(string)
			} else {
				x.word = c.want.(int64)
			}
			p.candidate(x)
		case c.op == condIn && !c.more.set.null:
			p.candidate(path{access: accessKeys, keys: c.more.set.list, answered: answered(i)})
		}
	}
	for i := range sh.indexes {
		ix := &sh.indexes[i]
		switch {
		case len(ix.fields) == 1:
			p.collectSingle(i, ix)
		case len(ix.fields) > 1:
			p.collectCompound(i, ix)
		}
	}
}

// on returns the positive conditions that an index can answer for a field: an
// equality, or an In, or intervals.
func (p *plan) on(pos int) (eq, in int, ranges uint64) {
	eq, in = -1, -1
	for i := range min(len(p.conds), 64) {
		c := &p.conds[i]
		if c.not || c.slot == nil || c.slot.pos != pos {
			continue
		}
		switch {
		case c.op == condEq && c.want != nil:
			eq = i
		case c.op == condIn && !c.more.set.null:
			in = i
		case c.op == condRange:
			ranges |= answered(i)
		}
	}
	return eq, in, ranges
}

func (p *plan) collectSingle(i int, ix *indexPlan) {
	eq, in, ranges := p.on(ix.fields[0])
	if eq < 0 && in < 0 && ranges == 0 && len(p.order) == 0 {
		return
	}
	x := path{access: accessIndex, index: i}
	switch {
	case eq >= 0:
		x.point, x.eq, x.answered = true, 1, answered(eq)
		x.span.Lo = ix.single(p.conds[eq].want)
	case in >= 0:
		x.point, x.answered = true, answered(in)
		for _, v := range p.conds[in].more.set.list {
			x.spans = append(x.spans, table.Range{Lo: ix.single(v)})
		}
	case ranges != 0:
		x.answered = ranges
		x.span = table.Range{NoLo: true, NoHi: true}
		for m := ranges; m != 0; m &= m - 1 {
			narrow(&x.span, ix.interval(p.conds[bits.TrailingZeros64(m)].span, p.b.shape))
		}
	default:
		if len(p.order) == 0 || p.order[0].ref.slot == nil || !p.order[0].ref.plain() || p.order[0].ref.slot.pos != ix.fields[0] {
			return
		}
		x.ordering = true
		x.span = table.Range{NoLo: true, NoHi: true}
	}
	p.candidate(x)
}

// maxSpans bounds the intervals that several Ins on a compound index multiply to.
const maxSpans = 1024

func (p *plan) collectCompound(i int, ix *indexPlan) {
	x := path{access: accessIndex, index: i}
	prefixes := [][]byte{nil}
	fixed := 0
	for _, pos := range ix.fields {
		eq, in, _ := p.on(pos)
		if eq >= 0 {
			for j, b := range prefixes {
				prefixes[j] = appendCanonical(b, p.conds[eq].want)
			}
			x.answered |= answered(eq)
			fixed++
			if len(prefixes) == 1 {
				x.eq = fixed
			}
			continue
		}
		if in < 0 || len(prefixes)*len(p.conds[in].more.set.list) > maxSpans {
			break
		}
		var next [][]byte
		for _, b := range prefixes {
			for _, v := range p.conds[in].more.set.list {
				next = append(next, appendCanonical(slices.Clip(b), v))
			}
		}
		prefixes = next
		x.answered |= answered(in)
		fixed++
	}
	rest := p.compoundRange(&x, ix, fixed)
	if x.answered == 0 {
		if len(p.order) == 0 || !p.order[0].ref.plain() || p.order[0].ref.slot.pos != ix.fields[0] {
			return
		}
		x.ordering = true
	}
	x.point = fixed == len(ix.fields)
	for _, b := range prefixes {
		x.spans = append(x.spans, prefixSpan(b, rest))
	}
	if len(x.spans) == 1 {
		x.span, x.spans = x.spans[0], nil
	}
	p.candidate(x)
}

// compoundRange returns the interval that conditions ask of the field after the
// fixed ones, as bytes that follow the prefix.
func (p *plan) compoundRange(x *path, ix *indexPlan, fixed int) table.Range {
	rest := table.Range{NoLo: true, NoHi: true}
	if fixed == len(ix.fields) {
		return rest
	}
	_, _, ranges := p.on(ix.fields[fixed])
	for m := ranges; m != 0; m &= m - 1 {
		narrow(&rest, encodedInterval(p.conds[bits.TrailingZeros64(m)].span))
	}
	if ranges != 0 && rest.NoLo && fixed > 0 {
		// Absent fields sort first and are in no interval.
		rest.Lo.Text, rest.NoLo = string(keyenc.Successor(keyenc.AppendNull(nil))), false
	}
	x.answered |= ranges
	return rest
}

// prefixSpan is the interval of keys that start with a prefix and go on within
// rest.
func prefixSpan(prefix []byte, rest table.Range) table.Range {
	out := table.Range{Lo: table.Key{Text: string(prefix) + rest.Lo.Text}, NoLo: len(prefix) == 0 && rest.NoLo}
	if !rest.NoHi {
		out.Hi.Text = string(prefix) + rest.Hi.Text
	} else if end := keyenc.Successor(prefix); end != nil {
		out.Hi.Text = string(end)
	} else {
		out.NoHi = true
	}
	return out
}

// narrow intersects an interval with another one of the same index.
func narrow(a *table.Range, b table.Range) {
	if !b.NoLo && (a.NoLo || a.Lo.Word < b.Lo.Word || a.Lo.Text < b.Lo.Text) {
		a.Lo, a.NoLo = b.Lo, false
	}
	if !b.NoHi && (a.NoHi || a.Hi.Word > b.Hi.Word || a.Hi.Text > b.Hi.Text) {
		a.Hi, a.NoHi = b.Hi, false
	}
}

// interval is the interval of keys of an index over one field.
func (ix *indexPlan) interval(r *interval, sh *shape) table.Range {
	switch s := &sh.slots[ix.fields[0]]; s.kind {
	case memString:
		return table.Range{Lo: table.Key{Text: r.sLo}, Hi: table.Key{Text: r.sHi}, NoLo: r.lo == nil, NoHi: !r.sEnd}
	case memInt, memUint:
		return wordSpan(keyenc.Int64(r.iLo), keyenc.Int64(r.iHi))
	case memFloat:
		return wordSpan(keyenc.Float64(r.fLo), keyenc.Float64(r.fHi))
	case memBool:
		lo, hi := uint64(0), uint64(1)
		if r.lo != nil {
			if lo = keyenc.Bool(r.lo.(bool)); r.loOpen {
				lo++
			}
		}
		if r.hi != nil {
			if hi = keyenc.Bool(r.hi.(bool)); r.hiOpen {
				return table.Range{Lo: table.Key{Word: lo}, Hi: table.Key{Word: hi}}
			}
		}
		return wordSpan(lo, hi)
	}
	return encodedInterval(r)
}

// wordSpan is the interval of words from lo up to and with hi.
func wordSpan(lo, hi uint64) table.Range {
	return table.Range{Lo: table.Key{Word: lo}, Hi: table.Key{Word: hi + 1}, NoHi: hi == math.MaxUint64}
}

// encodedInterval is an interval in the encoding of package keyenc. What has no
// bound there has none in the values' own kind: all values of a field are of one.
func encodedInterval(r *interval) table.Range {
	out := table.Range{NoLo: r.lo == nil, NoHi: r.hi == nil}
	if !out.NoLo {
		b := appendCanonical(nil, r.lo)
		if r.loOpen {
			b = keyenc.Successor(b)
		}
		out.Lo.Text = string(b)
	}
	if !out.NoHi {
		b := appendCanonical(nil, r.hi)
		if !r.hiOpen {
			b = keyenc.Successor(b)
		}
		out.Hi.Text = string(b)
	}
	return out
}

// collectUnion makes a path of an Or whose branches all have one.
func (p *plan) collectUnion(c *cond) {
	x := path{access: accessUnion}
	for i := range c.more.subs {
		sub := &c.more.subs[i]
		branch := &plan{conditions: conditions{b: p.b, conds: c.more.subs[i : i+1]}}
		if sub.op == condAnd {
			branch.conds = sub.more.subs
		}
		branch.collect()
		switch {
		case sub.op == condConst && sub.not:
			continue // it finds nothing
		case branch.cands == 0:
			return
		}
		x.branches = append(x.branches, branch)
	}
	p.candidate(x)
}
