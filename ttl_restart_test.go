package store_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/memory"
)

// lifetimes opens stores one after the other over one log, under a clock that stands
// until the test moves it.
type lifetimes struct {
	t     *testing.T
	opt   store.Options
	clock atomic.Int64
	s     *store.Store
	gone  []string // events of deletions since the store was opened
}

func newLifetimes(t *testing.T, log store.Adapter, mode store.Durability) *lifetimes {
	l := &lifetimes{t: t}
	l.clock.Store(1_700_000_000_000)
	l.opt = store.Options{
		TTLInterval: -1, Clock: func() time.Time { return time.UnixMilli(l.clock.Load()) },
		Persistence: store.Persistence{Adapter: log, Durability: mode},
	}
	l.open()
	return l
}

func (l *lifetimes) open() {
	l.t.Helper()
	l.s, l.gone = openLogged(l.t, l.opt), nil
	_, err := l.s.On("bucket.*.deleted", func(e store.Event) {
		l.gone = append(l.gone, fmt.Sprintln(e.Bucket, e.Key, e.Reason))
	})
	require.NoError(l.t, err)
}

// reopen closes the store, lets time pass, and opens it again.
func (l *lifetimes) reopen(compact bool, pass time.Duration) {
	l.t.Helper()
	if compact {
		require.NoError(l.t, l.s.Compact(bg))
	}
	require.NoError(l.t, l.s.Close(bg))
	l.clock.Add(pass.Milliseconds())
	l.open()
}

func (l *lifetimes) define(name string, change func(d *store.Definition)) *store.Bucket {
	l.t.Helper()
	def := numbersDefinition()
	change(&def)
	b, err := l.s.DefineBucket(bg, name, def)
	require.NoError(l.t, err)
	require.NoError(l.t, store.CheckTables(l.s))
	return b
}

// deletions are the events since the store was opened.
func (l *lifetimes) deletions() []string {
	l.t.Helper()
	require.NoError(l.t, l.s.Settle(bg))
	slices.Sort(l.gone)
	return l.gone
}

func (l *lifetimes) at(ms int64) time.Time { return time.UnixMilli(l.clock.Load() + ms) }

// showDeadlines is the keys and deadlines of what is there, in its order.
func (l *lifetimes) deadlines(b *store.Bucket) (out []string) {
	for _, r := range store.Peek(b) {
		at := "never"
		if e := r.Meta().ExpiresAt; e != 0 {
			at = fmt.Sprint(int64(e) - 1_700_000_000_000)
		}
		out = append(out, fmt.Sprint(r.Key(), " ", at))
	}
	return out
}

// lifeModes are the ways to keep a log durable.
var lifeModes = map[string]store.Durability{"sync": store.Sync, "os": store.OS, "interval": store.Interval(time.Hour)}

// Deadlines and evictions survive a restart, in every mode and over every adapter;
// what expired meanwhile is gone when DefineBucket returns, by a commit with events,
// and stays gone; what is volatile is gone without.
func TestLifetimesAcrossRestart(t *testing.T) {
	logs := maps.Clone(adapters)
	logs["vfs"] = func(*testing.T) store.Adapter { return file.New("log", file.FS(vfs.NewMemory())) }
	for name, log := range logs {
		for mode, durability := range lifeModes {
			for _, compact := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/compact=%v", name, mode, compact), func(t *testing.T) {
					acrossRestart(t, newLifetimes(t, log(t), durability), compact)
				})
			}
		}
	}
}

