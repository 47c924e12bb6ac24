package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The live model subscribes to random functions over a few random buckets, writes
// at random, and compares what subscribers have with the same functions called
// from scratch: at the newest state when everything has settled, and for each
// event at the commit that it carries.
//
//	STORE_SEED=123 STORE_STEPS=500 go test -run TestLiveModel .

type liveModel struct {
	t       *testing.T
	r       *rand.Rand
	ctx     context.Context
	s       *store.Store
	clock   atomic.Int64
	bs      []*liveBucket
	cases   []*liveProgram
	specs   int
	query   *store.ReactiveQuery[liveCase, any]
	subs    []*liveSub
	trace   []string
	mu      sync.Mutex                    // protects held
	held    map[store.Seq]*store.Snapshot // of the commits since all had settled
	solo    bool                          // one writer at a time
	several atomic.Bool                   // a write made several commits: not all are held
	checked int                           // events compared at their commit
	missed  int                           // events of commits that are not held
}

// liveCase names one of the model's functions.
type liveCase struct{ N int }

// liveRead is what a function reads, and how.
type liveRead struct {
	text string
	run  func(q *store.QueryCtx) (any, error)
}

// liveProgram is one function: it reads one thing after another.
type liveProgram struct {
	reads []liveRead
	named bool // looks a bucket up by name, which may change without a commit
	slow  bool
	calls atomic.Int64
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

// liveSub is somebody who subscribed to a function, in one or more ways.
type liveSub struct {
	n      int
	sub    *store.Subscription[any]
	last   string // of its events
	seq    store.Seq
	stop   func()
	mu     sync.Mutex // protects called and wrong
	called string     // what the callback got last; before, what it was at the begin
	wrong  string
	busy   bool // reads its events while others write
	events []store.QueryEvent[any]
}

func TestLiveModel(t *testing.T) {
	steps, seeds := modelSteps(t, 50), 6
	if info, ok := debug.ReadBuildInfo(); testing.Short() || ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		seeds = 2
	}
	for _, seed := range modelSeeds(t, seeds) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			found, m := runLiveModel(t, seed, steps, 0)
			if found != "" {
				t.Fatal(found)
			}
			q := m.s.Stats().Queries
			t.Logf("%d evaluations, %d without news, %d events at their commit, %d not", q.Evaluations, q.Unchanged, m.checked, m.missed)
		})
	}
}

// liveFound is a failure of the store, as the model throws it.
type liveFound struct{ text string }

// runLiveModel returns what it has found, "" for nothing.
func runLiveModel(t *testing.T, seed uint64, steps int, bug int) (found string, m *liveModel) {
	m = &liveModel{t: t, r: rand.New(rand.NewPCG(seed, 5)), ctx: context.Background(), held: map[store.Seq]*store.Snapshot{}}
	m.clock.Store(1_700_000_000_000)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case liveFound:
			found = p.text
		default:
			panic(p)
		}
		for _, s := range m.subs {
			s.close()
		}
		m.release()
		ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
		defer cancel()
		require.NoError(t, m.s.Close(ctx))
	}()
	m.open(bug)
	for range steps {
		m.step()
	}
	require.NoError(t, store.CheckTables(m.s))
	return "", m
}

func (m *liveModel) chance(n int) bool { return m.r.IntN(n) == 0 }

func (m *liveModel) fail(p *liveProgram, format string, args ...any) {
	var b strings.Builder
	fmt.Fprintf(&b, format+"\n", args...)
	if p != nil {
		i := slices.Index(m.cases, p)
		fmt.Fprintf(&b, "function %d: %s\n", i, p)
		if state, err := m.query.Explain(liveCase{i}); err == nil {
			b.WriteString(state.String())
		}
	}
	for _, x := range m.bs {
		fmt.Fprintf(&b, "bucket %s: %+v\n", x.b.Name(), x.def)
	}
	fmt.Fprintf(&b, "the last writes:\n")
	for _, w := range m.trace[max(len(m.trace)-25, 0):] {
		b.WriteString("  " + w + "\n")
	}
	panic(liveFound{b.String()})
}

// open makes the buckets, the functions and the subscriptions.
func (m *liveModel) open(bug int) {
	opt := store.Options{Clock: func() time.Time { return time.UnixMilli(m.clock.Load()) }, TTLInterval: -1}
	if m.chance(3) {
		opt.RecentCommits = one(m.r, 1, 2, 5)
	}
	var err error
	m.s, err = store.Open(m.ctx, opt)
	require.NoError(m.t, err)
	plantLive(m.s, bug)
	for i := range 2 + m.r.IntN(2) {
		m.bs = append(m.bs, newLiveBucket(m, i))
	}
	m.spare(true)
	for range 15 {
		_ = m.write(one(m.r, m.bs...)).run(m.ctx)
	}
	for range 44 {
		m.cases = append(m.cases, m.program())
	}
	m.query, err = store.DefineQuery(m.s, "live", func(q *store.QueryCtx, p liveCase) (any, error) { return m.cases[p.N].run(q) })
	require.NoError(m.t, err)
	for range 34 {
		m.subscribe()
	}
}

// The defects that can be planted; 0 is none.
const (
	plantLostUpdate = iota + 1
	plantMissedRange
)

func plantLive(s *store.Store, bug int) {
	switch bug {
	case plantLostUpdate:
		store.PlantBug(s, store.BugLostUpdate)
	case plantMissedRange:
		store.PlantBug(s, store.BugMissedRange)
	}
}

