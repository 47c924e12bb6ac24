package sqlite

import (
	"context"

	"github.com/noex-go/store"
)

// Adapter opens the log of a store in an SQLite database. It is safe for
// concurrent use; one store at a time gets the log.
type Adapter struct {
	path      string
	relaxed   bool
	unchecked bool
	pages     int // the most that the database may have; 0: as SQLite has it
}

var _ store.Adapter = (*Adapter)(nil)

// Option changes how an Adapter works.
type Option func(*Adapter)

// Relaxed leaves it to Sync to make entries durable, which is what Interval and OS
// expect: Append returns when the operating system has them (PRAGMA
// synchronous=NORMAL), and Sync runs a checkpoint. Without it every Append is
// durable, and Sync has nothing to do. After a power loss the database must be
// opened as it was: without Relaxed, what it has lost may look like damage.
func Relaxed() Option { return func(a *Adapter) { a.relaxed = true } }

// Unchecked leaves out PRAGMA integrity_check at OpenLog. Rows are still checked by
// Load; damage in an index is then found late, or by a write that meets it.
func Unchecked() Option { return func(a *Adapter) { a.unchecked = true } }

// New returns an adapter for the database at a path. The file, and its directory,
// are made by OpenLog if they are missing, for their owner alone.
func New(path string, opts ...Option) *Adapter {
	a := &Adapter{path: path}
	for _, opt := range opts {
		opt(a)
	}
	return a
}

// OpenLog opens the database, or makes one. Errors: store.ErrLocked; a
// *store.CorruptError; others of the file system, and of a database that is none of
// a store's.
func (a *Adapter) OpenLog(ctx context.Context) (store.Log, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := claimFile(a.path)
	if err != nil {
		return nil, err
	}
	l, err := open(a, f)
	if err != nil {
		f.release()
		return nil, err
	}
	return l, nil
}
