package vfs

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLock(t *testing.T) {
	eachFS(t, func(t *testing.T, on FS, root string) {
		name := filepath.Join(root, "lock")
		lock, err := on.Lock(name)
		require.NoError(t, err)
		_, err = on.Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		var path *fs.PathError
		require.ErrorAs(t, err, &path)
		require.Equal(t, "lock", path.Op)
		other, err := on.Lock(name + "2")
		require.NoError(t, err)
		require.NoError(t, other.Close())
		require.NoError(t, lock.Close())
		again, err := on.Lock(name)
		require.NoError(t, err)
		require.ErrorIs(t, lock.Close(), fs.ErrClosed)
		_, err = on.Lock(name)
		require.ErrorIs(t, err, ErrLocked, "a second Close of the one does not end the other")
		require.NoError(t, again.Close())
		names, err := on.ReadDir(root)
		require.NoError(t, err)
		require.Equal(t, []string{"lock", "lock2"}, names, "the files stay")
	})
}

// TestLockTwoProcesses runs itself as the other process, which locks a file until it is killed.
func TestLockTwoProcesses(t *testing.T) {
	if name := os.Getenv("VFS_LOCK"); name != "" {
		_, err := OS().Lock(name)
		fmt.Println("lock:", err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	name := filepath.Join(t.TempDir(), "lock")
	other := func() (cmd *exec.Cmd, answer string) {
		cmd = exec.Command(os.Args[0], "-test.run=^TestLockTwoProcesses$")
		cmd.Env = append(os.Environ(), "VFS_LOCK="+name)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		t.Cleanup(func() { _ = in.Close() })
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		answer, err = bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		return cmd, answer
	}
	end := func(cmd *exec.Cmd) {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
	}

	holder, answer := other()
	require.Equal(t, "lock: <nil>\n", answer)
	_, err := OS().Lock(name)
	require.ErrorIs(t, err, ErrLocked)
	by, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(holder.Process.Pid)+"\n", string(by))

	end(holder)
	lock, err := OS().Lock(name)
	require.NoError(t, err, "the lock goes with the process")
	late, answer := other()
	require.True(t, strings.Contains(answer, ErrLocked.Error()), answer)
	end(late)
	require.NoError(t, lock.Close())
}
