package store

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/noex-go/store/internal/table"
)

// server is the single writer of a bucket's table.
//
// Whoever holds mu is the writer. A caller that finds the bucket idle takes mu
// and runs its own request: measured, 50-77 ns against 350-500 ns for a hand-over
// to a goroutine and back. Callers that find it busy queue on reqs, and the
// bucket's goroutine takes them in groups, one publication for each group; while
// anybody queues, nobody overtakes. No user code runs here: a request is a
// prepared record, or a plan over records that were read.
//
// A panic inside a write (a defect of this library) takes the pending changes of
// the whole group back to the last published sequence, fails the request that
// caused it and repeats the others. If the goroutine itself dies, another one
// takes its place on the same state.
type server struct {
	b *bucket

	mu     sync.Mutex // held by the writer; guards the writer's side of the table
	closed bool       // under mu: no more requests

	// patient: each commit waits for a disk, so that requests had better come
	// together than at once. All go to the goroutine, which lets those who are about
	// to send do so. Set before the first request.
	patient bool

	pool   sync.Pool    // of *request
	queued atomic.Int32 // requests sent or about to be sent, not yet taken
	reqs   chan *request
	sweep  chan struct{} // a pin is gone, superseded versions may be cut
	quit   chan struct{} // closed by stop
	ended  chan struct{} // closed when the goroutine has returned for good

	restarts atomic.Int64
	holds    bool       // of the goroutine: it is the one that holds mu
	group    []*request // of the goroutine, under mu
	marks    []span     // scratch, under mu
	one      [1]*request
	ticket   ticket // scratch, under mu: its place in the queue for the log
}

// span is the pending changes of one request.
type span struct{ from, to int }

// groupMax bounds the requests that one publication covers.
const groupMax = 256

// step is one change that a request asks for.
type step struct {
	op      stepOp
	v       *table.Version // insert, update: the prepared record
	expect  *table.Version // update: the version that v follows; delete: see op
	touched uint64         // update: indexes whose key differs between the two
	text    string         // delete: the key
	word    int64
}

type stepOp uint8

const (
	opInsert stepOp = iota
	opUpdate        // expect must still be the newest version
	opDelete        // nothing there is fine
	opRemove        // expect must still be the newest version
	opExpire        // the next records that are due, up to expireBatch
	opClear         // every record
	opTrim          // nothing but what makes room
)

// request is what a caller asks of a bucket's writer: steps that happen all or
// not at all.
type request struct {
	step                     // the only step, if neither of the next two is set
	inserts []*table.Version // prepared records to insert
	many    []step           // steps of any kind
	since   uint64           // if not 0: fail with errStale if a commit from this sequence on touched the bucket
	due     Millis           // opExpire: now
	seq     uint64           // result: sequence of the commit, 0 if nothing changed
	count   int              // result: records that changed
	err     error
	state   atomic.Int32
	done    chan struct{}
}

const (
	reqWaiting = iota
	reqTaken
	reqCancelled
)

// newRequest takes a request from the server's pool. The pool is not shared by
// stores: a channel that was made in one testing/synctest bubble must not be
// used in another.
func (s *server) newRequest() *request {
	if r, ok := s.pool.Get().(*request); ok {
		return r
	}
	return &request{done: make(chan struct{}, 1)}
}

// free gives back a request that nobody else knows of.
func (s *server) free(r *request) {
	*r = request{done: r.done}
	s.pool.Put(r)
}

