package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

var inspectCommand = command{
	name:     "inspect",
	synopsis: "[--files] [--json] DIR|FILE.db",
	short:    "shows what is in a log, and how it is",
	long: `
It changes nothing, and works while a store has the log open. For the numbers of
records it reads the log once, with their keys in memory; --files leaves that out.
It finds only the damage that is in its way: see verify. An SQLite database is
copied for that, into the directory for temporary files (TMPDIR).

BYTES of a bucket are those of the fields of its records, as the log encodes them.

With --json it writes one object:
  path, kind ("file" or "sqlite"), logId, position, snapshot (its position; 0: none),
  entries (behind the snapshot), seq (of the newest commit), bytes (of all files)
  buckets: [{name, id, version (of the definition), key, fields, records, bytes}]
  files:   [{name, kind, bytes, first, last (entries of a segment), position (of a
           snapshot)}]; the kinds are segment, snapshot, torn, database, wal, journal
  health:  {clean, tornBytes, inUse ("yes", "no", "unknown"), damage: [{file, offset,
           bytes, entry, reason}]}
With --files, position, entries, seq, buckets, clean and tornBytes are left out.`,
	example: "storectl inspect /var/lib/app/log",
	args:    1,
	flags: func(f *flag.FlagSet) action {
		asJSON := f.Bool("json", false, "write JSON")
		files := f.Bool("files", false, "look at the names and the sizes of the files only")
		return func(ctx context.Context, s *streams, args []string) error {
			src, err := find(args[0])
			if err != nil {
				return err
			}
			i := inspection{Path: src.path, Kind: src.kind}
			if err := i.inspect(ctx, src, *files); err != nil {
				return err
			}
			if *asJSON {
				err = writeJSON(s.out, &i)
			} else {
				i.write(s)
			}
			if err == nil && len(i.Health.Damage) > 0 {
				err = errDamaged
			}
			return err
		}
	},
}

// inspection is what inspect shows.
type inspection struct {
	Path  string `json:"path"`
	Kind  kind   `json:"kind"`
	LogID string `json:"logId,omitzero"`
	*standing
	Bytes  int64        `json:"bytes"`
	Files  []fileReport `json:"files"`
	Health health       `json:"health"`
}

// standing is what only the contents tell.
type standing struct {
	Position store.Position `json:"position"`
	Snapshot store.Position `json:"snapshot"`
	Entries  uint64         `json:"entries"`
	Seq      uint64         `json:"seq"`
	Buckets  []bucketReport `json:"buckets"`
}

type bucketReport struct {
	Name    string `json:"name"`
	ID      uint64 `json:"id"`
	Version uint64 `json:"version"`
	Key     string `json:"key"`
	Fields  int    `json:"fields"`
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`
}

type fileReport struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind"`
	Bytes    int64          `json:"bytes"`
	First    store.Position `json:"first,omitzero"`
	Last     store.Position `json:"last,omitzero"`
	Position store.Position `json:"position,omitzero"`
}

type health struct {
	Clean     *bool    `json:"clean,omitzero"`
	TornBytes *int64   `json:"tornBytes,omitzero"`
	InUse     use      `json:"inUse"`
	Damage    []damage `json:"damage"`
}

func (i *inspection) inspect(ctx context.Context, src source, filesOnly bool) error {
	i.Health = health{InUse: src.used(), Damage: []damage{}}
	if err := i.lookAtFiles(src); err != nil {
		return err
	}
	if !filesOnly {
		err := i.read(ctx, src)
		if found := (*store.CorruptError)(nil); errors.As(err, &found) {
			i.Health.Damage = addDamage(i.Health.Damage, damage{File: found.File, Offset: found.Offset, Reason: found.Reason})
		} else if err != nil {
			return err
		}
	}
	for k := range i.Files {
		f := &i.Files[k]
		i.Bytes += f.Bytes
		if f.Kind != "segment" {
			continue
		}
		if next := k + 1; next < len(i.Files) && i.Files[next].First > 0 {
			f.Last = i.Files[next].First - 1
		} else if i.standing != nil && f.First > 0 {
			f.Last = i.Position
		}
	}
	return nil
}

func (i *inspection) lookAtFiles(src source) error {
	if src.kind == kindSQLite {
		return i.lookBeside(src.path)
	}
	r, err := survey(src.path)
	if err != nil {
		return err
	}
	i.LogID = r.LogID
	for _, x := range r.Segments {
		i.Files = append(i.Files, fileReport{Name: x.Name, Kind: "segment", Bytes: x.Bytes, First: x.First})
	}
	for _, x := range r.Snapshots {
		i.Files = append(i.Files, fileReport{Name: x.Name, Kind: "snapshot", Bytes: x.Bytes, Position: x.Position})
	}
	for _, x := range r.Torn {
		i.Files = append(i.Files, fileReport{Name: x.Name, Kind: "torn", Bytes: x.Bytes})
	}
	for _, p := range r.Problems {
		if n := len(r.Segments); n > 0 && p.File == r.Segments[n-1].Name && r.Segments[n-1].Bytes < p.Bytes {
			continue // it is being made, or its making was cut off; if it is damage, reading finds it
		}
		i.Health.Damage = append(i.Health.Damage, damage{File: p.File, Offset: p.Offset, Bytes: p.Bytes, Reason: p.Reason})
	}
	return nil
}

