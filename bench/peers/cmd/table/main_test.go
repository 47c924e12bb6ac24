package main

import (
	"bytes"
	"flag"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/noex-go/store/bench/peers"
)

// Every line runs once on every engine, and has a row with its figures.
func TestTable(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime").Value.String()
	defer func() {
		if err := flag.Set("test.benchtime", benchtime); err != nil {
			t.Error(err)
		}
	}()
	var out bytes.Buffer
	args := []string{"-n", "100", "-rounds", "1", "-benchtime", "1x"}
	if err := run(args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	columns := map[bool]int{} // of figures, by OnDisk
	for _, p := range peers.Peers {
		columns[p.OnDisk]++
	}
	for _, l := range peers.Lines {
		for _, r := range l.Rows {
			row := rowOf(out.String(), r.Title)
			if row == nil {
				t.Errorf("no row %q", r.Title)
				continue
			}
			figures := 0
			for _, text := range row {
				if text = strings.TrimSpace(text); text != "" && text != none {
					figures++
				}
			}
			if figures < columns[l.OnDisk] { // the title is one, ours may have none
				t.Errorf("row %q has gaps: %q", r.Title, row)
			}
		}
	}
	if t.Failed() {
		t.Log(out.String())
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
}

func TestOriginal(t *testing.T) {
	lines, err := parseOriginal([]byte("{\"line\": \"crud/get\", \"us\": 3.4}\n\n{\"line\":\"queries/sum\",\"us\":24.3}\n"))
	want := []originalLine{{"crud/get", 3.4}, {"queries/sum", 24.3}}
	if err != nil || len(lines) != 2 || lines[0] != want[0] || lines[1] != want[1] {
		t.Errorf("%v %v, want %v", lines, err, want)
	}
	got := parseBench([]byte("BenchmarkCRUD/get/typed-2 \t 10\t 120.5 ns/op\t 0 B/op\nBenchmarkCRUD/get/typed-2 10 110 ns/op\n" +
		"BenchmarkAggregates/sum/dynamic 5 9 ns/op\nBenchmarkOther/get 1 1 ns/op\n"))
	if !maps.Equal(got, map[string]float64{"crud/get/typed": 110, "queries/sum/dynamic": 9}) {
		t.Errorf("%v", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "-", 3.456: "3.46", 99: "99", 100: "100", 1234.4: "1,234", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
