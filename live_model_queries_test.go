package store_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What the functions of the live model read.

// liveProgram is one function: it reads one thing after another.
type liveProgram struct {
	reads []liveRead
	named bool // looks a bucket up by name, which may change without a commit
	slow  bool
	calls atomic.Int64
}

// liveRead is what a function reads, and how.
type liveRead struct {
	text string
	run  func(q *store.QueryCtx) (any, error)
}

func (p *liveProgram) String() string {
	var texts []string
	for _, r := range p.reads {
		texts = append(texts, r.text)
	}
	return strings.Join(texts, "; ")
}

func (p *liveProgram) run(q *store.QueryCtx) (any, error) {
	p.calls.Add(1)
	var out []any
	for _, r := range p.reads {
		v, err := r.run(q)
		if err != nil {
			return nil, err
		}
		if p.slow {
			runtime.Gosched()
		}
		out = append(out, v)
	}
	return out, nil
}

// program makes a function of a few reads.
func (m *liveModel) program() *liveProgram {
	p := &liveProgram{slow: m.chance(3)}
	for range one(m.r, 1, 1, 1, 1, 2, 2, 3) {
		r := m.read(p)
		if m.chance(20) {
			r = m.beside(r, m.read(p))
		}
		p.reads = append(p.reads, r)
	}
	return p
}

// beside reads two things on two goroutines.
func (m *liveModel) beside(a, b liveRead) liveRead {
	return liveRead{a.text + " beside " + b.text, func(q *store.QueryCtx) (any, error) {
		var v, w any
		var err, other error
		done := make(chan struct{})
		go func() {
			defer close(done)
			w, other = b.run(q)
		}()
		v, err = a.run(q)
		<-done
		return []any{v, w}, errors.Join(err, other)
	}}
}

func (m *liveModel) read(p *liveProgram) liveRead {
	b := one(m.r, m.bs...)
	name := b.b.Name()
	switch m.r.IntN(16) {
	case 0, 1:
		return m.readKey(b)
	case 2:
		return m.readWhole(b)
	case 3:
		return m.readFollowed(b)
	case 4:
		return m.readJoined(b)
	case 5, 6:
		if len(m.cases) > 8 {
			return m.readNested(p)
		}
	case 7:
		return m.readFailing(b)
	case 8:
		return m.readSpec(b)
	case 9:
		if m.chance(2) {
			p.named = true
			return liveRead{"all of spare", func(q *store.QueryCtx) (any, error) {
				h, err := q.Bucket("spare")
				if err != nil {
					return "no spare", nil
				}
				return liveResult(h.Where().All())
			}}
		}
	}
	q := b.good()
	a := m.aimed(b, q)
	text := fmt.Sprintf("%s: %s: %s", name, q, a)
	if m.chance(3) {
		return liveRead{"typed " + text, func(x *store.QueryCtx) (any, error) { return b.where(x).ask(q, a) }}
	}
	return liveRead{text, func(x *store.QueryCtx) (any, error) { return askLive(qbuild(b.b.In(x).Where(), q), a) }}
}

func (m *liveModel) readKey(b *liveBucket) liveRead {
	key, typed := one(m.r, b.keys...), m.chance(3)
	return liveRead{fmt.Sprintf("%s.Get(%#v)", b.b.Name(), key), func(q *store.QueryCtx) (any, error) {
		if typed {
			return b.where(q).get(key), nil
		}
		rec, ok := b.b.In(q).Get(key)
		return []any{rec, ok}, nil
	}}
}

func (m *liveModel) readWhole(b *liveBucket) liveRead {
	kind, n := one(m.r, "FindOne", "CountOf", "FirstN", "LastN", "Paginate", "All"), one(m.r, 0, 1, 2, 5, 10, 200)
	filters, after, typed := b.filters(), one(m.r, b.keys...), m.chance(3)
	text := fmt.Sprintf("%s.%s(%d, %v, after %#v)", b.b.Name(), kind, n, filters, after)
	return liveRead{text, func(q *store.QueryCtx) (any, error) {
		h := b.b.In(q)
		switch {
		case kind == "All":
			var list []store.Record
			for r := range h.All() {
				if list = append(list, r); len(list) > n {
					break
				}
			}
			return list, nil
		case kind == "Paginate":
			page, err := h.Paginate(store.PageOptions{After: after, Limit: n + 1})
			if errors.Is(err, store.ErrNotFound) {
				return "not there", nil
			}
			return []any{page.Records, page.HasMore}, err
		case typed:
			return b.where(q).whole(kind, n, filters)
		}
		return wholeLive[store.Record](h, kind, n, filters)
	}}
}

