package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/noex-go/store"
)

//go:embed page.html
var page []byte

// Ticket is something that somebody wants done.
type Ticket struct {
	ID         int    `store:"id,key,generated=autoincrement" json:"id"`
	Subject    string `store:"subject,required,maxLength=80" json:"subject"`
	Owner      string `store:"owner,maxLength=30" json:"owner"`
	Status     string `store:"status,enum=open|waiting|done,default=open,index" json:"status"`
	store.Meta        // its Version tells a form that somebody else was faster
}

// most is how many tickets there are at most; the oldest ones leave. There is no
// login: without a bound, anybody could fill the memory.
const most = 200

// Server shows the tickets to browsers and lets them change them.
//
// Every browser holds one stream of server-sent events, which is one subscription
// to the live query "queue". All subscriptions share the query's result, and that
// result is the encoded page state: a commit costs one evaluation and one encoding,
// however many browsers look on. A subscription holds only the newest result, so a
// browser that is slow misses states in between, and holds up nobody.
type Server struct {
	s       *store.Store
	tickets *store.TypedBucket[Ticket]
	queue   *store.ReactiveQuery[struct{}, []byte]

	run       string        // of this process: commits of another one mean nothing here
	heartbeat time.Duration // how often a stream shows that it is alive
	stall     time.Duration // how long a write to a stream may take; less than patience, so that none holds up a shutdown

	streams context.Context // ends all of them
	end     context.CancelFunc
}

// state is what a browser gets.
type state struct {
	Tickets []Ticket       `json:"tickets"`
	Counts  map[string]int `json:"counts"` // by status
}

// NewServer defines the tickets in an empty store.
func NewServer(ctx context.Context, s *store.Store) (*Server, error) {
	v := &Server{s: s, run: rand.Text()[:8], heartbeat: 15 * time.Second, stall: patience / 2}
	v.streams, v.end = context.WithCancel(context.WithoutCancel(ctx))
	var err, err2 error
	v.tickets, err = store.Define[Ticket](ctx, s, "tickets", func(d *store.Definition) { d.MaxSize = most })
	v.queue, err2 = store.DefineQuery(s, "queue", v.read)
	return v, errors.Join(err, err2)
}

// read is the live query: the newest tickets first, as JSON.
func (v *Server) read(q *store.QueryCtx, _ struct{}) ([]byte, error) {
	tickets := v.tickets.In(q)
	list, err := tickets.OrderBy(store.Desc("id")).All()
	if err != nil {
		return nil, err
	}
	groups, err := tickets.GroupBy("status").Count()
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, g := range groups {
		counts[g.Key[0].(string)] = g.Value
	}
	return json.Marshal(state{list, counts})
}

// EndStreams ends all streams, now and later. Their browsers come back by
// themselves, to whoever listens then.
func (v *Server) EndStreams() { v.end() }

// Handler returns the server's routes.
func (v *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", v.page)
	mux.HandleFunc("GET /events", v.events)
	mux.HandleFunc("GET /stats", v.stats)
	mux.HandleFunc("POST /tickets", v.add)
	mux.HandleFunc("PATCH /tickets/{id}", v.change)
	mux.HandleFunc("DELETE /tickets/{id}", v.remove)
	// Forms of other sites cannot write here in the name of somebody's browser.
	return http.NewCrossOriginProtection().Handler(mux)
}

func (v *Server) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "+
		"connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	_, _ = w.Write(page)
}

// events is the stream of one browser. It lasts until the browser goes, the server
// shuts down, or a write takes too long; then the subscription is closed.
func (v *Server) events(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(v.streams, cancel)()
	sub, err := v.queue.Subscribe(ctx, struct{}{})
	if err != nil {
		fail(w, err)
		return
	}
	defer sub.Close()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of proxies
	ctl := http.NewResponseController(w)
	limit := func() error { return ctl.SetWriteDeadline(time.Now().Add(v.stall)) }
	defer func() { _ = limit() }() // of what ends the answer
	send := func(format string, args ...any) error {
		if err := limit(); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		return ctl.Flush()
	}
	known, again := v.seen(r)
	err = send("retry: 1000\n\n")
	for err == nil {
		var ev store.QueryEvent[[]byte]
		ev, err = v.next(ctx, sub)
		switch {
		case errors.Is(err, errQuiet):
			err = send(": still here\n\n")
		case err != nil: // gone, or shutting down
		case ev.Err != nil:
			err = send("event: problem\ndata: the tickets cannot be read\n\n") // the next commit may mend it
		case again && ev.Seq <= known: // nothing has changed while it was away
			again = false
		default:
			err = send("id: %s-%d\ndata: %s\n\n", v.run, ev.Seq, ev.Result)
		}
	}
}

