package store_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

var everyType = store.Definition{
	Key: "id",
	Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement}, "s": {Type: store.String}, "i": {Type: store.Int}, "f": {Type: store.Float},
		"n": {Type: store.Number}, "b": {Type: store.Bool}, "o": {Type: store.Object}, "a": {Type: store.Array}, "d": {Type: store.Date},
		"y": {Type: store.Bytes}, "x": {Type: store.Any}, "u": {Type: store.String, Unique: true},
	},
	Indexes: []store.Index{{"i"}, {"s", "d"}},
	Extra:   true,
}

func persistent(log store.Adapter) store.Options {
	return store.Options{Persistence: store.Persistence{Adapter: log, Durability: store.Sync}}
}

// Every value comes back as it was, with its metadata, its place and its indexes,
// from entries and from a snapshot.
func TestLogRestoresValues(t *testing.T) {
	for _, compact := range []bool{false, true} {
		t.Run(fmt.Sprint("compact=", compact), func(t *testing.T) {
			ctx := t.Context()
			log := &testLog{}
			s := openStore(t, persistent(log))
			b, err := s.DefineBucket(ctx, "b", everyType)
			require.NoError(t, err)
			when := time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)
			for _, f := range []store.Fields{
				{},
				{"s": "é", "i": int64(math.MinInt64), "f": 3.0, "n": 3.0, "b": true, "d": when, "y": []byte{0, 255}, "u": "1"},
				{"i": int64(math.MaxInt64), "f": math.Inf(-1), "n": int64(1<<53 + 1), "b": false, "d": when.Add(1), "y": []byte{}},
				{"o": map[string]any{"k": []any{1, 2.5, nil, "x", when, map[string]any{}}}, "a": []any{}, "x": when, "u": "2"},
				{"f": math.Copysign(0, -1), "x": []any{when.Add(time.Nanosecond)}, "extra": map[string]any{"when": when}, "e2": 1},
				{"s": strings.Repeat("long", 1000), "x": 1e300, "n": -1e-300, "d": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
			} {
				_, err := b.Insert(ctx, f)
				require.NoError(t, err)
			}
			_, err = b.Update(ctx, 2, store.Fields{"s": nil, "i": 7})
			require.NoError(t, err)
			require.NoError(t, b.Delete(ctx, 3))
			_, err = b.Insert(ctx, store.Fields{"id": 100, "s": "last"})
			require.NoError(t, err)
			require.NoError(t, b.Delete(ctx, 100))
			want := showBucket(t, b)
			page, err := b.Where().Page(2, "")
			require.NoError(t, err)
			rest, err := b.Where().Page(9, page.Next)
			require.NoError(t, err)
			if compact {
				require.NoError(t, s.Compact(ctx))
			}
			commits := s.Stats().Commits
			require.NoError(t, s.Close(ctx))

			s = openStore(t, persistent(log))
			require.False(t, s.HasBucket("b"))
			require.Equal(t, []string{"b"}, s.Stats().Persistence.Undefined)
			b, err = s.DefineBucket(ctx, "b", everyType)
			require.NoError(t, err)
			require.Equal(t, want, showBucket(t, b))
			require.Equal(t, commits, s.Stats().Commits)
			again, err := b.Where().Page(9, page.Next)
			require.NoError(t, err)
			require.Len(t, again.Records, len(rest.Records))
			found, err := b.Where(store.Eq("i", 7)).All()
			require.NoError(t, err)
			require.Len(t, found, 1)
			_, err = b.Insert(ctx, store.Fields{"u": "1"})
			var taken *store.UniqueError
			require.ErrorAs(t, err, &taken)
			r, err := b.Insert(ctx, store.Fields{})
			require.NoError(t, err)
			require.GreaterOrEqual(t, r.Get("id"), int64(101), "a number is never used twice")
		})
	}
}

func showBucket(t *testing.T, b *store.Bucket) (out []string) {
	list, err := b.Where().All()
	require.NoError(t, err)
	for _, r := range list {
		out = append(out, fmt.Sprintf("%s %+v", exactly(r.Map()), r.Meta()))
	}
	return out
}

// exactly shows a value so that two which differ in anything look different: 3
// and 3.0, 0 and -0, nil and empty, times by their nanosecond and zone.
func exactly(v any) string {
	switch x := v.(type) {
	case map[string]any:
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(x)) {
			fmt.Fprintf(&b, "%q: %s, ", name, exactly(x[name]))
		}
		return "{" + b.String() + "}"
	case []any:
		var b strings.Builder
		for _, e := range x {
			b.WriteString(exactly(e) + ", ")
		}
		return "[" + b.String() + "]"
	case float64:
		return fmt.Sprintf("float %v/%x", x, math.Float64bits(x))
	case time.Time:
		return "time " + x.Format(time.RFC3339Nano) + " " + x.Location().String()
	}
	return fmt.Sprintf("%T %#v", v, v)
}

func TestLogExactly(t *testing.T) {
	when := time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)
	values := []any{
		nil, int64(0), 0.0, math.Copysign(0, -1), int64(3), 3.0, "", "3", false,
		[]byte{},
		[]any{},
		[]any{nil},
		map[string]any{},
		map[string]any{"": nil},
		when, when.Add(1), when.Local().In(time.FixedZone("x", 0)), math.Inf(1),
	}
	for i, a := range values {
		for j, b := range values {
			require.Equal(t, i == j, exactly(a) == exactly(b), "%#v %#v", a, b)
		}
	}
}
