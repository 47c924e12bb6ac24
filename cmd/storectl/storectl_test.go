package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
	"github.com/noex-go/store/persist/file"
)

var noContext = context.Background()

func TestInspect(t *testing.T) {
	golden := map[string]string{
		"file": `
			log       in files, PATH
			id        ID
			position  14
			sequence  10
			size      SIZE in 1 file

			BUCKET  ID  VERSION  KEY  FIELDS  RECORDS  BYTES
			users   1   1        id   6       2        SIZE
			hits    3   1        n    2       2        SIZE

			FILE                  KIND     SIZE ENTRIES
			0000000000000001.end  segment  SIZE 1 to 14

			in use     no
			closed     properly
			torn tail  none
			damage     none was met`,
		"sqlite": `
			log       in SQLite, PATH
			position  14, of which the newest state is kept
			sequence  10
			size      SIZE in 1 file

			BUCKET  ID  VERSION  KEY  FIELDS  RECORDS  BYTES
			users   1   1        id   6       2        SIZE
			hits    3   1        n    2       2        SIZE

			FILE    KIND      SIZE ENTRIES
			log.db  database  SIZE -

			in use     no
			closed     properly
			torn tail  none
			damage     none was met`,
	}
	eachKind(t, func(t *testing.T, k logKind, path string) {
		requireGolden(t, golden[k.name], normal(good(t, "inspect", path), path))

		v := object(t, good(t, "inspect", "--json", path))
		require.Equal(t, k.name, v["kind"])
		require.Equal(t, path, v["path"])
		require.Equal(t, json.Number("14"), v["position"])
		require.Equal(t, json.Number("10"), v["seq"])
		require.Equal(t, map[string]any{"clean": true, "tornBytes": json.Number("0"), "inUse": "no", "damage": []any{}}, v["health"])
		b := v["buckets"].([]any)[1].(map[string]any)
		require.NotEqual(t, json.Number("0"), b["bytes"])
		delete(b, "bytes")
		require.Equal(t, map[string]any{
			"name": "hits", "id": json.Number("3"), "version": json.Number("1"), "key": "n", "fields": json.Number("2"), "records": json.Number("2"),
		}, b)

		v = object(t, good(t, "inspect", path, "--files", "--json"))
		require.NotContains(t, v, "buckets")
		require.NotContains(t, v, "position")
		require.Len(t, v["files"], 1)
		require.Equal(t, map[string]any{"inUse": "no", "damage": []any{}}, v["health"])
	})
}

// The bytes of buckets are those of their newest records.
func TestInspectBytes(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		n, err := logentry.MarshalValue(map[string]any{"n": int64(1), "page": "/"})
		require.NoError(t, err)
		v := object(t, good(t, "inspect", "--json", path))
		require.Equal(t, json.Number(fmt.Sprint(2*len(n))), v["buckets"].([]any)[1].(map[string]any)["bytes"])
	})
}

func TestVerify(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		require.Regexp(t, `^OK: \d+ entries and \d+ records were read\n$`, good(t, "verify", path))
		v := object(t, good(t, "verify", "--json", path))
		require.Equal(t, true, v["ok"])
		require.Equal(t, []any{}, v["damage"])
		require.Equal(t, json.Number(map[string]string{"file": "14", "sqlite": "2"}[k.name]), v["entries"])
	})
}

