package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The transaction model runs random transactions, one at a time, over the buckets
// of the query model: a bucket with random indexes and its twin without any. What
// is read through a transaction is compared with the oracle of queries over a copy
// of the state that takes the same writes; then the transaction commits or ends in
// some other way, and the store is compared again.
//
//	STORE_SEED=123 STORE_STEPS=100 go test -run TestTransactionModel .

var errTxModel = errors.New("no commit")

// txModel adds transactions to the query model. While one is under way the
// handles of the query model are bound to it.
type txModel struct {
	*qmodel
	outside, outsideTwin *store.Bucket
	base                 map[any]*qrow // the rows when the transaction began
	baseState            qstate
	place                map[any]int  // where a key was or came first: its place if it comes again
	anew                 map[any]bool // the base's record of the key was deleted

	checking atomic.Bool // the handler compares what it gets with what is visible
	mu       sync.Mutex  // protects got and unseen
	got      []store.Event
	unseen   []string
}

func TestTransactionModel(t *testing.T) {
	steps, seeds := modelSteps(t, 12), 6
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		seeds = 2
	}
	for _, seed := range modelSeeds(t, seeds) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			m := newTxModel(t, rand.New(rand.NewPCG(seed, 3)))
			defer func() {
				if t.Failed() {
					t.Logf("definition: %+v", m.def)
					t.Logf("last query: %s", m.asked)
				}
			}()
			for range steps {
				m.step()
			}
			for _, h := range m.held {
				h.snap.Close()
			}
			require.Zero(t, m.s.Stats().Snapshots)
			require.Zero(t, m.s.Stats().Transactions.Active)
			require.NoError(t, m.s.Close(m.ctx))
		})
	}
}

func newTxModel(t *testing.T, r *rand.Rand) *txModel {
	m := &txModel{qmodel: newQmodel(t, r)}
	m.outside, m.outsideTwin = m.b, m.twin
	_, err := m.s.On("bucket.*.*", m.handle)
	require.NoError(t, err)
	return m
}

// handle keeps an event, and checks that its commit is visible.
func (m *txModel) handle(e store.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.got = append(m.got, e); !m.checking.Load() {
		return
	}
	b := m.outside
	if e.Bucket == "twin" {
		b = m.outsideTwin
	}
	rec, ok := b.Get(e.Key)
	if ok != (e.Type != store.Deleted) || ok && rec.Version() != e.New.Version() {
		m.unseen = append(m.unseen, e.Topic())
	}
}

// step changes the store from outside, and then runs a transaction.
func (m *txModel) step() {
	if m.chance(2) {
		m.write()
	}
	if m.chance(3) {
		m.held = append(m.held, qheld{m.s.Snapshot(), m.state()})
	}
	if len(m.held) > 2 {
		m.held[0].snap.Close()
		m.held = m.held[1:]
	}
	m.now = m.now.Add(time.Duration(m.r.IntN(3)) * time.Millisecond)
	require.NoError(m.t, m.s.Settle(m.ctx))
	m.mu.Lock()
	m.got = nil
	m.mu.Unlock()
	m.checking.Store(true)
	committed, before := m.transaction(), m.s.Stats().Commits
	if !committed {
		require.Equal(m.t, before, m.s.Stats().Commits)
	}
	require.NoError(m.t, m.s.Settle(m.ctx))
	m.checking.Store(false)
	m.afterwards()
}

// transaction runs one transaction to some end, and reports whether it committed.
func (m *txModel) transaction() bool {
	m.base, m.baseState = maps.Clone(m.rows), m.state()
	m.place, m.anew = map[any]int{}, map[any]bool{}
	for key, r := range m.base {
		m.place[key] = r.ord
	}
	gone, end := slices.Clone(m.gone), one(m.r, "commit", "commit", "commit", "error", "panic", "exit", "cancel")
	seq := m.s.Stats().Commits
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	panicked, exited, err := m.run(ctx, func(tx *store.Tx) error {
		require.Equal(m.t, seq, tx.Seq())
		m.bind(tx)
		defer m.unbind()
		m.inside()
		switch end {
		case "error":
			return errTxModel
		case "panic":
			panic(errTxModel)
		case "exit":
			runtime.Goexit()
		case "cancel":
			cancel()
		}
		return nil
	})
	require.False(m.t, m.t.Failed()) // a failure inside ends the goroutine, too
	require.True(m.t, panicked == nil || end == "panic", "it panicked: %v", panicked)
	require.Equal(m.t, end == "exit", exited)
	if end == "commit" {
		require.NoError(m.t, err)
		if len(m.changes()) > 0 {
			seq++
		}
		require.Equal(m.t, seq, m.s.Stats().Commits)
		return true
	}
	require.Equal(m.t, end == "panic", panicked == errTxModel)
	require.Equal(m.t, end == "error", err == errTxModel)
	require.Equal(m.t, end == "cancel", errors.Is(err, context.Canceled))
	require.Equal(m.t, seq, m.s.Stats().Commits)
	m.rows, m.gone, m.cached = m.base, gone, nil
	return false
}

