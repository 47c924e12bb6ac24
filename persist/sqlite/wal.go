package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	driver "modernc.org/sqlite"

	"github.com/noex-go/store"
)

// SQLite takes the frames of a write-ahead log up to the first one that does not
// match its checksum, and drops the others silently: they are what a crash has left
// of a transaction. But with synchronous=FULL a transaction is synced before the
// next one begins, so that a crash leaves at most one that is not whole. A whole
// transaction behind a frame that does not match, with something behind it, is
// therefore damage, and what SQLite drops was acknowledged.
//
// The format is that of https://sqlite.org/fileformat2.html#the_write_ahead_log.

const (
	walMagic      = 0x377f0682 // the lowest bit: checksums of big-endian words
	walHeaderSize = 32
	walFrameSize  = 24 // and a page
)

// walSum is the checksum of a write-ahead log, up to some frame.
type walSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

// add adds bytes, a multiple of eight.
func (s *walSum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s.s0 += s.order.Uint32(b) + s.s1
		s.s1 += s.order.Uint32(b[4:]) + s.s0
	}
}

func (s *walSum) is(b []byte) bool {
	return s.s0 == binary.BigEndian.Uint32(b) && s.s1 == binary.BigEndian.Uint32(b[4:])
}

// checkWAL looks for damage in the write-ahead log that was found, once SQLite holds
// the lock. If there is any, it stays as it is when the connection is closed.
func (d *database) checkWAL() error {
	err := scanWAL(d.f.path + "-wal")
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return errors.Join(err, d.conn.Raw(func(conn any) error {
		_, err := conn.(driver.FileControl).FileControlPersistWAL("main", 1)
		return err
	}))
}

func scanWAL(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<18)
	var header [walHeaderSize]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return atEnd(err)
	}
	page := int(binary.BigEndian.Uint32(header[8:]))
	sum := walSum{order: binary.LittleEndian}
	if header[3]&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(header[:24])
	corrupt := func(offset int64, reason string) error {
		return &store.CorruptError{File: filepath.Base(path), Offset: offset, Reason: reason}
	}
	if binary.BigEndian.Uint32(header[:])&^1 != walMagic || !sum.is(header[24:]) || page < 512 || page > 1<<16 {
		if _, err := in.Peek(walFrameSize); err != nil {
			return atEnd(err)
		}
		return corrupt(0, "the header does not match its checksum") // it is synced before the first frame
	}
	bad, ended := int64(-1), false // offset of the first frame that does not match; a transaction has ended since
	frame := make([]byte, walFrameSize+page)
	for offset := int64(walHeaderSize); ; offset += int64(len(frame)) {
		if _, err := io.ReadFull(in, frame); err != nil {
			return atEnd(err)
		}
		sum.add(frame[:8])
		sum.add(frame[walFrameSize:])
		// A frame of an earlier use of the file has neither salt of this one.
		first, second := string(frame[8:12]) == string(header[16:20]), string(frame[12:16]) == string(header[20:24])
		ours := first || second
		switch {
		case bad < 0 && first && second && sum.is(frame[16:]):
		case bad < 0:
			bad = offset
			ended = ours && binary.BigEndian.Uint32(frame[4:]) != 0
		case ours && ended:
			return corrupt(bad, fmt.Sprintf("a frame does not match its checksum, though later transactions follow, at %d", offset))
		case ours:
			ended = binary.BigEndian.Uint32(frame[4:]) != 0
		}
	}
}

// atEnd makes the end of a file no error.
func atEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