func TestDump(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		out := good(t, "dump", path)
		want := []string{
			`{"bucket":"users","key":"a","version":1,"created":"2026-03-04T11:59:59.000Z","updated":"2026-03-04T11:59:59.000Z","expires":"2036-03-01T11:59:59.000Z",` +
				`"fields":{"any":["-Infinity",1.5],"big":9007199254740993,"id":"a","joined":"2024-02-29T01:02:03.000456789Z","photo":"AP8=","score":"Infinity"}}`,
			`{"bucket":"users","key":"b","version":2,"created":"2026-03-04T11:59:59.000Z","updated":"2026-03-04T11:59:59.000Z","expires":"2036-03-01T11:59:59.000Z",` +
				`"fields":{"big":2,"id":"b","nick":"<b>"}}`,
			`{"bucket":"hits","key":1,"version":1,"created":"2026-03-04T11:59:59.000Z","updated":"2026-03-04T11:59:59.000Z","fields":{"n":1,"page":"/"}}`,
			`{"bucket":"hits","key":3,"version":1,"created":"2026-03-04T11:59:59.000Z","updated":"2026-03-04T11:59:59.000Z","fields":{"n":3,"page":"/"}}`,
		}
		require.ElementsMatch(t, want, strings.Split(strings.TrimSpace(out), "\n"))
		require.Len(t, lines(t, good(t, "dump", "--bucket", "users", "--json", path)), 2)

		r := ctl(t, "dump", "--bucket", "gone", path)
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.err, `the log has no bucket "gone"`)
	})
}

// The newest state is the same before and after a snapshot, and has what was written
// behind one.
func TestDumpBehindSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a := file.New(path, file.Logger(silent))
	makeLog(t, a)
	st := openStore(t, a)
	users, err := st.DefineBucket(t.Context(), "users", usersDefinition)
	require.NoError(t, err)
	before := good(t, "dump", path)
	require.NoError(t, st.Compact(t.Context()))
	require.ElementsMatch(t, strings.Split(before, "\n"), strings.Split(good(t, "dump", path), "\n"))
	_, err = users.Update(t.Context(), "a", store.Fields{"big": 7})
	require.NoError(t, err)
	require.NoError(t, users.Delete(t.Context(), "b"))
	list := lines(t, good(t, "dump", "--bucket", "users", path))
	require.Len(t, list, 1)
	require.Equal(t, json.Number("7"), list[0]["fields"].(map[string]any)["big"])
	require.NoError(t, st.Close(t.Context()))

	list = lines(t, good(t, "dump", "--entries", path))
	require.Equal(t, true, list[0]["snapshot"])
	require.NotContains(t, list[len(list)-1], "snapshot")
	require.Equal(t, []any{map[string]any{"bucket": "users", "deleted": []any{"b"}}}, list[len(list)-1]["changes"])
}

func TestDumpEntries(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		list := lines(t, good(t, "dump", "--entries", path))
		if k.name == "sqlite" {
			require.Len(t, list, 2)
			require.Equal(t, true, list[0]["snapshot"])
			return
		}
		require.Len(t, list, 14)
		for i, e := range list {
			require.Equal(t, json.Number(fmt.Sprint(i+1)), e["position"])
			require.Len(t, e["session"], 16)
		}
		require.Equal(t, []any{map[string]any{
			"name": "hits", "id": json.Number("3"), "version": json.Number("1"), "key": "n", "fields": []any{"n", "page"},
		}}, list[2]["buckets"])
		require.Equal(t, json.Number("1"), list[3]["seq"])
		put := list[3]["changes"].([]any)[0].(map[string]any)["put"].([]any)[0].(map[string]any)
		require.Equal(t, "a", put["key"])
		require.Equal(t, json.Number("9007199254740993"), put["fields"].(map[string]any)["big"])
		hit := list[7]["changes"].([]any)[0].(map[string]any)
		require.Equal(t, map[string]any{"n": json.Number("1")}, hit["marks"])
		require.Equal(t, []any{map[string]any{"bucket": "hits", "deleted": []any{json.Number("2")}, "marks": map[string]any{"n": json.Number("3")}}}, list[12]["changes"])
		require.Equal(t, []any{map[string]any{"name": "gone", "id": json.Number("2"), "version": json.Number("1"), "dropped": true}}, list[13]["buckets"])
		require.Len(t, lines(t, good(t, "dump", "--entries", "--bucket", "gone", path)), 3)
	})
}

func TestReadersChangeNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, k logKind, path string) {
		before := tree(t, path)
		for _, command := range [][]string{{"inspect"}, {"inspect", "--files"}, {"verify"}, {"dump"}, {"dump", "--entries"}} {
			good(t, append(command, path)...)
			require.Equal(t, before, tree(t, path), command)
		}
		good(t, "backup", path, filepath.Join(t.TempDir(), "out"))
		require.Equal(t, before, tree(t, path))
	})
}

