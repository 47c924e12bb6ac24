package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

type (
	namedString string
	namedInt    int16
	namedUint   uint32
	namedFloat  float32
	namedBool   bool
	namedBytes  []byte
	namedByte   byte
	namedTime   time.Time
	namedMap    map[namedString]int
	namedList   []namedString

	base struct {
		ID     string `json:"id"`
		Shadow int
		Twice  int
	}
	other  struct{ Twice int }
	tagged struct {
		Won int `json:"Both"`
	}
	untagged struct{ Both int }
	recur    struct {
		*recur
		Next *recur `json:"next"`
		Name string
	}
	person struct {
		base
		*other
		*tagged
		untagged
		Name string `json:"name,omitempty"`
		Age  *int   `json:",omitempty"`
		Skip int    `json:"-"`
		//lint:ignore SA5008 this odd spelling is what is tested
		Dash    int `json:"-,"`
		Shadow  string
		Time    time.Time
		Tags    []string
		private int
	}
)

var roomy = limits{depth: 32, bytes: 1 << 20}

func ptr[T any](v T) *T { return &v }

func TestNormalizeAccepts(t *testing.T) {
	prague := time.FixedZone("CET", 3600)
	noon := time.Date(2024, 2, 29, 12, 0, 0, 123, prague)
	noonUTC := time.Date(2024, 2, 29, 11, 0, 0, 123, time.UTC)
	now := time.Now()
	var nilInt *int
	var nilError error
	for name, c := range map[string]struct{ in, want any }{
		"nil":                  {nil, nil},
		"nil pointer":          {nilInt, nil},
		"pointer to nil":       {&nilInt, nil},
		"pointer to nil iface": {&nilError, nil},
		"string":               {"a", "a"},
		"empty string":         {"", ""},
		"utf8":                 {"žluťoučký\x00\uFFFD", "žluťoučký\x00\uFFFD"},
		"named string":         {namedString("a"), "a"},
		"pointers":             {ptr(ptr(ptr("a"))), "a"},
		"bool":                 {true, true},
		"named bool":           {namedBool(true), true},
		"int":                  {int(-1), int64(-1)},
		"int8":                 {int8(-1), int64(-1)},
		"int16":                {int16(-1), int64(-1)},
		"int32":                {int32(-1), int64(-1)},
		"int64":                {int64(math.MinInt64), int64(math.MinInt64)},
		"uint":                 {uint(1), int64(1)},
		"uint8":                {uint8(255), int64(255)},
		"uint16":               {uint16(1), int64(1)},
		"uint32":               {uint32(1), int64(1)},
		"uint64":               {uint64(math.MaxInt64), int64(math.MaxInt64)},
		"named int":            {namedInt(-5), int64(-5)},
		"named uint":           {namedUint(5), int64(5)},
		"duration":             {time.Second, int64(1e9)},
		"float64":              {1.5, 1.5},
		"whole float64":        {3.0, 3.0},
		"inf":                  {math.Inf(-1), math.Inf(-1)},
		"float32":              {float32(0.1), float64(float32(0.1))},
		"named float":          {namedFloat(0.5), 0.5},
		"number int":           {json.Number("-9223372036854775808"), int64(math.MinInt64)},
		"number minus zero":    {json.Number("-0"), int64(0)},
		"number point":         {json.Number("1.0"), 1.0},
		"number exponent":      {json.Number("1e3"), 1000.0},
		"number beyond int":    {json.Number("9223372036854775808"), float64(1 << 63)},
		"number underflow":     {json.Number("1e-400"), 0.0},
		"number pointer":       {ptr(json.Number("1")), int64(1)},
		"time":                 {noon, noonUTC},
		"time pointer":         {&noon, noonUTC},
		"named time":           {namedTime(noon), noonUTC},
		"zero time":            {time.Time{}, time.Time{}},
		"monotonic":            {now, now.Round(0).UTC()},
		"bytes":                {[]byte{1, 2}, []byte{1, 2}},
		"nil bytes":            {[]byte(nil), []byte{}},
		"named bytes":          {namedBytes{1}, []byte{1}},
		"raw message":          {json.RawMessage("{}"), []byte("{}")},
		"slice of named byte":  {[]namedByte{1}, []byte{1}},
		"byte array":           {[2]byte{1, 2}, []byte{1, 2}},
		"named byte array":     {[2]namedByte{1, 2}, []byte{1, 2}},
		"byte array pointer":   {&[2]byte{1, 2}, []byte{1, 2}},
		"empty byte array":     {[0]byte{}, []byte{}},
		"map":                  {map[string]any{"a": 1, "b": nil}, map[string]any{"a": int64(1), "b": nil}},
		"nil map":              {map[string]any(nil), map[string]any{}},
		"named map":            {namedMap{"a": 1}, map[string]any{"a": int64(1)}},
		"map of pointers":      {map[string]*int{"a": ptr(1), "b": nil}, map[string]any{"a": int64(1), "b": nil}},
		"map of times":         {map[string]time.Time{"a": noon}, map[string]any{"a": noonUTC}},
		"slice":                {[]any{1, "a", []any{}}, []any{int64(1), "a", []any{}}},
		"nil slice":            {[]string(nil), []any{}},
		"strings":              {[]string{"a"}, []any{"a"}},
		"named slice":          {namedList{"a"}, []any{"a"}},
		"array":                {[2]int{1, 2}, []any{int64(1), int64(2)}},
		"slice of interfaces":  {[]fmt.Stringer{time.Second, nil}, []any{int64(1e9), nil}},
		"slice of maps":        {[]map[string]any{{"a": []int{1}}}, []any{map[string]any{"a": []any{int64(1)}}}},
		"slice of numbers":     {[]json.Number{"1", "1.5"}, []any{int64(1), 1.5}},
		"slice of byte arrays": {[][1]byte{{1}}, []any{[]byte{1}}},
		"empty struct":         {struct{}{}, map[string]any{}},
		"skipped field": {struct {
			A int `json:"-"`
		}{1}, map[string]any{}},
		"struct": {
			person{base: base{ID: "x", Shadow: 1, Twice: 2}, other: &other{3}, tagged: &tagged{7}, Age: ptr(4), Dash: 5, Time: noon, private: 6},
			map[string]any{
				"id": "x", "name": "", "Age": int64(4), "-": int64(5), "Shadow": "", "Time": noonUTC, "Tags": []any{},
				"Both": int64(7),
			},
		},
		"broken tag": {struct {
			//lint:ignore SA5008 likewise
			A int `json:"\xff"`
		}{1}, map[string]any{"A": int64(1)}},
		"nil embedded": {
			&person{},
			map[string]any{
				"id": "", "name": "", "Age": nil, "-": int64(0), "Shadow": "", "Time": time.Time{}, "Tags": []any{},
			},
		},
		"embedded time":    {struct{ time.Time }{noon}, map[string]any{"Time": noonUTC}},
		"recursive struct": {recur{Next: &recur{Name: "b"}}, map[string]any{"next": map[string]any{"next": nil, "Name": "b"}, "Name": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := roomy.normalize(c.in)
			require.Nil(t, err)
			require.Equal(t, c.want, got)
			requireCanonical(t, got)

			again, err := roomy.normalize(got)
			require.Nil(t, err)
			require.Equal(t, got, again)
		})
	}
}

