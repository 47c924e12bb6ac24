package table

import (
	"math/bits"
)

// setWalk is the part of a walk that stands in a set of rows: in a word of it, and
// before the words that come next.
type setWalk struct {
	set   setCursor // words that come next
	word  uint64    // rows left of the current word
	base  uint32    // its first row
	chunk *chunk    // its rows
	from  uint32    // rows before this one are passed over
	also  *setProbe // what must have the rows too
}

// enterSet begins with the first row.
func (w *setWalk) enterSet(s *rowset) {
	w.word = 0
	if w.from == 0 {
		w.set = s.words.first()
	} else {
		w.set = s.words.seek(w.from >> 6)
	}
}

// heads loads the newest versions of the next rows, all before any of them is
// looked at (see Cursor), and their numbers into rows[at:]. plain reports that
// all are what the view sees, without a look: no row has bit among its moved bits,
// and no chunk was stirred between the first load from it and the last.
func (w *setWalk) heads(c *Cursor, bit uint32, heads []*Version, rows []uint32, at int) (k int, plain bool) {
	plain = true
	if rows != nil {
		rows = rows[at:]
	}
	for k < len(heads) {
		if w.word == 0 && !w.nextWord(c) {
			break
		}
		ch := w.chunk
		settled := ch.settled.Load()
		n := w.inChunk(ch, heads[k:], rows)
		k += n
		if rows != nil {
			rows = rows[n:]
		}
		if settled > c.v.seq || ch.moved.Load()&bit != 0 || ch.settled.Load() != settled {
			plain = false
		}
	}
	return k, plain
}

// inChunk is heads for the current word and those behind it that lie in the same
// chunk. A row that is empty was deleted, for all who can ask.
func (w *setWalk) inChunk(ch *chunk, heads []*Version, rows []uint32) (k int) {
	if rows == nil && w.also == nil {
		return w.inChunkOnly(ch, heads)
	}
	for {
		word := w.word
		for ; word != 0 && k < len(heads); word &= word - 1 {
			row := w.base + uint32(bits.TrailingZeros64(word))
			head := ch.cells[row&(chunkRows-1)].Load()
			if head == nil {
				continue
			}
			if heads[k] = head; rows != nil {
				rows[k] = row
			}
			k++
		}
		if w.word = word; word != 0 || w.also != nil || !w.sameChunk() {
			return k
		}
	}
}

// inChunkOnly is inChunk where nobody asks for row numbers and there is nothing
// else to look at. It goes through a leaf of the set without a call: in a sparse
// set each word has a row or two.
func (w *setWalk) inChunkOnly(ch *chunk, heads []*Version) (k int) {
	base, word := w.base, w.word
	l, p, i := w.set.l, w.set.p, w.set.i
	for k < len(heads) {
		if word == 0 {
			if l == nil {
				break
			}
			slot := permAt(p, i)
			next := l.keys[slot] << 6
			if (next^base)>>chunkBits != 0 {
				break
			}
			base, word = next, l.val(slot)
			if i++; i >= permLen(p) {
				w.set.nextLeaf()
				l, p, i = w.set.l, w.set.p, w.set.i
			}
			continue
		}
		head := ch.cells[(base+uint32(bits.TrailingZeros64(word)))&(chunkRows-1)].Load()
		word &= word - 1
		if head != nil {
			heads[k] = head
			k++
		}
	}
	w.base, w.word, w.set.i = base, word, i
	return k
}

// sameChunk goes on to the next word if that lies in the chunk of the current one.
func (w *setWalk) sameChunk() bool {
	l, i := w.set.l, w.set.i
	if l == nil {
		return false
	}
	slot := permAt(w.set.p, i)
	base := l.keys[slot] << 6
	if (base^w.base)>>chunkBits != 0 {
		return false
	}
	w.base, w.word = base, l.val(slot)
	if i++; i < permLen(w.set.p) {
		w.set.i = i
	} else {
		w.set.nextLeaf()
	}
	return true
}

// nextWord finds the next word of the set with rows in it.
func (w *setWalk) nextWord(c *Cursor) bool {
	for ; w.set.ok(); w.set.next() {
		slot := w.set.slot()
		key, word := w.set.l.keys[slot], w.set.l.val(slot)
		if key == w.from>>6 {
			word &= ^uint64(0) << (w.from & 63)
		}
		for s := w.also; s != nil && word != 0; s = s.next {
			word &= s.word(key)
		}
		if word == 0 {
			continue
		}
		w.base = key << 6
		i := w.base>>chunkBits - c.dir.base
		if i >= uint32(len(c.dir.chunks)) {
			c.dir = c.v.r.rows.dir.Load()
			i = w.base>>chunkBits - c.dir.base
		}
		if i >= uint32(len(c.dir.chunks)) || c.dir.chunks[i] == nil {
			continue // the rows are gone
		}
		w.chunk, w.word = c.dir.chunks[i], word
		w.set.next()
		return true
	}
	return false
}

// setProbe answers what words a set of rows has, for ascending questions.
type setProbe struct {
	tree *setTree
	at   setCursor
	on   bool // at is valid: it stands on the last question or behind it
	next *setProbe
}

// probeSteps is how many entries a probe walks before it descends the tree anew.
const probeSteps = 4

func (s *setProbe) word(key uint32) uint64 {
	for step := 0; s.on && s.at.ok() && s.at.key() < key; step++ {
		if step == probeSteps {
			s.on = false
			break
		}
		s.at.next()
	}
	if !s.on {
		s.at, s.on = s.tree.seek(key), true
	}
	if !s.at.ok() || s.at.key() != key {
		return 0
	}
	return s.at.l.val(s.at.slot())
}