// A log of a store that is open can be read, and neither opened nor salvaged; and the
// store goes on.
func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	st := openStore(t, file.New(path, file.Logger(silent)))
	fill(t, st)
	v := object(t, good(t, "inspect", "--json", path))
	require.Equal(t, map[string]any{"clean": false, "tornBytes": json.Number("0"), "inUse": "yes", "damage": []any{}}, v["health"])
	require.Equal(t, "OK: 14 entries and 10 records were read\nThe log is in use: this is how it was a moment ago.\n", good(t, "verify", path))
	require.Len(t, lines(t, good(t, "dump", path)), 4)
	out := filepath.Join(t.TempDir(), "backup")
	good(t, "backup", path, out)
	for _, args := range [][]string{{"compact", path}, {"salvage", path, filepath.Join(t.TempDir(), "new")}} {
		r := ctl(t, args...)
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.err, store.ErrLocked.Error())
		require.Contains(t, r.err, "End the program that has it open")
	}
	b, err := st.Bucket("users")
	require.NoError(t, err)
	_, err = b.Insert(t.Context(), store.Fields{"id": "later"})
	require.NoError(t, err)
	require.NoError(t, st.Close(t.Context()))
	require.Len(t, lines(t, good(t, "dump", path)), 5)
}

// A log is read while its owner writes, compacts and removes files.
func TestWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	st := openStore(t, file.New(path, file.Logger(silent), file.SegmentSize(4<<10)))
	fill(t, st)
	b, err := st.Bucket("users")
	require.NoError(t, err)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			_, err := b.Insert(noContext, store.Fields{"id": fmt.Sprint(i)})
			if err == nil && i%20 == 0 {
				err = st.Compact(noContext)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	records := 0
	for range 10 {
		list := lines(t, good(t, "dump", path))
		require.GreaterOrEqual(t, len(list), records)
		records = len(list)
		good(t, "inspect", path)
		good(t, "verify", path)
	}
	close(stop)
	require.NoError(t, <-done)
}

// A database that another process has open is read as it is, and stays locked.
func TestDatabaseInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	makeLog(t, logKinds[1].adapter(path))
	in := held(t, path)
	v := object(t, good(t, "inspect", "--json", path))
	require.Equal(t, "yes", v["health"].(map[string]any)["inUse"])
	require.Contains(t, good(t, "verify", path), "The log is in use")
	require.Len(t, lines(t, good(t, "dump", path)), 4)
	_, err := logKinds[1].adapter(path).OpenLog(t.Context())
	require.ErrorIs(t, err, store.ErrLocked)
	r := ctl(t, "restore", filepath.Join(t.TempDir(), "missing"), path)
	require.Equal(t, exitFailed, r.code)

	records := 0
	for range 10 { // while it is written
		_, err := in.Write(make([]byte, 20))
		require.NoError(t, err)
		r := ctl(t, "dump", "--bucket", "bytes", path)
		if r.code != exitOK {
			require.Contains(t, r.err, "which writes all the time")
			continue
		}
		list := lines(t, r.out)
		require.GreaterOrEqual(t, len(list), records)
		records = len(list)
		for i, line := range list {
			require.Equal(t, json.Number(fmt.Sprint(i+1)), line["key"])
		}
	}
	require.Eventually(t, func() bool { return len(lines(t, ctl(t, "dump", "--bucket", "bytes", path).out)) == 200 }, 5*time.Second, 10*time.Millisecond)
}

