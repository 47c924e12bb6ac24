package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/table"
)

// account is what the tests of the server write. Its key tells the planted
// fault which request it is in.
type account struct {
	ID    string `store:"id,key"`
	Email string `store:"email,unique"`
	N     int    `store:"n,index"`
	Meta
}

// rig is a store with one bucket whose requests run planted faults, by key.
type rig struct {
	t      *testing.T
	st     *Store
	b      *bucket
	h      *TypedBucket[account]
	mu     sync.Mutex
	faults map[string]func() // run each time that a request for the key is applied
	plugs  int

	errMu sync.Mutex
	heard []error // by OnError
	onErr func(error)

	eventMu sync.Mutex
	events  []Event
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, faults: map[string]func(){}}
	st, err := Open(context.Background(), Options{Logger: quiet(), OnError: r.hear})
	require.NoError(t, err)
	r.st = st
	r.h, err = Define[account](context.Background(), st, "accounts")
	require.NoError(t, err)
	r.b = r.h.home.of(nil)
	st.fault = r.fault
	_, err = st.On("bucket.accounts.*", func(e Event) {
		r.eventMu.Lock()
		defer r.eventMu.Unlock()
		r.events = append(r.events, e)
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, st.Close(ctx))
	})
	return r
}

func (r *rig) hear(err error) {
	r.errMu.Lock()
	r.heard = append(r.heard, err)
	then := r.onErr
	r.errMu.Unlock()
	if then != nil {
		then(err)
	}
}

func (r *rig) errors() []error {
	r.errMu.Lock()
	defer r.errMu.Unlock()
	return slices.Clone(r.heard)
}

// fault runs what was planted for a request. The key of a batch is that of its
// first record.
func (r *rig) fault(req *request) {
	var key string
	switch {
	case len(req.inserts) > 0 && req.inserts[0] != nil:
		key = r.b.shape.keyOf(req.inserts[0]).text
	case len(req.many) > 0 && req.many[0].v != nil:
		key = r.b.shape.keyOf(req.many[0].v).text
	case len(req.many) > 0:
		key = req.many[0].text
	case req.v != nil:
		key = r.b.shape.keyOf(req.v).text
	default:
		key = req.text
	}
	r.mu.Lock()
	f := r.faults[key]
	r.mu.Unlock()
	if f != nil {
		f()
	}
}

func (r *rig) plant(key string, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[key] = f
}

func (r *rig) insert(key string) error {
	_, err := r.h.Insert(context.Background(), account{ID: key, Email: key + "@x", N: len(key)})
	return err
}

// until waits for a condition that other goroutines bring about.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("%s does not come", what)
		}
		runtime.Gosched()
	}
}

// write is a write under way.
type write struct {
	err  error
	done chan struct{}
}

func (w *write) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-w.done:
		return w.err
	case <-time.After(20 * time.Second):
		t.Fatal("a write does not return")
		return nil
	}
}

func begin(f func() error) *write {
	w := &write{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = f()
	}()
	return w
}

// plug has the server's goroutine apply a request that stays until open is
// called. All that is written meanwhile queues.
func (r *rig) plug() (w *write, key string, open func()) {
	r.t.Helper()
	r.plugs++
	key = fmt.Sprintf("plug-%d", r.plugs)
	entered, gate := make(chan struct{}), make(chan struct{})
	var once, opened sync.Once
	r.plant(key, func() {
		once.Do(func() { close(entered) })
		<-gate
	})
	r.b.server.mu.Lock()
	w = begin(func() error { return r.insert(key) })
	until(r.t, "the plug", func() bool { return r.b.server.queued.Load() > 0 })
	r.b.server.mu.Unlock()
	select {
	case <-entered:
	case <-time.After(20 * time.Second):
		r.t.Fatal("the plug is not applied")
	}
	open = func() { opened.Do(func() { close(gate) }) }
	r.t.Cleanup(open)
	return w, key, open
}

// queue starts writes in order behind a plug.
func (r *rig) queue(writes ...func() error) []*write {
	r.t.Helper()
	ws := make([]*write, len(writes))
	for i, f := range writes {
		before := len(r.b.server.reqs)
		ws[i] = begin(f)
		until(r.t, "a queued write", func() bool { return len(r.b.server.reqs) == before+1 })
	}
	return ws
}

