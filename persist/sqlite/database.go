package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/noex-go/store"
)

// tables are the statements that make a database. They are fixed, and compared
// with what a database has.
var tables = []string{
	`CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  log BLOB NOT NULL,
  position INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  session BLOB NOT NULL,
  records INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  clean INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT`,
	`CREATE TABLE buckets (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  definition BLOB NOT NULL,
  json TEXT NOT NULL,
  dropped INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT`,
	`CREATE TABLE records (
  bucket INTEGER NOT NULL,
  place INTEGER NOT NULL,
  key ANY NOT NULL,
  definition INTEGER NOT NULL,
  version INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  data BLOB NOT NULL,
  extra BLOB NOT NULL,
  json TEXT NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (bucket, place, key)
) STRICT, WITHOUT ROWID`,
	`CREATE UNIQUE INDEX records_key ON records (bucket, key)`,
	`CREATE TABLE marks (
  bucket INTEGER NOT NULL,
  field TEXT NOT NULL,
  last INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (bucket, field)
) STRICT, WITHOUT ROWID`,
	`CREATE VIEW items AS
SELECT b.name AS bucket, r.key AS key, r.json AS json, r.version AS version,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.created / 1000.0, 'unixepoch') AS created,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.updated / 1000.0, 'unixepoch') AS updated,
  iif(r.expires = 0, NULL, strftime('%Y-%m-%dT%H:%M:%fZ', r.expires / 1000.0, 'unixepoch')) AS expires
FROM records AS r JOIN buckets AS b ON b.id = r.bucket
ORDER BY r.bucket, r.place`,
}

// pragmas are set on the connection, in this order, and read back: one that SQLite
// does not take would be silently without effect.
func (a *Adapter) pragmas() [][2]string {
	sync := "2" // FULL
	if a.relaxed {
		sync = "1" // NORMAL
	}
	return [][2]string{
		{"locking_mode", "exclusive"}, // of the very first access on
		{"trusted_schema", "0"},
		{"cell_size_check", "1"},
		{"foreign_keys", "1"},
		{"synchronous", sync},
		{"fullfsync", "1"}, // for macOS; no other system has it
		{"checkpoint_fullfsync", "1"},
		{"temp_store", "2"}, // in memory: what is sorted there is small
	}
}

// database is the one connection to a database.
type database struct {
	f        *file
	db       *sql.DB
	conn     *sql.Conn
	prepared []*sql.Stmt
}

// never is the context of statements: half a transaction is worse than a late one.
var never = context.Background()

// connect makes the connection to a file that is there.
func connect(f *file) (*database, error) {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(f.path)}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path // a drive of Windows
	}
	connector, err := driver.NewConnector(u.String() + "?_dqs=0&_defensive=1&_error_rc=1&_pragma=busy_timeout(100)")
	if err != nil {
		return nil, err
	}
	d := &database{f: f, db: sql.OpenDB(connector)}
	d.db.SetMaxOpenConns(1)
	if d.conn, err = d.db.Conn(never); err != nil {
		_ = d.close()
		return nil, d.explain(err)
	}
	return d, nil
}

// openDatabase opens the connection, and checks that the database is what it should
// be.
func openDatabase(a *Adapter, f *file) (*database, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	d, err := connect(f)
	if err != nil {
		return nil, err
	}
	if err = d.set(a.pragmas()); err == nil {
		err = d.check(a)
	}
	if err != nil {
		_ = d.close()
		return nil, d.explain(err)
	}
	return d, nil
}

// createDatabase makes the tables in an empty file of which nobody knows.
func createDatabase(path string) error {
	d, err := connect(&file{path: path})
	if err != nil {
		return err
	}
	return errors.Join(d.create(), d.close())
}

