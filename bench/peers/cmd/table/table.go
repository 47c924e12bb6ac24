package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/noex-go/store/bench/peers"
)

const none = "-"

// column is a column of figures. Of its engines one at most runs a line.
type column struct {
	title   string
	engines []string // names of peers; none: quoted, or of the original
}

// npmTitle and npmQuotedTitle head the column of the original.
const (
	npmTitle       = "npm"
	npmQuotedTitle = "npm (quoted)"
)

// columns are all that a table can have: those without a figure are left out.
var columns = []column{
	{"statedb", []string{"statedb"}},
	{"go-memdb", []string{"go-memdb"}},
	{"buntdb", []string{"buntdb"}},
	{"sqlite", []string{"sqlite", "sqlite-wal"}},
	{"bbolt", []string{"bbolt"}},
	{"bbolt-nosync", []string{"bbolt-nosync"}},
	{title: quotedName},
	{title: npmTitle},
	{title: npmQuotedTitle},
	{peers.Floor, []string{peers.Floor}},
	{peers.Ours, []string{peers.Ours}},
}

// ratioTitles head the columns of ratios.
var ratioTitles = []string{"ours/equal", "ours/best", "ours/floor"}

// line is a line of the table: texts by the titles of columns. A line without any is a heading.
type line struct {
	title string
	cells map[string]string
}

// table is the one table: a section for each number of records, one for the lines on disk, one for
// this store alone, one for the programs of the original.
type table struct {
	res     *results
	lines   []line
	letters string // of the footnotes in it
}

func newTable(res *results) *table {
	t := &table{res: res}
	for _, n := range res.sizes() {
		if n < 10_000 && slices.Contains(res.sizes(), 10_000) || n == 100_000 && slices.Contains(res.sizes(), 1_000_000) {
			continue // only in the plots
		}
		t.section(fmt.Sprintf("%s records in memory", number(float64(n))), n, false)
	}
	for _, n := range res.sizes() {
		t.section(fmt.Sprintf("on disk, %s records", number(float64(n))), n, true)
	}
	t.alone()
	t.npm()
	return t
}

func (t *table) section(title string, n int, onDisk bool) {
	var lines []line
	for i := range peers.Lines {
		l := &peers.Lines[i]
		for _, r := range l.Rows {
			if x := t.row(r, n); l.OnDisk == onDisk && len(x.cells) > 0 {
				lines = append(lines, x)
			}
		}
	}
	if len(lines) > 0 {
		t.lines = append(append(t.lines, line{title: title}), lines...)
	}
}

// row has a figure for each engine that ran the line; no cells if none did.
func (t *table) row(r peers.Row, n int) line {
	x := line{r.Title, map[string]string{}}
	equal, best := math.Inf(1), math.Inf(1)
	for _, c := range columns {
		for _, name := range c.engines {
			v := t.res.figure(n, r.Title, name)
			if v == 0 {
				continue
			}
			p := peerNamed(name)
			letters := p.Missing(r.Needs)
			x.cells[c.title] = number(v)
			if name == peers.Ours || name == peers.Floor {
				continue
			}
			if best = min(best, v); letters == "" {
				equal = min(equal, v)
			} else {
				x.cells[c.title] += " " + letters
				t.letters += letters
			}
		}
	}
	if v := quoted[r.Title][n]; v != 0 && len(x.cells) > 0 {
		x.cells[quotedName] = number(v)
	}
	ours := t.res.figure(n, r.Title, peers.Ours)
	for i, v := range []float64{equal, best, t.res.figure(n, r.Title, peers.Floor)} {
		if text := ratio(ours, v); text != none {
			x.cells[ratioTitles[i]] = text
		}
	}
	return x
}

func peerNamed(name string) *peers.Peer {
	return &peers.Peers[slices.IndexFunc(peers.Peers, func(p peers.Peer) bool { return p.Name == name })]
}

// alone adds the lines of this store alone.
func (t *table) alone() {
	if len(t.res.Alone) > 0 {
		t.lines = append(t.lines, line{title: "this store alone"})
	}
	for _, l := range aloneLines {
		if v := t.res.Alone[l.title]; v > 0 {
			t.lines = append(t.lines, line{l.title, map[string]string{peers.Ours: number(v)}})
		}
	}
}

// npm adds the original's lines. This store has two figures for each: by a dynamic and by a typed handle.
func (t *table) npm() {
	if len(t.res.NPM) == 0 {
		return
	}
	t.lines = append(t.lines, line{title: "the programs of the npm original; ours: dynamic / typed"})
	for _, l := range t.res.NPM {
		title, mark := npmTitle, ""
		if l.Quoted {
			title, mark = npmQuotedTitle, " "+quotedMark
		}
		x := line{strings.ReplaceAll(l.Line, "/", ": "), map[string]string{title: number(l.Original)}}
		if l.Dynamic > 0 && l.Typed > 0 {
			text := ratio(l.Dynamic, l.Original) + " / " + ratio(l.Typed, l.Original) + mark
			x.cells[peers.Ours] = number(l.Dynamic) + " / " + number(l.Typed)
			x.cells[ratioTitles[0]], x.cells[ratioTitles[1]] = text, text
		}
		t.lines = append(t.lines, x)
	}
}

// has tells whether a column has a cell.
func (t *table) has(title string) bool {
	return slices.ContainsFunc(t.lines, func(l line) bool { return l.cells[title] != "" })
}

func (t *table) print(out io.Writer) {
	head := []string{"ns per operation, unless the line says otherwise"}
	for _, c := range columns {
		if t.has(c.title) {
			head = append(head, c.title)
		}
	}
	head = append(head, ratioTitles...)
	rows := [][]string{head}
	for _, l := range t.lines {
		row := []string{l.title}
		if l.cells == nil {
			row[0] = "**" + l.title + "**"
		}
		for _, title := range head[1:] {
			text := l.cells[title]
			if text == "" && l.cells != nil {
				text = none
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	printTable(out, rows)
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 || math.IsInf(b, 1) {
		return none
	}
	if a < b/10 {
		return fmt.Sprintf("%.2g", a/b)
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
