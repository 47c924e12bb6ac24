package store

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/noex-go/store/internal/table"
)

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
// wait only for what was written in the end, and for the log, which gets the
// records that the definition changes together with it, in one entry as far as
// that can hold them. Default functions and validators, of which only those in the
// change are asked, are called in this goroutine, and may use the store; if a
// bucket is written without a pause, the last few are called in another one while
// writers wait, for 50 ms at most. Which records were read of late ([LeastRead])
// is forgotten.
//
// Errors: *DefinitionError, with all that is wrong with the change;
// *ValidationError, with the rules that records break, in fields as "[key].email";
// ErrBucketNotDefined; ErrAltering; what a default function or a validator does wrong; the
// context's. After any error nothing has changed.
func (st *Store) AlterBucket(ctx context.Context, name string, change Change) error {
	b, err := st.alter(ctx, name, &change)
	switch err.(type) {
	case nil:
	case *ValidationError, *DefinitionError, *Error:
		return err
	default:
		return &Error{Op: "alter", Bucket: name, Err: err}
	}
	st.live.commit()
	b.forget()
	b.catchUp(ctx)
	return nil
}

func (st *Store) alter(ctx context.Context, name string, change *Change) (*bucket, error) {
	old, err := st.claim(ctx, name)
	if err != nil {
		return nil, err
	}
	defer old.home.altering.Store(false)
	b, err := old.altered(change)
	if err != nil {
		return nil, err
	}
	a := newAlteration(old, b, change)
	defer a.unhook()
	if err := a.copy(ctx); err != nil {
		return nil, err
	}
	return b, a.finish(ctx)
}

// claim finds a bucket to alter. Nobody else alters it meanwhile: to wait for that
// might be to wait for oneself, in a default function.
func (st *Store) claim(ctx context.Context, name string) (*bucket, error) {
	if err := st.defMu.lock(ctx); err != nil {
		return nil, err
	}
	defer st.defMu.unlock()
	if st.closed.Load() {
		return nil, ErrClosed
	}
	b, ok := (*st.buckets.Load())[name]
	switch {
	case !ok:
		return nil, ErrBucketNotDefined
	case b.home.altering.Swap(true):
		return nil, ErrAltering
	}
	return b, nil
}

// alteration is a bucket on its way into the place of another.
//
//  1. copy: the records of one sequence, converted, into the new table, while
//     commits go on; the tap collects those.
//  2. follow: what the tap has, again and again, until it is little.
//  3. attempt: as the writer of the old bucket, the rest; then one commit that
//     publishes nothing but the new bucket.
//
// It holds no lock in the first two, so that functions of the user's may do what
// they like. In the third it has none to call, but where writers leave it no
// choice: see behind.
type alteration struct {
	st      *Store
	old, b  *bucket
	tap     *tap
	todo    [][]change // taken from the tap
	at      uint64     // the sequence of all that is in the new table
	now     time.Time
	from    []int  // by position of the new field: of the same one in the old bucket, or -1
	judge   []bool // by position: it has other rules
	asks    []bool // by position: its validators are new
	asksAll bool   // and the bucket's is
	alike   bool   // the two bodies have one layout
	user    bool   // it calls functions of the user's
	unique  uint64 // unique indexes that the old bucket did not have

	rows    []*table.Version
	places  []uint64
	bytes   int64    // with MaxBytes
	rewrite *rewrite // nil: there is no log
	refused refusals
}

func newAlteration(old, b *bucket, change *Change) *alteration {
	a := &alteration{st: b.store, old: old, b: b, tap: &tap{b: old}, at: b.store.opened, now: b.store.clock()}
	a.alike = old.shape.body == b.shape.body
	for i := range b.shape.slots {
		s := &b.shape.slots[i]
		pos, ok := old.shape.byName[s.name]
		if !ok {
			pos = -1
			a.alike = false
			a.user = a.user || s.defFunc != nil && s.gen == 0
		}
		a.from = append(a.from, pos)
		_, named := change.Fields[s.name]
		a.judge = append(a.judge, named && ok && !reflect.DeepEqual(old.def.Schema[s.name], b.def.Schema[s.name]))
		a.asks = append(a.asks, named && s.rules.judged())
		a.user = a.user || named && (s.rules.judged() || s.inner != nil && s.inner.calls)
	}
	a.asksAll = change.Validate != nil
	a.user = a.user || a.asksAll
	for i := range b.shape.indexes {
		if ix := &b.shape.indexes[i]; ix.unique && !old.def.Schema[b.shape.slots[ix.fields[0]].name].Unique {
			a.unique |= 1 << i
		}
	}
	if a.st.log != nil && b.log.id != 0 {
		a.rewrite = &rewrite{b: b}
	}
	a.raise()
	return a
}

