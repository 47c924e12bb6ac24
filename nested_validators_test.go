package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// judged is a bucket of id and n whose validators are set by the test.
type judged struct {
	*store.Bucket
	st     *store.Store
	field  func(v any, rec store.Record) error // of n
	item   func(v any, rec store.Record) error // of each element of list
	record func(rec store.Record) error
}

func (j *judged) definition() store.Definition {
	return store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int},
			"n": {Type: store.Int, Validate: func(v any, rec store.Record) error {
				if j.field == nil {
					return nil
				}
				return j.field(v, rec)
			}},
			"list": {Type: store.Array, Items: &store.Field{Type: store.Int, Validate: func(v any, rec store.Record) error {
				if j.item == nil {
					return nil
				}
				return j.item(v, rec)
			}}},
		},
		Validate: func(rec store.Record) error {
			if j.record == nil {
				return nil
			}
			return j.record(rec)
		},
	}
}

func newJudged(t *testing.T, opt store.Options) *judged {
	t.Helper()
	j := &judged{st: openStore(t, opt)}
	var err error
	j.Bucket, err = j.st.DefineBucket(bg, "judged", j.definition())
	require.NoError(t, err)
	return j
}

// writes are all ways in which a record with n = 2 is written over record 1.
func (j *judged) writes() map[string]func(ctx context.Context) error {
	type typed struct {
		ID int64 `store:"id,key"`
		N  int64 `store:"n"`
	}
	h, err := store.Typed[typed](j.st, "judged")
	if err != nil {
		panic(err)
	}
	return map[string]func(ctx context.Context) error{
		"Insert": func(ctx context.Context) error { _, err := j.Insert(ctx, store.Fields{"id": 2, "n": 2}); return err },
		"InsertMany": func(ctx context.Context) error {
			_, err := j.InsertMany(ctx, []store.Fields{{"id": 2, "n": 2}})
			return err
		},
		"Update":     func(ctx context.Context) error { _, err := j.Update(ctx, 1, store.Fields{"n": 2}); return err },
		"Upsert":     func(ctx context.Context) error { _, err := j.Upsert(ctx, store.Fields{"id": 1, "n": 2}); return err },
		"Upsert new": func(ctx context.Context) error { _, err := j.Upsert(ctx, store.Fields{"id": 2, "n": 2}); return err },
		"UpdateMany": func(ctx context.Context) error {
			_, err := j.UpdateMany(ctx, store.Fields{"n": 2}, store.Eq("id", 1))
			return err
		},
		"typed Insert": func(ctx context.Context) error { _, err := h.Insert(ctx, typed{2, 2}); return err },
		"typed Update": func(ctx context.Context) error {
			_, err := h.Update(ctx, 1, func(r *typed) error { r.N = 2; return nil })
			return err
		},
		"typed Upsert": func(ctx context.Context) error { _, err := h.Upsert(ctx, typed{1, 2}); return err },
		"Patch":        func(ctx context.Context) error { _, err := h.Patch(ctx, 1, store.Fields{"n": 2}); return err },
		"Transaction": func(ctx context.Context) error {
			return j.st.Transaction(ctx, func(tx *store.Tx) error {
				_, err := j.In(tx).Update(ctx, 1, store.Fields{"n": 2})
				return err
			})
		},
	}
}

func (j *judged) reset(t *testing.T) {
	t.Helper()
	j.field, j.item, j.record = nil, nil, nil
	require.NoError(t, j.Clear(bg))
	_, err := j.Insert(bg, store.Fields{"id": 1, "n": 1})
	require.NoError(t, err)
}

