package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// spoil changes everything that can be reached through v.
func spoil(v any) { spoilValue(reflect.ValueOf(v), 0) }

func spoilValue(v reflect.Value, depth int) {
	if depth > 20 || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoilValue(v.Elem(), depth+1)
		}
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		spoilValue(v.Elem(), depth+1)
		if v.CanSet() && v.NumMethod() == 0 {
			v.Set(reflect.ValueOf("spoiled"))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			spoilValue(v.Index(i), depth+1)
		}
		if v.Kind() == reflect.Slice && v.Cap() > v.Len() { // what lies behind it
			rest := v.Slice(0, v.Cap())
			for i := v.Len(); i < v.Cap(); i++ {
				spoilValue(rest.Index(i), depth+1)
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			spoilValue(v.MapIndex(k), depth+1)
			v.SetMapIndex(k, reflect.Value{})
		}
		if v.Type().Key().Kind() == reflect.String && !v.IsNil() {
			v.SetMapIndex(reflect.ValueOf("spoiled").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			if v.CanSet() {
				v.SetZero()
			}
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() || f.Kind() == reflect.Map || f.Kind() == reflect.Slice || f.Kind() == reflect.Pointer {
				if v.Type().Field(i).IsExported() {
					spoilValue(f, depth+1)
				}
			}
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString("spoiled")
		}
	case reflect.Bool:
		if v.CanSet() {
			v.SetBool(!v.Bool())
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.CanSet() {
			v.SetInt(v.Int() ^ 0x55)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.CanSet() {
			v.SetUint(v.Uint() ^ 0x55)
		}
	case reflect.Float32, reflect.Float64:
		if v.CanSet() {
			v.SetFloat(-12345)
		}
	}
}

func TestSpoilSpoils(t *testing.T) {
	in := aliasInput("a")
	before := fmt.Sprint(in)
	spoil(in)
	require.NotEqual(t, before, fmt.Sprint(in))
	k := fullAlias("a")
	before = fmt.Sprintf("%+v %v %v", k, *k.PS, k.Deep.Next.M)
	next := k.Deep.Next
	spoil(&k)
	require.NotEqual(t, before, fmt.Sprintf("%+v", k))
	require.NotContains(t, next.M, "k")
}

func aliasInput(id string) store.Fields {
	return store.Fields{
		"id": id, "y": []byte{1, 2, 3}, "o": map[string]any{"l": []any{[]byte{1}, map[string]any{"k": "v"}}, "y": []byte{4}}, "l": []any{[]any{1}, map[string]any{"k": []byte{5}}},
		"x": map[string][]int{"k": {1, 2}}, "d": of(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)), "s": of("text"), "extra": map[string]any{"l": []any{[]byte{1}}}, "more": []byte{9},
	}
}

func aliasDefinition() store.Definition {
	return store.Definition{Key: "id", Extra: true, Schema: store.Schema{
		"id": {Type: store.String}, "y": {Type: store.Bytes, Unique: true}, "o": {Type: store.Object}, "l": {Type: store.Array}, "x": {Type: store.Any}, "d": {Type: store.Date}, "s": {Type: store.String},
		"def": {Type: store.Object, Default: map[string]any{"l": []any{1}}}, "yd": {Type: store.Bytes, Default: []byte{7}},
	}, Indexes: []store.Index{{"d", "y"}}}
}

func fixedJSON(t testing.TB, r store.Record) string {
	t.Helper()
	out, err := json.Marshal(r)
	require.NoError(t, err)
	return string(out)
}

func TestDynamicAliasing(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	def := aliasDefinition()
	shared := map[string]any{"l": []any{[]byte{1}}}
	def.Schema["fn"] = store.Field{Type: store.Any, Default: func() any { return shared }}
	b, err := s.DefineBucket(ctx, "b", def)
	require.NoError(t, err)
	spoil(&def)
	var mu sync.Mutex
	var events []store.Event
	stop, err := s.On("bucket.b.*", func(e store.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
		for _, r := range []store.Record{e.Old, e.New} {
			m := r.Map()
			spoil(m)
		}
	})
	require.NoError(t, err)
	defer stop()
	in := aliasInput("a")
	r, err := b.Insert(ctx, in)
	require.NoError(t, err)
	want := fixedJSON(t, r)
	same := func() {
		t.Helper()
		now, ok := b.Get("a")
		require.True(t, ok)
		require.Equal(t, want, fixedJSON(t, now))
		require.Equal(t, want, fixedJSON(t, r))
		require.Equal(t, 1, count(t, b, store.Eq("y", []byte{1, 2, 3})))
		require.Equal(t, 1, count(t, b, store.Eq("d", "2024-01-01"), store.Eq("y", []byte{1, 2, 3})))
	}
	same()
	spoil(in)
	spoil(shared)
	same()
	for _, name := range []string{"y", "o", "l", "x", "extra", "more", "def", "yd", "fn", "d", "s"} {
		require.True(t, r.Has(name), name)
		spoil(r.Get(name))
		same()
	}
	m := r.Map()
	spoil(m)
	same()
	for all := range b.All() {
		spoil(all.Map())
	}
	list, err := b.Where(store.Eq("id", "a")).All()
	require.NoError(t, err)
	spoil(list[0].Map())
	same()
	_, err = b.Insert(ctx, store.Fields{"id": "dup", "y": []byte{1, 2, 3}})
	var dup *store.UniqueError
	require.ErrorAs(t, err, &dup)
	spoil(dup.Value)
	same()
	value := []byte{1, 2, 3}
	f := store.Eq("y", value)
	require.Equal(t, 1, count(t, b, f))
	spoil(value)
	same()
	d, err := s.Definition("b")
	require.NoError(t, err)
	spoil(&d)
	r2, err := b.Insert(ctx, store.Fields{"id": "second"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"l": []any{int64(1)}}, r2.Get("def"))
	require.Equal(t, []byte{7}, r2.Get("yd"))
	same()
	// An update shares what it does not change with the version before.
	patch := store.Fields{"o": map[string]any{"new": []byte{1}}, "extra2": []any{[]byte{1}}}
	next, err := b.Update(ctx, "a", patch)
	require.NoError(t, err)
	nextWant := fixedJSON(t, next)
	spoil(patch)
	spoil(next.Map())
	require.Equal(t, nextWant, fixedJSON(t, next))
	require.Equal(t, want, fixedJSON(t, r))
	up := aliasInput("a")
	delete(up, "o")
	_, err = b.Upsert(ctx, up)
	require.NoError(t, err)
	spoil(up)
	many := []store.Fields{aliasInput("m1")}
	many[0]["y"] = []byte{77}
	rs, err := b.InsertMany(ctx, many)
	require.NoError(t, err)
	manyWant := fixedJSON(t, rs[0])
	spoil(many)
	rs2 := rs[0]
	rs[0] = store.Record{}
	require.Equal(t, manyWant, fixedJSON(t, rs2))
	all := store.Fields{"x": []any{[]byte{3}}}
	_, err = b.UpdateMany(ctx, all)
	require.NoError(t, err)
	// One value for many records: each has its own.
	spoil(all)
	m1, _ := b.Get("m1")
	spoil(m1.Map())
	a, _ := b.Get("a")
	require.Equal(t, []any{[]byte{3}}, a.Get("x"))
	require.NoError(t, s.Settle(ctx))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, want, fixedJSON(t, events[0].New))
	require.Equal(t, nextWant, fixedJSON(t, events[2].New))
	require.Equal(t, want, fixedJSON(t, events[2].Old))
}

