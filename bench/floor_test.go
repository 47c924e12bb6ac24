package bench

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// floor is the least that the same work can cost: Go maps behind a lock, with
// no schema, no snapshots, no order, no events. Figures of this package are read
// as multiples of it, measured in the same run: machines differ, and vary.
type floor struct {
	mu      sync.RWMutex
	byID    map[string]*user
	byEmail map[string]*user
	byRole  map[string]map[string]*user
	byAge   map[int]map[string]*user
}

func newFloor(n int) (*floor, []string) {
	f := &floor{byID: map[string]*user{}, byEmail: map[string]*user{}, byRole: map[string]map[string]*user{}, byAge: map[int]map[string]*user{}}
	ids := make([]string, n)
	for i := range n {
		ids[i] = f.insert(newUser(i))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	runtime.GC()
	return f, ids
}

func (f *floor) get(id string) (u user, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p, ok := f.byID[id]
	if ok {
		u = *p
	}
	return u, ok
}

func (f *floor) insert(u user) string {
	u.ID = uuid.NewString()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link(&u)
	return u.ID
}

func (f *floor) link(u *user) {
	f.byID[u.ID], f.byEmail[u.Email] = u, u
	if f.byRole[u.Role] == nil {
		f.byRole[u.Role] = map[string]*user{}
	}
	if f.byAge[u.Age] == nil {
		f.byAge[u.Age] = map[string]*user{}
	}
	f.byRole[u.Role][u.ID], f.byAge[u.Age][u.ID] = u, u
}

func (f *floor) remove(id string) *user {
	u := f.byID[id]
	delete(f.byID, id)
	delete(f.byEmail, u.Email)
	delete(f.byRole[u.Role], id)
	delete(f.byAge[u.Age], id)
	return u
}

func (f *floor) update(id string, change func(*user)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := *f.byID[id]
	change(&n)
	f.remove(id)
	f.link(&n)
}

func BenchmarkFloorGet(b *testing.B) {
	f, ids := newFloor(10_000)
	i := 0
	for b.Loop() {
		if _, ok := f.get(ids[i]); !ok {
			b.Fatal("missing")
		}
		if i++; i == len(ids) {
			i = 0
		}
	}
}

func BenchmarkFloorInsert(b *testing.B) {
	var f *floor
	i, end := 0, 0
	for b.Loop() {
		if i == end {
			b.StopTimer()
			f, _ = newFloor(10_000)
			i, end = 10_000, 15_000
			b.StartTimer()
		}
		f.insert(newUser(i))
		i++
	}
}

func BenchmarkFloorUpdate(b *testing.B) {
	f, ids := newFloor(10_000)
	i := 0
	for b.Loop() {
		f.update(ids[i], func(u *user) { u.Value++ })
		if i++; i == len(ids) {
			i = 0
		}
	}
}

func BenchmarkFloorDelete(b *testing.B) {
	var f *floor
	var ids []string
	i := 0
	for b.Loop() {
		if i == len(ids) {
			b.StopTimer()
			f, ids = newFloor(10_000)
			i = 0
			b.StartTimer()
		}
		f.mu.Lock()
		f.remove(ids[i])
		f.mu.Unlock()
		i++
	}
}
