package file

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

func fill(put func([]byte) error) error { return put([]byte("state")) }

// After a snapshot the directory has little more than the snapshot, and the entries
// behind it.
func TestSizeAfterSnapshot(t *testing.T) {
	for _, behind := range []int{0, 1, 50} {
		mem := vfs.NewMemory()
		l := mustOpen(t, mem, SegmentSize(1<<20))
		entry := [][]byte{make([]byte, 1000)}
		for i := range 5000 {
			require.NoError(t, l.Append(t.Context(), store.Position(i), entry))
		}
		require.Greater(t, mem.Used(), int64(5_000_000))
		require.NoError(t, l.Snapshot(t.Context(), store.Position(5000-behind), fill))
		tail := int64(behind * (1000 + headSize))
		require.Equal(t, tail, l.Info().Tail)
		require.Less(t, mem.Used(), tail+1000, "behind %d", behind)
		// The entries since then are few, so the next one leaves them.
		require.NoError(t, l.Append(t.Context(), 5000, entry))
		require.NoError(t, l.Snapshot(t.Context(), 5001, fill))
		require.Less(t, mem.Used(), l.smallSegment())
		require.NoError(t, l.Close())
		l = mustOpen(t, mem)
		require.EqualValues(t, 5001, l.Info().Last)
		require.Zero(t, l.Info().Tail)
	}
}

// While somebody loads, nothing that he reads is removed; the next snapshot does it.
func TestSnapshotDuringLoad(t *testing.T) {
	mem := vfs.NewMemory()
	l := mustOpen(t, mem)
	entry := [][]byte{make([]byte, 1000)}
	for i := range 600 {
		require.NoError(t, l.Append(t.Context(), store.Position(i), entry))
	}
	n := 0
	require.NoError(t, l.Load(t.Context(), func(e store.LogEntry) error {
		if n++; n == 1 {
			require.NoError(t, l.Snapshot(t.Context(), 600, fill))
		}
		require.EqualValues(t, n, e.Position)
		return nil
	}))
	require.Equal(t, 600, n)
	require.Greater(t, mem.Used(), int64(600_000))
	require.NoError(t, l.Snapshot(t.Context(), 600, fill))
	require.Less(t, mem.Used(), int64(2000))
}

// faulty opens a log of one synced and one unsynced entry whose next selected operation
// fails.
func faulty(t *testing.T, s vfs.Selection, fault vfs.Fault) (*vfs.Memory, *log) {
	mem := vfs.NewMemory()
	f := vfs.NewFaulty(mem, nil)
	l := mustOpen(t, f)
	require.NoError(t, l.Append(t.Context(), 0, [][]byte{[]byte("one")}))
	require.NoError(t, l.Sync(t.Context()))
	require.NoError(t, l.Append(t.Context(), 1, [][]byte{[]byte("two")}))
	f.SetHook(s.At(1, fault, false))
	return mem, l
}

