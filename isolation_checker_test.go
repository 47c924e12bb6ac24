package store_test

import (
	"fmt"
	"slices"
	"strings"
)

// The checker of the list-append workload, after Elle: values are unique and only
// ever appended, so the final list of a key tells the order of its versions, and
// what a transaction read tells between which of them it ran. From that come the
// dependencies, and a cycle among them is an anomaly.

// listRead is what a transaction learned of one list: that its length was between
// lo and hi, and, where items is not nil, what was in it. own is how many values
// the reader itself had appended before.
type listRead struct {
	key    int
	lo, hi int
	items  []int
	own    int
}

type listAppend struct{ key, val int }

// listTx is one transaction of a history. Snapshots and plain writes are
// transactions too.
type listTx struct {
	what       string
	begin, end int64
	committed  bool
	reads      []listRead
	appends    []listAppend
}

type edgeKind uint8

const (
	edgeWW edgeKind = 1 << iota // wrote the version after
	edgeWR                      // read what was written
	edgeRW                      // wrote the version after the one that was read
	edgeRT                      // began after the end
)

func (k edgeKind) String() string {
	return map[edgeKind]string{edgeWW: "ww", edgeWR: "wr", edgeRW: "rw", edgeRT: "rt"}[k]
}

type depEdge struct {
	to   int
	kind edgeKind
}

// history is what the checker works on. Nodes are transactions; behind them come
// those of the time line.
type history struct {
	txs    []listTx
	final  [][]int
	writer []map[int]int // of each key: from value to transaction
	edges  [][]depEdge
	found  []string
}

// maxFound is enough to understand a failure.
const maxFound = 10

func (h *history) report(format string, args ...any) {
	if len(h.found) < maxFound {
		h.found = append(h.found, fmt.Sprintf(format, args...))
	}
}

// checkHistory returns the anomalies of a history.
func checkHistory(txs []listTx, final [][]int) []string {
	h := &history{txs: txs, final: final, edges: make([][]depEdge, len(txs))}
	h.index()
	h.versions()
	for i := range h.txs {
		if h.txs[i].committed {
			h.readsOf(i)
			h.lostUpdate(i)
		}
	}
	h.cycle("G0", edgeWW)
	h.cycle("G1c", edgeWW|edgeWR)
	h.antiCycle("", edgeWW|edgeWR)
	if len(h.found) == 0 { // each of those would show again
		h.timeline()
		h.cycle("strict: real time against ww and wr", edgeWW|edgeWR|edgeRT)
		h.antiCycle("strict: ", edgeWW|edgeWR|edgeRT)
	}
	return h.found
}

func (h *history) index() {
	h.writer = make([]map[int]int, len(h.final))
	for k := range h.writer {
		h.writer[k] = map[int]int{}
	}
	for i := range h.txs {
		for _, a := range h.txs[i].appends {
			h.writer[a.key][a.val] = i
		}
	}
}

func (h *history) edge(from, to int, kind edgeKind) {
	if from != to {
		h.edges[from] = append(h.edges[from], depEdge{to, kind})
	}
}

// versions checks the final lists and makes the ww edges.
func (h *history) versions() {
	for k, list := range h.final {
		seen := map[int]bool{}
		for p, val := range list {
			w, ok := h.writer[k][val]
			switch {
			case !ok:
				h.report("key %d: value %d was never written", k, val)
				return
			case !h.txs[w].committed:
				h.report("G1a: key %d has %d of the aborted %s", k, val, h.name(w))
			case seen[val]:
				h.report("key %d has %d twice", k, val)
			}
			seen[val] = true
			if p > 0 {
				h.edge(h.writer[k][list[p-1]], w, edgeWW)
			}
		}
		for val, w := range h.writer[k] {
			if h.txs[w].committed && !seen[val] {
				h.report("lost update: key %d lacks %d of %s", k, val, h.name(w))
			}
		}
	}
}

