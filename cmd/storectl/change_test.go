package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

func TestSalvage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	makeLog(t, file.New(path, file.Logger(silent)))
	whole := filepath.Join(t.TempDir(), "new", "log")
	requireGolden(t, `
		saved to    PATH
		snapshot    none
		entries     14
		last entry  14
		left out    0 whole entries behind a gap
		Everything that was looked at is whole.`, normal(good(t, "salvage", path, whole), whole))
	require.Equal(t, good(t, "dump", path), good(t, "dump", whole))

	change(t, only(t, path, ".end"), func(b []byte) []byte {
		b[700] ^= 1
		return b
	})
	before := tree(t, path)
	to := filepath.Join(t.TempDir(), "log")
	r := ctl(t, "salvage", "--json", path, to)
	require.Equal(t, exitDamaged, r.code)
	require.Empty(t, r.err)
	v := object(t, r.out)
	require.Equal(t, to, v["to"])
	last := v["last"]
	require.Greater(t, fmt.Sprint(v["stranded"]), "0")
	require.Len(t, v["lost"], 1)
	require.Equal(t, before, tree(t, path))
	require.Equal(t, last, object(t, good(t, "inspect", "--json", to))["position"])
	good(t, "verify", to)

	r = ctl(t, "salvage", path, filepath.Join(t.TempDir(), "other"))
	require.Equal(t, exitDamaged, r.code)
	require.Contains(t, r.out, "DAMAGE in 1 place")

	db := filepath.Join(t.TempDir(), "log.db")
	makeLog(t, logKinds[1].adapter(db))
	r = ctl(t, "salvage", db, filepath.Join(t.TempDir(), "new"))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.err, "only a log in files")
}

func TestNothingIsOverwritten(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		other := k.path(t.TempDir())
		makeLog(t, k.adapter(other))
		backup := filepath.Join(t.TempDir(), "backup")
		good(t, "backup", path, backup)
		before, beforeBackup := tree(t, other), tree(t, backup)
		for _, args := range [][]string{{"restore", backup, other}, {"salvage", path, other}, {"backup", path, backup}} {
			if k.name == "sqlite" && args[0] == "salvage" {
				continue
			}
			r := ctl(t, args...)
			require.Equal(t, exitFailed, r.code, args)
			require.Contains(t, r.err, "Nothing is overwritten.", args)
			require.Equal(t, before, tree(t, other), args)
			require.Equal(t, beforeBackup, tree(t, backup), args)
		}
	})
}

func TestCompact(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		dump := good(t, "dump", path)
		v := object(t, good(t, "compact", "--json", path))
		require.Equal(t, k.name, v["kind"])
		out := normal(good(t, "compact", path), path)
		if k.name == "sqlite" {
			require.Equal(t, "PATH has the newest state only: there is nothing to do\n", out)
			require.Equal(t, v["before"], v["after"])
		} else {
			requireGolden(t, "before  SIZE\nafter   SIZE\nWhat was overwritten or deleted stays until a program that defines the buckets compacts the log.", out)
			require.Equal(t, json.Number("14"), object(t, good(t, "inspect", "--json", path))["snapshot"])
			require.Contains(t, good(t, "inspect", path), "14, 0 entries behind the snapshot at 14")
			good(t, "compact", "--keep-previous", path)
		}
		require.ElementsMatch(t, strings.Split(dump, "\n"), strings.Split(good(t, "dump", path), "\n"))
		good(t, "verify", path)
	})
}

// After a compaction the buckets are what they were for the program whose they are.
func TestCompactKeepsBuckets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a := file.New(path, file.Logger(silent))
	makeLog(t, a)
	good(t, "compact", path)
	st := openStore(t, a)
	users, err := st.DefineBucket(t.Context(), "users", usersDefinition)
	require.NoError(t, err)
	r, ok := users.Get("b")
	require.True(t, ok)
	require.EqualValues(t, 2, r.Get("big"))
	_, ok = users.Get("c")
	require.False(t, ok)
}

// A snapshot has the id of the newest bucket, though that is gone and has no definition.
func TestNewestBucketIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a := file.New(path, file.Logger(silent))
	makeLog(t, a)
	st := openStore(t, a)
	_, err := st.DefineBucket(t.Context(), "last", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}}})
	require.NoError(t, err)
	require.NoError(t, st.DropBucket(t.Context(), "last"))
	require.NoError(t, st.Close(t.Context()))
	want := good(t, "dump", path)
	good(t, "compact", path)
	good(t, "verify", path)
	require.ElementsMatch(t, strings.Split(want, "\n"), strings.Split(good(t, "dump", path), "\n"))
	require.Len(t, object(t, good(t, "inspect", "--json", path))["buckets"], 2)
	good(t, "dump", "--entries", path)
	backup, to := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "log")
	good(t, "backup", path, backup)
	good(t, "restore", backup, to)
	require.Equal(t, good(t, "dump", path), good(t, "dump", to))
}

// A backup of each kind of log is restored into each.
func TestBackupRestore(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		want := strings.Split(good(t, "dump", path), "\n")
		out := filepath.Join(t.TempDir(), "backup")
		require.Equal(t, "SIZE were written to PATH\n", normal(good(t, "backup", path, out), out))
		stream := ctl(t, "backup", path, "-", "--json")
		require.Equal(t, exitOK, stream.code)
		require.Equal(t, json.Number(fmt.Sprint(len(stream.out))), object(t, stream.err)["bytes"])
		for _, to := range logKinds {
			target := to.path(t.TempDir())
			require.Regexp(t, `^PATH has SIZE`, normal(good(t, "restore", out, target), target))
			require.ElementsMatch(t, want, strings.Split(good(t, "dump", target), "\n"))
			good(t, "verify", target)

			target = to.path(t.TempDir())
			cut := ctlWith(t, strings.NewReader(stream.out[:len(stream.out)-1]), "restore", "-", target)
			require.Equal(t, exitFailed, cut.code)
			require.Contains(t, cut.err, "Nothing was restored.")
			r := ctlWith(t, strings.NewReader(stream.out), "restore", "-", target, "--json")
			require.Equal(t, exitOK, r.code, r.err)
			require.Equal(t, to.name, object(t, r.out)["kind"])
			require.ElementsMatch(t, want, strings.Split(good(t, "dump", target), "\n"))
		}
	})
}
