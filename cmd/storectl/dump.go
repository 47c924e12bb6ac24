package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

var dumpCommand = command{
	name:     "dump",
	synopsis: "[--bucket NAME] [--entries] DIR|FILE.db",
	short:    "writes the records, or the entries of the log, as lines of JSON",
	long: `
It changes nothing, and works while a store has the log open. The newest state is
found in two readings, with the keys of all records in memory; records come in the
order of their last writes, and those that have expired and are not deleted yet are
there too. --entries needs memory for one entry only. An SQLite database is copied
for that, into the directory for temporary files (TMPDIR); it has no entries but the
parts of its newest state.

A line is an object, in JSON with or without --json:
  bucket, key, version, created, updated, expires (if it does), fields
With --entries:
  position, seq, session (the run of the store that wrote it), snapshot (true for a
  part of one)
  buckets: [{name, id, version, key, fields (names)}] defined, or [{name, id, version,
           dropped: true}]
  changes: [{bucket, put: [records as above], deleted: [keys], marks (the last number
           of each autoincrement field)}]
  reads:   [{bucket, key, version (0: there was none)}] of a transaction
Integers are exact, bytes are base64, times are RFC 3339, and infinities are the
strings "Infinity" and "-Infinity".`,
	example: `storectl dump --bucket users /var/lib/app/log | jq .fields.email
storectl dump --entries /var/lib/app/log | tail -n 1`,
	args: 1,
	flags: func(f *flag.FlagSet) action {
		f.Bool("json", true, "write JSON; there is nothing else")
		only := f.String("bucket", "", "of the bucket of this `name` only")
		entries := f.Bool("entries", false, "write each entry of the log, in order")
		return func(ctx context.Context, s *streams, args []string) (err error) {
			src, err := find(args[0])
			if err != nil {
				return err
			}
			v, err := src.view(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.done()) }()
			d := dump{s: s, log: v, only: *only, all: *only == ""}
			if *entries {
				err = d.entries(ctx)
			} else {
				err = d.state(ctx)
			}
			if err == nil && !d.all && !d.met {
				err = fmt.Errorf("the log has no bucket %q", d.only)
			}
			return err
		}
	},
}

// dump writes what a log has.
type dump struct {
	s    *streams
	log  *view
	only string
	all  bool
	met  bool // the bucket that is wanted
}

type recordLine struct {
	Bucket  string         `json:"bucket,omitzero"`
	Key     any            `json:"key"`
	Version uint64         `json:"version"`
	Created string         `json:"created"`
	Updated string         `json:"updated"`
	Expires string         `json:"expires,omitzero"`
	Fields  map[string]any `json:"fields"`
}

func newLine(bucket, key string, r *logentry.Record) recordLine {
	fields := plain(r.Fields).(map[string]any)
	return recordLine{bucket, fields[key], r.Version, moment(r.Created), moment(r.Updated), moment(r.Expires), fields}
}

func (d *dump) wanted(name string) bool {
	if !d.all && name == d.only {
		d.met = true
	}
	return d.all || name == d.only
}

// state writes the newest version of each record: the first reading finds out which
// row of the log that is, the second writes it.
func (d *dump) state(ctx context.Context) error {
	first := newCatalog()
	err := d.rows(ctx, first, func(b *bucket, key any, row int64, _ *logentry.Record) error {
		if row < 0 {
			return b.remove(key)
		}
		b.live[key] = row
		return nil
	})
	if err != nil {
		return err
	}
	for name := range first.byName {
		d.wanted(name)
	}
	return d.rows(ctx, newCatalog(), func(b *bucket, key any, row int64, r *logentry.Record) error {
		was := first.byID[b.id]
		if was == nil || row < 0 || was.live[key] != row {
			return nil
		}
		line := newLine(b.name, b.key, r)
		return writeJSON(d.s.out, &line)
	})
}

