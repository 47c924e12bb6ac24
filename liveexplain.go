package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/noex-go/store/internal/reactive"
)

// LiveState is a look at a live query with some parameters.
type LiveState struct {
	Query string
	Live  bool // there are subscribers, or other queries that read it; else all that follows is zero
	Seq   Seq  // of the last evaluation
	// Reads is what the last evaluation depends on, in words; after a failure also
	// what the last good one does.
	Reads []string
	// Evaluations of the function; how many of them came to what was known, and
	// how many failed.
	Evaluations, Unchanged, Failures int64
	// Near is how many changes the index led to that, looked at closer, did not
	// concern the query: a condition that no field's value decides, a field that was
	// not read.
	Near        int64
	Subscribers int
	// Pending is set while a change of what it reads is not evaluated. Behind is
	// then how many commits have come since the last evaluation began.
	Pending bool
	Behind  int
}

func (s LiveState) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "query %q", s.Query)
	if !s.Live {
		b.WriteString(": not live\n")
		return b.String()
	}
	fmt.Fprintf(&b, " at %d, %d subscribers, %d evaluations (%d without news, %d failed), %d near changes\n",
		s.Seq, s.Subscribers, s.Evaluations, s.Unchanged, s.Failures, s.Near)
	if s.Pending {
		fmt.Fprintf(&b, "  pending, %d commits behind\n", s.Behind)
	}
	for _, r := range s.Reads {
		b.WriteString("  reads " + r + "\n")
	}
	return b.String()
}

// Explain tells what a live query depends on, and how often it was evaluated.
// Errors: ErrQueryType.
func (d *ReactiveQuery[P, R]) Explain(params P) (LiveState, error) {
	key, err := d.enc(params)
	if err != nil {
		return LiveState{}, err
	}
	return d.st.live.explain(d.def.name, key), nil
}

// ExplainQuery is [ReactiveQuery.Explain] for a query by name. Errors:
// ErrQueryNotDefined, ErrQueryType.
func (st *Store) ExplainQuery(name string, params any) (LiveState, error) {
	def, err := st.queries.find(name)
	if err != nil {
		return LiveState{}, &Error{Op: "explain query", Err: err}
	}
	_, key, err := def.encode(params)
	if err != nil {
		return LiveState{}, err
	}
	return st.live.explain(name, key), nil
}

func (r *reactor) explain(name, key string) LiveState {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catchUpLocked()
	s := LiveState{Query: name}
	n := r.nodes[key]
	if n == nil || n.latest.Load() == nil {
		return s
	}
	s.Live, s.Seq, s.Subscribers = true, Seq(n.seq), len(n.subs)
	s.Evaluations, s.Unchanged, s.Failures = n.counts.evaluations, n.counts.unchanged, n.misses.failures
	if s.Pending = !n.holdsLocked(^uint64(0)); s.Pending {
		s.Behind = int(r.st.pins.Published() - min(n.seq, r.st.pins.Published()))
	}
	r.describeLocked(n, &s, "")
	return s
}

// describeLocked adds what a node has read.
func (r *reactor) describeLocked(n *node, s *LiveState, as string) {
	s.Near += n.misses.near
	for reg := range n.registrations {
		for _, w := range reg.watches {
			s.Reads = append(s.Reads, as+w.words())
		}
		for _, m := range reg.names() {
			s.Reads = append(s.Reads, fmt.Sprintf("the bucket called %q", m.name))
		}
		for _, c := range reg.children() {
			if c.n.def == nil {
				r.describeLocked(c.n, s, "a value of ")
			} else {
				s.Reads = append(s.Reads, fmt.Sprintf("the result of query %q", c.n.def.name))
			}
		}
		if due := reg.due(); !due.IsZero() {
			s.Reads = append(s.Reads, "the time, until "+due.Format("2006-01-02T15:04:05.000Z07:00"))
		}
	}
}

// words says what a watch is about.
func (w *watch) words() string {
	if w.dep == nil {
		return fmt.Sprintf("bucket %q: the record with key %s", w.b.name, w.key)
	}
	places := []string{w.at.words()}
	for i := range w.others() {
		places = append(places, w.others()[i].words())
	}
	text := fmt.Sprintf("bucket %q: ", w.b.name)
	switch {
	case w.dep.never:
		return text + "no record"
	case !slices.Contains(places, ""):
		text += "records with " + strings.Join(places, ", or ")
	case len(w.dep.conds) > 0:
		text += "records that meet the filters"
	default:
		text += "all records"
	}
	switch d := w.dep; {
	case !d.values:
		text += "; which they are"
	case d.fields != nil:
		names := make([]string, len(d.fields))
		for i, pos := range d.fields {
			names[i] = w.b.shape.slots[pos].name
		}
		text += "; fields " + strings.Join(names, ", ")
	}
	return text
}

// words says where in its space a spot is.
func (s *spot) words() string {
	var parts []string
	sp, span, b := s.space, s.Interval(), []byte(s.Point())
	for i := range sp.eq {
		_, rest, err := nextValue(b, 0)
		if err != nil {
			break
		}
		parts = append(parts, sp.eq[i].ref.name+" = "+valueText(b[:len(b)-len(rest)]))
		b = rest
	}
	switch {
	case sp.rows && span != everywhere:
		parts = append(parts, "a part of the order of insertion")
	case sp.axis != nil && span != everywhere:
		parts = append(parts, sp.axis.name+intervalText(span))
	}
	return strings.Join(parts, " and ")
}

func intervalText(iv reactive.Interval) string {
	text := ""
	if iv.Lo != "" {
		text += " from " + valueText([]byte(iv.Lo))
	}
	if !iv.NoHi {
		text += " up to " + valueText([]byte(iv.Hi))
	}
	return text
}

// valueText is an encoded value as text. The end of an interval may be no value,
// but what comes just behind one.
func valueText(b []byte) string {
	v, _, err := nextValue(b, 0)
	if err != nil && len(b) > 0 {
		before := slices.Clone(b)
		before[len(before)-1]--
		if v, _, err = nextValue(before, 0); err == nil {
			return fmt.Sprintf("and with %v", v)
		}
		return fmt.Sprintf("%x", b)
	}
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}
