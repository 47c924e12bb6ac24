package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/noex-go/store"
)

// What the header of a database says of itself: PRAGMA application_id and
// user_version.
const (
	applicationID = 0x6e786f73 // "nxos"
	formatVersion = 1
)

// Of SQLite's file format, https://sqlite.org/fileformat2.html.
const (
	headerSize      = 100
	headerMagic     = "SQLite format 3\x00"
	atUserVersion   = 60
	atApplicationID = 68
)

// claims are the files that logs of this process have open. It is the one
// variable of this package, because what it stands for is the process's too: the
// locks of a file on Unix, which closing a second handle of the file would end.
var claims struct {
	mu    sync.Mutex // protects files
	files []*file
}

// file is a database's file, claimed for one log of this process.
type file struct {
	path string // absolute, without symbolic links
	info fs.FileInfo
}

// claimFile makes the file if there is none, and claims it. Nobody opens a file
// that another has claimed.
func claimFile(path string) (*file, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	claims.mu.Lock()
	defer claims.mu.Unlock()
	if err := makeFile(path); err != nil {
		return nil, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	for _, f := range claims.files {
		if os.SameFile(f.info, info) {
			return nil, fmt.Errorf("%s: %w", path, store.ErrLocked)
		}
	}
	f := &file{path, info}
	claims.files = append(claims.files, f)
	return f, nil
}

func (f *file) release() {
	claims.mu.Lock()
	defer claims.mu.Unlock()
	for i := range claims.files {
		if claims.files[i] == f {
			claims.files = append(claims.files[:i:i], claims.files[i+1:]...)
			return
		}
	}
}

// makeFile makes a database for its owner alone, unless there is a file. SQLite gives
// the files beside it the same mode. It gets its name when it is complete, so that
// an empty file is one that has lost its content.
func makeFile(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if (&file{path: path}).beside("-wal") > 0 {
		return &store.CorruptError{File: filepath.Base(path), Reason: "there is no file, but a write-ahead log beside it"}
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	name := f.Name()
	defer os.Remove(name)
	if err := f.Close(); err != nil {
		return err
	}
	if err := createDatabase(name); err != nil {
		return err
	}
	switch err := os.Link(name, path); {
	case err == nil || errors.Is(err, fs.ErrExist): // another process was first
	default: // a file system without links
		if err := os.Rename(name, path); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no way to, and needs none
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (f *file) corrupt(reason string) error {
	return &store.CorruptError{File: filepath.Base(f.path), Reason: reason}
}

// check looks at the file's header before SQLite may touch anything.
func (f *file) check() error {
	in, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	var header [headerSize]byte
	_, err = io.ReadFull(in, header[:])
	switch {
	case errors.Is(err, io.EOF):
		return f.corrupt("the file is empty")
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case err != nil || string(header[:len(headerMagic)]) != headerMagic:
		return f.corrupt("not an SQLite database")
	}
	if id := binary.BigEndian.Uint32(header[atApplicationID:]); id != applicationID {
		return fmt.Errorf("%s: a database of something else: its application id is %#x", f.path, id)
	}
	if v := binary.BigEndian.Uint32(header[atUserVersion:]); v != formatVersion {
		return fmt.Errorf("%s: its format is %d, not %d", f.path, v, formatVersion)
	}
	return nil
}

// beside is the size of a file that SQLite keeps beside the database.
func (f *file) beside(suffix string) int64 {
	info, err := os.Stat(f.path + suffix)
	if err != nil {
		return 0
	}
	return info.Size()
}

// size is that of the database and its write-ahead log.
func (f *file) size() int64 { return f.beside("") + f.beside("-wal") }
