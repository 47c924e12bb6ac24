package store

import (
	"math"
	"math/bits"

	"github.com/noex-go/store/internal/table"
)

// txIndex finds the writes of a long list: by key, by the version that they
// replace, and, from the first query on that could use it, in the order of an
// index.
type txIndex struct {
	tb    *txBucket
	byKey map[Key]*txWrite
	byOld map[*table.Version]*txWrite
	// trees has the new versions in the order of each index, and at last in the
	// order of insertion; nil: nobody has asked yet.
	trees []*txTree
}

// longList is how many writes are searched one by one.
const longList = 8

func newTxIndex(tb *txBucket) *txIndex {
	x := &txIndex{tb: tb, byKey: map[Key]*txWrite{}, byOld: map[*table.Version]*txWrite{}}
	x.trees = make([]*txTree, len(tb.b.shape.indexes)+1)
	for _, w := range tb.list {
		x.add(w)
	}
	return x
}

func (x *txIndex) add(w *txWrite) {
	x.byKey[w.key] = w
	if w.old != nil {
		x.byOld[w.old] = w
	}
}

func (x *txIndex) remove(w *txWrite) {
	delete(x.byKey, w.key)
	delete(x.byOld, w.old)
}

// enter puts a write's new version into the trees that there are, and leave takes
// it out.
func (x *txIndex) enter(w *txWrite) {
	for i, t := range x.trees {
		if t != nil && w.new != nil {
			e := x.entry(i, w)
			t.add(&e)
		}
	}
}

func (x *txIndex) leave(w *txWrite) {
	for i, t := range x.trees {
		if t != nil && w.new != nil {
			e := x.entry(i, w)
			t.remove(&e)
		}
	}
}

// entry is the place of a write's new version in a tree.
func (x *txIndex) entry(i int, w *txWrite) txEntry {
	e := txEntry{class: txValue, ordinal: w.ordinal, v: w.new}
	if i < x.inserted() {
		if key, ok := x.tb.b.shape.indexes[i].keyOf(w.new); ok {
			e.key = key
		} else {
			e.class = txNull
		}
	}
	return e
}

// inserted is the number of the tree in the order of insertion.
func (x *txIndex) inserted() int { return len(x.trees) - 1 }

func (x *txIndex) tree(i int) *txTree {
	if x.trees[i] == nil {
		all := make([]txEntry, 0, len(x.tb.list))
		for _, w := range x.tb.list {
			if w.new != nil {
				all = append(all, x.entry(i, w))
			}
		}
		x.trees[i] = newTxTree(all)
	}
	return x.trees[i]
}

// write returns the write of a key, nil if there is none.
func (tb *txBucket) write(k Key) *txWrite {
	if tb.index != nil {
		return tb.index.byKey[k]
	}
	for _, w := range tb.list {
		if w.key == k {
			return w
		}
	}
	return nil
}

// replaced returns the write of a version that the snapshot has.
func (tb *txBucket) replaced(v *table.Version) *txWrite {
	if tb.index != nil {
		return tb.index.byOld[v]
	}
	for _, w := range tb.list {
		if w.old == v {
			return w
		}
	}
	return nil
}

// txChoice is how the writes are read for an answer. It is made apart from the
// choice of the snapshot's path: the snapshot may be small, or look otherwise.
type txChoice struct {
	path   *path // nil: every write
	walk   bool  // a tree brings them in order, as far as served or exact says
	tree   int   // walk: which
	served int   // keys of the order that the tree brings
	exact  bool  // it brings the whole order
	back   bool
	rows   int // to be looked at, at most
}

// fewWrites is how many writes may be looked at before it is worth building a
// tree to find less.
const fewWrites = 16

// choose picks the cheapest way, by the counts of the trees, which are exact.
func (o *ownWrites) choose(x *exec, n need) txChoice {
	all := len(o.tb.list)
	best := txChoice{rows: all}
	var few [8]int
	rows, least := few[:0], all
	matches := float64(all)
	for i := range x.p.cands {
		path := x.p.path(i)
		if path.ordering || least <= fewWrites {
			rows = append(rows, all)
			continue
		}
		rows = append(rows, o.count(path))
		if rows[i] < least {
			least = rows[i]
			matches = math.Ldexp(float64(least), bits.OnesCount64(path.answered)-len(x.p.conds))
		}
	}
	cost := func(c *txChoice) float64 {
		read := float64(c.rows)
		if (c.walk || n.unordered) && n.want >= 0 && float64(n.want) < matches {
			return read * float64(n.want) / matches
		}
		if c.exact || n.unordered {
			return read
		}
		return read + costCompare*matches*math.Log2(2+matches)
	}
	lowest := cost(&best)
	offer := func(c txChoice) {
		if price := cost(&c); price < lowest {
			best, lowest = c, price
		}
	}
	if !n.unordered && len(x.p.order) == 0 && least > fewWrites {
		offer(txChoice{walk: true, tree: o.tb.index.inserted(), exact: true, back: x.reversed, rows: all})
	}
	for i, k := range rows {
		c := txChoice{path: x.p.path(i), rows: k}
		if !n.unordered && k > fewWrites && least > fewWrites {
			o.serve(x, &c)
		}
		if c.walk || !c.path.ordering {
			offer(c)
		}
	}
	return best
}

