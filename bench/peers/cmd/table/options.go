package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/noex-go/store/bench/peers"
)

type options struct {
	command   string // that says the same, without files
	benchtime string
	passes    []pass
	watched   watched
	engines   map[string]bool // nil: all
	lines     *regexp.Regexp

	check       bool
	npm, alone  bool
	npmFile     string
	npmRounds   int  // of the original's programs
	aloneRounds int  // of the lines of this store alone
	short       bool // without those of them that take minutes
	out, plots  string
	json, from  string
	mode        string
}

// pass is a number of records and what is measured with them.
type pass struct {
	n, rounds int
	lines     *regexp.Regexp // nil: all
	disk      bool           // the lines on disk too
}

// watched are the numbers of watched keys that are measured, of n records.
type watched struct {
	n        int
	watchers []int
}

// The lines of the plots of growth; at a million records, where loading takes longest
// and a collection seconds, the standard run has those with the key and its indexes only.
var (
	growing = regexp.MustCompile(`^(get|insert|bulk-1000|update-unindexed|delete|iterate-third|count-by-index)$`)
	million = regexp.MustCompile(`^(get|get-2-goroutines|insert|bulk-1000|update-unindexed|update-two-indexed|delete|` +
		`iterate-third|first-10|range-100|count-by-index|memory|get-beside-writer)$`)
)

// modes are what -quick, no flag, and -full measure.
var modes = map[string]options{
	"quick": {
		benchtime: "20ms", short: true, npmRounds: 1, aloneRounds: 1,
		passes:  []pass{{n: 10_000, rounds: 1, disk: true}, {n: 1_000, rounds: 1, lines: growing}, {n: 100_000, rounds: 1, lines: growing}},
		watched: watched{10_000, []int{10, 100, 1_000, 10_000}},
	},
	"standard": {
		benchtime: "100ms", npmRounds: 3, aloneRounds: 1,
		passes: []pass{
			{n: 10_000, rounds: 3, disk: true},
			{n: 1_000, rounds: 1, lines: growing},
			{n: 100_000, rounds: 1, lines: growing},
			{n: 1_000_000, rounds: 1, lines: million},
		},
		watched: watched{100_000, []int{10, 100, 1_000, 10_000, 100_000}},
	},
	"full": {
		benchtime: "300ms", npmRounds: 5, aloneRounds: 3,
		passes: []pass{
			{n: 10_000, rounds: 5, disk: true},
			{n: 1_000, rounds: 3, lines: growing},
			{n: 100_000, rounds: 3, lines: growing},
			{n: 1_000_000, rounds: 3},
		},
		watched: watched{100_000, []int{10, 100, 1_000, 10_000, 100_000}},
	},
}

// given are the flags as they were given.
type given struct {
	quick, full                bool
	benchtime                  string
	rounds                     int
	sizes, engines, lines      string
	check, npm, alone          bool
	npmFile                    string
	out, plots, json, fromFile string
}

func (g *given) define(flags *flag.FlagSet) {
	flags.BoolVar(&g.quick, "quick", false, "up to 100,000 records, one short round")
	flags.BoolVar(&g.full, "full", false, "every line at 1,000,000 records too, several long rounds")
	flags.StringVar(&g.benchtime, "benchtime", "", "measure each line for this `time` (or 10x: so often)")
	flags.IntVar(&g.rounds, "rounds", 0, "measure each engine so `often`, in turns, and keep the best")
	flags.StringVar(&g.sizes, "n", "", "only these `numbers` of records, every line with each")
	flags.StringVar(&g.engines, "engines", "", "only these, by `names` with commas")
	flags.StringVar(&g.lines, "lines", "", "only the lines whose name matches the `pattern`")
	flags.BoolVar(&g.check, "check", true, "first run the tests that compare the engines' answers")
	flags.BoolVar(&g.npm, "npm", true, "the programs of the npm original too")
	flags.BoolVar(&g.alone, "alone", true, "the lines of this store alone too")
	flags.StringVar(&g.npmFile, "original", "", "`file` with the output of bench/original; without it its figures are quoted")
	flags.StringVar(&g.out, "out", "", "write the table into this `file`, between its markers if it exists")
	flags.StringVar(&g.plots, "plots", "", "write the plots into this `directory`")
	flags.StringVar(&g.json, "json", "", "keep the figures in this `file`")
	flags.StringVar(&g.fromFile, "from", "", "measure nothing: take the figures from this `file` of -json")
}

func parse(args []string, usage io.Writer) (options, error) {
	var g given
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	flags.SetOutput(usage)
	g.define(flags)
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	o, err := g.options()
	o.command = commandOf(flags)
	return o, err
}

// commandOf writes the flags that decide what is measured, not where it goes.
func commandOf(flags *flag.FlagSet) string {
	command := "go run ./cmd/table"
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "out", "plots", "json", "original":
		case "quick", "full":
			command += " -" + f.Name
		default:
			command += fmt.Sprintf(" -%s=%s", f.Name, f.Value)
		}
	})
	return command
}

func (g *given) options() (options, error) {
	mode := "standard"
	switch {
	case g.quick && g.full:
		return options{}, errors.New("-quick and -full exclude each other")
	case g.quick:
		mode = "quick"
	case g.full:
		mode = "full"
	}
	o := modes[mode]
	o.mode, o.check, o.npm, o.alone, o.npmFile = mode, g.check, g.npm, g.alone, g.npmFile
	o.out, o.plots, o.json, o.from = g.out, g.plots, g.json, g.fromFile
	o.passes = slices.Clone(o.passes)
	if g.benchtime != "" {
		o.benchtime = g.benchtime
	}
	if err := o.only(g.sizes, g.engines, g.lines); err != nil {
		return o, err
	}
	if g.rounds > 0 {
		o.npmRounds, o.aloneRounds = g.rounds, g.rounds
		for i := range o.passes {
			o.passes[i].rounds = g.rounds
		}
	}
	return o, nil
}

// only restricts what is measured.
func (o *options) only(sizes, engines, lines string) (err error) {
	if sizes != "" {
		o.passes, o.watched = nil, watched{}
		for s := range strings.SplitSeq(sizes, ",") {
			n, err := strconv.Atoi(s)
			if err != nil || n < 100 {
				return fmt.Errorf("-n: %q is not a number of records (100 or more)", s)
			}
			o.passes = append(o.passes, pass{n: n, rounds: 1, disk: n <= 10_000})
		}
	}
	if engines != "" {
		o.engines = map[string]bool{}
		for s := range strings.SplitSeq(engines, ",") {
			if !slices.ContainsFunc(peers.Peers, func(p peers.Peer) bool { return p.Name == s }) {
				return fmt.Errorf("-engines: there is no %q", s)
			}
			o.engines[s] = true
		}
	}
	o.lines, err = regexp.Compile(lines)
	return err
}

func (o *options) wants(p *peers.Peer) bool { return o.engines == nil || o.engines[p.Name] }
