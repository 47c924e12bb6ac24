package sqlite

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/internal/logentry"
)

// generator makes entries that fit the state before them, and keeps that state.
type generator struct {
	t     testing.TB
	r     *rand.Rand
	s     *state
	place uint64
	ids   uint64
}

func (g *generator) live() (ids []uint64) {
	for id, b := range g.s.buckets {
		if !b.dropped {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// next makes an entry.
func (g *generator) next() []byte {
	e := logentry.Entry{Format: logentry.Format, Seq: g.s.seq + uint64(g.r.IntN(2))}
	live := g.live()
	switch n := g.r.IntN(20); {
	case len(live) == 0 || n == 0 && len(live) < 4:
		g.ids++
		e.Buckets = append(e.Buckets, defineBucket(g.t, g.ids, "bucket "+randomText(g.r), 1, false))
	case n == 1:
		id := live[g.r.IntN(len(live))]
		b := g.s.buckets[id]
		e.Buckets = append(e.Buckets, defineBucket(g.t, id, b.name, b.version+1, g.r.IntN(3) == 0))
	default:
		for _, id := range live {
			if g.r.IntN(2) == 0 {
				e.Blocks = append(e.Blocks, g.block(id))
			}
		}
	}
	require.NoError(g.t, g.s.apply(&e))
	g.s.seq = e.Seq
	g.s.position++
	return encode(g.t, e)
}

func (g *generator) block(id uint64) logentry.Block {
	b := g.s.buckets[id]
	var rows []row
	var deleted []any
	used := map[any]bool{}
	for range g.r.IntN(6) {
		var key any = fmt.Sprint(g.r.IntN(40))
		if g.r.IntN(2) == 0 {
			key = int64(g.r.IntN(40))
		}
		if used[key] {
			continue
		}
		used[key] = true
		old, ok := b.rows[key]
		if ok && g.r.IntN(3) == 0 {
			deleted = append(deleted, key)
			continue
		}
		x := row{fields: map[string]any{"id": key}, definition: b.version, version: old.version + 1, place: old.place, created: g.r.Int64N(1e12), updated: g.r.Int64N(1e12)}
		if !ok || g.r.IntN(8) == 0 { // deleted and inserted again, in one commit
			g.place++
			x.place, x.version = g.place, 1+uint64(g.r.IntN(2))
		}
		for _, name := range []string{"a", "b", "name", "data", "quite a long name of a field"} {
			if g.r.IntN(3) > 0 {
				x.fields[name] = randomValue(g.r, 2)
			}
		}
		if g.r.IntN(4) == 0 {
			x.expires = g.r.Int64N(1e12)
		}
		if g.r.IntN(4) == 0 {
			x.extra = map[string]any{"extra": randomValue(g.r, 2), "more": randomValue(g.r, 1)}
		}
		rows = append(rows, x)
	}
	marks := map[string]int64{}
	if g.r.IntN(3) == 0 {
		marks["n"] = g.r.Int64N(1000)
	}
	return newBlock(g.t, id, b.version, rows, deleted, marks)
}

// parts makes the parts of a snapshot of the state.
func (g *generator) parts() (parts [][]byte) {
	e := logentry.Entry{Seq: g.s.seq}
	for _, id := range g.live() {
		e.Buckets = append(e.Buckets, defineBucket(g.t, id, g.s.buckets[id].name, g.s.buckets[id].version, false))
	}
	parts = append(parts, encode(g.t, e))
	for _, id := range g.live() {
		b := g.s.buckets[id]
		byVersion := map[uint64][]row{}
		for _, x := range b.rows {
			byVersion[x.definition] = append(byVersion[x.definition], x)
		}
		for version, rows := range byVersion {
			parts = append(parts, encode(g.t, logentry.Entry{Seq: g.s.seq, Blocks: []logentry.Block{newBlock(g.t, id, version, rows, nil, b.marks)}}))
		}
		if len(b.rows) == 0 {
			parts = append(parts, encode(g.t, logentry.Entry{Seq: g.s.seq, Blocks: []logentry.Block{newBlock(g.t, id, b.version, nil, nil, b.marks)}}))
		}
	}
	return parts
}

// TestModel compares the log with a map, through appends, snapshots, failures and
// reopenings.
func TestModel(t *testing.T) {
	r := seeded(t)
	path := filepath.Join(t.TempDir(), "store.db")
	var opts []Option
	if r.IntN(2) == 0 {
		opts = append(opts, Relaxed())
	}
	l := openPath(t, path, opts...)
	g := &generator{t: t, r: r, s: newState()}
	for range steps(t, 250) {
		switch r.IntN(24) {
		case 0:
			requireState(t, g.s, l)
			require.NoError(t, l.Close())
			require.NoFileExists(t, path+"-wal")
			l = openPath(t, path, opts...)
			require.True(t, l.Info().Recovery.Clean)
			requireState(t, g.s, l)
		case 1:
			requireState(t, g.s, l)
		case 2:
			require.ErrorIs(t, l.Append(ctx, g.s.position+1, [][]byte{g.clone().next()}), store.ErrLogConflict)
		case 3:
			require.NoError(t, l.Sync(ctx))
		case 4:
			at := g.s.position + store.Position(r.IntN(3))
			if at == 0 {
				continue
			}
			parts, before := g.parts(), g.s.clone()
			fail := r.IntN(3) == 0
			var appended bool
			err := l.Snapshot(ctx, at, func(put func([]byte) error) error {
				for _, p := range parts {
					if err := put(slices.Clone(p)); err != nil {
						return err
					}
				}
				if at == g.s.position && r.IntN(2) == 0 { // meanwhile
					after := g.s.position
					require.NoError(t, l.Append(ctx, after, [][]byte{g.next()}))
					appended = true
				}
				if fail {
					return errValue
				}
				return nil
			})
			if fail {
				require.ErrorIs(t, err, errValue)
				continue
			}
			require.NoError(t, err)
			for id, b := range before.buckets { // the parts have no dropped ones
				if b.dropped {
					delete(g.s.buckets, id)
				}
			}
			if !appended {
				g.s.position = at
			}
		default:
			after := g.s.position
			var entries [][]byte
			for range 1 + r.IntN(5) {
				entries = append(entries, g.next())
			}
			require.NoError(t, l.Append(ctx, after, entries))
			require.Equal(t, g.s.position, l.Info().Last)
		}
	}
	requireState(t, g.s, l)
	require.NoError(t, l.Close())
	requireJSON(t, path)
}

func (g *generator) clone() *generator {
	c := *g
	c.s = g.s.clone()
	return &c
}

// requireJSON asks SQLite whether the texts for people are JSON.
func requireJSON(t testing.TB, path string) {
	t.Helper()
	db := plain(t, path)
	var n int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM records WHERE NOT json_valid(json)`).Scan(&n))
	require.Zero(t, n)
	require.NoError(t, db.Close())
}
