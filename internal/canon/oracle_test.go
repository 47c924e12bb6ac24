package canon_test

import (
	"math"
	"reflect"
	"time"
	"unsafe"
)

var timeType = reflect.TypeFor[time.Time]()

// oracle is the equality of the package comment, slow and by plain reflection. With zones, times must also have the same
// offset, which is when encodings are equal.
type oracle struct{ zones bool }

func (o oracle) equal(a, b reflect.Value) bool {
	if a.Type() == timeType {
		x, y := a.Interface().(time.Time), b.Interface().(time.Time)
		_, xo := x.Zone()
		_, yo := y.Zone()
		return x.Round(0).Equal(y.Round(0)) && (!o.zones || xo == yo)
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return oracleFloat(a.Float(), b.Float())
	case reflect.Complex64, reflect.Complex128:
		x, y := a.Complex(), b.Complex()
		return oracleFloat(real(x), real(y)) && oracleFloat(imag(x), imag(y))
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type().Field(i).Name != "_" && !o.equal(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !o.equal(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return o.maps(a, b)
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return o.equal(a.Elem(), b.Elem())
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && o.equal(a.Elem(), b.Elem())
	case reflect.Func:
		return a.IsNil() && b.IsNil()
	case reflect.Chan, reflect.UnsafePointer:
		return a.Pointer() == b.Pointer()
	}
	return a.Equal(b)
}

// maps looks for a bijection between the entries.
func (o oracle) maps(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	var keys, values []reflect.Value
	for it := b.MapRange(); it.Next(); {
		keys, values = append(keys, it.Key()), append(values, it.Value())
	}
next:
	for it := a.MapRange(); it.Next(); {
		for i := range keys {
			if keys[i].IsValid() && o.equal(it.Key(), keys[i]) && o.equal(it.Value(), values[i]) {
				keys[i] = reflect.Value{}
				continue next
			}
		}
		return false
	}
	return true
}

func oracleFloat(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// deepCopy shares nothing with v but what has identity, and fills padding, blank fields and spare capacity with other bytes.
func deepCopy(v reflect.Value) reflect.Value {
	p := reflect.New(v.Type())
	if mem := unsafe.Slice((*byte)(p.UnsafePointer()), v.Type().Size()); !pointers(v.Type()) {
		for i := range mem {
			mem[i] = 0xA5
		}
	}
	copyInto(p.Elem(), v)
	return p.Elem()
}

// copyInto sets the parts of dst one by one: an assignment of the whole would take the padding along.
func copyInto(dst, v reflect.Value) {
	if v.Type() == timeType {
		dst.Set(v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "_" {
				copyInto(dst.Field(i), v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			copyInto(dst.Index(i), v.Index(i))
		}
	case reflect.Slice:
		dst.SetZero()
		for i := range v.Len() {
			dst.Set(reflect.Append(dst, deepCopy(v.Index(i))))
		}
		if !v.IsNil() && v.Len() == 0 && v.Cap() == 0 {
			dst.Set(reflect.MakeSlice(v.Type(), 0, 3))
		}
	case reflect.Map:
		dst.SetZero()
		if v.Len() > 0 {
			dst.Set(reflect.MakeMap(v.Type()))
		}
		for it := v.MapRange(); it.Next(); {
			dst.SetMapIndex(deepCopy(it.Key()), deepCopy(it.Value()))
		}
	case reflect.Pointer:
		dst.SetZero()
		if !v.IsNil() {
			dst.Set(deepCopy(v.Elem()).Addr())
		}
	case reflect.Interface:
		dst.SetZero()
		if !v.IsNil() {
			dst.Set(deepCopy(v.Elem()))
		}
	case reflect.String:
		dst.SetString(string([]byte(v.String())))
	default:
		dst.Set(v)
	}
}

// pointers is true for types that the garbage collector looks into: their memory must not be filled with rubbish.
func pointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if pointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return pointers(t.Elem())
	}
	return t.Kind() >= reflect.Array && t.Kind() != reflect.Struct || t.Kind() == reflect.UnsafePointer
}
