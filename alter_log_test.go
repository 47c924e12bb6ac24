package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/sqlite"
)

// allRecords is all that a bucket's records are, metadata included, in their order.
func allRecords(b *store.Bucket) (out []string) {
	for r := range b.All() {
		out = append(out, fmt.Sprint(r.Map(), r.Version(), r.CreatedAt().UnixMilli(), r.UpdatedAt().UnixMilli(), r.ExpiresAt().UnixMilli()))
	}
	return out
}

// redefine defines a bucket in a store as it is in another one.
func redefine(t *testing.T, s *store.Store, name string, def store.Definition) *store.Bucket {
	t.Helper()
	b, err := s.DefineBucket(bg, name, def)
	require.NoError(t, err)
	return b
}

func definition(t *testing.T, s *store.Store) store.Definition {
	t.Helper()
	def, err := s.Definition("b")
	require.NoError(t, err)
	return def
}

// An alteration is one entry of the log, with the records that it changed, however
// many writers were beside it. What is written while it runs, and after it, is
// there again.
func TestAlterLogged(t *testing.T) {
	adapters := map[string]func(t *testing.T) store.Adapter{
		"test":   func(*testing.T) store.Adapter { return &testLog{} },
		"file":   func(t *testing.T) store.Adapter { return file.New(t.TempDir() + "/log") },
		"sqlite": func(t *testing.T) store.Adapter { return sqlite.New(t.TempDir() + "/log.db") },
	}
	for name, adapter := range adapters {
		t.Run(name, func(t *testing.T) {
			for _, seed := range modelSeeds(t, 3) {
				t.Logf("STORE_SEED=%d", seed)
				alterLogged(t, rand.New(rand.NewPCG(seed, 0)), adapter(t))
			}
		})
	}
}

func alterLogged(t *testing.T, r *rand.Rand, adapter store.Adapter) {
	opt := persistent(adapter)
	opt.TTLInterval = -1
	s := openLogged(t, opt)
	b := redefine(t, s, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}})
	write := func() {
		id := r.IntN(2000)
		switch r.IntN(4) {
		case 0:
			require.NoError(t, b.Delete(bg, id))
		default:
			in := store.Fields{"id": id, "n": r.IntN(9)}
			if r.IntN(3) == 0 {
				in["x"] = []any{r.IntN(9), nil}[r.IntN(2)] // a field to come
			}
			_, err := b.Upsert(bg, in)
			require.NoError(t, err)
		}
	}
	for range 1500 {
		write()
	}
	before := s.Stats().Persistence.Position
	commits, calls := 0, 0
	for i, f := range []store.Field{
		{Type: store.Int, Default: func() any {
			if calls++; calls%20 == 0 {
				was := s.Stats().Commits
				write()
				commits += int(s.Stats().Commits - was)
			}
			return calls
		}},
		{Type: store.Int, Generated: store.Autoincrement},
		{Type: store.String, Generated: store.UUID},
		{Type: store.Int, Default: 7},
	} {
		c := store.Change{Fields: store.Schema{[]string{"x", "auto", "uuid", "seven"}[i]: f}}
		if i == 1 {
			c.TTL, c.AddIndexes = time.Hour, []store.Index{{"n", "x"}}
		}
		require.NoError(t, s.AlterBucket(bg, "b", c))
		commits++
		require.Equal(t, before+store.Position(commits), s.Stats().Persistence.Position)
		if i == 2 {
			require.NoError(t, s.Compact(bg))
		}
	}
	for range 100 {
		write()
	}
	want, def := allRecords(b), definition(t, s)
	var backup bytes.Buffer
	require.NoError(t, s.Backup(bg, &backup))
	require.NoError(t, s.Close(bg))
	s = openLogged(t, opt)
	b = redefine(t, s, "b", def)
	require.Equal(t, want, allRecords(b))
	last := int64(0)
	for r := range b.All() {
		last = max(last, r.Get("auto").(int64))
	}
	rec, err := b.Insert(bg, store.Fields{"id": 5000})
	require.NoError(t, err)
	require.Greater(t, rec.Get("auto"), last)
	require.NoError(t, store.CheckTables(s))
	require.NoError(t, s.Close(bg))

	restored := &testLog{}
	require.NoError(t, store.Restore(bg, &backup, restored))
	opt.Persistence.Adapter = restored
	s = openLogged(t, opt)
	require.Equal(t, want, allRecords(redefine(t, s, "b", def)))
}

