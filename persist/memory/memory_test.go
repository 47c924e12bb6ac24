package memory_test

import (
	"testing"

	"github.com/noex-go/store"
	"github.com/noex-go/store/persist/memory"
	"github.com/noex-go/store/persist/persisttest"
)

func TestConformance(t *testing.T) {
	persisttest.Run(t, func(*testing.T) store.Adapter { return memory.New() }, persisttest.Options{})
}
