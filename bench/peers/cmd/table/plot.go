package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/noex-go/store/bench/peers"
)

// plot is a picture of some of the figures.
type plot struct {
	file, title, note string
	draw              func(d *drawing)
}

func (p plot) alt() string { return p.title + ": " + p.note }

// The series of all plots, this store last so that it lies on top.
var engineSeries = []series{
	{peers.Floor, "floor", "tick"},
	{"statedb", "a", "square"},
	{"go-memdb", "b", "triangle"},
	{"buntdb", "c", "diamond"},
	{"sqlite", "d", "down"},
	{peers.Ours, "ours", "circle"},
}

// liveSeries are the kinds of live queries.
var liveSeries = []series{
	{liveName(peers.ByInterval), "c", "diamond"},
	{liveName(peers.ByEquality), "d", "down"},
	{liveName(peers.ByKey), "floor", "square"},
}

// liveName is the name of the series of a kind of live query.
func liveName(by peers.LiveQuery) string { return "ours by " + string(by) }

// Rows of the plots: titles of rows of the table.
var (
	mainRows = []string{
		"get by key", "get, 2 goroutines", "get beside a writer, p50", "get beside a writer, p99",
		"iterate a third by index, per record", "first 10 of it", "range on age, first 100 in order", "count by index",
		"insert 1, 4 idx", "bulk 1,000, 4 idx, per record", "update 1 (unindexed field), 4 idx",
		"update 1 (two indexed fields), 4 idx", "delete 1, 4 idx", "transfer between two tables, 1 goroutine",
		"update to its watcher, all keys watched",
	}
	growthRows = []string{
		"get by key", "iterate a third by index, per record", "count by index",
		"insert 1, 4 idx", "update 1 (unindexed field), 4 idx", "delete 1, 4 idx",
	}
)

// plotsOf are the plots for which there are figures.
func plotsOf(res *results) (list []plot) {
	sizes := res.sizes()
	if n := mainSize(sizes); n > 0 {
		if rows := dotsOf(res, n); len(rows) > 0 {
			list = append(list, dotPlot("lines.svg", fmt.Sprintf("The same work, %s records", number(float64(n))),
				"time per operation, a logarithmic scale, left is faster", engineSeries, rows))
		}
	}
	if panels := growthOf(res, sizes); len(panels) > 0 {
		list = append(list, panelPlot("growth.svg", "With the number of records",
			"time per operation by records, both scales logarithmic, lower is faster", engineSeries, panels))
	}
	if len(res.Watched) > 0 {
		list = append(list, panelPlot("subscriptions.svg", "With the number of subscriptions",
			"all scales logarithmic, lower is better", append(slices.Clone(engineSeries), liveSeries...), []panel{
				{"an update until its watcher has the record", res.Watched, duration},
				{"the same by kind of live query", res.Live, duration},
				{"entries that the update is tested against", res.Visited, short},
			}))
	}
	if len(res.NPM) > 0 {
		list = append(list, npmPlot(res.NPM))
	}
	return list
}

// mainSize is the number of records that the plot of the lines is about; 0 if there are no figures.
func mainSize(sizes []int) int {
	if slices.Contains(sizes, 10_000) || len(sizes) == 0 {
		return 10_000 * min(1, len(sizes))
	}
	return sizes[0]
}

// dots are the figures of one row by the names of the series.
type dots struct {
	title  string
	values map[string]float64
}

