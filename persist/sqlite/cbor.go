package sqlite

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// The values of a row go between entries, tables and JSON as CBOR, without being
// decoded. What is read here was checked before, by logentry.Parse or by a row's
// checksum; it is not trusted all the same.

// The major types of CBOR.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

var errValue = errors.New("not a value of a store")

// cutHead cuts the head from an item: its major type, and its argument. The low
// bits of the first byte tell floats from other simple values.
func cutHead(b []byte) (major, low byte, arg uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, 0, nil, errValue
	}
	major, low, rest = b[0]>>5, b[0]&0x1f, b[1:]
	if low < 24 {
		return major, low, uint64(low), rest, nil
	}
	n := 1 << (low - 24)
	if low > 27 || len(rest) < n {
		return 0, 0, 0, nil, errValue
	}
	switch n {
	case 1:
		arg = uint64(rest[0])
	case 2:
		arg = uint64(binary.BigEndian.Uint16(rest))
	case 4:
		arg = uint64(binary.BigEndian.Uint32(rest))
	default:
		arg = binary.BigEndian.Uint64(rest)
	}
	return major, low, arg, rest[n:], nil
}

// cutString cuts the content of a string of n bytes.
func cutString(b []byte, n uint64) (s, rest []byte, err error) {
	if n > uint64(len(b)) {
		return nil, nil, errValue
	}
	return b[:n], b[n:], nil
}

// cutText cuts a text.
func cutText(b []byte) (s, rest []byte, err error) {
	major, _, n, rest, err := cutHead(b)
	if err != nil || major != majorText {
		return nil, nil, errValue
	}
	s, rest, err = cutString(rest, n)
	if err != nil || !utf8.Valid(s) {
		return nil, nil, errValue
	}
	return s, rest, nil
}

// cutCount cuts the head of an array or a map, and returns how many items follow.
func cutCount(b []byte, want byte) (int, []byte, error) {
	major, _, n, rest, err := cutHead(b)
	if err != nil || major != want || n > uint64(len(rest)) {
		return 0, nil, errValue
	}
	return int(n), rest, nil
}

// cutItem cuts a whole item, however deep it nests.
func cutItem(b []byte) (item, rest []byte, err error) {
	rest = b
	for open := uint64(1); open > 0; open-- {
		major, _, n, r, err := cutHead(rest)
		if err != nil {
			return nil, nil, err
		}
		switch major {
		case majorBytes, majorText:
			if _, r, err = cutString(r, n); err != nil {
				return nil, nil, err
			}
		case majorArray, majorMap:
			if n > uint64(len(r)) {
				return nil, nil, errValue
			}
			open += n * uint64(major-majorArray+1)
		case majorTag:
			open++
		}
		rest = r
	}
	return b[:len(b)-len(rest)], rest, nil
}
