package exprrules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/types"

	"github.com/noex-go/store"
)

// topic is a pattern of topics, compiled. It has a bit for each type of event, as
// the index of rules has a list.
type topic struct {
	bucket string // empty: every one
	types  [4]bool
}

var eventTypes = [...]store.EventType{store.Inserted, store.Updated, store.Deleted}

// parseTopic reads what [store.Store.On] takes.
func parseTopic(text string) (t topic, problem string) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != "bucket" && parts[0] != "*" || parts[1] == "" {
		return t, fmt.Sprintf("%q is no pattern of topics, as bucket.users.inserted is", text)
	}
	if parts[1] != "*" {
		t.bucket = parts[1]
	}
	for _, typ := range eventTypes {
		t.types[typ] = parts[2] == "*" || parts[2] == typ.String()
	}
	if t.types == [4]bool{} {
		return t, fmt.Sprintf("%q does not end with inserted, updated, deleted or *", text)
	}
	return t, ""
}

// schemas are the definitions of buckets, as they are when rules are loaded.
type schemas struct {
	s    *store.Store
	seen map[string]*schema
}

// schema is a bucket's definition, and the type that its records have in expressions.
type schema struct {
	name   string
	def    store.Definition
	record types.Map
}

func (ss *schemas) of(bucket string) (*schema, error) {
	if sc, ok := ss.seen[bucket]; ok {
		return sc, nil
	}
	def, err := ss.s.Definition(bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %q is not defined", bucket)
	}
	sc := &schema{name: bucket, def: def, record: types.Map{
		"_version": types.Int64, "_createdAt": types.Int64, "_updatedAt": types.Int64, "_expiresAt": types.Int64,
	}}
	for name, f := range def.Schema {
		sc.record[name] = typeOf(f.Type)
	}
	if def.Extra {
		sc.record[types.Extra] = types.Any
	}
	ss.seen[bucket] = sc
	return sc, nil
}

// typeOf is the type of a field in expressions. A Number is an int64 or a float64,
// which no type says.
func typeOf(t store.Type) types.Type {
	switch t {
	case store.String:
		return types.String
	case store.Int:
		return types.Int64
	case store.Float:
		return types.Float64
	case store.Bool:
		return types.Bool
	case store.Object:
		return types.TypeOf(map[string]any{})
	case store.Array:
		return types.TypeOf([]any{})
	case store.Date:
		return types.TypeOf(time.Time{})
	case store.Bytes:
		return types.TypeOf([]byte{})
	}
	return types.Any
}

// keyType is the type of keys.
func (sc *schema) keyType() store.Type { return sc.def.Schema[sc.def.Key].Type }

var (
	timeType  = reflect.TypeFor[time.Time]()
	bytesType = reflect.TypeFor[[]byte]()
)

// unknown reports whether nothing is known of a value before it is there.
func unknown(n *nature.Nature) bool {
	return n.Type == nil && !n.Nil || n.Kind == reflect.Interface
}

// fits reports whether a value of a type may be one of a field.
func fits(n *nature.Nature, t store.Type) bool {
	if unknown(n) {
		return true
	}
	number := n.IsInteger || n.IsFloat
	switch t {
	case store.String:
		return n.Kind == reflect.String
	case store.Int, store.Float, store.Number:
		return number
	case store.Bool:
		return n.Kind == reflect.Bool
	case store.Object:
		return n.Kind == reflect.Map
	case store.Array:
		return (n.Kind == reflect.Slice || n.Kind == reflect.Array) && n.Type != bytesType
	case store.Date:
		return n.Type == timeType || n.Kind == reflect.String || number
	case store.Bytes:
		return n.Type == bytesType || n.Kind == reflect.String
	}
	return true
}

// typeName is a type as people know it.
func typeName(n *nature.Nature) string {
	switch {
	case n.Nil:
		return "nil"
	case n.IsInteger:
		return "int"
	case n.IsFloat:
		return "float"
	case n.Type == timeType:
		return "date"
	case n.Type == bytesType:
		return "bytes"
	case n.Kind == reflect.Map:
		return "object"
	case n.Kind == reflect.Slice:
		return "array"
	}
	return n.String()
}

// dummy is some value of a type: what filters are tried with when rules are loaded.
func dummy(t store.Type) any {
	switch t {
	case store.Int, store.Number:
		return int64(0)
	case store.Float:
		return 0.0
	case store.Bool:
		return false
	case store.Object:
		return map[string]any{}
	case store.Array:
		return []any{}
	case store.Date:
		return time.Unix(0, 0)
	case store.Bytes:
		return []byte{}
	}
	return ""
}

// dummyOf is some value of the type that an expression has; ok is false where that
// is not known.
func dummyOf(n *nature.Nature) (v any, ok bool) {
	switch {
	case n.Nil:
		return nil, true
	case unknown(n):
		return nil, false
	case n.IsInteger:
		return int64(0), true
	case n.IsFloat:
		return 0.0, true
	case n.Type == timeType:
		return dummy(store.Date), true
	case n.Type == bytesType:
		return []byte{}, true
	}
	switch n.Kind {
	case reflect.String:
		return "", true
	case reflect.Bool:
		return false, true
	case reflect.Map:
		return map[string]any{}, true
	case reflect.Slice, reflect.Array:
		return []any{}, true
	}
	return nil, false
}

// dummyFor is some value of a field, or of the metadata.
func (sc *schema) dummyFor(field string) any {
	f, ok := sc.def.Schema[field]
	if _, meta := sc.record[field]; !ok && meta {
		return int64(0)
	}
	return dummy(f.Type)
}

// standIn makes a value of a filter whose leaves of type *nature.Nature are not known
// yet: dummies that fit what is asked of the field.
func (sc *schema) standIn(v any, field, op string) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, x := range v {
			switch {
			case slices.Contains([]string{"$and", "$or"}, name) || name == "$not" && field == "":
				m[name] = sc.standIn(x, "", "")
			case strings.HasPrefix(name, "$"):
				m[name] = sc.standIn(x, field, name)
			default:
				m[name] = sc.standIn(x, name, "")
			}
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = sc.standIn(x, field, "")
		}
		return list
	case *nature.Nature:
		if d, ok := dummyOf(v); ok && op != "$in" && op != "$nin" && op != "$between" {
			return d
		}
		one := sc.dummyFor(field)
		switch op {
		case "$in", "$nin":
			if d, ok := dummyOf(v); ok {
				if _, list := d.([]any); !list {
					return d // which is refused
				}
			}
			return []any{one}
		case "$between":
			return []any{one, one}
		case "$exists":
			return true
		case "$contains", "$startsWith", "$endsWith":
			return ""
		}
		return one
	}
	return v
}

// checkFilter tries a filter on its bucket, together with a key, so that it costs
// nothing: the bucket knows best which fields, operators and values go together.
func (ss *schemas) checkFilter(sc *schema, v map[string]any) error {
	filter, err := store.ParseFilter(sc.standIn(v, "", "").(map[string]any))
	if err != nil {
		return err
	}
	b, err := ss.s.Bucket(sc.name)
	if err != nil {
		return err
	}
	_, err = b.Where(store.Eq(sc.def.Key, dummy(sc.keyType())), filter).Exists()
	return err
}
