package file

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// recover examines the directory, and brings it into the state in which appends go on.
func (l *log) recover(ctx context.Context) error {
	p, err := l.examine(ctx)
	if err != nil {
		return err
	}
	if p.empty {
		return l.begin(p)
	}
	l.id, l.seed = p.id, p.id.seed()
	l.rec = store.Recovery{Clean: p.closed, TornBytes: p.torn}
	last := p.last()
	open := fileName(last.number, segmentExt)
	if p.closed && !p.closing {
		if err = l.closeAgain(p); err != nil {
			return err
		}
	}
	if p.torn > 0 {
		if err = l.setAside(p); err != nil {
			return err
		}
	}
	if p.cut != "" {
		if err = l.fs.Remove(l.path(p.cut)); err != nil {
			return err
		}
	}
	if p.closing {
		if err = l.rename(fileName(last.number, closedExt), open); err != nil {
			return err
		}
		last.name = open
	}
	if err = l.secure(p); err != nil {
		return err
	}
	for _, f := range p.list.temps {
		if err = l.fs.Remove(l.path(f.name)); err != nil {
			return err
		}
	}
	l.take(p)
	return l.directory.sync()
}

func (l *log) rename(from, to string) error {
	if err := l.fs.Rename(l.path(from), l.path(to)); err != nil {
		return err
	}
	return l.directory.sync()
}

// begin makes the first segment of a log.
func (l *log) begin(p *plan) error {
	l.rec.Clean = p.cut == ""
	for _, f := range p.list.temps {
		if err := l.fs.Remove(l.path(f.name)); err != nil {
			return err
		}
	}
	if p.cut != "" {
		if err := l.fs.Remove(l.path(p.cut)); err != nil {
			return err
		}
	}
	if err := l.syncAbove(); err != nil {
		return err
	}
	if l.id = l.cfg.id; l.id == (logID{}) {
		_, _ = rand.Read(l.id[:]) // it never fails
	}
	return l.beginAt(1, 0)
}

// beginAt makes the first segment, with a number, behind a position.
func (l *log) beginAt(number uint64, last store.Position) error {
	s, f, err := l.newSegment(l.id, number, 0, last)
	if err != nil {
		return err
	}
	l.seed, l.f, l.off = l.id.seed(), f, headerSize
	l.segments, l.last, l.synced = []segment{s}, last, last
	return nil
}

// setAside keeps a copy of the torn tail.
func (l *log) setAside(p *plan) error {
	number := uint64(1)
	if n := len(p.list.torn); n > 0 {
		number = p.list.torn[n-1].number + 1
	}
	in, _, err := l.open(p.last().name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	temp, name := l.path(fileName(number, tempExt)), fileName(number, tornExt)
	out, err := l.fs.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(io.NewOffsetWriter(out, 0), io.NewSectionReader(in, p.last().end, p.torn), make([]byte, min(readSize, p.torn)))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	p.list.temps = slices.DeleteFunc(p.list.temps, func(f named) bool { return f.number == number })
	if err = l.rename(fileName(number, tempExt), name); err != nil {
		return err
	}
	l.rec.SetAside = l.path(name)
	l.cfg.logger.Warn("unsynced end of the log was cut off by a crash and is set aside",
		"file", l.path(p.last().name), "offset", p.last().end, "bytes", p.torn, "copy", l.rec.SetAside)
	return nil
}

// closeAgain does the end of a Close again. It is not known how far that came, and once
// the log goes on, the name of a closed one must not come back.
func (l *log) closeAgain(p *plan) error {
	if err := l.secureTo(p, p.size); err != nil {
		return err
	}
	if err := l.f.Close(); err != nil {
		return err
	}
	l.f = nil
	p.synced, p.closing = p.last().last, true
	return l.rename(p.last().name, fileName(p.last().number, closedExt))
}

// secure opens the last segment for appends.
func (l *log) secure(p *plan) error {
	last := p.last()
	if err := l.secureTo(p, last.end); err != nil {
		return err
	}
	if last.last < last.first && !p.closed {
		return l.secureSeal(p)
	}
	return nil
}

// secureTo opens the last segment, cuts it at an offset, and makes sure that what is
// before that is durable. An fsync is not enough: where one has failed before, the
// operating system may hold bytes that it takes for written and the disk does not have.
// So what is not known to be synced is written again.
func (l *log) secureTo(p *plan, end int64) (err error) {
	last := p.last()
	if l.f, err = l.fs.OpenFile(l.path(last.name), os.O_RDWR, 0); err != nil {
		return err
	}
	from := last.end
	if last.last > p.synced {
		if from, _, err = l.locate(*last, l.id, max(p.synced+1, last.first)); err != nil {
			return err
		}
	}
	if err = rewrite(l.f, from, end); err != nil {
		return err
	}
	if err = l.f.Truncate(end); err != nil {
		return err
	}
	return l.f.Sync()
}

// secureSeal does the same for the seal of the segment before the last one, when no
// entry behind it proves that it was synced.
func (l *log) secureSeal(p *plan) error {
	n, names := p.last().number-1, append(slices.Clone(p.stale), "")
	for _, s := range p.segments {
		names = append(names, s.name)
	}
	name := fileName(n, segmentExt)
	if n == 0 || !slices.Contains(names, name) {
		return nil
	}
	f, err := l.fs.OpenFile(l.path(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		err = rewrite(f, size-headSize, size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// rewrite writes the bytes that are in a part of a file.
func rewrite(f vfs.File, from, to int64) error {
	buf := make([]byte, min(to-from, readSize))
	for from < to {
		b := buf[:min(to-from, readSize)]
		if n, err := f.ReadAt(b, from); n < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := writeAll(f, b, from); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

// take makes what was found the state of the log.
func (l *log) take(p *plan) {
	last := p.last()
	l.segments, l.stale = p.segments, p.stale
	l.off, l.crc = last.end, last.endCRC
	l.last, l.synced = last.last, last.last
	snaps := p.list.snaps
	if l.cfg.keepPrevious && len(snaps) > 1 {
		prev := snaps[len(snaps)-2]
		l.snaps = append(l.snaps, snapshot{pos: store.Position(prev.number), name: prev.name})
		snaps = slices.Delete(slices.Clone(snaps), len(snaps)-2, len(snaps)-1)
	}
	for _, f := range snaps[:max(len(snaps)-1, 0)] {
		l.stale = append(l.stale, f.name)
	}
	if p.snap != nil {
		l.snaps = append(l.snaps, *p.snap)
	}
	l.tail = p.tail
}
