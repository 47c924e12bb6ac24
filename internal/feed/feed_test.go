package feed

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestStartsAfterNewest(t *testing.T) {
	f := New[int](8, 100)
	f.Append(1, 1, inOne)
	first := subscribe(t, f, anything)
	f.Append(2, 1, inOne)
	second := subscribe(t, f, anything) // joins an audience that has items
	f.Append(3, 1, inOne)
	took(t, first, 2)
	took(t, first, 3)
	took(t, second, 3)
}

func TestActive(t *testing.T) {
	f := New[int](8, 100)
	require.False(t, f.Active())
	a, b := subscribe(t, f, anything), subscribe(t, f, Interest{})
	require.True(t, f.Active())
	a.Close()
	a.Close()
	require.True(t, f.Active(), "closing twice counts once")
	b.Close()
	require.False(t, f.Active())
	subscribe(t, f, anything)
	f.Close()
	require.False(t, f.Active())
}

func TestOvertakenByEntries(t *testing.T) {
	f := New[int](4, 100)
	s := subscribe(t, f, anything)
	for i := range 10 {
		f.Append(i, 1, inOne)
	}
	lost(t, s, 6)
	for i := 6; i < 10; i++ {
		took(t, s, i)
	}
	check(t, f)
}

func TestOvertakenByWeight(t *testing.T) {
	f := New[string](100, 10)
	s := subscribe(t, f, anything)
	f.Append("a", 4, inOne)
	f.Append("b", 6, inOne)
	check(t, f)
	f.Append("c", 1, inOne) // a goes
	check(t, f)
	took2 := func(want ...string) {
		for _, w := range want {
			took(t, s, w)
		}
	}
	lost(t, s, 1)
	took2("b", "c")

	f.Append("d", 3, inOne)
	f.Append("huge", math.MaxInt, inOne) // the newest stays whatever its weight
	check(t, f)
	lost(t, s, 1)
	took2("huge")
	f.Append("e", -5, inOne) // counts as zero, and still there is no room beside huge
	check(t, f)
	took2("e")
	f.Append("huge", 11, inOne)
	f.Append("f", 0, inOne)
	check(t, f)
	lost(t, s, 1)
	took2("f")
}

// A loss between two calls is told between the items around it, and again when
// the subscriber is overtaken again.
func TestOvertakenAgain(t *testing.T) {
	f := New[int](2, 100)
	s := subscribe(t, f, anything)
	next := 0
	add := func(n int) {
		for range n {
			f.Append(next, 1, inOne)
			next++
		}
	}
	add(5)
	lost(t, s, 3)
	add(1) // 3 goes before it is taken
	lost(t, s, 1)
	took(t, s, 4)
	add(2)
	lost(t, s, 1)
	took(t, s, 6)
	took(t, s, 7)
}

// A slow subscriber loses nothing to buckets that nobody reads, and of what it
// loses to others it counts only what concerns it, at once.
func TestMissedIsExact(t *testing.T) {
	f := New[int](4, 100)
	one := subscribe(t, f, Interest{Bucket: 1, Types: 1})
	f.Append(1, 1, inOne)
	for i := range 20 {
		f.Append(100+i, 1, inTwo)
	}
	took(t, one, 1)

	two := subscribe(t, f, Interest{Bucket: 2, Types: 1})
	f.Append(2, 1, inOne)
	f.Append(3, 1, inOne)
	for i := range 20 {
		f.Append(200+i, 1, inTwo)
	}
	lost(t, one, 2) // though no item is left that concerns it
	f.Append(4, 1, inOne)
	took(t, one, 4)
	lost(t, two, 17)
	took(t, two, 217)
	check(t, f)
}

