package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/noex-go/store/internal/feed"
)

// EventType says what happened to a record.
type EventType uint8

// The types of events.
const (
	Inserted EventType = 1 + iota
	Updated
	Deleted
)

// Reason says why a record was deleted.
type Reason uint8

// The reasons of a deletion.
const (
	ByUser     Reason = iota // Delete, DeleteMany, Clear
	ByExpiry                 // its deadline had passed
	ByEviction               // the bucket was full: see [Definition.MaxSize]
)

var reasonNames = [...]string{"user", "expired", "evicted"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

var eventNames = [...]string{"", "inserted", "updated", "deleted"}

func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return fmt.Sprintf("EventType(%d)", uint8(t))
}

// Event is the change of one record by one commit. Old and New are immutable
// and may be kept.
type Event struct {
	Type   EventType
	Bucket string
	Key    Key
	Old    Record // zero for an insert
	New    Record // zero for a delete
	Reason Reason // of a delete
	Seq    Seq    // the commit; the events of one come together

	// Err is ErrLagged where the handler was too slow and events were lost; all
	// else is zero then but Missed: how many commits with matching events.
	Err    error
	Missed int
}

// Topic returns "bucket.{name}.{inserted|updated|deleted}".
func (e Event) Topic() string { return "bucket." + e.Bucket + "." + e.Type.String() }

// pattern is a compiled topic pattern.
type pattern struct {
	text   string
	any    bool // every bucket
	bucket string
	types  uint8 // a bit per EventType
}

// parsePattern reads "bucket.{name}.{type}", each segment possibly "*".
func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	fail := func(format string, args ...any) (pattern, error) {
		return p, fmt.Errorf("%w: %q %s", ErrPattern, text, fmt.Sprintf(format, args...))
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return fail("does not have three segments, as in bucket.users.inserted")
	}
	if parts[0] != "bucket" && parts[0] != "*" {
		return fail("does not begin with bucket")
	}
	if p.bucket = parts[1]; p.bucket == "*" {
		p.any = true
	} else if msg := badName(p.bucket); msg != "" {
		return fail("names a bucket that cannot be: the name %s", msg)
	}
	switch parts[2] {
	case "*":
		p.types = 1<<Inserted | 1<<Updated | 1<<Deleted
	case "inserted":
		p.types = 1 << Inserted
	case "updated":
		p.types = 1 << Updated
	case "deleted":
		p.types = 1 << Deleted
	default:
		return fail("does not end with inserted, updated, deleted or *")
	}
	return p, nil
}

func (p *pattern) match(c *change) bool {
	return p.types>>c.typ&1 != 0 && (p.any || c.b.name == p.bucket)
}

// On calls handler for every event whose topic matches the pattern: three
// segments, "bucket.{name}.{inserted|updated|deleted}", each of which may be
// "*". The bucket need not be defined yet.
//
// Each call of On has a goroutine of its own: the handler gets the events of all
// commits from now on in commit order, each once, after the commit is visible,
// and those of one commit one after the other. A slow handler delays nobody: it
// may fall Options.EventBuffer commits behind; then it gets one event with Err
// ErrLagged in place of what it missed, and goes on with what is still there. A
// handler that panics, or ends its goroutine, is reported to Options.OnError and
// the logger, and is called again for the next event. It may write to the store.
//
// stop ends the subscription; it is idempotent, and may be called inside the
// handler, which is not called again. Errors: ErrPattern, ErrClosed.
func (st *Store) On(topics string, handler func(Event)) (stop func(), err error) {
	l, err := st.Listen(topics, handler)
	if err != nil {
		return nil, err
	}
	return l.Stop, nil
}

