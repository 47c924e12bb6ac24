package bench

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What an operation does is asserted here, in rows touched and entries visited, and
// in allocs_test.go in allocations; how long it takes never is: these hold on any machine.

// TestRowsTouched holds the paths of the queries that are measured.
func TestRowsTouched(t *testing.T) {
	const n = 10_000
	users, _ := fill(t, open(t), n)
	third, ofAge := n/3, n/100 // of a role, of an age
	for _, c := range []struct {
		name              string
		q                 *store.Query[user]
		path              string
		touched, returned int
	}{
		{"key", users.Where(store.Eq("id", "nobody")), "key", 0, 0},
		{"unique", users.Where(store.Eq("email", newUser(7).Email)), "index", 1, 1},
		{"a third", users.Where(store.Eq("role", "user")), "index", third, third},
		{"first ten of it", users.Where(store.Eq("role", "user")).Limit(10), "index", 10, 10},
		{"a hundred of a range in order", users.Where(store.Gte("age", 40)).OrderBy(store.Asc("age")).Limit(100), "index", 100, 100},
		{"the same, backward", users.Where(store.Lt("age", 40)).OrderBy(store.Desc("age")).Limit(100), "index", 100, 100},
		{"a range", users.Where(store.Between("age", 40, 44)), "index", 5 * ofAge, 5 * ofAge},
		{"some values", users.Where(store.In("age", 3, 5, 7)), "index", 3 * ofAge, 3 * ofAge},
		{"the rarer of two values", users.Where(store.Eq("role", "user"), store.Eq("age", 40)), "index", ofAge, 34},
		{"first ten of all", users.Where().Limit(10), "scan", 10, 10},
		{"greatest ten by an index", users.OrderBy(store.Desc("age")).Limit(10), "index", 10, 10},
		{"greatest ten without one", users.OrderBy(store.Desc("value")).Limit(10), "scan", n, 10},
		{"without an index", users.Where(store.Between("value", 0, 9)), "scan", n, 10},
	} {
		e, err := c.q.Explain()
		require.NoError(t, err, c.name)
		require.Equal(t, c.path, e.Path, "%s: %v", c.name, e)
		require.Equal(t, c.returned, e.Returned, "%s: %v", c.name, e)
		require.LessOrEqual(t, e.TouchedRows, c.touched, "%s: %v", c.name, e)
	}
}

// TestLiveVisits holds that a write evaluates the one query that it concerns, and to
// how many entries of the index it leads on the way: as many with 10,000 queries by key
// or by equality as with 100, and with queries by interval a path down the tree for where
// the record was and one for where it is.
func TestLiveVisits(t *testing.T) {
	same := func(int) float64 { return 2 }
	for name, c := range map[string]struct {
		most  func(n int) float64
		query func(*store.TypedBucket[cell], *store.QueryCtx, int) ([]cell, error)
	}{
		"key": {same, func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error) {
			c, _ := bucket.In(q).Get(p + 1)
			return []cell{c}, nil
		}},
		"equality": {same, func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error) {
			return bucket.In(q).Where(store.Eq("room", p)).All()
		}},
		"interval": {func(n int) float64 { return 2 * math.Log2(float64(n)) }, func(bucket *store.TypedBucket[cell], q *store.QueryCtx, p int) ([]cell, error) {
			return bucket.In(q).Where(store.Gte("score", p), store.Lt("score", p+1)).All()
		}},
	} {
		for _, n := range []int{100, 10_000} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				require.LessOrEqual(t, visits(t, n, c.query), c.most(n))
			})
		}
	}
}

// visits returns how many entries a write leads to, with n queries of which one is about its record.
func visits(t *testing.T, n int, query func(*store.TypedBucket[cell], *store.QueryCtx, int) ([]cell, error)) float64 {
	s := open(t)
	bucket := cells(t, s, n)
	live, err := store.DefineQuery(s, "live", func(q *store.QueryCtx, p int) ([]cell, error) { return query(bucket, q, p) })
	require.NoError(t, err)
	for i := range n {
		_, err := live.Subscribe(ctx, i)
		require.NoError(t, err)
	}
	require.NoError(t, s.Settle(ctx))
	before := s.Stats().Queries
	const writes = 50
	for i := range writes {
		_, err := bucket.Update(ctx, 1+i*7919%n, func(c *cell) error { c.Text = fmt.Sprint(i); return nil })
		require.NoError(t, err)
		require.NoError(t, s.Settle(ctx))
	}
	after := s.Stats().Queries
	require.Equal(t, n, after.Nodes)
	require.EqualValues(t, writes, after.Evaluations-before.Evaluations, "one for each write")
	require.Zero(t, after.Unchanged-before.Unchanged, "evaluated in vain")
	return float64(after.Visited-before.Visited) / writes
}

// TestLiveShared holds that subscribers of one query with equal parameters cost one
// evaluation, and that a write that concerns nobody costs none.
func TestLiveShared(t *testing.T) {
	s := open(t)
	bucket := cells(t, s, 10)
	live, err := store.DefineQuery(s, "live", func(q *store.QueryCtx, p int) (cell, error) {
		c, _ := bucket.In(q).Get(p)
		return c, nil
	})
	require.NoError(t, err)
	for range 1000 {
		_, err := live.OnChange(ctx, 1, func(cell) {})
		require.NoError(t, err)
	}
	require.NoError(t, s.Settle(ctx))
	for id, want := range map[int]int64{1: 1, 2: 0} {
		before := s.Stats().Queries.Evaluations
		_, err := bucket.Update(ctx, id, func(c *cell) error { c.Score++; return nil })
		require.NoError(t, err)
		require.NoError(t, s.Settle(ctx))
		require.Equal(t, want, s.Stats().Queries.Evaluations-before, "record %d", id)
	}
}

// TestOneEntry holds that a commit of many records is one entry of the log, and one sync.
func TestOneEntry(t *testing.T) {
	opt := inFiles(t.TempDir())
	opt.Persistence.Durability = store.Sync
	s, err := store.Open(ctx, opt)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	users, err := store.Define[user](ctx, s, "users")
	require.NoError(t, err)
	before := s.Stats().Persistence
	batch := make([]user, 1000)
	for i := range batch {
		batch[i] = newUser(i)
	}
	_, err = users.InsertMany(ctx, batch)
	require.NoError(t, err)
	after := s.Stats().Persistence
	require.EqualValues(t, 1, after.Appends-before.Appends)
	require.EqualValues(t, 1, after.Syncs-before.Syncs)
}
