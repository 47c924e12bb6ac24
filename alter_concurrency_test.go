package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// alterStorm is a bucket that is altered all the time, and all that goes on beside.
type alterStorm struct {
	t     *testing.T
	s     *store.Store
	b     *store.Bucket
	other *store.Bucket

	stop   atomic.Bool
	wg     sync.WaitGroup
	ids    sync.Map                 // of the records that were inserted
	counts [stormFixed]atomic.Int64 // by id: how often it was updated
	fresh  atomic.Int64             // inserted and not deleted
	alters atomic.Int64

	mu     sync.Mutex // protects what the events have told
	last   store.Seq
	told   map[int64]int64 // by id, n
	events int
}

// stormFixed is the records that are never deleted.
const stormFixed = 40

func newAlterStorm(t *testing.T, opt store.Options) *alterStorm {
	m := &alterStorm{t: t, s: openStore(t, opt), told: map[int64]int64{}}
	def := store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "n": {Type: store.Int}, "kind": {Type: store.String},
		"u": {Type: store.Int, Unique: true},
	}}
	var err error
	m.b, err = m.s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	m.other = defineNumbers(t, m.s, "other")
	_, err = m.s.On("bucket.b.*", m.hear)
	require.NoError(t, err)
	for i := range stormFixed {
		r, err := m.b.Insert(bg, store.Fields{"n": 0, "kind": "fixed"})
		require.NoError(t, err)
		require.EqualValues(t, i+1, r.Get("id"))
		m.ids.Store(r.Get("id"), true)
	}
	return m
}

func (m *alterStorm) hear(e store.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events++
	if e.Missed > 0 || e.Seq < m.last {
		m.t.Errorf("events were lost, or came out of order: %d after %d", e.Seq, m.last)
	}
	m.last = e.Seq
	switch e.Type {
	case store.Deleted:
		delete(m.told, e.Old.Get("id").(int64))
	default:
		n, _ := e.New.Get("n").(int64)
		m.told[e.New.Get("id").(int64)] = n
	}
}

// beside runs fn again and again until the storm is over.
func (m *alterStorm) beside(fn func(r *rand.Rand) error) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	m.wg.Go(func() {
		for !m.stop.Load() {
			if err := fn(r); err != nil {
				m.t.Error(err)
				return
			}
		}
	})
}

func (m *alterStorm) update(r *rand.Rand) error {
	id := 1 + r.IntN(stormFixed)
	for {
		rec, _ := m.b.Get(id)
		n := rec.Get("n").(int64)
		err := m.s.Transaction(bg, func(tx *store.Tx) error {
			now, ok := m.b.In(tx).Get(id)
			if !ok || now.Get("n") != n {
				return store.ErrNotFound
			}
			_, err := m.b.In(tx).Update(bg, id, store.Fields{"n": n + 1})
			return err
		})
		var conflict *store.ConflictError
		if errors.As(err, &conflict) || errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			m.counts[id-1].Add(1)
		}
		return err
	}
}

func (m *alterStorm) insert(r *rand.Rand) error {
	rec, err := m.b.Insert(bg, store.Fields{"n": 0, "kind": "fresh"})
	if err != nil {
		return err
	}
	if _, again := m.ids.LoadOrStore(rec.Get("id"), true); again {
		return fmt.Errorf("the number %v was given twice", rec.Get("id"))
	}
	if m.fresh.Add(1) > 200 || r.IntN(2) == 0 {
		m.fresh.Add(-1)
		return m.b.Delete(bg, rec.Get("id"))
	}
	return nil
}

// unique has writers compete for a few values.
func (m *alterStorm) unique(r *rand.Rand) error {
	_, err := m.b.Update(bg, 1+r.IntN(stormFixed), store.Fields{"u": r.IntN(10)})
	var taken *store.UniqueError
	if errors.As(err, &taken) {
		return nil
	}
	return err
}

func (m *alterStorm) many(r *rand.Rand) error {
	n, err := m.b.UpdateMany(bg, store.Fields{"kind": "fixed"}, store.Eq("kind", "fixed"))
	if err == nil && n != stormFixed {
		return fmt.Errorf("UpdateMany found %d", n)
	}
	return err
}