func (i *inspection) lookBeside(path string) error {
	for k, kind := range []string{"database", "wal", "journal"} {
		name := path
		if k > 0 {
			name += beside[k-1]
		}
		info, err := os.Stat(name)
		switch {
		case k > 0 && errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			i.Files = append(i.Files, fileReport{Name: filepath.Base(name), Kind: kind, Bytes: info.Size()})
		}
	}
	return nil
}

// read reads the log.
func (i *inspection) read(ctx context.Context, src source) (err error) {
	v, err := src.view(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.done()) }()
	info := v.Info()
	i.Health.Clean, i.Health.TornBytes = &info.Recovery.Clean, &info.Recovery.TornBytes
	c := newCatalog()
	if err := v.Load(ctx, func(e store.LogEntry) error { return located(e, c.weigh(e.Data)) }); err != nil {
		return err
	}
	i.standing = &standing{
		Position: info.Last, Snapshot: info.Snapshot, Entries: uint64(info.Last - info.Snapshot), Seq: c.seq, Buckets: []bucketReport{},
	}
	for _, b := range c.buckets() {
		i.Buckets = append(i.Buckets, bucketReport{b.name, b.id, b.version, b.key, len(b.fields), len(b.live), b.bytes})
	}
	return nil
}

// weigh takes an entry, with the keys and the sizes of its records.
func (c *catalog) weigh(data []byte) error {
	e, err := c.parse(data)
	if err != nil {
		return err
	}
	for i := range e.Blocks {
		k := &e.Blocks[i]
		b, list, err := c.records(k)
		if err != nil {
			return err
		}
		for _, key := range k.Deleted {
			if err := b.remove(key); err != nil {
				return err
			}
		}
		for _, r := range list {
			encoded, err := logentry.MarshalValue(r.Fields)
			if err != nil {
				return err
			}
			key, n := r.Fields[b.key], int64(len(encoded))
			b.bytes += n - b.live[key]
			b.live[key] = n
		}
	}
	return nil
}

func (i *inspection) write(s *streams) {
	t := newTable(s.out)
	t.row("log", map[kind]string{kindFile: "in files, ", kindSQLite: "in SQLite, "}[i.Kind]+shown(i.Path))
	if i.LogID != "" {
		t.row("id", i.LogID)
	}
	if i.standing != nil {
		at := strconv.FormatUint(uint64(i.Position), 10)
		switch {
		case i.Kind == kindSQLite:
			at += ", of which the newest state is kept"
		case i.Snapshot > 0:
			at += fmt.Sprintf(", %s behind the snapshot at %d", count(i.Entries, "entry", "entries"), i.Snapshot)
		}
		t.row("position", at)
		t.row("sequence", strconv.FormatUint(i.Seq, 10))
	}
	t.row("size", fmt.Sprintf("%s in %s", size(i.Bytes), count(len(i.Files), "file", "files")))
	t.flush()
	i.writeBuckets(s)
	i.writeFiles(s)
	i.writeHealth(s)
}

func (i *inspection) writeBuckets(s *streams) {
	if i.standing == nil {
		return
	}
	_, _ = s.out.WriteString("\n")
	t := newTable(s.out)
	t.row("BUCKET", "ID", "VERSION", "KEY", "FIELDS", "RECORDS", "BYTES")
	for _, b := range i.Buckets {
		t.row(shown(b.Name), strconv.FormatUint(b.ID, 10), strconv.FormatUint(b.Version, 10), shown(b.Key), strconv.Itoa(b.Fields), strconv.Itoa(b.Records), size(b.Bytes))
	}
	t.flush()
}

func (i *inspection) writeFiles(s *streams) {
	_, _ = s.out.WriteString("\n")
	t := newTable(s.out)
	t.row("FILE", "KIND", "SIZE", "ENTRIES")
	for _, f := range i.Files {
		entries := "-"
		switch {
		case f.Kind == "segment" && f.First == 0: // it has no header yet
		case f.Kind == "snapshot":
			entries = fmt.Sprintf("up to %d", f.Position)
		case f.Kind == "segment" && f.Last == 0 && (i.standing == nil || f.First > 1):
			entries = fmt.Sprintf("from %d", f.First)
		case f.Kind == "segment" && f.Last >= f.First:
			entries = fmt.Sprintf("%d to %d", f.First, f.Last)
		}
		t.row(shown(f.Name), f.Kind, size(f.Bytes), entries)
	}
	t.flush()
}

func (i *inspection) writeHealth(s *streams) {
	_, _ = s.out.WriteString("\n")
	t := newTable(s.out)
	t.row("in use", string(i.Health.InUse))
	if i.Health.Clean != nil {
		t.row("closed", map[bool]string{true: "properly", false: "no: it is in use, or its last owner has crashed"}[*i.Health.Clean])
		torn := "none"
		if n := *i.Health.TornBytes; n > 0 {
			torn = size(n) + ", which no sync has covered; the next opening sets them aside"
		}
		t.row("torn tail", torn)
	}
	if len(i.Health.Damage) == 0 {
		t.row("damage", "none was met")
	}
	t.flush()
	writeDamage(s, i.Health.Damage)
}
