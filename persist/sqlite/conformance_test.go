package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/persist/persisttest"
	"github.com/noex-go/store/persist/sqlite"
)

// numbered are the entries of the kit: each defines a bucket and puts a record in it.
var numbered atomic.Uint64

func numberedEntry(r *rand.Rand, size int) []byte {
	n := numbered.Add(1)
	definition, err := logentry.Marshal(map[string]any{"key": "id"})
	if err != nil {
		panic(err)
	}
	text := fmt.Sprint(r.Uint64(), strings.Repeat("x", size))
	column := func(v any) cbor.RawMessage {
		data, err := logentry.MarshalValue([]any{v})
		if err != nil {
			panic(err)
		}
		return data
	}
	e := logentry.Entry{
		Format: logentry.Format, Seq: n, Session: []byte("12345678"),
		Buckets: []logentry.Bucket{{ID: n, Name: fmt.Sprint("b", n), Version: 1, Definition: definition}},
		Blocks: []logentry.Block{{
			Bucket: n, Version: 1, Rows: 1, Names: []string{"id", "text"}, Columns: []cbor.RawMessage{column(int64(n)), column(text)},
			Holes: map[uint64][]byte{}, Created: []int64{1}, Updated: []int64{1}, Versions: []uint64{1}, Places: []uint64{0},
			Deleted: []any{}, Marks: map[string]int64{},
		}},
		Reads: []logentry.Read{},
	}
	data, err := e.Encode()
	if err != nil {
		panic(err)
	}
	return data
}

// numberedState is the records by bucket.
func numberedState(entries [][]byte) any {
	state := map[uint64]string{}
	for _, data := range entries {
		e, err := logentry.Parse(data)
		if err != nil {
			return err
		}
		for i := range e.Blocks {
			records, err := e.Blocks[i].Records()
			if err != nil {
				return err
			}
			for _, rec := range records {
				state[e.Blocks[i].Bucket] = fmt.Sprint(rec.Fields)
			}
		}
	}
	return state
}

func TestConformance(t *testing.T) {
	for name, opts := range map[string][]sqlite.Option{"full": nil, "relaxed": {sqlite.Relaxed()}} {
		t.Run(name, func(t *testing.T) {
			persisttest.Run(t, func(t *testing.T) store.Adapter {
				return sqlite.New(filepath.Join(t.TempDir(), "log.db"), opts...)
			}, persisttest.Options{Entry: numberedEntry, State: numberedState})
		})
	}
}
