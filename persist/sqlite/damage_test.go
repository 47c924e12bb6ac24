package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// closedSample makes a closed database in which every table has rows.
func closedSample(t testing.TB, path string, n int) *state {
	t.Helper()
	l := openPath(t, path)
	s := sample(t, l, n)
	for _, e := range []logentry.Entry{
		{Seq: 2, Buckets: []logentry.Bucket{defineBucket(t, 2, "gone", 1, false), defineBucket(t, 2, "gone", 1, true)}},
		{Seq: 3, Blocks: []logentry.Block{newBlock(t, 1, 1, []row{
			{fields: map[string]any{"id": "k1", "n": int64(5)}, place: 2, version: 2, definition: 1},
		}, []any{"k0"}, nil)}},
	} {
		require.NoError(t, l.Append(ctx, s.position, [][]byte{encode(t, e)}))
		require.NoError(t, s.apply(&e))
		s.position, s.seq = s.position+1, e.Seq
	}
	require.NoError(t, l.Close())
	return s
}

// reopen opens a database that may be damaged, and loads it.
func reopen(path string, opts ...Option) (*state, error) {
	l, err := New(path, opts...).OpenLog(ctx)
	if err != nil {
		return nil, err
	}
	s, err := load(l)
	return s, errors.Join(err, l.Close())
}

// TestPlainSQL changes rows as anybody with a shell could.
func TestPlainSQL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := closedSample(t, path, 20)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, query := range []string{
		"UPDATE records SET json = '{}' WHERE key = 'k5'",
		"UPDATE records SET version = version + 1 WHERE key = 'k5'",
		"UPDATE records SET data = extra, extra = data WHERE key = 'k5'",
		"UPDATE records SET key = 5 WHERE key = 'k5'",
		"UPDATE records SET place = 1000 WHERE key = 'k5'",
		"UPDATE records SET bucket = 2 WHERE key = 'k5'",
		"DELETE FROM records WHERE key = 'k5'",
		"DELETE FROM records",
		"INSERT INTO records SELECT bucket, place + 1000, 'new', definition, version, created, updated, expires, data, extra, json, crc FROM records WHERE key = 'k5'",
		// A row in the place of another, each with its own checksum.
		"UPDATE records SET data = (SELECT data FROM records WHERE key = 'k6'), crc = (SELECT crc FROM records WHERE key = 'k6') WHERE key = 'k5'",
		"UPDATE records SET crc = crc + 4294967296 WHERE key = 'k5'",
		"UPDATE buckets SET name = 'customers'",
		"UPDATE buckets SET json = '{}'",
		"UPDATE buckets SET dropped = 0",
		"DELETE FROM buckets",
		"DELETE FROM buckets WHERE dropped = 1",
		"UPDATE marks SET last = 3",
		"DELETE FROM marks",
		"UPDATE meta SET position = position + 1",
		"UPDATE meta SET clean = 0",
		"UPDATE meta SET seq = 0",
		"DELETE FROM meta",
		"DROP TABLE meta",
		"DROP VIEW items",
		"CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END",
		"CREATE INDEX i ON records (json)",
		"ALTER TABLE records ADD COLUMN more TEXT",
		"PRAGMA user_version = 2",
		"PRAGMA application_id = 2",
	} {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		db := plain(t, path)
		_, err := db.Exec(query)
		require.NoError(t, err, query)
		require.NoError(t, db.Close())
		_, err = reopen(path)
		require.Error(t, err, query)
		if query[:6] != "PRAGMA" {
			require.ErrorIs(t, err, store.ErrCorrupt, query)
			var where *store.CorruptError
			require.ErrorAs(t, err, &where, query)
			require.NotEmpty(t, where.File)
			require.NotEmpty(t, where.Reason)
		}
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
	db := plain(t, path)
	for _, query := range []string{"CREATE TABLE notes (a)", "CREATE VIEW mine AS SELECT * FROM items", "PRAGMA journal_mode = DELETE", "VACUUM"} {
		_, err := db.Exec(query)
		require.NoError(t, err, query)
	}
	require.NoError(t, db.Close())
	got, err := reopen(path)
	require.NoError(t, err, "what is one's own does no harm")
	requireSameState(t, s, got)
}

// TestOldRow: a row that is put back as it was, with its checksum, is found.
func TestOldRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := closedSample(t, path, 20)
	db := plain(t, path)
	_, err := db.Exec("CREATE TABLE old AS SELECT * FROM records WHERE key = 'k5'")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	l := openPath(t, path)
	e := logentry.Entry{Seq: 9, Blocks: []logentry.Block{newBlock(t, 1, 1, []row{{fields: map[string]any{"id": "k5"}, place: 6, version: 2}}, nil, nil)}}
	require.NoError(t, l.Append(ctx, s.position, [][]byte{encode(t, e)}))
	require.NoError(t, l.Close())
	db = plain(t, path)
	_, err = db.Exec("INSERT OR REPLACE INTO records SELECT * FROM old")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = reopen(path)
	require.ErrorIs(t, err, store.ErrCorrupt)
}

