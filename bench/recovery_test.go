package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/file"
)

// BenchmarkRecovery opens a store in files and defines its bucket, until all records
// can be read: from a snapshot, from the log of commits of 100 records each, and
// from that log as a process leaves it that is killed.
func BenchmarkRecovery(b *testing.B) {
	for _, from := range []struct {
		name    string
		compact bool
		killed  bool
	}{{name: "snapshot", compact: true}, {name: "log"}, {name: "killed", killed: true}} {
		sizesNamed(b, from.name, func(b *testing.B, n int) {
			dir := filepath.Join(b.TempDir(), "log")
			bytes := writeLog(b, dir, n, from.compact, from.killed)
			for b.Loop() {
				b.StopTimer()
				use := filepath.Join(b.TempDir(), "copy") // opening repairs a log, so that the next would find another one
				check(b, os.CopyFS(use, os.DirFS(dir)))
				b.StartTimer()
				s, err := store.Open(ctx, inFiles(use))
				check(b, err)
				users, err := store.Define[user](ctx, s, "users")
				check(b, err)
				if got, err := users.Count(); got != n || err != nil {
					b.Fatal(got, err)
				}
				b.StopTimer()
				check(b, s.Close(ctx))
				check(b, os.RemoveAll(use))
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
			b.ReportMetric(float64(bytes)/float64(n), "B/record")
		})
	}
}

func sizesNamed(b *testing.B, name string, fn func(b *testing.B, n int)) {
	b.Run(name, func(b *testing.B) { sizes(b, fn) })
}

func inFiles(dir string) store.Options {
	return store.Options{Persistence: store.Persistence{Adapter: file.New(dir), Durability: store.OS}}
}

// writeLog leaves a log of n users in dir and returns its bytes.
func writeLog(b *testing.B, dir string, n int, compact, killed bool) int64 {
	b.Helper()
	live := dir
	if killed {
		live += "-live"
	}
	s, err := store.Open(ctx, inFiles(live))
	check(b, err)
	users, err := store.Define[user](ctx, s, "users")
	check(b, err)
	for i := 0; i < n; i += 100 {
		batch := make([]user, 100)
		for k := range batch {
			batch[k] = newUser(i + k)
		}
		_, err := users.InsertMany(ctx, batch)
		check(b, err)
	}
	if compact {
		check(b, s.Compact(ctx))
	}
	bytes := s.Stats().Persistence.Bytes
	if killed { // the files of a process that does not get to close them
		check(b, os.CopyFS(dir, os.DirFS(live)))
	}
	check(b, s.Close(ctx))
	return bytes
}

// BenchmarkBackup writes all records to a stream.
func BenchmarkBackup(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s := open(b)
		fill(b, s, n)
		var w counter
		for b.Loop() {
			w = 0
			check(b, s.Backup(ctx, &w))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
		b.ReportMetric(float64(w)/float64(n), "B/record")
	})
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
