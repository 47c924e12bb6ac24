package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// originalLine is a line of the output of bench/original.
type originalLine struct {
	Line string  `json:"line"`
	US   float64 `json:"us"`
}

// printOriginal prints the figures of the npm original beside those of the same
// programs on this store, which it runs.
func printOriginal(out io.Writer, o options) error {
	text, err := os.ReadFile(o.original)
	if err != nil {
		return err
	}
	lines, err := parseOriginal(text)
	if err != nil {
		return fmt.Errorf("%s: %w", o.original, err)
	}
	bench := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark(CRUD|Queries|Aggregates)$",
		"-benchtime", o.benchtime, "-count", strconv.Itoa(o.rounds), "github.com/noex-go/store/bench")
	bench.Stderr = os.Stderr
	result, err := bench.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", bench, err, result)
	}
	ours := parseBench(result)
	rows := [][]string{{"µs", "original", "dynamic", "typed", "dynamic/original", "typed/original"}}
	for _, l := range lines {
		dynamic, typed := ours[l.Line+"/dynamic"]/1000, ours[l.Line+"/typed"]/1000
		rows = append(rows, []string{
			l.Line, number(l.US), number(dynamic), number(typed), ratio(dynamic, l.US), ratio(typed, l.US),
		})
	}
	printTable(out, rows)
	return nil
}

func parseOriginal(text []byte) (lines []originalLine, err error) {
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var l originalLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

var benchLine = regexp.MustCompile(`(?m)^Benchmark(CRUD|Queries|Aggregates)/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op`)

// parseBench returns the best ns per operation of each benchmark, under the
// names of the original's lines: crud/insert/typed.
func parseBench(text []byte) map[string]float64 {
	programs := map[string]string{"CRUD": "crud/", "Queries": "queries/", "Aggregates": "queries/"}
	best := map[string]float64{}
	for _, f := range benchLine.FindAllSubmatch(text, -1) {
		name := programs[string(f[1])] + string(f[2])
		v, err := strconv.ParseFloat(string(f[3]), 64)
		if old, ok := best[name]; err == nil && (!ok || v < old) {
			best[name] = v
		}
	}
	return best
}
