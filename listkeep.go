package store

import (
	"errors"
	"slices"
)

// What the reactor does for lists, all under its lock: it finds the changes that
// concern a list as it finds those that concern any node (hitLocked), keeps them until
// the commit has been matched, and applies them then.

// listCounts is what lists have cost, for tests.
type listCounts struct {
	changes int64 // that concerned a list
	applied int64 // commits, of a list each
	nodes   int64 // of trees that were copied
}

// listedLocked looks at the watch of a list that the change under way may concern.
func (r *reactor) listedLocked(w *watch) {
	n := w.n
	l := n.list
	if n.running || n.dirty || n.seq >= r.event.seq || l.last == r.counts.changes {
		return
	}
	l.last = r.counts.changes // it may be found at several places
	ch, ok := l.now.concerns(r.change)
	switch {
	case !ok:
		n.misses.near++
		return
	case len(n.subs) == 0 && n.asks == 0:
		r.dirtyLocked(n, r.event.seq) // it is read anew if somebody asks
		return
	case !l.touched:
		l.touched = true
		r.touched = append(r.touched, n)
	}
	l.pending = append(l.pending, ch)
}

// applyTouchedLocked applies a commit to the lists that it concerns.
func (r *reactor) applyTouchedLocked(seq uint64) {
	for i, n := range r.touched {
		n.list.touched = false
		r.applyLocked(n, seq)
		r.touched[i] = nil
	}
	r.touched = r.touched[:0]
}

// applyLocked applies the pending changes of a commit to a list. Where that cannot be
// done, or would cost more, the list is read anew.
func (r *reactor) applyLocked(n *node, seq uint64) {
	l := n.list
	changes := l.pending
	l.pending = changes[:0]
	defer func() {
		clear(changes)
		if cap(changes) > batchRows {
			l.pending = nil
		}
		if p := recover(); p != nil { // a defect of this library
			r.dirtyLocked(n, seq)
			err := panicked(p)
			r.st.workers.Go("live queries", func() { r.st.report("live queries", err) })
		}
	}()
	if n.running || n.dirty || len(changes) == 0 {
		return
	}
	r.lists.changes += int64(len(changes))
	r.lists.applied++
	if l.tooMany(changes) {
		r.dirtyLocked(n, seq)
		return
	}
	if s, seen, ok := r.changeLocked(l, changes); !ok {
		r.dirtyLocked(n, seq)
	} else {
		if s.dep != l.now.dep {
			r.narrowLocked(n, s)
		}
		l.now, n.seq = s, seq
		if seen {
			r.publishLocked(n, s, seq)
		}
	}
}

// tooMany reports whether a commit has more changes than the list would then have
// records.
func (l *list) tooMany(changes []listChange) bool {
	left := l.now.tree.Len()
	for i := range changes {
		if ch := &changes[i]; ch.is && !ch.was {
			left++
		} else if ch.was && !ch.is {
			left--
		}
	}
	if l.reads >= 0 {
		left = min(left, l.reads)
	}
	return len(changes) > max(left, listScratch)
}

// changeLocked makes the state after a commit's changes. seen: some of them may be in the
// window, or before it. It fails if the window would not be full any more, and there
// may be more records.
func (r *reactor) changeLocked(l *list, changes []listChange) (s *listState, seen, ok bool) {
	if r.st.bug == bugListPanic {
		panic("planted")
	}
	was := l.now
	s = &listState{l: l, b: was.b, dep: was.dep, sel: was.sel, sum: was.sum + uint64(len(changes))}
	e := was.tree.Edit(s.dep.compareEntries)
	first := l.to
	for i := range changes { // removes first
		ch := &changes[i]
		if ch.was && !ch.stays {
			old := s.dep.entry(ch.c.old, ch.c.ordinal)
			at, found := e.Remove(&old)
			if !found {
				panic("store: a record is missing in a live list")
			}
			first = min(first, at)
		}
	}
	for i := range changes {
		ch := &changes[i]
		if ch.is && !(r.st.bug == bugListLost && ch.was && !ch.stays) {
			fresh := s.dep.entry(ch.c.new, ch.c.ordinal)
			at, added := e.Put(&fresh)
			if added == ch.stays {
				panic("store: a record is missing in a live list, or there twice")
			}
			first = min(first, at)
		}
	}
	r.lists.nodes += int64(e.Copied)
	if s.dep.until != nil && e.Len() < l.to && r.st.bug != bugListShort {
		return nil, false, false
	}
	if l.reads >= 0 && e.Len() > 2*l.reads-l.to {
		e.Truncate(l.reads)
		s.dep = s.dep.endingAt(e.Tree().At(l.reads - 1))
	}
	s.tree = e.Tree()
	return s, first < l.to, true
}

