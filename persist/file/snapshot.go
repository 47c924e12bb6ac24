package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// snapshot is a file that has the state up to a position.
type snapshot struct {
	pos   store.Position
	name  string
	size  int64
	parts uint64
	bytes uint64 // of the parts
}

var errSnapshotPosition = errors.New("snapshot is not between the one before and the last entry")

// smallSegment is how much of a segment is not worth the trouble to get rid of.
func (l *log) smallSegment() int64 { return min(64<<10, l.cfg.segmentSize/4) }

// Snapshot implements [store.Log]. The file that it makes is synced and read back
// before it gets its name, and what it replaces goes after its name is durable:
// segments at or below its position, the older snapshot, and the head of the segment
// that its position is in. What remains beside the snapshot are the entries behind it
// and at most 64 KiB before it. A failure leaves the log as it was and does not stop
// appends, unless a segment could not be ended.
func (l *log) Snapshot(ctx context.Context, at store.Position, fill func(put func(data []byte) error) error) error {
	if err := l.snapshot(ctx, at, fill); err != nil {
		return fmt.Errorf("snapshot of log: %w", err)
	}
	return nil
}

func (l *log) snapshot(ctx context.Context, at store.Position, fill func(put func(data []byte) error) error) error {
	l.snapMu.Lock()
	defer l.snapMu.Unlock()
	if err := l.mayPut(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	newest := l.newest()
	ok := at <= l.last && (newest == nil || at >= newest.pos)
	l.mu.Unlock()
	if !ok {
		return errSnapshotPosition
	}
	if err := l.leaveSegment(at); err != nil {
		return err
	}
	less, err := l.bytesUpTo(at)
	if err != nil {
		return err
	}
	s, err := l.writeSnapshot(ctx, at, fill)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if n := len(l.snaps); n > 0 && l.snaps[n-1].pos == at {
		l.snaps = l.snaps[:n-1]
	}
	l.snaps = append(l.snaps, s)
	l.tail -= less
	l.mu.Unlock()
	l.drop()
	return nil
}

// mayPut returns why a snapshot cannot go on.
func (l *log) mayPut(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready()
}

// leaveSegment begins a new segment, if the active one has much that the snapshot will
// have too.
func (l *log) leaveSegment(at store.Position) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	err := l.ready()
	active := l.segments[len(l.segments)-1]
	l.mu.Unlock()
	if err != nil || active.first > at || active.end-headerSize < l.smallSegment() {
		return err
	}
	return l.rotate()
}

// writeSnapshot makes the file and gives it its name.
func (l *log) writeSnapshot(ctx context.Context, at store.Position, fill func(put func(data []byte) error) error) (s snapshot, err error) {
	temp := l.path(fileName(uint64(at), tempExt))
	f, err := l.fs.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return s, err
	}
	open, named := true, false
	defer func() { // also when fill panics
		if open {
			_ = f.Close()
		}
		if !named {
			_ = l.fs.Remove(temp)
		}
	}()
	w := newSnapWriter(f, l.id, at)
	err = fill(func(data []byte) error {
		if w.err == nil {
			w.err = l.mayPut(ctx)
		}
		return w.put(data)
	})
	if err == nil {
		err = w.err // fill may have gone on without it
	}
	if err != nil {
		return s, err
	}
	if err = w.finish(); err != nil {
		return s, err
	}
	open = false
	if err = f.Close(); err != nil {
		return s, err
	}
	// The entries have to be durable first: a snapshot proves that they were.
	if err = l.syncTo(ctx); err != nil {
		return s, err
	}
	if s, err = l.readSnapshot(fileName(uint64(at), tempExt), at, &l.id); err != nil {
		return s, err
	}
	if s.parts != w.parts || s.bytes != w.bytes {
		return s, corrupt(s.name, 0, "reads back with another number of parts")
	}
	s.name = fileName(uint64(at), snapExt)
	if err = l.fs.Rename(temp, l.path(s.name)); err != nil {
		return s, err
	}
	named = true
	return s, l.directory.sync()
}

// snapWriter writes the frames of a snapshot.
type snapWriter struct {
	f            vfs.File
	seed         uint32
	pos          store.Position
	buf          []byte
	off          int64
	prev         uint32
	parts, bytes uint64
	err          error // the first one; final
}

func newSnapWriter(f vfs.File, id logID, at store.Position) *snapWriter {
	h := header{magic: snapMagic, id: id, number: uint64(at), pos: at}
	return &snapWriter{f: f, seed: id.seed(), pos: at, buf: appendHeader(make([]byte, 0, readSize), h)}
}

func (w *snapWriter) put(data []byte) error {
	if w.err == nil && len(data) > maxEntry {
		w.err = fmt.Errorf("part of %d bytes is larger than %d", len(data), maxEntry)
	}
	if w.err == nil {
		w.frame(frame{typ: entryFrame, payload: data})
		w.parts++
		w.bytes += uint64(len(data))
	}
	return w.err
}

func (w *snapWriter) frame(f frame) {
	f.prev, f.pos = w.prev, w.pos
	if len(w.buf) > 0 && len(w.buf)+headSize+len(f.payload) > readSize {
		w.flush()
	}
	w.buf = appendFrame(w.buf, w.seed, &f)
	w.prev = f.crc
}

func (w *snapWriter) flush() {
	if w.err == nil {
		w.err = writeAll(w.f, w.buf, w.off)
	}
	w.off += int64(len(w.buf))
	if w.buf = w.buf[:0]; cap(w.buf) > keepBuffer {
		w.buf = nil
	}
}

