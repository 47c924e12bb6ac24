package store_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

// The model test runs random operations over random definitions and compares
// everything that can be seen with an oracle: a map and the order of insertion.
//
//	STORE_SEED=123 STORE_STEPS=2000 go test -run TestModel .
//
// reproduces a failure: the seed is printed with it.

// doc is the typed view of every bucket of the model test. All fields may be
// absent, so that it shows exactly what a dynamic handle shows.
type doc[K string | int64] struct {
	ID K              `store:"id,key"`
	S  *string        `store:"s"`
	U  *string        `store:"u"`
	I  *int64         `store:"i"`
	F  *float64       `store:"f"`
	N  any            `store:"n"`
	B  *bool          `store:"b"`
	D  *time.Time     `store:"d"`
	Y  []byte         `store:"y"`
	O  map[string]any `store:"o"`
	A  []any          `store:"a"`
	X  any            `store:"x"`
	store.Meta
}

// plain is a second typed view, of another layout and without pointers: in it
// absent and zero look the same.
type plain[K string | int64] struct {
	S  string    `store:"s"`
	I  int64     `store:"i"`
	F  float64   `store:"f"`
	B  bool      `store:"b"`
	D  time.Time `store:"d"`
	ID K         `store:"id,key"`
	store.Meta
}

var (
	modelFields  = []string{"a", "b", "d", "f", "i", "n", "o", "s", "u", "x", "y"}
	modelScalars = []string{"b", "d", "f", "i", "n", "s", "u", "y"}
	plainFields  = []string{"b", "d", "f", "i", "s"}
	modelTypes   = map[string]store.Type{
		"s": store.String, "u": store.String, "i": store.Int, "f": store.Float, "n": store.Number, "b": store.Bool,
		"d": store.Date, "y": store.Bytes, "o": store.Object, "a": store.Array, "x": store.Any,
	}
)

type values map[string]any // canonical, present fields only, the key included

// row is a record as the oracle keeps it; it is never changed.
type row struct {
	vals    values
	version store.Version
	created store.Millis
	updated store.Millis
	expires store.Millis
}

func (r *row) meta() store.Meta {
	return store.Meta{Version: r.version, CreatedAt: r.created, UpdatedAt: r.updated, ExpiresAt: r.expires}
}

// state is what a snapshot shows.
type state struct {
	rows  map[any]*row
	order []any // keys, by insertion
}

func (s *state) clone() *state { return &state{maps.Clone(s.rows), slices.Clone(s.order)} }

// netChange is an event as the oracle expects it.
type netChange struct {
	typ      store.EventType
	key      any
	old, new *row
}

// identity is equal for values that the library must take for equal.
func identity(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case string:
		return "s" + strconv.Quote(v)
	case bool:
		return fmt.Sprint("b", v)
	case int64:
		return "n" + strconv.FormatInt(v, 10)
	case float64:
		if v == math.Trunc(v) && v >= -(1<<63) && v < 1<<63 {
			return "n" + strconv.FormatInt(int64(v), 10)
		}
		return "n" + strconv.FormatFloat(v, 'b', -1, 64)
	case time.Time:
		return fmt.Sprint("d", v.Unix(), ".", v.Nanosecond())
	case []byte:
		return "y" + strconv.Quote(string(v))
	case []any:
		var out strings.Builder
		out.WriteString("[")
		for _, e := range v {
			out.WriteString(identity(e) + ",")
		}
		return out.String() + "]"
	case map[string]any:
		var out strings.Builder
		out.WriteString("{")
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out.WriteString(strconv.Quote(k) + identity(v[k]) + ",")
		}
		return out.String() + "}"
	}
	panic(fmt.Sprintf("identity of %T", v))
}

// outcome is what the oracle expects of an operation. At most one of the errors
// is set.
type outcome struct {
	invalid  map[string]store.Code // a *ValidationError with just these fields; "" is any code
	unique   []string              // a *UniqueError with one of these fields
	notFound bool
	is       error // errors.Is
	panics   bool  // a *PanicError
	query    bool  // a *QueryError
}

func (o *outcome) ok() bool {
	return len(o.invalid) == 0 && len(o.unique) == 0 && !o.notFound && o.is == nil && !o.panics && !o.query
}

// harness runs one bucket beside its oracle.
type harness[K string | int64] struct {
	t     *testing.T
	r     *rand.Rand
	ctx   context.Context
	s     *store.Store
	def   store.Definition
	dyn   *store.Bucket
	typed *store.TypedBucket[doc[K]]
	plain *store.TypedBucket[plain[K]] // nil where it does not fit

	now    time.Time
	cur    *state
	seq    store.Seq
	events map[store.Seq][]netChange
	auto   int64 // the largest number that was ever given out
	trace  []string

	mu  sync.Mutex
	got []store.Event

	held []heldSnapshot
	bulk int
}

type heldSnapshot struct {
	snap *store.Snapshot
	want *state
	seq  store.Seq
}

func modelSeeds(t *testing.T, n int) []uint64 {
	if s := os.Getenv("STORE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		return []uint64{seed}
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = rand.Uint64() >> 16
	}
	return seeds
}

func modelSteps(t *testing.T, n int) int {
	if s := os.Getenv("STORE_STEPS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	return n
}

func TestModel(t *testing.T) {
	steps := modelSteps(t, 250)
	for _, seed := range modelSeeds(t, 5) {
		t.Run(fmt.Sprintf("STORE_SEED=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			if r.IntN(2) == 0 {
				runModel[string](t, r, steps)
			} else {
				runModel[int64](t, r, steps)
			}
		})
	}
}

func runModel[K string | int64](t *testing.T, r *rand.Rand, steps int) {
	h := &harness[K]{
		t: t, r: r, ctx: context.Background(), now: time.UnixMilli(1_700_000_000_000),
		cur: &state{rows: map[any]*row{}}, events: map[store.Seq][]netChange{},
	}
	defer func() {
		if t.Failed() {
			t.Logf("definition: %+v", h.def)
			from := max(len(h.trace)-25, 0)
			for i, line := range h.trace[from:] {
				t.Logf("%4d %s", from+i, line)
			}
		}
	}()
	h.open()
	for range steps {
		h.step()
		require.Equal(t, h.seq, h.s.Stats().Commits)
		switch h.r.IntN(12) {
		case 0:
			h.compareAll()
		case 1:
			h.snapshot()
		case 2, 3:
			h.compare(h.dyn, h.typed, h.plain, h.cur)
		}
	}
	h.compareAll()
	for len(h.held) > 0 {
		h.release(0)
	}
	require.NoError(t, h.s.Close(h.ctx))
}

func (h *harness[K]) open() {
	t := h.t
	s, err := store.Open(h.ctx, store.Options{TTLInterval: -1, Clock: func() time.Time { return h.now }})
	require.NoError(t, err)
	h.s = s
	_, err = s.On("bucket.*.*", func(e store.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, e)
	})
	require.NoError(t, err)
	if h.r.IntN(2) == 0 {
		h.typed, err = store.Define[doc[K]](h.ctx, s, "docs", func(d *store.Definition) { h.define(d, true) })
		require.NoError(t, err)
		h.dyn, err = s.Bucket("docs")
		require.NoError(t, err)
	} else {
		d := store.Definition{Key: "id", Schema: store.Schema{"id": {Type: h.keyType()}}}
		for name, typ := range modelTypes {
			d.Schema[name] = store.Field{Type: typ}
		}
		h.define(&d, false)
		h.dyn, err = s.DefineBucket(h.ctx, "docs", d)
		require.NoError(t, err)
		h.typed, err = store.Typed[doc[K]](s, "docs")
		require.NoError(t, err)
	}
	h.def, err = s.Definition("docs")
	require.NoError(t, err)
	fits := true
	for name, f := range h.def.Schema {
		fits = fits && (!f.Required || f.Default != nil || name == "id" || slices.Contains(plainFields, name))
	}
	h.plain, err = store.Typed[plain[K]](s, "docs")
	if fits {
		require.NoError(t, err)
	} else {
		var de *store.DefinitionError
		require.ErrorAs(t, err, &de)
	}
}

