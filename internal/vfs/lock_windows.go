package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Numbers of Windows that package syscall has no names for.
const (
	errorSharingViolation = syscall.Errno(32)
	errorHandleDiskFull   = syscall.Errno(39)
	errorDiskFull         = syscall.Errno(112)
)

// Lock opens the file so that no one else may open it for writing; for reading others may. The handle is not inherited.
func (osFS) Lock(name string) (io.Closer, error) {
	failed := func(err error) error { return &fs.PathError{Op: "lock", Path: name, Err: err} }
	path, err := syscall.UTF16PtrFromString(filepath.Clean(name))
	if err != nil {
		return nil, failed(err)
	}
	h, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case errors.Is(err, errorSharingViolation):
		return nil, failed(ErrLocked)
	case err != nil:
		return nil, failed(err)
	}
	f := os.NewFile(uintptr(h), name)
	sign(f)
	return f, nil
}

// portable gives a full disk the number that package syscall made up for Windows.
func portable(err error) error {
	if errors.Is(err, errorDiskFull) || errors.Is(err, errorHandleDiskFull) {
		return syscall.ENOSPC
	}
	return err
}