func TestInterest(t *testing.T) {
	created, deleted := uint8(1), uint8(4)
	f := New[string](100, 100)
	subs := map[string]*Sub[string]{
		"any":         subscribe(t, f, anything),
		"any deleted": subscribe(t, f, Interest{Any: true, Bucket: 7, Types: deleted}),
		"one":         subscribe(t, f, Interest{Bucket: 1, Types: created | deleted}),
		"one created": subscribe(t, f, Interest{Bucket: 1, Types: created}),
		"two":         subscribe(t, f, Interest{Bucket: 2, Types: 0xff}),
		"no types":    subscribe(t, f, Interest{Any: true}),
		"zero":        subscribe(t, f, Interest{}),
	}
	f.Append("created in one", 1, []Touch{{1, created}})
	f.Append("deleted in one", 1, []Touch{{1, deleted}})
	f.Append("both in one, apart", 1, []Touch{{1, created}, {1, deleted}})
	f.Append("created in one, deleted in two", 1, []Touch{{1, created}, {2, deleted}})
	f.Append("bucket zero", 1, []Touch{{0, created}})
	f.Append("nothing", 1, nil)
	f.Append("no types", 1, []Touch{{1, 0}})
	f.Close()

	got := map[string][]string{}
	for name, s := range subs {
		for {
			item, missed, ok := s.Next()
			if !ok {
				break
			}
			require.Zero(t, missed)
			got[name] = append(got[name], item)
		}
	}
	require.Equal(t, map[string][]string{
		"any":         {"created in one", "deleted in one", "both in one, apart", "created in one, deleted in two", "bucket zero"},
		"any deleted": {"deleted in one", "both in one, apart", "created in one, deleted in two"},
		"one":         {"created in one", "deleted in one", "both in one, apart", "created in one, deleted in two"},
		"one created": {"created in one", "both in one, apart", "created in one, deleted in two"},
		"two":         {"created in one, deleted in two"},
	}, got)
}

// A sleeper is not behind, whatever passes it.
func TestSleeperDoesNotLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New[int](4, 100)
		one := subscribe(t, f, Interest{Bucket: 1, Types: 1})
		two := subscribe(t, f, Interest{Bucket: 2, Types: 1})
		go took(t, one, 1000)
		synctest.Wait()
		for i := range 100 {
			f.Append(i, 1, inTwo)
		}
		subs, most := f.Lag()
		require.Equal(t, 2, subs)
		require.Equal(t, 100, most, "the other one")
		lost(t, two, 96)
		for i := 96; i < 100; i++ {
			took(t, two, i)
		}
		_, most = f.Lag()
		require.Zero(t, most)
		f.Append(1000, 1, inOne)
		synctest.Wait()
		check(t, f)
	})
}

// Only the sleepers that an item concerns wake.
func TestWakeUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New[int](4, 100)
		var mu sync.Mutex
		woken := map[Interest]int{}
		for _, in := range []Interest{anything, {Bucket: 1, Types: 1}, {Bucket: 1, Types: 2}, {Bucket: 2, Types: 1}} {
			for range 3 {
				s := subscribe(t, f, in)
				go func() {
					for {
						if _, _, ok := s.Next(); !ok {
							return
						}
						mu.Lock()
						woken[in]++
						mu.Unlock()
					}
				}()
			}
		}
		synctest.Wait()
		f.mu.Lock()
		require.Empty(t, f.awake)
		f.mu.Unlock()
		for range 5 {
			f.Append(0, 1, inOne)
			synctest.Wait()
		}
		require.Equal(t, map[Interest]int{anything: 15, {Bucket: 1, Types: 1}: 15}, woken)
		f.Close()
		synctest.Wait()
		check(t, f)
	})
}

// A wake-up that comes after a subscriber has decided to sleep and before it does
// is not lost: it waits for the sleeper.
func TestWakeUpBeforeSleep(t *testing.T) {
	f := New[int](4, 100)
	s := subscribe(t, f, anything) // counts as asleep, with nobody at the channel yet
	f.Append(1, 1, inOne)
	require.Len(t, s.wake, 1)
	took(t, s, 1)
	require.Len(t, s.wake, 1, "not needed, and left for the next sleep, which it ends too early")

	// The same where it happens, by chance: the producer meets every moment of
	// the way from an item to sleep, as long as there is a second processor.
	r := random(t)
	synctest.Test(t, func(t *testing.T) {
		f := New[int](4, 100)
		s := subscribe(t, f, anything)
		var taken atomic.Int64
		go func() {
			for item, _, ok := s.Next(); ok; item, _, ok = s.Next() {
				taken.Store(int64(item))
			}
		}()
		for i := int64(1); i <= 50_000; i++ {
			f.Append(int(i), 1, inOne)
			for n := 0; n < 10_000 && taken.Load() < i; n++ {
				runtime.Gosched()
			}
			if taken.Load() < i {
				synctest.Wait()
			}
			require.Equal(t, i, taken.Load(), "asleep beside an item")
			for range r.IntN(100) {
				taken.Load()
			}
		}
		f.Close()
	})
}

func TestCloseOfFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New[int](8, 100)
		asleep, behind := subscribe(t, f, Interest{Bucket: 2, Types: 1}), subscribe(t, f, anything)
		never := subscribe(t, f, anything)
		f.Append(1, 1, inOne)
		f.Append(2, 1, inOne)
		go ended(t, asleep)
		synctest.Wait()
		f.Close()
		f.Close()
		f.Append(3, 1, inOne)
		_, err := f.Subscribe(anything)
		require.ErrorIs(t, err, ErrClosed)
		synctest.Wait()
		check(t, f)
		took(t, behind, 1)
		took(t, behind, 2)
		ended(t, behind)
		ended(t, behind)
		behind.Close()
		never.Close()
		ended(t, never)
		check(t, f)
		subs, most := f.Lag()
		require.Zero(t, subs)
		require.Zero(t, most)
	})
}

func TestCloseOfSub(t *testing.T) {
	t.Run("before Next", func(t *testing.T) {
		f := New[int](8, 100)
		s := subscribe(t, f, anything)
		f.Append(1, 1, inOne)
		s.Close()
		s.Close()
		ended(t, s)
		check(t, f)
	})
	t.Run("while Next blocks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := New[int](8, 100)
			s, other := subscribe(t, f, anything), subscribe(t, f, anything)
			go ended(t, s)
			go took(t, other, 1)
			synctest.Wait()
			s.Close()
			synctest.Wait()
			f.Append(1, 1, inOne)
			synctest.Wait()
			check(t, f)
		})
	})
	t.Run("while it handles", func(t *testing.T) {
		f := New[int](8, 100)
		s := subscribe(t, f, anything)
		f.Append(1, 1, inOne)
		f.Append(2, 1, inOne)
		took(t, s, 1)
		s.Close()
		check(t, f)
		ended(t, s)
	})
	t.Run("from everywhere at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := New[int](8, 100)
			for i := range 20 {
				s := subscribe(t, f, anything)
				go func() {
					for {
						if _, _, ok := s.Next(); !ok {
							return
						}
						if i%3 == 0 {
							s.Close()
						}
					}
				}()
				for range 3 {
					go s.Close()
				}
				f.Append(i, 1, inOne)
			}
			go f.Close()
			f.Append(0, 1, inOne)
			synctest.Wait()
			check(t, f)
			require.False(t, f.Active())
		})
	})
}

func TestWait(t *testing.T) {
	waiting := func(t *testing.T, f *Feed[int]) func() bool {
		done := make(chan error, 1)
		go func() { done <- f.Wait(t.Context()) }()
		synctest.Wait()
		return func() bool {
			synctest.Wait()
			select {
			case err := <-done:
				require.NoError(t, err)
				return true
			default:
				return false
			}
		}
	}
	t.Run("nobody behind", func(t *testing.T) {
		f := New[int](8, 100)
		require.NoError(t, f.Wait(t.Context()))
		s := subscribe(t, f, Interest{Bucket: 1, Types: 1}) // never asks
		f.Append(1, 1, inTwo)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, f.Wait(canceled), "nothing to wait for comes before the context")
		s.Close()
	})
	t.Run("finished means asked again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := New[int](8, 100)
			s, other := subscribe(t, f, anything), subscribe(t, f, Interest{Bucket: 1, Types: 1})
			f.Append(1, 1, inOne)
			f.Append(2, 1, inTwo)
			done := waiting(t, f)
			require.False(t, done())
			later := subscribe(t, f, anything) // not waited for
			f.Append(3, 1, inOne)              // nor this
			took(t, other, 1)
			took(t, s, 1)
			took(t, s, 2)
			require.False(t, done())
			took(t, s, 3)
			require.False(t, done(), "the other still handles 1")
			took(t, other, 3)
			require.True(t, done())
			all := waiting(t, f)
			require.False(t, all())
			f.Close()
			ended(t, s)
			ended(t, other)
			require.False(t, all())
			took(t, later, 3)
			require.False(t, all())
			later.Close()
			require.True(t, all())
			check(t, f)
		})
	})
	t.Run("the overtaken count when they ask after the report", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := New[int](1, 100)
			s := subscribe(t, f, anything)
			f.Append(1, 1, inOne)
			done := waiting(t, f)
			f.Append(2, 1, inOne)
			lost(t, s, 1)
			require.False(t, done())
			took(t, s, 2)
			require.True(t, done())
		})
	})
	t.Run("a context that ends leaves nothing behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := New[int](8, 100)
			s := subscribe(t, f, anything)
			f.Append(1, 1, inOne)
			took(t, s, 1)
			early := waiting(t, f)
			f.Append(2, 1, inOne)
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() { failed <- f.Wait(ctx) }()
			synctest.Wait()
			last := waiting(t, f)
			require.False(t, early())
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			require.Len(t, s.waits, 2)
			took(t, s, 2)
			require.True(t, early())
			require.False(t, last())
			s.Close()
			require.True(t, last())
			require.Empty(t, s.waits)
		})
	})
}

