package store

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/noex-go/store/internal/logentry"
)

// openLog opens the log, if there is to be one, and reads it.
func (st *Store) openLog(ctx context.Context) (Log, *loaded, error) {
	adapter := st.opt.Persistence.Adapter
	if adapter == nil {
		return nil, &loaded{}, nil
	}
	log, err := adapter.OpenLog(ctx)
	if err != nil {
		return nil, nil, err
	}
	l, done := newLoaded(), false
	defer func() {
		if !done { // OnProgress has panicked
			_ = log.Close()
		}
	}()
	tell := st.opt.Persistence.OnProgress
	if tell == nil {
		tell = func(LoadProgress) {}
	}
	if err := l.read(ctx, log, tell); err != nil {
		return nil, nil, err // rather than that of Close
	}
	done = true
	return log, l, nil
}

// startLog begins to write to a log that was read.
func (st *Store) startLog(log Log) {
	mode := st.opt.Persistence.Durability.every
	info := log.Info()
	if info.Durable {
		mode = syncNever
	}
	st.log = newLogWriter(st, log, mode)
	if mode > 0 {
		st.workers.Go("log sync", st.log.run)
	}
	if !info.Compact {
		st.workers.Go("log compaction", st.log.compaction)
	}
	if r := info.Recovery; r.TornBytes > 0 {
		st.opt.Logger.Warn("store: the log ended in the midst of a commit that was not synced", "store", st.opt.Name, "bytes", r.TornBytes, "kept", r.SetAside)
	}
}

// logDefinition takes a new bucket to the log and makes it visible; what the log
// has of it is in it then. Under defMu.
func (st *Store) logDefinition(b *bucket, all map[string]*bucket) error {
	tk := &ticket{control: true, visible: func() { st.buckets.Store(&all) }}
	d := (*st.asleep.Load())[b.name]
	switch {
	case b.def.Volatile && d != nil:
		return errors.New("the bucket is in the log: drop it before it is defined as volatile")
	case b.def.Volatile:
		return st.turn(tk)
	}
	stored, err := b.stored()
	if err != nil {
		return err
	}
	if d == nil {
		tk.visible = func() {
			st.lastID++
			st.buckets.Store(&all)
		}
		b.setLog(st.lastID+1, 1, stored)
		tk.begin()
		tk.buf = b.appendControl(tk.buf, false)
		tk.end()
		return st.turn(tk)
	}
	b.setLog(d.id, d.version, stored)
	w, err := b.wake(d)
	if err != nil {
		return err
	}
	if !w.same {
		b.log.version++
		tk.begin()
		tk.buf = b.appendRedefinition(tk.buf, w.aging)
		tk.end()
	}
	// Also under the same definition: a process that ended here may have written the
	// definition, but not all of the records.
	again := rewriting{b: b, tk: tk}
	for i, v := range w.rewrite.rows {
		again.add(v, w.rewrite.places[i])
	}
	again.flush()
	tk.visible = func() {
		st.wake(d)
		st.buckets.Store(&all)
	}
	return st.log.commit(tk)
}

// wake takes a bucket from those that are not defined.
func (st *Store) wake(d *dormant) {
	asleep := maps.Clone(*st.asleep.Load())
	delete(asleep, d.name)
	st.asleep.Store(&asleep)
}

// turn takes a ticket to the log, if there is one, and makes it visible.
func (st *Store) turn(tk *ticket) error {
	if st.log != nil {
		return st.log.commit(tk)
	}
	tk.visible()
	return nil
}

// logDrop takes the end of a bucket to the log, and makes it so. Under defMu; the
// bucket's server has stopped.
func (st *Store) logDrop(b *bucket) error {
	tk := &ticket{control: true, visible: func() {
		all := maps.Clone(*st.buckets.Load())
		delete(all, b.name)
		st.buckets.Store(&all)
		for was := b; was != nil; was = was.before.Load() {
			was.dropped.Store(true)
		}
	}}
	if b.log.id != 0 {
		tk.begin()
		tk.buf = b.appendControl(tk.buf, true)
		tk.end()
	}
	return st.turn(tk)
}

// dropAsleep drops a bucket of the log that is not defined. Under defMu.
func (st *Store) dropAsleep(d *dormant) error {
	tk := &ticket{control: true, visible: func() { st.wake(d) }}
	l := bucketLog{id: d.id, version: d.version, stored: d.definition}
	tk.begin()
	tk.buf = logentry.AppendArray(tk.buf, 1)
	tk.buf = l.appendTo(tk.buf, d.name, true)
	tk.buf = logentry.AppendArray(logentry.AppendArray(tk.buf, 0), 0)
	tk.end()
	if err := st.log.commit(tk); err != nil {
		return &Error{Op: "drop", Bucket: d.name, Err: err}
	}
	return nil
}

// close syncs and closes the log, when nobody appends to it any more.
func (w *logWriter) close() {
	w.snapshots.Lock()
	defer w.snapshots.Unlock()
	w.closed = true
	w.closeErr = errLogClose                                             // unless it comes back
	if seq := w.st.pins.Published(); seq > w.seq && w.failure() == nil { // of volatile buckets
		if err := w.append([][]byte{emptyEntry(w.session, seq)}); err != nil {
			w.fail(err)
		}
	}
	if err := w.log.Close(); err != nil {
		w.closeErr = err
	} else {
		w.closeErr = w.failure()
	}
}

var errLogClose = errors.New("the log's Close did not return")

// stats tells of the log.
func (w *logWriter) stats(s *Stats) {
	p := &s.Persistence
	info := w.log.Info()
	p.Enabled, p.Position, p.Bytes, p.Recovery = true, info.Last, info.Bytes, info.Recovery
	p.Appends, p.Syncs, p.Failed = w.appends.Load(), w.syncs.Load(), w.failure()
	p.Undefined = slices.Sorted(maps.Keys(*w.st.asleep.Load()))
}
