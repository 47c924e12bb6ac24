package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// inChild runs fn in a process of its own: a defect could end it.
func inChild(t *testing.T, fn func()) {
	t.Helper()
	if os.Getenv("STORE_TEST_CHILD") == t.Name() {
		debug.SetMaxStack(16 << 20)
		fn()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+t.Name())
	out, err := cmd.CombinedOutput()
	if len(out) > 4000 {
		out = out[:4000]
	}
	require.NoError(t, err, "%s", out)
}

type (
	audit struct {
		Author string `store:"author"`
		Note   *string
	}
	hidden struct {
		Inner int `store:"inner,index"`
	}
	kinds struct {
		ID   text `store:"id,key"`
		S    string
		NS   text
		B    bool
		I    int
		I8   int8
		I16  int16
		I32  int32
		I64  int64
		U    uint
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		F32  float32
		F64  float64
		D    time.Duration
		T    time.Time
		Y    []byte
		NY   blob
		SS   []string
		M    map[string]int
		P    place
		PP   []place
		MM   map[text][]place
		A    [2]int
		X    any
		PS   *string
		PB   *bool
		PI   *int
		PU8  *uint8
		PF32 *float32
		PT   *time.Time
		PY   *[]byte
		PX   *any
		PPl  *place
		PM   *map[string]int
		audit
		hidden
		store.Meta
		Out     chan int `store:"-"`
		private func()
	}
)

func TestEveryGoKind(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[kinds](ctx, s, "kinds")
	require.NoError(t, err)
	d, err := s.Definition("kinds")
	require.NoError(t, err)
	for name, typ := range map[string]store.Type{
		"id": store.String, "NS": store.String, "B": store.Bool, "I8": store.Int, "U64": store.Int, "F32": store.Float, "D": store.Int, "T": store.Date, "Y": store.Bytes, "NY": store.Bytes,
		"SS": store.Array, "M": store.Object, "P": store.Object, "PP": store.Array, "A": store.Array, "X": store.Any, "PS": store.String, "PY": store.Bytes, "PX": store.Any, "PPl": store.Object, "author": store.String, "inner": store.Int,
	} {
		require.Equal(t, typ, d.Schema[name].Type, name)
	}
	for _, no := range []string{"Out", "private", "Meta", "Version", "audit"} {
		require.NotContains(t, d.Schema, no)
	}
	prague := time.FixedZone("CET", 3600)
	at := time.Date(2024, 2, 29, 12, 0, 0, 5, prague)
	full := kinds{
		ID: "a", S: "ž", NS: "n", B: true, I: math.MinInt64, I8: -128, I16: -32768, I32: math.MinInt32, I64: math.MaxInt64, U: math.MaxInt64, U8: 255, U16: 65535, U32: math.MaxUint32, U64: math.MaxInt64,
		F32: 0.1, F64: math.Inf(-1), D: time.Hour, T: at, Y: []byte{1}, NY: blob{2}, SS: []string{"x", ""}, M: map[string]int{"k": 1}, P: place{"Brno", 1}, PP: []place{{"Cheb", 2}}, MM: map[text][]place{"k": {{"Zlín", 3}}},
		A: [2]int{1, 2}, X: map[string]any{"l": []any{int64(1)}}, PS: of(""), PB: of(false), PI: of(0), PU8: of(uint8(200)), PF32: of(float32(0.1)), PT: of(at), PY: of([]byte{3}), PX: of(any("x")), PPl: of(place{}), PM: of(map[string]int{}),
		audit: audit{"me", of("note")}, hidden: hidden{7}, Out: make(chan int), private: func() {},
	}
	full.Version, full.CreatedAt = 99, 99
	got, err := b.Insert(ctx, full)
	require.NoError(t, err)
	want := full
	want.Out, want.private = nil, nil
	want.T, want.PT = at.UTC(), of(at.UTC())
	want.Meta = got.Meta
	require.Equal(t, store.Version(1), got.Version)
	require.Equal(t, want, got)
	got, ok := b.Get("a")
	require.True(t, ok)
	require.Equal(t, want, got)
	// Dynamically, every field that is present.
	dyn := b.Dynamic()
	r, ok := dyn.Get("a")
	require.True(t, ok)
	for name, v := range map[string]any{
		"id": "a", "I": int64(math.MinInt64), "U8": int64(255), "U64": int64(math.MaxInt64), "F32": float64(float32(0.1)), "D": int64(time.Hour), "T": at.UTC(), "NY": []byte{2}, "SS": []any{"x", ""}, "M": map[string]any{"k": int64(1)},
		"P": map[string]any{"city": "Brno", "zip": int64(1)}, "MM": map[string]any{"k": []any{map[string]any{"city": "Zlín", "zip": int64(3)}}}, "A": []any{int64(1), int64(2)}, "PS": "", "PB": false, "PI": int64(0), "PU8": int64(200),
		"PT": at.UTC(), "PY": []byte{3}, "PX": "x", "PPl": map[string]any{"city": "", "zip": int64(0)}, "PM": map[string]any{}, "author": "me", "Note": "note", "inner": int64(7),
	} {
		require.Equal(t, v, r.Get(name), name)
		require.True(t, r.Has(name), name)
	}
	require.Equal(t, 1, count(t, dyn, store.Eq("inner", 7)))
	// What was read dynamically goes in again and means the same.
	next := r.Map()
	_, err = dyn.Update(ctx, "a", next)
	require.NoError(t, err)
	again, _ := b.Get("a")
	want.Meta = again.Meta
	require.Equal(t, want, again)
	// The zero value: pointers, slices, maps and any are absent, all else is there.
	none, err := b.Insert(ctx, kinds{ID: "zero"})
	require.NoError(t, err)
	require.Equal(t, kinds{ID: "zero", Meta: none.Meta}, none)
	r, _ = dyn.Get("zero")
	for _, name := range []string{"Y", "NY", "SS", "M", "MM", "PP", "X", "PS", "PB", "PI", "PU8", "PF32", "PT", "PY", "PX", "PPl", "PM", "Note"} {
		require.False(t, r.Has(name), name)
		require.Nil(t, r.Get(name), name)
		_, err = dyn.Update(ctx, "a", store.Fields{name: nil})
		require.NoError(t, err, name)
	}
	for _, name := range []string{"S", "B", "I", "U64", "F32", "T", "P", "A", "author", "inner"} {
		require.True(t, r.Has(name), name)
	}
	again, _ = b.Get("a")
	require.Nil(t, again.Y)
	require.Nil(t, again.PX)
	require.Nil(t, again.MM)
}

