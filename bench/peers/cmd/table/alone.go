package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// aloneLine is a line that no other store has: a benchmark of this one's packages, and a unit that it reports.
type aloneLine struct {
	title string
	bench string // a package, and the benchmark in it
	unit  string
}

// aloneLines are all of them. What -short leaves out, or a package that is not there, has no line.
var aloneLines = []aloneLine{
	{"insert by 8 goroutines into one bucket", "bench.InsertParallel/goroutines=8/buckets=1", "ns/op"},
	{"insert by 64 goroutines into one bucket", "bench.InsertParallel/goroutines=64/buckets=1", "ns/op"},
	{"page of 20 from the middle, in the order of insertion", "bench.Page/n=10000/insertion", "ns/op"},
	{"page of 20 from the middle, by an equality", "bench.Page/n=10000/equality", "ns/op"},
	{"page of 20 from the middle, in the order of an index", "bench.Page/n=10000/index", "ns/op"},
	{"range filter without an index, per record", "bench.Unindexed/n=10000/range", "ns/record"},
	{"Contains without an index, per record", "bench.Unindexed/n=10000/contains", "ns/record"},
	{"greatest 10 without an index, per record", "bench.Top10/n=10000", "ns/record"},
	{"two indexes intersected", "bench.Intersection/n=10000", "ns/op"},
	{"sum by groups, per record", "bench.GroupBy/n=10000/sum", "ns/record"},

	{"transaction of two reads", "bench.ReadOnlyTransaction", "ns/op"},
	{"transaction of 10,000 inserts and look-ups, per record", "bench.BulkTransaction", "ns/record"},
	{"the check of 100 keys against 100 commits", "bench.Certify/n=100000/100keys/commits=100", "commit-ns/op"},

	{"write to the callback of a live query, p50", "bench.LiveLatency", "p50-ns"},
	{"write to the callback of a live query, p99", "bench.LiveLatency", "p99-ns"},
	{"write with 100 live queries, one evaluated", "bench.LiveEqualities/records=100/live", "ns/op"},
	{"write with 10,000 live queries, one evaluated", "bench.LiveEqualities/records=10000/live", "ns/op"},
	{"write with 100,000 live queries, one evaluated", "bench.LiveEqualities/records=100000/live", "ns/op"},
	{"write with 10,000 live queries of intervals, one evaluated", "bench.LiveRanges/records=10000/live", "ns/op"},
	{"write and its delta, a live list of 100,000 in order", "bench.ListWrite/all", "ns/op"},
	{"write and its delta, a live top ten of 100,000", "bench.ListWrite/top-10/inside", "ns/op"},
	{"insert and its delta at 10 live lists of all records", "bench.ListReactive/insert-and-settle-10/typed", "ns/op"},
	{"bytes of a live query and its subscription", "bench.LiveEqualities/records=10000/live", "B/subscription"},
	{"commit with 10,000 subscribers, a tenth stalled, p50", "bench.LiveFanOut/subs=10000", "p50-ns"},
	{"until the last of 10,000 subscribers is called, each", "bench.LiveDelivery/subs=10000", "ns/subscriber"},

	{"insert with a log, OS", "bench.Durability/os/writers=1", "ns/op"},
	{"insert with a log, Interval", "bench.Durability/interval/writers=1", "ns/op"},
	{"insert with a log, Sync", "bench.Durability/sync/writers=1", "ns/op"},
	{"insert with a log, Sync, 64 goroutines", "bench.Durability/sync/writers=64", "ns/op"},
	{"open 10,000 records from a snapshot, per record", "bench.Recovery/snapshot/n=10000", "ns/record"},
	{"open 1,000,000 records from a snapshot, per record", "bench.Recovery/snapshot/n=1000000", "ns/record"},
	{"open 1,000,000 records from the log, per record", "bench.Recovery/log/n=1000000", "ns/record"},
	{"the same after a kill, per record", "bench.Recovery/killed/n=1000000", "ns/record"},
	{"bytes of a snapshot, per record", "bench.Recovery/snapshot/n=10000", "B/record"},
	{"backup, per record", "bench.Backup/n=10000", "ns/record"},

	{"insert with a deadline", "bench.TTLWrite/insert/with", "ns/op"},
	{"expiry of 100,000 records, per record", "bench.Purge/100000", "ns/record"},
	{"insert that evicts the oldest of 1,000", "bench.Evict/1000/oldest_created", "ns/op"},
	{"insert that evicts the least read of 1,000", "bench.Evict/1000/least_read", "ns/op"},
	{"insert that evicts the least read of 1,000,000", "bench.Evict/1000000/least_read", "ns/op"},

	{"write with a receiver behind the bridge", "bridge.Write/bridge-data", "ns/op"},
	{"write with a receiver behind the bridge that hangs", "bridge.Write/bridge-hanging", "ns/op"},

	{"one collection with 1,000,000 records, ms", "bench.Memory/n=1000000", "gc-ms"},
}