// run runs a transaction in a goroutine of its own, which may end within.
func (m *txModel) run(ctx context.Context, fn func(tx *store.Tx) error) (panicked any, exited bool, err error) {
	exited = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if panicked = recover(); panicked != nil && panicked != errTxModel {
				m.t.Logf("panic: %v\n%s", panicked, debug.Stack())
			}
		}()
		err = m.s.Transaction(ctx, fn)
		exited = false
	}()
	<-done
	return panicked, exited && panicked == nil, err
}

func (m *txModel) bind(tx *store.Tx) {
	m.b, m.twin = m.outside.In(tx), m.outsideTwin.In(tx)
	if m.textKeys {
		m.typed = txTyped[string](m, tx)
	} else {
		m.typed = txTyped[int64](m, tx)
	}
}

func (m *txModel) unbind() {
	m.b, m.twin = m.outside, m.outsideTwin
	if m.textKeys {
		m.typed = txTyped[string](m, nil)
	} else {
		m.typed = txTyped[int64](m, nil)
	}
}

// txTyped is the typed answer to a query, in a transaction or of a snapshot.
func txTyped[K string | int64](m *txModel, tx *store.Tx) func(*store.Snapshot, *qspec) ([]any, []values, error) {
	return func(at *store.Snapshot, q *qspec) (keys []any, vals []values, err error) {
		h, err := store.Typed[doc[K]](m.s, "docs")
		require.NoError(m.t, err)
		switch {
		case at != nil:
			h = h.In(at)
		case tx != nil:
			h = h.In(tx)
		}
		list, err := qbuild(h.Where(), q).All()
		for _, d := range list {
			keys = append(keys, d.ID)
			vals = append(vals, docValues(d))
		}
		return keys, vals, err
	}
}

// inside is what happens in a transaction.
func (m *txModel) inside() {
	for range m.r.IntN(9) {
		if m.chance(4) {
			m.now = m.now.Add(time.Millisecond)
		}
		m.writeTx()
		switch m.r.IntN(5) {
		case 0:
			m.question()
		case 1:
			m.loop()
		case 2:
			m.pages()
		case 3:
			m.keys()
		}
		if m.chance(4) {
			m.paginate(nil, m.state())
		}
		if m.chance(4) {
			m.beside()
		}
	}
	m.question()
}

// beside checks that nobody else sees anything of the transaction.
func (m *txModel) beside() {
	snap := m.s.Snapshot()
	defer snap.Close()
	for _, b := range []*store.Bucket{m.outside, m.outsideTwin, m.outside.In(snap)} {
		list, err := b.Where().All()
		require.NoError(m.t, err)
		m.same(m.baseState, list, "outside")
		n, err := b.Count()
		require.NoError(m.t, err)
		require.Equal(m.t, len(m.base), n)
	}
}

// afterwards compares the store, its events and its snapshots with the model.
func (m *txModel) afterwards() {
	t := m.t
	require.NoError(t, store.CheckTables(m.s))
	m.events()
	m.keys()
	m.question()
	m.paginate(nil, m.state())
	for _, h := range m.held {
		list, err := m.b.In(h.snap).Where().All()
		require.NoError(t, err)
		m.same(h.rows, list, "snapshot")
	}
	at, st := m.pick(2)
	q := m.query(st)
	m.asked = q.String()
	m.ask(at, st, q)
}

// txChange is the net effect of a transaction on one record.
type txChange struct{ old, new *qrow }