// TestBitFlips: a database with a flipped bit is an error, or what was written; and
// what is written on top of it then is right as well.
func TestBitFlips(t *testing.T) {
	r := seeded(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s := closedSample(t, path, 150)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	found := 0
	const flips = 150
	for i := range flips {
		broken := bytes.Clone(data)
		bit := r.IntN(8 * len(broken))
		if i < 60 {
			bit = 8*r.IntN(headerSize) + r.IntN(8)
		}
		broken[bit/8] ^= 1 << (bit % 8)
		if r.IntN(10) == 0 { // a whole page
			page := r.IntN(len(broken)/4096) * 4096
			clear(broken[page : page+4096])
		}
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		got, err := reopen(path)
		if err != nil {
			found++
		} else {
			requireSameState(t, s, got)
		}
		_ = os.Remove(path + "-wal")
		_ = os.Remove(path + "-journal")
	}
	t.Logf("%d of %d flips found", found, flips)
	require.Greater(t, found, flips/4)
	for _, n := range []int{0, 1, 50, 100, 4095, 4096, 8192, len(data) - 4096, len(data) - 1} {
		require.NoError(t, os.WriteFile(path, data[:n], 0o600))
		_, err := reopen(path)
		require.ErrorIs(t, err, store.ErrCorrupt, n)
		_ = os.Remove(path + "-wal")
	}
}

// TestKeyFlips changes a key wherever it is: in its row, in the CBOR and the JSON of
// it, and in the index.
func TestKeyFlips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	closedSample(t, path, 150)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	places := 0
	for at := range data {
		if !bytes.HasPrefix(data[at:], []byte("k77")) {
			continue
		}
		places++
		broken := bytes.Clone(data)
		broken[at] ^= 1
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		_, err := reopen(path)
		require.ErrorIs(t, err, store.ErrCorrupt, at)
	}
	require.Equal(t, 4, places)
}

// TestUnchecked: without the check of the structure, rows are checked all the same.
func TestUnchecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := closedSample(t, path, 150)
	got, err := reopen(path, Unchecked())
	require.NoError(t, err)
	requireSameState(t, s, got)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	at := bytes.LastIndex(data, []byte("some text that takes"))
	data[at] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
	_, err = reopen(path, Unchecked())
	require.ErrorIs(t, err, store.ErrCorrupt)
}

// TestWAL flips bits in a write-ahead log that a crash has left. What was committed
// is there, or it is an error; only the last transaction may be gone, as after a
// crash in its midst.
func TestWAL(t *testing.T) {
	r := seeded(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	l := openPath(t, path)
	g := &generator{t: t, r: r, s: newState()}
	var before *state
	var last int64 // the size before the last transaction
	for n := 0; n < 12 || l.(*log).f.beside("-wal")-last < 2*(walFrameSize+4096); n++ {
		before, last = g.s.clone(), l.(*log).f.beside("-wal")
		require.NoError(t, l.Append(ctx, before.position, [][]byte{g.next()}))
	}
	db, err := os.ReadFile(path)
	require.NoError(t, err)
	wal, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	copied := filepath.Join(dir, "copy.db")
	try := func(wal []byte) (*state, error) {
		require.NoError(t, os.WriteFile(copied, db, 0o600))
		require.NoError(t, os.WriteFile(copied+"-wal", wal, 0o600))
		return reopen(copied)
	}
	got, err := try(wal)
	require.NoError(t, err)
	requireSameState(t, g.s, got)
	for range 100 {
		broken := bytes.Clone(wal)
		bit := r.IntN(8 * len(broken))
		if r.IntN(4) == 0 { // in the header of a frame
			bit = 8*(walHeaderSize+r.IntN(len(broken)/(walFrameSize+4096))*(walFrameSize+4096)) + r.IntN(8*walFrameSize)
		}
		broken[bit/8] ^= 1 << (bit % 8)
		got, err := try(broken)
		if at := int64(bit / 8); at < last {
			require.ErrorIs(t, err, store.ErrCorrupt, at)
			_, err = reopen(copied)
			require.ErrorIs(t, err, store.ErrCorrupt, "it stays an error")
			continue
		}
		if err == nil {
			requireSameState(t, before, got)
		} else {
			require.ErrorIs(t, err, store.ErrCorrupt)
		}
	}
	for range 30 { // a crash in the midst of the last transaction
		got, err := try(wal[:last+r.Int64N(int64(len(wal))-last)])
		require.NoError(t, err)
		requireSameState(t, before, got)
	}
}