// group runs writes as one group of the server's goroutine, in order, and
// returns their errors.
func (r *rig) group(writes ...func() error) []error {
	r.t.Helper()
	require.LessOrEqual(r.t, len(writes), groupMax)
	plug, _, open := r.plug()
	ws := r.queue(writes...)
	open()
	require.NoError(r.t, plug.wait(r.t))
	errs := make([]error, len(ws))
	for i, w := range ws {
		errs[i] = w.wait(r.t)
	}
	return errs
}

// check compares the table with itself and the events with the records: every
// version of every record came in exactly one event, in the order of commits.
func (r *rig) check() {
	r.t.Helper()
	require.NoError(r.t, CheckTables(r.st))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(r.t, r.st.Settle(ctx))
	r.eventMu.Lock()
	defer r.eventMu.Unlock()
	replay := map[string]account{}
	last := Seq(0)
	for _, e := range r.events {
		require.NoError(r.t, e.Err)
		require.GreaterOrEqual(r.t, e.Seq, last)
		require.LessOrEqual(r.t, e.Seq, last+1, "a sequence without an event")
		last = e.Seq
		key := e.Key.String()
		was, ok := replay[key]
		require.Equal(r.t, e.Type != Inserted, ok, "%s of %q", e.Type, key)
		if ok {
			require.Equal(r.t, was.Version, e.Old.Version())
		}
		if e.Type == Deleted {
			delete(replay, key)
			continue
		}
		require.Equal(r.t, was.Version+1, e.New.Version())
		replay[key] = account{
			ID: key, Email: e.New.Get("email").(string), N: int(e.New.Get("n").(int64)),
			Meta: Meta{e.New.Version(), Millis(e.New.CreatedAt().UnixMilli()), Millis(e.New.UpdatedAt().UnixMilli()), 0},
		}
	}
	require.Equal(r.t, r.st.Stats().Commits, last)
	stored := map[string]account{}
	emails := map[string]bool{}
	for a := range r.h.All() {
		stored[a.ID] = a
		require.False(r.t, emails[a.Email], "email %s twice", a.Email)
		emails[a.Email] = true
		got, err := r.h.Where(Eq("email", a.Email)).All()
		require.NoError(r.t, err)
		require.Equal(r.t, []account{a}, got)
	}
	require.Equal(r.t, replay, stored)
	n, err := r.h.Count()
	require.NoError(r.t, err)
	require.Equal(r.t, len(stored), n)
}

func (r *rig) has(key string) bool {
	_, ok := r.h.Get(key)
	return ok
}

func (r *rig) requirePanic(err error, value any) {
	r.t.Helper()
	var pe *PanicError
	require.ErrorAs(r.t, err, &pe)
	require.Equal(r.t, value, pe.Value)
	require.NotEmpty(r.t, pe.Stack)
	var e *Error
	require.ErrorAs(r.t, err, &e)
	require.Equal(r.t, "accounts", e.Bucket)
}

// allKinds are writes of every kind to the record with the key, or records that
// begin with it.
func (r *rig) allKinds(key string) map[string]func() error {
	ctx := context.Background()
	return map[string]func() error{
		"insert": func() error { return r.insert(key + "-new") },
		"insertMany": func() error {
			_, err := r.h.InsertMany(ctx, []account{{ID: key + "-new", Email: "m1"}, {ID: key + "-more", Email: "m2"}})
			return err
		},
		"update": func() error {
			_, err := r.h.Update(ctx, key, func(a *account) error { a.N, a.Email = 77, "moved"; return nil })
			return err
		},
		"patch":  func() error { _, err := r.h.Patch(ctx, key, Fields{"n": 78}); return err },
		"upsert": func() error { _, err := r.h.Upsert(ctx, account{ID: key, Email: "up"}); return err },
		"delete": func() error { return r.h.Delete(ctx, key) },
		"updateMany": func() error {
			_, err := r.h.UpdateMany(ctx, Fields{"n": 79}, Eq("id", key))
			return err
		},
		"deleteMany": func() error { _, err := r.h.DeleteMany(ctx, Eq("id", key)); return err },
	}
}

