package bench

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/noex-go/store"
)

type account struct {
	ID      int `store:"id,key"`
	Balance int `store:"balance"`
	store.Meta
}

// accounts makes two buckets of n accounts each.
func accounts(b testing.TB, s *store.Store, n int) (from, to *store.TypedBucket[account]) {
	b.Helper()
	list := make([]account, n)
	for i := range list {
		list[i].ID = i + 1
	}
	for name, h := range map[string]**store.TypedBucket[account]{"from": &from, "to": &to} {
		t, err := store.Define[account](ctx, s, name)
		check(b, err)
		_, err = t.InsertMany(ctx, list)
		check(b, err)
		*h = t
	}
	return from, to
}

func transfer(s *store.Store, from, to *store.TypedBucket[account], i, j int) error {
	return s.Transaction(ctx, func(tx *store.Tx) error {
		add := func(h *store.TypedBucket[account], id, by int) error {
			_, err := h.In(tx).Update(ctx, id, func(a *account) error { a.Balance += by; return nil })
			return err
		}
		if err := add(from, i, -1); err != nil {
			return err
		}
		return add(to, j, 1)
	}, store.Retry(100))
}

// BenchmarkTransfer reads and writes a record in each of two buckets, in one
// transaction.
func BenchmarkTransfer(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s := open(b)
		from, to := accounts(b, s, n)
		for b.Loop() {
			check(b, transfer(s, from, to, 1+rand.IntN(n), 1+rand.IntN(n)))
		}
	})
}

// BenchmarkTransfer8 is Transfer from eight goroutines; one in a hundred goes to
// the same record.
func BenchmarkTransfer8(b *testing.B) {
	s := open(b)
	const n = 10_000
	from, to := accounts(b, s, n)
	b.SetParallelism(4)
	b.ReportAllocs()
	var failed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := 1 + rand.IntN(n)
			if rand.IntN(100) == 0 {
				i = 1
			}
			if transfer(s, from, to, i, 1+rand.IntN(n)) != nil {
				failed.Add(1)
			}
		}
	})
	b.ReportMetric(float64(s.Stats().Transactions.Retries)/float64(b.N), "retries/op")
	if failed.Load() > 0 {
		b.Fatal("gave up")
	}
}

// BenchmarkReadOnlyTransaction reads two records at one commit.
func BenchmarkReadOnlyTransaction(b *testing.B) {
	s := open(b)
	const n = 10_000
	from, to := accounts(b, s, n)
	b.ReportAllocs()
	for b.Loop() {
		check(b, s.Transaction(ctx, func(tx *store.Tx) error {
			from.In(tx).Get(1 + rand.IntN(n))
			to.In(tx).Get(1 + rand.IntN(n))
			return nil
		}))
	}
}

// BenchmarkBulkTransaction inserts ten thousand records in one transaction and
// asks for each by an index in between.
func BenchmarkBulkTransaction(b *testing.B) {
	s := open(b)
	users, err := store.Define[user](ctx, s, "users")
	check(b, err)
	const n = 10_000
	b.ReportAllocs()
	for b.Loop() {
		check(b, s.Transaction(ctx, func(tx *store.Tx) error {
			in := users.In(tx)
			if err := in.Clear(ctx); err != nil {
				return err
			}
			for i := range n {
				u := newUser(i)
				if _, err := in.Insert(ctx, u); err != nil {
					return err
				}
				if _, ok, err := in.FindOne(store.Eq("email", u.Email)); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
			return nil
		}))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}

// BenchmarkCertify shows what a commit is checked for: its read set against the
// commits since its snapshot, whatever the size of the bucket. The metric is the
// time from the return of the function to the end of the transaction; what the
// function reads, and the plain writes inside it, are not in it. Without commits
// in between there is nothing to check: that is the base.
func BenchmarkCertify(b *testing.B) {
	reads := []struct {
		name string
		read func(in *store.TypedBucket[account]) error
	}{
		{"1key", func(in *store.TypedBucket[account]) error { in.Get(1); return nil }},
		{"100keys", func(in *store.TypedBucket[account]) error {
			for i := range 100 {
				in.Get(1 + i)
			}
			return nil
		}},
		{"10queries", func(in *store.TypedBucket[account]) (err error) {
			for i := range 10 {
				if _, err = in.Where(store.In("id", 10*i+1, 10*i+5, 10*i+9), store.Gt("balance", i)).All(); err != nil {
					break
				}
			}
			return err
		}},
	}
	for _, n := range []int{1_000, 100_000} {
		s := open(b)
		h, other := accounts(b, s, n)
		for _, r := range reads {
			for _, commits := range []int{0, 10, 100} {
				b.Run(fmt.Sprintf("n=%d/%s/commits=%d", n, r.name, commits), func(b *testing.B) {
					var spent time.Duration
					add := func(a *account) error { a.Balance++; return nil }
					for b.Loop() {
						var done time.Time
						check(b, s.Transaction(ctx, func(tx *store.Tx) error {
							if err := r.read(h.In(tx)); err != nil {
								return err
							}
							if _, err := other.In(tx).Update(ctx, 1, add); err != nil {
								return err
							}
							for i := range commits {
								if _, err := h.Update(ctx, 500+i, add); err != nil {
									return err
								}
							}
							done = time.Now()
							return nil
						}))
						spent += time.Since(done)
					}
					b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "commit-ns/op")
				})
			}
		}
	}
}
