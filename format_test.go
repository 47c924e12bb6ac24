package store

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestValidEmail(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	domain253 := strings.Join([]string{label63, label63, label63, strings.Repeat("b", 61)}, ".")
	require.Len(t, domain253, 253)

	for _, s := range []string{
		"a@b.c",
		"alice@example.com",
		"Alice.B.Smith@Example.COM",
		"a+tag@sub.example.co.uk",
		"!#$%&'*+-/=?^_`{|}~@example.com",
		"123@456.789",
		"-@example.com",
		"a@x--y.com",
		"a@xn--bcher-kva.example",
		"jiří@šťastný.cz",
		"用户@例子.广告",
		"संपर्क@डाटामेल.भारत",
		strings.Repeat("a", 64) + "@example.com",
		"a@" + label63 + ".com",
		"a@" + domain253[1:], // 254 in all
	} {
		require.True(t, validEmail(s), "%q", s)
	}
	for _, s := range []string{
		"",
		"@",
		"a",
		"a@",
		"@b.c",
		"a@b",
		"a@.b",
		"a@b.",
		"a@b..c",
		"a@b.c.",
		".a@b.c",
		"a.@b.c",
		"a..b@c.d",
		"a@b@c.d",
		"a@b.c@",
		"a b@c.d",
		"a@b c.d",
		" a@b.c",
		"a@b.c ",
		"a@b.c\n",
		"a\x00@b.c",
		"a\x7f@b.c",
		"a,b@c.d",
		"a(b)@c.d",
		"a:b@c.d",
		"a;b@c.d",
		"a[b]@c.d",
		"a\\b@c.d",
		"<a@b.c>",
		"Alice <a@b.c>",
		`"a b"@c.d`,
		"a@-b.c",
		"a@b-.c",
		"a@b.-c",
		"a@b.c-",
		"a@b_c.d",
		"a@[127.0.0.1]",
		"a@b!.c",
		"a@b.c:25",
		"\xff@b.c",
		"a@\xffb.c",
		"a@b.\xc3",
		"\u0301@b.c",
		"a@\u0301b.c",
		"😀@b.c",
		"a\u00a0b@c.d",
		"a\u200bb@c.d",
		"a@b\u3002c",
		strings.Repeat("a", 65) + "@example.com",
		strings.Repeat("š", 33) + "@example.com",
		"a@" + label63 + "a.com",
		"a@b." + label63 + "a",
		"a@" + domain253,
	} {
		require.False(t, validEmail(s), "%q", s)
	}
	require.True(t, validDomain(domain253))
	require.False(t, validDomain("b"+domain253))
}

func TestValidURL(t *testing.T) {
	for _, s := range []string{
		"http://example.com",
		"https://example.com/",
		"HTTPS://user:pw@example.com:8443/a/b%20c?q=1&r=a+b#frag",
		"http://localhost:65535",
		"http://127.0.0.1",
		"http://[::1]:80/",
		"ftp://files.example.com/x",
		"wss://example.com/socket",
		"postgres://u@db/name",
		"https://šťastný.cz/ž",
		"file://host/path",
		"http://a:/",
	} {
		require.True(t, validURL(s), "%q", s)
	}
	for _, s := range []string{
		"",
		"example.com",
		"www.example.com/path",
		"//example.com",
		"/path",
		"?q",
		"http:",
		"http://",
		"http:///path",
		"http://:80",
		"http://?q",
		"http:example.com",
		"mailto:a@b.c",
		"tel:+420",
		"data:text/plain,x",
		"urn:isbn:1",
		"javascript:alert(1)",
		"file:///etc/passwd",
		"http://exa mple.com",
		"http://example.com/a b",
		" http://example.com",
		"http://example.com ",
		"http://example.com\n",
		"http://example.com/\t",
		"http://example.com/\x00",
		"http://example.com/\x7f",
		"http://example.com/\u0085",
		"http://example.com/\u00a0",
		"http://example.com/\xff",
		"http://a\\b.com",
		"http://example.com:port",
		"http://example.com:65536",
		"http://[::1",
		"http://example.com/%zz",
		"1http://example.com",
		"://example.com",
	} {
		require.False(t, validURL(s), "%q", s)
	}
}

