package logentry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The library's decoder is lenient where this form is not: null becomes a zero value, an integer a rounded float, an
// array of numbers bytes, a tag that it does not know is skipped, and a time is in the zone of the machine. The
// functions here find what it lets through.

var errKind = errors.New("a value of another kind")

// checkColumn checks that the elements of a well-formed array are of the kind that out, which was decoded from it,
// holds, and brings times to UTC.
func checkColumn(raw []byte, out any) error {
	switch out := out.(type) {
	case *[]string:
		return checkKinds(raw, func(b byte) bool { return b&0xe0 == majorText })
	case *[]int64:
		return checkKinds(raw, func(b byte) bool { return b&0xe0 <= majorInt })
	case *[]float64:
		return checkKinds(raw, func(b byte) bool { return b >= 0xf9 && b <= 0xfb })
	case *[]bool:
		return checkKinds(raw, func(b byte) bool { return b == 0xf4 || b == 0xf5 })
	case *[][]byte:
		return checkKinds(raw, func(b byte) bool { return b&0xe0 == majorBytes })
	case *[]time.Time:
		if err := checkKinds(raw, func(b byte) bool { return b == majorTag || b == majorTag|1 }); err != nil {
			return err
		}
		for i, t := range *out {
			var err error
			if (*out)[i], err = settleTime(t); err != nil {
				return err
			}
		}
	case *[]any:
		if raw[0]&0xe0 != majorArray {
			return errKind
		}
		_, err := settle(*out)
		return err
	}
	return nil
}

// checkKinds checks the first byte of each element of an array. What is before an element was accepted, so that it is
// flat: a number, a string, or a time.
func checkKinds(raw []byte, ok func(byte) bool) error {
	if raw[0]&0xe0 != majorArray {
		return errKind
	}
	_, raw = cutHead(raw)
	for len(raw) > 0 {
		if !ok(raw[0]) {
			return errKind
		}
		if raw[0]&0xe0 == majorTag {
			raw = raw[1:]
		}
		major := raw[0] & 0xe0
		n, rest := cutHead(raw)
		if major == majorBytes || major == majorText {
			rest = rest[n:]
		}
		raw = rest
	}
	return nil
}

// cutHead cuts the head from a well-formed item, and returns its argument.
func cutHead(raw []byte) (uint64, []byte) {
	switch b := raw[0] & 0x1f; b {
	case 24:
		return uint64(raw[1]), raw[2:]
	case 25:
		return uint64(binary.BigEndian.Uint16(raw[1:])), raw[3:]
	case 26:
		return uint64(binary.BigEndian.Uint32(raw[1:])), raw[5:]
	case 27:
		return binary.BigEndian.Uint64(raw[1:]), raw[9:]
	default:
		return uint64(b), raw[1:]
	}
}

// settle makes a decoded value canonical, in place where it can: times are in UTC. What no value of the store is, such
// as a number with a tag, is an error.
func settle(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case nil, string, int64, float64, bool, []byte:
		return v, nil
	case time.Time:
		return settleTime(v)
	case []any:
		for i := range v {
			if v[i], err = settle(v[i]); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[string]any:
		for name, x := range v {
			switch x.(type) {
			case time.Time, []any, map[string]any:
			case nil, string, int64, float64, bool, []byte:
				continue
			}
			if v[name], err = settle(x); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	return nil, fmt.Errorf("%w: %T", errKind, v)
}

func settleTime(t time.Time) (time.Time, error) {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return t, errors.New("a time beyond the years 1 to 9999")
	}
	return t, nil
}
