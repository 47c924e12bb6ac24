package file

import (
	"context"
	"fmt"
	"iter"

	"github.com/noex-go/store"
)

// Follow implements [store.Log]. It reads the entries from the files in batches, so
// that one who is slow costs nothing but the read, and holds no file open while the
// caller works. It ends without an error when ctx ends or the log is closed meanwhile.
// A position beyond the last entry is waited for.
func (l *log) Follow(ctx context.Context, after store.Position) iter.Seq2[store.LogEntry, error] {
	return func(yield func(store.LogEntry, error) bool) {
		f := follower{log: l, next: after + 1}
		if err := l.follow(ctx, &f, yield); err != nil && err != errStopped {
			yield(store.LogEntry{}, fmt.Errorf("follow log: %w", err))
		}
	}
}

func (l *log) follow(ctx context.Context, f *follower, yield func(store.LogEntry, error) bool) error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return store.ErrClosed
	}
	for {
		if err := f.wait(ctx); err != nil {
			return err
		}
		if err := f.read(); err != nil {
			return f.gone(err)
		}
		err := f.batch.each(func(e store.LogEntry) error {
			if ctx.Err() != nil || !yield(e, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// follower is where one who follows stands.
type follower struct {
	*log
	next  store.Position
	batch batch

	// Where the next entry begins, if the files are still those.
	dropped int
	number  uint64
	off     int64
}

// wait returns when the next entry is there.
func (f *follower) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		there, wake := f.last >= f.next, f.wake
		f.waiting = f.waiting || !there
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return errStopped
		case <-f.done:
			return errStopped
		default:
		}
		if there {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-f.done:
		case <-wake:
		}
	}
}

// read fills the batch with at least one entry.
func (f *follower) read() error {
	f.filesMu.RLock()
	defer f.filesMu.RUnlock()
	s, dropped, err := f.segment()
	if err != nil {
		return err
	}
	if f.number != s.number || f.dropped != dropped || f.off == 0 {
		if f.off, _, err = f.locate(s, f.id, f.next); err != nil {
			return err
		}
		f.number, f.dropped = s.number, dropped
	}
	r, err := f.openFrames(s.name, f.id)
	if err != nil {
		return err
	}
	defer r.close()
	r.seek(f.off)
	r.size = s.end
	f.batch.reset(f.next, 1)
	for !f.batch.full() && r.off < r.size {
		e, err := r.next()
		switch {
		case err != nil:
			return err
		case e.pos != f.next || e.typ != entryFrame:
			return corrupt(s.name, e.off, "position is not the next one")
		}
		f.batch.add(e)
		f.next++
	}
	f.off = r.off
	return nil
}

// segment returns the one that the next entry is in, as it is now.
func (f *follower) segment() (segment, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.segments {
		if s.first <= f.next && f.next <= s.last {
			return s, f.log.dropped, nil
		}
	}
	return segment{}, 0, fmt.Errorf("entry %d: %w", f.next, store.ErrTrimmed)
}

// gone is the error for a file that could not be read: none if the log was closed, as
// the files may be another opener's by now.
func (f *follower) gone(err error) error {
	select {
	case <-f.done:
		return errStopped
	default:
		return err
	}
}
