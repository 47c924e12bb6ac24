package store

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/reactive"
)

// watch is one thing that a node has read of a bucket, registered where a change
// of it is found: see anchor. The first fields are what matching needs, in one
// piece of memory: the place at which the index finds the watch is a part of it.
type watch struct {
	at     spot // the first; the others are in more
	n      *node
	dep    *dependency // the answer to a query
	b      *bucket
	self   [1]*watch // itself, for a list of no other
	more   *[]spot   // nil: there are none
	sure   bool      // every change that is found at its places concerns it
	listed bool      // of a list
	_      [6]byte
	key    Key // without dep: the record under it
}

// others are its places but the first.
func (w *watch) others() []spot {
	if w.more == nil {
		return nil
	}
	return *w.more
}

// concerns reports whether a change could have made what was read come out
// otherwise.
func (w *watch) concerns(c *change) bool {
	if w.dep == nil {
		return w.key == c.key()
	}
	return w.dep.overlaps(c)
}

// covers reports whether a watch stands for another read as well. Where it is sure,
// its point says what it is about, which is at hand, unlike its dependency.
func (w *watch) covers(b *bucket, key Key, dep *dependency, p *prober) bool {
	switch {
	case w.b != b || (w.dep == nil) != (dep == nil):
		return false
	case dep == nil:
		return w.key == key
	case w.sure:
		p.point = p.point[:0]
		return w.at.space.locates(dep, p) && w.at.Is(p.point)
	}
	return w.dep.same(dep)
}

// locates encodes the point of a dependency, if that is decided by the fields of
// the space.
func (sp *space) locates(dep *dependency, p *prober) bool {
	if !dep.decided(len(sp.eq)) {
		return false
	}
	for i := range sp.eq {
		at := slices.IndexFunc(dep.conds, func(c cond) bool { return c.slot == sp.eq[i].ref.slot })
		if at < 0 {
			return false
		}
		p.point = appendValue(p.point, dep.conds[at].want)
	}
	return true
}

// anchor is where a change is looked for: the values of the fields that a read
// fixes by equality, and an interval of one more field. Every change that
// concerns the read has, before or after it, a record at one of its anchors.
type anchor struct {
	eq    []fixed
	axis  *fieldRef // nil: none
	rows  bool      // the axis is the place in the order of insertion
	span  reactive.Interval
	never bool // no record can be there
}

// fixed is a field and the only value that it can have, canonical.
type fixed struct {
	ref  *fieldRef
	want any
}

// spot is an anchor as it is registered: in the space of all that fix the same
// fields.
type spot struct {
	reactive.Place[*watch]
	space *space
}

// maxAnchors bounds what several values of an In, and branches of an Or, multiply
// to. What would need more is looked for more widely.
const maxAnchors = 64

var everywhere = reactive.Interval{NoHi: true}

// anchors returns where changes that concern a read are looked for.
func (d *dependency) anchors() []anchor {
	if d.never {
		return []anchor{{never: true}}
	}
	list := anchorsOf(d.conds)
	for i := range list {
		d.bound(&list[i])
		slices.SortFunc(list[i].eq, func(a, b fixed) int { return strings.Compare(a.ref.name, b.ref.name) })
	}
	return list
}

// anchorsOf returns the anchors of conditions that must all hold.
func anchorsOf(conds []cond) []anchor {
	list := []anchor{{span: everywhere}}
	for i := range conds {
		c := &conds[i]
		if c.not {
			continue
		}
		switch c.op {
		case condEq:
			list = fix(list, c.ref(), []any{c.want}, false)
		case condIn:
			list = fix(list, c.ref(), c.more.set.list, c.more.set.null)
		}
	}
	for i := range conds {
		c := &conds[i]
		switch {
		case c.not:
		case c.op == condRange && c.slot != nil && hasAxis(c.slot):
			for j := range list {
				list[j].between(c)
			}
		case c.op == condOr && len(list) == 1 && len(list[0].eq) == 0 && list[0].axis == nil:
			if branches := anchorsOfAny(c.more.subs); branches != nil {
				list = branches
			}
		}
	}
	return list
}

// anchorsOfAny returns the anchors of conditions of which one must hold; nil if
// one of them could hold anywhere.
func anchorsOfAny(subs []cond) (list []anchor) {
	for i := range subs {
		conds := subs[i : i+1]
		if subs[i].op == condAnd {
			conds = subs[i].more.subs
		}
		for _, a := range anchorsOf(conds) {
			if len(a.eq) == 0 && a.axis == nil || len(list) == maxAnchors {
				return nil
			}
			list = append(list, a)
		}
	}
	return list
}

