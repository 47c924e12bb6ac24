package store_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
	"github.com/noex-go/store/persist/file"
)

// holdings is what two buckets hold: accounts, and what was moved between them.
type holdings map[string]int64

func (b holdings) String() string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(b)) {
		fmt.Fprintf(&out, "%s=%d ", key, b[key])
	}
	return out.String()
}

// readHoldings reads a store's two buckets.
func readHoldings(buckets ...*store.Bucket) holdings {
	out := holdings{}
	for i, b := range buckets {
		for r := range b.All() {
			out[fmt.Sprint(i, "/", r.Key())] = r.Get("n").(int64)
		}
	}
	return out
}

// A power loss after any operation of the file system leaves the store as it was at
// some commit: whole transactions over both buckets, and in Sync none that was
// acknowledged before is missing.
func TestLogPowerLoss(t *testing.T) {
	for _, mode := range []store.Durability{store.Sync, store.OS} {
		t.Run(fmt.Sprint("sync=", mode == store.Sync), func(t *testing.T) {
			seed, steps := modelSeeds(t, 1)[0], modelSteps(t, 60)
			t.Logf("STORE_SEED=%d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			mem := vfs.NewMemory()
			fs := vfs.NewFaulty(mem, nil)
			type image struct {
				disk  *vfs.Memory
				acked int // commits that were acknowledged before
			}
			var images []image
			states := []string{holdings{}.String()} // after each commit
			acked := 0
			fs.After = func(vfs.Op) {
				if r.IntN(3) == 0 {
					images = append(images, image{mem.Crash(r, float64(r.IntN(3))/2), acked})
				}
			}
			quiet := slog.New(slog.DiscardHandler)
			open := func(disk vfs.FS) (*store.Store, *store.Bucket, *store.Bucket) {
				adapter := file.New("data/log", file.FS(disk), file.SegmentSize(4<<10), file.Logger(quiet))
				s, err := store.Open(bg, store.Options{Logger: quiet, Persistence: store.Persistence{Adapter: adapter, Durability: mode}})
				require.NoError(t, err)
				return s, defineNumbers(t, s, "a"), defineNumbers(t, s, "b")
			}
			s, a, b := open(fs)
			defined := len(images)
			for range steps {
				switch r.IntN(10) {
				case 0:
					require.NoError(t, s.Compact(bg))
				case 1:
					require.NoError(t, s.Close(bg))
					s, a, b = open(fs)
				case 2:
					require.NoError(t, a.Clear(bg))
				default:
					err := s.Transaction(bg, func(tx *store.Tx) error {
						n := r.IntN(20)
						_, err := a.In(tx).Upsert(bg, store.Fields{"id": n, "n": r.IntN(1000)})
						if err == nil {
							_, err = b.In(tx).Upsert(bg, store.Fields{"id": n, "n": r.IntN(1000)})
						}
						if err == nil && r.IntN(4) == 0 {
							err = a.In(tx).Delete(bg, r.IntN(20))
						}
						return err
					})
					require.NoError(t, err)
				}
				if now := readHoldings(a, b).String(); now != states[len(states)-1] {
					states = append(states, now)
				}
				acked = len(states) - 1
			}
			require.NoError(t, s.Close(bg))
			for i, im := range images[defined:] {
				s, a, b := open(im.disk)
				got := readHoldings(a, b).String()
				at := slices.Index(states, got)
				for next := at; next >= 0 && at < im.acked; { // the same state may come again
					if next = slices.Index(states[at+1:], got); next >= 0 {
						at += next + 1
					}
				}
				require.GreaterOrEqual(t, at, 0, "image %d: no state of the store: %s", i, got)
				if mode == store.Sync {
					require.GreaterOrEqual(t, at, im.acked, "image %d: an acknowledged commit is missing", i)
				}
				require.NoError(t, store.CheckTables(s))
				require.NoError(t, s.Close(bg))
			}
			t.Logf("%d images, %d states", len(images)-defined, len(states))
		})
	}
}