type (
	deepNode struct {
		Name string
		M    map[string][]byte
		Next *deepNode
		Any  any
		memo map[string]int
		Out  *int `json:"-"`
	}
	aliased struct {
		ID   string `store:"id,key"`
		Y    []byte
		SS   []string
		M    map[string]map[string]int
		X    any
		PS   *string
		PT   *time.Time
		PY   *[]byte
		PX   *any
		PA   *[2]*int
		Deep deepNode
		PD   *deepNode
		LD   []deepNode
		LP   []*deepNode
		A    [2][]int
		Time time.Time
		store.Meta
		hidden map[string]int
		Skip   map[string]int `store:"-"`
	}
)

func fullAlias(id string) aliased {
	node := func() deepNode {
		return deepNode{Name: "n", M: map[string][]byte{"k": {1}}, Next: &deepNode{Name: "m", M: map[string][]byte{"k": {2}}}, Any: map[string]any{"k": []any{int64(1)}}}
	}
	return aliased{
		ID: id, Y: []byte{1, 2}, SS: []string{"a"}, M: map[string]map[string]int{"k": {"l": 1}}, X: map[string]any{"k": []any{[]byte{1}}}, PS: of("p"), PT: of(time.Unix(5, 0).UTC()), PY: of([]byte{3}),
		PX: of(any([]any{"x"})), PA: &[2]*int{of(1), of(2)}, Deep: node(), PD: of(node()), LD: []deepNode{node()}, LP: []*deepNode{of(node()), nil}, A: [2][]int{{1}, {2}},
	}
}

