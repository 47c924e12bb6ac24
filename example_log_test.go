package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

// A store that is opened on a log has what the one before had, once its buckets are
// defined.
func ExamplePersistence() {
	type note struct {
		ID   int    `store:"id,key,generated=autoincrement"`
		Text string `store:"text,required"`
	}
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	opt := store.Options{Persistence: store.Persistence{Adapter: file.New(filepath.Join(dir, "data")), Durability: store.Sync}}

	s, _ := store.Open(ctx, opt)
	notes, _ := store.Define[note](ctx, s, "notes")
	_, err := notes.Insert(ctx, note{Text: "buy milk"})
	fmt.Println("on the disk:", err == nil)
	s.Close(ctx)

	s, _ = store.Open(ctx, opt)
	defer s.Close(ctx)
	fmt.Println("in the log, not defined:", s.Stats().Persistence.Undefined)
	notes, _ = store.Define[note](ctx, s, "notes")
	n, _ := notes.Get(1)
	fmt.Println(n.Text)
	// Output:
	// on the disk: true
	// in the log, not defined: [notes]
	// buy milk
}
