package peers

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestModel puts random operations to every engine and to a map, and compares
// the answers. PEERS_SEED repeats a run.
func TestModel(t *testing.T) {
	seed := seedOf(t)
	for _, p := range Peers {
		steps := 3000
		if p.OnDisk {
			steps = 200
		}
		if p.KeyOnly != nil {
			t.Run(p.Name+"/key-only", func(t *testing.T) {
				m := newModel(t, p.KeyOnly, seed)
				m.run(steps, m.operations())
			})
		}
		if p.Indexed != nil {
			t.Run(p.Name+"/indexed", func(t *testing.T) {
				m := newModel(t, p.Indexed, seed)
				m.run(steps, append(m.operations(), m.indexedOperations()...))
				for range 10 {
					m.byRole()
					m.count()
				}
			})
		}
	}
}

// seedOf prints the seed of a run, or takes it from PEERS_SEED.
func seedOf(t *testing.T) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("PEERS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PEERS_SEED=%d", seed)
	return seed
}

// model is what an engine should contain.
type model struct {
	t      *testing.T
	rnd    *rand.Rand
	e      Engine
	users  map[string]Record
	second map[string]Record
	made   int
}

func newModel(t *testing.T, open func(string) (Engine, error), seed uint64) *model {
	return &model{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), e: openEngine(t, open),
		users: map[string]Record{}, second: map[string]Record{},
	}
}

func (m *model) operations() []func() {
	ops := []func(){m.insert, m.insert, m.insertTaken, m.insertMany, m.updateValue, m.delete, m.get}
	if _, ok := m.e.(Transferrer); ok {
		ops = append(ops, m.insertSecond, m.transfer, m.transfer)
	}
	return ops
}

func (m *model) indexedOperations() []func() {
	ops := []func(){m.updateIndexed, m.byRole, m.count}
	if _, ok := m.e.(Ranger); ok {
		ops = append(ops, m.byAge)
	}
	return ops
}

// run does random operations, and compares every record at the end.
func (m *model) run(steps int, ops []func()) {
	for range steps {
		ops[m.rnd.IntN(len(ops))]()
	}
	for i := range m.made + 2 {
		m.one(NewRecord(i).ID)
	}
}

