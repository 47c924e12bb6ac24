package store

import (
	"slices"

	"github.com/noex-go/store/internal/table"
)

// batchRows is how many records an answer looks at at a time: enough to hide the
// cost of a call, few enough to stay in the first-level cache.
const batchRows = 128

// firstBatch is the size of the first batch where the caller may stop early.
const firstBatch = 16

// exec is one answer under way: it brings the records of a query, in its order,
// a batch at a time. The view stays pinned while it is used.
//
//	raw       candidates of the chosen path
//	matching  those that meet all conditions, and lie behind the page's position
//	next      in the query's order, without the offset, up to the limit
//
// The bucket lends it: it is the caller's from lend to end, which are a tenth of
// what it takes to clear the memory of a new one.
type exec struct {
	answer
	cur  table.Cursor
	room plan // of a query that is asked once
	buf  [batchRows]*table.Version
	nums [batchRows]uint32

	warmth uint8 // means nothing
}

// answer is what an exec knows while it is used.
type answer struct {
	p     *plan
	rd    reading
	view  table.View
	begun bool // rd is
	c     choice
	after *position // of a page; nil: from the beginning
	// reversed: in the order of insertion from the end, of a whole bucket.
	reversed bool
	skip     int  // records of the offset still to come
	left     int  // records until the limit; -1: no limit
	rows     bool // row numbers are needed
	stage    stage
	span     int  // the next interval of the path
	nulls    bool // the records beside the index are being read
	size     int  // of the next batch
	filled   int  // of buf, at most
	sorted   sorter
	list     []sortItem // candidates of a union
	// In a transaction: its own writes, what it will have read, and whether the
	// order of the answer matters.
	own       *ownWrites
	dep       *dependency
	unordered bool

	marks   bool // the bucket is to know which records were read
	touched int  // records looked at
}

type stage uint8

const (
	stageBegin stage = iota
	stageRead        // from the cursor
	stageEnd
)

// path is the one that was chosen.
func (x *exec) path() *path { return x.p.path(x.c.path) }

// lend returns an exec with nothing in it, which its end gives back.
func (b *bucket) lend() *exec {
	x, ok := b.answers.Get().(*exec)
	if !ok {
		x = new(exec)
	}
	x.rd.b = b
	return x
}

// newPlan is room for a plan that lives as long as the answer.
func (x *exec) newPlan() *plan {
	x.p = &x.room
	return x.p
}

// pin begins the read that is answered, of what at shows.
func (x *exec) pin(at *scope) error {
	err := x.rd.begin(x.rd.b, at)
	x.view, x.begun = x.rd.view, err == nil
	return err
}

// another returns an answer to another plan of the same read, of which no writes
// are read and nothing is noted.
func (x *exec) another(p *plan) *exec {
	y := x.rd.b.lend()
	y.p, y.view = p, x.view
	return y
}

// end lets go of the read, and of the exec. What the answer has noted that it
// depends on has conditions of its own.
func (x *exec) end() {
	b := x.rd.b
	if x.begun {
		b.release(x.rd.lease)
	}
	if x.p == &x.room {
		x.room = plan{}
	}
	clear(x.buf[:x.filled])
	x.answer = answer{}
	x.cur.Reset()
	b.answers.Put(x)
}

// begin chooses the path of an exec that has a plan and a view. limit is -1 for
// none.
func (x *exec) begin(unordered bool, offset, limit int) {
	x.skip, x.left = offset, limit
	x.size = batchRows
	n := need{unordered: unordered, want: -1}
	if limit >= 0 {
		if n.want = offset + limit; n.want < 0 || limit == 0 {
			n.want = limit // an offset beyond all numbers
		}
		x.size = min(max(n.want, 1), batchRows)
	}
	if path, ok := x.p.only(n); ok { // without copying a choice: 8 ns of 150
		x.c.path, x.c.exact = path, true
	} else {
		x.c = x.p.pick(x.view, n)
	}
	x.c.back = x.c.back || x.reversed
	if !x.p.answers(x.path().answered) { // some will be looked at in vain
		x.size = max(x.size, firstBatch)
	}
	x.rows = !x.c.exact || x.after != nil
	if x.unordered = unordered; x.rd.reads != nil {
		x.dep = x.rd.reads.answer(x.p, x.after, !unordered)
	}
	if !x.c.exact {
		x.filled = batchRows
	}
	if x.rd.tb != nil {
		x.filled = batchRows
		x.beginTx(n)
	}
}

