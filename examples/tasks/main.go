// Command tasks is a board of cards in columns, driven by a script of commands:
//
//	go run ./examples/tasks                 # the script in script.txt
//	go run ./examples/tasks -script -       # commands from standard input
//
// board.go is what an application would keep; this file reads commands and prints
// what they change. Everybody's list is a live query: after a command, those that
// have changed are printed, and only those were evaluated again.
package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/noex-go/store"
)

//go:embed script.txt
var script []byte

func main() {
	from := flag.String("script", "", "file with commands, - for standard input; default: the one built in")
	flag.Parse()
	in, err := open(*from)
	if err == nil {
		err = run(context.Background(), in, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(name string) (io.Reader, error) {
	switch name {
	case "":
		return bytes.NewReader(script), nil
	case "-":
		return os.Stdin, nil
	}
	data, err := os.ReadFile(name)
	return bytes.NewReader(data), err
}

// session is one run over one board.
type session struct {
	board *Board
	out   io.Writer
	lists []*list // in the order in which the members joined
}

// list is what somebody has to do, kept up to date by a subscription.
type list struct {
	of  string
	sub *store.Subscription[[]Card]
	old store.Seq // of the event that was printed last
}

// run executes commands, one a line, until there are no more. A command that is
// refused prints why, and the next one goes on.
func run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	s, err := store.Open(ctx, store.Options{Name: "tasks"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	board, err := NewBoard(ctx, s)
	if err != nil {
		return err
	}
	ses := &session{board: board, out: out}
	lines := bufio.NewScanner(in)
	for lines.Scan() && ctx.Err() == nil {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			fmt.Fprintln(out, line)
			continue
		}
		fmt.Fprintf(out, "> %s\n", line)
		if err := ses.execute(ctx, line); err != nil {
			ses.refuse(err)
		}
		if err := ses.changes(ctx); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), ctx.Err())
}

// commands are the words of a script: how many arguments each takes, the last of
// which may have spaces in it.
var commands = map[string]struct {
	args int
	help string
	do   func(ses *session, ctx context.Context, args []string) error
}{
	"member": {2, "member HANDLE EMAIL", (*session).member},
	"limit":  {2, "limit COLUMN N", (*session).limit},
	"add":    {3, "add HANDLE PRIORITY TITLE", (*session).add},
	"move":   {3, "move CARD COLUMN POSITION", (*session).move},
	"assign": {2, "assign CARD HANDLE", (*session).assign},
	"remove": {1, "remove CARD", (*session).remove},
	"board":  {0, "board", (*session).show},
	"stats":  {0, "stats", (*session).stats},
}

func (ses *session) execute(ctx context.Context, line string) error {
	name, rest, _ := strings.Cut(line, " ")
	c, ok := commands[name]
	if !ok {
		return fmt.Errorf("not one of the commands %s", strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	var args []string
	if rest = strings.TrimSpace(rest); rest != "" {
		args = strings.SplitN(rest, " ", max(c.args, 1))
	}
	if len(args) != c.args {
		return fmt.Errorf("usage: %s", c.help)
	}
	return c.do(ses, ctx, args)
}

func (ses *session) member(ctx context.Context, args []string) error {
	m, err := ses.board.members.Insert(ctx, Member{Handle: args[0], Email: args[1]})
	if err != nil {
		return err
	}
	sub, err := ses.board.work.Subscribe(ctx, Assigned{m.Handle})
	if err != nil {
		return err
	}
	ses.lists = append(ses.lists, &list{of: m.Handle, sub: sub, old: sub.Current().Seq})
	return nil
}

func (ses *session) limit(ctx context.Context, args []string) error {
	n, err := number(args[1])
	if err != nil {
		return err
	}
	return ses.board.SetLimit(ctx, args[0], n)
}

func (ses *session) add(ctx context.Context, args []string) error {
	_, err := ses.board.Add(ctx, Card{Assignee: args[0], Priority: args[1], Title: args[2]})
	return err
}

func (ses *session) move(ctx context.Context, args []string) error {
	id, err := number(args[0])
	at, err2 := number(args[2])
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	return ses.board.Move(ctx, id, args[1], at)
}

func (ses *session) assign(ctx context.Context, args []string) error {
	id, err := number(args[0])
	if err != nil {
		return err
	}
	return ses.board.Assign(ctx, id, args[1])
}

func (ses *session) remove(ctx context.Context, args []string) error {
	id, err := number(args[0])
	if err != nil {
		return err
	}
	return ses.board.Remove(ctx, id)
}

func number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}

// show prints the board.
func (ses *session) show(context.Context, []string) error {
	board, err := ses.board.Columns()
	if err != nil {
		return err
	}
	for _, name := range columns {
		head := fmt.Sprintf("%s (%d)", name, len(board[name]))
		if limit, ok := ses.board.limits.Get(name); ok {
			head = fmt.Sprintf("%s (%d of %d)", name, len(board[name]), limit.Cards)
		}
		fmt.Fprintf(ses.out, "  %s\n", head)
		for _, c := range board[name] {
			fmt.Fprintf(ses.out, "    %d. #%d %s, %s, %s\n", c.Position, c.ID, c.Title, c.Assignee, c.Priority)
		}
	}
	return nil
}

// stats prints how often each list was evaluated.
func (ses *session) stats(context.Context, []string) error {
	fmt.Fprintf(ses.out, "  %d commits\n", ses.board.s.Stats().Commits)
	for _, l := range ses.lists {
		state, err := ses.board.work.Explain(Assigned{l.of})
		if err != nil {
			return err
		}
		fmt.Fprintf(ses.out, "  the list of %s was evaluated %d times\n", l.of, state.Evaluations)
	}
	return nil
}

// changes waits until the lists are those of the newest commit, and prints the
// ones that have changed.
func (ses *session) changes(ctx context.Context) error {
	if err := ses.board.s.Settle(ctx); err != nil {
		return err
	}
	for _, l := range ses.lists {
		ev := l.sub.Current()
		if ev.Err != nil {
			return ev.Err
		}
		if ev.Seq == l.old {
			continue
		}
		l.old = ev.Seq
		var cards []string // what a subscription brings is shared: read it, do not change it
		for _, c := range ev.Result {
			cards = append(cards, fmt.Sprintf("%s %d. %s", c.Column, c.Position, c.Title))
		}
		if cards == nil {
			cards = []string{"nothing to do"}
		}
		fmt.Fprintf(ses.out, "  %s: %s\n", l.of, strings.Join(cards, " | "))
	}
	return nil
}

// refuse says in words for people why a command was refused. The errors of the
// store name the field and the rule; the rest is their text.
func (ses *session) refuse(err error) {
	var invalid *store.ValidationError
	var taken *store.UniqueError
	switch {
	case errors.As(err, &invalid):
		for _, is := range invalid.Issues {
			fmt.Fprintf(ses.out, "  refused: %s %s\n", is.Field, is.Message)
		}
	case errors.As(err, &taken):
		fmt.Fprintf(ses.out, "  refused: the %s %q is taken\n", taken.Field, taken.Value)
	default:
		fmt.Fprintf(ses.out, "  refused: %v\n", err)
	}
}
