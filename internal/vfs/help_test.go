package vfs

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// random is seeded by VFS_SEED, or anew; the seed is logged.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(fromEnv(t, "VFS_SEED", rand.Uint64()), 0))
}

// steps is VFS_STEPS, or the number given.
func steps(t testing.TB, n uint64) int {
	t.Helper()
	return int(fromEnv(t, "VFS_STEPS", n))
}

func fromEnv(t testing.TB, name string, n uint64) uint64 {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		var err error
		n, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", name, n)
	return n
}

// seeded runs fn with many generators, the same ones in each run.
func seeded(n int, fn func(r *rand.Rand)) {
	for seed := range n {
		fn(rand.New(rand.NewPCG(uint64(seed), 1)))
	}
}

// open opens a file for writing, new or not, and closes it with the test.
func open(t testing.TB, on FS, name string) File {
	t.Helper()
	f, err := on.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t testing.TB, f File, off int64, p string) {
	t.Helper()
	n, err := f.WriteAt([]byte(p), off)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
}

// create makes a file with some bytes, synced or not; its name is not.
func create(t testing.TB, on FS, name, p string, sync bool) File {
	t.Helper()
	f := open(t, on, name)
	write(t, f, 0, p)
	if sync {
		require.NoError(t, f.Sync())
	}
	return f
}

func content(t testing.TB, f File) string {
	t.Helper()
	size, err := f.Size()
	require.NoError(t, err)
	p := make([]byte, size)
	n, err := f.ReadAt(p, 0)
	require.NoError(t, err)
	return string(p[:n])
}

// read returns the bytes of a file, and whether there is one.
func read(t testing.TB, on FS, name string) (string, bool) {
	t.Helper()
	f, err := on.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
		return "", false
	}
	p := content(t, f)
	require.NoError(t, f.Close())
	return p, true
}

// tree returns all paths below a directory, those of directories with a slash at the end, with modes and bytes.
func tree(t testing.TB, on FS, root string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var walk func(dir, shown string)
	walk = func(dir, shown string) {
		names, err := on.ReadDir(dir)
		require.NoError(t, err)
		for _, name := range names {
			at, info := filepath.Join(dir, name), fs.FileInfo(nil)
			info, err = on.Stat(at)
			require.NoError(t, err)
			require.Equal(t, name, info.Name())
			if info.IsDir() {
				all[shown+name+"/"] = info.Mode().String()
				walk(at, shown+name+"/")
				continue
			}
			p, ok := read(t, on, at)
			require.True(t, ok)
			require.EqualValues(t, len(p), info.Size())
			all[shown+name] = info.Mode().String() + " " + p
		}
	}
	walk(root, "")
	return all
}
