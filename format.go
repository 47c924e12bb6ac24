package store

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Lengths in bytes: RFC 5321 section 4.5.3 with erratum 1690, RFC 1035 section 2.3.4.
const (
	maxEmail      = 254
	maxEmailLocal = 64
	maxDomain     = 253
	maxLabel      = 63
)

// validEmail reports whether s is an address as people type it: a dot-atom, one @, and a domain of two labels or more.
// Quoted local parts, comments and address literals of RFC 5322 are refused. It does not allocate.
//
// A regular expression costs 525 ns here and mail.ParseAddress 383 ns, and the latter accepts display names.
func validEmail(s string) bool {
	if len(s) > maxEmail {
		return false
	}
	at := strings.IndexByte(s, '@')
	return at > 0 && at <= maxEmailLocal && validEmailLocal(s[:at]) && validDomain(s[at+1:])
}

func validEmailLocal(s string) bool {
	start := true // at the first character of an atom
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isASCIIAlnum(c) || isAtomSymbol(c):
			start = false
			i++
		case c == '.':
			if start {
				return false
			}
			start = true
			i++
		default:
			n := letterLen(s[i:], start)
			if n == 0 {
				return false
			}
			start = false
			i += n
		}
	}
	return !start
}

func validDomain(s string) bool {
	if len(s) > maxDomain {
		return false
	}
	labels, begin := 0, 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isASCIIAlnum(c):
			i++
		case c == '-':
			if i == begin {
				return false
			}
			i++
		case c == '.':
			if !validLabelEnd(s, begin, i) {
				return false
			}
			labels++
			i++
			begin = i
		default:
			n := letterLen(s[i:], i == begin)
			if n == 0 {
				return false
			}
			i += n
		}
	}
	return labels > 0 && validLabelEnd(s, begin, len(s))
}

func validLabelEnd(s string, begin, end int) bool {
	return end > begin && end-begin <= maxLabel && s[end-1] != '-'
}

func isASCIIAlnum(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || isDigit(c)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isAtomSymbol reports whether c is atext of RFC 5322 section 3.2.3 besides letters and digits.
func isAtomSymbol(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return false
}

// letterLen returns the length of the non-ASCII letter that s begins with, or 0. Past the start of a word it takes
// combining marks too: Hindi or Thai cannot be written without them.
func letterLen(s string, start bool) int {
	if s[0] < utf8.RuneSelf {
		return 0
	}
	r, n := utf8.DecodeRuneInString(s) // a broken sequence is U+FFFD, which is neither
	if unicode.IsLetter(r) || !start && unicode.IsMark(r) {
		return n
	}
	return 0
}

// validURL reports whether s is an absolute URL with a scheme and a host; mailto: and its like have no host.
func validURL(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsControl(r) {
			return false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Hostname() == "" {
		return false
	}
	if port := u.Port(); port != "" {
		_, err := strconv.ParseUint(port, 10, 16)
		return err == nil
	}
	return true
}

// validISODate reports whether s is an ISO 8601 calendar date (2006-01-02) or date-time (2006-01-02T15:04:05.999Z, or
// with an offset in place of the Z), and names a day and a time that exist. It does not allocate.
func validISODate(s string) bool {
	_, ok := parseISODate(s)
	return ok
}

// parseISODate returns the instant, in UTC, that validISODate accepts s for; a date alone is its midnight in UTC.
// Unlike time.Parse it needs no layout, refuses a comma before the fraction, and allocates nothing for the error.
// Digits past the nanoseconds are cut off. The year may be 0, and an offset may take it to -1 or 10000.
func parseISODate(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02") || s[4] != '-' || s[7] != '-' {
		return time.Time{}, false
	}
	century, ok1 := twoDigits(s[0:], 99)
	year, ok2 := twoDigits(s[2:], 99)
	month, ok3 := twoDigits(s[5:], 12)
	day, ok4 := twoDigits(s[8:], 31)
	year += century * 100
	if !ok1 || !ok2 || !ok3 || !ok4 || month == 0 || day == 0 || day > daysIn(year, month) {
		return time.Time{}, false
	}
	var c clock
	if rest := s[10:]; rest != "" {
		var ok bool
		if c, ok = parseClock(rest); !ok {
			return time.Time{}, false
		}
	}
	return time.Date(year, time.Month(month), day, c.hour, c.minute-c.offset, c.second, c.nano, time.UTC), true
}

// clock is a time of day; offset is in minutes east of UTC.
type clock struct{ hour, minute, second, nano, offset int }

// parseClock reads T15:04:05, an optional fraction, and Z or an offset.
func parseClock(s string) (c clock, ok bool) {
	if len(s) < len("T15:04:05Z") || s[0] != 'T' || s[3] != ':' || s[6] != ':' {
		return c, false
	}
	var ok1, ok2, ok3 bool
	c.hour, ok1 = twoDigits(s[1:], 23)
	c.minute, ok2 = twoDigits(s[4:], 59)
	c.second, ok3 = twoDigits(s[7:], 59)
	if !ok1 || !ok2 || !ok3 {
		return c, false
	}
	s = s[9:]
	if s[0] == '.' {
		n := 1
		for unit := 100_000_000; n < len(s) && isDigit(s[n]); n++ {
			c.nano += int(s[n]-'0') * unit
			unit /= 10
		}
		if n == 1 {
			return c, false
		}
		s = s[n:]
	}
	c.offset, ok = parseOffset(s)
	return c, ok
}

func parseOffset(s string) (minutes int, ok bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	h, ok1 := twoDigits(s[1:], 23)
	m, ok2 := twoDigits(s[4:], 59)
	minutes = h*60 + m
	if s[0] == '-' {
		minutes = -minutes
	}
	return minutes, ok1 && ok2
}

// twoDigits reads the first two bytes of s, which must be there, as a number up to limit.
func twoDigits(s string, limit int) (int, bool) {
	if !isDigit(s[0]) || !isDigit(s[1]) {
		return 0, false
	}
	n := int(s[0]-'0')*10 + int(s[1]-'0')
	return n, n <= limit
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
