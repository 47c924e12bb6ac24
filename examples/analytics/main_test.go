package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

var update = flag.Bool("update", false, "write what the program prints to the golden file")

var short = config{
	duration: 8 * time.Second, every: 2 * time.Second, window: 2500 * time.Millisecond,
	rate: 400, most: 1200, seed: 1, simulate: true,
}

// TestOutput compares what a run prints with the recorded text. After an
// intended change:
//
//	go test ./examples/analytics -update
func TestOutput(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), &out, short))
	golden := filepath.Join("testdata", "output.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}

// TestTerminal holds that frames are drawn over one another, with the same text.
func TestTerminal(t *testing.T) {
	var plain, drawn bytes.Buffer
	c := short
	require.NoError(t, run(context.Background(), &plain, c))
	c.terminal = true
	require.NoError(t, run(context.Background(), &drawn, c))
	frames := strings.Split(strings.TrimSuffix(plain.String(), "\n\n"), "\n\n")
	require.Len(t, frames, 4)
	up := fmt.Sprintf("\x1b[%dA", strings.Count(frames[0], "\n")+1)
	require.Equal(t, 3, strings.Count(drawn.String(), up))
	text := strings.NewReplacer(up, "\n", "\x1b[K", "", "\x1b[J", "").Replace(drawn.String())
	require.Equal(t, plain.String(), text+"\n")
}

// TestRealTime runs by the real clock, which a bubble makes fast, until it is
// interrupted. The store itself deletes what has expired.
func TestRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second+step/2, cancel)
		var out bytes.Buffer
		c := short
		c.duration, c.simulate, c.window = 0, false, time.Second
		require.NoError(t, run(ctx, &out, c))
		frames := strings.Split(strings.TrimSuffix(out.String(), "\n\n"), "\n\n")
		require.Len(t, frames, 5)
		for _, f := range frames {
			var held, most, expired, evicted int
			_, err := fmt.Sscanf(f[strings.LastIndex(f, "\n")+1:], "%d of at most %d hits held, %d expired, %d evicted", &held, &most, &expired, &evicted)
			require.NoError(t, err)
			require.LessOrEqual(t, held, 700) // of the most in a second, and what TTLInterval leaves
			require.NotZero(t, expired)
			require.Zero(t, evicted)
		}
	})
}

func TestBadFlags(t *testing.T) {
	for name, change := range map[string]func(c *config){
		"duration":  func(c *config) { c.duration = -1 },
		"no end":    func(c *config) { c.duration = 0 },
		"every":     func(c *config) { c.every = 0 },
		"window":    func(c *config) { c.window = 0 },
		"century":   func(c *config) { c.window = math.MaxInt64 },
		"rate":      func(c *config) { c.rate = -1 },
		"NaN":       func(c *config) { c.rate = math.NaN() },
		"much":      func(c *config) { c.rate = math.Inf(1) },
		"most":      func(c *config) { c.most = 0 },
		"less than": func(c *config) { c.most = -5 },
	} {
		c := short
		change(&c)
		require.Error(t, run(t.Context(), &bytes.Buffer{}, c), name)
	}
}

// brokenPipe is a terminal that was closed.
type brokenPipe struct{}

var errPipe = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }

func TestOutputFails(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), brokenPipe{}, short), errPipe)
}

// TestAggregates compares the live dashboard with one made from a plain slice of
// the hits that should be held.
func TestAggregates(t *testing.T) {
	seed := rand.Uint64() >> 16
	if s := os.Getenv("STORE_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("STORE_SEED=%d", seed)
	const window, most = 5 * time.Second, 700
	clk := &simulated{}
	clk.ms.Store(1_000_000)
	s, err := store.Open(t.Context(), store.Options{Clock: clk.now, TTLInterval: -1})
	require.NoError(t, err)
	defer s.Close(context.Background())
	a, err := NewAnalytics(t.Context(), s, window, most)
	require.NoError(t, err)
	board, err := a.board.Subscribe(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Empty(t, board.Current().Result.Routes)

	r := rand.New(rand.NewPCG(seed, 0))
	traffic := newTraffic(seed, 40)
	var held []Hit
	for range 150 {
		clk.sleep(t.Context(), clk.now().Add(time.Duration(r.IntN(1500))*time.Millisecond))
		_, err := s.PurgeTTL(t.Context())
		require.NoError(t, err)
		batch, err := a.hits.InsertMany(t.Context(), traffic.next(time.Duration(r.IntN(5000))*time.Millisecond, r.IntN(3) == 0))
		require.NoError(t, err)
		held = slices.DeleteFunc(held, func(h Hit) bool { return clk.now().Sub(h.CreatedAt.Time()) >= window })
		held = append(held, batch...)
		held = held[max(0, len(held)-most):]
		require.NoError(t, s.Settle(t.Context()))
		require.NoError(t, board.Current().Err)
		require.Equal(t, fromScratch(held), board.Current().Result)
	}
	st := s.Stats()
	require.NotZero(t, st.Expired.PerBucket["hits"])
	require.NotZero(t, st.Evicted.PerBucket["hits"])
}

func fromScratch(held []Hit) Dashboard {
	d := Dashboard{Seconds: []Second{}}
	ms := map[string][]int{}
	failed := map[string]int{}
	for _, h := range held {
		ms[h.Route] = append(ms[h.Route], h.Millis)
		if h.Failed {
			failed[h.Route]++
		}
	}
	for _, name := range []string{"/cart", "/checkout", "/products", "/search"} {
		list := ms[name]
		if len(list) == 0 {
			continue
		}
		slices.Sort(list)
		sum := 0
		for _, n := range list {
			sum += n
		}
		n := len(list)
		d.Routes = append(d.Routes, Route{name, n, failed[name], float64(sum) / float64(n), list[n-1-n/20], list[n-1]})
	}
	if len(held) > 0 {
		d.Span = held[len(held)-1].CreatedAt.Time().Sub(held[0].CreatedAt.Time())
	}
	return d
}
