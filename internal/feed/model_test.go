package feed

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// What the model keeps: everything, in slices, and looks at all of it each time.
type (
	modelItem struct {
		weight  int
		touched []Touch
	}
	modelSub struct {
		in      Interest
		next    int // index in model.items of the first not taken or missed
		last    bool
		until   int // what it takes up to, if last
		closed  bool
		sub     *Sub[int]
		ask     chan struct{}
		answers chan answer
		asking  bool
	}
	answer struct {
		item, missed int
		ok           bool
	}
	model struct {
		entries, limit int
		items          []modelItem // those that concern somebody, item i has value i+1
		closed         bool
		subs           []*modelSub
	}
)

// oldest returns the index of the first item that the limits let stay.
func (m *model) oldest() int {
	first, weight := len(m.items), 0
	for first > 0 {
		weight += m.items[first-1].weight
		held := len(m.items) - first
		if held == m.entries || held > 0 && weight > m.limit {
			break
		}
		first--
	}
	return first
}

// answer returns what Next has to return now; ready is false when it has to block.
func (m *model) answer(s *modelSub) (want answer, ready bool) {
	if s.closed {
		return answer{}, true
	}
	oldest, end := m.oldest(), len(m.items)
	if s.last {
		end = s.until
	}
	for ; s.next < end; s.next++ {
		switch concerned := s.in.matches(m.items[s.next].touched); {
		case !concerned:
		case s.next < oldest:
			want.missed++
		case want.missed > 0:
			want.ok = true
			return want, true
		default:
			s.next++
			return answer{item: s.next, ok: true}, true
		}
	}
	if want.missed > 0 {
		want.ok = true
		return want, true
	}
	s.closed = m.closed || s.last
	return answer{}, s.closed
}

func (m *model) concernsAnybody(touched []Touch) bool {
	for _, s := range m.subs {
		if !s.closed && s.in.matches(touched) {
			return true
		}
	}
	return false
}

func randomInterest(r *rand.Rand) Interest {
	return Interest{Any: r.IntN(4) == 0, Bucket: r.Uint32N(4), Types: uint8(r.IntN(8))}
}

func randomTouched(r *rand.Rand) []Touch {
	touched := make([]Touch, r.IntN(4))
	for i := range touched {
		touched[i] = Touch{Bucket: r.Uint32N(5), Types: uint8(r.IntN(8))}
	}
	return touched
}

