package reactive

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// random is seeded by REACTIVE_SEED, or anew; the seed is logged.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("REACTIVE_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("REACTIVE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// key is a number as a string that sorts like it.
func key(i int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(i))) }

// name is a point of 12 bytes, as the encoding of one number has.
func name(i int) string { return "num:" + key(i) }

// span is the interval from one number up to another.
func span(lo, hi int) Interval { return Interval{Lo: key(lo), Hi: key(hi)} }

// check fails the test unless the invariants hold, each as its type's comment states it.
func check[W any](t testing.TB, r *Regions[W]) {
	t.Helper()
	c := checker[W]{}
	taken := 0
	for i := range r.points.spots {
		s := &r.points.spots[i]
		if s.empty() {
			c.want(*s == spot[W]{}, "an empty spot with a hash")
			continue
		}
		taken++
		point := s.point()
		c.want(s.hash == maphash.String(r.points.seed, point), "a wrong hash")
		c.want(r.points.find(s.hash, point) == s, "a spot that is not found")
		if s.everywhere != nil {
			c.ring(s.everywhere, point, nil)
		}
		c.last = nil
		c.tree(s.root, point)
	}
	c.want(taken == r.points.taken && 4*taken <= 3*len(r.points.spots), "a table that is too full")
	c.want(r.n == c.places && r.Len() == c.places, "a wrong count")
	require.Empty(t, c.faults)
}

// checker collects faults rather than requires each condition: it runs after every operation of the model test.
type checker[W any] struct {
	faults []string
	places int
	last   *node[W] // the one before, in the order of the tree
}

func (c *checker[W]) want(ok bool, fault string) {
	if !ok {
		c.faults = append(c.faults, fault)
	}
}

func (c *checker[W]) ring(head *Place[W], point string, in *node[W]) {
	for p := head; ; p = p.next {
		c.want(p.point == point, "a place of another point")
		c.want(p.in == in, "a place in the ring of another interval")
		c.want(p.prev.next == p && p.next.prev == p, "a torn ring")
		c.places++
		if p.next == head {
			return
		}
	}
}

func (c *checker[W]) tree(n *node[W], point string) {
	if n == nil {
		return
	}
	c.tree(n.left, point)
	c.want(c.last == nil || c.last.compare(n.interval()) < 0, "nodes out of order")
	c.last = n
	c.want(n.interval() == n.interval().canonical(), "an interval in another form")
	c.want(n.interval() != everything, "an interval without bounds in the tree")
	if n.places == nil {
		c.want(false, "an interval that nobody watches")
	} else {
		c.ring(n.places, point, n)
	}
	c.tree(n.right, point)

	left, right := n.left.high(), n.right.high()
	c.want(-1 <= left-right && left-right <= 1, "out of balance")
	c.want(n.height == 1+max(left, right), "a wrong height")
	c.greatest(n)
}

// greatest compares the greatest hi that a node knows with its own and those that its children know.
func (c *checker[W]) greatest(n *node[W]) {
	noMax, most := n.noHi, n.hi
	for _, child := range []*node[W]{n.left, n.right} {
		if child != nil {
			noMax = noMax || child.noMax
			most = max(most, child.max)
		}
	}
	if noMax {
		most = ""
	}
	c.want(n.noMax == noMax && n.max == most, "a wrong greatest hi")
}
