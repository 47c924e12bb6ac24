package store_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The model test of nested schemas: random definitions and writes, compared with the
// oracle in nested_oracle_test.go.
//
//	STORE_SEED=123 go test -run TestNestedModel .
//
// runs one seed, which a failure prints.

func TestNestedModel(t *testing.T) {
	if s := os.Getenv("STORE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		newNestedModel(t, rand.NewPCG(seed, 0)).run(400)
		return
	}
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	seed := uint64(time.Now().UnixNano())
	stored, refused := 0, 0
	for i := range uint64(rounds) {
		if !t.Run("", func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("STORE_SEED=%d", seed+i)
				}
			})
			m := newNestedModel(t, rand.NewPCG(seed+i, 0))
			m.run(40)
			stored, refused = stored+m.stored, refused+m.refused
		}) {
			return
		}
	}
	t.Logf("%d writes, %d of them refused", stored+refused, refused)
	require.Greater(t, stored, rounds, "the model no longer writes")
	require.Greater(t, refused, rounds, "the model no longer errs")
}

type nestedModel struct {
	t       *testing.T
	r       nestedSource
	s       *store.Store
	b       *store.Bucket
	def     store.Definition
	rows    map[int64]map[string]any
	order   []int64
	next    int64
	stored  int
	refused int
}

func newNestedModel(t *testing.T, src rand.Source) *nestedModel {
	t.Helper()
	m := &nestedModel{t: t, r: nestedSource{rand.New(src)}, rows: map[int64]map[string]any{}}
	m.s = openStore(t, store.Options{})
	m.def = store.Definition{Key: "id", Extra: m.r.one(4), Schema: store.Schema{"id": {Type: store.Int}}}
	for i := range 1 + m.r.IntN(4) {
		m.def.Schema[fmt.Sprintf("f%d", i)] = m.r.field(5)
	}
	if m.r.one(3) {
		m.def.Validate = func(rec store.Record) error {
			if refusesRecord(rec.Map()) {
				return errors.New("has a number of fields that is refused")
			}
			return nil
		}
	}
	var err error
	m.b, err = m.s.DefineBucket(bg, "b", m.def)
	require.NoError(t, err)
	return m
}

// refusesRecord is what the validator of records refuses.
func refusesRecord(fields map[string]any) bool {
	n := 0
	for name, v := range fields {
		if name[0] == 'f' && v != nil {
			n++
		}
	}
	return n == 2
}

// input makes fields, as the oracle knows them.
func (m *nestedModel) input() map[string]any {
	in := map[string]any{}
	for name, f := range sorted(m.def.Schema) {
		switch n := m.r.IntN(10); {
		case name == "id" || n == 0:
		case n < 7:
			in[name] = m.r.valid(&f)
		case n < 9:
			in[name] = m.r.nearly(&f)
		default:
			in[name] = m.r.any(2)
		}
	}
	if m.r.one(8) {
		in["more"] = m.r.any(2)
	}
	return in
}

// after is what a write makes of a record, nil for a new one, and what is wrong.
func (m *nestedModel) after(old, in map[string]any) (map[string]any, []string) {
	var o nestedOracle
	row := map[string]any{}
	maps.Copy(row, old)
	for name, f := range m.def.Schema {
		v, given := in[name]
		if old != nil && (!given || name == "id" || f.Generated != 0) {
			continue
		}
		if x := o.field(&f, v, name, old == nil); x != nil {
			row[name] = x
		} else {
			delete(row, name)
		}
	}
	for name, v := range in {
		if _, ok := m.def.Schema[name]; ok {
			continue
		}
		x, ok := canonical(v)
		switch {
		case !m.def.Extra:
			o.wrong(name, store.CodeUnknown)
		case !ok:
			o.wrong(name, "type|format|max")
		case x == nil:
			delete(row, name)
		default:
			row[name] = x
		}
	}
	if len(o.broken) == 0 {
		for name, f := range m.def.Schema {
			o.judge(&f, row[name], name)
		}
	}
	if len(o.broken) == 0 && m.def.Validate != nil && refusesRecord(row) {
		o.wrong("", store.CodeValidate)
	}
	return row, o.broken
}

// give is an input as the store gets it; check says whether it was written to.
func (m *nestedModel) give(in map[string]any) (out store.Fields, check func()) {
	out = store.Fields{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		out[name] = m.r.outside(in[name])
	}
	before := fmt.Sprintf("%#v", plainly(out))
	return out, func() {
		m.t.Helper()
		require.Equal(m.t, before, fmt.Sprintf("%#v", plainly(out)), "the caller's value was written to")
		spoil(map[string]any(out))
	}
}

// plainly is a value without the addresses that its text would have.
func plainly(v any) any {
	switch x := v.(type) {
	case store.Fields:
		return plainly(map[string]any(x))
	case map[string]any:
		m := map[string]any{}
		for k, e := range x {
			m[k] = plainly(e)
		}
		return m
	case []any:
		list := []any{}
		for _, e := range x {
			list = append(list, plainly(e))
		}
		return list
	case chan int:
		return "chan"
	case time.Time:
		return x.String()
	case string, []byte, int, int8, int64, float64, uint64, bool, nil:
		return v
	}
	return fmt.Sprintf("%T", v)
}

