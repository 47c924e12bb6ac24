package store

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/google/uuid"
	"github.com/lucsky/cuid"

	"github.com/noex-go/store/internal/table"
)

// Prepare is everything between what a caller passes and an immutable record
// that a bucket server may take: generate → default → validate → metadata. It
// runs in the caller's goroutine, in parallel with everything else, because
// user code (default functions) belongs there and nothing may fail later that
// can fail now.

// preparer makes the records of one bucket.
type preparer struct {
	sh    *shape
	clock func() time.Time
	auto  []atomic.Int64 // by position of the field: last number given out
}

// problems collects what is wrong with one record.
type problems []Issue

func (ps *problems) add(field string, err *valueError) {
	*ps = append(*ps, Issue{Field: field, Code: Code(err.code), Message: err.msg})
}

func (ps problems) err(bucket string) error {
	if len(ps) == 0 {
		return nil
	}
	return &ValidationError{Bucket: bucket, Issues: ps}
}

func nowMillis(t time.Time) Millis { return Millis(t.UnixMilli()) }

// insertFields prepares a new record from a dynamic input.
func (p *preparer) insertFields(in Fields, now time.Time) (*table.Version, error) {
	sh := p.sh
	v := sh.alloc()
	var wrong problems
	used := 0
	for i := range sh.slots {
		s := &sh.slots[i]
		x, ok := in[s.name]
		if ok {
			used++
			if err := s.put(v, x, sh.lim); err != nil {
				s.setAbsent(v, false)
				wrong.add(s.name, err)
				continue
			}
		} else {
			s.setAbsent(v, true)
		}
		if err := p.finish(s, v, now, &wrong); err != nil {
			return nil, err
		}
	}
	if used < len(in) {
		p.extraFields(v, in, &wrong)
	}
	p.stampNew(v, now)
	return v, p.accept(v, wrong)
}

// insertStruct prepares a new record from a version whose body was filled from
// a struct.
func (p *preparer) insertStruct(v *table.Version, now time.Time) error {
	sh := p.sh
	var wrong problems
	for _, r := range sh.hide {
		reflect.NewAt(r.typ, at(v, sh.bodyOff+r.off)).Elem().SetZero()
	}
	for i := range sh.slots {
		s := &sh.slots[i]
		if s.zero(v) && (s.zeroAbsent || s.nilable()) {
			s.setAbsent(v, true)
		} else if err := s.settle(v, sh.lim); err != nil {
			wrong.add(s.name, err)
			continue
		}
		if err := p.finish(s, v, now, &wrong); err != nil {
			return err
		}
	}
	p.stampNew(v, now)
	return p.accept(v, wrong)
}

// complete prepares a new record whose fields were brought over one by one, some
// with problems.
func (p *preparer) complete(v *table.Version, now time.Time, wrong problems) error {
	for i := range p.sh.slots {
		s := &p.sh.slots[i]
		if wrong.names(s.name) {
			continue
		}
		if err := p.finish(s, v, now, &wrong); err != nil {
			return err
		}
	}
	wrong.sort(p.sh)
	p.stampNew(v, now)
	return p.accept(v, wrong)
}

// names reports whether there is a problem with a field already.
func (ps problems) names(field string) bool {
	return slices.ContainsFunc(ps, func(is Issue) bool { return is.Field == field })
}

// sort brings the problems into the order of the fields.
func (ps problems) sort(sh *shape) {
	slices.SortStableFunc(ps, func(a, b Issue) int { return cmp.Compare(sh.byName[a.Field], sh.byName[b.Field]) })
}

// accept is the end of preparing a new record: numbers that it brought for
// autoincrement fields are taken from now on.
func (p *preparer) accept(v *table.Version, wrong problems) error {
	if len(wrong) > 0 {
		return wrong.err(p.sh.bucket)
	}
	for _, i := range p.sh.autos {
		if s := &p.sh.slots[i]; !s.absent(v) {
			p.raise(s, v)
		}
	}
	return nil
}

