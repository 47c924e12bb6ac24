package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func TestTTLExpiresByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close(ctx)) }()
		sessions, err := s.DefineBucket(ctx, "sessions", store.Definition{
			Key:    "token",
			Schema: store.Schema{"token": {Type: store.String, Generated: store.UUID}, "n": {Type: store.Int, Unique: true}},
			TTL:    30 * time.Second,
		})
		require.NoError(t, err)
		var gone []any
		_, err = s.On("bucket.sessions.deleted", func(e store.Event) { gone = append(gone, e.Old.Get("n")) })
		require.NoError(t, err)
		for i := range 3 {
			r, err := sessions.Insert(ctx, store.Fields{"n": i})
			require.NoError(t, err)
			require.Equal(t, r.CreatedAt().Add(30*time.Second), r.ExpiresAt())
			time.Sleep(10 * time.Second) // the bubble's clock
		}
		// An update does not prolong a record's life.
		r, ok, err := sessions.FindOne(store.Eq("n", 1))
		require.NoError(t, err)
		require.True(t, ok)
		_, err = sessions.Update(ctx, r.Key(), store.Fields{"n": 10})
		require.NoError(t, err)
		time.Sleep(1500 * time.Millisecond)
		n, err := sessions.Count()
		require.NoError(t, err)
		require.Equal(t, 2, n)
		time.Sleep(time.Minute)
		n, err = sessions.Count()
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, s.Settle(ctx))
		require.Equal(t, []any{int64(0), int64(10), int64(2)}, gone)
		require.True(t, s.Stats().TTL.Enabled)
		require.Equal(t, map[string]int{"sessions": 1}, s.Stats().Indexes.PerBucket)
	})
}

func TestPurgeTTLDeletesInBatches(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(ctx, store.Options{TTLInterval: -1, Clock: func() time.Time { return now }})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}, TTL: time.Hour})
	require.NoError(t, err)
	var batch []store.Fields
	for i := range 2500 {
		batch = append(batch, store.Fields{"id": i})
	}
	_, err = b.InsertMany(ctx, batch)
	require.NoError(t, err)
	n, err := s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	now = now.Add(-time.Hour) // a clock that jumps back expires nothing early
	n, err = s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	now = now.Add(2 * time.Hour)
	before := s.Stats().Commits
	n, err = s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Equal(t, 2500, n)
	require.Equal(t, before+3, s.Stats().Commits, "batches of 1,000")
}

