package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The live model subscribes to random functions over a few random buckets, writes
// at random, and compares what subscribers have with the same functions called
// from scratch: at the newest state when everything has settled, and for each
// event at the commit that it carries.
//
//	STORE_SEED=123 STORE_STEPS=500 go test -run TestLiveModel .

type liveModel struct {
	t       *testing.T
	r       *rand.Rand
	ctx     context.Context
	s       *store.Store
	clock   atomic.Int64
	bs      []*liveBucket
	cases   []*liveProgram
	specs   int
	query   *store.ReactiveQuery[liveCase, any]
	subs    []*liveSub
	trace   []string
	mu      sync.Mutex                    // protects held
	held    map[store.Seq]*store.Snapshot // of the commits since all had settled
	solo    bool                          // one writer at a time
	several atomic.Bool                   // a write made several commits: not all are held
	checked int                           // events compared at their commit
	missed  int                           // events of commits that are not held
}

// liveCase names one of the model's functions.
type liveCase struct{ N int }

func TestLiveModel(t *testing.T) {
	steps, seeds := modelSteps(t, 50), 6
	if info, ok := debug.ReadBuildInfo(); testing.Short() || ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		seeds = 2
	}
	for _, seed := range modelSeeds(t, seeds) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			found, m := runLiveModel(t, seed, steps, 0)
			if found != "" {
				t.Fatal(found)
			}
			q := m.s.Stats().Queries
			t.Logf("%d evaluations, %d without news, %d events at their commit, %d not", q.Evaluations, q.Unchanged, m.checked, m.missed)
		})
	}
}

// A store that does not check an evaluation against the commits beside it has
// stale results, and one that finds no reads by intervals misses changes. The
// model must say so.
func TestLiveModelFindsPlantedBugs(t *testing.T) {
	for name, bug := range map[string]int{"lost update": plantLostUpdate, "missed range": plantMissedRange} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 20; seed++ {
				if found, _ := runLiveModel(t, seed, 40, bug); found != "" {
					require.Contains(t, found, "should")
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Fatal("the model has not found it")
		})
	}
}

// liveFound is a failure of the store, as the model throws it.
type liveFound struct{ text string }

// runLiveModel returns what it has found, "" for nothing.
func runLiveModel(t *testing.T, seed uint64, steps int, bug int) (found string, m *liveModel) {
	m = &liveModel{t: t, r: rand.New(rand.NewPCG(seed, 5)), ctx: context.Background(), held: map[store.Seq]*store.Snapshot{}}
	m.clock.Store(1_700_000_000_000)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case liveFound:
			found = p.text
		default:
			panic(p)
		}
		for _, s := range m.subs {
			s.close()
		}
		m.release()
		ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
		defer cancel()
		require.NoError(t, m.s.Close(ctx))
	}()
	m.open(bug)
	for range steps {
		m.step()
	}
	require.NoError(t, store.CheckTables(m.s))
	return "", m
}

func (m *liveModel) chance(n int) bool { return m.r.IntN(n) == 0 }

func (m *liveModel) fail(p *liveProgram, format string, args ...any) {
	var b strings.Builder
	fmt.Fprintf(&b, format+"\n", args...)
	if p != nil {
		i := slices.Index(m.cases, p)
		fmt.Fprintf(&b, "function %d: %s\n", i, p)
		if state, err := m.query.Explain(liveCase{i}); err == nil {
			b.WriteString(state.String())
		}
	}
	for _, x := range m.bs {
		fmt.Fprintf(&b, "bucket %s: %+v\n", x.b.Name(), x.def)
	}
	fmt.Fprintf(&b, "the last writes:\n")
	for _, w := range m.trace[max(len(m.trace)-25, 0):] {
		b.WriteString("  " + w + "\n")
	}
	panic(liveFound{b.String()})
}

