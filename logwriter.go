package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/noex-go/store/internal/feed"
)

// logWriter takes commits to the log, and then publishes them.
//
//	bucket writers, transactions, definitions ──→ queue ──→ the one who leads:
//	    certify, number ──→ Append ──→ Sync, if so durable ──→ publish, in order ──→ wake the others
//
// Who finds nobody leading leads, with the commits of all who queue; when they are
// published, the next in the queue leads, on its own goroutine. So one append is
// under way at a time, and all who wait for it share the next one: as many commits
// as there are writers for one sync. A commit alone costs no hand-over.
//
// The one who leads works on the tables of the others, whose writers wait for it.
//
// An append or a sync that fails is the end: what waits for it fails, nothing of
// it is visible, and the store is read-only from then on, since what is in the log
// is not known to be what was acknowledged.
type logWriter struct {
	st      *Store
	log     Log
	mode    time.Duration // between syncs; or syncEach, syncNever
	session []byte
	most    int // bytes of an entry

	mu      sync.Mutex // protects the queue
	leading bool
	queue   []*ticket

	// Of the one who leads.
	group   []*ticket
	entries [][]byte
	last    Position
	seq     uint64 // of the newest entry

	snapshots sync.Mutex // one at a time, and none once closed
	closed    bool       // under snapshots
	closing   sync.Once  // starts close
	closeErr  error      // of close, when that has ended

	failed  atomic.Pointer[error]
	dirty   atomic.Bool   // something was appended that is not synced
	kick    chan struct{} // dirty has become true
	tail    atomic.Int64  // bytes behind the newest snapshot
	base    atomic.Int64  // bytes of that
	compact chan struct{} // the tail is long
	appends atomic.Int64
	syncs   atomic.Int64
}

// errEntrySize is a commit that the log cannot take in one entry.
var errEntrySize = fmt.Errorf("%w for an entry of the log", ErrTxTooLarge)

// ticket is one commit's place in the queue: of a bucket's requests, of a
// transaction, or of a definition.
type ticket struct {
	buf     []byte
	entries []pendingEntry
	block   block

	certify func(ahead []*commitEvent) error // may refuse; nil: never does
	parts   []part
	single  [1]part
	control bool
	alone   bool   // one commit, of all its entries, without parts
	visible func() // called when the entries are in the log

	first  uint64   // the sequence before its commits
	seq    uint64   // of the commit of a transaction, once it is published
	at     Position // of its last entry, or of the one before it
	events []*commitEvent
	err    error
	wake   chan bool // true: lead
}

// part is what a commit does in one bucket: its pending changes, as one commit
// each or all together.
type part struct {
	b     *bucket
	marks []span
	rs    []*request // of marks; nil: one commit
}

func newLogWriter(st *Store, log Log, mode time.Duration) *logWriter {
	id := uuid.New()
	info := log.Info()
	w := &logWriter{st: st, log: log, mode: mode, seq: st.pins.Published(), session: id[:sessionBytes], most: info.MaxEntry, last: info.Last}
	w.kick, w.compact = make(chan struct{}, 1), make(chan struct{}, 1)
	w.tail.Store(info.Tail)
	w.base.Store(info.Bytes - info.Tail)
	return w
}

func (tk *ticket) reset() {
	tk.buf, tk.entries = tk.buf[:0], tk.entries[:0]
	tk.single[0] = part{}
	tk.certify, tk.parts, tk.visible, tk.control, tk.events, tk.err = nil, nil, nil, false, nil, nil
	if cap(tk.buf) > 1<<20 {
		tk.buf = nil
	}
}

// begin makes room for an entry, and end ends it.
func (tk *ticket) begin() {
	from := len(tk.buf) + entryRoom
	tk.buf = append(tk.buf, make([]byte, entryRoom)...)
	tk.entries = append(tk.entries, pendingEntry{from: from})
}

func (tk *ticket) end() { tk.entries[len(tk.entries)-1].to = len(tk.buf) }

