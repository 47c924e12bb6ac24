package peers

import (
	"errors"

	"github.com/noex-go/store"
)

// LiveQuery is a way in which a live query finds one record.
type LiveQuery string

// The ways: by its key; by a value of the email; by an interval of emails.
const (
	ByKey      LiveQuery = "key"
	ByEquality LiveQuery = "equality"
	ByInterval LiveQuery = "interval"
)

// LiveQueries are all of them.
var LiveQueries = []LiveQuery{ByKey, ByEquality, ByInterval}

// liveQueries defines them. Their parameter is the key or the email.
func liveQueries(s *store.Store, users *store.TypedBucket[user]) (map[LiveQuery]*store.ReactiveQuery[string, Record], error) {
	found := func(u user, ok bool, err error) (Record, error) {
		if !ok && err == nil {
			err = ErrMissing
		}
		return Record(u), err
	}
	live := map[LiveQuery]*store.ReactiveQuery[string, Record]{}
	for by, fn := range map[LiveQuery]func(in *store.TypedBucket[user], p string) (Record, error){
		ByKey: func(in *store.TypedBucket[user], id string) (Record, error) {
			u, ok := in.Get(id)
			return found(u, ok, nil)
		},
		ByEquality: func(in *store.TypedBucket[user], email string) (Record, error) {
			return found(in.FindOne(store.Eq("email", email)))
		},
		ByInterval: func(in *store.TypedBucket[user], email string) (Record, error) {
			return found(in.FindOne(store.Gte("email", email), store.Lt("email", email+"~")))
		},
	} {
		q, err := store.DefineQuery(s, "by-"+string(by), func(q *store.QueryCtx, p string) (Record, error) { return fn(users.In(q), p) })
		if err != nil {
			return nil, err
		}
		live[by] = q
	}
	return live, nil
}

// oursWatch is a subscription to a live query of one record.
type oursWatch struct{ sub *store.Subscription[Record] }

func (o *ours) Watch(id string) (Watch, error) { return o.subscribe(ByKey, id) }

func (o *ours) watchBy(by LiveQuery, r Record) (Watch, error) {
	if by == ByKey {
		return o.subscribe(by, r.ID)
	}
	return o.subscribe(by, r.Email)
}

func (o *ours) subscribe(by LiveQuery, param string) (Watch, error) {
	sub, err := o.live[by].Subscribe(background, param)
	if err != nil {
		return nil, err
	}
	w := &oursWatch{sub}
	_, err = w.Next() // the record as it is
	return w, err
}

func (w *oursWatch) Next() (Record, error) {
	ev, err := w.sub.Next(background)
	return ev.Result, errors.Join(err, ev.Err)
}

func (w *oursWatch) Stop() { w.sub.Close() }
