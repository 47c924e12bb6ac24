package canon_test

import (
	"bytes"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/canon"
)

type fuzzed struct {
	A    string
	B    []byte
	N    int16
	List []string
	Any  any
	Map  map[string]string
}

// FuzzEncode holds that values built from different strings never collide, and that none is a prefix of another.
func FuzzEncode(f *testing.F) {
	f.Add("a", "bc", "", "", int16(0))
	f.Add("\x01", "", "\x00\x01", "\x00", int16(-1))
	c := new(canon.Cache)
	e, err := c.Encoder(reflect.TypeFor[fuzzed]())
	require.NoError(f, err)
	eq := c.Equal(reflect.TypeFor[fuzzed]())
	f.Fuzz(func(t *testing.T, s, u, v, w string, n int16) {
		values := []fuzzed{
			{A: s, B: []byte(u), N: n, List: []string{v, w}, Any: w, Map: map[string]string{s: u, v: w}},
			{A: u, B: []byte(s), N: n, List: []string{w, v}, Any: []byte(w), Map: map[string]string{v: w, s: u}},
			{A: s + u, N: n, List: []string{v + w}, Any: []any{v, w}, Map: map[string]string{u: s, w: v}},
			{A: s, B: []byte(u + v), List: []string{w, ""}, Any: []string{w}},
			{A: s, B: []byte(u), List: []string{v, w}, Any: &w, Map: map[string]string{}},
			{A: s, B: []byte(u), List: []string{v}, Any: w},
		}
		encodings := make([][]byte, len(values))
		for i := range values {
			b, err := e.Append(nil, unsafe.Pointer(&values[i]))
			if err != nil {
				require.ErrorIs(t, err, canon.ErrTooLarge)
				return
			}
			encodings[i] = b
		}
		for i := range values {
			for j := range values {
				want := oracle{}.equal(reflect.ValueOf(values[i]), reflect.ValueOf(values[j]))
				require.Equal(t, want, bytes.Equal(encodings[i], encodings[j]), "%#v and %#v", values[i], values[j])
				require.Equal(t, want, eq(unsafe.Pointer(&values[i]), unsafe.Pointer(&values[j])))
				require.Equal(t, want, bytes.HasPrefix(encodings[i], encodings[j]))
			}
		}
	})
}
