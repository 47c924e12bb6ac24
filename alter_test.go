package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func TestAlterBucket(t *testing.T) {
	s := openStore(t, store.Options{})
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}})
	require.NoError(t, err)
	for i := range 10 {
		_, err := b.Insert(bg, store.Fields{"id": i, "n": i % 3})
		require.NoError(t, err)
	}
	snap := s.Snapshot()
	defer snap.Close()
	q := b.Where(store.Eq("n", 1))
	_, err = q.All()
	require.NoError(t, err)
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{
		Fields: store.Schema{"s": {Type: store.String, Default: "x"}}, AddIndexes: []store.Index{{"n"}}, TTL: time.Hour,
	}))
	r, ok := b.Get(3)
	require.True(t, ok)
	require.Equal(t, "x", r.Get("s"))
	require.EqualValues(t, 1, r.Version())
	require.Equal(t, r.CreatedAt().Add(time.Hour), r.ExpiresAt())
	e, err := q.Explain()
	require.NoError(t, err)
	require.Equal(t, "index", e.Path)
	require.Equal(t, 3, e.Returned)
	r, _ = b.In(snap).Get(3)
	require.Nil(t, r.Get("s"))
	_, err = b.In(snap).Where(store.Eq("s", "x")).All()
	require.Error(t, err)
	_, err = b.Insert(bg, store.Fields{"id": 11, "s": "y"})
	require.NoError(t, err)
	require.NoError(t, store.CheckTables(s))
	err = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"n": {Type: store.Int, Unique: true}}})
	require.Error(t, err)
	t.Log(err)
	err = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"n": {Type: store.Int, Required: true, Max: store.Bound(1)}}})
	t.Log(err)
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{MaxSize: 4}))
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.EqualValues(t, 7, s.Stats().Evicted.Total)
}
