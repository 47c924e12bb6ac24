package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The isolation tests run random transactions side by side and look at what they
// saw. Each returns its violations as text, so that the same workloads can show,
// against planted defects, that they find something.
//
//	STORE_SEED=123 go test -run 'TestIsolation' -v .
//
// The seed decides what the goroutines do, not how they are interleaved.

func isolationSeed(t *testing.T) uint64 {
	t.Helper()
	seed := modelSeeds(t, 1)[0]
	t.Logf("STORE_SEED=%d", seed)
	return seed
}

func isolationRounds(n int) int {
	if testing.Short() {
		return max(n/4, 1)
	}
	return n
}

// yield lets others in between two steps, or not.
func yield(r *rand.Rand) {
	switch r.IntN(6) {
	case 0, 1:
		runtime.Gosched()
	case 2:
		time.Sleep(time.Duration(r.IntN(20)) * time.Microsecond)
	}
}

// findings collects violations from many goroutines.
type findings struct {
	mu   sync.Mutex
	list []string
}

func (f *findings) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) < maxFound {
		f.list = append(f.list, fmt.Sprintf(format, args...))
	}
}

// unexpected notes an error that a transaction under contention must not have.
func (f *findings) unexpected(err error) {
	var c *store.ConflictError
	if err != nil && !errors.As(err, &c) {
		f.add("error: %v", err)
	}
}

// isolationStore opens a store, with a defect if plant is not nil. Its test ends
// it early, as some tests open many.
func isolationStore(t *testing.T, plant func(*store.Store)) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{EventBuffer: 1 << 16})
	require.NoError(t, err)
	if plant != nil {
		plant(s)
	}
	return s
}

// listRow is one list. It comes into being with its first value, so that appends
// are inserts too; N, the length, makes predicates of lists.
type listRow struct {
	ID    string `store:"id,key"`
	Group string `store:"group,index"`
	N     int    `store:"n,index"`
	Items []int  `store:"items"`
	store.Meta
}

const (
	listBuckets = 3
	listKeys    = 5 // per bucket
	anyLength   = 1 << 30
)

type listWorld struct {
	s       *store.Store
	buckets []*store.TypedBucket[listRow]
	opts    []store.TxOption
	clock   atomic.Int64
	value   atomic.Int64
	findings

	txMu sync.Mutex
	txs  []listTx
}

func newListWorld(t *testing.T, plant func(*store.Store), opts ...store.TxOption) *listWorld {
	w := &listWorld{s: isolationStore(t, plant), opts: opts}
	for i := range listBuckets {
		b, err := store.Define[listRow](context.Background(), w.s, fmt.Sprint("list", i))
		require.NoError(t, err)
		w.buckets = append(w.buckets, b)
	}
	return w
}

func listID(k int) string    { return fmt.Sprintf("k%d", k%listKeys) }
func listGroup(k int) string { return fmt.Sprintf("g%d", k%2) }

func (w *listWorld) record(tx listTx) {
	w.txMu.Lock()
	defer w.txMu.Unlock()
	w.txs = append(w.txs, tx)
}

// own is how many values a transaction has appended to a key so far.
func (t *listTx) own(k int) (n int) {
	for _, a := range t.appends {
		if a.key == k {
			n++
		}
	}
	return n
}

func (t *listTx) exact(k int, row listRow) {
	items := append([]int{}, row.Items...) // not nil: an empty list is known, too
	t.reads = append(t.reads, listRead{key: k, lo: len(items), hi: len(items), items: items, own: t.own(k)})
}

func (t *listTx) bound(k, lo, hi int) {
	t.reads = append(t.reads, listRead{key: k, lo: lo, hi: hi, own: t.own(k)})
}

// answer notes the records of an answer, and of the bucket's other keys that
// their length is hi at most.
func (t *listTx) answer(bucket int, rows []listRow, hi int, in func(k int) bool) {
	byID := map[string]listRow{}
	for _, row := range rows {
		byID[row.ID] = row
	}
	for k := bucket * listKeys; k < (bucket+1)*listKeys; k++ {
		row, ok := byID[listID(k)]
		switch {
		case ok:
			t.exact(k, row)
		case in != nil && !in(k):
		case hi <= 0:
			t.exact(k, listRow{})
		default:
			t.bound(k, 0, hi)
		}
	}
}

