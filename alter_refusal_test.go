package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// alterNumbers opens a store with a bucket of so many numbers: n is id modulo 3.
func alterNumbers(t *testing.T, count int) (*store.Store, *store.Bucket) {
	t.Helper()
	s := openStore(t, store.Options{})
	b := defineNumbers(t, s, "b")
	in := make([]store.Fields, count)
	for i := range in {
		in[i] = store.Fields{"id": i, "n": i % 3}
	}
	_, err := b.InsertMany(bg, in)
	require.NoError(t, err)
	return s, b
}

// unaltered fails unless a bucket of alterNumbers is as it was.
func unaltered(t *testing.T, s *store.Store, b *store.Bucket, count int) {
	t.Helper()
	def, err := s.Definition("b")
	require.NoError(t, err)
	require.Equal(t, store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}, def.Schema)
	require.Empty(t, def.Indexes)
	require.Zero(t, def.TTL+time.Duration(def.MaxSize)+time.Duration(def.MaxBytes)+time.Duration(def.Evict))
	n, err := b.Count(store.In("n", 0, 1, 2))
	require.NoError(t, err)
	require.Equal(t, count, n)
	require.NoError(t, store.CheckTables(s))
}

// Of very many records that break rules, some are listed, the first of each rule
// of each field among them, and the others are counted.
func TestAlterRefusalsAreBounded(t *testing.T) {
	const count = 5000
	s, b := alterNumbers(t, count)
	_, err := b.Update(bg, count-1, store.Fields{"n": nil})
	require.NoError(t, err)
	err = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{
		"n": {Type: store.Int, Required: true, Max: store.Bound(0), Unique: true},
		"s": {Type: store.String, Required: true},
	}})
	var ve *store.ValidationError
	require.ErrorAs(t, err, &ve)
	require.Equal(t, "b", ve.Bucket)
	codes := map[string]int{}
	for _, is := range ve.Issues {
		_, field, ok := strings.Cut(is.Field, "].")
		require.True(t, ok, is.Field)
		codes[field+" "+string(is.Code)]++
	}
	for _, rule := range []string{"n required", "n max", "n unique", "s required"} {
		require.Positive(t, codes[rule], rule)
	}
	require.LessOrEqual(t, len(ve.Issues), 110)
	above, unique, without := 0, count-1-3, 1
	for i := range count - 1 {
		above += min(i%3, 1)
	}
	require.Equal(t, above+unique+without+count, len(ve.Issues)+ve.More)
	require.Contains(t, err.Error(), fmt.Sprint("and ", ve.More, " more"))
	_, err = b.Update(bg, count-1, store.Fields{"n": 0})
	require.NoError(t, err)
	unaltered(t, s, b, count)
}

// What is wrong with a change is said all together, and nothing comes of it.
func TestAlterDefinitionRefused(t *testing.T) {
	type small struct {
		ID int64 `store:"id,key"`
		N  int8  `store:"n"`
	}
	s := openStore(t, store.Options{})
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Indexes: []store.Index{{"n", "u"}}, Schema: store.Schema{
		"id": {Type: store.Int}, "n": {Type: store.Int, Min: store.Bound(0), Max: store.Bound(9)}, "u": {Type: store.String, Unique: true}, "o": {Type: store.Object},
	}})
	require.NoError(t, err)
	_, err = store.Typed[small](s, "b")
	require.NoError(t, err)
	before, err := s.Definition("b")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change store.Change
		fields []string
	}{
		"another type":         {store.Change{Fields: store.Schema{"u": {Type: store.Int}, "id": {Type: store.String}}}, []string{"id", "u"}},
		"no type":              {store.Change{Fields: store.Schema{"x": {}}}, []string{"x"}},
		"metadata":             {store.Change{Fields: store.Schema{"_version": {Type: store.Int}}}, []string{"_version"}},
		"no name":              {store.Change{Fields: store.Schema{"": {Type: store.Int}}}, []string{""}},
		"rules of others":      {store.Change{Fields: store.Schema{"x": {Type: store.Int, Pattern: "a"}, "y": {Type: store.Bool, MinLength: 3}}}, []string{"x", "y"}},
		"a default":            {store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: "a"}}}, []string{"x"}},
		"a default out":        {store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: 3, Max: store.Bound(2)}}}, []string{"x"}},
		"a nil function":       {store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: (func() any)(nil)}}}, []string{"x"}},
		"unique object":        {store.Change{Fields: store.Schema{"o": {Type: store.Object, Unique: true}}}, []string{"o"}},
		"index of nothing":     {store.Change{AddIndexes: []store.Index{{}, {"z"}, {"o"}}}, []string{"", "z", "o"}},
		"index twice":          {store.Change{AddIndexes: []store.Index{{"n"}, {"n"}, {"n", "u"}}}, []string{"n", "n,u"}},
		"no such index":        {store.Change{DropIndexes: []store.Index{{"n"}, {"u", "n"}}}, []string{"n", "u,n"}},
		"index of unique":      {store.Change{DropIndexes: []store.Index{{"u"}}}, []string{"u"}},
		"dropped twice":        {store.Change{DropIndexes: []store.Index{{"n", "u"}, {"n", "u"}}}, []string{"n,u"}},
		"order without bound":  {store.Change{Evict: store.OldestUpdated}, []string{""}},
		"no order":             {store.Change{MaxSize: 3, Evict: 99}, []string{""}},
		"short TTL":            {store.Change{TTL: 1}, []string{""}},
		"too much for handles": {store.Change{Fields: store.Schema{"n": {Type: store.Int}}}, []string{"n"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.AlterBucket(bg, "b", c.change)
			var de *store.DefinitionError
			require.ErrorAs(t, err, &de)
			require.Equal(t, "b", de.Bucket)
			var fields []string
			for _, is := range de.Issues {
				require.NotEmpty(t, is.Message)
				fields = append(fields, is.Field)
			}
			require.ElementsMatch(t, c.fields, fields, "%v", err)
			now, err := s.Definition("b")
			require.NoError(t, err)
			require.Equal(t, before, now)
		})
	}
	_, err = b.Insert(bg, store.Fields{"id": 1, "n": 10})
	require.Error(t, err, "the rules are what they were")
}

