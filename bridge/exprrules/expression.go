package exprrules

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// scope is what the expressions of one rule are about, by type.
type scope struct {
	ss  *schemas
	env types.Map // event, old, new
	lk  *lookups
}

// newScope returns the scope of rules with a pattern: old and new have the type of
// the bucket's records, or none where the pattern is of every bucket; what is never
// there is nil.
func newScope(ss *schemas, lk *lookups, t topic) (*scope, error) {
	var record types.Type = types.TypeOf(map[string]any{})
	var key types.Type = types.Any
	if t.bucket != "" {
		sc, err := ss.of(t.bucket)
		if err != nil {
			return nil, err
		}
		record, key = sc.record, typeOf(sc.keyType())
	}
	env := types.Map{"old": types.Nil, "new": types.Nil, "event": types.Map{
		"type": types.String, "topic": types.String, "bucket": types.String, "key": key,
		"seq": types.Int64, "reason": types.String,
	}}
	if t.types[1] || t.types[2] { // inserted, updated
		env["new"] = record
	}
	if t.types[2] || t.types[3] { // updated, deleted
		env["old"] = record
	}
	return &scope{ss: ss, env: env, lk: lk}, nil
}

// exprError is what is wrong with an expression: line from 1, column from 0; line 0
// is all of it.
type exprError struct {
	line, column int
	message      string
}

func (e *exprError) Error() string { return e.message }

func newExprError(err error) *exprError {
	var fe *file.Error
	if errors.As(err, &fe) {
		return &exprError{fe.Line, fe.Column, fe.Message}
	}
	return &exprError{message: err.Error()}
}

// expression is one that is compiled, and what it needs.
type expression struct {
	program  *vm.Program
	nature   nature.Nature
	constant any // where it is a literal
	looks    bool

	event, old, new uses
}

// uses is which part of a variable an expression reads.
type uses struct {
	fields []string
	whole  bool
}

// compile compiles an expression, in two passes. The first one checks types: there
// each lookup is taken for its arguments, one after the other, and then for a
// variable of the type that it returns, which no function of this language could say.
// The second one makes the program.
func (sc *scope) compile(src string) (*expression, *exprError) {
	check := &typing{sc: sc}
	env := types.Map{intResult: types.Int, boolResult: types.Bool}
	for name, t := range sc.env {
		env[name] = t
	}
	check.env = env
	opts := append(sc.lk.functions(), expr.Optimize(false), expr.Patch(check), expr.Env(env))
	// Twice: the variables that stand for records are only known when the lookups were
	// seen.
	program, err := expr.Compile(src, opts...)
	if check.found {
		check.err, check.calls = nil, nil
		opts[len(opts)-1] = expr.Env(env)
		program, err = expr.Compile(src, opts...)
	}
	if check.err != nil {
		return nil, locate(src, check.err)
	}
	if err != nil {
		return nil, newExprError(err)
	}
	node := program.Node()
	x := &expression{nature: *node.Nature(), constant: literal(node)}
	if err := check.lookups(); err != nil {
		return nil, locate(src, err)
	}

	reads := &reading{x: x}
	x.program, err = expr.Compile(src, append(sc.lk.functions(), expr.Patch(reads), expr.Env(sc.env))...)
	if err != nil {
		// The types of what lookups return are not known here; what they are used for
		// was checked.
		return nil, newExprError(err)
	}
	x.event, x.old, x.new = reads.event.uses(), reads.old.uses(), reads.new.uses()
	return x, nil
}

func locate(src string, err *file.Error) *exprError {
	return newExprError(err.Bind(file.NewSource(src)))
}

// literal is the value of a node that is one, of a scalar.
func literal(n ast.Node) any {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.IntegerNode:
		return n.Value
	case *ast.FloatNode:
		return n.Value
	case *ast.BoolNode:
		return n.Value
	}
	return nil
}

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

// reading is the visitor of the second pass: it finds what an expression reads.
type reading struct {
	x *expression

	event, old, new counting
}

// counting tells the uses of a variable that name a field, or compare it with nil,
// from all.
type counting struct {
	all, known int
	fields     []string
}

func (c *counting) uses() uses { return uses{c.fields, c.all > c.known} }

func (v *reading) of(n ast.Node) *counting {
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

// Visit counts.
func (v *reading) Visit(node *ast.Node) {
	switch n := (*node).(type) {
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
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && isLookup(id.Value) {
			v.x.looks = true
		}
	}
}

// isTrue reads the value of a condition.
func isTrue(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("is %s, not true or false", kindOf(v))
	}
	return b, nil
}

func kindOf(v any) string {
	if v == nil {
		return "nil"
	}
	if _, ok := v.(time.Time); ok {
		return "a date"
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Map:
		return "an object"
	case reflect.Slice:
		return "an array"
	}
	return fmt.Sprintf("of type %T", v)
}
