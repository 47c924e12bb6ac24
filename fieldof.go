package store

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// TypedField is a field of the struct T whose values are V: filters and orders
// made of it are checked by the compiler for V, and against T's tags when the
// query is asked.
type TypedField[T, V any] struct {
	name string
	err  error
}

// FieldOf names a field of T as the store does, in the struct's tags:
//
//	role := store.FieldOf[User, string]("role")
//	admins, err := users.Where(role.Eq("admin")).All()
//
// A dotted path leads into structs, slices and maps: "address.zip", "lines.0.qty".
//
// If T has no such field, or it is neither a V nor a *V, the queries that it is
// used in fail with a *QueryError. It is made once, and safe for concurrent use.
func FieldOf[T, V any](name string) TypedField[T, V] {
	f := TypedField[T, V]{name: name}
	t, want := reflect.TypeFor[T](), reflect.TypeFor[V]()
	info, issues := inspect(t)
	if len(issues) > 0 {
		f.err = &QueryError{Field: name, Message: fmt.Sprintf("cannot be found: %s is no record type: %s", t, issueList(issues))}
		return f
	}
	switch typ := info.typeAt(name); {
	case typ == nil:
		f.err = &QueryError{Field: name, Message: fmt.Sprintf("is not a field of %s", t)}
	case typ != want && typ != reflect.PointerTo(want):
		f.err = &QueryError{Field: name, Message: fmt.Sprintf("is a %s in %s, not a %s", typ, t, want)}
	}
	return f
}

// typeAt is the Go type of a field, or of what a dotted path inside of one leads
// to; nil if there is none.
func (info *structInfo) typeAt(path string) reflect.Type {
	for _, field := range info.fields {
		if field.name == path {
			return field.typ
		}
	}
	for _, field := range info.fields {
		if rest, ok := strings.CutPrefix(path, field.name+"."); ok {
			if t := typeInside(field.typ, strings.Split(rest, ".")); t != nil {
				return t
			}
		}
	}
	return nil
}

func typeInside(t reflect.Type, path []string) reflect.Type {
	for _, part := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		_, err := strconv.ParseUint(part, 10, 32)
		switch k := t.Kind(); {
		case k == reflect.Map, (k == reflect.Slice || k == reflect.Array) && err == nil:
			t = t.Elem()
		case k == reflect.Struct && t != timeType:
			f := planOf(t).named(part)
			if f == nil {
				return nil
			}
			t = t.FieldByIndex(f.index).Type
		default:
			return nil
		}
	}
	return t
}

// Name returns the field's name.
func (f TypedField[T, V]) Name() string { return f.name }

func (f TypedField[T, V]) filter(x Filter) Filter {
	if f.err != nil {
		return Filter{op: opInvalid, field: f.name, value: f.err}
	}
	return x
}

func (f TypedField[T, V]) list(values []V) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}

// Eq is [Eq] on the field.
func (f TypedField[T, V]) Eq(v V) Filter { return f.filter(Eq(f.name, v)) }

// Ne is [Ne] on the field.
func (f TypedField[T, V]) Ne(v V) Filter { return f.filter(Ne(f.name, v)) }

// Gt is [Gt] on the field.
func (f TypedField[T, V]) Gt(v V) Filter { return f.filter(Gt(f.name, v)) }

// Gte is [Gte] on the field.
func (f TypedField[T, V]) Gte(v V) Filter { return f.filter(Gte(f.name, v)) }

// Lt is [Lt] on the field.
func (f TypedField[T, V]) Lt(v V) Filter { return f.filter(Lt(f.name, v)) }

// Lte is [Lte] on the field.
func (f TypedField[T, V]) Lte(v V) Filter { return f.filter(Lte(f.name, v)) }

// Between is [Between] on the field.
func (f TypedField[T, V]) Between(lo, hi V) Filter { return f.filter(Between(f.name, lo, hi)) }

// In is [In] on the field.
func (f TypedField[T, V]) In(values ...V) Filter { return f.filter(In(f.name, f.list(values)...)) }

// NotIn is [NotIn] on the field.
func (f TypedField[T, V]) NotIn(values ...V) Filter {
	return f.filter(NotIn(f.name, f.list(values)...))
}

// Contains is [Contains] on the field.
func (f TypedField[T, V]) Contains(value any) Filter { return f.filter(Contains(f.name, value)) }

// HasPrefix is [HasPrefix] on the field.
func (f TypedField[T, V]) HasPrefix(text string) Filter { return f.filter(HasPrefix(f.name, text)) }

// HasSuffix is [HasSuffix] on the field.
func (f TypedField[T, V]) HasSuffix(text string) Filter { return f.filter(HasSuffix(f.name, text)) }

// Exists is [Exists] on the field.
func (f TypedField[T, V]) Exists() Filter { return f.filter(Exists(f.name)) }

// Absent matches records without the field.
func (f TypedField[T, V]) Absent() Filter { return f.filter(Not(Exists(f.name))) }

// Asc is [Asc] on the field.
func (f TypedField[T, V]) Asc() Order { return Order{field: f.name, err: f.err} }

// Desc is [Desc] on the field.
func (f TypedField[T, V]) Desc() Order { return Order{field: f.name, desc: true, err: f.err} }
