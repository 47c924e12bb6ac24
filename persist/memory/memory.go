// Package memory keeps the log of a store in memory: for tests, and to hand what one
// store had to the next one. It ends with the process.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/noex-go/store"
)

const maxEntry = 256 << 20

// Adapter keeps a log in memory. Each OpenLog has what the one before left. It is safe
// for concurrent use; so is its log, in which Append costs a copy of the entries.
type Adapter struct {
	mu   sync.Mutex // protects all below
	open *log       // nil: nobody has it open
	snap *snapshot
	base store.Position // of the entry before the first one
	data [][]byte       // the entries behind base; none is ever changed
	wake chan struct{}  // is closed, and replaced, when something happened
}

type snapshot struct {
	pos   store.Position
	parts [][]byte
}

var (
	_ store.Adapter = (*Adapter)(nil)

	errPosition = errors.New("snapshot is not between the one before and the last entry")
)

// New returns an adapter with an empty log.
func New() *Adapter { return &Adapter{wake: make(chan struct{})} }

// OpenLog implements [store.Adapter].
func (a *Adapter) OpenLog(ctx context.Context) (store.Log, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open != nil {
		return nil, fmt.Errorf("open log: %w", store.ErrLocked)
	}
	a.open = &log{a: a}
	return a.open, nil
}

// last returns the position of the newest entry. The caller holds mu.
func (a *Adapter) last() store.Position { return a.base + store.Position(len(a.data)) }

// log is an open log; what it has is in the adapter.
type log struct{ a *Adapter }

// enter locks the adapter, if ctx goes on and the log is open.
func (l *log) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s log: %w", op, err)
	}
	l.a.mu.Lock()
	if l.a.open != l {
		l.a.mu.Unlock()
		return fmt.Errorf("%s log: %w", op, store.ErrClosed)
	}
	return nil
}

// Info implements [store.Log].
func (l *log) Info() store.LogInfo {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	info := store.LogInfo{Last: l.a.last(), MaxEntry: maxEntry, Durable: true, Recovery: store.Recovery{Clean: true}}
	after := store.Position(0)
	if s := l.a.snap; s != nil {
		info.Snapshot, after = s.pos, s.pos
		for _, p := range s.parts {
			info.Bytes += int64(len(p))
		}
	}
	for _, e := range l.a.behind(after) {
		info.Tail += int64(len(e))
	}
	info.Bytes += info.Tail
	return info
}

// behind returns the entries behind a position that is not before base. The caller
// holds mu; the entries stay as they are.
func (a *Adapter) behind(after store.Position) [][]byte { return a.data[after-a.base:] }

// Load implements [store.Log].
func (l *log) Load(ctx context.Context, fn func(e store.LogEntry) error) error {
	if err := l.enter(ctx, "load"); err != nil {
		return err
	}
	pos, parts := store.Position(0), [][]byte(nil)
	if s := l.a.snap; s != nil {
		pos, parts = s.pos, s.parts
	}
	entries := l.a.behind(pos)
	l.a.mu.Unlock()
	for _, p := range parts {
		if err := l.give(ctx, fn, pos, p); err != nil {
			return err
		}
	}
	for _, e := range entries {
		pos++
		if err := l.give(ctx, fn, pos, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *log) give(ctx context.Context, fn func(e store.LogEntry) error, pos store.Position, data []byte) error {
	if err := l.enter(ctx, "load"); err != nil {
		return err
	}
	l.a.mu.Unlock()
	return fn(store.LogEntry{Position: pos, Data: data[:len(data):len(data)]})
}

// Append implements [store.Log].
func (l *log) Append(ctx context.Context, after store.Position, entries [][]byte) error {
	for _, e := range entries {
		if len(e) > maxEntry {
			return fmt.Errorf("append to log: entry of %d bytes is larger than %d", len(e), maxEntry)
		}
	}
	if err := l.enter(ctx, "append to"); err != nil {
		return err
	}
	defer l.a.mu.Unlock()
	if after != l.a.last() {
		return fmt.Errorf("append to log: %w: entries behind %d, the last one is %d", store.ErrLogConflict, after, l.a.last())
	}
	for _, e := range entries {
		l.a.data = append(l.a.data, bytes.Clone(e))
	}
	l.a.stir()
	return nil
}

// stir wakes those who wait. The caller holds mu.
func (a *Adapter) stir() {
	close(a.wake)
	a.wake = make(chan struct{})
}

// Sync implements [store.Log]. There is nothing to do.
func (l *log) Sync(ctx context.Context) error {
	err := l.enter(ctx, "sync")
	if err == nil {
		l.a.mu.Unlock()
	}
	return err
}

// Follow implements [store.Log]. It ends without an error when ctx ends or the log is
// closed meanwhile. A position beyond the last entry is waited for.
func (l *log) Follow(ctx context.Context, after store.Position) iter.Seq2[store.LogEntry, error] {
	return func(yield func(store.LogEntry, error) bool) {
		if err := l.enter(context.Background(), "follow"); err != nil {
			yield(store.LogEntry{}, err)
			return
		}
		l.a.mu.Unlock()
		for l.enter(ctx, "follow") == nil {
			if after < l.a.base {
				l.a.mu.Unlock()
				yield(store.LogEntry{}, fmt.Errorf("follow log: entry %d: %w", after+1, store.ErrTrimmed))
				return
			}
			var entries [][]byte
			if after < l.a.last() {
				entries = l.a.behind(after)
			}
			wake := l.a.wake
			l.a.mu.Unlock()
			for _, e := range entries {
				after++
				if ctx.Err() != nil || !yield(store.LogEntry{Position: after, Data: e[:len(e):len(e)]}, nil) {
					return
				}
			}
			if len(entries) == 0 {
				select {
				case <-ctx.Done():
				case <-wake:
				}
			}
		}
	}
}

// Snapshot implements [store.Log]. The entries that it has go at once.
func (l *log) Snapshot(ctx context.Context, at store.Position, fill func(put func(data []byte) error) error) error {
	s := &snapshot{pos: at}
	if err := l.mayPut(ctx, s); err != nil {
		return err
	}
	var failed error
	err := fill(func(data []byte) error {
		if failed == nil {
			failed = l.mayPut(ctx, s)
		}
		if failed == nil {
			s.parts = append(s.parts, bytes.Clone(data))
		}
		return failed
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("snapshot of log: %w", err)
	}
	if err = l.mayPut(ctx, s); err != nil {
		return err
	}
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	l.a.data = append([][]byte(nil), l.a.behind(at)...)
	l.a.snap, l.a.base = s, at
	l.a.stir()
	return nil
}

// mayPut checks that a snapshot can go on.
func (l *log) mayPut(ctx context.Context, s *snapshot) error {
	if err := l.enter(ctx, "snapshot of"); err != nil {
		return err
	}
	defer l.a.mu.Unlock()
	if s.pos > l.a.last() || l.a.snap != nil && s.pos < l.a.snap.pos {
		return fmt.Errorf("snapshot of log: %w", errPosition)
	}
	return nil
}

// Close implements [store.Log]. What there is stays for the next one.
func (l *log) Close() error {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	if l.a.open == l {
		l.a.open = nil
		l.a.stir()
	}
	return nil
}
