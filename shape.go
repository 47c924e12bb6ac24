package store

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/noex-go/store/internal/table"
)

// shape is how the records of one bucket lie in memory, and how to read, write,
// compare and check each of their fields. It is compiled once, from a
// definition or from a struct, and never changes.
//
//	table.Version | Meta | body
//
// The body is the user's struct where the bucket was defined by one, so that a
// typed read is one copy, else a struct made to measure by reflect.StructOf. A
// struct that embeds Meta keeps the metadata there. One allocation holds all
// three; strings point to memory that nobody can change.
type shape struct {
	bucket  string
	of      *bucket      // nil only for the layout of a codec
	ext     table.Ext    // of the records without one of their own; never written
	typ     reflect.Type // of the allocation
	body    reflect.Type
	bodyOff uintptr
	metaOff uintptr
	slots   []slot
	byName  map[string]int
	key     int // position of the key
	keyText bool
	autos   []int // positions of the autoincrement fields
	extra   bool
	only    *selection // what a query's Select shows; nil: everything
	lim     limits
	hide    []region // struct fields outside the schema: zeroed
	refs    bool     // the body has pointers, slices, maps: a copy must be deep
	indexes []indexPlan
	uniques bool // some index is unique
	judged  bool // some field, or the record, has a validator
	calls   bool // a merge calls functions of the user's
	judge   func(Record) error
	asked   int // of the indexes: those of the definition; behind them the store's own
	ttl     time.Duration
	expiry  int // the index of deadlines
	updates int // with OldestUpdated: the index of the last writes; else 0
}

// region is a part of the body.
type region struct {
	off uintptr
	typ reflect.Type
}

// memKind is how a field lies in memory.
type memKind uint8

const (
	memString memKind = iota
	memInt            // any size, see slot.size
	memUint
	memFloat // 4 or 8 bytes
	memBool
	memTime
	memBytes  // []byte
	memNumber // number
	memAny    // any, holding a canonical value
	memRef    // another Go type, converted by reflection
)

// slot is one field as compiled.
type slot struct {
	rules
	name   string
	pos    int
	off    uintptr // from the start of the version
	kind   memKind
	size   uintptr
	ptr    bool         // *X: nil is absent
	goType reflect.Type // without the pointer
}

// number is an integer or a float.
type number struct {
	bits    uint64
	isFloat bool
}

func intNumber(i int64) number     { return number{bits: uint64(i)} }
func floatNumber(f float64) number { return number{bits: math.Float64bits(f), isFloat: true} }

func (n number) float() float64 { return math.Float64frombits(n.bits) }
func (n number) isNaN() bool    { return n.isFloat && n.float() != n.float() }

func (n number) value() any {
	if n.isFloat {
		return n.float()
	}
	return int64(n.bits)
}

// compare orders numbers exactly, integers and floats together.
func (n number) compare(m number) int {
	if n.isFloat == m.isFloat {
		if n.isFloat {
			return compareOrdered(n.float(), m.float())
		}
		return compareOrdered(int64(n.bits), int64(m.bits))
	}
	if n.isFloat {
		return -m.compare(n)
	}
	i, f := int64(n.bits), m.float()
	switch {
	case f >= 1<<63:
		return -1
	case f < -(1 << 63):
		return 1
	}
	whole := math.Trunc(f)
	if c := compareOrdered(i, int64(whole)); c != 0 {
		return c
	}
	return compareOrdered(whole, f)
}

