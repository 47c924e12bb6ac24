package canon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"
)

// Encoder encodes the values of one type. It is safe for concurrent use.
type Encoder struct{ n *node }

// Append appends the encoding of the value that p points to, which must not be nil. Nobody may write the value meanwhile.
// On an error buf comes back as it was: [ErrTooDeep], [ErrTooLarge], or an [*UnencodableError] for a value behind an
// interface.
func (e *Encoder) Append(buf []byte, p unsafe.Pointer) ([]byte, error) {
	enc := encoding{buf: buf, base: len(buf)}
	err := enc.value(e.n, p)
	if err == nil {
		err = enc.room(0)
	}
	if err != nil {
		return buf, err
	}
	return enc.buf, nil
}

// encoding is the state of one Append. It stays on the stack, and so can the value: only what the value refers to is given
// to reflection.
type encoding struct {
	buf   []byte
	base  int // where the encoding begins
	depth int
}

// room reports an error unless n more bytes are allowed. Parts of fixed size do not ask: they are limited by their type,
// and the next indirection does.
func (e *encoding) room(n int) error {
	if len(e.buf)-e.base > MaxSize-n {
		return ErrTooLarge
	}
	return nil
}

func (e *encoding) value(n *node, p unsafe.Pointer) error {
	switch n.kind {
	case kRaw:
		return e.raw(p, n.width)
	case kFloat32:
		e.buf = binary.NativeEndian.AppendUint32(e.buf, float32Bits(*(*float32)(p)))
	case kFloat64:
		e.buf = binary.NativeEndian.AppendUint64(e.buf, float64Bits(*(*float64)(p)))
	case kComplex64:
		c := *(*complex64)(p)
		e.buf = binary.NativeEndian.AppendUint32(e.buf, float32Bits(real(c)))
		e.buf = binary.NativeEndian.AppendUint32(e.buf, float32Bits(imag(c)))
	case kComplex128:
		c := *(*complex128)(p)
		e.buf = binary.NativeEndian.AppendUint64(e.buf, float64Bits(real(c)))
		e.buf = binary.NativeEndian.AppendUint64(e.buf, float64Bits(imag(c)))
	case kString:
		return e.string(*(*string)(p))
	case kTime:
		e.time(*(*time.Time)(p))
	case kArray:
		return e.elements(n.elem, p, n.count)
	case kStruct:
		return e.parts(n, p)
	case kPointer:
		return e.pointer(n, *(*unsafe.Pointer)(p))
	case kSlice:
		return e.slice(n, *(*sliceHeader)(p))
	case kMap:
		return e.mapEntries(n, *(*unsafe.Pointer)(p))
	case kInterface:
		return e.dynamic(n, p)
	default: // kFunc and kOverride: no encoder comes this far
		return refusal(n.typ)
	}
	return nil
}

func (e *encoding) raw(p unsafe.Pointer, width uintptr) error {
	if width == 8 {
		e.buf = binary.NativeEndian.AppendUint64(e.buf, binary.NativeEndian.Uint64((*[8]byte)(p)[:]))
		return nil
	}
	if width > MaxSize {
		return ErrTooLarge
	}
	if err := e.room(int(width)); err != nil {
		return err
	}
	e.buf = append(e.buf, unsafe.Slice((*byte)(p), width)...)
	return nil
}

func (e *encoding) string(s string) error {
	if err := e.room(len(s)); err != nil {
		return err
	}
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
	return nil
}

func (e *encoding) time(t time.Time) {
	_, offset := t.Zone()
	e.buf = binary.NativeEndian.AppendUint64(e.buf, uint64(t.Unix()))
	e.buf = binary.NativeEndian.AppendUint32(e.buf, uint32(t.Nanosecond()))
	e.buf = binary.AppendVarint(e.buf, int64(offset))
}