// failure is why the log takes nothing any more.
func (w *logWriter) failure() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the log's life. Those who must know hear it once, apart from any lock.
func (w *logWriter) fail(err error) {
	why := fmt.Errorf("%w: %w", ErrLogFailed, err)
	if !w.failed.CompareAndSwap(nil, &why) {
		return
	}
	w.st.workers.Go("log failure", func() {
		w.st.report("log", why)
		if fn := w.st.opt.Persistence.OnError; fn != nil {
			defer func() { _ = recover() }() // there is nobody left to tell
			fn(why)
		}
	})
}

// commit takes a ticket to the log and publishes it. It returns why not.
func (w *logWriter) commit(tk *ticket) error {
	if err := w.failure(); err != nil {
		return err
	}
	for _, e := range tk.entries {
		if e.to-e.from+entryRoom > w.most {
			return errEntrySize
		}
	}
	w.mu.Lock()
	if w.leading {
		if tk.wake == nil {
			tk.wake = make(chan bool, 1)
		}
		w.queue = append(w.queue, tk)
		w.mu.Unlock()
		if !<-tk.wake {
			return tk.err
		}
		w.mu.Lock()
		w.group, w.queue = append(w.group, w.queue...), w.queue[:0]
	} else {
		w.leading = true
		w.group = append(w.group, tk)
	}
	w.mu.Unlock()
	defer w.follow(tk) // also where the adapter has ended the goroutine
	w.lead()
	return tk.err
}

// follow ends the lead: those of the group go on, and the next one leads.
func (w *logWriter) follow(tk *ticket) {
	for _, other := range w.group {
		if other != tk {
			other.wake <- false
		}
	}
	clear(w.group)
	w.group = w.group[:0]
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 {
		w.queue[0].wake <- true
	} else {
		w.leading = false
	}
}

// lead takes a group to the log, and publishes it.
func (w *logWriter) lead() {
	if err := w.failure(); err != nil {
		w.refuse(err)
		return
	}
	w.number()
	size := 0
	for _, e := range w.entries {
		size += len(e)
	}
	if n := len(w.entries); n > 0 {
		done := false
		defer func() {
			clear(w.entries)
			w.entries = w.entries[:0]
			if !done { // also where the adapter has ended the goroutine
				w.refuse(w.failure())
			}
		}()
		if err := w.append(w.entries); err != nil {
			w.fail(err)
			return
		}
		if w.failure() != nil { // a sync beside it: what was just written may be lost too
			return
		}
		done = true
		w.last += Position(n)
		w.appends.Add(int64(n))
		if w.mode > 0 && !w.dirty.Swap(true) {
			offer(w.kick)
		}
		if w.tail.Add(int64(size)) > max(w.base.Load(), compactLeast) {
			offer(w.compact)
		}
	}
	for _, tk := range w.group {
		if tk.err == nil {
			w.publish(tk)
		}
	}
}

