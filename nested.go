package store

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// A field of type Object or Array may have rules for what is inside of it, at any
// depth. A nested value is completed and checked as a whole whenever it is
// written, in one walk over the copy that the record owns already: values are
// brought into the form of their type, absent properties generated or given their
// defaults, every rule checked. The walk allocates nothing for a value that needs
// nothing and breaks nothing; the path of an issue is put together only for an
// issue.
//
// Dynamic values are walked here, as trees of canonical values, those of structs
// in nestedgo.go, as they lie in memory.

// inner is the rules for what is inside a value: the properties of an object, or
// the elements of an array.
type inner struct {
	props []property // in the order in which issues are reported
	extra bool
	item  *rules
	// fixed: in a struct's memory nothing can be wrong or missing
	fixed bool
	// calls: functions of the user's fill something in
	calls bool
	// judged: some value inside has a validator
	judged bool
}

// property is one field of an object.
type property struct {
	rules
	name  string
	index []int // in the struct that it is bound to
	ptr   bool  // there: behind a pointer
}

// inside compiles Properties, Extra and Items.
func (k *fieldCompiler) inside(r *rules, f *Field, path string, depth int) {
	if f.Properties != nil && f.Type != Object {
		k.bad(path, "properties need an object, not %s", f.Type)
	}
	if f.Extra && f.Properties == nil {
		k.bad(path, "extra needs properties: without them an object may hold anything")
	}
	if f.Items != nil && f.Type != Array {
		k.bad(path, "items need an array, not %s", f.Type)
	}
	if f.Properties == nil && f.Items == nil {
		return
	}
	if depth > k.lim.depth {
		k.bad(path, "lies deeper than the %d levels that a value may have", k.lim.depth)
		return
	}
	in := &inner{extra: f.Extra}
	for _, name := range f.Properties.inOrder(f.names) {
		sub, at := f.Properties[name], path+"."+name
		if name == "" {
			k.bad(path, "a property needs a name")
		}
		k.nested(&sub, at)
		p := property{name: name, rules: k.compile(&sub, at, depth+1)}
		p.zeroAbsent = p.required || p.hasDefault || p.gen != 0
		in.note(&p.rules)
		in.props = append(in.props, p)
	}
	if f.Items != nil {
		at := path + "[]"
		k.nested(f.Items, at)
		if f.Items.Default != nil || f.Items.Generated != 0 {
			k.bad(at, "an element is there or not: it has no default and is not generated")
		}
		item := k.compile(f.Items, at, depth+1)
		in.note(&item)
		in.item = &item
	}
	r.inner = in
}

// nested refuses what only a field of the bucket can have.
func (k *fieldCompiler) nested(f *Field, path string) {
	if f.Unique {
		k.bad(path, "only a field of the bucket can be unique")
	}
	if f.Generated == Autoincrement {
		k.bad(path, "only a field of the bucket can be an autoincrement")
	}
}

// note takes over what the rules inside ask for.
func (in *inner) note(r *rules) {
	in.calls = in.calls || r.defFunc != nil || r.inner != nil && r.inner.calls
	in.judged = in.judged || r.judged()
}

// judged reports whether the value, or one inside of it, has a validator.
func (r *rules) judged() bool { return r.validate != nil || r.inner != nil && r.inner.judged }

// pathStep is one step of a path: a property, or an element.
type pathStep struct {
	name  string
	index int // ofProperty for a property
}

// ofProperty is the index of what has a name, which may be empty: of an unknown one.
const ofProperty = -1

// insider completes and checks what is inside one value, which the caller owns.
type insider struct {
	lim    limits
	now    time.Time
	dry    bool    // of a definition's default: nothing is filled in
	issues []Issue // the fields are paths from the value on
	err    error   // of a default function: it ends the walk
	grown  bool    // the value may be larger than it was when it was measured

	// The path to the value that is looked at. A slice of near would move it all to
	// the heap.
	depth int
	near  [8]pathStep
	far   []pathStep
}