// at is the transaction that wrote the p-th value of a key, from 1 on.
func (h *history) at(k, p int) (int, bool) {
	if p < 1 || p > len(h.final[k]) {
		return 0, false
	}
	w, ok := h.writer[k][h.final[k][p-1]]
	return w, ok
}

// readsOf checks what a transaction read and makes its wr and rw edges.
func (h *history) readsOf(i int) {
	for _, r := range h.txs[i].reads {
		lo, hi := r.lo-r.own, r.hi-r.own
		if r.items != nil && !h.prefix(i, r) {
			continue
		}
		if w, ok := h.at(r.key, lo); ok && lo > 0 {
			h.edge(w, i, edgeWR)
			if next, ok := h.at(r.key, lo+1); lo == hi && ok && next == w && w != i {
				h.report("G1b: %s read the middle of what %s wrote to key %d", h.name(i), h.name(w), r.key)
			}
		} else if lo > 0 {
			h.report("%s read %d values of key %d, which has %d in the end", h.name(i), lo, r.key, len(h.final[r.key]))
		}
		if w, ok := h.at(r.key, hi+1); ok {
			h.edge(i, w, edgeRW)
		}
	}
}

// prefix reports whether a list that was read is a beginning of the final one,
// and then the reader's own values.
func (h *history) prefix(i int, r listRead) bool {
	var own []int
	for _, a := range h.txs[i].appends {
		if a.key == r.key && len(own) < r.own {
			own = append(own, a.val)
		}
	}
	n := len(r.items) - r.own
	if n < 0 || !slices.Equal(r.items[n:], own) {
		h.report("internal: %s read %v of key %d after it had appended %v", h.name(i), r.items, r.key, own)
		return false
	}
	for _, val := range r.items[:n] {
		if w, ok := h.writer[r.key][val]; !ok || !h.txs[w].committed {
			h.report("G1a: %s read %d of key %d, which was not committed", h.name(i), val, r.key)
			return false
		}
	}
	if n > len(h.final[r.key]) || !slices.Equal(r.items[:n], h.final[r.key][:n]) {
		h.report("lost update: %s read %v of key %d, no beginning of %v", h.name(i), r.items[:n], r.key, h.final[r.key])
		return false
	}
	return true
}

// lostUpdate looks for a version between the one that a transaction read and the
// one that it made of it.
func (h *history) lostUpdate(i int) {
	for _, r := range h.txs[i].reads {
		if r.items == nil {
			continue
		}
		for _, a := range h.txs[i].appends {
			if a.key != r.key {
				continue
			}
			if p := slices.Index(h.final[a.key], a.val) + 1; p != len(r.items)-r.own+1 {
				h.report("lost update: %s read %d values of key %d and wrote the one at %d", h.name(i), len(r.items)-r.own, a.key, p)
			}
			break // the first one decides
		}
	}
}

// timeline makes the edges of real time: every transaction leads to the moment of
// its end, that to the next, and the last moment before its begin to each
// transaction. So their number is linear.
func (h *history) timeline() {
	var order []int
	for i := range h.txs {
		if h.txs[i].committed {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return int(h.txs[a].end - h.txs[b].end) })
	base := len(h.txs)
	h.edges = append(h.edges, make([][]depEdge, len(order))...)
	for n, i := range order {
		h.edge(i, base+n, edgeRT)
		if n > 0 {
			h.edge(base+n-1, base+n, edgeRT)
		}
	}
	for _, i := range order {
		n, _ := slices.BinarySearchFunc(order, h.txs[i].begin, func(j int, begin int64) int { return int(h.txs[j].end - begin) })
		if n > 0 {
			h.edge(base+n-1, i, edgeRT)
		}
	}
}

