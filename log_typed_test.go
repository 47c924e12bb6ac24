package store_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type logColor string

type logInner struct {
	A    int16
	B    []string
	C    map[string]float32
	When time.Time
	Next *logInner
	Any  any
}

// logDoc has a field of each way in which a struct may hold a value.
type logDoc struct {
	ID string `store:"id,key"`
	store.Meta
	I8     int8   `store:"i8,index"`
	U16    uint16 `store:"u16"`
	U64    uint64
	F32    float32
	P      *int64
	PS     *string
	PT     *time.Time
	PF     *float32
	Color  logColor
	PColor *logColor
	In     logInner
	Ptr    *logInner
	Raw    []byte
	List   []int32
	Arr    [3]int8
	Map    map[string]logInner
	When   time.Time
	Took   time.Duration
	Any    any
	Bool   bool
	Zero   string `store:"zero,omitzero"`
	Seat   string `store:"seat,unique,omitzero"`
	N      int    `store:"n,generated=autoincrement"`
}

func randomInner(r *rand.Rand, depth int) logInner {
	in := logInner{A: int16(r.IntN(1 << 16)), B: []string{}, C: map[string]float32{}, When: time.Unix(r.Int64N(1e9), r.Int64N(2)*r.Int64N(1e9)).UTC()}
	if r.IntN(2) == 0 {
		in.B = []string{"é", fmt.Sprint(r.IntN(9))}[:r.IntN(3)]
	}
	if r.IntN(2) == 0 {
		in.C = map[string]float32{"": 0.1, "k": float32(math.Inf(1))}
	}
	if depth > 0 {
		next := randomInner(r, depth-1)
		in.Next = &next
		in.Any = []any{int64(3), 3.0, nil, map[string]any{"t": in.When}}
	}
	return in
}

func randomDoc(r *rand.Rand, id int) logDoc {
	d := logDoc{
		ID: fmt.Sprint("k", id), I8: int8(r.IntN(256)), U16: uint16(r.IntN(1 << 16)), U64: r.Uint64() >> 1, F32: r.Float32(), Color: logColor("red"),
		In: randomInner(r, r.IntN(3)), Arr: [3]int8{-1, 0, 1}, Took: time.Duration(r.Int64()), Bool: r.IntN(2) == 0,
		When: time.Date(1+r.IntN(9999), 2, 3, 4, 5, 6, r.IntN(2)*r.IntN(1e9), time.UTC),
	}
	if r.IntN(2) == 0 {
		p, ps, pt, pf, pc, in := r.Int64()-1<<62, "", d.When, float32(math.Copysign(0, -1)), logColor("p"), randomInner(r, 1)
		d.P, d.PS, d.PT, d.PF, d.PColor, d.Ptr = &p, &ps, &pt, &pf, &pc, &in
	}
	if r.IntN(2) == 0 {
		d.Raw, d.List, d.Map = []byte{1, 0}[:r.IntN(3)], []int32{math.MinInt32}, map[string]logInner{"x": randomInner(r, 0)}
		d.Zero, d.Seat, d.Any = "z", fmt.Sprint("seat ", id), []any{math.Pi, int64(math.MinInt64), []byte{}}
	}
	return d
}

// Structs come back field by field, with pointers, narrow numbers and what they nest.
func TestLogTypedModel(t *testing.T) {
	for _, seed := range modelSeeds(t, 4) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			log := &testLog{}
			define := func(s *store.Store) *store.TypedBucket[logDoc] {
				b, err := store.Define[logDoc](bg, s, "docs", func(d *store.Definition) { d.Ordered = seed%2 == 0 })
				require.NoError(t, err)
				return b
			}
			s := openLogged(t, persistent(log))
			b := define(s)
			for range modelSteps(t, 12) {
				for range 8 {
					_, err := b.Upsert(bg, randomDoc(r, r.IntN(30)))
					require.NoError(t, err)
				}
				require.NoError(t, b.Delete(bg, fmt.Sprint("k", r.IntN(30))))
				_, err := b.Patch(bg, fmt.Sprint("k", r.IntN(30)), store.Fields{"P": nil, "i8": 3, "Ptr": nil, "When": time.Unix(1, 2)})
				if err != nil {
					require.ErrorIs(t, err, store.ErrNotFound)
				}
				want, text := listDocs(t, b), showBucket(t, b.Dynamic())
				if r.IntN(3) == 0 {
					require.NoError(t, s.Compact(bg))
				}
				if r.IntN(3) == 0 { // not defined, for once
					s = reopen(t, s, log)
					require.NoError(t, s.Compact(bg))
				}
				s = reopen(t, s, log)
				b = define(s)
				require.Equal(t, want, listDocs(t, b))
				require.Equal(t, text, showBucket(t, b.Dynamic()))
				require.NoError(t, store.CheckTables(s))
				if len(want) > 0 {
					d := want[r.IntN(len(want))]
					found, err := b.Where(store.Eq("i8", d.I8)).All()
					require.NoError(t, err)
					require.Contains(t, found, d)
				}
			}
		})
	}
}

func listDocs(t *testing.T, b *store.TypedBucket[logDoc]) []logDoc {
	t.Helper()
	list, err := b.Where().All()
	require.NoError(t, err)
	return list
}
