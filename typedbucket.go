package store

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/noex-go/store/internal/table"
)

// TypedBucket is a handle to a bucket whose records are values of the struct T.
// A handle is cheap, and safe for concurrent use. Reads never wait for a writer;
// each sees one committed state.
type TypedBucket[T any] struct {
	home *home
	at   *scope
	c    *codec[T] // of the bucket as it was when the handle was made
}

// codec is how a bucket of the handle's home holds a T.
func (h *TypedBucket[T]) codec(b *bucket) *codec[T] {
	if h.c.sh == b.shape {
		return h.c
	}
	return codecOf[T](b)
}

// Define defines a bucket from the tags of the struct T:
//
//	ID    string `store:"id,key,generated=uuid"`
//	Email string `store:"email,format=email,unique"`
//	Role  string `store:"role,enum=admin|user,default=user,index"`
//	store.Meta   // filled in: version and times
//
// The first word is the field's name ("-" leaves it out, none takes the Go
// name). Options: key, required, unique, omitzero, index, index=name (fields of
// one name form a compound index, in their order), generated=uuid|cuid|
// autoincrement|timestamp, default=, enum=a|b, format=email|url|iso-date, min=,
// max=, minLength=, maxLength=, ref=, and, as the last, pattern=.
//
// A struct in a field, or in the elements of one, becomes [Field.Properties] by its
// own tags, which have the same form, without key, unique, omitzero, index and
// autoincrement; where they give no name, a json tag's or the Go name is taken.
// items.required, items.maxLength= and so on are the rules of the elements of a
// slice. A struct that contains itself may hold anything from there on, and so may the
// values of a map, whose tags count for their names alone.
//
// For required, default, generated and omitzero the zero value counts as absent
// at insert, for required and omitzero at update too; elsewhere a zero is a value.
// A pointer field tells absent (nil) from zero; nil slices and maps are absent too. adjust may change the definition
// before it is used, for what tags cannot say.
//
// Errors: *DefinitionError with everything that is wrong, ErrBucketExists.
func Define[T any](ctx context.Context, s *Store, name string, adjust ...func(*Definition)) (*TypedBucket[T], error) {
	t := reflect.TypeFor[T]()
	info, issues := inspect(t)
	if len(issues) > 0 {
		return nil, &DefinitionError{Bucket: name, Issues: issues}
	}
	def := info.def
	for _, fn := range adjust {
		fn(&def)
	}
	if len(def.Schema) != len(info.fields) {
		return nil, &DefinitionError{Bucket: name, Issues: []Issue{{Code: CodeUnknown, Message: fmt.Sprintf("the fields must be those of %s", t)}}}
	}
	for _, f := range info.fields {
		if want, _ := typeOf(f.typ); def.Schema[f.name].Type != want {
			issues = append(issues, Issue{f.name, CodeType, fmt.Sprintf("must stay a %s, as %s has it", want, t)})
		}
	}
	if len(issues) > 0 {
		return nil, &DefinitionError{Bucket: name, Issues: issues}
	}
	b, err := s.define(ctx, name, def, t, &info)
	if err != nil {
		return nil, err
	}
	h, _, err := typed[T](b)
	return h, err
}

