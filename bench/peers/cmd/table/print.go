package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/noex-go/store/bench/peers"
)

const none = "-"

func about(o options) string {
	return fmt.Sprintf("%s, %s/%s, %d processors; best of %d rounds of %s. ns per operation unless the line says otherwise.",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), o.rounds, o.benchtime)
}

// print writes the table of the engines in memory, that of those on disk, and
// what the letters in them mean.
func (m *measurement) print(out io.Writer, o options) {
	inMemory, onDisk := table{m: m}, table{m: m}
	for i := range peers.Peers {
		p := &peers.Peers[i]
		if o.wants(p) && !p.OnDisk {
			inMemory.columns = append(inMemory.columns, p)
		}
		if o.wants(p) && (p.OnDisk || p.Name == peers.Ours) {
			onDisk.columns = append(onDisk.columns, p)
		}
	}
	for _, l := range peers.Lines {
		if l.OnDisk {
			onDisk.add(l.Rows)
		} else {
			inMemory.add(l.Rows)
		}
	}
	inMemory.print(out)
	onDisk.print(out)
	fmt.Fprintln(out, "\n"+legend)
	for _, f := range peers.Footnotes {
		if strings.Contains(inMemory.letters+onDisk.letters, f.Letter) {
			fmt.Fprintf(out, "%s: %s.\n", f.Letter, f.Text)
		}
	}
	if inMemory.quotes() {
		fmt.Fprintln(out, quotedNote)
	}
}

const legend = `ours/equal: beside the best engine that gives every guarantee which counts for the line. ours/best: beside the best of
all. ours/floor: beside the floor, maps and slices behind a lock, changed in place: no transactions, no unique email, no
validation, no snapshots, and a read waits for a writer. Below 1 ours is better.`

// table is one table: engines that run the same lines.
type table struct {
	m       *measurement
	columns []*peers.Peer
	rows    []peers.Row
	letters string // of the footnotes in it
}

// add adds those of the rows that have a figure.
func (t *table) add(rows []peers.Row) {
	for _, r := range rows {
		for at := range t.m.best {
			if at.row == r.Title {
				t.rows = append(t.rows, r)
				break
			}
		}
	}
}

// quotes tells whether there are figures to quote.
func (t *table) quotes() bool {
	return slices.ContainsFunc(t.rows, func(r peers.Row) bool { return quoted[r.Title][t.m.n] != 0 })
}

func (t *table) print(out io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	head := []string{fmt.Sprintf("n=%d", t.m.n)}
	for _, p := range t.columns {
		head = append(head, p.Name)
	}
	if t.quotes() {
		head = append(head, quotedName)
	}
	lines := [][]string{append(head, "ours/equal", "ours/best", "ours/floor")}
	for _, r := range t.rows {
		row := t.cells(r)
		if t.quotes() {
			row = append(row, number(quoted[r.Title][t.m.n]))
		}
		lines = append(lines, append(row, t.ratios(r)...))
	}
	printTable(out, lines)
}

func (t *table) cells(r peers.Row) []string {
	row := []string{r.Title}
	for _, p := range t.columns {
		text := number(t.m.best[cell{r.Title, p.Name}])
		if letters := p.Missing(r.Needs); letters != "" && text != none && p.Name != peers.Floor {
			text += " " + letters
			t.letters += letters
		}
		row = append(row, text)
	}
	return row
}

// ratios are ours to the best equal, to the best of all, and to the floor.
func (t *table) ratios(r peers.Row) []string {
	equal, best := math.Inf(1), math.Inf(1)
	for _, p := range t.columns {
		v, ok := t.m.best[cell{r.Title, p.Name}]
		if !ok || p.Name == peers.Ours || p.Name == peers.Floor {
			continue
		}
		best = min(best, v)
		if p.Missing(r.Needs) == "" {
			equal = min(equal, v)
		}
	}
	ours := t.m.best[cell{r.Title, peers.Ours}]
	floor := t.m.best[cell{r.Title, peers.Floor}]
	return []string{ratio(ours, equal), ratio(ours, best), ratio(ours, floor)}
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 || math.IsInf(b, 1) {
		return none
	}
	if a < b/10 {
		return fmt.Sprintf("%.1g", a/b)
	}
	return fmt.Sprintf("%.2f", a/b)
}

// number writes a figure with at least three digits, and commas.
func number(v float64) string {
	switch {
	case v == 0:
		return none
	case v < 100:
		return fmt.Sprintf("%.3g", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// printTable writes rows as a table of Markdown that reads well as it is.
func printTable(out io.Writer, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			width[i] = max(width[i], utf8.RuneCountInString(text))
		}
	}
	rule := make([]string, len(width))
	for i, w := range width {
		rule[i] = strings.Repeat("-", w-1) + ":"
	}
	rule[0] = strings.Repeat("-", width[0])
	fmt.Fprintln(out)
	for _, row := range slices.Insert(rows, 1, rule) {
		fmt.Fprint(out, "|")
		for i, text := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(text))
			if i == 0 {
				fmt.Fprint(out, " ", text, pad, " |")
			} else {
				fmt.Fprint(out, " ", pad, text, " |")
			}
		}
		fmt.Fprintln(out)
	}
}