// alone measures the lines of this store alone.
func (m *measurement) alone() error {
	if !m.o.alone {
		return nil
	}
	b, err := newBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	m.res.Alone = map[string]float64{}
	ran := map[string]benchFigures{}
	for _, l := range aloneLines {
		pkg, bench, _ := strings.Cut(l.bench, ".")
		if ran[l.bench] == nil {
			fmt.Fprintf(m.progress, "%s\n", l.bench)
			if ran[l.bench], err = b.run(pkg, exactly(bench), m.o.aloneRounds, m.o); err != nil {
				return err
			}
		}
		if v := ran[l.bench][bench][l.unit]; v > 0 {
			m.res.Alone[l.title] = v
		}
	}
	return nil
}

// exactly is a pattern for one benchmark and no other.
func exactly(bench string) string {
	parts := strings.Split(bench, "/")
	parts[0] = "Benchmark" + parts[0]
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// binaries are test binaries of this store's packages, built once.
type binaries struct {
	root, dir string
	built     map[string]string // "" for a package that is not there
}

func newBinaries() (*binaries, error) {
	const module = "github.com/noex-go/store"
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("where is %s? %w", module, err)
	}
	dir, err := os.MkdirTemp("", "table")
	return &binaries{strings.TrimSpace(string(root)), dir, map[string]string{}}, err
}

func (b *binaries) remove() { _ = os.RemoveAll(b.dir) } // of the temporary files

func (b *binaries) of(pkg string) (string, error) {
	if file, ok := b.built[pkg]; ok {
		return file, nil
	}
	if _, err := os.Stat(filepath.Join(b.root, pkg)); errors.Is(err, fs.ErrNotExist) {
		b.built[pkg] = ""
		return "", nil
	}
	file := filepath.Join(b.dir, pkg+".test")
	build := exec.Command("go", "test", "-c", "-o", file, "./"+pkg)
	build.Dir = b.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	b.built[pkg] = file
	return file, nil
}

// run runs the benchmarks that match.
func (b *binaries) run(pkg, pattern string, rounds int, o options) (benchFigures, error) {
	file, err := b.of(pkg)
	if file == "" || err != nil {
		return benchFigures{}, err
	}
	bench := exec.Command(file, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", o.benchtime,
		"-test.count", strconv.Itoa(rounds), "-test.short="+strconv.FormatBool(o.short))
	bench.Dir, bench.Stderr = filepath.Join(b.root, pkg), os.Stderr
	out, err := bench.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", pattern, err, out)
	}
	return parseBench(out), nil
}

// benchFigures are the best figures of benchmarks, by name and unit.
type benchFigures map[string]map[string]float64

// processors is what the testing package appends to a name.
var processors = regexp.MustCompile(`-\d+$`)

func parseBench(text []byte) benchFigures {
	best := benchFigures{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		name, ok := strings.CutPrefix(line, "Benchmark")
		if !ok || len(fields) < 4 {
			continue
		}
		name = processors.ReplaceAllString(strings.Fields(name)[0], "")
		if best[name] == nil {
			best[name] = map[string]float64{}
		}
		for i := 2; i+1 < len(fields); i += 2 { // behind the name and how often: a figure and its unit, again and again
			v, err := strconv.ParseFloat(fields[i], 64)
			if old, ok := best[name][fields[i+1]]; err == nil && (!ok || v < old) {
				best[name][fields[i+1]] = v
			}
		}
	}
	return best
}
