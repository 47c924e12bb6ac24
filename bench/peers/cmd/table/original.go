package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
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
	b, err := newBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	figures, err := b.run("bench", "^Benchmark(CRUD|Queries|Aggregates|Reactive)$", m.o.npmRounds, m.o)
	if err != nil {
		return err
	}
	ours := programLines(figures)
	for _, l := range lines {
		m.res.NPM = append(m.res.NPM, npmLine{
			Line: l.Line, Original: l.US * 1000, Quoted: isQuoted,
			Dynamic: ours[l.Line+"/dynamic"], Typed: ours[l.Line+"/typed"],
		})
	}
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

// programLines are the figures of this store's benchmarks under the names of the original's lines, with the
// kind of handle: crud/insert/typed, reactive/insert-to-subscriber-p50/typed.
func programLines(figures benchFigures) map[string]float64 {
	programs := map[string]string{"CRUD": "crud/", "Queries": "queries/", "Aggregates": "queries/", "Reactive": "reactive/"}
	lines := map[string]float64{}
	for name, units := range figures {
		parts := strings.Split(name, "/")
		if len(parts) != 3 || programs[parts[0]] == "" {
			continue
		}
		for unit, suffix := range map[string]string{"ns/op": "", "p50-ns": "-p50", "p95-ns": "-p95", "p99-ns": "-p99"} {
			if v, ok := units[unit]; ok {
				lines[programs[parts[0]]+parts[1]+suffix+"/"+parts[2]] = v
			}
		}
	}
	return lines
}
