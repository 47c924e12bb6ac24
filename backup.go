package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/google/uuid"
)

// A backup is a snapshot of the log as a stream:
//
//	backupMagic
//	frame*       length (4 bytes, big-endian, not 0), checksum (4), that many bytes: a part of a snapshot
//	end          0 (4), checksum (4), the number of frames (8), their bytes (8)
//
// Each checksum is CRC-32C of everything before it, so that frames cannot be lost,
// repeated or swapped; that of the end is followed by what it counts, and then by
// nothing.

const backupMagic = "noex store backup 1\n"

// maxFrame bounds a frame that is read back; parts are far smaller but for single
// records.
const maxFrame = 1 << 30

// ErrBackup is a stream that is not a whole backup.
var ErrBackup = errors.New("not a whole backup")

// Backup writes the store as it is now, all buckets at one commit, those included
// that are in the log and not defined, Volatile ones left out. Readers and writers
// go on meanwhile. The stream ends with a checksum, by which Restore knows that it
// is whole. Errors: w's, ErrClosed.
func (st *Store) Backup(ctx context.Context, w io.Writer) error {
	if err := st.backup(ctx, w); err != nil {
		return &Error{Op: "backup", Err: err}
	}
	return nil
}

func (st *Store) backup(ctx context.Context, w io.Writer) error {
	if st.closed.Load() {
		return ErrClosed
	}
	c, err := st.cut()
	if err != nil {
		return err
	}
	defer c.hold.close()
	out := backupWriter{w: bufio.NewWriterSize(w, 1<<16)}
	if err := out.write([]byte(backupMagic)); err != nil {
		return err
	}
	err = c.write(func(data []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return out.frame(data)
	})
	if err != nil {
		return err
	}
	return out.end()
}

// cut finds the state of the store now.
func (st *Store) cut() (*cut, error) {
	if st.log != nil {
		return st.log.cut()
	}
	id := uuid.New()
	c := &cut{session: id[:sessionBytes]}
	st.hold(&c.hold, st.pins.AcquireLong())
	c.seq = c.hold.pin.Seq
	for _, b := range *st.buckets.Load() {
		if b.log.id != 0 {
			c.buckets = append(c.buckets, b.as(&scope{hold: &c.hold}))
		}
	}
	slices.SortFunc(c.buckets, byLogID)
	return c, nil
}

// backupWriter writes a backup.
type backupWriter struct {
	w      *bufio.Writer
	sum    uint32
	frames uint64
	bytes  uint64
}

func (b *backupWriter) write(p []byte) error {
	b.sum = crc32.Update(b.sum, castagnoli, p)
	_, err := b.w.Write(p)
	return err
}

func (b *backupWriter) head(length uint32) error {
	if err := b.write(binary.BigEndian.AppendUint32(nil, length)); err != nil {
		return err
	}
	return b.write(binary.BigEndian.AppendUint32(nil, b.sum))
}

func (b *backupWriter) frame(data []byte) error {
	if len(data) == 0 || len(data) > maxFrame {
		return fmt.Errorf("a part of %d bytes", len(data))
	}
	if err := b.head(uint32(len(data))); err != nil {
		return err
	}
	b.frames++
	b.bytes += uint64(len(data))
	return b.write(data)
}

func (b *backupWriter) end() error {
	tail := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.frames), b.bytes)
	if err := b.write([]byte{0, 0, 0, 0}); err != nil {
		return err
	}
	sum := crc32.Update(b.sum, castagnoli, tail)
	if err := b.write(append(binary.BigEndian.AppendUint32(nil, sum), tail...)); err != nil {
		return err
	}
	return b.w.Flush()
}

// Restore fills the empty log of an adapter with what Backup wrote. A stream that
// is truncated or changed leaves the log empty. Errors: ErrBackup, ErrNotEmpty, r's,
// the adapter's.
func Restore(ctx context.Context, r io.Reader, adapter Adapter) error {
	if err := restore(ctx, r, adapter); err != nil {
		return &Error{Op: "restore", Err: err}
	}
	return nil
}

func restore(ctx context.Context, r io.Reader, adapter Adapter) (err error) {
	log, err := adapter.OpenLog(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	there := newLoaded()
	if err := there.read(ctx, log, func(LoadProgress) {}); err != nil {
		return err
	}
	if there.seq > 0 || there.lastID > 0 {
		return ErrNotEmpty
	}
	in := &backupReader{r: bufio.NewReaderSize(r, 1<<16)}
	if err := in.magic(); err != nil {
		return err
	}
	at := log.Info().Last
	if at == 0 { // a snapshot is of something
		id := uuid.New()
		if err := log.Append(ctx, 0, [][]byte{emptyEntry(id[:sessionBytes], 0)}); err != nil {
			return err
		}
		at++
	}
	check := newLoaded()
	return log.Snapshot(ctx, at, func(put func(data []byte) error) error {
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			data, err := in.frame()
			if err != nil || data == nil {
				return err
			}
			if err := check.parse(data); err != nil {
				return fmt.Errorf("%w: %w", ErrBackup, err)
			}
			check.forget()
			if err := put(data); err != nil {
				return err
			}
		}
	})
}

// backupReader reads a backup.
type backupReader struct {
	r      *bufio.Reader
	sum    uint32
	frames uint64
	bytes  uint64
	buf    []byte
}

// read fills p, which is part of what is summed.
func (b *backupReader) read(p []byte) error {
	if _, err := io.ReadFull(b.r, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: it ends after %d frames", ErrBackup, b.frames)
		}
		return err
	}
	b.sum = crc32.Update(b.sum, castagnoli, p)
	return nil
}

func (b *backupReader) magic() error {
	head := make([]byte, len(backupMagic))
	if err := b.read(head); err != nil {
		return err
	}
	if string(head) != backupMagic {
		return fmt.Errorf("%w: it begins with something else", ErrBackup)
	}
	return nil
}

// frame returns the next frame, valid until the call after; nil at the end.
func (b *backupReader) frame() ([]byte, error) {
	var head [8]byte
	if err := b.read(head[:4]); err != nil {
		return nil, err
	}
	sum := b.sum
	if err := b.read(head[4:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:4])
	if length == 0 {
		return nil, b.end(sum, binary.BigEndian.Uint32(head[4:]))
	}
	if binary.BigEndian.Uint32(head[4:]) != sum || length > maxFrame {
		return nil, fmt.Errorf("%w: frame %d is damaged, or what is before it", ErrBackup, b.frames+1)
	}
	b.buf = b.buf[:0]
	for left := int(length); left > 0; { // memory as it comes, whatever the length says
		n := min(left, 1<<20)
		b.buf = slices.Grow(b.buf, n)
		at := len(b.buf)
		b.buf = b.buf[:at+n]
		if err := b.read(b.buf[at:]); err != nil {
			return nil, err
		}
		left -= n
	}
	b.frames++
	b.bytes += uint64(length)
	return b.buf, nil
}

// end checks the end; sum is that of all before its checksum.
func (b *backupReader) end(sum, want uint32) error {
	var tail [16]byte
	if err := b.read(tail[:]); err != nil {
		return err
	}
	switch _, err := b.r.ReadByte(); {
	case crc32.Update(sum, castagnoli, tail[:]) != want,
		binary.BigEndian.Uint64(tail[:8]) != b.frames, binary.BigEndian.Uint64(tail[8:]) != b.bytes:
		return fmt.Errorf("%w: its end does not fit what is before it", ErrBackup)
	case err == nil:
		return fmt.Errorf("%w: there is something behind its end", ErrBackup)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