func compareOrdered[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// alloc returns a new version with nothing in it.
func (sh *shape) alloc() *table.Version {
	v := (*table.Version)(reflect.New(sh.typ).UnsafePointer())
	v.Ext = &sh.ext
	return v
}

// owned makes sh the shape that versions with its Ext lead to.
func (sh *shape) owned() *shape {
	sh.ext = table.Ext{Owner: unsafe.Pointer(sh)}
	return sh
}

// shapeOf is the shape of a version.
func shapeOf(v *table.Version) *shape { return (*shape)(v.Ext.Owner) }

// ownExt returns the Ext of a version that is being prepared, to be written.
func ownExt(v *table.Version) *table.Ext {
	if v.Ext == &shapeOf(v).ext {
		v.Ext = &table.Ext{Owner: v.Ext.Owner}
	}
	return v.Ext
}

func (sh *shape) meta(v *table.Version) *Meta { return (*Meta)(at(v, sh.metaOff)) }
func (sh *shape) bodyOf(v *table.Version) reflect.Value {
	return reflect.NewAt(sh.body, at(v, sh.bodyOff)).Elem()
}

// copyOf returns a new version with the fields of old, which it shares: what
// they point to is never changed.
func (sh *shape) copyOf(old *table.Version) *table.Version {
	v := sh.alloc()
	sh.bodyOf(v).Set(sh.bodyOf(old))
	v.Nulls = old.Nulls
	if old.Ext != v.Ext {
		own := ownExt(v)
		own.Nulls, own.Extra = slices.Clone(old.Ext.Nulls), old.Ext.Extra
	}
	*sh.meta(v) = *sh.meta(old)
	return v
}

func (sh *shape) keyOf(v *table.Version) Key {
	s := &sh.slots[sh.key]
	if s.kind == memString {
		return StringKey(*(*string)(at(v, s.off)))
	}
	return IntKey(*(*int64)(at(v, s.off)))
}

// keyArg turns what a caller passed as a key into one of the bucket's kind. It
// keeps nothing of key, so that a caller's string is not moved to the heap to
// become an interface.
func (sh *shape) keyArg(key any) (text string, word int64, ok bool) {
	if sh.textKey() {
		if k, is := key.(string); is {
			return k, 0, true
		}
		if k, is := key.(Key); is {
			return k.text, 0, k.kind == keyText
		}
		rv := reflect.ValueOf(key)
		if rv.Kind() == reflect.String {
			return rv.String(), 0, true
		}
		return "", 0, false
	}
	switch k := key.(type) {
	case int64:
		return "", k, true
	case int:
		return "", int64(k), true
	case Key:
		return "", k.word, k.kind == keyWord
	}
	rv := reflect.ValueOf(key)
	switch rv.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "", rv.Int(), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u := rv.Uint()
		return "", int64(u), u <= math.MaxInt64
	case reflect.Float32, reflect.Float64: // as JSON brings integers
		f := rv.Float()
		return "", int64(f), f == math.Trunc(f) && math.Abs(f) <= 1<<53
	}
	return "", 0, false
}

// ---- fields

func (s *slot) absent(v *table.Version) bool {
	if s.pos < 32 {
		return v.Nulls>>s.pos&1 != 0
	}
	i := s.pos/32 - 1
	return i < len(v.Ext.Nulls) && v.Ext.Nulls[i]>>(s.pos%32)&1 != 0
}

func (s *slot) setAbsent(v *table.Version, absent bool) {
	if s.pos < 32 {
		if absent {
			v.Nulls |= 1 << s.pos
		} else {
			v.Nulls &^= 1 << s.pos
		}
		return
	}
	i := s.pos/32 - 1
	if !absent && i >= len(v.Ext.Nulls) {
		return
	}
	ext := ownExt(v)
	for len(ext.Nulls) <= i {
		ext.Nulls = append(ext.Nulls, 0)
	}
	if absent {
		ext.Nulls[i] |= 1 << (s.pos % 32)
	} else {
		ext.Nulls[i] &^= 1 << (s.pos % 32)
	}
}

// mem is the field's memory, behind its pointer if it has one; nil if that is.
func (s *slot) mem(v *table.Version) unsafe.Pointer {
	p := at(v, s.off)
	if s.ptr {
		return *(*unsafe.Pointer)(p)
	}
	return p
}

func loadInt(p unsafe.Pointer, size uintptr) int64 {
	switch size {
	case 1:
		return int64(*(*int8)(p))
	case 2:
		return int64(*(*int16)(p))
	case 4:
		return int64(*(*int32)(p))
	}
	return *(*int64)(p)
}

