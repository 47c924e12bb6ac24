package persisttest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/memory"
	"github.com/noex-go/store/persist/persisttest"
)

// compact is an adapter that keeps the newest state of each record: an entry is
// "key=value", and Load brings one for each key.
type compact struct{ *memory.Adapter }

func (c compact) OpenLog(ctx context.Context) (store.Log, error) {
	l, err := c.Adapter.OpenLog(ctx)
	if err != nil {
		return nil, err
	}
	return compactLog{l}, nil
}

type compactLog struct{ store.Log }

func (l compactLog) Info() store.LogInfo {
	info := l.Log.Info()
	info.Compact = true
	return info
}

func (l compactLog) Load(ctx context.Context, fn func(store.LogEntry) error) error {
	newest := make(map[string]store.LogEntry)
	err := l.Log.Load(ctx, func(e store.LogEntry) error {
		key, _, _ := bytes.Cut(e.Data, []byte("="))
		newest[string(key)] = e
		return nil
	})
	for _, e := range newest {
		if err == nil {
			err = fn(e)
		}
	}
	return err
}

func TestCompact(t *testing.T) {
	persisttest.Run(t, func(*testing.T) store.Adapter { return compact{memory.New()} }, persisttest.Options{
		Entry: func(r *rand.Rand, size int) []byte {
			e := fmt.Appendf(nil, "%d=%d", r.IntN(20), r.Uint64())
			return append(e, make([]byte, size)...)
		},
		State: func(entries [][]byte) any {
			state := make(map[string]string)
			for _, e := range entries {
				key, value, _ := bytes.Cut(e, []byte("="))
				state[string(key)] = string(value)
			}
			return state
		},
	})
}
