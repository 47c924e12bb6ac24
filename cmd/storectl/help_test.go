package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
	"github.com/noex-go/store/persist/sqlite"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("STORECTL_TEST_HOLD"); path != "" {
		hold(path)
	}
	os.Exit(m.Run())
}

// hold is a process that has a database open until its input ends. Of each byte that it
// is sent it makes a record of a bucket of its own.
func hold(path string) {
	fail := func(err error) {
		if err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
	}
	st, err := store.Open(noContext, store.Options{Logger: silent, Persistence: store.Persistence{Adapter: sqlite.New(path)}})
	fail(err)
	bytes, err := st.DefineBucket(noContext, "bytes", store.Definition{
		Key: "n", Schema: store.Schema{"n": {Type: store.Int, Generated: store.Autoincrement}},
	})
	fail(err)
	_, _ = os.Stdout.WriteString("ready\n")
	for b := make([]byte, 1); ; {
		if _, err := os.Stdin.Read(b); err != nil {
			break
		}
		_, err := bytes.Insert(noContext, store.Fields{})
		fail(err)
	}
	fail(st.Close(noContext))
	os.Exit(0)
}

// held starts such a process, and returns its input.
func held(t *testing.T, path string) io.Writer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORECTL_TEST_HOLD="+path)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	ready := make([]byte, 6)
	_, err = io.ReadFull(out, ready)
	require.NoError(t, err)
	return in
}

// logKind is a kind of log for tests.
type logKind struct {
	name    string
	path    func(dir string) string
	adapter func(path string) store.Adapter
}

var logKinds = []logKind{
	{"file", func(dir string) string { return filepath.Join(dir, "log") }, func(path string) store.Adapter { return file.New(path, file.Logger(silent)) }},
	{"sqlite", func(dir string) string { return filepath.Join(dir, "log.db") }, func(path string) store.Adapter { return sqlite.New(path) }},
}

// eachKind runs a test for each kind of log, with one that makeLog has made.
func eachKind(t *testing.T, test func(t *testing.T, k logKind, path string)) {
	for _, k := range logKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			path := k.path(t.TempDir())
			makeLog(t, k.adapter(path))
			test(t, k, path)
		})
	}
}

var (
	noon   = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	joined = time.Date(2024, 2, 29, 1, 2, 3, 456789, time.UTC)
)

const big = 1<<53 + 1

// openStore opens a store whose clock goes one second further at each look.
func openStore(t *testing.T, a store.Adapter) *store.Store {
	t.Helper()
	now := noon.Add(-time.Second)
	st, err := store.Open(t.Context(), store.Options{
		Logger: silent, Persistence: store.Persistence{Adapter: a, Durability: store.Sync},
		Clock: func() time.Time { return now }, TTLInterval: time.Hour,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close(noContext) })
	return st
}

var usersDefinition = store.Definition{
	Key: "id", TTL: 10 * 365 * 24 * time.Hour, Extra: true,
	Schema: store.Schema{
		"id": {Type: store.String}, "big": {Type: store.Int}, "score": {Type: store.Float},
		"photo": {Type: store.Bytes}, "joined": {Type: store.Date}, "any": {Type: store.Any},
	},
}

