package vfs

import (
	"io"
	"io/fs"
	"syscall"
)

// memoryFile is a node that is open.
type memoryFile struct {
	m        *Memory
	n        *node
	name     string
	writable bool
	closed   bool // under the lock of the Memory
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	switch {
	case f.closed:
		return 0, f.failed("read", fs.ErrClosed)
	case off < 0:
		return 0, f.failed("read", syscall.EINVAL)
	case off >= int64(len(f.n.data)):
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, off int64) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	end := off + int64(len(p))
	switch {
	case f.closed:
		return 0, f.failed("write", fs.ErrClosed)
	case !f.writable:
		return 0, f.failed("write", syscall.EBADF)
	case off < 0:
		return 0, f.failed("write", syscall.EINVAL)
	case end > maxFileSize || end < 0:
		return 0, f.failed("write", syscall.EFBIG)
	}
	if room := f.m.roomLocked(f.n); end > room {
		p = p[:max(room-off, 0)]
		err = f.failed("write", syscall.ENOSPC)
	}
	if len(p) > 0 {
		f.m.changeLocked(f.n, change{off: off, data: append([]byte(nil), p...)})
	}
	return len(p), err
}

func (f *memoryFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	switch {
	case f.closed:
		return f.failed("truncate", fs.ErrClosed)
	case !f.writable || size < 0:
		return f.failed("truncate", syscall.EINVAL)
	case size > maxFileSize:
		return f.failed("truncate", syscall.EFBIG)
	case size > f.m.roomLocked(f.n):
		return f.failed("truncate", syscall.ENOSPC)
	}
	f.m.changeLocked(f.n, change{size: size})
	return nil
}

func (f *memoryFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return 0, f.failed("stat", fs.ErrClosed)
	}
	return int64(len(f.n.data)), nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return f.failed("sync", fs.ErrClosed)
	}
	f.n.settle(kept)
	return nil
}

// failSync is a Sync that fails: the changes so far count as written, whether they were or not.
func (f *memoryFile) failSync() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if !f.closed {
		f.n.settle(lost)
	}
}

func (f *memoryFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.closeLocked()
}

func (f *memoryFile) closeLocked() error {
	if f.closed {
		return f.failed("close", fs.ErrClosed)
	}
	f.closed = true
	f.m.closedLocked(f.n)
	return nil
}

func (f *memoryFile) failed(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// memoryLock is a node that is locked.
type memoryLock struct{ f memoryFile }

func (l *memoryLock) Close() error {
	l.f.m.mu.Lock()
	defer l.f.m.mu.Unlock()
	err := l.f.closeLocked()
	if err == nil {
		l.f.n.locked = false
	}
	return err
}