func newServer(b *bucket) *server {
	return &server{
		b:     b,
		reqs:  make(chan *request, groupMax),
		sweep: make(chan struct{}, 1),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
}

// do has a request carried out, by the caller itself if the bucket is idle. It
// returns false if ctx ended before the request was taken; then the request
// belongs to the queue and must not be used again.
func (s *server) do(ctx context.Context, r *request) bool {
	if !s.patient && s.queued.Load() == 0 && s.mu.TryLock() {
		s.runInline(r)
		return true
	}
	s.queued.Add(1)
	select {
	case s.reqs <- r:
	case <-ctx.Done():
		s.queued.Add(-1)
		r.err = ctx.Err()
		return true // it was never sent
	case <-s.quit:
		s.queued.Add(-1)
		r.err = s.b.gone()
		return true
	}
	select {
	case <-r.done:
		return true
	case <-ctx.Done():
		if r.state.CompareAndSwap(reqWaiting, reqCancelled) {
			return false
		}
		<-r.done // it was taken: a write that was taken completes
		return true
	case <-s.ended:
		select {
		case <-r.done:
		default:
			r.err = s.b.gone()
		}
		return true
	}
}

func (s *server) runInline(r *request) {
	defer s.mu.Unlock()
	s.one[0] = r
	s.run(s.one[:])
	s.one[0] = nil
}

// serve is the bucket's goroutine.
func (s *server) serve() {
	clean := false
	defer func() {
		if clean {
			close(s.ended)
			return
		}
		s.restart(recover())
	}()
	for {
		select {
		case r := <-s.reqs:
			s.take(r)
		case <-s.sweep:
			s.sweepAll()
		case <-s.quit:
			for {
				select {
				case r := <-s.reqs:
					s.take(r)
				default:
					clean = true
					return
				}
			}
		}
	}
}

// take runs a request and all that queue behind it, up to groupMax.
func (s *server) take(r *request) {
	if s.patient {
		s.gather()
	}
	s.lock()
	s.group = s.group[:0]
	for {
		if r.state.CompareAndSwap(reqWaiting, reqTaken) {
			s.group = append(s.group, r)
		}
		s.queued.Add(-1)
		if len(s.group) == groupMax {
			break
		}
		select {
		case r = <-s.reqs:
			continue
		default:
		}
		break
	}
	s.run(s.group)
	for i, r := range s.group {
		s.group[i] = nil
		r.done <- struct{}{}
	}
	s.group = s.group[:0]
	s.unlock()
}

// gather lets others run as long as more requests come of it: after a group, all
// who were in it are about to send the next one.
func (s *server) gather() {
	for n := -1; n < len(s.reqs) && len(s.reqs) < groupMax-1; {
		n = len(s.reqs)
		runtime.Gosched()
	}
}

// lock and unlock are the goroutine's own: it must know, should it die, whether
// it holds mu.
func (s *server) lock() {
	s.mu.Lock()
	s.holds = true
}

func (s *server) unlock() {
	s.holds = false
	s.mu.Unlock()
}

// borrow makes the caller the writer, ahead of those who would run inline, until
// it unlocks mu.
func (s *server) borrow() {
	if s.queued.Load() == 0 && s.mu.TryLock() {
		return
	}
	s.queued.Add(1)
	s.mu.Lock()
	s.queued.Add(-1)
}

// restart replaces a goroutine that died, of a panic or of runtime.Goexit.
func (s *server) restart(cause any) {
	if cause == nil {
		cause = "the goroutine ended"
	}
	dead := &Error{Op: "server", Bucket: s.b.name, Err: &PanicError{Value: cause, Stack: debug.Stack()}}
	if !s.holds {
		s.lock()
	}
	if s.b.table.Pending() {
		s.b.table.Recover()
		s.b.room.settle(false)
	}
	for i, r := range s.group {
		if r != nil {
			if r.seq == 0 || r.seq > s.b.store.pins.Published() { // else it was repeated and published
				r.err = dead
			}
			s.group[i] = nil
			r.done <- struct{}{}
		}
	}
	s.group = s.group[:0]
	s.restarts.Add(1)
	s.unlock()
	s.b.store.report("bucket server "+s.b.name, dead)
	s.b.store.workers.Go("bucket server "+s.b.name, s.serve)
}

// sweepAll cuts what waits for pins that are gone, in slices, so that writers
// get in between.
func (s *server) sweepAll() {
	for more := true; more; {
		s.lock()
		more = !s.closed && s.b.table.Sweep(1024)
		s.unlock()
	}
}

// nudge has the goroutine sweep, some time.
func (s *server) nudge() {
	select {
	case s.sweep <- struct{}{}:
	default:
	}
}

// stop refuses further requests, lets those that were taken complete, and has
// the goroutine end.
func (s *server) stop() {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		close(s.quit)
	}
}

