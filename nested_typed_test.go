package store_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The struct of the typed model: every kind of Go type, with rules, at every depth.
type (
	typedBase struct {
		Base string `store:"base,required"`
		Num  int    `store:"num,default=7"`
	}
	TypedShared struct {
		Shared string `store:"shared,maxLength=3"`
		Want   int    `store:"want,required"`
	}
	typedLeaf struct {
		S      string         `store:"s,required,maxLength=3"`
		UID    string         `store:"uid,generated=uuid"`
		Kind   string         `store:"kind,enum=a|b,default=a" json:"other"`
		I8     int8           `json:"i8" store:",min=-5,max=100,default=2"`
		U      uint16         `store:"u,min=0,max=3"`
		F1     float64        `store:"f1,max=0.1"`
		E1     float64        `store:"e1,enum=0.1|0.2|0"`
		F      float64        `store:"f,required"`
		B      bool           `store:"b,required"`
		T      time.Time      `store:"t"`
		RT     time.Time      `store:"rt,default=2024-02-29"`
		PT     *time.Time     `store:"pt"`
		PI     *int           `store:"pi,required,min=0"`
		PS     *string        `store:"ps,default=ps"`
		L      []int          `store:"l,required,items.max=9"`
		P      []*int         `store:"p,items.required"`
		Y      []byte         `store:"y,maxLength=2"`
		YR     []byte         `store:"yr,required"`
		A      [2]string      `store:"a,items.enum=x|y|"`
		AR     [2]int         `store:"ar,required"`
		Y2     [2]byte        `store:"y2"`
		M      map[string]int `store:"m,required"`
		X      any            `store:"x"`
		XR     any            `store:"xr,required"`
		hidden map[string]int
		Out    chan int `store:"-"`
	}
	typedMid struct {
		typedBase
		*TypedShared
		Leaf   typedLeaf            `store:"leaf,required"`
		PLeaf  *typedLeaf           `store:"pleaf"`
		Leaves []typedLeaf          `store:"leaves,maxLength=2"`
		ByName map[string]typedLeaf `store:"byName"`
		LL     [][]int8             `store:"ll,items.maxLength=2,items.items.min=-2,items.items.max=5"`
		Self   *typedMid            `store:"self"`
	}
	typedRoot struct {
		ID   string      `store:"id,key"`
		N    int         `store:"n"`
		Mid  typedMid    `store:"mid"`
		PMid *typedMid   `store:"pmid"`
		Leaf *typedLeaf  `store:"leaf"`
		Req  []typedLeaf `store:"req,required"`
		Arr  [1]typedBase
		store.Meta
	}
)

// randomly fills a value in; of the time that it is zero, deep is how much nests.
func (r nestedSource) randomly(v reflect.Value, deep int) {
	if r.one(5) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString([]string{"a", "b", "x", "žž", "long"}[r.IntN(5)])
	case reflect.Bool:
		v.SetBool(!r.one(4))
	case reflect.Int, reflect.Int8, reflect.Int64:
		v.SetInt(int64(r.IntN(12)) - 1)
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(r.IntN(4)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat([]float64{0.1, 0.2, -1, 1e-9}[r.IntN(4)])
		if r.one(200) {
			v.SetFloat(math.NaN())
		}
	case reflect.Interface:
		if x := r.any(2); x != nil {
			v.Set(reflect.ValueOf(r.outside(x)))
		}
	case reflect.Pointer:
		if deep > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			r.randomly(v.Elem(), deep-1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 4))
		for i := range v.Len() {
			r.randomly(v.Index(i), deep-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			r.randomly(v.Index(i), deep-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			e := reflect.New(v.Type().Elem()).Elem()
			r.randomly(e, deep-1)
			v.SetMapIndex(reflect.ValueOf(nestedNames[r.IntN(5)]), e)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(1e9), 5).In(time.FixedZone("", 3600))))
			return
		}
		if v.Type() == reflect.TypeFor[store.Meta]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				r.randomly(v.Field(i), deep)
			} else if f.Name == "hidden" {
				setHidden(v)
			}
		}
	}
}

