package vfs

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// halves runs fn on many crash images, of each keep some.
func halves(m *Memory, fn func(image *Memory)) {
	for _, keep := range []float64{0, 0.1, 0.5, 0.9, 1} {
		seeded(100, func(r *rand.Rand) { fn(m.Crash(r, keep)) })
	}
}

// outcomes counts what crash images have of a file; "-" is no file.
func outcomes(t *testing.T, m *Memory, name string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	halves(m, func(image *Memory) {
		p, ok := read(t, image, name)
		if !ok {
			p = "-"
		}
		all[p]++
	})
	return all
}

func syncDir(t *testing.T, on FS, name string) {
	t.Helper()
	require.NoError(t, on.SyncDir(name))
}

func TestSyncedIsThere(t *testing.T) {
	m := NewMemory()
	require.NoError(t, m.MkdirAll("a/b", 0o700))
	f := create(t, m, "a/b/f", "one", true)
	syncDir(t, m, "a/b")
	syncDir(t, m, "a")
	require.Contains(t, outcomes(t, m, "a/b/f"), "-", "the root does not have a")
	syncDir(t, m, ".")
	require.NoError(t, m.Rename("a/b/f", "a/b/g"))
	syncDir(t, m, "a/b")
	halves(m, func(image *Memory) {
		require.Equal(t, map[string]string{"a/": "drwx------", "a/b/": "drwx------", "a/b/g": "-rw------- one"},
			tree(t, image, "."))
		require.EqualValues(t, 3, image.Used())
	})
	p := []byte("two")
	_, err := f.WriteAt(p, 3)
	require.NoError(t, err)
	copy(p, "???") // the caller's again
	require.NoError(t, f.Sync())
	require.Equal(t, map[string]int{"onetwo": 500}, outcomes(t, m, "a/b/g"), "renamed while it was open")
}

func TestUnsyncedData(t *testing.T) {
	m := NewMemory()
	f := create(t, m, "f", "old bytes", true)
	syncDir(t, m, ".")
	write(t, f, 0, "new")
	write(t, f, 4, "b")
	require.NoError(t, f.Truncate(8))
	of := outcomes(t, m, "f")
	for _, p := range []string{"old bytes", "new bytes", "old byte", "new byte"} {
		require.Contains(t, of, p)
	}
	require.NotContains(t, of, "-")
}

// Of a file without SyncDir there may be nothing, whatever Sync said.
func TestUnsyncedName(t *testing.T) {
	m := NewMemory()
	create(t, m, "f", "bytes", true)
	of := outcomes(t, m, "f")
	require.Len(t, of, 2, "%v", of)
	require.Contains(t, of, "-")
	require.Contains(t, of, "bytes")
	_, ok := read(t, m.Crash(rand.New(rand.NewPCG(1, 1)), 0), "f")
	require.False(t, ok)

	create(t, m, "empty", "bytes", false)
	syncDir(t, m, ".")
	of = outcomes(t, m, "empty")
	require.Contains(t, of, "", "a name without bytes")
	require.NotContains(t, of, "-")
}

func TestRemoveMayBeUndone(t *testing.T) {
	m := NewMemory()
	create(t, m, "f", "bytes", true)
	syncDir(t, m, ".")
	require.NoError(t, m.Remove("f"))
	require.Zero(t, m.Used()-5, "open still")
	of := outcomes(t, m, "f")
	require.Contains(t, of, "-")
	require.Contains(t, of, "bytes")
	syncDir(t, m, ".")
	require.Equal(t, map[string]int{"-": 500}, outcomes(t, m, "f"))
}