func (m *txModel) changes() map[any]txChange {
	out := map[any]txChange{}
	for key, old := range m.base {
		if r := m.rows[key]; r != old {
			out[key] = txChange{old, r}
		}
	}
	for key, r := range m.rows {
		if m.base[key] == nil {
			out[key] = txChange{nil, r}
		}
	}
	return out
}

// events compares the events of the transaction with its net effect.
func (m *txModel) events() {
	t := m.t
	m.mu.Lock()
	defer m.mu.Unlock()
	require.Empty(t, m.unseen, "events before their commit is visible")
	want := m.changes()
	require.Len(t, m.got, 2*len(want))
	seen := map[string]bool{}
	for _, e := range m.got {
		require.Equal(t, m.s.Stats().Commits, e.Seq)
		c, ok := want[e.Key.Value()]
		id := fmt.Sprint(e.Bucket, " ", e.Key)
		require.True(t, ok && !seen[id], "an event too many: %s", e.Topic())
		seen[id] = true
		switch {
		case c.old == nil:
			require.Equal(t, store.Inserted, e.Type)
		case c.new == nil:
			require.Equal(t, store.Deleted, e.Type)
		default:
			require.Equal(t, store.Updated, e.Type)
		}
		m.sameRecord(c.old, e.Old)
		m.sameRecord(c.new, e.New)
	}
	m.got = nil
}

func (m *txModel) sameRecord(want *qrow, got store.Record) {
	m.t.Helper()
	require.Equal(m.t, want == nil, got.IsZero())
	if want == nil {
		return
	}
	m.shown(&qspec{}, qstate{want}, []store.Record{got})
}

// ---- writes

// set notes a write: what several updates make of a record is one version.
func (m *txModel) set(key any, vals values) {
	m.cached = nil
	maps.DeleteFunc(vals, func(_ string, v any) bool { return v == nil })
	r := &qrow{key: key, vals: vals, version: 1, created: m.now, updated: m.now}
	base := m.base[key]
	if old := m.rows[key]; old != nil {
		r.created = old.created
	}
	if base != nil && !m.anew[key] {
		r.version = base.version + 1
	}
	ord, ok := m.place[key]
	if !ok {
		m.ord++
		ord = m.ord
		m.place[key] = ord
	}
	r.ord = ord
	m.rows[key] = r
}

func (m *txModel) unset(key any) {
	m.cached = nil
	if m.base[key] != nil {
		m.anew[key] = true
	}
	if m.rows[key] != nil {
		m.gone = append(m.gone, key)
	}
	delete(m.rows, key)
}

func (m *txModel) each(fn func(b *store.Bucket) error) {
	m.t.Helper()
	require.NoError(m.t, fn(m.b))
	require.NoError(m.t, fn(m.twin))
}

// fresh is a new record.
func (m *txModel) fresh(key any) store.Fields {
	vals := values{"id": key}
	for name := range m.def.Schema {
		if name != "id" {
			vals[name] = m.value(name)
		}
	}
	m.extra(vals)
	return store.Fields(vals)
}

// some fields of an update; those that differ from record to record only with all.
func (m *txModel) fields(all bool) store.Fields {
	in := store.Fields{}
	for name := range m.def.Schema {
		if name != "id" && m.chance(4) && (all || name != "u") {
			in[name] = m.value(name)
		}
	}
	if m.def.Extra && m.chance(4) {
		in["zz"] = m.any(store.Any)
	}
	return in
}

func (m *txModel) merge(key any, in store.Fields) {
	vals := maps.Clone(m.rows[key].vals)
	maps.Copy(vals, values(in))
	m.set(key, vals)
}

// writeTx makes a random write.
func (m *txModel) writeTx() {
	switch m.r.IntN(16) {
	case 0, 1:
		m.insertTx(1 + m.r.IntN(30))
	case 2, 3:
		m.insertTx(1)
	case 4, 5, 6:
		m.updateTx()
	case 7, 8:
		m.updateManyTx()
	case 9, 10:
		m.deleteTx()
	case 11:
		m.deleteManyTx()
	case 12:
		m.again()
	case 13:
		m.swap()
	case 14:
		m.refused()
	case 15:
		if m.chance(6) {
			m.each(func(b *store.Bucket) error { return b.Clear(m.ctx) })
			for _, r := range m.state() {
				m.unset(r.key)
			}
		}
	}
}

