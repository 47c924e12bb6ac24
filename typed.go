package store

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/table"
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
		seen := map[string]bool{}
		for options != "" {
			var opt string
			if strings.HasPrefix(options, "pattern=") { // it may contain commas, and is the last
				opt, options = options, ""
			} else {
				opt, options, _ = strings.Cut(options, ",")
			}
			key, _, _ := strings.Cut(opt, "=")
			if seen[key] && key != "index" {
				bad("option %s is given twice", key)
			}
			seen[key] = true
			if msg := info.option(name, opt, &field, named); msg != "" {
				bad("%s", msg)
			}
		}
		info.def.Schema[name] = field
		info.def.fields = append(info.def.fields, name)
		info.fields = append(info.fields, member{name, off, f.Type})
	}
	return issues
}

// option applies one option of a tag and says what is wrong with it.
func (info *structInfo) option(name, opt string, f *Field, named *[]namedIndex) string {
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
	case "key", "required", "unique", "omitzero":
		if hasVal {
			return fmt.Sprintf("option %s takes no value", key)
		}
	case "index":
		if hasVal && val == "" {
			return "option index= needs a name"
		}
	default:
		if !hasVal || val == "" && key != "default" && key != "enum" {
			return fmt.Sprintf("option %q is unknown, or needs a value", key)
		}
	}
	switch key {
	case "key":
		if info.def.Key != "" {
			return "a struct has one key, and " + info.def.Key + " is it"
		}
		info.def.Key = name
	case "required":
		f.Required = true
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

// memOf is how a Go type lies in memory.
func memOf(t reflect.Type) (kind memKind) {
	if t == timeType {
		return memTime
	}
	switch t.Kind() {
	case reflect.String:
		return memString
	case reflect.Bool:
		return memBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return memInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return memUint
	case reflect.Float32, reflect.Float64:
		return memFloat
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return memBytes
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return memAny
		}
	}
	return memRef
}

// goTypes are the Go types in which a dynamic bucket holds its fields.
var goTypes = [...]reflect.Type{
	String: reflect.TypeFor[string](),
	Int:    reflect.TypeFor[int64](),
	Float:  reflect.TypeFor[float64](),
	Number: reflect.TypeFor[number](),
	Bool:   reflect.TypeFor[bool](),
	Object: reflect.TypeFor[any](),
	Array:  reflect.TypeFor[any](),
	Date:   timeType,
	Bytes:  reflect.TypeFor[[]byte](),
	Any:    reflect.TypeFor[any](),
}

