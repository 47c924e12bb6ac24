package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// Open reads the log once, and keeps what it says of each bucket as it was
// written: a dormant bucket. DefineBucket decodes it into a table. A bucket that
// nobody defines stays as it is, and goes into the next snapshot untouched.

// dormant is a bucket of the log that is not defined yet.
type dormant struct {
	id, version uint64
	name        string
	definition  []byte
	blocks      []*logentry.Block
	whole       int    // the first of blocks, which only insert, in the order of places
	lastPlace   uint64 // in those
	marks       map[string]int64
}

// placeMark is the mark of the place of the next record, in a snapshot. No field
// has this name.
const placeMark = ""

// loaded is what a log says.
type loaded struct {
	seq      uint64
	lastID   uint64
	byID     map[uint64]*dormant
	byName   map[string]*dormant
	progress LoadProgress
}

func newLoaded() *loaded {
	return &loaded{byID: map[uint64]*dormant{}, byName: map[string]*dormant{}}
}

// progressEvery is how often progress is told.
const progressEvery = 100 * time.Millisecond

// read reads a log.
func (l *loaded) read(ctx context.Context, log Log, tell func(LoadProgress)) error {
	told := time.Now()
	err := log.Load(ctx, func(e LogEntry) error {
		if err := l.parse(e.Data); err != nil {
			return &CorruptError{File: fmt.Sprintf("entry %d", e.Position), Reason: err.Error()}
		}
		l.progress.Entries++
		l.progress.Bytes += int64(len(e.Data))
		if now := time.Now(); now.Sub(told) > progressEvery {
			told = now
			tell(l.progress)
		}
		return nil
	})
	if err == nil {
		l.progress.Done = true
		tell(l.progress)
	}
	return err
}

// parse takes an entry, encoded.
func (l *loaded) parse(data []byte) error {
	e, err := logentry.Parse(data)
	if err != nil {
		return err
	}
	return l.take(e)
}

// forget lets go of the records, of which only the check is wanted.
func (l *loaded) forget() {
	for _, d := range l.byID {
		clear(d.blocks)
		d.blocks, d.whole = d.blocks[:0], 0
	}
}

// take adds an entry to what is known.
func (l *loaded) take(e *logentry.Entry) error {
	l.seq = max(l.seq, e.Seq)
	for i := range e.Buckets {
		b := &e.Buckets[i]
		l.lastID = max(l.lastID, b.ID)
		d := l.byID[b.ID]
		switch {
		case b.Dropped && d == nil:
			return fmt.Errorf("the end of bucket %d, which there is not", b.ID)
		case b.Dropped:
			delete(l.byID, b.ID)
			delete(l.byName, d.name)
		case d != nil:
			d.version, d.definition = b.Version, b.Definition
		case l.byName[b.Name] != nil:
			return fmt.Errorf("bucket %q is defined twice", b.Name)
		default:
			d = &dormant{id: b.ID, version: b.Version, name: b.Name, definition: b.Definition, marks: map[string]int64{}}
			l.byID[b.ID], l.byName[b.Name] = d, d
		}
	}
	for i := range e.Blocks {
		b := &e.Blocks[i]
		d := l.byID[b.Bucket]
		if d == nil {
			return fmt.Errorf("a write to bucket %d, which there is not", b.Bucket)
		}
		for name, n := range b.Marks {
			d.marks[name] = max(d.marks[name], n)
		}
		l.progress.Records += b.Rows + len(b.Deleted)
		if b.Rows+len(b.Deleted) == 0 {
			continue
		}
		b.Marks = nil
		if d.whole == len(d.blocks) && d.inserts(b) {
			d.whole++
		}
		d.blocks = append(d.blocks, b)
	}
	return nil
}

// inserts reports whether a block only inserts, behind all places before.
func (d *dormant) inserts(b *logentry.Block) bool {
	last := d.lastPlace
	for i, place := range b.Places {
		if place <= last && (i > 0 || len(d.blocks) > 0) {
			return false
		}
		last = place
	}
	if len(b.Deleted) > 0 {
		return false
	}
	d.lastPlace = last
	return true
}

// waking is a dormant bucket on its way into a table.
type waking struct {
	b    *bucket
	d    *dormant
	same bool // the definition is what it was

	rows    []*table.Version // nil: deleted since
	places  []uint64
	rewrite []bool // by row: the definition has changed it
	at      map[Key]int
}

