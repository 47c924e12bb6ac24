package table

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Pins is the published sequence of a store and the register of the sequences
// that readers hold. It is shared by all tables of a store.
//
// A reader writes the sequence into a slot and then looks whether the sequence
// is still the published one; if not, it tries again. A writer publishes first
// and reads the slots afterwards. Atomic operations are sequentially
// consistent, so either the writer sees the pin, or the reader sees the new
// sequence and moves on to it: what a pinned sequence can see is never cut.
//
// Short pins (a scan) take one of a few slots, each on a cache line of its own;
// long ones (a Snapshot), and those that find all slots taken, go to a list
// under a mutex. Acquire and Release: about 15 ns; Pinned: one load per slot.
type Pins struct {
	published atomic.Uint64
	_         [56]byte
	slots     []pinSlot
	waiting   atomic.Int64 // tables in which versions wait for a pin to go

	mu   sync.Mutex                // guards changes of list
	list atomic.Pointer[[]longPin] // sorted by sequence, copied on change
}

type pinSlot struct {
	seq   atomic.Uint64 // sequence+1; 0: free
	since atomic.Int64  // when it was taken, if that was said, as nanoseconds+1; else 0
	_     [48]byte
}

type longPin struct {
	seq   uint64
	count int
}

// Pin is one held sequence. The zero Pin holds nothing.
type Pin struct {
	Seq   uint64
	slot  *pinSlot // nil: in the list
	timed bool
}

// NewPins returns a register whose published sequence is seq.
func NewPins(seq uint64) *Pins {
	n := 8
	for n < 4*runtime.GOMAXPROCS(0) && n < 256 {
		n *= 2
	}
	p := &Pins{slots: make([]pinSlot, n)}
	p.published.Store(seq)
	p.list.Store(new([]longPin))
	return p
}

// Published is the newest sequence that readers may see.
func (p *Pins) Published() uint64 { return p.published.Load() }

// Publish makes seq visible. Callers are serialized by the store's commit lock.
func (p *Pins) Publish(seq uint64) { p.published.Store(seq) }

// Acquire pins the published sequence for a short time.
func (p *Pins) Acquire() Pin {
	seq := p.published.Load()
	mask := uint32(len(p.slots) - 1)
	at := rand.Uint32()
	for i := range uint32(len(p.slots)) {
		s := &p.slots[(at+i)&mask]
		if s.seq.Load() != 0 || !s.seq.CompareAndSwap(0, seq+1) {
			continue
		}
		for {
			now := p.published.Load()
			if now == seq {
				return Pin{Seq: seq, slot: s}
			}
			seq = now
			s.seq.Store(seq + 1)
		}
	}
	return p.AcquireLong()
}

// Time says when a pin was taken, by a clock of the caller's that begins at 0, for
// Since. It reports false for a pin that takes no slot.
func (p *Pin) Time(at int64) bool {
	if p.slot == nil {
		return false
	}
	p.slot.since.Store(at + 1)
	p.timed = true
	return true
}

// Since is when the oldest of the pins was taken of which that was said; false if
// there is none.
func (p *Pins) Since() (at int64, ok bool) {
	for i := range p.slots {
		if t := p.slots[i].since.Load(); t != 0 && (!ok || t-1 < at) {
			at, ok = t-1, true
		}
	}
	return at, ok
}

// AcquireLong pins the published sequence without taking a slot.
func (p *Pins) AcquireLong() Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		seq := p.published.Load()
		p.addLocked(seq, 1)
		if p.published.Load() == seq {
			return Pin{Seq: seq}
		}
		p.addLocked(seq, -1)
	}
}

// Release gives a pin back. Each pin is released once.
func (p *Pins) Release(pin Pin) {
	if pin.slot != nil {
		if pin.timed {
			pin.slot.since.Store(0)
		}
		pin.slot.seq.Store(0)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addLocked(pin.Seq, -1)
}

func (p *Pins) addLocked(seq uint64, d int) {
	list := slices.Clone(*p.list.Load())
	i, ok := slices.BinarySearchFunc(list, seq, func(l longPin, s uint64) int {
		switch {
		case l.seq < s:
			return -1
		case l.seq > s:
			return 1
		}
		return 0
	})
	if !ok {
		list = slices.Insert(list, i, longPin{seq: seq})
	}
	if list[i].count += d; list[i].count == 0 {
		list = slices.Delete(list, i, i+1)
	}
	p.list.Store(&list)
}

// Pinned appends the distinct pinned sequences to buf[:0], ascending.
func (p *Pins) Pinned(buf []uint64) []uint64 {
	buf = buf[:0]
	for i := range p.slots {
		if s := p.slots[i].seq.Load(); s != 0 {
			buf = append(buf, s-1)
		}
	}
	for _, l := range *p.list.Load() {
		buf = append(buf, l.seq)
	}
	if len(buf) > 1 {
		slices.Sort(buf)
		buf = slices.Compact(buf)
	}
	return buf
}

// Oldest is the oldest sequence that is pinned, or may be from now on.
func (p *Pins) Oldest() uint64 {
	seq := p.published.Load()
	for i := range p.slots {
		if s := p.slots[i].seq.Load(); s != 0 {
			seq = min(seq, s-1)
		}
	}
	if list := *p.list.Load(); len(list) > 0 {
		seq = min(seq, list[0].seq)
	}
	return seq
}

// Waiting reports whether in any table versions wait for a pin to go.
func (p *Pins) Waiting() bool { return p.waiting.Load() > 0 }

// needs returns a pinned sequence in [from, to), the newest one.
func needs(pinned []uint64, from, to uint64) (uint64, bool) {
	i, _ := slices.BinarySearch(pinned, to)
	if i == 0 || pinned[i-1] < from {
		return 0, false
	}
	return pinned[i-1], true
}
