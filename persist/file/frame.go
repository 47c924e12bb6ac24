package file

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/noex-go/store"
)

// A file is frames without gaps. A frame is a head and a payload; numbers are little
// endian:
//
//	 0  4  CRC-32C of all that follows, begun with the seed of the log
//	 4  4  the CRC-32C of the frame before
//	 8  4  length of the payload
//	12  1  version of the format: 1
//	13  1  type
//	14  1  1: the next frame is of the same append
//	15  1  0
//	16  8  position
//	24  8  the position up to which the log was known to be synced when this was written
//	32     payload
//
// As the checksum before is part of what is summed, frames cannot be swapped, repeated
// or left out. As it stands in the frame, each frame can be checked alone, which
// proves, behind a bad frame, what had been synced. The seed is the CRC-32C of the
// log's id, so that the bytes of another log, as somebody may have stored them in this
// one, are no frames here. Headers, which have the id, are begun with 0.
const (
	headSize      = 32
	formatVersion = 1

	maxEntry = 256 << 20 // bytes of an entry
	maxGroup = 1 << 30   // bytes of the frames of one append
)

type frameType uint8

const (
	headerFrame  frameType = 1 // begins every file
	entryFrame   frameType = 2 // an entry, or a part of a snapshot
	sealFrame    frameType = 3 // ends a segment that another one follows
	closeFrame   frameType = 4 // ends the last segment of a log that was closed
	trailerFrame frameType = 5 // ends a snapshot
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is a frame that was read, or is to be written.
type frame struct {
	crc, prev   uint32
	typ         frameType
	more        bool
	pos, synced store.Position
	payload     []byte

	off int64 // in its file
}

func (f *frame) size() int64 { return headSize + int64(len(f.payload)) }

// appendFrame appends the bytes of a frame, and sets its checksum.
func appendFrame(b []byte, seed uint32, f *frame) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, f.prev)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.payload)))
	more := byte(0)
	if f.more {
		more = 1
	}
	b = append(b, formatVersion, byte(f.typ), more, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.pos))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.synced))
	b = append(b, f.payload...)
	f.crc = crc32.Update(seed, castagnoli, b[at+4:])
	binary.LittleEndian.PutUint32(b[at:], f.crc)
	return b
}

// parseHead reads a head, and says what is wrong with it; "" is nothing. room is how
// many bytes there are for the payload.
func parseHead(b []byte, room int64) (f frame, length int, wrong string) {
	f = frame{
		crc:    binary.LittleEndian.Uint32(b),
		prev:   binary.LittleEndian.Uint32(b[4:]),
		typ:    frameType(b[13]),
		more:   b[14] == 1,
		pos:    store.Position(binary.LittleEndian.Uint64(b[16:])),
		synced: store.Position(binary.LittleEndian.Uint64(b[24:])),
	}
	n := int64(binary.LittleEndian.Uint32(b[8:]))
	switch {
	case b[12] != formatVersion:
		wrong = "unknown version of the format"
	case f.typ < headerFrame || f.typ > trailerFrame:
		wrong = "unknown type of frame"
	case b[14] > 1 || b[15] != 0 || f.more && f.typ != entryFrame:
		wrong = "unknown flags"
	case n > maxEntry:
		wrong = "frame is too long"
	case n > room:
		wrong = "frame is cut off"
	case f.synced > f.pos:
		wrong = "synced beyond its position"
	}
	return f, int(n), wrong
}

// A header is the payload of a file's first frame:
//
//	 0  8  "noexlog\n" for a segment, "noexsnp\n" for a snapshot
//	 8 16  id of the log
//	24  8  number of the segment; position of the snapshot
//	32  4  CRC-32C of the frame before the first one; 0 in a snapshot, and if there is none
//	36  4  0
//
// The position of the frame is that of the first entry of the segment, or of the
// snapshot. Through a segment's header the chain of checksums goes on from one segment
// to the next, and headers are no links of it: when the head of a segment is cut away,
// because a snapshot has it, the rest of the segment stays as it is.
type header struct {
	magic  string
	id     logID
	number uint64
	prev   uint32
	pos    store.Position
	synced store.Position
}

type logID [16]byte

// seed begins the checksums of a log.
func (id logID) seed() uint32 { return crc32.Checksum(id[:], castagnoli) }

const (
	segmentMagic = "noexlog\n"
	snapMagic    = "noexsnp\n"
	payloadSize  = 40
	headerSize   = headSize + payloadSize
)

func appendHeader(b []byte, h header) []byte {
	p := make([]byte, 0, payloadSize)
	p = append(p, h.magic...)
	p = append(p, h.id[:]...)
	p = binary.LittleEndian.AppendUint64(p, h.number)
	p = binary.LittleEndian.AppendUint32(p, h.prev)
	p = append(p, 0, 0, 0, 0)
	return appendFrame(b, 0, &frame{typ: headerFrame, pos: h.pos, synced: h.synced, payload: p})
}

// parseHeader reads the first bytes of a file, and says what is wrong with them.
func parseHeader(b []byte, magic string, number uint64, bugs bugs) (h header, wrong string) {
	if len(b) < headerSize {
		return h, "header is cut off"
	}
	f, n, wrong := parseHead(b, payloadSize)
	p := b[headSize:headerSize]
	h = header{
		magic:  string(p[:8]),
		id:     logID(p[8:24]),
		number: binary.LittleEndian.Uint64(p[24:]),
		prev:   binary.LittleEndian.Uint32(p[32:]),
		pos:    f.pos,
		synced: f.synced,
	}
	switch {
	case wrong != "":
	case n != payloadSize || f.typ != headerFrame || f.prev != 0:
		wrong = "does not begin with a header"
	case !bugs.noChecksum && crc32.Checksum(b[4:headerSize], castagnoli) != f.crc:
		wrong = "checksum of the header is wrong"
	case h.magic != magic:
		wrong = "header is that of another kind of file"
	case h.number != number:
		wrong = "header is that of a file of another number"
	case binary.LittleEndian.Uint32(p[36:]) != 0:
		wrong = "unknown header"
	}
	return h, wrong
}
