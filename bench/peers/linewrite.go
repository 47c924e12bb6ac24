package peers

import (
	"sync/atomic"
	"testing"
)

// batch is how many records a line inserts or deletes before it takes that back,
// with the clock stopped: the number of records stays near that of the fixture.
//
// A line does as many before the clock starts: the first small transactions after
// a load pay for what that left behind in caches and allocators.
const batch = 1000

func lineInsert(b *testing.B, f *Fixture) {
	rs, i := f.fresh(batch), batch
	for _, r := range rs {
		must(b, f.Insert(r))
	}
	for b.Loop() {
		if i == len(rs) {
			b.StopTimer()
			f.removeAll(b, rs)
			rs, i = f.fresh(batch), 0
			b.StartTimer()
		}
		must(b, f.Insert(rs[i]))
		i++
	}
	f.removeAll(b, rs[:i])
}

// lineInsertOnly does not take the records back: on disk that would take longer
// than the measurement.
func lineInsertOnly(b *testing.B, f *Fixture) {
	var rs []Record
	for b.Loop() {
		if len(rs) == 0 {
			b.StopTimer()
			rs = f.fresh(batch)
			b.StartTimer()
		}
		must(b, f.Insert(rs[0]))
		rs = rs[1:]
	}
}

// lineInsertTogether is the time of one of the inserts that 64 goroutines make,
// each waiting for its own to be durable.
func lineInsertTogether(b *testing.B, f *Fixture) {
	insert := f.Insert
	if e, ok := f.Engine.(Batcher); ok {
		insert = e.InsertBatched
	}
	rs := f.fresh(b.N)
	var next atomic.Int64
	b.ResetTimer()
	errs := make(chan error, 64)
	for range cap(errs) {
		go func() {
			var err error
			for i := next.Add(1); i <= int64(len(rs)) && err == nil; i = next.Add(1) {
				err = insert(rs[i-1])
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		must(b, <-errs)
	}
}

func lineBulk(b *testing.B, f *Fixture) {
	bulk(b, f, func(rs []Record) { f.removeAll(b, rs) })
}

func lineBulkOnly(b *testing.B, f *Fixture) {
	bulk(b, f, func([]Record) {})
}

func bulk(b *testing.B, f *Fixture, after func([]Record)) {
	var rs []Record
	for b.Loop() {
		b.StopTimer()
		after(rs)
		rs = f.fresh(batch)
		b.StartTimer()
		must(b, f.InsertMany(rs))
	}
	perRecord := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / batch
	after(rs)
	b.ReportMetric(perRecord, nsPerRecord)
}

func lineUpdateValue(b *testing.B, f *Fixture) {
	i := 0
	update := func() {
		must(b, f.UpdateValue(f.ids[i%f.N], float64(i)))
		i++
	}
	for range batch {
		update()
	}
	for b.Loop() {
		update()
	}
}

// lineUpdateIndexed gives each record another role and another age at each turn.
func lineUpdateIndexed(b *testing.B, f *Fixture) {
	e, i := f.Engine.(Indexed), 0
	update := func() {
		if i%f.N == 0 {
			f.turn++
		}
		k := f.order[i%f.N]
		must(b, e.UpdateIndexed(f.ids[i%f.N], roleOf(k+f.turn), ageOf(k+7*f.turn)))
		i++
	}
	for range batch {
		update()
	}
	for b.Loop() {
		update()
	}
}

func lineDelete(b *testing.B, f *Fixture) {
	size := min(batch, f.N)
	lo, gone := 0, 0 // ids[lo:lo+gone] are deleted
	back := func() {
		for _, k := range f.order[lo : lo+gone] {
			must(b, f.Insert(NewRecord(k)))
		}
	}
	remove := func() {
		must(b, f.Delete(f.ids[lo+gone]))
		gone++
	}
	for range size {
		remove()
	}
	for b.Loop() {
		if gone == size {
			b.StopTimer()
			back()
			if lo, gone = lo+size, 0; lo+size > f.N {
				lo = 0
			}
			b.StartTimer()
		}
		remove()
	}
	back()
}

func lineTransfer(b *testing.B, f *Fixture, goroutines int) {
	must(b, f.fillSecond())
	e := f.Engine.(Transferrer)
	parallel(b, goroutines, func(g, i int) error {
		from := g*f.N/goroutines + i
		return e.Transfer(f.ids[from%f.N], f.ids[(from*7+1)%f.N], 1)
	})
}
