package store_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// explained has 2,000 records: "u" is unique, "g" has 4 values, "h" 8, "n" counts
// up, and every other record has "m". Nothing but "plain" is without an index.
func explained(t testing.TB) *store.Bucket {
	t.Helper()
	var rows []store.Fields
	for i := range 2000 {
		f := store.Fields{"id": i, "u": fmt.Sprint("u", i), "g": i / 7 % 4, "h": fmt.Sprint("h", i/5%8), "n": i, "plain": i}
		if i%2 == 0 {
			f["m"] = i
		}
		rows = append(rows, f)
	}
	return kindsBucket(t, store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int}, "u": {Type: store.String, Unique: true}, "g": {Type: store.Int, Required: true}, "h": {Type: store.String, Required: true},
			"n": {Type: store.Int, Required: true}, "m": {Type: store.Int}, "plain": {Type: store.Int},
		},
		Indexes: []store.Index{{"g"}, {"h"}, {"n"}, {"m"}, {"h", "n"}},
	}, rows...)
}

// TestExplain: the path, the index, what is read of it, and the order, with the
// number of records that were looked at.
func TestExplain(t *testing.T) {
	b := explained(t)
	for _, c := range []struct {
		name              string
		q                 *store.Query[store.Record]
		path, index, span string
		order             string
		touched, returned int // touched: at most
		filters           int
	}{
		{"everything", b.Where(), "scan", "", "", "bucket", 2000, 2000, 0},
		{"a field without an index", b.Where(store.Eq("plain", 7)), "scan", "", "", "bucket", 2000, 1, 1},
		{"a key", b.Where(store.Eq("id", 7)), "key", "", "", "bucket", 1, 1, 0},
		{"a key and more", b.Where(store.Eq("id", 7), store.Eq("plain", 8)), "key", "", "", "bucket", 1, 0, 1},
		{"keys", b.Where(store.In("id", 7, 8, 9999, 8)), "keys", "", "3 keys", "sort", 2, 2, 0},
		{"one key of an index", b.Where(store.Eq("g", 1)), "index", "g", "one key", "bucket", 502, 502, 0},
		{"a unique field", b.Where(store.Eq("u", "u5")), "index", "u", "one key", "bucket", 1, 1, 0},
		{"keys of an index", b.Where(store.In("u", "u1", "u2", "u3")), "index", "u", "3 keys", "sort", 3, 3, 0},
		{"an interval", b.Where(store.Between("n", 10, 19)), "index", "n", "an interval", "sort", 10, 10, 0},
		{"a compound key", b.Where(store.Eq("h", "h1"), store.Eq("n", 5)), "index", "n", "one key", "bucket", 1, 1, 1},
		{"a compound interval", b.Where(store.Eq("h", "h1"), store.Lt("n", 90)), "index", "h,n", "an interval", "sort", 15, 15, 0},
		{"the order of an index", b.OrderBy(store.Asc("n")).Limit(5), "index", "n", "all", "index", 5, 5, 0},
		{"an index backward", b.OrderBy(store.Desc("n")).Limit(5), "index", "n", "all", "index backward", 5, 5, 0},
		{"an interval in its order", b.Where(store.Gte("n", 100)).OrderBy(store.Asc("n")).Limit(5), "index", "n", "an interval", "index", 5, 5, 0},
		{"a compound index in its order", b.Where(store.Eq("h", "h2")).OrderBy(store.Desc("n")).Limit(5), "index", "h,n", "an interval", "index backward", 5, 5, 0},
		{"sort", b.OrderBy(store.Asc("plain")), "scan", "", "", "sort", 2000, 2000, 0},
		{"top", b.OrderBy(store.Desc("plain")).Limit(7).Offset(3), "scan", "", "", "top 10", 2000, 7, 0},
		{"groups", b.OrderBy(store.Asc("n"), store.Asc("plain")), "index", "n", "all", "index, then sort", 2000, 2000, 0},
		{"never", b.Where(store.Or()), "none", "", "", "bucket", 0, 0, 0},
		{"never, by numbers", b.Where(store.Between("n", 1.25, 1.75)), "none", "", "", "bucket", 0, 0, 0},
		{"no records asked for", b.Where(store.Eq("g", 1)).Limit(0), "none", "", "", "bucket", 0, 0, 1},
	} {
		e, err := c.q.Explain()
		require.NoError(t, err, c.name)
		require.Equal(t, "kinds", e.Bucket, c.name)
		require.Equal(t, []string{c.path, c.index, c.span, c.order}, []string{e.Path, strings.Join(e.Index, ","), e.Span, e.Order}, c.name)
		require.Equal(t, c.returned, e.Returned, c.name)
		require.LessOrEqual(t, e.TouchedRows, c.touched, c.name)
		require.GreaterOrEqual(t, e.TouchedRows, e.Returned, c.name)
		require.Len(t, e.Filters, c.filters, "%s: %v", c.name, e.Filters)
		checkExplanationText(t, e)
	}
}

