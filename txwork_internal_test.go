package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// requireEmpty: all of a list's memory is zero, also what lies behind its end.
func requireEmpty[E any](t *testing.T, what string, list []E) {
	t.Helper()
	require.Empty(t, list, what)
	require.LessOrEqual(t, cap(list), txKeep, what)
	for _, e := range list[:cap(list)] {
		require.Zero(t, e, what)
	}
}

func requireEmptyWork(t *testing.T, w *txWork) {
	t.Helper()
	require.Zero(t, [...]int{int(w.ops), int(w.inserts), w.records, w.bytes})
	requireEmpty(t, "written", w.written)
	requireEmpty(t, "publish", w.publish)
	requireEmpty(t, "others", w.others)
	require.Empty(t, w.parts)
	for _, tb := range w.parts[:cap(w.parts)] {
		if tb == nil {
			continue
		}
		requireEmpty(t, "list", tb.list)
		requireEmpty(t, "log", tb.log)
		requireEmpty(t, "keys", tb.reads.keys)
		requireEmpty(t, "answers", tb.reads.answers)
		require.Empty(t, tb.uniques)
		require.Empty(t, tb.given)
		for _, s := range tb.spare {
			require.Equal(t, txWrite{}, *s)
		}
		rest := *tb
		rest.list, rest.log, rest.spare, rest.uniques, rest.given, rest.reads.keys, rest.reads.answers = nil, nil, nil, nil, nil, nil, nil
		require.Equal(t, txBucket{}, rest)
	}
}

// TestWorkComesBackEmpty: what a transaction has read and written goes to the next
// one without a trace of it, and the Tx, which a user may keep, cannot come to it.
func TestWorkComesBackEmpty(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{TxRecords: 200})
	require.NoError(t, err)
	var bs []*TypedBucket[txItem]
	for i := range 3 {
		bs = append(bs, txItems(t, st, fmt.Sprint("b", i)))
		for k := range 200 {
			_, err := bs[i].Insert(ctx, txItem{ID: fmt.Sprint(k), U: fmt.Sprint("u", k), N: k % 10})
			require.NoError(t, err)
		}
	}
	a := bs[0]
	wrong := errors.New("no")
	update := func(h *TypedBucket[txItem], id string) error {
		_, err := h.Update(ctx, id, func(i *txItem) error { i.N++; i.U += "x"; return nil })
		return err
	}
	for name, fn := range map[string]func(tx *Tx) error{
		"nothing": func(*Tx) error { return nil },
		"reads": func(tx *Tx) error {
			for k := range 100 {
				a.In(tx).Get(fmt.Sprint(k))
			}
			_, err := a.In(tx).Where(Eq("n", 3)).All()
			return err
		},
		"few writes": func(tx *Tx) error {
			for _, h := range bs {
				if err := errors.Join(update(h.In(tx), "1"), update(h.In(tx), "1"), h.In(tx).Delete(ctx, "2"), h.In(tx).Delete(ctx, "none")); err != nil {
					return err
				}
			}
			_, err := a.In(tx).Insert(ctx, txItem{ID: "2", U: "u2"})
			return err
		},
		"many writes": func(tx *Tx) error {
			for k := range 100 {
				if err := update(a.In(tx), fmt.Sprint(k)); err != nil {
					return err
				}
			}
			_, err := a.In(tx).Where(Gt("n", 2)).OrderBy(Asc("n")).All()
			return err
		},
		"nothing in the end": func(tx *Tx) error {
			_, err := a.In(tx).Insert(ctx, txItem{ID: "new"})
			return errors.Join(err, a.In(tx).Delete(ctx, "new"))
		},
		"refused": func(tx *Tx) error {
			_, err := a.In(tx).InsertMany(ctx, []txItem{{ID: "x1"}, {ID: "x2"}, {ID: "0"}})
			require.Error(t, err)
			_, err = a.In(tx).Patch(ctx, "150", Fields{"u": "u151"})
			require.Error(t, err)
			return wrong
		},
		"too large": func(tx *Tx) error {
			for k := range 201 {
				if _, err := a.In(tx).Upsert(ctx, txItem{ID: fmt.Sprint("t", k)}); err != nil {
					require.ErrorIs(t, err, ErrTxTooLarge)
					return err
				}
			}
			return nil
		},
		"conflict": func(tx *Tx) error {
			if err := update(a.In(tx), "9"); err != nil {
				return err
			}
			return update(a, "9")
		},
	} {
		for range 2 { // the second with what the first gives back, if the pool has it
			var kept *Tx
			var work *txWork
			_ = st.Transaction(ctx, func(tx *Tx) error {
				kept, work = tx, tx.txWork
				return fn(tx)
			})
			require.Nil(t, kept.txWork, name)
			requireEmptyWork(t, work)
			require.ErrorIs(t, update(a.In(kept), "1"), ErrTxDone, name)
			require.Panics(t, func() { a.In(kept).Get("1") }, name)
		}
	}

	var kept *Tx
	require.Panics(t, func() {
		_ = st.Transaction(ctx, func(tx *Tx) error {
			kept = tx
			panic("of the user")
		})
	})
	require.NotNil(t, kept.txWork, "who knows in what state a panic leaves it")
	require.ErrorIs(t, update(a.In(kept), "1"), ErrTxDone)
	require.NoError(t, st.Close(ctx))
}

