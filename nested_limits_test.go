package store_test

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What a value becomes is within the limits as well: by defaults, generators, and
// conversions into what is larger.
func TestNestedValuesThatGrow(t *testing.T) {
	s := openStore(t, store.Options{MaxValueBytes: 2000, MaxDepth: 6})
	text := strings.Repeat("x", 700)
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement},
		"o":  {Type: store.Array, Items: &store.Field{Type: store.Object, Properties: store.Schema{"d": {Type: store.String, Default: text}}}},
		"t":  {Type: store.Array, Items: &store.Field{Type: store.Date}},
		"u":  {Type: store.Array, Items: &store.Field{Type: store.Object, Properties: store.Schema{"u": {Type: store.String, Generated: store.UUID}}}},
		"f":  {Type: store.Object, Properties: store.Schema{"f": {Type: store.Any, Default: func() any { return nestedIn(9) }}}},
	}})
	require.NoError(t, err)
	empty := func(n int) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = map[string]any{}
		}
		return list
	}
	r, err := b.Insert(bg, store.Fields{"o": empty(2)})
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"o": empty(3)})
	require.Equal(t, []string{"o max"}, issues(t, err))
	_, err = b.Insert(bg, store.Fields{"u": empty(15)})
	require.Equal(t, []string{"u max"}, issues(t, err))
	_, err = b.Insert(bg, store.Fields{"f": map[string]any{}})
	require.Equal(t, []string{"f.f max"}, issues(t, err))
	_, err = b.Insert(bg, store.Fields{"t": make([]int, 70)})
	require.Equal(t, []string{"t max"}, issues(t, err), "a date is larger than a number")
	r2, err := b.Insert(bg, store.Fields{"t": make([]int, 40)})
	require.NoError(t, err)
	for _, r := range []store.Record{r, r2} {
		_, err = b.Update(bg, r.Key(), r.Map())
		require.NoError(t, err, "what it holds is valid")
	}

	type part struct {
		D string `store:"d"`
	}
	type parts struct {
		ID string `store:"id,key"`
		O  []part `store:"o"`
	}
	typed, err := store.Define[parts](bg, s, "parts", func(d *store.Definition) {
		o := d.Schema["o"]
		p := o.Items.Properties["d"]
		p.Default = text
		o.Items.Properties["d"] = p
		d.Schema["o"] = o
	})
	require.NoError(t, err)
	_, err = typed.Insert(bg, parts{ID: "a", O: make([]part, 2)})
	require.NoError(t, err)
	_, err = typed.Insert(bg, parts{ID: "b", O: make([]part, 3)})
	require.Equal(t, []string{"o max"}, issues(t, err))
}

// nestedIn is a value that nests as deep.
func nestedIn(depth int) any {
	v := any(1)
	for range depth {
		v = []any{v}
	}
	return v
}

// Cycles in a user's values are refused, in whatever they go round, and never endless.
func TestNestedCycles(t *testing.T) {
	type node struct {
		Next *node          `store:"next"`
		List []*node        `store:"list"`
		M    map[string]any `store:"m"`
		X    any            `store:"x"`
		S    string         `store:"s,required"`
	}
	type tree struct {
		ID   string `store:"id,key"`
		Root *node  `store:"root"`
	}
	s := openStore(t, store.Options{})
	native, err := store.Define[tree](bg, s, "native")
	require.NoError(t, err)
	def, err := s.Definition("native")
	require.NoError(t, err)
	dynamic, err := s.DefineBucket(bg, "dynamic", def)
	require.NoError(t, err)
	over, err := store.Typed[tree](s, "dynamic")
	require.NoError(t, err)
	cycles := map[string]func() *node{
		"pointer": func() *node { n := &node{S: "s"}; n.Next = n; return n },
		"slice":   func() *node { n := &node{S: "s"}; n.List = []*node{n}; return n },
		"map":     func() *node { m := map[string]any{}; m["m"] = m; return &node{S: "s", M: m} },
		"any":     func() *node { n := &node{S: "s"}; n.X = n; return n },
		"any map": func() *node { m := map[string]any{}; m["m"] = []any{m}; return &node{S: "s", X: m} },
		"any ptr": func() *node { var x any; x = &x; return &node{S: "s", X: x} },
	}
	for name, cycle := range cycles {
		for _, b := range []*store.TypedBucket[tree]{native, over} {
			_, err := b.Upsert(bg, tree{"a", &node{S: "s", X: map[string]any{"m": []any{1}}}})
			require.NoError(t, err)
			_, err = b.Insert(bg, tree{"b", cycle()})
			require.Equal(t, []string{"root max"}, issues(t, err), name)
			_, err = b.Update(bg, "a", func(t *tree) error { t.Root = cycle(); return nil })
			require.Equal(t, []string{"root max"}, issues(t, err), name)
			_, err = b.Update(bg, "a", func(t *tree) error { t.Root.X = cycle().X; return nil })
			if cycle().X != nil {
				require.Equal(t, []string{"root max"}, issues(t, err), name)
			}
		}
		_, err = dynamic.Insert(bg, store.Fields{"id": "c", "root": map[string]any{"s": "s", "x": cycle()}})
		require.Equal(t, []string{"root max"}, issues(t, err), name)
	}
	// A struct that contains itself has rules down to where it does.
	require.Equal(t, store.Object, def.Schema["root"].Properties["next"].Type)
	require.Nil(t, def.Schema["root"].Properties["next"].Properties)
	got, err := native.Insert(bg, tree{"d", &node{S: "s", Next: &node{Next: &node{}}}})
	require.NoError(t, err)
	require.NotNil(t, got.Root.Next.Next)
}

