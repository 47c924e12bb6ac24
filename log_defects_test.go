package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// What was wrong with the log once.

// A compaction that queued before a write, and shared its append, took the
// position behind the write for its own, and the state before it: the write was
// gone after a restart.
func TestLogCompactionInTheGroupOfAWrite(t *testing.T) {
	gate := &logGate{}
	log := &testLog{onAppend: gate.pass}
	s := openLogged(t, persistent(log))
	a, b := defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
	gate.shut()
	var wg sync.WaitGroup
	wg.Go(func() { putNumber(t, a, 1, 1) })
	gate.blocked(t, 1)
	wg.Go(func() { require.NoError(t, s.Compact(bg)) })
	settled()
	wg.Go(func() { putNumber(t, b, 2, 2) })
	settled()
	gate.open()
	wg.Wait()
	s = reopen(t, s, log)
	a, b = defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
	require.EqualValues(t, 1, numberOf(t, a, 1))
	require.EqualValues(t, 2, numberOf(t, b, 2), "it was acknowledged")
}

// A definition that had changed was read with the blocks of the one before as if
// they were its own: the second restart failed.
func TestLogDefinitionThatHadChanged(t *testing.T) {
	one := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.String}}}
	for name, two := range map[string]store.Definition{
		"added field":      {Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.String}, "t": {Type: store.String}}},
		"added default":    {Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.String}, "t": {Type: store.String, Default: "t"}}},
		"computed default": {Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.String}, "t": {Type: store.String, Generated: store.UUID}}},
		"removed field":    {Key: "id", Schema: store.Schema{"id": {Type: store.Int}}, Extra: true},
		"other type":       {Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.Date}}},
	} {
		t.Run(name, func(t *testing.T) {
			log := &testLog{}
			s := openLogged(t, persistent(log))
			b, err := s.DefineBucket(bg, "b", one)
			require.NoError(t, err)
			_, err = b.Insert(bg, store.Fields{"id": 1, "s": "2024-02-29"})
			require.NoError(t, err)
			s = reopen(t, s, log)
			b, err = s.DefineBucket(bg, "b", two)
			require.NoError(t, err)
			want := showBucket(t, b)
			for range 2 {
				s = reopen(t, s, log)
				b, err = s.DefineBucket(bg, "b", two)
				require.NoError(t, err)
				require.Equal(t, want, showBucket(t, b))
			}
		})
	}
}

// A new definition was tried on what records had been, too: on versions that were
// overwritten since, and on records that were deleted.
func TestLogDefinitionThatFitsWhatIsThere(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	b := defineNumbers(t, s, "b")
	for id := range 3 {
		_, err := b.Insert(bg, store.Fields{"id": id})
		require.NoError(t, err)
	}
	for id := range 2 {
		_, err := b.Update(bg, id, store.Fields{"n": id})
		require.NoError(t, err)
	}
	require.NoError(t, b.Delete(bg, 2))
	s = reopen(t, s, log)
	def := numbersDefinition()
	def.Schema["n"] = store.Field{Type: store.Int, Required: true}
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err, "every record has an n")
	require.EqualValues(t, 1, numberOf(t, b, 1))
	s = reopen(t, s, log)
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

// Another key: records were put together, and deleted, by the new one. It may be
// refused, but neither as damage of the log nor with records that come back.
func TestLogDefinitionWithAnotherKey(t *testing.T) {
	def := func(key string) store.Definition {
		return store.Definition{Key: key, Schema: store.Schema{"id": {Type: store.Int}, "code": {Type: store.String}}}
	}
	for name, write := range map[string]func(b *store.Bucket) error{
		"update": func(b *store.Bucket) error { _, err := b.Update(bg, 1, store.Fields{"code": "b"}); return err },
		"delete": func(b *store.Bucket) error { return b.Delete(bg, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			log := &testLog{}
			s := openLogged(t, persistent(log))
			b, err := s.DefineBucket(bg, "b", def("id"))
			require.NoError(t, err)
			_, err = b.Insert(bg, store.Fields{"id": 1, "code": "a"})
			require.NoError(t, err)
			_, err = b.Insert(bg, store.Fields{"id": 2, "code": "c"})
			require.NoError(t, err)
			require.NoError(t, write(b))
			want, err := b.Count()
			require.NoError(t, err)
			s = reopen(t, s, log)
			b, err = s.DefineBucket(bg, "b", def("code"))
			require.NotErrorIs(t, err, store.ErrCorrupt)
			if err == nil {
				got, err := b.Count()
				require.NoError(t, err)
				require.Equal(t, want, got)
				_, ok := b.Get("a")
				require.False(t, ok, "it is not there any more")
			}
		})
	}
}

