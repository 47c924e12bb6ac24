package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// txIn is a store with two buckets of accounts: in the first one k0 to k9, the even
// ones in the north, with balances 0, 10, 20, ...; the second one is empty.
func txIn(t *testing.T, opt store.Options) (*store.Store, *store.TypedBucket[txAccount], *store.TypedBucket[txAccount]) {
	t.Helper()
	s := openStore(t, opt)
	a, err := store.Define[txAccount](t.Context(), s, "a")
	require.NoError(t, err)
	b, err := store.Define[txAccount](t.Context(), s, "b")
	require.NoError(t, err)
	fillAccounts(t, a)
	return s, a, b
}

func fillAccounts(t *testing.T, a *store.TypedBucket[txAccount]) {
	t.Helper()
	require.NoError(t, a.Clear(t.Context()))
	var list []txAccount
	for i := range 10 {
		region := "north"
		if i%2 == 1 {
			region = "south"
		}
		list = append(list, txAccount{ID: fmt.Sprint("k", i), Owner: fmt.Sprint("o", i), Region: region, Balance: 10 * i})
	}
	_, err := a.InsertMany(t.Context(), list)
	require.NoError(t, err)
}

// unused checks that nothing is left of transactions.
func unused(t *testing.T, s *store.Store) {
	t.Helper()
	require.NoError(t, store.CheckTables(s))
	require.Zero(t, s.Stats().Transactions.Active)
	require.Zero(t, s.Stats().Snapshots)
	require.Zero(t, s.Stats().OldestSnapshot)
	until(t, "nothing retained", func() bool { return len(s.Stats().Retained) == 0 })
}

func conflictOf(t *testing.T, err error) *store.ConflictError {
	t.Helper()
	var c *store.ConflictError
	require.ErrorAs(t, err, &c)
	return c
}

func uniqueOf(t *testing.T, err error) *store.UniqueError {
	t.Helper()
	var u *store.UniqueError
	require.ErrorAs(t, err, &u)
	return u
}

// TestTransactionRefusesAtOnce: a write that cannot be fails where it is made, and
// leaves the write set as it was.
func TestTransactionRefusesAtOnce(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	dyn, err := s.Bucket("a")
	require.NoError(t, err)
	err = s.Transaction(ctx, func(tx *store.Tx) error {
		h, d := a.In(tx), dyn.In(tx)
		_, err := h.Insert(ctx, txAccount{ID: "mine", Owner: "me", Region: "east"})
		require.NoError(t, err)
		var ve *store.ValidationError
		_, err = d.Insert(ctx, store.Fields{"id": "x", "balance": "no number"})
		require.ErrorAs(t, err, &ve)
		_, err = d.Update(ctx, "mine", store.Fields{"balance": "no number"})
		require.ErrorAs(t, err, &ve)
		_, err = d.UpdateMany(ctx, store.Fields{"balance": "no number"})
		require.ErrorAs(t, err, &ve)
		_, err = h.Insert(ctx, txAccount{ID: "k0"})
		require.Equal(t, "id", uniqueOf(t, err).Field)
		_, err = h.InsertMany(ctx, []txAccount{{ID: "x1"}, {ID: "x2"}, {ID: "mine"}})
		require.Equal(t, "id", uniqueOf(t, err).Field)
		_, err = h.InsertMany(ctx, []txAccount{{ID: "x1", Owner: "new"}, {ID: "x2", Owner: "new"}})
		require.Equal(t, "owner", uniqueOf(t, err).Field)
		_, err = h.UpdateMany(ctx, store.Fields{"owner": "all"}, store.Eq("region", "north"))
		require.Equal(t, "owner", uniqueOf(t, err).Field)
		_, err = h.Update(ctx, "k0", func(u *txAccount) error { u.Balance = 99; return errTxModel })
		require.ErrorIs(t, err, errTxModel)
		var pe *store.PanicError
		_, err = h.Update(ctx, "k0", func(*txAccount) error { panic("of the update") })
		require.ErrorAs(t, err, &pe)
		_, err = h.Patch(ctx, "nobody", store.Fields{})
		require.ErrorIs(t, err, store.ErrNotFound)
		n, err := h.Count()
		require.NoError(t, err)
		require.Equal(t, 11, n)
		for i := range 10 {
			got, ok := h.Get(fmt.Sprint("k", i))
			require.True(t, ok)
			require.Equal(t, fmt.Sprint("o", i), got.Owner)
			require.Equal(t, store.Version(1), got.Version)
		}
		_, err = h.Insert(ctx, txAccount{ID: "x1", Owner: "new"}) // nobody has it
		return err
	})
	require.NoError(t, err)
	n, err := a.Count()
	require.NoError(t, err)
	require.Equal(t, 12, n)
	unused(t, s)
}

// TestTransactionUnique: unique values are checked against the snapshot and the
// transaction's own writes at once, and against others at the commit.
func TestTransactionUnique(t *testing.T) {
	ctx := t.Context()
	for name, test := range map[string]struct {
		fn     func(h *store.TypedBucket[txAccount]) error
		beside func(a *store.TypedBucket[txAccount]) error
		field  string
		owners map[string]string
	}{
		"taken in the snapshot": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.Insert(ctx, txAccount{ID: "x", Owner: "o1"})
				return err
			},
			field: "owner", owners: map[string]string{"k1": "o1"},
		},
		"taken by an own insert": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.Insert(ctx, txAccount{ID: "x", Owner: "new"})
				require.NoError(t, err)
				_, err = h.Patch(ctx, "k1", store.Fields{"owner": "new"})
				return err
			},
			field: "owner", owners: map[string]string{"k1": "o1"},
		},
		"freed by an own delete": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				require.NoError(t, h.Delete(ctx, "k1"))
				_, err := h.Patch(ctx, "k2", store.Fields{"owner": "o1"})
				return err
			},
			owners: map[string]string{"k1": "", "k2": "o1"},
		},
		"freed by an own update": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.Patch(ctx, "k1", store.Fields{"owner": "other"})
				require.NoError(t, err)
				_, err = h.Insert(ctx, txAccount{ID: "x", Owner: "o1"})
				return err
			},
			owners: map[string]string{"k1": "other", "x": "o1"},
		},
		"freed and taken again": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.Patch(ctx, "k1", store.Fields{"owner": "other"})
				require.NoError(t, err)
				_, err = h.Insert(ctx, txAccount{ID: "x", Owner: "o1"})
				require.NoError(t, err)
				_, err = h.Patch(ctx, "k1", store.Fields{"owner": "o1"})
				return err
			},
			field: "owner", owners: map[string]string{"k1": "o1"},
		},
		"swapped": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				for _, step := range [][2]string{{"k1", "between"}, {"k2", "o1"}, {"k1", "o2"}} {
					_, err := h.Patch(ctx, step[0], store.Fields{"owner": step[1]})
					require.NoError(t, err)
				}
				return nil
			},
			owners: map[string]string{"k1": "o2", "k2": "o1"},
		},
		"a refused write frees nothing": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.InsertMany(ctx, []txAccount{{ID: "x", Owner: "new"}, {ID: "y", Owner: "o1"}})
				uniqueOf(t, err)
				_, err = h.Patch(ctx, "k2", store.Fields{"owner": "o1"})
				uniqueOf(t, err)
				_, err = h.Insert(ctx, txAccount{ID: "z", Owner: "new"})
				return err
			},
			owners: map[string]string{"k1": "o1", "k2": "o2", "x": "", "z": "new"},
		},
		"taken by another commit": {
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.Insert(ctx, txAccount{ID: "x", Owner: "new"})
				require.NoError(t, err)
				return err
			},
			beside: func(a *store.TypedBucket[txAccount]) error {
				_, err := a.Insert(ctx, txAccount{ID: "y", Owner: "new"})
				return err
			},
			field: "owner", owners: map[string]string{"y": "new", "x": ""},
		},
		"freed by another commit": { // it was taken when the transaction began
			fn: func(h *store.TypedBucket[txAccount]) error {
				_, err := h.Insert(ctx, txAccount{ID: "x", Owner: "o3"})
				return err
			},
			beside: func(a *store.TypedBucket[txAccount]) error { return a.Delete(ctx, "k3") },
			field:  "owner", owners: map[string]string{"x": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, a, _ := txIn(t, store.Options{})
			seq := s.Stats().Commits
			err := s.Transaction(ctx, func(tx *store.Tx) error {
				err := test.fn(a.In(tx))
				if test.beside != nil {
					seq++
					require.NoError(t, test.beside(a))
				}
				return err
			})
			if test.field == "" {
				require.NoError(t, err)
				seq++
			} else {
				require.Equal(t, test.field, uniqueOf(t, err).Field)
			}
			require.Equal(t, seq, s.Stats().Commits)
			for id, owner := range test.owners {
				got, _ := a.Get(id)
				require.Equal(t, owner, got.Owner, id)
			}
			unused(t, s)
		})
	}
}

