package table

import (
	"sync/atomic"
	"unsafe"
)

// Version is the header of one version of a record. The record's fields follow
// it in the same allocation, at offsets that only the bucket's shape knows: the
// table asks for them through [KeySpec] and [IndexSpec].
//
// A version is immutable once it is linked into a row, but for the sequence
// (0 while the commit is pending, then stamped once), the link to the version
// before it, and the bits.
type Version struct {
	seq  atomic.Uint64           // 0: pending
	prev atomic.Pointer[Version] // the version before, while somebody may see it
	Ext  *Ext                    // of the bucket, or of this version alone; the table never asks

	// Nulls has a bit per field that is absent, for the first 32 fields.
	Nulls uint32

	// bits: the low 16 are the moved bits, one per index (indexes from 15 on
	// share the last): set when some version of this row carried another value
	// in that index, so that a reader who came through the index must compare.
	// Readers set flagRead, so that a version in sight changes by Or and And only.
	bits atomic.Uint32
}

// Ext says whose record a version is, and holds the parts that few records
// have. All records without those share one, which is never written. Thus a
// pointer to a version is all that it takes to read one.
type Ext struct {
	Owner unsafe.Pointer // set by the bucket; the table does not know its type
	Nulls []uint32       // absent bits of fields from the 33rd on
	Extra map[string]any // fields outside the schema
}

const (
	movedAll = 1<<16 - 1
	flagDead = 1 << 16 // a tombstone: the record was deleted
)

// tombstone is the version that a delete leaves: it only knows its key.
type tombstone struct {
	Version
	text string
	word int64
}

// Views returns headers that are in no row: each shows a version under another
// Ext. They lie in one allocation, so that one that is kept keeps all.
func Views(vs []*Version, ext *Ext) []Version {
	views := make([]Version, len(vs))
	for i, v := range vs {
		views[i].Ext = ext
		views[i].prev.Store(v)
	}
	return views
}

// Viewed is the version that one of Views shows. Of any other version it has no
// meaning.
func (v *Version) Viewed() *Version { return v.prev.Load() }

// Seq is the sequence of the commit that wrote the version; 0 while pending.
func (v *Version) Seq() uint64 { return v.seq.Load() }

func (v *Version) dead() bool { return v.bits.Load()&flagDead != 0 }

// at returns the version that a reader pinned at seq sees, walking back from v;
// nil if there is none.
func (v *Version) at(seq uint64) *Version {
	for ; v != nil; v = v.prev.Load() {
		if v.seq.Load()-1 < seq { // pending (0) wraps around and is never seen
			if v.dead() {
				return nil
			}
			return v
		}
	}
	return nil
}

// plainly reports whether a reader pinned at seq sees v itself, without looking
// at the version before or, with the moved bit of an index in mask, at the key.
func (v *Version) plainly(seq uint64, mask uint32) bool {
	return v != nil && v.seq.Load()-1 < seq && v.bits.Load()&(flagDead|mask) == 0
}

// movedBit is the moved bit of index i.
func movedBit(i int) uint32 { return 1 << min(i, 15) }

// movedBits folds a mask of touched indexes into moved bits.
func movedBits(touched uint64) uint32 {
	m := uint32(touched & (1<<15 - 1))
	if touched>>15 != 0 {
		m |= 1 << 15
	}
	return m
}

func ptr(v *Version, off uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(v), off) }