// read makes one random read through a reader.
func (w *listWorld) read(r *rand.Rand, at store.Reader, t *listTx) error {
	bucket := r.IntN(listBuckets)
	b := w.buckets[bucket].In(at)
	k := bucket*listKeys + r.IntN(listKeys)
	switch r.IntN(7) {
	case 0, 1:
		row, _ := b.Get(listID(k))
		t.exact(k, row)
	case 2:
		rows, err := b.Where(store.Eq("group", listGroup(k))).All()
		t.answer(bucket, rows, 0, func(o int) bool { return listGroup(o) == listGroup(k) })
		return err
	case 3:
		from := r.IntN(8) + 1
		rows, err := b.Where(store.Gte("n", from)).All()
		t.answer(bucket, rows, from-1, nil)
		return err
	case 4:
		return w.count(r, b, k, t)
	case 5:
		n := r.IntN(3) + 1
		rows, err := b.OrderBy(store.Desc("n")).Limit(n).All()
		hi := 0
		if len(rows) == n {
			hi = rows[n-1].N
		}
		t.answer(bucket, rows, hi, nil)
		return err
	default: // the oldest lists, by an iterator that is left early
		left := r.IntN(listKeys)
		for row := range b.All() {
			for o := bucket * listKeys; o < (bucket+1)*listKeys; o++ {
				if row.ID == listID(o) {
					t.exact(o, row)
				}
			}
			if left--; left < 0 {
				break
			}
		}
	}
	return nil
}

// count asks about the length of one list only, and not what is in it.
func (w *listWorld) count(r *rand.Rand, b *store.TypedBucket[listRow], k int, t *listTx) error {
	if r.IntN(2) == 0 {
		n, err := b.Where(store.Eq("id", listID(k))).SumInt("n")
		t.bound(k, int(n), int(n))
		return err
	}
	from := r.IntN(8) + 1
	n, err := b.Count(store.Eq("id", listID(k)), store.Gte("n", from))
	if n == 1 {
		t.bound(k, from, anyLength)
	} else {
		t.bound(k, 0, from-1)
	}
	return err
}

