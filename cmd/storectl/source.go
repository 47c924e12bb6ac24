package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/sqlite"
)

// kind is how a log is kept.
type kind string

const (
	kindFile   kind = "file"
	kindSQLite kind = "sqlite"
)

// use is whether somebody has a log open.
type use string

const (
	useFree    use = "no"
	useTaken   use = "yes"
	useUnknown use = "unknown"
)

// source is a log that is there.
type source struct {
	path string
	kind kind
}

// find finds the log at a path. Nothing is made if there is none.
func find(path string) (source, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return source{}, err
	case info.Mode().IsRegular():
		return source{path, kindSQLite}, nil
	case !info.IsDir():
		return source{}, fmt.Errorf("%s is neither a directory nor a file: %w", path, errNoLog)
	}
	r, err := survey(path)
	if err != nil {
		return source{}, err
	}
	if len(r.Segments)+len(r.Snapshots)+len(r.Torn) == 0 {
		return source{}, fmt.Errorf("%s: %w", path, errNoLog)
	}
	return source{path, kindFile}, nil
}

// survey looks at the files of a log, again if its owner has removed one between two
// looks.
func survey(dir string) (r *file.Report, err error) {
	for range attempts {
		if r, err = file.Inspect(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return r, err
}

// used asks whether somebody has the log open.
func (s source) used() use {
	if s.kind == kindFile {
		return probeFile(filepath.Join(s.path, "lock"))
	}
	return probeSQLite(s.path)
}

// adapter is that of the log itself, for commands that change it.
func (s source) adapter(opts ...file.Option) store.Adapter {
	if s.kind == kindFile {
		return file.New(s.path, append(opts, file.Logger(silent))...)
	}
	return sqlite.New(s.path)
}

// silent is for adapters whose news a command reports itself.
var silent = slog.New(slog.DiscardHandler)

// attempts is how often a log is looked at that changes meanwhile.
const attempts = 20

// view is a log as it was at one moment, to be read only. It takes no lock, and what
// happens to it happens to the log of nobody else:
//
//	file    an overlay: the files are read where they are
//	SQLite  a copy of the database, as SQLite reads none without writing beside it
type view struct {
	store.Log
	close func() error
}

// view opens a view. The caller closes it with done, and not with Close.
func (s source) view(ctx context.Context) (v *view, err error) {
	for range attempts {
		if v, err = s.tryView(ctx); err == nil || s.used() == useFree || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrCorrupt) {
			break // else its owner may have replaced files between two looks
		}
	}
	return v, err
}

func (s source) tryView(ctx context.Context) (*view, error) {
	if s.kind == kindFile {
		o := newOverlay()
		log, err := file.New(s.path, file.FS(o), file.Logger(silent)).OpenLog(ctx)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		return &view{log, o.close}, nil
	}
	dir, err := os.MkdirTemp("", "storectl-*")
	if err != nil {
		return nil, err
	}
	clean := func() error { return os.RemoveAll(dir) }
	to := filepath.Join(dir, filepath.Base(s.path))
	if err := s.copyDatabase(ctx, to); err != nil {
		return nil, errors.Join(err, clean())
	}
	log, err := sqlite.New(to).OpenLog(ctx)
	if err != nil {
		return nil, errors.Join(&elsewhere{err, to, s.path}, clean())
	}
	return &view{log, clean}, nil
}

// done gives up the view.
func (v *view) done() error { return errors.Join(v.Log.Close(), v.close()) }

// Info says that the log needs no snapshots, so that a store that has the view makes
// none.
func (v *view) Info() store.LogInfo {
	info := v.Log.Info()
	info.Compact = true
	return info
}

// OpenLog makes a view the adapter of one store.
func (v *view) OpenLog(context.Context) (store.Log, error) { return v, nil }

// elsewhere is an error about a copy, told of what was copied.
type elsewhere struct {
	err      error
	from, to string
}

func (e *elsewhere) Error() string { return strings.ReplaceAll(e.err.Error(), e.from, e.to) }
func (e *elsewhere) Unwrap() error { return e.err }

// beside are the endings of the files that SQLite keeps beside a database.
var beside = []string{"-wal", "-journal"}

// copyDatabase copies a database, and what is beside it, as a crash of its owner would
// leave it: as long as nothing was written meanwhile.
func (s source) copyDatabase(ctx context.Context, to string) error {
	for range attempts {
		before, err := s.state()
		if err != nil {
			return err
		}
		for _, ending := range append([]string{""}, beside...) {
			err := copyFile(ctx, s.path+ending, to+ending)
			if ending != "" && errors.Is(err, fs.ErrNotExist) {
				err = os.RemoveAll(to + ending) // of an earlier attempt
			}
			if err != nil {
				return err
			}
		}
		after, err := s.state()
		if err != nil {
			return err
		}
		if before == after {
			return nil
		}
	}
	return fmt.Errorf("%s: %w, which writes all the time", s.path, store.ErrLocked)
}

// state changes when the database does.
func (s source) state() (string, error) {
	var b strings.Builder
	for _, ending := range append([]string{""}, beside...) {
		info, err := os.Stat(s.path + ending)
		switch {
		case err == nil:
			fmt.Fprintln(&b, info.Size(), info.ModTime().UnixNano())
		case ending != "" && errors.Is(err, fs.ErrNotExist):
			fmt.Fprintln(&b)
		default:
			return "", err
		}
	}
	return b.String(), nil
}

func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // nothing was written through it
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return in.Read(p)
	}))
	return errors.Join(err, out.Close())
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
