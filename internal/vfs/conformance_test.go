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
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachFS runs fn on every implementation, in a directory that is empty.
func eachFS(t *testing.T, fn func(t *testing.T, on FS, root string)) {
	inMemory := func(t *testing.T) *Memory {
		m := NewMemory()
		require.NoError(t, m.MkdirAll("/some/dir", 0o700))
		return m
	}
	t.Run("OS", func(t *testing.T) { fn(t, OS(), t.TempDir()) })
	t.Run("Memory", func(t *testing.T) { fn(t, inMemory(t), "/some/dir") })
	t.Run("Memory relative", func(t *testing.T) { fn(t, inMemory(t), "some/x/..//dir") })
	t.Run("Memory after a crash", func(t *testing.T) {
		fn(t, inMemory(t).Crash(rand.New(rand.NewPCG(1, 2)), 1), "/some/dir")
	})
	t.Run("Faulty", func(t *testing.T) {
		fn(t, NewFaulty(NewFaulty(OS(), func(Op) Fault { return Fault{} }), nil), t.TempDir())
	})
}

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, on FS, root string)
	}{
		{"files", conformFiles},
		{"flags", conformFlags},
		{"directories", conformDirectories},
		{"rename", conformRename},
		{"modes", conformModes},
		{"errors", conformErrors},
		{"concurrent", conformConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { eachFS(t, c.run) })
	}
}

func conformFiles(t *testing.T, on FS, root string) {
	f := open(t, on, filepath.Join(root, "f"))
	write(t, f, 0, "hello")
	write(t, f, 8, "world")
	require.Equal(t, "hello\x00\x00\x00world", content(t, f))
	other := open(t, on, filepath.Join(root, "f"))
	write(t, other, 1, "ipp")
	require.Equal(t, "hippo\x00\x00\x00world", content(t, f), "one file, open twice")

	p := make([]byte, 10)
	n, err := f.ReadAt(p, 8)
	require.Equal(t, io.EOF, err, "bare, as io.ReaderAt has it")
	require.Equal(t, "world", string(p[:n]))
	n, err = f.ReadAt(p, 100)
	require.Equal(t, io.EOF, err)
	require.Zero(t, n)
	n, err = f.ReadAt(nil, 100)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = f.WriteAt(nil, 100)
	require.NoError(t, err)
	require.Zero(t, n)

	require.NoError(t, f.Truncate(2))
	require.Equal(t, "hi", content(t, f))
	require.NoError(t, f.Truncate(5))
	require.Equal(t, "hi\x00\x00\x00", content(t, f), "what was cut off does not come back")
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	require.NoError(t, other.Close())
	again, ok := read(t, on, filepath.Join(root, "f"))
	require.True(t, ok)
	require.Equal(t, "hi\x00\x00\x00", again)
}

func conformFlags(t *testing.T, on FS, root string) {
	name := filepath.Join(root, "f")
	_, err := on.OpenFile(name, os.O_RDWR, 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
	f, err := on.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	require.NoError(t, err)
	write(t, f, 0, "abc")
	require.NoError(t, f.Close())
	_, err = on.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	require.ErrorIs(t, err, fs.ErrExist)

	f, err = on.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("x"), 0)
	require.Error(t, err)
	require.Error(t, f.Truncate(0))
	require.Equal(t, "abc", content(t, f))
	require.NoError(t, f.Close())

	f, err = on.OpenFile(name, os.O_RDWR|os.O_TRUNC, 0)
	require.NoError(t, err)
	require.Empty(t, content(t, f))
	require.NoError(t, f.Close())

	for _, flag := range []int{os.O_WRONLY, os.O_RDWR | os.O_APPEND, os.O_TRUNC, os.O_RDWR | os.O_EXCL, os.O_RDWR | os.O_SYNC} {
		_, err = on.OpenFile(name, flag, 0)
		require.ErrorIs(t, err, fs.ErrInvalid)
	}
}

