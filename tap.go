package store

import (
	"slices"
	"sync/atomic"
)

// tap takes the commits that change a bucket while it is copied.
type tap struct {
	b    *bucket
	list [][]change // under the commit lock
}

// taps is those of the alterations under way, copied on change under the commit
// lock.
type taps struct{ list atomic.Pointer[[]*tap] }

func (ts *taps) any() bool { return ts.list.Load() != nil }

// addLocked keeps the changes of a commit.
func (ts *taps) addLocked(ev *commitEvent) {
	if ts.any() {
		for _, t := range *ts.list.Load() {
			t.addLocked(ev)
		}
	}
}

func (ts *taps) setLocked(list []*tap) {
	if len(list) == 0 {
		ts.list.Store(nil)
	} else {
		ts.list.Store(&list)
	}
}

func (ts *taps) allLocked() []*tap {
	if ts.any() {
		return slices.Clone(*ts.list.Load())
	}
	return nil
}

func (t *tap) addLocked(ev *commitEvent) {
	own := ev.changes
	if slices.ContainsFunc(own, func(c change) bool { return c.b != t.b }) {
		own = slices.DeleteFunc(slices.Clone(own), func(c change) bool { return c.b != t.b })
	}
	if len(own) > 0 {
		t.list = append(t.list, own)
	}
}
