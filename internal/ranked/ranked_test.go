package ranked

import (
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// item is an entry of the tests: v does not count in the order.
type item struct{ k, v int }

func order(a, b *item) int { return cmp.Compare(a.k, b.k) }

// random is seeded by RANKED_SEED, or anew; the seed is logged.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("RANKED_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("RANKED_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func (t Tree[E]) list() (out []E) {
	t.Runs(0, math.MaxInt, func(run []E) { out = append(out, run...) })
	return out
}

// check fails the test unless the invariants hold.
func check(t testing.TB, tree Tree[item]) {
	t.Helper()
	faults := 0
	var walk func(n *node[item])
	walk = func(n *node[item]) {
		if n.size() == 0 || n.size() > most || n.id > tree.id || (n.height == 0) != (n.kids == nil) {
			faults++
		}
		for _, k := range n.kids {
			if k.node.height != n.height-1 || k != k.node.kid() {
				faults++
			}
			walk(k.node)
		}
	}
	if tree.root != nil {
		walk(tree.root)
	}
	require.Zero(t, faults)
}

// state is a tree and the list that it must be.
type state struct {
	tree Tree[item]
	want []item
}

// apply replays what Diff tells.
func apply(t testing.TB, a, b Window[item], was []item) []item {
	t.Helper()
	gone := map[int]bool{}
	put, both := map[int]item{}, map[int]item{}
	d := Differ[item]{
		Cmp:     order,
		Removed: func(at int, x *item) { require.Equal(t, was[at], *x); gone[at] = true },
		Added:   func(at int, x *item) { put[at] = *x },
		Both:    func(at int, x, y *item) { require.Equal(t, x.k, y.k); both[at] = *y },
	}
	d.Diff(a, b)
	var out []item
	for i, x := range was {
		for x, ok := put[len(out)]; ok; x, ok = put[len(out)] {
			out = append(out, x)
		}
		if !gone[i] {
			out = append(out, x)
		}
	}
	for x, ok := put[len(out)]; ok; x, ok = put[len(out)] {
		out = append(out, x)
	}
	for i, x := range both {
		out[i] = x
	}
	return out
}

func window(list []item, from, to int) []item {
	from = min(from, len(list))
	return append([]item(nil), list[from:max(min(to, len(list)), from)]...)
}

// TestModel compares trees with sorted slices: at once, and at the end, when they must not have changed.
func TestModel(t *testing.T) {
	r := random(t)
	for range 30 {
		keys := 1 + r.IntN(2000)
		states := []state{{}}
		if r.IntN(2) == 0 {
			var list []item
			for k := range keys {
				if r.IntN(2) == 0 {
					list = append(list, item{k, 0})
				}
			}
			states[0] = state{Build(slices.Clone(list)), list}
		}
		for step := range 60 {
			from := &states[r.IntN(len(states))]
			e, want := from.tree.Edit(order), slices.Clone(from.want)
			grow := r.IntN(4)
			for range r.IntN(1 + r.IntN(200)) {
				x := item{r.IntN(keys), step}
				i, found := slices.BinarySearchFunc(want, x, func(a, b item) int { return order(&a, &b) })
				if r.IntN(4) < grow {
					at, added := e.Put(&x)
					require.Equal(t, i, at)
					require.Equal(t, !found, added)
					if found {
						want[i] = x
					} else {
						want = slices.Insert(want, i, x)
					}
				} else {
					at, ok := e.Remove(&x)
					require.Equal(t, found, ok)
					if ok {
						require.Equal(t, i, at)
						want = slices.Delete(want, i, i+1)
					}
				}
			}
			if r.IntN(10) == 0 {
				n := r.IntN(len(want) + 2)
				e.Truncate(n)
				want = want[:min(n, len(want))]
			}
			require.Equal(t, len(want), e.Len())
			states = append(states, state{e.Tree(), want})
		}
		for _, s := range states {
			check(t, s.tree)
			require.Equal(t, append([]item(nil), s.want...), s.tree.list())
			if len(s.want) > 0 {
				i := r.IntN(len(s.want))
				require.Equal(t, s.want[i], s.tree.At(i))
			}
			o := states[r.IntN(len(states))]
			a, b := Window[item]{s.tree, 0, math.MaxInt}, Window[item]{o.tree, 0, math.MaxInt}
			if r.IntN(2) == 0 {
				a.From, a.To = r.IntN(len(s.want)+3), r.IntN(len(s.want)+3)
				b.From, b.To = r.IntN(len(o.want)+3), r.IntN(len(o.want)+3)
			}
			was, is := window(s.want, a.From, a.To), window(o.want, b.From, b.To)
			require.Equal(t, len(was), a.Len())
			require.Equal(t, is, apply(t, a, b, was))
		}
	}
}

// TestCost: what an edit copies, and a comparison looks at, grows with the logarithm of the list.
func TestCost(t *testing.T) {
	for _, n := range []int{1_000, 100_000} {
		list := make([]item, n)
		for i := range list {
			list[i].k = 2 * i
		}
		was := Build(list)
		e := was.Edit(order)
		_, added := e.Put(&item{k: n + 1})
		require.True(t, added)
		_, ok := e.Remove(&item{k: n / 2 * 2})
		require.True(t, ok)
		depth := was.root.height + 1
		require.LessOrEqual(t, e.Copied, 2*(depth+2))
		changes := 0
		count := func(int, *item) { changes++ }
		d := Differ[item]{Cmp: order, Removed: count, Added: count, Both: func(int, *item, *item) {}}
		d.Diff(Window[item]{was, 10, n - 10}, Window[item]{e.Tree(), 10, n - 10})
		require.Equal(t, 2, changes)
		require.LessOrEqual(t, d.Looked, 20*most*depth)
		require.LessOrEqual(t, depth, 6)
	}
}
