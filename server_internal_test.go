package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// These tests plant panics, and the death of the goroutine, in a bucket's writer.

type item struct {
	ID   string `store:"id,key"`
	Name string `store:"name,unique,omitzero"`
	Tag  string `store:"tag,index"`
	N    int    `store:"n,index"`
	Meta
}

// faulty is a store whose next write is blocked until release, so that the
// others queue behind it, and where keys can be made to panic or to kill.
type faulty struct {
	t       *testing.T
	st      *Store
	items   *TypedBucket[item]
	blocked chan struct{}
	open    chan struct{}

	mu    sync.Mutex
	block bool
	times map[string]int // key → how often its write panics
	kill  map[string]int // key → how often its write ends the goroutine
}

func openFaulty(t *testing.T) *faulty {
	st, err := Open(context.Background(), Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	f := &faulty{t: t, st: st, times: map[string]int{}, kill: map[string]int{}}
	st.fault = f.fault
	t.Cleanup(func() { require.NoError(t, st.Close(context.Background())) })
	f.items, err = Define[item](context.Background(), st, "items")
	require.NoError(t, err)
	return f
}

func (f *faulty) fault(r *request) {
	key := r.text
	if r.v != nil {
		key = f.items.home.of(nil).shape.keyOf(r.v).String()
	}
	f.mu.Lock()
	wait := f.block
	f.block = false
	boom, die := f.times[key] > 0, f.kill[key] > 0
	if boom {
		f.times[key]--
	}
	if die {
		f.kill[key]--
	}
	f.mu.Unlock()
	if wait {
		close(f.blocked)
		<-f.open
	}
	if boom {
		panic("planted")
	}
	if die {
		runtime.Goexit()
	}
}

// hold blocks the bucket by a write of its own. release lets go and returns when
// that write is through.
func (f *faulty) hold(key string) (release func()) {
	f.blocked, f.open = make(chan struct{}), make(chan struct{})
	f.mu.Lock()
	f.block = true
	f.mu.Unlock()
	s := f.items.home.of(nil).server
	s.mu.Lock() // so that it is the goroutine that gets blocked: it takes no others then
	done := make(chan error)
	go func() {
		_, err := f.items.Upsert(context.Background(), item{ID: key})
		done <- err
	}()
	f.until(func() bool { return s.queued.Load() == 1 })
	s.mu.Unlock()
	<-f.blocked
	return func() {
		close(f.open)
		require.NoError(f.t, <-done)
	}
}

func (f *faulty) until(cond func() bool) {
	f.t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		require.True(f.t, time.Now().Before(end))
	}
}

// queue starts writes one after the other, so that they queue in this order, and
// returns their results by position when all are through.
func (f *faulty) queue(writes ...func() error) (wait func() []error) {
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	s := f.items.home.of(nil).server
	for i, write := range writes {
		wg.Go(func() { errs[i] = write() })
		f.until(func() bool { return len(s.reqs) == i+1 })
	}
	return func() []error {
		wg.Wait()
		return errs
	}
}

func (f *faulty) insert(it item) func() error {
	return func() error {
		_, err := f.items.Insert(context.Background(), it)
		return err
	}
}

func (f *faulty) delete(key string) func() error {
	return func() error { return f.items.Delete(context.Background(), key) }
}

func (f *faulty) check() {
	f.t.Helper()
	require.NoError(f.t, f.items.home.of(nil).check())
}

func isPanic(err error) bool {
	var pe *PanicError
	return errors.As(err, &pe)
}

func TestPanicInline(t *testing.T) {
	ctx := context.Background()
	f := openFaulty(t)
	_, err := f.items.Insert(ctx, item{ID: "a", Name: "x", Tag: "t"})
	require.NoError(t, err)
	for _, key := range []string{"a", "b"} {
		f.times[key] = 1
		_, err = f.items.Upsert(ctx, item{ID: key, Name: "y", Tag: "u"})
		require.True(t, isPanic(err), "%v", err)
		f.check()
		a, ok := f.items.Get("a")
		require.True(t, ok)
		require.Equal(t, "x", a.Name)
		n, err := f.items.Count()
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	_, err = f.items.Upsert(ctx, item{ID: "b", Name: "y", Tag: "u"})
	require.NoError(t, err)
	_, err = f.items.Upsert(ctx, item{ID: "a", Name: "z", Tag: "u"})
	require.NoError(t, err)
	n, err := f.items.Count(Eq("tag", "u"))
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Empty(t, f.st.Stats().Restarts)
	f.check()
}

// TestGoexitInline: the caller's goroutine ends in the midst of its own write.
func TestGoexitInline(t *testing.T) {
	f := openFaulty(t)
	f.kill["a"] = 1
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.insert(item{ID: "a"})()
		panic("not reached")
	}()
	<-done
	require.NoError(t, f.insert(item{ID: "a"})())
	f.check()
}

