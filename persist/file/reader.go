package file

import (
	"bytes"
	"hash/crc32"
	"io"
	"os"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

const readSize = 256 << 10

// reader reads the frames of a file one after another with few large reads, and checks
// each by itself; that they continue one another is for its caller to check. Its
// buffer grows to the largest frame, never beyond the file or maxEntry.
type reader struct {
	f    vfs.File
	name string
	size int64 // up to where it reads
	seed uint32
	bugs bugs

	buf  []byte
	have []byte // of buf, what was read and not used
	off  int64  // in the file, of have
	fr   frame
}

// corrupt is damage at an offset of the file.
func corrupt(name string, off int64, reason string) error {
	return &store.CorruptError{File: name, Offset: off, Reason: reason}
}

// open opens a file for reading and returns its size.
func (d directory) open(name string) (vfs.File, int64, error) {
	f, err := d.fs.OpenFile(d.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// openFrames opens a file whose header was read, behind the header.
func (d directory) openFrames(name string, id logID) (*reader, error) {
	f, size, err := d.open(name)
	if err != nil {
		return nil, err
	}
	return &reader{f: f, name: name, size: size, seed: id.seed(), bugs: d.bugs, off: headerSize}, nil
}

func (r *reader) close() { _ = r.f.Close() } // nothing was written through it

// seek goes to an offset where a frame begins.
func (r *reader) seek(off int64) {
	r.have, r.off = nil, off
}

// readHeader reads the header of a file, and its size. wrong says that it is none.
func (d directory) readHeader(name, magic string, number uint64) (h header, size int64, wrong string, err error) {
	f, size, err := d.open(name)
	if err != nil {
		return h, 0, "", err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, min(size, headerSize))
	if _, err = f.ReadAt(b, 0); err != nil && err != io.EOF {
		return h, 0, "", err
	}
	h, wrong = parseHeader(b, magic, number, d.bugs)
	return h, size, wrong, nil
}

// next returns the next frame, which is valid until the next call. At the end it
// returns io.EOF, and for what is no frame a *store.CorruptError, without going on.
func (r *reader) next() (*frame, error) {
	if r.off == r.size {
		return nil, io.EOF
	}
	if err := r.fill(headSize); err != nil {
		return nil, err
	}
	if len(r.have) < headSize {
		return nil, corrupt(r.name, r.off, "frame is cut off")
	}
	f, n, wrong := parseHead(r.have, r.size-r.off-headSize)
	if wrong != "" {
		return nil, corrupt(r.name, r.off, wrong)
	}
	if err := r.fill(headSize + n); err != nil {
		return nil, err
	}
	if len(r.have) < headSize+n {
		return nil, corrupt(r.name, r.off, "frame is cut off")
	}
	if !r.bugs.noChecksum && crc32.Update(r.seed, castagnoli, r.have[4:headSize+n]) != f.crc {
		return nil, corrupt(r.name, r.off, "checksum is wrong")
	}
	f.off, f.payload = r.off, r.have[headSize:headSize+n:headSize+n]
	r.have, r.off = r.have[headSize+n:], r.off+headSize+int64(n)
	r.fr = f
	return &r.fr, nil
}

// fill reads until there are n bytes, or the file ends.
func (r *reader) fill(n int) error {
	if len(r.have) >= n {
		return nil
	}
	if n > len(r.buf) {
		grown := make([]byte, max(n, int(min(readSize, r.size-r.off))))
		r.have, r.buf = grown[:copy(grown, r.have)], grown
	} else {
		r.have = r.buf[:copy(r.buf, r.have)]
	}
	got := len(r.have)
	want := int(min(int64(len(r.buf)), r.size-r.off))
	if want <= got {
		return nil
	}
	m, err := r.f.ReadAt(r.buf[got:want], r.off+int64(got))
	r.have = r.buf[:got+m]
	if err == io.EOF {
		err = nil
	}
	return err
}

// chain is what the next frame has to continue.
type chain struct {
	prev   uint32
	last   store.Position
	synced store.Position // the most that any frame knew
}

// follows checks that a frame continues the chain, and takes it in. An entry has the
// next position, every other frame that of the last entry.
func (c *chain) follows(f *frame) (wrong string) {
	want := c.last
	if f.typ == entryFrame {
		want++
	}
	switch {
	case f.prev != c.prev:
		return "does not continue the frame before"
	case f.pos != want:
		return "position is not the next one"
	case f.typ == entryFrame && f.synced >= f.pos || f.synced < c.synced:
		return "synced position is impossible"
	}
	c.prev, c.last, c.synced = f.crc, f.pos, f.synced
	return ""
}

// written returns where the bytes of a file end that are not zero, as those are that
// were reserved; at least from.
func (r *reader) written(from int64) (end int64, err error) {
	r.seek(from)
	end = from
	for r.off < r.size {
		if err := r.fill(1); err != nil {
			return 0, err
		}
		if len(r.have) == 0 {
			break // it has become shorter
		}
		if rest := bytes.TrimRight(r.have, "\x00"); len(rest) > 0 {
			end = r.off + int64(len(rest))
		}
		r.off, r.have = r.off+int64(len(r.have)), nil
	}
	return end, nil
}