// TestTransactionWriteConflicts: what a transaction writes must be as it found it.
func TestTransactionWriteConflicts(t *testing.T) {
	ctx := t.Context()
	patch := func(h *store.TypedBucket[txAccount]) error {
		_, err := h.Patch(ctx, "k1", store.Fields{"balance": 1})
		return err
	}
	remove := func(h *store.TypedBucket[txAccount]) error { return h.Delete(ctx, "k1") }
	insert := func(h *store.TypedBucket[txAccount]) error {
		_, err := h.Insert(ctx, txAccount{ID: "new", Balance: 7})
		return err
	}
	again := func(h *store.TypedBucket[txAccount]) error {
		require.NoError(t, h.Delete(ctx, "k1"))
		_, err := h.Insert(ctx, txAccount{ID: "k1", Balance: 5})
		return err
	}
	for _, test := range []struct {
		name           string
		inside, beside func(h *store.TypedBucket[txAccount]) error
		key, field     string
	}{
		{"update, updated", patch, patch, "k1", "balance"},
		{"update, deleted", patch, remove, "k1", ""},
		{"update, deleted and inserted", patch, again, "k1", ""},
		{"delete, updated", remove, patch, "k1", "balance"},
		{"delete, deleted", remove, remove, "k1", ""},
		{"anew, updated", again, patch, "k1", "balance"},
		{"insert, inserted", insert, insert, "new", ""},
	} {
		for _, opts := range [][]store.TxOption{nil, {store.SnapshotIsolation}} {
			t.Run(fmt.Sprint(test.name, " ", opts), func(t *testing.T) {
				s, a, b := txIn(t, store.Options{})
				err := s.Transaction(ctx, func(tx *store.Tx) error {
					require.NoError(t, test.inside(a.In(tx)))
					require.NoError(t, test.beside(a))
					_, err := b.In(tx).Insert(ctx, txAccount{ID: "w"})
					return err
				}, opts...)
				if opts != nil && test.key == "new" { // nobody has read that the key was free
					require.Equal(t, "id", uniqueOf(t, err).Field)
				} else {
					c := conflictOf(t, err)
					if opts != nil && test.field == "" { // two versions are all there is to compare
						c.Field = ""
					}
					require.Equal(t, store.ConflictError{Bucket: "a", Key: store.StringKey(test.key), Field: test.field}, *c)
					require.EqualValues(t, 1, s.Stats().Transactions.Conflicts)
				}
				n, err := b.Count()
				require.NoError(t, err)
				require.Zero(t, n)
				unused(t, s)
			})
		}
	}
}

// TestTransactionRetry: the function runs again as often as was said, and no more
// when the context has ended.
func TestTransactionRetry(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	runs, disturb := 0, 3
	ctx := t.Context()
	fn := func(tx *store.Tx) error {
		runs++
		u, _ := a.In(tx).Get("k1")
		if runs <= disturb {
			_, err := a.Patch(ctx, "k1", store.Fields{"balance": u.Balance + 1})
			require.NoError(t, err)
		}
		_, err := a.In(tx).Patch(ctx, "k1", store.Fields{"balance": u.Balance + 100})
		return err
	}
	conflictOf(t, s.Transaction(ctx, fn))
	require.Equal(t, 1, runs)
	runs = 0
	require.NoError(t, s.Transaction(ctx, fn, store.Retry(3)))
	require.Equal(t, 4, runs)
	u, _ := a.Get("k1")
	require.Equal(t, 10+1+3+100, u.Balance)
	runs, disturb = 0, 100
	conflictOf(t, s.Transaction(ctx, fn, store.Retry(2)))
	require.Equal(t, 3, runs)
	stats := s.Stats().Transactions
	require.EqualValues(t, 1, stats.Commits)
	require.EqualValues(t, 1+3+3, stats.Conflicts)
	require.EqualValues(t, 3+2, stats.Retries)
	unused(t, s)
}

// TestTransactionRetryStops: a context that ends between attempts is its error.
func TestTransactionRetryStops(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		runs++
		a.In(tx).Get("k1")
		if _, err := a.In(tx).Patch(t.Context(), "k1", store.Fields{"balance": 1}); err != nil {
			return err
		}
		if runs == 3 {
			cancel()
		}
		_, err := a.Patch(t.Context(), "k1", store.Fields{"balance": 2})
		return err
	}, store.Retry(1000))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, runs)
	unused(t, s)
}