// TestPanicInGroup: one request of a group panics, early, in the middle, late or
// more than one, and all others succeed.
func TestPanicInGroup(t *testing.T) {
	const n = 9
	for _, bad := range [][]int{{0}, {4}, {n - 1}, {1, 5}, {0, 1, 2}, {7, 8}} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			f := openFaulty(t)
			var events []Event
			_, err := f.st.On("bucket.items.*", func(e Event) { events = append(events, e) })
			require.NoError(t, err)
			require.NoError(t, f.insert(item{ID: "gone", Name: "free", Tag: "t"})())
			for _, i := range bad {
				f.times[fmt.Sprint(i)] = 1
			}
			release := f.hold("first")
			writes := []func() error{f.delete("gone")}
			for i := range n {
				writes = append(writes, f.insert(item{ID: fmt.Sprint(i), Name: fmt.Sprint("name", i), Tag: "t", N: i}))
			}
			// It takes the name that the delete gives free, also when it starts again.
			writes = append(writes, f.insert(item{ID: "heir", Name: "free", Tag: "t"}))
			wait := f.queue(writes...)
			release()
			for i, err := range wait() {
				if slices.Contains(bad, i-1) {
					require.True(t, isPanic(err), "%v", err)
					_, ok := f.items.Get(fmt.Sprint(i - 1))
					require.False(t, ok)
				} else {
					require.NoError(t, err, "write %d", i)
				}
			}
			f.check()
			count, err := f.items.Count(Eq("tag", "t"))
			require.NoError(t, err)
			require.Equal(t, n-len(bad)+1, count)
			require.NoError(t, f.st.Settle(context.Background()))
			// gone twice, first, the others once each; nothing of what panicked
			require.Len(t, events, 2+1+n-len(bad)+1)
			for i, e := range events {
				require.Equal(t, Seq(i+1), e.Seq)
			}
			require.Empty(t, f.st.Stats().Restarts)
			for _, i := range bad {
				require.NoError(t, f.insert(item{ID: fmt.Sprint(i), Name: fmt.Sprint("name", i)})())
			}
			f.check()
		})
	}
}

// TestServerDies: the goroutine is killed, with writes in its hands and others in
// the queue.
func TestServerDies(t *testing.T) {
	ctx := context.Background()
	f := openFaulty(t)
	acked := map[string]item{}
	for i := range 30 {
		it := item{ID: fmt.Sprint("old", i), Name: fmt.Sprint("n", i), Tag: fmt.Sprint("t", i%3), N: i % 5}
		require.NoError(t, f.insert(it)())
		acked[it.ID] = it
	}
	snap := f.st.Snapshot()
	defer snap.Close()
	for round := range 5 {
		dies := fmt.Sprint("dies", round)
		f.mu.Lock()
		f.kill[dies] = 1
		f.mu.Unlock()
		release := f.hold("first")
		var its []item
		var writes []func() error
		for i := range 12 {
			it := item{ID: fmt.Sprint("new", round, "-", i), Tag: "t1", N: i}
			if i == 3+round {
				it.ID = dies
			}
			its = append(its, it)
			writes = append(writes, f.insert(it))
		}
		wait := f.queue(writes...)
		release()
		for i, err := range wait() {
			if err == nil {
				acked[its[i].ID] = its[i]
			} else {
				require.True(t, isPanic(err), "%v", err)
			}
		}
		require.Equal(t, int64(round+1), f.st.Stats().Restarts["items"])
		f.check()
		for id, want := range acked {
			got, ok := f.items.Get(id)
			require.True(t, ok, "acknowledged and lost: %s", id)
			want.Meta = got.Meta
			require.Equal(t, want, got)
		}
		count, err := f.items.Count()
		require.NoError(t, err)
		require.Equal(t, len(acked)+1, count) // and "first"
		n, err := f.items.Count(Eq("tag", "t1"))
		require.NoError(t, err)
		all, err := f.items.Where(Eq("tag", "t1")).All()
		require.NoError(t, err)
		require.Len(t, all, n)
		// Later writes, inline and through the new goroutine.
		require.NoError(t, f.insert(item{ID: dies, Tag: "late"})())
		acked[dies] = item{ID: dies, Tag: "late"}
		release = f.hold("first")
		wait = f.queue(f.insert(item{ID: fmt.Sprint("later", round)}), f.delete("old1"))
		release()
		require.Equal(t, []error{nil, nil}, wait())
		acked[fmt.Sprint("later", round)] = item{ID: fmt.Sprint("later", round)}
		delete(acked, "old1")
	}
	n, err := f.items.In(snap).Count()
	require.NoError(t, err)
	require.Equal(t, 30, n)
	require.NoError(t, f.st.Close(ctx), "the new goroutine must end too")
}

