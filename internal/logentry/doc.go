// Package logentry is the form in which a store writes its commits: the payload of a log's entries, and the parts of its
// snapshots, which are the same.
//
// An entry is deterministic CBOR (RFC 8949, 4.2.1), and carries the names of the fields, so that it can be read without
// the program that wrote it:
//
//	entry  = [format, seq, session, [*bucket], [*block], [*read]]
//	bucket = [id, name, version, definition, dropped]    a definition, or its end
//	block  = [bucket id, version of the definition, rows, [*name], [*column], holes, created, updated, versions,
//	          expires, places, extras, [*deleted key], marks]
//	read   = [bucket id, key, version]                   what a transaction has read by key
//
// A block is the net effect of a commit on one bucket, by columns: the values of one field in all records, from first to
// last, so that a part of a snapshot has each name once and its columns are decoded without a look at each value's type.
// A record that lacks a field has no value in its column; holes has, by the column's number, a bit for each row that
// does (the lowest bit of the first byte is the first row). Places are those in the order of insertion. Extras are the
// fields that no schema names. Marks are the last numbers given out, by the name of an autoincrement field. Two names are
// of no field: under "", in a part of a snapshot, is the place of the next record; under "_expiresAt" the version of the
// definition since which a record without a deadline, in a block of an older version, has that of the TTL.
//
// Values are those of the store: text, integers and floats (a float stays one, in the shortest form that is exact),
// booleans, bytes, arrays, maps with text keys, and times: tag 1 with an integer for whole seconds, else tag 0. In a
// definition a time is always tag 0.
//
// Reading trusts nothing: lengths are checked before memory is taken, and what is not well-formed, has another type than
// it must, or duplicate keys in a map, is an error.
package logentry
