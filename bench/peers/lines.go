package peers

import "testing"

// Line is one measurement. Its rows are the metrics that it reports.
type Line struct {
	Name string // in the names of benchmarks
	// KeyOnly lines run on an engine with no index but the key.
	KeyOnly bool
	// OnDisk lines run on engines that are on disk, at the smaller size.
	OnDisk bool
	Rows   []Row
	Run    func(b *testing.B, f *Fixture)
	// needs is what the engine must be able to do beyond [Engine].
	needs func(e Engine) bool
}

// Row is a row of the table.
type Row struct {
	Title  string
	Metric string // a unit of the benchmark's result
	// Needs are the letters of the footnotes that count for this row: a peer that
	// lacks one of them is no equal.
	Needs string
}

// Can tells whether the engine has what the line needs.
func (l *Line) Can(e Engine) bool { return l.needs == nil || l.needs(e) }

// Open returns the peer's variant for the line, nil if it takes no part.
func (l *Line) Open(p *Peer) func(dir string) (Engine, error) {
	switch {
	case l.OnDisk && p.Durable != nil:
		return p.Durable
	case l.OnDisk != p.OnDisk:
		return nil
	case l.KeyOnly:
		return p.KeyOnly
	}
	return p.Indexed
}

// Metrics of the lines.
const (
	nsPerOp     = "ns/op"
	nsPerRecord = "ns/record"
	bytesEach   = "B/record"
	BytesPerOp  = "B/op"      // allocated on the heap of Go
	AllocsPerOp = "allocs/op" // on the heap of Go

	VisitedPerOp = "visited/op" // entries that the index of live queries leads a change to
)

// What a row needs, as letters of the footnotes.
const (
	reading = "n"           // what is read was committed
	prompt  = reading + "w" // and a read does not wait for a writer
	ordered = reading + "o" // in an order that stays
	stable  = ordered + "r" // one state from beginning to end, which holds nobody up
	writing = reading + "h" // a write happens entirely or not at all
	unique  = writing + "d" // and no email occurs twice
	durable = writing + "s" // what is acknowledged is on disk
)

// Lines are all lines. Those that read come first: they find the records as
// they were loaded.
var Lines = []Line{
	line("get", lineGet, rows("get by key", nsPerOp, reading)),
	line("get-2-goroutines", lineGetParallel, rows("get, 2 goroutines", nsPerOp, reading)),
	indexed("iterate-third", lineIterate, rows("iterate a third by index, per record", nsPerRecord, stable)),
	indexed("first-10", lineFirstTen, rows("first 10 of it", nsPerOp, ordered)),
	{
		Name: "range-100", Run: lineRange, Rows: rows("range on age, first 100 in order", nsPerOp, reading),
		needs: func(e Engine) bool { _, ok := e.(Ranger); return ok },
	},
	indexed("count-by-index", lineCount, rows("count by index", nsPerOp, reading)),
	line("memory", lineMemory, rows("bytes per record, 4 idx", bytesEach, reading)),
	line("get-beside-writer", lineGetBesideWriter, []Row{
		{"get beside a writer, p50", "p50-ns", prompt},
		{"get beside a writer, p99", "p99-ns", prompt},
		{"get beside a writer, p999", "p999-ns", prompt},
	}),
	line("insert", lineInsert, []Row{
		{"insert 1, 4 idx", nsPerOp, unique},
		{"bytes of an insert, 4 idx", BytesPerOp, unique},
		{"allocations of an insert, 4 idx", AllocsPerOp, unique},
	}),
	line("bulk-1000", lineBulk, rows("bulk 1,000, 4 idx, per record", nsPerRecord, unique)),
	line("update-unindexed", lineUpdateValue, rows("update 1 (unindexed field), 4 idx", nsPerOp, writing)),
	indexed("update-two-indexed", lineUpdateIndexed, rows("update 1 (two indexed fields), 4 idx", nsPerOp, writing)),
	line("delete", lineDelete, rows("delete 1, 4 idx", nsPerOp, writing)),

	keyOnly("memory-key-only", lineMemory, rows("bytes per record, key only", bytesEach, reading)),
	keyOnly("insert-key-only", lineInsert, rows("insert 1, key only", nsPerOp, writing)),
	transfer("transfer", 1, rows("transfer between two tables, 1 goroutine", nsPerOp, writing)),
	transfer("transfer-8-goroutines", 8, rows("the same, 8 goroutines", nsPerOp, writing)),
	watched("watch-latency", lineWatchLatency, []Row{
		{"update to watcher woken, p50", "p50-ns", reading},
		{"update to watcher woken, p99", "p99-ns", reading},
	}),
	watched("watch", func(b *testing.B, f *Fixture) { lineWatch(b, f, f.N) },
		rows("update to its watcher, all keys watched", nsPerOp, reading)),

	onDisk("durable-insert", lineInsertOnly, rows("insert 1, key only, on disk", nsPerOp, durable)),
	onDisk("durable-insert-64", lineInsertTogether, rows("the same, 64 goroutines", nsPerOp, durable)),
	onDisk("durable-bulk-1000", lineBulkOnly, rows("bulk 1,000, key only, on disk, per record", nsPerRecord, durable)),
}

func rows(title, metric, needs string) []Row { return []Row{{title, metric, needs}} }

func line(name string, run func(*testing.B, *Fixture), rows []Row) Line {
	return Line{Name: name, Run: run, Rows: rows}
}

func indexed(name string, run func(*testing.B, *Fixture), rows []Row) Line {
	l := line(name, run, rows)
	l.needs = func(e Engine) bool { _, ok := e.(Indexed); return ok }
	return l
}

func keyOnly(name string, run func(*testing.B, *Fixture), rows []Row) Line {
	l := line(name, run, rows)
	l.KeyOnly = true
	return l
}

func watched(name string, run func(*testing.B, *Fixture), rows []Row) Line {
	l := keyOnly(name, run, rows)
	l.needs = func(e Engine) bool { _, ok := e.(Watcher); return ok }
	return l
}

func onDisk(name string, run func(*testing.B, *Fixture), rows []Row) Line {
	l := keyOnly(name, run, rows)
	l.OnDisk = true
	return l
}

func transfer(name string, goroutines int, rows []Row) Line {
	l := keyOnly(name, func(b *testing.B, f *Fixture) { lineTransfer(b, f, goroutines) }, rows)
	l.needs = func(e Engine) bool { _, ok := e.(Transferrer); return ok }
	return l
}
