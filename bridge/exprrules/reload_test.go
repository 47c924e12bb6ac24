package exprrules_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge/exprrules"
)

func logRule(text string) string {
	return fmt.Sprintf("rules:\n- name: %s\n  when: bucket.products.inserted\n  then: [{insert: log, set: {text: '\"%s\"'}}]\n", text, text)
}

// TestReload: rules come whole or not at all, and those before them stay.
func TestReload(t *testing.T) {
	s := newShop(t)
	e, b := start(t, s, exprrules.Options{})
	path := filepath.Join(t.TempDir(), "rules.yaml")
	require.ErrorIs(t, e.LoadFile(path), os.ErrNotExist)
	for i, c := range []struct {
		text string
		want string
	}{
		{logRule("a"), "a"},
		{logRule("b") + "- name: c\n  when: bucket.none.inserted\n", "a"},
		{"", "a"},
		{logRule("b"), "b"},
		{"rules: [", "b"},
		{"rules: []", ""},
		{logRule("c"), "c"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		err := e.LoadFile(path)
		before := len(texts(t, s))
		insert(t, s, "products", store.Fields{"id": fmt.Sprint(i)})
		settle(t, s, b)
		if c.want == "" {
			require.NoError(t, err)
			require.Empty(t, e.Rules())
			continue
		}
		require.Equal(t, []string{c.want}, e.Rules())
		require.Equal(t, []string{c.want}, texts(t, s)[before:], "case %d: %v", i, err)
	}
	require.EqualValues(t, 5, e.Stats().Loads, "with that of no rules at the start")
	require.EqualValues(t, 4, e.Stats().Refused)
}

// TestReloadBesideEvents: an event is judged by one rule set, whichever it is.
func TestReloadBesideEvents(t *testing.T) {
	s := newShop(t)
	set := func(name string) []exprrules.Rule {
		return []exprrules.Rule{
			rule("first", "bucket.products.inserted", "", logs(fmt.Sprintf("%q + new.id", name))),
			rule("second", "bucket.products.inserted", "", logs(fmt.Sprintf("%q + new.id", name))),
		}
	}
	e, b := start(t, s, exprrules.Options{}, set("a")...)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := e.Load(set([]string{"a", "b"}[i%2])); err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 200 {
		insert(t, s, "products", store.Fields{"id": fmt.Sprint(i)})
	}
	settle(t, s, b)
	close(stop)
	require.NoError(t, <-done)
	list := texts(t, s)
	require.Len(t, list, 400)
	for i := 0; i < len(list); i += 2 {
		require.Equal(t, list[i], list[i+1])
	}
}

// TestWatch: a file that changes is loaded; one that is wrong, or gone, is told once,
// and changes nothing.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		var heard reports
		e, err := exprrules.New(s, exprrules.Options{OnError: func(err error) {
			heard.add(err)
			if len(heard.list()) == 1 {
				runtime.Goexit()
			}
			panic("no")
		}})
		require.NoError(t, err)
		path := filepath.Join(dir, "rules.yaml")
		write := func(text string) {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		}
		_, err = e.Watch(path, 0)
		require.Error(t, err)
		_, err = e.Watch(path, time.Minute)
		require.ErrorIs(t, err, os.ErrNotExist)
		write("rules: [")
		_, err = e.Watch(path, time.Minute)
		require.Error(t, err)

		write(logRule("a"))
		stop, err := e.Watch(path, time.Minute)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, e.Rules())
		write(logRule("b"))
		require.Equal(t, []string{"b"}, e.Rules())
		loads := e.Stats().Loads
		write(logRule("b"))
		require.Equal(t, loads, e.Stats().Loads, "nothing has changed")
		write("rules: [")
		write("rules: [")
		require.Len(t, heard.list(), 1)
		write("")
		require.Len(t, heard.list(), 2)
		require.ErrorIs(t, heard.list()[1], exprrules.ErrEmpty)
		require.NoError(t, os.Remove(path))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, heard.list(), 3)
		require.ErrorIs(t, heard.list()[2], os.ErrNotExist)
		require.Equal(t, []string{"b"}, e.Rules())
		write(logRule("c"))
		require.Equal(t, []string{"c"}, e.Rules())
		stop()
		stop()
		write(logRule("d"))
		require.Equal(t, []string{"c"}, e.Rules())
		require.NoError(t, s.Close(context.Background()))
	})
}