func (h *harness[K]) keyType() store.Type {
	if h.textKeys() {
		return store.String
	}
	return store.Int
}

func (h *harness[K]) textKeys() bool {
	var k K
	_, ok := any(k).(string)
	return ok
}

func (h *harness[K]) chance(n int) bool { return h.r.IntN(n) == 0 }

// define makes a random definition of the fields that are there.
func (h *harness[K]) define(d *store.Definition, native bool) {
	set := func(name string, change func(*store.Field)) {
		f := d.Schema[name]
		change(&f)
		d.Schema[name] = f
	}
	indexable := slices.Clone(modelScalars)
	if native { // N is an any there
		indexable = slices.DeleteFunc(indexable, func(s string) bool { return s == "n" })
	}
	for name, odds := range map[string]int{"u": 1, "n": 3, "d": 4, "y": 4, "i": 6, "f": 6, "b": 12} {
		if h.chance(odds) && slices.Contains(indexable, name) {
			set(name, func(f *store.Field) { f.Unique = true })
		}
	}
	for _, name := range modelFields {
		if h.chance(12) {
			set(name, func(f *store.Field) { f.Required = true })
		}
	}
	if h.chance(3) {
		set("s", func(f *store.Field) { f.Enum = []any{"a", "b", "c", ""} })
	}
	if h.chance(3) {
		set("i", func(f *store.Field) { f.Min, f.Max = store.Bound(-2), store.Bound(1<<54) })
	}
	if h.chance(4) {
		set("s", func(f *store.Field) { f.Default = "a" })
	}
	if h.chance(4) {
		set("f", func(f *store.Field) { f.Default = func() any { return 2.5 } })
	}
	if h.chance(4) {
		set("o", func(f *store.Field) { f.Default = map[string]any{"k": []any{int64(1)}} })
	}
	if h.chance(2) {
		set("id", func(f *store.Field) {
			f.Generated = store.Autoincrement
			if h.textKeys() {
				f.Generated = store.UUID
			}
		})
	}
	d.Ordered = h.chance(3)
	d.Extra = h.chance(3)
	if h.chance(2) {
		d.TTL = time.Duration(1+h.r.IntN(60)) * time.Second
	}
	indexable = append(indexable, "id")
	seen := map[string]bool{}
	for range h.r.IntN(6) {
		var ix store.Index
		for _, at := range h.r.Perm(len(indexable))[:1+h.r.IntN(3)] {
			ix = append(ix, indexable[at])
		}
		if id := fmt.Sprint(ix); !seen[id] {
			seen[id] = true
			d.Indexes = append(d.Indexes, ix)
		}
	}
}

// ---- random values

func one[E any](r *rand.Rand, list ...E) E { return list[r.IntN(len(list))] }

var modelDays = []time.Time{
	time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
	time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(9999, 12, 31, 0, 0, 0, 1, time.UTC),
}

// key is a random key of the pool.
func (h *harness[K]) key() K {
	n := int64(h.r.IntN(40))
	if h.textKeys() {
		return any(one(h.r, "", "k", "k\x00", "ž") + strconv.FormatInt(n, 10)).(K)
	}
	return any(n - 8).(K)
}

// nonZeroKey is a key that is not zero.
func (h *harness[K]) nonZeroKey() any {
	if h.textKeys() {
		return "key"
	}
	return int64(-9)
}

// anyKey is one that may well exist.
func (h *harness[K]) anyKey() K {
	if len(h.cur.order) > 0 && h.r.IntN(4) > 0 {
		return one(h.r, h.cur.order...).(K)
	}
	return h.key()
}

// value returns a value for a field as a caller may pass it, and as it is kept.
func (h *harness[K]) value(name string) (in, kept any) {
	r := h.r
	switch name {
	case "s":
		v := one(r, "", "a", "b", "c", "a", "b", "a\x00", "ab")
		return v, v
	case "u":
		v := "u" + strconv.Itoa(r.IntN(60))
		return v, v
	case "i":
		v := one(r, int64(r.IntN(8)-3), int64(r.IntN(8)), math.MaxInt64, math.MinInt64, 1<<53+1)
		if v < 100 && v > -100 {
			return one[any](r, v, int(v), float64(v), int8(v)), v
		}
		return v, v
	case "f":
		v := one(r, -1.5, math.Copysign(0, -1), 0, 1, 2.5, math.Inf(1), math.Inf(-1), 1e300, float64(r.IntN(50)))
		if v == 1 {
			return one[any](r, v, 1, float32(1)), v
		}
		return v, v
	case "n":
		v := one[any](r, int64(0), int64(1), int64(r.IntN(50)), int64(1<<53), int64(1<<53+1), int64(math.MinInt64),
			0.0, math.Copysign(0, -1), 1.0, 1.5, float64(1<<53), math.Inf(1), float64(r.IntN(50)), -float64(1<<63))
		return v, v
	case "b":
		v := r.IntN(2) == 0
		return v, v
	case "d":
		v := one(r, modelDays...)
		if r.IntN(2) == 0 {
			v = v.Truncate(time.Hour).Add(time.Duration(r.IntN(50)) * time.Millisecond)
		}
		if v.Year() > 1 && v.Year() < 9999 {
			return one[any](r, v, v.In(time.FixedZone("x", 3600)), v.Format(time.RFC3339Nano)), v
		}
		return v, v
	case "y":
		v := one(r, []byte{}, []byte{0}, []byte("ab"), []byte{0, 1}, []byte{0xff, byte(r.IntN(50))})
		return v, bytes.Clone(v)
	case "o":
		v := map[string]any{"k": int64(r.IntN(3)), "": []any{nil, true}}
		return v, v
	case "a":
		v := []any{int64(r.IntN(3)), "x", map[string]any{}}
		return v, v
	case "x":
		_, v := h.value(one(r, "s", "i", "f", "b", "d", "y", "o", "a"))
		return v, v
	case "zz": // not in the schema
		v := one[any](r, "extra", int64(r.IntN(3)), []any{"x"})
		return v, v
	}
	panic(name)
}

// invalid is a value that a field refuses by its type.
func (h *harness[K]) invalid(name string) any {
	switch name {
	case "s", "u":
		return one[any](h.r, 5, "\xff", true, []any{})
	case "i":
		return one[any](h.r, "x", 1.5, uint64(math.MaxUint64), math.Inf(1))
	case "f", "n":
		return one[any](h.r, "1", math.NaN(), true)
	case "b":
		return one[any](h.r, 1, "true")
	case "d":
		return one[any](h.r, "nope", "2023-02-30", true)
	case "y":
		return one[any](h.r, "%%%", 5)
	case "o":
		return one[any](h.r, []any{1}, "x")
	case "a":
		return one[any](h.r, map[string]any{}, 1)
	case "x":
		return one[any](h.r, make(chan int), math.NaN())
	}
	panic(name)
}

// input is a random record, or a part of one.
type input struct {
	raw   store.Fields          // for a dynamic handle
	kept  values                // what it comes to; nil values make absent
	wrong map[string]store.Code // fields with a value that is refused
}

