package store

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Type is the type of a field. The zero Type is none.
type Type uint8

// The types of fields, and the Go types in which their values come out.
const (
	String Type = 1 + iota // string, valid UTF-8
	Int                    // int64; whole floats are accepted
	Float                  // float64, never NaN; integers that it can hold exactly are accepted
	Number                 // int64 or float64, whichever came in: integers stay exact beyond 2^53
	Bool                   // bool
	Object                 // map[string]any
	Array                  // []any
	Date                   // time.Time in UTC; accepts time.Time, RFC 3339, a plain date, Unix ms
	Bytes                  // []byte; accepts base64 text, as JSON carries it
	Any                    // any of these
)

var typeNames = [...]string{"none", "string", "int", "float", "number", "bool", "object", "array", "date", "bytes", "any"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Generator fills a field in when a record is inserted without it.
type Generator uint8

// The generators.
const (
	UUID          Generator = 1 + iota // String: a random UUID (version 4)
	CUID                               // String: a collision-resistant id that grows with time
	Autoincrement                      // Int or Number: 1, 2, 3, ...; a number is never used twice
	Timestamp                          // Date: now; Int or Number: Unix ms; String: RFC 3339
)

// Format is a check of a string's form.
type Format uint8

// The formats.
const (
	Email   Format = 1 + iota // local@domain, one line, as in practice
	URL                       // absolute, with a scheme and a host
	ISODate                   // 2006-01-02 or RFC 3339 date-time, of the real calendar
)

var formatNames = [...]string{"", "email address", "URL", "ISO 8601 date"}

// Limit is an inclusive bound of a number; see [Bound].
type Limit struct{ n number }

// Bound makes the bound for [Field.Min] and [Field.Max].
func Bound[N ~int | ~int64 | ~float64](n N) *Limit {
	half := 0.5
	if N(half) != 0 { // N is a float type
		return &Limit{floatNumber(float64(n))}
	}
	return &Limit{intNumber(int64(n))}
}

// asFloat32 is the bound as a float32 holds it.
func (l *Limit) asFloat32() *Limit {
	if l == nil || !l.n.isFloat {
		return l
	}
	return &Limit{floatNumber(float64(float32(l.n.float())))}
}

func (l *Limit) String() string { return fmt.Sprint(l.n.value()) }

// Field is the schema of one field. Only Type must be set.
type Field struct {
	Type     Type
	Required bool // refuse a record without it
	// Default is the value of a field that is absent at insert: a value, of which
	// each record gets a copy of its own, or a func() any, called in the
	// inserting goroutine.
	Default   any
	Generated Generator // filled in at insert if absent; never changed by an update
	Unique    bool      // refuse a second record with the same value
	Enum      []any     // allow only these
	Format    Format    // String only
	Min, Max  *Limit    // numbers
	// MinLength and MaxLength count runes of a String, bytes of Bytes, elements
	// of an Array. 0 is no bound.
	MinLength, MaxLength int
	Pattern              string // String only; RE2, matched anywhere unless anchored
	Ref                  string // the bucket that the field's value is a key of; kept as metadata
}

// Schema is the fields of a bucket by name.
type Schema map[string]Field

// Index is the fields of an ordered index, the most significant first. A record
// is in it unless its first field is absent.
type Index []string

// Definition is what a bucket is made from. It is copied.
type Definition struct {
	Key     string // the field that identifies a record: String or Int
	Schema  Schema
	Indexes []Index // beside those of the key and of unique fields
	Ordered bool    // iterate in the order of keys instead of insertion
	Extra   bool    // keep fields that the schema does not have, as they came
	// TTL is how long after its insertion a record expires that is inserted without
	// a time of its own; 0: never. It is deleted at most Options.TTLInterval after
	// that.
	TTL time.Duration
	// MaxSize bounds the records, and MaxBytes their estimated bytes, indexes
	// included; 0: no bound. The commit that would go beyond evicts others, in the
	// order that Evict says.
	MaxSize  int
	MaxBytes int64
	Evict    Eviction
	// Volatile keeps the bucket out of the log: it is empty when the store is opened
	// again.
	Volatile bool

	fields []string // order of the fields; set from structs, else alphabetical
}

func (d Definition) clone() Definition {
	s := make(Schema, len(d.Schema))
	for name, f := range d.Schema {
		f.Enum = slices.Clone(f.Enum)
		for i := range f.Enum {
			f.Enum[i] = copyOption(f.Enum[i])
		}
		f.Default = copyOption(f.Default)
		if f.Min != nil {
			f.Min = &Limit{f.Min.n}
		}
		if f.Max != nil {
			f.Max = &Limit{f.Max.n}
		}
		s[name] = f
	}
	d.Schema = s
	d.Indexes = slices.Clone(d.Indexes)
	for i := range d.Indexes {
		d.Indexes[i] = slices.Clone(d.Indexes[i])
	}
	d.fields = slices.Clone(d.fields)
	return d
}

// copyOption copies a value in a definition, unless it cannot be: then the check
// of the definition says so.
func copyOption(v any) any {
	switch v.(type) {
	case nil, func() any:
		return v
	}
	if c, err := (limits{64, 1 << 30}).normalize(v); err == nil {
		return c
	}
	return v
}

// rules is a field's schema, compiled once.
type rules struct {
	typ        Type
	required   bool
	gen        Generator
	hasDefault bool
	def        any // canonical
	defFunc    func() any
	unique     bool
	enumText   []string
	enum       []any // canonical, for other types than String
	format     Format
	min, max   *Limit
	minLen     int
	maxLen     int
	pattern    *regexp.Regexp
	patternSrc string
	zeroAbsent bool // struct field: its zero value counts as absent at insert
	zeroNull   bool // struct field: its zero value counts as absent at update too
	// plain: nothing to check beyond the type
	plain bool
}

// fieldNames returns the fields in their order: those of a struct as it has
// them, others by the alphabet.
func (d *Definition) fieldNames() []string {
	names := slices.DeleteFunc(slices.Clone(d.fields), func(name string) bool {
		_, ok := d.Schema[name]
		return !ok
	})
	n := len(names)
	for name := range d.Schema {
		if !slices.Contains(names[:n], name) {
			names = append(names, name)
		}
	}
	slices.Sort(names[n:])
	return names
}

// maxIndexes is what a table can tell apart in one word.
const maxIndexes = 64

// check returns everything that is wrong with a definition, and its compiled
// rules by the order of fieldNames.
func (d *Definition) check(bucket string, lim limits) ([]rules, []Issue) {
	var issues []Issue
	bad := func(field, format string, args ...any) {
		issues = append(issues, Issue{Field: field, Code: CodeType, Message: fmt.Sprintf(format, args...)})
	}
	if msg := badName(bucket); msg != "" {
		bad("", "the bucket's name %s", msg)
	}
	if msg := badTTL(d.TTL); msg != "" {
		bad("", "%s", msg)
	}
	if d.MaxSize < 0 || d.MaxBytes < 0 {
		bad("", "a bound of its size is negative")
	}
	if d.Evict > LeastRead {
		bad("", "has no valid order of eviction")
	} else if d.Evict != 0 && !d.bounded() {
		bad("", "an order of eviction needs MaxSize or MaxBytes")
	}
	if len(d.Schema) == 0 {
		bad("", "the schema has no fields")
	}
	switch f, ok := d.Schema[d.Key]; {
	case d.Key == "":
		bad("", "there is no key")
	case !ok:
		bad(d.Key, "the key is not a field of the schema")
	case f.Type != String && f.Type != Int:
		bad(d.Key, "a key must be a string or an int, not %s", f.Type)
	}
	names := d.fieldNames()
	compiled := make([]rules, len(names))
	for i, name := range names {
		if name == "" || !utf8.ValidString(name) {
			bad(name, "a field needs a name, in UTF-8")
		}
		if isMetaName(name) {
			bad(name, "the name belongs to the store's metadata")
		}
		f := d.Schema[name]
		r, wrong := f.compile(lim)
		for _, msg := range wrong {
			bad(name, "%s", msg)
		}
		if name == d.Key {
			r.required = true
		}
		compiled[i] = r
	}
	unique := 0
	for _, f := range d.Schema {
		if f.Unique {
			unique++
		}
	}
	most := maxIndexes - 1 // that of deadlines
	if d.Ordered {
		most--
	}
	if d.Evict == OldestUpdated {
		most--
	}
	if n := len(d.Indexes) + unique; n > most {
		bad("", "%d indexes are more than %d", n, most)
	}
	seen := map[string]bool{}
	for _, ix := range d.Indexes {
		if len(ix) == 0 {
			bad("", "an index has no fields")
		}
		dup := map[string]bool{}
		for _, name := range ix {
			f, ok := d.Schema[name]
			switch {
			case !ok:
				bad(name, "an index names a field that the schema does not have")
			case f.Type == Object || f.Type == Array || f.Type == Any:
				bad(name, "a field of type %s cannot be indexed", f.Type)
			case dup[name]:
				bad(name, "an index names the field twice")
			}
			dup[name] = true
		}
		if id := strings.Join(ix, "\x00"); seen[id] {
			bad(strings.Join(ix, ","), "the index is defined twice")
		} else {
			seen[id] = true
		}
	}
	return compiled, issues
}

// badName says what is wrong with a bucket's name: it is a segment of topics.
func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > 200:
		return "is longer than 200 bytes"
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case strings.ContainsAny(name, ".*"):
		return "contains a dot or a star, which topics are made of"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "contains a control character"
	}
	return ""
}

