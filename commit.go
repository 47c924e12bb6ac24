package store

import (
	"github.com/noex-go/store/internal/feed"
	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// A commit goes through two steps, each with an invariant:
//
//  1. The bucket's writer has applied its requests: everything that can fail has
//     happened, the versions are linked and pending, nobody sees them.
//  2. Where there is a log, the changes are taken to it, and are as durable there as
//     they are to be: see logWriter.
//  3. Under the store's commit lock, in the order of sequences:
//     stamp every version, bring the counters up, publish the sequence (one
//     atomic store: from here on every reader sees all of it, in all buckets),
//     hand the commit to the feed if anybody listens.
//
// Then the writer settles its table: what nobody can see any more is cut.
//
// This file is the only place that publishes a sequence. The commit lock is
// held for about 50 ns and 20 ns per change, never while anything waits or
// fails. A transaction over several buckets is the same with several tables
// (commitTx).

// commitEvent is a published commit as the feed carries it: immutable.
type commitEvent struct {
	seq     uint64
	changes []change
	one     [1]change // where they begin
	altered *bucket   // nothing else has happened: another one took its place
}

func newCommitEvent(seq uint64, changes int) *commitEvent {
	switch changes {
	case 0, 1:
		ev := &commitEvent{seq: seq}
		ev.changes = ev.one[:0]
		return ev
	case 2: // in one allocation: a transfer, say
		ev := &struct {
			commitEvent
			two [2]change
		}{commitEvent: commitEvent{seq: seq}}
		ev.changes = ev.two[:0]
		return &ev.commitEvent
	}
	return &commitEvent{seq: seq, changes: make([]change, 0, changes)}
}

// change is the net effect of a commit on one record.
type change struct {
	b        *bucket
	typ      EventType
	reason   Reason         // of a delete
	old, new *table.Version // one of them nil for an insert or a delete
	ordinal  uint64         // the record's place in the order of insertion
}

// key is the key of the record.
func (c *change) key() Key {
	if c.new != nil {
		return c.b.shape.keyOf(c.new)
	}
	return c.b.shape.keyOf(c.old)
}

// commit publishes the pending changes of a bucket's requests, one sequence for
// each request that changed something, once the log has them. Error: the log's;
// then nothing was published.
func (st *Store) commit(b *bucket, rs []*request, marks []span) error {
	if st.log == nil {
		st.publish(b.table, b, rs, marks)
	} else {
		ok := false
		defer func() {
			if !ok { // the adapter has ended the goroutine
				b.table.Undo(0)
				b.room.settle(false)
			}
		}()
		err := st.logRequests(b, rs, marks)
		if ok = true; err != nil {
			return err
		}
	}
	st.live.commit()
	b.table.Settle()
	return nil
}

// logRequests takes the changes of requests to the log, an entry for each.
func (st *Store) logRequests(b *bucket, rs []*request, marks []span) error {
	tk := &b.server.ticket
	tk.reset()
	for _, m := range marks {
		if m.to == m.from || b.log.id == 0 {
			continue
		}
		tk.begin()
		tk.block.reset()
		tk.block.take(b, b.table.Since(m.from)[:m.to-m.from])
		tk.buf = logentry.AppendArray(logentry.AppendArray(tk.buf, 0), 1)
		tk.buf = logentry.AppendArray(tk.block.append(tk.buf, b), 0)
		tk.end()
	}
	tk.block.reset()
	tk.single[0] = part{b: b, marks: marks, rs: rs}
	tk.parts = tk.single[:]
	return st.log.commit(tk)
}

func (st *Store) publish(t *table.Table, b *bucket, rs []*request, marks []span) {
	st.commitMu.Lock()
	defer st.commitMu.Unlock()
	base := st.pins.Published()
	seq := base
	for i, m := range marks {
		if m.to > m.from {
			seq++
			rs[i].seq = seq
			t.Stamp(m.from, m.to, seq)
		}
	}
	t.BeginPublish()
	st.pins.Publish(seq)
	t.EndPublish(seq)
	if st.heard() {
		seq = base
		for _, m := range marks {
			if m.to > m.from {
				seq++
				ev := newCommitEvent(seq, m.to-m.from)
				st.announce(ev, ev.add(b, t.Since(m.from)[:m.to-m.from]))
			}
		}
	}
}

// heard reports whether anybody wants to know of a commit that was published: a
// handler of events, a live query, a transaction under way (see recent), or an
// alteration.
func (st *Store) heard() bool {
	return st.recent.active.Load() > 0 || st.feed.Active() || st.live.inbox.active.Load() > 0 || st.taps.any()
}

// add enters the pending changes of a bucket.
func (ev *commitEvent) add(b *bucket, pending []table.Change) feed.Touch {
	var types uint8
	for i := range pending {
		c := &pending[i]
		ch := change{b: b, old: c.Old, new: c.New, typ: Updated, reason: Reason(c.Why), ordinal: b.table.Ordinal(c)}
		switch {
		case c.Old == nil:
			ch.typ = Inserted
		case c.Deleted():
			ch.typ, ch.new = Deleted, nil
		}
		types |= 1 << ch.typ
		ev.changes = append(ev.changes, ch)
	}
	return feed.Touch{Bucket: b.id, Types: types}
}

// announce hands a commit to the feed, to the live queries and to the
// transactions under way, under the commit lock.
func (st *Store) announce(ev *commitEvent, touched ...feed.Touch) {
	st.feed.Append(ev, len(ev.changes), touched)
	if st.recent.active.Load() > 0 {
		st.recent.record(ev, st.pins)
	}
	if st.live.inbox.active.Load() > 0 {
		st.live.inbox.add(ev)
	}
	st.taps.addLocked(ev)
}
