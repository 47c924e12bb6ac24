package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The conversions below take a scalar of any Go type. The usual types go through a switch; named types and pointers
// are reduced to those once, by reflection. A nil pointer is null, and refused like any other wrong type.

// reduce returns the plain value behind a pointer or a named type, and false where there is nothing more to reduce.
func reduce(v any) (any, bool) {
	rv, ok := indirect(reflect.ValueOf(v))
	if !ok || !rv.IsValid() {
		return nil, false
	}
	b, ok := basic(rv)
	if !ok || reflect.TypeOf(b) == reflect.TypeOf(v) {
		return nil, false
	}
	return b, true
}

// toString takes string kinds only; a json.Number is a number.
func toString(v any) (string, *valueError) {
	s, ok := v.(string)
	if !ok {
		r, _ := reduce(v)
		if s, ok = r.(string); !ok {
			return "", errWant("a string", v)
		}
	}
	if !utf8.ValidString(s) {
		return "", errUTF8()
	}
	return s, nil
}

func toBool(v any) (bool, *valueError) {
	b, ok := v.(bool)
	if !ok {
		r, _ := reduce(v)
		if b, ok = r.(bool); !ok {
			return false, errWant("a bool", v)
		}
	}
	return b, nil
}

// toInt takes integers, and floats and json.Numbers whose value is a whole number ("1e3" is one).
func toInt(v any) (int64, *valueError) {
	switch x := v.(type) {
	case int:
		return int64(x), nil
	case int64:
		return x, nil
	case int32:
		return int64(x), nil
	case uint64:
		return fromUint(x)
	case float64:
		return fromWhole(x)
	case json.Number:
		d, err := parseDecimal(string(x))
		if err != nil {
			return 0, err
		}
		return d.int64()
	}
	if r, ok := reduce(v); ok {
		return toInt(r)
	}
	return 0, errWant("an integer", v)
}

// toFloat takes floats, integers that a float64 holds exactly, and json.Numbers. These are rounded, however they are
// written: encoding/json writes the float64 nearest to 1234567890123456789 with no point, in digits that are not exact.
func toFloat(v any) (float64, *valueError) {
	if s, ok := v.(json.Number); ok {
		if _, err := parseDecimal(string(s)); err != nil {
			return 0, err
		}
		return parseFloat(s)
	}
	i, f, isFloat, err := toNumber(v)
	if err != nil || isFloat {
		return f, err
	}
	if f = float64(i); !equalIntFloat(i, f) {
		return 0, &valueError{codeType, "is an integer that a float64 cannot hold exactly"}
	}
	return f, nil
}

// toNumber takes any number as it is: integers as i, floats, whole or not, as f. A json.Number is an integer if it is
// written as one and fits.
func toNumber(v any) (i int64, f float64, isFloat bool, err *valueError) {
	switch x := v.(type) {
	case int:
		return int64(x), 0, false, nil
	case int64:
		return x, 0, false, nil
	case int32:
		return int64(x), 0, false, nil
	case uint64:
		i, err = fromUint(x)
		return i, 0, false, err
	case float64:
		if math.IsNaN(x) {
			return 0, 0, true, errNaN()
		}
		return 0, x, true, nil
	case json.Number:
		return numberOf(x)
	}
	if r, ok := reduce(v); ok {
		return toNumber(r)
	}
	return 0, 0, false, errWant("a number", v)
}

// toTime takes a time.Time, an RFC 3339 date-time, a date alone as its midnight in UTC, or Unix milliseconds.
func toTime(v any) (time.Time, *valueError) {
	switch x := v.(type) {
	case time.Time:
		return canonicalTime(x)
	case string:
		t, ok := parseISODate(x)
		if !ok {
			return time.Time{}, &valueError{codeFormat, "is not an ISO 8601 date"}
		}
		return canonicalTime(t)
	case int, int64, int32, uint64, float64, json.Number:
		ms, err := toInt(v)
		switch {
		case err != nil && err.code != codeMax:
			return time.Time{}, err
		case err != nil, ms < minMillis, ms > maxMillis: // UnixMilli would wrap the year around
			return time.Time{}, errYear()
		}
		return time.UnixMilli(ms).UTC(), nil
	}
	if r, ok := reduce(v); ok {
		return toTime(r)
	}
	return time.Time{}, errWant("a date", v)
}

