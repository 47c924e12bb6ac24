package store_test

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What must not be evaluated: directed cases, which count the calls.

// liveItems is a bucket of 30 records, number i with n and rank 10*i, in group
// "a" if i is odd, else "b"; and one beside it.
type liveItems struct {
	t        *testing.T
	s        *store.Store
	b, other *store.Bucket
}

func newLiveItems(t *testing.T, ordered, indexed bool) *liveItems {
	x := &liveItems{t: t, s: openStore(t, store.Options{})}
	d := store.Definition{Key: "id", Ordered: ordered, Schema: store.Schema{
		"id": {Type: store.Int}, "n": {Type: store.Int}, "rank": {Type: store.Float}, "group": {Type: store.String},
		"note": {Type: store.String}, "o": {Type: store.Object},
	}}
	if indexed {
		d.Indexes = []store.Index{{"n"}, {"rank"}, {"group"}, {"group", "n"}}
	}
	var err error
	x.b, err = x.s.DefineBucket(t.Context(), "items", d)
	require.NoError(t, err)
	x.other, err = x.s.DefineBucket(t.Context(), "other", d)
	require.NoError(t, err)
	for i := 1; i <= 30; i++ {
		x.insert(i, 10*i, string(rune('b'-i%2)))
	}
	return x
}

func (x *liveItems) insert(id, n int, group string) {
	x.t.Helper()
	_, err := x.b.Insert(x.t.Context(), store.Fields{"id": id, "n": n, "rank": n, "group": group, "o": map[string]any{"p": group}})
	require.NoError(x.t, err)
}

func (x *liveItems) set(id int, field string, v any) {
	x.t.Helper()
	_, err := x.b.Update(x.t.Context(), id, store.Fields{field: v})
	require.NoError(x.t, err)
}

func (x *liveItems) remove(id int) {
	x.t.Helper()
	require.NoError(x.t, x.b.Delete(x.t.Context(), id))
}

// both makes changes in one transaction.
func (x *liveItems) both(fn func(b *store.Bucket) error) {
	x.t.Helper()
	require.NoError(x.t, x.s.Transaction(x.t.Context(), func(tx *store.Tx) error { return fn(x.b.In(tx)) }))
}

// exchange gives two records each other's value of a field, in one transaction.
func (x *liveItems) exchange(a, b int, field string) {
	x.t.Helper()
	x.both(func(h *store.Bucket) error {
		ra, _ := h.Get(a)
		rb, _ := h.Get(b)
		_, err := h.Update(x.t.Context(), a, store.Fields{field: rb.Get(field)})
		if err == nil {
			_, err = h.Update(x.t.Context(), b, store.Fields{field: ra.Get(field)})
		}
		return err
	})
}

// liveQuiet is a function, writes that must not call it again, and one that must.
type liveQuiet struct {
	name  string
	read  func(b *store.Bucket) (any, error)
	quiet func(x *liveItems)
	loud  func(x *liveItems)
}

// TestLiveReadsNothingElse: what does not concern the reads of a function does not
// call it again.
func TestLiveReadsNothingElse(t *testing.T) {
	ctx := t.Context()
	for _, c := range liveQuiets {
		for way := range 4 {
			t.Run(fmt.Sprintf("%s/ordered=%v,indexed=%v", c.name, way&1 > 0, way&2 > 0), func(t *testing.T) {
				x := newLiveItems(t, way&1 > 0, way&2 > 0)
				var calls atomic.Int64
				q := defineLive(t, x.s, "q", func(q *store.QueryCtx, _ none) (any, error) {
					calls.Add(1)
					return c.read(x.b.In(q))
				})
				sub := subscribeLive(t, q, none{})
				before := liveShowEvent(sub.Current())
				settle := func(want int64, after string) {
					t.Helper()
					settleLive(t, x.s)
					state, err := q.Explain(none{})
					require.NoError(t, err)
					require.Equal(t, want, calls.Load(), "%s: %s", after, state)
				}
				_, err := x.other.Insert(ctx, store.Fields{"id": 5, "n": 50, "rank": 50, "group": "a"})
				require.NoError(t, err)
				settle(1, "a write to another bucket")
				x.remove(1000)
				settle(1, "a write that changes nothing")
				c.quiet(x)
				settle(1, "writes that change nothing that was read")
				require.Equal(t, before, liveShowEvent(sub.Current()))
				got, err := q.Run(ctx, none{})
				require.NoError(t, err)
				require.Equal(t, before, liveShow(got))
				settle(1, "Run")
				c.loud(x)
				settleLive(t, x.s)
				require.Greater(t, calls.Load(), int64(1))
				require.NotEqual(t, before, liveShowEvent(sub.Current()))
				require.Equal(t, liveShow(fromScratch(t, x.s, q, none{})), liveShowEvent(sub.Current()))
			})
		}
	}
}

