package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// QuerySpec is a query as data, from Go or from JSON:
//
//	{"bucket": "orders", "filter": {"status": "open", "total": {"$gte": "{{ params.least }}"}},
//	 "sort": ["-total", "id"], "limit": 10, "fields": ["id", "total"]}
//
// A value that is the text {{ params.NAME }} stands for the parameter of that
// name when the query is run; a dotted name reaches into it. Define it with
// [Store.DefineSpec] and run it by name.
type QuerySpec struct {
	Bucket string `json:"bucket"`
	// Filter is as in ParseFilter.
	Filter map[string]any `json:"filter,omitempty"`
	// Sort names the fields of OrderBy; a minus in front means descending.
	Sort []string `json:"sort,omitempty"`
	// Limit and Offset are integers or placeholders; nil for none.
	Limit  any `json:"limit,omitempty"`
	Offset any `json:"offset,omitempty"`
	// Fields are those of Select; empty for all.
	Fields []string `json:"fields,omitempty"`
	// Aggregate makes a value of the records; with GroupBy, one of each group.
	Aggregate *Aggregate `json:"aggregate,omitempty"`
	GroupBy   []string   `json:"groupBy,omitempty"`
}

// Aggregate is what a QuerySpec makes of its records.
type Aggregate struct {
	// Op is count, sum, avg, min, max or countDistinct.
	Op    string `json:"op"`
	Field string `json:"field,omitempty"` // for all but count
}

// ParseQuerySpec reads a QuerySpec from JSON. Numbers keep their exact value; a
// member that QuerySpec does not have is an error.
func ParseQuerySpec(data []byte) (QuerySpec, error) {
	var spec QuerySpec
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&spec); err != nil {
		return spec, &QueryError{Message: "the specification is no valid JSON: " + err.Error()}
	}
	if _, err := dec.Token(); err != io.EOF {
		return spec, &QueryError{Message: "the specification is followed by something else"}
	}
	return spec, nil
}

// placeholder is the name of a parameter where its value is not known yet.
type placeholder string

// hasPlaceholder reports whether a value of the filter is to come from
// parameters.
func (f *Filter) hasPlaceholder() bool { return holdsPlaceholder(f.value) }

func holdsPlaceholder(v any) bool {
	switch x := v.(type) {
	case placeholder:
		return true
	case [2]any:
		return holdsPlaceholder(x[0]) || holdsPlaceholder(x[1])
	case []any:
		return slices.ContainsFunc(x, holdsPlaceholder)
	case map[string]any:
		for _, e := range x {
			if holdsPlaceholder(e) {
				return true
			}
		}
	}
	return false
}

// params are the values of placeholders, by name.
type params map[string]any

// newParams takes a map, a struct or nil.
func newParams(v any, lim limits) (params, error) {
	if v == nil {
		return params{}, nil
	}
	c, err := lim.normalize(v)
	if err != nil {
		return nil, &QueryError{Message: "the parameters cannot be used: " + err.msg}
	}
	m, ok := c.(map[string]any)
	if !ok && c != nil {
		return nil, &QueryError{Message: "the parameters must be a struct or a map, not " + typeName(v)}
	}
	return m, nil
}

// value returns what stands for a placeholder.
func (p params) value(name placeholder) (any, error) {
	var v any = map[string]any(p)
	for part := range strings.SplitSeq(string(name), ".") {
		var ok bool
		if v, ok = child(v, part); !ok {
			return nil, &QueryError{Message: fmt.Sprintf("the parameter %q is missing", name)}
		}
	}
	return v, nil
}

