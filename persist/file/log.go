package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// log is an open log.
//
//	Append ─▶ frames in one buffer ─▶ one write ─▶ last ─▶ Follow
//	Sync   ─▶ one fsync for all that was written before it ─▶ synced
//
// Locks are taken in the order in which they stand here.
type log struct {
	directory
	cfg  config
	id   logID
	seed uint32
	lock io.Closer
	rec  store.Recovery

	snapMu sync.Mutex // one Snapshot at a time

	appendMu sync.Mutex // one Append or rotation at a time
	off      int64      // where the next frame goes
	room     int64      // the end of the zeros behind that, if there are any
	crc      uint32     // of the last frame
	buf      []byte     // frames of an append; reused
	syncMu   sync.Mutex // one fsync of the log at a time
	f        vfs.File   // the active segment; changed under appendMu and syncMu

	filesMu sync.RWMutex // shared by who opens segments by name; exclusive to replace and remove them

	mu       sync.Mutex // never held while a file is touched
	last     store.Position
	synced   store.Position
	segments []segment  // in order without gaps; the last one is active
	snaps    []snapshot // that are kept, the newest last
	stale    []string   // files that the next snapshot removes
	tail     int64      // bytes of the entries behind the newest snapshot
	loads    int        // that read files now, so that none is removed
	dropped  int        // counts how often files were replaced or removed
	failed   error      // the first failure; final
	closed   bool
	closeErr error         // what Close returned
	done     chan struct{} // is closed when Close begins
	waiting  bool          // somebody waits for wake
	wake     chan struct{} // is closed, and replaced, when entries were appended
}

// keepBuffer is how large a buffer is kept for the next append.
const keepBuffer = 1 << 20

func newLog(d directory, cfg config, lock io.Closer) *log {
	return &log{directory: d, cfg: cfg, lock: lock, done: make(chan struct{}), wake: make(chan struct{})}
}

// Info implements [store.Log].
func (l *log) Info() store.LogInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := store.LogInfo{
		Last: l.last, Bytes: l.tail, Tail: l.tail, MaxEntry: maxEntry, Recovery: l.rec,
	}
	if s := l.newest(); s != nil {
		info.Snapshot = s.pos
		info.Bytes += s.size
	}
	return info
}

// newest returns the newest snapshot, or nil. The caller holds mu.
func (l *log) newest() *snapshot {
	if len(l.snaps) == 0 {
		return nil
	}
	return &l.snaps[len(l.snaps)-1]
}

// ready returns why the log takes nothing more, if that is so. The caller holds mu.
func (l *log) ready() error {
	switch {
	case l.closed:
		return store.ErrClosed
	case l.failed != nil:
		return fmt.Errorf("log has failed before: %w", l.failed)
	}
	return nil
}

// fail notes the first failure of the log, which is final: what the operating system
// has of the files is not known any more.
func (l *log) fail(err error) error {
	l.mu.Lock()
	first := l.failed == nil
	if first {
		l.failed = err
	}
	l.mu.Unlock()
	if first {
		l.cfg.logger.Error("log has failed", "dir", l.dir, "error", err)
	}
	return err
}

// Append implements [store.Log]. What it refuses before it writes, because ctx has
// ended, an entry is too large or the position is not the last one, leaves the log as
// it was; a failure after that is final. It may wait for an fsync where a new segment
// begins.
func (l *log) Append(ctx context.Context, after store.Position, entries [][]byte) error {
	if err := l.append(ctx, after, entries); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	return nil
}

