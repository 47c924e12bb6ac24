package main

import (
	"bytes"
	"context"
	"log"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func newShop(t *testing.T) *Shop {
	t.Helper()
	shop, err := OpenShop(t.Context(), filepath.Join(t.TempDir(), "shop"), 100, store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, shop.Close(context.Background())) })
	return shop
}

var quick = config{customers: 4, orders: 500, pause: 100 * time.Microsecond, lead: 2 * time.Millisecond, lines: 100}

// TestRun runs the program twice over the same directory.
func TestRun(t *testing.T) {
	c := quick
	c.dir = filepath.Join(t.TempDir(), "shop")
	for range 2 {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), log.New(&out, "", 0), c), out.String())
		require.Contains(t, out.String(), "in good order")
		require.Contains(t, out.String(), "the books are right")
	}
	shop, err := OpenShop(t.Context(), c.dir, c.lines, store.Options{})
	require.NoError(t, err)
	defer shop.Close(context.Background())
	books, err := shop.Check()
	require.NoError(t, err)
	require.GreaterOrEqual(t, books.Orders, 1000)
	require.Greater(t, books.Purchases, 3, "the rule has ordered")
	require.Equal(t, 100, books.Lines)

	// The directory belongs to one store at a time.
	require.ErrorIs(t, run(t.Context(), log.New(&bytes.Buffer{}, "", 0), c), store.ErrLocked)
}

// TestInterrupted: an interruption is no error, whatever it meets.
func TestInterrupted(t *testing.T) {
	c := quick
	c.dir, c.orders, c.verbose = filepath.Join(t.TempDir(), "shop"), 0, true
	ctx, cancel := context.WithCancel(t.Context())
	lines := 0
	out := log.New(writer(func(p []byte) {
		if lines++; lines == 100 {
			cancel()
		}
	}), "", 0)
	require.NoError(t, run(ctx, out, c))
	require.GreaterOrEqual(t, lines, 100)
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestRefusedOrders(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Receive(t.Context()))
	before, err := shop.Check()
	require.NoError(t, err)
	order := func(change func(o *Order)) error {
		o := Order{Ref: "a-1", Customer: "a", SKU: "nut", Quantity: 5}
		change(&o)
		return shop.Place(t.Context(), o)
	}
	var soldOut *SoldOutError
	var invalid *store.ValidationError
	require.ErrorAs(t, order(func(o *Order) { o.Quantity = 601 }), &soldOut)
	require.Equal(t, SoldOutError{"nut", 600, 601}, *soldOut)
	require.ErrorAs(t, order(func(o *Order) { o.Quantity = 0 }), &invalid)
	require.ErrorAs(t, order(func(o *Order) { o.Quantity = -5 }), &invalid)
	require.ErrorIs(t, order(func(o *Order) { o.SKU = "screw" }), store.ErrNotFound)
	after, err := shop.Check()
	require.NoError(t, err)
	require.Equal(t, before, after, "nothing is left of them")

	require.NoError(t, order(func(*Order) {}))
	require.ErrorIs(t, order(func(*Order) {}), errOrdered, "sent twice")
	after, err = shop.Check()
	require.NoError(t, err)
	require.Equal(t, before.Orders+1, after.Orders)
}

// TestReorder holds that the rule orders what is short, once: when an event says so,
// and when it is connected, for what no event has told.
func TestReorder(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Receive(t.Context()))
	short := func(ref, sku string, quantity int) {
		require.NoError(t, shop.Place(t.Context(), Order{Ref: ref, Customer: "a", SKU: sku, Quantity: quantity}))
	}
	short("a-1", "bolt", 401) // 399 left, and nobody hears of it
	rules, err := reorder(t.Context(), shop)
	require.NoError(t, err)
	p, _ := shop.products.Get("bolt")
	require.Equal(t, 800, p.Coming)
	short("a-2", "nut", 600)
	require.NoError(t, rules.Stop(t.Context()))
	p, _ = shop.products.Get("nut")
	require.Equal(t, 600, p.Coming)
	require.NoError(t, shop.Reorder(t.Context(), "nut"), "on old news")
	p, _ = shop.products.Get("nut")
	require.Equal(t, 600, p.Coming)
	_, err = shop.Check()
	require.NoError(t, err)
}

// TestCheckFindsErrors: books that are wrong are found to be.
func TestCheckFindsErrors(t *testing.T) {
	for name, spoil := range map[string]func(ctx context.Context, shop *Shop) error{
		"stock": func(ctx context.Context, shop *Shop) error {
			_, err := shop.products.Patch(ctx, "nut", store.Fields{"stock": 1})
			return err
		},
		"coming": func(ctx context.Context, shop *Shop) error {
			_, err := shop.products.Patch(ctx, "nut", store.Fields{"coming": 1})
			return err
		},
		"half an order": func(ctx context.Context, shop *Shop) error {
			_, err := shop.orders.Insert(ctx, Order{Ref: "a-1", Customer: "a", SKU: "nut", Quantity: 1})
			return err
		},
		"a line about nothing": func(ctx context.Context, shop *Shop) error {
			_, err := shop.audit.Insert(ctx, Entry{What: "order", Ref: "a-1", SKU: "nut", Quantity: 1})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			shop := newShop(t)
			_, err := shop.Check()
			require.NoError(t, err)
			require.NoError(t, spoil(t.Context(), shop))
			_, err = shop.Check()
			require.Error(t, err)
		})
	}
}

func TestBadFlags(t *testing.T) {
	for _, change := range []func(c *config){
		func(c *config) { c.customers = 0 },
		func(c *config) { c.orders = -1 },
		func(c *config) { c.pause = 0 },
		func(c *config) { c.lead = -1 },
		func(c *config) { c.lines = 0 },
	} {
		c := quick
		c.dir = filepath.Join(t.TempDir(), "shop")
		change(&c)
		require.Error(t, run(t.Context(), log.New(&bytes.Buffer{}, "", 0), c))
	}
}