// early makes the first batches small: the caller may stop after few records.
func (x *exec) early() { x.size = min(x.size, firstBatch) }

// next returns the next records of the answer, none at its end. They are valid
// until the call after.
func (x *exec) next() []*table.Version {
	for x.left != 0 {
		var batch []*table.Version
		if x.own != nil {
			batch = x.own.next(x)
		} else {
			batch = x.stream()
		}
		if len(batch) == 0 {
			return nil
		}
		if x.skip > 0 {
			k := min(x.skip, len(batch))
			x.skip -= k
			batch = batch[k:]
		}
		if x.left >= 0 {
			batch = batch[:min(len(batch), x.left)]
			if x.left -= len(batch); x.left == 0 && len(batch) > 0 {
				x.stop(batch[len(batch)-1])
			}
		}
		if len(batch) > 0 {
			if x.marks {
				markRead(batch)
			}
			return batch
		}
	}
	return nil
}

// into fills buf with the first records of the answer, where the path brings just
// those: they need no place of their own before. It returns how many, 0 where the
// path does not; next has the rest.
func (x *exec) into(buf []*table.Version) int {
	if x.left >= 0 {
		buf = buf[:min(len(buf), x.left):min(len(buf), x.left)]
	}
	if len(buf) == 0 || x.own != nil || x.rows || x.skip > 0 || !x.p.answers(x.path().answered) {
		return 0
	}
	n := x.matching(buf, nil)
	clear(buf[n:]) // what was tried there and not taken
	if x.marks {
		markRead(buf[:n])
	}
	if x.left >= 0 {
		if x.left -= n; x.left == 0 {
			x.stop(buf[n-1])
		}
	}
	return n
}

// stream returns the next records in the query's order, offset and limit apart.
func (x *exec) stream() []*table.Version {
	if !x.c.exact {
		return x.sorted.next(x)
	}
	x.filled = max(x.filled, x.size)
	n := x.matching(x.buf[:x.size], x.nums[:x.size])
	x.size = min(2*x.size, batchRows)
	return x.buf[:n]
}

// matching fills buf with the next records that meet all conditions, in the
// order in which the path brings them. It returns 0 at the end only.
func (x *exec) matching(buf []*table.Version, rows []uint32) int {
	if !x.rows {
		rows = nil
	}
	for {
		n := x.raw(buf, rows)
		x.touched += n
		if n == 0 {
			return 0
		}
		if x.own != nil {
			if n = x.own.hide(buf[:n], rows); n == 0 {
				continue
			}
		}
		answered := x.path().answered
		if x.nulls {
			answered = 0
		}
		if !x.p.answers(answered) {
			n = x.p.sift(buf[:n], rows, answered)
		}
		if x.nulls || x.after != nil {
			n = x.behind(buf[:n], rows)
		}
		if n > 0 {
			return n
		}
		if size := 2 * len(buf); size <= cap(buf) && (rows == nil || size <= cap(rows)) { // there is nothing yet: look at more
			if buf = buf[:size]; rows != nil {
				rows = rows[:size]
			}
			x.filled = batchRows
		}
	}
}

// behind keeps, of a batch, what lies behind the page's position, and beside the
// index while that is what is read.
func (x *exec) behind(batch []*table.Version, rows []uint32) (n int) {
	for i, v := range batch {
		if x.nulls && !x.beside(v) || x.after != nil && x.after.compare(&x.p.conditions, v, x.view.Ordinal(rows[i])) >= 0 {
			continue
		}
		keep(batch, rows, n, i)
		n++
	}
	return n
}

// beside reports whether a record has no value in the index that is walked.
func (x *exec) beside(v *table.Version) bool {
	sh := x.p.b.shape
	return sh.slots[sh.indexes[x.path().index].fields[0]].absent(v)
}

