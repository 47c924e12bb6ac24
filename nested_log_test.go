package store_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// nestedLog is a log that a store is opened on again and again.
type nestedLog struct {
	t       *testing.T
	adapter store.Adapter
	s       *store.Store
}

func (l *nestedLog) open() *store.Store {
	l.t.Helper()
	l.close()
	s, err := store.Open(bg, store.Options{Persistence: store.Persistence{Adapter: l.adapter}})
	require.NoError(l.t, err)
	l.s = s
	return s
}

func (l *nestedLog) close() {
	l.t.Helper()
	if l.s != nil {
		require.NoError(l.t, l.s.Close(bg))
		l.s = nil
	}
}

// eachLog runs a test on a log in memory and on one in a file.
func eachLog(t *testing.T, fn func(t *testing.T, l *nestedLog)) {
	for _, name := range []string{"memory", "file"} {
		t.Run(name, func(t *testing.T) {
			l := &nestedLog{t: t, adapter: adapters[name](t)}
			defer l.close()
			fn(t, l)
		})
	}
}

// define defines the bucket b, whose field o has these properties.
func (l *nestedLog) define(props store.Schema, adjust ...func(*store.Definition)) (*store.Bucket, error) {
	def := store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.Int}, "n": {Type: store.Int},
		"o": {Type: store.Object, Properties: props}, "l": {Type: store.Array, Items: &store.Field{Type: store.Object, Properties: props}},
	}}
	for _, fn := range adjust {
		fn(&def)
	}
	return l.s.DefineBucket(bg, "b", def)
}

// What comes back from a log under the definition that it was written by is neither
// judged nor completed again.
func TestNestedLogIsNotJudged(t *testing.T) {
	eachLog(t, func(t *testing.T, l *nestedLog) {
		calls, moods := 0, 0
		props := store.Schema{
			"uid": {Type: store.String, Generated: store.UUID}, "at": {Type: store.Date, Generated: store.Timestamp},
			"mood": {Type: store.Int, Default: func() any { moods++; return moods }}, "s": {Type: store.String, Default: "s"},
			"x": {Type: store.Any}, "y": {Type: store.Bytes, Validate: func(any, store.Record) error { calls++; return nil }},
		}
		judge := func(d *store.Definition) { d.Validate = func(store.Record) error { calls++; return nil } }
		l.open()
		b, err := l.define(props, judge)
		require.NoError(t, err)
		for i := range 5 {
			_, err := b.Insert(bg, store.Fields{"id": i, "o": map[string]any{"y": []byte{1}, "x": []any{nil, 1.0}}, "l": []any{map[string]any{}, nil, map[string]any{"uid": "own", "mood": nil}}})
			require.NoError(t, err)
		}
		_, err = b.Update(bg, 2, store.Fields{"n": 1})
		require.NoError(t, err)
		want, called, mooded := dump(t, b), calls, moods
		for range 3 {
			l.open()
			b, err = l.define(props, judge)
			require.NoError(t, err)
			require.Equal(t, want, dump(t, b))
			require.NoError(t, l.s.Compact(bg))
		}
		require.Equal(t, called, calls, "validators ran again")
		require.Equal(t, mooded, moods, "defaults were made again")
	})
}

// Structs come back as they were.
func TestNestedLogStructs(t *testing.T) {
	eachLog(t, func(t *testing.T, l *nestedLog) {
		r := nestedSource{rand.New(rand.NewPCG(7, 0))}
		b, err := store.Define[typedRoot](bg, l.open(), "typed")
		require.NoError(t, err)
		var want []string
		var stored []typedRoot
		for i := 0; len(stored) < 40 && i < 2000; i++ {
			if got, err := b.Insert(bg, r.mostly(strconv.Itoa(i))); err == nil {
				want, stored = append(want, shown(reflect.ValueOf(got))), append(stored, got)
			}
		}
		require.Len(t, stored, 40)
		for range 2 {
			b, err = store.Define[typedRoot](bg, l.open(), "typed")
			require.NoError(t, err)
			for i, was := range stored {
				got, ok := b.Get(was.ID)
				require.True(t, ok)
				require.Equal(t, was.Leaf, got.Leaf)
				require.Equal(t, want[i], shown(reflect.ValueOf(got)))
				_, err := b.Update(bg, was.ID, func(*typedRoot) error { return nil })
				require.NoError(t, err)
			}
			require.NoError(t, l.s.Compact(bg))
		}
	})
}

