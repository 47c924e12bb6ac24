package persisttest_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/memory"
	"github.com/noex-go/store/persist/persisttest"
)

// onFS makes an adapter whose files are on a file system that can lose its power.
var onFS persisttest.OnFS = func(fs vfs.FS) store.Adapter {
	return file.New("data/log", file.FS(fs), file.SegmentSize(2048), file.Logger(slog.New(slog.DiscardHandler)))
}

// An adapter that takes its file system from outside can be tested for what a power
// loss leaves. TestCrash of an adapter calls Crash, which runs several of these.
func ExampleOnFS() {
	const seed, steps = 1, 5
	tried, err := persisttest.CrashOnce(onFS, seed, steps)
	fmt.Println(err, tried.Images > tried.Operations)
	// Output:
	// <nil> true
}

// Figures tell how much was tried, so that a test that tries nothing is seen.
func ExampleFigures() {
	var all persisttest.Figures
	for seed := range uint64(2) {
		tried, err := persisttest.FaultsOnce(onFS, seed, 3)
		if err != nil {
			fmt.Println("seed", seed, err)
		}
		all.Add(tried)
	}
	fmt.Println(all.Faults > 0, all.Images > 0)
	// Output:
	// true true
}

// An adapter that keeps the newest state of each record, instead of entries, says how
// to make entries that it can read, and what is to be the same after a load.
func ExampleOptions() {
	opt := persisttest.Options{
		Entry: func(r *rand.Rand, size int) []byte { // "key=value"
			return fmt.Appendf(nil, "%d=%x", r.IntN(20), make([]byte, size/2))
		},
		State: func(entries [][]byte) any {
			state := map[string]string{}
			for _, e := range entries {
				key, value, _ := bytes.Cut(e, []byte("="))
				state[string(key)] = string(value)
			}
			return state
		},
	}
	_ = func(t *testing.T) { // TestConformance of the adapter
		persisttest.Run(t, func(*testing.T) store.Adapter { return compact{memory.New()} }, opt)
	}
	fmt.Println(opt.State([][]byte{[]byte("a=1"), []byte("b=2"), []byte("a=3")}))
	// Output:
	// map[a:3 b:2]
}