// compile turns a field's schema into rules and says what is wrong with it.
func (f *Field) compile(lim limits) (rules, []string) {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	r := rules{
		typ: f.Type, required: f.Required, gen: f.Generated, unique: f.Unique, format: f.Format,
		min: f.Min, max: f.Max, minLen: f.MinLength, maxLen: f.MaxLength,
	}
	if f.Type == 0 || f.Type > Any {
		bad("has no valid type")
		return r, wrong
	}
	numeric := f.Type == Int || f.Type == Float || f.Type == Number
	if (f.Min != nil || f.Max != nil) && !numeric {
		bad("min and max need a number, not %s", f.Type)
	}
	for _, l := range []*Limit{f.Min, f.Max} {
		if l != nil && l.n.isNaN() {
			bad("a bound is NaN")
		}
	}
	if f.Min != nil && f.Max != nil && f.Min.n.compare(f.Max.n) > 0 {
		bad("min is above max")
	}
	if f.MinLength != 0 || f.MaxLength != 0 {
		if f.Type != String && f.Type != Bytes && f.Type != Array {
			bad("minLength and maxLength need a string, bytes or an array, not %s", f.Type)
		}
		if f.MinLength < 0 || f.MaxLength < 0 {
			bad("a length is negative")
		} else if f.MaxLength > 0 && f.MinLength > f.MaxLength {
			bad("minLength is above maxLength")
		}
	}
	if f.Pattern != "" {
		if f.Type != String {
			bad("a pattern needs a string, not %s", f.Type)
		}
		if len(f.Pattern) > 1<<16 {
			bad("the pattern is longer than 64 KiB")
		} else if re, err := regexp.Compile(f.Pattern); err != nil {
			bad("bad pattern: %v", err)
		} else {
			r.pattern, r.patternSrc = re, f.Pattern
		}
	}
	if f.Format > ISODate {
		bad("has no valid format")
	} else if f.Format != 0 && f.Type != String {
		bad("a format needs a string, not %s", f.Type)
	}
	switch {
	case f.Generated > Timestamp:
		bad("has no valid generator")
	case (f.Generated == UUID || f.Generated == CUID) && f.Type != String,
		f.Generated == Autoincrement && f.Type != Int && f.Type != Number,
		f.Generated == Timestamp && f.Type != Date && f.Type != Int && f.Type != Number && f.Type != String:
		bad("its generator does not make values of type %s", f.Type)
	}
	if f.Unique && (f.Type == Object || f.Type == Array || f.Type == Any) {
		bad("a field of type %s cannot be unique", f.Type)
	}
	for _, e := range f.Enum {
		v, err := lim.convert(f.Type, e)
		switch {
		case err != nil:
			bad("a value of enum %s", err.msg)
		case v == nil:
			bad("a value of enum is null")
		case f.Type == String:
			r.enumText = append(r.enumText, v.(string))
		default:
			r.enum = append(r.enum, v)
		}
	}
	r.plain = len(f.Enum) == 0 && f.Format == 0 && f.Min == nil && f.Max == nil && f.MinLength == 0 && f.MaxLength == 0 && r.pattern == nil
	if fn, ok := f.Default.(func() any); ok && fn == nil {
		bad("its default is a nil function")
	} else if ok {
		r.hasDefault, r.defFunc = true, fn
	} else if f.Default != nil {
		v, err := lim.convert(f.Type, f.Default)
		if err != nil {
			bad("its default %s", err.msg)
		} else {
			r.hasDefault, r.def = true, v
			for _, is := range r.describe(nil, "", r.checkValue(v)) {
				bad("its default %s", is.Message)
			}
		}
	}
	return r, wrong
}

