package exprrules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/noex-go/store"
)

var (
	// ErrEmpty indicates a rule file with nothing in it, as a file is that is just
	// being written. No rules at all are "rules: []".
	ErrEmpty = errors.New("the rule file is empty")
	// ErrTooLarge indicates a rule file of more than MaxFileBytes.
	ErrTooLarge = errors.New("the rule file is too large")
	// ErrReentered indicates an action that hands an event to its own engine.
	ErrReentered = errors.New("an action cannot hand an event to its own engine")
	// ErrFind indicates a find that found more than Options.MaxFind records.
	ErrFind = errors.New("find has found too many records")
)

// Problem is one thing that is wrong with a rule set.
type Problem struct {
	Rule string // its name, or "rule 3" where it has none; empty for the file
	Part string // what of it: "if", "then[0].set.amount"; empty for all of it
	// Line and Column begin at 1: in the file, or, for a rule that is made in Go, in
	// the expression. 0 where there is no place.
	Line, Column int
	Message      string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Rule != "" {
		fmt.Fprintf(&b, "rule %q: ", p.Rule)
	}
	if p.Part != "" {
		b.WriteString(p.Part + ": ")
	}
	return b.String() + p.Message
}

// LoadError lists everything that is wrong with a rule set, in its order.
type LoadError struct {
	File     string // empty where there is none
	Problems []Problem
	Err      error // ErrEmpty, ErrTooLarge, or why the file could not be read; else nil
}

func (e *LoadError) Error() string {
	text := "exprrules: load"
	if e.File != "" {
		text += " " + e.File
	}
	if e.Err != nil {
		return text + ": " + e.Err.Error()
	}
	if len(e.Problems) == 1 {
		return text + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d problems", text, len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n\t" + p.String())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *LoadError) Unwrap() error { return e.Err }

// RuleError is what went wrong when a rule judged an event, or fired on it.
type RuleError struct {
	Rule  string
	Part  string // as in Problem; empty where it is the transaction itself
	Topic string
	Seq   store.Seq
	Chain []Cause // that led to the event
	Err   error   // of the expression, the action or the store; *DepthError; *store.PanicError
}

func (e *RuleError) Error() string {
	part := ""
	if e.Part != "" {
		part = e.Part + ": "
	}
	return fmt.Sprintf("exprrules: rule %q on %q at commit %d: %s%v", e.Rule, e.Topic, e.Seq, part, e.Err)
}

// Unwrap returns the cause.
func (e *RuleError) Unwrap() error { return e.Err }

// DepthError indicates a rule that did not fire because the event was the
// consequence of as many rules, one of the other, as may be.
type DepthError struct {
	Rule  string // that did not fire
	Chain []Cause
}

func (e *DepthError) Error() string {
	names := make([]string, len(e.Chain))
	for i, c := range e.Chain {
		names[i] = c.Rule
	}
	if n := len(names); n > 8 {
		names = append(append(names[:4:4], "..."), names[n-3:]...)
	}
	return fmt.Sprintf("not fired: %d rules have led to this event: %s", len(e.Chain), strings.Join(names, " → "))
}

// partError is an error of a part of a rule.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.part + ": " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }
