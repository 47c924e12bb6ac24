package store

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"sync/atomic"

	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

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
	if p.b.def.Ordered || id == p.b.table.ID() && ord < insertedFrom {
		return pos, nil
	}
	// The place was of another table, or of a transaction that inserted the record.
	text, word, ok := p.b.shape.keyArg(key)
	if ok {
		pos.ordinal, ok = rd.find(text, word)
		ok = ok || pos.ordinal >= insertedFrom // deleted again, in the transaction that asks
	}
	if !ok {
		return nil, bad("the record where the page ended is gone, and so is what knew its place: the store was opened anew, or a transaction had inserted it")
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
	for i := range p.conds {
		b = p.conds[i].append(b)
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
	if r := c.span; r != nil {
		b = appendValue(b, r.lo)
		b = appendValue(b, r.hi)
		b = keyenc.AppendBool(b, r.loOpen)
		b = keyenc.AppendBool(b, r.hiOpen)
	}
	if c.more == nil {
		return b
	}
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