func openEngine(t *testing.T, open func(string) (Engine, error)) Engine {
	t.Helper()
	e, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (m *model) is(got, want error) {
	m.t.Helper()
	if !errors.Is(got, want) {
		m.t.Fatalf("error %v, want %v", got, want)
	}
}

// id returns the key of a record that exists, existed, or never did.
func (m *model) id() string { return NewRecord(m.rnd.IntN(m.made + 2)).ID }

func (m *model) fresh() Record {
	m.made++
	r := NewRecord(m.made - 1)
	r.Role, r.Age = Roles[m.rnd.IntN(3)], m.rnd.IntN(100)
	return r
}

func (m *model) insert() {
	r := m.fresh()
	m.is(m.e.Insert(r), nil)
	m.users[r.ID] = r
}

func (m *model) insertTaken() {
	id := m.id()
	if _, taken := m.users[id]; taken {
		r := m.fresh()
		r.ID = id
		m.is(m.e.Insert(r), ErrExists)
	}
}

func (m *model) insertMany() {
	rs := []Record{m.fresh(), m.fresh(), m.fresh()}
	m.is(m.e.InsertMany(rs), nil)
	for _, r := range rs {
		m.users[r.ID] = r
	}
}

func (m *model) insertSecond() {
	r := m.fresh()
	m.is(m.e.(Transferrer).InsertSecond([]Record{r}), nil)
	m.second[r.ID] = r
}

func (m *model) change(id string, err error, change func(*Record)) {
	m.t.Helper()
	r, ok := m.users[id]
	if !ok {
		m.is(err, ErrMissing)
		return
	}
	m.is(err, nil)
	change(&r)
	m.users[id] = r
}

func (m *model) updateValue() {
	id, v := m.id(), m.rnd.Float64()
	m.change(id, m.e.UpdateValue(id, v), func(r *Record) { r.Value = v })
}

func (m *model) updateIndexed() {
	id, role, age := m.id(), Roles[m.rnd.IntN(3)], m.rnd.IntN(100)
	err := m.e.(Indexed).UpdateIndexed(id, role, age)
	m.change(id, err, func(r *Record) { r.Role, r.Age = role, age })
}

func (m *model) delete() {
	id := m.id()
	m.is(m.e.Delete(id), nil)
	delete(m.users, id)
}

func (m *model) transfer() {
	from, to, amount := m.id(), m.id(), float64(m.rnd.IntN(100))
	err := m.e.(Transferrer).Transfer(from, to, amount)
	a, okA := m.users[from]
	b, okB := m.second[to]
	if !okA || !okB {
		m.is(err, ErrMissing)
		m.one(from)
		return
	}
	m.is(err, nil)
	a.Value -= amount
	b.Value += amount
	m.users[from], m.second[to] = a, b
	m.one(from)
	if got, ok := m.e.(Transferrer).GetSecond(to); !ok || got != b {
		m.t.Fatalf("second table: %v %v, want %v", got, ok, b)
	}
}

func (m *model) get() { m.one(m.id()) }

func (m *model) one(id string) {
	m.t.Helper()
	want, wantOK := m.users[id]
	if got, ok := m.e.Get(id); ok != wantOK || ok && got != want {
		m.t.Fatalf("get %s: %v %v, want %v %v", id, got, ok, want, wantOK)
	}
}

func (m *model) matching(keep func(Record) bool) (out []Record) {
	for _, r := range m.users {
		if keep(r) {
			out = append(out, r)
		}
	}
	sortByID(out)
	return out
}

func sortByID(rs []Record) {
	slices.SortFunc(rs, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
}

func (m *model) byRole() {
	role := Roles[m.rnd.IntN(3)]
	want := m.matching(func(r Record) bool { return r.Role == role })
	limit := m.rnd.IntN(len(want)+1) + 1
	var all, some []Record
	m.is(m.e.(Indexed).EachByRole(role, func(r *Record) bool { all = append(all, *r); return true }), nil)
	m.is(m.e.(Indexed).EachByRole(role, func(r *Record) bool {
		some = append(some, *r)
		return len(some) < limit
	}), nil)
	if n := min(limit, len(want)); len(some) != n || !slices.Equal(some, all[:n]) {
		m.t.Fatalf("the first %d of role %s are %v, of all %v", limit, role, some, all)
	}
	sortByID(all)
	if !slices.Equal(all, want) {
		m.t.Fatalf("role %s: %v, want %v", role, all, want)
	}
}

func (m *model) count() {
	role := Roles[m.rnd.IntN(3)]
	want := len(m.matching(func(r Record) bool { return r.Role == role }))
	got, err := m.e.(Indexed).CountByRole(role)
	if m.is(err, nil); got != want {
		m.t.Fatalf("%d of role %s, want %d", got, role, want)
	}
}

// byAge compares the ages in order, and each record with the map: in which order
// records of one age come is up to the engine.
func (m *model) byAge() {
	from, limit := m.rnd.IntN(100), m.rnd.IntN(200)+1
	var ages, want []int
	seen := map[string]bool{}
	m.is(m.e.(Ranger).RangeByAge(from, limit, func(r *Record) bool {
		if *r != m.users[r.ID] || seen[r.ID] {
			m.t.Fatalf("range: %v, want %v once", *r, m.users[r.ID])
		}
		seen[r.ID] = true
		ages = append(ages, r.Age)
		return true
	}), nil)
	for _, r := range m.matching(func(r Record) bool { return r.Age >= from }) {
		want = append(want, r.Age)
	}
	slices.Sort(want)
	if want = want[:min(limit, len(want))]; !slices.Equal(ages, want) {
		m.t.Fatalf("%d ages from %d: %v, want %v", limit, from, ages, want)
	}
}
