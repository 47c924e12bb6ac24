package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// waking is a dormant bucket on its way into a table.
//
// Which records are there is found first, by their keys, and only those are
// decoded: what was overwritten or deleted since need not fit the definition.
type waking struct {
	b    *bucket
	d    *dormant
	same bool // the definition is what it was
	// aging: its TTL is another one. Under the same one, a record without a deadline
	// was freed of it.
	aging bool
	// What a definition changed may not have come into the log to its end: what is
	// older than since, and has no deadline, has the TTL's.
	since int64
	ttl   time.Duration
	// gone has a bit for each row of a block that was overwritten or deleted since;
	// nil: none was.
	gone [][]uint64

	rows    []*table.Version
	places  []uint64
	rewrite block // the records that the definition has changed
}

// wake fills a new bucket with the records of a dormant one. Error: how the
// definition does not fit them.
func (b *bucket) wake(d *dormant) (*waking, error) {
	w := &waking{b: b, d: d, same: bytes.Equal(d.definition, b.log.stored)}
	if w.since = d.marks[deadlineMark]; len(d.blocks) > 0 && (!w.same || w.since > 0) {
		var was storedDefinition
		if err := logentry.UnmarshalValue(d.definition, &was); err != nil {
			return nil, d.corrupt(err)
		}
		if was.Key != b.def.Key {
			return nil, fmt.Errorf("the bucket in the log has the key %q: drop it before it is defined with another", was.Key)
		}
		w.aging = b.def.TTL > 0 && was.TTL != int64(b.def.TTL)
		if w.ttl = time.Duration(was.TTL); w.ttl == 0 {
			w.since = 0
		}
	}
	if d.whole < len(d.blocks) {
		if err := w.supersede(); err != nil {
			return nil, err
		}
	}
	if err := w.raise(); err != nil {
		return nil, err
	}
	if err := w.read(); err != nil {
		return nil, err
	}
	next := uint64(d.marks[placeMark])
	if n := len(w.places); n > 0 {
		next = max(next, w.places[n-1]+1)
	}
	b.places.Store(next)
	if b.def.MaxBytes > 0 {
		for _, v := range w.rows {
			b.room.added += b.weigh(v)
		}
		b.room.settle(true)
	}
	switch c := b.table.Load(w.rows, w.places, next, b.store.opened); c {
	case table.NoConflict:
	case table.Full:
		return nil, ErrFull
	default:
		return nil, d.corrupt(errors.New("two records have one key"))
	}
	if !w.same {
		return w, w.unique()
	}
	return w, nil
}

func (d *dormant) corrupt(err error) error {
	return &CorruptError{File: fmt.Sprintf("bucket %q", d.name), Reason: err.Error()}
}

// supersede finds the rows that later ones have taken the place of.
func (w *waking) supersede() error {
	type place struct{ block, row int }
	blocks := w.d.blocks
	w.gone = make([][]uint64, len(blocks))
	at := map[any]place{}
	end := func(p place) {
		if w.gone[p.block] == nil {
			w.gone[p.block] = make([]uint64, (blocks[p.block].Rows+63)/64)
		}
		w.gone[p.block][p.row/64] |= 1 << (p.row % 64)
	}
	for i, k := range blocks {
		for _, key := range k.Deleted {
			was, ok := at[key]
			if !ok {
				return w.d.corrupt(errors.New("the delete of a record that there is not"))
			}
			end(was)
			delete(at, key)
		}
		if k.Rows == 0 {
			continue
		}
		var keys []any
		c := slices.Index(k.Names, w.b.def.Key)
		if c < 0 {
			return w.d.corrupt(errors.New("a block has no keys"))
		}
		if err := k.Column(c, &keys); err != nil {
			return w.d.corrupt(err)
		}
		for row, key := range keys {
			switch key.(type) {
			case string, int64:
			default:
				return w.d.corrupt(errors.New("a key is neither text nor an integer"))
			}
			if was, ok := at[key]; ok {
				end(was)
			}
			at[key] = place{i, row}
		}
	}
	return nil
}

// isGone reports whether a row was overwritten or deleted.
func (w *waking) isGone(block, row int) bool {
	return w.gone != nil && w.gone[block] != nil && w.gone[block][row/64]>>(row%64)&1 != 0
}

// raise keeps autoincrement fields above the log's numbers, before the first one is
// drawn.
func (w *waking) raise() error {
	for _, i := range w.b.shape.autos {
		s, c := &w.b.shape.slots[i], &w.b.prep.auto[i]
		c.Store(max(c.Load(), w.d.marks[s.name]))
		if w.same {
			continue // the marks are those of this field
		}
		for _, k := range w.d.blocks {
			var values []any
			col := slices.Index(k.Names, s.name)
			if col < 0 {
				continue
			}
			if err := k.Column(col, &values); err != nil {
				return w.d.corrupt(err)
			}
			for _, x := range values {
				if n, ok := x.(int64); ok {
					c.Store(max(c.Load(), n))
				}
			}
		}
	}
	return nil
}

