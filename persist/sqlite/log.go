package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"sync/atomic"

	code "modernc.org/sqlite/lib"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// maxEntry keeps a row, with its JSON, below the 10^9 bytes that SQLite takes: JSON
// is at most six times as long as what it shows.
const maxEntry = 64 << 20

var errClosed = errors.New("log is closed")

// log is a database that a store has open. Its methods share one connection, which
// mu hands out; Info and Follow do not need it.
type log struct {
	f       *file
	relaxed bool
	clean   bool // as it was found
	last    atomic.Uint64
	recent  recent

	mu      sync.Mutex // protects what follows
	d       *database
	st      *statements
	meta    meta
	buckets map[uint64]*bucket
	failed  error // why nothing is written any more
	closed  bool
	closing error // what Close returned
}

var _ store.Log = (*log)(nil)

// open opens the log in a claimed file.
func open(a *Adapter, f *file) (_ *log, err error) {
	l := &log{f: f, relaxed: a.relaxed}
	if l.d, err = openDatabase(a, f); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = l.d.explain(err)
			_ = l.d.close()
		}
	}()
	if l.meta, err = l.d.readMeta(); err != nil {
		return nil, err
	}
	if l.buckets, _, err = l.d.readBuckets(); err != nil {
		return nil, err
	}
	if l.st, err = l.d.prepare(); err != nil {
		return nil, err
	}
	l.clean = l.meta.clean
	l.last.Store(uint64(l.meta.position))
	l.recent.reset(l.meta.position)
	return l, nil
}

// Info tells where the log stands. Bytes is the size of the files.
func (l *log) Info() store.LogInfo {
	last := store.Position(l.last.Load())
	return store.LogInfo{
		Last: last, Snapshot: last, Bytes: l.f.size(), MaxEntry: maxEntry, Durable: !l.relaxed, Compact: true,
		Recovery: store.Recovery{Clean: l.clean},
	}
}

// usableLocked returns why nothing can be written, or nil.
func (l *log) usableLocked() error {
	if l.closed {
		return errClosed
	}
	return l.failed
}

// Append adds entries in one transaction. It does not heed ctx once it has begun.
func (l *log) Append(ctx context.Context, after store.Position, entries [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if after != l.meta.position {
		return fmt.Errorf("%w: it is at %d, not %d", store.ErrLogConflict, l.meta.position, after)
	}
	if len(entries) == 0 {
		return nil
	}
	parsed, err := parse(entries)
	if err != nil {
		return l.failLocked(err)
	}
	position := after + store.Position(len(entries))
	err = l.changeLocked(func(c *change) error {
		for _, e := range parsed {
			if err := c.apply(e); err != nil {
				return err
			}
		}
		c.meta.position = position
		return nil
	})
	if err != nil {
		return l.failLocked(err)
	}
	l.recent.add(after, entries)
	return nil
}

// parse reads entries before anything is touched.
func parse(entries [][]byte) ([]*logentry.Entry, error) {
	parsed := make([]*logentry.Entry, len(entries))
	for i, data := range entries {
		if len(data) > maxEntry {
			return nil, fmt.Errorf("an entry of %d bytes: the most is %d", len(data), maxEntry)
		}
		var err error
		if parsed[i], err = logentry.Parse(data); err != nil {
			return nil, err
		}
	}
	return parsed, nil
}

// failLocked ends the log's life as one that can be written.
func (l *log) failLocked(err error) error {
	l.failed = fmt.Errorf("log has failed: %w", err)
	return err
}

// changeLocked runs fn in a transaction, and keeps what became of meta if it
// succeeds. What fn has done to the buckets is not undone if it fails.
func (l *log) changeLocked(fn func(c *change) error) error {
	c := &change{log: l, meta: l.meta}
	if _, err := l.st.begin.ExecContext(never); err != nil {
		return l.d.explain(err)
	}
	err := fn(c)
	if err == nil {
		c.meta.clean = false
		_, err = l.st.meta.ExecContext(never, c.meta.args()...)
	}
	if err != nil {
		// Without its COMMIT nothing of a transaction is there after a crash either.
		// SQLite may have rolled it back by itself.
		_, _ = l.st.rollback.ExecContext(never)
		return l.d.explain(err)
	}
	if _, err := l.st.commit.ExecContext(never); err != nil {
		_, _ = l.st.rollback.ExecContext(never)
		if errorCode(err) == code.SQLITE_BUSY {
			return err // SQLite did not begin to write
		}
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, l.d.explain(err))
	}
	l.meta = c.meta
	l.last.Store(uint64(c.meta.position))
	return nil
}

// Sync has nothing to do, unless the log is relaxed: then it runs a checkpoint,
// which syncs the write-ahead log, moves it into the database and syncs that.
func (l *log) Sync(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil || !l.relaxed {
		return err
	}
	if err := l.d.checkpoint("PASSIVE"); err != nil {
		return l.failLocked(fmt.Errorf("%w: %w", store.ErrUnknownOutcome, l.d.explain(err)))
	}
	return nil
}

// checkpoint moves the whole write-ahead log into the database, and syncs both.
func (d *database) checkpoint(mode string) error {
	var busy, pages, moved int
	if err := d.conn.QueryRowContext(never, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &moved); err != nil {
		return err
	}
	if busy != 0 || pages != moved {
		return fmt.Errorf("checkpoint moved %d of %d pages", moved, pages)
	}
	return nil
}

// Close leaves the database as one file, marked as closed. It is idempotent.
func (l *log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.closing
	}
	l.closed = true
	l.recent.close()
	var errs []error
	if l.failed == nil {
		errs = append(errs, l.leaveLocked())
	}
	errs = append(errs, l.d.close())
	l.f.release()
	if err := errors.Join(errs...); err != nil {
		l.closing = l.d.explain(err)
	}
	return l.closing
}

func (l *log) leaveLocked() error {
	if !l.meta.clean {
		m := l.meta
		m.clean = true
		if _, err := l.st.meta.ExecContext(never, m.args()...); err != nil {
			return err
		}
	}
	return l.d.checkpoint("TRUNCATE")
}

// copyBuckets copies what a transaction may change of the buckets.
func copyBuckets(m map[uint64]*bucket) map[uint64]*bucket {
	m = maps.Clone(m)
	for id, b := range m {
		copied := *b
		copied.marks = maps.Clone(b.marks)
		m[id] = &copied
	}
	return m
}

// lowest is less than every key and place.
const lowest = math.MinInt64
