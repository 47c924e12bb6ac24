package store

import (
	"encoding/json"
	"math"
	"reflect"
	"time"
)

// measure says why a Go value cannot be kept, as normalize does, but makes nothing:
// what a struct holds stays as it is. It allocates for maps, and for what lies
// behind an any.
func (l limits) measure(rv reflect.Value) *valueError {
	n := normalizer{limits: l, left: l.bytes}
	return n.measure(rv, 0)
}

func (n *normalizer) measure(rv reflect.Value, around int) *valueError {
	rv, ok := indirect(rv)
	if !ok {
		return n.tooDeep()
	}
	if !rv.IsValid() {
		return n.charge(sizeSlot)
	}
	switch t := rv.Type(); rv.Kind() {
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return n.measureMap(rv, around)
		}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return n.charge(sizeBytes + rv.Len())
		}
		return n.measureList(rv, around)
	case reflect.Struct:
		if !t.ConvertibleTo(timeType) {
			return n.measureStruct(rv, around)
		}
	}
	return n.measureScalar(rv)
}

func (n *normalizer) measureMap(rv reflect.Value, around int) *valueError {
	if err := n.enter(around, sizeMap, rv.Len(), sizeEntry+sizeSlot); err != nil {
		return err
	}
	for it := rv.MapRange(); it.Next(); {
		if err := n.key(it.Key().String()); err != nil {
			return err
		}
		if err := n.measure(it.Value(), around+1); err != nil {
			return err
		}
	}
	return nil
}

func (n *normalizer) measureList(rv reflect.Value, around int) *valueError {
	if err := n.enter(around, sizeSlice, rv.Len(), sizeSlot); err != nil {
		return err
	}
	for i := range rv.Len() {
		if err := n.measure(rv.Index(i), around+1); err != nil {
			return err
		}
	}
	return nil
}

func (n *normalizer) measureStruct(rv reflect.Value, around int) *valueError {
	plan := planOf(rv.Type())
	if plan.opaque {
		return errOpaque(rv.Type())
	}
	if err := n.enter(around, sizeMap, 0, 1); err != nil {
		return err
	}
	for i := range plan.fields {
		f := &plan.fields[i]
		fv, ok := fieldByIndex(rv, f.index)
		if !ok {
			continue
		}
		if err := n.key(f.name); err != nil {
			return err
		}
		if err := n.measure(fv, around+1); err != nil {
			return err
		}
	}
	return nil
}

func (n *normalizer) measureScalar(rv reflect.Value) *valueError {
	switch rv.Kind() {
	case reflect.String:
		if rv.Type() == numberType {
			if rv.Len() == 0 {
				return n.charge(sizeNumber)
			}
			_, err := n.number(json.Number(rv.String()))
			return err
		}
		return n.text(rv.String())
	case reflect.Bool:
		return n.charge(sizeSlot)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return n.charge(sizeNumber)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if rv.Uint() > math.MaxInt64 {
			return errIntRange()
		}
		return n.charge(sizeNumber)
	case reflect.Float32, reflect.Float64:
		if f := rv.Float(); f != f {
			return errNaN()
		}
		return n.charge(sizeNumber)
	case reflect.Struct: // a time
		if _, err := canonicalTime(timeIn(rv)); err != nil {
			return err
		}
		return n.charge(sizeTime)
	}
	return errCannotHold(rv.Type())
}

// timeIn is the time in a value of a type that can be converted to one.
func timeIn(rv reflect.Value) time.Time {
	if rv.Type() == timeType && rv.CanAddr() {
		return *rv.Addr().Interface().(*time.Time) // a copy would be allocated
	}
	return rv.Convert(timeType).Interface().(time.Time)
}
