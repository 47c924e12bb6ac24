package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// drawing is an SVG under way. It brings its own background and follows the reader's preference
// for light or dark, so that it reads well on either page, whatever the page itself does.
type drawing struct {
	body          bytes.Buffer
	width, height float64
}

// series is how the figures of an engine look: a class of the style sheet and a shape, since
// colours alone do not tell everybody apart.
type series struct {
	name, class string
	mark        string // circle, square, triangle, diamond, cross, plus
}

// The colours are given for light and dark pages by class.
var palette = []struct{ class, light, dark string }{
	{"ours", "#0550ae", "#58a6ff"},
	{"a", "#bc4c00", "#f0883e"},
	{"b", "#1a7f37", "#3fb950"},
	{"c", "#8250df", "#bc8cff"},
	{"d", "#bf3989", "#f778ba"},
	{"floor", "#6e7781", "#8b949e"},
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.body, format, args...) }

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	d.printf(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, x1, y1, x2, y2)
}

// text writes at the baseline; anchor is start, middle or end.
func (d *drawing) text(class, anchor string, x, y float64, s string) {
	d.printf(`<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">`, class, anchor, x, y)
	_ = xml.EscapeText(&d.body, []byte(s)) // a buffer does not fail
	d.printf("</text>\n")
}

// mark draws the shape of a series. This store's is larger, and filled as all are.
func (d *drawing) mark(s series, x, y float64) {
	r := 4.0
	if s.class == "ours" {
		r = 5.5
	}
	switch s.mark {
	case "square":
		d.printf(`<rect class="m %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", s.class, x-r, y-r, 2*r, 2*r)
	case "triangle":
		d.shape(s, x, y-r-1, x+r+1, y+r, x-r-1, y+r)
	case "diamond":
		d.shape(s, x, y-r-1.5, x+r+1.5, y, x, y+r+1.5, x-r-1.5, y)
	case "down":
		d.shape(s, x, y+r+1, x+r+1, y-r, x-r-1, y-r)
	case "tick":
		d.printf(`<line class="l %s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", s.class, x, y-r-3, x, y+r+3)
	default:
		d.printf(`<circle class="m %s" cx="%.1f" cy="%.1f" r="%.1f"/>`+"\n", s.class, x, y, r)
	}
}

func (d *drawing) shape(s series, xy ...float64) {
	d.printf(`<polygon class="m %s" points="%s"/>`+"\n", s.class, points(xy))
}

func (d *drawing) path(s series, xy []float64) {
	class := "l " + s.class
	if s.class == "ours" {
		class = "l wide " + s.class
	}
	d.printf(`<polyline class="%s" points="%s"/>`+"\n", class, points(xy))
}

func points(xy []float64) string {
	var b strings.Builder
	for i := 0; i < len(xy); i += 2 {
		fmt.Fprintf(&b, "%.1f,%.1f ", xy[i], xy[i+1])
	}
	return strings.TrimSpace(b.String())
}

// legend draws the series in a row.
func (d *drawing) legend(x, y float64, list []series) {
	for _, s := range list {
		d.mark(s, x+6, y-4)
		d.text("label", "start", x+18, y, s.name)
		x += 34 + 7.4*float64(len(s.name))
	}
}

// bytes returns the document.
func (d *drawing) bytes(title string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %[1]v %[2]v" role="img">`+"\n",
		d.width, d.height)
	b.WriteString("<title>")
	_ = xml.EscapeText(&b, []byte(title))
	b.WriteString("</title>\n<style>\n")
	b.WriteString(style())
	fmt.Fprintf(&b, "</style>\n"+`<rect class="bg" width="%.0f" height="%.0f" rx="6"/>`+"\n", d.width, d.height)
	b.Write(d.body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func style() string {
	var light, dark strings.Builder
	for _, p := range palette {
		fmt.Fprintf(&light, ".m.%s { fill: %s } .l.%[1]s { stroke: %[2]s }\n", p.class, p.light)
		fmt.Fprintf(&dark, ".m.%s { fill: %s } .l.%[1]s { stroke: %[2]s }\n", p.class, p.dark)
	}
	return `text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.muted { fill: #59636e }
.bg { fill: #ffffff }
.grid { stroke: #d8dee4; stroke-width: 1 }
.m { stroke: #ffffff; stroke-width: 1 }
.l { fill: none; stroke-width: 1.5 }
.wide { stroke-width: 3 }
` + light.String() + `@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.muted { fill: #9198a1 }
.bg { fill: #0d1117 }
.grid { stroke: #30363d }
.m { stroke: #0d1117 }
` + dark.String() + "}\n"
}

// scale maps figures to places on a logarithmic axis, whose ends are powers of ten.
type scale struct {
	lo, hi   float64 // exponents
	from, to float64 // places
}

// logScale spans all the figures, which are above 0.
func logScale(from, to float64, figures []float64) scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range figures {
		lo, hi = min(lo, math.Log10(v)), max(hi, math.Log10(v))
	}
	lo, hi = math.Floor(lo), math.Ceil(hi)
	if hi <= lo {
		hi = lo + 1
	}
	return scale{lo, hi, from, to}
}

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.lo)/(s.hi-s.lo)*(s.to-s.from)
}

// ticks are the powers of ten.
func (s scale) ticks() (list []float64) {
	for e := s.lo; e <= s.hi; e++ {
		list = append(list, math.Pow(10, e))
	}
	return list
}

// duration writes a number of ns that is a power of ten.
func duration(ns float64) string {
	for _, unit := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= unit.ns*0.999 {
			return fmt.Sprintf("%.3g %s", ns/unit.ns, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}
