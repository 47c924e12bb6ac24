package store

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// A dynamic value is stored in canonical form, one Go type per kind of value, so that nothing after normalize needs
// reflection or meets a surprise:
//
//	string            valid UTF-8
//	int64, float64    never NaN; a whole float64 stays one
//	bool
//	time.Time         UTC, no monotonic clock, years 1 to 9999
//	[]byte
//	map[string]any    of canonical values
//	[]any             of canonical values
//	nil
//
// A nil map or slice becomes an empty one, as Go treats it; only nil itself and nil pointers are null.

// Codes of a valueError. The message never contains the value.
const (
	codeType   = "type"   // not a value of this kind
	codeFormat = "format" // the right kind, but malformed
	codeMax    = "max"    // too deep, too big, out of range
)

type valueError struct{ code, msg string }

func (e *valueError) Error() string { return e.msg }

func errWant(what string, got any) *valueError {
	return &valueError{codeType, "must be " + what + ", got " + typeName(got)}
}

func errNaN() *valueError  { return &valueError{codeType, "must not be NaN"} }
func errUTF8() *valueError { return &valueError{codeFormat, "is not valid UTF-8"} }
func errYear() *valueError { return &valueError{codeFormat, "must be within the years 1 to 9999"} }

func errIntRange() *valueError { return &valueError{codeMax, "is out of int64 range"} }

// maxPointers bounds the pointers and interfaces followed to reach one value; longer chains are cycles.
const maxPointers = 100

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
	objectType = reflect.TypeFor[map[string]any]()
	arrayType  = reflect.TypeFor[[]any]()
)

// limits bounds one value: how deep its maps and slices nest (a scalar is 0 deep, an empty map 1), and its sizeOf.
type limits struct{ depth, bytes int }

// normalize returns a canonical deep copy of v that shares nothing mutable with it. A cycle ends in the depth error; a
// value that grows by repetition ends in the size error before it is built, exactly when sizeOf of the result would
// exceed the limit. Structs become maps as encoding/json would have it, except that omitempty is ignored.
func (l limits) normalize(v any) (any, *valueError) {
	n := normalizer{limits: l, left: l.bytes}
	out, err := n.value(v, 0)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// normalizer is one walk. Its methods take the number of containers around the value; next to an error, the value that
// they return means nothing.
type normalizer struct {
	limits
	left int  // bytes
	nils bool // nil slices and maps stay nil
}

func (n *normalizer) charge(size int) *valueError {
	if n.left -= size; n.left < 0 {
		return n.tooBig()
	}
	return nil
}

func (n *normalizer) tooBig() *valueError {
	return &valueError{codeMax, "larger than " + strconv.Itoa(n.bytes) + " bytes"}
}

func (n *normalizer) tooDeep() *valueError {
	return &valueError{codeMax, "nested deeper than " + strconv.Itoa(n.depth) + " levels"}
}

// value returns v itself where it can: boxing a scalar anew would allocate.
func (n *normalizer) value(v any, around int) (any, *valueError) {
	switch x := v.(type) {
	case nil:
		return nil, n.charge(sizeSlot)
	case string:
		return v, n.text(x)
	case bool:
		return v, n.charge(sizeSlot)
	case int64:
		return v, n.charge(sizeNumber)
	case float64:
		if math.IsNaN(x) {
			return nil, errNaN()
		}
		return v, n.charge(sizeNumber)
	case int:
		return int64(x), n.charge(sizeNumber)
	case json.Number:
		return n.number(x)
	case time.Time:
		t, err := canonicalTime(x)
		if err != nil {
			return nil, err
		}
		return t, n.charge(sizeTime)
	case []byte:
		if err := n.charge(sizeBytes + len(x)); err != nil {
			return nil, err
		}
		return cloneBytes(x), nil
	case map[string]any:
		return n.object(x, around)
	case []any:
		return n.array(x, around)
	case placeholder: // of a QuerySpec; nobody else can make one
		return v, n.text(string(x))
	}
	return n.reflected(reflect.ValueOf(v), around)
}

func (n *normalizer) text(s string) *valueError {
	if err := n.charge(sizeString + len(s)); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return errUTF8()
	}
	return nil
}

func (n *normalizer) key(s string) *valueError {
	if err := n.charge(sizeEntry + len(s)); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return &valueError{codeFormat, "has a key that is not valid UTF-8"}
	}
	return nil
}

