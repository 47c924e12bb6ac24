package store

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzTag: any text in a tag is an error that says why, or a bucket that works.
func FuzzTag(f *testing.F) {
	kinds := []reflect.Type{
		reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint16](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[bool](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[[]byte](), reflect.TypeFor[[]string](), reflect.TypeFor[map[string]int](), reflect.TypeFor[any](), reflect.TypeFor[*string](), reflect.TypeFor[*float64](), reflect.TypeFor[*time.Time](),
		reflect.TypeFor[struct{ A int }](), reflect.TypeFor[[2]int](), reflect.TypeFor[Meta](), reflect.TypeFor[chan int](), reflect.TypeFor[error](),
	}
	for i, tag := range []string{
		"", "-", "a", "a,key", ",required,unique", "b,index=x,index", "c,min=1,max=2.5", "d,minLength=2,maxLength=1", "e,enum=a|b|,default=a", "f,pattern=^[a,b]{1,2}$", "g,generated=uuid", "h,format=email",
		"i,default=2024-02-29", "j,default=NaN", "k,enum=1|2", "l, key", "m,,", "n,=", "_version", "o,ref=x,omitzero", "p,pattern=(", "q,generated=autoincrement,unique,index", "id", "r,min=-inf,max=inf", "s,default=-0", "t,generated=timestamp",
	} {
		f.Add(tag, "second,"+tag, uint8(i), uint8(i*7))
	}
	f.Fuzz(func(t *testing.T, tag, tag2 string, kind, kind2 uint8) {
		fields := []reflect.StructField{
			{Name: "ID", Type: reflect.TypeFor[string](), Tag: `store:"id,key,generated=uuid"`},
			{Name: "A", Type: kinds[int(kind)%len(kinds)], Tag: reflect.StructTag("store:" + strconv.Quote(tag))},
			{Name: "B", Type: kinds[int(kind2)%len(kinds)], Tag: reflect.StructTag("store:" + strconv.Quote(tag2))},
		}
		typ := reflect.StructOf(fields)
		info, wrong := inspect(typ)
		for _, is := range wrong {
			require.NotEmpty(t, is.Message)
		}
		if len(wrong) > 0 {
			return
		}
		require.Equal(t, len(info.fields), len(info.def.Schema))
		require.Equal(t, len(info.fields), len(info.def.fields))
		require.Equal(t, 3, len(info.fields)+len(info.hide))
		ctx := context.Background()
		s, err := Open(ctx, Options{})
		require.NoError(t, err)
		defer s.Close(ctx)
		b, err := s.define(ctx, "b", info.def, typ, &info)
		if err != nil {
			var de *DefinitionError
			require.ErrorAs(t, err, &de)
			require.NotEmpty(t, de.Issues)
			return
		}
		// A zero struct, then what each field can take, are records or refused.
		native := b.shape.alloc()
		if err := b.prep.insertStruct(native, time.Now()); err == nil {
			require.NoError(t, b.insert(ctx, nil, native))
		} else {
			tagRefusal(t, err)
		}
		h := &Bucket{home: b.home}
		for i, v := range []any{nil, "", "a@example.com", 0, 1, 2.5, true, "2024-02-29", []any{}, []any{1, 2}, map[string]any{"A": 1}, map[string]any{}, []byte{1}} {
			in := Fields{}
			for _, m := range info.fields[1:] {
				in[m.name] = v
			}
			r, err := h.Insert(ctx, in)
			if err != nil {
				tagRefusal(t, err)
				continue
			}
			again, err := h.Update(ctx, r.Key(), r.Map())
			require.NoError(t, err, "what it holds is valid")
			for _, m := range info.fields {
				require.Equal(t, r.Get(m.name), again.Get(m.name), "%d", i)
				if f := info.def.Schema[m.name]; f.Required {
					require.True(t, r.Has(m.name))
				}
				n, err := h.Count(Eq(m.name, r.Get(m.name)))
				require.NoError(t, err)
				require.Positive(t, n)
			}
		}
	})
}

func tagRefusal(t *testing.T, err error) {
	t.Helper()
	var ve *ValidationError
	var ue *UniqueError
	require.True(t, errors.As(err, &ve) || errors.As(err, &ue), "%v", err)
}
