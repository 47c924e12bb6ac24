package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// fixture is a small log directory, and what is in it.
type fixture struct {
	files   map[string][]byte
	last    string // the name of the last segment
	at      store.Position
	parts   [][]byte
	entries [][]byte       // behind the snapshot
	synced  store.Position // as a frame proves
	clean   bool
	bounds  []int // offsets in the last segment at which an append ends
}

// newFixture makes a log with a snapshot, two segments behind it, and a tail that
// nothing proves to be synced.
func newFixture(t *testing.T, clean bool) *fixture {
	mem := vfs.NewMemory()
	l := mustOpen(t, mem)
	x := &fixture{clean: clean}
	add := func(entries ...string) {
		var group [][]byte
		for _, e := range entries {
			group = append(group, []byte(e))
		}
		require.NoError(t, l.Append(t.Context(), l.last, group))
		x.entries = append(x.entries, group...)
		x.bounds = append(x.bounds, int(l.off))
	}
	add("before", "the", "snapshot")
	x.at, x.entries, x.parts = 3, nil, [][]byte{[]byte("part one"), nil, []byte("part three")}
	require.NoError(t, l.Snapshot(t.Context(), 3, func(put func([]byte) error) error {
		for _, p := range x.parts {
			if err := put(p); err != nil {
				return err
			}
		}
		return nil
	}))
	add("four")
	add(strings.Repeat("5", 750))
	x.bounds = []int{headerSize}
	add("six")
	require.EqualValues(t, 2, l.segments[len(l.segments)-1].number)
	require.NoError(t, l.Sync(t.Context()))
	add("seven", "eight")
	x.synced = 6
	add("nine")
	if clean {
		require.NoError(t, l.Close())
		x.synced = 9
	}
	x.files = readAll(t, mem)
	x.last = fileName(2, map[bool]string{true: closedExt, false: segmentExt}[clean])
	require.Len(t, x.files, 3, slices.Collect(maps.Keys(x.files)))
	require.Contains(t, x.files, x.last)
	return x
}