// checkExplanationText: the text names the index, the conditions and the rows,
// and all of it is in the JSON form.
func checkExplanationText(t testing.TB, e store.Explanation) {
	t.Helper()
	text := e.String()
	require.True(t, strings.HasPrefix(text, e.Path), text)
	require.True(t, strings.HasSuffix(text, "\n"), text)
	require.Contains(t, text, e.Bucket)
	require.Contains(t, text, e.Order)
	if e.Index != nil {
		require.Contains(t, text, "("+strings.Join(e.Index, ", ")+")")
	}
	for _, f := range e.Filters {
		require.Contains(t, text, f)
	}
	require.Contains(t, text, fmt.Sprintf("rows: %d estimated, %d touched, %d returned", e.EstimatedRows, e.TouchedRows, e.Returned))
	raw, err := json.Marshal(e)
	require.NoError(t, err)
	var again store.Explanation
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, e, again)
}

// TestExplainHugeLimits: an offset and a limit beyond all numbers are no negative
// one.
func TestExplainHugeLimits(t *testing.T) {
	b := explained(t)
	for _, offset := range []int{1, math.MaxInt - 1, math.MaxInt} {
		e, err := b.OrderBy(store.Asc("plain")).Offset(offset).Limit(math.MaxInt).Explain()
		require.NoError(t, err)
		require.NotContains(t, e.Order, "-")
	}
}

func TestExplainIntersection(t *testing.T) {
	e, err := explained(t).Where(store.Eq("g", 1), store.Eq("h", "h3"), store.Ne("plain", 5)).Explain()
	require.NoError(t, err)
	require.Equal(t, "index", e.Path)
	require.Equal(t, []string{"h"}, e.Index)
	require.Equal(t, [][]string{{"g"}}, e.Intersect)
	require.Less(t, e.TouchedRows, 150)
	require.GreaterOrEqual(t, e.TouchedRows, e.Returned)
	require.Contains(t, e.Filters, "not plain = 5")
	require.Contains(t, e.String(), "intersected with (g)")
	checkExplanationText(t, e)
}

func TestExplainUnion(t *testing.T) {
	e, err := explained(t).Where(store.Or(store.Eq("u", "u1"), store.And(store.Eq("id", 5), store.Gt("plain", 1)), store.Between("n", 7, 8))).Explain()
	require.NoError(t, err)
	require.Equal(t, "union", e.Path)
	require.Equal(t, "bucket", e.Order)
	require.Equal(t, 4, e.Returned)
	require.LessOrEqual(t, e.TouchedRows, 8)
	var branches []string
	for _, u := range e.Union {
		branches = append(branches, u.Path+" "+strings.Join(u.Index, ",")+" "+u.Span)
		require.Zero(t, u.Returned)
		require.Zero(t, u.TouchedRows)
	}
	require.Equal(t, []string{"index u one key", "key  ", "index n an interval"}, branches)
	text := e.String()
	for _, part := range []string{"\n  index (u), one key", "\n  key", "\n  index (n), an interval", " or "} {
		require.Contains(t, text, part)
	}
	checkExplanationText(t, e)
}

// TestExplainConditions: each condition is shown as a person would write it,
// shortened.
func TestExplainConditions(t *testing.T) {
	b := kindsBucket(t, kindsDefinition(), kindsRows()...)
	for want, f := range map[string]store.Filter{
		`int = 1`:                          store.Eq("int", 1),
		`not string = "x"`:                 store.Ne("string", "x"),
		`object.k exists`:                  store.Exists("object.k"),
		`not int in 3 values`:              store.NotIn("int", 1, 2, 3, 3),
		`int within [1, 2]`:                store.Between("int", 1, 2),
		`string contains`:                  store.Contains("string", "x"),
		`string ends with "x"`:             store.HasSuffix("string", "x"),
		`(int = 1 or string = "x")`:        store.Or(store.Eq("int", 1), store.Eq("string", "x")),
		`(not int = 1 or not bool = true)`: store.Not(store.And(store.Eq("int", 1), store.Eq("bool", true))),
	} {
		e, err := b.Where(f).Explain()
		require.NoError(t, err)
		require.Equal(t, []string{want}, e.Filters)
	}
	e, err := b.Where(store.Eq("string", strings.Repeat("ž", 1<<20))).Explain()
	require.NoError(t, err)
	require.Less(t, len(e.String()), 500)
}

// TestExplainSnapshot: a query of a snapshot is explained in its state.
func TestExplainSnapshot(t *testing.T) {
	s := specStore(t)
	b, err := s.Bucket("kinds")
	require.NoError(t, err)
	snap := s.Snapshot()
	defer snap.Close()
	require.NoError(t, b.Clear(t.Context()))
	e, err := b.In(snap).Where(store.Gt("int", 0)).Explain()
	require.NoError(t, err)
	require.Equal(t, 2, e.Returned)
	e, err = b.Where(store.Gt("int", 0)).Explain()
	require.NoError(t, err)
	require.Zero(t, e.Returned)
	checkExplanationText(t, e)
}
