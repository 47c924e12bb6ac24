// Package lincheck checks that operations on single keys of a store are
// linearizable. It is a module of its own, so that the library does not depend
// on the checker.
package lincheck

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// Op is what was called.
type Op uint8

// The operations. TxGet is a Get inside a transaction that only reads.
const (
	Get Op = iota
	TxGet
	Insert
	Update
	Delete
	Upsert
)

var opNames = [...]string{"get", "txget", "insert", "update", "delete", "upsert"}

// Input is a call: Val is what it writes.
type Input struct {
	Op  Op
	Key int
	Val int
}

// Output is what the call told: Ok is whether there was a record, or, of an
// insert, whether there was none before. Val and Version are those that it
// returned, of an update Old is what it replaced.
type Output struct {
	Ok      bool
	Val     int
	Old     int
	Version uint64
}

// record is the state of a key; the zero record is none.
type record struct {
	val     int
	version uint64
}

func (r record) there() bool { return r.version > 0 }

// step returns the state after a call, and whether the call may tell out.
func step(was record, in Input, out Output) (bool, record) {
	switch in.Op {
	case Get, TxGet:
		return out == Output{Ok: was.there(), Val: was.val, Version: was.version}, was
	case Insert:
		if was.there() {
			return out == Output{}, was
		}
		return out == Output{Ok: true, Val: in.Val, Version: 1}, record{in.Val, 1}
	case Update:
		if !was.there() {
			return out == Output{}, was
		}
		next := record{in.Val, was.version + 1}
		return out == Output{Ok: true, Val: next.val, Old: was.val, Version: next.version}, next
	case Upsert:
		next := record{in.Val, was.version + 1}
		return out == Output{Ok: true, Val: next.val, Version: next.version}, next
	}
	return true, record{} // a delete tells nothing
}

// Model is a store of independent keys, as porcupine wants it.
var Model = porcupine.Model{
	Partition: byKey,
	Init:      func() any { return record{} },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(record), input.(Input), output.(Output))
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(Input), output.(Output)
		return fmt.Sprintf("%s(%d, %d) -> %+v", opNames[in.Op], in.Key, in.Val, out)
	},
}

func byKey(history []porcupine.Operation) [][]porcupine.Operation {
	keys := map[int][]porcupine.Operation{}
	for _, op := range history {
		k := op.Input.(Input).Key
		keys[k] = append(keys[k], op)
	}
	parts := make([][]porcupine.Operation, 0, len(keys))
	for _, part := range keys {
		parts = append(parts, part)
	}
	return parts
}
