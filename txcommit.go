package store

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/noex-go/store/internal/feed"
	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// plantedBug is a defect of the commit of transactions, or of live queries.
type plantedBug uint8

const (
	noBug          plantedBug = iota
	bugKeysOnly               // what queries have read is not checked
	bugEarly                  // the sequence is published before the versions have it
	bugHalf                   // the first bucket is published before the others
	bugLostUpdate             // what is committed during an evaluation does not concern it
	bugMissedRange            // live queries are not found by intervals
	bugListLost               // a record that changes its place in a live list leaves it
	bugListShort              // a live list whose window is not full stays as it is
	bugListPanic              // applying a commit to a live list panics
)

// txCounts is what Stats tells of transactions.
type txCounts struct{ commits, conflicts, retries atomic.Int64 }

// commit makes the transaction's writes visible, or returns why not.
//
//  1. It becomes the writer of each bucket that it writes, in the order of their
//     serials, so that no two transactions wait for one another.
//  2. It checks what it read against the commits since its snapshot, what it
//     writes against the newest versions, and the unique values of all its
//     records together. Nothing has changed so far.
//  3. It applies its writes to the tables, pending.
//  4. Under the commit lock it checks what it read against the commits that came
//     in between, to buckets that it does not write, and publishes one sequence.
//
// Between 1 and 4 nobody else writes those buckets; readers wait for nothing.
func (tx *Tx) commit() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.over = true // a write that comes now would be told that it happened
	parts := tx.writtenLocked()
	if len(parts) == 0 {
		return nil
	}
	err := tx.commitLocked(parts)
	switch err.(type) {
	case nil:
		tx.st.tx.commits.Add(1)
	case *ConflictError:
		tx.st.tx.conflicts.Add(1)
	}
	return err
}

// written returns the buckets with net writes, in the order of their serials.
func (tx *Tx) writtenLocked() []*txBucket {
	parts := tx.written[:0]
	for _, tb := range tx.parts {
		tb.list = slices.DeleteFunc(tb.list, func(w *txWrite) bool { return w.old == nil && w.new == nil })
		if len(tb.list) > 0 {
			parts = append(parts, tb)
		}
	}
	slices.SortFunc(parts, func(a, b *txBucket) int { return cmp.Compare(a.b.serial, b.b.serial) })
	tx.written = parts
	return parts
}

func (tx *Tx) commitLocked(parts []*txBucket) (err error) {
	locked := 0
	defer func() {
		for _, tb := range parts[:locked] {
			tb.b.server.mu.Unlock()
		}
	}()
	for _, tb := range parts {
		tb.b.server.borrow()
		locked++
	}
	ok := false
	defer func() {
		if ok {
			return
		}
		p := recover()
		if p == nil {
			p = "the goroutine ended"
		}
		for _, tb := range parts {
			tb.b.table.Recover()
			tb.b.room.settle(false)
		}
		err = &Error{Op: "transaction", Err: &PanicError{Value: p, Stack: debug.Stack()}}
	}()
	err = tx.tryCommit(parts)
	ok = true
	return err
}

func (tx *Tx) tryCommit(parts []*txBucket) error {
	for _, tb := range parts {
		if tb.b.server.closed {
			if err := tb.b.gone(); err != errMoved {
				return tb.b.fail("transaction", Key{}, err)
			}
			return &ConflictError{Bucket: tb.b.name}
		}
	}
	checked, err := tx.certify(tx.pin.Seq, true)
	if err != nil {
		return err
	}
	for _, tb := range parts {
		if err := tb.check(); err != nil {
			return err
		}
	}
	if f := tx.st.fault; f != nil {
		f(nil)
	}
	for i, tb := range parts {
		err := tb.apply(nil)
		if err == nil {
			if err = tb.b.makeRoom(0, tb.apply); err != nil {
				err = tb.b.fail("transaction", Key{}, err)
			}
		}
		if err != nil {
			undo(parts[:i+1])
			return err
		}
	}
	if err := tx.publish(parts, checked); err != nil {
		undo(parts)
		return err
	}
	tx.st.live.commit()
	tx.close() // so that what its own snapshot saw can be cut at once
	tx.sight.Begin()
	for _, tb := range parts {
		tb.b.room.settle(true)
		tb.b.table.SettleBy(&tx.sight)
	}
	return nil
}