// TestSnapshotIsolation: no update is lost, but two transactions may each act on
// what the other one changes.
func TestSnapshotIsolation(t *testing.T) {
	for _, opts := range [][]store.TxOption{nil, {store.SnapshotIsolation}} {
		s, a, _ := txIn(t, store.Options{})
		ctx := t.Context()
		skew := s.Transaction(ctx, func(tx *store.Tx) error {
			other, _ := a.In(tx).Get("k1")
			_, err := a.In(tx).Count(store.Eq("region", "south"))
			require.NoError(t, err)
			_, err = a.Patch(ctx, "k1", store.Fields{"balance": 1000})
			require.NoError(t, err)
			_, err = a.In(tx).Patch(ctx, "k2", store.Fields{"balance": other.Balance})
			return err
		}, opts...)
		if opts == nil {
			require.Equal(t, store.StringKey("k1"), conflictOf(t, skew).Key)
		} else {
			require.NoError(t, skew)
		}
		lost := s.Transaction(ctx, func(tx *store.Tx) error {
			u, _ := a.In(tx).Get("k3")
			_, err := a.Patch(ctx, "k3", store.Fields{"balance": u.Balance + 1})
			require.NoError(t, err)
			_, err = a.In(tx).Patch(ctx, "k3", store.Fields{"balance": u.Balance + 1})
			return err
		}, opts...)
		conflictOf(t, lost)
		unused(t, s)
	}
}

// TestReadOnlyTransactionNeverFails: also one that takes back all that it wrote.
func TestReadOnlyTransactionNeverFails(t *testing.T) {
	s, a, _ := txIn(t, store.Options{RecentCommits: 2})
	ctx := t.Context()
	for _, write := range []bool{false, true} {
		fillAccounts(t, a)
		n, err := store.InTransaction(ctx, s, func(tx *store.Tx) (int, error) {
			if write {
				_, err := a.In(tx).Insert(ctx, txAccount{ID: "k0x"})
				require.NoError(t, err)
				require.NoError(t, a.In(tx).Delete(ctx, "k0x"))
			}
			sum := 0
			for u := range a.In(tx).All() {
				sum += u.Balance
				_, err := a.Patch(ctx, u.ID, store.Fields{"balance": -1})
				require.NoError(t, err)
			}
			require.NoError(t, a.Clear(ctx))
			again, err := a.In(tx).Sum("balance")
			require.NoError(t, err)
			require.EqualValues(t, sum, again)
			return sum, nil
		})
		require.NoError(t, err)
		require.Equal(t, 450, n)
	}
	require.Zero(t, s.Stats().Transactions.Conflicts)
	unused(t, s)
}

// TestInTransactionValue: the value of the function, or the zero value.
func TestInTransactionValue(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	v, err := store.InTransaction(ctx, s, func(*store.Tx) (string, error) { return "value", nil })
	require.NoError(t, err)
	require.Equal(t, "value", v)
	v, err = store.InTransaction(ctx, s, func(*store.Tx) (string, error) { return "value", errTxModel })
	require.Equal(t, errTxModel, err)
	require.Empty(t, v)
	v, err = store.InTransaction(ctx, s, func(tx *store.Tx) (string, error) {
		_, err := a.Patch(ctx, "k1", store.Fields{"balance": 1})
		require.NoError(t, err)
		_, err = a.In(tx).Patch(ctx, "k1", store.Fields{"balance": 2})
		return "value", err
	})
	conflictOf(t, err)
	require.Empty(t, v)
}

// TestTransactionNested: writes and transactions inside of one are commits of
// their own, which wait for nothing and may bring it into conflict.
func TestTransactionNested(t *testing.T) {
	s, a, b := txIn(t, store.Options{})
	ctx := t.Context()
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Patch(ctx, "k1", store.Fields{"balance": 1})
		require.NoError(t, err)
		_, err = a.Patch(ctx, "k2", store.Fields{"balance": 2}) // beside it
		require.NoError(t, err)
		require.NoError(t, s.Transaction(ctx, func(in *store.Tx) error {
			u, _ := a.In(in).Get("k1")
			require.Equal(t, 10, u.Balance)
			_, err := a.In(in).Patch(ctx, "k3", store.Fields{"balance": 3})
			require.NoError(t, err)
			_, err = b.In(in).Insert(ctx, txAccount{ID: "inner"})
			return err
		}))
		_, ok := b.Get("inner")
		require.True(t, ok)
		n, err := store.InTransaction(ctx, s, func(in *store.Tx) (int, error) { return b.In(in).Count() })
		require.Equal(t, 1, n)
		return err
	})
	require.NoError(t, err)
	for i := range 3 {
		u, _ := a.Get(fmt.Sprint("k", i+1))
		require.Equal(t, i+1, u.Balance)
	}
	err = s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Patch(ctx, "k1", store.Fields{"balance": 5})
		require.NoError(t, err)
		return s.Transaction(ctx, func(in *store.Tx) error {
			_, err := a.In(in).Patch(ctx, "k1", store.Fields{"balance": 6})
			return err
		})
	})
	require.Equal(t, store.StringKey("k1"), conflictOf(t, err).Key)
	u, _ := a.Get("k1")
	require.Equal(t, 6, u.Balance)
	unused(t, s)
}

// TestTransactionIsOver: a transaction and its handles are refused when its
// function has returned.
func TestTransactionIsOver(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	var h *store.TypedBucket[txAccount]
	var q *store.Query[txAccount]
	var d *store.Bucket
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		h, d = a.In(tx), a.In(tx).Dynamic()
		q = h.Where(store.Eq("region", "north"))
		_, err := q.All()
		return err
	}))
	fields := store.Fields{"balance": 1}
	for name, call := range map[string]func() error{
		"Insert":     func() error { _, err := h.Insert(ctx, txAccount{ID: "x"}); return err },
		"InsertMany": func() error { _, err := d.InsertMany(ctx, []store.Fields{{"id": "x"}}); return err },
		"Update":     func() error { _, err := h.Update(ctx, "k1", func(*txAccount) error { return nil }); return err },
		"Patch":      func() error { _, err := h.Patch(ctx, "k1", fields); return err },
		"Upsert":     func() error { _, err := h.Upsert(ctx, txAccount{ID: "k1"}); return err },
		"UpdateMany": func() error { _, err := h.UpdateMany(ctx, fields); return err },
		"Delete":     func() error { return h.Delete(ctx, "k1") },
		"DeleteMany": func() error { _, err := h.DeleteMany(ctx); return err },
		"Clear":      func() error { return h.Clear(ctx) },
		"All":        func() error { _, err := q.All(); return err },
		"Page":       func() error { _, err := q.Page(1, ""); return err },
		"Count":      func() error { _, err := h.Count(); return err },
		"Exists":     func() error { _, err := q.Exists(); return err },
		"Sum":        func() error { _, err := q.Sum("balance"); return err },
		"Min":        func() error { _, _, err := q.Min("balance"); return err },
		"Each":       func() error { return q.Each(func(*txAccount) bool { return true }) },
		"Group":      func() error { _, err := h.GroupBy("region").Count(); return err },
		"Last":       func() error { _, err := h.Last(1); return err },
		"Explain":    func() error { _, err := q.Explain(); return err },
		"Seq": func() (last error) {
			for _, err := range q.Seq() {
				last = err
			}
			return last
		},
	} {
		require.ErrorIs(t, call(), store.ErrTxDone, name)
	}
	over := "store: read through a closed transaction"
	require.PanicsWithValue(t, over, func() { h.Get("k1") })
	require.PanicsWithValue(t, over, func() { d.Get("k1") })
	require.PanicsWithValue(t, over, func() {
		for range h.All() {
			t.Error("a record")
		}
	})
	unused(t, s)
}