// ---- buckets

// liveBucket is a bucket with the generator of the query model: few keys, few
// values, so that writes hit what is read.
type liveBucket struct {
	*qmodel
	keys  []any
	where func(r store.Reader) liveTyped
}

// liveTyped is the typed handle, read as the dynamic one.
type liveTyped interface {
	ask(q *qspec, a liveAsk) (any, error)
	get(key any) any
	whole(kind string, n int, filters []store.Filter) (any, error)
}

func newLiveBucket(m *liveModel, i int) *liveBucket {
	q := &qmodel{t: m.t, r: m.r, ctx: m.ctx, s: m.s, pools: map[string][]any{}}
	b := &liveBucket{qmodel: q}
	name := fmt.Sprint("b", i)
	q.textKeys = m.chance(2)
	d := store.Definition{Key: "id", Ordered: m.chance(3), Extra: m.chance(2), Schema: store.Schema{"id": {Type: store.Int}}}
	if q.textKeys {
		d.Schema["id"] = store.Field{Type: store.String}
	}
	if m.chance(4) {
		d.TTL = time.Duration(5+m.r.IntN(60)) * time.Millisecond
	}
	native := m.chance(3)
	for name, typ := range modelTypes {
		d.Schema[name] = store.Field{Type: typ, Required: false}
	}
	for _, name := range modelFields { // in an order of its own: a seed is the same run again
		f := d.Schema[name]
		f.Required = m.chance(5) && name != "u"
		d.Schema[name] = f
	}
	if native {
		d.Schema["n"] = store.Field{Type: store.Any}
	} else {
		d.Schema["s2"], d.Schema["i2"], d.Schema["o.p"] = store.Field{Type: store.String}, store.Field{Type: store.Int}, store.Field{Type: store.String}
	}
	q.index(&d)
	q.def = d
	if q.textKeys {
		liveDefine[string](m, b, name, native)
	} else {
		liveDefine[int64](m, b, name, native)
	}
	for range 12 + m.r.IntN(40) {
		key := any(int64(m.r.IntN(90) - 20))
		if q.textKeys {
			key = one(m.r, one(m.r, qpool[store.String]...), any("k"+strconv.Itoa(m.r.IntN(40))))
		}
		if !slices.Contains(b.keys, key) {
			b.keys = append(b.keys, key)
		}
	}
	if m.chance(6) {
		for k := range 400 {
			key := any(int64(1000 + k))
			if q.textKeys {
				key = fmt.Sprint("m", k)
			}
			b.keys = append(b.keys, key)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.def.Schema)) {
		for range 1 + m.r.IntN(7) {
			q.pools[name] = append(q.pools[name], q.any(q.def.Schema[name].Type))
		}
		if name == "i" && !q.textKeys || name == "s" && q.textKeys {
			q.pools[name] = append(q.pools[name], b.keys[:min(len(b.keys), 8)]...)
		}
	}
	return b
}

func liveDefine[K string | int64](m *liveModel, b *liveBucket, name string, native bool) {
	var typed *store.TypedBucket[doc[K]]
	var err error
	if native {
		typed, err = store.Define[doc[K]](m.ctx, m.s, name, func(d *store.Definition) {
			d.Ordered, d.Extra, d.Indexes, d.TTL = b.def.Ordered, b.def.Extra, b.def.Indexes, b.def.TTL
			for name, f := range d.Schema {
				f.Required, f.Unique = b.def.Schema[name].Required, b.def.Schema[name].Unique
				d.Schema[name] = f
			}
		})
		require.NoError(m.t, err)
		b.b, err = m.s.Bucket(name)
	} else {
		b.b, err = m.s.DefineBucket(m.ctx, name, b.def)
		require.NoError(m.t, err)
		typed, err = store.Typed[doc[K]](m.s, name)
	}
	require.NoError(m.t, err)
	b.where = func(r store.Reader) liveTyped { return liveDocs[K]{typed.In(r)} }
}

type liveDocs[K string | int64] struct{ h *store.TypedBucket[doc[K]] }

func (d liveDocs[K]) ask(q *qspec, a liveAsk) (any, error) { return askLive(qbuild(d.h.Where(), q), a) }

func (d liveDocs[K]) get(key any) any {
	v, ok := d.h.Get(key)
	return []any{v, ok}
}

func (d liveDocs[K]) whole(kind string, n int, filters []store.Filter) (any, error) {
	return wholeLive[doc[K]](d.h, kind, n, filters)
}

// rowsNow is what the bucket has, to take operands from.
func (b *liveBucket) rowsNow() qstate {
	var out qstate
	for rec := range b.b.All() {
		vals := values{}
		for k, v := range rec.Map() {
			if !strings.HasPrefix(k, "_") {
				vals[k] = v
			}
		}
		out = append(out, &qrow{key: rec.Key().Value(), vals: vals, version: int64(rec.Version())})
	}
	return out
}

// good is a random query that is no error.
func (b *liveBucket) good() *qspec {
	st := b.rowsNow()
	for {
		q := b.qmodel.query(st)
		if !b.badQuery(q) {
			return q
		}
	}
}

func (b *liveBucket) filters() []store.Filter {
	var out []store.Filter
	for _, f := range b.good().filters {
		out = append(out, f.filter())
	}
	return out
}

func (b *liveBucket) fieldOf(types ...store.Type) string {
	for range 40 {
		name := b.field()
		if typ, _, _, ok := b.find(name); ok && (types == nil || slices.Contains(types, typ)) {
			return name
		}
	}
	return "i"
}