func (w *listWorld) appendTo(ctx context.Context, r *rand.Rand, tx *store.Tx, t *listTx) error {
	k := r.IntN(listBuckets * listKeys)
	val := int(w.value.Add(1))
	b := w.buckets[k/listKeys]
	if tx != nil {
		b = b.In(tx)
	}
	var was listRow
	_, err := b.Update(ctx, listID(k), func(row *listRow) error {
		was = *row
		was.Items = append([]int{}, row.Items...)
		row.Items = append(row.Items, val)
		row.N = len(row.Items)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		was = listRow{}
		_, err = b.Insert(ctx, listRow{ID: listID(k), Group: listGroup(k), N: 1, Items: []int{val}})
	}
	if err == nil {
		t.exact(k, was)
	}
	t.appends = append(t.appends, listAppend{k, val})
	return err
}

// transaction runs one random transaction. An attempt that is run again counts as
// one that was aborted.
func (w *listWorld) transaction(ctx context.Context, r *rand.Rand, writes bool) {
	opts := w.opts
	if r.IntN(3) == 0 {
		opts = append(opts[:len(opts):len(opts)], store.Retry(3))
	}
	steps := r.IntN(5) + 1
	t := listTx{what: "tx", begin: w.clock.Add(1)}
	tries := 0
	err := w.s.Transaction(ctx, func(tx *store.Tx) error {
		if tries++; tries > 1 {
			w.record(t)
			t = listTx{what: "tx", begin: t.begin}
		}
		for range steps {
			yield(r)
			var err error
			if writes && r.IntN(2) == 0 {
				err = w.appendTo(ctx, r, tx, &t)
			} else {
				err = w.read(r, tx, &t)
			}
			if err != nil {
				return err
			}
		}
		yield(r)
		if r.IntN(20) == 0 {
			return errGiveUp
		}
		return nil
	}, opts...)
	t.end, t.committed = w.clock.Add(1), err == nil
	w.record(t)
	w.refused(err)
}

var errGiveUp = errors.New("given up")

// refused notes an error that should not be. Two that insert the same key collide
// by the key where reads are not checked.
func (w *listWorld) refused(err error) {
	var dup *store.UniqueError
	if errors.Is(err, errGiveUp) || len(w.opts) > 0 && errors.As(err, &dup) {
		return
	}
	w.unexpected(err)
}

// snapshot reads through a snapshot; it takes effect while that is taken.
func (w *listWorld) snapshot(r *rand.Rand) {
	t := listTx{what: "snapshot", begin: w.clock.Add(1), committed: true}
	snap := w.s.Snapshot()
	defer snap.Close()
	t.end = w.clock.Add(1)
	for range r.IntN(4) + 2 {
		yield(r)
		w.unexpected(w.read(r, snap, &t))
	}
	w.record(t)
}

// plain appends without a transaction.
func (w *listWorld) plain(ctx context.Context, r *rand.Rand) {
	t := listTx{what: "plain", begin: w.clock.Add(1)}
	err := w.appendTo(ctx, r, nil, &t)
	t.end, t.committed = w.clock.Add(1), err == nil
	if dup := new(store.UniqueError); err != nil && !errors.As(err, &dup) {
		w.add("plain write: %v", err)
	}
	w.record(t)
}

func (w *listWorld) final() [][]int {
	final := make([][]int, listBuckets*listKeys)
	for k := range final {
		row, _ := w.buckets[k/listKeys].Get(listID(k))
		final[k] = row.Items
	}
	return final
}

// listRound runs the workload once and checks its history.
func listRound(t *testing.T, seed uint64, plant func(*store.Store), each int, opts ...store.TxOption) []string {
	t.Helper()
	ctx := context.Background()
	w := newListWorld(t, plant, opts...)
	together(4+int(seed%5), func(i int) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for range each {
			switch r.IntN(10) {
			case 0:
				w.snapshot(r)
			case 1:
				w.transaction(ctx, r, false)
			case 2:
				w.plain(ctx, r)
			default:
				w.transaction(ctx, r, true)
			}
		}
	})
	if plant == nil { // a defect may leave anything behind
		require.NoError(t, store.CheckTables(w.s))
	}
	final := w.final()
	require.NoError(t, w.s.Close(ctx))
	return append(w.list, checkHistory(w.txs, final)...)
}

func TestIsolationLists(t *testing.T) {
	seed := isolationSeed(t)
	for i := range isolationRounds(64) {
		require.Empty(t, listRound(t, seed+uint64(i), nil, 80), "STORE_SEED=%d, round %d", seed, i)
	}
}

// TestIsolationListsSnapshot: with snapshot isolation, write skew is all that may
// happen.
func TestIsolationListsSnapshot(t *testing.T) {
	seed := isolationSeed(t)
	skews := 0
	for i := range isolationRounds(24) {
		for _, text := range listRound(t, seed+uint64(i), nil, 80, store.SnapshotIsolation) {
			if !strings.Contains(text, "G2 (write skew)") {
				require.Fail(t, text, "STORE_SEED=%d, round %d", seed, i)
			}
			skews++
		}
	}
	require.NotZero(t, skews, "the workload should show write skew: STORE_SEED=%d", seed)
}

