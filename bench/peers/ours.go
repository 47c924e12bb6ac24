package peers

import (
	"context"
	"errors"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

// user is Record with the tags of a bucket. A conversion between the two costs
// nothing, they differ in the tags only.
type user struct {
	ID    string  `store:"id,key,required"`
	Name  string  `store:"name,required"`
	Email string  `store:"email,unique"`
	Role  string  `store:"role,enum=admin|user|guest,index"`
	Age   int     `store:"age,min=0,index"`
	Value float64 `store:"value"`
}

var background = context.Background()

// second is a record of the second table, which has no index but the key.
type second struct {
	ID    string  `store:"id,key,required"`
	Name  string  `store:"name,required"`
	Email string  `store:"email"`
	Role  string  `store:"role"`
	Age   int     `store:"age"`
	Value float64 `store:"value"`
}

// ours is the store through a typed bucket. The queries are made once, as one
// prepares the statements of SQL.
type ours struct {
	store  *store.Store
	users  *store.TypedBucket[user]
	second *store.TypedBucket[second]
	byRole map[string]*store.Query[user]
	live   map[LiveQuery]*store.ReactiveQuery[string, Record]
}

func oursIndexed(string) (Engine, error) { return openOurs(store.Options{}) }

func oursKeyOnly(string) (Engine, error) { return openOurs(store.Options{}, withoutIndexes) }

// oursDurable syncs each commit, or those that wait together.
func oursDurable(dir string) (Engine, error) {
	return openOurs(store.Options{Persistence: store.Persistence{Adapter: file.New(dir), Durability: store.Sync}}, withoutIndexes)
}

func withoutIndexes(d *store.Definition) {
	d.Indexes = nil
	email := d.Schema["email"]
	email.Unique = false
	d.Schema["email"] = email
}

func openOurs(opt store.Options, adjust ...func(*store.Definition)) (Engine, error) {
	s, err := store.Open(background, opt)
	if err != nil {
		return nil, err
	}
	users, err := store.Define[user](background, s, "users", adjust...)
	if err != nil {
		return nil, errors.Join(err, s.Close(background))
	}
	to, err := store.Define[second](background, s, "second")
	if err != nil {
		return nil, errors.Join(err, s.Close(background))
	}
	live, err := liveQueries(s, users)
	if err != nil {
		return nil, errors.Join(err, s.Close(background))
	}
	o := &ours{s, users, to, map[string]*store.Query[user]{}, live}
	for _, role := range Roles {
		o.byRole[role] = users.Where(store.Eq("role", role))
	}
	return o, nil
}

func (o *ours) Close() error { return o.store.Close(background) }

func (o *ours) Get(id string) (Record, bool) {
	u, ok := o.users.Get(id)
	return Record(u), ok
}

func (o *ours) Insert(r Record) error {
	_, err := o.users.Insert(background, user(r))
	return insertError(err)
}

func insertError(err error) error {
	if taken := (*store.UniqueError)(nil); errors.As(err, &taken) && taken.Field == "id" {
		return ErrExists
	}
	return err
}

func (o *ours) InsertMany(rs []Record) error {
	us := make([]user, len(rs))
	for i, r := range rs {
		us[i] = user(r)
	}
	_, err := o.users.InsertMany(background, us)
	return insertError(err)
}

func (o *ours) UpdateValue(id string, value float64) error {
	return o.update(id, func(u *user) error {
		u.Value = value
		return nil
	})
}

func (o *ours) UpdateIndexed(id, role string, age int) error {
	return o.update(id, func(u *user) error {
		u.Role, u.Age = role, age
		return nil
	})
}

func (o *ours) update(id string, change func(*user) error) error {
	_, err := o.users.Update(background, id, change)
	if errors.Is(err, store.ErrNotFound) {
		return ErrMissing
	}
	return err
}

func (o *ours) Delete(id string) error { return o.users.Delete(background, id) }

func (o *ours) EachByRole(role string, fn func(*Record) bool) error {
	return o.byRole[role].Each(func(u *user) bool { return fn((*Record)(u)) })
}

func (o *ours) CountByRole(role string) (int, error) {
	return o.byRole[role].Count()
}

func (o *ours) InsertSecond(rs []Record) error {
	list := make([]second, len(rs))
	for i, r := range rs {
		list[i] = second(r)
	}
	_, err := o.second.InsertMany(background, list)
	return insertError(err)
}

func (o *ours) GetSecond(id string) (Record, bool) {
	r, ok := o.second.Get(id)
	return Record(r), ok
}

func (o *ours) Transfer(from, to string, amount float64) error {
	err := o.store.Transaction(background, func(tx *store.Tx) error {
		_, err := o.users.In(tx).Update(background, from, func(u *user) error {
			u.Value -= amount
			return nil
		})
		if err != nil {
			return err
		}
		_, err = o.second.In(tx).Update(background, to, func(r *second) error {
			r.Value += amount
			return nil
		})
		return err
	}, store.Retry(1000))
	if errors.Is(err, store.ErrNotFound) {
		return ErrMissing
	}
	return err
}

func (o *ours) RangeByAge(from, limit int, fn func(*Record) bool) error {
	return o.users.Where(store.Gte("age", from)).OrderBy(store.Asc("age")).Limit(limit).
		Each(func(u *user) bool { return fn((*Record)(u)) })
}
