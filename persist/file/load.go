package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/noex-go/store"
)

// batch is frames that were read and checked.
type batch struct {
	pos  store.Position // of the first one
	step store.Position // 0: all are parts of a snapshot at pos; else 1
	data []byte         // the payloads
	ends []int          // of each, in data
	err  error          // behind them
}

const batchSize = 256 << 10

func (b *batch) reset(pos, step store.Position) {
	if cap(b.data) > 4*batchSize {
		b.data = nil
	}
	*b = batch{pos: pos, step: step, data: b.data[:0], ends: b.ends[:0]}
}

func (b *batch) add(f *frame) {
	if len(b.ends) == 0 {
		b.pos = f.pos
	}
	b.data = append(b.data, f.payload...)
	b.ends = append(b.ends, len(b.data))
}

func (b *batch) full() bool { return len(b.data) >= batchSize || len(b.ends) >= batchSize/headSize }

// each calls fn with the frames until it returns an error.
func (b *batch) each(fn func(e store.LogEntry) error) error {
	from, pos := 0, b.pos
	for _, end := range b.ends {
		if err := fn(store.LogEntry{Position: pos, Data: b.data[from:end:end]}); err != nil {
			return err
		}
		from, pos = end, pos+b.step
	}
	return nil
}

// Load implements [store.Log]. A goroutine reads and checks ahead of fn. It brings what
// there was when it began; until it ends, no file is removed. fn must not call Close.
func (l *log) Load(ctx context.Context, fn func(e store.LogEntry) error) error {
	if err := l.load(ctx, fn); err != nil {
		return fmt.Errorf("load log: %w", err)
	}
	return nil
}

func (l *log) load(ctx context.Context, fn func(e store.LogEntry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return store.ErrClosed
	}
	src := source{directory: l.directory, id: l.id, segments: slices.Clone(l.segments)}
	if s := l.newest(); s != nil {
		snap := *s
		src.snap = &snap
	}
	l.loads++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.loads--
		l.mu.Unlock()
	}()

	const ahead = 3
	full, free, stop := make(chan *batch, ahead), make(chan *batch, ahead), make(chan struct{})
	for range ahead {
		free <- new(batch)
	}
	go func() {
		defer close(full)
		src.read(full, free, stop)
	}()
	defer func() { // wait for the goroutine
		close(stop)
		for range full {
		}
	}()
	for b := range full {
		if err := b.each(func(e store.LogEntry) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fn(e)
		}); err != nil {
			return err
		}
		select {
		case <-l.done:
			return store.ErrClosed // the files may be another opener's by now
		default:
		}
		if b.err != nil {
			return b.err
		}
		free <- b
	}
	return nil
}

// source is what a Load reads: files as they were at one moment.
type source struct {
	directory
	id       logID
	snap     *snapshot
	segments []segment
}

// read sends everything in batches, the last one with the error that ended it. It ends
// when stop is closed, too.
func (s *source) read(full chan<- *batch, free <-chan *batch, stop <-chan struct{}) {
	var b *batch
	send := func(err error) bool {
		b.err = err
		select {
		case full <- b:
		case <-stop:
			return false
		}
		select {
		case b = <-free:
			return true
		case <-stop:
			return false
		}
	}
	b = <-free
	after, err := s.readSnap(&b, send)
	if err == nil {
		err = s.readSegments(after, &b, send)
	}
	if err != nil && err != errStopped {
		send(err)
	}
}

var errStopped = errors.New("stopped")

func (s *source) readSnap(b **batch, send func(error) bool) (store.Position, error) {
	if s.snap == nil {
		return 0, nil
	}
	r, err := s.openSnapshot(s.snap.name, s.snap.pos, &s.id)
	if err != nil {
		return 0, err
	}
	defer r.close()
	(*b).reset(s.snap.pos, 0)
	for {
		f, err := r.part()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		if (*b).add(f); (*b).full() {
			if !send(nil) {
				return 0, errStopped
			}
			(*b).reset(s.snap.pos, 0)
		}
	}
	if len((*b).ends) > 0 && !send(nil) {
		return 0, errStopped
	}
	return s.snap.pos, nil
}

func (s *source) readSegments(after store.Position, b **batch, send func(error) bool) error {
	(*b).reset(after+1, 1)
	for _, seg := range s.segments {
		if seg.last <= after {
			continue
		}
		err := s.readSegment(seg, after, func(f *frame) bool {
			if (*b).add(f); !(*b).full() {
				return true
			}
			if !send(nil) {
				return false
			}
			(*b).reset(f.pos+1, 1)
			return true
		})
		if err != nil {
			return err
		}
	}
	if len((*b).ends) > 0 && !send(nil) {
		return errStopped
	}
	return nil
}

// readSegment calls fn with the entries of a segment behind a position.
func (s *source) readSegment(seg segment, after store.Position, fn func(f *frame) bool) error {
	r, err := s.openFrames(seg.name, s.id)
	if err != nil {
		return err
	}
	defer r.close()
	r.size = min(r.size, seg.end)
	c := chain{prev: seg.prev, last: seg.first - 1}
	for c.last < seg.last {
		f, err := r.next()
		if err == nil {
			err = c.check(f, seg.name)
		}
		if err != nil {
			return damaged(err, seg.name, r.off)
		}
		if f.pos > after && !fn(f) {
			return errStopped
		}
	}
	return nil
}
