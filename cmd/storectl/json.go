package main

import (
	"math"
	"time"
)

// plain makes a value of the log one that package json writes as the library writes a
// record: integers exactly, bytes as base64, times as RFC 3339, and an infinity, for
// which JSON has no number, as a string. It changes maps and arrays in place.
func plain(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsInf(v, 1):
			return "Infinity"
		case math.IsInf(v, -1):
			return "-Infinity"
		}
	case time.Time:
		return v.UTC()
	case map[string]any:
		for name, x := range v {
			v[name] = plain(x)
		}
	case []any:
		for i, x := range v {
			v[i] = plain(x)
		}
	}
	return v
}

// moment writes Unix milliseconds; "" for none.
func moment(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