// raise keeps the counters of the new bucket above those of the old one, also of
// fields that count no more: they may again.
func (a *alteration) raise() {
	for i, pos := range a.from {
		if pos < 0 {
			continue
		}
		c, was := &a.b.prep.auto[i], a.old.prep.auto[pos].Load()
		for last := c.Load(); was > last && !c.CompareAndSwap(last, was); last = c.Load() {
		}
	}
}

// hook begins to collect commits, and pins the state before them. Returns the
// place of the next record.
func (a *alteration) hook() (lease, uint64, error) {
	st := a.st
	a.old.server.borrow()
	defer a.old.server.mu.Unlock()
	if a.old.server.closed {
		return lease{}, 0, a.old.gone()
	}
	st.commitMu.Lock()
	defer st.commitMu.Unlock()
	st.taps.setLocked(append(st.taps.allLocked(), a.tap))
	return lease{pin: st.pins.AcquireLong()}, a.old.table.Next(), nil
}

func (a *alteration) unhook() {
	st := a.st
	st.commitMu.Lock()
	defer st.commitMu.Unlock()
	st.taps.setLocked(slices.DeleteFunc(st.taps.allLocked(), func(t *tap) bool { return t == a.tap }))
}

// proceed reports why it should not go on.
func (a *alteration) proceed(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.st.closed.Load() {
		return ErrClosed
	}
	return nil
}

// copy brings over the records of one sequence.
func (a *alteration) copy(ctx context.Context) error {
	l, next, err := a.hook()
	if err != nil {
		return err
	}
	defer a.old.release(l)
	var c table.Cursor
	var buf [batchRows]*table.Version
	var nums [batchRows]uint32
	view := a.old.table.At(l.pin.Seq)
	c.Scan(view, false)
	for n := c.Next(buf[:], nums[:]); n > 0; n = c.Next(buf[:], nums[:]) {
		if err := a.proceed(ctx); err != nil {
			return err
		}
		for i, v := range buf[:n] {
			place := view.Ordinal(nums[i])
			v, changed, err := a.carry(v, nil, false)
			if err != nil {
				return err
			}
			a.rows, a.places = append(a.rows, v), append(a.places, place)
			if changed {
				a.rewrite.set(v, place)
			}
		}
	}
	a.duplicates()
	if err := a.refused.err(a.b); err != nil {
		return err
	}
	if c := a.b.table.Load(a.rows, a.places, next, a.at); c != table.NoConflict {
		return ErrFull
	}
	a.rows, a.places = nil, nil
	return nil
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
		if err := a.proceed(ctx); err != nil {
			return err
		}
		a.pull()
		n := len(a.todo)
		if err := a.takeAll(); err != nil {
			return err
		}
		a.rewrite.encode()
		if n < followLeast {
			return nil
		}
	}
	if a.user {
		return nil
	}
	return a.gain(ctx)
}

// followSlice is the commits that are taken over while writers wait, to gain on
// them: about as many milliseconds as thousands.
const followSlice = 1000

