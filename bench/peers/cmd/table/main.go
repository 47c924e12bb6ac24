// Command table measures all engines and prints one table for each number of
// records.
//
//	go run ./cmd/table                      10,000 and 1,000,000 records
//	go run ./cmd/table -n 10000 -rounds 5
//	go run ./cmd/table -original original.jsonl
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/noex-go/store/bench/peers"
)

type options struct {
	rounds    int
	benchtime string
	sizes     []int
	engines   map[string]bool // nil: all
	lines     *regexp.Regexp
	original  string
}

func (o options) wants(p *peers.Peer) bool { return o.engines == nil || o.engines[p.Name] }

func main() {
	testing.Init()
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	// The engines are measured by testing.Benchmark, which reads its flag.
	if err := flag.Set("test.benchtime", o.benchtime); err != nil {
		return err
	}
	fmt.Fprintln(out, about(o))
	for _, n := range o.sizes {
		m := measurement{n: n, best: map[cell]float64{}, progress: progress}
		for round := range o.rounds {
			fmt.Fprintf(progress, "n=%d, round %d of %d\n", n, round+1, o.rounds)
			if err := m.round(o, round); err != nil {
				return err
			}
		}
		m.print(out, o)
	}
	if o.original != "" {
		return printOriginal(out, o)
	}
	return nil
}

func parse(args []string, usage io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&o.rounds, "rounds", 3, "measure each engine so `often`, in turns, and keep the best")
	flags.StringVar(&o.benchtime, "benchtime", "200ms", "measure each line for this `time` (or 10x: so often)")
	sizes := flags.String("n", "10000,1000000", "`numbers` of records")
	engines := flags.String("engines", "", "only these, by `names` with commas")
	lines := flags.String("lines", "", "only the lines whose name matches the `pattern`")
	flags.StringVar(&o.original, "original", "", "`file` with the output of bench/original")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 {
			return o, fmt.Errorf("-n: %q is not a number of records (100 or more)", s)
		}
		o.sizes = append(o.sizes, n)
	}
	if *engines != "" {
		o.engines = map[string]bool{}
		for s := range strings.SplitSeq(*engines, ",") {
			if !slices.ContainsFunc(peers.Peers, func(p peers.Peer) bool { return p.Name == s }) {
				return o, fmt.Errorf("-engines: there is no %q", s)
			}
			o.engines[s] = true
		}
	}
	o.lines, err = regexp.Compile(*lines)
	return o, err
}