func loadUint(p unsafe.Pointer, size uintptr) uint64 {
	switch size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

func loadFloat(p unsafe.Pointer, size uintptr) float64 {
	if size == 4 {
		return float64(*(*float32)(p))
	}
	return *(*float64)(p)
}

// num is the value of a numeric field that is present.
func (s *slot) num(v *table.Version) number {
	p := s.mem(v)
	switch s.kind {
	case memInt:
		return intNumber(loadInt(p, s.size))
	case memUint:
		return intNumber(int64(loadUint(p, s.size)))
	case memFloat:
		return floatNumber(loadFloat(p, s.size))
	}
	return *(*number)(p)
}

// peek returns a present field's value in canonical form, nil if it is absent.
// Values that could be changed are the store's own: see get.
func (s *slot) peek(v *table.Version) any {
	if s.absent(v) {
		return nil
	}
	p := s.mem(v)
	switch s.kind {
	case memString:
		return *(*string)(p)
	case memInt, memUint, memFloat, memNumber:
		return s.num(v).value()
	case memBool:
		return *(*bool)(p)
	case memTime:
		return *(*time.Time)(p)
	case memBytes:
		return *(*[]byte)(p)
	case memAny:
		return *(*any)(p)
	}
	c, err := unlimited.normalize(reflect.NewAt(s.goType, p).Elem().Interface())
	if err != nil { // it was checked when it was written
		return nil
	}
	return c
}

// get returns the field's value for the outside: nothing in it is shared.
func (s *slot) get(v *table.Version) any {
	x := s.peek(v)
	switch s.kind {
	case memBytes, memAny:
		return cloneValue(x)
	}
	return x
}

// put stores a value from outside, converted; v is not yet known to anybody.
func (s *slot) put(v *table.Version, x any, lim limits) *valueError {
	if x == nil {
		s.clear(v)
		return nil
	}
	if s.kind == memRef {
		return s.putRef(v, x, lim)
	}
	c, err := lim.convert(s.typ, x)
	if err != nil {
		return err
	}
	if c == nil {
		s.clear(v)
		return nil
	}
	return s.store(v, c)
}

// store writes a canonical value of the field's type, which the record then owns.
func (s *slot) store(v *table.Version, c any) *valueError {
	p := at(v, s.off)
	if s.ptr {
		fresh := reflect.New(s.goType)
		*(*unsafe.Pointer)(p) = fresh.UnsafePointer()
		p = fresh.UnsafePointer()
	}
	s.setAbsent(v, false)
	switch s.kind {
	case memString:
		*(*string)(p) = c.(string)
	case memInt:
		i := c.(int64)
		if reflect.Zero(s.goType).OverflowInt(i) {
			return &valueError{string(CodeMax), fmt.Sprintf("does not fit %s", s.goType)}
		}
		storeNumber(memInt, s.size, intNumber(i), p)
	case memUint:
		i := c.(int64)
		if i < 0 || reflect.Zero(s.goType).OverflowUint(uint64(i)) {
			return &valueError{string(CodeMax), fmt.Sprintf("does not fit %s", s.goType)}
		}
		storeNumber(memInt, s.size, intNumber(i), p)
	case memFloat:
		f := c.(float64)
		if s.size == 4 && math.IsInf(float64(float32(f)), 0) && !math.IsInf(f, 0) {
			return &valueError{string(CodeMax), "does not fit float32"}
		}
		storeNumber(memFloat, s.size, floatNumber(f), p)
	case memNumber:
		if f, ok := c.(float64); ok {
			*(*number)(p) = floatNumber(f)
		} else {
			*(*number)(p) = intNumber(c.(int64))
		}
	case memBool:
		*(*bool)(p) = c.(bool)
	case memTime:
		*(*time.Time)(p) = c.(time.Time)
	case memBytes:
		*(*[]byte)(p) = c.([]byte)
	case memAny:
		*(*any)(p) = c
	case memRef:
		panic("store: a field of a Go type is stored by reflection")
	}
	return nil
}

// clear makes the field absent.
func (s *slot) clear(v *table.Version) {
	t := s.goType
	if s.ptr {
		t = reflect.PointerTo(t)
	}
	reflect.NewAt(t, at(v, s.off)).Elem().SetZero()
	s.setAbsent(v, true)
}

// equal reports whether two versions have the same value in the field.
func (s *slot) equal(a, b *table.Version) bool {
	if s.absent(a) || s.absent(b) {
		return s.absent(a) && s.absent(b)
	}
	p, q := s.mem(a), s.mem(b)
	switch s.kind {
	case memString:
		return *(*string)(p) == *(*string)(q)
	case memInt:
		return loadInt(p, s.size) == loadInt(q, s.size)
	case memUint:
		return loadUint(p, s.size) == loadUint(q, s.size)
	case memFloat:
		return loadFloat(p, s.size) == loadFloat(q, s.size)
	case memBool:
		return *(*bool)(p) == *(*bool)(q)
	case memTime:
		return (*time.Time)(p).Equal(*(*time.Time)(q))
	case memNumber:
		return (*number)(p).compare(*(*number)(q)) == 0
	}
	return equalValues(s.peek(a), s.peek(b))
}

// identical reports whether the field of two versions cannot be told apart: equal,
// and the same number.
func (s *slot) identical(a, b *table.Version) bool {
	switch s.kind {
	case memFloat, memNumber, memAny, memRef:
		return identicalValues(s.peek(a), s.peek(b))
	}
	return s.equal(a, b)
}

// check returns the rules that a present field breaks; the caller has made the
// field canonical (settle).
func (s *slot) check(v *table.Version) broken {
	switch s.kind {
	case memString:
		return s.checkText(*(*string)(s.mem(v)))
	case memInt, memUint, memFloat, memNumber:
		return s.checkNumber(s.num(v))
	case memRef:
		return s.checkMemory(reflect.NewAt(s.goType, s.mem(v)).Elem())
	}
	return s.checkValue(s.peek(v))
}

// settle makes what a struct brought in canonical and the record's own: times
// in UTC, deep copies of what is shared; and refuses what cannot be kept.
func (s *slot) settle(v *table.Version, lim limits) *valueError {
	p := at(v, s.off)
	if s.ptr {
		own := reflect.New(s.goType)
		own.Elem().Set(reflect.NewAt(s.goType, *(*unsafe.Pointer)(p)).Elem())
		*(*unsafe.Pointer)(p) = own.UnsafePointer()
		p = own.UnsafePointer()
	}
	switch s.kind {
	case memString:
		if !utf8.ValidString(*(*string)(p)) {
			return errUTF8()
		}
		if len(*(*string)(p)) > lim.bytes {
			return errTooLarge(lim)
		}
	case memUint:
		if loadUint(p, s.size) > math.MaxInt64 {
			return errIntRange()
		}
	case memFloat:
		if f := loadFloat(p, s.size); f != f {
			return errNaN()
		}
	case memTime:
		t, err := canonicalTime(*(*time.Time)(p))
		if err != nil {
			return err
		}
		*(*time.Time)(p) = t
	case memBytes:
		if b := *(*[]byte)(p); len(b) > lim.bytes {
			return errTooLarge(lim)
		} else if b != nil {
			*(*[]byte)(p) = cloneBytes(b)
		}
	case memAny:
		c, err := lim.convert(s.typ, *(*any)(p))
		if err != nil {
			return err
		}
		*(*any)(p) = c
		if c == nil { // a nil pointer in an interface, say
			s.clear(v)
		}
	case memRef:
		rv := reflect.NewAt(s.goType, p).Elem()
		if err := lim.measure(rv); err != nil {
			return err
		}
		rv.Set(cloneReflect(rv, true))
	}
	return nil
}

func errTooLarge(lim limits) *valueError {
	return &valueError{string(CodeMax), fmt.Sprintf("is larger than %d bytes", lim.bytes)}
}

// zero reports whether the field's memory is the zero value of its Go type.
func (s *slot) zero(v *table.Version) bool {
	p := at(v, s.off)
	if s.ptr {
		return *(*unsafe.Pointer)(p) == nil
	}
	switch s.kind {
	case memString:
		return *(*string)(p) == ""
	case memInt:
		return loadInt(p, s.size) == 0
	case memUint:
		return loadUint(p, s.size) == 0
	case memFloat:
		return loadFloat(p, s.size) == 0
	case memBool:
		return !*(*bool)(p)
	case memTime:
		return (*time.Time)(p).IsZero()
	case memBytes:
		return *(*[]byte)(p) == nil
	case memAny:
		return *(*any)(p) == nil
	}
	return reflect.NewAt(s.goType, p).Elem().IsZero()
}