// serve finds out how much of the order the path's tree brings.
func (o *ownWrites) serve(x *exec, c *txChoice) {
	p := x.p
	if c.path.access != accessIndex || len(c.path.spans) > 0 {
		return
	}
	c.tree = c.path.index
	if len(p.order) == 0 {
		c.walk = c.path.point && !x.reversed
		c.exact = c.walk
		return
	}
	ix := &p.b.shape.indexes[c.path.index]
	fields := ix.fields[c.path.eq:]
	c.served, c.back = p.served(fields)
	c.walk = c.served > 0
	c.exact = c.served == len(fields) && (c.served == len(p.order) || ix.unique)
	if c.path.ordering && len(ix.fields) > 1 || ix.unique && c.served < len(p.order) {
		c.exact = c.exact && o.tb.index.tree(c.tree).root.rank(&txEntry{class: txValue}) == 0
	}
}

// count is how many writes a path leads to.
func (o *ownWrites) count(path *path) (n int) {
	switch path.access {
	case accessKey:
		return 1
	case accessKeys:
		return len(path.keys)
	case accessIndex:
		spans := max(len(path.spans), 1)
		if path.point && o.tb.b.shape.indexes[path.index].unique || spans > len(o.tb.list) {
			return spans
		}
		t := o.tb.index.tree(path.index)
		eachSpan(path, func(span table.Range) bool {
			s := treeSpan(path, span)
			n += t.count(&s)
			return true
		})
		return n
	case accessUnion:
		for _, branch := range path.branches {
			_, k := o.least(branch)
			n += k
		}
		return n
	}
	return len(o.tb.list)
}

// least returns the path of a branch that leads to the fewest writes.
func (o *ownWrites) least(branch *plan) (best *path, rows int) {
	for i := range branch.cands {
		path := branch.path(i)
		if n := o.count(path); best == nil || n < rows {
			best, rows = path, n
		}
	}
	return best, rows
}

// find calls fn with the writes that a path leads to, some perhaps twice, until
// it returns false.
func (o *ownWrites) find(path *path, fn func(v *table.Version, ordinal uint64) bool) bool {
	take := func(w *txWrite) bool { return w == nil || w.new == nil || fn(w.new, w.ordinal) }
	switch {
	case path.access == accessKey && o.tb.b.shape.textKey():
		return take(o.tb.write(StringKey(path.text)))
	case path.access == accessKey:
		return take(o.tb.write(IntKey(path.word)))
	case path.access == accessKeys:
		for _, k := range path.keys {
			if !take(o.tb.write(o.tb.b.keyOf(k))) {
				return false
			}
		}
		return true
	case path.access == accessUnion:
		for _, branch := range path.branches {
			if least, _ := o.least(branch); !o.find(least, fn) {
				return false
			}
		}
		return true
	case path.point && o.tb.b.shape.indexes[path.index].unique:
		return eachSpan(path, func(span table.Range) bool { return take(o.tb.uniques[indexedKey{path.index, span.Lo}]) })
	}
	root := o.tb.index.tree(path.index).root
	return eachSpan(path, func(span table.Range) bool {
		walk := txWalk{root: root, spans: []txSpan{treeSpan(path, span)}}
		var chunk [fewWrites]txEntry
		for list := walk.next(chunk[:0]); len(list) > 0; list = walk.next(chunk[:0]) {
			for i := range list {
				if !fn(list[i].v, list[i].ordinal) {
					return false
				}
			}
		}
		return true
	})
}

func eachSpan(path *path, fn func(span table.Range) bool) bool {
	if len(path.spans) == 0 {
		return fn(path.span)
	}
	for _, span := range path.spans {
		if !fn(span) {
			return false
		}
	}
	return true
}

// treeSpan is an interval of a path as one of a tree.
func treeSpan(path *path, span table.Range) txSpan {
	s := txSpan{lo: txEntry{class: txValue, key: span.Lo}, hi: txEntry{class: txEnd}}
	switch {
	case path.point:
		s.hi = txEntry{class: txValue, key: span.Lo, ordinal: math.MaxUint64}
	case !span.NoHi:
		s.hi = txEntry{class: txValue, key: span.Hi}
	}
	return s
}

// walkOf is the walk of a choice, behind the position of a page.
func (o *ownWrites) walkOf(x *exec, c *txChoice) txWalk {
	w := txWalk{root: o.tb.index.tree(c.tree).root, back: c.back}
	s := txSpan{lo: txEntry{class: txValue}, hi: txEntry{class: txEnd}}
	nulls := txSpan{lo: txEntry{class: txNull}, hi: txEntry{class: txValue}}
	if c.path == nil {
		w.flat = c.back
	} else {
		span := c.path.span
		if x.after != nil && !c.path.point {
			x.after.narrow(x.p, c.path, c.served, c.back, &span)
		}
		s = treeSpan(c.path, span)
	}
	if x.after != nil && len(x.p.order) == 0 {
		s.lo.ordinal = x.after.ordinal + 1
	}
	switch {
	case c.path == nil || !c.path.ordering:
		w.spans = []txSpan{s}
	case c.back:
		w.spans = []txSpan{s, nulls}
	case x.after != nil && x.after.values[0] != nil:
		w.spans = []txSpan{s}
	default:
		w.spans = []txSpan{nulls, s}
	}
	return w
}
