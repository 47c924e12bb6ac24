package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Writers that wait share the next append and its sync; the log's order is that of
// the sequences.
func TestLogGroupCommit(t *testing.T) {
	const writers, each = 64, 5
	for name, spread := range map[string]int{"one bucket": 1, "several buckets": 8} {
		t.Run(name, func(t *testing.T) {
			var syncs atomic.Int64
			log := &testLog{
				onSync: func() error { syncs.Add(1); time.Sleep(200 * time.Microsecond); return nil },
			}
			s := openLogged(t, persistent(log))
			var bs []*store.Bucket
			for i := range spread {
				bs = append(bs, defineNumbers(t, s, fmt.Sprint("b", i)))
			}
			before := syncs.Load()
			together(writers, func(i int) {
				for k := range each {
					id := i*each + k
					if i%4 > 0 {
						_, err := bs[i%spread].Insert(bg, store.Fields{"id": id})
						assert.NoError(t, err)
						continue
					}
					assert.NoError(t, s.Transaction(bg, func(tx *store.Tx) error {
						if _, err := bs[i%spread].In(tx).Insert(bg, store.Fields{"id": id}); err != nil {
							return err
						}
						_, err := bs[(i+1)%spread].In(tx).Insert(bg, store.Fields{"id": -1 - id})
						return err
					}))
				}
			})
			require.EqualValues(t, writers*each, s.Stats().Commits)
			if spread > 1 { // of one bucket, transactions go one by one
				require.Less(t, syncs.Load()-before, int64(writers*each/2))
			}
			require.Less(t, syncs.Load()-before, int64(writers*each*3/4))
			st := s.Stats().Persistence
			require.Equal(t, syncs.Load(), st.Syncs)
			require.EqualValues(t, writers*each+spread, st.Position)
			ordered(t, log)
			require.NoError(t, s.Close(bg))
		})
	}
}

// ordered checks that each commit of a log has the sequence after the one before.
func ordered(t *testing.T, log *testLog) {
	t.Helper()
	last := uint64(0)
	for i, e := range parseLog(t, log) {
		if len(e.Buckets) > 0 {
			require.Equal(t, last, e.Seq, "entry %d, a definition", i)
			continue
		}
		require.Equal(t, last+1, e.Seq, "entry %d", i)
		last = e.Seq
	}
}

// Two transactions each read what the other one writes, and wait for the same
// append: one of them is in conflict.
func TestLogWriteSkewInAGroup(t *testing.T) {
	for name, read := range map[string]func(b *store.Bucket) error{
		"key":   func(b *store.Bucket) error { b.Get(1); return nil },
		"query": func(b *store.Bucket) error { _, err := b.Where(store.Eq("n", 1)).Count(); return err },
		"scan":  func(b *store.Bucket) error { _, err := b.Count(); return err },
	} {
		for _, third := range []string{"transaction", "single write"} {
			t.Run(name+" "+third, func(t *testing.T) {
				gate := &logGate{}
				s := openLogged(t, persistent(&testLog{onAppend: gate.pass}))
				a, b, c := defineNumbers(t, s, "a"), defineNumbers(t, s, "b"), defineNumbers(t, s, "c")
				gate.shut()
				var wg sync.WaitGroup
				wg.Go(func() { putNumber(t, c, 1, 1) })
				gate.blocked(t, 1)
				var began, read2 sync.WaitGroup
				began.Add(1)
				var errs [2]error
				tx := func(i int, from, to *store.Bucket) {
					errs[i] = s.Transaction(bg, func(tx *store.Tx) error {
						if err := read(from.In(tx)); err != nil {
							return err
						}
						read2.Done()
						began.Wait() // both have read
						_, err := to.In(tx).Insert(bg, store.Fields{"id": 1, "n": 1})
						return err
					})
				}
				read2.Add(1)
				wg.Go(func() { tx(0, a, b) })
				if third == "transaction" {
					read2.Add(1)
					wg.Go(func() { tx(1, b, a) })
					read2.Wait()
					began.Done()
				} else { // a single write goes ahead in the group
					read2.Wait()
					wg.Go(func() { putNumber(t, a, 1, 1) })
					settled()
					began.Done()
				}
				settled()
				gate.open()
				wg.Wait()
				var conflict *store.ConflictError
				if third == "transaction" {
					require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v, %v", errs[0], errs[1])
					err := errs[0]
					if err == nil {
						err = errs[1]
					}
					require.ErrorAs(t, err, &conflict)
				} else if errs[0] != nil {
					require.ErrorAs(t, errs[0], &conflict)
				}
				require.NoError(t, store.CheckTables(s))
			})
		}
	}
}

