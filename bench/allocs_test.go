//go:build !race

package bench

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// TestAllocations holds how many allocations the operations make, on a store without
// live queries and log. The bounds are what they do now: one that can do with
// fewer lowers its bound. The race detector allocates by itself, so it leaves this out.
func TestAllocations(t *testing.T) {
	s := open(t)
	users, ids := fill(t, s, 1000)
	dynamic := users.Dynamic()
	from, to := accounts(t, s, 100)
	byRole := users.Where(store.Eq("role", "user"))
	firstTen, ofRange := byRole.Limit(10), users.Where(store.Gte("age", 40)).OrderBy(store.Asc("age")).Limit(100)
	added := make([]user, 1000) // made here: AllocsPerRun counts what a new name and email take
	for i := range added {
		added[i] = newUser(1000 + i)
	}
	email := newUser(1).Email
	next := 0
	fresh := func() user { next++; return added[next-1] }
	middle, err := byRole.Page(100, "")
	require.NoError(t, err)
	fields := store.Fields{"value": 1.5}
	i := 0
	id := func() string { i++; return ids[i%500] }
	gone := len(ids)

	for _, c := range []struct {
		name string
		most float64
		run  func() error
	}{
		{"get, typed", 0, func() error { users.Get(id()); return nil }},
		{"get, dynamic", 0, func() error { dynamic.Get(id()); return nil }},
		{"insert, typed", 3, func() error { _, err := users.Insert(ctx, fresh()); return err }},
		{"insert, dynamic", 8, func() error {
			u := fresh()
			_, err := dynamic.Insert(ctx, store.Fields{"name": u.Name, "email": u.Email, "role": u.Role, "age": u.Age, "value": u.Value})
			return err
		}},
		{"update of an unindexed field", 2, func() error {
			_, err := users.Update(ctx, id(), func(u *user) error { u.Value++; return nil })
			return err
		}},
		{"update of two indexed fields", 2, func() error {
			_, err := users.Update(ctx, id(), func(u *user) error { u.Role, u.Age = roles[(u.Age+1)%3], (u.Age+7)%100; return nil })
			return err
		}},
		{"patch", 2, func() error { _, err := users.Patch(ctx, id(), fields); return err }},
		{"update, dynamic", 2, func() error { _, err := dynamic.Update(ctx, id(), fields); return err }},
		{"delete", 1, func() error { gone--; return users.Delete(ctx, ids[gone]) }},
		{"count by index", 0, func() error { _, err := users.Count(store.Eq("role", "user")); return err }},
		{"count all", 0, func() error { _, err := users.Count(); return err }},
		{"iterate a third, Each", 1, func() error { return byRole.Each(func(*user) bool { return true }) }},
		{"iterate a third, Seq", 0, func() error {
			for _, err := range byRole.Seq() {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"iterate all", 7, func() error {
			for range users.All() {
			}
			return nil
		}},
		{"first ten", 1, func() error { return firstTen.Each(func(*user) bool { return true }) }},
		{"a hundred of a range", 1, func() error { return ofRange.Each(func(*user) bool { return true }) }},
		{"find one by a unique index", 1, func() error { _, _, err := users.FindOne(store.Eq("email", email)); return err }},
		{"page of twenty", 9, func() error { _, err := byRole.Page(20, middle.Next); return err }},
		{"sum", 2, func() error { _, err := users.Sum("value"); return err }},
		{"transaction, two reads", 6, func() error {
			return s.Transaction(ctx, func(tx *store.Tx) error { from.In(tx).Get(1); to.In(tx).Get(1); return nil })
		}},
		{"transaction, transfer", 17, func() error { return transfer(s, from, to, 1, 2) }},
	} {
		var err error
		n := testing.AllocsPerRun(100, func() {
			if e := c.run(); e != nil {
				err = e
			}
		})
		require.NoError(t, err, c.name)
		assert.LessOrEqual(t, n, c.most, c.name)
	}
}
