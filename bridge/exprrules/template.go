package exprrules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/expr-lang/expr/checker/nature"
)

// template is a value of a step: an expression, an object or a list of templates,
// or a value that is what it is.
type template struct {
	part   string
	x      *expression
	names  []string // of object, sorted
	object map[string]*template
	list   []*template // not nil: a list
	value  any
}

func (c *compiler) template(part string, v any) *template {
	t := &template{part: part}
	switch v := v.(type) {
	case string:
		t.x = c.expression(part, v)
	case map[string]any:
		t.object = make(map[string]*template, len(v))
		t.names = slices.Sorted(maps.Keys(v))
		for _, name := range t.names {
			t.object[name] = c.template(part+"."+name, v[name])
		}
	case []any:
		t.list = make([]*template, len(v))
		for i, x := range v {
			t.list[i] = c.template(fmt.Sprintf("%s[%d]", part, i), x)
		}
	default:
		t.value = v
	}
	return t
}

// nature is the type of what the template comes to.
func (t *template) nature() nature.Nature {
	switch {
	case t.x != nil:
		return t.x.nature
	case t.object != nil:
		return nature.NatureOf(map[string]any{})
	case t.list != nil:
		return nature.NatureOf([]any{})
	}
	return nature.NatureOf(t.value)
}

// constant is the value of a template that is a literal.
func (t *template) constant() any {
	if t.x != nil {
		return t.x.constant
	}
	return t.value
}

// tree is a filter as [schema.standIn] takes it.
func (t *template) tree() any {
	switch {
	case t.x != nil && t.x.constant != nil:
		return t.x.constant
	case t.x != nil:
		return &t.x.nature
	case t.object != nil:
		m := make(map[string]any, len(t.object))
		for name, e := range t.object {
			m[name] = e.tree()
		}
		return m
	case t.list != nil:
		list := make([]any, len(t.list))
		for i, e := range t.list {
			list[i] = e.tree()
		}
		return list
	}
	return t.value
}

// evaluate makes the value. Its objects and lists are fresh.
func (t *template) evaluate(j *judging) (any, error) {
	switch {
	case t.x != nil:
		v, err := j.run(t.x)
		if err != nil {
			return nil, &partError{t.part, err}
		}
		return v, nil
	case t.object != nil:
		return t.evaluateObject(j)
	case t.list != nil:
		list := make([]any, len(t.list))
		for i, e := range t.list {
			v, err := e.evaluate(j)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	return t.value, nil
}

func (t *template) evaluateObject(j *judging) (map[string]any, error) {
	m := make(map[string]any, len(t.object))
	for _, name := range t.names {
		v, err := t.object[name].evaluate(j)
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}
