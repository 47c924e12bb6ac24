package store_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/noex-go/store"
)

// Objects and arrays may have rules for what is inside of them, at any depth. What is
// wrong is said with its path.
func ExampleField_properties() {
	ctx := context.Background()
	s := open(store.Options{})
	defer s.Close(ctx)
	orders, err := s.DefineBucket(ctx, "orders", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int, Generated: store.Autoincrement},
		"address": {Type: store.Object, Required: true, Properties: store.Schema{
			"zip":     {Type: store.String, Required: true, Pattern: `^\d{5}$`},
			"country": {Type: store.String, Default: "CZ"},
		}},
		"tags": {Type: store.Array, Items: &store.Field{Type: store.String, MinLength: 2}},
	}})
	check(err)

	order, err := orders.Insert(ctx, store.Fields{"address": map[string]any{"zip": "11000"}, "tags": []string{"new"}})
	check(err)
	fmt.Println(order.Get("address"))

	_, err = orders.Insert(ctx, store.Fields{"address": map[string]any{"zip": "1", "planet": "Mars"}, "tags": []string{"ok", "x"}})
	var wrong *store.ValidationError
	if errors.As(err, &wrong) {
		for _, issue := range wrong.Issues {
			fmt.Println(issue.Field, issue.Code)
		}
	}
	n, err := orders.Count(store.Eq("address.zip", "11000"), store.Eq("tags.0", "new"))
	check(err)
	fmt.Println(n)
	// Output:
	// map[country:CZ zip:11000]
	// address.zip pattern
	// address.planet unknown
	// tags[1] minLength
	// 1
}

// A struct inside of a struct has rules by its own tags; "items." goes into the
// elements of a slice.
func ExampleDefine_nested() {
	type Line struct {
		SKU string `store:"sku,required"`
		Qty int    `store:"qty,default=1,min=1"`
	}
	type Order struct {
		ID    string   `store:"id,key"`
		Lines []Line   `store:"lines,maxLength=100"`
		Tags  []string `store:"tags,items.minLength=2,items.pattern=^[a-z]+$"`
	}
	ctx := context.Background()
	s := open(store.Options{})
	defer s.Close(ctx)
	orders, err := store.Define[Order](ctx, s, "orders")
	check(err)

	order, err := orders.Insert(ctx, Order{ID: "a", Lines: []Line{{SKU: "pen"}, {SKU: "ink", Qty: 3}}})
	check(err)
	fmt.Println(order.Lines)
	_, err = orders.Insert(ctx, Order{ID: "b", Lines: []Line{{SKU: "pen"}, {Qty: -1}}, Tags: []string{"ok", "No"}})
	var wrong *store.ValidationError
	if errors.As(err, &wrong) {
		for _, issue := range wrong.Issues {
			fmt.Println(issue.Field, issue.Code)
		}
	}
	qty := store.FieldOf[Order, int]("lines.1.qty")
	found, err := orders.Where(qty.Gte(3)).All()
	check(err)
	fmt.Println(len(found))
	// Output:
	// [{pen 1} {ink 3}]
	// lines[1].sku required
	// lines[1].qty min
	// tags[1] pattern
	// 1
}

// A validator refuses what no other rule can say: a value by itself, or a record as a
// whole. It may read from the store.
func ExampleField_validate() {
	ctx := context.Background()
	s := open(store.Options{})
	defer s.Close(ctx)
	rooms, err := s.DefineBucket(ctx, "rooms", store.Definition{Key: "name", Schema: store.Schema{"name": {Type: store.String}}})
	check(err)
	_, err = rooms.Insert(ctx, store.Fields{"name": "A1"})
	check(err)
	bookings, err := s.DefineBucket(ctx, "bookings", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int, Generated: store.Autoincrement},
			"room": {Type: store.String, Required: true, Validate: func(value any, rec store.Record) error {
				if _, ok := rooms.Get(value); !ok {
					return errors.New("is not a room")
				}
				return nil
			}},
			"from": {Type: store.Date, Required: true}, "to": {Type: store.Date, Required: true},
		},
		Validate: func(rec store.Record) error {
			if from, to := rec.Get("from").(time.Time), rec.Get("to").(time.Time); !from.Before(to) {
				return &store.ValidationError{Issues: []store.Issue{{Field: "to", Code: "order", Message: "ends before it begins"}}}
			}
			return nil
		},
	})
	check(err)
	for _, in := range []store.Fields{
		{"room": "A1", "from": "2024-05-01", "to": "2024-05-02"},
		{"room": "B7", "from": "2024-05-01", "to": "2024-05-02"},
		{"room": "A1", "from": "2024-05-02", "to": "2024-05-01"},
	} {
		_, err := bookings.Insert(ctx, in)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// store: invalid record in bucket "bookings": room: is not a room
	// store: invalid record in bucket "bookings": to: ends before it begins
}
