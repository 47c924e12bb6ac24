package store

import (
	"reflect"
	"time"

	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// A commit is encoded by the writer of its bucket, before it queues for the log:
// all of the entry but its sequence, for which entryRoom leaves room in front.

// entryRoom is the bytes that the beginning of an entry needs at most: the head
// of its array, the format, the sequence and the session.
const entryRoom = 1 + 1 + 9 + 9

// sessionBytes is the length of the id of a store's run.
const sessionBytes = 8

// pendingEntry is an entry of which the sequence is not known yet: bytes of a
// ticket's buffer, where the room ends, and the entry.
type pendingEntry struct{ from, to int }

// seal completes an entry in its buffer.
func (p pendingEntry) seal(buf []byte, seq uint64, session []byte) []byte {
	var room [entryRoom]byte
	head := logentry.AppendArray(room[:0], 6)
	head = logentry.AppendUint(head, logentry.Format)
	head = logentry.AppendUint(head, seq)
	head = logentry.AppendBytes(head, session)
	from := p.from - len(head)
	copy(buf[from:], head)
	return buf[from:p.to]
}

// emptyEntry is an entry that says nothing but a sequence.
func emptyEntry(session []byte, seq uint64) []byte {
	var tk ticket
	tk.begin()
	for range 3 {
		tk.buf = logentry.AppendArray(tk.buf, 0)
	}
	tk.end()
	return tk.entries[0].seal(tk.buf, seq, session)
}

// bucketLog is what a bucket knows of itself in the log.
type bucketLog struct {
	id      uint64 // of this very bucket, for ever; 0: nothing of it is logged
	version uint64 // of its definition
	stored  []byte // the definition, as it is in the log
	names   []byte // of the fields, encoded
	schema  []string
}

// setLog says how the bucket is known in the log.
func (b *bucket) setLog(id, version uint64, stored []byte) {
	b.log = bucketLog{id: id, version: version, stored: stored}
	b.server.patient = b.store.log != nil && b.store.log.mode == syncEach
	b.log.names = logentry.AppendArray(nil, len(b.shape.slots))
	for i := range b.shape.slots {
		b.log.schema = append(b.log.schema, b.shape.slots[i].name)
		b.log.names = logentry.AppendText(b.log.names, b.shape.slots[i].name)
	}
}

// block is what an entry says of one bucket.
type block struct {
	rows    []*table.Version
	places  []uint64
	deleted []*table.Version // the records that are gone
}

func (k *block) reset() {
	clear(k.rows)
	clear(k.deleted)
	k.rows, k.places, k.deleted = k.rows[:0], k.places[:0], k.deleted[:0]
}

// take collects the net effect of pending changes.
func (k *block) take(b *bucket, changes []table.Change) {
	for i := range changes {
		switch c := &changes[i]; {
		case !c.Deleted():
			place := b.table.Ordinal(c)
			k.rows, k.places = append(k.rows, c.New), append(k.places, place)
			if place >= b.places.Load() { // only the writer raises it
				b.places.Store(place + 1)
			}
		case c.Old != nil:
			k.deleted = append(k.deleted, c.Old)
		}
	}
}

// append encodes a block.
func (k *block) append(buf []byte, b *bucket) []byte { return b.appendMarks(k.appendRows(buf, b)) }

// appendRows encodes a block but for the marks.
func (k *block) appendRows(buf []byte, b *bucket) []byte {
	sh := b.shape
	buf = logentry.AppendArray(buf, 14)
	buf = logentry.AppendUint(buf, b.log.id)
	buf = logentry.AppendUint(buf, b.log.version)
	buf = logentry.AppendInt(buf, int64(len(k.rows)))
	if len(k.rows) == 0 {
		buf = logentry.AppendMap(logentry.AppendArray(logentry.AppendArray(buf, 0), 0), 0)
	} else {
		buf = append(buf, b.log.names...)
		buf = logentry.AppendArray(buf, len(sh.slots))
		holes := 0
		for i := range sh.slots {
			n := 0
			if buf, n = k.column(buf, &sh.slots[i]); n > 0 {
				holes++
			}
		}
		buf = logentry.AppendMap(buf, holes)
		for i := range sh.slots {
			if holes > 0 {
				buf = k.holes(buf, &sh.slots[i])
			}
		}
	}
	buf = k.metadata(buf, sh)
	buf = logentry.AppendArray(buf, len(k.deleted))
	for _, v := range k.deleted {
		buf = appendLogKey(buf, sh.keyOf(v))
	}
	return buf
}

func appendLogKey(buf []byte, key Key) []byte {
	if key.kind == keyText {
		return logentry.AppendText(buf, key.text)
	}
	return logentry.AppendInt(buf, key.word)
}

// column encodes the values of a field, and returns how many records lack it.
func (k *block) column(buf []byte, s *slot) ([]byte, int) {
	absent := 0
	for _, v := range k.rows {
		if s.absent(v) {
			absent++
		}
	}
	buf = logentry.AppendArray(buf, len(k.rows)-absent)
	for _, v := range k.rows {
		if s.absent(v) {
			continue
		}
		p := s.mem(v)
		switch s.kind {
		case memString:
			buf = logentry.AppendText(buf, *(*string)(p))
		case memInt, memUint, memFloat, memNumber:
			if n := s.num(v); n.isFloat {
				buf = logentry.AppendFloat(buf, n.float())
			} else {
				buf = logentry.AppendInt(buf, int64(n.bits))
			}
		case memBool:
			buf = logentry.AppendBool(buf, *(*bool)(p))
		case memTime:
			buf = logentry.AppendTime(buf, *(*time.Time)(p))
		case memBytes:
			buf = logentry.AppendBytes(buf, *(*[]byte)(p))
		case memRef:
			buf = mustAppend(buf, s.exact(v))
		default:
			buf = mustAppend(buf, s.peek(v))
		}
	}
	return buf, absent
}

// exact is peek of a Go type, with what is nil in it.
func (s *slot) exact(v *table.Version) any {
	n := normalizer{limits: unlimited, left: unlimited.bytes, nils: true}
	x, err := n.value(reflect.NewAt(s.goType, s.mem(v)).Elem().Interface(), 0)
	if err != nil || x == nil { // it was checked when it was written
		return s.peek(v)
	}
	return x
}

// mustAppend encodes a value of a record, which is canonical.
func mustAppend(buf []byte, x any) []byte {
	buf, err := logentry.AppendValue(buf, x)
	if err != nil {
		panic(err)
	}
	return buf
}

// holes encodes which records lack a field, if any does.
func (k *block) holes(buf []byte, s *slot) []byte {
	var bits []byte
	for i, v := range k.rows {
		if s.absent(v) {
			if bits == nil {
				bits = make([]byte, (len(k.rows)+7)/8)
			}
			bits[i/8] |= 1 << (i % 8)
		}
	}
	if bits == nil {
		return buf
	}
	return logentry.AppendBytes(logentry.AppendUint(buf, uint64(s.pos)), bits)
}

// metadata encodes what the store knows of the records, and their extra fields.
func (k *block) metadata(buf []byte, sh *shape) []byte {
	n := len(k.rows)
	expires, extras := false, false
	buf = logentry.AppendArray(buf, n)
	for _, v := range k.rows {
		m := sh.meta(v)
		buf = logentry.AppendInt(buf, int64(m.CreatedAt))
		expires = expires || m.ExpiresAt != 0
		extras = extras || len(v.Ext.Extra) > 0
	}
	buf = logentry.AppendArray(buf, n)
	for _, v := range k.rows {
		buf = logentry.AppendInt(buf, int64(sh.meta(v).UpdatedAt))
	}
	buf = logentry.AppendArray(buf, n)
	for _, v := range k.rows {
		buf = logentry.AppendUint(buf, uint64(sh.meta(v).Version))
	}
	if !expires {
		buf = logentry.AppendNull(buf)
	} else {
		buf = logentry.AppendArray(buf, n)
		for _, v := range k.rows {
			buf = logentry.AppendInt(buf, int64(sh.meta(v).ExpiresAt))
		}
	}
	buf = logentry.AppendArray(buf, n)
	for _, place := range k.places {
		buf = logentry.AppendUint(buf, place)
	}
	if !extras {
		return logentry.AppendNull(buf)
	}
	buf = logentry.AppendArray(buf, n)
	for _, v := range k.rows {
		buf = mustAppend(buf, map[string]any(v.Ext.Extra))
	}
	return buf
}

// appendMarks encodes the last numbers that were given out.
func (b *bucket) appendMarks(buf []byte) []byte {
	sh := b.shape
	if len(sh.autos) == 0 {
		return logentry.AppendMap(buf, 0)
	}
	marks := make(map[string]int64, len(sh.autos))
	for _, i := range sh.autos {
		marks[sh.slots[i].name] = b.prep.auto[i].Load()
	}
	return logentry.AppendMarks(buf, marks)
}

// storedDefinition is a definition in the log: what of it can be written down.
type storedDefinition struct {
	Key     string        `cbor:"key"`
	Fields  []storedField `cbor:"fields"`
	Indexes [][]string    `cbor:"indexes,omitempty"`
	Ordered bool          `cbor:"ordered,omitempty"`
	Extra   bool          `cbor:"extra,omitempty"`
	TTL     int64         `cbor:"ttl,omitempty"` // ns
	// The bounds: records, estimated bytes, and the order of eviction.
	MaxSize  int    `cbor:"maxSize,omitempty"`
	MaxBytes int64  `cbor:"maxBytes,omitempty"`
	Evict    string `cbor:"evict,omitempty"`

	Validated bool `cbor:"validated,omitempty"` // by a function
}

type storedField struct {
	Name      string `cbor:"name"`
	Type      string `cbor:"type"`
	Required  bool   `cbor:"required,omitempty"`
	Default   any    `cbor:"default,omitempty"`
	Computed  bool   `cbor:"computed,omitempty"` // the default is a function
	Generated string `cbor:"generated,omitempty"`
	Unique    bool   `cbor:"unique,omitempty"`
	Enum      []any  `cbor:"enum,omitempty"`
	Format    string `cbor:"format,omitempty"`
	Min       any    `cbor:"min,omitempty"`
	Max       any    `cbor:"max,omitempty"`
	MinLength int    `cbor:"minLength,omitempty"`
	MaxLength int    `cbor:"maxLength,omitempty"`
	Pattern   string `cbor:"pattern,omitempty"`
	Ref       string `cbor:"ref,omitempty"`
	Narrow    string `cbor:"narrow,omitempty"` // the struct's Go type, if it holds less than Type

	Properties []storedField `cbor:"properties,omitempty"`
	Closed     bool          `cbor:"closed,omitempty"` // no properties but these
	Items      *storedField  `cbor:"items,omitempty"`
	Validated  bool          `cbor:"validated,omitempty"` // by a function
}

var generatorNames = [...]string{UUID: "uuid", CUID: "cuid", Autoincrement: "autoincrement", Timestamp: "timestamp"}

// stored encodes a bucket's definition.
func (b *bucket) stored() ([]byte, error) {
	d := &b.def
	out := storedDefinition{Key: d.Key, Ordered: d.Ordered, Extra: d.Extra, TTL: int64(d.TTL), MaxSize: d.MaxSize, MaxBytes: d.MaxBytes, Validated: d.Validate != nil}
	if d.Evict > OldestCreated {
		out.Evict = d.Evict.String()
	}
	for _, ix := range d.Indexes {
		out.Indexes = append(out.Indexes, ix)
	}
	for i := range b.shape.slots {
		s := &b.shape.slots[i]
		f := d.Schema[s.name]
		w := f.stored(s.name, &s.rules)
		if (s.kind == memInt || s.kind == memUint || s.kind == memFloat) && (s.size < 8 || s.kind == memUint) || s.kind == memRef {
			w.Narrow = s.goType.String()
		}
		out.Fields = append(out.Fields, w)
	}
	return logentry.Marshal(out)
}

// stored is what of a field can be written down.
func (f *Field) stored(name string, r *rules) storedField {
	w := storedField{
		Name: name, Type: f.Type.String(), Required: f.Required, Generated: generatorNames[f.Generated], Unique: f.Unique,
		Format: formatNames[f.Format], MinLength: f.MinLength, MaxLength: f.MaxLength, Pattern: f.Pattern, Ref: f.Ref,
		Closed: f.Properties != nil && !f.Extra, Validated: f.Validate != nil,
	}
	switch {
	case r.defFunc != nil:
		w.Computed = true
	case r.hasDefault:
		w.Default = r.def
	}
	for _, text := range r.enumText {
		w.Enum = append(w.Enum, text)
	}
	w.Enum = append(w.Enum, r.enum...)
	if f.Min != nil {
		w.Min = f.Min.n.value()
	}
	if f.Max != nil {
		w.Max = f.Max.n.value()
	}
	if r.inner == nil {
		return w
	}
	for i := range r.inner.props {
		p := &r.inner.props[i]
		sub := f.Properties[p.name]
		w.Properties = append(w.Properties, sub.stored(p.name, &p.rules))
	}
	if f.Items != nil {
		item := f.Items.stored("", r.inner.item)
		w.Items = &item
	}
	return w
}

// appendControl encodes an entry that defines a bucket, or ends it.
func (b *bucket) appendControl(buf []byte, dropped bool) []byte {
	buf = logentry.AppendArray(buf, 1)
	buf = b.log.appendTo(buf, b.name, dropped)
	return logentry.AppendArray(logentry.AppendArray(buf, 0), 0)
}

// appendRedefinition encodes an entry that gives a bucket of the log another
// definition; the records that this changes come in entries of their own. aging:
// they have got deadlines.
func (b *bucket) appendRedefinition(buf []byte, aging bool) []byte {
	buf = logentry.AppendArray(buf, 1)
	buf = b.log.appendTo(buf, b.name, false)
	if aging {
		buf = b.appendDeadlineMark(logentry.AppendArray(buf, 1))
	} else {
		buf = logentry.AppendArray(buf, 0)
	}
	return logentry.AppendArray(buf, 0)
}

// appendDeadlineMark encodes a block with nothing but the deadlineMark of the
// bucket's definition.
func (b *bucket) appendDeadlineMark(buf []byte) []byte {
	var k block
	return logentry.AppendMarks(k.appendRows(buf, b), map[string]int64{deadlineMark: int64(b.log.version)})
}

func (l *bucketLog) appendTo(buf []byte, name string, dropped bool) []byte {
	buf = logentry.AppendArray(buf, 5)
	buf = logentry.AppendUint(buf, l.id)
	buf = logentry.AppendText(buf, name)
	buf = logentry.AppendUint(buf, l.version)
	buf = append(buf, l.stored...)
	return logentry.AppendBool(buf, dropped)
}

// rewriting adds records as they are to be to a ticket, in entries of bounded
// size.
type rewriting struct {
	b     *bucket
	tk    *ticket
	k     block
	bytes int
}

func (w *rewriting) add(v *table.Version, place uint64) {
	w.k.rows, w.k.places = append(w.k.rows, v), append(w.k.places, place)
	if w.bytes += w.b.sizeOf(v); len(w.k.rows) == partRows || w.bytes > partBytes {
		w.flush()
	}
}

func (w *rewriting) flush() {
	if len(w.k.rows) == 0 {
		return
	}
	w.tk.begin()
	w.tk.buf = logentry.AppendArray(logentry.AppendArray(w.tk.buf, 0), 1)
	w.tk.buf = logentry.AppendArray(w.k.append(w.tk.buf, w.b), 0)
	w.tk.end()
	w.k.reset()
	w.bytes = 0
}

// appendReads encodes which versions of records a transaction has read by key.
func (tx *Tx) appendReads(buf []byte) []byte {
	n := 0
	for _, tb := range tx.parts {
		if tb.b.log.id != 0 {
			n += len(tb.reads.keys)
		}
	}
	buf = logentry.AppendArray(buf, n)
	for _, tb := range tx.parts {
		if tb.b.log.id == 0 {
			continue
		}
		for _, key := range tb.reads.keys {
			buf = logentry.AppendUint(logentry.AppendArray(buf, 3), tb.b.log.id)
			buf = appendLogKey(buf, key)
			version := Version(0)
			if v := tb.b.byKey(tb.b.table.At(tx.pin.Seq), key.text, key.word); v != nil {
				version = tb.b.shape.meta(v).Version
			}
			buf = logentry.AppendUint(buf, uint64(version))
		}
	}
	return buf
}
