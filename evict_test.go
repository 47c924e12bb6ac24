package store_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// defineBounded defines a bucket of numbers that change makes a bounded one.
func defineBounded(t *testing.T, s *store.Store, change func(d *store.Definition)) *store.Bucket {
	t.Helper()
	def := numbersDefinition()
	change(&def)
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	return b
}

// insertNumbers inserts records with the ids from up to, but without, to, at once.
func insertNumbers(t *testing.T, b *store.Bucket, from, to int) {
	t.Helper()
	list := make([]store.Fields, 0, to-from)
	for id := from; id < to; id++ {
		list = append(list, store.Fields{"id": id, "n": id})
	}
	_, err := b.InsertMany(bg, list)
	require.NoError(t, err)
}

// ids are the keys of what a handle sees, in the order of insertion; it reads none.
func ids(h *store.Bucket) (out []int64) {
	for _, r := range store.Peek(h) {
		out = append(out, r.Key().Value().(int64))
	}
	return out
}

var evictions = []store.Eviction{0, store.OldestCreated, store.OldestUpdated, store.LeastRead}

func TestEvictionNames(t *testing.T) {
	require.Equal(t, "oldest created", store.OldestCreated.String())
	require.Equal(t, "Eviction(9)", store.Eviction(9).String())
	require.Equal(t, "evicted", store.ByEviction.String())
}

func TestBoundsOfADefinition(t *testing.T) {
	s := openStore(t, store.Options{})
	for name, change := range map[string]func(d *store.Definition){
		"size":            func(d *store.Definition) { d.MaxSize = -1 },
		"bytes":           func(d *store.Definition) { d.MaxBytes = math.MinInt64 },
		"order":           func(d *store.Definition) { d.MaxSize, d.Evict = 1, store.LeastRead+1 },
		"order unbounded": func(d *store.Definition) { d.Evict = store.OldestUpdated },
	} {
		def := numbersDefinition()
		change(&def)
		_, err := s.DefineBucket(bg, "b", def)
		var de *store.DefinitionError
		require.ErrorAs(t, err, &de, name)
		require.Len(t, de.Issues, 1, name)
	}
	b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize, d.MaxBytes = math.MaxInt, math.MaxInt64 })
	insertNumbers(t, b, 0, 100)
	require.Len(t, ids(b), 100)
}

// A bulk insert far beyond the bound walked over all that it had taken out already
// for each record that it took out: 50,000 inserts were over 10^9 steps.
func TestBulkInsertBeyondTheBound(t *testing.T) {
	for _, evict := range evictions {
		for size, n := range map[int]int{1: 1000, 10: 50_000} {
			t.Run(fmt.Sprint(evict, size), func(t *testing.T) {
				now := time.UnixMilli(1_000_000)
				s := openStore(t, store.Options{Clock: func() time.Time { return now }})
				b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize, d.Evict = size, evict })
				insertNumbers(t, b, -size, 0)
				now = now.Add(-time.Second) // in the order of updates it is the bulk that comes first
				var events atomic.Int64
				_, err := s.On("bucket.b.*", func(store.Event) { events.Add(1) })
				require.NoError(t, err)
				insertNumbers(t, b, 0, n)
				require.NoError(t, s.Settle(bg))
				var want []int64
				for id := n - size; id < n; id++ {
					want = append(want, int64(id))
				}
				require.Equal(t, want, ids(b), "what it inserted last is there")
				require.EqualValues(t, 2*size, events.Load(), "the old ones went, as many new ones came, and the others never were")
				require.EqualValues(t, n, s.Stats().Evicted.Total)
				require.NoError(t, store.CheckTables(s))
			})
		}
	}
}

