package store

import (
	"slices"

	"github.com/noex-go/store/internal/table"
)

// txBucket is what a transaction has read and written in one bucket.
type txBucket struct {
	tx    *Tx
	b     *bucket
	view  table.View
	reads readSet

	list    []*txWrite              // in the order of the first write to each key
	index   *txIndex                // of the list, once it is long
	uniques map[indexedKey]*txWrite // values that the new versions have
	given   map[indexedKey]struct{} // unique values that were found free and are not taken in the end
	log     []txUndo                // what the operation under way has changed
	spare   []*txWrite              // to be used
}

// txUndo is what a write was before.
type txUndo struct {
	w   *txWrite
	was txWrite
}

// txWrite is the net effect of a transaction on one record.
type txWrite struct {
	key     Key
	old     *table.Version // what the snapshot has; nil: nothing
	new     *table.Version // nil: nothing any more
	op      uint64         // the operation that made it
	older   []txState      // what was new before
	ordinal uint64         // place in the order of insertion
	bytes   int            // estimate of new
	row     uint32         // of old, when the snapshot was taken
	anew    bool           // the old record was deleted: the new one is another
	listed  bool           // in its bucket's list
}

// txState is a new version, and the operation that made it.
type txState struct {
	op uint64
	v  *table.Version
}

// at returns the new version as of an operation; false if there was none yet.
func (w *txWrite) at(op uint64) (*table.Version, bool) {
	if w.op <= op {
		return w.new, true
	}
	for _, s := range slices.Backward(w.older) {
		if s.op <= op {
			return s.v, true
		}
	}
	return nil, false
}

// indexedKey is a value in an index.
type indexedKey struct {
	index int
	key   table.Key
}

// insertedFrom is the first ordinal of records that a transaction inserts: after
// all that are there.
const insertedFrom = 1 << 63

func (tx *Tx) inLocked(b *bucket) *txBucket {
	if tb := tx.partLocked(b); tb != nil {
		return tb
	}
	tb := tx.part()
	tb.tx, tb.b, tb.view, tb.reads.mu = tx, b, b.table.At(tx.pin.Seq), &tx.mu
	return tb
}

// part is what there is of a bucket in the transaction, nil if there is nothing.
func (tx *Tx) partLocked(b *bucket) *txBucket {
	for _, tb := range tx.parts {
		if tb.b == b {
			return tb
		}
	}
	return nil
}

// base finds what the snapshot has under a key, and notes that it was read.
func (tx *Tx) baseLocked(tb *txBucket, k Key) (*table.Version, uint32) {
	if tx.iso != SnapshotIsolation {
		tb.reads.keyLocked(k)
	}
	if tb.b.shape.textKey() {
		return tb.view.GetText(k.text)
	}
	return tb.view.GetWord(k.word)
}

// in returns the part of the transaction that is about a bucket.
func (tx *Tx) in(b *bucket) *txBucket {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.inLocked(b)
}

// find returns the write of a key, nil if there is none.
func (tb *txBucket) find(k Key) *txWrite {
	tb.tx.mu.Lock()
	defer tb.tx.mu.Unlock()
	return tb.write(k)
}

// get reads a record through the transaction's writes.
func (tx *Tx) get(b *bucket, k Key) *table.Version {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.getLocked(tx.inLocked(b), k)
}

func (tx *Tx) getLocked(tb *txBucket, k Key) *table.Version {
	return tx.seeLocked(tb, k).v
}

// txSeen is a record as the transaction sees it.
type txSeen struct {
	v   *table.Version // nil: there is none
	w   *txWrite       // whose new version it is; nil: it is the snapshot's
	row uint32         // of the snapshot's
}

func (tx *Tx) seeLocked(tb *txBucket, k Key) txSeen {
	if w := tb.write(k); w != nil {
		return txSeen{v: w.new, w: w}
	}
	v, row := tx.baseLocked(tb, k)
	return txSeen{v: v, row: row}
}

// writeOf returns the write of a record as it was just seen.
func (tb *txBucket) writeOf(k Key, s txSeen) *txWrite {
	if s.w != nil {
		return s.w
	}
	return tb.fresh(k, s.v, s.row, tb.view.Ordinal(s.row))
}

// still reports whether the transaction sees what it has seen: the snapshot is what
// it was.
func (tb *txBucket) still(k Key, s txSeen) bool {
	return tb.write(k) == s.w && (s.w == nil || s.w.new == s.v)
}

// see is seeLocked for a write that is yet to come.
func (tx *Tx) see(b *bucket, k Key) (txSeen, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.over {
		return txSeen{}, b.fail("write", Key{}, ErrTxDone)
	}
	return tx.seeLocked(tx.inLocked(b), k), nil
}

