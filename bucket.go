package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/noex-go/store/internal/table"
)

// bucket is what a name stands for: the shape of its records, their table, and
// the server that writes it. Handles, dynamic and typed, share it.
type bucket struct {
	id      uint32 // of the name, for topics
	name    string
	store   *Store
	def     Definition
	shape   *shape
	table   *table.Table
	server  *server
	prep    preparer
	dropped atomic.Bool
}

// errStale tells a writer that what it had read has changed meanwhile.
var errStale = errors.New("the record changed meanwhile")

func newBucket(st *Store, id uint32, name string, def Definition, sh *shape) *bucket {
	b := &bucket{id: id, name: name, store: st, def: def, shape: sh}
	specs := make([]table.IndexSpec, len(sh.indexes))
	for i := range sh.indexes {
		specs[i] = sh.indexes[i].spec
	}
	b.table = table.New(table.Config{
		Key:     table.KeySpec{Text: sh.textKey(), Off: sh.slots[sh.key].off},
		Indexes: specs,
		Pins:    st.pins,
	})
	b.prep = preparer{sh: sh, clock: st.clock, auto: make([]atomic.Int64, len(sh.slots))}
	b.server = newServer(b)
	return b
}

func (sh *shape) textKey() bool { return sh.keyText }

// gone is the error of a bucket that takes no more requests.
func (b *bucket) gone() error {
	if b.dropped.Load() {
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
		r.free()
		return 0, err
	}
	if !b.server.do(ctx, r) {
		return 0, ctx.Err()
	}
	count, err = r.count, r.err
	r.free()
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
func (b *bucket) get(at *Snapshot, key any) *table.Version {
	if b.dropped.Load() {
		return nil
	}
	if at == nil {
		return b.lookup(key)
	}
	at.use(b.store)
	text, word, ok := b.shape.keyArg(key)
	if !ok {
		return nil
	}
	if b.shape.textKey() {
		return b.table.At(at.pin.Seq).GetText(text)
	}
	return b.table.At(at.pin.Seq).GetWord(word)
}

// ---- writes, the same for dynamic and typed handles

func (b *bucket) writable(op string, at *Snapshot) error {
	switch {
	case at != nil:
		return b.fail(op, Key{}, ErrReadOnly)
	case b.dropped.Load():
		return b.fail(op, Key{}, ErrBucketNotDefined)
	case b.store.closed.Load():
		return b.fail(op, Key{}, ErrClosed)
	}
	return nil
}

func (b *bucket) insert(ctx context.Context, v *table.Version) error {
	r := newRequest()
	r.op, r.v = opInsert, v
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("insert", b.shape.keyOf(v), err)
	}
	return nil
}

func (b *bucket) insertMany(ctx context.Context, vs []*table.Version) error {
	if len(vs) == 0 {
		return nil
	}
	r := newRequest()
	r.inserts = vs
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("insert", Key{}, err)
	}
	return nil
}

// update replaces the version of a key by what next makes of it, as often as it
// takes to find it unchanged. next runs in the caller's goroutine.
func (b *bucket) update(ctx context.Context, op string, key any, next func(old *table.Version) (*table.Version, error)) (*table.Version, error) {
	for {
		old := b.lookup(key)
		if old == nil {
			return nil, b.fail(op, b.keyOf(key), ErrNotFound)
		}
		v, err := next(old)
		if err != nil {
			return nil, b.fail(op, b.keyOf(key), err)
		}
		r := newRequest()
		r.step = b.updateStep(old, v)
		_, err = b.submit(ctx, r)
		if err == nil {
			return v, nil
		}
		if err != errStale {
			return nil, b.fail(op, b.keyOf(key), err)
		}
		runtime.Gosched()
	}
}

func (b *bucket) updateStep(old, v *table.Version) step {
	return step{op: opUpdate, v: v, expect: old, touched: b.shape.touched(old, v)}
}

func (b *bucket) keyOf(key any) Key {
	text, word, ok := b.shape.keyArg(key)
	switch {
	case !ok:
		return Key{}
	case b.shape.textKey():
		return StringKey(text)
	}
	return IntKey(word)
}

func (b *bucket) delete(ctx context.Context, key any) error {
	text, word, ok := b.shape.keyArg(key)
	if !ok {
		return nil // there is no record with a key of another type
	}
	r := newRequest()
	r.op, r.text, r.word = opDelete, text, word
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("delete", b.keyOf(key), err)
	}
	return nil
}

func (b *bucket) clear(ctx context.Context) error {
	r := newRequest()
	r.op = opClear
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("clear", Key{}, err)
	}
	return nil
}

// optimistic is how often a write over a query is tried beside other writers
// before it becomes the writer itself.
const optimistic = 4

