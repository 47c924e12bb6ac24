package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Where the parts of the store meet: each of them is tested apart, here is what
// went wrong between two, and a storm of all.

// A live query that could not be answered, as the bucket had no such field, is told
// when the bucket is gone.
func TestDropAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, store.Options{})
		b := defineNumbers(t, s, "b")
		q := defineLive(t, s, "q", func(q *store.QueryCtx, whole bool) (int, error) {
			if whole {
				list, err := b.In(q).Where(store.Eq("later", 1)).All()
				return len(list), err
			}
			return b.In(q).Where(store.Eq("later", 1)).Count()
		})
		for _, whole := range []bool{true, false} {
			sub := subscribeLive(t, q, whole)
			var wrong *store.QueryError
			require.ErrorAs(t, nextOf(t, sub).Err, &wrong)
			defer func() {
				settleLive(t, s)
				require.ErrorIs(t, sub.Current().Err, store.ErrBucketNotDefined)
			}()
		}
		require.NoError(t, s.DropBucket(bg, "b"))
	})
}

// A definition with another TTL, at the opening of a store, gives deadlines to what
// is there. If the log ends behind the definition, before all of the records, the next
// opening gives them the same.
func TestRedefinedTTLAtTheEndOfTheLog(t *testing.T) {
	const count = 9000 // more than an entry of the log has
	log := &testLog{}
	l := newLifetimes(t, log, store.Sync)
	def := func(ttl time.Duration) func(d *store.Definition) {
		return func(d *store.Definition) { d.TTL = ttl }
	}
	b := l.define("b", def(0))
	ids := make([]store.Fields, count)
	for i := range ids {
		ids[i] = store.Fields{"id": i, "n": i}
	}
	_, err := b.InsertMany(bg, ids)
	require.NoError(t, err)
	l.reopen(false, time.Minute)
	before := len(log.entries)
	b = l.define("b", def(time.Hour))
	want := l.deadlines(b)
	require.Equal(t, "0 3600000", want[0])
	_, err = b.UpdateMany(bg, store.Fields{"_expiresAt": nil, "n": -1}, store.Lt("id", 0))
	require.NoError(t, err)
	require.Greater(t, len(log.entries), before+2)
	for n := before + 1; n <= len(log.entries); n++ {
		cut := log.crash(false)
		cut.entries = cut.entries[:n]
		again := newLifetimes(t, cut, store.Sync)
		require.True(t, slices.Equal(want, again.deadlines(again.define("b", def(time.Hour)))), "%d entries", n-before)
		again.reopen(n%2 == 0, 0)
		require.True(t, slices.Equal(want, again.deadlines(again.define("b", def(time.Hour)))), "%d entries, once more", n-before)
	}
}

// An alteration that changes no rule asks no validator.
func TestAlterAsksOnlyNewValidators(t *testing.T) {
	s := openStore(t, store.Options{})
	var asked atomic.Int64
	b, err := s.DefineBucket(bg, "b", store.Definition{
		Key: "id",
		Schema: store.Schema{
			"id": {Type: store.Int},
			"n":  {Type: store.Int, Validate: func(any, store.Record) error { asked.Add(1); return nil }},
		},
		Validate: func(store.Record) error { asked.Add(1); return nil },
	})
	require.NoError(t, err)
	putNumber(t, b, 1, 1)
	was := asked.Load()
	for _, c := range []store.Change{
		{AddIndexes: []store.Index{{"n"}}},
		{DropIndexes: []store.Index{{"n"}}, TTL: time.Hour, MaxSize: 5, Evict: store.OldestUpdated},
		{Fields: store.Schema{"a": {Type: store.Int, Default: 1}}},
	} {
		require.NoError(t, s.AlterBucket(bg, "b", c))
		require.Equal(t, was, asked.Load(), "%+v", c)
	}
}

// seams is a store with everything: a bounded bucket of records that expire, with
// nested fields and validators, and accounts, of which the total never changes.
type seams struct {
	t        *testing.T
	s        *store.Store
	b        *store.Bucket
	accounts *store.Bucket
	clock    atomic.Int64
	steps    int
	stop     atomic.Bool
	wg       sync.WaitGroup
}