func acrossRestart(t *testing.T, l *lifetimes, compact bool) {
	aging := func(d *store.Definition) { d.TTL = time.Minute }
	plain := func(*store.Definition) {}
	full := func(d *store.Definition) { d.MaxSize, d.MaxBytes, d.Evict = 3, 1<<20, store.OldestUpdated }
	passing := func(d *store.Definition) { d.TTL, d.Volatile = time.Minute, true }

	a, own, f, v := l.define("aging", aging), l.define("own", plain), l.define("full", full), l.define("passing", passing)
	insertNumbers(t, a, 0, 6)
	insertNumbers(t, v, 0, 2)
	for id := range 3 {
		_, err := own.Insert(bg, store.Fields{"id": id, "_expiresAt": l.at(int64(id+1) * 1000)})
		require.NoError(t, err)
	}
	insertNumbers(t, f, 0, 3)
	l.clock.Add(1000)
	_, err := f.Update(bg, 0, store.Fields{"n": 7})
	require.NoError(t, err)
	insertNumbers(t, f, 3, 4) // 1 goes
	n, err := l.s.PurgeTTL(bg)
	require.NoError(t, err)
	require.Equal(t, 1, n) // 0 of own
	l.clock.Add(1000)
	_, err = a.Touch(bg, 1)
	require.NoError(t, err)
	_, err = a.ExpireAt(bg, 2, time.Time{})
	require.NoError(t, err)
	_, err = a.ExpireAt(bg, 3, l.at(1))
	require.NoError(t, err)
	require.NoError(t, l.s.Transaction(bg, func(tx *store.Tx) error {
		_, err := a.In(tx).Touch(bg, 4)
		return err
	}))
	require.Equal(t, []string{"full 1 evicted\n", "own 0 expired\n"}, l.deletions())
	wantFull, wantBytes := l.deadlines(f), l.s.Stats().Bytes.PerBucket["full"]
	require.Equal(t, []string{"0 never", "2 never", "3 never"}, wantFull)

	l.reopen(compact, 58*time.Second) // a minute after the first inserts
	require.Empty(t, l.deletions())
	a, own, f, v = l.define("aging", aging), l.define("own", plain), l.define("full", full), l.define("passing", passing)
	require.Equal(t, []string{"1 62000", "2 never", "4 62000"}, l.deadlines(a))
	require.Empty(t, ids(own))
	require.Empty(t, ids(v))
	require.Equal(t, wantFull, l.deadlines(f))
	require.Equal(t, wantBytes, l.s.Stats().Bytes.PerBucket["full"])
	require.Equal(t, []string{"aging 0 expired\n", "aging 3 expired\n", "aging 5 expired\n", "own 1 expired\n", "own 2 expired\n"}, l.deletions())
	require.EqualValues(t, 5, l.s.Stats().Expired.Total)
	require.Equal(t, time.UnixMilli(1_700_000_062_000).UTC(), l.s.Stats().TTL.Next["aging"])
	insertNumbers(t, f, 4, 5) // the order of updates is what it was: 2 goes
	require.Equal(t, []int64{0, 3, 4}, ids(f))

	l.reopen(compact, -time.Hour) // the clock jumps back: nothing comes again, and nothing goes
	a, f = l.define("aging", aging), l.define("full", full)
	require.Equal(t, []string{"1 62000", "2 never", "4 62000"}, l.deadlines(a))
	require.Equal(t, []int64{0, 3, 4}, ids(f))
	require.Empty(t, l.deletions())

	// Another definition, with the same TTL: who was freed of a deadline stays free.
	l.reopen(compact, 2*time.Hour)
	a = l.define("aging", func(d *store.Definition) { aging(d); d.Schema["s"] = store.Field{Type: store.String, Default: "s"} })
	require.Equal(t, []string{"2 never"}, l.deadlines(a))
	r, _ := a.Get(2)
	require.Equal(t, "s", r.Get("s"))
	// A TTL that comes with the definition counts from the creation; it stays.
	l.reopen(compact, -2*time.Hour)
	f = l.define("full", func(d *store.Definition) { full(d); d.TTL = time.Hour })
	require.Equal(t, []string{"0 3600000", "3 3601000", "4 3660000"}, l.deadlines(f))
	l.reopen(compact, 0)
	f = l.define("full", func(d *store.Definition) { full(d); d.TTL = time.Hour })
	require.Equal(t, []string{"0 3600000", "3 3601000", "4 3660000"}, l.deadlines(f))
}

