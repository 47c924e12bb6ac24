package store

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// Fields is a record's content as a dynamic bucket takes it: field names to
// values of any Go type that fits the schema. The store copies what it keeps.
type Fields map[string]any

// Seq is the sequence of a commit: 1 for the first, without gaps that a reader
// could see. 0 is the empty store.
type Seq uint64

// Version counts the writes of one record: 1 when it is inserted.
type Version uint64

// Millis is a moment in Unix milliseconds; 0 means none.
type Millis int64

// Time returns the moment in UTC, or the zero time for 0.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// IsZero reports whether there is no moment.
func (m Millis) IsZero() bool { return m == 0 }

func (m Millis) String() string { return m.Time().Format("2006-01-02T15:04:05.000Z07:00") }

// Meta is what the store itself knows of a record. A struct that embeds it gets
// it filled in; what the caller writes there is ignored, but for the ExpiresAt of a
// record that is inserted.
type Meta struct {
	Version   Version `json:"_version"`
	CreatedAt Millis  `json:"_createdAt"`
	UpdatedAt Millis  `json:"_updatedAt"`
	ExpiresAt Millis  `json:"_expiresAt,omitzero"`
}

// The names of the metadata in maps and JSON. Input fields of these names are
// ignored, so that a record that was read can be written back.
const (
	metaVersion   = "_version"
	metaCreatedAt = "_createdAt"
	metaUpdatedAt = "_updatedAt"
	metaExpiresAt = "_expiresAt"
)

func isMetaName(name string) bool {
	switch name {
	case metaVersion, metaCreatedAt, metaUpdatedAt, metaExpiresAt:
		return true
	}
	return false
}

// Key is a record's key: a string or an integer. Keys are comparable with ==.
type Key struct {
	text string
	word int64
	kind keyKind
}

type keyKind uint8

const (
	keyNone keyKind = iota
	keyText
	keyWord
)

// StringKey and IntKey make keys.
func StringKey(s string) Key { return Key{text: s, kind: keyText} }

// IntKey makes a key of an integer.
func IntKey(n int64) Key { return Key{word: n, kind: keyWord} }

// IsZero reports whether the key is no key.
func (k Key) IsZero() bool { return k.kind == keyNone }

// Value returns the key as a string or an int64, nil for the zero Key.
func (k Key) Value() any {
	switch k.kind {
	case keyText:
		return k.text
	case keyWord:
		return k.word
	}
	return nil
}

func (k Key) String() string {
	if k.kind == keyWord {
		return strconv.FormatInt(k.word, 10)
	}
	return k.text
}

// MarshalJSON writes the key as a JSON string or number.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.Value()) }

// Record is one version of a record: immutable, safe to keep, to share between
// goroutines and to compare with later ones: == holds between Records of one
// version, unless a query with Select made them. The zero Record is no record.
//
// It is one pointer, so that a list of records is a list of versions. What
// Select shows is an object of its own: see table.Views.
type Record struct {
	v *table.Version
}

// versions is a list of Records, which R must be, as what it is made of.
func versions[R any](rs []R) []*table.Version {
	return *(*[]*table.Version)(unsafe.Pointer(&rs))
}

// look returns how to read the record, and what to read. It must be one.
func (r Record) look() (*shape, *table.Version) {
	sh := shapeOf(r.v)
	if sh.only != nil {
		return sh, r.v.Viewed()
	}
	return sh, r.v
}

// IsZero reports whether r is no record.
func (r Record) IsZero() bool { return r.v == nil }

// Key returns the record's key.
func (r Record) Key() Key {
	if r.v == nil {
		return Key{}
	}
	sh, v := r.look()
	return sh.keyOf(v)
}

