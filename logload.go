package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/noex-go/store/internal/logentry"
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
		if b.ID == 0 {
			return errors.New("bucket 0 is in no log")
		}
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
		if d.version < b.Version {
			return fmt.Errorf("a write to bucket %d with a definition that there is not", b.Bucket)
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
