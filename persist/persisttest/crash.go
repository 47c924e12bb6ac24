package persisttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// OnFS returns an adapter of the log in the directory data/log of a file system.
type OnFS func(fs vfs.FS) store.Adapter

// Figures is how much Crash and Faults have tried.
type Figures struct {
	Operations int // of the file system, in the programs
	Images     int // that a power loss left, and that were recovered
	Again      int // of those, after a power loss during the recovery of another one
	Faults     int
}

// Add adds the figures of another program.
func (f *Figures) Add(g Figures) {
	f.Operations += g.Operations
	f.Images += g.Images
	f.Again += g.Again
	f.Faults += g.Faults
}

// Crash runs random programs, and takes several images of what a power loss may leave
// after every operation of the file system. Each has to be recovered: what is loaded is
// a prefix of what was appended, with all that a Sync covered, and at once with all
// that was acknowledged if the power loss took nothing. Some recoveries are crashed in
// the same way.
func Crash(t *testing.T, on OnFS) {
	r := random(seed(t))
	var all Figures
	for range 4 {
		seed := r.Uint64()
		f, err := CrashOnce(on, seed, steps(t, 25))
		require.NoError(t, err, "program %d", seed)
		all.Add(f)
	}
	f, err := crashTogether(on, r)
	require.NoError(t, err)
	all.Add(f)
	t.Logf("%+v", all)
}

// CrashOnce is one program of Crash.
func CrashOnce(on OnFS, seed uint64, steps int) (Figures, error) {
	c := &crasher{on: on, r: random(seed), images: random(seed + 1), h: newHistory()}
	c.use(vfs.NewMemory())
	err := c.run(steps)
	c.figures.Operations += c.fs.Count()
	return c.figures, errors.Join(err, c.err)
}

type crasher struct {
	on     OnFS
	r      *rand.Rand
	images *rand.Rand // of its own, so that the program does not depend on the operations

	disk *vfs.Memory
	fs   *vfs.Faulty
	l    store.Log

	h      *history
	acked  int // appends that returned
	synced int // and that a Sync covered

	figures Figures
	err     error // what an image showed
}

// changes are the operations after which there is something new to lose.
var changes = vfs.Match(vfs.OpenFile, vfs.Mkdir, vfs.Rename, vfs.Remove, vfs.SyncDir, vfs.Lock, vfs.Write, vfs.Truncate, vfs.Sync)

func (c *crasher) use(disk *vfs.Memory) {
	if c.fs != nil {
		c.figures.Operations += c.fs.Count()
	}
	c.disk, c.fs = disk, vfs.NewFaulty(disk, nil)
	c.fs.After = func(op vfs.Op) {
		if changes(op) && c.err == nil {
			if err := c.crash(c.disk, c.synced, c.acked); err != nil {
				c.err = fmt.Errorf("power loss after operation %v: %w", op, err)
			}
		}
	}
}

// crash recovers images of a disk.
func (c *crasher) crash(disk *vfs.Memory, synced, acked int) error {
	for i, keep := range []float64{0, 0.5, 0.5, 0.9, 1} {
		atLeast := synced
		if keep == 1 {
			atLeast = acked
		}
		image := disk.Crash(c.images, keep)
		c.figures.Images++
		if err := c.recoverImage(image, atLeast, c.images.IntN(60) == i); err != nil {
			return fmt.Errorf("%v of the unsynced data left: %w", keep, err)
		}
	}
	return nil
}

// recoverImage opens a log on an image, goes on with it, and opens it again. With again, there
// is a power loss after each operation of that.
func (c *crasher) recoverImage(image *vfs.Memory, atLeast int, again bool) (err error) {
	fs := vfs.FS(image)
	h := &history{all: slices.Clone(c.h.all), ends: c.h.ends}
	if again {
		faulty := vfs.NewFaulty(image, nil)
		faulty.After = func(op vfs.Op) {
			if !changes(op) || err != nil {
				return
			}
			for _, keep := range []float64{0, 0.5, 1} {
				c.figures.Images++
				c.figures.Again++
				if e := c.checkImage(image.Crash(c.images, keep), h, atLeast); e != nil && err == nil {
					err = fmt.Errorf("power loss during the recovery, after %v, %v left: %w", op, keep, e)
				}
			}
		}
		fs = faulty
	}
	a := c.on(fs)
	l, e := a.OpenLog(context.Background())
	if e != nil {
		return errors.Join(err, e)
	}
	got, e := load(l)
	if e == nil {
		e = h.check(got, atLeast)
	}
	if e != nil || err != nil {
		return errors.Join(err, e, l.Close())
	}
	n := int(got.info.Last)
	h = &history{all: append(h.all[:n], []byte("new")), ends: maps.Clone(h.ends)}
	h.ends[n+1] = true
	return errors.Join(c.goOn(a, l, image, h), err)
}

// goOn appends to a recovered log: what was loaded is as durable then as what is new.
func (c *crasher) goOn(a store.Adapter, l store.Log, image *vfs.Memory, h *history) error {
	n := len(h.all) - 1
	err := l.Append(context.Background(), store.Position(n), h.all[n:])
	if err == nil {
		err = l.Sync(context.Background())
	}
	if err == nil {
		err = c.checkImage(image.Crash(c.images, 0), h, n+1)
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return fmt.Errorf("going on: %w", err)
	}
	c.figures.Images++
	if l, err = a.OpenLog(context.Background()); err != nil {
		return fmt.Errorf("reopened: %w", err)
	}
	if !l.Info().Recovery.Clean {
		err = errors.New("reopened: is not clean")
	}
	return errors.Join(err, l.Close())
}

