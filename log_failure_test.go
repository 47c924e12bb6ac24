package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// logFault is a way in which a log fails.
type logFault struct {
	name    string
	sync    bool // it is the sync that fails
	unknown bool // the outcome is not known
	fail    func() error
}

var logFaults = []logFault{
	{"append", false, false, func() error { return errFoe }},
	{"append unknown", false, true, func() error { return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, errFoe) }},
	{"append conflict", false, false, func() error { return fmt.Errorf("%w: %w", store.ErrLogConflict, errFoe) }},
	{"append panic", false, true, func() error { panic(errFoe) }},
	{"sync", true, true, func() error { return errFoe }},
	{"sync panic", true, true, func() error { panic(errFoe) }},
}

// logWrites are the kinds of writes. Each is a commit over what prepare has made.
var logWrites = map[string]func(s *store.Store, b *store.Bucket) error{
	"insert": func(_ *store.Store, b *store.Bucket) error { _, err := b.Insert(bg, store.Fields{"id": 9}); return err },
	"insertMany": func(_ *store.Store, b *store.Bucket) error {
		_, err := b.InsertMany(bg, []store.Fields{{"id": 8}, {"id": 9}})
		return err
	},
	"update": func(_ *store.Store, b *store.Bucket) error {
		_, err := b.Update(bg, 1, store.Fields{"n": 9})
		return err
	},
	"upsert": func(_ *store.Store, b *store.Bucket) error {
		_, err := b.Upsert(bg, store.Fields{"id": 1, "n": 9})
		return err
	},
	"updateMany": func(_ *store.Store, b *store.Bucket) error {
		_, err := b.UpdateMany(bg, store.Fields{"n": 9})
		return err
	},
	"delete":     func(_ *store.Store, b *store.Bucket) error { return b.Delete(bg, 1) },
	"deleteMany": func(_ *store.Store, b *store.Bucket) error { _, err := b.DeleteMany(bg); return err },
	"clear":      func(_ *store.Store, b *store.Bucket) error { return b.Clear(bg) },
	"expiry":     func(s *store.Store, _ *store.Bucket) error { _, err := s.PurgeTTL(bg); return err },
	"define": func(s *store.Store, _ *store.Bucket) error {
		_, err := s.DefineBucket(bg, "new", numbersDefinition())
		return err
	},
	"drop": func(s *store.Store, _ *store.Bucket) error { return s.DropBucket(bg, "b") },
	"transaction": func(s *store.Store, b *store.Bucket) error {
		other, err := s.Bucket("other")
		if err != nil {
			return err
		}
		return s.Transaction(bg, func(tx *store.Tx) error {
			if _, err := other.In(tx).Insert(bg, store.Fields{"id": 9}); err != nil {
				return err
			}
			return b.In(tx).Delete(bg, 2)
		})
	},
}

// Whatever is written, and however the log fails: nothing of it is visible, then
// or later, nothing more is acknowledged, and all that reads goes on.
func TestLogFailures(t *testing.T) {
	for kind, write := range logWrites {
		for _, fault := range logFaults {
			t.Run(kind+"/"+fault.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runLogFailure(t, kind, write, fault) })
			})
		}
	}
}