// ---- what functions read

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

// ---- writes

type liveWrite struct {
	text string
	run  func(ctx context.Context) error
}

func (b *liveBucket) fresh(key any) store.Fields {
	vals := values{"id": key}
	for _, name := range slices.Sorted(maps.Keys(b.def.Schema)) {
		if name != "id" {
			vals[name] = b.value(name)
		}
	}
	b.extra(vals)
	maps.DeleteFunc(vals, func(_ string, v any) bool { return v == nil })
	return store.Fields(vals)
}

func (b *liveBucket) some(many bool) store.Fields {
	in, every := store.Fields{}, one(b.r, 2, 5, 9)
	for _, name := range slices.Sorted(maps.Keys(b.def.Schema)) {
		if name != "id" && b.chance(every) && (!many || name != "u") {
			in[name] = b.value(name)
		}
	}
	if b.def.Extra && b.chance(3) {
		in["zz"] = b.qmodel.any(store.Any)
	}
	return in
}

// writeOf makes a random write of a bucket, to be made through some handle.
func (m *liveModel) writeOf(b *liveBucket) (string, func(ctx context.Context, h *store.Bucket) error) {
	key := one(m.r, b.keys...)
	switch m.r.IntN(20) {
	case 0, 1, 2, 3:
		in := b.fresh(key)
		return fmt.Sprintf("insert %v", in), func(ctx context.Context, h *store.Bucket) error { _, err := h.Insert(ctx, in); return err }
	case 4, 5:
		in := b.fresh(key)
		return fmt.Sprintf("upsert %v", in), func(ctx context.Context, h *store.Bucket) error { _, err := h.Upsert(ctx, in); return err }
	case 6:
		var list []store.Fields
		for range 1 + m.r.IntN(12) {
			list = append(list, b.fresh(one(m.r, b.keys...)))
		}
		if m.chance(3) && len(b.keys) > 100 {
			for _, k := range b.keys[len(b.keys)-100-m.r.IntN(100):] {
				list = append(list, b.fresh(k))
			}
		}
		seen := map[any]bool{}
		list = slices.DeleteFunc(list, func(in store.Fields) bool {
			_, there := b.b.Get(in["id"])
			again := seen[in["id"]]
			seen[in["id"]] = true
			return there || again
		})
		return fmt.Sprintf("insert %d: %v", len(list), list[:min(len(list), 4)]), func(ctx context.Context, h *store.Bucket) error { _, err := h.InsertMany(ctx, list); return err }
	case 7, 8, 9, 10, 11, 12:
		in := b.some(false)
		if st := b.rowsNow(); len(st) > 0 {
			row := one(m.r, st...)
			if key = row.key; m.chance(8) { // nothing changes
				in = store.Fields{"i": row.vals["i"], "s": row.vals["s"]}
			}
		}
		return fmt.Sprintf("update %#v: %v", key, in), func(ctx context.Context, h *store.Bucket) error { _, err := h.Update(ctx, key, in); return err }
	case 13, 14, 15:
		return fmt.Sprintf("delete %#v", key), func(ctx context.Context, h *store.Bucket) error { return h.Delete(ctx, key) }
	case 16, 17:
		filters, in := b.filters(), b.some(true)
		return fmt.Sprintf("update where %v: %v", filters, in), func(ctx context.Context, h *store.Bucket) error {
			_, err := h.UpdateMany(ctx, in, filters...)
			return err
		}
	case 18:
		filters := b.filters()
		return fmt.Sprintf("delete where %v", filters), func(ctx context.Context, h *store.Bucket) error { _, err := h.DeleteMany(ctx, filters...); return err }
	}
	if m.chance(3) {
		return "clear", func(ctx context.Context, h *store.Bucket) error { return h.Clear(ctx) }
	}
	in := b.fresh(key)
	return fmt.Sprintf("delete and insert %v", in), func(ctx context.Context, h *store.Bucket) error {
		if err := h.Delete(ctx, key); err != nil {
			return err
		}
		_, err := h.Insert(ctx, in)
		return err
	}
}

func (m *liveModel) write(b *liveBucket) liveWrite {
	text, run := m.writeOf(b)
	return liveWrite{b.b.Name() + ": " + text, func(ctx context.Context) error { return run(ctx, b.b) }}
}

// transaction writes to several buckets at once, and may read.
func (m *liveModel) transaction() liveWrite {
	type part struct {
		b   *liveBucket
		run func(ctx context.Context, h *store.Bucket) error
	}
	var parts []part
	var text strings.Builder
	text.WriteString("transaction")
	for range 1 + m.r.IntN(5) {
		b := one(m.r, m.bs...)
		what, run := m.writeOf(b)
		text.WriteString("; " + b.b.Name() + ": " + what)
		parts = append(parts, part{b, run})
	}
	asked := -1
	if m.chance(3) {
		asked = m.r.IntN(len(m.cases))
	}
	return liveWrite{text.String(), func(ctx context.Context) error {
		return m.s.Transaction(ctx, func(tx *store.Tx) error {
			for _, p := range parts {
				if err := p.run(ctx, p.b.b.In(tx)); err != nil {
					var pe *store.PanicError
					if errors.As(err, &pe) {
						return err
					}
				}
			}
			if asked >= 0 {
				_, _ = m.query.RunIn(tx, liveCase{asked})
			}
			return nil
		})
	}}
}