func (w *insider) push(name string, index int) {
	if s := (pathStep{name, index}); w.depth < len(w.near) {
		w.near[w.depth] = s
	} else {
		w.far = append(w.far[:w.depth-len(w.near)], s)
	}
	w.depth++
}

func (w *insider) pop() { w.depth-- }

// at is the path of the value that is looked at, as it goes behind a field's name.
func (w *insider) at() string {
	var b []byte
	for i := range w.depth {
		s := &w.near[min(i, len(w.near)-1)]
		if i >= len(w.near) {
			s = &w.far[i-len(w.near)]
		}
		if s.index == ofProperty {
			b = append(append(b, '.'), s.name...)
		} else {
			b = append(b, element(s.index)...)
		}
	}
	return string(b)
}

// element is the step of a path to an element of an array.
func element(i int) string { return "[" + strconv.Itoa(i) + "]" }

func (w *insider) wrong(code Code, msg string) {
	w.issues = append(w.issues, Issue{w.at(), code, msg})
}

// report adds the rules that the value breaks.
func (w *insider) report(r *rules, bad broken) {
	if bad != 0 {
		w.issues = r.describe(w.issues, w.at(), bad)
	}
}

// insideError is what is wrong with a value and inside of it. The fields are paths
// from the value on, "" for the value itself.
type insideError struct{ issues []Issue }

func (e *insideError) Error() string { return issueList(e.issues) }

// complete walks through a canonical value of the rules' type that the caller
// owns. Errors: *insideError, *valueError, or that of a default function.
func (r *rules) complete(v any, lim limits, now time.Time) error {
	w := insider{lim: lim, now: now}
	w.look(r, v)
	switch {
	case w.err != nil:
		return w.err
	case len(w.issues) > 0:
		return &insideError{append(r.describe(nil, "", r.checkValue(v)), w.issues...)}
	case w.grown:
		if _, err := lim.normalize(v); err != nil {
			return err
		}
	}
	return nil
}

// look goes into a value whose own rules were checked, or will be.
func (w *insider) look(r *rules, v any) {
	if r.inner == nil || w.err != nil {
		return
	}
	switch x := v.(type) {
	case map[string]any:
		if r.typ == Object {
			w.object(r.inner, x)
		}
	case []any:
		if r.typ == Array && r.inner.item != nil {
			w.array(r.inner.item, x)
		}
	}
}