func TestPanicOfEveryKindOfWrite(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.insert("old"))
	before, _ := r.h.Get("old")
	for _, key := range []string{"old", "old-new"} {
		r.plant(key, func() { panic("boom " + key) })
	}
	for name, f := range r.allKinds("old") {
		err := f()
		var pe *PanicError
		require.ErrorAs(t, err, &pe, name)
		r.check()
		after, ok := r.h.Get("old")
		require.True(t, ok, name)
		require.Equal(t, before, after, name)
		require.False(t, r.has("old-new"), name)
		require.True(t, r.b.server.mu.TryLock(), name)
		r.b.server.mu.Unlock()
	}
	r.plant("", func() { panic("boom clear") })
	r.requirePanic(r.h.Clear(context.Background()), "boom clear")
	require.True(t, r.has("old"))
	r.plant("", nil)
	require.Equal(t, Seq(1), r.st.Stats().Commits, "a write that failed takes no sequence")
	require.Empty(t, r.st.Stats().Restarts)
	r.plant("old", nil)
	r.plant("old-new", nil)
	require.NoError(t, r.insert("old-new"))
	_, err := r.h.Insert(context.Background(), account{ID: "third", Email: "old@x"})
	var ue *UniqueError
	require.ErrorAs(t, err, &ue)
	require.Equal(t, "email", ue.Field)
	r.check()
}

// A defect in the midst of a write, with changes and index entries pending
// already: the second of three records is nil.
func TestPanicHalfway(t *testing.T) {
	for _, where := range []string{"inline", "group"} {
		t.Run(where, func(t *testing.T) {
			r := newRig(t)
			ctx := context.Background()
			for i := range 50 {
				require.NoError(t, r.insert(fmt.Sprint("r", i)))
			}
			prepare := func(key string) *table.Version {
				v, err := r.h.c.prepare(r.h.home.of(nil), &account{ID: key, Email: key + "@x"}, time.Now())
				require.NoError(t, err)
				return v
			}
			half := func() error {
				q := r.b.server.newRequest()
				q.inserts = []*table.Version{prepare("half-1"), nil, prepare("half-2")}
				_, err := r.b.submit(ctx, q)
				return err
			}
			var pe *PanicError
			if where == "inline" {
				require.ErrorAs(t, half(), &pe)
			} else {
				errs := r.group(
					func() error { return r.insert("a") },
					func() error { return r.h.Delete(ctx, "r7") },
					half,
					func() error {
						_, err := r.h.Update(ctx, "r8", func(a *account) error { a.Email, a.N = "moved", 5; return nil })
						return err
					},
					half,
					func() error { return r.insert("b") },
				)
				for i, err := range errs {
					if i == 2 || i == 4 {
						require.ErrorAs(t, err, &pe)
						continue
					}
					require.NoError(t, err, i)
				}
				require.True(t, r.has("a") && r.has("b") && !r.has("r7"))
				moved, _ := r.h.Get("r8")
				require.Equal(t, Version(2), moved.Version)
			}
			require.False(t, r.has("half-1") || r.has("half-2"))
			r.check()
			require.NoError(t, r.insert("half-1"), "its key and email are free")
			require.Empty(t, r.st.Stats().Restarts)
			r.check()
		})
	}
}

func TestPanicAtEveryPlaceOfAGroup(t *testing.T) {
	for at := range 5 {
		t.Run(fmt.Sprint("at ", at), func(t *testing.T) {
			r := newRig(t)
			require.NoError(t, r.insert("old"))
			var writes []func() error
			for i := range 5 {
				writes = append(writes, func() error { return r.insert(fmt.Sprint("w", i)) })
			}
			r.plant(fmt.Sprint("w", at), func() { panic(at) })
			errs := r.group(writes...)
			for i, err := range errs {
				if i == at {
					r.requirePanic(err, at)
				} else {
					require.NoError(t, err, i)
				}
				require.Equal(t, i != at, r.has(fmt.Sprint("w", i)))
			}
			require.Equal(t, Seq(1+1+4), r.st.Stats().Commits)
			require.Empty(t, r.st.Stats().Restarts)
			r.check()
		})
	}
}

// A group whose only failing request is not the one that panics: what the group
// had refused stays refused, once.
func TestPanicInGroupWithRefusals(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	require.NoError(t, r.insert("old"))
	r.plant("bad", func() { panic("bad") })
	errs := r.group(
		func() error { return r.insert("a") },
		func() error { _, err := r.h.Insert(ctx, account{ID: "dup", Email: "a@x"}); return err },
		func() error { return r.insert("bad") },
		func() error { _, err := r.h.Insert(ctx, account{ID: "late", Email: "old@x"}); return err },
		func() error { return r.insert("b") },
	)
	var ue *UniqueError
	require.NoError(t, errs[0])
	require.ErrorAs(t, errs[1], &ue)
	r.requirePanic(errs[2], "bad")
	require.ErrorAs(t, errs[3], &ue)
	require.NoError(t, errs[4])
	r.check()
}

