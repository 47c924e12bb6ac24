package canon_test

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/canon"
)

func equal[T any](c *canon.Cache, a, b T) bool {
	return c.Equal(reflect.TypeFor[T]())(unsafe.Pointer(&a), unsafe.Pointer(&b))
}

func encode[T any](t *testing.T, c *canon.Cache, v T) []byte {
	t.Helper()
	e, err := c.Encoder(reflect.TypeFor[T]())
	require.NoError(t, err)
	b, err := e.Append(nil, unsafe.Pointer(&v))
	require.NoError(t, err)
	return b
}

// classes holds that values are equal, and have the same encoding, if and only if they are in the same class.
func classes[T any](t *testing.T, list ...[]T) {
	t.Helper()
	c := new(canon.Cache)
	for i := range list {
		for j := range list {
			for _, a := range list[i] {
				for _, b := range list[j] {
					require.Equal(t, i == j, equal(c, a, b), "%T: %#v and %#v", a, a, b)
					x, y := encode(t, c, a), encode(t, c, b)
					require.Equal(t, i == j, bytes.Equal(x, y), "%T: %#v and %#v: %x and %x", a, a, b, x, y)
				}
			}
		}
	}
}

type hidden struct {
	flag bool
	_    int32
	n    int64
	s    string
}

type myTime time.Time

func TestKinds(t *testing.T) {
	nan, otherNaN := math.NaN(), math.Float64frombits(0xFFF8_0000_0000_0001)
	classes(t, []bool{false}, []bool{true})
	classes(t, []int{0}, []int{1}, []int{-1}, []int{math.MaxInt}, []int{math.MinInt})
	classes(t, []uint8{0}, []uint8{255})
	classes(t, []float64{0, math.Copysign(0, -1)}, []float64{nan, otherNaN}, []float64{1}, []float64{math.Inf(1)}, []float64{math.Inf(-1)})
	classes(t, []float32{0, float32(math.Copysign(0, -1))}, []float32{float32(nan), math.Float32frombits(0xFFC00001)}, []float32{1})
	classes(t, []complex128{0, complex(0, math.Copysign(0, -1))}, []complex128{complex(nan, 0)}, []complex128{complex(0, nan), complex(0, otherNaN)})
	classes(t, []complex64{0}, []complex64{1}, []complex64{1i})
	classes(t, []string{""}, []string{"\x00"}, []string{"a"})
	classes(t, [][]byte{nil, {}}, [][]byte{{0}}, [][]byte{{0, 0}})
	classes(t, [][]string{nil, {}}, [][]string{{""}}, [][]string{{"", ""}}, [][]string{{"ab", "c"}}, [][]string{{"a", "bc"}})
	classes(t, [][2]string{{"ab", "c"}}, [][2]string{{"a", "bc"}}, [][2]string{{"\x01a", ""}}, [][2]string{{"", "\x01a"}})
	classes(t, []hidden{{}}, []hidden{{flag: true}}, []hidden{{n: 1}}, []hidden{{s: "x"}})
	classes(t, []*int{nil}, []*int{new(int), new(int)})
	classes(t, []**int{nil}, []**int{new(*int)})
	classes(t, []map[string]int{nil, {}}, []map[string]int{{"a": 0}}, []map[string]int{{"a": 0, "b": 1}, {"b": 1, "a": 0}}, []map[string]int{{"a": 1, "b": 0}})
	classes(t, []any{nil}, []any{int(1)}, []any{int64(1)}, []any{"1"}, []any{[]any{1}}, []any{new(int), new(int)}, []any{map[string]any{}}, []any{struct{}{}})
	classes(t, []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}, []netip.Addr{netip.MustParseAddr("fe80::1%eth1")}, []netip.Addr{netip.MustParseAddr("10.0.0.1")})
	classes(t, []struct{}{{}})
	classes(t, [][]struct{}{{{}}}, [][]struct{}{{{}, {}}})
	classes(t, [][0]func(){{}})
}

func TestKeysThatGoTellsApart(t *testing.T) {
	nan, one, two := math.NaN(), 1, 1
	classes(t,
		[]map[float64]int{{nan: 1, nan: 2, 0: 3}, {math.Copysign(0, -1): 3, nan: 2, nan: 1}},
		[]map[float64]int{{nan: 1, nan: 1, 0: 3}},
		[]map[float64]int{{nan: 1, nan: 2, 1: 3}})
	classes(t, []map[*int]string{{&one: "a", &two: "b"}, {&one: "b", &two: "a"}}, []map[*int]string{{&one: "a", &two: "a"}})
	classes(t, []map[any]int{{&one: 1, "x": 2}, {&two: 1, "x": 2}}, []map[any]int{{&one: 2, "x": 1}})
	at, zone := time.Unix(1, 0), time.FixedZone("", 0)
	classes(t, []map[time.Time]int{{at.UTC(): 1}, {at.In(zone): 1}})
}

