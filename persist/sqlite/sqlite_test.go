package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

func TestNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "store %41?x#y.db")
	l := openPath(t, path)
	info := l.Info()
	require.Zero(t, info.Last)
	require.True(t, info.Durable)
	require.True(t, info.Compact)
	require.True(t, info.Recovery.Clean)
	require.NoError(t, l.Load(ctx, func(store.LogEntry) error { return errors.New("there is nothing") }))
	require.NoError(t, l.Append(ctx, 0, nil))
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	require.Error(t, l.Append(ctx, 0, nil))
	require.Error(t, l.Sync(ctx))
	require.Error(t, l.Load(ctx, nil))
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{path}, names)
	l = openPath(t, path)
	require.Equal(t, store.Position(0), l.Info().Last)
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "store.db")
	l := openPath(t, path)
	sample(t, l, 10)
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600, path + "-wal": 0o600} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), name)
	}
	require.NoFileExists(t, path+"-shm")
	require.NoError(t, l.Snapshot(ctx, 1, func(put func([]byte) error) error {
		names, err := filepath.Glob(filepath.Join(dir, ".snapshot-*"))
		require.NoError(t, err)
		require.Len(t, names, 1)
		info, err := os.Stat(names[0])
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		return put(encode(t, logentry.Entry{Buckets: []logentry.Bucket{defineBucket(t, 1, "x", 1, false)}}))
	}))
	require.NoError(t, l.Close())
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 1)
}

// TestLocked: in this process; TestKill has the other.
func TestLocked(t *testing.T) {
	l, path := openTemp(t)
	s := sample(t, l, 10)
	link := path + ".link"
	require.NoError(t, os.Symlink(path, link))
	for _, p := range []string{path, link} {
		start := time.Now()
		_, err := New(p).OpenLog(ctx)
		require.ErrorIs(t, err, store.ErrLocked)
		require.Less(t, time.Since(start), time.Second)
	}
	_, err := plain(t, path).Exec("DELETE FROM records")
	require.Error(t, err)
	requireState(t, s, l)
	require.NoError(t, l.Close())
	l = openPath(t, link)
	requireState(t, s, l)
	require.NoError(t, l.Close())

	// SQLite's own lock, of somebody who is reading.
	db := plain(t, path)
	_, err = db.Exec("BEGIN IMMEDIATE")
	require.NoError(t, err)
	_, err = New(path).OpenLog(ctx)
	require.ErrorIs(t, err, store.ErrLocked)
	_, err = db.Exec("ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	requireState(t, s, openPath(t, path))
}

func TestForeign(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "other.db")
	db := plain(t, path)
	_, err := db.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	refused := func(name string) {
		before, err := os.ReadFile(name)
		require.NoError(t, err)
		_, err = New(name).OpenLog(ctx)
		require.Error(t, err)
		after, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	refused(path) // with a log beside it
	require.NoError(t, db.Close())
	refused(path)
	for name, content := range map[string]string{"text": "not a database", "zero": string(make([]byte, 5000)), "half": headerMagic} {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		refused(name)
		_, err := New(name).OpenLog(ctx)
		require.ErrorIs(t, err, store.ErrCorrupt)
	}
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 4)
	_, err = New(dir).OpenLog(ctx)
	require.Error(t, err)
	_, err = New(filepath.Join(path, "below")).OpenLog(ctx)
	require.Error(t, err)
	_, err = New(filepath.Join(dir, "a\x00b")).OpenLog(ctx)
	require.Error(t, err)

	// A later format, and a database that lost its content.
	l, path := openTemp(t)
	sample(t, l, 3)
	require.NoError(t, l.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[atUserVersion+3]++
	require.NoError(t, os.WriteFile(path, data, 0o600))
	refused(path)
	require.NoError(t, os.Truncate(path, 0))
	refused(path)
	_, err = New(path).OpenLog(ctx)
	require.ErrorIs(t, err, store.ErrCorrupt)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path+"-wal", []byte("x"), 0o600))
	_, err = New(path).OpenLog(ctx)
	require.ErrorIs(t, err, store.ErrCorrupt)
	require.NoFileExists(t, path)
}

