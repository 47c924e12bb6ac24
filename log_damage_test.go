package store_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// smallLog is a log with one of each kind of entry.
func smallLog(t *testing.T, compact bool) *testLog {
	t.Helper()
	log := &testLog{}
	s := openLogged(t, persistent(log))
	b, err := s.DefineBucket(bg, "b", damagedDefinition)
	require.NoError(t, err)
	_, err = b.InsertMany(bg, []store.Fields{{"i": 5, "u": "a"}, {"f": 2.5, "x": []any{1, time.Unix(1, 0)}, "e": []any{1.5, time.Unix(1, 0), time.Unix(1, 5), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}}, {}})
	require.NoError(t, err)
	if compact {
		require.NoError(t, s.Compact(bg))
	}
	_, err = b.Update(bg, 2, store.Fields{"d": time.Unix(3, 4)})
	require.NoError(t, err)
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
		if _, err := b.In(tx).Update(bg, 1, store.Fields{"i": 6}); err != nil {
			return err
		}
		return b.In(tx).Delete(bg, 3)
	}))
	require.NoError(t, s.Close(bg))
	return log
}

var damagedDefinition = store.Definition{
	Key: "id", Extra: true, TTL: time.Hour, Indexes: []store.Index{{"i", "f"}},
	Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "i": {Type: store.Int}, "f": {Type: store.Float}, "d": {Type: store.Date},
		"u": {Type: store.String, Unique: true}, "x": {Type: store.Any},
	},
}

// tryLog opens a log that may be damaged: an error that says where, or some state
// that can be read, written, compacted and opened again.
func tryLog(t *testing.T, log *testLog) error {
	s, err := store.Open(bg, persistent(log))
	if err != nil {
		require.ErrorContains(t, err, "entry ")
		require.False(t, log.open, "it was closed")
		return err
	}
	defer func() { require.NoError(t, s.Close(bg)) }()
	b, err := s.DefineBucket(bg, "b", damagedDefinition)
	if err != nil {
		require.ErrorContains(t, err, `"b"`)
		return err
	}
	if _, err = b.Where().OrderBy(store.Asc("i")).All(); err != nil {
		return err
	}
	_, _ = b.Insert(bg, store.Fields{"i": 1})
	_, _ = b.UpdateMany(bg, store.Fields{"i": 2})
	_, _ = b.DeleteMany(bg, store.Gte("id", 2))
	return s.Compact(bg)
}

// Each bit of a small log's entries the other way round.
func TestLogBitFlips(t *testing.T) {
	var before, after runtime.MemStats
	for _, compact := range []bool{false, true} {
		whole := smallLog(t, compact)
		refused, flips := 0, 0
		for at := range len(whole.snapshot) + len(whole.entries) {
			part := func(l *testLog) *[]byte {
				if at < len(l.snapshot) {
					return &l.snapshot[at]
				}
				return &l.entries[at-len(l.snapshot)]
			}
			for bit := range 8 * len(*part(whole)) {
				if testing.Short() && bit%7 > 0 {
					continue
				}
				log := &testLog{snapshot: slices.Clone(whole.snapshot), entries: slices.Clone(whole.entries), at: whole.at}
				data := slices.Clone(*part(log))
				data[bit/8] ^= 1 << (bit % 8)
				*part(log) = data
				runtime.ReadMemStats(&before)
				func() {
					defer func() {
						if p := recover(); p != nil {
							t.Errorf("entry %d, bit %d: panic: %v", at, bit, p)
						}
					}()
					flips++
					if tryLog(t, log) != nil {
						refused++
					}
				}()
				runtime.ReadMemStats(&after)
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "entry %d, bit %d", at, bit)
			}
		}
		t.Logf("compact %v: %d of %d refused", compact, refused, flips)
		require.Greater(t, refused, flips/4)
	}
}

// Entries that end early.
func TestLogTruncatedEntries(t *testing.T) {
	whole := smallLog(t, false)
	for at, data := range whole.entries {
		for n := range len(data) {
			log := &testLog{entries: slices.Clone(whole.entries)}
			log.entries[at] = data[:n]
			require.ErrorIs(t, tryLog(t, log), store.ErrCorrupt)
		}
	}
}