// atomically runs an operation on the write set, which happens as a whole or not
// at all.
func (tx *Tx) atomically(b *bucket, op func(tb *txBucket) error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.over {
		return b.fail("write", Key{}, ErrTxDone)
	}
	tb := tx.inLocked(b)
	clear(tb.log)
	tb.log = tb.log[:0]
	err := op(tb)
	if err != nil {
		for _, u := range slices.Backward(tb.log) {
			tx.undoLocked(tb, &u)
		}
	}
	return err
}

// insert adds prepared records to the write set.
func (tx *Tx) insert(b *bucket, vs ...*table.Version) error {
	return tx.atomically(b, func(tb *txBucket) error {
		for _, v := range vs {
			if err := tx.insertLocked(tb, v); err != nil {
				return err
			}
		}
		return nil
	})
}

func (tx *Tx) insertLocked(tb *txBucket, v *table.Version) error {
	k := tb.b.shape.keyOf(v)
	w := tb.write(k)
	if w == nil {
		if v, _ := tx.baseLocked(tb, k); v == nil {
			w = tb.fresh(k, nil, 0, insertedFrom+tx.inserts)
			tx.inserts++
		}
	}
	if w == nil || w.new != nil {
		return tb.b.conflict(table.KeyConflict, v)
	}
	return tx.putLocked("insert", tb, w, v)
}

// update replaces a record by what next makes of it. next runs without the
// transaction's lock, as it may be the user's; it is repeated if another
// goroutine of the transaction wrote the record meanwhile.
func (tx *Tx) update(b *bucket, op string, key any, next func(old *table.Version) (*table.Version, error)) (*table.Version, error) {
	k := b.keyOf(key)
	for {
		var old txSeen
		if !k.IsZero() {
			var err error
			if old, err = tx.see(b, k); err != nil {
				return nil, err
			}
		}
		if old.v == nil {
			return nil, b.fail(op, k, ErrNotFound)
		}
		v, err := next(old.v)
		if err != nil {
			return nil, b.fail(op, k, err)
		}
		if done, err := tx.replace(b, op, k, old, v); done || err != nil {
			return v, err
		}
	}
}

// replace writes v if old is still what the transaction sees.
func (tx *Tx) replace(b *bucket, op string, k Key, old txSeen, v *table.Version) (done bool, err error) {
	err = tx.atomically(b, func(tb *txBucket) error {
		if done = tb.still(k, old); !done {
			return nil
		}
		return tx.putLocked(op, tb, tb.writeOf(k, old), v)
	})
	return done, err
}

// put makes v the new version of a write, after the checks that the transaction
// itself can make. Several updates are one: they raise the version by one.
func (tx *Tx) putLocked(op string, tb *txBucket, w *txWrite, v *table.Version) error {
	if most := tb.b.def.MaxBytes; most > 0 && tb.b.weigh(v) > most {
		return tb.b.fail(op, w.key, ErrRecordTooLarge)
	}
	if err := tx.uniqueLocked(tb, w, v); err != nil {
		return err
	}
	version := Version(1)
	if w.old != nil && !w.anew {
		version = tb.b.shape.meta(w.old).Version + 1
	}
	tb.b.shape.meta(v).Version = version
	return tx.setLocked(op, tb, w, v)
}

// set records the new version of a write, nil for a deletion.
func (tx *Tx) setLocked(op string, tb *txBucket, w *txWrite, v *table.Version) error {
	fresh := !w.listed
	tb.log = append(tb.log, txUndo{w, *w})
	tb.release(w)
	size := 0
	if v != nil {
		size = tb.b.sizeOf(v)
	}
	tx.bytes += size - w.bytes
	if !fresh {
		w.older = append(w.older, txState{w.op, w.new})
	}
	tx.ops++
	w.new, w.bytes, w.op = v, size, tx.ops
	w.anew = w.anew || v == nil
	if fresh {
		tx.records++
		tb.addLocked(w)
	}
	tb.claim(w)
	if tx.records > tb.b.store.opt.TxRecords || tx.bytes > tb.b.store.opt.TxBytes {
		return tb.b.fail(op, w.key, ErrTxTooLarge)
	}
	return nil
}

func (tx *Tx) undoLocked(tb *txBucket, u *txUndo) {
	tb.release(u.w)
	tx.bytes += u.was.bytes - u.w.bytes
	*u.w = u.was
	if u.was.listed {
		tb.claim(u.w)
		return
	}
	tx.records--
	if tb.index != nil {
		tb.index.remove(u.w)
	}
	last := len(tb.list) - 1 // it came last
	tb.list[last], tb.list = nil, tb.list[:last]
}

func (tb *txBucket) addLocked(w *txWrite) {
	w.listed = true
	tb.list = append(tb.list, w)
	switch {
	case tb.index != nil:
		tb.index.add(w)
	case len(tb.list) > longList:
		tb.index = newTxIndex(tb)
	}
}

