package store

import (
	"fmt"
	"math"
	"strings"
)

// Explanation says how a query was answered: which path it took, and how many
// records that led to, estimated before and counted after.
type Explanation struct {
	Bucket string `json:"bucket"`
	// Path is "scan", "key", "keys", "index", "union", or "none" where no record
	// can match.
	Path string `json:"path"`
	// Index has the fields of the index that is read; nil without one.
	Index []string `json:"index,omitempty"`
	// Span is what is read of it: "one key", "3 keys", "an interval", "all".
	Span string `json:"span,omitempty"`
	// Intersect has the indexes whose rows narrow the path's.
	Intersect [][]string `json:"intersect,omitempty"`
	// Union has the explanations of the branches of an Or; nothing in them was run.
	Union []Explanation `json:"union,omitempty"`
	// Filters are the conditions that each record is still tested for.
	Filters []string `json:"filters,omitempty"`
	// Order is where the order comes from: "bucket", "index", "index backward",
	// "sort", "top 10" (a heap), "index, then sort" (groups of equal first fields).
	Order string `json:"order"`

	EstimatedRows    int `json:"estimatedRows"`    // to be looked at
	EstimatedMatches int `json:"estimatedMatches"` // among them
	TouchedRows      int `json:"touchedRows"`      // were looked at, a transaction's own writes among them
	Returned         int `json:"returned"`         // records of the answer
}

// Explain answers the query as All does and says how. The text of the result is
// for people; its form may change.
func (q *Query[R]) Explain() (Explanation, error) {
	q, x, err := q.start(q.at)
	if err != nil {
		return Explanation{}, err
	}
	defer x.end()
	x.begin(false, q.spec.offset, q.spec.limit)
	e := x.p.explain(x)
	for batch := x.next(); len(batch) > 0; batch = x.next() {
		e.Returned += len(batch)
	}
	e.TouchedRows = x.touched
	return e, nil
}

var pathNames = [...]string{accessAll: "scan", accessNone: "none", accessKey: "key", accessKeys: "keys", accessIndex: "index", accessUnion: "union"}

func (p *plan) explain(x *exec) Explanation {
	path := x.path()
	e := Explanation{Bucket: p.b.name, Path: pathNames[path.access], Order: p.explainOrder(x)}
	e.EstimatedRows, e.EstimatedMatches = x.c.rows, x.c.matches
	if e.EstimatedRows == 0 { // nothing had to be compared
		e.EstimatedRows = p.guess(x.view, path)
		e.EstimatedMatches = p.guessMatches(x.view, x.view.GuessAll())
	}
	switch path.access {
	case accessKeys:
		e.Span = fmt.Sprintf("%d keys", len(path.keys))
	case accessIndex:
		e.Index, e.Span = p.indexFields(path.index), path.explainSpan()
	case accessUnion:
		for _, branch := range path.branches {
			sub := x.another(branch)
			sub.begin(true, 0, -1)
			e.Union = append(e.Union, branch.explain(sub))
			sub.end()
		}
	}
	for _, i := range x.c.also {
		if i > 0 {
			e.Intersect = append(e.Intersect, p.indexFields(p.path(i-1).index))
		}
	}
	for i := range p.conds {
		if i >= 64 || path.answered&answered(i) == 0 {
			e.Filters = append(e.Filters, p.conds[i].String())
		}
	}
	return e
}

func (p *plan) indexFields(i int) (names []string) {
	for _, pos := range p.b.shape.indexes[i].fields {
		names = append(names, p.b.shape.slots[pos].name)
	}
	return names
}

func (x *path) explainSpan() string {
	switch n := max(len(x.spans), 1); {
	case x.point && n == 1:
		return "one key"
	case x.point:
		return fmt.Sprintf("%d keys", n)
	case n > 1:
		return fmt.Sprintf("%d intervals", n)
	case x.span.NoLo && x.span.NoHi:
		return "all"
	}
	return "an interval"
}

func (p *plan) explainOrder(x *exec) string {
	c := &x.c
	switch {
	case c.exact && c.served > 0 && c.back:
		return "index backward"
	case c.exact && c.served > 0:
		return "index"
	case c.exact:
		return "bucket"
	case c.served > 0:
		return "index, then sort"
	case x.left >= 0:
		most := x.skip + x.left
		if most < 0 {
			most = math.MaxInt
		}
		return fmt.Sprintf("top %d", most)
	}
	return "sort"
}

// String returns the explanation in lines.
func (e Explanation) String() string {
	var b strings.Builder
	e.write(&b, "")
	fmt.Fprintf(&b, "rows: %d estimated, %d touched, %d returned\n", e.EstimatedRows, e.TouchedRows, e.Returned)
	return b.String()
}

func (e *Explanation) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s", indent, e.Path)
	if e.Index != nil {
		fmt.Fprintf(b, " (%s)", strings.Join(e.Index, ", "))
	}
	if e.Span != "" {
		fmt.Fprintf(b, ", %s", e.Span)
	}
	for _, also := range e.Intersect {
		fmt.Fprintf(b, ", intersected with (%s)", strings.Join(also, ", "))
	}
	fmt.Fprintf(b, " of bucket %q\n", e.Bucket)
	for i := range e.Union {
		e.Union[i].write(b, indent+"  ")
	}
	for _, f := range e.Filters {
		fmt.Fprintf(b, "%sfilter: %s\n", indent, f)
	}
	if indent == "" {
		fmt.Fprintf(b, "order: %s\n", e.Order)
	}
}

// String returns the condition as a person would write it.
func (c *cond) String() string {
	not := ""
	if c.not {
		not = "not "
	}
	name := ""
	switch {
	case c.slot != nil:
		name = c.slot.name
	case c.far != nil:
		name = c.far.name
	}
	switch c.op {
	case condEq:
		return fmt.Sprintf("%s%s = %s", not, name, show(c.want))
	case condIn:
		return fmt.Sprintf("%s%s in %d values", not, name, len(c.more.set.list))
	case condRange:
		return not + name + " " + c.span.String()
	case condText:
		return fmt.Sprintf("%s%s contains", not, name)
	case condSuffix:
		return fmt.Sprintf("%s%s ends with %s", not, name, show(c.more.text))
	case condPresent:
		return fmt.Sprintf("%s%s exists", not, name)
	case condAnd, condOr:
		word := " and "
		if c.op == condOr {
			word = " or "
		}
		const most = 8
		var parts []string
		for i := range min(len(c.more.subs), most) {
			parts = append(parts, c.more.subs[i].String())
		}
		if len(c.more.subs) > most {
			parts = append(parts, "...")
		}
		return "(" + strings.Join(parts, word) + ")"
	}
	return not + "true"
}

func (r *interval) String() string {
	open, shut := "[", "]"
	if r.loOpen || r.lo == nil {
		open = "("
	}
	if r.hiOpen || r.hi == nil {
		shut = ")"
	}
	return fmt.Sprintf("within %s%s, %s%s", open, show(r.lo), show(r.hi), shut)
}

// show prints a value of a filter, shortened.
func show(v any) string {
	text := fmt.Sprint(v)
	if s, ok := v.(string); ok {
		text = fmt.Sprintf("%q", s)
	}
	const most = 60
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}
