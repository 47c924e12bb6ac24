package exprrules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/noex-go/store"
)

// ruleset is a set of rules that is loaded: immutable. index has the rules of each
// bucket that a rule names, those about every bucket among them, by the type of
// events; others has those of all other buckets.
type ruleset struct {
	rules  []*rule
	index  map[string]*[4][]*rule
	others [4][]*rule
}

// rule is a Rule that is compiled.
type rule struct {
	name  string
	topic topic
	cond  *expression // nil: always
	guard *expression // what of cond can be judged without the store; nil: nothing, or all of it
	steps []step
}

// step is a Step that is compiled. One of bucket and action is set.
type step struct {
	part   string
	op     string // insert, update, upsert, delete
	bucket string
	action Action
	key    *template
	where  *template
	fields *template // Set, or With
}

func (rs *ruleset) of(bucket string, t store.EventType) []*rule {
	if byType := rs.index[bucket]; byType != nil {
		return byType[t]
	}
	return rs.others[t]
}

// add enters a rule in the index, behind those before it.
func (rs *ruleset) add(r *rule) {
	rs.rules = append(rs.rules, r)
	if b := r.topic.bucket; b != "" && rs.index[b] == nil {
		all := rs.others
		for t := range all {
			all[t] = slices.Clone(all[t])
		}
		rs.index[b] = &all
	}
	for _, t := range eventTypes {
		if !r.topic.types[t] {
			continue
		}
		if r.topic.bucket != "" {
			rs.index[r.topic.bucket][t] = append(rs.index[r.topic.bucket][t], r)
			continue
		}
		rs.others[t] = append(rs.others[t], r)
		for _, byType := range rs.index {
			byType[t] = append(byType[t], r)
		}
	}
}

// compiler makes a ruleset, and gathers everything that is wrong.
type compiler struct {
	ss       *schemas
	lk       *lookups
	actions  map[string]Action
	problems []Problem

	rule *Rule // under way
	name string
	sc   *scope // nil: the pattern is wrong, so that no type is known
}

func (c *compiler) bad(part, format string, args ...any) {
	c.badAt(c.rule.places.at(part, 0, 0), part, format, args...)
}

func (c *compiler) badAt(at place, part, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.name, part, at.line, at.column, fmt.Sprintf(format, args...)})
}

func (c *compiler) compile(rules []Rule) *ruleset {
	rs := &ruleset{index: map[string]*[4][]*rule{}}
	seen := map[string]bool{}
	for i := range rules {
		c.rule = &rules[i]
		if c.name = c.rule.Name; c.name == "" {
			c.name = fmt.Sprintf("rule %d", i+1)
			c.bad("", "has no name")
		} else if seen[c.name] {
			c.bad("name", "another rule has this name")
		}
		seen[c.name] = true
		rs.add(c.compileRule())
	}
	return rs
}

func (c *compiler) compileRule() *rule {
	r := &rule{name: c.name}
	c.sc = nil
	t, problem := parseTopic(c.rule.When)
	if problem != "" {
		c.bad("when", "%s", problem)
	} else if sc, err := newScope(c.ss, c.lk, t); err != nil {
		c.bad("when", "%s", err)
	} else {
		r.topic, c.sc = t, sc
	}
	if c.rule.If != "" {
		r.cond = c.expression("if", c.rule.If)
		if r.cond.looks {
			r.guard = c.guard(c.rule.If)
		}
		if n := r.cond.nature; c.sc != nil && (n.Nil || !fits(&n, store.Bool)) {
			c.bad("if", "must be true or false, not of type %s", typeName(&n))
		}
	}
	if len(c.rule.Then) == 0 {
		c.bad("then", "there are no steps")
	}
	for i := range c.rule.Then {
		r.steps = append(r.steps, c.step(fmt.Sprintf("then[%d]", i), &c.rule.Then[i]))
	}
	return r
}

// expression compiles an expression; one that is wrong is of a type that fits
// everything.
func (c *compiler) expression(part, src string) *expression {
	if c.sc == nil {
		return &expression{}
	}
	x, err := c.sc.compile(src)
	if err != nil {
		c.badAt(c.rule.places.at(part, err.line, err.column), part, "%s", err.message)
		return &expression{}
	}
	return x
}

// guard compiles those conditions that a condition with lookups begins with, joined
// by "and", and that have none themselves. Where they do not hold, nothing of the
// rest would have been judged: no transaction is needed to know.
func (c *compiler) guard(src string) *expression {
	text := withoutLookups(src)
	if text == "" {
		return nil
	}
	x, err := c.sc.compile(text)
	if err != nil || x.looks || !fits(&x.nature, store.Bool) {
		return nil
	}
	return x
}