func (m *txModel) insertTx(n int) {
	var list []store.Fields
	for range n {
		list = append(list, m.fresh(m.newKey()))
	}
	upsert := m.chance(2)
	m.each(func(b *store.Bucket) (err error) {
		switch {
		case n > 1:
			_, err = b.InsertMany(m.ctx, list)
		case upsert:
			_, err = b.Upsert(m.ctx, list[0])
		default:
			_, err = b.Insert(m.ctx, list[0])
		}
		return err
	})
	for _, in := range list {
		m.set(in["id"], maps.Clone(values(in)))
	}
}

// anyRow is a record of the state; own ones are as likely as those of the base.
func (m *txModel) anyRow() *qrow {
	st := m.state()
	if len(st) == 0 {
		return nil
	}
	if m.chance(2) {
		own := slices.DeleteFunc(slices.Clone(st), func(r *qrow) bool { return m.base[r.key] == r })
		if len(own) > 0 {
			return one(m.r, own...)
		}
	}
	return one(m.r, st...)
}

func (m *txModel) updateTx() {
	for range 1 + m.r.IntN(4) {
		r := m.anyRow()
		if r == nil {
			return
		}
		in, how := m.fields(true), m.r.IntN(3)
		m.each(func(b *store.Bucket) (err error) {
			var got store.Record
			switch how {
			case 0:
				got, err = b.Update(m.ctx, r.key, in)
			case 1:
				got, err = b.Patch(m.ctx, r.key, in)
			default:
				whole := maps.Clone(in)
				whole["id"] = r.key
				got, err = b.Upsert(m.ctx, whole)
			}
			if err == nil {
				require.Equal(m.t, r.key, got.Key().Value())
			}
			return err
		})
		m.merge(r.key, in)
	}
}

func (m *txModel) filters() ([]store.Filter, *qspec) {
	q := m.query(m.state())
	q.order, q.offset, q.limit, q.selecting, q.sel = nil, 0, -1, false, nil
	m.asked = q.String()
	var filters []store.Filter
	for _, f := range q.filters {
		filters = append(filters, f.filter())
	}
	return filters, q
}

func (m *txModel) updateManyTx() {
	filters, q := m.filters()
	in := m.fields(false)
	if m.badQuery(q) {
		var qe *store.QueryError
		_, err := m.b.UpdateMany(m.ctx, in, filters...)
		require.ErrorAs(m.t, err, &qe)
		return
	}
	rows := m.matches(m.state(), q)
	m.each(func(b *store.Bucket) error {
		n, err := b.UpdateMany(m.ctx, in, filters...)
		require.Equal(m.t, len(rows), n, m.asked)
		return err
	})
	for _, r := range rows {
		m.merge(r.key, in)
	}
}

func (m *txModel) deleteTx() {
	for range 1 + m.r.IntN(4) {
		r := m.anyRow()
		if r == nil {
			return
		}
		m.each(func(b *store.Bucket) error { return b.Delete(m.ctx, r.key) })
		m.unset(r.key)
		m.each(func(b *store.Bucket) error { return b.Delete(m.ctx, r.key) }) // nothing there is no error
	}
}

func (m *txModel) deleteManyTx() {
	filters, q := m.filters()
	rows := m.matches(m.state(), q)
	if m.badQuery(q) || len(rows) > 200 && !m.chance(6) {
		return
	}
	m.each(func(b *store.Bucket) error {
		n, err := b.DeleteMany(m.ctx, filters...)
		require.Equal(m.t, len(rows), n, m.asked)
		return err
	})
	for _, r := range rows {
		m.unset(r.key)
	}
}

// again deletes a record and inserts another one under its key.
func (m *txModel) again() {
	r := m.anyRow()
	if r == nil {
		return
	}
	m.each(func(b *store.Bucket) error { return b.Delete(m.ctx, r.key) })
	m.unset(r.key)
	m.gone = m.gone[:len(m.gone)-1]
	in := m.fresh(r.key)
	m.each(func(b *store.Bucket) error { _, err := b.Insert(m.ctx, in); return err })
	m.set(r.key, maps.Clone(values(in)))
}