// Listen is [Store.On] for who must know when the subscription has ended, and with
// which event: a queue behind the handler, for example. Errors: ErrPattern,
// ErrClosed.
func (st *Store) Listen(topics string, handler func(Event)) (*Listener, error) {
	p, err := parsePattern(topics)
	if err != nil {
		return nil, &Error{Op: "on", Err: err}
	}
	if handler == nil {
		return nil, &Error{Op: "on", Err: errors.New("there is no handler")}
	}
	in := feed.Interest{Any: p.any, Types: p.types}
	if !p.any {
		in.Bucket = st.topicID(p.bucket)
	}
	// A Close that begins now waits until the goroutine runs, and then for it.
	_ = st.defMu.lock(context.Background())
	defer st.defMu.unlock()
	// Under the commit lock, so that every commit is either visible to what the
	// caller reads next or brings an event.
	st.commitMu.Lock()
	sub, err := st.feed.Subscribe(in)
	st.commitMu.Unlock()
	if err != nil {
		return nil, &Error{Op: "on", Err: ErrClosed}
	}
	l := &Listener{st: st, p: p, sub: sub, handler: handler, stopping: make(chan struct{}), done: make(chan struct{})}
	st.workers.Go(l.name(), l.work)
	return l, nil
}

// Listener is one subscription to events, and its goroutine; [Store.Listen] makes it.
// It ends with Stop, with Drain, or with the store. Its methods may be called from any goroutine, the
// handler's too; they wait for nothing and are idempotent.
type Listener struct {
	st      *Store
	p       pattern
	sub     *feed.Sub[*commitEvent]
	handler func(Event)

	// Of the goroutine: the commit that it is at, and the next change of it.
	ev   *commitEvent
	next int

	once     sync.Once
	stopping chan struct{} // closed by Stop
	done     chan struct{} // closed when the handler was called for the last time
}

// Stop ends the subscription at once: what the handler has not been called for is
// dropped.
func (l *Listener) Stop() {
	l.once.Do(func() { close(l.stopping) })
	l.sub.Close()
}

// Drain ends the subscription behind the commits that were acknowledged before the
// call: the handler is called for their events, and for no later ones.
func (l *Listener) Drain() { l.sub.End() }

// Done is closed when the subscription has ended, for whatever reason, and the
// handler has returned from its last call.
func (l *Listener) Done() <-chan struct{} { return l.done }

func (l *Listener) name() string { return "events " + l.p.text }

func (l *Listener) stopped() bool {
	select {
	case <-l.stopping:
		return true
	case <-l.st.closing: // Close ran out of time
		return true
	default:
		return false
	}
}

func (l *Listener) work() {
	through := false
	defer func() {
		if through {
			l.sub.Close()
			close(l.done)
			return
		}
		// The handler has ended its goroutine: another one goes on behind it.
		l.st.workers.Go(l.name(), l.work)
		l.st.report("handler of "+l.p.text, &PanicError{Value: "the goroutine ended", Stack: debug.Stack()})
	}()
	for l.finish() {
		ev, missed, ok := l.sub.Next()
		switch {
		case !ok:
			through = true
			return
		case missed > 0:
			l.call(Event{Err: ErrLagged, Missed: missed})
		default:
			l.ev, l.next = ev, 0
		}
	}
	through = true
}

// finish calls the handler for the rest of the commit that the goroutine is at. It
// reports false when the subscription was stopped.
func (l *Listener) finish() bool {
	for l.ev != nil && l.next < len(l.ev.changes) {
		c := &l.ev.changes[l.next]
		l.next++
		if !l.p.match(c) {
			continue
		}
		if l.stopped() {
			return false
		}
		l.call(c.event(l.ev.seq))
	}
	l.ev = nil
	return !l.stopped()
}

// call runs the handler and reports its panic.
func (l *Listener) call(e Event) {
	l.st.calls.Add(1)
	defer func() {
		if p := recover(); p != nil {
			l.st.report("handler of "+l.p.text, &PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	defer l.st.calls.Add(1)
	l.handler(e)
}

func (c *change) event(seq uint64) Event {
	e := Event{Type: c.typ, Bucket: c.b.name, Reason: c.reason, Seq: Seq(seq)}
	sh := c.b.shape
	if c.old != nil {
		e.Old = Record{c.old}
		e.Key = sh.keyOf(c.old)
	}
	if c.new != nil {
		e.New = Record{c.new}
		e.Key = sh.keyOf(c.new)
	}
	return e
}
