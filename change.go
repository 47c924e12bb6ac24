package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Change is what AlterBucket changes of a definition. What is zero stays; the zero
// Change changes nothing. It is copied.
type Change struct {
	// Fields are added. A field that is there gets these rules instead of its own;
	// its type, and the key, stay.
	Fields     Schema
	AddIndexes []Index
	// DropIndexes are named by their fields, in their order. One that is not there is
	// an error; that of a unique field goes with the rule.
	DropIndexes []Index
	// TTL, MaxSize (records) and MaxBytes replace the definition's; negative: none any
	// more. A TTL counts for records that have no deadline, from their creation.
	TTL      time.Duration
	MaxSize  int
	MaxBytes int64
	Evict    Eviction // for a bucket that has a bound then
	// Validate replaces the definition's, and is asked about every record that is
	// there. One that always returns nil takes the old one away.
	Validate func(rec Record) error
}

// apply makes the changed definition, and says what cannot be changed.
func (c *Change) apply(d Definition) (Definition, []Issue) {
	var issues []Issue
	bad := func(field, format string, args ...any) {
		issues = append(issues, Issue{Field: field, Code: CodeType, Message: fmt.Sprintf(format, args...)})
	}
	d = d.clone()
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		if old, ok := d.Schema[name]; ok && old.Type != c.Fields[name].Type {
			bad(name, "must stay a %s", old.Type)
		}
		d.Schema[name] = c.Fields[name]
	}
	for _, ix := range c.DropIndexes {
		i := slices.IndexFunc(d.Indexes, func(x Index) bool { return slices.Equal(x, ix) })
		switch {
		case i >= 0:
			d.Indexes = slices.Delete(d.Indexes, i, i+1)
		case len(ix) == 1 && d.Schema[ix[0]].Unique:
			bad(ix[0], "the field is unique and needs its index: change the field")
		default:
			bad(strings.Join(ix, ","), "there is no such index to drop")
		}
	}
	for _, ix := range c.AddIndexes {
		d.Indexes = append(d.Indexes, slices.Clone(ix))
	}
	if c.TTL != 0 {
		d.TTL = max(c.TTL, 0)
	}
	if c.MaxSize != 0 {
		d.MaxSize = max(c.MaxSize, 0)
	}
	if c.MaxBytes != 0 {
		d.MaxBytes = max(c.MaxBytes, 0)
	}
	if c.Validate != nil {
		d.Validate = c.Validate
	}
	if c.Evict != 0 {
		d.Evict = c.Evict
	} else if !d.bounded() {
		d.Evict = 0
	}
	return d.clone(), issues
}

// altered is the bucket that is to take b's place, still empty.
func (b *bucket) altered(change *Change) (*bucket, error) {
	def, issues := change.apply(b.def)
	compiled, more := def.check(b.name, b.shape.lim)
	if issues = append(issues, more...); len(issues) > 0 {
		return nil, &DefinitionError{Bucket: b.name, Issues: issues}
	}
	info := b.info
	if info != nil && len(def.Schema) != len(info.fields) { // a struct has no room for more
		info = nil
	}
	var sh *shape
	if info != nil {
		sh = newShape(b.name, &def, compiled, b.shape.body, info, nil, b.shape.lim)
	} else {
		sh = newShape(b.name, &def, compiled, nil, nil, b.shape, b.shape.lim)
	}
	if issues = append(sh.unfitting(), sh.checkDefaults()...); len(issues) > 0 {
		return nil, &DefinitionError{Bucket: b.name, Issues: issues}
	}
	n := newBucket(b.store, b.id, b.name, def, sh)
	n.home, n.serial, n.info = b.home, b.serial, info
	b.home.mu.Lock()
	issues = b.home.unfitLocked(n)
	b.home.mu.Unlock()
	if len(issues) > 0 {
		return nil, &DefinitionError{Bucket: b.name, Issues: issues}
	}
	if b.log.id != 0 {
		stored, err := n.stored()
		if err != nil {
			return nil, err
		}
		n.setLog(b.log.id, b.log.version+1, stored)
	}
	return n, nil
}

// compareIssues brings issues that come in no order into one.
func compareIssues(a, b Issue) int {
	return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
}
