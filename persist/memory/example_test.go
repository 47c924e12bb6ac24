package memory_test

import (
	"context"
	"fmt"
	"log"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/memory"
)

// An adapter hands what one store had to the next one, as if the program had been
// started again: a test of what your program does then needs no files.
func ExampleAdapter() {
	type note struct {
		ID   int    `store:"id,key,generated=autoincrement"`
		Text string `store:"text,required"`
	}
	ctx := context.Background()
	adapter := memory.New()
	for _, text := range []string{"first run", "second run"} {
		s, err := store.Open(ctx, store.Options{Persistence: store.Persistence{Adapter: adapter}})
		if err != nil {
			log.Fatal(err)
		}
		notes, err := store.Define[note](ctx, s, "notes")
		if err != nil {
			log.Fatal(err)
		}
		n, err := notes.Insert(ctx, note{Text: text})
		if err != nil {
			log.Fatal(err)
		}
		before, _ := notes.Get(n.ID - 1)
		fmt.Printf("%d: %q, before it %q\n", n.ID, n.Text, before.Text)
		if err := s.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 1: "first run", before it ""
	// 2: "second run", before it "first run"
}