// The names of struct fields are those of encoding/json.
func TestNormalizeStructLikeJSON(t *testing.T) {
	type deep struct{ A, B, C int }
	type left struct {
		deep
		A int
		X int `json:"x"`
	}
	type right struct {
		B int
		X int `json:"y"`
	}
	type named int
	type Exported string
	for _, v := range []any{
		struct{ left }{},
		struct{ *left }{},
		struct{ *left }{&left{}},
		struct {
			left
			right
		}{},
		struct {
			left  `json:"l"`
			Inner right `json:"r"`
		}{}.Inner,
		struct {
			Inner left `json:"r"`
		}{Inner: left{A: 1}},
		struct {
			named
			Exported
			V int `json:",string"`
		}{}.Exported,
		struct {
			named
			Exported
		}{},
		struct {
			A int `json:"b"`
			B int
			C int `json:"B"`
		}{},
		reflect.Zero(reflect.StructOf([]reflect.StructField{ // a literal type would fail vet
			{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"z"`},
			{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"z"`},
			{Name: "C", Type: reflect.TypeFor[int]()},
		})).Interface(),
	} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		require.NoError(t, d.Decode(&want))
		want, verr := roomy.normalize(want)
		require.Nil(t, verr)
		got, verr := roomy.normalize(v)
		require.Nil(t, verr)
		require.Equal(t, want, got, "%T", v)
	}
}

func TestNormalizeRefuses(t *testing.T) {
	bad := "secret\xff"
	type ring *ring
	var loop ring
	loop = &loop
	var itself any
	itself = &itself
	cyclicMap := map[string]any{}
	cyclicMap["a"] = cyclicMap
	cyclicList := []any{nil}
	cyclicList[0] = cyclicList
	cyclicBoth := map[string][]any{"a": {nil}}
	cyclicBoth["a"][0] = &cyclicBoth
	cyclicStruct := &recur{}
	cyclicStruct.Next = cyclicStruct
	embeddedStruct := &recur{}
	embeddedStruct.recur = embeddedStruct
	embeddedStruct.Next = embeddedStruct

	const tooDeep, tooBig = "nested deeper than 32 levels", "larger than 1048576 bytes"
	for name, c := range map[string]struct {
		in        any
		code, msg string
	}{
		"chan":              {make(chan int), "type", "cannot hold a chan int"},
		"nil chan":          {(chan int)(nil), "type", "cannot hold a chan int"},
		"func":              {func() {}, "type", "cannot hold a func()"},
		"complex64":         {complex64(1), "type", "cannot hold a complex64"},
		"complex128":        {1i, "type", "cannot hold a complex128"},
		"uintptr":           {uintptr(1), "type", "cannot hold a uintptr"},
		"int keys":          {map[int]string{}, "type", "cannot hold a map[int]string"},
		"any keys":          {map[any]any{"a": 1}, "type", "cannot hold a map[interface {}]interface {}"},
		"opaque struct":     {big.NewInt(1), "type", "cannot hold a big.Int: it has no exported fields"},
		"embedded opaque":   {&struct{ sync.Mutex }{}, "type", "cannot hold a struct { sync.Mutex }: it has no exported fields"},
		"func in struct":    {struct{ F func() }{}, "type", "cannot hold a func()"},
		"chan in map":       {map[string]any{"a": []any{make(chan bool)}}, "type", "cannot hold a chan bool"},
		"NaN":               {math.NaN(), "type", "must not be NaN"},
		"NaN float32":       {float32(math.NaN()), "type", "must not be NaN"},
		"NaN within":        {[]float64{math.NaN()}, "type", "must not be NaN"},
		"uint64":            {uint64(1 << 63), "max", "is out of int64 range"},
		"uint64 within":     {map[string]uint64{"a": 1 << 63}, "max", "is out of int64 range"},
		"number overflow":   {json.Number("-1e400"), "max", "is out of float64 range"},
		"number empty":      {json.Number(""), "format", "is not a JSON number"},
		"number word":       {json.Number("secret"), "format", "is not a JSON number"},
		"number inf":        {json.Number("inf"), "format", "is not a JSON number"},
		"number in slice":   {[]json.Number{"0x10"}, "format", "is not a JSON number"},
		"string":            {bad, "format", "is not valid UTF-8"},
		"named string":      {namedString(bad), "format", "is not valid UTF-8"},
		"surrogate":         {"\xed\xa0\x80", "format", "is not valid UTF-8"},
		"key":               {map[string]any{bad: 1}, "format", "has a key that is not valid UTF-8"},
		"named key":         {map[namedString]int{namedString(bad): 1}, "format", "has a key that is not valid UTF-8"},
		"year 0":            {time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC), "format", "must be within the years 1 to 9999"},
		"year 10000":        {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "format", "must be within the years 1 to 9999"},
		"year 10000 in UTC": {time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)), "format", "must be within the years 1 to 9999"},
		"pointer cycle":     {loop, "max", tooDeep},
		"interface cycle":   {itself, "max", tooDeep},
		"map cycle":         {cyclicMap, "max", tooDeep},
		"slice cycle":       {cyclicList, "max", tooDeep},
		"typed cycle":       {cyclicBoth, "max", tooDeep},
		"struct cycle":      {cyclicStruct, "max", tooDeep},
		"embedded cycle":    {embeddedStruct, "max", tooDeep},
		"33 levels":         {nest(33), "max", tooDeep},
		"10000 levels":      {nest(10_000), "max", tooDeep},
		"long string":       {strings.Repeat("a", 1<<20), "max", tooBig},
		"long bytes":        {make([]byte, 1<<20), "max", tooBig},
		"long byte array":   {&[1 << 20]byte{}, "max", tooBig},
		"long key":          {map[string]any{strings.Repeat("a", 1<<20): 1}, "max", tooBig},
		"long slice":        {make([]any, 1<<16), "max", tooBig},
		"endless array":     {[1 << 50]struct{}{}, "max", tooBig},
		"laughs":            {laughs(30), "max", tooBig},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := roomy.normalize(c.in)
			require.NotNil(t, err)
			require.Nil(t, got)
			require.Equal(t, valueError{c.code, c.msg}, *err)
			require.EqualError(t, err, c.msg)
			require.NotContains(t, err.msg, "secret")
		})
	}
}

