package file

import (
	"bytes"
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
)

// salvageOf salvages a fixture with one file replaced, and loads what came of it.
func salvageOf(t *testing.T, x *fixture, name string, content []byte) (SalvageReport, []string, error) {
	t.Helper()
	mem, err := x.with(name, content)
	require.NoError(t, err)
	before := readAll(t, mem)
	report, err := Salvage(t.Context(), "log", "saved", FS(mem), SegmentSize(1), quiet)
	require.Equal(t, before, readAll(t, mem), "the damaged directory is only read")
	if err != nil {
		return report, nil, err
	}
	l, err := New("saved", FS(mem), SegmentSize(1), quiet).open(t.Context())
	require.NoError(t, err)
	require.True(t, l.Info().Recovery.Clean)
	var all []string
	require.NoError(t, l.Load(t.Context(), func(e store.LogEntry) error {
		all = append(all, string(e.Data))
		return nil
	}))
	require.Equal(t, report.Last, l.Info().Last)
	require.Equal(t, report.Snapshot, l.Info().Snapshot)
	require.NoError(t, l.Append(t.Context(), report.Last, [][]byte{[]byte("goes on")}))
	require.NoError(t, l.Close())
	_, err = Salvage(t.Context(), "log", "saved", FS(mem), quiet)
	require.ErrorIs(t, err, store.ErrNotEmpty)
	return report, all, nil
}

func TestSalvage(t *testing.T) {
	for _, clean := range []bool{true, false} {
		x := newFixture(t, clean)
		var whole []string
		for _, b := range slices.Concat(x.parts, x.entries) {
			whole = append(whole, string(b))
		}
		report, got, err := salvageOf(t, x, "", nil)
		require.NoError(t, err)
		require.Equal(t, SalvageReport{Snapshot: 3, Parts: 3, Entries: 6, Last: 9}, report)
		require.Equal(t, whole, got)

		// Every byte of the last segment in turn: what is before the append it is in is
		// saved, and what is behind is stranded.
		content := x.files[x.last]
		for at := range content {
			bad := bytes.Clone(content)
			bad[at] ^= 0x10
			report, got, err := salvageOf(t, x, x.last, bad)
			require.NoError(t, err)
			require.NotEmpty(t, report.Problems)
			require.Equal(t, whole[:3+report.Entries], got)
			if at < headerSize || at >= x.bounds[3] {
				require.EqualValues(t, 9, report.Last, at) // frames speak for themselves
				continue
			}
			i := 0
			for x.bounds[i+1] <= at {
				i++
			}
			require.Equal(t, []store.Position{5, 6, 8}[i], report.Last)
			require.Positive(t, report.Problems[0].Bytes)
			require.Equal(t, x.last, report.Problems[0].File)
		}

		// Without its snapshot this one can be rebuilt from the entries.
		snap := fileName(3, snapExt)
		bad := bytes.Clone(x.files[snap])
		bad[len(bad)-1]++
		report, got, err = salvageOf(t, x, snap, bad)
		require.NoError(t, err)
		require.EqualValues(t, 9, report.Entries)
		require.Equal(t, append([]string{"before", "the", "snapshot"}, whole[3:]...), got)
	}
}

func TestSalvageOlderSnapshot(t *testing.T) {
	for _, keep := range []bool{true, false} {
		mem := vfs.NewMemory()
		opts := []Option{}
		if keep {
			opts = append(opts, KeepPrevious())
		}
		l := mustOpen(t, mem, opts...)
		for i := range 60 {
			require.NoError(t, l.Append(t.Context(), store.Position(i), [][]byte{bytes.Repeat([]byte{byte(i)}, 100)}))
			if i%20 == 19 {
				require.NoError(t, l.Snapshot(t.Context(), l.last, func(put func([]byte) error) error { return put([]byte{byte(i)}) }))
			}
		}
		require.NoError(t, l.Append(t.Context(), 60, [][]byte{[]byte("last")}))
		require.NoError(t, l.Close())
		x := &fixture{files: readAll(t, mem)}
		newest := fileName(60, snapExt)
		bad := bytes.Clone(x.files[newest])
		bad[headerSize+headSize] ^= 1
		mem, err := x.with(newest, bad)
		require.NoError(t, err)
		_, err = New("log", FS(mem)).OpenLog(t.Context())
		require.ErrorIs(t, err, store.ErrCorrupt, "an older snapshot is no silent way out")
		report, got, err := salvageOf(t, x, newest, bad)
		if !keep {
			require.ErrorIs(t, err, store.ErrCorrupt)
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, 40, report.Snapshot)
		require.EqualValues(t, 61, report.Last)
		require.Len(t, got, 1+21)
		require.Len(t, report.Problems, 1)
	}
}

func TestVerify(t *testing.T) {
	for _, clean := range []bool{true, false} {
		x := newFixture(t, clean)
		mem, err := x.with("", nil)
		require.NoError(t, err)
		f, err := mem.OpenFile("log/notes.txt", 0x42, 0o600)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		before := readAll(t, mem)
		d := directory{fs: mem, dir: "log"}
		r, err := d.verify(t.Context())
		require.NoError(t, err)
		require.Empty(t, r.Problems)
		require.Equal(t, clean, r.Clean)
		require.EqualValues(t, 9, r.Last)
		require.Len(t, r.LogID, 32)
		require.Equal(t, []string{"notes.txt"}, r.Ignored)
		require.Equal(t, []SnapshotReport{{
			FileReport: FileReport{fileName(3, snapExt), int64(len(x.files[fileName(3, snapExt)]))},
			Position:   3, Parts: 3, PartBytes: 18,
		}}, r.Snapshots)
		require.Len(t, r.Segments, 2)
		require.EqualValues(t, 1, r.Segments[0].First)
		require.EqualValues(t, 5, r.Segments[0].Last)
		require.EqualValues(t, 6, r.Segments[1].First)
		require.EqualValues(t, 9, r.Segments[1].Last)
		require.Equal(t, clean, r.Segments[1].Closed)
		i, err := d.inspect()
		require.NoError(t, err)
		require.Equal(t, r.LogID, i.LogID)
		require.Equal(t, clean, i.Clean)
		require.Equal(t, before, readAll(t, mem))

		for name, content := range x.files {
			bad := bytes.Clone(content)
			bad[headerSize+8] ^= 0x40
			mem, err := x.with(name, bad)
			require.NoError(t, err)
			r, err := directory{fs: mem, dir: "log"}.verify(t.Context())
			require.NoError(t, err)
			require.Len(t, r.Problems, 1)
			require.Equal(t, name, r.Problems[0].File)
			require.Contains(t, r.Problems[0].String(), name)
		}
	}
	_, err := Verify(t.Context(), path.Join(t.TempDir(), "missing"))
	require.Error(t, err)
	_, err = Inspect(path.Join(t.TempDir(), "missing"))
	require.Error(t, err)
}