func TestAlterRefused(t *testing.T) {
	s, b := alterNumbers(t, 10)
	require.ErrorIs(t, s.AlterBucket(bg, "none", store.Change{TTL: time.Hour}), store.ErrBucketNotDefined)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	require.ErrorIs(t, s.AlterBucket(ctx, "b", store.Change{TTL: time.Hour}), context.Canceled)
	ctx, cancel = context.WithCancel(bg)
	defer cancel()
	count := 0
	err := s.AlterBucket(ctx, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
		if count++; count == 5 {
			cancel()
		}
		return 1
	}}}})
	require.ErrorIs(t, err, context.Canceled)
	var e *store.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "alter", e.Op)
	require.Equal(t, "b", e.Bucket)
	unaltered(t, s, b, 10)
	require.NoError(t, s.Close(bg))
	require.ErrorIs(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}), store.ErrClosed)
}

// A default function that panics, ends its goroutine, brings what it must not, or
// changes its own bucket or store refuses the alteration, and no more.
func TestAlterDefaultFails(t *testing.T) {
	for name, c := range map[string]struct {
		fn    func(s *store.Store) any
		check func(t *testing.T, err error)
	}{
		"panic": {func(*store.Store) any { panic("foul") }, func(t *testing.T, err error) {
			var pe *store.PanicError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, "foul", pe.Value)
			require.Contains(t, err.Error(), "x")
		}},
		"wrong type": {func(*store.Store) any { return "text" }, func(t *testing.T, err error) {
			var ve *store.ValidationError
			require.ErrorAs(t, err, &ve)
			require.Len(t, ve.Issues, 10)
			require.Equal(t, "[0].x", ve.Issues[0].Field)
		}},
		"alters itself": {func(s *store.Store) any {
			if err := s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}); err != nil {
				panic(err)
			}
			return 1
		}, func(t *testing.T, err error) {
			var pe *store.PanicError
			require.ErrorAs(t, err, &pe)
			require.ErrorIs(t, pe.Value.(error), store.ErrAltering)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := alterNumbers(t, 10)
			c.check(t, s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any { return c.fn(s) }}}}))
			unaltered(t, s, b, 10)
			require.NoError(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}), "it is not taken for under way")
		})
	}
	t.Run("goexit", func(t *testing.T) {
		s, b := alterNumbers(t, 10)
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any { runtime.Goexit(); return 1 }}}})
		})
		wg.Wait()
		unaltered(t, s, b, 10)
		require.NoError(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}))
	})
	t.Run("drop", func(t *testing.T) {
		s, b := alterNumbers(t, 10)
		err := s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
			_ = s.DropBucket(bg, "b")
			return 1
		}}}})
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
		_, err = b.Insert(bg, store.Fields{"id": 100})
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
		defineNumbers(t, s, "b")
	})
	t.Run("close", func(t *testing.T) {
		s, _ := alterNumbers(t, 10)
		err := s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
			_ = s.Close(bg)
			return 1
		}}}})
		require.ErrorIs(t, err, store.ErrClosed)
	})
}

