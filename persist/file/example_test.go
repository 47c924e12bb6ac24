package file_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

var ctx = context.Background()

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// temp returns a directory for the length of an example.
func temp() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	return filepath.Join(dir, "data"), func() { os.RemoveAll(dir) }
}

// numbers inserts n records, one commit each, into the store whose log an adapter
// keeps. The definition of their bucket is one more.
func numbers(adapter store.Adapter, n int) {
	s, err := store.Open(ctx, store.Options{
		Logger:      slog.New(slog.DiscardHandler),
		Persistence: store.Persistence{Adapter: adapter},
	})
	check(err)
	b, err := s.DefineBucket(ctx, "numbers", store.Definition{Key: "n", Schema: store.Schema{
		"n": {Type: store.Int, Generated: store.Autoincrement}, "text": {Type: store.String},
	}})
	check(err)
	for range n {
		_, err := b.Insert(ctx, store.Fields{"text": "a number"})
		check(err)
	}
	check(s.Close(ctx))
}

// damage changes a byte in the middle of a file.
func damage(dir, name string) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	check(err)
	data[len(data)/2]++
	check(os.WriteFile(filepath.Join(dir, name), data, 0o600))
}

// A directory is one log. It is there again when the next store is opened on it.
func ExampleAdapter() {
	dir, remove := temp()
	defer remove()
	numbers(file.New(dir), 3)

	s, err := store.Open(ctx, store.Options{Persistence: store.Persistence{Adapter: file.New(dir)}})
	check(err)
	defer s.Close(ctx)
	fmt.Println(s.Stats().Persistence.Undefined, s.Stats().Persistence.Position)

	_, err = store.Open(ctx, store.Options{Persistence: store.Persistence{Adapter: file.New(dir)}})
	fmt.Println("a second one:", errors.Is(err, store.ErrLocked))
	// Output:
	// [numbers] 4
	// a second one: true
}

// An Option is for who wants smaller files, a second snapshot to fall back on, or to
// hear what was set aside.
func ExampleOption() {
	dir, remove := temp()
	defer remove()
	opts := []file.Option{
		file.SegmentSize(1 << 10),
		file.KeepPrevious(),
		file.Logger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
	}
	numbers(file.New(dir, opts...), 40)

	r, err := file.Inspect(dir)
	check(err)
	fmt.Println(len(r.Segments) > 1)
	// Output:
	// true
}

// Verify reads every byte of a log and changes nothing. No problem means that it can
// be opened.
func ExampleReport() {
	dir, remove := temp()
	defer remove()
	numbers(file.New(dir), 3)

	r, err := file.Verify(ctx, dir)
	check(err)
	fmt.Println(len(r.Segments), "segment", len(r.Snapshots), "snapshots", "last entry", r.Last)
	fmt.Println("closed", r.Clean, "torn", r.TornBytes, "problems", len(r.Problems))
	// Output:
	// 1 segment 0 snapshots last entry 4
	// closed true torn 0 problems 0
}

// Segments have the entries, each from its first position on.
func ExampleSegmentReport() {
	dir, remove := temp()
	defer remove()
	numbers(file.New(dir), 3)

	r, err := file.Verify(ctx, dir)
	check(err)
	for _, seg := range r.Segments {
		fmt.Println(seg.Name, seg.Bytes > 0, "entries", seg.First, "to", seg.Last, "closed", seg.Closed)
	}
	// Output:
	// 0000000000000001.end true entries 1 to 4 closed true
}

// A snapshot stands for all entries up to its position.
func ExampleSnapshotReport() {
	dir, remove := temp()
	defer remove()
	numbers(file.New(dir), 3)
	s, err := store.Open(ctx, store.Options{Persistence: store.Persistence{Adapter: file.New(dir)}})
	check(err)
	check(s.Compact(ctx))
	check(s.Close(ctx))

	r, err := file.Verify(ctx, dir)
	check(err)
	for _, snap := range r.Snapshots {
		fmt.Println(snap.Name, "position", snap.Position, "parts", snap.Parts > 0)
	}
	// Output:
	// 0000000000000004.snap position 4 parts true
}

// What recoveries have set aside stays until somebody removes it.
func ExampleFileReport() {
	dir, remove := temp()
	defer remove()
	quiet := file.Logger(slog.New(slog.DiscardHandler))
	numbers(file.New(dir, quiet), 3)
	end := filepath.Join(dir, "0000000000000001.end") // as if the power had gone while it was written
	data, err := os.ReadFile(end)
	check(err)
	check(os.WriteFile(filepath.Join(dir, "0000000000000001.log"), data[:len(data)-40], 0o600))
	check(os.Remove(end))
	numbers(file.New(dir, quiet), 1)

	r, err := file.Inspect(dir)
	check(err)
	for _, f := range r.Torn {
		fmt.Println(f.Name, f.Bytes > 0)
		check(os.Remove(filepath.Join(dir, f.Name)))
	}
	// Output:
	// 0000000000000001.torn true
}

// A Problem says where to look.
func ExampleProblem() {
	dir, remove := temp()
	defer remove()
	numbers(file.New(dir), 9)
	damage(dir, "0000000000000001.end")

	r, err := file.Verify(ctx, dir)
	check(err)
	for _, p := range r.Problems {
		fmt.Println(p.File, p.Offset > 0, p.Reason)
	}
	// Output:
	// 0000000000000001.end true checksum is wrong
}

// Salvage makes a new log of what is whole of a damaged one, up to the damage. Whether
// that is better than a backup is for a person to decide.
func ExampleSalvageReport() {
	dir, remove := temp()
	defer remove()
	numbers(file.New(dir), 9)
	damage(dir, "0000000000000001.end")
	_, err := file.New(dir).OpenLog(ctx)
	fmt.Println("corrupt", errors.Is(err, store.ErrCorrupt))

	saved := filepath.Join(filepath.Dir(dir), "saved")
	r, err := file.Salvage(ctx, dir, saved)
	check(err)
	fmt.Println("problems", len(r.Problems), "entries saved", r.Entries > 0, "stranded", r.Stranded > 0)
	numbers(file.New(saved), 1) // it goes on from there
	// Output:
	// corrupt true
	// problems 1 entries saved true stranded true
}
