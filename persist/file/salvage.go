package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/noex-go/store"
)

// SalvageReport is what Salvage could save, and what not.
type SalvageReport struct {
	Snapshot store.Position // the snapshot that the new log begins with
	Parts    uint64         // of it
	Entries  uint64         // behind it
	Last     store.Position // the last entry of the new log
	// Stranded are whole entries that were found behind a gap. They are not in the new
	// log, as what they build on is lost.
	Stranded uint64
	Problems []Problem
}

// Salvage makes a new log of what is whole of a damaged one: the newest snapshot that
// is whole, and the longest run of whole entries that continues it. An append of which
// a part is lost is left out altogether. from is only read; no store must have it open.
// to must be empty or missing; its directory is that of the new log, which has another
// id. Errors: store.ErrNotEmpty; store.ErrCorrupt if there is nothing to begin with.
//
// What is saved is a state that the log had at Last. It is for a person to decide
// whether that is better than a backup.
func Salvage(ctx context.Context, from, to string, opts ...Option) (SalvageReport, error) {
	target := New(to, opts...)
	s := salvage{directory: directory{fs: target.cfg.fs, dir: from}, runs: make(map[store.Position]saved)}
	err := s.run(ctx, target)
	if err != nil {
		err = fmt.Errorf("salvage log: %w", err)
	}
	return s.report, err
}

type salvage struct {
	directory
	id     logID
	list   listing
	base   *snapshot
	runs   map[store.Position]saved // every whole entry behind it
	report SalvageReport
}

// saved is where a whole entry is.
type saved struct {
	file      *named
	off       int64
	prev, crc uint32
	more      bool
}

func (s *salvage) run(ctx context.Context, target *Adapter) (err error) {
	if s.list, err = s.directory.list(); err != nil {
		return err
	}
	if err = s.findID(); err != nil {
		return err
	}
	if err = s.findBase(); err != nil {
		return err
	}
	for i := range s.list.segments {
		if err = ctx.Err(); err != nil {
			return err
		}
		if err = s.glean(&s.list.segments[i]); err != nil {
			return err
		}
	}
	after := store.Position(0)
	if s.base != nil {
		after = s.base.pos
	}
	run, last := s.longest(after)
	if s.base == nil && last == 0 && len(s.report.Problems)+len(s.runs) > 0 {
		return corrupt(s.dir, 0, "no snapshot is whole, and the first entries are missing")
	}
	s.report.Snapshot, s.report.Last, s.report.Entries = after, last, uint64(last-after)
	for pos := range s.runs {
		if pos > last {
			s.report.Stranded++
		}
	}
	return s.write(ctx, target, after, run)
}

// findID takes the id that most headers have.
func (s *salvage) findID() error {
	votes := make(map[logID]int)
	for _, kind := range []struct {
		files []named
		magic string
	}{{s.list.segments, segmentMagic}, {s.list.snaps, snapMagic}} {
		for _, f := range kind.files {
			h, _, wrong, err := s.readHeader(f.name, kind.magic, f.number)
			if err != nil {
				return err
			}
			if wrong != "" {
				s.lost(f.name, 0, headerSize, wrong)
				continue
			}
			if votes[h.id]++; votes[h.id] > votes[s.id] || votes[h.id] == votes[s.id] && bytes.Compare(h.id[:], s.id[:]) < 0 {
				s.id = h.id
			}
		}
	}
	if len(votes) == 0 {
		return corrupt(s.dir, 0, "no file has a whole header")
	}
	return nil
}

func (s *salvage) lost(file string, off, n int64, reason string) {
	s.report.Problems = append(s.report.Problems, Problem{file, off, n, reason})
}

// findBase finds the newest snapshot that is whole.
func (s *salvage) findBase() error {
	for _, f := range slices.Backward(s.list.snaps) {
		snap, err := s.readSnapshot(f.name, store.Position(f.number), &s.id)
		if err == nil {
			s.base = &snap
			return nil
		}
		found, err := problem(err)
		if err != nil {
			return err
		}
		s.lost(found.File, found.Offset, found.Bytes, found.Reason)
	}
	return nil
}

