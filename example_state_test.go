package store_test

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/noex-go/store"
)

// A function that takes a Reader answers for a snapshot, in a transaction, and in a
// live query.
func ExampleReader() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)
	openHours := func(r store.Reader) (float64, error) {
		return b.In(r).Where(store.Eq("state", "open")).Sum("hours")
	}

	snap := s.Snapshot()
	defer snap.Close()
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		if hours, err := openHours(tx); err != nil || hours > 20 {
			return errors.Join(err, errors.New("too much to do"))
		}
		_, err := b.In(tx).Insert(ctx, Task{Title: "Paint the fence", Hours: 6})
		return err
	})
	check(err)
	live, err := store.DefineQuery(s, "hours", func(q *store.QueryCtx, _ struct{}) (float64, error) { return openHours(q) })
	check(err)

	before, err := openHours(snap)
	check(err)
	now, err := live.Run(ctx, struct{}{})
	check(err)
	fmt.Println(before, now)

	// Output:
	// 11 17
}

// Figures of one Snapshot fit together, whatever is written while they are read.
func ExampleSnapshot() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	snap := s.Snapshot()
	defer snap.Close()
	for i, state := range []string{"open", "done"} {
		n, err := b.In(snap).Count(store.Eq("state", state))
		check(err)
		fmt.Println(state, n)
		_, err = b.Patch(ctx, 1+i, store.Fields{"state": "done"}) // somebody else
		check(err)
	}
	all, err := b.In(snap).Count()
	check(err)
	fmt.Println("of", all, "at commit", snap.Seq())

	// Output:
	// open 3
	// done 1
	// of 4 at commit 1
}

// By default a transaction is in conflict when something that it has read was changed.
// SnapshotIsolation looks only at what it writes, and Retry runs it again.
func ExampleTxOption() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.InsertMany(ctx, []store.Fields{
		{"sku": "L1", "name": "Lamp", "price": 20},
		{"sku": "L2", "name": "Lantern", "price": 25},
	})
	check(err)

	for _, opts := range [][]store.TxOption{nil, {store.SnapshotIsolation}, {store.Retry(3)}} {
		runs := 0
		err := s.Transaction(ctx, func(tx *store.Tx) error {
			lamp, _ := b.In(tx).Get("L1")
			if runs++; runs == 1 { // somebody else is faster
				_, err := b.Update(ctx, "L1", store.Fields{"price": lamp.Get("price").(int64) + 1})
				check(err)
			}
			_, err := b.In(tx).Update(ctx, "L2", store.Fields{"price": lamp.Get("price")})
			return err
		}, opts...)
		var conflict *store.ConflictError
		fmt.Println(runs, errors.As(err, &conflict))
	}

	// Output:
	// 1 true
	// 1 false
	// 2 false
}

// Stats are for a look at a store under way: for metrics, or a page of its own.
func ExampleStats() {
	s := open(store.Options{Name: "shop"})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)
	snap := s.Snapshot()
	_, err = b.Update(ctx, "L1", store.Fields{"price": 15})
	check(err)

	st := s.Stats()
	fmt.Println(st.Name, st.Buckets.Names, "at commit", st.Commits)
	fmt.Println(st.Records.Total, "record,", st.Indexes.PerBucket["products"], "index")
	fmt.Println(st.Snapshots, "snapshot keeps", st.Retained["products"], "old version")
	snap.Close()

	// Output:
	// shop [products] at commit 2
	// 1 record, 1 index
	// 1 snapshot keeps 1 old version
}

// The zero Options work. OnError hears what goes wrong apart from any call of yours.
func ExampleOptions() {
	s := open(store.Options{
		Name:        "shop",
		Logger:      slog.New(slog.DiscardHandler), // it would hear the same
		OnError:     func(err error) { fmt.Println(err) },
		EventBuffer: 100, // commits that a handler may be behind
	})
	defer s.Close(ctx)
	b := products(s)

	_, err := s.On("bucket.products.inserted", func(store.Event) { panic("out of paper") })
	check(err)
	_, err = b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	fmt.Println(err)
	check(s.Settle(ctx))

	// Output:
	// <nil>
	// store: handler of bucket.products.inserted: panic: out of paper
}