func (w *insider) object(in *inner, m map[string]any) {
	known := 0
	for i := range in.props {
		p := &in.props[i]
		x, ok := m[p.name]
		if ok {
			known++
		}
		w.push(p.name, ofProperty)
		if x != nil {
			if y, changed := w.value(&p.rules, x); changed {
				m[p.name] = y
			}
		} else if y := w.fill(&p.rules); y != nil {
			m[p.name] = y
		}
		w.pop()
		if w.err != nil {
			return
		}
	}
	if known == len(m) || in.extra {
		return
	}
	var unknown []string
	for name := range m {
		if !in.has(name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		w.push(name, ofProperty)
		w.wrong(CodeUnknown, "is not a property of the schema")
		w.pop()
	}
}

// has reports whether there is a property of that name.
func (in *inner) has(name string) bool { return in.property(name) != nil }

func (in *inner) property(name string) *property {
	for i := range in.props {
		if in.props[i].name == name {
			return &in.props[i]
		}
	}
	return nil
}

func (w *insider) array(item *rules, list []any) {
	for i, x := range list {
		w.push("", i)
		if x == nil {
			w.absent(item)
		} else if y, changed := w.value(item, x); changed {
			list[i] = y
		}
		w.pop()
		if w.err != nil {
			return
		}
	}
}

func (w *insider) absent(r *rules) {
	if r.required {
		w.report(r, brokenRequired)
	}
}

// value brings a value that is there into the form of its type, and checks it.
func (w *insider) value(r *rules, x any) (y any, changed bool) {
	y = x
	if !r.typ.holds(x) {
		c, err := w.lim.convert(r.typ, x)
		if err != nil {
			w.wrong(Code(err.code), err.msg)
			return x, false
		}
		y, changed = c, true
		w.grown = w.grown || r.typ == Date // which is larger than a number
	}
	if r.typ == Float && r.single() { // as it will be held
		f := y.(float64)
		if g := float64(float32(f)); g != f && !math.IsInf(g, 0) {
			y, changed = g, true
		}
	}
	if !r.plain {
		w.report(r, r.checkValue(y))
	}
	w.look(r, y)
	return y, changed
}

// holds reports whether a canonical value is one of the type as it is.
func (t Type) holds(v any) (ok bool) {
	switch v.(type) {
	case string:
		ok = t == String
	case int64:
		ok = t == Int || t == Number
	case float64:
		ok = t == Float || t == Number
	case bool:
		ok = t == Bool
	case map[string]any:
		ok = t == Object
	case []any:
		ok = t == Array
	case time.Time:
		ok = t == Date
	case []byte:
		ok = t == Bytes
	}
	return ok || t == Any
}

// fill is what an absent property becomes, nil if it stays absent.
func (w *insider) fill(r *rules) any {
	if r.gen == 0 && !r.hasDefault {
		w.absent(r)
		return nil
	}
	if w.dry {
		return nil
	}
	var x any
	switch {
	case r.gen != 0:
		x = r.generate(w.now)
	case r.defFunc != nil:
		var err error
		if x, err = callDefault(r.defFunc); err != nil {
			w.err = &Error{Op: "default of property " + w.at()[1:], Err: err}
			return nil
		}
	default:
		x = cloneValue(r.def)
	}
	c, bad := w.lim.convert(r.typ, x)
	if bad != nil {
		w.wrong(Code(bad.code), "its default "+bad.msg)
		return nil
	}
	if c == nil {
		w.absent(r)
		return nil
	}
	w.grown = true
	c, _ = w.value(r, c)
	return c
}

// bind returns the rules for values that lie in memory as a Go type; unfit has
// seen that they can.
func (r *rules) bind(t reflect.Type) rules {
	out := *r
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if out.mem = t; t.Kind() == reflect.Float32 {
		out.narrow()
	}
	if r.inner == nil {
		return out
	}
	in := *r.inner
	in.fixed = true
	switch t.Kind() {
	case reflect.Struct:
		plan := planOf(t)
		in.props = slices.Clone(in.props)
		for i := range in.props {
			p := &in.props[i]
			f := plan.named(p.name)
			if f == nil {
				continue
			}
			ft := t.FieldByIndex(f.index).Type
			p.rules = p.bind(ft)
			p.index, p.ptr = f.index, ft.Kind() == reflect.Pointer
			in.fixed = in.fixed && !p.zeroAbsent && p.rules.fixed()
		}
	case reflect.Slice, reflect.Array:
		if in.item != nil {
			item := in.item.bind(t.Elem())
			in.item = &item
			in.fixed = !item.required && item.fixed()
		}
	default:
		in.fixed = false
		if t.Kind() != reflect.Map {
			break
		}
		in.props = slices.Clone(in.props)
		for i := range in.props {
			in.props[i].rules = in.props[i].bind(t.Elem())
		}
	}
	out.inner = &in
	return out
}

// fixed reports whether a value in a struct's memory breaks none of the rules.
func (r *rules) fixed() bool { return r.plain && (r.inner == nil || r.inner.fixed) }

// single reports whether the rules are those of a float32.
func (r *rules) single() bool { return r.mem != nil && r.mem.Kind() == reflect.Float32 }

// narrow makes the rules those of a float32.
func (r *rules) narrow() {
	r.enum = slices.Clone(r.enum)
	for i, e := range r.enum {
		if f, ok := e.(float64); ok {
			r.enum[i] = float64(float32(f))
		}
	}
	r.min, r.max = r.min.asFloat32(), r.max.asFloat32()
}
