package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type txAccount struct {
	ID      string `store:"id,key"`
	Owner   string `store:"owner,unique,omitzero"`
	Region  string `store:"region,index"`
	Balance int    `store:"balance,index"`
	store.Meta
}

func txBuckets(t *testing.T) (*store.Store, *store.TypedBucket[txAccount], *store.TypedBucket[txAccount]) {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(ctx)) })
	a, err := store.Define[txAccount](ctx, s, "a")
	require.NoError(t, err)
	b, err := store.Define[txAccount](ctx, s, "b")
	require.NoError(t, err)
	return s, a, b
}

// TestTransactionAcrossBuckets: all writes of a transaction become visible in one
// commit, with one group of events.
func TestTransactionAcrossBuckets(t *testing.T) {
	ctx := context.Background()
	s, a, b := txBuckets(t)
	_, err := a.Insert(ctx, txAccount{ID: "x", Balance: 100})
	require.NoError(t, err)
	_, err = b.Insert(ctx, txAccount{ID: "y", Balance: 0})
	require.NoError(t, err)
	var seqs []store.Seq
	stop, err := s.On("bucket.*.*", func(e store.Event) { seqs = append(seqs, e.Seq) })
	require.NoError(t, err)
	defer stop()
	err = s.Transaction(ctx, func(tx *store.Tx) error {
		from, ok := a.In(tx).Get("x")
		require.True(t, ok)
		if _, err := a.In(tx).Patch(ctx, "x", store.Fields{"balance": from.Balance - 30}); err != nil {
			return err
		}
		now, _ := a.In(tx).Get("x")
		require.Equal(t, 70, now.Balance)
		outside, _ := a.Get("x")
		require.Equal(t, 100, outside.Balance)
		n, err := a.In(tx).Count(store.Lt("balance", 100))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		_, err = b.In(tx).Update(ctx, "y", func(u *txAccount) error { u.Balance += 30; return nil })
		return err
	})
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.Equal(t, []store.Seq{3, 3}, seqs)
	x, _ := a.Get("x")
	y, _ := b.Get("y")
	require.Equal(t, []int{70, 30}, []int{x.Balance, y.Balance})
	require.Equal(t, store.Version(2), x.Version)
	require.NoError(t, store.CheckTables(s))
}

// TestTransactionConflicts: what was read must be as it was, predicates included.
func TestTransactionConflicts(t *testing.T) {
	ctx := context.Background()
	s, a, b := txBuckets(t)
	for _, id := range []string{"k1", "k2", "k3"} {
		_, err := a.Insert(ctx, txAccount{ID: id, Region: "north", Balance: 10})
		require.NoError(t, err)
	}
	reads := map[string]func(tx *store.Tx){
		"key":    func(tx *store.Tx) { a.In(tx).Get("k1") },
		"absent": func(tx *store.Tx) { a.In(tx).Get("new") },
		"count":  func(tx *store.Tx) { _, _ = a.In(tx).Count(store.Eq("region", "north")) },
		"scan":   func(tx *store.Tx) { _, _ = a.In(tx).Where(store.Contains("region", "ORT")).All() },
		"first":  func(tx *store.Tx) { _, _, _ = a.In(tx).OrderBy(store.Desc("balance")).First() },
		"sum":    func(tx *store.Tx) { _, _ = a.In(tx).Sum("balance") },
		"iterator": func(tx *store.Tx) {
			for range a.In(tx).All() {
				break
			}
		},
	}
	writes := map[string]func() error{
		"update": func() error { _, err := a.Patch(ctx, "k1", store.Fields{"balance": 20}); return err },
		"insert": func() error { _, err := a.Insert(ctx, txAccount{ID: "new", Region: "north", Balance: 5}); return err },
		"far":    func() error { _, err := a.Insert(ctx, txAccount{ID: "far", Region: "south", Balance: 5}); return err },
	}
	conflict := map[string]string{
		"key": "update", "absent": "insert", "count": "insert", "scan": "update insert",
		"first": "update", "sum": "update insert far", "iterator": "update",
	}
	for r, read := range reads {
		for w, write := range writes {
			t.Run(r+" beside "+w, func(t *testing.T) {
				err := s.Transaction(ctx, func(tx *store.Tx) error {
					read(tx)
					if err := write(); err != nil {
						return err
					}
					_, err := b.In(tx).Upsert(ctx, txAccount{ID: "w"})
					return err
				})
				var c *store.ConflictError
				if errors.As(err, &c) {
					require.Equal(t, "a", c.Bucket)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, contains(conflict[r], w), c != nil)
				_, err = a.Patch(ctx, "k1", store.Fields{"balance": 10})
				require.NoError(t, err)
				_, err = a.DeleteMany(ctx, store.In("id", "new", "far"))
				require.NoError(t, err)
			})
		}
	}
}

func contains(words, word string) bool {
	for len(words) > 0 {
		i := 0
		for i < len(words) && words[i] != ' ' {
			i++
		}
		if words[:i] == word {
			return true
		}
		words = words[min(i+1, len(words)):]
	}
	return false
}
