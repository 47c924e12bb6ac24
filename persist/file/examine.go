package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/noex-go/store"
)

// plan is what was found in a directory, and what has to be done to open it. It is made
// without changing anything.
type plan struct {
	list   listing
	id     logID
	empty  bool // there is no log yet, or the making of one was cut off
	closed bool // the last frame is a close mark

	segments []segment // that have the entries behind the snapshot, without gaps
	size     int64     // of the last one's file
	closing  bool      // the last one has the name of a closed one
	snap     *snapshot
	stale    []string // what an older snapshot needs

	cut    string         // a segment that was begun, but the one before not ended
	synced store.Position // known to be
	torn   int64          // bytes at the end of the last segment
	tail   int64          // bytes of the entries behind the snapshot
}

func (p *plan) last() *segment { return &p.segments[len(p.segments)-1] }

// examine reads and checks all that a Load would read, and finds out how the log ended.
func (d directory) examine(ctx context.Context) (*plan, error) {
	list, err := d.list()
	if err != nil {
		return nil, err
	}
	p := &plan{list: list}
	for i, s := range list.segments {
		if i > 0 && s.number == list.segments[i-1].number {
			return nil, corrupt(s.name, 0, "segment is there twice")
		}
		if s.closed && i < len(list.segments)-1 {
			return nil, corrupt(s.name, 0, "is the end of the log, but another segment follows")
		}
	}
	if err = d.findSegments(p); err != nil || p.empty {
		return p, err
	}
	if err = d.findSnapshot(p); err != nil {
		return nil, err
	}
	if err = d.choose(p); err != nil {
		return nil, err
	}
	return p, d.scan(ctx, p)
}

// findSegments decides whether there is a log, and which segment is its last one.
func (d directory) findSegments(p *plan) error {
	files := p.list.segments
	if len(files) == 0 {
		return p.noSegments("there is no segment")
	}
	last := files[len(files)-1]
	h, size, wrong, err := d.readHeader(last.name, segmentMagic, last.number)
	if err != nil {
		return err
	}
	switch {
	case wrong != "" && (last.closed || size > headerSize):
		return corrupt(last.name, 0, wrong)
	case wrong == "" && size > headerSize:
		return nil
	case last.closed:
		return corrupt(last.name, size, "has no close mark")
	}
	// There is nothing in it: its making may have been cut off.
	if len(files) == 1 && last.number == 1 && len(p.list.snaps)+len(p.list.torn) == 0 {
		p.cut, p.empty = last.name, true
		return nil
	}
	before := slices.IndexFunc(files, func(f named) bool { return f.number+1 == last.number })
	if before < 0 {
		if wrong != "" {
			return corrupt(last.name, 0, wrong)
		}
		return nil // a snapshot has what was before, so it was made
	}
	sealed, err := d.sealed(files[before])
	switch {
	case err != nil:
		return err
	case sealed && wrong != "":
		return corrupt(last.name, 0, wrong)
	case !sealed:
		p.cut, p.list.segments = last.name, files[:len(files)-1]
		if wrong == "" {
			p.synced = h.synced
		}
	}
	return nil
}

func (p *plan) noSegments(reason string) error {
	for _, files := range [][]named{p.list.snaps, p.list.torn} {
		if len(files) > 0 {
			return corrupt(files[0].name, 0, "is there, but "+reason)
		}
	}
	p.empty = true
	return nil
}

// sealed reports whether a segment ends with a seal.
func (d directory) sealed(s named) (bool, error) {
	h, size, wrong, err := d.readHeader(s.name, segmentMagic, s.number)
	if err != nil || wrong != "" || size < headerSize+headSize {
		return false, err
	}
	r, err := d.openFrames(s.name, h.id)
	if err != nil {
		return false, err
	}
	defer r.close()
	r.seek(size - headSize)
	f, err := r.next()
	if errors.Is(err, store.ErrCorrupt) {
		return false, nil
	}
	return err == nil && f.typ == sealFrame, err
}

// findSnapshot reads the newest snapshot.
func (d directory) findSnapshot(p *plan) error {
	if len(p.list.snaps) == 0 {
		return nil
	}
	newest := p.list.snaps[len(p.list.snaps)-1]
	s, err := d.readSnapshot(newest.name, store.Position(newest.number), nil)
	if err != nil {
		return err
	}
	p.snap = &s
	p.synced = max(p.synced, s.pos) // entries are synced before a snapshot gets its name
	return nil
}

