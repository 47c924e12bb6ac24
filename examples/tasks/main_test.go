package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the program prints to the golden file")

// TestOutput compares what a run prints with the recorded text. After an
// intended change:
//
//	go test ./examples/tasks -update
func TestOutput(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), bytes.NewReader(script), &out))
	golden := filepath.Join("testdata", "output.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}

// TestBadCommands feeds lines that no script should have. Each is answered, and
// the one behind them still works.
func TestBadCommands(t *testing.T) {
	bad := []string{
		"move", "move 1", "move x doing 0", "move 1 doing y", "move 99999999999999999999 doing 0", "move 1 doing -3",
		"add", "add ana", "add ana high", "limit doing", "limit doing many", "limit doing 0", "limit nowhere 3",
		"assign 1 nobody", "assign 7 ana", "remove", "remove 7", "board now", "BOARD", "\x00", "add ana high \xff",
		"add ana high " + strings.Repeat("long ", 50), "member a a@example.com", "member ana other@example.com",
	}
	in := "member ana ana@example.com\n" + strings.Join(bad, "\n") + "\nadd ana high It still works"
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), strings.NewReader(in), &out))
	require.Equal(t, len(bad), strings.Count(out.String(), "  refused: ")+strings.Count(out.String(), "  usage: "), out.String())
	require.Contains(t, out.String(), "ana: todo 0. It still works")
}
