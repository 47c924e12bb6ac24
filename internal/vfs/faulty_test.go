package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// everything does each kind of operation once, and returns all errors.
func everything(on FS) error {
	var errs [14]error
	p := make([]byte, 4)
	errs[0] = on.MkdirAll("d", 0o700)
	_, errs[1] = on.Lock("d/lock")
	f, err := on.OpenFile("d/f", os.O_RDWR|os.O_CREATE, 0o600)
	if errs[2] = err; err == nil {
		_, errs[3] = f.WriteAt([]byte("bytes"), 3)
		_, errs[4] = f.ReadAt(p, 2)
		errs[5] = f.Truncate(6)
		_, errs[6] = f.Size()
		errs[7] = f.Sync()
		errs[8] = f.Close()
	}
	errs[9] = on.Rename("d/f", "d/g")
	errs[10] = on.SyncDir("d")
	_, errs[11] = on.ReadDir("d")
	_, errs[12] = on.Stat("d/g")
	errs[13] = on.Remove("d/g")
	return errors.Join(errs[:]...)
}

var everyOp = []Op{
	{N: 1, Kind: Mkdir, Name: "d"},
	{N: 2, Kind: Lock, Name: "d/lock"},
	{N: 3, Kind: OpenFile, Name: "d/f"},
	{N: 4, Kind: Write, Name: "d/f", Off: 3, Len: 5},
	{N: 5, Kind: Read, Name: "d/f", Off: 2, Len: 4},
	{N: 6, Kind: Truncate, Name: "d/f", Off: 6},
	{N: 7, Kind: Size, Name: "d/f"},
	{N: 8, Kind: Sync, Name: "d/f"},
	{N: 9, Kind: Close, Name: "d/f"},
	{N: 10, Kind: Rename, Name: "d/f", To: "d/g"},
	{N: 11, Kind: SyncDir, Name: "d"},
	{N: 12, Kind: ReadDir, Name: "d"},
	{N: 13, Kind: Stat, Name: "d/g"},
	{N: 14, Kind: Remove, Name: "d/g"},
}

func TestEveryOperationIsAnnounced(t *testing.T) {
	var before, after []Op
	f := NewFaulty(NewMemory(), func(op Op) Fault {
		before = append(before, op)
		return Fault{}
	})
	f.After = func(op Op) {
		after = append(after, op)
		require.Equal(t, before, after, "each one after its own hook")
	}
	require.NoError(t, everything(f))
	require.Equal(t, everyOp, after)
	require.Equal(t, len(everyOp), f.Count())
}

func TestEveryOperationFails(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, op := range everyOp {
			m := NewMemory()
			hook := FailAt(op.N, syscall.EIO, false)
			f := NewFaulty(m, func(op Op) Fault {
				fault := hook(op)
				fault.After = late
				return fault
			})
			seen := 0
			f.After = func(Op) { seen++ }
			err := everything(f)
			require.ErrorIs(t, err, syscall.EIO, op)
			require.Equal(t, f.Count(), seen)
			var path *fs.PathError
			require.ErrorAs(t, err, &path)
			require.Equal(t, op.Name, path.Path)
			require.Equal(t, op.Kind.String(), path.Op)
			if late && op.Kind != OpenFile && op.Kind != Lock {
				require.Equal(t, map[string]string{"d/": "drwx------", "d/lock": "-rw------- "}, tree(t, m, "."), op)
			}
		}
	}
}

