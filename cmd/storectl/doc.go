// Command storectl looks at the log of a store, and looks after it.
//
//	storectl COMMAND [flags] DIR|FILE.db
//
// A directory is a log in files (package persist/file), a file is an SQLite database
// (package persist/sqlite). storectl COMMAND -h tells all about a command, the names of
// its JSON included.
//
//	inspect   shows what is in a log, and how it is
//	verify    reads everything, and tells whether it is whole
//	dump      writes the records, or the entries of the log, as lines of JSON
//	salvage   makes a new log of what is whole of a damaged one in files
//	compact   makes a log in files one snapshot
//	backup    writes what is in a log into a file, as the store's Backup does
//	restore   makes a log of a backup, as the library's Restore does
//
// # What is in a log
//
//	$ storectl inspect /var/lib/app/log
//	log       in files, /var/lib/app/log
//	id        9f4be1d0a2c54e6a8d7033c1b5e2f6a1
//	position  1204, 180 entries behind the snapshot at 1024
//	sequence  1198
//	size      1.2 MiB in 2 files
//
//	BUCKET  ID  VERSION  KEY  FIELDS  RECORDS  BYTES
//	users   1   2        id   6       5210     641.3 KiB
//	orders  2   1        id   4       812      61.0 KiB
//
//	FILE                   KIND      SIZE       ENTRIES
//	0000000000000003.log   segment   402.7 KiB  1025 to 1204
//	0000000000001024.snap  snapshot  812.4 KiB  up to 1024
//
//	in use     yes
//	closed     no: it is in use, or its last owner has crashed
//	torn tail  none
//	damage     none was met
//
// One field of all records of one bucket, and what the last commit was:
//
//	$ storectl dump --bucket users /var/lib/app/log | jq .fields.email
//	$ storectl dump --entries /var/lib/app/log | tail -n 1
//
// # Damage
//
//	$ storectl verify /var/lib/app/log
//	DAMAGE in 1 place:
//	FILE                  OFFSET  BYTES  REASON
//	0000000000000003.log  40960   -      checksum is wrong
//	$ storectl salvage /var/lib/app/log /var/lib/app/log.salvaged
//
// # Backups
//
//	$ storectl backup /var/lib/app/log - | zstd > app.backup.zst
//	$ zstd -d < app.backup.zst | storectl restore - /var/lib/app/log
//
// A backup of one kind of log can be restored into the other.
//
// # What it promises
//
//  1. inspect, verify, dump and backup change nothing, take no lock that would keep a
//     store away, and work while a store has the log open. What they show is the log of
//     one moment. (TestReadersChangeNothing, TestInUse, TestDatabaseInUse)
//  2. salvage and restore overwrite nothing. (TestNothingIsOverwritten)
//  3. What is not whole is said to be so, and never shown as if it were. (TestDamage)
//
// Exit codes: 0 if all is well, 1 if there is damage, or something could not be saved, 2
// if what was asked for could not be done.
//
// To see whether a log in files is in use, its lock is shared for a moment, as there is
// no other way to ask; a store that is opened in that very moment may find it locked.
package main
