package store_test

import (
	"errors"
	"fmt"

	"github.com/noex-go/store"
)

// An *Error says which operation on which bucket and key has failed. Its text has
// neither the key nor a value, so that it can be logged.
func ExampleError() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	_, err := b.Update(ctx, "L9", store.Fields{"price": 15})
	var failed *store.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Op, failed.Bucket, failed.Key)
		fmt.Println(failed.Err == store.ErrNotFound)
	}
	fmt.Println(err)

	// Output:
	// update products L9
	// true
	// store: update in bucket "products": record not found
}

// A transaction that has read what another commit changed leaves nothing behind, and
// says what was changed. Retry would have run it again.
func ExampleConflictError() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)
	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "name": "Lamp", "price": 20})
	check(err)

	err = s.Transaction(ctx, func(tx *store.Tx) error {
		lamp, _ := b.In(tx).Get("L1")
		_, err := b.Update(ctx, "L1", store.Fields{"price": 15}) // somebody else, meanwhile
		check(err)
		_, err = b.In(tx).Update(ctx, "L1", store.Fields{"price": lamp.Get("price").(int64) + 1})
		return err
	})
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		fmt.Println(conflict.Bucket, conflict.Key, conflict.Field)
	}
	lamp, _ := b.Get("L1")
	fmt.Println(lamp.Get("price"))

	// Output:
	// products L1 price
	// 15
}

// A function of yours that panics fails the call that ran it, and nothing else. If it
// panicked with an error, errors.Is and errors.As find that too.
func ExamplePanicError() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := tasks(s)

	errBroken := errors.New("broken")
	_, err := b.Update(ctx, 1, func(t *Task) error {
		t.Hours = 100
		panic(errBroken)
	})
	var caught *store.PanicError
	if errors.As(err, &caught) {
		fmt.Println(caught.Value, len(caught.Stack) > 0, errors.Is(err, errBroken))
	}
	t, _ := b.Get(1)
	fmt.Println(t.Hours)

	// Output:
	// broken true true
	// 8
}

// A question that does not fit the schema is an error that names the field, never an
// empty answer.
func ExampleQueryError() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	for _, f := range []store.Filter{store.Eq("colour", "red"), store.Gt("price", "cheap")} {
		_, err := b.Where(f).All()
		var wrong *store.QueryError
		if errors.As(err, &wrong) {
			fmt.Printf("%s.%s: %s\n", wrong.Bucket, wrong.Field, wrong.Message)
		}
	}

	// Output:
	// products.colour: is not in the schema
	// products.price: has type number: the value to compare with must be a number, got string
}

// Tags are checked when the bucket is defined: all mistakes come at once.
func ExampleDefinitionError() {
	type User struct {
		ID   int    `store:"id,key,generated=uuid"`
		Name string `store:"name,min=1"`
		Role string `store:"role,enum=admin|user,default=guest"`
	}
	s := open(store.Options{})
	defer s.Close(ctx)

	_, err := store.Define[User](ctx, s, "users")
	var wrong *store.DefinitionError
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Bucket)
		for _, is := range wrong.Issues {
			fmt.Println("-", is)
		}
	}

	// Output:
	// users
	// - id: its generator does not make values of type int
	// - name: min and max need a number, not string
	// - role: its default must be one of admin, user
}

// An Issue names the field with the path inside of it, and the record by its position
// where there were several.
func ExampleIssue() {
	s := open(store.Options{})
	defer s.Close(ctx)
	b, err := s.DefineBucket(ctx, "people", store.Definition{Key: "name", Schema: store.Schema{
		"name": {Type: store.String},
		"address": {Type: store.Object, Properties: store.Schema{
			"zip": {Type: store.String, Pattern: `^\d{5}$`},
		}},
		"phones": {Type: store.Array, Items: &store.Field{Type: store.String, MinLength: 6}},
	}})
	check(err)

	_, err = b.InsertMany(ctx, []store.Fields{
		{"name": "Ada", "address": map[string]any{"zip": "11000"}},
		{"name": "Bob", "address": map[string]any{"zip": "none"}, "phones": []string{"600123456", "112"}},
	})
	var invalid *store.ValidationError
	if errors.As(err, &invalid) {
		for _, is := range invalid.Issues {
			fmt.Println(is.Field, "|", is.Code, "|", is.Message)
		}
	}

	// Output:
	// [1].address.zip | pattern | does not match the pattern ^\d{5}$
	// [1].phones[1] | minLength | is shorter than 6 characters
}

// Codes are for programs: to say in another language what is wrong, for example. The
// messages are English.
func ExampleCode() {
	czech := map[store.Code]string{
		store.CodeRequired: "chybí",
		store.CodeMin:      "je příliš malé",
		store.CodeUnknown:  "neznámé",
	}
	s := open(store.Options{})
	defer s.Close(ctx)
	b := products(s)

	_, err := b.Insert(ctx, store.Fields{"sku": "L1", "price": -1, "colour": "red"})
	var invalid *store.ValidationError
	if errors.As(err, &invalid) {
		for _, is := range invalid.Issues {
			fmt.Println(is.Field, czech[is.Code])
		}
	}

	// Output:
	// name chybí
	// price je příliš malé
	// colour neznámé
}
