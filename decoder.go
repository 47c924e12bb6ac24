package store

import (
	"slices"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// decoder makes results of versions.
type decoder[R any] struct {
	make func(*table.Version) R
	// plain: an R lies at off, and copying it is all.
	plain bool
	off   uintptr
	// records: R is Record, and the version is all of it.
	records bool
	// views, unless nil: R is Record, of a view with this Ext.
	views *table.Ext
	// writes: the records are to be written, and are not read for LeastRead.
	writes bool
	// project returns the decoder that shows some fields only.
	project func(sel *selection) decoder[R]
	// over returns the decoder for another bucket of the same home; nil: it is this
	// one.
	over func(b *bucket) *decoder[R]
}

// coldFrom is how many records a bucket has that no longer fits the processor's
// caches. In one that does, warm would cost an eighth of an iteration.
const coldFrom = 1 << 15

// warm reads a byte of the first two cache lines that the results of a batch are
// copied from: all those loads wait for memory at the same time, where the caller's
// function keeps those of the copies apart. At a million records that takes a tenth to
// a third off an iteration through an index (BenchmarkIterateThird). A scan meets records much as they lie in memory,
// and the processor reads ahead by itself.
func (d *decoder[R]) warm(x *exec, batch []*table.Version) {
	if !d.plain || len(batch) <= firstBatch || x.c.path == pathScan || x.view.GuessAll() < coldFrom {
		return
	}
	var r R
	sum, off, next := uint8(0), d.off, d.off+min(64, unsafe.Sizeof(r)-1)
	for _, v := range batch {
		sum += *(*uint8)(unsafe.Add(unsafe.Pointer(v), off)) + *(*uint8)(unsafe.Add(unsafe.Pointer(v), next))
	}
	x.warmth += sum
}

// look makes the views of a batch, nil where the results need none. Who keeps one
// keeps the batch: one object for all costs less than an object for each.
func (d *decoder[R]) look(batch []*table.Version) []table.Version {
	if d.views == nil {
		return nil
	}
	return table.Views(batch, d.views)
}

// seen is the result that shows a view.
func (d *decoder[R]) seen(view *table.Version) R { return *(*R)(unsafe.Pointer(&view)) }

// give calls yield with the results of a batch. It returns the version at which yield
// has ended the answer.
func (d *decoder[R]) give(batch []*table.Version, yield func(R, error) bool) *table.Version {
	if off := d.off; d.plain {
		for _, v := range batch {
			if !yield(*(*R)(unsafe.Add(unsafe.Pointer(v), off)), nil) {
				return v
			}
		}
		return nil
	}
	views := d.look(batch)
	for i, v := range batch {
		var r R
		if views != nil {
			r = d.seen(&views[i])
		} else {
			r = d.make(v)
		}
		if !yield(r, nil) {
			return v
		}
	}
	return nil
}

// add appends the results of a batch.
func (d *decoder[R]) add(out []R, batch []*table.Version) []R {
	n := len(out)
	out = slices.Grow(out, len(batch))[:n+len(batch)]
	fresh := out[n:]
	switch {
	case d.records:
		copy(versions(fresh), batch)
	case d.views != nil:
		views, to := d.look(batch), versions(fresh)
		for i := range views {
			to[i] = &views[i]
		}
	case d.plain:
		for i, v := range batch {
			fresh[i] = *(*R)(at(v, d.off))
		}
	default:
		for i, v := range batch {
			fresh[i] = d.make(v)
		}
	}
	return out
}

// collect reads an answer to its end.
func collect[R any](x *exec, dec *decoder[R], hint int) []R {
	out := make([]R, 0, hint)
	if dec.records {
		out = out[:x.into(versions(out[:hint]))]
	}
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		out = dec.add(out, batch)
	}
	return out
}