func TestValidISODate(t *testing.T) {
	for s, want := range map[string]string{
		"2006-01-02":                         "2006-01-02T00:00:00Z",
		"2024-02-29":                         "2024-02-29T00:00:00Z",
		"2000-02-29":                         "2000-02-29T00:00:00Z",
		"0001-01-01":                         "0001-01-01T00:00:00Z",
		"9999-12-31":                         "9999-12-31T00:00:00Z",
		"0000-02-29":                         "0000-02-29T00:00:00Z",
		"2006-01-02T15:04:05Z":               "2006-01-02T15:04:05Z",
		"2011-10-05T14:48:00.000Z":           "2011-10-05T14:48:00Z", // toISOString
		"2011-10-05T14:48:00.123Z":           "2011-10-05T14:48:00.123Z",
		"2006-01-02T23:59:59.999999999Z":     "2006-01-02T23:59:59.999999999Z",
		"2006-01-02T00:00:00.1+02:00":        "2006-01-01T22:00:00.1Z",
		"2006-12-31T20:30:00-05:45":          "2007-01-01T02:15:00Z",
		"2006-01-02T00:00:00+23:59":          "2006-01-01T00:01:00Z",
		"2006-01-02T00:00:00-00:00":          "2006-01-02T00:00:00Z",
		"2006-01-02T00:00:00.1234567899999Z": "2006-01-02T00:00:00.123456789Z",
	} {
		require.True(t, validISODate(s), "%q", s)
		got, ok := parseISODate(s)
		require.True(t, ok)
		require.Equal(t, want, got.Format(time.RFC3339Nano), "%q", s)
	}
	for _, s := range []string{
		"",
		"2006",
		"2006-01",
		"2006-1-2",
		"20060102",
		"2006/01/02",
		"02-01-2006",
		"2006-W01-1",
		"2006-001",
		"+002006-01-02",
		"-2006-01-02",
		"2006-00-01",
		"2006-13-01",
		"2006-01-00",
		"2006-01-32",
		"2006-04-31",
		"2006-06-31",
		"2006-09-31",
		"2006-11-31",
		"2006-02-30",
		"2024-02-30",
		"2023-02-29",
		"1900-02-29",
		"2006-01-02 ",
		" 2006-01-02",
		"2006-01-02T",
		"2006-01-02Z",
		"2006-01-02 15:04:05Z",
		"2006-01-02t15:04:05Z",
		"2006-01-02T15:04:05z",
		"2006-01-02T15:04:05",
		"2006-01-02T15:04Z",
		"2006-01-02T15:04:0Z",
		"2006-01-02T24:00:00Z",
		"2006-01-02T15:60:00Z",
		"2006-01-02T15:04:60Z",
		"2006-01-02T15:04:05.Z",
		"2006-01-02T15:04:05.1",
		"2006-01-02T15:04:05,1Z",
		"2006-01-02T15:04:05.1.1Z",
		"2006-01-02T15:04:05Z ",
		"2006-01-02T15:04:05ZZ",
		"2006-01-02T15:04:05+0200",
		"2006-01-02T15:04:05+02",
		"2006-01-02T15:04:05+24:00",
		"2006-01-02T15:04:05+02:60",
		"2006-01-02T15:04:05 02:00",
		"2006-01-02T15:04:05+02:00Z",
		"2OO6-01-02",
		"２００６-01-02",
		"2006-01-0\xff",
	} {
		require.False(t, validISODate(s), "%q", s)
	}
}

// Every day of the calendar as package time has it, and no other.
func TestValidISODateCalendar(t *testing.T) {
	const digits = "0123456789"
	for _, year := range []int{1600, 1700, 1999, 2000, 2023, 2024, 2100} {
		for month := range 14 {
			for day := range 33 {
				s := []byte("0000-00-00")
				for i, n := range map[int]int{
					0: year / 1000, 1: year / 100 % 10, 2: year / 10 % 10, 3: year % 10,
					5: month / 10, 6: month % 10, 8: day / 10, 9: day % 10,
				} {
					s[i] = digits[n]
				}
				_, err := time.Parse(time.DateOnly, string(s))
				require.Equal(t, err == nil, validISODate(string(s)), "%s", s)
			}
		}
	}
}

func FuzzFormats(f *testing.F) {
	for _, s := range []string{
		"alice@example.com", "a@b..c", "https://example.com:80/x", "2011-10-05T14:48:00.000Z",
		"2024-02-29", "2006-01-02T15:04:05-07:00", "é@é.é", "", "2006-01-02T15:04:05.",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if validEmail(s) {
			require.Equal(t, 1, strings.Count(s, "@"))
			require.LessOrEqual(t, len(s), 254)
			require.False(t, strings.ContainsAny(s, " \t\r\n<>\"\\"))
		}
		_ = validURL(s)
		if got, ok := parseISODate(s); ok {
			layout := time.RFC3339
			if len(s) == len(time.DateOnly) {
				layout = time.DateOnly
			}
			want, err := time.Parse(layout, s)
			require.NoError(t, err)
			require.True(t, want.Equal(got), "%q: want %v, got %v", s, want, got)
		}
	})
}

func TestFormatAllocs(t *testing.T) {
	for name, f := range map[string]func() bool{
		"email":       func() bool { return validEmail("alice.smith@mail.example.com") },
		"email, utf8": func() bool { return validEmail("jiří@šťastný.cz") },
		"bad email":   func() bool { return !validEmail("alice.smith@mail") },
		"date":        func() bool { return validISODate("2024-02-29") },
		"date-time":   func() bool { return validISODate("2011-10-05T14:48:00.000Z") },
		"bad date":    func() bool { return !validISODate("2011-02-30T14:48:00.000Z") },
	} {
		require.True(t, f(), name)
		require.Zero(t, testing.AllocsPerRun(100, func() { f() }), name)
	}
}

func BenchmarkValidEmail(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		validEmail("alice@example.com")
	}
}

func BenchmarkValidISODate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		validISODate("2011-10-05T14:48:00.000Z")
	}
}