func (m *liveModel) anyWrite() liveWrite {
	switch {
	case m.chance(4):
		return m.transaction()
	case m.chance(15):
		return liveWrite{"expiry", func(ctx context.Context) error { _, err := m.s.PurgeTTL(ctx); return err }}
	case m.chance(12) && m.s.HasBucket("spare"):
		return liveWrite{"spare: insert", func(ctx context.Context) error {
			h, err := m.s.Bucket("spare")
			if err == nil {
				_, err = h.Insert(ctx, store.Fields{"id": m.clock.Load()})
			}
			return err
		}}
	}
	return m.write(one(m.r, m.bs...))
}

// spare defines and drops a bucket that functions look up by its name.
func (m *liveModel) spare(define bool) {
	if define {
		_, err := m.s.DefineBucket(m.ctx, "spare", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
		require.NoError(m.t, err)
		return
	}
	require.NoError(m.t, m.s.DropBucket(m.ctx, "spare"))
}

// do makes a write and holds the state that it leads to.
func (m *liveModel) do(w liveWrite) error {
	m.clock.Add(1)
	before := m.s.Stats().Commits
	err := w.run(m.ctx)
	m.hold()
	if m.s.Stats().Commits > before+1 {
		m.several.Store(true)
	}
	var pe *store.PanicError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", w.text, err)
	}
	return nil
}

func (m *liveModel) hold() {
	snap := m.s.Snapshot()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[snap.Seq()] != nil {
		snap.Close()
		return
	}
	m.held[snap.Seq()] = snap
}

func (m *liveModel) release() {
	for seq, snap := range m.held {
		snap.Close()
		delete(m.held, seq)
	}
}

// ---- subscribers

func (m *liveModel) subscribe() {
	s := &liveSub{n: m.r.IntN(len(m.cases)), busy: m.chance(2)}
	var err error
	want, wantErr := m.scratch(nil, s.n)
	s.sub, err = m.query.Subscribe(m.ctx, liveCase{s.n})
	require.NoError(m.t, err)
	s.last = "none"
	if wantErr == nil {
		s.called = want
	}
	if m.chance(2) {
		fn := func(v any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			now := liveShow(v)
			if now == s.called {
				s.wrong = "the callback got twice " + now
			}
			s.called = now
		}
		if m.chance(2) {
			s.stop, err = m.query.OnChange(m.ctx, liveCase{s.n}, fn)
		} else {
			s.stop, err = m.s.Subscribe(m.ctx, "live", liveCase{s.n}, fn)
		}
		require.NoError(m.t, err)
	}
	m.subs = append(m.subs, s)
}

func (s *liveSub) close() {
	s.sub.Close()
	if s.stop != nil {
		s.stop()
	}
}

// take reads the events that are there, or, with a context that has not ended,
// those that come until then.
func (s *liveSub) take(ctx context.Context) {
	for {
		ev, err := s.sub.Next(ctx)
		if err != nil {
			return
		}
		s.events = append(s.events, ev)
	}
}

// scratch calls a function from scratch, at a snapshot or now.
func (m *liveModel) scratch(at *store.Snapshot, n int) (string, error) {
	if at == nil {
		at = m.s.Snapshot()
		defer at.Close()
	}
	v, err := m.query.RunIn(at, liveCase{n})
	if err != nil {
		return liveError(err), err
	}
	return liveShow(v), nil
}

func liveShowEvent(ev store.QueryEvent[any]) string {
	if ev.Err != nil {
		return liveError(ev.Err)
	}
	return liveShow(ev.Result)
}

var liveQueryName = regexp.MustCompile(`query "[^"]*": `)

// liveError is an error apart from the names of the queries that it came through.
func liveError(err error) string {
	return "error: " + liveQueryName.ReplaceAllString(err.Error(), "")
}

// liveShow is equal for results that are equal.
func liveShow(v any) string {
	switch x := v.(type) {
	case store.Record:
		if x.IsZero() {
			return "no record"
		}
		return liveShow(x.Map())
	case []store.Record:
		return liveList(x)
	case doc[string]:
		return liveShowDoc(x.Meta, docValues(x))
	case doc[int64]:
		return liveShowDoc(x.Meta, docValues(x))
	case []doc[string]:
		return liveList(x)
	case []doc[int64]:
		return liveList(x)
	case []any:
		return liveList(x)
	case []store.Group[int]:
		return liveGroups(x)
	case []store.Group[float64]:
		return liveGroups(x)
	case []store.Group[any]:
		return liveGroups(x)
	case map[string]any:
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(x)) {
			fmt.Fprintf(&b, "%q=%s ", k, liveShow(x[k]))
		}
		return "{" + b.String() + "}"
	case float64:
		return fmt.Sprintf("f%v", x+0)
	case []byte: // in a struct, nothing and nothing in it are the same result
		return fmt.Sprintf("bytes %q", x)
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%T %#v", v, v)
}

// liveShowDoc takes an empty slice or map of a struct for none, as the comparison
// of results does.
func liveShowDoc(meta store.Meta, vals values) string {
	maps.DeleteFunc(vals, func(_ string, v any) bool {
		switch x := v.(type) {
		case []byte:
			return len(x) == 0
		case []any:
			return len(x) == 0
		case map[string]any:
			return len(x) == 0
		}
		return v == nil
	})
	return liveShow(map[string]any(vals)) + fmt.Sprint(meta)
}

func liveList[E any](list []E) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(liveShow(e) + ", ")
	}
	return "[" + b.String() + "]"
}

