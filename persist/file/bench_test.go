package file

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func benchLog(b *testing.B) *log {
	l, err := New(b.TempDir(), quiet).open(b.Context())
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	return l
}

func benchAppend(b *testing.B, group, size, syncEvery int) {
	l, ctx := benchLog(b), context.Background()
	entries := make([][]byte, group)
	for i := range entries {
		entries[i] = make([]byte, size)
	}
	last := store.Position(0)
	b.ReportAllocs()
	b.SetBytes(int64(group * size))
	for i := 0; b.Loop(); i++ {
		if err := l.Append(ctx, last, entries); err != nil {
			b.Fatal(err)
		}
		last += store.Position(group)
		if syncEvery > 0 && i%syncEvery == 0 {
			if err := l.Sync(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B)            { benchAppend(b, 1, 200, 0) }
func BenchmarkAppendSync(b *testing.B)        { benchAppend(b, 1, 200, 1) }
func BenchmarkAppendGroup64Sync(b *testing.B) { benchAppend(b, 64, 200, 1) }

func BenchmarkLoad(b *testing.B) {
	const n, size, group = 1_000_000, 120, 1000
	l, ctx := benchLog(b), context.Background()
	entries := make([][]byte, group)
	for i := range entries {
		entries[i] = make([]byte, size)
	}
	for i := range n / group {
		require.NoError(b, l.Append(ctx, store.Position(i*group), entries))
	}
	b.SetBytes(n * size)
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		if err := l.Load(ctx, func(store.LogEntry) error { count++; return nil }); err != nil || count != n {
			b.Fatal(count, err)
		}
	}
}

// BenchmarkOpen is what the check of the same million entries costs.
func BenchmarkOpen(b *testing.B) {
	const n, size, group = 1_000_000, 120, 1000
	dir := b.TempDir()
	l, err := New(dir, quiet).open(b.Context())
	require.NoError(b, err)
	entries := make([][]byte, group)
	for i := range entries {
		entries[i] = make([]byte, size)
	}
	for i := range n / group {
		require.NoError(b, l.Append(b.Context(), store.Position(i*group), entries))
	}
	require.NoError(b, l.Close())
	b.SetBytes(n * size)
	for b.Loop() {
		l, err := New(dir, quiet).open(b.Context())
		require.NoError(b, err)
		require.NoError(b, l.Close())
	}
}
