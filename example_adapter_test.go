package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/memory"
)

// metered is an adapter that counts what passes through another one.
type metered struct {
	store.Adapter
	appends, bytes int
}

func (m *metered) OpenLog(ctx context.Context) (store.Log, error) {
	l, err := m.Adapter.OpenLog(ctx)
	if err != nil {
		return nil, err
	}
	return meteredLog{l, m}, nil
}

type meteredLog struct {
	store.Log
	m *metered
}

func (l meteredLog) Append(ctx context.Context, after store.Position, entries [][]byte) error {
	l.m.appends++
	for _, e := range entries {
		l.m.bytes += len(e)
	}
	return l.Log.Append(ctx, after, entries)
}

// An adapter of your own may be built around one that is there. persist/persisttest
// tests whether it keeps the contract.
func ExampleAdapter() {
	m := &metered{Adapter: memory.New()}
	s := open(store.Options{Persistence: store.Persistence{Adapter: m}})
	b := products(s)
	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)
	check(s.Close(ctx))
	fmt.Println(m.appends > 0, m.bytes > 0)

	s = open(store.Options{Persistence: store.Persistence{Adapter: m}})
	defer s.Close(ctx)
	lamp, ok := products(s).Get("L1")
	fmt.Println(lamp.Get("name"), ok)

	// Output:
	// true true
	// Lamp true
}

// openLog returns an empty log, as a store opens one.
func openLog() store.Log {
	l, err := memory.New().OpenLog(ctx)
	check(err)
	return l
}

// A Log keeps entries in their order, and a snapshot in place of the old ones.
func ExampleLog() {
	l := openLog()
	defer l.Close()

	check(l.Append(ctx, 0, [][]byte{[]byte("one"), []byte("two")}))
	check(l.Append(ctx, 2, [][]byte{[]byte("three")}))
	check(l.Sync(ctx)) // durable
	check(l.Snapshot(ctx, 2, func(put func([]byte) error) error { return put([]byte("one and two")) }))

	check(l.Load(ctx, func(e store.LogEntry) error {
		fmt.Printf("%d %s\n", e.Position, e.Data)
		return nil
	}))

	// Output:
	// 2 one and two
	// 3 three
}

// A LogEntry lends its data: who keeps it copies it.
func ExampleLogEntry() {
	l := openLog()
	defer l.Close()
	check(l.Append(ctx, 0, [][]byte{[]byte("one"), []byte("two")}))

	var kept []string
	check(l.Load(ctx, func(e store.LogEntry) error {
		kept = append(kept, string(e.Data))
		return nil
	}))
	fmt.Println(kept)

	// Output:
	// [one two]
}

// LogInfo tells where a log stands, and what its kind can do.
func ExampleLogInfo() {
	l := openLog()
	defer l.Close()
	check(l.Append(ctx, 0, [][]byte{[]byte("one"), []byte("two")}))
	check(l.Snapshot(ctx, 1, func(put func([]byte) error) error { return put([]byte("one")) }))

	info := l.Info()
	fmt.Println("last", info.Last, "snapshot", info.Snapshot)
	fmt.Println("compact", info.Compact, "opened clean", info.Recovery.Clean)

	// Output:
	// last 2 snapshot 1
	// compact false opened clean true
}

// A Position says behind which entry to append, and from where to follow. Who appends
// behind another one than the last was too late.
func ExamplePosition() {
	l := openLog()
	defer l.Close()
	check(l.Append(ctx, 0, [][]byte{[]byte("one"), []byte("two")}))
	fmt.Println(errors.Is(l.Append(ctx, 1, [][]byte{[]byte("two")}), store.ErrLogConflict))

	for e, err := range l.Follow(ctx, 1) { // and waits for more
		check(err)
		fmt.Printf("%d %s\n", e.Position, e.Data)
		if e.Position == l.Info().Last {
			break
		}
	}

	// Output:
	// true
	// 2 two
}