// A nested query whose answer stays the same does not call those that asked, and
// is called once for all of them.
//
// An evaluation waits for no other one: what it asks for is evaluated once more,
// within it, if another worker is at that very moment. So the calls are counted
// exactly where there is one worker, in a bubble, in which no evaluation is taken
// for stuck; where there are several, "all" may call "said" once beside the worker
// that does. The inner query has changed, and is not under way any more, before
// anybody who asks for it is dirty: its calls are always the same.
func TestLiveNestedIsOneValue(t *testing.T) {
	liveNestedIsOneValue(t, 7)
	oneWorker(t)
	synctest.Test(t, func(t *testing.T) { liveNestedIsOneValue(t, 6) })
}

func liveNestedIsOneValue(t *testing.T, most int64) {
	x := newLiveItems(t, false, true)
	var inner, outer, top atomic.Int64
	even := defineLive(t, x.s, "even", func(q *store.QueryCtx, group string) (bool, error) {
		inner.Add(1)
		list, err := x.b.In(q).Where(store.Eq("group", group)).All()
		return len(list)%2 == 0, err
	})
	said := defineLive(t, x.s, "said", func(q *store.QueryCtx, n int) (string, error) {
		outer.Add(1)
		ok, err := even.RunIn(q, "a")
		return fmt.Sprint(n, ok), err
	})
	all := defineLive(t, x.s, "all", func(q *store.QueryCtx, _ none) (string, error) {
		top.Add(1)
		v, err := q.Run("said", 1)
		w, other := said.RunIn(q, 2)
		return fmt.Sprint(v, w), errors.Join(err, other)
	})
	first := subscribeLive(t, said, 0)
	subscribeLive(t, said, 1)
	subscribeLive(t, said, 2)
	sub := subscribeLive(t, all, none{})
	counts := func() []int64 { return []int64{inner.Load(), outer.Load(), top.Load()} }
	require.Equal(t, []int64{1, 3, 1}, counts())
	x.exchange(1, 2, "group")
	settleLive(t, x.s)
	require.Equal(t, []int64{2, 3, 1}, counts())
	x.set(4, "group", "a")
	settleLive(t, x.s)
	require.Equal(t, int64(3), inner.Load())
	require.GreaterOrEqual(t, outer.Load(), int64(6))
	require.LessOrEqual(t, outer.Load(), most)
	require.LessOrEqual(t, top.Load(), int64(3))
	require.Equal(t, "1 true2 true", sub.Current().Result)
	require.Equal(t, "0 true", first.Current().Result)
}

func liveQueryAll(of func(b *store.Bucket) *store.Query[store.Record]) func(b *store.Bucket) (any, error) {
	return func(b *store.Bucket) (any, error) { return liveResult(of(b).All()) }
}

// quietBehindTen are writes behind the first ten by n, by rank and by insertion.
func quietBehindTen(x *liveItems) {
	x.set(11, "note", "eleventh")
	x.remove(11)
	x.insert(99, 105, "a")
	x.set(99, "n", 115)
	x.set(99, "rank", 1000)
	x.remove(30)
	x.set(12, "note", "now the eleventh")
	x.set(12, "n", 500)
}

// quietBeforeTen are writes outside of the last ten by n, by rank and by insertion.
func quietBeforeTen(x *liveItems) {
	x.set(20, "note", "eleventh from the end")
	x.remove(20)
	x.set(19, "n", 5)
	x.set(19, "rank", -1.5)
	x.remove(1)
}

