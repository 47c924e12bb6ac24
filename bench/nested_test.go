package bench

import (
	"testing"

	"github.com/noex-go/store"
)

// nestedFree is an order without rules for what is inside of it, nestedRuled the same
// with rules, all of which it fulfils.
type (
	freeLine struct {
		SKU   string  `store:"sku"`
		Qty   int     `store:"qty"`
		Price float64 `store:"price"`
	}
	freeAddress struct {
		Zip     string `store:"zip"`
		City    string `store:"city"`
		Country string `store:"country"`
	}
	nestedFree struct {
		ID      int64       `store:"id,key"`
		Address freeAddress `store:"address"`
		Lines   []freeLine  `store:"lines"`
		Tags    []string    `store:"tags"`
	}
	ruledLine struct {
		SKU   string  `store:"sku,required,minLength=1"`
		Qty   int     `store:"qty,default=1,min=1,max=1000"`
		Price float64 `store:"price,min=0"`
	}
	ruledAddress struct {
		Zip     string `store:"zip,required,minLength=5,maxLength=5"`
		City    string `store:"city,maxLength=50"`
		Country string `store:"country,default=CZ,enum=CZ|SK|AT"`
	}
	nestedRuled struct {
		ID      int64        `store:"id,key"`
		Address ruledAddress `store:"address,required"`
		Lines   []ruledLine  `store:"lines,maxLength=100"`
		Tags    []string     `store:"tags,items.minLength=2"`
	}
)

func freeOrder(id int64) nestedFree {
	return nestedFree{id, freeAddress{"11000", "Praha", "CZ"}, []freeLine{{"pen", 2, 1.5}, {"ink", 1, 9}, {"pad", 10, 3}}, []string{"new", "big"}}
}

func ruledOrder(id int64) nestedRuled {
	return nestedRuled{id, ruledAddress{"11000", "Praha", "CZ"}, []ruledLine{{"pen", 2, 1.5}, {"ink", 1, 9}, {"pad", 10, 3}}, []string{"new", "big"}}
}

// BenchmarkNestedInsert inserts orders with three lines, with rules at every depth and
// without any.
func BenchmarkNestedInsert(b *testing.B) {
	b.Run("typed/free", func(b *testing.B) { insertOrders(b, freeOrder) })
	b.Run("typed/ruled", func(b *testing.B) { insertOrders(b, ruledOrder) })
	s := open(b)
	_, err := store.Define[nestedRuled](ctx, s, "orders")
	check(b, err)
	ruled, err := s.Definition("orders")
	check(b, err)
	free := store.Definition{Key: "id", Schema: store.Schema{}}
	for name, f := range ruled.Schema {
		free.Schema[name] = store.Field{Type: f.Type}
	}
	b.Run("dynamic/free", func(b *testing.B) { insertFields(b, free) })
	b.Run("dynamic/ruled", func(b *testing.B) { insertFields(b, ruled) })
}

func insertOrders[T any](b *testing.B, order func(id int64) T) {
	h, err := store.Define[T](ctx, open(b), "orders")
	check(b, err)
	b.ReportAllocs()
	for i := int64(1); b.Loop(); i++ {
		_, err := h.Insert(ctx, order(i))
		check(b, err)
	}
}

func insertFields(b *testing.B, def store.Definition) {
	h, err := open(b).DefineBucket(ctx, "orders", def)
	check(b, err)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		_, err := h.Insert(ctx, store.Fields{
			"id": i, "address": map[string]any{"zip": "11000", "city": "Praha", "country": "CZ"}, "tags": []any{"new", "big"},
			"lines": []any{map[string]any{"sku": "pen", "qty": 2, "price": 1.5}, map[string]any{"sku": "ink", "qty": 1, "price": 9.0}, map[string]any{"sku": "pad", "qty": 10, "price": 3.0}},
		})
		check(b, err)
	}
}