func TestGoexitRestartsTheServer(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.insert("old"))
	dead := map[string]bool{}
	for round := range 5 {
		key := func(i int) string { return fmt.Sprint("r", round, "-", i) }
		r.plant(key(round), runtime.Goexit)
		var writes []func() error
		for i := range 5 {
			writes = append(writes, func() error { return r.insert(key(i)) })
		}
		for i, err := range r.group(writes...) {
			require.Equal(t, err == nil, r.has(key(i)), "round %d write %d: %v", round, i, err)
			if err != nil {
				var pe *PanicError
				require.ErrorAs(t, err, &pe)
				dead[key(i)] = true
			}
		}
		require.True(t, dead[key(round)])
		until(t, "the restart", func() bool { return len(r.errors()) == round+1 })
		require.Equal(t, map[string]int64{"accounts": int64(round + 1)}, r.st.Stats().Restarts)
		var e *Error
		require.ErrorAs(t, r.errors()[round], &e)
		require.Equal(t, "bucket server accounts", e.Op)
		r.plant(key(round), nil)
		r.check()
		require.True(t, r.has("old"))
	}
	for key := range dead {
		require.NoError(t, r.insert(key), "a later write, whose key is free")
	}
	require.NoError(t, errors.Join(r.group(func() error { return r.insert("x") }, func() error { return r.insert("y") })...))
	r.check()
}

// A panic has the others of its group start anew, each published on its own; a
// Goexit after that must not fail those that are published.
func TestGoexitAfterPanicInOneGroup(t *testing.T) {
	r := newRig(t)
	r.plant("w1", func() { panic("w1") })
	r.plant("w2", runtime.Goexit)
	var writes []func() error
	for i := range 4 {
		writes = append(writes, func() error { return r.insert(fmt.Sprint("w", i)) })
	}
	errs := r.group(writes...)
	for i, err := range errs {
		require.Equal(t, err == nil, r.has(fmt.Sprint("w", i)), "write %d: %v", i, err)
	}
	require.Error(t, errs[1])
	r.check()
}

// A goroutine that ends by itself, with nothing under way.
func TestGoexitWhileNothingIsTaken(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		key := fmt.Sprint("g", i)
		r.plant(key, runtime.Goexit)
		require.Error(t, errors.Join(r.group(func() error { return r.insert(key) })...))
	}
	until(t, "the restarts", func() bool { return r.st.Stats().Restarts["accounts"] == 10 })
	require.NoError(t, r.insert("a"))
	require.Zero(t, r.st.Stats().QueueDepth.Total)
	r.check()
}

func TestDropAndCloseAfterRestart(t *testing.T) {
	r := newRig(t)
	r.plant("g", runtime.Goexit)
	require.Error(t, errors.Join(r.group(func() error { return r.insert("g") })...))
	r.plant("g2", runtime.Goexit)
	plug, _, open := r.plug()
	ws := r.queue(func() error { return r.insert("g2") }, func() error { return r.insert("h") })
	closed := begin(func() error { return r.st.Close(context.Background()) })
	open()
	_ = plug.wait(t)
	for i, key := range []string{"g2", "h"} {
		err := ws[i].wait(t)
		require.Equal(t, err == nil, r.has(key), "%s: %v", key, err)
	}
	require.NoError(t, closed.wait(t), "it waits for the goroutine that took over")
	require.Empty(t, r.st.workers.Running())
}

