package bridge

import (
	"fmt"

	"github.com/noex-go/store"
)

// Error indicates an event that could not be forwarded. Err is what the receiver
// returned, or a [*store.PanicError]: of a panic, or of a goroutine that was ended.
// The text names no stored value, nor the key.
type Error struct {
	Op     string // "filter", "map" (MapTopic, MapData), "emit"
	Topic  string // the event's own, as all that follows
	Bucket string
	Key    store.Key
	Seq    store.Seq
	Err    error
}

func newError(op, topic string, e store.Event, err error) *Error {
	return &Error{op, topic, e.Bucket, e.Key, e.Seq, err}
}

func (e *Error) Error() string {
	if e.Topic == "" {
		return fmt.Sprintf("bridge: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("bridge: %s of %q at commit %d: %v", e.Op, e.Topic, e.Seq, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// OverflowError indicates events that the receiver will never get. One comes with
// the first event that finds the queue full, and one with the number of all others
// when at most half of it is left: together they are [Stats.Dropped], but for what a
// Stop has dropped, which its own error says.
type OverflowError struct {
	Dropped int64 // events, since the last report
	Missed  int64 // or commits that the bridge was not told of: then errors.Is(err, store.ErrLagged)
}

func (e *OverflowError) Error() string {
	if e.Missed > 0 {
		return fmt.Sprintf("bridge: the events of %d commits were lost: %v", e.Missed, store.ErrLagged)
	}
	return fmt.Sprintf("bridge: the queue is full, %d events were dropped", e.Dropped)
}

// Unwrap returns [store.ErrLagged] where commits were missed.
func (e *OverflowError) Unwrap() error {
	if e.Missed > 0 {
		return store.ErrLagged
	}
	return nil
}