// newShape lays out the records of a bucket: around the struct t, or, if t is
// nil, in a struct of its own.
func newShape(bucket string, d *Definition, compiled []rules, t reflect.Type, info *structInfo, lim limits) *shape {
	sh := &shape{bucket: bucket, lim: lim, extra: d.Extra, byName: map[string]int{}}
	names := d.fieldNames()
	sh.slots = make([]slot, len(names))
	if t == nil {
		parts := make([]reflect.StructField, len(names))
		for i, name := range names {
			parts[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: goTypes[d.Schema[name].Type]}
		}
		t = reflect.StructOf(parts)
	}
	sh.body = t
	header := []reflect.StructField{{Name: "Head", Type: reflect.TypeFor[table.Version]()}}
	if info == nil || !info.hasMeta {
		header = append(header, reflect.StructField{Name: "Meta", Type: metaType})
	}
	sh.typ = reflect.StructOf(append(header, reflect.StructField{Name: "Body", Type: t}))
	sh.bodyOff = sh.typ.Field(len(header)).Offset
	if info != nil && info.hasMeta {
		sh.metaOff = sh.bodyOff + info.metaOff
	} else {
		sh.metaOff = sh.typ.Field(1).Offset
	}
	for i, name := range names {
		s := &sh.slots[i]
		*s = slot{rules: compiled[i], name: name, pos: i}
		if info != nil {
			f := info.fields[i]
			s.off, s.goType = sh.bodyOff+f.off, f.typ
			s.zeroNull = info.omit[name] || s.required
			s.zeroAbsent = s.zeroNull || s.hasDefault || s.gen != 0
		} else {
			s.off, s.goType = sh.bodyOff+t.Field(i).Offset, t.Field(i).Type
		}
		if s.goType.Kind() == reflect.Pointer {
			s.ptr, s.goType = true, s.goType.Elem()
		}
		if s.goType == goTypes[Number] {
			s.kind = memNumber
		} else {
			s.kind = memOf(s.goType)
		}
		s.size = s.goType.Size()
		if s.kind == memFloat && s.size == 4 {
			s.enum = slices.Clone(s.enum)
			for k, e := range s.enum {
				s.enum[k] = float64(float32(e.(float64)))
			}
			s.min, s.max = s.min.asFloat32(), s.max.asFloat32()
		}
		if s.ptr || s.kind == memBytes || s.kind == memAny || s.kind == memRef && !flat(s.goType) {
			sh.refs = true
		}
		sh.byName[name] = i
		if s.gen == Autoincrement {
			sh.autos = append(sh.autos, i)
		}
		if name == d.Key {
			sh.key, sh.keyText = i, s.kind == memString
		}
	}
	if info != nil {
		sh.hide = info.hide
	}
	if d.Ordered {
		sh.indexes = append(sh.indexes, sh.planIndex([]int{sh.key}, false))
	}
	for i := range sh.slots {
		if sh.slots[i].unique && i != sh.key {
			sh.indexes = append(sh.indexes, sh.planIndex([]int{i}, true))
		}
	}
	for _, ix := range d.Indexes {
		if len(ix) == 1 && (d.Schema[ix[0]].Unique || d.Ordered && ix[0] == d.Key) {
			continue // the unique field's index serves
		}
		fields := make([]int, len(ix))
		for i, name := range ix {
			fields[i] = sh.byName[name]
		}
		sh.indexes = append(sh.indexes, sh.planIndex(fields, false))
	}
	if d.TTL > 0 {
		sh.ttl, sh.expiry = d.TTL, len(sh.indexes)
		sh.indexes = append(sh.indexes, sh.planExpiry())
	}
	return sh
}

// codec turns the versions of a bucket into values of T and back.
type codec[T any] struct {
	sh     *shape
	native bool   // the body is a T
	ops    []move // otherwise: field by field
	mine   *shape // otherwise: T's own layout
	slow   bool   // otherwise: not all fields are scalars that can be copied in place
}

// move is one field of a struct beside the bucket's field of the same name.
type move struct {
	src  *slot // in the bucket's shape
	dst  *slot // in T's own shape
	fast bool  // same kind and size: copy the memory
}

// newCodec matches T against a bucket; the issues name each mismatch.
func newCodec[T any](sh *shape, d *Definition) (codec[T], []Issue) {
	t := reflect.TypeFor[T]()
	if sh.body == t {
		return codec[T]{sh: sh, native: true}, nil
	}
	info, issues := inspect(t)
	if len(issues) > 0 {
		return codec[T]{}, issues
	}
	c := codec[T]{sh: sh}
	compiled := make([]rules, len(info.fields))
	for i, f := range info.fields {
		bad := func(format string, args ...any) {
			issues = append(issues, Issue{f.name, CodeType, fmt.Sprintf(format, args...)})
		}
		pos, ok := sh.byName[f.name]
		if !ok {
			bad("the bucket has no such field")
			continue
		}
		got, want := info.def.Schema[f.name].Type, sh.slots[pos].typ
		if got != want && !(want == Number && (got == Any || got == Float)) && !(got == Any && (want == Object || want == Array)) {
			bad("is a %s in the bucket, and %s in %s", want, f.typ, t)
		} else if !sh.slots[pos].fits(f.typ) {
			bad("has values in the bucket that %s in %s cannot hold: bound it by min and max", f.typ, t)
		}
		compiled[i] = sh.slots[pos].rules
	}
	for i := range sh.slots {
		s := &sh.slots[i]
		if _, ok := info.def.Schema[s.name]; ok {
			continue
		}
		if i == sh.key {
			issues = append(issues, Issue{s.name, CodeRequired, fmt.Sprintf("the bucket's key is missing in %s", t)})
		} else if s.required && !s.hasDefault && s.gen == 0 {
			issues = append(issues, Issue{s.name, CodeRequired, fmt.Sprintf("a required field of the bucket is missing in %s", t)})
		}
	}
	if len(issues) > 0 {
		return c, issues
	}
	own := info.def
	own.Key, own.Indexes = d.Key, nil
	c.mine = newShape(sh.bucket, &own, compiled, t, &info, sh.lim)
	for i := range c.mine.slots {
		dst := &c.mine.slots[i]
		src := &sh.slots[sh.byName[dst.name]]
		c.ops = append(c.ops, move{src, dst, src.kind == dst.kind && src.size == dst.size})
		if dst.ptr || src.kind >= memBytes && src.kind != memNumber || dst.kind >= memBytes && dst.kind != memNumber {
			c.slow = true
		}
	}
	return c, nil
}

