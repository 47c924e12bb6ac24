package bench

import (
	"fmt"
	"testing"

	"github.com/noex-go/store"
)

// items is the number of records in the crud program of the npm original, which
// BenchmarkCRUD repeats line by line: 10,000 inserts with a generated uuid into
// an empty bucket, and of each of them a get, an update and a delete.
const items = 10_000

type item struct {
	ID    string  `store:"id,key,generated=uuid"`
	Name  string  `store:"name,required"`
	Value float64 `store:"value"`
	store.Meta
}

// crud are the operations of the program on one kind of handle.
type crud struct {
	insert func(name string, value int) (id string, err error)
	get    func(id string) bool
	update func(id string) error
	delete func(id string) error
}

func dynamicItems(b *testing.B, s *store.Store) crud {
	h, err := s.DefineBucket(ctx, "items", store.Definition{Key: "id", Schema: store.Schema{
		"id":    {Type: store.String, Generated: store.UUID},
		"name":  {Type: store.String, Required: true},
		"value": {Type: store.Number, Default: 0},
	}})
	check(b, err)
	return crud{
		insert: func(name string, value int) (string, error) {
			r, err := h.Insert(ctx, store.Fields{"name": name, "value": value})
			if err != nil {
				return "", err
			}
			return r.Get("id").(string), nil
		},
		get: func(id string) bool { _, ok := h.Get(id); return ok },
		update: func(id string) error {
			_, err := h.Update(ctx, id, store.Fields{"value": 999})
			return err
		},
		delete: func(id string) error { return h.Delete(ctx, id) },
	}
}

func typedItems(b *testing.B, s *store.Store) crud {
	h, err := store.Define[item](ctx, s, "items")
	check(b, err)
	return crud{
		insert: func(name string, value int) (string, error) {
			r, err := h.Insert(ctx, item{Name: name, Value: float64(value)})
			return r.ID, err
		},
		get: func(id string) bool { _, ok := h.Get(id); return ok },
		update: func(id string) error {
			_, err := h.Update(ctx, id, func(r *item) error { r.Value = 999; return nil })
			return err
		},
		delete: func(id string) error { return h.Delete(ctx, id) },
	}
}

// fillItems inserts the records and returns their keys.
func fillItems(b *testing.B, c crud) []string {
	ids := make([]string, items)
	for i := range ids {
		var err error
		ids[i], err = c.insert(fmt.Sprintf("item-%d", i), i)
		check(b, err)
	}
	return ids
}

func BenchmarkCRUD(b *testing.B) {
	lines := []struct {
		name string
		run  func(b *testing.B, c func() crud)
	}{{"insert", crudInsert}, {"get", crudGet}, {"update", crudUpdate}, {"delete", crudDelete}}
	handles := []struct {
		name   string
		define func(*testing.B, *store.Store) crud
	}{{"dynamic", dynamicItems}, {"typed", typedItems}}
	for _, l := range lines {
		for _, h := range handles {
			b.Run(l.name+"/"+h.name, func(b *testing.B) {
				s := open(b)
				b.ReportAllocs()
				l.run(b, func() crud { // the operations on a bucket that is empty
					if s.HasBucket("items") {
						check(b, s.DropBucket(ctx, "items"))
					}
					return h.define(b, s)
				})
			})
		}
	}
}

// crudInsert starts with an empty bucket again after each 10,000 records.
func crudInsert(b *testing.B, empty func() crud) {
	names := make([]string, items)
	for i := range names {
		names[i] = fmt.Sprintf("item-%d", i)
	}
	c, i := empty(), 0
	for b.Loop() {
		if i == items {
			b.StopTimer()
			c, i = empty(), 0
			b.StartTimer()
		}
		if _, err := c.insert(names[i], i); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func crudGet(b *testing.B, empty func() crud) {
	c := empty()
	ids, i := fillItems(b, c), 0
	for b.Loop() {
		if !c.get(ids[i%items]) {
			b.Fatal("missing")
		}
		i++
	}
}

func crudUpdate(b *testing.B, empty func() crud) {
	c := empty()
	ids, i := fillItems(b, c), 0
	for b.Loop() {
		if err := c.update(ids[i%items]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func crudDelete(b *testing.B, empty func() crud) {
	c := empty()
	ids, i := fillItems(b, c), 0
	for b.Loop() {
		if i == items {
			b.StopTimer()
			c = empty()
			ids, i = fillItems(b, c), 0
			b.StartTimer()
		}
		if err := c.delete(ids[i]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
