package store

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// namedQueries are the queries that a store knows by name.
type namedQueries struct {
	mu    sync.RWMutex // protects specs
	specs map[string]*namedSpec
}

// DefineSpec defines a query by its specification, to be run by name. The
// specification is copied, and checked against its bucket: every field, operator,
// value and aggregate, as far as no parameter stands in for it. Errors:
// ErrQueryExists, ErrBucketNotDefined, *QueryError, ErrClosed.
func (st *Store) DefineSpec(name string, spec QuerySpec) error {
	if st.closed.Load() {
		return &Error{Op: "define query", Err: ErrClosed}
	}
	if name == "" {
		return &QueryError{Message: "a query needs a name"}
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
	st.queries.mu.Lock()
	defer st.queries.mu.Unlock()
	if _, ok := st.queries.specs[name]; ok {
		return &Error{Op: "define query", Bucket: spec.Bucket, Err: ErrQueryExists}
	}
	if st.queries.specs == nil {
		st.queries.specs = map[string]*namedSpec{}
	}
	st.queries.specs[name] = own
	return nil
}

// UndefineQuery forgets a query. Error: ErrQueryNotDefined.
func (st *Store) UndefineQuery(name string) error {
	st.queries.mu.Lock()
	defer st.queries.mu.Unlock()
	if _, ok := st.queries.specs[name]; !ok {
		return &Error{Op: "undefine query", Err: ErrQueryNotDefined}
	}
	delete(st.queries.specs, name)
	return nil
}

// Queries returns the names of the defined queries, sorted.
func (st *Store) Queries() []string {
	st.queries.mu.RLock()
	defer st.queries.mu.RUnlock()
	return slices.Sorted(maps.Keys(st.queries.specs))
}

// RunQuery answers a query by name, in the newest state. params is a struct or a
// map with the values of its placeholders, nil if it has none. The answer is a
// []Record; with an aggregate an int (count, countDistinct), a float64 (sum, avg)
// or a value (min, max; nil if there is none); with groups a [][Group] of those.
// Errors: ErrQueryNotDefined, *QueryError, ErrBucketNotDefined.
func (st *Store) RunQuery(ctx context.Context, name string, params any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "run query", Err: err}
	}
	st.queries.mu.RLock()
	spec, ok := st.queries.specs[name]
	st.queries.mu.RUnlock()
	if !ok {
		return nil, &Error{Op: "run query", Err: ErrQueryNotDefined}
	}
	b, err := st.find("run query", spec.Bucket)
	if err != nil {
		return nil, err
	}
	p, err := newParams(params, b.shape.lim)
	if err != nil {
		return nil, compiler{b: b}.own(err)
	}
	return spec.run(b, p)
}