// alterLater is the alterations of TestAlterPowerLoss, one after the other.
func alterLater(i int) store.Change {
	c := store.Change{Fields: store.Schema{fmt.Sprint("f", i): {Type: store.Int, Default: i}}}
	switch i % 4 {
	case 1:
		c.AddIndexes = []store.Index{{"n", fmt.Sprint("f", i)}}
	case 2:
		c.TTL = time.Duration(i) * time.Hour
	case 3:
		c.Fields = store.Schema{fmt.Sprint("f", i): {Type: store.Int, Generated: store.Autoincrement}}
	}
	return c
}

// A power loss after any operation of the file system leaves the definition before
// an alteration, with its records, or the one after it, with those.
func TestAlterPowerLoss(t *testing.T) {
	seed := modelSeeds(t, 1)[0]
	t.Logf("STORE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	mem := vfs.NewMemory()
	fs := vfs.NewFaulty(mem, nil)
	type state struct {
		def  store.Definition
		rows []string
	}
	type image struct {
		disk  *vfs.Memory
		acked int
	}
	var states []state
	var images []image
	fs.After = func(vfs.Op) {
		if len(states) > 0 && r.IntN(2) == 0 {
			images = append(images, image{mem.Crash(r, float64(r.IntN(3))/2), len(states) - 1})
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	now := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	open := func(disk vfs.FS) *store.Store {
		opt := persistent(file.New("data/log", file.FS(disk), file.SegmentSize(8<<10), file.Logger(quiet)))
		opt.Logger, opt.TTLInterval, opt.Clock = quiet, -1, func() time.Time { return now }
		return openLogged(t, opt)
	}
	s := open(fs)
	b := defineNumbers(t, s, "b")
	note := func() { states = append(states, state{definition(t, s), allRecords(b)}) }
	note()
	for i := range 12 {
		for range 5 {
			if id := r.IntN(20); r.IntN(4) == 0 {
				require.NoError(t, b.Delete(bg, id))
			} else {
				putNumber(t, b, id, r.IntN(9))
			}
			note()
		}
		require.NoError(t, s.AlterBucket(bg, "b", alterLater(i)))
		note()
		if i%5 == 4 {
			require.NoError(t, s.Compact(bg))
		}
	}
	require.NoError(t, s.Close(bg))
	for i, im := range images {
		// The newest that was acknowledged, or the one that was under way.
		next := min(im.acked+1, len(states)-1)
		s := open(im.disk)
		b, err := s.DefineBucket(bg, "b", states[im.acked].def)
		ok := err == nil && (slices.Equal(allRecords(b), states[im.acked].rows) || slices.Equal(allRecords(b), states[next].rows))
		if err != nil { // it has fields that this definition does not know
			require.NoError(t, s.Close(bg))
			s = open(im.disk)
			b = redefine(t, s, "b", states[next].def)
			ok = slices.Equal(allRecords(b), states[next].rows)
		}
		require.True(t, ok, "image %d of %d: neither before nor after: %v\n%v\n%v", i, len(images), allRecords(b), states[im.acked].rows, states[next].rows)
		require.NoError(t, store.CheckTables(s))
		require.NoError(t, s.Close(bg))
	}
	t.Logf("%d images, %d states", len(images), len(states))
}

// A log that fails in an alteration leaves the bucket as it was, in memory and in
// the log, and the store read-only.
func TestAlterLogFails(t *testing.T) {
	fault := errors.New("no disk")
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprint("sync=", sync), func(t *testing.T) {
			log := &testLog{}
			s := openLogged(t, persistent(log))
			b := defineNumbers(t, s, "b")
			for i := range 10 {
				putNumber(t, b, i, i)
			}
			want, seq := allRecords(b), s.Stats().Commits
			q := defineLive(t, s, "q", func(q *store.QueryCtx, _ none) (int, error) { return b.In(q).Count() })
			sub := subscribeLive(t, q, none{})
			if fail := func() error { return fault }; sync {
				log.onSync = fail
			} else {
				log.onAppend = func([][]byte) error { return fault }
			}
			err := s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: 1}}, TTL: time.Hour})
			require.ErrorIs(t, err, fault)
			require.ErrorIs(t, err, store.ErrLogFailed)
			require.Equal(t, want, allRecords(b))
			require.Equal(t, seq, s.Stats().Commits)
			stillNumbers(t, s)
			_, err = b.Insert(bg, store.Fields{"id": 100})
			require.ErrorIs(t, err, store.ErrLogFailed)
			require.ErrorIs(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}), store.ErrLogFailed)
			r, err := b.Where(store.Eq("n", 3)).All()
			require.NoError(t, err)
			require.Len(t, r, 1)
			require.Equal(t, 10, sub.Current().Result)
			require.NoError(t, store.CheckTables(s))
			require.Error(t, closeLogged(t, s))
			if !sync {
				log.onAppend = nil
				s = openLogged(t, persistent(log.crash(true)))
				require.Equal(t, want, allRecords(defineNumbers(t, s, "b")))
			}
		})
	}
}