// Whatever a validator does wrong is the error of its own write, which leaves
// nothing, and nothing locked.
func TestValidatorsThatFail(t *testing.T) {
	boom := errors.New("boom")
	var none *store.ValidationError
	fails := map[string]struct {
		fn    func() error
		check func(t *testing.T, err error)
	}{
		"error":     {func() error { return boom }, func(t *testing.T, err error) { require.ErrorIs(t, err, boom) }},
		"wrapped":   {func() error { return fmt.Errorf("so: %w", boom) }, func(t *testing.T, err error) { require.ErrorIs(t, err, boom) }},
		"not found": {func() error { return store.ErrNotFound }, func(t *testing.T, err error) { require.ErrorIs(t, err, store.ErrNotFound) }},
		"conflict": {func() error { return &store.ConflictError{Bucket: "other"} }, func(t *testing.T, err error) {
			var ce *store.ConflictError
			require.ErrorAs(t, err, &ce)
		}},
		"unique": {func() error { return &store.UniqueError{Bucket: "judged", Field: "id"} }, func(t *testing.T, err error) {
			var ue *store.UniqueError
			require.ErrorAs(t, err, &ue)
		}},
		"no issues":       {func() error { return &store.ValidationError{} }, func(t *testing.T, err error) { require.Len(t, issues(t, err), 1) }},
		"panic":           {func() error { panic(boom) }, panicked(boom)},
		"panic of issues": {func() error { panic(&store.ValidationError{}) }, panicked(nil)},
		"panic not found": {func() error { panic(store.ErrNotFound) }, panicked(store.ErrNotFound)},
		"nil issues":      {func() error { return none }, panicked(nil)},
		"text panics":     {func() error { return badText{} }, panicked(nil)},
	}
	j := newJudged(t, store.Options{})
	for name, fail := range fails {
		for where := range 2 {
			j.reset(t)
			for op, write := range j.writes() {
				before := dump(t, j.Bucket)
				calls := 0
				fn := func() error {
					if calls++; calls > 20 {
						return nil // or it would go on for ever
					}
					return fail.fn()
				}
				if where == 0 {
					j.field = func(any, store.Record) error { return fn() }
				} else {
					j.field = nil
					j.record = func(store.Record) error { return fn() }
				}
				err := write(bg)
				require.Error(t, err, "%s: %s", op, name)
				require.Equal(t, 1, calls, "%s: %s", op, name)
				fail.check(t, err)
				require.Equal(t, before, dump(t, j.Bucket), "%s: %s", op, name)
			}
		}
	}
	require.NoError(t, store.CheckTables(j.st))
}

func panicked(cause error) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var pe *store.PanicError
		require.ErrorAs(t, err, &pe)
		require.NotEmpty(t, pe.Stack)
		if cause != nil {
			require.ErrorIs(t, err, cause)
		}
	}
}

// badText is an error whose text cannot be had.
type badText struct{}

func (badText) Error() string { panic("no text") }

// dump is all that a bucket has.
func dump(t *testing.T, b *store.Bucket) []map[string]any {
	t.Helper()
	all, err := b.Where().All()
	require.NoError(t, err)
	out := make([]map[string]any, len(all))
	for i, r := range all {
		out[i] = r.Map()
	}
	return out
}

func TestValidatorsOfMany(t *testing.T) {
	j := newJudged(t, store.Options{})
	odd, big := errors.New("odd"), errors.New("big")
	j.field = func(v any, rec store.Record) error {
		if v.(int64)%2 == 1 {
			return odd
		}
		return nil
	}
	j.record = func(rec store.Record) error {
		if rec.Get("n").(int64) > 10 {
			return big
		}
		return nil
	}
	_, err := j.InsertMany(bg, []store.Fields{{"id": 1, "n": 2}, {"id": 2, "n": 3}, {"id": 3, "n": 12}, {"id": "x", "n": 5}})
	require.Equal(t, []string{"[1].n validate", "[2] validate", "[3].id type"}, issues(t, err))
	require.ErrorIs(t, err, odd)
	require.ErrorIs(t, err, big)
	require.Zero(t, count(t, j.Bucket))

	// Several issues of one validator, each at its path.
	j.field, j.record = nil, nil
	j.item = func(v any, rec store.Record) error {
		if v == int64(7) {
			return fmt.Errorf("seven: %w", &store.ValidationError{Issues: []store.Issue{{Code: "a", Message: "m"}, {Field: "x", Code: "b", Message: "m"}, {Field: "[2]", Code: "c", Message: "m"}}})
		}
		return nil
	}
	_, err = j.Insert(bg, store.Fields{"id": 1, "list": []int{1, 7, 7}})
	require.Equal(t, []string{"list[1] a", "list[1].x b", "list[1][2] c", "list[2] a", "list[2].x b", "list[2][2] c"}, issues(t, err))
}