// convert brings a value from outside into the canonical form of a type: a copy
// that shares nothing mutable. nil stays nil.
func (l limits) convert(t Type, v any) (any, *valueError) {
	if v == nil {
		return nil, nil
	}
	c, err := l.convertValue(t, v)
	if err == nil {
		return c, nil
	}
	switch rv := reflect.ValueOf(v); {
	case rv.Kind() == reflect.Pointer && rv.IsNil():
		return nil, nil
	case (t == Float || t == Number) && v == infinityText:
		return math.Inf(1), nil
	case (t == Float || t == Number) && v == "-"+infinityText:
		return math.Inf(-1), nil
	}
	return nil, err
}

// infinityText stands for an infinite float in JSON, which has no number for it.
const infinityText = "Infinity"

func (l limits) convertValue(t Type, v any) (any, *valueError) {
	switch t {
	case String:
		if s, ok := v.(string); ok && utf8.ValidString(s) && len(s) <= l.bytes {
			return v, nil
		}
		s, err := toString(v)
		if err == nil && len(s) > l.bytes {
			return nil, errTooLarge(l)
		}
		return s, err
	case Int:
		if _, ok := v.(int64); ok {
			return v, nil
		}
		i, err := toInt(v)
		return i, err
	case Float:
		f, err := toFloat(v)
		return f, err
	case Number:
		i, f, isFloat, err := toNumber(v)
		if isFloat {
			return f, err
		}
		return i, err
	case Bool:
		b, err := toBool(v)
		return b, err
	case Date:
		d, err := toTime(v)
		return d, err
	case Bytes:
		b, err := toBytes(v)
		if err == nil && len(b) > l.bytes {
			return nil, errTooLarge(l)
		}
		return b, err
	}
	c, err := l.normalize(v)
	if t == Any || err == nil && c == nil {
		return c, err
	}
	// The wrong kind of value is said to be that, whatever else is wrong with it.
	switch typeName(v) {
	case "string", "number", "bool", "date", "bytes":
		return nil, errWant("an "+t.String(), v)
	case "object":
		if t == Array {
			return nil, errWant("an array", v)
		}
	case "array":
		if t == Object {
			return nil, errWant("an object", v)
		}
	}
	return c, err
}

