// Command inventory is a shop whose customers order all the time, and that survives
// kill -9:
//
//	go run ./examples/inventory -dir shop.data                 # until ^C, or worse; then again
//	go run ./examples/inventory -dir shop.data -orders 1000    # until so many orders were placed
//
// shop.go has the transactions, check.go adds up the books; this file makes the
// customers and the supplier, and connects the rule that reorders.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
)

// config is the flags.
type config struct {
	dir       string
	customers int
	orders    int64 // 0: until interrupted
	pause     time.Duration
	lead      time.Duration
	lines     int
	sync      bool
	verbose   bool
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", filepath.Join(os.TempDir(), "store-inventory"), "where the shop is kept")
	flag.IntVar(&c.customers, "customers", 4, "who order at the same time")
	flag.Int64Var(&c.orders, "orders", 0, "how many orders to place; 0: until interrupted")
	flag.DurationVar(&c.pause, "pause", 2*time.Millisecond, "a customer's time between two orders")
	flag.DurationVar(&c.lead, "lead", 50*time.Millisecond, "the supplier's time between two deliveries")
	flag.IntVar(&c.lines, "lines", 1000, "of the audit log that are kept")
	flag.BoolVar(&c.sync, "sync", false, "acknowledge an order when it would survive a power loss, not only a crash")
	flag.BoolVar(&c.verbose, "v", false, "print each order that was placed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log.New(os.Stdout, "", 0), c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out *log.Logger, c config) (err error) {
	if c.customers < 1 || c.orders < 0 || c.pause <= 0 || c.lead <= 0 || c.lines < 1 {
		return errors.New("-customers, -pause, -lead and -lines must be positive, -orders must not be negative")
	}
	opt := store.Options{Name: "inventory"}
	if c.sync {
		opt.Persistence.Durability = store.Sync
	}
	shop, err := OpenShop(ctx, c.dir, c.lines, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close(context.WithoutCancel(ctx))) }()
	if err := welcome(out, c.dir, shop); err != nil {
		return err
	}
	err = open(ctx, out, c, shop)
	books, wrong := shop.Check()
	out.Printf("closed with %d orders", books.Orders)
	return errors.Join(err, wrong)
}

// welcome says what was found, and whether the books are in order.
func welcome(out *log.Logger, dir string, shop *Shop) error {
	found := shop.s.Stats().Persistence.Recovery
	how := "in good order"
	if !found.Clean {
		how = "left by a crash"
	}
	if found.TornBytes > 0 { // nobody was told that this was done
		how += fmt.Sprintf(", in the middle of a write: %d bytes of it are set aside", found.TornBytes)
	}
	out.Printf("%s: %s", dir, how)
	books, err := shop.Check()
	if err != nil {
		return fmt.Errorf("the books are wrong: %w", err)
	}
	out.Printf("%d orders, %d purchases, %d lines of audit log: the books are right", books.Orders, books.Purchases, books.Lines)
	for _, p := range books.Products {
		out.Printf("  %-8s %5d in stock, %5d coming", p.SKU, p.Stock, p.Coming)
	}
	return nil
}

// open runs the shop until ctx ends, enough orders were placed, or something goes
// wrong.
func open(ctx context.Context, out *log.Logger, c config, shop *Shop) error {
	rules, err := reorder(ctx, shop)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var people sync.WaitGroup
	work := func(fn func(ctx context.Context) error) {
		people.Go(func() {
			if err := fn(ctx); err != nil {
				stop(err)
			}
		})
	}
	work(func(ctx context.Context) error { return supply(ctx, c, shop) })
	var placed, refused atomic.Int64
	for n := range c.customers {
		work(func(ctx context.Context) error {
			return customer(ctx, out, c, shop, fmt.Sprintf("c%d", n+1), &placed, &refused)
		})
	}
	people.Wait()
	// What the rule has not done yet, the next run does.
	if err := rules.Stop(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	out.Printf("%d orders placed, %d refused; reorder rule: %d events, %d failed",
		placed.Load(), refused.Load(), rules.Stats().Forwarded, rules.Stats().Failed)
	if err := context.Cause(ctx); !errors.Is(err, errEnough) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // enough, or interrupted
}

// reorder connects the rule: a product that is short is ordered. The bridge brings
// its events to a receiver of any kind; this one is a function. It is fire and
// forget: what a crash, or a full queue, has cut off comes in no later event. So the
// rule looks for itself, and looks once at everything when it is connected.
func reorder(ctx context.Context, shop *Shop) (*bridge.Bridge, error) {
	rule := bridge.ReceiverFunc(func(ctx context.Context, _ string, data map[string]any) error {
		sku, _ := data["key"].(string)
		return shop.Reorder(ctx, sku)
	})
	rules, err := bridge.Forward(shop.s, rule, bridge.Options{
		Pattern: "bucket.products.updated",
		Filter: func(e store.Event) bool {
			stock, coming, low := e.New.Get("stock").(int64), e.New.Get("coming").(int64), e.New.Get("low").(int64)
			return stock+coming < low
		},
		OnError: func(err error) { slog.Warn("reorder", "error", err) },
	})
	if err != nil {
		return nil, err
	}
	for p := range shop.products.All() {
		if p.short() {
			if err := shop.Reorder(ctx, p.SKU); err != nil {
				return nil, errors.Join(err, rules.Stop(ctx))
			}
		}
	}
	return rules, nil
}

// errEnough ends a run that has placed its orders.
var errEnough = errors.New("enough orders")

// supply brings from time to time what was ordered.
func supply(ctx context.Context, c config, shop *Shop) error {
	for wait(ctx, c.lead) {
		if err := shop.Receive(ctx); err != nil {
			return err
		}
	}
	return nil
}

// customer orders, and counts: the reference of the next order follows from how many
// there are. So one that was placed without an answer, in a crash, counts too.
func customer(ctx context.Context, out *log.Logger, c config, shop *Shop, name string, placed, refused *atomic.Int64) error {
	n, err := shop.orders.Count(store.Eq("customer", name))
	if err != nil {
		return err
	}
	skus := []string{"bolt", "nut", "washer"}
	for wait(ctx, c.pause) {
		o := Order{Ref: fmt.Sprintf("%s-%d", name, n+1), Customer: name, SKU: skus[rand.IntN(len(skus))], Quantity: 1 + rand.IntN(20)}
		err := shop.Place(ctx, o)
		var soldOut *SoldOutError
		if errors.As(err, &soldOut) {
			refused.Add(1)
			continue
		}
		if err != nil {
			return err
		}
		n++
		if c.verbose {
			out.Printf("placed %s %s %d", o.Ref, o.SKU, o.Quantity)
		}
		if placed.Add(1) == c.orders {
			return errEnough
		}
	}
	return nil
}

// wait reports false if ctx ends before the time is over.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
