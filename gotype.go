package store

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// Go types that have no memKind of their own (slices, maps, nested structs) are
// stored as they are and handled by reflection, here.

// putRef stores a value in a field of a Go type that has no memKind of its own.
func (s *slot) putRef(v *table.Version, x any, lim limits) *valueError {
	c, err := lim.convert(s.typ, x)
	if err != nil {
		return err
	}
	if c == nil {
		s.clear(v)
		return nil
	}
	return s.assign(v, c)
}

// keep stores a canonical value of the field's type, which the record then owns.
func (s *slot) keep(v *table.Version, c any) *valueError {
	if s.kind == memRef {
		return s.assign(v, c)
	}
	return s.store(v, c)
}

// assign stores a canonical value in a field of a Go type of its own.
func (s *slot) assign(v *table.Version, c any) *valueError {
	fresh := reflect.New(s.goType)
	if err := assign(fresh.Elem(), c); err != nil {
		return err
	}
	if s.ptr {
		*(*unsafe.Pointer)(at(v, s.off)) = fresh.UnsafePointer()
	} else {
		reflect.NewAt(s.goType, at(v, s.off)).Elem().Set(fresh.Elem())
	}
	s.setAbsent(v, false)
	return nil
}

// assign brings a canonical value into a Go value of another type.
func assign(dst reflect.Value, c any) *valueError {
	if c == nil {
		dst.SetZero()
		return nil
	}
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), c)
	}
	mismatch := func() *valueError {
		return &valueError{string(CodeType), fmt.Sprintf("must be a %s, got %s", dst.Type(), typeName(c))}
	}
	if dst.Type() == timeType {
		t, err := toTime(c)
		if err == nil {
			dst.Set(reflect.ValueOf(t))
		}
		return err
	}
	switch dst.Kind() {
	case reflect.Interface:
		if dst.NumMethod() == 0 {
			dst.Set(reflect.ValueOf(cloneValue(c)))
			return nil
		}
	case reflect.String:
		if dst.Type() == numberType {
			s, ok := numberText(c)
			if !ok {
				return mismatch()
			}
			dst.SetString(s)
			return nil
		}
		if s, ok := c.(string); ok {
			dst.SetString(s)
			return nil
		}
	case reflect.Bool:
		if b, ok := c.(bool); ok {
			dst.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, err := toInt(c); err == nil && !dst.OverflowInt(i) {
			dst.SetInt(i)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, err := toInt(c); err == nil && i >= 0 && !dst.OverflowUint(uint64(i)) {
			dst.SetUint(uint64(i))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, err := toFloat(c); err == nil && !dst.OverflowFloat(f) {
			dst.SetFloat(f)
			return nil
		}
	case reflect.Slice:
		if dst.Type().Elem().Kind() == reflect.Uint8 {
			if b, err := toBytes(c); err == nil {
				dst.SetBytes(b)
				return nil
			}
		}
		if list, ok := c.([]any); ok {
			out := reflect.MakeSlice(dst.Type(), len(list), len(list))
			for i, x := range list {
				if err := assign(out.Index(i), x); err != nil {
					return err
				}
			}
			dst.Set(out)
			return nil
		}
	case reflect.Array:
		if list, ok := c.([]any); ok && len(list) == dst.Len() {
			for i, x := range list {
				if err := assign(dst.Index(i), x); err != nil {
					return err
				}
			}
			return nil
		}
		if b, err := toBytes(c); err == nil && dst.Type().Elem().Kind() == reflect.Uint8 && len(b) == dst.Len() {
			reflect.Copy(dst, reflect.ValueOf(b))
			return nil
		}
	case reflect.Map:
		if m, ok := c.(map[string]any); ok && dst.Type().Key().Kind() == reflect.String {
			out := reflect.MakeMapWithSize(dst.Type(), len(m))
			for k, x := range m {
				e := reflect.New(dst.Type().Elem()).Elem()
				if err := assign(e, x); err != nil {
					return err
				}
				out.SetMapIndex(reflect.ValueOf(k).Convert(dst.Type().Key()), e)
			}
			dst.Set(out)
			return nil
		}
	case reflect.Struct:
		if m, ok := c.(map[string]any); ok {
			return assignStruct(dst, m)
		}
	}
	return mismatch()
}

// numberText is a number as a json.Number has it, from which the same comes back.
func numberText(c any) (string, bool) {
	switch x := c.(type) {
	case int64:
		return strconv.FormatInt(x, 10), true
	case float64:
		s := strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0" // or it would be an integer
		}
		return s, !math.IsInf(x, 0)
	}
	return "", false
}

// assignStruct fills a struct by the names that normalize gives its fields.
func assignStruct(dst reflect.Value, m map[string]any) *valueError {
	plan := planOf(dst.Type())
	used := 0
	for _, f := range plan.fields {
		x, ok := m[f.name]
		if !ok {
			continue
		}
		used++
		if err := assign(fieldToSet(dst, f.index), x); err != nil {
			return err
		}
	}
	if used < len(m) {
		return &valueError{string(CodeUnknown), fmt.Sprintf("has fields that %s does not have", dst.Type())}
	}
	return nil
}

// unlimited is for values that were checked before.
var unlimited = limits{math.MaxInt32, math.MaxInt}

// cloneReflect returns a deep copy of a Go value. With tidy it keeps only what a
// record may hold: fields that the record shows, times in UTC; what was tidied
// once stays so.
func cloneReflect(rv reflect.Value, tidy bool) reflect.Value {
	t := rv.Type()
	switch {
	case t == timeType && tidy:
		return reflect.ValueOf(rv.Interface().(time.Time).UTC().Round(0))
	case !tidy && flat(t):
		return rv
	}
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return rv
		}
		out := reflect.New(t.Elem())
		out.Elem().Set(cloneReflect(rv.Elem(), tidy))
		return out
	case reflect.Interface:
		if rv.IsNil() {
			return rv
		}
		// An any: it holds a canonical value, as a field of type Any does.
		out := reflect.New(t).Elem()
		if c, err := unlimited.normalize(rv.Interface()); err == nil && c != nil {
			out.Set(reflect.ValueOf(c))
		}
		return out
	case reflect.Slice:
		if rv.IsNil() {
			return rv
		}
		out := reflect.MakeSlice(t, rv.Len(), rv.Len())
		cloneElements(out, rv, tidy)
		return out
	case reflect.Array:
		out := reflect.New(t).Elem()
		cloneElements(out, rv, tidy)
		return out
	case reflect.Map:
		if rv.IsNil() {
			return rv
		}
		out := reflect.MakeMapWithSize(t, rv.Len())
		for it := rv.MapRange(); it.Next(); {
			out.SetMapIndex(it.Key(), cloneReflect(it.Value(), tidy))
		}
		return out
	case reflect.Struct:
		if t == timeType {
			return rv
		}
		// Only what the record shows: the rest may be anything, cycles included.
		out := reflect.New(t).Elem()
		for _, f := range planOf(t).fields {
			if from, ok := fieldByIndex(rv, f.index); ok {
				fieldToSet(out, f.index).Set(cloneReflect(from, tidy))
			}
		}
		return out
	}
	return rv
}

func cloneElements(out, rv reflect.Value, tidy bool) {
	if e := rv.Type().Elem(); flat(e) && (!tidy || e.Kind() != reflect.Struct && e.Kind() != reflect.Array) {
		reflect.Copy(out, rv)
		return
	}
	for i := range rv.Len() {
		out.Index(i).Set(cloneReflect(rv.Index(i), tidy))
	}
}

// fieldToSet is reflect.Value.FieldByIndex that makes what embedded pointers lack.
func fieldToSet(rv reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if rv.Kind() == reflect.Pointer {
			if rv.IsNil() {
				rv.Set(reflect.New(rv.Type().Elem()))
			}
			rv = rv.Elem()
		}
		rv = rv.Field(i)
	}
	return rv
}

// flat reports whether a copy of a value of the type shares nothing mutable.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		if t == timeType {
			return true // its *Location is immutable
		}
		for i := range t.NumField() {
			if !flat(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}
