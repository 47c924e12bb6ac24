package exprrules

import (
	"context"
	"fmt"

	"github.com/noex-go/store"
)

// Rule says what is to be done when. Strings in the values of its steps are
// expressions, as If is; all other values are what they are.
type Rule struct {
	Name string // names it in errors and in the trace; unique
	When string // a pattern of topics, as [store.Store.On] takes it
	If   string // an expression that is true or false; empty: always
	Then []Step // in this order; at least one

	places places // where it stands in its file; zero: made in Go
}

// Step is one thing that a rule does: one of Insert, Update, Upsert and Delete,
// which name a bucket, or one of Do and Run, which are Go.
type Step struct {
	Insert, Update, Upsert, Delete string

	Do  string // an action of [Options.Actions]
	Run Action // an action of a rule that is made in Go

	Key   any            // of the record that Update or Delete is about
	Where map[string]any // or of which records: a filter as [store.ParseFilter] takes it
	Set   map[string]any // the fields that Insert, Update and Upsert write
	With  map[string]any // the arguments of Do and Run
}

// Action is what a rule does in Go. It reads and writes through handles that are
// bound to f.Tx: that belongs to the transaction of the rule, and to the chain of
// causes. What it writes through others is a commit of its own, which nothing ties to
// the rule: such a rule can trigger itself without end. It may be run again when the
// transaction is in conflict. Its error, or panic, takes the firing back.
type Action func(ctx context.Context, f *Firing) error

// Firing is what an action gets. It is the action's until it returns.
type Firing struct {
	Rule   string
	Tx     *store.Tx
	Topic  string
	Bucket string
	Key    any            // of the record: a string or an int64
	Seq    store.Seq      // the commit that the event belongs to
	Old    map[string]any // the record before, nil where there was none; as [store.Record.Map] has it
	New    map[string]any // and after
	Args   map[string]any // what With came to
	Chain  []Cause        // the rules that led to the event, the first one first
}

// Cause is a rule that has fired, and the commit whose event it fired on.
type Cause struct {
	Rule string
	Seq  store.Seq
}

func (c Cause) String() string { return fmt.Sprintf("%s (on commit %d)", c.Rule, c.Seq) }
