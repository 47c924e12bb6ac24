package persisttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

var faults = []struct {
	name  string
	fault vfs.Fault
}{
	{"EIO", vfs.Fault{Err: syscall.EIO}},
	{"ENOSPC", vfs.Fault{Err: syscall.ENOSPC}},
	{"EROFS", vfs.Fault{Err: syscall.EROFS}},
	{"ENOSPC after 40 bytes", vfs.Fault{Err: syscall.ENOSPC, Short: 40}},
	{"short write", vfs.Fault{Short: 1 << 30}},
	{"EIO, but done", vfs.Fault{Err: syscall.EIO, After: true}},
}

// Faults runs a random program again and again, and each time another one of its
// operations on the file system fails, in each of several ways, alone or with all after
// it. What was acknowledged must be there when the log is opened again, and what a Sync
// covered after a power loss too; what was refused must not be there; and after an
// append or a sync that failed nothing more is acknowledged.
func Faults(t *testing.T, on OnFS) {
	seed := seed(t)
	all, err := FaultsOnce(on, seed, steps(t, 10))
	require.NoError(t, err, "program %d", seed)
	t.Logf("%+v", all)
}

// FaultsOnce is all of one program.
func FaultsOnce(on OnFS, seed uint64, steps int) (Figures, error) {
	var all Figures
	for n := 1; ; n++ {
		reached := false
		for _, c := range faults {
			for _, forever := range []bool{false, true} {
				f := &failer{on: on, r: random(seed), images: random(seed + 1), h: newHistory()}
				if err := f.run(n, c.fault, forever, steps); err != nil {
					return all, fmt.Errorf("%s at operation %d, forever %v (%v): %w", c.name, n, forever, f.failed, err)
				}
				all.Add(f.figures)
				reached = reached || f.failed.N > 0
			}
		}
		if !reached {
			return all, nil
		}
		all.Operations++
	}
}

type failer struct {
	on        OnFS
	r, images *rand.Rand
	disk      *vfs.Memory
	fs        *vfs.Faulty
	failed    vfs.Op // the operation that failed
	l         store.Log

	h      *history
	acked  int
	synced int
	final  bool // an append or a sync has failed

	figures Figures
}

func (f *failer) run(n int, fault vfs.Fault, forever bool, steps int) error {
	// Nothing makes up for a failed sync of what the directory itself is in.
	f.disk = vfs.NewMemory()
	if err := errors.Join(f.disk.MkdirAll("data/log", 0o700), f.disk.SyncDir("data"), f.disk.SyncDir(".")); err != nil {
		return err
	}
	f.fs = vfs.NewFaulty(f.disk, func(op vfs.Op) vfs.Fault {
		writes := fault.Short > 0
		if op.N < n || op.N > n && !forever || writes && op.Kind != vfs.Write {
			return vfs.Fault{}
		}
		if f.failed.N == 0 {
			f.failed = op
			f.figures.Faults++
		}
		return fault
	})
	if err := f.program(steps); err != nil {
		return err
	}
	if f.l != nil {
		_ = f.l.Close()
	}
	return f.after()
}

// program goes on after failures, as a store would not, and wants them to be final.
func (f *failer) program(steps int) error {
	if err := f.open(); err != nil || f.l == nil {
		return err
	}
	for range steps {
		if err := f.step(); err != nil || f.l == nil {
			return err
		}
	}
	return nil
}

func (f *failer) open() error {
	f.l, f.final = nil, false
	l, err := f.on(f.fs).OpenLog(context.Background())
	if err != nil {
		if errors.Is(err, store.ErrCorrupt) {
			return fmt.Errorf("the failure passes for damage: %w", err)
		}
		return f.expected(err)
	}
	f.l = l
	return nil
}

// expected wants an error to be the fault's.
func (f *failer) expected(err error) error {
	if f.failed.N == 0 {
		return fmt.Errorf("failed without a cause: %w", err)
	}
	return nil
}

func (f *failer) step() error {
	ctx := context.Background()
	switch n := f.r.IntN(20); {
	case n < 11:
		return f.append(randomGroup(f.r))
	case n < 15:
		err := f.l.Sync(ctx)
		return f.settle("sync", err, func() { f.synced = f.acked })
	case n < 18:
		from := int(f.l.Info().Snapshot)
		at := store.Position(from + f.r.IntN(int(f.l.Info().Last)-from+1))
		if f.r.IntN(2) > 0 {
			at = f.l.Info().Last
		}
		if err := f.l.Snapshot(ctx, at, putParts(at)); err != nil {
			return f.expected(err)
		}
	default:
		if err := f.l.Close(); err != nil {
			f.l = nil
			return f.expected(err)
		}
		f.synced = f.acked
		return f.open()
	}
	return nil
}

func (f *failer) append(entries [][]byte) error {
	before := f.l.Info().Last
	if !f.final {
		f.h.cut(f.acked)
		f.h.add(entries)
	}
	err := f.l.Append(context.Background(), before, entries)
	if err != nil && !f.final && !errors.Is(err, store.ErrUnknownOutcome) {
		f.h.cut(f.acked) // they must never appear
	}
	return f.settle("append", err, func() { f.acked = len(f.h.all) })
}

// settle notes what became of an append or a sync.
func (f *failer) settle(op string, err error, acknowledged func()) error {
	switch {
	case err == nil && f.final:
		return fmt.Errorf("%s was acknowledged after a failure", op)
	case err == nil:
		acknowledged()
		return nil
	case errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrLogConflict):
		return fmt.Errorf("%s: %w", op, err)
	}
	first := !f.final
	f.final = true
	if err = f.expected(err); err == nil && first {
		err = f.powerLoss()
	}
	return err
}

// powerLoss looks at what is left if the power goes now.
func (f *failer) powerLoss() error {
	c := &crasher{on: f.on, images: f.images, h: f.h}
	for _, keep := range []float64{0, 0.5, 0.8, 1} {
		f.figures.Images++
		atLeast := f.synced
		if keep == 1 {
			atLeast = f.acked
		}
		if err := c.recoverImage(f.disk.Crash(f.images, keep), atLeast, false); err != nil {
			return fmt.Errorf("power loss, %v of the unsynced data left: %w", keep, err)
		}
	}
	return nil
}

// after looks at what is left, with and without a power loss, and goes on with it.
func (f *failer) after() error {
	if err := f.powerLoss(); err != nil {
		return err
	}
	c := &crasher{on: f.on, images: f.images}
	h := f.h
	l, err := f.on(f.disk).OpenLog(context.Background())
	if err != nil {
		return fmt.Errorf("open without faults: %w", err)
	}
	got, err := load(l)
	if err == nil {
		err = h.check(got, f.acked)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	n := int(got.info.Last)
	h = &history{all: append(slices.Clone(h.all[:n]), []byte("new")), ends: map[int]bool{n + 1: true}}
	if err = l.Append(context.Background(), store.Position(n), h.all[n:]); err == nil {
		err = l.Sync(context.Background())
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	for _, keep := range []float64{0, 0.5} {
		f.figures.Images++
		if err = c.checkImage(f.disk.Crash(f.images, keep), h, n+1); err != nil {
			return errors.Join(fmt.Errorf("power loss after going on, %v left: %w", keep, err), l.Close())
		}
	}
	return l.Close()
}