func setHidden(v reflect.Value) {
	if l, ok := v.Addr().Interface().(*typedLeaf); ok {
		l.hidden, l.Out = map[string]int{"h": 1}, make(chan int)
	}
}

// mostly makes a root most of which is right.
func (r nestedSource) mostly(id string) typedRoot {
	var out typedRoot
	r.randomly(reflect.ValueOf(&out).Elem(), 4)
	if !r.one(3) {
		r.mend(reflect.ValueOf(&out).Elem())
	}
	if r.one(4) {
		out.PMid = nil
	}
	out.ID = id
	return out
}

// mend sets what is required, and right, at any depth.
func (r nestedSource) mend(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Kind() == reflect.Pointer {
			r.mend(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			r.mend(v.Index(i))
		}
	case reflect.Struct:
		switch x := v.Addr().Interface().(type) {
		case *typedLeaf:
			x.S, x.Kind, x.B, x.F, x.PI, x.L, x.P, x.YR, x.AR, x.M, x.XR = "s", "", true, 1, of(r.IntN(3)), []int{1}, nil, []byte{}, [2]int{0, 1}, map[string]int{}, 0
			x.I8, x.F1, x.E1, x.A, x.Y, x.X = int8(r.IntN(3)), 0.1, []float64{0.1, 0.2, 0}[r.IntN(3)], [2]string{"x", ""}, []byte{1}, r.IntN(2)
			return
		case *typedBase:
			x.Base = "base"
			return
		case *typedMid:
			if x.Base = "base"; x.TypedShared == nil {
				x.TypedShared = &TypedShared{}
			}
			x.TypedShared.Want, x.Shared, x.LL = 1, "", [][]int8{{1}, nil}
			if len(x.Leaves) > 2 {
				x.Leaves = nil
			}
		case *typedRoot:
			x.Req = make([]typedLeaf, 1)
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				r.mend(v.Field(i))
			}
		}
	}
}

// shown is a value as text, in which nil slices and maps are empty, and generated ids
// all alike.
func shown(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "nil"
		}
		return "&" + shown(v.Elem())
	case reflect.Slice, reflect.Array:
		var b strings.Builder
		for i := range v.Len() {
			b.WriteString(shown(v.Index(i)) + ",")
		}
		return "[" + b.String() + "]"
	case reflect.Map:
		parts := []string{}
		for it := v.MapRange(); it.Next(); {
			parts = append(parts, it.Key().String()+":"+shown(it.Value()))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return v.Interface().(time.Time).Format(time.RFC3339Nano)
		}
		if v.Type() == reflect.TypeFor[store.Meta]() {
			return ""
		}
		parts := []string{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				parts = append(parts, f.Name+":"+shown(v.Field(i)))
			}
		}
		return "{" + strings.Join(parts, " ") + "}"
	case reflect.String:
		if len(v.String()) == 36 {
			return "a uuid"
		}
	case reflect.Float32:
		return fmt.Sprint(float32(v.Float()))
	case reflect.Chan:
		return fmt.Sprint(v.IsNil())
	}
	return fmt.Sprint(v)
}

