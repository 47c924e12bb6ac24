package store

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// A snapshot of the log is what the store was at one position: the definitions
// first, then each bucket's records in their order, in parts. It is written beside
// commits, from a pinned sequence, and takes the memory of one part.

// compactLeast is the bytes behind a snapshot from which on the next one is
// written, unless that one is larger.
const compactLeast = 64 << 20

// partRows and partBytes bound the parts of a snapshot.
const (
	partRows  = 4096
	partBytes = 1 << 20
)

// cut is the state of the store at a position of its log.
type cut struct {
	at      Position
	seq     uint64
	hold    hold
	session []byte
	lastID  uint64 // of a bucket, though it may be gone
	buckets []*bucket
	dormant []*dormant
}

// cut finds the state at the end of the log, in the turn of a commit. The caller
// closes its hold.
func (w *logWriter) cut() (*cut, error) {
	c := &cut{session: w.session}
	st := w.st
	tk := &ticket{control: true}
	tk.visible = func() {
		c.at, c.lastID = tk.at, st.lastID
		st.hold(&c.hold, st.pins.AcquireLong())
		c.seq = c.hold.pin.Seq
		for _, b := range *st.buckets.Load() {
			if b.log.id != 0 {
				c.buckets = append(c.buckets, b)
			}
		}
		c.dormant = slices.Collect(maps.Values(*st.asleep.Load()))
	}
	if err := w.commit(tk); err != nil {
		return nil, err
	}
	slices.SortFunc(c.buckets, byLogID)
	slices.SortFunc(c.dormant, func(a, b *dormant) int { return cmp.Compare(a.id, b.id) })
	return c, nil
}

func byLogID(a, b *bucket) int { return cmp.Compare(a.log.id, b.log.id) }

// write puts a snapshot, part by part.
func (c *cut) write(put func(data []byte) error) error {
	e := logentry.Entry{Format: logentry.Format, Seq: c.seq, Session: c.session}
	for _, b := range c.buckets {
		e.Buckets = append(e.Buckets, logentry.Bucket{ID: b.log.id, Name: b.name, Version: b.log.version, Definition: b.log.stored})
		marks := map[string]int64{placeMark: nextPlace(b.places.Load())}
		for _, i := range b.shape.autos {
			marks[b.shape.slots[i].name] = b.prep.auto[i].Load()
		}
		e.Blocks = append(e.Blocks, emptyBlock(b.log.id, b.log.version, marks))
	}
	for _, d := range c.dormant {
		e.Buckets = append(e.Buckets, logentry.Bucket{ID: d.id, Name: d.name, Version: d.version, Definition: d.definition})
		e.Blocks = append(e.Blocks, emptyBlock(d.id, d.version, d.marks))
	}
	if !slices.ContainsFunc(e.Buckets, func(b logentry.Bucket) bool { return b.ID == c.lastID }) && c.lastID > 0 {
		definition, err := logentry.Marshal(storedDefinition{Key: "gone"})
		if err != nil {
			return err
		}
		last := logentry.Bucket{ID: c.lastID, Name: "gone", Definition: definition} // so that it is not given again
		e.Buckets = append(e.Buckets, last)
		last.Dropped = true
		e.Buckets = append(e.Buckets, last)
	}
	if err := putEntry(&e, put); err != nil {
		return err
	}
	for _, d := range c.dormant {
		for _, k := range d.blocks {
			if err := putEntry(&logentry.Entry{Format: logentry.Format, Seq: c.seq, Session: c.session, Blocks: []logentry.Block{*k}}, put); err != nil {
				return err
			}
		}
	}
	for _, b := range c.buckets {
		if err := c.writeBucket(b, put); err != nil {
			return err
		}
	}
	return nil
}

func emptyBlock(id, version uint64, marks map[string]int64) logentry.Block {
	return logentry.Block{
		Bucket: id, Version: version, Names: []string{}, Created: []int64{}, Updated: []int64{}, Versions: []uint64{},
		Places: []uint64{}, Deleted: []any{}, Holes: map[uint64][]byte{}, Marks: marks,
	}
}

func putEntry(e *logentry.Entry, put func(data []byte) error) error {
	data, err := e.Encode()
	if err != nil {
		return err
	}
	return put(data)
}

// writeBucket puts the records of a bucket.
func (c *cut) writeBucket(b *bucket, put func(data []byte) error) error {
	var cur table.Cursor
	view := b.table.At(c.seq)
	cur.Scan(view, false)
	var rows [batchRows]*table.Version
	var nums [batchRows]uint32
	var k block
	var tk ticket
	flush := func() error {
		if len(k.rows) == 0 {
			return nil
		}
		tk.reset()
		tk.begin()
		tk.buf = logentry.AppendArray(logentry.AppendArray(tk.buf, 0), 1)
		tk.buf = logentry.AppendArray(k.append(tk.buf, b), 0)
		tk.end()
		k.reset()
		return put(tk.entries[0].seal(tk.buf, c.seq, c.session))
	}
	size := 0
	for n := cur.Next(rows[:], nums[:]); n > 0; n = cur.Next(rows[:], nums[:]) {
		for i, v := range rows[:n] {
			k.rows = append(k.rows, v)
			k.places = append(k.places, view.Ordinal(nums[i]))
			size += b.sizeOf(v)
			if len(k.rows) == partRows || size > partBytes {
				if err := flush(); err != nil {
					return err
				}
				size = 0
			}
		}
	}
	return flush()
}

// compaction writes a snapshot whenever the log has become long.
func (w *logWriter) compaction() {
	for {
		select {
		case <-w.compact:
		case <-w.st.done:
			return
		}
		if w.tail.Load() <= max(w.base.Load(), compactLeast) {
			continue
		}
		if err := w.snapshot(w.st.live.life); err != nil {
			if !errors.Is(err, ErrClosed) {
				w.st.report("log compaction", err)
			}
			w.base.Store(w.base.Load() + w.tail.Load()) // not again at once
		}
	}
}

// snapshot replaces what the log has up to now by a snapshot.
func (w *logWriter) snapshot(ctx context.Context) error {
	w.snapshots.Lock()
	defer w.snapshots.Unlock()
	if w.closed {
		return ErrClosed
	}
	c, err := w.cut()
	if err != nil {
		return err
	}
	defer c.hold.close()
	err = w.log.Snapshot(ctx, c.at, func(put func(data []byte) error) error {
		return c.write(func(data []byte) error {
			if w.st.closed.Load() {
				return ErrClosed
			}
			return put(data)
		})
	})
	if err != nil {
		return err
	}
	info := w.log.Info()
	w.tail.Store(info.Tail)
	w.base.Store(info.Bytes - info.Tail)
	return nil
}

// Compact writes a snapshot of the store into its log, which gives back the room
// of what was overwritten, deleted and dropped. The store does so by itself when
// the log has doubled. Errors: ErrNoLog; the log's.
func (st *Store) Compact(ctx context.Context) error {
	switch {
	case st.log == nil:
		return &Error{Op: "compact", Err: ErrNoLog}
	case st.closed.Load():
		return &Error{Op: "compact", Err: ErrClosed}
	case st.log.log.Info().Compact:
		return nil
	}
	if err := st.log.snapshot(ctx); err != nil {
		return &Error{Op: "compact", Err: err}
	}
	return nil
}
