package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// backedUp makes a backup of a store with two buckets, and shows what is in them.
func backedUp(t *testing.T, opt store.Options) (stream []byte, want map[string][]string) {
	ctx := t.Context()
	s := openStore(t, opt)
	want = map[string][]string{}
	for _, name := range []string{"one", "two"} {
		b, err := s.DefineBucket(ctx, name, everyType)
		require.NoError(t, err)
		for i := range 5 {
			_, err := b.Insert(ctx, store.Fields{"s": fmt.Sprint(name, i), "i": i, "f": float64(i)})
			require.NoError(t, err)
		}
		require.NoError(t, b.Delete(ctx, 3))
		want[name] = showBucket(t, b)
	}
	volatile := everyType
	volatile.Volatile = true
	b, err := s.DefineBucket(ctx, "volatile", volatile)
	require.NoError(t, err)
	_, err = b.Insert(ctx, store.Fields{"s": "gone"})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, s.Backup(ctx, &out))
	return out.Bytes(), want
}

func TestBackup(t *testing.T) {
	for name, opt := range map[string]store.Options{"memory": {}, "log": persistent(&testLog{})} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			stream, want := backedUp(t, opt)
			log := &testLog{}
			require.NoError(t, store.Restore(ctx, bytes.NewReader(stream), log))
			s := openStore(t, persistent(log))
			require.Equal(t, []string{"one", "two"}, s.Stats().Persistence.Undefined)
			for name := range want {
				b, err := s.DefineBucket(ctx, name, everyType)
				require.NoError(t, err)
				require.Equal(t, want[name], showBucket(t, b))
				r, err := b.Insert(ctx, store.Fields{})
				require.NoError(t, err)
				require.Equal(t, int64(6), r.Get("id"))
			}
			require.NoError(t, s.Close(ctx))
			require.ErrorIs(t, store.Restore(ctx, bytes.NewReader(stream), log), store.ErrNotEmpty)
		})
	}
}

// A stream that is cut off or changed anywhere leaves the log empty.
func TestBackupDamaged(t *testing.T) {
	ctx := t.Context()
	stream, _ := backedUp(t, store.Options{})
	refused := func(name string, bad []byte, want error) {
		log := &testLog{}
		require.ErrorIs(t, store.Restore(ctx, bytes.NewReader(bad), log), want, name)
		s, err := store.Open(ctx, persistent(log))
		require.NoError(t, err)
		require.Empty(t, s.Stats().Persistence.Undefined, name)
		require.NoError(t, s.Close(ctx))
		require.NoError(t, store.Restore(ctx, bytes.NewReader(stream), log), "an empty log takes another one")
	}
	for n := range stream {
		refused(fmt.Sprint("cut at ", n), stream[:n], store.ErrBackup)
	}
	for i := range stream {
		for bit := range 8 {
			bad := bytes.Clone(stream)
			bad[i] ^= 1 << bit
			refused(fmt.Sprint("flip ", i, ".", bit), bad, store.ErrBackup)
		}
	}
	refused("more", append(bytes.Clone(stream), 0), store.ErrBackup)
	refused("nothing", nil, store.ErrBackup)
}

type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

var errDisk = errors.New("the disk is full")

func TestBackupFails(t *testing.T) {
	s := openStore(t, persistent(&testLog{}))
	b, err := s.DefineBucket(t.Context(), "b", everyType)
	require.NoError(t, err)
	for i := range 20_000 {
		_, err := b.Insert(t.Context(), store.Fields{"s": fmt.Sprint(i)})
		require.NoError(t, err)
	}
	for _, left := range []int{0, 70_000, 200_000} {
		require.ErrorIs(t, s.Backup(t.Context(), &failingWriter{left}), errDisk)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Backup(ctx, &bytes.Buffer{}), context.Canceled)
	require.Zero(t, s.Stats().Snapshots)
	require.NoError(t, s.Close(t.Context()))
	require.ErrorIs(t, s.Backup(t.Context(), &bytes.Buffer{}), store.ErrClosed)
}
