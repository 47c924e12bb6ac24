package table

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wordings are families of keys that share beginnings of many lengths, differ in
// zero bytes only, or are prefixes of one another: what abbreviations could get
// wrong.
var wordings = map[string]func(rnd *rand.Rand) string{
	"short":    func(rnd *rand.Rand) string { return strings.Repeat("a", rnd.IntN(4)) + randomText(rnd, "ab", 3) },
	"zeros":    func(rnd *rand.Rand) string { return randomText(rnd, "\x00a", 12) },
	"numbered": func(rnd *rand.Rand) string { return fmt.Sprintf("user%07d@example.com", rnd.IntN(20_000)) },
	"long":     func(rnd *rand.Rand) string { return strings.Repeat("x", 14+rnd.IntN(6)) + randomText(rnd, "xyz", 9) },
	"deep":     func(rnd *rand.Rand) string { return strings.Repeat("path/", rnd.IntN(40)) + randomText(rnd, "pq", 5) },
	"bytes": func(rnd *rand.Rand) string {
		b := make([]byte, rnd.IntN(7))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return string(b)
	},
	"mixed": func(rnd *rand.Rand) string {
		return []string{"", "\xff", "https://example.com/", "https://example.org/"}[rnd.IntN(4)] + randomText(rnd, "0123456789", 4)
	},
}

func randomText(rnd *rand.Rand, letters string, most int) string {
	b := make([]byte, rnd.IntN(most+1))
	for i := range b {
		b[i] = letters[rnd.IntN(len(letters))]
	}
	return string(b)
}

// TestTreeText compares a tree over strings with a sorted list, while keys come in
// random and in ascending order and go again.
func TestTreeText(t *testing.T) {
	for name, word := range wordings {
		t.Run(name, func(t *testing.T) {
			rnd := seedOf(t)
			var tr tree[string, uint32, uint32]
			var want []string // sorted
			for step := range 6000 {
				k := word(rnd)
				i, has := slices.BinarySearch(want, k)
				switch grow := step < 3000; {
				case has && rnd.IntN(4) == 0, has && !grow:
					if rnd.IntN(2) == 0 {
						tr.remove(k)
					} else {
						l := tr.find(k)
						p := l.perm.Load()
						i, ok := l.search(p, k)
						require.True(t, ok)
						tr.removeAt(l, permAt(p, i), k)
					}
					want = slices.Delete(want, i, i+1)
				case !grow && len(want) > 0 && rnd.IntN(3) > 0:
					j := rnd.IntN(len(want))
					tr.remove(want[j])
					want = slices.Delete(want, j, j+1)
				default:
					l, slot, added := tr.put(k, uint64(len(k)))
					require.Equal(t, !has, added, "put %q", k)
					require.Equal(t, k, l.keys[slot])
					require.EqualValues(t, len(k), l.val(slot))
					if !has {
						want = slices.Insert(want, i, k)
					}
				}
				if step%100 == 0 {
					sameTree(t, rnd, &tr, want, word)
				}
			}
			for _, k := range want {
				tr.remove(k)
			}
			sameTree(t, rnd, &tr, nil, word)
			require.Nil(t, tr.root)
			ascending(t, rnd, word)
		})
	}
}

func ascending(t *testing.T, rnd *rand.Rand, word func(*rand.Rand) string) {
	var tr tree[string, uint32, uint32]
	list := make([]string, 2000)
	for i := range list {
		list[i] = word(rnd)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for _, k := range list {
		tr.put(k, 1)
	}
	sameTree(t, rnd, &tr, list, word)
}

// sameTree compares a tree with its keys in order, through each way of reading it.
func sameTree(t *testing.T, rnd *rand.Rand, tr *tree[string, uint32, uint32], want []string, word func(*rand.Rand) string) {
	require.NoError(t, tr.check())
	var got, back []string
	for c := tr.first(); c.ok(); c.next() {
		got = append(got, c.key())
	}
	for c := tr.last(); c.ok(); c.back() {
		back = append(back, c.key())
	}
	slices.Reverse(back)
	require.True(t, slices.Equal(want, got), "forward")
	require.True(t, slices.Equal(want, back), "backward")
	for range 50 {
		k := word(rnd)
		if len(want) > 0 && rnd.IntN(2) == 0 {
			k = want[rnd.IntN(len(want))]
		}
		if len(k) > 0 && rnd.IntN(3) == 0 {
			k = k[:rnd.IntN(len(k))]
		}
		i := sort.SearchStrings(want, k)
		c := tr.seek(k)
		require.Equal(t, i < len(want), c.ok(), "seek %q", k)
		if c.ok() {
			require.Equal(t, want[i], c.key(), "seek %q", k)
		}
		c = tr.seekBack(k)
		require.Equal(t, i > 0, c.ok(), "seekBack %q", k)
		if c.ok() {
			require.Equal(t, want[i-1], c.key(), "seekBack %q", k)
		}
	}
}
