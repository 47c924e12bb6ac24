package peers

import "sync"

// floor is the least that the work can cost: maps and slices behind one lock,
// changed in place. Nothing is checked but the key, nothing can be undone, and
// a reader sees what is there.
type floor struct {
	mu      sync.RWMutex
	byID    map[string]*row
	byEmail map[string]*row
	byRole  map[string][]*row
	byAge   [100][]*row
	indexed bool
	second  map[string]*row
}

// row is a record and its places in the slices of the indexes.
type row struct {
	Record
	role, age int
}

func newFloor() *floor {
	return &floor{
		byID: map[string]*row{}, byEmail: map[string]*row{},
		byRole: map[string][]*row{}, second: map[string]*row{},
	}
}

func floorKeyOnly(string) (Engine, error) { return newFloor(), nil }

func floorIndexed(string) (Engine, error) {
	f := newFloor()
	f.indexed = true
	return f, nil
}

func (f *floor) Close() error { return nil }

func (f *floor) Get(id string) (Record, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return copyOf(f.byID[id])
}

func (f *floor) GetSecond(id string) (Record, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return copyOf(f.second[id])
}

func copyOf(r *row) (Record, bool) {
	if r == nil {
		return Record{}, false
	}
	return r.Record, true
}

func (f *floor) Insert(r Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.insert(r)
}

func (f *floor) InsertMany(rs []Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rs {
		if err := f.insert(r); err != nil {
			return err
		}
	}
	return nil
}

func (f *floor) InsertSecond(rs []Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rs {
		f.second[r.ID] = &row{Record: r}
	}
	return nil
}

func (f *floor) insert(r Record) error {
	if f.byID[r.ID] != nil {
		return ErrExists
	}
	p := &row{Record: r}
	f.byID[r.ID] = p
	if f.indexed {
		f.byEmail[r.Email] = p
		f.link(p)
	}
	return nil
}

func (f *floor) link(p *row) {
	p.role, p.age = len(f.byRole[p.Role]), len(f.byAge[p.Age])
	f.byRole[p.Role] = append(f.byRole[p.Role], p)
	f.byAge[p.Age] = append(f.byAge[p.Age], p)
}

// unlink moves the last row of each slice to the place that becomes free.
func (f *floor) unlink(p *row) {
	roles := f.byRole[p.Role]
	end := len(roles) - 1
	roles[p.role], roles[end].role = roles[end], p.role
	roles[end] = nil
	f.byRole[p.Role] = roles[:end]

	ages := f.byAge[p.Age]
	end = len(ages) - 1
	ages[p.age], ages[end].age = ages[end], p.age
	ages[end] = nil
	f.byAge[p.Age] = ages[:end]
}

func (f *floor) UpdateValue(id string, value float64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.byID[id]
	if p == nil {
		return ErrMissing
	}
	p.Value = value
	return nil
}

func (f *floor) UpdateIndexed(id, role string, age int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.byID[id]
	if p == nil {
		return ErrMissing
	}
	f.unlink(p)
	p.Role, p.Age = role, age
	f.link(p)
	return nil
}

func (f *floor) Delete(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.byID[id]
	if p == nil {
		return nil
	}
	delete(f.byID, id)
	if f.indexed {
		delete(f.byEmail, p.Email)
		f.unlink(p)
	}
	return nil
}

func (f *floor) EachByRole(role string, fn func(*Record) bool) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, p := range f.byRole[role] {
		if !fn(&p.Record) {
			break
		}
	}
	return nil
}

func (f *floor) CountByRole(role string) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.byRole[role]), nil
}

func (f *floor) RangeByAge(from, limit int, fn func(*Record) bool) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for age := max(from, 0); age < len(f.byAge); age++ {
		for _, p := range f.byAge[age] {
			if limit--; limit < 0 || !fn(&p.Record) {
				return nil
			}
		}
	}
	return nil
}

func (f *floor) Transfer(from, to string, amount float64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, b := f.byID[from], f.second[to]
	if a == nil || b == nil {
		return ErrMissing
	}
	a.Value -= amount
	b.Value += amount
	return nil
}
