package peers

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// sqlite is SQLite through database/sql. It has one connection: an in-memory
// database belongs to the connection that opened it.
type sqlite struct {
	db *sql.DB

	get, insert, setValue, setIndexed, remove, byRole, countByRole, byAge *sql.Stmt

	getSecond, insertSecond, addSecond, add *sql.Stmt
}

const (
	sqliteInMemory = ":memory:"
	sqliteColumns  = "(id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, " +
		"role TEXT NOT NULL, age INTEGER NOT NULL, value REAL NOT NULL) STRICT, WITHOUT ROWID;"
	sqliteTables  = "CREATE TABLE users " + sqliteColumns + "CREATE TABLE second " + sqliteColumns
	sqliteIndexes = "CREATE UNIQUE INDEX users_email ON users(email);" +
		"CREATE INDEX users_role ON users(role); CREATE INDEX users_age ON users(age);"
	sqliteFields = "SELECT id, name, email, role, age, value FROM "
)

func sqliteMemoryKeyOnly(string) (Engine, error) { return openSQLite(sqliteInMemory, sqliteTables) }

func sqliteMemoryIndexed(string) (Engine, error) {
	return openSQLite(sqliteInMemory, sqliteTables+sqliteIndexes)
}

func sqliteDiskKeyOnly(dir string) (Engine, error) { return openSQLite(sqliteFile(dir), sqliteTables) }

func sqliteDiskIndexed(dir string) (Engine, error) {
	return openSQLite(sqliteFile(dir), sqliteTables+sqliteIndexes)
}

func sqliteFile(dir string) string {
	return "file:" + filepath.Join(dir, "sqlite.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
}

func openSQLite(source, schema string) (Engine, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &sqlite{db: db}
	if _, err = db.Exec(schema); err == nil {
		err = s.prepare()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *sqlite) prepare() (err error) {
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&s.get, sqliteFields + "users WHERE id = ?"},
		{&s.insert, "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)"},
		{&s.setValue, "UPDATE users SET value = ? WHERE id = ?"},
		{&s.setIndexed, "UPDATE users SET role = ?, age = ? WHERE id = ?"},
		{&s.remove, "DELETE FROM users WHERE id = ?"},
		{&s.byRole, sqliteFields + "users WHERE role = ?"},
		{&s.countByRole, "SELECT count(*) FROM users WHERE role = ?"},
		{&s.byAge, sqliteFields + "users WHERE age >= ? ORDER BY age LIMIT ?"},
		{&s.getSecond, sqliteFields + "second WHERE id = ?"},
		{&s.insertSecond, "INSERT INTO second VALUES (?, ?, ?, ?, ?, ?)"},
		{&s.add, "UPDATE users SET value = value + ? WHERE id = ?"},
		{&s.addSecond, "UPDATE second SET value = value + ? WHERE id = ?"},
	} {
		if *p.to, err = s.db.Prepare(p.text); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlite) Close() error { return s.db.Close() }

// Bytes returns the size of the pages, which lie outside the heap of Go.
func (s *sqlite) Bytes() (n uint64, err error) {
	err = s.db.QueryRow("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&n)
	return n, err
}

func (s *sqlite) Get(id string) (Record, bool)       { return sqliteGet(s.get, id) }
func (s *sqlite) GetSecond(id string) (Record, bool) { return sqliteGet(s.getSecond, id) }

func sqliteGet(stmt *sql.Stmt, id string) (Record, bool) {
	var r Record
	err := sqliteScan(stmt.QueryRow(id), &r)
	return r, err == nil
}

func sqliteScan(row interface{ Scan(...any) error }, r *Record) error {
	return row.Scan(&r.ID, &r.Name, &r.Email, &r.Role, &r.Age, &r.Value)
}

func (s *sqlite) Insert(r Record) error { return sqliteInsert(s.insert, r) }

func sqliteInsert(stmt *sql.Stmt, r Record) error {
	_, err := stmt.Exec(r.ID, r.Name, r.Email, r.Role, r.Age, r.Value)
	if coded := (interface{ Code() int })(nil); errors.As(err, &coded) && coded.Code() == sqlitePrimaryKey {
		return ErrExists
	}
	return err
}

// sqlitePrimaryKey is SQLITE_CONSTRAINT_PRIMARYKEY, the code of a key that is taken.
const sqlitePrimaryKey = 1555

func (s *sqlite) InsertMany(rs []Record) error   { return s.insertMany(s.insert, rs) }
func (s *sqlite) InsertSecond(rs []Record) error { return s.insertMany(s.insertSecond, rs) }

func (s *sqlite) insertMany(stmt *sql.Stmt, rs []Record) error {
	return s.write(func(tx *sql.Tx) error {
		in := tx.Stmt(stmt)
		for _, r := range rs {
			if err := sqliteInsert(in, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// write runs fn in a transaction.
func (s *sqlite) write(fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing after Commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlite) UpdateValue(id string, value float64) error {
	return sqliteUpdate(s.setValue, value, id)
}

func (s *sqlite) UpdateIndexed(id, role string, age int) error {
	return sqliteUpdate(s.setIndexed, role, age, id)
}

// sqliteUpdate runs a statement that changes one record.
func sqliteUpdate(stmt *sql.Stmt, args ...any) error {
	res, err := stmt.Exec(args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); n == 0 || err != nil {
		return errors.Join(ErrMissing, err)
	}
	return nil
}

func (s *sqlite) Delete(id string) error {
	_, err := s.remove.Exec(id)
	return err
}

func (s *sqlite) EachByRole(role string, fn func(*Record) bool) error {
	rows, err := s.byRole.Query(role)
	return sqliteEach(rows, err, fn)
}

func (s *sqlite) RangeByAge(from, limit int, fn func(*Record) bool) error {
	rows, err := s.byAge.Query(from, limit)
	return sqliteEach(rows, err, fn)
}

func sqliteEach(rows *sql.Rows, err error, fn func(*Record) bool) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	var r Record
	for rows.Next() {
		if err := sqliteScan(rows, &r); err != nil {
			return err
		}
		if !fn(&r) {
			return nil
		}
	}
	return rows.Err()
}

func (s *sqlite) CountByRole(role string) (n int, err error) {
	err = s.countByRole.QueryRow(role).Scan(&n)
	return n, err
}

func (s *sqlite) Transfer(from, to string, amount float64) error {
	return s.write(func(tx *sql.Tx) error {
		if err := sqliteUpdate(tx.Stmt(s.add), -amount, from); err != nil {
			return err
		}
		return sqliteUpdate(tx.Stmt(s.addSecond), amount, to)
	})
}
