package store

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels, for errors.Is. What a caller gets is an [*Error] that adds the
// operation and the bucket, or one of the typed errors below.
var (
	// ErrClosed indicates that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrBucketExists indicates that a bucket of that name is defined already.
	ErrBucketExists = errors.New("bucket exists already")
	// ErrBucketNotDefined indicates that there is no bucket of that name, or that
	// the handle's bucket was dropped.
	ErrBucketNotDefined = errors.New("bucket is not defined")
	// ErrNotFound indicates that there is no record with that key.
	ErrNotFound = errors.New("record not found")
	// ErrReadOnly indicates a write through a handle that is bound to a snapshot, or
	// to a query function.
	ErrReadOnly = errors.New("handle is bound to a snapshot or a query, which cannot write")
	// ErrSnapshotClosed indicates a read through a snapshot that was closed.
	ErrSnapshotClosed = errors.New("snapshot is closed")
	// ErrTxDone indicates the use of a transaction after its function returned.
	ErrTxDone = errors.New("transaction is over")
	// ErrTxTooLarge indicates a transaction that writes more than Options.TxRecords
	// or Options.TxBytes.
	ErrTxTooLarge = errors.New("transaction is too large")
	// ErrLagged indicates that a subscriber was too slow: the events of as many
	// commits as [Event.Missed] says were lost.
	ErrLagged = errors.New("subscriber lagged behind, events were lost")
	// ErrPattern indicates a topic pattern that can match nothing.
	ErrPattern = errors.New("not a topic pattern")
	// ErrQueryExists indicates that a query of that name is defined already.
	ErrQueryExists = errors.New("query exists already")
	// ErrQueryNotDefined indicates that there is no query of that name.
	ErrQueryNotDefined = errors.New("query is not defined")
	// ErrCursor indicates a cursor that is none of this query's.
	ErrCursor = errors.New("not a cursor of this query")
	// ErrQueryType indicates parameters or a result that are not of the query's
	// type.
	ErrQueryType = errors.New("not the query's type")
	// ErrQueryCycle indicates a query that, through others, asks for itself with
	// the same parameters.
	ErrQueryCycle = errors.New("query depends on itself")
	// ErrQueryDone indicates a read through a QueryCtx after its function returned.
	ErrQueryDone = errors.New("query function has returned")
	// ErrUnsubscribed indicates that a subscription was closed.
	ErrUnsubscribed = errors.New("subscription is closed")
	errOtherStore   = errors.New("the handle is bound to the state of another store")
	// ErrRecordTooLarge indicates a record that alone takes more than its bucket's
	// MaxBytes.
	ErrRecordTooLarge = errors.New("record is larger than the bucket may become")
	// ErrNoTTL indicates a Touch in a bucket without a TTL.
	ErrNoTTL = errors.New("bucket has no TTL")
	// ErrAltering indicates that an AlterBucket of the bucket is under way already;
	// reads and writes go on meanwhile, and never get it.
	ErrAltering = errors.New("bucket is being altered")
	// ErrFull indicates that a bucket has no row numbers left (2^32).
	ErrFull = errors.New("bucket is full")
)

// Error is an error of an operation on a bucket. Err is a sentinel, a typed
// error, or what the cause was. The text names no stored value, nor the key.
type Error struct {
	Op     string // "insert", "update", ...
	Bucket string // empty for an operation on the store
	Key    Key    // zero where there is none
	Err    error
}