func undo(parts []*txBucket) {
	for _, tb := range parts {
		tb.b.table.Undo(0)
		tb.b.room.settle(false)
	}
}

// certify checks what was read against the commits after a sequence, and returns
// the last one that it checked.
func (tx *Tx) certify(after uint64, lock bool) (uint64, error) {
	if tx.iso == SnapshotIsolation {
		return after, nil
	}
	for _, tb := range tx.parts {
		if tb.b.altering.Load() {
			return after, &ConflictError{Bucket: tb.b.name}
		}
	}
	if !tx.st.recent.any.Load() {
		return after, nil
	}
	if lock {
		tx.st.commitMu.Lock()
	}
	commits, ok := tx.st.recent.since(after)
	if lock {
		tx.others = append(tx.others[:0], commits...) // the ring moves on
		commits = tx.others
		tx.st.commitMu.Unlock()
	}
	if !ok {
		return after, &ConflictError{}
	}
	if err := tx.clash(commits); err != nil {
		return after, err
	}
	if n := len(commits); n > 0 {
		after = commits[n-1].seq
	}
	return after, nil
}

// clash finds a change that collides with what was read.
func (tx *Tx) clash(commits []*commitEvent) error {
	for _, ev := range commits {
		for i := range ev.changes {
			c := &ev.changes[i]
			if tb := tx.partLocked(c.b); tb != nil && (tb.reads.overlaps(c, tx.st.bug != bugKeysOnly) || tb.takes(c)) {
				return c.conflict()
			}
		}
	}
	return nil
}

// conflict says what a change collided with.
func (c *change) conflict() *ConflictError {
	err := &ConflictError{Bucket: c.b.name, Key: c.key()}
	if c.old != nil && c.new != nil {
		for i := range c.b.shape.slots {
			if s := &c.b.shape.slots[i]; !s.equal(c.old, c.new) {
				err.Field = s.name
				break
			}
		}
	}
	return err
}

// head finds the newest version of a write's record.
func (tb *txBucket) head(w *txWrite) table.Ref {
	if w.old != nil {
		if at, ok := tb.b.table.Newest(w.row, w.old); ok {
			return at
		}
	}
	if tb.b.shape.textKey() {
		return tb.b.table.HeadText(w.key.text)
	}
	return tb.b.table.HeadWord(w.key.word)
}

// check finds writes of others in the way, and unique values that are taken.
func (tb *txBucket) check() error {
	var rows map[uint32]bool // of the records that change
	if tb.b.shape.uniques {
		rows = make(map[uint32]bool, len(tb.list))
	}
	for _, w := range tb.list {
		at := tb.head(w)
		switch {
		case at.V == w.old:
		case w.old == nil:
			return tb.b.conflict(table.KeyConflict, w.new)
		case at.V == nil:
			return &ConflictError{Bucket: tb.b.name, Key: w.key}
		default:
			return (&change{b: tb.b, old: w.old, new: at.V}).conflict()
		}
		if at.V != nil && rows != nil {
			rows[at.Row()] = true
		}
	}
	if rows == nil {
		return nil
	}
	for _, w := range tb.list {
		if w.new == nil {
			continue
		}
		touched := uint64(1)<<len(tb.b.shape.indexes) - 1
		if w.old != nil {
			touched = tb.b.shape.touched(w.old, w.new)
		}
		if c := tb.b.table.Taken(w.new, -1, touched, rows); c != table.NoConflict {
			return tb.b.conflict(c, w.new)
		}
	}
	return nil
}

