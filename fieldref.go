package store

import (
	"strconv"
	"strings"

	"github.com/noex-go/store/internal/table"
)

// fieldRef is what a name in a query stands for: a field of the schema, a value
// inside one, a field outside the schema, or a part of the metadata.
type fieldRef struct {
	name string
	typ  Type // Any for what the schema does not say
	// single: it is a float32 inside of a struct
	single bool
	slot   *slot    // the field, or the one that the path starts in
	path   []string // below slot, or below the extra fields
	meta   string   // the name of the metadata
	sh     *shape
}

// plain reports whether the name is that of a field, and no more.
func (r *fieldRef) plain() bool { return r.slot != nil && r.path == nil }

// field finds what a name stands for. The message says why it stands for nothing.
func (sh *shape) field(name string) (fieldRef, string) {
	if pos, ok := sh.byName[name]; ok {
		s := &sh.slots[pos]
		return fieldRef{name: name, typ: s.typ, slot: s}, ""
	}
	switch name {
	case metaVersion:
		return fieldRef{name: name, typ: Int, meta: name, sh: sh}, ""
	case metaCreatedAt, metaUpdatedAt, metaExpiresAt:
		return fieldRef{name: name, typ: Date, meta: name, sh: sh}, ""
	}
	// The longest field whose name the path starts with: names may have dots.
	for end := strings.LastIndexByte(name, '.'); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		pos, ok := sh.byName[name[:end]]
		if !ok {
			continue
		}
		s := &sh.slots[pos]
		if s.typ != Object && s.typ != Array && s.typ != Any {
			return fieldRef{}, "cannot be: " + strconv.Quote(s.name) + " is of type " + s.typ.String() + ", with nothing inside"
		}
		path := strings.Split(name[end+1:], ".")
		leaf, wrong := s.rules.inside(path)
		if wrong != "" {
			return fieldRef{}, wrong
		}
		ref := fieldRef{name: name, typ: Any, slot: s, path: path}
		if leaf != nil {
			ref.typ, ref.single = leaf.typ, leaf.single()
		}
		return ref, ""
	}
	if sh.extra {
		return fieldRef{name: name, typ: Any, path: strings.Split(name, ".")}, ""
	}
	return fieldRef{}, "is not in the schema"
}

// inside are the rules of what a path inside of a value leads to, nil where there are
// none. The message says why it can lead to nothing.
func (r *rules) inside(path []string) (*rules, string) {
	for i, part := range path {
		if r.typ != Object && r.typ != Array && r.typ != Any {
			return nil, "cannot be: what is before " + strconv.Quote(part) + " is of type " + r.typ.String() + ", with nothing inside"
		}
		if r.inner == nil {
			return nil, ""
		}
		if r.typ == Object {
			p := r.inner.property(part)
			switch {
			case p != nil:
				r = &p.rules
			case r.inner.extra:
				return nil, ""
			default:
				return nil, "is not in the schema: there is no property " + strconv.Quote(part)
			}
			continue
		}
		if _, err := strconv.ParseUint(part, 10, 32); err != nil {
			return nil, "is not in the schema: elements of an array have numbers, not " + strconv.Quote(path[i])
		}
		r = r.inner.item
	}
	return r, ""
}

// peek returns the value in canonical form, nil if it is absent. It is shared
// with the store.
func (r *fieldRef) peek(v *table.Version) any {
	switch {
	case r.meta != "":
		return r.peekMeta(v)
	case r.path == nil:
		return r.slot.peek(v)
	case r.slot != nil:
		return follow(r.slot.peek(v), r.path)
	case v.Ext.Extra == nil:
		return nil
	}
	if x, ok := v.Ext.Extra[r.name]; ok { // a name with dots in it
		return x
	}
	return follow(v.Ext.Extra[r.path[0]], r.path[1:])
}

func (r *fieldRef) peekMeta(v *table.Version) any {
	m := r.sh.meta(v)
	at := m.CreatedAt
	switch r.meta {
	case metaVersion:
		return int64(m.Version)
	case metaUpdatedAt:
		at = m.UpdatedAt
	case metaExpiresAt:
		if at = m.ExpiresAt; at == 0 {
			return nil
		}
	}
	return at.Time()
}

// follow walks down a path, nil where it leads nowhere.
func follow(v any, path []string) any {
	for _, part := range path {
		v, _ = child(v, part)
	}
	return v
}

// child is what an object has by name, and an array by number.
func child(v any, part string) (any, bool) {
	switch x := v.(type) {
	case map[string]any:
		v, ok := x[part]
		return v, ok
	case []any:
		i, err := strconv.Atoi(part)
		if err != nil || i < 0 || i >= len(x) || !isDigit(part[0]) {
			return nil, false
		}
		return x[i], true
	}
	return nil, false
}
