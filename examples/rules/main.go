// Command rules lets a file of rules run a greenhouse:
//
//	go -C examples/rules run .
//
// Sensors report values; rules.yaml says when that raises an alarm, when an alarm
// becomes critical, whom to call, and when it is over. The rules watch the events of
// the store through a bridge, and write to it in transactions. The program plays a
// few scenes and prints which rule fired on what; its output is the same in every run.
//
// It is a module of its own: the rule engine depends on an expression language,
// and the store does not.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge"
	"github.com/noex-go/store/bridge/exprrules"
)

// files has the rules, so that the program runs from anywhere. One that is edited
// while the program runs is loaded with Engine.LoadFile, or Engine.Watch.
//
//go:embed *.yaml
var files embed.FS

// Sensor is what a sensor has reported last.
type Sensor struct {
	ID    string `store:"id,key"`
	House string `store:"house,required"`
	Value int    `store:"value"`
	Limit int    `store:"limit"`
}

// Alarm is raised and closed by the rules; no Go code writes it.
type Alarm struct {
	ID     int    `store:"id,key,generated=autoincrement"`
	Sensor string `store:"sensor,required,index=open,ref=sensors"`
	House  string `store:"house,required"`
	Level  string `store:"level,enum=warning|critical"`
	Open   bool   `store:"open,index=open"`
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// greenhouse is one run.
type greenhouse struct {
	ctx     context.Context
	out     io.Writer
	s       *store.Store
	sensors *store.TypedBucket[Sensor]
	alarms  *store.TypedBucket[Alarm]
	engine  *exprrules.Engine
	traces  chan exprrules.Trace
	calls   chan string
}

func run(ctx context.Context, out io.Writer) (err error) {
	g := &greenhouse{ctx: ctx, out: out, traces: make(chan exprrules.Trace, 100), calls: make(chan string, 100)}
	if g.s, err = store.Open(ctx, store.Options{Name: "greenhouse"}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.s.Close(ctx)) }()
	if g.sensors, err = store.Define[Sensor](ctx, g.s, "sensors"); err != nil {
		return err
	}
	if g.alarms, err = store.Define[Alarm](ctx, g.s, "alarms"); err != nil {
		return err
	}
	_, err = g.sensors.InsertMany(ctx, []Sensor{
		{"north-air", "north", 21, 30}, {"north-soil", "north", 40, 60}, {"south-air", "south", 22, 30},
	})
	if err != nil {
		return err
	}
	g.engine, err = exprrules.New(g.s, exprrules.Options{
		Actions:  map[string]exprrules.Action{"call": g.call},
		MaxDepth: 4,
		OnError:  func(error) {}, // the traces have the errors too
		OnTrace:  func(t exprrules.Trace) { g.traces <- t },
	})
	if err != nil {
		return err
	}
	b, err := bridge.Forward(g.s, g.engine, bridge.Options{})
	if err != nil {
		return err
	}
	// Only now can anything fire. What a store did before its rules were there is not
	// told again.
	defer func() { err = errors.Join(err, b.Stop(ctx)) }()
	return g.play()
}

// call is what the rules do in Go. It is part of the rule's transaction and may be run
// again: what it does outside of the store must bear that.
func (g *greenhouse) call(ctx context.Context, f *exprrules.Firing) error {
	text, ok := f.Args["text"].(string)
	if !ok {
		return errors.New("there is nothing to say")
	}
	select {
	case g.calls <- text:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// play is the scenes. Each says how many firings it leads to, and waits for them,
// as an application would not: for it, rules work in the background.
func (g *greenhouse) play() error {
	fmt.Fprintln(g.out, "a file that is wrong is refused as a whole, with every mistake")
	var refused *exprrules.LoadError
	if err := g.load("wrong.yaml"); !errors.As(err, &refused) {
		return fmt.Errorf("expected a LoadError, got %w", err)
	}
	for _, p := range refused.Problems {
		fmt.Fprintf(g.out, "  %v\n", p)
	}
	if err := g.load("rules.yaml"); err != nil {
		return err
	}
	fmt.Fprintf(g.out, "\nrules: %s\n", strings.Join(g.engine.Rules(), ", "))
	for _, scene := range []struct {
		title, sensor string
		value, fires  int
	}{
		{"warm, but not too warm: no rule fires", "north-air", 29, 0},
		{"too warm", "north-air", 35, 1},
		{"warmer still: the alarm is open already", "north-air", 36, 0},
		{"the soil as well: one rule leads to the next", "north-soil", 70, 4},
		{"the air is right again", "north-air", 25, 1},
		{"and too warm once more", "north-air", 31, 3},
	} {
		fmt.Fprintf(g.out, "\n%s\n", scene.title)
		if err := g.report(scene.sensor, scene.value, scene.fires); err != nil {
			return err
		}
	}
	if err := g.list(); err != nil {
		return err
	}
	fmt.Fprintln(g.out, "\nother rules, loaded under way: one that triggers itself is stopped")
	if err := g.load("endless.yaml"); err != nil {
		return err
	}
	return g.report("south-air", 23, 5)
}

func (g *greenhouse) load(name string) error {
	data, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	rules, err := exprrules.Parse(data)
	if err != nil {
		return err
	}
	return g.engine.Load(rules)
}

// patience bounds the wait for firings that do not come.
const patience = 30 * time.Second

// report stores what a sensor reports, and prints the firings that follow.
func (g *greenhouse) report(sensor string, value, fires int) error {
	fmt.Fprintf(g.out, "  %s reports %d\n", sensor, value)
	if _, err := g.sensors.Patch(g.ctx, sensor, store.Fields{"value": value}); err != nil {
		return err
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for range fires {
		select {
		case t := <-g.traces:
			g.print(t)
		case <-timeout.C:
			return errors.New("the rules do not fire")
		case <-g.ctx.Done():
			return g.ctx.Err()
		}
	}
	return nil
}

// print says which rule fired on what, and because of what.
func (g *greenhouse) print(t exprrules.Trace) {
	what := t.Outcome.String()
	if t.Commit != 0 {
		what += fmt.Sprintf(" as commit %d", t.Commit)
	}
	fmt.Fprintf(g.out, "  %-8s on %s %v of commit %d: %s\n", t.Rule, t.Topic, t.Key, t.Seq, what)
	if len(t.Chain) > 0 {
		var chain []string
		for _, c := range t.Chain {
			chain = append(chain, c.String())
		}
		fmt.Fprintf(g.out, "           because of %s\n", strings.Join(chain, ", "))
	}
	if t.Rule == "call" && t.Outcome == exprrules.Fired {
		fmt.Fprintf(g.out, "           the telephone says: %s\n", <-g.calls)
	}
	var deep *exprrules.DepthError
	if errors.As(t.Err, &deep) {
		fmt.Fprintf(g.out, "           %d rules have led to one another\n", len(deep.Chain))
	} else if t.Err != nil {
		fmt.Fprintf(g.out, "           %v\n", t.Err)
	}
}

func (g *greenhouse) list() error {
	fmt.Fprintln(g.out, "\nalarms")
	for a := range g.alarms.All() {
		state := "closed"
		if a.Open {
			state = "open"
		}
		fmt.Fprintf(g.out, "  %d. %s, %s, %s\n", a.ID, a.Sensor, a.Level, state)
	}
	return nil
}