// writeMany changes all records that match, in one commit and as if at one
// moment: it is tried anew if any commit touched the bucket between reading and
// writing. plan makes the step for a record.
func (b *bucket) writeMany(ctx context.Context, op string, filters []Filter, plan func(old *table.Version) (step, error)) (int, error) {
	p, err := b.compile(filters)
	if err != nil {
		return 0, err
	}
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return 0, b.fail(op, Key{}, err)
		}
		n, err := b.tryMany(ctx, &p, try > optimistic, plan)
		if err == nil {
			return n, nil
		}
		if err != errStale {
			return 0, b.fail(op, Key{}, err)
		}
	}
}

// tryMany is one attempt of writeMany, if need be as the bucket's writer from
// reading to writing.
func (b *bucket) tryMany(ctx context.Context, p *plan, exclusive bool, plan func(old *table.Version) (step, error)) (int, error) {
	if exclusive {
		b.server.borrow()
		defer b.server.mu.Unlock()
	}
	r := newRequest()
	var err error
	func() {
		pin := b.store.pins.Acquire()
		defer b.release(pin)
		r.since = pin.Seq + 1
		p.each(b.table.At(pin.Seq), func(v *table.Version) bool {
			var st step
			if st, err = plan(v); err == nil {
				r.many = append(r.many, st)
			}
			return err == nil
		})
	}()
	switch {
	case err != nil || len(r.many) == 0:
		r.free()
		return 0, err
	case exclusive:
		b.server.run([]*request{r})
		n, err := r.count, r.err
		r.free()
		return n, err
	}
	return b.submit(ctx, r)
}

func (b *bucket) updateMany(ctx context.Context, fields Fields, filters []Filter) (int, error) {
	now := b.store.clock() // user code: not in the writer's time
	return b.writeMany(ctx, "update", filters, func(old *table.Version) (step, error) {
		v, err := b.prep.merge(old, fields, now)
		if err != nil {
			return step{}, err
		}
		return b.updateStep(old, v), nil
	})
}

func (b *bucket) deleteMany(ctx context.Context, filters []Filter) (int, error) {
	return b.writeMany(ctx, "delete", filters, func(old *table.Version) (step, error) {
		k := b.shape.keyOf(old)
		return step{op: opRemove, expect: old, text: k.text, word: k.word}, nil
	})
}

// prefixIssues says which of several records an issue belongs to.
func prefixIssues(all *[]Issue, i int, err error) error {
	var ve *ValidationError
	if !errors.As(err, &ve) {
		return err
	}
	for _, is := range ve.Issues {
		is.Field = fmt.Sprintf("[%d].%s", i, is.Field)
		*all = append(*all, is)
	}
	return nil
}

// prepareMany prepares the records of an InsertMany; the error lists the issues
// of all of them.
func (b *bucket) prepareMany(n int, prepare func(i int, now time.Time) (*table.Version, error)) ([]*table.Version, error) {
	vs := make([]*table.Version, n)
	now := b.store.clock()
	var issues []Issue
	for i := range n {
		v, err := prepare(i, now)
		if err != nil {
			if err := prefixIssues(&issues, i, err); err != nil {
				return nil, b.fail("insert", Key{}, err)
			}
		}
		vs[i] = v
	}
	if len(issues) > 0 {
		return nil, &ValidationError{Bucket: b.name, Issues: issues}
	}
	return vs, nil
}

// ---- the dynamic handle

// Bucket is a handle to a bucket whose records are [Record] values: fields by
// name, as the schema has them at run time. A handle is cheap, and safe for
// concurrent use. Reads take no lock and wait for nobody; each sees one
// committed state.
type Bucket struct {
	b  *bucket
	at *Snapshot // nil: the newest state
}

// Name returns the bucket's name.
func (h *Bucket) Name() string { return h.b.name }

// In binds the handle to a snapshot: it reads that state and refuses writes.
func (h *Bucket) In(s *Snapshot) *Bucket { return &Bucket{h.b, s} }

func (h *Bucket) record(v *table.Version) Record { return Record{h.b.shape, v} }

func (h *Bucket) records(vs []*table.Version) []Record {
	out := make([]Record, len(vs))
	for i, v := range vs {
		out[i] = h.record(v)
	}
	return out
}

// Get returns the record with the given key: a string, an integer or a [Key].
func (h *Bucket) Get(key any) (Record, bool) {
	v := h.b.get(h.at, key)
	return h.record(v), v != nil
}

// Insert adds a record and returns it complete: generated fields, defaults and
// metadata included. Errors: *ValidationError; *UniqueError if the key or a
// unique value exists already.
func (h *Bucket) Insert(ctx context.Context, fields Fields) (Record, error) {
	if err := h.b.writable("insert", h.at); err != nil {
		return Record{}, err
	}
	v, err := h.b.prep.insertFields(fields, h.b.store.clock())
	if err == nil {
		err = h.b.insert(ctx, v)
	}
	if err != nil {
		return Record{}, err
	}
	return h.record(v), nil
}