// What fails is not done, and what fails afterwards is.
func TestOutcomes(t *testing.T) {
	m := NewMemory()
	f := NewFaulty(m, nil)
	next := func(fault Fault) {
		done := false
		f.SetHook(func(Op) Fault {
			if done {
				return Fault{}
			}
			done = true
			return fault
		})
	}
	file := create(t, f, "f", "0123", true)
	bytes := func() string {
		p, _ := read(t, m, "f")
		return p
	}

	next(Fault{Err: syscall.ENOSPC})
	n, err := file.WriteAt([]byte("abcd"), 0)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Zero(t, n)
	require.Equal(t, "0123", bytes())

	next(Fault{Err: syscall.ENOSPC, Short: 2})
	n, err = file.WriteAt([]byte("abcd"), 0)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, 2, n)
	require.Equal(t, "ab23", bytes())

	next(Fault{Short: 100})
	n, err = file.WriteAt([]byte("ABCD"), 0)
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.Equal(t, 3, n)
	require.Equal(t, "ABC3", bytes())

	next(Fault{Err: syscall.EIO, After: true})
	n, err = file.WriteAt([]byte("wxyz"), 0)
	require.ErrorIs(t, err, syscall.EIO)
	require.Zero(t, n)
	require.Equal(t, "wxyz", bytes())

	next(Fault{Err: syscall.EIO})
	require.ErrorIs(t, f.Rename("f", "g"), syscall.EIO)
	next(Fault{Err: syscall.EIO, After: true})
	require.ErrorIs(t, f.Rename("f", "g"), syscall.EIO)
	require.Equal(t, map[string]string{"g": "-rw------- wxyz"}, tree(t, m, "."))

	next(Fault{Err: io.EOF})
	_, err = file.ReadAt(make([]byte, 1), 0)
	require.Equal(t, io.EOF, err)

	syncDir(t, m, ".")
	next(Fault{Err: syscall.EIO, After: true})
	require.ErrorIs(t, file.Sync(), syscall.EIO)
	require.Equal(t, map[string]int{"wxyz": 500}, outcomes(t, m, "g"), "it was synced")

	next(Fault{Err: syscall.EIO})
	require.ErrorIs(t, file.Close(), syscall.EIO)
	require.ErrorIs(t, file.Close(), fs.ErrClosed, "a Close that fails has closed")
}

// Nothing stays open or locked that the caller was not given.
func TestFailureLeavesNothingOpen(t *testing.T) {
	m := NewMemory()
	f := NewFaulty(m, func(Op) Fault { return Fault{Err: syscall.EIO, After: true} })
	lock, err := f.Lock("lock")
	require.ErrorIs(t, err, syscall.EIO)
	require.Nil(t, lock)
	lock, err = m.Lock("lock")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	file, err := f.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	require.ErrorIs(t, err, syscall.EIO)
	require.Nil(t, file)
	require.Zero(t, m.root.entries["f"].opened)

	f.SetHook(nil)
	lock, err = f.Lock("lock")
	require.NoError(t, err)
	f.SetHook(Match(Close).FailAt(1, syscall.EIO, true))
	require.ErrorIs(t, lock.Close(), syscall.EIO)
	lock, err = m.Lock("lock")
	require.NoError(t, err)
	_, err = m.Lock("lock")
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, lock.Close())
	require.Zero(t, m.root.entries["lock"].opened)
}

func TestHooks(t *testing.T) {
	failed := func(h Hook, n int) (all []int) {
		for i := 1; i <= n; i++ {
			kind := Read
			if i%2 == 0 {
				kind = Write
			}
			if h(Op{N: i, Kind: kind}).Err != nil {
				all = append(all, i)
			}
		}
		return all
	}
	require.Equal(t, []int{3}, failed(FailAt(3, syscall.EIO, false), 6))
	require.Equal(t, []int{3, 4, 5, 6}, failed(FailAt(3, syscall.EIO, true), 6))
	require.Equal(t, []int{4}, failed(Match(Write, Sync).FailAt(2, syscall.EIO, false), 8))
	require.Equal(t, []int{4, 6, 8}, failed(Match(Write, Sync).FailAt(2, syscall.EIO, true), 8))
	require.Empty(t, failed(Match().FailAt(1, syscall.EIO, true), 8))
	fault := Fault{Short: 3}
	require.Equal(t, fault, Match(Write).At(1, fault, false)(Op{Kind: Write}))
	require.Equal(t, "7: write f [3,+5)", Op{N: 7, Kind: Write, Name: "f", Off: 3, Len: 5}.String())
	require.Equal(t, "kind 99", Kind(99).String())
	require.Len(t, kindNames, int(Close)+1)
}

// Operations are counted once each, and crash images are taken in the middle of others.
func TestFaultyConcurrent(t *testing.T) {
	m := NewMemory()
	seen := make(map[int]bool)
	f := NewFaulty(m, func(op Op) Fault {
		seen[op.N] = true
		return Fault{}
	})
	f.After = func(op Op) {
		if op.N%10 == 0 {
			m.Crash(rand.New(rand.NewPCG(uint64(op.N), 0)), 0.5)
		}
	}
	shared := open(t, f, "shared")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for w := range errs {
		wg.Go(func() { errs[w] = workOn(f, shared, ".", w, 20, 700) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Len(t, seen, f.Count())
}
