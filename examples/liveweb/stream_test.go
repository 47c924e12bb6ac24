package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func newServer(t testing.TB) *Server {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	v, err := NewServer(context.Background(), s)
	require.NoError(t, err)
	_, err = v.tickets.InsertMany(context.Background(), []Ticket{{Subject: "one"}, {Subject: "two"}})
	require.NoError(t, err)
	return v
}

// event is one event of a stream, or a comment.
type event struct {
	id, data, comment string
	seq               store.Seq // in the id
}

func (e event) state(t testing.TB) (st state) {
	require.NoError(t, json.Unmarshal([]byte(e.data), &st))
	return st
}

// browser reads a stream as a browser does.
type browser struct {
	body io.ReadCloser
	in   *bufio.Reader
}

// visit opens a stream, as one that has seen the event last before.
func visit(ctx context.Context, c *http.Client, url, last string) (*browser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
	if err != nil {
		return nil, err
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		return nil, fmt.Errorf("status %d, type %q", resp.StatusCode, got)
	}
	return &browser{resp.Body, bufio.NewReader(resp.Body)}, nil
}

// next reads an event or a comment.
func (b *browser) next() (event, error) {
	var e event
	for {
		line, err := b.in.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && e != event{}:
			return e, nil
		case name == "id":
			e.id = value
			_, text, _ := strings.Cut(value, "-")
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return e, err
			}
			e.seq = store.Seq(n)
		case name == "data":
			e.data = value
		case name == "":
			e.comment = value
		}
	}
}

// TestThousandBrowsers holds that the number of browsers costs no evaluation: one
// for each commit, and all of them get the last state.
func TestThousandBrowsers(t *testing.T) {
	const browsers, commits = 1000, 20
	v := newServer(t)
	hs := httptest.NewServer(v.Handler())
	defer hs.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	client := &http.Client{Transport: &http.Transport{}}

	last := v.s.Stats().Commits + commits // of the commits below
	here, done := make(chan error), make(chan error)
	for range browsers {
		go func() {
			b, err := visit(ctx, client, hs.URL, "")
			if err != nil {
				here <- err
				return
			}
			e, err := b.next()
			here <- err
			for err == nil && e.seq < last {
				e, err = b.next()
			}
			if n := strings.Count(e.data, `"subject"`); err == nil && n != 2+commits {
				err = fmt.Errorf("%d tickets", n)
			}
			done <- err
		}()
	}
	for range browsers {
		require.NoError(t, <-here)
	}
	live, err := v.queue.Explain(struct{}{})
	require.NoError(t, err)
	require.Equal(t, browsers, live.Subscribers)
	require.EqualValues(t, 1, live.Evaluations)
	for i := range commits {
		_, err := v.tickets.Insert(t.Context(), Ticket{Subject: fmt.Sprint("ticket ", i)})
		require.NoError(t, err)
		require.NoError(t, v.s.Settle(t.Context()))
		live, err := v.queue.Explain(struct{}{})
		require.NoError(t, err)
		require.EqualValues(t, 2+i, live.Evaluations, "one for each commit")
	}
	for range browsers {
		require.NoError(t, <-done)
	}
	require.EqualValues(t, 1+commits, v.s.Stats().Queries.Evaluations)

	leave()
	hs.Close() // waits for the handlers
	require.Zero(t, v.s.Stats().Queries.ActiveSubscriptions)
}

// pipes is a network within the process, without buffers: a write waits for its
// reader, so that a browser that does not read is exactly that.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case p.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}

// bubble runs a test with a served Server, in a time of its own. When it is over
// the server shuts down, with whatever streams are still open.
func bubble(t *testing.T, test func(t *testing.T, v *Server, c *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		v := newServer(t)
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- serve(ctx, l, v) }()
		c := l.client()
		test(t, v, c)
		stop()
		require.NoError(t, <-served)
		c.CloseIdleConnections()
		require.Zero(t, v.s.Stats().Queries.ActiveSubscriptions)
	})
}

const site = "http://liveweb"

// TestShutdownEndsStreams: without EndStreams the shutdown would wait for them. The
// answer of one that reads comes to its proper end; one that does not is cut off.
func TestShutdownEndsStreams(t *testing.T) {
	var end error
	bubble(t, func(t *testing.T, v *Server, c *http.Client) {
		b, err := visit(t.Context(), c, site, "")
		require.NoError(t, err)
		go func() {
			for end == nil {
				_, end = b.next()
			}
		}()
		_, err = visit(t.Context(), c, site, "")
		require.NoError(t, err)
		time.Sleep(v.heartbeat + v.heartbeat/2) // deadlines of earlier writes have passed, in the bubble's time
	})
	require.Equal(t, io.EOF, end)
}

func TestHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, v *Server, c *http.Client) {
		b, err := visit(t.Context(), c, site, "")
		require.NoError(t, err)
		first, err := b.next()
		require.NoError(t, err)
		require.NotEmpty(t, first.data)
		begin := time.Now()
		for i := range 3 {
			e, err := b.next()
			require.NoError(t, err)
			require.Equal(t, event{comment: "still here"}, e)
			require.Equal(t, time.Duration(i+1)*v.heartbeat, time.Since(begin))
		}
	})
}