// broken is a set of rules that a value breaks: a bit for each of codes.
type broken uint16

// codes are the rules that a check may find broken, in the order of reporting.
var codes = [...]Code{CodeRequired, CodeEnum, CodeMin, CodeMax, CodeMinLength, CodeMaxLength, CodePattern, CodeFormat}

const (
	brokenRequired broken = 1 << iota
	brokenEnum
	brokenMin
	brokenMax
	brokenMinLength
	brokenMaxLength
	brokenPattern
	brokenFormat
)

func (r *rules) checkText(s string) (bad broken) {
	if r.minLen > 0 || r.maxLen > 0 {
		// A string has no more runes than bytes and at least a quarter of them.
		if n := len(s); n < r.minLen || r.maxLen > 0 && n > r.maxLen || n/4 < r.minLen {
			bad |= r.checkLen(utf8.RuneCountInString(s))
		}
	}
	if r.enumText != nil && !slices.Contains(r.enumText, s) {
		bad |= brokenEnum
	}
	switch {
	case r.format == Email && !validEmail(s), r.format == URL && !validURL(s), r.format == ISODate && !validISODate(s):
		bad |= brokenFormat
	}
	if r.pattern != nil && !r.pattern.MatchString(s) {
		bad |= brokenPattern
	}
	return bad
}

