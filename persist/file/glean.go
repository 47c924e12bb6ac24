package file

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/noex-go/store"
)

// gleaner finds the whole frames among bytes that are not all frames. It looks at every
// offset for a head that could be one, and proves it by its checksum.
//
// Chance finds a frame where none was written about once in 2^64 bytes. Somebody who
// has values stored can make heads that lead nowhere, each of which costs the checksum
// of what it claims to be its payload: so the bytes that are summed in vain are limited
// to some times those that are read. After that only frames that follow a whole one are
// found.
type gleaner struct {
	r        *reader
	after    store.Position // only frames behind it count
	anywhere bool           // or all

	skipped int64 // bytes that were no frame, before the one that was returned
	budget  int64
}

const gleanBudget = 64 // times the bytes read

func (g *gleaner) from(off int64) {
	g.r.seek(off)
	g.budget = gleanBudget * (g.r.size - off)
}

// next returns the next whole frame, or io.EOF.
func (g *gleaner) next() (*frame, error) {
	g.skipped = 0
	for {
		at := g.r.off
		if at >= g.r.size {
			return nil, io.EOF
		}
		if err := g.r.fill(headSize); err != nil {
			return nil, err
		}
		if len(g.r.have) < headSize {
			g.skip(len(g.r.have))
			return nil, io.EOF
		}
		if n, ok := g.plausible(); ok {
			f, err := g.r.next()
			if err == nil {
				return f, nil
			}
			if !errors.Is(err, store.ErrCorrupt) {
				return nil, err
			}
			g.budget -= n
		}
		g.skip(1)
	}
}

func (g *gleaner) skip(n int) {
	g.r.have, g.r.off = g.r.have[n:], g.r.off+int64(n)
	g.skipped += int64(n)
}

// plausible is the quick look at a head. It returns how much the frame would be.
func (g *gleaner) plausible() (int64, bool) {
	b := g.r.have
	if b[12] != formatVersion || b[15] != 0 {
		return 0, false
	}
	f, n, wrong := parseHead(b, g.r.size-g.r.off-headSize)
	if wrong != "" || f.typ == headerFrame || f.pos < g.after && !g.anywhere {
		return 0, false
	}
	// In a file of this size there cannot be more entries than this.
	if !g.anywhere && binary.LittleEndian.Uint64(b[16:]) > uint64(g.after)+uint64(g.r.size/headSize)+1 {
		return 0, false
	}
	return int64(n), g.skipped == 0 || g.budget > int64(n)
}
