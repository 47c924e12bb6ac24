package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

var compactCommand = command{
	name:     "compact",
	synopsis: "[--keep-previous] [--json] DIR|FILE.db",
	short:    "makes a log in files one snapshot",
	long: `
It opens the store, alone, and compacts it, which takes the memory of the whole log.
Buckets that were dropped are left out. The others are written as they are, since
storectl does not define them: records of theirs that were overwritten or deleted
stay, until a program that defines the bucket compacts the log. That program's store
does so by itself.

An SQLite database has the newest state only, and there is nothing to do.

With --json it writes one object: path, kind, before and after (bytes of the files).`,
	example: "storectl compact /var/lib/app/log",
	args:    1,
	flags: func(f *flag.FlagSet) action {
		asJSON := f.Bool("json", false, "write JSON")
		keep := f.Bool("keep-previous", false, "keep the snapshot before, and the entries behind it, for salvage")
		return func(ctx context.Context, s *streams, args []string) error {
			src, err := find(args[0])
			if err != nil {
				return err
			}
			c := compacted{Path: src.path, Kind: src.kind}
			var opts []file.Option
			if *keep {
				opts = append(opts, file.KeepPrevious())
			}
			if err := c.compact(ctx, src, opts); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(s.out, &c)
			}
			c.write(s)
			return nil
		}
	},
}

// compacted is what compact shows.
type compacted struct {
	Path   string `json:"path"`
	Kind   kind   `json:"kind"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

func (c *compacted) compact(ctx context.Context, src source, opts []file.Option) (err error) {
	if c.Before, err = src.bytes(ctx); err != nil {
		return err
	}
	if src.kind == kindFile {
		err = with(ctx, src.adapter(opts...), func(st *store.Store) error { return st.Compact(ctx) })
	}
	if err == nil {
		c.After, err = src.bytes(ctx)
	}
	return err
}

// bytes is the size of all files of the log.
func (s source) bytes(ctx context.Context) (int64, error) {
	i := inspection{}
	err := i.inspect(ctx, s, true)
	return i.Bytes, err
}

// with opens a store for a function.
func with(ctx context.Context, adapter store.Adapter, fn func(st *store.Store) error) (err error) {
	st, err := store.Open(ctx, store.Options{Logger: silent, Persistence: store.Persistence{Adapter: adapter}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close(context.WithoutCancel(ctx))) }() // a cancelled one would leave the log open
	return fn(st)
}

func (c *compacted) write(s *streams) {
	if c.Kind == kindSQLite {
		_, _ = fmt.Fprintf(s.out, "%s has the newest state only: there is nothing to do\n", shown(c.Path))
		return
	}
	t := newTable(s.out)
	t.row("before", size(c.Before))
	t.row("after", size(c.After))
	t.flush()
	if c.After >= c.Before {
		_, _ = fmt.Fprintln(s.out, "What was overwritten or deleted stays until a program that defines the buckets compacts the log.")
	}
}
