package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// results are the figures of a run, and all that is said about it.
type results struct {
	About about
	// Best has the best figure of each cell: key(n, row, engine).
	Best map[string]float64
	// Watched has the ns of an update, until its watcher has it, by engine and watched keys; Live the
	// same of this store's live queries by their kind, Visited the entries that they led a change to.
	Watched, Live, Visited growth
	// Alone are the figures of this store alone, by the titles of lines.
	Alone map[string]float64 `json:",omitempty"`
	// NPM are the lines of the original's programs.
	NPM []npmLine `json:",omitempty"`
}

// growth are figures by the name of a series and by what grows.
type growth map[string]map[int]float64

func (g growth) set(name string, n int, v float64) {
	if g[name] == nil {
		g[name] = map[int]float64{}
	}
	g[name][n] = v
}

// npmLine is a line of the original's programs: in ns, the original's and this store's by
// its two kinds of handles.
type npmLine struct {
	Line           string
	Original       float64
	Quoted         bool // the original was not run here
	Dynamic, Typed float64
}

type about struct {
	Date, Took, Mode, Command string
	Machine, System           string
	Go, Commit                string
	Versions                  []string // of the engines
	Benchtime                 string
	Rounds                    map[int]int // by the number of records
}

func key(n int, row, engine string) string { return fmt.Sprintf("%d|%s|%s", n, row, engine) }

func (r *results) figure(n int, row, engine string) float64 { return r.Best[key(n, row, engine)] }

// keep keeps a figure if it is the best so far.
func (r *results) keep(n int, row, engine string, v float64) {
	k := key(n, row, engine)
	if old, ok := r.Best[k]; !ok || v < old {
		r.Best[k] = v
	}
}

// sizes are the numbers of records with figures, rising.
func (r *results) sizes() (ns []int) {
	for k := range r.Best {
		text, _, _ := strings.Cut(k, "|")
		if n, err := strconv.Atoi(text); err == nil && !slices.Contains(ns, n) {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return ns
}

func (r *results) save(file string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func load(file string) (*results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func aboutRun(o options, start time.Time) about {
	a := about{
		Date: start.Format("2 January 2006"), Mode: o.mode, Benchtime: o.benchtime, Rounds: map[int]int{},
		Command: o.command,
		Machine: fmt.Sprintf("%s, %d processors", processor(), runtime.GOMAXPROCS(0)),
		System:  runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Commit: commit(), Versions: versions(),
	}
	for _, p := range o.passes {
		a.Rounds[p.n] = p.rounds
	}
	return a
}

// processor is the name that the system has for it, "" if it tells none.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		if name, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// commit is the one of the sources, "" outside of a clone.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// versions are those of the modules that are measured.
func versions() (list []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	engines := map[string]string{
		"github.com/cilium/statedb": "statedb", "github.com/hashicorp/go-memdb": "go-memdb",
		"github.com/tidwall/buntdb": "buntdb", "go.etcd.io/bbolt": "bbolt", "modernc.org/sqlite": "modernc.org/sqlite",
	}
	for _, d := range info.Deps {
		if name := engines[d.Path]; name != "" {
			list = append(list, name+" "+d.Version)
		}
	}
	slices.Sort(list)
	return list
}
