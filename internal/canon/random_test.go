package canon_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/canon"
)

// random builds types and values. Values come from small domains, so that equal ones are frequent.
type random struct {
	*rand.Rand
	identity bool // with func, chan and unsafe.Pointer
	chans    []chan int
	words    []*int
}

func newRandom(seed uint64, identity bool) *random {
	return &random{
		rand.New(rand.NewPCG(seed, 1)), identity,
		[]chan int{nil, make(chan int), make(chan int)},
		[]*int{nil, new(int), new(int)},
	}
}

func seed(t *testing.T) uint64 {
	s := uint64(time.Now().UnixNano())
	if env := os.Getenv("CANON_SEED"); env != "" {
		var err error
		s, err = strconv.ParseUint(env, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("CANON_SEED=%d", s)
	return s
}

var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](),
	reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](),
	reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[complex64](), reflect.TypeFor[complex128](),
	reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[16]byte](),
	timeType, reflect.TypeFor[any](), reflect.TypeFor[any](), reflect.TypeFor[fmt.Stringer](),
	reflect.TypeFor[list](), reflect.TypeFor[struct{}](),
}

var identities = []reflect.Type{
	reflect.TypeFor[func()](), reflect.TypeFor[chan int](), reflect.TypeFor[unsafe.Pointer](),
}

// list is a recursive type of each kind of recursion.
type list struct {
	Name string
	Next *list
	More []list
	Tree map[string]list
}

// label and count are Stringers: one that an interface holds directly, and one that it points to.
type (
	label struct{ Text *string }
	count int32
)

func (l label) String() string { return *l.Text }
func (c count) String() string { return strconv.Itoa(int(c)) }

func (r *random) typ(depth int) reflect.Type {
	if r.identity && r.IntN(12) == 0 {
		return identities[r.IntN(len(identities))]
	}
	if depth == 0 || r.IntN(3) == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	switch r.IntN(7) {
	case 0:
		return reflect.PointerTo(r.typ(depth - 1))
	case 1:
		return reflect.SliceOf(r.typ(depth - 1))
	case 2:
		return reflect.ArrayOf(r.IntN(4), r.typ(depth-1))
	case 3:
		key := r.typ(depth - 1)
		for !key.Comparable() {
			key = r.typ(0)
		}
		return reflect.MapOf(key, r.typ(depth-1))
	}
	fields := make([]reflect.StructField, r.IntN(5))
	for i := range fields {
		fields[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: r.typ(depth - 1)}
		if r.IntN(8) == 0 {
			fields[i].Name, fields[i].PkgPath = "_", "canon_test"
			fields[i].Type = reflect.TypeFor[int16]()
		}
	}
	return reflect.StructOf(fields)
}

var floats = []float64{0, math.Copysign(0, -1), 1, math.NaN(), math.Float64frombits(0x7FF8_0000_0000_0F00), math.Inf(1)}

