package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/noex-go/store/bench/peers"
)

// once runs the command with each line measured once, and returns its output.
func once(t *testing.T, args ...string) string {
	t.Helper()
	benchtime := flag.Lookup("test.benchtime").Value.String()
	defer func() {
		if err := flag.Set("test.benchtime", benchtime); err != nil {
			t.Error(err)
		}
	}()
	var out bytes.Buffer
	if err := run(append([]string{"-check=false", "-npm=false", "-alone=false", "-benchtime", "1x"}, args...), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Every line runs once on every engine, and has a row with its figures.
func TestTable(t *testing.T) {
	text := once(t, "-n", "100", "-rounds", "1")
	columns := map[bool]int{true: 4, false: len(peers.Peers) - 3} // with a figure, by OnDisk
	for _, l := range peers.Lines {
		for _, r := range l.Rows {
			row := rowOf(text, r.Title)
			if row == nil {
				t.Errorf("no row %q", r.Title)
				continue
			}
			want := columns[l.OnDisk]
			switch {
			case strings.Contains(r.Title, "watcher"):
				want = 3
			case r.Metric == peers.AllocsPerOp || r.Metric == peers.BytesPerOp:
				want-- // SQLite's memory is its own
			}
			if got := figures(row); got != want {
				t.Errorf("row %q has %d figures, want %d: %q", r.Title, got, want, row)
			}
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func rowOf(table, title string) []string {
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 1 && strings.TrimSpace(cells[1]) == title {
			return cells
		}
	}
	return nil
}

// figures counts those in the columns of a row, without the ratios.
func figures(row []string) (n int) {
	for _, text := range row[2 : len(row)-4] {
		if text = strings.TrimSpace(text); text != "" && text != none {
			n++
		}
	}
	return n
}

// The lines on disk are run on engines that are on disk, this store's among them.
func TestVariants(t *testing.T) {
	o, err := parse([]string{"-n", "100"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for i := range peers.Peers {
		p := &peers.Peers[i]
		for _, lines := range o.variants(p, o.passes[0]) {
			for _, l := range lines {
				if l.OnDisk != lines[0].OnDisk || l.KeyOnly != lines[0].KeyOnly {
					t.Errorf("%s: the lines %q and %q share an engine", p.Name, lines[0].Name, l.Name)
				}
			}
		}
	}
}

// A file keeps what is around its markers; one without them is not touched.
func TestMarkers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace := func() {
		t.Helper()
		at, err := placeIn(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := at.write("new\n"); err != nil {
			t.Error(err)
		}
	}
	is := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	replace()
	is(beginMarker + "\nnew\n" + endMarker + "\n")
	write("before\n" + beginMarker + "\nold\nold\n" + endMarker + "\nafter\n")
	replace()
	is("before\n" + beginMarker + "\nnew\n" + endMarker + "\nafter\n")
	for _, text := range []string{"nothing\n", beginMarker + "\n", endMarker + "\n" + beginMarker + "\n"} {
		write(text)
		if _, err := placeIn(file); err == nil {
			t.Errorf("%q was taken", text)
		}
		is(text)
	}
}

// The plots are found from the file, wherever the command runs.
func TestRelative(t *testing.T) {
	for _, c := range []struct{ file, dir, want string }{
		{"../../README.md", "../plots", filepath.Join(filepath.Base(parent(t, 2)), "plots")},
		{"../RESULTS.md", "../plots", "plots"},
		{"out.md", "", ""},
	} {
		if got := relative(c.file, c.dir); got != c.want {
			t.Errorf("%s from %s: %q, want %q", c.dir, c.file, got, c.want)
		}
	}
}

// parent is the directory below the one that is n above the working directory.
func parent(t *testing.T, n int) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range n - 1 {
		dir = filepath.Dir(dir)
	}
	return dir
}

// fullResults have figures for every row, and everything that a plot shows.
func fullResults() *results {
	r := &results{Best: map[string]float64{}, Watched: growth{}, Live: growth{}, Visited: growth{}, Alone: map[string]float64{aloneLines[0].title: 7}}
	for i, n := range []int{1_000, 10_000, 1_000_000} {
		for _, l := range peers.Lines {
			for k, row := range l.Rows {
				for j := range peers.Peers {
					if l.Open(&peers.Peers[j]) != nil {
						r.keep(n, row.Title, peers.Peers[j].Name, float64(1+i+k)*float64(10+j))
					}
				}
			}
		}
		r.Watched.set("ours", n, 1000)
		r.Live.set(liveName(peers.ByKey), n, 1000)
		r.Visited.set(liveName(peers.ByKey), n, 2)
	}
	for _, l := range quotedOriginal {
		r.NPM = append(r.NPM, npmLine{l.Line, l.US * 1000, true, 100, 50})
	}
	return r
}

// The figures survive a file, and table and plots come from it again.
func TestFrom(t *testing.T) {
	dir := t.TempDir()
	json, out, plots := filepath.Join(dir, "figures.json"), filepath.Join(dir, "RESULTS.md"), filepath.Join(dir, "plots")
	if err := fullResults().save(json); err != nil {
		t.Fatal(err)
	}
	text := once(t, "-from", json, "-out", out, "-plots", plots)
	for _, want := range []string{"**1,000,000 records in memory**", "**on disk, 10,000 records**", "| crud: insert ", aloneLines[0].title, npmQuotedTitle, quotedName} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"lines.svg", "growth.svg", "subscriptions.svg", "original.svg"}
	for _, name := range names {
		if !strings.Contains(string(file), "](plots/"+name+")") {
			t.Errorf("no %s in %s", name, file)
		}
		checkXML(t, filepath.Join(plots, name))
	}
	if entries, err := os.ReadDir(plots); err != nil || len(entries) != len(names) {
		t.Errorf("%v %v", entries, err)
	}
}

// checkXML fails for a file that is no whole document, or with a figure in it that is no number.
func checkXML(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	for in := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := in.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
	}
	for _, bad := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("%s has %s in it", file, bad)
		}
	}
}

// A plot of the figures that a short run has leaves out what is not there.
func TestPlotsOfLittle(t *testing.T) {
	if list := plotsOf(&results{}); len(list) > 0 {
		t.Errorf("%d plots of nothing", len(list))
	}
	r := &results{Best: map[string]float64{}}
	r.keep(100, "get by key", peers.Ours, 50)
	dir := t.TempDir()
	if err := writePlots(dir, r); err != nil {
		t.Fatal(err)
	}
	checkXML(t, filepath.Join(dir, "lines.svg"))
}

// The ratios leave out engines without a guarantee, quoted figures, and what was not measured.
func TestRatios(t *testing.T) {
	r := &results{Best: map[string]float64{}}
	row := peers.Row{Title: "insert 1, 4 idx", Needs: "nhd"}
	for engine, v := range map[string]float64{"statedb": 100, "sqlite": 400, peers.Floor: 50, peers.Ours: 200} {
		r.keep(10_000, row.Title, engine, v)
	}
	x := newTable(r).row(row, 10_000)
	want := map[string]string{
		"statedb": "100 d", "sqlite": "400", peers.Floor: "50", peers.Ours: "200", quotedName: "1,324",
		"ours/equal": "0.50", "ours/best": "2.00", "ours/floor": "4.00",
	}
	if !maps.Equal(x.cells, want) {
		t.Errorf("%v, want %v", x.cells, want)
	}
}

// The quoted figures stand in rows that exist.
func TestQuoted(t *testing.T) {
	left := maps.Clone(quoted)
	for _, l := range peers.Lines {
		for _, r := range l.Rows {
			delete(left, r.Title)
		}
	}
	for title := range left {
		t.Errorf("no row %q", title)
	}
	titles := slices.Concat(mainRows, growthRows)
	for _, l := range peers.Lines {
		for _, r := range l.Rows {
			titles = slices.DeleteFunc(titles, func(s string) bool { return s == r.Title })
		}
	}
	if len(titles) > 0 {
		t.Errorf("plots of rows that do not exist: %q", titles)
	}
}

func TestOriginal(t *testing.T) {
	lines, err := parseOriginal([]byte("{\"line\": \"crud/get\", \"us\": 3.4}\n\n{\"line\":\"queries/sum\",\"us\":24.3}\n"))
	want := []originalLine{{"crud/get", 3.4}, {"queries/sum", 24.3}}
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("%v %v, want %v", lines, err, want)
	}
	got := programLines(parseBench([]byte("goos: linux\nBenchmarkCRUD/get/typed-2 \t 10\t 120.5 ns/op\t 0 B/op\nBenchmarkCRUD/get/typed-2 10 110 ns/op\n" +
		"BenchmarkAggregates/sum/dynamic 5 9 ns/op\nBenchmarkOther/get/typed 1 1 ns/op\nPASS\n" +
		"BenchmarkReactive/insert-to-subscriber/typed-2 10 99 ns/op 4 p50-ns 5 p95-ns 6 p99-ns 7 p999-ns\n")))
	wantNS := map[string]float64{
		"crud/get/typed": 110, "queries/sum/dynamic": 9, "reactive/insert-to-subscriber/typed": 99,
		"reactive/insert-to-subscriber-p50/typed": 4, "reactive/insert-to-subscriber-p95/typed": 5, "reactive/insert-to-subscriber-p99/typed": 6,
	}
	if !maps.Equal(got, wantNS) {
		t.Errorf("%v, want %v", got, wantNS)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-n", "99"}, {"-n", "x"}, {"-engines", "none"}, {"-lines", "("}, {"-quick", "-full"}, {"-no"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if err := run([]string{"-from", filepath.Join(t.TempDir(), "none")}, io.Discard, io.Discard); err == nil {
		t.Error("figures from no file")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "-", 3.456: "3.46", 99: "99", 100: "100", 1234.4: "1,234", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{1: "1 ns", 1e3: "1 µs", 1e4: "10 µs", 1e6: "1 ms", 1e9: "1 s"} {
		if got := duration(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

// The lines of this store alone are benchmarks that exist and report the unit. A package that is not there
// has no lines.
func TestAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the benchmarks of the module above")
	}
	b, err := newBinaries()
	if err != nil {
		t.Fatal(err)
	}
	defer b.remove()
	o := options{benchtime: "1x", short: true}
	anySize := func(name string) string { return regexp.MustCompile(`\d+`).ReplaceAllString(name, "N") }
	units := map[string]map[string]map[string]float64{} // by package and name, whatever the number of records: -short has the least only
	for _, l := range aloneLines {
		pkg, bench, _ := strings.Cut(l.bench, ".")
		if units[pkg] == nil {
			figures, err := b.run(pkg, ".", 1, o)
			if err != nil {
				t.Fatal(err)
			}
			units[pkg] = map[string]map[string]float64{}
			for name, of := range figures {
				units[pkg][anySize(name)] = of
			}
		}
		if b.built[pkg] == "" {
			continue
		}
		if units[pkg][anySize(bench)][l.unit] == 0 {
			t.Errorf("no %s of %s in package %s", l.unit, bench, pkg)
		}
	}
	if figures, err := b.run("none", ".", 1, o); err != nil || len(figures) > 0 {
		t.Errorf("a package that is not there: %v %v", figures, err)
	}
	if figures, err := b.run("bench", exactly("LiveLatency"), 1, o); err != nil || len(figures) != 1 {
		t.Errorf("one benchmark, exactly: %v %v", figures, err)
	}
}
