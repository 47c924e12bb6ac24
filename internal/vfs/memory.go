package vfs

import (
	"cmp"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Memory is an FS in memory that knows what a power loss may do to it: see Crash. Its root is there from the start, and
// is the working directory too. The sizes of all files count against a capacity, if there is one.
//
// It differs from a disk in that there is no umask, nobody is refused by permissions, a directory is not renamed into
// another one (EXDEV, as if that were on another disk), a gap takes as much room as bytes do, and a file ends at 1 GiB.
//
// All methods are safe for concurrent use. Use NewMemory; the zero Memory is not usable.
type Memory struct {
	mu       sync.Mutex // protects all below, with the nodes and the open files
	root     *node
	capacity int64 // negative: none
	used     int64 // the sizes of all files that have a name or are open
}

const maxFileSize = 1 << 30

// NewMemory returns a Memory that is empty and has no limit.
func NewMemory() *Memory {
	return &Memory{root: newDir(0o777), capacity: -1}
}

// SetCapacity limits the sizes of all files together, from now on; a negative number is no limit. A write for which there
// is no room is done up to where there is, and fails with ENOSPC. A truncation that extends is done in full or not at all.
func (m *Memory) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns the sizes of all files together.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// OpenFile implements FS.
func (m *Memory) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.openLocked(name, flag, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memoryFile{m: m, n: n, name: name, writable: flag&os.O_RDWR != 0}, nil
}

func (m *Memory) openLocked(name string, flag int, perm fs.FileMode) (*node, error) {
	if err := checkFlag(flag); err != nil {
		return nil, err
	}
	dir, base, n, err := m.lookLocked(name)
	switch {
	case err != nil:
		return nil, err
	case n == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case n == nil:
		n = newFile(perm)
		link(dir, base, n)
	case flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case n.isDir():
		return nil, syscall.EISDIR
	}
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		m.changeLocked(n, change{size: 0})
	}
	n.opened++
	return n, nil
}

// MkdirAll implements FS.
func (m *Memory) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for _, base := range split(name) {
		n := dir.entries[base]
		if n == nil {
			n = newDir(perm)
			link(dir, base, n)
		}
		if !n.isDir() {
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		dir = n
	}
	return nil
}

// ReadDir implements FS.
func (m *Memory) ReadDir(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.dirLocked(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// Stat implements FS.
func (m *Memory) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, base, n, err := m.lookLocked(name)
	if n == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: cmp.Or(err, error(syscall.ENOENT))}
	}
	return memoryInfo{base, n.mode, int64(len(n.data)), n.modTime}, nil
}

// Rename implements FS.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.renameLocked(from, to); err != nil {
		return renameError(from, to, err)
	}
	return nil
}

func (m *Memory) renameLocked(from, to string) error {
	fromDir, fromBase, n, err := m.lookLocked(from)
	if err != nil {
		return err
	}
	toDir, toBase, old, err := m.lookLocked(to)
	switch {
	case err != nil:
		return err
	case n == nil:
		return syscall.ENOENT
	case old != nil && old.isDir():
		return syscall.EEXIST // as package os has it, for a directory and itself too
	case n == old:
		return nil
	case n.isDir() && within(from, to):
		return syscall.EINVAL
	case n.isDir() && old != nil:
		return syscall.ENOTDIR
	case n.isDir() && fromDir != toDir:
		// Directories are independent in a crash, which could then leave two of them in each other and out of reach.
		return syscall.EXDEV
	}
	move(n, fromDir, fromBase, toDir, toBase)
	if old != nil {
		m.unlinkedLocked(old)
	}
	return nil
}

// Remove implements FS.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.lookLocked(name)
	switch {
	case err != nil:
	case n == nil:
		err = syscall.ENOENT
	case n == m.root:
		err = syscall.EBUSY
	case len(n.entries) > 0:
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	link(dir, base, nil)
	m.unlinkedLocked(n)
	return nil
}

// SyncDir implements FS. A rename between two directories becomes durable with either, along with all that a journal would
// have written before it.
func (m *Memory) SyncDir(name string) error { return m.settleDir(name, kept) }

