package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/internal/table"
)

// PathAnswer is what one path of a query brings if it is taken, whether or not
// the estimates would have taken it.
type PathAnswer struct {
	Path      string
	Records   []Record
	Touched   int
	Unordered bool
}

// AnswerByEachPath answers a query by the scan and by every candidate path, with
// and without an intersection, in the query's order and in any. With a cursor it
// is the page behind that.
func AnswerByEachPath[R any](q *Query[R], cursor Cursor, limit int) ([]PathAnswer, error) {
	_, x, err := q.start(q.at)
	if err != nil {
		return nil, err
	}
	defer x.end()
	p := x.p
	if p.never || limit == 0 {
		return nil, nil
	}
	var after *position
	if cursor != "" {
		if after, err = p.locate(&x.rd, cursor); err != nil {
			return nil, err
		}
	}
	var out []PathAnswer
	for i := pathScan; i < p.cands; i++ {
		out = append(out, p.answersBy(i, x.view, after, q.spec.offset, limit)...)
	}
	return out, nil
}

// answersBy completes the choice of one path as pick does.
func (p *plan) answersBy(i int, v table.View, after *position, offset, limit int) (out []PathAnswer) {
	all, path := v.GuessAll(), p.path(i)
	for _, unordered := range []bool{false, true} {
		if unordered && (path.ordering || after != nil || offset > 0 || limit >= 0) {
			continue
		}
		n := need{unordered: unordered, want: -1}
		if limit >= 0 {
			n.want = offset + limit
		}
		ch := choice{path: i}
		p.cost(v, n, &ch, all, p.guessMatches(v, all), p.guess(v, path))
		name := fmt.Sprintf("path %d (%v), unordered %v", i, path.access, unordered)
		out = append(out, p.take(name, ch, v, after, unordered, offset, limit))
		if p.alsoAll(&ch) {
			out = append(out, p.take(name+", intersected", ch, v, after, unordered, offset, limit))
		}
	}
	return out
}

// alsoAll intersects an equality with all others that there is room for.
func (p *plan) alsoAll(c *choice) bool {
	if x := p.path(c.path); x.access != accessIndex || !x.inRows() {
		return false
	}
	n := 0
	for i := range p.cands {
		x := p.path(i)
		if i != c.path && x.inRows() && x.access == accessIndex && n < len(c.also) {
			c.also[n] = i + 1
			n++
		}
	}
	return n > 0
}

func (p *plan) take(name string, ch choice, v table.View, after *position, unordered bool, offset, limit int) PathAnswer {
	x := p.b.lend()
	defer x.end()
	x.p, x.view, x.after = p, v, after
	x.begin(unordered, offset, limit)
	x.c, x.rows = ch, !ch.exact || after != nil
	x.size = 1 + rand.IntN(x.size) // the size of a batch must not matter
	a := PathAnswer{Path: name, Unordered: unordered}
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		for _, v := range batch {
			a.Records = append(a.Records, Record{v})
		}
	}
	a.Touched = x.touched
	return a
}

// chosen runs a query as an answer does and returns how many records it looked
// at and how many came.
func chosen[R any](t *testing.T, q *Query[R], cursor Cursor, limit int) (touched, came int) {
	t.Helper()
	_, x, err := q.start(q.at)
	require.NoError(t, err)
	defer x.end()
	if cursor != "" {
		x.after, err = x.p.locate(&x.rd, cursor)
		require.NoError(t, err)
	}
	x.begin(false, 0, limit)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		came += len(batch)
	}
	return x.touched, came
}

// touchedBucket has 4,000 records: "u" is unique, "g" has 4 values and "h" 8,
// which halve and quarter each other, "n" counts down.
func touchedBucket(t *testing.T) *Bucket {
	ctx := context.Background()
	s, err := Open(ctx, Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(ctx)) })
	b, err := s.DefineBucket(ctx, "b", Definition{
		Key: "id",
		Schema: Schema{
			"id": {Type: Int}, "u": {Type: String, Unique: true}, "g": {Type: Int, Required: true},
			"h": {Type: String, Required: true}, "n": {Type: Int, Required: true}, "m": {Type: Int},
		},
		Indexes: []Index{{"g"}, {"h"}, {"n"}, {"m"}, {"h", "n"}},
	})
	require.NoError(t, err)
	var list []Fields
	for i := range 4000 {
		f := Fields{"id": i, "u": fmt.Sprint("u", i), "g": i / 7 % 4, "h": fmt.Sprint("h", i/5%8), "n": 4000 - i}
		if i%2 == 0 {
			f["m"] = i
		}
		list = append(list, f)
	}
	_, err = b.InsertMany(ctx, list)
	require.NoError(t, err)
	return b
}