// TestCreate: of many who make a database, of this process, one gets it.
func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	const n = 10
	results := make(chan error, n)
	for range n {
		go func() {
			l, err := New(path).OpenLog(ctx)
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			results <- err
		}()
	}
	opened := 0
	for range n {
		if err := <-results; err == nil {
			opened++
		} else {
			require.ErrorIs(t, err, store.ErrLocked)
		}
	}
	require.Equal(t, 1, opened)
}

// TestUnknownOutcome: a commit that fails may have happened.
func TestUnknownOutcome(t *testing.T) {
	l, path := openTemp(t)
	s := sample(t, l, 3)
	st := l.(*log).st
	require.NoError(t, st.commit.Close())
	next := [][]byte{encode(t, logentry.Entry{Seq: 2})}
	require.ErrorIs(t, l.Append(ctx, 1, next), store.ErrUnknownOutcome)
	require.Error(t, l.Append(ctx, 1, next))
	require.Error(t, l.Append(ctx, 2, next))
	require.Error(t, l.Sync(ctx))
	require.Error(t, l.Snapshot(ctx, 1, func(func([]byte) error) error { return nil }))
	require.NoError(t, l.Close())
	l = openPath(t, path)
	require.False(t, l.Info().Recovery.Clean)
	requireState(t, s, l)
}

// TestConcurrent: what may run at the same time does.
func TestConcurrent(t *testing.T) {
	l, path := openTemp(t, Relaxed())
	sample(t, l, 3)
	done := make(chan error, 3)
	go func() {
		for i := range 200 {
			if err := l.Append(ctx, store.Position(i+1), [][]byte{encode(t, logentry.Entry{Seq: uint64(i)})}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	go func() {
		for range 20 {
			if err := l.Sync(ctx); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	go func() {
		last := store.Position(1)
		for e, err := range l.Follow(ctx, last) {
			if last++; err != nil || e.Position != last {
				done <- fmt.Errorf("%d: %w", e.Position, err)
				return
			}
			if l.Info().Last < last {
				done <- errors.New("followed before it was there")
				return
			}
			if last == 201 {
				break
			}
		}
		done <- nil
	}()
	for range 3 {
		require.NoError(t, <-done)
	}
	require.NoError(t, l.Close())
	require.Equal(t, store.Position(201), openPath(t, path).Info().Last)
}

func TestReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("permissions do not stop this user")
	}
	l, path := openTemp(t)
	s := sample(t, l, 3)
	require.NoError(t, l.Close())
	for name, mode := range map[string]os.FileMode{path: 0o400, filepath.Dir(path): 0o500} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(name, mode))
		_, err = New(path).OpenLog(ctx)
		require.Error(t, err)
		require.NoError(t, os.Chmod(name, info.Mode()))
		l := openPath(t, path)
		requireState(t, s, l)
		require.NoError(t, l.Close())
	}
}

// TestHostileNames: nothing that comes in becomes SQL.
func TestHostileNames(t *testing.T) {
	l, path := openTemp(t)
	s := newState()
	hostile := []string{"'; DROP TABLE records; --", `"`, "\x00", "a\x00b", "?1", ":x", "$.a", "%s", strings.Repeat("x", 5000), ""}
	e := logentry.Entry{Seq: 1}
	for i, name := range hostile {
		e.Buckets = append(e.Buckets, defineBucket(t, uint64(i+1), name, 1, false))
		fields := map[string]any{"id": name, name: name}
		e.Blocks = append(e.Blocks, newBlock(t, uint64(i+1), 1, []row{{fields: fields, place: 1, version: 1}}, nil, map[string]int64{name: 1}))
	}
	require.NoError(t, l.Append(ctx, 0, [][]byte{encode(t, e)}))
	require.NoError(t, s.apply(&e))
	s.position, s.seq = 1, 1
	requireState(t, s, l)
	require.NoError(t, l.Close())
	requireJSON(t, path)
	requireState(t, s, openPath(t, path))
}

// TestKeys: a text and an integer that look alike are two keys.
func TestKeys(t *testing.T) {
	l, _ := openTemp(t)
	s := newState()
	var rows []row
	for i, key := range []any{"1", int64(1), "", int64(0), int64(math.MaxInt64), int64(math.MinInt64), "1.0", "01", "é"} {
		rows = append(rows, row{fields: map[string]any{"id": key, "n": int64(i)}, place: 7, version: 1, definition: 1})
	}
	e := logentry.Entry{Seq: 1, Buckets: []logentry.Bucket{defineBucket(t, 1, "b", 1, false)}, Blocks: []logentry.Block{newBlock(t, 1, 1, rows, nil, nil)}}
	require.NoError(t, l.Append(ctx, 0, [][]byte{encode(t, e)}))
	require.NoError(t, s.apply(&e))
	e = logentry.Entry{Seq: 2, Blocks: []logentry.Block{newBlock(t, 1, 1, nil, []any{"1", int64(0), "not there"}, nil)}}
	require.NoError(t, l.Append(ctx, 1, [][]byte{encode(t, e)}))
	require.NoError(t, s.apply(&e))
	s.position, s.seq = 2, 2
	require.Len(t, s.buckets[1].rows, 7)
	requireState(t, s, l)
}

func TestJSON(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for want, v := range map[string]any{
		"null": nil, "true": true, "false": false, "9223372036854775807": int64(math.MaxInt64), "-9223372036854775808": int64(math.MinInt64),
		"9007199254740993": int64(1<<53 + 1), "1.0": 1.0, "-0.0": math.Copysign(0, -1), "0.1": 0.1, "1e+300": 1e300, "5e-324": 5e-324,
		"1.152921504606847e+18": float64(1 << 60), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1), `"AQI="`: []byte{1, 2}, `""`: "",
		`"a\"\\\u000a\u0000é"`: "a\"\\\n\x00é", `"2024-05-06T07:08:09Z"`: at, `"2024-05-06T07:08:09.000000001Z"`: at.Add(1),
		`[1,[],{}]`: []any{int64(1), []any{}, map[string]any{}}, `{"a":1,"b":{"c":null}}`: map[string]any{"a": int64(1), "b": map[string]any{"c": nil}},
	} {
		data, err := logentry.MarshalValue(v)
		require.NoError(t, err)
		out, rest, err := appendJSON(nil, data, 0)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, want, string(out))
		for n := range data {
			_, _, err := appendJSON(nil, data[:n], 0)
			require.Error(t, err)
			_, _, err = cutItem(data[:n])
			require.Error(t, err)
		}
	}
	for _, data := range []string{"", "\xf7", "\xe0", "\xf9\x7e\x00", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\xd8\x64\x01", "\xa1\x01\x01", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\x9f\xff", "\x61\xff"} {
		_, _, err := appendJSON(nil, []byte(data), 0)
		require.Error(t, err, "%x", data)
	}
}