// nest returns slices and maps in turn, depth of them.
func nest(depth int) any {
	var v any
	for i := range depth {
		if i%2 == 0 {
			v = []any{v}
		} else {
			v = map[string]any{"a": v}
		}
	}
	return v
}

// laughs returns a small graph that is a tree of 2^levels leaves.
func laughs(levels int) any {
	v := []any{}
	for range levels {
		v = []any{v, v}
	}
	return v
}

func TestNormalizeDepthIsExact(t *testing.T) {
	for _, depth := range []int{0, 1, 2, 31, 10_000} {
		l := limits{depth: depth, bytes: 1 << 30}
		v := nest(depth)
		got, err := l.normalize(v)
		require.Nil(t, err)
		require.True(t, equalValues(v, got))
		require.True(t, equalValues(got, cloneValue(got)))
		require.Equal(t, sizeOf(v), sizeOf(got))
		_, err = l.normalize(nest(depth + 1))
		require.Equal(t, &valueError{"max", fmt.Sprintf("nested deeper than %d levels", depth)}, err)
		_, err = l.normalize(ptr(ptr(v))) // pointers are no levels
		require.Nil(t, err)
	}
	for _, typed := range []any{[]int{}, map[string]int{}, [1]bool{}, struct{ A int }{}} {
		_, err := limits{0, 1 << 20}.normalize(typed)
		require.Equal(t, "nested deeper than 0 levels", err.Error())
		_, err = limits{1, 1 << 20}.normalize(typed)
		require.Nil(t, err)
	}
}

// The size limit refuses exactly the values whose canonical form is larger by sizeOf, whichever path they take.
func TestNormalizeSizeIsExact(t *testing.T) {
	for _, v := range []any{
		nil, "abc", true, 1, int64(1), uint8(1), 1.5, json.Number("1"), json.Number("1.5"), time.Now(),
		[]byte{1, 2, 3},
		[3]byte{},
		namedBytes{1},
		map[string]any{},
		map[string]any{"ab": 1, "c": []any{nil, "x"}},
		namedMap{"abc": 1},
		[]any{},
		[]any{nil, nil},
		[]string{"a", "b"},
		[2]bool{},
		[]map[string]any{{"a": 1}},
		struct{}{},
		person{Name: "x"},
		&recur{Next: &recur{}}, (*int)(nil),
	} {
		got, err := roomy.normalize(v)
		require.Nil(t, err)
		size := sizeOf(got)
		require.Positive(t, size)
		_, err = limits{32, size}.normalize(v)
		require.Nil(t, err, "%T", v)
		for less := range size {
			_, err = limits{32, less}.normalize(v)
			require.Equal(t, &valueError{"max", fmt.Sprintf("larger than %d bytes", less)}, err, "%T", v)
		}
	}
}

func TestSizeOf(t *testing.T) {
	require.Equal(t, 16, sizeOf(nil))
	require.Equal(t, 16, sizeOf(true))
	require.Equal(t, 24, sizeOf(int64(1)))
	require.Equal(t, 24, sizeOf(1.5))
	require.Equal(t, 35, sizeOf("abc"))
	require.Equal(t, 40, sizeOf(time.Time{}))
	require.Equal(t, 43, sizeOf([]byte("abc")))
	require.Equal(t, 40+16+35, sizeOf([]any{nil, "abc"}))
	require.Equal(t, 64+24+3+35, sizeOf(map[string]any{"key": "abc"}))
}

func TestNormalizeSharesNothing(t *testing.T) {
	raw := []byte{1}
	array := [1]byte{1}
	inner := map[string]any{"b": raw}
	list := []any{inner, raw}
	typed := map[string][]string{"x": {"y"}}
	rec := &person{Name: "n", Tags: []string{"t"}, Age: ptr(1)}
	in := map[string]any{"list": list, "typed": typed, "rec": rec, "array": &array, "named": namedBytes(raw)}
	got, err := roomy.normalize(in)
	require.Nil(t, err)
	want, err := roomy.normalize(in)
	require.Nil(t, err)

	raw[0], array[0] = 2, 2
	inner["c"] = 1
	list[1] = nil
	typed["x"][0] = "z"
	typed["w"] = nil
	rec.Name, rec.Tags[0], *rec.Age = "m", "u", 2
	in["new"] = true
	require.Equal(t, want, got)
}