func (m *alterStorm) read(r *rand.Rand) error {
	if _, ok := m.b.Get(1 + r.IntN(stormFixed)); !ok {
		return errors.New("a record is not found")
	}
	n, err := m.b.Count(store.Eq("kind", "fixed"))
	if err != nil || n != stormFixed {
		return fmt.Errorf("count: %d, %w", n, err)
	}
	list, err := m.b.Where(store.Eq("kind", "fixed")).OrderBy(store.Desc("n")).All()
	if err != nil || len(list) != stormFixed {
		return fmt.Errorf("query: %d, %w", len(list), err)
	}
	snap := m.s.Snapshot()
	defer snap.Close()
	sum := func() (total float64) {
		total, err = m.b.In(snap).Sum("n")
		return total
	}
	if a, b := sum(), sum(); a != b || err != nil {
		return fmt.Errorf("a snapshot is not the same: %v, %v, %w", a, b, err)
	}
	return nil
}

// fresher writes, and then asks a live query, which must know of it.
func (m *alterStorm) fresher(q *store.ReactiveQuery[int64, int]) func(r *rand.Rand) error {
	mine := int64(1000)
	return func(*rand.Rand) error {
		mine++
		if _, err := m.b.Insert(bg, store.Fields{"n": -mine, "kind": "mine"}); err != nil {
			return err
		}
		n, err := q.Run(bg, -mine)
		if err != nil || n != 1 {
			return fmt.Errorf("a live query is behind: %d, %w", n, err)
		}
		_, err = m.b.DeleteMany(bg, store.Eq("n", -mine))
		return err
	}
}

// alter alters the bucket so many times.
func (m *alterStorm) alter(times int) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	indexed := false
	var calls atomic.Int64
	for i := range times {
		var c store.Change
		switch r.IntN(5) {
		case 0, 1:
			if ix := []store.Index{{"kind"}}; indexed {
				c.DropIndexes = ix
			} else {
				c.AddIndexes = ix
			}
			indexed = !indexed
		case 2:
			if i > times/2 { // fields make records larger and larger
				continue
			}
			c.Fields = store.Schema{fmt.Sprint("f", i): {Type: store.Int, Default: func() any { return calls.Add(1) }}}
		case 3:
			c.TTL = []time.Duration{-1, time.Hour}[r.IntN(2)]
		case 4:
			c.MaxSize = 1_000_000 + r.IntN(10)
		}
		if err := m.s.AlterBucket(bg, "b", c); err != nil {
			m.t.Error(err)
		}
		m.alters.Add(1)
	}
	m.stop.Store(true)
	m.wg.Wait()
}

// end checks what has come of it all.
func (m *alterStorm) end() {
	t := m.t
	settleLive(t, m.s)
	for i := range m.counts {
		r, ok := m.b.Get(i + 1)
		require.True(t, ok)
		require.EqualValues(t, m.counts[i].Load(), r.Get("n"), "an update of %d was lost", i+1)
	}
	n, err := m.b.Count(store.Eq("kind", "fresh"))
	require.NoError(t, err)
	require.EqualValues(t, m.fresh.Load(), n, "an insert was lost")
	now, seen := map[int64]int64{}, map[any]bool{}
	for r := range m.b.All() {
		n, _ := r.Get("n").(int64)
		now[r.Get("id").(int64)] = n
		if u := r.Get("u"); u != nil {
			require.False(t, seen[u], "a unique value twice")
			seen[u] = true
		}
	}
	m.mu.Lock()
	require.Equal(t, now, m.told, "what the events have told")
	m.mu.Unlock()
	require.NoError(t, store.CheckTables(m.s))
	t.Logf("%d alterations, %d events", m.alters.Load(), m.events)
}