// claim and release enter the values of a write's new version, and take them out.
func (tb *txBucket) claim(w *txWrite) {
	tb.eachUnique(w.new, func(u indexedKey) {
		if tb.uniques == nil {
			tb.uniques = map[indexedKey]*txWrite{}
		}
		tb.uniques[u] = w
	})
	if tb.index != nil {
		tb.index.enter(w)
	}
}

func (tb *txBucket) release(w *txWrite) {
	tb.eachUnique(w.new, func(u indexedKey) {
		delete(tb.uniques, u)
		tb.giveUp(u)
	})
	if tb.index != nil {
		tb.index.leave(w)
	}
}

// giveUp notes that a unique value was found free: had another commit taken it,
// the transaction would have seen an error. As long as the transaction takes it
// itself, the commit's own check says so.
func (tb *txBucket) giveUp(u indexedKey) {
	if tb.tx.iso == SnapshotIsolation {
		return
	}
	if tb.given == nil {
		tb.given = map[indexedKey]struct{}{}
	}
	tb.given[u] = struct{}{}
}

// takes reports whether a change took a unique value that was given up.
func (tb *txBucket) takes(c *change) (taken bool) {
	if len(tb.given) == 0 {
		return false
	}
	tb.eachUnique(c.new, func(u indexedKey) {
		if _, ok := tb.given[u]; ok && tb.uniques[u] == nil {
			taken = true
		}
	})
	return taken
}

// eachUnique calls fn with the values that a version has in unique indexes.
func (tb *txBucket) eachUnique(v *table.Version, fn func(u indexedKey)) {
	if v == nil || !tb.b.shape.uniques {
		return
	}
	for i := range tb.b.shape.indexes {
		ix := &tb.b.shape.indexes[i]
		if !ix.unique {
			continue
		}
		if k, ok := ix.keyOf(v); ok {
			fn(indexedKey{i, k})
		}
	}
}

// unique checks v against the transaction's own records and the snapshot's. A
// value that somebody else takes meanwhile shows at the commit.
func (tx *Tx) uniqueLocked(tb *txBucket, w *txWrite, v *table.Version) (err error) {
	tb.eachUnique(v, func(u indexedKey) {
		if err != nil {
			return
		}
		if own := tb.uniques[u]; own != nil {
			if own != w {
				err = tb.b.conflict(table.Conflict(u.index), v)
			}
			return
		}
		var c table.Cursor
		var found [1]*table.Version
		c.Lookup(tb.view, u.index, u.key)
		for c.Next(found[:], nil) > 0 {
			if found[0] == w.old || tb.replaced(found[0]) != nil {
				continue
			}
			if tx.iso != SnapshotIsolation {
				tb.reads.keyLocked(tb.b.shape.keyOf(found[0])) // who is in the way
			}
			err = tb.b.conflict(table.Conflict(u.index), v)
			return
		}
	})
	if err != nil {
		tb.eachUnique(v, func(u indexedKey) {
			if tb.uniques[u] == nil {
				tb.giveUp(u)
			}
		})
	}
	return err
}

// delete takes a record out. Nothing there is no error.
func (tx *Tx) delete(b *bucket, k Key) error {
	return tx.atomically(b, func(tb *txBucket) error {
		old := tx.seeLocked(tb, k)
		if old.v == nil {
			return nil
		}
		return tx.setLocked("delete", tb, tb.writeOf(k, old), nil)
	})
}

// writeMany replaces every record that matches all filters by what next makes of
// it, or, without next, deletes it, and returns their number. All or none. It is
// repeated if another goroutine of the transaction wrote one of them meanwhile.
func (tx *Tx) writeMany(b *bucket, op string, filters []Filter, next func(old *table.Version) (*table.Version, error)) (int, error) {
	for {
		all, err := tx.matching(b, filters)
		if err != nil {
			return 0, err
		}
		fresh := make([]*table.Version, len(all))
		for i, old := range all {
			if next == nil {
				break
			}
			if fresh[i], err = next(old); err != nil {
				return 0, b.fail(op, b.shape.keyOf(old), err)
			}
		}
		err = tx.atomically(b, func(tb *txBucket) error { return tx.replaceAllLocked(op, tb, all, fresh) })
		switch err {
		case nil:
			return len(all), nil
		case errStale:
			continue
		}
		return 0, err
	}
}

func (tx *Tx) replaceAllLocked(op string, tb *txBucket, all, fresh []*table.Version) error {
	for i, old := range all {
		k := tb.b.shape.keyOf(old)
		seen := tx.seeLocked(tb, k)
		if seen.v != old {
			return errStale
		}
		w := tb.writeOf(k, seen)
		var err error
		if fresh[i] == nil {
			err = tx.setLocked(op, tb, w, nil)
		} else {
			err = tx.putLocked(op, tb, w, fresh[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// matching reads the records that match all filters.
func (tx *Tx) matching(b *bucket, filters []Filter) ([]*table.Version, error) {
	return newQuery(b, &tx.scope, &versionDecoder, filters).All()
}
