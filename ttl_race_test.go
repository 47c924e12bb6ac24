package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Expiry beside everything that may happen to the records that expire.

// expiring is a store whose records are due a few milliseconds of its clock after
// they came; each write and each purge moves the clock on.
type expiring struct {
	s     *store.Store
	b     atomic.Pointer[store.Bucket]
	clock atomic.Int64
	wrong atomic.Pointer[error]
}

func openExpiring(t *testing.T, opt store.Options) *expiring {
	e := &expiring{}
	e.clock.Store(1_700_000_000_000)
	opt.TTLInterval, opt.Clock = -1, func() time.Time { return time.UnixMilli(e.clock.Add(1)) }
	e.s = openLogged(t, opt)
	e.define(t)
	return e
}

func (e *expiring) define(t *testing.T) {
	def := numbersDefinition()
	def.TTL, def.MaxSize, def.Indexes = 40*time.Millisecond, 60, []store.Index{{"n"}}
	b, err := e.s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	e.b.Store(b)
}

// expect notes an error that is none of those that may come.
func (e *expiring) expect(err error, of ...error) {
	var ue *store.UniqueError
	if err == nil || errors.As(err, &ue) {
		return
	}
	for _, is := range append(of, store.ErrNotFound, store.ErrBucketNotDefined) {
		if errors.Is(err, is) {
			return
		}
	}
	e.wrong.Store(&err)
}

// write does one thing.
func (e *expiring) write(r *rand.Rand, of ...error) {
	b, id := e.b.Load(), r.IntN(80)
	var err error
	switch r.IntN(8) {
	case 0, 1:
		_, err = b.Insert(bg, store.Fields{"id": id, "n": 0})
	case 2:
		_, err = b.Update(bg, id, store.Fields{"n": r.IntN(5)})
	case 3:
		_, err = b.Touch(bg, id)
	case 4:
		err = b.Delete(bg, id)
	case 5:
		_, err = b.UpdateMany(bg, store.Fields{"n": r.IntN(5)}, store.Eq("n", r.IntN(5)))
	case 6:
		err = e.s.Transaction(bg, func(tx *store.Tx) error {
			if _, ok := b.In(tx).Get(id); !ok {
				_, err := b.In(tx).Insert(bg, store.Fields{"id": id, "n": 1})
				return err
			}
			_, err := b.In(tx).Touch(bg, id)
			return err
		}, store.Retry(100))
		var ce *store.ConflictError
		if errors.As(err, &ce) {
			err = nil
		}
	default:
		_, err = e.s.PurgeTTL(bg)
	}
	e.expect(err, of...)
}

// beside runs goroutines that write n times each, and meanwhile fn.
func (e *expiring) beside(t *testing.T, n int, fn func(), of ...error) {
	seed := modelSeeds(t, 1)[0]
	t.Logf("STORE_SEED=%d", seed)
	var wg sync.WaitGroup
	for w := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for range n {
				e.write(r, of...)
			}
		})
	}
	fn()
	wg.Wait()
	if err := e.wrong.Load(); err != nil {
		require.NoError(t, *err)
	}
}

// A record goes once, by one reason, and its events tell its whole life.
func TestExpiryBesideWrites(t *testing.T) {
	for name, log := range map[string]store.Adapter{"memory only": nil, "log": &testLog{}} {
		t.Run(name, func(t *testing.T) {
			e := openExpiring(t, store.Options{Persistence: store.Persistence{Adapter: log}, EventBuffer: 1 << 20})
			alive, odd := map[string]store.Version{}, 0
			expired, evicted := int64(0), int64(0)
			_, err := e.s.On("bucket.b.*", func(ev store.Event) {
				k := ev.Key.String()
				was, there := alive[k]
				switch ev.Type {
				case store.Inserted:
					alive[k] = 1
					odd += bit(there)
				case store.Updated:
					alive[k] = was + 1
					odd += bit(!there || ev.New.Version() != was+1)
				case store.Deleted:
					delete(alive, k)
					odd += bit(!there || ev.Old.Version() != was)
				}
				expired += int64(bit(ev.Reason == store.ByExpiry))
				evicted += int64(bit(ev.Reason == store.ByEviction))
			})
			require.NoError(t, err)
			e.beside(t, 400, func() {})
			require.NoError(t, e.s.Settle(bg))
			require.Zero(t, odd)
			require.Len(t, ids(e.b.Load()), len(alive))
			require.Equal(t, expired, e.s.Stats().Expired.Total)
			require.Equal(t, evicted, e.s.Stats().Evicted.Total)
			require.Positive(t, expired)
			require.NoError(t, store.CheckTables(e.s))
		})
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// The bucket is dropped, and defined anew, while its records expire.
func TestExpiryBesideDrop(t *testing.T) {
	e := openExpiring(t, store.Options{Persistence: store.Persistence{Adapter: &testLog{}}})
	e.beside(t, 300, func() {
		for range 20 {
			settled()
			require.NoError(t, e.s.DropBucket(bg, "b"))
			_, err := e.s.PurgeTTL(bg)
			require.NoError(t, err)
			e.define(t)
		}
	})
	require.NoError(t, store.CheckTables(e.s))
	old := e.b.Load()
	require.NoError(t, e.s.DropBucket(bg, "b"))
	_, err := old.Touch(bg, 1)
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	n, err := e.s.PurgeTTL(bg)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Empty(t, e.s.Stats().TTL.Next)
	require.False(t, e.s.Stats().TTL.Enabled)
}

// The store closes while records expire, by the ticker too, and leaves no goroutine.
func TestExpiryBesideClose(t *testing.T) {
	for range 20 {
		e := openExpiring(t, store.Options{})
		e.beside(t, 50, func() {
			settled()
			require.NoError(t, e.s.Close(bg))
		}, store.ErrClosed)
		_, err := e.s.PurgeTTL(bg)
		require.ErrorIs(t, err, store.ErrClosed)
		s := openLogged(t, store.Options{TTLInterval: 50 * time.Microsecond})
		def := numbersDefinition()
		def.TTL = time.Millisecond
		b, err := s.DefineBucket(bg, "b", def)
		require.NoError(t, err)
		insertNumbers(t, b, 0, 3000)
		settled()
		ctx, cancel := context.WithTimeout(bg, 10*time.Second)
		require.NoError(t, s.Close(ctx))
		cancel()
	}
}