func TestNestedMillion(t *testing.T) {
	const n = 200_000 // of 24 bytes each: with 16 MiB, no million fits
	s := openStore(t, store.Options{MaxValueBytes: 64 << 20})
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "l": {Type: store.Array, Items: &store.Field{Type: store.Int, Max: store.Bound(1), Required: true}},
	}})
	require.NoError(t, err)
	list := make([]int, 1_000_000)
	r, err := b.Insert(bg, store.Fields{"id": 1, "l": list})
	require.NoError(t, err)
	require.Len(t, r.Get("l"), len(list))
	list[999_999] = 2
	_, err = b.Update(bg, 1, store.Fields{"l": list})
	require.Equal(t, []string{"l[999999] max"}, issues(t, err))
	for i := range n {
		list[i] = 2
	}
	_, err = b.Update(bg, 1, store.Fields{"l": list[:n]})
	var ve *store.ValidationError
	require.ErrorAs(t, err, &ve)
	require.Len(t, ve.Issues, n)
}

func TestNestedLargeDefinitions(t *testing.T) {
	s := openStore(t, store.Options{})
	wide := func(n int) store.Definition {
		d := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}}
		o := store.Field{Type: store.Object, Properties: store.Schema{}}
		for i := range n - 2 {
			o.Properties[fmt.Sprintf("p%d", i)] = store.Field{Type: store.Int, Default: i}
		}
		d.Schema["o"] = o
		return d
	}
	b, err := s.DefineBucket(bg, "wide", wide(10_000))
	require.NoError(t, err)
	r, err := b.Insert(bg, store.Fields{"id": 1, "o": map[string]any{"p7": -7}})
	require.NoError(t, err)
	require.Len(t, r.Get("o"), 9_998)
	require.Equal(t, int64(-7), r.Get("o").(map[string]any)["p7"])
	var de *store.DefinitionError
	_, err = s.DefineBucket(bg, "wider", wide(10_001))
	require.ErrorAs(t, err, &de)

	chain := func(n int) store.Definition {
		f := store.Field{Type: store.Int}
		for range n - 1 {
			inner := f
			f = store.Field{Type: store.Array, Items: &inner}
		}
		return store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "f": f}}
	}
	deep, err := s.DefineBucket(bg, "deep", chain(65))
	require.NoError(t, err)
	_, err = deep.Insert(bg, store.Fields{"id": 1, "f": nestedIn(64)})
	require.NoError(t, err)
	_, err = deep.Insert(bg, store.Fields{"id": 2, "f": nestedIn(65)})
	require.Equal(t, []string{"f max"}, issues(t, err))
	_, err = s.DefineBucket(bg, "deeper", chain(67))
	require.ErrorAs(t, err, &de)
	_, err = s.DefineBucket(bg, "deeper", chain(100_000))
	require.ErrorAs(t, err, &de)

	item := &store.Field{Type: store.Array}
	item.Items = item
	_, err = s.DefineBucket(bg, "cyclic", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "f": *item}})
	require.ErrorAs(t, err, &de)
	require.False(t, s.HasBucket("cyclic"))
}

