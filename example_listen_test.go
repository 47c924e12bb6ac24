package store_test

import (
	"context"
	"fmt"
	"log"

	"github.com/noex-go/store"
)

// A queue behind a handler is closed when no event can come any more.
func ExampleListener() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	notes, err := s.DefineBucket(ctx, "notes", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
	if err != nil {
		log.Fatal(err)
	}
	queue := make(chan store.Key, 100)
	l, err := s.Listen("bucket.notes.inserted", func(e store.Event) { queue <- e.Key })
	if err != nil {
		log.Fatal(err)
	}
	_, _ = notes.InsertMany(ctx, []store.Fields{{"id": 1}, {"id": 2}})
	l.Drain() // what is committed from now on does not come
	_, _ = notes.Insert(ctx, store.Fields{"id": 3})
	<-l.Done()
	close(queue)
	for key := range queue {
		fmt.Println(key)
	}
	// Output:
	// 1
	// 2
}

// The events of a transaction are known by the commit that it has become.
func ExampleTx_Committed() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	notes, err := s.DefineBucket(ctx, "notes", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
	if err != nil {
		log.Fatal(err)
	}
	seqs := make(chan store.Seq, 1)
	if _, err := s.On("bucket.notes.*", func(e store.Event) { seqs <- e.Seq }); err != nil {
		log.Fatal(err)
	}
	var tx *store.Tx
	err = s.Transaction(ctx, func(t *store.Tx) error {
		tx = t
		_, err := notes.In(t).Insert(ctx, store.Fields{"id": 1})
		return err
	})
	fmt.Println(err, tx.Committed(), <-seqs == tx.Committed())
	// Output: <nil> 1 true
}