func TestOverflowIsRefused(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[kinds](ctx, s, "kinds")
	require.NoError(t, err)
	for _, k := range []kinds{{ID: "x", U: math.MaxUint64}, {ID: "x", U64: math.MaxInt64 + 1}, {ID: "x", F32: float32(math.NaN())}, {ID: "x", F64: math.NaN()}, {ID: "x", PF32: of(float32(math.NaN()))}, {ID: "x", S: "\xff"}, {ID: "\xff"}, {ID: "x", PS: of("\xff")}, {ID: "x", SS: []string{"\xff"}}, {ID: "x", X: make(chan int)}, {ID: "x", T: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, {ID: "x", X: math.NaN()}} {
		_, err := b.Insert(ctx, k)
		require.Len(t, issues(t, err), 1)
	}
	_, err = b.Insert(ctx, kinds{ID: "a", I8: 5})
	require.NoError(t, err)
	for name, values := range map[string][]any{
		"I8": {128, -129, 1e3}, "I16": {32768}, "I32": {int64(math.MaxInt32 + 1)}, "U8": {256, -1}, "U16": {-1, 65536}, "U32": {int64(math.MaxUint32 + 1), -1}, "U": {-1}, "U64": {-1}, "PU8": {256},
		"F32": {1e300, math.NaN()}, "SS": {[]any{1}, "x"}, "M": {map[string]any{"k": "v"}, map[string]any{"k": 1.5}}, "P": {map[string]any{"city": 1}, map[string]any{"town": "x"}, map[string]any{"zip": 1e300}},
		"A": {[]any{1}, []any{1, 2, 3}}, "PP": {[]any{1}}, "PPl": {map[string]any{"x": 1}, []any{}},
	} {
		for _, v := range values {
			_, err := b.Patch(ctx, "a", store.Fields{name: v})
			require.Len(t, issues(t, err), 1, "%s: %v", name, v)
		}
	}
	got, _ := b.Get("a")
	require.Equal(t, store.Version(1), got.Version)
	require.Equal(t, int8(5), got.I8)
}

func TestZeroAndAbsent(t *testing.T) {
	type item struct {
		ID   string  `store:"id,key"`
		Req  int     `store:"req,required"`
		PReq *int    `store:"preq,required"`
		Def  string  `store:"def,default=x"`
		PDef *string `store:"pdef,default=y"`
		Gen  int64   `store:"gen,generated=timestamp"`
		Omit string  `store:"omit,omitzero,unique"`
		Zero string  `store:"zero"`
		Many []int   `store:"many,maxLength=2"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[item](ctx, s, "items")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{})
	require.Equal(t, []string{"id required", "req required", "preq required"}, issues(t, err))
	got, err := b.Insert(ctx, item{ID: "a", Req: 1, PReq: of(0), Many: []int{}})
	require.NoError(t, err)
	require.Equal(t, "x", got.Def)
	require.Equal(t, of("y"), got.PDef)
	require.NotZero(t, got.Gen)
	require.NotNil(t, got.Many)
	r, _ := b.Dynamic().Get("a")
	require.False(t, r.Has("omit"))
	require.True(t, r.Has("zero"))
	require.True(t, r.Has("many"))
	_, err = b.Insert(ctx, item{ID: "b", Req: 1, PReq: of(0), PDef: of("")})
	require.NoError(t, err, "two records without the unique field")
	_, err = b.Update(ctx, "a", func(i *item) error { i.Req, i.PReq = 0, nil; return nil })
	require.Equal(t, []string{"req required", "preq required"}, issues(t, err))
	got, err = b.Update(ctx, "a", func(i *item) error { i.ID, i.Gen, i.Zero, i.Many = "other", 1, "z", nil; return nil })
	require.NoError(t, err)
	require.Equal(t, "a", got.ID)
	require.NotEqual(t, int64(1), got.Gen)
	r, _ = b.Dynamic().Get("a")
	require.False(t, r.Has("many"))
	require.Equal(t, 1, count(t, b.Dynamic(), store.Eq("zero", "z")))
	require.Zero(t, count(t, b.Dynamic(), store.Eq("many", []int{})))
}

// A zero that a dynamic write put into a required or defaulted field is a value.
// A typed update of another field must leave it as it is: it made it absent, or
// was refused.
func TestTypedUpdateKeepsZerosThatItDidNotTouch(t *testing.T) {
	type item struct {
		ID     string `store:"id,key"`
		Active bool   `store:"active,default=true,index"`
		Name   string `store:"name,required"`
		Skip   int    `store:"skip,omitzero"`
		N      int    `store:"n"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	check := func(t *testing.T, b *store.TypedBucket[item]) {
		in := store.Fields{"id": "a", "active": false, "name": "", "skip": 0, "n": 1}
		dyn := b.Dynamic()
		_, err := dyn.Insert(ctx, in)
		require.NoError(t, err)
		require.Equal(t, 1, count(t, dyn, store.Eq("active", false)))
		_, err = b.Update(ctx, "a", func(i *item) error { i.N++; return nil })
		require.NoError(t, err)
		r, _ := dyn.Get("a")
		require.Equal(t, []any{false, "", int64(0), int64(2)}, []any{r.Get("active"), r.Get("name"), r.Get("skip"), r.Get("n")})
		require.Equal(t, 1, count(t, dyn, store.Eq("active", false)))
	}
	t.Run("native", func(t *testing.T) {
		b, err := store.Define[item](ctx, s, "native")
		require.NoError(t, err)
		check(t, b)
	})
	t.Run("over dynamic", func(t *testing.T) {
		d, err := s.Definition("native")
		require.NoError(t, err)
		_, err = s.DefineBucket(ctx, "dynamic", d)
		require.NoError(t, err)
		b, err := store.Typed[item](s, "dynamic")
		require.NoError(t, err)
		check(t, b)
	})
}

// Defaults are for inserts: an update that sets false means false.
func TestTypedUpdateToZeroOfADefaultedField(t *testing.T) {
	type item struct {
		ID     string `store:"id,key"`
		Active bool   `store:"active,default=true"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: "a"})
	require.NoError(t, err)
	got, err := b.Update(ctx, "a", func(i *item) error { i.Active = false; return nil })
	require.NoError(t, err)
	require.False(t, got.Active)
	require.Equal(t, 1, count(t, b.Dynamic(), store.Eq("active", false)))
}

func TestTagsWithEveryOption(t *testing.T) {
	type item struct {
		ID    string    `store:"id,key,generated=cuid,ref=others"`
		A     string    `store:",required,minLength=1,maxLength=3,enum=a|b|,default=a,unique"`
		I     int8      `store:"i,min=-3,max=7.5,enum=1|2,index,index=x"`
		F     float64   `store:"f,min=-inf,default=1e3,index=x,omitzero"`
		B     *bool     `store:"b,default=true,enum=true"`
		D     time.Time `store:"d,default=2024-02-29,enum=2024-02-29|2024-03-01,index=y"`
		E     string    `store:"e,format=email,omitzero"`
		U     string    `store:"u,format=url,omitzero"`
		Iso   string    `store:"iso,format=iso-date,omitzero"`
		N     int64     `store:"n,generated=autoincrement,index=y"`
		L     []string  `store:"l,minLength=1,maxLength=2"`
		Plain int
		P     string `store:"p,omitzero,pattern=^[a-z]{1,2},(x|y)=\\d$"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[item](ctx, s, "items")
	require.NoError(t, err)
	d, err := s.Definition("items")
	require.NoError(t, err)
	require.Equal(t, "id", d.Key)
	require.ElementsMatch(t, []store.Index{{"i"}, {"i", "f"}, {"d", "n"}}, d.Indexes)
	require.Equal(t, store.Field{Type: store.String, Generated: store.CUID, Ref: "others"}, d.Schema["id"])
	require.Equal(t, store.Field{Type: store.String, Required: true, MinLength: 1, MaxLength: 3, Enum: []any{"a", "b", ""}, Default: "a", Unique: true}, d.Schema["A"])
	require.Equal(t, store.Field{Type: store.Int, Min: store.Bound(-3), Max: store.Bound(7.5), Enum: []any{int64(1), int64(2)}}, d.Schema["i"])
	require.Equal(t, store.Field{Type: store.Int, Generated: store.Autoincrement}, d.Schema["n"])
	require.Equal(t, store.Field{Type: store.Int}, d.Schema["Plain"])
	require.Equal(t, `^[a-z]{1,2},(x|y)=\d$`, d.Schema["p"].Pattern)
	_, err = b.Insert(ctx, item{I: 9, F: math.Inf(-1), B: of(false), E: "x", U: "x", Iso: "2023-02-29", L: []string{}, P: "abc"})
	require.Equal(t, []string{"i enum", "i max", "b enum", "e format", "u format", "iso format", "l minLength", "p pattern"}, issues(t, err))
	got, err := b.Insert(ctx, item{I: 1, P: "ab,x=7"})
	require.NoError(t, err)
	require.Equal(t, item{ID: got.ID, A: "a", I: 1, F: 1000, B: of(true), D: time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), N: got.N, P: "ab,x=7"}, got)
	require.Equal(t, 1, count(t, b.Dynamic(), store.Eq("i", 1), store.Eq("f", 1000)))
}

func requireDefineFails[T any](t *testing.T, s *store.Store, want ...string) {
	t.Helper()
	_, err := store.Define[T](context.Background(), s, "wrong")
	require.Error(t, err)
	require.Equal(t, want, issues(t, err), "%v", err)
	require.False(t, s.HasBucket("wrong"))
}

func TestTagMistakes(t *testing.T) {
	s := schemaStore(t)
	requireDefineFails[int](t, s, " type")
	requireDefineFails[*place](t, s, " type")
	requireDefineFails[map[string]any](t, s, " type")
	requireDefineFails[struct{}](t, s, " type", " type")
	requireDefineFails[struct {
		A  string  `store:"a,key"`
		B  string  `store:"b,key"`
		A2 int     `store:"a"`
		C  int     `store:"c,nope"`
		D  int     `store:"d,generated=guid"`
		E  int     `store:"e,default=x,enum=1|y,min=q,max=,minLength=1.5,maxLength"`
		F  string  `store:"f,format=phone"`
		G  bool    `store:"g,default=yes"`
		H  float64 `store:"h,default=abc"`
		I  []int   `store:"i,default=1"`
		J  chan int
		K  func()
		L  complex64
		M  map[int]string
		N  error
		O  uintptr
		P  **int
		Q  []func()
		R  string `store:"r, required"`
		S  string `store:"s,,unique"`
		T  struct{ C chan int }
	}](t, s,
		"b type", "a type", "c type", "d type", "e type", "e type", "e type", "e type", "e type", "e type", "f type", "g type", "h type", "i type", "J type", "K type", "L type", "M type", "N type", "O type", "P type", "Q type", "r type", "s type", "T type")
	// What the tag can say and the definition refuses.
	requireDefineFails[struct {
		ID string `store:"_version,key,min=1"`
		N  int    `store:"n,minLength=1,pattern=x"`
		O  place  `store:"o,index,unique"`
		P  string `store:"p,pattern=("`
	}](t, s, "_version type", "_version type", "n type", "n type", "o type", "p type", "o type")
	requireDefineFails[struct {
		ID int32 `store:"id,key"`
	}](t, s, "id type")
	requireDefineFails[struct {
		ID *string `store:"id,key"`
	}](t, s, "id type")
	requireDefineFails[struct {
		ID uint64 `store:"id,key"`
	}](t, s, "id type")
}

// An option that takes no value, or needs one, and a value given twice.
func TestTagMistakesThatPassedSilently(t *testing.T) {
	s := schemaStore(t)
	refused := func(name string, err error) {
		t.Run(name, func(t *testing.T) { require.Error(t, err) })
	}
	ctx := context.Background()
	_, err := store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,required=false"`
	}](ctx, s, "a")
	refused("required=false", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,unique=no"`
	}](ctx, s, "b")
	refused("unique=no", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,pattern"`
	}](ctx, s, "c")
	refused("pattern", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,enum"`
	}](ctx, s, "d")
	refused("enum", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,ref"`
	}](ctx, s, "e")
	refused("ref", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,index="`
	}](ctx, s, "f")
	refused("index=", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  int    `store:"a,min=1,min=2"`
	}](ctx, s, "g")
	refused("min twice", err)
	_, err = store.Define[struct {
		ID string `store:"id,key"`
		A  string `store:"a,default"`
	}](ctx, s, "h")
	refused("default", err)
	_, err = store.Define[struct {
		ID string `store:"id,key=yes"`
	}](ctx, s, "i")
	refused("key=yes", err)
}

