package store

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// member is a field of a user's struct that belongs to the schema.
type member struct {
	name string
	off  uintptr // in the struct
	typ  reflect.Type
}

// structInfo is what a struct type says about a bucket.
type structInfo struct {
	def     Definition
	fields  []member
	omit    map[string]bool // fields with omitzero
	hide    []region
	metaOff uintptr
	hasMeta bool

	described int // fields, inside of others
}

var metaType = reflect.TypeFor[Meta]()

// inspect reads a struct's tags. The issues list everything that is wrong.
func inspect(t reflect.Type) (structInfo, []Issue) {
	info := structInfo{def: Definition{Schema: Schema{}}, omit: map[string]bool{}}
	var issues []Issue
	if t.Kind() != reflect.Struct {
		return info, []Issue{{Code: CodeType, Message: fmt.Sprintf("%s is not a struct", t)}}
	}
	var named []namedIndex
	issues = info.walk(t, 0, &named, issues)
	for _, n := range named {
		info.def.Indexes = append(info.def.Indexes, n.fields)
	}
	return info, issues
}

type namedIndex struct {
	name   string
	fields Index
}

func (info *structInfo) walk(t reflect.Type, base uintptr, named *[]namedIndex, issues []Issue) []Issue {
	for i := range t.NumField() {
		f := t.Field(i)
		off := base + f.Offset
		tag, tagged := f.Tag.Lookup("store")
		switch {
		case f.Anonymous && (f.Type == reflect.PointerTo(metaType) || f.Type == metaType && info.hasMeta):
			issues = append(issues, Issue{f.Name, CodeType, "store.Meta is embedded once, by value"})
			continue
		case f.Anonymous && f.Type == metaType:
			info.metaOff, info.hasMeta = off, true
			continue
		case tag == "-" || !f.IsExported() && !f.Anonymous:
			info.hide = append(info.hide, region{off, f.Type})
			continue
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !tagged && f.Type != timeType:
			issues = info.walk(f.Type, off, named, issues)
			continue
		case !f.IsExported():
			info.hide = append(info.hide, region{off, f.Type})
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		bad := func(format string, args ...any) {
			issues = append(issues, Issue{name, CodeType, fmt.Sprintf(format, args...)})
		}
		if _, dup := info.def.Schema[name]; dup {
			bad("two fields of the struct have this name")
			continue
		}
		typ, ok := typeOf(f.Type)
		if !ok {
			bad("a field of Go type %s cannot be stored", f.Type)
			continue
		}
		field := Field{Type: typ}
		info.describe(&field, f.Type, name, nil, &issues)
		eachOption(options, func(opt string) string { return info.option(name, opt, &field, named) }, bad)
		info.def.Schema[name] = field
		info.def.fields = append(info.def.fields, name)
		info.fields = append(info.fields, member{name, off, f.Type})
	}
	return issues
}

// eachOption hands the options of a tag to apply, and what that says to bad.
func eachOption(options string, apply func(opt string) string, bad func(format string, args ...any)) {
	seen := map[string]bool{}
	for options != "" {
		var opt string
		if name, _, _ := strings.Cut(options, "="); name == "pattern" || strings.HasSuffix(name, "items.pattern") {
			opt, options = options, "" // it may contain commas, and is the last
		} else {
			opt, options, _ = strings.Cut(options, ",")
		}
		key, _, _ := strings.Cut(opt, "=")
		if seen[key] && key != "index" {
			bad("option %s is given twice", key)
		}
		seen[key] = true
		if msg := apply(opt); msg != "" {
			bad("%s", msg)
		}
	}
}

// describe gives a field the properties and the items that its Go type has. around
// has the types that it lies in: where one contains itself, it may hold anything.
func (info *structInfo) describe(f *Field, t reflect.Type, path string, around []reflect.Type, issues *[]Issue) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if info.described++; info.described > maxFields || slices.Contains(around, t) {
		return // more than maxFields are refused by the check of the definition
	}
	around = append(around[:len(around):len(around)], t)
	switch {
	case f.Type == Array && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		if typ, ok := typeInner(t.Elem()); ok {
			f.Items = &Field{Type: typ}
			info.describe(f.Items, t.Elem(), path+"[]", around, issues)
		}
	case f.Type == Object && t.Kind() == reflect.Struct:
		f.Properties = Schema{}
		for _, part := range planOf(t).fields {
			sf := t.FieldByIndex(part.index)
			at := path + "." + part.name
			bad := func(format string, args ...any) {
				*issues = append(*issues, Issue{at, CodeType, fmt.Sprintf(format, args...)})
			}
			typ, ok := typeInner(sf.Type)
			if !ok {
				bad("a field of Go type %s cannot be stored", sf.Type)
				continue
			}
			sub := Field{Type: typ}
			info.describe(&sub, sf.Type, at, around, issues)
			_, options, _ := strings.Cut(sf.Tag.Get("store"), ",")
			eachOption(options, sub.option, bad)
			f.Properties[part.name] = sub
			f.names = append(f.names, part.name)
		}
	}
}

// option applies one option of the tag of a field of the bucket, and says what is
// wrong with it.
func (info *structInfo) option(name, opt string, f *Field, named *[]namedIndex) string {
	key, val, hasVal := strings.Cut(opt, "=")
	switch key {
	case "key", "unique", "omitzero":
		if hasVal {
			return fmt.Sprintf("option %s takes no value", key)
		}
	case "index":
		if hasVal && val == "" {
			return "option index= needs a name"
		}
	}
	switch key {
	case "key":
		if info.def.Key != "" {
			return "a struct has one key, and " + info.def.Key + " is it"
		}
		info.def.Key = name
	case "unique":
		f.Unique = true
	case "omitzero":
		info.omit[name] = true
	case "index":
		if !hasVal {
			info.def.Indexes = append(info.def.Indexes, Index{name})
			return ""
		}
		for i := range *named {
			if (*named)[i].name == val {
				(*named)[i].fields = append((*named)[i].fields, name)
				return ""
			}
		}
		*named = append(*named, namedIndex{val, Index{name}})
	default:
		return f.option(opt)
	}
	return ""
}

