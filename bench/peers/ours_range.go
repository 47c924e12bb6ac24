package peers

import "github.com/noex-go/store"

func (o *ours) RangeByAge(from, limit int, fn func(*Record) bool) error {
	return o.users.Where(store.Gte("age", from)).OrderBy(store.Asc("age")).Limit(limit).
		Each(func(u *user) bool { return fn((*Record)(u)) })
}