// A definition whose default no record can hold was accepted; each insert failed.
func TestTagDefaultsThatDoNotFit(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	t.Run("int8", func(t *testing.T) {
		_, err := store.Define[struct {
			ID string `store:"id,key"`
			A  int8   `store:"a,default=300"`
		}](ctx, s, "int8")
		require.Error(t, err)
	})
	t.Run("uint8", func(t *testing.T) {
		_, err := store.Define[struct {
			ID string `store:"id,key"`
			A  uint8  `store:"a,default=-1"`
		}](ctx, s, "uint8")
		require.Error(t, err)
	})
	t.Run("float32", func(t *testing.T) { // 0.1 is what its author means by a float32
		type item struct {
			ID string  `store:"id,key"`
			A  float32 `store:"a,default=0.1,enum=0.1|0.2"`
		}
		b, err := store.Define[item](ctx, s, "float32")
		require.NoError(t, err)
		got, err := b.Insert(ctx, item{ID: "a"})
		require.NoError(t, err)
		require.Equal(t, float32(0.1), got.A)
		_, err = b.Insert(ctx, item{ID: "b", A: 0.2})
		require.NoError(t, err)
	})
	t.Run("opaque", func(t *testing.T) {
		type item struct {
			ID string `store:"id,key"`
			A  big.Int
		}
		b, err := store.Define[item](ctx, s, "opaque")
		if err == nil {
			_, err = b.Insert(ctx, item{ID: "a"})
			require.NoError(t, err, "a bucket that no record can enter")
		}
	})
}

// A float32 that came from JSON could not be written.
func TestFloat32FromJSON(t *testing.T) {
	type item struct {
		ID string  `store:"id,key"`
		A  float32 `store:"a,index"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: "a", A: 0.1})
	require.NoError(t, err)
	got, err := b.Patch(ctx, "a", store.Fields{"a": 0.2})
	require.NoError(t, err)
	require.Equal(t, float32(0.2), got.A)
	require.Equal(t, 1, count(t, b.Dynamic(), store.Eq("a", 0.2)), "a filter rounds as a write does")
}

// The bounds of a float32 are meant as float32 values, as its enum is.
func TestFloat32Bounds(t *testing.T) {
	type item struct {
		ID string  `store:"id,key"`
		A  float32 `store:"a,min=0.3,max=0.1e1"`
		B  float32 `store:"b,max=0.1"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: "a", A: 0.3, B: 0.1})
	require.NoError(t, err)
}

