package store

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/noex-go/store/internal/table"
)

// Change is what AlterBucket changes of a definition. What is zero stays.
type Change struct {
	// Fields are added. A field that is there gets these rules instead of its own;
	// its type, and the key, stay.
	Fields      Schema
	AddIndexes  []Index
	DropIndexes []Index
	// TTL, MaxSize and MaxBytes replace the definition's; negative: none any more. A
	// TTL counts for records that have no deadline, from their creation.
	TTL      time.Duration
	MaxSize  int
	MaxBytes int64
	Evict    Eviction
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
		if i < 0 {
			bad(strings.Join(ix, ","), "there is no such index to drop")
			continue
		}
		d.Indexes = slices.Delete(d.Indexes, i, i+1)
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
	if c.Evict != 0 {
		d.Evict = c.Evict
	} else if !d.bounded() {
		d.Evict = 0
	}
	return d.clone(), issues
}

// AlterBucket changes a bucket's definition in one commit, while others read and
// write it. Records get new fields as an insert would give them: generated, by
// default, or not at all. They are checked by the new rules before anything
// changes. There are no events, and no record's version rises; live queries that
// read the bucket are evaluated anew, and a transaction under way that used it
// ends in conflict. Snapshots from before show the bucket as it was. Handles,
// typed ones included, go on with the new one. A bound below what there is
// evicts, in batches, before AlterBucket returns.
//
// The records are copied, which takes about 1 µs and the memory of each; writers
// wait only for what was written in the end. Errors: *DefinitionError, with all
// that is wrong with the change; *ValidationError, with each rule that a record
// breaks, in fields as "[key].email"; ErrBucketNotDefined; the context's, and then
// nothing has changed.
func (st *Store) AlterBucket(ctx context.Context, name string, change Change) error {
	b, err := st.alter(ctx, name, &change)
	if err != nil {
		if _, ok := err.(*ValidationError); ok {
			return err
		}
		if _, ok := err.(*DefinitionError); ok {
			return err
		}
		return &Error{Op: "alter", Bucket: name, Err: err}
	}
	b.forget()
	b.catchUp(ctx)
	return nil
}

func (st *Store) alter(ctx context.Context, name string, change *Change) (*bucket, error) {
	if err := st.defMu.lock(ctx); err != nil {
		return nil, err
	}
	defer st.defMu.unlock()
	if st.closed.Load() {
		return nil, ErrClosed
	}
	old, ok := (*st.buckets.Load())[name]
	if !ok {
		return nil, ErrBucketNotDefined
	}
	b, err := old.altered(change)
	if err != nil {
		return nil, err
	}
	a := newAlteration(old, b)
	a.tap = &tap{b: old}
	defer st.tap.Store(nil)
	if err := a.copy(ctx); err != nil {
		return nil, err
	}
	if err := a.follow(ctx); err != nil {
		return nil, err
	}
	if err := a.finish(); err != nil {
		return nil, err
	}
	st.workers.Go("bucket server "+name, b.server.serve)
	st.live.rebind(name, old)
	return b, nil
}

// altered is the bucket that is to take b's place, still empty.
func (b *bucket) altered(change *Change) (*bucket, error) {
	st := b.store
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
	issues = append(sh.unfitting(), sh.checkDefaults()...)
	b.home.views.Range(func(_, fits any) bool {
		issues = append(issues, fits.(func(*shape, *Definition) []Issue)(sh, &def)...)
		return true
	})
	if len(issues) > 0 {
		return nil, &DefinitionError{Bucket: b.name, Issues: issues}
	}
	n := newBucket(st, b.id, b.name, def, sh)
	n.home, n.serial, n.info = b.home, b.serial, info
	if b.log.id != 0 {
		stored, err := n.stored()
		if err != nil {
			return nil, err
		}
		n.setLog(b.log.id, b.log.version+1, stored)
	}
	return n, nil
}

// tap takes the commits that change a bucket while it is copied.
type tap struct {
	b    *bucket
	list [][]change // under the commit lock
}

// add keeps the changes of a commit, under the commit lock.
func (t *tap) add(ev *commitEvent) {
	own := ev.changes
	if slices.ContainsFunc(own, func(c change) bool { return c.b != t.b }) {
		own = slices.DeleteFunc(slices.Clone(own), func(c change) bool { return c.b != t.b })
	}
	if len(own) > 0 {
		t.list = append(t.list, own)
	}
}