// finish writes the trailer: the number of parts, and of their bytes. Its checksum is
// one over the whole file, as each is over the one before.
func (w *snapWriter) finish() error {
	p := binary.LittleEndian.AppendUint64(nil, w.parts)
	p = binary.LittleEndian.AppendUint64(p, w.bytes)
	w.frame(frame{typ: trailerFrame, payload: p})
	w.flush()
	if w.err == nil {
		w.err = w.f.Sync()
	}
	return w.err
}

// snapReader reads the parts of a snapshot, and checks at its end that it is whole.
type snapReader struct {
	*reader
	pos          store.Position
	prev         uint32
	parts, bytes uint64
}

// openSnapshot opens a snapshot. id, if not nil, has to be that of the log.
func (d directory) openSnapshot(name string, pos store.Position, id *logID) (*snapReader, error) {
	h, _, wrong, err := d.readHeader(name, snapMagic, uint64(pos))
	switch {
	case err != nil:
		return nil, err
	case wrong == "" && h.pos != pos:
		wrong = "position is not that of its name"
	case wrong == "" && id != nil && h.id != *id:
		wrong = "belongs to another log"
	}
	if wrong != "" {
		return nil, corrupt(name, 0, wrong)
	}
	r, err := d.openFrames(name, h.id)
	if err != nil {
		return nil, err
	}
	return &snapReader{reader: r, pos: pos}, nil
}

// part returns the next part. It returns io.EOF when the snapshot was whole.
func (r *snapReader) part() (*frame, error) {
	f, err := r.next()
	switch {
	case err != nil:
		return nil, damaged(err, r.name, r.off)
	case f.prev != r.prev:
		return nil, corrupt(r.name, f.off, "does not continue the frame before")
	case f.pos != r.pos || f.synced != 0 || f.more:
		return nil, corrupt(r.name, f.off, "position is not that of the snapshot")
	}
	r.prev = f.crc
	if f.typ == entryFrame {
		r.parts++
		r.bytes += uint64(len(f.payload))
		return f, nil
	}
	if f.typ != trailerFrame || len(f.payload) != 16 ||
		binary.LittleEndian.Uint64(f.payload) != r.parts || binary.LittleEndian.Uint64(f.payload[8:]) != r.bytes {
		return nil, corrupt(r.name, f.off, "is not the trailer of these parts")
	}
	if r.off != r.size {
		return nil, corrupt(r.name, r.off, "has bytes behind its trailer")
	}
	return nil, io.EOF
}

// readSnapshot reads a snapshot whole.
func (d directory) readSnapshot(name string, pos store.Position, id *logID) (s snapshot, err error) {
	r, err := d.openSnapshot(name, pos, id)
	if err != nil {
		return s, err
	}
	defer r.close()
	for err == nil {
		_, err = r.part()
	}
	if err != io.EOF {
		return s, err
	}
	return snapshot{pos: pos, name: name, size: r.size, parts: r.parts, bytes: r.bytes}, nil
}

// bytesUpTo returns how many of the bytes of the tail are entries up to a position.
func (l *log) bytesUpTo(at store.Position) (int64, error) {
	l.mu.Lock()
	segments, behind := slices.Clone(l.segments), l.tail
	l.mu.Unlock()
	for _, s := range segments {
		from := int64(headerSize)
		switch {
		case s.last <= at:
			continue
		case s.first <= at:
			var err error
			if from, _, err = l.locate(s, l.id, at+1); err != nil {
				return 0, err
			}
		}
		behind -= s.end - from
	}
	return behind, nil
}

// drop removes and trims what the snapshots have taken the place of. What cannot be
// removed now is left to the next snapshot: it does no harm.
func (l *log) drop() {
	l.filesMu.Lock()
	defer l.filesMu.Unlock()
	l.mu.Lock()
	keep := 1
	if l.cfg.keepPrevious {
		keep = 2
	}
	for len(l.snaps) > keep {
		l.stale = append(l.stale, l.snaps[0].name)
		l.snaps = l.snaps[1:]
	}
	base, busy := l.snaps[0].pos, l.loads > 0
	if l.cfg.keepPrevious && len(l.snaps) < 2 {
		base = 0 // there is no previous one: all entries stay
	}
	if busy {
		l.mu.Unlock()
		return
	}
	for len(l.segments) > 1 && l.segments[0].last <= base {
		l.stale = append(l.stale, l.segments[0].name)
		l.segments = l.segments[1:]
	}
	stale, first, more := l.stale, l.segments[0], len(l.segments) > 1
	l.stale = nil
	l.dropped++
	l.mu.Unlock()

	var kept []string
	for _, name := range stale {
		if err := l.fs.Remove(l.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.cfg.logger.Warn("old file of the log cannot be removed", "file", l.path(name), "error", err)
			kept = append(kept, name)
		}
	}
	trimmed := first
	if more = more && first.first <= base; more {
		var err error
		if trimmed, err = l.trim(first, base); err != nil {
			l.cfg.logger.Warn("segment of the log cannot be trimmed", "file", l.path(first.name), "error", err)
		}
	}
	if err := l.directory.sync(); err != nil {
		l.cfg.logger.Warn("directory of the log cannot be synced", "dir", l.dir, "error", err)
	}
	l.mu.Lock()
	l.stale = append(l.stale, kept...)
	if more {
		l.segments[0] = trimmed
	}
	l.mu.Unlock()
}