// wake fills a new bucket with the records of a dormant one. Error: how the
// definition does not fit them.
func (b *bucket) wake(d *dormant) (*waking, error) {
	w := &waking{b: b, d: d, same: bytes.Equal(d.definition, b.log.stored)}
	if err := w.readWhole(); err != nil {
		return nil, err
	}
	for _, k := range d.blocks[d.whole:] {
		if err := w.apply(k); err != nil {
			return nil, err
		}
	}
	w.compact()
	for name, n := range d.marks {
		if i, ok := b.shape.byName[name]; ok && b.shape.slots[i].gen == Autoincrement {
			c := &b.prep.auto[i]
			c.Store(max(c.Load(), n))
		}
	}
	for _, v := range w.rows {
		for _, i := range b.shape.autos {
			if s := &b.shape.slots[i]; !s.absent(v) {
				b.prep.raise(s, v)
			}
		}
	}
	next := uint64(d.marks[placeMark])
	if n := len(w.places); n > 0 {
		next = max(next, w.places[n-1]+1)
	}
	b.places.Store(next)
	switch c := b.table.Load(w.rows, w.places, next, max(b.store.pins.Published(), 1)); c {
	case table.NoConflict:
	case table.Full:
		return nil, ErrFull
	default:
		return nil, &CorruptError{File: "bucket " + d.name, Reason: "two records have one key"}
	}
	if !w.same {
		return w, w.unique()
	}
	return w, nil
}

// errLoad is a part that was not read to its end.
var errLoad = errors.New("its part of the log was not read")

// readWhole decodes the blocks of a snapshot, on all processors.
func (w *waking) readWhole() error {
	blocks := w.d.blocks[:w.d.whole]
	parts := make([]waking, len(blocks))
	errs := make([]error, len(blocks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(blocks)) {
		wg.Add(1)
		w.b.store.workers.Go("load", func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < len(blocks); i = int(next.Add(1)) - 1 {
				errs[i] = errLoad // unless this comes back
				parts[i] = waking{b: w.b, d: w.d, same: w.same}
				errs[i] = parts[i].read(blocks[i])
			}
		})
	}
	wg.Wait()
	n := 0
	for i := range parts {
		if errs[i] != nil {
			return errs[i]
		}
		n += len(parts[i].rows)
	}
	w.rows, w.places = make([]*table.Version, 0, n), make([]uint64, 0, n)
	for i := range parts {
		w.rows, w.places = append(w.rows, parts[i].rows...), append(w.places, parts[i].places...)
		w.rewrite = append(w.rewrite, parts[i].rewrite...)
	}
	return nil
}

// read decodes the records of a block, behind those that are there.
func (w *waking) read(k *logentry.Block) error {
	n := k.Rows
	if n == 0 {
		return nil
	}
	rows := make([]*table.Version, n)
	if w.same {
		if err := w.decode(k, rows); err != nil {
			return err
		}
	} else if err := w.convert(k, rows); err != nil {
		return err
	}
	for i, v := range rows {
		m := Meta{Version: Version(k.Versions[i]), CreatedAt: Millis(k.Created[i]), UpdatedAt: Millis(k.Updated[i])}
		if k.Expires != nil {
			m.ExpiresAt = Millis(k.Expires[i])
		}
		*w.b.shape.meta(v) = m
	}
	w.rows, w.places = append(w.rows, rows...), append(w.places, k.Places...)
	return nil
}

// decode makes records of a block whose definition is the bucket's: column by
// column, each into the memory of its field.
func (w *waking) decode(k *logentry.Block, rows []*table.Version) error {
	sh := w.b.shape
	if !slices.Equal(k.Names, w.b.log.schema) {
		return &CorruptError{File: "bucket " + w.d.name, Reason: "a block has other fields than its definition"}
	}
	for i := range rows {
		rows[i] = sh.alloc()
	}
	for c := range sh.slots {
		if err := sh.slots[c].decode(k, c, rows); err != nil {
			return &CorruptError{File: "bucket " + w.d.name, Reason: err.Error()}
		}
	}
	for i, extra := range k.Extras {
		if len(extra) > 0 {
			ownExt(rows[i]).Extra = inUTC(extra).(map[string]any)
		}
	}
	return nil
}

// decode reads a column into a field.
func (s *slot) decode(k *logentry.Block, c int, rows []*table.Version) error {
	switch {
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
	var wrong *valueError
	err := column(s, k, c, rows, func(v *table.Version, x any) {
		if err := s.restore(v, x); err != nil {
			wrong = err
		}
	})
	if err == nil && wrong != nil {
		return fmt.Errorf("field %s: %w", s.name, wrong)
	}
	return err
}

// restore stores a value of the log, as put does one from outside.
func (s *slot) restore(v *table.Version, x any) *valueError { return s.put(v, inUTC(x), unlimited) }

// inUTC brings decoded times into the form of the store's.
func inUTC(x any) any {
	switch x := x.(type) {
	case time.Time:
		return x.UTC()
	case []any:
		for i := range x {
			x[i] = inUTC(x[i])
		}
	case map[string]any:
		for name := range x {
			x[name] = inUTC(x[name])
		}
	}
	return x
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
				return fmt.Errorf("field %s: %w", s.name, err)
			}
		} else {
			set(v, values[at])
		}
		at++
	}
	return nil
}