// alteration is a bucket on its way into the place of another.
//
//  1. copy: the records of one sequence, converted, into the new table, while
//     commits go on; the tap collects those.
//  2. follow: what the tap has, again and again, until it is little.
//  3. finish: as the writer of the old bucket, the rest; then one commit that
//     publishes nothing but the new bucket.
type alteration struct {
	st     *Store
	old, b *bucket
	tap    *tap
	at     uint64 // the sequence of all that is in the new table
	from   []int  // by position of the new field: of the same one in the old bucket, or -1
	judge  []bool // by position: it has other rules
	alike  bool   // the two bodies have one layout
	unique uint64 // unique indexes that the old bucket did not have

	rows    []*table.Version
	places  []uint64
	changed map[uint64]struct{} // places of records that the definition has changed
	issues  []Issue
}

func newAlteration(old, b *bucket) *alteration {
	a := &alteration{st: b.store, old: old, b: b, at: b.store.opened, changed: map[uint64]struct{}{}}
	a.alike = old.shape.body == b.shape.body
	for i := range b.shape.slots {
		s := &b.shape.slots[i]
		pos, ok := old.shape.byName[s.name]
		if !ok {
			pos = -1
			a.alike = false
		}
		a.from = append(a.from, pos)
		a.judge = append(a.judge, ok && !reflect.DeepEqual(old.def.Schema[s.name], b.def.Schema[s.name]))
	}
	for i := range b.shape.indexes {
		if ix := &b.shape.indexes[i]; ix.unique && !old.def.Schema[b.shape.slots[ix.fields[0]].name].Unique {
			a.unique |= 1 << i
		}
	}
	for _, i := range b.shape.autos {
		a.raise(i)
	}
	return a
}

// raise keeps a counter of the new bucket above the old one's.
func (a *alteration) raise(i int) {
	if pos := a.from[i]; pos >= 0 && a.old.shape.slots[pos].gen == Autoincrement {
		c, was := &a.b.prep.auto[i], a.old.prep.auto[pos].Load()
		for last := c.Load(); was > last && !c.CompareAndSwap(last, was); last = c.Load() {
		}
	}
}

// copy brings over the records of one sequence.
func (a *alteration) copy(ctx context.Context) error {
	st := a.st
	st.commitMu.Lock()
	st.tap.Store(a.tap)
	l := lease{pin: st.pins.AcquireLong()}
	st.commitMu.Unlock()
	defer a.old.release(l)
	var c table.Cursor
	var buf [batchRows]*table.Version
	var nums [batchRows]uint32
	view := a.old.table.At(l.pin.Seq)
	c.Scan(view, false)
	for n := c.Next(buf[:], nums[:]); n > 0; n = c.Next(buf[:], nums[:]) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if st.closed.Load() {
			return ErrClosed
		}
		for i, v := range buf[:n] {
			place := view.Ordinal(nums[i])
			v, err := a.carry(v, place)
			if err != nil {
				return err
			}
			a.rows, a.places = append(a.rows, v), append(a.places, place)
		}
	}
	a.duplicates()
	if err := a.refused(); err != nil {
		return err
	}
	next := uint64(0)
	if n := len(a.places); n > 0 {
		next = a.places[n-1] + 1
	}
	if c := a.b.table.Load(a.rows, a.places, next, a.at); c != table.NoConflict {
		return ErrFull
	}
	a.rows, a.places = nil, nil
	return nil
}

func (a *alteration) refused() error {
	if len(a.issues) == 0 {
		return nil
	}
	return &ValidationError{Bucket: a.b.name, Issues: a.issues}
}

