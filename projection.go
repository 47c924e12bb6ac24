package store

import (
	"reflect"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// selection is what Select shows of a record. The nil selection shows everything.
type selection struct {
	shape *shape          // with the selected fields, and the key, only
	slots []bool          // by position: the field is shown
	extra map[string]bool // fields outside the schema
	meta  map[string]bool
}

// selection checks the fields of a Select.
func (sh *shape) selection(fields []string) (*selection, error) {
	sel := &selection{slots: make([]bool, len(sh.slots)), extra: map[string]bool{}, meta: map[string]bool{}}
	for _, name := range fields {
		ref, wrong := sh.field(name)
		switch {
		case wrong != "":
			return nil, &QueryError{sh.bucket, name, wrong}
		case ref.meta != "":
			sel.meta[name] = true
		case ref.plain():
			sel.slots[ref.slot.pos] = true
		case ref.slot != nil || len(ref.path) > 1:
			return nil, &QueryError{sh.bucket, name, "cannot be selected: Select takes whole fields"}
		default:
			sel.extra[name] = true
		}
	}
	sel.slots[sh.key] = true
	part := *sh
	part.only, part.slots, part.byName = sel, nil, map[string]int{}
	for i := range sh.slots {
		if sel.slots[i] {
			if i == sh.key {
				part.key = len(part.slots)
			}
			part.byName[sh.slots[i].name] = len(part.slots)
			part.slots = append(part.slots, sh.slots[i])
		}
	}
	sel.shape = part.owned()
	return sel, nil
}

func (sel *selection) showsExtra(name string) bool { return sel == nil || sel.extra[name] }

// metaOf leaves of a record's metadata what is shown.
func (sel *selection) metaOf(m Meta) Meta {
	if sel == nil {
		return m
	}
	var out Meta
	if sel.meta[metaVersion] {
		out.Version = m.Version
	}
	if sel.meta[metaCreatedAt] {
		out.CreatedAt = m.CreatedAt
	}
	if sel.meta[metaUpdatedAt] {
		out.UpdatedAt = m.UpdatedAt
	}
	if sel.meta[metaExpiresAt] {
		out.ExpiresAt = m.ExpiresAt
	}
	return out
}

func (sel *selection) hideMeta(m map[string]any) {
	if sel == nil {
		return
	}
	for _, name := range [...]string{metaVersion, metaCreatedAt, metaUpdatedAt, metaExpiresAt} {
		if !sel.meta[name] {
			delete(m, name)
		}
	}
}

// recordDecoder makes Records, whose fields are read when they are asked for.
var recordDecoder = decoder[Record]{
	make:    func(v *table.Version) Record { return Record{v} },
	records: true,
	project: func(sel *selection) decoder[Record] {
		return decoder[Record]{
			make: func(v *table.Version) Record {
				return Record{&table.Views([]*table.Version{v}, &sel.shape.ext)[0]}
			},
			views: &sel.shape.ext,
		}
	},
}

// versionDecoder leaves versions as they are, for a transaction to write.
var versionDecoder = decoder[*table.Version]{writes: true, make: func(v *table.Version) *table.Version { return v }}

// project returns the decoder that leaves the zero value in what a selection
// does not show.
func (c *codec[T]) project(sel *selection) decoder[T] {
	sh := c.sh
	if !c.native {
		sh = c.mine
	}
	var hidden []region
	for i := range sh.slots {
		s := &sh.slots[i]
		if pos := c.sh.byName[s.name]; sel.slots[pos] {
			continue
		}
		t := s.goType
		if s.ptr {
			t = reflect.PointerTo(t)
		}
		hidden = append(hidden, region{s.off - sh.bodyOff, t})
	}
	inside := sh.metaOff >= sh.bodyOff // T embeds Meta
	return decoder[T]{make: func(v *table.Version) T {
		t := new(T)
		*t = c.value(v)
		if inside {
			m := (*Meta)(unsafe.Add(unsafe.Pointer(t), sh.metaOff-sh.bodyOff))
			*m = sel.metaOf(*m)
		}
		for _, h := range hidden {
			reflect.NewAt(h.typ, unsafe.Add(unsafe.Pointer(t), h.off)).Elem().SetZero()
		}
		return *t
	}}
}
