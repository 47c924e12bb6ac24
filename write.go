package store

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/noex-go/store/internal/table"
)

// Writes as dynamic and typed handles share them: from prepared records to
// requests of the bucket's server, or to the write set of the transaction that
// the handle is bound to.

func (b *bucket) writable(op string, at *scope) error {
	switch {
	case at != nil && at.store != b.store:
		return b.fail(op, Key{}, errOtherStore)
	case at != nil && (at.tx == nil || at.fn != nil):
		return b.fail(op, Key{}, ErrReadOnly)
	case at != nil && at.closed.Load():
		return b.fail(op, Key{}, ErrTxDone)
	case b.dropped.Load():
		return b.fail(op, Key{}, ErrBucketNotDefined)
	case b.store.closed.Load():
		return b.fail(op, Key{}, ErrClosed)
	}
	return nil
}

func (b *bucket) insert(ctx context.Context, at *scope, v *table.Version) error {
	if at != nil {
		return at.tx.insert(b, v)
	}
	r := b.server.newRequest()
	r.op, r.v = opInsert, v
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("insert", b.shape.keyOf(v), err)
	}
	return nil
}

func (b *bucket) insertMany(ctx context.Context, at *scope, vs []*table.Version) error {
	if len(vs) == 0 {
		return nil
	}
	if at != nil {
		return at.tx.insert(b, vs...)
	}
	r := b.server.newRequest()
	r.inserts = vs
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("insert", Key{}, err)
	}
	return nil
}