// swap has two records exchange their unique values.
func (m *txModel) swap() {
	a, b := m.anyRow(), m.anyRow()
	if a == nil || a == b || m.def.Schema["u"].Required {
		return
	}
	step := func(key any, u any) {
		in := store.Fields{"u": u}
		m.each(func(b *store.Bucket) error { _, err := b.Update(m.ctx, key, in); return err })
		m.merge(key, in)
	}
	step(a.key, nil)
	step(b.key, a.vals["u"])
	step(a.key, b.vals["u"])
}

// refused makes writes that the transaction refuses at once, and that change
// nothing in it: of many, the first ones included.
func (m *txModel) refused() {
	r := m.anyRow()
	if r == nil {
		return
	}
	t, taken := m.t, m.fresh(r.key)
	var ue *store.UniqueError
	_, err := m.b.InsertMany(m.ctx, []store.Fields{m.fresh(m.spareKey()), m.fresh(m.spareKey()), taken})
	require.ErrorAs(t, err, &ue)
	require.Equal(t, "id", ue.Field)
	var ve *store.ValidationError
	_, err = m.b.UpdateMany(m.ctx, store.Fields{"i": "no number"})
	require.ErrorAs(t, err, &ve)
	_, err = m.b.Update(m.ctx, m.spareKey(), store.Fields{})
	require.ErrorIs(t, err, store.ErrNotFound)
	if u := r.vals["u"]; u != nil && m.def.Schema["u"].Unique {
		in := m.fresh(m.spareKey())
		in["u"] = u
		_, err = m.b.InsertMany(m.ctx, []store.Fields{m.fresh(m.spareKey()), in})
		require.ErrorAs(t, err, &ue)
		require.Equal(t, "u", ue.Field)
		if len(m.rows) > 1 { // the second record of all that would get the value is one too many
			_, err = m.b.UpdateMany(m.ctx, store.Fields{"u": "a value of one only"})
			require.ErrorAs(t, err, &ue)
		}
	}
	m.question()
}

// spareKey is a key that is not there, and is not used up.
func (m *txModel) spareKey() any {
	m.nextKey++
	n := int64(m.nextKey*7919%100_003) + 1_000_000
	if m.textKeys {
		return fmt.Sprint("spare ", n)
	}
	return n
}

// ---- reads

// question asks a random query every way there is.
func (m *txModel) question() {
	st := m.state()
	q := m.query(st)
	if m.badQuery(q) {
		q = &qspec{limit: -1}
	}
	m.asked = q.String()
	t, all := m.t, m.matches(st, q)
	want := q.cut(all)
	for _, x := range []*store.Query[store.Record]{qbuild(m.b.Where(), q), qbuild(m.twin.Where(), q)} {
		got, err := x.All()
		require.NoError(t, err, m.asked)
		m.same(want, got, "All")
		m.shown(q, want, got)
		m.iterate(x, want)
		n, err := x.Count()
		require.NoError(t, err)
		require.Equal(t, len(want), n, "Count of %s", m.asked)
		first, ok, err := x.First()
		require.NoError(t, err)
		require.Equal(t, len(want) > 0, ok, "First of %s", m.asked)
		if ok {
			m.same(want[:1], []store.Record{first}, "First")
		}
		ok, err = x.Exists()
		require.NoError(t, err)
		require.Equal(t, len(want) > 0, ok, "Exists of %s", m.asked)
		e, err := x.Explain()
		require.NoError(t, err)
		require.Equal(t, len(want), e.Returned, "Explain of %s", m.asked)
		m.aggregates(x, want)
		m.groups(x, want)
	}
	m.typedAnswer(nil, q, want)
}

// keys reads records by their keys, and the bucket as a whole.
func (m *txModel) keys() {
	t, st := m.t, m.state()
	for _, b := range []*store.Bucket{m.b, m.twin} {
		for range min(5, len(st)) {
			r := m.anyRow()
			got, ok := b.Get(r.key)
			require.True(t, ok)
			m.sameRecord(r, got)
			got, ok, err := b.FindOne(store.Eq("id", r.key))
			require.NoError(t, err)
			require.True(t, ok)
			m.sameRecord(r, got)
		}
		for _, key := range m.gone[max(len(m.gone)-3, 0):] {
			_, ok := b.Get(key)
			require.Equal(t, m.rows[key] != nil, ok)
		}
		m.same(st, slices.Collect(b.All()), "the bucket")
		n, err := b.Count()
		require.NoError(t, err)
		require.Equal(t, len(st), n)
		for _, k := range []int{0, 1, 3, 200} {
			first, err := b.First(k)
			require.NoError(t, err)
			m.same(st[:min(k, len(st))], first, "First(n)")
			last, err := b.Last(k)
			require.NoError(t, err)
			m.same(st[max(len(st)-k, 0):], last, "Last(n)")
		}
	}
}