func (e *encoding) parts(n *node, p unsafe.Pointer) (err error) {
	for i := range n.parts {
		part := &n.parts[i]
		if part.node == nil {
			err = e.raw(unsafe.Add(p, part.off), part.width)
		} else {
			err = e.value(part.node, unsafe.Add(p, part.off))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *encoding) elements(elem *node, p unsafe.Pointer, n int) error {
	if elem.kind == kRaw {
		return e.raw(p, elem.width*uintptr(n))
	}
	if err := e.room(n); err != nil { // each has a byte at least
		return err
	}
	for i := range uintptr(n) {
		if err := e.value(elem, unsafe.Add(p, i*elem.size)); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoding) pointer(n *node, p unsafe.Pointer) error {
	if p == nil {
		e.buf = append(e.buf, 0)
		return nil
	}
	e.buf = append(e.buf, 1)
	return e.follow(n.elem, p, 1)
}

func (e *encoding) slice(n *node, s sliceHeader) error {
	e.buf = binary.AppendUvarint(e.buf, uint64(s.len))
	if s.len == 0 {
		return nil
	}
	return e.follow(n.elem, s.data, s.len)
}

func (e *encoding) dynamic(n *node, p unsafe.Pointer) error {
	t := dynamicType(n, p)
	if t == nil {
		e.buf = append(e.buf, 0)
		return nil
	}
	dyn := n.cache.node(t)
	if dyn.refused != nil {
		return fmt.Errorf("canon: a value of type %s behind an interface: %w", t, dyn.refused)
	}
	e.buf = binary.AppendUvarint(e.buf, dyn.id)
	if dyn.direct { // what it holds is a pointer that counts for itself
		return e.value(dyn, inside(dyn, p))
	}
	return e.follow(dyn, inside(dyn, p), 1)
}

// follow encodes n elements behind a pointer. All ways that can be cyclic or shared lead through it, or through mapEntries.
// Each has written a byte before, so that the limit of the size ends values that share parts.
func (e *encoding) follow(elem *node, p unsafe.Pointer, n int) error {
	if elem.kind == kRaw { // the end of a path is no depth, as in equality
		return e.elements(elem, p, n)
	}
	if err := e.enter(); err != nil {
		return err
	}
	err := e.elements(elem, p, n)
	e.depth--
	return err
}

func (e *encoding) enter() error {
	if e.depth == MaxDepth {
		return ErrTooDeep
	}
	e.depth++
	return e.room(0)
}

// mapEntries sorts whole entries. As keys are prefix-free, that is the order of the keys, and of the values where keys
// have the same encoding.
func (e *encoding) mapEntries(n *node, p unsafe.Pointer) error {
	m := mapValue(n.typ, p)
	e.buf = binary.AppendUvarint(e.buf, uint64(m.Len()))
	if m.Len() == 0 {
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	if err := e.room(m.Len() - 1); err != nil { // one key at most has no bytes
		return err
	}
	start, ends := len(e.buf), make([]int, 0, m.Len())
	key, value := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	for it := m.MapRange(); it.Next(); {
		key.Elem().SetIterKey(it)
		value.Elem().SetIterValue(it)
		if err := e.value(n.key, key.UnsafePointer()); err != nil {
			return err
		}
		if err := e.value(n.elem, value.UnsafePointer()); err != nil {
			return err
		}
		ends = append(ends, len(e.buf)-start)
	}
	sortPieces(e.buf[start:], ends)
	e.depth--
	return nil
}

// sortPieces brings the pieces of buf, each up to its end, into the order of their bytes.
func sortPieces(buf []byte, ends []int) {
	old, from := bytes.Clone(buf), 0
	pieces := make([][]byte, len(ends))
	for i, to := range ends {
		pieces[i] = old[from:to]
		from = to
	}
	slices.SortFunc(pieces, bytes.Compare)
	for _, p := range pieces {
		buf = buf[copy(buf, p):]
	}
}

func float64Bits(f float64) uint64 {
	switch {
	case math.IsNaN(f):
		return 0x7FF8 << 48
	case f == 0:
		return 0
	}
	return math.Float64bits(f)
}

func float32Bits(f float32) uint32 {
	switch {
	case f != f:
		return 0x7FC0 << 16
	case f == 0:
		return 0
	}
	return math.Float32bits(f)
}