// components numbers the strongly connected components of the edges of some
// kinds, by Tarjan's algorithm without recursion.
func (h *history) components(kinds edgeKind) []int {
	n := len(h.edges)
	comp, low, num := make([]int, n), make([]int, n), make([]int, n)
	next := make([]int, n)
	var stack, path []int
	count, comps := 0, 0
	for root := range n {
		if num[root] != 0 {
			continue
		}
		path = append(path[:0], root)
		for len(path) > 0 {
			v := path[len(path)-1]
			if num[v] == 0 {
				count++
				num[v], low[v] = count, count
				stack = append(stack, v)
			}
			if next[v] < len(h.edges[v]) {
				e := h.edges[v][next[v]]
				next[v]++
				switch {
				case e.kind&kinds == 0:
				case num[e.to] == 0:
					path = append(path, e.to)
				case comp[e.to] == 0:
					low[v] = min(low[v], num[e.to])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				up := path[len(path)-1]
				low[up] = min(low[up], low[v])
			}
			if low[v] == num[v] {
				comps++
				stack = h.popComponent(stack, v, comp, comps)
			}
		}
	}
	return comp
}

func (h *history) popComponent(stack []int, v int, comp []int, id int) []int {
	for {
		u := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		comp[u] = id
		if u == v {
			return stack
		}
	}
}

// cycle reports a cycle of edges of some kinds.
func (h *history) cycle(name string, kinds edgeKind) {
	comp := h.components(kinds)
	for v := range h.edges {
		for _, e := range h.edges[v] {
			if e.kind&kinds != 0 && comp[e.to] == comp[v] {
				h.report("%s: %s", name, h.walk(v, e, kinds, comp))
				return
			}
		}
	}
}

// antiCycle reports a cycle with rw edges: with one of them, if there is such a
// cycle, read skew; else write skew.
func (h *history) antiCycle(prefix string, kinds edgeKind) {
	comp := h.components(kinds | edgeRW)
	g2 := ""
	for v := range h.edges {
		for _, e := range h.edges[v] {
			if e.kind != edgeRW || comp[e.to] != comp[v] {
				continue
			}
			if path := h.walk(v, e, kinds, comp); path != "" {
				h.report("%sG-single (read skew): %s", prefix, path)
				return
			}
			if g2 == "" {
				g2 = h.walk(v, e, kinds|edgeRW, comp)
			}
		}
	}
	if g2 != "" {
		h.report("%sG2 (write skew): %s", prefix, g2)
	}
}

// walk follows edges within a component from e's end back to its begin, on a
// shortest way, and describes the cycle; "" if there is no way.
func (h *history) walk(from int, e depEdge, kinds edgeKind, comp []int) string {
	type step struct {
		prev int
		kind edgeKind
	}
	came := map[int]step{e.to: {-1, e.kind}}
	queue := []int{e.to}
	for len(queue) > 0 && queue[0] != from {
		v := queue[0]
		queue = queue[1:]
		for _, out := range h.edges[v] {
			if _, seen := came[out.to]; !seen && out.kind&kinds != 0 && comp[out.to] == comp[v] {
				came[out.to] = step{v, out.kind}
				queue = append(queue, out.to)
			}
		}
	}
	if len(queue) == 0 {
		return ""
	}
	text := ""
	for v := from; v >= 0; v = came[v].prev {
		text = fmt.Sprintf(" -%s-> %s%s", came[v].kind, h.name(v), text)
	}
	return h.name(from) + text
}

func (h *history) name(i int) string {
	if i >= len(h.txs) {
		return fmt.Sprintf("moment %d", i-len(h.txs))
	}
	t := &h.txs[i]
	var text strings.Builder
	text.WriteString(fmt.Sprintf("T%d(%s %d..%d", i, t.what, t.begin, t.end))
	for _, r := range t.reads {
		text.WriteString(fmt.Sprintf(" r%d:%d-%d", r.key, r.lo-r.own, r.hi-r.own))
	}
	for _, a := range t.appends {
		text.WriteString(fmt.Sprintf(" w%d:%d", a.key, a.val))
	}
	return text.String() + ")"
}