func mustOpen(t *testing.T, fs vfs.FS, opts ...Option) *log {
	t.Helper()
	l, err := New("log", append([]Option{FS(fs), SegmentSize(1), quiet}, opts...)...).open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// readAll returns the files of a log, without the lock.
func readAll(t *testing.T, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.ReadDir("log")
	require.NoError(t, err)
	files := make(map[string][]byte)
	for _, name := range names {
		if name != lockName {
			files[name] = readFile(t, fs, path.Join("log", name))
		}
	}
	return files
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return b
}

// with returns a disk with the files, one of them replaced; nil removes it.
func (x *fixture) with(name string, content []byte) (*vfs.Memory, error) {
	mem := vfs.NewMemory()
	if err := mem.MkdirAll("log", 0o700); err != nil {
		return nil, err
	}
	for n, b := range x.files {
		if n == name {
			b = content
		}
		if b == nil {
			continue
		}
		f, err := mem.OpenFile(path.Join("log", n), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = f.WriteAt(b, 0)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return mem, nil
}

// verdict opens a changed directory, and judges what is there: damage that was found,
// the exact state, or as many entries as the third result says, and Recovery tells.
func (x *fixture) verdict(name string, content []byte, b bugs) (damage *store.CorruptError, exact bool, last store.Position, err error) {
	mem, err := x.with(name, content)
	if err != nil {
		return nil, false, 0, err
	}
	a := New("log", FS(mem), SegmentSize(1), quiet, planted(b))
	l, err := a.open(context.Background())
	if errors.As(err, &damage) {
		return damage, false, 0, nil
	}
	if err != nil {
		return nil, false, 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var parts, entries [][]byte
	err = l.Load(context.Background(), func(e store.LogEntry) error {
		if e.Position == x.at {
			parts = append(parts, bytes.Clone(e.Data))
		} else {
			entries = append(entries, bytes.Clone(e.Data))
		}
		return nil
	})
	if err != nil {
		return nil, false, 0, err
	}
	n := len(entries)
	if !slices.EqualFunc(parts, x.parts, bytes.Equal) || n > len(x.entries) || !slices.EqualFunc(entries, x.entries[:n], bytes.Equal) {
		return nil, false, 0, fmt.Errorf("%s: %w", name, errWrongData)
	}
	last = l.Info().Last
	if last != x.at+store.Position(n) || last == 7 {
		return nil, false, 0, fmt.Errorf("%s: %w: part of an append", name, errWrongData)
	}
	rec := l.Info().Recovery
	if last < 9 && rec.Clean || (rec.TornBytes > 0) != (rec.SetAside != "") {
		return nil, false, 0, fmt.Errorf("%s: recovery does not tell: %+v", name, rec)
	}
	return nil, last == 9, last, nil
}

// flips changes every bit of every file.
func (x *fixture) flips(t *testing.T, b bugs) error {
	damaged, exact, prefix := 0, 0, 0
	for name, content := range x.files {
		for bit := range 8 * len(content) {
			content[bit/8] ^= 1 << (bit % 8)
			damage, whole, last, err := x.verdict(name, content, b)
			content[bit/8] ^= 1 << (bit % 8)
			switch {
			case err != nil:
				return fmt.Errorf("bit %d: %w", bit, err)
			case damage != nil:
				damaged++
				if damage.File != name && name != x.last {
					return fmt.Errorf("bit %d of %s: damage is told of %s", bit, name, damage.File)
				}
			case whole:
				exact++
			case name != x.last || last < x.synced:
				return fmt.Errorf("bit %d of %s: ends with entry %d, %d was synced", bit, name, last, x.synced)
			default:
				prefix++
			}
		}
	}
	t.Logf("clean %v: %d bits: damage was found for %d, %d changed nothing, %d the unsynced tail",
		x.clean, damaged+exact+prefix, damaged, exact, prefix)
	if x.clean && damaged != damaged+exact+prefix {
		return errors.New("a flipped bit of a log that was closed passed")
	}
	return nil
}

func TestBitFlips(t *testing.T) {
	require.NoError(t, newFixture(t, true).flips(t, bugs{}))
	require.NoError(t, newFixture(t, false).flips(t, bugs{}))
}

// A file that lost its end is found to be damaged, except for the last segment of a log
// that was not closed: there it is what a crash leaves.
func TestTruncations(t *testing.T) {
	for _, clean := range []bool{true, false} {
		x := newFixture(t, clean)
		n := 0
		for name, content := range x.files {
			for size := range len(content) {
				n++
				damage, exact, last, err := x.verdict(name, content[:size:size], bugs{})
				require.NoError(t, err, "%s, %d bytes", name, size)
				if clean || name != x.last || size < headerSize {
					require.NotNil(t, damage, "%s, %d bytes, clean %v", name, size, clean)
					continue
				}
				require.Nil(t, damage)
				require.False(t, exact)
				whole := 0
				for whole < len(x.bounds)-1 && x.bounds[whole+1] <= size {
					whole++
				}
				require.Equal(t, []store.Position{5, 6, 8, 9}[whole], last)
			}
			x.missing(t, name)
			damage, exact, _, err := x.verdict(name, append(content[:len(content):len(content)], 0), bugs{})
			require.NoError(t, err)
			require.True(t, damage != nil || exact && name == x.last && !clean, "%s has a byte more", name)
		}
		t.Logf("clean %v: %d truncations", clean, n)
	}
}

// missing opens the log without a file. Without this snapshot, the segments have all.
func (x *fixture) missing(t *testing.T, name string) {
	mem, err := x.with(name, nil)
	require.NoError(t, err)
	l, err := New("log", FS(mem), quiet).open(t.Context())
	if strings.HasSuffix(name, snapExt) {
		require.NoError(t, err)
		require.EqualValues(t, 9, l.Info().Last)
		require.Zero(t, l.Info().Snapshot)
		require.NoError(t, l.Close())
		return
	}
	require.ErrorIs(t, err, store.ErrCorrupt, "%s is missing", name)
}

// A bad frame among others is damage if one behind it knows that it was synced, and
// else the end of what a crash left.
func TestDamageIsProvedByFramesBehind(t *testing.T) {
	for _, synced := range []bool{false, true} {
		mem := vfs.NewMemory()
		l := mustOpen(t, mem, SegmentSize(1<<20))
		var offs []int64
		for i := range 10 {
			offs = append(offs, l.off)
			require.NoError(t, l.Append(t.Context(), store.Position(i), [][]byte{bytes.Repeat([]byte{byte(i)}, 50)}))
			if synced && i == 5 {
				require.NoError(t, l.Sync(t.Context()))
			}
		}
		name := fileName(1, segmentExt)
		x := &fixture{files: readAll(t, mem)}
		for i, off := range offs {
			for _, n := range []int{1, 4, 32, 60, 82, 100} {
				bad := bytes.Clone(x.files[name])
				for j := range min(n, len(bad)-int(off)) {
					bad[int(off)+j] ^= 0x55
				}
				mem, err := x.with(name, bad)
				require.NoError(t, err)
				l, err := New("log", FS(mem), quiet).open(t.Context())
				if synced && i <= 5 {
					require.ErrorIs(t, err, store.ErrCorrupt)
					continue
				}
				require.NoError(t, err)
				require.EqualValues(t, i, l.Info().Last)
				require.Equal(t, int64(len(bad))-off, l.Info().Recovery.TornBytes)
				require.Equal(t, bad[off:], readFile(t, mem, l.Info().Recovery.SetAside))
				require.NoError(t, l.Close())
			}
		}
	}
}

// The bytes of a log, as an entry of another log, are no frames of it.
func TestLogWithinLog(t *testing.T) {
	mem := vfs.NewMemory()
	inner := mustOpen(t, mem)
	for i := range 5 {
		require.NoError(t, inner.Append(t.Context(), store.Position(i), [][]byte{[]byte("x")}))
		require.NoError(t, inner.Sync(t.Context()))
	}
	content := readAll(t, mem)[fileName(1, segmentExt)]
	mem = vfs.NewMemory()
	outer := mustOpen(t, mem, SegmentSize(1<<20))
	require.NoError(t, outer.Append(t.Context(), 0, [][]byte{content}))
	x := &fixture{files: readAll(t, mem)}
	name := fileName(1, segmentExt)
	mem, err := x.with(name, x.files[name][:len(x.files[name])-1])
	require.NoError(t, err)
	l := mustOpen(t, mem)
	require.Zero(t, l.Info().Last)
	require.Positive(t, l.Info().Recovery.TornBytes)
}

// What claims to be large is not believed: a file of a few bytes allocates little.
func TestLengthsAreChecked(t *testing.T) {
	x := newFixture(t, false)
	head := bytes.Clone(x.files[x.last][headerSize:])
	for _, length := range []byte{0xff, 0x0f} {
		b := append(bytes.Clone(x.files[x.last][:headerSize]), head...)
		copy(b[headerSize+8:], []byte{0xff, 0xff, 0xff, length})
		allocated := testing.AllocsPerRun(1, func() {
			_, _, _, err := x.verdict(x.last, b, bugs{})
			require.NoError(t, err)
		})
		require.Less(t, allocated, 1000.0)
	}
	_, _, wrong := parseHead(head, maxEntry+1)
	require.Empty(t, wrong)
	copy(head[8:], []byte{1, 0, 0, 0x10})
	_, _, wrong = parseHead(head, 1<<40)
	require.Equal(t, "frame is too long", wrong)
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, off uint16) {
		x := newFixture(t, false)
		for name, content := range x.files {
			bad := bytes.Clone(content)
			copy(bad[int(off)%len(bad):], b)
			if mem, err := x.with(name, bad); err == nil {
				if l, err := New("log", FS(mem), quiet).open(t.Context()); err == nil {
					require.NoError(t, l.Load(t.Context(), func(store.LogEntry) error { return nil }))
					require.NoError(t, l.Close())
				}
			}
		}
	})
}
