package file

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

var update = flag.Bool("update", false, "write the golden directories anew")

// goldenID is the id of the logs in testdata and FORMAT.md.
var goldenID = logID([]byte("0123456789abcdef"))

func withID(id logID) Option { return func(c *config) { c.id = id } }

// golden are the directories of testdata: how each is made, and what it must say. A
// change of these files is a change of the format.
var golden = []struct {
	name string
	make func(t *testing.T, l *log) // and closes it, or not
	want string
}{
	{"empty", func(t *testing.T, l *log) { require.NoError(t, l.Close()) }, "last 0, snapshot 0, clean true, torn 0:"},
	{"closed", func(t *testing.T, l *log) {
		goldenEntries(t, l, "one", "", "three")
		require.NoError(t, l.Close())
	}, "last 3, snapshot 0, clean true, torn 0: 1=one 2= 3=three"},
	{"snapshot", func(t *testing.T, l *log) {
		goldenEntries(t, l, "one", strings.Repeat("two", 400), "three")
		require.NoError(t, l.Snapshot(t.Context(), 2, func(put func([]byte) error) error {
			require.NoError(t, put([]byte("part 1")))
			return put([]byte("part 2"))
		}))
		goldenEntries(t, l, "four")
		require.NoError(t, l.Append(t.Context(), 4, [][]byte{[]byte("five"), []byte("six")}))
		require.NoError(t, l.Close())
	}, "last 6, snapshot 2, clean true, torn 0: 2=part 1 2=part 2 3=three 4=four 5=five 6=six"},
	{"torn", func(t *testing.T, l *log) {
		goldenEntries(t, l, "one", "two")
		require.NoError(t, l.Sync(t.Context()))
		require.NoError(t, l.Append(t.Context(), 2, [][]byte{[]byte("three"), []byte("four")}))
		require.NoError(t, l.f.Truncate(l.off-1))
	}, "last 2, snapshot 0, clean false, torn 72: 1=one 2=two"},
	{"damaged", func(t *testing.T, l *log) {
		goldenEntries(t, l, "one", "two")
		require.NoError(t, l.Sync(t.Context()))
		goldenEntries(t, l, "three")
		_, err := l.f.WriteAt([]byte("T"), headerSize+headSize+3+headSize)
		require.NoError(t, err)
	}, "0000000000000001.log, offset 107: checksum is wrong: log is corrupt"},
}

func goldenEntries(t *testing.T, l *log, entries ...string) {
	for _, e := range entries {
		require.NoError(t, l.Append(t.Context(), l.last, [][]byte{[]byte(e)}))
	}
}

// describe opens a directory and says what is in it.
func describe(t *testing.T, dir string) string {
	l, err := New(dir, quiet).open(t.Context())
	if err != nil {
		require.ErrorIs(t, err, store.ErrCorrupt)
		return err.Error()
	}
	info := l.Info()
	s := fmt.Sprintf("last %d, snapshot %d, clean %v, torn %d:", info.Last, info.Snapshot, info.Recovery.Clean, info.Recovery.TornBytes)
	require.NoError(t, l.Load(t.Context(), func(e store.LogEntry) error {
		s += fmt.Sprintf(" %d=%s", e.Position, e.Data)
		return nil
	}))
	require.NoError(t, l.Close())
	return s
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			mem := vfs.NewMemory()
			g.make(t, mustOpen(t, mem, SegmentSize(1), withID(goldenID)))
			files, dir := readAll(t, mem), filepath.Join("testdata", g.name)
			if *update {
				require.NoError(t, os.RemoveAll(dir))
				require.NoError(t, os.MkdirAll(dir, 0o755))
				for name, b := range files {
					require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
				}
			}
			names, err := vfs.OS().ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, names, len(files))
			work := t.TempDir()
			for _, name := range names {
				b, err := os.ReadFile(filepath.Join(dir, name))
				require.NoError(t, err)
				require.Equal(t, hex.Dump(b), hex.Dump(files[name]), "%s: the same is written today", name)
				require.NoError(t, os.WriteFile(filepath.Join(work, name), b, 0o600))
			}
			got := describe(t, work)
			require.True(t, strings.HasSuffix(got, g.want), got)
			if !strings.Contains(g.want, store.ErrCorrupt.Error()) {
				again := describe(t, work)
				require.Equal(t, g.want[strings.LastIndex(g.want, ":"):], again[strings.LastIndex(again, ":"):], "opened again")
				require.Contains(t, again, "clean true, torn 0")
			}
		})
	}
}

var dumpLine = regexp.MustCompile(`(?m)^[0-9a-f]{8}  ([0-9a-f ]+?)  \|`)

// The example of FORMAT.md is what the code writes.
func TestFormatExample(t *testing.T) {
	doc, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	var example []byte
	for _, line := range dumpLine.FindAllSubmatch(doc, -1) {
		b, err := hex.DecodeString(strings.ReplaceAll(string(line[1]), " ", ""))
		require.NoError(t, err)
		example = append(example, b...)
	}
	mem := vfs.NewMemory()
	l := mustOpen(t, mem, withID(goldenID))
	goldenEntries(t, l, "hello")
	require.NoError(t, l.Close())
	want := readAll(t, mem)[fileName(1, closedExt)]
	require.Equal(t, hex.Dump(want), hex.Dump(example))
}
