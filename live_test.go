package store_test

import (
	"context"
	"fmt"
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

// Together brings several queries at one commit, whichever of them changed.
func TestTogether(t *testing.T) {
	ctx := context.Background()
	st, users := openLive(t)
	list, err := store.DefineQuery(st, "list", func(q *store.QueryCtx, p byRole) ([]liveUser, error) {
		return users.In(q).Where(store.Eq("role", p.Role)).All()
	})
	require.NoError(t, err)
	count, err := store.DefineQuery(st, "count", func(q *store.QueryCtx, _ struct{}) (int, error) {
		return users.In(q).Count()
	})
	require.NoError(t, err)
	admins, err := list.Subscribe(ctx, byRole{"admin"})
	require.NoError(t, err)
	all, err := count.Subscribe(ctx, struct{}{})
	require.NoError(t, err)
	both, err := store.Together(ctx, admins, all)
	require.NoError(t, err)
	ev, err := both.Next(ctx)
	require.NoError(t, err)
	require.Empty(t, admins.At(ev).Result)
	require.Zero(t, all.At(ev).Result)

	for i := range 100 {
		role := "user"
		if i%3 == 0 {
			role = "admin"
		}
		seq := st.Stats().Commits
		_, err = users.Insert(ctx, liveUser{ID: fmt.Sprint(i), Role: role})
		require.NoError(t, err)
		ev, err = both.Next(ctx)
		require.NoError(t, err)
		require.Greater(t, ev.Seq, seq)
		require.Equal(t, i+1, all.At(ev).Result)
		require.Len(t, admins.At(ev).Result, i/3+1)
	}
	admins.Close() // the others go on
	_, err = users.Insert(ctx, liveUser{ID: "x", Role: "admin"})
	require.NoError(t, err)
	ev, err = both.Next(ctx)
	require.NoError(t, err)
	require.Len(t, admins.At(ev).Result, 35)
	other, err := list.Subscribe(ctx, byRole{"user"})
	require.NoError(t, err)
	require.Panics(t, func() { other.At(ev) })
	both.Close()
	_, err = both.Next(ctx)
	require.ErrorIs(t, err, store.ErrUnsubscribed)
	_, err = store.Together(ctx)
	require.Error(t, err)
}

func TestExplainLive(t *testing.T) {
	ctx := context.Background()
	st, users := openLive(t)
	q, err := store.DefineQuery(st, "q", func(q *store.QueryCtx, p byRole) (int, error) {
		if _, ok := users.In(q).Get("boss"); !ok {
			return 0, nil
		}
		some, err := users.In(q).Where(store.Eq("role", p.Role)).OrderBy(store.Desc("age")).Limit(2).All()
		if err != nil {
			return 0, err
		}
		n, err := users.In(q).Where(store.Between("age", 30, 40)).Sum("age")
		return len(some) + int(n), err
	})
	require.NoError(t, err)
	state, err := q.Explain(byRole{"admin"})
	require.NoError(t, err)
	require.False(t, state.Live)
	for i := range 10 {
		_, err := users.Insert(ctx, liveUser{ID: fmt.Sprint(i), Role: "admin", Age: 30 + i})
		require.NoError(t, err)
	}
	_, err = q.Subscribe(ctx, byRole{"admin"})
	require.NoError(t, err)
	state, err = st.ExplainQuery("q", byRole{"admin"})
	require.NoError(t, err)
	require.True(t, state.Live)
	require.Equal(t, []string{`bucket "users": the record with key boss`}, state.Reads)
	_, err = users.Insert(ctx, liveUser{ID: "boss", Role: "boss", Age: 77})
	require.NoError(t, err)
	require.NoError(t, st.Settle(ctx))
	state, err = q.Explain(byRole{"admin"})
	require.NoError(t, err)
	require.Equal(t, []string{
		`bucket "users": the record with key boss`,
		`bucket "users": records with role = "admin" and age from 38`,
		`a value of bucket "users": records with age from 30 up to and with 40; fields age`,
	}, state.Reads)
	require.EqualValues(t, 2, state.Evaluations)
	require.Equal(t, 1, state.Subscribers)
	_, err = users.Insert(ctx, liveUser{ID: "young", Role: "admin", Age: 20})
	require.NoError(t, err)
	_, err = users.Insert(ctx, liveUser{ID: "other", Role: "user", Age: 35})
	require.NoError(t, err)
	require.NoError(t, st.Settle(ctx))
	state, err = q.Explain(byRole{"admin"})
	require.NoError(t, err)
	require.EqualValues(t, 3, state.Evaluations, "the sum is another one, the two oldest admins are the same")
	require.Contains(t, state.String(), "3 evaluations")
}

// What a write looks at does not grow with the subscriptions that it does not
// concern, by equality and by intervals.
func TestLiveVisited(t *testing.T) {
	ctx := context.Background()
	visited := func(n int, filter func(p int) []store.Filter) float64 {
		st, users := openLive(t)
		q, err := store.DefineQuery(st, "q", func(q *store.QueryCtx, p int) ([]liveUser, error) {
			return users.In(q).Where(filter(p)...).All()
		})
		require.NoError(t, err)
		for p := range n {
			_, err := q.Subscribe(ctx, p)
			require.NoError(t, err)
		}
		before := st.Stats().Queries
		const writes = 200
		for i := range writes {
			p := i * 7919 % n
			_, err := users.Insert(ctx, liveUser{ID: fmt.Sprint(i), Role: fmt.Sprint(p), Age: p})
			require.NoError(t, err)
		}
		require.NoError(t, st.Settle(ctx))
		after := st.Stats().Queries
		require.LessOrEqual(t, after.Evaluations-before.Evaluations, int64(writes))
		require.EqualValues(t, writes, after.Changes-before.Changes)
		return float64(after.Visited-before.Visited) / writes
	}
	const most = 20_000 // BenchmarkLiveEqualities and BenchmarkLiveRanges go to 100,000
	equal := func(p int) []store.Filter { return []store.Filter{store.Eq("role", fmt.Sprint(p))} }
	require.LessOrEqual(t, visited(most, equal), visited(100, equal)+0.01)
	between := func(p int) []store.Filter { return []store.Filter{store.Gte("age", p), store.Lt("age", p+1)} }
	require.LessOrEqual(t, visited(most, between), 2*visited(100, between)+2) // the logarithm of 200 times more
}
