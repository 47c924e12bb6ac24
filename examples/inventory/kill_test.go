package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// TestKilled starts the program, kills it in the middle with SIGKILL, again and
// again over the same directory, and looks at what is there: every order that was
// acknowledged, at most one more of each customer each time, and nothing by half.
func TestKilled(t *testing.T) {
	const customers, lines = 4, 150
	bin := filepath.Join(t.TempDir(), "inventory")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, string(out))

	seed := rand.Uint64() >> 16
	if s := os.Getenv("STORE_SEED"); s != "" {
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("STORE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))

	dir := filepath.Join(t.TempDir(), "shop")
	acknowledged := map[string]Order{}
	const rounds = 12
	for round := range rounds {
		args := []string{"-dir", dir, "-v", "-customers", fmt.Sprint(customers), "-pause", "100us", "-lead", "3ms", "-lines", fmt.Sprint(lines)}
		if r.IntN(3) == 0 {
			args = append(args, "-sync")
		}
		after := r.IntN(150) // lines of output; the first are about what it has found
		got := runAndKill(t, after, exec.Command(bin, args...))
		maps.Copy(acknowledged, got)
		if r.IntN(2) == 0 && round < rounds-1 {
			continue // the next process finds what this one has left
		}
		shop, err := OpenShop(t.Context(), dir, lines, store.Options{})
		require.NoError(t, err)
		orders := examine(t, shop, acknowledged)
		require.LessOrEqual(t, orders, len(acknowledged)+customers*(round+1))
		require.NoError(t, shop.Close(context.Background()))
	}
	t.Logf("%d orders acknowledged, in %d processes", len(acknowledged), rounds)
	require.Greater(t, len(acknowledged), 200)

	// Asked to end, it ends in good order.
	cmd := exec.Command(bin, "-dir", dir, "-lines", fmt.Sprint(lines), "-orders", "50")
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "the books are right")
}

// runAndKill runs the program until it has printed so many lines, kills it, and
// returns the orders that it has acknowledged.
func runAndKill(t *testing.T, after int, cmd *exec.Cmd) map[string]Order {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	if after == 0 {
		require.NoError(t, cmd.Process.Kill())
	}
	got := map[string]Order{}
	n, in := 0, bufio.NewScanner(stdout)
	for in.Scan() { // to the end: what it printed before it died counts
		var o Order
		if _, err := fmt.Sscanf(in.Text(), "placed %s %s %d", &o.Ref, &o.SKU, &o.Quantity); err == nil {
			o.Customer, _, _ = strings.Cut(o.Ref, "-")
			got[o.Ref] = o
		}
		if n++; n == after {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait())
	require.Empty(t, stderr.String())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && runtime.GOOS != "windows" {
		require.Equal(t, syscall.SIGKILL, status.Signal())
	}
	return got
}

// examine looks at a shop, beyond what Check does, and returns how many orders
// there are.
func examine(t *testing.T, shop *Shop, acknowledged map[string]Order) int {
	books, err := shop.Check()
	require.NoError(t, err)
	for ref, want := range acknowledged {
		got, ok := shop.orders.Get(ref)
		require.True(t, ok, "order %s was acknowledged", ref)
		got.Meta = store.Meta{}
		require.Equal(t, want, got)
	}
	// Each customer's orders are numbered without a gap: a prefix has survived.
	groups, err := shop.orders.GroupBy("customer").Count()
	require.NoError(t, err)
	for _, g := range groups {
		for i := range g.Value {
			_, ok := shop.orders.Get(fmt.Sprintf("%s-%d", g.Key[0], i+1))
			require.True(t, ok, "order %d of %s", i+1, g.Key[0])
		}
	}
	// The audit log has the newest lines: its orders are the last ones, in their order.
	require.LessOrEqual(t, books.Lines, 150)
	var lines, refs []string
	for e := range shop.audit.All() {
		if e.What == "order" {
			lines = append(lines, e.Ref)
		}
	}
	last, err := shop.orders.Last(len(lines))
	require.NoError(t, err)
	for _, o := range last {
		refs = append(refs, o.Ref)
	}
	require.Equal(t, refs, lines)
	return books.Orders
}