func TestTornWrites(t *testing.T) {
	m := NewMemory()
	f := create(t, m, "f", strings.Repeat("o", 3000), true)
	syncDir(t, m, ".")
	write(t, f, 100, strings.Repeat("n", 2500))
	write(t, f, 2700, strings.Repeat("m", 100))
	var sectors, late, cut int
	halves(m, func(image *Memory) {
		p, _ := read(t, image, "f")
		require.Len(t, p, 3000)
		require.Equal(t, strings.Repeat("o", 100), p[:100])
		first := p[100:2600]
		require.Empty(t, strings.Trim(first, "on"))
		if strings.Contains(first, "n") && strings.Contains(first, "o") {
			sectors++
		}
		for i := 101; i < 2600; i++ {
			require.True(t, p[i] == p[i-1] || i%sectorSize == 0, "torn at %d", i)
		}
		last := p[2700:2800]
		if strings.Contains(last, "m") && !strings.Contains(p, "n") {
			late++
		}
		if n := strings.Count(last, "m"); n > 0 && n < 100 {
			cut++
			require.True(t, strings.HasPrefix(last, strings.Repeat("m", n)))
		}
	})
	require.NotZero(t, sectors, "some sectors of a write")
	require.NotZero(t, late, "the second write without the first")
	require.NotZero(t, cut, "some bytes of the last write")
}

// The size of a file may arrive without its bytes, which are then zeros or garbage.
func TestSizeWithoutData(t *testing.T) {
	m := NewMemory()
	f := create(t, m, "f", "head", true)
	syncDir(t, m, ".")
	write(t, f, 2, "ad"+strings.Repeat("n", 2000))
	var zeros, garbage, short int
	halves(m, func(image *Memory) {
		p, _ := read(t, image, "f")
		require.True(t, strings.HasPrefix(p, "head"))
		require.LessOrEqual(t, len(p), 2004)
		switch tail := strings.Trim(p[4:], "n"); {
		case len(p) < 2004:
			short++
		case tail == "":
		case strings.Trim(tail, "\x00n") == "":
			zeros++
		default:
			garbage++
		}
	})
	require.NotZero(t, zeros)
	require.NotZero(t, garbage)
	require.NotZero(t, short)
}

// Names of one directory survive in the order in which they were made, and each number of them.
func TestDirectoryPrefix(t *testing.T) {
	m := NewMemory()
	const n = 6
	for i := range n {
		create(t, m, string(rune('a'+i)), "", false)
	}
	counts := make(map[int]int)
	halves(m, func(image *Memory) {
		names, err := image.ReadDir(".")
		require.NoError(t, err)
		require.Equal(t, "abcdef"[:len(names)], strings.Join(names, ""))
		counts[len(names)]++
	})
	require.Len(t, counts, n+1)
	require.GreaterOrEqual(t, counts[n], 100, "keep 1")
	require.GreaterOrEqual(t, counts[0], 100, "keep 0")
}

// Of many changes, a share of keep survives on average.
func TestShareIsKeep(t *testing.T) {
	for _, keep := range []float64{0.1, 0.5, 0.8} {
		sum := 0
		seeded(2000, func(r *rand.Rand) {
			c := crash{r: r, keep: keep}
			sum += c.share(10)
		})
		require.InDelta(t, keep, float64(sum)/20_000, 0.03)
	}
}

func TestRenameOldOrNew(t *testing.T) {
	m := NewMemory()
	create(t, m, "f", "old", true)
	syncDir(t, m, ".")
	create(t, m, "f.new", "new", true)
	require.NoError(t, m.Rename("f.new", "f"))
	of := outcomes(t, m, "f")
	require.Len(t, of, 2, "%v", of)
	require.Contains(t, of, "old")
	require.Contains(t, of, "new")
	syncDir(t, m, ".")
	require.Equal(t, map[string]int{"new": 500}, outcomes(t, m, "f"))
	halves(m, func(image *Memory) {
		_, ok := read(t, image, "f.new")
		require.False(t, ok)
	})
}

// A rename of a file whose bytes were not synced is the classic mistake: the old file is gone and the new one is empty.
func TestRenameWithoutSync(t *testing.T) {
	m := NewMemory()
	create(t, m, "f", "old", true)
	syncDir(t, m, ".")
	create(t, m, "f.new", "new", false)
	require.NoError(t, m.Rename("f.new", "f"))
	require.Contains(t, outcomes(t, m, "f"), "")
}

// moved is a Memory with a durable file a/f, and b, which is durable or not, to where it was renamed.
func moved(t *testing.T, durable bool) *Memory {
	m := NewMemory()
	require.NoError(t, m.MkdirAll("a", 0o700))
	create(t, m, "a/f", "bytes", true)
	syncDir(t, m, "a")
	syncDir(t, m, ".")
	require.NoError(t, m.MkdirAll("b/c", 0o700))
	if durable {
		syncDir(t, m, ".")
		syncDir(t, m, "b")
	}
	create(t, m, "a/before", "", true)
	require.NoError(t, m.Rename("a/f", "b/c/f"))
	return m
}

