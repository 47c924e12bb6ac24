package canon_test

import (
	"math"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/canon"
)

type (
	ptr   *ptr
	deep  []deep
	dict  map[string]dict
	twin  struct{ Left, Right *twin }
	boxes struct{ Left, Right any }
)

func encodeError[T any](t *testing.T, v T) error {
	t.Helper()
	e, err := new(canon.Cache).Encoder(reflect.TypeFor[T]())
	require.NoError(t, err)
	_, err = e.Append(nil, unsafe.Pointer(&v))
	return err
}

func cyclic[T any](t *testing.T, build func() T) {
	t.Helper()
	a, b := build(), build()
	require.False(t, equal(new(canon.Cache), a, b))
	err := encodeError(t, a)
	require.True(t, err == canon.ErrTooDeep || err == canon.ErrTooLarge, err)
}

func TestCycles(t *testing.T) {
	cyclic(t, func() ptr { var p ptr; p = &p; return p })
	cyclic(t, func() deep { d := make(deep, 2); d[0], d[1] = d, d; return d })
	cyclic(t, func() dict { d := dict{}; d["x"], d["y"] = d, d; return d })
	cyclic(t, func() *twin { n := new(twin); n.Left, n.Right = n, n; return n })
	cyclic(t, func() any { var x any; x = &x; return x })
	cyclic(t, func() any { list := make([]any, 3); list[0], list[1], list[2] = list, list, list; return list })
	// Each entry has more than one candidate on each level.
	cyclic(t, func() map[float64]any {
		m := map[float64]any{}
		m[math.NaN()], m[math.NaN()] = m, m
		return m
	})
}

func TestMaxDepth(t *testing.T) {
	nest := func(n int) (d deep) {
		d = deep{}
		for range n {
			d = deep{d}
		}
		return d
	}
	c := new(canon.Cache)
	require.True(t, equal(c, nest(canon.MaxDepth), nest(canon.MaxDepth)))
	require.NoError(t, encodeError(t, nest(canon.MaxDepth)))
	require.False(t, equal(c, nest(canon.MaxDepth+1), nest(canon.MaxDepth+1)))
	require.Equal(t, canon.ErrTooDeep, encodeError(t, nest(canon.MaxDepth+1)))

	var a, b any // nothing but boxes
	for range 1_000_000 {
		a, b = boxes{a, nil}, boxes{b, nil}
	}
	require.False(t, equal(c, a, b))
	require.Equal(t, canon.ErrTooDeep, encodeError(t, a))
}

// TestSharedParts would take 2^300 steps if each way to a part counted.
func TestSharedParts(t *testing.T) {
	c := new(canon.Cache)
	build := func(last string) (p *twin, x any, l any) {
		p, x, l = new(twin), last, []any{last}
		for range 300 {
			p, x, l = &twin{p, p}, boxes{x, x}, []any{l, l}
		}
		return p, x, l
	}
	ap, ax, al := build("a")
	bp, bx, bl := build("a")
	_, cx, cl := build("c")
	require.True(t, equal(c, ap, bp))
	require.True(t, equal(c, ax, bx))
	require.True(t, equal(c, al, bl))
	require.False(t, equal(c, ax, cx))
	require.False(t, equal(c, al, cl))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, ap))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, ax))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, al))
}

func TestMaxSize(t *testing.T) {
	require.NoError(t, encodeError(t, make([]byte, canon.MaxSize-3)))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, make([]byte, canon.MaxSize-2)))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, string(make([]byte, canon.MaxSize))))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, make([]string, canon.MaxSize)))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, make([]float64, canon.MaxSize/8)))
	require.Equal(t, canon.ErrTooLarge, encodeError(t, new([canon.MaxSize]int16)))
	require.NoError(t, encodeError(t, make([]struct{}, math.MaxInt)), "elements without memory take no time")
	require.NoError(t, encodeError(t, new([math.MaxInt]struct{})))
	require.True(t, equal(new(canon.Cache), make([]struct{}, math.MaxInt), make([]struct{}, math.MaxInt)))
}

func TestAllocations(t *testing.T) {
	type record struct {
		ID   int
		Name string
		Tags []string
		Any  any
		Next *record
		F    float64
	}
	build := func() *record {
		return &record{1, "n", []string{"a", "b"}, []any{"x", 1, 2.5}, &record{Any: stringer(wide{"a", "b"})}, math.NaN()}
	}
	c, a, b := new(canon.Cache), build(), build()
	eq := c.Equal(reflect.TypeFor[record]())
	require.True(t, eq(unsafe.Pointer(a), unsafe.Pointer(b)))
	require.Zero(t, testing.AllocsPerRun(100, func() { eq(unsafe.Pointer(a), unsafe.Pointer(b)) }))
	e, err := c.Encoder(reflect.TypeFor[record]())
	require.NoError(t, err)
	buf := make([]byte, 0, 1024)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		local := *a // stays on the stack
		_, err = e.Append(buf, unsafe.Pointer(&local))
	}))
	require.NoError(t, err)
}
