package store_test

import (
	"fmt"
	"time"

	"github.com/noex-go/store"
)

// Old and New are whole records, which may be kept: an audit log needs no more.
func ExampleEvent() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	_, err := s.On("bucket.products.updated", func(e store.Event) {
		if e.Err != nil { // ErrLagged: e.Missed commits are lost
			fmt.Println(e.Err, e.Missed)
			return
		}
		for _, field := range []string{"name", "price", "shelf"} {
			if before, after := e.Old.Get(field), e.New.Get(field); before != after {
				fmt.Printf("commit %d: %s %s was %v, is %v\n", e.Seq, e.Key, field, before, after)
			}
		}
	})
	check(err)
	_, err = b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)
	_, err = b.Update(ctx, "L1", store.Fields{"price": 15, "shelf": "sale"})
	check(err)
	check(s.Settle(ctx))

	// Output:
	// commit 2: L1 price was 20, is 15
	// commit 2: L1 shelf was new, is sale
}

// The type of an event says which of its records are there.
func ExampleEventType() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	stock := map[string]int{} // what the handler alone writes, until Settle
	_, err := s.On("bucket.products.*", func(e store.Event) {
		switch e.Type {
		case store.Inserted:
			stock[e.New.Get("shelf").(string)]++
		case store.Updated:
			stock[e.Old.Get("shelf").(string)]--
			stock[e.New.Get("shelf").(string)]++
		case store.Deleted:
			stock[e.Old.Get("shelf").(string)]--
		}
	})
	check(err)
	for _, sku := range []string{"L1", "L2", "L3"} {
		_, err = b.Insert(ctx, store.Fields{"sku": sku, "name": "Lamp", "price": 20})
		check(err)
	}
	_, err = b.Update(ctx, "L2", store.Fields{"shelf": "sale"})
	check(err)
	check(b.Delete(ctx, "L1"))
	check(s.Settle(ctx))
	fmt.Println(stock["new"], stock["sale"])

	// Output:
	// 1 1
}

// A record can be deleted by a call, because its time is over, or because its bucket
// is full.
func ExampleReason() {
	now := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	s := open(store.Options{Clock: func() time.Time { return now }, TTLInterval: -1})
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "sessions", store.Definition{
		Key: "id", Schema: store.Schema{"id": {Type: store.String}}, TTL: time.Hour, MaxSize: 2,
	})
	check(err)
	_, err = s.On("bucket.sessions.deleted", func(e store.Event) { fmt.Println(e.Key, e.Reason) })
	check(err)

	for _, id := range []string{"a", "b", "c"} { // the third one has no room
		_, err := b.Insert(ctx, store.Fields{"id": id})
		check(err)
	}
	check(b.Delete(ctx, "b"))
	now = now.Add(2 * time.Hour)
	_, err = s.PurgeTTL(ctx) // what the store does by itself every second
	check(err)
	check(s.Settle(ctx))

	// Output:
	// a evicted
	// b user
	// c expired
}

// A cache evicts what nobody has read of late, and not simply what is oldest.
func ExampleEviction() {
	s := open(store.Options{})
	defer s.Close(ctx)
	for _, evict := range []store.Eviction{store.OldestCreated, store.OldestUpdated, store.LeastRead} {
		b, err := s.DefineBucket(ctx, evict.String(), store.Definition{
			Key: "url", Schema: store.Schema{"url": {Type: store.String}}, MaxSize: 2, Evict: evict,
		})
		check(err)
		for _, url := range []string{"/a", "/b", "/c"} {
			b.Get("/a") // before the third one comes
			_, err := b.Insert(ctx, store.Fields{"url": url})
			check(err)
		}
		_, kept := b.Get("/a")
		fmt.Println(evict, "has kept /a:", kept)
	}

	// Output:
	// oldest created has kept /a: false
	// oldest updated has kept /a: false
	// least read has kept /a: true
}

// All events of one commit have its sequence. It is also what a snapshot shows, and a
// live result is right for.
func ExampleSeq() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	perCommit := map[store.Seq]int{} // what the handler alone writes, until Settle
	_, err := s.On("bucket.*.*", func(e store.Event) { perCommit[e.Seq]++ })
	check(err)
	_, err = b.InsertMany(ctx, []store.Fields{
		{"sku": "L1", "name": "Lamp", "price": 20},
		{"sku": "L2", "name": "Lantern", "price": 25},
	})
	check(err)
	check(b.Delete(ctx, "L1"))
	check(s.Settle(ctx))

	snap := s.Snapshot()
	defer snap.Close()
	fmt.Println(perCommit, snap.Seq())

	// Output:
	// map[1:2 2:1] 2
}

// What a Change does not mention stays as it is; a negative bound is none any more.
func ExampleChange() {
	s := open(store.Options{})
	defer s.Close(ctx)
	_, err := s.DefineBucket(ctx, "logs", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int, Generated: store.Autoincrement}, "level": {Type: store.Int}, "line": {Type: store.String},
		},
		Indexes: []store.Index{{"line"}},
		MaxSize: 1000,
	})
	check(err)

	check(s.AlterBucket(ctx, "logs", store.Change{
		Fields:      store.Schema{"host": {Type: store.String, Default: "local"}},
		AddIndexes:  []store.Index{{"host", "level"}},
		DropIndexes: []store.Index{{"line"}},
		TTL:         24 * time.Hour,
		MaxSize:     -1,
	}))
	def, err := s.Definition("logs")
	check(err)
	fmt.Println(len(def.Schema), def.Indexes, def.TTL, def.MaxSize)

	err = s.AlterBucket(ctx, "logs", store.Change{Fields: store.Schema{"line": {Type: store.Int}}})
	fmt.Println(err)

	// Output:
	// 4 [[host level]] 24h0m0s 0
	// store: definition of bucket "logs": line: must stay a string
}