// What nobody can read any more can be collected: overwritten items, those that
// all have finished, those that the last subscriber left behind.
func TestRingIsEmptied(t *testing.T) {
	held := func(f *Feed[*int]) (n int) {
		for i := range f.ring.slots {
			if f.ring.slots[i].item != nil {
				n++
			}
		}
		return n
	}
	f := New[*int](8, 100)
	f.Append(new(int), 1, inOne)
	require.Nil(t, f.ring.slots, "no memory before the first subscriber")

	s, other := subscribe(t, f, anything), subscribe(t, f, anything)
	for range 5 {
		f.Append(new(int), 1, inOne)
	}
	require.Equal(t, 5, held(f))
	f.Append(new(int), 100, inOne)
	require.Equal(t, 1, held(f), "overwritten by weight")
	s.Close()
	require.Equal(t, 1, held(f))
	other.Close()
	require.Zero(t, held(f), "the last has left")
	check(t, f)

	synctest.Test(t, func(t *testing.T) {
		f := New[*int](8, 100)
		s := subscribe(t, f, anything)
		for range 5 {
			f.Append(new(int), 1, inOne)
		}
		go func() {
			for ok := true; ok; {
				_, _, ok = s.Next()
			}
		}()
		synctest.Wait()
		require.Zero(t, held(f), "all are asleep")
		check(t, f)
		s.Close()
	})
}

// Large backlogs do not leave large slices behind, and the audience's numbers
// move along with a subscriber that never catches up.
func TestAudienceMemory(t *testing.T) {
	f := New[int](100, 1000)
	s := subscribe(t, f, anything)
	for i := range 100 {
		f.Append(i, 1, inOne)
	}
	for i := range 10_000 {
		took(t, s, i)
		f.Append(100+i, 1, inOne)
	}
	a := s.audience
	require.LessOrEqual(t, cap(a.seqs), 512)
	check(t, f)
	s.Close()
	require.LessOrEqual(t, cap(a.seqs), keep)
	check(t, f)
}

// All that may run at once does, for the race detector.
func TestConcurrently(t *testing.T) {
	r := random(t)
	synctest.Test(t, func(t *testing.T) {
		f := New[int](16, 50)
		var calls atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			interests := []Interest{randomInterest(r), randomInterest(r), anything}
			wg.Go(func() {
				for {
					for _, in := range interests {
						s, err := f.Subscribe(in)
						if errors.Is(err, ErrClosed) {
							return
						}
						wg.Go(func() {
							for range 20 {
								if _, _, ok := s.Next(); !ok {
									return
								}
								calls.Add(1)
							}
							s.Close()
						})
						wg.Go(func() {
							for range 50 {
								runtime.Gosched()
							}
							s.Close()
						})
					}
					runtime.Gosched()
				}
			})
		}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f.Lag()
					_ = f.Wait(t.Context())
					check(t, f)
					runtime.Gosched()
				}
			}
		})
		for i := range 5000 {
			if f.Active() {
				f.Append(i, i%20, randomTouched(r))
			}
			runtime.Gosched()
		}
		f.Close()
		close(stop)
		wg.Wait()
		check(t, f)
		require.Zero(t, f.count)
		t.Log("items taken or losses told: ", calls.Load())
	})
}