func liveGroups[V any](list []store.Group[V]) string {
	var b strings.Builder
	for _, g := range list {
		b.WriteString(liveShow(g.Key) + ": " + liveShow(g.Value) + ", ")
	}
	return "groups[" + b.String() + "]"
}

// ---- a step

func (m *liveModel) step() {
	m.release()
	m.hold()
	m.several.Store(false)
	if m.chance(8) {
		i := m.r.IntN(len(m.subs))
		m.subs[i].close()
		m.subs = slices.Delete(m.subs, i, i+1)
		m.subscribe()
	}
	if m.chance(20) {
		m.spare(!m.s.HasBucket("spare"))
		m.trace = append(m.trace, "spare defined or dropped")
	}
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	var readers sync.WaitGroup
	for _, s := range m.subs {
		if s.busy {
			readers.Go(func() {
				s.take(ctx)
			})
		}
	}
	m.burst()
	settle, stop := context.WithTimeout(m.ctx, 30*time.Second)
	err := m.s.Settle(settle)
	stop()
	cancel()
	readers.Wait()
	if err != nil {
		m.fail(nil, "Settle: %v", err)
	}
	m.compare()
}

// burst makes some writes, of one writer or of two at once.
func (m *liveModel) burst() {
	n := one(m.r, 1, 1, 1, 2, 5, 15)
	m.solo = m.chance(2)
	var lists [2][]liveWrite
	for i := range n {
		if m.solo {
			w := m.anyWrite()
			m.trace = append(m.trace, w.text)
			if err := m.do(w); err != nil {
				m.fail(nil, "%v", err)
			}
			continue
		}
		w := m.anyWrite()
		m.trace = append(m.trace, fmt.Sprintf("writer %d: %s", i%2, w.text))
		lists[i%2] = append(lists[i%2], w)
	}
	var wg sync.WaitGroup
	var errs [2]error
	for i, list := range lists {
		wg.Go(func() {
			for _, w := range list {
				errs[i] = errors.Join(errs[i], m.do(w))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs[0], errs[1]); err != nil {
		m.fail(nil, "%v", err)
	}
}

// compare looks at every subscriber when all has settled.
func (m *liveModel) compare() {
	m.hold()
	done, cancel := context.WithCancel(m.ctx)
	cancel()
	now := m.s.Snapshot()
	defer now.Close()
	for _, s := range m.subs {
		p := m.cases[s.n]
		want, err := m.scratch(now, s.n)
		current := s.sub.Current()
		if got := liveShowEvent(current); got != want {
			m.fail(p, "settled at %d, function %d is, since %d\n%s\nand should be\n%s", now.Seq(), s.n, current.Seq, got, want)
		}
		s.take(done)
		m.events(s)
		if s.last != want {
			m.fail(p, "settled at %d, the last event of function %d, of %d, is\n%s\nand should be\n%s", now.Seq(), s.n, s.seq, s.last, want)
		}
		s.mu.Lock()
		called, wrong := s.called, s.wrong
		s.mu.Unlock()
		if s.stop != nil && (wrong != "" || err == nil && called != want) {
			m.fail(p, "settled at %d, the callback of function %d has\n%s\nand should have\n%s\n%s", now.Seq(), s.n, called, want, wrong)
		}
	}
	n := m.r.IntN(len(m.cases))
	want, _ := m.scratch(now, n)
	v, err := m.query.Run(m.ctx, liveCase{n})
	got := liveShow(v)
	if err != nil {
		got = liveError(err)
	}
	if got != want {
		m.fail(m.cases[n], "Run of function %d answers\n%s\nand should\n%s", n, got, want)
	}
}

// events compares each event with the function at its commit.
func (m *liveModel) events(s *liveSub) {
	p := m.cases[s.n]
	for _, ev := range s.events {
		got := liveShowEvent(ev)
		if got == s.last {
			m.fail(p, "function %d: the event of %d is as that of %d: %s", s.n, ev.Seq, s.seq, got)
		}
		if s.last != "none" && (ev.Seq < s.seq || ev.Seq == s.seq && !p.named) {
			m.fail(p, "function %d: an event of %d after one of %d", s.n, ev.Seq, s.seq)
		}
		first := s.last == "none"
		s.last, s.seq = got, ev.Seq
		snap := m.held[ev.Seq]
		switch {
		case p.named || first:
			continue
		case snap == nil && m.solo && !m.several.Load():
			m.fail(p, "function %d: an event of %d, which no commit has led to", s.n, ev.Seq)
		case snap == nil:
			m.missed++
			continue
		}
		m.checked++
		if want, _ := m.scratch(snap, s.n); got != want {
			m.fail(p, "function %d: the event of %d is\n%s\nand should be\n%s", s.n, ev.Seq, got, want)
		}
	}
	s.events = s.events[:0]
}

// ---- what must not be evaluated

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

// TestLiveReadsNothingElse: what does not concern the reads of a function does not
// call it again.
func TestLiveReadsNothingElse(t *testing.T) {
	ctx := t.Context()
	for _, c := range liveQuiets {
		for way := range 4 {
			t.Run(fmt.Sprintf("%s/ordered=%v,indexed=%v", c.name, way&1 > 0, way&2 > 0), func(t *testing.T) {
				x := newLiveItems(t, way&1 > 0, way&2 > 0)
				var calls atomic.Int64
				q, err := store.DefineQuery(x.s, "q", func(q *store.QueryCtx, _ struct{}) (any, error) {
					calls.Add(1)
					return c.read(x.b.In(q))
				})
				require.NoError(t, err)
				sub, err := q.Subscribe(ctx, struct{}{})
				require.NoError(t, err)
				before := liveShowEvent(sub.Current())
				settle := func(want int64, after string) {
					t.Helper()
					require.NoError(t, x.s.Settle(ctx))
					state, err := q.Explain(struct{}{})
					require.NoError(t, err)
					require.Equal(t, want, calls.Load(), "%s: %s", after, state)
				}
				_, err = x.other.Insert(ctx, store.Fields{"id": 5, "n": 50, "rank": 50, "group": "a"})
				require.NoError(t, err)
				settle(1, "a write to another bucket")
				x.remove(1000)
				settle(1, "a write that changes nothing")
				c.quiet(x)
				settle(1, "writes that change nothing that was read")
				require.Equal(t, before, liveShowEvent(sub.Current()))
				got, err := q.Run(ctx, struct{}{})
				require.NoError(t, err)
				require.Equal(t, before, liveShow(got))
				settle(1, "Run")
				c.loud(x)
				require.NoError(t, x.s.Settle(ctx))
				require.Greater(t, calls.Load(), int64(1))
				require.NotEqual(t, before, liveShowEvent(sub.Current()))
				snap := x.s.Snapshot()
				defer snap.Close()
				want, err := q.RunIn(snap, struct{}{})
				require.NoError(t, err)
				require.Equal(t, liveShow(want), liveShowEvent(sub.Current()))
			})
		}
	}
}

// A nested query whose answer stays the same does not call those that asked, and
// is called once for all of them.
func TestLiveNestedIsOneValue(t *testing.T) {
	ctx := t.Context()
	x := newLiveItems(t, false, true)
	var inner, outer, top atomic.Int64
	even, err := store.DefineQuery(x.s, "even", func(q *store.QueryCtx, group string) (bool, error) {
		inner.Add(1)
		list, err := x.b.In(q).Where(store.Eq("group", group)).All()
		return len(list)%2 == 0, err
	})
	require.NoError(t, err)
	said, err := store.DefineQuery(x.s, "said", func(q *store.QueryCtx, n int) (string, error) {
		outer.Add(1)
		ok, err := even.RunIn(q, "a")
		return fmt.Sprint(n, ok), err
	})
	require.NoError(t, err)
	all, err := store.DefineQuery(x.s, "all", func(q *store.QueryCtx, _ struct{}) (string, error) {
		top.Add(1)
		v, err := q.Run("said", 1)
		w, other := said.RunIn(q, 2)
		return fmt.Sprint(v, w), errors.Join(err, other)
	})
	require.NoError(t, err)
	var subs []*store.Subscription[string]
	for n := range 3 {
		sub, err := said.Subscribe(ctx, n)
		require.NoError(t, err)
		subs = append(subs, sub)
	}
	sub, err := all.Subscribe(ctx, struct{}{})
	require.NoError(t, err)
	counts := func() []int64 { return []int64{inner.Load(), outer.Load(), top.Load()} }
	require.Equal(t, []int64{1, 3, 1}, counts())
	x.exchange(1, 2, "group")
	require.NoError(t, x.s.Settle(ctx))
	require.Equal(t, []int64{2, 3, 1}, counts())
	x.set(4, "group", "a")
	require.NoError(t, x.s.Settle(ctx))
	require.Equal(t, int64(3), inner.Load())
	require.Equal(t, int64(6), outer.Load())
	require.LessOrEqual(t, top.Load(), int64(3))
	require.Equal(t, "1 true2 true", sub.Current().Result)
	require.Equal(t, "0 true", subs[0].Current().Result)
}

// ---- tests of the test

// A store that does not check an evaluation against the commits beside it has
// stale results, and one that finds no reads by intervals misses changes. The
// model must say so.
func TestLiveModelFindsPlantedBugs(t *testing.T) {
	for name, bug := range map[string]int{"lost update": plantLostUpdate, "missed range": plantMissedRange} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 20; seed++ {
				if found, _ := runLiveModel(t, seed, 40, bug); found != "" {
					require.Contains(t, found, "should")
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Fatal("the model has not found it")
		})
	}
}

// liveStorm has writers change records that slow functions read, and reports
// whether a result was stale when all had settled.
func liveStorm(t *testing.T, bug, rounds int) (stale bool) {
	ctx := t.Context()
	s := openStore(t, store.Options{})
	plantLive(s, bug)
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}, Indexes: []store.Index{{"n"}}})
	require.NoError(t, err)
	read := func(q *store.QueryCtx, n int) ([]store.Record, error) {
		list, err := b.In(q).Where(store.Gte("n", n)).All()
		for range 20 {
			runtime.Gosched() // others commit before this is over
		}
		if rec, ok := b.In(q).Get(n); ok {
			list = append(list, rec)
		}
		return list, err
	}
	q, err := store.DefineQuery(s, "q", read)
	require.NoError(t, err)
	var subs []*store.Subscription[[]store.Record]
	for n := range 4 {
		sub, err := q.Subscribe(ctx, n)
		require.NoError(t, err)
		subs = append(subs, sub)
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() {
				for i := range 20 {
					_, _ = b.Upsert(ctx, store.Fields{"id": w*3 + i%3, "n": round + i})
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
		require.NoError(t, s.Settle(ctx))
		snap := s.Snapshot()
		for n, sub := range subs {
			want, err := q.RunIn(snap, n)
			require.NoError(t, err)
			stale = stale || liveShow(want) != liveShow(sub.Current().Result)
		}
		if snap.Close(); stale {
			return true
		}
	}
	return false
}

func TestLiveStorm(t *testing.T) {
	require.False(t, liveStorm(t, 0, 40))
	require.True(t, liveStorm(t, plantLostUpdate, 1000), "the lost update was not found")
}

// ---- an invariant over two buckets

// Whatever an event shows of two buckets is of one commit: transfers between them
// leave the total as it is.
func TestLiveTransfers(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, store.Options{})
	const accounts, balance, transfers = 8, 100, 150
	def := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}, Indexes: []store.Index{{"n"}}}
	var bs [2]*store.Bucket
	for i := range bs {
		var err error
		bs[i], err = s.DefineBucket(ctx, fmt.Sprint("b", i), def)
		require.NoError(t, err)
		for id := range accounts {
			_, err := bs[i].Insert(ctx, store.Fields{"id": id, "n": balance})
			require.NoError(t, err)
		}
	}
	ways := map[string]func(q *store.QueryCtx, b *store.Bucket) (int64, error){
		"sums": func(q *store.QueryCtx, b *store.Bucket) (int64, error) { return b.In(q).Where().SumInt("n") },
		"keys": func(q *store.QueryCtx, b *store.Bucket) (sum int64, err error) {
			for id := range accounts {
				rec, _ := b.In(q).Get(id)
				sum += rec.Get("n").(int64)
			}
			return sum, nil
		},
		"records": func(q *store.QueryCtx, b *store.Bucket) (sum int64, err error) {
			for rec := range b.In(q).All() {
				sum += rec.Get("n").(int64)
				runtime.Gosched()
			}
			return sum, nil
		},
		"order": func(q *store.QueryCtx, b *store.Bucket) (sum int64, err error) {
			list, err := b.In(q).OrderBy(store.Desc("n")).Limit(accounts).All()
			for _, rec := range list {
				sum += rec.Get("n").(int64)
			}
			return sum, err
		},
		"nested": func(q *store.QueryCtx, b *store.Bucket) (int64, error) {
			v, err := q.Run("half", b.Name())
			sum, _ := v.(int64)
			return sum, err
		},
	}
	_, err := store.DefineQuery(s, "half", func(q *store.QueryCtx, name string) (int64, error) {
		b, err := q.Bucket(name)
		if err != nil {
			return 0, err
		}
		return b.Where().SumInt("n")
	})
	require.NoError(t, err)
	// The halves are there so that each transfer is news.
	type halves struct{ A, B int64 }
	q, err := store.DefineQuery(s, "total", func(q *store.QueryCtx, way string) (h halves, err error) {
		if h.A, err = ways[way](q, bs[0]); err == nil {
			h.B, err = ways[way](q, bs[1])
		}
		return h, err
	})
	require.NoError(t, err)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var readers, writers sync.WaitGroup
	var events atomic.Int64
	for way := range ways {
		sub, err := q.Subscribe(ctx, way)
		require.NoError(t, err)
		readers.Go(func() {
			for ev, err := sub.Next(reading); err == nil; ev, err = sub.Next(reading) {
				events.Add(1)
				if sum := ev.Result.A + ev.Result.B; ev.Err != nil || sum != 2*accounts*balance {
					t.Errorf("%s: the total at %d is %d (%v)", way, ev.Seq, sum, ev.Err)
				}
			}
		})
	}
	for w := range 3 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 6))
			for range transfers {
				from := r.IntN(2)
				err := s.Transaction(ctx, func(tx *store.Tx) error {
					return liveTransfer(ctx, bs[from].In(tx), bs[1-from].In(tx), r.IntN(accounts), r.IntN(accounts), r.Int64N(9)+1)
				})
				var ce *store.ConflictError
				if err != nil && !errors.As(err, &ce) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	require.NoError(t, s.Settle(ctx))
	stop()
	readers.Wait()
	require.Greater(t, events.Load(), int64(len(ways)))
	for way := range ways {
		h, err := q.Run(ctx, way)
		require.NoError(t, err)
		require.Equal(t, int64(2*accounts*balance), h.A+h.B)
	}
}