// skewForms are ways to count the records that are "in": each must keep others
// from adding to them.
var skewForms = map[string]func(b *store.TypedBucket[counter]) (int, error){
	"index": func(b *store.TypedBucket[counter]) (int, error) { return b.Count(store.Eq("group", "in")) },
	"scan":  func(b *store.TypedBucket[counter]) (int, error) { return b.Count(store.Eq("flag", 1)) },
	"range": func(b *store.TypedBucket[counter]) (int, error) {
		all, err := b.Where(store.Gte("n", 100)).All()
		return len(all), err
	},
	"first": func(b *store.TypedBucket[counter]) (n int, err error) {
		all, err := b.OrderBy(store.Desc("n")).Limit(skewLimit).All()
		for _, c := range all {
			if c.N >= 100 {
				n++
			}
		}
		return n, err
	},
	"iterator": func(b *store.TypedBucket[counter]) (n int, err error) {
		for c, err := range b.OrderBy(store.Desc("n")).Seq() {
			if err != nil || c.N < 100 {
				return n, err
			}
			n++
		}
		return n, nil
	},
	"sum": func(b *store.TypedBucket[counter]) (int, error) {
		sum, err := b.Sum("flag")
		return int(sum), err
	},
	"groups": func(b *store.TypedBucket[counter]) (int, error) {
		groups, err := b.GroupBy("group").Count()
		for _, g := range groups {
			if g.Key[0] == "in" {
				return g.Value, err
			}
		}
		return 0, err
	},
	"offset": func(b *store.TypedBucket[counter]) (int, error) {
		full, err := b.Where(store.Eq("flag", 1)).Offset(skewLimit - 1).Exists()
		if full {
			return skewLimit, err
		}
		return 0, err
	},
	"page": func(b *store.TypedBucket[counter]) (int, error) {
		page, err := b.Where(store.Eq("group", "in")).OrderBy(store.Asc("n")).Page(skewLimit, "")
		return len(page.Records), err
	},
	"union": func(b *store.TypedBucket[counter]) (int, error) {
		return b.Count(store.Or(store.Eq("group", "in"), store.Gte("n", 100)))
	},
}

const skewLimit = 3

// skewRound has goroutines that each let a record in only while there are fewer
// than the limit, and let it out again.
func skewRound(t *testing.T, seed uint64, plant func(*store.Store), form string, each int, opts ...store.TxOption) []string {
	t.Helper()
	ctx := context.Background()
	s := isolationStore(t, plant)
	b := counters(t, s, "c")
	for i := range 8 {
		_, err := b.Insert(ctx, counter{ID: fmt.Sprint("old", i), Group: "out", N: i})
		require.NoError(t, err)
	}
	var f findings
	count := skewForms[form]
	together(6, func(i int) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for n := range each {
			if i == 5 {
				snap := s.Snapshot()
				f.over(b.In(snap), form)
				snap.Close()
				yield(r)
				continue
			}
			f.unexpected(s.Transaction(ctx, func(tx *store.Tx) error {
				return skewStep(ctx, r, b.In(tx), count, i, n)
			}, opts...))
		}
	})
	f.over(b, form)
	require.NoError(t, s.Close(ctx))
	return f.list
}

// skewStep lets one record in if there is room, else lets one of its own out. It
// touches no record that other goroutines write.
func skewStep(ctx context.Context, r *rand.Rand, b *store.TypedBucket[counter], count func(*store.TypedBucket[counter]) (int, error), i, n int) error {
	in, err := count(b)
	if err != nil {
		return err
	}
	yield(r)
	fresh, old := fmt.Sprintf("new%d", i), fmt.Sprint("old", i)
	if in < skewLimit {
		if n%2 == 0 {
			_, err = b.Upsert(ctx, counter{ID: fresh, Group: "in", N: 100 + i, Flag: 1})
		} else {
			_, err = b.Patch(ctx, old, store.Fields{"group": "in", "n": 100 + i, "flag": 1})
		}
		return err
	}
	if err := b.Delete(ctx, fresh); err != nil {
		return err
	}
	_, err = b.Patch(ctx, old, store.Fields{"group": "out", "n": i, "flag": 0})
	return err
}

func (f *findings) over(b *store.TypedBucket[counter], form string) {
	n, err := b.Count(store.Eq("group", "in"))
	if err != nil || n > skewLimit {
		f.add("%s: %d records where %d may be (%v)", form, n, skewLimit, err)
	}
}

