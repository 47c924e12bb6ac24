// Package sqlite keeps a store in an SQLite database: the newest state of every record, as rows that a person can query.
//
//	adapter := sqlite.New("/var/lib/app/store.db")
//	s, err := store.Open(ctx, store.Options{Persistence: store.Persistence{Adapter: adapter}})
//
// While no store has the database open, any SQLite shell reads it:
//
//	sqlite3 store.db "select json->>'email' from items where bucket = 'users'"
//
// # Tables
//
//	meta      one row: where the log stands, how many records there are, a checksum of all rows, whether it was closed
//	buckets   the definition of each bucket, as CBOR and as JSON; of dropped ones the newest is kept, so that its id is
//	          not used again
//	records   one row for each record: its fields and its extra fields as CBOR, and all of them as JSON
//	marks     the last number of each autoincrement field
//	items     a view of records with the names of their buckets and readable times
//
// CBOR is what counts; JSON is for people. In it integers are exact, floats have a point or an exponent, bytes are
// base64, times are RFC 3339, and infinities are the texts "Infinity" and "-Infinity".
//
// # Guarantees
//
//  1. Append is one transaction, and synced when it returns: a crash keeps all of it or nothing. With [Relaxed] only Sync
//     syncs; a crash of the process still loses nothing, a power loss the newest transactions. (TestKill)
//  2. Every row has a CRC-32C, and meta has the sum of all: a row that was changed, lost, added, or put back behind the
//     adapter's back is a *store.CorruptError of OpenLog or Load. (TestPlainSQL, TestOldRow,
//     TestBitFlips)
//  3. OpenLog checks the structure of the database, indexes included, which costs about half of Load. (TestBitFlips,
//     TestKeyFlips)
//  4. One store at a time: others get store.ErrLocked, of this process as of another. (TestLocked)
//  5. A database of something else is refused and left as it is. (TestForeign)
//  6. Values never become part of SQL. (TestHostileNames)
//  7. The database and what SQLite puts beside it are readable by their owner only, if this package makes them.
//     (TestModes)
//
// # Limits
//
// What a crash has cut off of the transaction that was being written is not told in Recovery: SQLite drops it silently.
// Damage in the write-ahead log that a crash has left is found (TestWAL), unless it is in the last transaction, which
// then looks like one that was cut off; with [Relaxed], where several may be cut off, it is not looked for. The sum in meta finds a
// mixture of states, but not an older state that is whole.
//
// Follow serves what was appended since OpenLog, from memory: at most 1,024 entries and 16 MiB. A position before that is
// store.ErrTrimmed.
//
// A program must not open the database's file by other means while a store of the same process has it open: on Unix,
// closing any handle of a file gives up the process's locks of it.
package sqlite
