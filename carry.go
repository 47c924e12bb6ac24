package store

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/noex-go/store/internal/table"
)

// How an alteration converts a record, and what it finds wrong with it.

// carry converts a record. prior is what there is of it in the new bucket already,
// nil if there is nothing: its new fields stay, unless anew. changed reports that
// the record is not what it was. What the new definition does not allow of it
// becomes refusals.
func (a *alteration) carry(old, prior *table.Version, anew bool) (v *table.Version, changed bool, err error) {
	sh, was := a.b.shape, a.old.shape
	v = sh.alloc()
	if old.Ext.Extra != nil {
		ownExt(v).Extra = old.Ext.Extra
	}
	if a.alike {
		sh.bodyOf(v).Set(was.bodyOf(old))
	}
	var wrong problems
	for i := range sh.slots {
		s := &sh.slots[i]
		if pos := a.from[i]; pos >= 0 {
			a.carryField(v, old, s, &was.slots[pos])
			if a.judge[i] {
				other, err := a.again(s, v, &wrong)
				if err != nil {
					return nil, false, err
				}
				changed = changed || other
			}
			continue
		}
		if prior != nil && anew {
			prior = nil
		}
		if err := a.carryNew(v, prior, s, &wrong); err != nil {
			return nil, false, err
		}
		changed = changed || !s.absent(v)
	}
	m := *was.meta(old)
	if m.ExpiresAt == 0 && a.b.def.TTL > 0 && a.old.def.TTL != a.b.def.TTL {
		m.ExpiresAt = endOf(m.CreatedAt, a.b.def.TTL)
		changed = true
	}
	*sh.meta(v) = m
	if len(wrong) == 0 {
		if err := sh.validate(v, a.asks, a.asksAll); err != nil {
			ve, ok := err.(*ValidationError)
			if !ok {
				return nil, false, err
			}
			wrong = ve.Issues
		}
	}
	for _, is := range wrong {
		a.refuse(was.keyOf(old), is)
	}
	if len(wrong) == 0 {
		a.b.prep.raiseAll(v)
	}
	return v, changed, nil
}

// again judges a field by its new rules. What they complete inside of it changes the
// record.
func (a *alteration) again(s *slot, v *table.Version, wrong *problems) (changed bool, err error) {
	if s.inner != nil && !s.absent(v) {
		was := s.peek(v) // perhaps the old record's own: taking it copies it
		in := was
		if s.kind == memRef {
			in = s.peek(v)
			s.prune(reflect.NewAt(s.goType, s.mem(v)).Elem(), in)
		}
		if err := a.b.prep.take(s, v, in, a.now); err != nil {
			if err := wrong.note(s.name, err); err != nil {
				return false, a.b.prep.failed(s, err)
			}
			return false, nil
		}
		changed = !identicalValues(was, s.peek(v))
	}
	s.judge(v, wrong)
	return changed, nil
}

// carryField takes over a field that both buckets have.
func (a *alteration) carryField(v, old *table.Version, s, from *slot) {
	if !a.alike {
		s.copyField(v, old, from)
	}
	s.setAbsent(v, from.absent(old))
}

// carryNew fills a field that the old bucket has not: by an extra field of its
// name, as it is already, or as an insert would.
func (a *alteration) carryNew(v, prior *table.Version, s *slot, wrong *problems) error {
	s.setAbsent(v, true)
	if x, ok := v.Ext.Extra[s.name]; ok {
		ownExt(v).Extra = without(v.Ext.Extra, s.name)
		if err := a.b.prep.take(s, v, x, a.now); err != nil {
			s.setAbsent(v, false)
			if err := wrong.note(s.name, err); err != nil {
				return a.b.prep.failed(s, err)
			}
			return nil
		}
	} else if prior != nil {
		s.copyFrom(v, prior)
		return nil
	}
	return a.b.prep.finish(s, v, a.now, wrong)
}

// lostExtra reports whether a change has taken away an extra field that was the
// value of a new one.
func (a *alteration) lostExtra(c *change) bool {
	if c.old == nil || len(c.old.Ext.Extra) == 0 {
		return false
	}
	for i, pos := range a.from {
		if pos >= 0 {
			continue
		}
		name := a.b.shape.slots[i].name
		if _, had := c.old.Ext.Extra[name]; had {
			if _, has := c.new.Ext.Extra[name]; !has {
				return true
			}
		}
	}
	return false
}

// without is extra fields without one of them: they are shared with older records.
func without(extra map[string]any, name string) map[string]any {
	extra = maps.Clone(extra)
	if delete(extra, name); len(extra) == 0 {
		return nil
	}
	return extra
}

// duplicates finds the copied records that break a new unique index.
func (a *alteration) duplicates() {
	for i := range a.b.shape.indexes {
		if a.unique>>i&1 == 0 {
			continue
		}
		seen := map[table.Key]bool{}
		for _, v := range a.rows {
			k, ok := a.b.shape.indexes[i].keyOf(v)
			if ok && seen[k] {
				a.twice(i, v)
			}
			seen[k] = seen[k] || ok
		}
	}
	for _, v := range a.rows {
		a.bytes += a.weigh(v)
	}
}

// taken finds the pending records that break a new unique index.
func (a *alteration) taken() {
	if a.unique == 0 {
		return
	}
	t := a.b.table
	for _, c := range t.Since(0) {
		if c.Deleted() {
			continue
		}
		if i := t.Taken(c.New, int64(t.HeadOf(c.New).Row()), a.unique, nil); i != table.NoConflict {
			a.twice(int(i), c.New)
		}
	}
}

func (a *alteration) twice(index int, v *table.Version) {
	s := &a.b.shape.slots[a.b.shape.indexes[index].fields[0]]
	a.refuse(a.b.shape.keyOf(v), Issue{Field: s.name, Code: CodeUnique, Message: "has a value that another record has too"})
}

// refusalsMost is how many issues an alteration lists, and beyond them the first one
// of each rule of each field, ten times as many at most: the codes of validators
// know no end. It counts the others.
const refusalsMost = 100

// refusals is what the new definition does not allow of the records.
type refusals struct {
	list []Issue
	more int
	seen map[refusal]bool
}

// refusal is a rule of a field, whatever the place inside of it; see shape.position.
type refusal struct {
	pos  int
	code Code
}

// refuse notes what the new definition does not allow of a record.
func (a *alteration) refuse(key Key, is Issue) {
	r, id := &a.refused, refusal{a.b.shape.position(is.Field), is.Code}
	if n := len(r.list); n >= refusalsMost && (r.seen[id] || n >= 10*refusalsMost) {
		r.more++
		return
	}
	if r.seen == nil {
		r.seen = map[refusal]bool{}
	}
	r.seen[id] = true
	if is.Field != "" { // else it is about the record
		is.Field = "." + is.Field
	}
	is.Field = fmt.Sprintf("[%s]%s", key, is.Field)
	r.list = append(r.list, is)
}

func (r *refusals) err(b *bucket) error {
	if len(r.list) == 0 {
		return nil
	}
	return &ValidationError{Bucket: b.name, Issues: r.list, More: r.more}
}