// One record may need the room of many: the bucket stayed above its bound where
// that were more than 1,001.
func TestOneRecordEvictsThousands(t *testing.T) {
	for _, evict := range evictions {
		s := openStore(t, store.Options{})
		b, err := s.DefineBucket(bg, "b", store.Definition{
			Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "s": {Type: store.String}}, MaxBytes: 1 << 20, Evict: evict,
		})
		require.NoError(t, err)
		for id := range 5 {
			list := make([]store.Fields, 1000)
			for i := range list {
				list[i] = store.Fields{"id": 1000*id + i}
			}
			_, err := b.InsertMany(bg, list)
			require.NoError(t, err)
		}
		_, err = b.Insert(bg, store.Fields{"id": -1, "s": strings.Repeat("x", 1<<20-1000)})
		require.NoError(t, err)
		require.LessOrEqual(t, s.Stats().Bytes.Total, int64(1<<20))
		require.Contains(t, ids(b), int64(-1))
		_, err = b.Insert(bg, store.Fields{"id": -2, "s": strings.Repeat("x", 1<<20)})
		require.ErrorIs(t, err, store.ErrRecordTooLarge)
		_, err = b.Update(bg, -1, store.Fields{"s": strings.Repeat("x", 1<<20)})
		require.ErrorIs(t, err, store.ErrRecordTooLarge)
		require.NoError(t, store.CheckTables(s))
	}
}

// A unique value is taken until its holder is gone: no insert makes its way by
// evicting who is in it.
func TestUniqueHolderIsNotEvictedForItsValue(t *testing.T) {
	s := openStore(t, store.Options{})
	b := defineBounded(t, s, func(d *store.Definition) {
		d.MaxSize, d.Schema["n"] = 2, store.Field{Type: store.Int, Unique: true}
	})
	insertNumbers(t, b, 0, 2)
	var ue *store.UniqueError
	_, err := b.Insert(bg, store.Fields{"id": 2, "n": 0})
	require.ErrorAs(t, err, &ue)
	_, err = b.InsertMany(bg, []store.Fields{{"id": 2, "n": 2}, {"id": 3, "n": 0}})
	require.ErrorAs(t, err, &ue)
	err = s.Transaction(bg, func(tx *store.Tx) error {
		_, err := b.In(tx).InsertMany(bg, []store.Fields{{"id": 2, "n": 2}, {"id": 3, "n": 0}})
		return err
	})
	require.ErrorAs(t, err, &ue)
	require.Equal(t, []int64{0, 1}, ids(b))
	insertNumbers(t, b, 2, 3)
	_, err = b.Insert(bg, store.Fields{"id": 3, "n": 0})
	require.NoError(t, err, "its holder was evicted before")
	require.NoError(t, store.CheckTables(s))
}

// An update does not save the oldest record: it is deleted, in one change.
func TestUpdatedRecordIsEvicted(t *testing.T) {
	s := openStore(t, store.Options{})
	b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize = 3 })
	insertNumbers(t, b, 0, 3)
	var got []string
	_, err := s.On("bucket.b.*", func(e store.Event) {
		got = append(got, fmt.Sprintln(e.Type, e.Key, e.Old.Get("n"), e.New.Get("n"), e.Reason))
	})
	require.NoError(t, err)
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
		if _, err := b.In(tx).Update(bg, 0, store.Fields{"n": 7}); err != nil {
			return err
		}
		_, err := b.In(tx).Insert(bg, store.Fields{"id": 3, "n": 3})
		return err
	}))
	require.NoError(t, s.Settle(bg))
	require.Equal(t, []int64{1, 2, 3}, ids(b))
	require.ElementsMatch(t, []string{"deleted 0 0 <nil> evicted\n", "inserted 3 <nil> 3 user\n"}, got)
}

func TestLeastReadSparesWhatIsRead(t *testing.T) {
	s := openStore(t, store.Options{})
	b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize, d.Evict = 4, store.LeastRead })
	insertNumbers(t, b, 0, 4)
	b.Get(0)
	_, err := b.Update(bg, 2, store.Fields{"n": 5})
	require.NoError(t, err)
	insertNumbers(t, b, 4, 5)
	require.Equal(t, []int64{0, 2, 3, 4}, ids(b))
	insertNumbers(t, b, 5, 6)
	require.Equal(t, []int64{0, 2, 4, 5}, ids(b))
	for range 3 { // what is not read again is as the others
		insertNumbers(t, b, 6+len(ids(b))*10+int(s.Stats().Evicted.Total), 7+len(ids(b))*10+int(s.Stats().Evicted.Total))
	}
	require.NotContains(t, ids(b), int64(4))
}

