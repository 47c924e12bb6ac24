package store_test

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/memory"
	"github.com/noex-go/store/persist/sqlite"
)

// adapters are the logs of this module, each made anew.
var adapters = map[string]func(t *testing.T) store.Adapter{
	"memory": func(*testing.T) store.Adapter { return memory.New() },
	"file":   func(t *testing.T) store.Adapter { return file.New(filepath.Join(t.TempDir(), "log")) },
	"sqlite": func(t *testing.T) store.Adapter { return sqlite.New(filepath.Join(t.TempDir(), "log.db")) },
}

// fillEvery writes records of every kind, and returns what is there.
func fillEvery(t *testing.T, b *store.Bucket) []string {
	t.Helper()
	ctx := t.Context()
	when := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	for _, f := range []store.Fields{
		{},
		{"s": "é", "i": int64(math.MinInt64), "f": 3.0, "n": 3.0, "b": true, "d": when, "y": []byte{0, 255}, "u": "1"},
		{"i": int64(math.MaxInt64), "f": math.Inf(-1), "n": int64(1<<53 + 1), "b": false, "d": when.Truncate(time.Second), "y": []byte{}},
		{"o": map[string]any{"k": []any{1, 2.5, nil, "x", when, map[string]any{}}}, "a": []any{}, "x": when, "u": "2"},
		{"f": math.Copysign(0, -1), "x": []any{when}, "extra": map[string]any{"when": when}, "e2": 1},
	} {
		_, err := b.Insert(ctx, f)
		require.NoError(t, err)
	}
	_, err := b.Update(ctx, 2, store.Fields{"s": nil, "i": 7})
	require.NoError(t, err)
	require.NoError(t, b.Delete(ctx, 3))
	return showBucket(t, b)
}

// What a store had comes back from every adapter, again and again, and goes from
// each to each by a backup.
func TestLogAdapters(t *testing.T) {
	for name, fresh := range adapters {
		for _, mode := range []store.Durability{store.Sync, store.OS} {
			t.Run(name, func(t *testing.T) {
				ctx := t.Context()
				adapter := fresh(t)
				opt := store.Options{Persistence: store.Persistence{Adapter: adapter, Durability: mode}}
				s := openStore(t, opt)
				b, err := s.DefineBucket(ctx, "b", everyType)
				require.NoError(t, err)
				want := fillEvery(t, b)
				_, err = s.DefineBucket(ctx, "/etc/un seen", everyType)
				require.NoError(t, err)
				_, err = s.DefineBucket(ctx, "gone", everyType)
				require.NoError(t, err)
				require.NoError(t, s.DropBucket(ctx, "gone"))
				for round := range 3 {
					require.NoError(t, s.Close(ctx))
					s = openStore(t, opt)
					b, err = s.DefineBucket(ctx, "b", everyType)
					require.NoError(t, err)
					require.Equal(t, want, showBucket(t, b))
					require.NoError(t, store.CheckTables(s))
					require.Equal(t, []string{"/etc/un seen"}, s.Stats().Persistence.Undefined)
					if round == 1 {
						require.NoError(t, s.Compact(ctx))
					}
				}
				var stream bytes.Buffer
				require.NoError(t, s.Backup(ctx, &stream))
				for other, fresh := range adapters {
					to := fresh(t)
					require.NoError(t, store.Restore(ctx, bytes.NewReader(stream.Bytes()), to), other)
					copied := openStore(t, store.Options{Persistence: store.Persistence{Adapter: to}})
					b, err := copied.DefineBucket(ctx, "b", everyType)
					require.NoError(t, err, other)
					require.Equal(t, want, showBucket(t, b), other)
					_, err = b.Insert(ctx, store.Fields{})
					require.NoError(t, err)
					require.NoError(t, copied.Close(ctx))
				}
			})
		}
	}
}
