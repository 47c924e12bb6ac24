package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/noex-go/store"
)

// Books is what a check has found.
type Books struct {
	Orders, Purchases, Lines int
	Products                 []Product
}

// Check adds up the books at one commit. The error says everything that does not
// hold: see Shop.
func (shop *Shop) Check() (b Books, err error) {
	snap := shop.s.Snapshot()
	defer snap.Close()
	sold, err := sums(shop.orders.In(snap).GroupBy("sku"))
	arrived, err2 := sums(shop.purchases.In(snap).Where(store.Eq("arrived", true)).GroupBy("sku"))
	coming, err3 := sums(shop.purchases.In(snap).Where(store.Eq("arrived", false)).GroupBy("sku"))
	if err := errors.Join(err, err2, err3); err != nil {
		return b, err
	}
	var wrong []error
	for p := range shop.products.In(snap).All() {
		b.Products = append(b.Products, p)
		if want := arrived[p.SKU] - sold[p.SKU]; p.Stock != want {
			wrong = append(wrong, fmt.Errorf("%s: the stock is %d, not %d", p.SKU, p.Stock, want))
		}
		if want := coming[p.SKU]; p.Coming != want {
			wrong = append(wrong, fmt.Errorf("%s: %d are coming, not %d", p.SKU, p.Coming, want))
		}
	}
	for e := range shop.audit.In(snap).All() {
		b.Lines++
		if !shop.holds(snap, e) {
			wrong = append(wrong, fmt.Errorf("line %d of the audit log: there is no such %s", e.ID, e.What))
		}
	}
	if b.Orders, err = shop.orders.In(snap).Count(); err != nil {
		return b, err
	}
	if b.Purchases, err = shop.purchases.In(snap).Count(); err != nil {
		return b, err
	}
	return b, errors.Join(wrong...)
}

// holds reports whether what a line of the audit log says is so.
func (shop *Shop) holds(r store.Reader, e Entry) bool {
	if e.What == "order" {
		o, ok := shop.orders.In(r).Get(e.Ref)
		return ok && o.SKU == e.SKU && o.Quantity == e.Quantity
	}
	id, err := strconv.Atoi(e.Ref)
	if err != nil {
		return false
	}
	p, ok := shop.purchases.In(r).Get(id)
	return ok && p.SKU == e.SKU && p.Quantity == e.Quantity && (p.Arrived || e.What == "purchase")
}

// sums returns the quantities of groups by SKU.
func sums[R any](g *store.Grouping[R]) (map[string]int, error) {
	groups, err := g.Sum("quantity")
	m := map[string]int{}
	for _, g := range groups {
		m[g.Key[0].(string)] = int(g.Value)
	}
	return m, err
}