// Random groups with random faults: each write is applied once and nil, or not
// at all and an error.
func TestRandomFaults(t *testing.T) {
	for range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			r := newRig(t)
			ctx := context.Background()
			want := map[string]int{} // N of each key
			for round := range 12 {
				r.mu.Lock()
				clear(r.faults)
				r.mu.Unlock()
				type planned struct {
					key    string
					expect func(err error)
				}
				var plans []planned
				var writes []func() error
				goexit := false
				free := slices.Sorted(maps.Keys(want)) // each in one write of a group
				rnd.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
				for i := range 1 + rnd.IntN(12) {
					key := fmt.Sprint(round, ".", i)
					n := rnd.IntN(100)
					p := planned{key: key}
					switch {
					case rnd.IntN(3) > 0 || len(free) == 0:
						writes = append(writes, func() error {
							_, err := r.h.Insert(ctx, account{ID: key, Email: key, N: n})
							return err
						})
						p.expect = func(err error) {
							if err == nil {
								want[key] = n
							}
						}
					case rnd.IntN(2) == 0:
						key, free = free[0], free[1:]
						p.key = key
						writes = append(writes, func() error { return r.h.Delete(ctx, key) })
						p.expect = func(err error) {
							if err == nil {
								delete(want, key)
							}
						}
					default:
						key, free = free[0], free[1:]
						p.key = key
						writes = append(writes, func() error {
							_, err := r.h.Patch(ctx, key, Fields{"n": n})
							return err
						})
						p.expect = func(err error) {
							if err == nil {
								want[key] = n
							}
						}
					}
					switch rnd.IntN(8) {
					case 0:
						times := rnd.IntN(3) // it may fail only when it is repeated
						r.plant(key, func() {
							if times--; times <= 0 {
								panic("planted")
							}
						})
					case 1:
						if !goexit && rnd.IntN(3) == 0 {
							goexit = true
							r.plant(key, runtime.Goexit)
						}
					}
					plans = append(plans, p)
				}
				for i, err := range r.group(writes...) {
					plans[i].expect(err)
				}
				want[fmt.Sprint("plug-", r.plugs)] = len(fmt.Sprint("plug-", r.plugs))
				got := map[string]int{}
				for a := range r.h.All() {
					got[a.ID] = a.N
				}
				require.Equal(t, want, got, "round %d", round)
				r.check()
			}
		})
	}
}

func TestPanicsOfUserCode(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	require.NoError(t, r.insert("a"))
	before, _ := r.h.Get("a")

	cause := errors.New("cause")
	for _, value := range []any{"text", cause} {
		_, err := r.h.Update(ctx, "a", func(a *account) error { a.N = 99; panic(value) })
		r.requirePanic(err, value)
		require.Equal(t, value == any(cause), errors.Is(err, cause))
	}
	_, err := r.h.Update(ctx, "a", func(a *account) error { a.N = 99; return cause })
	require.ErrorIs(t, err, cause)
	after, _ := r.h.Get("a")
	require.Equal(t, before, after)

	// A closure that writes itself, to the same record and in the same bucket: it
	// holds nothing.
	nested := 0
	a, err := r.h.Update(ctx, "a", func(a *account) error {
		if nested++; nested == 1 {
			if _, err := r.h.Patch(ctx, "a", Fields{"n": 5}); err != nil {
				return err
			}
		}
		a.N++
		return r.h.Delete(ctx, "nothing")
	})
	require.NoError(t, err)
	require.Equal(t, 6, a.N)
	require.Equal(t, 2, nested)

	boom := true
	dyn, err := r.st.DefineBucket(ctx, "defaults", Definition{Key: "id", Schema: Schema{
		"id": {Type: String},
		"d": {Type: Int, Default: func() any {
			if boom {
				panic("default")
			}
			return 7
		}},
	}})
	require.NoError(t, err)
	for range 2 {
		_, err = dyn.Insert(ctx, Fields{"id": "x"})
		var pe *PanicError
		require.ErrorAs(t, err, &pe)
		require.Equal(t, "default", pe.Value)
		_, err = dyn.InsertMany(ctx, []Fields{{"id": "y", "d": 1}, {"id": "x"}})
		require.ErrorAs(t, err, &pe)
		_, err = dyn.Upsert(ctx, Fields{"id": "x"})
		require.ErrorAs(t, err, &pe)
	}
	n, err := dyn.Count()
	require.NoError(t, err)
	require.Zero(t, n)
	boom = false
	rec, err := dyn.Insert(ctx, Fields{"id": "x"})
	require.NoError(t, err)
	require.Equal(t, int64(7), rec.Get("d"))
	require.Empty(t, r.errors(), "all of it was an error of the caller's")
	require.NoError(t, CheckTables(r.st))
}

type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (panickingHandler) Handle(context.Context, slog.Record) error { panic("the logger") }

