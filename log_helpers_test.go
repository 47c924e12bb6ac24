package store_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/noex-go/store"
)

// testLog is a log in memory that fails when it is told to, and waits when it is
// told to. It is an adapter and its own log; one store at a time.
type testLog struct {
	mu       sync.Mutex
	snapshot [][]byte
	at       store.Position // of the snapshot
	entries  [][]byte       // behind it
	synced   store.Position
	open     bool
	failed   error
	most     int
	durable  bool

	onAppend   func(entries [][]byte) error // before anything is kept; nil: nothing
	onSync     func() error
	onSnapshot func() error
}

func (l *testLog) OpenLog(context.Context) (store.Log, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		return nil, store.ErrLocked
	}
	l.open, l.failed = true, nil
	return l, nil
}

func (l *testLog) last() store.Position { return l.at + store.Position(len(l.entries)) }

func (l *testLog) Info() store.LogInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := store.LogInfo{Last: l.last(), Snapshot: l.at, MaxEntry: 1 << 30, Durable: l.durable}
	if l.most > 0 {
		info.MaxEntry = l.most
	}
	for _, e := range l.entries {
		info.Tail += int64(len(e))
	}
	info.Bytes = info.Tail
	for _, e := range l.snapshot {
		info.Bytes += int64(len(e))
	}
	return info
}

func (l *testLog) Load(_ context.Context, fn func(e store.LogEntry) error) error {
	for _, data := range l.snapshot {
		if err := fn(store.LogEntry{Position: l.at, Data: slices.Clone(data)}); err != nil {
			return err
		}
	}
	for i, data := range l.entries {
		if err := fn(store.LogEntry{Position: l.at + store.Position(i) + 1, Data: slices.Clone(data)}); err != nil {
			return err
		}
	}
	return nil
}

func (l *testLog) Append(_ context.Context, after store.Position, entries [][]byte) error {
	if l.onAppend != nil {
		if err := l.onAppend(entries); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failed != nil:
		return l.failed
	case after != l.last():
		return store.ErrLogConflict
	}
	for _, e := range entries {
		l.entries = append(l.entries, slices.Clone(e))
	}
	return nil
}

func (l *testLog) Sync(context.Context) error {
	if l.onSync != nil {
		if err := l.onSync(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = l.last()
	return nil
}

func (l *testLog) Follow(context.Context, store.Position) iter.Seq2[store.LogEntry, error] {
	return func(yield func(store.LogEntry, error) bool) { yield(store.LogEntry{}, errors.ErrUnsupported) }
}

func (l *testLog) Snapshot(_ context.Context, at store.Position, fill func(put func(data []byte) error) error) error {
	if l.onSnapshot != nil {
		if err := l.onSnapshot(); err != nil {
			return err
		}
	}
	var parts [][]byte
	if err := fill(func(data []byte) error { parts = append(parts, slices.Clone(data)); return nil }); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.Clone(l.entries[at-l.at:])
	l.snapshot, l.at = parts, at
	return nil
}

func (l *testLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = false
	return nil
}

// crash returns the log as a power loss, or a crash of the process, leaves it.
func (l *testLog) crash(power bool) *testLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &testLog{snapshot: l.snapshot, at: l.at, entries: slices.Clone(l.entries), most: l.most}
	if power && l.synced > l.at {
		c.entries = c.entries[:l.synced-l.at]
	} else if power {
		c.entries = nil
	}
	return c
}
