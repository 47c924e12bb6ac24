package store

import (
	"reflect"
	"strconv"

	"github.com/noex-go/store/internal/table"
)

// memOf is how a Go type lies in memory.
func memOf(t reflect.Type) (kind memKind) {
	if t == timeType {
		return memTime
	}
	switch t.Kind() {
	case reflect.String:
		return memString
	case reflect.Bool:
		return memBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return memInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return memUint
	case reflect.Float32, reflect.Float64:
		return memFloat
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return memBytes
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return memAny
		}
	}
	return memRef
}

// goTypes are the Go types in which a dynamic bucket holds its fields.
var goTypes = [...]reflect.Type{
	String: reflect.TypeFor[string](),
	Int:    reflect.TypeFor[int64](),
	Float:  reflect.TypeFor[float64](),
	Number: reflect.TypeFor[number](),
	Bool:   reflect.TypeFor[bool](),
	Object: reflect.TypeFor[any](),
	Array:  reflect.TypeFor[any](),
	Date:   timeType,
	Bytes:  reflect.TypeFor[[]byte](),
	Any:    reflect.TypeFor[any](),
}

// newShape lays out the records of a bucket: around the struct t, or, if t is
// nil, in a struct of its own, in which the fields of was, if there is one, keep
// their Go types.
func newShape(bucket string, d *Definition, compiled []rules, t reflect.Type, info *structInfo, was *shape, lim limits) *shape {
	sh := (&shape{bucket: bucket, lim: lim, extra: d.Extra, byName: map[string]int{}}).owned()
	names := d.fieldNames()
	sh.slots = make([]slot, len(names))
	if t == nil {
		parts := make([]reflect.StructField, len(names))
		for i, name := range names {
			parts[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: goTypes[d.Schema[name].Type]}
			if was == nil {
				continue
			}
			if pos, ok := was.byName[name]; ok {
				parts[i].Type = was.slots[pos].fieldType()
			}
		}
		t = reflect.StructOf(parts)
	}
	sh.body = t
	header := []reflect.StructField{{Name: "Head", Type: reflect.TypeFor[table.Version]()}}
	if info == nil || !info.hasMeta {
		header = append(header, reflect.StructField{Name: "Meta", Type: metaType})
	}
	sh.typ = reflect.StructOf(append(header, reflect.StructField{Name: "Body", Type: t}))
	sh.bodyOff = sh.typ.Field(len(header)).Offset
	if info != nil && info.hasMeta {
		sh.metaOff = sh.bodyOff + info.metaOff
	} else {
		sh.metaOff = sh.typ.Field(1).Offset
	}
	for i, name := range names {
		s := &sh.slots[i]
		*s = slot{rules: compiled[i], name: name, pos: i}
		if info != nil {
			f := info.fields[i]
			s.off, s.goType = sh.bodyOff+f.off, f.typ
			s.zeroNull = info.omit[name] || s.required
			s.zeroAbsent = s.zeroNull || s.hasDefault || s.gen != 0
		} else {
			s.off, s.goType = sh.bodyOff+t.Field(i).Offset, t.Field(i).Type
		}
		if s.goType.Kind() == reflect.Pointer {
			s.ptr, s.goType = true, s.goType.Elem()
		}
		if s.goType == goTypes[Number] {
			s.kind = memNumber
		} else {
			s.kind = memOf(s.goType)
		}
		s.size = s.goType.Size()
		if s.kind == memRef || s.kind == memFloat {
			s.rules = s.bind(s.goType)
		}
		sh.judged = sh.judged || s.rules.judged()
		sh.calls = sh.calls || s.inner != nil && s.inner.calls
		if s.ptr || s.kind == memBytes || s.kind == memAny || s.kind == memRef && !flat(s.goType) {
			sh.refs = true
		}
		sh.byName[name] = i
		if s.gen == Autoincrement {
			sh.autos = append(sh.autos, i)
		}
		if name == d.Key {
			sh.key, sh.keyText = i, s.kind == memString
		}
	}
	if info != nil {
		sh.hide = info.hide
	}
	if d.Ordered {
		sh.indexes = append(sh.indexes, sh.planIndex([]int{sh.key}, false))
	}
	for i := range sh.slots {
		if sh.slots[i].unique && i != sh.key {
			sh.indexes = append(sh.indexes, sh.planIndex([]int{i}, true))
			sh.uniques = true
		}
	}
	for _, ix := range d.Indexes {
		if len(ix) == 1 && (d.Schema[ix[0]].Unique || d.Ordered && ix[0] == d.Key) {
			continue // the unique field's index serves
		}
		fields := make([]int, len(ix))
		for i, name := range ix {
			fields[i] = sh.byName[name]
		}
		sh.indexes = append(sh.indexes, sh.planIndex(fields, false))
	}
	sh.judge = d.Validate
	sh.judged = sh.judged || sh.judge != nil
	sh.calls = sh.calls || sh.judged
	sh.ttl, sh.asked = d.TTL, len(sh.indexes)
	sh.expiry = sh.addTimes(func(m *Meta) (Millis, bool) { return m.ExpiresAt, m.ExpiresAt != 0 })
	if d.Evict == OldestUpdated {
		sh.updates = sh.addTimes(func(m *Meta) (Millis, bool) { return m.UpdatedAt, true })
	}
	return sh
}