// bind puts values in the place of placeholders. A value is a value, whatever it
// is: an object with the name of an operator in it does not become one.
func (p params) bind(v any) (any, error) {
	switch x := v.(type) {
	case placeholder:
		return p.value(x)
	case [2]any:
		lo, err := p.bind(x[0])
		if err != nil {
			return nil, err
		}
		hi, err := p.bind(x[1])
		return [2]any{lo, hi}, err
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			var err error
			if out[i], err = p.bind(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			var err error
			if out[k], err = p.bind(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []Filter:
		out := make([]Filter, len(x))
		for i := range x {
			var err error
			if out[i], err = p.filter(x[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// filter binds the values of a filter. A list that comes as a parameter is the
// list of an In, a pair that of a Between.
func (p params) filter(f Filter) (Filter, error) {
	_, whole := f.value.(placeholder)
	v, err := p.bind(f.value)
	if err != nil {
		return f, err
	}
	if whole {
		return parseOperator(f.field, operatorOf[f.op], v, 0)
	}
	return Filter{f.op, f.field, v}, nil
}

// mark replaces the text of placeholders in a value by placeholders.
func mark(v any, depth int) (any, error) {
	if depth > maxFilterDepth {
		return nil, errFilterDepth("")
	}
	switch x := v.(type) {
	case string:
		return markText(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			r, err := mark(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			var err error
			if out[i], err = mark(e, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

func markText(s string) (any, error) {
	inner, ok := strings.CutPrefix(strings.TrimSpace(s), "{{")
	if !ok {
		if strings.Contains(s, "{{") {
			return nil, &QueryError{Message: "a placeholder must be the whole of a value"}
		}
		return s, nil
	}
	inner, ok = strings.CutSuffix(inner, "}}")
	name, named := strings.CutPrefix(strings.TrimSpace(inner), "params.")
	if !ok || !named || name == "" || strings.ContainsAny(name, "{} \t\n") {
		return nil, &QueryError{Message: "a placeholder must be written {{ params.NAME }}"}
	}
	return placeholder(name), nil
}

// namedSpec is a specification as it was defined: copied, and its filter read.
type namedSpec struct {
	QuerySpec
	filter Filter
}

// prepare copies a specification and reads its filter.
func (spec QuerySpec) prepare() (*namedSpec, error) {
	n := &namedSpec{QuerySpec: spec, filter: And()}
	n.Sort, n.Fields, n.GroupBy = slices.Clone(spec.Sort), slices.Clone(spec.Fields), slices.Clone(spec.GroupBy)
	if spec.Aggregate != nil {
		a := *spec.Aggregate
		n.Aggregate = &a
	}
	var err error
	if n.Limit, err = markCount("limit", spec.Limit); err != nil {
		return nil, err
	}
	if n.Offset, err = markCount("offset", spec.Offset); err != nil {
		return nil, err
	}
	if spec.Filter == nil {
		return n, nil
	}
	own, wrong := limits{maxFilterDepth, math.MaxInt}.normalize(spec.Filter)
	if wrong != nil {
		return nil, &QueryError{Message: "the filter has a value that " + wrong.msg}
	}
	m, err := mark(own, 0)
	if err != nil {
		return nil, err
	}
	n.filter, err = ParseFilter(m.(map[string]any))
	return n, err
}

// markCount checks a limit or an offset: an int or a placeholder afterwards, nil
// if there is none.
func markCount(name string, v any) (any, error) {
	if s, ok := v.(string); ok {
		if m, err := markText(s); err != nil {
			return nil, err
		} else if p, ok := m.(placeholder); ok {
			return p, nil
		}
	}
	if v == nil {
		return nil, nil
	}
	i, wrong := toInt(v)
	if wrong != nil || int64(int(i)) != i {
		return nil, &QueryError{Message: "the " + name + " must be an integer"}
	}
	return int(i), nil
}

// build makes the query that the specification asks for. With nil parameters it
// leaves placeholders in it, to be checked only.
func (spec *namedSpec) build(h *Bucket, p params) (*Query[Record], error) {
	f, limit, offset := spec.filter, spec.Limit, spec.Offset
	if p != nil {
		var err error
		if f, err = p.filter(f); err != nil {
			return nil, err
		}
		for name, v := range map[string]*any{"limit": &limit, "offset": &offset} {
			if *v, err = p.bind(*v); err != nil {
				return nil, err
			}
			if *v, err = markCount(name, *v); err != nil {
				return nil, err
			}
		}
	}
	q := h.Where(f).OrderBy(spec.order()...)
	if len(spec.Fields) > 0 {
		q = q.Select(spec.Fields...)
	}
	if n, ok := limit.(int); ok {
		q = q.Limit(n)
	}
	if n, ok := offset.(int); ok {
		q = q.Offset(n)
	}
	return q, nil
}

func (spec *QuerySpec) order() (order []Order) {
	for _, name := range spec.Sort {
		if field, desc := strings.CutPrefix(name, "-"); desc {
			order = append(order, Desc(field))
		} else {
			order = append(order, Asc(name))
		}
	}
	return order
}

// check finds what is wrong with the specification before it is run.
func (spec *namedSpec) check(b *bucket) error {
	q, err := spec.build(&Bucket{home: b.home}, nil)
	if err != nil {
		return compiler{b: b}.own(err)
	}
	if err := q.check(&plan{dry: true}); err != nil {
		return err
	}
	switch a := spec.Aggregate; {
	case a == nil && len(spec.GroupBy) > 0:
		return &QueryError{Bucket: b.name, Message: "groupBy needs an aggregate"}
	case a == nil:
		return nil
	}
	for _, name := range spec.GroupBy {
		if _, wrong := b.shape.field(name); wrong != "" {
			return &QueryError{b.name, name, wrong}
		}
	}
	return spec.Aggregate.check(b)
}

func (a *Aggregate) check(b *bucket) (err error) {
	switch a.Op {
	case "count":
		if a.Field != "" {
			return &QueryError{b.name, a.Field, "is not needed to count records"}
		}
		return nil
	case "sum", "avg":
		_, err = b.shape.numeric(a.Field)
	case "min", "max":
		_, err = b.shape.ordered(a.Field)
	case "countDistinct":
		if _, wrong := b.shape.field(a.Field); wrong != "" {
			err = &QueryError{b.name, a.Field, wrong}
		}
	default:
		err = &QueryError{Bucket: b.name, Message: fmt.Sprintf("unknown aggregate %q", a.Op)}
	}
	return err
}

// run answers the specification: []Record; with an aggregate, an int, a float64
// or the least or greatest value; with groups, a []Group of those.
func (spec *namedSpec) run(h *Bucket, p params) (any, error) {
	q, err := spec.build(h, p)
	if err != nil {
		return nil, compiler{b: h.use()}.own(err)
	}
	if spec.Aggregate == nil {
		return result(q.All())
	}
	field := spec.Aggregate.Field
	if len(spec.GroupBy) > 0 {
		return spec.runGroups(q.GroupBy(spec.GroupBy...), field)
	}
	switch spec.Aggregate.Op {
	case "count":
		return result(q.Count())
	case "sum":
		return result(q.Sum(field))
	case "avg":
		return result(q.Avg(field))
	case "min":
		v, _, err := q.Min(field)
		return v, err
	case "max":
		v, _, err := q.Max(field)
		return v, err
	}
	return result(q.CountDistinct(field))
}

func (spec *namedSpec) runGroups(g *Grouping[Record], field string) (any, error) {
	switch spec.Aggregate.Op {
	case "count":
		return result(g.Count())
	case "sum":
		return result(g.Sum(field))
	case "avg":
		return result(g.Avg(field))
	case "min":
		return result(g.Min(field))
	case "max":
		return result(g.Max(field))
	}
	return result(g.CountDistinct(field))
}

// result is a value as any, none with an error.
func result[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