func TestTime(t *testing.T) {
	c := new(canon.Cache)
	now := time.Now()
	utc, zone, named := now.UTC(), now.In(time.FixedZone("", 3600)), now.In(time.FixedZone("X", 3600))
	require.True(t, equal(c, now, now.Round(0)), "the monotonic clock does not count")
	set := now // the wall clock was set between two readings of the same monotonic time
	*(*uint64)(unsafe.Pointer(&set)) ^= 1
	require.True(t, now.Equal(set) && now.UnixNano() != set.UnixNano())
	require.False(t, equal(c, now, set))
	require.NotEqual(t, encode(t, c, now), encode(t, c, set))
	require.True(t, equal(c, utc, zone))
	require.False(t, equal(c, utc, utc.Add(1)))
	require.NotEqual(t, encode(t, c, utc), encode(t, c, zone), "two zones are two queries")
	require.Equal(t, encode(t, c, named), encode(t, c, zone))
	require.Equal(t, encode(t, c, now), encode(t, c, now.Round(0)))
	require.True(t, equal(c, myTime(utc), myTime(zone)))
	require.Equal(t, encode(t, c, myTime(utc)), encode(t, c, utc))
	classes(t, []time.Time{{}}, []time.Time{time.Unix(0, 0).UTC()}, []time.Time{time.Unix(math.MaxInt64, 0).UTC()},
		[]time.Time{time.Unix(math.MinInt64, 0).UTC()})
	classes(t, []time.Time{now.In(time.FixedZone("", math.MaxInt))})
}

func TestPadding(t *testing.T) {
	type padded struct {
		A int8
		B int64
		C int16
		_ int32
	}
	dirty := func(fill byte) padded {
		var p padded
		for i := range unsafe.Sizeof(p) {
			*(*byte)(unsafe.Add(unsafe.Pointer(&p), i)) = fill
		}
		p.A, p.B, p.C = 1, 2, 3
		return p
	}
	classes(t, []padded{dirty(0), dirty(0xFF)})
	classes(t, [][]padded{{dirty(0), dirty(1)}, {dirty(2), dirty(3)}})
	classes(t, []any{dirty(0), dirty(0xFF)})
	c := new(canon.Cache)
	require.Len(t, encode(t, c, dirty(1)), 11)
}

func TestIdentity(t *testing.T) {
	c, f := new(canon.Cache), func() {}
	require.True(t, equal[func()](c, nil, nil))
	require.False(t, equal(c, f, f))
	require.False(t, equal(c, f, nil))
	require.False(t, equal[any](c, f, f))
	ch := make(chan int)
	require.True(t, equal(c, ch, ch))
	require.False(t, equal(c, ch, make(chan int)))
	require.True(t, equal(c, unsafe.Pointer(c), unsafe.Pointer(c)))
	require.False(t, equal(c, unsafe.Pointer(c), nil))
}

func TestIdenticalParts(t *testing.T) {
	c := new(canon.Cache)
	type holder struct {
		F func()
		N int
	}
	one, two := &holder{F: func() {}}, []holder{{F: func() {}}}
	require.True(t, equal(c, one, one))
	require.False(t, equal(c, *one, *one))
	require.True(t, equal(c, two, two[:1:1]))
	m, boxed := map[string]func(){"": func() {}}, any(*one)
	require.True(t, equal(c, m, m))
	require.True(t, equal(c, boxed, boxed))
}

func TestSameNames(t *testing.T) {
	first := func() any { type T struct{ N int }; return T{1} }()
	second := func() any { type T struct{ N int }; return T{1} }()
	require.Equal(t, reflect.TypeOf(first).String(), reflect.TypeOf(second).String())
	classes(t, []any{first}, []any{second})
}

type (
	stringer interface{ String() string }
	direct   struct{ p *int }
	plain    int
	wide     struct{ a, b string }
)

func (direct) String() string { return "" }
func (plain) String() string  { return "" }
func (wide) String() string   { return "" }

// TestLayout holds what memory.go assumes about interfaces, for each way that a value can be in one.
func TestLayout(t *testing.T) {
	n, same, m, held := 7, 7, 8, stringer(plain(1))
	classes(t, []stringer{nil}, []stringer{direct{&n}, direct{&same}}, []stringer{direct{&m}}, []stringer{direct{}},
		[]stringer{plain(0)}, []stringer{plain(300)}, []stringer{wide{"a", "b"}}, []stringer{&wide{"a", "b"}}, []stringer{(*wide)(nil)})
	classes(t, []any{[1]*int{&n}, [1]*int{&same}}, []any{[1]*int{&m}}, []any{[1]*int{}}, []any{map[int]int{1: 1}}, []any{int64(1) << 40},
		[]any{struct {
			_ struct{}
			p *int
		}{p: &n}}, []any{stringer(nil)}, []any{&held})
}