// Typed returns a typed handle to a bucket that is defined already. T's fields
// must be fields of the bucket, of the same types, and the bucket's key and the
// fields that an insert cannot do without must be among them. An update through
// it leaves each field that fn did not change as it is in the bucket, also what
// T shows in another form: an integer as a float, an object without some of its
// fields. Errors: *DefinitionError that names each mismatch, ErrBucketNotDefined.
func Typed[T any](s *Store, name string) (*TypedBucket[T], error) {
	b, err := s.find("bucket", name)
	if err != nil {
		return nil, err
	}
	h, missing, err := typed[T](b)
	if err == nil && len(missing) > 0 {
		err = &DefinitionError{Bucket: name, Issues: missing}
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// typed makes a handle, and says which fields an insert through it would miss.
func typed[T any](b *bucket) (h *TypedBucket[T], missing []Issue, err error) {
	b, issues := b.home.view(reflect.TypeFor[T](), func(sh *shape, d *Definition) []Issue {
		_, issues, _ := newCodec[T](sh, d)
		return issues
	})
	if _, _, missing = newCodec[T](b.shape, &b.def); len(issues) > 0 {
		return nil, nil, &DefinitionError{Bucket: b.name, Issues: append(issues, missing...)}
	}
	return &TypedBucket[T]{home: b.home, c: codecOf[T](b)}, missing, nil
}

// Name returns the bucket's name.
func (h *TypedBucket[T]) Name() string { return h.home.of(h.at).name }

// In binds the handle to a snapshot, whose state it reads, refusing writes; or to
// a transaction, in which it reads and writes.
func (h *TypedBucket[T]) In(r Reader) *TypedBucket[T] {
	return &TypedBucket[T]{h.home, r.bound(), h.c}
}

// Dynamic returns the dynamic handle to the same bucket.
func (h *TypedBucket[T]) Dynamic() *Bucket { return &Bucket{h.home, h.at} }

// Get returns the record with the given key: a string, an integer or a [Key].
// For a T without pointers, slices and maps it does not allocate.
func (h *TypedBucket[T]) Get(key any) (t T, ok bool) {
	b, v := h.home.find(h.at, key)
	if v == nil {
		return t, false
	}
	if b.marks {
		v.MarkRead()
	}
	c := h.codec(b)
	if c.plain() {
		return *(*T)(at(v, b.shape.bodyOff)), true
	}
	return c.value(v), true
}

func (c *codec[T]) prepare(b *bucket, t *T, now time.Time) (*table.Version, error) {
	v, wrong, err := c.bring(t, nil)
	if err != nil {
		return nil, err
	}
	if c.native {
		return v, b.prep.insertStruct(v, now)
	}
	return v, b.prep.complete(v, now, wrong)
}

func (c *codec[T]) prepareNext(b *bucket, t *T, old *table.Version) (*table.Version, error) {
	v, wrong, err := c.bring(t, old)
	if err != nil {
		return nil, err
	}
	if c.native {
		return v, b.prep.updateStruct(v, old)
	}
	return v, b.prep.follow(v, old, wrong)
}

// write has one version written to the bucket, as it is now.
func (h *TypedBucket[T]) write(op string, fn func(b *bucket, c *codec[T]) (*table.Version, error)) (T, error) {
	return writeTo(h.home, h.at, op, func(b *bucket) (t T, err error) {
		c := h.codec(b)
		v, err := fn(b, c)
		if err != nil {
			return t, err
		}
		return c.value(v), nil
	})
}

// Insert adds a record and returns it complete: generated fields, defaults and
// metadata included. An ExpiresAt in its Meta is the record's own deadline. Errors: *ValidationError; *UniqueError if the key or a
// unique value exists already.
func (h *TypedBucket[T]) Insert(ctx context.Context, t T) (T, error) {
	return h.write("insert", func(b *bucket, c *codec[T]) (*table.Version, error) {
		v, err := c.prepare(b, &t, b.store.clock())
		if err == nil {
			err = b.insert(ctx, h.at, v)
		}
		return v, err
	})
}

// InsertMany adds all records in one commit, or none. The issues of a
// *ValidationError name the record by its position: "[2].email".
func (h *TypedBucket[T]) InsertMany(ctx context.Context, records []T) ([]T, error) {
	return writeTo(h.home, h.at, "insert", func(b *bucket) ([]T, error) {
		c := h.codec(b)
		vs, err := b.prepareMany(len(records), func(i int, now time.Time) (*table.Version, error) {
			return c.prepare(b, &records[i], now)
		})
		if err == nil {
			err = b.insertMany(ctx, h.at, vs)
		}
		if err != nil {
			return nil, err
		}
		out := make([]T, len(vs))
		for i, v := range vs {
			out[i] = c.value(v)
		}
		return out, nil
	})
}

// Update changes the record with the given key by fn, atomically: fn gets a
// copy, in this goroutine, and is run again if the record changed meanwhile. The
// key, generated fields and metadata stay what they are. An error or a panic of
// fn (then a *PanicError) changes nothing and is returned. Other errors:
// ErrNotFound, *ValidationError, *UniqueError.
func (h *TypedBucket[T]) Update(ctx context.Context, key any, fn func(*T) error) (T, error) {
	return h.write("update", func(b *bucket, c *codec[T]) (*table.Version, error) {
		return b.update(ctx, h.at, "update", key, func(old *table.Version) (*table.Version, error) {
			t := c.value(old)
			if err := contain(fn, &t); err != nil {
				return nil, err
			}
			return c.prepareNext(b, &t, old)
		})
	})
}

// contain runs a caller's function and turns its panic into an error.
func contain[T any](fn func(*T) error, t *T) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return fn(t)
}

// Patch merges fields into the record with the given key, as [Bucket.Update].
func (h *TypedBucket[T]) Patch(ctx context.Context, key any, fields Fields) (T, error) {
	return h.take(h.Dynamic().Update(ctx, key, fields))
}

// Upsert inserts the record, or, if its key exists, replaces that one's fields;
// generated fields and the time of creation stay.
func (h *TypedBucket[T]) Upsert(ctx context.Context, t T) (T, error) {
	return h.write("upsert", func(b *bucket, c *codec[T]) (*table.Version, error) {
		return b.upsert(ctx, h.at, c.key(&t),
			func() (*table.Version, error) { return c.prepare(b, &t, b.store.clock()) },
			func(old *table.Version) (*table.Version, error) { return c.prepareNext(b, &t, old) })
	})
}

// UpdateMany merges fields into every record that matches all filters, in one
// commit, and returns their number.
func (h *TypedBucket[T]) UpdateMany(ctx context.Context, fields Fields, filters ...Filter) (int, error) {
	return h.Dynamic().UpdateMany(ctx, fields, filters...)
}

// Touch gives the record with the given key a new deadline: the bucket's TTL from
// now. It is an update that changes no field. Errors: ErrNotFound, ErrNoTTL.
func (h *TypedBucket[T]) Touch(ctx context.Context, key any) (T, error) {
	return h.take(h.Dynamic().Touch(ctx, key))
}

// ExpireAt gives the record with the given key a deadline of its own, rounded up
// to 1 ms; the zero time takes it away. It is an update that changes no field.
// Errors: ErrNotFound; *ValidationError for a time that has passed.
func (h *TypedBucket[T]) ExpireAt(ctx context.Context, key any, t time.Time) (T, error) {
	return h.take(h.Dynamic().ExpireAt(ctx, key, t))
}

// take turns what the dynamic handle has written into a T.
func (h *TypedBucket[T]) take(r Record, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return h.codec(shapeOf(r.v).of).value(r.v), nil
}

// Delete removes the record with the given key. Nothing there is no error.
func (h *TypedBucket[T]) Delete(ctx context.Context, key any) error {
	return h.Dynamic().Delete(ctx, key)
}

// DeleteMany removes every record that matches all filters, in one commit, and
// returns their number.
func (h *TypedBucket[T]) DeleteMany(ctx context.Context, filters ...Filter) (int, error) {
	return h.Dynamic().DeleteMany(ctx, filters...)
}

// Clear removes every record in one commit.
func (h *TypedBucket[T]) Clear(ctx context.Context) error { return h.Dynamic().Clear(ctx) }

// Where returns a query for the records that match all filters.
func (h *TypedBucket[T]) Where(filters ...Filter) *Query[T] {
	b := h.home.of(h.at)
	return newQuery(b, h.at, &h.codec(b).dec, filters)
}

// All iterates over the records in the bucket's order: of insertion, or of keys
// if the bucket is defined so. It sees one state from beginning to end, whatever
// is written meanwhile, by the loop's body too.
func (h *TypedBucket[T]) All() iter.Seq[T] { return h.Where().all() }

// FindOne returns the first record that matches all filters.
func (h *TypedBucket[T]) FindOne(filters ...Filter) (t T, ok bool, err error) {
	b, v, err := h.home.findOne(h.at, filters)
	if v == nil {
		return t, false, err
	}
	return h.codec(b).value(v), true, nil
}

// Count returns the number of records that match all filters.
func (h *TypedBucket[T]) Count(filters ...Filter) (int, error) {
	return h.home.count(h.at, filters)
}

// First returns the first n records of the bucket's order.
func (h *TypedBucket[T]) First(n int) ([]T, error) { return h.Where().some(n, false) }

// Last returns the last n records, in the bucket's order.
func (h *TypedBucket[T]) Last(n int) ([]T, error) { return h.Where().some(n, true) }

// OrderBy returns a query for all records in the order of the given fields.
func (h *TypedBucket[T]) OrderBy(order ...Order) *Query[T] { return h.Where().OrderBy(order...) }

// Paginate returns the next opt.Limit records of the bucket's order behind a key,
// or behind an earlier page. Errors: as [Query.Page]; ErrNotFound.
func (h *TypedBucket[T]) Paginate(opt PageOptions) (Page[T], error) { return paginate(h.Where(), opt) }

// Sum returns the sum of a field over all records; see [Query.Sum].
func (h *TypedBucket[T]) Sum(field string) (float64, error) { return h.Where().Sum(field) }

// Avg returns the mean of a field over all records; see [Query.Avg].
func (h *TypedBucket[T]) Avg(field string) (float64, error) { return h.Where().Avg(field) }

// Min returns the least value of a field over all records; see [Query.Min].
func (h *TypedBucket[T]) Min(field string) (any, bool, error) { return h.Where().Min(field) }

// Max returns the greatest value of a field over all records; see [Query.Min].
func (h *TypedBucket[T]) Max(field string) (any, bool, error) { return h.Where().Max(field) }

// GroupBy groups all records by the values of fields; see [Query.GroupBy].
func (h *TypedBucket[T]) GroupBy(fields ...string) *Grouping[T] { return h.Where().GroupBy(fields...) }
