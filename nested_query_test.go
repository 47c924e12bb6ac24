package store_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The records of the queries: shop orders whose properties have types, so that what
// they are compared with is converted.
type (
	shopLine struct {
		SKU string  `store:"sku"`
		Qty int     `store:"qty"`
		Per float64 `store:"per"`
	}
	shopAddress struct {
		Zip   string    `store:"zip"`
		Since time.Time `store:"since"`
		Floor *int      `store:"floor"`
	}
	shopOrder struct {
		ID      int         `store:"id,key"`
		Address shopAddress `store:"address"`
		Lines   []shopLine  `store:"lines"`
		Tags    []string    `store:"tags"`
	}
)

var shopDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func shopOrders(r *rand.Rand, n int) []shopOrder {
	out := make([]shopOrder, n)
	for i := range out {
		o := &out[i]
		o.ID = i + 1
		o.Address = shopAddress{Zip: fmt.Sprintf("%05d", r.IntN(30)), Since: shopDay.AddDate(0, 0, r.IntN(20))}
		if r.IntN(2) == 0 {
			o.Address.Floor = of(r.IntN(5) - 1)
		}
		for range r.IntN(3) {
			o.Lines = append(o.Lines, shopLine{SKU: string(rune('a' + r.IntN(3))), Qty: r.IntN(6), Per: float64(r.IntN(8)) / 2})
		}
		for range r.IntN(3) {
			o.Tags = append(o.Tags, string(rune('x'+r.IntN(3))))
		}
	}
	return out
}

// shopBuckets are the same orders in the bucket of the struct and in a dynamic one.
func shopBuckets(t *testing.T, s *store.Store, orders []shopOrder) map[string]*store.Bucket {
	t.Helper()
	typed, err := store.Define[shopOrder](bg, s, "typed")
	require.NoError(t, err)
	def, err := s.Definition("typed")
	require.NoError(t, err)
	_, err = s.DefineBucket(bg, "dynamic", def)
	require.NoError(t, err)
	over, err := store.Typed[shopOrder](s, "dynamic")
	require.NoError(t, err)
	for _, b := range []*store.TypedBucket[shopOrder]{typed, over} {
		_, err := b.InsertMany(bg, orders)
		require.NoError(t, err)
	}
	return map[string]*store.Bucket{"typed": typed.Dynamic(), "dynamic": over.Dynamic()}
}

func TestNestedQueries(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := openStore(t, store.Options{})
	orders := shopOrders(r, 300)
	buckets := shopBuckets(t, s, orders)
	qty := func(o shopOrder, i int) (int, bool) {
		if i < len(o.Lines) {
			return o.Lines[i].Qty, true
		}
		return 0, false
	}
	zip, day, n := fmt.Sprintf("%05d", r.IntN(30)), shopDay.AddDate(0, 0, r.IntN(20)), r.IntN(6)
	for i, test := range []struct {
		f     store.Filter
		match func(o shopOrder) bool
	}{
		{store.Eq("address.zip", zip), func(o shopOrder) bool { return o.Address.Zip == zip }},
		{store.Ne("address.zip", zip), func(o shopOrder) bool { return o.Address.Zip != zip }},
		{store.In("address.zip", zip, "00001", "none"), func(o shopOrder) bool { return o.Address.Zip == zip || o.Address.Zip == "00001" }},
		{store.HasPrefix("address.zip", "0001"), func(o shopOrder) bool { return strings.HasPrefix(o.Address.Zip, "0001") }},
		{store.HasSuffix("address.zip", "7"), func(o shopOrder) bool { return strings.HasSuffix(o.Address.Zip, "7") }},
		{store.Eq("address.since", day.Format(time.DateOnly)), func(o shopOrder) bool { return o.Address.Since.Equal(day) }},
		{store.Gt("address.since", day.In(time.FixedZone("", 7200))), func(o shopOrder) bool { return o.Address.Since.After(day) }},
		{store.Lte("address.since", day.UnixMilli()), func(o shopOrder) bool { return !o.Address.Since.After(day) }},
		{store.Between("address.since", "2024-01-03", "2024-01-09T00:00:00Z"), func(o shopOrder) bool { return o.Address.Since.Day() >= 3 && o.Address.Since.Day() <= 9 }},
		{store.In("address.since", "2024-01-03", day), func(o shopOrder) bool { return o.Address.Since.Day() == 3 || o.Address.Since.Equal(day) }},
		{store.Eq("lines.0.qty", float64(n)), func(o shopOrder) bool { q, ok := qty(o, 0); return ok && q == n }},
		{store.Gte("lines.1.qty", float32(n)), func(o shopOrder) bool { q, ok := qty(o, 1); return ok && q >= n }},
		{store.Lt("lines.0.qty", 2.5), func(o shopOrder) bool { q, ok := qty(o, 0); return ok && q <= 2 }},
		{store.Eq("lines.0.per", n/2), func(o shopOrder) bool { return len(o.Lines) > 0 && o.Lines[0].Per == float64(n/2) }},
		{store.Exists("lines.1"), func(o shopOrder) bool { return len(o.Lines) > 1 }},
		{store.Exists("address.floor"), func(o shopOrder) bool { return o.Address.Floor != nil }},
		{store.Not(store.Exists("lines.0.sku")), func(o shopOrder) bool { return len(o.Lines) == 0 }},
		{store.Eq("address.floor", nil), func(o shopOrder) bool { return o.Address.Floor == nil }},
		{store.Contains("tags", "x"), func(o shopOrder) bool { return slices.Contains(o.Tags, "x") }},
		{store.And(store.Gt("lines.0.qty", 1), store.Or(store.Eq("tags.0", "x"), store.Eq("lines.0.sku", "a"))), func(o shopOrder) bool {
			q, _ := qty(o, 0)
			return q > 1 && (len(o.Tags) > 0 && o.Tags[0] == "x" || o.Lines[0].SKU == "a")
		}},
	} {
		var want []int
		for _, o := range orders {
			if test.match(o) {
				want = append(want, o.ID)
			}
		}
		for name, b := range buckets {
			require.Equal(t, want, shopIDs(t, b.Where(test.f)), "%s %d", name, i)
			require.Equal(t, len(want), count(t, b, test.f), "%s %d", name, i)
		}
	}
	for name, b := range buckets {
		t.Run(name, func(t *testing.T) { shopOrderings(t, b, orders) })
	}
}

