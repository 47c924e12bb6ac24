package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// seeds returns n new seeds, or the one in STORE_SEED, to replay a failure.
func seeds(t *testing.T, n int) []uint64 {
	if s := os.Getenv("STORE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		return []uint64{seed}
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = rand.Uint64() >> 16
	}
	return list
}

var people = []string{"ana", "ben", "cleo"}

func newBoard(t *testing.T) *Board {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	b, err := NewBoard(t.Context(), s)
	require.NoError(t, err)
	for _, p := range people {
		_, err := b.members.Insert(t.Context(), Member{Handle: p, Email: p + "@example.com"})
		require.NoError(t, err)
	}
	require.NoError(t, b.SetLimit(t.Context(), "doing", 3))
	require.NoError(t, b.SetLimit(t.Context(), "review", 2))
	return b
}

// TestModel does the same moves on the board and on plain slices.
func TestModel(t *testing.T) {
	limit := map[string]int{"todo": 1 << 30, "doing": 3, "review": 2, "done": 1 << 30}
	for _, seed := range seeds(t, 3) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			b := newBoard(t)
			model := map[string][]int{}
			where := func(id int) (string, int) {
				for name, ids := range model {
					if i := slices.Index(ids, id); i >= 0 {
						return name, i
					}
				}
				return "", -1
			}
			for step := range 400 {
				id := 1 + r.IntN(20)
				switch r.IntN(8) {
				case 0:
					c, err := b.Add(t.Context(), Card{Title: fmt.Sprint("card ", step), Assignee: people[r.IntN(3)]})
					require.NoError(t, err)
					model["todo"] = append(model["todo"], c.ID)
				case 1:
					err := b.Remove(t.Context(), id)
					name, at := where(id)
					if at < 0 {
						require.ErrorIs(t, err, store.ErrNotFound)
						continue
					}
					require.NoError(t, err)
					model[name] = slices.Delete(model[name], at, at+1)
				default:
					to, pos := columns[r.IntN(4)], r.IntN(9)-2
					err := b.Move(t.Context(), id, to, pos)
					name, at := where(id)
					var full *FullError
					switch {
					case at < 0:
						require.ErrorIs(t, err, store.ErrNotFound)
						continue
					case name != to && len(model[to]) >= limit[to]:
						require.ErrorAs(t, err, &full)
						continue
					}
					require.NoError(t, err)
					model[name] = slices.Delete(model[name], at, at+1)
					model[to] = slices.Insert(model[to], min(max(pos, 0), len(model[to])), id)
				}
				board, err := b.Columns()
				require.NoError(t, err)
				for _, name := range columns {
					require.Len(t, board[name], len(model[name]))
					for i, c := range board[name] {
						require.Equal(t, i, c.Position)
						require.Equal(t, model[name][i], c.ID)
					}
				}
			}
		})
	}
}

// TestTogether has several people move cards at the same time, while a live query
// looks at the whole board: no commit shows a gap, two cards in a place, or a
// column above its limit.
func TestTogether(t *testing.T) {
	b := newBoard(t)
	sound, err := store.DefineQuery(b.s, "sound", func(q *store.QueryCtx, _ struct{}) (int, error) {
		count := map[string]int{}
		for c, err := range b.cards.In(q).OrderBy(store.Asc("column"), store.Asc("position")).Seq() {
			if err != nil {
				return 0, err
			}
			if c.Position != count[c.Column] {
				return 0, fmt.Errorf("card %d of %s is at %d, not at %d", c.ID, c.Column, c.Position, count[c.Column])
			}
			count[c.Column]++
		}
		if count["doing"] > 3 || count["review"] > 2 {
			return 0, fmt.Errorf("beyond the limit: %v", count)
		}
		return count["todo"] + count["doing"] + count["review"] + count["done"], nil
	})
	require.NoError(t, err)
	sub, err := sound.Subscribe(t.Context(), struct{}{})
	require.NoError(t, err)
	for i := range 12 {
		_, err := b.Add(t.Context(), Card{Title: fmt.Sprint("card ", i), Assignee: people[i%3]})
		require.NoError(t, err)
	}
	seed := seeds(t, 1)[0]
	t.Logf("STORE_SEED=%d", seed)
	var movers sync.WaitGroup
	for n := range 4 {
		movers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			for range 60 {
				err := b.Move(t.Context(), 1+r.IntN(12), columns[r.IntN(4)], r.IntN(5))
				var full *FullError
				var conflict *store.ConflictError
				if err != nil && !errors.As(err, &full) && !errors.As(err, &conflict) {
					t.Errorf("move: %v", err)
				}
			}
		})
	}
	for done := false; !done; {
		ev, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.NoError(t, ev.Err)
		done = ev.Result == 12
	}
	movers.Wait()
	require.NoError(t, b.s.Settle(t.Context()))
	require.NoError(t, sub.Current().Err)
	state, err := sound.Explain(struct{}{})
	require.NoError(t, err)
	require.Zero(t, state.Failures)
}

// TestLastPlace has two cards go for the last place of a column, again and again:
// one gets it.
func TestLastPlace(t *testing.T) {
	b := newBoard(t)
	require.NoError(t, b.SetLimit(t.Context(), "doing", 1))
	for i := range 2 {
		_, err := b.Add(t.Context(), Card{Title: fmt.Sprint("card ", i), Assignee: "ana"})
		require.NoError(t, err)
	}
	for range 50 {
		var both sync.WaitGroup
		var errs [2]error
		for i := range errs {
			both.Go(func() { errs[i] = b.Move(t.Context(), 1+i, "doing", 0) })
		}
		both.Wait()
		loser := 1
		if errs[0] != nil {
			loser = 0
		}
		var full *FullError
		require.NoError(t, errs[1-loser])
		require.ErrorAs(t, errs[loser], &full)
		require.NoError(t, b.Move(t.Context(), 2-loser, "todo", 0))
	}
}

// TestOnlyWhoIsConcerned holds that a list is evaluated for its owner's cards.
func TestOnlyWhoIsConcerned(t *testing.T) {
	b := newBoard(t)
	sub, err := b.work.Subscribe(t.Context(), Assigned{"cleo"})
	require.NoError(t, err)
	defer sub.Close()
	before, err := b.work.Explain(Assigned{"cleo"})
	require.NoError(t, err)
	for i := range 20 {
		_, err := b.Add(t.Context(), Card{Title: fmt.Sprint("card ", i), Assignee: "ana"})
		require.NoError(t, err)
	}
	require.NoError(t, b.s.Settle(t.Context()))
	after, err := b.work.Explain(Assigned{"cleo"})
	require.NoError(t, err)
	require.Equal(t, before.Evaluations, after.Evaluations)
}
