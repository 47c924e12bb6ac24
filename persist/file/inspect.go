package file

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// Report is what Inspect and Verify found in the directory of a log.
type Report struct {
	Dir       string
	LogID     string // in hexadecimal; "" if there is no header to tell it
	Segments  []SegmentReport
	Snapshots []SnapshotReport
	Torn      []FileReport   // what recoveries have set aside
	Ignored   []string       // names that are none of the log's
	Clean     bool           // it was closed properly, as far as was read
	Last      store.Position // the last entry; Verify only
	TornBytes int64          // what the next opening will set aside; Verify only
	Problems  []Problem      // none: the log can be opened
}

// FileReport is a file.
type FileReport struct {
	Name  string
	Bytes int64
}

// SegmentReport is a segment. First is the position of its first entry; it has none if
// Last is less.
type SegmentReport struct {
	FileReport
	First, Last store.Position // Last: Verify only, 0 where it was not found out
	Closed      bool           // it has the name of a log that was closed properly
	Stale       bool           // a snapshot has all that is in it; Verify only
}

// SnapshotReport is a snapshot. Parts and their bytes are for Verify only.
type SnapshotReport struct {
	FileReport
	Position  store.Position
	Parts     uint64
	PartBytes uint64
}

// Problem is a place where a file is not what was written. Bytes is how many are
// concerned; 0: it is not known.
type Problem struct {
	File   string
	Offset int64
	Bytes  int64
	Reason string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s, offset %d, %d bytes: %s", p.File, p.Offset, p.Bytes, p.Reason)
}

// problem turns damage into a Problem. Other errors are returned as they are.
func problem(err error) (Problem, error) {
	if c := (*store.CorruptError)(nil); errors.As(err, &c) {
		return Problem{File: c.File, Offset: c.Offset, Reason: c.Reason}, nil
	}
	return Problem{}, err
}

// Inspect reads names, sizes and headers, and changes nothing. It takes no lock: of a
// log that is open it shows one moment, or two.
func Inspect(dir string) (*Report, error) {
	return directory{fs: vfs.OS(), dir: dir}.inspect()
}

// Verify reads and checks every byte that is of use, the older snapshots too, and
// changes nothing. It takes no lock: the newest entries of a log that is open may seem
// torn.
func Verify(ctx context.Context, dir string) (*Report, error) {
	return directory{fs: vfs.OS(), dir: dir}.verify(ctx)
}

func (d directory) inspect() (*Report, error) {
	r, list, err := d.survey()
	if err != nil {
		return nil, err
	}
	for _, s := range list.segments {
		h, size, wrong, err := d.readHeader(s.name, segmentMagic, s.number)
		if err != nil {
			return nil, err
		}
		r.Segments = append(r.Segments, SegmentReport{FileReport: FileReport{s.name, size}, First: h.pos, Closed: s.closed})
		r.header(s.name, h, wrong)
		r.Clean = r.Clean || s.closed
	}
	for _, s := range list.snaps {
		h, size, wrong, err := d.readHeader(s.name, snapMagic, s.number)
		if err != nil {
			return nil, err
		}
		r.Snapshots = append(r.Snapshots, SnapshotReport{FileReport: FileReport{s.name, size}, Position: h.pos})
		r.header(s.name, h, wrong)
	}
	return r, nil
}

// survey lists the directory.
func (d directory) survey() (*Report, listing, error) {
	list, err := d.list()
	if err != nil {
		return nil, list, err
	}
	r := &Report{Dir: d.dir, Ignored: list.foreign}
	for _, t := range list.torn {
		info, err := d.fs.Stat(d.path(t.name))
		if err != nil {
			return nil, list, err
		}
		r.Torn = append(r.Torn, FileReport{t.name, info.Size()})
	}
	return r, list, nil
}

func (r *Report) header(name string, h header, wrong string) {
	switch id := fmt.Sprintf("%x", h.id); {
	case wrong != "":
		r.Problems = append(r.Problems, Problem{File: name, Bytes: headerSize, Reason: wrong})
	case r.LogID == "":
		r.LogID = id
	case r.LogID != id:
		r.Problems = append(r.Problems, Problem{File: name, Bytes: headerSize, Reason: "belongs to another log"})
	}
}

func (d directory) verify(ctx context.Context) (*Report, error) {
	r, err := d.inspect()
	if err != nil {
		return nil, err
	}
	r.Problems = nil // those that matter are found again
	for i := range r.Snapshots {
		if err = ctx.Err(); err != nil {
			return nil, err
		}
		if err = d.verifySnapshot(r, &r.Snapshots[i]); err != nil {
			return nil, err
		}
	}
	p, err := d.examine(ctx)
	if err != nil {
		found, err := problem(err)
		if err != nil {
			return nil, err
		}
		if len(r.Problems) == 0 || r.Problems[len(r.Problems)-1] != found {
			r.Problems = append(r.Problems, found)
		}
		return r, nil
	}
	r.Clean, r.TornBytes = p.closed || p.empty && p.cut == "", p.torn
	if p.empty {
		return r, nil
	}
	r.Last = p.last().last
	for i := range r.Segments {
		s := &r.Segments[i]
		s.Stale = true
		for _, known := range p.segments {
			if known.name == s.Name {
				s.Last, s.Stale = known.last, false
			}
		}
	}
	return r, nil
}

func (d directory) verifySnapshot(r *Report, s *SnapshotReport) error {
	number, _, _ := parseName(s.Name)
	whole, err := d.readSnapshot(s.Name, store.Position(number), nil)
	if err != nil {
		found, err := problem(err)
		if err == nil {
			r.Problems = append(r.Problems, found)
		}
		return err
	}
	s.Position, s.Parts, s.PartBytes = whole.pos, whole.parts, whole.bytes
	return nil
}

// copyParts calls put with the parts of a snapshot.
func (d directory) copyParts(name string, pos store.Position, id *logID, put func([]byte) error) error {
	r, err := d.openSnapshot(name, pos, id)
	if err != nil {
		return err
	}
	defer r.close()
	for {
		f, err := r.part()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = put(f.payload)
		}
		if err != nil {
			return err
		}
	}
}