func TestIsolationPredicates(t *testing.T) {
	seed := isolationSeed(t)
	for form := range skewForms {
		t.Run(form, func(t *testing.T) {
			for i := range isolationRounds(12) {
				require.Empty(t, skewRound(t, seed+uint64(i), nil, form, 60), "STORE_SEED=%d", seed)
			}
		})
	}
}

// TestIsolationSnapshotSkew: under snapshot isolation two transactions that have
// both counted before either writes both commit, and under the default they do
// not; an update is not lost under either.
func TestIsolationSnapshotSkew(t *testing.T) {
	ctx := context.Background()
	for form, count := range skewForms {
		for _, opts := range [][]store.TxOption{nil, {store.SnapshotIsolation}} {
			t.Run(fmt.Sprint(form, opts), func(t *testing.T) {
				s := openStore(t, store.Options{})
				b := counters(t, s, "c")
				_, err := b.InsertMany(ctx, []counter{{ID: "a", Group: "in", N: 100, Flag: 1}, {ID: "b", Group: "in", N: 101, Flag: 1}})
				require.NoError(t, err)
				var counted sync.WaitGroup
				counted.Add(2)
				errs := make([]error, 2)
				together(2, func(i int) {
					errs[i] = s.Transaction(ctx, func(tx *store.Tx) error {
						n, err := count(b.In(tx))
						counted.Done()
						counted.Wait()
						if err != nil || n >= skewLimit {
							return err
						}
						_, err = b.In(tx).Insert(ctx, counter{ID: fmt.Sprint("new", i), Group: "in", N: 200, Flag: 1})
						return err
					}, opts...)
				})
				n, err := b.Count(store.Eq("group", "in"))
				require.NoError(t, err)
				if len(opts) > 0 {
					require.Equal(t, []error{nil, nil}, errs)
					require.Equal(t, skewLimit+1, n)
					return
				}
				var c *store.ConflictError
				require.ErrorAs(t, errors.Join(errs...), &c)
				require.Equal(t, skewLimit, n)
			})
		}
	}
}

func TestIsolationNoLostUpdate(t *testing.T) {
	ctx := context.Background()
	seed := isolationSeed(t)
	for _, iso := range [][]store.TxOption{nil, {store.SnapshotIsolation}} {
		s := openStore(t, store.Options{})
		b := counters(t, s, "c")
		_, err := b.Insert(ctx, counter{ID: "k"})
		require.NoError(t, err)
		var done atomic.Int64
		var f findings
		together(6, func(i int) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 150 {
				err := s.Transaction(ctx, func(tx *store.Tx) error {
					c, _ := b.In(tx).Get("k")
					yield(r)
					_, err := b.In(tx).Patch(ctx, "k", store.Fields{"n": c.N + 1})
					return err
				}, iso...)
				if err == nil {
					done.Add(1)
				}
				f.unexpected(err)
			}
		})
		c, _ := b.Get("k")
		require.Empty(t, f.list)
		require.EqualValues(t, done.Load(), c.N)
		require.EqualValues(t, done.Load()+1, c.Version)
	}
}

// TestIsolationGivenUpUnique: a unique value that was free for a transaction is
// something that it has read, also if it gives the value up again.
func TestIsolationGivenUpUnique(t *testing.T) {
	ctx := context.Background()
	s, a, b := txBuckets(t)
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Insert(ctx, txAccount{ID: "x", Owner: "u"})
		require.NoError(t, err)
		require.NoError(t, a.In(tx).Delete(ctx, "x"))
		require.NoError(t, s.Transaction(ctx, func(other *store.Tx) error {
			_, there := b.In(other).Get("w")
			require.False(t, there)
			_, err := a.In(other).Insert(ctx, txAccount{ID: "y", Owner: "u"})
			return err
		}))
		_, err = b.In(tx).Insert(ctx, txAccount{ID: "w"})
		return err
	})
	var conflict *store.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, "a", conflict.Bucket)
}
