package table

import "sync/atomic"

// hash maps keys to row numbers without storing a key: an open-addressed table
// of words, each 32 bits of the key's hash above the row number plus 2. The
// caller compares the key in the row, where the record keeps it anyway.
//
// One writer, any number of readers. A word is written atomically; growing
// publishes a new array, and needs no key, since the place of a word follows
// from the hash bits that it carries. A reader that still holds the old array
// misses only rows that were added after it loaded that array.
//
// 8 bytes a word at 40-75 % load: 11 to 20 bytes a key.
type hash struct {
	words atomic.Pointer[[]atomic.Uint64] // a power of two
	used  int                             // words in use, removed ones included
	live  int
}

const (
	hashEmpty   = 0
	hashRemoved = 1
	hashMin     = 16
)

func (h *hash) init(rows int) {
	n := hashMin
	for rows*4 > n*3 {
		n *= 2
	}
	w := make([]atomic.Uint64, n)
	h.words.Store(&w)
	h.used, h.live = 0, 0
}

func hashWord(sum, row uint32) uint64 { return uint64(sum)<<32 | uint64(row+2) }

// maxRow is the largest row number that a word can carry.
const maxRow = 1<<32 - 3

func (h *hash) add(sum, row uint32) {
	words := *h.words.Load()
	if (h.used+1)*4 > len(words)*3 {
		n := len(words)
		if h.live*2 >= n {
			n *= 2
		}
		bigger := make([]atomic.Uint64, n)
		for i := range words {
			if w := words[i].Load(); w > hashRemoved {
				hashPut(bigger, w)
			}
		}
		h.used = h.live
		h.words.Store(&bigger)
		words = bigger
	}
	hashPut(words, hashWord(sum, row))
	h.used++
	h.live++
}

func hashPut(words []atomic.Uint64, w uint64) {
	mask := uint64(len(words) - 1)
	i := w >> 32 & mask
	for words[i].Load() != hashEmpty {
		i = (i + 1) & mask
	}
	words[i].Store(w)
}

func (h *hash) remove(sum, row uint32) {
	words := *h.words.Load()
	mask := uint64(len(words) - 1)
	want := hashWord(sum, row)
	for i := uint64(sum) & mask; ; i = (i + 1) & mask {
		switch words[i].Load() {
		case hashEmpty:
			return
		case want:
			if words[(i+1)&mask].Load() == hashEmpty {
				// No probe passes through here: the word can be empty again,
				// and so can the removed ones that lead up to it.
				words[i].Store(hashEmpty)
				h.used--
				for j := (i - 1) & mask; words[j].Load() == hashRemoved; j = (j - 1) & mask {
					words[j].Store(hashEmpty)
					h.used--
				}
			} else {
				words[i].Store(hashRemoved)
			}
			h.live--
			return
		}
	}
}