func TestParseTTL(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "30m": 30 * time.Minute, "7d": 7 * 24 * time.Hour, "1.5h": 90 * time.Minute,
		"90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour,
	} {
		d, err := store.ParseTTL(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{"", "0s", "-1s", "-1d", "d", "1", "1y", "1000000d", "NaNd", "1ns", "1d-3h1", "Infd"} {
		_, err := store.ParseTTL(text)
		require.Error(t, err, fmt.Sprintf("%q", text))
	}
}

// An expired record that is updated without pause could go on living: a purge
// that found it changed began anew.
func TestPurgeBesideUpdates(t *testing.T) {
	ctx := context.Background()
	var past atomic.Bool
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(ctx, store.Options{TTLInterval: -1, Clock: func() time.Time {
		if past.Load() {
			return start.Add(2 * time.Hour)
		}
		return start
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	b, err := s.DefineBucket(ctx, "b", store.Definition{
		Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}, TTL: time.Hour,
	})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": 1})
	require.NoError(t, err)
	past.Store(true)
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if _, err := b.Update(ctx, 1, store.Fields{"n": i}); err != nil {
				ended <- err
				return
			}
			if i == 10 {
				close(began)
			}
		}
	}()
	<-began
	n, err := s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.ErrorIs(t, <-ended, store.ErrNotFound)
	// A record that came under the key meanwhile has a life of its own.
	_, err = b.Insert(ctx, store.Fields{"id": 1})
	require.NoError(t, err)
	n, err = s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

// openDeadlines opens a store whose clock stands at now until the test moves it, with a
// bucket of numbers.
func openDeadlines(t *testing.T, opt store.Options, ttl time.Duration) (*store.Store, *store.Bucket, *atomic.Int64) {
	t.Helper()
	clock := &atomic.Int64{}
	clock.Store(1_700_000_000_000)
	opt.Clock = func() time.Time { return time.UnixMilli(clock.Load()) }
	s := openStore(t, opt)
	def := numbersDefinition()
	def.TTL = ttl
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	return s, b, clock
}

func TestTTLOfADefinition(t *testing.T) {
	const year = 365 * 24 * time.Hour
	s := openStore(t, store.Options{Clock: func() time.Time { return time.Date(9950, 1, 1, 0, 0, 0, 0, time.UTC) }})
	for _, ttl := range []time.Duration{-1, math.MinInt64, 1, time.Millisecond - 1, 200 * year, math.MaxInt64} {
		def := numbersDefinition()
		def.TTL = ttl
		_, err := s.DefineBucket(bg, "b", def)
		var de *store.DefinitionError
		require.ErrorAs(t, err, &de, ttl)
	}
	for i, ttl := range []time.Duration{0, time.Millisecond, 1500 * time.Microsecond, 100 * year} {
		def := numbersDefinition()
		def.TTL = ttl
		b, err := s.DefineBucket(bg, fmt.Sprint(i), def)
		require.NoError(t, err, ttl)
		r, err := b.Insert(bg, store.Fields{"id": 1})
		require.NoError(t, err)
		switch ttl {
		case 0:
			require.True(t, r.ExpiresAt().IsZero())
		case 100 * year:
			require.Equal(t, 9999, r.ExpiresAt().Year(), "there is no later one")
		default:
			require.Equal(t, r.CreatedAt().Add(ttl.Round(time.Millisecond)), r.ExpiresAt(), "rounded up")
		}
	}
}

func TestDeadlineOfARecord(t *testing.T) {
	start := time.UnixMilli(1_700_000_000_000).UTC()
	var none time.Time
	for _, c := range []struct {
		in   any
		want time.Time // of a record without a TTL
		code store.Code
	}{
		{nil, none, ""},
		{none, none, ""},
		{0, none, ""},
		{time.Unix(0, 0), none, ""},
		{start.Add(time.Hour), start.Add(time.Hour), ""},
		{start.Add(1), start.Add(time.Millisecond), ""}, // rounded up
		{start.Add(time.Hour).In(time.FixedZone("", 3600)), start.Add(time.Hour), ""},
		{start.Add(time.Hour).UnixMilli(), start.Add(time.Hour), ""},
		{float64(start.Add(time.Hour).UnixMilli()), start.Add(time.Hour), ""},
		{"2030-01-01", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		{time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), ""},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), none, store.CodeFormat},
		{start, none, store.CodeMin},
		{start.Add(-time.Hour), none, store.CodeMin},
		{-1, none, store.CodeMin},
		{math.NaN(), none, store.CodeType},
		{math.Inf(1), none, store.CodeFormat},
		{1e300, none, store.CodeFormat},
		{int64(math.MaxInt64), none, store.CodeFormat},
		{time.Date(1e6, 1, 1, 0, 0, 0, 0, time.UTC), none, store.CodeFormat},
		{time.Unix(1<<60, 0), none, store.CodeFormat},
		{"soon", none, store.CodeFormat},
		{true, none, store.CodeType},
		{[]any{1}, none, store.CodeType},
		{time.Hour.String, none, store.CodeType},
	} {
		for _, ttl := range []time.Duration{0, time.Minute} {
			_, b, _ := openDeadlines(t, store.Options{TTLInterval: -1}, ttl)
			want := c.want
			if want.IsZero() && ttl > 0 {
				want = start.Add(ttl)
			}
			id := 0
			check := func(r store.Record, err error) {
				t.Helper()
				if c.code == "" {
					require.NoError(t, err, "%v", c.in)
					require.True(t, want.Equal(r.ExpiresAt()), "%v: %v", c.in, r.ExpiresAt())
					return
				}
				var ve *store.ValidationError
				require.ErrorAs(t, err, &ve, "%v", c.in)
				require.Len(t, ve.Issues, 1)
				require.Equal(t, "_expiresAt", ve.Issues[0].Field)
				require.Equal(t, c.code, ve.Issues[0].Code, "%v: %v", c.in, err)
			}
			check(b.Insert(bg, store.Fields{"id": id, "_expiresAt": c.in}))
			id++
			check(b.Upsert(bg, store.Fields{"id": id, "_expiresAt": c.in}))
			at, ok := c.in.(time.Time)
			if !ok {
				continue
			}
			_, err := b.Insert(bg, store.Fields{"id": 7})
			require.NoError(t, err)
			want = c.want // the zero time takes a deadline away
			check(b.ExpireAt(bg, 7, at))
			_, err = b.ExpireAt(bg, 8, at)
			require.ErrorIs(t, err, store.ErrNotFound)
		}
	}
}