func conformDirectories(t *testing.T, on FS, root string) {
	require.NoError(t, on.MkdirAll(filepath.Join(root, "b", "c"), 0o700))
	require.NoError(t, on.MkdirAll(filepath.Join(root, "b", "c"), 0o700))
	for _, name := range []string{"c", "a", "B", "a0", "a-"} {
		require.NoError(t, create(t, on, filepath.Join(root, name), "", false).Close())
	}
	names, err := on.ReadDir(root)
	require.NoError(t, err)
	require.Equal(t, []string{"B", "a", "a-", "a0", "b", "c"}, names)
	names, err = on.ReadDir(filepath.Join(root, "b", "c"))
	require.NoError(t, err)
	require.Empty(t, names)

	require.NoError(t, on.SyncDir(root))
	require.Error(t, on.Remove(filepath.Join(root, "b")), "not empty")
	require.NoError(t, on.Remove(filepath.Join(root, "b", "c")))
	require.NoError(t, on.Remove(filepath.Join(root, "b")))
	require.NoError(t, on.Remove(filepath.Join(root, "a")))
	_, err = on.Stat(filepath.Join(root, "a"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func conformRename(t *testing.T, on FS, root string) {
	a, b, d := filepath.Join(root, "a"), filepath.Join(root, "b"), filepath.Join(root, "d")
	require.NoError(t, create(t, on, a, "new", false).Close())
	require.NoError(t, create(t, on, b, "old", false).Close())
	require.NoError(t, on.Rename(a, b))
	require.Equal(t, map[string]string{"b": "-rw------- new"}, tree(t, on, root))
	require.NoError(t, on.Rename(b, b))
	require.NoError(t, on.MkdirAll(d, 0o700))
	require.NoError(t, on.Rename(b, filepath.Join(d, "b")))
	require.NoError(t, on.Rename(d, filepath.Join(root, "e")))
	require.Equal(t, map[string]string{"e/": "drwx------", "e/b": "-rw------- new"}, tree(t, on, root))
}

func conformModes(t *testing.T, on FS, root string) {
	if runtime.GOOS == "windows" {
		t.Skip("has no such modes")
	}
	require.NoError(t, on.MkdirAll(filepath.Join(root, "d", "e"), 0o700))
	f := open(t, on, filepath.Join(root, "d", "f"))
	write(t, f, 0, "x")
	again, err := on.OpenFile(filepath.Join(root, "d", "f"), os.O_RDWR|os.O_CREATE, 0o400)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	lock, err := on.Lock(filepath.Join(root, "lock"))
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	for name, mode := range map[string]fs.FileMode{
		"d": fs.ModeDir | 0o700, "d/e": fs.ModeDir | 0o700, "d/f": 0o600, "lock": 0o600,
	} {
		info, err := on.Stat(filepath.Join(root, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), name)
		require.False(t, info.ModTime().IsZero())
	}
}

// conformErrors states which error each misuse is, and that each names a path.
func conformErrors(t *testing.T, on FS, root string) {
	in := func(name string) string { return filepath.Join(root, name) }
	require.NoError(t, on.MkdirAll(in("d/e"), 0o700))
	f := create(t, on, in("f"), "f", false)
	openOf := func(flag int, name string) error {
		_, err := on.OpenFile(in(name), flag, 0o600)
		return err
	}
	readDir := func(name string) error {
		_, err := on.ReadDir(in(name))
		return err
	}
	stat := func(name string) error {
		info, err := on.Stat(in(name))
		require.Nil(t, info)
		return err
	}
	lock := func(name string) error {
		_, err := on.Lock(in(name))
		return err
	}
	closed := open(t, on, in("closed"))
	require.NoError(t, closed.Close())
	one := []byte("1")
	_, readClosed := closed.ReadAt(one, 0)
	_, writeClosed := closed.WriteAt(one, 0)
	_, sizeClosed := closed.Size()
	_, readBefore := f.ReadAt(one, -1)
	_, writeBefore := f.WriteAt(one, -1)
	for i, c := range []struct{ err, is error }{
		{openOf(os.O_RDONLY, "missing"), fs.ErrNotExist},
		{openOf(os.O_RDWR|os.O_CREATE, "missing/f"), fs.ErrNotExist},
		{openOf(os.O_RDWR, "f/f"), syscall.ENOTDIR},
		{openOf(os.O_RDWR, "d"), syscall.EISDIR},
		{openOf(os.O_RDONLY, "d"), syscall.EISDIR},
		{openOf(os.O_RDWR|os.O_CREATE|os.O_EXCL, "d"), fs.ErrExist},
		{on.MkdirAll(in("f"), 0o700), syscall.ENOTDIR},
		{on.MkdirAll(in("f/g/h"), 0o700), syscall.ENOTDIR},
		{readDir("missing"), fs.ErrNotExist},
		{readDir("f"), syscall.ENOTDIR},
		{stat("missing"), fs.ErrNotExist},
		{stat("f/f"), syscall.ENOTDIR},
		{on.Rename(in("missing"), in("g")), fs.ErrNotExist},
		{on.Rename(in("f"), in("missing/f")), fs.ErrNotExist},
		{on.Rename(in("f"), in("d")), fs.ErrExist},
		{on.Rename(in("d"), in("f")), syscall.ENOTDIR},
		{on.Rename(in("d"), in("d/e/f")), syscall.EINVAL},
		{on.Remove(in("missing")), fs.ErrNotExist},
		{on.Remove(in("d")), syscall.ENOTEMPTY},
		{on.SyncDir(in("missing")), fs.ErrNotExist},
		{on.SyncDir(in("f")), syscall.ENOTDIR},
		{lock("missing/lock"), fs.ErrNotExist},
		{lock("d"), syscall.EISDIR},
		{readClosed, fs.ErrClosed},
		{writeClosed, fs.ErrClosed},
		{sizeClosed, fs.ErrClosed},
		{closed.Truncate(0), fs.ErrClosed},
		{closed.Sync(), fs.ErrClosed},
		{closed.Close(), fs.ErrClosed},
		{f.Truncate(-1), syscall.EINVAL},
		{readBefore, nil},
		{writeBefore, nil},
	} {
		var path *fs.PathError
		require.ErrorAs(t, c.err, &path, i)
		require.NotEmpty(t, path.Op, i)
		require.Contains(t, filepath.Clean(path.Path), filepath.Clean(root), i)
		if c.is != nil && (runtime.GOOS != "windows" || !errors.As(c.is, new(syscall.Errno))) {
			require.ErrorIs(t, c.err, c.is, i)
		}
	}
}

// Writers of one file each have their own part of it, and others work on the directory meanwhile.
func conformConcurrent(t *testing.T, on FS, root string) {
	const workers, rounds, part = 4, 50, 700
	f := open(t, on, filepath.Join(root, "shared"))
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() { errs[w] = workOn(on, f, root, w, rounds, part) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	all := []byte(content(t, f))
	for i, b := range all {
		require.Equal(t, byte('a'+i/part), b)
	}
	require.Len(t, all, workers*part)
}

func workOn(on FS, f File, root string, w, rounds, part int) error {
	p := make([]byte, part)
	for i := range p {
		p[i] = byte('a' + w)
	}
	own, other := filepath.Join(root, fmt.Sprint("own", w)), filepath.Join(root, fmt.Sprint("other", w))
	for range rounds {
		_, err := f.WriteAt(p, int64(w*part))
		_, err2 := f.ReadAt(p, int64(w*part))
		mine, err3 := on.OpenFile(own, os.O_RDWR|os.O_CREATE, 0o600)
		if err = errors.Join(err, err2, err3); err != nil {
			return err
		}
		_, err2 = on.ReadDir(root)
		err = errors.Join(mine.Sync(), mine.Close(), err2, on.Rename(own, other), on.SyncDir(root), on.Remove(other), f.Sync())
		if err != nil {
			return err
		}
	}
	return nil
}