// TestRefused: an entry that cannot be kept leaves nothing of its group, and the
// log fails.
func TestRefused(t *testing.T) {
	good := func() []byte {
		return encode(t, logentry.Entry{Seq: 2, Buckets: []logentry.Bucket{defineBucket(t, 9, "good", 1, false)}})
	}
	blockOf := func(bucket uint64, rows ...row) []byte {
		return encode(t, logentry.Entry{Seq: 3, Blocks: []logentry.Block{newBlock(t, bucket, 1, rows, nil, nil)}})
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		data []byte
	}{
		"nothing":          {ctx, nil},
		"no entry":         {ctx, []byte("\x01")},
		"no such bucket":   {ctx, blockOf(5, row{fields: map[string]any{"id": "a"}})},
		"no key":           {ctx, blockOf(1, row{fields: map[string]any{"n": "a"}})},
		"key of a float":   {ctx, blockOf(1, row{fields: map[string]any{"id": 1.0}})},
		"place":            {ctx, blockOf(1, row{fields: map[string]any{"id": "a"}, place: 1 << 63})},
		"too large":        {ctx, make([]byte, maxEntry+1)},
		"definition":       {ctx, encode(t, logentry.Entry{Buckets: []logentry.Bucket{{ID: 3, Definition: []byte{0xa0}}}})},
		"bucket's id":      {ctx, encode(t, logentry.Entry{Buckets: []logentry.Bucket{defineBucket(t, 1<<63, "x", 1, false)}})},
		"value in a block": {ctx, []byte(strings.Replace(string(blockOf(1, row{fields: map[string]any{"id": "a", "x": int64(20)}})), "\x81\x14", "\x81\xd8", 1))},
	} {
		l, path := openTemp(t)
		s := sample(t, l, 5)
		require.Error(t, l.Append(c.ctx, 1, [][]byte{good(), c.data}), name)
		require.Error(t, l.Append(ctx, 1, [][]byte{good()}), name)
		require.Error(t, l.Sync(ctx), name)
		requireState(t, s, l)
		require.NoError(t, l.Close())
		l = openPath(t, path)
		require.False(t, l.Info().Recovery.Clean, name)
		requireState(t, s, l)
		require.NoError(t, l.Append(ctx, 1, [][]byte{good()}))
		require.NoError(t, l.Close())
	}
}

