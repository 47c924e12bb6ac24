package store

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/table"
)

type txItem struct {
	ID string `store:"id,key"`
	U  string `store:"u,unique,omitzero"`
	N  int    `store:"n,index"`
	Meta
}

func txItems(t *testing.T, st *Store, name string) *TypedBucket[txItem] {
	t.Helper()
	b, err := Define[txItem](context.Background(), st, name)
	require.NoError(t, err)
	return b
}

// TestCommitPanicsHalfway: a defect in the midst of applying a transaction, with
// one bucket done and another one begun, takes everything back.
func TestCommitPanicsHalfway(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	a, b := txItems(t, st, "a"), txItems(t, st, "b")
	for _, h := range []*TypedBucket[txItem]{a, b} {
		for i := range 10 {
			_, err := h.Insert(ctx, txItem{ID: fmt.Sprint(i), U: fmt.Sprint("u", i)})
			require.NoError(t, err)
		}
	}
	snap := st.Snapshot()
	err = st.Transaction(ctx, func(tx *Tx) error {
		for _, h := range []*TypedBucket[txItem]{a.In(tx), b.In(tx)} {
			for _, step := range [][2]string{{"1", "x"}, {"2", "u1"}, {"1", "u2"}} {
				_, err := h.Patch(ctx, step[0], Fields{"u": step[1], "n": 7})
				require.NoError(t, err)
			}
			require.NoError(t, h.Delete(ctx, "3"))
			_, err := h.Insert(ctx, txItem{ID: "new", U: "u3"})
			require.NoError(t, err)
		}
		// When all is checked, the second bucket gets a deletion of what is not there.
		st.fault = func(*request) {
			tb := tx.inLocked(b.home.of(nil))
			tb.list = append(tb.list, &txWrite{key: StringKey("nothing"), old: b.home.of(nil).lookup("5")})
		}
		return nil
	})
	st.fault = nil
	var pe *PanicError
	require.ErrorAs(t, err, &pe)
	for _, h := range []*TypedBucket[txItem]{a, b} {
		require.NoError(t, h.home.of(nil).check())
		before, now := slices.Collect(h.In(snap).All()), slices.Collect(h.All())
		require.Equal(t, before, now)
		n, err := h.Count(Eq("n", 0))
		require.NoError(t, err)
		require.Equal(t, 10, n)
		u, ok, err := h.FindOne(Eq("u", "u1"))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "1", u.ID)
		_, err = h.Insert(ctx, txItem{ID: "after", U: "after"})
		require.NoError(t, err)
	}
	snap.Close()
	require.Zero(t, st.recent.active.Load())
	require.NoError(t, st.Close(ctx))
}

// TestCommitOrderOfBuckets: all transactions take the buckets in one order, also
// when two of them had the same name one after the other: else two transactions
// could wait for one another.
func TestCommitOrderOfBuckets(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	old := txItems(t, st, "a")
	one, other := st.beginTx(0), st.beginTx(0)
	_, err = old.In(one).Insert(ctx, txItem{ID: "1"})
	require.NoError(t, err)
	require.NoError(t, st.DropBucket(ctx, "a"))
	next := txItems(t, st, "a")
	for _, b := range []*bucket{next.home.of(nil), old.home.of(nil)} {
		tb := other.in(b) // in the other order
		tb.list = append(tb.list, &txWrite{key: StringKey("1"), old: &table.Version{}})
	}
	_, err = next.In(one).Insert(ctx, txItem{ID: "1"})
	require.NoError(t, err)
	a, b := one.writtenLocked(), other.writtenLocked()
	require.Len(t, a, 2)
	require.Len(t, b, 2)
	require.Same(t, a[0].b, b[0].b, "two orders: a deadlock")
	one.end(true)
	other.end(true)
	require.NoError(t, st.Close(ctx))
}

// TestRecentIsEmptied: commits are kept only while there are transactions, and no
// more of them than was said.
func TestRecentIsEmptied(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{RecentCommits: 10})
	require.NoError(t, err)
	a := txItems(t, st, "a")
	for range 3 {
		require.NoError(t, st.Transaction(ctx, func(*Tx) error {
			for i := range 500 {
				_, err := a.Upsert(ctx, txItem{ID: "k", N: i})
				require.NoError(t, err)
			}
			r := &st.recent
			require.Equal(t, 10, len(r.commits)-r.first)
			require.Less(t, len(r.commits), 200)
			require.Equal(t, 10*r.commits[r.first].bytes(), r.bytes)
			return nil
		}))
		require.Empty(t, st.recent.commits)
		require.Zero(t, st.recent.bytes)
		_, err := a.Upsert(ctx, txItem{ID: "k"})
		require.NoError(t, err)
		require.Empty(t, st.recent.commits)
	}
	require.NoError(t, st.Close(ctx))
}
