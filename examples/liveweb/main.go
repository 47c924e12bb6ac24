// Command liveweb serves a page on which everybody sees the same tickets, and sees
// them change:
//
//	go run ./examples/liveweb                # then open http://127.0.0.1:8080 in two windows
//	go run ./examples/liveweb -addr :9000    # on all interfaces: there is no login, anybody may write
//
// server.go is the HTTP side of a live query, page.html is the page. ^C ends the
// program when all answers under way are given.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/noex-go/store"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// patience is how long a shutdown waits for answers under way.
const patience = 10 * time.Second

func run(ctx context.Context, addr string) (err error) {
	s, err := store.Open(ctx, store.Options{Name: "liveweb"})
	if err != nil {
		return err
	}
	// Last, when no handler uses the store any more. ctx has ended by then.
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	srv, err := NewServer(ctx, s)
	if err != nil {
		return err
	}
	if _, err := srv.tickets.InsertMany(ctx, []Ticket{
		{Subject: "The printer on the second floor is out of paper", Owner: "Ana"},
		{Subject: "No sound in meeting room 4", Owner: "Ben", Status: "waiting"},
		{Subject: "New laptop for Cleo", Status: "done"},
	}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", l.Addr())
	return serve(ctx, l, srv)
}

// serve answers requests until ctx ends, and then shuts down: no new ones, those
// under way complete, streams end.
func serve(ctx context.Context, l net.Listener, srv *Server) error {
	hs := &http.Server{
		Handler:           srv.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
		// No WriteTimeout: a stream has no end. It sets a deadline for each write.
	}
	hs.RegisterOnShutdown(srv.EndStreams) // Shutdown would wait for them for ever
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := hs.Shutdown(timeout)
	if err != nil {
		err = errors.Join(err, hs.Close())
	}
	<-served
	return err
}
