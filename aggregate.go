package store

import (
	"slices"

	"github.com/noex-go/store/internal/exactsum"
	"github.com/noex-go/store/internal/keyenc"
	"github.com/noex-go/store/internal/table"
)

// Aggregates run over the records that All would return: with a limit, over
// those within it. Sums are exact and rounded once, at the end (package
// exactsum), so that they do not depend on the order of the records, and a sum
// that is maintained change by change equals one from scratch, bit for bit.
// With +Inf and -Inf among the values a sum is NaN.

// Sum returns the sum of a numeric field, as the float64 nearest to it; 0 if
// there are no numbers. In a field of type Any, and behind a path, values that
// are no numbers are passed over. Error: *QueryError for a field that cannot have
// numbers.
func (q *Query[R]) Sum(field string) (float64, error) {
	return valued(q.at, func(at *scope) (float64, error) {
		sum, _, err := q.sum(at, field)
		return sum.Float64(), err
	})
}

// SumInt returns the sum of a field exactly. Error: *QueryError also where the
// sum is no integer, or not within int64.
func (q *Query[R]) SumInt(field string) (int64, error) {
	return valued(q.at, func(at *scope) (int64, error) {
		sum, _, err := q.sum(at, field)
		if err != nil {
			return 0, err
		}
		i, ok := sum.Int64()
		if !ok {
			return 0, &QueryError{q.b.name, field, "has a sum that is no integer within int64"}
		}
		return i, nil
	})
}

// Avg returns the mean of a numeric field, rounded once; 0 if there are no
// numbers. Otherwise it is as Sum.
func (q *Query[R]) Avg(field string) (float64, error) {
	return valued(q.at, func(at *scope) (float64, error) {
		sum, n, err := q.sum(at, field)
		if err != nil || n == 0 {
			return 0, err
		}
		return sum.Mean(int64(n)), nil
	})
}

func (q *Query[R]) sum(at *scope, field string) (sum exactsum.Sum, n int, err error) {
	q, x, err := q.start(at)
	if err != nil {
		return sum, 0, err
	}
	defer x.end()
	ref, err := q.b.shape.numeric(field)
	if err != nil {
		return sum, 0, err
	}
	x.begin(q.spec.unordered(), q.spec.offset, q.spec.limit)
	x.only(&ref)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		n += ref.addTo(&sum, batch)
	}
	return sum, n, nil
}

// unordered reports that the order does not matter, as no limit lets only some
// of the records through.
func (s *querySpec) unordered() bool { return !s.limited && s.offset == 0 }

// numeric finds a field that can have numbers.
func (sh *shape) numeric(name string) (fieldRef, error) {
	ref, wrong := sh.field(name)
	if wrong != "" {
		return ref, &QueryError{sh.bucket, name, wrong}
	}
	switch ref.typ {
	case Int, Float, Number, Any:
		return ref, nil
	}
	return ref, &QueryError{sh.bucket, name, "has type " + ref.typ.String() + ", which has no numbers"}
}

// addTo adds the numbers of a batch to a sum and returns how many there are.
func (r *fieldRef) addTo(sum *exactsum.Sum, batch []*table.Version) (n int) {
	if r.plain() {
		s := r.slot
		switch s.kind {
		case memFloat:
			var fs [batchRows]float64
			n = s.floats(&fs, batch)
			sum.AddFloats(fs[:n])
			return n
		case memInt, memUint:
			var is [batchRows]int64
			n = s.ints(&is, batch)
			sum.AddInts(is[:n])
			return n
		case memNumber:
			for _, v := range batch {
				if !s.absent(v) {
					addNumber(sum, s.num(v))
					n++
				}
			}
			return n
		}
	}
	for _, v := range batch {
		if x := r.peek(v); kindOf(x) == kindNumber {
			addNumber(sum, numberIn(x))
			n++
		}
	}
	return n
}

func addNumber(sum *exactsum.Sum, n number) {
	if n.isFloat {
		sum.Add(n.float())
	} else {
		sum.AddInt(int64(n.bits))
	}
}

// Min returns the least value of a field among the records that have it, as
// [Record.Get] would, except that of equal values one form stands for all: 3 for
// 3.0 where both can be, 0 for -0; false if there is none. Error: *QueryError for an
// object or an array, which have no order.
func (q *Query[R]) Min(field string) (value any, ok bool, err error) { return q.extreme(field, false) }

// Max returns the greatest value of a field; see Min.
func (q *Query[R]) Max(field string) (value any, ok bool, err error) { return q.extreme(field, true) }

func (q *Query[R]) extreme(field string, greatest bool) (any, bool, error) {
	v, err := valued(q.at, func(at *scope) (any, error) {
		v, _, err := q.extremeAt(at, field, greatest)
		return v, err
	})
	return v, v != nil, err
}

// extremeAt returns nil where no record has the field.
func (q *Query[R]) extremeAt(at *scope, field string, greatest bool) (any, bool, error) {
	q, x, err := q.start(at)
	if err != nil {
		return nil, false, err
	}
	defer x.end()
	ref, err := q.b.shape.ordered(field)
	if err != nil {
		return nil, false, err
	}
	key := orderKey{ref, greatest}
	best, ok := q.edge(x, &key)
	if !ok {
		x.begin(q.spec.unordered(), q.spec.offset, q.spec.limit)
		x.only(&ref)
		if ref.plain() && (ref.slot.kind == memInt || ref.slot.kind == memUint || ref.slot.kind == memFloat) {
			value, ok := x.extreme(ref.slot, greatest)
			return value, ok, nil
		}
		for batch := x.next(); len(batch) > 0; batch = x.next() {
			best = key.first(best, batch)
		}
	}
	if best == nil {
		return nil, false, nil
	}
	return ref.distinctValue(best), true, nil
}

