package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/noex-go/store/internal/vfs"
)

// overlay is a file system that shows the disk as it was when it was first looked at,
// and keeps all changes to itself: an adapter opens a log on it, recovers and closes
// it, and nothing has happened to the files.
//
//	what is written, renamed, removed ──▶ layers in memory
//	what is not ──▶ files of the disk, opened for reading only
//
// A file has the size that it had when it was opened first, and stays readable when
// somebody else removes it, so that the log may be in use meanwhile. Its locks hold
// nothing. Memory: what is written, which of a log that is only read is little.
type overlay struct {
	disk vfs.FS

	mu    sync.RWMutex        // protects what follows, and all layers
	files map[string]*layer   // by path; nil: removed
	dirs  map[string][]string // the names that a directory had
}

var _ vfs.FS = (*overlay)(nil)

func newOverlay() *overlay {
	return &overlay{disk: vfs.OS(), files: make(map[string]*layer), dirs: make(map[string][]string)}
}

// layer is a file: bytes of one on the disk, and others behind them.
type layer struct {
	disk vfs.File // nil: none
	keep int64    // bytes of it that count
	rest []byte   // behind them
}

func (l *layer) size() int64 { return l.keep + int64(len(l.rest)) }

// findLocked returns a file; nil if there is none.
func (o *overlay) findLocked(name string) (*layer, error) {
	if l, known := o.files[name]; known {
		return l, nil
	}
	f, err := o.disk.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n, err := f.Size()
	if err == nil && strings.HasSuffix(name, ".log") {
		n, err = withoutRoom(f, n)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if runtime.GOOS == "windows" { // what is open there cannot be removed by its owner
		if err := f.Close(); err != nil {
			return nil, err
		}
		f = &reopened{o.disk, name}
	}
	l := &layer{disk: f, keep: n}
	o.files[name] = l
	return l, nil
}

// roomLeft is how many of the zeros at the end of a segment count: an entry may end
// with some.
const roomLeft = 16

// withoutRoom returns where a segment ends without the zeros that its owner has
// reserved, and writes over, or cuts, at any time.
func withoutRoom(f vfs.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		from := max(end-int64(len(buf)), 0)
		n, err := f.ReadAt(buf[:end-from], from)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if have := bytes.TrimRight(buf[:n], "\x00"); len(have) > 0 {
			return min(from+int64(len(have))+roomLeft, size), nil
		}
		end = from
	}
	return min(size, roomLeft), nil
}

