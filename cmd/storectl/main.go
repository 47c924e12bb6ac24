package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// The exit codes.
const (
	exitOK      = 0
	exitDamaged = 1 // what was asked for is done, and damage was found
	exitFailed  = 2 // usage, or it could not be done
)

func main() {
	// A write to a pipe that nobody reads is then an error, which run explains.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends a program that waits for its input or output
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// streams are what a command reads from and writes to. Writes to out are buffered, and
// fail when it is flushed.
type streams struct {
	in       io.Reader
	out      *bufio.Writer
	messages io.Writer
}

// action does what a command is for, with the arguments behind the flags.
type action func(ctx context.Context, s *streams, args []string) error

// command is one of the commands. Its flags are set before its action is called.
type command struct {
	name     string
	synopsis string // behind the name
	short    string
	long     string
	example  string
	args     int
	flags    func(f *flag.FlagSet) action
}

func commands() []command {
	return []command{inspectCommand, verifyCommand, dumpCommand, salvageCommand, compactCommand, backupCommand, restoreCommand}
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &streams{in: stdin, out: bufio.NewWriterSize(stdout, 1<<16), messages: stderr}
	name, err := s.dispatch(ctx, args)
	if flushed := s.out.Flush(); flushed != nil && !errors.Is(err, flushed) {
		err = errors.Join(err, fmt.Errorf("write the output: %w", flushed))
	}
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errDamaged) {
		return exitDamaged // the report has said what
	}
	_, _ = fmt.Fprintf(stderr, "%s: %v\n", strings.TrimSpace("storectl "+name), err) // nobody is left to tell
	if hint := advice(name, err); hint != "" {
		_, _ = fmt.Fprintln(stderr, hint)
	}
	return exitFailed
}

// dispatch finds the command and calls it. It returns the command's name for messages.
func (s *streams) dispatch(ctx context.Context, args []string) (string, error) {
	if len(args) == 0 {
		return "", usageError("which command? There are "+names()+".", "")
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		if args = args[1:]; len(args) == 0 {
			s.overview()
			return "", nil
		}
		args = []string{args[0], "-h"}
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.name, c.call(ctx, s, args[1:])
		}
	}
	return "", usageError(fmt.Sprintf("there is no command %q. There are %s.", args[0], names()), "")
}

func names() string {
	var list []string
	for _, c := range commands() {
		list = append(list, c.name)
	}
	return strings.Join(list, ", ")
}

// call parses the flags, which may stand behind arguments too, and runs the action.
func (c *command) call(ctx context.Context, s *streams, args []string) error {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	act := c.flags(f)
	var rest []string
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			c.help(s.out, f)
			return nil
		}
		if err != nil {
			return usageError(err.Error(), c.name)
		}
		used := len(args) - f.NArg()
		if f.NArg() == 0 {
			break
		}
		if used > 0 && args[used-1] == "--" {
			rest = append(rest, f.Args()...)
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if len(rest) != c.args {
		return usageError(fmt.Sprintf("%d arguments were given, %d are needed: %s", len(rest), c.args, c.usage()), c.name)
	}
	return act(ctx, s, rest)
}

func (c *command) usage() string { return "storectl " + c.name + " " + c.synopsis }

// help tells of one command.
func (c *command) help(w io.Writer, f *flag.FlagSet) {
	_, _ = fmt.Fprintf(w, "%s: %s\n\n  %s\n\n%s\n", c.name, c.short, c.usage(), strings.TrimSpace(c.long)) // run finds the error
	has := false
	f.VisitAll(func(*flag.Flag) { has = true })
	if has {
		_, _ = fmt.Fprintf(w, "\nFlags:\n")
		f.SetOutput(w)
		f.PrintDefaults()
		f.SetOutput(io.Discard)
	}
	_, _ = fmt.Fprintf(w, "\nExample:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(c.example), "\n", "\n  "))
}

// overview tells of all commands.
func (s *streams) overview() {
	_, _ = fmt.Fprint(s.out, "storectl looks at the log of a store, and looks after it.\n\n  storectl COMMAND [flags] DIR|FILE.db\n\n"+
		"A directory is a log in files, a file is an SQLite database.\n\n")
	t := newTable(s.out)
	for _, c := range commands() {
		t.row("  "+c.name, c.short)
	}
	t.flush()
	_, _ = fmt.Fprint(s.out, "\nstorectl COMMAND -h tells more, with an example.\n"+
		"It ends with 0 if all is well, 1 if there is damage, 2 if something could not be done.\n")
}
