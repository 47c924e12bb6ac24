package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/sqlite"
)

// keepNote opens a store on an adapter, adds a note, and says how many there are.
func keepNote(adapter store.Adapter, how store.Durability) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Persistence: store.Persistence{Adapter: adapter, Durability: how}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	notes, err := s.DefineBucket(ctx, "notes", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement},
	}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := notes.Insert(ctx, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(notes.Count())
}

// The records are in the database when the next store is opened on it.
func ExampleAdapter() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	adapter := sqlite.New(filepath.Join(dir, "store.db"))

	keepNote(adapter, store.Sync) // a commit that is acknowledged is on the disk
	keepNote(adapter, store.Sync)
	// Output:
	// 1 <nil>
	// 2 <nil>
}

// Relaxed goes with a store that syncs every so often; Unchecked opens a large
// database sooner.
func ExampleOption() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	adapter := sqlite.New(filepath.Join(dir, "store.db"), sqlite.Relaxed(), sqlite.Unchecked())

	keepNote(adapter, store.Interval(time.Second))
	keepNote(adapter, store.Interval(time.Second))
	// Output:
	// 1 <nil>
	// 2 <nil>
}