func (h *harness[K]) input(odds int, valid bool) input {
	in := input{store.Fields{}, values{}, map[string]store.Code{}}
	for _, name := range modelFields {
		required := h.def.Schema[name].Required && h.r.IntN(20) > 0
		switch {
		case !valid && h.chance(120):
			in.raw[name] = h.invalid(name)
			if in.wrong[name] = ""; h.def.Schema["n"].Type == store.Any && name == "n" {
				in.raw[name] = make(chan int)
			}
		case h.r.IntN(100) < odds || required && odds > 30:
			in.raw[name], in.kept[name] = h.value(name)
		case h.chance(12):
			in.raw[name], in.kept[name] = nil, nil
		}
	}
	if h.def.Extra && h.chance(3) || !valid && h.chance(60) {
		in.raw["zz"], in.kept["zz"] = h.value("zz")
		if h.chance(4) {
			in.raw["zz"], in.kept["zz"] = nil, nil
		}
		if !h.def.Extra {
			in.wrong["zz"] = store.CodeUnknown
		}
	}
	if h.chance(10) {
		in.raw["_version"], in.raw["_updatedAt"] = 77, "ignored"
	}
	return in
}

// ---- the oracle

// judge adds what the rules of the schema have against a record's field.
func (h *harness[K]) judge(vals values, name string, wrong map[string]store.Code) {
	f := h.def.Schema[name]
	v, ok := vals[name]
	if !ok {
		if f.Required || name == "id" {
			wrong[name] = store.CodeRequired
		}
		return
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, v) {
		wrong[name] = store.CodeEnum
	}
	if n, ok := v.(int64); ok && name == "i" && f.Min != nil {
		if n < -2 {
			wrong[name] = store.CodeMin
		} else if n > 1<<54 {
			wrong[name] = store.CodeMax
		}
	}
}

// fresh is the record that an insert makes of an input; a generated key stays
// absent.
func (h *harness[K]) fresh(in input) (values, map[string]store.Code) {
	wrong := maps.Clone(in.wrong)
	vals := values{}
	for k, v := range in.kept {
		if v != nil && (k != "zz" || h.def.Extra) {
			vals[k] = v
		}
	}
	for _, name := range modelFields {
		if _, bad := in.wrong[name]; bad {
			continue
		}
		if _, ok := vals[name]; !ok {
			switch d := h.def.Schema[name].Default.(type) {
			case nil:
			case func() any:
				vals[name] = d()
			default:
				vals[name] = d
			}
		}
		h.judge(vals, name, wrong)
	}
	if _, bad := in.wrong["id"]; !bad && h.def.Schema["id"].Generated == 0 {
		h.judge(vals, "id", wrong)
	}
	return vals, wrong
}

// merged is the record that an update makes of old and an input.
func (h *harness[K]) merged(old *row, in input) (values, map[string]store.Code) {
	wrong := maps.Clone(in.wrong)
	delete(wrong, "id")
	vals := maps.Clone(old.vals)
	for k, v := range in.kept {
		switch {
		case k == "id" || k == "zz" && !h.def.Extra:
		case v == nil:
			delete(vals, k)
		default:
			vals[k] = v
		}
	}
	for name := range in.kept {
		if _, bad := in.wrong[name]; !bad && name != "zz" && name != "id" {
			h.judge(vals, name, wrong)
		}
	}
	return vals, wrong
}

// clashes names the unique fields in which vals meets another record.
func (h *harness[K]) clashes(st *state, vals values, self any) []string {
	var out []string
	for name, f := range h.def.Schema {
		v, ok := vals[name]
		if !f.Unique || !ok || name == "id" {
			continue
		}
		id := identity(v)
		for key, other := range st.rows {
			if w, ok := other.vals[name]; ok && key != self && identity(w) == id {
				out = append(out, name)
				break
			}
		}
	}
	return out
}

func (h *harness[K]) filter(st *state, conds values) []any {
	ids := map[string]string{}
	for name, want := range conds {
		ids[name] = identity(want)
	}
	var keys []any
	for _, key := range st.order {
		ok := true
		for name, id := range ids {
			ok = ok && identity(st.rows[key].vals[name]) == id
		}
		if ok {
			keys = append(keys, key)
		}
	}
	return h.sorted(keys)
}

func (h *harness[K]) ordered(st *state) []any { return h.sorted(st.order) }

// sorted brings keys from the order of insertion into that of the bucket.
func (h *harness[K]) sorted(keys []any) []any {
	if h.def.Ordered {
		keys = slices.Clone(keys)
		slices.SortFunc(keys, func(a, b any) int { return cmp.Compare(a.(K), b.(K)) })
	}
	return keys
}

// put and drop change the current state and note the event.
func (h *harness[K]) put(vals values) {
	key := vals["id"]
	old := h.cur.rows[key]
	ms := store.Millis(h.now.UnixMilli())
	next := &row{vals, 1, ms, ms, 0}
	if ttl := h.def.TTL; ttl > 0 {
		next.expires = ms + store.Millis(ttl.Milliseconds())
	}
	typ := store.Inserted
	if old != nil {
		next.version, next.created, next.updated, typ = old.version+1, old.created, max(old.updated, ms), store.Updated
		next.expires = old.expires // no update prolongs a life
	} else {
		h.cur.order = append(h.cur.order, key)
	}
	h.cur.rows[key] = next
	h.events[h.seq] = append(h.events[h.seq], netChange{typ, key, old, next})
}

func (h *harness[K]) drop(key any) {
	old := h.cur.rows[key]
	delete(h.cur.rows, key)
	i := slices.Index(h.cur.order, key)
	h.cur.order = slices.Delete(h.cur.order, i, i+1)
	h.events[h.seq] = append(h.events[h.seq], netChange{store.Deleted, key, old, nil})
}

// ---- operations

