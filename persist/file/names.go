package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The endings of file names. Before them stands a number in decimal, with at least 16
// digits: of a segment, or a position, or a counter.
const (
	lockName   = "lock"
	segmentExt = ".log"  // number of the segment
	closedExt  = ".end"  // the same, of the last one of a log that was closed properly
	snapExt    = ".snap" // position of the snapshot
	tornExt    = ".torn" // counts what was set aside
	tempExt    = ".tmp"  // of a file that is not finished
)

func fileName(number uint64, ext string) string { return fmt.Sprintf("%016d%s", number, ext) }

// parseName is the inverse of fileName; false for every other name.
func parseName(name string) (number uint64, ext string, ok bool) {
	digits, rest, _ := strings.Cut(name, ".")
	ext = "." + rest
	if !slices.Contains([]string{segmentExt, closedExt, snapExt, tornExt, tempExt}, ext) {
		return 0, "", false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, ext, err == nil && name == fileName(number, ext)
}

// named is a file of the log.
type named struct {
	number uint64
	name   string
	closed bool // of a segment: by its ending
}

// listing is what is in a directory, each kind in the order of its numbers.
type listing struct {
	segments, snaps, torn, temps []named
	foreign                      []string
}

func (d directory) list() (listing, error) {
	var l listing
	names, err := d.fs.ReadDir(d.dir)
	if err != nil {
		return l, err
	}
	for _, name := range names {
		number, ext, ok := parseName(name)
		f := named{number, name, ext == closedExt}
		switch {
		case name == lockName:
		case !ok:
			l.foreign = append(l.foreign, name)
		case ext == snapExt:
			l.snaps = append(l.snaps, f)
		case ext == tornExt:
			l.torn = append(l.torn, f)
		case ext == tempExt:
			l.temps = append(l.temps, f)
		default:
			l.segments = append(l.segments, f)
		}
	}
	for _, files := range [][]named{l.segments, l.snaps, l.torn, l.temps} {
		slices.SortStableFunc(files, func(a, b named) int {
			switch {
			case a.number < b.number:
				return -1
			case a.number > b.number:
				return 1
			}
			return 0
		})
	}
	return l, nil
}

// make creates the directory, and what is missing above it.
func (d directory) make() error { return d.fs.MkdirAll(d.dir, 0o700) }

// syncAbove makes the name of the directory durable, and those of all that it is in:
// make, now or at an attempt that came to nothing, may have created any of them. One
// that cannot be opened for this was made by somebody else, and one that has no such
// call cannot be helped.
func (d directory) syncAbove() error {
	if d.bugs.noDirSync {
		return nil
	}
	for dir := filepath.Clean(d.dir); filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		err := d.fs.SyncDir(filepath.Dir(dir))
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	return nil
}
