package feed

import (
	"fmt"
	"testing"
)

// BenchmarkAppend is what a commit pays. Sleepers of other buckets and readers
// that are awake must not show.
func BenchmarkAppend(b *testing.B) {
	run := func(name string, prepare func(f *Feed[*int])) {
		b.Run(name, func(b *testing.B) {
			f := New[*int](4096, 1<<20)
			prepare(f)
			defer f.Close()
			item := new(int)
			b.ReportAllocs()
			for b.Loop() {
				f.Append(item, 64, inOne)
			}
		})
	}
	// Asked nothing since the first item, a subscriber is awake, and a slow one.
	awake := func(n int) func(f *Feed[*int]) {
		return func(f *Feed[*int]) {
			for range n {
				subscribe(b, f, Interest{Bucket: 1, Types: 1})
			}
			f.Append(nil, 0, inOne)
		}
	}
	asleep := func(f *Feed[*int]) {
		for i := range 10_000 {
			s := subscribe(b, f, Interest{Bucket: uint32(10 + i%5000), Types: 1})
			go s.Next()
		}
	}
	run("none", func(*Feed[*int]) {})
	run("awake=1", awake(1))
	run("awake=10000", awake(10_000))
	run("asleep elsewhere=10000", asleep)
	run("asleep elsewhere=10000,awake=1", func(f *Feed[*int]) {
		asleep(f)
		awake(1)(f)
	})
}

// BenchmarkWake is an Append that wakes sleepers, without what they do then:
// they are put to sleep again by hand.
func BenchmarkWake(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("asleep=", n), func(b *testing.B) {
			f := New[*int](4096, 1<<20)
			subs := make([]*Sub[*int], n)
			for i := range subs {
				subs[i] = subscribe(b, f, Interest{Bucket: 1, Types: 1})
			}
			item := new(int)
			b.ReportAllocs()
			for b.Loop() {
				f.Append(item, 64, inOne)
				f.mu.Lock()
				for _, s := range subs {
					s.taken, s.done = s.audience.added, s.audience.added
					f.sleepLocked(s)
					<-s.wake
				}
				f.mu.Unlock()
			}
		})
	}
}

// BenchmarkEndToEnd is from Append to the subscriber's goroutine and back, one
// item at a time, and as a stream without waiting.
func BenchmarkEndToEnd(b *testing.B) {
	reader := func(f *Feed[int], each func(item, missed int)) {
		s := subscribe(b, f, Interest{Bucket: 1, Types: 1})
		go func() {
			for {
				item, missed, ok := s.Next()
				if !ok {
					return
				}
				each(item, missed)
			}
		}()
	}
	b.Run("ping", func(b *testing.B) {
		f := New[int](4096, 1<<20)
		defer f.Close()
		back := make(chan int)
		reader(f, func(item, _ int) { back <- item })
		b.ReportAllocs()
		for b.Loop() {
			f.Append(1, 64, inOne)
			<-back
		}
	})
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprint("stream/subscribers=", n), func(b *testing.B) {
			f := New[int](4096, 1<<20)
			defer f.Close()
			lost := make([]int, n)
			for i := range n {
				reader(f, func(_, missed int) { lost[i] += missed })
			}
			b.ReportAllocs()
			for b.Loop() {
				f.Append(1, 64, inOne)
			}
			if err := f.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			total := 0
			for _, l := range lost {
				total += l
			}
			b.ReportMetric(float64(total)/float64(b.N*n), "lost/op")
		})
	}
}