func (m *nestedModel) run(steps int) {
	for range steps {
		m.step(m.b)
		if m.r.one(8) {
			m.transaction()
		}
		m.check(m.b)
	}
}

func (m *nestedModel) step(b *store.Bucket) {
	switch n := m.r.IntN(10); {
	case n < 4 || len(m.order) == 0:
		m.insert(b)
	case n < 6:
		m.insertMany(b)
	case n < 8:
		m.update(b)
	case n == 8:
		m.updateMany(b)
	default:
		m.upsert(b)
	}
}

func (m *nestedModel) settle(want []string, err error) bool {
	m.t.Helper()
	sameIssues(m.t, want, err)
	if err != nil {
		m.refused++
		return false
	}
	m.stored++
	return true
}

// keep takes over what was stored, which has what was generated.
func (m *nestedModel) keep(key int64, want map[string]any, r store.Record) {
	m.t.Helper()
	got := r.Map()
	for name := range got {
		if name[0] == '_' {
			delete(got, name)
		}
	}
	sameStored(m.t, want, got, "record")
	if m.rows[key] == nil {
		m.order = append(m.order, key)
	}
	m.rows[key] = got
	spoil(r.Map())
}

func (m *nestedModel) insert(b *store.Bucket) {
	in := m.input()
	m.next++
	in["id"] = m.next
	want, wrong := m.after(nil, in)
	out, check := m.give(in)
	r, err := b.Insert(bg, out)
	check()
	if m.settle(wrong, err) {
		m.keep(m.next, want, r)
	}
}

func (m *nestedModel) insertMany(b *store.Bucket) {
	var ins []store.Fields
	var wants []map[string]any
	var wrong []string
	first := m.next
	for i := range 1 + m.r.IntN(3) {
		in := m.input()
		m.next++
		in["id"] = m.next
		want, bad := m.after(nil, in)
		for _, is := range bad {
			if is[0] == ' ' { // of the record
				wrong = append(wrong, fmt.Sprintf("[%d]%s", i, is))
			} else {
				wrong = append(wrong, fmt.Sprintf("[%d].%s", i, is))
			}
		}
		out, _ := m.give(in)
		ins, wants = append(ins, out), append(wants, want)
	}
	rs, err := b.InsertMany(bg, ins)
	if m.settle(wrong, err) {
		for i, r := range rs {
			m.keep(first+int64(i)+1, wants[i], r)
		}
	}
}

func (m *nestedModel) update(b *store.Bucket) {
	key, in := m.order[m.r.IntN(len(m.order))], m.input()
	want, wrong := m.after(m.rows[key], in)
	out, check := m.give(in)
	r, err := b.Update(bg, key, out)
	check()
	if m.settle(wrong, err) {
		m.keep(key, want, r)
	}
}

func (m *nestedModel) upsert(b *store.Bucket) {
	in := m.input()
	key := m.next + 1
	if m.r.one(2) {
		key = m.order[m.r.IntN(len(m.order))]
	} else {
		m.next++
	}
	in["id"] = key
	want, wrong := m.after(m.rows[key], in)
	out, check := m.give(in)
	r, err := b.Upsert(bg, out)
	check()
	if m.settle(wrong, err) {
		m.keep(key, want, r)
	}
}

func (m *nestedModel) updateMany(b *store.Bucket) {
	in, from := m.input(), m.order[m.r.IntN(len(m.order))]
	wants := map[int64]map[string]any{}
	var wrong []string
	for _, key := range m.order {
		if key < from || len(wrong) > 0 {
			continue
		}
		wants[key], wrong = m.after(m.rows[key], in)
	}
	out, check := m.give(in)
	n, err := b.UpdateMany(bg, out, store.Gte("id", from))
	check()
	if m.settle(wrong, err) {
		require.Equal(m.t, len(wants), n)
		for key, want := range wants {
			r, _ := b.Get(key)
			m.keep(key, want, r)
		}
	}
}

// transaction runs some steps in one, which may be taken back.
func (m *nestedModel) transaction() {
	rows, order, back := maps.Clone(m.rows), slices.Clone(m.order), errors.New("back")
	err := m.s.Transaction(bg, func(tx *store.Tx) error {
		b := m.b.In(tx)
		for range 1 + m.r.IntN(4) {
			m.step(b)
		}
		m.check(b)
		if m.r.one(3) {
			return back
		}
		return nil
	})
	if err != nil {
		require.ErrorIs(m.t, err, back)
		m.rows, m.order = rows, order
	}
}

func (m *nestedModel) check(b *store.Bucket) {
	m.t.Helper()
	all, err := b.Where().All()
	require.NoError(m.t, err)
	require.Len(m.t, all, len(m.order))
	for i, r := range all {
		row := m.rows[m.order[i]]
		require.Equal(m.t, m.order[i], r.Get("id"))
		for name := range m.def.Schema {
			v := r.Get(name)
			sameStored(m.t, row[name], v, name)
			spoil(v)
		}
	}
}