// ref is the field that a condition is about.
func (c *cond) ref() *fieldRef {
	if c.slot != nil {
		return &fieldRef{name: c.slot.name, typ: c.slot.typ, slot: c.slot}
	}
	return c.far
}

// fix multiplies anchors by the values that a field can have.
func fix(list []anchor, ref *fieldRef, values []any, null bool) []anchor {
	if null {
		values = append(slices.Clip(values), nil)
	}
	if len(list)*len(values) > maxAnchors || list[0].has(ref) {
		return list
	}
	var out []anchor
	for i := range list {
		for _, v := range values {
			a := list[i]
			a.eq = append(slices.Clip(a.eq), fixed{ref, v})
			out = append(out, a)
		}
	}
	return out
}

func (a *anchor) has(ref *fieldRef) bool {
	return slices.ContainsFunc(a.eq, func(f fixed) bool { return f.ref.name == ref.name })
}

// hasAxis reports whether the encoding of a field's values sorts as they do.
func hasAxis(s *slot) bool {
	switch s.kind {
	case memString, memInt, memUint, memFloat, memNumber, memBool, memTime:
		return true
	}
	return false
}

// between narrows an anchor to the interval of a condition, unless it has one of
// another field.
func (a *anchor) between(c *cond) {
	ref := c.ref()
	if a.axis != nil && a.axis.name != ref.name || a.has(ref) {
		return
	}
	a.axis = ref
	r := encodedInterval(c.span)
	if !r.NoLo {
		a.span.Lo = max(a.span.Lo, r.Lo.Text)
	}
	if !r.NoHi {
		a.below(r.Hi.Text)
	}
}

func (a *anchor) below(hi string) {
	if a.span.NoHi || hi < a.span.Hi {
		a.span.Hi, a.span.NoHi = hi, false
	}
}

// bound narrows an anchor to the part of the order that was read.
func (d *dependency) bound(a *anchor) {
	if d.after == nil && d.from == nil && d.until == nil {
		return
	}
	if len(d.order) == 0 {
		if a.axis == nil {
			a.axis, a.rows = nil, true
			d.boundRows(a)
		}
		return
	}
	k := &d.order[0]
	if !k.ref.plain() || !hasAxis(k.ref.slot) || a.axis != nil && a.axis.name != k.ref.name || a.has(&k.ref) {
		return
	}
	a.axis = &k.ref
	lo, hi := d.after, d.until
	if lo == nil {
		lo = d.from
	}
	if k.desc {
		lo, hi = hi, lo
	}
	if lo != nil {
		a.span.Lo = max(a.span.Lo, string(lo.encoded(k)))
	}
	if hi != nil {
		a.below(string(keyenc.Successor(hi.encoded(k))))
	}
}

// boundRows is bound in the order of insertion.
func (d *dependency) boundRows(a *anchor) {
	if d.after != nil {
		a.span.Lo = rowPlace(d.after.row())
	}
	if d.from != nil {
		a.span.Lo = rowPlace(d.from.row())
	}
	if d.until != nil {
		a.span.Hi, a.span.NoHi = rowPlace(d.until.row())+"\x00", false
	}
}

func rowPlace(ordinal uint64) string { return string(binary.BigEndian.AppendUint64(nil, ordinal)) }

func (a *place) row() uint64 {
	if a.values != nil {
		return a.values.ordinal
	}
	return a.ordinal
}

// encoded is the value that a place has in the first field of the order.
func (a *place) encoded(k *orderKey) []byte {
	if a.values != nil {
		return appendValue(nil, a.values.values[0])
	}
	return k.ref.appendKey(nil, a.v)
}

// place returns where an anchor is registered: the name of a space, and a point.
func (a *anchor) place() (space, point string) {
	if a.never {
		return neverSpace, ""
	}
	var name, at []byte
	for i := range a.eq {
		name = keyenc.AppendString(name, a.eq[i].ref.name)
		at = appendValue(at, a.eq[i].want)
	}
	switch {
	case a.rows:
		name = append(name, 1)
	case a.axis != nil:
		name = keyenc.AppendString(append(name, 2), a.axis.name)
	}
	return string(name), string(at)
}

// The names of two spaces that no anchor's fields make.
const (
	keySpace   = "\xfe" // by the record's key
	neverSpace = "\xff" // never looked into
)

