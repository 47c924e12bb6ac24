package store

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// runs is the answers under way to queries that are asked once, so that those who
// ask the same at the same time share one: a Run joins another one of the same
// query and parameters if that reads a state that is not older than the call.
//
// Who joins waits for somebody else's function, until its own context ends. The
// functions of live queries do not come here, nor does what a function asks
// through its QueryCtx; so evaluations do not wait for one another. A function that
// asked itself past its QueryCtx would not come to an end anyway.
type runs struct {
	mu   sync.Mutex      // protects the map and what its runs say
	runs map[string]*run // by the query and its parameters; of several, the newest state's
}

// run is the answer to a query that is asked once.
type run struct {
	ctx context.Context // of who leads: what the function got
	h   hold
	end chan struct{} // closed at the end; nil: nobody waits

	// Set at the end.
	value any
	err   error
	due   time.Time // when Now would have told the function something else
}

// once answers a query at the newest state, or one that was the newest after the
// call.
func (st *Store) once(ctx context.Context, def *queryDef, p any, key string) (any, error) {
	for target := st.pins.Published(); ; {
		f, leads := st.runs.join(st, ctx, key, target)
		if leads {
			return st.lead(f, def, p, key)
		}
		select {
		case <-f.end:
		case <-ctx.Done():
			return nil, &Error{Op: "run query", Err: queryError(def.name, ctx.Err())}
		}
		switch {
		case f.err != nil && f.ctx.Err() != nil && errors.Is(f.err, f.ctx.Err()):
			// The context of who led is not this one's.
		case !f.due.IsZero() && st.past(f.due):
			target = math.MaxUint64 // joins no other
		default:
			return f.value, f.err
		}
	}
}

// join returns the run to wait for, or one that the caller leads.
func (l *runs) join(st *Store, ctx context.Context, key string, target uint64) (f *run, leads bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.runs[key]; f != nil && f.h.pin.Seq >= target {
		if f.end == nil {
			f.end = make(chan struct{})
		}
		return f, false
	}
	f = &run{ctx: ctx}
	st.hold(&f.h, st.pins.Acquire()) // under the lock, so that of two who come at once one leads
	if l.runs == nil {
		l.runs = map[string]*run{}
	}
	l.runs[key] = f
	return f, true
}

// lead calls the function on the caller's goroutine, for all who have joined.
func (st *Store) lead(f *run, def *queryDef, p any, key string) (any, error) {
	q, ok := newQueryCtx(f.ctx, scope{hold: &f.h}, nil, key, false), false
	defer func() {
		if f.h.close(); !ok { // the function has ended the goroutine
			f.err = queryError(def.name, panicked(nil))
		}
		st.runs.leave(f, key)
	}()
	f.value, f.err = def.once(q, p)
	f.due, ok = q.until(), true
	return f.value, f.err
}

// part has nobody join the runs under way: a name means something else now.
func (l *runs) part() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.runs)
}

// leave ends a run. Who comes now leads another one.
func (l *runs) leave(f *run, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs[key] == f {
		delete(l.runs, key)
	}
	if f.end != nil {
		close(f.end)
	}
}

// past reports whether the store's clock, which may be the user's, shows a time
// or a later one.
func (st *Store) past(due time.Time) (past bool) {
	defer func() {
		if p := recover(); p != nil {
			past = true
			st.report("clock", panicked(p))
		}
	}()
	return !st.clock().Before(due)
}