// Durability is chosen by what a commit is worth. Sync waits for the disk, Interval has
// it wait every so often, OS leaves it to the system.
func ExampleDurability() {
	for _, mode := range []store.Durability{store.Sync, store.Interval(time.Hour), store.OS} {
		dir, err := os.MkdirTemp("", "example")
		check(err)
		defer os.RemoveAll(dir)
		s := open(store.Options{Persistence: store.Persistence{Adapter: file.New(dir), Durability: mode}})
		_, err = products(s).Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
		check(err)
		st := s.Stats().Persistence
		fmt.Println("in the log:", st.Position > 0, "synced:", st.Syncs > 0)
		check(s.Close(ctx)) // syncs in every mode
	}

	// Output:
	// in the log: true synced: true
	// in the log: true synced: false
	// in the log: true synced: false
}

// LoadProgress comes from time to time while a large log is loaded, and at the end.
func ExampleLoadProgress() {
	adapter := memory.New()
	s := open(store.Options{Persistence: store.Persistence{Adapter: adapter}})
	b := products(s)
	for _, sku := range []string{"L1", "L2", "L3"} {
		_, err := b.Insert(ctx, store.Fields{"sku": sku, "name": "Lamp", "price": 20})
		check(err)
	}
	check(s.Close(ctx))

	s = open(store.Options{Persistence: store.Persistence{
		Adapter: adapter,
		OnProgress: func(p store.LoadProgress) {
			if p.Done {
				fmt.Println(p.Records, "records in", p.Entries, "entries")
			}
		},
	}})
	defer s.Close(ctx)

	// Output:
	// 3 records in 4 entries
}

// Recovery tells what a crash has cut off. It was never acknowledged as durable, and
// is set aside.
func ExampleRecovery() {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler) // it is in the logs too
	adapter := file.New(dir, file.Logger(quiet))
	s := open(store.Options{Persistence: store.Persistence{Adapter: adapter, Durability: store.OS}})
	b := products(s)
	for _, sku := range []string{"L1", "L2"} {
		_, err = b.Insert(ctx, store.Fields{"sku": sku, "name": "Lamp", "price": 20})
		check(err)
	}
	name := filepath.Join(dir, "0000000000000001.log")
	data, err := os.ReadFile(name) // what the power loss has left, once its end is cut off
	check(err)
	data = bytes.TrimRight(data, "\x00")
	check(s.Close(ctx))
	check(os.Remove(filepath.Join(dir, "0000000000000001.end")))
	check(os.WriteFile(name, data[:len(data)-5], 0o600))

	s = open(store.Options{Logger: quiet, Persistence: store.Persistence{Adapter: adapter}})
	defer s.Close(ctx)
	r := s.Stats().Persistence.Recovery
	fmt.Println(r.Clean, r.TornBytes > 0, filepath.Base(r.SetAside))
	n, err := products(s).Count()
	fmt.Println(n, err)

	// Output:
	// false true 0000000000000001.torn
	// 1 <nil>
}

// Damage is refused when the log is opened, with file and offset. persist/file can
// verify a log, and salvage one.
func ExampleCorruptError() {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(dir)
	opt := store.Options{Persistence: store.Persistence{Adapter: file.New(dir)}}
	s := open(opt)
	_, err = products(s).Insert(ctx, store.Fields{"sku": "L1", "name": strings.Repeat("Lamp ", 100), "price": 20})
	check(err)
	check(s.Close(ctx))

	name := filepath.Join(dir, "0000000000000001.end")
	data, err := os.ReadFile(name)
	check(err)
	data[len(data)/2]++ // in that name
	check(os.WriteFile(name, data, 0o600))

	_, err = store.Open(ctx, opt)
	var corrupt *store.CorruptError
	if errors.As(err, &corrupt) {
		fmt.Println(filepath.Base(corrupt.File), corrupt.Offset > 0, corrupt.Reason)
	}
	fmt.Println(errors.Is(err, store.ErrCorrupt))

	// Output:
	// 0000000000000001.end true checksum is wrong
	// true
}
