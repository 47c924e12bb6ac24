package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/memory"
)

// ended reports whether a listener is done.
func ended(l *store.Listener) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

// TestListenerDrain: what was acknowledged before Drain comes, what is committed
// after it does not, however slow the handler is.
func TestListenerDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s, buckets := eventStore(t, store.Options{}, "a")
		var log eventLog
		gate := make(chan struct{})
		l, err := s.Listen("bucket.a.*", func(e store.Event) { <-gate; log.add(e) })
		require.NoError(t, err)
		for i := range 3 {
			_, err := buckets["a"].Insert(ctx, store.Fields{"id": i})
			require.NoError(t, err)
		}
		l.Drain()
		l.Drain()
		_, err = buckets["a"].Insert(ctx, store.Fields{"id": 3})
		require.NoError(t, err)
		synctest.Wait()
		require.False(t, ended(l), "the handler waits at the first")
		close(gate)
		<-l.Done()
		require.Len(t, log.got, 3)
		l.Drain()
		l.Stop()
		require.Zero(t, s.Stats().Subscriptions)
	})
}

func TestListenerEnds(t *testing.T) {
	for name, end := range map[string]func(s *store.Store, l *store.Listener) error{
		"stop":  func(_ *store.Store, l *store.Listener) error { l.Stop(); return nil },
		"drain": func(_ *store.Store, l *store.Listener) error { l.Drain(); return nil },
		"close": func(s *store.Store, _ *store.Listener) error { return s.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, buckets := eventStore(t, store.Options{}, "a")
				var calls atomic.Int64
				l, err := s.Listen("bucket.*.*", func(store.Event) { calls.Add(1) })
				require.NoError(t, err)
				_, err = buckets["a"].Insert(t.Context(), store.Fields{"id": 1})
				require.NoError(t, err)
				synctest.Wait()
				require.False(t, ended(l))
				require.NoError(t, end(s, l))
				<-l.Done()
				require.EqualValues(t, 1, calls.Load())
			})
		})
	}
}

func TestListenRefuses(t *testing.T) {
	s, _ := eventStore(t, store.Options{}, "a")
	_, err := s.Listen("bucket.a", func(store.Event) {})
	require.ErrorIs(t, err, store.ErrPattern)
	_, err = s.Listen("bucket.a.*", nil)
	require.Error(t, err)
	require.NoError(t, s.Close(t.Context()))
	_, err = s.Listen("bucket.a.*", func(store.Event) {})
	require.ErrorIs(t, err, store.ErrClosed)
}

// TestHandlerEndsItsGoroutine: the events behind it are still delivered, those of
// the same commit too; it used to end the subscription, unsaid.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var reported atomic.Int64
		s, err := store.Open(ctx, store.Options{Logger: slog.New(slog.DiscardHandler), OnError: func(err error) {
			if p := (*store.PanicError)(nil); errors.As(err, &p) {
				reported.Add(1)
			}
		}})
		require.NoError(t, err)
		a := eventBucket(t, s, "a")
		var log eventLog
		l, err := s.Listen("bucket.a.*", func(e store.Event) {
			log.add(e)
			if e.Key != store.IntKey(2) {
				runtime.Goexit()
			}
		})
		require.NoError(t, err)
		_, err = a.InsertMany(ctx, []store.Fields{{"id": 1}, {"id": 2}, {"id": 3}})
		require.NoError(t, err)
		_, err = a.Insert(ctx, store.Fields{"id": 4})
		require.NoError(t, err)
		require.NoError(t, s.Settle(ctx))
		require.Len(t, log.got, 4)
		require.NoError(t, s.Close(ctx))
		require.True(t, ended(l))
		require.EqualValues(t, 3, reported.Load())
	})
}

// TestTxCommitted: the sequence of a transaction is that of its events.
func TestTxCommitted(t *testing.T) {
	for name, opt := range map[string]store.Options{
		"memory only": {},
		"log":         {Persistence: store.Persistence{Adapter: memory.New()}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			s, buckets := eventStore(t, opt, "a", "b")
			seqs := make(chan store.Seq, 10)
			_, err := s.On("bucket.a.inserted", func(e store.Event) { seqs <- e.Seq })
			require.NoError(t, err)

			var tx *store.Tx
			for i := range 3 {
				require.NoError(t, s.Transaction(ctx, func(t *store.Tx) error {
					tx = t
					for _, b := range buckets {
						if _, err := b.In(t).Insert(ctx, store.Fields{"id": i, "u": fmt.Sprint(i)}); err != nil {
							return err
						}
					}
					if tx.Committed() != 0 {
						return errors.New("committed before the end")
					}
					return nil
				}))
				require.Equal(t, <-seqs, tx.Committed())
				require.Equal(t, s.Stats().Commits, tx.Committed())
			}

			for name, fn := range map[string]func(t *store.Tx) error{
				"reads": func(t *store.Tx) error { buckets["a"].In(t).Get(1); return nil },
				"fails": func(t *store.Tx) error { _ = buckets["a"].In(t).Delete(ctx, 1); return errors.New("no") },
				"undone": func(t *store.Tx) error {
					_, err := buckets["a"].In(t).Insert(ctx, store.Fields{"id": 9})
					return errors.Join(err, buckets["a"].In(t).Delete(ctx, 9))
				},
			} {
				_ = s.Transaction(ctx, func(t *store.Tx) error { tx = t; return fn(t) })
				require.Zero(t, tx.Committed(), name)
			}
		})
	}
}

// TestTxCommittedBesideOthers: whatever commits at the same time, alone or in the
// log's groups, each transaction knows the sequence that its own event has.
func TestTxCommittedBesideOthers(t *testing.T) {
	for name, opt := range map[string]store.Options{
		"memory only": {},
		"log":         {Persistence: store.Persistence{Adapter: memory.New()}},
	} {
		t.Run(name, func(t *testing.T) {
			const writers, each = 6, 60
			ctx := t.Context()
			s, buckets := eventStore(t, opt, "a", "b")
			heard := map[int64]store.Seq{}
			_, err := s.On("bucket.a.inserted", func(e store.Event) { heard[e.Key.Value().(int64)] = e.Seq })
			require.NoError(t, err)
			var mu sync.Mutex
			told := map[int64]store.Seq{}
			done := make(chan error, writers)
			for w := range int64(writers) {
				go func() {
					for i := range int64(each) {
						key := w*each + i
						if i%5 == 0 { // no transaction
							if _, err := buckets["b"].Insert(ctx, store.Fields{"id": writers*each + key}); err != nil {
								done <- err
								return
							}
						}
						var tx *store.Tx
						err := s.Transaction(ctx, func(t *store.Tx) error {
							tx = t
							_, err := buckets["a"].In(t).Insert(ctx, store.Fields{"id": key})
							return errors.Join(err, touchB(ctx, buckets["b"].In(t), key))
						})
						if err != nil {
							done <- err
							return
						}
						mu.Lock()
						told[key] = tx.Committed()
						mu.Unlock()
					}
					done <- nil
				}()
			}
			for range writers {
				require.NoError(t, <-done)
			}
			require.NoError(t, s.Settle(ctx))
			require.Len(t, told, writers*each)
			require.Equal(t, heard, told)
		})
	}
}

// touchB makes every other transaction one over two buckets.
func touchB(ctx context.Context, b *store.Bucket, key int64) error {
	if key%2 == 0 {
		return nil
	}
	_, err := b.Insert(ctx, store.Fields{"id": key})
	return err
}