// A compaction wrote the times among the extra fields of a bucket that was not
// defined as numbers, without their nanoseconds.
func TestLogCompactionOfTimesInUndefinedBuckets(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	def := numbersDefinition()
	def.Extra = true
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	when := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	_, err = b.Insert(bg, store.Fields{"id": 1, "when": when, "list": []any{when.Truncate(time.Second), map[string]any{"x": when}}})
	require.NoError(t, err)
	want := showBucket(t, b)
	s = reopen(t, s, log)
	require.NoError(t, s.Compact(bg))
	s = reopen(t, s, log)
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	require.Equal(t, want, showBucket(t, b))
}

// An adapter that ended the goroutine of the one who led left all others waiting
// for ever, and the bucket with a pending change.
func TestLogAppendEndsTheGoroutine(t *testing.T) {
	gate := &logGate{}
	log := &testLog{onAppend: gate.pass}
	s := openLogged(t, persistent(log))
	a, b := defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
	var calls atomic.Int64
	log.onAppend = func([][]byte) error {
		if calls.Add(1) == 1 {
			_ = gate.pass(nil)
			runtime.Goexit()
		}
		return nil
	}
	gate.shut()
	go func() { _, _ = a.Insert(bg, store.Fields{"id": 1}) }()
	gate.blocked(t, 1)
	errs := make(chan error, 3)
	go func() { _, err := b.Insert(bg, store.Fields{"id": 2}); errs <- err }()
	settled()
	gate.open()
	inTime(t, "the writer that queued behind it", func() { require.ErrorIs(t, <-errs, store.ErrLogFailed) })
	inTime(t, "a later write", func() {
		_, err := a.Insert(bg, store.Fields{"id": 3})
		require.ErrorIs(t, err, store.ErrLogFailed)
		require.ErrorIs(t, err, store.ErrUnknownOutcome)
	})
	require.Nil(t, numberOf(t, a, 1))
	require.NoError(t, store.CheckTables(s))
}

// A sync in intervals that panicked, or ended its goroutine, was the last one, and
// the store went on as if nothing was.
func TestLogIntervalSyncThatPanics(t *testing.T) {
	for name, sync := range map[string]func() error{
		"panic": func() error { panic("foe") },
		"exit":  func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Int64
				opt := persistent(&testLog{onSync: sync})
				opt.Persistence.Durability = store.Interval(10 * time.Millisecond)
				opt.Persistence.OnError = func(err error) { told.Add(1) }
				s := openLogged(t, opt)
				b := defineNumbers(t, s, "b")
				putNumber(t, b, 1, 1)
				time.Sleep(time.Second)
				synctest.Wait()
				_, err := b.Insert(bg, store.Fields{"id": 2})
				require.ErrorIs(t, err, store.ErrLogFailed)
				require.ErrorIs(t, s.Stats().Persistence.Failed, store.ErrLogFailed)
				require.EqualValues(t, 1, told.Load())
				_ = s.Close(bg)
			})
		})
	}
}

// behind has a bucket's goroutine take requests as one group, in their order,
// while an append is held up; then open decides.
func behind(t *testing.T, s *store.Store, b *store.Bucket, gate *logGate, open func(), writes ...func() error) []error {
	t.Helper()
	gate.shut()
	before := gate.inside.Load()
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = b.Upsert(bg, store.Fields{"id": 1_000_000, "n": before}) })
	gate.blocked(t, before+1)
	for i, write := range writes {
		depth := s.Stats().QueueDepth.Total
		wg.Go(func() { errs[i] = write() })
		until(t, "it queues", func() bool { return s.Stats().QueueDepth.Total > depth })
		settled() // the depth counts before the queue has it
	}
	open()
	wg.Wait()
	return errs
}

