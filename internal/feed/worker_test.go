package feed

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type caught struct {
	name  string
	p     any
	stack string
}

// group returns a group and the panics it has caught so far.
func group() (g *Group, panics chan caught) {
	panics = make(chan caught, 10)
	return NewGroup(func(name string, p any, stack []byte) {
		panics <- caught{name, p, string(stack)}
	}), panics
}

func TestGroupCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := group()
		require.Empty(t, g.Running())
		require.NoError(t, g.Wait(t.Context()))
		stop := make(chan struct{})
		for _, name := range []string{"server", "matcher", "server", "server"} {
			g.Go(name, func() { <-stop })
		}
		require.Equal(t, map[string]int{"server": 3, "matcher": 1}, g.Running(), "from the call on")
		g.Running()["server"] = 7
		require.Equal(t, 3, g.Running()["server"], "a copy")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := g.Wait(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "matcher, server (3)") // the text is the point of it

		close(stop)
		require.NoError(t, g.Wait(t.Context()))
		require.Empty(t, g.Running())
		require.NoError(t, g.Wait(ctx), "nothing to wait for comes before the context")
	})
}

// Describe says by which names goroutines are known that do several things.
func TestGroupDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := group()
		g.Describe(func(running map[string]int) {
			require.Equal(t, map[string]int{"worker": 2}, running)
			delete(running, "worker")
			running["reader"], running["caller"] = 1, 1
			g.Go("one more", func() {}) // no lock is held
		})
		stop := make(chan struct{})
		g.Go("worker", func() { <-stop })
		g.Go("worker", func() { <-stop })
		require.Equal(t, map[string]int{"reader": 1, "caller": 1}, g.Running())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorContains(t, g.Wait(ctx), "caller, reader") // the text is the point of it
		close(stop)
		require.NoError(t, g.Wait(t.Context()))
	})
}

// Wait covers goroutines that others start while it waits.
func TestGroupWaitsForChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := group()
		finished := false
		g.Go("parent", func() {
			time.Sleep(time.Second)
			g.Go("child", func() {
				time.Sleep(time.Second)
				finished = true
			})
		})
		require.NoError(t, g.Wait(t.Context()))
		require.True(t, finished)
		g.Go("again", func() {})
		require.NoError(t, g.Wait(t.Context()))
	})
}

func TestGroupCatchesPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, panics := group()
		g.Go("faulty", func() { explode("bang") })
		require.NoError(t, g.Wait(t.Context()))
		c := <-panics // there before Wait returned
		require.Equal(t, "faulty", c.name)
		require.Equal(t, "bang", c.p)
		require.Contains(t, c.stack, "explode")

		g.Go("nil", func() { explode(nil) })
		require.NoError(t, g.Wait(t.Context()))
		require.IsType(t, new(runtime.PanicNilError), (<-panics).p)
	})
}

//go:noinline
func explode(p any) { panic(p) }

func TestGroupGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, panics := group()
		g.Go("quitter", runtime.Goexit)
		g.Go("panics, then quits", func() {
			defer runtime.Goexit()
			panic("replaced")
		})
		require.NoError(t, g.Wait(t.Context()))
		require.Empty(t, g.Running())
		require.Empty(t, panics)
	})
}

// The hook is foreign code: it may panic, quit, or use the group.
func TestGroupHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g *Group
		calls := make(chan string, 10)
		g = NewGroup(func(name string, _ any, _ []byte) {
			calls <- name
			switch name {
			case "hook panics":
				panic("again")
			case "hook quits":
				runtime.Goexit()
			case "hook goes on":
				require.Equal(t, 1, g.Running()[name], "counts until the hook returns")
				g.Go("restarted", func() { calls <- "restarted" })
			}
		})
		for _, name := range []string{"hook panics", "hook quits", "hook goes on"} {
			g.Go(name, func() { panic(name) })
		}
		require.NoError(t, g.Wait(t.Context()))
		require.Len(t, calls, 4)
	})
	require.Panics(t, func() { NewGroup(nil) })
}
