package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

// Product is what is sold.
type Product struct {
	SKU    string `store:"sku,key,minLength=1"`
	Stock  int    `store:"stock,min=0"`  // in the warehouse; the schema refuses to sell what is not there
	Coming int    `store:"coming,min=0"` // ordered from the supplier, not yet here
	Low    int    `store:"low,min=0"`    // when Stock and Coming together fall below, a lot is ordered
	Lot    int    `store:"lot,min=1"`
}

// Order is what a customer has bought. Its key is the customer's own reference, so
// that an order that is sent twice, because a crash ate the answer, is found out.
type Order struct {
	Ref      string `store:"ref,key"`
	Customer string `store:"customer,required,index"`
	SKU      string `store:"sku,required,index"`
	Quantity int    `store:"quantity,min=1,max=1000"`
	store.Meta
}

// Purchase is a lot that was ordered from the supplier.
type Purchase struct {
	ID       int    `store:"id,key,generated=autoincrement"`
	SKU      string `store:"sku,required,index=state"`
	Arrived  bool   `store:"arrived,index=state"`
	Quantity int    `store:"quantity,min=1"`
}

// Entry is a line of the audit log: one for each thing that was done, written in
// the transaction that did it.
type Entry struct {
	ID       int    `store:"id,key,generated=autoincrement"`
	What     string `store:"what,enum=order|purchase|delivery"`
	Ref      string `store:"ref,required"` // of the order or the purchase
	SKU      string `store:"sku,required"`
	Quantity int    `store:"quantity"`
	store.Meta
}

// Shop is an inventory that survives its process. What always holds, at every
// commit, and so also after a crash at any moment:
//
//   - the stock of a product is what has arrived of it less what was ordered;
//   - what is coming is the sum of the purchases that have not arrived;
//   - what the audit log has a line about is there, exactly as the line says.
//
// Each method is one transaction over the buckets that it changes.
type Shop struct {
	s         *store.Store
	products  *store.TypedBucket[Product]
	orders    *store.TypedBucket[Order]
	purchases *store.TypedBucket[Purchase]
	audit     *store.TypedBucket[Entry]
}

// SoldOutError is an order of more than there is.
type SoldOutError struct {
	SKU         string
	Left, Asked int
}

func (e *SoldOutError) Error() string {
	return fmt.Sprintf("%d of %s asked for, %d left", e.Asked, e.SKU, e.Left)
}

// errOrdered is an order whose reference is known: it has been placed before.
var errOrdered = errors.New("this order was placed already")

// again is how often a transaction that was in conflict is run anew.
const again = 100

// OpenShop opens the shop in a directory, or makes a new one there. The audit log
// keeps the newest lines.
func OpenShop(ctx context.Context, dir string, lines int, opt store.Options) (_ *Shop, err error) {
	opt.Persistence.Adapter = file.New(dir)
	s, err := store.Open(ctx, opt)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(ctx))
		}
	}()
	// A bucket brings its records from the log when it is defined.
	shop := &Shop{s: s}
	var errs [4]error
	shop.products, errs[0] = store.Define[Product](ctx, s, "products")
	shop.orders, errs[1] = store.Define[Order](ctx, s, "orders")
	shop.purchases, errs[2] = store.Define[Purchase](ctx, s, "purchases")
	shop.audit, errs[3] = store.Define[Entry](ctx, s, "audit", func(d *store.Definition) { d.MaxSize = lines })
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return shop, shop.stock(ctx)
}

// Close closes the shop's store.
func (shop *Shop) Close(ctx context.Context) error { return shop.s.Close(ctx) }

