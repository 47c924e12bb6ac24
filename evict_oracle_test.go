package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/noex-go/store"
)

// The oracle of bounded buckets and deadlines: a map, and lists that are sorted
// anew whenever a record has to leave.

// lifeRec is a record as the oracle keeps it. Only read is ever changed.
type lifeRec struct {
	key, n           int64
	s, u             string
	version          store.Version
	created, updated store.Millis
	expires          store.Millis
	place            int
	read             bool
}

func (r *lifeRec) String() string {
	return fmt.Sprintf("%d n=%d s=%d u=%q v%d c%d u%d e%d", r.key, r.n, len(r.s), r.u, r.version, r.created, r.updated, r.expires)
}

// lifeBucket is a bucket beside the oracle.
type lifeBucket struct {
	name             string
	def              store.Definition
	b                *store.Bucket
	auto             bool
	rows             map[int64]*lifeRec
	places, hand     int
	weight           int64 // of a record without text
	evicted, expired int64
}

func (b *lifeBucket) bytesOf(r *lifeRec) int64 {
	return b.weight + int64((len(r.s)+7)&^7) + int64((len(r.u)+7)&^7)
}

func (b *lifeBucket) bytes() (sum int64) {
	for _, r := range b.rows {
		sum += b.bytesOf(r)
	}
	return sum
}

func (b *lifeBucket) over() bool {
	return b.def.MaxSize > 0 && len(b.rows) > b.def.MaxSize || b.def.MaxBytes > 0 && b.bytes() > b.def.MaxBytes
}

func byPlace(rows map[int64]*lifeRec) []*lifeRec {
	return slices.SortedFunc(maps.Values(rows), func(a, b *lifeRec) int { return cmp.Compare(a.place, b.place) })
}

// order is the records in the order of eviction, but for LeastRead.
func (b *lifeBucket) order() []*lifeRec {
	list := byPlace(b.rows)
	if b.def.Evict == store.OldestUpdated {
		slices.SortStableFunc(list, func(x, y *lifeRec) int { return cmp.Compare(x.updated, y.updated) })
	}
	return list
}

// sieve finds the next one by SIEVE: round from the hand on, the first without a
// mark. Records in spared are passed over.
func (b *lifeBucket) sieve(spared map[int64]bool) *lifeRec {
	list := byPlace(b.rows)
	if !slices.ContainsFunc(list, func(r *lifeRec) bool { return !spared[r.key] }) {
		b.hand = 0
		return nil
	}
	for {
		at := slices.IndexFunc(list, func(r *lifeRec) bool { return r.place >= b.hand })
		if at < 0 {
			b.hand = 0
			continue
		}
		r := list[at]
		b.hand = r.place + 1
		switch {
		case r.read:
			r.read = false
		case !spared[r.key]:
			return r
		}
	}
}

// evict takes records out until the bucket is within its bounds: inserted are what
// the commit itself has inserted.
func (b *lifeBucket) evict(inserted map[int64]bool) (gone []int64) {
	for b.over() {
		var r *lifeRec
		if b.def.Evict == store.LeastRead {
			if r = b.sieve(inserted); r == nil {
				inserted = nil
				continue
			}
		} else {
			list := b.order()
			at := max(slices.IndexFunc(list, func(r *lifeRec) bool { return !inserted[r.key] }), 0)
			r = list[at]
		}
		delete(b.rows, r.key)
		gone = append(gone, r.key)
		b.evicted++
	}
	return gone
}

// lifePart is what a transaction, or a single write, makes of a bucket.
type lifePart struct {
	b     *lifeBucket
	rows  map[int64]*lifeRec
	first []int64 // keys that it has written and that were not there, in that order
	anew  map[int64]bool
}

func (b *lifeBucket) begin() *lifePart {
	return &lifePart{b: b, rows: maps.Clone(b.rows), anew: map[int64]bool{}}
}