// A default function may use the store, its own bucket included.
func TestAlterDefaultUsesTheStore(t *testing.T) {
	s, b := alterNumbers(t, 10)
	other := defineNumbers(t, s, "other")
	calls := 0
	require.NoError(t, s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
		n := calls
		if calls++; n >= 5 {
			return n
		}
		_, err := b.Insert(bg, store.Fields{"id": 100 + n, "n": 1})
		require.NoError(t, err)
		_, err = b.Update(bg, n, store.Fields{"n": 2})
		require.NoError(t, err)
		require.NoError(t, b.Delete(bg, 9-n))
		defineNumbers(t, s, fmt.Sprint("new", n))
		putNumber(t, other, n, n)
		return n
	}}}, AddIndexes: []store.Index{{"x"}}}))
	require.NoError(t, s.AlterBucket(bg, "other", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
		_ = s.AlterBucket(bg, "b", store.Change{MaxSize: 100}) // of another bucket
		return 1
	}}}}))
	seen := map[any]bool{}
	for r := range b.All() {
		require.False(t, seen[r.Get("x")])
		seen[r.Get("x")] = true
		if id := r.Get("id").(int64); id < 5 {
			require.EqualValues(t, 2, r.Get("n"))
		}
		n, err := b.Count(store.Eq("x", r.Get("x")))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.Len(t, seen, 10)
	require.NoError(t, store.CheckTables(s))
}

// A default function that writes its own bucket whenever it is called never lets
// the alteration catch up. It ends with an error, and writers go on.
func TestAlterNeverCatchesUp(t *testing.T) {
	s, b := alterNumbers(t, 1)
	calls := 0
	err := s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
		calls++
		_, err := b.Insert(bg, store.Fields{"id": calls, "n": 1})
		require.NoError(t, err)
		return 1
	}}}})
	var e *store.Error
	require.ErrorAs(t, err, &e)
	unaltered(t, s, b, 1+calls)
}

// An alteration waits for nobody whom the caller could be.
func TestAlterInside(t *testing.T) {
	s, b := alterNumbers(t, 10)
	step := 0
	next := func() store.Change {
		step++
		return store.Change{Fields: store.Schema{fmt.Sprint("x", step): {Type: store.Int, Default: step}}}
	}
	t.Run("transaction", func(t *testing.T) {
		tries := 0
		require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
			_, err := b.In(tx).Update(bg, 1, store.Fields{"n": 7})
			require.NoError(t, err)
			if tries++; tries == 1 {
				require.NoError(t, s.AlterBucket(bg, "b", next()))
			}
			return nil
		}, store.Retry(1)))
		require.Equal(t, 2, tries, "it was in conflict once")
	})
	t.Run("reads", func(t *testing.T) {
		var conflict *store.ConflictError
		other := defineNumbers(t, s, "other")
		err := s.Transaction(bg, func(tx *store.Tx) error {
			_, ok := b.In(tx).Get(1)
			require.True(t, ok)
			require.NoError(t, s.AlterBucket(bg, "b", next()))
			r, ok := b.In(tx).Get(2)
			require.True(t, ok)
			require.Nil(t, r.Get("x2"), "it reads the state of its beginning")
			_, err := other.In(tx).Insert(bg, store.Fields{"id": 1})
			return err
		})
		require.ErrorAs(t, err, &conflict)
		require.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
			_, ok := b.In(tx).Get(1)
			require.True(t, ok)
			return s.AlterBucket(bg, "b", next())
		}), "one that only reads")
	})
	t.Run("update", func(t *testing.T) {
		type view struct {
			ID int64 `store:"id,key"`
			N  int64 `store:"n"`
		}
		h, err := store.Typed[view](s, "b")
		require.NoError(t, err)
		tries := 0
		_, err = h.Update(bg, 1, func(v *view) error {
			if tries++; tries == 1 {
				return s.AlterBucket(bg, "b", next())
			}
			v.N++
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 2, tries)
	})
	t.Run("query", func(t *testing.T) {
		first := true
		q := defineLive(t, s, "q", func(q *store.QueryCtx, _ none) (int, error) {
			n, err := b.In(q).Where().All()
			if first {
				first = false
				require.NoError(t, s.AlterBucket(bg, "b", next()))
			}
			return len(n), err
		})
		sub := subscribeLive(t, q, none{})
		settleLive(t, s)
		require.Equal(t, 10, sub.Current().Result)
	})
	t.Run("iterator", func(t *testing.T) {
		n, added := 0, fmt.Sprint("x", step+1)
		for r := range b.All() {
			if n++; n == 5 {
				require.NoError(t, s.AlterBucket(bg, "b", next()))
				require.NoError(t, b.Delete(bg, 9))
			}
			require.Nil(t, r.Get(added))
		}
		require.Equal(t, 10, n)
	})
	t.Run("handler", func(t *testing.T) {
		errs := make(chan error, 1)
		stop, err := s.On("bucket.b.inserted", func(store.Event) { errs <- s.AlterBucket(bg, "b", next()) })
		require.NoError(t, err)
		putNumber(t, b, 50, 1)
		require.NoError(t, <-errs)
		stop()
	})
	require.NoError(t, store.CheckTables(s))
}

