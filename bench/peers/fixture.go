package peers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
)

// Fixture is an engine with n records, on which the lines run one after the
// other. A line that inserts or deletes takes that back.
type Fixture struct {
	Engine
	N int
	// BytesPerRecord is the memory of the engine, divided by N.
	BytesPerRecord float64

	dir   string
	ids   []string // of all records, in random order
	order []int    // the number of the record that has ids[i]
	next  int      // the next record that is new
	turn  int      // how often the two indexed fields have changed
	value float64  // the last that a line gave to a watched record
}

// Open opens an engine and fills it with n records.
func Open(open func(dir string) (Engine, error), n int) (*Fixture, error) {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	f := &Fixture{N: n, dir: dir, next: n}
	before := heap()
	if f.Engine, err = open(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err = f.fill(before); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fixture) fill(before uint64) error {
	if err := chunks(0, f.N, f.InsertMany); err != nil {
		return err
	}
	used := heap() - before
	if s, ok := f.Engine.(Sizer); ok {
		var err error
		if used, err = s.Bytes(); err != nil {
			return err
		}
	}
	f.BytesPerRecord = float64(used) / float64(f.N)
	f.order = rand.New(rand.NewPCG(1, 2)).Perm(f.N)
	f.ids = make([]string, f.N)
	for i, k := range f.order {
		f.ids[i] = NewRecord(k).ID
	}
	runtime.GC()
	return nil
}

// heap returns the bytes of live memory.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Close closes the engine and removes its files.
func (f *Fixture) Close() error {
	return errors.Join(f.Engine.Close(), os.RemoveAll(f.dir))
}

// fillSecond fills the second table with the same records, once.
func (f *Fixture) fillSecond() error {
	e := f.Engine.(Transferrer)
	if _, ok := e.GetSecond(f.ids[0]); ok {
		return nil
	}
	return chunks(0, f.N, e.InsertSecond)
}

// fresh returns n records that were never inserted.
func (f *Fixture) fresh(n int) []Record {
	f.next += n
	return newRecords(f.next-n, f.next)
}

// removeAll deletes the records again.
func (f *Fixture) removeAll(b *testing.B, rs []Record) {
	for _, r := range rs {
		must(b, f.Delete(r.ID))
	}
}

// must is called in measured loops: Helper costs more than a get, so it comes
// after the question.
func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// parallel runs b.N operations in the given number of goroutines. op gets the
// number of the goroutine and of the operation in it.
func parallel(b *testing.B, goroutines int, op func(g, i int) error) {
	errs := make(chan error, goroutines)
	b.ResetTimer()
	for g := range goroutines {
		n := (b.N + g) / goroutines
		go func() {
			for i := range n {
				if err := op(g, i); err != nil {
					errs <- fmt.Errorf("operation %d: %w", i, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range goroutines {
		must(b, <-errs)
	}
}