// Entries that are whole, and make no sense.
func TestLogSenselessEntries(t *testing.T) {
	change := func(at int, fn func(e *logentry.Entry)) func(*testing.T, *testLog) {
		return func(t *testing.T, l *testLog) {
			e, err := logentry.Parse(l.entries[at])
			require.NoError(t, err)
			fn(e)
			l.entries[at], err = e.Encode()
			require.NoError(t, err)
		}
	}
	for name, damage := range map[string]func(t *testing.T, l *testLog){
		"newer format":   change(1, func(e *logentry.Entry) { e.Format++ }),
		"unknown bucket": change(1, func(e *logentry.Entry) { e.Blocks[0].Bucket = 77 }),
		"defined twice": func(_ *testing.T, l *testLog) {
			l.entries = append(l.entries, slices.Clone(l.entries[0]))
			change(4, func(e *logentry.Entry) { e.Buckets[0].ID = 2 })(t, l)
		},
		"end of nothing":  change(0, func(e *logentry.Entry) { e.Buckets[0].Dropped = true }),
		"missing record":  change(3, func(e *logentry.Entry) { e.Blocks[0].Deleted = []any{int64(99)} }),
		"key of text":     change(3, func(e *logentry.Entry) { e.Blocks[0].Deleted = []any{"x"} }),
		"a key of floats": change(3, func(e *logentry.Entry) { e.Blocks[0].Deleted = []any{1.5} }),
		"other names":     change(1, func(e *logentry.Entry) { e.Blocks[0].Names[0] = "zz" }),
		"columns swapped": change(1, func(e *logentry.Entry) { c := e.Blocks[0].Columns; c[0], c[4] = c[4], c[0] }),
		"column cut":      change(1, func(e *logentry.Entry) { e.Blocks[0].Columns[3] = []byte{0x80} }),
		"wrong type":      change(1, func(e *logentry.Entry) { e.Blocks[0].Columns[3] = []byte{0x83, 0x61, 'a', 0x61, 'b', 0x61, 'c'} }),
		"fewer versions":  change(1, func(e *logentry.Entry) { e.Blocks[0].Versions = e.Blocks[0].Versions[1:] }),
		"duplicate key": func(_ *testing.T, l *testLog) {
			change(1, func(e *logentry.Entry) { e.Blocks[0].Columns[3] = []byte{0x83, 1, 1, 1} })(t, l)
		},
		"rows without end": change(1, func(e *logentry.Entry) { e.Blocks[0].Rows = 1 << 40 }),
		"negative rows":    change(1, func(e *logentry.Entry) { e.Blocks[0].Rows = -1 }),
		"holes beyond":     change(1, func(e *logentry.Entry) { e.Blocks[0].Holes[99] = []byte{1} }),
		"not CBOR":         func(_ *testing.T, l *testLog) { l.entries[2] = []byte("not an entry") },
		"nothing":          func(_ *testing.T, l *testLog) { l.entries[2] = nil },
		"deep":             func(_ *testing.T, l *testLog) { l.entries[2] = []byte(strings.Repeat("\x81", 1<<20)) },
		"huge array":       func(_ *testing.T, l *testLog) { l.entries[2] = []byte{0x9a, 0x7f, 0xff, 0xff, 0xff} },
		"missing entry":    func(_ *testing.T, l *testLog) { l.entries = l.entries[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			log := smallLog(t, false)
			damage(t, log)
			require.ErrorIs(t, tryLog(t, log), store.ErrCorrupt)
		})
	}
}

// Decoded and encoded again, an entry has the same bytes.
func TestLogEntriesAreDeterministic(t *testing.T) {
	for _, compact := range []bool{false, true} {
		log := smallLog(t, compact)
		require.NoError(t, log.Load(bg, func(e store.LogEntry) error {
			x, err := logentry.Parse(e.Data)
			require.NoError(t, err)
			again, err := x.Encode()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%x", e.Data), fmt.Sprintf("%x", again), "entry %d", e.Position)
			return nil
		}))
	}
}

