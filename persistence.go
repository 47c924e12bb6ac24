package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// The errors of a log.
var (
	// ErrLocked is a log that another process, or another store, has open.
	ErrLocked = errors.New("log is in use by another store")
	// ErrCorrupt is damage: what is there is not what was written. A *CorruptError
	// says where.
	ErrCorrupt = errors.New("log is corrupt")
	// ErrLogConflict is an append behind a position that is not the end any more:
	// another writer was first. Nothing was appended.
	ErrLogConflict = errors.New("log has moved on")
	// ErrUnknownOutcome is an append, or a sync, of which it is not known whether it
	// happened: a later Load may bring the entries or not.
	ErrUnknownOutcome = errors.New("outcome is not known")
	// ErrTrimmed is a position before which the log keeps only a snapshot.
	ErrTrimmed = errors.New("log does not reach back that far")
	// ErrLogFailed is a store that is read-only, since its log could not keep a
	// commit, or might not have kept it: nothing more is acknowledged. The error
	// says why. What failed then may be there, or not, when the log is opened again,
	// if it is ErrUnknownOutcome too.
	ErrLogFailed = errors.New("store is read-only: its log has failed")
	// ErrNoLog is a store without persistence.
	ErrNoLog = errors.New("store has no log")
	// ErrNotEmpty is a log that has content where an empty one is needed.
	ErrNotEmpty = errors.New("log is not empty")
)

// CorruptError says where a log is damaged, and how. errors.Is(err, ErrCorrupt).
type CorruptError struct {
	File   string // or table; as the adapter names it
	Offset int64  // in bytes; or the row
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s, offset %d: %s: %v", e.File, e.Offset, e.Reason, ErrCorrupt)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Persistence says where a store keeps its commits, and how safely.
type Persistence struct {
	// Adapter keeps them; nil: nobody, and they are gone with the process.
	Adapter Adapter
	// Durability is what an acknowledged commit survives. Default:
	// Interval(100 * time.Millisecond).
	Durability Durability
	// OnError hears, once, that the log has failed and the store is read-only from
	// now on; Options.OnError and the logger hear it too.
	OnError func(error)
	// OnProgress hears how far Open is, from time to time and at the end.
	OnProgress func(LoadProgress)
}

// LoadProgress is how far the load of a log is.
type LoadProgress struct {
	Entries int   // commits, and parts of a snapshot
	Records int   // in them
	Bytes   int64 // read
	Done    bool
}

// Durability is when commits reach the disk. The zero value is the default.
type Durability struct {
	every time.Duration // 0: the default; syncEach, syncNever
}

const (
	syncEach  time.Duration = -1
	syncNever time.Duration = -2
)

var (
	// Sync acknowledges a commit when it is on the disk. Commits that wait at the
	// same time share one sync.
	Sync = Durability{syncEach}
	// OS leaves it to the operating system when commits reach the disk. A crash of
	// the process loses nothing acknowledged; a power loss loses what the system had
	// not written, the newest commits.
	OS = Durability{syncNever}
)

// Interval syncs every d, if there were commits. A crash of the process loses
// nothing acknowledged; a power loss loses at most about the last d.
func Interval(d time.Duration) Durability { return Durability{max(d, time.Millisecond)} }

// Adapter opens a log. Those of this module are in persist/.
type Adapter interface {
	// OpenLog opens the log, or makes an empty one, for this store alone, and
	// recovers it. Errors: ErrLocked; ErrCorrupt for damage. What a crash has left
	// of entries that were never acknowledged as durable is set aside, and told in
	// Recovery.
	OpenLog(ctx context.Context) (Log, error)
}

// Position numbers the entries of a log: 1, 2, 3, ... 0 is before the first.
type Position uint64

// LogEntry is one entry of a log: a commit, or a part of a snapshot. An adapter
// keeps Data as it is, unless it is Compact: CBOR (RFC 8949), see internal/logentry.
type LogEntry struct {
	Position Position // of a part of a snapshot: the last entry that is in it
	Data     []byte   // valid until the next entry; whoever keeps it copies it
}

// Log keeps the commits of a store in their order. It is what an adapter
// implements.
//
// A Log is used by one store. Append, Sync and Snapshot may be called at the same
// time as each other and as Follow, but no two of Append, and no two of Snapshot.
// After a failed Append or Sync, other than ErrLogConflict, every further one
// fails: what was not synced may be lost although a second attempt succeeds.
type Log interface {
	// Info tells where the log stands.
	Info() LogInfo
	// Load calls fn with the parts of the newest snapshot, and then with each entry
	// behind it, in order. It ends with the first error of fn, which it returns.
	Load(ctx context.Context, fn func(e LogEntry) error) error
	// Append adds entries, all or none as far as Load can tell after a crash of the
	// process: after is the position of the last one there. When it returns nil,
	// they survive the process. Errors: ErrLogConflict; ErrUnknownOutcome; any
	// other means that they are not there.
	Append(ctx context.Context, after Position, entries [][]byte) error
	// Sync returns when all entries appended before are durable.
	Sync(ctx context.Context) error
	// Follow brings the entries behind a position, and waits for more, until ctx
	// ends or the log is closed, which is no error. An error is the last pair:
	// ErrTrimmed, or what went wrong.
	Follow(ctx context.Context, after Position) iter.Seq2[LogEntry, error]
	// Snapshot keeps the parts that fill puts instead of the entries up to a
	// position, which it may drop when the snapshot is durable and was read back,
	// and keeps what there was if anything fails. Appends go on meanwhile. put
	// copies what it needs of data.
	Snapshot(ctx context.Context, at Position, fill func(put func(data []byte) error) error) error
	// Close syncs, and leaves the log to others. It is idempotent.
	Close() error
}

// LogInfo is where a log stands, what it can, and what its opening found.
type LogInfo struct {
	Last     Position // of the newest entry
	Snapshot Position // of the newest snapshot; 0: none
	Bytes    int64    // that Load would read
	Tail     int64    // of those, behind the snapshot
	MaxEntry int      // bytes of the largest entry that can be appended
	// Durable: entries are durable when Append returns.
	Durable bool
	// Compact: the log keeps the newest state of each record rather than entries, so
	// that Load brings a snapshot at Last, and it needs none to be written.
	Compact  bool
	Recovery Recovery
}

// Recovery is what the opening of a log found beside whole entries.
type Recovery struct {
	Clean     bool   // the log was closed properly, or is new
	TornBytes int64  // of unsynced entries that a crash had cut off
	SetAside  string // where they are kept; "" if there were none
}
