package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a row: of its columns as a CBOR array, which tells
// where one ends and what kind it is. The table's name keeps rows of one table from
// being taken for another's.
func checksum(table string, columns ...any) uint32 {
	b := logentry.AppendText(make([]byte, 0, 256), table)
	var long []byte
	for _, c := range columns {
		switch c := c.(type) {
		case int64:
			b = logentry.AppendInt(b, c)
		case string:
			if len(c) > 1<<10 {
				long = append(long[:0], c...)
				b = appendSum(logentry.AppendUint(b, uint64(len(c))), long)
				continue
			}
			b = logentry.AppendText(b, c)
		case []byte:
			if len(c) > 1<<10 {
				b = appendSum(logentry.AppendUint(b, uint64(len(c))), c)
				continue
			}
			b = logentry.AppendBytes(b, c)
		}
	}
	return crc32.Checksum(b, castagnoli)
}

// appendSum stands for a long column, which is not copied.
func appendSum(b, column []byte) []byte {
	return logentry.AppendUint(b, uint64(crc32.Checksum(column, castagnoli)))
}

// meta is the row of that table: where the log stands.
type meta struct {
	log      []byte // a random id of this database
	position store.Position
	seq      uint64
	session  []byte
	records  int64  // rows of records
	sum      uint64 // of the checksums of all rows of records, buckets and marks
	clean    bool   // closed, or nothing written since
}