// set gives v a random value. depth bounds recursive types.
func (r *random) set(v reflect.Value, depth int) {
	if v.Type() == timeType {
		r.setTime(v)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.IntN(3)) - 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(uint64(r.IntN(3)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(floats[r.IntN(len(floats))])
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(complex(floats[r.IntN(len(floats))], floats[r.IntN(3)]))
	case reflect.String:
		v.SetString([]string{"", "\x00", "\x01a", "a", "ab"}[r.IntN(5)])
	case reflect.Func:
		if r.IntN(3) == 0 {
			v.Set(reflect.ValueOf(func() {}))
		}
	case reflect.Chan:
		v.Set(reflect.ValueOf(r.chans[r.IntN(3)]))
	case reflect.UnsafePointer:
		v.SetPointer(unsafe.Pointer(r.words[r.IntN(3)]))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "_" {
				r.set(v.Field(i), depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			r.set(v.Index(i), depth)
		}
	default:
		if depth > 0 && r.IntN(4) > 0 {
			r.setReference(v, depth-1)
		}
	}
}

func (r *random) setTime(v reflect.Value) {
	at := time.Unix(int64(r.IntN(2)), int64(r.IntN(2)))
	v.Set(reflect.ValueOf(at.In([]*time.Location{time.UTC, time.FixedZone("a", 60), time.FixedZone("b", 60)}[r.IntN(3)])))
}

func (r *random) setReference(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.set(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			r.set(v.Index(i), depth)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(4) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			r.set(key, depth)
			r.set(value, depth)
			setEntry(v, key, value)
		}
	case reflect.Interface:
		t := reflect.TypeFor[count]()
		if v.NumMethod() > 0 {
			if r.IntN(2) == 0 {
				t = reflect.TypeFor[label]()
			}
		} else if t = r.typ(min(depth, 2)); t.Kind() == reflect.Interface {
			return
		}
		dyn := reflect.New(t).Elem()
		r.set(dyn, depth)
		v.Set(dyn)
	}
}

// setEntry leaves keys out that panic: interfaces with a value that has no hash. Value.Comparable does not find them all.
func setEntry(m, key, value reflect.Value) {
	defer func() { _ = recover() }()
	m.SetMapIndex(key, value)
}

// mutate changes something in v, mostly. Map entries are left alone but for their number.
func (r *random) mutate(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Struct && v.Type() != timeType && v.NumField() > 0:
		if i := r.IntN(v.NumField()); v.Type().Field(i).Name != "_" {
			r.mutate(v.Field(i))
		}
	case (v.Kind() == reflect.Slice || v.Kind() == reflect.Array) && v.Len() > 0 && r.IntN(4) > 0:
		r.mutate(v.Index(r.IntN(v.Len())))
	case v.Kind() == reflect.Pointer && !v.IsNil() && r.IntN(4) > 0:
		r.mutate(v.Elem())
	case v.Kind() == reflect.Map && v.Len() > 0:
		v.SetMapIndex(v.MapKeys()[0], reflect.Value{})
	default:
		v.SetZero()
		r.set(v, 4)
	}
}

func at(v reflect.Value) unsafe.Pointer { return v.Addr().UnsafePointer() }

// outcomes counts what the pairs of a random test were, to show that none of them was missing.
type outcomes map[string]int

func check(t *testing.T, c *canon.Cache, seen outcomes, name string, a, b reflect.Value) {
	t.Helper()
	typ := a.Type()
	want := oracle{}.equal(a, b)
	seen[fmt.Sprintf("%s equal=%t", name, want)]++
	eq := c.Equal(typ)
	require.Equal(t, want, eq(at(a), at(b)), "%s of %s: %#v and %#v", name, typ, a, b)
	require.Equal(t, want, eq(at(b), at(a)), "%s of %s, turned: %#v and %#v", name, typ, a, b)
	enc, err := c.Encoder(typ)
	if err != nil {
		require.ErrorAs(t, err, new(*canon.UnencodableError))
		return
	}
	x, errX := enc.Append(nil, at(a))
	y, errY := enc.Append([]byte("prefix"), at(b))
	if errX != nil || errY != nil { // a func behind an interface
		seen["refused"]++
		return
	}
	same := bytes.Equal(x, y[len("prefix"):])
	require.Equal(t, oracle{zones: true}.equal(a, b), same, "%s of %s: %#v and %#v: %x and %x", name, typ, a, b, x, y)
	if !same && len(x) > 0 && len(y) > len("prefix") {
		require.False(t, bytes.HasPrefix(x, y[len("prefix"):]) || bytes.HasPrefix(y[len("prefix"):], x), "prefix in %s", typ)
	}
}

func TestRandom(t *testing.T) {
	for _, identity := range []bool{false, true} {
		t.Run(fmt.Sprintf("identity=%t", identity), func(t *testing.T) {
			r, seen := newRandom(seed(t), identity), outcomes{}
			for range 60 {
				c := new(canon.Cache)
				for range 20 {
					randomPairs(t, c, r, seen)
				}
			}
			t.Log(seen)
			require.Subset(t, slices.Collect(maps.Keys(seen)), []string{
				"copy equal=true", "mutated equal=false", "other equal=true", "other equal=false",
			})
		})
	}
}

func randomPairs(t *testing.T, c *canon.Cache, r *random, seen outcomes) {
	typ := r.typ(4)
	for range 12 {
		a := reflect.New(typ).Elem()
		r.set(a, 4)
		b := deepCopy(a)
		check(t, c, seen, "copy", a, b)
		if !r.identity {
			require.True(t, oracle{}.equal(a, b))
		}
		r.mutate(b)
		check(t, c, seen, "mutated", a, b)
		other := reflect.New(typ).Elem()
		r.set(other, 4)
		check(t, c, seen, "other", a, other)
	}
}