// [16]byte, as github.com/google/uuid has it, came out as bytes of a field that
// calls itself an array and takes no bytes.
func TestByteArrayRoundTrip(t *testing.T) {
	type item struct {
		ID string   `store:"id,key"`
		A  [4]byte  `store:"a"`
		P  *[2]byte `store:"p"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	in, err := b.Insert(ctx, item{ID: "a", A: [4]byte{1, 2, 3, 4}, P: &[2]byte{5, 6}})
	require.NoError(t, err)
	r, _ := b.Dynamic().Get("a")
	require.NoError(t, err)
	_, err = b.Patch(ctx, "a", store.Fields{"a": r.Get("a"), "p": r.Get("p")})
	require.NoError(t, err)
	got, _ := b.Get("a")
	require.Equal(t, in.A, got.A)
	require.Equal(t, in.P, got.P)
}

// A named time is a date; it was an object that held a date.
func TestNamedTime(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		T  moment `store:"t"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[item](ctx, s, "items")
	if err != nil {
		return // refusing it is fine too
	}
	now := time.Now()
	_, err = b.Insert(ctx, item{ID: "a", T: moment(now)})
	require.NoError(t, err)
	r, _ := b.Dynamic().Get("a")
	_, err = b.Patch(ctx, "a", store.Fields{"t": r.Get("t")})
	require.NoError(t, err)
	got, _ := b.Get("a")
	require.True(t, time.Time(got.T).Equal(now))
}

// The JSON of a nested struct could not be written back: a time in it is text.
func TestNestedStructFromJSON(t *testing.T) {
	type inner struct {
		At  time.Time       `json:"at"`
		Y   []byte          `json:"y"`
		Ids []time.Duration `json:"ids"`
		M   map[string]time.Time
		P   *time.Time
	}
	type item struct {
		ID string `store:"id,key"`
		In inner  `store:"in"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	in, err := b.Insert(ctx, item{ID: "a", In: inner{At: at, Y: []byte{1, 2}, Ids: []time.Duration{5}, M: map[string]time.Time{"k": at}, P: &at}})
	require.NoError(t, err)
	r, _ := b.Dynamic().Get("a")
	_, err = b.Patch(ctx, "a", store.Fields{"in": r.Get("in")})
	require.NoError(t, err, "what Get returned")
	out, err := json.Marshal(r)
	require.NoError(t, err)
	var fields store.Fields
	require.NoError(t, json.Unmarshal(out, &fields))
	got, err := b.Patch(ctx, "a", fields)
	require.NoError(t, err, "what JSON made of it")
	require.Equal(t, in.In, got.In)
}

// Dates are kept in UTC, nested ones too.
func TestNestedTimesAreUTC(t *testing.T) {
	type item struct {
		ID string      `store:"id,key"`
		L  []time.Time `store:"l"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	now := time.Now()
	got, err := b.Insert(ctx, item{ID: "a", L: []time.Time{now.In(time.FixedZone("X", 3600))}})
	require.NoError(t, err)
	require.Equal(t, []time.Time{now.UTC().Round(0)}, got.L)
}

// An update that sets the same instant in another zone kept the zone.
func TestUpdatedTimesAreUTC(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		T  time.Time
		P  *time.Time
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[item](ctx, s, "native")
	require.NoError(t, err)
	d, err := s.Definition("native")
	require.NoError(t, err)
	_, err = s.DefineBucket(ctx, "dynamic", d)
	require.NoError(t, err)
	over, err := store.Typed[item](s, "dynamic")
	require.NoError(t, err)
	at := time.Date(2024, 2, 29, 0, 0, 0, 1, time.UTC)
	for _, h := range []*store.TypedBucket[item]{b, over} {
		_, err = h.Insert(ctx, item{ID: "a", T: at, P: &at})
		require.NoError(t, err)
		got, err := h.Update(ctx, "a", func(i *item) error {
			i.T = i.T.In(time.FixedZone("X", 3600))
			i.P = of(i.T)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, item{"a", at, &at}, got)
		r, _ := h.Dynamic().Get("a")
		require.Equal(t, at, r.Get("T"))
	}
}

// The types of a tree were walked once per path: 2^32 of them.
func TestRecursiveTypes(t *testing.T) {
	type tree struct {
		Left, Right *tree
		Kids        []tree
		Name        string
	}
	type list []list
	type item struct {
		ID   string `store:"id,key"`
		Root tree   `store:"root"`
		P    *tree  `store:"p"`
		L    list   `store:"l"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	done := make(chan error, 1)
	go func() {
		_, err := store.Define[item](ctx, s, "items")
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(3 * time.Second):
		require.Fail(t, "Define does not end")
	}
	b, err := store.Typed[item](s, "items")
	require.NoError(t, err)
	in := item{ID: "a", Root: tree{Left: &tree{Name: "l"}, Kids: []tree{{Name: "k"}}}, P: &tree{Right: &tree{}}, L: list{{}, {{}}}}
	got, err := b.Insert(ctx, in)
	require.NoError(t, err)
	require.Equal(t, in, got)
	loop := &tree{}
	loop.Left = loop
	_, err = b.Insert(ctx, item{ID: "b", P: loop})
	require.Equal(t, []string{"p max"}, issues(t, err))
}

// A cycle that an update brings is refused like one that an insert brings: over a
// bucket of another layout it was compared with the old value first, without end.
func TestUpdateWithACycle(t *testing.T) {
	type node struct {
		Name string
		Next *node
	}
	type item struct {
		ID string `store:"id,key"`
		N  *node  `store:"n"`
		X  any    `store:"x"`
	}
	inChild(t, func() {
		ctx := context.Background()
		s := schemaStore(t)
		native, err := store.Define[item](ctx, s, "native")
		require.NoError(t, err)
		d, err := s.Definition("native")
		require.NoError(t, err)
		_, err = s.DefineBucket(ctx, "dynamic", d)
		require.NoError(t, err)
		over, err := store.Typed[item](s, "dynamic")
		require.NoError(t, err)
		loop := &node{}
		loop.Next = loop
		list := []any{nil}
		list[0] = list
		for _, b := range []*store.TypedBucket[item]{native, over} {
			_, err = b.Insert(ctx, item{ID: "a", N: &node{Name: "n"}, X: 1})
			require.NoError(t, err)
			_, err = b.Update(ctx, "a", func(i *item) error { i.N, i.X = loop, list; return nil })
			require.Equal(t, []string{"n max", "x max"}, issues(t, err))
			_, err = b.Upsert(ctx, item{ID: "a", N: loop})
			require.Equal(t, []string{"n max"}, issues(t, err))
		}
	})
}

// A field that JSON leaves out was copied unchecked: a cycle behind it ended the
// process with a stack overflow.
func TestCycleBehindAFieldThatJSONLeavesOut(t *testing.T) {
	type node struct {
		Name   string
		Parent *node `json:"-"`
	}
	type item struct {
		ID string `store:"id,key"`
		N  *node  `store:"n"`
	}
	inChild(t, func() {
		ctx := context.Background()
		b, err := store.Define[item](ctx, schemaStore(t), "items")
		require.NoError(t, err)
		n := &node{Name: "n"}
		n.Parent = n
		_, err = b.Insert(ctx, item{ID: "a", N: n})
		if err == nil {
			got, _ := b.Get("a")
			require.Equal(t, "n", got.N.Name)
		}
	})
}

// A required field was satisfied by an any that holds a nil pointer.
func TestNilInsideAny(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		X  any    `store:"x,required"`
		P  *any   `store:"p"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: "a", X: (*int)(nil)})
	require.Error(t, err)
	require.Equal(t, []string{"x required"}, issues(t, err))
	var none any
	_, err = b.Insert(ctx, item{ID: "b", X: 1, P: &none})
	require.NoError(t, err)
	r, _ := b.Dynamic().Get("b")
	require.False(t, r.Has("p"))
	require.Equal(t, 1, count(t, b.Dynamic(), store.Eq("p", nil)))
}

func TestDefineAdjust(t *testing.T) {
	type item struct {
		ID string         `store:"id"`
		N  int            `store:"n"`
		S  string         `store:"s"`
		M  map[string]int `store:"m"`
		P  place          `store:"p"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	var kept *store.Definition
	b, err := store.Define[item](ctx, s, "items", func(d *store.Definition) {
		kept = d
		d.Key, d.Ordered, d.Extra = "id", true, true
		d.Indexes = append(d.Indexes, store.Index{"s", "n"})
		m := d.Schema["m"]
		m.Default = map[string]any{"x": 1}
		d.Schema["m"] = m
	}, func(d *store.Definition) {
		f := d.Schema["s"]
		f.MaxLength = 3
		d.Schema["s"] = f
	})
	require.NoError(t, err)
	kept.Key = "s"
	kept.Schema["n"] = store.Field{Type: store.String}
	for _, id := range []string{"c", "a", "b"} {
		_, err = b.Insert(ctx, item{ID: id, S: "x", N: 1})
		require.NoError(t, err)
	}
	_, err = b.Insert(ctx, item{ID: "d", S: "long"})
	require.Equal(t, []string{"s maxLength"}, issues(t, err))
	first, err := b.First(1)
	require.NoError(t, err)
	require.Equal(t, "a", first[0].ID)
	require.Equal(t, map[string]int{"x": 1}, first[0].M)
	require.Equal(t, 3, count(t, b.Dynamic(), store.Eq("s", "x"), store.Eq("n", 1)))
	_, err = b.Patch(ctx, "a", store.Fields{"more": 1})
	require.NoError(t, err)
	got, err := b.Update(ctx, "a", func(i *item) error { i.N = 2; return nil })
	require.NoError(t, err)
	require.Equal(t, 2, got.N)
	got, err = b.Upsert(ctx, item{ID: "a", N: 3})
	require.NoError(t, err)
	require.Equal(t, 3, got.N)
	r, _ := b.Dynamic().Get("a")
	require.Equal(t, int64(1), r.Get("more"), "typed writes keep what the struct does not have")
	for name, adjust := range map[string]func(*store.Definition){
		"added":   func(d *store.Definition) { d.Schema["new"] = store.Field{Type: store.Int} },
		"removed": func(d *store.Definition) { delete(d.Schema, "n") },
		"renamed": func(d *store.Definition) { delete(d.Schema, "n"); d.Schema["nn"] = store.Field{Type: store.Int} },
		"retyped": func(d *store.Definition) { d.Schema["n"] = store.Field{Type: store.String} },
		"nil":     func(d *store.Definition) { d.Schema = nil },
		"no key":  func(d *store.Definition) { d.Key = "" },
		"index":   func(d *store.Definition) { d.Key, d.Indexes = "id", []store.Index{{"nope"}} },
	} {
		_, err := store.Define[item](ctx, s, "bad", adjust)
		var de *store.DefinitionError
		require.ErrorAs(t, err, &de, name)
	}
}

// What adjust makes required, defaulted or generated follows the same rule for
// zeros as what the tags do.
func TestAdjustedZeros(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		N  int    `store:"n"`
		G  int    `store:"g"`
		R  string `store:"r"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "items", func(d *store.Definition) {
		d.Schema["n"] = store.Field{Type: store.Int, Default: func() any { return 7 }}
		d.Schema["g"] = store.Field{Type: store.Int, Generated: store.Autoincrement}
		d.Schema["r"] = store.Field{Type: store.String, Required: true}
	})
	require.NoError(t, err)
	got, err := b.Insert(ctx, item{ID: "a", R: "r"})
	require.NoError(t, err)
	require.Equal(t, item{"a", 7, 1, "r"}, got)
	_, err = b.Insert(ctx, item{ID: "b"})
	require.Equal(t, []string{"r required"}, issues(t, err))
}

func TestTypedUpdate(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		N  int    `store:"n,max=10,index"`
		U  string `store:"u,unique,omitzero"`
		store.Meta
	}
	ctx := context.Background()
	now := time.UnixMilli(5000)
	s := schemaStore(t, store.Options{Clock: func() time.Time { return now }})
	b, err := store.Define[item](ctx, s, "items")
	require.NoError(t, err)
	_, err = b.InsertMany(ctx, []item{{ID: "a", N: 1, U: "a"}, {ID: "b", N: 1, U: "b"}})
	require.NoError(t, err)
	boom := errors.New("boom")
	var dup *store.UniqueError
	for name, c := range map[string]struct {
		fn    func(*item) error
		check func(error)
	}{
		"error":  {func(i *item) error { i.N = 5; return boom }, func(err error) { require.ErrorIs(t, err, boom) }},
		"panic":  {func(i *item) error { i.N = 5; panic(boom) }, func(err error) { require.ErrorIs(t, err, boom) }},
		"rule":   {func(i *item) error { i.N = 11; return nil }, func(err error) { require.Equal(t, []string{"n max"}, issues(t, err)) }},
		"unique": {func(i *item) error { i.N, i.U = 5, "b"; return nil }, func(err error) { require.ErrorAs(t, err, &dup); require.Equal(t, "u", dup.Field) }},
	} {
		_, err := b.Update(ctx, "a", c.fn)
		require.Error(t, err, name)
		c.check(err)
		require.Equal(t, 2, count(t, b.Dynamic(), store.Eq("n", 1)))
		require.Zero(t, count(t, b.Dynamic(), store.Eq("n", 5)))
	}
	now = time.UnixMilli(1000)
	runs := 0
	got, err := b.Update(ctx, "a", func(i *item) error {
		if runs++; runs == 1 { // another writer comes in between
			_, err := b.Update(ctx, "a", func(i *item) error { i.N = 7; return nil })
			require.NoError(t, err)
		}
		i.N++
		i.ID, i.Version, i.CreatedAt, i.UpdatedAt = "z", 50, 1, 1
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, item{ID: "a", N: 8, U: "a", Meta: store.Meta{Version: 3, CreatedAt: 5000, UpdatedAt: 5000}}, got)
	require.Equal(t, 2, runs)
	_, err = b.Update(ctx, "z", func(*item) error { return nil })
	require.ErrorIs(t, err, store.ErrNotFound)
	got, err = b.Upsert(ctx, item{ID: "a", N: 2})
	require.NoError(t, err)
	require.Equal(t, item{ID: "a", N: 2, Meta: store.Meta{Version: 4, CreatedAt: 5000, UpdatedAt: 5000}}, got)
	_, err = b.Upsert(ctx, item{})
	require.Equal(t, []string{"id required"}, issues(t, err))
	_, err = b.InsertMany(ctx, []item{{ID: "c", N: 3}, {ID: "d", N: 99}, {}})
	require.Equal(t, []string{"[1].n max", "[2].id required"}, issues(t, err))
	_, err = b.InsertMany(ctx, []item{{ID: "c", N: 3}, {ID: "a"}})
	require.ErrorAs(t, err, &dup)
	require.Equal(t, "id", dup.Field)
	require.Zero(t, count(t, b.Dynamic(), store.Eq("n", 3)))
}

// The types that a typed handle has over a bucket that was defined without it.
func TestTypedOverDynamic(t *testing.T) {
	type item struct {
		ID  int64 `store:"id,key"`
		S   string
		PS  *string
		N   float64
		I8  int8
		T   time.Time
		L   []string
		P   place
		PP  *place
		X   any
		Y   []byte
		Not int `store:"-"`
		store.Meta
	}
	ctx := context.Background()
	s := schemaStore(t)
	dyn, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "S": {Type: store.String, Default: "x"}, "PS": {Type: store.String}, "N": {Type: store.Number}, "I8": {Type: store.Int, Min: store.Bound(-128), Max: store.Bound(127)},
		"T": {Type: store.Date}, "L": {Type: store.Array}, "P": {Type: store.Object}, "PP": {Type: store.Object}, "X": {Type: store.Any}, "Y": {Type: store.Bytes}, "other": {Type: store.String, Default: "o"},
	}, Indexes: []store.Index{{"S"}, {"N"}}})
	require.NoError(t, err)
	b, err := store.Typed[item](s, "b")
	require.NoError(t, err)
	at := time.Date(2024, 2, 29, 0, 0, 0, 1, time.FixedZone("X", 3600))
	full := item{S: "s", PS: of(""), N: 1.5, I8: -5, T: at, L: []string{"a"}, P: place{"Brno", 1}, PP: &place{"Cheb", 2}, X: map[string]any{"k": []any{int64(1)}}, Y: []byte{1}, Not: 5}
	got, err := b.Insert(ctx, full)
	require.NoError(t, err)
	want := full
	want.ID, want.T, want.Not, want.Meta = 1, at.UTC(), 0, got.Meta
	require.Equal(t, want, got)
	require.Equal(t, store.Version(1), got.Version)
	r, _ := dyn.Get(1)
	require.Equal(t, "o", r.Get("other"))
	require.Equal(t, map[string]any{"city": "Brno", "zip": int64(1)}, r.Get("P"))
	require.Equal(t, 1.5, r.Get("N"))
	zero, err := b.Insert(ctx, item{})
	require.NoError(t, err)
	require.Equal(t, item{ID: 2, S: "x", Meta: zero.Meta}, zero)
	r, _ = dyn.Get(2)
	require.False(t, r.Has("PS") || r.Has("L") || r.Has("PP") || r.Has("X") || r.Has("Y"))
	require.True(t, r.Has("I8"))
	// Integers beyond 2^53 survive an update of something else through a float64.
	_, err = dyn.Update(ctx, 2, store.Fields{"N": int64(1<<53 + 1), "extra": "e", "other": "mine"})
	require.NoError(t, err)
	got, err = b.Update(ctx, 2, func(i *item) error { i.S = "changed"; i.ID = 77; return nil })
	require.NoError(t, err)
	require.Equal(t, int64(2), got.ID)
	r, _ = dyn.Get(2)
	require.Equal(t, []any{int64(1<<53 + 1), "e", "mine", "changed"}, []any{r.Get("N"), r.Get("extra"), r.Get("other"), r.Get("S")})
	require.Equal(t, 1, count(t, dyn, store.Eq("S", "changed")))
	require.Equal(t, 1, count(t, dyn, store.Eq("N", int64(1<<53+1))))
	got, err = b.Upsert(ctx, item{ID: 2, S: "u"})
	require.NoError(t, err)
	require.Equal(t, "u", got.S)
	_, err = b.Insert(ctx, item{N: math.NaN()})
	require.Equal(t, []string{"N type"}, issues(t, err))
}