func liveTransfer(ctx context.Context, from, to *store.Bucket, a, b int, n int64) error {
	for i, x := range []struct {
		h  *store.Bucket
		id int
	}{{from, a}, {to, b}} {
		rec, _ := x.h.Get(x.id)
		if _, err := x.h.Update(ctx, x.id, store.Fields{"n": rec.Get("n").(int64) + n*int64(2*i-1)}); err != nil {
			return err
		}
	}
	return nil
}

// ---- what was found

// A value that a function has read of another one and that changes without a
// commit, because a bucket is dropped or defined, or because time has passed, is
// read again, although both were evaluated at the same commit.
func TestLiveChildChangesWithoutCommit(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	_, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
	require.NoError(t, err)
	child, err := store.DefineQuery(s, "child", func(q *store.QueryCtx, _ struct{}) (string, error) {
		if _, err := q.Bucket("b"); err != nil {
			return "dropped", nil
		}
		return "there", nil
	})
	require.NoError(t, err)
	parent, err := store.DefineQuery(s, "parent", func(q *store.QueryCtx, _ struct{}) (string, error) { return child.RunIn(q, struct{}{}) })
	require.NoError(t, err)
	sub, err := parent.Subscribe(ctx, struct{}{})
	require.NoError(t, err)
	require.Equal(t, "there", sub.Current().Result)
	require.NoError(t, s.DropBucket(ctx, "b"))
	require.NoError(t, s.Settle(ctx))
	require.Equal(t, "dropped", sub.Current().Result)
}

