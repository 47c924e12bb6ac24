package store_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What the tests of live queries have in common: stores with a bucket of a usual
// shape, and each call of the library that has to succeed as one line.

type none = struct{}

var (
	bg     = context.Background()
	errFoe = errors.New("foe")
)

// foe is a record of most of the tests.
type foe struct {
	ID   string `store:"id,key"`
	Kind string `store:"kind,index"`
	N    int    `store:"n,index"`
}

// openTyped opens a store with a bucket of Ts; it is closed when the test ends.
func openTyped[T any](t *testing.T, opt store.Options, bucket string) (*store.Store, *store.TypedBucket[T]) {
	t.Helper()
	st, err := store.Open(bg, opt)
	require.NoError(t, err)
	t.Cleanup(func() { closeLive(t, st) })
	b, err := store.Define[T](bg, st, bucket)
	require.NoError(t, err)
	return st, b
}

// openFoes opens a store with a bucket "foes".
func openFoes(t *testing.T, opt store.Options) (*store.Store, *store.TypedBucket[foe]) {
	t.Helper()
	return openTyped[foe](t, opt, "foes")
}

// putFoe inserts a foe of kind "k", or updates it.
func putFoe(t *testing.T, foes *store.TypedBucket[foe], id string, n int) {
	t.Helper()
	_, err := foes.Upsert(bg, foe{ID: id, Kind: "k", N: n})
	require.NoError(t, err)
}

// insertLive inserts one record.
func insertLive[T any](t *testing.T, b *store.TypedBucket[T], v T) {
	t.Helper()
	_, err := b.Insert(bg, v)
	require.NoError(t, err)
}

// defineNumbers defines a bucket of records with a number of their own, id, and
// another one, n.
func defineNumbers(t *testing.T, st *store.Store, name string, indexes ...store.Index) *store.Bucket {
	t.Helper()
	b, err := st.DefineBucket(bg, name, store.Definition{
		Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}, Indexes: indexes,
	})
	require.NoError(t, err)
	return b
}

// putNumber inserts a record, or updates it.
func putNumber(t *testing.T, b *store.Bucket, id, n int) {
	t.Helper()
	_, err := b.Upsert(bg, store.Fields{"id": id, "n": n})
	require.NoError(t, err)
}

// closeLive closes a store; to close it again is no error.
func closeLive(t *testing.T, st *store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 10*time.Second)
	defer cancel()
	require.NoError(t, st.Close(ctx))
}

func defineLive[P, R any](t *testing.T, st *store.Store, name string, fn func(*store.QueryCtx, P) (R, error)) *store.ReactiveQuery[P, R] {
	t.Helper()
	q, err := store.DefineQuery(st, name, fn)
	require.NoError(t, err)
	return q
}

func subscribeLive[P, R any](t *testing.T, q *store.ReactiveQuery[P, R], p P) *store.Subscription[R] {
	t.Helper()
	s, err := q.Subscribe(bg, p)
	require.NoError(t, err)
	return s
}

// nextOf is the next event, which must come soon. It is for bubbles of synctest,
// where no load of the machine makes five seconds pass.
func nextOf[R any](t *testing.T, s *store.Subscription[R]) store.QueryEvent[R] {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 5*time.Second)
	defer cancel()
	ev, err := s.Next(ctx)
	require.NoError(t, err, "no event came")
	return ev
}

// quiet fails if there is an event that has not been delivered.
func quiet[R any](t *testing.T, st *store.Store, s *store.Subscription[R]) {
	t.Helper()
	settleLive(t, st)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	ev, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled, "an event came: %+v", ev)
}

// settleLive waits until all is delivered. The limit is for a store that never
// comes to that, and long enough for a machine with other work.
func settleLive(t *testing.T, st *store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	require.NoError(t, st.Settle(ctx))
}

// fromScratch is what a query returns at a snapshot, past all that is live.
func fromScratch[P, R any](t *testing.T, st *store.Store, q *store.ReactiveQuery[P, R], p P) R {
	t.Helper()
	snap := st.Snapshot()
	defer snap.Close()
	r, err := q.RunIn(snap, p)
	require.NoError(t, err)
	return r
}

// oneWorker leaves one place for evaluations, so that it is known who evaluates.
func oneWorker(t *testing.T) {
	was := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}
