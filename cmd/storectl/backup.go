package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/noex-go/store"
)

var backupCommand = command{
	name:     "backup",
	synopsis: "[--json] DIR|FILE.db OUT",
	short:    "writes what is in a log into a file, as the store's Backup does",
	long: `
It writes the state of the newest commit, and with it, as storectl does not define
the buckets, what a log in files still has of records that were overwritten.

OUT is a file that is not there yet, or - for the standard output; the report then
goes to the standard error. The log is not changed, and may be in use. It takes the
memory of the whole log. An SQLite database is copied for that, into the directory
for temporary files (TMPDIR). The backup ends with a checksum, by which restore
knows that it is whole.

With --json it writes one object: path, kind, backup (OUT), bytes.`,
	example: "storectl backup /var/lib/app/log - | zstd > app.backup.zst",
	args:    2,
	flags: func(f *flag.FlagSet) action {
		asJSON := f.Bool("json", false, "write JSON")
		return func(ctx context.Context, s *streams, args []string) error {
			src, err := find(args[0])
			if err != nil {
				return err
			}
			r := backedUp{Path: src.path, Kind: src.kind, Backup: args[1]}
			var report io.Writer = s.out
			if args[1] == "-" {
				report = s.messages
				if r.Bytes, err = backup(ctx, src, s.out); err == nil {
					err = s.out.Flush()
				}
			} else {
				r.Bytes, err = backupFile(ctx, src, args[1])
			}
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(report, &r)
			}
			_, err = fmt.Fprintf(report, "%s were written to %s\n", size(r.Bytes), shown(r.Backup))
			return err
		}
	},
}

// backedUp is what backup shows.
type backedUp struct {
	Path   string `json:"path"`
	Kind   kind   `json:"kind"`
	Backup string `json:"backup"`
	Bytes  int64  `json:"bytes"`
}

// counting counts what is written.
type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func backup(ctx context.Context, src source, w io.Writer) (int64, error) {
	v, err := src.view(ctx)
	if err != nil {
		return 0, err
	}
	out := &counting{w: w}
	err = with(ctx, v, func(st *store.Store) error { return st.Backup(ctx, out) })
	return out.n, errors.Join(err, v.done())
}

// backupFile writes a backup into a new file, which is removed if it fails.
func backupFile(ctx context.Context, src source, path string) (n int64, err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("%s: %w", path, errExists)
	}
	if err != nil {
		return 0, err
	}
	if n, err = backup(ctx, src, out); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return n, err
}

var restoreCommand = command{
	name:     "restore",
	synopsis: "[--json] IN DIR|FILE.db",
	short:    "makes a log of a backup, as the library's Restore does",
	long: `
IN is a file, or - for the standard input. The log must be missing, or empty. What
is missing is made: a name that ends with .db, .sqlite or .sqlite3 as an SQLite
database, and any other as a directory. A backup that is not whole leaves an empty
log, which the next attempt can use.

With --json it writes one object: path, kind, backup (IN), bytes (of the log).`,
	example: "zstd -d < app.backup.zst | storectl restore - /var/lib/app/log",
	args:    2,
	flags: func(f *flag.FlagSet) action {
		asJSON := f.Bool("json", false, "write JSON")
		return func(ctx context.Context, s *streams, args []string) error {
			dst, err := destination(ctx, args[1])
			if err != nil {
				return err
			}
			if err := restore(ctx, s, args[0], dst); err != nil {
				return err
			}
			r := backedUp{Path: dst.path, Kind: dst.kind, Backup: args[0]}
			if r.Bytes, err = dst.bytes(ctx); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(s.out, &r)
			}
			_, err = fmt.Fprintf(s.out, "%s has %s\n", shown(r.Path), size(r.Bytes))
			return err
		}
	},
}

// destination is where a log may be made. One that has content is not even opened.
func destination(ctx context.Context, path string) (source, error) {
	src, err := find(path)
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(err, errNoLog) && statErr == nil && info.IsDir():
		return source{path, kindFile}, nil
	case errors.Is(err, fs.ErrNotExist):
		switch filepath.Ext(path) {
		case ".db", ".sqlite", ".sqlite3":
			return source{path, kindSQLite}, nil
		}
		return source{path, kindFile}, nil
	case err != nil:
		return source{}, err
	}
	switch empty, err := src.empty(ctx); {
	case err != nil:
		return source{}, err
	case !empty:
		return source{}, fmt.Errorf("%s: %w", path, store.ErrNotEmpty)
	}
	return src, nil
}

// empty reports whether a log has no content.
func (s source) empty(ctx context.Context) (empty bool, err error) {
	v, err := s.view(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, v.done()) }()
	c := newCatalog()
	err = v.Load(ctx, func(e store.LogEntry) error {
		_, err := c.parse(e.Data)
		return located(e, err)
	})
	return c.seq == 0 && len(c.byID) == 0 && c.rows == 0, err
}

func restore(ctx context.Context, s *streams, from string, dst source) error {
	if from == "-" {
		in := interruptible(ctx, s.in)
		defer func() { _ = in.Close() }() // it never fails
		return store.Restore(ctx, in, dst.adapter())
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // nothing was written through it
	return store.Restore(ctx, in, dst.adapter())
}

// interruptible is a reader that ends with a context, even while it waits. What waits
// then ends with the process.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	in, out := io.Pipe()
	context.AfterFunc(ctx, func() { _ = out.CloseWithError(ctx.Err()) }) // it never fails
	go func() {
		_, err := io.Copy(out, r)
		_ = out.CloseWithError(err) // nil: the end
	}()
	return in
}
