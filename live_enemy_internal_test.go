package store

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// openRetained opens a store with a query that counts the records of a bucket.
func openRetained(t *testing.T) (*Store, *Bucket, *ReactiveQuery[int, int]) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close(ctx)) })
	b, err := st.DefineBucket(ctx, "b", Definition{Key: "id", Schema: Schema{"id": {Type: String}, "n": {Type: Int}}})
	require.NoError(t, err)
	q, err := DefineQuery(st, "q", func(q *QueryCtx, p int) (int, error) {
		list, err := b.In(q).Where(Eq("n", p)).All()
		if err != nil {
			return 0, err
		}
		n, err := b.In(q).Count()
		_, _ = q.Bucket("b")
		q.Now(time.Minute)
		return len(list) + n, err
	})
	require.NoError(t, err)
	return st, b, q
}

// After all subscribers have left, and a second has passed, nothing is left of
// their queries.
func TestEnemyNothingIsRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		st, b, q := openRetained(t)
		var subs []*Subscription[int]
		for i := range 200 {
			sub, err := q.Subscribe(ctx, i%20)
			require.NoError(t, err)
			subs = append(subs, sub)
			_, err = b.Insert(ctx, Fields{"id": fmt.Sprint(i), "n": i % 20})
			require.NoError(t, err)
		}
		require.NoError(t, st.Settle(ctx))
		for _, sub := range subs {
			sub.Close()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r := st.live
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Empty(t, r.nodes)
		require.Empty(t, r.watched)
		require.Empty(t, r.dues)
		require.Empty(t, r.lingering)
		require.Empty(t, r.evals)
		require.Empty(t, r.kept)
		require.Zero(t, r.queue.len())
		require.Zero(t, r.subscribers)
		require.Zero(t, r.inbox.active.Load())
	})
}

// The inbox holds on to the commits that were matched last, with the old and new
// versions of all their records, until another commit comes in; which is never,
// once nobody subscribes.
func TestEnemyInboxKeepsNoCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		st, b, q := openRetained(t)
		sub, err := q.Subscribe(ctx, 1)
		require.NoError(t, err)
		_, err = b.Insert(ctx, Fields{"id": "a", "n": 1})
		require.NoError(t, err)
		require.NoError(t, st.Settle(ctx))
		sub.Close()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		in := &st.live.inbox
		in.mu.Lock()
		defer in.mu.Unlock()
		for _, ev := range append(in.spare[:cap(in.spare)], in.commits[:cap(in.commits)]...) {
			require.Nil(t, ev, "a commit that was matched")
		}
	})
}

// UndefineQuery between the look-up of a name and the making of the node: the
// subscription must not be one that nothing can end or bring up to date.
func TestEnemyUndefineWhileSubscribing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		st, _, q := openRetained(t)
		p, key, err := q.def.encode(1) // what Subscribe does first
		require.NoError(t, err)
		require.NoError(t, st.UndefineQuery("q"))
		_, err = st.live.subscribe(ctx, q.def, p, key, nil)
		require.ErrorIs(t, err, ErrQueryNotDefined)
	})
}
