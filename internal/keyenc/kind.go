package keyenc

import "fmt"

// Kind is the kind of an encoded value. It is also the value's tag byte, so kinds sort as their values do and the keys whose
// next value is of kind k start with byte(k). The zero Kind is no kind at all.
type Kind uint8

// The kinds, in key order. They are written to disk: never renumber them.
const (
	KindNull   Kind = 0x10
	KindBool   Kind = 0x20
	KindNumber Kind = 0x30
	KindDate   Kind = 0x40
	KindString Kind = 0x50
	KindBytes  Kind = 0x60
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case KindNull:
		return "null"
	case KindBool:
		return "bool"
	case KindNumber:
		return "number"
	case KindDate:
		return "date"
	case KindString:
		return "string"
	case KindBytes:
		return "bytes"
	default:
		return fmt.Sprintf("kind(%#02x)", uint8(k))
	}
}
