// Package bench holds the benchmarks of the store, typed, with the record and
// the indexes that the figures of the project are about: the key, a unique
// email, a role of three values, an ordered age.
package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/noex-go/store"
)

type user struct {
	ID    string  `store:"id,key,generated=uuid"`
	Name  string  `store:"name,required"`
	Email string  `store:"email,unique"`
	Role  string  `store:"role,enum=admin|user|guest,index"`
	Age   int     `store:"age,min=0,index"`
	Value float64 `store:"value"`
	store.Meta
}

// plainUser is user with no index but the key.
type plainUser struct {
	ID    string  `store:"id,key,generated=uuid"`
	Name  string  `store:"name,required"`
	Email string  `store:"email"`
	Role  string  `store:"role,enum=admin|user|guest"`
	Age   int     `store:"age,min=0"`
	Value float64 `store:"value"`
	store.Meta
}

var (
	ctx   = context.Background()
	roles = [...]string{"admin", "user", "guest"}
)

func open(b testing.TB) *store.Store {
	b.Helper()
	s, err := store.Open(ctx, store.Options{})
	check(b, err)
	b.Cleanup(func() { check(b, s.Close(ctx)) })
	return s
}

func check(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func newUser(i int) user {
	return user{
		Name: fmt.Sprintf("User %d", i), Email: fmt.Sprintf("user%07d@example.com", i),
		Role: roles[i%3], Age: i % 100, Value: float64(i),
	}
}

// fill makes a bucket of n users, and returns their ids in random order, in
// memory of their own.
func fill(b testing.TB, s *store.Store, n int) (*store.TypedBucket[user], []string) {
	b.Helper()
	return fillBucket(b, s, "users", n, newUser, func(u user) string { return u.ID })
}

// fillPlain is fill without indexes.
func fillPlain(b testing.TB, s *store.Store, n int) (*store.TypedBucket[plainUser], []string) {
	b.Helper()
	return fillBucket(b, s, "plain", n, newPlainUser, func(u plainUser) string { return u.ID })
}

func newPlainUser(i int) plainUser { return plainUser(newUser(i)) }

func fillBucket[T any](b testing.TB, s *store.Store, name string, n int, record func(int) T, id func(T) string) (*store.TypedBucket[T], []string) {
	b.Helper()
	if s.HasBucket(name) {
		check(b, s.DropBucket(ctx, name))
	}
	users, err := store.Define[T](ctx, s, name)
	check(b, err)
	rnd := rand.New(rand.NewPCG(1, 2))
	ids := make([]string, 0, n)
	for lo := 0; lo < n; lo += 1000 {
		batch := make([]T, 0, 1000)
		for i := lo; i < min(lo+1000, n); i++ {
			batch = append(batch, record(i))
		}
		out, err := users.InsertMany(ctx, batch)
		check(b, err)
		for _, u := range out {
			ids = append(ids, strings.Clone(id(u))) // a caller's key is a string of its own
		}
	}
	rnd.Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	runtime.GC()
	return users, ids
}

func sizes(b *testing.B, fn func(b *testing.B, n int)) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			if testing.Short() && n > 10_000 {
				b.Skip("short")
			}
			b.ReportAllocs()
			fn(b, n)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, ids := fill(b, open(b), n)
		i := 0
		for b.Loop() {
			if _, ok := users.Get(ids[i]); !ok {
				b.Fatal("missing")
			}
			if i++; i == n {
				i = 0
			}
		}
	})
}

func BenchmarkGetParallel(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, ids := fill(b, open(b), n)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(n); pb.Next(); {
				if _, ok := users.Get(ids[i]); !ok {
					b.Error("missing")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	})
}

// BenchmarkGetBesideWriter is a get while another goroutine updates without
// pause; see also the percentiles it reports.
func BenchmarkGetBesideWriter(b *testing.B) {
	users, ids := fill(b, open(b), 10_000)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, _ = users.Update(ctx, ids[i%len(ids)], func(u *user) error { u.Value++; return nil })
		}
	}()
	lat := newLatencies()
	i := 0
	for b.Loop() {
		lat.measure(func() { users.Get(ids[i]) })
		if i += 7; i >= len(ids) {
			i -= len(ids)
		}
	}
	lat.report(b)
	close(stop)
	<-done
}

func benchInsert(b *testing.B, insert func(s *store.Store, n int) func(i int)) {
	sizes(b, func(b *testing.B, n int) {
		s := open(b)
		var one func(i int)
		i, end := 0, 0
		for b.Loop() {
			if i == end {
				b.StopTimer()
				one = insert(s, n)
				i, end = n, n+n/2
				b.StartTimer()
			}
			one(i)
			i++
		}
	})
}