// TestWorkOfThoseWhoAreLate: a read that goes on beyond the end of its transaction
// brings what it would have brought, whatever later transactions do with the memory
// that is given back; a write is refused.
func TestWorkOfThoseWhoAreLate(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	a := txItems(t, st, "a")
	for k := range 300 {
		_, err := a.Insert(ctx, txItem{ID: fmt.Sprint(k), N: k})
		require.NoError(t, err)
	}
	later := func() {
		for k := range 20 {
			require.NoError(t, st.Transaction(ctx, func(tx *Tx) error {
				_, err := a.In(tx).Patch(ctx, fmt.Sprint(k), Fields{"n": 7_000})
				return errors.Join(err, a.In(tx).Delete(ctx, fmt.Sprint(299-k)))
			}))
		}
	}
	var kept *Tx
	var next func() (txItem, bool)
	var stop func()
	var want []txItem
	calls, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	require.NoError(t, st.Transaction(ctx, func(tx *Tx) error {
		kept = tx
		h := a.In(tx)
		for k := range 300 {
			if k%3 == 0 {
				_, err := h.Patch(ctx, fmt.Sprint(k), Fields{"n": -k})
				require.NoError(t, err)
			}
		}
		want = slices.Collect(h.All())
		next, stop = iter.Pull(h.All())
		first, ok := next()
		require.True(t, ok)
		require.Equal(t, want[0], first)
		go func() {
			_, err := h.Update(ctx, "1", func(*txItem) error {
				close(calls)
				<-goOn
				return nil
			})
			done <- err
		}()
		<-calls
		return nil
	}))
	require.NotNil(t, kept.txWork, "somebody reads it")
	later()
	close(goOn)
	require.ErrorIs(t, <-done, ErrTxDone)
	got := want[:1:1]
	for item, ok := next(); ok; item, ok = next() {
		got = append(got, item)
	}
	stop()
	require.Equal(t, want, got)
	require.Positive(t, st.pins.Published())
	require.Empty(t, st.pins.Pinned(nil))
	require.NoError(t, a.home.of(nil).check())
	require.NoError(t, st.Close(ctx))
}