// loop writes in the bodies of loops, which go on with what there was.
func (m *txModel) loop() {
	q := m.query(m.state())
	if m.badQuery(q) {
		return
	}
	m.asked = q.String()
	want := q.cut(m.matches(m.state(), q))
	every := 1 + len(want)/3
	var got []store.Record
	body := func(r store.Record) {
		if got = append(got, r); len(got)%every == 0 {
			asked := m.asked
			m.writeTx()
			m.asked = asked
		}
	}
	switch x := qbuild(m.b.Where(), q); m.r.IntN(3) {
	case 0:
		for r, err := range x.Seq() {
			require.NoError(m.t, err)
			body(r)
		}
	case 1:
		require.NoError(m.t, x.Each(func(r *store.Record) bool { body(*r); return true }))
	case 2:
		want = m.state()
		every = 1 + len(want)/3
		for r := range m.twin.All() {
			body(r)
		}
	}
	m.same(want, got, "a loop that writes")
}

// pages walks through the pages of a query, with writes in between.
func (m *txModel) pages() {
	q := m.query(m.state())
	q.offset, q.limit = 0, -1
	if m.badQuery(q) {
		return
	}
	for _, b := range []*store.Bucket{m.b, m.twin} {
		var last *qrow
		var cursor store.Cursor
		for range 5 {
			m.asked = q.String()
			limit := one(m.r, 1, 2, 5, 30, 130)
			want := m.behind(q, m.matches(m.state(), q), last)
			page, err := qbuild(b.Where(), q).Page(limit, cursor)
			require.NoError(m.t, err, m.asked)
			k := min(limit, len(want))
			m.same(want[:k], page.Records, "page")
			require.Equal(m.t, len(want) > limit, page.HasMore, m.asked)
			require.Equal(m.t, page.HasMore, page.Next != "", m.asked)
			if !page.HasMore {
				break
			}
			last, cursor = want[k-1], page.Next
			m.writeTx()
		}
	}
}

// ---- deadlines and numbers

type txTicket struct {
	ID   int64  `store:"id,key,generated=autoincrement"`
	Seat string `store:"seat,unique,omitzero"`
	N    int64  `store:"n,index"`
	store.Meta
}

// ticketModel is one transaction at a time over two typed buckets whose records
// expire.
type ticketModel struct {
	t       *testing.T
	r       *rand.Rand
	s       *store.Store
	now     time.Time
	b       [2]*store.TypedBucket[txTicket]
	rows    [2]map[int64]txTicket
	base    [2]map[int64]txTicket
	anew    [2]map[int64]bool
	drawn   [2]int64
	seats   int
	deleted [2][]int64
}

const ticketTTL = 10 * time.Millisecond

// TestTransactionModelTickets: numbers are never used again, whatever becomes of
// the transaction; a record that begins anew has a deadline of its own.
func TestTransactionModelTickets(t *testing.T) {
	steps := modelSteps(t, 150)
	for _, seed := range modelSeeds(t, 4) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			m := &ticketModel{t: t, r: rand.New(rand.NewPCG(seed, 4)), now: time.UnixMilli(1_700_000_000_000)}
			m.s = openStore(t, store.Options{Clock: func() time.Time { return m.now }, TTLInterval: -1})
			for i := range m.b {
				var err error
				m.b[i], err = store.Define[txTicket](t.Context(), m.s, fmt.Sprint("t", i), func(d *store.Definition) { d.TTL = ticketTTL })
				require.NoError(t, err)
				m.rows[i] = map[int64]txTicket{}
			}
			for range steps {
				m.step()
			}
		})
	}
}

