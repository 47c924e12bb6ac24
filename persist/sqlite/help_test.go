package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

var ctx = context.Background()

// seeded returns a source of chance, from PERSIST_SEED or new, and logs its seed.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("PERSIST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("PERSIST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// steps is PERSIST_STEPS, or a default.
func steps(t testing.TB, n int) int {
	t.Helper()
	if s := os.Getenv("PERSIST_STEPS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	return n
}

// row is a record of the model.
type row struct {
	fields, extra             map[string]any
	place                     uint64
	version, definition       uint64
	created, updated, expires int64
}

func (r row) key() any { return r.fields["id"] }

// state is what a log should bring: the model.
type state struct {
	position store.Position
	seq      uint64
	buckets  map[uint64]*bucketState
}

type bucketState struct {
	name    string
	version uint64
	dropped bool
	rows    map[any]row
	marks   map[string]int64
}

func newState() *state { return &state{buckets: map[uint64]*bucketState{}} }

func (s *state) clone() *state {
	c := *s
	c.buckets = maps.Clone(s.buckets)
	for id, b := range c.buckets {
		copied := *b
		copied.rows, copied.marks = maps.Clone(b.rows), maps.Clone(b.marks)
		c.buckets[id] = &copied
	}
	return &c
}

// definition is one as the store writes it.
func definition(t testing.TB) []byte {
	t.Helper()
	b, err := logentry.Marshal(map[string]any{"key": "id", "fields": []any{map[string]any{"name": "id", "type": "string"}}})
	require.NoError(t, err)
	return b
}

func defineBucket(t testing.TB, id uint64, name string, version uint64, dropped bool) logentry.Bucket {
	return logentry.Bucket{ID: id, Name: name, Version: version, Definition: definition(t), Dropped: dropped}
}

// newBlock makes a block of rows.
func newBlock(t testing.TB, bucket, version uint64, rows []row, deleted []any, marks map[string]int64) logentry.Block {
	t.Helper()
	k := logentry.Block{
		Bucket: bucket, Version: version, Rows: len(rows), Holes: map[uint64][]byte{}, Deleted: deleted, Marks: marks,
		Names: []string{}, Created: []int64{}, Updated: []int64{}, Versions: []uint64{}, Places: []uint64{},
	}
	names := map[string]bool{}
	for _, r := range rows {
		for name := range r.fields {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		values, hole, holes := []any{}, make([]byte, (len(rows)+7)/8), false
		for i, r := range rows {
			if v, ok := r.fields[name]; ok {
				values = append(values, v)
			} else {
				hole[i/8] |= 1 << (i % 8)
				holes = true
			}
		}
		raw, err := logentry.MarshalValue(values)
		require.NoError(t, err)
		if holes {
			k.Holes[uint64(len(k.Names))] = hole
		}
		k.Names, k.Columns = append(k.Names, name), append(k.Columns, raw)
	}
	expires, extras := false, false
	for _, r := range rows {
		k.Created, k.Updated = append(k.Created, r.created), append(k.Updated, r.updated)
		k.Versions, k.Places = append(k.Versions, r.version), append(k.Places, r.place)
		expires, extras = expires || r.expires != 0, extras || len(r.extra) > 0
	}
	for _, r := range rows {
		if expires {
			k.Expires = append(k.Expires, r.expires)
		}
		if extras {
			k.Extras = append(k.Extras, r.extra)
		}
	}
	return k
}

func encode(t testing.TB, e logentry.Entry) []byte {
	t.Helper()
	e.Format = logentry.Format
	e.Session = []byte("session8")
	data, err := e.Encode()
	require.NoError(t, err)
	return data
}

// load reads what a log has.
func load(l store.Log) (*state, error) {
	s := newState()
	err := l.Load(ctx, func(le store.LogEntry) error {
		s.position = le.Position
		e, err := logentry.Parse(le.Data)
		if err != nil {
			return err
		}
		s.seq = e.Seq
		return s.apply(e)
	})
	return s, err
}

// apply applies an entry to the model. What comes from a log is in order.
func (s *state) apply(e *logentry.Entry) error {
	for _, b := range e.Buckets {
		old := s.buckets[b.ID]
		if old == nil {
			old = &bucketState{rows: map[any]row{}, marks: map[string]int64{}}
			s.buckets[b.ID] = old
		}
		old.name, old.version, old.dropped = b.Name, b.Version, b.Dropped
		if b.Dropped {
			old.rows, old.marks = map[any]row{}, map[string]int64{}
		}
	}
	for i := range e.Blocks {
		k := &e.Blocks[i]
		b := s.buckets[k.Bucket]
		for _, key := range k.Deleted {
			delete(b.rows, key)
		}
		records, err := k.Records()
		if err != nil {
			return err
		}
		for i, r := range records {
			x := row{fields: r.Fields, place: r.Place, version: r.Version, definition: k.Version, created: r.Created, updated: r.Updated, expires: r.Expires}
			if k.Extras != nil {
				x.extra = k.Extras[i]
				for name := range x.extra {
					delete(x.fields, name)
				}
			}
			b.rows[x.key()] = x
		}
		for field, n := range k.Marks {
			if old, ok := b.marks[field]; !ok || n > old {
				b.marks[field] = n
			}
		}
	}
	return nil
}

// requireState compares a log with the model.
func requireState(t testing.TB, want *state, l store.Log) {
	t.Helper()
	got, err := load(l)
	require.NoError(t, err)
	requireSameState(t, want, got)
}

func requireSameState(t testing.TB, want, got *state) {
	t.Helper()
	require.Equal(t, want.position, got.position)
	require.Equal(t, want.seq, got.seq)
	newest := uint64(0)
	for id, b := range want.buckets {
		if b.dropped {
			newest = max(newest, id)
		}
	}
	for id, b := range want.buckets {
		g := got.buckets[id]
		if b.dropped && id < newest {
			require.Nil(t, g, "only the newest dropped bucket is kept")
			continue
		}
		require.NotNil(t, g)
		require.Equal(t, b.name, g.name)
		require.Equal(t, b.version, g.version)
		require.Equal(t, b.dropped, g.dropped)
		require.Equal(t, b.marks, g.marks)
		require.Len(t, g.rows, len(b.rows))
		for key, w := range b.rows {
			requireRow(t, w, g.rows[key])
		}
	}
}

func requireRow(t testing.TB, want, got row) {
	t.Helper()
	requireSame(t, want.fields, got.fields)
	if len(want.extra) > 0 || len(got.extra) > 0 {
		requireSame(t, want.extra, got.extra)
	}
	want.fields, got.fields, want.extra, got.extra = nil, nil, nil, nil
	require.Equal(t, want, got)
}

// requireSame compares canonical values: of one type, floats by their bits.
func requireSame(t testing.TB, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case float64:
		require.IsType(t, w, got)
		require.Equal(t, math.Float64bits(w), math.Float64bits(got.(float64)))
	case []any:
		require.IsType(t, w, got)
		require.Len(t, got, len(w))
		for i := range w {
			requireSame(t, w[i], got.([]any)[i])
		}
	case map[string]any:
		require.IsType(t, w, got)
		require.Len(t, got, len(w))
		for name := range w {
			requireSame(t, w[name], got.(map[string]any)[name])
		}
	default:
		require.Equal(t, want, got)
	}
}

func randomValue(r *rand.Rand, depth int) any {
	n := 9
	if depth > 0 {
		n = 11
	}
	switch r.IntN(n) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return r.Int64() >> r.IntN(64) * int64(1-2*r.IntN(2))
	case 3:
		return []int64{math.MaxInt64, math.MinInt64, 1<<53 + 1, 0, -1}[r.IntN(5)]
	case 4:
		return []float64{0, math.Copysign(0, -1), 1, 0.1, math.Inf(1), math.Inf(-1), 1e300, 5e-324, 1 << 60, -1.5}[r.IntN(10)]
	case 5:
		return randomText(r)
	case 6:
		b := make([]byte, r.IntN(50))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 7:
		return time.Unix(r.Int64N(1<<35)-1<<34, 0).UTC()
	case 8:
		return time.Unix(r.Int64N(1<<35)-1<<34, r.Int64N(1e9)).UTC()
	case 9:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, depth-1)
		}
		return list
	default:
		m := map[string]any{}
		for range r.IntN(4) {
			m[randomText(r)] = randomValue(r, depth-1)
		}
		return m
	}
}