// TestTransactionOfAnotherStore: handles of one store cannot be bound to a
// transaction of another.
func TestTransactionOfAnotherStore(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	_, other, _ := txIn(t, store.Options{})
	ctx := t.Context()
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		h := other.In(tx)
		_, err := h.Insert(ctx, txAccount{ID: "x"})
		require.ErrorContains(t, err, "another store")
		require.Error(t, h.Clear(ctx))
		_, err = h.Count()
		require.ErrorContains(t, err, "another store")
		require.PanicsWithValue(t, "store: read through a transaction of another store", func() { h.Get("k1") })
		_, ok := a.In(tx).Get("k1")
		require.True(t, ok)
		return nil
	}))
	n, err := other.Count()
	require.NoError(t, err)
	require.Equal(t, 10, n)
}

// TestTransactionContext: a context that ends before the commit is the error.
func TestTransactionContext(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	done, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Transaction(done, func(*store.Tx) error {
		t.Error("it ran")
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Transaction(ctx, func(tx *store.Tx) error {
		require.NoError(t, a.In(tx).Delete(ctx, "k1"))
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	_, ok := a.Get("k1")
	require.True(t, ok)
	ctx, cancel = context.WithCancel(t.Context())
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error { return a.In(tx).Delete(ctx, "k1") }))
	cancel()
	_, ok = a.Get("k1")
	require.False(t, ok)
	unused(t, s)
}

// TestTransactionRecordLimit: the write that is one too many is refused, and the
// rest commits.
func TestTransactionRecordLimit(t *testing.T) {
	s, a, b := txIn(t, store.Options{TxRecords: 4})
	ctx := t.Context()
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		h := a.In(tx)
		_, err := h.InsertMany(ctx, []txAccount{{ID: "1"}, {ID: "2"}, {ID: "3"}, {ID: "4"}, {ID: "5"}})
		require.ErrorIs(t, err, store.ErrTxTooLarge)
		_, err = h.UpdateMany(ctx, store.Fields{"balance": 1}, store.Eq("region", "north"))
		require.ErrorIs(t, err, store.ErrTxTooLarge)
		require.ErrorIs(t, h.Clear(ctx), store.ErrTxTooLarge)
		_, err = h.InsertMany(ctx, []txAccount{{ID: "1", Owner: "one"}, {ID: "2"}, {ID: "3"}, {ID: "4"}})
		require.NoError(t, err)
		_, err = b.In(tx).Insert(ctx, txAccount{ID: "1"})
		require.ErrorIs(t, err, store.ErrTxTooLarge)
		require.ErrorIs(t, h.Delete(ctx, "k1"), store.ErrTxTooLarge)
		_, err = h.Patch(ctx, "1", store.Fields{"balance": 5}) // no record more
		require.NoError(t, err)
		_, ok := h.Get("k1")
		require.True(t, ok)
		n, err := h.Count()
		require.Equal(t, 14, n)
		return err
	}))
	n, err := a.Count()
	require.NoError(t, err)
	require.Equal(t, 14, n)
	n, err = b.Count()
	require.NoError(t, err)
	require.Zero(t, n)
	unused(t, s)
}

// TestTransactionByteLimit: what the records of the write set take is counted
// exactly, through updates and refused writes.
func TestTransactionByteLimit(t *testing.T) {
	ctx := t.Context()
	// insert puts n records of one size into a store with a limit.
	insert := func(limit, n int) (taken int) {
		s, _, b := txIn(t, store.Options{TxBytes: limit})
		err := s.Transaction(ctx, func(tx *store.Tx) error {
			h := b.In(tx)
			for i := range n {
				_, err := h.Insert(ctx, txAccount{ID: fmt.Sprint("x", i), Region: "12345678"})
				if err != nil {
					require.ErrorIs(t, err, store.ErrTxTooLarge)
					continue
				}
				taken++
				_, err = h.Patch(ctx, fmt.Sprint("x", i), store.Fields{"region": "much longer than it was before"})
				if err != nil {
					require.ErrorIs(t, err, store.ErrTxTooLarge)
				}
				_, err = h.Patch(ctx, fmt.Sprint("x", i), store.Fields{"region": "87654321"})
				require.NoError(t, err)
			}
			return nil
		})
		require.NoError(t, err)
		got, err := b.Count(store.Eq("region", "87654321"))
		require.NoError(t, err)
		require.Equal(t, taken, got)
		return taken
	}
	size := 1
	for insert(size, 1) == 0 {
		size++
	}
	require.Equal(t, 3, insert(3*size, 5))
	require.Equal(t, 2, insert(3*size-1, 5))
	require.Equal(t, 5, insert(-1, 5))
}

// TestTransactionOlderThanRecent: a transaction that began before the commits that
// are kept is in conflict, whatever they changed.
func TestTransactionOlderThanRecent(t *testing.T) {
	ctx := t.Context()
	for commits := range 5 {
		for _, read := range []bool{false, true} {
			s, a, b := txIn(t, store.Options{RecentCommits: 2})
			err := s.Transaction(ctx, func(tx *store.Tx) error {
				a.In(tx).Get("k1")
				for i := range commits {
					key := "k2"
					if read && i == 0 {
						key = "k1"
					}
					_, err := a.Patch(ctx, key, store.Fields{"balance": 1000 + i})
					require.NoError(t, err)
				}
				_, err := b.In(tx).Insert(ctx, txAccount{ID: "w"})
				return err
			})
			switch {
			case commits > 2:
				require.Equal(t, store.ConflictError{}, *conflictOf(t, err))
				require.ErrorContains(t, err, "older")
			case commits > 0 && read:
				require.Equal(t, store.StringKey("k1"), conflictOf(t, err).Key)
			default:
				require.NoError(t, err)
			}
			_, ok := b.Get("w")
			require.Equal(t, err == nil, ok)
		}
	}
}

// TestTransactionOlderThanRecentBytes: the same by the bytes of the commits, and a
// transaction that begins later is checked again.
func TestTransactionOlderThanRecentBytes(t *testing.T) {
	s, a, b := txIn(t, store.Options{RecentBytes: 1})
	ctx := t.Context()
	fn := func(beside bool) error {
		return s.Transaction(ctx, func(tx *store.Tx) error {
			a.In(tx).Get("k1")
			if beside {
				_, err := a.Patch(ctx, "k2", store.Fields{"balance": 1})
				require.NoError(t, err)
			}
			_, err := b.In(tx).Upsert(ctx, txAccount{ID: "w"})
			return err
		})
	}
	require.Equal(t, store.ConflictError{}, *conflictOf(t, fn(true)))
	require.NoError(t, fn(false))
	require.Equal(t, store.ConflictError{}, *conflictOf(t, fn(true)))
}

