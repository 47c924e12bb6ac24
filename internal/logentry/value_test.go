package logentry

import (
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
)

// elsewhere lets the machine be in another zone than UTC while a test runs.
func elsewhere(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("elsewhere", 3600)
	t.Cleanup(func() { time.Local = local })
}

// oracle encodes with the library's core-deterministic encoder. It knows two forms of times, of which the store takes
// one for whole seconds and the other for the rest: they come to it encoded. The zero time, which it makes null, comes
// as what it is.
func oracle(t *testing.T, v any) []byte {
	t.Helper()
	opt := cbor.CoreDetEncOptions()
	opt.TimeTag = cbor.EncTagRequired
	opt.Time = cbor.TimeUnix
	whole, err := opt.EncMode()
	require.NoError(t, err)
	opt.Time = cbor.TimeRFC3339NanoUTC
	exact, err := opt.EncMode()
	require.NoError(t, err)
	var times func(v any) any
	times = func(v any) any {
		switch v := v.(type) {
		case time.Time:
			if v.IsZero() {
				return cbor.Tag{Number: 1, Content: v.Unix()}
			}
			mode := exact
			if v.Nanosecond() == 0 {
				mode = whole
			}
			data, err := mode.Marshal(v)
			require.NoError(t, err)
			return cbor.RawMessage(data)
		case []any:
			out := make([]any, len(v))
			for i := range v {
				out[i] = times(v[i])
			}
			return out
		case map[string]any:
			out := map[string]any{}
			for name := range v {
				out[name] = times(v[name])
			}
			return out
		}
		return v
	}
	data, err := exact.Marshal(times(v))
	require.NoError(t, err)
	return data
}

// TestAppend compares with the library's encoder, and reads back.
func TestAppend(t *testing.T) {
	elsewhere(t)
	r := seeded(t)
	for range 3000 {
		v := randomValue(r, 4)
		data, err := AppendValue([]byte("before"), v)
		require.NoError(t, err)
		require.Equal(t, "before", string(data[:6]))
		require.Equal(t, oracle(t, v), data[6:], "%#v", v)
		var back any
		require.NoError(t, UnmarshalValue(data[6:], &back))
		requireSame(t, v, back)
	}
	for _, f := range specialFloats {
		require.Equal(t, oracle(t, f), AppendFloat(nil, f), f)
	}
	for _, n := range specialInts {
		require.Equal(t, oracle(t, n), AppendInt(nil, n), n)
		require.Equal(t, oracle(t, uint64(n)), AppendUint(nil, uint64(n)), n)
	}
	for _, n := range []int{0, 23, 24, 255, 256, 65535, 65536} {
		require.Equal(t, oracle(t, strings.Repeat("x", n)), AppendText(nil, strings.Repeat("x", n)))
		require.Equal(t, oracle(t, make([]byte, n)), AppendBytes(nil, make([]byte, n)))
		require.Equal(t, oracle(t, make([]uint16, n))[:len(AppendArray(nil, n))], AppendArray(nil, n))
	}
	marks := map[string]int64{"b": 1, "aa": -5, "a": 7, "": 1 << 40}
	require.Equal(t, oracle(t, marks), AppendMarks(nil, marks))
}

func TestAppendRefuses(t *testing.T) {
	for _, v := range []any{1, uint8(1), float32(1), []string{"a"}, struct{}{}, []any{1}, map[string]any{"a": []int{}}} {
		_, err := AppendValue(nil, v)
		require.Error(t, err, "%T", v)
	}
}

// TestMarshalTime: a time in a definition comes back as the same time.
func TestMarshalTime(t *testing.T) {
	elsewhere(t)
	for _, at := range []time.Time{time.Unix(1, 0).UTC(), time.Unix(1, 5).UTC(), firstTime.Add(1), lastTime} {
		data, err := Marshal(struct {
			Default any `cbor:"default"`
		}{at})
		require.NoError(t, err)
		var back any
		require.NoError(t, UnmarshalValue(data, &back))
		requireSame(t, map[string]any{"default": at}, back)
	}
}

// TestForeignValues: what no value of the store is does not come in.
func TestForeignValues(t *testing.T) {
	for name, data := range map[string]string{
		"undefined":               "\xf7",
		"simple value":            "\xe0",
		"simple value, two bytes": "\xf8\xff",
		"NaN":                     "\xf9\x7e\x00",
		"NaN, 64 bits":            "\xfb\x7f\xf8\x00\x00\x00\x00\x00\x01",
		"bignum":                  "\xc2\x41\x01",
		"unknown tag":             "\xd8\x64\x01",
		"unknown tag in a map":    "\xa1\x61a\xd8\x64\x01",
		"unknown tag in an array": "\x81\xd8\x64\x01",
		"beyond int64":            "\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
		"below int64":             "\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
		"time of null":            "\xc1\xf6",
		"time of bytes":           "\xc0\x41\x01",
		"time that is none":       "\xc0\x61x",
		"time in far future":      "\xc1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
		"integer as a name":       "\xa1\x01\x02",
		"bytes as a name":         "\xa1\x41a\x02",
		"the same name twice":     "\xa2\x61a\x01\x61a\x02",
		"text of invalid UTF-8":   "\x61\xff",
		"without a known length":  "\x9f\x01\xff",
		"reserved":                "\x1c",
		"nothing":                 "",
	} {
		var v any
		require.Error(t, UnmarshalValue([]byte(data), &v), name)
		var list []any
		require.Error(t, UnmarshalValue([]byte("\x81"+data), &list), name)
		var m map[string]any
		require.Error(t, UnmarshalValue([]byte("\xa1\x61x"+data), &m), name)
	}
}

// nested is a value in as many arrays, or maps.
func nested(depth int, maps bool) any {
	var v any = int64(1)
	for range depth {
		if maps {
			v = map[string]any{"a": v}
		} else {
			v = []any{v}
		}
	}
	return v
}

func TestDepth(t *testing.T) {
	for _, maps := range []bool{false, true} {
		block := Block{
			Rows: 1, Names: []string{"v"}, Created: []int64{1}, Updated: []int64{1}, Versions: []uint64{1}, Places: []uint64{1},
			Extras: []map[string]any{{"x": nested(MaxDepth-1, maps)}},
		}
		column, err := MarshalValue([]any{nested(MaxDepth, maps)})
		require.NoError(t, err)
		block.Columns = []cbor.RawMessage{column}
		data, err := (&Entry{Format: Format, Blocks: []Block{block}}).Encode()
		require.NoError(t, err)
		e, err := Parse(data)
		require.NoError(t, err)
		records, err := e.Blocks[0].Records()
		require.NoError(t, err)
		depth := 0
		for v := records[0].Fields["v"]; v != int64(1); depth++ {
			if maps {
				v = v.(map[string]any)["a"]
			} else {
				v = v.([]any)[0]
			}
		}
		require.Equal(t, MaxDepth, depth)

		for _, depth := range []int{MaxDepth + 17, 1_000_000} {
			deep := strings.Repeat("\x81", depth) + "\x01"
			if maps {
				deep = strings.Repeat("\xa1\x61a", depth) + "\x01"
			}
			var v any
			require.Error(t, UnmarshalValue([]byte(deep), &v))
			_, err = Parse([]byte(deep))
			require.ErrorIs(t, err, ErrFormat)
		}
		tags := strings.Repeat("\xc1", 1_000_000) + "\x01"
		var v any
		require.Error(t, UnmarshalValue([]byte(tags), &v))
	}
}
