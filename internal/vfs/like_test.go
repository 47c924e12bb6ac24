package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMemoryLikeOS does the same random operations on a disk and in memory, and wants the same answers.
func TestMemoryLikeOS(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has its own errors, and does not rename what is open")
	}
	c := &twin{t: t, r: random(t), disk: OS(), memory: NewMemory(), root: t.TempDir()}
	defer c.closeAll()
	for range steps(t, 4000) {
		c.step()
	}
	c.sameTree()
}

type twin struct {
	t      *testing.T
	r      *rand.Rand
	disk   FS
	memory *Memory
	root   string // of disk
	open   [][2]File
	done   []string // the latest operations, for who has to find out
}

var twinPaths = []string{
	"a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "d/e/b", "e", "e/a", "e/b", "a/x", "d/../a", "./d/", ".",
}

func (c *twin) path() string { return twinPaths[c.r.IntN(len(twinPaths))] }

// same fails the test unless both answers are alike: what they return, and what kind of error.
func (c *twin) same(what string, disk, memory any, diskErr, memoryErr error) {
	c.t.Helper()
	c.done = append(c.done, fmt.Sprintf("%s: %.20v %v", what, disk, diskErr))
	if disk != memory || kindOf(diskErr) != kindOf(memoryErr) {
		require.Failf(c.t, what, "disk: %v, %v\nmemory: %v, %v\nbefore: %q", disk, diskErr, memory, memoryErr,
			c.done[max(0, len(c.done)-30):])
	}
}

// kindOf is the number of the operating system, or the error of package fs or io.
func kindOf(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	for _, is := range []error{io.EOF, fs.ErrClosed, fs.ErrInvalid, ErrLocked} {
		if errors.Is(err, is) {
			return is
		}
	}
	return err
}

func (c *twin) step() {
	switch k := c.r.IntN(20); {
	case k < 5:
		c.openFile()
	case k < 13 && len(c.open) > 0:
		c.useFile()
	case k < 15:
		c.rename()
	case k == 15:
		if name := c.path(); name != "." { // the root of the one is not the root of the other
			c.same("remove "+name, nil, nil, c.disk.Remove(filepath.Join(c.root, name)), c.memory.Remove(name))
		}
	case k == 16:
		name := c.path()
		c.same("mkdir "+name, nil, nil, c.disk.MkdirAll(filepath.Join(c.root, name), 0o700), c.memory.MkdirAll(name, 0o700))
	case k == 17:
		name := c.path()
		c.same("syncdir "+name, nil, nil, c.disk.SyncDir(filepath.Join(c.root, name)), c.memory.SyncDir(name))
	case k == 18:
		c.look(c.path())
	default:
		if c.r.IntN(20) == 0 {
			c.sameTree()
		}
	}
}

func (c *twin) openFile() {
	flags := []int{
		os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL,
		os.O_RDWR | os.O_CREATE | os.O_TRUNC, os.O_RDONLY | os.O_CREATE, os.O_RDWR | os.O_APPEND,
	}
	name, flag := c.path(), flags[c.r.IntN(len(flags))]
	a, aErr := c.disk.OpenFile(filepath.Join(c.root, name), flag, 0o600)
	b, bErr := c.memory.OpenFile(name, flag, 0o600)
	c.same(fmt.Sprintf("open %s %x", name, flag), nil, nil, aErr, bErr)
	if aErr == nil {
		c.open = append(c.open, [2]File{a, b})
	}
}

func (c *twin) useFile() {
	i := c.r.IntN(len(c.open))
	a, b := c.open[i][0], c.open[i][1]
	off, n := c.r.Int64N(3000), c.r.IntN(1500)
	switch c.r.IntN(6) {
	case 0, 1:
		p := make([]byte, n)
		for i := range p {
			p[i] = byte('a' + c.r.IntN(26))
		}
		an, aErr := a.WriteAt(p, off)
		bn, bErr := b.WriteAt(p, off)
		c.same(fmt.Sprintf("write %d [%d,+%d)", i, off, n), an, bn, aErr, bErr)
	case 2:
		p, q := make([]byte, n), make([]byte, n)
		an, aErr := a.ReadAt(p, off)
		bn, bErr := b.ReadAt(q, off)
		c.same(fmt.Sprintf("read %d [%d,+%d)", i, off, n), string(p[:an]), string(q[:bn]), aErr, bErr)
	case 3:
		c.same(fmt.Sprintf("truncate %d %d", i, off), nil, nil, a.Truncate(off), b.Truncate(off))
	case 4:
		c.same(fmt.Sprintf("sync %d", i), nil, nil, a.Sync(), b.Sync())
	case 5:
		c.same(fmt.Sprintf("close %d", i), nil, nil, a.Close(), b.Close())
		_, aErr := a.ReadAt(make([]byte, 1), 0)
		_, bErr := b.ReadAt(make([]byte, 1), 0)
		c.same("read closed", nil, nil, aErr, bErr)
		c.open = append(c.open[:i], c.open[i+1:]...)
	}
}

func (c *twin) rename() {
	from, to := c.path(), c.path()
	if info, err := c.memory.Stat(from); err == nil && info.IsDir() && filepath.Dir(from) != filepath.Dir(to) {
		return // the difference that Memory has
	}
	if from == "." || to == "." {
		return
	}
	c.same("rename "+from+" "+to, nil, nil, c.disk.Rename(filepath.Join(c.root, from), filepath.Join(c.root, to)),
		c.memory.Rename(from, to))
}

func (c *twin) look(name string) {
	a, aErr := c.disk.Stat(filepath.Join(c.root, name))
	b, bErr := c.memory.Stat(name)
	c.same("stat "+name, nil, nil, aErr, bErr)
	if aErr == nil && name != "." {
		c.same("name", a.Name(), b.Name(), nil, nil)
		if !a.IsDir() {
			c.same("size", a.Size(), b.Size(), nil, nil)
		}
	}
	x, aErr := c.disk.ReadDir(filepath.Join(c.root, name))
	y, bErr := c.memory.ReadDir(name)
	c.same("readdir "+name, fmt.Sprint(x), fmt.Sprint(y), aErr, bErr)
}

func (c *twin) sameTree() {
	require.Equal(c.t, tree(c.t, c.disk, c.root), tree(c.t, c.memory, "."))
}

// closeAll also checks the account of the room: the files that have a name are all that takes any.
func (c *twin) closeAll() {
	for _, both := range c.open {
		_ = both[0].Close()
		_ = both[1].Close()
	}
	require.Equal(c.t, sizes(c.t, c.memory), c.memory.Used())
}

// sizes adds up what a Memory has below its root.
func sizes(t testing.TB, m *Memory) (sum int64) {
	for _, of := range tree(t, m, ".") {
		if of[0] != 'd' {
			sum += int64(len(of) - len("-rw------- "))
		}
	}
	return sum
}
