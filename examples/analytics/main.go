// Command analytics counts made-up requests in live aggregates and draws them as
// a table that refreshes in place:
//
//	go run ./examples/analytics                                   # ten seconds
//	go run ./examples/analytics -duration 0 -rate 20000           # until ^C, and the bucket overflows
//	go run ./examples/analytics -simulate -duration 30s           # thirty seconds at once, the same in every run
//
// dashboard.go has the buckets and the queries; the other files make the hits and
// draw.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/noex-go/store"
)

// config is the flags.
type config struct {
	duration time.Duration // 0: until interrupted
	every    time.Duration // from frame to frame
	window   time.Duration // that hits are held for
	rate     float64       // hits a second
	most     int           // hits held
	seed     uint64
	simulate bool
	terminal bool
}

func main() {
	var c config
	flag.DurationVar(&c.duration, "duration", 10*time.Second, "how long to run; 0: until interrupted")
	flag.DurationVar(&c.every, "every", 500*time.Millisecond, "time between frames")
	flag.DurationVar(&c.window, "window", 5*time.Second, "how long a hit counts")
	flag.Float64Var(&c.rate, "rate", 1000, "hits a second")
	flag.IntVar(&c.most, "max", 20_000, "hits held at most")
	flag.Uint64Var(&c.seed, "seed", 1, "of the traffic")
	flag.BoolVar(&c.simulate, "simulate", false, "do not wait for the time to pass")
	flag.Parse()
	c.terminal = isTerminal(os.Stdout)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (c config) check() error {
	switch {
	case c.duration < 0 || c.duration == 0 && c.simulate:
		return errors.New("-duration must be positive, or 0 for a run that goes on until it is interrupted")
	case c.every < step:
		return fmt.Errorf("-every must be at least %v", step)
	case c.window <= 0:
		return errors.New("-window must be positive")
	case !(c.rate >= 0 && c.rate <= 1e6): // NaN is neither
		return errors.New("-rate must be between 0 and 1,000,000")
	case c.most < 1:
		return errors.New("-max must be at least 1")
	}
	return nil
}

// clock is where the program and its store have the time from.
type clock interface {
	now() time.Time
	sleep(ctx context.Context, until time.Time)
}

// wall is the real time.
type wall struct{}

func (wall) now() time.Time { return time.Now() }

func (wall) sleep(ctx context.Context, until time.Time) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// simulated is a time that passes when somebody waits for it.
type simulated struct{ ms atomic.Int64 }

func (c *simulated) now() time.Time { return time.UnixMilli(c.ms.Load()) }

func (c *simulated) sleep(_ context.Context, until time.Time) { c.ms.Store(until.UnixMilli()) }

// step is how often hits are stored: those of a step are one commit, and one
// evaluation of the queries.
const step = 50 * time.Millisecond

// program is one run.
type program struct {
	config
	clk    clock
	s      *store.Store
	a      *Analytics
	board  *store.Subscription[Dashboard]
	hits   *traffic
	second Second // the current one, so far
	screen screen
}

func run(ctx context.Context, out io.Writer, c config) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	p := &program{config: c, clk: wall{}, hits: newTraffic(c.seed, c.rate), screen: screen{out: out, terminal: c.terminal}}
	opt := store.Options{Name: "analytics", TTLInterval: 100 * time.Millisecond}
	if c.simulate {
		sim := &simulated{}
		sim.ms.Store(time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC).UnixMilli())
		p.clk, opt.TTLInterval = sim, -1 // a step itself deletes what has expired
	}
	opt.Clock = p.clk.now
	p.s, err = store.Open(ctx, opt)
	if err != nil {
		return err
	}
	// The context has ended if the program was interrupted; closing takes its time.
	defer func() { err = errors.Join(err, p.s.Close(context.WithoutCancel(ctx))) }()
	if p.a, err = NewAnalytics(ctx, p.s, c.window, c.most); err != nil {
		return err
	}
	if p.board, err = p.a.board.Subscribe(ctx, struct{}{}); err != nil {
		return err
	}
	defer p.board.Close()
	if err := p.loop(ctx); ctx.Err() == nil {
		return err
	}
	return nil // interrupted
}

// loop stores hits in every step, and draws from time to time.
func (p *program) loop(ctx context.Context) error {
	start, frame := p.clk.now(), p.every
	for at := step; p.duration == 0 || at <= p.duration; at += step {
		p.clk.sleep(ctx, start.Add(at))
		if err := p.store(ctx, at); err != nil {
			return err
		}
		if at < frame {
			continue
		}
		frame += p.every
		if err := p.draw(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// store is one step.
func (p *program) store(ctx context.Context, at time.Duration) error {
	if p.simulate {
		if _, err := p.s.PurgeTTL(ctx); err != nil {
			return err
		}
	}
	trouble := at > 3*time.Second && at < 6*time.Second
	batch, err := p.a.hits.InsertMany(ctx, p.hits.next(step, trouble))
	if err != nil {
		return err
	}
	p.second.Hits += len(batch)
	if at%time.Second != 0 {
		return nil
	}
	p.second.At = int(at / time.Second)
	_, err = p.a.seconds.Insert(ctx, p.second)
	p.second = Second{}
	return err
}

// draw shows the dashboard as it is at the newest commit.
func (p *program) draw(ctx context.Context, at time.Duration) error {
	if err := p.s.Settle(ctx); err != nil {
		return err
	}
	ev := p.board.Current()
	if ev.Err != nil {
		return ev.Err
	}
	st := p.s.Stats()
	return p.screen.draw(frame(ev.Result, footer{
		at: at, held: st.Records.PerBucket["hits"], most: p.most,
		expired: st.Expired.PerBucket["hits"], evicted: st.Evicted.PerBucket["hits"],
	}))
}