// Of a group whose append failed, who had changed nothing because another one of
// the group had done it already was told that it is done.
func TestLogFailedGroupAcknowledgesNothing(t *testing.T) {
	gate, fail := &logGate{}, atomic.Bool{}
	log := &testLog{}
	log.onAppend = func(entries [][]byte) error {
		if fail.Load() {
			return errFoe
		}
		_ = gate.pass(entries)
		return nil
	}
	s := openLogged(t, persistent(log))
	b := defineNumbers(t, s, "b")
	putNumber(t, b, 1, 1)
	remove := func() error { return b.Delete(bg, 1) }
	insert := func() error { _, err := b.Insert(bg, store.Fields{"id": 2, "n": 2}); return err }
	for i, err := range behind(t, s, b, gate, func() { fail.Store(true); gate.open() }, remove, remove, insert, insert) {
		require.ErrorIs(t, err, store.ErrLogFailed, "write %d", i)
	}
	require.EqualValues(t, 1, numberOf(t, b, 1))
	require.Nil(t, numberOf(t, b, 2))
}

// Of a group with a record that is too large for the log, others were refused for
// what the record would have been.
func TestLogTooLargeInAGroup(t *testing.T) {
	gate := &logGate{}
	log := &testLog{onAppend: gate.pass, most: 4096}
	s := openLogged(t, persistent(log))
	def := numbersDefinition()
	def.Extra = true
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	putNumber(t, b, 1, 1)
	insert := func(text string) func() error {
		return func() error { _, err := b.Insert(bg, store.Fields{"id": 7, "text": text}); return err }
	}
	errs := behind(t, s, b, gate, gate.open, insert(strings.Repeat("x", 5000)), insert("small"),
		func() error { _, err := b.Update(bg, 1, store.Fields{"n": 5}); return err })
	require.Error(t, errs[0])
	require.NoError(t, errs[1], "there is no record of the key")
	require.NoError(t, errs[2])
	require.NoError(t, store.CheckTables(s))
}

// Close waited for an append that hung, whatever its context said.
func TestLogCloseBesideAnAppendThatHangs(t *testing.T) {
	for name, start := range map[string]func(s *store.Store, b *store.Bucket){
		"insert": func(_ *store.Store, b *store.Bucket) { _, _ = b.Insert(bg, store.Fields{"id": 1}) },
		"transaction": func(s *store.Store, b *store.Bucket) {
			_ = s.Transaction(bg, func(tx *store.Tx) error { _, err := b.In(tx).Insert(bg, store.Fields{"id": 1}); return err })
		},
		"define":     func(s *store.Store, _ *store.Bucket) { _, _ = s.DefineBucket(bg, "c", numbersDefinition()) },
		"drop":       func(s *store.Store, _ *store.Bucket) { _ = s.DropBucket(bg, "b") },
		"compaction": func(s *store.Store, _ *store.Bucket) { _ = s.Compact(bg) },
	} {
		t.Run(name, func(t *testing.T) {
			gate := &logGate{}
			log := &testLog{onAppend: gate.pass, onSnapshot: func() error { return gate.pass(nil) }}
			s := openLogged(t, persistent(log))
			b := defineNumbers(t, s, "b")
			gate.shut()
			done := make(chan struct{})
			go func() { defer close(done); start(s, b) }()
			gate.blocked(t, 1)
			defer func() { gate.open(); <-done }()
			var closed error
			inTime(t, "Close", func() {
				ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
				defer cancel()
				closed = s.Close(ctx)
			})
			require.ErrorIs(t, closed, context.DeadlineExceeded)
		})
	}
}

// Stats waited for a definition that waited for the log.
func TestLogStatsBesideADefinitionThatHangs(t *testing.T) {
	gate := &logGate{}
	s := openLogged(t, persistent(&testLog{onAppend: gate.pass}))
	gate.shut()
	done := make(chan struct{})
	go func() { defer close(done); defineNumbers(t, s, "b") }()
	gate.blocked(t, 1)
	defer func() { gate.open(); <-done }()
	inTime(t, "Stats", func() { s.Stats() })
}