// fill makes what the tests expect: two buckets, one dropped, with inserts, an update
// and deletes, in 10 commits.
func fill(t *testing.T, st *store.Store) {
	t.Helper()
	users, err := st.DefineBucket(t.Context(), "users", usersDefinition)
	require.NoError(t, err)
	gone, err := st.DefineBucket(t.Context(), "gone", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.String}}})
	require.NoError(t, err)
	hits, err := st.DefineBucket(t.Context(), "hits", store.Definition{
		Key: "n", Schema: store.Schema{"n": {Type: store.Int, Generated: store.Autoincrement}, "page": {Type: store.String}},
	})
	require.NoError(t, err)
	insert := func(b *store.Bucket, f store.Fields) {
		t.Helper()
		_, err := b.Insert(t.Context(), f)
		require.NoError(t, err)
	}
	insert(users, store.Fields{"id": "a", "big": int64(big), "score": math.Inf(1), "photo": []byte{0, 255}, "joined": joined, "any": []any{math.Inf(-1), 1.5}})
	insert(users, store.Fields{"id": "b", "big": 1, "nick": "<b>"})
	insert(users, store.Fields{"id": "c"})
	insert(gone, store.Fields{"id": "x"})
	for _, page := range []string{"/", "/about", "/"} {
		insert(hits, store.Fields{"page": page})
	}
	_, err = users.Update(t.Context(), "b", store.Fields{"big": 2})
	require.NoError(t, err)
	require.NoError(t, users.Delete(t.Context(), "c"))
	require.NoError(t, hits.Delete(t.Context(), 2))
	require.NoError(t, st.DropBucket(t.Context(), "gone"))
}

func makeLog(t *testing.T, a store.Adapter) {
	t.Helper()
	st := openStore(t, a)
	fill(t, st)
	require.NoError(t, st.Close(t.Context()))
}

// result is what a run of the program did.
type result struct {
	code     int
	out, err string
}

func ctl(t *testing.T, args ...string) result {
	t.Helper()
	return ctlWith(t, strings.NewReader(""), args...)
}

func ctlWith(t *testing.T, in io.Reader, args ...string) result {
	t.Helper()
	var out, messages bytes.Buffer
	code := run(t.Context(), args, in, &out, &messages)
	return result{code, out.String(), messages.String()}
}

// good runs a command that succeeds silently.
func good(t *testing.T, args ...string) string {
	t.Helper()
	r := ctl(t, args...)
	require.Equal(t, result{exitOK, r.out, ""}, r)
	return r.out
}

// lines parses lines of JSON.
func lines(t *testing.T, out string) (list []map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(out))
	d.UseNumber()
	for {
		var v map[string]any
		err := d.Decode(&v)
		if err == io.EOF {
			return list
		}
		require.NoError(t, err, out)
		list = append(list, v)
	}
}

func object(t *testing.T, out string) map[string]any {
	t.Helper()
	list := lines(t, out)
	require.Len(t, list, 1)
	return list[0]
}

var (
	sizes = regexp.MustCompile(`\d+(\.\d+)? ([KMG]i)?B *`)
	heads = regexp.MustCompile(`SIZE +`)
	ids   = regexp.MustCompile(`[0-9a-f]{32}`)
	times = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

// normal replaces what differs from run to run.
func normal(out, path string) string {
	out = strings.ReplaceAll(out, path, "PATH")
	out = ids.ReplaceAllString(out, "ID")
	out = times.ReplaceAllString(out, "TIME")
	return heads.ReplaceAllString(sizes.ReplaceAllString(out, "SIZE "), "SIZE ")
}

// requireGolden compares normalised output with text that is indented by tabs.
func requireGolden(t *testing.T, want, got string) {
	t.Helper()
	trim := func(s string) string {
		var list []string
		for line := range strings.Lines(strings.TrimSpace(s)) {
			list = append(list, strings.TrimRight(strings.TrimLeft(line, "\t"), " \n"))
		}
		return strings.Join(list, "\n")
	}
	require.Equal(t, trim(want), trim(got))
}

// tree is every file below a path and beside it: its content, its mode and its time.
func tree(t *testing.T, path string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	dir := filepath.Dir(path)
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		require.NoError(t, err)
		content, err := os.ReadFile(name)
		out[name] = info.Mode().String() + info.ModTime().String() + string(content)
		return err
	}))
	return out
}

// change changes the bytes of a file.
func change(t *testing.T, name string, fn func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, fn(b), 0o600))
}

// only returns the one file of a kind.
func only(t *testing.T, dir, ending string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+ending))
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}
