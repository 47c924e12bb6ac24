package peers

import (
	"testing"
	"time"
)

func lineGet(b *testing.B, f *Fixture) {
	i := 0
	for b.Loop() {
		if _, ok := f.Get(f.ids[i]); !ok {
			b.Fatal("missing")
		}
		if i++; i == f.N {
			i = 0
		}
	}
}

func lineGetParallel(b *testing.B, f *Fixture) {
	parallel(b, 2, func(g, i int) error {
		if _, ok := f.Get(f.ids[(g*f.N/2+i)%f.N]); !ok {
			return ErrMissing
		}
		return nil
	})
}

// lineGetBesideWriter times each get, while a goroutine updates without pause.
// The two calls of the clock are in the figures.
func lineGetBesideWriter(b *testing.B, f *Fixture) {
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := f.UpdateValue(f.ids[i%f.N], float64(i)); err != nil {
				done <- err
				return
			}
		}
	}()
	var lat latencies
	i := 0
	for b.Loop() {
		start := time.Now()
		f.Get(f.ids[i])
		lat.add(time.Since(start))
		if i += 7; i >= f.N {
			i -= f.N
		}
	}
	close(stop)
	must(b, <-done)
	lat.report(b)
}

func lineIterate(b *testing.B, f *Fixture) {
	e, sum, records := f.Engine.(Indexed), 0.0, 0
	for b.Loop() {
		must(b, e.EachByRole(Roles[1], func(r *Record) bool {
			sum += r.Value
			records++
			return true
		}))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), nsPerRecord)
}

func lineFirstTen(b *testing.B, f *Fixture) {
	e, sum := f.Engine.(Indexed), 0.0
	for b.Loop() {
		left := 10
		must(b, e.EachByRole(Roles[1], func(r *Record) bool {
			sum += r.Value
			left--
			return left > 0
		}))
		if left > 0 {
			b.Fatal("too few")
		}
	}
}

func lineRange(b *testing.B, f *Fixture) {
	e, from, sum := f.Engine.(Ranger), 0, 0.0
	for b.Loop() {
		n := 0
		must(b, e.RangeByAge(from, 100, func(r *Record) bool {
			sum += r.Value
			n++
			return true
		}))
		if n == 0 {
			b.Fatal("none")
		}
		from = (from + 7) % 90
	}
}

func lineCount(b *testing.B, f *Fixture) {
	e := f.Engine.(Indexed)
	for b.Loop() {
		if n, err := e.CountByRole(Roles[1]); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}

// lineMemory reports what was measured when the records were loaded.
func lineMemory(b *testing.B, f *Fixture) {
	for b.Loop() {
	}
	b.ReportMetric(f.BytesPerRecord, bytesEach)
}