// ordered finds a field whose values have an order.
func (sh *shape) ordered(name string) (fieldRef, error) {
	ref, wrong := sh.field(name)
	if wrong != "" {
		return ref, &QueryError{sh.bucket, name, wrong}
	}
	if ref.typ == Object || ref.typ == Array {
		return ref, &QueryError{sh.bucket, name, "has type " + ref.typ.String() + ", which has no order"}
	}
	return ref, nil
}

// edge reads the first record of an index over the field; false if none of the
// paths is worth it.
func (q *Query[R]) edge(x *exec, key *orderKey) (*table.Version, bool) {
	if q.spec.limited || q.spec.offset != 0 || !key.ref.plain() || !q.b.shape.indexed(key.ref.slot.pos) {
		return nil, false
	}
	o := Order{field: key.ref.name, desc: key.desc}
	sub := q.Where(Exists(key.ref.name)).OrderBy(o)
	y := q.b.lend()
	defer y.end()
	if sub.compile(y) != nil {
		return nil, false
	}
	y.rd, y.view = x.rd, x.view // which x ends
	if c := y.p.pick(y.view, need{want: 1}); c.served == 0 && len(y.p.order) > 0 {
		return nil, false
	}
	y.begin(false, 0, 1)
	y.only(&key.ref)
	for _, v := range y.next() {
		return v, true
	}
	return nil, true
}

// indexed reports whether an index has the field.
func (sh *shape) indexed(pos int) bool {
	for i := range sh.indexes {
		if slices.Contains(sh.indexes[i].fields, pos) {
			return true
		}
	}
	return false
}

// extreme is the least or the greatest value of an integer or float field among
// the records of the answer.
func (x *exec) extreme(s *slot, greatest bool) (any, bool) {
	e := extreme{greatest: greatest}
	if s.kind == memFloat {
		var fs [batchRows]float64
		for batch := x.next(); len(batch) > 0; batch = x.next() {
			e.floats(fs[:s.floats(&fs, batch)])
		}
	} else {
		var is [batchRows]int64
		for batch := x.next(); len(batch) > 0; batch = x.next() {
			e.ints(is[:s.ints(&is, batch)])
		}
	}
	return e.value(s.kind)
}

// first returns the version that comes first in the key's order, of those that
// have the field: best, unless one of the batch comes before it.
func (k *orderKey) first(best *table.Version, batch []*table.Version) *table.Version {
	for _, v := range batch {
		if k.ref.plain() && k.ref.slot.absent(v) || !k.ref.plain() && k.ref.peek(v) == nil {
			continue
		}
		if best == nil || k.compare(v, best) < 0 {
			best = v
		}
	}
	return best
}

// distinctValue is the value of a record in the one form that stands for all
// that are equal to it: 3 for 3.0 where both can be, 0 for -0.
func (r *fieldRef) distinctValue(v *table.Version) any {
	return r.ownForm(appendValue(nil, r.peek(v)))
}

// ownForm decodes what appendValue wrote of the field.
func (r *fieldRef) ownForm(b []byte) any {
	v, _, err := nextValue(b, 0)
	if err != nil {
		return nil
	}
	if f, ok := v.(int64); ok && r.typ == Float {
		return float64(f)
	}
	return v
}

// CountDistinct returns how many different values a field has; an absent one is
// none. Numbers that are equal are one value, whatever their types.
func (q *Query[R]) CountDistinct(field string) (int, error) {
	return valued(q.at, func(at *scope) (int, error) { return q.countDistinct(at, field) })
}

func (q *Query[R]) countDistinct(at *scope, field string) (int, error) {
	q, x, err := q.start(at)
	if err != nil {
		return 0, err
	}
	defer x.end()
	ref, wrong := q.b.shape.field(field)
	if wrong != "" {
		return 0, &QueryError{q.b.name, field, wrong}
	}
	n := 0
	if i := q.whole(x, &ref); i >= 0 {
		x.rd.depend(x.p, &ref)
		x.view.Entries(i, everything, false, func(*table.Version, int) bool { n++; return true })
		return n, nil
	}
	x.begin(q.spec.unordered(), q.spec.offset, q.spec.limit)
	x.only(&ref)
	seen := distinct{}
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		for _, v := range batch {
			seen.add(&ref, v)
		}
	}
	return len(seen), nil
}

var everything = table.Range{NoLo: true, NoHi: true}

// whole returns the index over a field alone whose counters answer for the whole
// bucket, if that is what the query is about; else -1.
func (q *Query[R]) whole(x *exec, ref *fieldRef) int {
	if x.rd.written() || len(x.p.conds) > 0 || x.p.never || q.spec.limited || q.spec.offset != 0 || !ref.plain() {
		return -1
	}
	for i := range q.b.shape.indexes {
		if f := q.b.shape.indexes[i].fields; len(f) == 1 && f[0] == ref.slot.pos {
			return i
		}
	}
	return -1
}

// distinct is a set of values by appendValue.
type distinct map[string]struct{}

func (d distinct) add(ref *fieldRef, v *table.Version) {
	var buf [64]byte
	b := ref.appendKey(buf[:0], v)
	if b[0] != byte(keyenc.KindNull) {
		if _, ok := d[string(b)]; !ok {
			d[string(b)] = struct{}{}
		}
	}
}

// appendKey appends the field's value as appendValue would, without making an
// interface of it where it can.
func (r *fieldRef) appendKey(b []byte, v *table.Version) []byte {
	if r.plain() && r.slot.kind < memAny {
		return r.slot.keyBytes(b, v)
	}
	return appendValue(b, r.peek(v))
}