// What a crash has left at the end is no damage, and stays where it is.
func TestTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	st := openStore(t, file.New(path, file.Logger(silent)))
	fill(t, st)
	segment, err := os.ReadFile(only(t, path, ".log"))
	require.NoError(t, err)
	segment = bytes.TrimRight(segment, "\x00") // what was only reserved
	crashed := filepath.Join(t.TempDir(), "crashed")
	require.NoError(t, os.Mkdir(crashed, 0o700))
	torn := append(segment, segment[len(segment)-40:]...)
	require.NoError(t, os.WriteFile(filepath.Join(crashed, "0000000000000001.log"), torn, 0o600))
	before := tree(t, crashed)
	require.Contains(t, good(t, "verify", crashed), "40 B at the end were never synced")
	v := object(t, good(t, "inspect", "--json", crashed))
	require.Equal(t, map[string]any{"clean": false, "tornBytes": json.Number("40"), "inUse": "no", "damage": []any{}}, v["health"])
	require.Regexp(t, `torn tail  40 B, which no sync has covered`, good(t, "inspect", crashed))
	require.Len(t, lines(t, good(t, "dump", crashed)), 4)
	require.Equal(t, before, tree(t, crashed))
}

// A segment whose making was cut off is no damage either.
func TestCutSegment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	st := openStore(t, file.New(path, file.Logger(silent)))
	fill(t, st)
	segment, err := os.ReadFile(only(t, path, ".log"))
	require.NoError(t, err)
	segment = bytes.TrimRight(segment, "\x00") // what was only reserved
	crashed := filepath.Join(t.TempDir(), "crashed")
	require.NoError(t, os.Mkdir(crashed, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(crashed, "0000000000000001.log"), segment, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(crashed, "0000000000000002.log"), segment[:50], 0o600))
	require.Contains(t, good(t, "inspect", crashed), "0000000000000001.log  segment  1.7 KiB  1 to 14\n0000000000000002.log  segment  50 B     -\n")
	require.Contains(t, good(t, "inspect", "--files", crashed), "0000000000000001.log  segment  1.7 KiB  from 1\n0000000000000002.log  segment  50 B     -\n")
	good(t, "verify", crashed)
	require.Len(t, lines(t, good(t, "dump", crashed)), 4)
}

func TestDamage(t *testing.T) {
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at] ^= 1
			return b
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)-10] }
	for _, c := range []struct {
		name   string
		kind   logKind
		change func([]byte) []byte
		want   string // after normal; "": only that there is damage
	}{
		{"file, flipped", logKinds[0], flip(700), `
			DAMAGE in 1 place:
			FILE                  OFFSET  BYTES  REASON
			0000000000000001.end  521     -      checksum is wrong`},
		{"file, header", logKinds[0], flip(0), `
			DAMAGE in 1 place:
			FILE                  OFFSET  BYTES  REASON
			0000000000000001.end  0       -      checksum of the header is wrong`},
		{"file, truncated", logKinds[0], cut, ""},
		{"sqlite, flipped", logKinds[1], func(b []byte) []byte {
			at := bytes.Index(b, []byte(`<b>`))
			b[at] ^= 1
			return b
		}, ""},
		{"sqlite, truncated", logKinds[1], func(b []byte) []byte { return b[:len(b)/2] }, ""},
		{"sqlite, something else", logKinds[1], func([]byte) []byte { return []byte("not a database, but long enough to be read") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := c.kind.path(t.TempDir())
			makeLog(t, c.kind.adapter(path))
			name := path
			if c.kind.name == "file" {
				name = only(t, path, ".end")
			}
			change(t, name, c.change)
			before := tree(t, path)
			delete(before, filepath.Join(path, "lock")) // has the id of who tried to open the log

			r := ctl(t, "verify", path)
			require.Equal(t, exitDamaged, r.code, r)
			require.Empty(t, r.err)
			require.Contains(t, r.out, "DAMAGE in 1 place")
			if c.want != "" {
				requireGolden(t, c.want, r.out)
			}
			r = ctl(t, "verify", "--json", path)
			require.Equal(t, exitDamaged, r.code)
			v := object(t, r.out)
			require.Equal(t, false, v["ok"])
			require.Len(t, v["damage"], 1)
			require.NotEmpty(t, v["damage"].([]any)[0].(map[string]any)["reason"])

			r = ctl(t, "inspect", path)
			require.Equal(t, exitDamaged, r.code)
			require.Contains(t, r.out, "DAMAGE in 1 place")
			require.NotContains(t, r.out, "BUCKET")
			for _, args := range [][]string{{"dump", path}, {"dump", "--entries", path}, {"compact", path}, {"backup", path, "-"}} {
				if c.kind.name == "sqlite" && args[0] == "compact" {
					continue
				}
				r := ctl(t, args...)
				require.Equal(t, exitFailed, r.code, args)
				if c.name != "sqlite, flipped" { // which is found at the end of the reading
					require.Empty(t, r.out)
				}
				require.Contains(t, r.err, "corrupt")
				require.Contains(t, r.err, "storectl verify says where")
			}
			after := tree(t, path)
			delete(after, filepath.Join(path, "lock"))
			require.Equal(t, before, after)
		})
	}
}