// A definition or a drop that waits for the log kept those behind it waiting
// although their contexts had ended.
func TestLogDefinitionsBesideOneThatHangs(t *testing.T) {
	gate := &logGate{}
	s := openLogged(t, persistent(&testLog{onAppend: gate.pass}))
	gate.shut()
	done := make(chan struct{})
	go func() { defer close(done); defineNumbers(t, s, "b") }()
	gate.blocked(t, 1)
	defer func() { gate.open(); <-done }()
	inTime(t, "DefineBucket and DropBucket", func() {
		ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
		defer cancel()
		_, err := s.DefineBucket(ctx, "c", numbersDefinition())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, s.DropBucket(ctx, "c"), context.DeadlineExceeded)
	})
}

// Every tick of the expiry told of the failure anew.
func TestLogFailureIsToldOnceWithTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		var mu sync.Mutex
		var told []string
		opt := persistent(&testLog{onAppend: func([][]byte) error {
			if fail.Load() {
				return errFoe
			}
			return nil
		}})
		opt.TTLInterval = time.Second
		opt.OnError = func(err error) { mu.Lock(); defer mu.Unlock(); told = append(told, err.Error()) }
		s := openLogged(t, opt)
		def := numbersDefinition()
		def.TTL = time.Second
		b, err := s.DefineBucket(bg, "b", def)
		require.NoError(t, err)
		putNumber(t, b, 1, 1)
		fail.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, told, 1)
		_ = s.Close(bg)
	})
}

// Numbers of a field that has become an autoincrement were drawn before the log's
// were known: one was given twice.
func TestLogFieldBecomesAutoincrement(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	b := defineNumbers(t, s, "b")
	_, err := b.InsertMany(bg, []store.Fields{{"id": 1}, {"id": 2, "n": 1}, {"id": 3, "n": 2}})
	require.NoError(t, err)
	s = reopen(t, s, log)
	def := numbersDefinition()
	def.Schema["n"] = store.Field{Type: store.Int, Generated: store.Autoincrement}
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	seen := map[any]bool{}
	for r := range b.All() {
		require.False(t, seen[r.Get("n")], "%v twice", r.Get("n"))
		seen[r.Get("n")] = true
	}
}

// A definition with another index filled in defaults of fields that an update had
// made absent: the records were others after it.
func TestLogDefaultsOfFieldsThatAreAbsent(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	def := numbersDefinition()
	def.Schema["n"] = store.Field{Type: store.Int, Default: 7}
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"id": 1})
	require.NoError(t, err)
	_, err = b.Update(bg, 1, store.Fields{"n": nil})
	require.NoError(t, err)
	want := showBucket(t, b)
	s = reopen(t, s, log)
	def.Indexes = []store.Index{{"n"}}
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	require.Equal(t, want, showBucket(t, b), "only an index was added")
}

// A snapshot, or a transaction, that was older than the definition saw a bucket of
// the log without its records.
func TestLogSnapshotOlderThanADefinition(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	putNumber(t, defineNumbers(t, s, "a"), 1, 1)
	s = reopen(t, s, log)
	other := defineNumbers(t, s, "other")
	snap := s.Snapshot()
	defer snap.Close()
	putNumber(t, other, 1, 1)
	a := defineNumbers(t, s, "a")
	n, err := a.In(snap).Count()
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// The id of a dropped bucket was given again once a compaction had forgotten it.
func TestLogBucketIDsAreNeverUsedAgain(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	defineNumbers(t, s, "a")
	defineNumbers(t, s, "b")
	last := parseLog(t, log)[1].Buckets[0].ID
	require.NoError(t, s.DropBucket(bg, "b"))
	require.NoError(t, s.Compact(bg))
	s = reopen(t, s, log)
	defineNumbers(t, s, "c")
	list := parseLog(t, log)
	require.Greater(t, list[len(list)-1].Buckets[0].ID, last)
}

// The extra fields of a bucket that is not defined were written into a snapshot
// while its definition brought them into another form.
func TestLogCompactionBesideADefinition(t *testing.T) {
	log := &testLog{}
	def := numbersDefinition()
	def.Extra = true
	s := openLogged(t, persistent(log))
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	when := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	list := make([]store.Fields, 2000)
	for i := range list {
		list[i] = store.Fields{"id": i, "x": when, "y": map[string]any{"z": when}}
	}
	_, err = b.InsertMany(bg, list)
	require.NoError(t, err)
	s = reopen(t, s, log)
	var began sync.WaitGroup
	began.Add(1)
	log.onSnapshot = func() error { began.Done(); return nil }
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, s.Compact(bg)) })
	began.Wait()
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	wg.Wait()
	want := showBucket(t, b)
	log.onSnapshot = nil
	s = reopen(t, s, log)
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	require.Equal(t, want, showBucket(t, b))
}

