package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Tx is a transaction under way: a snapshot, the writes that were made in it, and
// what was read. Handles are bound to it by In; they read the snapshot through
// the transaction's own writes, with every kind of query, and their writes are
// checked at once and kept back until the commit.
//
// A transaction holds nothing while its function runs: no lock, no server. It
// blocks nobody, however long it takes; it only keeps the versions that its
// snapshot sees. Its methods and its handles may be used by several goroutines
// of the function; when that has returned they are refused.
type Tx struct {
	scope
	st  *Store
	iso isolation

	held      hold
	mu        sync.Mutex // protects what follows
	over      bool       // the function has returned: no more writes
	committed uint64     // the sequence of its commit; 0: none
	*txWork              // nil: given back
}

// TxOption changes how a transaction runs: [Retry], [SnapshotIsolation].
type TxOption interface{ applyTx(o txOptions) txOptions }

type txOptions struct {
	iso     isolation
	retries int
}

type isolation uint8

func (i isolation) applyTx(o txOptions) txOptions { o.iso = i; return o }

// SnapshotIsolation lets a transaction commit as long as nobody else has written
// what it writes, whatever it has read: no write is lost, but two transactions
// may each act on what the other one changes (write skew). The default is strict
// serializability.
const SnapshotIsolation isolation = 1

type retry int

func (n retry) applyTx(o txOptions) txOptions { o.retries = int(n); return o }

// Retry runs the function again, up to n times, when its transaction is in
// conflict with another one: at once, then after pauses that double, up to 10 ms,
// and are cut at random. It stops when the context ends.
func Retry(n int) TxOption { return retry(n) }

// Transaction runs fn in a transaction. If fn returns nil, all its writes become
// visible in one commit, in all buckets at once, provided that everything it has
// read is as it was; else nothing happens, and the error is returned. A panic of
// fn goes on to the caller and leaves nothing behind.
//
// Transactions are strictly serializable: each takes effect as if it ran alone,
// at a moment between its begin and its end. What a query did not find counts as
// read as well as what it found. A transaction that only reads never fails and
// never waits.
//
// fn must only use handles bound to tx for what belongs to the transaction. A
// write through another handle is a commit of its own, and so is a transaction
// inside fn: both are allowed, and wait for nothing that this one holds, but may
// bring it into conflict.
//
// DropBucket is no commit: what was read of a bucket that is dropped counts no
// more. Close waits for no transaction; its commit then gets ErrClosed.
//
// Errors: what fn returns; *ConflictError; *UniqueError for a value that another
// commit took since; ErrTxTooLarge; the context's error if it ended before the
// commit, which otherwise takes place whole.
func (st *Store) Transaction(ctx context.Context, fn func(tx *Tx) error, opts ...TxOption) error {
	_, err := InTransaction(ctx, st, func(tx *Tx) (struct{}, error) { return struct{}{}, fn(tx) }, opts...)
	return err
}

// InTransaction is [Store.Transaction] for a function that returns a value. With
// an error the value is the zero value of T.
func InTransaction[T any](ctx context.Context, st *Store, fn func(tx *Tx) (T, error), opts ...TxOption) (T, error) {
	var o txOptions
	for _, opt := range opts {
		o = opt.applyTx(o)
	}
	for try := 0; ; try++ {
		v, committed, err := attempt(ctx, st, fn, o)
		if err == nil {
			return v, nil
		}
		var none T
		if _, conflict := committed.(*ConflictError); !conflict || try >= o.retries {
			return none, err
		}
		st.tx.retries.Add(1)
		if err := pause(ctx, try); err != nil {
			return none, &Error{Op: "transaction", Err: err}
		}
	}
}

// attempt runs fn once and commits what it wrote. committed is the error of the
// commit itself: one that fn returned, of another transaction, is not retried.
func attempt[T any](ctx context.Context, st *Store, fn func(tx *Tx) (T, error), o txOptions) (v T, committed, err error) {
	if err := ctx.Err(); err != nil {
		return v, nil, &Error{Op: "transaction", Err: err}
	}
	if st.closed.Load() {
		return v, nil, &Error{Op: "transaction", Err: ErrClosed}
	}
	tx := st.beginTx(o.iso)
	returned := false
	defer func() { tx.end(returned) }() // also when fn panics
	v, err = fn(tx)
	if returned = true; err != nil {
		return v, nil, err
	}
	if err := ctx.Err(); err != nil {
		return v, nil, &Error{Op: "transaction", Err: err}
	}
	err = tx.commit()
	return v, err, err
}

func (st *Store) beginTx(iso isolation) *Tx {
	st.recent.enter()
	tx := &Tx{st: st, iso: iso, txWork: st.lendWork()}
	tx.held.brief = true
	st.hold(&tx.held, st.pins.Acquire())
	tx.scope = scope{hold: &tx.held, tx: tx}
	return tx
}

// end lets the snapshot go. Reads that are under way in other goroutines end
// first; new ones are refused. clean: what it has read and written can be given
// back, if nobody reads it.
func (tx *Tx) end(clean bool) {
	if !tx.over { // by nobody but this goroutine it is set
		tx.mu.Lock()
		tx.over = true
		tx.mu.Unlock()
	}
	tx.close()
	tx.st.leaveTx()
	if clean && tx.idle() && tx.txWork != nil {
		work := tx.txWork
		tx.txWork = nil
		tx.st.giveBack(work)
	}
}

// Seq is the commit whose state the transaction reads.
func (tx *Tx) Seq() Seq { return Seq(tx.pin.Seq) }

// Committed is the commit that the transaction has become, which the events of its
// writes carry: known when Transaction has returned, 0 before that, and for one
// that failed or wrote nothing. Under Retry each run has a Tx of its own, and only the
// last one commits. It may be called from any goroutine.
func (tx *Tx) Committed() Seq {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return Seq(tx.committed)
}

// The first pause after a conflict, and the longest.
const (
	minPause = 20 * time.Microsecond
	maxPause = 10 * time.Millisecond
)

// pause waits before another attempt. The first one needs no pause: who was in
// the way has committed.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	longest := min(minPause<<min(try, 16), maxPause)
	t := time.NewTimer(time.Duration(rand.Int64N(int64(longest)) + 1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
