package store

import (
	"cmp"
	"fmt"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// Cursor says where a page ended, for the page after it. It is text without a
// meaning to the outside, fit for a URL. "" is before the first page.
//
// A cursor carries the last record's values of the query's order, its key, and
// its place in the order of insertion. It stays good when that record is
// changed or deleted, and whatever is inserted: the next page begins behind the
// place where the record was. Only if the store was opened anew since, and the
// order of insertion decides, must the record still be there.
type Cursor string

// Page is a part of an answer.
type Page[R any] struct {
	Records []R
	HasMore bool   // there are records behind this page
	Next    Cursor // for the page after this one; "" if there is none
}

// Page returns the first limit records behind a cursor, which is "" or Page.Next
// of the same query, on any handle to the bucket. It reads the state of its own
// time, as any answer does. Where a path brings the order, it costs what the page
// costs, however many pages come before, and a look at each record that is equal
// to the one before the page in the fields of the order. Errors: *QueryError for a limit
// below 1, or with a Limit or an Offset; ErrCursor for a cursor of another query,
// or none at all.
func (q *Query[R]) Page(limit int, cursor Cursor) (Page[R], error) {
	switch {
	case limit < 1:
		return Page[R]{}, &QueryError{Bucket: q.b.name, Message: fmt.Sprintf("the limit of a page is %d", limit)}
	case q.spec.limited || q.spec.offset != 0:
		return Page[R]{}, &QueryError{Bucket: q.b.name, Message: "a page has its own limit and place: a query with Limit or Offset has no pages"}
	}
	q, x, err := q.start(q.at)
	if err != nil {
		return Page[R]{}, err
	}
	defer x.end()
	var after *position
	if cursor != "" {
		if after, err = x.p.locate(&x.rd, cursor); err != nil {
			return Page[R]{}, q.b.fail("page", Key{}, err)
		}
	}
	return page(x, q.shown, after, limit), nil
}

func page[R any](x *exec, dec *decoder[R], after *position, limit int) Page[R] {
	want := limit
	if want++; want < 0 {
		want = limit
	}
	x.after = after
	x.begin(false, 0, want)
	x.marks = x.p.b.marks
	out := Page[R]{Records: make([]R, 0, min(limit, batchRows))}
	var last *table.Version
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		take := batch[:min(len(batch), limit-len(out.Records))]
		if len(take) > 0 {
			out.Records, last = dec.add(out.Records, take), take[len(take)-1]
		}
		if len(take) < len(batch) {
			out.HasMore, out.Next = true, x.p.cursor(&x.rd, last)
			return out
		}
	}
	return out
}

// PageOptions is what Paginate asks for.
type PageOptions struct {
	// After is the key of the last record that was seen, or Page.Next, also as a
	// plain string; nil or "" for the first page. A key of a record that is gone is ErrNotFound, unless
	// the bucket is ordered by keys; Page.Next needs no record.
	After any
	Limit int
}

// paginate is Page over the whole bucket.
func paginate[R any](q *Query[R], opt PageOptions) (Page[R], error) {
	if c, ok := opt.After.(Cursor); ok || opt.After == nil || opt.After == "" {
		return q.Page(opt.Limit, c)
	}
	if opt.Limit < 1 {
		return q.Page(opt.Limit, "")
	}
	q, x, err := q.start(q.at)
	if err != nil {
		return Page[R]{}, err
	}
	defer x.end()
	sh := q.b.shape
	if s, ok := opt.After.(string); ok {
		if after, err := x.p.locate(&x.rd, Cursor(s)); err == nil {
			return page(x, q.shown, after, opt.Limit), nil
		}
	}
	text, word, ok := sh.keyArg(opt.After)
	if !ok {
		return Page[R]{}, q.b.fail("page", Key{}, ErrNotFound)
	}
	after := &position{}
	if q.b.def.Ordered {
		after.values = []any{q.b.keyOf(opt.After).Value()}
	} else if after.ordinal, ok = x.rd.find(text, word); !ok {
		return Page[R]{}, q.b.fail("page", q.b.keyOf(opt.After), ErrNotFound)
	}
	return page(x, q.shown, after, opt.Limit), nil
}

// ordinal finds the place of a key in the order of insertion; false if there is
// no record, though a transaction that deleted it still knows the place.
func (r *reading) ordinal(text string, word int64) (uint64, bool) {
	if r.tb != nil {
		k := IntKey(word)
		if r.b.shape.textKey() {
			k = StringKey(text)
		}
		if w := r.tb.find(k); w != nil {
			return w.ordinal, w.new != nil
		}
	}
	v, row := r.view.GetText(text)
	if !r.b.shape.textKey() {
		v, row = r.view.GetWord(word)
	}
	if v == nil {
		return 0, false
	}
	return r.view.Ordinal(row), true
}

// find is ordinal for a record whose being there decides the answer.
func (r *reading) find(text string, word int64) (uint64, bool) {
	if r.reads != nil {
		k := IntKey(word)
		if r.b.shape.textKey() {
			k = StringKey(text)
		}
		r.reads.note(k)
	}
	return r.ordinal(text, word)
}

// position is a place in the order of a query: that of a record, there or not.
type position struct {
	values  []any  // canonical, of the order's keys
	ordinal uint64 // decides where those are equal, unless keys do
}

// compare orders the position and a record.
func (a *position) compare(p *conditions, v *table.Version, ordinal uint64) int {
	for i, want := range a.values {
		if c := p.order[i].compareTo(v, want); c != 0 {
			return -c
		}
	}
	if p.b.def.Ordered {
		return 0
	}
	return cmp.Compare(a.ordinal, ordinal)
}

// narrow leaves out of an interval of a path's index, which brings the first
// served keys of the order, what lies before the position.
func (a *position) narrow(p *plan, path *path, served int, back bool, span *table.Range) {
	if served == 0 {
		return
	}
	ix := &p.b.shape.indexes[path.index]
	if a.values[0] == nil && path.eq == 0 {
		if back { // among those beside the index, which come last
			*span = table.Range{}
		}
		return
	}
	if len(ix.fields) == 1 {
		k := ix.single(a.values[0])
		if !back {
			narrow(span, table.Range{Lo: k, NoHi: true})
		} else if ix.word {
			to := wordSpan(0, k.Word)
			narrow(span, table.Range{NoLo: true, Hi: to.Hi, NoHi: to.NoHi})
		} else {
			narrow(span, table.Range{NoLo: true, Hi: table.Key{Text: k.Text + "\x00"}})
		}
		return
	}
	var b []byte
	for _, pos := range ix.fields[:path.eq] {
		eq, _, _ := p.on(pos)
		b = appendCanonical(b, p.conds[eq].want)
	}
	for _, v := range a.values[:served] {
		b = appendCanonical(b, v)
	}
	if back {
		narrow(span, table.Range{NoLo: true, Hi: table.Key{Text: string(keyenc.Successor(b))}})
	} else {
		narrow(span, table.Range{Lo: table.Key{Text: string(b)}, NoHi: true})
	}
}
