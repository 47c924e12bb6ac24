package store_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// FuzzNestedInput: any JSON is what the oracle makes of it, at any depth.
func FuzzNestedInput(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"o":{"r":1}}`, `{"o":{"r":1,"s":"aab","l":[{"k":"x"},null,{"k":1,"n":3.5}],"x":{"y":[1]}},"l":[[1,2],[null],3]}`,
		`{"o":{"r":null,"":1},"l":[[-1,1e19,"Infinity"],[]],"d":{"deep":{"deep":{"deep":{"y":"AQID"}}}}}`,
		`{"o":[],"l":{},"d":{"deep":null,"more":{}}}`, `{"l":[[],[],[],[]],"o":{"r":2,"l":[{"n":1e300},{"n":-0}]}}`,
	} {
		f.Add([]byte(seed))
	}
	deep := store.Field{Type: store.Object, Properties: store.Schema{"y": {Type: store.Bytes, MinLength: 2}}}
	for range 3 {
		deep = store.Field{Type: store.Object, Extra: true, Properties: store.Schema{"deep": deep, "f": {Type: store.Float, Default: 1.5}}}
	}
	schema := store.Schema{
		"id": {Type: store.Int, Default: 1},
		"o": {Type: store.Object, Properties: store.Schema{
			"r": {Type: store.Int, Required: true, Max: store.Bound(5)}, "s": {Type: store.String, Pattern: "a+b", Default: "ab"}, "x": {Type: store.Any},
			"l": {Type: store.Array, MaxLength: 3, Items: &store.Field{Type: store.Object, Properties: store.Schema{
				"k": {Type: store.String, Required: true}, "n": {Type: store.Number, Enum: []any{1, 3.5}}, "u": {Type: store.String, Generated: store.UUID},
			}}},
		}},
		"l": {Type: store.Array, Items: &store.Field{Type: store.Array, MinLength: 1, Items: &store.Field{Type: store.Float, Required: true, Min: store.Bound(0)}}},
		"d": deep,
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in map[string]any
		if json.Unmarshal(data, &in) != nil || depthOf(in) > 60 {
			return
		}
		maps.DeleteFunc(in, func(name string, _ any) bool { return name == "id" || strings.HasPrefix(name, "_") })
		m := &nestedModel{t: t, rows: map[int64]map[string]any{}, next: 1}
		m.s = openStore(t, store.Options{})
		m.def = store.Definition{Key: "id", Schema: schema}
		var err error
		m.b, err = m.s.DefineBucket(bg, "b", m.def)
		require.NoError(t, err)
		want, wrong := m.after(nil, in)
		r, err := m.b.Insert(bg, store.Fields(in))
		sameIssues(t, wrong, err)
		if err != nil {
			return
		}
		m.keep(1, want, r)
		m.check(m.b)
		again, err := m.b.Update(bg, 1, r.Map())
		require.NoError(t, err, "what it holds is valid")
		require.Equal(t, r.Get("o"), again.Get("o"))
		require.Equal(t, r.Get("d"), again.Get("d"))
	})
}

// FuzzNestedModel runs the model by the decisions of the fuzzer.
func FuzzNestedModel(f *testing.F) {
	f.Add([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, data []byte) {
		newNestedModel(t, &byteSource{data: data, rest: rand.NewPCG(uint64(len(data)), 0)}).run(10)
	})
}

// byteSource is a source of decisions: bytes, and when they end, what follows from
// their number.
type byteSource struct {
	data []byte
	rest rand.Source
}

func (s *byteSource) Uint64() (x uint64) {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	b := uint64(s.data[0])
	s.data = s.data[1:]
	return b<<56 | b<<24 | b // IntN takes it from either end
}