func TestFailures(t *testing.T) {
	two := [][]byte{[]byte("three"), []byte("four")}
	for _, c := range []struct {
		name    string
		sel     vfs.Selection
		fault   vfs.Fault
		unknown bool
	}{
		{"write fails", vfs.Match(vfs.Write), vfs.Fault{Err: syscall.ENOSPC}, false},
		{"write is short", vfs.Match(vfs.Write), vfs.Fault{Err: syscall.ENOSPC, Short: 50}, false},
		{"write is done", vfs.Match(vfs.Write), vfs.Fault{Err: syscall.EIO, After: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, l := faulty(t, c.sel, c.fault)
			err := l.Append(t.Context(), 2, two)
			require.ErrorIs(t, err, c.fault.Err)
			require.NotErrorIs(t, err, store.ErrUnknownOutcome)
			require.EqualValues(t, 2, l.Info().Last)
			require.ErrorIs(t, l.Append(t.Context(), 2, two), c.fault.Err)
			err = l.Sync(t.Context())
			require.ErrorIs(t, err, c.fault.Err)
			require.ErrorIs(t, err, store.ErrUnknownOutcome, "of the second entry")
			require.Error(t, l.Snapshot(t.Context(), 1, fill))
			require.Error(t, l.Close())
			l = mustOpen(t, mem)
			require.EqualValues(t, 2, l.Info().Last)
			require.Zero(t, l.Info().Recovery.TornBytes, "it was taken back")
		})
	}
	t.Run("what cannot be taken back", func(t *testing.T) {
		_, l := faulty(t, vfs.Match(vfs.Write, vfs.Truncate), vfs.Fault{})
		require.NoError(t, l.f.Close()) // nothing works any more
		err := l.Append(t.Context(), 2, two)
		require.ErrorIs(t, err, store.ErrUnknownOutcome)
		require.ErrorIs(t, err, fs.ErrClosed)
		err = l.Append(t.Context(), 2, two)
		require.ErrorIs(t, err, fs.ErrClosed)
		require.NotErrorIs(t, err, store.ErrUnknownOutcome, "these are not there for certain")
	})
	t.Run("fsync fails", func(t *testing.T) {
		_, l := faulty(t, vfs.Match(vfs.Sync), vfs.Fault{Err: syscall.EIO})
		require.ErrorIs(t, l.Sync(t.Context()), store.ErrUnknownOutcome)
		require.ErrorIs(t, l.Sync(t.Context()), syscall.EIO)
		require.ErrorIs(t, l.Append(t.Context(), 2, two), syscall.EIO)
		require.ErrorIs(t, l.Close(), store.ErrUnknownOutcome)
	})
	t.Run("a snapshot that fails stops nothing", func(t *testing.T) {
		mem, l := faulty(t, func(op vfs.Op) bool { return op.Kind == vfs.Write && strings.HasSuffix(op.Name, tempExt) },
			vfs.Fault{Err: syscall.ENOSPC, Short: 20})
		require.ErrorIs(t, l.Snapshot(t.Context(), 2, fill), syscall.ENOSPC)
		require.NotContains(t, readAll(t, mem), fileName(2, tempExt))
		require.NoError(t, l.Append(t.Context(), 2, two))
		require.NoError(t, l.Snapshot(t.Context(), 2, fill))
		require.NoError(t, l.Close())
	})
	t.Run("a full disk", func(t *testing.T) {
		mem := vfs.NewMemory()
		l := mustOpen(t, mem)
		mem.SetCapacity(20_000)
		var err error
		n := store.Position(0)
		for ; err == nil; n++ {
			err = l.Append(t.Context(), n, [][]byte{make([]byte, 300)})
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Error(t, l.Close())
		mem.SetCapacity(-1)
		require.Equal(t, n-1, mustOpen(t, mem).Info().Last)
	})
}

func TestNames(t *testing.T) {
	for _, number := range []uint64{0, 1, 42, 9999999999999999, 10000000000000000, 1<<64 - 1} {
		for _, ext := range []string{segmentExt, closedExt, snapExt, tornExt, tempExt} {
			n, e, ok := parseName(fileName(number, ext))
			require.True(t, ok)
			require.Equal(t, number, n)
			require.Equal(t, ext, e)
		}
	}
	for _, name := range []string{
		"", "lock", "1.log", "00000000000000001.log", "0000000000000001", "0000000000000001.txt",
		"000000000000000x.log", "+000000000000001.log", "0000000000000001.log.bak", "99999999999999999999.log",
	} {
		_, _, ok := parseName(name)
		require.False(t, ok, name)
	}
}

// Files of others are left alone; an unfinished one of ours is removed.
func TestOtherFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", "1.log", fileName(7, tempExt)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	l, err := New(dir).OpenLog(t.Context())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	names, err := vfs.OS().ReadDir(dir)
	require.NoError(t, err)
	require.Equal(t, []string{fileName(1, closedExt), "1.log", "lock", "notes.txt"}, names)
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "log")
	l, err := New(dir, SegmentSize(1)).open(t.Context())
	require.NoError(t, err)
	require.NoError(t, l.Append(t.Context(), 0, [][]byte{make([]byte, 2000)}))
	require.NoError(t, l.Append(t.Context(), 1, [][]byte{nil}))
	require.NoError(t, l.Snapshot(t.Context(), 1, fill))
	require.NoError(t, l.Close())
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		}
		require.Equal(t, want, info.Mode(), path)
		return nil
	}))
}

// A single write and, once the buffer has grown, no allocation.
func TestCostOfAppend(t *testing.T) {
	mem := vfs.NewMemory()
	var ops []vfs.Op
	f := vfs.NewFaulty(mem, nil)
	f.After = func(op vfs.Op) { ops = append(ops, op) }
	l := mustOpen(t, f, SegmentSize(1<<20))
	group := [][]byte{make([]byte, 100), nil, make([]byte, 5000)}
	require.NoError(t, l.Append(t.Context(), 0, group))
	ops = nil
	require.NoError(t, l.Append(t.Context(), 3, group))
	require.Len(t, ops, 1)
	require.Equal(t, vfs.Write, ops[0].Kind)
	l.f = nowhere{l.f}
	last := l.Info().Last
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = l.Append(t.Context(), last, group)
		last += 3
	}))
	require.Equal(t, last, l.Info().Last)
	require.Error(t, l.fail(errors.New("stop"))) // Close leaves the file as it is
}

// nowhere is a file whose writes cost nothing.
type nowhere struct{ vfs.File }

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Many who sync share few fsyncs.
func TestSyncsAreShared(t *testing.T) {
	mem := vfs.NewMemory()
	f := vfs.NewFaulty(mem, nil)
	l := mustOpen(t, f, SegmentSize(1<<20))
	require.NoError(t, l.Append(t.Context(), 0, [][]byte{[]byte("x")}))
	entered, release, syncs := make(chan bool), make(chan bool), 0
	f.SetHook(func(op vfs.Op) vfs.Fault {
		if op.Kind == vfs.Sync {
			if syncs++; syncs == 1 {
				entered <- true
				<-release
			}
		}
		return vfs.Fault{}
	})
	const callers = 20
	errs := make(chan error, callers+1)
	go func() { errs <- l.Sync(t.Context()) }()
	<-entered
	l.mu.Lock() // as an append during that fsync
	l.last++
	l.mu.Unlock()
	for range callers {
		go func() { errs <- l.Sync(t.Context()) }()
	}
	close(release)
	for range callers + 1 {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 2, syncs)
	l.mu.Lock()
	l.last--
	l.mu.Unlock()
}

func TestFollowTrimmed(t *testing.T) {
	l := mustOpen(t, vfs.NewMemory())
	for i := range 50 {
		require.NoError(t, l.Append(t.Context(), store.Position(i), [][]byte{bytes.Repeat([]byte("x"), 100)}))
	}
	require.NoError(t, l.Snapshot(t.Context(), 30, fill))
	for after := range store.Position(50) {
		for e, err := range l.Follow(t.Context(), after) {
			if after < 30 {
				require.ErrorIs(t, err, store.ErrTrimmed)
			} else {
				require.NoError(t, err)
				require.Equal(t, after+1, e.Position)
			}
			break
		}
	}
}