// open makes the buckets, the functions and the subscriptions.
func (m *liveModel) open(bug int) {
	opt := store.Options{Clock: func() time.Time { return time.UnixMilli(m.clock.Load()) }, TTLInterval: -1}
	if m.chance(3) {
		opt.RecentCommits = one(m.r, 1, 2, 5)
	}
	var err error
	m.s, err = store.Open(m.ctx, opt)
	require.NoError(m.t, err)
	plantLive(m.s, bug)
	for i := range 2 + m.r.IntN(2) {
		m.bs = append(m.bs, newLiveBucket(m, i))
	}
	m.spare(true)
	for range 15 {
		_ = m.write(one(m.r, m.bs...)).run(m.ctx)
	}
	for range 44 {
		m.cases = append(m.cases, m.program())
	}
	m.query = defineLive(m.t, m.s, "live", func(q *store.QueryCtx, p liveCase) (any, error) { return m.cases[p.N].run(q) })
	for range 34 {
		m.subscribe()
	}
}

// The defects that can be planted; 0 is none.
const (
	plantLostUpdate = iota + 1
	plantMissedRange
)

func plantLive(s *store.Store, bug int) {
	switch bug {
	case plantLostUpdate:
		store.PlantBug(s, store.BugLostUpdate)
	case plantMissedRange:
		store.PlantBug(s, store.BugMissedRange)
	}
}

func (m *liveModel) step() {
	m.release()
	m.hold()
	m.several.Store(false)
	if m.chance(8) {
		i := m.r.IntN(len(m.subs))
		m.subs[i].close()
		m.subs = slices.Delete(m.subs, i, i+1)
		m.subscribe()
	}
	if m.chance(20) {
		m.spare(!m.s.HasBucket("spare"))
		m.trace = append(m.trace, "spare defined or dropped")
	}
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	var readers sync.WaitGroup
	for _, s := range m.subs {
		if s.busy {
			readers.Go(func() {
				s.take(ctx)
			})
		}
	}
	m.burst()
	settle, stop := context.WithTimeout(m.ctx, 30*time.Second)
	err := m.s.Settle(settle)
	stop()
	cancel()
	readers.Wait()
	if err != nil {
		m.fail(nil, "Settle: %v", err)
	}
	m.compare()
}

