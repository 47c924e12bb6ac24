package store

import (
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/noex-go/store/internal/table"
)

// Nested values of structs are completed and checked where they lie, by rules that
// were bound to their Go types (rules.bind). The zero value of a property that is
// required, generated or has a default counts as absent unless it lies behind a
// pointer, as in the bucket's own fields.

// completeMemory walks through the value of a field that has a Go type of its own.
// The version owns it. Errors as those of rules.complete.
func (s *slot) completeMemory(v *table.Version, lim limits, now time.Time) error {
	rv := reflect.NewAt(s.goType, s.mem(v)).Elem()
	w := insider{lim: lim, now: now}
	w.memory(&s.rules, rv, true)
	switch {
	case w.err != nil:
		return w.err
	case len(w.issues) > 0:
		return &insideError{append(s.describe(nil, "", s.check(v)), w.issues...)}
	case w.grown:
		if err := lim.measure(rv); err != nil {
			return err
		}
	}
	return nil
}

// memory checks an addressable value that is there. The rules of the outermost one
// are checked elsewhere.
func (w *insider) memory(r *rules, rv reflect.Value, outer bool) {
	for rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	if !outer && !r.plain {
		w.report(r, r.checkMemory(rv))
	}
	in := r.inner
	if in == nil || in.fixed {
		return
	}
	switch rv.Kind() {
	case reflect.Struct:
		w.structure(in, rv)
	case reflect.Slice, reflect.Array:
		for i := range rv.Len() {
			w.push("", i)
			if e := rv.Index(i); isNil(e) {
				w.absent(in.item)
			} else {
				w.memory(in.item, e, false)
			}
			if w.pop(); w.err != nil {
				return
			}
		}
	default: // a map, or an any: its canonical value, written back
		c, err := unlimited.normalize(rv.Interface())
		if err != nil {
			return // it was measured before
		}
		r.prune(rv, c)
		w.look(r, c)
		if w.err == nil && len(w.issues) == 0 {
			if err := assign(rv, c); err != nil {
				w.wrong(Code(err.code), err.msg)
			}
		}
	}
}

// structure checks the properties of a struct.
func (w *insider) structure(in *inner, rv reflect.Value) {
	for i := range in.props {
		p := &in.props[i]
		w.push(p.name, ofProperty)
		fv, ok := fieldByIndex(rv, p.index)
		if ok && !isNil(fv) && !p.isAbsent(fv) {
			w.memory(&p.rules, fv, false)
		} else if c := w.fill(&p.rules); c != nil {
			if err := assign(fieldToSet(rv, p.index), c); err != nil {
				w.wrong(Code(err.code), "its default "+err.msg)
			}
		}
		if w.pop(); w.err != nil {
			return
		}
	}
}

// isNil reports whether a value is nil, which is absence.
func isNil(rv reflect.Value) bool {
	switch rv.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return rv.IsNil()
	}
	return false
}

// checkMemory is checkValue for a value of a Go type.
func (r *rules) checkMemory(rv reflect.Value) broken {
	switch rv.Kind() {
	case reflect.String:
		if r.typ == String { // a json.Number is a number
			return r.checkText(rv.String())
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.checkNumber(intNumber(rv.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return r.checkNumber(intNumber(int64(rv.Uint())))
	case reflect.Float32, reflect.Float64:
		return r.checkNumber(floatNumber(rv.Float()))
	case reflect.Slice, reflect.Array:
		bad := r.checkLen(rv.Len())
		if r.enum == nil {
			return bad
		}
	case reflect.Bool, reflect.Struct, reflect.Map:
		if r.enum == nil {
			return 0
		}
	}
	c, err := unlimited.normalize(rv.Interface())
	if err != nil {
		return 0 // it was measured before
	}
	return r.checkValue(c)
}

// untouched reports whether a field of a Go type of its own shows what it did. Fields
// that no record shows, and a time's zone, do not count.
func (s *slot) untouched(v, old *table.Version, lim limits) bool {
	t := s.fieldType()
	return lim.alike(reflect.NewAt(t, at(v, s.off)).Elem(), reflect.NewAt(t, at(old, s.off)).Elem())
}

// alike compares a user's value with one of the store's, of the same type: the walk
// ends where that one does.
func (l limits) alike(a, b reflect.Value) bool {
	if isNil(b) || isNil(a) {
		return isNil(a) && isNil(b)
	}
	switch b.Kind() {
	case reflect.Pointer:
		return l.alike(a.Elem(), b.Elem())
	case reflect.Interface:
		x, err := l.normalize(a.Interface())
		return err == nil && identicalValues(x, b.Interface())
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range b.Len() {
			if !l.alike(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for it := b.MapRange(); it.Next(); {
			if x := a.MapIndex(it.Key()); !x.IsValid() || !l.alike(x, it.Value()) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if b.Type() == timeType {
			return timeIn(a).Equal(timeIn(b))
		}
		for _, f := range planOf(b.Type()).fields {
			x, ok := fieldByIndex(a, f.index)
			y, also := fieldByIndex(b, f.index)
			if ok != also || ok && !l.alike(x, y) {
				return false
			}
		}
		return true
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float()) // 0 is not -0
	}
	return a.Equal(b)
}

// unfit says why values of a Go type cannot hold all that the rules allow, each
// issue at its path.
func (r *rules) unfit(t reflect.Type, path string) (issues []Issue) {
	bad := func(format string, args ...any) {
		issues = append(issues, Issue{path, CodeType, fmt.Sprintf(format, args...)})
	}
	if r.inner == nil {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		plan := planOf(t)
		for i := range r.inner.props {
			p := &r.inner.props[i]
			if f := plan.named(p.name); f != nil {
				issues = append(issues, p.unfitValue(t.FieldByIndex(f.index).Type, path+"."+p.name)...)
			} else {
				bad("%s has no property %q, which the bucket has: an object is read and written as a whole", t, p.name)
			}
		}
		for _, f := range plan.fields {
			if !r.inner.has(f.name) && !r.inner.extra {
				bad("the bucket has no property %q, which %s has", f.name, t)
			}
		}
	case reflect.Slice, reflect.Array:
		if r.inner.item != nil {
			issues = append(issues, r.inner.item.unfitValue(t.Elem(), path+"[]")...)
		}
	case reflect.Map:
		for i := range r.inner.props {
			p := &r.inner.props[i]
			issues = append(issues, p.unfitValue(t.Elem(), path+"."+p.name)...)
		}
	}
	return issues
}

// unfitValue is unfit with the type of the value itself.
func (r *rules) unfitValue(t reflect.Type, path string) []Issue {
	got, ok := typeInner(t)
	if !ok || !r.typ.into(got) {
		return []Issue{{path, CodeType, fmt.Sprintf("is a %s in the bucket, and %s in the struct", r.typ, t)}}
	}
	if r.typ == Int || r.typ == Float {
		held := r.mem
		if held == nil {
			held = goTypes[r.typ]
		}
		if s := (slot{rules: *r, kind: memOf(held), size: held.Size()}); !s.fits(t) {
			return []Issue{{path, CodeType, fmt.Sprintf("has values in the bucket that %s cannot hold: bound it by min and max", t)}}
		}
	}
	if r.def != nil {
		if err := assign(reflect.New(t).Elem(), r.def); err != nil {
			return []Issue{{path, Code(err.code), "its default " + err.msg}}
		}
	}
	return r.unfit(t, path)
}

// into reports whether a struct's field of type got can show a field of type t.
func (t Type) into(got Type) bool {
	return got == t || t == Number && (got == Any || got == Float) || got == Any && (t == Object || t == Array)
}
