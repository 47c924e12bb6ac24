package main

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/noex-go/store/bench/peers"
)

// cell is a place in the table.
type cell struct{ row, engine string }

// measurement keeps the best figure of each cell.
type measurement struct {
	n        int
	best     map[cell]float64
	progress io.Writer
}

// round measures each engine once, another one first in each round. One engine is loaded at a time, for all lines
// of its variant: another one's memory would change the work of the collector.
func (m *measurement) round(o options, number int) error {
	for i := range peers.Peers {
		p := &peers.Peers[(i+number)%len(peers.Peers)]
		if !o.wants(p) || p.OnDisk && m.n > 10_000 {
			continue
		}
		indexed, keyOnly := o.linesOf(p)
		for _, lines := range [][]*peers.Line{indexed, keyOnly} {
			if err := m.variant(p, lines); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
	}
	return nil
}

// linesOf returns the lines that the peer takes part in, by its variants.
func (o options) linesOf(p *peers.Peer) (indexed, keyOnly []*peers.Line) {
	for i := range peers.Lines {
		l := &peers.Lines[i]
		switch {
		case l.Open(p) == nil || !o.lines.MatchString(l.Name):
		case l.KeyOnly:
			keyOnly = append(keyOnly, l)
		default:
			indexed = append(indexed, l)
		}
	}
	return indexed, keyOnly
}

// variant loads the peer and runs the lines on it, which are all of one variant.
func (m *measurement) variant(p *peers.Peer, lines []*peers.Line) (err error) {
	if len(lines) == 0 {
		return nil
	}
	start := time.Now()
	f, err := peers.Open(lines[0].Open(p), m.n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, l := range lines {
		if !l.Can(f.Engine) {
			continue
		}
		if err := m.line(l, p, f); err != nil {
			return err
		}
	}
	fmt.Fprintf(m.progress, "  %s %v\n", p.Name, time.Since(start).Round(time.Second/10))
	return nil
}

func (m *measurement) line(l *peers.Line, p *peers.Peer, f *peers.Fixture) error {
	result := testing.Benchmark(func(b *testing.B) { l.Run(b, f) })
	if result.N == 0 {
		return fmt.Errorf("line %s failed; go test -bench tells why", l.Name)
	}
	for _, r := range l.Rows {
		v, ok := result.Extra[r.Metric]
		if !ok {
			v = float64(result.T.Nanoseconds()) / float64(result.N)
		}
		at := cell{r.Title, p.Name}
		if old, measured := m.best[at]; !measured || v < old {
			m.best[at] = v
		}
	}
	return nil
}