func TestTypedMismatches(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	_, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "i": {Type: store.Int}, "n": {Type: store.Number}, "f": {Type: store.Float}, "s": {Type: store.String, Required: true}, "o": {Type: store.Object},
		"small": {Type: store.Int, Min: store.Bound(0), Max: store.Bound(255)}, "req": {Type: store.Int, Required: true}, "fine": {Type: store.Int, Required: true, Default: 1},
	}})
	require.NoError(t, err)
	_, err = store.Typed[struct {
		I     int8   `store:"i"`
		N     int    `store:"n"`
		F     string `store:"f"`
		S     int    `store:"s"`
		O     []int  `store:"o"`
		Small int8   `store:"small"`
		Extra int    `store:"extra"`
	}](s, "b")
	require.Equal(t, []string{"i type", "n type", "f type", "s type", "o type", "small type", "extra type", "id required", "req required"}, issues(t, err))
	_, err = store.Typed[struct {
		ID    string   `store:"id"`
		I     *int     `store:"i"`
		N     *float64 `store:"n"`
		F     float32  `store:"f"`
		S     text     `store:"s"`
		O     any      `store:"o"`
		Small uint8    `store:"small"`
		Req   uint     `store:"req"`
	}](s, "b")
	require.Equal(t, []string{"f type", "req type"}, issues(t, err))
	_, err = store.Typed[int](s, "b")
	require.Len(t, issues(t, err), 1)
	_, err = store.Typed[struct {
		ID string `store:"id,nope"`
	}](s, "b")
	require.Equal(t, []string{"id type"}, issues(t, err))
}

