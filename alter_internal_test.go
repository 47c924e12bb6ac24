package store

import (
	"context"
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/table"
)

// chain is how many buckets a name leads to: the newest, and those that snapshots
// show.
func chain(st *Store, name string) (n int) {
	for b := (*st.buckets.Load())[name]; b != nil; b = b.before.Load() {
		n++
	}
	return n
}

// collected reports whether a version is no more.
func collected(p weak.Pointer[table.Version]) bool {
	for range 3 {
		runtime.GC()
	}
	return p.Value() == nil
}

// What a bucket was is let go of when the last snapshot, transaction, or reader that
// shows it is through, whatever handles and queries of its time live on.
func TestAlterReleases(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close(ctx)) }()
	type rec struct {
		ID int64 `store:"id,key"`
		N  int64 `store:"n"`
	}
	h, err := Define[rec](ctx, st, "b")
	require.NoError(t, err)
	_, err = h.InsertMany(ctx, []rec{{1, 1}, {2, 2}, {3, 3}})
	require.NoError(t, err)
	query, dynamic := h.Where(Eq("n", 1)), h.Dynamic().Where(Eq("n", 1))
	for range 2 {
		_, err = query.All()
		require.NoError(t, err)
		_, err = dynamic.All()
		require.NoError(t, err)
	}
	q, err := DefineQuery(st, "q", func(q *QueryCtx, _ struct{}) (int, error) { return h.In(q).Where(Eq("n", 1)).Count() })
	require.NoError(t, err)
	_, err = q.Run(ctx, struct{}{})
	require.NoError(t, err)
	first := func() weak.Pointer[table.Version] { return weak.Make(h.home.now.Load().lookup(1)) }
	alter := func() {
		require.NoError(t, st.AlterBucket(ctx, "b", Change{Fields: Schema{"n": {Type: Int, Default: 1}}}))
	}

	v := first()
	alter()
	require.True(t, collected(v))
	require.Equal(t, 1, chain(st, "b"))

	v = first()
	snap := st.Snapshot()
	alter()
	require.False(t, collected(v))
	middle := first()
	alter()
	require.True(t, collected(middle), "no snapshot shows what it was between two alterations")
	require.Equal(t, 2, chain(st, "b"))
	r, ok := h.In(snap).Get(1)
	require.True(t, ok)
	require.Equal(t, rec{1, 1}, r)
	snap.Close()
	require.True(t, collected(v))
	require.Equal(t, 1, chain(st, "b"))

	v = first()
	for range h.All() {
		if v.Value() != nil && h.home.now.Load().since == 0 {
			continue
		}
		alter()
		break
	}
	require.True(t, collected(v), "an iterator was the last who read it")

	v = first()
	err = st.Transaction(ctx, func(tx *Tx) error {
		_, ok := h.In(tx).Get(1)
		require.True(t, ok)
		alter()
		require.False(t, collected(v))
		r, ok := h.In(tx).Get(2)
		require.True(t, ok)
		require.Equal(t, rec{2, 2}, r)
		return nil
	})
	require.NoError(t, err)
	require.True(t, collected(v))

	list, err := query.All()
	require.NoError(t, err)
	require.Len(t, list, 1)
	records, err := dynamic.All()
	require.NoError(t, err)
	require.Len(t, records, 1)
	runtime.KeepAlive(q)
}

// Snapshots of several alterations show what they did, in whatever order they are
// closed, and leave nothing behind.
func TestAlterSnapshotsInAnyOrder(t *testing.T) {
	ctx := context.Background()
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}} {
		st, err := Open(ctx, Options{})
		require.NoError(t, err)
		b, err := st.DefineBucket(ctx, "b", Definition{Key: "id", Schema: Schema{"id": {Type: Int}, "n": {Type: Int}}})
		require.NoError(t, err)
		_, err = b.Insert(ctx, Fields{"id": 1, "n": 0})
		require.NoError(t, err)
		var snaps []*Snapshot
		for i := range 4 {
			snaps = append(snaps, st.Snapshot())
			require.NoError(t, st.AlterBucket(ctx, "b", Change{MaxSize: 10 + i}))
			_, err = b.Update(ctx, 1, Fields{"n": i + 1})
			require.NoError(t, err)
		}
		open := map[int]bool{0: true, 1: true, 2: true, 3: true}
		for _, i := range order {
			for k := range open {
				r, ok := b.In(snaps[k]).Get(1)
				require.True(t, ok)
				require.EqualValues(t, k, r.Get("n"))
			}
			snaps[i].Close()
			delete(open, i)
			require.Equal(t, 1+len(open), chain(st, "b"))
		}
		require.NoError(t, st.Close(ctx))
	}
}
