package peers

import (
	"math/rand/v2"
	"testing"
)

// TestWatch holds that every engine that can watch returns the record as the last
// update left it, and is woken by that of its own record: one by others would
// return the old value.
func TestWatch(t *testing.T) {
	seed := seedOf(t)
	for _, p := range Peers {
		if p.OnDisk {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			e, ok := openEngine(t, p.Indexed).(Watcher)
			if !ok {
				t.Skip("cannot watch")
			}
			const n = 20
			noError(t, e.InsertMany(newRecords(0, n)))
			var watches [n]Watch
			for i := range watches {
				var err error
				watches[i], err = e.Watch(NewRecord(i).ID)
				noError(t, err)
				defer watches[i].Stop()
			}
			rnd := rand.New(rand.NewPCG(seed, 2))
			for step := range 1000 {
				i := rnd.IntN(n)
				want := NewRecord(i)
				want.Value = float64(1000 + step)
				noError(t, e.UpdateValue(want.ID, want.Value))
				got, err := watches[i].Next()
				if noError(t, err); got != want {
					t.Fatalf("step %d: watched %v, want %v", step, got, want)
				}
			}
		})
	}
}