// TestStuckTransaction: a transaction that goes on for ever blocks nobody.
func TestStuckTransaction(t *testing.T) {
	s, a, b := txIn(t, store.Options{})
	ctx := t.Context()
	reached, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.Transaction(ctx, func(tx *store.Tx) error {
			_, err := a.In(tx).UpdateMany(ctx, store.Fields{"balance": -1})
			for range a.In(tx).All() { // within a read, too
				close(reached)
				<-release
				break
			}
			return err
		})
	}()
	<-reached
	stats := s.Stats()
	require.Equal(t, 1, stats.Transactions.Active)
	require.Positive(t, stats.OldestSnapshot)
	require.Zero(t, stats.Snapshots)
	_, err := a.UpdateMany(ctx, store.Fields{"balance": 5})
	require.NoError(t, err)
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Patch(ctx, "k1", store.Fields{"balance": 6})
		require.NoError(t, err)
		_, err = b.In(tx).Insert(ctx, txAccount{ID: "w"})
		return err
	}))
	require.NotEmpty(t, s.Stats().Retained)
	require.NoError(t, s.DropBucket(ctx, "b"))
	require.NoError(t, s.Close(ctx))
	close(release)
	require.ErrorIs(t, <-ended, store.ErrClosed)
	u, _ := a.Get("k1")
	require.Equal(t, 6, u.Balance)
	require.Zero(t, s.Stats().Transactions.Active)
	require.Zero(t, s.Stats().OldestSnapshot)
}

// TestDropBucketDuringTransaction: the bucket is gone for its reads and its commit.
func TestDropBucketDuringTransaction(t *testing.T) {
	s, a, b := txIn(t, store.Options{})
	ctx := t.Context()
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Patch(ctx, "k1", store.Fields{"balance": 1})
		require.NoError(t, err)
		_, err = b.In(tx).Insert(ctx, txAccount{ID: "w"})
		require.NoError(t, err)
		require.NoError(t, s.DropBucket(ctx, "b"))
		_, ok := b.In(tx).Get("w")
		require.False(t, ok)
		_, err = b.In(tx).Count()
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
		_, err = b.In(tx).Insert(ctx, txAccount{ID: "v"})
		require.ErrorIs(t, err, store.ErrBucketNotDefined)
		return nil
	})
	require.ErrorIs(t, err, store.ErrBucketNotDefined)
	u, _ := a.Get("k1")
	require.Equal(t, 10, u.Balance)
	unused(t, s)
}

// TestCloseDuringTransaction: it reads on, and cannot commit.
func TestCloseDuringTransaction(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Patch(ctx, "k1", store.Fields{"balance": 1})
		require.NoError(t, err)
		require.NoError(t, s.Close(ctx))
		u, ok := a.In(tx).Get("k1")
		require.True(t, ok)
		require.Equal(t, 1, u.Balance)
		n, err := a.In(tx).Count()
		require.NoError(t, err)
		require.Equal(t, 10, n)
		_, err = a.In(tx).Patch(ctx, "k2", store.Fields{"balance": 1})
		require.ErrorIs(t, err, store.ErrClosed)
		return nil
	})
	require.ErrorIs(t, err, store.ErrClosed)
	u, _ := a.Get("k1")
	require.Equal(t, 10, u.Balance)
	require.ErrorIs(t, s.Transaction(ctx, func(*store.Tx) error { return nil }), store.ErrClosed)
}

// TestTransactionLeavesNothing: no goroutine, whatever becomes of it.
func TestTransactionLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		c := counters(t, s, "c")
		for i := range 20 {
			err := s.Transaction(ctx, func(tx *store.Tx) error {
				_, err := c.In(tx).Insert(ctx, counter{ID: fmt.Sprint(i)})
				if i%2 == 0 {
					return errTxModel
				}
				return err
			}, store.Retry(3))
			require.Equal(t, i%2 == 0, err == errTxModel)
		}
		require.NoError(t, s.Close(ctx))
	})
}

// TestTransactionGoroutines: several goroutines of one function write and read; no
// update of theirs is lost.
func TestTransactionGoroutines(t *testing.T) {
	s, a, b := txIn(t, store.Options{})
	ctx := t.Context()
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		together(6, func(i int) {
			for k := range 50 {
				_, err := a.In(tx).Update(ctx, "k1", func(u *txAccount) error { u.Balance++; return nil })
				assert.NoError(t, err)
				_, err = b.In(tx).Insert(ctx, txAccount{ID: fmt.Sprint(i, " ", k), Region: fmt.Sprint(i)})
				assert.NoError(t, err)
				n, err := b.In(tx).Count(store.Eq("region", fmt.Sprint(i)))
				assert.NoError(t, err)
				assert.Equal(t, k+1, n)
				_, err = a.In(tx).Sum("balance")
				assert.NoError(t, err)
			}
		})
		return nil
	}))
	u, _ := a.Get("k1")
	require.Equal(t, 10+300, u.Balance)
	require.Equal(t, store.Version(2), u.Version)
	n, err := b.Count()
	require.NoError(t, err)
	require.Equal(t, 300, n)
	unused(t, s)
}

// TestTransactionGoroutinesUpdateMany: a write over a query loses no update of
// another goroutine of its transaction, and revives no record.
func TestTransactionGoroutinesUpdateMany(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	for range 20 {
		fillAccounts(t, a)
		require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
			h := a.In(tx)
			together(2, func(i int) {
				for k := range 40 {
					var err error
					if i == 0 {
						_, err = h.UpdateMany(ctx, store.Fields{"region": fmt.Sprint("r", k)}, store.Exists("id"))
					} else {
						_, err = h.Update(ctx, "k1", func(u *txAccount) error { u.Balance++; return nil })
					}
					assert.NoError(t, err)
					if i == 1 && k == 20 {
						assert.NoError(t, h.Delete(ctx, "k9"))
					}
				}
			})
			_, ok := h.Get("k9")
			require.False(t, ok, "a deleted record is back")
			return nil
		}))
		u, _ := a.Get("k1")
		require.Equal(t, 10+40, u.Balance, "updates were lost")
	}
}

