package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/noex-go/store/internal/logentry"
)

// record is a row of records. Its slices are valid until the next one is read.
type record struct {
	bucket, place              int64
	key                        any   // string or int64
	definition, version        int64 // version of the definition, and of the record
	created, updated, expires  int64
	data, extra                []byte // maps, as CBOR
	json                       string
	crc                        uint32
	oldPlace                   int64 // of find
	oldCRC                     uint32
	dataBuf, extraBuf, jsonBuf []byte
}

const (
	insertRecord = `INSERT INTO records (bucket, place, key, definition, version, created, updated, expires, data, extra, json, crc)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	findRecord   = `SELECT place, crc FROM records WHERE bucket = ? AND key = ?`
	updateRecord = `UPDATE records SET definition = ?, version = ?, created = ?, updated = ?, expires = ?, data = ?, extra = ?, json = ?, crc = ?
		WHERE bucket = ? AND place = ? AND key = ?`
	deleteAt     = `DELETE FROM records WHERE bucket = ? AND place = ? AND key = ?`
	deleteRecord = `DELETE FROM records WHERE bucket = ? AND key = ? RETURNING crc`
	selectPage   = `SELECT bucket, place, key, definition, version, created, updated, expires, data, extra, json, crc FROM records
		WHERE (bucket, place, key) > (?, ?, ?) ORDER BY bucket, place, key LIMIT ?`
)

var (
	errNumber = errors.New("a number is beyond 2^63-1, which a table cannot hold")
	errKey    = errors.New("a record has no key")
)

func (r *record) checksum() uint32 {
	return checksum("records", r.bucket, r.place, r.key, r.definition, r.version, r.created, r.updated, r.expires, r.data, r.extra, r.json)
}

// scan reads a row of selectPage.
func (r *record) scan(rows *sql.Rows) error {
	var data, extra sql.RawBytes
	var crc int64
	if err := rows.Scan(&r.bucket, &r.place, &r.key, &r.definition, &r.version, &r.created, &r.updated, &r.expires, &data, &extra, &r.json, &crc); err != nil {
		return err
	}
	r.data, r.extra, r.crc = data, extra, uint32(crc)
	if int64(r.checksum()) != crc {
		return corruptRow("records", r.place)
	}
	return nil
}

// splitter takes the records of a block apart.
type splitter struct {
	block *logentry.Block
	b     *bucket
	order []int    // of the columns, as a map has its names
	names [][]byte // encoded
	rest  [][]byte // what is left of each column
	row   int
	rec   record
}

// newSplitter checks the block's form; next then brings the records.
func newSplitter(block *logentry.Block, b *bucket) (*splitter, error) {
	s := &splitter{block: block, b: b}
	if block.Version > math.MaxInt64 {
		return nil, errNumber
	}
	for i, name := range block.Names {
		n, rest, err := cutCount(block.Columns[i], majorArray)
		if err != nil {
			return nil, err
		}
		for row := range block.Rows {
			if block.Absent(i, row) {
				n++
			}
		}
		if n != block.Rows {
			return nil, fmt.Errorf("column %q has values of another number of rows", name)
		}
		s.names = append(s.names, logentry.AppendText(nil, name))
		s.rest = append(s.rest, rest)
		s.order = append(s.order, i)
	}
	return s, sortColumns(s.order, s.names)
}

// next reads the next record into s.rec.
func (s *splitter) next() error {
	k, row, r := s.block, s.row, &s.rec
	s.row++
	if k.Places[row] > math.MaxInt64 || k.Versions[row] > math.MaxInt64 {
		return errNumber
	}
	r.bucket, r.place, r.definition, r.version = int64(k.Bucket), int64(k.Places[row]), int64(k.Version), int64(k.Versions[row])
	r.created, r.updated, r.expires, r.key = k.Created[row], k.Updated[row], 0, nil
	if k.Expires != nil {
		r.expires = k.Expires[row]
	}
	n := 0
	for i := range s.names {
		if !k.Absent(i, row) {
			n++
		}
	}
	r.dataBuf = logentry.AppendMap(r.dataBuf[:0], n)
	r.jsonBuf = append(r.jsonBuf[:0], '{')
	for _, i := range s.order {
		if k.Absent(i, row) {
			continue
		}
		item, rest, err := cutItem(s.rest[i])
		if err != nil {
			return err
		}
		s.rest[i] = rest
		if k.Names[i] == s.b.key {
			if r.key, err = readKey(item); err != nil {
				return err
			}
		}
		from := len(r.dataBuf)
		r.dataBuf = append(append(r.dataBuf, s.names[i]...), item...)
		if r.jsonBuf, _, err = appendPairs(r.jsonBuf, r.dataBuf[from:], 1, 0); err != nil {
			return err
		}
	}
	if r.key == nil {
		return errKey
	}
	return s.finish(row)
}

// finish reads the record's extra fields, and completes the row.
func (s *splitter) finish(row int) (err error) {
	r := &s.rec
	r.extraBuf = append(r.extraBuf[:0], majorMap<<5)
	if s.block.Extras != nil && len(s.block.Extras[row]) > 0 {
		if r.extraBuf, err = logentry.AppendValue(r.extraBuf[:0], s.block.Extras[row]); err != nil {
			return err
		}
		_, _, n, pairs, err := cutHead(r.extraBuf)
		if err != nil {
			return err
		}
		if r.jsonBuf, _, err = appendPairs(r.jsonBuf, pairs, n, 0); err != nil {
			return err
		}
	}
	r.jsonBuf = append(r.jsonBuf, '}')
	r.data, r.extra, r.json = r.dataBuf, r.extraBuf, string(r.jsonBuf)
	r.crc = r.checksum()
	return nil
}

func readKey(item []byte) (any, error) {
	major, _, n, rest, err := cutHead(item)
	switch {
	case err != nil:
	case major == majorText:
		s, _, err := cutString(rest, n)
		return string(s), err
	case major == majorUint && n <= math.MaxInt64:
		return int64(n), nil
	case major == majorNegative && n <= math.MaxInt64:
		return -1 - int64(n), nil
	}
	return nil, errKey
}
