package store

import "github.com/noex-go/store/internal/table"

// txWork is what a transaction has read and written. The store lends it from the
// begin of the transaction to its end, so that a small transaction makes no garbage
// but its Tx, which its user may keep, and the records.
//
// It goes back when nobody can come to it any more: writers look under Tx.mu whether
// the transaction is over, and readers are counted by its hold. Where one is still
// at it when the transaction ends, or the transaction ends by a panic, the work is
// not given back but left to the collector.
//
// What goes back is empty: it keeps no record alive, and room for few of them.
type txWork struct {
	parts   []*txBucket // of the buckets that it read or wrote; behind them, empty ones
	ops     uint64      // writes so far
	inserts uint64      // records inserted so far: their place in the order
	records int         // in the write set
	bytes   int         // estimate

	// Of the commit.
	written []*txBucket    // parts with net writes
	publish []part         // the same, as they are published
	others  []*commitEvent // commits to check against
	sight   table.Sight
}

// txKeep bounds the room that a work keeps in each of its lists.
const txKeep = 64

// lendWork returns a work with nothing in it.
func (st *Store) lendWork() *txWork {
	if w, ok := st.works.Get().(*txWork); ok {
		return w
	}
	return &txWork{}
}

// giveBack takes a work that nobody knows of any more.
func (st *Store) giveBack(w *txWork) {
	for _, tb := range w.parts {
		tb.empty()
	}
	parts := w.parts[:0] // with the empty ones
	if cap(parts) > txKeep {
		parts = nil
	}
	*w = txWork{parts: parts, written: emptied(w.written), publish: emptied(w.publish), others: emptied(w.others), sight: w.sight}
	st.works.Put(w)
}

// part makes room for what is about another bucket.
func (w *txWork) part() *txBucket {
	n := len(w.parts)
	if n < cap(w.parts) {
		if w.parts = w.parts[:n+1]; w.parts[n] != nil {
			return w.parts[n]
		}
		w.parts = w.parts[:n]
	}
	tb := new(txBucket)
	w.parts = append(w.parts, tb)
	return tb
}

// empty forgets all but the room.
func (tb *txBucket) empty() {
	for _, w := range tb.list {
		if len(tb.spare) == txKeep {
			break
		}
		*w = txWrite{}
		tb.spare = append(tb.spare, w)
	}
	tb.tx, tb.b, tb.view, tb.index = nil, nil, table.View{}, nil
	tb.list, tb.log = emptied(tb.list), emptied(tb.log)
	tb.uniques, tb.given = emptiedMap(tb.uniques), emptiedMap(tb.given)
	r := &tb.reads
	r.mu, r.done, r.many = nil, false, nil
	r.keys, r.answers = emptied(r.keys), emptied(r.answers)
}

// fresh returns a write of a record that has none, as the snapshot has it.
func (tb *txBucket) fresh(k Key, old *table.Version, row uint32, ordinal uint64) *txWrite {
	n := len(tb.spare)
	if n == 0 {
		return &txWrite{key: k, old: old, row: row, ordinal: ordinal}
	}
	w := tb.spare[n-1]
	tb.spare[n-1], tb.spare = nil, tb.spare[:n-1]
	w.key, w.old, w.row, w.ordinal = k, old, row, ordinal
	return w
}

// emptied is the room of a list, if it is little.
func emptied[E any](list []E) []E {
	if cap(list) > txKeep {
		return nil
	}
	if len(list) > 0 { // most are empty, and to clear nothing costs as well
		clear(list)
	}
	return list[:0]
}

// emptiedMap is emptied for a map.
func emptiedMap[K comparable, V any](m map[K]V) map[K]V {
	if len(m) > txKeep {
		return nil
	}
	clear(m)
	return m
}
