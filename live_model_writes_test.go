package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// What the live model writes.

type liveWrite struct {
	text string
	run  func(ctx context.Context) error
}

func (m *liveModel) anyWrite() liveWrite {
	switch {
	case m.chance(4):
		return m.transaction()
	case m.chance(15):
		return liveWrite{"expiry", func(ctx context.Context) error { _, err := m.s.PurgeTTL(ctx); return err }}
	case m.chance(12) && m.s.HasBucket("spare"):
		return liveWrite{"spare: insert", func(ctx context.Context) error {
			h, err := m.s.Bucket("spare")
			if err == nil {
				_, err = h.Insert(ctx, store.Fields{"id": m.clock.Load()})
			}
			return err
		}}
	}
	return m.write(one(m.r, m.bs...))
}

func (m *liveModel) write(b *liveBucket) liveWrite {
	text, run := m.writeOf(b)
	return liveWrite{b.b.Name() + ": " + text, func(ctx context.Context) error { return run(ctx, b.b) }}
}

// transaction writes to several buckets at once, and may read.
func (m *liveModel) transaction() liveWrite {
	type part struct {
		b   *liveBucket
		run func(ctx context.Context, h *store.Bucket) error
	}
	var parts []part
	var text strings.Builder
	text.WriteString("transaction")
	for range 1 + m.r.IntN(5) {
		b := one(m.r, m.bs...)
		what, run := m.writeOf(b)
		text.WriteString("; " + b.b.Name() + ": " + what)
		parts = append(parts, part{b, run})
	}
	asked := -1
	if m.chance(3) {
		asked = m.r.IntN(len(m.cases))
	}
	return liveWrite{text.String(), func(ctx context.Context) error {
		return m.s.Transaction(ctx, func(tx *store.Tx) error {
			for _, p := range parts {
				if err := p.run(ctx, p.b.b.In(tx)); err != nil {
					var pe *store.PanicError
					if errors.As(err, &pe) {
						return err
					}
				}
			}
			if asked >= 0 {
				_, _ = m.query.RunIn(tx, liveCase{asked})
			}
			return nil
		})
	}}
}

// writeOf makes a random write of a bucket, to be made through some handle.
func (m *liveModel) writeOf(b *liveBucket) (string, func(ctx context.Context, h *store.Bucket) error) {
	key := one(m.r, b.keys...)
	switch m.r.IntN(21) {
	case 20:
		at := time.UnixMilli(m.clock.Load() + int64(m.r.IntN(60)))
		return fmt.Sprintf("expire %#v", key), func(ctx context.Context, h *store.Bucket) error {
			if at.UnixMilli()%4 == 0 {
				_, err := h.Touch(ctx, key)
				return err
			}
			_, err := h.ExpireAt(ctx, key, at)
			return err
		}
	case 0, 1, 2, 3:
		in := b.fresh(key)
		return fmt.Sprintf("insert %v", in), func(ctx context.Context, h *store.Bucket) error { _, err := h.Insert(ctx, in); return err }
	case 4, 5:
		in := b.fresh(key)
		return fmt.Sprintf("upsert %v", in), func(ctx context.Context, h *store.Bucket) error { _, err := h.Upsert(ctx, in); return err }
	case 6:
		var list []store.Fields
		for range 1 + m.r.IntN(12) {
			list = append(list, b.fresh(one(m.r, b.keys...)))
		}
		if m.chance(3) && len(b.keys) > 100 {
			for _, k := range b.keys[len(b.keys)-100-m.r.IntN(100):] {
				list = append(list, b.fresh(k))
			}
		}
		seen := map[any]bool{}
		list = slices.DeleteFunc(list, func(in store.Fields) bool {
			_, there := b.b.Get(in["id"])
			again := seen[in["id"]]
			seen[in["id"]] = true
			return there || again
		})
		return fmt.Sprintf("insert %d: %v", len(list), list[:min(len(list), 4)]), func(ctx context.Context, h *store.Bucket) error { _, err := h.InsertMany(ctx, list); return err }
	case 7, 8, 9, 10, 11, 12:
		in := b.some(false)
		if st := b.rowsNow(); len(st) > 0 {
			row := one(m.r, st...)
			if key = row.key; m.chance(8) { // nothing changes
				in = store.Fields{"i": row.vals["i"], "s": row.vals["s"]}
			}
		}
		return fmt.Sprintf("update %#v: %v", key, in), func(ctx context.Context, h *store.Bucket) error { _, err := h.Update(ctx, key, in); return err }
	case 13, 14, 15:
		return fmt.Sprintf("delete %#v", key), func(ctx context.Context, h *store.Bucket) error { return h.Delete(ctx, key) }
	case 16, 17:
		filters, in := b.filters(), b.some(true)
		return fmt.Sprintf("update where %v: %v", filters, in), func(ctx context.Context, h *store.Bucket) error {
			_, err := h.UpdateMany(ctx, in, filters...)
			return err
		}
	case 18:
		filters := b.filters()
		return fmt.Sprintf("delete where %v", filters), func(ctx context.Context, h *store.Bucket) error { _, err := h.DeleteMany(ctx, filters...); return err }
	}
	if m.chance(3) {
		return "clear", func(ctx context.Context, h *store.Bucket) error { return h.Clear(ctx) }
	}
	in := b.fresh(key)
	return fmt.Sprintf("delete and insert %v", in), func(ctx context.Context, h *store.Bucket) error {
		if err := h.Delete(ctx, key); err != nil {
			return err
		}
		_, err := h.Insert(ctx, in)
		return err
	}
}

func (b *liveBucket) fresh(key any) store.Fields {
	vals := values{"id": key}
	for _, name := range slices.Sorted(maps.Keys(b.def.Schema)) {
		if name != "id" {
			vals[name] = b.value(name)
		}
	}
	b.extra(vals)
	maps.DeleteFunc(vals, func(_ string, v any) bool { return v == nil })
	return store.Fields(vals)
}

func (b *liveBucket) some(many bool) store.Fields {
	in, every := store.Fields{}, one(b.r, 2, 5, 9)
	for _, name := range slices.Sorted(maps.Keys(b.def.Schema)) {
		if name != "id" && b.chance(every) && (!many || name != "u") {
			in[name] = b.value(name)
		}
	}
	if b.def.Extra && b.chance(3) {
		in["zz"] = b.qmodel.any(store.Any)
	}
	return in
}

// spare defines and drops a bucket that functions look up by its name.
func (m *liveModel) spare(define bool) {
	if define {
		_, err := m.s.DefineBucket(m.ctx, "spare", store.Definition{Key: "id", Schema: store.Schema{"id": {Type: store.Int}}})
		require.NoError(m.t, err)
		return
	}
	require.NoError(m.t, m.s.DropBucket(m.ctx, "spare"))
}
