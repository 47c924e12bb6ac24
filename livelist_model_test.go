package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The list model keeps random queries over the buckets of the live model live, writes at
// random, and after each commit compares what was replayed with the query from scratch at
// the commit that the delta names. Some read each delta, some one for several commits.
//
//	STORE_SEED=123 STORE_STEPS=500 go test -run TestListModel .

func TestListModel(t *testing.T) {
	steps, seeds := modelSteps(t, 150), 10
	if info, ok := debug.ReadBuildInfo(); testing.Short() || ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		seeds = 3
	}
	for _, seed := range modelSeeds(t, seeds) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			found, m := runListModel(t, seed, steps, nil)
			if found != "" {
				t.Fatal(found)
			}
			t.Logf("%d deltas, of them %d resets, %d changes; %d of them compared at their commit", m.deltas, m.resets, m.parts, m.checked)
		})
	}
}

// A list that loses records which pass others, and one that is not read anew when its window
// is short, must be found.
func TestListModelFindsPlantedBugs(t *testing.T) {
	for name, plant := range map[string]func(*store.Store){
		"lost": func(s *store.Store) { store.PlantBug(s, store.BugListLost) }, "short": func(s *store.Store) { store.PlantBug(s, store.BugListShort) },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 20; seed++ {
				if found, _ := runListModel(t, seed, 60, plant); found != "" {
					require.Contains(t, found, "should")
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Fatal("the model has not found it")
		})
	}
}

type listModel struct {
	*liveModel
	lists                 []modelList
	deltas, resets, parts int
	commits               int
}

func runListModel(t *testing.T, seed uint64, steps int, plant func(*store.Store)) (found string, m *listModel) {
	m = &listModel{liveModel: &liveModel{t: t, r: rand.New(rand.NewPCG(seed, 9)), ctx: context.Background(), held: map[store.Seq]*store.Snapshot{}, solo: true}}
	m.clock.Store(1_700_000_000_000)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case liveFound:
			found = p.text
		default:
			panic(p)
		}
		for _, l := range m.lists {
			l.close()
		}
		m.release()
		ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
		defer cancel()
		require.NoError(t, m.s.Close(ctx))
	}()
	m.open(plant)
	for range steps {
		m.step()
	}
	require.NoError(t, store.CheckTables(m.s))
	return "", m
}

func (m *listModel) open(plant func(*store.Store)) {
	opt := store.Options{Clock: func() time.Time { return time.UnixMilli(m.clock.Load()) }, TTLInterval: -1}
	if m.chance(3) {
		opt.RecentCommits = one(m.r, 1, 2, 5)
	}
	var err error
	m.s, err = store.Open(m.ctx, opt)
	require.NoError(m.t, err)
	if plant != nil {
		plant(m.s)
	}
	for i := range 2 {
		m.bs = append(m.bs, newLiveBucket(m.liveModel, i))
	}
	for range 15 {
		_ = m.write(one(m.r, m.bs...)).run(m.ctx)
	}
	m.cases = []*liveProgram{m.program()}
	m.query = defineLive(m.t, m.s, "live", func(q *store.QueryCtx, p liveCase) (any, error) { return m.cases[p.N].run(q) })
	for range 40 {
		m.subscribe()
	}
}

// modelList is a live list of the model.
type modelList interface {
	on() *liveBucket
	take(m *listModel)
	close()
	ended(m *listModel, why error)
}

type modelListOf[R any] struct {
	b     *liveBucket
	spec  *qspec
	l     *store.LiveList[R]
	query func(at store.Reader) *store.Query[R]
	list  []R
	seq   store.Seq
	began bool
	every int // commits for each time that it reads
}

func (m *listModel) subscribe() {
	b := one(m.r, m.bs...)
	spec := b.good()
	if m.chance(2) {
		spec.filters = nil
	}
	if m.chance(3) {
		spec.limit, spec.offset = m.r.IntN(12), one(m.r, 0, 0, 1, 5)
	}
	h := b.b
	switch {
	case m.chance(3) && b.textKeys:
		typed, err := store.Typed[doc[string]](m.s, h.Name())
		require.NoError(m.t, err)
		addList(m, b, spec, func(at store.Reader) *store.Query[doc[string]] { return qbuild(typedAt(typed, at).Where(), spec) })
	case m.chance(3) && !b.textKeys:
		typed, err := store.Typed[doc[int64]](m.s, h.Name())
		require.NoError(m.t, err)
		addList(m, b, spec, func(at store.Reader) *store.Query[doc[int64]] { return qbuild(typedAt(typed, at).Where(), spec) })
	default:
		addList(m, b, spec, func(at store.Reader) *store.Query[store.Record] {
			if at != nil {
				return qbuild(h.In(at).Where(), spec)
			}
			return qbuild(h.Where(), spec)
		})
	}
}

func typedAt[T any](h *store.TypedBucket[T], at store.Reader) *store.TypedBucket[T] {
	if at != nil {
		return h.In(at)
	}
	return h
}

func addList[R any](m *listModel, b *liveBucket, spec *qspec, query func(at store.Reader) *store.Query[R]) {
	l, err := query(nil).Live(m.ctx)
	require.NoError(m.t, err, "%s", spec)
	m.lists = append(m.lists, &modelListOf[R]{b: b, spec: spec, l: l, query: query, every: one(m.r, 1, 1, 1, 2, 7, 40)})
}