// A changed definition completes what is inside, and says which record breaks it.
func TestNestedLogChangedDefinition(t *testing.T) {
	eachLog(t, func(t *testing.T, l *nestedLog) {
		l.open()
		b, err := l.define(store.Schema{"q": {Type: store.Int}})
		require.NoError(t, err)
		for i := range 4 {
			_, err := b.Insert(bg, store.Fields{"id": i, "o": map[string]any{"q": i}, "l": []any{map[string]any{"q": 1}, map[string]any{"q": -i}}})
			require.NoError(t, err)
		}
		before := dump(t, b)

		more := store.Schema{"q": {Type: store.Int, Min: store.Bound(-2)}, "uid": {Type: store.String, Generated: store.UUID}, "d": {Type: store.Array, Default: []any{1}}}
		l.open()
		_, err = l.define(more)
		require.Equal(t, []string{"l[1].q min"}, issues(t, err))
		require.False(t, l.s.HasBucket("b"))
		_, err = l.define(store.Schema{"p": {Type: store.Int}})
		require.Contains(t, issues(t, err), "o.q unknown")
		b, err = l.define(store.Schema{"q": {Type: store.Int}})
		require.NoError(t, err)
		require.Equal(t, before, dump(t, b))
		require.NoError(t, b.Delete(bg, 3))

		l.open()
		b, err = l.define(more)
		require.NoError(t, err)
		r, _ := b.Get(2)
		o := r.Get("o").(map[string]any)
		require.Len(t, o["uid"], 36)
		require.Equal(t, []any{int64(1)}, o["d"])
		require.EqualValues(t, 1, r.Version(), "nobody has written it")
		after := dump(t, b)
		l.open()
		b, err = l.define(more)
		require.NoError(t, err)
		require.Equal(t, after, dump(t, b), "what was completed is in the log")

		// Another type: converted where it can be, as an input is.
		l.open()
		more["q"] = store.Field{Type: store.Float}
		b, err = l.define(more)
		require.NoError(t, err)
		r, _ = b.Get(2)
		require.Equal(t, 2.0, r.Get("o").(map[string]any)["q"])
		l.open()
		more["q"] = store.Field{Type: store.String}
		_, err = l.define(more)
		require.Contains(t, issues(t, err), "o.q type")
	})
}

// A validator that is new judges what is there. It may call the store, and what it
// does wrong is the error of the definition.
func TestNestedLogNewValidator(t *testing.T) {
	eachLog(t, func(t *testing.T, l *nestedLog) {
		l.open()
		b, err := l.define(store.Schema{"q": {Type: store.Int}})
		require.NoError(t, err)
		for i := range 4 {
			_, err := b.Insert(bg, store.Fields{"id": i, "o": map[string]any{"q": i}})
			require.NoError(t, err)
		}
		want := dump(t, b)
		refused := errors.New("no three")
		judged := func(fn func(n int64) error) store.Schema {
			return store.Schema{"q": {Type: store.Int, Validate: func(v any, rec store.Record) error { return fn(v.(int64)) }}}
		}
		l.open()
		_, err = l.define(judged(func(n int64) error {
			if n == 3 {
				return refused
			}
			return nil
		}))
		require.Equal(t, []string{"o.q validate"}, issues(t, err))
		require.ErrorIs(t, err, refused)
		_, err = l.define(judged(func(n int64) error { panic(refused) }))
		var pe *store.PanicError
		require.ErrorAs(t, err, &pe)
		_, err = l.define(judged(func(n int64) error { runtime.Goexit(); return nil }))
		require.Error(t, err)
		require.False(t, l.s.HasBucket("b"))

		other, err := l.s.DefineBucket(bg, "other", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
		require.NoError(t, err)
		b, err = l.define(judged(func(n int64) error {
			if _, err := l.s.Bucket("b"); !errors.Is(err, store.ErrBucketNotDefined) {
				return errors.New("is defined already")
			}
			_, err := other.Insert(bg, store.Fields{"id": n})
			return err
		}))
		require.NoError(t, err)
		require.Equal(t, want, dump(t, b))
		require.Equal(t, 4, count(t, other))
	})
}
