package persisttest

import (
	"context"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func testSnapshot(g *rig) {
	for range 30 {
		g.append(500)
		g.append(20, 300)
	}
	at := g.last()
	require.NoError(g, g.l.Snapshot(g.ctx, at, putParts(at)))
	info := g.l.Info()
	require.Equal(g, at, info.Snapshot)
	require.Equal(g, at, info.Last)
	require.Zero(g, info.Tail)
	g.check()
	g.append(7)
	g.check()
	g.reopen()
	g.check()
	for range 3 { // again, also at the same position
		require.NoError(g, g.l.Snapshot(g.ctx, g.last(), putParts(g.last())))
		g.check()
		g.reopen()
		g.check()
	}
	g.append(8)
	large := func(put func([]byte) error) error {
		b := make([]byte, 100_000)
		for range 20 {
			if err := put(b); err != nil {
				return err
			}
			b[0]++ // put has copied it
		}
		return nil
	}
	require.NoError(g, g.l.Snapshot(g.ctx, g.last(), large))
	g.reopen()
	got, err := load(g.l)
	require.NoError(g, err)
	require.Len(g, got.parts, 20)
	for i, p := range got.parts {
		require.Len(g, p, 100_000)
		require.EqualValues(g, i, p[0])
	}
}

func testSnapshotBefore(g *rig) {
	for range 20 {
		g.append(50, 100)
	}
	for _, at := range []store.Position{1, 12, 13, 39} {
		require.NoError(g, g.l.Snapshot(g.ctx, at, putParts(at)))
		require.Equal(g, at, g.l.Info().Snapshot)
		require.Equal(g, g.last(), g.l.Info().Last)
		require.Positive(g, g.l.Info().Tail)
		g.check()
		g.reopen()
		g.check()
	}
	require.Error(g, g.l.Snapshot(g.ctx, g.last()+1, putParts(g.last()+1)), "beyond the last entry")
	g.check()
	g.reopen()
	g.check()
}

func testSnapshotBeside(g *rig) {
	for range 20 {
		g.append(100)
	}
	at := g.last()
	require.NoError(g, g.l.Snapshot(g.ctx, at, func(put func([]byte) error) error {
		for _, p := range parts(at) {
			g.append(200)
			require.NoError(g, put(p))
			require.NoError(g, g.l.Sync(g.ctx))
			g.append(10, 20)
		}
		g.append(5)
		return nil
	}))
	require.Equal(g, at, g.l.Info().Snapshot)
	g.check()
	g.append(7)
	g.reopen()
	g.check()
}

func testSnapshotFails(g *rig) {
	g.append(100)
	require.NoError(g, g.l.Snapshot(g.ctx, 1, putParts(1)))
	g.append(100, 200)
	require.ErrorIs(g, g.l.Snapshot(g.ctx, 2, func(put func([]byte) error) error {
		_ = put([]byte("something"))
		return errFill
	}), errFill)
	ctx, cancel := context.WithCancel(g.ctx)
	require.ErrorIs(g, g.l.Snapshot(ctx, 2, func(put func([]byte) error) error {
		require.NoError(g, put([]byte("something")))
		cancel()
		require.ErrorIs(g, put([]byte("more")), context.Canceled)
		return nil
	}), context.Canceled, "although fill took no notice")
	require.Panics(g, func() {
		_ = g.l.Snapshot(g.ctx, 2, func(put func([]byte) error) error {
			_ = put([]byte("something"))
			panic("in fill")
		})
	})
	require.EqualValues(g, 1, g.l.Info().Snapshot)
	g.check()
	g.append(5)
	g.check()
	g.reopen()
	g.check()
	require.NoError(g, g.l.Snapshot(g.ctx, 2, putParts(2)), "the next one")
	g.check()
}

// testTogether lets everything run at the same time: for the race detector, and a
// follower sees every entry.
func testTogether(g *rig) {
	const n = 300
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(g.ctx)
	var followed [][]byte
	wg.Go(func() {
		for e, err := range g.l.Follow(g.ctx, 0) {
			if err != nil || len(followed) == n-1 {
				return
			}
			followed = append(followed, append([]byte(nil), e.Data...))
		}
	})
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = g.l.Sync(g.ctx)
				_ = g.l.Info()
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if at := g.l.Info().Last; at > 50 {
				_ = g.l.Snapshot(g.ctx, at, putParts(at))
			}
		}
	})
	for range n {
		g.append(40)
	}
	cancel()
	wg.Wait()
	require.True(g, equal(g.h.all[:len(followed)], followed))
	g.check()
	g.reopen()
	g.check()
}