// TestTransactionLateWriter: a goroutine that goes on when the function has
// returned is refused; what it was told is written is written.
func TestTransactionLateWriter(t *testing.T) {
	s, _, b := txIn(t, store.Options{})
	ctx := t.Context()
	for round := range 200 {
		var told atomic.Int64
		var late sync.WaitGroup
		require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
			late.Go(func() {
				for k := 0; ; k++ {
					if _, err := b.In(tx).Insert(ctx, txAccount{ID: fmt.Sprint(round, " ", k)}); err != nil {
						assert.ErrorIs(t, err, store.ErrTxDone)
						return
					}
					told.Add(1)
				}
			})
			for told.Load() < 5 {
				runtime.Gosched()
			}
			return nil
		}))
		late.Wait()
		n, err := b.Count(store.HasPrefix("id", fmt.Sprint(round, " ")))
		require.NoError(t, err)
		require.EqualValues(t, told.Load(), n, "round %d", round)
	}
	unused(t, s)
}

// TestTransactionPanicInCommit: a defect of the store in a commit takes everything
// back, in all buckets, and is the error.
func TestTransactionPanicInCommit(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, store.Options{})
	var fault atomic.Value
	fault.Store("")
	store.PlantFault(s, func() {
		switch fault.Load() {
		case "panic":
			panic("planted")
		case "exit":
			runtime.Goexit()
		}
	})
	a, err := store.Define[txAccount](ctx, s, "a")
	require.NoError(t, err)
	b, err := store.Define[txAccount](ctx, s, "b")
	require.NoError(t, err)
	fillAccounts(t, a)
	fn := func(tx *store.Tx) error {
		_, err := a.In(tx).UpdateMany(ctx, store.Fields{"balance": -1})
		require.NoError(t, err)
		_, err = b.In(tx).Insert(ctx, txAccount{ID: "w"})
		return err
	}
	for _, kind := range []string{"panic", "exit"} {
		fault.Store(kind)
		var err error
		together(1, func(int) { err = s.Transaction(ctx, fn, store.Retry(5)) })
		if kind == "panic" {
			var pe *store.PanicError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, "planted", pe.Value)
		}
		fault.Store("")
		n, err := a.Count(store.Gte("balance", 0))
		require.NoError(t, err)
		require.Equal(t, 10, n)
		n, err = b.Count()
		require.NoError(t, err)
		require.Zero(t, n)
		unused(t, s)
	}
	require.NoError(t, s.Transaction(ctx, fn))
	n, err := a.Count(store.Eq("balance", -1))
	require.NoError(t, err)
	require.Equal(t, 10, n)
	unused(t, s)
}

// TestTransactionNetEffect: what a transaction did to a record is one change or
// none.
func TestTransactionNetEffect(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	var events []string
	_, err := s.On("bucket.*.*", func(e store.Event) { events = append(events, fmt.Sprint(e.Type, " ", e.Key, " ", e.Seq)) })
	require.NoError(t, err)
	seq := s.Stats().Commits
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		h := a.In(tx)
		_, err := h.Insert(ctx, txAccount{ID: "x", Owner: "x"})
		require.NoError(t, err)
		return h.Delete(ctx, "x")
	}))
	require.Equal(t, seq, s.Stats().Commits)
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		h := a.In(tx)
		for i := range 3 {
			u, err := h.Patch(ctx, "k1", store.Fields{"balance": i})
			require.NoError(t, err)
			require.Equal(t, store.Version(2), u.Version)
		}
		_, err := h.Patch(ctx, "k2", store.Fields{"balance": 5})
		require.NoError(t, err)
		require.NoError(t, h.Delete(ctx, "k2"))
		_, err = h.Insert(ctx, txAccount{ID: "k2", Owner: "o2"})
		require.NoError(t, err)
		u, err := h.Patch(ctx, "k2", store.Fields{"balance": 6})
		require.Equal(t, store.Version(1), u.Version)
		require.NoError(t, err)
		_, err = h.Insert(ctx, txAccount{ID: "x"})
		require.NoError(t, err)
		return h.Delete(ctx, "k3")
	}))
	require.NoError(t, s.Settle(ctx))
	at := fmt.Sprint(" ", seq+1)
	require.ElementsMatch(t, []string{"updated k1" + at, "updated k2" + at, "inserted x" + at, "deleted k3" + at}, events)
	u, _ := a.Get("k2")
	require.Equal(t, store.Version(1), u.Version)
	unused(t, s)
}

// TestTransactionPagesGoOnAfterCommit: a cursor that ended at a record which the
// transaction inserted is good when that has committed.
func TestTransactionPagesGoOnAfterCommit(t *testing.T) {
	s, _, b := txIn(t, store.Options{})
	ctx := t.Context()
	var page store.Page[txAccount]
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) (err error) {
		for _, id := range []string{"p", "q", "r"} {
			_, err = b.In(tx).Insert(ctx, txAccount{ID: id})
			require.NoError(t, err)
		}
		page, err = b.In(tx).Where().Page(1, "")
		require.True(t, page.HasMore)
		return err
	}))
	page, err := b.Where().Page(5, page.Next)
	require.NoError(t, err)
	require.Len(t, page.Records, 2)
	require.Equal(t, "q", page.Records[0].ID)
}

// TestTransactionPaginateBehindOwnDelete: a record that the transaction deleted is
// gone.
func TestTransactionPaginateBehindOwnDelete(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		require.NoError(t, a.In(tx).Delete(ctx, "k3"))
		_, err := a.In(tx).Paginate(store.PageOptions{After: "k3", Limit: 2})
		require.ErrorIs(t, err, store.ErrNotFound)
		return nil
	}))
}

// TestTransactionSumOfManyOwnWrites: an answer whose order does not matter takes
// the transaction's own records in pieces, too.
func TestTransactionSumOfManyOwnWrites(t *testing.T) {
	s, _, b := txIn(t, store.Options{})
	ctx := t.Context()
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		var list []txAccount
		for i := range 1000 {
			list = append(list, txAccount{ID: fmt.Sprint(i), Balance: 1})
		}
		_, err := b.In(tx).InsertMany(ctx, list)
		require.NoError(t, err)
		require.NotPanics(t, func() {
			sum, err := b.In(tx).Sum("balance")
			require.NoError(t, err)
			require.EqualValues(t, 1000, sum)
		})
		return nil
	}))
}

// TestTransactionLast: the last records of a bucket include own ones.
func TestTransactionLast(t *testing.T) {
	s, a, _ := txIn(t, store.Options{})
	ctx := t.Context()
	require.NoError(t, s.Transaction(ctx, func(tx *store.Tx) error {
		_, err := a.In(tx).Insert(ctx, txAccount{ID: "x"})
		require.NoError(t, err)
		_, err = a.In(tx).Patch(ctx, "k8", store.Fields{"balance": 1})
		require.NoError(t, err)
		require.NoError(t, a.In(tx).Delete(ctx, "k7"))
		last, err := a.In(tx).Last(4)
		require.NoError(t, err)
		var ids []string
		for _, u := range last {
			ids = append(ids, u.ID)
		}
		require.Equal(t, []string{"k6", "k8", "k9", "x"}, ids)
		return nil
	}))
}

