package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// orderSchema has rules at every depth.
func orderSchema() store.Schema {
	return store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement},
		"address": {Type: store.Object, Required: true, Properties: store.Schema{
			"zip":     {Type: store.String, Required: true, Pattern: `^\d{5}$`},
			"city":    {Type: store.String, MaxLength: 10},
			"country": {Type: store.String, Default: "DE", Enum: []any{"DE", "AT"}},
			"since":   {Type: store.Date},
		}},
		"tags": {Type: store.Array, MaxLength: 3, Items: &store.Field{Type: store.String, MinLength: 2, Required: true}},
		"lines": {Type: store.Array, Items: &store.Field{Type: store.Object, Properties: store.Schema{
			"sku": {Type: store.String, Required: true},
			"qty": {Type: store.Int, Min: store.Bound(1), Default: 1},
			"uid": {Type: store.String, Generated: store.UUID},
			"dim": {Type: store.Array, Items: &store.Field{Type: store.Float}},
		}}},
		"notes": {Type: store.Object, Extra: true, Properties: store.Schema{"by": {Type: store.String}}},
	}
}

func TestNestedSchema(t *testing.T) {
	s := openStore(t, store.Options{})
	b, err := s.DefineBucket(bg, "orders", store.Definition{Key: "id", Schema: orderSchema()})
	require.NoError(t, err)

	in := store.Fields{
		"address": map[string]any{"zip": "12345", "since": "2024-02-29"},
		"tags":    []string{"ab", "cd"},
		"lines":   []any{map[string]any{"sku": "x", "dim": []int{1, 2}}, map[string]any{"sku": "y", "qty": 3.0, "uid": "mine"}},
		"notes":   map[string]any{"by": "me", "mood": "good"},
	}
	r, err := b.Insert(bg, in)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"zip": "12345", "country": "DE", "since": time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)}, r.Get("address"))
	lines := r.Get("lines").([]any)
	first := lines[0].(map[string]any)
	require.Len(t, first["uid"], 36)
	delete(first, "uid")
	require.Equal(t, map[string]any{"sku": "x", "qty": int64(1), "dim": []any{1.0, 2.0}}, first)
	require.Equal(t, map[string]any{"sku": "y", "qty": int64(3), "uid": "mine"}, lines[1])
	require.Equal(t, map[string]any{"by": "me", "mood": "good"}, r.Get("notes"))
	require.Len(t, in["address"], 2, "the caller's value was written to")

	_, err = b.Insert(bg, store.Fields{
		"address": map[string]any{"zip": "1", "city": "A very long name", "country": "FR", "planet": "Earth", "since": "2024-02-30"},
		"tags":    []any{"a", nil, 7, "ok", "ok"},
		"lines":   []any{map[string]any{"qty": 0}, "no", map[string]any{"sku": "x", "dim": []any{"wide"}}},
	})
	require.Equal(t, []string{
		"address.city maxLength", "address.country enum", "address.since format", "address.zip pattern", "address.planet unknown",
		"lines[0].qty min", "lines[0].sku required", "lines[1] type", "lines[2].dim[0] type",
		"tags maxLength", "tags[0] minLength", "tags[1] required", "tags[2] type",
	}, issues(t, err))

	// An update replaces the object, which is completed and checked as a whole.
	_, err = b.Update(bg, 1, store.Fields{"address": map[string]any{"city": "Bonn"}})
	require.Equal(t, []string{"address.zip required"}, issues(t, err))
	r, err = b.Update(bg, 1, store.Fields{"address": map[string]any{"zip": "54321"}, "tags": nil})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"zip": "54321", "country": "DE"}, r.Get("address"))

	// Queries know what is inside, and convert what they compare with.
	n, err := b.Count(store.Eq("address.zip", "54321"), store.Exists("lines.1.qty"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = b.Update(bg, 1, store.Fields{"address": map[string]any{"zip": "54321", "since": time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)}})
	require.NoError(t, err)
	n, err = b.Count(store.Between("address.since", "2020-01-01", "2020-12-31"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	for _, f := range []store.Filter{
		store.Eq("address.planet", "Earth"), store.Eq("address.zip", 7), store.Eq("address.zip.x", 1), store.Gt("lines.first.qty", 1), store.Lt("lines.0.qty", "x"),
	} {
		_, err = b.Count(f)
		var qe *store.QueryError
		require.ErrorAs(t, err, &qe, "%v", f)
	}
	_, err = b.Count(store.Eq("notes.mood", 7))
	require.NoError(t, err)
}

func TestNestedDefinitionMistakes(t *testing.T) {
	s := openStore(t, store.Options{})
	self := store.Schema{}
	self["s"] = store.Field{Type: store.Object, Properties: self}
	self["u"] = store.Field{Type: store.Object, Properties: self}
	_, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int},
		"a":  {Type: store.String, Properties: store.Schema{"x": {Type: store.Int}}},
		"b":  {Type: store.Object, Extra: true},
		"c":  {Type: store.Object, Items: &store.Field{Type: store.Int}},
		"d": {Type: store.Object, Properties: store.Schema{
			"u": {Type: store.Int, Unique: true}, "n": {Type: store.Int, Generated: store.Autoincrement}, "p": {Type: store.String, Pattern: "("},
			"": {Type: store.Int}, "e": {Type: store.Array, Items: &store.Field{Type: store.Int, Default: 1}}, "z": {},
		}},
		"e": {Type: store.Object, Default: map[string]any{"n": 0, "q": 1}, Properties: store.Schema{"n": {Type: store.Int, Min: store.Bound(1)}, "r": {Type: store.Int, Required: true}}},
	}})
	var de *store.DefinitionError
	require.ErrorAs(t, err, &de)
	var fields []string
	for _, is := range de.Issues {
		fields = append(fields, is.Field)
	}
	require.Equal(t, []string{"a", "b", "c", "d", "d.e[]", "d.n", "d.p", "d.u", "d.z", "e.n", "e.r", "e.q"}, fields)

	_, err = s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "f": {Type: store.Object, Properties: self},
	}})
	require.ErrorAs(t, err, &de)
	require.Len(t, de.Issues, 1)
}