func dotsOf(res *results, n int) (rows []dots) {
	for _, title := range mainRows {
		r := dots{title, map[string]float64{}}
		for _, s := range engineSeries {
			if v := res.figure(n, title, s.name); v > 0 {
				r.values[s.name] = v
			}
		}
		if len(r.values) > 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

func npmPlot(lines []npmLine) plot {
	original := "npm original"
	if lines[0].Quoted {
		original += " (quoted)"
	}
	var rows []dots
	for _, l := range lines {
		r := dots{l.Line, map[string]float64{original: l.Original}}
		if l.Dynamic > 0 {
			r.values["ours, dynamic"] = l.Dynamic
		}
		if l.Typed > 0 {
			r.values["ours, typed"] = l.Typed
		}
		rows = append(rows, r)
	}
	return dotPlot("original.svg", "The programs of the npm original", "time per operation, a logarithmic scale, left is faster",
		[]series{{original, "d", "diamond"}, {"ours, dynamic", "a", "square"}, {"ours, typed", "ours", "circle"}}, rows)
}

// dotPlot has a row for each line and a mark for each engine.
func dotPlot(file, title, note string, list []series, rows []dots) plot {
	return plot{file, title, note, func(d *drawing) {
		const left, top, step = 290.0, 92.0, 27.0
		d.width, d.height = 900, top+step*float64(len(rows))+34
		frame(d, title, note, list)
		var all []float64
		for _, r := range rows {
			all = slices.AppendSeq(all, maps.Values(r.values))
		}
		x := logScale(left, d.width-40, all)
		bottom := top + step*float64(len(rows)) - step/2
		for _, v := range x.ticks() {
			d.line("grid", x.at(v), top-step/2, x.at(v), bottom+4)
			d.text("muted", "middle", x.at(v), bottom+22, duration(v))
		}
		for i, r := range rows {
			y := top + step*float64(i)
			d.line("grid", left, y, d.width-40, y)
			d.text("label", "end", left-14, y+4, r.title)
			for _, s := range list {
				if v := r.values[s.name]; v > 0 {
					d.mark(s, x.at(v), y)
				}
			}
		}
	}}
}

// frame writes what stands above a plot.
func frame(d *drawing, title, note string, list []series) {
	d.text("title", "start", 20, 28, title)
	d.text("muted", "start", 20, 46, note)
	d.legend(18, 68, list)
}

// panel is one of several small plots.
type panel struct {
	title  string
	points growth
	tick   func(float64) string
}

// growthOf has the panels with two sizes or more.
func growthOf(res *results, sizes []int) (list []panel) {
	for _, title := range growthRows {
		p, most := panel{title, growth{}, duration}, 0
		for _, s := range engineSeries {
			at := map[int]float64{}
			for _, n := range sizes {
				if v := res.figure(n, title, s.name); v > 0 {
					at[n] = v
				}
			}
			p.points[s.name], most = at, max(most, len(at))
		}
		if most > 1 {
			list = append(list, p)
		}
	}
	return list
}

// panelPlot draws panels, up to three in a row.
func panelPlot(file, title, note string, list []series, panels []panel) plot {
	list = slices.DeleteFunc(slices.Clone(list), func(s series) bool { // those without a figure
		return !slices.ContainsFunc(panels, func(p panel) bool { return len(p.points[s.name]) > 0 })
	})
	return plot{file, title, note, func(d *drawing) {
		across := min(3, len(panels))
		const top, height = 92.0, 230.0
		d.width, d.height = 900, top+height*float64((len(panels)+across-1)/across)+6
		frame(d, title, note, list)
		wide := (d.width - 20) / float64(across)
		for i, p := range panels {
			p.draw(d, list, 10+wide*float64(i%across), top+height*float64(i/across), wide, height)
		}
	}}
}

func (p panel) draw(d *drawing, list []series, left, top, width, height float64) {
	var all, grows []float64
	for _, at := range p.points {
		for n, v := range at {
			all, grows = append(all, v), append(grows, float64(n))
		}
	}
	x := logScale(left+58, left+width-18, grows)
	y := logScale(top+height-40, top+18, all)
	d.text("label", "start", left+12, top+6, p.title)
	for _, v := range y.ticks() {
		d.line("grid", x.from, y.at(v), x.to, y.at(v))
		d.text("muted", "end", x.from-6, y.at(v)+4, p.tick(v))
	}
	for _, v := range x.ticks() {
		d.line("grid", x.at(v), y.from, x.at(v), y.from+4)
		d.text("muted", "middle", x.at(v), y.from+18, short(v))
	}
	for _, s := range list {
		at := p.points[s.name]
		var xy []float64
		for _, n := range slices.Sorted(maps.Keys(at)) {
			xy = append(xy, x.at(float64(n)), y.at(at[n]))
		}
		d.path(s, xy)
		for i := 0; i < len(xy); i += 2 {
			d.mark(s, xy[i], xy[i+1])
		}
	}
}

// short writes a power of ten: 10, 1k, 1M.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

// writePlots draws all plots into a directory.
func writePlots(dir string, res *results) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range plotsOf(res) {
		d := &drawing{}
		p.draw(d)
		if err := os.WriteFile(filepath.Join(dir, p.file), d.bytes(p.title), 0o644); err != nil {
			return err
		}
	}
	return nil
}