// rows calls fn with each row of the wanted buckets and its number, from 1, and with
// each key that is deleted, and -1.
func (d *dump) rows(ctx context.Context, c *catalog, fn func(b *bucket, key any, row int64, r *logentry.Record) error) error {
	row := int64(0)
	return d.log.Load(ctx, func(at store.LogEntry) error {
		e, err := c.parse(at.Data)
		if err != nil {
			return located(at, err)
		}
		for i := range e.Blocks {
			k := &e.Blocks[i]
			if !d.all && c.byID[k.Bucket].name != d.only {
				continue
			}
			b, list, err := c.records(k)
			if err != nil {
				return located(at, err)
			}
			for _, key := range k.Deleted {
				if err := fn(b, key, -1, nil); err != nil {
					return located(at, err)
				}
			}
			for i := range list {
				row++
				if err := fn(b, list[i].Fields[b.key], row, &list[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

type entryLine struct {
	Position store.Position `json:"position"`
	Seq      uint64         `json:"seq"`
	Session  string         `json:"session"`
	Snapshot bool           `json:"snapshot,omitzero"`
	Buckets  []bucketLine   `json:"buckets,omitempty"`
	Changes  []changeLine   `json:"changes,omitempty"`
	Reads    []readLine     `json:"reads,omitempty"`
}

type bucketLine struct {
	Name    string   `json:"name"`
	ID      uint64   `json:"id"`
	Version uint64   `json:"version"`
	Key     string   `json:"key,omitzero"`
	Fields  []string `json:"fields,omitempty"`
	Dropped bool     `json:"dropped,omitzero"`
}

type changeLine struct {
	Bucket  string           `json:"bucket"`
	Put     []recordLine     `json:"put,omitempty"`
	Deleted []any            `json:"deleted,omitempty"`
	Marks   map[string]int64 `json:"marks,omitempty"`
}

type readLine struct {
	Bucket  string `json:"bucket"`
	Key     any    `json:"key"`
	Version uint64 `json:"version"`
}

// entries writes each entry that is about a wanted bucket.
func (d *dump) entries(ctx context.Context) error {
	c := newCatalog()
	snapshot := d.log.Info().Snapshot
	return d.log.Load(ctx, func(at store.LogEntry) error {
		line, err := d.entry(c, at.Data)
		if err != nil {
			return located(at, err)
		}
		if !d.all && len(line.Buckets)+len(line.Changes)+len(line.Reads) == 0 {
			return nil
		}
		line.Position, line.Snapshot = at.Position, snapshot > 0 && at.Position <= snapshot
		return writeJSON(d.s.out, line)
	})
}

func (d *dump) entry(c *catalog, data []byte) (*entryLine, error) {
	e, err := c.parse(data)
	if err != nil {
		return nil, err
	}
	line := &entryLine{Seq: e.Seq, Session: hex.EncodeToString(e.Session)}
	for i := range e.Buckets {
		if x := &e.Buckets[i]; d.wanted(x.Name) {
			w := bucketLine{Name: x.Name, ID: x.ID, Version: x.Version, Dropped: x.Dropped}
			if b := c.byID[x.ID]; b != nil && !x.Dropped {
				w.Key, w.Fields = b.key, b.fields
			}
			line.Buckets = append(line.Buckets, w)
		}
	}
	for i := range e.Blocks {
		k := &e.Blocks[i]
		b, list, err := c.records(k)
		if err != nil {
			return nil, err
		}
		if d.wanted(b.name) {
			line.Changes = append(line.Changes, newChange(b, k, list))
		}
	}
	for _, r := range e.Reads {
		name := ""
		if b := c.byID[r.Bucket]; b != nil {
			name = b.name
		}
		if d.wanted(name) {
			line.Reads = append(line.Reads, readLine{name, r.Key, r.Version})
		}
	}
	return line, nil
}

func newChange(b *bucket, k *logentry.Block, list []logentry.Record) changeLine {
	line := changeLine{Bucket: b.name, Deleted: k.Deleted, Marks: k.Marks}
	for i := range list {
		line.Put = append(line.Put, newLine("", b.key, &list[i]))
	}
	delete(line.Marks, "") // where the next record goes
	return line
}
