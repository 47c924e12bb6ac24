package peers

import (
	"errors"

	"github.com/hashicorp/go-memdb"
)

// memDB is go-memdb: pointers to records that never change, and the indexes of
// its documentation; the one for uuids keeps a key in 16 bytes.
type memDB struct{ db *memdb.MemDB }

func memdbKeyOnly(string) (Engine, error) { return openMemdb(memdbTable("users")) }

func memdbIndexed(string) (Engine, error) {
	users := memdbTable("users")
	for _, is := range []*memdb.IndexSchema{
		{Name: "email", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Email"}},
		{Name: "role", Indexer: &memdb.StringFieldIndex{Field: "Role"}},
		{Name: "age", Indexer: &memdb.IntFieldIndex{Field: "Age"}},
	} {
		users.Indexes[is.Name] = is
	}
	return openMemdb(users)
}

// memdbTable returns a table with the key as its only index.
func memdbTable(name string) *memdb.TableSchema {
	return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		"id": {Name: "id", Unique: true, Indexer: &memdb.UUIDFieldIndex{Field: "ID"}},
	}}
}

func openMemdb(users *memdb.TableSchema) (Engine, error) {
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
		"users": users, "second": memdbTable("second"),
	}})
	return &memDB{db}, err
}

func (m *memDB) Close() error { return nil }

func (m *memDB) Get(id string) (Record, bool)       { return m.get("users", id) }
func (m *memDB) GetSecond(id string) (Record, bool) { return m.get("second", id) }

func (m *memDB) get(table, id string) (Record, bool) {
	v, err := m.db.Txn(false).First(table, "id", id)
	if v == nil || err != nil {
		return Record{}, false
	}
	return *v.(*Record), true
}

// write runs fn in a transaction.
func (m *memDB) write(fn func(tx *memdb.Txn) error) error {
	tx := m.db.Txn(true)
	defer tx.Abort() // nothing after Commit
	if err := fn(tx); err != nil {
		return err
	}
	tx.Commit()
	return nil
}

func (m *memDB) Insert(r Record) error {
	return m.write(func(tx *memdb.Txn) error { return memdbInsert(tx, "users", r) })
}

func (m *memDB) InsertMany(rs []Record) error   { return m.insertMany("users", rs) }
func (m *memDB) InsertSecond(rs []Record) error { return m.insertMany("second", rs) }

func (m *memDB) insertMany(table string, rs []Record) error {
	return m.write(func(tx *memdb.Txn) error {
		for _, r := range rs {
			if err := memdbInsert(tx, table, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// memdbInsert looks first: Insert of the database replaces.
func memdbInsert(tx *memdb.Txn, table string, r Record) error {
	if v, err := tx.First(table, "id", r.ID); err != nil {
		return err
	} else if v != nil {
		return ErrExists
	}
	return tx.Insert(table, &r)
}

// memdbChange replaces a record by a changed copy.
func memdbChange(tx *memdb.Txn, table, id string, change func(*Record)) error {
	v, err := tx.First(table, "id", id)
	if err != nil {
		return err
	}
	if v == nil {
		return ErrMissing
	}
	r := *v.(*Record)
	change(&r)
	return tx.Insert(table, &r)
}

func (m *memDB) UpdateValue(id string, value float64) error {
	return m.write(func(tx *memdb.Txn) error {
		return memdbChange(tx, "users", id, func(r *Record) { r.Value = value })
	})
}

func (m *memDB) UpdateIndexed(id, role string, age int) error {
	return m.write(func(tx *memdb.Txn) error {
		return memdbChange(tx, "users", id, func(r *Record) { r.Role, r.Age = role, age })
	})
}

func (m *memDB) Delete(id string) error {
	return m.write(func(tx *memdb.Txn) error {
		v, err := tx.First("users", "id", id)
		if v == nil || err != nil {
			return err
		}
		return tx.Delete("users", v)
	})
}

func (m *memDB) EachByRole(role string, fn func(*Record) bool) error {
	it, err := m.db.Txn(false).Get("users", "role", role)
	if err != nil {
		return err
	}
	for v := it.Next(); v != nil && fn(v.(*Record)); v = it.Next() {
	}
	return nil
}

func (m *memDB) CountByRole(role string) (n int, err error) {
	err = m.EachByRole(role, func(*Record) bool { n++; return true })
	return n, err
}

func (m *memDB) RangeByAge(from, limit int, fn func(*Record) bool) error {
	it, err := m.db.Txn(false).LowerBound("users", "age", from)
	if err != nil {
		return err
	}
	for ; limit > 0; limit-- {
		if v := it.Next(); v == nil || !fn(v.(*Record)) {
			break
		}
	}
	return nil
}

func (m *memDB) Transfer(from, to string, amount float64) error {
	return m.write(func(tx *memdb.Txn) error {
		err := memdbChange(tx, "users", from, func(r *Record) { r.Value -= amount })
		if err != nil {
			return err
		}
		return memdbChange(tx, "second", to, func(r *Record) { r.Value += amount })
	})
}

// memdbWatch holds the channel that is closed at the next change.
type memdbWatch struct {
	m       *memDB
	id      string
	changed <-chan struct{}
}

func (m *memDB) Watch(id string) (Watch, error) {
	w := &memdbWatch{m: m, id: id}
	_, err := w.read()
	return w, err
}

// read reads the record, and arms the watch with the same look at the table.
func (w *memdbWatch) read() (Record, error) {
	changed, v, err := w.m.db.Txn(false).FirstWatch("users", "id", w.id)
	w.changed = changed
	if v == nil || err != nil {
		return Record{}, errors.Join(ErrMissing, err)
	}
	return *v.(*Record), nil
}

func (w *memdbWatch) Next() (Record, error) {
	<-w.changed
	return w.read()
}

func (w *memdbWatch) Stop() {}