// raw brings candidates of the path, interval by interval.
func (x *exec) raw(buf []*table.Version, rows []uint32) int {
	for {
		switch x.stage {
		case stageBegin:
			x.stage = stageRead
			if x.c.nulls == nullsFirst {
				x.nulls = true
				x.cur.Scan(x.view, false)
			} else if !x.open() {
				x.stage = stageEnd
			}
		case stageEnd:
			return 0
		}
		if n := x.read(buf, rows); n > 0 {
			return n
		}
		switch {
		case x.nulls && x.c.nulls == nullsFirst:
			x.nulls = false
			if x.open() {
				continue
			}
		case !x.nulls && x.open():
			continue
		case !x.nulls && x.c.nulls == nullsLast:
			x.nulls = true
			x.cur.Scan(x.view, false)
			continue
		}
		x.stage = stageEnd
	}
}

// open goes on to the next interval of the path; false if there is none.
func (x *exec) open() bool {
	path := x.path()
	i := x.span
	x.span++
	switch path.access {
	case accessAll:
		if i > 0 {
			return false
		}
		if x.after != nil && len(x.p.order) == 0 {
			x.cur.ScanAfter(x.view, x.after.ordinal)
		} else {
			x.cur.Scan(x.view, x.c.back)
		}
		return true
	case accessIndex:
		span := path.span
		if len(path.spans) > 0 {
			if i >= len(path.spans) {
				return false
			}
			span = path.spans[i]
		} else if i > 0 {
			return false
		}
		if path.point {
			x.cur.Lookup(x.view, path.index, span.Lo)
			if x.after != nil && len(x.p.order) == 0 {
				x.cur.SkipTo(x.after.ordinal)
			}
			for _, i := range x.c.also {
				if i > 0 {
					also := x.p.path(i - 1)
					x.cur.And(also.index, also.span.Lo)
				}
			}
			return true
		}
		if x.after != nil {
			x.after.narrow(x.p, path, x.c.served, x.c.back, &span)
		}
		x.cur.Range(x.view, path.index, span, x.c.back)
		return true
	}
	return i == 0 && path.access != accessNone
}

// read brings candidates of the interval that is open.
func (x *exec) read(buf []*table.Version, rows []uint32) int {
	switch path := x.path(); {
	case x.nulls || path.access == accessAll || path.access == accessIndex:
		return x.cur.Next(buf, rows)
	case path.access == accessKey:
		if x.span > 1 {
			return 0
		}
		x.span++
		return x.one(path.text, path.word, buf, rows, 0)
	case path.access == accessKeys:
		return x.keys(path, buf, rows)
	case path.access == accessUnion:
		return x.union(path, buf, rows)
	}
	return 0
}

// one brings the record with a key.
func (x *exec) one(text string, word int64, buf []*table.Version, rows []uint32, n int) int {
	var v *table.Version
	var row uint32
	if x.p.b.shape.textKey() {
		v, row = x.view.GetText(text)
	} else {
		v, row = x.view.GetWord(word)
	}
	if v == nil {
		return n
	}
	buf[n] = v
	if rows != nil {
		rows[n] = row
	}
	return n + 1
}

func (x *exec) keys(path *path, buf []*table.Version, rows []uint32) (n int) {
	for ; x.span <= len(path.keys) && n < len(buf); x.span++ {
		switch k := path.keys[x.span-1].(type) {
		case string:
			n = x.one(k, 0, buf, rows, n)
		case int64:
			n = x.one("", k, buf, rows, n)
		}
	}
	return n
}

// union gathers what the branches find, once, without those found twice.
func (x *exec) union(path *path, buf []*table.Version, rows []uint32) int {
	if x.span == 1 {
		x.span++
		for _, branch := range path.branches {
			x.gather(branch)
		}
		slices.SortFunc(x.list, byRow)
		x.list = slices.CompactFunc(x.list, func(a, b sortItem) bool { return a.row == b.row })
	}
	n := min(len(buf), len(x.list))
	for i, it := range x.list[:n] {
		buf[i] = it.v
		if rows != nil {
			rows[i] = it.row
		}
	}
	x.list = x.list[n:]
	return n
}

// gather collects the candidates of a branch, with their rows.
func (x *exec) gather(branch *plan) {
	sub := x.another(branch)
	defer sub.end()
	sub.begin(true, 0, -1)
	sub.own, sub.rows, sub.filled = x.own, true, batchRows
	for {
		n := sub.matching(sub.buf[:], sub.nums[:])
		if n == 0 {
			x.touched += sub.touched
			return
		}
		for i, v := range sub.buf[:n] {
			x.list = append(x.list, sortItem{v: v, row: sub.nums[i]})
		}
	}
}
