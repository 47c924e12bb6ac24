package bridge

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
)

// insideOf is the key of the context that a bridge's receiver gets.
type insideOf struct{ b *Bridge }

// inside reports whether the caller is one that the bridge itself waits for: it has
// the receiver's context, or runs on a goroutine of the bridge.
func (b *Bridge) inside(ctx context.Context) bool {
	if ctx.Value(insideOf{b}) != nil {
		return true
	}
	n := goroutineNumber()
	return n != 0 && (n == b.working.Load() || n == b.listening.Load())
}

// goroutineNumber returns the number of the goroutine that calls it, 0 if it cannot
// be known. The runtime gives it in no other way than as the first line of a stack,
// "goroutine 42 [running]:". That takes about a microsecond, once for each goroutine
// of a bridge and each Stop that has to wait. The receiver's context alone would not
// do: Stop is often called with another one.
func goroutineNumber() uint64 {
	var buf [64]byte
	line := buf[:runtime.Stack(buf[:], false)]
	line, ok := bytes.CutPrefix(line, []byte("goroutine "))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(line, []byte(" "))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