// Go types that hold less than their rules say, or more than they show.
func TestNestedNarrowTypes(t *testing.T) {
	type inner struct {
		F32 float32     `store:"f32,max=0.1,enum=0.1|0.05"`
		I8  int8        `store:"i8"`
		U64 uint64      `store:"u64"`
		N   json.Number `store:"n"`
		A   [2]int8     `store:"a"`
		T   time.Time   `store:"t"`
	}
	type doc struct {
		ID string  `store:"id,key"`
		O  inner   `store:"o"`
		L  []inner `store:"l"`
	}
	s := openStore(t, store.Options{})
	b, err := store.Define[doc](bg, s, "b")
	require.NoError(t, err)
	got, err := b.Insert(bg, doc{ID: "a", O: inner{F32: 0.1, I8: -128, U64: math.MaxInt64, N: "7"}, L: []inner{{F32: 0.05, N: "1.5"}}})
	require.NoError(t, err)
	require.Equal(t, float32(0.1), got.O.F32)
	r, _ := b.Dynamic().Get("a")
	o := r.Get("o").(map[string]any)
	require.Equal(t, int64(7), o["n"])
	_, err = b.Dynamic().Update(bg, "a", r.Map())
	require.NoError(t, err, "what it holds is valid")
	again, _ := b.Get("a")
	require.Equal(t, got.O, again.O)
	for _, n := range []any{0.1, float32(0.1)} {
		_, err = b.Dynamic().Update(bg, "a", store.Fields{"o": map[string]any{"f32": n}})
		require.NoError(t, err, "%v", n)
	}
	for name, x := range map[string]any{"f32": 1e300, "i8": 128, "u64": -1, "n": "text", "a": []any{1}, "t": "never"} {
		_, err = b.Dynamic().Update(bg, "a", store.Fields{"o": map[string]any{name: x}})
		require.NotEmpty(t, issues(t, err), name)
	}
	for _, f := range []store.Filter{store.Eq("l.0.f32", 0.05), store.Gte("l.0.f32", 0.05), store.In("l.0.f32", 0.05), store.Between("l.0.f32", 0.05, 0.05)} {
		require.Equal(t, 1, count(t, b.Dynamic(), f), "a float32 is compared as one")
	}
	type bad struct {
		ID string `store:"id,key"`
		L  []struct {
			I8 int8 `store:"i8,default=300"`
		} `store:"l"`
	}
	_, err = store.Define[bad](bg, s, "bad")
	require.Equal(t, []string{"l[].i8 type"}, issues(t, err))
	for _, x := range []inner{{U64: math.MaxUint64}, {F32: float32(math.NaN())}, {N: "x"}, {F32: 0.2}, {T: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		_, err = b.Insert(bg, doc{ID: "x", O: x, L: []inner{{F32: 0.1}}})
		require.NotEmpty(t, issues(t, err))
		_, err = b.Update(bg, "a", func(d *doc) error { d.O = x; return nil })
		require.NotEmpty(t, issues(t, err))
	}
}

// Rules that a struct fulfils cost no allocation beside those of the copy, which an
// insert makes without any rules.
func TestNestedInsertAllocates(t *testing.T) {
	type freePart struct {
		S string  `store:"s"`
		N int     `store:"n"`
		F float64 `store:"f"`
	}
	type free struct {
		ID    int        `store:"id,key"`
		O     freePart   `store:"o"`
		Parts []freePart `store:"parts"`
		Tags  []string   `store:"tags"`
	}
	type ruledPart struct {
		S string  `store:"s,required,minLength=1,pattern=^[a-z]+$"`
		N int     `store:"n,default=1,min=1,max=1000"`
		F float64 `store:"f,required,enum=1|2.5"`
	}
	type ruled struct {
		ID    int         `store:"id,key"`
		O     ruledPart   `store:"o,required"`
		Parts []ruledPart `store:"parts,minLength=1,maxLength=100"`
		Tags  []string    `store:"tags,items.minLength=2,items.enum=new|big,maxLength=9"`
	}
	s := openStore(t, store.Options{})
	a, err := store.Define[free](bg, s, "free")
	require.NoError(t, err)
	b, err := store.Define[ruled](bg, s, "ruled")
	require.NoError(t, err)
	one, other := freePart{"a", 1, 1}, ruledPart{"a", 1, 1}
	id := 0
	allocates := func(fn func()) float64 { return testing.AllocsPerRun(3000, func() { id++; fn() }) }
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	plain := allocates(func() {
		_, err := a.Insert(bg, free{id, one, []freePart{one, one, one}, []string{"new", "big"}})
		must(err)
	})
	checked := allocates(func() {
		_, err := b.Insert(bg, ruled{id, other, []ruledPart{other, other, other}, []string{"new", "big"}})
		must(err)
	})
	t.Logf("%v without rules, %v with", plain, checked)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		plain += 2 // there, pools forget at random
	}
	require.LessOrEqual(t, checked, plain)
}
