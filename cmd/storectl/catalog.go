package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/noex-go/store/internal/logentry"
)

// bucket is a bucket of a log, as of the entry that was read last.
type bucket struct {
	id, version uint64
	name        string
	key         string   // the field
	fields      []string // that the definition names
	live        map[any]int64
	bytes       int64 // of the records in live; inspect only
}

// catalog is the buckets that a log has so far.
type catalog struct {
	seq     uint64
	byID    map[uint64]*bucket
	byName  map[string]*bucket
	entries int // and parts of snapshots
	rows    int // and deletes
}

func newCatalog() *catalog {
	return &catalog{byID: make(map[uint64]*bucket), byName: make(map[string]*bucket)}
}

// parse reads an entry, and takes its definitions. Error: how it does not fit what was
// before.
func (c *catalog) parse(data []byte) (*logentry.Entry, error) {
	e, err := logentry.Parse(data)
	if err != nil {
		return nil, err
	}
	c.entries++
	c.seq = max(c.seq, e.Seq)
	for i := range e.Buckets {
		if err := c.define(&e.Buckets[i]); err != nil {
			return nil, err
		}
	}
	for i := range e.Buckets { // one that ends in the same entry may have no definition
		if d := &e.Buckets[i]; c.byID[d.ID] != nil {
			if err := c.byID[d.ID].read(d.Definition); err != nil {
				return nil, err
			}
		}
	}
	for i := range e.Blocks {
		switch k := &e.Blocks[i]; {
		case c.byID[k.Bucket] == nil:
			return nil, fmt.Errorf("a write to bucket %d, which there is not", k.Bucket)
		case c.byID[k.Bucket].version < k.Version:
			return nil, fmt.Errorf("a write to bucket %d with a definition that there is not", k.Bucket)
		}
	}
	for i := range e.Reads {
		switch r := &e.Reads[i]; r.Key.(type) {
		case string, int64:
		default:
			return nil, fmt.Errorf("a read from bucket %d by what is no key", r.Bucket)
		}
	}
	return e, nil
}

func (c *catalog) define(d *logentry.Bucket) error {
	b := c.byID[d.ID]
	switch {
	case d.ID == 0:
		return errors.New("bucket 0 is in no log")
	case d.Dropped && b == nil:
		return fmt.Errorf("the end of bucket %d, which there is not", d.ID)
	case d.Dropped:
		delete(c.byID, b.id)
		delete(c.byName, b.name)
		return nil
	case b == nil && c.byName[d.Name] != nil:
		return fmt.Errorf("bucket %q is defined twice", d.Name)
	case b == nil:
		b = &bucket{id: d.ID, name: d.Name, live: make(map[any]int64)}
		c.byID[b.id], c.byName[b.name] = b, b
	}
	b.version = d.Version
	return nil
}

// read finds in a definition what it says of the key and the fields.
func (b *bucket) read(definition []byte) error {
	var d map[string]any
	if err := logentry.UnmarshalValue(definition, &d); err != nil {
		return fmt.Errorf("the definition of bucket %q: %w", b.name, err)
	}
	b.key, _ = d["key"].(string)
	if b.key == "" {
		return fmt.Errorf("the definition of bucket %q names no key", b.name)
	}
	b.fields = nil
	list, _ := d["fields"].([]any)
	for _, f := range list {
		field, _ := f.(map[string]any)
		name, ok := field["name"].(string)
		if !ok {
			return fmt.Errorf("the definition of bucket %q has a field without a name", b.name)
		}
		b.fields = append(b.fields, name)
	}
	return nil
}

// records returns the records of a block of the bucket, which all have a key.
func (c *catalog) records(k *logentry.Block) (*bucket, []logentry.Record, error) {
	b := c.byID[k.Bucket]
	list, err := k.Records()
	if err != nil {
		return nil, nil, fmt.Errorf("bucket %q: %w", b.name, err)
	}
	for i := range list {
		switch list[i].Fields[b.key].(type) {
		case string, int64:
		default:
			return nil, nil, fmt.Errorf("bucket %q: row %d has no key", b.name, i)
		}
		if list[i].Version == 0 {
			return nil, nil, fmt.Errorf("bucket %q: row %d has no version", b.name, i)
		}
	}
	c.rows += len(list) + len(k.Deleted)
	return b, list, nil
}

// remove forgets a record that was deleted.
func (b *bucket) remove(key any) error {
	n, ok := b.live[key]
	if !ok {
		return fmt.Errorf("bucket %q: the delete of a record that there is not", b.name)
	}
	b.bytes -= n
	delete(b.live, key)
	return nil
}

// buckets returns them in the order of their ids.
func (c *catalog) buckets() []*bucket {
	return slices.SortedFunc(maps.Values(c.byID), func(a, b *bucket) int { return cmp.Compare(a.id, b.id) })
}
