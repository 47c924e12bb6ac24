package store_test

import (
	"context"
	"fmt"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// wideBucket has more fields than the header has absence bits, and room for
// others.
func wideBucket(t *testing.T) (*store.Store, *store.Bucket) {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close(ctx) })
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}, Extra: true}
	for i := range 70 {
		def.Schema[fmt.Sprintf("f%02d", i)] = store.Field{Type: store.Int}
	}
	b, err := s.DefineBucket(ctx, "wide", def)
	require.NoError(t, err)
	return s, b
}

func TestRecordIsOnePointer(t *testing.T) {
	ctx := context.Background()
	require.Equal(t, unsafe.Sizeof(uintptr(0)), unsafe.Sizeof(store.Record{}))
	_, b := wideBucket(t)
	none, ok := b.Get(1)
	require.False(t, ok)
	require.True(t, none == store.Record{})
	require.Nil(t, none.Map())
	require.Nil(t, none.Get("id"))
	require.False(t, none.Has("id"))
	require.True(t, none.Key().IsZero())
	require.Zero(t, none.Meta())

	first, err := b.Insert(ctx, store.Fields{"id": 1})
	require.NoError(t, err)
	again, _ := b.Get(1)
	require.True(t, first == again, "one version")
	next, err := b.Update(ctx, 1, store.Fields{"f00": 1})
	require.NoError(t, err)
	require.False(t, first == next, "two versions")
	all, err := b.Where().All()
	require.NoError(t, err)
	require.True(t, all[0] == next)
}

// What records have beside the header must never get into what they share.
func TestRecordsShareNoFields(t *testing.T) {
	ctx := context.Background()
	s, b := wideBucket(t)
	full := store.Fields{"id": 1}
	for i := range 70 {
		full[fmt.Sprintf("f%02d", i)] = i
	}
	one, err := b.Insert(ctx, full)
	require.NoError(t, err)
	two, err := b.Insert(ctx, store.Fields{"id": 2, "x": "extra"})
	require.NoError(t, err)
	require.True(t, one.Has("f69"))
	require.False(t, one.Has("x"))
	require.False(t, two.Has("f69"))
	require.Equal(t, "extra", two.Get("x"))

	less, err := b.Update(ctx, 1, store.Fields{"f69": nil, "y": 1})
	require.NoError(t, err)
	more, err := b.Update(ctx, 2, store.Fields{"f69": 3, "x": nil})
	require.NoError(t, err)
	require.True(t, one.Has("f69"))
	require.False(t, one.Has("y"))
	require.False(t, less.Has("f69"))
	require.Equal(t, int64(1), less.Get("y"))
	require.False(t, two.Has("f69"))
	require.Equal(t, "extra", two.Get("x"))
	require.Equal(t, int64(3), more.Get("f69"))
	require.False(t, more.Has("x"))
	require.NoError(t, store.CheckTables(s))
}

// Every way out of a query with Select shows the same, over more records than a
// batch has, and its records outlive the records' next versions.
func TestSelectedRecordsAreKept(t *testing.T) {
	ctx := context.Background()
	_, b := wideBucket(t)
	const n = 300
	for i := range n {
		_, err := b.Insert(ctx, store.Fields{"id": i, "f01": -i, "f40": i * 2, "x": i * 3, "y": i})
		require.NoError(t, err)
	}
	q := b.Where().Select("f40", "x")
	ways := map[string][]store.Record{}
	all, err := q.All()
	require.NoError(t, err)
	ways["All"] = all
	for r, err := range q.Seq() {
		require.NoError(t, err)
		ways["Seq"] = append(ways["Seq"], r)
	}
	require.NoError(t, q.Each(func(r *store.Record) bool {
		ways["Each"] = append(ways["Each"], *r)
		return true
	}))
	for cursor := store.Cursor(""); ; {
		p, err := q.Page(70, cursor)
		require.NoError(t, err)
		ways["Page"] = append(ways["Page"], p.Records...)
		if cursor = p.Next; !p.HasMore {
			break
		}
	}
	for i := range n {
		r, _, err := q.Offset(i).First()
		require.NoError(t, err)
		ways["First"] = append(ways["First"], r)
	}
	_, err = b.UpdateMany(ctx, store.Fields{"f40": 0, "x": 0})
	require.NoError(t, err)
	_, err = b.DeleteMany(ctx)
	require.NoError(t, err)
	for way, rs := range ways {
		require.Len(t, rs, n, way)
		for i, r := range rs {
			require.Equal(t, map[string]any{"id": int64(i), "f40": int64(i * 2), "x": int64(i * 3)}, r.Map(), way)
			require.Equal(t, store.IntKey(int64(i)), r.Key(), way)
			require.Nil(t, r.Get("f01"), way)
			require.False(t, r.Has("y"), way)
			require.Zero(t, r.Meta(), way)
		}
	}
}
