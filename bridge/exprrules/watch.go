package exprrules

import (
	"bytes"
	"errors"
	"sync"
	"time"
)

// Watch loads a file, and then looks at it every so often: where its bytes have
// changed it is loaded again. One that is wrong, or gone, leaves the rules as they
// are, and is reported to Options.OnError, once. stop ends the watch; it is
// idempotent, and waits for nothing. Errors: those of the first load, with which no
// watch begins.
func (e *Engine) Watch(path string, every time.Duration) (stop func(), err error) {
	if every <= 0 {
		return nil, errors.New("exprrules: a file cannot be watched without an interval")
	}
	data, err := readFile(path)
	if err != nil {
		return nil, e.refused(&LoadError{File: path, Err: err})
	}
	if err := e.loadBytes(path, data); err != nil {
		return nil, err
	}
	w := &watch{e: e, path: path, every: every, last: data, over: make(chan struct{})}
	e.watches.Go("watch "+path, w.run)
	return w.stop, nil
}

// watch is a file that is watched.
type watch struct {
	e     *Engine
	path  string
	every time.Duration
	last  []byte // that were loaded, or reported; nil: it could not be read
	once  sync.Once
	over  chan struct{} // closed by stop
}

func (w *watch) stop() { w.once.Do(func() { close(w.over) }) }

func (w *watch) run() {
	through := false
	defer func() {
		if !through { // OnError has ended the goroutine
			w.e.watches.Go("watch "+w.path, w.run)
		}
	}()
	t := time.NewTicker(w.every)
	defer t.Stop()
	for {
		select {
		case <-w.over:
			through = true
			return
		case <-t.C:
			w.look()
		}
	}
}

// look loads the file if it has changed.
func (w *watch) look() {
	data, err := readFile(w.path)
	switch {
	case err != nil && w.last == nil:
		return
	case err != nil:
		w.last = nil
		w.e.report(w.e.refused(&LoadError{File: w.path, Err: err}))
		return
	case w.last != nil && bytes.Equal(data, w.last):
		return
	}
	w.last = data
	if data == nil {
		w.last = []byte{}
	}
	if err := w.e.loadBytes(w.path, data); err != nil {
		w.e.report(err)
	}
}