// carry converts a record. What the new definition does not allow of it becomes
// issues.
func (a *alteration) carry(old *table.Version, place uint64) (*table.Version, error) {
	sh, was := a.b.shape, a.old.shape
	v := sh.alloc()
	if old.Ext.Extra != nil {
		ownExt(v).Extra = old.Ext.Extra
	}
	if a.alike {
		sh.bodyOf(v).Set(was.bodyOf(old))
	}
	now := a.st.clock()
	changed := false
	var wrong problems
	for i := range sh.slots {
		s := &sh.slots[i]
		if pos := a.from[i]; pos >= 0 {
			a.carryField(v, old, s, &was.slots[pos])
			if a.judge[i] {
				other, err := a.again(s, v, now, &wrong)
				if err != nil {
					return nil, err
				}
				changed = changed || other
			}
			continue
		}
		s.setAbsent(v, true)
		if x, ok := v.Ext.Extra[s.name]; ok {
			changed = true
			ownExt(v).Extra = without(v.Ext.Extra, s.name)
			if err := a.b.prep.take(s, v, x, now); err != nil {
				s.setAbsent(v, false)
				if err := wrong.note(s.name, err); err != nil {
					return nil, a.b.prep.failed(s, err)
				}
				continue
			}
		}
		if err := a.b.prep.finish(s, v, now, &wrong); err != nil {
			return nil, err
		}
		changed = changed || !s.absent(v)
	}
	m := *was.meta(old)
	if m.ExpiresAt == 0 && a.b.def.TTL > 0 && a.old.def.TTL != a.b.def.TTL {
		m.ExpiresAt = m.CreatedAt + Millis(a.b.def.TTL.Milliseconds())
		changed = true
	}
	*sh.meta(v) = m
	if err := a.b.prep.accept(v, wrong); err != nil {
		ve, ok := err.(*ValidationError)
		if !ok {
			return nil, err
		}
		for _, is := range ve.Issues {
			if is.Field != "" { // else it is about the record
				is.Field = "." + is.Field
			}
			is.Field = fmt.Sprintf("[%s]%s", was.keyOf(old), is.Field)
			a.issues = append(a.issues, is)
		}
	}
	if changed {
		a.changed[place] = struct{}{}
	}
	return v, nil
}

// carryField takes over a field that both buckets have.
func (a *alteration) carryField(v, old *table.Version, s, from *slot) {
	if !a.alike {
		s.copyField(v, old, from)
	}
	s.setAbsent(v, from.absent(old))
}