// Entries whose bytes are right and whose contents are not are found too, all of them.
func TestWrongEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := file.New(path, file.Logger(silent)).OpenLog(t.Context())
	require.NoError(t, err)
	definition, err := logentry.Marshal(map[string]any{"key": "id"})
	require.NoError(t, err)
	encode := func(e logentry.Entry) []byte {
		e.Format = logentry.Format
		data, err := e.Encode()
		require.NoError(t, err)
		return data
	}
	bucket := func(id uint64, name string, dropped bool) []byte {
		return encode(logentry.Entry{Buckets: []logentry.Bucket{{ID: id, Name: name, Version: 1, Definition: definition, Dropped: dropped}}})
	}
	one := []logentry.Block{{
		Bucket: 1, Version: 1, Rows: 1, Extras: []map[string]any{{"id": 1.5}},
		Created: []int64{1}, Updated: []int64{1}, Versions: []uint64{1}, Places: []uint64{1},
	}}
	require.NoError(t, log.Append(t.Context(), 0, [][]byte{
		bucket(1, "a", false), []byte("nonsense"), bucket(2, "a", false), bucket(7, "b", true), encode(logentry.Entry{Blocks: one}),
	}))
	require.NoError(t, log.Close())

	r := ctl(t, "verify", path)
	require.Equal(t, exitDamaged, r.code)
	for _, reason := range []string{
		"entry 2  -       -      not an entry of a store's log", `entry 3  -       -      bucket "a" is defined twice`,
		"entry 4  -       -      the end of bucket 7, which there is not", `entry 5  -       -      bucket "a": row 0 has no key`,
	} {
		require.Contains(t, r.out, reason)
	}
	r = ctl(t, "verify", "--json", path)
	require.Equal(t, json.Number("3"), object(t, r.out)["damage"].([]any)[1].(map[string]any)["entry"])
	for _, args := range [][]string{{"dump", path}, {"backup", path, "-"}} {
		r = ctl(t, args...)
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.err, "entry 2")
	}
}

func TestUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "storectl: which command? There are inspect, verify, dump, salvage, compact, backup, restore.\nSee storectl -h.\n"},
		{[]string{"inpsect"}, `there is no command "inpsect". There are inspect`},
		{[]string{"dump"}, "0 arguments were given, 1 are needed: storectl dump [--bucket NAME]"},
		{[]string{"dump", "a", "b"}, "2 arguments were given"},
		{[]string{"dump", "--all", "a"}, "flag provided but not defined: -all\nSee storectl dump -h.\n"},
		{[]string{"inspect", missing}, "Check the path"},
		{[]string{"verify", missing}, "Check the path"},
		{[]string{"dump", missing + ".db"}, "Check the path"},
		{[]string{"compact", missing}, "Check the path"},
		{[]string{"compact", missing + ".db"}, "Check the path"},
		{[]string{"backup", missing, missing + ".out"}, "Check the path"},
		{[]string{"salvage", missing, missing + ".new"}, "Check the path"},
		{[]string{"restore", missing + ".backup", missing}, "no such file"},
		{[]string{"inspect", empty}, "there is no log here"},
		{[]string{"compact", empty}, "there is no log here"},
	} {
		r := ctl(t, c.args...)
		require.Equal(t, exitFailed, r.code, c.args)
		require.Empty(t, r.out)
		require.Contains(t, r.err, c.want)
	}
	for _, dir := range []string{filepath.Dir(missing), empty} { // nothing was made
		list, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, list)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}} {
		out := good(t, args...)
		for _, c := range commands() {
			require.Contains(t, out, "\n  "+c.name+" ")
		}
	}
	for _, c := range commands() {
		out := good(t, c.name, "-h")
		require.Equal(t, out, good(t, "help", c.name))
		require.Contains(t, out, "storectl "+c.name+" "+c.synopsis)
		require.Contains(t, out, "\nExample:\n  ")
		require.Contains(t, out, "-json")
		for line := range strings.Lines(c.long + "\n" + c.example) {
			require.LessOrEqual(t, len(line), 90)
		}
	}
}