// readFollowed reads a record and then others by what it says.
func (m *liveModel) readFollowed(b *liveBucket) liveRead {
	key, other := one(m.r, b.keys...), one(m.r, m.bs...)
	field := one(m.r, "i", "s", "b", "d")
	if m.chance(2) {
		return liveRead{fmt.Sprintf("%s.Get(%#v).%s, then %s where it is the same", b.b.Name(), key, field, other.b.Name()), func(q *store.QueryCtx) (any, error) {
			rec, ok := b.b.In(q).Get(key)
			if !ok {
				return "nothing to follow", nil
			}
			return liveResult(other.b.In(q).Where(store.Eq(field, rec.Get(field))).All())
		}}
	}
	filters, more := b.filters(), other.good()
	a := m.aimed(other, more)
	return liveRead{fmt.Sprintf("if %s has an even number of %v, then %s: %s: %s", b.b.Name(), filters, other.b.Name(), more, a), func(q *store.QueryCtx) (any, error) {
		n, err := b.b.In(q).Count(filters...)
		if err != nil || n%2 == 1 {
			return "odd", err
		}
		return askLive(qbuild(other.b.In(q).Where(), more), a)
	}}
}

// readJoined reads records and for each of them one of another bucket.
func (m *liveModel) readJoined(b *liveBucket) liveRead {
	other, q, n, how := one(m.r, m.bs...), b.good(), one(m.r, 1, 3, 9), m.r.IntN(3)
	q.selecting = false
	field := "i"
	if other.textKeys {
		field = "s"
	}
	return liveRead{fmt.Sprintf("the first %d of %s: %s, each with %s by %s, way %d", n, b.b.Name(), q, other.b.Name(), field, how), func(x *store.QueryCtx) (any, error) {
		var out []any
		for rec, err := range qbuild(b.b.In(x).Where(), q).Seq() {
			if err != nil {
				return nil, err
			}
			out = append(out, rec)
			h := other.b.In(x)
			var v any
			switch how {
			case 0:
				r, ok := h.Get(rec.Get(field))
				v = []any{r, ok}
			case 1:
				v, err = h.Count(store.Eq(field, rec.Get(field)))
			default:
				var r store.Record
				var ok bool
				r, ok, err = h.FindOne(store.Eq(field, rec.Get(field)))
				v = []any{r, ok}
			}
			if err != nil {
				return nil, err
			}
			if out = append(out, v); len(out) >= 2*n {
				break
			}
		}
		return out, nil
	}}
}

// readNested asks another function, one that was made before.
func (m *liveModel) readNested(p *liveProgram) liveRead {
	n, how := m.r.IntN(len(m.cases)), m.r.IntN(3)
	if m.chance(2) {
		n = 5 + m.r.IntN(3)
	}
	p.named = p.named || m.cases[n].named
	return liveRead{fmt.Sprintf("function %d, way %d", n, how), func(q *store.QueryCtx) (any, error) {
		switch how {
		case 0:
			return m.query.RunIn(q, liveCase{n})
		case 1:
			return q.Run("live", liveCase{n})
		}
		v, err := m.query.RunIn(q, liveCase{n})
		if err != nil {
			return "failed: " + liveError(err), nil
		}
		if list, ok := v.([]any); ok {
			return len(list), nil
		}
		return v, nil
	}}
}

func (m *liveModel) readFailing(b *liveBucket) liveRead {
	key := one(m.r, b.keys...)
	return liveRead{fmt.Sprintf("fails if %s has %#v", b.b.Name(), key), func(q *store.QueryCtx) (any, error) {
		if rec, ok := b.b.In(q).Get(key); ok {
			return nil, fmt.Errorf("there is %#v", rec.Key().Value())
		}
		return "fine", nil
	}}
}

// readSpec asks a query by specification, with a parameter.
func (m *liveModel) readSpec(b *liveBucket) liveRead {
	field := one(m.r, "i", "s", "b", "f")
	spec := store.QuerySpec{Bucket: b.b.Name(), Filter: map[string]any{field: map[string]any{one(m.r, "$eq", "$gte", "$lt", "$ne"): "{{ params.v }}"}}}
	if m.chance(2) {
		spec.Sort = []string{one(m.r, "", "-") + b.fieldOf(store.Int, store.String, store.Bool, store.Float)}
		spec.Limit = "{{ params.n }}"
	} else if m.chance(2) {
		spec.Aggregate = &store.Aggregate{Op: "max", Field: "i"}
		if m.chance(2) {
			spec.GroupBy = []string{field}
		}
	}
	name := fmt.Sprint("spec", m.specs)
	m.specs++
	require.NoError(m.t, m.s.DefineSpec(name, spec), "%+v", spec)
	params := map[string]any{"v": b.any(b.def.Schema[field].Type), "n": one(m.r, 1, 4, 10)}
	return liveRead{fmt.Sprintf("%+v with %v", spec, params), func(q *store.QueryCtx) (any, error) { return q.Run(name, params) }}
}

// liveAsk is what is asked of a query.
type liveAsk struct {
	kind   string
	n      int
	pages  int
	cursor store.Cursor
	field  string
	groups []string
}