var liveQuiets = []liveQuiet{
	{
		"Get", func(b *store.Bucket) (any, error) { r, ok := b.Get(5); return []any{r, ok}, nil },
		func(x *liveItems) { x.set(6, "n", 1); x.remove(7); x.insert(99, 50, "a") },
		func(x *liveItems) { x.set(5, "note", "x") },
	},
	{
		"Get of none", func(b *store.Bucket) (any, error) { r, ok := b.Get(50); return []any{r, ok}, nil },
		func(x *liveItems) { x.insert(51, 50, "a"); x.remove(51) },
		func(x *liveItems) { x.insert(50, 50, "a") },
	},
	{
		"equality", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where(store.Eq("group", "a")) }),
		func(x *liveItems) {
			x.set(2, "note", "x")
			x.insert(98, 1, "b")
			x.insert(99, 1, "c")
			x.remove(4)
			x.set(6, "group", "c")
		},
		func(x *liveItems) { x.set(8, "group", "a") },
	},
	{
		"equality behind a path", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where(store.Eq("o.p", "a")) }),
		func(x *liveItems) { x.set(2, "note", "x"); x.insert(98, 1, "b"); x.remove(4) },
		func(x *liveItems) { x.set(8, "o", map[string]any{"p": "a"}) },
	},
	{
		"one of several", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where(store.In("n", 50, 70, 1000)) }),
		func(x *liveItems) { x.set(6, "note", "x"); x.insert(98, 60, "b"); x.remove(8); x.set(9, "n", 71) },
		func(x *liveItems) { x.insert(99, 1000, "b") },
	},
	{
		"one or another", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] {
			return b.Where(store.Or(store.Eq("n", 50), store.Gt("rank", 280)))
		}),
		func(x *liveItems) { x.set(6, "note", "x"); x.insert(98, 60, "b"); x.remove(28); x.set(9, "rank", 280) },
		func(x *liveItems) { x.set(10, "rank", 281) },
	},
	{
		"range", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where(store.Between("n", 50, 100)) }),
		func(x *liveItems) {
			x.insert(98, 49, "a")
			x.insert(99, 101, "a")
			x.set(98, "n", 102)
			x.set(20, "note", "x")
			x.remove(21)
		},
		func(x *liveItems) { x.set(98, "n", 100) },
	},
	{
		"range of another type", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] {
			return b.Where(store.Gt("rank", 50), store.Lte("rank", 99.5))
		}),
		func(x *liveItems) { x.insert(98, 50, "a"); x.insert(99, 100, "a"); x.set(5, "note", "x"); x.remove(21) },
		func(x *liveItems) { x.set(98, "rank", 50.25) },
	},
	{
		"equality and range", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] {
			return b.Where(store.Eq("group", "a"), store.Gte("n", 250)).OrderBy(store.Desc("n"))
		}),
		func(x *liveItems) {
			x.set(26, "note", "x")
			x.insert(98, 249, "a")
			x.insert(99, 1000, "b")
			x.remove(3)
		},
		func(x *liveItems) { x.insert(97, 250, "a") },
	},
	{
		"prefix", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where(store.HasPrefix("note", "x")) }),
		func(x *liveItems) { x.set(1, "note", "w"); x.set(2, "note", "y"); x.set(1, "note", ""); x.remove(2) },
		func(x *liveItems) { x.set(3, "note", "xy") },
	},
	{
		"first ten by n", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.OrderBy(store.Asc("n")).Limit(10) }),
		quietBehindTen, func(x *liveItems) { x.insert(97, 95, "a") },
	},
	{
		"first ten by rank, of a group", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] {
			return b.Where(store.Eq("group", "a")).OrderBy(store.Asc("rank")).Limit(5)
		}),
		quietBehindTen, func(x *liveItems) { x.set(10, "group", "a"); x.set(10, "rank", 5) },
	},
	{
		"first ten of the bucket", func(b *store.Bucket) (any, error) { return liveResult(b.First(10)) },
		quietBehindTen, func(x *liveItems) { x.remove(10) },
	},
	{
		"ten without an order", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where().Limit(10) }),
		quietBehindTen, func(x *liveItems) { x.set(10, "note", "x") },
	},
	{
		"all until the tenth", func(b *store.Bucket) (any, error) {
			var out []store.Record
			for r := range b.All() {
				if out = append(out, r); len(out) == 10 {
					break
				}
			}
			return out, nil
		},
		quietBehindTen, func(x *liveItems) { x.remove(9) },
	},
	{
		"each until the tenth", func(b *store.Bucket) (any, error) {
			var out []store.Record
			err := b.OrderBy(store.Asc("rank")).Each(func(r *store.Record) bool { out = append(out, *r); return len(out) < 10 })
			return out, err
		},
		quietBehindTen, func(x *liveItems) { x.set(25, "rank", 99) },
	},
	{
		"first page", func(b *store.Bucket) (any, error) {
			page, err := b.OrderBy(store.Asc("n")).Page(9, "") // and a look at the next one
			return []any{page.Records, page.HasMore}, err
		},
		quietBehindTen, func(x *liveItems) { x.insert(97, 1, "a") },
	},
	{
		"last ten by n", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.OrderBy(store.Desc("n")).Limit(10) }),
		quietBeforeTen, func(x *liveItems) { x.insert(97, 215, "a") },
	},
	{
		"last ten by rank", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.OrderBy(store.Desc("rank")).Limit(10) }),
		quietBeforeTen, func(x *liveItems) { x.set(25, "rank", 1) },
	},
	{
		"last ten of the bucket", func(b *store.Bucket) (any, error) { return liveResult(b.Last(10)) },
		quietBeforeTen, func(x *liveItems) { x.insert(97, 1, "a") },
	},
	{
		"second page", func(b *store.Bucket) (any, error) {
			q := b.OrderBy(store.Asc("n")).Select("group")
			page, err := q.Page(5, "")
			if err == nil {
				page, err = q.Page(4, page.Next)
			}
			return []any{page.Records, page.HasMore}, err
		},
		quietBehindTen, func(x *liveItems) { x.set(8, "group", "c") },
	},
	{
		"behind a key", func(b *store.Bucket) (any, error) {
			page, err := b.Paginate(store.PageOptions{After: 20, Limit: 4})
			return []any{page.Records, page.HasMore}, err
		},
		func(x *liveItems) {
			x.remove(19)
			x.set(1, "note", "x")
			x.set(26, "note", "x")
			x.remove(26)
			x.insert(99, 1, "a")
		},
		func(x *liveItems) { x.remove(24) },
	},
	{
		"Select", liveQueryAll(func(b *store.Bucket) *store.Query[store.Record] { return b.Where(store.Lt("n", 100)).Select("group") }),
		func(x *liveItems) { x.set(3, "note", "x"); x.set(4, "rank", 4); x.set(5, "o", nil) },
		func(x *liveItems) { x.set(5, "group", "b") },
	},
	{
		"Sum", func(b *store.Bucket) (any, error) { return liveResult(b.Sum("n")) },
		func(x *liveItems) {
			x.set(3, "note", "x")
			x.set(4, "rank", 4)
			x.exchange(5, 6, "n")
			x.insert(99, 0, "a")
		},
		func(x *liveItems) { x.set(5, "n", 1) },
	},
	{
		"Count", func(b *store.Bucket) (any, error) { return liveResult(b.Count(store.Eq("group", "a"))) },
		func(x *liveItems) {
			x.exchange(5, 6, "group")
			x.both(func(h *store.Bucket) error {
				if err := h.Delete(x.t.Context(), 7); err != nil {
					return err
				}
				_, err := h.Insert(x.t.Context(), store.Fields{"id": 99, "group": "a"})
				return err
			})
			x.set(7+2, "note", "x")
			x.insert(98, 1, "b")
		},
		func(x *liveItems) { x.insert(97, 1, "a") },
	},
	{
		"Count of a range", func(b *store.Bucket) (any, error) {
			return liveResult(b.Where(store.Between("n", 50, 100)).Count())
		},
		func(x *liveItems) { x.exchange(5, 20, "n"); x.set(6, "n", 61); x.remove(21) },
		func(x *liveItems) { x.remove(7) },
	},
	{
		"Exists", func(b *store.Bucket) (any, error) { return liveResult(b.Where(store.Eq("group", "a")).Exists()) },
		func(x *liveItems) { x.remove(1); x.remove(3); x.insert(99, 1, "a"); x.set(5, "note", "x") },
		func(x *liveItems) {
			_, err := x.b.UpdateMany(x.t.Context(), store.Fields{"group": "b"})
			require.NoError(x.t, err)
		},
	},
	{
		"Min and Max", func(b *store.Bucket) (any, error) {
			least, _, err := b.Min("n")
			most, _, other := b.Where(store.Eq("group", "a")).Max("rank")
			return []any{least, most}, errors.Join(err, other)
		},
		func(x *liveItems) { x.set(5, "n", 11); x.remove(7); x.set(2, "rank", 1e9); x.exchange(1, 2, "n") },
		func(x *liveItems) { x.remove(29) },
	},
	{
		"CountDistinct", func(b *store.Bucket) (any, error) { return liveResult(b.Where().CountDistinct("group")) },
		func(x *liveItems) { x.set(1, "group", "b"); x.remove(3); x.insert(99, 1, "a"); x.set(2, "n", 3) },
		func(x *liveItems) { x.set(1, "group", "c") },
	},
	{
		"groups", func(b *store.Bucket) (any, error) { return liveResult(b.GroupBy("group").Count()) },
		func(x *liveItems) { x.exchange(5, 6, "group"); x.set(1, "n", 2) },
		func(x *liveItems) { x.set(1, "group", "b") },
	},
	{
		"sums of groups", func(b *store.Bucket) (any, error) { return liveResult(b.Where().GroupBy("group").Sum("n")) },
		func(x *liveItems) { x.exchange(5, 7, "n"); x.set(1, "rank", 2) },
		func(x *liveItems) { x.set(1, "n", 2) },
	},
}

