package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/noex-go/store/bench/peers"
)

// The markers between which a file's table is replaced.
const (
	beginMarker = "<!-- bench:begin -->"
	endMarker   = "<!-- bench:end -->"
)

// doc is what the command writes: how it was measured, the plots, the table, what the letters in it mean.
type doc struct {
	about about
	table *table
	plots []plot
}

func document(res *results) doc { return doc{res.About, newTable(res), plotsOf(res)} }

// text is the whole in Markdown. plots is where they are, as seen from the file; "" leaves them out.
func (d doc) text(plots string) string {
	var b strings.Builder
	a := d.about
	fmt.Fprintf(&b, "%s, %s, %s, %s", a.Date, a.Machine, a.Go, a.System)
	if a.Commit != "" {
		fmt.Fprintf(&b, ", commit %s", a.Commit)
	}
	fmt.Fprintf(&b, ". %s.\n", strings.Join(a.Versions, ", "))
	fmt.Fprintf(&b, "`%s` in `bench/peers` (%s), best of %s of %s each. Compare the columns, not two machines.\n\n", a.Command, a.Took, rounds(a.Rounds), a.Benchtime)
	if plots != "" { // in a file: a long table, which can be folded
		for _, p := range d.plots {
			fmt.Fprintf(&b, "![%s](%s)\n\n", p.alt(), filepath.ToSlash(filepath.Join(plots, p.file)))
		}
		b.WriteString("<details open>\n<summary>The table</summary>\n\n")
	}
	d.table.print(&b)
	b.WriteString("\n" + legend + "\n")
	for _, f := range peers.Footnotes {
		if strings.Contains(d.table.letters, f.Letter) {
			fmt.Fprintf(&b, "- %s: %s (`%s`).\n", f.Letter, f.Text, f.Test)
		}
	}
	if d.table.has(quotedName) {
		b.WriteString("- " + quotedNote + "\n")
	}
	if d.table.has(npmQuotedTitle) {
		b.WriteString("- " + npmQuotedNote + "\n")
	}
	if plots != "" {
		b.WriteString("\n</details>\n")
	}
	return b.String()
}

func rounds(by map[int]int) string {
	var list []string
	for n, k := range by {
		list = append(list, fmt.Sprintf("%d (%s records)", k, number(float64(n))))
	}
	slices.SortFunc(list, func(a, b string) int { return len(a) - len(b) })
	return strings.Join(list, ", ") + " rounds"
}

const legend = `ours/equal: beside the best engine that gives every guarantee which counts for the line. ours/best: beside the best of
all. ours/floor: beside the floor, maps and slices behind a lock, changed in place: no transactions, no unique email, no
validation, no snapshots, and a read waits for a writer. Below 1 ours is better. A letter names a guarantee that the engine
lacks, and the test in ` + "`bench/peers`" + ` that shows it:
`

// relative is how a file names a directory; "" for none. Both are made absolute first: one above the
// working directory has no name as seen from another such.
func relative(file, dir string) string {
	if dir == "" {
		return ""
	}
	from, err1 := filepath.Abs(filepath.Dir(file))
	to, err2 := filepath.Abs(dir)
	rel, err3 := filepath.Rel(from, to)
	if err1 != nil || err2 != nil || err3 != nil {
		return dir
	}
	return rel
}

// place is where a file's table goes: what is before and behind it.
type place struct{ file, before, after string }

// placeIn finds the markers of the file, or where they are to be if there is no file.
func placeIn(file string) (place, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return place{file, "", "\n"}, nil
	}
	if err != nil {
		return place{}, err
	}
	before, rest, ok := strings.Cut(string(text), beginMarker)
	_, after, ok2 := strings.Cut(rest, endMarker)
	if !ok || !ok2 {
		return place{}, fmt.Errorf("%s has no place for the table: a line %s and after it a line %s", file, beginMarker, endMarker)
	}
	return place{file, before, after}, nil
}

// write replaces what is between the markers.
func (p place) write(text string) error {
	return os.WriteFile(p.file, []byte(p.before+beginMarker+"\n"+text+endMarker+p.after), 0o644)
}