// finish is what every field of a new record goes through once its input is in
// place: generate, default, validate.
func (p *preparer) finish(s *slot, v *table.Version, now time.Time, wrong *problems) error {
	if s.absent(v) {
		if err := p.fill(s, v, now); err != nil {
			if ve, ok := err.(*valueError); ok {
				wrong.add(s.name, ve)
				return nil
			}
			return err
		}
	}
	s.judge(v, wrong)
	return nil
}

// judge adds what is wrong with a field by its rules.
func (s *slot) judge(v *table.Version, wrong *problems) {
	bad := broken(0)
	if s.absent(v) {
		if s.required {
			bad = brokenRequired
		}
	} else if !s.plain {
		bad = s.check(v)
	}
	if bad != 0 {
		*wrong = s.describe(*wrong, s.name, bad)
	}
}

// fill generates or defaults an absent field.
func (p *preparer) fill(s *slot, v *table.Version, now time.Time) error {
	switch {
	case s.gen == UUID && s.kind == memString && !s.ptr:
		*(*string)(at(v, s.off)) = newUUID()
		s.setAbsent(v, false)
	case s.gen == Autoincrement:
		n, ok := p.draw(s)
		if !ok {
			return &valueError{string(CodeMax), "has no number left"}
		}
		if err := s.put(v, n, p.sh.lim); err != nil {
			return err
		}
	case s.gen != 0:
		if err := s.put(v, p.generate(s, now), p.sh.lim); err != nil {
			return err
		}
	case s.defFunc != nil:
		x, err := callDefault(s.defFunc)
		if err != nil {
			return &Error{Op: "default of field " + s.name, Bucket: p.sh.bucket, Err: err}
		}
		if err := s.put(v, x, p.sh.lim); err != nil {
			err.msg = "its default " + err.msg
			return err
		}
	case s.hasDefault:
		if s.kind == memRef {
			if err := s.putRef(v, s.def, p.sh.lim); err != nil {
				return err
			}
			return nil
		}
		if err := s.store(v, cloneValue(s.def)); err != nil {
			return err
		}
	}
	return nil
}

// checkDefaults tries each default on the struct's fields, which may be narrower
// than their types.
func (sh *shape) checkDefaults() (issues []Issue) {
	v := sh.alloc()
	for i := range sh.slots {
		s := &sh.slots[i]
		if s.def == nil {
			continue
		}
		if err := s.put(v, s.def, sh.lim); err != nil {
			issues = append(issues, Issue{s.name, Code(err.code), "its default " + err.msg})
		}
	}
	return issues
}

func callDefault(fn func() any) (x any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return fn(), nil
}

// randoms are buffered sources of secure random bytes: a system call for every
// 32 UUIDs instead of each. Package state, but nobody can tell.
var randoms = sync.Pool{New: func() any { return bufio.NewReaderSize(rand.Reader, 512) }}

func newUUID() string {
	r := randoms.Get().(*bufio.Reader)
	id, err := uuid.NewRandomFromReader(r)
	randoms.Put(r)
	if err != nil { // crypto/rand does not fail
		panic(err)
	}
	return id.String()
}

func (p *preparer) generate(s *slot, now time.Time) any {
	switch s.gen {
	case UUID:
		return newUUID()
	case CUID:
		return cuid.New()
	}
	switch s.typ {
	case Date:
		return now
	case String:
		return now.UTC().Format(time.RFC3339Nano)
	}
	return now.UnixMilli()
}

// draw takes the next number of an autoincrement field.
func (p *preparer) draw(s *slot) (int64, bool) {
	for c := &p.auto[s.pos]; ; {
		last := c.Load()
		if last == math.MaxInt64 {
			return 0, false
		}
		if c.CompareAndSwap(last, last+1) {
			return last + 1, true
		}
	}
}

// raise keeps the counter above a number that a caller chose.
func (p *preparer) raise(s *slot, v *table.Version) {
	n := s.num(v)
	taken := int64(n.bits)
	if n.isFloat {
		f := math.Floor(n.float())
		if f >= 1<<63 || f < 1 {
			return // no number that could come
		}
		taken = int64(f)
	}
	c := &p.auto[s.pos]
	for last := c.Load(); taken > last && !c.CompareAndSwap(last, taken); last = c.Load() {
	}
}