// The metadata of a struct brings a deadline as a field does, at inserts; nothing
// else in it counts, and no update takes it for one.
func TestDeadlineOfAStruct(t *testing.T) {
	type session struct {
		ID string `store:"id,key"`
		N  int    `store:"n"`
		store.Meta
	}
	now := time.UnixMilli(1_700_000_000_000)
	s := openStore(t, store.Options{TTLInterval: -1, Clock: func() time.Time { return now }})
	b, err := store.Define[session](bg, s, "b", func(d *store.Definition) { d.TTL = time.Hour })
	require.NoError(t, err)
	in := func(ms store.Millis) session { return session{ID: "a", Meta: store.Meta{Version: 7, ExpiresAt: ms}} }
	var ve *store.ValidationError
	for _, ms := range []store.Millis{1, -1, store.Millis(now.UnixMilli()), math.MaxInt64, math.MinInt64} {
		_, err = b.Insert(bg, in(ms))
		require.ErrorAs(t, err, &ve, ms)
	}
	soon := store.Millis(now.Add(time.Second).UnixMilli())
	r, err := b.Insert(bg, in(soon))
	require.NoError(t, err)
	require.Equal(t, store.Meta{Version: 1, CreatedAt: soon - 1000, UpdatedAt: soon - 1000, ExpiresAt: soon}, r.Meta)
	for name, update := range map[string]func() (session, error){
		"update": func() (session, error) {
			return b.Update(bg, "a", func(s *session) error { s.N, s.ExpiresAt = 1, soon+5; return nil })
		},
		"patch":  func() (session, error) { return b.Patch(bg, "a", store.Fields{"n": 2, "_expiresAt": soon + 5}) },
		"upsert": func() (session, error) { return b.Upsert(bg, in(soon+5)) },
	} {
		r, err := update()
		require.NoError(t, err, name)
		require.Equal(t, soon, r.ExpiresAt, name)
	}
	r, err = b.Touch(bg, "a")
	require.NoError(t, err)
	require.Equal(t, soon-1000+3_600_000, r.ExpiresAt)
	r, err = b.ExpireAt(bg, "a", time.Time{})
	require.NoError(t, err)
	require.Zero(t, r.ExpiresAt)
	require.EqualValues(t, 6, r.Version)
}

// Touch is an update: it has an event, and wakes live queries that look at deadlines;
// a record that is past its deadline and not yet deleted lives on by it.
func TestTouch(t *testing.T) {
	s, b, clock := openDeadlines(t, store.Options{TTLInterval: -1}, time.Minute)
	var events []string
	_, err := s.On("bucket.b.*", func(e store.Event) { events = append(events, e.Type.String()) })
	require.NoError(t, err)
	_, err = b.Touch(bg, 1)
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = b.Touch(bg, "no such key")
	require.ErrorIs(t, err, store.ErrNotFound)
	insertNumbers(t, b, 0, 3)
	q, err := store.DefineQuery(s, "dying", func(q *store.QueryCtx, at int64) (int, error) {
		return b.In(q).Count(store.Lte("_expiresAt", at))
	})
	require.NoError(t, err)
	sub, err := q.Subscribe(bg, clock.Load()+60_000)
	require.NoError(t, err)
	defer sub.Close()
	dying := func() int {
		require.NoError(t, s.Settle(bg))
		n, err := q.Run(bg, 1_700_000_060_000)
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 3, dying())
	clock.Add(60_000)
	r, err := b.Touch(bg, 1)
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Version())
	require.Equal(t, 2, dying())
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
		_, err := b.In(tx).ExpireAt(bg, 2, time.UnixMilli(clock.Load()+1))
		return err
	}))
	require.Equal(t, 1, dying())
	n, err := s.PurgeTTL(bg)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Zero(t, dying())
	require.Equal(t, []int64{1, 2}, ids(b))
	require.Equal(t, []string{"inserted", "inserted", "inserted", "updated", "updated", "deleted"}, events)
	free := defineNumbers(t, s, "free")
	insertNumbers(t, free, 0, 1)
	_, err = free.Touch(bg, 0)
	require.ErrorIs(t, err, store.ErrNoTTL)
	_, err = b.In(s.Snapshot()).Touch(bg, 1)
	require.ErrorIs(t, err, store.ErrReadOnly)
}

// A record is gone at most one interval after its deadline, and not before it.
func TestTickerIsInTime(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, 0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := openStore(t, store.Options{TTLInterval: every})
			if every == 0 {
				every = time.Second
			}
			b := defineNumbers(t, s, "b")
			type life struct {
				at   time.Time
				gone chan struct{}
			}
			lives, start := make([]life, 50), time.Now()
			for i := range lives {
				lives[i] = life{start.Add(time.Duration(i)*(every/3) + time.Duration(i*i+1)*every/7), make(chan struct{})}
			}
			_, err := s.On("bucket.b.deleted", func(e store.Event) {
				if e.Reason == store.ByExpiry {
					close(lives[e.Key.Value().(int64)].gone)
				}
			})
			require.NoError(t, err)
			for i, l := range lives {
				_, err := b.Insert(bg, store.Fields{"id": i, "_expiresAt": l.at})
				require.NoError(t, err)
				time.Sleep(every / 3)
			}
			for _, l := range lives {
				if wait := time.Until(l.at); wait > time.Nanosecond {
					time.Sleep(wait - 1)
					select {
					case <-l.gone:
						require.Fail(t, "too early")
					default:
					}
				}
				time.Sleep(time.Until(l.at.Add(every + time.Millisecond))) // a deadline is rounded up
				synctest.Wait()
				select {
				case <-l.gone:
				default:
					require.Fail(t, "too late")
				}
			}
			require.EqualValues(t, 50, s.Stats().Expired.Total)
		})
	}
}