// decoded is the records of one block.
type decoded struct {
	rows    []*table.Version
	places  []uint64
	rewrite block
	err     error
}

// errLoad is a part that was not read to its end.
var errLoad = errors.New("its part of the log was not read")

// read decodes the blocks, on all processors.
func (w *waking) read() error {
	blocks := w.d.blocks
	parts := make([]decoded, len(blocks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(blocks)) {
		wg.Add(1)
		w.b.store.workers.Go("load", func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < len(blocks); i = int(next.Add(1)) - 1 {
				parts[i].err = errLoad // unless this comes back
				parts[i].err = w.block(i, &parts[i])
			}
		})
	}
	wg.Wait()
	n := 0
	for i := range parts {
		if parts[i].err != nil {
			return parts[i].err
		}
		n += len(parts[i].rows)
	}
	w.rows, w.places = make([]*table.Version, 0, n), make([]uint64, 0, n)
	for i := range parts {
		w.rows, w.places = append(w.rows, parts[i].rows...), append(w.places, parts[i].places...)
		w.rewrite.rows = append(w.rewrite.rows, parts[i].rewrite.rows...)
		w.rewrite.places = append(w.rewrite.places, parts[i].rewrite.places...)
	}
	if !slices.IsSorted(w.places) {
		w.sort()
	}
	return nil
}

// block decodes the records of a block that are still there.
func (w *waking) block(i int, out *decoded) error {
	k := w.d.blocks[i]
	rows := make([]*table.Version, k.Rows)
	var err error
	var changed []bool
	if w.same && k.Version == w.d.version {
		err = w.decode(k, rows)
	} else {
		changed = make([]bool, k.Rows)
		err = w.convert(i, rows, changed)
	}
	if err != nil {
		return err
	}
	to := 0
	out.rows, out.places = rows, slices.Clone(k.Places)
	for row, v := range rows {
		if w.isGone(i, row) {
			continue
		}
		m := w.meta(k, row)
		if changed != nil && m.ExpiresAt != expiry(k, row) {
			changed[row] = true
		}
		*w.b.shape.meta(v) = m
		rows[to], out.places[to] = v, k.Places[row]
		if changed != nil && changed[row] {
			out.rewrite.rows, out.rewrite.places = append(out.rewrite.rows, v), append(out.rewrite.places, k.Places[row])
		}
		to++
	}
	clear(rows[to:])
	out.rows, out.places = rows[:to], out.places[:to]
	return nil
}

// meta is the metadata of a row: with the deadline that it would have if the
// definition's TTL had been there when it was inserted.
func (w *waking) meta(k *logentry.Block, row int) Meta {
	m := Meta{
		Version: Version(k.Versions[row]), CreatedAt: Millis(k.Created[row]), UpdatedAt: Millis(k.Updated[row]),
		ExpiresAt: expiry(k, row),
	}
	if m.ExpiresAt == 0 && int64(k.Version) < w.since {
		m.ExpiresAt = endOf(m.CreatedAt, w.ttl)
	}
	if w.aging && m.ExpiresAt == 0 {
		m.ExpiresAt = endOf(m.CreatedAt, w.b.def.TTL)
	}
	return m
}

// expiry is the deadline that a row has in the log.
func expiry(k *logentry.Block, row int) Millis {
	if k.Expires == nil {
		return 0
	}
	return Millis(k.Expires[row])
}

// decode makes records of a block whose definition is the bucket's: column by
// column, each into the memory of its field.
func (w *waking) decode(k *logentry.Block, rows []*table.Version) error {
	sh := w.b.shape
	for i := range rows {
		rows[i] = sh.alloc()
	}
	used := 0
	for i := range sh.slots {
		s, c := &sh.slots[i], i
		if c >= len(k.Names) || k.Names[c] != s.name { // as a Compact log may have them
			c = slices.Index(k.Names, s.name)
		}
		if c < 0 { // no record of the block has the field
			for _, v := range rows {
				s.setAbsent(v, true)
			}
			continue
		}
		used++
		if err := s.decode(k, c, rows); err != nil {
			if errors.Is(err, logentry.ErrFormat) {
				return w.d.corrupt(err)
			}
			return err
		}
	}
	if used < len(k.Names) {
		return w.d.corrupt(errors.New("a block has a field that its definition has not"))
	}
	for i, extra := range k.Extras {
		if len(extra) > 0 {
			ownExt(rows[i]).Extra = extra
		}
	}
	return nil
}

