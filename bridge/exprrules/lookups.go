package exprrules

import (
	"errors"
	"fmt"
	"time"

	"github.com/expr-lang/expr"

	"github.com/noex-go/store"
)

// lookups are the functions by which expressions read the store. They read through
// the transaction of the rule that fires. One evaluation at a time uses them.
type lookups struct {
	s    *store.Store
	now  func() time.Time
	most int // records that find may return

	tx *store.Tx // of the firing under way
}

// isLookup reports whether a function reads the store.
func isLookup(name string) bool {
	switch name {
	case "get", "exists", "count", "first", "find":
		return true
	}
	return false
}

// functions are those that expressions have beside their own, some of which they
// replace.
func (l *lookups) functions() []expr.Option {
	return []expr.Option{
		expr.Function("get", l.get),
		expr.Function("exists", l.exists),
		expr.Function("count", l.count),
		expr.Function("first", l.first),
		expr.Function("find", l.find),
		expr.Function("now", func(...any) (any, error) { return l.now(), nil }, new(func() time.Time)),
	}
}

// bucket finds the bucket anew: it may have been dropped since the rules were loaded.
func (l *lookups) bucket(params []any) (*store.Bucket, error) {
	name, ok := params[0].(string)
	if !ok {
		return nil, errors.New("the bucket of a lookup must be a text")
	}
	b, err := l.s.Bucket(name)
	if err != nil || l.tx == nil {
		return b, err
	}
	return b.In(l.tx), nil
}

// query is the question of a lookup with an optional filter.
func (l *lookups) query(params []any) (*store.Query[store.Record], error) {
	b, err := l.bucket(params)
	if err != nil || len(params) < 2 {
		if err != nil {
			return nil, err
		}
		return b.Where(), nil
	}
	m, ok := params[1].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a filter must be an object, not %s", kindOf(params[1]))
	}
	f, err := store.ParseFilter(m)
	if err != nil {
		return nil, err
	}
	return b.Where(f), nil
}

func (l *lookups) get(params ...any) (any, error) {
	b, err := l.bucket(params)
	if err != nil {
		return nil, err
	}
	r, ok := b.Get(params[1])
	if !ok {
		return nil, nil
	}
	return r.Map(), nil
}

func (l *lookups) exists(params ...any) (any, error) {
	q, err := l.query(params)
	if err != nil {
		return nil, err
	}
	return q.Exists()
}

func (l *lookups) count(params ...any) (any, error) {
	q, err := l.query(params)
	if err != nil {
		return nil, err
	}
	return q.Count()
}

func (l *lookups) first(params ...any) (any, error) {
	q, err := l.query(params)
	if err != nil {
		return nil, err
	}
	list, err := q.Limit(1).All()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0].Map(), nil
}

func (l *lookups) find(params ...any) (any, error) {
	q, err := l.query(params)
	if err != nil {
		return nil, err
	}
	records, err := q.Limit(l.most + 1).All()
	if err != nil {
		return nil, err
	}
	if len(records) > l.most {
		return nil, ErrFind
	}
	list := make([]any, len(records))
	for i, r := range records {
		list[i] = r.Map()
	}
	return list, nil
}