// Writers and readers of all kinds go on while a bucket is altered many times.
func TestAlterConcurrent(t *testing.T) {
	times := modelSteps(t, 40)
	for _, logged := range []bool{false, true} {
		t.Run(fmt.Sprint("log=", logged), func(t *testing.T) {
			before := runtime.NumGoroutine()
			opt := store.Options{TTLInterval: time.Millisecond, EventBuffer: 1 << 20}
			if logged {
				opt.Persistence = store.Persistence{Adapter: &testLog{}, Durability: store.Sync}
			}
			m := newAlterStorm(t, opt)
			q := defineLive(t, m.s, "q", func(q *store.QueryCtx, n int64) (int, error) { return m.b.In(q).Count(store.Eq("n", n)) })
			total := subscribeLive(t, defineLive(t, m.s, "sum", func(q *store.QueryCtx, _ none) (float64, error) { return m.b.In(q).Sum("n") }), none{})
			m.beside(m.update)
			m.beside(m.update)
			m.beside(m.insert)
			m.beside(m.unique)
			m.beside(m.many)
			m.beside(m.read)
			m.beside(m.fresher(q))
			m.beside(func(*rand.Rand) error { _, err := m.s.PurgeTTL(bg); return err })
			m.beside(func(*rand.Rand) error {
				err := m.s.Backup(bg, &bytes.Buffer{})
				if err == nil && logged {
					err = m.s.Compact(bg)
				}
				m.s.Stats()
				return err
			})
			m.alter(times)
			m.end()
			sum, err := m.b.Sum("n")
			require.NoError(t, err)
			require.Equal(t, sum, total.Current().Result)
			require.NoError(t, m.s.Close(bg))
			until(t, "all goroutines gone", func() bool { return runtime.NumGoroutine() <= before+1 })
		})
	}
}

// Buckets are altered, dropped, defined again and filled, snapshots taken, and at
// last the store is closed, all at once: each call comes back, with what it may.
func TestAlterDropDefineClose(t *testing.T) {
	for range modelSteps(t, 20) {
		s := openStore(t, store.Options{})
		defineNumbers(t, s, "b")
		var wg sync.WaitGroup
		run := func(fn func(i int) error, allowed ...error) {
			wg.Go(func() {
				for i := range 100 {
					err := fn(i)
					ok := err == nil
					for _, a := range append(allowed, store.ErrClosed, store.ErrBucketNotDefined) {
						ok = ok || errors.Is(err, a)
					}
					var ue *store.UniqueError
					if !ok && !errors.As(err, &ue) {
						t.Error(err)
					}
				}
			})
		}
		for range 2 {
			run(func(i int) error { return s.AlterBucket(bg, "b", store.Change{MaxSize: 100 + i}) }, store.ErrAltering)
		}
		run(func(i int) error {
			b, err := s.Bucket("b")
			if err == nil {
				_, err = b.Insert(bg, store.Fields{"id": i})
			}
			return err
		})
		run(func(int) error { return s.DropBucket(bg, "b") })
		run(func(int) error {
			_, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
			return err
		}, store.ErrBucketExists)
		run(func(int) error {
			snap := s.Snapshot()
			defer snap.Close()
			if b, err := s.Bucket("b"); err == nil {
				for range b.In(snap).All() {
				}
			}
			s.Stats()
			return nil
		})
		run(func(i int) error {
			if i == 90 {
				return s.Close(bg)
			}
			return nil
		})
		wg.Wait()
	}
}

// A TTL that an alteration brings starts the ticker, and the goroutine of what the
// bucket was ends: in the bubble, one that is left would show.
func TestAlterTTLTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(bg, store.Options{})
		require.NoError(t, err)
		b := defineNumbers(t, s, "b")
		putNumber(t, b, 1, 1)
		time.Sleep(time.Minute)
		putNumber(t, b, 2, 1)
		require.NoError(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Minute}))
		_, ok := b.Get(1)
		require.False(t, ok, "it was too old")
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		_, ok = b.Get(2)
		require.True(t, ok)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, ok = b.Get(2)
		require.False(t, ok)
		for i := range 5 {
			require.NoError(t, s.AlterBucket(bg, "b", store.Change{MaxSize: 5 + i}))
		}
		require.NoError(t, s.Close(bg))
	})
}
