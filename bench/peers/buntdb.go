package peers

import (
	"errors"

	"github.com/tidwall/buntdb"
)

// buntDB is buntdb in memory: records as texts under "u:" and an id, custom
// indexes that compare the bytes of a field where they lie. Its indexes of JSON
// fields would parse two documents at each comparison.
type buntDB struct{ db *buntdb.DB }

const (
	buntUsers  = "u:"
	buntSecond = "s:"
)

func buntdbKeyOnly(string) (Engine, error) {
	db, err := buntdb.Open(":memory:")
	return &buntDB{db}, err
}

func buntdbIndexed(string) (Engine, error) {
	db, err := buntdb.Open(":memory:")
	if err != nil {
		return nil, err
	}
	return &buntDB{db}, errors.Join(
		db.CreateIndex("email", buntUsers+"*", func(a, b string) bool { return textEmail(a) < textEmail(b) }),
		db.CreateIndex("role", buntUsers+"*", func(a, b string) bool { return textRole(a) < textRole(b) }),
		db.CreateIndex("age", buntUsers+"*", func(a, b string) bool { return textAge(a) < textAge(b) }),
	)
}

func (t *buntDB) Close() error { return t.db.Close() }

func (t *buntDB) Get(id string) (Record, bool)       { return t.get(buntUsers, id) }
func (t *buntDB) GetSecond(id string) (Record, bool) { return t.get(buntSecond, id) }

func (t *buntDB) get(table, id string) (r Record, ok bool) {
	err := t.db.View(func(tx *buntdb.Tx) error {
		text, err := tx.Get(table + id)
		r = decode(id, text)
		return err
	})
	return r, err == nil
}

func (t *buntDB) Insert(r Record) error {
	return t.db.Update(func(tx *buntdb.Tx) error { return buntInsert(tx, buntUsers, r) })
}

func (t *buntDB) InsertMany(rs []Record) error   { return t.insertMany(buntUsers, rs) }
func (t *buntDB) InsertSecond(rs []Record) error { return t.insertMany(buntSecond, rs) }

func (t *buntDB) insertMany(table string, rs []Record) error {
	return t.db.Update(func(tx *buntdb.Tx) error {
		for _, r := range rs {
			if err := buntInsert(tx, table, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// buntInsert fails, and with it the transaction, if it replaced a record.
func buntInsert(tx *buntdb.Tx, table string, r Record) error {
	_, replaced, err := tx.Set(table+r.ID, encode(r), nil)
	if err == nil && replaced {
		return ErrExists
	}
	return err
}

func buntChange(tx *buntdb.Tx, table, id string, change func(*Record)) error {
	text, err := tx.Get(table + id)
	if errors.Is(err, buntdb.ErrNotFound) {
		return ErrMissing
	} else if err != nil {
		return err
	}
	r := decode(id, text)
	change(&r)
	_, _, err = tx.Set(table+id, encode(r), nil)
	return err
}

func (t *buntDB) UpdateValue(id string, value float64) error {
	return t.db.Update(func(tx *buntdb.Tx) error {
		return buntChange(tx, buntUsers, id, func(r *Record) { r.Value = value })
	})
}

func (t *buntDB) UpdateIndexed(id, role string, age int) error {
	return t.db.Update(func(tx *buntdb.Tx) error {
		return buntChange(tx, buntUsers, id, func(r *Record) { r.Role, r.Age = role, age })
	})
}

func (t *buntDB) Delete(id string) error {
	err := t.db.Update(func(tx *buntdb.Tx) error {
		_, err := tx.Delete(buntUsers + id)
		return err
	})
	if errors.Is(err, buntdb.ErrNotFound) {
		return nil
	}
	return err
}

func (t *buntDB) EachByRole(role string, fn func(*Record) bool) error {
	var r Record
	return t.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendEqual("role", encode(Record{Role: role}), func(key, text string) bool {
			r = decode(key[len(buntUsers):], text)
			return fn(&r)
		})
	})
}

func (t *buntDB) CountByRole(role string) (n int, err error) {
	err = t.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendEqual("role", encode(Record{Role: role}), func(string, string) bool {
			n++
			return true
		})
	})
	return n, err
}

func (t *buntDB) RangeByAge(from, limit int, fn func(*Record) bool) error {
	var r Record
	return t.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("age", encode(Record{Age: from}), func(key, text string) bool {
			r = decode(key[len(buntUsers):], text)
			limit--
			return fn(&r) && limit > 0
		})
	})
}

func (t *buntDB) Transfer(from, to string, amount float64) error {
	return t.db.Update(func(tx *buntdb.Tx) error {
		err := buntChange(tx, buntUsers, from, func(r *Record) { r.Value -= amount })
		if err != nil {
			return err
		}
		return buntChange(tx, buntSecond, to, func(r *Record) { r.Value += amount })
	})
}
