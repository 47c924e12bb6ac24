package store

import (
	"context"
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
	l := newLoaded()
	tell := st.opt.Persistence.OnProgress
	if tell == nil {
		tell = func(LoadProgress) {}
	}
	if err := l.read(ctx, log, tell); err != nil {
		_ = log.Close() // the error of the load is the one to tell
		return nil, nil, err
	}
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
	if b.def.Volatile {
		return st.turn(tk)
	}
	stored, err := b.stored()
	if err != nil {
		return err
	}
	d := st.asleep[b.name]
	if d == nil {
		b.setLog(st.lastID+1, 1, stored)
		tk.begin()
		tk.buf = b.appendControl(tk.buf, false)
		tk.end()
		if err := st.turn(tk); err != nil {
			return err
		}
		st.lastID++
		return nil
	}
	b.setLog(d.id, d.version, stored)
	w, err := b.wake(d)
	if err != nil {
		return err
	}
	if !w.same {
		b.log.version++
		tk.begin()
		tk.buf = logentry.AppendArray(tk.buf, 1)
		tk.buf = b.log.appendTo(tk.buf, b.name, false)
		k := w.rewritten()
		tk.buf = logentry.AppendArray(tk.buf, 1)
		tk.buf = logentry.AppendArray(k.append(tk.buf, b), 0)
		tk.end()
	}
	tk.visible = func() {
		delete(st.asleep, b.name)
		st.buckets.Store(&all)
	}
	return st.log.commit(tk)
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
		b.dropped.Store(true)
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
	tk := &ticket{control: true, visible: func() { delete(st.asleep, d.name) }}
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

// close syncs and closes the log. A second call returns what the first one did.
func (w *logWriter) close() error {
	w.snapshots.Lock()
	defer w.snapshots.Unlock()
	if w.closed {
		return w.closeErr
	}
	w.closed = true
	if w.closeErr = w.log.Close(); w.closeErr == nil {
		w.closeErr = w.failure()
	}
	return w.closeErr
}

// stats tells of the log.
func (w *logWriter) stats(s *Stats) {
	p := &s.Persistence
	info := w.log.Info()
	p.Enabled, p.Position, p.Bytes, p.Recovery = true, info.Last, info.Bytes, info.Recovery
	p.Appends, p.Syncs, p.Failed = w.appends.Load(), w.syncs.Load(), w.failure()
	w.st.defMu.Lock()
	p.Undefined = slices.Sorted(maps.Keys(w.st.asleep))
	w.st.defMu.Unlock()
}
