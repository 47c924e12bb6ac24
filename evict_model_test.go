package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The eviction model writes at random to buckets with bounds and deadlines of every
// kind, alone and in transactions, and compares the store with a sorted list after
// every commit.
//
//	STORE_SEED=123 STORE_STEPS=2000 go test -run TestEvictionModel .

type evictModel struct {
	t     *testing.T
	r     *rand.Rand
	s     *store.Store
	every time.Duration // the ticker's, of the bubble; 0: PurgeTTL is called
	now   time.Time
	clock atomic.Int64 // now, for the store
	bs    []*lifeBucket
	held  []lifeSnapshot
	trace []string
	seq   store.Seq
	want  []lifeChange // of the step

	mu  sync.Mutex // protects got
	got []store.Event
}

type lifeSnapshot struct {
	snap *store.Snapshot
	rows []map[int64]*lifeRec
}

func TestEvictionModel(t *testing.T) {
	steps := modelSteps(t, 400)
	for _, seed := range modelSeeds(t, 12) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) { runEvictModel(t, seed, steps, 0) })
	}
}

// The same, with the ticker in place of PurgeTTL. The store's clock is not that of
// the ticker: it stands still for many ticks, and jumps back.
//
//	STORE_SEED=123 STORE_STEPS=2000 go test -run TestTTLModel .
func TestTTLModel(t *testing.T) {
	steps := modelSteps(t, 300)
	for _, seed := range modelSeeds(t, 6) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runEvictModel(t, seed, steps, time.Minute) })
		})
	}
}

func runEvictModel(t *testing.T, seed uint64, steps int, every time.Duration) {
	m := newEvictModel(t, rand.New(rand.NewPCG(seed, 8)), every)
	defer func() {
		if t.Failed() {
			for _, b := range m.bs {
				t.Logf("%s: %+v", b.name, b.def)
			}
			t.Log("the last steps:\n  " + strings.Join(m.trace[max(len(m.trace)-15, 0):], "\n  "))
		}
	}()
	for range steps {
		m.step()
	}
	for _, h := range m.held {
		h.snap.Close()
	}
	require.NoError(t, m.s.Settle(bg))
}

func newEvictModel(t *testing.T, r *rand.Rand, every time.Duration) *evictModel {
	m := &evictModel{t: t, r: r, every: every}
	m.set(time.UnixMilli(one(r, int64(0), 1_700_000_000_000, -5)))
	opt := store.Options{TTLInterval: every, Clock: func() time.Time { return time.UnixMilli(m.clock.Load()) }}
	if every == 0 {
		opt.TTLInterval = -1
	}
	m.s = openStore(t, opt)
	for i := range 3 {
		b := randomLife(r, fmt.Sprint("b", i))
		b.weight = weightOf(t, b.def)
		var err error
		b.b, err = m.s.DefineBucket(bg, b.name, b.def)
		require.NoError(t, err)
		m.bs = append(m.bs, b)
	}
	_, err := m.s.On("bucket.*.*", func(e store.Event) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got = append(m.got, e)
	})
	require.NoError(t, err)
	return m
}

// weightOf is what MaxBytes counts for a record of a definition without text.
func weightOf(t *testing.T, def store.Definition) int64 {
	s := openStore(t, store.Options{TTLInterval: -1})
	def.MaxBytes, def.TTL = 1<<40, 0
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"id": 1, "n": 1})
	require.NoError(t, err)
	return s.Stats().Bytes.Total
}

func (m *evictModel) set(now time.Time) {
	m.now = now
	m.clock.Store(now.UnixMilli())
}

func (m *evictModel) ms() store.Millis { return store.Millis(m.now.UnixMilli()) }

func (m *evictModel) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

// step does one thing, and compares everything.
func (m *evictModel) step() {
	if m.r.IntN(2) == 0 {
		m.set(m.now.Add(time.Duration(m.r.IntN(9)-1) * time.Millisecond)) // now and then back
	}
	m.want = nil
	switch n := m.r.IntN(20); {
	case n == 0:
		m.hold()
	case n == 1:
		m.purge()
	case n == 2:
		m.read(one(m.r, m.bs...))
	case n < 7:
		m.transaction()
	default:
		p := one(m.r, m.bs...).begin()
		if m.op(p, p.b.b) == nil {
			m.want = p.commit()
		}
		m.seq += min(store.Seq(len(m.want)), 1)
	}
	m.compare()
}

