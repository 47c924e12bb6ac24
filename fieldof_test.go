package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

type fieldItem struct {
	ID   string         `store:"id,key"`
	Name string         `store:"name,index"`
	N    int32          `store:"n"`
	Note *string        `store:"note"`
	At   time.Time      `store:"at"`
	Tags []string       `store:"tags"`
	Any  any            `store:"any"`
	More map[string]int `store:"more"`
	Off  string         `store:"-"`
	store.Meta
}

func fieldItems(t testing.TB) *store.TypedBucket[fieldItem] {
	t.Helper()
	b, err := store.Define[fieldItem](t.Context(), schemaStore(t), "items")
	require.NoError(t, err)
	_, err = b.InsertMany(t.Context(), []fieldItem{
		{ID: "a", Name: "Ann", N: 1, Note: of("first"), At: time.UnixMilli(1), Tags: []string{"x"}, Any: 1},
		{ID: "b", Name: "Bob", N: 2, Note: of(""), At: time.UnixMilli(2), Tags: []string{"y", "x"}, Any: "1"},
		{ID: "c", Name: "Bobby", N: 3, At: time.UnixMilli(3)},
	})
	require.NoError(t, err)
	return b
}

// TestFieldOf: each method of a field finds what the function of its name does.
func TestFieldOf(t *testing.T) {
	b := fieldItems(t)
	name, n := store.FieldOf[fieldItem, string]("name"), store.FieldOf[fieldItem, int32]("n")
	note, at := store.FieldOf[fieldItem, string]("note"), store.FieldOf[fieldItem, time.Time]("at")
	pointer, tags, free := store.FieldOf[fieldItem, *string]("note"), store.FieldOf[fieldItem, []string]("tags"), store.FieldOf[fieldItem, any]("any")
	require.Equal(t, "name", name.Name())
	for want, filters := range map[string][]store.Filter{
		"a":     {name.Eq("Ann"), name.Lt("Bob"), n.Lte(1), note.Eq("first"), at.Lt(time.UnixMilli(2)), pointer.Eq(of("first")), tags.Eq([]string{"x"}), free.Eq(1.0), note.Contains("IRS"), n.Between(0, 1)},
		"b":     {note.Eq(""), name.Eq("Bob"), tags.Contains("y"), free.Eq("1"), n.In(2, 7), name.HasSuffix("ob")},
		"c":     {note.Absent(), pointer.Eq(nil), tags.Absent(), n.Gt(2), at.Gte(time.UnixMilli(3)), name.Eq("Bobby"), store.Not(free.Exists())},
		"a b":   {note.Exists(), tags.Contains("x"), free.In(1, "1"), n.NotIn(3), pointer.Ne(nil)},
		"b c":   {name.HasPrefix("Bob"), name.Ne("Ann"), n.Gte(2), n.Between(2, 9), name.Contains("BOB"), note.Ne("first"), pointer.In(nil, of("")), name.NotIn("Ann")},
		"":      {name.In(), name.Lt(""), n.Between(7, 9)},
		"a b c": {name.NotIn(), name.Gte(""), at.Lte(time.UnixMilli(3)), n.Exists()},
	} {
		for i, f := range filters {
			require.Equal(t, want, foundBy(t, b.Dynamic(), f), "filter %d of %q", i, want)
		}
	}
	for i, c := range []struct {
		first string
		order store.Order
	}{{"c", n.Desc()}, {"a", name.Asc()}, {"c", note.Asc()}, {"a", note.Desc()}, {"b", free.Desc()}} {
		r, _, err := b.OrderBy(c.order).First()
		require.NoError(t, err)
		require.Equal(t, c.first, r.ID, i)
	}
}

// TestFieldOfMistakes: a field that is none, or of another type, is an error of
// every query that it is used in.
func TestFieldOfMistakes(t *testing.T) {
	b := fieldItems(t)
	for name, f := range map[string]fieldUse{
		"nope": wrongField(store.FieldOf[fieldItem, string]("nope")),
		"":     wrongField(store.FieldOf[fieldItem, string]("")),
		"Name": wrongField(store.FieldOf[fieldItem, string]("Name")),
		"Off":  wrongField(store.FieldOf[fieldItem, string]("Off")),
		"n":    wrongField(store.FieldOf[fieldItem, int]("n")),
		"name": wrongField(store.FieldOf[fieldItem, text]("name")),
		"note": wrongField(store.FieldOf[fieldItem, **string]("note")),
		"at":   wrongField(store.FieldOf[fieldItem, moment]("at")),
		"tags": wrongField(store.FieldOf[fieldItem, string]("tags")),
		"any":  wrongField(store.FieldOf[fieldItem, int]("any")),
		"more": wrongField(store.FieldOf[fieldItem, map[string]any]("more")),
		"id":   wrongField(store.FieldOf[int, string]("id")),
		"x":    wrongField(store.FieldOf[struct{ F func() }, string]("x")),
		"y":    wrongField(store.FieldOf[any, string]("y")),
		"z":    wrongField(store.FieldOf[*fieldItem, int]("z")),
	} {
		for _, filter := range f.filters {
			refusedFilter(t, b.Dynamic(), name, filter, name)
			refusedFilter(t, b.Dynamic(), name, store.Not(store.Or(store.Eq("n", 1), filter)), name)
		}
		for how, err := range answers(b.OrderBy(f.order), "n") {
			refused(t, err, "items", name, how)
		}
	}
}

// fieldUse is everything that a field can be used for.
type fieldUse struct {
	filters []store.Filter
	order   store.Order
}

func wrongField[T, V any](f store.TypedField[T, V]) (out fieldUse) {
	var v V
	out.filters = []store.Filter{
		f.Eq(v), f.Ne(v), f.Gt(v), f.Gte(v), f.Lt(v), f.Lte(v), f.Between(v, v), f.In(), f.In(v), f.NotIn(v), f.Contains("x"), f.HasPrefix("x"), f.HasSuffix("x"), f.Exists(), f.Absent(),
	}
	out.order = f.Desc()
	return out
}

// TestFieldOfAnotherBucket: the field must be one of the bucket's, too.
func TestFieldOfAnotherBucket(t *testing.T) {
	type other struct {
		ID    string `store:"id,key"`
		Name  int    `store:"name"`
		Alien string `store:"alien"`
	}
	b := fieldItems(t)
	refusedFilter(t, b.Dynamic(), "alien", store.FieldOf[other, string]("alien").Eq("x"))
	refusedFilter(t, b.Dynamic(), "name", store.FieldOf[other, int]("name").Eq(1))
	require.Equal(t, "a", foundBy(t, b.Dynamic(), store.FieldOf[other, string]("id").Eq("a")))
}