// A struct of scalars over a bucket with other Go types: each pair that is not
// the same memory was converted as if it were numbers.
func TestTypedOverAnotherStruct(t *testing.T) {
	type withPointers struct {
		ID string     `store:"id,key"`
		S  *string    `store:"s"`
		B  *bool      `store:"b"`
		T  *time.Time `store:"t"`
		I  *int       `store:"i"`
		F  *float32   `store:"f"`
	}
	type plain struct {
		ID string    `store:"id,key"`
		S  string    `store:"s"`
		B  bool      `store:"b"`
		T  time.Time `store:"t"`
		I  int       `store:"i"`
		F  float64   `store:"f"`
	}
	at := time.Date(2024, 2, 29, 0, 0, 0, 1, time.UTC)
	full, flat := withPointers{"a", of("text"), of(true), of(at), of(-7), of(float32(0.5))}, plain{"a", "text", true, at, -7, 0.5}
	t.Run("values over pointers", func(t *testing.T) {
		inChild(t, func() {
			ctx := context.Background()
			s := schemaStore(t)
			b, err := store.Define[withPointers](ctx, s, "b")
			require.NoError(t, err)
			_, err = b.Insert(ctx, full)
			require.NoError(t, err)
			p, err := store.Typed[plain](s, "b")
			require.NoError(t, err)
			got, _ := p.Get("a")
			require.Equal(t, flat, got)
			got, err = p.Update(ctx, "a", func(p *plain) error { p.I = 8; return nil })
			require.NoError(t, err)
			require.Equal(t, 8, got.I)
			back, _ := b.Get("a")
			require.Equal(t, "text", *back.S)
			require.Equal(t, 8, *back.I)
		})
	})
	t.Run("pointers over values", func(t *testing.T) {
		inChild(t, func() {
			ctx := context.Background()
			s := schemaStore(t)
			b, err := store.Define[plain](ctx, s, "b")
			require.NoError(t, err)
			_, err = b.Insert(ctx, flat)
			require.NoError(t, err)
			type pointers struct {
				ID string     `store:"id,key"`
				S  *string    `store:"s"`
				B  *bool      `store:"b"`
				T  *time.Time `store:"t"`
				I  *int       `store:"i"`
				F  *float64   `store:"f"`
			}
			p, err := store.Typed[pointers](s, "b")
			require.NoError(t, err)
			got, _ := p.Get("a")
			require.Equal(t, pointers{"a", of("text"), of(true), of(at), of(-7), of(0.5)}, got)
		})
	})
	t.Run("arrays and flat structs", func(t *testing.T) {
		inChild(t, func() {
			ctx := context.Background()
			s := schemaStore(t)
			dyn, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "p": {Type: store.Object}, "l": {Type: store.Array}}})
			require.NoError(t, err)
			_, err = dyn.Insert(ctx, store.Fields{"id": "a", "p": place{"Brno", 1}, "l": []int{1, 2, 3}})
			require.NoError(t, err)
			type flat struct {
				ID string `store:"id,key"`
				P  place  `store:"p"`
				L  [3]int `store:"l"`
			}
			b, err := store.Typed[flat](s, "b")
			require.NoError(t, err)
			got, _ := b.Get("a")
			require.Equal(t, flat{"a", place{"Brno", 1}, [3]int{1, 2, 3}}, got)
			got, err = b.Insert(ctx, flat{"b", place{"Cheb", 2}, [3]int{4, 5, 6}})
			require.NoError(t, err)
			require.Equal(t, flat{"b", place{"Cheb", 2}, [3]int{4, 5, 6}}, got)
		})
	})
	t.Run("the same flat struct", func(t *testing.T) {
		inChild(t, func() {
			ctx := context.Background()
			s := schemaStore(t)
			type one struct {
				ID string `store:"id,key"`
				P  place  `store:"p"`
			}
			type two struct {
				P  place  `store:"p"`
				ID string `store:"id,key"`
			}
			b, err := store.Define[one](ctx, s, "b")
			require.NoError(t, err)
			_, err = b.Insert(ctx, one{"a", place{"Brno", 1}})
			require.NoError(t, err)
			p, err := store.Typed[two](s, "b")
			require.NoError(t, err)
			got, _ := p.Get("a")
			require.Equal(t, two{place{"Brno", 1}, "a"}, got)
		})
	})
	t.Run("other sizes", func(t *testing.T) {
		inChild(t, func() {
			ctx := context.Background()
			s := schemaStore(t)
			type narrow struct {
				ID string  `store:"id,key"`
				I8 int8    `store:"i8"`
				U8 uint8   `store:"u8"`
				U3 uint32  `store:"u3"`
				F  float32 `store:"f"`
				U6 uint64  `store:"u6"`
			}
			type wide struct {
				ID text    `store:"id,key"`
				I8 int32   `store:"i8"`
				U8 int16   `store:"u8"`
				U3 uint64  `store:"u3"`
				F  float64 `store:"f"`
				U6 int64   `store:"u6"`
			}
			b, err := store.Define[narrow](ctx, s, "b")
			require.NoError(t, err)
			_, err = b.Insert(ctx, narrow{"a", -128, 255, math.MaxUint32, 0.1, math.MaxInt64})
			require.NoError(t, err)
			p, err := store.Typed[wide](s, "b")
			require.NoError(t, err)
			got, _ := p.Get("a")
			require.Equal(t, wide{"a", -128, 255, math.MaxUint32, float64(float32(0.1)), math.MaxInt64}, got)
			_, err = p.Update(ctx, "a", func(w *wide) error { w.I8 = 128; return nil })
			require.Len(t, issues(t, err), 1)
			_, err = p.Update(ctx, "a", func(w *wide) error { w.U8 = 0; return nil })
			require.NoError(t, err)
			back, _ := b.Get("a")
			require.Equal(t, narrow{"a", -128, 0, math.MaxUint32, 0.1, math.MaxInt64}, back)
		})
	})
}