func (m *ticketModel) step() {
	ctx := m.t.Context()
	for i := range m.rows {
		m.base[i], m.anew[i] = maps.Clone(m.rows[i]), map[int64]bool{}
	}
	fail := m.r.IntN(3) == 0
	err := m.s.Transaction(ctx, func(tx *store.Tx) error {
		for range m.r.IntN(8) {
			if m.r.IntN(3) == 0 {
				m.now = m.now.Add(time.Millisecond)
			}
			i := m.r.IntN(2)
			m.write(i, m.b[i].In(tx))
			m.compare(i, m.b[i].In(tx), m.rows[i])
			m.compare(i, m.b[i], m.base[i])
		}
		if fail {
			return errTxModel
		}
		return nil
	})
	require.Equal(m.t, fail, err != nil)
	if fail {
		require.Equal(m.t, errTxModel, err)
		m.rows = m.base
	}
	require.NoError(m.t, store.CheckTables(m.s))
	m.now = m.now.Add(time.Duration(m.r.IntN(5)) * time.Millisecond)
	if m.r.IntN(2) == 0 {
		m.purge()
	}
	for i := range m.b {
		m.compare(i, m.b[i], m.rows[i])
	}
}

// purge deletes what is due.
func (m *ticketModel) purge() {
	due := 0
	for i := range m.rows {
		for id, row := range m.rows[i] {
			if row.ExpiresAt <= store.Millis(m.now.UnixMilli()) {
				due++
				delete(m.rows[i], id)
				m.deleted[i] = append(m.deleted[i], id)
			}
		}
	}
	n, err := m.s.PurgeTTL(m.t.Context())
	require.NoError(m.t, err)
	require.Equal(m.t, due, n)
	require.NoError(m.t, store.CheckTables(m.s))
}

func (m *ticketModel) compare(i int, b *store.TypedBucket[txTicket], want map[int64]txTicket) {
	got := map[int64]txTicket{}
	for row := range b.All() {
		got[row.ID] = row
	}
	require.Equal(m.t, want, got, "bucket %d", i)
	n, err := b.Count()
	require.NoError(m.t, err)
	require.Equal(m.t, len(want), n)
}

// fresh is the metadata of a record that begins.
func (m *ticketModel) fresh() store.Meta {
	ms := store.Millis(m.now.UnixMilli())
	return store.Meta{Version: 1, CreatedAt: ms, UpdatedAt: ms, ExpiresAt: ms + store.Millis(ticketTTL.Milliseconds())}
}

func (m *ticketModel) write(i int, b *store.TypedBucket[txTicket]) {
	ctx := m.t.Context()
	m.seats++
	row := txTicket{Seat: fmt.Sprint("s", m.seats), N: m.r.Int64N(5)}
	old, ok := m.any(i)
	switch m.r.IntN(5) {
	case 0, 1:
		got, err := b.Insert(ctx, row)
		require.NoError(m.t, err)
		require.Equal(m.t, m.drawn[i]+1, got.ID)
		m.drawn[i] = got.ID
		row.ID, row.Meta = got.ID, m.fresh()
		m.rows[i][row.ID] = row
	case 2:
		if ok {
			m.update(i, b, old)
		}
	case 3:
		if ok {
			require.NoError(m.t, b.Delete(ctx, old.ID))
			m.remove(i, old.ID)
		}
	case 4: // the same key again, with the same unique value
		if !ok {
			return
		}
		require.NoError(m.t, b.Delete(ctx, old.ID))
		m.remove(i, old.ID)
		row.ID, row.Seat = old.ID, old.Seat
		_, err := b.Insert(ctx, row)
		require.NoError(m.t, err)
		row.Meta = m.fresh()
		m.rows[i][row.ID] = row
	}
}

func (m *ticketModel) update(i int, b *store.TypedBucket[txTicket], row txTicket) {
	got, err := b.Update(m.t.Context(), row.ID, func(u *txTicket) error { u.N++; return nil })
	require.NoError(m.t, err)
	row.N++
	row.Version = 1
	if base, ok := m.base[i][row.ID]; ok && !m.anew[i][row.ID] {
		row.Version = base.Version + 1
	}
	row.UpdatedAt = store.Millis(m.now.UnixMilli())
	require.Equal(m.t, row, got)
	m.rows[i][row.ID] = row
}

func (m *ticketModel) remove(i int, id int64) {
	delete(m.rows[i], id)
	m.anew[i][id] = true
}

func (m *ticketModel) any(i int) (txTicket, bool) {
	if len(m.rows[i]) == 0 {
		return txTicket{}, false
	}
	ids := slices.Sorted(maps.Keys(m.rows[i]))
	return m.rows[i][ids[m.r.IntN(len(ids))]], true
}
