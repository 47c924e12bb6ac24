package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// partRows and partBytes bound a part of what Load brings.
const (
	partRows  = 1000
	partBytes = 4 << 20
)

// Load brings the definitions and the marks, and then the records in the order of
// bucket and place, in parts of up to 1,000. All are at the position of the log. fn
// must not call methods of the log other than Info and Follow.
func (l *log) Load(ctx context.Context, fn func(e store.LogEntry) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil || l.meta.position == 0 {
		return err
	}
	buckets, sum, err := l.d.readBuckets()
	if err != nil {
		return l.d.explain(err)
	}
	p := &part{log: l, known: buckets}
	if err := fn(p.entry(p.definitions(buckets))); err != nil {
		return err
	}
	records, err := p.records(ctx, fn)
	if err != nil {
		return err
	}
	if n := records.n; n != l.meta.records {
		return &store.CorruptError{File: "records", Reason: fmt.Sprintf("%d rows are there, %d were written", n, l.meta.records)}
	}
	if sum+records.sum != l.meta.sum {
		return &store.CorruptError{File: "meta", Offset: 1, Reason: "the rows do not add up to their checksum"}
	}
	return nil
}

// part makes entries of rows.
type part struct {
	*log
	known   map[uint64]*bucket
	buf     []byte
	columns []*partColumn
	byName  map[string]int
	rows    []rowMeta
	extras  [][]byte // of rows; nil if none has any
	extra   bool
	expires bool
	bucket  int64
	version int64 // of the definition

	blocks []byte // of the entry, that are complete
	n      int    // of them
}

// partColumn is the column of a block that is being made.
type partColumn struct {
	name  string
	buf   []byte
	n     int    // values in buf
	upTo  int    // rows that are settled
	holes []byte // nil: none
}

type rowMeta struct{ created, updated, version, expires, place int64 }

// head begins an entry.
func (p *part) head() []byte {
	b := logentry.AppendArray(p.buf[:0], 6)
	b = logentry.AppendUint(b, logentry.Format)
	b = logentry.AppendUint(b, p.meta.seq)
	return logentry.AppendBytes(b, p.meta.session)
}

func (p *part) entry(data []byte) store.LogEntry {
	p.buf = data
	return store.LogEntry{Position: p.meta.position, Data: data}
}

// definitions is the entry with all definitions and marks. A bucket that was
// dropped is defined and ended.
func (p *part) definitions(all map[uint64]*bucket) []byte {
	n, marked := 0, 0
	for _, b := range all {
		n++
		if b.dropped {
			n++
		}
		if len(b.marks) > 0 {
			marked++
		}
	}
	list := sortedBuckets(all)
	b := logentry.AppendArray(p.head(), n)
	for _, x := range list {
		b = x.appendTo(b, false)
		if x.dropped {
			b = x.appendTo(b, true)
		}
	}
	b = logentry.AppendArray(b, marked)
	for _, x := range list {
		if len(x.marks) > 0 {
			b = x.appendMarks(b)
		}
	}
	return logentry.AppendArray(b, 0)
}

func (x *bucket) appendTo(b []byte, dropped bool) []byte {
	b = logentry.AppendArray(b, 5)
	b = logentry.AppendUint(b, x.id)
	b = logentry.AppendText(b, x.name)
	b = logentry.AppendUint(b, x.version)
	b = append(b, x.definition...)
	return logentry.AppendBool(b, dropped)
}

// appendMarks appends a block without rows.
func (x *bucket) appendMarks(b []byte) []byte {
	b = logentry.AppendArray(b, 14)
	b = logentry.AppendUint(b, x.id)
	b = logentry.AppendUint(b, x.version)
	b = logentry.AppendUint(b, 0)
	b = logentry.AppendArray(logentry.AppendArray(b, 0), 0) // names, columns
	b = logentry.AppendMap(b, 0)                            // holes
	b = logentry.AppendArray(b, 0)                          // created
	b = logentry.AppendArray(b, 0)                          // updated
	b = logentry.AppendNull(logentry.AppendArray(b, 0))     // versions, expires
	b = logentry.AppendNull(logentry.AppendArray(b, 0))     // places, extras
	b = logentry.AppendArray(b, 0)                          // deleted
	marks := make(map[string]int64, len(x.marks))
	for field, m := range x.marks {
		marks[field] = m.last
	}
	return logentry.AppendMarks(b, marks)
}

// total is what was read of records.
type total struct {
	n   int64
	sum uint64
}

// records brings all records. It reads a part, and gives it to fn when no statement
// is open any more.
func (p *part) records(ctx context.Context, fn func(e store.LogEntry) error) (t total, err error) {
	var r record
	at := [3]any{int64(lowest), int64(lowest), int64(lowest)}
	for {
		if err := ctx.Err(); err != nil {
			return t, err
		}
		n, bytes := 0, 0
		rows, err := p.st.page.QueryContext(never, append(at[:], partRows)...)
		if err != nil {
			return t, p.d.explain(err)
		}
		for bytes < partBytes && rows.Next() {
			if err = p.take(rows, &r); err != nil {
				break
			}
			n++
			bytes += len(r.data) + len(r.extra)
			t.n++
			t.sum += uint64(r.crc)
		}
		if err == nil {
			err = rows.Err()
		}
		if e := rows.Close(); err == nil {
			err = e
		}
		if err != nil {
			return t, p.d.explain(err)
		}
		if n == 0 {
			return t, nil
		}
		at = [3]any{r.bucket, r.place, r.key}
		p.endBlock()
		if err := fn(p.entry(p.complete())); err != nil {
			return t, err
		}
	}
}