func (p *lifePart) clone() *lifePart {
	return &lifePart{p.b, maps.Clone(p.rows), slices.Clone(p.first), maps.Clone(p.anew)}
}

func (p *lifePart) taken(u string, but int64) bool {
	if !p.b.def.Schema["u"].Unique {
		return false
	}
	for _, r := range p.rows {
		if u != "" && r.u == u && r.key != but {
			return true
		}
	}
	return false
}

// refuse is all that a new version of a record fails for.
func (p *lifePart) refuse(r *lifeRec, taken bool) error {
	var all []error
	if taken || p.taken(r.u, r.key) {
		all = append(all, &store.UniqueError{})
	}
	if p.b.def.MaxBytes > 0 && p.b.bytesOf(r) > p.b.def.MaxBytes {
		all = append(all, store.ErrRecordTooLarge)
	}
	return errors.Join(all...)
}

func (p *lifePart) insert(r *lifeRec) error {
	if err := p.refuse(r, p.rows[r.key] != nil); err != nil {
		return err
	}
	if p.b.rows[r.key] == nil && !slices.Contains(p.first, r.key) {
		p.first = append(p.first, r.key)
	}
	p.rows[r.key] = r
	return nil
}

// update replaces a record by what change makes of a copy.
func (p *lifePart) update(key int64, now store.Millis, change func(r *lifeRec)) error {
	old := p.rows[key]
	if old == nil {
		return store.ErrNotFound
	}
	r := *old
	change(&r)
	r.updated = max(r.updated, now)
	if err := p.refuse(&r, false); err != nil {
		return err
	}
	p.rows[key] = &r
	return nil
}

func (p *lifePart) delete(key int64) {
	if p.rows[key] == nil {
		return
	}
	delete(p.rows, key)
	p.anew[key] = p.b.rows[key] != nil
}

// lifeChange is an event as the oracle expects it.
type lifeChange struct {
	bucket   string
	key      int64
	old, new *lifeRec
	reason   store.Reason
}

func (c lifeChange) String() string {
	return fmt.Sprintf("%s %d: %v -> %v, %v", c.bucket, c.key, c.old, c.new, c.reason)
}

// commit makes it the bucket's state, evicts, and returns the net effect.
func (p *lifePart) commit() (out []lifeChange) {
	b := p.b
	before, inserted := b.rows, map[int64]bool{}
	b.rows = map[int64]*lifeRec{}
	for key, r := range p.rows {
		old := before[key]
		if old != nil && r != old {
			r.place, r.read, r.version = old.place, true, old.version+1
			if p.anew[key] {
				r.version = 1
			}
		}
		b.rows[key] = r
	}
	for _, key := range p.first {
		if r := b.rows[key]; r != nil {
			b.places++
			r.place, r.version, r.read = b.places, 1, false
			inserted[key] = true
		}
	}
	reason, again := map[int64]store.Reason{}, false
	for _, key := range b.evict(inserted) {
		reason[key] = store.ByEviction
		again = again || p.rows[key] != before[key]
	}
	for key, r := range b.rows {
		// Where something goes that the commit itself wrote, it is applied anew, and
		// what it updated is marked once more, though the hand may have passed.
		r.read = r.read || again && before[key] != nil && before[key] != r
	}
	return append(out, b.changes(before, reason)...)
}

// changes is what differs from an earlier state.
func (b *lifeBucket) changes(before map[int64]*lifeRec, reason map[int64]store.Reason) (out []lifeChange) {
	for key, old := range before {
		if r := b.rows[key]; r != old {
			out = append(out, lifeChange{b.name, key, old, r, reason[key]})
		}
	}
	for key, r := range b.rows {
		if before[key] == nil {
			out = append(out, lifeChange{b.name, key, nil, r, 0})
		}
	}
	return out
}

// purge takes out what is due.
func (b *lifeBucket) purge(now store.Millis) []lifeChange {
	before, reason := maps.Clone(b.rows), map[int64]store.Reason{}
	for key, r := range before {
		if r.expires != 0 && r.expires <= now {
			delete(b.rows, key)
			reason[key] = store.ByExpiry
			b.expired++
		}
	}
	return b.changes(before, reason)
}