func (n *normalizer) number(s json.Number) (any, *valueError) {
	i, f, isFloat, err := numberOf(s)
	switch {
	case err != nil:
		return nil, err
	case isFloat:
		return f, n.charge(sizeNumber)
	}
	return i, n.charge(sizeNumber)
}

// enter charges for a container of count elements, and refuses before anything is allocated for them: each element
// takes at least min bytes. The elements are charged one by one.
func (n *normalizer) enter(around, size, count, min int) *valueError {
	if around >= n.depth {
		return n.tooDeep()
	}
	if err := n.charge(size); err != nil {
		return err
	}
	if count > n.left/min {
		return n.tooBig()
	}
	return nil
}

func (n *normalizer) object(m map[string]any, around int) (any, *valueError) {
	if err := n.enter(around, sizeMap, len(m), sizeEntry+sizeSlot); err != nil {
		return nil, err
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		if err := n.key(k); err != nil {
			return nil, err
		}
		c, err := n.value(v, around+1)
		if err != nil {
			return nil, err
		}
		out[k] = c
	}
	return out, nil
}

func (n *normalizer) array(s []any, around int) (any, *valueError) {
	if err := n.enter(around, sizeSlice, len(s), sizeSlot); err != nil {
		return nil, err
	}
	out := make([]any, len(s))
	for i, v := range s {
		c, err := n.value(v, around+1)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// reflected takes every type that value has no case for.
func (n *normalizer) reflected(rv reflect.Value, around int) (any, *valueError) {
	rv, ok := indirect(rv)
	if !ok {
		return nil, n.tooDeep()
	}
	if !rv.IsValid() {
		return nil, n.charge(sizeSlot)
	}
	t := rv.Type()
	if k := rv.Kind(); n.nils && (k == reflect.Slice || k == reflect.Map) && rv.IsNil() {
		return nil, nil
	}
	if t == objectType || t == arrayType {
		return n.value(rv.Interface(), around)
	}
	switch rv.Kind() {
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return n.reflectedMap(rv, around)
		}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() != reflect.Uint8 {
			return n.reflectedList(rv, around)
		}
		if err := n.charge(sizeBytes + rv.Len()); err != nil { // before basic copies an array
			return nil, err
		}
		return copyBytes(rv), nil
	case reflect.Struct:
		if !t.ConvertibleTo(timeType) {
			return n.reflectedStruct(rv, around)
		}
	}
	if v, ok := basic(rv); ok {
		switch x := v.(type) {
		case uint64:
			i, err := fromUint(x)
			if err != nil {
				return nil, err
			}
			v = i
		case json.Number:
			if x == "" { // the zero value, as encoding/json has it
				v = int64(0)
			}
		}
		return n.value(v, around)
	}
	return nil, errCannotHold(t)
}

func errCannotHold(t reflect.Type) *valueError {
	return &valueError{codeType, "cannot hold a " + t.String()}
}

func errOpaque(t reflect.Type) *valueError {
	return &valueError{codeType, "cannot hold a " + t.String() + ": it has no exported fields"}
}

func (n *normalizer) reflectedMap(rv reflect.Value, around int) (any, *valueError) {
	if err := n.enter(around, sizeMap, rv.Len(), sizeEntry+sizeSlot); err != nil {
		return nil, err
	}
	out := make(map[string]any, rv.Len())
	for iter := rv.MapRange(); iter.Next(); {
		k := iter.Key().String()
		if err := n.key(k); err != nil {
			return nil, err
		}
		c, err := n.reflected(iter.Value(), around+1)
		if err != nil {
			return nil, err
		}
		out[k] = c
	}
	return out, nil
}

func (n *normalizer) reflectedList(rv reflect.Value, around int) (any, *valueError) {
	if err := n.enter(around, sizeSlice, rv.Len(), sizeSlot); err != nil {
		return nil, err
	}
	out := make([]any, rv.Len())
	for i := range out {
		c, err := n.reflected(rv.Index(i), around+1)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

func (n *normalizer) reflectedStruct(rv reflect.Value, around int) (any, *valueError) {
	plan := planOf(rv.Type())
	if plan.opaque {
		return nil, errOpaque(rv.Type())
	}
	if err := n.enter(around, sizeMap, 0, 1); err != nil {
		return nil, err
	}
	out := make(map[string]any, len(plan.fields))
	for _, f := range plan.fields {
		fv, ok := fieldByIndex(rv, f.index)
		if !ok {
			continue
		}
		if err := n.key(f.name); err != nil {
			return nil, err
		}
		c, err := n.reflected(fv, around+1)
		if err != nil {
			return nil, err
		}
		out[f.name] = c
	}
	return out, nil
}

// indirect follows pointers and interfaces. A nil one gives the zero reflect.Value, a cycle false.
func indirect(rv reflect.Value) (reflect.Value, bool) {
	for range maxPointers {
		if k := rv.Kind(); k != reflect.Pointer && k != reflect.Interface {
			return rv, true
		}
		rv = rv.Elem()
	}
	return reflect.Value{}, false
}

// basic returns the scalar in rv as the plain type of its kind: string, json.Number, bool, int64, uint64, float64,
// time.Time or []byte (a copy of an array, a slice as it is).
func basic(rv reflect.Value) (any, bool) {
	t := rv.Type()
	switch rv.Kind() {
	case reflect.String:
		if t == numberType {
			return json.Number(rv.String()), true
		}
		return rv.String(), true
	case reflect.Bool:
		return rv.Bool(), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return rv.Int(), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return rv.Uint(), true
	case reflect.Float32, reflect.Float64:
		return rv.Float(), true
	case reflect.Struct:
		if t.ConvertibleTo(timeType) {
			return rv.Convert(timeType).Interface(), true
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return rv.Bytes(), true
		}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return copyBytes(rv), true
		}
	}
	return nil, false
}

// copyBytes copies a slice or an array of a byte kind.
func copyBytes(rv reflect.Value) []byte {
	if rv.Kind() == reflect.Array && !rv.CanAddr() {
		p := reflect.New(rv.Type()).Elem()
		p.Set(rv)
		return p.Bytes()
	}
	return cloneBytes(rv.Bytes())
}

func cloneBytes(b []byte) []byte {
	return append(make([]byte, 0, len(b)), b...)
}

// cloneValue returns a deep copy of a canonical value. Scalars are immutable and returned as they are.
func cloneValue(v any) any {
	switch x := v.(type) {
	case []byte:
		return cloneBytes(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = cloneValue(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = cloneValue(e)
		}
		return out
	}
	return v
}

// equalValues is deep equality of canonical values. Numbers are compared by their exact value, whatever their types.
func equalValues(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case int64:
		switch y := b.(type) {
		case int64:
			return x == y
		case float64:
			return equalIntFloat(x, y)
		}
	case float64:
		switch y := b.(type) {
		case int64:
			return equalIntFloat(y, x)
		case float64:
			return x == y
		}
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case []byte:
		y, ok := b.([]byte)
		return ok && string(x) == string(y)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equalValues)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equalValues)
	}
	return false
}

