package peers

import (
	"fmt"
	"testing"
	"time"
)

// WatchLine is a line with so many of the records watched.
func WatchLine(watchers int) Line {
	return watched(fmt.Sprintf("watch-%d", watchers), func(b *testing.B, f *Fixture) { lineWatch(b, f, watchers) },
		rows(fmt.Sprintf("update to its watcher, %d keys watched", watchers), nsPerOp, reading))
}

// LiveLine is the same with live queries of the store, which find the record in different ways.
func LiveLine(by LiveQuery, watchers int) Line {
	l := line(fmt.Sprintf("live-%s-%d", by, watchers), func(b *testing.B, f *Fixture) { lineLive(b, f, by, watchers) },
		[]Row{{Title: "update to its live query", Metric: nsPerOp}, {Title: "entries visited", Metric: VisitedPerOp}})
	l.needs = func(e Engine) bool { _, ok := e.(*ours); return ok }
	return l
}

func lineWatch(b *testing.B, f *Fixture, watchers int) {
	watch(b, f, watchers, func(i int) (Watch, error) { return f.Engine.(Watcher).Watch(f.ids[i]) })
}

func lineLive(b *testing.B, f *Fixture, by LiveQuery, watchers int) {
	o := f.Engine.(*ours)
	before := o.store.Stats().Queries
	watch(b, f, watchers, func(i int) (Watch, error) { return o.watchBy(by, NewRecord(f.order[i])) })
	after := o.store.Stats().Queries
	b.ReportMetric(float64(after.Visited-before.Visited)/float64(after.Changes-before.Changes), VisitedPerOp)
}

// watch updates the watched records in turn. An operation is over when the watch of the record has
// returned its new value, and waits for the next one. open watches f.ids[i].
func watch(b *testing.B, f *Fixture, watchers int, open func(i int) (Watch, error)) {
	watches := make([]Watch, min(watchers, f.N))
	for i := range watches {
		var err error
		watches[i], err = open(i)
		must(b, err)
	}
	value, i := f.nextValue(), 0
	for b.Loop() {
		value++
		must(b, f.UpdateValue(f.ids[i], value))
		if r, err := watches[i].Next(); err != nil || r.Value != value {
			b.Fatal(r, err)
		}
		if i++; i == len(watches) {
			i = 0
		}
	}
	f.value = value
	for _, w := range watches {
		w.Stop()
	}
}

// lineWatchLatency is the time from before an update until a goroutine that waits
// for a change of the record runs with its new value.
func lineWatchLatency(b *testing.B, f *Fixture) {
	w, err := f.Engine.(Watcher).Watch(f.ids[0])
	must(b, err)
	value := f.nextValue()
	type woken struct {
		at  time.Time
		err error
	}
	seen := make(chan woken)
	stop := value - 1 // no value of an update
	go func() {
		for {
			r, err := w.Next()
			if seen <- (woken{time.Now(), err}); err != nil || r.Value == stop {
				return
			}
		}
	}()
	var lat latencies
	for b.Loop() {
		value++
		begin := time.Now()
		must(b, f.UpdateValue(f.ids[0], value))
		last := <-seen
		must(b, last.err)
		lat.add(last.at.Sub(begin))
	}
	f.value = value
	must(b, f.UpdateValue(f.ids[0], stop))
	must(b, (<-seen).err)
	w.Stop()
	lat.report(b)
}

// nextValue returns a value above those of all records and of the updates by watch lines.
func (f *Fixture) nextValue() float64 {
	f.value = max(f.value, 1e12) + 1
	return f.value
}
