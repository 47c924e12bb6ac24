package peers

import (
	"errors"

	"github.com/cilium/statedb"
	"github.com/cilium/statedb/index"
)

// stateDB is statedb: pointers to records that never change, index functions
// instead of reflection, one lock for each table that a transaction names.
type stateDB struct {
	db            *statedb.DB
	users, second statedb.RWTable[*Record]
}

var (
	statedbID = statedb.Index[*Record, string]{
		Name:       "id",
		FromObject: func(r *Record) index.KeySet { return index.NewKeySet(index.String(r.ID)) },
		FromKey:    index.String, Unique: true,
	}
	statedbEmail = statedb.Index[*Record, string]{
		Name:       "email",
		FromObject: func(r *Record) index.KeySet { return index.NewKeySet(index.String(r.Email)) },
		FromKey:    index.String, Unique: true,
	}
	statedbRole = statedb.Index[*Record, string]{
		Name:       "role",
		FromObject: func(r *Record) index.KeySet { return index.NewKeySet(index.String(r.Role)) },
		FromKey:    index.String,
	}
	statedbAge = statedb.Index[*Record, uint16]{
		Name:       "age",
		FromObject: func(r *Record) index.KeySet { return index.NewKeySet(index.Uint16(uint16(r.Age))) },
		FromKey:    index.Uint16,
	}
)

func statedbKeyOnly(string) (Engine, error) { return openStatedb() }

func statedbIndexed(string) (Engine, error) {
	return openStatedb(statedbEmail, statedbRole, statedbAge)
}

func openStatedb(secondary ...statedb.Indexer[*Record]) (Engine, error) {
	s := &stateDB{db: statedb.New()}
	// The two functions print a table; nothing here does.
	header, line := func() []string { return nil }, func(*Record) []string { return nil }
	var err, err2 error
	s.users, err = statedb.NewTableAny(s.db, "users", header, line, statedbID, secondary...)
	s.second, err2 = statedb.NewTableAny(s.db, "second", header, line, statedbID)
	return s, errors.Join(err, err2)
}

func (s *stateDB) Close() error { return nil }

func (s *stateDB) Get(id string) (Record, bool)       { return s.get(s.users, id) }
func (s *stateDB) GetSecond(id string) (Record, bool) { return s.get(s.second, id) }

func (s *stateDB) get(table statedb.RWTable[*Record], id string) (Record, bool) {
	r, _, ok := table.Get(s.db.ReadTxn(), statedbID.Query(id))
	if !ok {
		return Record{}, false
	}
	return *r, true
}

// write runs fn in a transaction on the tables.
func (s *stateDB) write(fn func(tx statedb.WriteTxn) error, tables ...statedb.TableMeta) error {
	tx := s.db.WriteTxn(tables...)
	defer tx.Abort() // nothing after Commit
	if err := fn(tx); err != nil {
		return err
	}
	tx.Commit()
	return nil
}

func (s *stateDB) Insert(r Record) error {
	return s.write(func(tx statedb.WriteTxn) error { return statedbInsert(tx, s.users, r) }, s.users)
}

func (s *stateDB) InsertMany(rs []Record) error   { return s.insertMany(s.users, rs) }
func (s *stateDB) InsertSecond(rs []Record) error { return s.insertMany(s.second, rs) }

func (s *stateDB) insertMany(table statedb.RWTable[*Record], rs []Record) error {
	return s.write(func(tx statedb.WriteTxn) error {
		for _, r := range rs {
			if err := statedbInsert(tx, table, r); err != nil {
				return err
			}
		}
		return nil
	}, table)
}

// statedbInsert fails, and with it the transaction, if it replaced a record.
func statedbInsert(tx statedb.WriteTxn, table statedb.RWTable[*Record], r Record) error {
	_, replaced, err := table.Insert(tx, &r)
	if err == nil && replaced {
		return ErrExists
	}
	return err
}

// statedbChange replaces a record by a changed copy.
func statedbChange(tx statedb.WriteTxn, table statedb.RWTable[*Record], id string, change func(*Record)) error {
	old, _, ok := table.Get(tx, statedbID.Query(id))
	if !ok {
		return ErrMissing
	}
	r := *old
	change(&r)
	_, _, err := table.Insert(tx, &r)
	return err
}

func (s *stateDB) UpdateValue(id string, value float64) error {
	return s.write(func(tx statedb.WriteTxn) error {
		return statedbChange(tx, s.users, id, func(r *Record) { r.Value = value })
	}, s.users)
}

func (s *stateDB) UpdateIndexed(id, role string, age int) error {
	return s.write(func(tx statedb.WriteTxn) error {
		return statedbChange(tx, s.users, id, func(r *Record) { r.Role, r.Age = role, age })
	}, s.users)
}

func (s *stateDB) Delete(id string) error {
	return s.write(func(tx statedb.WriteTxn) error {
		r, _, ok := s.users.Get(tx, statedbID.Query(id))
		if !ok {
			return nil
		}
		_, _, err := s.users.Delete(tx, r)
		return err
	}, s.users)
}

func (s *stateDB) EachByRole(role string, fn func(*Record) bool) error {
	for r := range s.users.List(s.db.ReadTxn(), statedbRole.Query(role)) {
		if !fn(r) {
			break
		}
	}
	return nil
}

func (s *stateDB) CountByRole(role string) (n int, err error) {
	err = s.EachByRole(role, func(*Record) bool { n++; return true })
	return n, err
}

func (s *stateDB) RangeByAge(from, limit int, fn func(*Record) bool) error {
	for r := range s.users.LowerBound(s.db.ReadTxn(), statedbAge.Query(uint16(from))) {
		if limit--; limit < 0 || !fn(r) {
			break
		}
	}
	return nil
}

func (s *stateDB) Transfer(from, to string, amount float64) error {
	return s.write(func(tx statedb.WriteTxn) error {
		err := statedbChange(tx, s.users, from, func(r *Record) { r.Value -= amount })
		if err != nil {
			return err
		}
		return statedbChange(tx, s.second, to, func(r *Record) { r.Value += amount })
	}, s.users, s.second)
}

// statedbWatch holds the channel that is closed at the next change.
type statedbWatch struct {
	s       *stateDB
	id      string
	changed <-chan struct{}
}

func (s *stateDB) Watch(id string) (Watch, error) {
	w := &statedbWatch{s: s, id: id}
	_, err := w.read()
	return w, err
}

// read reads the record, and arms the watch with the same look at the table.
func (w *statedbWatch) read() (Record, error) {
	r, _, changed, ok := w.s.users.GetWatch(w.s.db.ReadTxn(), statedbID.Query(w.id))
	w.changed = changed
	if !ok {
		return Record{}, ErrMissing
	}
	return *r, nil
}

func (w *statedbWatch) Next() (Record, error) {
	<-w.changed
	return w.read()
}

func (w *statedbWatch) Stop() {}