// places counts in which of the places a file is in crash images; it is in one of them in each.
func places(t *testing.T, m *Memory, names ...string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	halves(m, func(image *Memory) {
		found := ""
		for _, name := range names {
			if p, ok := read(t, image, name); ok {
				require.Empty(t, found, "also %s", name)
				require.Equal(t, "bytes", p)
				found = name
			}
		}
		require.NotEmpty(t, found, "neither")
		all[found]++
	})
	return all
}

func TestRenameAcrossDirectories(t *testing.T) {
	for _, durable := range []bool{false, true} {
		m := moved(t, durable)
		require.Len(t, places(t, m, "a/f", "b/c/f"), 2)
		syncDir(t, m, "b/c")
		require.Equal(t, map[string]int{"b/c/f": 500}, places(t, m, "a/f", "b/c/f"), "with the one")
		halves(m, func(image *Memory) {
			_, ok := read(t, image, "a/before")
			require.True(t, ok, "the journal is in order")
		})

		m = moved(t, durable)
		syncDir(t, m, "a")
		require.Equal(t, map[string]int{"b/c/f": 500}, places(t, m, "a/f", "b/c/f"), "or the other")

		m = moved(t, durable)
		require.NoError(t, m.Remove("a/before"))
		require.NoError(t, m.Remove("a"))
		require.Len(t, places(t, m, "a/f", "b/c/f"), 2)
		syncDir(t, m, ".")
		require.Equal(t, map[string]int{"b/c/f": 500}, places(t, m, "a/f", "b/c/f"), "or with the end of the one")
	}
}

func TestRenameTwice(t *testing.T) {
	m := moved(t, true)
	require.NoError(t, m.Rename("b/c/f", "b/f"))
	require.NoError(t, m.Rename("b/f", "g"))
	require.Len(t, places(t, m, "a/f", "b/c/f", "b/f", "g"), 4)
	syncDir(t, m, ".")
	require.Equal(t, map[string]int{"g": 500}, places(t, m, "a/f", "b/c/f", "b/f", "g"))
}

// A Memory knows nothing of renames of directories into others.
func TestDirectoryStaysInItsParent(t *testing.T) {
	m := moved(t, true)
	require.ErrorIs(t, m.Rename("b/c", "c"), syscall.EXDEV)
	require.NoError(t, m.Rename("b/c", "b/d"))
	syncDir(t, m, "b/d")
	of := places(t, m, "a/f", "b/c/f", "b/d/f")
	require.Len(t, of, 2, "%v", of)
	require.NotContains(t, of, "a/f")
}

func TestFailedSync(t *testing.T) {
	m := NewMemory()
	fail := NewFaulty(m, nil)
	f := create(t, NewFaulty(fail, nil), "f", "old.", true)
	syncDir(t, m, ".")
	write(t, f, 0, "new!")
	fail.SetHook(Match(Sync).FailAt(1, syscall.EIO, false))
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	require.NoError(t, f.Sync(), "the second one has nothing to do")
	of := outcomes(t, m, "f")
	require.Contains(t, of, "old.", "and the bytes need not be there")
	require.Contains(t, of, "new!", "but may")

	write(t, f, 3, "?")
	require.NoError(t, f.Sync())
	of = outcomes(t, m, "f")
	require.Contains(t, of, "old?", "what comes later is covered")
	require.Contains(t, of, "new?")
	require.NotContains(t, of, "new!")
	require.NotContains(t, of, "old.")

	require.Equal(t, "new?", content(t, f))
	require.NoError(t, m.DropUnsynced("f"))
	require.Equal(t, "old?", content(t, f), "the memory was needed for something else")
	require.Equal(t, map[string]int{"old?": 500}, outcomes(t, m, "f"))
	write(t, f, 0, "odd")
	require.Contains(t, outcomes(t, m, "f"), "old?")
	require.ErrorIs(t, m.DropUnsynced("g"), fs.ErrNotExist)
}

