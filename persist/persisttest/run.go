package persisttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Run tests the rules of [store.Log]. fresh returns an adapter with an empty log; each
// OpenLog of one adapter opens the same log again.
func Run(t *testing.T, fresh func(t *testing.T) store.Adapter, o Options) {
	compact := false
	t.Run("a new log is empty", func(t *testing.T) { compact = testNew(newRig(t, fresh, o)) })
	for _, c := range []struct {
		name    string
		entries bool // tests what a Compact log need not have
		run     func(g *rig)
	}{
		{"what is appended is loaded, now and after reopening", false, testRoundTrip},
		{"entries are copied", false, testCopies},
		{"an append behind another position is refused", false, testConflict},
		{"an append of nothing does nothing", false, testNothing},
		{"one opener at a time", false, testLock},
		{"the error of Load's fn ends it", false, testLoadError},
		{"a context that has ended", false, testContexts},
		{"Close", false, testClose},
		{"a snapshot takes the place of entries", true, testSnapshot},
		{"a snapshot before the last entry", true, testSnapshotBefore},
		{"appends go on during a snapshot", true, testSnapshotBeside},
		{"a snapshot that fails changes nothing", true, testSnapshotFails},
		{"Follow from any position", true, testFollow},
		{"Follow past a snapshot", true, testFollowSnapshot},
		{"Follow ends", true, testFollowEnds},
		{"everything at the same time", true, testTogether},
		{"a random program", false, testModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.entries && compact {
				t.Skip("the log is compact")
			}
			c.run(newRig(t, fresh, o))
		})
	}
}

// rig is a log under test, and what it must have.
type rig struct {
	*testing.T
	o   Options
	ctx context.Context
	a   store.Adapter
	l   store.Log
	r   *rand.Rand
	h   *history
}

func newRig(t *testing.T, fresh func(t *testing.T) store.Adapter, o Options) *rig {
	g := &rig{T: t, o: o, ctx: t.Context(), a: fresh(t), r: random(1), h: newHistory()}
	g.open()
	t.Cleanup(func() { _ = g.l.Close() })
	return g
}

func (g *rig) open() {
	g.Helper()
	l, err := g.a.OpenLog(g.ctx)
	require.NoError(g, err)
	g.l = l
}

func (g *rig) reopen() {
	g.Helper()
	require.NoError(g, g.l.Close())
	g.open()
	require.True(g, g.l.Info().Recovery.Clean)
	require.Zero(g, g.l.Info().Recovery.TornBytes)
}

func (g *rig) last() store.Position { return store.Position(len(g.h.all)) }

// append appends entries of some sizes as one group.
func (g *rig) append(sizes ...int) {
	g.Helper()
	entries := make([][]byte, len(sizes))
	for i, n := range sizes {
		entries[i] = g.o.entry(g.r, n)
	}
	require.NoError(g, g.l.Append(g.ctx, g.last(), entries))
	g.h.add(entries)
	require.Equal(g, g.last(), g.l.Info().Last)
}

// check wants exactly what was appended.
func (g *rig) check() {
	g.Helper()
	got, err := load(g.l)
	require.NoError(g, err)
	if g.o.State != nil {
		require.Equal(g, g.o.State(g.h.all), g.o.State(got.entries))
		return
	}
	require.NoError(g, g.h.check(got, len(g.h.all)))
	if !got.info.Compact {
		bytes := int64(0)
		for _, e := range got.entries {
			bytes += int64(len(e))
		}
		require.GreaterOrEqual(g, got.info.Tail, bytes)
		require.True(g, len(got.entries) > 0 || got.info.Tail == 0)
		require.GreaterOrEqual(g, got.info.Bytes, got.info.Tail)
	}
}

func testNew(g *rig) (compact bool) {
	info := g.l.Info()
	require.Zero(g, info.Last)
	require.Zero(g, info.Snapshot)
	require.Zero(g, info.Tail)
	require.Positive(g, info.MaxEntry)
	require.Equal(g, store.Recovery{Clean: true}, info.Recovery)
	g.check()
	g.reopen()
	g.check()
	return info.Compact
}

func testRoundTrip(g *rig) {
	sizes := []int{0, 1, 31, 100, 511, 512, 4096, 70_000, 300_000, 1 << 20}
	for _, n := range sizes {
		g.append(n)
	}
	g.append(sizes...)
	g.append(0, 0, 0)
	g.check()
	require.NoError(g, g.l.Sync(g.ctx))
	g.reopen()
	g.check()
	g.append(5)
	g.reopen()
	g.reopen()
	g.append(6)
	g.check()
}

func testCopies(g *rig) {
	e := g.o.entry(g.r, 100)
	want := append([]byte(nil), e...)
	require.NoError(g, g.l.Append(g.ctx, 0, [][]byte{e}))
	clear(e)
	g.h.add([][]byte{want})
	g.check()
	if g.o.State != nil {
		return
	}
	require.NoError(g, g.l.Load(g.ctx, func(e store.LogEntry) error {
		_ = append(e.Data, "behind its end"...)
		return nil
	}))
	g.check()
}

