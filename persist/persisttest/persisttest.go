// Package persisttest states the contract of [store.Log] as tests that every adapter
// has to pass.
//
//	Run     the rules, one test each, and a random program against a model
//	Crash   a power loss after every operation of the file system, and again during
//	        the recovery from it
//	Faults  every operation of the file system fails in turn
//
// Random programs are seeded by PERSIST_SEED, which is logged, and PERSIST_STEPS makes
// them longer.
package persisttest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// Options adapts the tests to an adapter. The zero Options are for one that keeps any
// bytes as they are.
type Options struct {
	// Entry makes an entry of about size bytes, all different, for an adapter that
	// looks into entries. Default: random bytes.
	Entry func(r *rand.Rand, size int) []byte
	// State folds what Load brings into something that require.Equal compares with
	// the State of what was appended. It is for an adapter whose LogInfo says Compact;
	// the rules of positions, of snapshots and of Follow are not tested then. Default:
	// the entries.
	State func(entries [][]byte) any
}

func (o Options) entry(r *rand.Rand, size int) []byte {
	if o.Entry != nil {
		return o.Entry(r, size)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// seed is PERSIST_SEED, or anew; steps is PERSIST_STEPS, or the number given.
func seed(t testing.TB) uint64 { return fromEnv(t, "PERSIST_SEED", rand.Uint64()) }

func steps(t testing.TB, n uint64) int { return int(fromEnv(t, "PERSIST_STEPS", n)) }

func fromEnv(t testing.TB, name string, n uint64) uint64 {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		var err error
		n, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", name, n)
	return n
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// loaded is what a log brought.
type loaded struct {
	info    store.LogInfo
	parts   [][]byte
	entries [][]byte
}

// load reads a whole log, and checks the positions.
func load(l store.Log) (*loaded, error) {
	got := &loaded{info: l.Info()}
	next := got.info.Snapshot + 1
	err := l.Load(context.Background(), func(e store.LogEntry) error {
		data := bytes.Clone(e.Data)
		switch {
		case got.info.Compact:
			got.entries = append(got.entries, data)
		case e.Position == got.info.Snapshot && len(got.entries) == 0:
			got.parts = append(got.parts, data)
		case e.Position == next:
			got.entries = append(got.entries, data)
			next++
		default:
			return fmt.Errorf("entry %d, expected %d", e.Position, next)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if last := next - 1; !got.info.Compact && last != got.info.Last {
		return nil, fmt.Errorf("loaded up to %d, but the last entry is %d", last, got.info.Last)
	}
	return got, nil
}

// history is what was done to a log.
type history struct {
	all  [][]byte
	ends map[int]bool // where an append may end
}

func newHistory() *history { return &history{ends: map[int]bool{0: true}} }

func (h *history) add(entries [][]byte) {
	h.all = append(h.all, entries...)
	h.ends[len(h.all)] = true
}

// cut forgets what is behind a number of entries.
func (h *history) cut(n int) {
	h.all = h.all[:n]
	for end := range h.ends {
		if end > n {
			delete(h.ends, end)
		}
	}
}

// parts is what a snapshot at a position consists of: it follows from the position.
func parts(at store.Position) [][]byte {
	r := random(uint64(at))
	all := make([][]byte, r.IntN(5))
	for i := range all {
		all[i] = fmt.Appendf(nil, "part %d at %d ", i, at)
		all[i] = append(all[i], make([]byte, r.IntN(300))...)
	}
	return all
}

func putParts(at store.Position) func(put func([]byte) error) error {
	return func(put func([]byte) error) error {
		for _, p := range parts(at) {
			if err := put(p); err != nil {
				return err
			}
		}
		return nil
	}
}

// check wants a prefix of the history of at least so many entries, in whole appends.
func (h *history) check(got *loaded, atLeast int) error {
	n := int(got.info.Last)
	switch {
	case n < atLeast:
		return fmt.Errorf("%d entries are there, at least %d have to be", n, atLeast)
	case n > len(h.all):
		return fmt.Errorf("%d entries are there, only %d were appended", n, len(h.all))
	case !h.ends[n]:
		return fmt.Errorf("the log ends with entry %d, within an append", n)
	}
	if s := got.info.Snapshot; s > 0 || len(got.parts) > 0 {
		if want := parts(s); !equal(want, got.parts) {
			return fmt.Errorf("the snapshot at %d is another one", s)
		}
	}
	if !equal(h.all[got.info.Snapshot:n], got.entries) {
		return fmt.Errorf("the entries behind %d are others", got.info.Snapshot)
	}
	return nil
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