// anyKey is one that may well be there.
func (m *evictModel) anyKey(p *lifePart) int64 {
	if len(p.rows) > 0 && m.r.IntN(5) > 0 {
		return one(m.r, slices.Sorted(maps.Keys(p.rows))...)
	}
	return int64(m.r.IntN(60))
}

func (m *evictModel) fresh(b *lifeBucket) *lifeRec {
	r := &lifeRec{key: int64(m.r.IntN(60)), n: int64(m.r.IntN(5)), created: m.ms(), updated: m.ms(), s: m.text(b)}
	if m.r.IntN(3) == 0 {
		r.u = fmt.Sprint("u", m.r.IntN(40))
	}
	if m.r.IntN(4) == 0 {
		if r.expires = m.ms() + store.Millis(1+m.r.IntN(100)); r.expires == 0 {
			r.expires = 1
		}
	}
	return r
}

func (m *evictModel) text(b *lifeBucket) string {
	most := 40
	if b.def.MaxBytes > 0 && m.r.IntN(20) == 0 {
		most = int(b.def.MaxBytes)
	}
	return strings.Repeat("x", m.r.IntN(most))
}

// deadline is what the store gives a new record.
func (b *lifeBucket) deadline(r *lifeRec) {
	if r.expires == 0 && b.def.TTL > 0 {
		if r.expires = r.created + store.Millis(b.def.TTL.Milliseconds()); r.expires == 0 {
			r.expires = 1
		}
	}
}

// op makes one random write through a handle, and the same in the oracle; it
// returns the error that both have: where there are several, one of them.
func (m *evictModel) op(p *lifePart, h *store.Bucket) error {
	b, saved := p.b, *p.clone()
	var got, want error
	switch n := m.r.IntN(20); {
	case n < 8:
		got, want = m.insert(p, h, 1)
	case n < 11:
		got, want = m.insert(p, h, m.r.IntN(3*max(b.def.MaxSize, 5)))
	case n < 12:
		got, want = m.upsert(p, h)
	case n < 15:
		key, text, number := m.anyKey(p), m.text(b), m.r.Int64N(5)
		m.note("%s: update %d: %d bytes", b.name, key, len(text))
		_, got = h.Update(bg, key, store.Fields{"s": text, "n": number, "_expiresAt": 1})
		want = p.update(key, m.ms(), func(r *lifeRec) { r.s, r.n = text, number })
	case n < 16:
		number, text := m.r.Int64N(5), strings.Repeat("y", m.r.IntN(60))
		m.note("%s: update where n=%d: %d bytes", b.name, number, len(text))
		_, got = h.UpdateMany(bg, store.Fields{"s": text}, store.Eq("n", number))
		for _, r := range byPlace(p.rows) {
			if r.n == number && want == nil {
				want = p.update(r.key, m.ms(), func(r *lifeRec) { r.s = text })
			}
		}
	case n < 17:
		key := m.anyKey(p)
		m.note("%s: delete %d", b.name, key)
		got = h.Delete(bg, key)
		p.delete(key)
	case n < 18 && m.r.IntN(3) == 0:
		m.note("%s: clear", b.name)
		got = h.Clear(bg)
		for _, r := range byPlace(p.rows) {
			p.delete(r.key)
		}
	default:
		got, want = m.time(p, h)
	}
	m.same(want, got)
	if want != nil {
		*p = saved
	}
	return want
}

func (m *evictModel) insert(p *lifePart, h *store.Bucket, n int) (got, want error) {
	var list []*lifeRec
	var in []store.Fields
	for range n {
		r := m.fresh(p.b)
		if n > 1 { // most of them are to succeed
			r.key, r.u = r.key+int64(len(list))*60, ""
		}
		list, in = append(list, r), append(in, r.fields(p.b.auto))
		p.b.deadline(r)
	}
	m.note("%s: insert %d: %v", p.b.name, n, list[:min(n, 3)])
	var out []store.Record
	if n == 1 {
		var rec store.Record
		rec, got = h.Insert(bg, in[0])
		out = append(out, rec)
	} else {
		out, got = h.InsertMany(bg, in)
	}
	for i, r := range list {
		if p.b.auto && got == nil {
			r.key = out[i].Key().Value().(int64)
		} else if p.b.auto {
			r.key = int64(1_000_000 + i)
		}
		want = errors.Join(want, p.insert(r))
	}
	return got, want
}

