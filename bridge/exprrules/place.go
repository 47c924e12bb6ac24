package exprrules

import (
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// place is where something begins in a file, from 1; the zero place is nowhere.
type place struct{ line, column int }

// places is where the parts of a rule stand, by the names of parts that problems
// have, and the lines of the file.
type places struct {
	of    map[string]*yaml.Node
	lines []string
}

// find is where a part stands, or else the nearest one around it.
func (ps places) find(part string) (*yaml.Node, bool) {
	for p := part; ; {
		if n, ok := ps.of[p]; ok {
			return n, p == part
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			return ps.of[""], p == part
		}
		p = p[:cut]
	}
}

// at is where a character of a part's expression stands: line from 1, column from
// 0, as the expression has them. A rule without a file has only those; line 0 stands
// for all of the part.
func (ps places) at(part string, line, column int) place {
	n, exact := ps.find(part)
	if n == nil {
		if line == 0 {
			return place{}
		}
		return place{line, column + 1}
	}
	start := place{n.Line, n.Column}
	if !exact || line == 0 || n.Kind != yaml.ScalarNode {
		return start
	}
	lines := strings.Split(n.Value, "\n")
	if line > len(lines) {
		return start
	}
	// The text is looked for where it must be; in a form that writes it otherwise
	// (escapes, folded lines) the beginning has to do.
	at := n.Line
	if n.Style&yaml.LiteralStyle != 0 {
		at += line
	} else if len(lines) > 1 {
		return start
	}
	if at > len(ps.lines) {
		return start
	}
	source, from := []rune(ps.lines[at-1]), 0
	if at == n.Line {
		from = n.Column - 1
	}
	if from > len(source) {
		return start
	}
	head, _, ok := strings.Cut(string(source[from:]), lines[line-1])
	if !ok {
		return start
	}
	return place{at, from + len([]rune(head)) + column + 1}
}
