package sqlite

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/x448/float16"

	"github.com/noex-go/store/internal/logentry"
)

// appendJSON appends a value, which is CBOR, as JSON, and returns what follows it.
// A value that the store does not have is an error.
func appendJSON(out, b []byte, depth int) (_, rest []byte, err error) {
	major, low, n, rest, err := cutHead(b)
	if err != nil || depth > logentry.MaxDepth+16 {
		return nil, nil, errValue
	}
	switch major {
	case majorUint:
		if n > math.MaxInt64 {
			return nil, nil, errValue
		}
		return strconv.AppendUint(out, n, 10), rest, nil
	case majorNegative:
		if n > math.MaxInt64 {
			return nil, nil, errValue
		}
		return strconv.AppendInt(out, -1-int64(n), 10), rest, nil
	case majorBytes:
		s, rest, err := cutString(rest, n)
		out = append(base64.StdEncoding.AppendEncode(append(out, '"'), s), '"')
		return out, rest, err
	case majorText:
		s, rest, err := cutText(b)
		return appendQuoted(out, s), rest, err
	case majorArray:
		return appendJSONArray(out, rest, n, depth)
	case majorMap:
		return appendJSONMap(out, rest, n, depth)
	case majorTag:
		return appendJSONTime(out, rest, n)
	default:
		out, err = appendJSONSimple(out, low, n)
		return out, rest, err
	}
}

func appendJSONArray(out, b []byte, n uint64, depth int) (_, rest []byte, err error) {
	out = append(out, '[')
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		if out, b, err = appendJSON(out, b, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return append(out, ']'), b, nil
}

func appendJSONMap(out, b []byte, n uint64, depth int) (_, rest []byte, err error) {
	out = append(out, '{')
	out, b, err = appendPairs(out, b, n, depth)
	return append(out, '}'), b, err
}

// appendPairs appends the pairs of a map, behind others if out does not end where
// an object begins.
func appendPairs(out, b []byte, n uint64, depth int) (_, rest []byte, err error) {
	for range n {
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		var name []byte
		if name, b, err = cutText(b); err != nil {
			return nil, nil, err
		}
		if out, b, err = appendJSON(append(appendQuoted(out, name), ':'), b, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return out, b, nil
}

func appendJSONTime(out, b []byte, tag uint64) (_, rest []byte, err error) {
	var at time.Time
	switch tag {
	case 0:
		s, r, err := cutText(b)
		if err != nil {
			return nil, nil, err
		}
		if at, err = time.Parse(time.RFC3339Nano, string(s)); err != nil {
			return nil, nil, errValue
		}
		rest = r
	case 1:
		major, _, n, r, err := cutHead(b)
		if err != nil || major > majorNegative || n > math.MaxInt64 {
			return nil, nil, errValue
		}
		seconds := int64(n)
		if major == majorNegative {
			seconds = -1 - seconds
		}
		at, rest = time.Unix(seconds, 0), r
	default:
		return nil, nil, errValue
	}
	if at = at.UTC(); at.Year() < 1 || at.Year() > 9999 {
		return nil, nil, errValue
	}
	return append(at.AppendFormat(append(out, '"'), time.RFC3339Nano), '"'), rest, nil
}

func appendJSONSimple(out []byte, low byte, n uint64) ([]byte, error) {
	switch low {
	case 20:
		return append(out, "false"...), nil
	case 21:
		return append(out, "true"...), nil
	case 22:
		return append(out, "null"...), nil
	case 25:
		return appendJSONFloat(out, float64(float16.Frombits(uint16(n)).Float32()))
	case 26:
		return appendJSONFloat(out, float64(math.Float32frombits(uint32(n))))
	case 27:
		return appendJSONFloat(out, math.Float64frombits(n))
	}
	return nil, errValue
}

// appendJSONFloat appends the shortest text that is exact, which shows that it is a
// float.
func appendJSONFloat(out []byte, f float64) ([]byte, error) {
	switch {
	case math.IsNaN(f):
		return nil, errValue
	case math.IsInf(f, 1):
		return append(out, `"Infinity"`...), nil
	case math.IsInf(f, -1):
		return append(out, `"-Infinity"`...), nil
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		return append(strconv.AppendFloat(out, f, 'f', -1, 64), ".0"...), nil
	}
	return strconv.AppendFloat(out, f, 'g', -1, 64), nil
}

// appendQuoted appends a string of JSON.
func appendQuoted(out, s []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