func TestPanicOfOnErrorAndLogger(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	r.onErr = func(error) { panic("OnError itself") }
	calls := make(chan string, 10)
	_, err := r.st.On("bucket.accounts.inserted", func(e Event) {
		calls <- e.Key.String()
		panic("handler")
	})
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, r.insert(fmt.Sprint("a", i)))
		require.Equal(t, fmt.Sprint("a", i), <-calls)
	}
	require.NoError(t, r.st.Settle(ctx))
	require.Len(t, r.errors(), 3)
	r.plant("g", runtime.Goexit)
	require.Error(t, errors.Join(r.group(func() error { return r.insert("g") })...))
	until(t, "the restart", func() bool { return r.st.Stats().Restarts["accounts"] == 1 })
	require.NoError(t, errors.Join(r.group(func() error { return r.insert("h") })...), "the server came back although OnError panics")
	require.NoError(t, r.st.Settle(ctx))
	r.check()

	st, err := Open(ctx, Options{Logger: slog.New(panickingHandler{})})
	require.NoError(t, err)
	b, err := st.DefineBucket(ctx, "b", Definition{Key: "id", Schema: Schema{"id": {Type: Int}}})
	require.NoError(t, err)
	n := 0
	_, err = st.On("bucket.b.*", func(Event) { n++; panic("handler") })
	require.NoError(t, err)
	for i := range 3 {
		_, err = b.Insert(ctx, Fields{"id": i})
		require.NoError(t, err)
	}
	require.NoError(t, st.Close(ctx))
	require.Equal(t, 3, n)
}

func TestCancelledInTheQueue(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.insert("old"))
	plug, _, open := r.plug()
	ctx, cancel := context.WithCancel(context.Background())
	ws := r.queue(
		func() error { _, err := r.h.Insert(ctx, account{ID: "c0", Email: "c0"}); return err },
		func() error { _, err := r.h.InsertMany(ctx, []account{{ID: "c1", Email: "c1"}}); return err },
		func() error { return r.h.Delete(ctx, "old") },
		func() error { _, err := r.h.DeleteMany(ctx, Eq("id", "old")); return err },
		func() error { _, err := r.h.Patch(ctx, "old", Fields{"n": 99}); return err },
	)
	kept := begin(func() error { return r.insert("kept") })
	cancel()
	for _, w := range ws {
		require.ErrorIs(t, w.wait(t), context.Canceled)
	}
	require.Equal(t, Seq(1), r.st.Stats().Commits)
	open()
	require.NoError(t, plug.wait(t))
	require.NoError(t, kept.wait(t))
	require.False(t, r.has("c0") || r.has("c1"))
	require.True(t, r.has("old"))
	require.Equal(t, Seq(3), r.st.Stats().Commits)
	until(t, "an empty queue", func() bool { return r.st.Stats().QueueDepth.Total == 0 })
	r.check()
	require.NoError(t, r.insert("c0"), "its key and email are free")

	_, err := r.h.Insert(ctx, account{ID: "never", Email: "never"})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, r.has("never"))
}

// More writers than the queue has room for: the last of them are not even sent.
func TestCancelledBeforeTheQueue(t *testing.T) {
	r := newRig(t)
	plug, _, open := r.plug()
	var ws []*write
	for i := range groupMax {
		ws = append(ws, begin(func() error { return r.insert(fmt.Sprint("w", i)) }))
	}
	until(t, "a full queue", func() bool { return len(r.b.server.reqs) == groupMax })
	ctx, cancel := context.WithCancel(context.Background())
	late := begin(func() error {
		_, err := r.h.Insert(ctx, account{ID: "late", Email: "late"})
		return err
	})
	until(t, "the late one", func() bool { return r.st.Stats().QueueDepth.Total == groupMax+1 })
	cancel()
	require.ErrorIs(t, late.wait(t), context.Canceled)
	require.Equal(t, groupMax, r.st.Stats().QueueDepth.Total)
	open()
	require.NoError(t, plug.wait(t))
	for _, w := range ws {
		require.NoError(t, w.wait(t))
	}
	require.False(t, r.has("late"))
	require.Zero(t, r.st.Stats().QueueDepth.Total)
	r.check()
}

func TestCancelledAfterItWasTaken(t *testing.T) {
	r := newRig(t)
	entered, gate := make(chan struct{}), make(chan struct{})
	r.plant("taken", func() { close(entered); <-gate })
	ctx, cancel := context.WithCancel(context.Background())
	first, _, open := r.plug()
	ws := r.queue(func() error {
		_, err := r.h.Insert(ctx, account{ID: "taken", Email: "taken"})
		return err
	})
	open()
	require.NoError(t, first.wait(t))
	<-entered
	cancel()
	select {
	case <-ws[0].done:
		t.Fatal("it returned while it was applied")
	default:
	}
	close(gate)
	require.NoError(t, ws[0].wait(t))
	require.True(t, r.has("taken"))
	r.check()
}

