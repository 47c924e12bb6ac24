package store

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seamStore is a store with a bucket of numbers.
func seamStore(t *testing.T, opt Options, def Definition) (*Store, *Bucket) {
	t.Helper()
	ctx := context.Background()
	st, err := Open(ctx, opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close(ctx)) })
	def.Key, def.Schema = "id", Schema{"id": {Type: Int}, "n": {Type: Int}}
	b, err := st.DefineBucket(ctx, "b", def)
	require.NoError(t, err)
	for id := range 10 {
		_, err := b.Insert(ctx, Fields{"id": id, "n": id})
		require.NoError(t, err)
	}
	return st, b
}

func agree(Record) error { return nil }

// UpdateMany of a bucket with validators is a transaction where writers are in its
// way. If the bucket is altered just before that begins, the transaction sees
// records of the new bucket: they were prepared in the shape of the old one, and
// the update did not come to an end.
func TestUpdateTogetherOfAnAlteredBucket(t *testing.T) {
	ctx := context.Background()
	st, h := seamStore(t, Options{}, Definition{Validate: agree})
	old := h.home.now.Load()
	require.NoError(t, st.AlterBucket(ctx, "b", Change{Fields: Schema{"a": {Type: String, Default: "x"}}}))
	_, err := old.updateTogether(ctx, Fields{"n": 7}, nil)
	require.ErrorIs(t, err, errMoved)
	n, err := h.home.now.Load().updateTogether(ctx, Fields{"n": 7}, nil)
	require.NoError(t, err)
	require.Equal(t, 10, n)
	require.NoError(t, CheckTables(st))
}

// DeleteMany calls nothing of the user's, so that it may become the writer also of a
// bucket with validators: it used to give up, with an error that nobody knows.
func TestDeleteManyOfAJudgedBucket(t *testing.T) {
	st, h := seamStore(t, Options{}, Definition{Validate: agree})
	stale := 0
	st.fault = func(r *request) {
		if r.since != 0 && stale < optimistic {
			stale++
			r.since = 1 // as if there had been a commit in between
		}
	}
	n, err := h.DeleteMany(context.Background(), Gte("n", 4))
	require.NoError(t, err)
	require.Equal(t, 6, n)
	require.Equal(t, optimistic, stale)
	left, err := h.Count()
	require.NoError(t, err)
	require.Equal(t, 4, left)
}

// What expires is counted by the writer, before an alteration takes the count over;
// and a purge that comes to a bucket which is no more goes on with the one that is.
func TestExpiryBesideAlteration(t *testing.T) {
	ctx := context.Background()
	now := time.Now()
	st, h := seamStore(t, Options{TTLInterval: -1, Clock: func() time.Time { return now }}, Definition{})
	old := h.home.now.Load()
	require.NoError(t, st.AlterBucket(ctx, "b", Change{TTL: time.Minute}))
	now = now.Add(time.Hour)
	n, err := old.purge(ctx)
	require.NoError(t, err)
	require.Equal(t, 10, n)

	_, err = h.Insert(ctx, Fields{"id": 1, "n": 1})
	require.NoError(t, err)
	now = now.Add(time.Hour)
	b := h.home.now.Load()
	r := b.server.newRequest()
	r.op, r.due = opExpire, nowMillis(now)
	require.True(t, b.server.do(ctx, r))
	require.NoError(t, r.err)
	require.Equal(t, 1, r.count)
	require.EqualValues(t, 11, b.room.expired.Load())
}

// An answer goes back to the bucket that has lent it, empty, however it ends.
func TestAnswersComeBackEmpty(t *testing.T) {
	ctx := context.Background()
	st, h := seamStore(t, Options{}, Definition{Indexes: []Index{{"n"}}})
	q := h.Where(Gte("n", 2)).OrderBy(Desc("id"))
	empty := func() {
		t.Helper()
		for b := h.home.now.Load(); b != nil; b = b.before.Load() {
			for range 8 {
				x, ok := b.answers.Get().(*exec)
				if !ok {
					break
				}
				require.Equal(t, answer{}, x.answer)
				require.Nil(t, x.room.conds)
				for _, v := range x.buf {
					require.Nil(t, v)
				}
			}
		}
		require.Empty(t, st.pins.Pinned(nil))
	}
	ask := map[string]func(){
		"a loop left early": func() {
			for range q.Seq() {
				break
			}
		},
		"a panic in a loop": func() {
			require.Panics(t, func() {
				for range q.Seq() {
					panic("mine")
				}
			})
		},
		"an answer in a loop": func() {
			for range q.Seq() {
				for range q.Seq() {
					_, err := q.Where(Or(Eq("n", 1), Eq("n", 3))).Count()
					require.NoError(t, err)
				}
			}
		},
		"an alteration in a loop": func() {
			n := 0
			for _, err := range q.Seq() {
				require.NoError(t, err)
				if n++; n == 1 {
					require.NoError(t, st.AlterBucket(ctx, "b", Change{AddIndexes: []Index{{"id", "n"}}}))
					list, err := q.All()
					require.NoError(t, err)
					require.Len(t, list, 8)
					require.NoError(t, st.AlterBucket(ctx, "b", Change{DropIndexes: []Index{{"id", "n"}}}))
				}
			}
			require.Equal(t, 8, n)
		},
		"errors": func() {
			_, err := h.Where(Eq("none", 1)).All()
			require.Error(t, err)
			_, err = q.Page(3, "no cursor")
			require.Error(t, err)
			_, _, err = q.Min("none")
			require.Error(t, err)
		},
		"a union": func() {
			_, err := h.Where(Or(Eq("n", 1), Eq("id", 3))).All()
			require.NoError(t, err)
			_, err = h.Where(Or(Eq("n", 1), Eq("id", 3))).Explain()
			require.NoError(t, err)
		},
	}
	for name, fn := range ask {
		t.Run(name, func(t *testing.T) {
			fn()
			empty()
		})
	}
}
