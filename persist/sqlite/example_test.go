package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/persist/sqlite"
)

// A closed database is one file that any SQLite shell reads:
//
//	sqlite3 store.db "select json->>'email' from items where bucket = 'users'"
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "store.db")
	ctx := context.Background()

	// A store does this when it is given the adapter.
	l, err := sqlite.New(path).OpenLog(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := l.Append(ctx, 0, [][]byte{users()}); err != nil {
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	db, err := sql.Open("sqlite", path)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`select key, json->>'email', created from items where bucket = 'users' and json->>'age' >= 18`)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, email, created string
		if err := rows.Scan(&key, &email, &created); err != nil {
			log.Fatal(err)
		}
		fmt.Println(key, email, created)
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	// Output: ada ada@example.com 2023-11-14T22:13:20.000Z
}

// users is what a store writes for a bucket and its first record.
func users() []byte {
	definition, err := logentry.Marshal(map[string]any{"key": "id"})
	if err != nil {
		log.Fatal(err)
	}
	values := func(v any) []byte {
		b, err := logentry.MarshalValue([]any{v})
		if err != nil {
			log.Fatal(err)
		}
		return b
	}
	const at = 1_700_000_000_000
	e := logentry.Entry{
		Format: logentry.Format, Seq: 1,
		Buckets: []logentry.Bucket{{ID: 1, Name: "users", Version: 1, Definition: definition}},
		Blocks: []logentry.Block{{
			Bucket: 1, Version: 1, Rows: 1, Names: []string{"age", "email", "id"},
			Created: []int64{at}, Updated: []int64{at}, Versions: []uint64{1}, Places: []uint64{1},
		}},
	}
	for _, v := range []any{int64(36), "ada@example.com", "ada"} {
		e.Blocks[0].Columns = append(e.Blocks[0].Columns, values(v))
	}
	data, err := e.Encode()
	if err != nil {
		log.Fatal(err)
	}
	return data
}
