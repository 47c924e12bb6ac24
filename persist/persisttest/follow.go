package persisttest

import (
	"context"
	"errors"
	"iter"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// take wants the next entries behind a position.
func (g *rig) take(next func() (store.LogEntry, error, bool), from, to store.Position) {
	g.Helper()
	for pos := from + 1; pos <= to; pos++ {
		e, err, ok := next()
		require.True(g, ok)
		require.NoError(g, err)
		require.Equal(g, pos, e.Position)
		require.Equal(g, len(g.h.all[pos-1]), len(e.Data))
		require.Equal(g, string(g.h.all[pos-1]), string(e.Data))
	}
}

func testFollow(g *rig) {
	g.append(10)
	g.append(0, 20_000, 300)
	g.append(400_000)
	for after := range g.last() + 1 {
		next, stop := iter.Pull2(g.l.Follow(g.ctx, after))
		g.take(next, after, g.last())
		stop()
	}
	next, stop := iter.Pull2(g.l.Follow(g.ctx, 2))
	defer stop()
	from := store.Position(2)
	for range 40 {
		g.append(100)
		g.append(20, 0, 1000)
		g.take(next, from, g.last())
		from = g.last()
	}
	// A second one, and one that is made before anybody appends.
	got := make(chan store.Position)
	go func() {
		for e, err := range g.l.Follow(g.ctx, from) {
			if err == nil {
				got <- e.Position
			}
			return
		}
	}()
	g.append(1)
	require.Equal(g, from+1, <-got)
	g.take(next, from, g.last())
}

func testFollowSnapshot(g *rig) {
	for range 50 {
		g.append(300)
	}
	next, stop := iter.Pull2(g.l.Follow(g.ctx, 0))
	defer stop()
	g.take(next, 0, 50)
	g.append(100, 200)
	require.NoError(g, g.l.Snapshot(g.ctx, 50, putParts(50)))
	g.append(100)
	g.take(next, 50, 53)
	for _, after := range []store.Position{50, 51, 53} {
		next, stop := iter.Pull2(g.l.Follow(g.ctx, after))
		g.take(next, after, 53)
		stop()
	}
	for after := range store.Position(50) {
		for e, err := range g.l.Follow(g.ctx, after) {
			if err == nil { // an adapter may keep more than it must
				require.Equal(g, after+1, e.Position)
				require.Equal(g, g.h.all[after], e.Data)
			} else {
				require.ErrorIs(g, err, store.ErrTrimmed)
			}
			break
		}
	}
}

func testFollowEnds(g *rig) {
	g.append(10)
	for _, end := range []func(cancel func()){
		func(cancel func()) { cancel() },
		func(func()) { require.NoError(g, g.l.Close()) },
	} {
		ctx, cancel := context.WithCancel(g.ctx)
		first, done := make(chan bool), make(chan error, 1)
		go func() {
			var last error
			for _, err := range g.l.Follow(ctx, 0) {
				if last = err; err == nil {
					first <- true
				}
			}
			done <- last
		}()
		<-first
		end(cancel)
		// It may say why, or just end.
		if err := <-done; err != nil {
			require.True(g, errors.Is(err, context.Canceled) || errors.Is(err, store.ErrClosed), err)
		}
		cancel()
	}
	g.open()
	for e, err := range g.l.Follow(g.ctx, 0) {
		require.NoError(g, err)
		require.EqualValues(g, 1, e.Position)
		break
	}
	require.NoError(g, g.l.Sync(g.ctx), "nothing is locked")
}