func TestValidators(t *testing.T) {
	s := openStore(t, store.Options{})
	odd := errors.New("is odd")
	def := store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int},
			"n": {Type: store.Int, Validate: func(v any, rec store.Record) error {
				switch n := v.(int64); {
				case n == 13:
					panic("thirteen")
				case n%2 == 1:
					return odd
				}
				return nil
			}},
			"list": {Type: store.Array, Items: &store.Field{Type: store.Object, Properties: store.Schema{
				"from": {Type: store.Int}, "to": {Type: store.Int},
			}, Validate: func(v any, rec store.Record) error {
				m := v.(map[string]any)
				if from, ok := m["from"].(int64); ok && from > m["to"].(int64) {
					return errors.New("ends before it begins")
				}
				m["from"] = "changed" // a copy
				return nil
			}}},
		},
		Validate: func(rec store.Record) error {
			if rec.Get("n") == int64(40) && rec.Version() > 1 {
				return &store.ValidationError{Issues: []store.Issue{{Field: "n", Code: "once", Message: "only at insert"}}}
			}
			return nil
		},
	}
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	_, err = b.Insert(bg, store.Fields{"id": 1, "n": 3, "list": []any{map[string]any{"from": 1, "to": 2}, map[string]any{"from": 3, "to": 2}}})
	require.Equal(t, []string{"list[1] validate", "n validate"}, issues(t, err))
	require.ErrorIs(t, err, odd)
	_, err = b.Insert(bg, store.Fields{"id": 1, "n": 13})
	var pe *store.PanicError
	require.ErrorAs(t, err, &pe)
	r, err := b.Insert(bg, store.Fields{"id": 1, "n": 40, "list": []any{map[string]any{"from": 1, "to": 2}}})
	require.NoError(t, err)
	require.Equal(t, []any{map[string]any{"from": int64(1), "to": int64(2)}}, r.Get("list"))
	_, err = b.Update(bg, 1, store.Fields{"list": nil}) // the record is judged as a whole
	require.Equal(t, []string{"n once"}, issues(t, err))
	_, err = b.UpdateMany(bg, store.Fields{"n": 5}, store.Eq("id", 1))
	require.Equal(t, []string{"n validate"}, issues(t, err))
	err = s.Transaction(bg, func(tx *store.Tx) error {
		_, err := b.In(tx).Insert(bg, store.Fields{"id": 2, "n": 1})
		require.Equal(t, []string{"n validate"}, issues(t, err))
		return nil
	})
	require.NoError(t, err)
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

type nestedAddress struct {
	Zip     string    `store:"zip,required,pattern=^\\d{5}$"`
	City    string    `store:"city,maxLength=10" json:"town"`
	Country string    `json:"country" store:",default=DE,enum=DE|AT"`
	Since   time.Time `json:"since"`
	Skip    chan int  `store:"-"`
}

type nestedLine struct {
	SKU  string    `store:"sku,required"`
	Qty  int       `store:"qty,default=1,min=1"`
	Paid *bool     `store:"paid,required"`
	UID  string    `store:"uid,generated=uuid"`
	Dim  []float64 `store:"dim,items.min=0"`
}

type nestedOrder struct {
	ID      string         `store:"id,key"`
	Address nestedAddress  `store:"address"`
	Other   *nestedAddress `store:"other"`
	Tags    []string       `store:"tags,maxLength=3,items.minLength=2,items.pattern=^[a-z,]+$"`
	Lines   []nestedLine   `store:"lines"`
	N       int            `store:"n"`
	store.Meta
}

