package store

import (
	"slices"

	"github.com/noex-go/store/internal/exactsum"
	"github.com/noex-go/store/internal/table"
)

// Group is one group of records and what an aggregate made of them. Key has the
// values of the fields of GroupBy, in their order, nil for absent.
type Group[V any] struct {
	Key   []any `json:"key"`
	Value V     `json:"value"`
}

// Grouping divides the records of a query into groups. Each of its methods
// aggregates as the query's method of that name does, group by group, and returns
// the groups in the order of their keys. n records of g groups cost O(n) and
// memory for g.
type Grouping[R any] struct {
	q      *Query[R]
	fields []string
}

// GroupBy groups the records by the values of fields, named as in a Filter.
// Objects and arrays can be keys too: equal ones are one group.
func (q *Query[R]) GroupBy(fields ...string) *Grouping[R] {
	return &Grouping[R]{q, slices.Clone(fields)}
}

// Count returns the number of records in each group, from the counters of an
// index where the groups are the whole of it.
func (g *Grouping[R]) Count() ([]Group[int], error) {
	return valuedGroups(g.q.at, func(at *scope) ([]Group[int], error) {
		if out, ok, err := g.countIndexed(at); ok || err != nil {
			return out, err
		}
		return aggregateAt(at, g, "", nil,
			func(n *int, _ *fieldRef, _ *table.Version) { *n++ },
			func(n *int, _ *fieldRef) int { return *n })
	})
}

// Sum returns the sum of a field in each group.
func (g *Grouping[R]) Sum(field string) ([]Group[float64], error) {
	return aggregate(g, field, (*shape).numeric, (*mean).add, func(m *mean, _ *fieldRef) float64 { return m.sum.Float64() })
}

// Avg returns the mean of a field in each group.
func (g *Grouping[R]) Avg(field string) ([]Group[float64], error) {
	return aggregate(g, field, (*shape).numeric, (*mean).add, func(m *mean, _ *fieldRef) float64 {
		if m.n == 0 {
			return 0
		}
		return m.sum.Mean(m.n)
	})
}

// Min returns the least value of a field in each group, nil where no record of a
// group has it.
func (g *Grouping[R]) Min(field string) ([]Group[any], error) { return g.extreme(field, false) }

// Max returns the greatest value of a field in each group; see Min.
func (g *Grouping[R]) Max(field string) ([]Group[any], error) { return g.extreme(field, true) }

func (g *Grouping[R]) extreme(field string, greatest bool) ([]Group[any], error) {
	type best struct{ v *table.Version }
	return aggregate(g, field, (*shape).ordered,
		func(b *best, ref *fieldRef, v *table.Version) {
			one := [1]*table.Version{v}
			b.v = (&orderKey{*ref, greatest}).first(b.v, one[:])
		},
		func(b *best, ref *fieldRef) any {
			if b.v == nil {
				return nil
			}
			return ref.distinctValue(b.v)
		})
}

// CountDistinct returns how many different values a field has in each group.
func (g *Grouping[R]) CountDistinct(field string) ([]Group[int], error) {
	find := func(sh *shape, name string) (fieldRef, error) {
		ref, wrong := sh.field(name)
		if wrong != "" {
			return ref, &QueryError{sh.bucket, name, wrong}
		}
		return ref, nil
	}
	return aggregate(g, field, find,
		func(d *distinct, ref *fieldRef, v *table.Version) {
			if *d == nil {
				*d = distinct{}
			}
			d.add(ref, v)
		},
		func(d *distinct, _ *fieldRef) int { return len(*d) })
}

// mean is what a sum and a mean are made of.
type mean struct {
	sum exactsum.Sum
	n   int64
}

func (m *mean) add(ref *fieldRef, v *table.Version) {
	one := [1]*table.Version{v}
	m.n += int64(ref.addTo(&m.sum, one[:]))
}

// keys finds the fields of the grouping.
func (g *Grouping[R]) keys(sh *shape) ([]fieldRef, error) {
	refs := make([]fieldRef, len(g.fields))
	for i, name := range g.fields {
		ref, wrong := sh.field(name)
		if wrong != "" {
			return nil, &QueryError{sh.bucket, name, wrong}
		}
		refs[i] = ref
	}
	if len(refs) == 0 {
		return nil, &QueryError{Bucket: sh.bucket, Message: "GroupBy needs a field"}
	}
	return refs, nil
}

