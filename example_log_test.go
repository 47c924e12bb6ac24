package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/memory"
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

// A backup is one state of all buckets; a log of any kind can be made of it. A stream
// that has lost its end is refused.
func ExampleRestore() {
	s := open(store.Options{})
	defer s.Close(ctx)
	_, err := products(s).Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)
	var stream bytes.Buffer // or a file
	check(s.Backup(ctx, &stream))

	short := bytes.NewReader(stream.Bytes()[:stream.Len()-1])
	fmt.Println(errors.Is(store.Restore(ctx, short, memory.New()), store.ErrBackup))

	adapter := memory.New()
	check(store.Restore(ctx, &stream, adapter))
	other := open(store.Options{Persistence: store.Persistence{Adapter: adapter}})
	defer other.Close(ctx)
	lamp, ok := products(other).Get("L1")
	fmt.Println(lamp.Get("name"), ok)

	// Output:
	// true
	// Lamp true
}