// What a struct cannot show of an object was read as nothing, and a typed update
// of another field then wrote that nothing.
func TestTypedUpdateKeepsWhatTheStructCannotShow(t *testing.T) {
	type item struct {
		ID string   `store:"id,key"`
		N  int      `store:"n"`
		P  *place   `store:"p"`
		L  []string `store:"l"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	dyn, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "n": {Type: store.Int}, "p": {Type: store.Object}, "l": {Type: store.Array}}})
	require.NoError(t, err)
	in := map[string]any{"city": "Brno", "zip": int64(1), "more": "kept"}
	_, err = dyn.Insert(ctx, store.Fields{"id": "a", "n": 1, "p": in, "l": []any{"x", int64(1)}})
	require.NoError(t, err)
	b, err := store.Typed[item](s, "b")
	require.NoError(t, err)
	_, err = b.Update(ctx, "a", func(i *item) error { i.N = 2; return nil })
	if err != nil {
		return // refusing it loses nothing
	}
	r, _ := dyn.Get("a")
	require.Equal(t, in, r.Get("p"))
	require.Equal(t, []any{"x", int64(1)}, r.Get("l"))
}

// A key of an unsigned type was looked up with its sign, and Upsert went round
// for ever.
func TestUnsignedKeyOverDynamic(t *testing.T) {
	type item struct {
		ID uint8  `store:"id,key"`
		S  string `store:"s"`
	}
	s := schemaStore(t)
	ctx := soon(t)
	_, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int, Min: store.Bound(0), Max: store.Bound(255)}, "s": {Type: store.String}}})
	require.NoError(t, err)
	b, err := store.Typed[item](s, "b")
	require.NoError(t, err)
	for _, text := range []string{"one", "two"} {
		got, err := b.Upsert(ctx, item{200, text})
		require.NoError(t, err)
		require.Equal(t, item{200, text}, got)
	}
	got, ok := b.Get(uint8(200))
	require.True(t, ok)
	require.Equal(t, uint8(200), got.ID)
}

// All that is wrong is listed, whether a value does not fit or breaks a rule.
func TestTypedOverDynamicListsAllIssues(t *testing.T) {
	type item struct {
		ID string  `store:"id,key"`
		A  float64 `store:"a"`
		B  string  `store:"b"`
		C  int     `store:"c"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}, "a": {Type: store.Float}, "b": {Type: store.String, Required: true}, "c": {Type: store.Int, Max: store.Bound(1)}}}
	_, err := s.DefineBucket(ctx, "b", def)
	require.NoError(t, err)
	b, err := store.Typed[item](s, "b")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: "x", A: math.NaN(), C: 2})
	require.Equal(t, []string{"a type", "b required", "c max"}, issues(t, err))
}

func TestTypedAndDynamicSeeTheSame(t *testing.T) {
	type item struct {
		ID   string `store:"id,key"`
		N    int    `store:"n,index"`
		P    *int   `store:"p,index"`
		Tags []string
		store.Meta
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[item](ctx, s, "b")
	require.NoError(t, err)
	dyn := b.Dynamic()
	r, err := dyn.Insert(ctx, store.Fields{"id": "a", "n": 0, "p": nil})
	require.NoError(t, err)
	got, ok := b.Get("a")
	require.True(t, ok)
	require.Equal(t, item{ID: "a", Meta: r.Meta()}, got)
	_, err = dyn.Insert(ctx, store.Fields{"id": "b"})
	require.NoError(t, err)
	require.Equal(t, 1, count(t, dyn, store.Eq("n", 0)))
	require.Equal(t, 1, count(t, dyn, store.Eq("n", nil)))
	got, err = b.Update(ctx, "b", func(i *item) error { i.P = of(0); return nil })
	require.NoError(t, err)
	require.Equal(t, of(0), got.P)
	require.Equal(t, 1, count(t, dyn, store.Eq("n", nil)), "an update of something else does not make n present")
	require.Equal(t, 1, count(t, dyn, store.Eq("p", 0)))
	found, ok, err := b.FindOne(store.Eq("p", 0))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "b", found.ID)
	_, err = dyn.Update(ctx, "b", store.Fields{"Tags": []string{"x"}, "p": 5})
	require.NoError(t, err)
	got, _ = b.Get("b")
	require.Equal(t, []string{"x"}, got.Tags)
	require.Equal(t, 5, *got.P)
}