func TestConflict(t *testing.T) {
	l, _ := openTemp(t)
	sample(t, l, 1)
	next := [][]byte{encode(t, logentry.Entry{Seq: 2})}
	for _, after := range []store.Position{0, 2, math.MaxUint64} {
		require.ErrorIs(t, l.Append(ctx, after, next), store.ErrLogConflict)
	}
	require.NoError(t, l.Append(ctx, 1, next))
	require.Equal(t, store.Position(2), l.Info().Last)
}

// TestFull: a full disk, of which a bound of pages takes the place.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	a := New(path)
	a.pages = 60
	l, err := a.OpenLog(ctx)
	require.NoError(t, err)
	s := sample(t, l, 10)
	for i := 10; ; i++ {
		x := row{fields: map[string]any{"id": fmt.Sprint("k", i), "text": strings.Repeat("x", 3000)}, place: uint64(i + 1), version: 1, definition: 1}
		e := logentry.Entry{Seq: uint64(i), Blocks: []logentry.Block{newBlock(t, 1, 1, []row{x, x}[:1], nil, nil)}}
		if err = l.Append(ctx, s.position, [][]byte{encode(t, e)}); err != nil {
			break
		}
		require.NoError(t, s.apply(&e))
		s.position, s.seq = s.position+1, e.Seq
	}
	require.NotErrorIs(t, err, store.ErrUnknownOutcome, "SQLite has rolled it back")
	require.Greater(t, s.position, store.Position(5))
	require.Error(t, l.Append(ctx, s.position, [][]byte{encode(t, logentry.Entry{Seq: 1000})}), "it has failed")
	requireState(t, s, l)
	require.NoError(t, l.Close())
	l = openPath(t, path)
	requireState(t, s, l)
}

