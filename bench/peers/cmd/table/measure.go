package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/noex-go/store/bench/peers"
)

// measurement runs the lines on the engines and keeps the figures.
type measurement struct {
	o        options
	res      *results
	progress io.Writer
}

// checkAnswers runs the tests that put the same operations to all engines and compare the answers.
func checkAnswers(progress io.Writer) error {
	fmt.Fprintln(progress, "equal answers?")
	test := exec.Command("go", "test", "-count", "1", "-run", "^(TestModel|TestWatch|TestText)$", "github.com/noex-go/store/bench/peers")
	if out, err := test.CombinedOutput(); err != nil {
		return fmt.Errorf("the engines are not comparable: %s: %w\n%s", test, err, out)
	}
	return nil
}

// pass measures each engine in each round once, another one first in each round. One engine is
// loaded at a time, for all lines of its variant: another one's memory would change the work
// of the collector.
func (m *measurement) pass(p pass) error {
	for round := range p.rounds {
		fmt.Fprintf(m.progress, "%s records, round %d of %d\n", number(float64(p.n)), round+1, p.rounds)
		for i := range peers.Peers {
			e := &peers.Peers[(i+round)%len(peers.Peers)]
			if !m.o.wants(e) {
				continue
			}
			for _, lines := range m.o.variants(e, p) {
				if err := m.variant(e, p.n, lines); err != nil {
					return fmt.Errorf("%s: %w", e.Name, err)
				}
			}
		}
	}
	return nil
}

// variants returns the lines that the peer takes part in: those with all indexes, those with
// the key only, those on disk. Each group has an engine of its own.
func (o options) variants(p *peers.Peer, pass pass) [][]*peers.Line {
	var indexed, keyOnly, onDisk []*peers.Line
	for i := range peers.Lines {
		l := &peers.Lines[i]
		switch {
		case l.Open(p) == nil || !o.lines.MatchString(l.Name) || pass.lines != nil && !pass.lines.MatchString(l.Name):
		case l.OnDisk:
			if pass.disk {
				onDisk = append(onDisk, l)
			}
		case l.KeyOnly:
			keyOnly = append(keyOnly, l)
		default:
			indexed = append(indexed, l)
		}
	}
	return [][]*peers.Line{indexed, keyOnly, onDisk}
}

// variant loads the peer and runs the lines on it, which are all of one variant.
func (m *measurement) variant(p *peers.Peer, n int, lines []*peers.Line) (err error) {
	if len(lines) == 0 {
		return nil
	}
	start := time.Now()
	f, err := peers.Open(lines[0].Open(p), n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, l := range lines {
		if !l.Can(f.Engine) {
			continue
		}
		result, err := benchmark(l, f)
		if err != nil {
			return err
		}
		_, elsewhere := f.Engine.(peers.Sizer) // its memory is not in the heap of Go
		for _, r := range l.Rows {
			if elsewhere && (r.Metric == peers.BytesPerOp || r.Metric == peers.AllocsPerOp) {
				continue
			}
			m.res.keep(n, r.Title, p.Name, figureOf(result, r.Metric))
		}
	}
	fmt.Fprintf(m.progress, "  %s %v\n", p.Name, time.Since(start).Round(time.Second/10))
	return nil
}

func benchmark(l *peers.Line, f *peers.Fixture) (testing.BenchmarkResult, error) {
	result := testing.Benchmark(func(b *testing.B) { l.Run(b, f) })
	if result.N == 0 {
		return result, fmt.Errorf("line %s failed; go test -bench tells why", l.Name)
	}
	return result, nil
}

func figureOf(r testing.BenchmarkResult, metric string) float64 {
	if v, ok := r.Extra[metric]; ok {
		return v
	}
	switch metric {
	case peers.AllocsPerOp:
		return float64(r.AllocsPerOp())
	case peers.BytesPerOp:
		return float64(r.AllocedBytesPerOp())
	}
	return float64(r.T.Nanoseconds()) / float64(r.N)
}

// watches measures the engines that can watch keys, with more and more of them watched; and this
// store's live queries of other kinds.
func (m *measurement) watches() error {
	if m.o.watched.n == 0 {
		return nil
	}
	m.res.Watched, m.res.Live, m.res.Visited = growth{}, growth{}, growth{}
	for i := range peers.Peers {
		p := &peers.Peers[i]
		if !m.o.wants(p) || p.OnDisk {
			continue
		}
		if err := m.grow(p.KeyOnly, p.Name, peers.WatchLine, m.res.Watched); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if p.Name != peers.Ours {
			continue
		}
		for _, by := range peers.LiveQueries {
			live := func(watchers int) peers.Line { return peers.LiveLine(by, watchers) }
			if err := m.grow(p.Indexed, liveName(by), live, m.res.Live, m.res.Visited); err != nil {
				return fmt.Errorf("%s: %w", by, err)
			}
		}
	}
	return nil
}

// grow runs a line with more and more watchers. Each of its rows has a place in to.
func (m *measurement) grow(open func(string) (peers.Engine, error), name string, line func(int) peers.Line, to ...growth) (err error) {
	f, err := peers.Open(open, m.o.watched.n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, watchers := range m.o.watched.watchers {
		l := line(watchers)
		if !l.Can(f.Engine) {
			return nil
		}
		fmt.Fprintf(m.progress, "%s keys watched: %s\n", number(float64(watchers)), name)
		result, err := benchmark(&l, f)
		if err != nil {
			return err
		}
		for i := range to {
			to[i].set(name, watchers, figureOf(result, l.Rows[i].Metric))
		}
	}
	return nil
}