// failSyncDir is a SyncDir that fails.
func (m *Memory) failSyncDir(name string) { _ = m.settleDir(name, lost) }

func (m *Memory) settleDir(name string, to state) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.dirLocked(name)
	if err != nil {
		return &fs.PathError{Op: "sync", Path: name, Err: err}
	}
	n.settleDir(to)
	return nil
}

// DropUnsynced makes a file read as its Syncs left it, for who has it open too, and its other changes as if they had
// never been: what an operating system may do once a Sync has failed and it needs the memory, and Btrfs does at once.
func (m *Memory) DropUnsynced(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, n, err := m.lookLocked(name)
	switch {
	case err != nil:
	case n == nil:
		err = syscall.ENOENT
	case n.isDir():
		err = syscall.EISDIR
	}
	if err != nil {
		return &fs.PathError{Op: "drop", Path: name, Err: err}
	}
	m.used -= int64(len(n.data))
	n.log = slices.DeleteFunc(n.log, func(c change) bool { return c.state != kept })
	n.fold()
	n.data = slices.Clone(n.durable)
	m.used += int64(len(n.data))
	return nil
}

// Lock implements FS. The file stays empty.
func (m *Memory) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.openLocked(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if n.locked {
		m.closedLocked(n)
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	n.locked = true
	return &memoryLock{memoryFile{m: m, n: n, name: name}}, nil
}

// lookLocked finds a name: the directory that it is in, the last part of it, and what it names, which is nil if only that
// is missing. The root is in itself.
func (m *Memory) lookLocked(name string) (dir *node, base string, n *node, err error) {
	dir, base, n = m.root, ".", m.root
	for _, next := range split(name) {
		switch {
		case n == nil:
			return nil, "", nil, syscall.ENOENT
		case !n.isDir():
			return nil, "", nil, syscall.ENOTDIR
		}
		dir, base, n = n, next, n.entries[next]
	}
	return dir, base, n, nil
}

func (m *Memory) dirLocked(name string) (*node, error) {
	_, _, n, err := m.lookLocked(name)
	switch {
	case err != nil:
		return nil, err
	case n == nil:
		return nil, syscall.ENOENT
	case !n.isDir():
		return nil, syscall.ENOTDIR
	}
	return n, nil
}

// changeLocked does to a file what there is room for.
func (m *Memory) changeLocked(n *node, c change) {
	m.used -= int64(len(n.data))
	n.data = c.apply(n.data)
	n.log = append(n.log, c)
	n.modTime = time.Now()
	m.used += int64(len(n.data))
}

// roomLocked returns how long a file may get.
func (m *Memory) roomLocked(n *node) int64 {
	if m.capacity < 0 {
		return maxFileSize
	}
	return int64(len(n.data)) + max(m.capacity-m.used, 0)
}

// unlinkedLocked follows the loss of a name, and closedLocked a close. A file without both takes no room.
func (m *Memory) unlinkedLocked(n *node) {
	n.unlinked = true
	if n.opened == 0 {
		m.used -= int64(len(n.data))
	}
}

func (m *Memory) closedLocked(n *node) {
	n.opened--
	if n.opened == 0 && n.unlinked {
		m.used -= int64(len(n.data))
	}
}

// split returns the parts of a path, none for the root.
func split(name string) []string {
	name = path.Clean("/" + filepath.ToSlash(filepath.Clean(name)))
	if name == "/" {
		return nil
	}
	return strings.Split(name[1:], "/")
}

// within reports whether a path leads through a directory.
func within(dir, name string) bool {
	d, n := split(dir), split(name)
	return len(n) > len(d) && slices.Equal(d, n[:len(d)])
}

// memoryInfo describes a node as it was.
type memoryInfo struct {
	name    string
	mode    fs.FileMode
	size    int64
	modTime time.Time
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return i.mode }
func (i memoryInfo) ModTime() time.Time { return i.modTime }
func (i memoryInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memoryInfo) Sys() any           { return nil }
