package store

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A line against a slice, with bursts beyond what an empty one keeps.
func TestLine(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var l line[*int]
	var model []*int
	for range 200 {
		most := 10
		if rng.IntN(50) == 0 {
			most = 2 * lineMost
		}
		for range rng.IntN(most) {
			v := new(int)
			l.push(v)
			model = append(model, v)
		}
		for n := rng.IntN(2 * most); n > 0 && len(model) > 0; n-- {
			require.Same(t, model[0], l.pop())
			model = model[1:]
		}
		require.Equal(t, len(model), l.len())
		require.Equal(t, len(model), len(l.waiting()))
		for i, v := range l.waiting() {
			if v != model[i] {
				t.Fatal("another one at", i)
			}
		}
		for i, v := range l.all[:l.next] {
			if v != nil {
				t.Fatal("what has left is kept at", i)
			}
		}
	}
	for l.len() > 0 {
		l.pop()
	}
	require.LessOrEqual(t, cap(l.all), lineMost)
}