// TestDisconnect: a browser that goes leaves nothing behind.
func TestDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, v *Server, c *http.Client) {
		stay, err := visit(t.Context(), c, site, "")
		require.NoError(t, err)
		_, err = stay.next()
		require.NoError(t, err)
		for range 10 {
			ctx, leave := context.WithCancel(t.Context())
			b, err := visit(ctx, c, site, "")
			require.NoError(t, err)
			_, err = b.next()
			require.NoError(t, err)
			require.Equal(t, 2, v.s.Stats().Queries.ActiveSubscriptions)
			leave()
			synctest.Wait()
			require.Equal(t, 1, v.s.Stats().Queries.ActiveSubscriptions)
		}
		_, err = v.tickets.Insert(t.Context(), Ticket{Subject: "three"})
		require.NoError(t, err)
		e, err := stay.next()
		require.NoError(t, err)
		require.Len(t, e.state(t).Tickets, 3)
	})
}

// TestSlowBrowser: one that does not read for a while gets the newest state then,
// and not the hundred in between; nobody waits for it meanwhile.
func TestSlowBrowser(t *testing.T) {
	bubble(t, func(t *testing.T, v *Server, c *http.Client) {
		slow, err := visit(t.Context(), c, site, "")
		require.NoError(t, err)
		_, err = slow.next()
		require.NoError(t, err)
		quick, err := visit(t.Context(), c, site, "")
		require.NoError(t, err)
		_, err = quick.next()
		require.NoError(t, err)
		for i := range 100 {
			_, err := v.tickets.Insert(t.Context(), Ticket{Subject: fmt.Sprint("ticket ", i)})
			require.NoError(t, err)
			e, err := quick.next()
			require.NoError(t, err)
			require.Len(t, e.state(t).Tickets, 3+i)
		}
		events := 0
		for n := 0; n < 102; events++ {
			e, err := slow.next()
			require.NoError(t, err)
			n = len(e.state(t).Tickets)
		}
		require.Less(t, events, 10)
	})
}

// TestStalledBrowser: one that never reads loses its stream.
func TestStalledBrowser(t *testing.T) {
	bubble(t, func(t *testing.T, v *Server, c *http.Client) {
		b, err := visit(t.Context(), c, site, "")
		require.NoError(t, err)
		_, err = b.next()
		require.NoError(t, err)
		for i := range 100 {
			_, err := v.tickets.Insert(t.Context(), Ticket{Subject: fmt.Sprint(i, strings.Repeat("!", 70))})
			require.NoError(t, err)
			require.NoError(t, v.s.Settle(t.Context()))
		}
		require.Equal(t, 1, v.s.Stats().Queries.ActiveSubscriptions)
		time.Sleep(v.stall + v.heartbeat) // in the bubble's time
		synctest.Wait()
		require.Zero(t, v.s.Stats().Queries.ActiveSubscriptions)
	})
}

// TestComeBack: who connects again with the id of its last event gets what it has
// missed, if it has.
func TestComeBack(t *testing.T) {
	bubble(t, func(t *testing.T, v *Server, c *http.Client) {
		come := func(last string) event {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			b, err := visit(ctx, c, site, last)
			require.NoError(t, err)
			e, err := b.next()
			require.NoError(t, err)
			return e
		}
		old := come("")
		require.NotEmpty(t, old.data)
		require.Equal(t, event{comment: "still here"}, come(old.id), "nothing was missed")
		_, err := v.tickets.Insert(t.Context(), Ticket{Subject: "three"})
		require.NoError(t, err)
		e := come(old.id)
		require.Len(t, e.state(t).Tickets, 3)
		require.Greater(t, e.seq, old.seq)
		require.Equal(t, event{comment: "still here"}, come(e.id))
		// Not from here: of another run, or no id at all.
		for _, id := range []string{"another-" + strconv.Itoa(int(e.seq)), v.run, v.run + "-", v.run + "-x", "-1", "99", strings.Repeat("9", 5000)} {
			require.Equal(t, e, come(id), id)
		}
	})
}

// BenchmarkThousandBrowsers measures a commit until all browsers have read it.
func BenchmarkThousandBrowsers(b *testing.B) {
	const browsers = 1000
	v := newServer(b)
	hs := httptest.NewServer(v.Handler())
	defer hs.Close()
	ctx, leave := context.WithCancel(b.Context())
	defer leave()
	client := &http.Client{Transport: &http.Transport{}}
	got := make(chan store.Seq, browsers)
	for range browsers {
		br, err := visit(ctx, client, hs.URL, "")
		require.NoError(b, err)
		_, err = br.next()
		require.NoError(b, err)
		go func() {
			for {
				e, err := br.next()
				if err != nil {
					return // left
				}
				got <- e.seq
			}
		}()
	}
	before := v.s.Stats()
	n := 0
	for b.Loop() {
		n++
		_, err := v.tickets.Patch(ctx, 1, store.Fields{"subject": fmt.Sprint("change ", n)})
		require.NoError(b, err)
		for want, have := v.s.Stats().Commits, 0; have < browsers; {
			if <-got == want {
				have++
			}
		}
	}
	after := v.s.Stats()
	commits := float64(after.Commits - before.Commits)
	b.ReportMetric(float64(after.Queries.Evaluations-before.Queries.Evaluations)/commits, "evaluations/commit")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/commits/browsers, "ns/browser")
}
