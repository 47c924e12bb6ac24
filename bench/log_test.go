package bench

import (
	"context"
	"iter"
	"testing"

	"github.com/noex-go/store"
)

// nullLog is a log that keeps one snapshot and forgets all else: what is left is the store's own cost.
type nullLog struct {
	last  store.Position
	parts [][]byte
	bytes int64
}

func (l *nullLog) OpenLog(context.Context) (store.Log, error) { return l, nil }

func (l *nullLog) Info() store.LogInfo {
	return store.LogInfo{Last: l.last, Snapshot: l.last, Bytes: l.bytes, MaxEntry: 1 << 30}
}

func (l *nullLog) Load(_ context.Context, fn func(store.LogEntry) error) error {
	for _, p := range l.parts {
		if err := fn(store.LogEntry{Position: l.last, Data: p}); err != nil {
			return err
		}
	}
	return nil
}

func (l *nullLog) Append(_ context.Context, after store.Position, entries [][]byte) error {
	l.last = after + store.Position(len(entries))
	return nil
}

func (l *nullLog) Sync(context.Context) error { return nil }

func (l *nullLog) Follow(context.Context, store.Position) iter.Seq2[store.LogEntry, error] {
	return func(func(store.LogEntry, error) bool) {}
}

func (l *nullLog) Snapshot(_ context.Context, _ store.Position, fill func(func([]byte) error) error) error {
	l.parts, l.bytes = nil, 0
	return fill(func(data []byte) error {
		l.parts, l.bytes = append(l.parts, append([]byte(nil), data...)), l.bytes+int64(len(data))
		return nil
	})
}

func (l *nullLog) Close() error { return nil }

// BenchmarkLogEncode is an insert without a log, and with one that costs nothing: the difference is the encoding and the
// way through the queue.
func BenchmarkLogEncode(b *testing.B) {
	for name, opt := range map[string]store.Options{"memory": {}, "log": {Persistence: store.Persistence{Adapter: &nullLog{}, Durability: store.OS}}} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(ctx, opt)
			check(b, err)
			defer s.Close(ctx)
			users, err := store.Define[user](ctx, s, "users")
			check(b, err)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				_, err := users.Insert(ctx, newUser(i))
				check(b, err)
				i++
			}
		})
	}
}

// BenchmarkLogOpen opens a store of 1,000,000 records from a snapshot, and defines its bucket.
func BenchmarkLogOpen(b *testing.B) {
	if testing.Short() {
		b.Skip("short")
	}
	log := &nullLog{}
	opt := store.Options{Persistence: store.Persistence{Adapter: log, Durability: store.OS}}
	s, err := store.Open(ctx, opt)
	check(b, err)
	users, err := store.Define[user](ctx, s, "users")
	check(b, err)
	const n = 1_000_000
	for i := 0; i < n; i += 10_000 {
		list := make([]user, 10_000)
		for j := range list {
			list[j] = newUser(i + j)
		}
		_, err := users.InsertMany(ctx, list)
		check(b, err)
	}
	check(b, s.Compact(ctx))
	check(b, s.Close(ctx))
	b.ReportMetric(float64(log.bytes)/n, "B/record")
	for b.Loop() {
		s, err := store.Open(ctx, opt)
		check(b, err)
		users, err := store.Define[user](ctx, s, "users")
		check(b, err)
		if n, err := users.Count(); err != nil || n != 1_000_000 {
			b.Fatal(n)
		}
		check(b, s.Close(ctx))
	}
	b.ReportMetric(float64(log.bytes)/n, "B/record")
}