func (l *log) append(ctx context.Context, after store.Position, entries [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	size, err := groupSize(entries)
	if err != nil {
		return err
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err = l.expect(after); err != nil || len(entries) == 0 {
		return err
	}
	if l.off > headerSize && l.off+size > l.cfg.segmentSize {
		l.syncMu.Lock()
		err = l.rotate()
		l.syncMu.Unlock()
		if err != nil {
			return err
		}
	}
	crc := l.encode(after, entries, size)
	if err = l.reserve(l.off + size); err == nil {
		err = writeAll(l.f, l.buf, l.off)
	}
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	if err != nil {
		return l.undoAppend(err)
	}
	l.off, l.crc = l.off+size, crc
	l.appended(after+store.Position(len(entries)), size)
	return nil
}

// groupSize returns the bytes of the frames of an append.
func groupSize(entries [][]byte) (size int64, err error) {
	for _, e := range entries {
		if len(e) > maxEntry {
			return 0, fmt.Errorf("entry of %d bytes is larger than %d", len(e), maxEntry)
		}
		size += headSize + int64(len(e))
	}
	if size > maxGroup {
		return 0, fmt.Errorf("entries of %d bytes are more than %d together", size, maxGroup)
	}
	return size, nil
}

// expect checks that an append behind a position may go on.
func (l *log) expect(after store.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	if after != l.last {
		return fmt.Errorf("%w: entries behind %d, the last one is %d", store.ErrLogConflict, after, l.last)
	}
	return nil
}

// encode puts the frames of a group into the buffer, and returns the last checksum.
func (l *log) encode(after store.Position, entries [][]byte, size int64) uint32 {
	l.mu.Lock()
	f := frame{typ: entryFrame, crc: l.crc, pos: after, synced: l.synced}
	l.mu.Unlock()
	if int64(cap(l.buf)) < size {
		l.buf = make([]byte, 0, max(size, 4<<10))
	}
	l.buf = l.buf[:0]
	for i, e := range entries {
		f.prev, f.payload, f.more = f.crc, e, i < len(entries)-1
		f.pos++
		l.buf = appendFrame(l.buf, l.seed, &f)
	}
	return f.crc
}

// leastRoom is the least that is reserved where a segment may be that large.
const leastRoom = 16 << 10

// zeros is what room is made of.
var zeros [1 << 20]byte

// reserve writes zeros from where an append will end, some way ahead of it, unless
// there are some. An fsync of bytes within a file is faster than one that makes the
// file longer: by a third, on ext4. The longer the segment is, the more it reserves. A log that is closed, and a segment that is sealed,
// has no room left.
func (l *log) reserve(end int64) error {
	if end <= l.room {
		return nil
	}
	n := min(int64(len(zeros)), l.cfg.segmentSize/4, max(leastRoom, end/4))
	err := writeAll(l.f, zeros[:n], end)
	if err == nil {
		l.room = end + n
	}
	return err
}

// leaveNoRoom cuts the active segment behind its last frame. The caller syncs it before
// it writes a seal or a mark, so that nothing is ever behind one.
func (l *log) leaveNoRoom() error {
	if l.room <= l.off {
		return nil
	}
	l.room = 0
	return l.f.Truncate(l.off)
}

// undoAppend follows a write that failed, of which any part may be in the file. Only
// when the file was cut back, durably, is it certain that the entries are not there.
func (l *log) undoAppend(cause error) error {
	_ = l.fail(cause)
	err := l.f.Truncate(l.off)
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("%w: %w; taking it back: %w", store.ErrUnknownOutcome, cause, err)
	}
	return cause
}

// appended makes entries that were written visible to Sync and Follow.
func (l *log) appended(last store.Position, size int64) {
	l.mu.Lock()
	l.last = last
	l.tail += size
	s := &l.segments[len(l.segments)-1]
	s.last, s.end, s.endCRC = last, l.off, l.crc
	if l.waiting {
		l.waiting = false
		close(l.wake)
		l.wake = make(chan struct{})
	}
	l.mu.Unlock()
}

// Sync implements [store.Log]. Calls that wait at the same time share one fsync.
func (l *log) Sync(ctx context.Context) error {
	if err := l.syncTo(ctx); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	return nil
}

func (l *log) syncTo(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	target := l.last
	l.mu.Unlock()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	last, done, err := l.last, l.synced >= target, l.unsynced()
	if l.bugs.earlySync {
		done, l.synced = true, last
	}
	l.mu.Unlock()
	if err != nil || done {
		return err
	}
	if err = l.f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, l.fail(err))
	}
	l.mu.Lock()
	l.synced = last
	l.mu.Unlock()
	return nil
}

// unsynced is ready for Sync: of the entries that a failed log has not synced, the
// outcome is not known. The caller holds mu.
func (l *log) unsynced() error {
	err := l.ready()
	if err != nil && !l.closed && l.synced < l.last {
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	}
	return err
}

// Close implements [store.Log]. It leaves a mark by which the next opening knows that
// no byte is missing. It waits for a Snapshot, which it ends, but not for a Load, nor
// for those who Follow: they end by themselves. Later calls return what the first one
// did.
func (l *log) Close() error {
	l.mu.Lock()
	first := !l.closed
	if l.closed = true; first {
		close(l.done)
	}
	l.mu.Unlock()
	l.snapMu.Lock()
	defer l.snapMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if first {
		if err := errors.Join(l.finish(), l.lock.Close()); err != nil {
			l.closeErr = fmt.Errorf("close log: %w", err)
		}
	}
	return l.closeErr
}

// finish syncs the entries with the mark behind them, and then gives the file the name
// that says so.
func (l *log) finish() error {
	l.mu.Lock()
	failed, last, synced := l.failed, l.last, l.synced
	name := l.segments[len(l.segments)-1].name
	number := l.segments[len(l.segments)-1].number
	l.mu.Unlock()
	err := failed
	if err == nil && l.room > l.off {
		if err = l.leaveNoRoom(); err == nil {
			err = l.f.Sync()
		}
	}
	if err == nil {
		b := appendFrame(nil, l.seed, &frame{typ: closeFrame, prev: l.crc, pos: last, synced: synced})
		if err = writeAll(l.f, b, l.off); err == nil {
			err = l.f.Sync()
		}
	}
	if err != nil && synced < last {
		err = fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	}
	if err = errors.Join(err, l.f.Close()); err != nil {
		return err
	}
	if err = l.fs.Rename(l.path(name), l.path(fileName(number, closedExt))); err != nil {
		return err
	}
	return l.directory.sync()
}
