package exprrules

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
)

// Variables of the first pass, by the type of what a lookup returns. Their names
// cannot be written.
const (
	intResult  = "count "
	boolResult = "exists "
)

// lookup is a call in an expression, and what it became in the first pass.
type lookup struct {
	name   string
	schema *schema
	call   *ast.CallNode
}

// typing is the visitor of the first pass.
type typing struct {
	sc    *scope
	env   types.Map
	found bool
	calls []lookup
	err   *file.Error

	event, old, new counting
}

// again forgets what it has seen, but for the results of lookups.
func (v *typing) again() {
	v.calls, v.err = nil, nil
	v.event, v.old, v.new = counting{}, counting{}, counting{}
}

func (v *typing) bad(n ast.Node, format string, args ...any) {
	if v.err == nil {
		v.err = &file.Error{Location: n.Location(), Message: fmt.Sprintf(format, args...)}
	}
}

// Visit replaces a lookup.
func (v *typing) Visit(node *ast.Node) {
	if id, ok := (*node).(*ast.IdentifierNode); ok && id.Value == "$env" {
		v.bad(id, "unknown name $env")
	}
	v.uses(*node)
	call, ok := (*node).(*ast.CallNode)
	if !ok {
		return
	}
	id, ok := call.Callee.(*ast.IdentifierNode)
	if !ok || !isLookup(id.Value) {
		return
	}
	args := call.Arguments
	if len(args) == 0 || len(args) > 2 || len(args) == 1 && id.Value == "get" {
		second := "an optional filter"
		if id.Value == "get" {
			second = "a key"
		}
		v.bad(call, "%s takes a bucket and %s", id.Value, second)
		return
	}
	name, ok := args[0].(*ast.StringNode)
	if !ok {
		v.bad(args[0], "the bucket of a lookup must be written out, as a text")
		return
	}
	schema, err := v.sc.ss.of(name.Value)
	if err != nil {
		v.bad(name, "%s", err)
		return
	}
	result := intResult
	switch id.Value {
	case "exists":
		result = boolResult
	case "get", "first":
		result = "record " + schema.name
		v.env[result] = schema.record
	case "find":
		result = "list " + schema.name
		v.env[result] = types.Array(schema.record)
	}
	v.found = true
	v.calls = append(v.calls, lookup{id.Value, schema, call})
	seq := &ast.SequenceNode{Nodes: append(append([]ast.Node(nil), args[1:]...), &ast.IdentifierNode{Value: result})}
	ast.Patch(node, seq)
}

// lookups checks the arguments of lookups, whose types are known by now.
func (v *typing) lookups() *file.Error {
	for _, l := range v.calls {
		if len(l.call.Arguments) < 2 {
			continue
		}
		arg := l.call.Arguments[1]
		if l.name == "get" {
			if t := l.schema.keyType(); !fits(arg.Nature(), t) || arg.Nature().Nil {
				return &file.Error{Location: arg.Location(), Message: fmt.Sprintf("a key of bucket %q is of type %s, not %s", l.schema.name, t, typeName(arg.Nature()))}
			}
			continue
		}
		if _, ok := arg.(*ast.MapNode); !ok {
			return &file.Error{Location: arg.Location(), Message: "a filter must be written out: {field: value}"}
		}
		tree, err := filterTree(arg)
		if err == nil {
			if e := v.sc.ss.checkFilter(l.schema, tree.(map[string]any)); e != nil {
				err = &file.Error{Location: arg.Location(), Message: e.Error()}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// filterTree is a filter as [schema.standIn] takes it.
func filterTree(n ast.Node) (any, *file.Error) {
	switch n := n.(type) {
	case *ast.MapNode:
		m := map[string]any{}
		for _, p := range n.Pairs {
			pair := p.(*ast.PairNode)
			key, ok := pair.Key.(*ast.StringNode)
			if !ok {
				return nil, &file.Error{Location: pair.Location(), Message: "a name in a filter must be written out"}
			}
			v, err := filterTree(pair.Value)
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	case *ast.ArrayNode:
		list := make([]any, len(n.Nodes))
		for i, x := range n.Nodes {
			v, err := filterTree(x)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	if v := literal(n); v != nil {
		return v, nil
	}
	return n.Nature(), nil
}

// counting tells the uses of a variable that name a field, or compare it with nil,
// from all.
type counting struct {
	all, known int
	fields     []string
}

// uses says how the fields are handed over.
func (c *counting) uses(sc *scope, name string) (u uses) {
	u.whole = c.all > c.known
	for _, f := range c.fields {
		if sc.always[name] == nil {
			u.fields = append(u.fields, f)
		} else if flat := (flatField{name + "." + f, f}); !slices.Contains(u.flat, flat) {
			u.flat = append(u.flat, flat)
		}
	}
	return u
}

func (v *typing) counts() map[string]*counting {
	return map[string]*counting{"event": &v.event, "old": &v.old, "new": &v.new}
}

func (v *typing) of(n ast.Node) *counting {
	if id, ok := n.(*ast.IdentifierNode); ok {
		switch id.Value {
		case "event":
			return &v.event
		case "old":
			return &v.old
		case "new":
			return &v.new
		}
	}
	return nil
}

// uses counts.
func (v *typing) uses(n ast.Node) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if c := v.of(n); c != nil {
			c.all++
		}
	case *ast.MemberNode:
		if name, ok := n.Property.(*ast.StringNode); ok {
			if c := v.of(n.Node); c != nil {
				c.known++
				c.fields = append(c.fields, name.Value)
			}
		}
	case *ast.BinaryNode:
		for _, side := range [2][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
			if _, null := side[1].(*ast.NilNode); null {
				if c := v.of(side[0]); c != nil {
					c.known++
				}
			}
		}
	}
}