func TestFailedSyncDir(t *testing.T) {
	m := NewMemory()
	fail := NewFaulty(m, Match(SyncDir).FailAt(1, syscall.EIO, false))
	create(t, fail, "f", "bytes", true)
	require.ErrorIs(t, fail.SyncDir("."), syscall.EIO)
	require.NoError(t, fail.SyncDir("."))
	require.Len(t, outcomes(t, m, "f"), 2)
	create(t, fail, "g", "bytes", true)
	require.NoError(t, fail.SyncDir("."))
	require.Equal(t, map[string]int{"bytes": 500}, outcomes(t, m, "g"))
	require.Len(t, outcomes(t, m, "f"), 2)
}

func TestImageIsIndependent(t *testing.T) {
	m := NewMemory()
	m.SetCapacity(20)
	f := create(t, m, "f", "bytes", false)
	lock, err := m.Lock("lock")
	require.NoError(t, err)
	image := m.Crash(rand.New(rand.NewPCG(1, 1)), 1)
	write(t, f, 0, "later")
	create(t, m, "g", "", false)
	g := open(t, image, "f")
	write(t, g, 0, "B")
	write(t, g, 5, "+")
	require.NoError(t, image.Remove("lock"))

	require.Equal(t, "later", content(t, f))
	require.Equal(t, "Bytes+", content(t, g))
	require.Equal(t, map[string]string{"f": "-rw------- Bytes+"}, tree(t, image, "."))
	again, err := image.Lock("lock")
	require.NoError(t, err, "locks end with the power")
	require.NoError(t, again.Close())
	require.NoError(t, lock.Close())
	_, err = g.WriteAt(make([]byte, 100), 0)
	require.ErrorIs(t, err, syscall.ENOSPC, "the disk has the size that it had")

	// What an image has is durable there, and what happens to it is not.
	p, _ := read(t, image.Crash(rand.New(rand.NewPCG(1, 1)), 0), "f")
	require.Equal(t, "bytes", p)
	p, _ = read(t, m.Crash(rand.New(rand.NewPCG(1, 1)), 1).Crash(rand.New(rand.NewPCG(1, 1)), 0), "f")
	require.Equal(t, "later", p)
}

func TestCrashIsRepeatable(t *testing.T) {
	r := random(t)
	c := newCrasher(t, r)
	for range 300 {
		c.step()
	}
	for range 20 {
		a, b := r.Uint64(), r.Uint64()
		first := tree(t, c.m.Crash(rand.New(rand.NewPCG(a, b)), 0.5), ".")
		require.Equal(t, first, tree(t, c.m.Crash(rand.New(rand.NewPCG(a, b)), 0.5), "."))
	}
}

// TestCrashModel does random operations in two directories, and wants of images after them what a model knows: at keep 0
// what was synced, at 1 all, and in between that a file is somewhere and, if no change of it is open, whole.
func TestCrashModel(t *testing.T) {
	r := random(t)
	c := newCrasher(t, r)
	for i := range steps(t, 2000) {
		if i%200 == 0 {
			c = newCrasher(t, r)
		}
		c.step()
		require.Equal(t, tree(t, c.m, "."), tree(t, c.m.Crash(r, 1), "."))
		require.Equal(t, c.durable(), tree(t, c.m.Crash(r, 0), "."))
		c.check(c.m.Crash(r, r.Float64()))
	}
}

// crasher is a Memory and a model of it that copies all names when both directories are synced, and all bytes of a file
// when that is.
type crasher struct {
	t      *testing.T
	r      *rand.Rand
	m      *Memory
	files  []*crashed
	names  map[string]*crashed
	synced map[string]*crashed
}

type crashed struct {
	f           File
	now, synced string
	changed     bool
}

func newCrasher(t *testing.T, r *rand.Rand) *crasher {
	m := NewMemory()
	require.NoError(t, m.MkdirAll("x", 0o700))
	require.NoError(t, m.MkdirAll("y", 0o700))
	syncDir(t, m, ".")
	return &crasher{t: t, r: r, m: m, names: make(map[string]*crashed), synced: make(map[string]*crashed)}
}