// burst makes some writes, of one writer or of two at once.
func (m *liveModel) burst() {
	n := one(m.r, 1, 1, 1, 2, 5, 15)
	m.solo = m.chance(2)
	var lists [2][]liveWrite
	for i := range n {
		if m.solo {
			w := m.anyWrite()
			m.trace = append(m.trace, w.text)
			if err := m.do(w); err != nil {
				m.fail(nil, "%v", err)
			}
			continue
		}
		w := m.anyWrite()
		m.trace = append(m.trace, fmt.Sprintf("writer %d: %s", i%2, w.text))
		lists[i%2] = append(lists[i%2], w)
	}
	var wg sync.WaitGroup
	var errs [2]error
	for i, list := range lists {
		wg.Go(func() {
			for _, w := range list {
				errs[i] = errors.Join(errs[i], m.do(w))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs[0], errs[1]); err != nil {
		m.fail(nil, "%v", err)
	}
}

// do makes a write and holds the state that it leads to.
func (m *liveModel) do(w liveWrite) error {
	m.clock.Add(1)
	before := m.s.Stats().Commits
	err := w.run(m.ctx)
	m.hold()
	if m.s.Stats().Commits > before+1 {
		m.several.Store(true)
	}
	var pe *store.PanicError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", w.text, err)
	}
	return nil
}

func (m *liveModel) hold() {
	snap := m.s.Snapshot()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[snap.Seq()] != nil {
		snap.Close()
		return
	}
	m.held[snap.Seq()] = snap
}

func (m *liveModel) release() {
	for seq, snap := range m.held {
		snap.Close()
		delete(m.held, seq)
	}
}

// scratch calls a function from scratch, at a snapshot or now.
func (m *liveModel) scratch(at *store.Snapshot, n int) (string, error) {
	if at == nil {
		at = m.s.Snapshot()
		defer at.Close()
	}
	v, err := m.query.RunIn(at, liveCase{n})
	if err != nil {
		return liveError(err), err
	}
	return liveShow(v), nil
}

// compare looks at every subscriber when all has settled.
func (m *liveModel) compare() {
	m.hold()
	done, cancel := context.WithCancel(m.ctx)
	cancel()
	now := m.s.Snapshot()
	defer now.Close()
	for _, s := range m.subs {
		p := m.cases[s.n]
		want, err := m.scratch(now, s.n)
		current := s.sub.Current()
		if got := liveShowEvent(current); got != want {
			m.fail(p, "settled at %d, function %d is, since %d\n%s\nand should be\n%s", now.Seq(), s.n, current.Seq, got, want)
		}
		s.take(done)
		m.events(s)
		if s.last != want {
			m.fail(p, "settled at %d, the last event of function %d, of %d, is\n%s\nand should be\n%s", now.Seq(), s.n, s.seq, s.last, want)
		}
		s.mu.Lock()
		called, wrong := s.called, s.wrong
		s.mu.Unlock()
		if s.stop != nil && (wrong != "" || err == nil && called != want) {
			m.fail(p, "settled at %d, the callback of function %d has\n%s\nand should have\n%s\n%s", now.Seq(), s.n, called, want, wrong)
		}
	}
	n := m.r.IntN(len(m.cases))
	want, _ := m.scratch(now, n)
	v, err := m.query.Run(m.ctx, liveCase{n})
	got := liveShow(v)
	if err != nil {
		got = liveError(err)
	}
	if got != want {
		m.fail(m.cases[n], "Run of function %d answers\n%s\nand should\n%s", n, got, want)
	}
}

// events compares each event with the function at its commit.
func (m *liveModel) events(s *liveSub) {
	p := m.cases[s.n]
	for _, ev := range s.events {
		got := liveShowEvent(ev)
		if got == s.last {
			m.fail(p, "function %d: the event of %d is as that of %d: %s", s.n, ev.Seq, s.seq, got)
		}
		if s.last != "none" && (ev.Seq < s.seq || ev.Seq == s.seq && !p.named) {
			m.fail(p, "function %d: an event of %d after one of %d", s.n, ev.Seq, s.seq)
		}
		first := s.last == "none"
		s.last, s.seq = got, ev.Seq
		snap := m.held[ev.Seq]
		switch {
		case p.named || first:
			continue
		case snap == nil && m.solo && !m.several.Load():
			m.fail(p, "function %d: an event of %d, which no commit has led to", s.n, ev.Seq)
		case snap == nil:
			m.missed++
			continue
		}
		m.checked++
		if want, _ := m.scratch(snap, s.n); got != want {
			m.fail(p, "function %d: the event of %d is\n%s\nand should be\n%s", s.n, ev.Seq, got, want)
		}
	}
	s.events = s.events[:0]
}

// liveSub is somebody who subscribed to a function, in one or more ways.
type liveSub struct {
	n      int
	sub    *store.Subscription[any]
	last   string // of its events
	seq    store.Seq
	stop   func()
	mu     sync.Mutex // protects called and wrong
	called string     // what the callback got last; before, what it was at the begin
	wrong  string
	busy   bool // reads its events while others write
	events []store.QueryEvent[any]
}

func (m *liveModel) subscribe() {
	s := &liveSub{n: m.r.IntN(len(m.cases)), busy: m.chance(2)}
	want, wantErr := m.scratch(nil, s.n)
	s.sub = subscribeLive(m.t, m.query, liveCase{s.n})
	s.last = "none"
	if wantErr == nil {
		s.called = want
	}
	if m.chance(2) {
		fn := func(v any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			now := liveShow(v)
			if now == s.called {
				s.wrong = "the callback got twice " + now
			}
			s.called = now
		}
		var err error
		if m.chance(2) {
			s.stop, err = m.query.OnChange(m.ctx, liveCase{s.n}, fn)
		} else {
			s.stop, err = m.s.Subscribe(m.ctx, "live", liveCase{s.n}, fn)
		}
		require.NoError(m.t, err)
	}
	m.subs = append(m.subs, s)
}

func (s *liveSub) close() {
	s.sub.Close()
	if s.stop != nil {
		s.stop()
	}
}

// take reads the events that are there, or, with a context that has not ended,
// those that come until then.
func (s *liveSub) take(ctx context.Context) {
	for {
		ev, err := s.sub.Next(ctx)
		if err != nil {
			return
		}
		s.events = append(s.events, ev)
	}
}
