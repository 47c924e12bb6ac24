// Package file keeps the log of a store in the files of one directory: segments to
// which entries are appended, and snapshots that take the place of old segments.
// FORMAT.md describes every byte.
//
// What it guarantees, each with the test that holds it:
//
//  1. After a power loss at any moment, what is loaded is a prefix of what was
//     appended, and has all that a successful Sync covered. (TestCrash)
//  2. After any failed operation of the file system nothing more is acknowledged, and
//     what was is still there. (TestFaults)
//  3. What a process appended survives its end by any signal. (TestKilled)
//  4. A byte that is not what was written is found before an entry behind it is
//     given to anybody. (TestBitFlips, TestTruncations)
//  5. One opener at a time, of all processes. (TestTwoProcesses)
//
// Costs: Append is one write call, and no allocation in the steady state. Opening
// reads and checks all that Load reads; Load then reads it again, mostly from the
// memory of the operating system, so that a directory is either whole or refused
// before the first entry is used.
package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// Adapter keeps a log in a directory. It is safe for concurrent use.
type Adapter struct {
	dir string
	cfg config
}

var _ store.Adapter = (*Adapter)(nil)

type config struct {
	segmentSize  int64
	keepPrevious bool
	logger       *slog.Logger
	fs           vfs.FS
	id           logID // of a log that is made; zero: random
	bugs         bugs
}

// bugs are mistakes that a test plants, to see that others find them.
type bugs struct {
	noDirSync  bool // directories are not synced
	earlySync  bool // Sync acknowledges before the fsync
	noChecksum bool // checksums are not looked at
}

// Option is an option of New.
type Option func(*config)

const (
	defaultSegmentSize = 64 << 20
	minSegmentSize     = 1 << 10
)

// SegmentSize is about how many bytes a segment may have before the next one is begun.
// The default, also for 0, is 64 MiB; the least is 1 KiB. One append is always in one
// segment.
func SegmentSize(bytes int64) Option {
	return func(c *config) {
		if c.segmentSize = max(bytes, minSegmentSize); bytes <= 0 {
			c.segmentSize = defaultSegmentSize
		}
	}
}

// KeepPrevious keeps, with a new snapshot, the previous one and the entries behind it,
// from which Salvage can rebuild the log if the newest snapshot is damaged. Without it
// they are removed as soon as the new snapshot is durable and was read back.
func KeepPrevious() Option { return func(c *config) { c.keepPrevious = true } }

// Logger hears what is noteworthy but no error of a call: what was set aside, and old
// files that cannot be removed. The default is slog.Default.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// FS is for the tests of this module: the file system to be used.
func FS(fs vfs.FS) Option { return func(c *config) { c.fs = fs } }

// New returns an adapter that keeps its log in a directory, which OpenLog creates with
// mode 0700 if it is missing. Nothing else should write there; files whose names are
// not a number with one of the package's endings are ignored.
func New(dir string, opts ...Option) *Adapter {
	a := &Adapter{dir: dir, cfg: config{segmentSize: defaultSegmentSize, fs: vfs.OS()}}
	for _, o := range opts {
		o(&a.cfg)
	}
	if a.cfg.logger == nil {
		a.cfg.logger = slog.Default()
	}
	return a
}

// OpenLog implements [store.Adapter]. A directory that it refuses with
// [store.ErrCorrupt] is left as it was; see Verify and Salvage.
func (a *Adapter) OpenLog(ctx context.Context) (store.Log, error) {
	l, err := a.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return l, nil
}

func (a *Adapter) open(ctx context.Context) (*log, error) {
	d := directory{a.cfg.fs, a.dir, a.cfg.bugs}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.make(); err != nil {
		return nil, err
	}
	lock, err := d.fs.Lock(d.path(lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", a.dir, store.ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	l := newLog(d, a.cfg, lock)
	if err := l.recover(ctx); err != nil {
		if l.f != nil {
			err = errors.Join(err, l.f.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	return l, nil
}

// directory is the one that a log is in.
type directory struct {
	fs   vfs.FS
	dir  string
	bugs bugs
}

func (d directory) path(name string) string { return filepath.Join(d.dir, name) }

func (d directory) sync() error {
	if d.bugs.noDirSync {
		return nil
	}
	return d.fs.SyncDir(d.dir)
}
