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
	dir    atomic.Pointer[rowDir]
	next   uint32   // the next row number
	counts []uint16 // per chunk of dir: cells in use
	used   int      // cells in use
	alloc  int      // cells that exist
}

const (
	chunkBits = 10
	chunkRows = 1 << chunkBits
)

type (
	chunk  [chunkRows]atomic.Pointer[Version]
	rowDir struct {
		base   uint32 // number of the first chunk
		chunks []*chunk
	}
)

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
	return &c[row&(chunkRows-1)]
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
		d = &rowDir{base: d.base, chunks: append(d.chunks, new(chunk))}
		r.counts = append(r.counts, 0)
		r.alloc += chunkRows
		r.dir.Store(d)
	}
	r.next++
	d.chunks[i][row&(chunkRows-1)].Store(v)
	r.counts[i]++
	r.used++
	return row
}

// free empties a row. Its number is not used again.
func (r *rows) free(row uint32) {
	d := r.dir.Load()
	i := row>>chunkBits - d.base
	d.chunks[i][row&(chunkRows-1)].Store(nil)
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