func runLogFailure(t *testing.T, kind string, write func(s *store.Store, b *store.Bucket) error, fault logFault) {
	var armed atomic.Bool
	hit := func() error {
		if armed.Load() {
			return fault.fail()
		}
		return nil
	}
	log := &testLog{}
	if fault.sync {
		log.onSync = hit
	} else {
		log.onAppend = func([][]byte) error { return hit() }
	}
	var told, heard, events atomic.Int64
	opt := persistent(log)
	opt.TTLInterval = -1
	opt.Persistence.OnError = func(err error) {
		told.Add(1)
		if kind == "delete" {
			panic("foe")
		}
	}
	opt.OnError = func(error) { heard.Add(1) }
	s := openLogged(t, opt)
	def := numbersDefinition()
	def.TTL = time.Second
	def.Indexes = []store.Index{{"n"}}
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	other := defineNumbers(t, s, "other")
	for id := range 5 {
		putNumber(t, b, id, id)
	}
	time.Sleep(2 * time.Second) // they are due
	_, err = s.On("bucket.*.*", func(store.Event) { events.Add(1) })
	require.NoError(t, err)
	live := subscribeLive(t, defineLive(t, s, "count", func(q *store.QueryCtx, _ none) (int, error) { return b.In(q).Count() }), none{})
	require.Equal(t, 5, nextOf(t, live).Result)
	snap := s.Snapshot()
	defer snap.Close()
	want, seq, names := showBucket(t, b), s.Stats().Commits, s.Stats().Buckets.Names

	armed.Store(true)
	err = write(s, b)
	armed.Store(false)
	require.ErrorIs(t, err, store.ErrLogFailed)
	require.ErrorIs(t, err, errFoe)
	require.Equal(t, fault.unknown, errors.Is(err, store.ErrUnknownOutcome))
	synctest.Wait()
	require.EqualValues(t, 1, told.Load())
	require.EqualValues(t, 1, heard.Load())

	for again, write := range logWrites { // none of them is made
		err := write(s, b)
		require.ErrorIs(t, err, store.ErrLogFailed, again)
		require.ErrorIs(t, err, errFoe, again)
		var e *store.Error
		require.ErrorAs(t, err, &e)
		if again != "transaction" {
			require.NotEmpty(t, e.Bucket, again)
		}
	}
	require.ErrorIs(t, s.Compact(bg), store.ErrLogFailed)
	require.Equal(t, want, showBucket(t, b))
	n, err := other.Count()
	require.NoError(t, err)
	require.Zero(t, n)
	found, err := b.Where(store.Gte("n", 3)).OrderBy(store.Desc("n")).All()
	require.NoError(t, err)
	require.Len(t, found, 2)
	n, err = b.In(snap).Count()
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error { _, err := b.In(tx).Count(); return err }))
	require.Equal(t, seq, s.Stats().Commits)
	require.Equal(t, names, s.Stats().Buckets.Names)
	require.ErrorIs(t, s.Stats().Persistence.Failed, store.ErrLogFailed)
	require.NoError(t, s.Settle(bg))
	require.Zero(t, events.Load())
	require.Equal(t, 5, live.Current().Result)
	require.NoError(t, store.CheckTables(s))
	require.ErrorIs(t, s.Close(bg), store.ErrLogFailed)
	require.EqualValues(t, 1, told.Load())
	require.EqualValues(t, 1, heard.Load())

	if fault.sync { // it was appended: it may come back, or not
		log.entries = log.entries[:log.synced-log.at]
	}
	opt.Clock = func() time.Time { return time.UnixMilli(0) } // else they go when the bucket is defined
	s = openLogged(t, opt)
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	require.Equal(t, want, showBucket(t, b))
	require.Equal(t, []string{"other"}, s.Stats().Persistence.Undefined)
	putNumber(t, b, 9, 9)
	live.Close()
	require.NoError(t, s.Close(bg))
}

// A log that fails at some later append, with several writers: what was
// acknowledged is what there is.
func TestLogFailsAtSomeAppend(t *testing.T) {
	for at := range 12 {
		var appends atomic.Int64
		log := &testLog{onAppend: func([][]byte) error {
			if appends.Add(1) > int64(at)+2 {
				return errFoe
			}
			return nil
		}}
		s := openLogged(t, persistent(log))
		bs := []*store.Bucket{defineNumbers(t, s, "a"), defineNumbers(t, s, "b")}
		var acked [4][]int
		together(4, func(i int) {
			for k := range 20 {
				id := 100*i + k
				if _, err := bs[i%2].Insert(bg, store.Fields{"id": id}); err == nil {
					acked[i] = append(acked[i], id)
				}
			}
		})
		for i, list := range [][]int{append(acked[0], acked[2]...), append(acked[1], acked[3]...)} {
			var got []int
			for r := range bs[i].All() {
				got = append(got, int(r.Get("id").(int64)))
			}
			slices.Sort(got)
			slices.Sort(list)
			require.Equal(t, len(list), len(got))
			require.True(t, slices.Equal(list, got))
		}
		require.NoError(t, store.CheckTables(s))
		require.ErrorIs(t, closeLogged(t, s), store.ErrLogFailed)
	}
}

// An OnError that does not return keeps neither writers nor readers waiting, and
// Close as long as its context allows.
func TestLogOnErrorThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		opt := persistent(&testLog{onSync: func() error { return errFoe }})
		opt.Persistence.Durability = store.Interval(time.Millisecond)
		opt.Persistence.OnError = func(error) { <-stop }
		s := openLogged(t, opt)
		b := defineNumbers(t, s, "b")
		putNumber(t, b, 1, 1)
		time.Sleep(time.Second)
		_, err := b.Insert(bg, store.Fields{"id": 2})
		require.ErrorIs(t, err, store.ErrLogFailed)
		require.EqualValues(t, 1, numberOf(t, b, 1))
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		err = s.Close(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "log failure")
		close(stop)
		require.ErrorIs(t, s.Close(bg), store.ErrLogFailed)
	})
}

// A compaction that fails leaves the log as it was, and the store as it is.
func TestLogCompactionFails(t *testing.T) {
	log := &testLog{onSnapshot: func() error { return errFoe }}
	s := openLogged(t, persistent(log))
	b := defineNumbers(t, s, "b")
	putNumber(t, b, 1, 1)
	require.ErrorIs(t, s.Compact(bg), errFoe)
	putNumber(t, b, 2, 2)
	require.Len(t, log.entries, 3)
	log.onSnapshot = nil
	require.NoError(t, s.Compact(bg))
	require.Empty(t, log.entries)
	s = reopen(t, s, log)
	b = defineNumbers(t, s, "b")
	require.EqualValues(t, 2, numberOf(t, b, 2))
	require.ErrorIs(t, openStore(t, store.Options{}).Compact(bg), store.ErrNoLog)
}