// An entry names its commit, and has what its transaction has read by key.
func TestLogEntriesOfTransactions(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	a, b := defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
	putNumber(t, a, 1, 1)
	putNumber(t, a, 1, 2)
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
		a.In(tx).Get(1)
		a.In(tx).Get(7)
		a.In(tx).Get(1)
		_, err := b.In(tx).Insert(bg, store.Fields{"id": 3, "n": 4})
		return err
	}))
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
		_, err := a.In(tx).Update(bg, 1, store.Fields{"n": 5})
		return err
	}, store.SnapshotIsolation))
	list := parseLog(t, log)
	require.Len(t, list, 6)
	first, second := list[0].Buckets[0].ID, list[1].Buckets[0].ID
	e := list[4]
	require.Equal(t, []logentry.Read{{Bucket: first, Key: int64(1), Version: 2}, {Bucket: first, Key: int64(7)}, {Bucket: second, Key: int64(3)}}, e.Reads)
	require.Len(t, e.Blocks, 1)
	records, err := e.Blocks[0].Records()
	require.NoError(t, err)
	require.Equal(t, map[string]any{"id": int64(3), "n": int64(4)}, records[0].Fields)
	require.EqualValues(t, 1, records[0].Version)
	require.EqualValues(t, 3, e.Seq)
	require.Empty(t, list[5].Reads)
	s = reopen(t, s, log)
	putNumber(t, defineNumbers(t, s, "a"), 9, 9)
	again := parseLog(t, log)
	require.NotEqual(t, e.Session, again[len(again)-1].Session)
	require.EqualValues(t, 5, again[len(again)-1].Seq)
	for _, x := range list {
		require.Equal(t, e.Session, x.Session)
	}
}

// An entry that is too large is an error of its own, and of nobody else.
func TestLogTooLarge(t *testing.T) {
	log := &testLog{most: 8192}
	s := openLogged(t, persistent(log))
	def := numbersDefinition()
	def.Extra = true
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	large := strings.Repeat("x", 9000)
	putNumber(t, b, 1, 1)
	want := showBucket(t, b)
	_, err = b.Insert(bg, store.Fields{"id": 2, "x": large})
	require.Error(t, err)
	_, err = b.Update(bg, 1, store.Fields{"x": large})
	require.Error(t, err)
	err = s.Transaction(bg, func(tx *store.Tx) error {
		_, err := b.In(tx).Insert(bg, store.Fields{"id": 2, "x": large})
		return err
	})
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrLogFailed)
	require.Equal(t, want, showBucket(t, b))
	require.NoError(t, s.Stats().Persistence.Failed)
	var list []store.Fields
	for i := range 40 {
		list = append(list, store.Fields{"id": 10 + i, "x": strings.Repeat("y", 100)})
	}
	_, err = b.InsertMany(bg, list)
	require.NoError(t, err)
	want = showBucket(t, b)
	s = reopen(t, s, log)
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	require.Equal(t, want, showBucket(t, b))
}

// Values as deep, and as large, as options allow; empty stores and buckets.
func TestLogExtremes(t *testing.T) {
	for _, depth := range []int{0, -1} {
		log := &testLog{}
		opt := persistent(log)
		opt.MaxDepth = depth
		s := openLogged(t, opt)
		def := store.Definition{Key: "id", Extra: true, Schema: store.Schema{"id": {Type: store.String}, "x": {Type: store.Any}, "o": {Type: store.Object}}}
		names := []string{"b", "a/x", "ü 日本", " ", strings.Repeat("n", 200), "x\\y", "empty"}
		for _, name := range names {
			b, err := s.DefineBucket(bg, name, def)
			require.NoError(t, err)
			if name == "empty" {
				continue
			}
			_, err = b.Insert(bg, store.Fields{"id": name})
			require.NoError(t, err)
		}
		b, err := s.Bucket("b")
		require.NoError(t, err)
		levels := 64
		if depth < 0 {
			levels = logentry.MaxDepth
		}
		var deep any = "leaf"
		var object any = 1
		for range levels {
			deep, object = []any{deep}, map[string]any{"k": object}
		}
		_, err = b.Insert(bg, store.Fields{"id": "deep", "x": deep, "o": object, "extra": deep})
		require.NoError(t, err)
		_, err = b.Insert(bg, store.Fields{"id": "deeper", "x": []any{deep}})
		require.Error(t, err)
		_, err = b.Insert(bg, store.Fields{"id": "large", "x": strings.Repeat("x", 4<<20), "extra": []byte(strings.Repeat("y", 1<<20))})
		require.NoError(t, err)
		want := showBucket(t, b)
		for _, compact := range []bool{false, true} {
			if compact {
				require.NoError(t, s.Compact(bg))
			}
			require.NoError(t, s.Close(bg))
			s = openLogged(t, opt)
			for _, name := range names {
				_, err = s.DefineBucket(bg, name, def)
				require.NoError(t, err)
			}
			b, err = s.Bucket("b")
			require.NoError(t, err)
			require.True(t, slices.Equal(want, showBucket(t, b)))
		}
	}
	log := &testLog{}
	s := openLogged(t, persistent(log))
	require.NoError(t, s.Compact(bg))
	s = reopen(t, s, log)
	require.Empty(t, s.Stats().Persistence.Undefined)
}