// convert makes records of a block under another definition than the bucket's, as
// an insert would: defaults are filled in, and everything is checked.
func (w *waking) convert(k *logentry.Block, rows []*table.Version) error {
	records, err := k.Records()
	if err != nil {
		return &CorruptError{File: "bucket " + w.d.name, Reason: err.Error()}
	}
	now := w.b.store.clock()
	for i := range records {
		fields := inUTC(records[i].Fields).(map[string]any)
		v, err := w.b.prep.insertFields(fields, now)
		if err != nil {
			return fmt.Errorf("the definition does not fit record %v of the log: %w", fields[w.b.def.Key], err)
		}
		rows[i] = v
		w.rewrite = append(w.rewrite, !identicalValues(fields, w.b.plain(v)))
	}
	return nil
}

// plain is a record as the log has it: its fields, and no metadata.
func (b *bucket) plain(v *table.Version) map[string]any {
	out := make(map[string]any, len(b.shape.slots))
	for i := range b.shape.slots {
		if s := &b.shape.slots[i]; !s.absent(v) {
			out[s.name] = s.peek(v)
		}
	}
	for name, x := range v.Ext.Extra {
		out[name] = x
	}
	return out
}

// apply adds a commit behind the snapshot.
func (w *waking) apply(k *logentry.Block) error {
	if w.at == nil {
		w.at = make(map[Key]int, len(w.rows))
		for i, v := range w.rows {
			w.at[w.b.shape.keyOf(v)] = i
		}
	}
	for _, x := range k.Deleted {
		key := w.b.keyOf(x)
		i, ok := w.at[key]
		if !ok {
			return &CorruptError{File: "bucket " + w.d.name, Reason: fmt.Sprintf("the delete of record %v, which there is not", x)}
		}
		w.rows[i] = nil
		delete(w.at, key)
	}
	from := len(w.rows)
	if err := w.read(k); err != nil {
		return err
	}
	to := from
	for i := from; i < len(w.rows); i++ {
		v, key := w.rows[i], w.b.shape.keyOf(w.rows[i])
		if was, ok := w.at[key]; ok {
			w.rows[was] = v
			w.changed(was, i)
			continue
		}
		w.at[key] = to
		w.rows[to], w.places[to] = v, w.places[i]
		w.changed(to, i)
		to++
	}
	w.rows, w.places = w.rows[:to], w.places[:to]
	if w.rewrite != nil {
		w.rewrite = w.rewrite[:to]
	}
	return nil
}

func (w *waking) changed(to, from int) {
	if w.rewrite != nil {
		w.rewrite[to] = w.rewrite[from]
	}
}

// compact leaves out what was deleted, and sorts the rest by place.
func (w *waking) compact() {
	to := 0
	sorted := true
	for i, v := range w.rows {
		if v == nil {
			continue
		}
		w.rows[to], w.places[to] = v, w.places[i]
		w.changed(to, i)
		sorted = sorted && (to == 0 || w.places[to-1] < w.places[to])
		to++
	}
	clear(w.rows[to:])
	w.rows, w.places, w.at = w.rows[:to], w.places[:to], nil
	if w.rewrite != nil {
		w.rewrite = w.rewrite[:to]
	}
	if !sorted {
		w.sort()
	}
}

// sort brings the records into the order of their places. A log has them in that
// order, but for what its adapter may have done.
func (w *waking) sort() {
	order := make([]int, len(w.rows))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case w.places[a] < w.places[b]:
			return -1
		case w.places[a] > w.places[b]:
			return 1
		}
		return a - b
	})
	rows, places, rewrite := w.rows, w.places, w.rewrite
	w.rows, w.places, w.rewrite = nil, nil, nil
	for _, i := range order {
		w.rows, w.places = append(w.rows, rows[i]), append(w.places, places[i])
		if rewrite != nil {
			w.rewrite = append(w.rewrite, rewrite[i])
		}
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

// rewritten returns the records that the definition has changed.
func (w *waking) rewritten() (k block) {
	for i, changed := range w.rewrite {
		if changed {
			k.rows, k.places = append(k.rows, w.rows[i]), append(k.places, w.places[i])
		}
	}
	return k
}

// nextPlace is the place of the next record of a table.
func nextPlace(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