// The bucket of a struct, its dynamic view, and the struct over a dynamic bucket of
// the same definition agree on what is wrong with a value and on what becomes of it.
func TestNestedTypedModel(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 600
	if s := os.Getenv("STORE_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("STORE_SEED=%d", seed)
	s := openStore(t, store.Options{})
	native, err := store.Define[typedRoot](bg, s, "native")
	require.NoError(t, err)
	def, err := s.Definition("native")
	require.NoError(t, err)
	dynamic, err := s.DefineBucket(bg, "dynamic", def)
	require.NoError(t, err)
	over, err := store.Typed[typedRoot](s, "dynamic")
	require.NoError(t, err)
	r := nestedSource{rand.New(rand.NewPCG(seed, 0))}
	stored, refused := 0, 0
	for i := range rounds {
		in := r.mostly(strconv.Itoa(i % 50))
		before := fmt.Sprint(shown(reflect.ValueOf(&in)))
		var got, also typedRoot
		var err1, err2 error
		if _, known := native.Get(in.ID); known && r.one(2) {
			change := func(t *typedRoot) error {
				t.Mid, t.Leaf, t.Arr = in.Mid, in.Leaf, in.Arr
				return nil
			}
			got, err1 = native.Update(bg, in.ID, change)
			also, err2 = over.Update(bg, in.ID, change)
		} else {
			got, err1 = native.Upsert(bg, in)
			also, err2 = over.Upsert(bg, in)
		}
		require.Equal(t, before, shown(reflect.ValueOf(&in)), "the caller's value was written to")
		if err1 != nil {
			refused++
			require.Error(t, err2, "%v", err1)
			require.Equal(t, issues(t, err1), issues(t, err2), "round %d", i)
			continue
		}
		stored++
		require.NoError(t, err2)
		require.Equal(t, shown(reflect.ValueOf(got)), shown(reflect.ValueOf(also)), "round %d", i)
		text := shown(reflect.ValueOf(got))
		spoil(&got)
		spoil(&in)
		again, _ := native.Get(strconv.Itoa(i % 50))
		require.Equal(t, text, shown(reflect.ValueOf(again)), "it shares memory")
		spoil(&also)
		again, _ = over.Get(strconv.Itoa(i % 50))
		require.Equal(t, text, shown(reflect.ValueOf(again)), "it shares memory")

		// What it holds is valid, and means the same, in both.
		r1, _ := native.Dynamic().Get(again.ID)
		r2, _ := dynamic.Get(again.ID)
		for _, b := range []*store.Bucket{native.Dynamic(), dynamic} {
			for _, rec := range []store.Record{r1, r2} {
				_, err := b.Update(bg, again.ID, rec.Map())
				require.NoError(t, err, "round %d", i)
			}
		}
		again, _ = over.Get(again.ID)
		require.Equal(t, text, shown(reflect.ValueOf(again)))
		again, _ = native.Get(again.ID)
		require.Equal(t, text, shown(reflect.ValueOf(again)))
	}
	t.Logf("%d writes, %d of them refused", stored+refused, refused)
	require.Greater(t, stored, rounds/10)
	require.Greater(t, refused, rounds/10)
	require.NoError(t, store.CheckTables(s))
}

// Dynamic writes of the struct's own schema: to its bucket, and to a dynamic one. An
// update that changes another field, or nothing, leaves them as they are.
func TestNestedTypedReadModifyWrite(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := openStore(t, store.Options{})
	native, err := store.Define[typedRoot](bg, s, "native")
	require.NoError(t, err)
	def, err := s.Definition("native")
	require.NoError(t, err)
	dynamic, err := s.DefineBucket(bg, "dynamic", def)
	require.NoError(t, err)
	over, err := store.Typed[typedRoot](s, "dynamic")
	require.NoError(t, err)
	r := nestedSource{rand.New(rand.NewPCG(seed, 0))}
	stored := 0
	for i := range 600 {
		id := strconv.Itoa(i)
		in := store.Fields{"id": id}
		for name, f := range sorted(def.Schema) {
			if name == "mid" || name == "req" || name == "leaf" && r.one(2) || name == "Arr" && r.one(2) {
				in[name] = r.fitting(&f)
			}
		}
		_, err1 := native.Dynamic().Insert(bg, in)
		_, err2 := dynamic.Insert(bg, in)
		if err1 != nil {
			// What the Go types refuse beyond the rules is said of the whole field.
			require.NotEmpty(t, issues(t, err1))
			if err2 == nil {
				require.NoError(t, dynamic.Delete(bg, id))
			}
			continue
		}
		require.NoError(t, err2)
		stored++
		for _, h := range []*store.TypedBucket[typedRoot]{native, over} {
			was, _ := h.Dynamic().Get(id)
			for _, fn := range []func(t *typedRoot) error{
				func(t *typedRoot) error { return nil },
				func(t *typedRoot) error { t.N++; return nil },
				func(t *typedRoot) error {
					if t.Leaf != nil {
						t.Leaf.hidden, t.Leaf.Out = map[string]int{"x": 1}, make(chan int)
					}
					t.Mid.Leaf.hidden = map[string]int{"x": 1}
					t.Mid.Leaf.T = t.Mid.Leaf.T.In(time.FixedZone("there", 7200))
					return nil
				},
			} {
				_, err := h.Update(bg, id, fn)
				require.NoError(t, err, "%v", in)
			}
			now, _ := h.Dynamic().Get(id)
			want, got := was.Map(), now.Map()
			for _, m := range []map[string]any{want, got} {
				maps.DeleteFunc(m, func(name string, _ any) bool { return name[0] == '_' || name == "n" })
			}
			require.Equal(t, want, got)
			x, ok := h.Get(id)
			require.True(t, ok)
			_, err := h.Upsert(bg, x)
			require.NoError(t, err)
			now, _ = h.Dynamic().Get(id)
			require.Equal(t, want["mid"], now.Get("mid"))
		}
	}
	t.Logf("%d stored", stored)
	require.Greater(t, stored, 20)
}

// fitting makes a value for rules that a struct has made, zeros included.
func (r nestedSource) fitting(f *store.Field) any {
	if f.Enum != nil {
		return f.Enum[r.IntN(len(f.Enum))]
	}
	switch f.Type {
	case store.String:
		return []string{"", "a", "x"}[r.IntN(3)]
	case store.Int, store.Number:
		return r.IntN(2)
	case store.Float:
		return 0
	case store.Bool:
		return r.one(2)
	case store.Date:
		return []any{time.Time{}, "2024-02-29"}[r.IntN(2)]
	case store.Bytes:
		return []byte{0, 0}
	case store.Array:
		list := []any{}
		for range 1 + r.IntN(2) {
			if f.Items != nil {
				list = append(list, r.fitting(f.Items))
			}
		}
		return list
	case store.Object:
		m := map[string]any{}
		for name, p := range sorted(f.Properties) {
			if p.Required || r.one(3) {
				m[name] = r.fitting(&p)
			}
			if name == "byName" || name == "self" || name == "shared" {
				delete(m, name)
			}
			if p.Type == store.Array && p.Items != nil && (name == "a" || name == "ar") {
				m[name] = []any{r.fitting(p.Items), r.fitting(p.Items)}
			}
		}
		return m
	}
	return r.IntN(2)
}

// A struct over objects that have more shows what it has of them; the rest stays
// unless the object is changed.
func TestNestedStructShowsLess(t *testing.T) {
	s := openStore(t, store.Options{})
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "n": {Type: store.Int}, "raw": {Type: store.Object}, "list": {Type: store.Array},
		"o": {Type: store.Object, Extra: true, Properties: store.Schema{"a": {Type: store.String, Required: true}}},
	}})
	require.NoError(t, err)
	type part struct {
		A string `store:"a"`
	}
	type less struct {
		ID   string          `store:"id,key"`
		N    int             `store:"n"`
		O    part            `store:"o"`
		Raw  map[string]part `store:"raw"`
		List []*part         `store:"list"`
	}
	more := func(a string) map[string]any { return map[string]any{"a": a, "more": int64(1)} }
	_, err = b.Insert(bg, store.Fields{"id": "x", "o": more("1"), "raw": map[string]any{"k": more("2")}, "list": []any{more("3"), nil}})
	require.NoError(t, err)
	h, err := store.Typed[less](s, "b")
	require.NoError(t, err)
	got, err := h.Update(bg, "x", func(v *less) error { v.N++; return nil })
	require.NoError(t, err)
	require.Equal(t, part{"1"}, got.O)
	require.Equal(t, map[string]part{"k": {"2"}}, got.Raw)
	require.Equal(t, []*part{{"3"}, nil}, got.List)
	r, _ := b.Get("x")
	require.Equal(t, more("1"), r.Get("o"))
	require.Equal(t, []any{more("3"), nil}, r.Get("list"))
	_, err = h.Update(bg, "x", func(v *less) error { v.O.A = "4"; return nil })
	require.NoError(t, err)
	r, _ = b.Get("x")
	require.Equal(t, map[string]any{"a": "4"}, r.Get("o"), "it is written as a whole")
	require.Equal(t, map[string]any{"k": more("2")}, r.Get("raw"))
}
