package vfs

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// sectorSize is what a disk writes in full or not at all.
const sectorSize = 512

// Crash returns a disk as a power loss at this moment may leave it. The image is independent of m, which goes on; nothing
// in it is open or locked, and all of it is durable.
//
// What was synced is there, and at keep 0 nothing else. At keep 1 everything is there, which is also what the end of the
// process alone leaves. In between, r chooses, and the same from the same seed after the same operations.
//
// Of the changes of a file that were not synced, each survives with probability keep, whatever becomes of those before it:
//
//   - A write that survives is torn with probability 1-keep: any of its sectors of 512 bytes are missing. The last write
//     of a file may also stop at any byte.
//   - A write past the end may extend the file where its bytes are missing. They are then zeros, or garbage.
//
// Of the changes of a directory that were not synced, the first ones survive, in their order: a share of keep on average,
// and any share is possible. The directories are independent of one another, except that a rename between two of them
// survives in both or in neither.
//
// What a failed Sync or SyncDir should have made durable counts as not synced.
func (m *Memory) Crash(r *rand.Rand, keep float64) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crash{r: r, keep: keep, images: make(map[*node]*node), undone: make(map[*dirChange]bool)}
	c.undoDirs(m.root)
	return &Memory{root: c.image(m.root), capacity: m.capacity, used: c.used}
}

type crash struct {
	r      *rand.Rand
	keep   float64
	undone map[*dirChange]bool
	images map[*node]*node // by the node of the crashed Memory
	used   int64
}

func (c *crash) chance(p float64) bool { return c.r.Float64() < p }

// undoDirs chooses which changes of directories do not survive.
func (c *crash) undoDirs(root *node) {
	dirs := reachable(nil, make(map[*node]bool), root)
	for _, d := range dirs {
		open := slices.DeleteFunc(slices.Clone(d.dirLog), func(x *dirChange) bool { return x.state == kept })
		for _, x := range open[c.share(len(open)):] {
			c.undone[x] = true
		}
	}
	for changed := true; changed; {
		changed = false
		for _, d := range dirs {
			changed = c.undoAfter(d) || changed
		}
	}
}

// undoAfter undoes what comes after a change of a directory that is undone, or needs one, and reports whether there was
// anything.
func (c *crash) undoAfter(dir *node) (changed bool) {
	after := false
	for _, x := range dir.dirLog {
		if x.state == kept {
			continue
		}
		after = after || c.undone[x] || slices.ContainsFunc(x.needs, func(n *dirChange) bool { return c.undone[n] })
		if after && !c.undone[x] {
			c.undone[x] = true
			changed = true
		}
	}
	return changed
}

// share chooses how many of n survive: n*keep on average, each number possible. The coins are of one weight, which is itself
// chosen and is keep on average. Coins of the weight keep would hardly ever leave all or none of many.
func (c *crash) share(n int) (left int) {
	weight := math.Pow(c.r.Float64(), (1-c.keep)/c.keep)
	for range n {
		if c.chance(weight) {
			left++
		}
	}
	return left
}

// reachable appends the directories that some image may have, in an order that depends on the history alone.
func reachable(dirs []*node, seen map[*node]bool, n *node) []*node {
	if n == nil || !n.isDir() || seen[n] {
		return dirs
	}
	seen[n] = true
	dirs = append(dirs, n)
	for _, name := range slices.Sorted(maps.Keys(n.durableEntries)) {
		dirs = reachable(dirs, seen, n.durableEntries[name])
	}
	for _, x := range n.dirLog {
		for _, e := range x.entries {
			dirs = reachable(dirs, seen, e.to)
		}
	}
	return dirs
}

// image returns what is left of a node, and of what it leads to. There is one for each node: where a rename was
// not made durable by a SyncDir that failed, and the next rename of the file by one that succeeded, it may have two names.
func (c *crash) image(n *node) *node {
	if i := c.images[n]; i != nil {
		return i
	}
	i := &node{mode: n.mode, modTime: n.modTime, parent: c.images[n.parent]}
	c.images[n] = i
	if n.isDir() {
		c.imageDir(i, n)
	} else {
		i.durable = c.bytes(n)
		i.data = slices.Clone(i.durable)
		c.used += int64(len(i.data))
	}
	return i
}

func (c *crash) imageDir(i, n *node) {
	left := maps.Clone(n.durableEntries)
	for _, x := range n.dirLog {
		if !c.undone[x] {
			x.in(n, left)
		}
	}
	i.entries = make(map[string]*node, len(left))
	for _, name := range slices.Sorted(maps.Keys(left)) {
		i.entries[name] = c.image(left[name])
	}
	i.durableEntries = maps.Clone(i.entries)
}

// bytes returns what is left of a file.
func (c *crash) bytes(n *node) []byte {
	last := -1
	for i, x := range n.log {
		if x.state != kept && x.data != nil {
			last = i
		}
	}
	b := slices.Clone(n.durable)
	for i, x := range n.log {
		switch {
		case x.state == kept:
			b = x.apply(b)
		case x.data != nil:
			b = c.write(b, x, i == last)
		case c.chance(c.keep):
			b = x.apply(b)
		}
	}
	return b
}

// write does what arrives of a write.
func (c *crash) write(b []byte, x change, last bool) []byte {
	arrives := c.chance(c.keep)
	if arrives && !c.chance(1-c.keep) {
		return x.apply(b)
	}
	if c.chance(c.keep) {
		b = c.extend(b, x)
	}
	if !arrives {
		return b
	}
	if last && c.chance(0.5) {
		return overlay(b, int(x.off), x.data[:c.r.IntN(len(x.data))])
	}
	for at := 0; at < len(x.data); {
		next := min(at+sectorSize-(int(x.off)+at)%sectorSize, len(x.data))
		if c.chance(0.5) {
			b = overlay(b, int(x.off)+at, x.data[at:next])
		}
		at = next
	}
	return b
}

// extend does what a write does to the size alone, if anything.
func (c *crash) extend(b []byte, x change) []byte {
	old, end := len(b), int(x.off)+len(x.data)
	if end <= old {
		return b
	}
	b = resize(b, end)
	if c.chance(0.5) {
		for i := max(old, int(x.off)); i < end; i++ {
			b[i] = byte(c.r.Uint32())
		}
	}
	return b
}