// Get returns the value of a field: a string, int64, float64, bool, time.Time
// (UTC), []byte, map[string]any or []any, the last three fresh copies; nil if
// the field is absent or unknown.
func (r Record) Get(field string) any {
	if r.v == nil {
		return nil
	}
	sh, v := r.look()
	if i, ok := sh.byName[field]; ok {
		return sh.slots[i].get(v)
	}
	if v.Ext.Extra != nil && sh.only.showsExtra(field) {
		return cloneValue(v.Ext.Extra[field])
	}
	return nil
}

// Has reports whether the field is present.
func (r Record) Has(field string) bool {
	if r.v == nil {
		return false
	}
	sh, v := r.look()
	if i, ok := sh.byName[field]; ok {
		return !sh.slots[i].absent(v)
	}
	_, ok := v.Ext.Extra[field]
	return ok && sh.only.showsExtra(field)
}

// Version counts the writes of the record, from 1.
func (r Record) Version() Version { return r.meta().Version }

// CreatedAt is when the record was inserted, with a resolution of 1 ms.
func (r Record) CreatedAt() time.Time { return r.meta().CreatedAt.Time() }

// UpdatedAt is when the record was written last, with a resolution of 1 ms.
func (r Record) UpdatedAt() time.Time { return r.meta().UpdatedAt.Time() }

// ExpiresAt is when the record expires; the zero time if it does not.
func (r Record) ExpiresAt() time.Time { return r.meta().ExpiresAt.Time() }

// Meta returns the record's metadata.
func (r Record) Meta() Meta { return r.meta() }

func (r Record) meta() Meta {
	if r.v == nil {
		return Meta{}
	}
	sh, v := r.look()
	return sh.only.metaOf(*sh.meta(v))
}

// Map returns the present fields and the metadata (_version, _createdAt,
// _updatedAt, _expiresAt, the last three in Unix milliseconds) as a fresh map; of
// a query with Select, the key and what it selects.
func (r Record) Map() map[string]any {
	if r.v == nil {
		return nil
	}
	sh, v := r.look()
	m := make(map[string]any, len(sh.slots)+4)
	for k, x := range v.Ext.Extra {
		if sh.only.showsExtra(k) {
			m[k] = cloneValue(x)
		}
	}
	for i := range sh.slots {
		if s := &sh.slots[i]; !s.absent(v) {
			m[s.name] = s.get(v)
		}
	}
	meta := sh.meta(v)
	m[metaVersion] = int64(meta.Version)
	m[metaCreatedAt] = int64(meta.CreatedAt)
	m[metaUpdatedAt] = int64(meta.UpdatedAt)
	if meta.ExpiresAt != 0 {
		m[metaExpiresAt] = int64(meta.ExpiresAt)
	}
	sh.only.hideMeta(m)
	return m
}

// MarshalJSON writes what Map returns. An infinite float, for which JSON has no
// number, is the string "Infinity" or "-Infinity", as a Float field takes it.
func (r Record) MarshalJSON() ([]byte, error) {
	m := r.Map()
	data, err := json.Marshal(m)
	var unsupported *json.UnsupportedValueError
	if errors.As(err, &unsupported) {
		return json.Marshal(nameInfinity(m))
	}
	return data, err
}

// nameInfinity replaces infinite floats in a canonical value that is its own.
func nameInfinity(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsInf(v, 1):
			return infinityText
		case math.IsInf(v, -1):
			return "-" + infinityText
		}
	case map[string]any:
		for k, x := range v {
			v[k] = nameInfinity(x)
		}
	case []any:
		for i, x := range v {
			v[i] = nameInfinity(x)
		}
	}
	return v
}

func at(v *table.Version, off uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(v), off) }

// sameRecord reports whether two records show the same: of one version, or by
// what Select has left of them.
func sameRecord(a, b Record) bool {
	if a.v == b.v {
		return true
	}
	if a.v == nil || b.v == nil {
		return false
	}
	sh, v := a.look()
	th, w := b.look()
	if sh.only == nil || th.only == nil {
		return v == w && sh == th
	}
	return identicalValues(a.Map(), b.Map())
}
