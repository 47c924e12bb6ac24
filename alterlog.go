package store

import (
	"maps"
	"slices"

	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/internal/table"
)

// rewrite is the records that a definition has changed, on their way into the log.
// They are encoded in parts while writers go on; what is written meanwhile makes
// its part stale, so that only a few are left to encode when writers wait. They go
// into the entry of the definition, so that the log has both or none.
//
// More than an entry holds goes into further ones. A power loss between them
// leaves the definition and some of the records; those that are missing are
// brought up to date when the bucket is defined, as by any new definition. Of the
// deadlines that a TTL gave them, which a record does not show to be missing, a
// mark tells: see deadlineMark.
//
// A nil *rewrite keeps nothing.
type rewrite struct {
	b     *bucket
	parts []*rewritten              // in the order of places
	late  map[uint64]*table.Version // by place: of other records that have changed since
	bytes int                       // of the last part
}

// rewritten is a part: an encoded block.
type rewritten struct {
	rows   []*table.Version // nil where the record is gone, or has not changed any more
	places []uint64
	body   []byte
	stale  bool
}

// rewriteRows bounds the records of a part: those that a write makes stale.
const rewriteRows = 512

// deadlineMark is the mark of the version of the definition since which records
// without a deadline have the TTL's. No field has this name.
const deadlineMark = metaExpiresAt

// find finds a record.
func (w *rewrite) find(place uint64) (*rewritten, int) {
	i, _ := slices.BinarySearchFunc(w.parts, place, func(p *rewritten, place uint64) int {
		if p.places[len(p.places)-1] < place {
			return -1
		}
		return 1
	})
	if i == len(w.parts) {
		return nil, 0
	}
	if k, ok := slices.BinarySearch(w.parts[i].places, place); ok {
		return w.parts[i], k
	}
	return nil, 0
}

// set keeps a record that has changed.
func (w *rewrite) set(v *table.Version, place uint64) {
	if w == nil {
		return
	}
	n := len(w.parts)
	switch p, i := w.find(place); {
	case p != nil:
		p.rows[i], p.stale = v, true
	case n > 0 && place < w.parts[n-1].places[len(w.parts[n-1].places)-1]:
		if w.late == nil {
			w.late = map[uint64]*table.Version{}
		}
		w.late[place] = v
	default:
		if n == 0 || len(w.parts[n-1].rows) == rewriteRows || w.bytes > partBytes {
			w.parts, w.bytes = append(w.parts, &rewritten{}), 0
			n++
		}
		p := w.parts[n-1]
		p.rows, p.places, p.stale = append(p.rows, v), append(p.places, place), true
		w.bytes += w.b.sizeOf(v)
	}
}

// drop forgets a record.
func (w *rewrite) drop(place uint64) {
	if w == nil {
		return
	}
	delete(w.late, place)
	if p, i := w.find(place); p != nil && p.rows[i] != nil {
		p.rows[i], p.stale = nil, true
	}
}

// encode encodes the parts that are stale.
func (w *rewrite) encode() {
	if w == nil {
		return
	}
	for _, p := range w.parts {
		if p.stale {
			p.body, p.stale = w.block(p.rows, p.places), false
		}
	}
}

// block encodes the records that are not nil; nil if there are none.
func (w *rewrite) block(rows []*table.Version, places []uint64) []byte {
	var k block
	for i, v := range rows {
		if v != nil {
			k.rows, k.places = append(k.rows, v), append(k.places, places[i])
		}
	}
	if len(k.rows) == 0 {
		return nil
	}
	return k.append(nil, w.b)
}

// bodies returns the blocks, the last of which has the newest marks.
func (w *rewrite) bodies() (list [][]byte) {
	w.encode()
	for _, p := range w.parts {
		if p.body != nil {
			list = append(list, p.body)
		}
	}
	var rows []*table.Version
	places := slices.Sorted(maps.Keys(w.late))
	for i, place := range places {
		if rows = append(rows, w.late[place]); len(rows) == rewriteRows || i == len(places)-1 {
			list = append(list, w.block(rows, places[i+1-len(rows):]))
			rows = rows[:0]
		}
	}
	if len(w.b.shape.autos) > 0 {
		var k block
		list = append(list, k.append(nil, w.b))
	}
	return list
}

// enter enters the definition and the records into a ticket. deadlines: they have
// got some.
func (w *rewrite) enter(tk *ticket, deadlines bool) {
	bodies := w.bodies()
	most, size := w.b.store.log.most-len(w.b.log.stored)-len(w.b.name)-256, 0
	for _, body := range bodies {
		size += len(body)
	}
	if size > most && deadlines {
		bodies = slices.Insert(bodies, 0, w.b.appendDeadlineMark(nil))
	}
	for first := true; first || len(bodies) > 0; first = false {
		n, size := 0, 0
		for n < len(bodies) && (n == 0 || size+len(bodies[n]) <= most) {
			size += len(bodies[n])
			n++
		}
		tk.begin()
		if first {
			tk.buf = logentry.AppendArray(tk.buf, 1)
			tk.buf = w.b.log.appendTo(tk.buf, w.b.name, false)
		} else {
			tk.buf = logentry.AppendArray(tk.buf, 0)
		}
		tk.buf = logentry.AppendArray(tk.buf, n)
		for _, body := range bodies[:n] {
			tk.buf = append(tk.buf, body...)
		}
		tk.buf = logentry.AppendArray(tk.buf, 0)
		tk.end()
		bodies = bodies[n:]
	}
}