// ---- what a read depends on

// txRead is a read, and which changes beside it are in conflict.
type txRead struct {
	name string
	read func(h *store.TypedBucket[txAccount]) error
	yes  []string
	no   []string
}

// firstOf reads the first n records of an answer and leaves.
func firstOf(q *store.Query[txAccount], n int) error {
	for _, err := range q.Seq() {
		if n--; n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// txChanges are changes by name: what they do to k0..k9.
func txChanges(a *store.TypedBucket[txAccount]) map[string]func(ctx context.Context) error {
	patch := func(key, field string, v any) func(context.Context) error {
		return func(ctx context.Context) error { _, err := a.Patch(ctx, key, store.Fields{field: v}); return err }
	}
	insert := func(u txAccount) func(context.Context) error {
		return func(ctx context.Context) error { _, err := a.Insert(ctx, u); return err }
	}
	remove := func(key string) func(context.Context) error {
		return func(ctx context.Context) error { return a.Delete(ctx, key) }
	}
	return map[string]func(context.Context) error{
		"k0 owner": patch("k0", "owner", "z"), "k0 gone": remove("k0"), "k0 to 1": patch("k0", "balance", 1),
		"k1 owner": patch("k1", "owner", "z"), "k1 north": patch("k1", "region", "north"), "k1 gone": remove("k1"),
		"k2 owner": patch("k2", "owner", "z"), "k2 south": patch("k2", "region", "south"), "k2 to 21": patch("k2", "balance", 21),
		"k2 gone": remove("k2"), "k3 owner": patch("k3", "owner", "z"), "k3 to 31": patch("k3", "balance", 31),
		"k5 to 55": patch("k5", "balance", 55), "k5 to 25": patch("k5", "balance", 25), "k5 to -1": patch("k5", "balance", -1),
		"k5 to 500": patch("k5", "balance", 500), "k5 owner": patch("k5", "owner", "z"),
		"k9 owner": patch("k9", "owner", "z"), "k9 gone": remove("k9"),
		"new north 15": insert(txAccount{ID: "new", Region: "north", Balance: 15}), "new south 15": insert(txAccount{ID: "new", Region: "south", Balance: 15}),
		"new south 20": insert(txAccount{ID: "new", Region: "south", Balance: 20}), "new south 65": insert(txAccount{ID: "new", Region: "south", Balance: 65}),
		"new west 5": insert(txAccount{ID: "new", Region: "west", Balance: 5}), "other": insert(txAccount{ID: "other", Region: "other", Balance: 65}),
	}
}

func txReadsOfRecords(cursor *store.Cursor) []txRead {
	type handle = *store.TypedBucket[txAccount]
	byBalance := func(h handle) *store.Query[txAccount] { return h.OrderBy(store.Asc("balance")) }
	all := func(q *store.Query[txAccount]) error { _, err := q.All(); return err }
	none := func(txAccount, bool, error) error { return nil }
	return []txRead{
		{"Get", func(h handle) error { h.Get("k1"); return nil }, []string{"k1 owner", "k1 gone"}, []string{"k2 owner", "new north 15"}},
		{"absent key", func(h handle) error { h.Get("new"); return nil }, []string{"new west 5"}, []string{"other", "k1 gone"}},
		{"Eq of the key", func(h handle) error { return none(h.FindOne(store.Eq("id", "k1"))) }, []string{"k1 owner", "k1 gone"}, []string{"k2 owner", "other"}},
		{"Eq of a unique field", func(h handle) error { return none(h.FindOne(store.Eq("owner", "z"))) }, []string{"k1 owner"}, []string{"k1 gone", "k2 to 21", "other"}},
		{
			"Eq by index", func(h handle) error { return all(h.Where(store.Eq("region", "north"))) },
			[]string{"k2 owner", "k2 south", "k2 gone", "k1 north", "new north 15"},
			[]string{"k1 owner", "k1 gone", "new south 15", "other", "k5 to 55"},
		},
		{
			"range", func(h handle) error { return all(h.Where(store.Between("balance", 20, 40))) },
			[]string{"k2 owner", "k2 to 21", "k2 gone", "k5 to 25", "k3 owner", "new south 20"},
			[]string{"k1 owner", "k5 to 55", "new south 15", "k9 gone", "k5 owner"},
		},
		{
			"order and limit", func(h handle) error { return all(byBalance(h).Limit(3)) },
			[]string{"k2 owner", "k2 to 21", "k0 gone", "k5 to -1", "new south 15", "new west 5"},
			[]string{"k5 to 55", "k5 to 25", "k3 owner", "k9 gone", "new south 20", "new south 65"},
		},
		{
			"offset and limit", func(h handle) error { return all(byBalance(h).Offset(1).Limit(2)) },
			[]string{"k0 gone", "k5 to -1", "new west 5", "k1 owner", "k0 to 1"},
			[]string{"k3 owner", "k9 gone", "new south 20"},
		},
		{
			"First", func(h handle) error { return none(h.OrderBy(store.Desc("balance")).First()) },
			[]string{"k9 gone", "k9 owner", "k5 to 500"},
			[]string{"k5 to 55", "new south 65", "k0 gone"},
		},
		{
			"page", func(h handle) error { _, err := byBalance(h).Page(3, ""); return err },
			[]string{"k0 gone", "k2 owner", "new west 5", "k5 to -1"},
			[]string{"k5 to 55", "new south 65", "k9 gone", "k5 owner"},
		},
		{
			"page behind a cursor", func(h handle) error { _, err := byBalance(h).Page(3, *cursor); return err },
			[]string{"k3 owner", "k5 to 55", "k5 to -1", "k2 to 21", "new south 20"},
			[]string{"k0 gone", "new west 5", "k1 owner", "k2 owner", "k9 gone", "new south 65"},
		},
		{"Seq, left", func(h handle) error { return firstOf(byBalance(h), 3) }, []string{"k2 owner", "new south 15"}, []string{"k5 to 25", "new south 20", "k3 owner"}},
		{"Seq in the bucket's order, left", func(h handle) error { return firstOf(h.Where(), 3) }, []string{"k2 owner", "k0 gone"}, []string{"k3 owner", "new west 5", "k9 gone"}},
		{"First(n)", func(h handle) error { _, err := h.First(2); return err }, []string{"k1 owner", "k0 gone"}, []string{"k2 owner", "new west 5"}},
		{"Last(n)", func(h handle) error { _, err := h.Last(2); return err }, []string{"k9 owner", "k9 gone", "new west 5"}, nil},
		{"Paginate", func(h handle) error { _, err := h.Paginate(store.PageOptions{After: "k2", Limit: 2}); return err }, []string{"k3 owner", "k2 gone"}, []string{"k0 owner", "k9 gone", "new west 5"}},
		{"Paginate behind nothing", func(h handle) error { _, _ = h.Paginate(store.PageOptions{After: "new", Limit: 2}); return nil }, []string{"new west 5"}, []string{"k1 gone", "other"}},
		{"Select", func(h handle) error { return all(h.Where(store.Eq("region", "north")).Select("region")) }, []string{"k2 south", "new north 15"}, []string{"k1 owner"}},
		{"an Or", func(h handle) error { return all(h.Where(store.Or(store.Eq("owner", "o1"), store.Eq("balance", 20)))) }, []string{"k1 owner", "k2 to 21", "k2 owner", "new south 20"}, []string{"k5 to 25", "k9 gone", "k3 owner"}},
		{"nothing can match", func(h handle) error { return all(h.Where(store.In("region"))) }, nil, []string{"k1 owner", "other"}},
	}
}

func txReadsOfFigures() []txRead {
	type handle = *store.TypedBucket[txAccount]
	north := store.Eq("region", "north")
	return []txRead{
		{"Count", func(h handle) error { _, err := h.Count(); return err }, []string{"k1 gone", "other"}, []string{"k1 owner", "k2 to 21", "k2 south"}},
		{"Count of some", func(h handle) error { _, err := h.Count(north); return err }, []string{"k2 gone", "k2 south", "k1 north", "new north 15"}, []string{"k2 owner", "k2 to 21", "k1 gone", "other"}},
		{"Exists", func(h handle) error { _, err := h.Where(north).Exists(); return err }, nil, []string{"k2 owner", "k2 to 21", "k1 gone", "other"}},
		{"Exists, and there is none", func(h handle) error { _, err := h.Where(store.Eq("region", "west")).Exists(); return err }, []string{"new west 5"}, []string{"k2 owner", "k2 south", "other"}},
		{"Sum", func(h handle) error { _, err := h.Sum("balance"); return err }, []string{"k2 to 21", "other", "k1 gone"}, []string{"k2 owner", "k2 south"}},
		{"Sum of some", func(h handle) error { _, err := h.Where(north).Sum("balance"); return err }, []string{"k2 to 21", "k2 south", "new north 15"}, []string{"k2 owner", "k5 to 55", "new south 15"}},
		{"Sum of the first", func(h handle) error { _, err := h.OrderBy(store.Asc("balance")).Limit(3).Sum("balance"); return err }, []string{"k2 to 21", "k5 to -1", "k0 gone"}, []string{"k2 owner", "k5 to 55", "k9 gone"}},
		{"Avg", func(h handle) error { _, err := h.Avg("balance"); return err }, []string{"k2 to 21", "k1 gone"}, []string{"k2 owner"}},
		{"Min by index", func(h handle) error { _, _, err := h.Min("balance"); return err }, []string{"k0 gone", "k0 to 1", "k5 to -1"}, []string{"k1 owner", "k5 to 55", "k9 gone", "other", "k1 gone"}},
		{"Max by index", func(h handle) error { _, _, err := h.Max("balance"); return err }, []string{"k9 gone", "k5 to 500"}, []string{"k1 owner", "k5 to 55", "k0 gone", "other"}},
		{"Min of some", func(h handle) error { _, _, err := h.Where(north).Min("balance"); return err }, []string{"k0 gone", "k0 to 1"}, []string{"k5 to -1", "new south 15", "k1 owner"}},
		{"CountDistinct", func(h handle) error { _, err := h.Where().CountDistinct("region"); return err }, []string{"k2 south", "other", "k1 gone"}, []string{"k2 owner", "k2 to 21"}},
		{"group counts", func(h handle) error { _, err := h.GroupBy("region").Count(); return err }, []string{"k2 south", "other", "k1 gone"}, []string{"k2 owner", "k2 to 21"}},
		{"group sums", func(h handle) error { _, err := h.GroupBy("region").Sum("balance"); return err }, []string{"k2 south", "k2 to 21", "other"}, []string{"k2 owner"}},
		{"DeleteMany of none", func(h handle) error {
			_, err := h.DeleteMany(context.Background(), store.Eq("region", "west"))
			return err
		}, []string{"new west 5"}, []string{"k2 owner", "other"}},
	}
}

// TestTransactionDependsOnWhatItRead: a change beside a transaction is in conflict
// with it if it could have changed an answer, and only then.
func TestTransactionDependsOnWhatItRead(t *testing.T) {
	s, a, b := txIn(t, store.Options{})
	var cursor store.Cursor // behind k2
	changes := txChanges(a)
	run := func(t *testing.T, r txRead, change string, own bool, conflict bool) {
		ctx := t.Context()
		fillAccounts(t, a)
		page, err := a.OrderBy(store.Asc("balance")).Page(3, "")
		require.NoError(t, err)
		cursor = page.Next
		require.Contains(t, changes, change)
		err = s.Transaction(ctx, func(tx *store.Tx) error {
			if own { // so that counters do not answer
				_, err := a.In(tx).Insert(ctx, txAccount{ID: "own", Region: "own", Balance: 66})
				require.NoError(t, err)
			}
			require.NoError(t, r.read(a.In(tx)))
			require.NoError(t, changes[change](ctx))
			_, err := b.In(tx).Upsert(ctx, txAccount{ID: "w"})
			return err
		})
		if !conflict {
			require.NoError(t, err)
			return
		}
		require.Equal(t, "a", conflictOf(t, err).Bucket)
	}
	for _, r := range append(txReadsOfRecords(&cursor), txReadsOfFigures()...) {
		for _, own := range []bool{false, true} {
			for _, change := range r.yes {
				t.Run(fmt.Sprint(r.name, ", ", change, ", own ", own), func(t *testing.T) { run(t, r, change, own, true) })
			}
			for _, change := range r.no {
				t.Run(fmt.Sprint(r.name, ", ", change, ", own ", own), func(t *testing.T) { run(t, r, change, own, false) })
			}
		}
	}
	unused(t, s)
}

// TestTransactionConflictKeepsError: an error of the function is its own, though a
// conflict lies beneath it.
func TestTransactionConflictKeepsError(t *testing.T) {
	s, _, _ := txIn(t, store.Options{})
	runs := 0
	err := s.Transaction(t.Context(), func(*store.Tx) error {
		runs++
		return errors.Join(errTxModel, &store.ConflictError{})
	}, store.Retry(3))
	require.ErrorIs(t, err, errTxModel)
	require.Equal(t, 1, runs)
}

// TestTransactionRetriesItsOwnConflicts: the conflict of another transaction, which
// fn returns, is an error like others.
func TestTransactionRetriesItsOwnConflicts(t *testing.T) {
	s, _, _ := txIn(t, store.Options{})
	runs := 0
	err := s.Transaction(t.Context(), func(*store.Tx) error {
		runs++
		return &store.ConflictError{Bucket: "elsewhere"}
	}, store.Retry(5))
	require.Equal(t, "elsewhere", conflictOf(t, err).Bucket)
	require.Equal(t, 1, runs)
}
