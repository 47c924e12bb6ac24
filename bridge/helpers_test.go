package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
)

// seedVar replays a random test: BRIDGE_SEED=<printed seed> go test -run ...
const seedVar = "BRIDGE_SEED"

func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv(seedVar); v != "" {
		var err error
		seed, err = strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", seedVar, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// newStore returns a store with buckets of the given names: an integer key and a
// number n.
func newStore(tb testing.TB, opt store.Options, names ...string) (*store.Store, map[string]*store.Bucket) {
	tb.Helper()
	opt.Logger = slog.New(slog.DiscardHandler)
	s, err := store.Open(context.Background(), opt)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close(context.Background())) })
	buckets := map[string]*store.Bucket{}
	for _, name := range names {
		buckets[name], err = s.DefineBucket(context.Background(), name, store.Definition{Key: "id", Schema: store.Schema{
			"id": {Type: store.Int}, "n": {Type: store.Int},
		}})
		require.NoError(tb, err)
	}
	return s, buckets
}

func insert(tb testing.TB, b *store.Bucket, ids ...int) {
	tb.Helper()
	for _, id := range ids {
		_, err := b.Insert(context.Background(), store.Fields{"id": id})
		require.NoError(tb, err)
	}
}

// collector is a receiver that keeps what it gets, as text, and does what act says
// before it returns.
type collector struct {
	act func(ctx context.Context, n int) error // n counts from 0

	mu  sync.Mutex
	got []string
}

func (c *collector) Emit(ctx context.Context, topic string, data map[string]any) error {
	c.mu.Lock()
	n := len(c.got)
	c.got = append(c.got, fmt.Sprintf("%v %s %v", data["seq"], topic, data["key"]))
	c.mu.Unlock()
	if c.act == nil {
		return nil
	}
	return c.act(ctx, n)
}

func (c *collector) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...)
}

// reports keeps what OnError hears.
type reports struct {
	mu   sync.Mutex
	errs []error
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *reports) list() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

func forward(tb testing.TB, s *store.Store, r bridge.Receiver, opt bridge.Options) *bridge.Bridge {
	tb.Helper()
	b, err := bridge.Forward(s, r, opt)
	require.NoError(tb, err)
	return b
}

// all is how many events the figures account for.
func all(s bridge.Stats) int64 {
	return s.Forwarded + s.Filtered + s.Failed + s.Panicked + s.Dropped + int64(s.Queued)
}