var liveAsks = []string{
	"All", "All", "All", "Seq", "Each", "First", "Count", "Exists", "Sum", "SumInt", "Avg", "Min", "Max", "CountDistinct",
	"GroupCount", "GroupSum", "GroupAvg", "GroupMin", "GroupMax", "GroupDistinct", "Page", "Page",
}

func (a liveAsk) String() string {
	switch {
	case a.kind == "Page":
		return fmt.Sprintf("Page(%d, %q) %d times", a.n, a.cursor, a.pages)
	case a.kind == "Seq" || a.kind == "Each":
		return fmt.Sprintf("%s up to %d", a.kind, a.n)
	case strings.HasPrefix(a.kind, "Group"):
		return fmt.Sprintf("%s(%s) by %v", a.kind, a.field, a.groups)
	}
	return fmt.Sprintf("%s(%s)", a.kind, a.field)
}

// aimed makes a liveAsk that fits a query.
func (m *liveModel) aimed(b *liveBucket, q *qspec) liveAsk {
	a := liveAsk{kind: one(m.r, liveAsks...), n: one(m.r, 1, 1, 2, 3, 5, 10, 60, 200), pages: 1 + m.r.IntN(3)}
	a.groups = []string{b.fieldOf()}
	if m.chance(3) {
		a.groups = append(a.groups, b.fieldOf())
	}
	switch a.kind {
	case "Sum", "SumInt", "Avg", "GroupSum", "GroupAvg":
		a.field = b.fieldOf(store.Int, store.Float, store.Number, store.Any)
	case "Min", "Max", "GroupMin", "GroupMax":
		a.field = b.fieldOf(store.Int, store.Float, store.Number, store.Any, store.String, store.Bool, store.Date, store.Bytes)
	case "CountDistinct", "GroupDistinct":
		a.field = b.fieldOf()
	case "Page":
		q.offset, q.limit = 0, -1
		if m.chance(2) { // behind a place that was
			if page, err := qbuild(b.b.Where(), q).Page(a.n, ""); err == nil {
				a.cursor = page.Next
			}
		}
	}
	return a
}

func askLive[R any](q *store.Query[R], a liveAsk) (any, error) {
	var list []R
	switch a.kind {
	case "All":
		return liveResult(q.All())
	case "Seq":
		for r, err := range q.Seq() {
			if err != nil {
				return nil, err
			}
			if list = append(list, r); len(list) >= a.n {
				break
			}
		}
		return list, nil
	case "Each":
		err := q.Each(func(r *R) bool {
			list = append(list, *r)
			return len(list) < a.n
		})
		return list, err
	case "First":
		r, ok, err := q.First()
		return []any{r, ok}, err
	case "Count":
		return liveResult(q.Count())
	case "Exists":
		return liveResult(q.Exists())
	case "Sum":
		return liveResult(q.Sum(a.field))
	case "SumInt":
		return liveResult(q.SumInt(a.field))
	case "Avg":
		return liveResult(q.Avg(a.field))
	case "Min":
		v, ok, err := q.Min(a.field)
		return []any{v, ok}, err
	case "Max":
		v, ok, err := q.Max(a.field)
		return []any{v, ok}, err
	case "CountDistinct":
		return liveResult(q.CountDistinct(a.field))
	case "GroupCount":
		return liveResult(q.GroupBy(a.groups...).Count())
	case "GroupSum":
		return liveResult(q.GroupBy(a.groups...).Sum(a.field))
	case "GroupAvg":
		return liveResult(q.GroupBy(a.groups...).Avg(a.field))
	case "GroupMin":
		return liveResult(q.GroupBy(a.groups...).Min(a.field))
	case "GroupMax":
		return liveResult(q.GroupBy(a.groups...).Max(a.field))
	case "GroupDistinct":
		return liveResult(q.GroupBy(a.groups...).CountDistinct(a.field))
	}
	more := false
	for cursor := a.cursor; a.pages > 0; a.pages-- {
		page, err := q.Page(a.n, cursor)
		if err != nil {
			return nil, err
		}
		list, cursor, more = append(list, page.Records...), page.Next, page.HasMore
		if !more {
			break
		}
	}
	return []any{list, more}, nil
}

func liveResult[V any](v V, err error) (any, error) { return v, err }

// liveWhole is what both handles can do with a whole bucket.
type liveWhole[R any] interface {
	Count(filters ...store.Filter) (int, error)
	FindOne(filters ...store.Filter) (R, bool, error)
	First(n int) ([]R, error)
	Last(n int) ([]R, error)
	Paginate(opt store.PageOptions) (store.Page[R], error)
}

func wholeLive[R any](h liveWhole[R], kind string, n int, filters []store.Filter) (any, error) {
	switch kind {
	case "FindOne":
		r, ok, err := h.FindOne(filters...)
		return []any{r, ok}, err
	case "CountOf":
		return liveResult(h.Count(filters...))
	case "FirstN":
		return liveResult(h.First(n))
	}
	return liveResult(h.Last(n))
}