func TestNestedStructs(t *testing.T) {
	s := openStore(t, store.Options{})
	orders, err := store.Define[nestedOrder](bg, s, "orders")
	require.NoError(t, err)
	no := false
	got, err := orders.Insert(bg, nestedOrder{
		ID: "a", Address: nestedAddress{Zip: "12345"}, Tags: []string{"ab"},
		Lines: []nestedLine{{SKU: "x", Paid: &no, Dim: []float64{1}}, {SKU: "y", Qty: 7, UID: "mine", Paid: &no}},
	})
	require.NoError(t, err)
	require.Equal(t, "DE", got.Address.Country)
	require.Equal(t, 1, got.Lines[0].Qty)
	require.Len(t, got.Lines[0].UID, 36)
	require.Equal(t, "mine", got.Lines[1].UID)

	bad := nestedOrder{
		ID: "b", Address: nestedAddress{Zip: "1", City: "A very long name", Country: "FR"}, Other: &nestedAddress{},
		Tags: []string{"a", "B,"}, Lines: []nestedLine{{Qty: -1, Dim: []float64{1, -1}}},
	}
	want := []string{
		"address.zip pattern", "address.city maxLength", "address.country enum", "other.zip required", "tags[0] minLength", "tags[1] pattern",
		"lines[0].sku required", "lines[0].qty min", "lines[0].paid required", "lines[0].dim[1] min",
	}
	_, err = orders.Insert(bg, bad)
	require.Equal(t, want, issues(t, err))

	// The dynamic view has the same rules, and so has another struct over it.
	_, err = orders.Dynamic().Insert(bg, store.Fields{
		"id": "b", "address": map[string]any{"zip": "1", "city": "A very long name", "country": "FR"}, "other": map[string]any{},
		"tags": []any{"a", "B,"}, "lines": []any{map[string]any{"qty": -1, "dim": []any{1, -1}}},
	})
	require.Equal(t, want, issues(t, err))
	type otherOrder struct {
		ID      string         `store:"id"`
		Address *nestedAddress `store:"address"`
		Other   nestedAddress  `store:"other"`
		Tags    []string       `store:"tags"`
		Lines   []nestedLine   `store:"lines"`
	}
	d, err := s.Definition("orders")
	require.NoError(t, err)
	require.Equal(t, store.String, d.Schema["address"].Properties["city"].Type)
	dyn, err := s.DefineBucket(bg, "dynamic", d)
	require.NoError(t, err)
	over, err := store.Typed[otherOrder](s, "dynamic")
	require.NoError(t, err)
	_, err = over.Insert(bg, otherOrder{ID: "b", Address: &bad.Address, Tags: bad.Tags, Lines: bad.Lines})
	require.Equal(t, want, issues(t, err))
	o, err := over.Insert(bg, otherOrder{ID: "c", Address: &nestedAddress{Zip: "12345"}, Other: nestedAddress{Zip: "12345"}, Lines: []nestedLine{{SKU: "x", Paid: &no}}})
	require.NoError(t, err)
	require.Equal(t, 1, o.Lines[0].Qty)
	require.Equal(t, "DE", o.Address.Country)
	r, _ := dyn.Get("c")
	require.Equal(t, false, r.Get("lines").([]any)[0].(map[string]any)["paid"])

	// What an update leaves as it is was valid when it was written.
	_, err = orders.Dynamic().Insert(bg, store.Fields{"id": "d", "address": map[string]any{"zip": "12345"}, "lines": []any{map[string]any{"sku": "", "paid": true, "qty": 1}}})
	require.NoError(t, err)
	got, err = orders.Update(bg, "d", func(o *nestedOrder) error { o.N++; return nil })
	require.NoError(t, err)
	require.Equal(t, 1, got.N)
	_, err = orders.Update(bg, "d", func(o *nestedOrder) error { o.Lines[0].Dim = []float64{1}; return nil })
	require.Equal(t, []string{"lines[0].sku required"}, issues(t, err))

	n, err := orders.Where(store.FieldOf[nestedOrder, string]("address.zip").Eq("12345")).Count()
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.NoError(t, store.CheckTables(s))
}

// A struct that cannot hold what the bucket may is refused with each reason.
func TestNestedStructsThatDoNotFit(t *testing.T) {
	s := openStore(t, store.Options{})
	_, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String},
		"o":  {Type: store.Object, Properties: store.Schema{"a": {Type: store.Int}, "b": {Type: store.String}, "c": {Type: store.Int, Min: store.Bound(0), Max: store.Bound(9)}}},
		"l":  {Type: store.Array, Items: &store.Field{Type: store.String}},
	}})
	require.NoError(t, err)
	type unfit struct {
		ID string `store:"id,key"`
		O  struct {
			A int32 `store:"a"`
			C int8  `store:"c"`
			D int   `store:"d"`
		} `store:"o"`
		L []int `store:"l"`
	}
	_, err = store.Typed[unfit](s, "b")
	var de *store.DefinitionError
	require.ErrorAs(t, err, &de)
	var fields []string
	for _, is := range de.Issues {
		fields = append(fields, is.Field)
	}
	require.Equal(t, []string{"o.a", "o", "o", "l[]"}, fields, "%v", err)

	type tagged struct {
		ID string `store:"id,key"`
		O  struct {
			A int `store:"a,unique"`
			B int `store:"b,minLength=1"`
		} `store:"o"`
		N int `store:"n,items.min=1"`
	}
	_, err = store.Define[tagged](bg, s, "t")
	require.ErrorAs(t, err, &de)
}