// The same with the time.
func TestLiveChildReadsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := openStore(t, store.Options{TTLInterval: -1})
		child, err := store.DefineQuery(s, "child", func(q *store.QueryCtx, _ struct{}) (int64, error) { return q.Now(time.Minute).Unix(), nil })
		require.NoError(t, err)
		parent, err := store.DefineQuery(s, "parent", func(q *store.QueryCtx, _ struct{}) (int64, error) { return child.RunIn(q, struct{}{}) })
		require.NoError(t, err)
		sub, err := parent.Subscribe(ctx, struct{}{})
		require.NoError(t, err)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.NoError(t, s.Settle(ctx))
		require.Equal(t, time.Now().Truncate(time.Minute).Unix(), sub.Current().Result)
	})
}

// A nested query that was overtaken while it was evaluated for the first time, so
// that nobody wanted it yet, is evaluated again once it is read.
func TestLiveChildOvertakenBeforeItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := openStore(t, store.Options{TTLInterval: -1})
		b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
		require.NoError(t, err)
		gate := make(chan struct{})
		child, err := store.DefineQuery(s, "child", func(q *store.QueryCtx, _ struct{}) (bool, error) {
			_, ok := b.In(q).Get(2)
			<-gate
			return ok, nil
		})
		require.NoError(t, err)
		parent, err := store.DefineQuery(s, "parent", func(q *store.QueryCtx, _ struct{}) (bool, error) {
			if _, ok := b.In(q).Get(1); !ok {
				return false, nil
			}
			return child.RunIn(q, struct{}{})
		})
		require.NoError(t, err)
		sub, err := parent.Subscribe(ctx, struct{}{})
		require.NoError(t, err)
		_, err = b.Insert(ctx, store.Fields{"id": 1})
		require.NoError(t, err)
		synctest.Wait() // the child has read, and waits
		_, err = b.Insert(ctx, store.Fields{"id": 2})
		require.NoError(t, err)
		synctest.Wait() // the commit is matched
		close(gate)
		require.NoError(t, s.Settle(ctx))
		require.True(t, sub.Current().Result)
	})
}

