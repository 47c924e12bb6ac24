package sqlite

import (
	"bytes"
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

// makeFile makes an empty file for its owner alone, unless there is one. SQLite
// gives the files beside it the same mode.
func makeFile(path string) error {
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
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

// check looks at the file's header before SQLite may touch anything. It reports
// whether the database is still to be made.
func (f *file) check() (empty bool, err error) {
	in, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer in.Close()
	var header [headerSize]byte
	n, err := io.ReadFull(in, header[:])
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
	default:
		return false, err
	}
	switch {
	case n == 0:
		if f.beside("-wal") > 0 {
			return false, f.corrupt("the file is empty, but there is a write-ahead log beside it")
		}
		return true, nil
	case bytes.Equal(header[:n], make([]byte, n)) && f.beside("-journal") > 0:
		return true, nil // its making was cut off, and is undone by the journal
	case n < headerSize || string(header[:len(headerMagic)]) != headerMagic:
		return false, f.corrupt("not an SQLite database")
	}
	if id := binary.BigEndian.Uint32(header[atApplicationID:]); id != applicationID {
		return false, fmt.Errorf("%s: a database of something else: its application id is %#x", f.path, id)
	}
	if v := binary.BigEndian.Uint32(header[atUserVersion:]); v != formatVersion {
		return false, fmt.Errorf("%s: its format is %d, not %d", f.path, v, formatVersion)
	}
	return false, nil
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
