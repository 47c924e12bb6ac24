package store

import (
	"math/bits"

	"github.com/noex-go/store/internal/table"
)

// need is what an answer wants of the records.
type need struct {
	unordered bool // any order will do
	want      int  // how many are read at most, offset included; -1: all
}

// choice is the path that an answer takes. It names paths by number, so that
// making one keeps no plan from living on its caller's stack.
type choice struct {
	path    int      // of the plan's candidates, or one of those below
	also    [2]int   // accessIndex: 1 + equalities whose rows are intersected with the path's; 0: none
	back    bool     // the index is walked from its end
	served  int      // keys of the order that the path brings already
	exact   bool     // the path brings the whole order
	nulls   nullPart // records that the index does not have
	rows    int      // estimate: read
	matches int      // estimate: there are
}

// The paths that need no candidate.
const (
	pathScan    = -1
	pathNothing = -2
)

var (
	scanPath    = path{access: accessAll}
	nothingPath = path{access: accessNone}
)

type nullPart uint8

const (
	noNulls nullPart = iota
	nullsFirst
	nullsLast
)

// Costs in the unit of one record read by a scan. An index leads to records in
// no order of memory, and a comparison while sorting costs about half a read.
const (
	costIndexed = 2.0
	costSpan    = 10.0
	costCompare = 0.5
)

// pick chooses the path of an answer: the one that is estimated to read and sort
// least, by the counts that the view's indexes keep.
func (p *plan) pick(v table.View, n need) choice {
	if path, ok := p.only(n); ok {
		return choice{path: path, exact: true}
	}
	if n.want >= 0 && n.want <= fewRows && !n.unordered {
		for i := range p.cands {
			if c, ok := p.straight(v, n, i); ok {
				return c
			}
		}
	}
	c := choice{path: pathScan}
	all := v.GuessAll()
	matches := p.guessMatches(v, all)
	best := p.cost(v, n, &c, all, matches, all)
	for i := range p.cands {
		if n.unordered && p.path(i).ordering {
			continue
		}
		other := choice{path: i}
		rows := p.guess(v, p.path(i))
		if cost := p.cost(v, n, &other, all, matches, rows); cost < best {
			best, c = cost, other
		}
	}
	p.intersect(v, &c, all)
	return c
}

// only returns the path that there is no other than, in the order of the answer.
func (p *plan) only(n need) (path int, ok bool) {
	if p.never || n.want == 0 {
		return pathNothing, true
	}
	if !n.unordered && len(p.order) > 0 {
		return 0, false
	}
	switch {
	case p.cands == 0:
		return pathScan, true
	case p.cands == 1 && p.first.inRows():
		return 0, true
	}
	return 0, false
}

// fewRows is how many records a path that brings just what is asked for may read
// without being compared with others: less than the estimates cost.
const fewRows = 128

// straight reports whether a path answers all conditions and brings the order, so
// that it reads no record in vain.
func (p *plan) straight(v table.View, n need, i int) (choice, bool) {
	c, x := choice{path: i}, p.path(i)
	if !p.answers(x.answered) || x.access != accessIndex {
		return c, false
	}
	p.serve(v, n, &c)
	c.rows, c.matches = n.want, n.want
	return c, c.exact && c.nulls == noNulls
}

// inRows reports whether a path brings records in the order of insertion.
func (x *path) inRows() bool {
	return x.access == accessAll || x.access == accessKey || x.access == accessNone ||
		x.access == accessIndex && x.point && len(x.spans) == 0
}

// cost completes the choice of a path that has about rows candidates, and
// estimates what it costs to take it.
func (p *plan) cost(v table.View, n need, c *choice, all, matches, rows int) float64 {
	c.matches, c.rows = matches, rows
	p.serve(v, n, c)
	per, x := costIndexed, p.path(c.path)
	if x.access == accessAll {
		per = 1
	}
	read, sorted := float64(rows), 0.0
	if c.nulls != noNulls {
		read += float64(all) / per
	}
	if (c.exact || c.served > 0) && n.want >= 0 && n.want < matches {
		read *= float64(n.want) / float64(matches) // and the rest of the last group
		c.rows = max(int(read), n.want)
	}
	if !c.exact {
		keep := matches
		if n.want >= 0 {
			keep = min(keep, n.want)
		}
		sorted = float64(matches) * float64(bits.Len(uint(keep))) * costCompare
		if c.served > 0 { // in groups, until there are enough
			sorted *= float64(keep) / float64(max(matches, 1)) / 2
		}
	}
	return read*per + sorted + costSpan*float64(len(x.spans)+1)
}

// serve finds out how much of the order a path brings.
func (p *plan) serve(v table.View, n need, c *choice) {
	x := p.path(c.path)
	if n.unordered {
		c.exact = true
		return
	}
	if len(p.order) == 0 {
		c.exact = x.inRows() || x.access == accessUnion
		return
	}
	if x.access == accessKey || x.access == accessNone {
		c.exact = true
		return
	}
	if x.access != accessIndex || len(x.spans) > 0 {
		return
	}
	ix := &p.b.shape.indexes[x.index]
	fields := ix.fields[x.eq:]
	c.served, c.back = p.served(fields)
	if c.served == 0 {
		return
	}
	if x.ordering {
		c.nulls = p.nullsBeside(v, x.index, c.back)
	}
	if c.served == len(p.order) && c.served == len(fields) {
		c.exact = c.nulls == noNulls || c.served == 1
	} else {
		c.exact = ix.unique && c.nulls == noNulls
	}
}

// served returns how many keys of the order an index over the given fields brings,
// and whether backward.
func (p *plan) served(fields []int) (n int, back bool) {
	for n < min(len(fields), len(p.order)) {
		k := &p.order[n]
		if !k.ref.plain() || k.ref.slot.pos != fields[n] || n > 0 && k.desc != back {
			break
		}
		back = k.desc
		n++
	}
	return n, back
}

// nullsBeside says where the records come that an index does not have, because
// they have no value in its first field.
func (p *plan) nullsBeside(v table.View, index int, back bool) nullPart {
	pos := p.b.shape.indexes[index].fields[0]
	if s := &p.b.shape.slots[pos]; s.required || pos == p.b.shape.key || p.present(pos) {
		return noNulls
	}
	if all, ok := v.Counted(); ok {
		if indexed, ok := v.Indexed(index); ok && indexed == all {
			return noNulls
		}
	}
	if back {
		return nullsLast
	}
	return nullsFirst
}

// present reports whether a condition asks for the field to be there.
func (p *plan) present(pos int) bool {
	for i := range p.conds {
		if c := &p.conds[i]; c.op == condPresent && !c.not && c.slot != nil && c.slot.pos == pos {
			return true
		}
	}
	return false
}

// guess estimates how many candidates a path has.
func (p *plan) guess(v table.View, x *path) (n int) {
	switch x.access {
	case accessAll:
		return v.GuessAll()
	case accessKey:
		return 1
	case accessKeys:
		return len(x.keys)
	case accessIndex:
		if len(x.spans) == 0 {
			return p.guessSpan(v, x, x.span)
		}
		return p.guessSpans(v, x)
	case accessUnion:
		for _, branch := range x.branches {
			n += branch.guessLeast(v)
		}
	}
	return n
}

// probedSpans is how many of many intervals are looked at to estimate the rest.
const probedSpans = 32

func (p *plan) guessSpans(v table.View, x *path) int {
	step := max(len(x.spans)/probedSpans, 1)
	n, probed := 0, 0
	for i := 0; i < len(x.spans); i += step {
		n += p.guessSpan(v, x, x.spans[i])
		probed++
	}
	return n * len(x.spans) / max(probed, 1)
}

func (p *plan) guessSpan(v table.View, x *path, span table.Range) int {
	if x.point {
		return v.Guess(x.index, span.Lo)
	}
	return v.GuessRange(x.index, span)
}

// guessLeast is the least that any path of the plan reads.
func (p *plan) guessLeast(v table.View) int {
	least := -1
	for i := range p.cands {
		if n := p.guess(v, p.path(i)); least < 0 || n < least {
			least = n
		}
	}
	return max(least, 0)
}

// guessMatches estimates the records that meet all conditions: the shares of
// paths that answer different ones multiplied, and a half for each of the others.
func (p *plan) guessMatches(v table.View, all int) int {
	share := 1.0
	var done uint64
	for i := range p.cands {
		x := p.path(i)
		if x.answered == 0 || x.answered&done != 0 {
			continue
		}
		done |= x.answered
		share *= min(float64(p.guess(v, x))/float64(max(all, 1)), 1)
	}
	for i := range p.conds {
		if i >= 64 || done&answered(i) == 0 {
			share /= 2
		}
	}
	return int(share * float64(all))
}

// worthIntersecting is the least number of candidates that a path must have for
// the rows of another to be looked at beside.
const worthIntersecting = 128

// intersect adds the equalities that thin out the candidates of an equality
// before a record is looked at.
func (p *plan) intersect(v table.View, c *choice, all int) {
	chosen := p.path(c.path)
	if chosen.access != accessIndex || !chosen.inRows() || p.cands < 2 {
		return
	}
	rows := p.guess(v, chosen)
	n := 0
	for i := range p.cands {
		x := p.path(i)
		if x == chosen || !x.inRows() || x.access != accessIndex || x.answered&^chosen.answered == 0 {
			continue
		}
		if rows < worthIntersecting || n == len(c.also) {
			return
		}
		if theirs := p.guess(v, x); theirs < all/2 {
			c.also[n] = i + 1
			n++
			rows = rows * theirs / max(all, 1)
			c.rows = min(c.rows, rows)
		}
	}
}