// take adds a row to the block that is being made; a row of another bucket, or of
// another version of its definition, begins a new one.
func (p *part) take(rows *sql.Rows, r *record) error {
	if err := r.scan(rows); err != nil {
		return err
	}
	if b := p.known[uint64(r.bucket)]; b == nil || b.dropped {
		return &store.CorruptError{File: "records", Offset: r.place, Reason: "the row is of no bucket"}
	}
	if r.bucket != p.bucket || r.definition != p.version {
		p.endBlock()
		p.bucket, p.version = r.bucket, r.definition
	}
	n, pairs, err := cutCount(r.data, majorMap)
	for range n {
		if err == nil {
			pairs, err = p.value(pairs)
		}
	}
	if err != nil {
		return &store.CorruptError{File: "records", Offset: r.place, Reason: err.Error()}
	}
	p.rows = append(p.rows, rowMeta{r.created, r.updated, r.version, r.expires, r.place})
	p.extras = append(p.extras, append([]byte(nil), r.extra...))
	p.extra = p.extra || len(r.extra) > 1
	p.expires = p.expires || r.expires != 0
	return nil
}

// value adds the first pair of the row that is being read to its column.
func (p *part) value(pairs []byte) ([]byte, error) {
	name, rest, err := cutText(pairs)
	if err != nil {
		return nil, err
	}
	i, ok := p.byName[string(name)]
	if !ok {
		if p.byName == nil {
			p.byName = map[string]int{}
		}
		i = len(p.columns)
		p.columns = append(p.columns, &partColumn{name: string(name)})
		p.byName[string(name)] = i
	}
	item, rest, err := cutItem(rest)
	if err != nil {
		return nil, err
	}
	c := p.columns[i]
	c.settle(len(p.rows))
	c.buf, c.n, c.upTo = append(c.buf, item...), c.n+1, len(p.rows)+1
	return rest, nil
}

// settle marks the rows before one as absent that had no value.
func (c *partColumn) settle(row int) {
	for ; c.upTo < row; c.upTo++ {
		for len(c.holes) <= c.upTo/8 {
			c.holes = append(c.holes, 0)
		}
		c.holes[c.upTo/8] |= 1 << (c.upTo % 8)
	}
}

// endBlock completes the block that is being made, if it has rows.
func (p *part) endBlock() {
	rows := len(p.rows)
	if rows == 0 {
		return
	}
	b := logentry.AppendArray(p.blocks, 14)
	b = logentry.AppendUint(b, uint64(p.bucket))
	b = logentry.AppendUint(b, uint64(p.version))
	b = logentry.AppendUint(b, uint64(rows))
	b = logentry.AppendArray(b, len(p.columns))
	holes := 0
	for _, c := range p.columns {
		b = logentry.AppendText(b, c.name)
		if c.settle(rows); c.holes != nil {
			holes++
		}
	}
	b = logentry.AppendArray(b, len(p.columns))
	for _, c := range p.columns {
		b = append(logentry.AppendArray(b, c.n), c.buf...)
	}
	b = logentry.AppendMap(b, holes)
	for i, c := range p.columns {
		if c.holes == nil {
			continue
		}
		for len(c.holes) < (rows+7)/8 {
			c.holes = append(c.holes, 0)
		}
		b = logentry.AppendBytes(logentry.AppendUint(b, uint64(i)), c.holes)
	}
	b = p.appendMeta(b)
	p.blocks, p.n = logentry.AppendMap(logentry.AppendArray(b, 0), 0), p.n+1 // deleted, marks
	p.columns, p.rows, p.extras, p.extra, p.expires = nil, p.rows[:0], p.extras[:0], false, false
	clear(p.byName)
}

// appendMeta appends what a block has of its rows besides their fields.
func (p *part) appendMeta(b []byte) []byte {
	each := func(of func(m *rowMeta) int64) {
		b = logentry.AppendArray(b, len(p.rows))
		for i := range p.rows {
			b = logentry.AppendInt(b, of(&p.rows[i]))
		}
	}
	each(func(m *rowMeta) int64 { return m.created })
	each(func(m *rowMeta) int64 { return m.updated })
	each(func(m *rowMeta) int64 { return m.version })
	if p.expires {
		each(func(m *rowMeta) int64 { return m.expires })
	} else {
		b = logentry.AppendNull(b)
	}
	each(func(m *rowMeta) int64 { return m.place })
	if !p.extra {
		return logentry.AppendNull(b)
	}
	b = logentry.AppendArray(b, len(p.rows))
	for _, extra := range p.extras {
		b = append(b, extra...)
	}
	return b
}

// complete makes an entry of the complete blocks.
func (p *part) complete() []byte {
	b := logentry.AppendArray(p.head(), 0)
	b = append(logentry.AppendArray(b, p.n), p.blocks...)
	p.blocks, p.n = p.blocks[:0], 0
	return logentry.AppendArray(b, 0)
}