func offer(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// refuse fails every commit of the group.
func (w *logWriter) refuse(err error) {
	for _, tk := range w.group {
		if tk.err == nil {
			tk.err = err
		}
	}
}

// append appends entries, and syncs them if that is the mode. More than the log
// takes at once go in several appends; if a later one fails, the first are there.
func (w *logWriter) append(entries [][]byte) error {
	ctx := context.Background() // half an append is worse than a late one
	after := w.last
	for len(entries) > 0 {
		n, size := 1, len(entries[0])
		for n < len(entries) && size+len(entries[n]) <= w.most {
			size += len(entries[n])
			n++
		}
		if err := w.guard(func() error { return w.log.Append(ctx, after, entries[:n]) }); err != nil {
			return unknownIf(after > w.last, err)
		}
		entries, after = entries[n:], after+Position(n)
	}
	if w.mode != syncEach {
		return nil
	}
	w.syncs.Add(1)
	return unknownIf(true, w.guard(func() error { return w.log.Sync(ctx) }))
}

// unknownIf makes an error one of which the outcome is not known.
func unknownIf(unknown bool, err error) error {
	if err != nil && unknown && !errors.Is(err, ErrUnknownOutcome) {
		err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// guard calls the adapter. If that panics, or ends the goroutine, it is not known
// what it did, and the log has failed.
func (w *logWriter) guard(call func() error) (err error) {
	ok := false
	defer func() {
		if !ok {
			err = fmt.Errorf("%w: %w", ErrUnknownOutcome, panicked(recover()))
			w.fail(err)
		}
	}()
	err = call()
	ok = true
	return err
}

// number certifies the commits of the group, gives them their sequences, and
// completes their entries. Only the one who leads publishes, so that the next
// sequences are known.
func (w *logWriter) number() {
	seq, at := w.st.pins.Published(), w.last
	for i, tk := range w.group {
		if tk.certify != nil {
			if tk.err = tk.certify(w.ahead(i)); tk.err != nil {
				continue
			}
		}
		tk.first = seq
		n := seq
		for k := range tk.entries {
			if !tk.control && (!tk.alone || k == 0) {
				n++
			}
			at++
			w.entries = append(w.entries, tk.entries[k].seal(tk.buf, n, w.session))
		}
		if tk.at = at; len(tk.entries) > 0 {
			w.seq = n
		}
		seq += tk.commits()
	}
}

// commits is how many sequences the ticket takes.
func (tk *ticket) commits() (n uint64) {
	if tk.alone {
		return 1
	}
	for i := range tk.parts {
		p := &tk.parts[i]
		if p.rs == nil {
			return 1
		}
		for _, m := range p.marks {
			if m.to > m.from {
				n++
			}
		}
	}
	return n
}

// ahead returns the commits of the group that come before one of its own.
func (w *logWriter) ahead(i int) (list []*commitEvent) {
	for _, tk := range w.group[:i] {
		if tk.err != nil {
			continue
		}
		if tk.events == nil {
			tk.events = tk.makeEvents()
		}
		list = append(list, tk.events...)
	}
	return list
}

// makeEvents makes the commits of a ticket that has its sequence.
func (tk *ticket) makeEvents() (list []*commitEvent) {
	seq := tk.first
	if len(tk.parts) > 0 && tk.parts[0].rs == nil {
		ev := newCommitEvent(seq+1, len(tk.parts)+1)
		for i := range tk.parts {
			ev.add(tk.parts[i].b, tk.parts[i].b.table.Since(0))
		}
		return []*commitEvent{ev}
	}
	for i := range tk.parts {
		p := &tk.parts[i]
		for _, m := range p.marks {
			if m.to > m.from {
				seq++
				ev := newCommitEvent(seq, m.to-m.from)
				ev.add(p.b, p.b.table.Since(m.from)[:m.to-m.from])
				list = append(list, ev)
			}
		}
	}
	return list
}

// publish makes a ticket's commits visible.
func (w *logWriter) publish(tk *ticket) {
	switch {
	case len(tk.parts) == 0:
	case tk.parts[0].rs != nil:
		p := &tk.parts[0]
		w.st.publish(p.b.table, p.b, p.rs, p.marks)
	default:
		w.st.commitMu.Lock()
		tk.seq = w.st.publishParts(tk.parts)
		w.st.commitMu.Unlock()
	}
	if tk.visible != nil {
		tk.visible()
	}
}

// run syncs every so often, as long as the store is open.
func (w *logWriter) run() {
	for {
		select {
		case <-w.kick:
		case <-w.st.done:
			return
		}
		select {
		case <-time.After(w.mode):
		case <-w.st.done:
			return
		}
		w.sync(context.Background())
	}
}

// sync makes durable what was appended.
func (w *logWriter) sync(ctx context.Context) error {
	if err := w.failure(); err != nil {
		return err
	}
	if !w.dirty.Swap(false) {
		return nil
	}
	w.syncs.Add(1)
	if err := w.guard(func() error { return w.log.Sync(ctx) }); err != nil {
		w.fail(fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
		return w.failure()
	}
	return nil
}

// addParts enters the pending changes of a transaction, and appends what they touch.
func (ev *commitEvent) addParts(touched []feed.Touch, parts []part) []feed.Touch {
	for i := range parts {
		touched = append(touched, ev.add(parts[i].b, parts[i].b.table.Since(0)))
	}
	return touched
}
