package feed

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Group runs the library's goroutines: every go statement is in Group.Go. It
// knows each by name while it runs, waits for all of them, and lets no panic
// get past. All methods are safe for concurrent use. Use NewGroup.
type Group struct {
	onPanic  func(name string, p any, stack []byte)
	describe func(running map[string]int) // nil: as they were started

	mu      sync.Mutex // a leaf: nothing is called or locked under it
	running map[string]int
	idle    chan struct{} // closed when the last one ends; nil while none runs
}

// NewGroup returns a group whose goroutines hand their panics to onPanic, with
// the goroutine's name and stack, on the goroutine that panicked, which counts
// as running until the hook returns. A panic of the hook is dropped: there is
// nobody left to tell. NewGroup panics without a hook.
func NewGroup(onPanic func(name string, p any, stack []byte)) *Group {
	if onPanic == nil {
		panic("feed: NewGroup needs a panic hook")
	}
	return &Group{onPanic: onPanic, running: make(map[string]int)}
}

// Go runs fn on a goroutine of its own. Several may have the same name. The
// goroutine counts from here on until fn has returned, panicked or left by
// runtime.Goexit.
func (g *Group) Go(name string, fn func()) {
	g.start(name)
	go func() {
		// In this order, so that it counts until the hook is through.
		defer g.end(name)
		defer func() { _ = recover() }()
		defer func() {
			if p := recover(); p != nil {
				g.onPanic(name, p, debug.Stack())
			}
		}()
		fn()
	}()
}

func (g *Group) start(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[name]++
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
}

func (g *Group) end(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[name]--
	if g.running[name] == 0 {
		delete(g.running, name)
	}
	if len(g.running) == 0 {
		close(g.idle)
		g.idle = nil
	}
}

// Wait returns nil as soon as none of the goroutines runs, those included that
// start while it waits. When the context ends first, the error wraps its error
// and names the goroutines still running. One of the group's own goroutines
// that waits waits for itself.
func (g *Group) Wait(ctx context.Context) error {
	g.mu.Lock()
	idle := g.idle
	g.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	running := g.Running()
	if len(running) == 0 {
		return nil
	}
	return fmt.Errorf("feed: still running: %s: %w", names(running), ctx.Err())
}

// names lists what runs: "matcher, server (3)".
func names(running map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if n := running[name]; n > 1 {
			name = fmt.Sprintf("%s (%d)", name, n)
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}

// Running returns how many goroutines of each name run now; a copy.
func (g *Group) Running() map[string]int {
	g.mu.Lock()
	running := maps.Clone(g.running)
	g.mu.Unlock()
	if g.describe != nil {
		g.describe(running)
	}
	return running
}

// Describe has fn say what goroutines are at by other names than they were started
// with: it may change what Running is about to return. It is called before the
// first Go, and fn under no lock of the group's.
func (g *Group) Describe(fn func(running map[string]int)) { g.describe = fn }
