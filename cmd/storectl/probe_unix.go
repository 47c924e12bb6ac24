//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// probeFile asks whether somebody holds the lock of a log in files. There is no way to
// ask but to take it: a shared one, for a moment, and only where there is a lock file.
func probeFile(lock string) use {
	f, err := os.Open(lock)
	if errors.Is(err, os.ErrNotExist) {
		return useFree
	}
	if err != nil {
		return useUnknown
	}
	defer func() { _ = f.Close() }() // gives up the lock
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
	case err == nil:
		return useFree
	case errors.Is(err, syscall.EWOULDBLOCK):
		return useTaken
	}
	return useUnknown
}

// The bytes that SQLite locks, see https://sqlite.org/fileformat2.html#the_lock_byte_page.
const (
	sqliteLockByte  = 1 << 30
	sqliteLockBytes = 512
)

// probeSQLite asks whether somebody has a database open. It takes no lock.
func probeSQLite(path string) use {
	f, err := os.Open(path)
	if err != nil {
		return useUnknown
	}
	defer func() { _ = f.Close() }() // nothing was written through it
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: sqliteLockByte, Len: sqliteLockBytes}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		return useUnknown
	}
	if lock.Type == syscall.F_UNLCK {
		return useFree
	}
	return useTaken
}