// plain reports whether a copy of the body is all that a read takes.
func (c *codec[T]) plain() bool { return c.native && !c.sh.refs }

// value returns what a version holds, as the caller's own. Without pointers,
// slices and maps in T nothing here moves t to the heap.
func (c *codec[T]) value(v *table.Version) T {
	switch {
	case c.plain():
		return *(*T)(at(v, c.sh.bodyOff))
	case c.native:
		t := new(T)
		*t = *(*T)(at(v, c.sh.bodyOff))
		c.own(t)
		return *t
	case c.slow:
		tmp := c.view(v)
		*c.mine.meta(tmp) = *c.sh.meta(v)
		return *(*T)(at(tmp, c.mine.bodyOff))
	}
	var t T
	c.translate(v, &t)
	return t
}

// own makes deep copies of what t shares with the store.
func (c *codec[T]) own(t *T) {
	for i := range c.sh.slots {
		s := &c.sh.slots[i]
		p := unsafe.Add(unsafe.Pointer(t), s.off-c.sh.bodyOff)
		switch {
		case s.ptr:
			if q := *(*unsafe.Pointer)(p); q != nil {
				n := reflect.New(s.goType)
				n.Elem().Set(cloneReflect(reflect.NewAt(s.goType, q).Elem(), false))
				*(*unsafe.Pointer)(p) = n.UnsafePointer()
			}
		case s.kind == memBytes:
			if b := (*[]byte)(p); *b != nil {
				*b = cloneBytes(*b)
			}
		case s.kind == memAny:
			*(*any)(p) = cloneValue(*(*any)(p))
		case s.kind == memRef:
			rv := reflect.NewAt(s.goType, p).Elem()
			rv.Set(cloneReflect(rv, false))
		}
	}
}

// view builds a version of T's layout from a bucket of another, with the
// conversions that writes use. What T cannot hold of an object or an array is
// left out: bring keeps it.
func (c *codec[T]) view(v *table.Version) *table.Version {
	tmp := c.mine.alloc()
	for i := range c.ops {
		op := &c.ops[i]
		if x := op.src.get(v); x != nil {
			if n, ok := x.(int64); ok && op.dst.kind == memFloat {
				x = float64(n)
			}
			_ = op.dst.put(tmp, x, c.mine.lim)
		}
	}
	return tmp
}

// translate fills a T of scalars field by field from a bucket of another layout.
func (c *codec[T]) translate(v *table.Version, t *T) {
	for i := range c.ops {
		op := &c.ops[i]
		if op.src.absent(v) {
			continue
		}
		from, to := op.src.mem(v), unsafe.Add(unsafe.Pointer(t), op.dst.off-c.mine.bodyOff)
		if op.fast {
			copyScalar(op.src.kind, op.src.size, from, to)
		} else {
			storeNumber(op.dst.kind, op.dst.size, op.src.num(v), to)
		}
	}
	if c.mine.metaOff >= c.mine.bodyOff {
		*(*Meta)(unsafe.Add(unsafe.Pointer(t), c.mine.metaOff-c.mine.bodyOff)) = *c.sh.meta(v)
	}
}

func copyScalar(kind memKind, size uintptr, from, to unsafe.Pointer) {
	switch kind {
	case memString:
		*(*string)(to) = *(*string)(from)
	case memTime:
		*(*time.Time)(to) = *(*time.Time)(from)
	case memNumber:
		*(*number)(to) = *(*number)(from)
	default:
		switch size {
		case 1:
			*(*uint8)(to) = *(*uint8)(from)
		case 2:
			*(*uint16)(to) = *(*uint16)(from)
		case 4:
			*(*uint32)(to) = *(*uint32)(from)
		default:
			*(*uint64)(to) = *(*uint64)(from)
		}
	}
}