// extraFields takes the input fields that the schema does not have.
func (p *preparer) extraFields(v *table.Version, in Fields, wrong *problems) {
	var names []string
	for name := range in {
		if _, ok := p.sh.byName[name]; !ok && !isMetaName(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	if !p.sh.extra {
		for _, name := range names {
			*wrong = append(*wrong, Issue{name, CodeUnknown, "is not a field of the schema"})
		}
		return
	}
	if v.Ext == nil {
		v.Ext = &table.Ext{}
	}
	extra := make(map[string]any, len(v.Ext.Extra)+len(names))
	// shared with the version before: values are immutable
	maps.Copy(extra, v.Ext.Extra)
	for _, name := range names {
		x, err := p.sh.lim.normalize(in[name])
		switch {
		case !utf8.ValidString(name):
			*wrong = append(*wrong, Issue{name, CodeFormat, "its name is not valid UTF-8"})
		case err != nil:
			wrong.add(name, err)
		case x == nil:
			delete(extra, name)
		default:
			extra[name] = x
		}
	}
	v.Ext.Extra = extra
}

func (p *preparer) stampNew(v *table.Version, now time.Time) {
	ms := nowMillis(now)
	m := Meta{Version: 1, CreatedAt: ms, UpdatedAt: ms}
	if p.sh.ttl > 0 {
		m.ExpiresAt = ms + Millis(p.sh.ttl.Milliseconds())
	}
	*p.sh.meta(v) = m
}

func (p *preparer) stampNext(v, old *table.Version, now time.Time) {
	m := *p.sh.meta(old)
	m.Version++
	m.UpdatedAt = max(m.UpdatedAt, nowMillis(now)) // clocks jump, records do not
	*p.sh.meta(v) = m
}

// merge prepares the version that follows old with some fields changed. Key,
// generated and metadata fields of the input are ignored.
func (p *preparer) merge(old *table.Version, in Fields, now time.Time) (*table.Version, error) {
	sh := p.sh
	v := sh.copyOf(old)
	var wrong problems
	unknown := false
	for name, x := range in {
		i, ok := sh.byName[name]
		if !ok {
			unknown = unknown || !isMetaName(name)
			continue
		}
		s := &sh.slots[i]
		if i == sh.key || s.gen != 0 {
			continue
		}
		if err := s.put(v, x, sh.lim); err != nil {
			wrong.add(name, err)
			continue
		}
		// The rest of the record was valid when it was written, and its schema
		// has not changed since.
		s.judge(v, &wrong)
	}
	wrong.sort(sh)
	if unknown {
		p.extraFields(v, in, &wrong)
	}
	p.stampNext(v, old, now)
	return v, wrong.err(sh.bucket)
}

// updateStruct prepares the version that follows old from a version whose body
// was filled from a struct.
func (p *preparer) updateStruct(v, old *table.Version) error {
	sh := p.sh
	var wrong problems
	for _, r := range sh.hide {
		reflect.NewAt(r.typ, at(v, sh.bodyOff+r.off)).Elem().SetZero()
	}
	if old.Ext != nil {
		v.Ext = &table.Ext{Extra: old.Ext.Extra}
	}
	for i := range sh.slots {
		s := &sh.slots[i]
		if i == sh.key || s.gen != 0 {
			s.copyFrom(v, old)
			continue
		}
		if s.scalar() && !s.absent(old) && s.equal(v, old) {
			if s.kind == memTime { // equal, but perhaps in another zone
				*(*time.Time)(at(v, s.off)) = *(*time.Time)(at(old, s.off))
			}
			continue // it was valid, and its schema has not changed since
		}
		if s.zero(v) && (s.zeroNull || s.nilable() || s.absent(old)) {
			s.setAbsent(v, true)
		} else if err := s.settle(v, sh.lim); err != nil {
			wrong.add(s.name, err)
			continue
		}
		s.judge(v, &wrong)
	}
	p.stampNext(v, old, p.clock())
	return wrong.err(sh.bucket)
}

// scalar reports whether the field's memory holds all of its value, or an
// immutable string.
func (s *slot) scalar() bool { return !s.ptr && s.kind < memBytes }

// follow prepares the version that follows old from one whose fields were
// brought over one by one, some with problems.
func (p *preparer) follow(v, old *table.Version, wrong problems) error {
	for i := range p.sh.slots {
		s := &p.sh.slots[i]
		if i == p.sh.key || s.gen != 0 {
			s.copyFrom(v, old)
			wrong = slices.DeleteFunc(wrong, func(is Issue) bool { return is.Field == s.name })
		} else if !wrong.names(s.name) {
			s.judge(v, &wrong)
		}
	}
	wrong.sort(p.sh)
	p.stampNext(v, old, p.clock())
	return wrong.err(p.sh.bucket)
}

// nilable reports whether the field's Go type has a nil, which is absence.
func (s *slot) nilable() bool {
	if s.ptr || s.kind == memBytes || s.kind == memAny {
		return true
	}
	return s.kind == memRef && (s.goType.Kind() == reflect.Slice || s.goType.Kind() == reflect.Map)
}

// copyFrom takes a field over from another version of the same shape.
func (s *slot) copyFrom(v, old *table.Version) {
	t := s.goType
	if s.ptr {
		t = reflect.PointerTo(t)
	}
	reflect.NewAt(t, at(v, s.off)).Elem().Set(reflect.NewAt(t, at(old, s.off)).Elem())
	s.setAbsent(v, s.absent(old))
}

// putRef stores a value in a field of a Go type that has no memKind of its own.
func (s *slot) putRef(v *table.Version, x any, lim limits) *valueError {
	c, err := lim.convert(s.typ, x)
	if err != nil {
		return err
	}
	if c == nil {
		s.clear(v)
		return nil
	}
	fresh := reflect.New(s.goType)
	if err := assign(fresh.Elem(), c); err != nil {
		return err
	}
	if s.ptr {
		*(*unsafe.Pointer)(at(v, s.off)) = fresh.UnsafePointer()
	} else {
		reflect.NewAt(s.goType, at(v, s.off)).Elem().Set(fresh.Elem())
	}
	s.setAbsent(v, false)
	return nil
}

// assign brings a canonical value into a Go value of another type.
func assign(dst reflect.Value, c any) *valueError {
	if c == nil {
		dst.SetZero()
		return nil
	}
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), c)
	}
	mismatch := func() *valueError {
		return &valueError{string(CodeType), fmt.Sprintf("must be a %s, got %s", dst.Type(), typeName(c))}
	}
	if dst.Type() == timeType {
		t, err := toTime(c)
		if err == nil {
			dst.Set(reflect.ValueOf(t))
		}
		return err
	}
	switch dst.Kind() {
	case reflect.Interface:
		if dst.NumMethod() == 0 {
			dst.Set(reflect.ValueOf(cloneValue(c)))
			return nil
		}
	case reflect.String:
		if s, ok := c.(string); ok {
			dst.SetString(s)
			return nil
		}
	case reflect.Bool:
		if b, ok := c.(bool); ok {
			dst.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, err := toInt(c); err == nil && !dst.OverflowInt(i) {
			dst.SetInt(i)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, err := toInt(c); err == nil && i >= 0 && !dst.OverflowUint(uint64(i)) {
			dst.SetUint(uint64(i))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, err := toFloat(c); err == nil && !dst.OverflowFloat(f) {
			dst.SetFloat(f)
			return nil
		}
	case reflect.Slice:
		if dst.Type().Elem().Kind() == reflect.Uint8 {
			if b, err := toBytes(c); err == nil {
				dst.SetBytes(b)
				return nil
			}
		}
		if list, ok := c.([]any); ok {
			out := reflect.MakeSlice(dst.Type(), len(list), len(list))
			for i, x := range list {
				if err := assign(out.Index(i), x); err != nil {
					return err
				}
			}
			dst.Set(out)
			return nil
		}
	case reflect.Array:
		if list, ok := c.([]any); ok && len(list) == dst.Len() {
			for i, x := range list {
				if err := assign(dst.Index(i), x); err != nil {
					return err
				}
			}
			return nil
		}
		if b, err := toBytes(c); err == nil && dst.Type().Elem().Kind() == reflect.Uint8 && len(b) == dst.Len() {
			reflect.Copy(dst, reflect.ValueOf(b))
			return nil
		}
	case reflect.Map:
		if m, ok := c.(map[string]any); ok && dst.Type().Key().Kind() == reflect.String {
			out := reflect.MakeMapWithSize(dst.Type(), len(m))
			for k, x := range m {
				e := reflect.New(dst.Type().Elem()).Elem()
				if err := assign(e, x); err != nil {
					return err
				}
				out.SetMapIndex(reflect.ValueOf(k).Convert(dst.Type().Key()), e)
			}
			dst.Set(out)
			return nil
		}
	case reflect.Struct:
		if m, ok := c.(map[string]any); ok {
			return assignStruct(dst, m)
		}
	}
	return mismatch()
}

// assignStruct fills a struct by the names that normalize gives its fields.
func assignStruct(dst reflect.Value, m map[string]any) *valueError {
	plan := planOf(dst.Type())
	used := 0
	for _, f := range plan.fields {
		x, ok := m[f.name]
		if !ok {
			continue
		}
		used++
		if err := assign(fieldToSet(dst, f.index), x); err != nil {
			return err
		}
	}
	if used < len(m) {
		return &valueError{string(CodeUnknown), fmt.Sprintf("has fields that %s does not have", dst.Type())}
	}
	return nil
}

// unlimited is for values that were checked before.
var unlimited = limits{math.MaxInt32, math.MaxInt}

// cloneReflect returns a deep copy of a Go value. With tidy it keeps only what a
// record may hold: fields that the record shows, times in UTC; what was tidied
// once stays so.
func cloneReflect(rv reflect.Value, tidy bool) reflect.Value {
	t := rv.Type()
	switch {
	case t == timeType && tidy:
		return reflect.ValueOf(rv.Interface().(time.Time).UTC().Round(0))
	case !tidy && flat(t):
		return rv
	}
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return rv
		}
		out := reflect.New(t.Elem())
		out.Elem().Set(cloneReflect(rv.Elem(), tidy))
		return out
	case reflect.Interface:
		if rv.IsNil() {
			return rv
		}
		// An any: it holds a canonical value, as a field of type Any does.
		out := reflect.New(t).Elem()
		if c, err := unlimited.normalize(rv.Interface()); err == nil && c != nil {
			out.Set(reflect.ValueOf(c))
		}
		return out
	case reflect.Slice:
		if rv.IsNil() {
			return rv
		}
		out := reflect.MakeSlice(t, rv.Len(), rv.Len())
		cloneElements(out, rv, tidy)
		return out
	case reflect.Array:
		out := reflect.New(t).Elem()
		cloneElements(out, rv, tidy)
		return out
	case reflect.Map:
		if rv.IsNil() {
			return rv
		}
		out := reflect.MakeMapWithSize(t, rv.Len())
		for it := rv.MapRange(); it.Next(); {
			out.SetMapIndex(it.Key(), cloneReflect(it.Value(), tidy))
		}
		return out
	case reflect.Struct:
		if t == timeType {
			return rv
		}
		// Only what the record shows: the rest may be anything, cycles included.
		out := reflect.New(t).Elem()
		for _, f := range planOf(t).fields {
			if from, ok := fieldByIndex(rv, f.index); ok {
				fieldToSet(out, f.index).Set(cloneReflect(from, tidy))
			}
		}
		return out
	}
	return rv
}

func cloneElements(out, rv reflect.Value, tidy bool) {
	if e := rv.Type().Elem(); flat(e) && (!tidy || e.Kind() != reflect.Struct && e.Kind() != reflect.Array) {
		reflect.Copy(out, rv)
		return
	}
	for i := range rv.Len() {
		out.Index(i).Set(cloneReflect(rv.Index(i), tidy))
	}
}

// fieldToSet is reflect.Value.FieldByIndex that makes what embedded pointers lack.
func fieldToSet(rv reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if rv.Kind() == reflect.Pointer {
			if rv.IsNil() {
				rv.Set(reflect.New(rv.Type().Elem()))
			}
			rv = rv.Elem()
		}
		rv = rv.Field(i)
	}
	return rv
}

// flat reports whether a copy of a value of the type shares nothing mutable.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		if t == timeType {
			return true // its *Location is immutable
		}
		for i := range t.NumField() {
			if !flat(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}
