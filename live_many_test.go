package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// manyLive is more nodes than those from which memory is read ahead.
const manyLive = 5000

// TestLiveMany has so many nodes that those which wait are read ahead, with
// parameters and results of all kinds, and writes to many of them at a time: every
// node comes to what a run from scratch does.
func TestLiveMany(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	type deep struct {
		ID string
		By *int
	}
	ids := make([]string, manyLive)
	for i := range ids {
		ids[i] = fmt.Sprintf("foe %d", i)
		insertLive(t, foes, foe{ID: ids[i], Kind: ids[i], N: i})
	}
	byKind := func(q *store.QueryCtx, id string) ([]foe, error) { return foes.In(q).Where(store.Eq("kind", id)).All() }
	results := map[string]func(q *store.QueryCtx, p deep) (any, error){
		"slice":   func(q *store.QueryCtx, p deep) (any, error) { return byKind(q, p.ID) },
		"struct":  func(q *store.QueryCtx, p deep) (any, error) { f, _ := foes.In(q).Get(p.ID); return f, nil },
		"pointer": func(q *store.QueryCtx, p deep) (any, error) { f, _ := foes.In(q).Get(p.ID); return &f, nil },
		"nothing": func(q *store.QueryCtx, p deep) (any, error) { _, err := byKind(q, p.ID); return nil, err },
		"empty": func(q *store.QueryCtx, p deep) (any, error) {
			list, err := byKind(q, p.ID)
			return make([]struct{}, len(list)), err
		},
		"small": func(q *store.QueryCtx, p deep) (any, error) {
			f, ok := foes.In(q).Get(p.ID)
			return ok && f.N%2 == 0, nil
		},
		"map": func(q *store.QueryCtx, p deep) (any, error) {
			f, _ := foes.In(q).Get(p.ID)
			return map[string]int{f.ID: f.N}, nil
		},
		"failure": func(q *store.QueryCtx, p deep) (any, error) {
			f, _ := foes.In(q).Get(p.ID)
			if f.N%2 == 1 {
				return nil, errors.New(f.Kind)
			}
			return f.Kind, nil
		},
	}
	names := make([]string, 0, len(results))
	queries := map[string]*store.ReactiveQuery[deep, any]{}
	for name, fn := range results {
		names = append(names, name)
		queries[name] = defineLive(t, st, name, fn)
	}
	subs := make([]*store.Subscription[any], manyLive)
	for i, id := range ids {
		subs[i] = subscribeLive(t, queries[names[i%len(names)]], deep{ID: id, By: &i})
	}
	for round := range 3 {
		for i := round; i < manyLive; i += 3 {
			switch i % 5 {
			case 0:
				require.NoError(t, foes.Delete(bg, ids[i]))
			case 1: // out of what the query reads, and in again in the next round
				_, err := foes.Upsert(bg, foe{ID: ids[i], Kind: "other", N: i + round})
				require.NoError(t, err)
			default:
				_, err := foes.Upsert(bg, foe{ID: ids[i], Kind: ids[i], N: -i - round})
				require.NoError(t, err)
			}
		}
		settleLive(t, st)
		for i, id := range ids {
			q, p := queries[names[i%len(names)]], deep{ID: id, By: &i}
			snap := st.Snapshot()
			want, failure := q.RunIn(snap, p)
			snap.Close()
			ev := subs[i].Current()
			if failure != nil {
				require.EqualError(t, ev.Err, failure.Error(), "%s %s", names[i%len(names)], id)
				continue
			}
			require.NoError(t, ev.Err)
			require.Equal(t, want, ev.Result, "%s %s", names[i%len(names)], id)
		}
	}
	for i, s := range subs {
		if i%2 == 0 {
			s.Close()
		}
	}
	require.Equal(t, manyLive/2, st.Stats().Queries.ActiveSubscriptions)
}