func (l *modelListOf[R]) on() *liveBucket { return l.b }
func (l *modelListOf[R]) close()          { l.l.Close() }

func (l *modelListOf[R]) ended(m *listModel, why error) {
	_, err := l.l.Next(m.ctx)
	require.ErrorIs(m.t, err, why)
	require.ErrorIs(m.t, l.l.Err(), why)
}

// take replays what there is, and compares each delta.
func (l *modelListOf[R]) take(m *listModel) {
	if m.commits%l.every != 0 {
		return
	}
	done, cancel := context.WithCancel(m.ctx)
	cancel()
	scratch := func(at *store.Snapshot) string {
		list, err := l.query(at).All()
		require.NoError(m.t, err)
		return liveShow(list)
	}
	for {
		d, err := l.l.Next(done)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				m.fail(nil, "%s: %v, and should go on", l.spec, err)
			}
			break
		}
		if l.began && d.Seq <= l.seq || !l.began && !d.Reset {
			m.fail(nil, "%s: a delta of %d after %d; it should rise, and be a reset first", l.spec, d.Seq, l.seq)
		}
		n := len(d.Added) + len(d.Removed) + len(d.Moved) + len(d.Updated)
		if n == 0 && l.began && !d.Reset {
			m.fail(nil, "%s: a delta of %d should have changes", l.spec, d.Seq)
		}
		was := liveShow(l.list)
		l.list, l.seq, l.began = d.Apply(l.list), d.Seq, true
		m.deltas++
		if m.parts += n; d.Reset {
			m.resets++
		}
		if snap := m.held[d.Seq]; snap != nil {
			m.checked++
			if got, want := liveShow(l.list), scratch(snap); got != want {
				m.fail(nil, "bucket %s, %s: after the delta of %d, %+v\nthe list is\n%s\nand should be\n%s\nbefore it was\n%s", l.b.b.Name(), l.spec, d.Seq, d, got, want, was)
			}
		}
	}
	now := m.s.Snapshot()
	defer now.Close()
	want := scratch(now)
	if got := liveShow(l.list); got != want {
		m.fail(nil, "bucket %s, %s: settled at %d, the list, since %d, is\n%s\nand should be\n%s", l.b.b.Name(), l.spec, now.Seq(), l.seq, got, want)
	}
	if all, seq := l.l.All(); liveShow(all) != want || seq < l.seq {
		m.fail(nil, "bucket %s, %s: settled at %d, All says, of %d\n%s\nand should say\n%s", l.b.b.Name(), l.spec, now.Seq(), seq, liveShow(all), want)
	}
}

func (m *listModel) step() {
	m.release()
	m.hold()
	if m.chance(6) {
		i := m.r.IntN(len(m.lists))
		m.lists[i].close()
		m.lists = slices.Delete(m.lists, i, i+1)
		m.subscribe()
	}
	switch {
	case m.chance(25):
		m.alter(one(m.r, m.bs...))
	case m.chance(60):
		m.drop(m.r.IntN(len(m.bs)))
	default:
		for range one(m.r, 1, 1, 1, 1, 3, 20) {
			w := m.anyWrite()
			m.trace = append(m.trace, w.text)
			require.NoError(m.t, m.do(w))
		}
	}
	settle, stop := context.WithTimeout(m.ctx, 30*time.Second)
	err := m.s.Settle(settle)
	stop()
	require.NoError(m.t, err)
	m.commits++
	for _, l := range m.lists {
		l.take(m)
	}
}

// alter changes the indexes, and the bounds, of a bucket.
func (m *listModel) alter(b *liveBucket) {
	var c store.Change
	if n := len(b.def.Indexes); n > 0 && m.chance(2) {
		i := m.r.IntN(n)
		c.DropIndexes = []store.Index{b.def.Indexes[i]}
	}
	if m.chance(2) {
		if c.MaxSize = -1; m.chance(2) {
			c.MaxSize, c.Evict = 10+m.r.IntN(20), one(m.r, evictions...)
		}
	}
	m.trace = append(m.trace, fmt.Sprintf("alter %s: %+v", b.b.Name(), c))
	if err := m.s.AlterBucket(m.ctx, b.b.Name(), c); err == nil && c.DropIndexes != nil {
		b.def.Indexes = slices.DeleteFunc(slices.Clone(b.def.Indexes), func(x store.Index) bool { return slices.Equal(x, c.DropIndexes[0]) })
	}
	m.hold()
}

// drop drops a bucket, which ends its lists, and defines another one of its name.
func (m *listModel) drop(i int) {
	b := m.bs[i]
	m.trace = append(m.trace, "drop "+b.b.Name())
	require.NoError(m.t, m.s.DropBucket(m.ctx, b.b.Name()))
	require.NoError(m.t, m.s.Settle(m.ctx))
	m.release() // which show it no more
	kept := m.lists[:0]
	ended := 0
	for _, l := range m.lists {
		if l.on() == b {
			l.ended(m, store.ErrBucketNotDefined)
			ended++
			continue
		}
		kept = append(kept, l)
	}
	m.lists = kept
	m.bs[i] = newLiveBucket(m.liveModel, i)
	for range 10 {
		_ = m.write(m.bs[i]).run(m.ctx)
	}
	for range ended {
		m.subscribe()
	}
	m.hold()
}