// stillNumbers fails unless the bucket is defined as by defineNumbers.
func stillNumbers(t *testing.T, s *store.Store) {
	t.Helper()
	def := definition(t, s)
	require.Len(t, def.Schema, 2)
	require.Zero(t, def.TTL)
}

// What an alteration changes may be more than an entry holds. If the log ends
// among its entries, the bucket is the altered one all the same: with the values
// that are missing, and the deadlines, also for a definition without a TTL.
func TestAlterLargerThanAnEntry(t *testing.T) {
	const count = 3000
	log := &testLog{most: 2 << 20}
	opt := persistent(log)
	now := time.Now().Truncate(time.Millisecond)
	opt.Clock, opt.TTLInterval = func() time.Time { return now }, -1
	s := openLogged(t, opt)
	b := redefine(t, s, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.String}}})
	long := strings.Repeat("long", 400)
	for from := 0; from < count; from += 500 {
		in := make([]store.Fields, 500)
		for i := range in {
			in[i] = store.Fields{"id": from + i, "s": long}
		}
		_, err := b.InsertMany(bg, in)
		require.NoError(t, err)
	}
	old := definition(t, s)
	before := len(log.entries)
	seq := s.Stats().Commits
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}))
	require.Equal(t, seq+1, s.Stats().Commits)
	middle := len(log.entries)
	require.Greater(t, middle, before+2, "several entries")
	ttl := definition(t, s)
	want := allRecords(b)
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.String, Default: "default"}}}))
	require.Greater(t, len(log.entries), middle+2)
	wantX, defX := allRecords(b), definition(t, s)
	require.NoError(t, s.Close(bg))

	reopened := func(entries int, def store.Definition) []string {
		l := log.crash(false)
		l.entries = l.entries[:entries]
		opt := opt
		opt.Persistence.Adapter = l
		s := openLogged(t, opt)
		defer func() { require.NoError(t, s.Close(bg)) }()
		got := allRecords(redefine(t, s, "b", def))
		require.NoError(t, s.Close(bg))
		s = openLogged(t, opt) // what was brought up to date stays so
		require.True(t, slices.Equal(got, allRecords(redefine(t, s, "b", def))))
		require.NoError(t, store.CheckTables(s))
		return got
	}
	for n := before + 1; n <= middle; n++ {
		require.True(t, slices.Equal(want, reopened(n, ttl)), "%d of %d entries", n-before, middle-before)
		require.True(t, slices.Equal(want, reopened(n, old)), "%d of %d entries, by the old definition", n-before, middle-before)
	}
	for n := middle + 1; n <= len(log.entries); n++ {
		require.True(t, slices.Equal(wantX, reopened(n, defX)), "%d of %d entries", n-middle, len(log.entries)-middle)
	}
	require.False(t, slices.Equal(want, reopened(before, old)))
}

// A snapshot of the log, or a backup, that is taken while an alteration runs has
// the bucket as it was; what the log gets afterwards fits it.
func TestAlterBesideCompactAndBackup(t *testing.T) {
	log := &testLog{}
	opt := persistent(log)
	s := openLogged(t, opt)
	b := defineNumbers(t, s, "b")
	for i := range 1000 {
		putNumber(t, b, i, i)
	}
	old := definition(t, s)
	var backup bytes.Buffer
	var once sync.Once
	var want []string
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
		once.Do(func() {
			putNumber(t, b, 5, 50)
			require.NoError(t, b.Delete(bg, 6))
			want = allRecords(b)
			require.NoError(t, s.Compact(bg))
			require.NoError(t, s.Backup(bg, &backup))
			putNumber(t, b, 7, 70)
			require.NoError(t, b.Delete(bg, 8))
			putNumber(t, b, 6, 60)
		})
		return 3
	}}}}))
	now, def := allRecords(b), definition(t, s)
	require.Len(t, now, 999)
	s = reopen(t, s, log)
	require.Equal(t, now, allRecords(redefine(t, s, "b", def)))
	restored := &testLog{}
	require.NoError(t, store.Restore(bg, &backup, restored))
	s = openLogged(t, persistent(restored))
	require.Equal(t, want, allRecords(redefine(t, s, "b", old)))
}