func TestGroupCommit(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	require.NoError(t, r.insert("old"))
	plug, _, open := r.plug()
	const n = 100
	var base uint64
	r.plant("w0", func() { base = r.st.pins.Published() })
	during := map[uint64]bool{}
	var writes []func() error
	for i := range n {
		key := fmt.Sprint("w", i)
		if i > 0 {
			r.plant(key, func() { during[r.st.pins.Published()] = true })
		}
		writes = append(writes, func() error { return r.insert(key) })
	}
	// In their midst, some that change nothing take no sequence.
	writes = slices.Insert(writes, 50, func() error { return r.h.Delete(ctx, "nothing there") })
	ws := r.queue(writes...)
	seen := map[uint64]bool{}
	watching, stop := make(chan struct{}), make(chan struct{})
	watch := begin(func() error {
		close(watching)
		for {
			select {
			case <-stop:
				return nil
			default:
				seen[r.st.pins.Published()] = true
			}
		}
	})
	<-watching
	open()
	require.NoError(t, plug.wait(t))
	for _, w := range ws {
		require.NoError(t, w.wait(t))
	}
	close(stop)
	require.NoError(t, watch.wait(t))
	require.Equal(t, uint64(2), base)
	require.Equal(t, map[uint64]bool{base: true}, during, "nothing is published while the group is applied")
	delete(seen, 1) // before the plug
	delete(seen, base)
	delete(seen, base+n)
	require.Empty(t, seen, "one publication for all")
	r.check()
	r.eventMu.Lock()
	defer r.eventMu.Unlock()
	for i := range n {
		e := r.events[int(base)+i]
		require.Equal(t, fmt.Sprint("w", i), e.Key.String())
		require.Equal(t, Seq(int(base)+1+i), e.Seq, "dense, in the order of the queue")
	}
}

// Publishing comes after stamping: whoever sees the sequence sees all of its
// commit. The group makes the time between the two long enough to look.
func TestPublishedMeansStamped(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	const size = 2000
	for round := range 10 {
		batch := make([]account, size)
		for i := range batch {
			batch[i] = account{ID: fmt.Sprint(round, "-", i), Email: fmt.Sprint(round, "-", i), N: round}
		}
		published := r.st.pins.Published()
		var ready atomic.Bool
		looks := begin(func() error {
			ready.Store(true)
			for r.st.pins.Published() == published {
				runtime.Gosched()
			}
			s := r.st.Snapshot()
			defer s.Close()
			last, ok := r.h.In(s).Get(batch[size-1].ID)
			if !ok || last.N != round {
				return fmt.Errorf("round %d: sequence %d is published, its last record is not there", round, s.Seq())
			}
			return nil
		})
		until(t, "the reader", ready.Load)
		_, err := r.h.InsertMany(ctx, batch)
		require.NoError(t, err)
		require.NoError(t, looks.wait(t))
	}
}

// The event comes after the publication. A second, large commit in the group
// makes the time between the two long enough for the handler to look.
func TestAnnouncedMeansPublished(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	var early atomic.Int64
	_, err := r.st.On("bucket.accounts.inserted", func(e Event) {
		if Seq(r.st.pins.Published()) < e.Seq || !r.has(e.Key.String()) {
			early.Add(1)
		}
	})
	require.NoError(t, err)
	for round := range 10 {
		batch := make([]account, 5000)
		for i := range batch {
			batch[i] = account{ID: fmt.Sprint(round, "-", i), Email: fmt.Sprint(round, "-", i)}
		}
		errs := r.group(
			func() error { return r.insert(fmt.Sprint("first", round)) },
			func() error { _, err := r.h.InsertMany(ctx, batch); return err },
		)
		require.NoError(t, errors.Join(errs...))
		require.NoError(t, r.st.Settle(ctx))
	}
	require.Zero(t, early.Load(), "events of commits that were not visible")
}

func TestRefusedInTheMidstOfAGroup(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	require.NoError(t, r.insert("old"))
	require.NoError(t, r.insert("other"))
	var ue *UniqueError
	errs := r.group(
		func() error { return r.insert("a") },
		func() error { // its third record is refused by what stands before it in the group
			_, err := r.h.InsertMany(ctx, []account{{ID: "m1", Email: "m1"}, {ID: "m2", Email: "m2"}, {ID: "m3", Email: "a@x"}})
			return err
		},
		func() error { _, err := r.h.Insert(ctx, account{ID: "m1", Email: "free again"}); return err },
		func() error {
			_, err := r.h.Update(ctx, "other", func(a *account) error { a.Email = "old@x"; return nil })
			return err
		},
		func() error { return r.h.Delete(ctx, "old") },
		func() error { // now the value is free
			_, err := r.h.Update(ctx, "other", func(a *account) error { a.Email = "old@x"; return nil })
			return err
		},
		func() error { return r.insert("a") },
		func() error { return r.insert("b") },
	)
	for i, err := range errs {
		if i == 1 || i == 3 || i == 6 {
			require.ErrorAs(t, err, &ue, i)
			continue
		}
		require.NoError(t, err, i)
	}
	require.False(t, r.has("m2") || r.has("m3"))
	m1, _ := r.h.Get("m1")
	require.Equal(t, "free again", m1.Email)
	require.Equal(t, Seq(2+1+5), r.st.Stats().Commits)
	r.check()
}

