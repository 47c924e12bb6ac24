package exprrules

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/noex-go/store"
)

// judging is the event under way, and what expressions are run with. It belongs to
// the engine's turn.
type judging struct {
	lk  *lookups
	vm  vm.VM
	h   happening
	env map[string]any // of the variables
	ev  map[string]any // event, old and new: the fields that an expression names
	old map[string]any
	new map[string]any
}

// begin takes an event.
func (j *judging) begin() {
	if j.env == nil {
		j.env, j.ev, j.old, j.new = map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	}
}

// end lets the event go.
func (j *judging) end() {
	j.h = happening{}
	clear(j.env)
	clear(j.ev)
	clear(j.old)
	clear(j.new)
	clear(j.vm.Stack[:cap(j.vm.Stack)])
	clear(j.vm.Variables)
}

// run evaluates an expression. What it reads of the records is looked up first: in
// maps that are used again, unless the expression could hand such a map on.
func (j *judging) run(x *expression) (any, error) {
	fill(j, "event", j.ev, &j.h, &x.event)
	fill(j, "old", j.old, &j.h.old, &x.old)
	fill(j, "new", j.new, &j.h.new, &x.new)
	v, err := j.vm.Run(x.program, j.env)
	if err != nil {
		return nil, runError(err)
	}
	return v, nil
}

// source is what a variable stands for: a record, or the event.
type source interface {
	none() bool
	get(field string) any
	all() map[string]any // its own
}

// fill hands over what an expression reads of a variable.
func fill[S source](j *judging, name string, m map[string]any, r S, u *uses) {
	for i := range u.flat {
		j.env[u.flat[i].variable] = r.get(u.flat[i].field)
	}
	switch {
	case r.none():
		j.env[name] = nil
	case u.whole:
		j.env[name] = r.all()
	default:
		for _, name := range u.fields {
			m[name] = r.get(name)
		}
		j.env[name] = m
	}
}

// runError is an error of an expression: that of a lookup as it is, one of the
// expression itself without the picture of it.
func runError(err error) error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return err
	}
	if fe.Prev != nil {
		return fe.Prev
	}
	return errors.New(fe.Message)
}

// inside is the key of a context that an engine has given to an action.
type inside struct{ e *Engine }

// judge judges an event in its turn.
func (e *Engine) judge(ctx context.Context, h happening) error {
	if len(e.set.Load().of(h.bucket, h.typ)) == 0 {
		e.events.Add(1)
		return nil
	}
	if ctx.Value(inside{e}) != nil {
		return ErrReentered
	}
	select {
	case e.turn <- struct{}{}:
	default:
		select {
		case e.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-e.turn }()
	rules := e.set.Load().of(h.bucket, h.typ)
	e.events.Add(1)
	e.j.h = h
	e.j.begin()
	defer e.j.end()
	var errs []error
	for _, r := range rules {
		if err := e.judgeBy(ctx, r, &e.j.h); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// judgeBy lets one rule judge the event. A condition without lookups is judged at
// once; one with lookups in the transaction of the firing, so that what it saw still
// holds when the rule has taken effect.
func (e *Engine) judgeBy(ctx context.Context, r *rule, h *happening) error {
	if r.cond != nil {
		e.evaluated.Add(1)
		first := r.guard
		if !r.cond.looks {
			first = r.cond
		}
		if first != nil {
			if ok, err := e.j.holds(first); err != nil {
				return e.failed(&firing{r: r, h: h, start: e.opt.Clock(), chain: e.causes.of(h.seq)}, err)
			} else if !ok {
				return nil
			}
		}
	}
	return e.fire(ctx, r, h)
}

// holds judges a condition.
func (j *judging) holds(x *expression) (bool, error) {
	v, err := j.run(x)
	if err == nil {
		var ok bool
		if ok, err = isTrue(v); err == nil {
			return ok, nil
		}
	}
	return false, &partError{"if", err}
}

// firing is a rule that fires.
type firing struct {
	r     *rule
	h     *happening
	start time.Time
	chain []Cause
	tx    *store.Tx
	fires bool // its condition holds
}

// fire runs the steps of a rule in a transaction.
func (e *Engine) fire(ctx context.Context, r *rule, h *happening) (err error) {
	f := &firing{r: r, h: h, start: e.opt.Clock(), chain: e.causes.of(h.seq)}
	ctx = context.WithValue(ctx, inside{e}, true)
	if e.opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.opt.Timeout)
		defer cancel()
	}
	through := false
	defer func() {
		e.lk.tx = nil
		if !through {
			p := recover() // of an action
			if p == nil {
				p = "the goroutine ended"
			}
			err = e.failed(f, &store.PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	err = e.s.Transaction(ctx, func(tx *store.Tx) error {
		f.tx, f.fires, e.lk.tx = tx, false, tx
		return e.inTx(ctx, f)
	}, store.Retry(e.opt.Retries))
	through = true
	switch {
	case err != nil:
		return e.failed(f, err)
	case f.fires:
		e.fired(f)
	}
	return nil
}

// inTx is a firing in its transaction.
func (e *Engine) inTx(ctx context.Context, f *firing) error {
	if f.r.cond != nil && f.r.cond.looks {
		if ok, err := e.j.holds(f.r.cond); err != nil || !ok {
			return err
		}
	}
	f.fires = true
	if len(f.chain) >= e.opt.MaxDepth {
		return &DepthError{Rule: f.r.name, Chain: f.chain}
	}
	for i := range f.r.steps {
		s := &f.r.steps[i]
		if err := e.do(ctx, f, s); err != nil {
			if pe := (*partError)(nil); errors.As(err, &pe) {
				return err
			}
			return &partError{s.part, err}
		}
	}
	return nil
}

// do takes one step.
func (e *Engine) do(ctx context.Context, f *firing, s *step) error {
	var fields map[string]any
	if s.fields != nil {
		var err error
		if fields, err = s.fields.evaluateObject(&e.j); err != nil {
			return err
		}
	}
	if s.action != nil {
		return s.action(ctx, e.forAction(f, fields))
	}
	b, err := e.s.Bucket(s.bucket)
	if err != nil {
		return err
	}
	b = b.In(f.tx)
	switch s.op {
	case "insert":
		_, err = b.Insert(ctx, fields)
		return err
	case "upsert":
		_, err = b.Upsert(ctx, fields)
		return err
	}
	if s.key != nil {
		key, err := s.key.evaluate(&e.j)
		switch {
		case err != nil:
			return err
		case key == nil:
			return &partError{s.part + ".key", errors.New("is nil")}
		case s.op == "delete":
			return b.Delete(ctx, key)
		}
		_, err = b.Update(ctx, key, fields)
		return err
	}
	where, err := s.where.evaluateObject(&e.j)
	if err != nil {
		return err
	}
	filter, err := store.ParseFilter(where)
	if err != nil {
		return &partError{s.part + ".where", err}
	}
	if s.op == "delete" {
		_, err = b.DeleteMany(ctx, filter)
	} else {
		_, err = b.UpdateMany(ctx, fields, filter)
	}
	return err
}

// forAction is what an action gets, all of it its own.
func (e *Engine) forAction(f *firing, args map[string]any) *Firing {
	return &Firing{
		Rule: f.r.name, Tx: f.tx, Topic: f.h.topic, Bucket: f.h.bucket, Key: f.h.key(), Seq: f.h.seq,
		Old: f.h.old.all(), New: f.h.new.all(), Args: args, Chain: append([]Cause(nil), f.chain...),
	}
}
