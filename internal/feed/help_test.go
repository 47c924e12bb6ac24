package feed

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seedVar replays a random test: FEED_SEED=<printed seed> go test -run ...
const seedVar = "FEED_SEED"

// random returns a source whose seed a failing test prints.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv(seedVar); v != "" {
		var err error
		seed, err = strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", seedVar, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var (
	anything = Interest{Any: true, Types: 0xff}
	inOne    = []Touch{{Bucket: 1, Types: 1}}
	inTwo    = []Touch{{Bucket: 2, Types: 1}}
)

// matches is the definition of Interest, for the oracles.
func (in Interest) matches(touched []Touch) bool {
	for _, t := range touched {
		if (in.Any || in.Bucket == t.Bucket) && in.Types&t.Types != 0 {
			return true
		}
	}
	return false
}

func subscribe[T any](t testing.TB, f *Feed[T], in Interest) *Sub[T] {
	t.Helper()
	s, err := f.Subscribe(in)
	require.NoError(t, err)
	return s
}

// took requires that the next call returns this item, at once or when it comes.
func took[T any](t testing.TB, s *Sub[T], want T) {
	t.Helper()
	item, missed, ok := s.Next()
	require.True(t, ok)
	require.Zero(t, missed)
	require.Equal(t, want, item)
}

// lost requires that the next call reports this loss.
func lost[T any](t testing.TB, s *Sub[T], want int) {
	t.Helper()
	item, missed, ok := s.Next()
	require.True(t, ok)
	require.Equal(t, want, missed)
	require.Zero(t, item)
}

func ended[T any](t testing.TB, s *Sub[T]) {
	t.Helper()
	item, missed, ok := s.Next()
	require.False(t, ok)
	require.Zero(t, missed)
	require.Zero(t, item)
}

// check is the package's invariants, each as its type's comment states it.
func check[T any](t testing.TB, f *Feed[T]) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()

	r := &f.ring
	held := int(r.next - r.first)
	weight, used := 0, 0
	numbers := map[*audience[T]][]uint64{}
	for seq := r.first; seq < r.next; seq++ {
		weight += r.slot(seq).weight
		require.NotEmpty(t, r.slot(seq).audiences, "an item that concerns nobody is held")
		for _, a := range r.slot(seq).audiences {
			numbers[a] = append(numbers[a], seq)
		}
	}
	for i := range r.slots {
		if len(r.slots[i].audiences) > 0 {
			used++
			continue
		}
		require.Zero(t, r.slots[i].item, "a free slot holds an item")
		require.Zero(t, r.slots[i].weight)
		for _, a := range r.slots[i].audiences[:cap(r.slots[i].audiences)] {
			require.Nil(t, a, "a free slot holds an audience")
		}
	}
	require.Equal(t, held, used)
	require.LessOrEqual(t, held, r.entries)
	require.Equal(t, weight, r.weight)
	require.True(t, weight <= r.limit || held == 1, "weight %d, limit %d, %d items", weight, r.limit, held)
	if len(f.awake) == 0 {
		require.Zero(t, held, "items are held and nobody is behind")
	}
	require.Empty(t, f.concerns)
	require.Equal(t, f.count > 0 && !f.closed, f.active.Load())

	asleep, members := 0, 0
	seen := map[Interest]bool{}
	audiences := func(as []*audience[T]) {
		for _, a := range as {
			require.False(t, seen[a.interest], "two audiences of one interest")
			seen[a.interest] = true
			require.False(t, a.interest.Any && a.interest.Bucket != 0)
			asleep += len(a.asleep)
			members += a.members
			require.Positive(t, a.members, "an audience without members is kept")
			require.Equal(t, int(a.added-a.dropped), len(a.seqs)-a.front)
			require.Equal(t, numbers[a], append([]uint64(nil), a.seqs[a.front:]...))
			for i, s := range a.asleep {
				require.True(t, s.asleep && !s.closed && s.at == i && s.audience == a)
				require.Equal(t, a.added, s.taken, "asleep and behind")
				require.Equal(t, a.added, s.done)
				require.Empty(t, s.waits)
			}
		}
	}
	for bucket, as := range f.byBucket {
		require.NotEmpty(t, as)
		for _, a := range as {
			require.Equal(t, bucket, a.interest.Bucket)
		}
		audiences(as)
	}
	audiences(f.anywhere)
	for i, s := range f.awake {
		require.True(t, !s.asleep && !s.closed && s.at == i)
		require.True(t, s.done <= s.taken && s.taken <= s.audience.added)
	}
	require.Equal(t, f.count, members)
	require.Equal(t, f.count, asleep+len(f.awake))
}
