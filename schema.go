package store

import (
	"fmt"
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

	// Properties are the fields of an Object, by the same rules at any depth but for
	// Unique and Autoincrement; nil: it may hold anything. An object that is written,
	// at insert or at update, is completed and checked as a whole. Null counts as
	// absent. What is not among them is refused, unless Extra keeps it as it came.
	Properties Schema
	Extra      bool
	// Items is the rule for each element of an Array; nil: it may hold anything. A
	// Required one refuses null. It has no default and is not generated.
	Items *Field
	// Validate refuses a value by an error, which becomes an [Issue] with
	// CodeValidate, or, if it is a *ValidationError, its issues, whose fields are paths
	// from the value on. It is called at each insert and update of a record that has
	// the field, after all other rules, with a copy of the value and the record as it
	// would be written. It runs in the writing goroutine, which waits for it and nobody
	// else does; it may read and write the store, and keep rec. A panic is the error
	// of the write. AlterBucket, where it is new, and DefineBucket over a log of
	// another definition ask it about each record that is there; while DefineBucket
	// does, it must not define, drop or alter a bucket.
	Validate func(value any, rec Record) error

	names []string // the order of Properties; set from structs, else alphabetical
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
	// that. Until then it can be read, and Touch or ExpireAt lets it live on.
	TTL time.Duration
	// MaxSize bounds the records, and MaxBytes their estimated bytes, indexes
	// included; 0: no bound. The commit that would go beyond evicts others, in the
	// order that Evict says. Only what the commit inserted is spared, and goes last; an
	// update saves no record. A unique value is taken until its holder is gone.
	MaxSize  int
	MaxBytes int64
	Evict    Eviction
	// Volatile keeps the bucket out of the log: it is empty when the store is opened
	// again.
	Volatile bool
	// Validate refuses a record by an error, as [Field.Validate] does a value: once
	// every field is right.
	Validate func(rec Record) error

	fields  []string // order of the fields; set from structs, else alphabetical
	endless bool     // the schema contains itself, or might as well
}

// maxFields bounds the fields of a definition, those of objects in objects
// included, and maxSchemaDepth how deep they lie.
const (
	maxFields      = 10_000
	maxSchemaDepth = 100
)

// clone copies a schema, as long as left lasts.
func (s Schema) clone(depth int, left *int) Schema {
	if s == nil {
		return nil
	}
	out := make(Schema, len(s))
	for name, f := range s {
		out[name] = f.clone(depth, left)
	}
	return out
}

func (f Field) clone(depth int, left *int) Field {
	if *left--; *left < 0 || depth > maxSchemaDepth {
		*left = -1
		f.Properties, f.Items = nil, nil
	}
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
	f.names = slices.Clone(f.names)
	f.Properties = f.Properties.clone(depth+1, left)
	if f.Items != nil {
		item := f.Items.clone(depth+1, left)
		f.Items = &item
	}
	return f
}

func (d Definition) clone() Definition {
	left := maxFields
	d.Schema = d.Schema.clone(1, &left)
	d.endless = left < 0
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

// fieldNames returns the fields in their order: those of a struct as it has
// them, others by the alphabet.
func (d *Definition) fieldNames() []string { return d.Schema.inOrder(d.fields) }

// inOrder returns the names of the fields: those of order as they are there, all
// others by the alphabet.
func (s Schema) inOrder(order []string) []string {
	names := slices.DeleteFunc(slices.Clone(order), func(name string) bool {
		_, ok := s[name]
		return !ok
	})
	n := len(names)
	for name := range s {
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
	if d.endless { // and was cut off anywhere
		bad("", "the schema has more than %d fields, or some that lie deeper than %d levels", maxFields, maxSchemaDepth)
		return nil, issues
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
		c := fieldCompiler{lim: lim, issues: issues}
		r := c.compile(&f, name, 1)
		issues = c.issues
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