// again judges a field by its new rules. What they complete inside of it changes the
// record.
func (a *alteration) again(s *slot, v *table.Version, now time.Time, wrong *problems) (changed bool, err error) {
	if s.inner != nil && !s.absent(v) {
		was := s.peek(v) // shared with the old record
		if err := a.b.prep.take(s, v, was, now); err != nil {
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

// without is extra fields without one of them: they are shared with older records.
func without(extra map[string]any, name string) map[string]any {
	extra = maps.Clone(extra)
	if delete(extra, name); len(extra) == 0 {
		return nil
	}
	return extra
}

// duplicates finds the records that break a new unique index.
func (a *alteration) duplicates() {
	for i := range a.b.shape.indexes {
		if a.unique>>i&1 == 0 {
			continue
		}
		seen := map[table.Key]bool{}
		for _, v := range a.rows {
			k, ok := a.b.shape.indexes[i].keyOf(v)
			if ok && seen[k] {
				a.taken(i, v)
			}
			seen[k] = seen[k] || ok
		}
	}
}

func (a *alteration) taken(i int, v *table.Version) {
	s := &a.b.shape.slots[a.b.shape.indexes[i].fields[0]]
	a.issues = append(a.issues, Issue{Field: fmt.Sprintf("[%s].%s", a.b.shape.keyOf(v), s.name), Code: CodeUnique, Message: "has a value that another record has too"})
}

// followMost is how often an alteration runs after the writers before it makes
// them wait, and followLeast the commits that are not worth another run.
const (
	followMost  = 10
	followLeast = 100
)

// follow takes over what was committed meanwhile, until it is little.
func (a *alteration) follow(ctx context.Context) error {
	for range followMost {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := a.catchUp()
		if err != nil || n < followLeast {
			return err
		}
	}
	return nil
}

// catchUp takes over the commits that the tap has, and returns their number.
func (a *alteration) catchUp() (int, error) {
	a.st.commitMu.Lock()
	list := a.tap.list
	a.tap.list = nil
	a.st.commitMu.Unlock()
	for _, changes := range list {
		if err := a.take(changes); err != nil {
			return 0, err
		}
	}
	return len(list), a.refused()
}

// take takes over the changes of one commit.
func (a *alteration) take(changes []change) error {
	t := a.b.table
	for i := range changes {
		c := &changes[i]
		if c.new == nil {
			if at := a.head(a.old.shape.keyOf(c.old)); at.V != nil {
				t.Delete(at, 0)
			}
			delete(a.changed, c.ordinal)
			continue
		}
		delete(a.changed, c.ordinal)
		v, err := a.carry(c.new, c.ordinal)
		if err != nil {
			return err
		}
		if at := t.HeadOf(v); at.V != nil {
			t.UpdateChecked(at, v, a.b.shape.touched(at.V, v))
		} else {
			t.SkipTo(c.ordinal)
			if t.InsertChecked(v) != table.NoConflict {
				return ErrFull
			}
		}
	}
	for _, c := range t.Since(0) {
		if a.unique == 0 || c.Deleted() || t.HeadOf(c.New).V != c.New {
			continue
		}
		if i := t.Taken(c.New, int64(t.HeadOf(c.New).Row()), a.unique, nil); i != table.NoConflict {
			a.taken(int(i), c.New)
		}
	}
	t.Stamp(0, t.Mark(), a.at)
	t.BeginPublish()
	t.EndPublish(a.at)
	t.Settle()
	return nil
}

func (a *alteration) head(k Key) table.Ref {
	if a.b.shape.textKey() {
		return a.b.table.HeadText(k.text)
	}
	return a.b.table.HeadWord(k.word)
}

// finish takes over the rest, and puts the new bucket in the place of the old one.
func (a *alteration) finish() error {
	st, old, b := a.st, a.old, a.b
	old.server.borrow()
	done := false
	defer func() {
		if old.altering.Store(done); done {
			old.server.closed = true
		}
		old.server.mu.Unlock()
		if done {
			close(old.server.quit)
		}
	}()
	if old.server.closed {
		return old.gone()
	}
	if _, err := a.catchUp(); err != nil {
		return err
	}
	b.table.SkipTo(old.table.Next())
	b.places.Store(old.places.Load())
	for _, i := range b.shape.autos {
		a.raise(i)
	}
	a.weigh()
	old.altering.Store(true) // for transactions that are certified beside it
	tk := &ticket{alone: true, visible: func() { a.publish(); done = true }}
	if b.log.id != 0 {
		tk.begin()
		tk.buf = b.appendControl(tk.buf, false)
		tk.end()
		a.rewrite(tk)
	}
	return st.turn(tk)
}

// weigh counts the bytes of the new bucket, and takes over what Stats shows.
func (a *alteration) weigh() {
	b := a.b
	b.room.evicted.Store(a.old.room.evicted.Load())
	b.room.expired.Store(a.old.room.expired.Load())
	if b.def.MaxBytes == 0 {
		return
	}
	var c table.Cursor
	var buf [batchRows]*table.Version
	c.Scan(b.table.At(a.at), false)
	for n := c.Next(buf[:], nil); n > 0; n = c.Next(buf[:], nil) {
		for _, v := range buf[:n] {
			b.room.added += b.weigh(v)
		}
	}
	b.room.settle(true)
}

// rewrite adds the records that the definition has changed to a ticket.
func (a *alteration) rewrite(tk *ticket) {
	if len(a.changed) == 0 {
		return
	}
	w := rewriting{b: a.b, tk: tk}
	var c table.Cursor
	var buf [batchRows]*table.Version
	var nums [batchRows]uint32
	view := a.b.table.At(a.at)
	c.Scan(view, false)
	for n := c.Next(buf[:], nums[:]); n > 0; n = c.Next(buf[:], nums[:]) {
		for i, v := range buf[:n] {
			place := view.Ordinal(nums[i])
			if _, ok := a.changed[place]; ok {
				w.add(v, place)
			}
		}
	}
	w.flush()
}

// publish makes the new bucket the one, in a commit of its own.
func (a *alteration) publish() {
	st, b := a.st, a.b
	all := maps.Clone(*st.buckets.Load())
	all[b.name] = b
	st.commitMu.Lock()
	defer st.commitMu.Unlock()
	b.since = st.pins.Published() + 1
	b.before.Store(a.old)
	b.home.now.Store(b)
	st.buckets.Store(&all)
	st.pins.Publish(b.since)
}