// Unix milliseconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z.
const minMillis, maxMillis = -62_135_596_800_000, 253_402_300_799_999

// canonicalTime returns t in UTC, which also strips the monotonic clock.
func canonicalTime(t time.Time) (time.Time, *valueError) {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, errYear()
	}
	return t, nil
}

// strictBase64 and the refusal of line ends, which it would skip, make one string per value.
var strictBase64 = base64.StdEncoding.Strict()

// toBytes takes bytes, which it copies, or standard padded base64, as encoding/json writes them.
func toBytes(v any) ([]byte, *valueError) {
	switch x := v.(type) {
	case []byte:
		return cloneBytes(x), nil
	case string:
		if strings.ContainsAny(x, "\r\n") {
			return nil, errBase64()
		}
		b, err := strictBase64.DecodeString(x)
		if err != nil {
			return nil, errBase64()
		}
		return b, nil
	}
	if r, ok := reduce(v); ok {
		return toBytes(r)
	}
	return nil, errWant("bytes", v)
}

func errBase64() *valueError { return &valueError{codeFormat, "is not standard base64"} }

func fromUint(u uint64) (int64, *valueError) {
	if u > math.MaxInt64 {
		return 0, errIntRange()
	}
	return int64(u), nil
}

func fromWhole(f float64) (int64, *valueError) {
	switch {
	case math.IsNaN(f):
		return 0, errNaN()
	case f != math.Trunc(f):
		return 0, errFraction()
	case !inInt64(f):
		return 0, errIntRange()
	}
	return int64(f), nil
}

func errFraction() *valueError {
	return &valueError{codeType, "must be an integer, got a number with a fraction"}
}

// numberOf reads a json.Number: an int64 if it is written as an integer and fits, else a float64.
func numberOf(s json.Number) (i int64, f float64, isFloat bool, err *valueError) {
	d, err := parseDecimal(string(s))
	if err != nil {
		return 0, 0, false, err
	}
	if d.frac == "" && d.exp == "" {
		if i, err := d.int64(); err == nil {
			return i, 0, false, nil
		}
	}
	f, err = parseFloat(s)
	return 0, f, true, err
}

// parseFloat rounds a number whose syntax parseDecimal has accepted.
func parseFloat(s json.Number) (float64, *valueError) {
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil {
		return 0, &valueError{codeMax, "is out of float64 range"}
	}
	return f, nil
}

// decimal is a number in the syntax of JSON (RFC 8259 section 6), cut into its parts.
type decimal struct {
	neg              bool
	whole, frac, exp string
}

// parseDecimal is stricter than strconv, which takes "inf", "0x1p4" and "1_000".
func parseDecimal(s string) (d decimal, err *valueError) {
	rest, neg := strings.CutPrefix(s, "-")
	d.neg = neg
	d.whole, rest = cutDigits(rest)
	if d.whole == "" || d.whole[0] == '0' && len(d.whole) > 1 {
		return d, errNumber()
	}
	if r, ok := strings.CutPrefix(rest, "."); ok {
		if d.frac, rest = cutDigits(r); d.frac == "" {
			return d, errNumber()
		}
	}
	if rest != "" && rest[0]|0x20 == 'e' {
		rest = rest[1:]
		sign := 0
		if rest != "" && (rest[0] == '+' || rest[0] == '-') {
			sign = 1
		}
		digits, r := cutDigits(rest[sign:])
		if digits == "" {
			return d, errNumber()
		}
		d.exp, rest = rest[:sign+len(digits)], r
	}
	if rest != "" {
		return d, errNumber()
	}
	return d, nil
}

func errNumber() *valueError { return &valueError{codeFormat, "is not a JSON number"} }