// option applies one option of a tag that any field may have, at any depth.
func (f *Field) option(opt string) string {
	if rest, ok := strings.CutPrefix(opt, "items."); ok {
		if f.Items == nil {
			return fmt.Sprintf("option %q needs a slice or an array", opt)
		}
		return f.Items.option(rest)
	}
	key, val, hasVal := strings.Cut(opt, "=")
	number := func(set func(*Limit)) string {
		if i, err := strconv.ParseInt(val, 10, 64); err == nil {
			set(Bound(i))
		} else if x, err := strconv.ParseFloat(val, 64); err == nil {
			set(Bound(x))
		} else {
			return fmt.Sprintf("option %s needs a number", key)
		}
		return ""
	}
	length := func(p *int) string {
		n, err := strconv.Atoi(val)
		if err != nil {
			return fmt.Sprintf("option %s needs an integer", key)
		}
		*p = n
		return ""
	}
	switch key {
	case "key", "unique", "omitzero", "index":
		return fmt.Sprintf("option %s is for fields of the bucket, not for what is inside of one", key)
	case "required":
		if hasVal {
			return fmt.Sprintf("option %s takes no value", key)
		}
	default:
		if !hasVal || val == "" && key != "default" && key != "enum" {
			return fmt.Sprintf("option %q is unknown, or needs a value", key)
		}
	}
	switch key {
	case "required":
		f.Required = true
	case "generated":
		switch val {
		case "uuid":
			f.Generated = UUID
		case "cuid":
			f.Generated = CUID
		case "autoincrement":
			f.Generated = Autoincrement
		case "timestamp":
			f.Generated = Timestamp
		default:
			return fmt.Sprintf("unknown generator %q", val)
		}
	case "default":
		x, err := parseTagValue(f.Type, val)
		if err != "" {
			return "default " + err
		}
		f.Default = x
	case "enum":
		for part := range strings.SplitSeq(val, "|") {
			x, err := parseTagValue(f.Type, part)
			if err != "" {
				return "enum " + err
			}
			f.Enum = append(f.Enum, x)
		}
	case "format":
		switch val {
		case "email":
			f.Format = Email
		case "url":
			f.Format = URL
		case "iso-date", "isodate":
			f.Format = ISODate
		default:
			return fmt.Sprintf("unknown format %q", val)
		}
	case "min":
		return number(func(l *Limit) { f.Min = l })
	case "max":
		return number(func(l *Limit) { f.Max = l })
	case "minLength":
		return length(&f.MinLength)
	case "maxLength":
		return length(&f.MaxLength)
	case "pattern":
		f.Pattern = val
	case "ref":
		f.Ref = val
	default:
		return fmt.Sprintf("unknown option %q", key)
	}
	return ""
}

func parseTagValue(t Type, val string) (any, string) {
	switch t {
	case String, Date:
		return val, ""
	case Int:
		if i, err := strconv.ParseInt(val, 10, 64); err == nil {
			return i, ""
		}
		return nil, "needs an integer"
	case Float, Number:
		if f, err := strconv.ParseFloat(val, 64); err == nil {
			return f, ""
		}
		return nil, "needs a number"
	case Bool:
		if b, err := strconv.ParseBool(val); err == nil {
			return b, ""
		}
		return nil, "needs true or false"
	}
	return nil, fmt.Sprintf("cannot be given in a tag for type %s", t)
}

// typeOf is the field type that a Go type stands for.
func typeOf(t reflect.Type) (Type, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == timeType {
		return Date, true
	}
	switch t.Kind() {
	case reflect.String:
		return String, true
	case reflect.Bool:
		return Bool, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Int, true
	case reflect.Float32, reflect.Float64:
		return Float, true
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return Bytes, true
		}
		return Array, storable(t.Elem(), map[reflect.Type]bool{})
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return Bytes, true
		}
		return Array, storable(t.Elem(), map[reflect.Type]bool{})
	case reflect.Map, reflect.Struct:
		return Object, storable(t, map[reflect.Type]bool{})
	case reflect.Interface:
		return Any, t.NumMethod() == 0
	}
	return 0, false
}

// typeInner is typeOf for what is inside of a field: there a json.Number becomes a
// number.
func typeInner(t reflect.Type) (Type, bool) {
	if t == numberType || t.Kind() == reflect.Pointer && t.Elem() == numberType {
		return Number, true
	}
	return typeOf(t)
}

// storable reports whether values of a nested type can be kept: no channels,
// functions and the like, no interfaces with methods, no structs that show
// nothing. seen has the types on the way: recursive ones end there.
func storable(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || t == timeType {
		return true
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Interface:
		return t.NumMethod() == 0
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return storable(t.Elem(), seen)
	case reflect.Map:
		return t.Key().Kind() == reflect.String && storable(t.Elem(), seen)
	case reflect.Struct:
		for _, f := range planOf(t).fields {
			if !storable(t.FieldByIndex(f.index).Type, seen) {
				return false
			}
			for n := 1; n < len(f.index); n++ {
				// Reflection cannot make what an unexported embedded pointer lacks.
				if e := t.FieldByIndex(f.index[:n]); e.Type.Kind() == reflect.Pointer && !e.IsExported() {
					return false
				}
			}
		}
		return !planOf(t).opaque
	}
	return true
}