func randomText(r *rand.Rand) string {
	words := []string{"", "a", "x", "\x00", "é", "世界", "\U0001F600", `"\'`, "\n", "%_", "long text that goes on and on "}
	var s strings.Builder
	for range r.IntN(4) {
		s.WriteString(words[r.IntN(len(words))])
	}
	if r.IntN(50) == 0 {
		s.WriteString(fmt.Sprintf("%0*d", r.IntN(9000), 7))
	}
	return s.String()
}

func openPath(t testing.TB, path string, opts ...Option) store.Log {
	t.Helper()
	l, err := New(path, opts...).OpenLog(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func openTemp(t testing.TB, opts ...Option) (store.Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	return openPath(t, path, opts...), path
}

// plain opens a database as anybody would.
func plain(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// sample appends a bucket with n records in one entry, and returns the model.
func sample(t testing.TB, l store.Log, n int) *state {
	t.Helper()
	var rows []row
	for i := range n {
		rows = append(rows, row{
			fields: map[string]any{"id": fmt.Sprint("k", i), "n": int64(i), "text": "some text that takes a little room"},
			place:  uint64(i + 1), version: 1, definition: 1, created: 1700000000000, updated: 1700000000000,
		})
	}
	e := logentry.Entry{
		Seq: 1, Buckets: []logentry.Bucket{defineBucket(t, 1, "users", 1, false)},
		Blocks: []logentry.Block{newBlock(t, 1, 1, rows, nil, map[string]int64{"n": int64(n)})},
	}
	require.NoError(t, l.Append(ctx, 0, [][]byte{encode(t, e)}))
	s := newState()
	s.position, s.seq = 1, 1
	require.NoError(t, s.apply(&e))
	return s
}
