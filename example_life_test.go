package store_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/noex-go/store"
)

func ExampleDefinition_bounded() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	logs, err := s.DefineBucket(ctx, "logs", store.Definition{
		Key:     "id",
		Schema:  store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "line": {Type: store.String}},
		MaxSize: 2,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = s.On("bucket.logs.deleted", func(e store.Event) { fmt.Println(e.Old.Get("line"), "was", e.Reason) })
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range []string{"one", "two", "three"} {
		if _, err := logs.Insert(ctx, store.Fields{"line": line}); err != nil {
			log.Fatal(err)
		}
	}
	n, err := logs.Count()
	if err == nil {
		err = s.Settle(ctx)
	}
	fmt.Println(n, err)
	// Output:
	// one was evicted
	// 2 <nil>
}

func ExampleBucket_Touch() {
	ctx := context.Background()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s, err := store.Open(ctx, store.Options{Clock: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	sessions, err := s.DefineBucket(ctx, "sessions", store.Definition{
		Key: "token", Schema: store.Schema{"token": {Type: store.String}}, TTL: 30 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range []string{"a", "b"} {
		if _, err := sessions.Insert(ctx, store.Fields{"token": token}); err != nil {
			log.Fatal(err)
		}
	}
	now = now.Add(20 * time.Minute)
	r, err := sessions.Touch(ctx, "a")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.ExpiresAt().Format(time.TimeOnly))
	now = now.Add(20 * time.Minute)
	fmt.Println(s.PurgeTTL(ctx))
	// Output:
	// 12:50:00
	// 1 <nil>
}

func ExampleStore_AlterBucket() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	users, err := s.DefineBucket(ctx, "users", store.Definition{
		Key: "id", Schema: store.Schema{"id": {Type: store.String}, "age": {Type: store.Int}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for id, age := range map[string]int{"alice": 31, "bob": 12} {
		if _, err := users.Insert(ctx, store.Fields{"id": id, "age": age}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(s.AlterBucket(ctx, "users", store.Change{
		Fields: store.Schema{"age": {Type: store.Int, Min: store.Bound(18)}},
	}))
	fmt.Println(s.AlterBucket(ctx, "users", store.Change{
		Fields:     store.Schema{"plan": {Type: store.String, Default: "free"}},
		AddIndexes: []store.Index{{"plan", "age"}},
	}))
	bob, _ := users.Get("bob")
	fmt.Println(bob.Get("plan"), bob.Version())
	// Output:
	// store: invalid record in bucket "users": [bob].age: is less than 18
	// <nil>
	// free 1
}

// Days are what time.ParseDuration does not know.
func ExampleParseTTL() {
	for _, text := range []string{"7d", "1d12h", "90m", "-1h"} {
		ttl, err := store.ParseTTL(text)
		fmt.Println(ttl, err)
	}
	// Output:
	// 168h0m0s <nil>
	// 36h0m0s <nil>
	// 1h30m0s <nil>
	// 0s store: "-1h" is not a TTL
}