const (
	seamAccounts = 12
	seamBalance  = 100
	seamMost     = 80
)

func odd(rec store.Record) error {
	if n, _ := rec.Get("n").(int64); n%7 == 6 {
		return errFoe
	}
	return nil
}

func newSeams(t *testing.T, steps int, log store.Adapter) *seams {
	m := &seams{t: t, steps: steps}
	m.clock.Store(1_700_000_000_000)
	m.open(log)
	var err error
	m.b, err = m.s.DefineBucket(bg, "b", store.Definition{
		Key: "id", Indexes: []store.Index{{"n"}}, TTL: time.Minute, MaxSize: seamMost, Evict: store.LeastRead, Validate: odd,
		Schema: store.Schema{
			"id": {Type: store.Int}, "n": {Type: store.Int},
			"o": {Type: store.Object, Properties: store.Schema{
				"k":    {Type: store.Int, Default: func() any { return 1 }},
				"tags": {Type: store.Array, Items: &store.Field{Type: store.String, MaxLength: 3, Validate: notX}},
			}},
		},
	})
	require.NoError(t, err)
	m.accounts = defineNumbers(t, m.s, "accounts", store.Index{"n"})
	for id := range seamAccounts {
		putNumber(t, m.accounts, id, seamBalance)
	}
	return m
}

func (m *seams) open(log store.Adapter) {
	opt := persistent(log)
	opt.TTLInterval, opt.Clock = -1, func() time.Time { return time.UnixMilli(m.clock.Load()) }
	m.s = openLogged(m.t, opt)
}

func notX(v any, _ store.Record) error {
	if v == "x" {
		return errFoe
	}
	return nil
}

// beside runs fn for the steps of the storm, or until the storm is over.
func (m *seams) beside(seed uint64, name string, fn func(r *rand.Rand, i int) error) {
	r := rand.New(rand.NewPCG(seed, uint64(len(name))<<8|uint64(name[0])))
	m.wg.Go(func() {
		for i := 0; i < m.steps && !m.stop.Load(); i++ {
			if err := fn(r, i); err != nil {
				m.stop.Store(true)
				m.t.Errorf("%s, step %d: %v", name, i, err)
			}
		}
	})
}

// expected is nil for what is bound to happen now and then.
func expected(err error) error {
	var refused *store.ValidationError
	var conflict *store.ConflictError
	var taken *store.UniqueError
	if errors.Is(err, errFoe) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoTTL) || errors.As(err, &conflict) || errors.As(err, &taken) {
		return nil
	}
	if errors.As(err, &refused) {
		for _, is := range refused.Issues {
			if is.Code != store.CodeMaxLength {
				return err
			}
		}
		return nil
	}
	return err
}

func (m *seams) fields(r *rand.Rand) store.Fields {
	in := store.Fields{"n": r.IntN(100)}
	if r.IntN(3) > 0 {
		tags := []any{}
		for range r.IntN(3) {
			tags = append(tags, []string{"a", "b", "x", "long"}[r.IntN(20)*r.IntN(20)/120])
		}
		in["o"] = map[string]any{"tags": tags}
		if r.IntN(2) == 0 {
			in["o"].(map[string]any)["k"] = r.IntN(5)
		}
	}
	return in
}

func (m *seams) write(r *rand.Rand, _ int) (err error) {
	in := m.fields(r)
	switch id := r.IntN(150); r.IntN(8) {
	case 0:
		_, err = m.b.Touch(bg, id)
	case 1:
		err = m.b.Delete(bg, id)
	case 2:
		_, err = m.b.UpdateMany(bg, store.Fields{"n": r.IntN(100)}, store.Eq("o.k", r.IntN(5)))
	case 3:
		_, err = m.b.DeleteMany(bg, store.Eq("n", r.IntN(100)))
	case 4:
		_, err = m.b.Update(bg, id, in)
	default:
		in["id"] = id
		_, err = m.b.Upsert(bg, in)
	}
	return expected(err)
}

