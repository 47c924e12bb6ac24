// Command table checks that all engines give equal answers, measures them, and
// prints one table of what they need for the same work.
//
//	go run ./cmd/table           the standard run
//	go run ./cmd/table -quick    fewer records, one short round
//	go run ./cmd/table -full     every line at 1,000,000 records, more rounds
//
// With -out the table, with -plots the plots are written into files; -json keeps the
// figures, and -from writes table and plots from them without measuring again.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

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
	var to place
	if o.out != "" { // found before minutes of measuring
		if to, err = placeIn(o.out); err != nil {
			return err
		}
	}
	res, err := o.results(progress)
	if err != nil {
		return err
	}
	if o.json != "" {
		if err := res.save(o.json); err != nil {
			return err
		}
	}
	doc := document(res)
	fmt.Fprint(out, doc.text(""))
	if o.plots != "" {
		if err := writePlots(o.plots, res); err != nil {
			return err
		}
	}
	if o.out != "" {
		return to.write(doc.text(relative(o.out, o.plots)))
	}
	return nil
}

// results measures, or reads what was measured before.
func (o options) results(progress io.Writer) (*results, error) {
	if o.from != "" {
		return load(o.from)
	}
	// The engines are measured by testing.Benchmark, which reads its flag.
	if err := flag.Set("test.benchtime", o.benchtime); err != nil {
		return nil, err
	}
	if o.check {
		if err := checkAnswers(progress); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	res := &results{About: aboutRun(o, start), Best: map[string]float64{}}
	m := measurement{o: o, res: res, progress: progress}
	for _, p := range o.passes {
		if err := m.pass(p); err != nil {
			return nil, err
		}
	}
	if err := m.watches(); err != nil {
		return nil, err
	}
	if err := m.alone(); err != nil {
		return nil, err
	}
	if err := m.original(); err != nil {
		return nil, err
	}
	res.About.Took = time.Since(start).Round(time.Second).String()
	return res, nil
}