// set sets pragmas, and checks that they took.
func (d *database) set(pragmas [][2]string) error {
	for _, p := range pragmas {
		if err := d.exec("PRAGMA " + p[0] + "=" + p[1]); err != nil {
			return err
		}
		var got string
		if err := d.conn.QueryRowContext(never, "PRAGMA "+p[0]).Scan(&got); err != nil {
			return err
		}
		if got != p[1] {
			return fmt.Errorf("%s: PRAGMA %s is %s, not %s", d.f.path, p[0], got, p[1])
		}
	}
	return nil
}

func (d *database) exec(query string, args ...any) error {
	_, err := d.conn.ExecContext(never, query, args...)
	return err
}

// create makes the tables, and says whose they are.
func (d *database) create() error {
	statements := append([]string{"PRAGMA synchronous=FULL", "PRAGMA fullfsync=1", "BEGIN"}, tables...)
	for _, query := range statements {
		if err := d.exec(query); err != nil {
			return err
		}
	}
	m := newMeta()
	if err := d.exec(insertMeta, m.args()...); err != nil {
		return err
	}
	for _, query := range [...]string{
		fmt.Sprint("PRAGMA application_id=", applicationID), fmt.Sprint("PRAGMA user_version=", formatVersion), "COMMIT",
	} {
		if err := d.exec(query); err != nil {
			return err
		}
	}
	return d.set([][2]string{{"journal_mode", "wal"}})
}

// check checks that the database is one of this package, in order, and in WAL mode.
func (d *database) check(a *Adapter) error {
	for name, want := range map[string]int{"application_id": applicationID, "user_version": formatVersion} {
		var got int
		if err := d.conn.QueryRowContext(never, "PRAGMA "+name).Scan(&got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s: PRAGMA %s is %d, not %d", d.f.path, name, got, want)
		}
	}
	if err := d.set([][2]string{{"journal_mode", "wal"}}); err != nil {
		return err
	}
	if !a.relaxed {
		if err := d.checkWAL(); err != nil {
			return err
		}
	}
	if a.pages > 0 {
		if err := d.exec(fmt.Sprint("PRAGMA max_page_count=", a.pages)); err != nil {
			return err
		}
	}
	if err := d.checkTables(); err != nil || a.unchecked {
		return err
	}
	list, err := column[string](d.conn, "PRAGMA integrity_check(1)")
	if err == nil && (len(list) != 1 || list[0] != "ok") {
		err = d.f.corrupt(strings.Join(list, "; "))
	}
	return err
}

// checkTables checks that the tables are those that were made, and that nobody has
// put something on them that would take part in writes. Other tables and views are
// let be.
func (d *database) checkTables() error {
	have, err := column[string](d.conn, `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND
		(tbl_name IN ('meta', 'buckets', 'records', 'marks') OR name = 'items' OR type = 'trigger') ORDER BY sql`)
	if err != nil {
		return err
	}
	if want := slices.Sorted(slices.Values(tables)); !slices.Equal(want, have) {
		return &store.CorruptError{File: "sqlite_schema", Reason: "the tables are not those that were made"}
	}
	return nil
}

// column returns the only column of a query.
func column[T any](conn *sql.Conn, query string, args ...any) (list []T, err error) {
	rows, err := conn.QueryContext(never, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// explain gives an error of SQLite the meaning that it has for a log.
func (d *database) explain(err error) error {
	switch errorCode(err) {
	case code.SQLITE_CORRUPT, code.SQLITE_NOTADB, code.SQLITE_FORMAT:
		return d.f.corrupt(err.Error())
	case code.SQLITE_BUSY, code.SQLITE_LOCKED:
		return fmt.Errorf("%s: %w", d.f.path, store.ErrLocked)
	}
	return err
}

// errorCode is SQLite's primary result code; 0 if the error is not SQLite's.
func errorCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// close gives up the connection; SQLite then empties the write-ahead log and
// removes it. It does neither while there is a prepared statement.
func (d *database) close() error {
	var errs []error
	for _, st := range d.prepared {
		errs = append(errs, st.Close())
	}
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
	}
	return errors.Join(append(errs, d.db.Close())...)
}