// apply makes the writes pending in the table. The transaction's own records
// collide with nobody: that was checked.
//
// Of the new versions in gone, which leave at once, inserts are left out, and
// updates are deletes.
func (tb *txBucket) apply(gone map[*table.Version]bool) error {
	t := tb.b.table
	for _, w := range tb.list {
		at := table.Ref{}
		if w.old != nil {
			at = tb.head(w)
		}
		switch {
		case w.old != nil && gone[w.new]:
			t.Delete(at, uint8(ByEviction))
		case gone[w.new]:
		case w.new == nil:
			t.Delete(at, uint8(ByUser))
		case w.old == nil:
			if c := t.InsertChecked(w.new); c != table.NoConflict {
				return tb.b.fail("insert", w.key, tb.b.conflict(c, w.new))
			}
		default:
			t.UpdateChecked(at, w.new, tb.b.shape.touched(w.old, w.new))
		}
	}
	return nil
}

// publish makes everything visible at once, unless a commit that was published
// after checked changed something that was read; or the log does not take it.
func (tx *Tx) publish(list []*txBucket, checked uint64) error {
	st := tx.st
	parts := tx.txWork.publish[:0]
	for _, tb := range list {
		parts = append(parts, part{b: tb.b})
	}
	tx.txWork.publish = parts
	if st.log != nil {
		return tx.log(parts, checked)
	}
	st.commitMu.Lock()
	defer st.commitMu.Unlock()
	if _, err := tx.certify(checked, false); err != nil {
		return err
	}
	tx.committed = st.publishParts(parts)
	return nil
}

// log takes the transaction to the log, as one entry, which publishes it.
func (tx *Tx) log(parts []part, checked uint64) error {
	tk := &ticket{parts: parts}
	tk.certify = func(ahead []*commitEvent) error {
		tx.st.commitMu.Lock()
		_, err := tx.certify(checked, false)
		tx.st.commitMu.Unlock()
		if err != nil || tx.iso == SnapshotIsolation {
			return err
		}
		return tx.clash(ahead)
	}
	blocks := 0
	for i := range parts {
		if parts[i].b.log.id != 0 {
			blocks++
		}
	}
	if blocks > 0 {
		tk.begin()
		tk.buf = logentry.AppendArray(logentry.AppendArray(tk.buf, 0), blocks)
		for i := range parts {
			if b := parts[i].b; b.log.id != 0 {
				tk.block.take(b, b.table.Since(0))
				tk.buf = tk.block.append(tk.buf, b)
				tk.block.reset()
			}
		}
		tk.buf = tx.appendReads(tk.buf)
		tk.end()
	}
	if err := tx.st.log.commit(tk); err != nil {
		if _, ok := err.(*ConflictError); !ok {
			err = &Error{Op: "commit", Err: err}
		}
		return err
	}
	tx.committed = tk.seq
	return nil
}

// publishParts publishes the pending changes of several tables as one commit,
// under the commit lock.
func (st *Store) publishParts(parts []part) (seq uint64) {
	seq = st.pins.Published() + 1
	if st.bug == bugEarly {
		st.pins.Publish(seq)
		runtime.Gosched()
	}
	n := 0
	for i := range parts {
		if st.bug == bugHalf && i == 1 {
			st.pins.Publish(seq)
			runtime.Gosched()
		}
		t := parts[i].b.table
		n += t.Mark()
		t.Stamp(0, t.Mark(), seq)
	}
	for i := range parts {
		parts[i].b.table.BeginPublish()
	}
	st.pins.Publish(seq)
	for i := range parts {
		parts[i].b.table.EndPublish(seq)
	}
	if st.recent.active.Load() < 2 && !st.feed.Active() && st.live.inbox.active.Load() == 0 && !st.taps.any() {
		return seq // nobody but this transaction
	}
	ev := newCommitEvent(seq, n)
	var few [4]feed.Touch
	st.announce(ev, ev.addParts(few[:0], parts)...)
	return seq
}