// A clock that panics, or ends the goroutine, is told and does not stop expiry for
// good: the ticker was gone after the first one.
func TestTickerSurvivesTheClock(t *testing.T) {
	for name, bad := range map[string]func(){"panic": func() { panic(errFoe) }, "goexit": runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			var broken atomic.Bool
			var told []error
			s := openStore(t, store.Options{
				Logger: slog.New(slog.DiscardHandler), OnError: func(err error) { told = append(told, err) },
				Clock: func() time.Time {
					if broken.Load() {
						bad()
					}
					return time.Now()
				},
			})
			def := numbersDefinition()
			def.TTL = time.Minute
			b, err := s.DefineBucket(bg, "b", def)
			require.NoError(t, err)
			insertNumbers(t, b, 0, 3)
			broken.Store(true)
			time.Sleep(5*time.Second + 1)
			synctest.Wait()
			broken.Store(false)
			if name == "panic" {
				require.Len(t, told, 5)
				var pe *store.PanicError
				require.ErrorAs(t, told[0], &pe)
			} else {
				insertNumbers(t, b, 3, 4) // starts another one
			}
			time.Sleep(2 * time.Minute)
			require.Empty(t, ids(b))
		})
	}
}

// Records that expire together go in commits of 1,000, and a writer that waits gets
// its turn between two of them.
func TestWritersGetInBetweenExpiry(t *testing.T) {
	s, b, clock := openDeadlines(t, store.Options{TTLInterval: -1}, time.Minute)
	var purging atomic.Int64
	wake, inserted := make(chan struct{}), make(chan error, 1)
	store.PlantFault(s, func() {
		if purging.Add(1) == 5 { // four batches are done, and this one is about to begin
			close(wake)
			for s.Stats().QueueDepth.Total == 0 {
				runtime.Gosched()
			}
		}
	})
	insertNumbers(t, b, 0, 20_000)
	snap := s.Snapshot() // keeps all of them
	defer snap.Close()
	purging.Store(0)
	commits, at := map[store.Seq]int{}, store.Seq(0)
	_, err := s.On("bucket.b.*", func(e store.Event) {
		if e.Type == store.Inserted {
			at = e.Seq
			return
		}
		commits[e.Seq]++
	})
	require.NoError(t, err)
	go func() {
		<-wake
		_, err := b.Insert(bg, store.Fields{"id": -1})
		inserted <- err
	}()
	clock.Add(60_000)
	first := s.Stats().Commits
	n, err := s.PurgeTTL(bg)
	require.NoError(t, err)
	require.NoError(t, <-inserted)
	require.Equal(t, 20_000, n)
	require.NoError(t, s.Settle(bg))
	require.Len(t, commits, 20)
	for _, n := range commits {
		require.Equal(t, 1000, n)
	}
	require.Equal(t, first+6, at, "behind the batch that it waited for")
	require.Equal(t, []int64{-1}, ids(b))
	require.Len(t, ids(b.In(snap)), 20_000)
	require.NoError(t, store.CheckTables(s))
	require.EqualValues(t, 20_000, s.Stats().Expired.Total)
}

// What keeps PurgeTTL from one bucket does not keep it from the others.
func TestPurgeGoesOnAfterAnError(t *testing.T) {
	s, b, clock := openDeadlines(t, store.Options{TTLInterval: -1}, time.Minute)
	var armed atomic.Bool
	store.PlantFault(s, func() {
		if armed.Swap(false) {
			panic(errFoe)
		}
	})
	def := numbersDefinition()
	def.TTL = time.Minute
	other, err := s.DefineBucket(bg, "other", def)
	require.NoError(t, err)
	insertNumbers(t, b, 0, 5)
	insertNumbers(t, other, 0, 5)
	clock.Add(60_000)
	armed.Store(true)
	n, err := s.PurgeTTL(bg)
	var pe *store.PanicError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 5, n)
	n, err = s.PurgeTTL(bg)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = s.PurgeTTL(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
