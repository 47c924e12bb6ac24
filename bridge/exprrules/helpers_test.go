package exprrules_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
	"github.com/noex-go/store/bridge/exprrules"
)

// seedVar replays a random test: RULES_SEED=<printed seed> go test -run ...
const seedVar = "RULES_SEED"

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

// newShop returns a store with the buckets of a shop.
func newShop(tb testing.TB) *store.Store {
	tb.Helper()
	s, err := store.Open(context.Background(), store.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close(context.Background())) })
	for name, def := range map[string]store.Definition{
		"products": {Key: "id", Schema: store.Schema{
			"id": {Type: store.String}, "name": {Type: store.String}, "stock": {Type: store.Int},
			"minimum": {Type: store.Int, Default: 10}, "price": {Type: store.Float}, "weight": {Type: store.Number},
			"tags": {Type: store.Array}, "since": {Type: store.Date}, "sold": {Type: store.Bool},
			"raw": {Type: store.Bytes}, "more": {Type: store.Object},
		}},
		"orders": {Key: "id", Schema: store.Schema{
			"id": {Type: store.Int, Generated: store.Autoincrement}, "product": {Type: store.String, Required: true},
			"amount": {Type: store.Int, Required: true}, "state": {Type: store.String, Enum: []any{"open", "done"}, Default: "open"},
		}, Indexes: []store.Index{{"product"}}},
		"totals": {Key: "product", Schema: store.Schema{"product": {Type: store.String}, "amount": {Type: store.Int}}},
		"log":    {Key: "n", Extra: true, Schema: store.Schema{"n": {Type: store.Int, Generated: store.Autoincrement}, "text": {Type: store.String}}},
	} {
		_, err := s.DefineBucket(context.Background(), name, def)
		require.NoError(tb, err)
	}
	return s
}

func bucket(tb testing.TB, s *store.Store, name string) *store.Bucket {
	tb.Helper()
	b, err := s.Bucket(name)
	require.NoError(tb, err)
	return b
}

func insert(tb testing.TB, s *store.Store, name string, fields store.Fields) {
	tb.Helper()
	_, err := bucket(tb, s, name).Insert(context.Background(), fields)
	require.NoError(tb, err)
}

// texts are the texts of the log, in order.
func texts(tb testing.TB, s *store.Store) (list []string) {
	tb.Helper()
	for r := range bucket(tb, s, "log").All() {
		text, _ := r.Get("text").(string)
		list = append(list, text)
	}
	return list
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

// start returns an engine with rules, at the end of a bridge.
func start(tb testing.TB, s *store.Store, opt exprrules.Options, rules ...exprrules.Rule) (*exprrules.Engine, *bridge.Bridge) {
	tb.Helper()
	e, err := exprrules.New(s, opt)
	require.NoError(tb, err)
	require.NoError(tb, e.Load(rules))
	b, err := bridge.Forward(s, e, bridge.Options{Buffer: 1 << 20})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, b.Stop(context.Background())) })
	return e, b
}

// settle waits until the rules have judged every event, those of their own commits
// included.
func settle(tb testing.TB, s *store.Store, b *bridge.Bridge) {
	tb.Helper()
	for range 1_000_000 {
		before := s.Stats().Commits
		require.NoError(tb, s.Settle(context.Background()))
		for b.Stats().Queued > 0 {
			runtime.Gosched()
		}
		if s.Stats().Commits == before && b.Stats().Queued == 0 {
			return
		}
	}
	tb.Fatal("the rules do not come to rest")
}

// logs is a step that writes an expression to the log.
func logs(text string) exprrules.Step {
	return exprrules.Step{Insert: "log", Set: map[string]any{"text": text}}
}

func rule(name, when, cond string, steps ...exprrules.Step) exprrules.Rule {
	return exprrules.Rule{Name: name, When: when, If: cond, Then: steps}
}