// close gives up the files of the disk.
func (o *overlay) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for name, l := range o.files {
		if l != nil && l.disk != nil {
			errs = append(errs, l.disk.Close())
		}
		delete(o.files, name)
	}
	return errors.Join(errs...)
}

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func (o *overlay) OpenFile(name string, flag int, _ fs.FileMode) (vfs.File, error) {
	name = filepath.Clean(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	l, err := o.findLocked(name)
	switch {
	case err != nil:
		return nil, err
	case l == nil && flag&os.O_CREATE == 0:
		return nil, failed("open", name, fs.ErrNotExist)
	case l == nil:
		l = &layer{}
		o.files[name] = l
	case flag&os.O_EXCL != 0:
		return nil, failed("open", name, fs.ErrExist)
	case flag&os.O_TRUNC != 0:
		l.keep, l.rest = 0, nil
	}
	return &overlayFile{o, l, name}, nil
}

// MkdirAll takes a directory that is there; nothing is made on the disk.
func (o *overlay) MkdirAll(name string, _ fs.FileMode) error {
	info, err := o.disk.Stat(name)
	if err == nil && !info.IsDir() {
		return failed("mkdir", name, syscall.ENOTDIR)
	}
	return err
}

func (o *overlay) ReadDir(name string) ([]string, error) {
	name = filepath.Clean(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	names, ok := o.dirs[name]
	if !ok {
		var err error
		if names, err = o.disk.ReadDir(name); err != nil {
			return nil, err
		}
		o.dirs[name] = names
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		l, known := o.files[filepath.Join(name, n)]
		return known && l == nil
	})
	for path, l := range o.files {
		if l != nil && filepath.Dir(path) == name && !slices.Contains(names, filepath.Base(path)) {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (o *overlay) Stat(name string) (fs.FileInfo, error) {
	name = filepath.Clean(name)
	o.mu.RLock()
	defer o.mu.RUnlock()
	l, known := o.files[name]
	switch {
	case !known:
		return o.disk.Stat(name)
	case l == nil:
		return nil, failed("stat", name, fs.ErrNotExist)
	}
	return layerInfo{filepath.Base(name), l.size()}, nil
}

func (o *overlay) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	o.mu.Lock()
	defer o.mu.Unlock()
	l, err := o.findLocked(from)
	if err != nil {
		return err
	}
	if l == nil {
		return failed("rename", from, fs.ErrNotExist)
	}
	o.dropLocked(to)
	o.files[from], o.files[to] = nil, l
	return nil
}

func (o *overlay) Remove(name string) error {
	name = filepath.Clean(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	l, err := o.findLocked(name)
	if err != nil {
		return err
	}
	if l == nil {
		return failed("remove", name, fs.ErrNotExist)
	}
	o.dropLocked(name)
	return nil
}

func (o *overlay) dropLocked(name string) {
	if l := o.files[name]; l != nil && l.disk != nil {
		_ = l.disk.Close() // nothing was written through it
	}
	o.files[name] = nil
}

func (o *overlay) SyncDir(string) error { return nil }

// Lock holds nothing: the log may be in use.
func (o *overlay) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// overlayFile is an open layer. Closing it does nothing, as the layer stays.
type overlayFile struct {
	o    *overlay
	l    *layer
	name string
}

func (f *overlayFile) ReadAt(p []byte, off int64) (int, error) {
	f.o.mu.RLock()
	defer f.o.mu.RUnlock()
	return f.l.readAt(p, off)
}

func (l *layer) readAt(p []byte, off int64) (n int, err error) {
	if off < l.keep {
		n, err = l.disk.ReadAt(p[:min(int64(len(p)), l.keep-off)], off)
		if err != nil && err != io.EOF {
			return n, err
		}
		if want := int(min(int64(len(p)), l.keep-off)); n+roomLeft < want {
			return n, io.ErrUnexpectedEOF // somebody has made it shorter
		} else if n < want {
			clear(p[n:want]) // it was room
			n = want
		}
	}
	if at := off + int64(n) - l.keep; n < len(p) && at < int64(len(l.rest)) {
		n += copy(p[n:], l.rest[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *overlayFile) WriteAt(p []byte, off int64) (int, error) {
	f.o.mu.Lock()
	defer f.o.mu.Unlock()
	if err := f.l.writeAt(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeAt keeps what is written. A recovery writes again what is there, of which
// nothing is kept.
func (l *layer) writeAt(p []byte, off int64) error {
	if off < l.keep {
		n := min(int64(len(p)), l.keep-off)
		have := make([]byte, n)
		if _, err := l.readAt(have, off); err != nil && err != io.EOF {
			return err
		}
		if slices.Equal(have, p[:n]) {
			p, off = p[n:], off+n
		} else {
			tail := make([]byte, l.keep-off)
			if _, err := l.readAt(tail, off); err != nil && err != io.EOF {
				return err
			}
			l.keep, l.rest = off, append(tail, l.rest...)
		}
	}
	if len(p) == 0 {
		return nil
	}
	end := off - l.keep + int64(len(p))
	l.grow(end)
	copy(l.rest[off-l.keep:], p)
	return nil
}

// grow makes rest at least n bytes long.
func (l *layer) grow(n int64) {
	if more := n - int64(len(l.rest)); more > 0 {
		l.rest = append(l.rest, make([]byte, more)...)
	}
}

func (f *overlayFile) Truncate(size int64) error {
	f.o.mu.Lock()
	defer f.o.mu.Unlock()
	if l := f.l; size <= l.keep {
		l.keep, l.rest = size, nil
	} else {
		l.grow(size - l.keep)
		l.rest = l.rest[:size-l.keep]
	}
	return nil
}

func (f *overlayFile) Size() (int64, error) {
	f.o.mu.RLock()
	defer f.o.mu.RUnlock()
	return f.l.size(), nil
}

func (f *overlayFile) Sync() error  { return nil }
func (f *overlayFile) Close() error { return nil }

// reopened is a file that is open only while it is read.
type reopened struct {
	fs   vfs.FS
	name string
}

func (r *reopened) ReadAt(p []byte, off int64) (int, error) {
	f, err := r.fs.OpenFile(r.name, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(p, off)
	return n, errors.Join(err, f.Close())
}

func (r *reopened) WriteAt([]byte, int64) (int, error) { return 0, readOnly(r.name) }
func (r *reopened) Truncate(int64) error               { return readOnly(r.name) }
func (r *reopened) Size() (int64, error)               { return 0, readOnly(r.name) }
func (r *reopened) Sync() error                        { return nil }
func (r *reopened) Close() error                       { return nil }

func readOnly(name string) error { return fmt.Errorf("%s: %w", name, errors.ErrUnsupported) }

// layerInfo describes a layer.
type layerInfo struct {
	name string
	size int64
}

func (i layerInfo) Name() string     { return i.name }
func (i layerInfo) Size() int64      { return i.size }
func (layerInfo) Mode() fs.FileMode  { return 0o600 }
func (layerInfo) ModTime() time.Time { return time.Time{} }
func (layerInfo) IsDir() bool        { return false }
func (layerInfo) Sys() any           { return nil }
