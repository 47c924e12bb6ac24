package exprrules

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/noex-go/store"
)

// scope is what the expressions of one rule are about, by type.
type scope struct {
	ss  *schemas
	env types.Map // event, old, new
	lk  *lookups

	// always are the variables that are never nil: their fields are variables of their
	// own, which costs a third of what a field of a map costs.
	always map[string]types.Map
}

// newScope returns the scope of rules with a pattern: old and new have the type of
// the bucket's records, or none where the pattern is of every bucket; what is never
// there is nil.
func newScope(ss *schemas, lk *lookups, t topic) (*scope, error) {
	record, key := types.Map{types.Extra: types.Any}, types.Type(types.Any)
	if t.bucket != "" {
		sc, err := ss.of(t.bucket)
		if err != nil {
			return nil, err
		}
		record, key = sc.record, typeOf(sc.keyType())
	}
	event := types.Map{
		"type": types.String, "topic": types.String, "bucket": types.String, "key": key,
		"seq": types.Int64, "reason": types.String,
	}
	sc := &scope{
		ss: ss, lk: lk, env: types.Map{"event": event, "old": types.Nil, "new": types.Nil},
		always: map[string]types.Map{"event": event},
	}
	for name, without := range map[string]store.EventType{"new": store.Deleted, "old": store.Inserted} {
		other := store.Inserted + store.Deleted - without
		if t.types[store.Updated] || t.types[other] {
			sc.env[name] = record
			if !t.types[without] {
				sc.always[name] = record
			}
		}
	}
	return sc, nil
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

// uses is which part of a variable an expression reads: fields, as variables of their
// own or in a map; all of it; or, nothing set, whether it is nil.
type uses struct {
	flat   []flatField
	fields []string
	whole  bool
}

// flatField is a field as a variable.
type flatField struct{ variable, field string }

// compile compiles an expression, in two passes. The first one checks types: there
// each lookup is taken for its arguments, one after the other, and then for a
// variable of the type that it returns, which no function of this language could say.
// The second one makes the program; the types of what lookups return are not known
// there, but what is done with them was checked. A panic of the language's own code
// is an error of the expression that caused it.
func (sc *scope) compile(src string) (x *expression, wrong *exprError) {
	defer func() {
		if p := recover(); p != nil {
			x, wrong = nil, &exprError{message: fmt.Sprintf("the expression cannot be compiled: %v", p)}
		}
	}()
	check, program, err := sc.check(src)
	if check.err != nil {
		return nil, locate(src, check.err)
	}
	if err != nil {
		return nil, newExprError(err)
	}
	if err := check.lookups(); err != nil {
		return nil, locate(src, err)
	}
	node := program.Node()
	x = &expression{nature: *node.Nature(), constant: literal(node)}
	env := maps.Clone(sc.env)
	for name, c := range check.counts() {
		u := c.uses(sc, name)
		for _, f := range u.flat {
			env[f.variable] = types.Any
			if t := sc.always[name][f.field]; t != nil {
				env[f.variable] = t
			}
		}
		switch name {
		case "event":
			x.event = u
		case "old":
			x.old = u
		default:
			x.new = u
		}
	}
	x.program, err = expr.Compile(src, append(sc.lk.functions(), expr.Patch(&reading{sc, x}), expr.Env(env))...)
	if err != nil {
		return nil, newExprError(err)
	}
	return x, nil
}

// check is the first pass. It is made twice where there are lookups: the variables
// that stand for what they return are known when they were seen.
func (sc *scope) check(src string) (check *typing, program *vm.Program, err error) {
	env := maps.Clone(sc.env)
	env[intResult], env[boolResult] = types.Int, types.Bool
	check = &typing{sc: sc, env: env}
	for range 2 {
		check.again()
		program, err = expr.Compile(src, append(sc.lk.functions(), expr.Optimize(false), expr.Patch(check), expr.Env(env))...)
		if !check.found {
			break
		}
	}
	return check, program, err
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

// reading is the visitor of the second pass: it puts variables in place of fields, of
// what is never nil.
type reading struct {
	sc *scope
	x  *expression
}

// Visit replaces a field, and notes a lookup.
func (v *reading) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		id, ok := n.Node.(*ast.IdentifierNode)
		name, known := n.Property.(*ast.StringNode)
		if ok && known && v.sc.always[id.Value] != nil {
			ast.Patch(node, &ast.IdentifierNode{Value: id.Value + "." + name.Value})
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && isLookup(id.Value) {
			v.x.looks = true
		}
	}
}

// withoutLookups returns the text of those operands of "and" that an expression
// begins with and that look nothing up; empty if there are none.
func withoutLookups(src string) string {
	tree, err := parser.ParseWithConfig(src, lookupNames())
	if err != nil {
		return ""
	}
	var operands []ast.Node // from the left
	for n := tree.Node; ; {
		b, ok := n.(*ast.BinaryNode)
		if !ok || b.Operator != "and" && b.Operator != "&&" {
			operands = append(operands, n)
			break
		}
		operands = append(operands, b.Right)
		n = b.Left
	}
	slices.Reverse(operands)
	var texts []string
	for _, n := range operands {
		f := finder{}
		ast.Walk(&n, &f)
		if f.found {
			break
		}
		texts = append(texts, "("+n.String()+")")
	}
	return strings.Join(texts, " and ")
}

// lookupNames makes the parser read lookups as it does for compile.
func lookupNames() *conf.Config {
	c := conf.CreateNew()
	for _, opt := range (&lookups{}).functions() {
		opt(c)
	}
	return c
}

// finder looks for a lookup.
type finder struct{ found bool }

// Visit looks.
func (f *finder) Visit(node *ast.Node) {
	if call, ok := (*node).(*ast.CallNode); ok {
		if id, ok := call.Callee.(*ast.IdentifierNode); ok && isLookup(id.Value) {
			f.found = true
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
