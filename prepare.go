package store

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

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
	timed func()         // a record gets a deadline
	auto  []atomic.Int64 // by position of the field: last number given out
}

// problems collects what is wrong with one record.
type problems []Issue

func (ps *problems) add(field string, err *valueError) {
	*ps = append(*ps, Issue{Field: field, Code: Code(err.code), Message: err.msg})
}

// note adds what is wrong with a field and inside of it. Any other error, which is
// the user's, is returned.
func (ps *problems) note(field string, err error) error {
	switch e := err.(type) {
	case *valueError:
		ps.add(field, e)
	case *insideError:
		for _, is := range e.issues {
			is.Field = field + is.Field
			*ps = append(*ps, is)
		}
	default:
		return err
	}
	return nil
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
			if err := p.take(s, v, x, now); err != nil {
				s.setAbsent(v, false)
				if err := wrong.note(s.name, err); err != nil {
					return nil, p.failed(s, err)
				}
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
		if x := in[metaExpiresAt]; x != nil {
			ms, err := deadline(x, now)
			if sh.meta(v).ExpiresAt = ms; err != nil {
				wrong.add(metaExpiresAt, err)
			}
		}
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
		} else if err := p.settle(s, v, now); err != nil {
			if err := wrong.note(s.name, err); err != nil {
				return p.failed(s, err)
			}
			continue
		}
		if err := p.finish(s, v, now, &wrong); err != nil {
			return err
		}
	}
	p.requested(v, now, &wrong)
	p.stampNew(v, now)
	return p.accept(v, wrong)
}

// requested checks the deadline that a struct brings in its metadata.
func (p *preparer) requested(v *table.Version, now time.Time, wrong *problems) {
	m := p.sh.meta(v)
	if m.ExpiresAt == 0 {
		return
	}
	ms, err := deadlineAt(m.ExpiresAt.Time(), now)
	if m.ExpiresAt = ms; err != nil {
		wrong.add(metaExpiresAt, err)
	}
}

// complete prepares a new record whose fields were brought over one by one, some
// with problems.
func (p *preparer) complete(v *table.Version, now time.Time, wrong problems) error {
	for i := range p.sh.slots {
		s := &p.sh.slots[i]
		if wrong.names(s) {
			continue
		}
		if err := p.finish(s, v, now, &wrong); err != nil {
			return err
		}
	}
	wrong.sort(p.sh)
	p.requested(v, now, &wrong)
	p.stampNew(v, now)
	return p.accept(v, wrong)
}

// take brings a value from outside into a field, completed and checked inside.
// Errors: *valueError, *insideError, or that of a default function.
func (p *preparer) take(s *slot, v *table.Version, x any, now time.Time) error {
	if s.inner == nil {
		if err := s.put(v, x, p.sh.lim); err != nil {
			return err
		}
		return nil
	}
	c, err := p.sh.lim.convert(s.typ, x)
	if err != nil {
		return err
	}
	if c == nil {
		s.clear(v)
		return nil
	}
	if err := s.complete(c, p.sh.lim, now); err != nil {
		return err
	}
	if err := s.keep(v, c); err != nil {
		return err
	}
	return nil
}

// settle is slot.settle, and takes care of what is inside.
func (p *preparer) settle(s *slot, v *table.Version, now time.Time) error {
	if err := s.settle(v, p.sh.lim); err != nil {
		return err
	}
	if s.inner == nil || s.inner.fixed {
		return nil
	}
	return s.completeMemory(v, p.sh.lim, now)
}

// failed is the error of a function of the user's, at a field.
func (p *preparer) failed(s *slot, err error) error {
	if e, ok := err.(*Error); ok && e.Bucket == "" { // from inside of the field
		return &Error{Op: e.Op + " of field " + s.name, Bucket: p.sh.bucket, Err: e.Err}
	}
	return err
}

// names reports whether there is a problem with a field already, or inside of it.
func (ps problems) names(s *slot) bool {
	return slices.ContainsFunc(ps, func(is Issue) bool { return s.owns(is.Field) })
}

// owns reports whether a path leads to the field or into it.
func (s *slot) owns(path string) bool {
	rest, ok := strings.CutPrefix(path, s.name)
	return ok && (rest == "" || s.inner != nil && (rest[0] == '.' || rest[0] == '['))
}

// sort brings the problems into the order of the fields.
func (ps problems) sort(sh *shape) {
	slices.SortStableFunc(ps, func(a, b Issue) int { return cmp.Compare(sh.position(a.Field), sh.position(b.Field)) })
}

// position is that of the field that a path begins with.
func (sh *shape) position(path string) int {
	for end := len(path); end > 0; end = strings.LastIndexAny(path[:end], ".[") {
		if i, ok := sh.byName[path[:end]]; ok {
			return i
		}
	}
	return len(sh.slots)
}

