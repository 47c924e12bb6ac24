package store

import (
	"reflect"
	"unsafe"

	"github.com/noex-go/store/internal/reactive"
)

// With a great many live queries, none that a commit concerns is in a cache, and
// what one costs is to wait for its memory, line after line. Where several wait
// in line, that memory is read for all of them at the same time, level by level: first
// all nodes, then what they point to. The processor then waits for all of a level
// about as long as for one. This is group prefetching (Chen, Ailamaki, Gibbons and
// Mowry, Improving Hash Join Performance through Prefetching, ICDE 2004), with loads
// in place of the instruction that Go does not have. What is read decides nothing.

const (
	// warmMost is how many are read together: about as many lines as a core
	// waits for at a time.
	warmMost = 8
	// warmFrom is from how many nodes, or places of a space, on they are. Fewer are
	// in the second cache anyway.
	warmFrom = 4096
	// matchMost is how many commits may wait to be matched while as many nodes as
	// are read together wait to be evaluated.
	matchMost = 2 * warmMost
)

// warmNodesLocked reads what the evaluations of the next nodes in the queue need.
func (r *reactor) warmNodesLocked() {
	batch := r.queue.waiting()
	batch = batch[:min(len(batch), warmMost)]
	if r.warm = len(batch); len(r.nodes) < warmFrom || len(batch) < 2 {
		return
	}
	var found [warmMost]*outcome
	var sum uintptr
	for i, n := range batch {
		found[i] = n.latest.Load()
		sum += uintptr(len(n.key)) + uintptr(len(n.good.watches))
		if n.own.at.Watcher != nil && n.own.sure {
			sum++
		}
	}
	for i, o := range found[:len(batch)] {
		if o != nil {
			sum += uintptr(o.seq)
		}
		sum += reach(batch[i].params)
	}
	for _, o := range found[:len(batch)] {
		if o != nil {
			sum += reach(o.value)
		}
	}
	for _, o := range found[:len(batch)] {
		if o != nil {
			sum += reachElements(o.value)
		}
	}
	r.warmth += sum
}

// boxed is an interface: the pointer is to the value, unless that is a pointer.
type boxed struct{ typ, value unsafe.Pointer }

// reach reads the value that an interface holds.
func reach(v any) uintptr {
	t := reflect.TypeOf(v)
	if t == nil || t.Size() < unsafe.Sizeof(uintptr(0)) {
		return 0
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Array, reflect.Struct:
		return 0 // the interface may hold it without a pointer to it
	}
	return *(*uintptr)((*boxed)(unsafe.Pointer(&v)).value)
}

// reachElements reads the first bytes of a slice that an interface holds.
func reachElements(v any) uintptr {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Slice || t.Elem().Size() == 0 {
		return 0
	}
	if s := *(*[]byte)((*boxed)(unsafe.Pointer(&v)).value); len(s) > 0 {
		return uintptr(s[0])
	}
	return 0
}

// warmWatchesLocked reads what the matching of commits needs.
func (r *reactor) warmWatchesLocked(commits []*commitEvent) {
	var places [warmMost]*reactive.Place[*watch]
	n := 0
	for _, ev := range commits[:min(len(commits), warmMost)] {
		for i := range ev.changes[:min(len(ev.changes), warmMost)] {
			ws := r.watched[ev.changes[i].b]
			if ws == nil {
				continue
			}
			for _, sp := range ws.list {
				if n == warmMost {
					break
				}
				if sp.regions.Len() >= warmFrom {
					r.probe.locate(sp, &ev.changes[i], ev.changes[i].new == nil)
					places[n] = sp.regions.Near(r.probe.point)
					n++
				}
			}
		}
	}
	var nodes [warmMost]*node
	for i, p := range places[:n] {
		if p != nil {
			nodes[i] = p.Watcher.n
		}
	}
	for _, n := range nodes[:n] {
		if n != nil {
			r.warmth += uintptr(n.seq)
		}
	}
}