func TestFollow(t *testing.T) {
	l, path := openTemp(t, Relaxed())
	sample(t, l, 3)
	require.NoError(t, l.Close())
	l = openPath(t, path, Relaxed())
	for _, err := range l.Follow(ctx, 0) {
		require.ErrorIs(t, err, store.ErrTrimmed)
	}
	const n = recentEntries + 200
	followed := make(chan store.Position)
	go func() {
		last := store.Position(1)
		for e, err := range l.Follow(ctx, 1) {
			if err != nil {
				break // it was too slow
			}
			last++
			if e.Position != last {
				break
			}
		}
		followed <- last
	}()
	for i := range n {
		require.NoError(t, l.Append(ctx, store.Position(i+1), [][]byte{encode(t, logentry.Entry{Seq: uint64(i)})}))
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	count := 0
	limited, cancel := context.WithCancel(ctx)
	for e, err := range l.Follow(limited, n+1-recentEntries) {
		require.NoError(t, err)
		parsed, err := logentry.Parse(e.Data)
		require.NoError(t, err)
		require.Equal(t, uint64(e.Position)-2, parsed.Seq)
		if count++; count == recentEntries {
			cancel()
		}
	}
	cancel()
	for _, err := range l.Follow(ctx, n-recentEntries) {
		require.ErrorIs(t, err, store.ErrTrimmed)
	}
	require.NoError(t, l.Close())
	require.Equal(t, store.Position(n+1), <-followed)
}

// TestFollowSlowly: entries that are dropped while they are followed are still what
// they were.
func TestFollowSlowly(t *testing.T) {
	l, _ := openTemp(t)
	position := store.Position(0)
	add := func(n int) {
		entries := make([][]byte, n)
		for i := range entries {
			entries[i] = encode(t, logentry.Entry{Seq: uint64(position) + uint64(i) + 1})
		}
		require.NoError(t, l.Append(ctx, position, entries))
		position += store.Position(n)
	}
	add(2*recentEntries + 50) // with room for more in the same memory
	first := position - recentEntries
	seen := first
	for e, err := range l.Follow(ctx, first) {
		if err != nil {
			require.ErrorIs(t, err, store.ErrTrimmed)
			break
		}
		seen++
		require.Equal(t, seen, e.Position)
		parsed, err := logentry.Parse(e.Data)
		require.NoError(t, err)
		require.Equal(t, uint64(seen), parsed.Seq)
		if seen < first+5 {
			add(10)
		}
		if seen == first+recentEntries {
			add(recentEntries + 100)
		}
	}
	require.Equal(t, first+recentEntries, seen)
	require.LessOrEqual(t, len(l.(*log).recent.entries), recentEntries)
}

func TestRelaxed(t *testing.T) {
	l, path := openTemp(t, Relaxed())
	require.False(t, l.Info().Durable)
	s := sample(t, l, 100)
	db, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, l.Sync(ctx))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotEqual(t, db, after, "the database itself has it now")
	copied := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, os.WriteFile(copied, after, 0o600))
	requireState(t, s, openPath(t, copied))
	require.False(t, openPath(t, filepath.Join(t.TempDir(), "x.db"), Relaxed()).Info().Durable)
}

// TestLargeValues: rows that take many pages, and parts that are bounded by bytes.
func TestLargeValues(t *testing.T) {
	l, path := openTemp(t)
	s := newState()
	var rows []row
	for i := range 8 {
		rows = append(rows, row{fields: map[string]any{"id": int64(i), "b": make([]byte, 1<<20)}, place: uint64(i), version: 1, definition: 1})
	}
	e := logentry.Entry{Seq: 1, Buckets: []logentry.Bucket{defineBucket(t, 1, "b", 1, false)}, Blocks: []logentry.Block{newBlock(t, 1, 1, rows, nil, nil)}}
	require.NoError(t, l.Append(ctx, 0, [][]byte{encode(t, e)}))
	require.NoError(t, s.apply(&e))
	s.position, s.seq = 1, 1
	requireState(t, s, l)
	parts := 0
	require.NoError(t, l.Load(ctx, func(e store.LogEntry) error {
		parts++
		require.Less(t, len(e.Data), 2*partBytes)
		return nil
	}))
	require.Equal(t, 3, parts)
	stop := errors.New("stop")
	require.ErrorIs(t, l.Load(ctx, func(store.LogEntry) error { return stop }), stop)
	require.NoError(t, l.Close())
	requireState(t, s, openPath(t, path))
}

// TestOrder: rows come in the order of their places, in blocks of one version of the
// definition.
func TestOrder(t *testing.T) {
	l, _ := openTemp(t)
	var e logentry.Entry
	e.Buckets = []logentry.Bucket{defineBucket(t, 1, "b", 1, false)}
	for i := range 50 {
		x := row{fields: map[string]any{"id": fmt.Sprint(i)}, place: uint64(100 - i), version: 1}
		e.Blocks = append(e.Blocks, newBlock(t, 1, uint64(1+i/20), []row{x}, nil, nil))
	}
	require.NoError(t, l.Append(ctx, 0, [][]byte{encode(t, e)}))
	var places, versions []uint64
	require.NoError(t, l.Load(ctx, func(le store.LogEntry) error {
		e, err := logentry.Parse(le.Data)
		require.NoError(t, err)
		for _, k := range e.Blocks {
			places, versions = append(places, k.Places...), append(versions, k.Version)
		}
		return nil
	}))
	require.Len(t, places, 50)
	require.IsIncreasing(t, places)
	require.Equal(t, []uint64{3, 2, 1}, versions)
}