// InsertMany adds all records in one commit, or none. The issues of a
// *ValidationError name the record by its position: "[2].email".
func (h *Bucket) InsertMany(ctx context.Context, records []Fields) ([]Record, error) {
	if err := h.b.writable("insert", h.at); err != nil {
		return nil, err
	}
	vs, err := h.b.prepareMany(len(records), func(i int, now time.Time) (*table.Version, error) {
		return h.b.prep.insertFields(records[i], now)
	})
	if err == nil {
		err = h.b.insertMany(ctx, vs)
	}
	if err != nil {
		return nil, err
	}
	return h.records(vs), nil
}

// Update merges fields into the record with the given key; nil makes a field
// absent. The key, generated fields and metadata in the input are ignored.
// Errors: ErrNotFound, *ValidationError, *UniqueError.
func (h *Bucket) Update(ctx context.Context, key any, fields Fields) (Record, error) {
	if err := h.b.writable("update", h.at); err != nil {
		return Record{}, err
	}
	v, err := h.b.update(ctx, "update", key, func(old *table.Version) (*table.Version, error) {
		return h.b.prep.merge(old, fields, h.b.store.clock())
	})
	if err != nil {
		return Record{}, err
	}
	return h.record(v), nil
}

// Patch is Update, under the name that it has in a typed bucket.
func (h *Bucket) Patch(ctx context.Context, key any, fields Fields) (Record, error) {
	return h.Update(ctx, key, fields)
}

// Upsert inserts the record, or, if its key exists, merges fields into that one.
func (h *Bucket) Upsert(ctx context.Context, fields Fields) (Record, error) {
	if err := h.b.writable("upsert", h.at); err != nil {
		return Record{}, err
	}
	// In the form that an insert gives it; if it has none, the insert says why.
	key, _ := h.b.shape.lim.convert(h.b.shape.slots[h.b.shape.key].typ, fields[h.b.def.Key])
	v, err := h.b.upsert(ctx, key,
		func() (*table.Version, error) { return h.b.prep.insertFields(fields, h.b.store.clock()) },
		func(old *table.Version) (*table.Version, error) {
			return h.b.prep.merge(old, fields, h.b.store.clock())
		})
	if err != nil {
		return Record{}, err
	}
	return h.record(v), nil
}

// upsert inserts or updates, whichever the key asks for when it is written.
func (b *bucket) upsert(ctx context.Context, key any, fresh func() (*table.Version, error), next func(*table.Version) (*table.Version, error)) (*table.Version, error) {
	for {
		if key != nil && b.lookup(key) != nil {
			v, err := b.update(ctx, "upsert", key, next)
			if errors.Is(err, ErrNotFound) {
				continue // deleted meanwhile
			}
			return v, err
		}
		v, err := fresh()
		if err != nil {
			return nil, err
		}
		err = b.insert(ctx, v)
		var dup *UniqueError
		if errors.As(err, &dup) && dup.Field == b.def.Key && key != nil {
			continue // inserted meanwhile
		}
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

// UpdateMany merges fields into every record that matches all filters, in one
// commit, and returns their number.
func (h *Bucket) UpdateMany(ctx context.Context, fields Fields, filters ...Filter) (int, error) {
	if err := h.b.writable("update", h.at); err != nil {
		return 0, err
	}
	return h.b.updateMany(ctx, fields, filters)
}

// Delete removes the record with the given key. Nothing there is no error.
func (h *Bucket) Delete(ctx context.Context, key any) error {
	if err := h.b.writable("delete", h.at); err != nil {
		return err
	}
	return h.b.delete(ctx, key)
}

// DeleteMany removes every record that matches all filters, in one commit, and
// returns their number.
func (h *Bucket) DeleteMany(ctx context.Context, filters ...Filter) (int, error) {
	if err := h.b.writable("delete", h.at); err != nil {
		return 0, err
	}
	return h.b.deleteMany(ctx, filters)
}

// Clear removes every record in one commit.
func (h *Bucket) Clear(ctx context.Context) error {
	if err := h.b.writable("clear", h.at); err != nil {
		return err
	}
	return h.b.clear(ctx)
}

// Where returns a query for the records that match all filters.
func (h *Bucket) Where(filters ...Filter) *Query[Record] {
	return newQuery(h.b, h.at, decoder[Record]{make: h.record}, filters)
}

// All iterates over the records in the bucket's order: of insertion, or of keys
// if the bucket is defined so. It sees one state from beginning to end, whatever
// is written meanwhile, by the loop's body too.
func (h *Bucket) All() iter.Seq[Record] { return h.Where().all() }

// FindOne returns the first record that matches all filters.
func (h *Bucket) FindOne(filters ...Filter) (Record, bool, error) { return h.Where(filters...).First() }

// Count returns the number of records that match all filters.
func (h *Bucket) Count(filters ...Filter) (int, error) { return h.b.count(h.at, filters) }

// First returns the first n records of the bucket's order.
func (h *Bucket) First(n int) ([]Record, error) { return h.Where().some(n, false) }

// Last returns the last n records, in the bucket's order.
func (h *Bucket) Last(n int) ([]Record, error) { return h.Where().some(n, true) }