// stock fills a new shop: all of it, or, if that is cut off, nothing.
func (shop *Shop) stock(ctx context.Context) error {
	return shop.s.Transaction(ctx, func(tx *store.Tx) error {
		if n, err := shop.products.In(tx).Count(); err != nil || n > 0 {
			return err
		}
		for _, p := range []Product{
			{SKU: "bolt", Low: 400, Lot: 800}, {SKU: "nut", Low: 300, Lot: 600}, {SKU: "washer", Low: 200, Lot: 400},
		} {
			p.Coming = p.Lot
			if _, err := shop.products.In(tx).Insert(ctx, p); err != nil {
				return err
			}
			bought, err := shop.purchases.In(tx).Insert(ctx, Purchase{SKU: p.SKU, Quantity: p.Lot})
			if err == nil {
				err = shop.note(ctx, tx, "purchase", strconv.Itoa(bought.ID), p.SKU, p.Lot)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, store.Retry(again))
}

// Place takes an order: the order is there, the stock is less, and the audit log
// has a line, or nothing has happened.
func (shop *Shop) Place(ctx context.Context, o Order) error {
	err := shop.s.Transaction(ctx, func(tx *store.Tx) error {
		if _, err := shop.orders.In(tx).Insert(ctx, o); err != nil {
			return err
		}
		p, ok := shop.products.In(tx).Get(o.SKU)
		if !ok {
			return fmt.Errorf("product %q: %w", o.SKU, store.ErrNotFound)
		}
		if p.Stock < o.Quantity {
			return &SoldOutError{o.SKU, p.Stock, o.Quantity}
		}
		_, err := shop.products.In(tx).Patch(ctx, o.SKU, store.Fields{"stock": p.Stock - o.Quantity})
		if err != nil {
			return err
		}
		return shop.note(ctx, tx, "order", o.Ref, o.SKU, o.Quantity)
	}, store.Retry(again))
	var taken *store.UniqueError
	if errors.As(err, &taken) && taken.Bucket == "orders" {
		return errOrdered
	}
	return err
}

// short reports whether a product has to be ordered.
func (p Product) short() bool { return p.Stock+p.Coming < p.Low }

// Reorder orders lots of a product until it is not short. It looks for itself: who
// calls it once too often, or on old news, does no harm.
func (shop *Shop) Reorder(ctx context.Context, sku string) error {
	return shop.s.Transaction(ctx, func(tx *store.Tx) error {
		p, ok := shop.products.In(tx).Get(sku)
		if !ok {
			return fmt.Errorf("product %q: %w", sku, store.ErrNotFound)
		}
		for ; p.short(); p.Coming += p.Lot {
			bought, err := shop.purchases.In(tx).Insert(ctx, Purchase{SKU: sku, Quantity: p.Lot})
			if err == nil {
				err = shop.note(ctx, tx, "purchase", strconv.Itoa(bought.ID), sku, p.Lot)
			}
			if err != nil {
				return err
			}
		}
		_, err := shop.products.In(tx).Patch(ctx, sku, store.Fields{"coming": p.Coming})
		return err
	}, store.Retry(again))
}

// Receive takes in all purchases that are on their way, each in a transaction.
func (shop *Shop) Receive(ctx context.Context) error {
	coming, err := shop.purchases.Where(store.Eq("arrived", false)).All()
	if err != nil {
		return err
	}
	for _, c := range coming {
		err := shop.s.Transaction(ctx, func(tx *store.Tx) error {
			c, ok := shop.purchases.In(tx).Get(c.ID)
			if !ok || c.Arrived {
				return nil // somebody else was faster
			}
			if _, err := shop.purchases.In(tx).Patch(ctx, c.ID, store.Fields{"arrived": true}); err != nil {
				return err
			}
			_, err := shop.products.In(tx).Update(ctx, c.SKU, func(p *Product) error {
				p.Stock += c.Quantity
				p.Coming -= c.Quantity
				return nil
			})
			if err != nil {
				return err
			}
			return shop.note(ctx, tx, "delivery", strconv.Itoa(c.ID), c.SKU, c.Quantity)
		}, store.Retry(again))
		if err != nil {
			return err
		}
	}
	return nil
}

func (shop *Shop) note(ctx context.Context, tx *store.Tx, what, ref, sku string, quantity int) error {
	_, err := shop.audit.In(tx).Insert(ctx, Entry{What: what, Ref: ref, SKU: sku, Quantity: quantity})
	return err
}