// identicalValues reports whether two values cannot be told apart: of the same
// type, too, where equalValues compares numbers of two, and 0 with -0.
func identicalValues(a, b any) bool {
	switch x := a.(type) {
	case int64:
		y, ok := b.(int64)
		return ok && x == y
	case float64:
		y, ok := b.(float64)
		return ok && math.Float64bits(x) == math.Float64bits(y)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, identicalValues)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, identicalValues)
	}
	return equalValues(a, b)
}

// equalIntFloat compares as integers: as floats, 2^53+1 would equal 2^53.
func equalIntFloat(i int64, f float64) bool {
	return inInt64(f) && int64(f) == i && f == math.Trunc(f)
}

// inInt64 reports whether f, cut to its whole part, fits; 2^63 is exact as a float64, 2^63-1 is not.
func inInt64(f float64) bool { return f >= -(1<<63) && f < 1<<63 }

// Estimated bytes of canonical values on a 64-bit machine: the interface that holds them, and what it points to.
const (
	sizeSlot   = 16
	sizeNumber = sizeSlot + 8
	sizeString = sizeSlot + 16
	sizeTime   = sizeSlot + 24
	sizeBytes  = sizeSlot + 24
	sizeSlice  = sizeSlot + 24
	sizeMap    = sizeSlot + 48
	sizeEntry  = 24 // a key and its share of the table; the value is counted beside it
)

// sizeOf estimates the bytes of a canonical value, shared strings counted each time.
func sizeOf(v any) int {
	switch x := v.(type) {
	case int64, float64:
		return sizeNumber
	case string:
		return sizeString + len(x)
	case time.Time:
		return sizeTime
	case []byte:
		return sizeBytes + len(x)
	case map[string]any:
		size := sizeMap
		for k, e := range x {
			size += sizeEntry + len(k) + sizeOf(e)
		}
		return size
	case []any:
		size := sizeSlice
		for _, e := range x {
			size += sizeOf(e)
		}
		return size
	}
	return sizeSlot
}