// An evicted record that a transaction has read is a conflict, and so is one that
// it writes.
func TestEvictionIsAConflict(t *testing.T) {
	for name, use := range map[string]func(b *store.Bucket) error{
		"read": func(b *store.Bucket) error { b.Get(0); return nil },
		"query": func(b *store.Bucket) error {
			_, err := b.Where(store.Eq("n", 0)).All()
			return err
		},
		"write": func(b *store.Bucket) error { _, err := b.Update(bg, 0, store.Fields{"n": 9}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, store.Options{})
			b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize = 2 })
			other := defineNumbers(t, s, "other")
			insertNumbers(t, b, 0, 2)
			err := s.Transaction(bg, func(tx *store.Tx) error {
				if err := use(b.In(tx)); err != nil {
					return err
				}
				insertNumbers(t, b, 2, 3) // beside it: evicts 0
				_, err := other.In(tx).Upsert(bg, store.Fields{"id": 1, "n": 1})
				return err
			}, store.Retry(-1))
			var ce *store.ConflictError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, "b", ce.Bucket)
			require.Zero(t, ids(other))
		})
	}
}

// A transaction that evicts itself is no conflict, and is checked against others as
// if it had deleted what it evicted.
func TestTransactionEvicts(t *testing.T) {
	s := openStore(t, store.Options{})
	b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize = 2 })
	insertNumbers(t, b, 0, 2)
	require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
		b.In(tx).Get(0)
		insertNumbers(t, b.In(tx), 2, 4)
		require.Len(t, ids(b), 2)
		n, err := b.In(tx).Count()
		require.Equal(t, 4, n, "the bound holds after the commit")
		return err
	}))
	require.Equal(t, []int64{2, 3}, ids(b))
}

// An eviction is a change to a live query that shows the record.
func TestEvictionReachesLiveQueries(t *testing.T) {
	s := openStore(t, store.Options{})
	b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize, d.Indexes = 3, []store.Index{{"n"}} })
	q, err := store.DefineQuery(s, "least", func(q *store.QueryCtx, _ none) ([]int64, error) {
		list, err := b.In(q).Where(store.Lt("n", 2)).All()
		var out []int64
		for _, r := range list {
			out = append(out, r.Get("n").(int64))
		}
		return out, err
	})
	require.NoError(t, err)
	sub, err := q.Subscribe(bg, none{})
	require.NoError(t, err)
	defer sub.Close()
	insertNumbers(t, b, 0, 3)
	require.NoError(t, s.Settle(bg))
	got, err := q.Run(bg, none{})
	require.NoError(t, err)
	require.Equal(t, []int64{0, 1}, got)
	insertNumbers(t, b, 3, 4)
	require.NoError(t, s.Settle(bg))
	got, err = q.Run(bg, none{})
	require.NoError(t, err)
	require.Equal(t, []int64{1}, got)
}

