package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/table"
)

// TestTxTree: the tree against a sorted slice, with walks that began before
// later changes.
func TestTxTree(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		r := rand.New(rand.NewPCG(seed, 4))
		random := func() txEntry {
			e := txEntry{class: txValue, ordinal: uint64(r.IntN(300)), v: &table.Version{}}
			switch r.IntN(8) {
			case 0:
				e.class = txNull
			case 1:
				e.key.Text = string(rune('a' + r.IntN(26)))
			default:
				e.key.Word = uint64(r.IntN(40))
			}
			return e
		}
		var model []txEntry
		for range 200 {
			e := random()
			if i, ok := slices.BinarySearchFunc(model, e, compareEntries); !ok {
				model = slices.Insert(model, i, e)
			}
		}
		tree := newTxTree(slices.Clone(model))
		type held struct {
			walk      txWalk
			got, want []txEntry
		}
		var open []*held
		for step := range 20000 {
			// It grows, shrinks to nothing, and grows again.
			if e := random(); r.IntN(10) < []int{8, 8, 2, 1}[step/2500%4] {
				i, ok := slices.BinarySearchFunc(model, e, compareEntries)
				if ok {
					model[i] = e
				} else {
					model = slices.Insert(model, i, e)
				}
				tree.add(&e)
			} else {
				if len(model) > 0 && r.IntN(4) > 0 {
					e = model[r.IntN(len(model))]
				}
				if i, ok := slices.BinarySearchFunc(model, e, compareEntries); ok {
					model = slices.Delete(model, i, i+1)
				}
				tree.remove(&e)
			}
			if r.IntN(20) == 0 {
				s := txSpan{lo: random(), hi: random()}
				if r.IntN(4) == 0 {
					s.lo, s.hi = txEntry{}, txEntry{class: txEnd}
				}
				back, flat := r.IntN(2) == 0, r.IntN(2) == 0
				if !flat {
					s.lo.ordinal, s.hi.ordinal = 0, 0 // keys are taken whole
				}
				want := wantSpan(model, s, back, flat)
				require.Equal(t, len(want), tree.count(&s))
				open = append(open, &held{walk: txWalk{root: tree.root, spans: []txSpan{s}, back: back, flat: flat}, want: want})
				tree.freeze()
			}
			if len(open) > 0 {
				i := r.IntN(len(open))
				h := open[i]
				n := len(h.got)
				h.got = h.walk.next(slices.Grow(h.got, 1+r.IntN(40))[:n])
				if len(h.got) < cap(h.got) {
					require.Equal(t, h.want, append([]txEntry(nil), h.got...))
					open = slices.Delete(open, i, i+1)
				}
			}
		}
	}
}

func compareEntries(a, b txEntry) int { return a.compare(&b) }

// wantSpan is an interval of a sorted slice in the order of a walk.
func wantSpan(model []txEntry, s txSpan, back, flat bool) (want []txEntry) {
	for _, e := range model {
		if e.compare(&s.lo) >= 0 && e.compare(&s.hi) < 0 {
			want = append(want, e)
		}
	}
	if back {
		slices.SortStableFunc(want, func(a, b txEntry) int {
			if !flat {
				a.ordinal, b.ordinal = 0, 0
			}
			return b.compare(&a)
		})
	}
	return want
}