// TestServerDiesWhileClosing: a death after Close has begun leaves nobody waiting.
func TestServerDiesWhileClosing(t *testing.T) {
	f := openFaulty(t)
	f.kill["dies"] = 1
	release := f.hold("first")
	wait := f.queue(f.insert(item{ID: "a"}), f.insert(item{ID: "dies"}), f.insert(item{ID: "b"}))
	closed := make(chan error)
	go func() { closed <- f.st.Close(context.Background()) }()
	release()
	require.NoError(t, <-closed)
	for i, err := range wait() {
		if _, ok := f.items.Get([]string{"a", "dies", "b"}[i]); ok {
			// A write may have been published before the goroutine died, but an
			// acknowledged one must be there.
			continue
		}
		require.Error(t, err)
	}
	require.NoError(t, f.items.home.of(nil).table.Check())
}

// TestGroupModel compares groups of writes, which one publication covers, with an
// oracle that carries them out one after the other in the order of the queue.
//
//	STORE_SEED=123 go test -run TestGroupModel .
func TestGroupModel(t *testing.T) {
	seed := rand.Uint64() >> 16
	if s := os.Getenv("STORE_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("STORE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	f := openFaulty(t)
	var mu sync.Mutex
	var events []Event
	_, err := f.st.On("bucket.items.*", func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	})
	require.NoError(t, err)
	state, order := map[string]item{}, []string{}
	seq, want := Seq(0), 0
	remove := func(id string) {
		delete(state, id)
		order = slices.DeleteFunc(order, func(o string) bool { return o == id })
	}
	fits := func(it item) bool {
		_, dup := state[it.ID]
		for _, o := range state {
			dup = dup || it.Name != "" && o.Name == it.Name
		}
		return !dup
	}
	add := func(it item) {
		state[it.ID] = it
		order = append(order, it.ID)
	}
	type held struct {
		snap  *Snapshot
		state map[string]item
		order []string
	}
	var snaps []held
	for range 60 {
		release := f.hold("first")
		if _, ok := state["first"]; !ok {
			add(item{ID: "first"})
		} else {
			state["first"] = item{ID: "first"}
		}
		seq++
		want++
		var writes []func() error
		var expect []bool
		random := func() item {
			return item{
				ID: fmt.Sprint(r.IntN(8)), Tag: fmt.Sprint("t", r.IntN(3)), N: r.IntN(4),
				Name: []string{"", "x", "y", "z"}[r.IntN(4)],
			}
		}
		for range 1 + r.IntN(12) {
			switch r.IntN(5) {
			case 0, 1:
				it := random()
				writes = append(writes, f.insert(it))
				expect = append(expect, fits(it))
				if fits(it) {
					add(it)
					seq++
					want++
				}
			case 2, 3:
				id := fmt.Sprint(r.IntN(8))
				writes = append(writes, f.delete(id))
				expect = append(expect, true)
				if _, ok := state[id]; ok {
					remove(id)
					seq++
					want++
				}
			case 4:
				its := []item{random(), random(), random()}
				writes = append(writes, func() error {
					_, err := f.items.InsertMany(context.Background(), its)
					return err
				})
				ok, done := true, 0
				for _, it := range its {
					if ok = fits(it); !ok {
						break
					}
					add(it)
					done++
				}
				if !ok {
					for _, it := range its[:done] {
						remove(it.ID)
					}
				} else {
					seq++
					want += len(its)
				}
				expect = append(expect, ok)
			}
		}
		wait := f.queue(writes...)
		release()
		for i, err := range wait() {
			require.Equal(t, expect[i], err == nil, "write %d: %v", i, err)
		}
		f.check()
		require.Equal(t, seq, f.st.Stats().Commits)
		same := func(b *TypedBucket[item], state map[string]item, order []string) {
			var ids []string
			for it := range b.All() {
				ids = append(ids, it.ID)
				it.Meta = Meta{}
				require.Equal(t, state[it.ID], it)
			}
			require.Equal(t, order, ids)
			for tag := range 3 {
				n := 0
				for _, it := range state {
					if it.Tag == fmt.Sprint("t", tag) {
						n++
					}
				}
				got, err := b.Count(Eq("tag", fmt.Sprint("t", tag)))
				require.NoError(t, err)
				require.Equal(t, n, got)
			}
			for i := range 8 {
				_, ok := b.Get(fmt.Sprint(i))
				_, there := state[fmt.Sprint(i)]
				require.Equal(t, there, ok)
			}
		}
		same(f.items, state, order)
		for _, h := range snaps {
			same(f.items.In(h.snap), h.state, h.order)
		}
		switch {
		case len(snaps) < 3:
			kept := map[string]item{}
			maps.Copy(kept, state)
			snaps = append(snaps, held{f.st.Snapshot(), kept, slices.Clone(order)})
		case r.IntN(3) == 0:
			i := r.IntN(len(snaps))
			snaps[i].snap.Close()
			snaps = slices.Delete(snaps, i, i+1)
		}
	}
	require.NoError(t, f.st.Settle(context.Background()))
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, events, want)
	for i := 1; i < len(events); i++ {
		require.LessOrEqual(t, events[i-1].Seq, events[i].Seq)
	}
	for _, h := range snaps {
		h.snap.Close()
	}
}

