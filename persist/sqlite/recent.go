package sqlite

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/noex-go/store"
)

// The most that is kept for Follow.
const (
	recentEntries = 1024
	recentBytes   = 16 << 20
)

// recent keeps the newest entries in memory: the tables have only what they made.
// Its zero value is empty.
type recent struct {
	mu      sync.Mutex     // protects what follows
	first   store.Position // of entries[0]; the next one, if there are none
	entries [][]byte
	bytes   int
	closed  bool
	wake    chan struct{} // closed at the next change; nil: nobody waits
}

// reset forgets all entries: the next one comes behind a position.
func (q *recent) reset(after store.Position) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.first, q.entries, q.bytes = after+1, nil, 0
	q.wakeLocked()
}

// add keeps copies of entries behind a position.
func (q *recent) add(after store.Position, entries [][]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.entries = append(q.entries, bytes.Clone(e))
		q.bytes += len(e)
	}
	drop := 0
	for n := len(q.entries); n-drop > recentEntries || q.bytes > recentBytes; drop++ {
		q.bytes -= len(q.entries[drop])
	}
	clear(q.entries[:drop])
	q.entries = q.entries[drop:]
	q.first = after + store.Position(len(entries)-len(q.entries)) + 1
	q.wakeLocked()
}

func (q *recent) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeLocked()
}

func (q *recent) wakeLocked() {
	if q.wake != nil {
		close(q.wake)
		q.wake = nil
	}
}

// behind returns the entries behind a position, and if there are none what to wait
// for. It is not ok if the position is too far back.
func (q *recent) behind(after store.Position) (entries [][]byte, wait <-chan struct{}, closed, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if after+1 < q.first {
		return nil, nil, q.closed, false
	}
	if n := after + 1 - q.first; n < store.Position(len(q.entries)) {
		return slices.Clone(q.entries[n:]), nil, q.closed, true
	}
	if q.wake == nil {
		q.wake = make(chan struct{})
	}
	return nil, q.wake, q.closed, true
}

// since returns all entries behind a position that are there.
func (q *recent) since(after store.Position) ([][]byte, bool) {
	entries, _, _, ok := q.behind(after)
	return entries, ok
}

// Follow brings entries from memory; see the limits of the package. It ends without
// an error when ctx ends or the log is closed, then after the last entry. The data of a pair
// stays valid.
func (l *log) Follow(ctx context.Context, after store.Position) iter.Seq2[store.LogEntry, error] {
	return func(yield func(store.LogEntry, error) bool) {
		if _, _, closed, _ := l.recent.behind(after); closed {
			yield(store.LogEntry{}, errClosed)
			return
		}
		for {
			if ctx.Err() != nil {
				return
			}
			entries, wait, closed, ok := l.recent.behind(after)
			if !ok {
				yield(store.LogEntry{}, store.ErrTrimmed)
				return
			}
			for _, data := range entries {
				after++
				if !yield(store.LogEntry{Position: after, Data: data}, nil) || ctx.Err() != nil {
					return
				}
			}
			if len(entries) > 0 {
				continue
			}
			if closed {
				return
			}
			select {
			case <-wait:
			case <-ctx.Done():
				return
			}
		}
	}
}