func (b *lifeBucket) next() (ms store.Millis) {
	for _, r := range b.rows {
		if r.expires != 0 && (ms == 0 || r.expires < ms) {
			ms = r.expires
		}
	}
	return ms
}

// randomLife makes the definition of a bucket.
func randomLife(r *rand.Rand, name string) *lifeBucket {
	id, u := store.Field{Type: store.Int}, store.Field{Type: store.String}
	b := &lifeBucket{name: name, auto: r.IntN(3) == 0, rows: map[int64]*lifeRec{}}
	if b.auto {
		id.Generated = store.Autoincrement
	}
	u.Unique = r.IntN(3) == 0
	b.def = store.Definition{
		Key: "id", Ordered: r.IntN(3) == 0,
		Schema: store.Schema{"id": id, "n": {Type: store.Int}, "s": {Type: store.String}, "u": u},
		Evict:  one(r, 0, store.OldestCreated, store.OldestUpdated, store.LeastRead),
	}
	if r.IntN(2) == 0 {
		b.def.Indexes = []store.Index{{"n"}}
	}
	if r.IntN(2) == 0 {
		b.def.TTL = time.Duration(1+r.IntN(60)) * time.Millisecond
	}
	switch r.IntN(8) {
	case 0:
		b.def.Evict = 0
	case 1, 2, 3:
		b.def.MaxSize = 1 + r.IntN(30)
	case 4, 5:
		b.def.MaxBytes = int64(300 + r.IntN(6000))
	default:
		b.def.MaxSize, b.def.MaxBytes = 1+r.IntN(30), int64(300+r.IntN(6000))
	}
	return b
}

// fields is a record as a caller passes it.
func (r *lifeRec) fields(auto bool) store.Fields {
	f := store.Fields{"n": r.n}
	if !auto {
		f["id"] = r.key
	}
	if r.s != "" {
		f["s"] = r.s
	}
	if r.u != "" {
		f["u"] = r.u
	}
	if r.expires != 0 {
		f["_expiresAt"] = r.expires.Time()
	}
	return f
}

// shows says how a record of the store differs from the oracle's; "" if it does not.
func (r *lifeRec) shows(rec store.Record) string {
	text := func(name string) string { s, _ := rec.Get(name).(string); return s }
	got := &lifeRec{
		key: rec.Key().Value().(int64), n: rec.Get("n").(int64), s: text("s"), u: text("u"),
		version: rec.Version(), created: rec.Meta().CreatedAt, updated: rec.Meta().UpdatedAt, expires: rec.Meta().ExpiresAt,
	}
	if r == nil {
		return "is " + got.String()
	}
	if got.String() != r.String() || got.s != r.s {
		return "is " + got.String() + ", should be " + r.String()
	}
	return ""
}

// wrong compares what a handle sees with rows, and with the bucket's bounds.
func (b *lifeBucket) wrong(h *store.Bucket, rows map[int64]*lifeRec) string {
	want, got := byPlace(rows), store.Peek(h)
	var out strings.Builder
	if b.def.MaxSize > 0 && len(got) > b.def.MaxSize {
		fmt.Fprintf(&out, "%d records\n", len(got))
	}
	sum := int64(0)
	for i, rec := range got {
		if i >= len(want) {
			fmt.Fprintf(&out, "%d more\n", len(got)-i)
			break
		}
		sum += b.bytesOf(want[i])
		if msg := want[i].shows(rec); msg != "" {
			fmt.Fprintf(&out, "record %d %s\n", i, msg)
		}
	}
	if len(want) > len(got) {
		fmt.Fprintf(&out, "%v is missing\n", want[len(got)])
	}
	if b.def.MaxBytes > 0 && sum > b.def.MaxBytes {
		fmt.Fprintf(&out, "%d bytes\n", sum)
	}
	return out.String()
}