// transfer moves money, and writes a record of it to the other bucket.
func (m *seams) transfer(r *rand.Rand, _ int) error {
	from, to, n := r.IntN(seamAccounts), r.IntN(seamAccounts), r.IntN(10)
	return expected(m.s.Transaction(bg, func(tx *store.Tx) error {
		in := m.accounts.In(tx)
		for _, move := range [][2]int{{from, -n}, {to, n}} {
			rec, _ := in.Get(move[0])
			if _, err := in.Update(bg, move[0], store.Fields{"n": rec.Get("n").(int64) + int64(move[1])}); err != nil {
				return err
			}
		}
		f := m.fields(r)
		f["id"] = 1000 + r.IntN(50)
		_, err := m.b.In(tx).Upsert(bg, f)
		return err
	}))
}

func (m *seams) total(b *store.Bucket) error {
	sum, err := b.Where().SumInt("n")
	if err == nil && sum != seamAccounts*seamBalance {
		err = fmt.Errorf("the accounts have %d", sum)
	}
	return err
}

// look reads snapshots, which stay what they are.
func (m *seams) look(r *rand.Rand, _ int) error {
	snap := m.s.Snapshot()
	defer snap.Close()
	show := func() string {
		list, err := m.b.In(snap).Where(store.Gte("n", 20)).OrderBy(store.Desc("o.k"), store.Asc("id")).All()
		return liveShow(list) + fmt.Sprint(err)
	}
	was := show()
	for range r.IntN(3) {
		if err := m.total(m.accounts); err != nil {
			return err
		}
		for _, err := range m.b.Where(store.Lt("n", 50)).Seq() {
			if err != nil || r.IntN(4) == 0 {
				return err
			}
		}
	}
	if now := show(); now != was {
		return fmt.Errorf("a snapshot has changed:\n%s\n%s", was, now)
	}
	return m.total(m.accounts.In(snap))
}

// alter gives the buckets other bounds, indexes, lifetimes and fields. The bound never
// exceeds seamMost.
func (m *seams) alter(r *rand.Rand, i int) error {
	var c store.Change
	switch i % 6 {
	case 0:
		c = store.Change{AddIndexes: []store.Index{{"n", "id"}}, Evict: store.OldestUpdated}
	case 1:
		c = store.Change{Fields: store.Schema{fmt.Sprint("f", i/6%3): {Type: store.Int, Default: func() any { return 5 }, Validate: func(any, store.Record) error { return nil }}}}
	case 2:
		c = store.Change{MaxSize: seamMost - r.IntN(40), TTL: -1, Evict: store.OldestCreated}
	case 3:
		c = store.Change{DropIndexes: []store.Index{{"n", "id"}}, Validate: odd, TTL: time.Duration(1+r.IntN(60)) * time.Second}
	case 4:
		return m.s.AlterBucket(bg, "accounts", store.Change{Fields: store.Schema{"o": {
			Type: store.Object, Properties: store.Schema{fmt.Sprint("p", i%4): {Type: store.Int, Default: i}}, Default: map[string]any{}, Extra: true,
		}}})
	case 5:
		c = store.Change{MaxSize: seamMost, Evict: store.LeastRead}
	}
	return m.s.AlterBucket(bg, "b", c)
}

func (m *seams) age(r *rand.Rand, _ int) error {
	m.clock.Add(r.Int64N(2000))
	_, err := m.s.PurgeTTL(bg)
	return err
}

