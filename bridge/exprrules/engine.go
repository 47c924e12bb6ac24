package exprrules

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
	"github.com/noex-go/store/internal/feed"
)

// Options configures an engine. The zero value works.
type Options struct {
	// Actions are what rules do in Go, by the names that their steps use.
	Actions map[string]Action
	// MaxDepth is how many rules may lead to one another: the rule after that does
	// not fire. Default 16; negative: no bound, so that a rule that triggers itself
	// never ends.
	MaxDepth int
	// Retries is how often a firing is run again that is in conflict. Default 20;
	// negative: never.
	Retries int
	// Timeout bounds the context of each firing. Default: no bound but that of Emit.
	Timeout time.Duration
	// MaxFind is how many records find may find. Default 1,000; negative: no bound.
	MaxFind int
	// OnError hears of each *RuleError, and of the *LoadError of a watched file. It
	// runs on the goroutine that calls Emit, or on the watch's; its panics are
	// dropped. Default: Emit returns the errors of rules, joined, so that the OnError
	// of the bridge hears of them.
	OnError func(error)
	// OnTrace is called for each firing, as OnError is.
	OnTrace func(Trace)
	// TraceSize is how many firings Engine.Trace remembers. Default 256; negative:
	// none.
	TraceSize int
	// Clock is the source of time, for now() and for traces. Default: time.Now.
	Clock func() time.Time
}

func (o Options) withDefaults() Options {
	number := func(n, zero, negative int) int {
		switch {
		case n == 0:
			return zero
		case n < 0:
			return negative
		}
		return n
	}
	o.MaxDepth = number(o.MaxDepth, 16, math.MaxInt)
	o.Retries = number(o.Retries, 20, 0)
	o.MaxFind = number(o.MaxFind, 1000, math.MaxInt32)
	o.TraceSize = number(o.TraceSize, 256, 0)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Engine judges events by rules. It is a [bridge.Receiver], and takes events as they
// are ([bridge.EventReceiver]). All its methods may be called from any goroutine;
// events are judged one at a time, and must come in the order of commits, as one
// bridge brings them: that is how a chain of rules is known. Make it with New.
//
// It has no goroutine but one for each Watch.
type Engine struct {
	s       *store.Store
	opt     Options
	lk      *lookups
	set     atomic.Pointer[ruleset]
	loading sync.Mutex // one load at a time
	watches *feed.Group
	turn    chan struct{} // one event at a time: what follows belongs to who has put something in
	j       judging
	causes  causes

	events, evaluated atomic.Int64 // of stats

	mu    sync.Mutex // protects what follows; a leaf
	stats Stats
	ring  ring
}

var _ bridge.EventReceiver = (*Engine)(nil)

// Stats is what an engine has done so far.
type Stats struct {
	Rules     int   // loaded
	Loads     int64 // rule sets that came into force
	Refused   int64 // that did not
	Events    int64 // that were judged
	Evaluated int64 // conditions
	Fired     int64
	Failed    int64 // firings, and conditions that could not be judged
	Stopped   int64 // firings that would have gone too deep: see DepthError
}

// New returns an engine without rules. Options that make no sense are refused.
func New(s *store.Store, opt Options) (*Engine, error) {
	if s == nil {
		return nil, errors.New("exprrules: there is no store")
	}
	if opt.Timeout < 0 {
		return nil, errors.New("exprrules: Options.Timeout is negative")
	}
	for name, a := range opt.Actions {
		if a == nil {
			return nil, fmt.Errorf("exprrules: action %q is nil", name)
		}
	}
	e := &Engine{s: s, opt: opt.withDefaults(), turn: make(chan struct{}, 1)}
	e.lk = &lookups{s: s, now: e.opt.Clock, most: e.opt.MaxFind}
	e.j.lk = e.lk
	e.ring.most = e.opt.TraceSize
	e.set.Store(&ruleset{})
	e.watches = feed.NewGroup(func(name string, p any, stack []byte) {
		e.report(fmt.Errorf("exprrules: %s: %w", name, &store.PanicError{Value: p, Stack: stack}))
	})
	return e, nil
}

// Load puts other rules in place of those that are loaded: all of them, or, if
// anything is wrong, none. The buckets that they name must be defined. Error:
// *LoadError.
func (e *Engine) Load(rules []Rule) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	c := &compiler{ss: &schemas{s: e.s, seen: map[string]*schema{}}, lk: e.lk, actions: e.opt.Actions}
	set := c.compile(rules)
	if len(c.problems) > 0 {
		return e.refused(&LoadError{Problems: c.problems})
	}
	e.set.Store(set)
	e.count(func(s *Stats) { s.Loads++ })
	return nil
}

// LoadFile is Load with the rules of a file; see Parse.
func (e *Engine) LoadFile(path string) error {
	data, err := readFile(path)
	if err != nil {
		return e.refused(&LoadError{File: path, Err: err})
	}
	return e.loadBytes(path, data)
}

func (e *Engine) loadBytes(path string, data []byte) error {
	rules, err := Parse(data)
	if err != nil {
		_ = e.refused(nil)
	} else {
		err = e.Load(rules)
	}
	if le := (*LoadError)(nil); errors.As(err, &le) {
		le.File = path
	}
	return err
}

// readFile reads a file that is not too large; more of it is not read.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

func (e *Engine) refused(err error) error {
	e.count(func(s *Stats) { s.Refused++ })
	return err
}

// Rules returns the names of the rules that are loaded, in their order.
func (e *Engine) Rules() []string {
	set := e.set.Load()
	names := make([]string, len(set.rules))
	for i, r := range set.rules {
		names[i] = r.name
	}
	return names
}

// Stats returns the figures.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Rules = len(e.set.Load().rules)
	s.Events, s.Evaluated = e.events.Load(), e.evaluated.Load()
	return s
}

// Trace returns the last firings, the oldest one first.
func (e *Engine) Trace() []Trace {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ring.list()
}

func (e *Engine) count(change func(s *Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.stats)
}

// report tells OnError, if there is one.
func (e *Engine) report(err error) {
	if e.opt.OnError == nil {
		return
	}
	defer func() { _ = recover() }()
	e.opt.OnError(err)
}

// EmitEvent judges an event by the rules that are loaded. Error: see
// Options.OnError; the context's, if its turn has not come before that ends.
func (e *Engine) EmitEvent(ctx context.Context, topic string, ev store.Event) error {
	return e.judge(ctx, happening{
		typ: ev.Type, topic: topic, bucket: ev.Bucket, recordKey: ev.Key, seq: ev.Seq, why: ev.Reason,
		old: record{r: ev.Old}, new: record{r: ev.New},
	})
}

// Emit is EmitEvent for an event as [bridge.Data] describes it. What it does not
// describe that way is refused.
func (e *Engine) Emit(ctx context.Context, topic string, data map[string]any) error {
	h, err := readData(topic, data)
	if err != nil {
		return fmt.Errorf("exprrules: event %q: %w", topic, err)
	}
	return e.judge(ctx, h)
}