func BenchmarkInsert(b *testing.B) {
	benchInsert(b, func(s *store.Store, n int) func(int) {
		users, _ := fill(b, s, n)
		fresh := make([]user, n/2)
		for i := range fresh {
			fresh[i] = newUser(n + i)
		}
		runtime.GC()
		return func(i int) {
			if _, err := users.Insert(ctx, fresh[i-n]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkInsertKeyOnly(b *testing.B) {
	benchInsert(b, func(s *store.Store, n int) func(int) {
		users, _ := fillPlain(b, s, n)
		fresh := make([]plainUser, n/2)
		for i := range fresh {
			fresh[i] = newPlainUser(n + i)
		}
		runtime.GC()
		return func(i int) {
			if _, err := users.Insert(ctx, fresh[i-n]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkInsertParallel is an insert by many goroutines: into one bucket, which has
// one writer at a time, and into a bucket of each goroutine's own.
func BenchmarkInsertParallel(b *testing.B) {
	for _, goroutines := range []int{1, 8, 64} {
		for _, buckets := range []int{1, goroutines} {
			b.Run(fmt.Sprintf("goroutines=%d/buckets=%d", goroutines, buckets), func(b *testing.B) {
				s := open(b)
				users := make([]*store.TypedBucket[user], buckets)
				for i := range users {
					var err error
					users[i], err = store.Define[user](ctx, s, fmt.Sprint("users", i))
					check(b, err)
				}
				b.ReportAllocs()
				fresh := make([]user, b.N)
				for i := range fresh {
					fresh[i] = newUser(i)
				}
				var started, next atomic.Int64
				insertFrom(b, goroutines, func() error {
					to := users[int(started.Add(1))%buckets]
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := to.Insert(ctx, fresh[i-1]); err != nil {
							return err
						}
					}
					return nil
				})
			})
			if goroutines == 1 {
				break
			}
		}
	}
}

// insertFrom runs fn in so many goroutines.
func insertFrom(b *testing.B, goroutines int, fn func() error) {
	errs := make(chan error, goroutines)
	b.ResetTimer()
	for range goroutines {
		go func() { errs <- fn() }()
	}
	for range goroutines {
		check(b, <-errs)
	}
}

func BenchmarkInsertDynamic(b *testing.B) {
	benchInsert(b, func(s *store.Store, n int) func(int) {
		fill(b, s, n)
		users, err := s.Bucket("users")
		check(b, err)
		fresh := make([]store.Fields, n/2)
		for i := range fresh {
			u := newUser(n + i)
			fresh[i] = store.Fields{"name": u.Name, "email": u.Email, "role": u.Role, "age": u.Age, "value": u.Value}
		}
		runtime.GC()
		return func(i int) {
			if _, err := users.Insert(ctx, fresh[i-n]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBulk1000(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s := open(b)
		var users *store.TypedBucket[user]
		i, end := 0, 0
		for b.Loop() {
			if i == end {
				b.StopTimer()
				users, _ = fill(b, s, n)
				i, end = n, n+max(n/2, 5000)
				b.StartTimer()
			}
			b.StopTimer()
			batch := make([]user, 1000)
			for k := range batch {
				batch[k] = newUser(i + k)
			}
			b.StartTimer()
			if _, err := users.InsertMany(ctx, batch); err != nil {
				b.Fatal(err)
			}
			i += 1000
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
	})
}

func benchUpdate(b *testing.B, change func(u *user, i int)) {
	sizes(b, func(b *testing.B, n int) {
		users, ids := fill(b, open(b), n)
		i := 0
		for b.Loop() {
			_, err := users.Update(ctx, ids[i%n], func(u *user) error { change(u, i); return nil })
			if err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func BenchmarkUpdateUnindexed(b *testing.B) {
	benchUpdate(b, func(u *user, i int) { u.Value = float64(i) })
}

func BenchmarkUpdateTwoIndexed(b *testing.B) {
	benchUpdate(b, func(u *user, i int) { u.Role, u.Age = roles[(u.Age+1)%3], (u.Age+7)%100 })
}

func BenchmarkPatch(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, ids := fill(b, open(b), n)
		fields := store.Fields{"value": 1.5}
		i := 0
		for b.Loop() {
			if _, err := users.Patch(ctx, ids[i%n], fields); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func BenchmarkDelete(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s := open(b)
		var users *store.TypedBucket[user]
		var ids []string
		i := 0
		for b.Loop() {
			if i == len(ids) {
				b.StopTimer()
				users, ids = fill(b, s, n)
				i = 0
				b.StartTimer()
			}
			if err := users.Delete(ctx, ids[i]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func BenchmarkIterateThird(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		q := users.Where(store.Eq("role", "user"))
		sum := 0.0
		for b.Loop() {
			for u, err := range q.Seq() {
				if err != nil {
					b.Fatal(err)
				}
				sum += u.Value
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n/3), "ns/record")
	})
}

func BenchmarkIterateThirdEach(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		q := users.Where(store.Eq("role", "user"))
		sum := 0.0
		for b.Loop() {
			check(b, q.Each(func(u *user) bool { sum += u.Value; return true }))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n/3), "ns/record")
	})
}

func BenchmarkIterateAll(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		sum := 0.0
		for b.Loop() {
			for u := range users.All() {
				sum += u.Value
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
	})
}

func BenchmarkFirstTen(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		q := users.Where(store.Eq("role", "user"))
		for b.Loop() {
			left := 10
			for _, err := range q.Seq() {
				if err != nil {
					b.Fatal(err)
				}
				if left--; left == 0 {
					break
				}
			}
		}
	})
}

func BenchmarkCount(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		users, _ := fill(b, open(b), n)
		for b.Loop() {
			if k, err := users.Count(store.Eq("role", "user")); err != nil || k == 0 {
				b.Fatal(k, err)
			}
		}
	})
}

// BenchmarkMemory reports the bytes of a record, indexes included, and the time of
// one collection while all of them are alive.
func BenchmarkMemory(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		for b.Loop() {
			before := heap()
			users, ids := fill(b, open(b), n)
			reportMemory(b, before, n)
			runtime.KeepAlive(users)
			runtime.KeepAlive(ids)
		}
	})
}

// BenchmarkMemoryKeyOnly is the same without indexes.
func BenchmarkMemoryKeyOnly(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		for b.Loop() {
			before := heap()
			users, ids := fillPlain(b, open(b), n)
			reportMemory(b, before, n)
			runtime.KeepAlive(users)
			runtime.KeepAlive(ids)
		}
	})
}

func reportMemory(b *testing.B, before uint64, n int) {
	after := heap()
	b.ReportMetric(float64(after-before)/float64(n)-64, "B/record") // ids: 16 bytes and 48 of text
	start := time.Now()
	runtime.GC()
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "gc-ms")
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
