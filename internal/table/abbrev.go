package table

import (
	"cmp"
	"encoding/binary"
	"strings"
	"unsafe"
)

// Nodes of a tree over strings keep, of each key, four bytes beside each other,
// so that a search reads a line or two of the node and hardly ever a key: at a
// million records each key it reads is two places in cold memory. The four bytes
// are those behind a prefix that all keys of the node share, of which the node
// itself has the first leadMax bytes. A key that is looked for lies, by that
// prefix, before all of them, or behind them, or is compared by its own four bytes;
// only where those are equal are the keys compared.
//
// skip, the length of the prefix, and the prefix are set before anybody knows the
// node. An inner node never gets another key, and a leaf only those that have its
// prefix: it is replaced where another one comes (tree.put).
//
// This is the poor man's normalized key of Graefe and Larson (B-Tree Indexes and
// CPU Caches, ICDE 2001), behind the prefix of a prefix B-tree (Bayer and
// Unterauer, TODS 1977), which also cuts separators as short as they can be.

// abbr is what a node keeps of a key beside it: four bytes of a string, nothing of
// an integer.
type abbr interface{ uint32 | none }

type none = struct{}

const (
	abbrBytes = 4
	leadWords = 4
	leadMax   = leadWords * abbrBytes
	maxSkip   = 1<<16 - 1
)

// isText reports whether the keys are strings. The compiler knows the answer for
// each of the kinds, and drops what is not for it.
func isText[K cmp.Ordered](k *K) bool { return unsafe.Sizeof(*k) == unsafe.Sizeof("") }

func textOf[K cmp.Ordered](k *K) string { return *(*string)(unsafe.Pointer(k)) }

// abbreviate returns the four bytes of k behind skip, zero where it has none.
func abbreviate(k string, skip int) (w uint32) {
	if len(k) >= skip+abbrBytes {
		b := k[skip : skip+abbrBytes]
		return uint32(b[3]) | uint32(b[2])<<8 | uint32(b[1])<<16 | uint32(b[0])<<24
	}
	for i := skip; i < skip+abbrBytes; i++ {
		if w <<= 8; i < len(k) {
			w |= uint32(k[i])
		}
	}
	return w
}

// abbreviated is abbreviate for either kind of keys.
func abbreviated[K cmp.Ordered, S abbr](k *K, skip int) (short S) {
	if isText(k) {
		*(*uint32)(unsafe.Pointer(&short)) = abbreviate(textOf(k), skip)
	}
	return short
}

// prefix is the beginning of a common prefix, as a node keeps it.
type prefix[S abbr] [leadWords]S

func newPrefix[K cmp.Ordered, S abbr](k *K, skip int) (p prefix[S]) {
	if isText(k) {
		copy((*[leadMax]byte)(unsafe.Pointer(&p))[:], textOf(k)[:skip])
	}
	return p
}

// side reports where k lies that may not have the first skip bytes of a node's
// keys, one of which is known: before all of them (-1), behind them (1), or among
// them (0).
func (p *prefix[S]) side(k string, skip int, known *string) int {
	lead := (*[leadMax]byte)(unsafe.Pointer(p))
	if skip <= leadMax && len(k) >= leadMax {
		b := unsafe.Slice(unsafe.StringData(k), leadMax)
		x, y, more := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(lead[:]), skip-8
		if more <= 0 {
			x, y = x>>uint(-8*more&63), y>>uint(-8*more&63)
		} else if x == y {
			shift := uint(64-8*more) & 63
			x, y = binary.BigEndian.Uint64(b[8:])>>shift, binary.BigEndian.Uint64(lead[8:])>>shift
		}
		switch {
		case x == y:
			return 0
		case x < y:
			return -1
		}
		return 1
	}
	n := min(skip, leadMax, len(k))
	if c := strings.Compare(k[:n], unsafe.String(&lead[0], n)); c != 0 {
		return c
	}
	if len(k) >= skip && skip <= leadMax {
		return 0
	}
	n = min(skip, len(k))
	if c := strings.Compare(k[:n], (*known)[:n]); c != 0 || n == skip {
		return c
	}
	return -1
}

// shared is the length of the common prefix of two keys, up to maxSkip.
func shared[K cmp.Ordered](a, b *K) (n int) {
	if !isText(a) {
		return 0
	}
	s, t := textOf(a), textOf(b)
	for most := min(len(s), len(t), maxSkip); n < most && s[n] == t[n]; n++ {
	}
	return n
}

// decisive is how many of the four bytes behind a prefix must tell keys apart.
const decisive = 2

// goodSkip is how many bytes a node takes out of keys that share n. That is one
// less than it could, for the keys to come, and what the node before took out as
// long as enough of the four bytes are left.
func goodSkip(n, before int) int {
	if before <= n && n <= before+abbrBytes-decisive {
		return before
	}
	return max(n-1, 0)
}

// separator returns the shortest key that is above a and not above b.
func separator[K cmp.Ordered](a, b *K) K {
	if !isText(b) {
		return *b
	}
	s := textOf(b)
	s = s[:min(shared(a, b)+1, len(s))]
	return *(*K)(unsafe.Pointer(&s))
}
