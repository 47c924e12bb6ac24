package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func TestTTLExpiresByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, err := store.Open(ctx, store.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close(ctx)) }()
		sessions, err := s.DefineBucket(ctx, "sessions", store.Definition{
			Key:    "token",
			Schema: store.Schema{"token": {Type: store.String, Generated: store.UUID}, "n": {Type: store.Int, Unique: true}},
			TTL:    30 * time.Second,
		})
		require.NoError(t, err)
		var gone []any
		_, err = s.On("bucket.sessions.deleted", func(e store.Event) { gone = append(gone, e.Old.Get("n")) })
		require.NoError(t, err)
		for i := range 3 {
			r, err := sessions.Insert(ctx, store.Fields{"n": i})
			require.NoError(t, err)
			require.Equal(t, r.CreatedAt().Add(30*time.Second), r.ExpiresAt())
			time.Sleep(10 * time.Second) // the bubble's clock
		}
		// An update does not prolong a record's life.
		r, ok, err := sessions.FindOne(store.Eq("n", 1))
		require.NoError(t, err)
		require.True(t, ok)
		_, err = sessions.Update(ctx, r.Key(), store.Fields{"n": 10})
		require.NoError(t, err)
		time.Sleep(1500 * time.Millisecond)
		n, err := sessions.Count()
		require.NoError(t, err)
		require.Equal(t, 2, n)
		time.Sleep(time.Minute)
		n, err = sessions.Count()
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, s.Settle(ctx))
		require.Equal(t, []any{int64(0), int64(10), int64(2)}, gone)
		require.True(t, s.Stats().TTL.Enabled)
		require.Equal(t, map[string]int{"sessions": 1}, s.Stats().Indexes.PerBucket)
	})
}

func TestPurgeTTLDeletesInBatches(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(ctx, store.Options{TTLInterval: -1, Clock: func() time.Time { return now }})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	b, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}, TTL: time.Hour})
	require.NoError(t, err)
	var batch []store.Fields
	for i := range 2500 {
		batch = append(batch, store.Fields{"id": i})
	}
	_, err = b.InsertMany(ctx, batch)
	require.NoError(t, err)
	n, err := s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	now = now.Add(-time.Hour) // a clock that jumps back expires nothing early
	n, err = s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	now = now.Add(2 * time.Hour)
	before := s.Stats().Commits
	n, err = s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Equal(t, 2500, n)
	require.Equal(t, before+3, s.Stats().Commits, "batches of 1,000")
}

func TestParseTTL(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "30m": 30 * time.Minute, "7d": 7 * 24 * time.Hour, "1.5h": 90 * time.Minute,
		"90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour,
	} {
		d, err := store.ParseTTL(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{"", "0s", "-1s", "-1d", "d", "1", "1y", "1000000d", "NaNd", "1ns", "1d-3h1", "Infd"} {
		_, err := store.ParseTTL(text)
		require.Error(t, err, fmt.Sprintf("%q", text))
	}
}

// An expired record that is updated without pause could go on living: a purge
// that found it changed began anew.
func TestPurgeBesideUpdates(t *testing.T) {
	ctx := context.Background()
	var past atomic.Bool
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(ctx, store.Options{TTLInterval: -1, Clock: func() time.Time {
		if past.Load() {
			return start.Add(2 * time.Hour)
		}
		return start
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	b, err := s.DefineBucket(ctx, "b", store.Definition{
		Key: "id", Schema: store.Schema{"id": {Type: store.Int}, "n": {Type: store.Int}}, TTL: time.Hour,
	})
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"id": 1})
	require.NoError(t, err)
	past.Store(true)
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if _, err := b.Update(ctx, 1, store.Fields{"n": i}); err != nil {
				ended <- err
				return
			}
			if i == 10 {
				close(began)
			}
		}
	}()
	<-began
	n, err := s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.ErrorIs(t, <-ended, store.ErrNotFound)
	// A record that came under the key meanwhile has a life of its own.
	_, err = b.Insert(ctx, store.Fields{"id": 1})
	require.NoError(t, err)
	n, err = s.PurgeTTL(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}
