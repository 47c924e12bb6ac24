package store

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store/internal/table"
)

// bucket is what a name stands for: the shape of its records, their table, and
// the server that writes it. Handles, dynamic and typed, share it.
//
// AlterBucket puts another bucket in its place: see home.
type bucket struct {
	home    *home
	since   uint64                 // the sequence from which on it is the one
	before  atomic.Pointer[bucket] // whose place it took, while a snapshot may show that
	codecs  sync.Map               // of *codec[T], by the type T
	id      uint32                 // of the name, for topics
	serial  uint64                 // of this very bucket: the order in which transactions lock
	name    string
	store   *Store
	def     Definition
	shape   *shape
	table   *table.Table
	server  *server
	prep    preparer
	marks   bool        // it notes which records are read
	info    *structInfo // of the struct that is its body; nil: none is
	dropped atomic.Bool
	ending  atomic.Bool // about to be dropped: it takes no more writes
	// altering: another one takes its place. A transaction that used it cannot be
	// checked any more, and is in conflict.
	altering atomic.Bool
	log      bucketLog
	room     room
	eviction *eviction     // nil: the bucket has no bounds
	places   atomic.Uint64 // the place of the next record, as far as the log knows
	answers  sync.Pool     // of *exec, see exec.end
}

// errStale tells a writer that what it had read has changed meanwhile.
var errStale = errors.New("the record changed meanwhile")

func newBucket(st *Store, id uint32, name string, def Definition, sh *shape) *bucket {
	b := &bucket{id: id, name: name, store: st, def: def, shape: sh, marks: def.Evict == LeastRead}
	sh.of = b
	specs := make([]table.IndexSpec, len(sh.indexes))
	for i := range sh.indexes {
		specs[i] = sh.indexes[i].spec
	}
	b.table = table.New(table.Config{
		Key:     table.KeySpec{Text: sh.textKey(), Off: sh.slots[sh.key].off},
		Indexes: specs,
		Pins:    st.pins,
	})
	b.prep = preparer{sh: sh, clock: st.clock, timed: st.startTTL, auto: make([]atomic.Int64, len(sh.slots))}
	b.server = newServer(b)
	b.eviction = newEviction(b)
	return b
}

func (sh *shape) textKey() bool { return sh.keyText }

// gone is the error of a bucket that takes no more requests.
func (b *bucket) gone() error {
	if b.home.now.Load() != b {
		return errMoved
	}
	if log := b.store.log; log != nil && log.failure() != nil {
		return log.failure()
	}
	if b.ending.Load() {
		return ErrBucketNotDefined
	}
	return ErrClosed
}

// fail adds operation and bucket to an error, unless it names them itself.
func (b *bucket) fail(op string, key Key, err error) error {
	switch err.(type) {
	case *ValidationError, *UniqueError, *QueryError, *Error:
		return err
	}
	return &Error{Op: op, Bucket: b.name, Key: key, Err: err}
}

// conflict turns what the table refused into an error.
func (b *bucket) conflict(c table.Conflict, v *table.Version) error {
	switch c {
	case table.NoConflict:
		return nil
	case table.KeyConflict:
		s := &b.shape.slots[b.shape.key]
		return &UniqueError{Bucket: b.name, Field: s.name, Value: s.get(v)}
	case table.Full:
		return ErrFull
	}
	s := &b.shape.slots[b.shape.indexes[c].fields[0]]
	return &UniqueError{Bucket: b.name, Field: s.name, Value: s.get(v)}
}

// submit has a request carried out and frees it.
func (b *bucket) submit(ctx context.Context, r *request) (count int, err error) {
	if err := ctx.Err(); err != nil {
		b.server.free(r)
		return 0, err
	}
	if !b.server.do(ctx, r) {
		return 0, ctx.Err()
	}
	count, err = r.count, r.err
	b.server.free(r)
	return count, err
}

// lookup finds the newest published version of a key as a caller passed it.
func (b *bucket) lookup(key any) *table.Version {
	text, word, ok := b.shape.keyArg(key)
	if !ok {
		return nil
	}
	if b.shape.textKey() {
		return b.table.GetText(text)
	}
	return b.table.GetWord(word)
}

// get is lookup at a snapshot, or now if there is none.
func (b *bucket) get(at *scope, key any) *table.Version {
	if b.dropped.Load() {
		return nil
	}
	if at == nil {
		return b.lookup(key)
	}
	at.use(b.store)
	defer at.leave()
	text, word, ok := b.shape.keyArg(key)
	switch {
	case !ok:
		return nil
	case at.tx != nil:
		return at.tx.get(b, b.keyOf(key))
	case at.qc != nil:
		at.qc.reads(b).note(b.keyOf(key))
	}
	return b.byKey(b.table.At(at.pin.Seq), text, word)
}

