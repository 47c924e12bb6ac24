package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// screen draws frames: over the frame before on a terminal, one below the other
// elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	lines    int // of the frame that is there
}

// isTerminal reports whether a file is a device that shows characters.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// draw shows a frame. It is one write, so that a terminal never shows a half.
func (s *screen) draw(frame string) error {
	if s.terminal {
		body := strings.ReplaceAll(frame, "\n", "\x1b[K\n") // clear what the old line had behind the new one's end
		if s.lines > 0 {
			body = fmt.Sprintf("\x1b[%dA", s.lines) + body
		}
		s.lines = strings.Count(frame, "\n")
		frame = body + "\x1b[J"
	} else {
		frame += "\n"
	}
	_, err := io.WriteString(s.out, frame)
	return err
}

// footer is what stands below the table.
type footer struct {
	at               time.Duration // since the beginning
	held, most       int
	expired, evicted int64
}

const bar = 16 // characters

// frame is the dashboard as text.
func frame(d Dashboard, f footer) string {
	var b strings.Builder
	span := max(d.Span.Seconds(), 1)
	total := Route{Name: "all"}
	for _, r := range d.Routes {
		total.Hits += r.Hits
		total.Failed += r.Failed
		total.Mean += r.Mean * float64(r.Hits)
		total.Worst = max(total.Worst, r.Worst)
	}
	if total.Hits > 0 {
		total.Mean /= float64(total.Hits)
	}
	fmt.Fprintf(&b, "%6.1f s  the last %.1f s\n", f.at.Seconds(), d.Span.Seconds())
	fmt.Fprintf(&b, "%-10s %8s  %-*s %8s %7s %7s %8s\n", "route", "hits/s", bar, "share", "mean ms", "p95", "max", "failed")
	for _, r := range d.Routes {
		full := (r.Hits*bar + total.Hits/2) / max(total.Hits, 1)
		share := strings.Repeat("█", full) + strings.Repeat("·", bar-full)
		fmt.Fprintf(&b, "%-10s %8.1f  %s %8.1f %7d %7d %8s\n", r.Name, float64(r.Hits)/span, share, r.Mean, r.P95, r.Worst, percent(r))
	}
	fmt.Fprintf(&b, "%-10s %8.1f  %*s %8.1f %7s %7d %8s\n", total.Name, float64(total.Hits)/span, bar, "", total.Mean, "", total.Worst, percent(total))
	fmt.Fprintf(&b, "by second  %s\n", sparks(d.Seconds))
	fmt.Fprintf(&b, "%d of at most %d hits held, %d expired, %d evicted\n", f.held, f.most, f.expired, f.evicted)
	return b.String()
}

func percent(r Route) string {
	return fmt.Sprintf("%.1f %%", 100*float64(r.Failed)/float64(max(r.Hits, 1)))
}

// sparks draws a column for each second, the highest for the most hits.
func sparks(seconds []Second) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	most := 1
	for _, s := range seconds {
		most = max(most, s.Hits)
	}
	var b strings.Builder
	for _, s := range seconds {
		b.WriteRune(levels[s.Hits*(len(levels)-1)/most])
	}
	return b.String()
}
