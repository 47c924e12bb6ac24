package file

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// segment is a file of entries. Only the last one grows.
type segment struct {
	number uint64
	name   string
	prev   uint32         // checksum before its first frame
	first  store.Position // of its first entry, if it has any
	last   store.Position // of its last one; first-1: it has none
	end    int64          // offset behind its entries
	endCRC uint32         // checksum of its last frame before end
}

// newSegment makes the file of a segment, durable with its name. Its first entry comes
// behind position last, its first frame behind the checksum prev.
func (d directory) newSegment(id logID, number uint64, prev uint32, last store.Position) (segment, vfs.File, error) {
	s := segment{
		number: number, name: fileName(number, segmentExt), prev: prev, first: last + 1, last: last,
		end: headerSize, endCRC: prev,
	}
	f, err := d.fs.OpenFile(d.path(s.name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s, nil, err
	}
	h := appendHeader(nil, header{magic: segmentMagic, id: id, number: number, prev: prev, pos: last + 1, synced: last})
	if err = writeAll(f, h, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = d.sync()
	}
	if err != nil {
		return s, nil, errors.Join(err, f.Close())
	}
	return s, f, nil
}

// writeAll is WriteAt that fails when it writes less.
func writeAll(f vfs.File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// rotate ends the active segment and begins the next one. The caller holds appendMu and
// syncMu. In this order, each step durable before the next: the entries of the old
// segment, the new file with its header and its name, the seal of the old one. So an
// entry in a segment proves that the one before it is whole and sealed, and a seal
// proves that there is a next segment.
func (l *log) rotate() error {
	if err := l.leaveNoRoom(); err != nil {
		return l.fail(err)
	}
	if err := l.f.Sync(); err != nil {
		return l.fail(err)
	}
	l.mu.Lock()
	l.synced = l.last
	last, number := l.last, l.segments[len(l.segments)-1].number
	l.mu.Unlock()

	seal := frame{typ: sealFrame, prev: l.crc, pos: last, synced: last}
	b := appendFrame(nil, l.seed, &seal)
	s, f, err := l.newSegment(l.id, number+1, seal.crc, last)
	if err != nil {
		return l.fail(err)
	}
	if err = writeAll(l.f, b, l.off); err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		return l.fail(errors.Join(err, f.Close()))
	}
	_ = l.f.Close() // synced
	l.f, l.off, l.crc = f, headerSize, seal.crc
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	return nil
}

// locate returns the offset in a segment where an entry begins, or its end for the
// position behind its last entry. It reads the segment up to there. The caller keeps
// the file from being replaced.
func (d directory) locate(s segment, id logID, pos store.Position) (off int64, prev uint32, err error) {
	switch pos {
	case s.first:
		return headerSize, s.prev, nil
	case s.last + 1:
		return s.end, s.endCRC, nil
	}
	r, err := d.openFrames(s.name, id)
	if err != nil {
		return 0, 0, err
	}
	defer r.close()
	r.size = s.end
	c := chain{prev: s.prev, last: s.first - 1}
	for c.last+1 < pos {
		f, err := r.next()
		if err == nil {
			err = c.check(f, s.name)
		}
		if err != nil {
			return 0, 0, damaged(err, s.name, r.off)
		}
	}
	return r.off, c.prev, nil
}

// check is follows as an error.
func (c *chain) check(f *frame, name string) error {
	if wrong := c.follows(f); wrong != "" {
		return corrupt(name, f.off, wrong)
	}
	return nil
}

// damaged is the error for a file that ends where it should go on.
func damaged(err error, name string, off int64) error {
	if err == io.EOF {
		return corrupt(name, off, "ends too early")
	}
	return err
}

// trim replaces a sealed segment by its entries behind a position that it reaches
// beyond. The frames are copied as they are; the file is replaced by a rename, once the
// copy was synced and read back, so that at any moment there is the one or the other.
func (l *log) trim(s segment, at store.Position) (segment, error) {
	from, prev, err := l.locate(s, l.id, at+1)
	if err != nil || from-headerSize < l.smallSegment() {
		return s, err
	}
	t := s
	t.first, t.prev, t.end = at+1, prev, s.end-from+headerSize
	temp := fileName(s.number, tempExt)
	if err = l.copyTail(s, temp, from, t, at); err == nil {
		err = l.verifySealed(t, temp)
	}
	if err == nil {
		err = l.fs.Rename(l.path(temp), l.path(s.name))
	}
	if err != nil {
		_ = l.fs.Remove(l.path(temp))
		return s, err
	}
	return t, nil
}

func (l *log) copyTail(s segment, temp string, from int64, t segment, at store.Position) error {
	in, size, err := l.open(s.name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := l.fs.OpenFile(l.path(temp), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	head := appendHeader(nil, header{
		magic: segmentMagic, id: l.id, number: t.number, prev: t.prev, pos: t.first, synced: at,
	})
	w := io.NewOffsetWriter(out, 0)
	_, err = io.CopyBuffer(w, io.MultiReader(bytes.NewReader(head), io.NewSectionReader(in, from, size-from)), make([]byte, readSize))
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// verifySealed reads a segment that another one follows.
func (l *log) verifySealed(s segment, name string) error {
	h, _, wrong, err := l.readHeader(name, segmentMagic, s.number)
	if err != nil {
		return err
	}
	if wrong != "" {
		return corrupt(name, 0, wrong)
	}
	r, err := l.openFrames(name, l.id)
	if err != nil {
		return err
	}
	defer r.close()
	c := chain{prev: h.prev, last: h.pos - 1}
	for {
		f, err := r.next()
		if err == nil {
			err = c.check(f, name)
		}
		switch {
		case err != nil:
			return damaged(err, name, r.off)
		case f.typ == sealFrame && r.off == r.size && c.last == s.last:
			return nil
		case f.typ != entryFrame:
			return corrupt(name, f.off, "frame is out of place")
		}
	}
}