// After a power loss in Sync mode, what was purged and evicted stays so.
func TestLifetimesAcrossPowerLoss(t *testing.T) {
	seed := modelSeeds(t, 1)[0]
	t.Logf("STORE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 9))
	disk := vfs.NewMemory()
	l := newLifetimes(t, file.New("log", file.FS(disk)), store.Sync)
	change := func(d *store.Definition) { d.TTL, d.MaxSize = time.Minute, 50 }
	b := l.define("b", change)
	for id := range 200 {
		l.clock.Add(int64(r.IntN(3000)))
		insertNumbers(t, b, 2*id, 2*id+1+r.IntN(2))
		if r.IntN(3) == 0 {
			_, err := l.s.PurgeTTL(bg)
			require.NoError(t, err)
		}
		if r.IntN(5) == 0 {
			_, _ = b.Touch(bg, 2*r.IntN(id+1))
		}
		if r.IntN(20) > 0 {
			continue
		}
		_, err := l.s.PurgeTTL(bg)
		require.NoError(t, err)
		want := l.deadlines(b)
		lost := newLifetimes(t, file.New("log", file.FS(disk.Crash(r, float64(r.IntN(3))/2))), store.Sync)
		lost.clock.Store(l.clock.Load())
		require.Equal(t, want, lost.deadlines(lost.define("b", change)))
		require.Empty(t, lost.deletions())
	}
}

// A bound that comes down below what is in the log evicts, in batches, before
// DefineBucket returns; a context that ends leaves the rest to the writes that follow.
func TestLowerBoundAtOpen(t *testing.T) {
	for _, evict := range evictions {
		l := newLifetimes(t, &testLog{}, store.OS)
		b := l.define("b", func(*store.Definition) {})
		insertNumbers(t, b, 0, 3500)
		_, err := b.Update(bg, 7, store.Fields{"n": 0})
		require.NoError(t, err)
		lower := func(d *store.Definition) { d.MaxSize, d.Evict = 10, evict }
		l.reopen(false, time.Second)
		before := l.s.Stats().Commits
		b = l.define("b", lower)
		require.Len(t, ids(b), 10)
		require.EqualValues(t, 3490, l.s.Stats().Evicted.Total)
		require.LessOrEqual(t, l.s.Stats().Commits-before, store.Seq(5))
		require.Len(t, l.deletions(), 3490)
		want := ids(b)
		l.reopen(true, 0)
		require.Equal(t, want, ids(l.define("b", lower)))

		l = newLifetimes(t, &testLog{}, store.OS)
		insertNumbers(t, l.define("b", func(*store.Definition) {}), 0, 3500)
		l.reopen(false, 0)
		def := numbersDefinition()
		lower(&def)
		ctx := &endsLater{Context: bg, after: 3}
		b, err = l.s.DefineBucket(ctx, "b", def)
		require.NoError(t, err)
		n := len(ids(b))
		require.Greater(t, n, 10)
		for id := 4000; n > 10; id++ { // each makes room for itself, and for 1,000 more
			insertNumbers(t, b, id, id+1)
			require.Len(t, ids(b), max(10, n-1000))
			n = len(ids(b))
		}
		require.NoError(t, store.CheckTables(l.s))
	}
}

// endsLater is a context that has ended once it was asked a few times.
type endsLater struct {
	context.Context
	after int
}

func (c *endsLater) Err() error {
	if c.after--; c.after < 0 {
		return context.Canceled
	}
	return nil
}

// A store that is opened over a log with deadlines has its ticker, though nobody
// writes.
func TestTickerAfterOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memory.New()
		opt := store.Options{Persistence: store.Persistence{Adapter: log, Durability: store.OS}}
		s, err := store.Open(bg, opt)
		require.NoError(t, err)
		b := defineNumbers(t, s, "b")
		_, err = b.Insert(bg, store.Fields{"id": 1, "_expiresAt": time.Now().Add(time.Minute)})
		require.NoError(t, err)
		require.NoError(t, s.Close(bg))
		s = openLogged(t, opt)
		b = defineNumbers(t, s, "b")
		require.Len(t, ids(b), 1)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.Empty(t, ids(b))
		require.NoError(t, s.Close(bg))
	})
}

// A log that has failed takes no expiry either: PurgeTTL says so, the ticker does
// not say it again and again, and the records are there, to be read.
func TestPurgeAfterLogFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		opt := persistent(&testLog{onAppend: func([][]byte) error {
			if broken.Load() {
				return errFoe
			}
			return nil
		}})
		var told atomic.Int64
		opt.OnError = func(error) { told.Add(1) }
		s := openLogged(t, opt)
		def := numbersDefinition()
		def.TTL = time.Minute
		b, err := s.DefineBucket(bg, "b", def)
		require.NoError(t, err)
		insertNumbers(t, b, 0, 3)
		broken.Store(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, told.Load())
		n, err := s.PurgeTTL(bg)
		require.ErrorIs(t, err, store.ErrLogFailed)
		require.Zero(t, n)
		require.Len(t, ids(b), 3)
		require.Zero(t, s.Stats().Expired.Total)
		require.NoError(t, store.CheckTables(s))
		_ = s.Close(bg)
	})
}