func (c *compiler) step(part string, s *Step) step {
	out := step{part: part}
	var kinds []string
	for _, k := range [...]struct {
		op   string
		name string
	}{{"insert", s.Insert}, {"update", s.Update}, {"upsert", s.Upsert}, {"delete", s.Delete}} {
		if k.name != "" {
			kinds = append(kinds, k.op)
			out.op, out.bucket = k.op, k.name
		}
	}
	if s.Do != "" {
		kinds = append(kinds, "do")
	}
	if s.Run != nil {
		kinds = append(kinds, "run")
	}
	if len(kinds) != 1 {
		what := "nothing"
		if len(kinds) > 0 {
			what = strings.Join(kinds, " and ")
		}
		c.bad(part, "must be one of insert, update, upsert, delete and do, not %s", what)
		return out
	}
	if out.bucket == "" {
		c.call(part, s, &out)
	} else if sc, err := c.ss.of(out.bucket); err != nil {
		c.bad(part+"."+out.op, "%s", err)
	} else {
		c.write(sc, s, &out)
	}
	return out
}

// call compiles a step in Go.
func (c *compiler) call(part string, s *Step, out *step) {
	if out.action = s.Run; s.Do != "" {
		if out.action = c.actions[s.Do]; out.action == nil {
			c.bad(part+".do", "there is no action %q", s.Do)
		}
	}
	if s.Key != nil || s.Where != nil || s.Set != nil {
		c.bad(part, "an action takes only with")
	}
	if s.With != nil {
		out.fields = c.template(part+".with", s.With)
	}
}

// write compiles a step that writes to a bucket.
func (c *compiler) write(sc *schema, s *Step, out *step) {
	part, one := out.part, out.op == "update" || out.op == "delete"
	if s.With != nil {
		c.bad(part+".with", "is for actions")
	}
	if sets := out.op != "delete"; sets == (len(s.Set) == 0) {
		if sets {
			c.bad(part, "there is nothing to set")
		} else {
			c.bad(part+".set", "a delete sets nothing")
		}
	}
	switch {
	case !one && (s.Key != nil || s.Where != nil):
		c.bad(part, "an %s takes only set, where the key is a field", out.op)
	case one && (s.Key != nil) == (s.Where != nil):
		c.bad(part, "needs a key, or a filter in where")
	case s.Key != nil:
		out.key = c.template(part+".key", s.Key)
		if n := out.key.nature(); n.Nil || !fits(&n, sc.keyType()) {
			c.bad(part+".key", "a key of bucket %q is of type %s, not %s", sc.name, sc.keyType(), typeName(&n))
		}
	case s.Where != nil:
		before := len(c.problems)
		if out.where = c.template(part+".where", s.Where); len(c.problems) == before && c.sc != nil {
			if err := c.ss.checkFilter(sc, out.where.tree().(map[string]any)); err != nil {
				c.bad(part+".where", "%s", err)
			}
		}
	}
	if s.Set != nil {
		out.fields = c.template(part+".set", s.Set)
		c.fields(sc, out)
	}
}

// fields checks what a step writes against the bucket's schema.
func (c *compiler) fields(sc *schema, out *step) {
	set := out.fields.object
	for _, name := range out.fields.names {
		part := out.part + ".set." + name
		n := set[name].nature()
		f, ok := sc.def.Schema[name]
		switch {
		case !ok && !sc.def.Extra:
			c.bad(part, "bucket %q has no field %q", sc.name, name)
		case !ok:
		case out.op == "update" && name == sc.def.Key:
			c.bad(part, "the key of a record cannot be changed")
		case n.Nil:
			if f.Required || name == sc.def.Key {
				c.bad(part, "the field is required")
			}
		case !fits(&n, f.Type):
			c.bad(part, "field %q is of type %s, not %s", name, f.Type, typeName(&n))
		case len(f.Enum) > 0:
			if v := set[name].constant(); v != nil && !slices.ContainsFunc(f.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
				c.bad(part, "field %q has no value %q in its enum", name, fmt.Sprint(v))
			}
		}
	}
	if out.op == "upsert" && set[sc.def.Key] == nil {
		c.bad(out.part+".set", "the key %q is missing", sc.def.Key)
	}
	if out.op != "insert" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(sc.def.Schema)) {
		f := sc.def.Schema[name]
		if (f.Required || name == sc.def.Key) && f.Default == nil && f.Generated == 0 && set[name] == nil {
			c.bad(out.part+".set", "the field %q is required", name)
		}
	}
}
