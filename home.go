package store

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/noex-go/store/internal/table"
)

// home is what a handle holds of a bucket: the place that AlterBucket puts
// another one into. A bucket's shape and table never change; an altered bucket is
// a new one, with the records of the old.
//
//	handle ──→ home ──→ bucket, the one that is written
//	                      │ before
//	                      ▼
//	                    bucket, as snapshots from before the alteration show it
//
// A reader of the newest state pins a sequence and then looks whether its bucket
// is still the one; if not, it begins again with the other. So a bucket that no
// pinned sequence shows is read by nobody, and lets go of its records: handles,
// prepared queries and records of it may live on, and keep only its shape.
type home struct {
	now      atomic.Pointer[bucket]
	altering atomic.Bool // an alteration is under way

	mu sync.Mutex // held while another bucket moves in; protects views
	// views are the struct types of typed handles, each with a function that says
	// why it cannot hold the records of a shape.
	views map[reflect.Type]func(*shape, *Definition) []Issue
}

// view notes that there are handles of a struct type, unless issues say that there
// can be none for the bucket as it is.
func (h *home) view(t reflect.Type, fits func(*shape, *Definition) []Issue) (*bucket, []Issue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.now.Load()
	if issues := fits(b.shape, &b.def); len(issues) > 0 {
		return b, issues
	}
	if h.views == nil {
		h.views = map[reflect.Type]func(*shape, *Definition) []Issue{}
	}
	h.views[t] = fits
	return b, nil
}

// unfitLocked says which handles cannot hold the records of a bucket.
func (h *home) unfitLocked(b *bucket) (issues []Issue) {
	for _, fits := range h.views {
		issues = append(issues, fits(b.shape, &b.def)...)
	}
	slices.SortFunc(issues, compareIssues)
	return issues
}

// errMoved tells a reader or a writer that the bucket was altered since it looked.
var errMoved = errors.New("the bucket was altered meanwhile")

// current reports whether the bucket is the one that is written.
func (b *bucket) current() bool { return b.home.now.Load() == b }

// of is the bucket as a handle that is bound to s sees it.
func (h *home) of(s *scope) *bucket {
	b := h.now.Load()
	if s == nil || b.since == 0 {
		return b
	}
	return b.as(s)
}

// as is the bucket that it was at a snapshot.
func (b *bucket) as(s *scope) *bucket {
	for b.since > s.pin.Seq {
		was := b.before.Load()
		if was == nil {
			break // the snapshot is closed
		}
		b = was
	}
	return b
}

// find is bucket.get of the bucket that the handle sees, and that bucket.
func (h *home) find(s *scope, key any) (*bucket, *table.Version) {
	for {
		b := h.of(s)
		if v := b.get(s, key); v != nil || s != nil || b.current() {
			return b, v
		}
	}
}

// forget lets go of what the bucket was, where no pinned sequence shows it any
// more. From the moment on when another bucket is published, no reader pins a
// sequence before it.
func (b *bucket) forget() {
	if b.before.Load() == nil {
		return
	}
	pinned := b.store.pins.Pinned(nil)
	for b != nil {
		was := b.before.Load()
		if was == nil {
			return
		}
		i, _ := slices.BinarySearch(pinned, was.since)
		if i < len(pinned) && pinned[i] < b.since {
			b = was
		} else if b.before.CompareAndSwap(was, was.before.Load()) {
			was.table.Release()
		}
	}
}

// writeTo has something written to the bucket, once more if that was altered
// meanwhile: a prepared record has the shape of one bucket.
func writeTo[R any](h *home, at *scope, op string, fn func(b *bucket) (R, error)) (R, error) {
	for {
		b := h.of(at)
		if err := b.writable(op, at); err != nil {
			var none R
			return none, err
		}
		r, err := fn(b)
		if err == nil || !errors.Is(err, errMoved) {
			return r, err
		}
	}
}
