package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// namedQueries are the queries that a store knows by name.
type namedQueries struct {
	last atomic.Uint64 // numbers the definitions, so that their nodes' keys differ
	mu   sync.RWMutex  // protects defs; a leaf
	defs map[string]*queryDef
}

// queryDef is a query by name: a function, or a specification.
type queryDef struct {
	name string
	// encode checks parameters, and gives them the form that the source takes, and
	// the key of their node.
	encode func(params any) (p any, key string, err error)
	source source
	gone   atomic.Bool // it is defined no more
}

// source is where the values of a query come from: a function, of which nothing is
// known but what it has read, or a specification. Who wants to bring a value up to
// date by what a commit has changed, instead of evaluating it again, asks the
// source whether it can.
type source interface {
	// evaluate answers the query, for encoded parameters, at the state of an
	// evaluation.
	evaluate(q *QueryCtx, p any) (any, error)
}

// called is a source that is a function.
type called func(q *QueryCtx, p any) (any, error)

func (fn called) evaluate(q *QueryCtx, p any) (any, error) { return fn(q, p) }

// prefix begins the keys of a definition's nodes.
func (l *namedQueries) prefix() []byte { return slices.Clip(binary.AppendUvarint(nil, l.last.Add(1))) }

func (l *namedQueries) find(name string) (*queryDef, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if def, ok := l.defs[name]; ok {
		return def, nil
	}
	return nil, queryError(name, ErrQueryNotDefined)
}

// defineQuery enters a query.
func (st *Store) defineQuery(def *queryDef) error {
	switch {
	case st.closed.Load():
		return &Error{Op: "define query", Err: ErrClosed}
	case def.name == "":
		return &QueryError{Message: "a query needs a name"}
	}
	if !st.queries.add(def) {
		return &Error{Op: "define query", Err: queryError(def.name, ErrQueryExists)}
	}
	st.live.renamed(def.name)
	return nil
}

// add enters a query; false if there is one of its name.
func (l *namedQueries) add(def *queryDef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.defs[def.name]; ok {
		return false
	}
	if l.defs == nil {
		l.defs = map[string]*queryDef{}
	}
	l.defs[def.name] = def
	return true
}

// queryError adds the query's name to an error.
func queryError(name string, err error) error { return fmt.Errorf("query %q: %w", name, err) }

// DefineSpec defines a query by its specification, to be run and subscribed to by
// name. The specification is copied, and checked against its bucket: every field,
// operator, value and aggregate, as far as no parameter stands in for it. Errors:
// ErrQueryExists, ErrBucketNotDefined, *QueryError, ErrClosed.
func (st *Store) DefineSpec(name string, spec QuerySpec) error {
	if st.closed.Load() {
		return &Error{Op: "define query", Err: ErrClosed}
	}
	b, err := st.find("define query", spec.Bucket)
	if err != nil {
		return err
	}
	own, err := spec.prepare()
	if err != nil {
		return compiler{b: b}.own(err)
	}
	if err := own.check(b); err != nil {
		return err
	}
	return st.defineQuery(&queryDef{name: name, encode: st.specParams(own), source: own})
}

// specParams encodes the parameters of a specification: a map of values, from a
// map, a struct or nil.
func (st *Store) specParams(spec *namedSpec) func(v any) (any, string, error) {
	lim, prefix := limits{st.opt.MaxDepth, st.opt.MaxValueBytes}, st.queries.prefix()
	return func(v any) (any, string, error) {
		p, err := newParams(v, lim)
		if err != nil {
			if q, ok := err.(*QueryError); ok {
				q.Bucket = spec.Bucket
			}
			return nil, "", err
		}
		return p, string(appendValue(prefix, map[string]any(p))), nil
	}
}

// evaluate is a specification's. A bucket that is defined anew under the name is
// the one that counts.
func (spec *namedSpec) evaluate(q *QueryCtx, p any) (any, error) {
	h, err := q.Bucket(spec.Bucket)
	if err != nil {
		return nil, err
	}
	return spec.run(h, p.(params))
}

// UndefineQuery forgets a query, and ends its subscriptions. Error:
// ErrQueryNotDefined.
func (st *Store) UndefineQuery(name string) error {
	st.queries.mu.Lock()
	def, ok := st.queries.defs[name]
	delete(st.queries.defs, name)
	st.queries.mu.Unlock()
	if !ok {
		return &Error{Op: "undefine query", Err: queryError(name, ErrQueryNotDefined)}
	}
	st.live.undefine(def)
	return nil
}

// Queries returns the names of the defined queries, sorted.
func (st *Store) Queries() []string {
	st.queries.mu.RLock()
	defer st.queries.mu.RUnlock()
	return slices.Sorted(maps.Keys(st.queries.defs))
}

// RunQuery answers a query by name, in the newest state. params is a value of the
// type that its function takes, nil if that is empty; for a query by
// specification a struct or a map with the values of its placeholders, nil if it
// has none. The answer of a specification is a []Record; with an aggregate an int
// (count, countDistinct), a float64 (sum, avg) or a value (min, max; nil if there
// is none); with groups a [][Group] of those. It may be shared, as by
// [ReactiveQuery.Run], and must not be changed. Errors: what the function returns;
// ErrQueryNotDefined, ErrQueryType, *QueryError, ErrBucketNotDefined.
func (st *Store) RunQuery(ctx context.Context, name string, params any) (any, error) {
	def, err := st.queries.find(name)
	if err != nil {
		return nil, &Error{Op: "run query", Err: err}
	}
	p, key, err := def.encode(params)
	if err != nil {
		return nil, err
	}
	return st.runQuery(ctx, def, p, key)
}

// Subscribe calls fn with the result of a query by name whenever it has become
// another one: later changes only. It is as [ReactiveQuery.OnChange].
func (st *Store) Subscribe(ctx context.Context, name string, params any, fn func(result any)) (stop func(), err error) {
	def, err := st.queries.find(name)
	if err != nil {
		return nil, &Error{Op: "subscribe", Err: err}
	}
	if fn == nil {
		return nil, &Error{Op: "subscribe", Err: errNoCallback}
	}
	p, key, err := def.encode(params)
	if err != nil {
		return nil, err
	}
	s, err := st.live.subscribe(ctx, def, p, key, callback(st, name, fn))
	if err != nil {
		return nil, &Error{Op: "subscribe", Err: queryError(name, err)}
	}
	return func() { s.stop(ErrUnsubscribed) }, nil
}

// runQuery answers a query once: from its node, if it is live, else by a call of
// its function on the caller's goroutine, or on that of another one who asks.
func (st *Store) runQuery(ctx context.Context, def *queryDef, p any, key string) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "run query", Err: err}
	}
	if def.gone.Load() {
		return nil, &Error{Op: "run query", Err: queryError(def.name, ErrQueryNotDefined)}
	}
	o, err := st.live.shared(ctx, key)
	switch {
	case err != nil:
		return nil, &Error{Op: "run query", Err: queryError(def.name, err)}
	case o != nil && o.err != nil:
		return nil, o.err
	case o != nil:
		return o.value, nil
	}
	return st.once(ctx, def, p, key)
}

// once calls the function outside of any node. A panic of it comes back as an
// error.
func (def *queryDef) once(q *QueryCtx, p any) (v any, err error) {
	ok := false
	defer func() {
		if q.done.Store(true); ok {
			return
		}
		if p := recover(); p != nil {
			v, err = nil, queryError(def.name, panicked(p))
		}
	}()
	v, err = def.source.evaluate(q, p)
	ok = true
	if err != nil {
		return nil, queryError(def.name, err)
	}
	return v, nil
}