// byKey finds what a view sees under a key.
func (b *bucket) byKey(view table.View, text string, word int64) (v *table.Version) {
	if b.shape.textKey() {
		v, _ = view.GetText(text)
	} else {
		v, _ = view.GetWord(word)
	}
	return v
}

// Bucket is a handle to a bucket whose records are [Record] values: fields by
// name, as the schema has them at run time. A handle is cheap, and safe for
// concurrent use. Reads never wait for a writer; each sees one
// committed state.
type Bucket struct {
	home *home
	at   *scope // nil: the newest state
}

func (h *Bucket) use() *bucket { return h.home.of(h.at) }

// Name returns the bucket's name.
func (h *Bucket) Name() string { return h.use().name }

// In binds the handle to a snapshot, whose state it reads, refusing writes; or to
// a transaction, in which it reads and writes.
func (h *Bucket) In(r Reader) *Bucket { return &Bucket{h.home, r.bound()} }

func (h *Bucket) record(v *table.Version) Record { return Record{v} }

func (h *Bucket) records(vs []*table.Version) []Record {
	out := make([]Record, len(vs))
	copy(versions(out), vs)
	return out
}

// Get returns the record with the given key: a string, an integer or a [Key].
func (h *Bucket) Get(key any) (Record, bool) {
	b, v := h.home.find(h.at, key)
	if v != nil && b.marks {
		v.MarkRead()
	}
	return h.record(v), v != nil
}

// write has one version written to the bucket, as it is now.
func (h *Bucket) write(op string, fn func(b *bucket) (*table.Version, error)) (Record, error) {
	v, err := writeTo(h.home, h.at, op, fn)
	if err != nil {
		return Record{}, err
	}
	return h.record(v), nil
}

// Insert adds a record and returns it complete: generated fields, defaults and
// metadata included. A field _expiresAt is the record's own deadline: a time.Time,
// or what else a Date takes. Errors: *ValidationError; *UniqueError if the key or a
// unique value exists already.
func (h *Bucket) Insert(ctx context.Context, fields Fields) (Record, error) {
	return h.write("insert", func(b *bucket) (*table.Version, error) {
		v, err := b.prep.insertFields(fields, b.store.clock())
		if err == nil {
			err = b.insert(ctx, h.at, v)
		}
		return v, err
	})
}

// InsertMany adds all records in one commit, or none. The issues of a
// *ValidationError name the record by its position: "[2].email".
func (h *Bucket) InsertMany(ctx context.Context, records []Fields) ([]Record, error) {
	return writeTo(h.home, h.at, "insert", func(b *bucket) ([]Record, error) {
		vs, err := b.prepareMany(len(records), func(i int, now time.Time) (*table.Version, error) {
			return b.prep.insertFields(records[i], now)
		})
		if err == nil {
			err = b.insertMany(ctx, h.at, vs)
		}
		if err != nil {
			return nil, err
		}
		return h.records(vs), nil
	})
}

// Update merges fields into the record with the given key; nil makes a field
// absent. The key, generated fields and metadata in the input are ignored.
// Errors: ErrNotFound, *ValidationError, *UniqueError.
func (h *Bucket) Update(ctx context.Context, key any, fields Fields) (Record, error) {
	return h.write("update", func(b *bucket) (*table.Version, error) {
		return b.update(ctx, h.at, "update", key, func(old *table.Version) (*table.Version, error) {
			return b.prep.merge(old, fields, b.store.clock())
		})
	})
}

// Patch is Update, under the name that it has in a typed bucket.
func (h *Bucket) Patch(ctx context.Context, key any, fields Fields) (Record, error) {
	return h.Update(ctx, key, fields)
}

// Upsert inserts the record, or, if its key exists, merges fields into that one.
func (h *Bucket) Upsert(ctx context.Context, fields Fields) (Record, error) {
	return h.write("upsert", func(b *bucket) (*table.Version, error) {
		// In the form that an insert gives it; if it has none, the insert says why.
		key, _ := b.shape.lim.convert(b.shape.slots[b.shape.key].typ, fields[b.def.Key])
		return b.upsert(ctx, h.at, key,
			func() (*table.Version, error) { return b.prep.insertFields(fields, b.store.clock()) },
			func(old *table.Version) (*table.Version, error) {
				return b.prep.merge(old, fields, b.store.clock())
			})
	})
}

