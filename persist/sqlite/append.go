package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/noex-go/store/internal/logentry"
)

// change is a transaction on the database: entries that are applied to the state
// that it began with. Only commit makes that state the log's.
type change struct {
	*log
	meta meta
	args [12]any
}

// sortColumns brings columns into the order of their names' encodings. A name that
// is there twice is an error.
func sortColumns(order []int, names [][]byte) error {
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(names[a], names[b]) })
	for i := 1; i < len(order); i++ {
		if bytes.Equal(names[order[i-1]], names[order[i]]) {
			return errors.New("two columns of one name")
		}
	}
	return nil
}

// apply applies an entry, or a part of a snapshot.
func (c *change) apply(e *logentry.Entry) error {
	if e.Seq > 1<<63-1 {
		return errNumber
	}
	for i := range e.Buckets {
		if err := c.define(&e.Buckets[i]); err != nil {
			return err
		}
	}
	for i := range e.Blocks {
		if err := c.block(&e.Blocks[i]); err != nil {
			return fmt.Errorf("bucket %d: %w", e.Blocks[i].Bucket, err)
		}
	}
	c.meta.seq = e.Seq
	c.meta.session = append([]byte{}, e.Session...)
	return nil
}

// define keeps a definition, or ends a bucket.
func (c *change) define(e *logentry.Bucket) error {
	b, err := newBucket(e)
	if err != nil {
		return err
	}
	old := c.buckets[b.id]
	if old != nil {
		b.marks = old.marks
		c.meta.sum -= uint64(old.crc)
	}
	if b.dropped {
		if err := c.clear(b); err != nil {
			return err
		}
	}
	if _, err := c.st.upsertBucket.ExecContext(never, append(b.args(), int64(b.crc))...); err != nil {
		return err
	}
	c.meta.sum += uint64(b.crc)
	c.buckets[b.id] = b
	if b.dropped {
		return c.forget()
	}
	return nil
}

// clear deletes the rows of a bucket.
func (c *change) clear(b *bucket) error {
	sums, err := column[int64](c.d.conn, "DELETE FROM records WHERE bucket = ? RETURNING crc", int64(b.id))
	if err != nil {
		return err
	}
	for _, crc := range sums {
		c.meta.sum -= uint64(crc)
	}
	c.meta.records -= int64(len(sums))
	if err := c.d.exec(deleteMarks, int64(b.id)); err != nil {
		return err
	}
	for _, m := range b.marks {
		c.meta.sum -= uint64(m.crc)
	}
	b.marks = map[string]mark{}
	return nil
}

// forget deletes all dropped buckets but the one with the highest id, which says
// what ids were used.
func (c *change) forget() error {
	newest := uint64(0)
	for id, b := range c.buckets {
		if b.dropped {
			newest = max(newest, id)
		}
	}
	for id, b := range c.buckets {
		if !b.dropped || id == newest {
			continue
		}
		if err := c.d.exec(deleteBucket, int64(id)); err != nil {
			return err
		}
		c.meta.sum -= uint64(b.crc)
		delete(c.buckets, id)
	}
	return nil
}

// block applies what a commit made of one bucket.
func (c *change) block(k *logentry.Block) error {
	b := c.buckets[k.Bucket]
	if b == nil || b.dropped {
		return errors.New("there is no such bucket")
	}
	for _, key := range k.Deleted {
		if err := c.delete(int64(b.id), key); err != nil {
			return err
		}
	}
	s, err := newSplitter(k, b)
	if err != nil {
		return err
	}
	for range k.Rows {
		if err := s.next(); err != nil {
			return err
		}
		if err := c.put(&s.rec); err != nil {
			return err
		}
	}
	for field, last := range k.Marks {
		if err := c.mark(b, field, last); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) delete(bucket int64, key any) error {
	rows, err := c.st.del.QueryContext(never, bucket, key)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var crc int64
		if err := rows.Scan(&crc); err != nil {
			return err
		}
		c.meta.sum -= uint64(crc)
		c.meta.records--
	}
	return rows.Err()
}

// put inserts or updates a record. A record of version 1 is most likely new.
func (c *change) put(r *record) error {
	if r.version == 1 {
		if done, err := c.insert(r); done || err != nil {
			return err
		}
	}
	found, err := c.find(r)
	switch {
	case err != nil:
		return err
	case found && r.oldPlace == r.place:
		_, err := c.st.update.ExecContext(never, append(c.args[:0], r.definition, r.version, r.created, r.updated, r.expires,
			r.data, r.extra, r.json, int64(r.crc), r.bucket, r.place, r.key)...)
		c.meta.sum += uint64(r.crc) - uint64(r.oldCRC)
		return err
	case found:
		if _, err := c.st.delHere.ExecContext(never, r.bucket, r.oldPlace, r.key); err != nil {
			return err
		}
		c.meta.sum -= uint64(r.oldCRC)
		c.meta.records--
	}
	if done, err := c.insert(r); !done && err == nil {
		return c.d.f.corrupt("a record is neither there nor not")
	} else if err != nil {
		return err
	}
	return nil
}

// insert reports whether it did: not if there is a record of that key.
func (c *change) insert(r *record) (bool, error) {
	res, err := c.st.insert.ExecContext(never, append(c.args[:0], r.bucket, r.place, r.key, r.definition, r.version, r.created, r.updated, r.expires,
		r.data, r.extra, r.json, int64(r.crc))...)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); n == 0 || err != nil {
		return false, err
	}
	c.meta.sum += uint64(r.crc)
	c.meta.records++
	return true, nil
}

func (c *change) find(r *record) (bool, error) {
	rows, err := c.st.find.QueryContext(never, r.bucket, r.key)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var crc int64
		if err := rows.Scan(&r.oldPlace, &crc); err != nil {
			return false, err
		}
		r.oldCRC, found = uint32(crc), true
	}
	return found, rows.Err()
}

// mark keeps the last number of a field. Of two commits the later one may know the
// smaller number: it was written before.
func (c *change) mark(b *bucket, field string, last int64) error {
	old, ok := b.marks[field]
	if ok && last <= old.last {
		return nil
	}
	m := mark{last, markSum(b.id, field, last)}
	if _, err := c.st.upsertMark.ExecContext(never, int64(b.id), field, last, int64(m.crc)); err != nil {
		return err
	}
	c.meta.sum += uint64(m.crc) - uint64(old.crc)
	b.marks[field] = m
	return nil
}