// decode reads a column into a field.
func (s *slot) decode(k *logentry.Block, c int, rows []*table.Version) error {
	switch {
	case s.kind == memString && s.enumText != nil:
		return column(s, k, c, rows, func(v *table.Version, x string) { *(*string)(at(v, s.off)) = s.listed(x) })
	case s.kind == memString:
		return column(s, k, c, rows, func(v *table.Version, x string) { *(*string)(at(v, s.off)) = x })
	case s.kind == memInt && s.size == 8:
		return column(s, k, c, rows, func(v *table.Version, x int64) { *(*int64)(at(v, s.off)) = x })
	case s.kind == memFloat && s.size == 8:
		return column(s, k, c, rows, func(v *table.Version, x float64) { *(*float64)(at(v, s.off)) = x })
	case s.kind == memBool:
		return column(s, k, c, rows, func(v *table.Version, x bool) { *(*bool)(at(v, s.off)) = x })
	case s.kind == memTime:
		return column(s, k, c, rows, func(v *table.Version, x time.Time) { *(*time.Time)(at(v, s.off)) = x.UTC() })
	case s.kind == memBytes:
		return column(s, k, c, rows, func(v *table.Version, x []byte) { *(*[]byte)(at(v, s.off)) = x })
	}
	var wrong error
	err := column(s, k, c, rows, func(v *table.Version, x any) {
		if err := s.restore(v, x); err != nil {
			wrong = err
		}
	})
	if err == nil {
		err = wrong
	}
	return err
}

// restore stores a value of the log, as put does one from outside.
func (s *slot) restore(v *table.Version, x any) error {
	if err := s.put(v, x, unlimited); err != nil {
		return fmt.Errorf("field %s of the log: %w", s.name, err)
	}
	return nil
}

// column decodes a column of values of one Go type, and stores them by set unless
// they lie behind a pointer.
func column[V any](s *slot, k *logentry.Block, c int, rows []*table.Version, set func(v *table.Version, x V)) error {
	var values []V
	if err := k.Column(c, &values); err != nil {
		return err
	}
	at := 0
	for i, v := range rows {
		if k.Absent(c, i) {
			s.setAbsent(v, true)
			continue
		}
		if s.ptr {
			if err := s.restore(v, any(values[at])); err != nil {
				return err
			}
		} else {
			set(v, values[at])
		}
		at++
	}
	return nil
}

// convert makes records of a block under another definition than the bucket's, and
// says which of them the definition has changed.
func (w *waking) convert(i int, rows []*table.Version, changed []bool) error {
	k := w.d.blocks[i]
	records, err := k.Records()
	if err != nil {
		return w.d.corrupt(err)
	}
	had := map[string]bool{}
	for _, name := range k.Names {
		had[name] = true
	}
	now := w.b.store.clock()
	for row := range records {
		if w.isGone(i, row) {
			continue
		}
		v, err := w.b.prep.restate(records[row].Fields, had, w.meta(k, row), now)
		if err != nil {
			return fmt.Errorf("the definition does not fit a record in the log: %w", err)
		}
		rows[row], changed[row] = v, !identicalValues(records[row].Fields, w.b.plain(v))
	}
	return nil
}

// restate prepares a record that is there already for another definition: fields
// that the one before did not have are generated or get their defaults, and
// everything is checked.
func (p *preparer) restate(in Fields, had map[string]bool, m Meta, now time.Time) (*table.Version, error) {
	v := p.sh.alloc()
	*p.sh.meta(v) = m
	var wrong problems
	used := 0
	for i := range p.sh.slots {
		s := &p.sh.slots[i]
		x, ok := in[s.name]
		if !ok {
			if s.setAbsent(v, true); had[s.name] {
				s.judge(v, &wrong)
			} else if err := p.finish(s, v, now, &wrong); err != nil {
				return nil, err
			}
			continue
		}
		used++
		if err := p.take(s, v, x, now); err != nil {
			s.setAbsent(v, false)
			if err := wrong.note(s.name, err); err != nil {
				return nil, p.failed(s, err)
			}
			continue
		}
		s.judge(v, &wrong)
	}
	if used < len(in) {
		p.extraFields(v, in, &wrong)
	}
	return v, p.accept(v, wrong)
}

// plain is a record as the log has it: its fields, and no metadata.
func (b *bucket) plain(v *table.Version) map[string]any {
	out := make(map[string]any, len(b.shape.slots))
	for i := range b.shape.slots {
		if s := &b.shape.slots[i]; !s.absent(v) {
			out[s.name] = s.peek(v)
		}
	}
	maps.Copy(out, v.Ext.Extra)
	return out
}

// sort brings the records into the order of their places.
func (w *waking) sort() {
	order := make([]int, len(w.rows))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(w.places[a], w.places[b]) })
	rows, places := w.rows, w.places
	w.rows, w.places = nil, nil
	for _, i := range order {
		w.rows, w.places = append(w.rows, rows[i]), append(w.places, places[i])
	}
}

// unique checks the unique fields of a definition that is new to the records.
func (w *waking) unique() error {
	for i := range w.b.shape.indexes {
		ix := &w.b.shape.indexes[i]
		if !ix.spec.Unique {
			continue
		}
		s := &w.b.shape.slots[ix.fields[0]]
		seen := make(map[string]bool, len(w.rows))
		var buf []byte
		for _, v := range w.rows {
			if s.absent(v) {
				continue
			}
			buf = appendValue(buf[:0], s.peek(v))
			if seen[string(buf)] {
				return &UniqueError{Bucket: w.b.name, Field: s.name, Value: s.get(v)}
			}
			seen[string(buf)] = true
		}
	}
	return nil
}

// nextPlace is the place of the next record of a table.
func nextPlace(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