// choose finds the segments that have the entries behind the snapshot: back from the
// last one to the first that begins at or before them.
func (d directory) choose(p *plan) error {
	need := store.Position(1)
	if p.snap != nil {
		need = p.snap.pos + 1
	}
	files := p.list.segments
	i := len(files) - 1
	for ; ; i-- {
		h, size, wrong, err := d.readHeader(files[i].name, segmentMagic, files[i].number)
		if err != nil {
			return err
		}
		if wrong == "" && h.pos == 0 {
			wrong = "begins with an impossible position"
		}
		if wrong != "" {
			return corrupt(files[i].name, 0, wrong)
		}
		if len(p.segments) == 0 {
			p.id, p.size, p.closing = h.id, size, files[i].closed
		}
		p.segments = append(p.segments, segment{
			number: h.number, name: files[i].name, prev: h.prev, first: h.pos, last: h.pos - 1, end: headerSize, endCRC: h.prev,
		})
		if h.id != p.id {
			return corrupt(files[i].name, 0, "belongs to another log")
		}
		if h.pos <= need {
			p.synced = max(p.synced, h.synced)
			break
		}
		if i == 0 || files[i-1].number+1 != files[i].number {
			return corrupt(files[i].name, 0, fmt.Sprintf("entries before %d are missing", h.pos))
		}
	}
	slices.Reverse(p.segments)
	for _, f := range files[:i] {
		p.stale = append(p.stale, f.name)
	}
	return nil
}

// scan reads the segments. Only the last one may end otherwise than it should.
func (d directory) scan(ctx context.Context, p *plan) error {
	if p.snap != nil {
		r, err := d.openSnapshot(p.snap.name, p.snap.pos, &p.id)
		if err != nil {
			return err
		}
		r.close()
	}
	c := chain{prev: p.segments[0].prev, last: p.segments[0].first - 1}
	for i := range p.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := &p.segments[i]
		if s.prev != c.prev || s.first != c.last+1 {
			return corrupt(s.name, 0, "does not continue the segment before")
		}
		err := d.scanSegment(p, s, &c, i == len(p.segments)-1)
		if err != nil {
			return err
		}
	}
	if p.closed && p.cut != "" {
		return corrupt(p.cut, 0, "follows the end of a log that was closed")
	}
	if last := p.last().last; last < p.synced {
		return corrupt(p.last().name, p.last().end, fmt.Sprintf("ends with entry %d, but %d was synced", last, p.synced))
	}
	return nil
}

func (d directory) scanSegment(p *plan, s *segment, c *chain, isLast bool) error {
	r, err := d.openFrames(s.name, p.id)
	if err != nil {
		return err
	}
	defer r.close()
	group := int64(0) // bytes behind the snapshot of an append that is not complete
	for {
		f, err := r.next()
		if err == nil {
			err = c.check(f, s.name)
		}
		switch {
		case err != nil && isLast && (err == io.EOF || errors.Is(err, store.ErrCorrupt)):
			return d.scanTail(p, s, r, c, err)
		case err != nil:
			return damaged(err, s.name, r.off)
		case f.typ == entryFrame:
			if p.snap == nil || f.pos > p.snap.pos {
				group += f.size()
			}
			if !f.more { // an append whose end is missing did not happen
				s.last, s.end, s.endCRC = f.pos, r.off, f.crc
				p.tail, group = p.tail+group, 0
			}
		case s.last != c.last:
			return corrupt(s.name, f.off, "append is not complete")
		case f.typ == sealFrame && isLast:
			return corrupt(s.name, f.off, "segment behind this one is missing")
		case f.typ == sealFrame && r.off == r.size:
			return nil
		case f.typ == closeFrame && isLast && r.off == r.size:
			p.closed, p.synced = true, max(p.synced, c.synced)
			if p.closing { // it got its name after the sync
				p.synced = max(p.synced, c.last)
			}
			return nil
		case f.typ == sealFrame || f.typ == closeFrame && isLast:
			return corrupt(s.name, r.off, "has bytes behind its end")
		default:
			return corrupt(s.name, f.off, "frame is out of place")
		}
	}
}

// scanTail decides what the end of the last segment is, when it is no close mark: bytes
// that were never synced, as a crash leaves them, or damage. It is damage where
// something proves that a missing entry was synced: a snapshot, a frame before or, as
// far as it can be found, a whole frame behind.
func (d directory) scanTail(p *plan, s *segment, r *reader, c *chain, bad error) error {
	p.synced = max(p.synced, c.synced)
	p.torn = r.size - s.end
	if bad == io.EOF {
		bad = corrupt(s.name, r.size, "ends within an append")
	}
	switch {
	case p.closing && p.torn == 0:
		return corrupt(s.name, r.size, "has no close mark")
	case p.closing, p.torn > 0 && s.last < p.synced:
		return bad
	case p.torn == 0:
		return nil
	}
	known, err := d.syncedBehind(s, r)
	if err != nil {
		return err
	}
	if known > s.last {
		return bad
	}
	return nil
}

// syncedBehind returns up to where entries were synced, as the frames that are whole
// know it behind those that are not.
func (d directory) syncedBehind(s *segment, r *reader) (known store.Position, err error) {
	g := gleaner{r: r, after: s.last}
	g.from(s.end)
	for {
		f, err := g.next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return known, err
		}
		known = max(known, f.synced)
	}
}