// A struct within a record that has become another one was taken for damage.
func TestLogNestedStructThatChanged(t *testing.T) {
	type inner struct{ A, B int }
	type one struct {
		ID int64 `store:"id,key"`
		In inner `store:"in"`
	}
	log := &testLog{}
	s := openLogged(t, persistent(log))
	b, err := store.Define[one](bg, s, "b")
	require.NoError(t, err)
	insertLive(t, b, one{1, inner{1, 300}})
	s = reopen(t, s, log)
	func() {
		type inner struct{ A, B int8 }
		type one struct {
			ID int64 `store:"id,key"`
			In inner `store:"in"`
		}
		_, err := store.Define[one](bg, s, "b")
		require.Error(t, err)
		require.NotErrorIs(t, err, store.ErrCorrupt, "the log is as it was written")
	}()
	b, err = store.Define[one](bg, s, "b")
	require.NoError(t, err)
	got, ok := b.Get(1)
	require.True(t, ok)
	require.Equal(t, inner{1, 300}, got.In)
}

// A panic of OnProgress left the log open: nobody could open it again.
func TestLogProgressThatPanics(t *testing.T) {
	log := &testLog{}
	opt := persistent(log)
	opt.Persistence.OnProgress = func(store.LoadProgress) { panic("foe") }
	func() {
		defer func() { _ = recover() }()
		s, err := store.Open(bg, opt)
		if err == nil {
			_ = s.Close(bg)
		}
	}()
	s, err := store.Open(bg, persistent(log))
	require.NoError(t, err)
	require.NoError(t, s.Close(bg))
}

// Errors named the key of a record.
func TestLogErrorsNameNoValue(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "n": {Type: store.Int}}}
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"id": "a secret"})
	require.NoError(t, err)
	s = reopen(t, s, log)
	def.Schema["n"] = store.Field{Type: store.Int, Required: true}
	_, err = s.DefineBucket(bg, "b", def)
	var invalid *store.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "n", invalid.Issues[0].Field)
	require.Equal(t, store.CodeRequired, invalid.Issues[0].Code)
	require.NotContains(t, err.Error(), "secret")
}