func (r *rules) checkLen(n int) (bad broken) {
	if n < r.minLen {
		bad |= brokenMinLength
	}
	if r.maxLen > 0 && n > r.maxLen {
		bad |= brokenMaxLength
	}
	return bad
}

func (r *rules) checkNumber(n number) (bad broken) {
	if r.min != nil && n.compare(r.min.n) < 0 {
		bad |= brokenMin
	}
	if r.max != nil && n.compare(r.max.n) > 0 {
		bad |= brokenMax
	}
	if r.enum != nil {
		bad |= r.checkEnum(n.value())
	}
	return bad
}

func (r *rules) checkEnum(v any) broken {
	if len(r.enum) == 0 || slices.ContainsFunc(r.enum, func(e any) bool { return equalValues(e, v) }) {
		return 0
	}
	return brokenEnum
}

// checkValue checks a canonical value of the rules' type.
func (r *rules) checkValue(v any) (bad broken) {
	switch v := v.(type) {
	case string:
		if r.typ == String {
			return r.checkText(v)
		}
	case int64:
		return r.checkNumber(intNumber(v))
	case float64:
		return r.checkNumber(floatNumber(v))
	case []byte:
		bad = r.checkLen(len(v))
	case []any:
		bad = r.checkLen(len(v))
	}
	return bad | r.checkEnum(v)
}

// describe appends the broken rules as issues of a field.
func (r *rules) describe(issues []Issue, field string, bad broken) []Issue {
	for i, code := range codes {
		if bad>>i&1 != 0 {
			issues = append(issues, Issue{field, code, r.message(code)})
		}
	}
	return issues
}

// message says in words that a rule is broken.
func (r *rules) message(code Code) string {
	unit := "characters"
	switch r.typ {
	case Bytes:
		unit = "bytes"
	case Array:
		unit = "elements"
	}
	switch code {
	case CodeRequired:
		return "is required"
	case CodeEnum:
		names := slices.Clone(r.enumText)
		for _, e := range r.enum {
			names = append(names, fmt.Sprint(e))
		}
		return "must be one of " + strings.Join(names, ", ")
	case CodeMin:
		return "is less than " + r.min.String()
	case CodeMax:
		return "is greater than " + r.max.String()
	case CodeMinLength:
		return fmt.Sprintf("is shorter than %d %s", r.minLen, unit)
	case CodeMaxLength:
		return fmt.Sprintf("is longer than %d %s", r.maxLen, unit)
	case CodeFormat:
		return "is not a valid " + formatNames[r.format]
	case CodePattern:
		return "does not match the pattern " + r.patternSrc
	}
	return "breaks the rule " + string(code)
}
