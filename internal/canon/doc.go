// Package canon gives the values of a Go type a canonical encoding and a structural equality. A live query's parameters
// are encoded to name its node in a map, and equality decides whether a result is news.
//
// A type is compiled once, from its reflect.Type, into a tree of nodes. Encoding and comparing walk that tree beside the
// value's memory. Only a value behind an interface costs a look-up, by its dynamic type, and only maps are read through
// reflection.
//
// # What is equal
//
//	bool, ints, string        as Go's ==
//	floats, complex           as Go's ==, but NaN equals NaN: a result with a NaN would be news for ever. 0 equals -0.
//	array, struct             part by part, unexported fields too. Blank fields and padding do not count.
//	slice, map                element by element; nil equals empty. A map is its entries as a multiset, so that keys that Go
//	                          tells apart (NaNs, pointers to equal values) match by what they are.
//	pointer                   both nil, or what they point to is equal
//	interface                 both nil, or the same dynamic type and equal values
//	time.Time                 the same instant on the wall clock; also a type that is defined as time.Time
//	chan, unsafe.Pointer      identity
//	func                      only if both are nil
//
// Methods are not called, not even Equal(T) bool: user code could be slow, could panic, and need not agree with the
// encoding. [Cache.Override] is for types that the caller knows better.
//
// # Guarantees
//
//  1. Two values of one type have the same encoding if and only if they are equal, but for two cases. A time's encoding
//     holds the zone's offset besides the instant: a query's function may print it, so two zones are two queries, while a
//     result whose instant did not change is no news. An override changes equality only. (TestRandom, TestTime)
//  2. No encoding of a type is a proper prefix of another of the same type. (TestPrefixFree, FuzzEncode)
//  3. An encoding depends on nothing but the value and the Cache: not on capacity, sharing, padding or the order of a map.
//     (TestRandom, TestPadding)
//  4. Parts that are the same memory are equal without a look, whatever they hold: the same pointer, the same map, slices
//     of one array and length, one boxed value. (TestIdenticalParts)
//  5. Cyclic values and those deeper than [MaxDepth] cannot be encoded and are unequal. Parts that are shared many times
//     take neither exponential time nor exponential space. (TestCycles, TestSharedParts)
//  6. Equality allocates for maps only, and encoding for maps and the growth of the buffer; the first value of a dynamic
//     type costs its compilation, and a comparison of more than a million indirections a memory of them.
//     (TestAllocations)
//
// # Layout
//
// An encoding is never stored: integers are in the machine's order, and types are numbers of the Cache.
//
//	bool, ints, uintptr       their memory; also arrays and structs of them without padding
//	float32, float64          their bits, with one NaN and one zero
//	complex                   real part, imaginary part
//	string                    uvarint length, bytes
//	slice                     uvarint length, elements
//	array, struct             elements, fields
//	map                       uvarint length, entries (key, value) in the order of their bytes
//	pointer                   0, or 1 and the value
//	interface                 0, or the uvarint number of the dynamic type and the value
//	time.Time                 8: seconds since 1970 UTC, 4: nanoseconds, varint: the zone's offset in seconds
//
// Maps with keys that Go compares otherwise than this package (pointers, interfaces, times, NaNs) are first matched by
// Go's ==. The entries that are left are compared each with each.
package canon