// Two alterations of one bucket at once: one gets ErrAltering, and those of other
// buckets and readers and writers of this one do not wait.
func TestAlterBeside(t *testing.T) {
	s, b := alterNumbers(t, 10)
	other := defineNumbers(t, s, "other")
	putNumber(t, other, 1, 1)
	began, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	var once sync.Once
	go func() {
		done <- s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: func() any {
			once.Do(func() { close(began); <-goOn })
			return 1
		}}}})
	}()
	<-began
	require.ErrorIs(t, s.AlterBucket(bg, "b", store.Change{TTL: time.Hour}), store.ErrAltering)
	require.NoError(t, s.AlterBucket(bg, "other", store.Change{Fields: store.Schema{"x": {Type: store.Int, Default: 5}}}))
	r, _ := other.Get(1)
	require.EqualValues(t, 5, r.Get("x"))
	before := s.Stats().Commits
	for i := range 1000 {
		putNumber(t, b, i, i)
	}
	require.Equal(t, before+1000, s.Stats().Commits, "commits that go on while it runs")
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, 1000, n)
	close(goOn)
	require.NoError(t, <-done)
	for i := range 1000 {
		r, ok := b.Get(i)
		require.True(t, ok)
		require.EqualValues(t, i, r.Get("n"))
		require.EqualValues(t, 1, r.Get("x"))
	}
	require.Equal(t, before+1001, s.Stats().Commits)
	require.NoError(t, store.CheckTables(s))
}

// A handle that is made while the bucket is altered is one that the altered bucket
// can serve, or the alteration is refused.
func TestAlterBesideTyped(t *testing.T) {
	type small struct {
		ID int64 `store:"id,key"`
		N  int8  `store:"n"`
	}
	for range 50 {
		s := openStore(t, store.Options{})
		b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
			"id": {Type: store.Int}, "n": {Type: store.Int, Min: store.Bound(0), Max: store.Bound(9)},
		}})
		require.NoError(t, err)
		putNumber(t, b, 1, 1)
		var wg sync.WaitGroup
		var altered, handled error
		var h *store.TypedBucket[small]
		wg.Go(func() { altered = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{"n": {Type: store.Int}}}) })
		wg.Go(func() { h, handled = store.Typed[small](s, "b") })
		wg.Wait()
		require.True(t, (altered == nil) != (handled == nil), "%v, %v", altered, handled)
		if err := errors.Join(altered, handled); handled == nil {
			v, ok := h.Get(1)
			require.True(t, ok, err)
			require.EqualValues(t, 1, v.N)
		}
	}
}

// Each place inside of a field counted as a field of its own, so that records with
// unknown properties, or long arrays, had a list without end; and so had validators
// that make up codes.
func TestAlterListsNoMoreInside(t *testing.T) {
	s := openStore(t, store.Options{})
	b, err := s.DefineBucket(bg, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "o": {Type: store.Object}, "l": {Type: store.Array}, "n": {Type: store.Int},
	}})
	require.NoError(t, err)
	const n = 1500
	list := make([]any, n)
	for i := range list {
		list[i] = "no number"
	}
	var all []store.Fields
	for i := range n {
		all = append(all, store.Fields{"id": i, "o": map[string]any{fmt.Sprint("p", i): 1}, "n": i})
	}
	all[n-1]["l"] = list
	_, err = b.InsertMany(bg, all)
	require.NoError(t, err)
	err = s.AlterBucket(bg, "b", store.Change{Fields: store.Schema{
		"o": {Type: store.Object, Properties: store.Schema{"p0": {Type: store.Int}}},
		"l": {Type: store.Array, Items: &store.Field{Type: store.Int}},
	}})
	var ve *store.ValidationError
	require.ErrorAs(t, err, &ve)
	require.Len(t, ve.Issues, 101, "a hundred, and the first of the array")
	require.Equal(t, 2*n-1, len(ve.Issues)+ve.More)

	err = s.AlterBucket(bg, "b", store.Change{Validate: func(r store.Record) error {
		return &store.ValidationError{Issues: []store.Issue{{Field: "n", Code: store.Code(fmt.Sprint("c", r.Get("n"))), Message: "is refused"}}}
	}})
	require.ErrorAs(t, err, &ve)
	require.Len(t, ve.Issues, 1000)
	require.Equal(t, n, len(ve.Issues)+ve.More)
}
