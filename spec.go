package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
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
	if dec.More() {
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
		if slices.ContainsFunc(x, holdsPlaceholder) {
			return true
		}
	case map[string]any:
		for _, e := range x {
			if holdsPlaceholder(e) {
				return true
			}
		}
	}
	return false
}

// params replaces the placeholders in a value of a specification. With a nil
// map it puts a placeholder where it finds one.
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
	if m == nil {
		m = map[string]any{}
	}
	return m, nil
}

func (p params) replace(v any, depth int) (any, error) {
	if depth > maxFilterDepth {
		return nil, errFilterDepth("")
	}
	switch x := v.(type) {
	case string:
		return p.text(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			r, err := p.replace(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
		return out, nil
	}
	rv := reflect.ValueOf(v)
	if k := rv.Kind(); k != reflect.Slice || rv.Type().Elem().Kind() == reflect.Uint8 {
		return v, nil
	}
	out := make([]any, rv.Len())
	for i := range out {
		var err error
		if out[i], err = p.replace(rv.Index(i).Interface(), depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p params) text(s string) (any, error) {
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
	if p == nil {
		return placeholder(name), nil
	}
	path := strings.Split(name, ".")
	v, ok := p[path[0]]
	if !ok {
		return nil, &QueryError{Message: fmt.Sprintf("the parameter %q is missing", path[0])}
	}
	return follow(v, path[1:]), nil
}

// build makes the query that the specification asks for. With nil parameters it
// leaves placeholders in it, to be checked only.
func (spec *QuerySpec) build(b *bucket, p params) (*Query[Record], error) {
	q := (&Bucket{b: b}).Where()
	if spec.Filter != nil {
		m, err := p.replace(spec.Filter, 0)
		if err != nil {
			return nil, err
		}
		f, err := ParseFilter(m.(map[string]any))
		if err != nil {
			return nil, err
		}
		q = q.Where(f)
	}
	var order []Order
	for _, name := range spec.Sort {
		if field, desc := strings.CutPrefix(name, "-"); desc {
			order = append(order, Desc(field))
		} else {
			order = append(order, Asc(name))
		}
	}
	q = q.OrderBy(order...)
	if len(spec.Fields) > 0 {
		q = q.Select(spec.Fields...)
	}
	for name, v := range map[string]any{"limit": spec.Limit, "offset": spec.Offset} {
		n, given, err := p.count(name, v)
		if err != nil {
			return nil, err
		}
		switch {
		case !given:
		case name == "limit":
			q = q.Limit(n)
		default:
			q = q.Offset(n)
		}
	}
	return q, nil
}

// count reads a limit or an offset; false if there is none, or not yet.
func (p params) count(name string, v any) (n int, given bool, err error) {
	if v, err = p.replace(v, 0); err != nil || v == nil {
		return 0, false, err
	}
	if _, later := v.(placeholder); later {
		return 0, false, nil
	}
	i, wrong := toInt(v)
	if wrong != nil || int64(int(i)) != i {
		return 0, false, &QueryError{Message: "the " + name + " must be an integer"}
	}
	return int(i), true, nil
}

// check finds what is wrong with the specification before it is run.
func (spec *QuerySpec) check(b *bucket) error {
	q, err := spec.build(b, nil)
	if err != nil {
		return compiler{b: b}.own(err)
	}
	q.plan.dry = true
	if err := q.compile(); err != nil {
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
func (spec *QuerySpec) run(b *bucket, p params) (any, error) {
	q, err := spec.build(b, p)
	if err != nil {
		return nil, compiler{b: b}.own(err)
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

func (spec *QuerySpec) runGroups(g *Grouping[Record], field string) (any, error) {
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
