// Package peers measures the store beside other Go stores: one record, one set
// of operations, one adapter for each engine.
package peers

import "errors"

// Record is what every engine stores.
type Record struct {
	ID    string // a uuid of 36 characters
	Name  string
	Email string // unique
	Role  string // one of Roles
	Age   int    // 0 to 99
	Value float64
}

// Roles are the values of Record.Role.
var Roles = [...]string{"admin", "user", "guest"}

// Errors of every engine.
var (
	ErrExists  = errors.New("the key exists")
	ErrMissing = errors.New("no such record")
)

// Engine is what every engine does. All methods but Close are safe for
// concurrent use.
type Engine interface {
	// Get returns a copy of the record. Where the engine can fail, a failure
	// counts as absence.
	Get(id string) (Record, bool)
	// Insert adds a record. A key that exists is ErrExists.
	Insert(r Record) error
	// InsertMany adds the records in one transaction.
	InsertMany(rs []Record) error
	// UpdateValue changes a field that no index has. No record is ErrMissing.
	UpdateValue(id string, value float64) error
	// Delete removes a record. No record is no error.
	Delete(id string) error
	Close() error
}

// Indexed engines have indexes on email, role and age.
type Indexed interface {
	Engine
	UpdateIndexed(id, role string, age int) error
	// EachByRole calls fn until it returns false. The record belongs to the
	// engine and is valid during the call.
	EachByRole(role string, fn func(*Record) bool) error
	CountByRole(role string) (int, error)
}

// Batcher is an engine that has a call of its own for writes of many goroutines,
// which it makes durable together.
type Batcher interface {
	InsertBatched(r Record) error
}

// Ranger reads an index in order.
type Ranger interface {
	// RangeByAge calls fn with up to limit records of at least that age, the
	// youngest first.
	RangeByAge(from, limit int, fn func(*Record) bool) error
}

// Transferrer changes two tables in one transaction. The second table has the
// key as its only index.
type Transferrer interface {
	Engine
	InsertSecond(rs []Record) error
	GetSecond(id string) (Record, bool)
	// Transfer takes amount from the record from and adds it to the record to of
	// the second table. If either is missing, nothing happens: ErrMissing.
	Transfer(from, to string, amount float64) error
}

// Watcher tells who watches a record when it has changed.
type Watcher interface {
	Engine
	// Watch begins to watch a record that exists.
	Watch(id string) (Watch, error)
}

// Watch watches one record, for one goroutine.
type Watch interface {
	// Next waits for a commit that changed the record since the last call, or since
	// the watch began, and returns the record as it is then.
	Next() (Record, error)
	Stop()
}

// Sizer is an engine whose memory is not in the heap of Go.
type Sizer interface {
	Bytes() (uint64, error)
}