// A write that is not taken yet gives up with its context; one that was taken
// completes.
func TestLogContextsWhileAnAppendBlocks(t *testing.T) {
	gate := &logGate{}
	s := openLogged(t, persistent(&testLog{onAppend: gate.pass}))
	b := defineNumbers(t, s, "b")
	gate.shut()
	ctx, cancel := context.WithCancel(bg)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := b.Insert(ctx, store.Fields{"id": 1}); first <- err }()
	gate.blocked(t, 1)
	go func() { _, err := b.Insert(ctx, store.Fields{"id": 2}); second <- err }()
	settled()
	cancel()
	inTime(t, "a write that waits", func() {
		if err := <-second; err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	})
	gate.open()
	require.NoError(t, <-first)
	require.Equal(t, nil, numberOf(t, b, 2))
	require.NoError(t, store.CheckTables(s))
}

// Definitions, drops, compactions and writers beside each other: what was
// acknowledged is there after a restart, and after a crash in the midst.
func TestLogStorm(t *testing.T) {
	for round := range 6 {
		log := &testLog{}
		var n atomic.Int64
		log.onAppend = func([][]byte) error {
			if n.Add(1)%3 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
			return nil
		}
		s := openLogged(t, persistent(log))
		a, b := defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
		var acked [6]atomic.Int64 // of each writer, how many
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range acked {
			wg.Go(func() {
				for k := range 150 {
					id := 1000*i + k
					err := s.Transaction(bg, func(tx *store.Tx) error {
						if _, err := a.In(tx).Insert(bg, store.Fields{"id": id}); err != nil || i%2 == 0 {
							return err
						}
						_, err := b.In(tx).Insert(bg, store.Fields{"id": id})
						return err
					})
					if !assert.NoError(t, err) {
						return
					}
					acked[i].Add(1)
				}
			})
		}
		beside := func(fn func(k int)) {
			wg.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
						fn(k)
					}
				}
			})
		}
		beside(func(int) { assert.NoError(t, s.Compact(bg)) })
		beside(func(int) { assert.NoError(t, s.Compact(bg)) })
		beside(func(k int) {
			name := fmt.Sprint("c", k%3)
			c, err := s.DefineBucket(bg, name, numbersDefinition())
			assert.NoError(t, err)
			_, err = c.Insert(bg, store.Fields{"id": k})
			assert.NoError(t, err)
			assert.NoError(t, s.DropBucket(bg, name))
		})
		until(t, "some writes", func() bool { return acked[0].Load() > int64(10+20*round) })
		var least [6]int64
		for i := range acked {
			least[i] = acked[i].Load()
		}
		crashed := log.crash(round%2 == 0)
		until(t, "all writes", func() bool {
			for i := range acked {
				if acked[i].Load() < 150 {
					return t.Failed()
				}
			}
			return true
		})
		close(stop)
		wg.Wait()
		require.NoError(t, store.CheckTables(s))
		stormPrefix(t, crashed, least[:])
		require.NoError(t, s.Close(bg))
		stormPrefix(t, log, []int64{150, 150, 150, 150, 150, 150})
	}
}

// stormPrefix opens a log: of each writer it has the first commits, at least as
// many as were acknowledged, and none by half.
func stormPrefix(t *testing.T, log *testLog, least []int64) {
	t.Helper()
	log.onAppend, log.open = nil, false
	s := openLogged(t, persistent(log))
	a, b := defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
	for i, want := range least {
		n := 0
		for ; n < 150; n++ {
			_, inA := a.Get(1000*i + n)
			_, inB := b.Get(1000*i + n)
			require.Equal(t, inA && i%2 == 1, inB, "half a transaction")
			if !inA {
				break
			}
		}
		require.GreaterOrEqual(t, int64(n), want, "writer %d", i)
		for ; n < 150; n++ {
			_, inA := a.Get(1000*i + n)
			require.False(t, inA, "a later commit without an earlier one")
		}
	}
	require.NoError(t, store.CheckTables(s))
	require.NoError(t, s.Close(bg))
}

// A group that is larger than the log takes at once goes into it in parts.
func TestLogGroupLargerThanAnAppend(t *testing.T) {
	gate := &logGate{}
	log := &testLog{most: 4096}
	log.onAppend = func(entries [][]byte) error {
		size := 0
		for _, e := range entries {
			size += len(e)
		}
		if size > log.most {
			return errFoe
		}
		return gate.pass(entries)
	}
	s := openLogged(t, persistent(log))
	def := numbersDefinition()
	def.Extra = true
	b, err := s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	var writes []func() error
	for id := range 20 {
		writes = append(writes, func() error {
			_, err := b.Insert(bg, store.Fields{"id": id, "text": strings.Repeat("x", 1000)})
			return err
		})
	}
	for _, err := range behind(t, s, b, gate, gate.open, writes...) {
		require.NoError(t, err)
	}
	want := showBucket(t, b)
	s = reopen(t, s, log)
	b, err = s.DefineBucket(bg, "b", def)
	require.NoError(t, err)
	require.Equal(t, want, showBucket(t, b))
}