// Each validator gets a copy of its own, and a record that it may keep.
func TestValidatorsKeepWhatTheyGet(t *testing.T) {
	s := openStore(t, store.Options{})
	var seen []any
	var kept []store.Record
	keep := func(v any, rec store.Record) error {
		seen = append(seen, fmt.Sprint(v))
		kept = append(kept, rec)
		spoil(v)
		return nil
	}
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int},
		"o": {Type: store.Object, Validate: keep, Properties: store.Schema{
			"l": {Type: store.Array, Validate: keep, Items: &store.Field{Type: store.Object, Validate: keep}},
			"x": {Type: store.Any, Validate: keep}, "y": {Type: store.Bytes, Validate: keep},
		}},
	}})
	require.NoError(t, err)
	o := map[string]any{"l": []any{map[string]any{"a": int64(1)}}, "x": []any{"x"}, "y": []byte{1}}
	r, err := b.Insert(bg, store.Fields{"id": 1, "o": o})
	require.NoError(t, err)
	require.Equal(t, o, r.Get("o"))
	require.Equal(t, []any{"map[l:[map[a:1]] x:[x] y:[1]]", "[map[a:1]]", "map[a:1]", "[x]", "[1]"}, seen)
	_, err = b.Update(bg, 1, store.Fields{"o": map[string]any{}})
	require.NoError(t, err)
	require.NoError(t, b.Delete(bg, 1))
	require.Equal(t, o, kept[0].Get("o"))
	require.EqualValues(t, 1, kept[0].Version())
	require.EqualValues(t, 2, kept[len(kept)-1].Version())
	require.Equal(t, map[string]any{}, kept[len(kept)-1].Get("o"))
}

// A validator that waits has nobody else wait, whatever the write.
func TestValidatorsThatWait(t *testing.T) {
	for _, op := range []string{"Insert", "InsertMany", "Update", "Upsert", "Upsert new", "UpdateMany", "typed Insert", "typed Update", "typed Upsert", "Patch", "Transaction"} {
		synctest.Test(t, func(t *testing.T) {
			j := newJudged(t, store.Options{})
			j.reset(t)
			free := make(chan struct{})
			j.field = func(v any, rec store.Record) error {
				if v == int64(2) {
					<-free
				}
				return nil
			}
			done := make(chan error)
			go func() { done <- j.writes()[op](bg) }()
			synctest.Wait()
			// The same bucket, in every way, and the store.
			_, err := j.Insert(bg, store.Fields{"id": 10, "n": 10})
			require.NoError(t, err)
			_, err = j.Update(bg, 10, store.Fields{"n": 11})
			require.NoError(t, err)
			_, err = j.UpdateMany(bg, store.Fields{"n": 12}, store.Eq("id", 10))
			require.NoError(t, err)
			require.NoError(t, j.st.Transaction(bg, func(tx *store.Tx) error { return j.In(tx).Delete(bg, 10) }))
			_, err = j.st.DefineBucket(bg, "other", j.definition())
			require.NoError(t, err)
			require.Equal(t, 1, count(t, j.Bucket))
			close(free)
			require.NoError(t, <-done, op)
			require.Equal(t, 1, count(t, j.Bucket, store.Eq("n", 2)), op)
		})
	}
}

// A validator may read and write the store: the bucket that is written, and others.
func TestValidatorsThatCallTheStore(t *testing.T) {
	j := newJudged(t, store.Options{})
	other, err := j.st.DefineBucket(bg, "other", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int, Generated: store.Autoincrement}, "of": {Type: store.Int}}})
	require.NoError(t, err)
	for op := range j.writes() {
		j.reset(t)
		require.NoError(t, other.Clear(bg))
		inside := 0
		check := func(rec store.Record) error {
			if rec.Get("n") != int64(2) || inside > 0 {
				return nil
			}
			inside++
			if _, ok := j.Get(1); !ok {
				return errors.New("the other record is gone")
			}
			if _, err := j.Where(store.Gt("n", 0)).All(); err != nil {
				return err
			}
			if _, err := j.Insert(bg, store.Fields{"id": 100, "n": 100}); err != nil {
				return err
			}
			if _, err := other.Insert(bg, store.Fields{"of": rec.Get("id")}); err != nil {
				return err
			}
			_, err := j.UpdateMany(bg, store.Fields{"n": 101}, store.Eq("id", 100))
			return err
		}
		j.record = check
		require.NoError(t, j.writes()[op](bg), op)
		require.Equal(t, 1, inside, op)
		require.Equal(t, 1, count(t, j.Bucket, store.Eq("n", 2)), op)
		require.Equal(t, 1, count(t, j.Bucket, store.Eq("n", 101)), op)
		require.Equal(t, 1, count(t, other), op)
	}
	require.NoError(t, store.CheckTables(j.st))
}

