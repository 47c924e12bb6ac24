package exprrules

import (
	"errors"
	"fmt"
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
		check.again()
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

	env = types.Map{}
	for name, t := range sc.env {
		env[name] = t
	}
	reads := &reading{sc: sc, x: x, event: check.event, old: check.old, new: check.new}
	for _, f := range reads.flat() {
		env[f.variable] = f.typ
	}
	x.program, err = expr.Compile(src, append(sc.lk.functions(), expr.Patch(reads), expr.Env(env))...)
	if err != nil {
		// The types of what lookups return are not known here; what they are used for
		// was checked.
		return nil, newExprError(err)
	}
	x.event, x.old, x.new = reads.event.uses(sc, "event"), reads.old.uses(sc, "old"), reads.new.uses(sc, "new")
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

// reading is the visitor of the second pass: it puts variables in place of fields, of
// what is never nil.
type reading struct {
	sc *scope
	x  *expression

	event, old, new counting
}

// typedField is a variable in place of a field, and its type.
type typedField struct {
	variable string
	typ      types.Type
}

func (v *reading) flat() (list []typedField) {
	for name, c := range map[string]*counting{"event": &v.event, "old": &v.old, "new": &v.new} {
		record := v.sc.always[name]
		if record == nil {
			continue
		}
		for _, f := range c.fields {
			typ := record[f]
			if typ == nil {
				typ = types.Any
			}
			list = append(list, typedField{name + "." + f, typ})
		}
	}
	return list
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