// failing is a stream that is at its end after some bytes.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	if f.left -= n; n < len(p) {
		return n, f.err
	}
	return n, nil
}

func TestOutputFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	makeLog(t, file.New(path, file.Logger(silent)))
	for _, args := range [][]string{
		{"inspect", path},
		{"inspect", "--json", path},
		{"verify", path},
		{"dump", path},
		{"dump", "--entries", path},
		{"backup", path, "-"},
		{"inspect", "-h"},
		{"-h"},
	} {
		for err, want := range map[error]string{syscall.EPIPE: "has stopped reading", syscall.ENOSPC: "The disk is full"} {
			var messages bytes.Buffer
			code := run(t.Context(), args, strings.NewReader(""), &failing{10, err}, &messages)
			require.Equal(t, exitFailed, code, args)
			require.Contains(t, messages.String(), want, args)
			require.Equal(t, 1, strings.Count(messages.String(), err.Error()), messages.String())
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	eachKind(t, func(t *testing.T, k logKind, path string) {
		before := tree(t, path)
		out := filepath.Join(t.TempDir(), "out")
		for _, args := range [][]string{{"inspect", path}, {"verify", path}, {"dump", path}, {"salvage", path, out}, {"compact", path}, {"backup", path, out}, {"restore", os.DevNull, out}} {
			if k.name == "sqlite" && (args[0] == "compact" || args[0] == "salvage") {
				continue
			}
			var messages bytes.Buffer
			require.Equal(t, exitFailed, run(ctx, args, strings.NewReader(""), io.Discard, &messages), args)
			require.Contains(t, messages.String(), "It was interrupted.", args)
			require.Equal(t, before, tree(t, path), args)
			_, err := os.Stat(out)
			require.ErrorIs(t, err, os.ErrNotExist, args)
		}
	})
}

// A restore that waits for its input can be interrupted; the next one finds an empty log.
func TestInterruptedInput(t *testing.T) {
	for _, k := range logKinds {
		ctx, cancel := context.WithCancel(t.Context())
		path, in := k.path(t.TempDir()), &waiting{asked: cancel, end: t.Context().Done()}
		var messages bytes.Buffer
		require.Equal(t, exitFailed, run(ctx, []string{"restore", "-", path}, in, io.Discard, &messages))
		require.Contains(t, messages.String(), "It was interrupted.")

		from, backup := k.path(t.TempDir()), filepath.Join(t.TempDir(), "backup")
		makeLog(t, k.adapter(from))
		good(t, "backup", from, backup)
		good(t, "restore", backup, path)
		require.Len(t, lines(t, good(t, "dump", path)), 4)
	}
}

// waiting is an input in which nothing comes.
type waiting struct {
	asked func()
	end   <-chan struct{}
}

func (w *waiting) Read([]byte) (int, error) {
	w.asked()
	<-w.end
	return 0, io.EOF
}

func TestShown(t *testing.T) {
	for text, want := range map[string]string{"": `""`, "users": "users", "a b": "a b", "a\tb": `"a\tb"`, "\x1b[1m": `"\x1b[1m"`, "世": "世"} {
		require.Equal(t, want, shown(text))
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		require.Equal(t, want, size(n))
	}
}

func TestAdvice(t *testing.T) {
	for _, c := range commands() {
		require.NotEmpty(t, advice(c.name, fmt.Errorf("x: %w", context.Canceled)))
	}
	require.Empty(t, advice("dump", errors.New("anything else")))
}