const (
	insertMeta = `INSERT INTO meta (id, log, position, seq, session, records, checksum, clean, crc) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateMeta = `UPDATE meta SET log = ?, position = ?, seq = ?, session = ?, records = ?, checksum = ?, clean = ?, crc = ? WHERE id = 1`
	selectMeta = `SELECT log, position, seq, session, records, checksum, clean, crc FROM meta`
)

func newMeta() meta {
	m := meta{log: make([]byte, 16), session: []byte{}, clean: true}
	_, _ = rand.Read(m.log) // it never fails
	return m
}

// args are the columns of the row.
func (m *meta) args() []any {
	clean := int64(0)
	if m.clean {
		clean = 1
	}
	columns := []any{m.log, int64(m.position), int64(m.seq), m.session, m.records, int64(m.sum), clean}
	return append(columns, int64(checksum("meta", columns...)))
}

func (d *database) readMeta() (m meta, err error) {
	rows, err := d.conn.QueryContext(never, selectMeta)
	if err != nil {
		return m, err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var position, seq, sum, clean, crc int64
		if err := rows.Scan(&m.log, &position, &seq, &m.session, &m.records, &sum, &clean, &crc); err != nil {
			return m, err
		}
		m.position, m.seq, m.sum, m.clean = store.Position(position), uint64(seq), uint64(sum), clean != 0
		if m.session == nil {
			m.session = []byte{}
		}
		if args := m.args(); args[len(args)-1] != crc {
			return m, corruptRow("meta", 1)
		}
	}
	if err := rows.Err(); err != nil {
		return m, err
	}
	if n != 1 {
		return m, &store.CorruptError{File: "meta", Reason: fmt.Sprintf("%d rows instead of one", n)}
	}
	return m, nil
}

func corruptRow(table string, row int64) error {
	return &store.CorruptError{File: table, Offset: row, Reason: "the row does not match its checksum"}
}

// bucket is a row of buckets, and what is known of the bucket besides.
type bucket struct {
	id         uint64
	name       string
	version    uint64
	definition []byte
	json       string
	dropped    bool
	crc        uint32

	key   string // the field that identifies a record
	marks map[string]mark
}

// mark is a row of marks.
type mark struct {
	last int64
	crc  uint32
}

const (
	upsertBucket = `INSERT INTO buckets (id, name, version, definition, json, dropped, crc) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, definition = excluded.definition,
		json = excluded.json, dropped = excluded.dropped, crc = excluded.crc`
	selectBuckets = `SELECT id, name, version, definition, json, dropped, crc FROM buckets`
	deleteBucket  = `DELETE FROM buckets WHERE id = ?`
	upsertMark    = `INSERT INTO marks (bucket, field, last, crc) VALUES (?, ?, ?, ?)
		ON CONFLICT (bucket, field) DO UPDATE SET last = excluded.last, crc = excluded.crc`
	selectMarks = `SELECT bucket, field, last, crc FROM marks`
	deleteMarks = `DELETE FROM marks WHERE bucket = ?`
)

// newBucket reads a definition: its key is all that matters here.
func newBucket(e *logentry.Bucket) (*bucket, error) {
	b := &bucket{id: e.ID, name: e.Name, version: e.Version, definition: e.Definition, dropped: e.Dropped, marks: map[string]mark{}}
	if e.ID > math.MaxInt64 || e.Version > math.MaxInt64 {
		return nil, fmt.Errorf("bucket %q: %w", b.name, errNumber)
	}
	text, rest, err := appendJSON(nil, e.Definition, 0)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("bucket %q: its definition cannot be read", b.name)
	}
	b.json = string(text)
	if err := b.readKey(); err != nil && !b.dropped {
		return nil, err
	}
	b.crc = b.checksum()
	return b, nil
}

func (b *bucket) readKey() error {
	var def struct {
		Key string `cbor:"key"`
	}
	if err := logentry.UnmarshalValue(b.definition, &def); err != nil || def.Key == "" {
		return fmt.Errorf("bucket %q: its definition names no key", b.name)
	}
	b.key = def.Key
	return nil
}

func (b *bucket) args() []any {
	dropped := int64(0)
	if b.dropped {
		dropped = 1
	}
	return []any{int64(b.id), b.name, int64(b.version), b.definition, b.json, dropped}
}

func (b *bucket) checksum() uint32 { return checksum("buckets", b.args()...) }

func markSum(bucket uint64, field string, last int64) uint32 {
	return checksum("marks", int64(bucket), field, last)
}

// readBuckets reads the tables of buckets and marks, and returns the sum of their
// rows.
func (d *database) readBuckets() (map[uint64]*bucket, uint64, error) {
	buckets, sum := map[uint64]*bucket{}, uint64(0)
	err := d.each(selectBuckets, func(rows *sql.Rows) error {
		b := &bucket{marks: map[string]mark{}}
		var id, version, dropped, crc int64
		if err := rows.Scan(&id, &b.name, &version, &b.definition, &b.json, &dropped, &crc); err != nil {
			return err
		}
		b.id, b.version, b.dropped, b.crc = uint64(id), uint64(version), dropped != 0, uint32(crc)
		if int64(b.checksum()) != crc {
			return corruptRow("buckets", id)
		}
		if err := b.readKey(); err != nil && !b.dropped {
			return &store.CorruptError{File: "buckets", Offset: id, Reason: err.Error()}
		}
		buckets[b.id] = b
		sum += uint64(crc)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	err = d.each(selectMarks, func(rows *sql.Rows) error {
		var id, last, crc int64
		var field string
		if err := rows.Scan(&id, &field, &last, &crc); err != nil {
			return err
		}
		b := buckets[uint64(id)]
		if b == nil || int64(markSum(uint64(id), field, last)) != crc {
			return corruptRow("marks", id)
		}
		b.marks[field] = mark{last, uint32(crc)}
		sum += uint64(crc)
		return nil
	})
	return buckets, sum, err
}

// each calls fn with each row of a query.
func (d *database) each(query string, fn func(rows *sql.Rows) error, args ...any) error {
	rows, err := d.conn.QueryContext(never, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// sortedBuckets returns the buckets by their ids.
func sortedBuckets(m map[uint64]*bucket) []*bucket {
	var list []*bucket
	for _, id := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[id])
	}
	return list
}

// statements are prepared once for the connection.
type statements struct {
	begin, commit, rollback            *sql.Stmt
	insert, find, update, del, delHere *sql.Stmt
	upsertBucket, upsertMark, meta     *sql.Stmt
	page                               *sql.Stmt
}

func (d *database) prepare() (st *statements, err error) {
	st = new(statements)
	for query, to := range map[string]**sql.Stmt{
		"BEGIN IMMEDIATE": &st.begin, "COMMIT": &st.commit, "ROLLBACK": &st.rollback,
		insertRecord: &st.insert, findRecord: &st.find, updateRecord: &st.update, deleteRecord: &st.del, deleteAt: &st.delHere,
		upsertBucket: &st.upsertBucket, upsertMark: &st.upsertMark, updateMeta: &st.meta, selectPage: &st.page,
	} {
		if *to, err = d.conn.PrepareContext(context.Background(), query); err != nil {
			return nil, err
		}
		d.prepared = append(d.prepared, *to)
	}
	return st, nil
}
