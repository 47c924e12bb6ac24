package exprrules

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/noex-go/store"
)

// Outcome is what became of a rule that fired, or could not.
type Outcome uint8

// The outcomes.
const (
	Fired   Outcome = 1 + iota // its steps are done and committed
	Failed                     // an error, or a panic: nothing has happened
	Stopped                    // too many rules have led to the event: see DepthError
)

var outcomeNames = [...]string{"none", "fired", "failed", "stopped"}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// Trace tells of a rule that fired on an event, or could not. A rule whose condition
// does not hold leaves none.
type Trace struct {
	Rule     string
	Topic    string // of the event, as all up to Seq
	Bucket   string
	Key      any // a string or an int64
	Seq      store.Seq
	Outcome  Outcome
	Commit   store.Seq // of its writes; 0: it has written nothing
	Err      error     // *RuleError, unless it fired
	Start    time.Time
	Duration time.Duration
	Chain    []Cause // that led to the event, the first one first; shared, not to be changed
}

// fired notes that a rule has fired.
func (e *Engine) fired(f *firing) {
	commit := f.tx.Committed()
	if commit != 0 {
		chain := make([]Cause, len(f.chain), len(f.chain)+1)
		copy(chain, f.chain)
		e.causes.add(commit, append(chain, Cause{f.r.name, f.h.seq}))
	}
	e.count(func(s *Stats) { s.Fired++ })
	e.trace(f, Trace{Outcome: Fired, Commit: commit})
}

// failed notes that a rule could not fire, and returns the error if nobody else
// hears of it.
func (e *Engine) failed(f *firing, err error) error {
	re := &RuleError{Rule: f.r.name, Topic: f.h.topic, Seq: f.h.seq, Chain: f.chain, Err: err}
	if pe, ok := err.(*partError); ok {
		re.Part, re.Err = pe.part, pe.err
	}
	outcome := Failed
	if de := (*DepthError)(nil); errors.As(err, &de) {
		outcome = Stopped
	}
	e.count(func(s *Stats) {
		if outcome == Stopped {
			s.Stopped++
		} else {
			s.Failed++
		}
	})
	e.trace(f, Trace{Outcome: outcome, Err: re})
	if e.opt.OnError == nil {
		return re
	}
	e.report(re)
	return nil
}

// trace keeps a trace and tells OnTrace of it.
func (e *Engine) trace(f *firing, t Trace) {
	h := f.h
	t.Rule, t.Topic, t.Bucket, t.Key, t.Seq = f.r.name, h.topic, h.bucket, h.key(), h.seq
	t.Start, t.Duration, t.Chain = f.start, e.opt.Clock().Sub(f.start), f.chain
	e.mu.Lock()
	e.ring.add(t)
	e.mu.Unlock()
	if e.opt.OnTrace == nil {
		return
	}
	defer func() { _ = recover() }()
	e.opt.OnTrace(t)
}

// ring keeps the last traces.
type ring struct {
	most  int
	items []Trace
	next  int // to be overwritten, once there are as many as may be
}

func (r *ring) add(t Trace) {
	switch {
	case r.most == 0:
	case len(r.items) < r.most:
		r.items = append(r.items, t)
	default:
		r.items[r.next] = t
		r.next = (r.next + 1) % r.most
	}
}

func (r *ring) list() []Trace {
	return append(append(make([]Trace, 0, len(r.items)), r.items[r.next:]...), r.items[:r.next]...)
}

// causes knows the commits of rules whose events are still to come, and the chains
// that led to them. A commit is noted before the next event is judged, its own
// events among them, so that none is missed; and is forgotten when an event of a
// later commit has come.
type causes struct{ list []caused }

type caused struct {
	seq   store.Seq
	chain []Cause
}

func (c *causes) add(seq store.Seq, chain []Cause) { c.list = append(c.list, caused{seq, chain}) }

// of returns the chain that led to a commit.
func (c *causes) of(seq store.Seq) []Cause {
	n := 0
	for n < len(c.list) && c.list[n].seq < seq {
		n++
	}
	if n > 0 {
		c.list = append(c.list[:0], c.list[n:]...)
	}
	if len(c.list) > 0 && c.list[0].seq == seq {
		return c.list[0].chain
	}
	return nil
}

// readAll reads what is not more than a rule file may be.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err == nil && len(data) > MaxFileBytes {
		return nil, ErrTooLarge
	}
	return data, err
}
