package store

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"
)

// ReactiveQuery is a query by name: a function of parameters P that reads a
// store and returns an R. It can be run once, or subscribed to: then its result
// is kept up to date, by calling the function again when a commit has changed
// what it read. It is safe for concurrent use.
type ReactiveQuery[P, R any] struct {
	st   *Store
	def  *queryDef
	enc  func(p P) (string, error)
	none bool // P has no values to tell apart
}

// DefineQuery defines a query by a function. It must read through its QueryCtx
// alone, and write nothing; the same parameters and the same records must give
// the same result. It is called on several goroutines, and again for each change
// of what it read, so it must be quick, or heed [QueryCtx.Context]. What it
// returns belongs to the store, and must not be changed later.
//
// P is a value that tells the query's nodes apart: a struct, a map, a scalar, or
// anything made of them; a func, a channel or an unsafe pointer in it is an error.
// What parameters refer to must not change while they are subscribed to.
// Errors: ErrQueryExists, ErrQueryType, ErrClosed.
func DefineQuery[P, R any](st *Store, name string, fn func(q *QueryCtx, params P) (R, error)) (*ReactiveQuery[P, R], error) {
	if fn == nil {
		return nil, &QueryError{Message: "a query needs a function"}
	}
	t := reflect.TypeFor[P]()
	enc, err := st.live.canon.Encoder(t)
	if err != nil {
		return nil, &Error{Op: "define query", Err: queryError(name, fmt.Errorf("%w: the parameters: %w", ErrQueryType, err))}
	}
	d := &ReactiveQuery[P, R]{st: st, none: t.Size() == 0 || t.Kind() == reflect.Interface}
	prefix := st.queries.prefix()
	d.enc = func(p P) (string, error) {
		b, err := enc.Append(append(make([]byte, 0, 64), prefix...), unsafe.Pointer(&p))
		if err != nil {
			return "", queryError(name, fmt.Errorf("%w: the parameters: %w", ErrQueryType, err))
		}
		return string(b), nil
	}
	d.def = &queryDef{name: name, encode: d.encode, source: called(func(q *QueryCtx, p any) (any, error) {
		params, _ := p.(P)
		return result(fn(q, params))
	})}
	if err := st.defineQuery(d.def); err != nil {
		return nil, err
	}
	return d, nil
}

// encode takes the parameters of a caller by name: a P, or a pointer to one.
func (d *ReactiveQuery[P, R]) encode(v any) (any, string, error) {
	p, ok := v.(P)
	if to, is := v.(*P); !ok && is && to != nil {
		p, ok = *to, true
	}
	if !ok && (v != nil || !d.none) {
		return nil, "", queryError(d.def.name, fmt.Errorf("%w: the parameters are a %T, not a %s", ErrQueryType, v, reflect.TypeFor[P]()))
	}
	key, err := d.enc(p)
	return p, key, err
}

// Name returns the name of the query.
func (d *ReactiveQuery[P, R]) Name() string { return d.def.name }

// Run answers the query once, in the newest state: with the result of its
// subscribers, if there are any and it is current; with that of another Run with
// equal parameters that is under way, if that reads no state older than the call;
// else by a call of the function on the caller's goroutine. The result may be
// shared, and must not be changed.
func (d *ReactiveQuery[P, R]) Run(ctx context.Context, params P) (R, error) {
	key, err := d.enc(params)
	if err != nil {
		var none R
		return none, err
	}
	return typedResult[R](d.st.runQuery(ctx, d.def, params, key))
}

// RunIn answers the query in the state that a reader shows: a snapshot; a
// transaction, which reads what the query reads; or another query, to which it
// is one value: that is evaluated again only if the answer changes. Errors: those
// of the function; ErrQueryCycle.
func (d *ReactiveQuery[P, R]) RunIn(r Reader, params P) (R, error) {
	var none R
	if q, ok := r.(*QueryCtx); ok {
		if q.st != d.st {
			return none, queryError(d.def.name, errOtherStore)
		}
		return typedResult[R](q.run(d.def, params))
	}
	s := r.bound()
	switch {
	case s.store != d.st:
		return none, queryError(d.def.name, errOtherStore)
	case d.def.gone.Load():
		return none, queryError(d.def.name, ErrQueryNotDefined)
	}
	key, err := d.enc(params)
	if err != nil {
		return none, err
	}
	return typedResult[R](d.def.once(newQueryCtx(context.Background(), *s, nil, key, false), params))
}

func typedResult[R any](v any, err error) (R, error) {
	out, _ := v.(R)
	return out, err
}

// Subscribe keeps the query's result up to date until ctx ends or the
// subscription is closed. All subscribers with equal parameters share one
// evaluation. It returns when the current result is known: if nobody else has
// subscribed, the function is called on the caller's goroutine, and its failure is
// the first event. Errors: ErrQueryNotDefined, ErrClosed, ErrQueryType, the
// context's.
func (d *ReactiveQuery[P, R]) Subscribe(ctx context.Context, params P) (*Subscription[R], error) {
	s, err := d.subscribe(ctx, params, nil)
	if err != nil {
		return nil, err
	}
	return &Subscription[R]{s}, nil
}

// OnChange calls fn with each later result, on a goroutine of the store's that nobody
// else waits for: never two calls at a time, the newest result if it is slow. fn may
// take its time, and write to the store; it must leave the goroutine as it was. A
// panic of fn, and a failure of the query, are reported to Options.OnError and the
// logger. It ends with ctx or by stop, which is idempotent and may be called
// inside fn. Errors: as Subscribe.
func (d *ReactiveQuery[P, R]) OnChange(ctx context.Context, params P, fn func(result R)) (stop func(), err error) {
	if fn == nil {
		return nil, &Error{Op: "subscribe", Err: errNoCallback}
	}
	s, err := d.subscribe(ctx, params, callback(d.st, d.def.name, fn))
	if err != nil {
		return nil, err
	}
	return func() { s.stop(ErrUnsubscribed) }, nil
}

func (d *ReactiveQuery[P, R]) subscribe(ctx context.Context, params P, call func(o *outcome)) (*subscriber, error) {
	key, err := d.enc(params)
	if err != nil {
		return nil, err
	}
	s, err := d.st.live.subscribe(ctx, d.def, params, key, call)
	if err != nil {
		return nil, &Error{Op: "subscribe", Err: queryError(d.def.name, err)}
	}
	return s, nil
}
