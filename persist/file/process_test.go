package file

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The test binary is its own child: with this variable it is one that works on a log.
const childDir = "PERSIST_FILE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child appends groups of entries that say their position, and prints what was
// acknowledged, until it is killed.
func child(dir string) error {
	ctx, a := context.Background(), New(dir, SegmentSize(8192), quiet)
	l, err := a.OpenLog(ctx)
	if err != nil {
		return err
	}
	fmt.Println("open", l.Info().Last)
	for i := 0; ; i++ {
		last := l.Info().Last
		group := make([][]byte, 1+i%7)
		for j := range group {
			group[j] = binary.BigEndian.AppendUint64(nil, uint64(last)+uint64(j)+1)
			group[j] = append(group[j], make([]byte, (i*37)%500)...)
		}
		if err = l.Append(ctx, last, group); err != nil {
			return err
		}
		fmt.Println("ack", l.Info().Last)
		if i%50 == 49 {
			at := l.Info().Last
			if err = l.Snapshot(ctx, at, func(put func([]byte) error) error { return put(nil) }); err != nil {
				return err
			}
		}
	}
}

func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewReader(out)
}

// TestKilled kills a process that appends. The operating system has what was
// acknowledged; of a group it has all or nothing.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	rounds := 15
	if n, err := strconv.Atoi(os.Getenv("PERSIST_STEPS")); err == nil {
		rounds = n
	}
	torn := 0
	for round := range rounds {
		cmd, out := startChild(t, dir)
		acked := store.Position(0)
		for line := 0; ; line++ {
			s, err := out.ReadString('\n')
			if err != nil {
				break // what it still printed has been read
			}
			require.NotContains(t, s, "error")
			n, err := strconv.ParseUint(strings.Fields(s)[1], 10, 64)
			require.NoError(t, err)
			acked = store.Position(n)
			if line == 1+round*23 {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait())
		l, err := New(dir, quiet).open(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, l.Info().Last, acked)
		require.False(t, l.Info().Recovery.Clean)
		if l.Info().Recovery.TornBytes > 0 {
			torn++
		}
		next := l.Info().Snapshot + 1
		require.NoError(t, l.Load(t.Context(), func(e store.LogEntry) error {
			if len(e.Data) > 0 {
				require.Equal(t, uint64(next), binary.BigEndian.Uint64(e.Data))
				require.Equal(t, next, e.Position)
				next++
			}
			return nil
		}))
		require.Equal(t, l.Info().Last+1, next)
		require.NoError(t, l.Close())
	}
	t.Logf("%d processes killed, %d left a torn tail", rounds, torn)
}

func TestTwoProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	cmd, out := startChild(t, dir)
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "open")
	_, err = New(dir).OpenLog(t.Context())
	require.ErrorIs(t, err, store.ErrLocked)

	second, loser := startChild(t, dir)
	all, err := io.ReadAll(loser)
	require.NoError(t, err)
	require.Contains(t, string(all), "error")
	require.Contains(t, string(all), store.ErrLocked.Error())
	require.Error(t, second.Wait())

	require.NoError(t, cmd.Process.Kill())
	_, _ = io.Copy(io.Discard, out)
	require.Error(t, cmd.Wait())
	l, err := New(dir, quiet).OpenLog(t.Context())
	require.NoError(t, err, "the lock went with the process")
	require.NoError(t, l.Close())
}