// aggregate reads the records once: add takes a record into the state A of its
// group, done makes the group's value.
func aggregate[R, A, V any](g *Grouping[R], field string, find func(*shape, string) (fieldRef, error), add func(*A, *fieldRef, *table.Version), done func(*A, *fieldRef) V) ([]Group[V], error) {
	return valuedGroups(g.q.at, func(at *scope) ([]Group[V], error) { return aggregateAt(at, g, field, find, add, done) })
}

// valuedGroups is valued for groups. The function gets a list of its own.
func valuedGroups[V any](at *scope, run func(at *scope) ([]Group[V], error)) ([]Group[V], error) {
	out, err := valued(at, run)
	if at == nil || at.qc == nil {
		return out, err
	}
	out = slices.Clone(out)
	for i := range out {
		out[i].Key = slices.Clone(out[i].Key)
	}
	return out, err
}

func aggregateAt[R, A, V any](at *scope, g *Grouping[R], field string, find func(*shape, string) (fieldRef, error), add func(*A, *fieldRef, *table.Version), done func(*A, *fieldRef) V) ([]Group[V], error) {
	q, x, err := g.q.start(at)
	if err != nil {
		return nil, err
	}
	defer x.end()
	keys, err := g.keys(q.b.shape)
	if err != nil {
		return nil, err
	}
	var ref fieldRef
	if find != nil {
		if ref, err = find(q.b.shape, field); err != nil {
			return nil, err
		}
	}
	place := map[string]int{}
	var names []string
	var states []A
	x.begin(g.q.spec.unordered(), g.q.spec.offset, g.q.spec.limit)
	x.only(readFields(keys, find != nil, &ref)...)
	var buf []byte
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		for _, v := range batch {
			buf = buf[:0]
			for k := range keys {
				buf = keys[k].appendKey(buf, v)
			}
			i, ok := place[string(buf)]
			if !ok {
				i = len(states)
				var fresh A
				names, states = append(names, string(buf)), append(states, fresh)
				place[names[i]] = i
			}
			add(&states[i], &ref, v)
		}
	}
	out := make([]Group[V], len(states))
	for i := range states {
		out[i] = Group[V]{Key: ownForms(keys, names[i]), Value: done(&states[i], &ref)}
	}
	sortGroups(out)
	return out, nil
}

// readFields are the fields that a grouping reads.
func readFields(keys []fieldRef, aggregated bool, ref *fieldRef) (fields []*fieldRef) {
	for i := range keys {
		fields = append(fields, &keys[i])
	}
	if aggregated {
		fields = append(fields, ref)
	}
	return fields
}

// ownForms decodes the key of a group.
func ownForms(refs []fieldRef, name string) []any {
	values := make([]any, len(refs))
	b := []byte(name)
	for i := range refs {
		_, rest, _ := nextValue(b, 0)
		values[i] = refs[i].ownForm(b[:len(b)-len(rest)])
		b = rest
	}
	return values
}

func sortGroups[V any](groups []Group[V]) {
	slices.SortFunc(groups, func(a, b Group[V]) int { return slices.CompareFunc(a.Key, b.Key, compareValues) })
}

// countIndexed counts by the entries of an index over the group's field.
func (g *Grouping[R]) countIndexed(at *scope) (out []Group[int], ok bool, err error) {
	q, x, err := g.q.start(at)
	if err != nil {
		return nil, false, err
	}
	defer x.end()
	keys, err := g.keys(q.b.shape)
	if err != nil || len(keys) > 1 {
		return nil, false, err
	}
	i := q.whole(x, &keys[0])
	if i < 0 {
		return nil, false, nil
	}
	x.rd.depend(x.p, &keys[0])
	sum := 0
	out = []Group[int]{}
	x.view.Entries(i, everything, false, func(u *table.Version, n int) bool {
		out = append(out, Group[int]{[]any{keys[0].distinctValue(u)}, n})
		sum += n
		return true
	})
	if absent := x.view.Count() - sum; absent > 0 {
		out = slices.Insert(out, 0, Group[int]{[]any{nil}, absent})
	}
	return out, true, nil
}