func TestJSONOfMeta(t *testing.T) {
	type item struct {
		ID string `json:"id" store:"id,key"`
		store.Meta
	}
	ctx := context.Background()
	s := schemaStore(t, store.Options{Clock: func() time.Time { return time.UnixMilli(1_700_000_000_123) }})
	b, err := store.Define[item](ctx, s, "b")
	require.NoError(t, err)
	got, err := b.Insert(ctx, item{ID: "a"})
	require.NoError(t, err)
	out, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{"id": "a", "_version": 1, "_createdAt": 1700000000123, "_updatedAt": 1700000000123}`, string(out))
	r, _ := b.Dynamic().Get("a")
	same, err := json.Marshal(r)
	require.NoError(t, err)
	require.JSONEq(t, string(out), string(same))
	var back item
	require.NoError(t, json.Unmarshal(out, &back))
	require.Equal(t, got, back)
	require.Equal(t, "2023-11-14T22:13:20.123Z", got.CreatedAt.String())
}

// Metadata that cannot be filled in must not be a trap.
func TestMetaInTheWrongPlace(t *testing.T) {
	s := schemaStore(t)
	ctx := context.Background()
	t.Run("pointer", func(t *testing.T) {
		_, err := store.Define[struct {
			ID string `store:"id,key"`
			*store.Meta
		}](ctx, s, "pointer")
		require.Error(t, err)
	})
	t.Run("twice", func(t *testing.T) {
		type base struct {
			ID string `store:"id,key"`
			store.Meta
		}
		_, err := store.Define[struct {
			base
			store.Meta
		}](ctx, s, "twice")
		require.Error(t, err)
	})
}

// What a nested struct embeds is part of it, also when the embedded type is not
// exported; what JSON leaves out is not, whatever else the struct has.
func TestNestedEmbeddedStruct(t *testing.T) {
	type base struct{ Tags []string }
	type deep struct {
		base
		Name string
	}
	type left struct {
		Name string
		Out  int `json:"-"`
		out  int
	}
	type item struct {
		ID string `store:"id,key"`
		D  deep
		L  left
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "b")
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: "a", D: deep{base{[]string{"x"}}, "n"}, L: left{"l", 1, 2}})
	require.NoError(t, err)
	got, _ := b.Get("a")
	require.Equal(t, []string{"x"}, got.D.Tags)
	r, _ := b.Dynamic().Get("a")
	require.Equal(t, map[string]any{"Name": "n", "Tags": []any{"x"}}, r.Get("D"))
	require.Equal(t, left{Name: "l"}, got.L, "the record does not have the rest")
}

// A pointer to an unexported struct cannot be made by reflection: to be refused,
// or kept, but no panic.
func TestNestedEmbeddedPointer(t *testing.T) {
	type base struct{ Tags []string }
	type deep struct {
		*base
		Name string
	}
	type item struct {
		ID string `store:"id,key"`
		D  deep   `store:"d"`
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "b")
	if err != nil {
		require.Equal(t, []string{"d type"}, issues(t, err))
		return
	}
	require.NotPanics(t, func() {
		_, err = b.Insert(ctx, item{ID: "a", D: deep{&base{[]string{"x"}}, "n"}})
		if err == nil {
			got, _ := b.Get("a")
			require.Equal(t, []string{"x"}, got.D.Tags)
		}
		if _, err = b.Insert(ctx, item{ID: "b"}); err == nil {
			_, _ = b.Patch(ctx, "b", store.Fields{"d": map[string]any{"Tags": []string{"x"}}})
		}
	})
}

// An any inside a struct holds what an any outside does: canonical values.
func TestNestedAny(t *testing.T) {
	type holder struct{ X any }
	type item struct {
		ID string `store:"id,key"`
		X  any
		H  holder
		L  []any
		M  map[string]any
	}
	ctx := context.Background()
	b, err := store.Define[item](ctx, schemaStore(t), "b")
	require.NoError(t, err)
	at := time.Date(2024, 2, 29, 0, 0, 0, 1, time.UTC)
	for _, c := range []struct{ in, want any }{{7, int64(7)}, {json.Number("5"), int64(5)}, {moment(at), at}, {[]int{1}, []any{int64(1)}}, {place{"Brno", 1}, map[string]any{"city": "Brno", "zip": int64(1)}}, {of("p"), "p"}, {(*int)(nil), nil}} {
		got, err := b.Upsert(ctx, item{"a", c.in, holder{c.in}, []any{c.in}, map[string]any{"k": c.in}})
		require.NoError(t, err)
		require.Equal(t, item{"a", c.want, holder{c.want}, []any{c.want}, map[string]any{"k": c.want}}, got, "%T", c.in)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	type item struct {
		ID string `store:"id,key"`
		N  int    `store:"n"`
		F  float64
		T  time.Time
		B  bool
		store.Meta
	}
	type wordy struct {
		ID int `store:"id,key"`
		S  string
		A  [4]int
		P  place
	}
	type wide struct {
		N  int64   `store:"n"`
		F  float64 `store:"F"`
		ID string  `store:"id,key"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[item](ctx, s, "b")
	require.NoError(t, err)
	w, err := store.Define[wordy](ctx, s, "w")
	require.NoError(t, err)
	over, err := store.Typed[wide](s, "b")
	require.NoError(t, err)
	d, err := s.Definition("b")
	require.NoError(t, err)
	dyn, err := s.DefineBucket(ctx, "dyn", d)
	require.NoError(t, err)
	overDyn, err := store.Typed[item](s, "dyn")
	require.NoError(t, err)
	keys := []string{"some key that is not a constant", strings.Repeat("y", 40)}
	for i, k := range keys {
		_, err = b.Insert(ctx, item{ID: k, N: i})
		require.NoError(t, err)
		_, err = overDyn.Insert(ctx, item{ID: k, N: i})
		require.NoError(t, err)
		_, err = w.Insert(ctx, wordy{ID: 100_000 + i})
		require.NoError(t, err)
	}
	snap := s.Snapshot()
	defer snap.Close()
	at := b.In(snap)
	i, found := 0, 0
	for name, get := range map[string]func() bool{
		"string key":          func() bool { _, ok := b.Get(keys[i%2]); return ok },
		"int key":             func() bool { _, ok := w.Get(100_000 + i%2); return ok },
		"over another struct": func() bool { _, ok := over.Get(keys[i%2]); return ok },
		"over dynamic":        func() bool { _, ok := overDyn.Get(keys[i%2]); return ok },
		"dynamic record":      func() bool { _, ok := dyn.Get(keys[i%2]); return ok },
		"snapshot":            func() bool { _, ok := at.Get(keys[i%2]); return ok },
		"missing":             func() bool { _, ok := b.Get(keys[i%2][1:]); return !ok },
	} {
		found = 0
		n := testing.AllocsPerRun(100, func() {
			i++
			if get() {
				found++
			}
		})
		require.Zero(t, n, name)
		require.Equal(t, 101, found, name)
	}
}
