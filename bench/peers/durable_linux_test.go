package peers

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Footnote s. When an engine has acknowledged a write, the kernel is asked for the
// pages of its files that are not on the disk yet: a power failure would lose them.
func TestAcknowledgedIsOnDisk(t *testing.T) {
	if !tellsDirtyPages(t) {
		t.Skip("this system does not tell which pages are not on the disk")
	}
	for i := range Peers {
		p := &Peers[i]
		open := p.Durable
		if p.OnDisk {
			open = p.KeyOnly
		}
		if open == nil {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			dir, lacks := t.TempDir(), p.Missing("s") != ""
			e, err := open(dir)
			noError(t, err)
			defer func() { noError(t, e.Close()) }()
			const writes = 20
			left := 0 // writes after which something was not on the disk
			for i := range writes {
				noError(t, e.Insert(NewRecord(i)))
				if dirtyPages(t, dir) > 0 {
					left++
				}
			}
			// The kernel writes by itself now and then: hence not after each of them.
			if lacks == (left == 0) {
				t.Errorf("after %d of %d acknowledged writes something was not on the disk", left, writes)
			}
		})
	}
}

// tellsDirtyPages writes a file and asks whether it is on the disk, before and after a sync.
func tellsDirtyPages(t *testing.T) bool {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "file"))
	noError(t, err)
	defer f.Close()
	_, err = f.Write(make([]byte, 10_000))
	noError(t, err)
	var stat unix.Cachestat_t
	err = unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		return false
	}
	noError(t, err)
	written := dirtyPages(t, dir)
	noError(t, f.Sync())
	return written > 0 && dirtyPages(t, dir) == 0
}

// dirtyPages counts the pages of the files in dir that are not on the disk.
func dirtyPages(t *testing.T, dir string) (n uint64) {
	t.Helper()
	noError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || transient(path) {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		var stat unix.Cachestat_t
		if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
			return err
		}
		n += stat.Dirty + stat.Writeback
		return nil
	}))
	return n
}

// transient files hold nothing that must survive: the lock of a directory, and
// SQLite's index of its log, which is made anew from the log.
func transient(path string) bool {
	return filepath.Base(path) == "lock" || strings.HasSuffix(path, "-shm")
}
