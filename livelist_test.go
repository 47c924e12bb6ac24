package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// listed is what a live list has brought so far, replayed.
type listed[R any] struct {
	l     *store.LiveList[R]
	list  []R
	last  store.Delta[R]
	began bool
}

func openList[R any](t *testing.T, q *store.Query[R]) *listed[R] {
	t.Helper()
	l, err := q.Live(bg)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return &listed[R]{l: l}
}

// next replays the next delta, which must be there.
func (l *listed[R]) next(t *testing.T) store.Delta[R] {
	t.Helper()
	done, cancel := context.WithCancel(bg)
	cancel()
	d, err := l.l.Next(done)
	require.NoError(t, err)
	require.True(t, d.Seq > l.last.Seq || !l.began && d.Reset, "%d after %d", d.Seq, l.last.Seq)
	l.list, l.last, l.began = d.Apply(l.list), d, true
	return d
}

// quiet fails if there is a delta that was not delivered.
func (l *listed[R]) quiet(t *testing.T, st *store.Store) {
	t.Helper()
	settleLive(t, st)
	done, cancel := context.WithCancel(bg)
	cancel()
	d, err := l.l.Next(done)
	require.ErrorIs(t, err, context.Canceled, "%+v", d)
}

func foeIDs(list []foe) (ids []string) {
	for _, f := range list {
		ids = append(ids, f.ID)
	}
	return ids
}

func TestListDeltas(t *testing.T) {
	st, foes := openFoes(t, store.Options{})
	for i := range 5 {
		putFoe(t, foes, fmt.Sprint(i), 10*i)
	}
	top := openList(t, foes.Where(store.Eq("kind", "k")).OrderBy(store.Desc("n")).Limit(3))
	d := top.next(t)
	require.True(t, d.Reset)
	require.Equal(t, []string{"4", "3", "2"}, foeIDs(top.list))
	top.quiet(t, st)

	putFoe(t, foes, "0", 5) // behind the window
	putFoe(t, foes, "1", 11)
	top.quiet(t, st)

	putFoe(t, foes, "3", 35)
	settleLive(t, st)
	d = top.next(t)
	require.Equal(t, store.Delta[foe]{Seq: d.Seq, Updated: []store.Placed[foe]{{Index: 1, Record: foe{"3", "k", 35}}}}, d)

	putFoe(t, foes, "2", 50)
	settleLive(t, st)
	d = top.next(t)
	require.Equal(t, store.Delta[foe]{Seq: d.Seq, Moved: []store.Move[foe]{{From: 2, To: 0, Record: foe{"2", "k", 50}}}}, d)

	putFoe(t, foes, "9", 45)
	settleLive(t, st)
	d = top.next(t)
	require.Equal(t, store.Delta[foe]{
		Seq: d.Seq, Added: []store.Placed[foe]{{Index: 1, Record: foe{"9", "k", 45}}},
		Removed: []store.Placed[foe]{{Index: 2, Record: foe{"3", "k", 35}}},
	}, d)
	require.Equal(t, []string{"2", "9", "4"}, foeIDs(top.list))

	require.NoError(t, foes.Delete(bg, "2"))
	require.NoError(t, foes.Delete(bg, "9"))
	settleLive(t, st)
	d = top.next(t)
	require.Len(t, d.Removed, 2)
	require.Len(t, d.Added, 2)
	require.Equal(t, []string{"4", "3", "1"}, foeIDs(top.list))
	all, seq := top.l.All()
	require.Equal(t, all, top.list)
	require.Equal(t, d.Seq, seq)
	top.quiet(t, st)
}