// What no store writes is no state that one may get into: values of foreign types
// and NaN among the extra fields and in columns, and a bucket that has the number
// of those that are not logged.
func TestLogForeignValues(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "f": {Type: store.Float}, "x": {Type: store.Any}}, Indexes: []store.Index{{"f"}}, Extra: true}
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"id": 1, "f": 1.5, "x": 1.5, "e": 1.5})
	require.NoError(t, err)
	require.NoError(t, s.Close(bg))
	half := []byte{0xf9, 0x3e, 0x00} // 1.5
	data := string(log.entries[1])
	require.Equal(t, 3, strings.Count(data, string(half)))
	for name, put := range map[string]string{"NaN": "\xf9\x7e\x00", "tag": "\xc9\x18\x20", "big number": "\xc2\x41\x20", "simple value": "\xf8\x63", "undefined": "\xf7"} {
		for i, field := range []string{"f", "x", "e"} {
			t.Run(name+" in "+field, func(t *testing.T) {
				at := 0
				for range i + 1 {
					at += strings.Index(data[at:], string(half)) + 1
				}
				bad := &testLog{entries: [][]byte{log.entries[0], []byte(data[:at-1] + put + data[at+2:])}}
				s, err := store.Open(bg, persistent(bad))
				if err != nil {
					require.ErrorIs(t, err, store.ErrCorrupt)
					return
				}
				defer func() { require.NoError(t, s.Close(bg)) }()
				b, err := s.DefineBucket(bg, "b", def)
				if err != nil {
					return
				}
				require.NotPanics(t, func() { _, err = b.Update(bg, 1, store.Fields{"f": 2.5}) })
				require.NoError(t, err, "whatever was read can be written")
				require.NoError(t, store.CheckTables(s))
				r, ok := b.Get(1)
				require.True(t, ok)
				for name, x := range r.Map() {
					switch v := x.(type) {
					case float64:
						require.False(t, v != v, "NaN in %s", name)
					case nil, string, int64, bool, time.Time, []byte, []any, map[string]any:
					default:
						require.Fail(t, fmt.Sprintf("%s is a %T", name, x))
					}
				}
			})
		}
	}
	t.Run("bucket 0", func(t *testing.T) {
		e, err := logentry.Parse(log.entries[0])
		require.NoError(t, err)
		e.Buckets[0].ID = 0
		first, err := e.Encode()
		require.NoError(t, err)
		bad := &testLog{entries: [][]byte{first}}
		s, err := store.Open(bg, persistent(bad))
		if err == nil {
			defer func() { require.NoError(t, s.Close(bg)) }()
		}
		require.ErrorIs(t, err, store.ErrCorrupt)
	})
}

// A bucket of the log that was defined as a volatile one was told as not defined
// at the same time.
func TestLogVolatileOverABucketOfTheLog(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	putNumber(t, defineNumbers(t, s, "b"), 1, 1)
	s = reopen(t, s, log)
	def := numbersDefinition()
	def.Volatile = true
	b, err := s.DefineBucket(bg, "b", def)
	if err != nil {
		return // it may be refused
	}
	putNumber(t, b, 1, 2)
	require.Empty(t, s.Stats().Persistence.Undefined)
	require.NoError(t, s.DropBucket(bg, "b"))
	require.ErrorIs(t, s.DropBucket(bg, "b"), store.ErrBucketNotDefined, "it was dropped")
}

// A commit that the log cannot take in one entry has an error that can be told
// from others.
func TestLogEntryTooLargeHasASentinel(t *testing.T) {
	s := openLogged(t, persistent(&testLog{most: 4096}))
	def := numbersDefinition()
	def.Extra = true
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"id": 1, "text": strings.Repeat("x", 5000)})
	var e *store.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "b", e.Bucket)
	require.True(t, errors.Is(err, store.ErrTxTooLarge) || strings.Contains(fmt.Sprintf("%T", e.Err), "EntrySize"),
		"no exported error: %T %v", e.Err, e.Err)
}

// Commits of volatile buckets that came last were forgotten by a clean restart,
// and their sequences given again, to others.
func TestLogSequencesOverARestart(t *testing.T) {
	log := &testLog{}
	s := openLogged(t, persistent(log))
	putNumber(t, defineNumbers(t, s, "b"), 1, 1)
	def := numbersDefinition()
	def.Volatile = true
	v, err := s.DefineBucket(bg, "v", def)
	require.NoError(t, err)
	putNumber(t, v, 1, 1)
	seq := s.Stats().Commits
	s = reopen(t, s, log)
	require.GreaterOrEqual(t, s.Stats().Commits, seq)
}

// Slices and maps in nested structs that were nil came back as empty ones.
func TestLogNilInNestedStructs(t *testing.T) {
	type inner struct {
		B []string
		C map[string]int
	}
	type outer struct {
		ID int64 `store:"id,key"`
		In inner
	}
	log := &testLog{}
	s := openLogged(t, persistent(log))
	b, err := store.Define[outer](bg, s, "b")
	require.NoError(t, err)
	insertLive(t, b, outer{ID: 1})
	want, ok := b.Get(1)
	require.True(t, ok)
	s = reopen(t, s, log)
	b, err = store.Define[outer](bg, s, "b")
	require.NoError(t, err)
	got, ok := b.Get(1)
	require.True(t, ok)
	require.Equal(t, want, got)
}