// run carries out requests, as the writer. Each either leaves its changes
// pending or sets its err and leaves nothing; then all are published at once.
func (s *server) run(rs []*request) {
	t := s.b.table
	if s.closed {
		for _, r := range rs {
			r.err = s.b.gone()
		}
		return
	}
	if log := s.b.store.log; log != nil && log.failure() != nil {
		for _, r := range rs {
			r.err, r.seq, r.count = s.b.fail("commit", Key{}, log.failure()), 0, 0
		}
		return
	}
	s.marks = s.marks[:0]
	for i, r := range rs {
		from := t.Mark()
		if !s.apply(r) {
			// A panic: all that is pending is gone. The others start again, each on
			// its own.
			s.marks = s.marks[:0]
			for j, o := range rs {
				if j != i && (j > i || o.err == nil) {
					s.run(rs[j : j+1])
				}
			}
			return
		}
		s.marks = append(s.marks, span{from, t.Mark()})
	}
	if t.Mark() == 0 {
		return
	}
	err := s.b.store.commit(s.b, rs, s.marks)
	s.b.room.settle(err == nil)
	if err == nil {
		return
	}
	t.Undo(0)
	if err == errEntrySize && len(rs) > 1 { // which of them is too large shows when each goes alone
		for j := range rs {
			s.run(rs[j : j+1])
		}
		return
	}
	changed := false
	for i, r := range rs { // also those who saw what others of the group had done
		if m := s.marks[i]; changed || m.to > m.from {
			changed = true
			r.err, r.seq, r.count = s.b.fail("commit", Key{}, err), 0, 0
		}
	}
}

// apply carries out one request, up to publication. It returns false after a
// panic, when the table was taken back to the last published state.
func (s *server) apply(r *request) (ok bool) {
	t := s.b.table
	defer func() {
		if ok {
			return
		}
		p := recover()
		if p == nil {
			p = "the goroutine ended" // runtime.Goexit goes on after this
		}
		r.err = &Error{Op: "write", Bucket: s.b.name, Err: &PanicError{Value: p, Stack: debug.Stack()}}
		t.Recover()
		s.b.room.settle(false)
	}()
	if f := s.b.store.fault; f != nil {
		f(r)
	}
	r.err, r.count = nil, 0
	if r.since != 0 && (t.Last() >= r.since || t.Mark() > 0) {
		r.err = errStale
		return true
	}
	mark := t.Mark()
	if r.err = s.steps(r, nil); r.err == nil {
		r.count = t.Mark() - mark
		r.err = s.b.makeRoom(mark, func(gone map[*table.Version]bool) error { return s.steps(r, gone) })
	}
	if r.op == opTrim {
		r.count = t.Mark() - mark
	}
	if r.err != nil {
		t.Undo(mark)
		r.count = 0
	}
	if r.op == opExpire {
		s.b.room.lapsed += r.count
	}
	return true
}

// steps carries out all that a request asks for, but for the new versions that
// are gone: of those, inserts are left out, and updates are deletes.
func (s *server) steps(r *request, gone map[*table.Version]bool) error {
	if r.inserts != nil {
		for _, v := range r.inserts {
			if gone[v] {
				continue
			}
			if err := s.b.conflict(s.b.table.Insert(v), v); err != nil {
				return err
			}
		}
		return nil
	}
	if r.many == nil {
		return s.step(r, &r.step, gone)
	}
	for i := range r.many {
		if err := s.step(r, &r.many[i], gone); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) step(r *request, st *step, gone map[*table.Version]bool) error {
	t := s.b.table
	switch st.op {
	case opInsert:
		if gone[st.v] {
			return nil
		}
		return s.b.conflict(t.Insert(st.v), st.v)
	case opUpdate:
		at := t.HeadOf(st.v)
		if at.V != st.expect {
			return errStale
		}
		if gone[st.v] {
			t.Delete(at, uint8(ByEviction))
			return nil
		}
		return s.b.conflict(t.Update(at, st.v, st.touched), st.v)
	case opDelete, opRemove:
		at := s.head(st)
		if st.op == opRemove && at.V != st.expect {
			return errStale
		}
		if at.V != nil {
			t.Delete(at, uint8(ByUser))
		}
	case opExpire:
		n := 0
		t.Least(s.b.shape.expiry, func(at table.Ref) bool {
			if s.b.shape.meta(at.V).ExpiresAt > r.due {
				return false
			}
			t.Delete(at, uint8(ByExpiry))
			n++
			return n < expireBatch
		})
	case opClear:
		t.Clear()
	}
	return nil
}

func (s *server) head(st *step) table.Ref {
	if s.b.shape.textKey() {
		return s.b.table.HeadText(st.text)
	}
	return s.b.table.HeadWord(st.word)
}