func (c *crasher) step() {
	name := []string{"x/a", "x/b", "x/c", "y/a", "y/b"}[c.r.IntN(5)]
	f := c.names[name]
	switch k := c.r.IntN(10); {
	case f == nil:
		c.names[name] = &crashed{f: open(c.t, c.m, name)}
		c.files = append(c.files, c.names[name])
	case k < 4:
		off, p := c.r.IntN(600), strings.Repeat(string(rune('a'+c.r.IntN(26))), 1+c.r.IntN(1000))
		write(c.t, f.f, int64(off), p)
		f.now, f.changed = string(overlay([]byte(f.now), off, []byte(p))), true
	case k == 4:
		size := c.r.IntN(1000)
		require.NoError(c.t, f.f.Truncate(int64(size)))
		f.now, f.changed = string(resize([]byte(f.now), size)), true
	case k == 5:
		require.NoError(c.t, f.f.Sync())
		f.synced, f.changed = f.now, false
	case k == 6:
		require.NoError(c.t, c.m.Remove(name))
		delete(c.names, name)
	case k == 7:
		syncDir(c.t, c.m, "x")
		syncDir(c.t, c.m, "y")
		c.synced = maps.Clone(c.names)
	default:
		to := filepath.Dir(name) + "/" + []string{"a", "b", "c"}[c.r.IntN(3)]
		if c.r.IntN(2) == 0 {
			to = "x/a"
		}
		require.NoError(c.t, c.m.Rename(name, to))
		delete(c.names, name)
		c.names[to] = f
	}
}

func (c *crasher) durable() map[string]string {
	all := map[string]string{"x/": "drwx------", "y/": "drwx------"}
	for name, f := range c.synced {
		all[name] = "-rw------- " + f.synced
	}
	return all
}

// check wants the directories and the account, and each file that had a name and has one, in one place or another. It
// knows a file by its bytes, where it has them to itself.
func (c *crasher) check(image *Memory) {
	all := tree(c.t, image, ".")
	require.Contains(c.t, all, "x/")
	require.Contains(c.t, all, "y/")
	left, named := slices.Collect(maps.Values(all)), slices.Collect(maps.Values(c.names))
	for name, f := range c.synced {
		if slices.Contains(named, f) && !f.changed && !c.shared(f) {
			require.Contains(c.t, left, "-rw------- "+f.synced, name)
		}
	}
	require.Equal(c.t, sizes(c.t, image), image.Used())
}

// shared reports whether another file is or was like this one, so that neither proves anything.
func (c *crasher) shared(f *crashed) bool {
	for _, g := range c.files {
		if g != f && (g.synced == f.synced || g.now == f.synced) {
			return true
		}
	}
	return false
}

func TestCapacity(t *testing.T) {
	m := NewMemory()
	m.SetCapacity(10)
	f, g := open(t, m, "f"), open(t, m, "g")
	write(t, f, 0, "12345678")
	n, err := g.WriteAt([]byte("12345"), 0)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorAs(t, err, new(*fs.PathError))
	require.Equal(t, 2, n)
	require.Equal(t, "12", content(t, g))
	n, err = g.WriteAt([]byte("12345"), 7)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Zero(t, n)
	require.Equal(t, "12", content(t, g))
	write(t, f, 0, "overwrit")
	require.ErrorIs(t, f.Truncate(9), syscall.ENOSPC)
	require.NoError(t, f.Truncate(7))
	require.NoError(t, g.Truncate(3))
	require.EqualValues(t, 10, m.Used())

	require.NoError(t, m.Remove("f"))
	require.EqualValues(t, 10, m.Used(), "f is open")
	require.NoError(t, f.Close())
	require.EqualValues(t, 3, m.Used())
	write(t, open(t, m, "h"), 0, "1234567")
	require.NoError(t, g.Close())
	require.NoError(t, m.Rename("h", "g"))
	require.EqualValues(t, 7, m.Used())
	h, err := m.OpenFile("g", os.O_RDWR|os.O_TRUNC, 0)
	require.NoError(t, err)
	require.Zero(t, m.Used())

	m.SetCapacity(-1)
	write(t, h, 100, "no limit")
	_, err = h.WriteAt([]byte("x"), maxFileSize)
	require.ErrorIs(t, err, syscall.EFBIG)
	m.SetCapacity(1)
	write(t, h, 100, "too full")
	n, err = h.WriteAt([]byte("too full!"), 100)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, 8, n)
}
