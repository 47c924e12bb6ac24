package store

import (
	"reflect"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

// Values that need nothing and break nothing are checked without allocating.
func TestNestedCheckDoesNotAllocate(t *testing.T) {
	type part struct {
		SKU   string    `store:"sku,required,minLength=1"`
		Qty   int       `store:"qty,default=1,min=1"`
		Price float32   `store:"price,max=1000"`
		At    time.Time `store:"at"`
		Tags  []string  `store:"tags,items.enum=a|b|c"`
		Next  *struct {
			Kind string `store:"kind,required,pattern=^[a-z]+$"`
		} `store:"next"`
	}
	type doc struct {
		ID    string `store:"id,key"`
		Parts []part `store:"parts,maxLength=10"`
	}
	info, wrong := inspect(reflect.TypeFor[doc]())
	require.Empty(t, wrong)
	lim := limits{64, 1 << 20}
	compiled, wrong := info.def.check("docs", lim)
	require.Empty(t, wrong)
	sh := newShape("docs", &info.def, compiled, reflect.TypeFor[doc](), &info, nil, lim)
	require.Empty(t, sh.unfitting())
	one := part{SKU: "x", Qty: 2, Price: 3, At: time.Unix(1, 0).UTC(), Tags: []string{"a", "c"}}
	one.Next = &struct {
		Kind string `store:"kind,required,pattern=^[a-z]+$"`
	}{"k"}
	d := doc{"a", []part{one, one, one}}
	v := sh.alloc()
	sh.bodyOf(v).Set(reflect.ValueOf(d))
	s := &sh.slots[sh.byName["parts"]]
	now := time.Now()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := s.completeMemory(v, lim, now); err != nil {
			panic(err)
		}
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := lim.measure(reflect.NewAt(s.goType, s.mem(v)).Elem()); err != nil {
			panic(err)
		}
	}))

	tree, err := lim.normalize(d.Parts)
	require.Nil(t, err)
	require.NoError(t, s.complete(tree, lim, now)) // brings prices and the like into their form
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := s.complete(tree, lim, now); err != nil {
			panic(err)
		}
	}))
}

// measure says of any value what normalize does, and counts the same bytes.
func TestMeasureIsNormalize(t *testing.T) {
	type leaf struct {
		S string
		B []byte
		A [3]uint8
		F float32
		I *int16
		U uint32
	}
	type tree struct {
		One  leaf
		L    []leaf
		M    map[string][]int8
		P    **leaf
		Next *tree
		Any  []*map[string]bool
	}
	kept, refused := 0, 0
	require.NoError(t, quick.Check(func(x tree, depth, bytes uint16) bool {
		lim := limits{int(depth % 12), int(bytes) * 32}
		n := normalizer{limits: lim, left: lim.bytes}
		m := n
		_, err := n.reflected(reflect.ValueOf(&x), 0)
		also := m.measure(reflect.ValueOf(&x), 0)
		if err != nil {
			refused++
			return also != nil // which of several is found first depends on the order of maps
		}
		kept++
		return also == nil && n.left == m.left
	}, &quick.Config{MaxCount: 300}))
	require.Positive(t, kept)
	require.Positive(t, refused)
}