func (h *harness[K]) note(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

// same compares an operation's error with the expected outcome.
func (h *harness[K]) same(o outcome, err error) {
	t := h.t
	switch {
	case len(o.invalid) > 0:
		var ve *store.ValidationError
		require.ErrorAs(t, err, &ve)
		got := map[string]store.Code{}
		for _, is := range ve.Issues {
			got[is.Field] = is.Code
		}
		require.Equal(t, slices.Sorted(maps.Keys(o.invalid)), slices.Sorted(maps.Keys(got)))
		for f, code := range o.invalid {
			if code != "" {
				require.Equal(t, code, got[f], "field %s", f)
			}
		}
	case len(o.unique) > 0:
		var ue *store.UniqueError
		require.ErrorAs(t, err, &ue)
		require.Contains(t, o.unique, ue.Field)
	case o.notFound:
		require.ErrorIs(t, err, store.ErrNotFound)
	case o.panics:
		var pe *store.PanicError
		require.ErrorAs(t, err, &pe)
	case o.query:
		var qe *store.QueryError
		require.ErrorAs(t, err, &qe)
	default:
		require.ErrorIs(t, err, o.is)
	}
}

func (h *harness[K]) step() {
	h.now = h.now.Add(time.Duration(h.r.IntN(2000)-300) * time.Millisecond) // clocks jump
	ctx, cancelled := h.ctx, false
	if h.chance(40) {
		c, cancel := context.WithCancel(h.ctx)
		cancel()
		ctx, cancelled = c, true
	}
	switch h.r.IntN(29) {
	case 26:
		h.touch(ctx, cancelled)
	case 27:
		h.expireAt(ctx, cancelled)
	case 28:
		h.purge()
	case 0, 1, 2, 3, 4:
		h.insert(ctx, cancelled)
	case 5, 6:
		h.insertMany(ctx, cancelled)
	case 7, 8, 9:
		h.merge(ctx, cancelled)
	case 10, 11, 12:
		h.modify(ctx, cancelled)
	case 13, 14, 15:
		h.upsert(ctx, cancelled)
	case 16, 17, 18:
		h.remove(ctx, cancelled)
	case 19, 20:
		h.deleteMany(ctx, cancelled)
	case 21, 22, 23:
		h.updateMany(ctx, cancelled)
	case 24:
		h.modifyPlain(ctx, cancelled)
	case 25:
		switch {
		case h.chance(3):
			h.clear(ctx, cancelled)
		case h.chance(6) && h.bulk < 1:
			h.fill()
		}
	}
}

// addKey gives an input a key, or leaves that to the generator.
func (h *harness[K]) addKey(in *input, pick func() K) {
	switch {
	case h.def.Schema["id"].Generated != 0 && h.r.IntN(3) > 0:
	case h.chance(60):
	case h.chance(60):
		in.raw["id"] = one[any](h.r, []any{1}, true)
		in.wrong["id"] = ""
	default:
		k := pick()
		in.raw["id"], in.kept["id"] = k, any(k)
		if h.chance(8) && !h.textKeys() {
			in.raw["id"] = float64(any(k).(int64))
		}
	}
}

// settle takes over what the library generated for a new record.
func (h *harness[K]) settle(vals values, key any) {
	if want, ok := vals["id"]; ok {
		require.Equal(h.t, want, key)
	} else {
		require.Nil(h.t, h.cur.rows[key])
		if n, ok := key.(int64); ok {
			require.Greater(h.t, n, h.auto, "a number came again")
		}
		vals["id"] = key
	}
	if n, ok := key.(int64); ok {
		h.auto = max(h.auto, n)
	}
}

// expectNew is the outcome of inserting vals into a state.
func (h *harness[K]) expectNew(st *state, vals values, wrong map[string]store.Code, cancelled bool) outcome {
	if len(wrong) > 0 {
		return outcome{invalid: wrong}
	}
	if cancelled {
		return outcome{is: context.Canceled}
	}
	clash := h.clashes(st, vals, nil)
	if key, ok := vals["id"]; ok && st.rows[key] != nil {
		clash = append(clash, "id")
	}
	return outcome{unique: clash}
}

func (h *harness[K]) insert(ctx context.Context, cancelled bool) {
	asTyped := h.chance(2)
	in := h.input(50, asTyped)
	h.addKey(&in, h.key)
	if asTyped {
		h.typedInput(&in)
	}
	vals, wrong := h.fresh(in)
	o := h.expectNew(h.cur, vals, wrong, cancelled)
	h.note("insert typed=%v %v", asTyped, in.raw)
	if asTyped {
		got, err := h.typed.Insert(ctx, h.docOf(in.kept))
		h.same(o, err)
		if o.ok() {
			h.seq++
			h.settle(vals, any(got.ID))
			h.put(vals)
			h.sameDoc(h.cur.rows[any(got.ID)], got)
		}
		return
	}
	got, err := h.dyn.Insert(ctx, in.raw)
	h.same(o, err)
	if o.ok() {
		h.seq++
		h.settle(vals, got.Key().Value())
		h.put(vals)
		h.sameRecord(h.cur.rows[got.Key().Value()], got)
	}
}

// typedInput makes an input fit for a struct: no unknown fields, no values that
// its Go types cannot hold, and a zero key is none.
func (h *harness[K]) typedInput(in *input) {
	delete(in.kept, "zz")
	clear(in.wrong)
	var zero K
	if in.kept["id"] == any(zero) {
		delete(in.kept, "id")
	}
	if h.chance(25) {
		in.kept["f"] = math.NaN()
		in.wrong["f"] = store.CodeType
	}
}

func (h *harness[K]) insertMany(ctx context.Context, cancelled bool) {
	asTyped := h.chance(2)
	n := h.r.IntN(6)
	var raws []store.Fields
	var docs []doc[K]
	var all []values
	o := outcome{invalid: map[string]store.Code{}}
	st := h.cur.clone()
	generate := h.def.Schema["id"].Generated == store.Autoincrement && h.chance(2) // all keys or none
	for i := range n {
		in := h.input(40, true)
		h.addKey(&in, h.key)
		if generate {
			delete(in.raw, "id")
			delete(in.kept, "id")
			delete(in.wrong, "id")
		}
		if _, ok := in.kept["id"]; !ok && !generate {
			k := h.key()
			in.raw["id"], in.kept["id"] = k, any(k)
			delete(in.wrong, "id")
		}
		if asTyped {
			h.typedInput(&in)
			if _, ok := in.kept["id"]; !ok && !generate { // a zero key counts as none
				in.kept["id"] = h.nonZeroKey()
			}
		}
		vals, wrong := h.fresh(in)
		for f, c := range wrong {
			o.invalid[fmt.Sprintf("[%d].%s", i, f)] = c
		}
		if len(o.invalid) == 0 && len(o.unique) == 0 {
			o.unique = h.expectNew(st, vals, nil, false).unique
			key, ok := vals["id"]
			if !ok {
				key = fmt.Sprint("generated ", i)
			}
			st.rows[key] = &row{vals: vals}
		}
		raws, docs, all = append(raws, in.raw), append(docs, h.docOf(in.kept)), append(all, vals)
	}
	switch {
	case len(o.invalid) > 0:
		o.unique = nil
	case cancelled && n > 0:
		o = outcome{is: context.Canceled}
	}
	h.note("insertMany typed=%v %v", asTyped, raws)
	var keys []any
	var err error
	if asTyped {
		var got []doc[K]
		got, err = h.typed.InsertMany(ctx, docs)
		for _, d := range got {
			keys = append(keys, any(d.ID))
		}
	} else {
		var got []store.Record
		got, err = h.dyn.InsertMany(ctx, raws)
		for _, r := range got {
			keys = append(keys, r.Key().Value())
		}
	}
	h.same(o, err)
	if !o.ok() {
		require.Empty(h.t, keys)
		return
	}
	require.Len(h.t, keys, n)
	if n > 0 {
		h.seq++
	}
	for i, key := range keys {
		if _, explicit := all[i]["id"]; explicit {
			// A generated number may be smaller than an explicit one before it.
			require.Equal(h.t, all[i]["id"], key)
		}
		all[i]["id"] = key
		if k, ok := key.(int64); ok {
			h.auto = max(h.auto, k)
		}
		h.put(all[i])
	}
}

// unchanged leaves out what a struct of another layout than the bucket's does
// not change: a value that is equal stays as it was, 1 beside 1.0.
func (h *harness[K]) unchanged(old *row, in input) {
	if h.native() {
		return
	}
	maps.DeleteFunc(in.kept, func(name string, v any) bool {
		return v != nil && identity(v) == identity(old.vals[name])
	})
}

// native reports whether the bucket was defined by doc.
func (h *harness[K]) native() bool { return h.def.Schema["n"].Type == store.Any }

// expectNext is the outcome of replacing a record by vals.
func (h *harness[K]) expectNext(vals values, wrong map[string]store.Code, cancelled bool) outcome {
	if len(wrong) > 0 {
		return outcome{invalid: wrong}
	}
	if cancelled {
		return outcome{is: context.Canceled}
	}
	return outcome{unique: h.clashes(h.cur, vals, vals["id"])}
}

// merge is the dynamic Update, or Patch.
func (h *harness[K]) merge(ctx context.Context, cancelled bool) {
	key := h.anyKey()
	in := h.input(20, false)
	if h.chance(10) {
		in.raw["id"], in.kept["id"] = h.key(), "ignored"
	}
	h.note("merge %#v %v", key, in.raw)
	var vals values
	o := outcome{notFound: true}
	if old := h.cur.rows[any(key)]; old != nil {
		var wrong map[string]store.Code
		vals, wrong = h.merged(old, in)
		o = h.expectNext(vals, wrong, cancelled)
	}
	if o.ok() {
		defer func() { h.sameStored(any(key)) }()
	}
	var err error
	switch h.r.IntN(3) {
	case 0:
		_, err = h.dyn.Update(ctx, key, in.raw)
	case 1:
		_, err = h.dyn.Patch(ctx, store.Key(h.keyOf(key)), in.raw)
	case 2:
		_, err = h.typed.Patch(ctx, key, in.raw)
	}
	h.same(o, err)
	if o.ok() {
		h.seq++
		h.put(vals)
	}
}

func (h *harness[K]) keyOf(key K) store.Key {
	switch k := any(key).(type) {
	case string:
		return store.StringKey(k)
	case int64:
		return store.IntKey(k)
	}
	panic("key")
}

var errClosure = errors.New("the closure says no")

// modify is the typed read-modify-write.
func (h *harness[K]) modify(ctx context.Context, cancelled bool) {
	key := h.anyKey()
	in := h.input(25, true)
	h.typedInput(&in)
	delete(in.kept, "id")
	fails := h.r.IntN(12)
	h.note("modify %#v %v fails=%d", key, in.kept, fails)
	var vals values
	o := outcome{notFound: true}
	old := h.cur.rows[any(key)]
	set := maps.Clone(in.kept)
	if old != nil {
		h.unchanged(old, in)
		var wrong map[string]store.Code
		vals, wrong = h.merged(old, in)
		switch o = h.expectNext(vals, wrong, cancelled); fails {
		case 0:
			o = outcome{is: errClosure}
		case 1:
			o = outcome{panics: true}
		}
	}
	got, err := h.typed.Update(ctx, key, func(d *doc[K]) error {
		h.sameDoc(old, *d)
		h.apply(d, set)
		d.ID, d.Version, d.UpdatedAt = h.key(), 99, 99 // ignored
		switch fails {
		case 0:
			return errClosure
		case 1:
			panic("the closure panics")
		}
		return nil
	})
	h.same(o, err)
	if o.ok() {
		h.seq++
		h.put(vals)
		h.sameDoc(h.cur.rows[any(key)], got)
	}
}

// modifyPlain inserts, changes or upserts through a struct whose zero values
// stand for absent ones too.
func (h *harness[K]) modifyPlain(ctx context.Context, cancelled bool) {
	if h.plain == nil {
		return
	}
	key := h.anyKey()
	p := plain[K]{ID: key}
	set := values{}
	for _, name := range plainFields {
		if h.chance(2) {
			_, set[name] = h.value(name)
		}
	}
	old := h.cur.rows[any(key)]
	what := h.r.IntN(3)
	h.note("plain %d %#v %v", what, key, set)
	var zero K
	if what != 1 && key == zero { // then the key counts as absent
		return
	}
	in := input{kept: values{}, wrong: map[string]store.Code{}}
	if what == 1 && old != nil {
		p = h.plainOf(old)
	}
	setPlain(&p, set)
	now := plainValues(p)
	exists := old != nil && what != 0
	for _, name := range plainFields {
		f := h.def.Schema[name]
		in.kept[name] = now[name]
		if exists && identity(now[name]) == identity(plainValues(h.plainOf(old))[name]) {
			delete(in.kept, name) // not changed, also where it was absent
		} else if identity(now[name]) == identity(reflect.Zero(reflect.TypeOf(now[name])).Interface()) &&
			(f.Required || !exists && f.Default != nil) {
			in.kept[name] = nil
		}
	}
	var o outcome
	var vals values
	switch {
	case exists:
		var wrong map[string]store.Code
		vals, wrong = h.merged(old, in)
		o = h.expectNext(vals, wrong, cancelled)
	case what == 1:
		o = outcome{notFound: true}
	default:
		in.kept["id"] = any(key)
		var wrong map[string]store.Code
		vals, wrong = h.fresh(in)
		o = h.expectNew(h.cur, vals, wrong, cancelled)
	}
	var got plain[K]
	var err error
	switch what {
	case 0:
		got, err = h.plain.Insert(ctx, p)
	case 1:
		got, err = h.plain.Update(ctx, key, func(d *plain[K]) error {
			require.Equal(h.t, h.plainOf(old), *d)
			setPlain(d, set)
			return nil
		})
	case 2:
		got, err = h.plain.Upsert(ctx, p)
	}
	h.same(o, err)
	if o.ok() {
		h.seq++
		h.settle(vals, any(key))
		h.put(vals)
		require.Equal(h.t, h.plainOf(h.cur.rows[any(key)]), got)
	}
}

func setPlain[K string | int64](p *plain[K], vals values) {
	for name, v := range vals {
		switch name {
		case "s":
			p.S, _ = v.(string)
		case "i":
			p.I, _ = v.(int64)
		case "f":
			p.F, _ = v.(float64)
		case "b":
			p.B, _ = v.(bool)
		case "d":
			p.D, _ = v.(time.Time)
		}
	}
}

func plainValues[K string | int64](p plain[K]) values {
	return values{"s": p.S, "i": p.I, "f": p.F, "b": p.B, "d": p.D}
}

func (h *harness[K]) plainOf(r *row) plain[K] {
	p := plain[K]{ID: r.vals["id"].(K), Meta: r.meta()}
	setPlain(&p, r.vals)
	return p
}

func (h *harness[K]) upsert(ctx context.Context, cancelled bool) {
	asTyped := h.chance(2)
	in := h.input(45, asTyped)
	h.addKey(&in, h.anyKey)
	if asTyped {
		h.typedInput(&in)
	}
	h.note("upsert typed=%v %v", asTyped, in.raw)
	key, given := in.kept["id"]
	set := maps.Clone(in.kept)
	old := h.cur.rows[key]
	if !given {
		old = nil
	}
	var vals values
	var wrong map[string]store.Code
	var o outcome
	switch {
	case old == nil:
		vals, wrong = h.fresh(in)
		o = h.expectNew(h.cur, vals, wrong, cancelled)
	case asTyped: // a struct replaces all its fields
		for _, name := range modelFields {
			if _, ok := in.kept[name]; !ok {
				in.kept[name] = nil
			}
		}
		h.unchanged(old, in)
		fallthrough
	default:
		vals, wrong = h.merged(old, in)
		o = h.expectNext(vals, wrong, cancelled)
	}
	var err error
	var got any
	if asTyped {
		var d doc[K]
		d, err = h.typed.Upsert(ctx, h.docOf(set))
		got = d.ID
	} else {
		var r store.Record
		r, err = h.dyn.Upsert(ctx, in.raw)
		got = r.Key().Value()
	}
	h.same(o, err)
	if o.ok() {
		h.seq++
		h.settle(vals, got)
		h.put(vals)
		h.sameStored(got)
	}
}

func (h *harness[K]) remove(ctx context.Context, cancelled bool) {
	key := h.anyKey()
	h.note("delete %#v", key)
	var err error
	switch h.r.IntN(4) {
	case 0:
		err = h.dyn.Delete(ctx, key)
	case 1:
		err = h.typed.Delete(ctx, h.keyOf(key))
	case 2:
		err = h.typed.Delete(ctx, key)
	case 3: // a key of another type is the key of nothing
		require.NoError(h.t, h.dyn.Delete(h.ctx, []byte("k")))
		return
	}
	if cancelled {
		require.ErrorIs(h.t, err, context.Canceled)
		return
	}
	require.NoError(h.t, err)
	if h.cur.rows[any(key)] != nil {
		h.seq++
		h.drop(any(key))
	}
}

// touch gives a record its bucket's TTL anew.
func (h *harness[K]) touch(ctx context.Context, cancelled bool) {
	key := h.anyKey()
	h.note("touch %#v", key)
	var err error
	if h.chance(2) {
		_, err = h.dyn.Touch(ctx, key)
	} else {
		_, err = h.typed.Touch(ctx, key)
	}
	if h.def.TTL == 0 {
		require.ErrorIs(h.t, err, store.ErrNoTTL)
		return
	}
	h.retimed(key, h.now.UnixMilli()+h.def.TTL.Milliseconds(), cancelled, err)
}

// expireAt gives a record a deadline of its own, or takes it away.
func (h *harness[K]) expireAt(ctx context.Context, cancelled bool) {
	key, at, ms := h.anyKey(), h.now.Add(time.Duration(h.r.IntN(20_000)-3000)*time.Millisecond), int64(0)
	if h.chance(4) {
		at = time.Time{}
	} else {
		ms = at.UnixMilli()
		at = at.Add(-time.Duration(h.r.IntN(int(time.Millisecond)))) // it is rounded up
	}
	h.note("expire %#v at %v", key, at)
	var err error
	if h.chance(2) {
		_, err = h.dyn.ExpireAt(ctx, key, at)
	} else {
		_, err = h.typed.ExpireAt(ctx, key, at)
	}
	if h.cur.rows[any(key)] != nil && ms != 0 && !at.After(h.now) {
		var ve *store.ValidationError
		require.ErrorAs(h.t, err, &ve)
		return
	}
	h.retimed(key, ms, cancelled, err)
}

// retimed takes over that a record has another deadline, if err does not say why it
// has not.
func (h *harness[K]) retimed(key K, at int64, cancelled bool, err error) {
	r := h.cur.rows[any(key)]
	switch {
	case r == nil:
		require.ErrorIs(h.t, err, store.ErrNotFound)
	case cancelled:
		require.ErrorIs(h.t, err, context.Canceled)
	default:
		require.NoError(h.t, err)
		h.seq++
		h.put(r.vals)
		h.cur.rows[any(key)].expires = store.Millis(at)
	}
}

// purge deletes what is due, up to 1,000 records in a commit.
func (h *harness[K]) purge() {
	h.note("purge")
	now := store.Millis(h.now.UnixMilli())
	due := slices.DeleteFunc(slices.Clone(h.cur.order), func(k any) bool { e := h.cur.rows[k].expires; return e == 0 || e > now })
	slices.SortStableFunc(due, func(a, b any) int { return cmp.Compare(h.cur.rows[a].expires, h.cur.rows[b].expires) })
	for i, k := range due {
		if i%1000 == 0 {
			h.seq++
		}
		h.drop(k)
	}
	n, err := h.s.PurgeTTL(h.ctx)
	require.NoError(h.t, err)
	require.Equal(h.t, len(due), n)
}

// conds makes up to two random conditions.
func (h *harness[K]) conds(most int) (values, []store.Filter) {
	conds := values{}
	var filters []store.Filter
	for range h.r.IntN(most + 1) {
		name := one(h.r, append(modelFields, "id")...)
		if _, dup := conds[name]; dup {
			continue
		}
		in, kept := h.condition(name)
		conds[name] = kept
		filters = append(filters, store.Eq(name, in))
	}
	return conds, filters
}

// condition is a value to look for in a field, mostly one that is there.
func (h *harness[K]) condition(name string) (in, kept any) {
	if len(h.cur.order) > 0 && h.r.IntN(4) > 0 {
		v := h.cur.rows[one(h.r, h.cur.order...)].vals[name]
		return v, v
	}
	if name == "id" {
		k := h.key()
		return k, any(k)
	}
	return h.value(name)
}

// wrongFilter makes filters that are refused.
func (h *harness[K]) wrongFilter() store.Filter {
	if h.chance(2) && !h.def.Extra {
		return store.Eq("nope", 1)
	}
	return store.Eq("i", "not a number")
}

func (h *harness[K]) deleteMany(ctx context.Context, cancelled bool) {
	conds, filters := h.conds(2)
	keys := h.filter(h.cur, conds)
	if len(conds) == 0 && len(keys) > 5 && h.r.IntN(6) > 0 {
		return // that is Clear
	}
	var o outcome
	switch {
	case h.chance(20):
		o, filters = outcome{query: true}, append(filters, h.wrongFilter())
	case cancelled:
		o.is = context.Canceled
	}
	h.note("deleteMany %v", conds)
	n, err := h.typed.DeleteMany(ctx, filters...)
	h.same(o, err)
	if !o.ok() {
		require.Zero(h.t, n)
		return
	}
	require.Equal(h.t, len(keys), n)
	if n > 0 {
		h.seq++
	}
	for _, k := range keys {
		h.drop(k)
	}
}

func (h *harness[K]) updateMany(ctx context.Context, cancelled bool) {
	conds, filters := h.conds(2)
	keys := h.filter(h.cur, conds)
	in := h.input(8, false)
	h.note("updateMany %v to %v", conds, in.raw)
	var o outcome
	next := h.cur.clone()
	var all []values
	for _, k := range keys {
		vals, wrong := h.merged(h.cur.rows[k], in)
		all = append(all, vals)
		next.rows[k] = &row{vals: vals}
		if len(wrong) > 0 && o.ok() {
			o.invalid = wrong
		}
	}
	switch {
	case h.chance(20):
		o, filters = outcome{query: true}, append(filters, h.wrongFilter())
	case cancelled:
		o = outcome{is: context.Canceled}
	case o.ok():
		clash := map[string]bool{}
		for _, vals := range all {
			for _, f := range h.clashes(next, vals, vals["id"]) {
				clash[f] = true
			}
		}
		o.unique = slices.Collect(maps.Keys(clash))
	}
	n, err := h.dyn.UpdateMany(ctx, in.raw, filters...)
	h.same(o, err)
	if !o.ok() {
		require.Zero(h.t, n)
		return
	}
	require.Equal(h.t, len(keys), n)
	if n > 0 {
		h.seq++
	}
	for _, vals := range all {
		h.put(vals)
	}
}

func (h *harness[K]) clear(ctx context.Context, cancelled bool) {
	h.note("clear")
	err := h.typed.Clear(ctx)
	if cancelled {
		require.ErrorIs(h.t, err, context.Canceled)
		return
	}
	require.NoError(h.t, err)
	if len(h.cur.order) > 0 {
		h.seq++
	}
	for _, k := range slices.Clone(h.cur.order) {
		h.drop(k)
	}
}

// fill adds enough records for a table to be renumbered when they are gone, and
// removes most of them again.
func (h *harness[K]) fill() {
	for name, f := range h.def.Schema {
		if f.Unique && f.Default != nil || f.Required && f.Default == nil && name != "id" && name != "s" {
			return
		}
	}
	const n = 4500
	h.bulk++
	h.note("fill")
	raws := make([]store.Fields, n)
	base := int64(1_000_000 * (h.bulk + 1))
	for i := range raws {
		raws[i] = store.Fields{"id": base + int64(i), "s": one(h.r, "a", "b", "c")}
		if h.textKeys() {
			raws[i]["id"] = fmt.Sprint("bulk", base+int64(i))
		}
	}
	_, err := h.dyn.InsertMany(h.ctx, raws)
	require.NoError(h.t, err)
	h.seq++
	for _, raw := range raws {
		vals, wrong := h.fresh(input{raw, values(maps.Clone(raw)), nil})
		require.Empty(h.t, wrong)
		h.settle(vals, vals["id"])
		h.put(vals)
	}
	snap := heldSnapshot{h.s.Snapshot(), h.cur.clone(), h.seq}
	for _, s := range []string{"a", "b", "c"} {
		want := h.filter(h.cur, values{"s": s})
		got, err := h.dyn.DeleteMany(h.ctx, store.Eq("s", s))
		require.NoError(h.t, err)
		require.Equal(h.t, len(want), got)
		if got > 0 {
			h.seq++
		}
		gone := map[any]bool{}
		for _, k := range want {
			gone[k] = true
			h.events[h.seq] = append(h.events[h.seq], netChange{store.Deleted, k, h.cur.rows[k], nil})
			delete(h.cur.rows, k)
		}
		h.cur.order = slices.DeleteFunc(h.cur.order, func(k any) bool { return gone[k] })
		require.NoError(h.t, store.CheckTables(h.s))
	}
	h.compareSnapshot(snap)
	snap.snap.Close()
}

// ---- comparison

func (h *harness[K]) docOf(vals values) doc[K] {
	var d doc[K]
	if k, ok := vals["id"].(K); ok {
		d.ID = k
	}
	h.apply(&d, vals)
	return d
}

func ptrTo[E any](v any) *E {
	if v == nil {
		return nil
	}
	e := v.(E)
	return &e
}

// apply sets the fields of a doc from canonical values; nil is absent.
func (h *harness[K]) apply(d *doc[K], vals values) {
	for name, v := range vals {
		switch name {
		case "s":
			d.S = ptrTo[string](v)
		case "u":
			d.U = ptrTo[string](v)
		case "i":
			d.I = ptrTo[int64](v)
		case "f":
			d.F = ptrTo[float64](v)
		case "n":
			d.N = v
		case "b":
			d.B = ptrTo[bool](v)
		case "d":
			d.D = ptrTo[time.Time](v)
		case "y":
			d.Y, _ = v.([]byte)
		case "o":
			d.O, _ = v.(map[string]any)
		case "a":
			d.A, _ = v.([]any)
		case "x":
			d.X = v
		}
	}
}

func (h *harness[K]) sameDoc(want *row, got doc[K]) {
	h.t.Helper()
	d := h.docOf(want.vals)
	d.Meta = want.meta()
	if !reflect.DeepEqual(d, got) {
		require.Equal(h.t, d, got)
		h.t.Fatalf("different in a way that testify does not show: %+v, %+v", d, got)
	}
}

func (h *harness[K]) sameRecord(want *row, got store.Record) {
	h.t.Helper()
	m := got.Map()
	require.Equal(h.t, want.meta(), got.Meta())
	for k := range m {
		if k[0] == '_' {
			delete(m, k)
		}
	}
	if !reflect.DeepEqual(map[string]any(want.vals), m) {
		require.Equal(h.t, map[string]any(want.vals), m)
		h.t.Fatalf("different in a way that testify does not show: %+v, %+v", want.vals, m)
	}
}

// sameStored compares the newest record of a key.
func (h *harness[K]) sameStored(key any) {
	h.t.Helper()
	want := h.cur.rows[key]
	r, ok := h.dyn.Get(key)
	require.Equal(h.t, want != nil, ok, "key %#v", key)
	if ok {
		h.sameRecord(want, r)
	}
}

func (h *harness[K]) snapshot() {
	if len(h.held) >= 5 || h.chance(3) && len(h.held) > 0 {
		h.release(h.r.IntN(len(h.held)))
		return
	}
	h.note("snapshot")
	s := h.s.Snapshot()
	require.Equal(h.t, h.seq, s.Seq())
	h.held = append(h.held, heldSnapshot{s, h.cur.clone(), h.seq})
}

func (h *harness[K]) release(i int) {
	h.note("release %d", i)
	h.compareSnapshot(h.held[i])
	h.held[i].snap.Close()
	h.held = slices.Delete(h.held, i, i+1)
}

func (h *harness[K]) compareSnapshot(s heldSnapshot) {
	var p *store.TypedBucket[plain[K]]
	if h.plain != nil {
		p = h.plain.In(s.snap)
	}
	require.Equal(h.t, s.seq, s.snap.Seq())
	h.compare(h.dyn.In(s.snap), h.typed.In(s.snap), p, s.want)
}

func (h *harness[K]) compareAll() {
	require.NoError(h.t, store.CheckTables(h.s))
	h.compare(h.dyn, h.typed, h.plain, h.cur)
	for _, s := range h.held {
		h.compareSnapshot(s)
	}
	stats := h.s.Stats()
	require.Equal(h.t, len(h.cur.order), stats.Records.PerBucket["docs"])
	require.Equal(h.t, len(h.held), stats.Snapshots)
	h.compareEvents()
}

// compare compares every way to read a state.
func (h *harness[K]) compare(dyn *store.Bucket, typed *store.TypedBucket[doc[K]], pl *store.TypedBucket[plain[K]], st *state) {
	t := h.t
	keys := h.ordered(st)
	count, err := dyn.Count()
	require.NoError(t, err)
	require.Equal(t, len(keys), count)
	h.sameKeys(keys, slices.Collect(dyn.All()), st)
	i := 0
	for d := range typed.All() {
		if i >= len(keys) || any(d.ID) != keys[i] {
			t.Fatalf("record %d of %d has key %#v", i, len(keys), d.ID)
		}
		if len(keys) < 200 || h.chance(30) {
			h.sameDoc(st.rows[keys[i]], d)
		}
		i++
	}
	require.Equal(t, len(keys), i)
	for range 20 {
		key := h.key()
		if len(keys) > 0 && h.chance(2) {
			key = one(h.r, keys...).(K)
		}
		want := st.rows[any(key)]
		r, ok := dyn.Get(key)
		require.Equal(t, want != nil, ok, "key %#v", key)
		d, typedOK := typed.Get(key)
		require.Equal(t, ok, typedOK)
		if !ok {
			require.Zero(t, d)
			require.True(t, r.IsZero())
			continue
		}
		h.sameRecord(want, r)
		h.sameDoc(want, d)
		if pl != nil {
			p, ok := pl.Get(h.keyOf(key))
			require.True(t, ok)
			require.Equal(t, h.plainOf(want), p)
		}
	}
	n := h.r.IntN(len(keys) + 3)
	first, err := dyn.First(n)
	require.NoError(t, err)
	h.sameKeys(keys[:min(n, len(keys))], first, st)
	last, err := dyn.Last(n)
	require.NoError(t, err)
	h.sameKeys(keys[max(len(keys)-n, 0):], last, st)

	for _, name := range append(slices.Clone(modelFields), "id", "s+i", "", "") {
		conds, filters := values{}, []store.Filter(nil)
		switch name {
		case "":
			conds, filters = h.conds(3)
		case "s+i":
			for _, f := range []string{"s", "i"} {
				in, kept := h.condition(f)
				conds[f], filters = kept, append(filters, store.Eq(f, in))
			}
		default:
			in, kept := h.condition(name)
			if h.chance(6) && name != "id" {
				in, kept = nil, nil
			}
			conds[name], filters = kept, append(filters, store.Eq(name, in))
		}
		want := h.filter(st, conds)
		got, err := dyn.Where(filters...).All()
		require.NoError(t, err)
		h.sameKeys(want, got, st)
		n, err := typed.Count(filters...)
		require.NoError(t, err)
		require.Equal(t, len(want), n, "count of %v", conds)
		d, ok, err := typed.FindOne(filters...)
		require.NoError(t, err)
		require.Equal(t, len(want) > 0, ok)
		if ok {
			require.Equal(t, want[0], any(d.ID))
			h.sameDoc(st.rows[want[0]], d)
		}
	}
	_, err = dyn.Where(h.wrongFilter()).All()
	h.same(outcome{query: true}, err)
	_, err = typed.Count(store.Eq("zz", 1))
	h.same(outcome{query: !h.def.Extra}, err)
}

func (h *harness[K]) sameKeys(want []any, got []store.Record, st *state) {
	h.t.Helper()
	keys := make([]any, len(got))
	for i, r := range got {
		keys[i] = r.Key().Value()
		want := st.rows[keys[i]]
		if want == nil {
			h.t.Fatalf("a record that should not be there: %#v", keys[i])
		}
		if len(got) < 200 || h.chance(30) {
			h.sameRecord(want, r)
		}
	}
	if len(want)+len(keys) > 0 {
		require.Equal(h.t, want, keys)
	}
}

func (h *harness[K]) compareEvents() {
	t := h.t
	require.NoError(t, h.s.Settle(h.ctx))
	h.mu.Lock()
	got := h.got
	h.got = nil
	h.mu.Unlock()
	perSeq := map[store.Seq][]store.Event{}
	last := store.Seq(0)
	for _, e := range got {
		if e.Err != nil || e.Seq < last {
			t.Fatalf("commit %d after %d: %v", e.Seq, last, e.Err)
		}
		last = e.Seq
		perSeq[e.Seq] = append(perSeq[e.Seq], e)
	}
	require.Equal(t, len(h.events), len(perSeq), "commits with events")
	for seq, want := range h.events {
		have := perSeq[seq]
		require.Len(t, have, len(want), "commit %d", seq)
		byKey := map[any]store.Event{}
		for _, e := range have {
			byKey[e.Key.Value()] = e
		}
		for _, c := range want {
			e, ok := byKey[c.key]
			if !ok || e.Type != c.typ {
				t.Fatalf("commit %d: the event of key %#v is %v", seq, c.key, e.Type)
			}
			if len(want) > 200 && !h.chance(30) {
				continue
			}
			require.Equal(t, "docs", e.Bucket)
			require.Equal(t, "bucket.docs."+c.typ.String(), e.Topic())
			require.Equal(t, c.old == nil, e.Old.IsZero())
			require.Equal(t, c.new == nil, e.New.IsZero())
			if c.old != nil {
				h.sameRecord(c.old, e.Old)
			}
			if c.new != nil {
				h.sameRecord(c.new, e.New)
			}
		}
	}
	clear(h.events)
}

// TestQueryOrder holds that Query.All and First answer in the bucket's order,
// whichever index serves them.
func TestQueryOrder(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name    string
		ordered bool
		indexes []store.Index
	}{
		{"insertion, by scan", false, nil},
		{"insertion, by index", false, []store.Index{{"team"}}},
		{"insertion, by the prefix of a compound index", false, []store.Index{{"team", "age"}}},
		{"key, by scan", true, nil},
		{"key, by index", true, []store.Index{{"team"}}},
		{"key, by the prefix of a compound index", true, []store.Index{{"team", "age"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openStore(t, store.Options{})
			b, err := s.DefineBucket(ctx, "people", store.Definition{
				Key:     "id",
				Schema:  store.Schema{"id": {Type: store.Int}, "team": {Type: store.String}, "age": {Type: store.Int}},
				Indexes: test.indexes, Ordered: test.ordered,
			})
			require.NoError(t, err)
			for _, id := range []int{5, 3, 9, 1, 7} {
				_, err := b.Insert(ctx, store.Fields{"id": id, "team": "red", "age": 100 - id*7%10})
				require.NoError(t, err)
			}
			want := []int64{5, 3, 9, 1, 7}
			if test.ordered {
				slices.Sort(want)
			}
			all, err := b.Where(store.Eq("team", "red")).All()
			require.NoError(t, err)
			var got []int64
			for _, r := range all {
				got = append(got, r.Key().Value().(int64))
			}
			require.Equal(t, want, got)
			first, ok, err := b.FindOne(store.Eq("team", "red"))
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, want[0], first.Key().Value())
		})
	}
}

