package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// benchEntry is a commit of one new record, as the store writes it.
func benchEntry(b []byte, i int) []byte {
	b = logentry.AppendArray(b, 6)
	b = logentry.AppendUint(b, logentry.Format)
	b = logentry.AppendUint(b, uint64(i))
	b = logentry.AppendBytes(b, []byte("session8"))
	b = logentry.AppendArray(logentry.AppendArray(b, 0), 1)
	b = logentry.AppendArray(b, 14)
	b = logentry.AppendUint(logentry.AppendUint(logentry.AppendUint(b, 1), 1), 1)
	b = logentry.AppendArray(b, 3)
	for _, name := range [...]string{"email", "id", "n"} {
		b = logentry.AppendText(b, name)
	}
	b = logentry.AppendArray(b, 3)
	b = logentry.AppendText(logentry.AppendArray(b, 1), fmt.Sprintf("user%d@example.com", i))
	b = logentry.AppendText(logentry.AppendArray(b, 1), fmt.Sprintf("user-%08d", i*7919%100000000))
	b = logentry.AppendInt(logentry.AppendArray(b, 1), int64(i))
	b = logentry.AppendMap(b, 0)
	for range 2 {
		b = logentry.AppendInt(logentry.AppendArray(b, 1), 1700000000000)
	}
	b = logentry.AppendUint(logentry.AppendArray(b, 1), 1)
	b = logentry.AppendUint(logentry.AppendArray(logentry.AppendNull(b), 1), uint64(i))
	b = logentry.AppendArray(logentry.AppendNull(b), 0)
	return logentry.AppendArray(logentry.AppendMap(b, 0), 0)
}

// BenchmarkAppend appends groups of commits of one record. The time is that of a
// group.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []string{"full", "relaxed"} {
		for _, group := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", mode, group), func(b *testing.B) {
				var opts []Option
				if mode == "relaxed" {
					opts = append(opts, Relaxed())
				}
				l, _ := openTemp(b, opts...)
				require.NoError(b, l.Append(ctx, 0, [][]byte{encode(b, logentry.Entry{Buckets: []logentry.Bucket{defineBucket(b, 1, "users", 1, false)}})}))
				entries := make([][]byte, group)
				n := 0
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					for i := range entries {
						n++
						entries[i] = benchEntry(entries[i][:0], n)
					}
					require.NoError(b, l.Append(ctx, store.Position(n-group+1), entries))
				}
			})
		}
	}
}

// BenchmarkBare does the same through database/sql alone: a row of a key, the JSON
// and a blob.
func BenchmarkBare(b *testing.B) {
	for _, mode := range []string{"full", "normal"} {
		for _, group := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", mode, group), func(b *testing.B) {
				db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "bare.db"))
				require.NoError(b, err)
				defer db.Close()
				db.SetMaxOpenConns(1)
				_, err = db.Exec("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=" + mode +
					"; CREATE TABLE t (id TEXT PRIMARY KEY, json TEXT, data BLOB) STRICT, WITHOUT ROWID")
				require.NoError(b, err)
				insert, err := db.Prepare("INSERT INTO t VALUES (?, ?, ?)")
				require.NoError(b, err)
				defer insert.Close()
				n := 0
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					tx, err := db.Begin()
					require.NoError(b, err)
					in := tx.Stmt(insert)
					for range group {
						n++
						key := fmt.Sprintf("user-%08d", n*7919%100000000)
						json := fmt.Sprintf(`{"id":"%s","email":"user%d@example.com","n":%d}`, key, n, n)
						_, err = in.Exec(key, json, []byte(json))
						require.NoError(b, err)
					}
					require.NoError(b, tx.Commit())
				}
			})
		}
	}
}

// BenchmarkOpen opens and loads 100,000 records, with the check of the structure
// and without.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "store.db")
	l := openPath(b, path)
	require.NoError(b, l.Append(ctx, 0, [][]byte{encode(b, logentry.Entry{Buckets: []logentry.Bucket{defineBucket(b, 1, "users", 1, false)}})}))
	for n := 0; n < 100_000; n += 1000 {
		entries := make([][]byte, 1000)
		for i := range entries {
			entries[i] = benchEntry(nil, n+i+1)
		}
		require.NoError(b, l.Append(ctx, store.Position(n+1), entries))
	}
	require.NoError(b, l.Close())
	b.Run("open", func(b *testing.B) {
		for range b.N {
			l := openPath(b, path)
			require.NoError(b, l.Close())
		}
	})
	b.Run("open unchecked", func(b *testing.B) {
		for range b.N {
			l := openPath(b, path, Unchecked())
			require.NoError(b, l.Close())
		}
	})
	l = openPath(b, path)
	b.Run("load", func(b *testing.B) {
		for range b.N {
			require.NoError(b, l.Load(ctx, func(store.LogEntry) error { return nil }))
		}
	})
}
