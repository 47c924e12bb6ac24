package sqlite

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("SQLITE_TEST_CHILD"); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child appends what a seed says behind what is there, and says so, until it is
// killed.
func child(path string) {
	seed, _ := strconv.ParseUint(os.Getenv("SQLITE_TEST_SEED"), 10, 64)
	var opts []Option
	if os.Getenv("SQLITE_TEST_RELAXED") != "" {
		opts = append(opts, Relaxed())
	}
	l, err := New(path, opts...).OpenLog(ctx)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	g := &generator{t: &testing.T{}, r: rand.New(rand.NewPCG(seed, 1)), s: newState()}
	for {
		after := g.s.position
		var entries [][]byte
		for range 1 + g.r.IntN(4) {
			entries = append(entries, g.next())
		}
		if g.s.position <= l.Info().Last {
			continue // of a life before
		}
		if err := l.Append(ctx, after, entries); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(g.s.position)
	}
}

// TestKill kills a process that appends, again and again: what it acknowledged is
// there, and groups are whole.
func TestKill(t *testing.T) {
	r := seeded(t)
	for life := range steps(t, 200) / 100 {
		path := filepath.Join(t.TempDir(), "store.db")
		seed := r.Uint64()
		acknowledged := store.Position(0)
		for range 3 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SQLITE_TEST_CHILD="+path, "SQLITE_TEST_SEED="+fmt.Sprint(seed))
			if life%2 == 1 {
				cmd.Env = append(cmd.Env, "SQLITE_TEST_RELAXED=1")
			}
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			lines := bufio.NewScanner(out)
			require.True(t, lines.Scan())
			_, err = New(path).OpenLog(ctx)
			require.ErrorIs(t, err, store.ErrLocked)
			timer := time.AfterFunc(time.Duration(r.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			for more := true; more; more = lines.Scan() {
				n, err := strconv.ParseUint(lines.Text(), 10, 64)
				require.NoError(t, err, lines.Text())
				acknowledged = store.Position(n)
			}
			timer.Stop()
			_ = cmd.Wait()

			l, err := New(path).OpenLog(ctx)
			require.NoError(t, err)
			require.False(t, l.Info().Recovery.Clean)
			last := l.Info().Last
			require.GreaterOrEqual(t, last, acknowledged)
			g := &generator{t: t, r: rand.New(rand.NewPCG(seed, 1)), s: newState()}
			for g.s.position < last {
				for range 1 + g.r.IntN(4) {
					g.next()
				}
			}
			require.Equal(t, last, g.s.position, "half a group")
			requireState(t, g.s, l)
			if r.IntN(2) == 0 {
				require.NoError(t, l.Close())
			} else {
				require.NoError(t, l.(*log).d.close()) // leaves no mark
				l.(*log).f.release()
			}
		}
		t.Logf("%d entries", acknowledged)
	}
}