// A function that asks another one gets its answer at the function's own commit,
// although what that answer was made of has changed twice since, and is as it was.
func TestLiveChildAtOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := openStore(t, store.Options{TTLInterval: -1})
		b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
		require.NoError(t, err)
		block, gate := make(chan struct{}), make(chan struct{})
		blocker, err := store.DefineQuery(s, "blocker", func(q *store.QueryCtx, n int) (bool, error) {
			_, ok := b.In(q).Get(100)
			if ok {
				<-block
			}
			return ok, nil
		})
		require.NoError(t, err)
		count, err := store.DefineQuery(s, "count", func(q *store.QueryCtx, _ struct{}) (int, error) { return b.In(q).Count(store.Eq("id", 7)) })
		require.NoError(t, err)
		type both struct {
			There bool
			Count int
		}
		torn, err := store.DefineQuery(s, "both", func(q *store.QueryCtx, _ struct{}) (both, error) {
			_, ok := b.In(q).Get(7)
			<-gate
			n, err := count.RunIn(q, struct{}{})
			return both{ok, n}, err
		})
		require.NoError(t, err)
		_, err = count.Subscribe(ctx, struct{}{})
		require.NoError(t, err)
		for n := range runtime.GOMAXPROCS(0) { // so that no worker is left for a while
			_, err = blocker.Subscribe(ctx, n)
			require.NoError(t, err)
		}
		_, err = b.Insert(ctx, store.Fields{"id": 100})
		require.NoError(t, err)
		synctest.Wait()
		_, err = b.Insert(ctx, store.Fields{"id": 7}) // the count waits for a worker
		require.NoError(t, err)
		done := make(chan both)
		go func() {
			sub, err := torn.Subscribe(ctx, struct{}{})
			if err != nil {
				t.Error(err)
			}
			done <- sub.Current().Result
		}()
		synctest.Wait() // that has read number 7
		require.NoError(t, b.Delete(ctx, 7))
		time.Sleep(time.Second) // the count is evaluated, and is 0 as before
		close(gate)
		got := <-done
		close(block)
		require.Equal(t, both{true, 1}, got)
	})
}

// A function gets the same error, or panic, of a nested one whether it is live or
// called at a snapshot.
func TestLiveNestedFailureIsTheSame(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	child, err := store.DefineQuery(s, "child", func(_ *store.QueryCtx, panics bool) (string, error) {
		if panics {
			panic("no")
		}
		return "", errors.New("no")
	})
	require.NoError(t, err)
	parent, err := store.DefineQuery(s, "parent", func(q *store.QueryCtx, panics bool) (string, error) {
		_, err := child.RunIn(q, panics)
		var pe *store.PanicError
		if errors.As(err, &pe) {
			return "it panicked", nil
		}
		return err.Error(), nil
	})
	require.NoError(t, err)
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprintf("panics=%v", panics), func(t *testing.T) {
			sub, err := parent.Subscribe(ctx, panics)
			require.NoError(t, err)
			snap := s.Snapshot()
			defer snap.Close()
			got, err := parent.RunIn(snap, panics)
			require.NoError(t, err)
			require.Equal(t, sub.Current().Result, got)
		})
	}
}