// errQuiet is a subscription that has had no news for the time of a heartbeat.
var errQuiet = errors.New("no news")

func (v *Server) next(ctx context.Context, sub *store.Subscription[[]byte]) (store.QueryEvent[[]byte], error) {
	wait, cancel := context.WithTimeoutCause(ctx, v.heartbeat, errQuiet)
	defer cancel()
	ev, err := sub.Next(wait)
	if err != nil && context.Cause(wait) == errQuiet {
		err = errQuiet
	}
	return ev, err
}

// seen returns the commit whose state a browser has that connects again. The ids
// of events are the commits' sequences, behind the run that they belong to.
func (v *Server) seen(r *http.Request) (store.Seq, bool) {
	run, seq, _ := strings.Cut(r.Header.Get("Last-Event-ID"), "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	return store.Seq(n), err == nil && run == v.run
}

func (v *Server) add(w http.ResponseWriter, r *http.Request) {
	if !parse(w, r) {
		return
	}
	t := Ticket{Subject: field(r, "subject"), Owner: field(r, "owner"), Status: field(r, "status")}
	t, err := v.tickets.Insert(r.Context(), t)
	answer(w, http.StatusCreated, t, err)
}

// errStale is a form that was filled in from an older version of a ticket.
var errStale = errors.New("somebody else has changed this ticket meanwhile")

// change updates the fields that the form has. With a version, it does so only if
// the ticket still is at that version.
func (v *Server) change(w http.ResponseWriter, r *http.Request) {
	id, ok := key(w, r)
	if !ok || !parse(w, r) {
		return
	}
	t, err := v.tickets.Update(r.Context(), id, func(t *Ticket) error {
		if r.PostForm.Has("version") && field(r, "version") != fmt.Sprint(t.Version) {
			return errStale
		}
		for name, to := range map[string]*string{"subject": &t.Subject, "owner": &t.Owner, "status": &t.Status} {
			if r.PostForm.Has(name) {
				*to = field(r, name)
			}
		}
		return nil
	})
	answer(w, http.StatusOK, t, err)
}

// remove deletes a ticket; one that is gone already is no error.
func (v *Server) remove(w http.ResponseWriter, r *http.Request) {
	id, ok := key(w, r)
	if !ok {
		return
	}
	if err := v.tickets.Delete(r.Context(), id); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// stats tells what the browsers cost.
func (v *Server) stats(w http.ResponseWriter, _ *http.Request) {
	live, err := v.queue.Explain(struct{}{})
	answer(w, http.StatusOK, map[string]any{
		"commits": v.s.Stats().Commits, "browsers": live.Subscribers, "evaluations": live.Evaluations,
	}, err)
}

// parse reads a form of moderate size.
func parse(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		problem(w, http.StatusBadRequest, "the form cannot be read")
		return false
	}
	return true
}

func field(r *http.Request, name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }

func key(w http.ResponseWriter, r *http.Request) (int, bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		problem(w, http.StatusNotFound, "there is no such ticket")
	}
	return id, err == nil
}

func answer(w http.ResponseWriter, status int, v any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(v); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// fail answers with the status that an error of the store is.
func fail(w http.ResponseWriter, err error) {
	var invalid *store.ValidationError
	switch {
	case errors.As(err, &invalid):
		answer(w, http.StatusUnprocessableEntity, map[string]any{"issues": invalid.Issues}, nil)
	case errors.Is(err, errStale):
		problem(w, http.StatusConflict, errStale.Error())
	case errors.Is(err, store.ErrNotFound):
		problem(w, http.StatusNotFound, "this ticket is gone")
	case errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled):
		problem(w, http.StatusServiceUnavailable, "the server is shutting down")
	default:
		slog.Error("request failed", "error", err)
		problem(w, http.StatusInternalServerError, "something went wrong")
	}
}

// problem answers with a sentence for people.
func problem(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"problem": text}, nil)
}
