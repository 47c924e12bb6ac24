package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

var salvageCommand = command{
	name:     "salvage",
	synopsis: "[--json] DIR NEWDIR",
	short:    "makes a new log of what is whole of a damaged one in files",
	long: `
DIR is only read, and no store may have it open. NEWDIR must be missing, or have
no log in it. The new log begins with the newest snapshot that is whole and has the
longest run of whole entries behind it: a state that the log once had. Whether that
is better than a backup is for you to decide.

It ends with 0 if nothing is lost, 1 if something is, 2 if there is no new log.

With --json it writes one object:
  from, to, snapshot (its position; 0: none), parts (of it), entries (behind it),
  last (position of the last one), stranded (whole entries behind a gap, which are
  left out), lost: [{file, offset, bytes (0: not known), reason}]`,
	example: "storectl salvage /var/lib/app/log /var/lib/app/log.salvaged",
	args:    2,
	flags: func(f *flag.FlagSet) action {
		asJSON := f.Bool("json", false, "write JSON")
		return func(ctx context.Context, s *streams, args []string) error {
			r, err := salvage(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if *asJSON {
				err = writeJSON(s.out, r)
			} else {
				r.write(s)
			}
			if err == nil && len(r.Lost)+int(r.Stranded) > 0 {
				err = errDamaged
			}
			return err
		}
	},
}

// salvaged is what salvage shows.
type salvaged struct {
	From     string         `json:"from"`
	To       string         `json:"to"`
	Snapshot store.Position `json:"snapshot"`
	Parts    uint64         `json:"parts"`
	Entries  uint64         `json:"entries"`
	Last     store.Position `json:"last"`
	Stranded uint64         `json:"stranded"`
	Lost     []damage       `json:"lost"`
}

func salvage(ctx context.Context, from, to string) (*salvaged, error) {
	src, err := find(from)
	switch {
	case err != nil:
		return nil, err
	case src.kind != kindFile:
		return nil, usageError(from+" is no directory: only a log in files can be salvaged", "salvage")
	case src.used() == useTaken:
		return nil, fmt.Errorf("%s: %w", from, store.ErrLocked)
	}
	if err := vacant(to); err != nil {
		return nil, err
	}
	r, err := file.Salvage(ctx, from, to, file.Logger(silent))
	if err != nil {
		return nil, err
	}
	out := &salvaged{
		From: from, To: to, Snapshot: r.Snapshot, Parts: r.Parts, Entries: r.Entries, Last: r.Last, Stranded: r.Stranded, Lost: []damage{},
	}
	for _, p := range r.Problems {
		out.Lost = append(out.Lost, damage{File: p.File, Offset: p.Offset, Bytes: p.Bytes, Reason: p.Reason})
	}
	return out, nil
}

// vacant returns an error unless a path is missing or a directory without a log.
func vacant(dir string) error {
	_, err := find(dir)
	switch {
	case errors.Is(err, errNoLog), errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w", dir, errExists)
	}
	return err
}

func (r *salvaged) write(s *streams) {
	t := newTable(s.out)
	t.row("saved to", shown(r.To))
	if r.Snapshot > 0 {
		t.row("snapshot", fmt.Sprintf("at %d, %s", r.Snapshot, count(r.Parts, "part", "parts")))
	} else {
		t.row("snapshot", "none")
	}
	t.row("entries", strconv.FormatUint(r.Entries, 10))
	t.row("last entry", strconv.FormatUint(uint64(r.Last), 10))
	t.row("left out", count(r.Stranded, "whole entry", "whole entries")+" behind a gap")
	t.flush()
	if len(r.Lost) == 0 {
		_, _ = fmt.Fprintln(s.out, "Everything that was looked at is whole.")
	}
	writeDamage(s, r.Lost)
}