// An UpdateMany is tried anew as often as others write what it matches: at last as a
// transaction, whose validators hold nothing either.
func TestValidatorsUnderContention(t *testing.T) {
	j := newJudged(t, store.Options{})
	j.reset(t)
	calls, busy := 0, 0
	j.field = func(v any, rec store.Record) error {
		if v != int64(2) {
			return nil
		}
		if calls++; calls <= 12 { // what is read here is overtaken
			busy++
			_, err := j.Update(bg, 1, store.Fields{"list": []int{busy}, "n": -busy})
			return err
		}
		return nil
	}
	n, err := j.UpdateMany(bg, store.Fields{"n": 2}, store.Exists("n"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 13, calls)
	r, _ := j.Get(1)
	require.Equal(t, int64(2), r.Get("n"))
	require.Equal(t, []any{int64(12)}, r.Get("list"))

	// A refusal in the midst of it changes nothing, and a context ends it.
	refuse := errors.New("no")
	calls = 0
	inner := j.field
	j.field = func(v any, rec store.Record) error {
		if err := inner(v, rec); err != nil || v != int64(2) {
			return err
		}
		if calls == 8 {
			return refuse
		}
		return nil
	}
	before := func() any { r, _ := j.Get(1); return r.Get("n") }
	_, err = j.UpdateMany(bg, store.Fields{"n": 2}, store.Exists("n"))
	require.ErrorIs(t, err, refuse)
	require.Equal(t, int64(-busy), before())

	ctx, cancel := context.WithCancel(bg)
	j.field = func(v any, rec store.Record) error {
		if v != int64(2) {
			return nil
		}
		busy++
		if busy%8 == 0 {
			cancel()
		}
		_, err := j.Update(bg, 1, store.Fields{"n": -busy})
		return err
	}
	_, err = j.UpdateMany(ctx, store.Fields{"n": 2}, store.Exists("n"))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, int64(-busy), before())
}

// A validator that ends its goroutine leaves nothing locked.
func TestValidatorsThatExit(t *testing.T) {
	j := newJudged(t, store.Options{})
	for op := range j.writes() {
		j.reset(t)
		before := dump(t, j.Bucket)
		j.field = func(v any, rec store.Record) error {
			if v == int64(2) {
				runtime.Goexit()
			}
			return nil
		}
		var returned atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = j.writes()[op](bg)
			returned.Store(true)
		}()
		<-done
		require.False(t, returned.Load(), op)
		require.Equal(t, before, dump(t, j.Bucket), op)
		_, err := j.Insert(bg, store.Fields{"id": 5, "n": 5})
		require.NoError(t, err, op)
	}
	require.Zero(t, j.st.Stats().Transactions.Active)
}

// What a bucket is altered to counts for what is inside of its fields, too.
func TestAlterBucketJudgesInside(t *testing.T) {
	s := openStore(t, store.Options{})
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Extra: true, Schema: store.Schema{"id": {Type: store.Int}, "o": {Type: store.Object}}})
	require.NoError(t, err)
	for i := range 3 {
		_, err := b.Insert(bg, store.Fields{"id": i, "o": map[string]any{"n": i}, "new": map[string]any{"n": i}})
		require.NoError(t, err)
	}
	field := store.Field{Type: store.Object, Properties: store.Schema{"n": {Type: store.Int, Min: store.Bound(1)}, "d": {Type: store.String, Default: "d"}}}
	err = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"o": field, "new": field}})
	require.Equal(t, []string{"[0].new.n min", "[0].o.n min"}, issues(t, err))
	require.NoError(t, b.Delete(bg, 0))
	held, _ := b.Get(1)
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"o": field, "new": field}}))
	r, _ := b.Get(1)
	want := map[string]any{"n": int64(1), "d": "d"}
	require.Equal(t, want, r.Get("o"))
	require.Equal(t, want, r.Get("new"))
	require.Equal(t, map[string]any{"n": int64(1)}, held.Get("o"), "a record that was read before has not changed")
	refuse := field
	refuse.Validate = func(v any, rec store.Record) error {
		if v.(map[string]any)["n"] == int64(2) {
			return errors.New("two")
		}
		return nil
	}
	err = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"o": refuse}})
	require.Equal(t, []string{"[2].o validate"}, issues(t, err))
	require.NoError(t, store.CheckTables(s))
}
