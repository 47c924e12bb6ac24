package store_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The buckets of the live model.

// liveBucket is a bucket with the generator of the query model: few keys, few
// values, so that writes hit what is read.
type liveBucket struct {
	*qmodel
	keys  []any
	where func(r store.Reader) liveTyped
}

// liveTyped is the typed handle, read as the dynamic one.
type liveTyped interface {
	ask(q *qspec, a liveAsk) (any, error)
	get(key any) any
	whole(kind string, n int, filters []store.Filter) (any, error)
}

func newLiveBucket(m *liveModel, i int) *liveBucket {
	q := &qmodel{t: m.t, r: m.r, ctx: m.ctx, s: m.s, pools: map[string][]any{}}
	b := &liveBucket{qmodel: q}
	name := fmt.Sprint("b", i)
	q.textKeys = m.chance(2)
	d := store.Definition{Key: "id", Ordered: m.chance(3), Extra: m.chance(2), Schema: store.Schema{"id": {Type: store.Int}}}
	if q.textKeys {
		d.Schema["id"] = store.Field{Type: store.String}
	}
	if m.chance(4) {
		d.TTL = time.Duration(5+m.r.IntN(60)) * time.Millisecond
	}
	if m.chance(4) {
		d.MaxSize, d.Evict = 3+m.r.IntN(30), one(m.r, evictions...)
	}
	if m.chance(6) {
		d.MaxBytes, d.Evict = int64(4000+m.r.IntN(20_000)), one(m.r, evictions...)
	}
	native := m.chance(3)
	for name, typ := range modelTypes {
		d.Schema[name] = store.Field{Type: typ, Required: false}
	}
	for _, name := range modelFields { // in an order of its own: a seed is the same run again
		f := d.Schema[name]
		f.Required = m.chance(5) && name != "u"
		d.Schema[name] = f
	}
	if native {
		d.Schema["n"] = store.Field{Type: store.Any}
	} else {
		d.Schema["s2"], d.Schema["i2"], d.Schema["o.p"] = store.Field{Type: store.String}, store.Field{Type: store.Int}, store.Field{Type: store.String}
	}
	q.index(&d)
	q.def = d
	if q.textKeys {
		liveDefine[string](m, b, name, native)
	} else {
		liveDefine[int64](m, b, name, native)
	}
	for range 12 + m.r.IntN(40) {
		key := any(int64(m.r.IntN(90) - 20))
		if q.textKeys {
			key = one(m.r, one(m.r, qpool[store.String]...), any("k"+strconv.Itoa(m.r.IntN(40))))
		}
		if !slices.Contains(b.keys, key) {
			b.keys = append(b.keys, key)
		}
	}
	if m.chance(6) {
		for k := range 400 {
			key := any(int64(1000 + k))
			if q.textKeys {
				key = fmt.Sprint("m", k)
			}
			b.keys = append(b.keys, key)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.def.Schema)) {
		for range 1 + m.r.IntN(7) {
			q.pools[name] = append(q.pools[name], q.any(q.def.Schema[name].Type))
		}
		if name == "i" && !q.textKeys || name == "s" && q.textKeys {
			q.pools[name] = append(q.pools[name], b.keys[:min(len(b.keys), 8)]...)
		}
	}
	return b
}

func liveDefine[K string | int64](m *liveModel, b *liveBucket, name string, native bool) {
	var typed *store.TypedBucket[doc[K]]
	var err error
	if native {
		typed, err = store.Define[doc[K]](m.ctx, m.s, name, func(d *store.Definition) {
			d.Ordered, d.Extra, d.Indexes, d.TTL = b.def.Ordered, b.def.Extra, b.def.Indexes, b.def.TTL
			d.MaxSize, d.MaxBytes, d.Evict = b.def.MaxSize, b.def.MaxBytes, b.def.Evict
			for name, f := range d.Schema {
				f.Required, f.Unique = b.def.Schema[name].Required, b.def.Schema[name].Unique
				d.Schema[name] = f
			}
		})
		require.NoError(m.t, err)
		b.b, err = m.s.Bucket(name)
	} else {
		b.b, err = m.s.DefineBucket(m.ctx, name, b.def)
		require.NoError(m.t, err)
		typed, err = store.Typed[doc[K]](m.s, name)
	}
	require.NoError(m.t, err)
	b.where = func(r store.Reader) liveTyped { return liveDocs[K]{typed.In(r)} }
}

type liveDocs[K string | int64] struct{ h *store.TypedBucket[doc[K]] }

func (d liveDocs[K]) ask(q *qspec, a liveAsk) (any, error) { return askLive(qbuild(d.h.Where(), q), a) }

func (d liveDocs[K]) get(key any) any {
	v, ok := d.h.Get(key)
	return []any{v, ok}
}

func (d liveDocs[K]) whole(kind string, n int, filters []store.Filter) (any, error) {
	return wholeLive[doc[K]](d.h, kind, n, filters)
}

// rowsNow is what the bucket has, to take operands from.
func (b *liveBucket) rowsNow() qstate {
	var out qstate
	for rec := range b.b.All() {
		vals := values{}
		for k, v := range rec.Map() {
			if !strings.HasPrefix(k, "_") {
				vals[k] = v
			}
		}
		out = append(out, &qrow{key: rec.Key().Value(), vals: vals, version: int64(rec.Version())})
	}
	return out
}

// good is a random query that is no error.
func (b *liveBucket) good() *qspec {
	st := b.rowsNow()
	for {
		q := b.qmodel.query(st)
		if !b.badQuery(q) {
			return q
		}
	}
}

func (b *liveBucket) filters() []store.Filter {
	var out []store.Filter
	for _, f := range b.good().filters {
		out = append(out, f.filter())
	}
	return out
}

func (b *liveBucket) fieldOf(types ...store.Type) string {
	for range 40 {
		name := b.field()
		if typ, _, _, ok := b.find(name); ok && (types == nil || slices.Contains(types, typ)) {
			return name
		}
	}
	return "i"
}