func TestPrefixFree(t *testing.T) {
	c := new(canon.Cache)
	values := []any{nil, 0, "", "a", "aa", []string{}, []string{""}, []any{nil}, []any{nil, nil}, map[string]any{}, map[string]any{"": nil}, new(any)}
	for _, a := range values {
		for _, b := range values {
			x, y := encode(t, c, a), encode(t, c, b)
			require.True(t, bytes.Equal(x, y) || !bytes.HasPrefix(x, y), "%#v and %#v", a, b)
		}
	}
}

func TestRefused(t *testing.T) {
	type inner struct {
		Ok int
		Fn func()
	}
	type node struct {
		Next  *node
		Chans map[string][]chan int
	}
	type blank struct{ _ func() }
	c := new(canon.Cache)
	for _, test := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[func()](), "func has no canonical encoding"},
		{reflect.TypeFor[struct{ Filter *inner }](), "field Filter.Fn: func has no canonical encoding"},
		{reflect.TypeFor[struct{ Filters []inner }](), "field Filters[].Fn: func has no canonical encoding"},
		{reflect.TypeFor[*node](), "field Chans[][]: chan has no canonical encoding"},
		{reflect.TypeFor[map[chan int]int](), "element [key]: chan has no canonical encoding"},
		{reflect.TypeFor[[2]unsafe.Pointer](), "element []: unsafe.Pointer has no canonical encoding"},
	} {
		_, err := c.Encoder(test.typ)
		require.ErrorAs(t, err, new(*canon.UnencodableError))
		require.Equal(t, test.want, err.Error())
	}
	_, err := c.Encoder(reflect.TypeFor[blank]())
	require.NoError(t, err)

	e, err := c.Encoder(reflect.TypeFor[any]())
	require.NoError(t, err)
	v, buf := any([]any{inner{}}), []byte("keep")
	buf, err = e.Append(buf, unsafe.Pointer(&v))
	require.ErrorAs(t, err, new(*canon.UnencodableError))
	require.ErrorContains(t, err, "inner behind an interface: field Fn")
	require.Equal(t, "keep", string(buf))
}

func TestOverride(t *testing.T) {
	type fold string
	type pair struct {
		A fold
		N int
	}
	c := new(canon.Cache)
	c.Override(reflect.TypeFor[fold](), func(a, b unsafe.Pointer) bool {
		return bytes.EqualFold([]byte(*(*fold)(a)), []byte(*(*fold)(b)))
	})
	require.True(t, equal(c, []pair{{"a", 1}}, []pair{{"A", 1}}))
	require.False(t, equal(c, []pair{{"a", 1}}, []pair{{"A", 2}}))
	require.True(t, equal[any](c, map[fold]int{"a": 1}, map[fold]int{"A": 1}))
	require.NotEqual(t, encode(t, c, pair{"a", 1}), encode(t, c, pair{"A", 1}))
	require.Panics(t, func() { c.Override(reflect.TypeFor[pair](), nil) })

	c.Override(reflect.TypeFor[plain](), func(_, _ unsafe.Pointer) bool { return true })
	require.True(t, equal(c, [2]plain{1, 2}, [2]plain{3, 4}))
	require.NotEqual(t, encode(t, c, [2]plain{1, 2}), encode(t, c, [2]plain{3, 4}))
}

func TestConcurrentCompile(t *testing.T) {
	c, r := new(canon.Cache), newRandom(seed(t), false)
	var values []reflect.Value
	for range 50 {
		v := reflect.New(r.typ(4)).Elem()
		r.set(v, 4)
		values = append(values, v)
	}
	got := make([][][]byte, 4)
	var wg sync.WaitGroup
	for g := range got {
		wg.Go(func() {
			for i := range values {
				v := values[(i+g*10)%len(values)]
				if !c.Equal(v.Type())(at(v), at(v)) {
					t.Errorf("%s is unequal to itself", v.Type())
				}
			}
			for _, v := range values {
				e, err := c.Encoder(v.Type())
				if err != nil {
					t.Error(err)
					return
				}
				b, err := e.Append(nil, at(v))
				if err != nil {
					t.Error(err)
				}
				got[g] = append(got[g], b)
			}
		})
	}
	wg.Wait()
	for _, other := range got[1:] {
		require.Equal(t, got[0], other)
	}
}
