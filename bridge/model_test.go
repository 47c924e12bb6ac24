package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
)

// model is what a bridge does, in slices: the event that the receiver has, those
// behind it, what it got, and the figures.
type model struct {
	buffer   int
	overflow bridge.Overflow
	has      []string // at most one
	waits    []string
	got      []string
	stats    bridge.Stats
	reported int64 // dropped events that OnError heard of
	untold   int64
	full     bool
}

func (m *model) event(e string) {
	if len(m.waits) < m.buffer {
		m.waits = append(m.waits, e)
	} else {
		m.stats.Dropped++
		if m.overflow == bridge.DropOldest {
			m.waits = append(m.waits[1:], e)
		}
		if m.full {
			m.untold++
		} else {
			m.full = true
			m.reported++
		}
	}
	m.advance()
}

// advance gives the receiver the next event if it has none.
func (m *model) advance() {
	if len(m.has) > 0 {
		return
	}
	if len(m.waits) <= m.buffer/2 {
		m.reported += m.untold
		m.untold, m.full = 0, false
	}
	if len(m.waits) > 0 {
		m.has, m.waits = m.waits[:1:1], m.waits[1:]
		m.got = append(m.got, m.has[0])
	}
}

// TestAgainstModel: random commits, and a receiver that goes on when it is told to,
// and how: each order, each figure and each report has one right value.
func TestAgainstModel(t *testing.T) {
	rnd := random(t)
	for range 40 {
		r := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		synctest.Test(t, func(t *testing.T) { runModel(t, r) })
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	ctx := t.Context()
	s, buckets := newStore(t, store.Options{}, "a", "b", "other")
	m := &model{buffer: 1 + r.IntN(20), overflow: bridge.Overflow(r.IntN(2))}
	next := make(chan func() error)
	rec := &collector{act: func(context.Context, int) error { return (<-next)() }}
	var heard reports
	b := forward(t, s, rec, bridge.Options{
		Buffer: m.buffer, Overflow: m.overflow, OnError: heard.add,
		Filter: func(e store.Event) bool { return e.Bucket != "other" },
	})
	step := func() {
		synctest.Wait()
		m.stats.Queued = len(m.has) + len(m.waits)
		require.Equal(t, m.stats, b.Stats())
		require.Equal(t, m.got, rec.list())
		var dropped int64
		failed := 0
		for _, err := range heard.list() {
			if o := (*bridge.OverflowError)(nil); errors.As(err, &o) {
				dropped += o.Dropped
			} else {
				failed++
			}
		}
		require.Equal(t, m.reported, dropped)
		require.EqualValues(t, m.stats.Failed+m.stats.Panicked, failed)
	}
	finish := func() {
		switch r.IntN(6) {
		case 0:
			m.stats.Failed++
			next <- func() error { return errors.New("no") }
		case 1:
			m.stats.Panicked++
			next <- func() error { panic("no") }
		case 2:
			m.stats.Panicked++
			next <- func() error { runtime.Goexit(); return nil }
		default:
			m.stats.Forwarded++
			next <- func() error { return nil }
		}
		m.has = nil
		m.advance()
	}
	for id, seq := 0, 0; id < 300; {
		switch n := r.IntN(10); {
		case n < 6: // a commit of one record, the bridge at rest between commits
			name := []string{"a", "b", "other"}[r.IntN(3)]
			insert(t, buckets[name], id)
			seq++
			if name == "other" {
				m.stats.Filtered++
			} else {
				m.event(fmt.Sprintf("%d bucket.%s.inserted %d", seq, name, id))
			}
			id++
		case len(m.has) > 0:
			finish()
		}
		step()
	}
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop(ctx) }()
	for len(m.has) > 0 {
		step()
		finish()
	}
	require.NoError(t, <-stopped)
	step()
	require.EqualValues(t, 300, all(b.Stats()))
	require.Equal(t, b.Stats().Dropped, m.reported)
}

// TestStorm: many writers, a receiver that goes wrong at random: what it gets is in
// the order of commits, and nothing is unaccounted for.
func TestStorm(t *testing.T) {
	r := random(t)
	s, buckets := newStore(t, store.Options{EventBuffer: 1 << 16}, "a", "b")
	var last store.Seq
	b := forward(t, s, eventFunc(func(_ context.Context, _ string, e store.Event) error {
		if e.Seq < last {
			t.Errorf("commit %d after %d", e.Seq, last)
		}
		last = e.Seq
		switch e.Seq % 50 {
		case 0:
			return errors.New("no")
		case 1:
			panic("no")
		case 2:
			runtime.Goexit()
		}
		return nil
	}), bridge.Options{Buffer: 1 + r.IntN(100), Overflow: bridge.Overflow(r.IntN(2))})
	const writers, each = 4, 500
	done := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range each {
				bucket := buckets["a"]
				if i%3 == 0 {
					bucket = buckets["b"]
				}
				if _, err := bucket.Insert(context.Background(), store.Fields{"id": w*each + i}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		require.NoError(t, <-done)
	}
	require.NoError(t, b.Stop(t.Context()))
	stats := b.Stats()
	require.Zero(t, stats.Missed)
	require.EqualValues(t, writers*each, all(stats))
	require.Zero(t, stats.Queued)
}
