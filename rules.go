package store

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

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
	// plain: nothing to check beyond the type, of the value itself
	plain    bool
	inner    *inner       // what is inside; nil: anything
	mem      reflect.Type // the Go type of what lies inside of a struct; nil elsewhere
	validate func(value any, rec Record) error
}

// fieldCompiler turns fields into rules, and collects what is wrong with them.
type fieldCompiler struct {
	lim    limits
	issues []Issue
}

func (k *fieldCompiler) bad(path, format string, args ...any) {
	k.issues = append(k.issues, Issue{Field: path, Code: CodeType, Message: fmt.Sprintf(format, args...)})
}

// compile turns the field at a path into rules; depth is how many fields are on
// that path.
func (k *fieldCompiler) compile(f *Field, path string, depth int) rules {
	r := rules{
		typ: f.Type, required: f.Required, gen: f.Generated, unique: f.Unique, format: f.Format,
		min: f.Min, max: f.Max, minLen: f.MinLength, maxLen: f.MaxLength, validate: f.Validate,
	}
	if f.Type == 0 || f.Type > Any {
		k.bad(path, "has no valid type")
		return r
	}
	k.bounds(f, path)
	k.text(&r, f, path)
	k.generator(f, path)
	if f.Unique && (f.Type == Object || f.Type == Array || f.Type == Any) {
		k.bad(path, "a field of type %s cannot be unique", f.Type)
	}
	k.enum(&r, f, path)
	r.plain = len(f.Enum) == 0 && f.Format == 0 && f.Min == nil && f.Max == nil && f.MinLength == 0 && f.MaxLength == 0 && r.pattern == nil
	k.inside(&r, f, path, depth)
	k.fallback(&r, f, path)
	return r
}

// bounds checks min, max and the lengths.
func (k *fieldCompiler) bounds(f *Field, path string) {
	numeric := f.Type == Int || f.Type == Float || f.Type == Number
	if (f.Min != nil || f.Max != nil) && !numeric {
		k.bad(path, "min and max need a number, not %s", f.Type)
	}
	for _, l := range []*Limit{f.Min, f.Max} {
		if l != nil && l.n.isNaN() {
			k.bad(path, "a bound is NaN")
		}
	}
	if f.Min != nil && f.Max != nil && f.Min.n.compare(f.Max.n) > 0 {
		k.bad(path, "min is above max")
	}
	if f.MinLength == 0 && f.MaxLength == 0 {
		return
	}
	if f.Type != String && f.Type != Bytes && f.Type != Array {
		k.bad(path, "minLength and maxLength need a string, bytes or an array, not %s", f.Type)
	}
	if f.MinLength < 0 || f.MaxLength < 0 {
		k.bad(path, "a length is negative")
	} else if f.MaxLength > 0 && f.MinLength > f.MaxLength {
		k.bad(path, "minLength is above maxLength")
	}
}

// text compiles pattern and format.
func (k *fieldCompiler) text(r *rules, f *Field, path string) {
	if f.Pattern != "" {
		if f.Type != String {
			k.bad(path, "a pattern needs a string, not %s", f.Type)
		}
		if len(f.Pattern) > 1<<16 {
			k.bad(path, "the pattern is longer than 64 KiB")
		} else if re, err := regexp.Compile(f.Pattern); err != nil {
			k.bad(path, "bad pattern: %v", err)
		} else {
			r.pattern, r.patternSrc = re, f.Pattern
		}
	}
	if f.Format > ISODate {
		k.bad(path, "has no valid format")
	} else if f.Format != 0 && f.Type != String {
		k.bad(path, "a format needs a string, not %s", f.Type)
	}
}

func (k *fieldCompiler) generator(f *Field, path string) {
	switch {
	case f.Generated > Timestamp:
		k.bad(path, "has no valid generator")
	case (f.Generated == UUID || f.Generated == CUID) && f.Type != String,
		f.Generated == Autoincrement && f.Type != Int && f.Type != Number,
		f.Generated == Timestamp && f.Type != Date && f.Type != Int && f.Type != Number && f.Type != String:
		k.bad(path, "its generator does not make values of type %s", f.Type)
	}
}

func (k *fieldCompiler) enum(r *rules, f *Field, path string) {
	for _, e := range f.Enum {
		v, err := k.lim.convert(f.Type, e)
		switch {
		case err != nil:
			k.bad(path, "a value of enum %s", err.msg)
		case v == nil:
			k.bad(path, "a value of enum is null")
		case f.Type == String:
			r.enumText = append(r.enumText, v.(string))
		default:
			r.enum = append(r.enum, v)
		}
	}
}

// fallback compiles the default.
func (k *fieldCompiler) fallback(r *rules, f *Field, path string) {
	if fn, ok := f.Default.(func() any); ok && fn == nil {
		k.bad(path, "its default is a nil function")
		return
	} else if ok {
		r.hasDefault, r.defFunc = true, fn
		return
	}
	if f.Default == nil {
		return
	}
	v, err := k.lim.convert(f.Type, f.Default)
	if err != nil {
		k.bad(path, "its default %s", err.msg)
		return
	}
	r.hasDefault, r.def = true, v
	for _, is := range r.describe(nil, "", r.checkValue(v)) {
		k.bad(path, "its default %s", is.Message)
	}
	if r.inner != nil {
		w := insider{lim: k.lim, dry: true}
		w.look(r, cloneValue(v))
		for _, is := range w.issues {
			k.bad(path+is.Field, "its default %s", is.Message)
		}
	}
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

// listed is the definition's own copy of a value of the enum, so that a record keeps
// none of the memory that the value came in; what is no value of it stays what it is.
func (r *rules) listed(text string) string {
	for _, e := range r.enumText {
		if e == text {
			return e
		}
	}
	return text
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
	if r.enum != nil && !slices.ContainsFunc(r.enum, n.is) {
		bad |= brokenEnum
	}
	return bad
}

// is reports whether a canonical value is the number.
func (n number) is(v any) bool {
	switch v.(type) {
	case int64, float64:
		return numberIn(v).compare(n) == 0
	}
	return false
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
