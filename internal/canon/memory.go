package canon

import (
	"reflect"
	"unsafe"
)

// This file knows how the runtime lays out slices, interfaces and maps. TestLayout holds what it assumes.

const wordSize = unsafe.Sizeof(uintptr(0))

type sliceHeader struct {
	data unsafe.Pointer
	len  int
	cap  int
}

// isDirect reports whether an interface's second word is the value of type t itself. Which types those are differs between
// Go versions; the zero value tells, as a pointer to a value is never nil.
func isDirect(t reflect.Type) bool {
	if t.Size() != wordSize || t.Kind() == reflect.Interface {
		return false
	}
	boxed := reflect.Zero(t).Interface()
	return *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(&boxed), wordSize)) == nil
}

// dynamicType returns the type of the value in the interface of type n at p, or nil.
func dynamicType(n *node, p unsafe.Pointer) reflect.Type {
	if n.methods {
		// The first word of each interface with methods is a table that leads to the type.
		return reflect.TypeOf(any(*(*interface{ m() })(p)))
	}
	return reflect.TypeOf(*(*any)(p))
}

// inside returns a pointer to the value, of type n, in the interface at p.
func inside(n *node, p unsafe.Pointer) unsafe.Pointer {
	word := unsafe.Add(p, wordSize)
	if n.direct {
		return word
	}
	return *(*unsafe.Pointer)(word)
}

// mapValue returns the map of type t whose word is m. The copy of the word keeps the place where it was found off the heap.
func mapValue(t reflect.Type, m unsafe.Pointer) reflect.Value {
	return reflect.NewAt(t, unsafe.Pointer(&m)).Elem()
}

// sameBytes compares width bytes of memory.
func sameBytes(a, b unsafe.Pointer, width uintptr) bool {
	switch width {
	case 8:
		return *(*[8]byte)(a) == *(*[8]byte)(b)
	case 4:
		return *(*[4]byte)(a) == *(*[4]byte)(b)
	case 1:
		return *(*byte)(a) == *(*byte)(b)
	case 0:
		return true
	}
	return unsafe.String((*byte)(a), width) == unsafe.String((*byte)(b), width)
}