func (m *evictModel) upsert(p *lifePart, h *store.Bucket) (got, want error) {
	r := m.fresh(p.b)
	r.key = m.anyKey(p)
	m.note("%s: upsert %v", p.b.name, r)
	in := r.fields(false)
	p.b.deadline(r)
	_, got = h.Upsert(bg, in)
	if p.rows[r.key] == nil {
		return got, p.insert(r)
	}
	return got, p.update(r.key, m.ms(), func(old *lifeRec) {
		old.n = r.n
		old.s, old.u = cmp.Or(r.s, old.s), cmp.Or(r.u, old.u)
	})
}

// time moves a record's deadline.
func (m *evictModel) time(p *lifePart, h *store.Bucket) (got, want error) {
	key := m.anyKey(p)
	if m.r.IntN(2) == 0 {
		m.note("%s: touch %d", p.b.name, key)
		if _, got = h.Touch(bg, key); p.b.def.TTL == 0 {
			return got, store.ErrNoTTL
		}
		return got, p.update(key, m.ms(), func(r *lifeRec) {
			r.expires, r.created = 0, m.ms()
			p.b.deadline(r)
			if old := p.rows[key]; old != nil {
				r.created = old.created
			}
		})
	}
	at := m.now.Add(time.Duration(m.r.IntN(90)-20) * time.Millisecond)
	if m.r.IntN(4) == 0 {
		at = time.Time{}
	}
	m.note("%s: expire %d at %d", p.b.name, key, at.UnixMilli())
	_, got = h.ExpireAt(bg, key, at)
	if p.rows[key] == nil {
		return got, store.ErrNotFound
	}
	none := at.IsZero() || at.UnixMilli() == 0
	if !none && !at.After(m.now) {
		return got, &store.ValidationError{}
	}
	return got, p.update(key, m.ms(), func(r *lifeRec) {
		if r.expires = 0; !none {
			r.expires = store.Millis(at.UnixMilli())
		}
	})
}

func (m *evictModel) same(want, got error) {
	m.t.Helper()
	var ve *store.ValidationError
	var ue *store.UniqueError
	if want == nil {
		require.NoError(m.t, got)
		return
	}
	for _, is := range []error{store.ErrNotFound, store.ErrRecordTooLarge, store.ErrNoTTL} {
		if errors.Is(want, is) && errors.Is(got, is) {
			return
		}
	}
	if errors.As(want, &ue) && errors.As(got, &ue) || errors.As(want, &ve) && errors.As(got, &ve) {
		return
	}
	require.Equal(m.t, want, got)
}

// transaction writes to several buckets at once, and may take it all back.
func (m *evictModel) transaction() {
	m.note("transaction")
	parts := map[*lifeBucket]*lifePart{}
	abort := m.r.IntN(5) == 0
	undone := errors.New("undone")
	err := m.s.Transaction(bg, func(tx *store.Tx) error {
		for range 1 + m.r.IntN(8) {
			b := one(m.r, m.bs...)
			if parts[b] == nil {
				parts[b] = b.begin()
			}
			if m.r.IntN(5) == 0 {
				m.get(parts[b], b.b.In(tx))
			} else {
				_ = m.op(parts[b], b.b.In(tx))
			}
		}
		if abort {
			return undone
		}
		return nil
	})
	if abort {
		require.ErrorIs(m.t, err, undone)
		return
	}
	require.NoError(m.t, err)
	for _, b := range m.bs {
		if p := parts[b]; p != nil {
			m.want = append(m.want, p.commit()...)
		}
	}
	m.seq += min(store.Seq(len(m.want)), 1)
}

