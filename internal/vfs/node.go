package vfs

import (
	"io/fs"
	"slices"
	"time"
)

// node is a file or a directory of a Memory, under its lock. What is durable of it and what programs see differ by a log:
//
//	durable ──▶ log[0] ──▶ log[1] ──▶ ... ──▶ data           of a file
//	durableEntries ──▶ dirLog[0] ──▶ ... ──▶ entries         of a directory
//
// The log begins with a change that is not kept: those that are go into what is durable as soon as none is before them.
type node struct {
	mode    fs.FileMode
	modTime time.Time

	data     []byte
	durable  []byte
	log      []change
	opened   int
	unlinked bool
	locked   bool

	entries        map[string]*node
	durableEntries map[string]*node
	dirLog         []*dirChange
	parent         *node      // of a directory, which keeps it: no rename takes it elsewhere; nil for the root
	made           *dirChange // what created the directory; nil for the root
}

// state says what a power loss does to a change.
type state uint8

const (
	fresh state = iota // it may undo it
	lost               // it may undo it, and a Sync has no part in that: one failed
	kept               // it does not undo it: a Sync succeeded
)

// change is a write if data is not nil, a truncation otherwise.
type change struct {
	state state
	off   int64
	data  []byte
	size  int64
}

// dirChange is a change of one name, or of two for a rename, which may be in two directories; it is then in both logs.
type dirChange struct {
	state   state
	entries []entry

	// needs are other changes without which this one does not survive. A journal writes in order, so that no power
	// loss takes both names of a file: a rename into another directory needs those that created that one, and the
	// removal of a directory needs the renames out of it.
	needs []*dirChange
}

// entry is a name in a directory and what it leads to from now on; nil is nothing.
type entry struct {
	dir  *node
	name string
	to   *node
}

func newFile(perm fs.FileMode) *node {
	return &node{mode: perm.Perm(), modTime: time.Now()}
}

func newDir(perm fs.FileMode) *node {
	return &node{
		mode: perm.Perm() | fs.ModeDir, modTime: time.Now(),
		entries: make(map[string]*node), durableEntries: make(map[string]*node),
	}
}

func (n *node) isDir() bool { return n.mode.IsDir() }

// apply returns the bytes after the change. It changes those before.
func (c change) apply(b []byte) []byte {
	if c.data == nil {
		return resize(b, int(c.size))
	}
	return overlay(b, int(c.off), c.data)
}

// settle gives the changes that are fresh their state.
func (n *node) settle(to state) {
	for i := range n.log {
		if n.log[i].state == fresh {
			n.log[i].state = to
		}
	}
	n.fold()
}

func (n *node) fold() {
	i := 0
	for ; i < len(n.log) && n.log[i].state == kept; i++ {
		n.durable = n.log[i].apply(n.durable)
	}
	n.log = slices.Delete(n.log, 0, i)
}

// link sets one name of a directory.
func link(dir *node, name string, to *node) {
	c := &dirChange{entries: []entry{{dir, name, to}}}
	switch old := dir.entries[name]; {
	case to != nil && to.isDir():
		to.parent, to.made = dir, c
	case to == nil && old.isDir():
		c.needs = slices.Clone(old.dirLog)
	}
	apply(c)
}

// move renames a file, or a directory within its own one.
func move(n, fromDir *node, from string, toDir *node, to string) {
	c := &dirChange{entries: []entry{{fromDir, from, nil}, {toDir, to, n}}}
	if fromDir != toDir {
		for d := toDir; d.made != nil; d = d.parent {
			c.needs = append(c.needs, d.made)
		}
	}
	apply(c)
}

// apply shows a change of directories to programs, and notes that it is not durable.
func apply(c *dirChange) {
	for i, e := range c.entries {
		set(e.dir.entries, e)
		e.dir.modTime = time.Now()
		if i == 0 || e.dir != c.entries[0].dir {
			e.dir.dirLog = append(e.dir.dirLog, c)
		}
	}
}

func set(entries map[string]*node, e entry) {
	if e.to == nil {
		delete(entries, e.name)
	} else {
		entries[e.name] = e.to
	}
}

// settleDir gives the changes of a directory that are fresh their state.
func (n *node) settleDir(to state) {
	for _, c := range n.dirLog {
		switch {
		case c.state != fresh:
		case to == kept:
			c.keep()
		default:
			c.state = to
		}
	}
	i := 0
	for ; i < len(n.dirLog) && n.dirLog[i].state == kept; i++ {
		n.dirLog[i].in(n, n.durableEntries)
	}
	n.dirLog = slices.Delete(n.dirLog, 0, i)
}

// keep makes a change durable with all that a journal would write before it: what it needs, and what is fresh before it in
// its directories.
func (c *dirChange) keep() {
	if c.state == kept {
		return
	}
	c.state = kept
	for _, need := range c.needs {
		need.keep()
	}
	for _, e := range c.entries {
		for _, before := range e.dir.dirLog {
			if before == c {
				break
			}
			if before.state == fresh {
				before.keep()
			}
		}
	}
}

// in does one directory's part of a change to its entries.
func (c *dirChange) in(dir *node, entries map[string]*node) {
	for _, e := range c.entries {
		if e.dir == dir {
			set(entries, e)
		}
	}
}

// resize returns b cut, or extended with zeros.
func resize(b []byte, size int) []byte {
	old := len(b)
	if size <= old {
		return b[:size]
	}
	b = slices.Grow(b, size-old)[:size]
	clear(b[old:])
	return b
}

// overlay returns b with p written at an offset, extended as far as that takes.
func overlay(b []byte, off int, p []byte) []byte {
	if end := off + len(p); end > len(b) {
		b = resize(b, end)
	}
	copy(b[off:], p)
	return b
}