func shopIDs(t *testing.T, q *store.Query[store.Record]) []int {
	t.Helper()
	all, err := q.All()
	require.NoError(t, err)
	var ids []int
	for _, r := range all {
		ids = append(ids, int(r.Get("id").(int64)))
	}
	return ids
}

// shopOrderings are orders, groups, aggregates and projections over paths.
func shopOrderings(t *testing.T, b *store.Bucket, orders []shopOrder) {
	sorted := slices.Clone(orders)
	slices.SortStableFunc(sorted, func(a, b shopOrder) int {
		return cmp.Or(b.Address.Since.Compare(a.Address.Since), cmp.Compare(a.Address.Zip, b.Address.Zip))
	})
	var want []int
	for _, o := range sorted {
		want = append(want, o.ID)
	}
	require.Equal(t, want, shopIDs(t, b.Where().OrderBy(store.Desc("address.since"), store.Asc("address.zip"))))
	require.Equal(t, want[5:12], shopIDs(t, b.Where().OrderBy(store.Desc("address.since"), store.Asc("address.zip")).Offset(5).Limit(7)))

	sum, least, most, lines := 0.0, 99, -1, 0
	byZip := map[string]int{}
	for _, o := range orders {
		byZip[o.Address.Zip]++
		if len(o.Lines) > 0 {
			lines++
			sum, least, most = sum+o.Lines[0].Per, min(least, o.Lines[0].Qty), max(most, o.Lines[0].Qty)
		}
	}
	got, err := b.Where().Sum("lines.0.per")
	require.NoError(t, err)
	require.Equal(t, sum, got)
	lo, _, err := b.Where().Min("lines.0.qty")
	require.NoError(t, err)
	require.EqualValues(t, least, lo)
	hi, _, err := b.Where().Max("lines.0.qty")
	require.NoError(t, err)
	require.EqualValues(t, most, hi)
	groups, err := b.Where().GroupBy("address.zip").Count()
	require.NoError(t, err)
	require.Len(t, groups, len(byZip))
	for _, g := range groups {
		require.Equal(t, byZip[g.Key[0].(string)], g.Value)
	}
	shown, err := b.Where().Select("id", "address").All()
	require.NoError(t, err)
	for i, r := range shown {
		require.Equal(t, orders[i].Address.Zip, r.Get("address").(map[string]any)["zip"])
		require.Nil(t, r.Get("lines"))
	}
	var qe *store.QueryError
	_, err = b.Where().Select("address.zip").All() // whole fields only
	require.ErrorAs(t, err, &qe)
}

// Live queries and transactions over nested paths mind what they have read.
func TestNestedLiveAndTransactions(t *testing.T) {
	s := openStore(t, store.Options{})
	orders := shopOrders(rand.New(rand.NewPCG(1, 1)), 20)
	shopBuckets(t, s, orders)
	for _, name := range []string{"typed", "dynamic"} {
		h, err := store.Typed[shopOrder](s, name)
		require.NoError(t, err)
		q := defineLive(t, s, "zip of "+name, func(q *store.QueryCtx, zip string) (int, error) {
			return h.In(q).Where(store.Eq("address.zip", zip), store.Gte("lines.0.qty", 1)).Count()
		})
		sub := subscribeLive(t, q, "99999")
		require.Zero(t, nextOf(t, sub).Result)
		move := func(id, n int) {
			_, err := h.Update(bg, id, func(o *shopOrder) error {
				o.Address.Zip, o.Lines = "99999", []shopLine{{Qty: n}}
				return nil
			})
			require.NoError(t, err)
		}
		move(1, 1)
		require.Equal(t, 1, nextOf(t, sub).Result)
		move(2, 0)
		move(3, 5)
		require.Equal(t, 2, nextOf(t, sub).Result)
		_, err = h.Update(bg, 7, func(o *shopOrder) error { o.Tags = []string{"z"}; return nil })
		require.NoError(t, err)
		quiet(t, s, sub)
		sub.Close()

		// A transaction that has read a path conflicts with a change there, and with no other.
		var conflict *store.ConflictError
		for _, test := range []struct {
			change   func(o *shopOrder)
			conflict bool
		}{{func(o *shopOrder) { o.Address.Zip = "88888" }, true}, {func(o *shopOrder) { o.Tags = []string{"y"} }, false}} {
			err := s.Transaction(bg, func(tx *store.Tx) error {
				if _, err := h.In(tx).Where(store.Eq("address.zip", "88888")).Count(); err != nil {
					return err
				}
				if _, err := h.Update(bg, 9, func(o *shopOrder) error { test.change(o); return nil }); err != nil {
					return err
				}
				_, err := h.In(tx).Update(bg, 10, func(o *shopOrder) error { o.Tags = append(o.Tags, "t"); return nil })
				return err
			})
			if test.conflict {
				require.ErrorAs(t, err, &conflict, name)
			} else {
				require.NoError(t, err, name)
			}
		}
	}
}
