package table

import "sync/atomic"

// rows maps row numbers to cells; a cell points to the newest version of its
// record. Row numbers only rise, so that their order is the order of insertion;
// a number is used again only after the whole table was renumbered (compact.go).
// Chunks whose rows are all gone are dropped.
//
// One writer, any number of readers: the directory is replaced, never edited
// in the part that is published.
type rows struct {
	dir     atomic.Pointer[rowDir]
	next    uint32   // the next row number
	counts  []uint16 // per chunk of dir: cells in use
	used    int      // cells in use
	alloc   int      // cells that exist
	stirred []*chunk // in which something is pending
}

const (
	chunkBits = 10
	chunkRows = 1 << chunkBits
)

// chunk is the cells of 1,024 rows. While nothing is pending in it and no row is
// deleted, all its newest versions are live and published, the last of them by
// settled: a reader that is pinned at or after settled sees just those, and need
// not look at their headers.
//
// The writer stores unsettled before it stores a head, and a sequence that was
// never there before once the commit is published. A reader loads settled, the
// cells, and settled again: if it is still the same, no head in between was new,
// and none was taken away: a cell is emptied only while settled is unsettled.
type chunk struct {
	cells   [chunkRows]atomic.Pointer[Version]
	settled atomic.Uint64
	moved   atomic.Uint32 // the moved bits of all heads, and perhaps more
	solid   atomic.Uint32 // as long as settled does not change: so many cells, from the first on, are none empty
	used    atomic.Uint32 // so many cells, or fewer, have ever been in use: a multiple of usedStep

	// Writer only.
	top     uint32 // what solid is to be
	pending bool   // in the table's list of chunks to settle
	dead    int    // heads that are tombstones
}

const unsettled = 1<<64 - 1

// usedStep is by how much chunk.used rises: a reader of a chunk that is filled looks
// at so many empty cells at most, and the writer has little to store.
const usedStep = 64

type rowDir struct {
	base   uint32 // number of the first chunk
	chunks []*chunk
}

// cell is the cell of a row; nil if its chunk is gone.
func (d *rowDir) cell(row uint32) *atomic.Pointer[Version] {
	i := row>>chunkBits - d.base
	if i >= uint32(len(d.chunks)) {
		return nil
	}
	c := d.chunks[i]
	if c == nil {
		return nil
	}
	return &c.cells[row&(chunkRows-1)]
}

// head is the newest version in a row, nil if there is none.
func (d *rowDir) head(row uint32) *Version {
	if c := d.cell(row); c != nil {
		return c.Load()
	}
	return nil
}

func (r *rows) init() { r.dir.Store(&rowDir{}) }

// full reports that there is no row number left.
func (r *rows) full() bool { return r.next > maxRow }

// add puts v into a new row.
func (r *rows) add(v *Version) uint32 {
	row := r.next
	d := r.dir.Load()
	i := row>>chunkBits - d.base
	if i >= uint32(len(d.chunks)) {
		// Appending writes beyond what readers of the old header can reach.
		c := new(chunk)
		c.settled.Store(unsettled)
		d = &rowDir{base: d.base, chunks: append(d.chunks, c)}
		r.counts = append(r.counts, 0)
		r.alloc += chunkRows
		r.dir.Store(d)
	}
	r.next++
	r.stir(d.chunks[i])
	c, cell := d.chunks[i], row&(chunkRows-1)
	if cell >= c.used.Load() {
		c.used.Store(cell&^(usedStep-1) + usedStep)
	}
	c.cells[cell].Store(v)
	if c.top == cell {
		c.top++
	}
	r.counts[i]++
	r.used++
	return row
}

// stir says that a head of a chunk is about to change.
func (r *rows) stir(c *chunk) {
	if !c.pending {
		c.pending = true
		r.stirred = append(r.stirred, c)
		c.settled.Store(unsettled)
	}
}

// set makes v, pending, the head of a row.
func (r *rows) set(row uint32, v *Version) {
	d := r.dir.Load()
	c := d.chunks[row>>chunkBits-d.base]
	r.stir(c)
	if v.dead() {
		c.dead++
	} else if m := v.bits.Load() & movedAll; m&^c.moved.Load() != 0 {
		c.moved.Store(c.moved.Load() | m)
	}
	c.cells[row&(chunkRows-1)].Store(v)
}

// adopt counts what a row that was added with its chain brings along.
func (r *rows) adopt(row uint32, v *Version) {
	d := r.dir.Load()
	c := d.chunks[row>>chunkBits-d.base]
	if v.dead() {
		c.dead++
		return
	}
	c.moved.Store(c.moved.Load() | v.bits.Load()&movedAll)
}

// restore makes v the head of a row again, instead of one that was pending.
func (r *rows) restore(row uint32, v *Version) {
	d := r.dir.Load()
	c := d.chunks[row>>chunkBits-d.base]
	cell := &c.cells[row&(chunkRows-1)]
	if cell.Load().dead() {
		c.dead--
	}
	c.moved.Store(c.moved.Load() | v.bits.Load()&movedAll)
	cell.Store(v)
}

func (c *chunk) settle(seq uint64) {
	c.solid.Store(c.top)
	c.settled.Store(seq)
}

// settle says that all heads are published, the last ones by seq.
func (r *rows) settle(seq uint64) {
	for i, c := range r.stirred {
		c.pending = false
		if c.dead == 0 {
			c.settle(seq)
		}
		r.stirred[i] = nil
	}
	r.stirred = r.stirred[:0]
}

// bury empties the row of a tombstone that nobody sees; seq is the published
// sequence.
func (r *rows) bury(row uint32, seq uint64) {
	d := r.dir.Load()
	c := d.chunks[row>>chunkBits-d.base]
	r.free(row)
	if c.dead--; c.dead == 0 && !c.pending {
		c.settle(seq)
	}
}

// free empties a row. Its number is not used again.
func (r *rows) free(row uint32) {
	d := r.dir.Load()
	i := row>>chunkBits - d.base
	c := d.chunks[i]
	c.cells[row&(chunkRows-1)].Store(nil)
	c.top = min(c.top, row&(chunkRows-1))
	r.used--
	r.counts[i]--
	if r.counts[i] > 0 || r.next < (row|(chunkRows-1))+1 {
		return
	}
	n := &rowDir{base: d.base, chunks: append(make([]*chunk, 0, cap(d.chunks)), d.chunks...)}
	n.chunks[i] = nil
	r.alloc -= chunkRows
	for len(n.chunks) > 0 && n.chunks[0] == nil {
		n.chunks = n.chunks[1:]
		n.base++
		r.counts = r.counts[1:]
	}
	r.dir.Store(n)
}
