package store

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"sync/atomic"

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
// time, as any answer does, and costs what the page costs, however many pages
// come before, where a path brings the order. Errors: *QueryError for a limit
// below 1, or with a Limit or an Offset; ErrCursor for a cursor of another query,
// or none at all.
func (q *Query[R]) Page(limit int, cursor Cursor) (Page[R], error) {
	switch {
	case limit < 1:
		return Page[R]{}, &QueryError{Bucket: q.b.name, Message: fmt.Sprintf("the limit of a page is %d", limit)}
	case q.spec.limited || q.spec.offset != 0:
		return Page[R]{}, &QueryError{Bucket: q.b.name, Message: "a page has its own limit and place: a query with Limit or Offset has no pages"}
	}
	rd, err := q.start()
	if err != nil {
		return Page[R]{}, err
	}
	defer rd.end()
	var after *position
	if cursor != "" {
		if after, err = q.plan.locate(&rd, cursor); err != nil {
			return Page[R]{}, q.b.fail("page", Key{}, err)
		}
	}
	return page(&q.plan, &q.shown, rd, after, limit), nil
}

func page[R any](p *plan, dec *decoder[R], rd reading, after *position, limit int) Page[R] {
	want := limit
	if want++; want < 0 {
		want = limit
	}
	x := exec{p: p, rd: rd, view: rd.view, after: after}
	x.begin(false, 0, want)
	out := Page[R]{Records: make([]R, 0, min(limit, batchRows))}
	var last *table.Version
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		for _, v := range batch {
			if len(out.Records) == limit {
				out.HasMore, out.Next = true, p.cursor(&rd, last)
				return out
			}
			out.Records = append(out.Records, dec.make(v))
			last = v
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
	rd, err := q.start()
	if err != nil {
		return Page[R]{}, err
	}
	defer rd.end()
	sh := q.b.shape
	if s, ok := opt.After.(string); ok {
		if after, err := q.plan.locate(&rd, Cursor(s)); err == nil {
			return page(&q.plan, &q.shown, rd, after, opt.Limit), nil
		}
	}
	text, word, ok := sh.keyArg(opt.After)
	if !ok {
		return Page[R]{}, q.b.fail("page", Key{}, ErrNotFound)
	}
	after := &position{}
	if q.b.def.Ordered {
		after.values = []any{q.b.keyOf(opt.After).Value()}
	} else if after.ordinal, ok = rd.ordinal(text, word); !ok {
		return Page[R]{}, q.b.fail("page", q.b.keyOf(opt.After), ErrNotFound)
	}
	return page(&q.plan, &q.shown, rd, after, opt.Limit), nil
}

// ordinal finds the place of a key in the order of insertion.
func (r *reading) ordinal(text string, word int64) (uint64, bool) {
	if r.tb != nil {
		k := IntKey(word)
		if r.b.shape.textKey() {
			k = StringKey(text)
		}
		if w := r.tb.find(k); w != nil {
			return w.ordinal, true
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

// position is a place in the order of a query: that of a record, there or not.
type position struct {
	values  []any  // canonical, of the order's keys
	ordinal uint64 // decides where those are equal, unless keys do
}

// compare orders the position and a record.
func (a *position) compare(p *plan, v *table.Version, ordinal uint64) int {
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

// narrow leaves out of an interval of the path's index what lies before the
// position.
func (a *position) narrow(x *exec, span *table.Range) {
	path := x.path()
	if x.c.served == 0 {
		return
	}
	ix := &x.p.b.shape.indexes[path.index]
	if a.values[0] == nil && path.eq == 0 {
		if x.c.back { // among those beside the index, which come last
			*span = table.Range{}
		}
		return
	}
	if len(ix.fields) == 1 {
		k := ix.single(a.values[0])
		if !x.c.back {
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
		eq, _, _ := x.p.on(pos)
		b = appendCanonical(b, x.p.cond(eq).want)
	}
	for _, v := range a.values[:x.c.served] {
		b = appendCanonical(b, v)
	}
	if x.c.back {
		narrow(span, table.Range{NoLo: true, Hi: table.Key{Text: string(keyenc.Successor(b))}})
	} else {
		narrow(span, table.Range{Lo: table.Key{Text: string(b)}, NoHi: true})
	}
}

// ---- cursors as text

// A cursor is, in base64 for URLs without padding:
//
//	1  version of the format
//	8  fingerprint of the query: bucket, conditions, order
//	8  id of the table
//	n  ordinal, a uvarint
//	n  key, in the encoding of appendValue
//	n  values of the order's keys, each likewise
//	4  CRC-32C of all that
const cursorVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cursor is the place behind a record.
func (p *plan) cursor(rd *reading, v *table.Version) Cursor {
	b := append(make([]byte, 0, 128), cursorVersion)
	b = binary.BigEndian.AppendUint64(b, p.print())
	b = binary.BigEndian.AppendUint64(b, p.b.table.ID())
	key := p.b.shape.keyOf(v)
	ord, _ := rd.ordinal(key.text, key.word)
	b = binary.AppendUvarint(b, ord)
	b = appendValue(b, key.Value())
	for i := range p.order {
		b = appendValue(b, p.order[i].ref.peek(v))
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// locate reads a cursor.
func (p *plan) locate(rd *reading, cursor Cursor) (*position, error) {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrCursor, why) }
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(cursor))
	if err != nil || len(b) < 1+8+8+1+1+4 || b[0] != cursorVersion {
		return nil, bad("it is malformed")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, bad("it is malformed")
	}
	if binary.BigEndian.Uint64(body[1:]) != p.print() {
		return nil, bad("it belongs to another query: the bucket, the filters and the order must be the same")
	}
	id := binary.BigEndian.Uint64(body[9:])
	ord, n := binary.Uvarint(body[17:])
	if n <= 0 {
		return nil, bad("it is malformed")
	}
	rest := body[17+n:]
	key, rest, err := nextValue(rest, 0)
	if err != nil {
		return nil, bad("it is malformed")
	}
	pos := &position{ordinal: ord}
	for i := range p.order {
		var v any
		if v, rest, err = nextValue(rest, 0); err != nil {
			return nil, bad("it is malformed")
		}
		if v, err = p.ownValue(&p.order[i].ref, v); err != nil {
			return nil, bad("it is malformed")
		}
		pos.values = append(pos.values, v)
	}
	if len(rest) > 0 {
		return nil, bad("it is malformed")
	}
	if id == p.b.table.ID() || p.b.def.Ordered {
		return pos, nil
	}
	text, word, ok := p.b.shape.keyArg(key)
	if ok {
		pos.ordinal, ok = rd.ordinal(text, word)
	}
	if !ok {
		return nil, bad("the store was opened anew, and the record where the page ended is gone")
	}
	return pos, nil
}

// ownValue turns a decoded value into one of the field's type: the encoding does
// not tell integers from whole floats.
func (p *plan) ownValue(ref *fieldRef, v any) (any, error) {
	out, wrong := p.b.shape.lim.convert(ref.typ, v)
	if wrong != nil {
		return nil, wrong
	}
	return out, nil
}

// nextValue decodes what appendValue wrote. Depth is bounded as a record's is.
func nextValue(b []byte, depth int) (any, []byte, error) {
	if depth > maxFilterDepth || len(b) == 0 {
		return nil, nil, keyenc.ErrMalformed
	}
	switch b[0] {
	case tagArray:
		list := []any{}
		for b = b[1:]; len(b) > 0 && b[0] == tagMore; {
			v, rest, err := nextValue(b[1:], depth+1)
			if err != nil {
				return nil, nil, err
			}
			list, b = append(list, v), rest
		}
		return endValue(list, b)
	case tagObject:
		m := map[string]any{}
		for b = b[1:]; len(b) > 0 && b[0] == tagMore; {
			k, rest, err := keyenc.Next(b[1:])
			if err != nil || k.Kind != keyenc.KindString {
				return nil, nil, keyenc.ErrMalformed
			}
			v, rest, err := nextValue(rest, depth+1)
			if err != nil {
				return nil, nil, err
			}
			m[k.Any().(string)], b = v, rest
		}
		return endValue(m, b)
	}
	v, rest, err := keyenc.Next(b)
	return v.Any(), rest, err
}

func endValue(v any, b []byte) (any, []byte, error) {
	if len(b) == 0 || b[0] != tagEnd {
		return nil, nil, keyenc.ErrMalformed
	}
	return v, b[1:], nil
}

// print is the fingerprint, which is computed once.
func (p *plan) print() uint64 {
	if f := atomic.LoadUint64(&p.prints); f != 0 {
		return f
	}
	f := p.fingerprint()
	atomic.StoreUint64(&p.prints, f)
	return f
}

// fingerprint tells queries apart: equal ones have the same in every process.
func (p *plan) fingerprint() uint64 {
	h := fnv.New64a()
	b := keyenc.AppendString(nil, p.b.name)
	b = append(b, keyenc.AppendBool(nil, p.never)...)
	for i := range p.n {
		b = p.cond(i).append(b)
	}
	for i := range p.order {
		b = keyenc.AppendString(b, p.order[i].ref.name)
		b = keyenc.AppendBool(b, p.order[i].desc)
	}
	_, _ = h.Write(b)
	return h.Sum64()
}

// append writes a condition so that different ones have different bytes.
func (c *cond) append(b []byte) []byte {
	b = append(b, byte(c.op))
	b = keyenc.AppendBool(b, c.not)
	switch {
	case c.slot != nil:
		b = keyenc.AppendString(b, c.slot.name)
	case c.far != nil:
		b = keyenc.AppendString(b, c.far.name)
	}
	b = appendValue(b, c.want)
	if c.more == nil {
		return b
	}
	r := &c.more.span
	b = appendValue(b, r.lo)
	b = appendValue(b, r.hi)
	b = keyenc.AppendBool(b, r.loOpen)
	b = keyenc.AppendBool(b, r.hiOpen)
	b = keyenc.AppendString(b, c.more.text)
	b = keyenc.AppendBytes(b, c.more.fold.text)
	b = appendValue(b, c.more.set.list)
	b = keyenc.AppendBool(b, c.more.set.null)
	b = binary.AppendUvarint(b, uint64(len(c.more.subs)))
	for i := range c.more.subs {
		b = c.more.subs[i].append(b)
	}
	return b
}