// gain is follow after writers that are as fast: they wait for a slice at a time.
func (a *alteration) gain(ctx context.Context) error {
	for rest := followLeast; rest >= followLeast; {
		if err := a.proceed(ctx); err != nil {
			return err
		}
		err := func() error {
			a.old.server.borrow()
			defer a.old.server.mu.Unlock()
			a.pull()
			n := min(len(a.todo), followSlice)
			later := a.todo[n:]
			a.todo = a.todo[:n:n]
			err := a.takeAll()
			a.todo = later
			rest = len(later)
			return err
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// pull takes what the tap has.
func (a *alteration) pull() {
	a.st.commitMu.Lock()
	defer a.st.commitMu.Unlock()
	a.todo, a.tap.list = append(a.todo, a.tap.list...), nil
}

// takeAll takes over the commits that were pulled.
func (a *alteration) takeAll() error {
	for i, changes := range a.todo {
		if err := a.take(changes); err != nil {
			return err
		}
		a.todo[i] = nil
	}
	a.todo = a.todo[:0]
	return a.refused.err(a.b)
}

// take takes over the changes of one commit.
func (a *alteration) take(changes []change) error {
	t := a.b.table
	for i := range changes {
		c := &changes[i]
		at := a.head(c.key())
		if at.V != nil {
			a.bytes -= a.weigh(at.V)
		}
		if c.new == nil {
			if at.V != nil {
				t.Delete(at, 0)
			}
			a.rewrite.drop(c.ordinal)
			continue
		}
		v, changed, err := a.carry(c.new, at.V, a.lostExtra(c))
		if err != nil {
			return err
		}
		a.bytes += a.weigh(v)
		if changed {
			a.rewrite.set(v, c.ordinal)
		} else {
			a.rewrite.drop(c.ordinal)
		}
		if at.V != nil {
			t.UpdateChecked(at, v, a.b.shape.touched(at.V, v))
			continue
		}
		t.SkipTo(c.ordinal)
		if t.InsertChecked(v) != table.NoConflict {
			return ErrFull
		}
	}
	a.taken()
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

// weigh is what counts for MaxBytes.
func (a *alteration) weigh(v *table.Version) int64 {
	if a.b.def.MaxBytes == 0 {
		return 0
	}
	return a.b.weigh(v)
}

// The attempts to put the new bucket in the place of the old one. In the first
// few, and all but the last few, of them nothing that calls functions of the
// user's is done while writers wait.
const (
	attempts     = 30
	attemptsCalm = 10
	patience     = 50 * time.Millisecond // of writers, with functions of the user's
)

var errBehind = errors.New("default functions or validators are slower than the writers of the bucket")

// finish puts the new bucket in the place of the old one, as soon as it has caught
// up with that.
func (a *alteration) finish(ctx context.Context) error {
	for try := range attempts {
		if err := a.follow(ctx); err != nil {
			return err
		}
		done, late, err := a.attempt(ctx, try)
		if late != nil {
			select {
			case err = <-late:
			case <-ctx.Done():
				return ctx.Err() // what still runs has the new bucket for itself
			}
		}
		if done || err != nil {
			return err
		}
	}
	return errBehind
}

// attempt takes over the rest, as the writer of the old bucket, and puts the new
// one in its place. With late, it has given up, as functions of the user's took too
// long; they have come to their end when late says so.
func (a *alteration) attempt(ctx context.Context, try int) (done bool, late chan error, err error) {
	st, old := a.st, a.old
	if err := st.defMu.lock(ctx); err != nil {
		return false, nil, err
	}
	defer st.defMu.unlock()
	if err := a.proceed(ctx); err != nil {
		return false, nil, err
	}
	old.server.borrow()
	defer func() {
		if done {
			old.server.closed = true
		}
		old.server.mu.Unlock()
		if done {
			close(old.server.quit)
			st.workers.Go("bucket server "+old.name, a.b.server.serve)
		}
	}()
	if old.server.closed {
		return false, nil, old.gone()
	}
	a.pull()
	if a.user && len(a.todo) > 0 {
		if try < attemptsCalm {
			return false, nil, nil
		}
		if late, err = a.takeBeside(); late != nil || err != nil {
			return false, late, err
		}
	} else if err := a.takeAll(); err != nil {
		return false, nil, err
	}
	done, err = a.move()
	return done, nil, err
}

// takeBeside is takeAll on another goroutine, for which it waits so long and no
// longer: a function that waits for a writer of the bucket waits for us.
func (a *alteration) takeBeside() (late chan error, err error) {
	ended := make(chan error, 1)
	a.st.workers.Go("alteration of "+a.b.name, func() {
		err := errDefault // unless it comes back
		defer func() { ended <- err }()
		err = a.takeAll()
	})
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-ended:
		return nil, err
	case <-t.C:
		return ended, nil
	}
}

var errDefault = errors.New("a default function or validator did not return")

// move takes the new bucket to the log, and publishes it.
func (a *alteration) move() (done bool, err error) {
	st, old, b := a.st, a.old, a.b
	b.home.mu.Lock() // a handle that is made now is of the new one
	defer b.home.mu.Unlock()
	if issues := b.home.unfitLocked(b); len(issues) > 0 {
		return false, &DefinitionError{Bucket: b.name, Issues: issues}
	}
	b.table.SkipTo(old.table.Next())
	b.places.Store(old.places.Load())
	a.raise()
	b.room.evicted.Store(old.room.evicted.Load())
	b.room.expired.Store(old.room.expired.Load())
	b.room.bytes.Store(a.bytes)
	old.altering.Store(true) // for transactions that are certified beside it
	defer func() { old.altering.Store(done) }()
	tk := &ticket{alone: true, visible: func() { a.publish(); done = true }}
	if a.rewrite != nil {
		a.rewrite.enter(tk, a.old.def.TTL != b.def.TTL && b.def.TTL > 0)
	}
	return done, st.turn(tk)
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
	b.store.altered.Store(true)
	b.home.now.Store(b)
	st.buckets.Store(&all)
	st.pins.Publish(b.since)
	if st.live.inbox.active.Load() > 0 {
		st.live.inbox.add(&commitEvent{seq: b.since, altered: a.old})
	}
}