// UpdateMany merges fields into every record that matches all filters, in one
// commit, and returns their number.
func (h *Bucket) UpdateMany(ctx context.Context, fields Fields, filters ...Filter) (int, error) {
	return writeTo(h.home, h.at, "update", func(b *bucket) (int, error) {
		return b.updateMany(ctx, h.at, fields, filters)
	})
}

// Touch gives the record with the given key a new deadline: the bucket's TTL from
// now. It is an update that changes no field. Errors: ErrNotFound, ErrNoTTL.
func (h *Bucket) Touch(ctx context.Context, key any) (Record, error) {
	return h.write("touch", func(b *bucket) (*table.Version, error) { return b.touch(ctx, h.at, "touch", key, nil) })
}

// ExpireAt gives the record with the given key a deadline of its own, rounded up
// to 1 ms; the zero time takes it away. It is an update that changes no field.
// Errors: ErrNotFound; *ValidationError for a time that has passed.
func (h *Bucket) ExpireAt(ctx context.Context, key any, t time.Time) (Record, error) {
	return h.write("expire", func(b *bucket) (*table.Version, error) { return b.touch(ctx, h.at, "expire", key, &t) })
}

// Delete removes the record with the given key. Nothing there is no error.
func (h *Bucket) Delete(ctx context.Context, key any) error {
	_, err := writeTo(h.home, h.at, "delete", func(b *bucket) (struct{}, error) {
		return struct{}{}, b.delete(ctx, h.at, key)
	})
	return err
}

// DeleteMany removes every record that matches all filters, in one commit, and
// returns their number.
func (h *Bucket) DeleteMany(ctx context.Context, filters ...Filter) (int, error) {
	return writeTo(h.home, h.at, "delete", func(b *bucket) (int, error) { return b.deleteMany(ctx, h.at, filters) })
}

// Clear removes every record in one commit.
func (h *Bucket) Clear(ctx context.Context) error {
	_, err := writeTo(h.home, h.at, "clear", func(b *bucket) (struct{}, error) { return struct{}{}, b.clear(ctx, h.at) })
	return err
}

// Where returns a query for the records that match all filters.
func (h *Bucket) Where(filters ...Filter) *Query[Record] {
	return newQuery(h.use(), h.at, &recordDecoder, filters)
}

// All iterates over the records in the bucket's order: of insertion, or of keys
// if the bucket is defined so. It sees one state from beginning to end, whatever
// is written meanwhile, by the loop's body too.
func (h *Bucket) All() iter.Seq[Record] { return h.Where().all() }

// FindOne returns the first record that matches all filters.
func (h *Bucket) FindOne(filters ...Filter) (Record, bool, error) {
	_, v, err := h.home.findOne(h.at, filters)
	if v == nil {
		return Record{}, false, err
	}
	return h.record(v), true, nil
}

// Count returns the number of records that match all filters.
func (h *Bucket) Count(filters ...Filter) (int, error) { return h.home.count(h.at, filters) }

// First returns the first n records of the bucket's order.
func (h *Bucket) First(n int) ([]Record, error) { return h.Where().some(n, false) }

// Last returns the last n records, in the bucket's order.
func (h *Bucket) Last(n int) ([]Record, error) { return h.Where().some(n, true) }

// OrderBy returns a query for all records in the order of the given fields.
func (h *Bucket) OrderBy(order ...Order) *Query[Record] { return h.Where().OrderBy(order...) }

// Paginate returns the next opt.Limit records of the bucket's order behind a key,
// or behind an earlier page. Errors: as [Query.Page]; ErrNotFound.
func (h *Bucket) Paginate(opt PageOptions) (Page[Record], error) { return paginate(h.Where(), opt) }

// Sum returns the sum of a field over all records; see [Query.Sum].
func (h *Bucket) Sum(field string) (float64, error) { return h.Where().Sum(field) }

// Avg returns the mean of a field over all records; see [Query.Avg].
func (h *Bucket) Avg(field string) (float64, error) { return h.Where().Avg(field) }

// Min returns the least value of a field over all records; see [Query.Min].
func (h *Bucket) Min(field string) (any, bool, error) { return h.Where().Min(field) }

// Max returns the greatest value of a field over all records; see [Query.Min].
func (h *Bucket) Max(field string) (any, bool, error) { return h.Where().Max(field) }

// GroupBy groups all records by the values of fields; see [Query.GroupBy].
func (h *Bucket) GroupBy(fields ...string) *Grouping[Record] { return h.Where().GroupBy(fields...) }
