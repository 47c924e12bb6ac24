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

var verifyCommand = command{
	name:     "verify",
	synopsis: "[--json] DIR|FILE.db",
	short:    "reads everything, and tells whether it is whole",
	long: `
It reads and checks every byte that is of use, older snapshots too: checksums, and
that each entry can be read and continues those before it. It changes nothing, and
works while a store has the log open. Its memory does not grow with the log, but
for the largest entry; so it does not find two records of one key, which opening
the store does. An SQLite database is copied for that, into the directory for
temporary files (TMPDIR).

What a crash has cut off at the end, and no sync had covered, is no damage. It ends
with 0 if all is well, 1 if there is damage, 2 if the log cannot be read.

With --json it writes one object:
  path, kind, ok, entries (and parts of snapshots), records (and deletes), tornBytes,
  inUse, damage: [{file, offset, bytes (0: not known), entry (its position, if the
  entry is what is wrong), reason}]`,
	example: "storectl verify /var/lib/app/log && echo whole",
	args:    1,
	flags: func(f *flag.FlagSet) action {
		asJSON := f.Bool("json", false, "write JSON")
		return func(ctx context.Context, s *streams, args []string) error {
			src, err := find(args[0])
			if err != nil {
				return err
			}
			v := verdict{Path: src.path, Kind: src.kind, InUse: src.used(), Damage: []damage{}}
			if err := v.judge(ctx, src); err != nil {
				return err
			}
			v.OK = len(v.Damage) == 0
			if *asJSON {
				err = writeJSON(s.out, &v)
			} else {
				v.write(s)
			}
			if err == nil && !v.OK {
				err = errDamaged
			}
			return err
		}
	},
}

// damage is a place where a log is not what was written.
type damage struct {
	File   string         `json:"file"`
	Offset int64          `json:"offset"`
	Bytes  int64          `json:"bytes"`
	Entry  store.Position `json:"entry,omitzero"`
	Reason string         `json:"reason"`
}

// addDamage adds what is not there yet.
func addDamage(list []damage, d damage) []damage {
	for _, x := range list {
		if x.File == d.File && x.Offset == d.Offset && x.Entry == d.Entry {
			return list
		}
	}
	return append(list, d)
}

func writeDamage(s *streams, list []damage) {
	if len(list) == 0 {
		return
	}
	_, _ = fmt.Fprintf(s.out, "DAMAGE in %s:\n", count(len(list), "place", "places"))
	t := newTable(s.out)
	t.row("FILE", "OFFSET", "BYTES", "REASON")
	for _, d := range list {
		offset, n := strconv.FormatInt(d.Offset, 10), strconv.FormatInt(d.Bytes, 10)
		if d.Entry > 0 {
			offset = "-"
		}
		if d.Bytes == 0 {
			n = "-"
		}
		t.row(shown(d.File), offset, n, d.Reason)
	}
	t.flush()
}

// located says which entry an error is about.
func located(e store.LogEntry, err error) error {
	if err == nil {
		return nil
	}
	return &store.CorruptError{File: fmt.Sprintf("entry %d", e.Position), Reason: err.Error()}
}

// verdict is what verify shows.
type verdict struct {
	Path      string   `json:"path"`
	Kind      kind     `json:"kind"`
	OK        bool     `json:"ok"`
	Entries   int      `json:"entries"`
	Records   int      `json:"records"`
	TornBytes int64    `json:"tornBytes"`
	InUse     use      `json:"inUse"`
	Damage    []damage `json:"damage"`
}

// mostDamage bounds what is told of entries that are wrong.
const mostDamage = 1000

func (v *verdict) judge(ctx context.Context, src source) error {
	if src.kind == kindFile {
		if err := v.verifyFiles(ctx, src); err != nil {
			return err
		}
	}
	err := v.verifyEntries(ctx, src)
	if found := (*store.CorruptError)(nil); errors.As(err, &found) {
		v.Damage = addDamage(v.Damage, damage{File: found.File, Offset: found.Offset, Reason: found.Reason})
		return nil
	}
	return err
}

// verifyFiles checks the files of a log, one by one. Where the log is in use they may
// change between two looks.
func (v *verdict) verifyFiles(ctx context.Context, src source) (err error) {
	var r *file.Report
	for range attempts {
		r, err = file.Verify(ctx, src.path)
		changed := errors.Is(err, fs.ErrNotExist) || err == nil && len(r.Problems) > 0
		if !changed || src.used() == useFree {
			break
		}
	}
	if err != nil {
		return err
	}
	v.TornBytes = r.TornBytes
	for _, p := range r.Problems {
		v.Damage = append(v.Damage, damage{File: p.File, Offset: p.Offset, Bytes: p.Bytes, Reason: p.Reason})
	}
	return nil
}

// verifyEntries checks that each entry can be read, and applied to those before.
func (v *verdict) verifyEntries(ctx context.Context, src source) (err error) {
	log, err := src.view(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.done()) }()
	c := newCatalog()
	err = log.Load(ctx, func(e store.LogEntry) error {
		if err := c.check(e.Data); err != nil && len(v.Damage) < mostDamage {
			v.Damage = append(v.Damage, damage{File: fmt.Sprintf("entry %d", e.Position), Entry: e.Position, Reason: err.Error()})
		}
		return nil
	})
	v.Entries, v.Records = c.entries, c.rows
	return err
}

// check takes an entry, of which only the definitions are kept.
func (c *catalog) check(data []byte) error {
	e, err := c.parse(data)
	if err != nil {
		return err
	}
	for i := range e.Blocks {
		if _, _, err := c.records(&e.Blocks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verdict) write(s *streams) {
	if v.OK {
		_, _ = fmt.Fprintf(s.out, "OK: %s and %s were read\n", count(v.Entries, "entry", "entries"), count(v.Records, "record", "records"))
	} else {
		writeDamage(s, v.Damage)
		if len(v.Damage) >= mostDamage {
			_, _ = fmt.Fprintln(s.out, "There may be more.")
		}
	}
	if v.TornBytes > 0 {
		_, _ = fmt.Fprintf(s.out, "%s at the end were never synced; the next opening sets them aside.\n", size(v.TornBytes))
	}
	if v.InUse == useTaken {
		_, _ = fmt.Fprintln(s.out, "The log is in use: this is how it was a moment ago.")
	}
}
