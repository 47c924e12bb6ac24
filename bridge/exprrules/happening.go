package exprrules

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/noex-go/store"
)

// happening is an event as rules see it.
type happening struct {
	typ       store.EventType
	topic     string
	bucket    string
	recordKey store.Key
	dataKey   any // where there is no recordKey
	seq       store.Seq
	why       store.Reason
	dataWhy   string
	old, new  record
}

func (h *happening) key() any {
	if h.dataKey != nil {
		return h.dataKey
	}
	return h.recordKey.Value()
}

func (h *happening) none() bool { return false }

var eventFields = [...]string{"type", "topic", "bucket", "key", "seq", "reason"}

func (h *happening) get(field string) any {
	switch field {
	case "type":
		return h.typ.String()
	case "topic":
		return h.topic
	case "bucket":
		return h.bucket
	case "key":
		return h.key()
	case "seq":
		return int64(h.seq)
	case "reason":
		return h.reason()
	}
	return nil
}

func (h *happening) all() map[string]any {
	m := make(map[string]any, len(eventFields))
	for _, name := range eventFields {
		m[name] = h.get(name)
	}
	return m
}

func (h *happening) reason() string {
	switch {
	case h.typ != store.Deleted:
		return ""
	case h.dataWhy != "":
		return h.dataWhy
	}
	return h.why.String()
}

// record is the record of an event: of the store, or as data; neither is none.
type record struct {
	r store.Record
	m map[string]any
}

func (r *record) none() bool { return r.m == nil && r.r.IsZero() }

func (r *record) get(field string) any {
	if r.m != nil {
		return r.m[field]
	}
	if field != "" && field[0] == '_' {
		switch field {
		case "_version":
			return int64(r.r.Meta().Version)
		case "_createdAt":
			return int64(r.r.Meta().CreatedAt)
		case "_updatedAt":
			return int64(r.r.Meta().UpdatedAt)
		case "_expiresAt":
			if at := r.r.Meta().ExpiresAt; at != 0 {
				return int64(at)
			}
			return nil
		}
	}
	return r.r.Get(field)
}

// all is the whole record, a map of its own; nil where there is none.
func (r *record) all() map[string]any {
	if r.m != nil {
		return maps.Clone(r.m)
	}
	return r.r.Map()
}

// readData reads what [bridge.Data] has made.
func readData(topic string, data map[string]any) (h happening, err error) {
	h.topic = topic
	name, _ := data["type"].(string)
	for _, t := range eventTypes {
		if t.String() == name {
			h.typ = t
		}
	}
	if h.typ == 0 {
		return h, errors.New(`its data has no "type" that is inserted, updated or deleted`)
	}
	var ok bool
	if h.bucket, ok = data["bucket"].(string); !ok {
		return h, errors.New(`its data has no "bucket" that is a text`)
	}
	if text, ok := data["key"].(string); ok {
		h.dataKey = text
	} else if n, ok := integer(data["key"]); ok {
		h.dataKey = n
	} else {
		return h, errors.New(`its data has no "key" that is a text or an integer`)
	}
	seq, ok := integer(data["seq"])
	if !ok || seq < 0 {
		return h, errors.New(`its data has no "seq" that is a positive integer`)
	}
	h.seq = store.Seq(seq)
	h.dataWhy, _ = data["reason"].(string)
	part := func(name string, to *record) {
		if to.m, ok = data[name].(map[string]any); (!ok || to.m == nil) && err == nil {
			err = fmt.Errorf("its data has no %q that is an object", name)
		}
	}
	switch h.typ {
	case store.Inserted:
		part("record", &h.new)
	case store.Deleted:
		part("record", &h.old)
	default:
		part("oldRecord", &h.old)
		part("newRecord", &h.new)
	}
	return h, err
}

// integer reads an integer of the form that it has in data, or after a way through
// JSON.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return 0, false
}
