package store_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type liveUser struct {
	ID   string `store:"id,key"`
	Role string `store:"role,index"`
	Age  int    `store:"age,index"`
}

type byRole struct{ Role string }

func openUsers(t *testing.T) (*store.Store, *store.TypedBucket[liveUser]) {
	t.Helper()
	return openTyped[liveUser](t, store.Options{}, "users")
}

func TestLiveQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, users := openUsers(t)
		q := defineLive(t, st, "by-role", func(q *store.QueryCtx, p byRole) ([]liveUser, error) {
			return users.In(q).Where(store.Eq("role", p.Role)).All()
		})
		sub := subscribeLive(t, q, byRole{"admin"})
		ev := nextOf(t, sub)
		require.Empty(t, ev.Result)
		insertLive(t, users, liveUser{ID: "a", Role: "admin"})
		ev = nextOf(t, sub)
		require.Len(t, ev.Result, 1)
		require.Equal(t, store.Seq(1), ev.Seq)
		insertLive(t, users, liveUser{ID: "b", Role: "user"})
		settleLive(t, st)
		got, err := q.Run(bg, byRole{"admin"})
		require.NoError(t, err)
		require.Len(t, got, 1)
		n := defineLive(t, st, "count", func(q *store.QueryCtx, _ none) (int, error) {
			return users.In(q).Count(store.Eq("role", "admin"))
		})
		var counts []int
		stop, err := n.OnChange(bg, none{}, func(n int) { counts = append(counts, n) })
		require.NoError(t, err)
		insertLive(t, users, liveUser{ID: "c", Role: "admin"})
		settleLive(t, st)
		require.Equal(t, []int{2}, counts)
		insertLive(t, users, liveUser{ID: "d", Role: "user"})
		settleLive(t, st)
		require.Equal(t, []int{2}, counts)
		stop()
		sub.Close()
		_, err = sub.Next(bg)
		require.ErrorIs(t, err, store.ErrUnsubscribed)
	})
}

// Together brings several queries at one commit, whichever of them changed.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, users := openUsers(t)
		list := defineLive(t, st, "list", func(q *store.QueryCtx, p byRole) ([]liveUser, error) {
			return users.In(q).Where(store.Eq("role", p.Role)).All()
		})
		count := defineLive(t, st, "count", func(q *store.QueryCtx, _ none) (int, error) {
			return users.In(q).Count()
		})
		admins := subscribeLive(t, list, byRole{"admin"})
		all := subscribeLive(t, count, none{})
		both, err := store.Together(bg, admins, all)
		require.NoError(t, err)
		ev, err := both.Next(bg)
		require.NoError(t, err)
		require.Empty(t, admins.At(ev).Result)
		require.Zero(t, all.At(ev).Result)

		for i := range 100 {
			role := "user"
			if i%3 == 0 {
				role = "admin"
			}
			seq := st.Stats().Commits
			insertLive(t, users, liveUser{ID: fmt.Sprint(i), Role: role})
			ev, err = both.Next(bg)
			require.NoError(t, err)
			require.Greater(t, ev.Seq, seq)
			require.Equal(t, i+1, all.At(ev).Result)
			require.Len(t, admins.At(ev).Result, i/3+1)
		}
		admins.Close() // the others go on
		insertLive(t, users, liveUser{ID: "x", Role: "admin"})
		ev, err = both.Next(bg)
		require.NoError(t, err)
		require.Len(t, admins.At(ev).Result, 35)
		other := subscribeLive(t, list, byRole{"user"})
		require.Panics(t, func() { other.At(ev) })
		both.Close()
		_, err = both.Next(bg)
		require.ErrorIs(t, err, store.ErrUnsubscribed)
		_, err = store.Together(bg)
		require.Error(t, err)
	})
}

func TestExplainLive(t *testing.T) {
	st, users := openUsers(t)
	q := defineLive(t, st, "q", func(q *store.QueryCtx, p byRole) (int, error) {
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
	state, err := q.Explain(byRole{"admin"})
	require.NoError(t, err)
	require.False(t, state.Live)
	for i := range 10 {
		insertLive(t, users, liveUser{ID: fmt.Sprint(i), Role: "admin", Age: 30 + i})
	}
	subscribeLive(t, q, byRole{"admin"})
	state, err = st.ExplainQuery("q", byRole{"admin"})
	require.NoError(t, err)
	require.True(t, state.Live)
	require.Equal(t, []string{`bucket "users": the record with key boss`}, state.Reads)
	insertLive(t, users, liveUser{ID: "boss", Role: "boss", Age: 77})
	settleLive(t, st)
	state, err = q.Explain(byRole{"admin"})
	require.NoError(t, err)
	require.Equal(t, []string{
		`bucket "users": the record with key boss`,
		`bucket "users": records with role = "admin" and age from 38`,
		`a value of bucket "users": records with age from 30 up to and with 40; fields age`,
	}, state.Reads)
	require.EqualValues(t, 2, state.Evaluations)
	require.Equal(t, 1, state.Subscribers)
	insertLive(t, users, liveUser{ID: "young", Role: "admin", Age: 20})
	insertLive(t, users, liveUser{ID: "other", Role: "user", Age: 35})
	settleLive(t, st)
	state, err = q.Explain(byRole{"admin"})
	require.NoError(t, err)
	require.EqualValues(t, 3, state.Evaluations, "the sum is another one, the two oldest admins are the same")
	require.Contains(t, state.String(), "3 evaluations")
}

// What a write looks at does not grow with the subscriptions that it does not
// concern, by equality and by intervals.
func TestLiveVisited(t *testing.T) {
	visited := func(n int, filter func(p int) []store.Filter) float64 {
		st, users := openUsers(t)
		q := defineLive(t, st, "q", func(q *store.QueryCtx, p int) ([]liveUser, error) {
			return users.In(q).Where(filter(p)...).All()
		})
		for p := range n {
			subscribeLive(t, q, p)
		}
		before := st.Stats().Queries
		const writes = 200
		for i := range writes {
			p := i * 7919 % n
			insertLive(t, users, liveUser{ID: fmt.Sprint(i), Role: fmt.Sprint(p), Age: p})
		}
		settleLive(t, st)
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
