package store_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// What the tests of the log's failures and of its turns have in common.

// openLogged opens a store over a log. Its close at the end of the test may fail,
// as that of a store whose log has failed does, but comes back.
func openLogged(t *testing.T, opt store.Options) *store.Store {
	t.Helper()
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := store.Open(bg, opt)
	require.NoError(t, err)
	t.Cleanup(func() { closeLogged(t, s) })
	return s
}

func closeLogged(t *testing.T, s *store.Store) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 10*time.Second)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- s.Close(ctx) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(2 * time.Second):
		require.FailNow(t, "it does not close")
		return nil
	}
}

// reopen closes a store, if there is one, and opens another one over its log.
func reopen(t *testing.T, s *store.Store, log *testLog) *store.Store {
	t.Helper()
	if s != nil {
		require.NoError(t, s.Close(bg))
	}
	return openLogged(t, persistent(log))
}

// logGate holds appends up, from shut until open.
type logGate struct {
	mu     sync.Mutex // protects wait
	wait   chan struct{}
	inside atomic.Int64 // appends that wait, or waited
}

func (g *logGate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wait = make(chan struct{})
}

func (g *logGate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wait != nil {
		close(g.wait)
		g.wait = nil
	}
}

// pass is a testLog's onAppend.
func (g *logGate) pass([][]byte) error {
	g.mu.Lock()
	wait := g.wait
	g.mu.Unlock()
	if wait != nil {
		g.inside.Add(1)
		<-wait
	}
	return nil
}

// blocked waits until n appends have come to a shut gate.
func (g *logGate) blocked(t *testing.T, n int64) {
	t.Helper()
	until(t, "an append that is held up", func() bool { return g.inside.Load() >= n })
}

// inTime runs fn, which must come back.
func inTime(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		require.FailNow(t, "it hangs: "+what)
	}
}

// settled gives other goroutines the time to come to where they wait: no test may
// fail for want of it, only find less.
func settled() { time.Sleep(3 * time.Millisecond) }

// parseLog parses what a log has: its snapshot, and the entries behind it.
func parseLog(t *testing.T, l *testLog) (list []*logentry.Entry) {
	t.Helper()
	require.NoError(t, l.Load(bg, func(e store.LogEntry) error {
		x, err := logentry.Parse(e.Data)
		list = append(list, x)
		return err
	}))
	return list
}

func numbersDefinition() store.Definition {
	return store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}}
}

func numberOf(t *testing.T, b *store.Bucket, id int) any {
	t.Helper()
	r, ok := b.Get(id)
	if !ok {
		return nil
	}
	return r.Get("n")
}
