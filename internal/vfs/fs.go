// Package vfs is the file system that the store's log is written on, small enough to be replaced in a test.
//
//	         FS, File
//	  ┌─────────┼──────────────┐
//	OS()     Memory          Faulty ──▶ another FS
//	          │ what programs see         announces every operation to a hook, which may
//	          │ what is durable           fail it, cut it short, or lie about its outcome
//	          │ the changes in between
//	          └─ Crash ──▶ a Memory as a power loss may leave the disk
//
// To find what a program loses, run it on a [Faulty] over a [Memory], take a [Memory.Crash] image in the After hook, and
// open the image.
//
// Guarantees, each with the test that holds it:
//
//  1. The three behave the same where no fault is asked for, and fail with the same errors. (TestConformance, TestMemoryLikeOS)
//  2. What was synced is in every crash image: the bytes of a file by [File.Sync], its name by [FS.SyncDir] of the
//     directory, and so on up to the root. (TestSyncedIsThere, TestCrashModel)
//  3. What was not synced may be there, in part and out of order, as [Memory.Crash] says. (TestTornWrites,
//     TestUnsyncedData, TestDirectoryPrefix, TestRenameOldOrNew, TestRenameAcrossDirectories)
//  4. What a failed Sync did not make durable, no later Sync does. (TestFailedSync, TestFailedSyncDir)
//  5. A lock has one holder, in this process or another. (TestLock, TestLockTwoProcesses)
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrLocked indicates that a file is locked by another holder.
var ErrLocked = errors.New("locked by another holder")

// FS is a file system. Names are paths of the operating system, relative ones to the working directory; they are cleaned
// with filepath.Clean, so that dir/../file is file whatever dir is. All methods are safe for concurrent use.
//
// An error is a *[fs.PathError] with the name, as it was given or cleaned. It is, where that applies, [fs.ErrNotExist],
// [fs.ErrExist], [fs.ErrPermission], [fs.ErrClosed], [syscall.ENOSPC] or [ErrLocked].
//
// Do not rename or remove a file that is open: Windows refuses.
type FS interface {
	// OpenFile opens a file, for reading with os.O_RDONLY and for both with os.O_RDWR. os.O_CREATE creates one that
	// is missing, with perm less the umask, and together with os.O_EXCL it fails for one that is there. os.O_TRUNC,
	// only with os.O_RDWR, empties it. Other flags are refused, and so is a directory.
	//
	// A new file survives a power loss only after SyncDir of its directory.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	// MkdirAll creates a directory and the missing ones above it, with perm less the umask. Each survives a power
	// loss only after SyncDir of the one above it. A directory that is there is left as it is.
	MkdirAll(name string, perm fs.FileMode) error

	// ReadDir returns the names in a directory, sorted.
	ReadDir(name string) ([]string, error)

	// Stat describes a file or a directory.
	Stat(name string) (fs.FileInfo, error)

	// Rename gives a file another name, in place of the file that has it. Whoever looks finds the one or the other,
	// also after a power loss; it is the new one for certain only after SyncDir of both directories.
	Rename(from, to string) error

	// Remove removes a file or an empty directory. After a power loss without SyncDir it may be back.
	Remove(name string) error

	// SyncDir makes what was created, renamed and removed in a directory durable: the names, not the bytes of the
	// files. If it fails, no later success says anything about what came before. On Windows it does nothing, as
	// there is no such call: names are as durable there as the file system makes them by itself.
	SyncDir(name string) error

	// Lock takes an exclusive lock on a file, which it creates with permission 0600 if it is missing. Where another
	// holder has the lock, in this process too, it fails with ErrLocked at once. The lock goes with Close, or with
	// the process. The file stays: to remove it would let two holders lock two files of one name. It may contain the
	// process id of the latest holder, for people to read.
	Lock(name string) (io.Closer, error)
}

// File is an open file without a position. All methods are safe for concurrent use, except that nothing is called after
// Close, or while it runs. Using a closed file is [fs.ErrClosed].
type File interface {
	// ReadAt fills p, or returns how much of it it could read and why: io.EOF at the end of the file.
	io.ReaderAt

	// WriteAt writes past the end too; the gap reads as zeros. With an error the first n bytes are written.
	io.WriterAt

	// Truncate cuts the file, or extends it with zeros. It takes os.O_RDWR, as WriteAt does.
	Truncate(size int64) error

	Size() (int64, error)

	// Sync makes the bytes and the size durable. If it fails, what was written since the last success may or may not
	// arrive, and the operating system may have forgotten which: a later success does not cover it. See Rebello et
	// al., Can Applications Recover from fsync Failures?, USENIX ATC 2020.
	Sync() error

	Close() error
}

// checkFlag refuses what the implementations would not agree on.
func checkFlag(flag int) error {
	const known = os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_TRUNC
	switch {
	case flag&^known != 0,
		flag&os.O_TRUNC != 0 && flag&os.O_RDWR == 0,
		flag&os.O_EXCL != 0 && flag&os.O_CREATE == 0:
		return fs.ErrInvalid
	}
	return nil
}
