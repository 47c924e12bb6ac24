package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type liveUser struct {
	ID   string `store:"id,key"`
	Role string `store:"role,index"`
	Age  int    `store:"age,index"`
}

type byRole struct{ Role string }

func openLive(t *testing.T) (*store.Store, *store.TypedBucket[liveUser]) {
	st, err := store.Open(context.Background(), store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, st.Close(ctx))
	})
	users, err := store.Define[liveUser](context.Background(), st, "users")
	require.NoError(t, err)
	return st, users
}

func TestLiveQuery(t *testing.T) {
	ctx := context.Background()
	st, users := openLive(t)
	q, err := store.DefineQuery(st, "by-role", func(q *store.QueryCtx, p byRole) ([]liveUser, error) {
		return users.In(q).Where(store.Eq("role", p.Role)).All()
	})
	require.NoError(t, err)
	sub, err := q.Subscribe(ctx, byRole{"admin"})
	require.NoError(t, err)
	ev, err := sub.Next(ctx)
	require.NoError(t, err)
	require.Empty(t, ev.Result)
	_, err = users.Insert(ctx, liveUser{ID: "a", Role: "admin"})
	require.NoError(t, err)
	ev, err = sub.Next(ctx)
	require.NoError(t, err)
	require.Len(t, ev.Result, 1)
	require.Equal(t, store.Seq(1), ev.Seq)
	_, err = users.Insert(ctx, liveUser{ID: "b", Role: "user"})
	require.NoError(t, err)
	require.NoError(t, st.Settle(ctx))
	got, err := q.Run(ctx, byRole{"admin"})
	require.NoError(t, err)
	require.Len(t, got, 1)
	n, err := store.DefineQuery(st, "count", func(q *store.QueryCtx, _ struct{}) (int, error) {
		return users.In(q).Count(store.Eq("role", "admin"))
	})
	require.NoError(t, err)
	var counts []int
	stop, err := n.OnChange(ctx, struct{}{}, func(n int) { counts = append(counts, n) })
	require.NoError(t, err)
	_, err = users.Insert(ctx, liveUser{ID: "c", Role: "admin"})
	require.NoError(t, err)
	require.NoError(t, st.Settle(ctx))
	require.Equal(t, []int{2}, counts)
	_, err = users.Insert(ctx, liveUser{ID: "d", Role: "user"})
	require.NoError(t, err)
	require.NoError(t, st.Settle(ctx))
	require.Equal(t, []int{2}, counts)
	stop()
	sub.Close()
	_, err = sub.Next(ctx)
	require.ErrorIs(t, err, store.ErrUnsubscribed)
}