// The number of records that an answer looks at is what an index is for.
func TestQueryTouches(t *testing.T) {
	b := touchedBucket(t)
	for _, c := range []struct {
		name        string
		q           *Query[Record]
		limit, most int
	}{
		{"first of an equality", b.Where(Eq("g", 1)), 1, 1},
		{"first in an order", b.OrderBy(Asc("n")), 1, 1},
		{"last in an order", b.OrderBy(Desc("n")), 1, 1},
		{"ten in an order", b.OrderBy(Asc("n")), 10, 10},
		{"ten in an order, backwards", b.OrderBy(Desc("n")), 10, 10},
		{"ten of a range in its order", b.Where(Gt("n", 2000)).OrderBy(Asc("n")), 10, 10},
		{"ten of an equality, ordered by a compound index", b.Where(Eq("h", "h3")).OrderBy(Asc("n")), 10, 10},
		{"ten at the end of an order with absent values", b.OrderBy(Desc("m")), 10, 10},
		{"a unique equality", b.Where(Eq("u", "u77")), -1, 1},
		{"a unique equality among others", b.Where(Eq("g", 3), Eq("u", "u77"), Eq("h", "h7"), Gt("n", 5)), -1, 1},
		{"a key", b.Where(Eq("id", 5), Gt("n", 0)), -1, 1},
		{"two equalities", b.Where(Eq("g", 1), Eq("h", "h2")), -1, 150},
		{"a range and an equality of a compound index", b.Where(Eq("h", "h1"), Between("n", 100, 200)), -1, 30},
		{"some keys", b.Where(In("id", 5, 6, 7, 5, 90000)), -1, 3},
		{"a union", b.Where(Or(Eq("u", "u1"), Eq("u", "u2"), Eq("id", 9))), -1, 6},
	} {
		touched, came := chosen(t, c.q, "", c.limit)
		require.LessOrEqual(t, touched, c.most, c.name)
		require.NotZero(t, came, c.name)
	}
}

// A page deep in an answer costs what its size is.
func TestDeepPageTouches(t *testing.T) {
	b := touchedBucket(t)
	for name, q := range map[string]*Query[Record]{
		"everything":            b.Where(),
		"an equality":           b.Where(Eq("g", 1)),
		"an order":              b.OrderBy(Asc("n")),
		"an order, back":        b.OrderBy(Desc("n")),
		"an order with nulls":   b.OrderBy(Desc("m")),
		"an equality, ordered":  b.Where(Eq("h", "h3")).OrderBy(Asc("n")),
		"an equality, reversed": b.Where(Eq("h", "h3")).OrderBy(Desc("n")),
	} {
		var cursor Cursor
		for range 8 {
			page, err := q.Page(50, cursor)
			require.NoError(t, err, name)
			cursor = page.Next
		}
		touched, came := chosen(t, q, cursor, 10)
		require.Equal(t, 10, came, name)
		require.LessOrEqual(t, touched, 10+64+firstBatch, name)
	}
}

// TestWarmedAnswers: of a bucket that is larger than the caches, the records of an index are read
// ahead of the caller, and are the same.
func TestWarmedAnswers(t *testing.T) {
	type wide struct {
		ID    int64     `store:"id,key"`
		Group int64     `store:"group,index"`
		Pad   [20]int64 `store:"pad"`
		Flag  bool      `store:"flag"`
	}
	ctx := t.Context()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	b, err := Define[wide](ctx, st, "b")
	require.NoError(t, err)
	const n, groups = coldFrom + 1000, 7
	list := make([]wide, n)
	for i := range list {
		list[i] = wide{ID: int64(i + 1), Group: int64(i % groups), Flag: i%2 == 0}
	}
	_, err = b.InsertMany(ctx, list)
	require.NoError(t, err)
	for g := range int64(groups) {
		q, next := b.Where(Eq("group", g)), g
		require.NoError(t, q.Each(func(w *wide) bool {
			require.Equal(t, list[next], *w)
			next += groups
			return true
		}))
		require.Equal(t, (n-g+groups-1)/groups, (next-g)/groups)
	}
	require.NoError(t, st.Close(ctx))
}
