package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// OS returns the file system of the operating system.
//
// Package os retries what a signal interrupts, and its Sync is F_FULLFSYNC on macOS, where fsync leaves the bytes in the
// cache of the drive.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := checkFlag(flag); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := os.OpenFile(filepath.Clean(name), flag, perm)
	if err != nil {
		return nil, named(name, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	if err != nil {
		_ = f.Close()
		return nil, named(name, err)
	}
	return osFile{f}, nil
}

func (osFS) MkdirAll(name string, perm fs.FileMode) error {
	return named(name, os.MkdirAll(filepath.Clean(name), perm))
}

func (osFS) ReadDir(name string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Clean(name))
	if err != nil {
		return nil, named(name, err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) Stat(name string) (fs.FileInfo, error) {
	info, err := os.Stat(filepath.Clean(name))
	return info, named(name, err)
}

func (osFS) Rename(from, to string) error {
	err := os.Rename(filepath.Clean(from), filepath.Clean(to))
	if link := (*os.LinkError)(nil); errors.As(err, &link) {
		return renameError(from, to, link.Err)
	}
	return named(from, err)
}

func (osFS) Remove(name string) error {
	return named(name, os.Remove(filepath.Clean(name)))
}

func (osFS) SyncDir(name string) error {
	d, err := os.Open(filepath.Clean(name))
	if err != nil {
		return named(name, err)
	}
	defer func() { _ = d.Close() }() // nothing was written through it
	info, err := d.Stat()
	switch {
	case err != nil:
		return named(name, err)
	case !info.IsDir():
		return &fs.PathError{Op: "sync", Path: name, Err: syscall.ENOTDIR}
	case runtime.GOOS == "windows":
		return nil
	}
	return named(name, d.Sync())
}

// osFile is a file of package os, whose errors are those that File asks for, except for the errno of a full disk.
type osFile struct{ *os.File }

func (f osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, named(f.Name(), err)
}

func (f osFile) Truncate(size int64) error {
	return named(f.Name(), f.File.Truncate(size))
}

func (f osFile) Sync() error {
	return named(f.Name(), f.File.Sync())
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// named returns the error with the name as the caller knows it, and with the portable number for a full disk.
func named(name string, err error) error {
	if err == nil {
		return nil // before errors.As makes an object of path
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return &fs.PathError{Op: path.Op, Path: name, Err: portable(path.Err)}
	}
	return err
}

// renameError names both files; os.LinkError would too, but callers would have two types to look for.
func renameError(from, to string, err error) error {
	return &fs.PathError{Op: "rename", Path: from, Err: fmt.Errorf("to %s: %w", to, portable(err))}
}

// sign writes the process id into a lock file, for people: whether that succeeds does not matter.
func sign(f *os.File) {
	id := strconv.AppendInt(nil, int64(os.Getpid()), 10)
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(append(id, '\n'), 0)
	}
}
