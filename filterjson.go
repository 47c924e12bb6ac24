package store

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// ParseFilter makes a filter of its JSON form: an object of which all entries
// must hold. Field names (dotted paths too) map to a value, which the field must
// equal, or to an object of operators:
//
//	{"role": "admin", "age": {"$gte": 18, "$lt": 65}, "address.city": {"$in": ["Brno", "Graz"]}}
//
// Operators: $eq, $ne (or $neq), $gt, $gte, $lt, $lte, $in, $nin, $between (two
// values), $contains, $startsWith, $endsWith, $exists (true or false), and $not
// (an object of operators). At the top, and within them, $and and $or take a list
// of filters, $not takes one. An object without operators is a value to be equal to.
//
// Error: *QueryError that names the field and the operator. Whether fields exist
// and values fit is known when a bucket is asked.
func ParseFilter(m map[string]any) (Filter, error) { return parseFilter(m, 0) }

func parseFilter(m map[string]any, depth int) (Filter, error) {
	if depth > maxFilterDepth {
		return Filter{}, errFilterDepth("")
	}
	var all []Filter
	for _, name := range slices.Sorted(maps.Keys(m)) {
		f, err := parseEntry(name, m[name], depth)
		if err != nil {
			return Filter{}, err
		}
		all = append(all, f)
	}
	return allOf(all), nil
}

// allOf is And without a level for a single filter.
func allOf(filters []Filter) Filter {
	if len(filters) == 1 {
		return filters[0]
	}
	return And(filters...)
}

func parseEntry(name string, v any, depth int) (Filter, error) {
	switch name {
	case "$and", "$or":
		return parseList(name, v, depth)
	case "$not":
		m, ok := v.(map[string]any)
		if !ok {
			return Filter{}, &QueryError{Message: "$not needs a filter"}
		}
		f, err := parseFilter(m, depth+1)
		return Not(f), err
	}
	if strings.HasPrefix(name, "$") {
		return Filter{}, &QueryError{Message: fmt.Sprintf("unknown operator %q", name)}
	}
	if m, ok := v.(map[string]any); ok && len(m) > 0 {
		operators := 0
		for op := range m {
			if strings.HasPrefix(op, "$") {
				operators++
			}
		}
		if operators == len(m) {
			return parseOperators(name, m, depth)
		}
		if operators > 0 {
			return Filter{}, &QueryError{Field: name, Message: "has operators beside other names"}
		}
	}
	return Eq(name, v), nil
}

func parseList(op string, v any, depth int) (Filter, error) {
	list, ok := listOf(v)
	if !ok {
		return Filter{}, &QueryError{Message: op + " needs a list of filters"}
	}
	filters := make([]Filter, len(list))
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return Filter{}, &QueryError{Message: op + " needs a list of filters"}
		}
		var err error
		if filters[i], err = parseFilter(m, depth+1); err != nil {
			return Filter{}, err
		}
	}
	if op == "$or" {
		return Or(filters...), nil
	}
	return And(filters...), nil
}

// parseOperators reads the operators of one field, all of which must hold.
func parseOperators(field string, m map[string]any, depth int) (Filter, error) {
	if depth > maxFilterDepth {
		return Filter{}, errFilterDepth("")
	}
	var all []Filter
	for _, op := range slices.Sorted(maps.Keys(m)) {
		f, err := parseOperator(field, op, m[op], depth)
		if err != nil {
			return Filter{}, err
		}
		all = append(all, f)
	}
	return allOf(all), nil
}

func parseOperator(field, op string, v any, depth int) (Filter, error) {
	bad := func(what string) (Filter, error) {
		return Filter{}, &QueryError{Field: field, Message: fmt.Sprintf("cannot be filtered: %s needs %s", op, what)}
	}
	if p, ok := v.(placeholder); ok {
		return parsePlaceholder(field, op, p)
	}
	switch op {
	case "$eq":
		return Eq(field, v), nil
	case "$ne", "$neq":
		return Ne(field, v), nil
	case "$gt":
		return Gt(field, v), nil
	case "$gte":
		return Gte(field, v), nil
	case "$lt":
		return Lt(field, v), nil
	case "$lte":
		return Lte(field, v), nil
	case "$contains":
		return Contains(field, v), nil
	case "$startsWith":
		return Filter{opHasPrefix, field, v}, nil
	case "$endsWith":
		return Filter{opHasSuffix, field, v}, nil
	case "$exists":
		switch v {
		case true:
			return Exists(field), nil
		case false:
			return Not(Exists(field)), nil
		}
		return bad("true or false")
	case "$in", "$nin":
		list, ok := listOf(v)
		if !ok {
			return bad("a list")
		}
		if op == "$nin" {
			return NotIn(field, list...), nil
		}
		return In(field, list...), nil
	case "$between":
		list, ok := listOf(v)
		if !ok || len(list) != 2 {
			return bad("a list of two values")
		}
		return Between(field, list[0], list[1]), nil
	case "$not":
		m, ok := v.(map[string]any)
		if !ok || len(m) == 0 {
			return bad("an object of operators")
		}
		f, err := parseOperators(field, m, depth+1)
		return Not(f), err
	}
	return Filter{}, &QueryError{Field: field, Message: fmt.Sprintf("cannot be filtered: unknown operator %q", op)}
}

var operatorNames = map[string]filterOp{
	"$eq": opEq, "$ne": opNe, "$neq": opNe, "$gt": opGt, "$gte": opGte, "$lt": opLt, "$lte": opLte, "$between": opBetween,
	"$in": opIn, "$nin": opNotIn, "$contains": opContains, "$startsWith": opHasPrefix, "$endsWith": opHasSuffix, "$exists": opExists,
}

// operatorOf is the operator that reads a parameter as the operand of a filter.
var operatorOf = map[filterOp]string{
	opEq: "$eq", opNe: "$ne", opGt: "$gt", opGte: "$gte", opLt: "$lt", opLte: "$lte", opBetween: "$between",
	opIn: "$in", opNotIn: "$nin", opContains: "$contains", opHasPrefix: "$startsWith", opHasSuffix: "$endsWith", opExists: "$exists",
}

// parsePlaceholder reads an operator whose operand is not known yet.
func parsePlaceholder(field, op string, p placeholder) (Filter, error) {
	if known, ok := operatorNames[op]; ok {
		return Filter{known, field, p}, nil
	}
	return Filter{}, &QueryError{Field: field, Message: fmt.Sprintf("cannot be filtered: no parameter can be the operand of %q", op)}
}

// listOf returns the elements of a slice of any type but bytes.
func listOf(v any) ([]any, bool) {
	if list, ok := v.([]any); ok {
		return list, true
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Slice || rv.Type().Elem().Kind() == reflect.Uint8 {
		return nil, false
	}
	list := make([]any, rv.Len())
	for i := range list {
		list[i] = rv.Index(i).Interface()
	}
	return list, true
}