// checkImage opens a log, looks, and closes it.
func (c *crasher) checkImage(image *vfs.Memory, h *history, atLeast int) error {
	l, err := c.on(image).OpenLog(context.Background())
	if err != nil {
		return err
	}
	got, err := load(l)
	if err == nil {
		err = h.check(got, atLeast)
	}
	return errors.Join(err, l.Close())
}

func (c *crasher) run(steps int) (err error) {
	if err = c.open(); err != nil {
		return err
	}
	for range steps {
		if err = c.step(); err != nil || c.err != nil {
			return err
		}
	}
	return c.close()
}

func (c *crasher) open() (err error) {
	if c.l, err = c.on(c.fs).OpenLog(context.Background()); err != nil {
		return err
	}
	got, err := load(c.l)
	if err != nil {
		return err
	}
	if err = c.h.check(got, c.acked); err != nil {
		return err
	}
	c.acked = int(got.info.Last)
	c.h.cut(c.acked)
	return nil
}

func (c *crasher) step() (err error) {
	ctx := context.Background()
	switch n := c.r.IntN(20); {
	case n < 11:
		entries := randomGroup(c.r)
		c.h.add(entries) // an image may have them from now on
		err = c.l.Append(ctx, store.Position(c.acked), entries)
		c.acked = len(c.h.all)
	case n < 15:
		err = c.l.Sync(ctx)
		c.synced = c.acked
	case n < 17:
		from := int(c.l.Info().Snapshot)
		at := store.Position(from + c.r.IntN(c.acked-from+1))
		if c.r.IntN(3) > 0 {
			at = store.Position(c.acked)
		}
		err = c.l.Snapshot(ctx, at, putParts(at))
	case n < 18:
		if err = c.close(); err == nil {
			err = c.open()
		}
	case n == 18: // the power is lost indeed
		c.acked = c.synced
		c.use(c.disk.Crash(c.r, 0.5))
		err = c.open()
	}
	return err
}

// close has to lose nothing, whatever happens after it.
func (c *crasher) close() error {
	if err := c.l.Close(); err != nil {
		return err
	}
	c.synced = c.acked
	image := c.disk.Crash(c.images, 0)
	l, err := c.on(image).OpenLog(context.Background())
	if err != nil {
		return fmt.Errorf("power loss after Close: %w", err)
	}
	if !l.Info().Recovery.Clean {
		err = errors.New("power loss after Close: is not clean")
	}
	err = errors.Join(err, l.Close())
	return errors.Join(err, c.checkImage(c.disk.Crash(c.images, 0), c.h, c.acked))
}

// randomGroup returns entries that are mostly small.
func randomGroup(r *rand.Rand) [][]byte {
	n := 1
	if r.IntN(3) == 0 {
		n += r.IntN(5)
	}
	entries := make([][]byte, n)
	for i := range entries {
		size := r.IntN(200)
		if r.IntN(8) == 0 {
			size = r.IntN(3000)
		}
		entries[i] = Options{}.entry(r, size)
	}
	return entries
}

// crashTogether takes images while one appends, another one syncs and a third one makes
// snapshots.
func crashTogether(on OnFS, r *rand.Rand) (figures Figures, err error) {
	const entries, images = 400, 150
	type image struct {
		disk   *vfs.Memory
		synced int
	}
	var (
		mu     sync.Mutex // protects the two below
		taken  []image
		chance = rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		synced atomic.Int64
	)
	disk := vfs.NewMemory()
	fs := vfs.NewFaulty(disk, nil)
	fs.After = func(op vfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if changes(op) && len(taken) < images && chance.IntN(8) == 0 {
			n := int(synced.Load()) // before the image: what is synced later may be in it or not
			taken = append(taken, image{disk.Crash(chance, []float64{0, 0.5, 0.9}[chance.IntN(3)]), n})
		}
	}
	ctx := context.Background()
	l, err := on(fs).OpenLog(ctx)
	if err != nil {
		return figures, err
	}
	h := newHistory()
	for range entries {
		h.add([][]byte{Options{}.entry(r, r.IntN(100))})
	}
	var wg sync.WaitGroup
	var appended atomic.Int64
	errs := make([]error, 3)
	wg.Go(func() {
		for i := 0; i < entries && errs[0] == nil; i++ {
			errs[0] = l.Append(ctx, store.Position(i), h.all[i:i+1])
			appended.Store(int64(i + 1))
		}
		appended.Store(entries)
	})
	wg.Go(func() {
		for n := int64(0); n < entries && errs[1] == nil; {
			n = appended.Load()
			if errs[1] = l.Sync(ctx); errs[1] == nil {
				synced.Store(n)
			}
		}
	})
	wg.Go(func() {
		for n := int64(0); n < entries && errs[2] == nil; {
			n = appended.Load()
			errs[2] = l.Snapshot(ctx, store.Position(n), putParts(store.Position(n)))
		}
	})
	wg.Wait()
	err = errors.Join(errors.Join(errs...), l.Close())
	c := &crasher{on: on}
	for i := 0; i < len(taken) && err == nil; i++ {
		if err = c.checkImage(taken[i].disk, h, taken[i].synced); err != nil {
			err = fmt.Errorf("power loss while several were at work: %w", err)
		}
	}
	return Figures{Operations: fs.Count(), Images: len(taken)}, err
}