// glean notes the whole entries of a segment.
func (s *salvage) glean(file *named) error {
	f, size, err := s.open(file.name)
	if err != nil {
		return err
	}
	r := &reader{f: f, name: file.name, size: size, seed: s.id.seed()}
	defer r.close()
	g := gleaner{r: r, anywhere: true}
	h, _, wrong, err := s.readHeader(file.name, segmentMagic, file.number)
	switch {
	case err != nil:
		return err
	case wrong != "" || h.id != s.id:
		g.from(0) // what is wrong is noted; a header is no frame here
	default:
		g.from(headerSize)
	}
	for {
		from := r.off
		e, err := g.next()
		if err == io.EOF {
			end, err := r.written(from) // without what was only reserved
			if end > from {
				s.lost(file.name, from, end-from, "not a whole frame")
			}
			return err
		}
		if g.skipped > 0 {
			s.lost(file.name, from, g.skipped, "not a whole frame")
		}
		if err != nil {
			return err
		}
		if e.typ == entryFrame && (s.base == nil || e.pos > s.base.pos) {
			s.runs[e.pos] = saved{file, e.off, e.prev, e.crc, e.more}
		}
	}
}

// longest returns the entries behind a position that continue one another, and the
// position of the last one. An append that is not complete is not in it.
func (s *salvage) longest(after store.Position) (run []saved, last store.Position) {
	whole := 0
	for pos := after + 1; ; pos++ {
		e, ok := s.runs[pos]
		if n := len(run); !ok || n > 0 && run[n-1].crc != e.prev && run[n-1].file == e.file {
			break
		}
		if run = append(run, e); !e.more {
			whole = len(run)
		}
	}
	return run[:whole], after + store.Position(whole)
}

// write makes the new log.
func (s *salvage) write(ctx context.Context, target *Adapter, after store.Position, run []saved) (err error) {
	d := directory{fs: target.cfg.fs, dir: target.dir}
	if err = d.make(); err != nil {
		return err
	}
	if list, err := d.list(); err != nil {
		return err
	} else if len(list.segments)+len(list.snaps)+len(list.torn)+len(list.temps) > 0 {
		return fmt.Errorf("%s: %w", target.dir, store.ErrNotEmpty)
	}
	l, err := target.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if s.base != nil {
		if err = s.writeBase(ctx, l); err != nil {
			return err
		}
	}
	return s.writeEntries(ctx, l, after, run)
}

// writeBase lets the new log begin behind the snapshot.
func (s *salvage) writeBase(ctx context.Context, l *log) error {
	s.report.Parts = s.base.parts
	if s.base.pos > 0 {
		if err := l.restart(s.base.pos); err != nil {
			return err
		}
	}
	return l.snapshot(ctx, s.base.pos, func(put func([]byte) error) error {
		return s.copyParts(s.base.name, s.base.pos, &s.id, put)
	})
}

// restart lets an empty log begin behind a position, with a second segment in place of
// the first. Until there is a snapshot at that position the log is not whole.
func (l *log) restart(last store.Position) error {
	first, old := l.segments[0].name, l.f
	if err := l.beginAt(2, last); err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return err
	}
	return l.fs.Remove(l.path(first))
}

func (s *salvage) writeEntries(ctx context.Context, l *log, after store.Position, run []saved) error {
	var r *reader
	defer func() {
		if r != nil {
			r.close()
		}
	}()
	var group [][]byte
	for _, e := range run {
		if r == nil || r.name != e.file.name {
			if r != nil {
				r.close()
			}
			f, size, err := s.open(e.file.name)
			if err != nil {
				return err
			}
			r = &reader{f: f, name: e.file.name, size: size, seed: s.id.seed()}
		}
		if r.off != e.off {
			r.seek(e.off)
		}
		f, err := r.next()
		if err != nil {
			return damaged(err, r.name, r.off)
		}
		if group = append(group, bytes.Clone(f.payload)); e.more {
			continue
		}
		if err = l.append(ctx, after, group); err != nil {
			return err
		}
		after += store.Position(len(group))
		group = group[:0]
	}
	return l.syncTo(ctx)
}