// TestAgainstModel runs every operation in random order, one at a time and each
// to where nothing moves any more, so that every answer of Next, every blocking
// and every loss has one right value.
func TestAgainstModel(t *testing.T) {
	rnd := random(t)
	for range 30 {
		r := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		synctest.Test(t, func(t *testing.T) { runModel(t, r) })
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	m := &model{entries: 1 + r.IntN(12), limit: r.IntN(40)}
	f := New[int](m.entries, m.limit)

	// settle compares what is asked for with the model until both rest.
	settle := func() {
		for {
			synctest.Wait()
			moved := false
			for i, s := range m.subs {
				if !s.asking {
					continue
				}
				want, ready := m.answer(s)
				select {
				case got := <-s.answers:
					require.True(t, ready, "subscriber %d: got %+v, should block", i, got)
					require.Equal(t, want, got, "subscriber %d", i)
					s.asking, moved = false, true
				default:
					require.False(t, ready, "subscriber %d: blocks, should get %+v", i, want)
				}
			}
			if !moved {
				break
			}
		}
		check(t, f)
		m.checkLag(t, f)
	}

	for range 400 {
		switch n := r.IntN(100); {
		case n < 45:
			it := modelItem{weight: r.IntN(12), touched: randomTouched(r)}
			if !m.closed && m.concernsAnybody(it.touched) {
				m.items = append(m.items, it)
			}
			scratch := slices.Clone(it.touched)
			f.Append(len(m.items), it.weight, scratch)
			clear(scratch) // not retained
		case n < 85 && len(m.subs) > 0:
			s := m.subs[r.IntN(len(m.subs))]
			if s.asking {
				continue
			}
			s.asking = true
			s.ask <- struct{}{}
		case n < 93:
			s := &modelSub{in: randomInterest(r), next: len(m.items)}
			var err error
			s.sub, err = f.Subscribe(s.in)
			if m.closed {
				require.ErrorIs(t, err, ErrClosed)
				continue
			}
			require.NoError(t, err)
			s.ask, s.answers = make(chan struct{}), make(chan answer, 1)
			m.subs = append(m.subs, s)
			go s.run()
		case n < 96 && len(m.subs) > 0:
			s := m.subs[r.IntN(len(m.subs))]
			s.closed = true
			s.sub.Close()
		case n < 99 && len(m.subs) > 0:
			s := m.subs[r.IntN(len(m.subs))]
			if !s.last {
				s.last, s.until = true, len(m.items)
			}
			s.sub.End()
		case n == 99 && r.IntN(8) == 0:
			m.closed = true
			f.Close()
		}
		settle()
	}

	// Everybody reads to the end.
	m.closed = true
	f.Close()
	settle()
	for _, s := range m.subs {
		for !s.closed {
			s.asking = true
			s.ask <- struct{}{}
			settle()
		}
		close(s.ask)
	}
	require.Zero(t, f.count)
	require.Zero(t, f.ring.weight)
	require.Equal(t, f.ring.first, f.ring.next)
	require.Empty(t, f.byBucket)
	require.Empty(t, f.anywhere)
}

// run is the subscriber's goroutine.
func (s *modelSub) run() {
	for range s.ask {
		item, missed, ok := s.sub.Next()
		s.answers <- answer{item, missed, ok}
	}
}

func (m *model) checkLag(t *testing.T, f *Feed[int]) {
	subs, most := 0, 0
	for _, s := range m.subs {
		if s.closed {
			continue
		}
		subs++
		behind := 0
		for _, it := range m.items[s.next:] {
			if s.in.matches(it.touched) {
				behind++
			}
		}
		most = max(most, behind)
	}
	gotSubs, gotMost := f.Lag()
	require.Equal(t, subs, gotSubs)
	require.Equal(t, most, gotMost)
}

// TestOrderAndExactlyOnce runs many subscribers against a producer, all at
// once, with room for everything and with hardly any. The oracle is the slice of
// what was appended: each subscriber's items and losses put together are what
// concerns it, no more, no less, in order.
func TestOrderAndExactlyOnce(t *testing.T) {
	const items, subs = 3000, 40
	for _, entries := range []int{items, 64, 3, 1} {
		t.Run(fmt.Sprint("entries=", entries), func(t *testing.T) {
			r := random(t)
			touched := make([][]Touch, items)
			for i := range touched {
				touched[i] = randomTouched(r)
			}
			synctest.Test(t, func(t *testing.T) {
				f := New[int](entries, items)
				got := make([][]answer, subs)
				interests := make([]Interest, subs)
				for i := range subs {
					interests[i] = randomInterest(r)
					s := subscribe(t, f, interests[i])
					pace := rand.New(rand.NewPCG(r.Uint64(), 0))
					go func() {
						for {
							item, missed, ok := s.Next()
							if !ok {
								return
							}
							got[i] = append(got[i], answer{item, missed, ok})
							for range pace.IntN(8) {
								runtime.Gosched()
							}
						}
					}()
				}
				for i, ts := range touched {
					f.Append(i, 1, ts)
					for range r.IntN(3) {
						runtime.Gosched()
					}
				}
				require.NoError(t, f.Wait(t.Context()))
				check(t, f)
				f.Close()
				synctest.Wait()
				check(t, f)
				for i := range subs {
					requireHistory(t, interests[i], touched, got[i], entries == items)
				}
			})
		})
	}
}

// requireHistory walks the appended items beside what a subscriber got.
func requireHistory(t *testing.T, in Interest, touched [][]Touch, got []answer, whole bool) {
	t.Helper()
	missing := 0 // of the loss reported last, still to be skipped
	for i, ts := range touched {
		if !in.matches(ts) {
			continue
		}
		if missing > 0 {
			missing--
			continue
		}
		require.NotEmpty(t, got, "item %d is neither delivered nor reported as lost", i)
		if next := got[0]; next.missed > 0 {
			require.False(t, whole, "a loss where there is room for all")
			missing = next.missed - 1
		} else {
			require.Equal(t, i, next.item)
		}
		got = got[1:]
	}
	require.Zero(t, missing, "more reported as lost than there was")
	require.Empty(t, got, "more than was appended")
}