// A number that stays equal but changes its type, or its sign, is a change.
func TestLiveNumberForm(t *testing.T) {
	for _, typ := range []store.Type{store.Number, store.Any, store.Float} {
		t.Run(typ.String(), func(t *testing.T) {
			ctx := t.Context()
			s := openStore(t, store.Options{})
			b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: typ}}})
			require.NoError(t, err)
			q, err := store.DefineQuery(s, "q", func(q *store.QueryCtx, _ struct{}) ([]store.Record, error) {
				return b.In(q).Where().Select("n").All()
			})
			require.NoError(t, err)
			_, err = b.Insert(ctx, store.Fields{"id": 1, "n": 0})
			require.NoError(t, err)
			sub, err := q.Subscribe(ctx, struct{}{})
			require.NoError(t, err)
			for _, n := range []any{math.Copysign(0, -1), 0, 3.0, 3, 3.0} {
				_, err := b.Update(ctx, 1, store.Fields{"n": n})
				require.NoError(t, err)
				require.NoError(t, s.Settle(ctx))
				now, _ := b.Get(1)
				require.Equal(t, fmt.Sprintf("%T %v", now.Get("n"), now.Get("n")), fmt.Sprintf("%T %v", sub.Current().Result[0].Get("n"), sub.Current().Result[0].Get("n")))
			}
		})
	}
}

// The same inside of a field of a Go type: a query that shows the field is told.
func TestLiveNumberFormInside(t *testing.T) {
	type item struct {
		ID    int            `store:"id,key"`
		Inner map[string]any `store:"inner"`
	}
	ctx := t.Context()
	s := openStore(t, store.Options{})
	b, err := store.Define[item](ctx, s, "b")
	require.NoError(t, err)
	q, err := store.DefineQuery(s, "q", func(q *store.QueryCtx, _ struct{}) ([]item, error) {
		return b.In(q).Where().Select("inner").All()
	})
	require.NoError(t, err)
	_, err = b.Insert(ctx, item{ID: 1, Inner: map[string]any{"n": 3}})
	require.NoError(t, err)
	sub, err := q.Subscribe(ctx, struct{}{})
	require.NoError(t, err)
	for _, n := range []any{3.0, 3, 3.0} {
		_, err := b.Patch(ctx, 1, store.Fields{"inner": map[string]any{"n": n}})
		require.NoError(t, err)
		require.NoError(t, s.Settle(ctx))
		now, _ := b.Get(1)
		require.Equal(t, fmt.Sprintf("%T", now.Inner["n"]), fmt.Sprintf("%T", sub.Current().Result[0].Inner["n"]))
	}
}