func (e *Error) Error() string {
	switch {
	case e.Bucket == "":
		return "store: " + e.Op + ": " + e.Err.Error()
	case e.Op == "bucket":
		return fmt.Sprintf("store: bucket %q: %v", e.Bucket, e.Err)
	case e.Op == "define", e.Op == "alter", e.Op == "drop":
		return fmt.Sprintf("store: %s bucket %q: %v", e.Op, e.Bucket, e.Err)
	}
	return fmt.Sprintf("store: %s in bucket %q: %v", e.Op, e.Bucket, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Code names the rule that a value breaks.
type Code string

// The rules of a schema.
const (
	CodeRequired  Code = "required"  // absent
	CodeType      Code = "type"      // of another type, or not representable
	CodeEnum      Code = "enum"      // none of the listed values
	CodeMin       Code = "min"       // too small a number
	CodeMax       Code = "max"       // too large a number, or too large a value
	CodeMinLength Code = "minLength" // too short a string or array
	CodeMaxLength Code = "maxLength" // too long a string or array
	CodePattern   Code = "pattern"   // the pattern does not match
	CodeFormat    Code = "format"    // not an email address, URL or date
	CodeUnknown   Code = "unknown"   // not a field of the schema
	CodeUnique    Code = "unique"    // another record has it: of an alteration, else see UniqueError
	CodeValidate  Code = "validate"  // Field.Validate or Definition.Validate refuses it, in the words of its error
)

// Issue is one rule that one field breaks.
type Issue struct {
	Field   string `json:"field"` // with the path inside of it: "address.zip", "tags[2]"
	Code    Code   `json:"code"`
	Message string `json:"message"` // for people; it never contains the value
}

func (i Issue) String() string {
	if i.Field == "" {
		return i.Message
	}
	return i.Field + ": " + i.Message
}

func issueList(issues []Issue) string {
	var b strings.Builder
	for i, is := range issues {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(is.String())
	}
	return b.String()
}

// ValidationError lists everything that is wrong with a record, in the order of
// the fields: the schema's for a struct, alphabetical otherwise.
type ValidationError struct {
	Bucket string
	Issues []Issue
	More   int // issues beyond those, where an alteration finds too many to list; else 0

	causes []error
}

func (e *ValidationError) Error() string {
	more := ""
	if e.More > 0 {
		more = fmt.Sprintf("; and %d more", e.More)
	}
	return fmt.Sprintf("store: invalid record in bucket %q: %s%s", e.Bucket, issueList(e.Issues), more)
}

// Unwrap returns the errors of the validators that refused the record.
func (e *ValidationError) Unwrap() []error { return e.causes }

// DefinitionError lists everything that is wrong with a definition, or with a
// struct that is to be read from and written to a bucket.
type DefinitionError struct {
	Bucket string
	Issues []Issue // Field is empty where the problem belongs to no field
}

func (e *DefinitionError) Error() string {
	return fmt.Sprintf("store: definition of bucket %q: %s", e.Bucket, issueList(e.Issues))
}

// UniqueError indicates that a record with the same value exists in a field that
// allows each value once, the key included. The text does not contain the value.
type UniqueError struct {
	Bucket string
	Field  string
	Value  any
}

func (e *UniqueError) Error() string {
	return fmt.Sprintf("store: bucket %q has a record with this %s already: the field is unique", e.Bucket, e.Field)
}

// ConflictError indicates that another commit changed what a transaction had read
// or was to write. The transaction left nothing behind; running it again may
// succeed.
type ConflictError struct {
	Bucket string
	Key    Key    // of the record that was changed; zero if that is not known any more
	Field  string // one that was changed, where it was an update
}

func (e *ConflictError) Error() string {
	switch {
	case e.Bucket == "":
		return "store: transaction in conflict: it is older than the recent commits that are kept"
	case e.Field == "":
		return fmt.Sprintf("store: transaction in conflict: a record of bucket %q was changed", e.Bucket)
	}
	return fmt.Sprintf("store: transaction in conflict: field %q of a record of bucket %q was changed", e.Field, e.Bucket)
}

// QueryError indicates what is wrong with a query: a filter or an order that does
// not fit the schema, an argument out of range, a malformed specification.
type QueryError struct {
	Bucket  string // empty where the query is not one of a bucket yet
	Field   string // empty where no field is to blame
	Message string // for people; it never contains a stored value
}

func (e *QueryError) Error() string {
	text := "store: query"
	if e.Bucket != "" {
		text += fmt.Sprintf(" on bucket %q", e.Bucket)
	}
	if e.Field != "" {
		return fmt.Sprintf("%s: field %q %s", text, e.Field, e.Message)
	}
	return text + ": " + e.Message
}

// PanicError is a panic that was caught: of a function that the caller passed
// in, or of the store itself, whose pending write was then taken back.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
