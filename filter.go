package store

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Filter is a condition on a record. Filters are compiled against the bucket's
// schema when the query is first asked; an unknown field, or a value that the
// field's type cannot be compared with, is a *QueryError that names both.
//
// A field is named as in the schema. A dotted path reaches into objects and, by
// number, into arrays: "address.city", "tags.0". The names _version, _createdAt,
// _updatedAt and _expiresAt stand for the metadata.
//
// # Comparison
//
// Numbers are compared by their exact value, whatever their types, but for a
// float32 field of a struct, to whose precision the value is rounded first. Dates
// are compared as instants; the value may be whatever the field takes: a
// time.Time, an ISO date, Unix milliseconds. Strings and bytes are compared byte by
// byte; false is before true. In a field of type Any, and behind a path of which the
// schema does not say the type, a value is compared with those of its own kind
// only: there, 5 is neither less nor greater than "5". Objects and arrays can be
// equal, but have no order.
//
// # Absence
//
// There are two truth values. A field that is absent (or null) equals nil and
// nothing else; it is not greater, less, between, nor does it contain, start or
// end with anything. Ne, NotIn and Not are true exactly where Eq, In and the
// filter are not, so Ne("role", "admin") matches records without a role.
type Filter struct {
	op    filterOp
	field string
	value any // by op: the value, []any, [2]any, []Filter, error
}

type filterOp uint8

const (
	opEq filterOp = iota + 1
	opNe
	opGt
	opGte
	opLt
	opLte
	opBetween // [2]any
	opIn      // []any
	opNotIn   // []any
	opContains
	opHasPrefix
	opHasSuffix
	opExists
	opAnd     // []Filter
	opOr      // []Filter
	opNot     // []Filter, one
	opInvalid // error
)

var opNames = [...]string{
	opEq: "=", opNe: "!=", opGt: ">", opGte: ">=", opLt: "<", opLte: "<=", opBetween: "between", opIn: "in", opNotIn: "not in",
	opContains: "contains", opHasPrefix: "starts with", opHasSuffix: "ends with", opExists: "exists", opAnd: "and", opOr: "or", opNot: "not",
}

// owned copies a value that the caller could change.
func owned(v any) any {
	switch v.(type) {
	case nil, string, bool, int, int64, float64, time.Time:
		return v
	}
	if k := reflect.TypeOf(v).Kind(); k != reflect.Map && k != reflect.Slice {
		return v
	}
	return copyOption(v)
}

func ownedList(values []any) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = owned(v)
	}
	return list
}

// Eq matches records whose field has the value; nil matches those without it. A
// value that the field's type cannot have, such as 18.5 of an Int, is an error;
// in a comparison of order it is a number like others.
func Eq(field string, value any) Filter { return Filter{opEq, field, owned(value)} }

// Ne matches the records that Eq does not.
func Ne(field string, value any) Filter { return Filter{opNe, field, owned(value)} }

// Gt matches records whose field is greater than the value.
func Gt(field string, value any) Filter { return Filter{opGt, field, value} }

// Gte matches records whose field is the value or greater.
func Gte(field string, value any) Filter { return Filter{opGte, field, value} }

// Lt matches records whose field is less than the value.
func Lt(field string, value any) Filter { return Filter{opLt, field, value} }

// Lte matches records whose field is the value or less.
func Lte(field string, value any) Filter { return Filter{opLte, field, value} }

// Between matches records whose field is within lo and hi, both included. It is
// an error if lo is greater than hi.
func Between(field string, lo, hi any) Filter { return Filter{opBetween, field, [2]any{lo, hi}} }

// In matches records whose field has one of the values; nil among them matches
// those without it. In with no value matches nothing.
func In(field string, values ...any) Filter { return Filter{opIn, field, ownedList(values)} }

// NotIn matches the records that In does not.
func NotIn(field string, values ...any) Filter { return Filter{opNotIn, field, ownedList(values)} }

// Contains matches records whose string has the text in it, upper and lower case
// alike (by Unicode's simple folding), or whose array has the value as an element.
func Contains(field string, value any) Filter { return Filter{opContains, field, owned(value)} }

// HasPrefix matches records whose string starts with the text, case by case.
func HasPrefix(field, text string) Filter { return Filter{opHasPrefix, field, text} }

// HasSuffix matches records whose string ends with the text, case by case.
func HasSuffix(field, text string) Filter { return Filter{opHasSuffix, field, text} }

// Exists matches records that have the field.
func Exists(field string) Filter { return Filter{op: opExists, field: field} }

// And matches the records that match all filters; And() matches all records.
func And(filters ...Filter) Filter { return Filter{op: opAnd, value: slices.Clone(filters)} }

// Or matches the records that match one of the filters or more; Or() matches
// none.
func Or(filters ...Filter) Filter { return Filter{op: opOr, value: slices.Clone(filters)} }

// Not matches the records that the filter does not.
func Not(f Filter) Filter { return Filter{op: opNot, value: []Filter{f}} }

// maxFilterDepth bounds how deep And, Or and Not may nest.
const maxFilterDepth = 1000

func errFilterDepth(bucket string) error {
	return &QueryError{Bucket: bucket, Message: fmt.Sprintf("the filter is nested deeper than %d levels", maxFilterDepth)}
}
