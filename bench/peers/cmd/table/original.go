package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// originalLine is a line of the output of bench/original.
type originalLine struct {
	Line string  `json:"line"`
	US   float64 `json:"us"`
}

// original runs the original's programs on this store and puts them beside its own figures:
// those of a file that bench/original made on this machine, else the quoted ones.
func (m *measurement) original() error {
	if !m.o.npm {
		return nil
	}
	lines, isQuoted := quotedOriginal, true
	if m.o.npmFile != "" {
		text, err := os.ReadFile(m.o.npmFile)
		if err != nil {
			return err
		}
		measured, err := parseOriginal(text)
		if err != nil {
			return fmt.Errorf("%s: %w", m.o.npmFile, err)
		}
		if len(measured) > 0 { // else it was skipped there
			lines, isQuoted = measured, false
		}
	}
	fmt.Fprintln(m.progress, "the programs of the original")
	ours, err := m.programs()
	if err != nil {
		return err
	}
	for _, l := range lines {
		m.res.NPM = append(m.res.NPM, npmLine{
			Line: l.Line, Original: l.US * 1000, Quoted: isQuoted,
			Dynamic: ours[l.Line+"/dynamic"], Typed: ours[l.Line+"/typed"],
		})
	}
	return nil
}

// programs runs the benchmarks of package bench that are the original's programs.
func (m *measurement) programs() (map[string]float64, error) {
	const module = "github.com/noex-go/store"
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("where is %s? %w", module, err)
	}
	bench := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark(CRUD|Queries|Aggregates|Reactive)$",
		"-benchtime", m.o.benchtime, "-count", strconv.Itoa(m.o.npmRounds), "./bench")
	bench.Dir, bench.Stderr = strings.TrimSpace(string(dir)), os.Stderr
	out, err := bench.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", bench, err, out)
	}
	return parseBench(out), nil
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

// parseBench returns the best ns of each benchmark under the names of the original's lines:
// crud/insert/typed, reactive/insert-to-subscriber-p50/typed.
func parseBench(text []byte) map[string]float64 {
	best := map[string]float64{}
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		fields := strings.Fields(in.Text())
		if len(fields) < 4 {
			continue
		}
		program, line, handle := benchName(fields[0])
		if program == "" {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 { // behind the name and how often: a figure and its unit, again and again
			v, err := strconv.ParseFloat(fields[i], 64)
			name := program + line
			switch unit := fields[i+1]; {
			case err != nil:
				continue
			case unit == "p50-ns" || unit == "p95-ns" || unit == "p99-ns":
				name += "-" + strings.TrimSuffix(unit, "-ns")
			case unit != "ns/op":
				continue
			}
			name += "/" + handle
			if old, ok := best[name]; !ok || v < old {
				best[name] = v
			}
		}
	}
	return best
}

// benchName takes BenchmarkCRUD/get/typed-2 apart: crud/, get, typed. program is "" for others.
func benchName(name string) (program, line, handle string) {
	parts := strings.Split(strings.TrimPrefix(name, "Benchmark"), "/")
	if len(parts) != 3 {
		return "", "", ""
	}
	programs := map[string]string{"CRUD": "crud/", "Queries": "queries/", "Aggregates": "queries/", "Reactive": "reactive/"}
	handle, _, _ = strings.Cut(parts[2], "-") // -2: two processors
	return programs[parts[0]], parts[1], handle
}
