package file

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/vfs"
	"github.com/noex-go/store/persist/persisttest"
)

var quiet = Logger(slog.New(slog.DiscardHandler))

func TestConformance(t *testing.T) {
	for name, fresh := range map[string]func(t *testing.T) store.Adapter{
		"OS": func(t *testing.T) store.Adapter { return New(filepath.Join(t.TempDir(), "a", "log")) },
		"small segments": func(t *testing.T) store.Adapter {
			return New("log", FS(vfs.NewMemory()), SegmentSize(1))
		},
		"keeps the previous snapshot": func(t *testing.T) store.Adapter {
			return New("log", FS(vfs.NewMemory()), SegmentSize(4096), KeepPrevious())
		},
	} {
		t.Run(name, func(t *testing.T) { persisttest.Run(t, fresh, persisttest.Options{}) })
	}
}

// onFS is the adapter whose segments are so small that every program has some.
func onFS(opts ...Option) persisttest.OnFS {
	return func(fs vfs.FS) store.Adapter {
		return New("data/log", append([]Option{FS(fs), SegmentSize(2048), quiet}, opts...)...)
	}
}

func TestCrash(t *testing.T) {
	t.Run("default", func(t *testing.T) { persisttest.Crash(t, onFS()) })
	t.Run("keeps the previous snapshot", func(t *testing.T) { persisttest.Crash(t, onFS(KeepPrevious())) })
}

func TestFaults(t *testing.T) {
	t.Run("default", func(t *testing.T) { persisttest.Faults(t, onFS()) })
	t.Run("keeps the previous snapshot", func(t *testing.T) { persisttest.Faults(t, onFS(KeepPrevious())) })
}