func cutDigits(s string) (digits, rest string) {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// int64 returns the exact value if it is whole; through a float64, 9007199254740993.0 would lose its last digit.
func (d decimal) int64() (int64, *valueError) {
	whole, frac := strings.TrimLeft(d.whole, "0"), strings.TrimRight(d.frac, "0")
	if whole == "" && frac == "" {
		return 0, nil
	}
	exp := 0
	if d.exp != "" {
		exp, _ = strconv.Atoi(d.exp) // out of range, it returns the nearest int
		exp = max(min(exp, math.MaxInt32), math.MinInt32)
	}
	if frac == "" {
		trimmed := strings.TrimRight(whole, "0")
		exp += len(whole) - len(trimmed)
		whole = trimmed
	}
	exp -= len(frac)
	if whole == "" {
		frac = strings.TrimLeft(frac, "0")
	}
	switch {
	case exp < 0:
		return 0, errFraction()
	case exp > 19 || len(whole)+len(frac)+exp > 19:
		return 0, errIntRange()
	}
	var u uint64 // 19 digits fit
	for _, digits := range [...]string{whole, frac} {
		for i := range len(digits) {
			u = u*10 + uint64(digits[i]-'0')
		}
	}
	for range exp {
		u *= 10
	}
	if d.neg && u == 1<<63 {
		return math.MinInt64, nil
	}
	i, err := fromUint(u)
	if d.neg {
		i = -i
	}
	return i, err
}

// typeName names the type of v in the words of JSON where there is one, else in Go's.
func typeName(v any) string {
	rv, ok := indirect(reflect.ValueOf(v))
	if !ok {
		return fmt.Sprintf("%T", v)
	}
	if !rv.IsValid() {
		return "null"
	}
	if b, ok := basic(rv); ok {
		switch b.(type) {
		case string:
			return "string"
		case bool:
			return "bool"
		case time.Time:
			return "date"
		case []byte:
			return "bytes"
		}
		return "number"
	}
	switch t := rv.Type(); {
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		return "array"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		return "object"
	default:
		return t.String()
	}
}

// convert brings a value from outside into the canonical form of a type: a copy
// that shares nothing mutable. nil stays nil.
func (l limits) convert(t Type, v any) (any, *valueError) {
	if v == nil {
		return nil, nil
	}
	c, err := l.convertValue(t, v)
	if err == nil {
		return c, nil
	}
	switch rv := reflect.ValueOf(v); {
	case rv.Kind() == reflect.Pointer && rv.IsNil():
		return nil, nil
	case (t == Float || t == Number) && v == infinityText:
		return math.Inf(1), nil
	case (t == Float || t == Number) && v == "-"+infinityText:
		return math.Inf(-1), nil
	}
	return nil, err
}

// infinityText stands for an infinite float in JSON, which has no number for it.
const infinityText = "Infinity"

func (l limits) convertValue(t Type, v any) (any, *valueError) {
	switch t {
	case String:
		if s, ok := v.(string); ok && utf8.ValidString(s) && len(s) <= l.bytes {
			return v, nil
		}
		s, err := toString(v)
		if err == nil && len(s) > l.bytes {
			return nil, errTooLarge(l)
		}
		return s, err
	case Int:
		if _, ok := v.(int64); ok {
			return v, nil
		}
		i, err := toInt(v)
		return i, err
	case Float:
		f, err := toFloat(v)
		return f, err
	case Number:
		i, f, isFloat, err := toNumber(v)
		if isFloat {
			return f, err
		}
		return i, err
	case Bool:
		b, err := toBool(v)
		return b, err
	case Date:
		d, err := toTime(v)
		return d, err
	case Bytes:
		b, err := toBytes(v)
		if err == nil && len(b) > l.bytes {
			return nil, errTooLarge(l)
		}
		return b, err
	}
	c, err := l.normalize(v)
	if t == Any || err == nil && c == nil {
		return c, err
	}
	// The wrong kind of value is said to be that, whatever else is wrong with it.
	switch typeName(v) {
	case "string", "number", "bool", "date", "bytes":
		return nil, errWant("an "+t.String(), v)
	case "object":
		if t == Array {
			return nil, errWant("an array", v)
		}
	case "array":
		if t == Object {
			return nil, errWant("an object", v)
		}
	}
	return c, err
}
