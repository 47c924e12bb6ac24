package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/noex-go/store"
)

var (
	// errDamaged ends a command that has reported damage.
	errDamaged = errors.New("there is damage")
	// errNoLog is a path at which there is no log.
	errNoLog = errors.New("there is no log here")
	// errExists is something where a command would write.
	errExists = errors.New("there is something already")
)

// misuse is a command line that makes no sense.
type misuse struct{ reason, command string }

func (m *misuse) Error() string { return m.reason }

func usageError(reason, command string) error { return &misuse{reason, command} }

// advice says what can be done about an error of a command; "" if there is nothing to
// say.
func advice(command string, err error) string {
	var use *misuse
	switch {
	case errors.As(err, &use):
		return strings.TrimSpace("See storectl "+use.command) + " -h."
	case errors.Is(err, context.Canceled):
		return "It was interrupted. " + leftBehind(command)
	case errors.Is(err, syscall.EPIPE):
		return "Whoever read the output has stopped reading."
	case errors.Is(err, syscall.ENOSPC):
		return "The disk is full. " + leftBehind(command)
	case errors.Is(err, store.ErrLocked):
		return "End the program that has it open, and try again. Commands that only read a log in files work beside it."
	case errors.Is(err, errExists), errors.Is(err, store.ErrNotEmpty):
		return "Nothing is overwritten. Name a path at which there is nothing."
	case errors.Is(err, store.ErrBackup):
		return "Nothing was restored. Take another backup."
	case errors.Is(err, store.ErrCorrupt):
		return "storectl verify says where the damage is. storectl salvage makes a new log in files of what is whole; an SQLite database is restored from a backup."
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNoLog):
		return "Check the path: a directory that a store keeps its log in, or an SQLite database of a store."
	case errors.Is(err, fs.ErrPermission):
		return "Run it as the user whose store it is."
	}
	return ""
}

// leftBehind says what a command that was cut off leaves.
func leftBehind(command string) string {
	switch command {
	case "salvage":
		return "The new directory is not complete: remove it before the next attempt."
	case "restore":
		return "The log is empty; the next attempt can use it."
	case "compact":
		return "The log is as it was."
	case "backup":
		return "There is no backup."
	}
	return "Nothing was changed."
}