// space is all that is watched in a bucket by the same fields.
type space struct {
	name    string
	eq      []fixed
	axis    *fieldRef
	rows    bool
	key     bool
	regions reactive.Regions[*watch]
}

// watchers is what is watched in a bucket, under the reactor's lock.
type watchers struct {
	spaces map[string]*space
	list   []*space // those to look into
}

// space finds or makes the space of a name; that of keys has no anchors.
func (ws *watchers) space(name string, a *anchor) *space {
	sp := ws.spaces[name]
	if sp == nil {
		sp = &space{name: name, key: name == keySpace}
		if a != nil {
			sp.eq, sp.axis, sp.rows = a.eq, a.axis, a.rows
		}
		ws.spaces[name] = sp
		if name != neverSpace {
			ws.list = append(ws.list, sp)
		}
	}
	return sp
}

// remove takes a watch out.
func (ws *watchers) remove(w *watch) {
	w.leave(ws, &w.at)
	for i := range w.others() {
		w.leave(ws, &w.others()[i])
	}
}

func (w *watch) leave(ws *watchers, s *spot) {
	sp := s.space
	if sp.regions.Remove(&s.Place); sp.regions.Len() == 0 {
		delete(ws.spaces, sp.name)
		ws.list = slices.DeleteFunc(ws.list, func(x *space) bool { return x == sp })
	}
}

// each calls fn for every watch.
func (ws *watchers) each(fn func(w *watch)) {
	for _, sp := range ws.spaces {
		sp.regions.All(fn)
	}
}

// probe looks for the watches that a change may concern, where the record was and
// where it is.
func (sp *space) probe(c *change, p *prober) {
	if c.old != nil {
		p.locate(sp, c, true)
		p.visited += int64(sp.regions.At(p.point, p.at, p.found))
	}
	if c.new == nil || c.old != nil && sp.key {
		return
	}
	if c.old != nil {
		p.point, p.wasPoint = p.wasPoint, p.point
		p.at, p.wasAt = p.wasAt, p.at
	}
	p.locate(sp, c, false)
	if c.old != nil && string(p.point) == string(p.wasPoint) && string(p.at) == string(p.wasAt) {
		return
	}
	p.visited += int64(sp.regions.At(p.point, p.at, p.found))
}

// prober is the reactor's scratch for looking into spaces.
type prober struct {
	point, wasPoint []byte
	at, wasAt       []byte
	found           func(w *watch)
	visited         int64
}

// locate encodes a record's place in a space.
func (p *prober) locate(sp *space, c *change, old bool) {
	v := c.new
	if old {
		v = c.old
	}
	p.point, p.at = p.point[:0], p.at[:0]
	if sp.key {
		p.point = appendValue(p.point, c.key().Value())
		return
	}
	for i := range sp.eq {
		p.point = sp.eq[i].ref.appendKey(p.point, v)
	}
	switch {
	case sp.rows:
		p.at = binary.BigEndian.AppendUint64(p.at, c.ordinal)
	case sp.axis != nil:
		p.at = sp.axis.appendKey(p.at, v)
	}
}

// locate finds the places where changes are looked for, and enters the watch.
func (ws *watchers) locate(w *watch) {
	if w.dep == nil {
		var buf [32]byte
		ws.enter(w, &w.at, nil, keySpace, string(appendValue(buf[:0], w.key.Value())), everywhere)
		return
	}
	anchors := w.dep.anchors()
	if len(anchors) > 1 {
		more := make([]spot, len(anchors)-1)
		w.more = &more
	}
	w.sure = len(anchors) == 1 && w.dep.decided(len(anchors[0].eq))
	for i := range anchors {
		s := &w.at
		if i > 0 {
			s = &w.others()[i-1]
		}
		space, point := anchors[i].place()
		ws.enter(w, s, &anchors[i], space, point, anchors[i].span)
	}
}

func (ws *watchers) enter(w *watch, s *spot, a *anchor, space, point string, span reactive.Interval) {
	s.space = ws.space(space, a)
	s.space.regions.Enter(&s.Place, point, span, w)
}

// decided reports whether each change at an anchor that fixes so many fields is
// one of what was read: all that is asked for is that these fields have some values,
// and all of a record was read. A change is then not tested once more.
func (d *dependency) decided(fields int) bool {
	if d.never || !d.values || d.fields != nil || d.after != nil || d.from != nil || d.until != nil || len(d.conds) != fields {
		return false
	}
	for i := range d.conds {
		if c := &d.conds[i]; c.not || c.op != condEq || c.slot == nil || !hasAxis(c.slot) {
			return false
		}
	}
	return true
}