func TestCloneSharesNothing(t *testing.T) {
	build := func() any {
		return map[string]any{"a": []any{map[string]any{"b": []byte{1}}, []byte{2}}, "c": "d", "e": []any{}}
	}
	v := build()
	c := cloneValue(v)
	require.Equal(t, v, c)

	m := c.(map[string]any)
	list := m["a"].([]any)
	list[0].(map[string]any)["b"].([]byte)[0] = 9
	list[0].(map[string]any)["x"] = 1
	list[1].([]byte)[0] = 9
	list[1] = nil
	m["c"] = 1
	_ = append(m["e"].([]any), 1)
	require.Equal(t, build(), v)

	for _, scalar := range []any{nil, "a", int64(1), 1.5, true, time.Unix(0, 0).UTC()} {
		require.Equal(t, scalar, cloneValue(scalar))
	}
}

func TestEqualValues(t *testing.T) {
	instant := time.Unix(1, 0)
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{nil, nil, true},
		{nil, false, false},
		{nil, []any{}, false},
		{"a", "a", true},
		{"a", "b", false},
		{"a", []byte("a"), false},
		{"1", int64(1), false},
		{true, true, true},
		{true, false, false},
		{true, int64(1), false},
		{int64(3), int64(3), true},
		{int64(3), int64(4), false},
		{int64(3), 3.0, true},
		{int64(3), 3.5, false},
		{int64(0), math.Copysign(0, -1), true},
		{0.0, math.Copysign(0, -1), true},
		{int64(1 << 53), float64(1 << 53), true},
		{int64(1<<53 + 1), float64(1 << 53), false},
		{int64(math.MaxInt64), float64(1 << 63), false},
		{int64(math.MinInt64), -float64(1 << 63), true},
		{int64(math.MinInt64), -float64(1<<63) * 1.5, false},
		{int64(math.MinInt64), float64(1 << 63), false},
		{int64(math.MaxInt64), math.Inf(1), false},
		{int64(math.MinInt64), math.Inf(-1), false},
		{math.Inf(1), math.Inf(1), true},
		{math.Inf(1), math.Inf(-1), false},
		{1.5, 1.5, true},
		{instant, instant.UTC(), true},
		{instant, instant.Add(1), false},
		{instant, int64(1000), false},
		{[]byte{1}, []byte{1}, true},
		{[]byte{1}, []byte{2}, false},
		{[]byte{}, []any{}, false},
		{[]any{}, []any{}, true},
		{[]any{int64(1)}, []any{1.0}, true},
		{[]any{int64(1)}, []any{}, false},
		{[]any{int64(1), int64(2)}, []any{int64(2), int64(1)}, false},
		{[]any{}, map[string]any{}, false},
		{map[string]any{"a": nil}, map[string]any{}, false},
		{map[string]any{"a": nil}, map[string]any{"b": nil}, false},
		{map[string]any{"a": int64(1), "b": []any{"x"}}, map[string]any{"b": []any{"x"}, "a": 1.0}, true},
		{map[string]any{"a": int64(1)}, map[string]any{"a": int64(2)}, false},
	} {
		require.Equal(t, c.want, equalValues(c.a, c.b), "%#v, %#v", c.a, c.b)
		require.Equal(t, c.want, equalValues(c.b, c.a), "%#v, %#v", c.b, c.a)
	}
}

// conversion is one row for each of the scalar conversions; want is nil where code is set.
type conversion struct {
	in   any
	want any
	code string
}

func testConversion[T any](t *testing.T, to func(any) (T, *valueError), rows []conversion) {
	t.Helper()
	for _, c := range rows {
		got, err := to(c.in)
		name := fmt.Sprintf("%T %v", c.in, c.in)
		if c.code != "" {
			require.NotNil(t, err, name)
			require.Equal(t, c.code, err.code, name)
			require.Zero(t, got, name)
			require.NotContains(t, err.msg, "secret")
			continue
		}
		require.Nil(t, err, name)
		require.Equal(t, c.want, any(got), name)
	}
}

func TestToString(t *testing.T) {
	testConversion(t, toString, []conversion{
		{"a", "a", ""},
		{"", "", ""},
		{"ž\uFFFD", "ž\uFFFD", ""},
		{namedString("a"), "a", ""},
		{ptr("a"), "a", ""},
		{ptr(ptr(namedString("a"))), "a", ""},
		{"secret\xff", nil, "format"},
		{namedString("\xff"), nil, "format"},
		{nil, nil, "type"},
		{(*string)(nil), nil, "type"},
		{1, nil, "type"},
		{1.5, nil, "type"},
		{true, nil, "type"},
		{json.Number("1"), nil, "type"},
		{ptr(json.Number("1")), nil, "type"},
		{[]byte("a"), nil, "type"},
		{[]rune("a"), nil, "type"},
		{[]any{"a"}, nil, "type"},
		{map[string]any{}, nil, "type"},
		{time.Second, nil, "type"}, // a Stringer is no string
		{func() {}, nil, "type"},
	})
}

func TestToBool(t *testing.T) {
	testConversion(t, toBool, []conversion{
		{true, true, ""},
		{false, false, ""},
		{namedBool(true), true, ""},
		{ptr(true), true, ""},
		{nil, nil, "type"},
		{(*bool)(nil), nil, "type"},
		{1, nil, "type"},
		{"true", nil, "type"},
		{[]bool{true}, nil, "type"},
	})
}