func (m *evictModel) get(p *lifePart, h *store.Bucket) {
	key := m.anyKey(p)
	m.note("%s: get %d", p.b.name, key)
	r, ok := h.Get(key)
	want := p.rows[key]
	require.Equal(m.t, want != nil, ok)
	if ok {
		require.Equal(m.t, want.n, r.Get("n"))
		want.read = true
	}
}

// read marks records, one or all.
func (m *evictModel) read(b *lifeBucket) {
	p := b.begin()
	if m.r.IntN(4) > 0 {
		for range m.r.IntN(8) {
			m.get(p, b.b)
		}
		return
	}
	m.note("%s: read n=1", b.name)
	list, err := b.b.Where(store.Eq("n", 1)).All()
	require.NoError(m.t, err)
	for _, rec := range list {
		require.Equal(m.t, int64(1), rec.Get("n"))
		b.rows[rec.Key().Value().(int64)].read = true
	}
	for _, r := range b.rows {
		require.True(m.t, r.n != 1 || r.read || len(list) == 0)
	}
	_, err = b.b.Count(store.Eq("n", 2)) // which reads none
	require.NoError(m.t, err)
	_, err = b.b.Sum("n")
	require.NoError(m.t, err)
}

func (m *evictModel) purge() {
	m.note("purge at %d", m.ms())
	for _, b := range m.bs {
		gone := b.purge(m.ms())
		m.want = append(m.want, gone...)
		m.seq += min(store.Seq(len(gone)), 1)
	}
	if m.every > 0 {
		time.Sleep(m.every)
		synctest.Wait()
		return
	}
	n, err := m.s.PurgeTTL(bg)
	require.NoError(m.t, err)
	require.Equal(m.t, len(m.want), n)
}

func (m *evictModel) hold() {
	if len(m.held) > 2 {
		m.held[0].snap.Close()
		m.held = m.held[1:]
	}
	h := lifeSnapshot{snap: m.s.Snapshot()}
	for _, b := range m.bs {
		h.rows = append(h.rows, maps.Clone(b.rows))
	}
	m.held = append(m.held, h)
}

// compare compares the store, its figures, its events and its snapshots.
func (m *evictModel) compare() {
	t := m.t
	st := m.s.Stats()
	require.Equal(t, m.seq, st.Commits)
	for i, b := range m.bs {
		require.Empty(t, b.wrong(b.b, b.rows), b.name)
		require.Equal(t, len(b.rows), st.Records.PerBucket[b.name])
		require.Equal(t, b.evicted, st.Evicted.PerBucket[b.name], "evicted from %s", b.name)
		require.Equal(t, b.expired, st.Expired.PerBucket[b.name], "expired in %s", b.name)
		if b.def.MaxBytes > 0 {
			require.Equal(t, b.bytes(), st.Bytes.PerBucket[b.name], b.name)
		}
		require.Equal(t, b.next().Time(), st.TTL.Next[b.name])
		for _, h := range m.held {
			require.Empty(t, b.wrong(b.b.In(h.snap), h.rows[i]), "%s in a snapshot", b.name)
		}
	}
	require.NoError(t, store.CheckTables(m.s))
	m.events()
}

// events compares the events of the step with what it has changed.
func (m *evictModel) events() {
	t := m.t
	require.NoError(t, m.s.Settle(bg))
	m.mu.Lock()
	defer m.mu.Unlock()
	require.Len(t, m.got, len(m.want))
	for _, e := range m.got {
		at := slices.IndexFunc(m.want, func(c lifeChange) bool { return c.bucket == e.Bucket && c.key == e.Key.Value() })
		require.GreaterOrEqual(t, at, 0, "an event of %s %v", e.Bucket, e.Key)
		c := m.want[at]
		require.Equal(t, c.reason, e.Reason, c)
		require.Equal(t, c.old == nil, e.Old.IsZero(), c)
		require.Equal(t, c.new == nil, e.New.IsZero(), c)
		if c.old != nil {
			require.Empty(t, c.old.shows(e.Old), c)
		}
		if c.new != nil {
			require.Empty(t, c.new.shows(e.New), c)
		}
		require.True(t, e.Seq == m.seq || c.reason == store.ByExpiry)
	}
	m.got = m.got[:0]
}