// endingAt is the dependency on no more than the records up to one.
func (d *dependency) endingAt(last listEntry) *dependency {
	n := *d
	n.until = &place{v: last.v, ordinal: last.ordinal}
	return &n
}

// narrowLocked has a list watched as far as its new horizon.
func (r *reactor) narrowLocked(n *node, s *listState) {
	part := &partRead{b: s.b, readSet: readSet{answers: []*dependency{s.dep}}}
	r.installLocked(n, &n.good, &reads{parts: []*partRead{part}})
}

// publishLocked makes a state known.
func (r *reactor) publishLocked(n *node, s *listState, seq uint64) {
	s.outcome = outcome{value: s, seq: seq, since: seq, gen: n.latest.Load().gen + 1}
	n.list.hold(s)
	n.latest.Store(&s.outcome)
	r.notifyLocked(n)
}

// adoptLocked takes over what an evaluation has read. If it shows nothing new, the state
// before stays, with the new tree: so both share it from here on.
func (r *reactor) adoptLocked(n *node, o *outcome, same bool) {
	l := n.list
	l.pending = nil
	if o.err != nil {
		return
	}
	s := o.value.(*listState)
	was := l.now
	l.now = s
	if was != nil {
		s.sum = was.sum + 1 + uint64(s.tree.Len())
	}
	if same {
		l.mu.Lock()
		defer l.mu.Unlock()
		newest := l.held[len(l.held)-1]
		newest.tree, newest.dep, newest.sum = s.tree, s.dep, s.sum
		return
	}
	s.outcome = outcome{value: s, seq: o.seq, since: o.since, gen: o.gen}
	l.hold(s)
}

// followLocked applies to a list the commits that its evaluation, at seq, has not
// seen: those from the given number on. It reports false if they are not all there,
// or say less than what has happened.
func (r *reactor) followLocked(n *node, from, seq uint64) bool {
	l := n.list
	if l == nil || n.latest.Load().err != nil || from < r.keptFrom || l.now.b.dropped.Load() || !l.now.b.current() {
		return false
	}
	if l.now.dep == nil {
		return true
	}
	for _, ev := range r.kept[from-r.keptFrom:] {
		if ev.seq <= seq {
			continue
		}
		for i := range ev.changes {
			if c := &ev.changes[i]; c.b == l.now.b {
				if ch, ok := l.now.concerns(c); ok {
					l.pending = append(l.pending, ch)
				}
			}
		}
		if r.applyLocked(n, ev.seq); n.dirty {
			break
		}
	}
	return true
}

// failLocked ends the live lists of a node whose query has no answer any more.
func (r *reactor) failLocked(n *node, o *outcome) {
	why := &Error{Op: "live list", Bucket: n.list.query.b.name, Err: errors.Unwrap(o.err)}
	for _, s := range slices.Clone(n.subs) {
		s.finish(why)
		r.leaveLocked(s)
	}
}

// sameLists reports whether an outcome of a list shows what another one does.
func sameLists(a, b *outcome) bool {
	return b.value.(*listState).same(a.value.(*listState))
}
