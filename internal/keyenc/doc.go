// Package keyenc encodes tuples of scalar values as bytes that sort like the tuples: compound index keys, cursors and
// read-set intervals are all made of it.
//
// # Layout
//
// A tuple is its values one after the other. A value is one tag byte and a payload; integers are big-endian.
//
//	kind    tag   payload                                        bytes in all
//	null    0x10  none                                           1
//	bool    0x20  0x00 false, 0x01 true                          2
//	number  0x30  8: bits of the nearest float64, order-mapped   11
//	              2: the number minus that float64, plus 0x8000
//	date    0x40  8: seconds since 0001-01-01 UTC, sign flipped  13
//	              4: nanoseconds, below 1e9
//	string  0x50  the bytes, 0x00 written 0x00 0xFF; 0x00 0x01   3 + length + number of 0x00
//	bytes   0x60  as string                                      as string
//
// Order-mapped bits are the IEEE 754 bits with the sign flipped for a positive float and every bit flipped for a negative
// one, so that they sort as unsigned integers. The gaps between tags leave room for kinds to come.
//
// # Guarantees
//
//  1. bytes.Compare of two encodings orders like the tuples, value by value, a tuple before its extensions. Across kinds:
//     null < bool < number < date < string < bytes. (TestOrderPairwise, TestOrderRandomTuples, FuzzOrder)
//  2. Ints and floats are one order and one encoding: Int 3 and Float 3.0 are the same bytes, and 2^53+1 lies strictly
//     between the two floats around it. (TestOrderTable, TestOrderPairwise)
//  3. No encoding of a value is a proper prefix of another's, so that tuples do not bleed into one another and the tuples
//     that start with the values of p are exactly the keys in [p, Successor(p)). (TestPrefixFree, TestSuccessor)
//  4. [Next] takes any input without a panic and accepts only what the Append functions write: encoding what it decoded
//     gives the same bytes. (TestNextMalformed, FuzzNext)
//
// # Why a number has a residual
//
// A float64 alone loses ints beyond 2^53, and an int64 alone loses fractions. Rounding to the nearest float64 is monotonic,
// so the rounded value decides the order except among ints that round to the same float64; the residual, at most 512 away
// from zero, decides there. A float's own residual is zero. The nearest float64 of the largest ints is 2^63, which no int64
// holds: their residual is negative and is computed modulo 2^64.
//
// # Cost
//
// The Append functions allocate nothing but the growth of the destination, and [Next] allocates nothing: a string stays
// escaped in the input until [Value.Any] copies it out. All functions are pure and safe for concurrent use.
package keyenc