// TestUserPanics: a panic of the caller's own code comes back to the caller, from
// wherever it runs, and the bucket goes on.
func TestUserPanics(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close(ctx)) }()
	boom := true
	b, err := st.DefineBucket(ctx, "b", Definition{Key: "id", Schema: Schema{
		"id": {Type: Int},
		"x": {Type: String, Default: func() any {
			if boom {
				panic(context.Canceled)
			}
			return "fine"
		}},
	}})
	require.NoError(t, err)
	_, err = b.Insert(ctx, Fields{"id": 1})
	require.True(t, isPanic(err), "%v", err)
	require.ErrorIs(t, err, context.Canceled, "a panic with an error can be asked for")
	_, err = b.InsertMany(ctx, []Fields{{"id": 1, "x": "given"}, {"id": 2}})
	require.True(t, isPanic(err), "%v", err)
	_, err = b.Upsert(ctx, Fields{"id": 1})
	require.True(t, isPanic(err), "%v", err)
	n, err := b.Count()
	require.NoError(t, err)
	require.Zero(t, n)
	boom = false
	_, err = b.Insert(ctx, Fields{"id": 1})
	require.NoError(t, err)

	type view struct {
		ID int    `store:"id,key"`
		X  string `store:"x"`
	}
	typed, err := Typed[view](st, "b")
	require.NoError(t, err)
	_, err = typed.Update(ctx, 1, func(v *view) error {
		v.X = "never"
		panic("closure")
	})
	require.True(t, isPanic(err), "%v", err)
	r, ok := b.Get(1)
	require.True(t, ok)
	require.Equal(t, "fine", r.Get("x"))
	require.Equal(t, Version(1), r.Version())
	// A closure that ends its goroutine leaves the bucket usable.
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = typed.Update(ctx, 1, func(*view) error { runtime.Goexit(); return nil })
	}()
	<-done
	_, err = typed.Update(ctx, 1, func(v *view) error { v.X = "again"; return nil })
	require.NoError(t, err)
	require.NoError(t, b.home.of(nil).check())
}
