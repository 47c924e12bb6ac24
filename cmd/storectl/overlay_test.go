package main

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/vfs"
)

// TestOverlay does the same at random on an overlay and on a copy of its disk: both
// show the same, and the disk stays as it was.
func TestOverlay(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	disk, model := t.TempDir(), t.TempDir()
	names := []string{"a", "b", "c", "d"}
	for _, name := range names[:2] {
		content := make([]byte, 100)
		for i := range content {
			content[i] = byte(r.Uint32())
		}
		require.NoError(t, os.WriteFile(filepath.Join(disk, name), content, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(model, name), content, 0o600))
	}
	before := tree(t, filepath.Join(disk, "a"))
	o := newOverlay()
	kind := func(err error) error {
		for _, known := range []error{fs.ErrNotExist, fs.ErrExist, io.EOF} {
			if errors.Is(err, known) {
				return known
			}
		}
		return err
	}
	for range 3000 {
		name, to, op := names[r.IntN(4)], names[r.IntN(4)], r.IntN(9)
		off, p := int64(r.IntN(150)), make([]byte, r.IntN(60))
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		flag := []int{os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_RDWR | os.O_TRUNC}[max(r.IntN(12)-8, 0)]
		do := func(f vfs.FS, dir string) (out []any) {
			if op == 0 && name != to {
				return []any{kind(f.Rename(filepath.Join(dir, name), filepath.Join(dir, to)))}
			}
			if op == 1 {
				return []any{kind(f.Remove(filepath.Join(dir, name)))}
			}
			x, err := f.OpenFile(filepath.Join(dir, name), flag, 0o600)
			if err != nil {
				return []any{kind(err)}
			}
			switch op {
			case 2:
				err = x.Truncate(off)
			case 3, 4, 5:
				if op == 5 { // what is there already
					_, _ = x.ReadAt(p, off)
				}
				_, err = x.WriteAt(p, off)
			default:
				n, e := x.ReadAt(p, off)
				out, err = append(out, n, string(p[:n])), e
			}
			if op != 5 && len(p) == 0 {
				err = nil // whether the end is told then is not said
			}
			size, sizeErr := x.Size()
			require.NoError(t, sizeErr)
			require.NoError(t, x.Close())
			info, statErr := f.Stat(filepath.Join(dir, name))
			require.NoError(t, statErr)
			list, listErr := f.ReadDir(dir)
			require.NoError(t, listErr)
			return append(out, kind(err), size, info.Size(), list)
		}
		data := append([]byte(nil), p...)
		want := do(vfs.OS(), model)
		copy(p, data)
		require.Equal(t, want, do(o, disk), "%s %d", name, op)
	}
	require.Equal(t, before, tree(t, filepath.Join(disk, "a")))
	require.NoError(t, o.close())
}

// A file that is removed from the disk, or grows there, stays as it was.
func TestOverlayIsOneMoment(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(name, []byte("abc"), 0o600))
	o := newOverlay()
	f, err := o.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, []byte("abcdef"), 0o600))
	p := make([]byte, 9)
	n, err := f.ReadAt(p, 0)
	require.Equal(t, io.EOF, err)
	require.Equal(t, "abc", string(p[:n]))
	require.NoError(t, os.Remove(name))
	f, err = o.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	n, err = f.ReadAt(p, 1)
	require.Equal(t, io.EOF, err)
	require.Equal(t, "bc", string(p[:n]))
	require.NoError(t, o.MkdirAll(dir, 0o700))
	require.ErrorIs(t, o.MkdirAll(filepath.Join(dir, "b"), 0o700), fs.ErrNotExist)
	require.NoError(t, o.close())
}