// verdict is the end of preparing a record: the error that lists what is wrong, or
// what the validators say of it.
func (p *preparer) verdict(v *table.Version, wrong problems) error {
	if len(wrong) > 0 || !p.sh.judged {
		return wrong.err(p.sh.bucket)
	}
	return p.sh.validate(v, nil, true)
}

// accept is the end of preparing a new record: numbers that it brought for
// autoincrement fields are taken from now on.
func (p *preparer) accept(v *table.Version, wrong problems) error {
	if err := p.verdict(v, wrong); err != nil {
		return err
	}
	p.raiseAll(v)
	return nil
}

// finish is what every field of a new record goes through once its input is in
// place: generate, default, validate.
func (p *preparer) finish(s *slot, v *table.Version, now time.Time, wrong *problems) error {
	if s.absent(v) {
		if err := p.fill(s, v, now); err != nil {
			if err := wrong.note(s.name, err); err != nil {
				return p.failed(s, err)
			}
			return nil
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
		if bad = s.check(v); bad == 0 && s.kind == memString && s.enumText != nil && !s.ptr { // else it may be another version's too
			text := (*string)(s.mem(v))
			*text = s.listed(*text)
		}
	}
	if bad != 0 {
		*wrong = s.describe(*wrong, s.name, bad)
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
	ownExt(v).Extra = extra
}

// stampNew completes the metadata of a new record, which has its deadline if it
// is to have one of its own.
func (p *preparer) stampNew(v *table.Version, now time.Time) {
	ms := nowMillis(now)
	m := Meta{Version: 1, CreatedAt: ms, UpdatedAt: ms, ExpiresAt: p.sh.meta(v).ExpiresAt}
	if m.ExpiresAt == 0 && p.sh.ttl > 0 {
		m.ExpiresAt = endOf(ms, p.sh.ttl)
	}
	if m.ExpiresAt != 0 {
		p.timed()
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
		if err := p.take(s, v, x, now); err != nil {
			if err := wrong.note(name, err); err != nil {
				return nil, p.failed(s, err)
			}
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
	return v, p.verdict(v, wrong)
}

// updateStruct prepares the version that follows old from a version whose body
// was filled from a struct.
func (p *preparer) updateStruct(v, old *table.Version) error {
	sh, now := p.sh, p.clock()
	var wrong problems
	for _, r := range sh.hide {
		reflect.NewAt(r.typ, at(v, sh.bodyOff+r.off)).Elem().SetZero()
	}
	if old.Ext.Extra != nil {
		ownExt(v).Extra = old.Ext.Extra
	}
	for i := range sh.slots {
		s := &sh.slots[i]
		if i == sh.key || s.gen != 0 {
			s.copyFrom(v, old)
			continue
		}
		if s.scalar() && !s.absent(old) && s.equal(v, old) {
			switch s.kind {
			case memTime: // equal, but perhaps in another zone
				*(*time.Time)(at(v, s.off)) = *(*time.Time)(at(old, s.off))
			case memString: // equal, but perhaps in memory of the caller's
				*(*string)(at(v, s.off)) = *(*string)(at(old, s.off))
			}
			continue // it was valid, and its schema has not changed since
		}
		if s.kind == memRef && !s.absent(old) && s.untouched(v, old, sh.lim) {
			s.copyFrom(v, old) // likewise
			continue
		}
		if s.zero(v) && (s.zeroNull || s.nilable() || s.absent(old)) {
			s.setAbsent(v, true)
		} else if err := p.settle(s, v, now); err != nil {
			if err := wrong.note(s.name, err); err != nil {
				return p.failed(s, err)
			}
			continue
		}
		s.judge(v, &wrong)
	}
	p.stampNext(v, old, now)
	return p.verdict(v, wrong)
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
			wrong = slices.DeleteFunc(wrong, func(is Issue) bool { return s.owns(is.Field) })
		} else if !wrong.names(s) {
			s.judge(v, &wrong)
		}
	}
	wrong.sort(p.sh)
	p.stampNext(v, old, p.clock())
	return p.verdict(v, wrong)
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
	s.copyField(v, old, s)
	s.setAbsent(v, s.absent(old))
}

// copyField copies the memory of a field from a version of another shape, in
// which it is from, of the same Go type.
func (s *slot) copyField(v, old *table.Version, from *slot) {
	if s.scalar() {
		copyScalar(s.kind, s.size, at(old, from.off), at(v, s.off))
		return
	}
	t := s.fieldType()
	reflect.NewAt(t, at(v, s.off)).Elem().Set(reflect.NewAt(t, at(old, from.off)).Elem())
}

// fieldType is the Go type of the field, the pointer included.
func (s *slot) fieldType() reflect.Type {
	if s.ptr {
		return reflect.PointerTo(s.goType)
	}
	return s.goType
}