func TestSeams(t *testing.T) {
	seed, steps := modelSeeds(t, 1)[0], modelSteps(t, 150)
	t.Logf("STORE_SEED=%d", seed)
	log := &testLog{}
	m := newSeams(t, steps, log)
	total := defineLive(t, m.s, "total", func(q *store.QueryCtx, _ none) (int64, error) {
		sum, err := m.accounts.In(q).Where().SumInt("n")
		if err == nil && sum != seamAccounts*seamBalance {
			err = fmt.Errorf("the accounts have %d", sum)
		}
		return sum, err
	})
	list := defineLive(t, m.s, "list", func(q *store.QueryCtx, k int) ([]store.Record, error) {
		return m.b.In(q).Where(store.Gte("o.k", k)).OrderBy(store.Desc("n"), store.Asc("id")).Limit(20).All()
	})
	figures := defineLive(t, m.s, "figures", func(q *store.QueryCtx, n int) (string, error) {
		b, err := q.Bucket("b")
		if err != nil {
			return "", err
		}
		count, err := b.Where(store.Gte("n", n)).Count()
		_, ok := b.Get(n)
		groups, _ := b.Where(store.Lt("n", n)).GroupBy("o.k").Count()
		later, wrong := b.Where(store.Eq("f1", 5)).Count() // no field at first
		return fmt.Sprint(count, ok, groups, later, wrong != nil), err
	})
	sum := subscribeLive(t, total, none{})
	lists, shown := []*store.Subscription[[]store.Record]{}, []*store.Subscription[string]{}
	for k := range 3 {
		lists, shown = append(lists, subscribeLive(t, list, k)), append(shown, subscribeLive(t, figures, 20*k))
	}
	m.beside(seed, "write", m.write)
	m.beside(seed, "rewrite", m.write)
	m.beside(seed, "transfer", m.transfer)
	m.beside(seed, "look", m.look)
	m.beside(seed, "age", m.age)
	m.beside(seed, "alter", func(r *rand.Rand, i int) error {
		if i > m.steps/3 {
			return nil
		}
		return m.alter(r, i)
	})
	m.beside(seed, "once", func(r *rand.Rand, _ int) error {
		if _, err := figures.Run(bg, r.IntN(100)); err != nil {
			return err
		}
		if r.IntN(10) == 0 {
			return m.s.Compact(bg)
		}
		_, err := total.Run(bg, none{})
		return err
	})
	m.wg.Wait()
	settleLive(t, m.s)
	require.NoError(t, store.CheckTables(m.s))
	require.NoError(t, m.total(m.accounts))
	require.NoError(t, sum.Current().Err)
	for k := range 3 {
		require.Equal(t, liveShow(fromScratch(t, m.s, list, k)), liveShow(lists[k].Current().Result))
		require.Equal(t, fromScratch(t, m.s, figures, 20*k), shown[k].Current().Result)
	}
	m.sound()
	m.reopened(log)
}

// sound compares what is there with the rules and with scans.
func (m *seams) sound() {
	t := m.t
	all := store.Peek(m.b)
	require.LessOrEqual(t, len(all), seamMost)
	for _, rec := range all {
		require.NoError(t, odd(rec))
		o, _ := rec.Get("o").(map[string]any)
		if o == nil {
			continue
		}
		require.Contains(t, o, "k")
		for _, tag := range o["tags"].([]any) {
			require.True(t, tag != "x" && len(tag.(string)) <= 3)
		}
	}
	for n := range 100 {
		count, err := m.b.Where(store.Gte("n", n)).Count()
		require.NoError(t, err)
		want := 0
		for _, rec := range all {
			if x, ok := rec.Get("n").(int64); ok && x >= int64(n) {
				want++
			}
		}
		require.Equal(t, want, count, "n >= %d", n)
	}
}

// reopened compares the log with what was in memory.
func (m *seams) reopened(log store.Adapter) {
	t := m.t
	defs, rows := map[string]store.Definition{}, map[string]string{}
	show := func(b *store.Bucket) string {
		var lines []string
		for _, rec := range store.Peek(b) {
			lines = append(lines, liveShow(rec))
		}
		return strings.Join(lines, "\n")
	}
	for name, b := range map[string]*store.Bucket{"b": m.b, "accounts": m.accounts} {
		def, err := m.s.Definition(name)
		require.NoError(t, err)
		defs[name], rows[name] = def, show(b)
	}
	require.NoError(t, closeLogged(t, m.s))
	m.open(log)
	for name, def := range defs {
		b, err := m.s.DefineBucket(bg, name, def)
		require.NoError(t, err)
		require.Equal(t, rows[name], show(b), name)
	}
	require.NoError(t, store.CheckTables(m.s))
	require.NoError(t, closeLogged(t, m.s))
}