func testConflict(g *rig) {
	e := [][]byte{g.o.entry(g.r, 10)}
	require.ErrorIs(g, g.l.Append(g.ctx, 1, e), store.ErrLogConflict)
	g.append(10)
	g.append(10, 11)
	for _, after := range []store.Position{0, 2, 4, 1 << 40} {
		require.ErrorIs(g, g.l.Append(g.ctx, after, e), store.ErrLogConflict)
	}
	g.check()
	g.append(12) // it goes on
	g.reopen()
	require.ErrorIs(g, g.l.Append(g.ctx, 3, e), store.ErrLogConflict)
	g.check()
}

func testNothing(g *rig) {
	require.NoError(g, g.l.Sync(g.ctx))
	require.NoError(g, g.l.Append(g.ctx, 0, nil))
	g.append(1)
	require.NoError(g, g.l.Append(g.ctx, 1, [][]byte{}))
	require.NoError(g, g.l.Sync(g.ctx))
	require.NoError(g, g.l.Sync(g.ctx))
	g.check()
}

func testLock(g *rig) {
	g.append(1)
	for range 2 {
		_, err := g.a.OpenLog(g.ctx)
		require.ErrorIs(g, err, store.ErrLocked)
	}
	g.append(2) // nothing happened to it
	g.check()
	g.reopen()
	g.check()
}

func testLoadError(g *rig) {
	g.append(10)
	g.append(11, 12)
	failed := errors.New("enough")
	calls := 0
	require.ErrorIs(g, g.l.Load(g.ctx, func(store.LogEntry) error {
		calls++
		return failed
	}), failed)
	require.Equal(g, 1, calls)
	g.check()
}

func testContexts(g *rig) {
	g.append(10)
	ctx, cancel := context.WithCancel(g.ctx)
	require.NoError(g, g.l.Append(ctx, 1, [][]byte{}))
	cancel()
	require.ErrorIs(g, g.l.Append(ctx, 1, [][]byte{g.o.entry(g.r, 10)}), context.Canceled)
	require.ErrorIs(g, g.l.Sync(ctx), context.Canceled)
	require.ErrorIs(g, g.l.Load(ctx, func(store.LogEntry) error { return errors.New("called") }), context.Canceled)
	if !g.l.Info().Compact {
		require.ErrorIs(g, g.l.Snapshot(ctx, 1, putParts(1)), context.Canceled)
	}
	g.append(10) // what was refused before it began is no failure of the log
	require.NoError(g, g.l.Sync(g.ctx))
	g.check()
	require.NoError(g, g.l.Close())
	_, err := g.a.OpenLog(ctx)
	require.ErrorIs(g, err, context.Canceled)
	g.open()
	g.check()
}

func testClose(g *rig) {
	g.append(10)
	require.NoError(g, g.l.Close())
	require.NoError(g, g.l.Close())
	require.Error(g, g.l.Append(g.ctx, 1, [][]byte{g.o.entry(g.r, 10)}))
	require.Error(g, g.l.Sync(g.ctx))
	require.Error(g, g.l.Load(g.ctx, func(store.LogEntry) error { return nil }))
	require.Error(g, g.l.Snapshot(g.ctx, 1, putParts(1)))
	for _, err := range g.l.Follow(g.ctx, 0) {
		require.Error(g, err)
	}
	_ = g.l.Info()
	old := g.l
	g.open()
	require.NoError(g, old.Close(), "it is not this one's lock any more")
	_, err := g.a.OpenLog(g.ctx)
	require.ErrorIs(g, err, store.ErrLocked)
	g.check()
}

func testModel(g *rig) {
	g.r = random(seed(g))
	for range steps(g, 400) {
		switch n := g.r.IntN(20); {
		case n < 9:
			g.append(g.size())
		case n < 13:
			sizes := make([]int, 1+g.r.IntN(6))
			for i := range sizes {
				sizes[i] = g.size()
			}
			g.append(sizes...)
		case n < 15:
			require.NoError(g, g.l.Sync(g.ctx))
		case n == 15:
			require.ErrorIs(g, g.l.Append(g.ctx, g.last()+1, [][]byte{g.o.entry(g.r, 5)}), store.ErrLogConflict)
		case n == 16 && !g.l.Info().Compact:
			from := g.l.Info().Snapshot
			at := from + store.Position(g.r.IntN(int(g.last()-from)+1))
			require.NoError(g, g.l.Snapshot(g.ctx, at, putParts(at)))
			require.Equal(g, at, g.l.Info().Snapshot)
		case n == 17:
			g.reopen()
		case n == 18:
			g.check()
		}
	}
	g.reopen()
	g.check()
}

// size is mostly small, sometimes nothing, and sometimes more than a buffer.
func (g *rig) size() int {
	switch g.r.IntN(12) {
	case 0:
		return 0
	case 1:
		return g.r.IntN(30_000)
	default:
		return g.r.IntN(300)
	}
}

var errFill = fmt.Errorf("fill has no more")