// update replaces the version of a key by what next makes of it, as often as it
// takes to find it unchanged. next runs in the caller's goroutine.
func (b *bucket) update(ctx context.Context, at *scope, op string, key any, next func(old *table.Version) (*table.Version, error)) (*table.Version, error) {
	if at != nil {
		return at.tx.update(b, op, key, next)
	}
	for {
		old := b.lookup(key)
		if old == nil && !b.current() {
			return nil, errMoved
		}
		if old == nil {
			return nil, b.fail(op, b.keyOf(key), ErrNotFound)
		}
		v, err := next(old)
		if err != nil {
			return nil, b.fail(op, b.keyOf(key), err)
		}
		r := b.server.newRequest()
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

func (b *bucket) delete(ctx context.Context, at *scope, key any) error {
	text, word, ok := b.shape.keyArg(key)
	if !ok {
		return nil // there is no record with a key of another type
	}
	if at != nil {
		return at.tx.delete(b, b.keyOf(key))
	}
	r := b.server.newRequest()
	r.op, r.text, r.word = opDelete, text, word
	if _, err := b.submit(ctx, r); err != nil {
		return b.fail("delete", b.keyOf(key), err)
	}
	return nil
}

func (b *bucket) clear(ctx context.Context, at *scope) error {
	if at != nil {
		_, err := at.tx.writeMany(b, "clear", nil, nil)
		return err
	}
	r := b.server.newRequest()
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
// writing. next makes the step for a record. The last resort is to become the
// writer for as long as it takes; but where next calls functions of the user's it
// gives up with errStale.
func (b *bucket) writeMany(ctx context.Context, op string, filters []Filter, calls bool, next func(old *table.Version) (step, error)) (int, error) {
	var p plan
	if err := b.compile(&p, filters, nil); err != nil {
		return 0, err
	}
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return 0, b.fail(op, Key{}, err)
		}
		n, err := b.tryMany(ctx, &p, try > optimistic && !calls, next)
		if err == errStale && try == optimistic && calls {
			return 0, err
		}
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
func (b *bucket) tryMany(ctx context.Context, p *plan, exclusive bool, next func(old *table.Version) (step, error)) (int, error) {
	if exclusive {
		b.server.borrow()
		defer b.server.mu.Unlock()
	}
	r := b.server.newRequest()
	var err error
	func() {
		l := b.acquire()
		defer b.release(l)
		if !b.current() {
			err = errMoved
			return
		}
		r.since = l.pin.Seq + 1
		x := b.lend()
		defer x.end()
		x.p, x.view = p, b.table.At(l.pin.Seq)
		x.begin(false, 0, -1)
		for batch := x.next(); len(batch) > 0 && err == nil; batch = x.next() {
			for _, v := range batch {
				var st step
				if st, err = next(v); err != nil {
					return
				}
				r.many = append(r.many, st)
			}
		}
	}()
	switch {
	case err != nil || len(r.many) == 0:
		b.server.free(r)
		return 0, err
	case exclusive:
		b.server.run([]*request{r})
		n, err := r.count, r.err
		b.server.free(r)
		return n, err
	}
	return b.submit(ctx, r)
}

func (b *bucket) updateMany(ctx context.Context, at *scope, fields Fields, filters []Filter) (int, error) {
	now := b.store.clock() // user code: not in the writer's time
	if at != nil {
		return at.tx.writeMany(b, "update", filters, func(old *table.Version) (*table.Version, error) {
			return b.prep.merge(old, fields, now)
		})
	}
	n, err := b.writeMany(ctx, "update", filters, b.shape.calls, func(old *table.Version) (step, error) {
		v, err := b.prep.merge(old, fields, now)
		if err != nil {
			return step{}, err
		}
		return b.updateStep(old, v), nil
	})
	if err == errStale {
		return b.updateTogether(ctx, fields, filters)
	}
	return n, err
}

// updateTogether is updateMany as a transaction, which holds nothing while functions
// of the user's run, and minds only the commits that concern it.
func (b *bucket) updateTogether(ctx context.Context, fields Fields, filters []Filter) (int, error) {
	for try := 0; ; try++ {
		n, err := InTransaction(ctx, b.store, func(tx *Tx) (int, error) {
			if b.home.of(&tx.scope) != b { // its records have another shape
				return 0, errMoved
			}
			return b.updateMany(ctx, &tx.scope, fields, filters)
		})
		if _, conflict := err.(*ConflictError); !conflict { // of this commit: what a validator returns is no reason to go on
			return n, err
		}
		if err := pause(ctx, try); err != nil {
			return 0, b.fail("update", Key{}, err)
		}
	}
}

func (b *bucket) deleteMany(ctx context.Context, at *scope, filters []Filter) (int, error) {
	if at != nil {
		return at.tx.writeMany(b, "delete", filters, nil)
	}
	return b.writeMany(ctx, "delete", filters, false, func(old *table.Version) (step, error) {
		k := b.shape.keyOf(old)
		return step{op: opRemove, expect: old, text: k.text, word: k.word}, nil
	})
}

// note adds what is wrong with one of several records. Any other error is returned.
func (e *ValidationError) note(i int, err error) error {
	ve, ok := err.(*ValidationError)
	if !ok {
		return err
	}
	for _, is := range ve.Issues {
		if is.Field != "" { // else it is about the record
			is.Field = "." + is.Field
		}
		is.Field = element(i) + is.Field
		e.Issues = append(e.Issues, is)
	}
	e.causes = append(e.causes, ve.causes...)
	return nil
}

// prepareMany prepares the records of an InsertMany; the error lists the issues
// of all of them.
func (b *bucket) prepareMany(n int, prepare func(i int, now time.Time) (*table.Version, error)) ([]*table.Version, error) {
	vs := make([]*table.Version, n)
	now := b.store.clock()
	wrong := &ValidationError{Bucket: b.name}
	for i := range n {
		v, err := prepare(i, now)
		if err != nil {
			if err := wrong.note(i, err); err != nil {
				return nil, b.fail("insert", Key{}, err)
			}
		}
		vs[i] = v
	}
	if len(wrong.Issues) > 0 {
		return nil, wrong
	}
	return vs, nil
}

// upsert inserts or updates, whichever the key asks for when it is written.
func (b *bucket) upsert(ctx context.Context, at *scope, key any, fresh func() (*table.Version, error), next func(*table.Version) (*table.Version, error)) (*table.Version, error) {
	for {
		if key != nil && b.get(at, key) != nil {
			v, err := b.update(ctx, at, "upsert", key, next)
			if e, ok := err.(*Error); ok && e.Err == ErrNotFound { // not one that a validator has met
				continue // deleted meanwhile
			}
			return v, err
		}
		v, err := fresh()
		if err != nil {
			return nil, err
		}
		err = b.insert(ctx, at, v)
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