func TestToInt(t *testing.T) {
	testConversion(t, toInt, []conversion{
		{int(-1), int64(-1), ""},
		{int8(-1), int64(-1), ""},
		{int16(-1), int64(-1), ""},
		{int32(-1), int64(-1), ""},
		{int64(math.MinInt64), int64(math.MinInt64), ""},
		{uint(1), int64(1), ""},
		{uint8(1), int64(1), ""},
		{uint16(1), int64(1), ""},
		{uint32(1), int64(1), ""},
		{uint64(math.MaxInt64), int64(math.MaxInt64), ""},
		{namedInt(1), int64(1), ""},
		{namedUint(1), int64(1), ""},
		{time.Second, int64(1e9), ""},
		{ptr(5), int64(5), ""},
		{3.0, int64(3), ""},
		{float32(3), int64(3), ""},
		{namedFloat(-3), int64(-3), ""},
		{math.Copysign(0, -1), int64(0), ""},
		{-float64(1 << 63), int64(math.MinInt64), ""},
		{float64(1<<63 - 1024), int64(1<<63 - 1024), ""},
		{json.Number("0"), int64(0), ""},
		{json.Number("-0.00e99999999999999999999"), int64(0), ""},
		{json.Number("12"), int64(12), ""},
		{json.Number("12.000"), int64(12), ""},
		{json.Number("1e3"), int64(1000), ""},
		{json.Number("1.25E+2"), int64(125), ""},
		{json.Number("0.001e3"), int64(1), ""},
		{json.Number("0.0e5"), int64(0), ""},
		{json.Number("1200e-2"), int64(12), ""},
		{json.Number("1" + strings.Repeat("0", 400) + "e-400"), int64(1), ""},
		{json.Number("0." + strings.Repeat("0", 400) + "7e401"), int64(7), ""},
		{json.Number("9007199254740993.0"), int64(9007199254740993), ""},
		{json.Number("922337203685477580.7e1"), int64(math.MaxInt64), ""},
		{json.Number("9223372036854775807"), int64(math.MaxInt64), ""},
		{json.Number("-9223372036854775808"), int64(math.MinInt64), ""},
		{json.Number("-9223372036854775808.0"), int64(math.MinInt64), ""},
		{ptr(json.Number("12")), int64(12), ""},
		{uint64(1 << 63), nil, "max"},
		{uint64(math.MaxUint64), nil, "max"},
		{float64(1 << 63), nil, "max"},
		{-float64(1<<63) - 2048, nil, "max"},
		{math.Inf(1), nil, "max"},
		{math.Inf(-1), nil, "max"},
		{json.Number("9223372036854775808"), nil, "max"},
		{json.Number("-9223372036854775809"), nil, "max"},
		{json.Number("9999999999999999999"), nil, "max"},
		{json.Number("18446744073709551617"), nil, "max"},
		{json.Number("1e19"), nil, "max"},
		{json.Number("1e99999999999999999999"), nil, "max"},
		{math.NaN(), nil, "type"},
		{1.5, nil, "type"},
		{float32(0.1), nil, "type"},
		{5e-324, nil, "type"},
		{json.Number("1.5"), nil, "type"},
		{json.Number("0.99999999999999999999999"), nil, "type"},
		{json.Number("1e-1"), nil, "type"},
		{json.Number("1e-99999999999999999999"), nil, "type"},
		{json.Number(""), nil, "format"},
		{json.Number("secret"), nil, "format"},
		{"1", nil, "type"},
		{true, nil, "type"},
		{nil, nil, "type"},
		{(*int)(nil), nil, "type"},
		{uintptr(1), nil, "type"},
		{complex(1, 0), nil, "type"},
		{[]byte{1}, nil, "type"},
		{time.Now(), nil, "type"},
	})
}

func TestToFloat(t *testing.T) {
	testConversion(t, toFloat, []conversion{
		{1.5, 1.5, ""},
		{float32(0.5), 0.5, ""},
		{namedFloat(0.5), 0.5, ""},
		{ptr(1.5), 1.5, ""},
		{math.Inf(1), math.Inf(1), ""},
		{3, 3.0, ""},
		{int8(3), 3.0, ""},
		{uint16(3), 3.0, ""},
		{namedInt(3), 3.0, ""},
		{int64(1 << 53), float64(1 << 53), ""},
		{int64(math.MinInt64), -float64(1 << 63), ""},
		{uint64(1 << 62), float64(1 << 62), ""},
		{json.Number("3"), 3.0, ""},
		{json.Number("0.1"), 0.1, ""},
		{json.Number("1e-400"), 0.0, ""},
		{json.Number("9007199254740993"), float64(1 << 53), ""},
		{json.Number("1234567890123456800"), 1234567890123456789.0, ""}, // as encoding/json writes the float64
		{json.Number("100000000000000000000"), 1e20, ""},
		{int64(1<<53 + 1), nil, "type"},
		{int64(math.MaxInt64), nil, "type"},
		{uint64(1<<53 + 1), nil, "type"},
		{uint64(1 << 63), nil, "max"},
		{json.Number("1e400"), nil, "max"},
		{math.NaN(), nil, "type"},
		{float32(math.NaN()), nil, "type"},
		{json.Number("NaN"), nil, "format"},
		{"1.5", nil, "type"},
		{true, nil, "type"},
		{nil, nil, "type"},
		{(*float64)(nil), nil, "type"},
		{[]float64{1}, nil, "type"},
	})
}

func TestToNumber(t *testing.T) {
	number := func(v any) (any, *valueError) {
		i, f, isFloat, err := toNumber(v)
		switch {
		case err != nil:
			require.Zero(t, i)
			require.Zero(t, f)
			return nil, err
		case isFloat:
			require.Zero(t, i)
			return f, nil
		}
		require.Zero(t, f)
		return i, nil
	}
	testConversion(t, number, []conversion{
		{3, int64(3), ""},
		{int32(3), int64(3), ""},
		{int64(1<<53 + 1), int64(1<<53 + 1), ""},
		{uint8(3), int64(3), ""},
		{namedInt(3), int64(3), ""},
		{ptr(3), int64(3), ""},
		{3.0, 3.0, ""},
		{float32(3), 3.0, ""},
		{math.Inf(-1), math.Inf(-1), ""},
		{json.Number("3"), int64(3), ""},
		{json.Number("-0"), int64(0), ""},
		{json.Number("3.0"), 3.0, ""},
		{json.Number("3e0"), 3.0, ""},
		{json.Number("9223372036854775808"), float64(1 << 63), ""},
		{uint64(1 << 63), nil, "max"},
		{json.Number("1e400"), nil, "max"},
		{json.Number("1" + strings.Repeat("0", 400)), nil, "max"},
		{json.Number("1_000"), nil, "format"},
		{math.NaN(), nil, "type"},
		{"3", nil, "type"},
		{nil, nil, "type"},
		{true, nil, "type"},
	})
}

