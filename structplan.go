package store

import (
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// How a struct is shown as an object: which fields it has, and by which names.

// structPlan says how a struct type becomes a map.
type structPlan struct {
	fields []structField
	opaque bool // only unexported fields: an empty map would lose the value silently
}

type structField struct {
	name   string
	index  []int
	tagged bool
}

// structPlans remembers the plan of each reflect.Type. It is package state against the style guide: a pure memo, as
// encoding/json has it, that no caller can observe.
var structPlans sync.Map

func planOf(t reflect.Type) structPlan {
	if p, ok := structPlans.Load(t); ok {
		return p.(structPlan)
	}
	p := newStructPlan(t)
	structPlans.Store(t, p)
	return p
}

// embedded is a struct type whose fields are promoted, and the path to it.
type embedded struct {
	t     reflect.Type
	index []int
}

// newStructPlan follows the rules of encoding/json, one level of embedding after the other: a shallower field hides a
// deeper one of the same name; at one level a tagged field wins, else all of that name are left out.
func newStructPlan(t reflect.Type) structPlan {
	var p structPlan
	hidden := false // an unexported field was passed over
	visited := map[reflect.Type]bool{}
	names := map[string]bool{}
	for level := []embedded{{t: t}}; len(level) > 0; {
		var found []structField
		var next []embedded
		for _, e := range level {
			visited[e.t] = true
			for i := range e.t.NumField() {
				f := e.t.Field(i)
				index := append(e.index[:len(e.index):len(e.index)], i)
				name, tagged, promote := fieldName(f)
				switch {
				case promote != nil:
					next = append(next, embedded{promote, index})
				case name != "":
					found = append(found, structField{name, index, tagged})
				case !f.IsExported():
					hidden = true
				}
			}
		}
		p.fields = append(p.fields, dominant(found, names)...)
		level = level[:0]
		for _, e := range next {
			if !visited[e.t] {
				level = append(level, e)
			}
		}
	}
	p.opaque = hidden && len(p.fields) == 0
	return p
}

// named returns the field with a name, nil if there is none.
func (p structPlan) named(name string) *structField {
	for i := range p.fields {
		if p.fields[i].name == name {
			return &p.fields[i]
		}
	}
	return nil
}

// fieldName returns the key of a field, or "" for one that is left out, or the struct type whose fields stand in for it.
// A name in a tag of the store's goes before one of json.
func fieldName(f reflect.StructField) (name string, tagged bool, promote reflect.Type) {
	own, json := f.Tag.Get("store"), f.Tag.Get("json")
	if own == "-" || own == "" && json == "-" {
		return "", false, nil
	}
	if name, _, _ = strings.Cut(own, ","); name == "" && json != "-" {
		name, _, _ = strings.Cut(json, ",")
	}
	if !utf8.ValidString(name) {
		name = ""
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	inner := f.Anonymous && t.Kind() == reflect.Struct && !t.ConvertibleTo(timeType)
	switch {
	case inner && name == "":
		return "", false, t
	case !f.IsExported():
		return "", false, nil
	case name != "":
		return name, true, nil
	}
	return f.Name, false, nil
}

// dominant returns the fields of one level that get their name, and adds all names to those taken.
func dominant(found []structField, names map[string]bool) []structField {
	type count struct{ all, tagged int }
	counts := map[string]count{}
	for _, f := range found {
		c := counts[f.name]
		c.all++
		if f.tagged {
			c.tagged++
		}
		counts[f.name] = c
	}
	var out []structField
	for _, f := range found {
		c := counts[f.name]
		if !names[f.name] && (c.all == 1 || c.tagged == 1 && f.tagged) {
			out = append(out, f)
		}
	}
	for name := range counts {
		names[name] = true
	}
	return out
}

// fieldByIndex is reflect.Value.FieldByIndex, but false instead of a panic behind a nil embedded pointer.
func fieldByIndex(rv reflect.Value, index []int) (reflect.Value, bool) {
	for _, i := range index {
		if rv.Kind() == reflect.Pointer {
			if rv.IsNil() {
				return reflect.Value{}, false
			}
			rv = rv.Elem()
		}
		rv = rv.Field(i)
	}
	return rv, true
}