// Whoever applies is alone, inline or as the server's goroutine. The counter is
// plain: the race detector sees two of them even where the test does not.
func TestOneWriterAtATime(t *testing.T) {
	st, err := Open(context.Background(), Options{Logger: quiet()})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close(context.Background())) }()
	h, err := Define[account](context.Background(), st, "accounts")
	require.NoError(t, err)
	inside, twice, applied := 0, 0, 0
	st.fault = func(*request) {
		if inside++; inside != 1 {
			twice++
		}
		if applied++; applied%7 == 0 {
			runtime.Gosched()
		}
		inside--
	}
	const workers, each = 8, 200
	var wg sync.WaitGroup
	var failed atomic.Int64
	for w := range workers {
		wg.Go(func() {
			ctx := context.Background()
			for i := range each {
				id := fmt.Sprint(w, ".", i)
				if _, err := h.Insert(ctx, account{ID: id, Email: id, N: w}); err != nil {
					failed.Add(1)
				}
				if i%50 == 0 {
					if _, err := h.UpdateMany(ctx, Fields{"n": 100}, Eq("n", w)); err != nil {
						failed.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, failed.Load())
	require.NoError(t, CheckTables(st))
	require.Zero(t, twice)
	require.GreaterOrEqual(t, applied, workers*each)
	n, err := h.Count()
	require.NoError(t, err)
	require.Equal(t, workers*each, n)
}

// Every queued write is applied and nil, or refused and not applied.
func TestDropAndCloseWithAQueue(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(*Store) error
		want error
	}{
		"drop":  {func(st *Store) error { return st.DropBucket(context.Background(), "accounts") }, ErrBucketNotDefined},
		"close": {func(st *Store) error { return st.Close(context.Background()) }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				r := newRig(t)
				plug, key, open := r.plug()
				var ws []*write
				const n = 20
				for i := range n {
					ws = append(ws, begin(func() error { return r.insert(fmt.Sprint("w", i)) }))
				}
				if round%2 == 0 { // else they may come before, during or after
					until(t, "the queue", func() bool { return len(r.b.server.reqs) == n })
				}
				ended := begin(func() error { return end.do(r.st) })
				if round%4 < 2 {
					until(t, "the end's begin", func() bool { return r.st.closed.Load() || r.b.ending.Load() })
				}
				open()
				require.NoError(t, plug.wait(t), "it was taken: it completes")
				require.NotNil(t, r.b.lookup(key))
				applied := 1
				for i, w := range ws {
					err := w.wait(t)
					if err != nil {
						require.ErrorIs(t, err, end.want)
					} else {
						applied++
					}
					require.Equal(t, err == nil, r.b.lookup(fmt.Sprint("w", i)) != nil)
				}
				require.NoError(t, ended.wait(t))
				require.ErrorIs(t, r.insert("later"), end.want)
				require.NoError(t, r.b.check())
				require.NoError(t, r.st.Close(context.Background()))
				r.eventMu.Lock()
				require.Len(t, r.events, applied, "one event for each that was applied")
				r.eventMu.Unlock()
			}
		})
	}
}

// A panic in the attempt of a write over a query that has become the writer
// itself gives the bucket back.
func TestPanicInExclusiveWrite(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	for i := range 3 {
		require.NoError(t, r.insert(fmt.Sprint("a", i)))
	}
	r.plant("a0", func() { panic("exclusive") })
	var p plan
	err := r.b.compile(&p, nil, nil)
	require.NoError(t, err)
	remove := func(old *table.Version) (step, error) {
		return step{op: opRemove, expect: old, text: r.b.shape.keyOf(old).text}, nil
	}
	_, err = r.b.tryMany(ctx, &p, true, remove)
	r.requirePanic(err, "exclusive")
	require.Equal(t, 3, r.st.Stats().Records.Total)
	r.plant("a0", nil)
	n, err := r.b.tryMany(ctx, &p, true, remove)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	r.check()
}
