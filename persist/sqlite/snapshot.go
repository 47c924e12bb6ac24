package sqlite

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// Snapshot puts the parts in the place of all that is there, in one transaction:
// what a restore needs. The tables have the newest state anyway, so that a store
// does not call it otherwise. Parts go through a file of their own, so that Append
// works while fill runs; the entries that it added behind the position are applied
// to them, if they are still there for Follow, else it is store.ErrTrimmed and
// nothing has changed.
func (l *log) Snapshot(ctx context.Context, at store.Position, fill func(put func(data []byte) error) error) error {
	if at > 1<<63-1 {
		return errNumber
	}
	s, err := newSpool(filepath.Dir(l.f.path))
	if err != nil {
		return err
	}
	defer s.close()
	if err := fill(func(data []byte) error { return s.put(ctx, data) }); err != nil {
		return err
	}
	if err := s.rewind(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	return l.replaceLocked(ctx, at, s)
}

func (l *log) replaceLocked(ctx context.Context, at store.Position, s *spool) error {
	var behind [][]byte
	if at < l.meta.position {
		var ok bool
		if behind, ok = l.recent.since(at); !ok {
			return fmt.Errorf("entries behind the snapshot: %w", store.ErrTrimmed)
		}
	}
	before := copyBuckets(l.buckets)
	err := l.changeLocked(func(c *change) error {
		for _, table := range [...]string{"records", "marks", "buckets"} {
			if err := c.d.exec("DELETE FROM " + table); err != nil {
				return err
			}
		}
		clear(c.buckets)
		c.meta = meta{log: c.meta.log, position: at + store.Position(len(behind)), session: []byte{}}
		apply := func(data []byte) error {
			e, err := logentry.Parse(data)
			if err != nil {
				return err
			}
			return c.apply(e)
		}
		if err := s.each(ctx, apply); err != nil {
			return err
		}
		for _, data := range behind {
			if err := apply(data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.buckets = before
		if errors.Is(err, store.ErrUnknownOutcome) {
			l.failed = fmt.Errorf("log has failed: %w", err)
		}
		return err
	}
	if behind == nil {
		l.recent.reset(at)
	}
	if l.relaxed {
		return l.d.explain(l.d.checkpoint("PASSIVE"))
	}
	return nil
}

// spool keeps the parts of a snapshot in a file, which is gone with it.
type spool struct {
	f *os.File
	w *bufio.Writer
	n int
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, ".snapshot-*") // for its owner alone
	if err != nil {
		return nil, err
	}
	return &spool{f: f, w: bufio.NewWriterSize(f, 1<<18)}, nil
}

func (s *spool) put(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(data) > maxEntry {
		return fmt.Errorf("a part of %d bytes: the most is %d", len(data), maxEntry)
	}
	if _, err := s.w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data)))); err != nil {
		return err
	}
	s.n++
	_, err := s.w.Write(data)
	return err
}

func (s *spool) rewind() error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	_, err := s.f.Seek(0, io.SeekStart)
	return err
}

func (s *spool) each(ctx context.Context, fn func(data []byte) error) error {
	in := bufio.NewReaderSize(s.f, 1<<18)
	var buf []byte
	for range s.n {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(in, buf[:n]); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) close() {
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}