// fits reports whether every number that the field may hold fits a Go type.
func (s *slot) fits(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	zero := reflect.Zero(t)
	var lo, hi int64
	switch s.kind {
	case memInt:
		lo = -1 << (s.size*8 - 1)
		hi = -(lo + 1)
	case memUint:
		hi = math.MaxInt64 >> (64 - min(s.size*8, 64))
		if s.size < 8 {
			hi = 1<<(s.size*8) - 1
		}
	case memFloat:
		return s.size == 4 || t.Kind() != reflect.Float32
	default:
		return t.Kind() != reflect.Float32
	}
	if s.min != nil && !s.min.n.isFloat {
		lo = max(lo, int64(s.min.n.bits))
	}
	if s.max != nil && !s.max.n.isFloat {
		hi = min(hi, int64(s.max.n.bits))
	}
	switch memOf(t) {
	case memInt:
		return !zero.OverflowInt(lo) && !zero.OverflowInt(hi)
	case memUint:
		return lo >= 0 && !zero.OverflowUint(uint64(hi))
	}
	return true
}

// storeNumber writes a number into memory of another numeric type, which
// newCodec found able to hold it.
func storeNumber(kind memKind, size uintptr, n number, to unsafe.Pointer) {
	i, f := int64(n.bits), float64(int64(n.bits))
	if n.isFloat {
		i, f = int64(n.float()), n.float()
	}
	switch {
	case kind == memFloat && size == 4:
		*(*float32)(to) = float32(f)
	case kind == memFloat:
		*(*float64)(to) = f
	case size == 1:
		*(*int8)(to) = int8(i)
	case size == 2:
		*(*int16)(to) = int16(i)
	case size == 4:
		*(*int32)(to) = int32(i)
	default:
		*(*int64)(to) = i
	}
}

// bring fills a new version of the bucket's shape from t; insertStruct or
// updateStruct follow for a native T, complete or follow, with the problems, for
// another one.
func (c *codec[T]) bring(t *T, old *table.Version) (*table.Version, problems) {
	v := c.sh.alloc()
	if c.native {
		*(*T)(at(v, c.sh.bodyOff)) = *t
		return v, nil
	}
	var was *table.Version
	if old != nil {
		v, was = c.sh.copyOf(old), c.view(old)
	} else {
		for i := range c.sh.slots {
			c.sh.slots[i].setAbsent(v, true)
		}
	}
	tmp := c.mine.alloc()
	*(*T)(at(tmp, c.mine.bodyOff)) = *t
	var wrong problems
	for i := range c.ops {
		op := &c.ops[i]
		zero := op.dst.zero(tmp)
		if !zero { // first, because it finds what cannot be looked at: cycles, say
			if err := op.dst.settle(tmp, c.sh.lim); err != nil {
				wrong.add(op.dst.name, err)
				continue
			}
		}
		if old != nil && zero == op.dst.zero(was) && (zero || equalValues(op.dst.peek(tmp), op.dst.peek(was))) {
			continue // not changed: even what T cannot show of it stays
		}
		if zero && (op.dst.zeroNull || op.dst.nilable() || old == nil && op.dst.zeroAbsent) {
			op.src.clear(v)
			continue
		}
		if err := op.src.put(v, op.dst.peek(tmp), c.sh.lim); err != nil {
			wrong.add(op.dst.name, err)
		}
	}
	return v, wrong
}

// key returns the key in a struct, nil if it is zero and so absent.
func (c *codec[T]) key(t *T) any {
	sh := c.sh
	if !c.native {
		sh = c.mine
	}
	s := &sh.slots[sh.key]
	p := unsafe.Add(unsafe.Pointer(t), s.off-sh.bodyOff)
	if s.ptr {
		if p = *(*unsafe.Pointer)(p); p == nil {
			return nil
		}
	}
	if s.kind == memString {
		if k := *(*string)(p); k != "" || !s.zeroAbsent {
			return k
		}
		return nil
	}
	k := loadInt(p, s.size)
	if s.kind == memUint {
		k = int64(loadUint(p, s.size))
	}
	if k != 0 || !s.zeroAbsent {
		return k
	}
	return nil
}