// Writers, readers and snapshots beside one another: nobody ever sees the bucket
// above a bound.
func TestBoundHoldsBesideReaders(t *testing.T) {
	for _, evict := range evictions[1:] {
		t.Run(evict.String(), func(t *testing.T) {
			t.Parallel()
			const size = 20
			s := openStore(t, store.Options{})
			b := defineBounded(t, s, func(d *store.Definition) {
				d.MaxSize, d.MaxBytes, d.Evict, d.TTL = size, 1<<20, evict, time.Hour
				d.Schema["id"] = store.Field{Type: store.Int, Generated: store.Autoincrement}
			})
			live, most := 0, atomic.Int64{}
			seq, alive := store.Seq(0), map[string]bool{}
			_, err := s.On("bucket.b.*", func(e store.Event) {
				if e.Seq != seq {
					most.Store(max(most.Load(), int64(live)))
					seq = e.Seq
				}
				switch e.Type {
				case store.Inserted:
					live++
					alive[e.Key.String()] = true
				case store.Deleted:
					live--
					if !alive[e.Key.String()] {
						most.Store(math.MaxInt64)
					}
				}
			})
			require.NoError(t, err)
			var writers, readers sync.WaitGroup
			stop := make(chan struct{})
			for w := range 3 {
				writers.Go(func() {
					for i := range 200 {
						switch (i + w) % 4 {
						case 0:
							_, _ = b.InsertMany(bg, make([]store.Fields, 1+i%30))
						case 1:
							_ = s.Transaction(bg, func(tx *store.Tx) error {
								_, err := b.In(tx).InsertMany(bg, []store.Fields{{}, {}})
								return err
							})
						case 2:
							_, _ = b.UpdateMany(bg, store.Fields{"n": i})
						default:
							_, _ = b.Insert(bg, store.Fields{"n": i})
						}
					}
				})
			}
			for range 2 {
				readers.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						snap := s.Snapshot()
						list, err := b.In(snap).Where().All()
						n, _ := b.In(snap).Count()
						if err != nil || len(list) > size || n != len(list) {
							most.Store(math.MaxInt64)
						}
						snap.Close()
					}
				})
			}
			writers.Wait()
			close(stop)
			readers.Wait()
			require.NoError(t, s.Settle(bg))
			require.LessOrEqual(t, most.Load(), int64(size))
			require.Len(t, ids(b), size)
			require.NoError(t, store.CheckTables(s))
		})
	}
}

// A commit that the log does not take, in whatever way, evicts nothing and leaves
// the figures as they were.
func TestFailedCommitEvictsNothing(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errFoe },
		"panic":  func() error { panic(errFoe) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			log := &testLog{}
			s := openLogged(t, persistent(log))
			b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize, d.MaxBytes = 3, 1<<20 })
			insertNumbers(t, b, 0, 3)
			before, had := s.Stats().Bytes.Total, ids(b)
			log.onAppend = func([][]byte) error { return fail() }
			done := make(chan struct{})
			go func() { // the adapter may end the goroutine that inserts
				defer close(done)
				_, _ = b.InsertMany(bg, []store.Fields{{"id": 7}, {"id": 8}, {"id": 9}, {"id": 10}})
			}()
			<-done
			require.Equal(t, had, ids(b))
			require.Equal(t, before, s.Stats().Bytes.Total)
			require.Zero(t, s.Stats().Evicted.Total)
			require.NoError(t, store.CheckTables(s))
			log.onAppend = nil
			if _, err := b.Insert(bg, store.Fields{"id": 11, "n": 11}); errors.Is(err, store.ErrLogFailed) {
				return
			}
			require.Equal(t, before, s.Stats().Bytes.Total)
			require.Equal(t, []int64{1, 2, 11}, ids(b))
			require.EqualValues(t, 1, s.Stats().Evicted.Total)
		})
	}
}

// Writes to a bounded bucket that panic inside the writer take their evictions
// back, and those of the same group do not lose theirs.
func TestPanicTakesEvictionsBack(t *testing.T) {
	s := openStore(t, store.Options{})
	var armed atomic.Bool
	store.PlantFault(s, func() {
		if armed.Swap(false) {
			panic(errFoe)
		}
	})
	b := defineBounded(t, s, func(d *store.Definition) { d.MaxSize, d.MaxBytes = 5, 1<<20 })
	insertNumbers(t, b, 0, 5)
	before := s.Stats().Bytes.Total
	for id := 5; id < 40; id++ {
		armed.Store(id%3 == 0)
		_, err := b.Insert(bg, store.Fields{"id": id, "n": id})
		var pe *store.PanicError
		require.Equal(t, id%3 == 0, errors.As(err, &pe))
		require.Len(t, ids(b), 5)
		require.Equal(t, before, s.Stats().Bytes.Total)
	}
	require.NoError(t, store.CheckTables(s))
}
