package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
)

// Kind says which method of FS or File an operation is.
type Kind uint8

// The kinds of operations. Mkdir is MkdirAll; Close is that of a file or a lock.
const (
	OpenFile Kind = iota + 1
	Mkdir
	ReadDir
	Stat
	Rename
	Remove
	SyncDir
	Lock
	Read
	Write
	Truncate
	Size
	Sync
	Close
)

var kindNames = [...]string{
	"none", "open", "mkdir", "readdir", "stat", "rename", "remove", "syncdir", "lock",
	"read", "write", "truncate", "size", "sync", "close",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Op is an operation on a Faulty.
type Op struct {
	N    int // counts all operations from 1
	Kind Kind
	Name string // of the file, the directory or the lock, as it was given; the old name for Rename
	To   string // the new name, for Rename
	Off  int64  // for Read and Write; the size, for Truncate
	Len  int    // for Read and Write
}

func (o Op) String() string {
	switch o.Kind {
	case Rename:
		return fmt.Sprintf("%d: %v %s to %s", o.N, o.Kind, o.Name, o.To)
	case Read, Write:
		return fmt.Sprintf("%d: %v %s [%d,+%d)", o.N, o.Kind, o.Name, o.Off, o.Len)
	case Truncate:
		return fmt.Sprintf("%d: %v %s to %d", o.N, o.Kind, o.Name, o.Off)
	default:
		return fmt.Sprintf("%d: %v %s", o.N, o.Kind, o.Name)
	}
}

// Fault is what shall become of an operation. The zero Fault lets it go on.
type Fault struct {
	// Err is what it fails with, in a *fs.PathError; except for io.EOF, which is not wrapped.
	Err error

	// Short is how many bytes of a Write are written before it fails with Err, or with io.ErrShortWrite if that is
	// nil. It is at most one less than all.
	Short int

	// After lets the operation be done, and then fail with Err all the same: the caller cannot know the outcome. What
	// it would have been given, an open file or a lock, is closed.
	After bool
}

// Hook decides about an operation. Calls of it follow one another in the order of Op.N, and it must not use the Faulty.
type Hook func(op Op) Fault

// Faulty is an FS that fails when it is told to. It is safe for concurrent use.
//
// A Sync or SyncDir that fails without Fault.After has not synced, and is not to be made up for by a later one: a Memory
// below knows that. A Close that fails has closed.
type Faulty struct {
	// After, if not nil, is called after each operation, on its goroutine, whether the operation failed or not. Set it
	// before the first operation. It may use what is below the Faulty, for instance take a crash image of a Memory.
	After func(op Op)

	fs   FS
	mu   sync.Mutex // is held while the hook runs
	hook Hook
	n    int
}

// NewFaulty returns an FS that asks the hook before each operation. Without a hook nothing fails.
func NewFaulty(fs FS, hook Hook) *Faulty {
	return &Faulty{fs: fs, hook: hook}
}

// SetHook sets the hook for the operations from now on. The count goes on.
func (f *Faulty) SetHook(hook Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Count returns how many operations there were.
func (f *Faulty) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// FailAt fails operation n, counted from 1, and with forever all after it.
func FailAt(n int, err error, forever bool) Hook {
	return func(op Op) Fault {
		if op.N == n || forever && op.N > n {
			return Fault{Err: err}
		}
		return Fault{}
	}
}

// Selection says which operations a hook concerns.
type Selection func(op Op) bool

// Match selects the operations of some kinds.
func Match(kinds ...Kind) Selection {
	return func(op Op) bool { return slices.Contains(kinds, op.Kind) }
}

// FailAt is the hook that fails the n-th selected operation, counted from 1 from its first call, and with forever all
// selected ones after it.
func (s Selection) FailAt(n int, err error, forever bool) Hook {
	return s.At(n, Fault{Err: err}, forever)
}

// At is FailAt with any fault.
func (s Selection) At(n int, fault Fault, forever bool) Hook {
	seen := 0
	return func(op Op) Fault {
		if !s(op) {
			return Fault{}
		}
		if seen++; seen == n || forever && seen > n {
			return fault
		}
		return Fault{}
	}
}

// announce counts an operation and asks the hook about it.
func (f *Faulty) announce(op *Op) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	op.N = f.n
	if f.hook == nil {
		return Fault{}
	}
	return f.hook(*op)
}

// do runs an operation, or fails it. failed, if not nil, is called instead of one that is not done; undo, if not nil, after
// one that is and fails all the same.
func (f *Faulty) do(op Op, run func() error, failed, undo func()) error {
	fault := f.announce(&op)
	if f.After != nil {
		defer func() { f.After(op) }()
	}
	if fault.Err == nil {
		return run()
	}
	switch {
	case fault.After:
		if err := run(); err != nil {
			return err
		}
		if undo != nil {
			undo()
		}
	case failed != nil:
		failed()
	}
	return fault.error(op)
}

func (f Fault) error(op Op) error {
	path := (*fs.PathError)(nil)
	if errors.As(f.Err, &path) || f.Err == io.EOF {
		return f.Err
	}
	return &fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: f.Err}
}

// OpenFile implements FS.
func (f *Faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var file File
	err := f.do(Op{Kind: OpenFile, Name: name}, func() (err error) {
		file, err = f.fs.OpenFile(name, flag, perm)
		return err
	}, nil, func() { _ = file.Close() })
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, file, name}, nil
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string, perm fs.FileMode) error {
	return f.do(Op{Kind: Mkdir, Name: name}, func() error { return f.fs.MkdirAll(name, perm) }, nil, nil)
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(name string) (names []string, err error) {
	err = f.do(Op{Kind: ReadDir, Name: name}, func() (err error) {
		names, err = f.fs.ReadDir(name)
		return err
	}, nil, func() { names = nil })
	return names, err
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (info fs.FileInfo, err error) {
	err = f.do(Op{Kind: Stat, Name: name}, func() (err error) {
		info, err = f.fs.Stat(name)
		return err
	}, nil, func() { info = nil })
	return info, err
}

// Rename implements FS.
func (f *Faulty) Rename(from, to string) error {
	return f.do(Op{Kind: Rename, Name: from, To: to}, func() error { return f.fs.Rename(from, to) }, nil, nil)
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	return f.do(Op{Kind: Remove, Name: name}, func() error { return f.fs.Remove(name) }, nil, nil)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error {
	return f.do(Op{Kind: SyncDir, Name: name}, func() error { return f.fs.SyncDir(name) },
		func() { f.failSyncDir(name) }, nil)
}

// failSyncDir and failSync tell a Memory below, under other Faultys or not, of a sync that failed.
func (f *Faulty) failSyncDir(name string) {
	if m, ok := f.fs.(interface{ failSyncDir(name string) }); ok {
		m.failSyncDir(name)
	}
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) {
	var lock io.Closer
	err := f.do(Op{Kind: Lock, Name: name}, func() (err error) {
		lock, err = f.fs.Lock(name)
		return err
	}, nil, func() { _ = lock.Close() })
	if err != nil {
		return nil, err
	}
	return &faultyLock{f, lock, name}, nil
}

type faultyLock struct {
	f    *Faulty
	lock io.Closer
	name string
}

func (l *faultyLock) Close() error { return l.f.closeNamed(l.name, l.lock) }

func (f *Faulty) closeNamed(name string, c io.Closer) error {
	return f.do(Op{Kind: Close, Name: name}, c.Close, func() { _ = c.Close() }, nil)
}