// TestRecentFollowsTheOldest: where there is always a transaction under way, the
// ring keeps what the oldest one needs and little more.
func TestRecentFollowsTheOldest(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	a := txItems(t, st, "a")
	write := func(n int) {
		_, err := a.Upsert(ctx, txItem{ID: "k", N: n})
		require.NoError(t, err)
	}
	write(0)
	one := st.beginTx(0)
	for i := range 5_000 {
		next := st.beginTx(0)
		write(i)
		one.end(true)
		one = next
		r := &st.recent
		require.LessOrEqual(t, len(r.commits)-r.first, minLook+1)
		commits, ok := r.since(one.pin.Seq)
		require.True(t, ok, "a commit that a transaction may collide with is gone")
		require.Len(t, commits, 1)
	}
	a.In(one).Get("k")
	for i := range 1_000 { // all of them are needed
		write(i)
	}
	commits, ok := st.recent.since(one.pin.Seq)
	require.True(t, ok)
	require.Len(t, commits, 1_001)
	_, err = a.In(one).Insert(ctx, txItem{ID: "new"})
	require.NoError(t, err)
	var ce *ConflictError
	require.ErrorAs(t, one.commit(), &ce)
	one.end(true)
	require.Empty(t, st.recent.commits)
	require.NoError(t, st.Close(ctx))
}

// TestLastTransactionHasItSwept: what versions wait for transactions that overlap is
// cut when the last of them has ended, without another commit.
func TestLastTransactionHasItSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st, err := Open(ctx, Options{})
		require.NoError(t, err)
		a, b := txItems(t, st, "a"), txItems(t, st, "b")
		one, other := st.beginTx(0), st.beginTx(0)
		for _, h := range []*TypedBucket[txItem]{a, b} {
			_, err = h.Insert(ctx, txItem{ID: "k"})
			require.NoError(t, err)
		}
		third := st.beginTx(0)
		for i := range 10 {
			_, err = a.Patch(ctx, "k", Fields{"n": i})
			require.NoError(t, err)
		}
		require.Equal(t, map[string]int{"a": 1}, st.Stats().Retained)
		require.True(t, st.pins.Waiting())
		third.end(true)
		one.end(true)
		synctest.Wait()
		other.end(true)
		synctest.Wait()
		require.Empty(t, st.Stats().Retained)
		require.False(t, st.pins.Waiting())
		require.NoError(t, st.Close(ctx))
	})
}

// TestDroppedBucketWaitsForNobody: what a snapshot held of a bucket that is dropped has
// nobody look for it for ever.
func TestDroppedBucketWaitsForNobody(t *testing.T) {
	ctx := t.Context()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	items := txItems(t, st, "items")
	_, err = items.Insert(ctx, txItem{ID: "k"})
	require.NoError(t, err)
	snap := st.Snapshot()
	_, err = items.Patch(ctx, "k", Fields{"n": 1})
	require.NoError(t, err)
	require.True(t, st.pins.Waiting())
	require.NoError(t, st.DropBucket(ctx, "items"))
	require.False(t, st.pins.Waiting())
	snap.Close()
	require.False(t, st.pins.Waiting())
	require.NoError(t, st.Close(ctx))
}

// TestOldestOfManyTransactions: the age of the oldest is right where some pins take
// a slot, which knows when that was, and others do not.
func TestOldestOfManyTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st, err := Open(ctx, Options{})
		require.NoError(t, err)
		var open []*Tx
		begin := func(n int) {
			for range n {
				open = append(open, st.beginTx(0))
			}
			time.Sleep(time.Second)
		}
		end := func(from, to int) {
			for _, tx := range open[from:to] {
				tx.end(true)
			}
		}
		begin(1)
		begin(300) // there are 256 slots at most
		begin(1)
		snap := st.Snapshot()
		time.Sleep(time.Second)
		require.Equal(t, 4*time.Second, st.Stats().OldestSnapshot)
		end(0, 1)
		require.Equal(t, 3*time.Second, st.Stats().OldestSnapshot)
		end(1, 301)
		require.Equal(t, 2*time.Second, st.Stats().OldestSnapshot)
		end(301, 302)
		require.Equal(t, time.Second, st.Stats().OldestSnapshot)
		l := txItems(t, st, "a").home.of(nil).acquire() // a short read is not of those
		snap.Close()
		require.Zero(t, st.Stats().OldestSnapshot)
		require.Len(t, st.pins.Pinned(nil), 1)
		st.pins.Release(l.pin)
		require.Empty(t, st.pins.Pinned(nil))
		require.NoError(t, st.Close(ctx))
	})
}