func TestJSONNumberSyntax(t *testing.T) {
	for _, s := range []string{
		"", "-", "+1", "01", "-01", "00", "1.", ".5", "-.5", "1e", "1e+", "1E-", "1e1.5", "1 ", " 1", "0x10", "1_0",
		"inf", "Infinity", "nan", "NaN", "1a", "--1", "1e1e1", "1.2.3", "１", "1\x00",
	} {
		require.False(t, json.Valid([]byte(s)) && strings.TrimSpace(s) == s, s)
		for _, to := range []func(any) *valueError{
			func(v any) *valueError { _, err := toInt(v); return err },
			func(v any) *valueError { _, err := toFloat(v); return err },
			func(v any) *valueError { _, _, _, err := toNumber(v); return err },
			func(v any) *valueError { _, err := toTime(v); return err },
			func(v any) *valueError { _, err := roomy.normalize(v); return err },
		} {
			require.Equal(t, &valueError{"format", "is not a JSON number"}, to(json.Number(s)), "%q", s)
		}
	}
}

func TestToTime(t *testing.T) {
	day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	noon := day.Add(12*time.Hour + time.Millisecond)
	const ms = 1709208000001
	require.Equal(t, noon, time.UnixMilli(ms).UTC())
	zone := time.FixedZone("CET", 3600)
	now := time.Now()
	testConversion(t, toTime, []conversion{
		{noon, noon, ""},
		{noon.In(zone), noon, ""},
		{&noon, noon, ""},
		{namedTime(noon.In(zone)), noon, ""},
		{now, now.Round(0).UTC(), ""},
		{time.Time{}, time.Time{}, ""},
		{"2024-02-29", day, ""},
		{"2024-02-29T12:00:00.001Z", noon, ""},
		{"2024-02-29T13:00:00.001+01:00", noon, ""},
		{namedString("2024-02-29"), day, ""},
		{ptr("2024-02-29"), day, ""},
		{"0001-01-01", time.Time{}, ""},
		{int64(ms), noon, ""},
		{int(ms), noon, ""},
		{uint64(ms), noon, ""},
		{float64(ms), noon, ""},
		{int32(-1), time.UnixMilli(-1).UTC(), ""},
		{int8(0), time.Unix(0, 0).UTC(), ""},
		{json.Number("1709208000001"), noon, ""},
		{json.Number("1.709208000001e12"), noon, ""},
		{int64(minMillis), time.Time{}, ""},
		{int64(maxMillis), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), ""},
		{int64(minMillis - 1), nil, "format"},
		{int64(maxMillis + 1), nil, "format"},
		{int64(math.MinInt64), nil, "format"},
		{int64(math.MaxInt64), nil, "format"},
		{uint64(math.MaxUint64), nil, "format"},
		{math.Inf(1), nil, "format"},
		{1e300, nil, "format"},
		{json.Number("1e300"), nil, "format"},
		{"0000-12-31", nil, "format"},
		{"0001-01-01T00:00:00+01:00", nil, "format"},
		{"9999-12-31T23:00:00-01:00", nil, "format"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), nil, "format"},
		{"", nil, "format"},
		{"secret", nil, "format"},
		{"2024-02-30", nil, "format"},
		{"1709208000001", nil, "format"},
		{"2024-02-29T12:00:00", nil, "format"},
		{json.Number("x"), nil, "format"},
		{1.5, nil, "type"},
		{math.NaN(), nil, "type"},
		{json.Number("1.5"), nil, "type"},
		{true, nil, "type"},
		{nil, nil, "type"},
		{(*time.Time)(nil), nil, "type"},
		{[]byte("2024-02-29"), nil, "type"},
		{map[string]any{}, nil, "type"},
	})
	got, err := toTime(now)
	require.Nil(t, err)
	require.NotContains(t, got.String(), "m=")
	require.Same(t, time.UTC, got.Location())
}

func TestToBytes(t *testing.T) {
	testConversion(t, toBytes, []conversion{
		{[]byte{1, 2}, []byte{1, 2}, ""},
		{[]byte{}, []byte{}, ""},
		{[]byte(nil), []byte{}, ""},
		{namedBytes{1}, []byte{1}, ""},
		{[]namedByte{1}, []byte{1}, ""},
		{json.RawMessage("1"), []byte("1"), ""},
		{[2]byte{1, 2}, []byte{1, 2}, ""},
		{[2]namedByte{1, 2}, []byte{1, 2}, ""},
		{&[2]byte{1, 2}, []byte{1, 2}, ""},
		{ptr([]byte{1}), []byte{1}, ""},
		{"", []byte{}, ""},
		{"AQI=", []byte{1, 2}, ""},
		{"+/8=", []byte{0xfb, 0xff}, ""},
		{namedString("AQI="), []byte{1, 2}, ""},
		{"AQI", nil, "format"},
		{"AQJ=", nil, "format"}, // stray bits: a second spelling of AQI=
		{"AQI=\n", nil, "format"},
		{"AQ\r\nI=", nil, "format"},
		{"-_8=", nil, "format"},
		{"secret!", nil, "format"},
		{json.Number("1234"), nil, "type"},
		{nil, nil, "type"},
		{(*[]byte)(nil), nil, "type"},
		{1, nil, "type"},
		{[]int{1}, nil, "type"},
		{[]any{1}, nil, "type"},
	})
	for _, in := range []any{[]byte{1}, namedBytes{1}, &[1]byte{1}, ptr([]byte{1})} {
		b, err := toBytes(in)
		require.Nil(t, err)
		b[0] = 9
		again, err := toBytes(in)
		require.Nil(t, err)
		require.Equal(t, []byte{1}, again, "%T", in)
	}
	for n := range 10 {
		want := bytes.Repeat([]byte{0xfe}, n)
		got, err := toBytes(base64.StdEncoding.EncodeToString(want))
		require.Nil(t, err)
		require.Equal(t, want, got)
	}
}

