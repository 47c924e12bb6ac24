package canon

import (
	"errors"
	"reflect"
)

var (
	// ErrTooDeep indicates that a value is cyclic or nested deeper than [MaxDepth].
	ErrTooDeep = errors.New("canon: the value is cyclic or nested too deeply")
	// ErrTooLarge indicates that an encoding would be longer than [MaxSize].
	ErrTooLarge = errors.New("canon: the value is too large")
)

// UnencodableError reports a type that has a part without a canonical encoding.
type UnencodableError struct {
	Type reflect.Type // the type that was asked for
	Path string       // from there to the part: fields, "[]" for an element, "[key]" for a map's key; empty for Type itself
	Kind reflect.Kind // what the part is: Func, Chan or UnsafePointer
}

func (e *UnencodableError) Error() string {
	what := e.Kind.String()
	if e.Kind == reflect.UnsafePointer {
		what = "unsafe.Pointer"
	}
	what += " has no canonical encoding"
	switch {
	case e.Path == "":
		return what
	case e.Path[0] == '[':
		return "element " + e.Path + ": " + what
	}
	return "field " + e.Path + ": " + what
}

// refusal finds the first part of t that has no encoding, nil if each has one. Interfaces are left to run time.
func refusal(t reflect.Type) error {
	if path, kind := findRefused(t, "", map[reflect.Type]bool{}); kind != reflect.Invalid {
		return &UnencodableError{t, path, kind}
	}
	return nil
}

// findRefused returns kind Invalid if nothing is refused. A type that was seen is either clean or still being searched.
func findRefused(t reflect.Type, path string, seen map[reflect.Type]bool) (string, reflect.Kind) {
	if seen[t] || isTime(t) {
		return "", reflect.Invalid
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return path, t.Kind()
	case reflect.Pointer:
		return findRefused(t.Elem(), path, seen)
	case reflect.Slice:
		return findRefused(t.Elem(), path+"[]", seen)
	case reflect.Array:
		if t.Len() > 0 {
			return findRefused(t.Elem(), path+"[]", seen)
		}
	case reflect.Map:
		if at, kind := findRefused(t.Key(), path+"[key]", seen); kind != reflect.Invalid {
			return at, kind
		}
		return findRefused(t.Elem(), path+"[]", seen)
	case reflect.Struct:
		return findRefusedField(t, path, seen)
	}
	return "", reflect.Invalid
}

func findRefusedField(t reflect.Type, path string, seen map[reflect.Type]bool) (string, reflect.Kind) {
	if path != "" {
		path += "."
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		if at, kind := findRefused(f.Type, path+f.Name, seen); kind != reflect.Invalid {
			return at, kind
		}
	}
	return "", reflect.Invalid
}