func TestTypedAliasing(t *testing.T) {
	type view struct { // the same fields in another order: another layout
		X    any
		Y    []byte
		PS   *string
		Deep deepNode
		PD   *deepNode
		LP   []*deepNode
		A    [2][]int
		ID   string `store:"id,key"`
	}
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[aliased](ctx, s, "b")
	require.NoError(t, err)
	over, err := store.Typed[view](s, "b")
	require.NoError(t, err)
	in := fullAlias("a")
	in.Deep.memo, in.Deep.Out, in.hidden, in.Skip = map[string]int{"memo": 1}, of(7), map[string]int{}, map[string]int{}
	got, err := b.Insert(ctx, in)
	require.NoError(t, err)
	want := fullAlias("a")
	want.Meta = got.Meta
	require.Equal(t, want, got)
	rec, _ := b.Dynamic().Get("a")
	wantJSON := fixedJSON(t, rec)
	same := func() {
		t.Helper()
		now, ok := b.Get("a")
		require.True(t, ok)
		require.Equal(t, want, now)
		require.Equal(t, wantJSON, fixedJSON(t, rec))
	}
	in.Deep.memo["memo"]++
	*in.Deep.Out = 9
	spoil(&in)
	same()
	spoil(&got)
	same()
	again, _ := b.Get("a")
	spoil(&again)
	same()
	list, err := b.Where().All()
	require.NoError(t, err)
	spoil(list)
	same()
	for r := range b.All() {
		spoil(&r)
	}
	first, _, err := b.FindOne(store.Eq("id", "a"))
	require.NoError(t, err)
	spoil(&first)
	same()
	ends, err := b.Last(1)
	require.NoError(t, err)
	spoil(ends)
	spoil(rec.Map())
	same()
	v, ok := over.Get("a")
	require.True(t, ok)
	spoil(&v)
	same()
	_, err = b.Update(ctx, "a", func(a *aliased) error {
		spoil(a)
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	same()
	var kept *aliased
	got, err = b.Update(ctx, "a", func(a *aliased) error { kept = a; a.SS = append(a.SS, "b"); return nil })
	require.NoError(t, err)
	want = fullAlias("a")
	want.SS, want.Meta = []string{"a", "b"}, got.Meta
	rec, _ = b.Dynamic().Get("a")
	wantJSON = fixedJSON(t, rec)
	spoil(kept)
	spoil(&got)
	same()
	var keptView *view
	_, err = over.Update(ctx, "a", func(v *view) error { keptView = v; return nil })
	require.NoError(t, err)
	spoil(keptView)
	now, _ := b.Get("a")
	want.Meta = now.Meta
	rec, _ = b.Dynamic().Get("a")
	wantJSON = fixedJSON(t, rec)
	same()
	up := fullAlias("a")
	got, err = b.Upsert(ctx, up)
	require.NoError(t, err)
	want = fullAlias("a")
	want.Meta = got.Meta
	rec, _ = b.Dynamic().Get("a")
	wantJSON = fixedJSON(t, rec)
	spoil(&up)
	spoil(&got)
	same()
	many := []aliased{fullAlias("m")}
	out, err := b.InsertMany(ctx, many)
	require.NoError(t, err)
	spoil(many)
	spoil(out)
	m, _ := b.Get("m")
	want = fullAlias("m")
	want.Meta = m.Meta
	require.Equal(t, want, m)
	viewIn := view{ID: "v", Y: []byte{1}, PS: of("x"), Deep: deepNode{M: map[string][]byte{"k": {1}}}, X: []any{[]byte{1}}, PD: &deepNode{Name: "d"}}
	vOut, err := over.Insert(ctx, viewIn)
	require.NoError(t, err)
	spoil(&viewIn)
	spoil(&vOut)
	v, _ = over.Get("v")
	require.Equal(t, []byte{1}, v.Y)
	require.Equal(t, "x", *v.PS)
	require.Equal(t, []byte{1}, v.Deep.M["k"])
	require.Equal(t, []any{[]byte{1}}, v.X)
}

// Under -race: writers reuse what they passed, readers spoil what they got.
func TestAliasingBesideReaders(t *testing.T) {
	ctx := context.Background()
	s := schemaStore(t)
	b, err := store.Define[aliased](ctx, s, "b")
	require.NoError(t, err)
	dyn, err := s.DefineBucket(ctx, "d", aliasDefinition())
	require.NoError(t, err)
	stop, err := s.On("bucket.*.*", func(e store.Event) {
		spoil(e.Old.Map())
		spoil(e.New.Map())
	})
	require.NoError(t, err)
	defer stop()
	in, fields := fullAlias("a"), aliasInput("a")
	_, err = b.Insert(ctx, in)
	require.NoError(t, err)
	_, err = dyn.Insert(ctx, fields)
	require.NoError(t, err)
	const rounds = 150
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range rounds {
				got, _ := b.Get("a")
				spoil(&got)
				r, _ := dyn.Get("a")
				spoil(r.Map())
				r, _ = b.Dynamic().Get("a")
				spoil(r.Map())
				_ = fixedJSON(t, r)
				_, _ = dyn.Where(store.Eq("y", []byte{1, 2, 3})).All()
			}
		})
	}
	for i := range rounds {
		spoil(&in)
		spoil(fields)
		in, fields = fullAlias("a"), aliasInput("a")
		if i%2 == 0 {
			_, err = b.Upsert(ctx, in)
		} else {
			_, err = b.Update(ctx, "a", func(a *aliased) error { *a = in; return nil })
		}
		require.NoError(t, err)
		_, err = dyn.Upsert(ctx, fields)
		require.NoError(t, err)
	}
	wg.Wait()
	got, _ := b.Get("a")
	want := fullAlias("a")
	want.Meta = got.Meta
	require.Equal(t, want, got)
}