// openStore opens a store and closes it with the test, which fails if it cannot.
func openStore(t *testing.T, opt store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// TestUpsertByConvertedKey holds that Upsert finds a record by any key that
// Insert takes for the same: it must not try for ever.
func TestUpsertByConvertedKey(t *testing.T) {
	ctx := context.Background()
	five, text := 5, "five"
	type name string
	for _, test := range []struct {
		name string
		typ  store.Type
		kept any
		keys []any
	}{
		{"int", store.Int, 5, []any{int8(5), uint64(5), 5.0, float32(5), json.Number("5"), json.Number("5.0"), &five, store.IntKey(5)}},
		{"large int", store.Int, int64(1 << 60), []any{float64(1 << 60), json.Number("1152921504606846976")}},
		{"string", store.String, "five", []any{name("five"), &text, store.StringKey("five")}},
	} {
		for i, key := range test.keys {
			t.Run(fmt.Sprintf("%s %T %d", test.name, key, i), func(t *testing.T) {
				s := openStore(t, store.Options{})
				b, err := s.DefineBucket(ctx, "b", store.Definition{
					Key: "id", Schema: store.Schema{"id": {Type: test.typ}, "n": {Type: store.Int}},
				})
				require.NoError(t, err)
				_, err = b.Insert(ctx, store.Fields{"id": test.kept})
				require.NoError(t, err)
				// A deadline ends the loop that this is about.
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				r, err := b.Upsert(short, store.Fields{"id": key, "n": 1})
				if err != nil { // refusing the key is fine
					require.NotErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				require.Equal(t, store.Version(2), r.Version())
				n, err := b.Count()
				require.NoError(t, err)
				require.Equal(t, 1, n)
			})
		}
	}
}

// TestTypedViewListsEveryIssue holds that a struct which is not the bucket's own
// gets the same complete list of issues.
func TestTypedViewListsEveryIssue(t *testing.T) {
	type view struct {
		ID string  `store:"id,key"`
		F  float64 `store:"f"`
		I  int64   `store:"i"`
	}
	ctx := context.Background()
	s := openStore(t, store.Options{})
	_, err := s.DefineBucket(ctx, "b", store.Definition{Key: "id", Schema: store.Schema{
		"id": {Type: store.String}, "f": {Type: store.Float}, "i": {Type: store.Int, Max: store.Bound(10)},
	}})
	require.NoError(t, err)
	b, err := store.Typed[view](s, "b")
	require.NoError(t, err)
	wrong := view{ID: "k", F: math.NaN(), I: 11}
	fields := func(err error) (out []string) {
		var ve *store.ValidationError
		require.ErrorAs(t, err, &ve)
		for _, is := range ve.Issues {
			out = append(out, is.Field)
		}
		return out
	}
	_, err = b.Insert(ctx, wrong)
	require.ElementsMatch(t, []string{"f", "i"}, fields(err))
	_, err = b.Insert(ctx, view{ID: "k"})
	require.NoError(t, err)
	_, err = b.Update(ctx, "k", func(v *view) error { *v = wrong; return nil })
	require.ElementsMatch(t, []string{"f", "i"}, fields(err))
}

// TestTypedViewWithoutPointers holds that a struct of plain values reads and
// writes a bucket whose own struct has pointers in their place: once, their
// memory was read as a number's.
func TestTypedViewWithoutPointers(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, store.Options{})
	own, err := store.Define[doc[string]](ctx, s, "docs")
	require.NoError(t, err)
	view, err := store.Typed[plain[string]](s, "docs")
	require.NoError(t, err)
	text, yes := "a text", true
	_, err = own.Insert(ctx, doc[string]{ID: "k", S: &text, B: &yes, D: &modelDays[0]})
	require.NoError(t, err)
	p, ok := view.Get("k")
	require.True(t, ok)
	require.Equal(t, text, p.S)
	require.True(t, p.B)
	require.Equal(t, modelDays[0], p.D)
	p.S = "another"
	got, err := view.Upsert(ctx, p)
	require.NoError(t, err)
	require.Equal(t, "another", got.S)
}