func TestTypeName(t *testing.T) {
	var loop any
	loop = &loop
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "null"},
		{(*int)(nil), "null"},
		{"a", "string"},
		{namedString("a"), "string"},
		{ptr("a"), "string"},
		{1, "number"},
		{uint8(1), "number"},
		{1.5, "number"},
		{json.Number("1"), "number"},
		{namedFloat(1), "number"},
		{true, "bool"},
		{time.Now(), "date"},
		{namedTime{}, "date"},
		{[]byte{}, "bytes"},
		{[1]byte{}, "bytes"},
		{map[string]any{}, "object"},
		{namedMap{}, "object"},
		{person{}, "object"},
		{[]any{}, "array"},
		{[]string{}, "array"},
		{[1]int{}, "array"},
		{map[int]int{}, "map[int]int"},
		{make(chan int), "chan int"},
		{func() {}, "func()"},
		{1i, "complex128"},
		{uintptr(1), "uintptr"},
		{loop, "*interface {}"},
	} {
		require.Equal(t, c.want, typeName(c.v))
	}
	_, err := toString(1.5)
	require.EqualError(t, err, "must be a string, got number")
	_, err = toInt(nil)
	require.EqualError(t, err, "must be an integer, got null")
}

func TestValueAllocs(t *testing.T) {
	var (
		text   any = "a string of some length"
		i      any = 123_456
		i64    any = int64(123_456)
		f      any = 1.5
		whole  any = 123_456.0
		number any = json.Number("123456")
		b      any = true
		now    any = time.Now()
		date   any = "2024-02-29T12:00:00.001Z"
		object any = map[string]any{"a": int64(1), "b": []any{"x", 1.5}}
		failed *valueError
	)
	for name, f := range map[string]func(){
		"toString":         func() { _, failed = toString(text) },
		"toInt int":        func() { _, failed = toInt(i) },
		"toInt int64":      func() { _, failed = toInt(i64) },
		"toInt float64":    func() { _, failed = toInt(whole) },
		"toInt number":     func() { _, failed = toInt(number) },
		"toFloat float64":  func() { _, failed = toFloat(f) },
		"toFloat int":      func() { _, failed = toFloat(i) },
		"toFloat number":   func() { _, failed = toFloat(number) },
		"toNumber int":     func() { _, _, _, failed = toNumber(i) },
		"toNumber number":  func() { _, _, _, failed = toNumber(number) },
		"toBool":           func() { _, failed = toBool(b) },
		"toTime time":      func() { _, failed = toTime(now) },
		"toTime string":    func() { _, failed = toTime(date) },
		"toTime int64":     func() { _, failed = toTime(i64) },
		"normalize string": func() { _, failed = roomy.normalize(text) },
		"normalize int64":  func() { _, failed = roomy.normalize(i64) },
		"normalize float":  func() { _, failed = roomy.normalize(f) },
		"clone string":     func() { _ = cloneValue(text) },
		"equal":            func() { _ = equalValues(object, object) },
		"sizeOf":           func() { _ = sizeOf(object) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
		require.Nil(t, failed, name)
	}
}

// valueRand is seeded by STORE_VALUE_SEED, or anew; a failing test prints the seed.
func valueRand(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("STORE_VALUE_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("STORE_VALUE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// randomValue draws from few scalars, so that two values are often equal.
func randomValue(r *rand.Rand, depth int) any {
	kinds := 10
	if depth == 0 {
		kinds = 7
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return strings.Repeat("ž", r.IntN(3))
	case 3:
		return randomInt(r)
	case 4:
		return float64(randomInt(r)) + []float64{0, 0, 0.5, math.Inf(1)}[r.IntN(4)]
	case 5:
		return time.UnixMilli(r.Int64N(3)).UTC()
	case 6:
		return bytes.Repeat([]byte{byte(r.IntN(2))}, r.IntN(3))
	case 7:
		list := make([]any, r.IntN(3))
		for i := range list {
			list[i] = randomValue(r, depth-1)
		}
		return list
	default:
		m := map[string]any{}
		for range r.IntN(3) {
			m[string(rune('a'+r.IntN(3)))] = randomValue(r, depth-1)
		}
		return m
	}
}

func randomInt(r *rand.Rand) int64 {
	if r.IntN(2) == 0 {
		return r.Int64N(2)
	}
	edges := []int64{1 << 53, -1 << 53, math.MaxInt64 - 2, math.MinInt64 + 2}
	return edges[r.IntN(len(edges))] + r.Int64N(5) - 2
}

// modelEqual is equalValues by other means: exact rationals for numbers, reflection for the shape.
func modelEqual(a, b any) bool {
	x, y := modelNumber(a), modelNumber(b)
	if x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	switch a := a.(type) {
	case map[string]any:
		b := b.(map[string]any)
		for k, v := range a {
			if w, ok := b[k]; !ok || !modelEqual(v, w) {
				return false
			}
		}
		return len(a) == len(b)
	case []any:
		b := b.([]any)
		for i := range min(len(a), len(b)) {
			if !modelEqual(a[i], b[i]) {
				return false
			}
		}
		return len(a) == len(b)
	}
	return reflect.DeepEqual(a, b)
}

func modelNumber(v any) *big.Float {
	switch x := v.(type) {
	case int64:
		return new(big.Float).SetPrec(100).SetInt64(x)
	case float64:
		return new(big.Float).SetPrec(100).SetFloat64(x)
	}
	return nil
}

func TestValueProperties(t *testing.T) {
	r := valueRand(t)
	equal := 0
	for range 20_000 {
		a, b := randomValue(r, 3), randomValue(r, 3)
		requireCanonical(t, a)
		want := modelEqual(a, b)
		if want {
			equal++
		}
		require.Equal(t, want, equalValues(a, b), "%#v, %#v", a, b)
		require.Equal(t, want, equalValues(b, a), "%#v, %#v", b, a)

		c := cloneValue(a)
		require.True(t, reflect.DeepEqual(a, c), "%#v", a)
		require.True(t, equalValues(a, c))
		require.True(t, equalValues(c, a))
		requireDisjoint(t, a, c)
		require.Equal(t, sizeOf(a), sizeOf(c))

		n, err := roomy.normalize(a)
		require.Nil(t, err)
		require.True(t, reflect.DeepEqual(a, n), "%#v", a)
		requireDisjoint(t, a, n)
	}
	require.Greater(t, equal, 100, "the generator draws too few equal pairs to test anything")
}

// requireCanonical holds v to the canonical form.
func requireCanonical(t *testing.T, v any) {
	t.Helper()
	switch x := v.(type) {
	case nil, bool, int64:
	case string:
		require.True(t, utf8.ValidString(x))
	case float64:
		require.False(t, math.IsNaN(x))
	case time.Time:
		require.Equal(t, x.Round(0).UTC(), x) // DeepEqual: the clock reading and the location count
		require.True(t, x.Year() >= 1 && x.Year() <= 9999)
	case []byte:
		require.NotNil(t, x)
	case []any:
		require.NotNil(t, x)
		for _, e := range x {
			requireCanonical(t, e)
		}
	case map[string]any:
		require.NotNil(t, x)
		for k, e := range x {
			require.True(t, utf8.ValidString(k))
			requireCanonical(t, e)
		}
	default:
		require.Fail(t, "not canonical", "%T", v)
	}
}

func requireDisjoint(t *testing.T, a, b any) {
	t.Helper()
	seen := map[uintptr]bool{}
	eachMemory(a, func(p uintptr) { seen[p] = true })
	eachMemory(b, func(p uintptr) { require.False(t, seen[p], "shared memory in %#v", a) })
}

// eachMemory calls f with the address of every map, and of every slice that has room for an element.
func eachMemory(v any, f func(uintptr)) {
	switch x := v.(type) {
	case map[string]any:
		f(reflect.ValueOf(x).Pointer())
		for _, e := range x {
			eachMemory(e, f)
		}
	case []any:
		if cap(x) > 0 {
			f(reflect.ValueOf(x).Pointer())
		}
		for _, e := range x {
			eachMemory(e, f)
		}
	case []byte:
		if cap(x) > 0 {
			f(reflect.ValueOf(x).Pointer())
		}
	}
}

func FuzzNormalizeJSON(f *testing.F) {
	for _, s := range []string{
		`null`, `true`, `"ž"`, `0`, `-0`, `1.0`, `1e400`, `9223372036854775808`, `9007199254740993`, `[]`, `{}`,
		`{"a":[1,2.5,{"b":null}],"c":"\ud800"}`, `[[[[[[[[[[]]]]]]]]]]`, `[1e-400,123456789012345678901234567890]`,
		`{"":{"":{"":""}}}`, `"\u0000"`,
	} {
		f.Add([]byte(s))
	}
	l := limits{depth: 8, bytes: 1 << 12}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, useNumber := range []bool{false, true} {
			d := json.NewDecoder(bytes.NewReader(text))
			if useNumber {
				d.UseNumber()
			}
			var in any
			if d.Decode(&in) != nil {
				continue
			}
			n, err := l.normalize(in)
			if err != nil {
				require.Equal(t, "max", err.code)
				require.Nil(t, n)
				continue
			}
			requireCanonical(t, n)
			require.LessOrEqual(t, sizeOf(n), l.bytes)

			again, err := l.normalize(n)
			require.Nil(t, err)
			require.Equal(t, n, again)
			requireDisjoint(t, n, again)

			c := cloneValue(n)
			require.Equal(t, n, c)
			require.True(t, equalValues(n, c))
			requireDisjoint(t, n, c)
			if !useNumber {
				require.Equal(t, in, n) // without json.Number, what JSON decodes to is canonical already
			}
		}
	})
}

// What the conversions make of any number text agrees with exact rational arithmetic.
func FuzzJSONNumber(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "1.0", "12e3", "1200e-2", "9223372036854775808", "-9223372036854775808.0", "0.1", "1e-1", "01", "1e999999999999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := toInt(json.Number(s))
		valid := json.Valid([]byte(s)) && s != "" && (s[0] == '-' || isDigit(s[0])) && isDigit(s[len(s)-1])
		require.Equal(t, !valid, err != nil && err.code == "format", "%q", s)
		if _, exp, ok := strings.Cut(strings.ToLower(s), "e"); !valid || ok && len(exp) > 4 {
			return // big.Rat would write out all the zeros
		}
		exact, ok := new(big.Rat).SetString(s)
		require.True(t, ok)
		switch {
		case !exact.IsInt():
			require.Equal(t, errFraction(), err, "%q", s)
		case !exact.Num().IsInt64():
			require.Equal(t, errIntRange(), err, "%q", s)
		default:
			require.Nil(t, err, "%q", s)
			require.Equal(t, exact.Num().Int64(), i, "%q", s)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	var fromJSON any
	require.NoError(b, json.Unmarshal([]byte(`{"id":"x","name":"Alice","age":30,"tags":["a","b"],"at":{"x":1.5}}`), &fromJSON))
	for name, v := range map[string]any{
		"json": fromJSON, "struct": person{Name: "Alice", Age: ptr(30), Tags: []string{"a", "b"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := roomy.normalize(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkToInt(b *testing.B) {
	var v any = 123_456
	b.ReportAllocs()
	for b.Loop() {
		if _, err := toInt(v); err != nil {
			b.Fatal(err)
		}
	}
}
